#include "base/attr.h"
#include "guard/judge.h"

#define SUSPECT	    5 /* what weighs less is clumsy: no matter for the history of weeks */
#define CREDIT	    2 /* points that an accepted message takes off, */
#define CREDIT_MOST 50 /* and one for each of its recipients, up to so many */

/* What one step weighs, after the client's own row has been asked what is new. */
struct weight {
	double points;
	double listed;	 /* by blocklists: at least so many, however often it comes */
	int32_t history; /* what its heaviest offence adds to the slow score */
	double credit;
	uint32_t messages;
	bool offends, first; /* the first time in this session */
};

/* ---- weighing ----------------------------------------------------------------------------- */

/* Facts about who it is, and no deeds: told once, not at each visit. */
static bool is_fact(enum event e)
{
	return e == EV_NO_PTR || e == EV_PTR_FORGED;
}

/* The same wrong name is one mistake, however often a program makes it. */
static bool is_of_name(enum event e)
{
	return e == EV_HELO_SYNTAX || e == EV_HELO_ADDRESS || e == EV_HELO_NOT_FQDN;
}

/* A handshake takes two, so that it fails tells little of one. */
static bool is_for_history(enum event e)
{
	return event_table[e].weight >= SUSPECT && e != EV_TLS_FAILED;
}

/* What a client tried for the first time. */
struct news {
	bool recipient, name;
};

static bool is_new(struct guard_detail *of, enum guard_variety which, uint64_t hash)
{
	return hash == 0 || distinct_add(&of->variety[which], hash);
}

static struct news learn(struct guard_detail *of, const struct guard_deeds *d)
{
	struct news n = { .recipient = is_new(of, VARIETY_RECIPIENTS, d->recipient),
			  .name = is_new(of, VARIETY_NAMES, d->name) };

	(void)is_new(of, VARIETY_SENDERS, d->sender);
	return n;
}

/* How many of them count: what was tried before adds nothing. */
static uint32_t that_count(const struct guard_detail *of, enum event e, uint32_t n,
			   const struct news *news)
{
	if (is_fact(e))
		return of->seen[e] == 0;
	if (is_of_name(e))
		return news->name && n > 0;
	if (e == EV_UNKNOWN_USER && !news->recipient)
		return n - 1;
	return n;
}

static void weigh_events(const struct guard_detail *of, const struct guard_deeds *d,
			 const struct news *news, struct weight *w, int32_t *heaviest)
{
	for (enum event e = EV_NONE + 1; e < EVENT_COUNT; e++) {
		int weight = event_table[e].weight;
		uint32_t n = d->seen[e];

		if (n == 0 || weight <= 0)
			continue;
		n = that_count(of, e, n, news);
		w->points += (double)n * weight;
		if (n > 0 && is_for_history(e) && weight > *heaviest)
			*heaviest = weight;
	}
}

static void weigh_good(struct guard_visit *v, const struct guard_deeds *d,
		       struct weight *w)
{
	uint32_t recipients;

	v->recipients += d->seen[EV_RECIPIENT_OK];
	w->messages = d->seen[EV_MESSAGE_OK];
	if (w->messages == 0)
		return;
	recipients = v->recipients < CREDIT_MOST ? v->recipients : CREDIT_MOST;
	w->credit = (double)w->messages * CREDIT + recipients;
	v->recipients = 0;
}

/*
 * One of ours lives there: known-good at once, and each login is as good as a message. It
 * takes off what one wrong password weighed, so that who mistypes and gets in is forgiven.
 */
static void weigh_login(const struct judge *j, const struct guard_hot *row,
			const struct guard_deeds *d, struct weight *w)
{
	int64_t missing = j->g->limits.good_after - (int64_t)row->good;

	if (d->seen[EV_AUTH_OK] == 0)
		return;
	w->messages += d->seen[EV_AUTH_OK];
	if (missing > w->messages)
		w->messages = (uint32_t)missing;
	w->credit += (double)d->seen[EV_AUTH_OK] * event_table[EV_AUTH_FAILED].weight;
}

static double at_most(int64_t n, int64_t most)
{
	return (double)(n < most ? n : most > 0 ? most : 0);
}

static void weigh(struct judge *j, struct guard_visit *v, const struct guard_hot *row,
		  const struct guard_deeds *d, const struct news *news, struct weight *w)
{
	const struct guard_limits *l = &j->g->limits;
	int32_t heaviest = v->heaviest;

	*w = (struct weight){ 0 };
	weigh_good(v, d, w);
	weigh_login(j, row, d, w);
	if (v->allowed)
		return;
	weigh_events(memory_detail(&j->g->memory, row), d, news, w, &heaviest);
	w->history = heaviest - v->heaviest;
	v->heaviest = heaviest;
	/*
	 * To be listed is no deed: it makes what follows weigh more, and alone neither bans
	 * nor refuses: that is for guard.dnsbl-at to say.
	 */
	if (d->more_points > 0)
		w->listed = at_most(d->more_points, l->late_at - SUSPECT);
	w->offends = w->points >= SUSPECT ||
		     (w->points > 0 && row->fast >= (float)l->delay_at);
	w->first = w->offends && !v->offended;
	v->offended |= w->offends;
}

/* ---- charging ----------------------------------------------------------------------------- */

static float at_least_0(double d)
{
	return d > 0 ? d < 1e9 ? (float)d : 1e9f : 0;
}

/* Of all events a step has seen few. */
APART static void count(struct guard_hot *row, uint32_t *seen, enum event e, uint32_t n)
{
	seen[e] += seen[e] < UINT32_MAX - n ? n : 0;
	row->did |= (uint16_t)(1u << event_table[e].says);
}

/* The part that is the same for a client and its prefixes. */
static void charge(struct judge *j, struct guard_hot *row, const struct guard_deeds *d,
		   const struct weight *w)
{
	uint32_t *seen = judge_detail(j, row)->seen;

	for (enum event e = EV_NONE + 1; e < EVENT_COUNT; e++)
		if (d->seen[e])
			count(row, seen, e, d->seen[e]);
	row->fast = at_least_0((double)row->fast + w->points - w->credit);
	row->slow = at_least_0((double)row->slow + w->history - w->credit);
	row->good += row->good < UINT32_MAX / 2 ? w->messages : 0;
	row->visits += w->first;
	if (w->offends)
		row->offended = j->at;
}

static void mark(struct guard_hot *row, const struct guard_deeds *d)
{
	row->flags |= (uint8_t)((d->passed ? HOT_PASSED : 0) |
				(d->listed ? HOT_LISTED : 0) |
				(d->no_ptr ? HOT_NO_PTR : 0));
}

static int note_standing(struct guard_hot *row, const struct guard_limits *l)
{
	bool was = row->flags & HOT_GOOD, good = score_is_good(row, l);

	row->flags = (uint8_t)(good ? row->flags | HOT_GOOD : row->flags & ~HOT_GOOD);
	return good - was;
}

/* ---- what follows ---------------------------------------------------------------------------- */

struct outcome {
	struct judge j;
	struct guard_visit *v;
	struct weight w;
	enum rule over;	      /* RULE_NONE, or why the session must end */
	enum guard_step step; /* DELAY or LATE, for its points */
	int good;	      /* its standing: gained 1, lost -1 */
	bool known_good, spared;
	float points;
};

/* A ban that is only observed stands in the way of none that is meant. */
static bool ban_stands(const struct judge *j, const struct guard_hot *row, enum rule rule)
{
	return ladder_holds(row, j->at) &&
	       (rule == RULE_NONE || ladder_observed(j->g, rule) ||
		!ladder_observed(j->g, (enum rule)row->ban.rule));
}

/* Points of its own bring a ban, unless others live there; then only this session ends. */
static void judge_client(struct outcome *o, struct guard_hot *row)
{
	const struct guard_limits *l = &o->j.g->limits;
	enum rule rule = o->w.points > 0 ? ladder_rule(&o->j, row, o->w.history > 0)
					 : RULE_NONE;
	bool shared = score_is_shared(row, l), stands;

	o->spared = o->known_good || shared;
	if (o->v->allowed)
		return;
	stands = ban_stands(&o->j, row, rule);
	if (rule != RULE_NONE && !shared && !stands)
		ladder_ban(&o->j, row, rule);
	o->over = stands ? (enum rule)row->ban.rule : rule;
}

/*
 * What the transaction under way has earned counts for these two already, so that a list
 * with some members gone is not stopped in the middle of them.
 */
static void judge_points(struct outcome *o, const struct guard_hot *row)
{
	const struct guard_limits *l = &o->j.g->limits;
	uint32_t earned = o->v->recipients < CREDIT_MOST ? o->v->recipients : CREDIT_MOST;
	float points = row->fast - (float)earned;

	if (o->v->allowed || o->known_good)
		return;
	if (score_is_shared(row, l) && !o->v->offended)
		return;
	if (points >= (float)l->late_at)
		o->step = STEP_LATE;
	else if (points >= (float)l->delay_at)
		o->step = STEP_DELAY;
}

static bool hear_client(struct outcome *o, const struct guard_deeds *d)
{
	const struct guard_limits *l = &o->j.g->limits;
	struct guard_hot *row = judge_open(&o->j, LEVEL_CLIENT, false);
	struct guard_detail *detail;
	struct news news;

	if (!row)
		return false;
	score_fade(row, l, o->j.now);
	detail = judge_detail(&o->j, row);
	news = learn(detail, d);
	weigh(&o->j, o->v, row, d, &news, &o->w);
	charge(&o->j, row, d, &o->w);
	if (o->w.listed > (double)row->fast)
		row->fast = (float)o->w.listed;
	mark(row, d);
	o->good = note_standing(row, l);
	o->known_good = row->flags & HOT_GOOD;
	judge_client(o, row);
	judge_points(o, row);
	o->points = row->fast;
	judge_close(&o->j, row);
	return true;
}

static void hear_prefix(struct outcome *o, enum guard_level level,
			const struct guard_deeds *d)
{
	struct guard_hot *row = judge_open(&o->j, level, false);
	struct guard_detail *detail;
	enum rule rule;

	if (!row)
		return;
	score_fade(row, &o->j.g->limits, o->j.now);
	detail = judge_detail(&o->j, row);
	(void)learn(detail, d);
	charge(&o->j, row, d, &o->w);
	if (o->good > 0)
		row->good_inside++;
	else if (o->good < 0 && row->good_inside > 0)
		row->good_inside--;
	if (o->w.first)
		(void)distinct_add(&detail->variety[VARIETY_CLIENTS],
				   memory_hash(&o->j.g->memory,
					       span_of(&o->j.key[LEVEL_CLIENT].prefix,
						       sizeof(uint64_t))));
	if (o->w.points > 0 && !ladder_holds(row, o->j.at)) {
		rule = ladder_rule(&o->j, row, o->w.history > 0);
		if (rule != RULE_NONE)
			ladder_ban(&o->j, row, rule);
	}
	if (!o->v->allowed && !o->spared && o->over == RULE_NONE &&
	    ladder_holds(row, o->j.at))
		o->over = (enum rule)row->ban.rule;
	judge_close(&o->j, row);
}

/* Nothing new: only what others of the same address may have brought about. */
static bool look_again(struct outcome *o)
{
	struct guard_hot *row = judge_open(&o->j, LEVEL_CLIENT, true);

	if (!row)
		return false;
	score_fade(row, &o->j.g->limits, o->j.now);
	o->known_good = row->flags & HOT_GOOD;
	if (!o->v->allowed && ladder_holds(row, o->j.at))
		o->over = (enum rule)row->ban.rule;
	judge_points(o, row);
	o->points = row->fast;
	judge_close(&o->j, row);
	return true;
}

/*
 * What is meant wins over what is only observed, and a ban or LATE that is only observed
 * leaves what is below it on the ladder as it is.
 */
static struct guard_mood mood_of(const struct outcome *o)
{
	const struct guard *g = o->j.g;
	struct guard_mood m = { .known_good = o->known_good,
				.points = (int32_t)o->points };
	bool over = o->over != RULE_NONE, late = o->step == STEP_LATE;

	if (over && !ladder_observed(g, o->over)) {
		m.step = STEP_REFUSE;
		m.rule = o->over;
	} else if (late && !ladder_observed(g, RULE_LATE)) {
		m.step = STEP_LATE;
		m.rule = RULE_LATE;
	} else if (over || late) {
		m.step = over ? STEP_REFUSE : STEP_LATE;
		m.rule = over ? o->over : RULE_LATE;
		m.observed = true;
	} else if (o->step == STEP_DELAY) {
		m.step = STEP_DELAY;
		m.observed = g->limits.observe;
	}
	m.delays = (m.step >= STEP_DELAY && !m.observed) ||
		   (o->step >= STEP_DELAY && !g->limits.observe);
	return m;
}

static bool is_quiet(const struct guard_deeds *d)
{
	for (enum event e = EV_NONE + 1; e < EVENT_COUNT; e++)
		if (d->seen[e])
			return false;
	return d->more_points <= 0 && !d->recipient && !d->sender && !d->name &&
	       !d->passed && !d->listed && !d->no_ptr;
}

struct guard_mood guard_saw(struct guard *g, struct guard_visit *v,
			    const struct guard_deeds *deeds, ms_t now, int64_t wall)
{
	struct outcome o = { .v = v, .known_good = v->known_good };
	bool quiet = is_quiet(deeds);

	judge_begin(&o.j, g, &v->addr, now, wall);
	if (!quiet) {
		memory_expect(&g->memory, o.j.place, LEVEL_COUNT);
		memory_expect_rows(&g->memory, o.j.place, LEVEL_COUNT);
	}
	if (quiet ? !look_again(&o) : !hear_client(&o, deeds))
		return (struct guard_mood){ .known_good = v->known_good };
	if (!quiet)
		for (enum guard_level l = LEVEL_NEAR; l < LEVEL_COUNT; l++)
			hear_prefix(&o, l, deeds);
	v->known_good = o.known_good;
	return mood_of(&o);
}

/*
 * It was no session, so it is no visit that offended either. What a prefix as a whole did
 * is not held against the one of it that came last.
 */
void deeds_charge(struct judge *j, struct guard_visit *v, enum event e,
		  enum guard_level level)
{
	struct guard_visit outside = *v;
	struct guard_deeds d = { 0 };
	struct outcome o = { .j = *j, .v = &outside, .known_good = v->known_good };

	outside.offended = true;
	d.seen[e] = 1;
	o.w.points = event_table[e].weight;
	if (level == LEVEL_CLIENT && !hear_client(&o, &d))
		return;
	for (enum guard_level l = level > LEVEL_NEAR ? level : LEVEL_NEAR;
	     l < LEVEL_COUNT; l++)
		hear_prefix(&o, l, &d);
}
