/*
 * A certificate of our own making is one that our own loader takes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "io/pem.h"
#include "io/selfsigned.h"

static void the_pair_is_good_for_a_year(void **state)
{
	uint8_t cert_mem[SELFSIGNED_PEM], key_mem[SELFSIGNED_PEM];
	struct buf cert, key;
	struct pem_facts facts;
	struct err err;

	(void)state;
	buf_init(&cert, cert_mem, sizeof(cert_mem));
	buf_init(&key, key_mem, sizeof(key_mem));
	assert_true(selfsigned_make("mx.example.test", &cert, &key, &err));
	assert_true(pem_check(buf_span(&cert), buf_span(&key), &facts, &err));
	assert_false(facts.expired || facts.early);
	assert_in_range(facts.days_left, 364, 365);
}

static void no_two_pairs_are_the_same(void **state)
{
	uint8_t mem[4][SELFSIGNED_PEM];
	struct buf text[4];
	struct pem_facts facts;
	struct err err;

	(void)state;
	for (size_t i = 0; i < 4; i++)
		buf_init(&text[i], mem[i], sizeof(mem[i]));
	assert_true(selfsigned_make("mx.example.test", &text[0], &text[1], &err));
	assert_true(selfsigned_make("mx.example.test", &text[2], &text[3], &err));
	assert_false(span_eq(buf_span(&text[0]), buf_span(&text[2])));
	assert_false(pem_check(buf_span(&text[0]), buf_span(&text[3]), &facts, &err));
}

static void a_name_that_is_too_long_is_refused(void **state)
{
	uint8_t mem[SELFSIGNED_PEM];
	char name[400];
	struct buf cert, key;
	struct err err;

	(void)state;
	memset(name, 'x', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	buf_init(&cert, mem, sizeof(mem));
	buf_init(&key, mem, sizeof(mem));
	assert_false(selfsigned_make(name, &cert, &key, &err));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_pair_is_good_for_a_year),
		cmocka_unit_test(no_two_pairs_are_the_same),
		cmocka_unit_test(a_name_that_is_too_long_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
