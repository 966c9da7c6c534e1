#include "expect.h"

#include "wire/envelope.h"
#include "wire/smtp.h"

#define ALL   (SMTP_OFFERS_CHUNKING | SMTP_OFFERS_BINARY | SMTP_OFFERS_UTF8)
#define FIFTY "12345678901234567890123456789012345678901234567890"
#define DSN   SMTP_OFFERS_DSN
#define AUTH  SMTP_KNOWS_AUTH

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
	{ "nor with chunks alone",    "FROM:<a@b> BODY=BINARYMIME",          SMTP_OFFERS_CHUNKING, RE_BAD_PARAMETER },
	{ "UTF-8, not offered",       "FROM:<a@b> SMTPUTF8",                 0,   RE_BAD_PARAMETER },
	{ "UTF-8, not asked for",     "FROM:<\xc3\xbc@b>",                   ALL, RE_UTF8_NEEDED },
	{ "UTF-8",                    "FROM:<\xc3\xbc@b> SMTPUTF8",          ALL, RE_NONE },
	{ "UTF-8 with a value",       "FROM:<a@b> SMTPUTF8=1",               ALL, RE_BAD_ARGUMENT },
	{ "UTF-8 in a parameter",     "FROM:<a@b> SMTPUTF8 SIZE=\xc3\xbc",   ALL, RE_BAD_ARGUMENT },
	{ "unknown",                  "FROM:<a@b> FOO=1",                    ALL, RE_BAD_PARAMETER },
	{ "AUTH, not offered",        "FROM:<a@b> AUTH=<>",                  ALL, RE_BAD_PARAMETER },
	{ "AUTH",                     "FROM:<a@b> AUTH=e+3Dmc2@example.com", AUTH, RE_NONE },
	{ "AUTH twice",               "FROM:<a@b> AUTH=<> AUTH=<>",          AUTH, RE_BAD_ARGUMENT },
	{ "AUTH without a value",     "FROM:<a@b> AUTH",                     AUTH, RE_BAD_ARGUMENT },
	{ "RET, not offered",         "FROM:<a@b> RET=FULL",                 ALL, RE_BAD_PARAMETER },
	{ "RET",                      "FROM:<a@b> RET=FULL",                 DSN, RE_NONE },
	{ "RET twice",                "FROM:<a@b> RET=FULL RET=HDRS",        DSN, RE_BAD_ARGUMENT },
	{ "another RET",              "FROM:<a@b> RET=SOME",                 DSN, RE_BAD_ARGUMENT },
	{ "ENVID",                    "FROM:<a@b> ENVID=QQ314159",           DSN, RE_NONE },
	{ "ENVID twice",              "FROM:<a@b> ENVID=1 ENVID=1",          DSN, RE_BAD_ARGUMENT },
	{ "ENVID with nothing",       "FROM:<a@b> ENVID=",                   DSN, RE_BAD_ARGUMENT },
	{ "ENVID with a bare plus",   "FROM:<a@b> ENVID=a+b",                DSN, RE_BAD_ARGUMENT },
	{ "ENVID of 101 bytes",       "FROM:<a@b> ENVID=" FIFTY FIFTY "x",   DSN, RE_BAD_ARGUMENT },
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

static const struct {
	const char *why, *text;
	unsigned offers;
	bool utf8;
	enum reply want;
} rcpts[] = {
	/* clang-format off */
	{ "plain",                     "TO:<a@b>",                                 0,   false, RE_NONE },
	{ "nobody",                    "TO:<>",                                    0,   false, RE_BAD_RECIPIENT },
	{ "no domain",                 "TO:<a>",                                   0,   false, RE_BAD_RECIPIENT },
	{ "UTF-8, not asked for",      "TO:<\xc3\xbc@b>",                          0,   false, RE_UTF8_NEEDED },
	{ "UTF-8",                     "TO:<\xc3\xbc@b>",                          0,   true,  RE_NONE },
	{ "NOTIFY, not offered",       "TO:<a@b> NOTIFY=NEVER",                    0,   false, RE_BAD_PARAMETER },
	{ "never",                     "TO:<a@b> NOTIFY=never",                    DSN, false, RE_NONE },
	{ "all the others",            "TO:<a@b> NOTIFY=SUCCESS,FAILURE,DELAY",    DSN, false, RE_NONE },
	{ "never and another",         "TO:<a@b> NOTIFY=NEVER,DELAY",              DSN, false, RE_BAD_ARGUMENT },
	{ "another and never",         "TO:<a@b> NOTIFY=DELAY,NEVER",              DSN, false, RE_BAD_ARGUMENT },
	{ "one twice",                 "TO:<a@b> NOTIFY=DELAY,DELAY",              DSN, false, RE_BAD_ARGUMENT },
	{ "a comma at the end",        "TO:<a@b> NOTIFY=DELAY,",                   DSN, false, RE_BAD_ARGUMENT },
	{ "two commas",                "TO:<a@b> NOTIFY=DELAY,,FAILURE",           DSN, false, RE_BAD_ARGUMENT },
	{ "nothing",                   "TO:<a@b> NOTIFY=",                         DSN, false, RE_BAD_ARGUMENT },
	{ "no value",                  "TO:<a@b> NOTIFY",                          DSN, false, RE_BAD_ARGUMENT },
	{ "NOTIFY twice",              "TO:<a@b> NOTIFY=DELAY NOTIFY=DELAY",       DSN, false, RE_BAD_ARGUMENT },
	{ "unknown",                   "TO:<a@b> FOO=1",                           DSN, false, RE_BAD_PARAMETER },
	{ "no keyword",                "TO:<a@b> =1",                              DSN, false, RE_BAD_ARGUMENT },
	{ "RET is of MAIL",            "TO:<a@b> RET=FULL",                        DSN, false, RE_BAD_PARAMETER },
	{ "whom it was for",           "TO:<a@b> ORCPT=rfc822;c@d",                DSN, false, RE_NONE },
	{ "twice",                     "TO:<a@b> ORCPT=rfc822;c@d ORCPT=rfc822;c@d", DSN, false, RE_BAD_ARGUMENT },
	{ "no type",                   "TO:<a@b> ORCPT=c@d",                       DSN, false, RE_BAD_ARGUMENT },
	{ "no address",                "TO:<a@b> ORCPT=rfc822;",                   DSN, false, RE_BAD_ARGUMENT },
	{ "a bare plus",               "TO:<a@b> ORCPT=rfc822;c+d@e",              DSN, false, RE_BAD_ARGUMENT },
	{ "an equals sign",            "TO:<a@b> ORCPT=rfc822;c=d@e",              DSN, false, RE_BAD_ARGUMENT },
	{ "hexadecimal in lower case", "TO:<a@b> ORCPT=rfc822;c+2b@e",             DSN, false, RE_BAD_ARGUMENT },
	{ "cut off",                   "TO:<a@b> ORCPT=rfc822;c+2",                DSN, false, RE_BAD_ARGUMENT },
	{ "UTF-8 without SMTPUTF8",    "TO:<a@b> ORCPT=utf-8;\xc3\xbc@e",          DSN, false, RE_BAD_ARGUMENT },
	{ "UTF-8 and a bare plus",     "TO:<a@b> ORCPT=utf-8;\xc3\xbc+zz@e",       DSN, true,  RE_BAD_ARGUMENT },
	{ "UTF-8 with it",             "TO:<a@b> ORCPT=utf-8;\xc3\xbc@e",          DSN, true,  RE_NONE },
	{ "UTF-8 of another type",     "TO:<a@b> ORCPT=rfc822;\xc3\xbc@e",         DSN, true,  RE_BAD_ARGUMENT },
	/* clang-format on */
};

static void rcpt_is_read_strictly(void **unused)
{
	struct envelope_rcpt a;

	(void)unused;
	for (size_t i = 0; i < COUNT_OF(rcpts); i++)
		expect_number(rcpts[i].why,
			      envelope_rcpt_parse(span_str(rcpts[i].text),
						  rcpts[i].offers, rcpts[i].utf8, &a),
			      rcpts[i].want);
	assert_int_equal(envelope_rcpt_parse(SPAN("TO:<Postmaster>"), 0, false, &a),
			 RE_NONE);
	assert_int_equal(a.to.kind, ADDRESS_POSTMASTER);
}

static void what_the_sender_wants_to_be_told_is_kept_as_written(void **unused)
{
	struct envelope_mail m;
	struct envelope_rcpt r;

	(void)unused;
	assert_int_equal(envelope_mail_parse(SPAN("FROM:<a@b> RET=hdrs ENVID=QQ+2B31"),
					     DSN, &m),
			 RE_NONE);
	assert_int_equal(m.ret, RET_HDRS);
	expect_span("envid", m.envid, SPAN("QQ+2B31"));
	assert_int_equal(envelope_rcpt_parse(
				 SPAN("TO:<a@b> ORCPT=rfc822;A+2Bx@b NOTIFY=delay,FAILURE"),
				 DSN, false, &r),
			 RE_NONE);
	expect_span("to", address_span(&r.to), SPAN("a@b"));
	expect_span("notify", r.notify, SPAN("delay,FAILURE"));
	expect_span("orcpt", r.orcpt, SPAN("rfc822;A+2Bx@b"));
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
		cmocka_unit_test(what_the_sender_wants_to_be_told_is_kept_as_written),
		cmocka_unit_test(queries_in_utf8_say_so),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
