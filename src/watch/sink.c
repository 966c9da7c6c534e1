#include "watch/sink.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/list.h"
#include "link/journald.h"

#define SINK_BYTES ((size_t)512 << 10) /* of lines, twice: gathering and being written */
#define SINK_AGAIN MS_SECOND	       /* between two tries of a failed write */

/* What the thread works on; the loop leaves it alone while it does. */
struct batch {
	enum sink_to to;
	char path[PATH_MAX];
	bool reopen;
	int fd;	     /* of the file; -1: not open */
	int journal; /* made at the start: later the sandbox says no */
	struct buf lines;
	size_t done; /* of the lines: written */
	int failed;  /* errno, or 0 */
};

struct sink {
	struct loop *loop;
	struct timer again;
	struct batch batch;
	struct buf gathered;
	enum sink_to to; /* for what is gathered */
	char path[PATH_MAX];
	bool moved;	      /* to, path are news for the batch */
	bool busy;	      /* the batch belongs to the thread */
	bool finishing;	      /* no new thread any more */
	atomic_bool returned; /* the thread has given it back */
	uint64_t lost;
	char trouble[80];
};

static bool write_all(struct batch *b, int fd)
{
	while (b->done < b->lines.len) {
		ssize_t n = write(fd, b->lines.mem + b->done, b->lines.len - b->done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return false;
		b->done += (size_t)n;
	}
	return true;
}

static bool write_file(struct batch *b)
{
	if (b->reopen && b->fd >= 0) {
		close(b->fd);
		b->fd = -1;
	}
	b->reopen = false;
	if (b->fd < 0)
		b->fd = open(b->path,
			     O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW |
				     O_NOCTTY,
			     0640);
	return b->fd >= 0 && write_all(b, b->fd);
}

/* For the journal a line is a list item: its level as a digit, then the text. */
static bool write_journal(struct batch *b)
{
	struct span rest = span_skip(buf_span(&b->lines), b->done), line;

	while (list_next(&rest, &line)) {
		if (!journald_send(b->journal, (enum log_level)(line.p[0] - '0'),
				   span_skip(line, 1)))
			return false;
		b->done = b->lines.len - rest.n;
	}
	return true;
}

static void run(void *arg)
{
	struct sink *s = arg;
	struct batch *b = &s->batch;
	bool written = false;

	errno = 0;
	switch (b->to) {
	case SINK_STDERR:
		written = write_all(b, STDERR_FILENO);
		break;
	case SINK_FILE:
		written = write_file(b);
		break;
	case SINK_JOURNAL:
		written = write_journal(b);
		break;
	}
	b->failed = written ? 0 : errno ? errno : EIO;
	atomic_store(&s->returned, true);
}

static void on_done(void *arg);

/* Lines that are given up: what is left of a batch, or was packed for another place. */
static void lose(struct sink *s, struct span lines, enum sink_to to)
{
	struct span line;

	if (to == SINK_JOURNAL)
		while (list_next(&lines, &line))
			s->lost++;
	else
		for (size_t at; (at = span_find(lines, '\n')) < lines.n; s->lost++)
			lines = span_skip(lines, at + 1);
}

/*
 * Move to where the lines are to go now; only while the thread has nothing. Lines that
 * could not be written go along, unless they are packed in another way.
 */
static void move(struct sink *s)
{
	struct batch *b = &s->batch;
	bool same = b->to == s->to && strcmp(b->path, s->path) == 0;

	if (!same && b->fd >= 0) {
		close(b->fd);
		b->fd = -1;
	}
	if ((b->to == SINK_JOURNAL) != (s->to == SINK_JOURNAL)) {
		lose(s, span_skip(buf_span(&b->lines), b->done), b->to);
		b->done = b->lines.len;
	}
	b->reopen = same;
	b->to = s->to;
	memcpy(b->path, s->path, sizeof(b->path));
	s->moved = false;
}

/* Give the thread something to do, if there is something. */
static bool fill_batch(struct sink *s)
{
	struct batch *b = &s->batch;

	if (s->moved)
		move(s);
	if (b->done == b->lines.len) {
		struct buf empty = b->lines;

		b->lines = s->gathered;
		s->gathered = empty;
		buf_reset(&s->gathered);
		b->done = 0;
	}
	return b->done < b->lines.len;
}

static void work(struct sink *s)
{
	if (s->busy || s->finishing || !fill_batch(s))
		return;
	s->busy = true;
	atomic_store(&s->returned, false);
	if (!work_run(s->loop, run, on_done, s)) {
		s->busy = false;
		timer_set(&s->again, loop_now(s->loop) + SINK_AGAIN);
	}
}

static void on_again(void *arg)
{
	work(arg);
}

static void on_done(void *arg)
{
	struct sink *s = arg;
	struct buf why;

	s->busy = false;
	if (s->finishing)
		return;
	buf_init(&why, s->trouble, sizeof(s->trouble) - 1);
	if (s->batch.failed) {
		buf_put(&why, span_str(strerror(s->batch.failed)));
		timer_set(&s->again, loop_now(s->loop) + SINK_AGAIN);
	} else {
		work(s);
	}
	s->trouble[why.len] = '\0';
}

bool sink_open(struct sink **out, struct loop *loop, struct err *err)
{
	struct sink *s = calloc(1, sizeof(*s) + 2 * SINK_BYTES);
	uint8_t *mem = (uint8_t *)(s + 1);

	if (!s)
		return err_set(err, "log: out of memory");
	s->loop = loop;
	s->batch.fd = -1;
	s->batch.journal = journald_open();
	buf_init(&s->batch.lines, mem, SINK_BYTES);
	buf_init(&s->gathered, mem + SINK_BYTES, SINK_BYTES);
	timer_init(&s->again, loop, on_again, s);
	*out = s;
	return true;
}

void sink_to(struct sink *s, enum sink_to to, const char *path)
{
	struct buf name;

	if ((to == SINK_JOURNAL) != (s->to == SINK_JOURNAL)) {
		lose(s, buf_span(&s->gathered), s->to);
		buf_reset(&s->gathered);
	}
	s->to = to;
	buf_init(&name, s->path, sizeof(s->path) - 1);
	buf_put(&name, span_str(path));
	s->path[name.len] = '\0';
	s->moved = true;
	work(s);
}

/* For the journal: the level and the line, as an item of a list. */
static void put_item(struct buf *out, enum log_level level, struct span line)
{
	uint8_t mem[SINK_LINE + 1];
	struct buf item;

	buf_init(&item, mem, sizeof(mem));
	buf_byte(&item, (uint8_t)('0' + level));
	buf_put(&item, line);
	list_put(out, buf_span(&item));
}

void sink_put(struct sink *s, enum log_level level, struct span line)
{
	struct buf *b = &s->gathered;

	if (line.n > SINK_LINE || line.n + 3 > buf_room(b)) {
		s->lost++;
		return;
	}
	if (s->to == SINK_JOURNAL) {
		put_item(b, level, line);
	} else {
		buf_put(b, line);
		buf_byte(b, '\n');
	}
	work(s);
}

uint64_t sink_lost(struct sink *s)
{
	uint64_t lost = s->lost;

	s->lost = 0;
	return lost;
}

const char *sink_trouble(const struct sink *s)
{
	return s->trouble;
}

static bool wait_for_thread(struct sink *s, ms_t within)
{
	const struct timespec a_moment = { .tv_nsec = 10 * 1000000 };

	for (ms_t waited = 0; s->busy && !atomic_load(&s->returned); waited += 10) {
		if (waited >= within)
			return false;
		nanosleep(&a_moment, NULL);
	}
	return true;
}

bool sink_finish(struct sink *s, ms_t within)
{
	s->finishing = true;
	timer_stop(&s->again);
	if (!wait_for_thread(s, within))
		return false;
	/* Twice: what the thread left over, and what gathered meanwhile. */
	for (int i = 0; i < 2; i++)
		if (fill_batch(s))
			run(s);
	return true;
}

void sink_close(struct sink **sink)
{
	struct sink *s = *sink;

	*sink = NULL;
	if (!s)
		return;
	if (s->batch.fd >= 0)
		close(s->batch.fd);
	if (s->batch.journal >= 0)
		close(s->batch.journal);
	free(s);
}
