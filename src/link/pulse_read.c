/* Whoever reads a pulse: the supervisor its heartbeat, watch all of it. */
#include "link/pulse_inner.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/bug.h"

/* A reader that meets a writer this often in one call comes back later. */
#define TRIES 16

/* What a watch that is killed has read and its successor reads again, at most. */
#define BOOKMARK_EVERY 64

struct pulse_reader {
	const struct shape *shape;
	bool has_backends;
	int fd;
	uint64_t at;	   /* the next record to read */
	uint64_t seq;	   /* which it should be */
	bool seq_known;	   /* no: this reader goes on where another one ended */
	unsigned unmarked; /* records since the bookmark was set */
	union record_mem mem;
};

bool pulse_reader_open(struct pulse_reader **out, int read_fd, struct err *err)
{
	struct shape *shape = pulse_map(read_fd, PROT_READ, BYTES_BEFORE, err);
	struct pulse_reader *r;
	off_t at = lseek(read_fd, 0, SEEK_CUR);

	if (!shape) {
		close(read_fd);
		return false;
	}
	r = calloc(1, sizeof(*r));
	if (!r) {
		munmap(shape, sizeof(*shape));
		close(read_fd);
		return err_set(err, "pulse: out of memory");
	}
	r->shape = shape;
	r->has_backends = shape->bytes == sizeof(*shape);
	r->fd = read_fd;
	r->at = at > 0 ? (uint64_t)at / WORD * WORD : 0;
	r->seq_known = r->at == 0;
	*out = r;
	return true;
}

/*
 * The bookmark is the offset of the open file, which nothing else uses: the supervisor
 * holds the same open file, so the next watch finds the place where this one ended.
 */
static void set_bookmark(struct pulse_reader *r)
{
	if (r->unmarked && lseek(r->fd, (off_t)r->at, SEEK_SET) >= 0)
		r->unmarked = 0;
}

void pulse_reader_close(struct pulse_reader **reader)
{
	struct pulse_reader *r = *reader;

	*reader = NULL;
	if (!r)
		return;
	set_bookmark(r);
	munmap((void *)(uintptr_t)r->shape, sizeof(*r->shape));
	close(r->fd);
	free(r);
}

uint64_t pulse_beats(const struct pulse_reader *r)
{
	return atomic_load_explicit(&r->shape->beats, memory_order_relaxed);
}

uint64_t pulse_counted(const struct pulse_reader *r, enum event e)
{
	BUG_IF(e >= EVENT_COUNT);
	return atomic_load_explicit(&r->shape->events[e], memory_order_relaxed);
}

uint64_t pulse_counted_end(const struct pulse_reader *r, enum end e)
{
	BUG_IF(e >= END_COUNT);
	return atomic_load_explicit(&r->shape->ends[e], memory_order_relaxed);
}

uint64_t pulse_counted_record(const struct pulse_reader *r, enum record kind)
{
	BUG_IF(kind >= RECORD_COUNT);
	return atomic_load_explicit(&r->shape->records[kind], memory_order_relaxed);
}

int64_t pulse_gauge_now(const struct pulse_reader *r, enum gauge g)
{
	BUG_IF(g >= GAUGE_COUNT);
	return atomic_load_explicit(&r->shape->gauges[g], memory_order_relaxed);
}

/* A row that is being written is half old and half new: all of its numbers have been true. */
bool pulse_backend_now(const struct pulse_reader *r, uint64_t id,
		       struct pulse_backend *out)
{
	uint64_t words[BACKEND_WORDS];

	for (size_t i = 0; r->has_backends && i < BACKENDS_MAX; i++) {
		for (size_t w = 0; w < BACKEND_WORDS; w++)
			words[w] = atomic_load_explicit(&r->shape->backends[i][w],
							memory_order_relaxed);
		memcpy(out, words, sizeof(words));
		if (out->id == id && out->health[0] < BACKEND_HEALTHS &&
		    out->health[1] < BACKEND_HEALTHS)
			return true;
	}
	return false;
}

/* Was what we read at our place really there, all the time? Call after reading. */
static bool still_there(const struct pulse_reader *r)
{
	atomic_thread_fence(memory_order_acquire);
	return atomic_load_explicit(&r->shape->oldest, memory_order_relaxed) <= r->at;
}

/* Is this a record that can be, at our place? The writer may be broken into. */
static bool possible(const struct pulse_reader *r, const struct record_head *h,
		     uint64_t end)
{
	uint64_t left = PULSE_RING_BYTES - r->at % PULSE_RING_BYTES;

	if (h->bytes < WORD || h->bytes % WORD || h->bytes > left ||
	    h->bytes > end - r->at)
		return false;
	if (h->kind == LOG_NONE)
		return true;
	return h->bytes >= sizeof(*h) && h->bytes <= sizeof(union record_mem);
}

enum got { GOT_NONE, GOT_RECORD, GOT_FILLER, GOT_TORN };

/* Look at what is at our place. GOT_RECORD: r->mem is a true copy of it. */
static enum got look(struct pulse_reader *r)
{
	uint64_t end = atomic_load_explicit(&r->shape->end, memory_order_acquire);
	struct record_head head;

	if (r->at == end)
		return GOT_NONE;
	if (end - r->at > PULSE_RING_BYTES)
		return GOT_TORN;
	head = pulse_first_word(r->shape, r->at);
	if (!possible(r, &head, end))
		return GOT_TORN;
	if (head.kind == LOG_NONE) {
		if (!still_there(r))
			return GOT_TORN;
		r->at += head.bytes;
		return GOT_FILLER;
	}
	for (size_t i = 0; i < head.bytes / WORD; i++)
		r->mem.words[i] = pulse_word_at(r->shape, r->at + i * WORD);
	if (!still_there(r))
		return GOT_TORN;
	/* What was judged is what counts, whatever a second look at it brought. */
	memcpy(&r->mem, &head, WORD);
	r->at += head.bytes;
	return GOT_RECORD;
}

/* Go on at the oldest record that is whole; behind everything if that is nonsense. */
static void start_over(struct pulse_reader *r)
{
	uint64_t oldest = atomic_load_explicit(&r->shape->oldest, memory_order_acquire);
	uint64_t end = atomic_load_explicit(&r->shape->end, memory_order_acquire);

	if (oldest > r->at && oldest <= end && oldest % WORD == 0)
		r->at = oldest;
	else
		r->at = end / WORD * WORD;
}

/* What the copy says, as far as it can be believed. */
static bool show(struct pulse_reader *r, struct pulse_record *out, uint64_t *lost)
{
	const struct record_head *h = &r->mem.head;
	struct span fields = span_of(r->mem.bytes + sizeof(*h), h->fields);

	if (h->kind >= RECORD_COUNT || h->fields > h->bytes - sizeof(*h))
		return false;
	*lost = r->seq_known && h->seq >= r->seq ? h->seq - r->seq : 0;
	r->seq = h->seq + 1;
	r->seq_known = true;
	r->unmarked++;
	out->kind = (enum record)h->kind;
	out->wall = h->wall;
	out->has_from = h->has_from == 1;
	memcpy(out->from.ip, h->from, sizeof(out->from.ip));
	out->fields = fields;
	return true;
}

bool pulse_next(struct pulse_reader *r, struct pulse_record *out, uint64_t *lost)
{
	if (r->unmarked >= BOOKMARK_EVERY)
		set_bookmark(r);
	for (int i = 0; i < TRIES; i++) {
		switch (look(r)) {
		case GOT_NONE:
			set_bookmark(r);
			return false;
		case GOT_RECORD:
			if (show(r, out, lost))
				return true;
			break;
		case GOT_FILLER:
			break;
		case GOT_TORN:
			start_over(r);
			break;
		}
	}
	return false;
}
