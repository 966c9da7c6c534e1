/*
 * A bystander of an IMAP session: where a word of ours would be heard as an answer.
 */
#include "expect.h"

#include "wire/imap_answers.h"

static bool between(struct span said)
{
	struct imap_answers whole = { 0 }, bytewise = { 0 };

	imap_answers_see(&whole, said);
	for (size_t i = 0; i < said.n; i++)
		imap_answers_see(&bytewise, span_of(said.p + i, 1));
	assert_int_equal(imap_answers_between(&whole), imap_answers_between(&bytewise));
	assert_int_equal(whole.unsure, bytewise.unsure);
	return imap_answers_between(&whole);
}

static void it_is_known_where_a_line_is_an_answer(void **state)
{
	static const struct {
		const char *name, *said;
		bool between;
	} rows[] = {
		{ "nothing was said", "", true },
		{ "a line", "* 3 EXISTS\r\n", true },
		{ "two", "* 3 EXISTS\r\na OK done\r\n", true },
		{ "words in UTF-8 and a tab", "a NO \tpo\xc5\xa1ta\r\n", true },
		{ "half a line", "* 3 EXI", false },
		{ "without its LF", "* 3 EXISTS\r", false },
		{ "a literal's announcement", "* 1 FETCH (BODY[] {9}\r\n", false },
		{ "inside it", "* 1 FETCH (BODY[] {9}\r\nA: b\r\n", false },
		{ "it is there to the last byte", "* 1 FETCH (BODY[] {6}\r\nA: b\r\n",
		  false },
		{ "and its line ends", "* 1 FETCH (BODY[] {6}\r\nA: b\r\n)\r\n", true },
		{ "likewise if binary", "* 1 FETCH (BINARY[1] ~{3}\r\n\1\2\n)\r\n", true },
		{ "an empty one", "* 1 FETCH (BODY[] {0}\r\n", false },
		{ "behind it", "* 1 FETCH (BODY[] {0}\r\n)\r\n", true },
		{ "two in one answer", "* 1 FETCH (A {1}\r\nx B {2}\r\n\r\n)\r\n", true },
		{ "inside the second", "* 1 FETCH (A {1}\r\nx B {2}\r\n\r\n", false },
		{ "a literal that looks like an answer",
		  "* 1 FETCH (BODY[] {10}\r\n* BYE x\r\n", false },
		{ "braces that open nothing", "* OK {3} {x} {\r\n", true },
		{ "a brace behind a brace", "* 1 FETCH ({{2}\r\n", false },
		{ "2^63 - 1 is a size", "* 1 FETCH (A {9223372036854775799}\r\nx", false },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++)
		if (between(span_str(rows[i].said)) != rows[i].between)
			fail_msg("%s", rows[i].name);
}

static void what_is_no_imap_is_never_sure_again(void **state)
{
	static const struct {
		const char *name;
		struct span said;
	} rows[] = {
		{ "LF alone", SPAN_INIT("* 3 EXISTS\n") },
		{ "CR in a line", SPAN_INIT("* 3\rEXISTS\r\n") },
		{ "NUL", SPAN_INIT("* OK \0\r\n") },
		{ "the end of a flush of DEFLATE", SPAN_INIT("\x52\x50\x00\x00\xff\xff") },
		{ "a number that is none", SPAN_INIT("* (A {99999999999999999999}\r\n") },
	};
	struct imap_answers a;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		a = (struct imap_answers){ 0 };
		imap_answers_see(&a, rows[i].said);
		imap_answers_see(&a, SPAN("\r\n* 4 EXISTS\r\n"));
		if (imap_answers_between(&a))
			fail_msg("%s", rows[i].name);
	}
	a = (struct imap_answers){ 0 };
	imap_answers_missed(&a);
	imap_answers_see(&a, SPAN("a OK\r\n"));
	assert_false(imap_answers_between(&a));
}

static void who_asks_for_compression_is_told_nothing_more(void **state)
{
	static const struct {
		struct span said;
		bool asked;
	} rows[] = {
		{ SPAN_INIT("a COMPRESS DEFLATE\r\n"), true },
		{ SPAN_INIT("a noop\r\nb compress Deflate\r\n"), true },
		{ SPAN_INIT("a NOOP\r\n"), false },
		{ SPAN_INIT(""), false },
		{ SPAN_INIT("a COMPRESS DEFLATE\r\nb NOOP\r\n"), false }, /* it may not */
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct imap_answers a = { 0 };

		imap_answers_asked(&a, rows[i].said);
		imap_answers_see(&a, SPAN("a OK\r\n"));
		assert_int_equal(imap_answers_between(&a), !rows[i].asked);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_is_known_where_a_line_is_an_answer),
		cmocka_unit_test(what_is_no_imap_is_never_sure_again),
		cmocka_unit_test(who_asks_for_compression_is_told_nothing_more),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
