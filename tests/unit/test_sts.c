#include "expect.h"

#include "wire/sts.h"

static void a_record_has_a_version_and_an_id(void **unused)
{
	static const struct {
		const char *text, *id; /* NULL: it is none */
	} rows[] = {
		{ "v=STSv1; id=20160831085700Z;", "20160831085700Z" },
		{ "v=STSv1;id=1", "1" },
		{ "v=STSv1 ; other=x; id=a1 ; id=b2", "a1" },
		{ "v=STSv1; id=", NULL },
		{ "v=STSv1; id=a-b", NULL },
		{ "v=STSv1; id=123456789012345678901234567890123", NULL },
		{ "v=STSv1", NULL },
		{ "id=1; v=STSv1", NULL },
		{ "v=STSv2; id=1", NULL },
		{ "v=spf1 -all", NULL },
		{ "", NULL },
	};

	(void)unused;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct span id;
		bool ok = sts_record_parse(span_str(rows[i].text), &id);

		if (ok != (rows[i].id != NULL) ||
		    (ok && !span_eq(id, span_str(rows[i].id))))
			fail_msg("%s: %.*s", rows[i].text, SPAN_ARG(id));
	}
}

#define GOOD \
	"version: STSv1\r\nmode: enforce\r\nmx: mail.example.com\r\nmx: *.example.net\r\nmax_age: 604800\r\n"

static void a_policy_is_read(void **unused)
{
	struct sts_policy p;

	(void)unused;
	assert_true(sts_policy_parse(SPAN(GOOD), &p));
	assert_int_equal(p.mode, STS_ENFORCE);
	assert_int_equal(p.max_age, 604800);
	assert_true(sts_policy_parse(SPAN("version:STSv1\nmode:none\nmax_age:1"), &p));
	assert_int_equal(p.mode, STS_NONE);
	assert_true(sts_policy_parse(SPAN("version: STSv1\nmode: testing\nmode: enforce\n"
					  "x-new: field\nmx: a\nmax_age: 9999999999\n"),
				     &p));
	assert_int_equal(p.mode, STS_TESTING);
	assert_int_equal(p.max_age, 31557600);
}

static void hosts_are_compared_label_by_label(void **unused)
{
	static const struct {
		const char *host;
		bool in;
	} rows[] = {
		{ "mail.example.com", true },	{ "MAIL.Example.COM", true },
		{ "a.example.net", true },	{ "a.b.example.net", false },
		{ "example.net", false },	{ "mail.example.com.evil", false },
		{ "xmail.example.com", false }, { "", false },
		{ "aexample.net", false },	{ "*.example.net", true },
	};
	struct sts_policy p;

	(void)unused;
	assert_true(sts_policy_parse(SPAN(GOOD), &p));
	for (size_t i = 0; i < COUNT_OF(rows); i++)
		if (sts_policy_has(&p, span_str(rows[i].host)) != rows[i].in)
			fail_msg("%s", rows[i].host);
}

static void what_is_not_a_policy_is_none(void **unused)
{
	static const char *const bad[] = {
		"",
		"<html>not found</html>",
		"version: STSv1\nmode: enforce\nmx: a\n",
		"version: STSv1\nmx: a\nmax_age: 1\n",
		"mode: enforce\nmx: a\nmax_age: 1\n",
		"version: STSv2\nmode: enforce\nmx: a\nmax_age: 1\n",
		"version: STSv1\nmode: enforce\nmax_age: 1\n",
		"version: STSv1\nmode: Enforce\nmx: a\nmax_age: 1\n",
		"version: STSv1\nmode: enforce\nmx: a\nmax_age: -1\n",
		"version: STSv1\nmode: enforce\nmx: a\nmax_age: 99999999999\n",
		"version: STSv1\nmode: enforce\nmx: *\nmax_age: 1\n",
		"version: STSv1\nmode: enforce\nmx: a.*.b\nmax_age: 1\n",
		"version: STSv1\nmode: enforce\nmx: *.\nmax_age: 1\n",
	};
	struct sts_policy p;

	(void)unused;
	for (size_t i = 0; i < COUNT_OF(bad); i++)
		if (sts_policy_parse(span_str(bad[i]), &p))
			fail_msg("%s", bad[i]);
}

static void too_many_hosts_are_no_policy_rather_than_half_of_one(void **unused)
{
	static uint8_t mem[20000];
	struct sts_policy p;
	struct buf text;

	(void)unused;
	buf_init(&text, mem, sizeof(mem));
	buf_put(&text, SPAN("version: STSv1\nmode: enforce\nmax_age: 1\n"));
	for (int i = 0; i < 500; i++)
		buf_fmt(&text, "mx: mx%d.example.com\n", i);
	assert_false(sts_policy_parse(buf_span(&text), &p));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_record_has_a_version_and_an_id),
		cmocka_unit_test(a_policy_is_read),
		cmocka_unit_test(hosts_are_compared_label_by_label),
		cmocka_unit_test(what_is_not_a_policy_is_none),
		cmocka_unit_test(too_many_hosts_are_no_policy_rather_than_half_of_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
