/* crypt/password: a secret is known by its hash, and only so. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "crypt/password.h"

#include "little_memory.h"

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
		{ "yescrypt", SPAN_INIT("correct horse"),
		  SPAN_INIT(
			  "$y$j9T$F5Jx5fExrKuPp53xLKQ..1$zwtVrjrUCmXcyLTs6oxLTQlzifSUkF8RHJ./tK5KU79"),
		  PASSWORD_RIGHT },
		{ "bcrypt of old", SPAN_INIT("U*U"),
		  SPAN_INIT("$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW"),
		  PASSWORD_RIGHT },
		{ "pbkdf2-sha256", SPAN_INIT("password"),
		  SPAN_INIT("$pbkdf2-sha256$1000$//tOYUNsIHNhbHQ$XpgMWnvwS4q74Mmav4MjtKl/"
			    "iSYU0NHkl26R7sfiID4"),
		  PASSWORD_RIGHT },
		{ "pbkdf2-sha256, wrong", SPAN_INIT("passwore"),
		  SPAN_INIT("$pbkdf2-sha256$1000$//tOYUNsIHNhbHQ$XpgMWnvwS4q74Mmav4MjtKl/"
			    "iSYU0NHkl26R7sfiID4"),
		  PASSWORD_WRONG },
		{ "pbkdf2-sha256 without rounds", SPAN_INIT("password"),
		  SPAN_INIT("$pbkdf2-sha256$0$c2FsdA$c2FsdA"), PASSWORD_UNREADABLE },
		{ "argon2i of other parameters than libsodium's", SPAN_INIT("password"),
		  SPAN_INIT("$argon2i$v=19$m=65536,t=2,p=4$c29tZXNhbHQ$"
			    "RdescudvJCsgt3ub+b+dWRWJTmaaJObG"),
		  PASSWORD_RIGHT },
		{ "likewise, wrong", SPAN_INIT("passwore"),
		  SPAN_INIT("$argon2i$v=19$m=65536,t=2,p=4$c29tZXNhbHQ$"
			    "RdescudvJCsgt3ub+b+dWRWJTmaaJObG"),
		  PASSWORD_WRONG },
		{ "fewer passes than libsodium makes", SPAN_INIT("password"),
		  SPAN_INIT("$argon2i$v=19$m=8192,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$"
			    "x/QyceoUC8d7LpqUoTfrZLnphOzNZAm5JQCDZ6xGT/w"),
		  PASSWORD_RIGHT },
		{ "{PBKDF2}", SPAN_INIT("password"),
		  SPAN_INIT(
			  "{PBKDF2}$1$QT7PxDAZfR1Z3$5000$220e66ef90fbef2358ea3819d58572263c3db308"),
		  PASSWORD_RIGHT },
		{ "{PBKDF2}, wrong", SPAN_INIT("Password"),
		  SPAN_INIT(
			  "{PBKDF2}$1$QT7PxDAZfR1Z3$5000$220e66ef90fbef2358ea3819d58572263c3db308"),
		  PASSWORD_WRONG },
		{ "{SSHA256}", SPAN_INIT("password"),
		  SPAN_INIT("{SSHA256}eje4XIkY6sGakInA+loqtNzj+QUo3N7sEIsj3fNge5lzYWx0"),
		  PASSWORD_RIGHT },
		{ "{SSHA256}, wrong", SPAN_INIT("passwort"),
		  SPAN_INIT("{SSHA256}eje4XIkY6sGakInA+loqtNzj+QUo3N7sEIsj3fNge5lzYWx0"),
		  PASSWORD_WRONG },
		{ "{ssha512.hex}", SPAN_INIT("password"),
		  SPAN_INIT("{ssha512.hex}fa6a2185b3e0a9a85ef41ffb67ef3c1fb6f74980f8ebf97"
			    "0e4e72e353ed9537d593083c201dfd6e43e1c8a7aac2bc8dbb119c7dfb7d"
			    "4b8f131111395bd70e97f73616c74"),
		  PASSWORD_RIGHT },
		{ "{SHA256}", SPAN_INIT("password"),
		  SPAN_INIT("{SHA256}XohImNooBHFR0OVvjcYpJ3NgPQ1qq73WKhHvch0VQtg="),
		  PASSWORD_RIGHT },
		{ "{SHA256} and more", SPAN_INIT("password"),
		  SPAN_INIT("{SHA256}XohImNooBHFR0OVvjcYpJ3NgPQ1qq73WKhHvch0VQthtb3Jl"),
		  PASSWORD_UNREADABLE },
		{ "{SSHA}", SPAN_INIT("password"),
		  SPAN_INIT("{SSHA}yI6cZwQadOA1e+/f+T+H3eCQQhRzYWx0"), PASSWORD_RIGHT },
		{ "{PLAIN}", SPAN_INIT("pass:word"), SPAN_INIT("{PLAIN}pass:word"),
		  PASSWORD_RIGHT },
		{ "{PLAIN}, wrong", SPAN_INIT("pass:wor"), SPAN_INIT("{PLAIN}pass:word"),
		  PASSWORD_WRONG },
		{ "{SHA512-CRYPT}", SPAN_INIT("Hello world!"),
		  SPAN_INIT("{SHA512-CRYPT}$6$saltstring$svn8UoSVapNtMuq1ukKS4tPQd8iKwSMH"
			    "Wjl/O817G3uBnIFNjnQ"
			    "JuesI68u4OTLiBFdcbYEdFCoEOfaS35inz1"),
		  PASSWORD_RIGHT },
		{ "{BLF-CRYPT}", SPAN_INIT("U*U"),
		  SPAN_INIT(
			  "{BLF-CRYPT}$2y$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW"),
		  PASSWORD_RIGHT },
		{ "{SCRAM-SHA-256}", SPAN_INIT("pencil"),
		  SPAN_INIT("{SCRAM-SHA-256}4096,W22ZaJ0SNY7soEsUEjb6gQ==,WG5d8oPm3OtcPnk"
			    "di4Uo7BkeZkBFzpcXkuLmtbsT4qY=,wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZq"
			    "QxSrmfPwDl2dU="),
		  PASSWORD_RIGHT },
		{ "{SCRAM-SHA-256}, wrong", SPAN_INIT("pencils"),
		  SPAN_INIT("{SCRAM-SHA-256}4096,W22ZaJ0SNY7soEsUEjb6gQ==,WG5d8oPm3OtcPnk"
			    "di4Uo7BkeZkBFzpcXkuLmtbsT4qY=,wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZq"
			    "QxSrmfPwDl2dU="),
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

static void hashes_that_are_too_weak_are_refused_by_name(void **state)
{
	static const char *const rows[] = {
		"{CRAM-MD5}e02d374fde0dc75a17a557039a3a5338c7743304777dccd376f332bee68d2cf6",
		"{MD5-CRYPT}$1$abcdefgh$irWbblnpmw.5z7wgBnprh0",
		"{CRYPT}abJnggxhB/yWI",
		"{PLAIN-MD5}5f4dcc3b5aa765d61d8327deb882cf99",
		"{SHA256.XYZ}x",
		"{SHA256",
		"$1$abcdefgh$irWbblnpmw.5z7wgBnprh0",
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		if (!password_problem(span_str(rows[i])))
			fail_msg("%s", rows[i]);
		assert_int_equal(password_check(SPAN("password"), span_str(rows[i])),
				 PASSWORD_UNREADABLE);
	}
	assert_null(password_problem(SPAN("{SSHA256}x")));
}

static void without_memory_nothing_is_said_of_a_password(void **state)
{
	static const struct {
		const char *why;
		struct span hash;
		enum password_check is;
	} rows[] = {
		{ "of libsodium's parameters",
		  SPAN_INIT("$argon2id$v=19$m=19456,t=2,p=1$MDEyMzQ1Njc4OWFiY2RlZg$"
			    "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY"),
		  PASSWORD_LATER },
		{ "of others",
		  SPAN_INIT("$argon2i$v=19$m=65536,t=2,p=4$c29tZXNhbHQ$"
			    "RdescudvJCsgt3ub+b+dWRWJTmaaJObG"),
		  PASSWORD_LATER },
		{ "in braces",
		  SPAN_INIT("{ARGON2ID}$argon2id$v=19$m=65536,t=3,p=1$MDEyMzQ1Njc4OWFiY2RlZg$"
			    "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY"),
		  PASSWORD_LATER },
		{ "yescrypt",
		  SPAN_INIT(
			  "$y$j9T$F5Jx5fExrKuPp53xLKQ..1$zwtVrjrUCmXcyLTs6oxLTQlzifSUkF8RHJ./tK5KU79"),
		  PASSWORD_LATER },
		{ "yescrypt of which the end is missing",
		  SPAN_INIT("$y$j9T$F5Jx5fExrKuPp53xLKQ..1$zwtVrjrUCmXcyLTs6oxLT"),
		  PASSWORD_UNREADABLE },
		{ "argon2id of which the end is missing",
		  SPAN_INIT("$argon2id$v=19$m=19456,t=2"), PASSWORD_WRONG },
		{ "one that takes none",
		  SPAN_INIT("$5$saltstring$5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc5"),
		  PASSWORD_WRONG },
	};
	struct rlimit had = allow_little_memory(4 << 20);

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++)
		if (password_check(SPAN("x"), rows[i].hash) != rows[i].is)
			fail_msg("%s", rows[i].why);
	allow_memory(had);
	assert_int_equal(password_check(SPAN("x"), rows[0].hash), PASSWORD_WRONG);
	assert_int_equal(password_check(SPAN("x"), rows[3].hash), PASSWORD_WRONG);
}

static void a_scheme_has_a_word(void **state)
{
	(void)state;
	assert_true(span_eq(password_scheme(SPAN("$argon2id$v=19$m")), SPAN("argon2id")));
	assert_true(span_eq(password_scheme(SPAN("{CRYPT}$2y$05$")), SPAN("bcrypt")));
	assert_true(span_eq(password_scheme(SPAN("{ssha}x")), SPAN("ssha")));
	assert_int_equal(password_scheme(SPAN("x")).n, 0);
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_right_password_is_right_and_others_are_wrong),
		cmocka_unit_test(hashes_of_other_servers_are_read),
		cmocka_unit_test(what_cannot_be_a_password_is_refused),
		cmocka_unit_test(a_wiped_secret_is_gone),
		cmocka_unit_test(hashes_that_are_too_weak_are_refused_by_name),
		cmocka_unit_test(a_scheme_has_a_word),
		cmocka_unit_test(without_memory_nothing_is_said_of_a_password),
	};

	if (!password_init())
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
