#include "watch/watch.h"

#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fields.h"
#include "base/number.h"
#include "io/idn.h"
#include "watch/bans.h"
#include "watch/commands.h"
#include "watch/explaining.h"
#include "watch/inquiry.h"
#include "watch/ordering.h"
#include "watch/sight.h"
#include "watch/top.h"
#include "watch/trace.h"

#define BEAT_EVERY   ((ms_t)250)
#define DRAIN_WITHIN (3 * MS_SECOND) /* for the clients that are being answered */
#define FRAMES_ONCE  64		     /* of one link, before the others have their turn */

/* What to wait for on its link now. */
static unsigned mask_of(const struct sight_peer *p)
{
	return (p->paused ? 0 : WATCH_READ) | (link_waiting(p->link) ? WATCH_WRITE : 0);
}

bool sight_send(struct sight_peer *to)
{
	if (!to->link || !link_send(to->link, NULL, 0))
		return false;
	watch_mask(&to->watch, mask_of(to));
	return true;
}

static void trouble(struct sight *s, enum record kind, const char *key, const char *why)
{
	uint8_t mem[640];
	struct buf fields;

	buf_init(&fields, mem, sizeof(mem));
	field_text(&fields, "key", span_str(key));
	field_text(&fields, "why", span_str(why));
	log_own(s->log, kind, buf_span(&fields));
}

static void drop_peer(struct sight_peer *p)
{
	enum role role;

	if (!p->link)
		return;
	role = link_role(p->link);
	watch_stop(&p->watch);
	link_close(&p->link);
	p->paused = false;
	if (p == &p->sight->firewall)
		kernel_lost(p->sight->kernel);
	else if (p->sight->control)
		control_lost(p->sight->control, role);
}

/* ---- what store, auth and firewall say -------------------------------------------------------- */

static bool take_answer(struct sight *s, enum role by, const struct frame *f)
{
	struct msg_CONTROL_ROW one;
	struct msg_CONTROL_END end;
	struct msg_BLOCKED blocked;

	if (f->kind == MSG_BLOCKED && msg_BLOCKED_unpack(f->bytes, &blocked)) {
		kernel_told(s->kernel, &blocked);
		return true;
	}
	if (f->kind == MSG_CONTROL_ROW && msg_CONTROL_ROW_unpack(f->bytes, &one) &&
	    fields_ok(one.row)) {
		if (!inquiry_hear(s->inquiries, one.ask, by, one.row, false) && s->control)
			control_row(s->control, one.ask, by, one.row);
		return true;
	}
	if (f->kind == MSG_CONTROL_END && msg_CONTROL_END_unpack(f->bytes, &end)) {
		if (!inquiry_hear(s->inquiries, end.ask, by, SPAN_NONE, true) && s->control)
			control_end(s->control, end.ask, by, end.ok == 1, end.text);
		return true;
	}
	return false;
}

static void on_peer(void *arg, unsigned ready)
{
	struct sight_peer *p = arg;
	struct sight *s = p->sight;
	enum role by = link_role(p->link);
	struct err err = { 0 };
	struct frame f;
	enum link_got got = LINK_MORE;

	if ((ready & WATCH_WRITE) && !link_flush(p->link))
		got = LINK_CLOSED;
	for (int i = 0; i < FRAMES_ONCE && got != LINK_CLOSED && !p->paused; i++) {
		got = link_recv(p->link, &f, &err);
		if (got != LINK_GOT)
			break;
		if (take_answer(s, by, &f))
			continue;
		frame_close_fds(&f);
		err_set(&err, "%s sent nonsense", role_word[by]);
		got = LINK_BROKEN;
		break;
	}
	if (got == LINK_BROKEN)
		trouble(s, LOG_LINK_BROKEN, role_word[by], err.text);
	if (got == LINK_BROKEN || got == LINK_CLOSED)
		drop_peer(p);
	if (!p->link)
		return;
	p->paused = p != &s->firewall && s->control && control_full(s->control, by);
	watch_mask(&p->watch, mask_of(p));
}

/* A client has read something, or is gone. */
static void on_room(void *arg)
{
	struct sight *s = arg;
	struct sight_peer *peers[] = { &s->store, &s->auth };

	for (size_t i = 0; i < COUNT_OF(peers); i++) {
		struct sight_peer *p = peers[i];

		if (!p->paused || control_full(s->control, link_role(p->link)))
			continue;
		p->paused = false;
		watch_mask(&p->watch, mask_of(p));
	}
	if (s->draining && !control_busy(s->control))
		loop_stop(s->loop);
}

static void add_peer(struct sight *s, enum role role, struct link *link)
{
	struct sight_peer *p = role == ROLE_STORE      ? &s->store
			       : role == ROLE_AUTH     ? &s->auth
			       : role == ROLE_FIREWALL ? &s->firewall
						       : NULL;

	if (!p) {
		link_close(&link);
		return;
	}
	drop_peer(p);
	p->link = link;
	if (!watch_start(s->loop, &p->watch, link_fd(link), WATCH_READ, on_peer, p))
		drop_peer(p);
}

/* ---- what the supervisor says ------------------------------------------------------- */

static bool take_conf(struct sight *s, struct frame *f, struct err *err)
{
	const struct conf *conf = start_map_conf(frame_take_fd(f, 0), err), *old = s->conf;

	if (!conf)
		return false;
	s->conf = conf;
	s->start->conf = conf;
	log_conf(s->log, conf);
	view_conf(&s->view, conf);
	/* what is enforced, and how wide the kernel's prefixes are, may be another now */
	kernel_refresh(s->kernel);
	start_unmap_conf(&old);
	return true;
}

static bool take_access(struct sight *s, struct frame *f, struct err *err)
{
	struct start_mapping fresh = { 0 };

	if (!start_map_access(frame_take_fd(f, 0), &fresh, err))
		return false;
	view_access(&s->view, fresh.mem, fresh.n);
	start_unmap(&s->start->access);
	s->start->access = fresh;
	return true;
}

static bool take_peer(struct sight *s, struct frame *f, struct err *err)
{
	struct link *link;

	if (!start_take_peer(f, ROLE_WATCH, &link, err))
		return false;
	add_peer(s, link_role(link), link);
	return true;
}

static bool take_pulse_of(struct sight *s, struct frame *f, struct err *err)
{
	struct msg_PULSE_OF m;
	struct start_pulse pulse;

	if (!msg_PULSE_OF_unpack(f->bytes, &m) || m.role >= ROLE_COUNT)
		return err_set(err, "pulse-of makes no sense");
	pulse = (struct start_pulse){ .role = (enum role)m.role,
				      .number = m.number,
				      .pid = m.pid,
				      .fd = frame_take_fd(f, 0),
				      .doorbell = frame_take_fd(f, 1) };
	return pulses_add(s->pulses, &pulse, err);
}

static bool take_gone(struct sight *s, struct frame *f, struct err *err)
{
	struct msg_GONE m;

	if (!msg_GONE_unpack(f->bytes, &m) || m.role >= ROLE_COUNT)
		return err_set(err, "gone makes no sense");
	pulses_drop(s->pulses, (enum role)m.role, m.number);
	return true;
}

/*
 * What roles have said is in their pulses, for us or the next watch, and who knocks at the
 * control socket waits in its backlog. Only who has been let in must be answered first.
 */
static bool take_drain(struct sight *s, struct frame *f, struct err *err)
{
	struct msg_DRAIN m;

	if (!msg_DRAIN_unpack(f->bytes, &m))
		return err_set(err, "drain makes no sense");
	s->draining = true;
	if (s->control)
		control_drain(s->control);
	timer_set(&s->last, loop_now(s->loop) + DRAIN_WITHIN);
	if (!s->control || !control_busy(s->control))
		loop_stop(s->loop);
	return true;
}

static void on_last(void *arg)
{
	struct sight *s = arg;

	loop_stop(s->loop);
}

static bool take_ordered(struct sight *s, struct frame *f, struct err *err)
{
	struct msg_ORDERED m;

	if (!msg_ORDERED_unpack(f->bytes, &m))
		return err_set(err, "ordered makes no sense");
	if (s->control)
		control_end(s->control, m.ask, ROLE_SUPERVISOR, m.ok == 1, m.text);
	return true;
}

static bool take(struct sight *s, struct frame *f, struct err *err)
{
	if (f->kind == MSG_CONF)
		return take_conf(s, f, err);
	if (f->kind == MSG_ACCESS)
		return take_access(s, f, err);
	if (f->kind == MSG_PEER)
		return take_peer(s, f, err);
	if (f->kind == MSG_PULSE_OF)
		return take_pulse_of(s, f, err);
	if (f->kind == MSG_GONE)
		return take_gone(s, f, err);
	if (f->kind == MSG_DRAIN)
		return take_drain(s, f, err);
	if (f->kind == MSG_ORDERED)
		return take_ordered(s, f, err);
	return err_set(err, "%s is not for this role now", message_table[f->kind].word);
}

static void on_life(void *arg, unsigned ready)
{
	struct sight_peer *p = arg;
	struct sight *s = p->sight;
	struct err err = { 0 };
	struct frame f;

	if (ready & WATCH_WRITE)
		(void)link_flush(p->link);
	for (int i = 0; i < FRAMES_ONCE; i++) {
		enum link_got got = link_recv(p->link, &f, &err);

		if (got == LINK_MORE)
			break;
		if (got != LINK_GOT) {
			/* Without a supervisor there is nobody to watch for. */
			loop_stop(s->loop);
			return;
		}
		if (!link_lost(p->link, &f) && !take(s, &f, &err))
			trouble(s, LOG_TROUBLE, "supervisor", err.text);
		frame_close_fds(&f);
	}
	watch_mask(&p->watch, mask_of(p));
}

/* ---- coming to life ------------------------------------------------------------------ */

static void on_beat(void *arg)
{
	struct sight *s = arg;

	pulse_beat(s->start->pulse);
	timer_set(&s->beat, loop_now(s->loop) + BEAT_EVERY);
}

static gid_t control_group(const struct settings *set)
{
	struct span text = span_str(set->control_group);
	struct group *group;
	uint64_t number;

	if (!text.n)
		return (gid_t)-1;
	if (number_parse(text, UINT32_MAX - 1, &number))
		return (gid_t)number;
	group = getgrnam(set->control_group);
	return group ? group->gr_gid : (gid_t)-1;
}

static bool open_control(struct sight *s, struct err *err)
{
	struct control_hook hook = { .on_command = commands_on_command,
				     .on_room = on_room,
				     .arg = s };

	for (size_t i = 0; i < s->start->listener_count; i++) {
		struct start_listener *l = &s->start->listeners[i];

		if (l->number != LISTENER_CONTROL || s->control)
			close(l->fd);
		else if (!control_open(&s->control, s->loop, l->fd,
				       control_group(&s->conf->set), &hook, err))
			return false;
	}
	return true;
}

/* Our own directory, and that of a log file elsewhere. */
static bool close_in(struct sight *s, const char *directory, struct err *err)
{
	const char *paths[3] = { directory };
	struct sandbox box = { .role = ROLE_WATCH, .read_write = paths };
	char other[TEXT_MAX];
	struct span file = span_str(s->conf->set.log_file);
	size_t slash = span_find_last(file, '/');

	if (slash < file.n && slash > 0) {
		memcpy(other, file.p, slash);
		other[slash] = '\0';
		paths[1] = other;
	}
	/* a file, which cannot be read later */
	return idn_open(err) && start_sandbox(s->start, &box, err);
}

/*
 * Which start of the server this is: its pid and when it began (proc(5), stat, 22), since
 * a pid alone comes again.
 */
static int64_t life_of_server(void)
{
	char path[64], text[1024];
	struct buf name;
	struct span rest, word = SPAN_NONE;
	uint64_t ticks = 0;
	ssize_t n;
	int fd;

	buf_init(&name, path, sizeof(path) - 1);
	buf_fmt(&name, "/proc/%d/stat", (int)getppid());
	path[name.len] = '\0';
	fd = open(path, O_RDONLY | O_CLOEXEC);
	n = fd < 0 ? -1 : read(fd, text, sizeof(text));
	if (fd >= 0)
		close(fd);
	rest = span_of(text, n > 0 ? (size_t)n : 0);
	rest = span_skip(rest, span_find_last(rest, ')') + 2);
	for (int i = 3; i <= 22; i++)
		word = span_cut(&rest, ' ');
	if (!number_parse(word, INT64_MAX >> 24, &ticks))
		ticks = 0;
	return (int64_t)(ticks << 24) + getppid();
}

/* What watch does with the guard: after the log and the pulses, before anybody can ask. */
static bool open_guard(struct sight *s, const char *directory, struct err *err)
{
	view_init(&s->view, s->start, s->conf);
	return recent_open(&s->recent, err) && trace_open(&s->trace, s, err) &&
	       history_open(&s->history, s, err) && kernel_open(&s->kernel, s, err) &&
	       inquiries_open(&s->inquiries, s, err) &&
	       ordering_open(&s->ordering, s, directory, err) &&
	       bans_open(&s->bans, s, err);
}

static bool open_eyes(struct sight *s, struct err *err)
{
	char directory[PATH_MAX];
	struct buf name;
	struct err no_file = { 0 }, no_journal = { 0 };
	struct start *start = s->start;

	buf_init(&name, directory, sizeof(directory) - 1);
	buf_fmt(&name, "%s/log", s->conf->set.dir);
	directory[name.len] = '\0';
	if (!loop_open(&s->loop, err))
		return false;
	s->keep = keep_open(directory, life_of_server(), loop_wall(s->loop), &no_file);
	if (!s->keep)
		return err_set(err, "watch: out of memory");
	if (!log_open(&s->log, s->loop, s->conf, s->keep, err) ||
	    !pulses_open(&s->pulses, s->loop, s->log, s->keep, err) ||
	    !open_control(s, err))
		return false;
	if (!journal_open(&s->journal, s->loop, directory, s->conf->set.journal_size,
			  &no_journal) &&
	    !s->journal)
		return err_set(err, "watch: out of memory");
	pulses_journal(s->pulses, s->journal);
	if (!close_in(s, directory, err) || !open_guard(s, directory, err))
		return false;
	if (*no_file.text)
		trouble(s, LOG_TROUBLE, "watch.state", no_file.text);
	if (*no_journal.text)
		trouble(s, LOG_TROUBLE, "journal", no_journal.text);
	for (size_t i = 0; i < start->pulse_count; i++)
		if (!pulses_add(s->pulses, &start->pulses[i], err))
			return false;
	for (size_t i = 0; i < start->peer_count; i++)
		add_peer(s, start->peers[i].role, start->peers[i].link);
	s->life.link = start->life;
	timer_init(&s->beat, s->loop, on_beat, s);
	timer_init(&s->last, s->loop, on_last, s);
	on_beat(s);
	if (!watch_start(s->loop, &s->life.watch, link_fd(start->life), WATCH_READ,
			 on_life, &s->life))
		return err_set(err, "watch: the link to the supervisor cannot be watched");
	return start_ready(start, err);
}

/* Write the last lines. If the disk or the terminal hangs, they are lost with us. */
static void close_eyes(struct sight *s)
{
	pulses_drain(s->pulses);
	walks_drop(&s->walks);
	control_close(&s->control);
	drop_peer(&s->store);
	drop_peer(&s->auth);
	drop_peer(&s->firewall);
	bans_close(&s->bans);
	history_close(&s->history);
	pulses_close(&s->pulses);
	if (!log_finish(s->log))
		_exit(0);
	loop_close(&s->loop);
	ordering_close(&s->ordering);
	kernel_close(&s->kernel);
	trace_close(&s->trace);
	recent_close(&s->recent);
	inquiries_close(&s->inquiries);
	journal_close(&s->journal);
	log_close(&s->log);
	keep_close(&s->keep);
}

int watch_main(struct start *start)
{
	struct err err = { 0 };
	struct sight *s = calloc(1, sizeof(*s));

	if (!s) {
		err_set(&err, "watch: out of memory");
		start_failed(start, &err);
		return 1;
	}
	s->start = start;
	s->conf = start->conf;
	s->life.sight = s->store.sight = s->auth.sight = s->firewall.sight = s;
	if (!open_eyes(s, &err)) {
		start_failed(start, &err);
		return 1;
	}
	loop_run(s->loop);
	close_eyes(s);
	free(s);
	return 0;
}
