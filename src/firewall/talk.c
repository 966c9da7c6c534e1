/*
 * The link to watch: what it asks to be blocked, and how it is.
 */
#include <stdio.h>

#include "base/list.h"
#include "base/number.h"
#include "firewall/inner.h"

#define TELL_EVERY  MS_SECOND
#define FRAMES_ONCE 64 /* of one link, before the others have their turn */
#define SECONDS_MAX ((uint64_t)10 * 366 * 24 * 3600)

/* ---- what watch is told ------------------------------------------------------------------ */

static void rearm(struct firewall *f)
{
	if (f->watcher)
		watch_mask(&f->talk,
			   WATCH_READ | (link_waiting(f->watcher) ? WATCH_WRITE : 0));
}

static struct msg_BLOCKED how_it_is(const struct firewall *f)
{
	const struct sets *s = &f->sets;

	return (struct msg_BLOCKED){
		.state = (uint8_t)s->state,
		.again = f->again,
		.held = s->made ? (uint32_t)blocks_held(&s->blocks) : 0,
		.packets = s->packets,
		.refused = f->refused + s->refused,
		.why = span_str(s->why),
	};
}

static bool is_news(const struct firewall *f, const struct msg_BLOCKED *m)
{
	return !f->told || m->again || m->state != f->last.state ||
	       m->held != f->last.held || m->packets != f->last.packets ||
	       m->refused != f->last.refused || strcmp(f->sets.why, f->last_why) != 0;
}

/* As soon as there is news, but not more often than once a second. */
void talk_on_tell(void *arg)
{
	struct firewall *f = arg;
	ms_t now = loop_now(f->loop);
	struct msg_BLOCKED m = how_it_is(f);

	timer_set(&f->tell, now + TELL_EVERY);
	/* until it is known, there is nothing to tell */
	if (!f->watcher || f->sets.state == FIREWALL_OFF || !is_news(f, &m))
		return;
	msg_BLOCKED_pack(&m, link_begin(f->watcher));
	if (!link_send(f->watcher, NULL, 0))
		return;
	rearm(f);
	f->last = m;
	f->last.why = SPAN_NONE;
	snprintf(f->last_why, sizeof(f->last_why), "%s", f->sets.why);
	f->told = true;
	f->again = false;
	f->told_at = now;
}

static void tell_soon(struct firewall *f)
{
	timer_set(&f->tell, f->told_at + TELL_EVERY);
}

void talk_on_state(void *arg, const char *what)
{
	static const char *const words[FIREWALL_STATES] = {
		[FIREWALL_OFF] = "off",
		[FIREWALL_WORKS] = "works",
		[FIREWALL_MISSING] = "missing",
		[FIREWALL_FAILS] = "fails",
	};
	struct firewall *f = arg;
	uint8_t mem[1024];
	struct buf fields;

	buf_init(&fields, mem, sizeof(mem));
	field_text(&fields, "key", SPAN("firewall"));
	field_text(&fields, "state", span_str(words[f->sets.state]));
	if (what)
		field_text(&fields, "what", span_str(what));
	if (f->sets.why[0])
		field_text(&fields, "why", span_str(f->sets.why));
	firewall_log(f, LOG_FIREWALL, &fields);
	tell_soon(f);
}

/* ---- what watch asks ----------------------------------------------------------------------- */

static void block(struct firewall *f, const struct judge *j, const struct net *n,
		  uint64_t seconds)
{
	ms_t until = seconds ? loop_now(f->loop) + (ms_t)seconds * MS_SECOND : MS_NEVER;
	enum refusal why = judge_net(j, n);

	if (why == REFUSAL_NONE && !blocks_put(&f->sets.blocks, n, until))
		why = REFUSAL_FULL;
	else if (why != REFUSAL_NONE)
		blocks_drop(&f->sets.blocks, n);
	if (why != REFUSAL_NONE)
		firewall_refuse(f, n, why);
}

/* Is each item what it should be? Only then is anything done. */
static bool items_ok(struct span items, bool timed)
{
	struct span item;
	struct net n;
	uint64_t seconds;

	if (!list_ok(items) || list_count(items) > FIREWALL_BATCH)
		return false;
	while (list_next(&items, &item)) {
		if (!net_parse(timed ? span_cut(&item, ' ') : item, &n))
			return false;
		if (timed && !number_parse(item, SECONDS_MAX, &seconds))
			return false;
	}
	return true;
}

static bool take_block(struct firewall *f, const struct frame *frame)
{
	struct msg_BLOCK m;
	struct judge j;
	struct span item;
	struct net n;
	uint64_t seconds;

	if (!msg_BLOCK_unpack(frame->bytes, &m) || m.all > 1 || m.more > 1 ||
	    !items_ok(m.items, true))
		return false;
	if (m.all)
		blocks_list_begins(&f->sets.blocks);
	if (!firewall_know_ourselves(f))
		m.items = SPAN_NONE;
	j = firewall_judge(f);
	while (list_next(&m.items, &item)) {
		if (net_parse(span_cut(&item, ' '), &n) &&
		    number_parse(item, SECONDS_MAX, &seconds))
			block(f, &j, &n, seconds);
	}
	if (!m.more)
		blocks_list_ends(&f->sets.blocks);
	return true;
}

static bool take_unblock(struct firewall *f, const struct frame *frame)
{
	struct msg_UNBLOCK m;
	struct span item;
	struct net n;

	if (!msg_UNBLOCK_unpack(frame->bytes, &m) || !items_ok(m.items, false))
		return false;
	while (list_next(&m.items, &item))
		if (net_parse(item, &n))
			blocks_drop(&f->sets.blocks, &n);
	return true;
}

static bool take_talk(struct firewall *f, const struct frame *frame)
{
	if (frame->kind == MSG_BLOCK)
		return take_block(f, frame);
	return frame->kind == MSG_UNBLOCK && take_unblock(f, frame);
}

void talk_drop(struct firewall *f)
{
	watch_stop(&f->talk);
	link_close(&f->watcher);
}

static void on_talk(void *arg, unsigned ready)
{
	struct firewall *f = arg;
	struct frame frame;
	struct err err = { "watch sent what makes no sense" };
	enum link_got got = LINK_MORE;

	if (ready & WATCH_WRITE)
		(void)link_flush(f->watcher); /* if it is broken, reading says so */
	for (int i = 0; i < FRAMES_ONCE; i++) {
		got = link_recv(f->watcher, &frame, &err);
		if (got != LINK_GOT)
			break;
		if (take_talk(f, &frame))
			continue;
		frame_close_fds(&frame);
		got = LINK_BROKEN;
		break;
	}
	if (got == LINK_BROKEN)
		firewall_trouble(f, LOG_LINK_BROKEN, err.text);
	if (got == LINK_BROKEN || got == LINK_CLOSED)
		talk_drop(f);
	rearm(f);
	sets_go_on(&f->sets);
	tell_soon(f);
}

void talk_meet(struct firewall *f, struct link *link)
{
	talk_drop(f);
	f->watcher = link;
	f->again = true;
	f->told = false;
	if (!watch_start(f->loop, &f->talk, link_fd(link), WATCH_READ, on_talk, f))
		talk_drop(f);
	tell_soon(f);
}
