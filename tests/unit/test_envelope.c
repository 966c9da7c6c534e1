#include "expect.h"

#include "wire/envelope.h"
#include "wire/smtp.h"

#define ALL (SMTP_OFFERS_CHUNKING | SMTP_OFFERS_UTF8)

static const struct {
	const char *why, *text;
	unsigned offers;
	enum reply want;
} mails[] = {
	/* clang-format off */
	{ "plain",                    "FROM:<a@b>",                          ALL, RE_NONE },
	{ "in lower case",            "from:<a@b> size=1 body=7bit",         ALL, RE_NONE },
	{ "nobody",                   "FROM:<>",                             0,   RE_NONE },
	{ "a space behind the colon", "FROM: <a@b>",                         0,   RE_NONE },
	{ "one before it",            "FROM :<a@b>",                         0,   RE_BAD_SENDER },
	{ "the wrong word",           "TO:<a@b>",                            0,   RE_BAD_SENDER },
	{ "no path",                  "FROM:",                               0,   RE_BAD_SENDER },
	{ "no brackets",              "FROM:a@b",                            0,   RE_BAD_SENDER },
	{ "nothing between",          "FROM:<a@b>SIZE=1",                    0,   RE_BAD_SENDER },
	{ "postmaster sends nothing", "FROM:<postmaster>",                   0,   RE_BAD_SENDER },
	{ "all of them",              "FROM:<a@b> SIZE=9 BODY=BINARYMIME SMTPUTF8", ALL, RE_NONE },
	{ "binary, not offered",      "FROM:<a@b> BODY=BINARYMIME",          0,   RE_BAD_PARAMETER },
	{ "UTF-8, not offered",       "FROM:<a@b> SMTPUTF8",                 0,   RE_BAD_PARAMETER },
	{ "UTF-8, not asked for",     "FROM:<\xc3\xbc@b>",                   ALL, RE_UTF8_NEEDED },
	{ "UTF-8",                    "FROM:<\xc3\xbc@b> SMTPUTF8",          ALL, RE_NONE },
	{ "UTF-8 with a value",       "FROM:<a@b> SMTPUTF8=1",               ALL, RE_BAD_ARGUMENT },
	{ "UTF-8 in a parameter",     "FROM:<a@b> SMTPUTF8 SIZE=\xc3\xbc",   ALL, RE_BAD_ARGUMENT },
	{ "unknown",                  "FROM:<a@b> FOO=1",                    ALL, RE_BAD_PARAMETER },
	{ "AUTH, not offered",        "FROM:<a@b> AUTH=<>",                  ALL, RE_BAD_PARAMETER },
	{ "no keyword",               "FROM:<a@b> =1",                       ALL, RE_BAD_ARGUMENT },
	{ "no keyword either",        "FROM:<a@b> -A=1",                     ALL, RE_BAD_ARGUMENT },
	{ "nor this",                 "FROM:<a@b> S_ZE=1",                   ALL, RE_BAD_ARGUMENT },
	{ "size twice",               "FROM:<a@b> SIZE=1 SIZE=1",            ALL, RE_BAD_ARGUMENT },
	{ "size without a value",     "FROM:<a@b> SIZE",                     ALL, RE_BAD_ARGUMENT },
	{ "a negative size",          "FROM:<a@b> SIZE=-1",                  ALL, RE_BAD_ARGUMENT },
	{ "20 digits",                "FROM:<a@b> SIZE=99999999999999999999", ALL, RE_NONE },
	{ "21 digits",                "FROM:<a@b> SIZE=000000000000000000001", ALL, RE_BAD_ARGUMENT },
	{ "body twice",               "FROM:<a@b> BODY=7BIT BODY=7BIT",      ALL, RE_BAD_ARGUMENT },
	{ "another body",             "FROM:<a@b> BODY=9BIT",                ALL, RE_BAD_ARGUMENT },
	{ "REQUIRETLS",               "FROM:<a@b> REQUIRETLS",               ALL, RE_NONE },
	{ "REQUIRETLS with a value",  "FROM:<a@b> REQUIRETLS=1",             ALL, RE_BAD_ARGUMENT },
	/* clang-format on */
};

static void mail_is_read_as_the_rows_say(void **unused)
{
	(void)unused;
	for (size_t i = 0; i < COUNT_OF(mails); i++) {
		struct envelope_mail m;

		expect_number(mails[i].why,
			      envelope_mail_parse(span_str(mails[i].text),
						  mails[i].offers, &m),
			      mails[i].want);
	}
}

static void parameters_are_kept(void **unused)
{
	struct envelope_mail m;

	(void)unused;
	assert_int_equal(
		envelope_mail_parse(SPAN("FROM:<a@B> BODY=8BITMIME SMTPUTF8 SIZE=77"),
				    ALL, &m),
		RE_NONE);
	assert_int_equal(m.body, BODY_8BITMIME);
	assert_int_equal(m.size, 77);
	assert_true(m.utf8);
	assert_false(m.requires_tls);
	expect_span("from", address_span(&m.from), SPAN("a@b"));
	assert_int_equal(envelope_mail_parse(SPAN("FROM:<> SIZE=99999999999999999999"), 0,
					     &m),
			 RE_NONE);
	assert_true(m.size == UINT64_MAX);
}

static void rcpt_is_read_strictly(void **unused)
{
	struct address a;

	(void)unused;
	assert_int_equal(envelope_rcpt_parse(SPAN("TO:<a@b>"), false, &a), RE_NONE);
	assert_int_equal(envelope_rcpt_parse(SPAN("TO:<Postmaster>"), false, &a), RE_NONE);
	assert_int_equal(a.kind, ADDRESS_POSTMASTER);
	assert_int_equal(envelope_rcpt_parse(SPAN("TO:<>"), false, &a), RE_BAD_RECIPIENT);
	assert_int_equal(envelope_rcpt_parse(SPAN("TO:<a>"), false, &a), RE_BAD_RECIPIENT);
	assert_int_equal(envelope_rcpt_parse(SPAN("TO:<a@b> NOTIFY=NEVER"), false, &a),
			 RE_BAD_PARAMETER);
	assert_int_equal(envelope_rcpt_parse(SPAN("TO:<\xc3\xbc@b>"), false, &a),
			 RE_UTF8_NEEDED);
	assert_int_equal(envelope_rcpt_parse(SPAN("TO:<\xc3\xbc@b>"), true, &a), RE_NONE);
}

static void queries_in_utf8_say_so(void **unused)
{
	(void)unused;
	assert_int_equal(envelope_query_check(SPAN("alice"), 0), RE_NONE);
	assert_int_equal(envelope_query_check(SPAN("\xc3\xbc"), ALL), RE_NEEDS_UTF8);
	assert_int_equal(envelope_query_check(SPAN("\xc3\xbc SMTPUTF8"), ALL), RE_NONE);
	assert_int_equal(envelope_query_check(SPAN("\xc3\xbc SMTPUTF8"), 0),
			 RE_NEEDS_UTF8);
	assert_int_equal(envelope_query_check(SPAN("\xfc SMTPUTF8"), ALL),
			 RE_BAD_ARGUMENT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(mail_is_read_as_the_rows_say),
		cmocka_unit_test(parameters_are_kept),
		cmocka_unit_test(rcpt_is_read_strictly),
		cmocka_unit_test(queries_in_utf8_say_so),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
