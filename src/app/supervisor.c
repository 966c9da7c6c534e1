#include "app/supervisor.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <unistd.h>

#include "app/life.h"
#include "base/bug.h"
#include "base/fields.h"
#include "base/number.h"
#include "conf/settings.h"

#define CONFIG_DEFAULT "/etc/holdfast/holdfast.conf"

/* Descriptors of an edge that are not sessions: links, listeners, deliveries' files. */
#define RESERVE 256

/* Some programs walk through all numbers up to the limit, and some kernels have 2^30. */
#define DESCRIPTORS_MAX (1u << 20)

/* A server that was killed a moment ago may still be letting go of its ports. */
#define PORT_PATIENCE ((ms_t)2000)

/* ---- options ----------------------------------------------------------------------- */

static bool bad_usage(const char *what)
{
	fprintf(stderr,
		"holdfast run: %s\n"
		"usage: holdfast run [--config FILE] [--set KEY=VALUE]... [--one-process]\n",
		what);
	return false;
}

static bool parse(struct run_options *o, int argc, char **argv)
{
	*o = (struct run_options){ .config = CONFIG_DEFAULT, .resume = -1, .argv = argv };
	for (int i = 2; i < argc; i++) {
		const char *value = i + 1 < argc ? argv[i + 1] : NULL;
		uint64_t n;

		if (strcmp(argv[i], "--one-process") == 0) {
			o->one_process = true;
			continue;
		}
		if (!value)
			return bad_usage(
				"an option that does not exist, or without its value");
		if (strcmp(argv[i], "--config") == 0) {
			o->config = value;
		} else if (strcmp(argv[i], "--set") == 0) {
			if (o->set_count == COUNT_OF(o->sets))
				return bad_usage("too many --set");
			o->sets[o->set_count++] = value;
		} else if (strcmp(argv[i], "--resume") == 0 &&
			   number_parse(span_str(value), INT32_MAX, &n)) {
			o->resume = (int)n;
		} else {
			return bad_usage("an option that does not exist");
		}
		i++;
	}
	return true;
}

/* ---- the start --------------------------------------------------------------------- */

/* As many as the machine has, within reason. */
static rlim_t most_descriptors(void)
{
	FILE *f = fopen("/proc/sys/fs/nr_open", "re");
	unsigned long most = 0;

	if (!f)
		return 0;
	if (fscanf(f, "%lu", &most) != 1)
		most = 0;
	fclose(f);
	return most < DESCRIPTORS_MAX ? most : DESCRIPTORS_MAX;
}

static void raise_limit(void)
{
	rlim_t most = most_descriptors();
	struct rlimit more = { most, most }, limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
		return;
	if (most > limit.rlim_max && setrlimit(RLIMIT_NOFILE, &more) == 0)
		return;
	limit.rlim_cur = limit.rlim_max;
	(void)setrlimit(RLIMIT_NOFILE, &limit);
}

/* Can the edges hold as many sessions as the configuration promises? */
static void compare_limit(struct supervisor *s)
{
	const struct settings *set = &s->conf->set;
	int64_t need = set->sessions / set->edges + 1 + RESERVE;
	struct rlimit limit;
	char text[360];

	if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || (int64_t)limit.rlim_cur >= need)
		return;
	snprintf(text, sizeof(text),
		 "sessions.max = %" PRId64 " over %" PRId64 " edges needs %" PRId64
		 " descriptors each, but the limit is %" PRId64 ": set LimitNOFILE=%" PRId64
		 " in holdfast.service (or \"ulimit -Hn %" PRId64
		 "\" before the start), or run.edges = %" PRId64,
		 set->sessions, set->edges, need, (int64_t)limit.rlim_cur, need, need,
		 limit.rlim_cur > RESERVE
			 ? set->sessions / ((int64_t)limit.rlim_cur - RESERVE) + 1
			 : set->edges);
	say(s, LOG_CAPACITY, "descriptors", text);
}

static bool has_post(const struct supervisor *s, enum role role)
{
	for (size_t i = 0; i < s->post_count; i++)
		if (s->posts[i].role == role)
			return true;
	return false;
}

/* It stays when it is not wanted any more: who does not ask costs nothing. */
void life_want_fetch(struct supervisor *s)
{
	if (!conf_wants_fetch(s->conf) || has_post(s, ROLE_FETCH))
		return;
	if (s->owners.no_fetch.text[0])
		say(s, LOG_FETCH_FAILED, "fetch", s->owners.no_fetch.text);
	else
		s->posts[s->post_count++] = (struct post){ .role = ROLE_FETCH };
}

static void make_posts(struct supervisor *s)
{
	static const enum role one_each[] = { ROLE_WATCH, ROLE_AUTH, ROLE_STORE };

	s->post_count = 0;
	for (size_t i = 0; i < COUNT_OF(one_each); i++)
		s->posts[s->post_count++] = (struct post){ .role = one_each[i] };
	for (int64_t i = 0; i < s->conf->set.edges && i < EDGES_MAX; i++)
		s->posts[s->post_count++] = (struct post){ .role = ROLE_EDGE };
	if (s->owners.no_firewall.text[0])
		say(s, LOG_FIREWALL, "firewall", s->owners.no_firewall.text);
	else if (s->conf->set.firewall)
		s->posts[s->post_count++] = (struct post){ .role = ROLE_FIREWALL };
	life_want_fetch(s);
}

static void say_ports(struct supervisor *s)
{
	for (size_t i = 0; i < s->ports.count; i++) {
		struct buf *b = say_begin(s);

		field_text(b, "listener", span_str(s->ports.port[i].name));
		say_end(s, LOG_LISTENING);
	}
}

bool life_begin(struct supervisor *s, struct err *err)
{
	struct systemd_sockets given = { 0 };
	bool resumed = s->control >= 0;

	if (!owners_find(&s->owners, &s->conf->set, err) ||
	    !places_make(s->conf, &s->owners, &s->lock, err))
		return false;
	if (!resumed)
		systemd_sockets(&given);
	if (!ports_open(&s->ports, &s->ports, &given, s->conf, PORT_PATIENCE, err))
		return false;
	if (!resumed)
		s->control = places_control(s->conf, &s->owners, err);
	if (s->control < 0)
		return false;
	for (unsigned i = 0; i < given.count; i++)
		if (given.socket[i].fd >= 0)
			say(s, LOG_CAPACITY, "socket-activation",
			    "systemd handed over a socket that no listener is configured for");
	if (!shared_begin(s, err))
		return false;
	compare_limit(s);
	if (!resumed)
		say_ports(s);
	make_posts(s);
	s->stage = STAGE_SERVING;
	return true;
}

/* ---- going on ---------------------------------------------------------------------- */

/* When it is this role's turn to stop. */
static enum stage stops_at(enum role role)
{
	if (role == ROLE_EDGE)
		return STAGE_STOPPING_EDGES;
	if (role == ROLE_FIREWALL)
		return STAGE_STOPPING_FIREWALL;
	if (role == ROLE_STORE)
		return STAGE_STOPPING_STORE;
	if (role == ROLE_AUTH)
		return STAGE_STOPPING_AUTH;
	if (role == ROLE_FETCH)
		return STAGE_STOPPING_FETCH;
	return STAGE_STOPPING_WATCH;
}

static const enum role stage_role[] = {
	[STAGE_STOPPING_EDGES] = ROLE_EDGE,  [STAGE_STOPPING_FIREWALL] = ROLE_FIREWALL,
	[STAGE_STOPPING_STORE] = ROLE_STORE, [STAGE_STOPPING_AUTH] = ROLE_AUTH,
	[STAGE_STOPPING_FETCH] = ROLE_FETCH, [STAGE_STOPPING_WATCH] = ROLE_WATCH,
};

/* There is one store, one auth and one watch, also while an old one drains. */
static bool room_for(const struct supervisor *s, const struct post *post)
{
	if (s->stage >= stops_at(post->role))
		return false;
	if (post->role != ROLE_EDGE)
		return children_count(s, post->role) == 0;
	return children_count(s, ROLE_EDGE) < EDGES_MAX &&
	       children_count(s, ROLE_ANY) < ROLES_MAX;
}

static void fill_posts(struct supervisor *s)
{
	ms_t now = loop_now(s->loop);
	struct err err;

	for (size_t i = 0; i < s->post_count; i++) {
		struct post *p = &s->posts[i];

		if (p->child || now < p->again || !room_for(s, p))
			continue;
		if (child_start(s, p, &err))
			continue;
		p->again = now + BACK_OFF_MAX;
		say(s, LOG_TROUBLE, role_word[p->role], err.text);
		if (!s->complete && s->opt.resume < 0 && is_needed(p->role)) {
			life_give_up(s, 1, &err);
			return;
		}
	}
}

/* Is every post filled with somebody who serves? Then the server is there. */
static void note_complete(struct supervisor *s)
{
	if (s->complete || s->stage != STAGE_SERVING || s->post_count == 0)
		return;
	for (size_t i = 0; i < s->post_count; i++)
		if (is_needed(s->posts[i].role) &&
		    (!s->posts[i].child || s->posts[i].child->state != CHILD_READY))
			return;
	s->complete = true;
	shared_settled(s);
	systemd_notify("READY=1\nMAINPID=%d\nSTATUS=Serving", (int)getpid());
}

static void stop_role(struct supervisor *s, enum role role)
{
	ms_t now = loop_now(s->loop);
	ms_t within = s->stop_by > now ? s->stop_by - now : 0;

	if (role != ROLE_EDGE)
		within = LAST_WORDS;
	for (struct child *c = s->children; c < s->children + CHILDREN_MAX; c++)
		if (c->state != CHILD_NONE && c->role == role)
			child_drain(c, within, 0);
}

/* One role after the other: the next begins to stop when the last one has. */
static void stop_on(struct supervisor *s)
{
	while (s->stage >= STAGE_STOPPING_EDGES && s->stage < STAGE_OVER) {
		stop_role(s, stage_role[s->stage]);
		if (children_count(s, stage_role[s->stage]) > 0)
			return;
		s->stage++;
	}
	if (s->stage != STAGE_OVER)
		return;
	loop_stop(s->loop);
}

static ms_t next_time(const struct supervisor *s)
{
	ms_t next = s->looked + LOOK_EVERY;

	for (size_t i = 0; i < s->post_count; i++)
		if (!s->posts[i].child && s->posts[i].again < next &&
		    s->posts[i].again > loop_now(s->loop))
			next = s->posts[i].again;
	return next;
}

static void feed_watchdog(struct supervisor *s)
{
	if (s->watchdog == MS_NEVER || loop_now(s->loop) < s->watchdog_at)
		return;
	s->watchdog_at = loop_now(s->loop) + s->watchdog;
	systemd_notify("WATCHDOG=1");
}

/* What was asked for begins when nothing of that kind is under way. */
static void start_wanted(struct supervisor *s)
{
	struct loading *l = &s->loading;

	if (l->again != MS_NEVER && loop_now(s->loop) >= l->again) {
		l->again = MS_NEVER;
		s->reload_wanted = true;
	}
	if (s->reload_wanted && !l->loader && !s->trial.child &&
	    s->stage <= STAGE_SERVING) {
		struct asked asked = s->reload_asked;

		s->reload_wanted = false;
		s->reload_asked = (struct asked){ 0 };
		reload_start(s, asked);
	}
	if (s->upgrade_wanted && s->stage == STAGE_SERVING && !upgrade_busy(s)) {
		s->upgrade_wanted = false;
		upgrade_start(s, (struct asked){ 0 });
	}
}

void life_go_on(struct supervisor *s)
{
	pulse_beat(s->pulse);
	children_look(s);
	drain_bound(s);
	if (s->stage >= STAGE_SERVING)
		fill_posts(s);
	note_complete(s);
	upgrade_go_on(s);
	stop_on(s);
	feed_watchdog(s);
	start_wanted(s);
	timer_set(&s->timer, next_time(s));
}

/* ---- stopping ---------------------------------------------------------------------- */

void life_stop(struct supervisor *s, int exit_code)
{
	ms_t within = s->conf ? s->conf->set.drain : 0;
	struct buf *b;

	if (s->stage >= STAGE_STOPPING_EDGES)
		return;
	s->exit_code = exit_code;
	s->stop_by = loop_now(s->loop) + within;
	s->stage = STAGE_STOPPING_EDGES;
	systemd_notify("STOPPING=1\nSTATUS=Draining");
	if (s->loading.loader)
		child_kill(s->loading.loader, "the server stops");
	b = say_begin(s);
	field_text(b, "what", SPAN("draining"));
	field_number(b, "within-ms", within);
	say_end(s, LOG_STOPPING);
}

void life_give_up(struct supervisor *s, int exit_code, const struct err *err)
{
	fprintf(stderr, "holdfast: %s\n", err->text);
	systemd_notify("STATUS=%s", err->text);
	life_stop(s, exit_code);
	s->stop_by = loop_now(s->loop);
}

void life_answer(struct supervisor *s, struct asked *asked, bool ok, const char *text)
{
	struct msg_ORDERED m = { asked->ask, ok, span_head(span_str(text), 1024) };

	if (!asked->waiting)
		return;
	asked->waiting = false;
	for (size_t i = 0; i < s->post_count; i++) {
		struct child *c = s->posts[i].child;

		if (!c || c->role != ROLE_WATCH || !c->life || c->why)
			continue;
		msg_ORDERED_pack(&m, link_begin(c->life));
		if (!link_send(c->life, NULL, 0))
			child_kill(c, "it does not take what the supervisor sends");
		else if (link_waiting(c->life))
			watch_mask(&c->watch, WATCH_READ | WATCH_WRITE);
	}
}

/* ---- what comes from outside ------------------------------------------------------- */

static void kill_all(struct supervisor *s)
{
	for (struct child *c = s->children; c < s->children + CHILDREN_MAX; c++)
		if (c->state != CHILD_NONE)
			child_kill(c, "stopped at once");
}

static void on_signal(void *arg, int signal)
{
	struct supervisor *s = arg;

	switch (signal) {
	case SIGCHLD:
		children_reap(s);
		break;
	case SIGHUP:
		s->reload_wanted = true;
		break;
	case SIGUSR2:
		s->upgrade_wanted = true;
		break;
	default: /* SIGTERM, SIGINT; the second one means it */
		if (s->stage >= STAGE_STOPPING_EDGES)
			kill_all(s);
		else
			life_stop(s, 0);
		break;
	}
	life_go_on(s);
}

static void on_time(void *arg)
{
	life_go_on(arg);
}

/* ---- opening and closing ----------------------------------------------------------- */

static bool open_program(struct supervisor *s, struct err *err)
{
	ssize_t n = readlink("/proc/self/exe", s->program_path,
			     sizeof(s->program_path) - 1);
	int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);

	if (n <= 0 || fd < 0)
		return err_set(err, "/proc/self/exe: %s (is /proc mounted?)",
			       strerror(errno));
	s->program_path[n] = '\0';
	/* not in the way of LINK_FD */
	s->program = fcntl(fd, F_DUPFD_CLOEXEC, 10);
	close(fd);
	return s->program >= 0 || err_set(err, "dup: %s", strerror(errno));
}

static bool open_own_pulse(struct supervisor *s, struct err *err)
{
	int fd;

	if (!pulse_make(&fd, &s->pulse_fd, err))
		return false;
	s->doorbell = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	return pulse_open(&s->pulse, fd, fcntl(s->doorbell, F_DUPFD_CLOEXEC, 0), err);
}

static bool take_signals(struct supervisor *s, struct err *err)
{
	static const int signals[] = { SIGCHLD, SIGHUP, SIGTERM, SIGINT, SIGUSR2 };

	signal(SIGPIPE, SIG_IGN);
	for (size_t i = 0; i < COUNT_OF(signals); i++)
		if (!loop_signal(s->loop, signals[i], on_signal, s))
			return err_set(err, "signals cannot be handled");
	return true;
}

static bool open_all(struct supervisor *s, struct err *err)
{
	raise_limit();
	if (!open_program(s, err) || !loop_open(&s->loop, err) ||
	    !open_own_pulse(s, err) || !take_signals(s, err))
		return false;
	timer_init(&s->timer, s->loop, on_time, s);
	s->watchdog = systemd_watchdog();
	s->looked = loop_now(s->loop);
	return s->opt.resume < 0 || upgrade_resume(s, s->opt.resume, err);
}

static void remove_names(const struct supervisor *s)
{
	for (size_t i = 0; i < s->conf->listener_count; i++)
		if (*s->conf->listeners[i].path)
			(void)unlink(s->conf->listeners[i].path);
	(void)unlink(s->conf->set.control);
}

/* What was not taken over by anybody goes with the process; the sockets' names do not. */
static void close_all(struct supervisor *s)
{
	if (s->heard)
		say(s, LOG_STOPPING, "stopped", "all roles have ended");
	say_unheard(s);
	if (s->control >= 0 && s->conf)
		remove_names(s);
	for (struct child *c = s->children; c < s->children + CHILDREN_MAX; c++)
		if (c->state != CHILD_NONE)
			child_forget(c);
	pulse_close(&s->pulse);
	shared_close(s);
	start_unmap_conf(&s->conf);
	loop_close(&s->loop);
}

int supervisor_main(int argc, char **argv)
{
	struct supervisor *s = calloc(1, sizeof(*s));
	struct err err;
	int exit_code;

	if (!s)
		return 1;
	s->control = s->lock = s->program = -1;
	for (size_t i = 0; i < LOADED_FDS; i++)
		s->conf_fds[i] = -1;
	s->loading.again = s->watchdog = MS_NEVER;
	shared_init(s);
	if (!parse(&s->opt, argc, argv)) {
		free(s);
		return 64;
	}
	s->reload_wanted = true; /* the first load is like any other */
	if (!open_all(s, &err)) {
		fprintf(stderr, "holdfast: %s\n", err.text);
		free(s);
		return 1;
	}
	children_reap(s); /* who died while one program became the other */
	life_go_on(s);
	loop_run(s->loop);
	exit_code = s->exit_code;
	close_all(s);
	free(s);
	return exit_code;
}
