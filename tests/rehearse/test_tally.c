#include "expect.h"

#include <math.h>
#include <sys/wait.h>
#include <unistd.h>

#include "rehearse/tally.h"

static const ms_t phases[PHASE_COUNT] = { 2000, 10000, 60000, 10000 };

static struct tally open_tally(unsigned workers)
{
	const bool honest[] = { false, true };
	struct tally t;
	struct err e;

	if (!tally_open(&t, workers, 2, honest, phases, &e))
		fail_msg("%s", e.text);
	return t;
}

static void a_slot_holds_what_is_not_longer_than_it_and_at_most_a_64th_shorter(void **state)
{
	uint64_t dices = 1;

	(void)state;
	for (int i = 0; i < 1000000; i++) {
		uint64_t us = dice(&dices) >> (32 + dice_below(&dices, 32));
		unsigned slot = tally_slot(us);

		if (slot >= TALLY_LATENCIES || tally_slot_us(slot) < us ||
		    tally_slot_us(slot) > us + us / 64 ||
		    (slot && tally_slot_us(slot - 1) >= us))
			fail_msg("%llu us is in slot %u, up to %llu",
				 (unsigned long long)us, slot,
				 (unsigned long long)tally_slot_us(slot));
	}
}

static void the_last_slot_is_longer_than_an_hour_and_takes_all_that_is_longer(void **state)
{
	(void)state;
	assert_true(tally_slot_us(TALLY_LATENCIES - 1) > 3600u * 1000000u);
	assert_int_equal(tally_slot(UINT64_MAX), TALLY_LATENCIES - 1);
	assert_int_equal(tally_slot((uint64_t)1 << 32), TALLY_LATENCIES - 1);
	assert_int_equal(tally_slot(((uint64_t)1 << 32) - 1), TALLY_LATENCIES - 1);
}

static int by_size(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

/* Against sorting: the smallest one that at least this share are not above. */
static void quantiles_are_the_exact_ones_to_two_per_cent(void **state)
{
	enum { N = 20000 };
	static const double shares[] = { 0, 0.001, 0.25, 0.5, 0.9, 0.95, 0.99, 0.999, 1 };
	struct tally_phase *p = calloc(1, sizeof(*p));
	uint64_t *us = calloc(N, sizeof(*us));
	uint64_t dices = 7;

	(void)state;
	for (size_t n = 1; n <= N; n = n * 3 + 1) {
		*p = (struct tally_phase){ 0 };
		for (size_t i = 0; i < n; i++) {
			us[i] = dice(&dices) >> (34 + dice_below(&dices, 20));
			p->latency[tally_slot(us[i])]++;
			p->latency_most = fmax(p->latency_most, (double)us[i] / 1000);
		}
		qsort(us, n, sizeof(*us), by_size);
		for (size_t i = 0; i < COUNT_OF(shares); i++) {
			size_t rank = (size_t)ceil(shares[i] * (double)n);
			double exact = (double)us[rank ? rank - 1 : 0] / 1000;
			double got = tally_quantile(p, shares[i]);

			if (got < exact || got > exact * 1.02)
				fail_msg("%g of %zu: %f, not %f", shares[i], n, got,
					 exact);
		}
	}
	free(us);
	free(p);
}

static void no_quantile_of_nothing(void **state)
{
	static struct tally_phase p;

	(void)state;
	assert_true(isnan(tally_quantile(&p, 0.5)));
}

static void a_phase_begins_where_the_one_before_it_ends(void **state)
{
	static const struct {
		ms_t since;
		enum phase phase;
	} rows[] = {
		{ -1, PHASE_WARM },	 { 0, PHASE_WARM },	 { 1999, PHASE_WARM },
		{ 2000, PHASE_QUIET },	 { 11999, PHASE_QUIET }, { 12000, PHASE_ATTACK },
		{ 71999, PHASE_ATTACK }, { 72000, PHASE_AFTER }, { 81999, PHASE_AFTER },
		{ 82000, PHASE_COUNT },
	};
	struct tally t = open_tally(1);

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++)
		assert_int_equal(tally_phase_of(&t, rows[i].since), rows[i].phase);
	tally_close(&t);
}

static void a_phase_of_no_length_is_never_there(void **state)
{
	const ms_t only_attack[PHASE_COUNT] = { 0, 0, 1000, 0 };
	const bool honest[] = { false };
	struct tally t;
	struct err e;

	(void)state;
	assert_true(tally_open(&t, 1, 1, honest, only_attack, &e));
	assert_int_equal(tally_phase_of(&t, 0), PHASE_ATTACK);
	assert_int_equal(tally_phase_of(&t, 1000), PHASE_COUNT);
	tally_close(&t);
}

static void buckets_are_as_long_as_the_run_asks_for(void **state)
{
	static const struct {
		ms_t attack, bucket;
	} rows[] = {
		{ 1000, 100 },	  { 48000, 100 },     { 48001, 200 },	   { 60000, 200 },
		{ 600000, 2000 }, { 3600000, 10000 }, { 14400000, 30000 },
	};
	const bool honest[] = { false };
	struct err e;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		const ms_t lengths[PHASE_COUNT] = { 0, 0, rows[i].attack, 0 };
		struct tally t;

		assert_true(tally_open(&t, 1, 1, honest, lengths, &e));
		assert_int_equal(t.bucket, rows[i].bucket);
		assert_int_equal(tally_bucket_of(&t, -5), 0);
		assert_int_equal(tally_bucket_of(&t, t.bucket - 1), 0);
		assert_int_equal(tally_bucket_of(&t, t.bucket), 1);
		assert_true(tally_bucket_of(&t, rows[i].attack + 12000) < BUCKETS_MAX ||
			    t.bucket * BUCKETS_MAX == rows[i].attack + 12000);
		assert_int_equal(tally_bucket_of(&t, 20 * MS_HOUR), BUCKETS_MAX - 1);
		tally_close(&t);
	}
}

static void what_other_processes_count_is_in_the_sums(void **state)
{
	enum { WORKERS = 3 };
	struct tally t = open_tally(WORKERS);
	struct tally_phase *p = calloc(1, sizeof(*p));
	struct tally_bucket b;

	(void)state;
	for (unsigned w = 0; w < WORKERS; w++) {
		pid_t pid = fork();

		if (pid == 0) {
			struct tally_actor *a = tally_at(&t, w, 1);

			a->phases[PHASE_QUIET].begun = 10 + w;
			a->phases[PHASE_QUIET].ended[STAGE_RCPT][END_NO] = 5;
			a->phases[PHASE_QUIET].latency[w] = 1;
			a->phases[PHASE_QUIET].latency_most = w;
			a->phases[PHASE_QUIET].again = 1;
			a->phases[PHASE_QUIET].no_port = w;
			a->phases[PHASE_ATTACK].begun = 1000;
			a->buckets[7].heard[STAGE_MAIL][2] = w;
			a->buckets[7].open = 2;
			a->samples[0].due_ms = 100 + w;
			t.cpu[w] = 0.5;
			*t.stop += 1;
			_exit(0);
		}
		assert_true(pid > 0 && waitpid(pid, NULL, 0) == pid);
	}
	tally_sum_phase(&t, 1, PHASE_QUIET, p);
	assert_int_equal(p->begun, 33);
	assert_int_equal(p->ended[STAGE_RCPT][END_NO], 15);
	assert_int_equal(p->latency[0] + p->latency[1] + p->latency[2], 3);
	assert_true(p->latency_most >= 2 && p->latency_most <= 2);
	assert_int_equal(p->again, 3);
	assert_int_equal(p->no_port, 3);
	tally_sum_bucket(&t, 1, 7, &b);
	assert_int_equal(b.heard[STAGE_MAIL][2], 3);
	assert_int_equal(b.open, 6);
	tally_sum_bucket(&t, 0, 7, &b);
	assert_int_equal(b.open, 0);
	for (unsigned w = 0; w < WORKERS; w++)
		assert_int_equal(tally_at(&t, w, 1)->samples[0].due_ms, 100 + w);
	assert_null(tally_at(&t, 0, 0)->samples);
	assert_int_equal(*t.stop, 3);
	free(p);
	tally_close(&t);
	tally_close(&t);
}

static void the_most_open_was_open_at_the_same_time(void **state)
{
	struct tally t = open_tally(2);
	struct tally_phase *p = calloc(1, sizeof(*p));
	unsigned before = tally_bucket_of(&t, 12000) - 1, at = tally_bucket_of(&t, 30000);

	(void)state;
	/* another phase; two peaks at different times; one at the same time */
	tally_at(&t, 0, 0)->buckets[before].open = 5000;
	tally_at(&t, 0, 0)->buckets[at].open = 100;
	tally_at(&t, 1, 0)->buckets[at + 1].open = 90;
	tally_sum_phase(&t, 0, PHASE_ATTACK, p);
	assert_int_equal(p->open_most, 100);
	tally_at(&t, 1, 0)->buckets[at].open = 60;
	tally_sum_phase(&t, 0, PHASE_ATTACK, p);
	assert_int_equal(p->open_most, 160);
	tally_sum_phase(&t, 0, PHASE_QUIET, p);
	assert_int_equal(p->open_most, 5000);
	/* between two buckets, in one worker */
	tally_at(&t, 1, 0)->phases[PHASE_ATTACK].open_most = 170;
	tally_sum_phase(&t, 0, PHASE_ATTACK, p);
	assert_int_equal(p->open_most, 170);
	free(p);
	tally_close(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
			a_slot_holds_what_is_not_longer_than_it_and_at_most_a_64th_shorter),
		cmocka_unit_test(
			the_last_slot_is_longer_than_an_hour_and_takes_all_that_is_longer),
		cmocka_unit_test(quantiles_are_the_exact_ones_to_two_per_cent),
		cmocka_unit_test(no_quantile_of_nothing),
		cmocka_unit_test(a_phase_begins_where_the_one_before_it_ends),
		cmocka_unit_test(a_phase_of_no_length_is_never_there),
		cmocka_unit_test(buckets_are_as_long_as_the_run_asks_for),
		cmocka_unit_test(what_other_processes_count_is_in_the_sums),
		cmocka_unit_test(the_most_open_was_open_at_the_same_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
