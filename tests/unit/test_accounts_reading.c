/*
 * The guard of accounts and those who read mail: how many sessions an account may have, who
 * is told so, and what a storm of logins is called. In virtual time; sessions are counted and
 * right secrets remembered as auth does both.
 */
#include "accounts_kit.h"
#include "guard/account_diagnosis.h"

#define PER_USER    100
#define PER_NETWORK 20
#define OPEN_MOST   4096
#define REMEMBERED  (5 * MS_MINUTE) /* auth.remember-right */

static const struct addr home = { { [10] = 0xff, 0xff, 192, 0, 2, 7 } };

/* ---- a site where mail is read ------------------------------------------------------------- */

struct mail {
	struct site *s;
	size_t n;
	struct {
		const char *user;
		struct addr network;
	} open[OPEN_MOST];
	ms_t right_until; /* of the one user whose secret is remembered */
	const char *right_of;
	size_t checked; /* secrets that were looked at */
	unsigned tell;
};

static struct mail mail;

static int set_up(void **state)
{
	int rc = site_set_up(state);

	mail = (struct mail){ .s = *state };
	mail.s->a.limits.per_user = PER_USER;
	mail.s->a.limits.per_network = PER_NETWORK;
	return rc;
}

static uint32_t count_open(const char *user, const struct addr *network)
{
	uint32_t n = 0;

	for (size_t i = 0; i < mail.n; i++)
		n += strcmp(mail.open[i].user, user) == 0 &&
		     (!network || addr_eq(&mail.open[i].network, network));
	return n;
}

static void leave(size_t i)
{
	mail.open[i] = mail.open[--mail.n];
}

static void fill_in(struct account_try *t, const struct login *l)
{
	struct addr network = account_prefix_of(&l->from);
	const char *right = site_password(mail.s, l->user);

	t->reads = true;
	t->name = span_str(l->client ? l->client : "");
	t->open_user = count_open(l->user, NULL);
	t->open_network = count_open(l->user, &network);
	t->right_lately = accounts_full(&mail.s->a, t) && right && l->secret &&
			  strcmp(right, l->secret) == 0 && mail.right_of &&
			  strcmp(mail.right_of, l->user) == 0 &&
			  mail.s->now < mail.right_until;
}

/* As auth: ask the guard, look at the secret if it says so, count the session. */
static struct fate read_mail(const struct login *l)
{
	struct site *s = mail.s;
	struct account_try t = site_try(s, l);
	const char *right = site_password(s, l->user);
	bool is_right = right && l->secret && strcmp(right, l->secret) == 0;
	struct account_verdict v;
	struct fate f;

	fill_in(&t, l);
	v = accounts_came(&s->a, &t, s->now, s->wall);
	mail.tell |= v.tell;
	if (v.go == GO_CHECK) {
		struct account_done d;

		mail.checked++;
		if (is_right) {
			mail.right_of = l->user;
			mail.right_until = s->now + REMEMBERED;
		}
		d = accounts_done(&s->a, &t, is_right ? ACCOUNT_RIGHT : ACCOUNT_WRONG,
				  s->now, s->wall);
		mail.tell |= d.tell;
		v = d.verdict;
	}
	if (v.go == GO_CHECK) {
		v = accounts_enter(&s->a, &t, s->now, s->wall);
		assert_true(mail.n < OPEN_MOST);
		mail.open[mail.n].user = l->user;
		mail.open[mail.n++].network = account_prefix_of(&l->from);
	}
	f = (struct fate){ .go = v.go, .why = v.why, .delay = v.delay, .event = v.event };
	f.known = v.known_device;
	return f;
}

static struct login right(const char *user, struct addr from, const char *client)
{
	return (struct login){ .from = from,
			       .user = user,
			       .secret = site_password(mail.s, user),
			       .client = client };
}

static void in(const char *why, struct login l)
{
	struct fate f = read_mail(&l);

	if (f.go != GO_CHECK)
		fail_msg("%s: %s got %d (%s)", why, l.user, (int)f.go,
			 account_why_word[f.why]);
	expect_number(why, f.delay, 0);
}

static enum account_kind diagnosed(const char *user, struct account_diagnosis *d)
{
	struct account_state st = site_state(mail.s, user);

	account_diagnose(&st, site_limits.places, d);
	return d->kind;
}

static void make_users(void)
{
	site_user(mail.s, "ann", "secret of ann");
	site_user(mail.s, "ben", "secret of ben");
}

/* ---- A2 -------------------------------------------------------------------------------- */

static void A2_is_refused_unseen_told_in_ten_seconds_and_harms_nobody_else(void **state)
{
	struct login storm, stranger;
	struct account_diagnosis d;
	size_t over = 0;
	ms_t began, told = 0;

	(void)state;
	make_users();
	storm = right("ann", home, "Thunderbird 128.3");
	stranger = right("ann", addr_v4(198, 51, 100, 9), "telephone");
	began = mail.s->now;
	/* fifty a second; those that get in stay */
	for (int i = 0; i < 60 * 50; i++, site_wait(mail.s, 20)) {
		struct fate f = read_mail(&storm);

		if (f.go == GO_REFUSE) {
			over++;
			expect_number("why", f.why, WHY_LIMIT);
			expect_number("event", f.event, EV_LOGIN_OVER);
			assert_true(f.delay > 0 && f.delay <= site_limits.delay_max);
		}
		if (!told && mail.tell & TELL_RUNAWAY)
			told = mail.s->now;
		if (i % 500 == 499) {
			in("another user at the address", right("ben", home, "Outlook"));
			in("the same user elsewhere", stranger);
		}
	}
	assert_int_equal(over, 60 * 50 - PER_NETWORK);
	assert_true(told && told - began <= 10 * MS_SECOND);
	/* those that got in, and the first that did not; not one for the six elsewhere */
	assert_in_range(mail.checked, PER_NETWORK, PER_NETWORK + 2 + 12);
	assert_int_equal(diagnosed("ann", &d), ACCOUNT_RUNAWAY);
	assert_in_range(d.confidence, 85, 99);
	assert_int_equal(site_state(mail.s, "ann").over, over);
	assert_int_equal(site_state(mail.s, "ann").run.count, over);
	assert_int_equal(site_state(mail.s, "ben").over, 0);
}

static void A2_is_told_although_a_device_has_had_an_old_password_for_days(void **state)
{
	struct login old = LOGIN(home, "ann", "last year's", "tablet"), storm;
	struct account_diagnosis d;
	ms_t began;

	(void)state;
	make_users();
	for (int minute = 0; minute < 3000; minute++, site_wait(mail.s, MS_MINUTE))
		(void)read_mail(&old);
	assert_int_equal(diagnosed("ann", &d), ACCOUNT_STALE);
	assert_false(mail.tell & TELL_RUNAWAY);
	storm = right("ann", home, "Thunderbird 128.3");
	began = mail.s->now;
	while (!(mail.tell & TELL_RUNAWAY)) {
		(void)read_mail(&storm);
		site_wait(mail.s, 20);
		assert_true(mail.s->now - began < 10 * MS_SECOND);
	}
	assert_int_equal(diagnosed("ann", &d), ACCOUNT_RUNAWAY);
	(void)read_mail(&old);
	assert_int_equal(diagnosed("ann", &d), ACCOUNT_RUNAWAY);
}

static void who_comes_by_the_clock_is_a_program_however_slow(void **state)
{
	uint8_t mem[400];
	struct buf says;
	struct account_state st;
	struct account_diagnosis d;
	struct login l;

	(void)state;
	make_users();
	l = right("ann", home, "Thunderbird 128.3");
	for (int i = 0; i < PER_NETWORK; i++)
		in("up to the limit", l);
	for (int i = 0; i < 25; i++, site_wait(mail.s, (i * 37 % 80 + 20) * MS_SECOND))
		(void)read_mail(&l);
	expect_number("as people do", diagnosed("ann", &d) == ACCOUNT_RUNAWAY, false);
	site_wait(mail.s, MS_HOUR);
	for (int i = 0; i < 60; i++, site_wait(mail.s, 50 * MS_SECOND + i % 3 * 500))
		(void)read_mail(&l);
	assert_int_equal(diagnosed("ann", &d), ACCOUNT_RUNAWAY);
	buf_init(&says, mem, sizeof(mem));
	st = site_state(mail.s, "ann");
	account_sentence(&st, d.kind, &says);
	buf_byte(&says, '\0');
	assert_non_null(strstr((char *)mem, ", by the clock, every 50 s, although 20"));
}

static void what_does_not_exist_is_no_runaway_of_anybodys(void **state)
{
	struct login l = LOGIN(home, "nobody", "the same", "bot");

	(void)state;
	make_users();
	for (int i = 0; i < 5000; i++, site_wait(mail.s, 10))
		(void)read_mail(&l);
	assert_false(mail.tell & TELL_RUNAWAY);
}

static void a_place_that_is_free_again_is_had_at_once(void **state)
{
	struct login l;

	(void)state;
	make_users();
	l = right("ann", home, "a program");
	for (int i = 0; i < PER_NETWORK; i++)
		in("up to the limit", l);
	for (int i = 0; i < 50; i++)
		expect_number("over", read_mail(&l).why, WHY_LIMIT);
	leave(0);
	in("as soon as one has left", l);
	expect_number("and no more", read_mail(&l).why, WHY_LIMIT);
}

static void the_wait_grows_and_fades(void **state)
{
	static const ms_t waits[] = { 2, 4, 8, 15, 15 };
	struct login l;

	(void)state;
	make_users();
	l = right("ann", home, "a program");
	for (int i = 0; i < PER_NETWORK; i++)
		in("up to the limit", l);
	for (size_t i = 0; i < COUNT_OF(waits); i++)
		expect_number("grows", read_mail(&l).delay, waits[i] * MS_SECOND);
	site_wait(mail.s, 2 * MS_HOUR);
	expect_number("fades", read_mail(&l).delay, 2 * MS_SECOND);
}

/* ---- what strangers learn --------------------------------------------------------------- */

/* Passwords that are wrong, of somebody in the same network; the fates, one after another. */
static void guess(struct fate *out, size_t n)
{
	for (size_t i = 0; i < n; i++, site_wait(mail.s, 30 * MS_SECOND)) {
		char secret[32];
		struct login l = LOGIN(addr_v4(192, 0, 2, 99), "ann", secret, "virus");

		snprintf(secret, sizeof(secret), "guess %zu", i / 2);
		out[i] = read_mail(&l);
	}
}

static void who_does_not_know_the_password_sees_no_difference(void **state)
{
	struct fate empty[12], full[12];

	make_users();
	guess(empty, COUNT_OF(empty));
	site_tear_down(state);
	set_up(state);
	make_users();
	for (int i = 0; i < PER_NETWORK; i++)
		in("up to the limit", right("ann", home, "a program"));
	guess(full, COUNT_OF(full));
	for (size_t i = 0; i < COUNT_OF(full); i++) {
		expect_number("go", full[i].go, empty[i].go);
		expect_number("why", full[i].why, empty[i].why);
		expect_number("delay", full[i].delay, empty[i].delay);
		expect_number("event", full[i].event, empty[i].event);
	}
}

static void a_password_that_was_right_is_looked_at_again_when_it_is_forgotten(void **state)
{
	struct login l;
	size_t before;

	(void)state;
	make_users();
	l = right("ann", home, "a program");
	for (int i = 0; i < PER_NETWORK; i++)
		in("up to the limit", l);
	site_wait(mail.s, REMEMBERED + 1);
	before = mail.checked;
	for (int i = 0; i < 100; i++)
		expect_number("over all the same", read_mail(&l).why, WHY_LIMIT);
	assert_int_equal(mail.checked, before + 1);
	/* and when it was changed, the old one is as wrong as any */
	site_user(mail.s, "ann", "new");
	mail.right_of = NULL;
	accounts_changed(&mail.s->a, SPAN("ann"));
	l.secret = "secret of ann";
	expect_number("wrong", read_mail(&l).why, WHY_WRONG);
}

/* ---- the whole account ------------------------------------------------------------------- */

static void a_thief_does_not_lock_out_the_devices_of_its_owner(void **state)
{
	struct login owner, thief;
	size_t got = 0;

	(void)state;
	make_users();
	owner = right("ann", home, "Thunderbird");
	in("her own device", owner);
	leave(0);
	site_wait(mail.s, 2 * MS_DAY);
	for (uint8_t i = 0; i < 10; i++) {
		thief = right("ann", addr_v4(203, 0, i, 1), "thief");
		for (int k = 0; k < PER_NETWORK; k++)
			got += read_mail(&thief).go == GO_CHECK;
	}
	assert_int_equal(got, PER_USER);
	for (int i = 0; i < PER_NETWORK / 4; i++)
		in("a quarter of her network's is hers", owner);
	expect_number("not more", read_mail(&owner).why, WHY_LIMIT);
	owner.client = "a new computer";
	expect_number("nor a device that nobody knows", read_mail(&owner).why, WHY_LIMIT);
}

static void without_limits_nobody_is_refused(void **state)
{
	static const struct {
		const char *why;
		struct accounts_limits l;
	} rows[] = {
		{ "0 is any number", { .per_user = 0, .per_network = 0 } },
		{ "the guard observes",
		  { .per_user = 3, .per_network = 2, .observe = true } },
		{ "this rule is observed",
		  { .per_user = 3, .per_network = 2, .observe_limit = true } },
	};

	make_users();
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		mail.s->a.limits.per_user = rows[i].l.per_user;
		mail.s->a.limits.per_network = rows[i].l.per_network;
		mail.s->a.limits.observe = rows[i].l.observe;
		mail.s->a.limits.observe_limit = rows[i].l.observe_limit;
		for (int k = 0; k < 300; k++)
			in(rows[i].why, right("ann", home, "a program"));
		/* but it is told who would have been */
		assert_int_equal(site_state(mail.s, "ann").over,
				 rows[i].l.per_network ? 300 - 2 : 0);
		assert_int_equal(site_state(mail.s, "ann").run.observed,
				 rows[i].l.per_network != 0);
		site_tear_down(state);
		set_up(state);
		make_users();
	}
}

/* ---- who looks like it ---------------------------------------------------------------------- */

static void an_office_that_shares_an_account_is_several_people(void **state)
{
	static const char *const programs[] = { "Thunderbird 128", "Outlook", "Mail",
						"K-9 Mail", "Evolution" };
	struct account_diagnosis d;

	(void)state;
	make_users();
	/* each of thirty wants a session, again every two minutes until it has one */
	for (int minute = 0; minute < 120; minute++) {
		for (size_t who = 0; who < 15; who++, site_wait(mail.s, 4 * MS_SECOND)) {
			struct login l = right("ann", home, programs[who % 5]);

			(void)read_mail(&l);
		}
		if (minute % 10 == 9 && mail.n)
			leave(0);
	}
	assert_true(site_state(mail.s, "ann").over > 500);
	assert_int_equal(diagnosed("ann", &d), ACCOUNT_SEVERAL);
	assert_false(mail.tell & TELL_RUNAWAY);
}

static void many_people_behind_one_address_are_not_hindered(void **unused)
{
	static const char *const people[] = { "ann",  "ben", "cid",  "dora",
					      "ed",   "flo", "gina", "hugo",
					      "ines", "jan", "kim",  "leo" };

	(void)unused;
	for (size_t i = 0; i < COUNT_OF(people); i++)
		site_user(mail.s, people[i], people[i]);
	for (int sessions = 0; sessions < PER_NETWORK; sessions++)
		for (size_t i = 0; i < COUNT_OF(people); i++)
			in("at the office", right(people[i], home, "Outlook"));
	assert_int_equal(mail.n, COUNT_OF(people) * PER_NETWORK);
	assert_false(mail.tell & TELL_RUNAWAY);
}

static void a_program_that_comes_and_goes_every_ten_seconds_is_let_in(void **state)
{
	(void)state;
	make_users();
	for (int i = 0; i < 24 * 360; i++, site_wait(mail.s, 10 * MS_SECOND)) {
		in("a probe that logs in", right("ann", home, "check_imap"));
		leave(0);
	}
	assert_false(mail.tell & TELL_RUNAWAY);
	assert_int_equal(site_state(mail.s, "ann").over, 0);
}

static void A2b_three_devices_with_an_old_password_are_stale_and_never_run_away(void **state)
{
	static const char *const programs[] = { "Thunderbird", "phone", "tablet" };
	struct account_diagnosis d;

	(void)state;
	make_users();
	for (size_t i = 0; i < COUNT_OF(programs); i++)
		in("learned", right("ann", home, programs[i]));
	mail.n = 0;
	site_user(mail.s, "ann", "new");
	mail.right_of = NULL;
	accounts_changed(&mail.s->a, SPAN("ann"));
	for (int minute = 0; minute < 3 * 24 * 60; minute++, site_wait(mail.s, MS_MINUTE)) {
		for (size_t i = 0; i < COUNT_OF(programs); i++) {
			struct login l = LOGIN(home, "ann", "secret of ann", programs[i]);
			struct fate f = read_mail(&l);

			assert_true(f.why == WHY_WRONG || f.why == WHY_REPEATED);
			assert_true(f.delay <= site_limits.delay);
		}
		if (minute % 300 == 7) {
			in("the right one, from a new device",
			   right("ann", addr_v4(150, (uint8_t)(minute / 300), 7, 7),
				 "new"));
			mail.n = 0;
		}
	}
	assert_true(mail.tell & TELL_STALE);
	assert_false(mail.tell & TELL_RUNAWAY);
	assert_false(mail.tell & TELL_GUARDED);
	assert_int_equal(diagnosed("ann", &d), ACCOUNT_STALE);
}

static void a_guesser_on_imap_is_a_guesser(void **state)
{
	struct account_diagnosis d;

	(void)state;
	make_users();
	for (int i = 0; i < 400; i++, site_wait(mail.s, 20 * MS_SECOND)) {
		char secret[32];
		struct login l = LOGIN(site_addr((size_t)i), "ann", secret, "bot");

		snprintf(secret, sizeof(secret), "guess %d", i);
		assert_int_not_equal(read_mail(&l).go, GO_CHECK);
	}
	assert_int_equal(diagnosed("ann", &d), ACCOUNT_GUESSED);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, site_tear_down)
	const struct CMUnitTest tests[] = {
		TEST(A2_is_refused_unseen_told_in_ten_seconds_and_harms_nobody_else),
		TEST(A2_is_told_although_a_device_has_had_an_old_password_for_days),
		TEST(who_comes_by_the_clock_is_a_program_however_slow),
		TEST(what_does_not_exist_is_no_runaway_of_anybodys),
		TEST(a_place_that_is_free_again_is_had_at_once),
		TEST(the_wait_grows_and_fades),
		TEST(who_does_not_know_the_password_sees_no_difference),
		TEST(a_password_that_was_right_is_looked_at_again_when_it_is_forgotten),
		TEST(a_thief_does_not_lock_out_the_devices_of_its_owner),
		TEST(without_limits_nobody_is_refused),
		TEST(an_office_that_shares_an_account_is_several_people),
		TEST(many_people_behind_one_address_are_not_hindered),
		TEST(a_program_that_comes_and_goes_every_ten_seconds_is_let_in),
		TEST(A2b_three_devices_with_an_old_password_are_stale_and_never_run_away),
		TEST(a_guesser_on_imap_is_a_guesser),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
