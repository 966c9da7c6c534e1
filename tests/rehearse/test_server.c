/*
 * What a server costs, with real processes that do as they are told: a player hears orders over a
 * socket, carries them out and says so, so that nothing here waits for time to pass.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <fcntl.h>
#include <linux/sched.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "rehearse/group.h"
#include "rehearse/logs.h"
#include "rehearse/server.h"

#define MIB (1 << 20)

/* Orders. */
enum {
	BURN,		 /* n ms of CPU */
	ALLOCATE,	 /* n MiB, and use them */
	OPEN_FILES,	 /* n */
	OPEN_SOCKETS,	 /* n pairs */
	CHILD,		 /* one that burns n ms and is waited for */
	CHILD_STAYS,	 /* one that burns n ms and stays */
	END_CHILD,	 /* and wait for it; n us of its CPU have been told already */
	IGNORE_CHILDREN, /* do not wait for them */
	ORPHAN,		 /* one that burns n ms and stays; its parent ends first */
	END_ORPHAN,
	RUNAWAY, /* as ORPHAN, in a session of its own, and it ends at once */
	FAMILY, /* a child with a child of n ms that is in a session of its own; both stay */
	CHILD_LOGS, /* one that writes n bytes and is waited for */
	CHILD_NUMBER, /* one with the pid n that burns 50 ms and stays; -1: not possible here */
	LOG,	      /* n bytes */
	ROTATE,
	TRUNCATE,
	OPEN_LOG,  /* of the name that it was told when it was born */
	OPEN_MORE, /* another one, its name with "-more" */
	THREAD,	   /* start one; n is its tid then */
	JOIN,	   /* the control group whose directory it was told when it was born */
	END,
};

struct order {
	int what;
	int n;
};

/* What whoever did it says then. */
struct answer {
	int n;
	int us; /* of CPU that it took */
};

struct player {
	pid_t pid;
	int wire;
	double used; /* CPU-seconds since watch(), as it says itself */
	int last_us; /* of them, those of the last answer */
};

/* In a player. */

static char path[200], path_more[220], path_old[220], group_dir[200];
static int wire, log_fd = -1, more_fd = -1;
static int life[2]; /* the test holds its other end, and so nobody outlives the test */
static pid_t child, orphan;
static double told_own, told_children;

static double cpu_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void burn(int ms)
{
	double until = cpu_now() + (double)ms / 1000;
	volatile unsigned x = 0;

	while (cpu_now() < until)
		for (int i = 0; i < 1000; i++)
			x = x + (unsigned)i;
}

static double children_now(void)
{
	struct rusage u;

	getrusage(RUSAGE_CHILDREN, &u);
	return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
	       (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static void done(int n)
{
	double own = cpu_now(), children = children_now();
	struct answer a = { n, (int)((own - told_own + children - told_children) * 1e6) };

	told_own = own;
	told_children = children;
	if (write(wire, &a, sizeof(a)) != sizeof(a))
		_exit(1);
}

/* A fork that starts its account anew. */
static pid_t have(void)
{
	pid_t pid = fork();

	if (pid == 0)
		told_own = told_children = 0;
	return pid;
}

static void stay(void)
{
	char c;

	while (read(life[0], &c, 1) > 0)
		;
	_exit(0);
}

static void have_child(int ms, bool stays)
{
	child = have();
	if (child == 0) {
		burn(ms);
		if (!stays)
			_exit(0);
		done(getpid());
		stay();
	}
	if (!stays) {
		waitpid(child, NULL, 0);
		done(0);
	}
}

/* The grandchild answers for all, when its parent is gone. */
static void have_orphan(int ms, bool runs_away)
{
	pid_t between = have();

	if (between == 0) {
		pid_t parent = getpid(), pid = have();

		if (pid == 0) {
			while (getppid() == parent)
				usleep(500);
			if (runs_away)
				setsid();
			burn(ms);
			done(getpid());
			if (runs_away)
				_exit(0);
			stay();
		}
		_exit(0);
	}
	waitpid(between, NULL, 0);
}

static void have_family(int ms)
{
	child = have();
	if (child == 0) {
		if (have() == 0) {
			setsid();
			burn(ms);
			done(getpid());
		}
		stay();
	}
}

static void have_child_with_number(pid_t pid)
{
	struct clone_args args = { .exit_signal = SIGCHLD,
				   .set_tid = (uint64_t)(uintptr_t)&pid,
				   .set_tid_size = 1 };
	long made = syscall(SYS_clone3, &args, sizeof(args));

	if (made == 0) {
		told_own = told_children = 0;
		burn(50);
		done(0);
		stay();
	}
	if (made < 0)
		done(-1);
	child = (pid_t)made;
}

static void *idle(void *pid)
{
	*(int *)pid = (int)syscall(SYS_gettid);
	done(*(int *)pid);
	stay();
	return NULL;
}

static void append(int bytes)
{
	char *text = calloc(1, (size_t)bytes);

	if (write(log_fd, text, (size_t)bytes) != bytes)
		_exit(1);
	free(text);
}

static int open_log(const char *name)
{
	int fd = open(name, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);

	if (fd < 0)
		_exit(1);
	return fd;
}

static void join_group(void)
{
	char procs[240];
	int fd;

	snprintf(procs, sizeof(procs), "%s/cgroup.procs", group_dir);
	fd = open(procs, O_WRONLY | O_CLOEXEC);
	done(fd >= 0 && dprintf(fd, "0") == 1 ? 0 : -1);
	if (fd >= 0)
		close(fd);
}

static void obey(struct order o)
{
	static int tid;
	pthread_t thread;
	char *memory;
	int pair[2];

	switch (o.what) {
	case BURN:
		burn(o.n);
		break;
	case ALLOCATE:
		memory = mmap(NULL, (size_t)o.n * MIB, PROT_READ | PROT_WRITE,
			      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (memory == MAP_FAILED)
			_exit(1);
		memset(memory, 1, (size_t)o.n * MIB);
		break;
	case OPEN_FILES:
		for (int i = 0; i < o.n; i++)
			if (open("/dev/null", O_RDONLY | O_CLOEXEC) < 0)
				_exit(1);
		break;
	case OPEN_SOCKETS:
		for (int i = 0; i < o.n; i++)
			if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
				_exit(1);
		break;
	case CHILD:
	case CHILD_STAYS:
		have_child(o.n, o.what == CHILD_STAYS);
		return;
	case END_CHILD:
		kill(child, SIGKILL);
		if (waitpid(child, NULL, 0) == child)
			told_children += (double)o.n / 1e6;
		break;
	case IGNORE_CHILDREN:
		signal(SIGCHLD, SIG_IGN);
		break;
	case ORPHAN:
	case RUNAWAY:
		have_orphan(o.n, o.what == RUNAWAY);
		return;
	case FAMILY:
		have_family(o.n);
		return;
	case CHILD_LOGS:
		child = have();
		if (child == 0) {
			append(o.n);
			_exit(0);
		}
		waitpid(child, NULL, 0);
		break;
	case CHILD_NUMBER:
		have_child_with_number(o.n);
		return;
	case END_ORPHAN:
		orphan = o.n;
		kill(orphan, SIGKILL);
		while (kill(orphan, 0) == 0) /* until init has noticed */
			usleep(1000);
		break;
	case LOG:
		append(o.n);
		break;
	case ROTATE:
		if (rename(path, path_old) < 0)
			_exit(1);
		close(log_fd);
		log_fd = open_log(path);
		break;
	case TRUNCATE:
		if (ftruncate(log_fd, 0) < 0)
			_exit(1);
		break;
	case OPEN_LOG:
		log_fd = open_log(path);
		break;
	case OPEN_MORE:
		more_fd = open_log(path_more);
		if (write(more_fd, "0123456789", 10) != 10)
			_exit(1);
		break;
	case THREAD:
		if (pthread_create(&thread, NULL, idle, &tid) != 0)
			_exit(1);
		return;
	case JOIN:
		join_group();
		return;
	case END:
		_exit(0);
	}
	done(0);
}

/* Of the test. */

static int tell(struct player *p, int what, int n)
{
	struct order o = { what, n };
	struct answer a = { -1, 0 };

	assert_int_equal(write(p->wire, &o, sizeof(o)), sizeof(o));
	if (what != END)
		assert_int_equal(read(p->wire, &a, sizeof(a)), sizeof(a));
	p->last_us = a.us;
	p->used += (double)a.us / 1e6;
	return a.n;
}

static struct player born(void)
{
	struct rlimit files;
	struct player p = { 0 };
	struct order o;
	int pair[2], null;

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	fflush(NULL);
	p.pid = fork();
	assert_true(p.pid >= 0);
	if (p.pid > 0) {
		close(pair[1]);
		p.wire = pair[0];
		return p;
	}
	close(pair[0]);
	close(life[1]);
	wire = pair[1];
	setpgid(0, 0);
	null = open("/dev/null", O_RDWR | O_CLOEXEC);
	dup2(null,
	     STDOUT_FILENO); /* whatever file it is, it may be named as if it were a log */
	dup2(null, STDERR_FILENO);
	close(null);
	if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
		files.rlim_cur = files.rlim_max;
		setrlimit(RLIMIT_NOFILE, &files);
	}
	while (read(wire, &o, sizeof(o)) == sizeof(o))
		obey(o);
	_exit(0);
}

static void bury(struct player *p)
{
	kill(-p->pid, SIGKILL);
	kill(p->pid, SIGKILL);
	waitpid(p->pid, NULL, 0);
	close(p->wire);
}

static struct server watch(struct player *p)
{
	struct server s;
	struct err e;

	(void)tell(p, BURN, 0); /* it has its own process group then */
	if (!server_open(&s, &p->pid, 1, NULL, 0, &e))
		fail_msg("%s", e.text);
	p->used = 0;
	return s;
}

static struct server_look look(struct server *s, bool memory)
{
	struct server_look l;

	server_look(s, memory, &l);
	return l;
}

static double cpu(struct server *s)
{
	return look(s, false).cpu;
}

/* The account of ended children is exact to two ticks of 10 ms. */
static void expect_cpu(double got, double want)
{
	if (got < want - 0.021 || got > want + 0.02)
		fail_msg("%.3f CPU-seconds instead of %.3f", got, want);
}

static void the_cpu_of_a_process_counts_from_when_it_was_opened(void **state)
{
	struct player p = born();
	struct server s;

	(void)state;
	tell(&p, BURN, 150);
	s = watch(&p);
	expect_cpu(cpu(&s), p.used);
	tell(&p, BURN, 200);
	expect_cpu(cpu(&s), p.used);
	server_close(&s);
	bury(&p);
}

/* /proc has ticks of 10 ms. More than one try, since the machine may be busy. */
static void a_few_milliseconds_count(void **state)
{
	struct player p = born();
	struct server s = watch(&p);
	bool seen = false;
	double used = cpu(&s);

	(void)state;
	for (int i = 0; i < 50 && !seen; i++) {
		double before = used;

		tell(&p, BURN, 4);
		used = cpu(&s);
		seen = used - before >= 0.004 && used - before < 0.0095;
	}
	assert_true(seen);
	server_close(&s);
	bury(&p);
}

static void the_cpu_of_a_child_that_came_and_went_counts(void **state)
{
	struct player p = born();
	struct server s = watch(&p);

	(void)state;
	tell(&p, CHILD, 150);
	expect_cpu(cpu(&s), p.used);
	server_close(&s);
	bury(&p);
}

static void the_cpu_of_a_child_counts_once_while_it_lives_and_after(void **state)
{
	struct player p = born();
	struct server s = watch(&p);
	double before, after;

	(void)state;
	tell(&p, CHILD_STAYS, 150);
	before = cpu(&s);
	expect_cpu(before, p.used);
	assert_int_equal(look(&s, false).processes, 2);
	tell(&p, END_CHILD, p.last_us);
	after = cpu(&s);
	assert_int_equal(look(&s, false).processes, 1);
	assert_true(after >= before);
	expect_cpu(after, p.used);
	server_close(&s);
	bury(&p);
}

static void what_nobody_waits_for_is_not_forgotten(void **state)
{
	struct player p = born();
	struct server s = watch(&p);
	double before, after;

	(void)state;
	tell(&p, IGNORE_CHILDREN, 0);
	tell(&p, CHILD_STAYS, 150);
	before = cpu(&s);
	expect_cpu(before, p.used);
	tell(&p, END_CHILD, p.last_us);
	after = cpu(&s);
	assert_true(after >= before);
	expect_cpu(after, p.used);
	tell(&p, BURN, 100); /* it goes on from there */
	expect_cpu(cpu(&s), p.used);
	server_close(&s);
	bury(&p);
}

/* Rounding must not add up: each of these is less than a tick. */
static void many_small_children_count_as_much_as_they_used(void **state)
{
	struct player p = born();
	struct server s = watch(&p);
	double before = 0, now;

	(void)state;
	for (int i = 0; i < 40; i++) {
		tell(&p, CHILD_STAYS, 5);
		now = cpu(&s);
		assert_true(now >= before);
		tell(&p, END_CHILD, p.last_us);
		before = cpu(&s);
		assert_true(before >= now);
	}
	expect_cpu(before, p.used);
	server_close(&s);
	bury(&p);
}

static void an_orphan_is_recognised_by_its_group(void **state)
{
	struct player p = born();
	struct server s = watch(&p);
	double before;
	pid_t lonely;

	(void)state;
	lonely = tell(&p, ORPHAN, 100); /* never seen before with its parent */
	assert_int_equal(look(&s, false).processes, 2);
	before = cpu(&s);
	expect_cpu(before, p.used);
	tell(&p, END_ORPHAN, lonely);
	assert_true(cpu(&s) >= before);
	assert_int_equal(look(&s, false).processes, 1);
	tell(&p, BURN, 50); /* it goes on from there */
	expect_cpu(cpu(&s), p.used);
	server_close(&s);
	bury(&p);
}

static void an_orphan_that_was_known_before_stays(void **state)
{
	struct player p = born();
	struct server s = watch(&p);
	pid_t lonely;

	(void)state;
	lonely = tell(&p, FAMILY, 100);
	assert_int_equal(look(&s, false).processes, 3);
	tell(&p, END_CHILD, 0);
	assert_int_equal(look(&s, false).processes, 2);
	expect_cpu(cpu(&s), p.used);
	tell(&p, END_ORPHAN, lonely);
	assert_int_equal(look(&s, false).processes, 1);
	tell(&p, BURN, 50);
	expect_cpu(cpu(&s), p.used);
	server_close(&s);
	bury(&p);
}

static void a_number_of_a_stranger_that_is_used_again_is_noticed(void **state)
{
	struct player p = born(), stranger = born();
	struct server s = watch(&p);
	int made;

	(void)state;
	assert_int_equal(look(&s, false).processes, 1);
	bury(&stranger);
	made = tell(&p, CHILD_NUMBER, stranger.pid);
	if (made == 0) {
		assert_int_equal(look(&s, false).processes, 2);
		expect_cpu(cpu(&s), p.used);
	}
	server_close(&s);
	bury(&p);
	if (made != 0)
		skip(); /* somebody was faster, or it needs a privilege */
}

static void a_stranger_does_not_count(void **state)
{
	struct player p = born(), stranger = born();
	struct server s = watch(&p);

	(void)state;
	tell(&stranger, BURN, 100);
	tell(&stranger, OPEN_FILES, 100);
	tell(&stranger, CHILD_STAYS, 50);
	expect_cpu(cpu(&s), p.used);
	assert_int_equal(look(&s, false).processes, 1);
	assert_true(look(&s, false).fds < 100);
	server_close(&s);
	bury(&stranger);
	bury(&p);
}

static void several_trees_are_added_up(void **state)
{
	struct player a = born(), b = born();
	pid_t pids[3] = { a.pid, b.pid, a.pid };
	struct server s;
	struct err e;

	(void)state;
	tell(&a, BURN, 0);
	tell(&b, BURN, 0);
	assert_true(server_open(&s, pids, 3, NULL, 0, &e));
	a.used = b.used = 0;
	tell(&a, BURN, 50);
	tell(&b, CHILD, 50);
	expect_cpu(cpu(&s), a.used + b.used);
	assert_int_equal(look(&s, false).processes, 2);
	server_close(&s);
	bury(&a);
	bury(&b);
}

static void memory_is_what_the_trees_hold(void **state)
{
	struct player p = born();
	struct server s = watch(&p);
	struct server_look before = look(&s, true), after;

	(void)state;
	assert_true(before.has & SERVER_HAS_PSS);
	assert_false(look(&s, false).has & SERVER_HAS_PSS);
	tell(&p, ALLOCATE, 50);
	after = look(&s, true);
	assert_in_range(after.pss - before.pss, 49 * MIB,
			52 * MIB); /* shares of libraries vary */
	assert_in_range(after.pss_anon - before.pss_anon, 49 * MIB, 52 * MIB);
	server_close(&s);
	bury(&p);
}

static void descriptors_are_counted(void **state)
{
	struct player p = born();
	struct server s = watch(&p);
	struct server_look before = look(&s, false), after;

	(void)state;
	assert_true(before.has & SERVER_HAS_FDS);
	assert_in_range(before.fds, 4, 100);
	tell(&p, OPEN_FILES, 900);
	after = look(&s, false);
	assert_int_equal(after.fds - before.fds, 900);
	tell(&p, CHILD_STAYS, 0); /* which has them all too */
	assert_int_equal(look(&s, false).fds, 2 * after.fds);
	server_close(&s);
	bury(&p);
}

/* The whole machine also does other things, so it may take more than one try. */
static void kernel_memory_grows_with_sockets(void **state)
{
	struct rlimit files = { 1024, 1024 };
	uint64_t pairs, grown = 0;

	(void)state;
	getrlimit(RLIMIT_NOFILE, &files);
	pairs = files.rlim_max < 10100 ? files.rlim_max / 2 - 50 : 5000;
	for (int i = 0; i < 5 && grown < pairs * 1024; i++) {
		struct player p = born();
		struct server s = watch(&p);
		struct server_look before = look(&s, false), after;

		assert_true(before.has & SERVER_HAS_KERNEL);
		assert_true(s.kernel_from[0]);
		tell(&p, OPEN_SOCKETS, (int)pairs);
		after = look(&s, false);
		grown = after.kernel > before.kernel ? after.kernel - before.kernel : 0;
		server_close(&s);
		bury(&p);
	}
	assert_in_range(grown, pairs * 1024, pairs * 65536);
}

static void what_is_written_counts_also_of_children_that_are_gone(void **state)
{
	struct player p;
	struct server s;
	struct server_look l;

	(void)state;
	snprintf(path, sizeof(path), "/dev/null");
	p = born();
	tell(&p, OPEN_LOG, 0);
	tell(&p, LOG, 200000); /* before: does not count */
	s = watch(&p);
	tell(&p, LOG, 100000);
	l = look(&s, false);
	assert_true(l.has & SERVER_HAS_WRITTEN);
	assert_in_range(l.written, 100000, 101000);
	tell(&p, CHILD_LOGS, 50000);
	assert_in_range(look(&s, false).written, 150000, 151000);
	server_close(&s);
	bury(&p);
}

static double thread_cpu(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void a_look_at_ten_processes_costs_less_than_a_millisecond(void **state)
{
	struct player p = born();
	struct server s = watch(&p);
	double best = 1;

	(void)state;
	for (int i = 0; i < 9; i++)
		tell(&p, CHILD_STAYS, 0);
	assert_int_equal(look(&s, false).processes, 10);
	for (int i = 0; i < 20 || (i < 1000 && best >= 0.001); i++) {
		double began = thread_cpu(), took;

		look(&s, false);
		took = thread_cpu() - began;
		best = took < best ? took : best;
	}
	if (best >= 0.001)
		fail_msg("%.3f ms", best * 1000);
	server_close(&s);
	bury(&p);
}

static void a_server_that_ends_is_not_alive(void **state)
{
	struct player p = born();
	struct server s = watch(&p);
	struct server_look l;
	siginfo_t info;

	(void)state;
	tell(&p, BURN, 100);
	assert_true(server_alive(&s));
	expect_cpu(cpu(&s), p.used);
	tell(&p, END, 0);
	assert_int_equal(waitid(P_PID, (id_t)p.pid, &info, WEXITED | WNOWAIT), 0);
	assert_false(server_alive(&s)); /* a zombie */
	l = look(&s, true);
	assert_int_equal(l.processes, 0);
	expect_cpu(l.cpu, p.used);
	assert_int_equal(waitpid(p.pid, NULL, 0), p.pid);
	assert_false(server_alive(&s));
	l = look(&s, true);
	expect_cpu(l.cpu, p.used);
	assert_int_equal(l.fds, 0);
	server_close(&s);
	close(p.wire);
}

static void another_process_with_the_same_number_is_not_the_server(void **state)
{
	struct player p = born();
	struct server s = watch(&p);

	(void)state;
	assert_true(server_alive(&s));
	s.started[0]++;
	assert_false(server_alive(&s));
	server_close(&s);
	bury(&p);
}

static void one_root_of_two_that_ends_is_enough(void **state)
{
	struct player a = born(), b = born();
	pid_t pids[2] = { a.pid, b.pid };
	struct server s;
	struct err e;

	(void)state;
	assert_true(server_open(&s, pids, 2, NULL, 0, &e));
	assert_true(server_alive(&s));
	bury(&b);
	assert_false(server_alive(&s));
	server_close(&s);
	bury(&a);
}

static void expect_refused(pid_t pid, const char *why)
{
	struct server s;
	struct err e = { "" };

	if (server_open(&s, &pid, 1, NULL, 0, &e))
		fail_msg("%d was taken for a server", (int)pid);
	if (!strstr(e.text, why))
		fail_msg("\"%s\" does not say \"%s\"", e.text, why);
	assert_null(s.inner);
	server_close(&s); /* does no harm */
}

static void what_is_no_server_is_refused(void **state)
{
	struct player p = born();
	siginfo_t info;
	int tid = tell(&p, THREAD, 0);

	(void)state;
	expect_refused(0, "no process 0");
	expect_refused(-1, "no process -1");
	expect_refused(getpid(), "has started this program");
	expect_refused(getppid(), "has started this program");
	expect_refused(tid, "is a thread");
	kill(p.pid, SIGKILL);
	assert_int_equal(waitid(P_PID, (id_t)p.pid, &info, WEXITED | WNOWAIT), 0);
	expect_refused(p.pid, "no process"); /* a zombie */
	assert_int_equal(waitpid(p.pid, NULL, 0), p.pid);
	expect_refused(p.pid, "no process");
	close(p.wire);
}

/* Logs. */

static char dir[100];

static void make_dir(void)
{
	snprintf(dir, sizeof(dir), "/tmp/test_server.XXXXXX");
	assert_non_null(mkdtemp(dir));
}

static void remove_dir(void)
{
	static const char *const names[] = { "a.log",	 "a.log-more",	  "a.log.1",
					     "queue.db", "queue.db-more", "log/mail",
					     "log" };
	char name[200];

	for (size_t i = 0; i < COUNT_OF(names); i++) {
		snprintf(name, sizeof(name), "%s/%s", dir, names[i]);
		remove(name);
	}
	assert_int_equal(rmdir(dir), 0);
}

/* Before the player is born, who knows them too. */
static void name_log(const char *name)
{
	snprintf(path, sizeof(path), "%s/%s", dir, name);
	snprintf(path_more, sizeof(path_more), "%s-more", path);
	snprintf(path_old, sizeof(path_old), "%s.1", path);
}

static void a_log_is_followed_through_rotation_and_truncation(void **state)
{
	struct player p;
	struct server s;
	struct err e;
	const char *logs[] = { path };

	(void)state;
	make_dir();
	name_log("a.log");
	p = born();
	tell(&p, OPEN_LOG, 0);
	tell(&p, LOG, 5000); /* before: does not count */
	assert_true(server_open(&s, &p.pid, 1, logs, 1, &e));
	assert_int_equal(look(&s, false).log, 0);
	assert_true(look(&s, false).has & SERVER_HAS_LOG);
	tell(&p, LOG, 1000);
	assert_int_equal(look(&s, false).log, 1000);
	tell(&p, LOG, 200); /* not looked at before the rotation */
	tell(&p, ROTATE, 0);
	tell(&p, LOG, 30);
	assert_int_equal(look(&s, false).log, 1230);
	tell(&p, LOG, 4);
	assert_int_equal(look(&s, false).log, 1234);
	tell(&p, TRUNCATE, 0);
	tell(&p, LOG, 6); /* fewer than there were */
	assert_int_equal(look(&s, false).log, 1240);
	for (int i = 0; i < 8; i++) { /* more often than old files are followed */
		tell(&p, ROTATE, 0);
		tell(&p, LOG, 10);
		look(&s, false);
	}
	assert_int_equal(look(&s, false).log, 1320);
	server_close(&s);
	bury(&p);
	remove_dir();
}

static void what_is_written_to_a_rotated_log_counts_too(void **state)
{
	struct player p;
	struct server s;
	struct err e;
	const char *logs[] = { path };
	int fd;

	(void)state;
	make_dir();
	name_log("a.log");
	p = born();
	tell(&p, OPEN_LOG, 0);
	assert_true(server_open(&s, &p.pid, 1, logs, 1, &e));
	tell(&p, LOG, 100);
	assert_int_equal(rename(path, path_old), 0);
	tell(&p, LOG, 20); /* its name is gone */
	assert_int_equal(look(&s, false).log, 120);
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	assert_int_equal(write(fd, "abc", 3), 3);
	assert_int_equal(look(&s, false).log, 123);
	tell(&p, LOG, 1000); /* still to the old one */
	assert_int_equal(look(&s, false).log, 1123);
	close(fd);
	server_close(&s);
	bury(&p);
	remove_dir();
}

static void a_log_that_appears_later_counts_from_its_beginning(void **state)
{
	struct player p;
	struct server s;
	struct err e;
	const char *logs[] = { path };

	(void)state;
	make_dir();
	name_log("a.log");
	p = born();
	assert_true(server_open(&s, &p.pid, 1, logs, 1, &e));
	assert_false(look(&s, false).has & SERVER_HAS_LOG);
	tell(&p, OPEN_LOG, 0);
	tell(&p, LOG, 77);
	assert_int_equal(look(&s, false).log, 77);
	assert_true(look(&s, false).has & SERVER_HAS_LOG);
	server_close(&s);
	bury(&p);
	remove_dir();
}

static void logs_are_found_among_open_files(void **state)
{
	struct player p;
	struct server s;

	(void)state;
	make_dir();
	name_log("a.log");
	p = born();
	tell(&p, OPEN_LOG, 0);
	tell(&p, LOG, 500);
	s = watch(&p);
	tell(&p, LOG, 40);
	assert_int_equal(look(&s, false).log, 40);
	tell(&p, OPEN_MORE, 0); /* ten bytes in it, of the same second */
	assert_in_range(look(&s, true).log, 40, 50);
	tell(&p, CHILD_STAYS, 0); /* who has both of them: they count once */
	tell(&p, LOG, 5);
	assert_in_range(look(&s, true).log, 45, 55);
	server_close(&s);
	bury(&p);
	remove_dir();
}

static void a_file_that_is_no_log_is_not_taken_for_one(void **state)
{
	struct player p;
	struct server s;

	(void)state;
	make_dir();
	name_log("queue.db");
	p = born();
	tell(&p, OPEN_LOG, 0);
	s = watch(&p);
	tell(&p, LOG, 40);
	assert_int_equal(look(&s, true).log, 0);
	assert_false(look(&s, true).has & SERVER_HAS_LOG);
	server_close(&s);
	bury(&p);
	remove_dir();
}

static void a_file_in_a_directory_of_logs_is_a_log(void **state)
{
	struct player p;
	struct server s;
	char name[200];

	(void)state;
	make_dir();
	snprintf(name, sizeof(name), "%s/log", dir);
	assert_int_equal(mkdir(name, 0700), 0);
	name_log("log/mail");
	p = born();
	tell(&p, OPEN_LOG, 0);
	s = watch(&p);
	tell(&p, LOG, 40);
	assert_int_equal(look(&s, false).log, 40);
	server_close(&s);
	bury(&p);
	remove_dir();
}

static void what_cannot_be_followed_is_refused(void **state)
{
	struct player p = born();
	const char *logs[] = { "/dev/null" };
	struct server s;
	struct err e = { "" };

	(void)state;
	assert_false(server_open(&s, &p.pid, 1, logs, 1, &e));
	assert_non_null(strstr(e.text, "/dev/null: not a regular file"));
	bury(&p);
}

/* Control groups. */

static void put_file(const char *name, const char *text)
{
	char full[200];
	FILE *f;

	snprintf(full, sizeof(full), "%s/%s", dir, name);
	f = fopen(full, "we");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static void drop_file(const char *name)
{
	char full[200];

	snprintf(full, sizeof(full), "%s/%s", dir, name);
	assert_int_equal(unlink(full), 0);
}

static void files_of_version_1_are_read(void **state)
{
	struct group g = { .v2 = false };
	uint64_t bytes;
	bool sockets;
	double used;

	(void)state;
	make_dir();
	snprintf(g.dir, sizeof(g.dir), "%s", dir);
	assert_false(group_cpu(&g, &used));
	assert_false(group_kernel(&g, &bytes, &sockets));
	put_file("cpuacct.usage", "1500000000\n");
	assert_true(group_cpu(&g, &used));
	assert_true(used > 1.499 && used < 1.501);
	put_file("memory.kmem.usage_in_bytes", "5000000000\n");
	put_file("memory.kmem.tcp.usage_in_bytes", "700\n");
	put_file("memory.kmem.tcp.limit_in_bytes", "9223372036854771712\n");
	assert_true(group_kernel(&g, &bytes, &sockets));
	assert_int_equal(bytes, 5000000000);
	assert_false(sockets); /* without a limit they are not counted by the kernel */
	put_file("memory.kmem.tcp.limit_in_bytes", "1000000\n");
	assert_true(group_kernel(&g, &bytes, &sockets));
	assert_int_equal(bytes, 5000000700);
	assert_true(sockets);
	drop_file("cpuacct.usage");
	drop_file("memory.kmem.usage_in_bytes");
	drop_file("memory.kmem.tcp.usage_in_bytes");
	drop_file("memory.kmem.tcp.limit_in_bytes");
	assert_int_equal(rmdir(dir), 0);
}

static void files_of_version_2_are_read(void **state)
{
	struct group g = { .v2 = true };
	uint64_t bytes;
	bool sockets;
	double used;

	(void)state;
	make_dir();
	snprintf(g.dir, sizeof(g.dir), "%s", dir);
	assert_false(group_cpu(&g, &used));
	assert_false(group_kernel(&g, &bytes, &sockets));
	put_file("cpu.stat",
		 "usage_usec 2500000\nuser_usec 2000000\nsystem_usec 500000\n");
	assert_true(group_cpu(&g, &used));
	assert_true(used > 2.499 && used < 2.501);
	put_file("memory.stat",
		 "anon 4096\nfile 8192\nkernel 6000000000\nkernel_stack 16384\n"
		 "slab 1000\nsock 300\nshmem 1\n");
	assert_true(group_kernel(&g, &bytes, &sockets));
	assert_int_equal(bytes, 6000000300);
	assert_true(sockets);
	put_file("memory.stat", "anon 4096\nkernel_stack 16384\nslab_reclaimable 900\n"
				"slab 1000\nsock 300\npagetables 20\n");
	assert_true(group_kernel(&g, &bytes, &sockets));
	assert_int_equal(bytes, 16384 + 1000 + 20 + 300);
	drop_file("cpu.stat");
	drop_file("memory.stat");
	assert_int_equal(rmdir(dir), 0);
}

static void the_kernel_memory_of_this_machine_is_there(void **state)
{
	uint64_t bytes = 0;

	(void)state;
	assert_true(group_machine_kernel(&bytes));
	assert_true(bytes > MIB);
}

/* A group of our own, where that is possible. */
static bool make_group(void)
{
	static const char *const tops[] = { "/sys/fs/cgroup/cpuacct",
					    "/sys/fs/cgroup/unified", "/sys/fs/cgroup" };
	struct stat st;

	for (size_t i = 0; i < COUNT_OF(tops); i++) {
		snprintf(group_dir, sizeof(group_dir), "%s/cgroup.procs", tops[i]);
		if (stat(group_dir, &st) < 0)
			continue;
		snprintf(group_dir, sizeof(group_dir), "%s/holdfast-test-%d", tops[i],
			 (int)getpid());
		if (mkdir(group_dir, 0755) == 0)
			return true;
	}
	return false;
}

static void a_control_group_of_its_own_sees_what_proc_does_not(void **state)
{
	struct player p, stranger;
	struct server s;
	double used;

	(void)state;
	if (!make_group())
		skip();
	p = born();
	stranger = born();
	if (tell(&p, JOIN, 0) < 0) {
		bury(&p);
		bury(&stranger);
		rmdir(group_dir);
		skip();
	}
	s = watch(&p);
	assert_string_equal(s.cpu_from, "its control group");
	tell(&p, BURN, 100);
	tell(&p, RUNAWAY, 150); /* parent gone, session another: nobody of the tree */
	used = cpu(&s);
	expect_cpu(used, p.used);
	server_close(&s);

	/* with a stranger in it, it is of no use */
	assert_int_equal(tell(&stranger, JOIN, 0), 0);
	s = watch(&p);
	assert_string_equal(s.cpu_from, "/proc");
	tell(&stranger, BURN, 100);
	expect_cpu(cpu(&s), p.used);
	server_close(&s);
	bury(&p);
	bury(&stranger);
	for (int i = 0; i < 60000 && rmdir(group_dir) < 0; i++)
		usleep(1000); /* the kernel empties it a little later */
	assert_int_equal(access(group_dir, F_OK), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_cpu_of_a_process_counts_from_when_it_was_opened),
		cmocka_unit_test(a_few_milliseconds_count),
		cmocka_unit_test(the_cpu_of_a_child_that_came_and_went_counts),
		cmocka_unit_test(the_cpu_of_a_child_counts_once_while_it_lives_and_after),
		cmocka_unit_test(what_nobody_waits_for_is_not_forgotten),
		cmocka_unit_test(many_small_children_count_as_much_as_they_used),
		cmocka_unit_test(an_orphan_is_recognised_by_its_group),
		cmocka_unit_test(an_orphan_that_was_known_before_stays),
		cmocka_unit_test(a_number_of_a_stranger_that_is_used_again_is_noticed),
		cmocka_unit_test(a_stranger_does_not_count),
		cmocka_unit_test(several_trees_are_added_up),
		cmocka_unit_test(memory_is_what_the_trees_hold),
		cmocka_unit_test(descriptors_are_counted),
		cmocka_unit_test(kernel_memory_grows_with_sockets),
		cmocka_unit_test(what_is_written_counts_also_of_children_that_are_gone),
		cmocka_unit_test(a_look_at_ten_processes_costs_less_than_a_millisecond),
		cmocka_unit_test(a_server_that_ends_is_not_alive),
		cmocka_unit_test(another_process_with_the_same_number_is_not_the_server),
		cmocka_unit_test(one_root_of_two_that_ends_is_enough),
		cmocka_unit_test(what_is_no_server_is_refused),
		cmocka_unit_test(a_log_is_followed_through_rotation_and_truncation),
		cmocka_unit_test(what_is_written_to_a_rotated_log_counts_too),
		cmocka_unit_test(a_log_that_appears_later_counts_from_its_beginning),
		cmocka_unit_test(logs_are_found_among_open_files),
		cmocka_unit_test(a_file_that_is_no_log_is_not_taken_for_one),
		cmocka_unit_test(a_file_in_a_directory_of_logs_is_a_log),
		cmocka_unit_test(what_cannot_be_followed_is_refused),
		cmocka_unit_test(files_of_version_1_are_read),
		cmocka_unit_test(files_of_version_2_are_read),
		cmocka_unit_test(the_kernel_memory_of_this_machine_is_there),
		cmocka_unit_test(a_control_group_of_its_own_sees_what_proc_does_not),
	};

	return pipe(life) == 0 ? cmocka_run_group_tests(tests, NULL, NULL) : 1;
}
