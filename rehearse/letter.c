#include "rehearse/letter.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define HELD_FIRST 8192

struct letter {
	int fd; /* -1: no file yet */
	bool failed;
	bool partial; /* its file has the name of one that is not whole */
	uint64_t number;
	uint8_t *held; /* owned */
	size_t n, cap;
};

bool letters_open(struct letters *all, const char *dir, struct err *e)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	*all = (struct letters){ .dir = -1 };
	/* another run in the same directory has other numbers */
	all->number = (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
	if (!dir)
		return true;
	all->dir = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (all->dir < 0)
		return err_set(e, "%s: %s", dir, strerror(errno));
	if (faccessat(all->dir, ".", W_OK | X_OK, 0) < 0) {
		err_set(e, "%s: %s", dir, strerror(errno));
		letters_close(all);
		return false;
	}
	return true;
}

void letters_close(struct letters *all)
{
	if (all->dir >= 0)
		close(all->dir);
	all->dir = -1;
}

/* Several processes write into one directory, so the name says whose it is. */
static void name_of(const struct letter *l, bool partial, char *out, size_t cap)
{
	snprintf(out, cap, "%020llu-%d%s", (unsigned long long)l->number, (int)getpid(),
		 partial ? ".part" : "");
}

static bool write_all(int fd, const uint8_t *p, size_t n)
{
	while (n > 0) {
		ssize_t put = write(fd, p, n);

		if (put < 0 && errno == EINTR)
			continue;
		if (put <= 0)
			return false;
		p += put;
		n -= (size_t)put;
	}
	return true;
}

/* What is held goes to the file, which is made if there is none. */
static void spill(struct letters *all, struct letter *l, bool partial)
{
	char name[48];

	if (l->fd < 0 && !l->failed) {
		l->partial = partial;
		name_of(l, partial, name, sizeof(name));
		l->fd = openat(all->dir, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC,
			       0600);
	}
	l->failed = l->failed || l->fd < 0 || !write_all(l->fd, l->held, l->n);
	free(l->held);
	all->held -= l->cap;
	l->held = NULL;
	l->n = l->cap = 0;
}

static bool make_room(struct letters *all, struct letter *l, size_t wanted)
{
	size_t cap = l->cap ? l->cap : HELD_FIRST;

	while (cap < l->n + wanted)
		cap *= 2;
	if (cap == l->cap)
		return true;
	if (cap > LETTER_HELD || all->held + cap - l->cap > LETTERS_HELD)
		return false;

	uint8_t *held = realloc(l->held, cap);

	if (!held)
		return false;
	all->held += cap - l->cap;
	l->held = held;
	l->cap = cap;
	return true;
}

static struct letter *make(struct letters *all)
{
	struct letter *l = calloc(1, sizeof(*l));

	if (l) {
		l->fd = -1;
		l->number = all->number++;
	}
	return l;
}

bool letter_put(struct letters *all, struct letter **l, struct span piece)
{
	if (all->dir < 0)
		return true;
	if (!*l && !(*l = make(all)))
		return false;
	if ((*l)->failed)
		return true;
	if ((*l)->fd < 0 && make_room(all, *l, piece.n)) {
		memcpy((*l)->held + (*l)->n, piece.p, piece.n);
		(*l)->n += piece.n;
		return true;
	}
	spill(all, *l, true);
	(*l)->failed = (*l)->failed || !write_all((*l)->fd, piece.p, piece.n);
	return true;
}

static void release(struct letters *all, struct letter **l, bool kept)
{
	char name[48];

	if ((*l)->fd >= 0) {
		kept = close((*l)->fd) == 0 && kept;
		name_of(*l, (*l)->partial, name, sizeof(name));
		if (!kept)
			unlinkat(all->dir, name, 0);
	}
	all->held -= (*l)->cap;
	free((*l)->held);
	free(*l);
	*l = NULL;
}

static bool name_whole(struct letters *all, struct letter *l)
{
	char partial[48], whole[48];

	if (!l->partial || l->failed)
		return true;
	name_of(l, true, partial, sizeof(partial));
	name_of(l, false, whole, sizeof(whole));
	if (renameat(all->dir, partial, all->dir, whole) < 0)
		return false;
	l->partial = false;
	return true;
}

bool letter_keep(struct letters *all, struct letter **l)
{
	bool kept;

	if (all->dir < 0)
		return true;
	if (!*l && !(*l = make(all)))
		return false;
	spill(all, *l, false);
	kept = !(*l)->failed && name_whole(all, *l) && fsync((*l)->fd) == 0;
	release(all, l, kept);
	return kept;
}

void letter_drop(struct letters *all, struct letter **l)
{
	if (*l)
		release(all, l, false);
}
