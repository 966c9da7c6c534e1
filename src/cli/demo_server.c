#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/fields.h"
#include "cli/demo.h"

#define READY_WITHIN 60 /* seconds */
#define STOP_WITHIN  90
#define PAUSE_NS     (50 * 1000 * 1000)

/* Does PATH lead from the name to this very file? */
static bool is_found(const char *name, const struct stat *self)
{
	const char *path = getenv("PATH");
	struct span rest = span_str(path ? path : "");

	while (rest.n) {
		struct span dir = span_cut(&rest, ':');
		char file[PATH_MAX];
		struct stat st;

		snprintf(file, sizeof(file), "%.*s/%s", SPAN_ARG(dir), name);
		if (stat(file, &st) == 0)
			return st.st_dev == self->st_dev && st.st_ino == self->st_ino;
	}
	return false;
}

void demo_name_program(struct demo *d)
{
	static const char name[] = "holdfast";
	ssize_t n = readlink("/proc/self/exe", d->program, sizeof(d->program) - 1);
	struct stat self;

	d->program[n > 0 ? n : 0] = '\0';
	if (n <= 0 || stat(d->program, &self) != 0 || is_found(name, &self))
		memcpy(d->program, name, sizeof(name));
}

static void put_signals(sigset_t *set)
{
	sigemptyset(set);
	sigaddset(set, SIGINT);
	sigaddset(set, SIGTERM);
	sigaddset(set, SIGHUP);
}

void demo_take_signals(void)
{
	sigset_t set;

	put_signals(&set);
	sigaddset(&set, SIGCHLD);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
}

bool demo_interrupted(void)
{
	const struct timespec now = { 0 };
	sigset_t set;

	put_signals(&set);
	return sigtimedwait(&set, NULL, &now) > 0;
}

/* In the child: the server, in a group of its own, so that Ctrl-C is ours to forward. */
static void become_server(const struct demo *d, char *program, int errors)
{
	static char run[] = "run", config[] = "--config", set[] = "--set";
	char *argv[2 * DEMO_SETS + 5];
	sigset_t none;
	size_t n = 0;

	argv[n++] = program;
	argv[n++] = run;
	argv[n++] = config;
	argv[n++] = (char *)(uintptr_t)d->config;
	for (size_t i = 0; i < d->set_count; i++) {
		argv[n++] = set;
		argv[n++] = (char *)(uintptr_t)d->set[i];
	}
	argv[n] = NULL;
	(void)dup2(errors, STDERR_FILENO);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	(void)setpgid(0, 0);
	/* Nobody else would stop it. */
	(void)prctl(PR_SET_PDEATHSIG, SIGTERM);
	execv(program, argv);
	execv("/proc/self/exe", argv);
	_exit(127);
}

bool demo_start(struct demo *d, struct err *err)
{
	char program[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", program, sizeof(program) - 1);
	int errors;

	if (n < 0)
		return err_set(err, "/proc/self/exe: %s", strerror(errno));
	program[n] = '\0';
	errors = open(d->errors, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW,
		      0644);
	if (errors < 0)
		return err_set(err, "%s: %s", d->errors, strerror(errno));
	fflush(stdout);
	d->server = fork();
	if (d->server == 0)
		become_server(d, program, errors);
	close(errors);
	if (d->server < 0) {
		d->server = 0;
		return err_set(err, "fork: %s", strerror(errno));
	}
	return true;
}

/* Has it ended? Then err says how. */
static bool has_ended(struct demo *d, struct err *err)
{
	int status;

	if (d->server == 0 || waitpid(d->server, &status, WNOHANG) != d->server)
		return false;
	d->server = 0;
	if (WIFSIGNALED(status))
		err_set(err, "the server was ended by signal %d", WTERMSIG(status));
	else
		err_set(err, "the server ended with exit code %d", WEXITSTATUS(status));
	return true;
}

bool demo_pause(struct demo *d, struct err *err)
{
	const struct timespec a_moment = { .tv_nsec = PAUSE_NS };

	if (has_ended(d, err) || demo_dovecot_ended(d, err))
		return false;
	if (demo_interrupted())
		return err_set(err, "interrupted");
	nanosleep(&a_moment, NULL);
	return true;
}

static bool is_serving(const struct demo *d)
{
	const char *const words[] = { "status" };
	struct span row;
	struct field state;
	struct answer a;
	struct err err;
	size_t at = 0;
	bool serving;

	if (!ask(d->cli, words, 1, &a, &err))
		return false;
	serving = a.ok && answer_next(&a, &at, &row) &&
		  field_find(row, "state", &state) && span_eq(state.text, SPAN("serving"));
	answer_close(&a);
	return serving;
}

bool demo_wait_ready(struct demo *d, struct err *err)
{
	time_t end = time(NULL) + READY_WITHIN;

	while (!is_serving(d)) {
		if (time(NULL) > end)
			return err_set(err, "the server was not ready within %d s",
				       READY_WITHIN);
		if (!demo_pause(d, err))
			return false;
	}
	return true;
}

bool demo_serve(struct demo *d, struct err *err)
{
	sigset_t set;

	put_signals(&set);
	sigaddset(&set, SIGCHLD);
	for (;;) {
		int got = sigwaitinfo(&set, NULL);

		if (got == SIGCHLD && (has_ended(d, err) || demo_dovecot_ended(d, err)))
			return false;
		if (got == SIGINT || got == SIGTERM || got == SIGHUP)
			return true;
	}
}

static bool all_ended(struct demo *d)
{
	struct err err;

	(void)has_ended(d, &err);
	(void)demo_dovecot_ended(d, &err);
	return d->server == 0 && d->dovecot == 0;
}

static void signal_all(const struct demo *d, int signal)
{
	if (d->server)
		kill(d->server, signal);
	if (d->dovecot)
		kill(d->dovecot, signal);
}

void demo_stop(struct demo *d)
{
	const struct timespec a_moment = { .tv_nsec = PAUSE_NS };
	time_t end = time(NULL) + STOP_WITHIN;

	signal_all(d, SIGTERM);
	while (!all_ended(d)) {
		/* A second Ctrl-C, or too long a wait: at once. */
		if (demo_interrupted() || time(NULL) > end)
			signal_all(d, SIGKILL);
		nanosleep(&a_moment, NULL);
	}
}
