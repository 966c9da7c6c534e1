#include "rehearse/canned.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "rehearse/canned_tls.h"
#include "rehearse/desk.h"
#include "rehearse/limits.h"
#include "rehearse/target.h"

#define PATIENCE_MS 5000
#define STEP_MS	    5
#define BACKLOG	    65535 /* the kernel has its own limit */

static volatile sig_atomic_t stopped;

static void on_signal(int signo)
{
	(void)signo;
	stopped = 1;
}

/* The processes. */

static unsigned raise_descriptors(void)
{
	struct rlimit r;

	if (getrlimit(RLIMIT_NOFILE, &r) < 0)
		return 1024;
	r.rlim_cur = r.rlim_max;
	setrlimit(RLIMIT_NOFILE, &r);
	getrlimit(RLIMIT_NOFILE, &r);
	return r.rlim_cur > 2 * SESSIONS_MAX ? 2 * SESSIONS_MAX : (unsigned)r.rlim_cur;
}

static int run_desk(const struct canned_options *o, struct desk *d, const sigset_t *let_in)
{
	unsigned descriptors = raise_descriptors();

	d->alone = o->processes <= 1;
	d->room = descriptors > 2 * SPARE_FDS ? descriptors - SPARE_FDS : SPARE_FDS;
	if (o->keep)
		d->room /= 2; /* each may have a file open */
	if (desk_serve(d, &stopped, let_in))
		return 0;
	fprintf(stderr, "canned: epoll: %s\n", strerror(errno));
	return 1;
}

/* The other processes: pids[0..n), each ends when this one does. */
static unsigned spread(const struct canned_options *o, struct desk *d, pid_t *pids,
		       const sigset_t *let_in)
{
	pid_t parent = getpid();
	unsigned n = 0;

	while (n + 1 < o->processes && n < WORKERS_MAX) {
		pid_t pid = fork();

		if (pid == 0) {
			prctl(PR_SET_PDEATHSIG, SIGTERM);
			if (getppid() != parent)
				_exit(0);
			_exit(run_desk(o, d, let_in));
		}
		if (pid < 0) {
			fprintf(stderr, "canned: fork: %s\n", strerror(errno));
			break;
		}
		pids[n++] = pid;
	}
	return n;
}

/* Serve until told to stop; the exit status. Signals are blocked but while it waits. */
static int run(const struct canned_options *o, struct desk *d, const sigset_t *let_in)
{
	pid_t pids[WORKERS_MAX];
	unsigned n;
	int status = 0, was;

	signal(SIGPIPE, SIG_IGN); /* OpenSSL writes without MSG_NOSIGNAL */
	n = spread(o, d, pids, let_in);
	status = run_desk(o, d, let_in);
	for (unsigned i = 0; i < n; i++)
		kill(pids[i], SIGTERM);
	for (unsigned i = 0; i < n; i++)
		if (waitpid(pids[i], &was, 0) == pids[i] && was != 0) {
			fprintf(stderr, "canned: a process of it ended with status %d\n",
				was);
			status = 1;
		}
	return status;
}

/* Block the signals that end it, and handle them; *before is what was let in. */
static void take_signals(sigset_t *let_in)
{
	static const int signals[] = { SIGTERM, SIGINT, SIGCHLD };
	const struct sigaction sa = { .sa_handler = on_signal, .sa_flags = SA_NOCLDSTOP };
	sigset_t all;

	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	sigemptyset(let_in);
	stopped = 0;
	for (size_t i = 0; i < COUNT_OF(signals); i++)
		sigaction(signals[i], &sa, NULL);
}

/* Opening: where, with what. */

static bool place_of(const struct canned_options *o, struct sockaddr_storage *at,
		     socklen_t *n, struct err *e)
{
	struct sockaddr_in *v4 = (struct sockaddr_in *)at;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)at;

	*at = (struct sockaddr_storage){ 0 };
	if (inet_pton(AF_INET, o->address, &v4->sin_addr) == 1) {
		v4->sin_family = AF_INET;
		v4->sin_port = htons(o->port);
		*n = sizeof(*v4);
	} else if (inet_pton(AF_INET6, o->address, &v6->sin6_addr) == 1) {
		v6->sin6_family = AF_INET6;
		v6->sin6_port = htons(o->port);
		*n = sizeof(*v6);
	}
	if (!target_allowed((struct sockaddr *)at))
		return err_set(e, "%.60s is not an address of the loopback", o->address);
	return true;
}

static int listen_at(const struct canned_options *o, uint16_t *port, struct err *e)
{
	struct sockaddr_storage at;
	socklen_t n = 0;
	int one = 1, fd;

	if (!place_of(o, &at, &n, e))
		return -1;
	fd = socket(at.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd >= 0) {
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
		/* those that are accepted inherit it */
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	}
	if (fd < 0 || bind(fd, (struct sockaddr *)&at, n) < 0 ||
	    listen(fd, BACKLOG) < 0 || getsockname(fd, (struct sockaddr *)&at, &n) < 0) {
		err_set(e, "%s port %u: %s", o->address, o->port, strerror(errno));
		if (fd >= 0)
			close(fd);
		return -1;
	}
	*port = ntohs(at.ss_family == AF_INET ? ((struct sockaddr_in *)&at)->sin_port
					      : ((struct sockaddr_in6 *)&at)->sin6_port);
	return fd;
}

static void close_desk(struct desk **d)
{
	if ((*d)->listener >= 0)
		close((*d)->listener);
	letters_close(&(*d)->letters);
	canned_tls_close(&(*d)->tls);
	free(*d);
	*d = NULL;
}

static bool open_desk(struct desk **out, const struct canned_options *o, uint16_t *port,
		      struct err *e)
{
	struct desk *d = calloc(1, sizeof(*d));
	bool opened;

	if (!d)
		return err_set(e, "out of memory");
	d->listener = d->poller = d->letters.dir = -1;
	d->kind = (struct answers_kind){ .speaks = o->speaks,
					 .tls = o->tls,
					 .takes_passwords = o->takes_passwords };
	d->bare = o->bare;
	d->implicit_tls = o->implicit_tls;
	opened = letters_open(&d->letters, o->keep, e) &&
		 ((!o->tls && !o->implicit_tls) || canned_tls_open(&d->tls, e)) &&
		 (d->listener = listen_at(o, port, e)) >= 0;
	if (opened)
		*out = d;
	else
		close_desk(&d);
	return opened;
}

int canned_serve(const struct canned_options *o)
{
	bool is_v6 = strchr(o->address, ':') != NULL;
	struct desk *d;
	sigset_t let_in;
	uint16_t port;
	struct err e;
	int status;

	if (!open_desk(&d, o, &port, &e)) {
		fprintf(stderr, "canned: %s\n", e.text);
		return 2;
	}
	take_signals(&let_in);
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	printf("listening on %s%s%s:%u\n", is_v6 ? "[" : "", o->address, is_v6 ? "]" : "",
	       port);
	fflush(stdout);
	status = run(o, d, &let_in);
	close_desk(&d);
	return status;
}

bool canned_start(struct canned *out, const struct canned_options *o, struct err *e)
{
	pid_t parent = getpid(), pid;
	sigset_t let_in, all, before;
	struct desk *d;
	uint16_t port;

	if (!open_desk(&d, o, &port, e))
		return false;

	/* a SIGTERM must not come before the child knows what to do with it */
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &before);
	pid = fork();
	if (pid == 0) {
		take_signals(&let_in);
		prctl(PR_SET_PDEATHSIG, SIGTERM);
		if (getppid() != parent)
			_exit(0);
		_exit(run(o, d, &let_in));
	}

	int why = errno;

	sigprocmask(SIG_SETMASK, &before, NULL);
	close_desk(&d);
	if (pid < 0)
		return err_set(e, "fork: %s", strerror(why));
	*out = (struct canned){ .pid = pid, .port = port };
	return true;
}

static double seconds(const struct timeval *t)
{
	return (double)t->tv_sec + (double)t->tv_usec / 1e6;
}

void canned_stop(struct canned *c, double *cpu)
{
	const struct timespec step = { .tv_nsec = STEP_MS * 1000000L };
	struct rusage used = { 0 };
	pid_t got;

	if (c->pid <= 0)
		return;
	kill(c->pid, SIGTERM);
	for (int ms = 0; (got = wait4(c->pid, NULL, WNOHANG, &used)) == 0 ||
			 (got < 0 && errno == EINTR);
	     ms += STEP_MS) {
		if (ms == PATIENCE_MS)
			kill(c->pid, SIGKILL);
		nanosleep(&step, NULL);
	}
	if (cpu && got == c->pid)
		*cpu += seconds(&used.ru_utime) + seconds(&used.ru_stime);
	c->pid = 0;
}
