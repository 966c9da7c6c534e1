/* A child has ended: who has to know, and when its post is filled again. */
#include <stdio.h>
#include <sys/wait.h>

#include "app/life.h"
#include "app/spawn.h"
#include "base/fields.h"

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
	struct buf *b = child_say(c);

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

void child_ended(struct child *c, const char *how)
{
	struct supervisor *s = c->s;
	struct post *post = post_of(s, c);
	enum role role = c->role;

	if (c->life)
		(void)child_hear(c); /* its last words */
	if (c->state == CHILD_DRAINING && strcmp(how, CHILD_FINISHED) != 0)
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
