/*
 * The store as a role: its links, its rounds, its start and end.
 */
#include "store/store.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "io/idn.h"
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
#include "store/store_open.h"
#include "store/upkeep.h"
#include "store/verify.h"

#define FRAMES_ONCE 64
#define DRAIN_WAITS (2 * MS_SECOND)  /* for next hops, at most */
#define SAVE_WAITS  (10 * MS_SECOND) /* for a disk that refuses, at most */

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

static void on_after(void *arg)
{
	upkeep_measure(arg);
	upkeep_count_held(arg);
}

static void on_batch(void *arg, const struct err *err)
{
	struct store *s = arg;

	pulse_gauge_set(s->pulse, GAUGE_HELD, __atomic_load_n(&s->held, __ATOMIC_RELAXED));
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
	if (s->unsaved && loop_now(s->loop) < s->save_by)
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
	if (!s->draining || !is_drained(s))
		return;
	deliver_log_unsaved(s);
	loop_stop(s->loop);
}

static ms_t in_time(const struct store *s, ms_t within, ms_t most)
{
	return loop_now(s->loop) + (within < most ? within : most);
}

static void drain(struct store *s, ms_t within)
{
	if (s->draining)
		return;
	s->draining = true;
	remember_drain(s->remember);
	sent_save(s);
	writer_hurry(s->writer);
	deliver_save_again(s);
	s->drain_by = in_time(s, within, DRAIN_WAITS);
	s->save_by = in_time(s, within, SAVE_WAITS);
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

static bool take_conf(struct store *s, struct frame *f, struct err *err)
{
	const struct conf *old = s->conf, *conf = start_map_conf(frame_take_fd(f, 0), err);

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

static bool take_tables(struct store *s, struct frame *f, struct err *err)
{
	int fd = frame_take_fd(f, 0);
	bool good = store_read_tables(s, fd, err);

	close(fd);
	if (good)
		people_publish(s);
	return good;
}

static bool take_peer(struct store *s, struct frame *f, struct err *err)
{
	struct link *link;

	if (!start_take_peer(f, ROLE_STORE, &link, err))
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
			if (!link_lost(s->start->life, &f) && !take_life(s, &f, &err))
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

static bool close_in(struct store *s, struct err *err)
{
	const char *dir = s->conf->set.dir;
	char queue[TEXT_MAX + 16], state[TEXT_MAX + 16];
	const char *paths[] = { queue, state, s->maildirs.root_path, NULL };
	struct sandbox box = { .role = ROLE_STORE, .read_write = paths };

	snprintf(queue, sizeof(queue), "%s/queue", dir);
	snprintf(state, sizeof(state), "%s/state", dir);
	/* a file, which cannot be read later */
	return idn_open(err) && start_sandbox(s->start, &box, err);
}

static bool enter(struct store *s, struct err *err)
{
	const struct writer_hook hook = { on_gone, on_after, on_batch, s };

	note_hostname(s);
	if (!loop_open(&s->loop, err) || !store_open_files(s, err) ||
	    !store_load_people(s, err) || !store_load_queue(s, err) ||
	    !sent_open(&s->sent, s, err) || !verify_open(&s->verify, s, err) ||
	    !remember_open(&s->remember, s, err) || !jobs_begin(s, err) ||
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
