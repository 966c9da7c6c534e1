#include "app/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "link/start.h"

/* As sysexits.h and shells have it. */
#define EXIT_CANNOT_RUN 126

#ifndef CLOSE_RANGE_CLOEXEC
#define CLOSE_RANGE_CLOEXEC (1U << 2)
#endif

/* Meant for the supervisor alone: a role that talked to systemd would confuse it. */
static void clean_environment(void)
{
	static const char *const ours[] = {
		"NOTIFY_SOCKET", "WATCHDOG_USEC",  "WATCHDOG_PID",  "LISTEN_FDS",
		"LISTEN_PID",	 "LISTEN_FDNAMES", "INVOCATION_ID",
	};

	for (size_t i = 0; i < COUNT_OF(ours); i++)
		unsetenv(ours[i]);
}

static bool drop_to(const struct owner *o)
{
	return setgroups(0, NULL) == 0 && setresgid(o->gid, o->gid, o->gid) == 0 &&
	       setresuid(o->uid, o->uid, o->uid) == 0;
}

static void reset_signals(void)
{
	sigset_t none;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGPIPE, SIG_DFL);
}

/* Descriptors: standard input from nowhere, output and errors as ours, the link. */
static bool arrange_fds(int link, bool quiet)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (null < 0 || dup2(null, STDIN_FILENO) < 0)
		return false;
	if (quiet && (dup2(null, STDOUT_FILENO) < 0 || dup2(null, STDERR_FILENO) < 0))
		return false;
	if (link == LINK_FD)
		return fcntl(link, F_SETFD, 0) == 0;
	return link < 0 || dup2(link, LINK_FD) == LINK_FD;
}

/* In the child, which has one thread and may do as it likes. */
static NORETURN void become(const struct spawn *what)
{
	reset_signals();
	clean_environment();
	(void)syscall(SYS_close_range, LINK_FD + 1, ~0U, CLOSE_RANGE_CLOEXEC);
	if (!arrange_fds(what->link, what->quiet) ||
	    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
	    (what->owner && !drop_to(what->owner))) {
		dprintf(STDERR_FILENO, "holdfast: %s: %s\n", what->argv[0],
			strerror(errno));
		_exit(EXIT_CANNOT_RUN);
	}
	if (what->program >= 0)
		fexecve(what->program, what->argv, environ);
	else
		execve(what->path, what->argv, environ);
	dprintf(STDERR_FILENO, "holdfast: cannot run %s: %s\n", what->path,
		strerror(errno));
	_exit(EXIT_CANNOT_RUN);
}

pid_t spawn(const struct spawn *what, struct err *err)
{
	pid_t pid = fork();

	if (pid == 0)
		become(what);
	if (pid < 0)
		err_set(err, "fork: %s", strerror(errno));
	return pid;
}

void spawn_ended(int status, struct buf *out)
{
	if (WIFSIGNALED(status))
		buf_fmt(out, "signal %d (%s)", WTERMSIG(status),
			strsignal(WTERMSIG(status)));
	else
		buf_fmt(out, "exit code %d", WEXITSTATUS(status));
}
