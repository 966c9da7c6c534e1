#include "guard/judge.h"

#define GAPS	   4  /* a ban lasts so many of the client's own pauses */
#define STEPPED	   60 /* seconds: a ban that begins later than that is of another clock */
#define LINES_MOST 24
#define OFTEN	   2.0f /* connections per hour: below, the last one is most of the figure */

static void tell(struct judge *j, const struct guard_hot *row, bool over)
{
	struct ban_note note = { .key = row->key, .ban = row->ban, .over = over };

	memory_note(&j->g->memory, &note);
}

bool ladder_observed(const struct guard *g, enum rule rule)
{
	return g->limits.observe || (rule < RULE_COUNT && g->limits.observed[rule]);
}

/* A clock that has stepped back must not make a ban longer than it was meant to be. */
bool ladder_holds(const struct guard_hot *row, gsec_t at)
{
	return row->ban.step >= STEP_REFUSE && row->ban.until > at &&
	       score_age(at, row->ban.since) <= STEPPED;
}

bool guard_ban_holds(const struct guard_hot *row, ms_t now)
{
	return ladder_holds(row, memory_second(now));
}

enum rule ladder_rule(const struct judge *j, const struct guard_hot *row, bool history)
{
	const struct guard_limits *l = &j->g->limits;
	const struct guard_detail *d = memory_detail(&j->g->memory, row);
	enum guard_level level = guard_key_level(row->key);
	double share = (double)guard_key_share(level);
	bool fast = (double)row->fast >= share * (double)l->ban_at;
	bool slow = history && (double)row->slow >= share * (double)l->ban_history_at;

	if (!fast && !slow)
		return RULE_NONE;
	if (level == LEVEL_CLIENT)
		return fast ? RULE_POINTS : RULE_HISTORY;
	/* collateral: somebody known-good lives here, or it is but a few */
	if (row->good_inside > 0 ||
	    distinct_count(&d->variety[VARIETY_CLIENTS]) < l->prefix_offenders)
		return RULE_NONE;
	return RULE_PREFIX;
}

static ms_t longer(ms_t a, ms_t b)
{
	return a > b ? a : b;
}

/* The mean pause between its connections; 0: it has come once. */
static ms_t mean_gap(const struct guard_hot *row)
{
	if (row->connects < 2)
		return 0;
	return score_age(row->first, row->last) * MS_SECOND / (row->connects - 1);
}

static ms_t how_long(struct guard *g, const struct guard_hot *row)
{
	const struct guard_limits *l = &g->limits;
	ms_t t = longer(l->ban_first, 1);

	for (unsigned i = 0; i < row->ban.level && t < l->ban_max; i++)
		t *= 2;
	t = longer(t, GAPS * mean_gap(row));
	if (t > l->ban_max)
		t = longer(l->ban_max, 1);
	/* a fifth up or down: not all of a swarm come back in the same minute */
	return t + t / 1000 * ((ms_t)(judge_chance(g) % 401) - 200);
}

/* Connections per hour, as they were; for a slow one the mean over all that is known. */
static float rate_of(const struct guard_hot *row)
{
	int64_t known = score_age(row->first, row->last);

	if (row->per_hour > OFTEN || known < 3600)
		return row->per_hour;
	return (float)row->connects * 3600.0f / (float)known;
}

/* One ban is forgotten for each half-life of the history that it kept away. */
static uint8_t level_left(const struct guard_hot *row, const struct guard_limits *l,
			  gsec_t at)
{
	int64_t half = longer(l->half_slow / MS_SECOND, 1);
	int64_t gone = row->ban.until ? score_age(row->ban.until, at) / half : 0;

	return gone < row->ban.level ? (uint8_t)(row->ban.level - gone) : 0;
}

void ladder_ban(struct judge *j, struct guard_hot *row, enum rule rule)
{
	uint8_t before;
	ms_t length;

	row->ban.level = before = level_left(row, &j->g->limits, j->at);
	length = how_long(j->g, row);
	row->ban = (struct guard_ban){
		.since = j->at,
		.until = memory_second(j->now + longer(length, MS_SECOND)),
		.step = STEP_REFUSE,
		.rule = (uint8_t)rule,
		.level = (uint8_t)(before < UINT8_MAX ? before + 1 : before),
		.observed = ladder_observed(j->g, rule),
		.before = rate_of(row),
		.points = rule == RULE_HISTORY ||
					  (rule == RULE_PREFIX && row->slow > row->fast)
				  ? row->slow
				  : row->fast,
	};
	row->lines = 0;
	tell(j, row, false);
}

/*
 * The firewall hears only of clients that reach us directly, of refusals that are meant, and
 * of prefixes where nobody known-good has turned up since: it could not spare them.
 */
static bool for_the_firewall(const struct guard_hot *row)
{
	return !(row->flags & HOT_BEHIND) && !row->ban.observed && row->good_inside == 0;
}

/* Never back, but from the firewall. Cold memory keeps the step and not the tries. */
static uint8_t step_of(const struct guard_hot *row, const struct guard_limits *l)
{
	uint8_t step = row->ban.tries >= l->kernel_after ? STEP_KERNEL
		       : row->ban.tries >= l->drop_after ? STEP_DROP
							 : STEP_REFUSE;

	if (step < row->ban.step)
		step = row->ban.step;
	return step == STEP_KERNEL && !for_the_firewall(row) ? STEP_DROP : step;
}

void ladder_tried(struct judge *j, struct guard_hot *row)
{
	struct guard_ban was = row->ban;

	row->ban.tries += row->ban.tries < UINT32_MAX;
	row->ban.observed = ladder_observed(j->g, (enum rule)row->ban.rule);
	row->ban.step = step_of(row, &j->g->limits);
	if (row->ban.step != was.step || row->ban.observed != was.observed)
		tell(j, row, false);
}

void ladder_over(struct judge *j, struct guard_hot *row)
{
	if (row->ban.step < STEP_REFUSE || ladder_holds(row, j->at))
		return;
	tell(j, row, true);
	row->ban.step = STEP_NONE;
	if (row->ban.until > j->at)
		row->ban.until = j->at;
}

void ladder_pardon(struct judge *j, struct guard_hot *row, gsec_t until)
{
	struct distinct *clients;

	if (until == 0)
		return;
	if (row->points_at <= until) {
		row->fast = row->slow = 0;
		if (row->flags & HOT_DETAIL) {
			clients = memory_detail(&j->g->memory, row)->variety +
				  VARIETY_CLIENTS;
			memset(clients, 0, sizeof(*clients));
		}
	}
	/* also one that came back from the disk when there were newer points */
	if (row->ban.since > until)
		return;
	row->ban.level = 0;
	if (row->ban.until > j->at)
		row->ban.until = j->at;
	ladder_over(j, row);
}

/*
 * The first, then one more, then each that tells of twice as many as the one before: a
 * million refusals are some twenty lines, and the sum of what they tell is exact.
 */
bool ladder_tells(struct guard_hot *row, uint64_t *tries)
{
	unsigned lines = row->lines < LINES_MOST ? row->lines : LINES_MOST;

	row->untold += row->untold < UINT32_MAX;
	if (row->untold < (lines < 2 ? UINT32_C(1) : UINT32_C(1) << (lines - 1)))
		return false;
	*tries = row->untold;
	row->untold = 0;
	row->lines = (uint8_t)(lines + 1);
	return true;
}
