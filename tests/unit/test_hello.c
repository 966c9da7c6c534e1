#include "io/hello.h"

#include "base/buf.h"
#include "expect.h"

/* ---- ClientHellos ------------------------------------------------------------------------- */

struct maker {
	uint8_t mem[2048];
	struct buf out;
	size_t message, extensions; /* where their lengths are */
};

static void put16(struct buf *b, unsigned n)
{
	buf_byte(b, (uint8_t)(n >> 8));
	buf_byte(b, (uint8_t)n);
}

static void put_all(struct buf *b, const uint16_t *list, size_t n)
{
	for (size_t i = 0; i < n; i++)
		put16(b, list[i]);
}

static void begin(struct maker *m, const uint16_t *ciphers, size_t n)
{
	static const uint8_t random[32];
	struct buf *b = &m->out;

	buf_init(b, m->mem, sizeof(m->mem));
	buf_byte(b, 1);
	buf_byte(b, 0);
	m->message = b->len;
	put16(b, 0);
	put16(b, 0x0303);
	buf_put(b, span_of(random, sizeof(random)));
	buf_byte(b, 0);
	put16(b, (unsigned)n * 2);
	put_all(b, ciphers, n);
	buf_put(b, SPAN("\1\0"));
	m->extensions = b->len;
	put16(b, 0);
}

static void extend(struct maker *m, unsigned type, struct span what)
{
	put16(&m->out, type);
	put16(&m->out, (unsigned)what.n);
	buf_put(&m->out, what);
}

static void set16(struct maker *m, size_t at, size_t n)
{
	m->mem[at] = (uint8_t)(n >> 8);
	m->mem[at + 1] = (uint8_t)n;
}

static struct span done(struct maker *m)
{
	set16(m, m->extensions, m->out.len - m->extensions - 2);
	set16(m, m->message, m->out.len - m->message - 2);
	assert_false(m->out.full);
	return buf_span(&m->out);
}

/* ---- Chrome, as the description of JA4 has it ----------------------------------------------- */

static const uint16_t chrome_ciphers[] = { 0x1301, 0x1302, 0x1303, 0xc02b, 0xc02f,
					   0xc02c, 0xc030, 0xcca9, 0xcca8, 0xc013,
					   0xc014, 0x009c, 0x009d, 0x002f, 0x0035 };
static const uint16_t chrome_extensions[] = { 0x001b, 0x0000, 0x0033, 0x0010,
					      0x4469, 0x0017, 0x002d, 0x000d,
					      0x0005, 0x0023, 0x0012, 0x002b,
					      0xff01, 0x000b, 0x000a, 0x0015 };
#define SIGNATURES SPAN("\0\20\4\3\10\4\4\1\5\3\10\5\5\1\10\6\6\1")

static struct span body_of(unsigned type)
{
	switch (type) {
	case 0x0010:
		return SPAN("\0\14\2h2\10http/1.1");
	case 0x000d:
		return SIGNATURES;
	case 0x002b:
		return SPAN("\6\x1a\x1a\3\4\3\3");
	default:
		return SPAN("x");
	}
}

static struct span chrome(struct maker *m, size_t first, bool random)
{
	uint16_t ciphers[COUNT_OF(chrome_ciphers) + 1] = { 0x8a8a };

	memcpy(ciphers + 1, chrome_ciphers, sizeof(chrome_ciphers));
	begin(m, random ? ciphers : chrome_ciphers, COUNT_OF(chrome_ciphers) + random);
	if (random)
		extend(m, 0x3a3a, SPAN_NONE);
	for (size_t i = 0; i < COUNT_OF(chrome_extensions); i++) {
		unsigned type =
			chrome_extensions[(first + i) % COUNT_OF(chrome_extensions)];

		extend(m, type, body_of(type));
	}
	return done(m);
}

static void the_text_is_JA4_as_others_print_it(void **unused)
{
	struct maker m;
	struct hello h;

	(void)unused;
	hello_read(chrome(&m, 0, true), &h);
	expect_span("of Chrome", span_of(h.text, h.text_n),
		    SPAN("t13d1516h2_8daaf6152771_e5627efa2ab1"));
}

static void a_program_that_shuffles_is_the_same(void **unused)
{
	struct hello one, other;
	struct maker m;

	(void)unused;
	hello_read(chrome(&m, 0, true), &one);
	for (size_t i = 0; i < COUNT_OF(chrome_extensions); i++) {
		hello_read(chrome(&m, i, i % 2), &other);
		assert_true(one.hash == other.hash);
		expect_span("text", span_of(other.text, other.text_n),
			    span_of(one.text, one.text_n));
	}
}

static void resumption_does_not_make_another_device(void **unused)
{
	static const uint16_t ciphers[] = { 0x1301, 0x1302 };
	struct hello fresh, resumed, different;
	struct maker m;

	(void)unused;
	begin(&m, ciphers, 2);
	extend(&m, 13, SIGNATURES);
	hello_read(done(&m), &fresh);
	begin(&m, ciphers, 2);
	extend(&m, 13, SIGNATURES);
	extend(&m, 35, SPAN_NONE);
	extend(&m, 21, SPAN("\0\0\0"));
	extend(&m, 42, SPAN_NONE);
	extend(&m, 41, SPAN("ticket"));
	hello_read(done(&m), &resumed);
	assert_true(fresh.hash == resumed.hash);
	begin(&m, ciphers, 1);
	extend(&m, 13, SIGNATURES);
	hello_read(done(&m), &different);
	assert_true(fresh.hash != different.hash);
}

static void what_is_not_there_is_printed_so(void **unused)
{
	static const uint16_t ciphers[] = { 0x002f };
	struct hello h;
	struct maker m;

	(void)unused;
	begin(&m, ciphers, 1);
	hello_read(done(&m), &h);
	expect_span("no extension", span_head(span_of(h.text, h.text_n), 10),
		    SPAN("t12i010000"));
	expect_span("nothing to hash", span_tail(span_of(h.text, h.text_n), 12),
		    SPAN("000000000000"));
	begin(&m, ciphers, 1);
	extend(&m, 16, SPAN("\0\3\2\xab\xcd"));
	hello_read(done(&m), &h);
	expect_span("an odd ALPN", span_head(span_of(h.text, h.text_n), 10),
		    SPAN("t12i0101ad"));
}

static void what_is_cut_or_none_at_all_does_no_harm(void **unused)
{
	struct hello h;
	struct maker m;
	struct span whole = chrome(&m, 3, true);

	(void)unused;
	for (size_t n = 0; n <= whole.n; n++) {
		hello_read(span_head(whole, n), &h);
		assert_true(h.text_n == 0 || h.text_n == 36);
		assert_int_equal(h.text_n != 0, h.hash != 0);
	}
	hello_read(SPAN("\2\0\0\4abcd"), &h);
	assert_true(h.hash == 0 && h.text_n == 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_text_is_JA4_as_others_print_it),
		cmocka_unit_test(a_program_that_shuffles_is_the_same),
		cmocka_unit_test(resumption_does_not_make_another_device),
		cmocka_unit_test(what_is_not_there_is_printed_so),
		cmocka_unit_test(what_is_cut_or_none_at_all_does_no_harm),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
