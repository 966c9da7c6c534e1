#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "app/life.h"
#include "app/spawn.h"
#include "base/bug.h"
#include "base/fields.h"

#define TITLE_MAX 64

/* After this long everybody has heard of an edge's death, or is dead as well. */
#define NUMBER_RESTS ((ms_t)60000)

/* How a role ends that was told to. */
#define FINISHED "exit code 0"

static void title(const struct child *c, char out[TITLE_MAX])
{
	if (c->role == ROLE_EDGE)
		snprintf(out, TITLE_MAX, "holdfast: edge %u", c->number);
	else
		snprintf(out, TITLE_MAX, "holdfast: %s", role_word[c->role]);
}

/* The fields that every record about a child begins with. */
static struct buf *say_child(const struct child *c)
{
	struct buf *b = say_begin(c->s);
	char key[TITLE_MAX];

	title(c, key);
	field_text(b, "key", span_skip(span_str(key), strlen("holdfast: ")));
	field_number(b, "pid", c->pid);
	return b;
}

struct child *child_free(struct supervisor *s)
{
	for (struct child *c = s->children; c < s->children + CHILDREN_MAX; c++)
		if (c->state == CHILD_NONE) {
			*c = (struct child){
				.s = s,
				.pulse_fd = -1,
				.doorbell = -1,
				.deadline = MS_NEVER,
				.speaks = MESSAGES_VERSION,
			};
			return c;
		}
	return NULL;
}

void child_forget(struct child *c)
{
	watch_stop(&c->watch);
	link_close(&c->life);
	pulse_reader_close(&c->pulse);
	if (c->pulse_fd >= 0)
		close(c->pulse_fd);
	if (c->doorbell >= 0)
		close(c->doorbell);
	c->pulse_fd = c->doorbell = -1;
	c->state = CHILD_NONE;
}

size_t children_count(const struct supervisor *s, enum role role)
{
	size_t n = 0;

	for (size_t i = 0; i < CHILDREN_MAX; i++) {
		const struct child *c = &s->children[i];

		if (c->state != CHILD_NONE && c->role != ROLE_LOADER &&
		    c->role != ROLE_NONE)
			n += role == ROLE_ANY || c->role == role;
	}
	return n;
}

void child_kill(struct child *c, const char *why)
{
	if (!c->why)
		c->why = why;
	if (c->pid > 0 && !c->reaped)
		kill(c->pid, SIGKILL);
}

/* ---- what a child says ------------------------------------------------------------- */

static void on_ready(struct child *c, const struct frame *f)
{
	struct msg_READY m;
	struct buf *b;

	if (c->state != CHILD_STARTING || !msg_READY_unpack(f->bytes, &m)) {
		child_kill(c, "READY out of place");
		return;
	}
	c->state = CHILD_READY;
	c->ready_at = loop_now(c->s->loop);
	c->silent = 0;
	if (c->role == ROLE_WATCH)
		c->s->heard = true;
	b = say_child(c);
	field_flag(b, "seccomp", m.sandbox & SANDBOX_HAS_SECCOMP);
	field_flag(b, "landlock", m.sandbox & SANDBOX_HAS_LANDLOCK);
	say_end(c->s, LOG_ROLE_STARTED);
}

static void on_failed(struct child *c, const struct frame *f)
{
	struct msg_FAILED m;

	if (msg_FAILED_unpack(f->bytes, &m))
		err_set(&c->failed, "%.*s", SPAN_ARG(m.why));
}

static struct child *find(struct supervisor *s, enum role role, unsigned number)
{
	for (size_t i = 0; i < s->post_count; i++) {
		struct child *c = s->posts[i].child;

		if (c && c->role == role && c->number == number)
			return c;
	}
	return NULL;
}

/* The administrator wants one role anew: what it does is finished first. */
static void restart(struct supervisor *s, const struct msg_ORDER *m, struct asked *asked)
{
	struct child *c = find(s, (enum role)m->role, m->number);
	const struct settings *set = &s->conf->set;

	if (c && c->state == CHILD_READY) {
		child_drain(c, c->role == ROLE_WATCH ? 0 : set->drain, set->mailbox_drain);
		life_answer(s, asked, true, "it drains and is replaced");
	} else if (m->role == ROLE_EDGE && drain_hurry(s, m->number)) {
		life_answer(s, asked, true, "it was replaced already; now it ends");
	} else {
		life_answer(s, asked, false, "there is no such role running");
	}
}

static void on_order(struct child *c, const struct frame *f)
{
	struct supervisor *s = c->s;
	struct msg_ORDER m;
	struct asked asked = { .waiting = true };

	if (c->role != ROLE_WATCH || !msg_ORDER_unpack(f->bytes, &m) ||
	    m.order >= LIFE_COUNT) {
		child_kill(c, "an ORDER that makes no sense");
		return;
	}
	asked.ask = m.ask;
	if (s->stage != STAGE_SERVING) {
		life_answer(s, &asked, false, "the server is stopping");
		return;
	}
	switch ((enum life_order)m.order) {
	case LIFE_RELOAD:
		/* behind one that is under way: that one may have read the old file */
		life_answer(s, &s->reload_asked, false, "another reload was ordered");
		s->reload_asked = asked;
		s->reload_wanted = true;
		break;
	case LIFE_UPGRADE:
		upgrade_start(s, asked);
		break;
	case LIFE_STOP:
		life_answer(s, &asked, true, "stopping");
		life_stop(s, 0);
		break;
	case LIFE_RESTART:
		restart(s, &m, &asked);
		break;
	case LIFE_COUNT:
		break;
	}
}

static void on_message(struct child *c, struct frame *f)
{
	if (is_foreign(c))
		; /* it means something else, if it means anything */
	else if (f->kind == MSG_READY)
		on_ready(c, f);
	else if (f->kind == MSG_FAILED)
		on_failed(c, f);
	else if (f->kind == MSG_ORDER)
		on_order(c, f);
	else if (c->role == ROLE_LOADER)
		reload_message(c->s, f);
	else
		child_kill(c, "it sent what no role sends");
	frame_close_fds(f);
}

static void say_broken(const struct child *c, const struct err *err)
{
	struct buf *b = say_child(c);

	field_text(b, "what", span_str(err->text));
	say_end(c->s, LOG_LINK_BROKEN);
}

static void child_ended(struct child *c, const char *how);

/* Take all that has come. False: there will be no more. */
static bool hear(struct child *c)
{
	struct frame f;
	struct err err;

	for (;;) {
		switch (link_recv(c->life, &f, &err)) {
		case LINK_GOT:
			on_message(c, &f);
			break;
		case LINK_MORE:
			return true;
		case LINK_CLOSED:
			return false;
		case LINK_BROKEN:
			if (is_foreign(c))
				return false;
			say_broken(c, &err);
			child_kill(c, "it sent what it may not send");
			return false;
		}
	}
}

static void on_life(void *arg, unsigned ready)
{
	struct child *c = arg;
	struct supervisor *s = c->s;

	if (ready & WATCH_WRITE)
		(void)link_flush(c->life); /* if it is broken, reading says so */
	if (hear(c))
		watch_mask(&c->watch,
			   WATCH_READ | (link_waiting(c->life) ? WATCH_WRITE : 0));
	else if (c->pid > 0)
		watch_stop(&c->watch); /* its death comes by SIGCHLD */
	else
		child_ended(c, c->state == CHILD_DRAINING ? FINISHED : "its thread ended");
	life_go_on(s);
}

/* ---- birth ------------------------------------------------------------------------- */

static bool number_taken(const struct supervisor *s, unsigned n)
{
	for (const struct child *c = s->children; c < s->children + CHILDREN_MAX; c++)
		if (c->state != CHILD_NONE && c->role == ROLE_EDGE && c->number == n)
			return true;
	return false;
}

/*
 * The least number that no living edge has, but rather none of an edge that has died a
 * moment ago: others may still have to hear of it, and would mend, which is to take away,
 * what the next of that number holds. If there is no other, the one that is dead longest.
 */
static bool free_number(const struct supervisor *s, unsigned *out)
{
	ms_t now = loop_now(s->loop), oldest = MS_NEVER;
	bool found = false;

	for (unsigned n = 0; n < EDGES_MAX; n++) {
		ms_t ended = s->edge_ended[n];

		if (number_taken(s, n))
			continue;
		if (ended && now - ended >= NUMBER_RESTS)
			ended = 0;
		if (found && ended >= oldest)
			continue;
		found = true;
		oldest = ended;
		*out = n;
	}
	return found;
}

/* The process (or thread) itself, with the other end of the link. Takes over link. */
static bool give_birth(struct child *c, int link, struct err *err)
{
	struct supervisor *s = c->s;
	char name[TITLE_MAX];
	char role[16];
	char flag[] = "--role";
	char *argv[] = { name, flag, role, NULL };
	struct spawn what = {
		.program = s->program, .path = s->program_path, .argv = argv, .link = link
	};

	if (s->opt.one_process)
		return alone_start(c, link, err);
	title(c, name);
	snprintf(role, sizeof(role), "%s", role_word[c->role]);
	if (s->owners.drop)
		what.owner = &s->owners.of[c->role];
	what.net_admin = c->role == ROLE_FIREWALL;
	/* the administrator is answered while all processors are busy with an attack */
	what.urgent = c->role == ROLE_WATCH;
	c->pid = spawn(&what, err);
	close(link);
	return c->pid > 0;
}

bool child_adopt(struct supervisor *s, struct child *c, int life, struct err *err)
{
	if (!link_open(&c->life, life, ROLE_SUPERVISOR, c->role, c->number, err))
		return false;
	return watch_start(s->loop, &c->watch, link_fd(c->life), WATCH_READ, on_life, c) ||
	       err_set(err, "cannot watch the link to %s", role_word[c->role]);
}

static bool open_pulse(struct child *c, int *pulse, struct err *err)
{
	int again;

	if (!pulse_make(pulse, &c->pulse_fd, err))
		return false;
	c->doorbell = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	again = fcntl(c->pulse_fd, F_DUPFD_CLOEXEC, 0);
	if (c->doorbell < 0 || again < 0) {
		close(*pulse);
		return err_set(err, "pulse: %s", strerror(errno));
	}
	if (pulse_reader_open(&c->pulse, again, err))
		return true;
	close(*pulse);
	return false;
}

bool child_start(struct supervisor *s, struct post *post, struct err *err)
{
	struct child *c = child_free(s);
	int fds[2], pulse;
	bool told;

	if (!c)
		return err_set(err, "too many processes");
	c->role = post->role;
	if (c->role == ROLE_EDGE && !free_number(s, &c->number))
		return err_set(err, "too many edges are still draining");
	if (!open_pulse(c, &pulse, err))
		goto fail;
	if (!link_pair(fds, err)) {
		close(pulse);
		goto fail;
	}
	c->state = CHILD_STARTING;
	if (!child_adopt(s, c, fds[0], err)) {
		close(fds[1]);
		close(pulse);
		goto fail;
	}
	if (!give_birth(c, fds[1], err)) {
		close(pulse);
		goto fail;
	}
	post->child = c;
	told = tell_all(c, pulse, err);
	close(pulse);
	if (told)
		return true;
	child_kill(c, "it could not be told what it needs");
	return true;
fail:
	child_forget(c);
	return false;
}

bool child_helper(struct supervisor *s, struct child **out, enum role role, char **argv,
		  struct err *err)
{
	struct child *c = child_free(s);
	struct spawn what = { .program = s->program,
			      .path = s->program_path,
			      .argv = argv,
			      .link = -1,
			      .quiet = role == ROLE_NONE };
	int fds[2];

	if (!c)
		return err_set(err, "too many processes");
	c->role = role;
	c->state = CHILD_STARTING;
	if (role == ROLE_NONE) {
		/* the program on trial is the one that is there now, not the one we are */
		what.program = -1;
		c->pid = spawn(&what, err);
	} else {
		if (!link_pair(fds, err))
			goto fail;
		what.link = fds[1];
		if (!child_adopt(s, c, fds[0], err)) {
			close(fds[1]);
			goto fail;
		}
		c->pid = spawn(&what, err);
		close(fds[1]);
	}
	if (c->pid < 0)
		goto fail;
	*out = c;
	return true;
fail:
	child_forget(c);
	return false;
}

/* ---- death ------------------------------------------------------------------------- */

struct post *post_of(struct supervisor *s, const struct child *c)
{
	for (size_t i = 0; i < s->post_count; i++)
		if (s->posts[i].child == c)
			return &s->posts[i];
	return NULL;
}

/* How long a post stays vacant after so many deaths in a row. */
static ms_t back_off(unsigned failures)
{
	ms_t t = 100;

	if (failures <= 1)
		return 0;
	for (unsigned i = 2; i < failures && t < BACK_OFF_MAX; i++)
		t *= 2;
	return t < BACK_OFF_MAX ? t : BACK_OFF_MAX;
}

static void say_ended(const struct child *c, const char *how, ms_t again)
{
	struct buf *b = say_child(c);

	field_text(b, "how", span_str(how));
	if (c->why)
		field_text(b, "why", span_str(c->why));
	if (c->failed.text[0])
		field_text(b, "what", span_str(c->failed.text));
	if (again >= 0)
		field_number(b, "again-in-ms", again);
	say_end(c->s, LOG_ROLE_ENDED);
}

static void give_up_start(struct child *c, const char *how)
{
	struct supervisor *s = c->s;
	struct err err;

	if (c->failed.text[0])
		err_set(&err, "%s: %s", role_word[c->role], c->failed.text);
	else
		err_set(&err, "%s ended %u times at the start, last with %s",
			role_word[c->role], DEATHS_AT_START, how);
	life_give_up(s, 1, &err);
}

/* A role that belongs to a post is gone: the post is to be filled again. */
static void vacate(struct post *post, struct child *c, const char *how)
{
	struct supervisor *s = c->s;
	ms_t now = loop_now(s->loop);
	bool healthy = c->state == CHILD_READY && now - c->ready_at >= HEALTHY_AFTER;
	ms_t wait;

	post->child = NULL;
	post->failures = healthy ? 1 : post->failures + 1;
	wait = c->failed.text[0] ? BACK_OFF_MAX : back_off(post->failures);
	post->again = now + wait;
	say_ended(c, how, wait);
	if (!s->complete && s->opt.resume < 0 && s->stage == STAGE_SERVING &&
	    is_needed(c->role) && (c->failed.text[0] || post->failures >= DEATHS_AT_START))
		give_up_start(c, how);
}

static void child_ended(struct child *c, const char *how)
{
	struct supervisor *s = c->s;
	struct post *post = post_of(s, c);
	enum role role = c->role;

	if (c->life)
		(void)hear(c); /* its last words */
	if (c->state == CHILD_DRAINING && strcmp(how, FINISHED) != 0)
		say_ended(c, how, -1);
	if (post && c->state == CHILD_DRAINING)
		post->child = NULL;
	else if (post)
		vacate(post, c, how);
	if (role != ROLE_NONE && role != ROLE_LOADER)
		tell_gone(s, c);
	if (role == ROLE_EDGE)
		s->edge_ended[c->number] = loop_now(s->loop);
	child_forget(c);
	if (role == ROLE_LOADER)
		reload_ended(s, how);
}

static void reaped(struct supervisor *s, pid_t pid, int status)
{
	uint8_t mem[80];
	char how[81];
	struct buf b;

	buf_init(&b, mem, sizeof(mem));
	spawn_ended(status, &b);
	snprintf(how, sizeof(how), "%.*s", SPAN_ARG(buf_span(&b)));
	for (struct child *c = s->children; c < s->children + CHILDREN_MAX; c++) {
		if (c->state == CHILD_NONE || c->pid != pid)
			continue;
		if (c == s->trial.child) {
			child_forget(c);
			upgrade_tried(s, status);
		} else {
			c->reaped = true;
			child_ended(c, how);
		}
		return;
	}
}

void children_reap(struct supervisor *s)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		reaped(s, pid, status);
}

/* ---- health ------------------------------------------------------------------------ */

static ms_t patience(const struct child *c)
{
	ms_t silence = c->s->conf ? c->s->conf->set.silence : DRAIN_GRACE;

	if (c->state == CHILD_STARTING)
		return START_GRACE;
	if (c->state == CHILD_DRAINING)
		return silence > DRAIN_GRACE ? silence : DRAIN_GRACE;
	return silence;
}

/*
 * Silence is counted in looks of ours, not by the clock: when this process, or the whole
 * machine, stood still for a while, nobody else is to blame.
 */
static void look_at(struct child *c, ms_t passed)
{
	uint64_t beats = c->pulse ? pulse_beats(c->pulse) : 0;

	if (loop_now(c->s->loop) >= c->deadline && !c->why)
		child_kill(c, "it did not finish in time");
	if (!c->pulse || c->pid == 0)
		return;
	if (beats != c->beats) {
		c->beats = beats;
		c->silent = 0;
		return;
	}
	c->silent += passed < 2 * LOOK_EVERY ? passed : 2 * LOOK_EVERY;
	if (c->silent >= patience(c) && !c->why)
		child_kill(c, "silent: no heartbeat");
}

void children_look(struct supervisor *s)
{
	ms_t now = loop_now(s->loop);
	ms_t passed = now - s->looked;

	if (passed < LOOK_EVERY)
		return;
	s->looked = now;
	for (struct child *c = s->children; c < s->children + CHILDREN_MAX; c++)
		if (c->state != CHILD_NONE)
			look_at(c, passed);
}
