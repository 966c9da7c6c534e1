#include "store/store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "db/queue_route.h"
#include "store/auth_link.h"
#include "store/box.h"
#include "store/control.h"
#include "store/inner.h"
#include "store/jobs.h"
#include "store/remember.h"
#include "store/route.h"
#include "store/sent.h"
#include "store/sign.h"
#include "store/spool.h"
#include "store/upkeep.h"
#include "store/verify.h"

#define FRAMES_ONCE	  64
#define DESTINATIONS_ONCE 1000
#define DESTINATIONS_KEPT 10000		  /* that nothing goes to any more */
#define DRAIN_WAITS	  (2 * MS_SECOND) /* for next hops, at most */

void trouble_log(struct store *s, const char *key, const char *fmt, ...)
{
	char text[480];
	uint8_t mem[640];
	struct buf row;
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	buf_init(&row, mem, sizeof(mem));
	field_text(&row, "key", span_str(key));
	field_text(&row, "what", span_str(text));
	pulse_log(s->pulse, LOG_TROUBLE, loop_wall(s->loop), NULL, buf_span(&row));
}

/* ---- batches ---- */

static void on_gone(void *arg, uint64_t id)
{
	spool_remove(arg, id);
}

static void on_batch(void *arg, const struct err *err)
{
	struct store *s = arg;

	if (err && !s->broken)
		trouble_log(s, "database", "%s", err->text);
	s->broken = err != NULL;
	upkeep_judge_room(s);
	jobs_turn(s);
	schedule_pump(s);
}

static bool is_drained(const struct store *s)
{
	if (!writer_is_idle(s->writer) || s->line.first || s->line.jobs || s->reading ||
	    s->measuring || s->quota_busy || s->syncing || s->spools_opening ||
	    s->routing || box_busy(s) || remember_busy(s->remember))
		return false;
	return s->schedule.under_way == 0 || loop_now(s->loop) >= s->drain_by;
}

/* What one round of events brought is committed, and written to mailboxes, together. */
static void on_round(void *arg)
{
	struct store *s = arg;

	local_round(s);
	writer_kick(s->writer);
	edges_pace(s);
	if (s->draining && is_drained(s))
		loop_stop(s->loop);
}

static void drain(struct store *s, ms_t within)
{
	if (s->draining)
		return;
	s->draining = true;
	remember_drain(s->remember);
	sent_save(s);
	writer_hurry(s->writer);
	s->drain_by = loop_now(s->loop) + (within < DRAIN_WAITS ? within : DRAIN_WAITS);
}

/* ---- watch ---- */

static void drop_watch(struct store *s)
{
	watch_stop(&s->watch_watch);
	link_close(&s->watch);
	control_gone(s);
}

static void on_watch(void *arg, unsigned ready)
{
	struct store *s = arg;
	struct frame f;
	struct err err;
	bool good = !(ready & WATCH_WRITE) || link_flush(s->watch);

	for (int i = 0; good && i < FRAMES_ONCE; i++) {
		enum link_got got = link_recv(s->watch, &f, &err);

		if (got == LINK_MORE)
			break;
		good = got == LINK_GOT && control_asked(s, &f, &err);
		if (got == LINK_BROKEN || (got == LINK_GOT && !good))
			trouble_log(s, "watch", "%s", err.text);
	}
	if (!good) {
		drop_watch(s);
		return;
	}
	watch_mask(&s->watch_watch,
		   WATCH_READ | (link_waiting(s->watch) ? WATCH_WRITE : 0));
	control_pump(s);
}

static void meet(struct store *s, struct link *link)
{
	if (link_role(link) == ROLE_EDGE) {
		edges_meet(s, link);
		return;
	}
	if (link_role(link) == ROLE_AUTH) {
		auth_link_meet(s, link);
		return;
	}
	if (link_role(link) != ROLE_WATCH) {
		link_close(&link);
		return;
	}
	drop_watch(s);
	s->watch = link;
	if (!watch_start(s->loop, &s->watch_watch, link_fd(link), WATCH_READ, on_watch, s))
		drop_watch(s);
}

/* ---- the supervisor ---- */

static void note_hostname(struct store *s)
{
	if (s->conf->set.hostname[0])
		snprintf(s->hostname, sizeof(s->hostname), "%s", s->conf->set.hostname);
	else if (gethostname(s->hostname, sizeof(s->hostname) - 1) != 0)
		snprintf(s->hostname, sizeof(s->hostname), "localhost");
}

static int take_fd(struct frame *f)
{
	int fd = f->fds[0];

	f->fds[0] = -1;
	return fd;
}

static bool take_conf(struct store *s, struct frame *f, struct err *err)
{
	const struct conf *old = s->conf, *conf = start_map_conf(take_fd(f), err);

	if (!conf)
		return false;
	s->conf = s->start->conf = conf;
	note_hostname(s);
	notices_limit(&s->notices, conf->set.bounce_budget);
	people_publish(s); /* points to the new one from here on */
	route_changed(s, old);
	start_unmap_conf(&old);
	schedule_pump(s);
	return true;
}

static bool read_tables(struct store *s, int fd, struct err *err)
{
	struct stat st;
	void *map;
	bool good;

	if (fstat(fd, &st) < 0 || st.st_size <= 0)
		return err_set(err, "tables: %s", strerror(errno));
	map = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (map == MAP_FAILED)
		return err_set(err, "tables: %s", strerror(errno));
	good = recipients_give(&s->recipients, span_of(map, (size_t)st.st_size), err);
	munmap(map, (size_t)st.st_size);
	return good;
}

static bool take_tables(struct store *s, struct frame *f, struct err *err)
{
	int fd = take_fd(f);
	bool good = read_tables(s, fd, err);

	close(fd);
	if (good)
		people_publish(s);
	return good;
}

static bool take_peer(struct store *s, struct frame *f, struct err *err)
{
	struct msg_PEER m;
	struct link *link;

	if (!msg_PEER_unpack(f->bytes, &m) || m.role >= ROLE_COUNT)
		return err_set(err, "peer makes no sense");
	if (!link_open(&link, take_fd(f), ROLE_STORE, (enum role)m.role, m.number, err))
		return false;
	meet(s, link);
	return true;
}

static bool take_life(struct store *s, struct frame *f, struct err *err)
{
	struct msg_DRAIN m;

	if (f->kind == MSG_CONF)
		return take_conf(s, f, err);
	if (f->kind == MSG_TABLES)
		return take_tables(s, f, err);
	if (f->kind == MSG_PEER)
		return take_peer(s, f, err);
	if (f->kind == MSG_DRAIN && msg_DRAIN_unpack(f->bytes, &m))
		drain(s, m.within);
	/* GONE says what the links' ends will say, after what was still in them */
	return true;
}

static void on_life(void *arg, unsigned ready)
{
	struct store *s = arg;
	struct frame f;
	struct err err;

	(void)ready;
	for (;;) {
		switch (link_recv(s->start->life, &f, &err)) {
		case LINK_GOT:
			if (!take_life(s, &f, &err))
				trouble_log(s, "supervisor", "%s", err.text);
			frame_close_fds(&f);
			continue;
		case LINK_MORE:
			return;
		case LINK_BROKEN:
			trouble_log(s, "supervisor", "%s", err.text);
			s->exit_code = 1;
			break;
		case LINK_CLOSED:
			break;
		}
		watch_stop(&s->life_watch);
		drain(s, DRAIN_WAITS);
		return;
	}
}

/* ---- the start ---- */

struct loading {
	struct store *store;
	bool failed;
};

static void on_user(void *arg, struct span address, int64_t quota)
{
	struct loading *l = arg;

	l->failed |= !people_put_user(&l->store->recipients.own, address, quota);
}

static void on_alias(void *arg, struct span address, struct span target)
{
	struct loading *l = arg;

	l->failed |= !people_add_target(&l->store->recipients.own, address, target);
}

static void on_domain(void *arg, struct span name, struct span catch_all)
{
	struct loading *l = arg;

	l->failed |= !people_put_domain(&l->store->recipients.own, name, catch_all);
}

static void on_located(void *arg, struct span login, struct span backend)
{
	struct loading *l = arg;

	l->failed |= !people_put_located(&l->store->recipients.own, login, backend);
}

static bool load_people(struct store *s, struct err *err)
{
	struct loading l = { .store = s };

	if (!recipients_open(&s->recipients, err) ||
	    !state_each_user(s->state, on_user, &l, err) ||
	    !state_each_alias(s->state, on_alias, &l, err) ||
	    !state_each_domain(s->state, on_domain, &l, err) ||
	    !state_each_located(s->state, on_located, &l, err))
		return false;
	if (l.failed)
		return err_set(err, "out of memory for users");
	if (s->start->tables_fd >= 0 && !read_tables(s, s->start->tables_fd, err))
		return false;
	return recipients_build(&s->recipients, s->conf, err);
}

static void on_destination(void *arg, const struct queue_destination *d)
{
	struct loading *l = arg;

	l->failed |= !deliver_found(l->store, d->id, d->hop, d->target, d->due);
}

/* Those that have something waiting, as many as there is room for. */
static bool load_destinations(struct store *s, struct loading *l, struct err *err)
{
	int64_t after = 0;

	schedule_open(&s->schedule, s->destination_key, DESTINATIONS_MAX);
	schedule_clock(&s->schedule, loop_now(s->loop), loop_wall(s->loop));
	schedule_limit(&s->schedule, &s->conf->set);
	if (!queue_prune_destinations(s->queue, DESTINATIONS_KEPT, err))
		return false;
	do
		if (!queue_waiting_destinations(s->queue, &after, DESTINATIONS_ONCE,
						on_destination, l, err))
			return false;
	while (after);
	return true;
}

static bool load_queue(struct store *s, struct err *err)
{
	struct loading l = { .store = s };
	int64_t counts[QUEUE_GONE], sum = 0;

	if (!load_destinations(s, &l, err) ||
	    !queue_newest(s->queue, &s->newest_at_start, err) ||
	    !queue_count(s->queue, counts, err))
		return false;
	if (l.failed)
		return err_set(err, "the queue has destinations that are not known");
	for (size_t i = 0; i < QUEUE_PURGED; i++)
		sum += counts[i];
	pulse_gauge_set(s->pulse, GAUGE_QUEUE, sum);
	pulse_gauge_set(s->pulse, GAUGE_DELIVERIES, 0);
	return true;
}

/* They outlive restarts: addresses that were made with them come back for weeks. */
static bool read_keys(struct store *s, struct err *err)
{
	uint64_t fresh[4][2];

	if (getrandom(fresh, sizeof(fresh), 0) != sizeof(fresh))
		return err_set(err, "getrandom: %s", strerror(errno));
	memcpy(s->srs_key, fresh[0], sizeof(s->srs_key));
	memcpy(s->batv_key, fresh[1], sizeof(s->batv_key));
	memcpy(s->destination_key, fresh[2], sizeof(s->destination_key));
	notices_open(&s->notices, s, fresh[3]);
	notices_limit(&s->notices, s->conf->set.bounce_budget);
	return state_secret(s->state, SPAN("srs"), (uint8_t *)s->srs_key,
			    sizeof(s->srs_key), err) &&
	       state_secret(s->state, SPAN("batv"), (uint8_t *)s->batv_key,
			    sizeof(s->batv_key), err) &&
	       state_secret(s->state, SPAN("destinations"), (uint8_t *)s->destination_key,
			    sizeof(s->destination_key), err);
}

static bool open_files(struct store *s, struct err *err)
{
	const struct settings *set = &s->conf->set;
	char path[2 * TEXT_MAX];

	if (!maildirs_open(&s->maildirs, set->dir, set->maildirs, err))
		return false;
	snprintf(path, sizeof(path), "%s/queue/spool", set->dir);
	s->spool_dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (s->spool_dir < 0)
		return err_set(err, "%s: %s", path, strerror(errno));
	snprintf(path, sizeof(path), "%s/state/state.db", set->dir);
	if (!state_open(&s->state, path, err) || !read_keys(s, err))
		return false;
	snprintf(path, sizeof(path), "%s/queue/queue.db", set->dir);
	if (!queue_open(&s->queue, path, loop_wall(s->loop), err) ||
	    !queue_reader_open(&s->reader, path, err))
		return false;
	upkeep_measure(s);
	/* the log of a small disk must not be what fills it */
	queue_limit_log(s->queue, s->room / 64);
	return true;
}

static bool close_in(struct store *s, struct err *err)
{
	const char *dir = s->conf->set.dir;
	char queue[TEXT_MAX + 16], state[TEXT_MAX + 16];
	const char *paths[] = { queue, state, s->maildirs.root_path, NULL };
	struct sandbox box = { .role = ROLE_STORE, .read_write = paths };

	snprintf(queue, sizeof(queue), "%s/queue", dir);
	snprintf(state, sizeof(state), "%s/state", dir);
	return start_sandbox(s->start, &box, err);
}

static bool enter(struct store *s, struct err *err)
{
	const struct writer_hook hook = { on_gone, upkeep_measure, on_batch, s };

	note_hostname(s);
	if (!loop_open(&s->loop, err) || !open_files(s, err) || !load_people(s, err) ||
	    !load_queue(s, err) || !sent_open(&s->sent, s, err) ||
	    !verify_open(&s->verify, s, err) || !remember_open(&s->remember, s, err) ||
	    !jobs_begin(s, err) ||
	    !writer_open(&s->writer, s->loop, s->queue, s->state, &hook, err) ||
	    !close_in(s, err))
		return false;
	s->jobs.counter = (uint64_t)loop_wall(s->loop) << 20;
	s->line.last = &s->line.first;
	upkeep_judge_room(s);
	upkeep_start(s);
	loop_each_round(s->loop, on_round, s);
	if (!watch_start(s->loop, &s->life_watch, link_fd(s->start->life), WATCH_READ,
			 on_life, s))
		return err_set(err, "the link to the supervisor cannot be watched");
	for (size_t i = 0; i < s->start->peer_count; i++) {
		meet(s, s->start->peers[i].link);
		s->start->peers[i].link = NULL;
	}
	route_soon(s);
	route_check(s);
	schedule_pump(s);
	return start_ready(s->start, err);
}

static void close_all(struct store *s)
{
	if (s->verify && s->writer)
		edges_close(s);
	sign_close(s);
	auth_link_close(s);
	link_close(&s->watch);
	for (size_t i = 0; i < s->start->peer_count; i++)
		link_close(&s->start->peers[i].link);
	if (s->loop)
		loop_close(&s->loop);
	box_close_all(s);
	jobs_end(s);
	verify_close(&s->verify);
	sent_close(&s->sent);
	writer_close(&s->writer);
	remember_close(&s->remember);
	queue_reader_close(&s->reader);
	queue_close(&s->queue);
	state_close(&s->state);
	recipients_close(&s->recipients);
	schedule_close(&s->schedule);
	maildirs_close(&s->maildirs);
	if (s->spool_dir >= 0)
		close(s->spool_dir);
}

int store_main(struct start *start)
{
	struct store *s = calloc(1, sizeof(*s));
	struct err err;
	int exit_code;

	if (!s)
		return 1;
	s->start = start;
	s->conf = start->conf;
	s->pulse = start->pulse;
	s->spool_dir = -1;
	s->recipients.map_fd = -1;
	s->maildirs.root = -1;
	if (enter(s, &err)) {
		loop_run(s->loop);
	} else {
		start_failed(start, &err);
		s->exit_code = 1;
	}
	close_all(s);
	exit_code = s->exit_code;
	free(s);
	return exit_code;
}
