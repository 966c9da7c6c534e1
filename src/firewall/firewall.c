/*
 * The role that gives blocks to the kernel: whom it may block, the supervisor's orders, and
 * what it needs before it serves.
 */
#include "firewall/firewall.h"

#include <errno.h>
#include <linux/capability.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "firewall/inner.h"

#define BEAT_EVERY  ((ms_t)250)
#define LOOK_EVERY  (5 * MS_SECOND) /* at our addresses, and at nft itself */
#define STOP_WITHIN (6 * MS_SECOND) /* the supervisor waits a little longer */

void firewall_log(struct firewall *f, enum record kind, struct buf *fields)
{
	pulse_log(f->start->pulse, kind, loop_wall(f->loop), NULL, buf_span(fields));
}

void firewall_trouble(struct firewall *f, enum record kind, const char *why)
{
	uint8_t mem[640];
	struct buf fields;

	buf_init(&fields, mem, sizeof(mem));
	field_text(&fields, "key", SPAN("firewall"));
	field_text(&fields, "what", span_str(why));
	firewall_log(f, kind, &fields);
}

/* ---- what may be blocked ------------------------------------------------------------------ */

struct judge firewall_judge(const struct firewall *f)
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

void firewall_refuse(struct firewall *f, const struct net *n, enum refusal why)
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
	firewall_log(f, LOG_FIREWALL, &fields);
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
	struct judging j = { .judge = firewall_judge(f) };
	char what[120];

	blocks_judge(&f->sets.blocks, may_stay, &j);
	if (j.dropped) {
		snprintf(what, sizeof(what),
			 "%u taken out: lists, addresses or settings have changed",
			 (unsigned)j.dropped);
		f->refused += j.dropped;
		firewall_trouble(f, LOG_FIREWALL, what);
	}
	sets_go_on(&f->sets);
}

/* Without knowing our own addresses nobody is blocked who is not yet. */
bool firewall_know_ourselves(struct firewall *f)
{
	struct err err;
	bool changed = false;

	if (!own_read(&f->own, &changed, &err)) {
		firewall_trouble(f, LOG_TROUBLE, err.text);
		return f->own.list != NULL;
	}
	if (changed)
		judge_all(f);
	return true;
}

/* ---- what the supervisor says -------------------------------------------------------- */

static bool take_conf(struct firewall *f, struct frame *frame, struct err *err)
{
	const struct conf *conf = start_map_conf(frame_take_fd(frame, 0), err);

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

	if (!start_map_access(frame_take_fd(frame, 0), &now, err))
		return false;
	start_unmap(&f->start->access);
	f->start->access = now;
	judge_all(f);
	return true;
}

static bool take_peer(struct firewall *f, struct frame *frame, struct err *err)
{
	struct link *link;

	if (!start_take_peer(frame, ROLE_FIREWALL, &link, err))
		return false;
	if (link_role(link) == ROLE_WATCH)
		talk_meet(f, link);
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
			if (link_lost(f->start->life, &frame) ||
			    take_life(f, &frame, &err))
				continue;
			firewall_trouble(f, LOG_LINK_BROKEN, err.text);
			return;
		case LINK_MORE:
			return;
		case LINK_BROKEN:
			firewall_trouble(f, LOG_LINK_BROKEN, err.text);
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
		firewall_trouble(f, LOG_FIREWALL,
				 "there is another nft now: starting anew");
		loop_stop(f->loop);
		return;
	}
	(void)firewall_know_ourselves(f);
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
			   "firewall.table is no name for a table: letters, digits, _ "
			   "and -, at most 31");
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
	f->sets.on_state = talk_on_state;
	f->sets.on_removed = on_removed;
	f->sets.arg = f;
	if (!start_sandbox(s, &box, err) || !loop_open(&f->loop, err))
		return false;
	timer_init(&f->beat, f->loop, on_beat, f);
	timer_init(&f->tell, f->loop, talk_on_tell, f);
	timer_init(&f->look, f->loop, on_look, f);
	if (!sets_open(&f->sets, f->loop, &s->conf->set, key, err))
		return false;
	if (!watch_start(f->loop, &f->life, link_fd(s->life), WATCH_READ, on_life, f))
		return err_set(err, "the link to the supervisor cannot be watched");
	for (size_t i = 0; i < s->peer_count; i++)
		if (s->peers[i].role == ROLE_WATCH)
			talk_meet(f, s->peers[i].link);
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
	talk_drop(f);
	sets_close(&f->sets);
	if (f->loop)
		loop_close(&f->loop);
	own_close(&f->own);
	free(f);
	return exit_code;
}
