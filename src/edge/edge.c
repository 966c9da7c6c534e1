/*
 * The role: what it needs before it serves, the supervisor's orders, and its end.
 */
#include "edge/edge.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/bug.h"
#include "edge/inside.h"

#define BEAT_EVERY ((ms_t)250)
#define SPARED_MIN 64 /* descriptors that are no sessions */
#define DRAIN_MAX  (366 * MS_DAY)
/* For our last words. The supervisor is patient a little longer (app/drain.c). */
#define BYE_TIME MS_SECOND

/* ---- configurations -------------------------------------------------------------------- */

struct rules *rules_hold(struct rules *r)
{
	r->holders++;
	return r;
}

void rules_let_go(struct rules **rules)
{
	struct rules *r = *rules;

	*rules = NULL;
	if (!r || --r->holders)
		return;
	start_unmap_conf(&r->conf);
	free(r);
}

/* This edge's part of what is meant for all of them, rounded up. */
static int64_t part_of(int64_t all, const struct conf *conf)
{
	return (all + conf->set.edges - 1) / conf->set.edges;
}

/* What is left for sessions of so many: some are for links, lists, deliveries. */
static size_t less_spared(size_t most)
{
	size_t spared = SPARED_MIN + most / 32;

	return most > 2 * spared ? most - spared : most - most / 2;
}

/* As many as our descriptors and seats allow; all edges together: sessions.max. */
static void set_most(struct edge *e)
{
	size_t seats = seats_room(&e->guard.memory), fds = SIZE_MAX;
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < fds)
		fds = (size_t)limit.rlim_cur;
	e->conn_max = less_spared(fds < seats ? fds : seats);
	e->socket_max = less_spared(fds);
}

/* Have this configuration in force for what begins from now on. */
static bool adopt(struct edge *e, const struct conf *conf, struct err *err)
{
	struct rules *r = calloc(1, sizeof(*r));

	if (!r) {
		start_unmap_conf(&conf);
		return err_set(err, "out of memory");
	}
	r->conf = conf;
	r->holders = 1;
	if (e->deliveries)
		deliveries_reconf(e->deliveries, conf);
	mailboxes_reconf(e, conf);
	rules_let_go(&e->rules);
	e->rules = r;
	e->letter_memory_max = part_of(conf->set.body_memory, conf);
	edge_guard_adopt(e);
	return true;
}

static void adopt_certs(struct edge *e, int fd)
{
	struct err err;
	struct tls *tls = certs_read(fd, e->rules->conf, &err);

	if (!tls && *err.text) {
		report_trouble(e, "certificates", err.text);
		return; /* the old ones are better than none */
	}
	tls_close(&e->tls);
	e->tls = tls;
}

/* ---- the supervisor's orders ------------------------------------------------------------- */

static bool take_conf(struct edge *e, struct frame *f)
{
	struct msg_CONF m;
	const struct conf *conf;
	struct err err;

	if (!msg_CONF_unpack(f->bytes, &m))
		return false;
	conf = start_map_conf(f->fds[0], &err);
	f->fds[0] = -1;
	if (!conf || !adopt(e, conf, &err)) {
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
	int fd = f->fds[0];

	if (!msg_CERTS_unpack(f->bytes, &m))
		return false;
	f->fds[0] = -1;
	adopt_certs(e, fd);
	return true;
}

static bool take_listener(struct edge *e, struct frame *f)
{
	struct msg_LISTENER m;

	if (!msg_LISTENER_unpack(f->bytes, &m))
		return false;
	ports_set(e, &(struct start_listener){ m.number, m.id, f->fds[0] });
	f->fds[0] = -1;
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
	int fd = f->fds[0];

	if (!msg_PEER_unpack(f->bytes, &m))
		return false;
	if (m.role != ROLE_STORE && m.role != ROLE_FETCH && m.role != ROLE_AUTH)
		return true; /* nobody else talks to us yet */
	f->fds[0] = -1;
	if (!link_open(&link, fd, ROLE_EDGE, (enum role)m.role, m.number, &err))
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

static void stop_all(struct edge *e, bool now)
{
	struct conn *next;

	for (struct conn *c = e->conns; c; c = next) {
		next = c->next;
		conn_stop(c, now);
	}
}

/* Said again when somebody is in a hurry: who reads mail has to leave as well. */
static void drain(struct edge *e, ms_t within, ms_t readers)
{
	bool kept = e->keeps;

	e->keeps = readers > within;
	e->readers_by = loop_now(e->loop) + readers;
	e->saying_bye = false;
	timer_set(&e->drain_end, loop_now(e->loop) + within);
	if (e->draining && kept == e->keeps)
		return;
	if (!e->draining) {
		e->draining = true;
		pulse_gauge_set(e->pulse, GAUGE_DRAINING, 1);
		ports_close(e);
		ports_accept(e, false);
		deliveries_stop(e->deliveries);
		store_tell_leaves(e);
	}
	stop_all(e, false);
	edge_less_busy(e);
}

static bool take_drain(struct edge *e, struct frame *f)
{
	struct msg_DRAIN m;

	if (!msg_DRAIN_unpack(f->bytes, &m))
		return false;
	if (m.within < 0 || m.readers < 0 || m.within > DRAIN_MAX || m.readers > DRAIN_MAX)
		return false;
	drain(e, m.within, m.readers);
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
	drain(e, e->rules->conf->set.silence, 0);
}

/*
 * The link to the store ended, and the store did not: one of us did not like what the other
 * said. Only an edge that is started anew gets another link.
 */
static void on_stranded(void *arg)
{
	struct edge *e = arg;

	if (e->draining) {
		/* the new store is of another version: nobody introduces us */
		e->storeless = true;
		box_link_set(e);
		return;
	}
	report_trouble(e, "store-link", "cut off from the store: this edge ends");
	drain(e, e->rules->conf->set.silence, 0);
}

static void on_life(void *arg, unsigned ready)
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
		if (!take_life(e, &f))
			report_trouble(e, "life-link", message_table[f.kind].word);
		frame_close_fds(&f);
	}
}

/* ---- what other roles say ---------------------------------------------------------------- */

bool edge_receive(struct edge *e, struct peer_link *p, const char *key,
		  bool (*take)(struct edge *e, struct frame *f))
{
	struct frame f;
	struct err err;

	while (p->link) {
		switch (link_recv(p->link, &f, &err)) {
		case LINK_MORE:
			return true;
		case LINK_CLOSED:
			return false;
		case LINK_BROKEN:
			report_trouble(e, key, err.text);
			return false;
		case LINK_GOT:
			break;
		}
		if (!take(e, &f)) {
			report_trouble(e, key, message_table[f.kind].word);
			frame_close_fds(&f);
			return false;
		}
		frame_close_fds(&f);
	}
	return true;
}

/* ---- the end ------------------------------------------------------------------------------ */

void edge_less_busy(void *edge)
{
	struct edge *e = edge;

	if (e->draining && e->conn_count == 0 && deliveries_count(e->deliveries) == 0)
		loop_stop(e->loop);
}

static void cut_off(struct edge *e)
{
	struct conn *next;

	for (struct conn *c = e->conns; c; c = next) {
		next = c->next;
		if (!conn_stays(c))
			conn_abort(c);
	}
}

/* Who can be told is told, then cut off; who stays has a time of its own. */
static void on_drain_end(void *arg)
{
	struct edge *e = arg;
	ms_t now = loop_now(e->loop);

	e->keeps = e->keeps && now < e->readers_by;
	if (!e->saying_bye) {
		e->saying_bye = true;
		timer_set(&e->drain_end, now + BYE_TIME);
		stop_all(e, true);
		return;
	}
	cut_off(e);
	e->saying_bye = false;
	timer_set(&e->drain_end, e->readers_by);
	if (!e->keeps || e->conn_count == 0)
		loop_stop(e->loop);
}

/* ---- times -------------------------------------------------------------------------------- */

static void on_beat(void *arg)
{
	struct edge *e = arg;

	pulse_beat(e->pulse);
	timer_set(&e->beat, loop_now(e->loop) + BEAT_EVERY);
}

static void on_tick(void *arg)
{
	struct edge *e = arg;

	edge_guard_tick(e);
	mailboxes_tick(e);
	auth_tell_held(e);
	timer_set(&e->tick, loop_now(e->loop) + TICK_EVERY);
}

static void on_steps_again(void *arg)
{
	struct edge *e = arg;
	struct conn *c = e->hasty, *next;

	e->hasty = NULL;
	for (; c; c = next) {
		next = c->next_hasty;
		c->hasty = false;
		conn_go_on(c);
	}
}

static void free_dead(struct edge *e)
{
	struct conn **at = &e->dead;

	while (*at) {
		struct conn *c = *at;

		if (c->hasty) { /* still in that list, for one more round */
			at = &c->next;
			continue;
		}
		*at = c->next;
		pool_give(&e->conn_pool, c);
	}
}

static void on_round(void *arg)
{
	free_dead(arg);
}

/* ---- the beginning ------------------------------------------------------------------------ */

static void init_pools(struct edge *e)
{
	pool_init(&e->conn_pool, sizeof(struct conn), 256);
	pool_init(&e->in_pool, IN_MAX, 64);
	pool_init(&e->rest_pool, REST_MAX, 256);
	pool_init(&e->out_pool, (size_t)2 * OUT_MAX, 64);
	pool_init(&e->envelope_pool, ENVELOPE_FIRST, 256);
	pool_init(&e->poor_pool, BODY_POOR, 64);
	pool_init(&e->body_pool, BODY_FIRST, 256);
	pool_init(&e->full_pool, BODY_FULL, 32);
}

static void init_timers(struct edge *e)
{
	timer_init(&e->beat, e->loop, on_beat, e);
	timer_init(&e->accept_again, e->loop, ports_on_pause_over, e);
	timer_init(&e->drain_end, e->loop, on_drain_end, e);
	timer_init(&e->steps_again, e->loop, on_steps_again, e);
	timer_init(&e->stranded, e->loop, on_stranded, e);
	timer_init(&e->tick, e->loop, on_tick, e);
	loop_each_round(e->loop, on_round, e);
}

static void on_trouble(void *edge, const char *key, const char *text)
{
	report_trouble(edge, key, text);
}

/* What needs files or the wide world must be there before the sandbox closes. */
static bool open_all(struct edge *e, struct err *err)
{
	struct start *s = e->start;
	struct deliveries_setup deliveries = {
		.conf = s->conf,
		.pulse = e->pulse,
		.on_sent = store_sent,
		.on_ended = edge_less_busy,
		.on_trouble = on_trouble,
		.ask_credential = auth_ask_credential,
		.arg = e,
		.name_servers = s->conf->set.dns_servers,
		.fetch = &e->fetch,
	};

	if (getrandom(e->key, sizeof(e->key), 0) != sizeof(e->key))
		return err_set(err, "no random numbers");
	if (!loop_open(&e->loop, err) || !edge_guard_open(e, err) ||
	    !adopt(e, s->conf, err))
		return false;
	set_most(e);
	init_timers(e);
	init_pools(e);
	id_maker_init(&e->ids, s->number);
	e->tls = certs_read(s->certs_fd, s->conf, err);
	s->certs_fd = -1;
	if (!e->tls && *err->text)
		return false;
	e->spare_fd = fcntl(link_fd(s->life), F_DUPFD_CLOEXEC, 0);
	fetch_link_init(&e->fetch, e->loop);
	deliveries.loop = e->loop;
	if (!deliveries_open(&e->deliveries, &deliveries, err) || !facts_open(e, err) ||
	    !mailboxes_open(e, err))
		return false;
	facts_adopt(e);
	return true;
}

static void take_over(struct edge *e)
{
	struct start *s = e->start;

	for (size_t i = 0; i < s->listener_count; i++)
		ports_set(e, &s->listeners[i]);
	for (size_t i = 0; i < s->peer_count; i++) {
		if (s->peers[i].role == ROLE_STORE)
			store_link_set(e, s->peers[i].link);
		else if (s->peers[i].role == ROLE_AUTH)
			auth_link_set(e, s->peers[i].link);
		else if (s->peers[i].role == ROLE_FETCH)
			fetch_link_set(&e->fetch, s->peers[i].link);
		else
			link_close(&s->peers[i].link);
	}
	s->listener_count = s->peer_count = 0;
}

static bool serve(struct edge *e, struct err *err)
{
	struct sandbox box = { .role = ROLE_EDGE };

	if (!open_all(e, err) || !start_sandbox(e->start, &box, err))
		return false;
	e->life.link = e->start->life;
	if (!watch_start(e->loop, &e->life.watch, link_fd(e->life.link), WATCH_READ,
			 on_life, e))
		return err_set(err, "the link to the supervisor cannot be watched");
	take_over(e);
	if (!start_ready(e->start, err))
		return false;
	on_beat(e);
	on_tick(e);
	loop_run(e->loop);
	return true;
}

static void close_all(struct edge *e)
{
	while (e->conns)
		conn_abort(e->conns);
	on_steps_again(e);
	free_dead(e);
	ports_close(e);
	store_link_lost(e);
	auth_link_lost(e);
	mailboxes_close(e);
	deliveries_close(&e->deliveries);
	fetch_link_set(&e->fetch, NULL);
	facts_close(e);
	loop_close(&e->loop);
	tls_close(&e->tls);
	rules_let_go(&e->rules);
	edge_guard_close(e);
	if (e->recipients.n)
		munmap((void *)(uintptr_t)e->recipients.p, e->recipients.n);
	if (e->spare_fd >= 0)
		close(e->spare_fd);
	pool_close(&e->conn_pool);
	pool_close(&e->in_pool);
	pool_close(&e->rest_pool);
	pool_close(&e->out_pool);
	pool_close(&e->envelope_pool);
	pool_close(&e->poor_pool);
	pool_close(&e->body_pool);
	pool_close(&e->full_pool);
}

int edge_main(struct start *start)
{
	struct edge *e = calloc(1, sizeof(*e));
	struct err err = { "out of memory" };
	bool served;

	if (!e) {
		start_failed(start, &err);
		return 1;
	}
	e->start = start;
	e->pulse = start->pulse;
	e->spare_fd = -1;
	for (size_t i = 0; i < COUNT_OF(e->ports); i++)
		e->ports[i].fd = -1;
	served = serve(e, &err);
	if (!served)
		start_failed(start, &err);
	close_all(e);
	free(e);
	return served ? 0 : 1;
}
