#include "rehearse/group.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Version 1 says "no limit" so; buffers of sockets are counted there only if there is one. */
#define NO_LIMIT (UINT64_MAX / 4)

static FILE *open_in(const char *dir, const char *name)
{
	char path[PATH_MAX + 64];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return fopen(path, "re");
}

static bool number_in(const char *dir, const char *name, uint64_t *out)
{
	FILE *f = open_in(dir, name);
	unsigned long long n;
	bool ok = f && fscanf(f, "%llu", &n) == 1;

	if (f)
		fclose(f);
	if (ok)
		*out = n;
	return ok;
}

/* The sum of the values of these words in a file of lines "word[:] number". */
static bool words_in(FILE *f, const char *const *words, size_t n, uint64_t *sum)
{
	char line[256], word[64];
	unsigned long long value;
	bool any = false;

	*sum = 0;
	while (f && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%63[^: ]%*[: ]%llu", word, &value) != 2)
			continue;
		for (size_t i = 0; i < n; i++)
			if (strcmp(word, words[i]) == 0) {
				*sum += value;
				any = true;
			}
	}
	return any;
}

static bool has_word(const char *list, const char *word)
{
	size_t n = strlen(word);

	for (const char *at = list; (at = strstr(at, word)) != NULL; at += n)
		if ((at == list || at[-1] == ',') && (!at[n] || at[n] == ','))
			return true;
	return false;
}

/* Which group of a hierarchy a process is in. controller NULL: of version 2. */
static bool path_of(pid_t pid, const char *controller, char path[PATH_MAX])
{
	char line[PATH_MAX + 128], name[64];
	bool found = false;
	FILE *f;

	snprintf(name, sizeof(name), "/proc/%d", (int)pid);
	f = open_in(name, "cgroup");
	while (f && !found && fgets(line, sizeof(line), f)) {
		char *list = strchr(line, ':');
		char *at = list ? strchr(list + 1, ':') : NULL;

		if (!at)
			continue;
		*at++ = '\0';
		at[strcspn(at, "\n")] = '\0';
		found = controller ? has_word(list + 1, controller) : !list[1];
		if (found)
			snprintf(path, PATH_MAX, "%s", at);
	}
	if (f)
		fclose(f);
	return found;
}

/* Where that hierarchy is mounted, and which of its groups is at the top there. */
static bool mounted(const char *controller, char root[PATH_MAX], char point[PATH_MAX])
{
	char line[2 * PATH_MAX + 1024], type[32], options[512];
	FILE *f = open_in("/proc/self", "mountinfo");
	bool found = false;

	while (f && !found && fgets(line, sizeof(line), f)) {
		const char *rest = strstr(line, " - ");

		if (!rest || sscanf(line, "%*d %*d %*s %4095s %4095s", root, point) != 2 ||
		    sscanf(rest, " - %31s %*s %511s", type, options) != 2)
			continue;
		found = controller ? strcmp(type, "cgroup") == 0 &&
					     has_word(options, controller)
				   : strcmp(type, "cgroup2") == 0;
	}
	if (f)
		fclose(f);
	return found;
}

static int by_pid(const void *a, const void *b)
{
	pid_t x = *(const pid_t *)a, y = *(const pid_t *)b;

	return (x > y) - (x < y);
}

/* How many of the pids are in this group or below it; -1 if there is anybody else. */
static long inside(const char *dir, const pid_t *pids, size_t n, int depth)
{
	FILE *f = open_in(dir, "cgroup.procs");
	long found = 0;
	int pid;
	struct dirent *d;
	DIR *below;

	if (!f || depth == 0) {
		if (f)
			fclose(f);
		return -1;
	}
	while (found >= 0 && fscanf(f, "%d", &pid) == 1)
		found = bsearch(&(pid_t){ pid }, pids, n, sizeof(*pids), by_pid)
				? found + 1
				: -1;
	fclose(f);
	below = found >= 0 ? opendir(dir) : NULL;
	while (below && found >= 0 && (d = readdir(below)) != NULL) {
		char path[PATH_MAX];
		long more;

		if (d->d_type != DT_DIR || d->d_name[0] == '.' ||
		    snprintf(path, sizeof(path), "%s/%s", dir, d->d_name) >=
			    (int)sizeof(path))
			continue;
		more = inside(path, pids, n, depth - 1);
		found = more < 0 ? -1 : found + more;
	}
	if (below)
		closedir(below);
	return found;
}

static bool own(struct group *g, const char *controller, const pid_t *pids, size_t n)
{
	char path[PATH_MAX], root[PATH_MAX], point[PATH_MAX];
	size_t top;

	if (!path_of(pids[0], controller, path) || !mounted(controller, root, point))
		return false;
	top = strcmp(root, "/") == 0 ? 0 : strlen(root);
	if (strncmp(path, root, top) != 0)
		return false;
	for (char *slash; strlen(path) > top && strcmp(path, "/") != 0; *slash = '\0') {
		long found;

		if (snprintf(g->dir, sizeof(g->dir), "%s%s", point, path + top) >=
		    (int)sizeof(g->dir))
			break;
		found = inside(g->dir, pids, n, 16);
		if (found < 0)
			break; /* somebody else, and above it too */
		if ((size_t)found == n) {
			g->v2 = !controller;
			return true;
		}
		slash = strrchr(path, '/');
		if (!slash)
			break;
	}
	return false;
}

bool group_own(struct group *g, enum group_kind kind, const pid_t *pids, size_t n)
{
	double cpu;
	uint64_t bytes;
	bool sockets;

	*g = (struct group){ 0 };
	for (int v = 1; v <= 2 && n > 0; v++) {
		const char *controller = v == 2		     ? NULL
					 : kind == GROUP_CPU ? "cpuacct"
							     : "memory";

		if (own(g, controller, pids, n) &&
		    (kind == GROUP_CPU ? group_cpu(g, &cpu)
				       : group_kernel(g, &bytes, &sockets)))
			return true;
	}
	*g = (struct group){ 0 };
	return false;
}

bool group_cpu(const struct group *g, double *out)
{
	static const char *const words[] = { "usage_usec" };
	uint64_t n;
	bool ok;
	FILE *f;

	if (!g->v2) {
		ok = number_in(g->dir, "cpuacct.usage", &n);
		if (ok)
			*out = (double)n / 1e9;
		return ok;
	}
	f = open_in(g->dir, "cpu.stat");
	ok = words_in(f, words, COUNT_OF(words), &n);
	if (f)
		fclose(f);
	if (ok)
		*out = (double)n / 1e6;
	return ok;
}

static bool kernel_v1(const char *dir, uint64_t *out, bool *sockets)
{
	uint64_t limit, tcp = 0;

	*sockets = number_in(dir, "memory.kmem.tcp.limit_in_bytes", &limit) &&
		   limit < NO_LIMIT &&
		   number_in(dir, "memory.kmem.tcp.usage_in_bytes", &tcp);
	if (!number_in(dir, "memory.kmem.usage_in_bytes", out))
		return false;
	if (*sockets)
		*out += tcp;
	return true;
}

bool group_kernel(const struct group *g, uint64_t *out, bool *sockets)
{
	static const char *const all[] = { "kernel" };
	static const char *const parts[] = { "kernel_stack", "pagetables", "percpu",
					     "vmalloc", "slab" };
	static const char *const sock[] = { "sock" };
	uint64_t kernel, buffers;
	FILE *f;
	bool ok;

	if (!g->v2)
		return kernel_v1(g->dir, out, sockets);
	f = open_in(g->dir, "memory.stat");
	ok = words_in(f, all, COUNT_OF(all), &kernel);
	if (!ok && f) { /* before Linux 5.18 */
		rewind(f);
		ok = words_in(f, parts, COUNT_OF(parts), &kernel);
	}
	if (f)
		rewind(f);
	*sockets = words_in(f, sock, COUNT_OF(sock), &buffers);
	if (f)
		fclose(f);
	if (ok)
		*out = kernel + buffers;
	return ok;
}

/* Pages that sockets of all namespaces hold. */
static uint64_t socket_pages(void)
{
	FILE *f = open_in("/proc/self/net", "sockstat");
	unsigned long long n, pages = 0;
	char line[256];

	while (f && fgets(line, sizeof(line), f)) {
		const char *mem = strstr(line, " mem ");

		if (mem && sscanf(mem, " mem %llu", &n) == 1)
			pages += n;
	}
	if (f)
		fclose(f);
	return pages;
}

bool group_machine_kernel(uint64_t *out)
{
	static const char *const words[] = { "Slab", "KernelStack", "PageTables" };
	FILE *f = open_in("/proc", "meminfo");
	uint64_t kib;
	bool ok = words_in(f, words, COUNT_OF(words), &kib);

	if (f)
		fclose(f);
	if (ok)
		*out = kib * 1024 + socket_pages() * (uint64_t)sysconf(_SC_PAGESIZE);
	return ok;
}
