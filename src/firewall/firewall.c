#include "firewall/firewall.h"

#include <errno.h>
#include <linux/capability.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fields.h"
#include "base/list.h"
#include "base/number.h"
#include "firewall/judge.h"
#include "firewall/own.h"
#include "firewall/program.h"
#include "firewall/sets.h"
#include "io/loop.h"

#define BEAT_EVERY  ((ms_t)250)
#define TELL_EVERY  MS_SECOND
#define LOOK_EVERY  (5 * MS_SECOND) /* at our addresses, and at nft itself */
#define STOP_WITHIN (6 * MS_SECOND) /* the supervisor waits a little longer */
#define FRAMES_ONCE 64		    /* of one link, before the others have their turn */
#define SECONDS_MAX ((uint64_t)10 * 366 * 24 * 3600)

struct firewall {
	struct start *start;
	struct loop *loop;
	struct watch life;
	struct watch talk;
	struct link *watcher; /* the link to watch; NULL while there is none */
	struct timer beat, tell, look;
	struct own own;
	struct program program;
	char path[TEXT_MAX];
	struct sets sets;
	uint32_t refused;
	bool again;		 /* watch is to send everything */
	bool told;		 /* this, once: */
	struct msg_BLOCKED last; /* but for its text */
	char last_why[SETS_WHY];
	ms_t told_at;
	int exit_code;
};

static void log_fields(struct firewall *f, enum record kind, struct buf *fields)
{
	pulse_log(f->start->pulse, kind, loop_wall(f->loop), NULL, buf_span(fields));
}

static void trouble(struct firewall *f, enum record kind, const char *why)
{
	uint8_t mem[640];
	struct buf fields;

	buf_init(&fields, mem, sizeof(mem));
	field_text(&fields, "key", SPAN("firewall"));
	field_text(&fields, "what", span_str(why));
	log_fields(f, kind, &fields);
}

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
static void on_tell(void *arg)
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

static void on_state(void *arg, const char *what)
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
	log_fields(f, LOG_FIREWALL, &fields);
	tell_soon(f);
}

/* ---- what may be blocked ------------------------------------------------------------------ */

static struct judge judge_of(const struct firewall *f)
{
	return (struct judge){
		.conf = f->start->conf,
		.access = f->start->access.mem,
		.access_n = f->start->access.n,
		.own = f->own.list,
		.own_count = f->own.count,
		.wall = loop_wall(f->loop),
	};
}

static void refuse(struct firewall *f, const struct net *n, enum refusal why)
{
	uint8_t mem[512], text_mem[80];
	struct buf fields, text;

	f->refused++;
	buf_init(&text, text_mem, sizeof(text_mem));
	net_print_short(n, &text);
	buf_init(&fields, mem, sizeof(mem));
	field_text(&fields, "key", buf_span(&text));
	field_text(&fields, "what", SPAN("not given to the kernel"));
	field_text(&fields, "why", span_str(refusal_text[why]));
	log_fields(f, LOG_FIREWALL, &fields);
}

/* How many of those that are blocked may no longer be. */
struct judging {
	struct judge judge;
	uint32_t dropped;
};

static bool may_stay(void *arg, const struct net *n)
{
	struct judging *j = arg;
	bool may = judge_net(&j->judge, n) == REFUSAL_NONE;

	j->dropped += may ? 0 : 1;
	return may;
}

/* Addresses, lists or settings are others: what is there already is judged anew. */
static void judge_all(struct firewall *f)
{
	struct judging j = { .judge = judge_of(f) };
	char what[120];

	blocks_judge(&f->sets.blocks, may_stay, &j);
	if (j.dropped) {
		snprintf(what, sizeof(what),
			 "%u taken out: lists, addresses or settings have changed",
			 (unsigned)j.dropped);
		f->refused += j.dropped;
		trouble(f, LOG_FIREWALL, what);
	}
	sets_go_on(&f->sets);
}

/* Without knowing our own addresses nobody is blocked who is not yet. */
static bool know_ourselves(struct firewall *f)
{
	struct err err;
	bool changed = false;

	if (!own_read(&f->own, &changed, &err)) {
		trouble(f, LOG_TROUBLE, err.text);
		return f->own.list != NULL;
	}
	if (changed)
		judge_all(f);
	return true;
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
		refuse(f, n, why);
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

	if (!msg_BLOCK_unpack(frame->bytes, &m) || m.all > 1 || !items_ok(m.items, true))
		return false;
	if (m.all)
		blocks_drop_all(&f->sets.blocks);
	if (!know_ourselves(f))
		return true;
	j = judge_of(f);
	while (list_next(&m.items, &item)) {
		if (net_parse(span_cut(&item, ' '), &n) &&
		    number_parse(item, SECONDS_MAX, &seconds))
			block(f, &j, &n, seconds);
	}
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

static void drop_watcher(struct firewall *f)
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
		trouble(f, LOG_LINK_BROKEN, err.text);
	if (got == LINK_BROKEN || got == LINK_CLOSED)
		drop_watcher(f);
	rearm(f);
	sets_go_on(&f->sets);
	tell_soon(f);
}

static void meet_watcher(struct firewall *f, struct link *link)
{
	drop_watcher(f);
	f->watcher = link;
	f->again = true;
	f->told = false;
	if (!watch_start(f->loop, &f->talk, link_fd(link), WATCH_READ, on_talk, f))
		drop_watcher(f);
	tell_soon(f);
}

/* ---- what the supervisor says -------------------------------------------------------- */

static int take_fd(struct frame *f)
{
	int fd = f->fds[0];

	f->fds[0] = -1;
	return fd;
}

static bool take_conf(struct firewall *f, struct frame *frame, struct err *err)
{
	const struct conf *conf = start_map_conf(take_fd(frame), err);

	if (!conf)
		return false;
	start_unmap_conf(&f->start->conf);
	f->start->conf = conf;
	sets_ports(&f->sets, conf);
	judge_all(f);
	return true;
}

static bool take_access(struct firewall *f, struct frame *frame, struct err *err)
{
	struct start_mapping now;

	if (!start_map_access(take_fd(frame), &now, err))
		return false;
	start_unmap(&f->start->access);
	f->start->access = now;
	judge_all(f);
	return true;
}

static bool take_peer(struct firewall *f, struct frame *frame, struct err *err)
{
	struct msg_PEER m;
	struct link *link;

	if (!msg_PEER_unpack(frame->bytes, &m) || m.role >= ROLE_COUNT)
		return err_set(err, "peer makes no sense");
	if (!link_open(&link, take_fd(frame), ROLE_FIREWALL, (enum role)m.role, m.number,
		       err))
		return false;
	if (m.role == ROLE_WATCH)
		meet_watcher(f, link);
	else
		link_close(&link);
	return true;
}

static bool take_life(struct firewall *f, struct frame *frame, struct err *err)
{
	bool good = true;

	if (frame->kind == MSG_CONF)
		good = take_conf(f, frame, err);
	else if (frame->kind == MSG_ACCESS)
		good = take_access(f, frame, err);
	else if (frame->kind == MSG_PEER)
		good = take_peer(f, frame, err);
	else if (frame->kind == MSG_DRAIN)
		sets_remove(&f->sets, STOP_WITHIN);
	else if (frame->kind != MSG_GONE)
		good = err_set(err, "%s is not for the firewall",
			       message_table[frame->kind].word);
	frame_close_fds(frame);
	return good;
}

static void on_life(void *arg, unsigned ready)
{
	struct firewall *f = arg;
	struct frame frame;
	struct err err;

	(void)ready;
	for (;;) {
		switch (link_recv(f->start->life, &frame, &err)) {
		case LINK_GOT:
			if (take_life(f, &frame, &err))
				continue;
			trouble(f, LOG_LINK_BROKEN, err.text);
			return;
		case LINK_MORE:
			return;
		case LINK_BROKEN:
			trouble(f, LOG_LINK_BROKEN, err.text);
			f->exit_code = 1;
			break;
		case LINK_CLOSED:
			break;
		}
		watch_stop(&f->life);
		sets_remove(&f->sets, STOP_WITHIN);
		return;
	}
}

static void on_removed(void *arg)
{
	struct firewall *f = arg;

	loop_stop(f->loop);
}

static void on_beat(void *arg)
{
	struct firewall *f = arg;

	pulse_beat(f->start->pulse);
	timer_set(&f->beat, loop_now(f->loop) + BEAT_EVERY);
}

/* A new nft needs a new sandbox: whoever replaces us has it. */
static void on_look(void *arg)
{
	struct firewall *f = arg;

	timer_set(&f->look, loop_now(f->loop) + LOOK_EVERY);
	if (!f->start->alone && program_changed(&f->program)) {
		trouble(f, LOG_FIREWALL, "there is another nft now: starting anew");
		loop_stop(f->loop);
		return;
	}
	(void)know_ourselves(f);
}

/* ---- the start -------------------------------------------------------------------------- */

static bool has_net_admin(void)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct caps[2] = { 0 };

	return syscall(SYS_capget, &head, caps) == 0 &&
	       (caps[0].effective & 1u << CAP_NET_ADMIN);
}

/* Whatever is missing, we serve: then this says why nobody is blocked. */
static void see_what_is_missing(struct firewall *f, bool may_change,
				const struct err *no_program)
{
	struct err err;

	if (f->start->alone)
		sets_never(&f->sets, "not with --one-process");
	else if (!table_name_ok(f->sets.name))
		sets_never(&f->sets,
			   "firewall.table is no name for a table: letters, digits "
			   "and _, at most 31");
	else if (!f->program.there)
		sets_never(&f->sets, no_program->text);
	else if (!may_change)
		sets_never(&f->sets,
			   "without the right to change tables (CAP_NET_ADMIN): start "
			   "Holdfast as root, and see CapabilityBoundingSet in its unit");
	else if (!own_read(&f->own, &(bool){ false }, &err))
		sets_never(&f->sets, err.text);
}

static bool enter(struct firewall *f, struct err *err)
{
	struct start *s = f->start;
	struct sandbox box = { .role = ROLE_FIREWALL };
	struct err no_program;
	bool may_change = has_net_admin();
	uint64_t key[2];

	if (getrandom(key, sizeof(key), 0) != sizeof(key))
		return err_set(err, "getrandom: %s", strerror(errno));
	memcpy(f->path, s->conf->set.firewall_nft, sizeof(f->path));
	(void)!program_find(&f->program, f->path, &no_program);
	box.execute = f->program.execute;
	box.read_only = f->program.read_only;
	f->sets.on_state = on_state;
	f->sets.on_removed = on_removed;
	f->sets.arg = f;
	if (!start_sandbox(s, &box, err) || !loop_open(&f->loop, err))
		return false;
	timer_init(&f->beat, f->loop, on_beat, f);
	timer_init(&f->tell, f->loop, on_tell, f);
	timer_init(&f->look, f->loop, on_look, f);
	if (!sets_open(&f->sets, f->loop, &s->conf->set, key, err))
		return false;
	if (!watch_start(f->loop, &f->life, link_fd(s->life), WATCH_READ, on_life, f))
		return err_set(err, "the link to the supervisor cannot be watched");
	for (size_t i = 0; i < s->peer_count; i++)
		if (s->peers[i].role == ROLE_WATCH)
			meet_watcher(f, s->peers[i].link);
	on_beat(f);
	see_what_is_missing(f, may_change, &no_program);
	sets_ports(&f->sets, s->conf);
	on_look(f);
	return start_ready(s, err);
}

int firewall_main(struct start *start)
{
	struct firewall *f = calloc(1, sizeof(*f));
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
	exit_code = f->exit_code;
	drop_watcher(f);
	sets_close(&f->sets);
	if (f->loop)
		loop_close(&f->loop);
	own_close(&f->own);
	free(f);
	return exit_code;
}
