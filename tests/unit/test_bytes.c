/* span, buf, base64, utf8, siphash, id and err: the small ones. */
#include "expect.h"

#include <string.h>

#include "base/base64.h"
#include "base/err.h"
#include "base/id.h"
#include "base/siphash.h"
#include "base/utf8.h"

static void a_span_is_cut_into_words(void **unused)
{
	struct span s = SPAN("one  two");

	(void)unused;
	expect_span("the first", span_cut(&s, ' '), SPAN("one"));
	expect_span("between two separators", span_cut(&s, ' '), SPAN(""));
	expect_span("the last", span_cut(&s, ' '), SPAN("two"));
	assert_int_equal(s.n, 0);
	expect_span("behind the end", span_skip(SPAN("abc"), 5), SPAN(""));
	expect_span("the tail", span_tail(SPAN("abc"), 2), SPAN("bc"));
	expect_span("more than there is", span_head(SPAN("abc"), 5), SPAN("abc"));
	expect_span("without blanks", span_trim(SPAN(" \ta b\t ")), SPAN("a b"));
	assert_int_equal(span_find_last(SPAN("a@b@c"), '@'), 3);
	assert_int_equal(span_find_last(SPAN("abc"), '@'), 3);
	assert_true(span_eq_nocase(SPAN("MaIl"), SPAN("mAiL")));
	assert_false(span_eq_nocase(SPAN("["), SPAN("{")));
}

static void a_full_buf_stays_full_and_keeps_what_it_had(void **unused)
{
	BUF(out, 8);

	(void)unused;
	buf_put(&out, SPAN("abc"));
	buf_put(&out, SPAN("too much!"));
	buf_put(&out, SPAN("d"));
	assert_true(out.full);
	expect_span("what was there", buf_span(&out), SPAN("abc"));
	assert_int_equal(buf_room(&out), 0);
	buf_reset(&out);
	buf_fmt(&out, "%d", 1234567);
	expect_text("seven characters", &out, "1234567");
	buf_drop(&out, 3);
	expect_text("without the first three", &out, "4567");
}

static void an_error_gains_context_on_its_way_up(void **unused)
{
	struct err e;

	(void)unused;
	assert_false(err_set(&e, "no such file"));
	assert_false(err_within(&e, "%s:%d", "a.conf", 7));
	assert_string_equal(e.text, "a.conf:7: no such file");
}

/* clang-format off */
static const struct {
	const char *text;
	struct span bytes;
} base64s[] = { /* RFC 4648, 10 */
	{ "",         SPAN_INIT("") },
	{ "Zg==",     SPAN_INIT("f") },
	{ "Zm8=",     SPAN_INIT("fo") },
	{ "Zm9v",     SPAN_INIT("foo") },
	{ "Zm9vYg==", SPAN_INIT("foob") },
	{ "Zm9vYmE=", SPAN_INIT("fooba") },
	{ "Zm9vYmFy", SPAN_INIT("foobar") },
	{ "AGEAYv8=", SPAN_INIT("\0a\0b\xff") },
};

static const char *const not_base64[] = {
	"Z", "Zg", "Zg=", "Zg===", "Zh==", "Zm9=", "Zm9v\n", "Zm 9v", "=Zg=", "Zg==Zg==", "====",
	"Zm9-", "Z===",
};

static const struct {
	const char *why;
	struct span text;
	bool ok;
} utf8s[] = {
	{ "ASCII",                   SPAN_INIT("abc"),              true },
	{ "two bytes",               SPAN_INIT("\xc3\xbc"),         true },
	{ "three bytes",             SPAN_INIT("\xe2\x82\xac"),     true },
	{ "four bytes",              SPAN_INIT("\xf0\x9f\x93\xa7"), true },
	{ "the last one",            SPAN_INIT("\xf4\x8f\xbf\xbf"), true },
	{ "beyond the last one",     SPAN_INIT("\xf4\x90\x80\x80"), false },
	{ "longer than needed",      SPAN_INIT("\xc0\xaf"),         false },
	{ "longer than needed, 3",   SPAN_INIT("\xe0\x80\xaf"),     false },
	{ "longer than needed, 4",   SPAN_INIT("\xf0\x80\x80\xaf"), false },
	{ "half of a pair",          SPAN_INIT("\xed\xa0\x80"),     false },
	{ "a lonely rest",           SPAN_INIT("\x80"),             false },
	{ "cut short",               SPAN_INIT("\xe2\x82"),         false },
	{ "not continued",           SPAN_INIT("\xc3z"),            false },
	{ "five bytes",              SPAN_INIT("\xf8\x88\x80\x80\x80"), false },
};
/* clang-format on */

static void base64_is_strict_in_both_directions(void **unused)
{
	(void)unused;
	for (size_t i = 0; i < COUNT_OF(base64s); i++) {
		BUF(out, 40);

		base64_print(base64s[i].bytes, &out);
		expect_text("printed", &out, base64s[i].text);
		buf_reset(&out);
		assert_true(base64_parse(span_str(base64s[i].text), &out));
		expect_span(base64s[i].text, buf_span(&out), base64s[i].bytes);
	}
	for (size_t i = 0; i < COUNT_OF(not_base64); i++) {
		BUF(out, 40);

		expect_false(not_base64[i], base64_parse(span_str(not_base64[i]), &out));
		assert_int_equal(out.len, 0);
	}
}

static void only_rfc_3629_is_utf8(void **unused)
{
	(void)unused;
	for (size_t i = 0; i < COUNT_OF(utf8s); i++)
		expect_number(utf8s[i].why, utf8_ok(utf8s[i].text), utf8s[i].ok);
	expect_span("cut before a character", utf8_head(SPAN("a\xe2\x82\xac"), 3),
		    SPAN("a"));
	expect_span("cut behind it", utf8_head(SPAN("a\xe2\x82\xac"), 4),
		    SPAN("a\xe2\x82\xac"));
	expect_span("what is no text anyway", utf8_head(SPAN("\x80\x80\x80\x80\x80"), 4),
		    SPAN("\x80\x80\x80\x80"));
}

/* The test vectors of the SipHash paper: key 00..0f, message 00..n-1. */
static void siphash_is_the_published_one(void **unused)
{
	const uint64_t key[2] = { 0x0706050403020100u, 0x0f0e0d0c0b0a0908u };
	uint8_t in[16];

	(void)unused;
	for (size_t i = 0; i < sizeof(in); i++)
		in[i] = (uint8_t)i;
	assert_true(siphash(key, span_of(in, 0)) == 0x726fdb47dd0e0e31u);
	assert_true(siphash(key, span_of(in, 7)) == 0xab0200f58b01d137u);
	assert_true(siphash(key, span_of(in, 8)) == 0x93f5f5799a932462u);
	assert_true(siphash(key, span_of(in, 15)) == 0xa129ca6149be45e5u);
}

static void ids_rise_even_when_the_clock_steps_back(void **unused)
{
	struct id_maker a, b;
	uint64_t last = 0, seed = 3;
	int64_t wall = INT64_C(1790000000000);

	(void)unused;
	id_maker_init(&a, 3);
	id_maker_init(&b, 4);
	for (int i = 0; i < 600000; i++) {
		uint64_t peek = id_peek(&a, wall), id = id_next(&a, wall);

		assert_true(id == peek);
		assert_true(id > last);
		assert_true((id >> 18 & 15) == 3);
		last = id;
		if (i % 100000 == 0)
			wall += (int64_t)dice_below(&seed, 100) - 50;
	}
	assert_true(id_next(&b, wall) != id_next(&a, wall));
	assert_true(id_wall(id_next(&b, wall + 5000)) == wall + 5000);
	assert_true(id_at(wall + 5000) <= id_peek(&b, wall + 5000));
	assert_true(id_at(wall + 6000) > id_peek(&b, wall + 5999));
}

static void an_id_never_uses_the_top_bit(void **unused)
{
	static const int64_t walls[] = { INT64_MIN,	-1,	  0, 1577836800000,
					 3776860000000, INT64_MAX };
	struct id_maker m;

	(void)unused;
	for (size_t i = 0; i < COUNT_OF(walls); i++) {
		id_maker_init(&m, 15);
		assert_true(id_next(&m, walls[i]) >> 63 == 0);
		assert_int_equal(id_number(id_next(&m, walls[i])), 15);
	}
	assert_int_equal(id_number((uint64_t)1 << 63), ID_NOBODY);
}

static void an_id_is_13_characters_that_read_back(void **unused)
{
	uint64_t seed = 5, id;

	(void)unused;
	for (int i = 0; i < 1000; i++) {
		uint64_t was = dice(&seed);
		BUF(out, 20);

		id_print(was, &out);
		assert_int_equal(out.len, ID_PRINTED);
		assert_true(id_parse(buf_span(&out), &id));
		assert_true(id == was);
	}
	assert_true(id_parse(SPAN("fzzzzzzzzzzzz"), &id));
	assert_true(id == UINT64_MAX);
	assert_true(id_parse(SPAN("FZZZZZZZZZZZZ"), &id));
	expect_false("65 bits", id_parse(SPAN("g000000000000"), &id));
	expect_false("too short", id_parse(SPAN("000000000000"), &id));
	expect_false("too long", id_parse(SPAN("00000000000000"), &id));
	expect_false("a letter that is confused", id_parse(SPAN("000000000000l"), &id));
	expect_false("a way out of the directory", id_parse(SPAN("../../../etc/"), &id));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_span_is_cut_into_words),
		cmocka_unit_test(a_full_buf_stays_full_and_keeps_what_it_had),
		cmocka_unit_test(an_error_gains_context_on_its_way_up),
		cmocka_unit_test(base64_is_strict_in_both_directions),
		cmocka_unit_test(only_rfc_3629_is_utf8),
		cmocka_unit_test(siphash_is_the_published_one),
		cmocka_unit_test(ids_rise_even_when_the_clock_steps_back),
		cmocka_unit_test(an_id_never_uses_the_top_bit),
		cmocka_unit_test(an_id_is_13_characters_that_read_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
