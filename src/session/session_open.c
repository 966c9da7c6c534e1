/*
 * How a session begins: who the client is (PROXY), TLS from the first byte, and listening for
 * a while who cannot wait for our greeting.
 */
#include "session/session_inner.h"
#include "wire/proxy.h"

void session_init(struct session *s, const struct session_setup *setup)
{
	*s = (struct session){
		.conf = setup->conf,
		.listener = setup->listener,
		.peer = setup->peer,
		.via = setup->peer,
		.local = setup->local.addr,
		.opened_at = setup->now,
		.text_since = setup->now,
		.deadline = MS_NEVER,
		.marks = setup->tls_ready ? MARK_TLS_READY : 0,
	};
	if (!session_reads_mail(s))
		smtp_init(&s->smtp, (size_t)setup->conf->set.line_max, 0);
	if (!*setup->listener->path)
		return;
	s->marks |= MARK_LOCAL | (setup->any_sender ? MARK_ANY_SENDER : 0);
	if (setup->login.n && setup->login.n <= sizeof(s->sasl.user)) {
		s->marks |= MARK_LOGGED_IN;
		s->sasl.user_n = (uint8_t)setup->login.n;
		memcpy(s->sasl.user, setup->login.p, setup->login.n);
	}
}

static bool is_in(const struct net *nets, uint32_t count, const struct addr *a)
{
	for (uint32_t i = 0; i < count; i++)
		if (net_has(&nets[i], a))
			return true;
	return false;
}

/* Greet now, or listen for a while who cannot wait. */
static void welcome(struct step *t)
{
	if (triage_greets_at_once(t))
		dialogue_greet(t);
	else
		session_wait(t, PHASE_WAIT, t->now + t->s->conf->set.greet_delay);
}

static void start_tls(struct step *t)
{
	if (t->standing->handshake_over) {
		session_see(t, EV_HANDSHAKE_OVER);
		session_end(t, END_TLS);
		return;
	}
	t->out->orders |= DO_TLS;
	session_wait(t, PHASE_TLS, t->now + triage_tls_time(t));
}

/* We know who the client is. */
static void begin(struct step *t)
{
	struct session *s = t->s;

	if (is_in(s->conf->xclient_from, s->conf->xclient_count, &s->peer.addr))
		s->marks |= MARK_XCLIENT;
	if (s->listener->tls != TLS_IMPLICIT) {
		welcome(t);
	} else if (s->marks & MARK_TLS_READY) {
		start_tls(t);
	} else {
		session_end(t, END_TLS);
	}
}

void session_opened(struct step *t)
{
	struct session *s = t->s;

	if (s->listener->proxy &&
	    is_in(s->conf->proxy_from, s->conf->proxy_count, &s->via.addr))
		session_wait(t, PHASE_PROXY, t->now + PROXY_WAIT);
	else
		begin(t);
}

/* ---- the PROXY header -------------------------------------------------------------- */

void session_read_proxy(struct step *t)
{
	struct session *s = t->s;
	struct proxy p;

	switch (proxy_next(&t->left, &p)) {
	case PROXY_MORE:
		session_await_bytes(t);
		break;
	case PROXY_BAD:
		session_see(t, EV_PROXY_BAD);
		session_end(t, END_REFUSED);
		break;
	case PROXY_OK:
		if (p.told)
			s->peer = p.peer;
		begin(t);
		break;
	}
}

/* ---- before the greeting ----------------------------------------------------------- */

/* Whoever speaks before our greeting speaks to nobody, and hears so when it is due. */
void session_read_early(struct step *t)
{
	bool early = t->s->marks & MARK_EARLY;

	if (!early && triage_greets_at_once(t)) {
		dialogue_greet(t);
		return;
	}
	if (!early && t->left.n) {
		t->s->marks |= MARK_EARLY;
		session_see(t, EV_EARLY_TALK);
		if (triage_observes(t, RULE_EARLY)) {
			dialogue_greet(t);
			return;
		}
	}
	t->left = span_skip(t->left, t->left.n);
	session_await_bytes(t);
}

void session_end_wait(struct step *t)
{
	if (t->s->marks & MARK_EARLY) {
		session_end_by(t, RULE_EARLY);
	} else {
		t->out->passed = true;
		dialogue_greet(t);
	}
}

/* ---- TLS --------------------------------------------------------------------------- */

void session_in_tls_now(struct step *t)
{
	struct session *s = t->s;

	s->in_tls = true;
	if (t->in->tls)
		s->tls = *t->in->tls;
	if (s->marks & MARK_GREETED)
		dialogue_start_over(t);
	else
		welcome(t);
}

void session_tls_failed(struct step *t)
{
	session_see(t, EV_TLS_FAILED);
	session_abort(t, END_TLS);
}
