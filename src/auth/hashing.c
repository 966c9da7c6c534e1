#include "auth/hashing.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "base/attr.h"

#define PLACES_MAX    10000
#define THREADS_MAX   64
#define STRANGER_NICE 10
#define FLOWS \
	4096 /* prefixes and accounts that are told apart; a shared one shares its turn */

enum lane_kind { LANE_KNOWN, LANE_STRANGERS, LANES };

struct lane {
	pthread_cond_t wake;
	struct hashing_job *heap[PLACES_MAX + 1]; /* from 1; the lowest tag first */
	size_t count;
	uint64_t clock; /* the tag of the last job that was begun */
	uint64_t prefixes[FLOWS], accounts[FLOWS]; /* the last tag given to each */
};

struct hashing {
	struct loop *loop;
	struct watch watch;
	int bell;
	pthread_mutex_t lock; /* held by whoever uses what follows */
	struct lane lanes[LANES];
	struct hashing_job *done, **done_end;
	size_t places;
	uint64_t numbers;
	bool stopping;
	int64_t purse_us,
		rate; /* of strangers: what is left, and microseconds per second */
	uint64_t filled_us;
	struct hashing_state state;
	size_t processors, threads; /* threads that run, of both lanes */
	pthread_t thread[2 * THREADS_MAX];
};

/* ---- the heap ---------------------------------------- */

static bool before(const struct hashing_job *a, const struct hashing_job *b)
{
	return a->tag != b->tag ? a->tag < b->tag : a->number < b->number;
}

static void place(struct lane *l, size_t at, struct hashing_job *j)
{
	l->heap[at] = j;
	j->at = at;
}

static void rise(struct lane *l, size_t at, struct hashing_job *j)
{
	for (; at > 1 && before(j, l->heap[at / 2]); at /= 2)
		place(l, at, l->heap[at / 2]);
	place(l, at, j);
}

static void sink(struct lane *l, size_t at, struct hashing_job *j)
{
	for (size_t child = 2 * at; child <= l->count; child = 2 * at) {
		if (child < l->count && before(l->heap[child + 1], l->heap[child]))
			child++;
		if (!before(l->heap[child], j))
			break;
		place(l, at, l->heap[child]);
		at = child;
	}
	place(l, at, j);
}

static void push(struct lane *l, struct hashing_job *j)
{
	rise(l, ++l->count, j);
}

static void take_out(struct lane *l, struct hashing_job *j)
{
	struct hashing_job *last = l->heap[l->count--];
	size_t at = j->at;

	j->at = 0;
	if (last == j)
		return;
	if (at > 1 && before(last, l->heap[at / 2]))
		rise(l, at, last);
	else
		sink(l, at, last);
}

/* The one that would be done last: it is a leaf, so in the second half. */
static struct hashing_job *last_of(const struct lane *l)
{
	struct hashing_job *worst = l->heap[l->count];

	for (size_t i = l->count / 2 + 1; i <= l->count; i++)
		if (before(worst, l->heap[i]))
			worst = l->heap[i];
	return worst;
}

/* ---- turns ---------------------------------------- */

static uint64_t next_tag(const uint64_t *last, uint64_t clock)
{
	return (*last > clock ? *last : clock) + 1;
}

static uint64_t tag_of(struct lane *l, const struct hashing_job *j)
{
	uint64_t by_prefix = next_tag(&l->prefixes[j->prefix % FLOWS], l->clock);
	uint64_t by_account = next_tag(&l->accounts[j->account % FLOWS], l->clock);

	return by_prefix > by_account ? by_prefix : by_account;
}

static void note_tag(struct lane *l, const struct hashing_job *j)
{
	l->prefixes[j->prefix % FLOWS] = j->tag;
	l->accounts[j->account % FLOWS] = j->tag;
}

/* ---- what strangers may spend ------------------------------------------------------------------ */

static uint64_t clock_us(clockid_t id)
{
	struct timespec t;

	clock_gettime(id, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

/* A second's worth at most is saved up. */
static void fill_purse(struct hashing *h)
{
	uint64_t now = clock_us(CLOCK_MONOTONIC), gone = now - h->filled_us;

	if (gone > 10000000)
		gone = 10000000;
	h->purse_us += (int64_t)gone * h->rate / 1000000;
	if (h->purse_us > h->rate)
		h->purse_us = h->rate;
	h->filled_us = now;
}

/* Until there is something in the purse again. */
static void await_purse(struct hashing *h)
{
	int64_t us = (1 - h->purse_us) * 1000000 / h->rate + 1000;
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	if (us > 1000000)
		us = 1000000;
	t.tv_nsec += (long)us * 1000;
	t.tv_sec += t.tv_nsec / 1000000000;
	t.tv_nsec %= 1000000000;
	pthread_cond_timedwait(&h->lanes[LANE_STRANGERS].wake, &h->lock, &t);
}

/* ---- the threads ---------------------------------------- */

/* The next job, taken out; NULL: it is time to end. */
static struct hashing_job *await_job(struct hashing *h, enum lane_kind kind)
{
	struct lane *l = &h->lanes[kind];
	struct hashing_job *j;

	for (;;) {
		if (h->stopping)
			return NULL;
		if (l->count == 0) {
			pthread_cond_wait(&l->wake, &h->lock);
			continue;
		}
		if (kind == LANE_STRANGERS)
			fill_purse(h);
		if (kind == LANE_KNOWN || h->purse_us > 0)
			break;
		await_purse(h);
	}
	j = l->heap[1];
	take_out(l, j);
	l->clock = j->tag;
	return j;
}

static void give_back(struct hashing *h, struct hashing_job *j)
{
	const uint64_t one = 1;

	j->next = NULL;
	*h->done_end = j;
	h->done_end = &j->next;
	h->state.done++;
	/* it fails only when it was rung so often that it rings anyway */
	if (write(h->bell, &one, sizeof(one)) < 0)
		return;
}

static void work(struct hashing *h, enum lane_kind kind)
{
	struct hashing_job *j;
	uint64_t spent;

	pthread_mutex_lock(&h->lock);
	while ((j = await_job(h, kind))) {
		pthread_mutex_unlock(&h->lock);
		spent = clock_us(CLOCK_THREAD_CPUTIME_ID);
		j->run(j->arg);
		spent = clock_us(CLOCK_THREAD_CPUTIME_ID) - spent;
		pthread_mutex_lock(&h->lock);
		if (kind == LANE_STRANGERS) {
			h->purse_us -= (int64_t)spent;
			h->state.cpu_us += spent;
		}
		give_back(h, j);
	}
	pthread_mutex_unlock(&h->lock);
}

static void *be_for_known(void *arg)
{
	work(arg, LANE_KNOWN);
	return NULL;
}

static void *be_for_strangers(void *arg)
{
	/* of this thread alone, on Linux. Not allowed: then they are as the others */
	(void)setpriority(PRIO_PROCESS, 0, STRANGER_NICE);
	work(arg, LANE_STRANGERS);
	return NULL;
}

/* ---- in the loop ---------------------------------------- */

static void on_bell(void *arg, unsigned ready)
{
	struct hashing *h = arg;
	struct hashing_job *j, *next;
	uint64_t count;

	(void)ready;
	/* nothing to read: somebody was faster */
	if (read(h->bell, &count, sizeof(count)) < 0)
		count = 0;
	pthread_mutex_lock(&h->lock);
	j = h->done;
	h->done = NULL;
	h->done_end = &h->done;
	pthread_mutex_unlock(&h->lock);
	for (; j; j = next) {
		next = j->next;
		j->on_done(j->arg);
	}
}

void hashing_limit(struct hashing *h, size_t places, unsigned share)
{
	pthread_mutex_lock(&h->lock);
	h->places = places < PLACES_MAX ? places : PLACES_MAX;
	h->rate = (int64_t)(share ? share : 1) * 10000 * (int64_t)h->processors;
	if (h->filled_us == 0)
		h->purse_us = h->rate;
	fill_purse(h);
	pthread_mutex_unlock(&h->lock);
}

/* Whom to send away for this one; NULL with *fits: nobody, or with !*fits: this one. */
static struct hashing_job *make_room(struct hashing *h, struct lane *l,
				     const struct hashing_job *j, bool *fits)
{
	size_t strangers = h->lanes[LANE_STRANGERS].count;
	size_t all = strangers + h->lanes[LANE_KNOWN].count;
	struct hashing_job *worst;

	*fits = j->known ? all < h->places : strangers < h->places / 2 && all < h->places;
	if (*fits || l->count == 0)
		return NULL;
	worst = last_of(l);
	if (j->tag >= worst->tag)
		return NULL;
	*fits = true;
	take_out(l, worst);
	return worst;
}

bool hashing_put(struct hashing *h, struct hashing_job *job)
{
	struct lane *l = &h->lanes[job->known ? LANE_KNOWN : LANE_STRANGERS];
	struct hashing_job *lost;
	bool fits;

	pthread_mutex_lock(&h->lock);
	job->at = 0;
	job->number = h->numbers++;
	job->tag = tag_of(l, job);
	lost = make_room(h, l, job, &fits);
	if (fits) {
		note_tag(l, job);
		push(l, job);
		pthread_cond_signal(&l->wake);
	}
	h->state.lost += lost || !fits;
	pthread_mutex_unlock(&h->lock);
	if (lost)
		lost->on_lost(lost->arg);
	return fits;
}

bool hashing_take_back(struct hashing *h, struct hashing_job *job)
{
	struct lane *l = &h->lanes[job->known ? LANE_KNOWN : LANE_STRANGERS];
	bool waits;

	pthread_mutex_lock(&h->lock);
	waits = job->at != 0;
	if (waits)
		take_out(l, job);
	pthread_mutex_unlock(&h->lock);
	return waits;
}

void hashing_look(struct hashing *h, struct hashing_state *out)
{
	pthread_mutex_lock(&h->lock);
	*out = h->state;
	out->known = h->lanes[LANE_KNOWN].count;
	out->strangers = h->lanes[LANE_STRANGERS].count;
	pthread_mutex_unlock(&h->lock);
}

/* ---- coming and going ---------------------------------------- */

static bool start_threads(struct hashing *h, size_t threads, struct err *err)
{
	if (threads > THREADS_MAX)
		threads = THREADS_MAX;
	for (size_t i = 0; i < 2 * threads; i++) {
		int code = pthread_create(&h->thread[i], NULL,
					  i % 2 ? be_for_strangers : be_for_known, h);

		if (code != 0)
			return err_set(err, "a thread for passwords: %s", strerror(code));
		h->threads++;
	}
	return true;
}

bool hashing_open(struct hashing **out, struct loop *loop, size_t threads,
		  size_t processors, struct err *err)
{
	struct hashing *h = calloc(1, sizeof(*h));
	pthread_condattr_t monotonic;

	if (!h)
		return err_set(err, "out of memory");
	h->loop = loop;
	h->processors = processors ? processors : 1;
	h->done_end = &h->done;
	h->bell = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	pthread_mutex_init(&h->lock, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	for (size_t i = 0; i < LANES; i++)
		pthread_cond_init(&h->lanes[i].wake, &monotonic);
	pthread_condattr_destroy(&monotonic);
	hashing_limit(h, PLACES_MAX, 100);
	if (h->bell < 0)
		err_set(err, "an eventfd for passwords: %s", strerror(errno));
	else if (!watch_start(loop, &h->watch, h->bell, WATCH_READ, on_bell, h))
		err_set(err, "threads for passwords cannot be watched");
	else if (start_threads(h, threads, err)) {
		*out = h;
		return true;
	}
	hashing_close(&h);
	return false;
}

void hashing_close(struct hashing **hashing)
{
	struct hashing *h = *hashing;

	*hashing = NULL;
	if (!h)
		return;
	pthread_mutex_lock(&h->lock);
	h->stopping = true;
	for (size_t i = 0; i < LANES; i++)
		pthread_cond_broadcast(&h->lanes[i].wake);
	pthread_mutex_unlock(&h->lock);
	for (size_t i = 0; i < h->threads; i++)
		pthread_join(h->thread[i], NULL);
	watch_stop(&h->watch);
	if (h->bell >= 0)
		close(h->bell);
	for (size_t i = 0; i < LANES; i++)
		pthread_cond_destroy(&h->lanes[i].wake);
	pthread_mutex_destroy(&h->lock);
	free(h);
}
