/*
 * The role: what it needs before it serves, what it does from time to time, and what it leaves
 * behind.
 */
#include "edge/edge.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <unistd.h>

#include "edge/inside.h"
#include "io/idn.h"

#define BEAT_EVERY ((ms_t)250)
#define SPARED_MIN 64 /* descriptors that are no sessions */

/* ---- what other roles say --------------------------------------------------------------- */

bool edge_receive(struct edge *e, struct peer_link *p, const char *key,
		  bool (*take)(struct edge *e, struct frame *f))
{
	struct frame f;
	struct err err;

	for (int i = 0; p->link && i < LINK_FRAMES_ONCE; i++) {
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

/* ---- times ------------------------------------------------------------------------------ */

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

/* ---- the beginning ---------------------------------------------------------------------- */

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
	e->descriptor_max = fds - (fds - e->socket_max) / 2;
}

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
	timer_init(&e->drain_end, e->loop, drain_on_end, e);
	timer_init(&e->steps_again, e->loop, on_steps_again, e);
	timer_init(&e->stranded, e->loop, drain_on_stranded, e);
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
	if (!idn_open(err) || !loop_open(&e->loop, err) || !edge_guard_open(e, err) ||
	    !rules_adopt(e, s->conf, err))
		return false;
	set_most(e);
	init_timers(e);
	init_pools(e);
	id_maker_init(&e->ids, s->number);
	e->tls = certs_read(s->certs_fd, s->conf, s, err);
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
			 supervisor_on_ready, e))
		return err_set(err, "the link to the supervisor cannot be watched");
	take_over(e);
	if (!start_ready(e->start, err))
		return false;
	on_beat(e);
	on_tick(e);
	loop_run(e->loop);
	return true;
}

/* ---- the end ---------------------------------------------------------------------------- */

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
