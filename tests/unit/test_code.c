#include <string.h>

#include "base/attr.h"
#include "guard/code.h"
#include "tests/unit/remember.h"

static const struct memory_shape tiny = { 8, 8, 1, 1 };

static void a_code_is_the_rule_and_the_client(void **unused)
{
	struct remember r;

	(void)unused;
	remember_open(&r, tiny);
	for (uint32_t n = 0; n < 2000; n++)
		for (int rule = RULE_NONE + 1; rule < RULE_COUNT; rule++) {
			struct addr a = nth_addr(n * 7919);
			char code[CODE_MAX];
			enum rule back;
			uint32_t hash;

			code_make(&r.m, (enum rule)rule, &a, code);
			assert_int_equal(strlen(code), CODE_LENGTH);
			assert_true(code_parse(span_str(code), &back, &hash));
			assert_int_equal(back, rule);
			assert_int_equal(hash, code_hash(&r.m, nth_key(n * 7919)));
		}
	remember_close(&r);
}

static void all_addresses_of_a_subscriber_have_one_code(void **unused)
{
	struct addr a = { { 0x20, 1, 0xd, 0xb8 } }, b = a, c = a;
	char one[CODE_MAX], other[CODE_MAX], else_[CODE_MAX];
	struct remember r;

	(void)unused;
	b.ip[15] = 9;
	c.ip[7] = 1;
	remember_open(&r, tiny);
	code_make(&r.m, RULE_RATE, &a, one);
	code_make(&r.m, RULE_RATE, &b, other);
	code_make(&r.m, RULE_RATE, &c, else_);
	assert_string_equal(one, other);
	assert_string_not_equal(one, else_);
	remember_close(&r);
}

static void another_memory_has_other_codes(void **unused)
{
	struct memory_shape shape = tiny;
	size_t n = memory_size(&shape);
	struct addr a = nth_addr(1);
	char one[CODE_MAX], other[CODE_MAX];
	struct remember r;
	struct memory m;
	void *mem = shared_pages(n);

	(void)unused;
	remember_open(&r, tiny);
	memory_init(mem, n, &shape, (uint64_t[]){ 1, 2 }, 0);
	assert_true(memory_open(&m, mem, n, 0));
	code_make(&r.m, RULE_RATE, &a, one);
	code_make(&m, RULE_RATE, &a, other);
	assert_string_not_equal(one, other);
	assert_int_equal(munmap(mem, n), 0);
	remember_close(&r);
}

static void it_is_read_as_people_write_it(void **unused)
{
	enum rule rule;
	uint32_t hash, same;

	(void)unused;
	assert_true(code_parse(SPAN("P7K2Q9M"), &rule, &hash));
	assert_int_equal(rule, RULE_POINTS);
	assert_true(code_parse(SPAN("p7k2q9m"), &rule, &same));
	assert_int_equal(hash, same);
	assert_true(code_parse(SPAN("P000111"), &rule, &hash));
	assert_true(code_parse(SPAN("pOooIlL"), &rule, &same));
	assert_int_equal(hash, same);
	assert_true(code_parse(SPAN("O000000"), &rule, &hash));
	assert_int_equal(rule, RULE_ORDER);
	assert_true(code_parse(SPAN("0000000"), &rule, &hash));
	assert_int_equal(rule, RULE_ORDER);
	assert_true(code_parse(SPAN("1ZZZZZZ"), &rule, &hash));
	assert_int_equal(rule, RULE_LOCKDOWN);
	assert_int_equal(hash, (1 << 30) - 1);
}

static void anything_else_is_no_code(void **unused)
{
	static const struct span bad[] = {
		SPAN_INIT(""),		 SPAN_INIT("P7K2Q9"),
		SPAN_INIT("P7K2Q9MM"),	 SPAN_INIT("Z7K2Q9M"),
		SPAN_INIT("P7K2Q9U"),	 SPAN_INIT("P7K2-9M"),
		SPAN_INIT("P7K2Q9\0"),	 SPAN_INIT("\0\0\0\0\0\0\0"),
		SPAN_INIT("P7K2Q9\xff"), SPAN_INIT("?000000"),
		SPAN_INIT("192.0.2"),
	};
	enum rule rule;
	uint32_t hash;

	(void)unused;
	for (size_t i = 0; i < COUNT_OF(bad); i++)
		if (code_parse(bad[i], &rule, &hash))
			fail_msg("row %zu", i);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_code_is_the_rule_and_the_client),
		cmocka_unit_test(all_addresses_of_a_subscriber_have_one_code),
		cmocka_unit_test(another_memory_has_other_codes),
		cmocka_unit_test(it_is_read_as_people_write_it),
		cmocka_unit_test(anything_else_is_no_code),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
