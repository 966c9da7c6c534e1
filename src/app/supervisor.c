#include "app/supervisor.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <unistd.h>

#include "app/life.h"
#include "base/number.h"

#define CONFIG_DEFAULT "/etc/holdfast/holdfast.conf"

/* Some programs walk through all numbers up to the limit, and some kernels have 2^30. */
#define DESCRIPTORS_MAX (1u << 20)

/* ---- options ----------------------------------------------------------------------- */

static bool bad_usage(const char *what, const char *word)
{
	fprintf(stderr,
		"holdfast run: \"%s\" %s\n"
		"usage: holdfast run [--config FILE] [--set KEY=VALUE]... [--one-process]\n",
		word, what);
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
			return bad_usage("is no option here, or lacks its value", argv[i]);
		if (strcmp(argv[i], "--config") == 0) {
			o->config = value;
		} else if (strcmp(argv[i], "--set") == 0) {
			if (o->set_count == COUNT_OF(o->sets))
				return bad_usage("is one --set too many", value);
			o->sets[o->set_count++] = value;
		} else if (strcmp(argv[i], "--resume") == 0 &&
			   number_parse(span_str(value), INT32_MAX, &n)) {
			o->resume = (int)n;
		} else {
			return bad_usage("is no option here", argv[i]);
		}
		i++;
	}
	return true;
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
