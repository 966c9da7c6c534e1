#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "app/life.h"
#include "app/spawn.h"
#include "base/fields.h"
#include "base/number.h"
#include "link/systemd.h"

/*
 * The new program becomes this process: same pid, same ports, same children. What it needs
 * to know is in a memfd, as lines of words; it leaves out those that it does not know.
 *
 *     version MESSAGES_VERSION
 *     generation N
 *     lock FD
 *     control FD
 *     guard FD
 *     orders FD
 *     accounts FD
 *     tickets FD
 *     stek FD
 *     port ID FD
 *     child ROLE NUMBER PID LIFE-FD PULSE-FD DOORBELL-FD SPEAKS
 *     child ... SPEAKS DRAINED OTHERS-BY DEADLINE
 *     ended NUMBER WHEN
 *
 * The last of a child are of an edge that was replaced and keeps who reads mail; ended is of
 * an edge that has died: its number rests, and new edges mend what it left. Times are of the
 * monotonic clock. It starts roles of its own. Store, auth and watch, of which there is only one, change
 * places at once; edges overlap, so that there is always one that accepts.
 */

#define TRIAL_WITHIN ((ms_t)20000)
#define STATE_MAX    65536

/* ---- the trial: can the new program run at all, and does it like the configuration? ----- */

static void refuse(struct supervisor *s, const char *why)
{
	say(s, LOG_UPGRADE, "upgrade", why);
	life_answer(s, &s->trial.asked, false, why);
}

static bool try_step(struct supervisor *s, struct err *err)
{
	char version[] = "--version", config[] = "config", check[] = "check";
	char file[] = "--config", set[] = "--set";
	char *argv[6 + 2 * COUNT_OF(s->opt.sets)] = { s->program_path, version };
	size_t n = 1;

	if (s->trial.step == 1) {
		argv[n++] = config;
		argv[n++] = check;
		argv[n++] = file;
		argv[n++] = (char *)(uintptr_t)s->opt.config;
		for (size_t i = 0; i < s->opt.set_count; i++) {
			argv[n++] = set;
			argv[n++] = (char *)(uintptr_t)s->opt.sets[i];
		}
	}
	if (!child_helper(s, &s->trial.child, ROLE_NONE, argv, err))
		return false;
	s->trial.child->deadline = loop_now(s->loop) + TRIAL_WITHIN;
	return true;
}

static bool still_changing(const struct supervisor *s)
{
	for (size_t i = 0; i < CHILDREN_MAX; i++)
		if (s->children[i].state != CHILD_NONE && s->children[i].old &&
		    !drain_lingers(&s->children[i]))
			return true;
	return !s->complete;
}

const char *upgrade_busy(const struct supervisor *s)
{
	if (s->opt.one_process)
		return "not with --one-process";
	if (s->loading.loader || s->trial.child)
		return "a reload or an upgrade is under way";
	if (still_changing(s))
		return "the last start or upgrade is not finished";
	return NULL;
}

void upgrade_start(struct supervisor *s, struct asked asked)
{
	const char *busy = upgrade_busy(s);
	struct err err;

	if (busy) {
		life_answer(s, &asked, false, busy);
		return;
	}
	s->trial = (struct trial){ .asked = asked };
	if (!try_step(s, &err))
		refuse(s, err.text);
}

/* ---- becoming the new program -------------------------------------------------------------- */

static void keep_over_exec(int fd, bool keep)
{
	if (fd >= 0)
		(void)fcntl(fd, F_SETFD, keep ? 0 : FD_CLOEXEC);
}

static void keep_all(struct supervisor *s, bool keep)
{
	keep_over_exec(s->lock, keep);
	keep_over_exec(s->control, keep);
	keep_over_exec(s->guard.rw, keep);
	keep_over_exec(s->orders.rw, keep);
	keep_over_exec(s->accounts.rw, keep);
	keep_over_exec(s->tickets.rw, keep);
	keep_over_exec(s->stek.rw, keep);
	for (size_t i = 0; i < s->ports.count; i++)
		keep_over_exec(s->ports.port[i].fd, keep);
	for (struct child *c = s->children; c < s->children + CHILDREN_MAX; c++) {
		if (c->state == CHILD_NONE)
			continue;
		keep_over_exec(c->life ? link_fd(c->life) : -1, keep);
		keep_over_exec(c->pulse_fd, keep);
		keep_over_exec(c->doorbell, keep);
	}
}

static void print_child(const struct child *c, struct buf *out)
{
	buf_fmt(out, "child %s %u %d %d %d %d %u", role_word[c->role], c->number,
		(int)c->pid, link_fd(c->life), c->pulse_fd, c->doorbell,
		(unsigned)c->speaks);
	if (c->state == CHILD_DRAINING && c->keeps)
		buf_fmt(out, " %" PRId64 " %" PRId64 " %" PRId64, c->drained,
			c->others_by, c->deadline);
	buf_fmt(out, "\n");
}

static void print_state(const struct supervisor *s, struct buf *out)
{
	buf_fmt(out, "version %u\ngeneration %" PRIu64 "\nlock %d\ncontrol %d\n",
		(unsigned)MESSAGES_VERSION, s->generation, s->lock, s->control);
	buf_fmt(out, "guard %d\norders %d\naccounts %d\ntickets %d\nstek %d\n",
		s->guard.rw, s->orders.rw, s->accounts.rw, s->tickets.rw, s->stek.rw);
	for (size_t i = 0; i < s->ports.count; i++)
		buf_fmt(out, "port %" PRIu64 " %d\n", s->ports.port[i].id,
			s->ports.port[i].fd);
	for (const struct child *c = s->children; c < s->children + CHILDREN_MAX; c++)
		if (c->state != CHILD_NONE && c->life && c->pid > 0)
			print_child(c, out);
	for (unsigned n = 0; n < EDGES_MAX; n++)
		if (s->edge_ended[n])
			buf_fmt(out, "ended %u %" PRId64 "\n", n, s->edge_ended[n]);
}

static int make_state(const struct supervisor *s, struct err *err)
{
	static uint8_t mem[STATE_MAX];
	struct buf out;
	int fd = memfd_create("holdfast-state", 0); /* stays open over the exec */

	buf_init(&out, mem, sizeof(mem));
	print_state(s, &out);
	if (fd >= 0 && !out.full && write(fd, mem, out.len) == (ssize_t)out.len)
		return fd;
	err_set(err, "the state for the new program: %s", strerror(errno));
	if (fd >= 0)
		close(fd);
	return -1;
}

/* Our own arguments again, without an earlier --resume, and with this one. */
static char **make_argv(const struct supervisor *s, char *number)
{
	static char flag[] = "--resume";
	size_t n = 0, count = 0;
	char **argv;

	while (s->opt.argv[count])
		count++;
	argv = calloc(count + 4, sizeof(*argv));
	if (!argv)
		return NULL;
	for (size_t i = 0; i < count; i++) {
		if (strcmp(s->opt.argv[i], flag) == 0)
			i++;
		else
			argv[n++] = s->opt.argv[i];
	}
	argv[n++] = flag;
	argv[n++] = number;
	return argv;
}

/* A signal that comes in between waits for the new program's handlers. */
static void hold_signals(bool hold)
{
	sigset_t all;

	sigfillset(&all);
	sigprocmask(hold ? SIG_BLOCK : SIG_UNBLOCK, &all, NULL);
}

static void become(struct supervisor *s)
{
	struct err err;
	char number[16];
	char **argv;
	int fd = make_state(s, &err);

	if (fd < 0) {
		refuse(s, err.text);
		return;
	}
	snprintf(number, sizeof(number), "%d", fd);
	argv = make_argv(s, number);
	say(s, LOG_UPGRADE, "upgrade", "the new program takes over");
	life_answer(s, &s->trial.asked, true, "the new program takes over");
	systemd_reloading();
	keep_all(s, true);
	hold_signals(true);
	if (argv)
		execv(s->program_path, argv);
	err_set(&err, "%s cannot be run: %s; the old program goes on", s->program_path,
		strerror(errno));
	hold_signals(false);
	keep_all(s, false);
	free(argv);
	close(fd);
	systemd_notify("READY=1\nSTATUS=Serving; the upgrade failed");
	refuse(s, err.text);
}

void upgrade_tried(struct supervisor *s, int status)
{
	static const char *const what[] = { "--version", "config check" };
	struct err err;
	uint8_t mem[80];
	struct buf how;

	s->trial.child = NULL;
	if (s->stage != STAGE_SERVING) {
		life_answer(s, &s->trial.asked, false, "the server is stopping");
		return;
	}
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
		buf_init(&how, mem, sizeof(mem));
		spawn_ended(status, &how);
		err_set(&err, "\"%s %s\" ended with %.*s; the old program goes on",
			s->program_path, what[s->trial.step], SPAN_ARG(buf_span(&how)));
		refuse(s, err.text);
		return;
	}
	if (s->trial.step == 1) {
		become(s);
		return;
	}
	s->trial.step = 1;
	if (!try_step(s, &err))
		refuse(s, err.text);
}

/* ---- the new program: taking over ------------------------------------------------------------ */

static int next_number(struct span *line)
{
	uint64_t n;

	return number_parse(span_cut(line, ' '), INT32_MAX, &n) ? (int)n : -1;
}

/* A descriptor that is really there, and goes no further. */
static int next_fd(struct span *line)
{
	int fd = next_number(line);

	return fd > STDERR_FILENO && fcntl(fd, F_SETFD, FD_CLOEXEC) == 0 ? fd : -1;
}

static void take_port(struct supervisor *s, struct span line)
{
	struct port *p = &s->ports.port[s->ports.count];
	uint64_t id;

	if (s->ports.count == LISTENERS_MAX ||
	    !number_parse(span_cut(&line, ' '), UINT64_MAX, &id))
		return;
	*p = (struct port){ .id = id, .fd = next_fd(&line) };
	if (p->fd >= 0)
		s->ports.count++;
}

static enum role role_named(struct span word)
{
	for (enum role r = ROLE_EDGE; r < ROLE_COUNT; r++)
		if (span_eq(word, span_str(role_word[r])))
			return r;
	return ROLE_NONE;
}

/* What may be there, of an edge that was replaced. */
static void take_drain(struct child *c, struct span line)
{
	uint64_t drained, others_by, deadline;

	if (!number_parse(span_cut(&line, ' '), INT64_MAX, &drained) ||
	    !number_parse(span_cut(&line, ' '), INT64_MAX, &others_by) ||
	    !number_parse(span_cut(&line, ' '), INT64_MAX, &deadline))
		return;
	c->state = CHILD_DRAINING;
	c->keeps = true;
	c->drained = (ms_t)drained;
	c->others_by = (ms_t)others_by;
	c->deadline = (ms_t)deadline;
}

static bool take_child(struct supervisor *s, struct span line, uint32_t speaks,
		       struct err *err)
{
	struct child *c = child_free(s);
	struct err no_pulse;
	int life, again;

	if (!c)
		return err_set(err, "too many processes");
	c->role = role_named(span_cut(&line, ' '));
	c->number = (unsigned)next_number(&line);
	c->pid = next_number(&line);
	life = next_fd(&line);
	c->pulse_fd = next_fd(&line);
	c->doorbell = next_fd(&line);
	if (c->role == ROLE_NONE || c->number >= EDGES_MAX || c->pid <= 0 || life < 0)
		return err_set(err, "the old program's state makes no sense");
	c->old = true;
	c->speaks = line.n ? (uint32_t)next_number(&line) : speaks;
	c->state = CHILD_READY;
	c->ready_at = loop_now(s->loop);
	take_drain(c, line);
	again = fcntl(c->pulse_fd, F_DUPFD_CLOEXEC, 0);
	/* without one that we can read, it is simply not looked at */
	if (again >= 0 && !pulse_reader_open(&c->pulse, again, &no_pulse))
		c->pulse = NULL;
	if (child_adopt(s, c, life, err))
		return true;
	child_forget(c);
	return false;
}

static void take_ended(struct supervisor *s, struct span line)
{
	uint64_t number, when;

	if (number_parse(span_cut(&line, ' '), EDGES_MAX - 1, &number) &&
	    number_parse(span_cut(&line, ' '), (uint64_t)loop_now(s->loop), &when))
		s->edge_ended[number] = (ms_t)when;
}

static bool take_line(struct supervisor *s, struct span line, uint32_t *speaks,
		      struct err *err)
{
	struct span word = span_cut(&line, ' ');

	if (span_eq(word, SPAN("version")))
		*speaks = (uint32_t)next_number(&line);
	else if (span_eq(word, SPAN("generation")))
		s->generation = (uint64_t)next_number(&line);
	else if (span_eq(word, SPAN("lock")))
		s->lock = next_fd(&line);
	else if (span_eq(word, SPAN("control")))
		s->control = next_fd(&line);
	else if (span_eq(word, SPAN("guard")))
		shared_take(&s->guard, next_fd(&line));
	else if (span_eq(word, SPAN("orders")))
		shared_take(&s->orders, next_fd(&line));
	else if (span_eq(word, SPAN("accounts")))
		shared_take(&s->accounts, next_fd(&line));
	else if (span_eq(word, SPAN("tickets")))
		shared_take(&s->tickets, next_fd(&line));
	else if (span_eq(word, SPAN("stek")))
		shared_take(&s->stek, next_fd(&line));
	else if (span_eq(word, SPAN("port")))
		take_port(s, line);
	else if (span_eq(word, SPAN("child")))
		return take_child(s, line, *speaks, err);
	else if (span_eq(word, SPAN("ended")))
		take_ended(s, line);
	return true;
}

bool upgrade_resume(struct supervisor *s, int fd, struct err *err)
{
	char *mem = malloc(STATE_MAX);
	uint32_t speaks = 0;
	struct span left;
	bool good = true;
	ssize_t n = mem ? pread(fd, mem, STATE_MAX, 0) : -1;

	close(fd);
	if (n <= 0) {
		free(mem);
		return err_set(err, "--resume is for upgrades only");
	}
	left = span_of(mem, (size_t)n);
	while (good && left.n)
		good = take_line(s, span_cut(&left, '\n'), &speaks, err);
	free(mem);
	hold_signals(false);
	say(s, LOG_UPGRADE, "upgrade", "this is the new program");
	return good;
}

/* ---- old roles leave ---------------------------------------------------------------------------- */

struct edges {
	size_t all;
	size_t serving;	    /* of either program */
	size_t moving;	    /* they come or leave soon */
	size_t old;	    /* of them, of the old one */
	struct child *next; /* an old one that serves */
};

static struct edges count_edges(struct supervisor *s)
{
	struct edges e = { 0 };

	for (struct child *c = s->children; c < s->children + CHILDREN_MAX; c++) {
		if (c->role != ROLE_EDGE || c->state == CHILD_NONE)
			continue;
		e.all++;
		if (c->state != CHILD_READY) {
			e.moving += !c->keeps;
			continue;
		}
		e.serving++;
		if (c->old) {
			e.old++;
			e.next = c;
		}
	}
	return e;
}

static bool store_serves(const struct supervisor *s)
{
	for (size_t i = 0; i < s->post_count; i++)
		if (s->posts[i].role == ROLE_STORE)
			return s->posts[i].child &&
			       s->posts[i].child->state == CHILD_READY;
	return false;
}

/* As many edges as there should be go on accepting, unless no number is left for new ones. */
static void drain_edges(struct supervisor *s)
{
	size_t wanted = (size_t)s->conf->set.edges;

	for (;;) {
		struct edges e = count_edges(s);

		if (e.old == 0 || (e.serving <= wanted && (e.all < EDGES_MAX || e.moving)))
			return;
		child_drain(e.next, s->conf->set.drain, s->conf->set.mailbox_drain);
		drain_bound(s);
	}
}

static void say_settled(struct supervisor *s, size_t kept)
{
	char text[120] = "the old program's roles have all ended";

	if (kept)
		snprintf(text, sizeof(text),
			 "the old program's roles have ended, but %zu edge%s kept for who "
			 "reads mail",
			 kept, kept == 1 ? " that is" : "s that are");
	say(s, LOG_UPGRADE, "upgrade", text);
}

void upgrade_go_on(struct supervisor *s)
{
	size_t old = 0, kept = 0;

	if (s->opt.resume < 0 || s->stage != STAGE_SERVING)
		return;
	for (struct child *c = s->children; c < s->children + CHILDREN_MAX; c++) {
		if (c->state == CHILD_NONE || !c->old)
			continue;
		if (c->keeps && s->apart)
			child_drain(c, s->conf->set.drain, 0);
		if (drain_lingers(c)) {
			kept++;
			continue;
		}
		old++;
		if (c->role != ROLE_EDGE)
			child_drain(c,
				    c->role == ROLE_STORE || c->role == ROLE_FIREWALL
					    ? LAST_WORDS
					    : 0,
				    0);
	}
	if (store_serves(s))
		drain_edges(s);
	if (old > 0 || !s->complete)
		return;
	s->opt.resume = -1;
	say_settled(s, kept);
}
