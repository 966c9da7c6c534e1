/* What the judge writes to rows is what the memory relies on when it moves them. */
#include <string.h>

#include "tests/unit/yard.h"

#define CLIENTS 400

static void anything(uint64_t *dices, struct yard *y, struct guard_deeds *d)
{
	*d = (struct guard_deeds){ 0 };
	for (int i = 0; i < 3; i++)
		d->seen[dice_below(dices, EVENT_COUNT)]++;
	d->seen[EV_NONE] = 0;
	if (dice_below(dices, 2))
		d->recipient = dice(dices);
	if (dice_below(dices, 2))
		d->sender = d->name = dice(dices);
	d->passed = dice_below(dices, 2);
	d->more_points = dice_below(dices, 20) ? 0 : 10;
	y->now += (ms_t)dice_below(dices, 2000);
}

/* In bits, what the details of a row tell. */
static unsigned told_by(const struct guard_detail *did)
{
	unsigned bits = 0;

	for (unsigned e = 0; e < EVENT_COUNT; e++)
		if (did->seen[e])
			bits |= 1u << event_table[e].says;
	return bits;
}

/*
 * Only then may the memory leave the details alone when it moves a row. Without the mark
 * they are what somebody else did, and are shown to nobody.
 */
static void rows_say_what_their_details_tell(const struct yard *y)
{
	struct guard_detail did;
	struct guard_hot row;

	for (size_t i = 0; i < y->g.memory.shape.hot; i++)
		if (memory_all_at(&y->g.memory, i, &row, &did))
			assert_int_equal(row.did, told_by(&did));
}

static void whoever_writes_detail_says_so_in_bits_as_well(void **unused)
{
	static struct guard_visit visits[CLIENTS];
	static bool here[CLIENTS];
	uint64_t dices = 1;
	struct yard y;

	(void)unused;
	yard_open(&y, 64 * LEVEL_COUNT, 8192);
	for (int step = 0; step < 60000; step++) {
		uint32_t who = (uint32_t)dice_below(&dices, CLIENTS);
		struct guard_visit *v = &visits[who];
		struct addr a = addr_v4(10, (uint8_t)(who / 7), (uint8_t)who, 1);
		struct guard_deeds d;

		if (!here[who]) {
			*v = (struct guard_visit){ 0 };
			here[who] = guard_came(&y.g, v, &a, false, y.now, y.wall).step <
				    STEP_REFUSE;
		} else if (dice_below(&dices, 3)) {
			anything(&dices, &y, &d);
			(void)guard_saw(&y.g, v, &d, y.now, y.wall);
		} else {
			guard_left(&y.g, v, 100, 100);
			here[who] = false;
		}
		if (step % 1000 == 0)
			rows_say_what_their_details_tell(&y);
	}
	rows_say_what_their_details_tell(&y);
	yard_close(&y);
}

/* Whatever came between: when all have gone, nobody is counted as here. */
static void sessions_are_counted_back_to_nothing(void **unused)
{
	static struct guard_visit visits[CLIENTS];
	uint64_t dices = 2;
	struct guard_hot row;
	struct yard y;
	size_t at = 0;

	(void)unused;
	yard_open(&y, 4096, 8192);
	for (uint32_t who = 0; who < CLIENTS; who++) {
		struct addr a = addr_v4(10, 0, (uint8_t)(who / 64), (uint8_t)who);
		struct guard_deeds d;

		visits[who] = (struct guard_visit){ 0 };
		(void)guard_came(&y.g, &visits[who], &a, false, y.now, y.wall);
		anything(&dices, &y, &d);
		(void)guard_saw(&y.g, &visits[who], &d, y.now, y.wall);
	}
	for (uint32_t who = 0; who < CLIENTS; who++)
		if (visits[who].counted)
			guard_left(&y.g, &visits[who], 1, 1);
	while (memory_next(&y.g.memory, &at, &row))
		assert_int_equal(row.sessions, 0);
	yard_close(&y);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(whoever_writes_detail_says_so_in_bits_as_well),
		cmocka_unit_test(sessions_are_counted_back_to_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
