#include "guard/snapshot.h"
#include "tests/unit/yard.h"

static struct yard y;

static int set_up(void **unused)
{
	(void)unused;
	yard_open(&y, 16384, 65536);
	return 0;
}

static int tear_down(void **unused)
{
	(void)unused;
	yard_close(&y);
	return 0;
}

static void refused(const char *why, struct guard_verdict d, enum rule rule)
{
	if (d.step < STEP_REFUSE || d.rule != rule)
		fail_msg("%s: step %s, rule %s", why, guard_step_word[d.step],
			 rule_table[d.rule].word ? rule_table[d.rule].word : "none");
}

static void let_in(const char *why, struct guard_verdict d)
{
	if (d.step != STEP_NONE || d.rule != RULE_NONE || d.observed)
		fail_msg("%s: step %s, rule %s", why, guard_step_word[d.step],
			 rule_table[d.rule].word ? rule_table[d.rule].word : "none");
}

/* ---- the ladder ---------------------------------------------------------------------------- */

static void a_stranger_comes_in(void **unused)
{
	struct guard_visit v;
	struct guard_verdict d = come(&y, &v, at("192.0.2.7"));

	(void)unused;
	let_in("nothing is known", d);
	expect_false("known", d.known_good);
	expect_false("waited", d.passed);
	expect_number("it is here", row_of(&y, v.addr, LEVEL_CLIENT).sessions, 1);
	expect_number("in its prefix", row_of(&y, v.addr, LEVEL_WIDE).sessions, 1);
	leave(&y, &v);
	leave(&y, &v);
	expect_number("it was here", row_of(&y, v.addr, LEVEL_CLIENT).sessions, 0);
	expect_number("it came once", row_of(&y, v.addr, LEVEL_NEAR).connects, 1);
}

static void offences_are_delayed_then_answered_554_then_end_the_session(void **unused)
{
	struct guard_visit v;
	struct guard_mood m;

	(void)unused;
	let_in("at first", come(&y, &v, at("192.0.2.7")));
	m = did(&y, &v, EV_RELAY_DENIED, 1);
	expect_number("10 points", m.step, STEP_NONE);
	m = did(&y, &v, EV_RELAY_DENIED, 1);
	expect_number("20 points", m.step, STEP_DELAY);
	m = did(&y, &v, EV_RELAY_DENIED, 3);
	expect_number("50 points", m.step, STEP_LATE);
	expect_number("the rule", m.rule, RULE_LATE);
	m = did(&y, &v, EV_RELAY_DENIED, 5);
	expect_number("100 points", m.step, STEP_REFUSE);
	expect_number("the rule", m.rule, RULE_POINTS);
	leave(&y, &v);
	refused("from now on", come(&y, &v, at("192.0.2.7")), RULE_POINTS);
	leave(&y, &v);
	expect_number("nobody is here", row_of(&y, v.addr, LEVEL_WIDE).sessions, 0);
	let_in("its neighbour", come(&y, &v, at("192.0.2.8")));
}

static void waiting_makes_points_fade_by_half_each_half_life(void **unused)
{
	struct addr a = at("192.0.2.7");
	struct guard_hot row;

	(void)unused;
	visit(&y, a, EV_RELAY_DENIED, 8);
	row = row_of(&y, a, LEVEL_CLIENT);
	expect_number("now", (int64_t)(guard_fast(&row, &y.g.limits, y.now) + 0.5), 80);
	expect_number(
		"later",
		(int64_t)(guard_fast(&row, &y.g.limits, y.now + 20 * MS_MINUTE) + 0.5),
		20);
	expect_number("history", (int64_t)(guard_slow(&row, &y.g.limits, y.now) + 0.5),
		      10);
	expect_number("is never more by waiting less",
		      (int64_t)(guard_fast(&row, &y.g.limits, 0) + 0.5), 80);
}

static void a_ban_is_refused_then_dropped_then_for_the_firewall(void **unused)
{
	struct addr a = at("192.0.2.7");
	struct guard_verdict d;

	(void)unused;
	visit(&y, a, EV_TLS_PIPELINED, 1);
	for (unsigned i = 1; i <= 60; i++) {
		d = visit(&y, a, EV_NONE, 0);
		refused("banned", d, RULE_POINTS);
		expect_number("how", d.step, i < 10 ? STEP_REFUSE : STEP_DROP);
		expect_number("the row's step", row_of(&y, a, LEVEL_CLIENT).ban.step,
			      i < 10   ? STEP_REFUSE
			      : i < 50 ? STEP_DROP
				       : STEP_KERNEL);
		yard_wait(&y, MS_SECOND);
	}
	expect_number("tries", row_of(&y, a, LEVEL_CLIENT).ban.tries, 60);
	expect_number("counted", seen_of(&y, a, LEVEL_CLIENT, EV_CAME_AGAIN), 60);
	expect_number("refused", row_of(&y, a, LEVEL_WIDE).refused, 60);
}

static void who_came_through_a_front_is_never_for_the_firewall(void **unused)
{
	struct addr a = at("192.0.2.7");
	struct guard_visit v;

	(void)unused;
	(void)guard_came(&y.g, &v, &a, true, y.now, y.wall);
	did(&y, &v, EV_TLS_PIPELINED, 1);
	leave(&y, &v);
	for (unsigned i = 0; i < 200; i++)
		refused("banned", visit(&y, a, EV_NONE, 0), RULE_POINTS);
	expect_number("dropped", row_of(&y, a, LEVEL_CLIENT).ban.step, STEP_DROP);
}

static void a_ban_ends_and_the_next_is_twice_as_long(void **unused)
{
	struct addr a = at("192.0.2.7");
	ms_t was = 0;

	(void)unused;
	for (unsigned i = 0; i < 5; i++) {
		struct guard_hot row;
		ms_t length;

		visit(&y, a, EV_TLS_PIPELINED, 1);
		row = row_of(&y, a, LEVEL_CLIENT);
		length = (ms_t)(row.ban.until - row.ban.since) * MS_SECOND;
		expect_number("so many bans", row.ban.level, i + 1);
		expect_true("about 10m, 20m, ...",
			    length >= (8 * MS_MINUTE << i) - MS_SECOND);
		expect_true("longer than the last", length > was);
		refused("in force", visit(&y, a, EV_NONE, 0), RULE_POINTS);
		yard_wait(&y, length + 2 * MS_SECOND);
		let_in("over", visit(&y, a, EV_NONE, 0));
		was = length;
	}
}

static void each_half_life_of_the_history_takes_one_ban_off(void **unused)
{
	struct addr a = at("192.0.2.7");
	struct guard_ban ban;

	(void)unused;
	for (unsigned i = 0; i < 4; i++) {
		visit(&y, a, EV_TLS_PIPELINED, 1);
		ban = row_of(&y, a, LEVEL_CLIENT).ban;
		expect_number("so many", ban.level, i + 1);
		yard_wait(&y, (ms_t)(ban.until - ban.since + 1) * MS_SECOND);
	}
	yard_wait(&y, 2 * y.g.limits.half_slow);
	visit(&y, a, EV_TLS_PIPELINED, 1);
	expect_number("two less and one more", row_of(&y, a, LEVEL_CLIENT).ban.level, 3);
	yard_wait(&y, 9 * y.g.limits.half_slow);
	visit(&y, a, EV_TLS_PIPELINED, 1);
	expect_number("as if it were the first", row_of(&y, a, LEVEL_CLIENT).ban.level, 1);
}

static void a_ban_is_never_longer_than_the_longest_and_a_fifth(void **unused)
{
	struct addr a = at("192.0.2.7");
	ms_t least = MS_NEVER, most = 0;

	(void)unused;
	y.g.limits.ban_max = MS_HOUR;
	y.g.limits.half_slow = 365 * MS_DAY;
	for (unsigned i = 0; i < 60; i++) {
		struct guard_hot row;
		ms_t length;

		visit(&y, a, EV_TLS_PIPELINED, 1);
		row = row_of(&y, a, LEVEL_CLIENT);
		length = (ms_t)(row.ban.until - row.ban.since) * MS_SECOND;
		expect_true("the cap", length <= MS_HOUR * 6 / 5 + MS_SECOND);
		if (i >= 5) {
			least = length < least ? length : least;
			most = length > most ? length : most;
		}
		yard_wait(&y, length + 2 * MS_SECOND);
	}
	expect_true("at least four fifths", least >= MS_HOUR * 4 / 5 - MS_SECOND);
	expect_true("not all the same", most - least > MS_HOUR / 5);
}

static void a_ban_lasts_four_of_the_clients_own_pauses(void **unused)
{
	struct addr a = at("192.0.2.7");
	struct guard_hot row;

	(void)unused;
	for (unsigned i = 0; i < 3; i++) {
		yard_wait(&y, 6 * MS_HOUR);
		let_in("not yet", visit(&y, a, EV_RELAY_DENIED, 1));
	}
	row = row_of(&y, a, LEVEL_CLIENT);
	expect_true("a day, give or take",
		    row.ban.until - row.ban.since >= 24 * 3600 * 4 / 5 - 1);
}

static void notes_tell_a_bans_beginning_its_steps_and_its_end(void **unused)
{
	struct addr a = at("192.0.2.7");
	struct ban_note note;
	uint64_t seen = 0;
	bool lost;

	(void)unused;
	visit(&y, a, EV_TLS_PIPELINED, 1);
	for (unsigned i = 0; i < 60; i++)
		visit(&y, a, EV_NONE, 0);
	yard_wait(&y, MS_HOUR);
	visit(&y, a, EV_NONE, 0);
	for (enum guard_step step = STEP_REFUSE; step <= STEP_KERNEL; step++) {
		expect_true("a note", memory_next_note(&y.g.memory, &seen, &note, &lost));
		expect_number("its step", note.ban.step, step);
		expect_false("over", note.over);
	}
	expect_true("the last", memory_next_note(&y.g.memory, &seen, &note, &lost));
	expect_true("over", note.over);
	expect_number("its tries", note.ban.tries, 60);
	expect_false("no more", memory_next_note(&y.g.memory, &seen, &note, &lost));
}

static void a_flood_of_refusals_is_a_few_lines_whose_sum_is_exact(void **unused)
{
	struct addr a = at("192.0.2.7");
	uint64_t lines = 0, told = 0;
	struct guard_verdict d;

	(void)unused;
	visit(&y, a, EV_TLS_PIPELINED, 1);
	for (unsigned i = 0; i < 5000; i++) {
		d = visit(&y, a, EV_NONE, 0);
		if (i == 0)
			expect_true("the first", d.worth_a_line);
		if (!d.worth_a_line)
			continue;
		lines++;
		told += d.tries;
	}
	expect_true("few", lines >= 10 && lines <= 14);
	expect_number("exact", (int64_t)(told + row_of(&y, a, LEVEL_CLIENT).untold), 5000);
}

/* ---- history -------------------------------------------------------------------------------- */

static void a_relay_bot_is_refused_at_its_4th_try_at_three_and_a_half_a_day(void **unused)
{
	struct addr a = at("192.0.2.7");
	struct guard_hot row;

	(void)unused;
	for (unsigned i = 0; i < 3; i++) {
		let_in("one of three", visit(&y, a, EV_RELAY_DENIED, 1));
		yard_wait(&y, MS_DAY * 10 / 37);
	}
	refused("the fourth", visit(&y, a, EV_RELAY_DENIED, 1), RULE_HISTORY);
	yard_wait(&y, MS_DAY * 10 / 37);
	refused("the fifth", visit(&y, a, EV_RELAY_DENIED, 1), RULE_HISTORY);
	row = row_of(&y, a, LEVEL_CLIENT);
	expect_true("its rate before is told",
		    row.ban.before > 0.1f && row.ban.before < 0.3f);
}

static void a_burst_in_one_session_is_one_visit_of_the_history(void **unused)
{
	struct addr a = at("192.0.2.7");

	(void)unused;
	visit(&y, a, EV_RELAY_DENIED, 9);
	yard_wait(&y, MS_DAY);
	let_in("fast points are gone", visit(&y, a, EV_RELAY_DENIED, 9));
}

static void clumsiness_at_every_visit_never_makes_a_history(void **unused)
{
	struct addr a = at("192.0.2.7");

	(void)unused;
	for (unsigned i = 0; i < 2000; i++) {
		let_in("clumsy", visit(&y, a, EV_BAD_SEQUENCE, 1));
		yard_wait(&y, 5 * MS_MINUTE);
	}
}

static void tried_again_is_not_tried_anew(void **unused)
{
	struct addr a = at("192.0.2.7");

	(void)unused;
	for (unsigned i = 0; i < 7 * 24 * 60; i++) {
		struct guard_visit v;

		let_in("it retries every minute", come(&y, &v, a));
		expect_number("no delay", named(&y, &v, 17).step, STEP_NONE);
		leave(&y, &v);
		yard_wait(&y, MS_MINUTE);
	}
	expect_number("counted all the same",
		      seen_of(&y, a, LEVEL_CLIENT, EV_UNKNOWN_USER), 7 * 24 * 60);
}

static void many_different_names_are_refused_soon(void **unused)
{
	struct addr a = at("192.0.2.7");
	struct guard_visit v;
	unsigned n = 0;

	(void)unused;
	let_in("at first", come(&y, &v, a));
	while (named(&y, &v, ++n).step < STEP_REFUSE && n < 200)
		continue;
	expect_true("after some thirty", n >= 20 && n <= 60);
	leave(&y, &v);
	refused("at connect", visit(&y, a, EV_NONE, 0), RULE_POINTS);
}

/* ---- honest ones ----------------------------------------------------------------------------- */

static void accepted_messages_make_a_client_known_good(void **unused)
{
	struct addr a = at("192.0.2.7");
	struct guard_verdict d;

	(void)unused;
	become_good(&y, a);
	d = deliver(&y, a);
	expect_true("known", d.known_good);
	expect_number("its prefix knows", row_of(&y, a, LEVEL_NEAR).good_inside, 1);
	expect_number("and the wide one", row_of(&y, a, LEVEL_WIDE).good_inside, 1);
	yard_wait(&y, 100 * MS_DAY);
	d = visit(&y, a, EV_NONE, 0);
	expect_false("forgotten after months", d.known_good);
	expect_number("its prefix too", row_of(&y, a, LEVEL_NEAR).good_inside, 0);
}

static void standing_is_lost_by_own_deeds_and_comes_back(void **unused)
{
	struct addr a = at("192.0.2.7");

	(void)unused;
	become_good(&y, a);
	visit(&y, a, EV_RELAY_DENIED, 8);
	expect_number("lost", row_of(&y, a, LEVEL_NEAR).good_inside, 0);
	expect_false("lost", visit(&y, a, EV_NONE, 0).known_good);
	yard_wait(&y, MS_HOUR);
	expect_true("back", visit(&y, a, EV_NONE, 0).known_good);
	expect_number("counted once", row_of(&y, a, LEVEL_NEAR).good_inside, 1);
}

/* Each message has twenty recipients of a large list, and one in twenty is gone. */
static void a_list_server_with_dead_members_is_never_refused(void **unused)
{
	struct addr a = at("192.0.2.7");
	uint64_t seed = 3;

	(void)unused;
	for (unsigned i = 0; i < 10000; i++) {
		struct guard_visit v;

		let_in("the list", come(&y, &v, a));
		for (unsigned r = 0; r < 20; r++) {
			struct guard_mood m =
				dice_below(&seed, 20)
					? did(&y, &v, EV_RECIPIENT_OK, 1)
					: named(&y, &v, 1 + dice_below(&seed, 100000));

			if (m.step >= STEP_LATE)
				fail_msg("message %u: %s", i, guard_step_word[m.step]);
		}
		did(&y, &v, EV_MESSAGE_OK, 1);
		leave(&y, &v);
		yard_wait(&y, MS_SECOND);
	}
}

static void a_monitoring_probe_every_ten_seconds_is_never_refused(void **unused)
{
	struct addr a = at("192.0.2.7");

	(void)unused;
	for (unsigned i = 0; i < 20000; i++) {
		struct guard_visit v;
		struct guard_deeds d = { .name = 99, .no_ptr = true };

		let_in("the probe", come(&y, &v, a));
		d.seen[EV_NO_PTR] = d.seen[EV_HELO_NOT_FQDN] = d.seen[EV_NOTHING_SAID] = 1;
		expect_number("unhindered", saw(&y, &v, &d).step, STEP_NONE);
		leave(&y, &v);
		yard_wait(&y, 10 * MS_SECOND);
	}
}

/* A large sender: each retry of a message comes from another of its addresses. */
static void a_sender_pool_is_never_refused(void **unused)
{
	(void)unused;
	for (unsigned i = 0; i < 5000; i++) {
		struct addr a = addr_v4(198, 51, (uint8_t)(100 + i % 4), (uint8_t)(i * 7));

		let_in("the pool",
		       i % 20 ? deliver(&y, a) : visit(&y, a, EV_UNKNOWN_USER, 1));
		yard_wait(&y, MS_SECOND / 2);
	}
}

/* Two hundred users behind an address; one of them has caught something. */
static void a_login_makes_a_client_known_good(void **unused)
{
	struct guard_visit v = { 0 };
	struct addr a = at("192.0.2.7");

	(void)unused;
	expect_false("before", come(&y, &v, a).known_good);
	did(&y, &v, EV_AUTH_OK, 1);
	leave(&y, &v);
	expect_true("after it", visit(&y, a, EV_NONE, 0).known_good);
}

static void repeated_passwords_weigh_nothing_and_different_ones_ban(void **unused)
{
	struct addr stale = at("192.0.2.7"), guesser = at("203.0.113.7");

	(void)unused;
	expect_number("the first", visit(&y, stale, EV_AUTH_FAILED, 1).step, STEP_NONE);
	for (int minute = 0; minute < 3 * 24 * 60; minute++, yard_wait(&y, MS_MINUTE))
		expect_number("for days", visit(&y, stale, EV_AUTH_REPEATED, 1).step,
			      STEP_NONE);
	for (int i = 0; i < 12; i++)
		(void)visit(&y, guesser, EV_AUTH_FAILED, 1);
	expect_true("refused", visit(&y, guesser, EV_NONE, 0).step >= STEP_REFUSE);
}

static void who_mistypes_and_gets_in_is_forgiven(void **unused)
{
	struct addr a = at("192.0.2.7");

	(void)unused;
	for (int day = 0; day < 30; day++, yard_wait(&y, MS_DAY)) {
		struct guard_visit v = { 0 };

		expect_number("lets in", come(&y, &v, a).step, STEP_NONE);
		did(&y, &v, EV_AUTH_FAILED, 1);
		did(&y, &v, EV_AUTH_OK, 1);
		leave(&y, &v);
	}
}

/* On a train: all its five connections at once, six times an hour, and it never gets in. */
static void a_telephone_that_loses_its_network_is_never_refused(void **unused)
{
	struct addr a = at("192.0.2.7");
	struct guard_visit v;

	(void)unused;
	for (int tunnel = 0; tunnel < 7 * 24 * 6; tunnel++) {
		for (int i = 0; i < 5; i++) {
			let_in("the telephone", come(&y, &v, a));
			expect_true("is heard",
				    did(&y, &v, EV_AUTH_ABORTED, 1).step < STEP_LATE);
			leave(&y, &v);
			yard_wait(&y, MS_SECOND);
		}
		yard_wait(&y, 10 * MS_MINUTE - 5 * MS_SECOND);
	}
}

static void who_hangs_up_on_its_logins_fifty_times_a_minute_is_refused(void **unused)
{
	struct addr a = at("203.0.113.7");
	int times = 0;

	(void)unused;
	while (in(visit(&y, a, EV_AUTH_ABORTED, 1)) && times++ < 500)
		yard_wait(&y, MS_MINUTE / 50);
	expect_true("within two minutes", times >= 20 && times <= 100);
	expect_number("for its points", row_of(&y, a, LEVEL_CLIENT).ban.rule, RULE_POINTS);
	expect_number("all are counted", seen_of(&y, a, LEVEL_CLIENT, EV_AUTH_ABORTED),
		      times);
}

static void one_member_of_a_campaign_is_banned_at_once(void **unused)
{
	struct addr a = at("203.0.113.7");

	(void)unused;
	(void)visit(&y, a, EV_AUTH_TRAPPED, 1);
	expect_true("refused", visit(&y, a, EV_NONE, 0).step >= STEP_REFUSE);
}

static void a_known_good_gateway_is_not_banned_for_one_of_many(void **unused)
{
	struct addr a = at("192.0.2.7");
	unsigned ended = 0;

	(void)unused;
	for (unsigned i = 0; i < 400; i++) {
		let_in("mail", deliver(&y, a));
		yard_wait(&y, MS_MINUTE);
	}
	for (unsigned i = 0; i < 2000; i++) {
		if (i % 40 == 0) {
			struct guard_visit v;

			let_in("the infected one", come(&y, &v, a));
			ended += did(&y, &v, EV_RELAY_DENIED, 15).step == STEP_REFUSE;
			leave(&y, &v);
		} else {
			struct guard_visit v;

			let_in("the others", come(&y, &v, a));
			expect_true("heard",
				    did(&y, &v, EV_RECIPIENT_OK, 1).step < STEP_DELAY);
			did(&y, &v, EV_MESSAGE_OK, 1);
			leave(&y, &v);
		}
		yard_wait(&y, MS_MINUTE / 2);
	}
	expect_true("its sessions end", ended > 40);
}

static void a_gateway_that_turned_bad_altogether_is_banned(void **unused)
{
	struct addr a = at("192.0.2.7");
	unsigned n = 0;

	(void)unused;
	for (unsigned i = 0; i < 40; i++) {
		(void)deliver(&y, a);
		yard_wait(&y, MS_MINUTE);
	}
	while (in(visit(&y, a, EV_RELAY_DENIED, 20)) && n < 1000) {
		yard_wait(&y, MS_SECOND);
		n++;
	}
	expect_true("soon", n > 5 && n < 20);
}

/* ---- prefixes ---------------------------------------------------------------------------------- */

/* Each of so many addresses of 192.0.2.0/26 offends, one after the other. */
static void offend_from(unsigned first, unsigned count, enum event e, unsigned n)
{
	for (unsigned i = first; i < first + count; i++) {
		visit(&y, addr_v4(192, 0, 2, (uint8_t)i), e, n);
		yard_wait(&y, MS_SECOND);
	}
}

static void a_prefix_of_offenders_is_banned(void **unused)
{
	(void)unused;
	offend_from(1, 10, EV_RELAY_DENIED, 4);
	refused("a new address of it", visit(&y, at("192.0.2.60"), EV_NONE, 0),
		RULE_PREFIX);
	let_in("beyond it", visit(&y, at("192.0.2.70"), EV_NONE, 0));
}

static void a_few_offenders_do_not_make_a_prefix(void **unused)
{
	(void)unused;
	offend_from(1, 7, EV_RELAY_DENIED, 9);
	let_in("a new address", visit(&y, at("192.0.2.60"), EV_NONE, 0));
	visit(&y, at("192.0.2.1"), EV_RELAY_DENIED, 2);
	refused("an offender", visit(&y, at("192.0.2.1"), EV_NONE, 0), RULE_POINTS);
	let_in("the others are not", visit(&y, at("192.0.2.61"), EV_NONE, 0));
}

static void a_prefix_where_somebody_good_lives_is_not_banned(void **unused)
{
	(void)unused;
	become_good(&y, at("192.0.2.50"));
	offend_from(1, 20, EV_RELAY_DENIED, 8);
	let_in("a stranger there", visit(&y, at("192.0.2.60"), EV_NONE, 0));
	let_in("the good one", deliver(&y, at("192.0.2.50")));
}

/* In a full memory, or with a worker that died in the middle of its row. */
static void a_prefix_that_was_forgotten_is_spared_once_somebody_good_comes(void **unused)
{
	struct addr good = at("192.0.2.200");
	struct guard_hot *row;

	(void)unused;
	become_good(&y, good);
	for (enum guard_level l = LEVEL_NEAR; l < LEVEL_COUNT; l++) {
		row = memory_open_row(&y.g.memory, guard_key_of(&good, l), y.now);
		*row = (struct guard_hot){ .key = row->key };
		memory_close_row(&y.g.memory, row);
	}
	let_in("it comes", visit(&y, good, EV_NONE, 0));
	expect_number("one of the /26", row_of(&y, good, LEVEL_NEAR).good_inside, 1);
	expect_number("one of the /21", row_of(&y, good, LEVEL_WIDE).good_inside, 1);
	let_in("again", visit(&y, good, EV_NONE, 0));
	expect_number("still one", row_of(&y, good, LEVEL_WIDE).good_inside, 1);
}

static void a_known_good_client_is_not_banned_with_its_prefix(void **unused)
{
	struct guard_hot row;

	(void)unused;
	offend_from(1, 10, EV_RELAY_DENIED, 4);
	row = row_of(&y, at("192.0.2.60"), LEVEL_NEAR);
	expect_true("banned", guard_ban_holds(&row, y.now));
	/* it was known before: put it there by its own row */
	{
		struct addr a = at("192.0.2.50");
		struct guard_hot *own = memory_open_row(
			&y.g.memory, guard_key_of(&a, LEVEL_CLIENT), y.now);

		own->good = 20;
		own->last = memory_second(y.now);
		memory_close_row(&y.g.memory, own);
	}
	let_in("the good one", deliver(&y, at("192.0.2.50")));
	refused("the others", visit(&y, at("192.0.2.60"), EV_NONE, 0), RULE_PREFIX);
	/* also while nobody can say that it is one */
	{
		struct addr a = at("192.0.2.50");
		struct memory other = y.g.memory;
		struct guard_hot *held = memory_open_row(
			&other, guard_key_of(&a, LEVEL_CLIENT), y.now);
		struct guard_visit v;

		let_in("it cannot be told", come(&y, &v, a));
		memory_close_row(&other, held);
		leave(&y, &v);
	}
}

/* The firewall could not spare whoever is known-good by now. */
static void only_a_prefix_where_nobody_good_lives_is_for_the_firewall(void **unused)
{
	struct guard_key near;
	struct guard_hot *row;

	(void)unused;
	offend_from(1, 10, EV_RELAY_DENIED, 4);
	near = row_of(&y, at("192.0.2.60"), LEVEL_NEAR).key;
	row = memory_open_row(&y.g.memory, near, y.now);
	row->good = 1; /* its mail: without any, nobody is believed to be in there */
	row->good_inside = 1;
	memory_close_row(&y.g.memory, row);
	for (unsigned i = 0; i < 200; i++)
		visit(&y, at("192.0.2.60"), EV_NONE, 0);
	expect_number("dropped", row_of(&y, at("192.0.2.60"), LEVEL_NEAR).ban.step,
		      STEP_DROP);
	row = memory_open_row(&y.g.memory, near, y.now);
	row->good_inside = 0;
	memory_close_row(&y.g.memory, row);
	visit(&y, at("192.0.2.60"), EV_NONE, 0);
	expect_number("blocked", row_of(&y, at("192.0.2.60"), LEVEL_NEAR).ban.step,
		      STEP_KERNEL);
}

static void all_of_an_ipv6_subscriber_is_one_client(void **unused)
{
	(void)unused;
	visit(&y, at("2001:db8:1:2::1"), EV_TLS_PIPELINED, 1);
	refused("the next address", visit(&y, at("2001:db8:1:2:ffff::9"), EV_NONE, 0),
		RULE_POINTS);
	let_in("the next subscriber", visit(&y, at("2001:db8:1:3::1"), EV_NONE, 0));
}

/* ---- the administrator ---------------------------------------------------------------------------- */

static void an_order_to_ban_refuses(void **unused)
{
	(void)unused;
	order(&y, ORDER_BAN, "192.0.2.0/24");
	refused("banned", visit(&y, at("192.0.2.7"), EV_NONE, 0), RULE_ORDER);
	let_in("outside", visit(&y, at("192.0.3.7"), EV_NONE, 0));
}

static void an_order_to_allow_wins_over_everything(void **unused)
{
	struct addr a = at("192.0.2.7");
	struct guard_visit v;
	struct guard_verdict d;

	(void)unused;
	visit(&y, a, EV_TLS_PIPELINED, 1);
	order(&y, ORDER_BAN, "192.0.2.7");
	order(&y, ORDER_ALLOW, "192.0.2.0/24");
	orders_lockdown(y.orders, true, y.wall);
	y.g.limits.per_address = 1;
	y.g.limits.connect_burst = 1;
	y.g.limits.sessions_max = 0;
	for (unsigned i = 0; i < 100; i++) {
		d = come(&y, &v, a);
		let_in("allowed", d);
		expect_true("and told so", d.allowed);
		expect_number("whatever it does", did(&y, &v, EV_TLS_PIPELINED, 3).step,
			      STEP_NONE);
	}
	expect_number("it is counted", seen_of(&y, a, LEVEL_CLIENT, EV_TLS_PIPELINED),
		      301);
	expect_true("and adds no points", row_of(&y, a, LEVEL_CLIENT).fast < 101);
}

static void a_pardon_lifts_what_was_before_and_nothing_after(void **unused)
{
	struct addr a = at("192.0.2.7");
	struct ban_note note = { 0 };
	uint64_t seen = 0;
	bool lost;

	(void)unused;
	visit(&y, a, EV_TLS_PIPELINED, 1);
	refused("banned", visit(&y, a, EV_NONE, 0), RULE_POINTS);
	yard_wait(&y, 5 * MS_SECOND);
	order(&y, ORDER_PARDON, "192.0.2.7");
	yard_wait(&y, 5 * MS_SECOND);
	let_in("pardoned", visit(&y, a, EV_NONE, 0));
	expect_number("no points", (int64_t)row_of(&y, a, LEVEL_CLIENT).fast, 0);
	expect_number("no history", (int64_t)row_of(&y, a, LEVEL_CLIENT).slow, 0);
	while (memory_next_note(&y.g.memory, &seen, &note, &lost))
		continue;
	expect_true("told", note.over);
	let_in("it comes", visit(&y, a, EV_TLS_PIPELINED, 1));
	refused("and is banned anew", visit(&y, a, EV_NONE, 0), RULE_POINTS);
	expect_number("for the first time", row_of(&y, a, LEVEL_CLIENT).ban.level, 1);
}

/* All that is known of one, as it comes back from the disk after a restart. */
static void comes_back_from_disk(struct yard *from, size_t at_most)
{
	size_t n = snapshot_room(&from->g.memory), torn;
	uint8_t *mem = malloc(n);
	struct buf out;

	if (!mem)
		fail_msg("out of memory");
	buf_init(&out, mem, n);
	expect_true("written", snapshot_write(&from->g.memory, y.now, y.wall, &out));
	expect_true("few rows", snapshot_read(&y.g.memory, buf_span(&out), y.now, y.wall,
					      &torn) <= at_most);
	free(mem);
}

/* Clients come while the memory is still on its way from the disk. */
static void what_comes_back_from_disk_later_than_its_client_is_pardoned(void **unused)
{
	struct addr quiet = at("192.0.2.7"), again = at("198.51.100.7");
	struct yard before;

	(void)unused;
	yard_open(&before, 16384, 65536);
	visit(&before, quiet, EV_TLS_PIPELINED, 1);
	visit(&before, again, EV_TLS_PIPELINED, 1);
	yard_wait(&y, MS_MINUTE);
	order(&y, ORDER_PARDON, "192.0.2.7");
	order(&y, ORDER_PARDON, "198.51.100.7");
	yard_wait(&y, MS_MINUTE);
	let_in("before its row is there", visit(&y, quiet, EV_UNKNOWN_USER, 0));
	let_in("it errs", visit(&y, again, EV_RELAY_DENIED, 1));
	comes_back_from_disk(&before, 0);
	yard_wait(&y, MS_SECOND);
	let_in("its ban was lifted", visit(&y, quiet, EV_NONE, 0));
	expect_number("no history", (int64_t)row_of(&y, quiet, LEVEL_CLIENT).slow, 0);
	let_in("theirs as well", visit(&y, again, EV_NONE, 0));
	yard_close(&before);
}

static void a_ban_lasts_four_of_its_pauses_also_for_who_was_in_cold_memory(void **unused)
{
	struct addr a = at("192.0.2.7");
	struct guard_hot row;
	struct yard before;

	(void)unused;
	yard_open(&before, 16384, 65536);
	for (unsigned i = 0; i < 4; i++) {
		yard_wait(&before, 6 * MS_HOUR);
		yard_wait(&y, 6 * MS_HOUR);
		visit(&before, a, EV_UNKNOWN_USER, 1);
	}
	comes_back_from_disk(&before, 3);
	yard_wait(&y, 6 * MS_HOUR);
	let_in("again", visit(&y, a, EV_TLS_PIPELINED, 1));
	row = row_of(&y, a, LEVEL_CLIENT);
	expect_number("all that it came", row.connects, 5);
	expect_true("a day, give or take",
		    row.ban.until - row.ban.since >= 24 * 3600 * 4 / 5 - 1);
	yard_close(&before);
}

static void a_pardon_holds_whatever_the_wall_clock_does(void **unused)
{
	struct addr a = at("192.0.2.7");

	(void)unused;
	visit(&y, a, EV_TLS_PIPELINED, 1);
	yard_wait(&y, 5 * MS_SECOND);
	order(&y, ORDER_PARDON, "192.0.2.0/24");
	y.wall -= 2 * MS_HOUR;
	let_in("pardoned", visit(&y, a, EV_NONE, 0));
}

static void in_lockdown_only_known_good_clients_get_in(void **unused)
{
	struct guard_verdict d;

	(void)unused;
	become_good(&y, at("192.0.2.7"));
	orders_lockdown(y.orders, true, y.wall);
	d = deliver(&y, at("192.0.2.7"));
	let_in("known", d);
	refused("a stranger", visit(&y, at("192.0.2.8"), EV_NONE, 0), RULE_LOCKDOWN);
	orders_lockdown(y.orders, false, y.wall);
	let_in("over", visit(&y, at("192.0.2.8"), EV_NONE, 0));
}

static void observing_refuses_nothing_and_judges_everything(void **unused)
{
	struct addr a = at("192.0.2.7");
	struct guard_verdict d;
	struct guard_visit v;
	struct guard_mood m;

	(void)unused;
	y.g.limits.observe = true;
	order(&y, ORDER_BAN, "198.51.100.0/24");
	d = visit(&y, at("198.51.100.1"), EV_NONE, 0);
	expect_true("let in", in(d));
	expect_true("would be refused", d.observed && d.rule == RULE_ORDER);
	expect_true("come in", in(come(&y, &v, a)));
	m = did(&y, &v, EV_RELAY_DENIED, 2);
	expect_true("would be delayed", m.step == STEP_DELAY && m.observed);
	m = did(&y, &v, EV_RELAY_DENIED, 3);
	expect_true("would be late", m.step == STEP_LATE && m.observed);
	m = did(&y, &v, EV_RELAY_DENIED, 5);
	expect_true("would end", m.step == STEP_REFUSE && m.observed);
	leave(&y, &v);
	for (unsigned i = 0; i < 100; i++) {
		d = visit(&y, a, EV_NONE, 0);
		expect_true("let in", in(d));
		expect_true("would be refused", d.observed && d.rule == RULE_POINTS);
	}
	expect_number("the ban says so", row_of(&y, a, LEVEL_CLIENT).ban.observed, 1);
	expect_true("and is not for the firewall",
		    row_of(&y, a, LEVEL_CLIENT).ban.step < STEP_KERNEL);
	expect_number("and nobody was refused", row_of(&y, a, LEVEL_CLIENT).refused, 0);
}

static void one_rule_can_be_observed_and_the_others_meant(void **unused)
{
	struct addr a = at("192.0.2.7");
	struct guard_verdict d;

	(void)unused;
	y.g.limits.observed[RULE_POINTS] = true;
	visit(&y, a, EV_TLS_PIPELINED, 1);
	d = visit(&y, a, EV_NONE, 0);
	expect_true("observed", in(d) && d.observed && d.rule == RULE_POINTS);
	y.g.limits.connect_burst = 1;
	d = visit(&y, a, EV_NONE, 0);
	refused("meant", d, RULE_RATE);
	y.g.limits.observed[RULE_POINTS] = false;
	yard_wait(&y, MS_SECOND);
	refused("now meant as well", visit(&y, a, EV_NONE, 0), RULE_POINTS);
}

/* Four relay attempts in a day are a history, and a burst after them is something else. */
static void an_observed_ban_stands_in_no_other_bans_way(void **unused)
{
	struct addr a = at("192.0.2.7");
	struct guard_verdict d = { 0 };

	(void)unused;
	y.g.limits.observed[RULE_HISTORY] = true;
	for (unsigned i = 0; i < 4; i++) {
		d = visit(&y, a, EV_RELAY_DENIED, 1);
		yard_wait(&y, 6 * MS_HOUR);
	}
	d = visit(&y, a, EV_NONE, 0);
	expect_true("observed", in(d) && d.observed && d.rule == RULE_HISTORY);
	expect_true("let in", in(visit(&y, a, EV_RELAY_DENIED, 10)));
	refused("a hundred points", visit(&y, a, EV_NONE, 0), RULE_POINTS);
}

static void what_is_only_observed_leaves_the_delay_below_it(void **unused)
{
	struct guard_visit v;
	struct guard_mood m;

	(void)unused;
	y.g.limits.observed[RULE_POINTS] = y.g.limits.observed[RULE_LATE] = true;
	(void)come(&y, &v, at("192.0.2.7"));
	m = did(&y, &v, EV_RELAY_DENIED, 1);
	expect_false("10 points", m.delays);
	m = did(&y, &v, EV_RELAY_DENIED, 4);
	expect_true("would be late", m.step == STEP_LATE && m.observed);
	expect_true("is delayed", m.delays);
	m = did(&y, &v, EV_RELAY_DENIED, 5);
	expect_true("would be banned", m.step == STEP_REFUSE && m.observed);
	expect_true("is delayed", m.delays);
	leave(&y, &v);
	expect_true("comes again", in(come(&y, &v, at("192.0.2.7"))));
	m = did(&y, &v, EV_NONE, 0);
	expect_true("would be banned", m.step == STEP_REFUSE && m.observed);
	expect_true("from its first offence on", m.delays);
	y.g.limits.observe = true;
	expect_false("all is observed", did(&y, &v, EV_NONE, 0).delays);
	leave(&y, &v);
}

/* ---- limits ---------------------------------------------------------------------------------------- */

static void one_address_may_come_so_often_and_no_more(void **unused)
{
	unsigned came = 0;

	(void)unused;
	for (unsigned i = 0; i < 40; i++)
		came += in(visit(&y, at("192.0.2.7"), EV_NONE, 0));
	expect_number("the burst", came, 15);
	yard_wait(&y, MS_SECOND / 2);
	let_in("two a second", visit(&y, at("192.0.2.7"), EV_NONE, 0));
	refused("no more", visit(&y, at("192.0.2.7"), EV_NONE, 0), RULE_RATE);
	expect_number("counted", seen_of(&y, at("192.0.2.7"), LEVEL_CLIENT, EV_TOO_FAST),
		      26);
}

static void a_prefix_may_come_three_times_as_often(void **unused)
{
	unsigned came = 0;

	(void)unused;
	for (unsigned i = 0; i < 200; i++)
		came += in(visit(&y, addr_v4(192, 0, 2, (uint8_t)(i % 60)), EV_NONE, 0));
	expect_number("the burst of a /26", came, 45);
}

static void a_quiet_neighbour_is_not_charged_for_its_prefix(void **unused)
{
	struct addr a = at("192.0.2.61");

	(void)unused;
	for (unsigned i = 0; i < 45; i++)
		visit(&y, addr_v4(192, 0, 2, (uint8_t)i), EV_NONE, 0);
	for (unsigned i = 0; i < 150; i++)
		refused("its prefix is too fast", visit(&y, a, EV_NONE, 0), RULE_RATE);
	expect_number("no points", (int64_t)row_of(&y, a, LEVEL_CLIENT).fast, 0);
	expect_number("the prefix has them", seen_of(&y, a, LEVEL_NEAR, EV_TOO_FAST), 150);
	yard_wait(&y, MS_MINUTE);
	let_in("when it is quiet", visit(&y, a, EV_NONE, 0));
}

static void a_known_good_client_may_come_ten_times_as_often(void **unused)
{
	unsigned came = 0;

	(void)unused;
	become_good(&y, at("192.0.2.7"));
	yard_wait(&y, MS_MINUTE);
	for (unsigned i = 0; i < 200; i++)
		came += in(
			visit(&y, addr_v4(192, 0, 2, (uint8_t)(8 + i % 50)), EV_NONE, 0));
	expect_number("strangers use up the prefix", came, 45);
	came = 0;
	for (unsigned i = 0; i < 300; i++)
		came += in(visit(&y, at("192.0.2.7"), EV_NONE, 0));
	expect_number("the tenfold burst", came, 150);
}

static void one_address_may_have_so_many_sessions(void **unused)
{
	struct guard_visit v[60];
	unsigned n = 0;

	(void)unused;
	y.g.limits.connect_rate = 0;
	for (unsigned i = 0; i < 60; i++)
		n += in(come(&y, &v[i], at("192.0.2.7")));
	expect_number("its limit", n, 50);
	refused("full", come(&y, &v[59], at("192.0.2.7")), RULE_SESSIONS);
	leave(&y, &v[0]);
	let_in("one has left", come(&y, &v[0], at("192.0.2.7")));
	expect_number("counted", seen_of(&y, at("192.0.2.7"), LEVEL_CLIENT, EV_TOO_MANY),
		      11);
	expect_number("not more are here",
		      row_of(&y, at("192.0.2.7"), LEVEL_WIDE).sessions, 50);
}

static void the_last_room_is_for_known_good_clients(void **unused)
{
	struct seat seat = { .session = 1, .state = SEAT_TALKS };
	uint32_t last = SEAT_NONE;

	(void)unused;
	become_good(&y, at("192.0.2.7"));
	y.g.limits.sessions_max = 100;
	for (unsigned i = 0; i < 90; i++) {
		last = seat_take(&y.g.memory, &seat);
		expect_true("a seat", last != SEAT_NONE);
	}
	expect_number("full", guard_fill(&y.g), 90);
	refused("a stranger", visit(&y, at("198.51.100.1"), EV_NONE, 0), RULE_ROOM);
	let_in("known", deliver(&y, at("192.0.2.7")));
	for (unsigned i = 0; i < 10; i++)
		last = seat_take(&y.g.memory, &seat);
	refused("known, but there is none", deliver(&y, at("192.0.2.7")), RULE_ROOM);
	for (uint32_t i = 0; i <= last; i++)
		seat_leave(&y.g.memory, i);
	expect_number("empty", guard_fill(&y.g), 0);
}

static void limits_shrink_as_room_gets_short(void **unused)
{
	struct seat seat = { .session = 1, .state = SEAT_TALKS };

	(void)unused;
	y.g.limits.sessions_max = 100;
	for (unsigned i = 0; i < 50; i++)
		(void)seat_take(&y.g.memory, &seat);
	expect_number("whole at half", guard_shrunk(&y.g, 300, 10, false), 300);
	for (unsigned i = 0; i < 20; i++)
		(void)seat_take(&y.g.memory, &seat);
	expect_number("half way", guard_shrunk(&y.g, 300, 10, false), 155);
	expect_number("never for the known-good", guard_shrunk(&y.g, 300, 10, true), 300);
	for (unsigned i = 0; i < 25; i++)
		(void)seat_take(&y.g.memory, &seat);
	expect_number("the least", guard_shrunk(&y.g, 300, 10, false), 10);
	expect_number("never more than it was", guard_shrunk(&y.g, 5, 10, false), 5);
}

static void the_worst_gives_up_its_seat_and_never_a_known_good(void **unused)
{
	struct seat seat = { .session = 1, .state = SEAT_TALKS, .moved = 1000 };
	uint32_t worst, stillest;

	(void)unused;
	expect_number("nobody", guard_worst(&y.g), SEAT_NONE);
	seat.known_good = 1;
	seat.points = 500;
	(void)seat_take(&y.g.memory, &seat);
	expect_number("nobody else", guard_worst(&y.g), SEAT_NONE);
	seat.known_good = 0;
	seat.points = 3;
	for (unsigned i = 0; i < 10; i++)
		(void)seat_take(&y.g.memory, &seat);
	seat.moved = 1;
	stillest = seat_take(&y.g.memory, &seat);
	expect_number("the longest still", guard_worst(&y.g), stillest);
	seat.points = 40;
	seat.moved = 5000;
	worst = seat_take(&y.g.memory, &seat);
	expect_number("the worst", guard_worst(&y.g), worst);
	seat.points = 3;
	for (unsigned i = 0; i < 1000; i++)
		(void)seat_take(&y.g.memory, &seat);
	for (unsigned i = 0; i < 100; i++) {
		worst = guard_worst(&y.g);
		expect_true("somebody of many", worst != SEAT_NONE && worst != 0);
	}
}

static void a_full_worker_lets_another_one_make_room_for_the_known_good(void **unused)
{
	struct seat seat = { .session = 1, .state = SEAT_TALKS, .known_good = 1 };
	struct guard other = y.g;

	(void)unused;
	expect_true("another worker",
		    memory_open(&other.memory, y.mem, memory_size(&y.g.memory.shape), 1));
	expect_false("nobody is there", guard_claim(&y.g));
	(void)seat_take(&other.memory, &seat);
	expect_false("nobody who could go", guard_claim(&y.g));
	seat.known_good = 0;
	for (unsigned i = 0; i < 40; i++)
		(void)seat_take(&other.memory, &seat);
	expect_false("but not of itself", guard_claim(&other));
	expect_number("all stay", seats_staying(&y.g.memory), 41);
	for (unsigned i = 0; i < OWED_MAX; i++)
		expect_true("one of many", guard_claim(&y.g));
	expect_false("one that owes so many may be stuck", guard_claim(&y.g));
	expect_number("those who leave do not count", seats_staying(&y.g.memory),
		      41 - OWED_MAX);
	expect_number("owes", seats_owed(&other.memory), OWED_MAX);
	expect_number("owes nothing", seats_owed(&y.g.memory), 0);
	seats_settle(&other.memory, OWED_MAX - 1);
	expect_number("all but one", seats_owed(&other.memory), 1);
	seats_settle(&other.memory, 5);
	expect_number("never less than nothing", seats_owed(&other.memory), 0);
	expect_true("of who dies", guard_claim(&y.g));
	seats_mend(&y.g.memory, 1);
	expect_number("nothing is expected", seats_owed(&other.memory), 0);
	expect_number("nobody is left", seats_staying(&y.g.memory), 0);
}

/* ---- clocks --------------------------------------------------------------------------------------- */

static void a_clock_that_steps_back_locks_nobody_up(void **unused)
{
	struct addr a = at("192.0.2.7");
	struct guard_hot row;

	(void)unused;
	visit(&y, at("192.0.2.99"), EV_TLS_PIPELINED, 1);
	for (unsigned i = 0; i < 25; i++)
		visit(&y, a, EV_UNKNOWN_VERB, 1);
	y.now -= 20 * MS_HOUR;
	let_in("not too fast for ever", visit(&y, a, EV_NONE, 0));
	let_in("a ban of a time that is not yet", visit(&y, at("192.0.2.99"), EV_NONE, 0));
	row = row_of(&y, a, LEVEL_CLIENT);
	expect_true("nothing is negative", guard_fast(&row, &y.g.limits, y.now) >= 0 &&
						   guard_per_hour(&row, y.now) >= 0);
	y.now += 300 * MS_DAY;
	let_in("nor forward", visit(&y, a, EV_NONE, 0));
	row = row_of(&y, a, LEVEL_CLIENT);
	expect_number("faded", (int64_t)guard_fast(&row, &y.g.limits, y.now), 0);
	y.now = 0;
	let_in("nor at the machine's start", visit(&y, a, EV_NONE, 0));
}

static void a_wall_clock_that_steps_changes_no_ban(void **unused)
{
	struct addr a = at("192.0.2.7");

	(void)unused;
	visit(&y, a, EV_TLS_PIPELINED, 1);
	y.wall += 300 * MS_DAY;
	refused("forward", visit(&y, a, EV_NONE, 0), RULE_POINTS);
	y.wall = 0;
	refused("back", visit(&y, a, EV_NONE, 0), RULE_POINTS);
}

/* ---- without memory -------------------------------------------------------------------------------- */

/* Another process holds every lock, for ever. */
static void who_cannot_be_looked_up_comes_in_unless_an_order_says_no(void **unused)
{
	struct memory other = y.g.memory;
	struct guard_hot *held;
	struct guard_visit v;
	struct addr a = at("192.0.2.7");

	(void)unused;
	visit(&y, a, EV_TLS_PIPELINED, 1);
	order(&y, ORDER_BAN, "198.51.100.0/24");
	held = memory_open_row(&other, guard_key_of(&a, LEVEL_CLIENT), y.now);
	let_in("it cannot be told", come(&y, &v, a));
	expect_number("nothing follows", did(&y, &v, EV_TLS_PIPELINED, 1).step, STEP_NONE);
	memory_close_row(&other, held);
	leave(&y, &v);
	expect_number("nothing is counted twice", row_of(&y, a, LEVEL_CLIENT).sessions, 0);
	expect_number("nor in its prefix", row_of(&y, a, LEVEL_NEAR).sessions, 0);
	a = at("198.51.100.1");
	held = memory_open_row(&other, guard_key_of(&a, LEVEL_CLIENT), y.now);
	refused("an order needs no memory", come(&y, &v, a), RULE_ORDER);
	memory_close_row(&other, held);
}

/* ---- the attacks that this is for --------------------------------------------------------------------- */

/* A5: 2,000 addresses, 81 % of whose recipients do not exist. */
static void dictionaries_from_many_addresses_run_dry(void **unused)
{
	enum { ADDRESSES = 2000, ROUNDS = 20 };
	uint64_t seed = 11;
	uint32_t first = 0, last = 0;

	(void)unused;
	for (unsigned round = 0; round < ROUNDS; round++)
		for (unsigned i = 0; i < ADDRESSES; i++) {
			struct guard_visit v;
			uint32_t *n = round < 2		    ? &first
				      : round >= ROUNDS - 2 ? &last
							    : NULL;
			bool over = false;

			if (!in(come(&y, &v,
				     addr_v4(10, (uint8_t)(i >> 3), 0, (uint8_t)(i & 7)))))
				continue;
			for (unsigned r = 0; r < 10 && !over; r++) {
				struct guard_mood m = dice_below(&seed, 100) < 81
							      ? named(&y, &v, dice(&seed))
							      : did(&y, &v,
								    EV_RECIPIENT_OK, 1);

				over = m.step >= STEP_LATE;
				if (n)
					++*n;
			}
			leave(&y, &v);
			yard_wait(&y, 10);
		}
	expect_true("at first they ask", first > 10000);
	expect_true("in the end hardly", last < first / 20);
}

/* A9: 223 connections in 6 s, dropped after AUTH. */
static void a_machine_gun_is_refused_after_at_most_twenty(void **unused)
{
	unsigned came = 0, bare = 0;

	(void)unused;
	for (unsigned i = 0; i < 223; i++) {
		came += in(visit(&y, at("192.0.2.7"), EV_AUTH_NOT_OFFERED, 1));
		bare += in(visit(&y, at("198.51.100.7"), EV_NONE, 0));
		yard_wait(&y, 6000 / 223);
	}
	expect_true("with AUTH", came <= 4);
	expect_true("without a word", bare <= 30);
}

/* A10: it talks before the greeting, is back after a second, from hundreds of sessions. */
/* Whoever has the lock may stand still for as long as it likes, and others come and go. */
static void who_left_while_its_row_was_locked_is_counted_out_later(void **unused)
{
	struct addr a = at("192.0.2.7"), b = at("192.0.6.7");
	struct guard_hot *wide;
	struct guard_visit v, w;
	struct memory other;

	(void)unused;
	expect_true("another worker", memory_open(&other, y.mem, y.g.memory.bytes, 1));
	let_in("one", come(&y, &v, a));
	let_in("another", come(&y, &w, b));
	wide = memory_open_row(&other, guard_key_of(&a, LEVEL_WIDE), y.now);
	expect_true("it has the lock", wide != NULL);
	leave(&y, &v);
	leave(&y, &w);
	guard_catch_up(&y.g, y.now);
	expect_number("nobody else may write", wide->sessions, 2);
	memory_close_row(&other, wide);
	expect_number("who left first", row_of(&y, a, LEVEL_CLIENT).sessions, 0);
	expect_number("both count still", row_of(&y, a, LEVEL_WIDE).sessions, 2);
	guard_catch_up(&y.g, y.now);
	expect_number("and now no more", row_of(&y, a, LEVEL_WIDE).sessions, 0);
	let_in("one comes", come(&y, &v, a));
	guard_catch_up(&y.g, y.now);
	expect_number("once is enough", row_of(&y, a, LEVEL_WIDE).sessions, 1);
}

static void who_came_while_its_row_was_locked_is_counted_later(void **unused)
{
	struct addr a = at("192.0.2.7"), b = at("192.0.6.7"), c = at("192.0.3.7");
	struct guard_visit v, w, x;
	struct guard_hot *wide;
	struct memory other;

	(void)unused;
	y.g.limits.per_address = 1; /* and nine in the wide prefix */
	expect_true("another worker", memory_open(&other, y.mem, y.g.memory.bytes, 1));
	wide = memory_open_row(&other, guard_key_of(&a, LEVEL_WIDE), y.now);
	expect_true("it has the lock", wide != NULL);
	let_in("one who stays", come(&y, &v, a));
	let_in("one who leaves meanwhile", come(&y, &w, b));
	let_in("another who stays", come(&y, &x, c));
	expect_true("one too many", !in(come(&y, &(struct guard_visit){ 0 }, a)));
	leave(&y, &w);
	expect_number("nobody else may write", wide->sessions, 0);
	memory_close_row(&other, wide);
	guard_catch_up(&y.g, y.now);
	expect_number("two are here", row_of(&y, a, LEVEL_WIDE).sessions, 2);
	guard_catch_up(&y.g, y.now);
	expect_number("once is enough", row_of(&y, a, LEVEL_WIDE).sessions, 2);
	leave(&y, &v);
	leave(&y, &x);
	expect_number("nobody is", row_of(&y, a, LEVEL_WIDE).sessions, 0);
	expect_number("nor owed", (int64_t)y.g.late_count, 0);
}

/* Its own row, which is locked, would have counted it; its prefix has no room for it. */
static void who_is_refused_after_all_is_not_counted_later(void **unused)
{
	static const char *const here[] = { "192.0.2.1", "192.0.2.2", "192.0.2.3" };
	struct addr a = at("192.0.2.7");
	struct guard_visit v[COUNT_OF(here)];
	struct guard_hot *own;
	struct memory other;

	(void)unused;
	y.g.limits.per_address = 1; /* and three in the prefix */
	expect_true("another worker", memory_open(&other, y.mem, y.g.memory.bytes, 1));
	for (size_t i = 0; i < COUNT_OF(here); i++)
		let_in(here[i], come(&y, &v[i], at(here[i])));
	own = memory_open_row(&other, guard_key_of(&a, LEVEL_CLIENT), y.now);
	expect_true("it has the lock", own != NULL);
	expect_true("no room", !in(come(&y, &(struct guard_visit){ 0 }, a)));
	expect_number("nothing is owed", (int64_t)y.g.late_count, 0);
	memory_close_row(&other, own);
	guard_catch_up(&y.g, y.now);
	expect_number("nor counted", row_of(&y, a, LEVEL_CLIENT).sessions, 0);
}

static struct memory rested_for;
static struct guard_hot *rested_row;
static unsigned rests, rests_needed;

static void rest(void)
{
	if (++rests == rests_needed)
		memory_close_row(&rested_for, rested_row);
}

/* Where one can rest, a row that is locked for a moment is waited for; a dead one's once. */
static void a_lock_is_rested_for_but_not_for_ever(void **unused)
{
	struct addr a = at("192.0.2.7");
	struct guard_visit v;
	unsigned in_vain;

	(void)unused;
	expect_true("another worker",
		    memory_open(&rested_for, y.mem, y.g.memory.bytes, 1));
	y.g.memory.rest = rest;
	rests = 0;
	rests_needed = 3;
	rested_row = memory_open_row(&rested_for, guard_key_of(&a, LEVEL_CLIENT), y.now);
	let_in("after a while", come(&y, &v, a));
	expect_number("it waited", rests, 3);
	expect_number("and saw it", row_of(&y, a, LEVEL_CLIENT).sessions, 1);
	expect_number("so nothing is late", (int64_t)y.g.late_count, 0);
	rests_needed = 0;
	rested_row = memory_open_row(&rested_for, guard_key_of(&a, LEVEL_CLIENT), y.now);
	let_in("without", come(&y, &(struct guard_visit){ 0 }, a));
	in_vain = rests;
	expect_true("it waited", in_vain > 3);
	let_in("without", come(&y, &(struct guard_visit){ 0 }, a));
	expect_number("nobody waits again", rests, in_vain);
	memory_close_row(&rested_for, rested_row);
	rests_needed = in_vain + 1;
	rested_row = memory_open_row(&rested_for, guard_key_of(&a, LEVEL_CLIENT), y.now);
	let_in("another time", come(&y, &(struct guard_visit){ 0 }, a));
	expect_number("but for the next", rests, rests_needed);
	y.g.memory.rest = NULL;
}

static void early_talkers_are_dropped_and_remembered(void **unused)
{
	struct addr a = at("192.0.2.7");
	struct guard_verdict d;

	(void)unused;
	for (unsigned i = 0; i < 4; i++) {
		let_in("not yet", visit(&y, a, EV_EARLY_TALK, 1));
		yard_wait(&y, MS_SECOND);
		if (row_of(&y, a, LEVEL_CLIENT).ban.until)
			break;
	}
	d = visit(&y, a, EV_NONE, 0);
	expect_true("refused", d.step >= STEP_REFUSE);
	for (unsigned i = 0; i < 300; i++)
		d = visit(&y, a, EV_NONE, 0);
	expect_number("dropped", d.step, STEP_DROP);
	yard_wait(&y, 2 * MS_HOUR);
	let_in("later it may try", visit(&y, a, EV_EARLY_TALK, 1));
	d = visit(&y, a, EV_NONE, 0);
	expect_true("and is remembered", d.step >= STEP_REFUSE);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		T(a_stranger_comes_in),
		T(offences_are_delayed_then_answered_554_then_end_the_session),
		T(waiting_makes_points_fade_by_half_each_half_life),
		T(a_ban_is_refused_then_dropped_then_for_the_firewall),
		T(who_came_through_a_front_is_never_for_the_firewall),
		T(a_ban_ends_and_the_next_is_twice_as_long),
		T(each_half_life_of_the_history_takes_one_ban_off),
		T(a_ban_is_never_longer_than_the_longest_and_a_fifth),
		T(a_ban_lasts_four_of_the_clients_own_pauses),
		T(notes_tell_a_bans_beginning_its_steps_and_its_end),
		T(a_flood_of_refusals_is_a_few_lines_whose_sum_is_exact),
		T(a_relay_bot_is_refused_at_its_4th_try_at_three_and_a_half_a_day),
		T(a_burst_in_one_session_is_one_visit_of_the_history),
		T(clumsiness_at_every_visit_never_makes_a_history),
		T(tried_again_is_not_tried_anew),
		T(many_different_names_are_refused_soon),
		T(accepted_messages_make_a_client_known_good),
		T(standing_is_lost_by_own_deeds_and_comes_back),
		T(a_list_server_with_dead_members_is_never_refused),
		T(a_monitoring_probe_every_ten_seconds_is_never_refused),
		T(a_sender_pool_is_never_refused),
		T(a_login_makes_a_client_known_good),
		T(repeated_passwords_weigh_nothing_and_different_ones_ban),
		T(who_mistypes_and_gets_in_is_forgiven),
		T(a_telephone_that_loses_its_network_is_never_refused),
		T(who_hangs_up_on_its_logins_fifty_times_a_minute_is_refused),
		T(one_member_of_a_campaign_is_banned_at_once),
		T(a_known_good_gateway_is_not_banned_for_one_of_many),
		T(a_gateway_that_turned_bad_altogether_is_banned),
		T(a_prefix_of_offenders_is_banned),
		T(a_few_offenders_do_not_make_a_prefix),
		T(a_prefix_where_somebody_good_lives_is_not_banned),
		T(a_prefix_that_was_forgotten_is_spared_once_somebody_good_comes),
		T(a_known_good_client_is_not_banned_with_its_prefix),
		T(only_a_prefix_where_nobody_good_lives_is_for_the_firewall),
		T(all_of_an_ipv6_subscriber_is_one_client),
		T(an_order_to_ban_refuses),
		T(an_order_to_allow_wins_over_everything),
		T(a_pardon_lifts_what_was_before_and_nothing_after),
		T(what_comes_back_from_disk_later_than_its_client_is_pardoned),
		T(a_ban_lasts_four_of_its_pauses_also_for_who_was_in_cold_memory),
		T(a_pardon_holds_whatever_the_wall_clock_does),
		T(in_lockdown_only_known_good_clients_get_in),
		T(observing_refuses_nothing_and_judges_everything),
		T(one_rule_can_be_observed_and_the_others_meant),
		T(an_observed_ban_stands_in_no_other_bans_way),
		T(what_is_only_observed_leaves_the_delay_below_it),
		T(one_address_may_come_so_often_and_no_more),
		T(a_prefix_may_come_three_times_as_often),
		T(a_quiet_neighbour_is_not_charged_for_its_prefix),
		T(a_known_good_client_may_come_ten_times_as_often),
		T(one_address_may_have_so_many_sessions),
		T(the_last_room_is_for_known_good_clients),
		T(limits_shrink_as_room_gets_short),
		T(the_worst_gives_up_its_seat_and_never_a_known_good),
		T(a_full_worker_lets_another_one_make_room_for_the_known_good),
		T(a_clock_that_steps_back_locks_nobody_up),
		T(a_wall_clock_that_steps_changes_no_ban),
		T(who_cannot_be_looked_up_comes_in_unless_an_order_says_no),
		T(dictionaries_from_many_addresses_run_dry),
		T(a_machine_gun_is_refused_after_at_most_twenty),
		T(who_left_while_its_row_was_locked_is_counted_out_later),
		T(who_came_while_its_row_was_locked_is_counted_later),
		T(who_is_refused_after_all_is_not_counted_later),
		T(a_lock_is_rested_for_but_not_for_ever),
		T(early_talkers_are_dropped_and_remembered),
	};
#undef T

	return cmocka_run_group_tests(tests, NULL, NULL);
}
