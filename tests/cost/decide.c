/*
 * decide - what one decision of the guard costs, in nanoseconds
 *
 * A million rows of cold memory, an access list of a million prefixes between which the
 * clients are, no orders; clients in random order, so that little is in any cache. Prints
 * the median and the 99th of a hundred; what reading the clock costs is taken off.
 *
 * usage: decide [--json] [N]
 *
 * N: so many of everything instead of a million (and a hundredth of the 10,000). With
 * 16000 all of it stays in the second cache: what is left is what the processor has to do.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "base/bug.h"
#include "conf/settings.h"
#include "guard/guard.h"
#include "session/limits.h"
#include "tests/unit/access_maker.h"

enum {
	SAMPLES = 200000,
	MILLION = 1000000,
	FEWEST = 1000,
	HOT_SHARE = 16,
	ACTIVE_SHARE = 100
};

#define FIRST (UINT32_C(1) << 24) /* 1.0.0.0 */
#define SPACE (UINT32_C(126) << 24)

struct world {
	struct guard g;
	uint32_t of, active; /* rows of cold memory and prefixes; who comes and goes */
	uint32_t apart;	     /* between one listed address and the next */
	bool json, offending;
	uint64_t seed;
	ms_t now;
	int64_t clock_costs;
};

static int64_t took[SAMPLES];

static uint64_t dice(uint64_t *state)
{
	uint64_t z = (*state += UINT64_C(0x9e3779b97f4a7c15));

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

static int64_t clock_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

static int by_size(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return (x > y) - (x < y);
}

static void *room(size_t n)
{
	void *mem = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
			 0);

	BUG_IF(mem == MAP_FAILED);
	return mem;
}

static struct addr numbered(uint32_t n)
{
	return addr_v4((uint8_t)(n >> 24), (uint8_t)(n >> 16), (uint8_t)(n >> 8),
		       (uint8_t)n);
}

/* Scattered over the addresses from 1.0.0.0 to 126.255.255.255, none of them listed. */
static struct addr scattered(const struct world *w, uint64_t seed, uint32_t i)
{
	uint64_t state = seed + i;
	uint32_t n = (uint32_t)(dice(&state) % (SPACE - 1));

	return numbered(FIRST + n + (n % w->apart == 0));
}

static void limits(struct guard_limits *l)
{
	static const bool enforced[RULE_COUNT];
	struct settings set;

	settings_init(&set);
	limits_of(&set, enforced, l);
}

static void make_memory(struct world *w)
{
	struct memory_shape shape = { w->of / HOT_SHARE, w->of, 4, 20000 };
	uint64_t key[2] = { 0x0123456789abcdef, 0xfedcba9876543210 };
	size_t n = memory_size(&shape);
	void *mem = room(n), *orders = room(orders_size());

	memory_init(mem, n, &shape, key, w->now);
	BUG_IF(!memory_open(&w->g.memory, mem, n, 0));
	orders_init(orders);
	w->g.orders = orders;
	limits(&w->g.limits);
}

/* Denied, evenly among those who come. */
static void make_list(struct world *w)
{
	struct made_entry *entries = calloc(w->of, sizeof(*entries));
	struct made m = { .entries = entries, .count = w->of, .lists = 2 };

	BUG_IF(!entries);
	for (uint32_t i = 0; i < w->of; i++) {
		entries[i].net.addr = numbered(FIRST + i * w->apart);
		entries[i].net.bits = 128;
		entries[i].list = 1;
		entries[i].line = i + 1;
		entries[i].answer = ACCESS_DENY;
	}
	BUG_IF(made_make(&m) != FLATTEN_DONE);
	w->g.access = m.mem;
	w->g.access_n = m.n;
	free(entries);
}

static void offend(struct world *w, struct guard_visit *v, uint32_t i)
{
	struct guard_deeds d = { .recipient = i + 1 };

	d.seen[EV_UNKNOWN_USER] = 1;
	(void)guard_saw(&w->g, v, &d, w->now, 0);
}

/* Visitors that each did something, until cold memory is as full as it gets. */
static void fill(struct world *w)
{
	for (uint32_t i = 0; i < w->of; i++) {
		struct addr a = scattered(w, 1, i);
		struct guard_visit v;

		(void)guard_came(&w->g, &v, &a, false, w->now, 0);
		offend(w, &v, i);
		guard_left(&w->g, &v, 1, 1);
		w->now += 10;
	}
}

static int64_t nth(int64_t of_a_thousand)
{
	return took[SAMPLES * of_a_thousand / 1000];
}

static void report(const struct world *w, const char *what, bool last)
{
	qsort(took, SAMPLES, sizeof(took[0]), by_size);
	if (w->json)
		printf("  \"%s\": { \"median\": %lld, \"p99\": %lld }%s\n", what,
		       (long long)(nth(500) - w->clock_costs),
		       (long long)(nth(990) - w->clock_costs), last ? "" : ",");
	else
		printf("%-44s median %5lld ns   p99 %5lld ns\n", what,
		       (long long)(nth(500) - w->clock_costs),
		       (long long)(nth(990) - w->clock_costs));
}

/* Who comes next: drawn of `of` addresses of that seed, or (0) one after another. */
static void measure(struct world *w, uint64_t seed, uint32_t of)
{
	for (uint32_t i = 0; i < SAMPLES; i++) {
		struct addr a = scattered(w, seed,
					  of ? (uint32_t)(dice(&w->seed) % of) : i);
		struct guard_visit v;
		int64_t at;

		at = clock_ns();
		(void)guard_came(&w->g, &v, &a, false, w->now, 0);
		took[i] = clock_ns() - at;
		if (w->offending)
			offend(w, &v, i);
		guard_left(&w->g, &v, 1, 1);
		w->now += 10;
	}
}

static void measure_clock(struct world *w)
{
	for (uint32_t i = 0; i < SAMPLES; i++) {
		int64_t at = clock_ns();

		took[i] = clock_ns() - at;
	}
	qsort(took, SAMPLES, sizeof(took[0]), by_size);
	w->clock_costs = nth(500);
}

/* All of them banned, each once. */
static void ban_active(struct world *w)
{
	struct guard_deeds d = { 0 };

	d.seen[EV_TLS_PIPELINED] = 1;
	for (uint32_t i = 0; i < w->active; i++) {
		struct addr a = scattered(w, 77, i);
		struct guard_visit v;

		(void)guard_came(&w->g, &v, &a, false, w->now, 0);
		(void)guard_saw(&w->g, &v, &d, w->now, 0);
		guard_left(&w->g, &v, 1, 1);
	}
}

static bool take_argument(struct world *w, const char *arg)
{
	char *end = NULL;
	unsigned long of = strtoul(arg, &end, 10);

	if (strcmp(arg, "--json") == 0)
		w->json = true;
	else if (*end || of < FEWEST || of > MILLION)
		return false;
	else
		w->of = (uint32_t)of;
	return true;
}

int main(int argc, char **argv)
{
	struct world w = { .seed = 9, .now = MS_DAY, .of = MILLION };
	struct memory_counts counts;

	for (int i = 1; i < argc; i++)
		if (!take_argument(&w, argv[i])) {
			fprintf(stderr, "usage: decide [--json] [%d..%d]\n", FEWEST,
				MILLION);
			return 2;
		}
	w.active = w.of / ACTIVE_SHARE;
	w.apart = SPACE / w.of;
	make_memory(&w);
	make_list(&w);
	fill(&w);
	memory_counts(&w.g.memory, &counts);
	measure_clock(&w);
	if (w.json)
		printf("{\n");
	else
		printf("%u cold rows, %u hot rows, %llu listed prefixes; clock %lld ns\n",
		       counts.cold_used, counts.hot_used,
		       (unsigned long long)access_entries(w.g.access, w.g.access_n),
		       (long long)w.clock_costs);
	measure(&w, 55, w.active); /* warm up: they become hot */
	measure(&w, 55, w.active);
	report(&w, "one of 10,000 who come and go", false);
	ban_active(&w);
	measure(&w, 77, w.active);
	report(&w, "one of 10,000 who are banned", false);
	measure(&w, 1, w.of);
	report(&w, "one of a million who were here before", false);
	measure(&w, 5, 0);
	report(&w, "one who was never here", false);
	w.offending = true;
	measure(&w, 6, 0);
	report(&w, "the same, and each offends", true);
	if (w.json)
		printf("}\n");
	return 0;
}
