/*
 * How children are told to finish, and which old edges are kept for who reads mail.
 *
 * An edge that was replaced ends with its last session. What is no reading of mail has
 * run.drain for that; who reads mail mailbox.drain, so there may be edges of several
 * programs at once. There is a bound to them: the oldest leaves first.
 */
#include "app/life.h"

/* What an old edge says to whom it cuts off takes a moment, and so does its end. */
#define LEAVES_WITHIN (DRAIN_GRACE / 5)
/* One that has still not ended is killed; before, it may have had no turn to say all that. */
#define EDGE_GRACE DRAIN_GRACE

static void say_drain(struct child *c, ms_t within, ms_t readers)
{
	struct msg_DRAIN m = { within, readers };

	if (!c->life ||
	    (is_foreign(c) && (c->role != ROLE_EDGE || c->speaks < DRAIN_SINCE))) {
		/* what every version understands: nobody is there any more */
		watch_stop(&c->watch);
		link_close(&c->life);
		return;
	}
	msg_DRAIN_pack(&m, link_begin(c->life));
	if (!link_send(c->life, NULL, 0))
		child_kill(c, "it does not take what the supervisor sends");
	else if (c->watch.loop)
		watch_mask(&c->watch,
			   WATCH_READ | (link_waiting(c->life) ? WATCH_WRITE : 0));
}

/* Who cannot be seen in `holdfast sessions`, and not be kicked, is not kept. */
static bool may_keep(const struct child *c, ms_t within, ms_t readers)
{
	return c->role == ROLE_EDGE && readers > within && !(c->old && c->s->apart);
}

void child_drain(struct child *c, ms_t within, ms_t readers)
{
	struct supervisor *s = c->s;
	struct post *post = post_of(s, c);
	ms_t now = loop_now(s->loop);
	bool again = c->state == CHILD_DRAINING;

	if (c->state == CHILD_NONE || (again && (!c->keeps || readers > within)))
		return;
	c->keeps = may_keep(c, within, readers);
	c->others_by = now + within + LEAVES_WITHIN;
	c->deadline = now + (c->keeps ? readers : within) +
		      (c->role == ROLE_EDGE ? EDGE_GRACE : LEAVES_WITHIN);
	if (!again) {
		c->state = CHILD_DRAINING;
		c->silent = 0;
		c->drained = now;
	}
	if (post && c->role == ROLE_EDGE)
		post->child = NULL; /* another one may begin at once */
	say_drain(c, within, c->keeps ? readers : 0);
}

bool drain_lingers(const struct child *c)
{
	return c->state == CHILD_DRAINING && c->keeps &&
	       loop_now(c->s->loop) >= c->others_by;
}

static bool keeps(const struct child *c)
{
	return c->state == CHILD_DRAINING && c->keeps;
}

static void hurry(struct child *c)
{
	child_drain(c, c->s->conf->set.drain, 0);
}

bool drain_hurry(struct supervisor *s, unsigned number)
{
	for (struct child *c = s->children; c < s->children + CHILDREN_MAX; c++)
		if (c->role == ROLE_EDGE && c->number == number && keeps(c)) {
			hurry(c);
			return true;
		}
	return false;
}

struct kept {
	int64_t count, leaving;
	struct child *oldest;
};

static struct kept count_kept(struct supervisor *s)
{
	struct kept k = { 0 };

	for (struct child *c = s->children; c < s->children + CHILDREN_MAX; c++) {
		if (c->role != ROLE_EDGE || c->state != CHILD_DRAINING)
			continue;
		k.count += c->keeps;
		k.leaving += !c->keeps;
		if (c->keeps && (!k.oldest || c->drained < k.oldest->drained))
			k.oldest = c;
	}
	return k;
}

static int64_t vacant_edges(const struct supervisor *s)
{
	int64_t n = 0;

	for (size_t i = 0; i < s->post_count; i++)
		n += s->posts[i].role == ROLE_EDGE && !s->posts[i].child;
	return n;
}

/* New edges need a number each, and those that serve come first. */
static bool too_many(struct supervisor *s, const struct kept *k)
{
	int64_t numbers = EDGES_MAX - (int64_t)children_count(s, ROLE_EDGE) + k->leaving;

	return k->count > s->conf->set.mailbox_old_edges ||
	       (k->count > 0 && vacant_edges(s) > numbers);
}

void drain_bound(struct supervisor *s)
{
	if (!s->conf || s->stage != STAGE_SERVING)
		return;
	for (;;) {
		struct kept k = count_kept(s);

		if (!k.oldest || !too_many(s, &k))
			return;
		hurry(k.oldest);
	}
}
