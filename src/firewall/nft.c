#include "firewall/nft.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "firewall/batch.h"

/* As shells have it. */
#define EXIT_CANNOT_RUN 126

#define PRINTS_MAX   (1u << 20) /* bytes of a file that it writes */
#define COMPUTES_MAX 30		/* seconds of the processor */

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static void close_fds(struct nft *n)
{
	close_fd(&n->in);
	close_fd(&n->out);
	close_fd(&n->errors);
}

/* ---- the child ------------------------------------------------------------------------- */

static void limit_all(void)
{
	const struct rlimit prints = { PRINTS_MAX, PRINTS_MAX };
	const struct rlimit computes = { COMPUTES_MAX, COMPUTES_MAX };
	const struct rlimit none = { 0, 0 };

	(void)setrlimit(RLIMIT_FSIZE, &prints);
	(void)setrlimit(RLIMIT_CPU, &computes);
	(void)setrlimit(RLIMIT_CORE, &none);
}

static NORETURN void become(const struct nft *n, enum nft_how how)
{
	static char name[] = "nft", check[] = "-c", file[] = "-f", dash[] = "-";
	static char locale[] = "LC_ALL=C", path[] = "PATH=/usr/sbin:/usr/bin:/sbin:/bin";
	char *change_argv[] = { name, file, dash, NULL };
	char *check_argv[] = { name, check, file, dash, NULL };
	char *env[] = { locale, path, NULL };
	sigset_t none;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGPIPE, SIG_DFL);
	limit_all();
	if (dup2(n->in, STDIN_FILENO) < 0 || dup2(n->out, STDOUT_FILENO) < 0 ||
	    dup2(n->errors, STDERR_FILENO) < 0)
		_exit(EXIT_CANNOT_RUN);
	execve(n->path, how == NFT_CHECK ? check_argv : change_argv, env);
	dprintf(STDERR_FILENO, "%s", strerror(errno));
	_exit(EXIT_CANNOT_RUN);
}

/* ---- its end --------------------------------------------------------------------------- */

static struct span read_back(int fd, char mem[NFT_OUT_MAX])
{
	ssize_t got = pread(fd, mem, NFT_OUT_MAX, 0);

	return span_of(mem, got > 0 ? (size_t)got : 0);
}

static enum nft_end end_of(const struct nft *n, int status)
{
	if (n->hung)
		return NFT_HUNG;
	if (WIFEXITED(status) && WEXITSTATUS(status) == EXIT_CANNOT_RUN)
		return NFT_CANNOT;
	return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? NFT_OK : NFT_NO;
}

static void say_why(const struct nft *n, struct nft_result *r, int status)
{
	struct span says = span_head(batch_complaint(r->errors), 120);

	switch (r->end) {
	case NFT_OK:
		break;
	case NFT_HUNG:
		snprintf(r->why, sizeof(r->why), "nft did not end and was killed");
		break;
	case NFT_CANNOT:
		snprintf(r->why, sizeof(r->why), "%.60s cannot be run: %.*s", n->path,
			 SPAN_ARG(says));
		break;
	case NFT_NO:
		if (WIFSIGNALED(status))
			snprintf(r->why, sizeof(r->why), "nft was ended by signal %d",
				 WTERMSIG(status));
		else
			snprintf(r->why, sizeof(r->why), "nft: %.*s", SPAN_ARG(says));
		break;
	}
	/* it goes to terminals, and quotes what another program printed */
	for (char *c = r->why; *c; c++)
		if ((unsigned char)*c < ' ' || *c == 0x7f)
			*c = ' ';
}

static void on_child(void *arg, int signal)
{
	struct nft *n = arg;
	struct nft_result r = { 0 };
	int status;

	(void)signal;
	if (n->pid <= 0 || waitpid(n->pid, &status, WNOHANG) != n->pid)
		return;
	timer_stop(&n->limit);
	n->pid = 0;
	r.end = end_of(n, status);
	r.out = read_back(n->out, n->out_mem);
	r.errors = read_back(n->errors, n->errors_mem);
	close_fds(n);
	say_why(n, &r, status);
	n->on_end(n->arg, &r);
}

static void on_limit(void *arg)
{
	struct nft *n = arg;

	if (n->pid <= 0)
		return;
	n->hung = true;
	kill(n->pid, SIGKILL);
}

/* ---- a run ------------------------------------------------------------------------------- */

bool nft_open(struct nft *n, struct loop *loop, const char *path,
	      void (*on_end)(void *arg, const struct nft_result *r), void *arg,
	      struct err *err)
{
	*n = (struct nft){ .loop = loop,
			   .path = path,
			   .on_end = on_end,
			   .arg = arg,
			   .in = -1,
			   .out = -1,
			   .errors = -1 };
	timer_init(&n->limit, loop, on_limit, n);
	return loop_signal(loop, SIGCHLD, on_child, n) ||
	       err_set(err, "signals cannot be handled");
}

void nft_close(struct nft *n)
{
	if (!n->loop)
		return;
	timer_stop(&n->limit);
	if (n->pid > 0) {
		kill(n->pid, SIGKILL);
		(void)waitpid(n->pid, NULL, 0);
	}
	n->pid = 0;
	close_fds(n);
}

static bool write_all(int fd, struct span s)
{
	while (s.n) {
		ssize_t put = write(fd, s.p, s.n);

		if (put <= 0)
			return false;
		s = span_skip(s, (size_t)put);
	}
	return lseek(fd, 0, SEEK_SET) == 0;
}

bool nft_run(struct nft *n, enum nft_how how, struct span batch, ms_t within,
	     struct err *err)
{
	n->in = memfd_create("nft-in", MFD_CLOEXEC);
	n->out = memfd_create("nft-out", MFD_CLOEXEC);
	n->errors = memfd_create("nft-errors", MFD_CLOEXEC);
	if (n->in < 0 || n->out < 0 || n->errors < 0 || !write_all(n->in, batch)) {
		err_set(err, "nft cannot be fed: %s", strerror(errno));
		close_fds(n);
		return false;
	}
	n->pid = fork();
	if (n->pid == 0)
		become(n, how);
	if (n->pid < 0) {
		err_set(err, "fork: %s", strerror(errno));
		n->pid = 0;
		close_fds(n);
		return false;
	}
	n->hung = false;
	timer_set(&n->limit, loop_now_exact(n->loop) + within);
	return true;
}

void nft_hurry(struct nft *n, ms_t within)
{
	if (nft_busy(n))
		timer_set(&n->limit, loop_now_exact(n->loop) + within);
}
