#include "tests/unit/yard.h"

/*
 * A week of relay bots in virtual time (and the same in two minutes): each tries once in
 * a session, keeps going after any answer in it, and gives up nine times of ten when the
 * connection itself is refused. Beside them honest senders, some of them neighbours.
 */

enum { BOTS = 10000, TRIES = 26, HONEST = 200, QUARTERS = 4, SLOTS = 168 };

struct bot {
	struct addr addr;
	unsigned tries;
	bool gone;
};

static struct bot bots[BOTS], honest[HONEST];

/* A queue of who is due when: a binary heap. */
struct due {
	ms_t when;
	uint32_t who; /* bots, then honest ones */
};

static struct due heap[BOTS + HONEST];
static size_t heap_n;

static void push(ms_t when, uint32_t who)
{
	size_t i = heap_n++;

	for (; i && heap[(i - 1) / 2].when > when; i = (i - 1) / 2)
		heap[i] = heap[(i - 1) / 2];
	heap[i] = (struct due){ when, who };
}

static struct due pop(void)
{
	struct due top = heap[0], last = heap[--heap_n];
	size_t i = 0;

	for (size_t c; (c = 2 * i + 1) < heap_n; i = c) {
		if (c + 1 < heap_n && heap[c + 1].when < heap[c].when)
			c++;
		if (last.when <= heap[c].when)
			break;
		heap[i] = heap[c];
	}
	heap[i] = last;
	return top;
}

struct run {
	ms_t length;
	bool exponential; /* pauses as of chance; else half to one and a half of the mean */
	bool neighbours; /* half of the honest ones live among the bots */
	uint32_t in_slot[SLOTS];
	uint32_t attempts, relayed, refused_honest, sent;
};

static double chance(uint64_t *seed)
{
	return (double)(dice(seed) >> 11) / 9007199254740992.0;
}

/* -ln(1 - u), by the series of atanh: good enough for a pause. */
static double logarithm(double u)
{
	double x = 1 - u, sum = 0, z, term;

	while (x < 0.5) {
		x *= 2;
		sum += 0.69314718055994531;
	}
	z = (1 - x) / (1 + x);
	term = z;
	for (int i = 1; i < 40; i += 2, term *= z * z)
		sum += 2 * term / i;
	return sum;
}

static ms_t pause_of(const struct run *r, uint64_t *seed)
{
	double mean = (double)r->length / TRIES, u = chance(seed);

	return 1 + (ms_t)(mean * (r->exponential ? logarithm(u) : 0.5 + u));
}

/* Ten in each of a thousand blocks of 2,048 addresses. */
static struct addr address_of_bot(uint32_t i)
{
	uint32_t block = i % 1000, host = 1 + (i / 1000) * 197;

	return addr_v4((uint8_t)(20 + (block >> 5)), (uint8_t)((block & 31) << 3),
		       (uint8_t)(host >> 8), (uint8_t)host);
}

static struct addr address_of_honest(const struct run *r, uint32_t i)
{
	if (r->neighbours && i % 2)
		return addr_v4((uint8_t)(20 + (i >> 5)), (uint8_t)((i & 31) << 3), 7, 7);
	return addr_v4(198, 18, (uint8_t)(i * 8), 9);
}

static void attempt(struct yard *y, struct run *r, struct bot *b, uint64_t *seed, ms_t end)
{
	struct guard_visit v;
	struct guard_verdict d = come(y, &v, b->addr);

	r->attempts++;
	b->tries++;
	if (in(d)) {
		struct guard_deeds deeds = { .recipient = dice(seed),
					     .sender = dice(seed) };

		r->relayed++;
		deeds.seen[EV_RELAY_DENIED] = 1;
		(void)saw(y, &v, &deeds);
		did(y, &v, EV_LOST, 1);
		leave(y, &v);
	} else if (dice_below(seed, 10)) {
		b->gone = true;
	}
	if (!b->gone && y->now < end)
		push(y->now + pause_of(r, seed), (uint32_t)(b - bots));
}

static void send(struct yard *y, struct run *r, struct bot *b, uint64_t *seed,
		 uint32_t who)
{
	r->sent++;
	if (!in(deliver(y, b->addr)))
		r->refused_honest++;
	push(y->now + pause_of(r, seed), who);
}

static void play(struct run *r)
{
	uint64_t seed = 2024;
	struct yard y;
	ms_t start, end;

	yard_open(&y, 65536, 1 << 20);
	heap_n = 0;
	for (uint32_t i = 0; i < HONEST; i++) {
		honest[i] = (struct bot){ .addr = address_of_honest(r, i) };
		/* the neighbours are old friends: a prefix of bots is closed to newcomers */
		if (r->neighbours && i % 2)
			become_good(&y, honest[i].addr);
	}
	start = y.now + MS_HOUR;
	end = start + r->length;
	for (uint32_t i = 0; i < BOTS; i++) {
		bots[i] = (struct bot){ .addr = address_of_bot(i) };
		push(start + (ms_t)(chance(&seed) * (double)r->length / TRIES), i);
	}
	for (uint32_t i = 0; i < HONEST; i++)
		push(start + (ms_t)(chance(&seed) * (double)r->length / TRIES), BOTS + i);
	while (heap_n && heap[0].when < end) {
		struct due due = pop();

		yard_wait(&y, due.when - y.now);
		if (due.who >= BOTS) {
			send(&y, r, &honest[due.who - BOTS], &seed, due.who);
			continue;
		}
		r->in_slot[(due.when - start) * SLOTS / r->length]++;
		attempt(&y, r, &bots[due.who], &seed, end);
	}
	yard_close(&y);
}

/* Attempts in one slot (an hour of the week), the mean of those from first to last. */
static double rate(const struct run *r, unsigned first, unsigned last)
{
	double sum = 0;

	for (unsigned i = first; i < last; i++)
		sum += r->in_slot[i];
	return sum / (last - first);
}

static void ends_well(const char *why, const struct run *r)
{
	double before = rate(r, 0, 4), after = rate(r, SLOTS / QUARTERS, SLOTS);
	double at_once = rate(r, SLOTS / QUARTERS, SLOTS / QUARTERS + 4);

	print_message("# %s: %.0f an hour at first, %.1f at a quarter, %.1f after it; "
		      "%u attempts, %u of them heard\n",
		      why, before, at_once, after, r->attempts, r->relayed);
	expect_true(why, r->in_slot[0] > 0 && after < before * 0.05);
	expect_number("honest ones refused", r->refused_honest, 0);
	expect_true("they all sent", r->sent >= HONEST * (TRIES - 4));
}

static void a_week_of_relay_bots_is_over_by_a_quarter_of_it(void **unused)
{
	static struct run r;

	(void)unused;
	r = (struct run){ .length = 7 * MS_DAY, .neighbours = true };
	play(&r);
	ends_well("a week", &r);
	expect_true("at a quarter itself",
		    rate(&r, SLOTS / QUARTERS, SLOTS / QUARTERS + 4) <
			    rate(&r, 0, 4) * 0.05);
}

static void so_is_one_whose_bots_come_as_chance_will_have_it(void **unused)
{
	static struct run r;

	(void)unused;
	r = (struct run){ .length = 7 * MS_DAY, .neighbours = true, .exponential = true };
	play(&r);
	ends_well("a week of chance", &r);
}

static void so_is_one_of_two_minutes(void **unused)
{
	static struct run r;

	(void)unused;
	r = (struct run){ .length = 2 * MS_MINUTE, .neighbours = true };
	play(&r);
	ends_well("two minutes", &r);
	expect_true("at a quarter itself",
		    rate(&r, SLOTS / QUARTERS, SLOTS / QUARTERS + 4) <
			    rate(&r, 0, 4) * 0.05);
}

static void strangers_apart_from_the_bots_are_never_refused(void **unused)
{
	static struct run r;

	(void)unused;
	r = (struct run){ .length = 7 * MS_DAY };
	play(&r);
	ends_well("a week beside strangers", &r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_week_of_relay_bots_is_over_by_a_quarter_of_it),
		cmocka_unit_test(so_is_one_whose_bots_come_as_chance_will_have_it),
		cmocka_unit_test(so_is_one_of_two_minutes),
		cmocka_unit_test(strangers_apart_from_the_bots_are_never_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
