#include "expect.h"

#include <string.h>

#include "base/list.h"
#include "base/siphash.h"
#include "spec/ends.h"
#include "spec/events.h"
#include "spec/messages.h"
#include "spec/records.h"
#include "spec/replies.h"

#define DRAIN_WAS	 13 /* its number */
#define TABLE_OF_VERSION 0x2e735002b9718f65

/* The longest texts of a message would not fit its frame together, so these stay short. */
static struct span some_text(uint64_t *seed)
{
	static const char text[] = "the quick brown fox jumps over the lazy dog";

	return span_of(text, dice_below(seed, 12));
}

static struct span some_list(uint64_t *seed, struct buf *into)
{
	buf_reset(into);
	for (size_t n = dice_below(seed, 4); n > 0; n--)
		list_put(into, some_text(seed));
	return buf_span(into);
}

static bool same_who(const struct endpoint *a, const struct endpoint *b)
{
	return addr_eq(&a->addr, &b->addr) && a->port == b->port;
}

static struct endpoint some_who(uint64_t *seed)
{
	struct endpoint e = { .port = (uint16_t)dice(seed) };

	for (size_t i = 0; i < sizeof(e.addr.ip); i++)
		e.addr.ip[i] = (uint8_t)dice(seed);
	return e;
}

/* clang-format off */
#define U8(name)        m.name = (uint8_t)dice(&seed);
#define U16(name)       m.name = (uint16_t)dice(&seed);
#define U32(name)       m.name = (uint32_t)dice(&seed);
#define U64(name)       m.name = dice(&seed);
#define I64(name)       m.name = (int64_t)dice(&seed);
#define WHO(name)       m.name = some_who(&seed);
#define TEXT(name, max) m.name = some_text(&seed);
#define LIST(name, max) m.name = some_list(&seed, &list);
#define MESSAGE(id, word, from, to, fds_min, fds_max, doc, ...)         \
	static struct msg_##id some_##id(uint64_t round, uint8_t *mem)  \
	{                                                               \
		uint64_t seed = round;                                  \
		struct msg_##id m = { 0 };                              \
		struct buf list;                                        \
		buf_init(&list, mem, 200);                              \
		__VA_ARGS__                                             \
		(void)seed;                                             \
		return m;                                               \
	}
#include "spec/messages.def"
#undef U8
#undef U16
#undef U32
#undef U64
#undef I64
#undef WHO
#undef TEXT
#undef LIST

#define U8(name)        assert_true(a.name == b.name);
#define U16(name)       assert_true(a.name == b.name);
#define U32(name)       assert_true(a.name == b.name);
#define U64(name)       assert_true(a.name == b.name);
#define I64(name)       assert_true(a.name == b.name);
#define WHO(name)       assert_true(same_who(&a.name, &b.name));
#define TEXT(name, max) expect_span(#name, b.name, a.name);
#define LIST(name, max) expect_span(#name, b.name, a.name);
#define MESSAGE(id, word, from, to, fds_min, fds_max, doc, ...)         \
	static void check_##id(uint64_t round)                          \
	{                                                               \
		uint8_t mem[200], frame_mem[2000];                      \
		struct msg_##id a = some_##id(round, mem), b;           \
		struct buf frame;                                       \
		buf_init(&frame, frame_mem, sizeof(frame_mem));         \
		msg_##id##_pack(&a, &frame);                            \
		assert_false(frame.full);                               \
		assert_int_equal(message_kind(buf_span(&frame)), MSG_##id); \
		assert_true(msg_##id##_unpack(buf_span(&frame), &b));   \
		__VA_ARGS__                                             \
		for (size_t n = 0; n < frame.len; n++)                  \
			assert_false(msg_##id##_unpack(span_head(buf_span(&frame), n), &b)); \
		buf_byte(&frame, 0);                                    \
		assert_false(msg_##id##_unpack(buf_span(&frame), &b));  \
		frame.len--;                                            \
		frame.mem[0]++;                                         \
		assert_false(msg_##id##_unpack(buf_span(&frame), &b));  \
	}
#include "spec/messages.def"
#undef U8
#undef U16
#undef U32
#undef U64
#undef I64
#undef WHO
#undef TEXT
#undef LIST
/* clang-format on */

static void every_message_survives_the_journey_and_no_cut_one_does(void **unused)
{
	(void)unused;
	for (uint64_t round = 1; round <= 20; round++) {
#define MESSAGE(id, ...) check_##id(round);
#include "spec/messages.def"
	}
}

/* Random frames of every kind: whatever unpacks must pack to the same bytes. */
static void whatever_unpacks_packs_to_the_same_bytes(void **unused)
{
	uint64_t seed = 9;

	(void)unused;
	for (int round = 0; round < 20000; round++) {
		uint8_t bytes[80];
		struct span frame = span_of(bytes, dice_below(&seed, sizeof(bytes)));
		BUF(out, 200);

		for (size_t i = 0; i < frame.n; i++)
			bytes[i] = dice_below(&seed, 4) ? 0 : (uint8_t)dice(&seed);
#define MESSAGE(id, ...)                                         \
	{                                                        \
		struct msg_##id m;                               \
		bytes[0] = MSG_##id;                             \
		if (msg_##id##_unpack(frame, &m)) {              \
			buf_reset(&out);                         \
			msg_##id##_pack(&m, &out);               \
			expect_span(#id, buf_span(&out), frame); \
		}                                                \
	}
#include "spec/messages.def"
	}
}

/* Old edges must understand a supervisor of any later version (DRAIN_SINCE). */
static void drain_is_what_it_has_always_been(void **unused)
{
	static const uint8_t was[] = { DRAIN_WAS, 1, 2, 0, 0, 0, 0, 0, 0,
				       3,	  4, 0, 0, 0, 0, 0, 0 };
	const struct msg_DRAIN m = { .within = 0x201, .readers = 0x403 };
	uint8_t mem[64];
	struct buf frame;

	(void)unused;
	buf_init(&frame, mem, sizeof(mem));
	msg_DRAIN_pack(&m, &frame);
	assert_int_equal(frame.len, sizeof(was));
	assert_memory_equal(mem, was, sizeof(was));
}

/*
 * Roles of two versions talk with each other if both count the same, so a table that has
 * changed needs another number. Enums are not in this: they are up to who changes them.
 */
static void the_version_of_messages_belongs_to_this_table(void **unused)
{
	static const char table[] =
#define MESSAGE(id, word, from, to, fds_min, fds_max, doc, ...) \
#id " " #from " " #to " " #fds_min " " #fds_max " " #__VA_ARGS__ "\n"
#include "spec/messages.def"
		;
	static const uint64_t key[2] = { MESSAGES_VERSION };

	(void)unused;
	/* another table: raise MESSAGES_VERSION, then put here what is said to be there */
	assert_int_equal(siphash(key, span_str(table)), TABLE_OF_VERSION);
}

static void a_list_inside_a_message_must_be_whole(void **unused)
{
	struct msg_CONTROL m = { .ask = 1, .words = SPAN("\x05\0abc") }, back;
	BUF(frame, 100);

	(void)unused;
	msg_CONTROL_pack(&m, &frame);
	assert_false(msg_CONTROL_unpack(buf_span(&frame), &back));
}

static void a_text_above_its_bound_is_refused(void **unused)
{
	static uint8_t text[2000], mem[3000];
	struct msg_FAILED m = { .why = { text, 1024 } }, back;
	struct buf frame;

	(void)unused;
	buf_init(&frame, mem, sizeof(mem));
	msg_FAILED_pack(&m, &frame);
	assert_true(msg_FAILED_unpack(buf_span(&frame), &back));
	buf_reset(&frame);
	m.why.n = 1025;
	msg_FAILED_pack(&m, &frame);
	assert_false(msg_FAILED_unpack(buf_span(&frame), &back));
}

static void words_are_unique(const char *const *words, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		assert_non_null(words[i]);
		assert_true(*words[i] != '\0');
		for (size_t j = 0; j < i; j++)
			if (strcmp(words[i], words[j]) == 0)
				fail_msg("two rows have the word %s", words[i]);
	}
}

static void expect_doc(const char *word, const char *doc)
{
	expect_true(word, doc && *doc && strchr(".)", doc[strlen(doc) - 1]));
}

/* clang-format off */
static void every_row_has_a_word_of_its_own_and_a_doc(void **unused)
{
	const char *words[MESSAGE_COUNT + EVENT_COUNT + END_COUNT + RECORD_COUNT];
	size_t n = 0;

	(void)unused;
	for (size_t i = 0; i < MESSAGE_COUNT; i++, n++) {
		expect_doc(words[n] = message_table[i].word, message_table[i].doc);
		expect_true(words[n], message_table[i].fds_min <= message_table[i].fds_max);
		expect_true(words[n], message_table[i].fds_max <= FRAME_FDS_MAX);
	}
	words_are_unique(words, n);
	n = 0;
	for (size_t i = 0; i < EVENT_COUNT; i++, n++)
		expect_doc(words[n] = event_table[i].word, event_table[i].doc);
	words_are_unique(words, n);
	n = 0;
	for (size_t i = 0; i < END_COUNT; i++, n++)
		expect_doc(words[n] = end_table[i].word, end_table[i].doc);
	words_are_unique(words, n);
	n = 0;
	for (size_t i = 0; i < RECORD_COUNT; i++, n++)
		expect_doc(words[n] = record_table[i].word, record_table[i].doc);
	words_are_unique(words, n);
}
/* clang-format on */

static void every_reply_fits_the_grammar(void **unused)
{
	(void)unused;
	for (size_t i = RE_NONE + 1; i < REPLY_COUNT; i++) {
		const struct reply_row *r = &reply_table[i];
		BUF(out, 600);

		expect_true(r->text, r->code >= 200 && r->code <= 599);
		if (*r->enhanced)
			expect_number(r->text, r->enhanced[0] - '0', r->code / 100);
		reply_print((enum reply)i, SPAN_NONE, &out);
		expect_false(r->text, out.full);
		/* RFC 5321, 4.5.3.1.5: 512 with CRLF */
		expect_true(r->text, out.len <= 512);
		for (size_t j = 0; j + 2 < out.len; j++)
			expect_true(r->text, out.mem[j] >= ' ' && out.mem[j] < 0x7f);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_message_survives_the_journey_and_no_cut_one_does),
		cmocka_unit_test(whatever_unpacks_packs_to_the_same_bytes),
		cmocka_unit_test(drain_is_what_it_has_always_been),
		cmocka_unit_test(the_version_of_messages_belongs_to_this_table),
		cmocka_unit_test(a_list_inside_a_message_must_be_whole),
		cmocka_unit_test(a_text_above_its_bound_is_refused),
		cmocka_unit_test(every_row_has_a_word_of_its_own_and_a_doc),
		cmocka_unit_test(every_reply_fits_the_grammar),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
