/*
 * The guard of accounts and those who hang up before the mailbox server has said whether their
 * password is right. In virtual time.
 */
#include "accounts_kit.h"
#include "guard/account_diagnosis.h"

static const struct addr home = { { [10] = 0xff, 0xff, 192, 0, 2, 7 } };
static const struct addr elsewhere = { { [10] = 0xff, 0xff, 198, 51, 100, 9 } };

/* The mailbox server was asked, and the client hung up before it said anything. */
static struct account_verdict hang_up(struct site *s, const struct login *l)
{
	struct account_try t = site_try(s, l);
	struct account_verdict v;

	v = accounts_came(&s->a, &t, s->now, s->wall);
	if (v.go != GO_CHECK)
		return v;
	return accounts_done(&s->a, &t, ACCOUNT_LEFT, s->now, s->wall).verdict;
}

static void a_telephone_that_loses_its_network_is_no_guesser(void **state)
{
	struct site *s = *state;
	struct login l = LOGIN(home, "ann", "secret of ann", "telephone"), mistyped = l;

	site_user(s, "ann", "secret of ann");
	mistyped.secret = "secret of anm";
	for (int i = 0; i < 200; i++, site_wait(s, MS_MINUTE)) {
		struct account_verdict v = hang_up(s, i % 50 ? &l : &mistyped);

		expect_number("go", v.go, GO_LATER);
		expect_number("why", v.why, WHY_LEFT);
		expect_number("event", v.event, EV_AUTH_LATER);
	}
	expect_number("wrong ones", site_state(s, "ann").secrets_wrong, 0);
	(void)site_in(s, "when there is a network", l);
}

static void who_hangs_up_with_another_password_each_time_is_a_guesser(void **state)
{
	struct site *s = *state;
	struct login l = LOGIN(home, "ann", NULL, "virus");
	struct account_diagnosis d;
	struct account_state st;
	size_t charged = 0, later = 0;

	site_user(s, "ann", "secret of ann");
	for (int i = 0; i < 100; i++, site_wait(s, 100)) {
		char secret[32];
		struct account_verdict v;

		snprintf(secret, sizeof(secret), "guess %d", i);
		l.secret = secret;
		v = hang_up(s, &l);
		charged += v.event == EV_AUTH_FAILED;
		later += v.why == WHY_OVERLOAD;
		if (i < 3)
			expect_number("a typing error", v.event, EV_AUTH_LATER);
		if (i == 3)
			expect_number("one too many", v.event, EV_AUTH_FAILED);
	}
	/* after a few it waits as who waits for the answers does */
	assert_in_range(charged, 3, 10);
	assert_int_equal(charged + later + 3, 100);
	for (int i = 0; i < 40; i++, site_wait(s, MS_MINUTE)) {
		char secret[32];

		snprintf(secret, sizeof(secret), "another %d", i);
		l.secret = secret;
		(void)hang_up(s, &l);
	}
	st = site_state(s, "ann");
	account_diagnose(&st, site_limits.places, &d);
	assert_int_equal(d.kind, ACCOUNT_GUESSED);
	(void)site_in(s, "its owner elsewhere",
		      (struct login)LOGIN(elsewhere, "ann", NULL, "telephone"));
}

static void one_password_on_many_users_is_spraying_also_for_who_hangs_up(void **state)
{
	struct site *s = *state;
	char name[16];
	struct login l = LOGIN(home, name, "summer", "virus");

	for (int i = 0; i < 12; i++, site_wait(s, MS_SECOND)) {
		snprintf(name, sizeof(name), "user%d", i);
		site_user(s, name, "another");
		(void)hang_up(s, &l);
	}
	expect_number("refused unseen", hang_up(s, &l).go, GO_REFUSE);
}

static void a_device_that_is_known_is_never_charged_for_hanging_up(void **state)
{
	struct site *s = *state;
	struct login l = LOGIN(home, "ann", NULL, "telephone");

	site_user(s, "ann", "secret of ann");
	(void)site_in(s, "known from now on", l);
	for (int i = 0; i < 50; i++) {
		char secret[32];

		snprintf(secret, sizeof(secret), "typed %d", i);
		l.secret = secret;
		expect_number("event", hang_up(s, &l).event, EV_AUTH_LATER);
	}
	expect_number("wrong ones", site_state(s, "ann").secrets_wrong, 0);
	(void)site_in(s, "at once", (struct login)LOGIN(home, "ann", NULL, "telephone"));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, site_set_up, site_tear_down)
	const struct CMUnitTest tests[] = {
		TEST(a_telephone_that_loses_its_network_is_no_guesser),
		TEST(who_hangs_up_with_another_password_each_time_is_a_guesser),
		TEST(one_password_on_many_users_is_spraying_also_for_who_hangs_up),
		TEST(a_device_that_is_known_is_never_charged_for_hanging_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
