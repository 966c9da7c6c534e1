/*
 * The link to auth: who wants to log in, and with what we log in elsewhere.
 *
 * An exchange is asked about once. When auth dies, or the link is full, the answer is
 * "later" at once, and the client asks again: nothing of a secret is kept here for that.
 * What was sent is wiped from the buffer that it was packed in.
 */
#include <stdlib.h>

#include "base/siphash.h"
#include "edge/inside.h"

/* What auth said, until the session has heard it. */
struct auth_reply {
	struct session_authed authed; /* of IN_AUTHED */
	struct span text;	      /* of IN_CHALLENGE */
	size_t n;
	uint8_t mem[];
};

static bool reads_mail(const struct conn *c)
{
	enum service service = c->session.listener->service;

	return service == SERVICE_IMAP || service == SERVICE_POP3;
}

/* ---- what is sent ----------------------------------------------------------------------- */

static bool can_send(const struct edge *e)
{
	return e->auth.link && !link_full(e->auth.link);
}

static void sent(struct edge *e)
{
	if (e->auth.link)
		watch_mask(&e->auth.watch,
			   WATCH_READ | (link_waiting(e->auth.link) ? WATCH_WRITE : 0));
}

/* The message that was begun; its secret is nobody's business any more. */
static bool send(struct edge *e, struct buf *packed)
{
	size_t n = packed->len;
	bool good = link_send(e->auth.link, NULL, 0);

	sasl_wipe(packed->mem, n);
	sent(e);
	return good;
}

/*
 * What a program calls itself. An address literal changes from place to place, so it counts
 * as one; the version in the ID of a mail program with each update, so digits count as none.
 */
static void put_name(const struct conn *c, struct buf *out)
{
	const struct session *s = &c->session;
	struct span name = span_of(s->helo, s->helo_n);

	if (name.n == 0 || name.p[0] == '[')
		return;
	if (!reads_mail(c)) {
		buf_put_lower(out, name);
		return;
	}
	for (size_t i = 0; i < name.n; i++)
		if (name.p[i] != '.' && (name.p[i] < '0' || name.p[i] > '9'))
			buf_put_lower(out, span_of(name.p + i, 1));
}

/*
 * What the client's program looks like, to tell devices and campaigns apart: how it says
 * EHLO or ID, what its TLS hello offers, the order in which it tries mechanisms, and of who
 * reads mail that of the first commands. 0: a login in clear, and not a word before it. So
 * speaks every program, and an owner on a journey is no member of a campaign for that.
 */
static uint64_t fingerprint(struct conn *c, enum sasl_mechanism m)
{
	static const uint64_t key[2] = { UINT64_C(0x6c6f67696e),
					 UINT64_C(0x636c69656e74) };
	uint8_t mem[DOMAIN_MAX + 32];
	struct buf out;

	/* to mistype and try again does not make it another device */
	if ((c->tried & 15) != (unsigned)m + 1)
		c->tried = c->tried << 4 | ((unsigned)m + 1);
	if (reads_mail(c) && c->hello == 0 && c->session.helo_n == 0 &&
	    session_is_terse(&c->session))
		return 0;
	buf_init(&out, mem, sizeof(mem));
	buf_put(&out, span_of(&c->hello, sizeof(c->hello)));
	buf_put(&out, span_of(&c->tried, sizeof(c->tried)));
	if (reads_mail(c))
		buf_put(&out, span_of(&c->session.order, sizeof(c->session.order)));
	put_name(c, &out);
	return siphash(key, buf_span(&out));
}

/* What the client gave is wiped, and the mailbox server that was asked is let go. */
static void forget_mailbox(struct conn *c)
{
	if (reads_mail(c))
		mailbox_end(c);
}

static void later(struct conn *c)
{
	c->auth_ask = 0;
	forget_mailbox(c);
	conn_answer_soon(c, IN_AUTHED, 0);
}

/* With the certificates: auth looks at them again, and without them it lets nobody in. */
static void pack_external(const struct conn *c, struct msg_AUTH *m, struct buf *packed)
{
	uint8_t mem[SASL_MAX];
	char name[USER_MAX];
	struct buf shown;

	buf_init(&shown, mem, sizeof(mem));
	m->user = span_of(name, stream_tls_client_name(&c->stream, name, sizeof(name)));
	if (m->user.n && stream_tls_client_chain(&c->stream, &shown))
		m->secret = buf_span(&shown);
	msg_AUTH_pack(m, packed);
}

void auth_ask(struct conn *c, const struct session_credentials *with)
{
	struct edge *e = c->edge;
	const struct session *s = &c->session;
	uint8_t binding[TLS_BINDING_MAX];
	struct msg_AUTH m = {
		.ask = ++e->last_ask,
		.mechanism = (uint8_t)with->mechanism,
		.service = (uint8_t)s->listener->service,
		.flags = s->in_tls ? AUTH_TLS : 0,
		.peer = s->peer,
		.client = fingerprint(c, with->mechanism),
		.helo = span_of(s->helo, s->helo_n),
		.hello = tls_hello_text(c->stream.ssl),
		.authzid = with->authzid,
		.user = with->user,
		.secret = with->secret,
	};
	struct buf *packed;

	auth_left(c); /* it was let in and did not come in, or it would not ask again */
	if (!can_send(e)) {
		later(c);
		return;
	}
	if (reads_mail(c))
		mailbox_keep(c, with);
	if (with->mechanism == SASL_SCRAM_SHA_256_PLUS)
		m.binding = span_of(binding, stream_tls_binding(&c->stream, binding));
	packed = link_begin(e->auth.link);
	if (with->mechanism == SASL_EXTERNAL)
		pack_external(c, &m, packed);
	else
		msg_AUTH_pack(&m, packed);
	if (!send(e, packed)) {
		later(c);
		return;
	}
	c->auth_ask = m.ask;
	waiting_for(c, WAITS_AUTH, m.ask);
	if (reads_mail(c))
		mailbox_expect(c, with->user);
}

void auth_more(struct conn *c, struct span text)
{
	struct edge *e = c->edge;
	struct msg_AUTH_MORE m = { .ask = c->auth_ask, .text = text };
	struct buf *packed;

	if (!c->auth_ask || !can_send(e)) {
		later(c);
		return;
	}
	packed = link_begin(e->auth.link);
	msg_AUTH_MORE_pack(&m, packed);
	if (!send(e, packed)) {
		later(c);
		return;
	}
	waiting_for(c, WAITS_AUTH, m.ask);
}

void auth_over(struct conn *c)
{
	struct edge *e = c->edge;
	struct msg_AUTH_OVER m = { .ask = c->auth_ask };
	struct buf *packed;

	if (c->waits == WAITS_AUTH)
		waiting_forget(c);
	free(c->auth_reply);
	c->auth_reply = NULL;
	if (!c->auth_ask)
		return;
	c->auth_ask = 0;
	forget_mailbox(c);
	if (!e->auth.link)
		return;
	packed = link_begin(e->auth.link);
	msg_AUTH_OVER_pack(&m, packed);
	(void)send(e, packed);
}

/*
 * Not held up by a link that is full: what is asked stops at half of its queue, so there is
 * room for this from as many sessions as there can be.
 */
void auth_left(struct conn *c)
{
	struct edge *e = c->edge;
	struct msg_AUTH_LEFT m = { .ask = c->auth_login };
	struct buf *packed;

	if (!c->auth_login)
		return;
	c->auth_login = 0;
	if (!e->auth.link)
		return;
	packed = link_begin(e->auth.link);
	msg_AUTH_LEFT_pack(&m, packed);
	(void)send(e, packed);
}

static bool tell_held(struct conn *c)
{
	struct edge *e = c->edge;
	struct msg_AUTH_HELD m = { .ask = ++e->last_ask,
				   .peer = c->session.peer,
				   .login = session_login(&c->session) };
	struct buf *packed = link_begin(e->auth.link);

	c->auth_login = m.ask;
	msg_AUTH_HELD_pack(&m, packed);
	return send(e, packed);
}

void auth_tell_held(struct edge *e)
{
	if (!e->untold || !e->auth.link)
		return;
	for (struct conn *c = e->conns; c; c = c->next) {
		if (c->auth_login || !reads_mail(c) || c->state == CONN_ENDING ||
		    c->state == CONN_LINGERS || !session_login(&c->session).n)
			continue;
		if (!can_send(e) || !tell_held(c))
			return;
	}
	e->untold = false;
}

bool auth_ask_credential(void *edge, uint64_t ask, struct span name)
{
	struct edge *e = edge;
	struct msg_CREDENTIAL m = { .ask = ask, .name = name };
	struct buf *packed;

	if (!can_send(e))
		return false;
	packed = link_begin(e->auth.link);
	msg_CREDENTIAL_pack(&m, packed);
	return send(e, packed);
}

/* ---- what comes back -------------------------------------------------------------------- */

/* What the session is to hear; texts in it. NULL: out of memory. */
static struct auth_reply *reply_with(struct span one, struct span other)
{
	struct auth_reply *r = calloc(1, sizeof(*r) + one.n + other.n);

	if (!r)
		return NULL;
	if (one.n)
		memcpy(r->mem, one.p, one.n);
	if (other.n)
		memcpy(r->mem + one.n, other.p, other.n);
	r->n = one.n + other.n;
	r->text = span_of(r->mem, one.n);
	return r;
}

static void answer(struct conn *c, enum session_in_kind kind, struct auth_reply *r)
{
	waiting_forget(c);
	free(c->auth_reply);
	c->auth_reply = r;
	conn_answer(c, r ? kind : IN_AUTHED, 0);
}

void auth_fill(struct conn *c, struct session_in *in)
{
	static const struct session_authed none = { .result = AUTHED_LATER,
						    .event = EV_AUTH_LATER };
	struct auth_reply *r = c->auth_reply;

	in->authed = r ? &r->authed : &none;
	in->text = r ? r->text : SPAN_NONE;
}

void auth_heard(struct conn *c)
{
	if (!c->auth_reply)
		return;
	sasl_wipe(c->auth_reply->mem, c->auth_reply->n);
	free(c->auth_reply);
	c->auth_reply = NULL;
}

static bool take_challenge(struct edge *e, struct frame *f)
{
	struct msg_AUTH_CHALLENGE m;
	struct conn *c;

	if (!msg_AUTH_CHALLENGE_unpack(f->bytes, &m))
		return false;
	c = waiting_find(e, m.ask, WAITS_AUTH);
	if (c)
		answer(c, IN_CHALLENGE, reply_with(m.text, SPAN_NONE));
	return true;
}

/* The mailbox server is to judge: it still waits. */
static bool take_ask(struct conn *c, struct span login)
{
	if (reads_mail(c))
		mailbox_judge(c, login);
	return reads_mail(c);
}

struct span auth_ticket(const struct conn *c)
{
	return span_of(c->ticket, c->ticket ? TICKET_SIZE : 0);
}

void auth_drop_ticket(struct conn *c)
{
	if (c->ticket)
		sasl_wipe(c->ticket, TICKET_SIZE);
	free(c->ticket);
	c->ticket = NULL;
}

bool auth_keep_ticket(struct conn *c, struct span ticket)
{
	auth_drop_ticket(c);
	if (ticket.n != TICKET_SIZE)
		return true;
	c->ticket = malloc(TICKET_SIZE);
	if (c->ticket)
		memcpy(c->ticket, ticket.p, TICKET_SIZE);
	return c->ticket != NULL;
}

/* Without a ticket nobody sends mail: the store would believe that we made it up. */
static bool may_go_on(struct conn *c, const struct msg_AUTHED *m)
{
	if (!auth_keep_ticket(c, m->result == AUTHED_YES ? m->ticket : SPAN_NONE))
		return false;
	return m->result != AUTHED_YES || c->ticket || reads_mail(c);
}

/* That was the last word of it. */
static void authed(struct conn *c, const struct msg_AUTHED *m)
{
	struct auth_reply *r;

	c->auth_ask = 0;
	if (reads_mail(c))
		mailbox_authed(c, m->result == AUTHED_YES);
	r = may_go_on(c, m) ? reply_with(m->text, m->login) : NULL;
	if (r)
		r->authed = (struct session_authed){
			.result = (enum authed)m->result,
			.event = (enum event)m->event,
			.delay = m->delay,
			.text = r->text,
			.login = span_of(r->mem + m->text.n, m->login.n),
		};
	if (reads_mail(c) && m->result == AUTHED_YES)
		c->auth_login = m->ask;
	else
		forget_mailbox(c);
	answer(c, IN_AUTHED, r);
}

void auth_judged(struct conn *c, enum judged how, struct span login)
{
	struct edge *e = c->edge;
	struct msg_AUTH_JUDGED m = { .ask = c->auth_ask, .judged = (uint8_t)how };
	const struct msg_AUTHED yes = { .ask = c->auth_ask,
					.result = AUTHED_YES,
					.event = EV_AUTH_OK,
					.login = login };
	struct buf *packed;

	/* who was given up is waited for by nobody, and auth has been told */
	if (!c->auth_ask || !e->auth.link)
		return;
	packed = link_begin(e->auth.link);
	msg_AUTH_JUDGED_pack(&m, packed);
	(void)send(e, packed); /* a broken link shows when it is read */
	if (how == JUDGED_YES && c->sure)
		authed(c, &yes);
}

static bool take_authed(struct edge *e, struct frame *f)
{
	struct msg_AUTHED m;
	struct conn *c;

	if (!msg_AUTHED_unpack(f->bytes, &m) || m.result >= AUTHED_COUNT ||
	    m.event >= EVENT_COUNT || m.delay > AUTH_DELAY_MAX ||
	    (m.ticket.n && m.ticket.n != TICKET_SIZE))
		return false;
	c = waiting_find(e, m.ask, WAITS_AUTH);
	if (!c)
		return true;
	c->known_device = m.known_device;
	c->sure = m.sure;
	if (m.result == AUTHED_ASK)
		return take_ask(c, m.login);
	authed(c, &m);
	return true;
}

static bool take_credential(struct edge *e, struct frame *f)
{
	struct msg_CREDENTIAL_IS m;

	if (!msg_CREDENTIAL_IS_unpack(f->bytes, &m))
		return false;
	if (!mailbox_credential(e, m.ask, m.ok, m.user, m.secret))
		deliveries_credential(e->deliveries, m.ask, m.ok, m.user, m.secret);
	return true;
}

static bool take(struct edge *e, struct frame *f)
{
	switch (f->kind) {
	case MSG_AUTH_CHALLENGE:
		return take_challenge(e, f);
	case MSG_AUTHED:
		return take_authed(e, f);
	case MSG_CREDENTIAL_IS:
		return take_credential(e, f);
	default:
		return false;
	}
}

static void on_link(void *arg, unsigned ready)
{
	struct edge *e = arg;

	if ((ready & WATCH_WRITE && !link_flush(e->auth.link)) ||
	    !edge_receive(e, &e->auth, "auth-link", take)) {
		auth_link_lost(e);
		return;
	}
	sent(e);
}

/* ---- the link itself -------------------------------------------------------------------- */

/* Who waits hears "later"; who is in the middle of an exchange will, when it goes on. */
void auth_link_lost(struct edge *e)
{
	if (!e->auth.link)
		return;
	watch_stop(&e->auth.watch);
	link_close(&e->auth.link);
	/* its successor counts from nothing, and is told */
	e->untold = true;
	for (struct conn *c = e->conns; c; c = c->next)
		c->auth_ask = c->auth_login = 0;
	for (size_t i = 0; i < WAITING_BUCKETS; i++) {
		struct conn *next;

		for (struct conn *c = e->waiting[i]; c; c = next) {
			next = c->next_waiting;
			if (c->waits != WAITS_AUTH)
				continue;
			forget_mailbox(c);
			answer(c, IN_AUTHED, NULL);
		}
	}
}

void auth_link_set(struct edge *e, struct link *link)
{
	auth_link_lost(e);
	e->auth.link = link;
	if (watch_start(e->loop, &e->auth.watch, link_fd(link), WATCH_READ, on_link, e)) {
		auth_tell_held(e);
		return;
	}
	report_trouble(e, "auth-link", "cannot be watched");
	auth_link_lost(e);
}
