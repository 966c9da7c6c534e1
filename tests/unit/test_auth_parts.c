/* Parts of auth/ that need nothing around them: names, the cache, lines that others wrote. */
#include "expect.h"

#include "auth/cache.h"
#include "auth/dovecot_reply.h"
#include "auth/logins.h"
#include "auth/names.h"
#include "auth/passwd_line.h"
#include "crypt/password.h"
#include "spec/limits.h"

static void a_name_has_one_form(void **state)
{
	static const struct {
		const char *why, *user, *domain, *is; /* NULL: nobody can be called that */
	} rows[] = {
		{ "as it is", "bob@example.org", "other.test", "bob@example.org" },
		{ "upper case", "BOB@Example.ORG", "", "bob@example.org" },
		{ "no domain", "Bob", "example.org", "bob@example.org" },
		{ "none at all", "bob", "", "bob" },
		{ "a dot at the end", "bob@example.org.", "", "bob@example.org" },
		{ "two at signs", "a@b@Example.org", "", "a@b@example.org" },
		{ "UTF-8 stays",
		  "b\xc3\x96"
		  "b@x",
		  "",
		  "b\xc3\x96"
		  "b@x" },
		{ "a domain of other letters", "Bob@B\u00fccher.example", "",
		  "bob@xn--bcher-kva.example" },
		{ "the same", "bob@XN--bcher-KVA.example", "",
		  "bob@xn--bcher-kva.example" },
		{ "no domain of this world", "bob@\u2603.example", "", NULL },
		{ "not UTF-8", "b\xd6@x", "", NULL },
		{ "overlong", "b\xc0\xaf@x", "", NULL },
		{ "turns the text around", "b\xe2\x80\xaeob", "x", NULL },
		{ "a space", "b ob", "x", NULL },
		{ "a line end", "bob\n", "x", NULL },
		{ "nothing", "", "x", NULL },
		{ "nothing before @", "@x", "x", NULL },
		{ "nothing behind @", "bob@", "x", NULL },
		{ "only dots behind @", "bob@..", "x", NULL },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		BUF(out, 64);
		bool good = name_normal(span_str(rows[i].user), span_str(rows[i].domain),
					&out);

		if (good != (rows[i].is != NULL))
			fail_msg("%s", rows[i].why);
		if (good)
			expect_text(rows[i].why, &out, rows[i].is);
	}
}

static void a_name_that_does_not_fit_is_none(void **state)
{
	BUF(out, 8);

	(void)state;
	assert_false(name_normal(SPAN("bob"), SPAN("example.org"), &out));
	assert_false(name_normal(SPAN("b\0b"), SPAN("x"), &out));
}

static void what_was_checked_is_known_until_its_time_is_over(void **state)
{
	struct cache *c = cache_open();
	struct cache_pair right = { SPAN("bob"), SPAN("secret"), SPAN("$hash") };
	struct cache_pair wrong = { SPAN("bob"), SPAN("guess"), SPAN("$hash") };

	(void)state;
	assert_non_null(c);
	assert_int_equal(cache_ask(c, &right, 0), CACHE_NOTHING);
	cache_right(c, &right, 0, 100);
	cache_wrong(c, &wrong, 0, 200);
	assert_int_equal(cache_ask(c, &right, 99), CACHE_RIGHT);
	assert_int_equal(cache_ask(c, &wrong, 199), CACHE_WRONG);
	assert_int_equal(cache_ask(c, &right, 100), CACHE_NOTHING);
	assert_int_equal(cache_ask(c, &wrong, 200), CACHE_NOTHING);
	cache_right(c, &right, 300, 0);
	assert_int_equal(cache_ask(c, &right, 300), CACHE_NOTHING);
	cache_close(&c);
}

static void a_new_hash_makes_it_void_and_so_does_another_user(void **state)
{
	struct cache *c = cache_open();
	struct cache_pair p = { SPAN("bob"), SPAN("secret"), SPAN("$hash") };
	struct cache_pair other = p;

	(void)state;
	assert_non_null(c);
	cache_right(c, &p, 0, 100);
	other.stored = SPAN("$other");
	assert_int_equal(cache_ask(c, &other, 1), CACHE_NOTHING);
	other = p;
	other.user = SPAN("alice");
	assert_int_equal(cache_ask(c, &other, 1), CACHE_NOTHING);
	/* the parts are apart: "bobs" with "ecret" is another pair */
	other = (struct cache_pair){ SPAN("bobs"), SPAN("ecret"), SPAN("$hash") };
	assert_int_equal(cache_ask(c, &other, 1), CACHE_NOTHING);
	cache_reset(c);
	assert_int_equal(cache_ask(c, &p, 1), CACHE_NOTHING);
	cache_close(&c);
}

static void however_many_are_wrong_what_was_right_last_is_known(void **state)
{
	struct cache *c = cache_open();
	struct cache_pair p = { SPAN("bob"), SPAN("secret"), SPAN("$hash") };

	(void)state;
	assert_non_null(c);
	for (uint32_t i = 0; i < 200000; i++) {
		struct cache_pair guess = { SPAN("bob"), span_of(&i, sizeof(i)),
					    SPAN("$hash") };

		cache_wrong(c, &guess, i, 1000000);
	}
	cache_right(c, &p, 0, 100);
	assert_int_equal(cache_ask(c, &p, 1), CACHE_RIGHT);
	cache_close(&c);
}

static void a_line_of_a_passwd_file_says_who_and_with_what(void **state)
{
	static const struct {
		const char *line;
		enum passwd_says says;
		const char *user, *hash;
		bool locked;
	} rows[] = {
		{ "bob:{PLAIN}x", PASSWD_USER, "bob", "{PLAIN}x", false },
		{ "bob:$6$a$b:1000:1000:Bob:/home/bob:/bin/sh", PASSWD_USER, "bob",
		  "$6$a$b", false },
		{ "bob:x:::::/bin/sh:nologin", PASSWD_USER, "bob", "x", true },
		{ "bob:x::::::nologin=yes", PASSWD_USER, "bob", "x", true },
		{ "bob:x::::::nologin=no", PASSWD_USER, "bob", "x", false },
		{ "bob:x::::::a=b allow_nets=10.0.0.0/8", PASSWD_USER, "bob", "x", true },
		{ "bob:x:nologin", PASSWD_USER, "bob", "x", false },
		{ "bob:!$6$a$b", PASSWD_USER, "bob", "!$6$a$b", true },
		{ "bob:*", PASSWD_USER, "bob", "*", true },
		{ "bob:", PASSWD_USER, "bob", "", true },
		{ "  bob:x\r", PASSWD_USER, "bob", "x", false },
		{ "# bob:x", PASSWD_NOTHING, "", "", false },
		{ "", PASSWD_NOTHING, "", "", false },
		{ "bob", PASSWD_BROKEN, "", "", false },
		{ ":x", PASSWD_BROKEN, "", "", false },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct passwd_row row;

		if (passwd_line(span_str(rows[i].line), &row) != rows[i].says)
			fail_msg("%s", rows[i].line);
		if (rows[i].says != PASSWD_USER)
			continue;
		expect_span(rows[i].line, row.user, span_str(rows[i].user));
		expect_span(rows[i].line, row.hash, span_str(rows[i].hash));
		if (row.locked != rows[i].locked)
			fail_msg("%s: locked", rows[i].line);
	}
}

static void a_line_of_dovecot_is_understood_or_left_alone(void **state)
{
	static const struct {
		const char *line;
		struct dovecot_reply is;
	} rows[] = {
		{ "VERSION\t1\t2", { .kind = DOVECOT_VERSION, .number = 1 } },
		{ "DONE", { .kind = DOVECOT_DONE } },
		{ "OK\t7\tuser=bob", { .kind = DOVECOT_OK, .number = 7 } },
		{ "OK\t7\tuser=bob\tnologin",
		  { .kind = DOVECOT_OK, .number = 7, .disabled = true } },
		{ "FAIL\t7\tuser=bob", { .kind = DOVECOT_FAIL, .number = 7 } },
		{ "FAIL\t7\tuser=bob\ttemp",
		  { .kind = DOVECOT_FAIL, .number = 7, .temporary = true } },
		{ "FAIL\t7\tcode=user_disabled",
		  { .kind = DOVECOT_FAIL, .number = 7, .disabled = true } },
		{ "FAIL\t7\tuser=temp", { .kind = DOVECOT_FAIL, .number = 7 } },
		{ "CONT\t7\t", { .kind = DOVECOT_CONT, .number = 7 } },
		{ "SPID\t123", { .kind = DOVECOT_OTHER } },
		{ "OKAY\t7", { .kind = DOVECOT_OTHER } },
		{ "OK\t4294967296", { .kind = DOVECOT_BROKEN } },
		{ "OK\t-1", { .kind = DOVECOT_BROKEN } },
		{ "FAIL", { .kind = DOVECOT_BROKEN } },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct dovecot_reply r = dovecot_reply(span_str(rows[i].line));

		if (r.kind != rows[i].is.kind || r.temporary != rows[i].is.temporary ||
		    r.disabled != rows[i].is.disabled ||
		    (r.kind != DOVECOT_BROKEN && r.number != rows[i].is.number))
			fail_msg("%s", rows[i].line);
	}
	expect_span("a mechanism", dovecot_reply(SPAN("MECH\tPLAIN\tplaintext")).name,
		    SPAN("PLAIN"));
	assert_int_equal(dovecot_reply(SPAN("OK\0\t1")).kind, DOVECOT_BROKEN);
}

/* ---- sessions ------------------------------------------------------------------------------ */

#define LOGINS_TRIED 400

struct naive {
	struct login_id id;
	uint64_t user, network;
	bool open;
};

static uint32_t naive_count(const struct naive *n, uint64_t key)
{
	uint32_t count = 0;

	for (size_t i = 0; i < LOGINS_TRIED; i++)
		if (n[i].open)
			count += (uint32_t)(n[i].user == key) + (n[i].network == key);
	return count;
}

/* Against a list that is looked through. */
static void sessions_are_counted_as_they_come_and_go_and_with_their_edge(void **state)
{
	static struct naive n[LOGINS_TRIED];
	struct logins *l = logins_open();
	uint64_t dices = 3;

	(void)state;
	assert_non_null(l);
	for (int round = 0; round < 20000; round++) {
		size_t i = dice_below(&dices, LOGINS_TRIED);

		n[i].id = (struct login_id){ (unsigned)(i % 3), 7, i };
		if (dice_below(&dices, 1000) == 0) {
			logins_lost(l, (unsigned)(i % 3), 7);
			logins_lost(l, (unsigned)(i % 3), 8);
			for (size_t k = i % 3; k < LOGINS_TRIED; k += 3)
				n[k].open = false;
		} else if (dice_below(&dices, 2)) {
			n[i].user = 1 + dice_below(&dices, 5);
			n[i].network = 100 + n[i].user * 10 + dice_below(&dices, 4);
			n[i].open = true;
			assert_true(logins_take(l, &n[i].id, n[i].user, n[i].network));
		} else {
			logins_give(l, &n[i].id);
			n[i].open = false;
		}
		assert_int_equal(logins_count(l, n[i].user), naive_count(n, n[i].user));
		assert_int_equal(logins_count(l, n[i].network),
				 naive_count(n, n[i].network));
	}
	logins_close(&l);
}

/* Nor can it make auth forget those of the others, or take all of its memory. */
static void an_edge_is_counted_no_more_sessions_than_it_has_seats(void **state)
{
	struct logins *l = logins_open();
	struct login_id id = { 1, 7, 0 };

	(void)state;
	assert_non_null(l);
	for (; id.ask < SEATS_MAX; id.ask++)
		assert_true(logins_take(l, &id, 5, 1000 + id.ask));
	assert_false(logins_take(l, &id, 5, 1000 + id.ask));
	assert_int_equal(logins_count(l, 5), SEATS_MAX);
	id.edge = EDGES_MAX;
	assert_false(logins_take(l, &id, 5, 6));
	id.edge = 2;
	assert_true(logins_take(l, &id, 5, 6));
	id = (struct login_id){ 1, 7, 9 };
	logins_give(l, &id);
	assert_true(logins_take(l, &id, 5, 6));
	logins_lost(l, 1, 7);
	assert_int_equal(logins_count(l, 5), 1);
	assert_true(logins_take(l, &id, 5, 6));
	logins_close(&l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_name_has_one_form),
		cmocka_unit_test(a_name_that_does_not_fit_is_none),
		cmocka_unit_test(what_was_checked_is_known_until_its_time_is_over),
		cmocka_unit_test(a_new_hash_makes_it_void_and_so_does_another_user),
		cmocka_unit_test(however_many_are_wrong_what_was_right_last_is_known),
		cmocka_unit_test(a_line_of_a_passwd_file_says_who_and_with_what),
		cmocka_unit_test(a_line_of_dovecot_is_understood_or_left_alone),
		cmocka_unit_test(an_edge_is_counted_no_more_sessions_than_it_has_seats),
		cmocka_unit_test(
			sessions_are_counted_as_they_come_and_go_and_with_their_edge),
	};

	if (!password_init())
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
