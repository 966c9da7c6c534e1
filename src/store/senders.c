#include "store/senders.h"

#include "store/edges.h"
#include "store/inner.h"
#include "store/vouch.h"

struct looking {
	struct span login;
	bool found;
};

static bool on_target(void *arg, const struct target *t)
{
	struct looking *l = arg;

	l->found |= span_eq(t->mailbox, l->login);
	return true;
}

/* Does mail to that address come to this user? */
static enum verdict leads_to(const struct recipients *r, struct span address,
			     struct span login)
{
	struct looking l = { .login = login };
	enum expanded how;
	struct pile pile;

	pile_init(&pile);
	how = recipients_expand(r, address, false, &pile, on_target, &l);
	pile_close(&pile);
	if (how == EXPANDED_MEMORY)
		return VERDICT_UNKNOWN;
	return l.found ? VERDICT_YES : VERDICT_NO;
}

/* "info@example.org", or "@example.org" for all of it. */
static bool is_allowed(const struct conf *conf, struct span login, struct span address)
{
	for (uint32_t i = 0; i < conf->send_as_count; i++) {
		const struct send_as *a = &conf->send_as[i];
		struct span what = span_str(a->address);
		bool all = what.n && what.p[0] == '@';

		if (span_eq_nocase(span_str(a->login), login) &&
		    (all ? span_eq_nocase(span_tail(address, what.n), what)
			 : span_eq_nocase(address, what)))
			return true;
	}
	return false;
}

enum verdict senders_judge(const struct recipients *r, struct span login,
			   struct span address)
{
	uint8_t mem[2][ADDRESS_MAX];

	login = recipients_lower(login, mem[0]);
	address = recipients_lower(address, mem[1]);
	if (!login.n || !address.n)
		return VERDICT_NO;
	if (span_eq(login, address) || is_allowed(r->conf, login, address))
		return VERDICT_YES;
	return leads_to(r, address, login);
}

bool senders_asked(struct store *s, struct edge_link *e, struct frame *f, struct err *err)
{
	struct vouched who;
	struct msg_MAY_SEND m;
	struct msg_VERDICT v;
	struct claim c;

	if (!msg_MAY_SEND_unpack(f->bytes, &m))
		return err_set(err, "edge %u asked about a sender that makes no sense",
			       e->number);
	c = (struct claim){ e->number, m.login, m.ticket, f->fds[0] };
	if (f->lost) /* its socket, for which there was no number here: a failure for now */
		who = (struct vouched){ .says = TICKET_LATE };
	else
		who = c.socket < 0 ? vouch_login(s, &c) : vouch_program(s, &c);
	if (who.says == TICKET_FORGED)
		return err_set(err,
			       "edge %u asked about the addresses of who did not log in",
			       e->number);
	v = (struct msg_VERDICT){ .ask = m.ask, .verdict = VERDICT_UNKNOWN };
	if (who.says == TICKET_GOOD)
		v.verdict = (uint8_t)senders_judge(&s->recipients, m.login, m.address);
	msg_VERDICT_pack(&v, link_begin(e->link));
	if (!link_send(e->link, NULL, 0))
		return err_set(err, "edge %u cannot be answered", e->number);
	edges_sent(e);
	return true;
}
