/* The places that children have, and whether those in them are well. */
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "app/life.h"
#include "base/fields.h"

void child_title(const struct child *c, char out[CHILD_TITLE_MAX])
{
	if (c->role == ROLE_EDGE)
		snprintf(out, CHILD_TITLE_MAX, "holdfast: edge %u", c->number);
	else
		snprintf(out, CHILD_TITLE_MAX, "holdfast: %s", role_word[c->role]);
}

/* The fields that every record about a child begins with. */
struct buf *child_say(const struct child *c)
{
	struct buf *b = say_begin(c->s);
	char key[CHILD_TITLE_MAX];

	child_title(c, key);
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

struct post *post_of(struct supervisor *s, const struct child *c)
{
	for (size_t i = 0; i < s->post_count; i++)
		if (s->posts[i].child == c)
			return &s->posts[i];
	return NULL;
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
		if (c->state != CHILD_NONE) {
			look_at(c, passed);
			tell_again(c);
		}
}
