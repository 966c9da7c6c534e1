/* What a child says on its life link: that it is ready, why it failed, what is ordered. */
#include <limits.h>

#include "app/life.h"
#include "base/fields.h"

#define FRAMES_ONCE 256 /* of one child, before the others have their turn */

static void on_ready(struct child *c, const struct frame *f)
{
	struct msg_READY m;
	struct buf *b;

	/* it was told to finish, or taken over, before it had begun */
	if (c->state == CHILD_DRAINING || c->old)
		return;
	if (c->state != CHILD_STARTING || !msg_READY_unpack(f->bytes, &m)) {
		child_kill(c, "READY out of place");
		return;
	}
	c->state = CHILD_READY;
	c->ready_at = loop_now(c->s->loop);
	c->silent = 0;
	if (c->role == ROLE_WATCH)
		c->s->heard = true;
	b = child_say(c);
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
		life_answer(s, asked, false,
			    "there is no such role running: `holdfast roles` lists them");
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

static bool note_lost(struct lost *l, const struct msg_LOST *m)
{
	uint32_t bit = m->number < EDGES_MAX ? UINT32_C(1) << m->number : 0;

	switch (m->kind) {
	case MSG_CONF:
	case MSG_CERTS:
	case MSG_TABLES:
	case MSG_ACCESS:
		l->conf = true;
		return true;
	case MSG_LISTENER:
		l->ports = true;
		return true;
	case MSG_PEER:
		l->peers[m->role < ROLE_COUNT ? m->role : ROLE_NONE] |= bit;
		return m->role < ROLE_COUNT && bit;
	case MSG_PULSE_OF:
		l->pulses[m->role < ROLE_COUNT ? m->role : ROLE_NONE] |= bit;
		return m->role < ROLE_COUNT && bit;
	default:
		return false;
	}
}

/* It is out of descriptors: what it has goes on, and it is told again in a while. */
static void on_lost(struct child *c, const struct frame *f)
{
	struct msg_LOST m;
	struct buf *b;

	if (!msg_LOST_unpack(f->bytes, &m) || !note_lost(&c->lost, &m)) {
		child_kill(c, "a LOST that makes no sense");
		return;
	}
	c->lost.again = loop_now(c->s->loop) + LOST_AGAIN;
	b = child_say(c);
	field_text(b, "lost", span_str(message_table[m.kind].word));
	field_text(b, "what", SPAN("it has no descriptor left"));
	say_end(c->s, LOG_CAPACITY);
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
	else if (f->kind == MSG_LOST)
		on_lost(c, f);
	else if (c->role == ROLE_LOADER)
		reload_message(c->s, f);
	else
		child_kill(c, "it sent what no role sends");
	frame_close_fds(f);
}

static void say_broken(const struct child *c, const struct err *err)
{
	struct buf *b = child_say(c);

	field_text(b, "what", span_str(err->text));
	say_end(c->s, LOG_LINK_BROKEN);
}

/* Up to so many frames. False: there will be no more. */
static bool hear(struct child *c, unsigned frames)
{
	struct frame f;
	struct err err;

	while (frames-- > 0) {
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
	return true;
}

bool child_hear(struct child *c)
{
	return hear(c, UINT_MAX);
}

static void on_life(void *arg, unsigned ready)
{
	struct child *c = arg;
	struct supervisor *s = c->s;

	if (ready & WATCH_WRITE)
		(void)link_flush(c->life); /* if it is broken, reading says so */
	if (hear(c, FRAMES_ONCE))
		watch_mask(&c->watch,
			   WATCH_READ | (link_waiting(c->life) ? WATCH_WRITE : 0));
	else if (c->pid > 0)
		watch_stop(&c->watch); /* its death comes by SIGCHLD */
	else
		child_ended(c, c->state == CHILD_DRAINING ? CHILD_FINISHED
							  : "its thread ended");
	life_go_on(s);
}

bool child_adopt(struct supervisor *s, struct child *c, int life, struct err *err)
{
	if (!link_open(&c->life, life, ROLE_SUPERVISOR, c->role, c->number, err))
		return false;
	return watch_start(s->loop, &c->watch, link_fd(c->life), WATCH_READ, on_life, c) ||
	       err_set(err, "cannot watch the link to %s", role_word[c->role]);
}
