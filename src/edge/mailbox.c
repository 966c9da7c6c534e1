/*
 * Who reads mail: what auth and the session want of the mailbox server, what they hear, and
 * the relay behind that.
 */
#include "edge/mailbox.h"

#include <stdlib.h>
#include <string.h>

/* ---- what was given ---------------------------------------------------------------------- */

static struct mailbox_way *mailbox_of(struct conn *c)
{
	if (c->mailbox)
		return c->mailbox;
	c->mailbox = calloc(1, sizeof(*c->mailbox));
	if (c->mailbox)
		c->mailbox->conn = c;
	return c->mailbox;
}

static struct login_words *words_of(const struct session_credentials *with)
{
	switch (with->mechanism) {
	case SASL_PLAIN:
	case SASL_LOGIN:
		/* to come as oneself is no other identity */
		return words_make(span_eq(with->authzid, with->user) ? SPAN_NONE
								     : with->authzid,
				  with->user, with->secret);
	case SASL_OAUTHBEARER:
	case SASL_XOAUTH2:
		return words_make_token(with->mechanism, with->user, with->secret);
	case SASL_SCRAM_SHA_256:
	case SASL_SCRAM_SHA_256_PLUS:
	case SASL_EXTERNAL:
	case SASL_COUNT:
		break;
	}
	return NULL;
}

/* Only who shows a password, or a token, has something that can be shown to somebody else. */
void mailbox_keep(struct conn *c, const struct session_credentials *with)
{
	struct login_words *words;
	struct mailbox_way *m;

	mailbox_end(c);
	words = words_of(with);
	m = words ? mailbox_of(c) : NULL;
	if (m)
		m->given = words;
	else
		words_free(&words);
}

static void forget(struct conn *c)
{
	struct mailbox_way *m = c->mailbox;

	c->mailbox = NULL;
	if (!m)
		return;
	mailbox_way_end(m);
	words_free(&m->given);
	free(m);
}

/* ---- what is wanted, and what is heard ---------------------------------------------------- */

static enum judged judgement(enum backend_got got)
{
	static const enum judged how[BACKEND_GOT_KINDS] = {
		[BACKEND_GOT_YES] = JUDGED_YES,	  [BACKEND_GOT_NO] = JUDGED_NO,
		[BACKEND_GOT_LIMIT] = JUDGED_YES, [BACKEND_GOT_LATER] = JUDGED_NOT,
		[BACKEND_GOT_UNFIT] = JUDGED_NOT, [BACKEND_GOT_BROKEN] = JUDGED_NOT,
	};

	return how[got];
}

static enum session_backend_result result(enum backend_got got)
{
	static const enum session_backend_result how[BACKEND_GOT_KINDS] = {
		[BACKEND_GOT_YES] = BACKEND_READY,    [BACKEND_GOT_NO] = BACKEND_DENIES,
		[BACKEND_GOT_LIMIT] = BACKEND_LIMITS, [BACKEND_GOT_LATER] = BACKEND_DOWN,
		[BACKEND_GOT_UNFIT] = BACKEND_DENIES, [BACKEND_GOT_BROKEN] = BACKEND_DOWN,
	};

	return how[got];
}

static void answer(struct conn *c)
{
	struct mailbox_way *m = c->mailbox;

	m->told.result = result(m->got);
	if (m->got == BACKEND_GOT_YES)
		m->told.capability = mailbox_peer_capability(&m->call->talk.peer);
	if (m->at_once)
		conn_answer_soon(c, IN_BACKEND, 0);
	else
		conn_answer(c, IN_BACKEND, 0);
}

/* Is POP3 from our own Maildirs for those without a server? */
static bool serves_box(const struct mailbox_way *m)
{
	return m->none && !m->judging && mailbox_is_pop3(m->conn) &&
	       m->conn->rules->conf->set.mailbox_maildir;
}

static void open_box(struct conn *c)
{
	bool at_once = c->mailbox->at_once;

	c->mailbox->got = BACKEND_GOT_LATER;
	if (!box_open(c))
		answer(c);
	else if (!at_once)
		forget(c);
}

void mailbox_arrived(struct mailbox_way *m)
{
	struct conn *c = m->conn;

	if (m->judging) {
		m->judging = false;
		auth_judged(c, judgement(m->got), span_of(m->login, m->login_n));
		return;
	}
	if (serves_box(m))
		open_box(c);
	else
		answer(c);
}

static bool is_for(const struct mailbox_way *m, struct span login)
{
	return span_eq(span_of(m->login, m->login_n), login);
}

static void set_out(struct mailbox_way *m, struct span login, bool ahead)
{
	m->ahead = ahead;
	m->login_n = (uint8_t)login.n;
	memcpy(m->login, login.p, login.n);
	mailbox_way_begin(m);
}

static void go(struct mailbox_way *m, struct span login, bool judging)
{
	m->judging = judging;
	if (!mailbox_way_go(m, login))
		set_out(m, login, false);
}

/* A name that is not said in full leads elsewhere, unless there is one server for all. */
void mailbox_expect(struct conn *c, struct span user)
{
	struct mailbox_way *m = c->mailbox;
	struct lately *lately = &c->edge->mailboxes->lately;

	if (!m || !m->given || user.n == 0 || user.n > sizeof(m->login))
		return;
	m->who = lately_who(lately, &c->session.peer.addr, user);
	if (lately_has(lately, m->who))
		set_out(m, user, true);
}

void mailbox_authed(struct conn *c, bool let_in)
{
	if (c->mailbox && c->mailbox->who)
		lately_note(&c->edge->mailboxes->lately, c->mailbox->who, let_in);
}

void mailbox_judge(struct conn *c, struct span login)
{
	struct mailbox_way *m = c->mailbox;

	if (!m || !m->given || login.n == 0 || login.n > sizeof(m->login))
		auth_judged(c, JUDGED_NOT, login);
	else
		go(m, login, true);
}

/* A login that the server has judged is there already. */
void mailbox_open(struct conn *c)
{
	struct mailbox_way *m = mailbox_of(c);
	struct span login = session_login(&c->session);

	if (!m || login.n == 0 || login.n > sizeof(m->login)) {
		conn_answer_soon(c, IN_BACKEND, 0);
		return;
	}
	c->waits = WAITS_BACKEND;
	m->at_once = true;
	if (m->state == MAILBOX_CALLED && is_for(m, login))
		mailbox_arrived(m);
	else
		go(m, login, false);
	m->at_once = false;
	if (c->box)
		forget(c);
}

void mailbox_fill(struct conn *c, struct session_in *in)
{
	static const struct session_backend none = { .result = BACKEND_DOWN };

	if (in->kind == IN_BACKEND && !c->box)
		in->backend = c->mailbox ? &c->mailbox->told : &none;
}

/* ---- the relay --------------------------------------------------------------------------- */

static void end_relay(struct conn *c)
{
	struct relaying *r = c->relay;

	c->relay = NULL;
	if (!r)
		return;
	if (*r->name)
		backends_sessions(c->edge->mailboxes->backends, span_str(r->name), -1);
	relay_end(r);
	free(r);
}

void mailbox_end(struct conn *c)
{
	forget(c);
	end_relay(c);
}

static enum end why_over(const struct relaying *r)
{
	if (r->reset)
		return END_RESET;
	return r->server_first ? END_QUIT : END_HUNG_UP;
}

/* Nothing may be silent for longer than mailbox.idle-timeout; who is to close, not for long. */
static void go_on(struct conn *c)
{
	struct relaying *r = c->relay;
	uint64_t was = r->up.bytes + r->down.bytes;
	enum relay_result got = relay_go_on(r);
	ms_t now = loop_now(c->edge->loop);

	if (r->up.bytes + r->down.bytes != was)
		r->moved = now;
	c->session.bytes_in = r->bytes_before + r->up.bytes;
	switch (got) {
	case RELAY_OVER:
		conn_relayed(c, why_over(r));
		return;
	case RELAY_MORE:
		timer_set(&c->timer, now);
		break;
	case RELAY_WAITS:
		timer_set(&c->timer, r->moved + c->rules->conf->set.mailbox_idle);
		break;
	case RELAY_LEAVES:
		if (r->leave_by == 0)
			r->leave_by = now + LINGER_TIME;
		timer_set(&c->timer, r->leave_by);
		break;
	}
	visit_show(c);
}

void mailbox_ready(struct conn *c)
{
	if (c->relay)
		go_on(c);
}

void mailbox_time(struct conn *c)
{
	struct relaying *r = c->relay;
	ms_t now = loop_now(c->edge->loop);

	if (!r)
		return;
	if (r->leave_by && now >= r->leave_by)
		conn_relayed(c, END_QUIT);
	else if (now - r->moved >= c->rules->conf->set.mailbox_idle)
		conn_relayed(c, END_TIMEOUT);
	else
		conn_go_on(c);
}

/*
 * RFC 9051, 7.1.5 has a server say BYE before it closes. Inside a literal our word would count
 * as mail, and inside compression (RFC 4978) it would be garbage: there, and wherever that is
 * not certain, the connection is closed without a word, which clients know. In POP3 it would
 * be the answer to a command that nobody gave, or a line of a mail.
 */
bool mailbox_can_hear(const struct conn *c)
{
	const struct relaying *r = c->relay;

	return r && relay_between_answers(r);
}

static void note_server(struct conn *c, const struct backend *b)
{
	struct span name = span_head(span_str(b->name), sizeof(c->relay->name) - 1);

	memcpy(c->relay->name, name.p, name.n);
	backends_sessions(c->edge->mailboxes->backends, name, 1);
}

/* The session needs no more what it took to come here; what it has said first goes first. */
void mailbox_relay(struct conn *c)
{
	struct edge *e = c->edge;
	struct mailbox_way *m = c->mailbox;
	struct relaying *r = c->relay;
	struct call *call;
	bool good;

	if (!m || !r || !m->call || m->got != BACKEND_GOT_YES) {
		conn_relayed(c, END_OURS);
		return;
	}
	call = m->call;
	note_server(c, m->backend);
	r->bytes_before = c->session.bytes_in;
	r->moved = loop_now(e->loop);
	r->imap = !mailbox_is_pop3(c);
	good = relay_begin(r, &e->mailboxes->relays, &c->stream, conn_left_over(c),
			   span_of(call->in, call->in_n));
	conn_left_over_taken(c);
	forget(c);
	if (good)
		go_on(c);
	else
		conn_relayed(c, END_OURS);
}

struct span mailbox_relayed(const struct conn *c, uint64_t *up, uint64_t *down)
{
	const struct relaying *r = c->relay;

	*up = r ? r->up.bytes : 0;
	*down = r ? r->down.bytes : 0;
	return r ? span_str(r->name) : SPAN_NONE;
}

struct span mailbox_offers(const struct edge *e)
{
	return backends_offers(e->mailboxes->backends);
}

/* ---- all of them ------------------------------------------------------------------------- */

bool mailboxes_open(struct edge *e, struct err *err)
{
	struct mailboxes *all = calloc(1, sizeof(*all));
	struct backends_setup setup = {
		.loop = e->loop,
		.pulse = e->pulse,
		.dns = deliveries_dns(e->deliveries),
		.tls = deliveries_tls(e->deliveries),
		.conf = e->rules->conf,
	};

	_Static_assert(sizeof(e->in) >= RELAY_BLOCK, "it is lent to the relays");
	if (!all)
		return err_set(err, "mailboxes: out of memory");
	e->mailboxes = all;
	pool_init(&all->calls, sizeof(struct call), 64);
	gates_init(&all->gates, e->loop);
	lately_init(&all->lately, e->key);
	relays_init(&all->relays, e->in);
	return backends_open(&all->backends, &setup, err);
}

void mailboxes_close(struct edge *e)
{
	struct mailboxes *all = e->mailboxes;

	if (!all)
		return;
	backends_close(&all->backends);
	gates_close(&all->gates);
	relays_close(&all->relays);
	pool_close(&all->calls);
	free(all);
	e->mailboxes = NULL;
}

size_t mailboxes_calls(const struct edge *e)
{
	return e->mailboxes ? e->mailboxes->calls.lent : 0;
}

void mailboxes_reconf(struct edge *e, const struct conf *conf)
{
	if (e->mailboxes)
		backends_reconf(e->mailboxes->backends, conf);
}
