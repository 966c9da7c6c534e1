#include "expect.h"

#include "base/list.h"

static void items_come_back_in_order(void **unused)
{
	struct span list, item;
	BUF(out, 100);

	(void)unused;
	list_put(&out, SPAN("one"));
	list_put(&out, SPAN(""));
	list_put(&out, SPAN("three"));
	list = buf_span(&out);
	assert_int_equal(list_count(list), 3);
	assert_true(list_ok(list));
	assert_true(list_next(&list, &item));
	expect_span("first", item, SPAN("one"));
	assert_true(list_next(&list, &item));
	expect_span("an empty one", item, SPAN(""));
	assert_true(list_next(&list, &item));
	expect_span("last", item, SPAN("three"));
	assert_false(list_next(&list, &item));
	assert_int_equal(list.n, 0);
}

static void an_item_that_does_not_fit_leaves_a_whole_list(void **unused)
{
	BUF(out, 10);

	(void)unused;
	list_put(&out, SPAN("one"));
	list_put(&out, SPAN("three!"));
	assert_true(out.full);
	assert_true(list_ok(buf_span(&out)));
	assert_int_equal(list_count(buf_span(&out)), 1);
}

static void an_item_above_16_bits_is_refused(void **unused)
{
	static uint8_t mem[70000], item[65536];
	struct buf out;

	(void)unused;
	buf_init(&out, mem, sizeof(mem));
	list_put(&out, span_of(item, 65536));
	assert_true(out.full);
	buf_reset(&out);
	list_put(&out, span_of(item, 65535));
	assert_false(out.full);
	assert_int_equal(list_count(buf_span(&out)), 1);
}

static void every_cut_through_an_item_is_noticed(void **unused)
{
	BUF(out, 100);

	(void)unused;
	list_put(&out, SPAN("one"));
	list_put(&out, SPAN("three"));
	for (size_t n = 0; n <= out.len; n++)
		assert_int_equal(list_ok(span_head(buf_span(&out), n)),
				 n == 0 || n == 5 || n == out.len);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(items_come_back_in_order),
		cmocka_unit_test(an_item_that_does_not_fit_leaves_a_whole_list),
		cmocka_unit_test(an_item_above_16_bits_is_refused),
		cmocka_unit_test(every_cut_through_an_item_is_noticed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
