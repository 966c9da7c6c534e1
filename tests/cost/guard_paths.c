/*
 * The guard alone, with memory as large as it is without configuration, and a clock that
 * goes on by a millisecond for each decision.
 */
#include <stdlib.h>
#include <string.h>

#include "base/bug.h"
#include "conf/settings.h"
#include "guard/guard.h"
#include "session/limits.h"
#include "tests/cost/cost.h"

#define WALL INT64_C(1792152000000)

static struct guard guard;
static ms_t now = MS_DAY;
static uint32_t serial;
static struct guard_visit here; /* one that stays */

static void take_limits(struct guard_limits *l)
{
	static const bool enforced[RULE_COUNT];
	struct settings set;

	settings_init(&set);
	limits_of(&set, enforced, l);
	l->prefix_offenders = 64;
	l->ban_first = MS_DAY;
}

static struct guard_verdict come(struct guard_visit *v, struct addr a)
{
	*v = (struct guard_visit){ 0 };
	now++;
	return guard_came(&guard, v, &a, false, now, WALL);
}

static void ban(struct addr a)
{
	struct guard_deeds d = { .seen = { [EV_TLS_PIPELINED] = 1 } };
	struct guard_visit v;

	BUG_IF(come(&v, a).step != STEP_NONE);
	BUG_IF(guard_saw(&guard, &v, &d, now, WALL).step != STEP_REFUSE);
	guard_left(&guard, &v, 0, 0);
}

void guard_open(void)
{
	const struct memory_shape shape = { 65536, 1000000, 16, 1000 };
	const uint64_t key[2] = { 1, 2 };
	size_t n = memory_size(&shape);
	void *mem = aligned_alloc(4096, n), *orders = calloc(1, orders_size());

	BUG_IF(!mem || !orders);
	memset(mem, 0, n);
	memory_init(mem, n, &shape, key, now);
	BUG_IF(!memory_open(&guard.memory, mem, n, 0));
	orders_init(orders);
	guard.orders = orders;
	take_limits(&guard.limits);
	ban(addr_v4(192, 0, 2, 7));
	BUG_IF(come(&here, addr_v4(198, 51, 100, 7)).step != STEP_NONE);
}

void guard_stranger(void)
{
	struct guard_visit v;

	serial += 1 << 12; /* prefixes of its own */
	BUG_IF(come(&v, addr_v4(10, (uint8_t)(serial >> 16), (uint8_t)(serial >> 8), 1))
		       .step != STEP_NONE);
	guard_left(&guard, &v, 100, 10);
}

void guard_banned(void)
{
	struct guard_visit v;

	BUG_IF(come(&v, addr_v4(192, 0, 2, 7)).step < STEP_REFUSE);
}

void guard_deed(void)
{
	const struct guard_deeds d = {
		.seen = { [EV_UNKNOWN_USER] = 1 }, .recipient = 1, .sender = 2, .name = 3
	};

	now++;
	BUG_IF(guard_saw(&guard, &here, &d, now, WALL).step > STEP_DELAY);
}
