/*
 * When which destination gets how much, and when a failed delivery is tried again. Time is
 * told, and deliveries are played: nothing here depends on how fast anything is.
 */
#include "expect.h"

#include "store/schedule.h"

#define FIRST	(5 * MS_MINUTE)
#define LONGEST (4 * MS_HOUR)
#define WALL	1800000000000

static const uint64_t key[2] = { 1, 2 };

struct play {
	struct schedule s;
	ms_t now;
};

static int set_up_with(void **state, size_t most)
{
	struct play *p = calloc(1, sizeof(*p));

	p->now = 1000000;
	schedule_open(&p->s, key, most);
	schedule_clock(&p->s, p->now, WALL);
	p->s.per_destination = 20;
	p->s.total = 200;
	p->s.retry_first = FIRST;
	p->s.retry_max = LONGEST;
	*state = p;
	return 0;
}

static int set_up(void **state)
{
	return set_up_with(state, DESTINATIONS_MAX);
}

static int tear_down(void **state)
{
	struct play *p = *state;

	schedule_close(&p->s);
	free(p);
	return 0;
}

static void pass(struct play *p, ms_t time)
{
	p->now += time;
	schedule_clock(&p->s, p->now, WALL + p->now);
}

static struct destination *made(struct play *p, enum hop hop, const char *target)
{
	int64_t id = schedule_id(&p->s, hop, span_str(target));
	struct destination *d = schedule_add(&p->s, id, hop, span_str(target));

	assert_non_null(d);
	return d;
}

/* One that has as much mail as anybody wants. */
static struct destination *busy(struct play *p, const char *target)
{
	struct destination *d = made(p, HOP_MX, target);

	destination_due(&p->s, d, 0);
	return d;
}

static void know(struct play *p, struct destination *d)
{
	destination_answered(&p->s, d, SPAN_NONE);
}

/* The next turn, carried out: what is due for it is taken, and there is more. */
static struct destination *turn(struct play *p, unsigned *count)
{
	struct destination *d = schedule_turn(&p->s, 64, true, count);

	if (!d)
		return NULL;
	for (unsigned i = 0; i < *count; i++)
		assert_true(destination_begin(&p->s, d));
	destination_taking(&p->s, d);
	destination_taken(&p->s, d, 0);
	return d;
}

static void all_turns(struct play *p)
{
	unsigned count;

	while (turn(p, &count))
		;
}

/* ---- pauses ------------------------------------------------------------------------------- */

static void each_pause_is_twice_the_last_up_to_the_longest(void **unused)
{
	ms_t whole = FIRST;

	(void)unused;
	for (uint32_t tries = 1; tries < 20; tries++) {
		ms_t pause = pace_pause(tries, FIRST, LONGEST, 42);

		assert_true(pause <= whole && pause >= whole - whole / 8);
		whole = whole * 2 < LONGEST ? whole * 2 : LONGEST;
	}
	assert_true(pace_pause(UINT32_MAX, FIRST, LONGEST, 1) <= LONGEST);
}

static void what_failed_together_is_not_tried_together(void **unused)
{
	ms_t first = pace_pause(1, FIRST, LONGEST, 1);
	int others = 0;

	(void)unused;
	for (uint64_t seed = 2; seed < 12; seed++)
		others += pace_pause(1, FIRST, LONGEST, seed) != first;
	assert_true(others > 7);
	assert_int_equal(pace_pause(1, FIRST, LONGEST, 1), first);
}

static void a_window_grows_by_one_after_as_many_successes_as_it_is_wide(void **unused)
{
	struct window w = { 0 };
	unsigned won = 0;

	(void)unused;
	for (unsigned size = WINDOW_FIRST; size < 10; size++) {
		assert_int_equal(window_size(&w, 10), size);
		for (unsigned i = 0; i < size; i++, won++)
			window_won(&w, 10);
	}
	assert_int_equal(window_size(&w, 10), 10);
	window_won(&w, 10);
	assert_int_equal(window_size(&w, 10), 10);
}

static void a_window_is_halved_by_each_failure_and_never_nothing(void **unused)
{
	struct window w = { .size = 20 };

	(void)unused;
	window_lost(&w);
	assert_int_equal(window_size(&w, 100), 10);
	for (int i = 0; i < 10; i++)
		window_lost(&w);
	assert_int_equal(window_size(&w, 100), 1);
	assert_int_equal(window_size(&w, 1), 1);
}

/* ---- one destination ------------------------------------------------------------------------- */

static void a_new_one_gets_two_and_more_as_it_answers(void **state)
{
	struct play *p = *state;
	struct destination *d = busy(p, "a.example");
	unsigned count;

	assert_ptr_equal(turn(p, &count), d);
	assert_int_equal(count, WINDOW_FIRST);
	assert_null(turn(p, &count));
	for (int round = 0; round < 1000; round++) {
		destination_over(&p->s, d);
		know(p, d);
		all_turns(p);
	}
	assert_int_equal(d->under_way, 20);
}

static void one_that_does_not_answer_is_left_alone_and_then_asked_by_one(void **state)
{
	struct play *p = *state;
	struct destination *d = busy(p, "a.example");
	unsigned count;

	assert_non_null(turn(p, &count));
	destination_failed(&p->s, d);
	destination_over(&p->s, d);
	destination_over(&p->s, d);
	assert_null(turn(p, &count));
	pass(p, FIRST / 10 - FIRST / 80 - 1);
	assert_null(turn(p, &count));
	pass(p, FIRST / 80 + 1);
	assert_ptr_equal(turn(p, &count), d);
	assert_int_equal(count, 1);
	assert_null(turn(p, &count));
	know(p, d);
	assert_ptr_equal(turn(p, &count), d);
}

static void failures_that_were_under_way_together_count_once(void **state)
{
	struct play *p = *state;
	struct destination *d = busy(p, "a.example");

	for (int i = 0; i < 20; i++)
		destination_failed(&p->s, d);
	assert_int_equal(d->fails, 1);
	pass(p, d->not_before - p->now);
	destination_failed(&p->s, d);
	assert_int_equal(d->fails, 2);
	for (int i = 0; i < 100; i++) {
		pass(p, d->not_before - p->now);
		destination_failed(&p->s, d);
		assert_true(d->not_before - p->now <= LONGEST);
	}
}

static void one_that_says_421_gets_half_and_in_the_end_a_pause(void **state)
{
	struct play *p = *state;
	struct destination *d = busy(p, "a.example");

	d->window.size = 16;
	destination_pressed(&p->s, d, SPAN("mx.example"));
	assert_int_equal(window_size(&d->window, 20), 8);
	assert_int_equal(d->fails, 0);
	for (int i = 0; i < 4; i++)
		destination_pressed(&p->s, d, SPAN("mx.example"));
	assert_int_equal(d->fails, 1);
}

static void mail_that_is_not_due_waits(void **state)
{
	struct play *p = *state;
	struct destination *d = made(p, HOP_MX, "a.example");
	unsigned count;

	destination_due(&p->s, d, WALL + p->now + 100);
	schedule_clock(&p->s, p->now, WALL + p->now);
	assert_null(turn(p, &count));
	pass(p, 99);
	assert_null(turn(p, &count));
	pass(p, 1);
	assert_ptr_equal(turn(p, &count), d);
}

/* ---- many ---------------------------------------------------------------------------------------- */

static void one_message_is_not_kept_waiting_by_a_million_for_others(void **state)
{
	struct play *p = *state;
	struct destination *d;
	unsigned count;
	char name[32];

	for (int i = 0; i < 50; i++) {
		snprintf(name, sizeof(name), "big%d.example", i);
		d = busy(p, name);
		know(p, d);
		d->window.size = 20;
	}
	all_turns(p);
	/* an eighth is kept for who has nothing under way */
	assert_in_range(p->s.under_way, 200 - 200 / 8, 199);
	d = busy(p, "one.example");
	assert_ptr_equal(turn(p, &count), d);
	know(p, d);
	destination_over(&p->s, d);
}

static void ten_thousand_dead_hosts_leave_room_for_those_that_live(void **state)
{
	struct play *p = *state;
	struct destination *d;
	unsigned count, dead = 0;
	char name[32];

	for (int i = 0; i < 10000; i++) {
		snprintf(name, sizeof(name), "dead%d.example", i);
		d = busy(p, name);
		destination_failed(&p->s, d);
	}
	pass(p, FIRST);
	while (turn(p, &count))
		dead += count;
	assert_int_equal(dead, 200 / 4);
	for (int i = 0; i < 100; i++) {
		snprintf(name, sizeof(name), "good%d.example", i);
		d = busy(p, name);
		know(p, d);
		assert_ptr_equal(turn(p, &count), d);
		while (count-- > 0)
			destination_over(&p->s, d);
		destination_taking(&p->s, d);
	}
}

static void ten_thousand_unknown_hosts_leave_room_for_those_that_live(void **state)
{
	struct play *p = *state;
	unsigned count, tried = 0;
	struct destination *d;
	char name[32];

	for (int i = 0; i < 10000; i++) {
		snprintf(name, sizeof(name), "new%d.example", i);
		busy(p, name);
	}
	while (turn(p, &count))
		tried += count;
	assert_int_equal(tried, 200 / 2);
	d = busy(p, "good.example");
	know(p, d);
	assert_ptr_equal(turn(p, &count), d);
}

static void the_newest_of_the_unknown_is_soon_tried(void **state)
{
	struct play *p = *state;
	struct destination *d, *got = NULL;
	unsigned count;
	char name[32];

	for (int i = 0; i < 1000; i++) {
		snprintf(name, sizeof(name), "new%d.example", i);
		busy(p, name);
	}
	d = busy(p, "newest.example");
	for (int i = 0; i < 4 && got != d; i++)
		got = turn(p, &count);
	assert_ptr_equal(got, d);
}

static void turns_go_round(void **state)
{
	struct play *p = *state;
	struct destination *list[10];
	unsigned turns[10] = { 0 }, count;
	char name[32];

	for (int i = 0; i < 10; i++) {
		snprintf(name, sizeof(name), "d%d.example", i);
		list[i] = busy(p, name);
		know(p, list[i]);
	}
	for (int round = 0; round < 1000; round++) {
		struct destination *d = turn(p, &count);

		assert_non_null(d);
		for (int i = 0; i < 10; i++)
			turns[i] += list[i] == d;
		while (count-- > 0)
			destination_over(&p->s, d);
	}
	for (int i = 0; i < 10; i++)
		assert_int_equal(turns[i], 100);
}

static void domains_that_share_a_server_share_its_room(void **state)
{
	struct play *p = *state;
	struct destination *list[10], *d;
	unsigned count, sum = 0;
	char name[32];

	for (int i = 0; i < 10; i++) {
		snprintf(name, sizeof(name), "d%d.example", i);
		list[i] = busy(p, name);
		list[i]->window.size = 20;
		destination_answered(&p->s, list[i], SPAN("mx.shared.example"));
	}
	list[0]->host->window.size = 7;
	while (turn(p, &count))
		sum += count;
	assert_int_equal(sum, 7);
	for (int i = 0; i < 10 && sum; i++)
		while (list[i]->under_way && sum) {
			destination_over(&p->s, list[i]);
			sum--;
		}
	/* who waits for the server is found when it has room, and each comes to its turn */
	for (int round = 0; round < 100; round++) {
		d = turn(p, &count);
		assert_non_null(d);
		d->place = (uint32_t)round + 1;
		while (count-- > 0)
			destination_over(&p->s, d);
	}
	for (int i = 0; i < 10; i++)
		assert_true(list[i]->place > 0);
}

static void nobody_gets_more_than_all_may(void **state)
{
	struct play *p = *state;
	unsigned count;
	char name[32];

	p->s.total = 10;
	for (int i = 0; i < 100; i++) {
		snprintf(name, sizeof(name), "d%d.example", i);
		know(p, busy(p, name));
	}
	while (turn(p, &count))
		assert_true(p->s.under_way <= 10);
	assert_int_equal(p->s.under_way, 10);
}

static void mailboxes_do_not_wait_for_the_network(void **state)
{
	struct play *p = *state;
	struct destination *d = made(p, HOP_MAILDIR, "");
	unsigned count;

	p->s.total = 1;
	busy(p, "a.example");
	all_turns(p);
	destination_due(&p->s, d, 0);
	assert_ptr_equal(schedule_turn(&p->s, 5, false, &count), d);
	assert_int_equal(count, 5);
}

/* ---- the table ------------------------------------------------------------------------------------- */

static void a_hundred_thousand_destinations_each_get_their_turn(void **state)
{
	struct play *p = *state;
	unsigned count, turns = 0;
	struct destination *d;
	char name[32];

	p->s.total = 10000;
	for (int i = 0; i < DESTINATIONS_MAX; i++) {
		snprintf(name, sizeof(name), "d%d.example", i);
		busy(p, name);
	}
	assert_null(schedule_add(&p->s, 1, HOP_MX, SPAN("one-more.example")));
	while ((d = schedule_turn(&p->s, 0, true, &count))) {
		assert_true(destination_begin(&p->s, d));
		destination_taking(&p->s, d);
		destination_taken(&p->s, d, MS_NEVER);
		destination_answered(&p->s, d, SPAN("mx.example"));
		destination_over(&p->s, d);
		turns++;
	}
	assert_int_equal(turns, DESTINATIONS_MAX);
	/* now that nothing waits for them there is room */
	assert_non_null(schedule_add(&p->s, 1, HOP_MX, SPAN("one-more.example")));
	assert_int_equal(p->s.table.count, DESTINATIONS_MAX);
}

static int set_up_small(void **state)
{
	return set_up_with(state, 3);
}

static void who_has_mail_or_is_in_use_is_not_put_out(void **state)
{
	struct play *p = *state;
	struct destination *waits = busy(p, "waits.example");
	struct destination *held = made(p, HOP_MX, "held.example");
	struct destination *rests = made(p, HOP_MX, "rests.example");

	destination_hold(&p->s, held);
	assert_non_null(rests);
	assert_non_null(schedule_add(&p->s, 9, HOP_MX, SPAN("new.example")));
	assert_null(schedule_find(&p->s, HOP_MX, SPAN("rests.example")));
	assert_ptr_equal(schedule_find(&p->s, HOP_MX, SPAN("waits.example")), waits);
	assert_ptr_equal(schedule_find(&p->s, HOP_MX, SPAN("held.example")), held);
	destination_hold(&p->s, schedule_find(&p->s, HOP_MX, SPAN("new.example")));
	assert_null(schedule_add(&p->s, 10, HOP_MX, SPAN("other.example")));
	destination_let_go(&p->s, held);
	assert_non_null(schedule_add(&p->s, 10, HOP_MX, SPAN("other.example")));
}

static void who_has_something_new_takes_the_place_of_one_that_waits(void **state)
{
	struct play *p = *state;
	struct destination *dead = busy(p, "dead.example");
	struct destination *works = busy(p, "works.example");
	struct destination *held = busy(p, "held.example");
	unsigned count;

	know(p, works);
	assert_ptr_equal(turn(p, &count), works);
	destination_hold(&p->s, held);
	destination_failed(&p->s, dead);
	assert_null(schedule_add(&p->s, 9, HOP_MX, SPAN("new.example")));
	assert_true(schedule_make_room(&p->s));
	assert_true(p->s.overflow);
	assert_null(schedule_find(&p->s, HOP_MX, SPAN("dead.example")));
	destination_hold(&p->s, schedule_add(&p->s, 9, HOP_MX, SPAN("new.example")));
	/* the others are in use */
	assert_false(schedule_make_room(&p->s));
}

static void destinations_are_found_by_what_they_are(void **state)
{
	struct play *p = *state;
	struct destination *d;
	BUF(out, 100);

	d = made(p, HOP_SMTP, "a:25");
	assert_ptr_not_equal(made(p, HOP_LMTP, "a:25"), d);
	assert_ptr_equal(schedule_find(&p->s, HOP_SMTP, SPAN("a:25")), d);
	assert_null(schedule_find(&p->s, HOP_SMTP, SPAN("b:25")));
	assert_true(schedule_id(&p->s, HOP_SMTP, SPAN("a:25")) == d->id);
	assert_true(schedule_id(&p->s, HOP_LMTP, SPAN("a:25")) != d->id);
	/* ids of older programs were counted from 1 */
	assert_true(d->id > INT64_C(1) << 61);
	destination_print(d, &out);
	expect_span("word", buf_span(&out), SPAN("smtp:a:25"));
	assert_null(schedule_add(&p->s, 9, HOP_COUNT, SPAN("")));
}

/* ---- against a plain model ------------------------------------------------------------------------ */

/* Whatever happens in whatever order: sums agree with those made by looking at all. */
static void sums_stay_right(void **state)
{
	struct play *p = *state;
	struct destination *list[20];
	uint64_t seed = 7;
	char name[32];

	p->s.total = 40;
	for (int i = 0; i < 20; i++) {
		snprintf(name, sizeof(name), "d%d.example", i);
		list[i] = busy(p, name);
	}
	for (int step = 0; step < 200000; step++) {
		struct destination *d;
		unsigned count, sum = 0, trials = 0;
		char host[16];

		seed = seed * 6364136223846793005u + 1442695040888963407u;
		d = list[(seed >> 33) % 20];
		snprintf(host, sizeof(host), "mx%u", (unsigned)(seed >> 40) % 5);
		switch ((seed >> 50) % 6) {
		case 0:
			turn(p, &count);
			break;
		case 1:
			if (d->under_way)
				destination_over(&p->s, d);
			break;
		case 2:
			destination_answered(&p->s, d, span_str(host));
			break;
		case 3:
			destination_failed(&p->s, d);
			break;
		case 4:
			destination_pressed(&p->s, d, span_str(host));
			break;
		case 5:
			pass(p, (ms_t)(seed >> 20) % MS_MINUTE);
			break;
		}
		for (int i = 0; i < 20; i++) {
			sum += list[i]->under_way;
			trials += list[i]->trials;
			assert_true(list[i]->trials <= list[i]->under_way);
			assert_true(list[i]->at_host <= list[i]->under_way);
		}
		assert_int_equal(sum, p->s.under_way);
		assert_int_equal(trials, p->s.trials[OF_NEW] + p->s.trials[OF_DEAD]);
		assert_true(sum <= 40);
	}
}

#define WITH(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_pause_is_twice_the_last_up_to_the_longest),
		cmocka_unit_test(what_failed_together_is_not_tried_together),
		cmocka_unit_test(
			a_window_grows_by_one_after_as_many_successes_as_it_is_wide),
		cmocka_unit_test(a_window_is_halved_by_each_failure_and_never_nothing),
		WITH(a_new_one_gets_two_and_more_as_it_answers),
		WITH(one_that_does_not_answer_is_left_alone_and_then_asked_by_one),
		WITH(failures_that_were_under_way_together_count_once),
		WITH(one_that_says_421_gets_half_and_in_the_end_a_pause),
		WITH(mail_that_is_not_due_waits),
		WITH(one_message_is_not_kept_waiting_by_a_million_for_others),
		WITH(ten_thousand_dead_hosts_leave_room_for_those_that_live),
		WITH(ten_thousand_unknown_hosts_leave_room_for_those_that_live),
		WITH(the_newest_of_the_unknown_is_soon_tried),
		WITH(turns_go_round),
		WITH(domains_that_share_a_server_share_its_room),
		WITH(nobody_gets_more_than_all_may),
		WITH(mailboxes_do_not_wait_for_the_network),
		WITH(a_hundred_thousand_destinations_each_get_their_turn),
		cmocka_unit_test_setup_teardown(who_has_mail_or_is_in_use_is_not_put_out,
						set_up_small, tear_down),
		cmocka_unit_test_setup_teardown(
			who_has_something_new_takes_the_place_of_one_that_waits,
			set_up_small, tear_down),
		WITH(destinations_are_found_by_what_they_are),
		WITH(sums_stay_right),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
