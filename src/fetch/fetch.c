#include "fetch/fetch.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/fields.h"
#include "fetch/jobs.h"
#include "fetch/web.h"

#define BEAT_EVERY  ((ms_t)250)
#define FRAMES_ONCE 64 /* of one link, before the others have their turn */

/* Somebody who may ask: an edge, or auth. */
struct asker {
	struct fetch *fetch;
	struct link *link; /* NULL: this place is free */
	struct watch watch;
};

struct fetch {
	struct start *start;
	struct loop *loop;
	struct watch life;
	struct timer beat;
	struct dns *dns;
	struct web *web;
	struct jobs *jobs;
	struct asker askers[ROLES_MAX];
	int exit_code;
};

static void trouble(struct fetch *f, enum record kind, const char *key, const char *why)
{
	uint8_t mem[1024];
	struct buf fields;

	buf_init(&fields, mem, sizeof(mem));
	field_text(&fields, "key", span_str(key));
	field_text(&fields, "what", span_str(why));
	pulse_log(f->start->pulse, kind, loop_wall(f->loop), NULL, buf_span(&fields));
}

/* ---- who asks -------------------------------------------------------------------- */
static void drop_asker(struct asker *a)
{
	if (!a->link)
		return;
	jobs_forget(a->fetch->jobs, link_role(a->link), link_number(a->link));
	watch_stop(&a->watch);
	link_close(&a->link);
}

static struct asker *find(struct fetch *f, enum role role, unsigned number)
{
	for (size_t i = 0; i < ROLES_MAX; i++) {
		struct asker *a = &f->askers[i];

		if (a->link && link_role(a->link) == role && link_number(a->link) == number)
			return a;
	}
	return NULL;
}

static void rearm(struct asker *a)
{
	if (a->link)
		watch_mask(&a->watch,
			   WATCH_READ | (link_waiting(a->link) ? WATCH_WRITE : 0));
}

static void on_answer(void *arg, enum role role, unsigned number,
		      const struct msg_FETCHED *m)
{
	struct fetch *f = arg;
	struct asker *a = find(f, role, number);

	if (!a)
		return;
	msg_FETCHED_pack(m, link_begin(a->link));
	(void)link_send(a->link, NULL, 0); /* a broken link shows when it is read */
	rearm(a);
}

static void on_failed(void *arg, const char *what, const char *why)
{
	trouble(arg, LOG_FETCH_FAILED, what, why);
}

static bool take_question(struct asker *a, struct frame *frame)
{
	struct fetch *f = a->fetch;
	struct msg_FETCH m;
	bool good = frame->kind == MSG_FETCH && msg_FETCH_unpack(frame->bytes, &m);

	if (good)
		jobs_ask(f->jobs, f->start->conf, link_role(a->link),
			 link_number(a->link), &m);
	else
		frame_close_fds(frame);
	return good;
}

static void on_asker(void *arg, unsigned ready)
{
	struct asker *a = arg;
	struct frame frame;
	struct err err = { "it sent what makes no sense" };
	enum link_got got = LINK_MORE;

	if (ready & WATCH_WRITE)
		(void)link_flush(a->link); /* if it is broken, reading says so */
	for (int i = 0; i < FRAMES_ONCE; i++) {
		got = link_recv(a->link, &frame, &err);
		if (got == LINK_GOT && !take_question(a, &frame))
			got = LINK_BROKEN;
		if (got != LINK_GOT)
			break;
	}
	if (got == LINK_BROKEN)
		trouble(a->fetch, LOG_LINK_BROKEN, role_word[link_role(a->link)],
			err.text);
	if (got == LINK_BROKEN || got == LINK_CLOSED)
		drop_asker(a);
	rearm(a);
}

static void meet(struct fetch *f, struct link *link)
{
	struct asker *a = find(f, link_role(link), link_number(link));

	if (a)
		drop_asker(a);
	for (size_t i = 0; i < ROLES_MAX && !a; i++)
		if (!f->askers[i].link)
			a = &f->askers[i];
	if (!a) {
		link_close(&link);
		return;
	}
	*a = (struct asker){ .fetch = f, .link = link };
	if (!watch_start(f->loop, &a->watch, link_fd(link), WATCH_READ, on_asker, a))
		link_close(&a->link);
}

/* ---- what the supervisor says ---------------------------------------------------- */
static bool take_conf(struct fetch *f, struct frame *frame, struct err *err)
{
	const struct conf *conf = start_map_conf(frame_take_fd(frame, 0), err);

	if (!conf)
		return false;
	start_unmap_conf(&f->start->conf);
	f->start->conf = conf;
	jobs_reset(f->jobs);
	return true;
}

static bool take_peer(struct fetch *f, struct frame *frame, struct err *err)
{
	struct link *link;

	if (!start_take_peer(frame, ROLE_FETCH, &link, err))
		return false;
	meet(f, link);
	return true;
}

static bool take_life(struct fetch *f, struct frame *frame, struct err *err)
{
	bool good = true;

	if (frame->kind == MSG_CONF)
		good = take_conf(f, frame, err);
	else if (frame->kind == MSG_PEER)
		good = take_peer(f, frame, err);
	else if (frame->kind == MSG_DRAIN)
		loop_stop(f->loop);
	else if (frame->kind != MSG_GONE)
		good = err_set(err, "%s is not for fetch",
			       message_table[frame->kind].word);
	frame_close_fds(frame);
	return good;
}

static void on_life(void *arg, unsigned ready)
{
	struct fetch *f = arg;
	struct frame frame;
	struct err err;

	(void)ready;
	for (;;) {
		switch (link_recv(f->start->life, &frame, &err)) {
		case LINK_GOT:
			if (link_lost(f->start->life, &frame) ||
			    take_life(f, &frame, &err))
				continue;
			trouble(f, LOG_LINK_BROKEN, "supervisor", err.text);
			return;
		case LINK_MORE:
			return;
		case LINK_BROKEN:
			trouble(f, LOG_LINK_BROKEN, "supervisor", err.text);
			f->exit_code = 1;
			loop_stop(f->loop);
			return;
		case LINK_CLOSED:
			loop_stop(f->loop);
			return;
		}
	}
}

static void on_beat(void *arg)
{
	struct fetch *f = arg;

	pulse_beat(f->start->pulse);
	timer_set(&f->beat, loop_now(f->loop) + BEAT_EVERY);
}

/* ---- the start ------------------------------------------------------------------- */
static bool open_jobs(struct fetch *f, struct err *err)
{
	struct jobs_setup setup = { .loop = f->loop,
				    .dns = f->dns,
				    .web = f->web,
				    .on_answer = on_answer,
				    .on_failed = on_failed,
				    .arg = f };

	if (getrandom(setup.key, sizeof(setup.key), 0) != sizeof(setup.key))
		return err_set(err, "getrandom: %s", strerror(errno));
	return jobs_open(&f->jobs, &setup) || err_set(err, "out of memory");
}

static bool enter(struct fetch *f, struct err *err)
{
	struct start *s = f->start;
	const struct dns_setup dns = { .servers = s->conf->set.dns_servers };
	struct sandbox box = { .role = ROLE_FETCH };

	/* both read files, which cannot be read later */
	if (!loop_open(&f->loop, err) || !dns_open(&f->dns, f->loop, &dns, err) ||
	    !web_open(&f->web, f->loop, s->conf->set.fetch_ca_file, err) ||
	    !start_sandbox(s, &box, err) || !open_jobs(f, err))
		return false;
	if (!watch_start(f->loop, &f->life, link_fd(s->life), WATCH_READ, on_life, f))
		return err_set(err, "the link to the supervisor cannot be watched");
	timer_init(&f->beat, f->loop, on_beat, f);
	on_beat(f);
	for (size_t i = 0; i < s->peer_count; i++)
		meet(f, s->peers[i].link);
	return start_ready(s, err);
}

int fetch_main(struct start *start)
{
	struct fetch *f = calloc(1, sizeof(*f));
	struct err err;
	int exit_code;

	if (!f)
		return 1;
	f->start = start;
	if (enter(f, &err)) {
		loop_run(f->loop);
	} else {
		start_failed(start, &err);
		f->exit_code = 1;
	}
	for (size_t i = 0; i < ROLES_MAX; i++)
		drop_asker(&f->askers[i]);
	jobs_close(&f->jobs);
	web_close(&f->web);
	dns_close(&f->dns);
	if (f->loop)
		loop_close(&f->loop);
	exit_code = f->exit_code;
	free(f);
	return exit_code;
}
