#include <string.h>

#include "base/attr.h"
#include "guard/inside.h"
#include "tests/unit/remember.h"

#define NOW (MS_HOUR * 1000)

static const struct memory_shape one_bucket = { 8, 4096, 2, 8 };
static const struct memory_shape small = { 64, 4096, 2, 8 };
static const struct memory_shape middling = { 1024, 8192, 4, 8 };

/* ---- keys ---------------------------------------------------------------------------------- */

/* clang-format off */
static const struct {
	const char *why, *address, *client, *near, *wide;
} nested[] = {
	{ "IPv4",        "192.0.2.199",     "192.0.2.199", "192.0.2.192/26", "192.0.0.0/21" },
	{ "the lowest",  "0.0.0.0",         "0.0.0.0", "0.0.0.0/26", "0.0.0.0/21" },
	{ "the highest", "255.255.255.255", "255.255.255.255", "255.255.255.192/26", "255.255.248.0/21" },
	{ "mapped",      "::ffff:192.0.2.1", "192.0.2.1", "192.0.2.0/26", "192.0.0.0/21" },
	{ "IPv6",        "2001:db8:876:5678:9abc::1",
	  "2001:db8:876:5678::/64", "2001:db8:876::/48", "2001:db8::/32" },
	{ "loopback",    "::1",             "::/64", "::/48", "::/32" },
	{ "all ones",    "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
	  "ffff:ffff:ffff:ffff::/64", "ffff:ffff:ffff::/48", "ffff:ffff::/32" },
};
/* clang-format on */

static void every_address_stands_for_three_nested_blocks(void **unused)
{
	(void)unused;
	for (size_t i = 0; i < COUNT_OF(nested); i++) {
		const char *want[] = { nested[i].client, nested[i].near, nested[i].wide };
		struct addr a;

		expect_true(nested[i].why, addr_parse(span_str(nested[i].address), &a));
		for (int l = 0; l < LEVEL_COUNT; l++) {
			struct guard_key k = guard_key_of(&a, (enum guard_level)l), back;
			struct net n, is = guard_key_net(k);

			expect_true(want[l], net_parse(span_str(want[l]), &n));
			expect_true(want[l], addr_eq(&is.addr, &n.addr));
			expect_number(want[l], is.bits, n.bits);
			expect_true(want[l], net_has(&is, &a));
			expect_true(want[l], guard_key_ok(k));
			expect_number(want[l], guard_key_level(k), l);
			expect_true(want[l], guard_key_from_net(&n, &back));
			expect_true(want[l], guard_key_eq(k, back));
		}
	}
}

static void a_block_of_another_length_is_no_key(void **unused)
{
	static const char *const nets[] = { "192.0.2.0/24",  "192.0.2.0/31",
					    "0.0.0.0/0",     "::/0",
					    "2001:db8::/47", "2001:db8::1",
					    "2001:db8::/65" };
	struct net n = { .bits = 64 };
	struct guard_key k;

	(void)unused;
	for (size_t i = 0; i < COUNT_OF(nets); i++) {
		expect_true(nets[i], net_parse(span_str(nets[i]), &n));
		expect_false(nets[i], guard_key_from_net(&n, &k));
	}
	n.addr = addr_v4(192, 0, 2, 1);
	n.bits = 122; /* with bits behind its length */
	assert_false(guard_key_from_net(&n, &k));
}

static void no_other_bits_make_a_key(void **unused)
{
	(void)unused;
	assert_false(guard_key_ok((struct guard_key){ .kind = KEY_KINDS }));
	assert_false(guard_key_ok((struct guard_key){ .kind = 255 }));
	assert_false(guard_key_ok((struct guard_key){ .kind = 0, .prefix = 1ull << 32 }));
	assert_false(guard_key_ok((struct guard_key){ .kind = 1, .prefix = 1 }));
	assert_false(guard_key_ok((struct guard_key){ .kind = 2, .prefix = 1 << 10 }));
	assert_false(guard_key_ok((struct guard_key){ .kind = 4, .prefix = 1 << 15 }));
	assert_false(guard_key_ok((struct guard_key){ .kind = 5, .prefix = 1ull << 31 }));
	assert_true(guard_key_ok((struct guard_key){ .kind = 3, .prefix = 1 }));
}

/* ---- opening it -------------------------------------------------------------------------------- */

static void a_memory_of_another_version_or_size_is_refused(void **unused)
{
	struct remember r;
	struct memory m;
	uint8_t *head;

	(void)unused;
	remember_open(&r, small);
	head = r.mem;
	assert_false(memory_open(&m, NULL, r.n, 0));
	assert_false(memory_open(&m, r.mem, r.n - 1, 0));
	assert_false(memory_open(&m, r.mem, r.n + 4096, 0));
	assert_false(memory_open(&m, r.mem, 0, 0));
	assert_false(memory_open(&m, r.mem, 10, 0));
	assert_false(memory_open(&m, head + 8, r.n - 8, 0));
	/* magic, version, sizes, shape: whatever is wrong there */
	for (size_t i = 0; i < 32; i++)
		for (unsigned bit = 0; bit < 8; bit++) {
			head[i] ^= (uint8_t)(1u << bit);
			if (memory_open(&m, r.mem, r.n, 0))
				fail_msg("byte %zu, bit %u", i, bit);
			head[i] ^= (uint8_t)(1u << bit);
		}
	assert_true(memory_open(&m, r.mem, r.n, 0));
	remember_close(&r);
}

static void a_head_that_is_broken_later_misleads_nobody(void **unused)
{
	struct remember r;
	struct guard_hot *row, out;

	(void)unused;
	remember_open(&r, small);
	memset(r.mem, 0xff, 4096);
	row = memory_open_row(&r.m, key_of("192.0.2.7"), NOW);
	assert_non_null(row);
	row->connects = 3;
	memory_close_row(&r.m, row);
	assert_true(memory_peek(&r.m, key_of("192.0.2.7"), &out));
	assert_int_equal(out.connects, 3);
	remember_close(&r);
}

static void seconds_can_be_told_from_before_the_start(void **unused)
{
	(void)unused;
	assert_true(memory_second(0) > 0);
	assert_int_equal(memory_second(5000) - memory_second(0), 5);
	assert_int_equal(memory_second(0) - memory_second(-MS_DAY * 365), 365 * 86400);
	assert_int_equal(memory_second(INT64_MIN), 1);
	assert_int_equal(memory_second(INT64_MAX), UINT32_MAX);
}

/* ---- rows ------------------------------------------------------------------------------------------ */

static void what_was_written_is_there_when_it_is_opened_again(void **unused)
{
	struct guard_key k = key_of("192.0.2.7");
	struct guard_hot *row, out;
	struct memory_counts counts;
	struct remember r;

	(void)unused;
	remember_open(&r, small);
	assert_false(memory_peek(&r.m, k, &out));
	assert_null(open_known(&r.m, k, NOW));
	row = memory_open_row(&r.m, k, NOW);
	assert_true(guard_key_eq(row->key, k));
	assert_int_equal(row->connects, 0);
	row->connects = 7;
	row->last = memory_second(NOW);
	memory_close_row(&r.m, row);
	row = open_known(&r.m, k, NOW);
	assert_int_equal(row->connects, 7);
	memory_close_row(&r.m, row);
	assert_true(memory_peek(&r.m, k, &out));
	assert_int_equal(out.connects, 7);
	assert_false(memory_peek(&r.m, key_of("192.0.2.8"), &out));
	memory_counts(&r.m, &counts);
	assert_int_equal(counts.hot_used, 1);
	assert_int_equal(counts.cold_used, 0);
	assert_int_equal(counts.contended, 0);
	remember_close(&r);
}

static void all_addresses_of_an_ipv6_subscriber_are_one_row(void **unused)
{
	struct memory_counts counts;
	uint64_t dices = 4;
	struct remember r;

	(void)unused;
	remember_open(&r, small);
	for (int i = 0; i < 100000; i++) {
		uint64_t low = dice(&dices);
		struct addr a = { { 0x20, 1, 0xd, 0xb8, 0, 1, 0, 2 } };
		struct guard_hot *row;

		memcpy(a.ip + 8, &low, 8);
		row = memory_open_row(&r.m, guard_key_of(&a, LEVEL_CLIENT), NOW);
		assert_non_null(row);
		row->connects++;
		memory_close_row(&r.m, row);
	}
	memory_counts(&r.m, &counts);
	assert_int_equal(counts.hot_used, 1);
	assert_int_equal(counts.evicted, 0);
	remember_close(&r);
}

static void fill_row(struct guard_hot *row, struct guard_detail *did, ms_t now)
{
	row->flags = HOT_GOOD | HOT_LISTED | HOT_DETAIL;
	row->first = memory_second(now - MS_DAY);
	row->last = row->points_at = memory_second(now);
	row->slow = 12.5;
	row->good = 70000;
	row->good_inside = 2;
	row->visits = 9;
	row->connects = 876;
	did->seen[EV_UNKNOWN_USER] = 3;
	did->seen[EV_RELAY_DENIED] = 1;
	row->did = 1 << SAYS_HARVEST | 1 << SAYS_RELAY;
	row->ban = (struct guard_ban){ .since = memory_second(now),
				       .until = memory_second(now + MS_HOUR),
				       .step = STEP_DROP,
				       .rule = RULE_POINTS,
				       .level = 3,
				       .observed = 1 };
}

/* So many strangers come and go that nobody else stays in detail. */
static void crowd(const struct remember *r, uint32_t from, uint32_t n, ms_t now)
{
	for (uint32_t i = 0; i < n; i++) {
		struct guard_hot *row = memory_open_row(&r->m, nth_key(from + i), now);

		assert_non_null(row);
		assert_int_equal(row->sessions, 0);
		row->connects++;
		row->last = memory_second(now);
		/* as if banned for long, so that it makes whoever was there go */
		row->ban.since = row->last;
		row->ban.until = row->last + 1000000;
		memory_close_row(&r->m, row);
	}
}

static bool is_hot(const struct remember *r, struct guard_key k)
{
	struct guard_hot row;

	for (size_t i = 0; i < r->m.shape.hot; i++)
		if (memory_at(&r->m, i, &row) && guard_key_eq(row.key, k))
			return true;
	return false;
}

static void a_place_that_is_out_of_date_shows_nobody_elses_row(void **unused)
{
	struct guard_key k = key_of("192.0.2.7");
	struct memory_place at;
	struct guard_hot *row;
	struct remember r;

	(void)unused;
	remember_open(&r, one_bucket);
	row = memory_open_row(&r.m, k, NOW);
	fill_row(row, memory_detail(&r.m, row), NOW);
	memory_close_row(&r.m, row);
	at = memory_place(&r.m, k);
	memory_expect(&r.m, &at, 1);
	memory_expect_rows(&r.m, &at, 1);
	assert_true(guard_key_eq(r.m.hot[at.likely].key, k));
	crowd(&r, 1000, 20, NOW);
	assert_false(guard_key_eq(r.m.hot[at.likely].key, k));
	row = memory_open_at(&r.m, &at, k, NOW, true);
	assert_non_null(row);
	assert_true(guard_key_eq(row->key, k));
	assert_int_equal(row->connects, 876);
	memory_close_row(&r.m, row);
	/* and of one who was never here there is none */
	at = memory_place(&r.m, key_of("192.0.2.8"));
	memory_expect(&r.m, &at, 1);
	memory_expect_rows(&r.m, &at, 1);
	assert_null(memory_open_at(&r.m, &at, key_of("192.0.2.8"), NOW, true));
	remember_close(&r);
}

static uint32_t rows_that_are_there(const struct remember *r)
{
	struct guard_hot row;
	uint32_t n = 0;
	size_t at = 0;

	while (memory_next(&r->m, &at, &row))
		n++;
	return n;
}

static void who_was_to_make_room_and_came_back_stays(void **unused)
{
	struct guard_key new = key_of("192.0.2.9");
	struct memory_place at;
	struct guard_hot *row;
	struct remember r;

	(void)unused;
	remember_open(&r, one_bucket);
	for (uint32_t i = 0; i < 8; i++) {
		row = memory_open_row(&r.m, nth_key(i), NOW);
		row->last = memory_second(NOW) + i;
		memory_close_row(&r.m, row);
	}
	at = memory_place(&r.m, new);
	memory_expect(&r.m, &at, 1);
	memory_expect_rows(&r.m, &at, 1);
	assert_true(guard_key_eq(r.m.hot[at.likely].key, nth_key(0)));
	row = memory_open_row(&r.m, nth_key(0), NOW);
	row->sessions = 1;
	memory_close_row(&r.m, row);
	row = memory_open_at(&r.m, &at, new, NOW, false);
	assert_non_null(row);
	memory_close_row(&r.m, row);
	assert_true(is_hot(&r, nth_key(0)));
	assert_true(is_hot(&r, new));
	assert_false(is_hot(&r, nth_key(1)));
	/* and whoever stands there now instead of the one that was to go stays, too */
	at = memory_place(&r.m, key_of("192.0.2.10"));
	memory_expect(&r.m, &at, 1);
	memory_expect_rows(&r.m, &at, 1);
	assert_true(guard_key_eq(r.m.hot[at.likely].key, new));
	crowd(&r, 5000, 1, NOW + MS_HOUR);
	assert_true(guard_key_eq(r.m.hot[at.likely].key, nth_key(5000)));
	row = memory_open_at(&r.m, &at, key_of("192.0.2.10"), NOW + MS_HOUR, false);
	assert_non_null(row);
	memory_close_row(&r.m, row);
	assert_true(is_hot(&r, nth_key(5000)));
	remember_close(&r);
}

/* Cold memory may have more buckets than hot memory, or fewer. */
static void mending_counts_as_many_as_there_were(void **unused)
{
	static const struct memory_shape shapes[] = { { 64, 4096, 2, 8 },
						      { 1024, 64, 2, 8 },
						      { 64, 64, 2, 8 } };

	(void)unused;
	for (size_t i = 0; i < COUNT_OF(shapes); i++) {
		struct memory_counts was, is;
		struct memory dead;
		struct remember r;

		remember_open(&r, shapes[i]);
		crowd(&r, 1, 3000, NOW);
		memory_counts(&r.m, &was);
		assert_true(was.cold_used > shapes[i].cold / 2);
		dead = remember_as(&r, 1);
		for (uint32_t n = 0; n < 200; n++) {
			assert_non_null(memory_open_row(&dead, nth_key(3000 - n), NOW));
			memory_mend(&r.m, 1);
		}
		memory_counts(&r.m, &is);
		assert_int_equal(is.mended, 200);
		assert_int_equal(is.hot_used + is.cold_used, rows_that_are_there(&r));
		remember_close(&r);
	}
}

static void what_went_cold_comes_back_with_all_that_counts(void **unused)
{
	struct guard_key k = key_of("192.0.2.7");
	struct guard_hot *row, out;
	struct remember r;

	(void)unused;
	remember_open(&r, one_bucket);
	row = memory_open_row(&r.m, k, NOW);
	fill_row(row, memory_detail(&r.m, row), NOW);
	memory_close_row(&r.m, row);
	for (int round = 0; round < 3; round++) {
		crowd(&r, 1000, 20, NOW);
		assert_false(is_hot(&r, k));
		assert_true(memory_peek(&r.m, k, &out));
		row = open_known(&r.m, k, NOW);
		assert_non_null(row);
		/* not by their bytes: a key has some that belong to nobody */
		assert_true(guard_key_eq(out.key, row->key));
		assert_memory_equal(&out.flags, &row->flags,
				    sizeof(out) - offsetof(struct guard_hot, flags));
		assert_int_equal(row->flags, HOT_GOOD | HOT_LISTED);
		assert_int_equal(row->last, memory_second(NOW));
		assert_float_equal(row->slow, 12.5, 0.01);
		assert_int_equal(row->good, UINT16_MAX);
		assert_int_equal(row->good_inside, 2);
		assert_int_equal(row->visits, 9);
		assert_int_equal(row->connects, 876);
		assert_int_equal(row->says, 1 << SAYS_HARVEST | 1 << SAYS_RELAY);
		assert_int_equal(memory_detail(&r.m, row)->seen[EV_UNKNOWN_USER], 0);
		assert_int_equal(row->ban.since, memory_second(NOW));
		assert_int_equal(row->ban.until, memory_second(NOW + MS_HOUR));
		assert_int_equal(row->ban.step, STEP_DROP);
		assert_int_equal(row->ban.rule, RULE_POINTS);
		assert_int_equal(row->ban.level, 3);
		assert_int_equal(row->ban.observed, 1);
		memory_close_row(&r.m, row);
	}
	remember_close(&r);
}

static void a_ban_that_goes_cold_looks_no_older_than_it_is(void **unused)
{
	struct guard_key k = key_of("192.0.2.7");
	struct guard_hot *row;
	struct remember r;

	(void)unused;
	remember_open(&r, one_bucket);
	row = memory_open_row(&r.m, k, NOW);
	fill_row(row, memory_detail(&r.m, row), NOW);
	row->last = memory_second(NOW - MS_MINUTE); /* banned a minute into its session */
	memory_close_row(&r.m, row);
	crowd(&r, 1000, 20, NOW);
	row = open_known(&r.m, k, NOW);
	assert_int_equal(row->ban.since, memory_second(NOW));
	memory_close_row(&r.m, row);
	remember_close(&r);
}

static void the_slow_score_fades_to_when_the_client_was_last_here(void **unused)
{
	struct guard_key k = key_of("192.0.2.7");
	struct guard_hot *row;
	struct remember r;

	(void)unused;
	remember_open(&r, one_bucket);
	memory_half_life(&r.m, MS_DAY);
	memory_half_life(&r.m, 0); /* says nothing */
	row = memory_open_row(&r.m, k, NOW);
	row->slow = 32;
	row->points_at = memory_second(NOW - 2 * MS_DAY);
	row->last = memory_second(NOW);
	memory_close_row(&r.m, row);
	crowd(&r, 1000, 20, NOW);
	row = open_known(&r.m, k, NOW);
	assert_float_equal(row->slow, 8, 0.07);
	assert_int_equal(row->points_at, memory_second(NOW));
	memory_close_row(&r.m, row);
	remember_close(&r);
}

static void a_row_shows_nothing_of_who_had_its_place_before(void **unused)
{
	static const struct guard_detail nothing;
	static const struct guard_hot zero;
	struct remember r;

	(void)unused;
	remember_open(&r, one_bucket);
	for (uint32_t i = 0; i < 1000; i++) {
		struct guard_hot *row = memory_open_row(&r.m, nth_key(i), NOW), was;
		struct guard_detail *did = memory_detail(&r.m, row);

		assert_non_null(row);
		was = *row;
		was.key = zero.key;
		assert_memory_equal(&was, &zero, sizeof(zero));
		assert_memory_equal(did, &nothing, sizeof(nothing));
		memset((uint8_t *)row + sizeof(row->key), (int)(i % 2 ? 0x55 : 0),
		       sizeof(*row) - sizeof(row->key));
		memset(did, i % 2 ? 0x55 : 0, sizeof(*did));
		row->sessions = 0;
		row->flags = i % 2 ? HOT_DETAIL : 0;
		memory_close_row(&r.m, row);
	}
	remember_close(&r);
}

/* ---- what makes room --------------------------------------------------------------------------- */

static void random_row(uint64_t *dices, struct guard_hot *row)
{
	row->last = memory_second(NOW - (ms_t)dice_below(dices, 15) * MS_MINUTE);
	row->points_at = row->last - (gsec_t)dice_below(dices, 60);
	row->flags = (uint8_t)dice_below(dices, 32);
	row->good = dice_below(dices, 3) ? 0 : 3;
	row->visits = dice_below(dices, 3) ? 0 : 3;
	row->sessions = dice_below(dices, 5) ? 0 : 1;
	if (dice_below(dices, 3) == 0) {
		row->ban.since = row->last;
		row->ban.until = row->last + (gsec_t)dice_below(dices, 200) * 60;
		row->ban.level = 1;
	}
}

static void what_matters_least_makes_room(void **unused)
{
	uint64_t dices = 11;

	(void)unused;
	for (int round = 0; round < 300; round++) {
		gsec_t now = memory_second(NOW);
		uint32_t worth[9], least = UINT32_MAX;
		struct remember r;

		remember_open(&r, (struct memory_shape){ 8, 64, 1, 1 });
		for (uint32_t i = 0; i < 8; i++) {
			struct guard_hot *row = memory_open_row(&r.m, nth_key(i), NOW);

			random_row(&dices, row);
			worth[i] = memory_worth(row, now);
			assert_int_equal(worth[i] == UINT32_MAX, row->sessions > 0);
			least = worth[i] < least ? worth[i] : least;
			memory_close_row(&r.m, row);
		}
		if (least == UINT32_MAX) {
			assert_null(memory_open_row(&r.m, nth_key(8), NOW));
		} else {
			memory_close_row(&r.m, memory_open_row(&r.m, nth_key(8), NOW));
			for (uint32_t i = 0; i < 8; i++)
				if (!is_hot(&r, nth_key(i)))
					assert_int_equal(worth[i], least);
		}
		for (uint32_t i = 0; i < 8; i++) { /* cold, but not forgotten */
			struct guard_hot out;

			assert_true(memory_peek(&r.m, nth_key(i), &out));
		}
		remember_close(&r);
	}
}

/* Hot memory is for those who are here; what they were is as good in cold memory. */
static void whoever_was_quiet_for_long_makes_room_for_who_is_here(void **unused)
{
	struct remember r;

	(void)unused;
	remember_open(&r, one_bucket);
	for (uint32_t i = 0; i < 8; i++) {
		struct guard_hot *row = memory_open_row(&r.m, nth_key(i), NOW);

		row->last = memory_second(NOW);
		row->visits = i < 6;
		row->ban.until = i < 3 ? row->last + 7200 : 0;
		memory_close_row(&r.m, row);
	}
	for (uint32_t i = 0; i < 100; i++) {
		ms_t now = NOW + MS_HOUR + i * MS_SECOND;
		struct guard_hot *row = memory_open_row(&r.m, nth_key(100 + i % 5), now);

		assert_int_equal(row->connects, i / 5);
		row->connects++;
		row->last = memory_second(now);
		memory_close_row(&r.m, row);
	}
	for (uint32_t i = 0; i < 8; i++)
		assert_int_equal(is_hot(&r, nth_key(i)), i < 3);
	for (uint32_t i = 0; i < 5; i++)
		assert_true(is_hot(&r, nth_key(100 + i)));
	remember_close(&r);
}

/* clang-format off */
static const struct {
	const char *more, *less;
	struct guard_hot m, l;
} worths[] = {
	{ "a session",     "a ban",          { .sessions = 1 }, { .ban = { .until = UINT32_MAX } } },
	{ "a ban",         "standing",       { .ban = { .until = UINT32_MAX } }, { .flags = HOT_GOOD } },
	{ "a long ban",    "a short one",    { .ban = { .until = 1 << 30 | 2000000 } }, { .ban = { .until = 1 << 30 | 1999999 } } },
	{ "standing",      "accepted mail",  { .flags = HOT_GOOD }, { .good = 3 } },
	{ "accepted mail", "offences",       { .good = 3 }, { .offended = 5, .slow = 99 } },
	{ "standing",      "a ban that is over", { .flags = HOT_GOOD }, { .ban = { .until = 5, .level = 9 } } },
	{ "offences",      "passing by",     { .visits = 1 }, { .flags = HOT_PASSED } },
	{ "waiting once",  "passing by",     { .flags = HOT_PASSED }, { .connects = 1000 } },
	{ "yesterday",     "before",         { .last = (1 << 30) + 900000 }, { .last = (1 << 30) + 800000 } },
};
/* clang-format on */

static void a_ban_outlives_standing_that_outlives_offences(void **unused)
{
	gsec_t now = memory_second(1000000 * MS_SECOND);

	(void)unused;
	for (size_t i = 0; i < COUNT_OF(worths); i++)
		if (memory_worth(&worths[i].m, now) <= memory_worth(&worths[i].l, now))
			fail_msg("%s against %s", worths[i].more, worths[i].less);
}

/* clang-format off */
static const struct {
	const char *why;
	uint32_t connects, known; /* seconds from the first to the last */
	uint32_t pause;		  /* at least, and at most half as long again */
} pauses[] = {
	{ "never here",             0,          0,          0 },
	{ "once",                   1,          0,          0 },
	{ "twice at once",          2,          0,          0 },
	{ "twice in a second",      2,          1,          1 },
	{ "each second",            1000,       999,        1 },
	{ "more often than that",   1000,       100,        1 },
	{ "each five minutes",      289,        86400,      300 },
	{ "each six hours",         9,          8 * 21600,  21600 },
	{ "a week apart",           2,          604800,     604800 },
	{ "more often than counts", 100000,     1000000,    11 },
	{ "always",                 UINT32_MAX, 1000000000, 1 },
	{ "34 years apart",         2,          1073000000, 1073000000 },
};
/* clang-format on */

static void a_mean_pause_that_goes_cold_comes_back_no_shorter(void **unused)
{
	(void)unused;
	for (size_t i = 0; i < COUNT_OF(pauses); i++) {
		struct guard_hot row = { .key = nth_key(7),
					 .connects = pauses[i].connects };
		struct guard_cold c;

		row.last = row.points_at = memory_second(NOW);
		row.first = row.last - pauses[i].known;
		/* and each time the same: it does not grow on the way */
		for (int times = 0; times < 3; times++) {
			struct guard_hot back = { 0 };
			uint32_t gap;

			cold_of_hot(&row, MS_DAY, &c);
			hot_of_cold(&c, &back);
			gap = back.connects < 2
				      ? 0
				      : (back.last - back.first) / (back.connects - 1);
			if (gap < pauses[i].pause ||
			    gap > pauses[i].pause + pauses[i].pause / 2)
				fail_msg("%s: %u", pauses[i].why, gap);
			row = back;
		}
	}
}

static void a_full_bucket_lends_from_its_neighbour(void **unused)
{
	enum { N = 512 };
	struct memory_counts counts;
	struct remember r;

	(void)unused;
	remember_open(&r, middling);
	for (uint32_t i = 0; i < N; i++) {
		struct guard_hot *row = memory_open_row(&r.m, nth_key(i * 77), NOW);

		if (!row)
			fail_msg("no room for session %u of %u", i, N);
		row->sessions = 1;
		row->connects = i;
		memory_close_row(&r.m, row);
	}
	crowd(&r, 1u << 20, 5000, NOW);
	for (uint32_t i = 0; i < N; i++) {
		struct guard_hot *row, out;

		assert_true(memory_peek(&r.m, nth_key(i * 77), &out));
		assert_int_equal(out.connects, i);
		row = open_known(&r.m, nth_key(i * 77), NOW);
		assert_non_null(row);
		assert_int_equal(row->connects, i);
		assert_int_equal(row->sessions, 1);
		row->sessions = 0;
		memory_close_row(&r.m, row);
	}
	crowd(&r, 1u << 25, 20000, NOW + MS_HOUR);
	memory_counts(&r.m, &counts);
	assert_int_equal(counts.hot_used, 1024);
	remember_close(&r);
}

/* Patterns that an attacker may choose; the hash must make of each what chance would. */
static uint32_t pattern(unsigned kind, uint32_t i)
{
	switch (kind) {
	case 0:
		return i;
	case 1:
		return i << 12;
	case 2:
		return i * 64;
	case 3:
		return i * 0x01000193u;
	case 4:
		return __builtin_bswap32(i);
	default:
		return (i & 0x3ff) << 22 | i >> 10;
	}
}

static void a_million_chosen_addresses_spread_as_any_others(void **unused)
{
	(void)unused;
	for (unsigned kind = 0; kind < 6; kind++) {
		struct memory_counts counts;
		struct remember r;
		size_t at = 0, met = 0;
		struct guard_hot row;
		uint32_t many = kind == 0 ? 1000000 : 100000;

		remember_open(&r, (struct memory_shape){ 4096, 32768, 1, 1 });
		/* as many as fit, then many more */
		for (uint32_t i = 0; i < many; i++) {
			struct guard_hot *to = memory_open_row(
				&r.m, nth_key(pattern(kind, i)), NOW);

			assert_non_null(to);
			to->last = memory_second(NOW + i);
			memory_close_row(&r.m, to);
			if (i != 4095)
				continue;
			memory_counts(&r.m, &counts);
			/* by chance: 86 of 100 places are taken */
			if (counts.hot_used < 3375)
				fail_msg("pattern %u: %u of 4096", kind, counts.hot_used);
		}
		memory_counts(&r.m, &counts);
		assert_int_equal(counts.hot_used, 4096);
		assert_true(counts.cold_used > 32000 && counts.cold_used <= 32768);
		while (memory_next(&r.m, &at, &row))
			met++;
		assert_int_equal(met, counts.hot_used + counts.cold_used);
		remember_close(&r);
	}
}

/* ---- against a naive model ---------------------------------------------------------------------- */

#define PEOPLE 150

struct person {
	bool known;
	uint32_t connects, good, visits, sessions;
	gsec_t until;
	uint8_t level;
};

static void change(uint64_t *dices, struct guard_hot *row, struct person *p, ms_t now)
{
	row->connects++;
	row->last = memory_second(now);
	if (dice_below(dices, 4) == 0)
		row->good++;
	if (dice_below(dices, 4) == 0)
		row->visits++;
	if (row->sessions == 0 && dice_below(dices, 8) == 0)
		row->sessions = 1;
	else if (dice_below(dices, 2))
		row->sessions = 0;
	if (dice_below(dices, 9) == 0) {
		row->ban.since = row->last;
		row->ban.until = row->last + (gsec_t)dice_below(dices, 3000);
		row->ban.level++;
	}
	*p = (struct person){ .known = true,
			      .connects = row->connects,
			      .good = row->good,
			      .visits = row->visits,
			      .sessions = row->sessions,
			      .until = row->ban.until,
			      .level = row->ban.level };
}

static void same(const struct person *p, const struct guard_hot *row)
{
	assert_int_equal(row->connects, p->connects);
	assert_int_equal(row->good, p->good);
	assert_int_equal(row->visits, p->visits);
	assert_int_equal(row->sessions, p->sessions);
	assert_int_equal(row->ban.until, p->until);
	assert_int_equal(row->ban.level, p->level);
}

static void nothing_is_lost_on_the_way_between_hot_and_cold(void **unused)
{
	static struct person people[PEOPLE];
	struct memory_counts counts;
	uint64_t dices = 5;
	struct remember r;
	ms_t now = NOW;

	(void)unused;
	remember_open(&r, small);
	for (int step = 0; step < 100000; step++) {
		uint32_t who = (uint32_t)dice_below(&dices, PEOPLE);
		struct person *p = &people[who];
		struct guard_hot *row, out;

		now += (ms_t)dice_below(&dices, 5000);
		assert_int_equal(memory_peek(&r.m, nth_key(who), &out), p->known);
		if (p->known)
			same(p, &out);
		if (dice_below(&dices, 2))
			row = memory_open_row(&r.m, nth_key(who), now);
		else
			row = open_known(&r.m, nth_key(who), now);
		if (!row)
			continue;
		same(p, row);
		change(&dices, row, p, now);
		memory_close_row(&r.m, row);
	}
	memory_counts(&r.m, &counts);
	assert_int_equal(counts.forgotten, 0);
	assert_int_equal(counts.contended, 0);
	assert_int_equal(counts.mended, 0);
	assert_true(counts.evicted > 1000);
	assert_int_equal(counts.hot_used + counts.cold_used, PEOPLE);
	remember_close(&r);
}

static void when_all_is_full_bans_stay_and_passers_by_go(void **unused)
{
	struct guard_hot *row, out;
	size_t banned = 0;
	struct remember r;

	(void)unused;
	remember_open(&r, (struct memory_shape){ 64, 1024, 1, 1 });
	for (uint32_t i = 0; i < 200; i++) {
		row = memory_open_row(&r.m, nth_key(i), NOW);
		row->last = memory_second(NOW);
		row->ban.since = row->last;
		row->ban.until = row->last + 100000;
		memory_close_row(&r.m, row);
	}
	for (uint32_t i = 0; i < 50000; i++) {
		row = memory_open_row(&r.m, nth_key(1000000 + i), NOW + i);
		assert_non_null(row);
		row->last = memory_second(NOW + i);
		memory_close_row(&r.m, row);
	}
	for (uint32_t i = 0; i < 200; i++)
		banned += memory_peek(&r.m, nth_key(i), &out);
	assert_int_equal(banned, 200);
	/* once they are over, they are worth no more than other offenders */
	for (uint32_t i = 0; i < 50000; i++) {
		ms_t later = NOW + 200000 * MS_SECOND + i;

		row = memory_open_row(&r.m, nth_key(2000000 + i), later);
		row->last = memory_second(later);
		row->visits = 1;
		memory_close_row(&r.m, row);
	}
	for (uint32_t i = 0; i < 200; i++)
		banned -= memory_peek(&r.m, nth_key(i), &out);
	assert_true(banned > 190);
	remember_close(&r);
}

/* ---- what others may have written --------------------------------------------------------------- */

static void a_row_that_somebody_broke_is_bounded_when_it_is_read(void **unused)
{
	struct guard_key k = key_of("192.0.2.7");
	struct guard_hot *row, out;
	struct guard_detail did;
	struct remember r;

	(void)unused;
	remember_open(&r, small);
	row = memory_open_row(&r.m, k, NOW);
	memset(memory_detail(&r.m, row), 0xff, sizeof(did));
	memset((uint8_t *)row + sizeof(row->key), 0xff, sizeof(*row) - sizeof(row->key));
	memory_close_row(&r.m, row);
	assert_true(memory_peek_all(&r.m, k, &out, &did));
	assert_int_equal(did.seen[0], UINT32_MAX);
	assert_true(out.ban.step < STEP_COUNT && out.ban.rule < RULE_COUNT);
	assert_true(out.fast == 0 && out.slow == 0 && out.per_hour == 0);
	assert_true(out.ban.before == 0 && out.ban.points == 0);
	for (int v = 0; v < VARIETY_COUNT; v++)
		(void)distinct_count(&did.variety[v]);
	row = memory_open_row(&r.m, k, NOW);
	assert_true(row->ban.step < STEP_COUNT && row->slow == 0);
	memory_close_row(&r.m, row);
	remember_close(&r);
}

/* ---- notes ------------------------------------------------------------------------------------------ */

static struct ban_note note_of(uint32_t n)
{
	return (struct ban_note){ .key = nth_key(n),
				  .ban = { .tries = n, .rule = RULE_POINTS },
				  .over = n % 2 };
}

static void notes_come_in_order_and_none_twice(void **unused)
{
	struct ban_note out;
	struct remember r;
	uint64_t at = 0;
	bool lost;

	(void)unused;
	remember_open(&r, small);
	assert_false(memory_next_note(&r.m, &at, &out, &lost));
	assert_false(lost);
	for (uint32_t i = 0, read = 0; i < 50000; i++) {
		struct ban_note n = note_of(i);

		memory_note(&r.m, &n);
		while (i % 7 == 0 && memory_next_note(&r.m, &at, &out, &lost)) {
			assert_false(lost);
			assert_int_equal(out.ban.tries, read);
			assert_true(guard_key_eq(out.key, nth_key(read)));
			assert_int_equal(out.over, read % 2);
			read++;
		}
		if (i % 7 == 0)
			assert_int_equal(read, i + 1);
	}
	remember_close(&r);
}

static void a_reader_that_is_too_slow_learns_that_it_lost_some(void **unused)
{
	struct ban_note out, n;
	struct remember r;
	uint64_t at = 0;
	bool lost;

	(void)unused;
	remember_open(&r, small);
	for (uint32_t i = 0; i < 100000; i++) {
		n = note_of(i);
		memory_note(&r.m, &n);
	}
	assert_false(memory_next_note(&r.m, &at, &out, &lost));
	assert_true(lost);
	assert_int_equal(at, memory_notes_end(&r.m));
	n = note_of(5);
	memory_note(&r.m, &n);
	assert_true(memory_next_note(&r.m, &at, &out, &lost));
	assert_false(lost);
	assert_int_equal(out.ban.tries, 5);
	at = UINT64_MAX; /* of another memory */
	assert_false(memory_next_note(&r.m, &at, &out, &lost));
	assert_true(lost);
	remember_close(&r);
}

/* ---- moods ------------------------------------------------------------------------------------------- */

static void handshakes_have_one_budget_a_second_for_all(void **unused)
{
	struct remember r;
	struct memory other;
	int had = 0;

	(void)unused;
	remember_open(&r, small);
	other = remember_as(&r, 1);
	for (int i = 0; i < 100; i++)
		had += memory_handshake(i % 2 ? &r.m : &other, 10, NOW);
	assert_int_equal(had, 10);
	assert_true(memory_handshake(&r.m, 10, NOW + 1000));
	/* whose clock is a little late does not open the second before anew */
	for (int i = 0; i < 100; i++)
		had += memory_handshake(i % 2 ? &r.m : &other, 10, NOW + (i % 2) * 1000);
	assert_int_equal(had, 19);
	assert_false(memory_handshake(&r.m, 0, NOW + 5000));
	remember_close(&r);
}

static void delayed_answers_are_counted_over_all_workers(void **unused)
{
	struct remember r;
	struct memory other;

	(void)unused;
	remember_open(&r, small);
	other = remember_as(&r, 1);
	assert_int_equal(memory_delayed(&r.m, 0), 0);
	assert_int_equal(memory_delayed(&r.m, 1), 1);
	assert_int_equal(memory_delayed(&other, 1), 2);
	assert_int_equal(memory_delayed(&r.m, -1), 1);
	assert_int_equal(memory_delayed(&other, -1), 0);
	assert_int_equal(memory_delayed(&other, -1), 0); /* never below */
	remember_close(&r);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_address_stands_for_three_nested_blocks),
		cmocka_unit_test(a_block_of_another_length_is_no_key),
		cmocka_unit_test(no_other_bits_make_a_key),
		cmocka_unit_test(a_memory_of_another_version_or_size_is_refused),
		cmocka_unit_test(a_head_that_is_broken_later_misleads_nobody),
		cmocka_unit_test(seconds_can_be_told_from_before_the_start),
		cmocka_unit_test(what_was_written_is_there_when_it_is_opened_again),
		cmocka_unit_test(all_addresses_of_an_ipv6_subscriber_are_one_row),
		cmocka_unit_test(a_place_that_is_out_of_date_shows_nobody_elses_row),
		cmocka_unit_test(who_was_to_make_room_and_came_back_stays),
		cmocka_unit_test(mending_counts_as_many_as_there_were),
		cmocka_unit_test(what_went_cold_comes_back_with_all_that_counts),
		cmocka_unit_test(a_ban_that_goes_cold_looks_no_older_than_it_is),
		cmocka_unit_test(the_slow_score_fades_to_when_the_client_was_last_here),
		cmocka_unit_test(a_row_shows_nothing_of_who_had_its_place_before),
		cmocka_unit_test(what_matters_least_makes_room),
		cmocka_unit_test(whoever_was_quiet_for_long_makes_room_for_who_is_here),
		cmocka_unit_test(a_ban_outlives_standing_that_outlives_offences),
		cmocka_unit_test(a_mean_pause_that_goes_cold_comes_back_no_shorter),
		cmocka_unit_test(a_full_bucket_lends_from_its_neighbour),
		cmocka_unit_test(a_million_chosen_addresses_spread_as_any_others),
		cmocka_unit_test(nothing_is_lost_on_the_way_between_hot_and_cold),
		cmocka_unit_test(when_all_is_full_bans_stay_and_passers_by_go),
		cmocka_unit_test(a_row_that_somebody_broke_is_bounded_when_it_is_read),
		cmocka_unit_test(notes_come_in_order_and_none_twice),
		cmocka_unit_test(a_reader_that_is_too_slow_learns_that_it_lost_some),
		cmocka_unit_test(handshakes_have_one_budget_a_second_for_all),
		cmocka_unit_test(delayed_answers_are_counted_over_all_workers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
