#include "guard/account_diagnosis.h"

/* clang-format off */
const struct account_kind_row account_kind_table[ACCOUNT_KINDS] = {
#define ACCOUNT_DIAGNOSIS(id, word, doc) [ACCOUNT_##id] = { word, doc },
#include "guard/account_diagnosis.def"
};
/* clang-format on */

#define RUNS_AT 300 /* attempts per hour: a program that nobody waits for */

struct look {
	const struct account_state *st;
	int64_t places;
};

/* ---- one kind each: how well it fits, of a hundred ------------------------------------------ */

/* More evidence, more sure: `from` for the first, `to` for `many`. */
static unsigned rising(uint32_t n, uint32_t many, unsigned from, unsigned to)
{
	if (n == 0)
		return 0;
	return n >= many ? to : from + (to - from) * (n - 1) / (many > 1 ? many - 1 : 1);
}

static unsigned is_clean(const struct look *l)
{
	const struct account_state *st = l->st;

	if (st->successes == 0 || st->secrets_wrong > 4 || st->failures > st->successes ||
	    st->per_hour >= RUNS_AT || st->over > st->successes)
		return 0;
	return rising(st->successes, 50, 55, 90) - 5 * st->secrets_wrong;
}

/* The same wrong password again and again is no guess. */
static unsigned is_stale(const struct look *l)
{
	const struct account_state *st = l->st;

	/* beside a storm of right ones it is the lesser trouble */
	if (st->run.count && st->run.kind == STORM_OVER && account_run_sure(&st->run))
		return st->stale ? 60 : 0;
	if (st->stale)
		return st->places_wrong >= 5 ? 70 : st->secrets_wrong <= 3 ? 95 : 85;
	if (st->secrets_wrong == 0 || st->secrets_wrong > 2 || st->failures < 10)
		return 0;
	return rising(st->failures / st->secrets_wrong, 200, 40, 75);
}

static unsigned is_guessed(const struct look *l)
{
	const struct account_state *st = l->st;
	unsigned fits;

	if (st->guarded || st->campaign)
		return 96;
	if (st->secrets_wrong < 5)
		return 0;
	fits = rising(st->secrets_wrong, 40, 45, 90);
	/* from one place, with logins in between, it is rather its owner who forgot */
	if (st->places_wrong <= 1 && st->secrets_wrong < 9 && st->successes)
		fits /= 2;
	return fits;
}

static unsigned is_sprayed(const struct look *l)
{
	if (!l->st->sprayed)
		return 0;
	return l->st->secrets_wrong <= 4 ? 92 : 65;
}

static unsigned is_runaway(const struct look *l)
{
	const struct account_state *st = l->st;
	unsigned sure = st->run.count ? account_run_sure(&st->run) : 0;

	if (sure || st->per_hour < RUNS_AT || st->secrets_wrong > 2 ||
	    st->places_today > 3)
		return sure;
	return rising(st->per_hour - RUNS_AT + 1, 10 * RUNS_AT, 60, 97);
}

/* Right passwords, too many sessions, and not one program that does it. */
static unsigned is_several(const struct look *l)
{
	const struct account_run *r = &l->st->run;

	if (r->count == 0 || r->kind != STORM_OVER || r->clients < 2)
		return 0;
	return account_run_sure(r) ? 0 : r->clients < 3 ? 60 : 92;
}

static unsigned is_thief(const struct look *l)
{
	const struct account_state *st = l->st;

	if (l->places <= 0 || st->places_today * INT64_C(2) <= l->places)
		return 0;
	if (st->held || st->places_today > l->places)
		return 97;
	/* on its way there, with devices that nobody saw before */
	return st->new_devices >= 8 ? rising(st->new_devices, 20, 50, 80) : 0;
}

/* ---- evidence, for people ---------------------------------------------------------------------- */

static void put(struct buf *b, uint32_t n, const char *one, const char *many)
{
	if (n)
		buf_fmt(b, "%s%u %s", b->len ? ", " : "", n, n == 1 ? one : many);
}

static void say(struct buf *b, const struct look *l)
{
	const struct account_state *st = l->st;

	put(b, st->secrets_wrong, "wrong password", "different wrong passwords");
	if (st->places_wrong)
		buf_fmt(b, " from %u network%s within a week", st->places_wrong,
			st->places_wrong == 1 ? "" : "s");
	put(b, st->failures, "failure", "failures");
	put(b, st->successes, "login", "logins");
	put(b, st->over, "refused for the number of sessions",
	    "refused for the number of sessions");
	put(b, st->devices, "known device", "known devices");
	if (st->places_today > 1)
		put(b, st->places_today, "", "places today");
	if (st->per_hour >= RUNS_AT)
		put(b, st->per_hour, "", "attempts per hour");
	if (st->campaign)
		buf_fmt(b, ", campaign %u", st->campaign);
}

/* Who it is: as it calls itself, else as its TLS looks like; and where. */
static void say_who(struct buf *b, const struct account_run *r)
{
	if (r->name_n)
		buf_fmt(b, "'%.*s'", (int)r->name_n, r->name);
	else if (r->hello_n)
		buf_fmt(b, "A client without a name (TLS %.*s)", (int)r->hello_n,
			r->hello);
	else
		buf_fmt(b, "A client without a name");
	buf_fmt(b, " at ");
	addr_print(&r->from, b);
}

static void say_run(struct buf *b, const struct account_run *r)
{
	uint32_t rate = r->count / (r->lasted + 1), gap;

	say_who(b, r);
	buf_fmt(b, " is a client that runs away: ");
	if (r->kind == STORM_OVER)
		buf_fmt(b, "it logged in with the right password %u times in %u s",
			r->count, r->lasted + 1);
	else
		buf_fmt(b, "it gave the same wrong password %u times in %u s", r->count,
			r->lasted + 1);
	if (rate > 1)
		buf_fmt(b, " (%u a second)", rate);
	else if (account_run_steady(r, &gap) && gap > 1)
		buf_fmt(b, ", by the clock, every %u s,", gap);
	if (r->kind == STORM_OVER)
		buf_fmt(b, " although %u sessions of it are open, and %s each time",
			r->open, r->observed ? "would have been refused" : "was refused");
	buf_fmt(b, ".");
}

void account_sentence(const struct account_state *st, enum account_kind kind,
		      struct buf *out)
{
	const struct account_run *r = &st->run;

	if (kind == ACCOUNT_RUNAWAY && r->count) {
		say_run(out, r);
	} else if (kind == ACCOUNT_SEVERAL) {
		buf_fmt(out, "%s programs at ", r->clients < 3 ? "Two" : "Many");
		addr_print(&r->from, out);
		buf_fmt(out,
			" share this account: %u sessions of it are open there, and "
			"%u logins more %s refused.",
			r->open, r->count, r->observed ? "would have been" : "were");
	} else if (kind == ACCOUNT_STALE && r->count && r->kind == STORM_SAME) {
		say_who(out, r);
		buf_fmt(out, " has an old password, and has given it %u times in %u s.",
			r->count, r->lasted + 1);
	} else if (kind == ACCOUNT_STALE && st->stale) {
		buf_fmt(out, "The device at ");
		addr_print(&st->stale_from, out);
		buf_fmt(out, " keeps giving an old password.");
	}
}

/* ---- the answer ---------------------------------------------------------------------------------- */

static unsigned (*const fits[ACCOUNT_KINDS])(const struct look *l) = {
	[ACCOUNT_CLEAN] = is_clean,	[ACCOUNT_STALE] = is_stale,
	[ACCOUNT_GUESSED] = is_guessed, [ACCOUNT_SPRAYED] = is_sprayed,
	[ACCOUNT_RUNAWAY] = is_runaway, [ACCOUNT_SEVERAL] = is_several,
	[ACCOUNT_THIEF] = is_thief,
};

void account_diagnose(const struct account_state *st, int64_t places,
		      struct account_diagnosis *out)
{
	struct look l = { st, places };
	unsigned best = 30; /* less is nothing */
	struct buf why;

	*out = (struct account_diagnosis){ .kind = ACCOUNT_NOTHING };
	for (enum account_kind k = 0; k < ACCOUNT_KINDS; k++) {
		unsigned is = fits[k] ? fits[k](&l) : 0;

		if (is <= best)
			continue;
		best = is;
		out->kind = k;
		out->confidence = (uint8_t)(is < 99 ? is : 99);
	}
	buf_init(&why, out->why, sizeof(out->why) - 1);
	say(&why, &l);
	out->why_n = (uint8_t)why.len;
	out->why[why.len] = '\0';
}
