/* crypt/password and db/accounts: a secret is known by its hash, and only so. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "crypt/password.h"
#include "db/accounts.h"

static void a_right_password_is_right_and_others_are_wrong(void **state)
{
	uint8_t mem[PASSWORD_HASH_MAX], mem2[PASSWORD_HASH_MAX];
	struct buf hash, again;

	(void)state;
	buf_init(&hash, mem, sizeof(mem));
	buf_init(&again, mem2, sizeof(mem2));
	assert_true(password_hash(SPAN("correct horse"), &hash));
	assert_true(password_hash(SPAN("correct horse"), &again));
	assert_true(span_starts(buf_span(&hash), SPAN("$argon2id$v=19$m=19456,t=2,p=1$")));
	assert_false(span_eq(buf_span(&hash), buf_span(&again)));
	assert_int_equal(password_check(SPAN("correct horse"), buf_span(&hash)),
			 PASSWORD_RIGHT);
	assert_int_equal(password_check(SPAN("correct horsf"), buf_span(&hash)),
			 PASSWORD_WRONG);
	assert_int_equal(password_check(SPAN("correct hors"), buf_span(&hash)),
			 PASSWORD_WRONG);
	assert_int_equal(password_check(SPAN_NONE, buf_span(&hash)), PASSWORD_WRONG);
}

static void hashes_of_other_servers_are_read(void **state)
{
	static const struct {
		const char *why;
		struct span secret, hash;
		enum password_check is;
	} rows[] = {
		{ "sha512-crypt", SPAN_INIT("Hello world!"),
		  SPAN_INIT("$6$saltstring$svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjl/O817G3uBnIFNjnQ"
			    "JuesI68u4OTLiBFdcbYEdFCoEOfaS35inz1"),
		  PASSWORD_RIGHT },
		{ "sha512-crypt, wrong", SPAN_INIT("Hello world"),
		  SPAN_INIT("$6$saltstring$svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjl/O817G3uBnIFNjnQ"
			    "JuesI68u4OTLiBFdcbYEdFCoEOfaS35inz1"),
		  PASSWORD_WRONG },
		{ "sha256-crypt", SPAN_INIT("Hello world!"),
		  SPAN_INIT("$5$saltstring$5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc5"),
		  PASSWORD_RIGHT },
		{ "bcrypt", SPAN_INIT("U*U"),
		  SPAN_INIT("$2y$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW"),
		  PASSWORD_RIGHT },
		{ "bcrypt, wrong", SPAN_INIT("U*V"),
		  SPAN_INIT("$2y$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW"),
		  PASSWORD_WRONG },
		{ "des", SPAN_INIT("x"), SPAN_INIT("abJnggxhB/yWI"), PASSWORD_UNREADABLE },
		{ "plain text", SPAN_INIT("x"), SPAN_INIT("x"), PASSWORD_UNREADABLE },
		{ "nothing", SPAN_INIT("x"), SPAN_INIT(""), PASSWORD_UNREADABLE },
		{ "broken argon2id", SPAN_INIT("x"), SPAN_INIT("$argon2id$v=19$m"),
		  PASSWORD_WRONG },
		{ "broken sha512-crypt", SPAN_INIT("x"), SPAN_INIT("$6$a:b$"),
		  PASSWORD_UNREADABLE },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++)
		if (password_check(rows[i].secret, rows[i].hash) != rows[i].is)
			fail_msg("%s", rows[i].why);
}

static void what_cannot_be_a_password_is_refused(void **state)
{
	static uint8_t mem[PASSWORD_HASH_MAX], much[PASSWORD_MAX + 1];
	struct buf hash;

	(void)state;
	memset(much, 'x', sizeof(much));
	buf_init(&hash, mem, sizeof(mem));
	assert_false(password_hash(SPAN_NONE, &hash));
	assert_false(password_hash(SPAN("a\0b"), &hash));
	assert_false(password_hash(span_of(much, sizeof(much)), &hash));
	assert_int_equal(hash.len, 0);
	assert_true(password_ok(span_of(much, PASSWORD_MAX)));
}

static void a_wiped_secret_is_gone(void **state)
{
	char secret[] = "secret";
	static const char zero[sizeof(secret)];

	(void)state;
	password_wipe(span_of(secret, sizeof(secret)));
	assert_memory_equal(secret, zero, sizeof(secret));
}

struct seen {
	size_t n;
	char last[64];
};

static void on_each(void *arg, struct span address, struct span scheme, int64_t changed)
{
	struct seen *seen = arg;

	seen->n++;
	assert_true(changed > 0);
	snprintf(seen->last, sizeof(seen->last), "%.*s %.*s", SPAN_ARG(address),
		 SPAN_ARG(scheme));
}

static void accounts_survive_closing(void **state)
{
	char dir[] = "/tmp/holdfast-accounts-XXXXXX", path[64], lock[80];
	struct accounts *a;
	struct seen seen = { 0 };
	struct err err;
	struct span hash;
	bool found;

	(void)state;
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/auth.db", dir);
	assert_true(accounts_open(&a, path, &err));
	assert_true(accounts_put(a, SPAN("alice@example.test"), SPAN("$argon2id$1"), 1,
				 &err));
	assert_true(accounts_put(a, SPAN("bob@example.test"), SPAN("$6$x$y"), 2, &err));
	assert_true(accounts_put(a, SPAN("alice@example.test"), SPAN("$argon2id$2"), 3,
				 &err));
	accounts_close(&a);
	assert_null(a);
	assert_true(accounts_open(&a, path, &err));
	assert_true(accounts_get(a, SPAN("alice@example.test"), &hash, &err));
	assert_true(span_eq(hash, SPAN("$argon2id$2")));
	assert_true(accounts_get(a, SPAN("carol@example.test"), &hash, &err));
	assert_int_equal(hash.n, 0);
	assert_true(accounts_each(a, SPAN_NONE, 10, on_each, &seen, &err));
	assert_int_equal(seen.n, 2);
	assert_string_equal(seen.last, "bob@example.test 6");
	assert_true(accounts_each(a, SPAN("alice@example.test"), 10, on_each, &seen, &err));
	assert_int_equal(seen.n, 3);
	assert_true(accounts_drop(a, SPAN("alice@example.test"), &found, &err));
	assert_true(found);
	assert_true(accounts_drop(a, SPAN("alice@example.test"), &found, &err));
	assert_false(found);
	accounts_close(&a);
	unlink(path);
	snprintf(lock, sizeof(lock), "%s-lock", path);
	unlink(lock);
	rmdir(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_right_password_is_right_and_others_are_wrong),
		cmocka_unit_test(hashes_of_other_servers_are_read),
		cmocka_unit_test(what_cannot_be_a_password_is_refused),
		cmocka_unit_test(a_wiped_secret_is_gone),
		cmocka_unit_test(accounts_survive_closing),
	};

	if (!password_init())
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
