#include "rehearse/logs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define FIND_MAX 64 /* descriptors of one process; logs are opened early */

static bool add(struct logs *l, const char *path)
{
	struct log_file *f = &l->files[l->n];

	*f = (struct log_file){ .path = strdup(path), .now.fd = -1 };
	for (size_t i = 0; i < LOG_OLD; i++)
		f->old[i].fd = -1;
	if (!f->path)
		return false;
	l->n++;
	return true;
}

static bool open_now(struct log_file *f, struct stat *st)
{
	int fd = open(f->path, O_PATH | O_CLOEXEC);

	if (fd < 0)
		return false;
	if (fstat(fd, st) < 0 || !S_ISREG(st->st_mode)) {
		close(fd);
		return false;
	}
	f->now = (struct log_inode){ .fd = fd, .size = (uint64_t)st->st_size };
	return true;
}

bool logs_open(struct logs *l, const char *const *paths, unsigned n, struct err *e)
{
	struct stat st;

	*l = (struct logs){ .opened = time(NULL) };
	for (unsigned i = 0; i < n; i++) {
		if (stat(paths[i], &st) == 0 && !S_ISREG(st.st_mode)) {
			logs_close(l);
			return err_set(e,
				       "%s: not a regular file, what is written there "
				       "cannot be counted",
				       paths[i]);
		}
		if (l->n == LOGS_MAX || !add(l, paths[i])) {
			bool full = l->n == LOGS_MAX;

			logs_close(l);
			return full ? err_set(e, "more than %d logs", LOGS_MAX)
				    : err_set(e, "out of memory");
		}
		open_now(&l->files[i], &st);
	}
	return true;
}

static void forget(struct log_inode *i)
{
	if (i->fd >= 0)
		close(i->fd);
	*i = (struct log_inode){ .fd = -1 };
}

void logs_close(struct logs *l)
{
	for (unsigned i = 0; i < l->n; i++) {
		struct log_file *f = &l->files[i];

		forget(&f->now);
		for (size_t k = 0; k < LOG_OLD; k++)
			forget(&f->old[k]);
		free(f->path);
	}
	*l = (struct logs){ 0 };
}

static uint64_t growth(struct log_inode *i)
{
	struct stat st;
	uint64_t size, before = i->size;

	if (i->fd < 0 || fstat(i->fd, &st) < 0)
		return 0;
	size = i->size = (uint64_t)st.st_size;
	return size >= before ? size - before : size; /* truncated: it began anew */
}

/* Another file has the name. */
static uint64_t rotated(struct log_file *f)
{
	struct log_inode before = f->now;
	struct stat st;

	f->now.fd = -1;
	if (!open_now(f, &st)) {
		f->now = before;
		return 0;
	}
	if (before.fd >= 0) {
		forget(&f->old[LOG_OLD - 1]);
		memmove(&f->old[1], &f->old[0], (LOG_OLD - 1) * sizeof(f->old[0]));
		f->old[0] = before;
	}
	return f->now.size;
}

static bool same(int fd, const struct stat *st)
{
	struct stat mine;

	return fd >= 0 && fstat(fd, &mine) == 0 && mine.st_dev == st->st_dev &&
	       mine.st_ino == st->st_ino;
}

uint64_t logs_look(struct logs *l)
{
	for (unsigned i = 0; i < l->n; i++) {
		struct log_file *f = &l->files[i];
		struct stat st;

		for (size_t k = 0; k < LOG_OLD; k++)
			l->grown += growth(&f->old[k]);
		l->grown += growth(&f->now);
		if (stat(f->path, &st) == 0 && S_ISREG(st.st_mode) && !same(f->now.fd, &st))
			l->grown += rotated(f);
	}
	return l->grown;
}

bool logs_any(const struct logs *l)
{
	for (unsigned i = 0; i < l->n; i++)
		if (l->files[i].now.fd >= 0)
			return true;
	return false;
}

static bool is_log(const char *path)
{
	const char *name = strrchr(path, '/');

	return *path == '/' && (strcasestr(name, "log") || strstr(path, "/log/") ||
				strstr(path, "/logs/"));
}

static bool known(const struct logs *l, const char *path)
{
	struct stat st;

	for (unsigned i = 0; i < l->n; i++)
		if (strcmp(l->files[i].path, path) == 0)
			return true;
	if (stat(path, &st) < 0 || !S_ISREG(st.st_mode))
		return true; /* it is gone, or no file */
	for (unsigned i = 0; i < l->n; i++) {
		if (same(l->files[i].now.fd, &st))
			return true;
		for (size_t k = 0; k < LOG_OLD; k++)
			if (same(l->files[i].old[k].fd, &st))
				return true;
	}
	return false;
}

/* A file that is older than we are counts from here on, another one from its beginning. */
static void follow(struct logs *l, const char *path)
{
	struct stat st;
	struct statx born;

	if (!add(l, path))
		return;
	if (!open_now(&l->files[l->n - 1], &st))
		return;
	if (statx(l->files[l->n - 1].now.fd, "", AT_EMPTY_PATH, STATX_BTIME, &born) == 0 &&
	    (born.stx_mask & STATX_BTIME) && born.stx_btime.tv_sec > l->opened)
		l->grown += l->files[l->n - 1].now.size;
}

static bool open_for_writing(int dir, const char *name)
{
	struct stat st;

	return fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && (st.st_mode & S_IWUSR);
}

void logs_find(struct logs *l, pid_t pid)
{
	char path[PATH_MAX];
	struct dirent *d;
	DIR *dir;
	int looked = 0;

	snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
	dir = opendir(path);
	if (!dir)
		return;
	while (l->n < LOGS_MAX && looked < FIND_MAX && (d = readdir(dir)) != NULL) {
		ssize_t n = readlinkat(dirfd(dir), d->d_name, path, sizeof(path) - 1);

		looked++;
		if (n <= 0)
			continue;
		path[n] = '\0';
		if (is_log(path) && open_for_writing(dirfd(dir), d->d_name) &&
		    !known(l, path))
			follow(l, path);
	}
	closedir(dir);
}
