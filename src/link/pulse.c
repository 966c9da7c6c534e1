/* The mapping, and the role that writes to it. */
#include "link/pulse_inner.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/bug.h"
#include "base/fields.h"
#include "base/siphash.h"

struct pulse {
	struct shape *shape;
	int doorbell; /* -1: none */
	ms_t rung;    /* when */
	uint64_t seq;
	pthread_mutex_t lock; /* a role's threads log too; readers never see it */
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

struct shape *pulse_map(int fd, int protection, size_t least, struct err *err)
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
	struct shape *shape = pulse_map(fd, PROT_READ | PROT_WRITE, sizeof(*shape), err);

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

/* Give up the oldest records until the ring has room up to `end`. */
static void make_room(struct shape *s, uint64_t end)
{
	uint64_t oldest = atomic_load_explicit(&s->oldest, memory_order_relaxed);

	if (end - oldest <= PULSE_RING_BYTES)
		return;
	while (end - oldest > PULSE_RING_BYTES)
		oldest += pulse_first_word(s, oldest).bytes;
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

void pulse_publish(struct pulse *p, struct record_head *head, const uint64_t *words)
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
	pulse_publish(p, &r.head, r.words);
}
