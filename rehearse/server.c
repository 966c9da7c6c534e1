#include "rehearse/server.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "rehearse/group.h"
#include "rehearse/logs.h"

#define PROCESSES_MAX 65536 /* of the whole machine; what is above is not seen */

/* What a process has given to its parent's account when it was waited for, and may yet. */
struct account {
	double now;   /* what the parent's account says */
	double first; /* when it was first seen */
	double owed;  /* what children had that are gone since */
};

/* A process of the trees. */
struct process {
	pid_t pid, parent;
	uint64_t started; /* clock ticks since boot */
	char state;
	double cpu;		/* CPU-seconds of its own */
	struct account ended;	/* CPU-seconds of children that it waited for */
	struct account written; /* bytes, of its own and those children */
};

/* A process as /proc/PID/stat has it. */
struct sight {
	struct process process;
	pid_t group, session;
	ino_t inode;
	enum { UNSURE, MEMBER, STRANGER } is;
};

/* Nobody of ours: need not be read again as long as it has this inode in /proc. */
struct stranger {
	pid_t pid;
	ino_t inode;
};

struct server_inner {
	DIR *proc;
	struct process *members; /* all three ascend by pid */
	struct stranger *strangers;
	struct sight *sights;
	size_t members_n, strangers_n, sights_n;
	size_t members_cap, strangers_cap, sights_cap;
	struct process *before; /* the members at the look before */
	size_t before_n, before_cap;

	double lost_cpu, lost_written; /* of who has left nobody to account to */
	double base_cpu, base_written; /* what there was when it was opened */
	double most_cpu, most_written; /* ever said */
	struct group cpu, memory;
	double group_base;
	uint64_t kernel_least; /* of the whole machine, so far */
	bool counts_fds;       /* /proc/PID/fd has the number as its size: Linux 6.2 */
	bool finds_logs;
	struct logs logs;
};

/* Room for one more of an array. */
static bool room(void **array, size_t n, size_t *cap, size_t size)
{
	size_t more = *cap ? *cap * 2 : 256;
	void *new;

	if (n < *cap)
		return true;
	new = n < PROCESSES_MAX ? realloc(*array, more * size) : NULL;
	if (!new)
		return false;
	*array = new;
	*cap = more;
	return true;
}

static ssize_t read_file(int proc, pid_t pid, const char *name, char *out, size_t cap)
{
	char path[64];
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "%d/%s", (int)pid, name);
	fd = openat(proc, path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -1;
	n = read(fd, out, cap - 1);
	close(fd);
	if (n >= 0)
		out[n] = '\0';
	return n;
}

/* To the nanosecond where the kernel tells; /proc has ticks of 10 ms. */
static double own_cpu(pid_t pid, unsigned long ticks)
{
	struct timespec t;
	clockid_t clock;

	if (clock_getcpuclockid(pid, &clock) == 0 && clock_gettime(clock, &t) == 0)
		return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
	return (double)ticks / (double)sysconf(_SC_CLK_TCK);
}

static bool read_stat(int proc, pid_t pid, struct sight *out)
{
	unsigned long user, system, waited_user, waited_system;
	unsigned long long started;
	int parent, group, session;
	char text[1024], state;
	const char *at;

	if (read_file(proc, pid, "stat", text, sizeof(text)) <= 0)
		return false;
	at = strrchr(text, ')'); /* the name may have any other in it */
	if (!at ||
	    sscanf(at + 1,
		   " %c %d %d %d %*d %*d %*u %*u %*u %*u %*u %lu %lu %lu %lu %*d %*d "
		   "%*d %*d %llu",
		   &state, &parent, &group, &session, &user, &system, &waited_user,
		   &waited_system, &started) != 9)
		return false;
	*out = (struct sight){
		.process = { .pid = pid,
			     .parent = parent,
			     .started = started,
			     .state = state,
			     .cpu = (double)(user + system),
			     .ended.now = (double)(waited_user + waited_system) /
					  (double)sysconf(_SC_CLK_TCK) },
		.group = group,
		.session = session,
	};
	return true;
}

static int by_pid(const void *a, const void *b)
{
	pid_t x = *(const pid_t *)a, y = *(const pid_t *)b;

	return (x > y) - (x < y);
}

_Static_assert(offsetof(struct process, pid) == 0 && offsetof(struct sight, process) == 0 &&
		       offsetof(struct stranger, pid) == 0,
	       "by_pid() looks at the first member");

static void *find(pid_t pid, void *array, size_t n, size_t size)
{
	return n ? bsearch(&pid, array, n, size, by_pid) : NULL;
}

static struct process *member_before(const struct server_inner *in, pid_t pid,
				     uint64_t started)
{
	struct process *p = find(pid, in->before, in->before_n, sizeof(*in->before));

	return p && p->started == started ? p : NULL;
}

/* All processes of the machine, without those that are known to be strangers. */
static void look_at_all(struct server_inner *in)
{
	size_t at = 0, kept = 0;
	struct dirent *d;

	in->sights_n = 0;
	rewinddir(in->proc);
	while ((d = readdir(in->proc)) != NULL) { /* by pid, upwards, as strangers are */
		char *end;
		long number = strtol(d->d_name, &end, 10);
		pid_t pid = (pid_t)number;

		if (end == d->d_name || *end || number <= 0)
			continue;
		while (at < in->strangers_n && in->strangers[at].pid < pid)
			at++;
		if (at < in->strangers_n && in->strangers[at].pid == pid &&
		    in->strangers[at].inode == d->d_ino) {
			in->strangers[kept++] = in->strangers[at++];
			continue;
		}
		if (room((void **)&in->sights, in->sights_n, &in->sights_cap,
			 sizeof(*in->sights)) &&
		    read_stat(dirfd(in->proc), pid, &in->sights[in->sights_n]))
			in->sights[in->sights_n++].inode = d->d_ino;
	}
	in->strangers_n = kept;
	if (in->sights_n)
		qsort(in->sights, in->sights_n, sizeof(*in->sights), by_pid);
}

/* Is it one of ours by itself, whoever its parent is? */
static bool is_ours(const struct server *s, const struct sight *p)
{
	for (unsigned i = 0; i < s->pids_n; i++) {
		pid_t root = s->pids[i];

		if (p->process.pid == root && p->process.started == s->started[i])
			return true;
		if (p->process.started >= s->started[i] &&
		    ((p->group == root && getpgrp() != root) ||
		     (p->session == root && getsid(0) != root)))
			return true;
	}
	return member_before(s->inner, p->process.pid, p->process.started) != NULL;
}

/* Go up until it is clear, then tell all on the way. */
static void decide(const struct server *s, struct sight *first)
{
	struct server_inner *in = s->inner;
	struct sight *p = first, *up;
	pid_t self = getpid();

	for (size_t depth = 0; p->is == UNSURE; depth++) {
		if (p->process.pid != self && is_ours(s, p)) {
			p->is = MEMBER;
			break;
		}
		up = find(p->process.parent, in->sights, in->sights_n, sizeof(*up));
		if (!up || p->process.pid == self || depth == in->sights_n) {
			p->is = STRANGER;
			break;
		}
		p = up;
	}
	for (struct sight *q = first; q != p; q = up) {
		up = find(q->process.parent, in->sights, in->sights_n, sizeof(*up));
		q->is = p->is;
	}
}

static void sort_out(const struct server *s)
{
	struct server_inner *in = s->inner;
	size_t strangers = in->strangers_n;

	in->members_n = 0;
	for (size_t i = 0; i < in->sights_n; i++) {
		struct sight *p = &in->sights[i];

		decide(s, p);
		if (p->is == MEMBER && room((void **)&in->members, in->members_n,
					    &in->members_cap, sizeof(*in->members)))
			in->members[in->members_n++] = p->process;
		else if (p->is == STRANGER &&
			 room((void **)&in->strangers, in->strangers_n,
			      &in->strangers_cap, sizeof(*in->strangers)))
			in->strangers[in->strangers_n++] =
				(struct stranger){ p->process.pid, p->inode };
	}
	if (in->strangers_n > strangers)
		qsort(in->strangers, in->strangers_n, sizeof(*in->strangers), by_pid);
}

/* What an account holds, whether or not it was kept properly. */
static double balance(const struct account *a)
{
	return fmax(a->now, a->first + a->owed);
}

static double cpu_of(const struct process *p)
{
	return p->cpu + balance(&p->ended);
}

static void carry_on(struct account *a, const struct account *before)
{
	a->first = before ? before->first : a->now;
	a->owed = before ? before->owed : 0;
	a->now = before ? fmax(a->now, before->now) : a->now;
}

static bool read_written(int proc, pid_t pid, double *out)
{
	char text[512];
	const char *at;

	if (read_file(proc, pid, "io", text, sizeof(text)) <= 0)
		return false;
	at = strstr(text, "wchar: ");
	if (!at)
		return false;
	*out = strtod(at + strlen("wchar: "), NULL);
	return true;
}

/* Accounts of those that are there. */
static void read_accounts(struct server_inner *in, struct server_look *out)
{
	for (size_t i = 0; i < in->members_n; i++) {
		struct process *p = &in->members[i];
		const struct process *b = member_before(in, p->pid, p->started);

		p->cpu = own_cpu(p->pid, (unsigned long)p->cpu);
		if (b)
			p->cpu = fmax(p->cpu, b->cpu);
		carry_on(&p->ended, b ? &b->ended : NULL);
		if (read_written(dirfd(in->proc), p->pid, &p->written.now))
			out->has |= SERVER_HAS_WRITTEN;
		carry_on(&p->written, b ? &b->written : NULL);
	}
}

/* Who has waited for p, or will have: the nearest that is still there. */
static struct process *heir(struct server_inner *in, const struct process *p)
{
	for (size_t depth = 0; p && depth < in->before_n; depth++) {
		struct process *up = find(p->parent, in->members, in->members_n,
					  sizeof(*in->members));

		if (up && up->started <= p->started)
			return up;
		p = find(p->parent, in->before, in->before_n, sizeof(*in->before));
	}
	return NULL;
}

/*
 * A process that is gone was waited for by its parent, whose account has it then, unless the
 * parent does not care about its children, or is gone too. Owed is what must be there at least.
 */
static void bequeath(struct server_inner *in)
{
	for (size_t i = 0; i < in->before_n; i++) {
		const struct process *p = &in->before[i], *now;
		struct process *to;

		now = find(p->pid, in->members, in->members_n, sizeof(*in->members));
		if (now && now->started == p->started)
			continue;
		to = heir(in, p);
		if (to) {
			to->ended.owed += cpu_of(p);
			to->written.owed += balance(&p->written);
		} else {
			in->lost_cpu += cpu_of(p);
			in->lost_written += balance(&p->written);
		}
	}
}

/* All processes of the trees as they are now; members replaces before. */
static void look_at_trees(const struct server *s, struct server_look *out)
{
	struct server_inner *in = s->inner;
	struct process *swap = in->before;
	size_t cap = in->before_cap;

	in->before = in->members;
	in->before_n = in->members_n;
	in->before_cap = in->members_cap;
	in->members = swap;
	in->members_cap = cap;
	look_at_all(in);
	sort_out(s);
	read_accounts(in, out);
	bequeath(in);
}

static void sum_accounts(const struct server_inner *in, double *cpu, double *written)
{
	*cpu = in->lost_cpu;
	*written = in->lost_written;
	for (size_t i = 0; i < in->members_n; i++) {
		*cpu += cpu_of(&in->members[i]);
		*written += balance(&in->members[i].written);
	}
}

static bool is_zombie(const struct process *p)
{
	return p->state == 'Z' || p->state == 'X';
}

static bool count_fds(const struct server_inner *in, pid_t pid, uint32_t *out)
{
	char path[64];
	struct stat st;
	struct dirent *d;
	DIR *dir;
	int fd;

	snprintf(path, sizeof(path), "%d/fd", (int)pid);
	if (in->counts_fds) {
		if (fstatat(dirfd(in->proc), path, &st, 0) < 0)
			return false;
		*out += (uint32_t)st.st_size;
		return true;
	}
	fd = openat(dirfd(in->proc), path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	dir = fd < 0 ? NULL : fdopendir(fd);
	if (!dir) {
		if (fd >= 0)
			close(fd);
		return false;
	}
	while ((d = readdir(dir)) != NULL)
		*out += d->d_name[0] != '.';
	closedir(dir);
	return true;
}

static uint64_t kib_after(const char *text, const char *word)
{
	const char *at = strstr(text, word);

	return at ? strtoull(at + strlen(word), NULL, 10) * 1024 : 0;
}

static void add_pss(const struct server_inner *in, pid_t pid, struct server_look *out)
{
	char text[2048];

	if (read_file(dirfd(in->proc), pid, "smaps_rollup", text, sizeof(text)) <= 0)
		return;
	out->pss += kib_after(text, "\nPss:");
	out->pss_anon += kib_after(text, "\nPss_Anon:");
	out->has |= SERVER_HAS_PSS;
}

static void look_at_kernel(struct server_inner *in, struct server_look *out)
{
	uint64_t bytes;
	bool sockets;

	if (in->memory.dir[0] ? !group_kernel(&in->memory, &bytes, &sockets)
			      : !group_machine_kernel(&bytes))
		return;
	if (!in->memory.dir[0]) {
		if (bytes < in->kernel_least)
			in->kernel_least = bytes;
		bytes -= in->kernel_least;
	}
	out->kernel = bytes;
	out->has |= SERVER_HAS_KERNEL;
}

static void look_at_cpu(struct server_inner *in, double *cpu, double *written)
{
	double used;

	sum_accounts(in, cpu, written);
	*cpu -= in->base_cpu;
	*written -= in->base_written;
	if (in->cpu.dir[0] && group_cpu(&in->cpu, &used))
		*cpu = used - in->group_base;
	*cpu = in->most_cpu = fmax(*cpu, in->most_cpu);
	*written = in->most_written = fmax(*written, in->most_written);
}

void server_look(struct server *s, bool memory, struct server_look *out)
{
	struct server_inner *in = s->inner;
	double written;

	*out = (struct server_look){ .has = SERVER_HAS_CPU };
	look_at_trees(s, out);
	look_at_cpu(in, &out->cpu, &written);
	out->written = (uint64_t)written;
	look_at_kernel(in, out);
	for (size_t i = 0; i < in->members_n; i++) {
		const struct process *p = &in->members[i];

		if (is_zombie(p))
			continue;
		out->processes++;
		if (count_fds(in, p->pid, &out->fds))
			out->has |= SERVER_HAS_FDS;
		if (memory)
			add_pss(in, p->pid, out);
		if (memory && in->finds_logs)
			logs_find(&in->logs, p->pid);
	}
	out->log = logs_look(&in->logs);
	if (logs_any(&in->logs))
		out->has |= SERVER_HAS_LOG;
}

bool server_alive(const struct server *s)
{
	struct sight p;

	for (unsigned i = 0; i < s->pids_n; i++)
		if (!read_stat(dirfd(s->inner->proc), s->pids[i], &p) ||
		    p.process.started != s->started[i] || is_zombie(&p.process))
			return false;
	return true;
}

/* Control groups that have all of the trees and nobody else. */
static void choose(struct server *s)
{
	struct server_inner *in = s->inner;
	pid_t *pids = calloc(in->members_n + 1, sizeof(*pids));
	bool sockets = false;
	uint64_t bytes;
	size_t n = 0;

	for (size_t i = 0; pids && i < in->members_n; i++)
		if (!is_zombie(&in->members[i]))
			pids[n++] = in->members[i].pid;
	if (pids && group_own(&in->cpu, GROUP_CPU, pids, n) &&
	    group_cpu(&in->cpu, &in->group_base))
		snprintf(s->cpu_from, sizeof(s->cpu_from), "its control group");
	else
		snprintf(s->cpu_from, sizeof(s->cpu_from), "/proc");
	if (pids && group_own(&in->memory, GROUP_MEMORY, pids, n) &&
	    group_kernel(&in->memory, &bytes, &sockets))
		snprintf(s->kernel_from, sizeof(s->kernel_from), "its control group%s",
			 sockets ? "" : ", without buffers of sockets");
	else
		snprintf(s->kernel_from, sizeof(s->kernel_from),
			 "growth of the whole machine's: slab, sockets, stacks, tables");
	free(pids);
}

/* Is pid one that we descend from, or ourselves? Then it would count us. */
static bool above_us(int proc, pid_t pid)
{
	struct sight p;

	for (pid_t at = getpid(); at > 0; at = p.process.parent) {
		if (at == pid)
			return true;
		if (!read_stat(proc, at, &p))
			return false;
	}
	return false;
}

static bool find_roots(struct server *s, const pid_t *pids, unsigned n, struct err *e)
{
	int proc = dirfd(s->inner->proc);
	struct sight p;

	if (n == 0 || n > SERVER_PIDS_MAX)
		return err_set(e, "from 1 to %d processes can be watched",
			       SERVER_PIDS_MAX);
	for (unsigned i = 0; i < n; i++) {
		if (pids[i] <= 0 || !read_stat(proc, pids[i], &p) || is_zombie(&p.process))
			return err_set(e, "there is no process %d", (int)pids[i]);
		if (above_us(proc, pids[i]))
			return err_set(e,
				       "process %d has started this program, and so would be "
				       "charged for it; say which process the server is",
				       (int)pids[i]);
		s->pids[i] = pids[i];
		s->started[i] = p.process.started;
	}
	s->pids_n = n;
	return true;
}

/* The first look: who is there, and what they have used before. */
static bool begin(struct server *s, const char *const *logs, unsigned logs_n,
		  struct err *e)
{
	struct server_inner *in = s->inner;
	struct server_look unused = { 0 };
	struct stat st;

	in->counts_fds = stat("/proc/self/fd", &st) == 0 && st.st_size > 0;
	if (!group_machine_kernel(&in->kernel_least))
		in->kernel_least = UINT64_MAX;
	for (int tries = 0; tries < 3; tries++) { /* somebody may be born meanwhile */
		look_at_trees(s, &unused);
		choose(s);
		if (in->cpu.dir[0])
			break;
	}
	for (unsigned i = 0; i < s->pids_n; i++)
		if (!find(s->pids[i], in->members, in->members_n, sizeof(*in->members)))
			return err_set(e, "%d is a thread, not a process",
				       (int)s->pids[i]);
	sum_accounts(in, &in->base_cpu, &in->base_written);
	if (!logs_open(&in->logs, logs, logs_n, e))
		return false;
	in->finds_logs = logs_n == 0;
	for (size_t i = 0; in->finds_logs && i < in->members_n; i++)
		logs_find(&in->logs, in->members[i].pid);
	return true;
}

bool server_open(struct server *s, const pid_t *pids, unsigned pids_n,
		 const char *const *logs, unsigned logs_n, struct err *e)
{
	*s = (struct server){ .inner = calloc(1, sizeof(*s->inner)) };
	if (!s->inner)
		return err_set(e, "out of memory");
	s->inner->proc = opendir("/proc");
	if (!s->inner->proc) {
		err_set(e, "/proc: %s", strerror(errno));
		goto fail;
	}
	if (find_roots(s, pids, pids_n, e) && begin(s, logs, logs_n, e))
		return true;
fail:
	server_close(s);
	return false;
}

void server_close(struct server *s)
{
	struct server_inner *in = s->inner;

	if (!in)
		return;
	if (in->proc)
		closedir(in->proc);
	logs_close(&in->logs);
	free(in->members);
	free(in->before);
	free(in->strangers);
	free(in->sights);
	free(in);
	*s = (struct server){ 0 };
}
