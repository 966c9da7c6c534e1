/*
 * The guard of accounts under the attacks of ATTACKS.md, in virtual time: what is
 * recognised, when, and that no honest login is refused meanwhile. Each test is one
 * labelled scenario.
 */
#include "accounts_kit.h"

static const struct addr home = { { [10] = 0xff, 0xff, 192, 0, 2, 7 } };

/* ---- honest people --------------------------------------------------------------------------- */

/* Twelve users with two devices each, at home and in the office. */
static const char *const people[] = { "ann",  "ben",  "cid",  "dora", "ed",  "flo",
				      "gina", "hugo", "ines", "jan",  "kim", "leo" };

static struct login device(size_t who, size_t which)
{
	static const char *const programs[] = { "Thunderbird", "phone" };
	struct login l = LOGIN(which ? addr_v4(80, (uint8_t)who, 1, 5)
				     : addr_v4(198, 51, 100, 20),
			       people[who], NULL, programs[which]);

	return l;
}

static void make_people(struct site *s)
{
	for (size_t i = 0; i < COUNT_OF(people); i++) {
		char password[32];

		snprintf(password, sizeof(password), "secret of %s", people[i]);
		site_user(s, people[i], password);
		(void)site_in(s, "first login", device(i, 0));
		(void)site_in(s, "first login", device(i, 1));
	}
	site_wait(s, MS_DAY);
}

/* Somebody logs in, now and then after a typing error; and somebody from a new place. */
static void honest_hour(struct site *s)
{
	size_t who = dice_below(&s->dices, COUNT_OF(people));
	struct login l = device(who, dice_below(&s->dices, 2));
	struct fate f;

	if (dice_below(&s->dices, 10) == 0) {
		char typo[32];

		snprintf(typo, sizeof(typo), "typo %zu", dice_below(&s->dices, 100000));
		l.secret = typo;
		f = site_login(s, &l);
		expect_number("a typing error is just wrong", f.why, WHY_WRONG);
	}
	f = site_in(s, "at home", l);
	expect_number("no delay", f.delay, 0);
	if (dice_below(&s->dices, 20) == 0) {
		l.from = addr_v4(150, (uint8_t)dice_below(&s->dices, 200), 7, 7);
		f = site_in(s, "from a new place", l);
		assert_true(f.delay <= site_limits.delay_max);
	}
}

/* ---- what became of an attack ------------------------------------------------------------------ */

struct run {
	size_t attempts, checked, unseen, later;
	size_t recognised; /* the attempt that told of a campaign; 0: none */
	size_t missed;	   /* that were checked after that */
	unsigned tell;
};

static struct fate attack(struct site *s, struct run *r, const struct login *l)
{
	struct fate f = site_login(s, l);

	r->attempts++;
	r->checked += f.checked;
	r->unseen += f.go == GO_REFUSE && !f.checked;
	r->later += f.go == GO_LATER;
	r->missed += r->recognised && f.checked;
	r->tell |= f.tell;
	if ((f.tell & TELL_CAMPAIGN) && !r->recognised)
		r->recognised = r->attempts;
	assert_false(f.go == GO_CHECK); /* it never guesses right */
	return f;
}

/* Gaps of which a tenth are below 10 s, half below 36 min, nine tenths below 2.5 h. */
static ms_t gap(struct site *s)
{
	static const ms_t at[] = { MS_SECOND, 10 * MS_SECOND, 36 * MS_MINUTE,
				   150 * MS_MINUTE, 300 * MS_MINUTE };
	static const size_t part[] = { 0, 10, 50, 90, 100 };
	size_t roll = dice_below(&s->dices, 100), i = 1;

	while (roll >= part[i])
		i++;
	return at[i - 1] + (at[i] - at[i - 1]) * (ms_t)(roll - part[i - 1]) /
				   (ms_t)(part[i] - part[i - 1]);
}

/* Thirteen names, two of which are most of it. */
static const char *name_of(struct site *s, const char *first, const char *second)
{
	static const char *const rest[] = { "admin",   "info",	"test", "sales",
					    "support", "scan",	"fax",	"backup",
					    "office",  "print", "user" };
	size_t roll = dice_below(&s->dices, 100);

	return roll < 36 ? first : roll < 63 ? second : rest[roll % COUNT_OF(rest)];
}

struct distributed {
	size_t addresses, attempts;
	ms_t between; /* 0: as in A7 */
	const char *first, *second, *client;
};

static struct run play(struct site *s, const struct distributed *d)
{
	struct run r = { 0 };
	ms_t hour = s->now;

	for (size_t i = 0; i < d->attempts; i++) {
		char secret[32], client[32];
		struct login l = LOGIN(site_addr(i % d->addresses),
				       name_of(s, d->first, d->second), secret, d->client);

		snprintf(secret, sizeof(secret), "guess %zu", dice_below(&s->dices, 5000));
		snprintf(client, sizeof(client), "program %zu", i);
		if (!l.client)
			l.client = client;
		(void)attack(s, &r, &l);
		site_wait(s, d->between ? d->between : gap(s));
		for (; hour < s->now; hour += MS_HOUR)
			honest_hour(s);
	}
	return r;
}

/* ---- A7 ------------------------------------------------------------------------------------- */

static void A7_139_addresses_in_five_days_are_one_campaign(void **state)
{
	const struct distributed d = { 139, 139, 0, "ann", "ben", "EHLO ADMIN" };
	struct site *s = *state;
	struct campaign_state c;
	ms_t began;
	struct run r;

	make_people(s);
	began = s->now;
	r = play(s, &d);
	assert_in_range(s->now - began, 3 * MS_DAY, 8 * MS_DAY);
	assert_in_range(r.recognised, 8, 24);
	assert_in_range(r.missed, 0, 5); /* existing users that it had not tried before */
	assert_int_equal(site_campaigns(s, &c), 1);
	assert_in_range(c.members, 100, 170);
	assert_in_range(c.users, 9, 16);
	assert_true(c.refused >= r.unseen * 9 / 10);
	assert_non_null(strstr(c.sample, "ann"));
	assert_true(site_state(s, "ann").campaign == c.number);
}

static void A7_names_that_do_not_exist_are_one_campaign_whatever_the_program(void **state)
{
	const struct distributed d = { 139, 139, 0, "root", "postmast3r", NULL };
	struct site *s = *state;
	struct campaign_state c;
	struct run r;

	make_people(s);
	r = play(s, &d);
	assert_in_range(r.recognised, 8, 40);
	assert_int_equal(site_campaigns(s, &c), 1);
	/* the two names that are most of it */
	assert_true(r.unseen * 2 > d.attempts - r.recognised);
}

static void A7_8858_addresses_in_320_days_are_one_campaign(void **state)
{
	const struct distributed d = { 8858,  30117, 320 * MS_DAY / 30117,
				       "ann", "ben", "EHLO ADMIN" };
	struct site *s = *state;
	struct campaign_state c;
	struct run r;

	make_people(s);
	r = play(s, &d);
	assert_in_range(r.recognised, 8, 24);
	assert_in_range(r.missed, 0, 30);
	assert_int_equal(site_campaigns(s, &c), 1);
	assert_true(site_state(s, "ann").guarded);
	assert_in_range(c.members, 8858 * 6 / 10, 8858 * 14 / 10);
}

static void A7_against_two_users_with_all_kinds_of_programs_guards_them(void **state)
{
	const struct distributed d = { 400, 400, 10 * MS_MINUTE, "ann", "ben", NULL };
	struct site *s = *state;
	struct run r;

	make_people(s);
	r = play(s, &d);
	assert_true(r.tell & TELL_GUARDED);
	assert_true(site_state(s, "ann").guarded);
	assert_true(site_state(s, "ben").guarded);
	assert_false(site_state(s, "cid").guarded);
}

/* ---- A8 ------------------------------------------------------------------------------------- */

static struct run prefix_guessing(struct site *s, const char *client, size_t n)
{
	struct run r = { 0 };

	for (size_t i = 0; i < n; i++) {
		char user[32], secret[32], program[32];
		struct login l = LOGIN(addr_v4(203, 0, 113, (uint8_t)(1 + i % 254)), user,
				       secret, client);

		snprintf(user, sizeof(user), "name%zu", dice_below(&s->dices, 1000000));
		snprintf(secret, sizeof(secret), "guess %zu", i);
		snprintf(program, sizeof(program), "program %zu", i);
		if (!client)
			l.client = program;
		(void)attack(s, &r, &l);
		site_wait(s, MS_SECOND);
		if (i % 100 == 0)
			honest_hour(s);
	}
	return r;
}

static void A8_a_whole_network_is_refused_and_is_one_campaign(void **state)
{
	struct site *s = *state;
	struct campaign_state c;
	struct run r;

	make_people(s);
	r = prefix_guessing(s, "bot", 3000);
	assert_in_range(r.recognised, 1, 30);
	assert_int_equal(r.missed, 0);
	assert_int_equal(site_campaigns(s, &c), 1);
}

static void A8_also_when_each_looks_different(void **state)
{
	struct site *s = *state;
	struct campaign_state c;
	struct run r;

	make_people(s);
	r = prefix_guessing(s, NULL, 500);
	assert_in_range(r.checked, 10, 30);
	assert_int_equal(site_campaigns(s, &c), 1);
	assert_string_equal(c.by, "one network");
}

/* ---- A1 ------------------------------------------------------------------------------------- */

static void A1_one_address_gets_few_guesses_checked(void **state)
{
	struct site *s = *state;
	struct run r = { 0 };

	make_people(s);
	/* a hundred a second for a minute, at one user */
	for (int i = 0; i < 6000; i++, site_wait(s, 10)) {
		char secret[32];
		struct login l = LOGIN(addr_v4(203, 0, 113, 5), "ann", secret,
				       "EHLO ADMIN");

		snprintf(secret, sizeof(secret), "guess %d", i);
		(void)attack(s, &r, &l);
		if (i % 500 == 0)
			honest_hour(s);
	}
	assert_in_range(r.checked, 1, 10);
	assert_true(r.later > 5900);
}

static void A1_two_hundred_addresses_are_one_campaign(void **state)
{
	struct site *s = *state;
	struct campaign_state c;
	struct run r = { 0 };

	make_people(s);
	for (size_t i = 0; i < 5000; i++, site_wait(s, 50)) {
		char secret[32];
		struct login l = LOGIN(site_addr(i % 200), i % 2 ? "ann" : "admin",
				       secret, "EHLO ADMIN");

		snprintf(secret, sizeof(secret), "guess %zu", i);
		(void)attack(s, &r, &l);
		if (i % 100 == 0)
			honest_hour(s);
	}
	assert_in_range(r.recognised, 8, 40);
	assert_in_range(r.missed, 0, 5);
	assert_int_equal(site_campaigns(s, &c), 1);
}

/* ---- one secret on many users ------------------------------------------------------------------ */

static void spraying_is_told_and_refused_from_unknown_devices(void **state)
{
	struct site *s = *state;
	struct run r = { 0 };

	make_people(s);
	for (size_t i = 0; i < 200; i++, site_wait(s, 20 * MS_MINUTE)) {
		char user[32], client[32];
		struct login l = LOGIN(site_addr(i), user, "Summer2026", client);
		struct fate f;

		snprintf(client, sizeof(client), "program %zu", i);
		snprintf(user, sizeof(user), "%s%zu", people[i % COUNT_OF(people)],
			 i / 12);
		f = attack(s, &r, &l);
		if (i >= 10)
			expect_false("not checked", f.checked);
		honest_hour(s);
	}
	assert_true(r.tell & TELL_SPRAY);
	/* whose password it really is gets in with the device that is known */
	site_user(s, "ann", "Summer2026");
	accounts_changed(&s->a, SPAN("ann"));
	(void)site_in(s, "her own", device(0, 0));
}

/* ---- those who look like it ------------------------------------------------------------------------ */

static void A2b_old_passwords_are_never_more_than_wrong(void **state)
{
	struct site *s = *state;
	struct login tablet;
	size_t told = 0, counted = 0;
	struct account_state st;
	ms_t since;

	make_people(s);
	site_user(s, "ann", "new");
	since = s->now;
	for (int minute = 0; minute < 5 * 24 * 60; minute++, site_wait(s, MS_MINUTE)) {
		for (size_t i = 0; i < 3; i++) {
			struct login l = device(0, i % 2);
			struct fate f;

			if (i == 2)
				l.client = "tablet";
			l.secret = "secret of ann";
			f = site_login(s, &l);
			assert_int_equal(f.go, GO_REFUSE);
			assert_true(f.why == WHY_WRONG || f.why == WHY_REPEATED);
			assert_true(f.delay <= site_limits.delay);
			counted += f.event != EV_AUTH_REPEATED;
			told += (f.tell & TELL_STALE) != 0;
		}
		if (minute % 700 == 5) {
			tablet = device(0, 0);
			tablet.client = "a new computer";
			(void)site_in(s, "the new password from a new device", tablet);
			honest_hour(s);
		}
	}
	assert_in_range(told, 1, 2); /* the third is behind the same address */
	assert_in_range(counted, 1, 3);
	st = site_state(s, "ann");
	assert_true(st.stale);
	assert_in_range(st.stale_since, since, since + MS_HOUR);
	assert_int_equal(st.secrets_wrong, 1);
	assert_false(st.guarded);
}

static void an_infected_machine_behind_an_address_of_many_harms_nobody_else(void **state)
{
	struct site *s = *state;
	struct addr nat = addr_v4(198, 51, 100, 20); /* where all of them have a device */
	struct run r = { 0 };

	make_people(s);
	for (size_t i = 0; i < 3000; i++, site_wait(s, 5 * MS_SECOND)) {
		char user[32], secret[32];
		struct login l = LOGIN(nat, user, secret, "virus");

		snprintf(user, sizeof(user), "%s", people[i % COUNT_OF(people)]);
		if (i % 3)
			snprintf(user, sizeof(user), "name%zu", i);
		snprintf(secret, sizeof(secret), "guess %zu", i);
		(void)attack(s, &r, &l);
		if (i % 20 == 0)
			honest_hour(s);
		if (i % 100 == 0) {
			char program[32];
			struct login new = LOGIN(nat, "kim", NULL, program);

			snprintf(program, sizeof(program), "new telephone %zu", i);
			/* another attempt at the same user may be under way: then 454 */
			site_wait(s, MS_MINUTE);
			(void)site_in(s, "a new device there", new);
		}
	}
	assert_true(r.unseen > 1500);
}

static void webmail_logs_in_thousands_from_one_address(void **state)
{
	struct site *s = *state;

	make_people(s);
	for (int i = 0; i < 20000; i++, site_wait(s, 2 * MS_SECOND)) {
		struct login l = LOGIN(home,
				       people[dice_below(&s->dices, COUNT_OF(people))],
				       "oops", "webmail");

		l.behind = i % 2;
		if (dice_below(&s->dices, 30) == 0)
			assert_int_equal(site_login(s, &l).go, GO_REFUSE);
		if (dice_below(&s->dices, 50) == 0) {
			char user[32];
			struct login typo = LOGIN(home, user, "x", "webmail");

			snprintf(user, sizeof(user), "typo%d", i);
			assert_int_equal(site_login(s, &typo).go, GO_REFUSE);
		}
		expect_number("no delay", site_in(s, "webmail", l).delay, 0);
	}
	for (size_t i = 0; i < COUNT_OF(people); i++)
		assert_false(site_state(s, people[i]).guarded);
}

static void an_office_mistypes(void **state)
{
	struct site *s = *state;
	struct campaign_state c;

	make_people(s);
	for (int hour = 0; hour < 60 * 24; hour++, site_wait(s, MS_HOUR))
		honest_hour(s);
	assert_int_equal(site_campaigns(s, &c), 0);
}

static void a_server_that_lost_all_passwords_for_a_day_sees_no_campaign(void **state)
{
	struct site *s = *state;
	struct campaign_state c;

	/* nobody is known yet, and all have the same program */
	for (size_t i = 0; i < COUNT_OF(people); i++)
		site_user(s, people[i], "lost");
	for (int minute = 0; minute < 24 * 60; minute += 10, site_wait(s, 10 * MS_MINUTE)) {
		for (size_t i = 0; i < 2 * COUNT_OF(people); i++) {
			struct login l = device(i / 2, i % 2);
			char secret[32];

			l.client = "Thunderbird";
			snprintf(secret, sizeof(secret), "secret of %s", people[i / 2]);
			l.secret = secret;
			assert_int_equal(site_login(s, &l).go, GO_REFUSE);
		}
	}
	assert_int_equal(site_campaigns(s, &c), 0);
	for (size_t i = 0; i < COUNT_OF(people); i++) {
		char password[32];

		snprintf(password, sizeof(password), "secret of %s", people[i]);
		site_user(s, people[i], password);
		accounts_changed(&s->a, span_str(people[i]));
		(void)site_in(s, "mended", device(i, 0));
	}
}

static void a_program_that_honest_users_have_is_no_campaign(void **state)
{
	struct site *s = *state;
	struct campaign_state c;

	make_people(s);
	/* setting up an account: the name is wrong at first, from ever new addresses */
	for (size_t i = 0; i < 30; i++, site_wait(s, MS_HOUR)) {
		char wrong[32];
		struct login l = LOGIN(site_addr(i), wrong, "x", "Thunderbird");

		snprintf(wrong, sizeof(wrong), "%s@exmaple%zu", people[i % 12], i);
		l.secret = wrong;
		assert_int_equal(site_login(s, &l).why, WHY_UNKNOWN);
		l.user = people[i % 12];
		(void)site_in(s, "and right then", l);
	}
	assert_int_equal(site_campaigns(s, &c), 0);
}

static void an_honest_user_tries_five_passwords(void **state)
{
	struct site *s = *state;
	struct login l = device(0, 0);

	make_people(s);
	l.from = addr_v4(150, 1, 2, 3);
	l.client = "a friend's computer";
	for (int i = 0; i < 5; i++) {
		char secret[32];
		struct fate f;

		snprintf(secret, sizeof(secret), "was it %d?", i);
		l.secret = secret;
		f = site_login(s, &l);
		expect_number("wrong, no more", f.why, WHY_WRONG);
		site_wait(s, f.delay + 5 * MS_SECOND);
	}
	expect_number("delay", site_in(s, "the sixth is right", l).delay, 0);
}

#define site_test(f) cmocka_unit_test_setup_teardown(f, site_set_up, site_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		site_test(A7_139_addresses_in_five_days_are_one_campaign),
		site_test(A7_names_that_do_not_exist_are_one_campaign_whatever_the_program),
		site_test(A7_8858_addresses_in_320_days_are_one_campaign),
		site_test(A7_against_two_users_with_all_kinds_of_programs_guards_them),
		site_test(A8_a_whole_network_is_refused_and_is_one_campaign),
		site_test(A8_also_when_each_looks_different),
		site_test(A1_one_address_gets_few_guesses_checked),
		site_test(A1_two_hundred_addresses_are_one_campaign),
		site_test(spraying_is_told_and_refused_from_unknown_devices),
		site_test(A2b_old_passwords_are_never_more_than_wrong),
		site_test(an_infected_machine_behind_an_address_of_many_harms_nobody_else),
		site_test(webmail_logs_in_thousands_from_one_address),
		site_test(an_office_mistypes),
		site_test(a_server_that_lost_all_passwords_for_a_day_sees_no_campaign),
		site_test(a_program_that_honest_users_have_is_no_campaign),
		site_test(an_honest_user_tries_five_passwords),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
