#include "link/pulse.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/bug.h"
#include "base/fields.h"
#include "base/siphash.h"

#define PULSE_MAGIC   0x48465031u /* "HFP1" */
#define WORD	      ((uint64_t)sizeof(uint64_t))
#define RING_WORDS    (PULSE_RING_BYTES / WORD)
#define BACKEND_WORDS (sizeof(struct pulse_backend) / WORD)

/* A reader that meets a writer this often in one call comes back later. */
#define TRIES 16

/* What a watch that is killed has read and its successor reads again, at most. */
#define BOOKMARK_EVERY 64

/*
 * What is in the mapping. Rows are only ever added at the end of their tables, so a
 * program of another version (during an upgrade) reads the counts that both know.
 *
 * The ring holds records one after another, whole: one that would not fit before the end
 * of the ring is preceded by a filler. Positions count bytes since the start and never
 * turn back. [oldest, end) is what can be read; the writer moves oldest, from record to
 * record, before it overwrites anything, so a reader that finds oldest still at or before
 * its place has read what was written.
 */
struct shape {
	uint32_t magic;
	uint32_t bytes;
	_Atomic uint64_t beats;
	_Atomic uint64_t events[128];
	_Atomic uint64_t ends[32];
	_Atomic uint64_t records[64];
	_Atomic int64_t gauges[32];
	_Atomic uint64_t oldest, end;
	_Atomic uint64_t ring[RING_WORDS];
	_Atomic uint64_t backends[BACKENDS_MAX][BACKEND_WORDS];
};

/* Before there were mailbox servers: one of such a program can still be read. */
#define BYTES_BEFORE offsetof(struct shape, backends)

_Static_assert(sizeof(struct pulse_backend) % 8 == 0, "rows are made of whole words");
_Static_assert(EVENT_COUNT <= 128 && END_COUNT <= 32 && RECORD_COUNT <= 64 &&
		       GAUGE_COUNT <= 32,
	       "tables fit into the pulse");

/* The first word of a record says how long it is and whether it is a filler. */
struct record_head {
	uint32_t bytes; /* all of it, a multiple of 8 */
	uint16_t kind;	/* LOG_NONE: a filler, of which there is nothing but its length */
	uint16_t has_from;
	uint64_t seq; /* counts records, so that a reader knows how many it lost */
	int64_t wall;
	uint8_t from[16];
	uint64_t fields; /* how many bytes of fields follow */
};

#define RECORD_WORDS ((sizeof(struct record_head) + LOG_RECORD_MAX) / WORD)

union record_mem {
	struct record_head head;
	uint64_t words[RECORD_WORDS];
	uint8_t bytes[RECORD_WORDS * WORD];
};

_Static_assert(LOG_RECORD_MAX % 8 == 0, "records are made of whole words");

struct pulse {
	struct shape *shape;
	int doorbell; /* -1: none */
	ms_t rung;    /* when */
	uint64_t seq;
	pthread_mutex_t lock; /* a role's threads log too; readers never see it */
};

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

bool pulse_make(int *fd, int *read_fd, struct err *err)
{
	char path[32];
	struct shape head = { .magic = PULSE_MAGIC, .bytes = sizeof(struct shape) };
	int rw = memfd_create("holdfast-pulse", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	int ro = -1;

	if (rw < 0)
		return err_set(err, "memfd_create: %s", strerror(errno));
	if (ftruncate(rw, sizeof(struct shape)) != 0 || fchmod(rw, 0600) != 0 ||
	    pwrite(rw, &head, offsetof(struct shape, beats), 0) < 0 ||
	    fcntl(rw, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0)
		goto fail;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", rw);
	ro = open(path, O_RDONLY | O_CLOEXEC);
	if (ro < 0)
		goto fail;
	*fd = rw;
	*read_fd = ro;
	return true;
fail:
	err_set(err, "making a pulse: %s", strerror(errno));
	close(rw);
	return false;
}

/* Map a pulse of at least so many bytes; the descriptor is the caller's. */
static struct shape *map(int fd, int protection, size_t least, struct err *err)
{
	struct stat st;
	struct shape *shape;

	if (fstat(fd, &st) != 0 ||
	    (st.st_size != (off_t)sizeof(*shape) && st.st_size != (off_t)least)) {
		err_set(err, "pulse: not the size of one");
		return NULL;
	}
	shape = mmap(NULL, sizeof(*shape), protection, MAP_SHARED, fd, 0);
	if (shape == MAP_FAILED) {
		err_set(err, "pulse: %s", strerror(errno));
		return NULL;
	}
	if (shape->magic != PULSE_MAGIC || shape->bytes != st.st_size) {
		munmap(shape, sizeof(*shape));
		err_set(err, "pulse: of another version");
		return NULL;
	}
	return shape;
}

static bool writer_on(struct pulse **out, struct shape *shape, int doorbell,
		      struct err *err)
{
	struct pulse *p = calloc(1, sizeof(*p));

	if (!p) {
		munmap(shape, sizeof(*shape));
		return err_set(err, "pulse: out of memory");
	}
	p->shape = shape;
	p->doorbell = doorbell;
	pthread_mutex_init(&p->lock, NULL);
	*out = p;
	return true;
}

bool pulse_open(struct pulse **out, int fd, int doorbell, struct err *err)
{
	struct shape *shape = map(fd, PROT_READ | PROT_WRITE, sizeof(*shape), err);

	close(fd);
	if (shape && writer_on(out, shape, doorbell, err))
		return true;
	close(doorbell);
	return false;
}

bool pulse_private(struct pulse **out, struct err *err)
{
	struct shape *shape = mmap(NULL, sizeof(*shape), PROT_READ | PROT_WRITE,
				   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (shape == MAP_FAILED)
		return err_set(err, "pulse: %s", strerror(errno));
	shape->magic = PULSE_MAGIC;
	shape->bytes = sizeof(*shape);
	return writer_on(out, shape, -1, err);
}

void pulse_close(struct pulse **pulse)
{
	struct pulse *p = *pulse;

	*pulse = NULL;
	if (!p)
		return;
	munmap(p->shape, sizeof(*p->shape));
	if (p->doorbell >= 0)
		close(p->doorbell);
	pthread_mutex_destroy(&p->lock);
	free(p);
}

void pulse_beat(struct pulse *p)
{
	atomic_fetch_add_explicit(&p->shape->beats, 1, memory_order_relaxed);
}

void pulse_count(struct pulse *p, enum event e, uint64_t by)
{
	BUG_IF(e >= EVENT_COUNT);
	atomic_fetch_add_explicit(&p->shape->events[e], by, memory_order_relaxed);
}

void pulse_count_end(struct pulse *p, enum end e)
{
	BUG_IF(e >= END_COUNT);
	atomic_fetch_add_explicit(&p->shape->ends[e], 1, memory_order_relaxed);
}

void pulse_gauge(struct pulse *p, enum gauge g, int64_t add)
{
	BUG_IF(g >= GAUGE_COUNT);
	atomic_fetch_add_explicit(&p->shape->gauges[g], add, memory_order_relaxed);
}

void pulse_gauge_set(struct pulse *p, enum gauge g, int64_t value)
{
	BUG_IF(g >= GAUGE_COUNT);
	atomic_store_explicit(&p->shape->gauges[g], value, memory_order_relaxed);
}

uint64_t pulse_backend_id(struct span name)
{
	/* against accidents: names are the administrator's */
	static const uint64_t key[2] = { 0x6d61696c626f78, 0x736572766572 };

	return siphash(key, name) | 1;
}

void pulse_backend(struct pulse *p, size_t i, const struct pulse_backend *b)
{
	uint64_t words[BACKEND_WORDS];

	BUG_IF(i >= BACKENDS_MAX);
	memcpy(words, b, sizeof(words));
	for (size_t w = 0; w < BACKEND_WORDS; w++)
		atomic_store_explicit(&p->shape->backends[i][w], words[w],
				      memory_order_relaxed);
}

static uint64_t word_at(const struct shape *s, uint64_t position)
{
	return atomic_load_explicit(&s->ring[position / WORD % RING_WORDS],
				    memory_order_relaxed);
}

static struct record_head first_word(const struct shape *s, uint64_t position)
{
	uint64_t word = word_at(s, position);
	struct record_head head = { 0 };

	memcpy(&head, &word, sizeof(word));
	return head;
}

/* Give up the oldest records until the ring has room up to `end`. */
static void make_room(struct shape *s, uint64_t end)
{
	uint64_t oldest = atomic_load_explicit(&s->oldest, memory_order_relaxed);

	if (end - oldest <= PULSE_RING_BYTES)
		return;
	while (end - oldest > PULSE_RING_BYTES)
		oldest += first_word(s, oldest).bytes;
	atomic_store_explicit(&s->oldest, oldest, memory_order_relaxed);
	/* Nobody may see the new words before they can see that the old ones are gone. */
	atomic_thread_fence(memory_order_release);
}

static uint64_t write_words(struct shape *s, uint64_t at, const uint64_t *words, size_t n)
{
	for (size_t i = 0; i < n; i++)
		atomic_store_explicit(&s->ring[(at / WORD + i) % RING_WORDS], words[i],
				      memory_order_relaxed);
	return at + n * WORD;
}

static uint64_t write_filler(struct shape *s, uint64_t at, uint64_t bytes)
{
	struct record_head head = { .bytes = (uint32_t)bytes, .kind = LOG_NONE };
	uint64_t word;

	memcpy(&word, &head, sizeof(word));
	write_words(s, at, &word, 1);
	return at + bytes;
}

static void write_record(struct shape *s, const uint64_t *words, uint64_t bytes)
{
	uint64_t at = atomic_load_explicit(&s->end, memory_order_relaxed);
	uint64_t left = PULSE_RING_BYTES - at % PULSE_RING_BYTES;
	uint64_t filler = left < bytes ? left : 0;

	make_room(s, at + filler + bytes);
	if (filler)
		at = write_filler(s, at, filler);
	at = write_words(s, at, words, bytes / WORD);
	atomic_store_explicit(&s->end, at, memory_order_release);
}

/* The whole fields of a row that fit into n bytes. */
static struct span cut(struct span row, size_t n)
{
	struct span rest = row, kept = span_head(row, 0);
	struct field f;

	if (row.n <= n)
		return row;
	while (field_next(&rest, &f) && row.n - rest.n <= n)
		kept = span_head(row, row.n - rest.n);
	return kept;
}

/*
 * By a clock of our own: the records' time may be that of a round that began long ago.
 * A little more often than readers look again, so that none of them gives up too early.
 */
static void ring(struct pulse *p)
{
	struct timespec t;
	uint64_t one = 1;
	ms_t now;

	if (p->doorbell < 0)
		return;
	clock_gettime(CLOCK_MONOTONIC, &t);
	now = (ms_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
	if (now - p->rung < PULSE_RING_EVERY * 3 / 4)
		return;
	p->rung = now;
	/* A bell that cannot be rung has been rung already. */
	if (write(p->doorbell, &one, sizeof(one)) < 0)
		return;
}

/* head is the first of the words. */
static void publish(struct pulse *p, struct record_head *head, const uint64_t *words)
{
	atomic_fetch_add_explicit(&p->shape->records[head->kind], 1, memory_order_relaxed);
	pthread_mutex_lock(&p->lock);
	head->seq = p->seq++;
	write_record(p->shape, words, head->bytes);
	ring(p);
	pthread_mutex_unlock(&p->lock);
}

void pulse_log(struct pulse *p, enum record kind, int64_t wall, const struct addr *from,
	       struct span fields)
{
	union record_mem r = { .head = { .kind = (uint16_t)kind, .wall = wall } };
	size_t padded;

	BUG_IF(kind == LOG_NONE || kind >= RECORD_COUNT);
	fields = cut(fields, LOG_RECORD_MAX);
	padded = (fields.n + WORD - 1) / WORD * WORD;
	r.head.bytes = (uint32_t)(sizeof(r.head) + padded);
	r.head.fields = fields.n;
	if (from) {
		r.head.has_from = 1;
		memcpy(r.head.from, from->ip, sizeof(from->ip));
	}
	if (fields.n)
		memcpy(r.bytes + sizeof(r.head), fields.p, fields.n);
	publish(p, &r.head, r.words);
}

/* ---- deeds: records without words -------------------------------------------------------- */

#define DEED_MAGIC    0x31444548u /* no field begins like this */
#define DEED_OBSERVED 1
#define DEED_BEHIND   2

struct deed_row {
	uint32_t magic;
	int32_t points;
	uint64_t session;
	uint8_t from[16];
	uint16_t count, listener;
	uint8_t event, rule, flags, text_n;
};

struct deed_record {
	struct record_head head;
	struct deed_row row;
	uint8_t text[LOG_TEXT_MAX];
};

union deed_mem {
	struct deed_record is;
	uint64_t words[sizeof(struct deed_record) / WORD];
};

_Static_assert(sizeof(struct deed_row) == 40 && LOG_TEXT_MAX % 8 == 0 &&
		       sizeof(union deed_mem) == sizeof(struct deed_record),
	       "deeds are made of whole words");
_Static_assert(EVENT_COUNT <= UINT8_MAX && RULE_COUNT <= UINT8_MAX &&
		       LOG_TEXT_MAX <= UINT8_MAX,
	       "fit deed_row");

void pulse_deed(struct pulse *p, int64_t wall, const struct pulse_deed *d)
{
	struct span text = span_head(d->text, LOG_TEXT_MAX);
	union deed_mem r;

	BUG_IF(d->event >= EVENT_COUNT || d->rule >= RULE_COUNT);
	if (d->event != EV_NONE)
		pulse_count(p, d->event, d->count);
	if (event_table[d->event].weight <= 0 && d->rule == RULE_NONE)
		return;
	r.is.head =
		(struct record_head){ .kind = LOG_OFFENCE, .has_from = 1, .wall = wall };
	r.is.row = (struct deed_row){
		.magic = DEED_MAGIC,
		.points = d->points,
		.session = d->session,
		.count = d->count,
		.listener = d->listener,
		.event = (uint8_t)d->event,
		.rule = (uint8_t)d->rule,
		.flags = (uint8_t)((d->observed ? DEED_OBSERVED : 0) |
				   (d->behind ? DEED_BEHIND : 0)),
		.text_n = (uint8_t)text.n,
	};
	memcpy(r.is.head.from, d->from.ip, sizeof(d->from.ip));
	memcpy(r.is.row.from, d->from.ip, sizeof(d->from.ip));
	memset(r.is.text, 0, sizeof(r.is.text));
	if (text.n)
		memcpy(r.is.text, text.p, text.n);
	r.is.head.fields = sizeof(r.is.row) + text.n;
	r.is.head.bytes = (uint32_t)(sizeof(r.is.head) +
				     (r.is.head.fields + WORD - 1) / WORD * WORD);
	publish(p, &r.is.head, r.words);
}

bool pulse_deed_read(struct span fields, struct pulse_deed *out)
{
	struct deed_row row;

	if (fields.n < sizeof(row))
		return false;
	memcpy(&row, fields.p, sizeof(row));
	if (row.magic != DEED_MAGIC || row.event >= EVENT_COUNT ||
	    row.rule >= RULE_COUNT || row.flags > (DEED_OBSERVED | DEED_BEHIND) ||
	    row.text_n > LOG_TEXT_MAX || fields.n != sizeof(row) + row.text_n)
		return false;
	*out = (struct pulse_deed){
		.session = row.session,
		.event = (enum event)row.event,
		.rule = (enum rule)row.rule,
		.observed = row.flags & DEED_OBSERVED,
		.behind = row.flags & DEED_BEHIND,
		.count = row.count,
		.listener = row.listener,
		.points = row.points,
		.text = span_skip(fields, sizeof(row)),
	};
	memcpy(out->from.ip, row.from, sizeof(row.from));
	return true;
}

bool pulse_reader_open(struct pulse_reader **out, int read_fd, struct err *err)
{
	struct shape *shape = map(read_fd, PROT_READ, BYTES_BEFORE, err);
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
	head = first_word(r->shape, r->at);
	if (!possible(r, &head, end))
		return GOT_TORN;
	if (head.kind == LOG_NONE) {
		if (!still_there(r))
			return GOT_TORN;
		r->at += head.bytes;
		return GOT_FILLER;
	}
	for (size_t i = 0; i < head.bytes / WORD; i++)
		r->mem.words[i] = word_at(r->shape, r->at + i * WORD);
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
