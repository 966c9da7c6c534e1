/*
 * What watch says of an account, and of campaigns: from a memory that the test made, read
 * through a view of its own as another process has it.
 */
#include "accounts_kit.h"
#include "base/fields.h"
#include "conf/settings.h"
#include "link/start.h"
#include "watch/explain_account.h"

static const struct addr home = { { [10] = 0xff, 0xff, 192, 0, 2, 7 } };

struct bench {
	struct conf conf;
	struct view view;
	uint8_t mem[65536];
	struct buf out;
};

static struct bench bench;

static void on_row(void *arg, const struct buf *fields)
{
	struct bench *b = arg;

	assert_false(fields->full);
	assert_true(fields_ok(buf_span(fields)));
	fields_print_logfmt(buf_span(fields), 0, &b->out);
	buf_byte(&b->out, '\n');
}

static const struct explain_to to = { on_row, &bench };

static void look(struct site *s)
{
	struct start start = { .accounts = { .mem = s->mem, .n = s->a.n } };

	memset(&bench, 0, sizeof(bench));
	settings_init(&bench.conf.set);
	view_init(&bench.view, &start, &bench.conf);
	assert_true(bench.view.has_accounts);
	buf_init(&bench.out, bench.mem, sizeof(bench.mem) - 1);
}

static const char *explained_with(struct site *s, const char *user,
				  const struct account_facts *facts)
{
	look(s);
	explain_account(&bench.view, span_str(user), facts, s->now, s->wall, &to);
	bench.mem[bench.out.len] = '\0';
	return (const char *)bench.mem;
}

static const char *explained(struct site *s, const char *user)
{
	static const struct account_facts plain = { .auth_says = true,
						    .store_says = true };

	return explained_with(s, user, &plain);
}

static void has(const char *text, const char *part)
{
	if (!strstr(text, part))
		fail_msg("no %s in\n%s", part, text);
}

static void has_not(const char *text, const char *part)
{
	if (strstr(text, part))
		fail_msg("%s in\n%s", part, text);
}

static void guess(struct site *s, const char *user, size_t n)
{
	for (size_t i = 0; i < n; i++, site_wait(s, MS_MINUTE)) {
		char secret[32];
		struct login l = LOGIN(site_addr(i), user, secret, "EHLO ADMIN");

		snprintf(secret, sizeof(secret), "guess %zu", i);
		(void)site_login(s, &l);
	}
}

static void of_whom_nothing_is_known_it_says_so(void **state)
{
	const char *text = explained(*state, "nobody");

	has(text, "part=verdict about=nobody state=\"let in\"");
	has(text, "remembered=\"nothing");
	has_not(text, "part=diagnosis");
	has_not(text, "lift=");
}

static void a_guarded_account_has_its_reasons_and_what_lifts_it(void **state)
{
	struct site *s = *state;
	struct login l = LOGIN(home, "alice@example.org", NULL, "laptop");
	const char *text;

	site_user(s, "alice@example.org", "right");
	(void)site_in(s, "its owner", l);
	guess(s, "alice@example.org", 40);
	text = explained(s, "alice@example.org");
	has(text, "guarded=true");
	has(text, "state=\"guarded: known devices as ever");
	has(text, "lift=\"holdfast user unguard alice@example.org\"");
	has(text, "is=guesser confidence=96");
	has(text, "known-devices=1");
	has(text, "guarded-at-networks=10");
	has(text, "part=campaign campaign=1 by=\"the same program\"");
	has(text, "tries=alice@example.org");
	assert_true(accounts_unguard(&s->a, SPAN("alice@example.org"), s->now));
	text = explained(s, "alice@example.org");
	has(text, "guarded=false");
	has_not(text, "lift=\"holdfast");
}

static void a_device_with_an_old_password_is_told_with_place_and_time(void **state)
{
	struct site *s = *state;
	struct login l = LOGIN(home, "alice", NULL, "phone");
	const char *text;

	site_user(s, "alice", "old");
	(void)site_in(s, "learned", l);
	site_user(s, "alice", "new");
	l.secret = "old";
	for (int i = 0; i < 120; i++, site_wait(s, MS_MINUTE))
		(void)site_login(s, &l);
	text = explained(s, "alice");
	has(text, "is=stale-password");
	has(text, "part=stale from=192.0.2.7 since=2026-01-01T00:00:00");
	has(text, "guarded=false");
	has(text, "different-wrong-passwords=1");
}

static void a_storm_is_told_in_one_sentence_with_what_it_is_from(void **state)
{
	struct site *s = *state;
	struct login l = LOGIN(home, "alice", "right", "phone");
	struct account_try t;
	const char *text;

	site_user(s, "alice", "right");
	(void)site_in(s, "learned", l);
	s->a.limits.per_network = 20;
	t = site_try(s, &l);
	t.reads = t.right_lately = true;
	t.open_network = t.open_user = 20;
	t.name = SPAN("K-9 Mail 6.8\n\033[2J");
	t.hello = SPAN("t13d1516h2_8daaf6152771_e5627efa2ab1");
	for (int i = 0; i < 100; i++, site_wait(s, 50))
		(void)accounts_came(&s->a, &t, s->now, s->wall);
	text = explained(s, "alice");
	has(text, "is=runaway-client says=\"'K-9 Mail 6.8??[2J' at 192.0.2.7 is a client "
		  "that runs away: it logged in with the right password 100 times in 5 s "
		  "(20 a second) although 20 sessions of it are open");
	has(text, "part=storm from=192.0.2.7");
	has(text, "times=100");
	has(text, "sessions-open=20");
	has(text, "tls-hello=t13d1516h2_8daaf6152771_e5627efa2ab1");
	has(text, "refused-over-limit=100");
	has(text, "logins=1 ");
}

static void a_thief_is_seen_by_the_places(void **state)
{
	struct site *s = *state;
	struct login l = LOGIN(home, "alice", NULL, "thief");
	const char *text;

	site_user(s, "alice", "right");
	for (uint8_t i = 0; i < 60; i++, site_wait(s, MS_MINUTE)) {
		l.from = addr_v4(100, i, 1, 1);
		(void)site_in(s, "right", l);
	}
	text = explained(s, "alice");
	has(text, "is=thief");
	has(text, "held=true");
	has(text, "what new devices send is held");
	has(text, "lift=\"holdfast user unguard alice\"");
}

static void campaigns_are_listed(void **state)
{
	struct site *s = *state;
	const char *text = (const char *)bench.mem;

	look(s);
	assert_int_equal(explain_campaigns(&bench.view, s->now, s->wall, &to), 0);
	site_user(s, "alice", "right");
	guess(s, "alice", 40);
	look(s);
	assert_int_equal(explain_campaigns(&bench.view, s->now, s->wall, &to), 1);
	bench.mem[bench.out.len] = '\0';
	has(text, "campaign=1 by=\"the same program\"");
	has(text, "users=1");
	has(text, "cadence=steady tries=alice");
}

#define site_test(f) cmocka_unit_test_setup_teardown(f, site_set_up, site_tear_down)

static void a_disabled_account_whose_mail_is_held_says_so_and_what_lifts_it(void **state)
{
	struct site *s = *state;
	const struct account_facts facts = { .auth_says = true,
					     .store_says = true,
					     .disabled = true,
					     .disabled_since = INT64_C(1700000000000),
					     .held = 12,
					     .held_since = INT64_C(1700000060000),
					     .incident = 17 };
	const char *text = explained_with(s, "bob@example.org", &facts);

	has(text, "state=\"disabled: nobody is let in");
	has(text, "disabled=true");
	has(text, "part=disabled");
	has(text, "since=2023-11-14T22:13:20.000Z lift=\"holdfast user enable "
		  "bob@example.org\"");
	has(text, "part=held-mail");
	has(text, "messages=12 since=2023-11-14T22:14:20.000Z incident=17 lift=\"holdfast "
		  "queue release --where 'state=held account=bob@example.org'\"");
	has_not(text, "part=unknown");
}

static void what_nobody_could_say_in_time_is_told_to_be_unknown(void **state)
{
	static const struct account_facts nothing;
	const char *text = explained_with(*state, "bob@example.org", &nothing);

	has(text, "state=\"let in\"");
	has_not(text, "disabled=false");
	has(text, "part=unknown disabled=\"auth did not answer");
	has(text, "held-mail=\"the store did not answer");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		site_test(of_whom_nothing_is_known_it_says_so),
		site_test(a_guarded_account_has_its_reasons_and_what_lifts_it),
		site_test(a_device_with_an_old_password_is_told_with_place_and_time),
		site_test(a_storm_is_told_in_one_sentence_with_what_it_is_from),
		site_test(a_thief_is_seen_by_the_places),
		site_test(a_disabled_account_whose_mail_is_held_says_so_and_what_lifts_it),
		site_test(what_nobody_could_say_in_time_is_told_to_be_unknown),
		site_test(campaigns_are_listed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
