#include "tests/kit/stage.h"

#include <stdlib.h>

#include "base/bug.h"
#include "base/list.h"
#include "base/rcptmap.h"
#include "conf/settings.h"

#define SAID_MAX   ((size_t)4 << 20)
#define UNSENT_MAX ((size_t)64 << 20)
#define QUESTIONS                                                                       \
	(DO_VERIFY | DO_ROOM | DO_SUBMIT | DO_TLS | DO_FACTS | DO_AUTH | DO_AUTH_MORE | \
	 DO_MAY_SEND | DO_BACKEND | DO_TEXT | DO_REMOVE)

static void put(struct stage *g, const char *address, unsigned flags)
{
	BUG_IF(!rcptmap_put(g->map, g->map_n, span_str(address), flags));
}

static void open_map(struct stage *g)
{
	static const uint64_t key[2] = { 1, 2 };

	g->map_n = rcptmap_size(64);
	g->map = calloc(1, g->map_n);
	BUG_IF(!g->map);
	rcptmap_init(g->map, g->map_n, key, 1, SPAN("+"));
	put(g, "@here.example", RCPT_DOMAIN);
	put(g, "alice@here.example", RCPT_EXISTS);
	put(g, "bob@here.example", RCPT_EXISTS);
	put(g, "postmaster@here.example", RCPT_EXISTS);
	put(g, "full@here.example", RCPT_EXISTS | RCPT_FULL);
	put(g, "j\xc3\xbcrgen@here.example", RCPT_EXISTS);
	put(g, "@any.example", RCPT_DOMAIN | RCPT_ANY);
	put(g, "@ask.example", RCPT_DOMAIN | RCPT_ASK);
}

void stage_open(struct stage *g)
{
	*g = (struct stage){ .tls_ready = true,
			     .now = 1000000,
			     .wall = 1792152000000, /* Fri, 16 Oct 2026 12:00:00 +0000 */
			     .next_id = 0x1122334455667788,
			     .verdict = VERDICT_YES,
			     .submitted = SUBMITTED_OK,
			     .room = 1,
			     .may_send = VERDICT_NO,
			     .authed = AUTHED_YES,
			     .auth_event = EV_AUTH_OK,
			     .backend = BACKEND_READY,
			     .login = "alice@here.example" };
	g->conf.mechanisms = 1u << SASL_PLAIN | 1u << SASL_LOGIN;
	g->conf.mailbox_mechanisms = g->conf.mechanisms;
	g->conf.relay_hop = HOP_MX;
	g->conf.magic = CONF_MAGIC;
	g->conf.relay_hop = HOP_MX;
	g->conf.size = sizeof(g->conf);
	settings_init(&g->conf.set);
	g->conf.set.greet_delay = 0;
	memcpy(g->conf.set.hostname, "mx.here.example", sizeof("mx.here.example"));
	g->conf.listener_count = 1;
	g->listener = &g->conf.listeners[0];
	g->listener->tls = TLS_START;
	g->listener->at.port = 25;
	memcpy(g->standing.id, "X7K2Q9M", sizeof("X7K2Q9M"));
	g->local = (struct endpoint){ addr_v4(198, 51, 100, 1), 25 };
	stage_box_open(&g->box);
	open_map(g);
}

/* Memory that grows: the sticky fullness of a buf would hide what a test wants to see. */
static void grow(struct buf *b, size_t more)
{
	size_t cap = b->cap ? b->cap : 1024;

	while (cap < b->len + more)
		cap *= 2;
	if (cap == b->cap)
		return;
	b->mem = realloc(b->mem, cap);
	BUG_IF(!b->mem);
	b->cap = cap;
}

static void append(struct buf *b, struct span s)
{
	grow(b, s.n);
	buf_put(b, s);
	BUG_IF(b->full);
}

static void release(struct buf *b)
{
	free(b->mem);
	*b = (struct buf){ 0 };
}

void stage_close(struct stage *g)
{
	release(&g->last.envelope);
	release(&g->last.body);
	stage_box_close(&g->box);
	free(g->map);
	*g = (struct stage){ 0 };
}

void stage_peer_close(struct stage_peer *p)
{
	release(&p->in);
	release(&p->unsent);
	release(&p->said);
	release(&p->spool);
	release(&p->peer);
	release(&p->letter.envelope);
	release(&p->letter.body);
	release(&p->letter.from);
}

/* ---- the store --------------------------------------------------------------------- */

static void take_mail(struct stage_peer *p)
{
	struct stage *g = p->stage;
	struct stage_mail *m = &g->last;

	buf_reset(&m->envelope);
	buf_reset(&m->body);
	append(&m->envelope, buf_span(&p->letter.envelope));
	append(&m->body, buf_span(&p->spool));
	append(&m->body, buf_span(&p->letter.body));
	BUG_IF(m->body.len != p->session.body_size);
	BUG_IF(list_count(buf_span(&m->envelope)) != p->session.rcpt_count + 1);
	m->id = p->session.queue_id;
	m->flags = p->session.flags;
	p->submits++;
	if (g->submitted == SUBMITTED_OK)
		g->mails++;
}

static void make_room(struct stage_peer *p)
{
	struct letter *l = &p->letter;

	if (buf_room(&l->envelope) < session_item_room(&p->session)) {
		grow(&l->envelope, l->envelope.cap + 1);
		return;
	}
	append(&p->spool, buf_span(&l->body));
	buf_reset(&l->body);
}

static void step(struct stage_peer *p, struct session_in *in);

/* What auth says: a challenge, the end, or nothing yet. */
static bool ask_auth(struct stage *g, struct session_in *in, struct session_authed *authed)
{
	if (g->challenge_at < g->challenge_count) {
		in->kind = IN_CHALLENGE;
		in->text = span_str(g->challenges[g->challenge_at++]);
		return true;
	}
	if (g->authed == STAGE_NO_ANSWER)
		return false;
	*authed = (struct session_authed){
		.result = (enum authed)g->authed,
		.event = g->auth_event,
		.delay = g->auth_delay,
		.login = g->authed == AUTHED_YES ? span_str(g->login) : SPAN_NONE,
		.text = span_str(g->last_words),
	};
	in->kind = IN_AUTHED;
	in->authed = authed;
	return true;
}

void stage_answer(struct stage_peer *p)
{
	struct stage *g = p->stage;
	struct session_in in = { 0 };
	struct session_authed authed;
	struct session_backend backend = {
		.result = (enum session_backend_result)g->backend,
		.capability = span_str(g->capability),
	};
	unsigned asks = p->asks;

	if (asks == DO_VERIFY && g->verdict != STAGE_NO_ANSWER) {
		in.kind = IN_VERDICT;
		in.verdict = (enum verdict)g->verdict;
	} else if (asks == DO_SUBMIT && g->submitted != STAGE_NO_ANSWER) {
		in.kind = IN_SUBMITTED;
		in.submitted = (enum submitted)g->submitted;
		take_mail(p);
	} else if (asks == DO_ROOM && g->room != STAGE_NO_ANSWER) {
		in.kind = g->room ? IN_ROOM : IN_NO_ROOM;
		if (g->room)
			make_room(p);
	} else if (asks == DO_FACTS && g->standing.facts.state != FACTS_PENDING) {
		in.kind = IN_FACTS;
	} else if (asks == DO_MAY_SEND && g->may_send != STAGE_NO_ANSWER) {
		in.kind = IN_VERDICT;
		in.verdict = (enum verdict)g->may_send;
	} else if (asks == DO_BACKEND && g->backend != STAGE_NO_ANSWER) {
		in.kind = IN_BACKEND;
		in.backend = &backend;
		if (g->backend == BACKEND_BOX)
			stage_box_begin(&g->box, &backend);
		p->has_box = g->backend == BACKEND_BOX;
	} else if (asks == DO_TEXT) {
		in.kind = IN_TEXT;
		stage_box_text(&g->box);
	} else if (asks == DO_REMOVE && g->box.left != STAGE_NO_ANSWER) {
		in.kind = IN_REMOVED;
		g->box.seen.left = (uint32_t)g->box.left;
	} else if (!(asks & (DO_AUTH | DO_AUTH_MORE)) || !ask_auth(g, &in, &authed)) {
		return;
	}
	p->asks = 0;
	step(p, &in);
}

/* ---- a step ------------------------------------------------------------------------ */

static bool is_one(unsigned bits)
{
	return (bits & (bits - 1)) == 0;
}

/* Nothing is read while a question is open or an answer held back. */
static bool reads(enum session_phase at)
{
	return at != PHASE_VERIFY && at != PHASE_ROOM && at != PHASE_SUBMIT &&
	       at != PHASE_TLS && at != PHASE_FACTS && at != PHASE_DELAY &&
	       at != PHASE_AUTH && at != PHASE_SENDER && at != PHASE_BACKEND &&
	       at != PHASE_RELAY && at != PHASE_BOX;
}

static void check(const struct stage_peer *p, const struct session_in *in,
		  const struct session_out *out, enum session_phase before)
{
	unsigned orders = out->orders & ~DO_DROP;

	BUG_IF(out->used > in->bytes.n);
	BUG_IF(!reads(before) && in->kind == IN_BYTES && out->used &&
	       p->session.phase != PHASE_OVER);
	BUG_IF(out->peer->full || p->letter.body.full || p->letter.envelope.full);
	BUG_IF((orders & (DO_AUTH | DO_AUTH_MORE)) && p->session.phase != PHASE_AUTH);
	BUG_IF((orders & DO_MAY_SEND) && p->session.phase != PHASE_SENDER);
	BUG_IF((orders & DO_MAY_SEND) && !session_login(&p->session).n);
	BUG_IF(!is_one(orders));
	BUG_IF((orders & (DO_CLOSE | DO_ABORT)) && p->session.phase != PHASE_OVER);
	BUG_IF(p->session.phase == PHASE_OVER && p->session.end == END_NONE);
	BUG_IF(p->session.phase == PHASE_OVER && session_has_letter(&p->session));
	BUG_IF((orders & (DO_VERIFY | DO_ROOM | DO_SUBMIT | DO_MAY_SEND)) &&
	       !session_has_letter(&p->session));
	BUG_IF((orders & DO_BACKEND) && p->session.phase != PHASE_BACKEND);
	BUG_IF((orders & (DO_TEXT | DO_REMOVE)) && p->session.phase != PHASE_BOX);
	BUG_IF((orders & DO_RELAY) && p->session.phase != PHASE_RELAY);
	BUG_IF((orders & (DO_BACKEND | DO_RELAY)) && !session_login(&p->session).n);
	BUG_IF(p->session.phase != PHASE_OVER && p->session.phase != PHASE_RELAY &&
	       out->wake == MS_NEVER);
	BUG_IF((orders & DO_FACTS) && p->session.phase != PHASE_FACTS);
	BUG_IF(out->only_observed && out->refused_by == RULE_NONE);
}

static void put_word(struct buf *out, struct span word)
{
	buf_byte(out, ' ');
	buf_put(out, word);
}

/* As text, for the test to compare. */
static void note_credentials(struct stage_peer *p, const struct session_out *out)
{
	const struct session_credentials *c = &out->credentials;
	struct buf text;

	buf_init(&text, p->credentials, sizeof(p->credentials) - 1);
	if (out->orders & DO_AUTH) {
		p->exchanges++;
		p->stage->challenge_at = 0;
		buf_put(&text, span_str(sasl_word[c->mechanism]));
		put_word(&text, c->authzid);
		put_word(&text, c->user);
		put_word(&text, c->secret);
	} else {
		buf_put(&text, out->more);
	}
	p->credentials[text.len] = '\0';
}

static void obey(struct stage_peer *p, const struct session_out *out)
{
	unsigned orders = out->orders;

	if (orders & DO_DROP) {
		buf_reset(&p->spool);
		p->drops++;
	}
	if (orders & (DO_CLOSE | DO_ABORT)) {
		p->closed = true;
		p->aborted = orders & DO_ABORT;
	}
	p->relays = p->relays || orders & DO_RELAY;
	if (orders & (DO_AUTH | DO_AUTH_MORE))
		note_credentials(p, out);
	if (orders & (DO_VERIFY | DO_MAY_SEND)) {
		BUG_IF(out->address.n == 0 || out->address.n > ADDRESS_MAX);
		memcpy(p->asked, out->address.p, out->address.n);
		p->asked[out->address.n] = '\0';
	}
	if (orders & QUESTIONS)
		p->asks = orders & QUESTIONS;
	if (!session_has_letter(&p->session)) {
		buf_reset(&p->spool);
		buf_reset(&p->letter.body);
		buf_reset(&p->letter.envelope);
		buf_reset(&p->letter.from);
	}
}

/* The store's answer may have come too late. */
static void forget_question(struct stage_peer *p)
{
	enum session_phase at = p->session.phase;

	if ((p->asks == DO_VERIFY && at != PHASE_VERIFY) ||
	    (p->asks == DO_ROOM && at != PHASE_ROOM) ||
	    (p->asks == DO_SUBMIT && at != PHASE_SUBMIT) ||
	    (p->asks == DO_FACTS && at != PHASE_FACTS) ||
	    (p->asks & (DO_AUTH | DO_AUTH_MORE) && at != PHASE_AUTH) ||
	    (p->asks == DO_MAY_SEND && at != PHASE_SENDER) ||
	    (p->asks == DO_BACKEND && at != PHASE_BACKEND) ||
	    (p->asks & (DO_TEXT | DO_REMOVE) && at != PHASE_BOX) ||
	    (p->asks == DO_TLS && at != PHASE_TLS))
		p->asks = 0;
}

static void note(struct stage_peer *p, const struct session_out *out)
{
	struct span text = span_head(out->refused.text, sizeof(p->refused) - 1);

	for (enum event e = EV_NONE; e < EVENT_COUNT; e++)
		p->stage->seen[e] += out->seen[e];
	p->passed = p->passed || out->passed;
	if (out->not_own.n) {
		struct span own = span_head(out->not_own, sizeof(p->not_own) - 1);

		memcpy(p->not_own, own.p, own.n);
		p->not_own[own.n] = '\0';
	}
	if (out->refused_by != RULE_NONE) {
		p->refused_by = out->refused_by;
		p->only_observed = out->only_observed;
	}
	if (out->refused.reply == RE_NONE)
		return;
	p->refusal = out->refused.reply;
	if (text.n)
		memcpy(p->refused, text.p, text.n);
	p->refused[text.n] = '\0';
}

/* Of all domains in other letters, this world has one (io/idn.h knows them all). */
static const char *in_ascii(struct span address, struct buf *out)
{
	size_t at = span_find_last(address, '@') + 1;
	struct span domain = span_skip(address, at);

	if (!span_eq(domain, SPAN("b\u00fccher.example")) &&
	    !span_eq(domain, SPAN("xn--bcher-kva.example")))
		return "there is no such domain";
	buf_put(out, span_head(address, at));
	buf_put(out, SPAN("xn--bcher-kva.example"));
	return NULL;
}

static void step(struct stage_peer *p, struct session_in *in)
{
	struct stage *g = p->stage;
	struct sasl_room room;
	struct session_out out = { .peer = &p->peer, .letter = &p->letter, .room = &room };
	enum session_phase before = p->session.phase;

	if (p->closed || p->relays)
		return;
	if (g->no_letters && !session_has_letter(&p->session))
		out.letter = NULL;
	in->bytes = buf_span(&p->in);
	in->recipients = span_of(g->map, g->map_n);
	in->recipients_stale = g->map_stale;
	in->offers = span_str(g->offers);
	in->storage_full = g->storage_full;
	in->wall = g->wall;
	in->next_id = g->next_id;
	in->standing = g->no_guard ? NULL : &g->standing;
	in->access = g->access;
	in->in_ascii = in_ascii;
	if (p->has_box)
		in->box = stage_box_see(&g->box);
	session_step(&p->session, in, g->now, &out);
	check(p, in, &out, before);
	note(p, &out);
	buf_drop(&p->in, out.used);
	if (p->session.queue_id == g->next_id)
		g->next_id++;
	p->wake = out.wake;
	/* a front may have told who it is, so that more is thought of it now */
	p->offer = out.unsaid || buf_room(&p->peer) < REPLY_MAX ||
		   (before == PHASE_PROXY && p->session.phase != before);
	if (p->has_box)
		stage_box_settle(&g->box, &p->session, &out);
	obey(p, &out);
	forget_question(p);
	if (!p->deaf) {
		BUG_IF(p->said.len > SAID_MAX);
		append(&p->said, buf_span(&p->peer));
		buf_reset(&p->peer);
	}
	if (p->asks)
		stage_answer(p);
}

/* Bytes that were offered before are taken now: then why not then? */
static void step_again(struct stage_peer *p)
{
	struct session_in in = { .kind = IN_BYTES };
	size_t left = p->in.len, said = p->said.len;
	bool may = p->offer;

	step(p, &in);
	BUG_IF(!may && (p->in.len != left || p->said.len != said));
}

/* Some more bytes arrive. */
static void step_with(struct stage_peer *p, size_t n)
{
	struct session_in in = { .kind = IN_BYTES };

	append(&p->in, span_head(buf_span(&p->unsent), n));
	buf_drop(&p->unsent, n);
	step(p, &in);
}

static size_t smaller(size_t a, size_t b)
{
	return a < b ? a : b;
}

/* Is there no sense in reading on? */
static bool waits(const struct stage_peer *p)
{
	return p->closed || p->relays || p->asks || p->session.phase == PHASE_DELAY;
}

/* Hand over what the peer sent, as far as the session takes it. */
static void feed(struct stage_peer *p)
{
	size_t chop = p->stage->chop ? p->stage->chop : IN_MAX;

	while (!waits(p)) {
		size_t n = smaller(smaller(p->unsent.len, chop), IN_MAX - p->in.len);

		if (n)
			step_with(p, n);
		else if (p->offer && !p->deaf)
			step_again(p);
		else
			break;
	}
	if (!waits(p))
		step_again(p);
	BUG_IF(!waits(p) && !p->deaf && p->in.len == IN_MAX);
}

void stage_send(struct stage_peer *p, struct span bytes)
{
	if (p->closed)
		return;
	BUG_IF(p->unsent.len > UNSENT_MAX);
	append(&p->unsent, bytes);
	feed(p);
}

void stage_happen(struct stage_peer *p, enum session_in_kind kind)
{
	static const struct session_tls tls = { "TLSv1.3", "TLS_AES_256_GCM_SHA384", 256,
						false };
	struct session_in in = { .kind = kind, .tls = &tls };

	if (p->asks == DO_TLS && (kind == IN_TLS || kind == IN_TLS_FAILED))
		p->asks = 0;
	step(p, &in);
	feed(p);
}

void stage_peer_open(struct stage *g, struct stage_peer *p, struct addr from)
{
	struct session_setup setup = { .conf = &g->conf,
				       .listener = g->listener,
				       .peer = { from, 40000 },
				       .local = g->local,
				       .tls_ready = g->tls_ready,
				       .login = g->local_login ? span_str(g->local_login)
							       : SPAN_NONE,
				       .now = g->now };

	*p = (struct stage_peer){ .stage = g };
	grow(&p->peer, OUT_MAX);
	p->peer.cap = OUT_MAX;
	grow(&p->letter.envelope, LETTER_ENVELOPE_MIN);
	grow(&p->letter.body, LETTER_BODY_MIN);
	grow(&p->letter.from, LETTER_FROM);
	session_init(&p->session, &setup);
	stage_happen(p, IN_OPENED);
}

static ms_t next_wake(struct stage_peer **peers, size_t count)
{
	ms_t wake = MS_NEVER;

	for (size_t i = 0; i < count; i++)
		if (!peers[i]->closed && !peers[i]->relays && peers[i]->wake < wake)
			wake = peers[i]->wake;
	return wake;
}

static void wake_up(struct stage *g, struct stage_peer **peers, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (!peers[i]->closed && !peers[i]->relays && peers[i]->wake <= g->now)
			stage_happen(peers[i], IN_TIME);
}

void stage_pass(struct stage *g, struct stage_peer **peers, size_t count, ms_t time)
{
	ms_t end = g->now + time;
	unsigned steps = 0;

	while (next_wake(peers, count) <= end) {
		ms_t wake = next_wake(peers, count);

		BUG_IF(steps++ > 10000); /* waking up again and again for nothing */
		g->wall += wake > g->now ? wake - g->now : 0;
		g->now = wake > g->now ? wake : g->now;
		wake_up(g, peers, count);
	}
	g->wall += end - g->now;
	g->now = end;
}
