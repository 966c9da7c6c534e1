/*
 * What the supervisor says to an edge.
 */
#include "edge/inside.h"

#define DRAIN_MAX (366 * MS_DAY)

static bool take_conf(struct edge *e, struct frame *f)
{
	struct msg_CONF m;
	const struct conf *conf;
	struct err err;

	if (!msg_CONF_unpack(f->bytes, &m))
		return false;
	conf = start_map_conf(frame_take_fd(f, 0), &err);
	if (!conf || !rules_adopt(e, conf, &err)) {
		report_trouble(e, "reload", err.text);
		return true;
	}
	e->start->conf = e->rules->conf;
	ports_accept(e, e->accepting);
	facts_adopt(e);
	return true;
}

static bool take_certs(struct edge *e, struct frame *f)
{
	struct msg_CERTS m;

	if (!msg_CERTS_unpack(f->bytes, &m))
		return false;
	rules_adopt_certs(e, frame_take_fd(f, 0));
	return true;
}

static bool take_listener(struct edge *e, struct frame *f)
{
	struct msg_LISTENER m;

	if (!msg_LISTENER_unpack(f->bytes, &m))
		return false;
	ports_set(e, &(struct start_listener){ m.number, m.id, frame_take_fd(f, 0) });
	return true;
}

static bool take_unlisten(struct edge *e, struct frame *f)
{
	struct msg_UNLISTEN m;

	if (!msg_UNLISTEN_unpack(f->bytes, &m))
		return false;
	ports_drop(e, m.id);
	return true;
}

static bool take_peer(struct edge *e, struct frame *f)
{
	struct msg_PEER m;
	struct link *link;
	struct err err;

	if (!msg_PEER_unpack(f->bytes, &m))
		return false;
	if (m.role != ROLE_STORE && m.role != ROLE_FETCH && m.role != ROLE_AUTH)
		return true; /* nobody else talks to us yet */
	if (!link_open(&link, frame_take_fd(f, 0), ROLE_EDGE, (enum role)m.role, m.number,
		       &err))
		report_trouble(e, "link", err.text);
	else if (m.role == ROLE_STORE)
		store_link_set(e, link);
	else if (m.role == ROLE_AUTH)
		auth_link_set(e, link);
	else
		fetch_link_set(&e->fetch, link);
	return true;
}

static bool take_gone(struct edge *e, struct frame *f)
{
	struct msg_GONE m;

	if (!msg_GONE_unpack(f->bytes, &m))
		return false;
	if (m.role == ROLE_STORE) {
		store_link_lost(e);
		timer_stop(&e->stranded); /* another one comes */
	}
	if (m.role == ROLE_AUTH)
		auth_link_lost(e);
	if (m.role == ROLE_FETCH)
		fetch_link_set(&e->fetch, NULL);
	if (m.role == ROLE_EDGE && m.number != e->start->number)
		edge_guard_mend(e, m.number);
	return true;
}

static bool take_drain(struct edge *e, struct frame *f)
{
	struct msg_DRAIN m;

	if (!msg_DRAIN_unpack(f->bytes, &m))
		return false;
	if (m.within < 0 || m.readers < 0 || m.within > DRAIN_MAX || m.readers > DRAIN_MAX)
		return false;
	drain_begin(e, m.within, m.readers);
	return true;
}

static bool take_life(struct edge *e, struct frame *f)
{
	switch (f->kind) {
	case MSG_CONF:
		return take_conf(e, f);
	case MSG_CERTS:
		return take_certs(e, f);
	case MSG_LISTENER:
		return take_listener(e, f);
	case MSG_UNLISTEN:
		return take_unlisten(e, f);
	case MSG_PEER:
		return take_peer(e, f);
	case MSG_GONE:
		return take_gone(e, f);
	case MSG_ACCESS:
		return edge_guard_take_access(e, f);
	case MSG_DRAIN:
		return take_drain(e, f);
	default:
		return false;
	}
}

/* Nobody would restart or stop us any more: end what can be ended soon, and go. */
static void orphaned(struct edge *e)
{
	watch_stop(&e->life.watch);
	drain_begin(e, e->rules->conf->set.silence, 0);
}

void supervisor_on_ready(void *arg, unsigned ready)
{
	struct edge *e = arg;
	struct frame f;
	struct err err;

	if (ready & WATCH_WRITE && !link_flush(e->life.link)) {
		orphaned(e);
		return;
	}
	for (;;) {
		enum link_got got = link_recv(e->life.link, &f, &err);

		if (got == LINK_MORE)
			return;
		if (got != LINK_GOT) {
			orphaned(e);
			return;
		}
		if (!link_lost(e->life.link, &f) && !take_life(e, &f))
			report_trouble(e, "life-link", message_table[f.kind].word);
		frame_close_fds(&f);
	}
}
