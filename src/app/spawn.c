#include "app/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "link/start.h"

/* As sysexits.h and shells have it. */
#define EXIT_CANNOT_RUN 126

/* Root may go below zero; who is not stays at what all have. */
#define URGENT_NICE	 (-5)
#define URGENT_NICE_TEXT "-5"

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

/*
 * CAP_NET_ADMIN alone, in all five sets: ambient, so that it survives exec (of this program
 * and of nft) in spite of no_new_privs; the bounding set, so that nothing else ever comes
 * back. Where we have not got it ourselves (a container), there is none to keep.
 */
static bool keep_net_admin(void)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct caps[2] = { 0 };

	if (syscall(SYS_capget, &head, caps) != 0)
		return false;
	caps[0].permitted &= 1u << CAP_NET_ADMIN;
	caps[0].effective = caps[0].inheritable = caps[0].permitted;
	caps[1] = (struct __user_cap_data_struct){ 0 };
	return syscall(SYS_capset, &head, caps) == 0 &&
	       (caps[0].permitted == 0 ||
		prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_NET_ADMIN, 0, 0) == 0);
}

static bool drop_all_but_net_admin(const struct owner *o)
{
	/* it fails where there are no more capabilities, or none may be dropped */
	for (unsigned long cap = 0; cap < 64; cap++)
		if (cap != CAP_NET_ADMIN)
			(void)prctl(PR_CAPBSET_DROP, cap, 0, 0, 0);
	return prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) == 0 && (!o || drop_to(o)) &&
	       keep_net_admin();
}

static bool change_owner(const struct spawn *what)
{
	if (what->net_admin)
		return drop_all_but_net_admin(what->owner);
	/* what a service manager gave to the supervisor is for nobody else */
	(void)prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
	return !what->owner || drop_to(what->owner);
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

/*
 * Where there are no control groups for it, Linux gives each session (setsid) its share of
 * the processors, and niceness counts only within one (sched(7), "The autogroup feature").
 * Among the edges, which take all that their session gets, somebody urgent would have to
 * wait until it is that session's turn; one of its own is owed its share whenever there is
 * something to do.
 */
static void hasten(void)
{
	int fd;

	(void)setpriority(PRIO_PROCESS, 0, URGENT_NICE);
	if (setsid() < 0)
		return;
	fd = open("/proc/self/autogroup", O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	/* the session's niceness; for root only, too */
	(void)!write(fd, URGENT_NICE_TEXT, strlen(URGENT_NICE_TEXT));
	close(fd);
}

/* In the child, which has one thread and may do as it likes. */
static NORETURN void become(const struct spawn *what)
{
	if (what->urgent)
		hasten();
	reset_signals();
	clean_environment();
	(void)syscall(SYS_close_range, LINK_FD + 1, ~0U, CLOSE_RANGE_CLOEXEC);
	if (!arrange_fds(what->link, what->quiet) ||
	    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || !change_owner(what)) {
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
