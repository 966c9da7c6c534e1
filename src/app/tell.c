#include "app/life.h"

#include <unistd.h>

#include "base/fields.h"

/* Who talks to whom. Each pair has a link of its own; nobody else has any. */
static const enum role talk_table[][2] = {
	{ ROLE_EDGE, ROLE_STORE },     { ROLE_EDGE, ROLE_WATCH },
	{ ROLE_STORE, ROLE_WATCH },    { ROLE_AUTH, ROLE_WATCH },
	{ ROLE_FIREWALL, ROLE_WATCH }, { ROLE_EDGE, ROLE_AUTH },
	{ ROLE_STORE, ROLE_AUTH },     { ROLE_EDGE, ROLE_FETCH },
	{ ROLE_AUTH, ROLE_FETCH },
};

static bool talk(enum role a, enum role b)
{
	for (size_t i = 0; i < COUNT_OF(talk_table); i++)
		if ((talk_table[i][0] == a && talk_table[i][1] == b) ||
		    (talk_table[i][0] == b && talk_table[i][1] == a))
			return true;
	return false;
}

/* Can this one be told anything? Others may be dead, or speak another language. */
static bool listens(const struct child *c)
{
	return c->state != CHILD_NONE && c->role != ROLE_NONE && c->role != ROLE_LOADER &&
	       c->life && !c->why && !is_foreign(c);
}

/* The message is packed; a child that does not take what we send is of no use. */
static bool tell(struct child *c, const int *fds, size_t fd_count)
{
	if (link_send(c->life, fds, fd_count)) {
		watch_mask(&c->watch,
			   WATCH_READ | (link_waiting(c->life) ? WATCH_WRITE : 0));
		return true;
	}
	/* one that drains may have left already; one that starts is seen to by who starts it */
	if (c->pid > 0 && c->state == CHILD_READY)
		child_kill(c, "it does not take what the supervisor sends");
	return false;
}

static void tell_access(struct child *c)
{
	struct msg_ACCESS m = { c->s->generation };

	if (c->role != ROLE_EDGE && c->role != ROLE_WATCH && c->role != ROLE_FIREWALL)
		return;
	msg_ACCESS_pack(&m, link_begin(c->life));
	(void)tell(c, &c->s->conf_fds[3], 1);
}

/* Auth, where clients log in with certificates: it looks at these again. */
static bool wants_authorities(const struct child *c)
{
	return c->role == ROLE_AUTH && c->s->conf->mechanisms & 1u << SASL_EXTERNAL;
}

void tell_conf(struct child *c)
{
	struct msg_CONF conf;
	struct msg_CERTS certs;
	struct msg_TABLES tables;

	if (!listens(c))
		return;
	conf.generation = certs.generation = tables.generation = c->s->generation;
	msg_CONF_pack(&conf, link_begin(c->life));
	(void)tell(c, &c->s->conf_fds[0], 1);
	if (c->role == ROLE_EDGE || wants_authorities(c)) {
		msg_CERTS_pack(&certs, link_begin(c->life));
		(void)tell(c, &c->s->conf_fds[1], 1);
	}
	tell_access(c);
	if (c->role == ROLE_STORE) {
		msg_TABLES_pack(&tables, link_begin(c->life));
		(void)tell(c, &c->s->conf_fds[2], 1);
	}
}

static unsigned number_of(const struct conf *conf, uint64_t id)
{
	for (uint32_t i = 0; i < conf->listener_count; i++)
		if (conf->listeners[i].id == id)
			return i;
	return LISTENER_CONTROL;
}

void tell_port(struct child *c, const struct port *p)
{
	struct msg_LISTENER m = { .id = p->id };

	/* one that drains would only hold it open */
	if (!listens(c) || c->state == CHILD_DRAINING)
		return;
	m.number = (uint16_t)number_of(c->s->conf, p->id);
	if (m.number == LISTENER_CONTROL)
		return;
	msg_LISTENER_pack(&m, link_begin(c->life));
	(void)tell(c, &p->fd, 1);
}

void tell_unlisten(struct child *c, const struct port *p)
{
	struct msg_UNLISTEN m = { p->id };

	if (!listens(c) || c->role != ROLE_EDGE)
		return;
	msg_UNLISTEN_pack(&m, link_begin(c->life));
	(void)tell(c, NULL, 0);
}

static void tell_control(struct child *c)
{
	struct msg_LISTENER m = { LISTENER_CONTROL, 0 };

	msg_LISTENER_pack(&m, link_begin(c->life));
	(void)tell(c, &c->s->control, 1);
}

/* What is shared: one may write to it, the others only read. */
static void tell_shared(struct child *c)
{
	const struct shared *guard = &c->s->guard, *orders = &c->s->orders,
			    *accounts = &c->s->accounts;
	struct msg_GUARD g = { guard->fresh };
	struct msg_ORDERS o = { orders->fresh };
	struct msg_ACCOUNTS a = { accounts->fresh };

	if (c->role == ROLE_EDGE || c->role == ROLE_STORE || c->role == ROLE_WATCH) {
		msg_GUARD_pack(&g, link_begin(c->life));
		(void)tell(c, c->role == ROLE_EDGE ? &guard->rw : &guard->ro, 1);
	}
	if (c->role == ROLE_EDGE || c->role == ROLE_WATCH) {
		msg_ORDERS_pack(&o, link_begin(c->life));
		(void)tell(c, c->role == ROLE_WATCH ? &orders->rw : &orders->ro, 1);
	}
	if (c->role == ROLE_AUTH || c->role == ROLE_WATCH) {
		msg_ACCOUNTS_pack(&a, link_begin(c->life));
		(void)tell(c, c->role == ROLE_AUTH ? &accounts->rw : &accounts->ro, 1);
	}
}

/*
 * Auth makes tickets and the store checks them. An edge must never have the key: what it may
 * do in somebody's name is what auth has given it.
 */
static void tell_tickets(struct child *c)
{
	struct msg_TICKETS m = { 0 };

	if (c->role != ROLE_AUTH && c->role != ROLE_STORE)
		return;
	msg_TICKETS_pack(&m, link_begin(c->life));
	(void)tell(c, &c->s->tickets.ro, 1);
}

static void tell_stek(struct child *c)
{
	struct msg_STEK m = { 0 };

	if (c->role != ROLE_EDGE)
		return;
	msg_STEK_pack(&m, link_begin(c->life));
	(void)tell(c, &c->s->stek.ro, 1);
}

/*
 * To a new edge: these died before it was there to hear of it. If it has the number of one
 * of them, nobody else will mend what that one left.
 */
static void tell_dead_edges(struct child *c)
{
	for (unsigned n = 0; c->role == ROLE_EDGE && n < EDGES_MAX; n++) {
		struct msg_GONE m = { ROLE_EDGE, (uint16_t)n };

		if (!c->s->edge_ended[n])
			continue;
		msg_GONE_pack(&m, link_begin(c->life));
		(void)tell(c, NULL, 0);
	}
	if (c->role == ROLE_EDGE)
		c->s->edge_ended[c->number] = 0;
}

/* To a watch: there is another one whose records and counts are to be read. */
static void tell_pulse_of(struct child *watch, enum role role, unsigned number, pid_t pid,
			  int pulse, int doorbell)
{
	struct msg_PULSE_OF m = { (uint8_t)role, (uint16_t)number, (uint32_t)pid };
	int fds[2] = { pulse, doorbell };

	if (!listens(watch) || pulse < 0)
		return;
	msg_PULSE_OF_pack(&m, link_begin(watch->life));
	(void)tell(watch, fds, 2);
}

static void tell_pulses(struct child *c)
{
	struct supervisor *s = c->s;

	if (c->role == ROLE_WATCH)
		tell_pulse_of(c, ROLE_SUPERVISOR, 0, getpid(), s->pulse_fd, s->doorbell);
	for (struct child *o = s->children; o < s->children + CHILDREN_MAX; o++) {
		if (o->state == CHILD_NONE)
			continue;
		if (c->role == ROLE_WATCH && (o == c || o->pulse))
			tell_pulse_of(c, o->role, o->number, o->pid, o->pulse_fd,
				      o->doorbell);
		else if (o->role == ROLE_WATCH)
			tell_pulse_of(o, c->role, c->number, c->pid, c->pulse_fd,
				      c->doorbell);
	}
}

static bool tell_peer(struct child *c, const struct child *peer, int fd)
{
	struct msg_PEER m = { (uint8_t)peer->role, (uint16_t)peer->number };

	msg_PEER_pack(&m, link_begin(c->life));
	return tell(c, &fd, 1);
}

/* One that drains meets nobody new; only an edge still has mail to hand over. */
static bool meets(const struct child *o)
{
	return listens(o) && (o->state != CHILD_DRAINING || o->role == ROLE_EDGE);
}

static bool introduce(struct child *a, struct child *b, struct err *err)
{
	int fds[2];
	bool told;

	if (!link_pair(fds, err))
		return false;
	told = tell_peer(a, b, fds[0]);
	(void)tell_peer(b, a, fds[1]);
	close(fds[0]);
	close(fds[1]);
	return told || err_set(err, "it took nothing");
}

bool tell_all(struct child *c, int pulse, struct err *err)
{
	struct supervisor *s = c->s;
	struct msg_PULSE own = { (uint8_t)c->role, (uint16_t)c->number, (uint32_t)c->pid };
	struct msg_GO go = { 0 };
	int fds[2] = { pulse, c->doorbell };

	msg_PULSE_pack(&own, link_begin(c->life));
	if (!tell(c, fds, 2))
		return err_set(err, "it took nothing");
	tell_conf(c);
	tell_shared(c);
	tell_tickets(c);
	tell_stek(c);
	tell_dead_edges(c);
	for (size_t i = 0; c->role == ROLE_EDGE && i < s->ports.count; i++)
		tell_port(c, &s->ports.port[i]);
	if (c->role == ROLE_WATCH)
		tell_control(c);
	for (struct child *o = s->children; o < s->children + CHILDREN_MAX; o++)
		if (o != c && meets(o) && talk(c->role, o->role) && !introduce(c, o, err))
			return false;
	/* last: what watch shows as serving has a link already */
	tell_pulses(c);
	msg_GO_pack(&go, link_begin(c->life));
	return tell(c, NULL, 0) || err_set(err, "it took nothing");
}

/* Does a role of this kind want to know that one of that kind has ended? */
static bool cares(enum role role, enum role gone)
{
	/* edges share the guard's memory: the living mend what a dead one was writing */
	return role == ROLE_WATCH || (role == ROLE_EDGE && gone == ROLE_EDGE) ||
	       talk(role, gone);
}

void tell_gone(struct supervisor *s, const struct child *gone)
{
	struct msg_GONE m = { (uint8_t)gone->role, (uint16_t)gone->number };

	for (struct child *o = s->children; o < s->children + CHILDREN_MAX; o++) {
		if (o == gone || !listens(o) || !cares(o->role, gone->role))
			continue;
		msg_GONE_pack(&m, link_begin(o->life));
		(void)tell(o, NULL, 0);
	}
}

/* ---- what was lost ------------------------------------------------------------------- */

static bool was_lost(const uint32_t lost[ROLE_COUNT], const struct child *about)
{
	return about->number < EDGES_MAX && lost[about->role] & UINT32_C(1)
									<< about->number;
}

/* Both get a new link: the end that was lost is closed, which the other has seen. */
static void introduce_again(struct child *c, const struct lost *was, struct child *o)
{
	struct err err;

	if (!was_lost(was->peers, o) || !meets(o) || !talk(c->role, o->role) ||
	    introduce(c, o, &err))
		return;
	c->lost.peers[o->role] |= UINT32_C(1) << o->number;
	c->lost.again = loop_now(c->s->loop) + LOST_AGAIN;
	say(c->s, LOG_CAPACITY, "link", err.text);
}

void tell_again(struct child *c)
{
	const struct lost was = c->lost;
	struct supervisor *s = c->s;

	/* after an upgrade there is no configuration to be told of yet */
	if (!was.again || loop_now(s->loop) < was.again || !s->conf)
		return;
	c->lost = (struct lost){ 0 };
	if (!listens(c))
		return;
	if (was.conf)
		tell_conf(c);
	for (size_t i = 0; was.ports && c->role == ROLE_EDGE && i < s->ports.count; i++)
		tell_port(c, &s->ports.port[i]);
	if (was_lost(was.pulses, &(struct child){ .role = ROLE_SUPERVISOR }))
		tell_pulse_of(c, ROLE_SUPERVISOR, 0, getpid(), s->pulse_fd, s->doorbell);
	for (struct child *o = s->children; o < s->children + CHILDREN_MAX; o++) {
		if (o == c || o->state == CHILD_NONE)
			continue;
		introduce_again(c, &was, o);
		if (was_lost(was.pulses, o))
			tell_pulse_of(c, o->role, o->number, o->pid, o->pulse_fd,
				      o->doorbell);
	}
}
