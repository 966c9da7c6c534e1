#include "expect.h"

#include <math.h>

#include "rehearse/crowd.h"

#define BEGAN 500000
#define ENDS  (BEGAN + 60000)
#define SEED  42

static struct crowd open_share(const struct actor *a, unsigned worker, unsigned workers)
{
	struct crowd c;
	struct err e;

	if (!crowd_open(&c, a, 3, worker, workers, SEED, BEGAN, ENDS, &e))
		fail_msg("%s", e.text);
	return c;
}

static struct crowd open_crowd(const struct actor *a)
{
	return open_share(a, 0, 1);
}

/* A clock that goes from one due time to the next, and visits that end at once. */
struct play {
	struct crowd_visit *visits;
	size_t n, cap;
	size_t skipped;
};

static void keep(struct play *p, const struct crowd_visit *v)
{
	if (p->n == p->cap) {
		p->cap = p->cap ? p->cap * 2 : 1024;
		p->visits = realloc(p->visits, p->cap * sizeof(*p->visits));
	}
	p->visits[p->n++] = *v;
}

static void play(struct play *p, struct crowd *c, enum end end, enum stage stage)
{
	double now = BEGAN, until;

	for (;;) {
		struct crowd_visit v;

		switch (crowd_next(c, now, &v, &until)) {
		case CROWD_VISIT:
			if (v.due > now || (!v.retry && now - v.due > 1e-6))
				fail_msg("due at %f, begun at %f", v.due, now);
			keep(p, &v);
			crowd_ended(c, &v, end, stage, now);
			break;
		case CROWD_SKIPPED:
			p->skipped++;
			break;
		case CROWD_WAIT:
			if (until >= (double)MS_NEVER)
				return;
			if (until <= now)
				fail_msg("waits at %f until %f", now, until);
			now = until;
			break;
		}
	}
}

static struct play played(const struct actor *a, unsigned workers, enum end end,
			  enum stage stage)
{
	struct play p = { 0 };

	for (unsigned w = 0; w < workers; w++) {
		struct crowd c = open_share(a, w, workers);

		play(&p, &c, end, stage);
		crowd_close(&c);
	}
	return p;
}

static int by_number(const void *a, const void *b)
{
	const struct crowd_visit *x = a, *y = b;

	return x->number < y->number ? -1 : x->number > y->number;
}

static const struct actor bots = {
	.name = "bots", .addresses = 1000, .visits = 26, .parallel = 500
};
static const struct actor pairs = {
	.name = "pairs", .addresses = 2, .visits = 5000, .parallel = 50
};
static const struct actor stream = {
	.name = "stream", .addresses = 70, .rate = 400, .parallel = 50
};
static const struct actor clock_work = { .name = "clock",
					 .addresses = 4,
					 .rate = 8,
					 .parallel = 200,
					 .even = true,
					 .honest = true };
static const struct actor single = {
	.name = "single", .addresses = 1, .rate = 50, .parallel = 9
};
static const struct actor rows_of_visits = {
	.name = "rows", .addresses = 300, .visits = 4, .parallel = 50, .even = true
};

/* Whoever plays them: the same numbers, addresses and times. */
static void the_visits_of_all_workers_are_those_of_one(void **state)
{
	static const struct actor *const actors[] = {
		&bots, &pairs, &stream, &clock_work, &single, &rows_of_visits,
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(actors); i++) {
		struct play one = played(actors[i], 1, END_NO, STAGE_RCPT);

		qsort(one.visits, one.n, sizeof(*one.visits), by_number);
		for (size_t k = 1; k < one.n; k++)
			assert_true(one.visits[k - 1].number < one.visits[k].number);
		for (unsigned workers = 2; workers <= 7; workers++) {
			struct play p = played(actors[i], workers, END_NO, STAGE_RCPT);

			expect_number(actors[i]->name, (int64_t)p.n, (int64_t)one.n);
			expect_number(actors[i]->name, (int64_t)p.skipped, 0);
			qsort(p.visits, p.n, sizeof(*p.visits), by_number);
			for (size_t k = 0; k < p.n; k++) {
				assert_int_equal(p.visits[k].number, one.visits[k].number);
				assert_int_equal(p.visits[k].address,
						 one.visits[k].address);
				assert_memory_equal(&p.visits[k].due, &one.visits[k].due,
						    sizeof(double));
			}
			free(p.visits);
		}
		free(one.visits);
	}
}

static void each_address_comes_as_often_as_it_was_told(void **state)
{
	unsigned *came = calloc(bots.addresses, sizeof(*came));
	unsigned quarter[4] = { 0 };
	struct play p = played(&bots, 3, END_NO, STAGE_RCPT);

	(void)state;
	assert_int_equal(p.n, 26000);
	for (size_t i = 0; i < p.n; i++) {
		came[p.visits[i].address]++;
		quarter[(int)(p.visits[i].due - BEGAN) / 15000]++;
	}
	for (unsigned i = 0; i < bots.addresses; i++)
		assert_int_equal(came[i], 26);
	for (int i = 0; i < 4; i++) /* 6500 +- six times sqrt(26000 * 1/4 * 3/4) */
		assert_in_range(quarter[i], 6080, 6920);
	free(came);
	free(p.visits);
}

/* Of events at random, the gaps are exponential: 1/e of them are longer than the mean. */
static void an_open_loop_comes_at_random_at_its_rate(void **state)
{
	struct play p = played(&stream, 1, END_DONE, STAGE_OTHER);
	size_t longer = 0;

	(void)state;
	assert_in_range(p.n, 23100, 24900); /* 24000 +- six times its root */
	for (size_t i = 1; i < p.n; i++) {
		longer += p.visits[i].due - p.visits[i - 1].due > 2.5;
		assert_int_equal(p.visits[i].address,
				 (p.visits[i - 1].address + 1) % stream.addresses);
	}
	assert_true(fabs((double)longer / (double)p.n - exp(-1)) < 0.02);
	free(p.visits);
}

static void even_gaps_are_even(void **state)
{
	struct play p = played(&clock_work, 1, END_DONE, STAGE_OTHER);

	(void)state;
	assert_int_equal(p.n, 480);
	for (size_t i = 0; i < p.n; i++)
		assert_true(fabs(p.visits[i].due - (BEGAN + (double)i * 125)) < 1e-6);
	free(p.visits);
	p = played(&rows_of_visits, 1, END_DONE, STAGE_OTHER);
	assert_int_equal(p.n, 1200);
	for (size_t i = 0; i < p.n; i++)
		assert_true(fabs(p.visits[i].due - (BEGAN + (double)i * 50)) < 1e-6);
	free(p.visits);
}

static void another_seed_is_another_crowd(void **state)
{
	struct crowd a = open_crowd(&bots), b;
	struct err e;
	struct crowd_visit v;
	double first, second;

	(void)state;
	assert_true(crowd_open(&b, &bots, 3, 0, 1, SEED + 1, BEGAN, ENDS, &e));
	assert_int_equal(crowd_next(&a, BEGAN, &v, &first), CROWD_WAIT);
	assert_int_equal(crowd_next(&b, BEGAN, &v, &second), CROWD_WAIT);
	assert_true(first > second || first < second);
	crowd_close(&b);
	/* and so is another actor of the same scenario */
	assert_true(crowd_open(&b, &bots, 4, 0, 1, SEED, BEGAN, ENDS, &e));
	assert_int_equal(crowd_next(&b, BEGAN, &v, &second), CROWD_WAIT);
	assert_true(first > second || first < second);
	crowd_close(&a);
	crowd_close(&b);
}

static void attackers_who_find_no_room_are_skipped(void **state)
{
	const struct actor a = {
		.name = "a", .addresses = 4, .rate = 10, .parallel = 2, .even = true
	};
	struct crowd c = open_crowd(&a);
	struct crowd_visit v, first;
	double until;

	(void)state;
	assert_int_equal(crowd_next(&c, BEGAN + 250, &first, &until), CROWD_VISIT);
	assert_int_equal(crowd_next(&c, BEGAN + 250, &v, &until), CROWD_VISIT);
	assert_int_equal(crowd_next(&c, BEGAN + 250, &v, &until), CROWD_SKIPPED);
	assert_int_equal(v.number, 2);
	assert_true(fabs(v.due - (BEGAN + 200)) < 1e-6);
	assert_int_equal(crowd_next(&c, BEGAN + 250, &v, &until), CROWD_WAIT);
	assert_true(fabs(until - (BEGAN + 300)) < 1e-6);
	crowd_ended(&c, &first, END_DONE, STAGE_OTHER, BEGAN + 260);
	assert_int_equal(crowd_next(&c, BEGAN + 310, &v, &until), CROWD_VISIT);
	assert_int_equal(v.number, 3);
	/* who is late when the phase ends is skipped, room or not */
	crowd_ended(&c, &v, END_DONE, STAGE_OTHER, BEGAN + 320);
	assert_int_equal(crowd_next(&c, ENDS, &v, &until), CROWD_SKIPPED);
	assert_int_equal(v.number, 4);
	crowd_close(&c);
}

static void honest_ones_wait_and_their_time_runs(void **state)
{
	const struct actor a = { .name = "a",
				 .addresses = 4,
				 .rate = 10,
				 .parallel = 1,
				 .even = true,
				 .honest = true };
	struct crowd c = open_crowd(&a);
	struct crowd_visit v;
	double until;

	(void)state;
	assert_int_equal(crowd_next(&c, BEGAN + 250, &v, &until), CROWD_VISIT);
	for (unsigned i = 1; i < 3; i++) {
		struct crowd_visit next;

		assert_int_equal(crowd_next(&c, BEGAN + 250, &next, &until), CROWD_WAIT);
		assert_true(until >= (double)MS_NEVER);
		crowd_ended(&c, &v, END_DONE, STAGE_OTHER, BEGAN + 250);
		assert_int_equal(crowd_next(&c, BEGAN + 250, &v, &until), CROWD_VISIT);
		assert_int_equal(v.number, i);
		assert_true(fabs(v.due - (BEGAN + i * 100)) < 1e-6);
	}
	/* who was due before the end may still begin after it */
	crowd_ended(&c, &v, END_DONE, STAGE_OTHER, ENDS + 5);
	assert_int_equal(crowd_next(&c, ENDS + 5, &v, &until), CROWD_VISIT);
	assert_int_equal(v.number, 3);
	/* who still waits when all is over is skipped, and counted */
	unsigned skipped = 0;

	c.over = true;
	while (crowd_next(&c, ENDS, &v, &until) == CROWD_SKIPPED)
		skipped++;
	assert_int_equal(skipped, 600 - 4);
	assert_true(until >= (double)MS_NEVER);
	crowd_close(&c);
}

static void a_closed_loop_keeps_its_number_open(void **state)
{
	const struct actor a = { .name = "a", .addresses = 5, .parallel = 7, .pause = 1000 };
	struct crowd c = open_crowd(&a);
	struct crowd_visit v[7], extra;
	unsigned came[5] = { 0 };
	double until;

	(void)state;
	for (unsigned i = 0; i < 7; i++) {
		assert_int_equal(crowd_next(&c, BEGAN, &v[i], &until), CROWD_VISIT);
		assert_int_equal(v[i].number, i);
		came[v[i].address]++;
	}
	for (unsigned i = 0; i < 5; i++)
		assert_in_range(came[i], 1, 2);
	assert_int_equal(crowd_next(&c, BEGAN, &extra, &until), CROWD_WAIT);
	assert_true(until >= (double)MS_NEVER);
	crowd_ended(&c, &v[3], END_NO, STAGE_RCPT, BEGAN + 50);
	assert_int_equal(crowd_next(&c, BEGAN + 50, &extra, &until), CROWD_WAIT);
	assert_true(fabs(until - (BEGAN + 1050)) < 1e-6);
	assert_int_equal(crowd_next(&c, BEGAN + 1050, &extra, &until), CROWD_VISIT);
	assert_int_equal(extra.number, 7);
	assert_int_equal(c.open, 7);
	crowd_close(&c);
}

static void a_closed_loop_ends_with_its_phase(void **state)
{
	const struct actor a = { .name = "a", .addresses = 5, .parallel = 1 };
	struct crowd c = open_crowd(&a);
	struct crowd_visit v;
	double until;

	(void)state;
	assert_int_equal(crowd_next(&c, ENDS - 1, &v, &until), CROWD_VISIT);
	crowd_ended(&c, &v, END_NO, STAGE_RCPT, ENDS + 1);
	assert_int_equal(crowd_next(&c, ENDS + 1, &v, &until), CROWD_WAIT);
	assert_true(until >= (double)MS_NEVER);
	crowd_close(&c);
}

/* Nothing of the outside world slows this one down, so the crowd itself must. */
static void who_cannot_connect_waits_before_the_next_try(void **state)
{
	const struct actor a = { .name = "a", .addresses = 5, .parallel = 3 };
	struct play p = played(&a, 1, END_DROPPED, STAGE_CONNECT);

	(void)state;
	assert_in_range(p.n, 3 * 5990, 3 * 6001);
	free(p.visits);
	p = played(&a, 1, END_OVER, STAGE_HELO);
	assert_in_range(p.n, 3 * 5990, 3 * 6001);
	free(p.visits);
}

static void parallel_and_ramp_are_shared_out_exactly(void **state)
{
	(void)state;
	for (unsigned parallel = 1; parallel < 40; parallel += 3)
		for (unsigned workers = 1; workers < 9; workers++) {
			const struct actor a = { .name = "a",
						 .addresses = 6,
						 .ramp = 50,
						 .parallel = parallel };
			unsigned all = 0;
			double ramp = 0;

			for (unsigned w = 0; w < workers; w++) {
				struct crowd c = open_share(&a, w, workers);

				all += c.parallel;
				ramp += c.ramp;
				crowd_close(&c);
			}
			assert_int_equal(all, parallel);
			assert_true(fabs(ramp - 50) < 1e-9);
		}
}

static void a_ramp_bounds_new_connections(void **state)
{
	const struct actor a = {
		.name = "a", .addresses = 5, .parallel = 100000, .ramp = 200
	};
	struct crowd c = open_crowd(&a);
	struct crowd_visit v;
	double until;
	unsigned n = 0;

	(void)state;
	for (double now = BEGAN; now < BEGAN + 10000; now = until) {
		while (crowd_next(&c, now, &v, &until) == CROWD_VISIT) {
			n++;
			assert_true(v.due >= now && v.due <= now);
		}
		assert_true(until > now);
	}
	assert_in_range(n, 1999, 2001);
	/* a stall is not made up for at once */
	n = 0;
	while (crowd_next(&c, BEGAN + 20000, &v, &until) == CROWD_VISIT)
		n++;
	assert_int_equal(n, 20);
	crowd_close(&c);
}

static void the_same_visit_comes_again_when_it_was_told_to(void **state)
{
	struct actor a = { .name = "a",
			   .addresses = 100,
			   .rate = 0.02,
			   .parallel = 10,
			   .even = true,
			   .honest = true };
	struct crowd c;
	struct crowd_visit v, again;
	double until;

	(void)state;
	a.on_stage[STAGE_RCPT] = (struct reaction){ REACT_RETRY, 1, 5000, false, true };
	c = open_crowd(&a);
	assert_int_equal(crowd_next(&c, BEGAN, &v, &until), CROWD_VISIT);
	assert_true(crowd_ended(&c, &v, END_LATER, STAGE_RCPT, BEGAN + 100));
	assert_int_equal(crowd_next(&c, BEGAN + 100, &again, &until), CROWD_WAIT);
	assert_true(fabs(until - (BEGAN + 5100)) < 1e-6);
	assert_int_equal(crowd_next(&c, BEGAN + 5101, &again, &until), CROWD_VISIT);
	assert_int_equal(again.number, v.number);
	assert_int_equal(again.address, v.address);
	assert_int_equal(again.retry, 1);
	assert_true(again.due == v.due); /* it has waited since then */
	/* a refusal elsewhere, a success, and one that is too late are the end of it */
	assert_false(crowd_ended(&c, &again, END_LATER, STAGE_MAIL, BEGAN + 5200));
	c.open++;
	assert_false(crowd_ended(&c, &again, END_DONE, STAGE_RCPT, BEGAN + 5200));
	c.open++;
	assert_false(crowd_ended(&c, &again, END_LATER, STAGE_RCPT, ENDS - 4999));
	assert_int_equal(c.open, 0);
	crowd_close(&c);
}

static void a_retry_may_come_from_elsewhere(void **state)
{
	struct actor a = { .name = "a", .addresses = 100, .rate = 1, .parallel = 100 };
	unsigned elsewhere = 0, retries = 0;
	struct play p;

	(void)state;
	a.on_end[END_LATER] = (struct reaction){ REACT_RETRY, 1, 20000, true, true };
	p = played(&a, 2, END_LATER, STAGE_MAIL);
	qsort(p.visits, p.n, sizeof(*p.visits), by_number);
	for (size_t i = 1; i < p.n; i++)
		if (p.visits[i].number == p.visits[i - 1].number) {
			retries++;
			elsewhere += p.visits[i].address != p.visits[i - 1].address;
		}
	assert_true(retries > 20 && elsewhere > retries * 9 / 10);
	free(p.visits);
}

static void who_leaves_does_not_come_back(void **state)
{
	struct actor a = bots;
	struct crowd c;
	struct play p = { 0 };

	(void)state;
	a.on_stage[STAGE_CONNECT] = (struct reaction){ REACT_LEAVE, 1, 0, false, true };
	c = open_crowd(&a);
	play(&p, &c, END_DROPPED, STAGE_CONNECT);
	assert_int_equal(p.n, a.addresses);
	assert_int_equal(c.left, a.addresses);
	crowd_close(&c);
	free(p.visits);

	/* in a closed loop the sessions of those that left go on with others */
	a.visits = 0;
	a.parallel = 10;
	p = (struct play){ 0 };
	c = open_crowd(&a);
	play(&p, &c, END_NO, STAGE_CONNECT);
	assert_int_equal(p.n, a.addresses);
	assert_int_equal(c.left, a.addresses);
	crowd_close(&c);
	free(p.visits);
}

static void one_of_ten_stays_if_the_chance_of_leaving_is_nine(void **state)
{
	struct actor a = bots;
	struct play p;

	(void)state;
	a.on_end[END_SILENT] = (struct reaction){ REACT_LEAVE, 0.9, 0, false, true };
	a.visits = 2;
	p = played(&a, 2, END_SILENT, STAGE_CONNECT);
	assert_in_range(p.n, 1000 + 50, 1000 + 150);
	free(p.visits);
	/* silence is no refusal: what they do about those does not count */
	a.on_end[END_SILENT].set = false;
	a.on_stage[STAGE_CONNECT] = (struct reaction){ REACT_LEAVE, 1, 0, false, true };
	p = played(&a, 2, END_SILENT, STAGE_CONNECT);
	assert_int_equal(p.n, 2000);
	free(p.visits);
}

/* Each of two workers has both addresses, and yet they are counted once. */
static void those_that_left_several_workers_are_counted_once(void **state)
{
	struct actor a = pairs;
	unsigned left = 0;

	(void)state;
	a.on_end[END_NO] = (struct reaction){ REACT_LEAVE, 1, 0, false, true };
	for (unsigned w = 0; w < 5; w++) {
		struct crowd c = open_share(&a, w, 5);
		struct play p = { 0 };

		play(&p, &c, END_NO, STAGE_RCPT);
		assert_int_equal(p.n, 2);
		left += c.left;
		crowd_close(&c);
		free(p.visits);
	}
	assert_int_equal(left, 2);
}

static void workers_without_a_share_have_nothing_to_do(void **state)
{
	const struct actor a = {
		.name = "a", .addresses = 100, .rate = 1000, .parallel = 2
	};
	struct crowd c = open_share(&a, 2, 4);
	struct crowd_visit v;
	double until;

	(void)state;
	assert_int_equal(crowd_next(&c, ENDS - 1, &v, &until), CROWD_WAIT);
	assert_true(until >= (double)MS_NEVER);
	crowd_close(&c);
	crowd_close(&c);
}

/* Against a list that is searched: nobody is forgotten, nobody comes before their time. */
static void retries_come_in_the_order_of_their_times(void **state)
{
	enum { N = 500 };
	struct actor a = { .name = "a", .addresses = N, .parallel = N };
	uint64_t dices = 5;
	struct crowd_visit v[N], again;
	double until, last = 0;
	struct crowd c;
	unsigned came = 0;

	(void)state;
	a.on_end[END_NO] = (struct reaction){ REACT_RETRY, 1, 1000, false, true };
	c = open_crowd(&a);
	for (unsigned i = 0; i < N; i++)
		assert_int_equal(crowd_next(&c, BEGAN, &v[i], &until), CROWD_VISIT);
	for (unsigned i = 0; i < N; i++)
		assert_true(crowd_ended(&c, &v[i], END_NO, STAGE_MAIL,
					BEGAN + (double)dice_below(&dices, 5000)));
	for (double now = BEGAN; now < ENDS && came < N; now = until)
		while (crowd_next(&c, now, &again, &until) == CROWD_VISIT) {
			assert_true(again.due >= last && again.due <= now);
			assert_int_equal(again.address, v[again.number].address);
			last = again.due;
			came++;
		}
	assert_int_equal(came, N);
	crowd_close(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_visits_of_all_workers_are_those_of_one),
		cmocka_unit_test(each_address_comes_as_often_as_it_was_told),
		cmocka_unit_test(an_open_loop_comes_at_random_at_its_rate),
		cmocka_unit_test(even_gaps_are_even),
		cmocka_unit_test(another_seed_is_another_crowd),
		cmocka_unit_test(attackers_who_find_no_room_are_skipped),
		cmocka_unit_test(honest_ones_wait_and_their_time_runs),
		cmocka_unit_test(a_closed_loop_keeps_its_number_open),
		cmocka_unit_test(a_closed_loop_ends_with_its_phase),
		cmocka_unit_test(who_cannot_connect_waits_before_the_next_try),
		cmocka_unit_test(parallel_and_ramp_are_shared_out_exactly),
		cmocka_unit_test(a_ramp_bounds_new_connections),
		cmocka_unit_test(the_same_visit_comes_again_when_it_was_told_to),
		cmocka_unit_test(a_retry_may_come_from_elsewhere),
		cmocka_unit_test(who_leaves_does_not_come_back),
		cmocka_unit_test(one_of_ten_stays_if_the_chance_of_leaving_is_nine),
		cmocka_unit_test(those_that_left_several_workers_are_counted_once),
		cmocka_unit_test(workers_without_a_share_have_nothing_to_do),
		cmocka_unit_test(retries_come_in_the_order_of_their_times),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
