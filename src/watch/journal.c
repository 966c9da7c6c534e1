#include "watch/journal.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FLUSH_EVERY MS_SECOND
#define PLACES_MIN  2

/* One block, as far as it is filled, and how much of it the file has. */
struct block {
	uint64_t serial;
	struct buf bytes;
	size_t written;
	uint64_t records; /* of them, not written */
	uint8_t mem[JOURNAL_BLOCK];
};

struct journal {
	struct loop *loop;
	struct timer timer;
	int fd; /* -1: there is none */
	uint64_t places;
	/* one is filled; the other one is being written, or was */
	struct block block[2];
	unsigned filling;
	bool writing;		   /* a thread has a part of... */
	const struct block *taken; /* ...this block */
	struct span out;	   /* what the thread writes */
	uint64_t out_at;	   /* and where */
	uint64_t out_records;
	bool out_whole; /* the end of a block: sync */
	int error;	/* of the last write */
	uint64_t count, lost;
	char trouble[160];
};

/* ---- the file ------------------------------------------------------------------------------ */

static bool read_at(int fd, uint64_t at, void *mem, size_t n)
{
	return pread(fd, mem, n, (off_t)at) == (ssize_t)n;
}

static uint64_t place_of(const struct journal *j, uint64_t serial)
{
	return JOURNAL_PAGE + serial % j->places * JOURNAL_BLOCK;
}

/* The highest serial of all blocks; 0: there are none. */
static uint64_t newest(const struct journal *j)
{
	uint8_t head[JOURNAL_HEAD];
	uint64_t serial, most = 0;

	for (uint64_t i = 0; i < j->places; i++)
		if (read_at(j->fd, JOURNAL_PAGE + i * JOURNAL_BLOCK, head, sizeof(head)) &&
		    journal_parse_block(span_of(head, sizeof(head)), &serial) &&
		    serial % j->places == i && serial > most)
			most = serial;
	return most;
}

static bool begin_file(struct journal *j, const char *path, struct err *err)
{
	uint8_t page[JOURNAL_PAGE];
	struct buf out;

	buf_init(&out, page, sizeof(page));
	journal_print_page(j->places, &out);
	if (ftruncate(j->fd, 0) == 0 &&
	    pwrite(j->fd, page, sizeof(page), 0) == (ssize_t)sizeof(page))
		return true;
	return err_set(err, "%s: %s", path, strerror(errno));
}

static int open_file(const char *path)
{
	return open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0640);
}

/* One of another program or size is kept, once, for whoever still wants to read it. */
static bool put_aside(struct journal *j, const char *path, struct err *err)
{
	char old[PATH_MAX + 8];

	close(j->fd);
	j->fd = -1;
	snprintf(old, sizeof(old), "%s.old", path);
	if (rename(path, old) != 0 || (j->fd = open_file(path)) < 0)
		return err_set(err, "%s: %s", path, strerror(errno));
	return begin_file(j, path, err);
}

static bool open_ring(struct journal *j, const char *path, struct err *err)
{
	uint8_t page[JOURNAL_PAGE];
	uint64_t places;
	struct stat st;

	j->fd = open_file(path);
	if (j->fd < 0 || fstat(j->fd, &st) != 0)
		return err_set(err, "%s: %s", path, strerror(errno));
	if (st.st_size == 0)
		return begin_file(j, path, err);
	if (read_at(j->fd, 0, page, sizeof(page)) &&
	    journal_parse_page(span_of(page, sizeof(page)), &places) &&
	    places == j->places)
		return true;
	return put_aside(j, path, err);
}

/* ---- writing ------------------------------------------------------------------------------ */

static void begin_block(struct block *b, uint64_t serial)
{
	b->serial = serial;
	b->written = 0;
	b->records = 0;
	buf_init(&b->bytes, b->mem, sizeof(b->mem));
	journal_print_block(serial, &b->bytes);
}

/* In a thread. */
static void write_out(void *arg)
{
	struct journal *j = arg;
	struct span left = j->out;
	uint64_t at = j->out_at;

	j->error = 0;
	while (left.n) {
		ssize_t n = pwrite(j->fd, left.p, left.n, (off_t)at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			j->error = n < 0 ? errno : EIO;
			return;
		}
		left = span_skip(left, (size_t)n);
		at += (uint64_t)n;
	}
	if (j->out_whole && fdatasync(j->fd) != 0)
		j->error = errno;
}

static void write_some(struct journal *j);

static void on_written(void *arg)
{
	struct journal *j = arg;

	j->writing = false;
	if (j->error) {
		snprintf(j->trouble, sizeof(j->trouble), "the journal: %s",
			 strerror(j->error));
		j->lost += j->out_records;
	} else {
		j->trouble[0] = '\0';
		j->count += j->out_records;
	}
	write_some(j);
}

static bool is_waiting(const struct block *b)
{
	return b->bytes.len > b->written && b->records > 0;
}

/* What the file does not have of a block. What fails is lost: the next round begins anew. */
static void take_out(struct journal *j, struct block *b, bool whole)
{
	j->out = span_skip(buf_span(&b->bytes), b->written);
	j->out_at = place_of(j, b->serial) + b->written;
	j->out_records = b->records;
	j->out_whole = whole;
	j->taken = b;
	b->written = b->bytes.len;
	b->records = 0;
}

static void write_some(struct journal *j)
{
	struct block *full = &j->block[!j->filling], *filling = &j->block[j->filling];

	if (j->writing || j->fd < 0)
		return;
	if (is_waiting(full))
		take_out(j, full, true);
	else if (is_waiting(filling))
		take_out(j, filling, false);
	else
		return;
	j->writing = work_run(j->loop, write_out, on_written, j);
	if (!j->writing)
		j->lost += j->out_records;
}

static void on_time(void *arg)
{
	struct journal *j = arg;

	write_some(j);
	timer_set(&j->timer, loop_now(j->loop) + FLUSH_EVERY);
}

/* The other block becomes the filling one. False: it is not written yet. */
static bool turn(struct journal *j)
{
	struct block *next = &j->block[!j->filling];
	uint64_t serial = j->block[j->filling].serial + 1;

	if ((j->writing && j->taken == next) || is_waiting(next))
		return false;
	j->filling = !j->filling;
	begin_block(next, serial);
	return true;
}

void journal_put(struct journal *j, const struct journal_record *r)
{
	struct block *b = &j->block[j->filling];

	if (!j->places)
		return;
	if (j->fd < 0) {
		j->lost++;
		return;
	}
	if (buf_room(&b->bytes) < JOURNAL_RECORD_MAX) {
		if (!turn(j)) {
			j->lost++;
			return;
		}
		b = &j->block[j->filling];
		write_some(j);
	}
	journal_print(r, b->serial, &b->bytes);
	b->records++;
}

void journal_tell(const struct journal *j, struct journal_facts *out)
{
	*out = (struct journal_facts){ j->count, j->lost, j->trouble };
}

/* ---- life ---------------------------------------------------------------------------------- */

bool journal_open(struct journal **out, struct loop *loop, const char *directory,
		  int64_t size, struct err *err)
{
	struct journal *j = calloc(1, sizeof(*j));
	char path[PATH_MAX];
	bool good = true;

	*out = j;
	if (!j)
		return err_set(err, "out of memory");
	j->loop = loop;
	j->fd = -1;
	timer_init(&j->timer, loop, on_time, j);
	if (size <= 0)
		return true;
	j->places = (uint64_t)size / JOURNAL_BLOCK;
	if (j->places < PLACES_MIN)
		j->places = PLACES_MIN;
	snprintf(path, sizeof(path), "%s/journal", directory);
	good = open_ring(j, path, err);
	if (!good && j->fd >= 0) {
		close(j->fd);
		j->fd = -1;
	}
	if (!good)
		snprintf(j->trouble, sizeof(j->trouble), "%.150s", err->text);
	/* a block that was not full stays as it is: its end is the end of its records */
	begin_block(&j->block[0], j->fd >= 0 ? newest(j) + 1 : 1);
	on_time(j);
	return good;
}

void journal_close(struct journal **journal)
{
	struct journal *j = *journal;

	if (!j)
		return;
	*journal = NULL;
	for (int i = 0; i < 2 && j->fd >= 0; i++) {
		struct block *b = &j->block[i == 0 ? !j->filling : j->filling];

		if (!is_waiting(b))
			continue;
		take_out(j, b, true);
		write_out(j);
	}
	if (j->fd >= 0)
		close(j->fd);
	free(j);
}
