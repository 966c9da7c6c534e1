#include "rehearse/tally.h"

#include <errno.h>
#include <math.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#define TAIL  (12 * MS_SECOND) /* after the last phase, for visits under way */
#define LINE  64 /* so that no two workers write into one line of the cache */
#define PARTS 64 /* of an octave */

/* Lengths of a bucket that read well on an axis. */
static const ms_t lengths[] = { 100, 200, 500, 1000, 2000, 5000, 10000, 20000, 30000 };

static ms_t bucket_for(ms_t all)
{
	for (size_t i = 0; i < COUNT_OF(lengths); i++)
		if (all + TAIL <= lengths[i] * BUCKETS_MAX)
			return lengths[i];
	return (all + TAIL) / BUCKETS_MAX + 1;
}

static size_t place(size_t *size, size_t n)
{
	size_t at = *size;

	*size = (at + n + LINE - 1) / LINE * LINE;
	return at;
}

static size_t samples_size(unsigned actors, const bool *honest)
{
	size_t n = 0;

	for (unsigned i = 0; i < actors; i++)
		n += honest[i];
	return n * SAMPLES_MAX * sizeof(struct tally_sample);
}

static void lay_out_samples(struct tally *t, const bool *honest, struct tally_sample *at)
{
	for (unsigned w = 0; w < t->workers; w++)
		for (unsigned a = 0; a < t->actors; a++)
			if (honest[a]) {
				tally_at(t, w, a)->samples = at;
				at += SAMPLES_MAX;
			}
}

static ms_t clock_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (ms_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

bool tally_open(struct tally *t, unsigned workers, unsigned actors, const bool *honest,
		const ms_t phases[PHASE_COUNT], struct err *e)
{
	struct tally new = { .workers = workers, .actors = actors, .began = clock_ms() };
	size_t cpu, refused, stop, samples;
	ms_t all = 0;
	uint8_t *mem;

	for (int p = 0; p < PHASE_COUNT; p++)
		new.ends[p] = all += phases[p];
	new.bucket = bucket_for(all);
	place(&new.size, (size_t)workers * actors * sizeof(struct tally_actor));
	cpu = place(&new.size, workers * sizeof(*new.cpu));
	refused = place(&new.size, workers * sizeof(*new.refused_connects));
	stop = place(&new.size, sizeof(*new.stop));
	samples = place(&new.size, workers * samples_size(actors, honest));

	/* most of it is never touched, and so never there */
	mem = mmap(NULL, new.size, PROT_READ | PROT_WRITE,
		   MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (mem == MAP_FAILED)
		return err_set(e, "no shared memory of %zu MiB: %s", new.size >> 20,
			       strerror(errno));
	new.cells = (void *)mem;
	new.cpu = (void *)(mem + cpu);
	new.refused_connects = (void *)(mem + refused);
	new.stop = (void *)(mem + stop);
	*t = new;
	lay_out_samples(t, honest, (void *)(mem + samples));
	return true;
}

void tally_close(struct tally *t)
{
	if (t->cells)
		munmap(t->cells, t->size);
	*t = (struct tally){ 0 };
}

struct tally_actor *tally_at(const struct tally *t, unsigned worker, unsigned actor)
{
	return &t->cells[(size_t)worker * t->actors + actor];
}

unsigned tally_bucket_of(const struct tally *t, ms_t since)
{
	ms_t at = since > 0 ? since / t->bucket : 0;

	return at < BUCKETS_MAX ? (unsigned)at : BUCKETS_MAX - 1;
}

enum phase tally_phase_of(const struct tally *t, ms_t since)
{
	enum phase p = 0;

	while (p < PHASE_COUNT && since >= t->ends[p])
		p++;
	return p;
}

/* Below PARTS each microsecond has its slot; from there on each octave has PARTS of them. */
unsigned tally_slot(uint64_t us)
{
	if (us < PARTS)
		return (unsigned)us;

	unsigned octave = 63U - (unsigned)__builtin_clzll(us) - 6U;
	unsigned slot = octave * PARTS + (unsigned)(us >> octave);

	return octave < TALLY_LATENCIES / PARTS && slot < TALLY_LATENCIES
		       ? slot
		       : TALLY_LATENCIES - 1;
}

uint64_t tally_slot_us(unsigned slot)
{
	if (slot < PARTS)
		return slot;

	unsigned octave = slot / PARTS - 1;

	return ((uint64_t)(slot % PARTS + PARTS + 1) << octave) - 1;
}

static void add_phase(struct tally_phase *to, const struct tally_phase *p)
{
	to->begun += p->begun;
	to->done += p->done;
	to->due += p->due;
	to->skipped += p->skipped;
	to->no_port += p->no_port;
	to->again += p->again;
	to->breaches += p->breaches;
	to->bytes_out += p->bytes_out;
	to->bytes_in += p->bytes_in;
	to->latency_sum += p->latency_sum;
	if (to->latency_most < p->latency_most)
		to->latency_most = p->latency_most;
	if (to->open_most < p->open_most)
		to->open_most = p->open_most;
	for (int stage = 0; stage < STAGE_COUNT; stage++) {
		for (int end = 0; end < END_COUNT; end++)
			to->ended[stage][end] += p->ended[stage][end];
		for (int kind = 0; kind < 3; kind++)
			to->heard[stage][kind] += p->heard[stage][kind];
	}
	for (int i = 0; i < TALLY_LATENCIES; i++)
		to->latency[i] += p->latency[i];
}

static uint64_t open_in(const struct tally *t, unsigned actor, unsigned bucket)
{
	uint64_t n = 0;

	for (unsigned w = 0; w < t->workers; w++)
		n += tally_at(t, w, actor)->buckets[bucket].open;
	return n;
}

void tally_sum_phase(const struct tally *t, unsigned actor, enum phase p,
		     struct tally_phase *out)
{
	ms_t from = p ? t->ends[p - 1] : 0, to = t->ends[p];

	*out = (struct tally_phase){ 0 };
	for (unsigned w = 0; w < t->workers; w++)
		add_phase(out, &tally_at(t, w, actor)->phases[p]);

	/* buckets that end in this phase */
	for (unsigned b = tally_bucket_of(t, from);
	     b < BUCKETS_MAX && (ms_t)(b + 1) * t->bucket <= to; b++) {
		uint64_t n = open_in(t, actor, b);

		if (out->open_most < n)
			out->open_most = n;
	}
}

void tally_sum_bucket(const struct tally *t, unsigned actor, unsigned bucket,
		      struct tally_bucket *out)
{
	*out = (struct tally_bucket){ 0 };
	for (unsigned w = 0; w < t->workers; w++) {
		const struct tally_bucket *b = &tally_at(t, w, actor)->buckets[bucket];

		out->begun += b->begun;
		out->skipped += b->skipped;
		out->done += b->done;
		out->open += b->open;
		for (int stage = 0; stage < STAGE_COUNT; stage++) {
			for (int end = 0; end < END_COUNT; end++)
				out->ended[stage][end] += b->ended[stage][end];
			for (int kind = 0; kind < 3; kind++)
				out->heard[stage][kind] += b->heard[stage][kind];
		}
	}
}

double tally_quantile(const struct tally_phase *p, double q)
{
	uint64_t all = 0, seen = 0, wanted;

	for (unsigned i = 0; i < TALLY_LATENCIES; i++)
		all += p->latency[i];
	if (all == 0)
		return (double)NAN;
	wanted = (uint64_t)ceil(q * (double)all);
	wanted = wanted < 1 ? 1 : wanted > all ? all : wanted;
	for (unsigned i = 0; i < TALLY_LATENCIES; i++) {
		seen += p->latency[i];
		if (seen >= wanted)
			return fmin((double)tally_slot_us(i) / 1000, p->latency_most);
	}
	return p->latency_most;
}
