/* What an operator asks of the queue, with its domains as the queue has them. */
#include "expect.h"

#include "store/condition.h"

/* NULL: it stays as it is. */
static const struct {
	const char *text, *is;
} rows[] = {
	{ "", NULL },
	{ "all", NULL },
	{ "sender=<> age>1h !tls=yes", NULL },
	{ "rcpt=bob@b\u00fccher.example", "rcpt=bob@xn--bcher-kva.example" },
	{ "rcpt!=*@B\u00dcCHER.example", "rcpt!=*@xn--bcher-kva.example" },
	{ "!sender=<bob@b\u00fccher.example>", "!sender=<bob@xn--bcher-kva.example>" },
	{ "rcpt=*@*.b\u00fccher.example", "rcpt=*@*.xn--bcher-kva.example" },
	{ "rcpt-domain=b\u00fccher.example age>1h",
	  "rcpt-domain=xn--bcher-kva.example age>1h" },
	{ "!sender-domain=b\u00fccher.example", "!sender-domain=xn--bcher-kva.example" },
	{ "destination=smtp:b\u00fccher.example:25*",
	  "destination=smtp:xn--bcher-kva.example:25*" },
	{ "helo=mx.b\u00fccher.example", "helo=mx.xn--bcher-kva.example" },
	/* names are no domains */
	{ "account=J\u00fcrgen*", NULL },
	{ "rcpt=J\u00fcrgen@a.example", NULL },
	/* what can be no domain fits nothing, as it is */
	{ "rcpt=*@\u2603.example", NULL },
	{ "no-such-term=b\u00fccher", NULL },
	{ "=b\u00fccher", NULL },
	{ "rcpt-domain=", NULL },
	{ "rcpt=a@  tls=no ", NULL },
};

static void domains_become_what_the_queue_has(void **unused)
{
	(void)unused;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		BUF(out, 200);

		condition_put(span_str(rows[i].text), &out);
		expect_false(rows[i].text, out.full);
		expect_text(rows[i].text, &out, rows[i].is ? rows[i].is : rows[i].text);
	}
}

static void what_does_not_fit_is_told(void **unused)
{
	BUF(out, 28);

	(void)unused;
	condition_put(SPAN("rcpt=bob@b\u00fccher.example"), &out);
	assert_true(out.full);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(domains_become_what_the_queue_has),
		cmocka_unit_test(what_does_not_fit_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
