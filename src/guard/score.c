#include "guard/fade.h"
#include "guard/judge.h"

#define HOUR_HALF  2495 /* an hour's ln 2 in seconds: what adds up is a rate per hour */
#define GOOD_HALF  (30 * (int64_t)86400)
#define A_WHILE	   3600 /* after so many seconds the log hears of a refusal anew */
#define GOOD_SHARE 4	/* good messages for each session that offended: see below */

static int64_t age_ms(gsec_t then, gsec_t at)
{
	return score_age(then, at) * MS_SECOND;
}

static double faded(float points, int64_t age, int64_t half)
{
	return points > 0 ? fade((double)points, age, half) : 0;
}

double guard_fast(const struct guard_hot *row, const struct guard_limits *l, ms_t now)
{
	return faded(row->fast, age_ms(row->points_at, memory_second(now)), l->half_fast);
}

double guard_slow(const struct guard_hot *row, const struct guard_limits *l, ms_t now)
{
	return faded(row->slow, age_ms(row->points_at, memory_second(now)), l->half_slow);
}

double guard_per_hour(const struct guard_hot *row, ms_t now)
{
	return faded(row->per_hour, score_age(row->last, memory_second(now)), HOUR_HALF);
}

void score_fade(struct guard_hot *row, const struct guard_limits *l, ms_t now)
{
	gsec_t at = memory_second(now);

	if (at == row->points_at)
		return;
	row->fast = (float)guard_fast(row, l, now);
	row->slow = (float)guard_slow(row, l, now);
	row->points_at = at;
}

/* Halved for each 30 days without a connection. */
static uint32_t good_left(const struct guard_hot *row, gsec_t at)
{
	int64_t halves = score_age(row->last, at) / GOOD_HALF;

	return halves < 32 ? row->good >> halves : 0;
}

/*
 * Who comes often has been away for minutes at most: then three terms of the series do,
 * arranged so that few wait for each other: the next lock waits for the result.
 */
static float hourly(float per_hour, int64_t away)
{
	float t = (float)(int32_t)away * (1.0f / 3600);

	if (away > 900)
		return (float)faded(per_hour, away, HOUR_HALF);
	return per_hour * ((1 - t) + t * t * (0.5f - t * (1.0f / 6)));
}

void score_connection(struct guard_hot *row, gsec_t at)
{
	int64_t away = score_age(row->last, at);

	row->per_hour = hourly(row->per_hour, away) + 1;
	if (row->good)
		row->good = good_left(row, at);
	/* nobody says so when a known-good client is forgotten; this bounds how long it counts */
	if (row->good == 0)
		row->good_inside = 0;
	if (away >= A_WHILE)
		row->lines = 0;
	if (row->first == 0 || row->first > at)
		row->first = at;
	row->last = at;
	row->connects += row->connects < UINT32_MAX;
}

bool guard_is_good(const struct guard_hot *row, const struct guard_limits *l, ms_t now)
{
	return guard_key_level(row->key) == LEVEL_CLIENT &&
	       good_left(row, memory_second(now)) >= l->good_after &&
	       guard_fast(row, l, now) < (double)l->late_at &&
	       guard_slow(row, l, now) < (double)l->ban_history_at;
}

bool score_is_good(const struct guard_hot *row, const struct guard_limits *l)
{
	return row->good >= l->good_after && row->fast < (float)l->late_at &&
	       row->slow < (float)l->ban_history_at;
}

/*
 * The rest of a known-good address need not suffer for one of them: behind a gateway of
 * two hundred, one has caught something. Then the session that offends ends, and no other.
 * A client that turns bad altogether soon has more offences than this allows.
 */
bool score_is_shared(const struct guard_hot *row, const struct guard_limits *l)
{
	return row->good >= l->good_after && row->good / GOOD_SHARE >= row->visits;
}
