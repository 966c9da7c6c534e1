#include "watch/keep.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#define KEEP_MAGIC 0x484b3031u /* "HK01" */
#define KEEP_FILE  "watch.state"

static struct keep *map(int fd)
{
	int flags = fd < 0 ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED;
	void *mem = mmap(NULL, sizeof(struct keep), PROT_READ | PROT_WRITE, flags, fd, 0);

	return mem == MAP_FAILED ? NULL : mem;
}

/* Allocated for real, or a full disk would be a SIGBUS later. */
static struct keep *map_file(const char *directory, struct err *err)
{
	char path[4096];
	struct keep *k = NULL;
	int n = snprintf(path, sizeof(path), "%s/" KEEP_FILE, directory);
	int fd, failed;

	if (n < 0 || (size_t)n >= sizeof(path)) {
		err_set(err, "%s: name too long", directory);
		return NULL;
	}
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0) {
		err_set(err, "%s: %s", path, strerror(errno));
		return NULL;
	}
	failed = posix_fallocate(fd, 0, sizeof(struct keep));
	if (failed)
		err_set(err, "%s: %s", path, strerror(failed));
	else if (!(k = map(fd)))
		err_set(err, "%s: %s", path, strerror(errno));
	close(fd);
	return k;
}

struct keep *keep_open(const char *directory, int64_t life, int64_t wall, struct err *err)
{
	struct keep *k = map_file(directory, err);

	if (!k)
		k = map(-1);
	if (!k)
		return NULL;
	if (k->magic != KEEP_MAGIC || k->bytes != sizeof(*k)) {
		memset(k, 0, sizeof(*k));
		k->magic = KEEP_MAGIC;
		k->bytes = sizeof(*k);
	}
	if (k->life != life) {
		k->life = life;
		memset(&k->past, 0, sizeof(k->past));
		memset(k->born, 0, sizeof(k->born));
		k->began = wall;
		k->notes_at = 0;
		k->orders_read = false;
	}
	return k;
}

void keep_close(struct keep **k)
{
	if (*k)
		munmap(*k, sizeof(**k));
	*k = NULL;
}

int64_t keep_since(struct keep *k, uint32_t pid, int64_t wall)
{
	struct keep_born *room = NULL;

	if (pid == 0)
		return wall; /* a thread, not a process */
	for (size_t i = 0; i < COUNT_OF(k->born); i++) {
		if (k->born[i].pid == pid)
			return k->born[i].since;
		if (k->born[i].pid == 0 && !room)
			room = &k->born[i];
	}
	if (room)
		*room = (struct keep_born){ pid, wall };
	return wall;
}

void keep_forget(struct keep *k, uint32_t pid)
{
	for (size_t i = 0; i < COUNT_OF(k->born); i++)
		if (k->born[i].pid == pid)
			k->born[i] = (struct keep_born){ 0 };
}
