#include "expect.h"

#include "session/helo.h"

#define LABEL "0123456789012345678901234567890123456789012345678901234567890"

static const struct {
	const char *why, *name;
	enum event what;
} rows[] = {
	{ "a name", "mail.there.example", EV_NONE },
	{ "a name that ends with a dot", "mail.there.example.", EV_NONE },
	{ "a name with a digit in front", "1.2.3.example", EV_NONE },
	{ "an underscore, as Windows has it", "my_pc.there.example", EV_NONE },
	{ "a label of 63", LABEL "12.example", EV_NONE },
	{ "its own address", "[192.0.2.7]", EV_NONE },
	{ "a label of 64", LABEL "123.example", EV_HELO_SYNTAX },
	{ "nothing", "", EV_HELO_SYNTAX },
	{ "a dot", ".", EV_HELO_SYNTAX },
	{ "two dots", "mail..example", EV_HELO_SYNTAX },
	{ "a dot in front", ".there.example", EV_HELO_SYNTAX },
	{ "a dash in front", "-a.example", EV_HELO_SYNTAX },
	{ "a dash behind", "a-.example", EV_HELO_SYNTAX },
	{ "a byte that no name has", "a!b.example", EV_HELO_SYNTAX },
	{ "half a literal", "[192.0.2.7", EV_HELO_SYNTAX },
	{ "a literal of nothing", "[]", EV_HELO_SYNTAX },
	{ "a literal of a name", "[there.example]", EV_HELO_SYNTAX },
	{ "IPv6 without its tag", "[2001:db8::7]", EV_HELO_SYNTAX },
	{ "another address", "[192.0.2.8]", EV_HELO_ADDRESS },
	{ "another address, IPv6", "[IPv6:2001:db8::8]", EV_HELO_ADDRESS },
	{ "a bare address", "192.0.2.7", EV_HELO_ADDRESS },
	{ "a bare address, IPv6", "2001:db8::7", EV_HELO_ADDRESS },
	{ "our name", "MX.here.example", EV_HELO_OURS },
	{ "our name with a dot", "mx.here.example.", EV_HELO_OURS },
	{ "our address", "198.51.100.1", EV_HELO_OURS },
	{ "our address as a literal", "[198.51.100.1]", EV_HELO_OURS },
	{ "a name without a dot", "there", EV_HELO_NOT_FQDN },
	{ "the same with one behind", "localhost.", EV_HELO_NOT_FQDN },
	{ "below our name", "x.mx.here.example", EV_NONE },
};

static void a_name_is_judged_by_its_worst_fault(void **unused)
{
	struct addr peer = addr_v4(192, 0, 2, 7), local = addr_v4(198, 51, 100, 1);
	struct helo_ends ends = { &peer, &local, SPAN("mx.here.example") };

	(void)unused;
	for (size_t i = 0; i < COUNT_OF(rows); i++)
		if (helo_check(span_str(rows[i].name), &ends) != rows[i].what)
			fail_msg("%s", rows[i].why);
}

static void who_comes_from_our_address_may_have_our_name(void **unused)
{
	struct addr local = addr_v4(198, 51, 100, 1);
	struct helo_ends ends = { &local, &local, SPAN("mx.here.example") };

	(void)unused;
	assert_int_equal(helo_check(SPAN("mx.here.example"), &ends), EV_NONE);
	assert_int_equal(helo_check(SPAN("[198.51.100.1]"), &ends), EV_NONE);
}

static void a_literal_may_be_written_in_any_way(void **unused)
{
	struct addr peer, local = addr_v4(198, 51, 100, 1);
	struct helo_ends ends = { &peer, &local, SPAN("mx.here.example") };

	(void)unused;
	assert_true(addr_parse(SPAN("2001:db8::7"), &peer));
	assert_int_equal(helo_check(SPAN("[IPv6:2001:DB8:0:0::7]"), &ends), EV_NONE);
	assert_int_equal(helo_check(SPAN("[ipv6:2001:db8::7]"), &ends), EV_NONE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_name_is_judged_by_its_worst_fault),
		cmocka_unit_test(who_comes_from_our_address_may_have_our_name),
		cmocka_unit_test(a_literal_may_be_written_in_any_way),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
