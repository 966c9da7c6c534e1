#include "app/files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "link/seal.h"

#define FIRST 4096

void grow_init(struct grow *g, size_t max)
{
	*g = (struct grow){ .max = max };
}

void grow_free(struct grow *g)
{
	free(g->buf.mem);
	grow_init(g, g->max);
}

bool grow_room(struct grow *g, size_t n)
{
	size_t cap = g->buf.cap ? g->buf.cap : FIRST;
	uint8_t *mem;

	if (n > g->max || g->buf.len > g->max - n)
		return false;
	while (cap < g->buf.len + n)
		cap *= 2;
	if (cap == g->buf.cap)
		return true;
	mem = realloc(g->buf.mem, cap);
	if (!mem)
		return false;
	g->buf.mem = mem;
	g->buf.cap = cap;
	return true;
}

static bool read_all(int fd, size_t n, struct grow *out, struct err *err)
{
	/* one byte more, to see that a file which grows meanwhile has ended */
	if (!grow_room(out, n + 1))
		return err_set(err, "too large");
	while (n > 0) {
		ssize_t got = read(fd, out->buf.mem + out->buf.len, n);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return err_set(err, "%s", strerror(errno));
		if (got == 0)
			break;
		out->buf.len += (size_t)got;
		n -= (size_t)got;
	}
	return true;
}

bool file_read(const char *path, size_t max, struct grow *out, bool *world,
	       struct err *err)
{
	/* O_NONBLOCK: a FIFO must not hold up the start */
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	bool good = false;
	struct stat st;

	if (fd < 0)
		return err_set(err, "cannot read %s: %s", path, strerror(errno));
	if (fstat(fd, &st) != 0)
		err_set(err, "cannot read %s: %s", path, strerror(errno));
	else if (!S_ISREG(st.st_mode))
		err_set(err, "%s is not a file", path);
	else if ((uint64_t)st.st_size > max)
		err_set(err, "%s has more than %zu bytes", path, max);
	else if (!read_all(fd, (size_t)st.st_size, out, err))
		err_within(err, "cannot read %s", path);
	else
		good = true;
	if (good && world)
		*world = st.st_mode & S_IROTH;
	close(fd);
	return good;
}

static bool write_all(int fd, struct span bytes)
{
	while (bytes.n) {
		ssize_t put = write(fd, bytes.p, bytes.n);

		if (put < 0 && errno == EINTR)
			continue;
		if (put <= 0)
			return false;
		bytes = span_skip(bytes, (size_t)put);
	}
	return true;
}

int file_seal(const char *name, struct span bytes, struct err *err)
{
	int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd >= 0 && write_all(fd, bytes) && seal_memory(fd))
		return fd;
	err_set(err, "cannot make the memory %s: %s", name, strerror(errno));
	if (fd >= 0)
		close(fd);
	return -1;
}
