/* link/sandbox: what a role that was broken into cannot do. */
#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <netinet/in.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "link/start.h"

#include "child.h"

enum outcome {
	WORKS,
	REFUSED, /* EPERM or EACCES */
	KILLED,	 /* SIGSYS */
	OTHER,
};

struct place {
	char dir[64];	 /* the role's */
	char other[64];	 /* another's */
	char secret[96]; /* a file in it */
	int listener;
	int pair[2];
};

static bool refused(bool failed)
{
	return failed && (errno == EPERM || errno == EACCES);
}

/* Each says what came of it; WORKS means that it could be done. */
static enum outcome of(bool failed)
{
	if (!failed)
		return WORKS;
	return refused(failed) ? REFUSED : OTHER;
}

static enum outcome try_open_own(const struct place *p)
{
	char path[96];
	int fd;

	snprintf(path, sizeof(path), "%s/file", p->dir);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	return of(fd < 0 || write(fd, "x", 1) != 1 || fsync(fd) != 0 ||
		  ftruncate(fd, 0) != 0);
}

static enum outcome try_rename_across(const struct place *p)
{
	char from[96], to[96];
	int fd;

	snprintf(from, sizeof(from), "%s/tmp/m", p->dir);
	snprintf(to, sizeof(to), "%s/new/m", p->dir);
	fd = open(from, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	return of(fd < 0 || rename(from, to) != 0);
}

static enum outcome try_open_other(const struct place *p)
{
	return of(open(p->secret, O_RDONLY | O_CLOEXEC) < 0);
}

static enum outcome try_open_passwd(const struct place *p)
{
	(void)p;
	return of(open("/etc/passwd", O_RDONLY | O_CLOEXEC) < 0);
}

static enum outcome try_exec(const struct place *p)
{
	char *argv[] = { (char *)(uintptr_t) "/bin/true", NULL };

	(void)p;
	execv(argv[0], argv);
	return of(true);
}

static enum outcome try_fork(const struct place *p)
{
	pid_t pid = fork_child();

	(void)p;
	if (pid == 0)
		_exit(0);
	return of(pid < 0);
}

static void *nothing(void *arg)
{
	return arg;
}

static enum outcome try_thread(const struct place *p)
{
	pthread_t t;
	void *got = NULL;

	return of(pthread_create(&t, NULL, nothing, (void *)(uintptr_t)p) != 0 ||
		  pthread_join(t, &got) != 0 || got != p);
}

static enum outcome try_inet(const struct place *p)
{
	(void)p;
	return of(socket(AF_INET, SOCK_STREAM, 0) < 0);
}

static enum outcome try_netlink(const struct place *p)
{
	(void)p;
	return of(socket(AF_NETLINK, SOCK_RAW, 0) < 0);
}

static enum outcome try_connect(const struct place *p)
{
	struct sockaddr_in sa;
	socklen_t n = sizeof(sa);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	return of(fd < 0 || getsockname(p->listener, (struct sockaddr *)&sa, &n) != 0 ||
		  connect(fd, (struct sockaddr *)&sa, n) != 0);
}

static enum outcome try_bind(const struct place *p)
{
	struct sockaddr_in sa = { .sin_family = AF_INET };
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	(void)p;
	return of(fd < 0 || bind(fd, (struct sockaddr *)&sa, sizeof(sa)) != 0);
}

static enum outcome try_listen(const struct place *p)
{
	return of(listen(p->listener, 1) != 0);
}

static enum outcome try_accept(const struct place *p)
{
	return of(accept4(p->listener, NULL, NULL, SOCK_CLOEXEC) < 0 && errno != EAGAIN);
}

static enum outcome try_pass_fd(const struct place *p)
{
	return of(send(p->pair[0], "x", 1, 0) != 1);
}

static enum outcome try_code(const struct place *p)
{
	(void)p;
	return of(mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED);
}

static enum outcome try_memory(const struct place *p)
{
	void *m = malloc(40 << 20);

	(void)p;
	return of(!m || !memset(m, 1, 40 << 20));
}

static enum outcome try_memfd(const struct place *p)
{
	(void)p;
	return of(memfd_create("x", MFD_CLOEXEC) < 0);
}

static enum outcome try_ptrace(const struct place *p)
{
	(void)p;
	return of(ptrace(PTRACE_ATTACH, getppid(), NULL, NULL) != 0);
}

static enum outcome try_kill(const struct place *p)
{
	(void)p;
	return of(kill(getppid(), 0) != 0);
}

static enum outcome try_limit(const struct place *p)
{
	struct rlimit l = { 10, 10 };

	(void)p;
	return of(setrlimit(RLIMIT_NOFILE, &l) != 0);
}

static const struct {
	const char *what;
	enum outcome (*try)(const struct place *p);
	enum outcome edge, store, auth, watch, firewall, fetch;
} rows[] = {
	/* clang-format off */
	{ "a file of its own",             try_open_own,      REFUSED, WORKS,   WORKS,   WORKS,   REFUSED, REFUSED },
	{ "rename between directories",    try_rename_across, REFUSED, WORKS,   WORKS,   WORKS,   REFUSED, REFUSED },
	{ "a file of another role",        try_open_other,    REFUSED, REFUSED, REFUSED, REFUSED, REFUSED, REFUSED },
	{ "/etc/passwd",                   try_open_passwd,   REFUSED, REFUSED, REFUSED, REFUSED, REFUSED, REFUSED },
	{ "another program",               try_exec,          KILLED,  KILLED,  KILLED,  KILLED,  REFUSED, KILLED },
	{ "another process",               try_fork,          REFUSED, REFUSED, REFUSED, REFUSED, WORKS,   REFUSED },
	{ "a thread",                      try_thread,        WORKS,   WORKS,   WORKS,   WORKS,   WORKS,   WORKS },
	{ "an Internet socket",            try_inet,          WORKS,   KILLED,  KILLED,  REFUSED, REFUSED, WORKS },
	{ "a netlink socket",              try_netlink,       REFUSED, KILLED,  KILLED,  REFUSED, WORKS,   REFUSED },
	{ "a connection",                  try_connect,       WORKS,   KILLED,  KILLED,  REFUSED, REFUSED, WORKS },
	{ "an address to come from",       try_bind,          WORKS,   KILLED,  KILLED,  REFUSED, REFUSED, REFUSED },
	{ "listening",                     try_listen,        KILLED,  KILLED,  KILLED,  KILLED,  KILLED,  KILLED },
	{ "taking a connection",           try_accept,        WORKS,   REFUSED, REFUSED, WORKS,   REFUSED, REFUSED },
	{ "talking over a link",           try_pass_fd,       WORKS,   WORKS,   WORKS,   WORKS,   WORKS,   WORKS },
	{ "memory that is code",           try_code,          REFUSED, REFUSED, REFUSED, REFUSED, WORKS,   REFUSED },
	{ "memory",                        try_memory,        WORKS,   WORKS,   WORKS,   WORKS,   WORKS,   WORKS },
	{ "a memfd",                       try_memfd,         REFUSED, WORKS,   REFUSED, WORKS,   WORKS,   REFUSED },
	{ "looking into a process",        try_ptrace,        KILLED,  KILLED,  KILLED,  KILLED,  KILLED,  KILLED },
	{ "a signal to the supervisor",    try_kill,          REFUSED, REFUSED, REFUSED, REFUSED, REFUSED, REFUSED },
	{ "another limit",                 try_limit,         REFUSED, REFUSED, REFUSED, REFUSED, WORKS,   REFUSED },
	/* clang-format on */
};

static struct place open_place(void)
{
	struct place p = { .dir = "/tmp/holdfast-own-XXXXXX",
			   .other = "/tmp/holdfast-other-XXXXXX" };
	struct sockaddr_in sa = { .sin_family = AF_INET,
				  .sin_addr = { htonl(INADDR_LOOPBACK) } };
	char sub[96];
	int fd;

	assert_non_null(mkdtemp(p.dir));
	assert_non_null(mkdtemp(p.other));
	snprintf(sub, sizeof(sub), "%s/tmp", p.dir);
	assert_int_equal(mkdir(sub, 0700), 0);
	snprintf(sub, sizeof(sub), "%s/new", p.dir);
	assert_int_equal(mkdir(sub, 0700), 0);
	snprintf(p.secret, sizeof(p.secret), "%s/secret", p.other);
	fd = open(p.secret, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	close(fd);
	p.listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(p.listener, (struct sockaddr *)&sa, sizeof(sa)), 0);
	assert_int_equal(listen(p.listener, 8), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, p.pair), 0);
	return p;
}

static void close_place(struct place *p)
{
	char command[256];

	close(p->listener);
	close(p->pair[0]);
	close(p->pair[1]);
	snprintf(command, sizeof(command), "rm -rf %s %s", p->dir, p->other);
	assert_int_equal(system(command), 0);
}

/* In a process of its own, closed in as that role. */
static enum outcome outcome_of(const struct place *p, enum role role,
			       enum outcome (*try)(const struct place *p))
{
	int status;
	pid_t pid = fork_child();

	if (pid == 0) {
		static struct conf conf = { .set.sandbox = SANDBOX_REQUIRED };
		const char *dirs[] = { p->dir, NULL };
		struct start s = { .role = role, .conf = &conf };
		struct sandbox box = { .role = role };
		bool has_files = role == ROLE_STORE || role == ROLE_AUTH ||
				 role == ROLE_WATCH;
		struct err err;

		if (has_files)
			box.read_write = dirs;
		if (!start_sandbox(&s, &box, &err)) {
			fprintf(stderr, "# %s\n", err.text);
			_exit(100);
		}
		_exit((int)try(p));
	}
	assert_true(pid > 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (WIFSIGNALED(status))
		return WTERMSIG(status) == SIGSYS ? KILLED : OTHER;
	return WEXITSTATUS(status) <= OTHER ? (enum outcome)WEXITSTATUS(status) : OTHER;
}

/* Sanitizers cannot be closed in, and some kernels have no Landlock that is enough. */
static bool is_ruled_out(const struct err *err)
{
	return strstr(err->text, "sanitizers") ||
	       syscall(SYS_landlock_create_ruleset, NULL, 0,
		       LANDLOCK_CREATE_RULESET_VERSION) < 2;
}

/* Any other reason for not being closed in is a mistake of ours. */
static void needs_to_be_closed_in(void)
{
	static struct conf conf = { .set.sandbox = SANDBOX_REQUIRED };
	struct start s = { .role = ROLE_EDGE, .conf = &conf };
	struct sandbox box = { .role = ROLE_EDGE };
	struct err err;
	int status;
	pid_t pid = fork_child();

	if (pid == 0) {
		if (start_sandbox(&s, &box, &err))
			_exit(0);
		fprintf(stderr, "# not closed in: %s\n", err.text);
		_exit(is_ruled_out(&err) ? 77 : 1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	if (WEXITSTATUS(status) == 77)
		skip();
	assert_int_equal(WEXITSTATUS(status), 0);
}

static void each_role_can_do_its_work_and_nothing_else(void **state)
{
	static const char *const words[] = { "works", "refused", "killed", "failed" };

	(void)state;
	needs_to_be_closed_in();
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		const struct {
			enum role role;
			enum outcome want;
		} roles[] = {
			{ ROLE_EDGE, rows[i].edge },
			{ ROLE_STORE, rows[i].store },
			{ ROLE_AUTH, rows[i].auth },
			{ ROLE_WATCH, rows[i].watch },
			{ ROLE_FIREWALL, rows[i].firewall },
			{ ROLE_FETCH, rows[i].fetch },
		};

		for (size_t r = 0; r < COUNT_OF(roles); r++) {
			struct place p = open_place();
			enum outcome got = outcome_of(&p, roles[r].role, rows[i].try);

			close_place(&p);
			if (got != roles[r].want)
				fail_msg("%s, %s: %s, not %s", role_word[roles[r].role],
					 rows[i].what, words[got], words[roles[r].want]);
		}
	}
}

static void a_sandbox_that_is_off_closes_nothing(void **state)
{
	static struct conf conf = { .set.sandbox = SANDBOX_OFF };
	struct start s = { .role = ROLE_EDGE, .conf = &conf };
	struct sandbox box = { .role = ROLE_EDGE };
	struct err err;

	(void)state;
	assert_true(start_sandbox(&s, &box, &err));
	assert_int_equal(s.sandbox, 0);
	assert_true(access("/etc/passwd", R_OK) == 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_role_can_do_its_work_and_nothing_else),
		cmocka_unit_test(a_sandbox_that_is_off_closes_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
