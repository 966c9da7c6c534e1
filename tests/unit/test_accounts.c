/* The guard of accounts, rule by rule. Whole attacks are in test_accounts_attacks.c. */
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "accounts_kit.h"

#include "child.h"

static const struct addr home = { { [10] = 0xff, 0xff, 192, 0, 2, 7 } };
static const struct addr away = { { [10] = 0xff, 0xff, 203, 0, 113, 9 } };

/* ---- waiting -------------------------------------------------------------------------------- */

static enum account_go comes(struct site *s, const struct login *l, struct account_try *t)
{
	*t = site_try(s, l);
	return accounts_came(&s->a, t, s->now, s->wall).go;
}

/* Nobody tells the guard that somebody in line has hung up. */
static void who_stood_in_line_and_left_is_in_nobodys_way(void **state)
{
	struct site *s = *state;
	struct login l = LOGIN(home, "alice", "slow", "client");
	struct account_try slow, t;
	char secret[32];
	size_t waiting = 0;

	site_user(s, "alice", "right");
	expect_number("the first", comes(s, &l, &slow), GO_CHECK);
	l.secret = secret;
	for (size_t i = 0; i < 40; i++) {
		snprintf(secret, sizeof(secret), "wrong %zu", i);
		waiting += comes(s, &l, &t) == GO_WAIT;
	}
	assert_in_range(waiting, 1, 39);
	(void)accounts_done(&s->a, &slow, ACCOUNT_WRONG, s->now, s->wall);
	site_wait(s, MS_MINUTE);
	l.secret = "right";
	expect_number("its turn", comes(s, &l, &t), GO_CHECK);
}

static void refusals_wait_longer_each_time_and_less_after_a_pause(void **state)
{
	static const ms_t want[] = { 2000, 4000, 8000, 15000, 15000 };
	struct site *s = *state;
	struct login l = LOGIN(home, "alice", NULL, "client");
	char secret[32];

	site_user(s, "alice", "right");
	for (size_t i = 0; i < COUNT_OF(want); i++) {
		struct fate f;

		snprintf(secret, sizeof(secret), "wrong %zu", i);
		l.secret = secret;
		f = site_login(s, &l);
		expect_number("refused", f.go, GO_REFUSE);
		expect_number("after", f.delay, want[i]);
		site_wait(s, f.delay);
	}
	site_wait(s, MS_HOUR);
	l.secret = "one more";
	expect_number("faded", site_login(s, &l).delay, 2000);
}

static void the_timer_is_of_the_pair_and_not_of_the_connection(void **state)
{
	struct site *s = *state;
	char secret[32];
	struct login l = LOGIN(home, "alice", secret, "client");
	size_t later = 0;

	site_user(s, "alice", "right");
	for (size_t i = 0; i < 100; i++) {
		struct fate f;

		snprintf(secret, sizeof(secret), "wrong %zu", i);
		f = site_login(s, &l);
		assert_true(f.delay <= site_limits.delay_max);
		later += f.go == GO_LATER;
	}
	assert_true(later >= 90);
	l.from = away;
	l.secret = "another";
	expect_number("elsewhere", site_login(s, &l).delay, 2000);
}

static void a_right_password_never_waits(void **state)
{
	struct site *s = *state;
	struct login l = LOGIN(home, "alice", NULL, "client");
	char secret[32];

	site_user(s, "alice", "right");
	for (size_t i = 0; i < 5; i++) {
		snprintf(secret, sizeof(secret), "wrong %zu", i);
		l.secret = secret;
		site_wait(s, site_login(s, &l).delay);
	}
	expect_number("delay", site_in(s, "after five", l).delay, 0);
}

static void one_attempt_is_in_flight_and_the_same_secret_shares_its_outcome(void **state)
{
	struct site *s = *state;
	struct login l = LOGIN(home, "alice", "right", "client");
	struct account_try t, other;

	site_user(s, "alice", "right");
	t = site_try(s, &l);
	l.secret = "other";
	other = site_try(s, &l);
	assert_int_equal(accounts_came(&s->a, &t, s->now, s->wall).go, GO_CHECK);
	for (int i = 0; i < 9; i++)
		assert_int_equal(accounts_came(&s->a, &t, s->now, s->wall).go, GO_SAME);
	assert_int_equal(accounts_came(&s->a, &other, s->now, s->wall).go, GO_WAIT);
	assert_int_equal(
		accounts_done(&s->a, &t, ACCOUNT_RIGHT, s->now, s->wall).verdict.go,
		GO_CHECK);
	assert_int_equal(accounts_came(&s->a, &other, s->now, s->wall).go, GO_CHECK);
}

static void only_so_many_of_an_unknown_device_wait(void **state)
{
	struct site *s = *state;
	char secret[32];
	struct login l = LOGIN(home, "alice", secret, "client");
	size_t waits = 0, later = 0;

	site_user(s, "alice", "right");
	for (int i = 0; i < 100; i++) {
		struct account_try t;
		struct account_verdict v;

		snprintf(secret, sizeof(secret), "wrong %d", i);
		t = site_try(s, &l);
		v = accounts_came(&s->a, &t, s->now, s->wall);
		waits += v.go == GO_WAIT;
		later += v.go == GO_LATER;
		/* not at once, or it would ask as fast as it hears it */
		assert_int_equal(v.delay, v.go == GO_LATER ? site_limits.delay : 0);
	}
	assert_int_equal(waits, 16);
	assert_int_equal(later, 83);
}

static void what_was_in_flight_when_auth_died_is_so_no_more(void **state)
{
	struct site *s = *state;
	struct login l = LOGIN(home, "alice", "right", "client");
	struct account_try t;

	site_user(s, "alice", "right");
	t = site_try(s, &l);
	assert_int_equal(accounts_came(&s->a, &t, s->now, s->wall).go, GO_CHECK);
	assert_true(accounts_open(&s->a, s->mem, s->a.n));
	s->a.limits = site_limits;
	accounts_begin(&s->a, NULL, s->now);
	assert_int_equal(accounts_came(&s->a, &t, s->now, s->wall).go, GO_CHECK);
}

static void what_could_not_be_checked_counts_for_nothing(void **state)
{
	struct site *s = *state;
	struct login l = LOGIN(home, "alice", "wrong", "client");
	struct account_try t;
	struct account_done d;

	site_user(s, "alice", "right");
	t = site_try(s, &l);
	assert_int_equal(accounts_came(&s->a, &t, s->now, s->wall).go, GO_CHECK);
	d = accounts_done(&s->a, &t, ACCOUNT_UNCHECKED, s->now, s->wall);
	assert_int_equal(d.verdict.go, GO_LATER);
	assert_int_equal(d.verdict.event, EV_AUTH_LATER);
	assert_int_equal(d.verdict.delay, site_limits.delay);
	assert_int_equal(site_state(s, "alice").failures, 0);
	/* who is known hears it at once */
	(void)site_in(s, "her device",
		      (struct login)LOGIN(home, "alice", "right", "client"));
	t = site_try(s, &l);
	assert_int_equal(accounts_came(&s->a, &t, s->now, s->wall).go, GO_CHECK);
	d = accounts_done(&s->a, &t, ACCOUNT_UNCHECKED, s->now, s->wall);
	assert_int_equal(d.verdict.delay, 0);
}

/* ---- the same again --------------------------------------------------------------------------- */

static void a_repeated_wrong_secret_is_not_checked_and_weighs_nothing(void **state)
{
	struct site *s = *state;
	struct login l = LOGIN(home, "alice", "wrong", "client");
	struct fate f;

	site_user(s, "alice", "right");
	f = site_login(s, &l);
	expect_number("first", f.event, EV_AUTH_FAILED);
	expect_number("why", f.why, WHY_WRONG);
	for (int i = 0; i < 20; i++) {
		site_wait(s, MS_MINUTE);
		f = site_login(s, &l);
		expect_false("checked", f.checked);
		expect_number("again", f.event, EV_AUTH_REPEATED);
		expect_number("why again", f.why, WHY_REPEATED);
		expect_number("waits", f.delay, 2000);
	}
	expect_number("different secrets", site_state(s, "alice").secrets_wrong, 1);
	site_wait(s, MS_HOUR);
	f = site_login(s, &l);
	expect_true("after an hour it is checked anew", f.checked);
	expect_number("and is no news", f.event, EV_AUTH_REPEATED);
}

static void a_wrong_secret_that_became_right_gets_in(void **state)
{
	struct site *s = *state;
	struct login l = LOGIN(home, "alice", "new", "client");

	site_user(s, "alice", "old");
	(void)site_login(s, &l);
	site_user(s, "alice", "new");
	expect_number("nobody told us", site_login(s, &l).why, WHY_REPEATED);
	accounts_changed(&s->a, SPAN("alice"));
	(void)site_in(s, "after the change", l);

	site_user(s, "bob", "old");
	l.user = "bob";
	(void)site_login(s, &l);
	site_user(s, "bob", "new");
	l.from = away;
	(void)site_in(s, "from elsewhere", l);
	l.from = home;
	(void)site_in(s, "it was right there", l);
}

static void an_old_password_is_told_once_with_its_place_and_since_when(void **state)
{
	struct site *s = *state;
	struct login l = LOGIN(home, "alice", NULL, "phone");
	unsigned told = 0;
	struct account_state st;
	ms_t since;

	site_user(s, "alice", "old");
	(void)site_in(s, "learned", l);
	site_user(s, "alice", "new");
	site_wait(s, MS_HOUR);
	since = s->now;
	l.secret = "old";
	for (int i = 0; i < 600; i++, site_wait(s, MS_MINUTE))
		told += (site_login(s, &l).tell & TELL_STALE) != 0;
	assert_int_equal(told, 1);
	st = site_state(s, "alice");
	assert_true(st.stale);
	assert_true(addr_eq(&st.stale_from, &home));
	assert_true(st.stale_since >= since && st.stale_since <= since + 2000);
	(void)site_in(s, "the phone was told the new one", l);
	assert_false(site_state(s, "alice").stale);
}

/* ---- networks and names --------------------------------------------------------------------------- */

static void ten_names_that_do_not_exist_refuse_a_network_for_a_while(void **state)
{
	struct site *s = *state;
	char user[32];
	struct login l = LOGIN(home, user, user, NULL);
	struct login real = LOGIN(home, "alice", "wrong", "client");
	struct fate f;

	site_user(s, "alice", "right");
	for (int i = 0; i < 10; i++) {
		snprintf(user, sizeof(user), "nobody%d", i);
		f = site_login(s, &l);
		expect_number("unknown", f.why, WHY_UNKNOWN);
		expect_number("as such", f.event, EV_AUTH_UNKNOWN);
	}
	f = site_login(s, &real);
	expect_number("all of it", f.go, GO_REFUSE);
	expect_number("why", f.why, WHY_PREFIX);
	expect_number("event", f.event, EV_AUTH_TRAPPED);
	real.from = away;
	expect_number("others not", site_login(s, &real).why, WHY_WRONG);
	real.from = home;
	site_wait(s, 11 * MS_MINUTE);
	real.secret = "another";
	expect_number("over", site_login(s, &real).why, WHY_WRONG);
}

static void a_network_that_goes_on_is_refused_twice_as_long(void **state)
{
	struct site *s = *state;
	char user[32];
	struct login l = LOGIN(home, user, user, NULL);
	ms_t length[3];

	for (int round = 0, n = 0; round < 3; round++) {
		ms_t began;

		while (site_login(s, &l).why != WHY_PREFIX || n == 0)
			snprintf(user, sizeof(user), "nobody%d", n++);
		began = s->now;
		snprintf(user, sizeof(user), "again");
		while (site_login(s, &l).why == WHY_PREFIX)
			site_wait(s, MS_SECOND);
		length[round] = s->now - began;
	}
	assert_in_range(length[0], 590 * MS_SECOND, 610 * MS_SECOND);
	assert_in_range(length[1], 1190 * MS_SECOND, 1210 * MS_SECOND);
	assert_in_range(length[2], 2390 * MS_SECOND, 2410 * MS_SECOND);
}

static void where_users_of_ours_live_only_names_that_do_not_exist_are_refused(void **state)
{
	struct site *s = *state;
	char user[32];
	struct login bad = LOGIN(home, user, user, "tool");
	struct login l = LOGIN(home, "alice", NULL, "laptop");
	struct fate f;

	site_user(s, "alice", "right");
	site_user(s, "bob", "secret");
	(void)site_in(s, "lives there", l);
	for (int i = 0; i < 20; i++) {
		snprintf(user, sizeof(user), "nobody%d", i);
		f = site_login(s, &bad);
	}
	expect_number("unseen", f.go, GO_REFUSE);
	expect_number("why", f.why, WHY_PREFIX);
	expect_number("no ban of all", f.event, EV_AUTH_UNKNOWN);
	(void)site_in(s, "known device", l);
	l.client = "a new telephone";
	(void)site_in(s, "new device", l);
	l.user = "bob";
	(void)site_in(s, "somebody else there", l);
}

static void a_trap_is_sprung_at_once(void **state)
{
	struct site *s = *state;
	struct login l = LOGIN(home, "ftpuser", "x", "tool");
	struct fate f;

	l.trap = true;
	f = site_login(s, &l);
	assert_int_equal(f.go, GO_REFUSE);
	assert_int_equal(f.why, WHY_TRAP);
	assert_int_equal(f.event, EV_AUTH_TRAPPED);
	assert_false(f.checked);
	assert_int_equal(f.delay, 2000);
}

/* ---- guarded ----------------------------------------------------------------------------------- */

static unsigned guess(struct site *s, const char *user, size_t from, size_t n)
{
	unsigned told = 0;

	for (size_t i = from; i < from + n; i++) {
		char secret[32], client[16];
		struct login l = LOGIN(site_addr(i), user, secret, client);

		snprintf(secret, sizeof(secret), "guess %zu", i);
		snprintf(client, sizeof(client), "bot %zu", i);
		told |= site_login(s, &l).tell;
		site_wait(s, MS_MINUTE);
	}
	return told;
}

static void an_account_that_is_guessed_at_is_guarded_until_that_ends(void **state)
{
	struct site *s = *state;
	struct login l = LOGIN(home, "alice", NULL, "laptop");
	struct fate f;

	site_user(s, "alice", "right");
	(void)site_in(s, "known", l);
	assert_false(guess(s, "alice", 0, 9) & TELL_GUARDED);
	assert_false(site_state(s, "alice").guarded);
	assert_true(guess(s, "alice", 9, 1) & TELL_GUARDED);
	assert_true(site_state(s, "alice").guarded);
	assert_int_equal(site_state(s, "alice").places_wrong, 10);
	expect_number("known device", site_in(s, "known", l).delay, 0);
	l.from = away;
	f = site_in(s, "traveller", l);
	expect_number("with delay only", f.delay, 15000);
	expect_true("told", f.tell & TELL_NEW_DEVICE);
	expect_number("and known now", site_in(s, "again", l).delay, 0);
	l.secret = "wrong";
	l.client = "unknown";
	expect_number("wrong ones wait long", site_login(s, &l).delay, 15000);
	site_wait(s, 4 * MS_DAY);
	assert_false(site_state(s, "alice").guarded);
	l.from = site_addr(900);
	f = site_in(s, "after it", l);
	expect_number("no delay", f.delay, 0);
	expect_true("told", f.tell & TELL_UNGUARDED);
}

/* Whatever the reason, the same answer after the same time. */
static void nobody_learns_from_delays_who_exists_or_what_is_right(void **state)
{
	struct site *s = *state;

	site_user(s, "alice", "right");
	for (size_t i = 0; i < 60; i++) {
		static const char *const users[] = { "alice", "nobody", "closed" };
		struct addr from = addr_v4(100, (uint8_t)i, 1, (uint8_t)(i % 3));
		ms_t delay[COUNT_OF(users)];
		char secret[32];

		snprintf(secret, sizeof(secret), "guess %zu", i);
		for (size_t u = 0; u < COUNT_OF(users); u++) {
			struct login l = LOGIN(from, users[u], secret, NULL);
			struct account_try t = site_try(s, &l);
			struct account_verdict v;
			bool closed = u == 2;

			t.exists = u != 1;
			v = accounts_came(&s->a, &t, s->now, s->wall);
			delay[u] = v.delay;
			if (v.go != GO_CHECK)
				continue;
			delay[u] = accounts_done(&s->a, &t,
						 closed ? ACCOUNT_DISABLED : ACCOUNT_WRONG,
						 s->now, s->wall)
					   .verdict.delay;
		}
		expect_number("unknown", delay[1], delay[0]);
		if (i < 9) /* until the others are guarded */
			expect_number("disabled", delay[2], delay[0]);
		site_wait(s, MS_SECOND);
	}
}

static void the_administrator_ends_it_sooner(void **state)
{
	struct site *s = *state;

	site_user(s, "alice", "right");
	assert_false(accounts_unguard(&s->a, SPAN("alice"), s->now));
	(void)guess(s, "alice", 0, 12);
	assert_true(site_state(s, "alice").guarded);
	assert_true(accounts_unguard(&s->a, SPAN("alice"), s->now));
	assert_false(site_state(s, "alice").guarded);
	assert_int_equal(site_state(s, "alice").places_wrong, 0);
}

static void one_wrong_secret_from_many_places_is_one(void **state)
{
	struct site *s = *state;

	site_user(s, "alice", "right");
	for (size_t i = 0; i < 200; i++) {
		struct login l = LOGIN(site_addr(i), "alice", "old", "phone");

		assert_int_equal(site_login(s, &l).why, WHY_WRONG);
		site_wait(s, MS_MINUTE);
	}
	assert_false(site_state(s, "alice").guarded);
	assert_int_equal(site_state(s, "alice").secrets_wrong, 1);
	assert_int_equal(site_state(s, "alice").places_wrong, 1);
}

/* ---- devices and clocks --------------------------------------------------------------------------- */

static void a_device_is_known_for_thirty_days_after_its_last_login(void **state)
{
	struct site *s = *state;
	struct login l = LOGIN(home, "alice", NULL, "laptop");

	site_user(s, "alice", "right");
	expect_false("new", site_in(s, "first", l).known);
	site_wait(s, 29 * MS_DAY);
	expect_true("known", site_in(s, "second", l).known);
	site_wait(s, 31 * MS_DAY);
	expect_false("forgotten", site_in(s, "third", l).known);
}

static void devices_come_back_from_the_database(void **state)
{
	struct site *s = *state;
	struct login l = LOGIN(home, "alice", NULL, "laptop");
	struct account_device d = { .user = site_hash(s, "alice"),
				    .client = site_hash(s, "laptop"),
				    .prefix = home,
				    .first = SITE_WALL - 20 * MS_DAY,
				    .last = SITE_WALL - 2 * MS_DAY,
				    .logins = 3 };

	site_user(s, "alice", "right");
	accounts_put_device(&s->a, &d, s->now, s->wall);
	assert_int_equal(site_state(s, "alice").devices, 1);
	assert_int_equal(site_state(s, "alice").new_devices, 0);
	expect_true("known", site_in(s, "back", l).known);
}

static void of_more_devices_than_there_is_room_for_the_last_used_stay(void **state)
{
	struct site *s = *state;
	size_t kept = 0, devices = 4096; /* twice as many as have room, the newest first */

	for (size_t i = 0; i < devices; i++) {
		struct account_device d = { .user = 1 + i,
					    .client = 7,
					    .prefix = home,
					    .first = 1,
					    .last = SITE_WALL - (int64_t)i * MS_MINUTE,
					    .logins = 1 };

		accounts_put_device(&s->a, &d, s->now, s->wall);
	}
	for (size_t i = 0; i < rows_count(&s->a, AT_DEVICES); i++) {
		const struct account_known *d = rows_at(&s->a, AT_DEVICES, i);

		kept += d->row.key && d->user <= devices / 4;
	}
	assert_in_range(kept, devices / 4 * 95 / 100, devices / 4);
}

static void forgotten_devices_are_new_again(void **state)
{
	struct site *s = *state;
	struct login l = LOGIN(home, "alice", NULL, "laptop");

	site_user(s, "alice", "right");
	(void)site_in(s, "learned", l);
	assert_true(accounts_forget(&s->a, SPAN("alice")));
	assert_false(accounts_forget(&s->a, SPAN("alice")));
	assert_false(site_in(s, "new", l).known);
}

static void a_memory_with_another_key_is_emptied(void **state)
{
	struct site *s = *state;
	struct login l = LOGIN(home, "alice", NULL, "laptop");
	const uint64_t same[2] = { site_key[0], site_key[1] }, other[2] = { 3, 4 };

	site_user(s, "alice", "right");
	(void)site_in(s, "learned", l);
	accounts_begin(&s->a, same, s->now);
	assert_int_equal(site_state(s, "alice").devices, 1);
	accounts_begin(&s->a, other, s->now);
	assert_int_equal(site_state(s, "alice").devices, 0);
	assert_false(site_in(s, "anew", l).known);
}

static void a_wall_clock_that_jumps_changes_nothing(void **state)
{
	static const int64_t jumps[] = { -400 * MS_DAY, 400 * MS_DAY, -SITE_WALL };
	struct site *s = *state;
	struct login l = LOGIN(home, "alice", NULL, "laptop");
	char user[32];
	struct login bad = LOGIN(away, user, user, NULL);

	site_user(s, "alice", "right");
	(void)site_in(s, "learned", l);
	(void)guess(s, "alice", 0, 12);
	for (int i = 0; i < 10; i++) {
		snprintf(user, sizeof(user), "nobody%d", i);
		(void)site_login(s, &bad);
	}
	for (size_t i = 0; i < COUNT_OF(jumps); i++) {
		s->wall = SITE_WALL + jumps[i];
		expect_true("known", site_in(s, "jump", l).known);
		expect_number("refused", site_login(s, &bad).why, WHY_PREFIX);
		expect_true("guarded", site_state(s, "alice").guarded);
	}
}

static void too_many_places_in_a_day_are_told_and_held_but_not_for_old_devices(void **state)
{
	struct site *s = *state;
	struct login l = LOGIN(home, "alice", NULL, "laptop");
	unsigned told = 0, held = 0;
	struct fate f;

	site_user(s, "alice", "right");
	(void)site_in(s, "its owner", l);
	site_wait(s, 3 * MS_DAY);
	for (uint8_t i = 0; i < 40; i++, site_wait(s, MS_MINUTE)) {
		l.from = addr_v4(100, i, 1, 1);
		l.client = "thief";
		f = site_in(s, "right password", l);
		told += (f.tell & TELL_PLACES) != 0;
		held += f.held;
	}
	assert_int_equal(told, 1);
	assert_in_range(held, 15, 25); /* a sketch counts above eight */
	assert_true(site_state(s, "alice").held);
	l.from = home;
	l.client = "laptop";
	assert_false(site_in(s, "its owner", l).held);
}

/* ---- the whole ---------------------------------------------------------------------------------- */

static void what_it_only_observes_is_neither_refused_nor_delayed(void **state)
{
	struct site *s = *state;
	char user[32];
	struct login l = LOGIN(home, user, "x", "tool");

	l.trap = true;
	s->a.limits.observe = true;
	for (int i = 0; i < 50; i++) {
		struct fate f;

		snprintf(user, sizeof(user), "nobody%d", i);
		f = site_login(s, &l);
		expect_true("checked", f.checked);
		expect_number("delay", f.delay, 0);
	}
}

static void another_memory_is_not_opened(void **state)
{
	struct site *s = *state;
	struct account_head *head = s->mem;
	struct accounts a;

	assert_false(accounts_open(&a, s->mem, s->a.n - 1));
	assert_false(accounts_open(&a, NULL, 0));
	head->shape.users++;
	assert_false(accounts_open(&a, s->mem, s->a.n));
	head->shape.users--;
	assert_true(accounts_open(&a, s->mem, s->a.n));
	head->version++;
	assert_false(accounts_open(&a, s->mem, s->a.n));
}

/*
 * Each attempt at a trap changes two counts at once. A reader in another process sees both
 * or neither, or says that it does not know, though it takes no lock.
 */
static void a_reader_never_sees_half_of_what_is_written(void **state)
{
	struct site *s = *state;
	size_t reads = 0, changes = 0;
	uint32_t was = 0;
	void *shared = mmap(NULL, s->a.n, PROT_READ | PROT_WRITE,
			    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int status;
	pid_t writer;

	assert_true(shared != MAP_FAILED);
	memcpy(shared, s->mem, s->a.n);
	assert_true(accounts_open(&s->a, shared, s->a.n));
	s->a.limits = site_limits;
	writer = fork_child();
	assert_true(writer >= 0);
	if (writer == 0) {
		struct login l = LOGIN(home, "oracle", "x", "tool");

		l.trap = true;
		for (;;)
			(void)site_login(s, &l);
	}
	while (reads < 1000 || changes < 3) {
		struct account_state st = site_state(s, "oracle");

		if (st.torn)
			continue;
		assert_int_equal(st.failures, st.per_hour);
		changes += st.failures != was;
		was = st.failures;
		reads++;
	}
	assert_int_equal(kill(writer, SIGKILL), 0);
	assert_int_equal(waitpid(writer, &status, 0), writer);
	munmap(shared, s->a.n);
}

/* Whatever is tried, by anybody, in any order. */
static void a_known_device_is_refused_unseen_only_for_what_it_gave_before(void **state)
{
	static const char *const users[] = { "alice", "bob", "carol", "nobody", "root" };
	static const char *const clients[] = { "laptop", "phone", "tool", "" };
	struct site *s = *state;
	size_t refused = 0, known = 0;

	site_user(s, "alice", "s1");
	site_user(s, "bob", "s2");
	site_user(s, "carol", "s3");
	for (int i = 0; i < 200000; i++) {
		char secret[24];
		struct login l = LOGIN(addr_v4(10, 0, (uint8_t)dice_below(&s->dices, 12),
					       (uint8_t)dice_below(&s->dices, 3)),
				       users[dice_below(&s->dices, COUNT_OF(users))],
				       secret,
				       clients[dice_below(&s->dices, COUNT_OF(clients))]);
		struct fate f;

		/* one in four is right */
		snprintf(secret, sizeof(secret), "%.8s",
			 dice_below(&s->dices, 4) || !site_password(s, l.user)
				 ? "wrong"
				 : site_password(s, l.user));
		if (dice_below(&s->dices, 2) && *secret == 'w')
			snprintf(secret, sizeof(secret), "s%zu",
				 dice_below(&s->dices, 40));
		l.trap = dice_below(&s->dices, 50) == 0;
		f = site_login(s, &l);
		refused += f.go == GO_REFUSE && !f.checked;
		known += f.known;
		if (f.known && f.go == GO_REFUSE && !f.checked)
			assert_int_equal(f.why, WHY_REPEATED);
		if (f.known)
			assert_true(f.go == GO_CHECK || f.go == GO_REFUSE);
		site_wait(s, (ms_t)dice_below(&s->dices, 20000));
	}
	assert_true(refused > 1000);
	assert_true(known > 1000);
}

#define site_test(f) cmocka_unit_test_setup_teardown(f, site_set_up, site_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		site_test(who_stood_in_line_and_left_is_in_nobodys_way),
		site_test(refusals_wait_longer_each_time_and_less_after_a_pause),
		site_test(the_timer_is_of_the_pair_and_not_of_the_connection),
		site_test(a_right_password_never_waits),
		site_test(one_attempt_is_in_flight_and_the_same_secret_shares_its_outcome),
		site_test(only_so_many_of_an_unknown_device_wait),
		site_test(what_was_in_flight_when_auth_died_is_so_no_more),
		site_test(what_could_not_be_checked_counts_for_nothing),
		site_test(a_repeated_wrong_secret_is_not_checked_and_weighs_nothing),
		site_test(a_wrong_secret_that_became_right_gets_in),
		site_test(an_old_password_is_told_once_with_its_place_and_since_when),
		site_test(ten_names_that_do_not_exist_refuse_a_network_for_a_while),
		site_test(a_network_that_goes_on_is_refused_twice_as_long),
		site_test(
			where_users_of_ours_live_only_names_that_do_not_exist_are_refused),
		site_test(a_trap_is_sprung_at_once),
		site_test(an_account_that_is_guessed_at_is_guarded_until_that_ends),
		site_test(nobody_learns_from_delays_who_exists_or_what_is_right),
		site_test(the_administrator_ends_it_sooner),
		site_test(one_wrong_secret_from_many_places_is_one),
		site_test(a_device_is_known_for_thirty_days_after_its_last_login),
		site_test(devices_come_back_from_the_database),
		site_test(of_more_devices_than_there_is_room_for_the_last_used_stay),
		site_test(forgotten_devices_are_new_again),
		site_test(a_memory_with_another_key_is_emptied),
		site_test(a_wall_clock_that_jumps_changes_nothing),
		site_test(
			too_many_places_in_a_day_are_told_and_held_but_not_for_old_devices),
		site_test(what_it_only_observes_is_neither_refused_nor_delayed),
		site_test(another_memory_is_not_opened),
		site_test(a_reader_never_sees_half_of_what_is_written),
		site_test(a_known_device_is_refused_unseen_only_for_what_it_gave_before),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
