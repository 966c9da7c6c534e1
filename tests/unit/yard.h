/*
 * yard - a guard with memory and a clock of its own, for the tests of its judgement
 *
 * The clock moves only when a test says so. Limits are the defaults of settings.def.
 */
#ifndef TESTS_UNIT_YARD_H
#define TESTS_UNIT_YARD_H

#include "conf/settings.h"
#include "guard/guard.h"
#include "session/limits.h"

#include "tests/unit/expect.h"

#define YARD_WALL INT64_C(1700000000000)

struct yard {
	void *mem, *orders;
	struct guard g;
	ms_t now;
	int64_t wall;
};

static inline void yard_limits(struct guard_limits *l)
{
	static const bool enforced[RULE_COUNT];
	struct settings set;

	settings_init(&set);
	limits_of(&set, enforced, l);
}

static inline void yard_open(struct yard *y, uint32_t hot, uint32_t cold)
{
	struct memory_shape shape = { hot, cold, 2, 20000 };
	uint64_t key[2] = { 0x0123456789abcdef, 0xfedcba9876543210 };
	size_t n = memory_size(&shape);

	*y = (struct yard){ .now = MS_DAY, .wall = YARD_WALL };
	y->mem = aligned_alloc(4096, n);
	if (!y->mem)
		fail_msg("out of memory");
	memset(y->mem, 0, n);
	memory_init(y->mem, n, &shape, key, y->now);
	expect_true("a memory", memory_open(&y->g.memory, y->mem, n, 0));
	y->orders = malloc(orders_size());
	if (!y->orders)
		fail_msg("out of memory");
	orders_init(y->orders);
	y->g.orders = y->orders;
	y->g.chance = 42;
	yard_limits(&y->g.limits);
}

static inline void yard_close(struct yard *y)
{
	free(y->mem);
	free(y->orders);
}

static inline void yard_wait(struct yard *y, ms_t t)
{
	y->now += t;
	y->wall += t;
}

static inline struct addr at(const char *text)
{
	struct addr a;

	expect_true(text, addr_parse(span_str(text), &a));
	return a;
}

static inline struct guard_verdict come(struct yard *y, struct guard_visit *v,
					struct addr from)
{
	return guard_came(&y->g, v, &from, false, y->now, y->wall);
}

static inline void leave(struct yard *y, struct guard_visit *v)
{
	guard_left(&y->g, v, 100, 10);
}

static inline struct guard_mood saw(struct yard *y, struct guard_visit *v,
				    const struct guard_deeds *d)
{
	return guard_saw(&y->g, v, d, y->now, y->wall);
}

/* One event, so often. */
static inline struct guard_mood did(struct yard *y, struct guard_visit *v, enum event e,
				    unsigned n)
{
	struct guard_deeds d = { 0 };

	d.seen[e] = (uint16_t)n;
	return saw(y, v, &d);
}

/* A recipient that does not exist, by a number that stands for its name. */
static inline struct guard_mood named(struct yard *y, struct guard_visit *v,
				      uint64_t recipient)
{
	struct guard_deeds d = { .recipient = recipient * UINT64_C(0x9e3779b97f4a7c15) };

	d.seen[EV_UNKNOWN_USER] = 1;
	return saw(y, v, &d);
}

static inline bool in(struct guard_verdict d)
{
	return d.step < STEP_REFUSE;
}

/* Comes, does it once, and leaves, if it is let in. */
static inline struct guard_verdict visit(struct yard *y, struct addr from, enum event e,
					 unsigned n)
{
	struct guard_visit v;
	struct guard_verdict d = come(y, &v, from);

	if (in(d) && e != EV_NONE)
		did(y, &v, e, n);
	leave(y, &v);
	return d;
}

/* A message with one recipient. */
static inline struct guard_verdict deliver(struct yard *y, struct addr from)
{
	struct guard_visit v;
	struct guard_verdict d = come(y, &v, from);

	if (in(d)) {
		did(y, &v, EV_RECIPIENT_OK, 1);
		did(y, &v, EV_MESSAGE_OK, 1);
	}
	leave(y, &v);
	return d;
}

static inline void become_good(struct yard *y, struct addr a)
{
	for (unsigned i = 0; i < 6; i++) {
		(void)deliver(y, a);
		yard_wait(y, MS_MINUTE);
	}
}

static inline struct guard_hot row_of(struct yard *y, struct addr a,
				      enum guard_level level)
{
	struct guard_hot row = { 0 };

	if (!memory_peek(&y->g.memory, guard_key_of(&a, level), &row))
		memset(&row, 0, sizeof(row));
	return row;
}

/* How often it did this, as its row has it. */
static inline uint32_t seen_of(struct yard *y, struct addr a, enum guard_level level,
			       enum event e)
{
	struct guard_detail did;
	struct guard_hot row;

	return memory_peek_all(&y->g.memory, guard_key_of(&a, level), &row, &did)
		       ? did.seen[e]
		       : 0;
}

static inline void order(struct yard *y, enum order_kind kind, const char *net)
{
	struct order o = { .kind = (uint8_t)kind, .since = y->wall, .until = INT64_MAX };

	expect_true(net, net_parse(span_str(net), &o.net));
	expect_true(net, orders_put(y->orders, &o, y->wall));
}

#endif
