#include "watch/budget.h"

#include "base/bug.h"

static int64_t capacity(const struct budget *b)
{
	return b->per_hour / 2 * MS_HOUR;
}

/* per_hour / 2 bytes an hour are per_hour / 2 of our units a millisecond. */
static void refill(struct budget *b, ms_t now)
{
	ms_t passed = now - b->then;

	if (passed <= 0)
		return;
	if (passed > MS_HOUR)
		passed = MS_HOUR;
	b->level += b->per_hour / 2 * passed;
	if (b->level > capacity(b))
		b->level = capacity(b);
	b->then = now;
}

void budget_init(struct budget *b, int64_t per_hour, ms_t now)
{
	BUG_IF(per_hour < 1 || per_hour > ((int64_t)100 << 30));
	*b = (struct budget){ .per_hour = per_hour, .then = now };
	b->level = capacity(b);
}

void budget_change(struct budget *b, int64_t per_hour, ms_t now)
{
	struct budget next;
	int64_t used;

	refill(b, now);
	used = capacity(b) - b->level;
	budget_init(&next, per_hour, now);
	next.level = used < next.level ? next.level - used : 0;
	*b = next;
}

/* What a rank must leave in the bucket. */
static int64_t floor_of(const struct budget *b, enum budget_rank rank)
{
	switch (rank) {
	case BUDGET_PEER:
		return b->per_hour / 8 * MS_HOUR;
	case BUDGET_OURS:
		return b->per_hour / 64 * MS_HOUR;
	case BUDGET_LAST:
		break;
	}
	return 0;
}

bool budget_take(struct budget *b, enum budget_rank rank, size_t n, ms_t now)
{
	int64_t room;

	refill(b, now);
	room = (b->level - floor_of(b, rank)) / MS_HOUR;
	if (room < 0 || n > (size_t)room)
		return false;
	b->level -= (int64_t)n * MS_HOUR;
	return true;
}

int64_t budget_left(const struct budget *b)
{
	return b->level / MS_HOUR;
}

void budget_resume(struct budget *b, int64_t left, ms_t ago)
{
	int64_t full = capacity(b);

	if (left < 0 || left > full / MS_HOUR)
		left = left < 0 ? 0 : full / MS_HOUR;
	if (ago < 0)
		ago = 0;
	b->level = left * MS_HOUR;
	b->then -= ago;
	refill(b, b->then + ago);
}
