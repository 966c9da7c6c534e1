#include "rehearse/launch.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PATIENCE_MS 10000
#define STEP_MS	    20

/* In the child: what went wrong is told through the pipe; success closes it. */
static NORETURN void become(char *const *argv, int tell)
{
	int null = open("/dev/null", O_RDONLY | O_CLOEXEC);

	setpgid(0, 0);
	signal(SIGPIPE, SIG_DFL); /* we ignore it, and exec would pass that on */
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	if (null >= 0)
		dup2(null, STDIN_FILENO);
	execvp(argv[0], argv);

	int why = errno;

	if (write(tell, &why, sizeof(why)) < 0)
		_exit(126);
	_exit(127);
}

bool launch_start(char *const *argv, pid_t *pid, struct err *e)
{
	int tell[2], why = 0;

	if (pipe2(tell, O_CLOEXEC) < 0)
		return err_set(e, "pipe: %s", strerror(errno));

	pid_t child = fork();

	if (child == 0)
		become(argv, tell[1]);
	close(tell[1]);
	if (child < 0) {
		close(tell[0]);
		return err_set(e, "fork: %s", strerror(errno));
	}

	ssize_t n = read(tell[0], &why, sizeof(why));

	close(tell[0]);
	if (n == sizeof(why)) {
		waitpid(child, NULL, 0);
		return err_set(e, "%s: %s", argv[0], strerror(why));
	}
	*pid = child;
	return true;
}

void launch_stop(pid_t *pid)
{
	const struct timespec step = { .tv_nsec = STEP_MS * 1000000L };

	if (*pid <= 0)
		return;
	kill(-*pid, SIGTERM);
	for (int ms = 0; waitpid(*pid, NULL, WNOHANG) == 0; ms += STEP_MS) {
		if (ms == PATIENCE_MS)
			kill(-*pid, SIGKILL);
		nanosleep(&step, NULL);
	}
	kill(-*pid, SIGKILL); /* who of its group is still there */
	*pid = 0;
}
