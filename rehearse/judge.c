#include <math.h>
#include <stdio.h>
#include <string.h>

#include "rehearse/result.h"
#include "rehearse/sums.h"

#define SERVED_LIMIT	99.0 /* per cent, if none was said */
#define SLOWER_TIMES	2  /* p99 under attack: this often that of the quiet phase, ... */
#define SLOWER_MS	50 /* ... and so much more */
#define HELD_LIMIT	100.0
#define HELD_ENOUGH	10 /* sessions to divide memory by */
#define ENOUGH_AT_FIRST 10 /* visits in the first tenth, to compare with */
#define HOUR		3600.0

/* Which actors a promise can be about. */
enum about { ABOUT_NOBODY, ABOUT_HONEST, ABOUT_ATTACKERS, ABOUT_ANY };

/* What stands behind a limit, for messages. */
enum unit { UNIT_NONE, UNIT_PER_CENT, UNIT_VISITS, UNIT_KIB };

struct rule {
	const char *word;
	enum promise_takes takes;
	enum unit unit;
	enum about about;
	bool whole; /* nothing can be said about an attack that was cut short */
	/* Fills found and verdict. says is filled already. */
	void (*judge)(const struct result *r, const struct promise *p, double limit,
		      struct judged *out);
	double usual;	  /* limit, if none was said */
	const char *says; /* with # for the limit, if there is one */
};

static void decide(struct judged *out, enum verdict v, const char *fmt, ...) PRINTF(3, 4);

static void decide(struct judged *out, enum verdict v, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(out->found, sizeof(out->found), fmt, args);
	va_end(args);
	out->verdict = v;
}

static enum verdict kept_if(bool kept)
{
	return kept ? VERDICT_KEPT : VERDICT_BROKEN;
}

/* Append to a text, as much as fits. */
static void add(char *text, size_t cap, const char *fmt, ...) PRINTF(3, 4);

static void add(char *text, size_t cap, const char *fmt, ...)
{
	size_t n = strlen(text);
	va_list args;

	va_start(args, fmt);
	vsnprintf(text + n, cap - n, fmt, args);
	va_end(args);
}

/* How one honest actor fared. */
struct served {
	uint64_t asked;
	double per_cent;
	double p99, quiet; /* ms; NAN: nothing was done */
};

static struct served served_one(const struct result *r, unsigned actor)
{
	struct tally_phase p;
	struct served s = { 0 };

	sums_phase(r, actor, PHASE_QUIET, &p);
	s.quiet = tally_quantile(&p, 0.99);
	sums_phase(r, actor, PHASE_ATTACK, &p);
	s.p99 = tally_quantile(&p, 0.99);
	s.asked = sums_asked(&p);
	s.per_cent = s.asked ? 100.0 * (double)p.done / (double)s.asked : 0;
	return s;
}

static void served(const struct result *r, const struct promise *p, double limit,
		   struct judged *out)
{
	char failed[sizeof(out->found)] = "", unsure[sizeof(out->found)] = "";
	struct served worst = { .per_cent = INFINITY };
	const char *who = "";
	uint64_t all = 0;

	for (unsigned i = 0; i < r->scenario->actors_n; i++) {
		const struct actor *a = &r->scenario->actors[i];
		struct served s;

		if (p->actor ? strcmp(a->name, p->actor) != 0 : !a->honest)
			continue;
		s = served_one(r, i);
		if (!s.asked)
			continue; /* it was left out, or comes too rarely */
		all += s.asked;
		if (s.per_cent < limit)
			add(failed, sizeof(failed), "%s%s %.2f %% of %llu",
			    *failed ? "; " : "", a->name, s.per_cent,
			    (unsigned long long)s.asked);
		else if (isnan(s.p99) || isnan(s.quiet))
			add(unsure, sizeof(unsure), "%s%s has no %s p99",
			    *unsure ? "; " : "", a->name, isnan(s.p99) ? "own" : "quiet");
		else if (s.p99 > SLOWER_TIMES * s.quiet + SLOWER_MS)
			add(failed, sizeof(failed), "%s%s p99 %.0f ms, quiet %.0f ms",
			    *failed ? "; " : "", a->name, s.p99, s.quiet);
		if (s.per_cent < worst.per_cent) {
			worst = s;
			who = a->name;
		}
	}
	if (!all)
		decide(out, VERDICT_UNKNOWN, "no honest visit was due in the attack");
	else if (*failed)
		decide(out, VERDICT_BROKEN, "%s", failed);
	else if (*unsure)
		decide(out, VERDICT_UNKNOWN, "%.2f %% of %llu; %s", worst.per_cent,
		       (unsigned long long)all, unsure);
	else
		decide(out, VERDICT_KEPT, "%s %.2f %% of %llu; p99 %.0f ms, quiet %.0f ms",
		       who, worst.per_cent, (unsigned long long)worst.asked, worst.p99,
		       worst.quiet);
}

/* Sums of those who are meant, in the attack. */
static struct tally_phase attack_of(const struct result *r, const char *name)
{
	struct tally_phase sum, all = { 0 };

	for (unsigned i = 0; i < r->scenario->actors_n; i++) {
		if (!sums_means(r, i, name))
			continue;
		sums_phase(r, i, PHASE_ATTACK, &sum);
		all.begun += sum.begun;
		for (size_t s = 0; s < STAGE_COUNT; s++)
			for (size_t k = 0; k < 3; k++)
				all.heard[s][k] += sum.heard[s][k];
	}
	return all;
}

static void no_breach(const struct result *r, const struct promise *p, double limit,
		      struct judged *out)
{
	char first[sizeof(out->found) - 60] = "";
	const char *who = "";
	uint64_t breaches = 0, before = 0;

	(void)limit;
	for (unsigned i = 0; i < r->scenario->actors_n; i++) {
		struct tally_phase sum;

		if (p->actor && !sums_means(r, i, p->actor))
			continue;
		for (int phase = PHASE_QUIET; phase < PHASE_COUNT; phase++) {
			sums_phase(r, i, (enum phase)phase, &sum);
			breaches += sum.breaches;
		}
		if (!before && breaches) {
			sums_breach(r, i, first, sizeof(first));
			who = r->scenario->actors[i].name;
		}
		before = breaches;
	}
	if (breaches)
		decide(out, VERDICT_BROKEN, "%llu, the first of %.20s: %s",
		       (unsigned long long)breaches, who, first);
	else if (!attack_of(r, p->actor).begun)
		decide(out, VERDICT_UNKNOWN, "nobody attacked");
	else
		decide(out, VERDICT_KEPT, "none");
}

/*
 * Visits per second by those who are meant, between two shares of the attack. Also those that were
 * due and found no room: a slow server makes bots late, it does not send them away.
 */
static double wanted_between(const struct result *r, const char *name, double from,
			     double to, uint64_t *wanted)
{
	double start = (double)sums_from(r, PHASE_ATTACK);
	double length = (double)sums_to(r, PHASE_ATTACK) - start;
	double bucket = r->tally ? (double)r->tally->bucket : 0, ms = 0;
	unsigned buckets = sums_buckets(r);

	*wanted = 0;
	for (unsigned b = 0; b < buckets; b++) {
		double middle = ((double)b + 0.5) * bucket;
		struct tally_bucket sum;

		if (middle < start + from * length || middle >= start + to * length)
			continue;
		ms += bucket;
		for (unsigned i = 0; i < r->scenario->actors_n; i++) {
			if (!sums_means(r, i, name))
				continue;
			tally_sum_bucket(r->tally, i, b, &sum);
			*wanted += sum.begun + sum.skipped;
		}
	}
	return ms > 0 ? (double)*wanted * 1000 / ms : 0;
}

static void falls(const struct result *r, const struct promise *p, double limit,
		  struct judged *out)
{
	uint64_t n, later_n;
	double first = wanted_between(r, p->actor, 0, 0.1, &n);
	double later = wanted_between(r, p->actor, 0.25, 1, &later_n);

	if (n < ENOUGH_AT_FIRST)
		decide(out, VERDICT_UNKNOWN,
		       "only %llu visits in the first tenth, too few to compare with",
		       (unsigned long long)n);
	else
		decide(out, kept_if(100 * later <= limit * first),
		       "%.2f %%: %.1f/s in the first tenth, %.1f/s after a quarter",
		       100 * later / first, first, later);
}

/* Visits that got further than the greeting. */
static uint64_t past_greeting(const struct result *r, unsigned actor)
{
	struct tally_phase p;
	uint64_t further = 0;

	sums_phase(r, actor, PHASE_ATTACK, &p);
	for (size_t s = STAGE_CONNECT + 1; s < STAGE_COUNT; s++)
		for (size_t e = 0; e < END_COUNT; e++)
			further += p.ended[s][e];
	further += p.ended[STAGE_CONNECT][END_DONE];

	/* whoever heard it and said nothing got past it too */
	return further > p.heard[STAGE_CONNECT][0] ? further : p.heard[STAGE_CONNECT][0];
}

static void refused_at_connect(const struct result *r, const struct promise *p,
			       double limit, struct judged *out)
{
	uint64_t most = 0, begun = 0, tried = 0;
	const char *who = NULL;

	for (unsigned i = 0; i < r->scenario->actors_n; i++) {
		const struct actor *a = &r->scenario->actors[i];
		struct tally_phase sum;
		uint64_t past;

		if (p->actor ? strcmp(a->name, p->actor) != 0
			     : a->honest || a->addresses != 1)
			continue;
		sums_phase(r, i, PHASE_ATTACK, &sum);
		past = past_greeting(r, i);
		tried = sum.begun > tried ? sum.begun : tried;
		if (!who || past > most) {
			who = a->name;
			most = past;
			begun = sum.begun;
		}
	}
	if (!who)
		decide(out, VERDICT_UNKNOWN, "no attacker has one address only");
	else if ((double)most <= limit && (double)tried <= limit)
		decide(out, VERDICT_UNKNOWN, "only %llu visits were tried",
		       (unsigned long long)tried);
	else
		decide(out, kept_if((double)most <= limit), "%s: %llu of %llu", who,
		       (unsigned long long)most, (unsigned long long)begun);
}

static void alive(const struct result *r, const struct promise *p, double limit,
		  struct judged *out)
{
	(void)p;
	(void)limit;
	if (!r->has_server)
		decide(out, VERDICT_UNKNOWN, "no --server-pid");
	else
		decide(out, kept_if(r->server_alive), "%s",
		       r->server_alive ? "the same processes"
				       : "it died or was restarted");
}

static void memory(const struct result *r, const struct promise *p, double limit,
		   struct judged *out)
{
	uint64_t held = sums_open_most(r, p->actor), more;
	char text[24], each[24];
	struct sums_cost cost;
	double kib;

	sums_cost(r, PHASE_ATTACK, &cost);
	if (!r->has_server) {
		decide(out, VERDICT_UNKNOWN, "no --server-pid");
		return;
	}
	if (!(cost.has & SERVER_HAS_PSS) || !(cost.has & SERVER_HAS_KERNEL)) {
		decide(out, VERDICT_UNKNOWN, "%s could not be read",
		       cost.has & SERVER_HAS_PSS ? "kernel memory" : "its PSS");
		return;
	}
	if (held < HELD_ENOUGH) {
		decide(out, VERDICT_UNKNOWN, "only %llu sessions were open at once",
		       (unsigned long long)held);
		return;
	}
	more = cost.both_most - cost.both_begin;
	kib = (double)more / 1024 / (double)held;
	sums_bytes((double)more, text);
	sums_bytes(kib * 1024, each);
	decide(out, kept_if(kib <= limit), "%s each: %s for %llu (kernel: %s)", each,
	       text, (unsigned long long)held, r->kernel_from);
}

/* Bytes of log at a time, from the looks; edges included. */
static double log_at(const struct result *r, ms_t at)
{
	const struct timed_look *before = &r->edges[PHASE_ATTACK];
	const struct timed_look *after = &r->edges[PHASE_AFTER];

	for (size_t i = 0; i < r->looks_n; i++) {
		const struct timed_look *l = &r->looks[i];

		if (l->at <= at && l->at > before->at)
			before = l;
		if (l->at >= at && l->at < after->at)
			after = l;
	}
	if (after->at <= before->at)
		return (double)before->look.log;
	return (double)before->look.log +
	       ((double)after->look.log - (double)before->look.log) *
		       (double)(at - before->at) / (double)(after->at - before->at);
}

/* A log that is limited may begin with a burst, so the second half says how it would go on. */
static double log_in_an_hour(const struct result *r, double seconds, double bytes)
{
	ms_t middle = (sums_from(r, PHASE_ATTACK) + sums_to(r, PHASE_ATTACK)) / 2;
	double rate = ((double)r->edges[PHASE_AFTER].look.log - log_at(r, middle)) /
		      (seconds / 2);

	return seconds >= HOUR ? bytes * HOUR / seconds : bytes + rate * (HOUR - seconds);
}

static void log_budget(const struct result *r, const struct promise *p, double limit,
		       struct judged *out)
{
	double seconds = sums_seconds(r, PHASE_ATTACK), hour;
	uint64_t refused = sums_refused(r, PHASE_ATTACK);
	char written[24], each[24], hours[24], budget[24], per_1000[60] = "";
	struct sums_cost cost;

	(void)p;
	(void)limit;
	sums_cost(r, PHASE_ATTACK, &cost);
	if (!r->has_server) {
		decide(out, VERDICT_UNKNOWN, "no --server-pid");
		return;
	}
	if (!(cost.has & SERVER_HAS_LOG) || seconds <= 0) {
		decide(out, VERDICT_UNKNOWN, "no log file was found: --server-log");
		return;
	}
	sums_bytes((double)cost.log, written);
	if (refused) {
		sums_bytes((double)cost.log * 1000 / (double)refused, each);
		snprintf(per_1000, sizeof(per_1000), ", %s per 1,000 refusals", each);
	}
	if (r->log_budget <= 0) {
		decide(out, VERDICT_UNKNOWN, "no --log-budget; %s in %.0f s%s", written,
		       seconds, per_1000);
		return;
	}
	hour = log_in_an_hour(r, seconds, (double)cost.log);
	sums_bytes(hour, hours);
	sums_bytes((double)r->log_budget, budget);
	/* what is within the budget yet may be stopped by it later: that takes longer to see */
	decide(out,
	       hour <= (double)r->log_budget		  ? VERDICT_KEPT
	       : (double)cost.log > (double)r->log_budget ? VERDICT_BROKEN
							  : VERDICT_UNKNOWN,
	       "%s in %.0f s, so %s an hour of %s if it goes on%s", written, seconds,
	       hours, budget, per_1000);
}

/* Of the attack and of what came after: what is summed up is written late. */
static void log_most(const struct result *r, const struct promise *p, double limit,
		     struct judged *out)
{
	uint64_t before = r->edges[PHASE_ATTACK].look.log;
	uint64_t end = r->edges[PHASE_COUNT].look.log;
	double grown = end > before ? (double)(end - before) : 0;
	uint64_t refused = sums_refused(r, PHASE_ATTACK);
	char text[24];

	(void)p;
	if (!r->has_server) {
		decide(out, VERDICT_UNKNOWN, "no --server-pid");
		return;
	}
	if (!(r->edges[PHASE_COUNT].look.has & SERVER_HAS_LOG)) {
		decide(out, VERDICT_UNKNOWN, "no log file was found: --server-log");
		return;
	}
	sums_bytes(grown, text);
	decide(out, kept_if(grown <= limit * 1024), "%s for %llu refusals", text,
	       (unsigned long long)refused);
}

static void held(const struct result *r, const struct promise *p, double limit,
		 struct judged *out)
{
	uint64_t open = sums_open_most(r, p->actor), wanted = 0;

	for (unsigned i = 0; i < r->scenario->actors_n; i++)
		if (sums_means(r, i, p->actor))
			wanted += r->scenario->actors[i].parallel;
	if (!wanted || !attack_of(r, p->actor).begun)
		decide(out, VERDICT_UNKNOWN, "nobody attacked");
	else
		decide(out, kept_if(100 * (double)open >= limit * (double)wanted),
		       "%.2f %%: %llu of %llu", 100 * (double)open / (double)wanted,
		       (unsigned long long)open, (unsigned long long)wanted);
}

static void not_accepted(const struct result *r, const struct promise *p, double limit,
			 struct judged *out)
{
	const struct tally_phase sum = attack_of(r, p->actor);
	uint64_t accepted = sum.heard[STAGE_BODY][0];

	(void)limit;
	if (accepted)
		decide(out, VERDICT_BROKEN, "%llu messages accepted",
		       (unsigned long long)accepted);
	else if (!sum.begun)
		decide(out, VERDICT_UNKNOWN, "nobody attacked");
	else
		decide(out, VERDICT_KEPT, "none of %llu visits",
		       (unsigned long long)sum.begun);
}

/* clang-format off */
static const struct rule rules[] = {
	{ "served", PROMISE_MAY_TAKE, UNIT_PER_CENT, ABOUT_HONEST, false, served, SERVED_LIMIT,
	  "# % of what honest clients want is done, and as fast as before" },
	{ "no-breach", PROMISE_TAKES_NOTHING, UNIT_NONE, ABOUT_ANY, false, no_breach, 0,
	  "no reply that must never come" },
	{ "falls", PROMISE_MUST_TAKE, UNIT_PER_CENT, ABOUT_ATTACKERS, true, falls, 0,
	  "after a quarter of the attack at most # % of its first visits come" },
	{ "refused-at-connect", PROMISE_MUST_TAKE, UNIT_VISITS, ABOUT_ATTACKERS, false,
	  refused_at_connect, 0, "at most # visits get past the greeting" },
	{ "alive", PROMISE_TAKES_NOTHING, UNIT_NONE, ABOUT_NOBODY, false, alive, 0,
	  "the server lives" },
	{ "memory", PROMISE_MUST_TAKE, UNIT_KIB, ABOUT_ATTACKERS, false, memory, 0,
	  "at most # KiB of memory for each session held" },
	{ "log-budget", PROMISE_TAKES_NOTHING, UNIT_NONE, ABOUT_NOBODY, false, log_budget, 0,
	  "the log stays within its budget" },
	{ "log-most", PROMISE_MUST_TAKE, UNIT_KIB, ABOUT_NOBODY, true, log_most, 0,
	  "attack and after log at most # KiB" },
	{ "held", PROMISE_MAY_TAKE, UNIT_PER_CENT, ABOUT_ATTACKERS, true, held, HELD_LIMIT,
	  "# % of the sessions asked for are held at once" },
	{ "not-accepted", PROMISE_TAKES_NOTHING, UNIT_NONE, ABOUT_ATTACKERS, false, not_accepted, 0,
	  "no message of an attacker is accepted" },
};
/* clang-format on */

static const struct rule *find(const char *word)
{
	for (size_t i = 0; i < COUNT_OF(rules); i++)
		if (strcmp(rules[i].word, word) == 0)
			return &rules[i];
	return NULL;
}

bool promise_known(const char *word)
{
	return find(word) != NULL;
}

enum promise_takes promise_takes(const char *word)
{
	const struct rule *rule = find(word);

	return rule ? rule->takes : PROMISE_TAKES_NOTHING;
}

static bool unknown(const char *word, struct err *e)
{
	char words[300] = "";

	for (size_t i = 0; i < COUNT_OF(rules); i++)
		add(words, sizeof(words), "%s%s", i ? ", " : "", rules[i].word);
	return err_set(e, "promise %s is not known; there are %s", word, words);
}

bool promise_check(const struct promise *p, const struct actor *about, struct err *e)
{
	const struct rule *rule = find(p->word);

	if (!rule)
		return unknown(p->word, e);
	if (p->has_limit && rule->takes == PROMISE_TAKES_NOTHING)
		return err_set(e, "promise %s takes no limit", p->word);
	if (!p->has_limit && rule->takes == PROMISE_MUST_TAKE)
		return err_set(e, "promise %s needs a limit, in %s", p->word,
			       rule->unit == UNIT_PER_CENT ? "per cent"
			       : rule->unit == UNIT_KIB	   ? "KiB"
							   : "visits");
	if (p->has_limit && !(p->limit >= 0 && p->limit < 1e9))
		return err_set(e, "promise %s: a limit is 0 or more", p->word);
	if (p->has_limit && rule->unit == UNIT_PER_CENT && p->limit > 100)
		return err_set(e, "promise %s: a limit in per cent is at most 100",
			       p->word);
	if (about && rule->about == ABOUT_NOBODY)
		return err_set(e, "promise %s is about no actor", p->word);
	if (about && about->honest && rule->about == ABOUT_ATTACKERS)
		return err_set(e, "promise %s is about attackers; %s is honest", p->word,
			       about->name);
	if (about && !about->honest && rule->about == ABOUT_HONEST)
		return err_set(e, "promise %s is about honest clients; %s attacks",
			       p->word, about->name);
	return true;
}

/* What a run that ended too early leaves open. */
static void doubt(const struct result *r, const struct rule *rule, struct judged *out)
{
	if (r->complete || out->verdict == VERDICT_UNKNOWN ||
	    (out->verdict == VERDICT_BROKEN && !rule->whole))
		return;
	out->verdict = VERDICT_UNKNOWN;
	add(out->found, sizeof(out->found), ", until the run ended too early");
}

/* What the rule says, with the limit in its place. */
static void say(struct judged *out, const char *says, double limit)
{
	int before = (int)strcspn(says, "#");

	add(out->says, sizeof(out->says), "%.*s", before, says);
	if (says[before])
		add(out->says, sizeof(out->says), "%g%s", limit, says + before + 1);
}

static void judge_one(const struct result *r, const struct promise *p, struct judged *out)
{
	const struct rule *rule = find(p->word);
	double limit;

	*out = (struct judged){ .word = p->word };
	if (!rule) { /* scenario.c lets none through */
		decide(out, VERDICT_UNKNOWN, "not a promise that can be judged");
		return;
	}
	limit = p->has_limit ? p->limit : rule->usual;
	snprintf(out->says, sizeof(out->says), "%s%s", p->actor ? p->actor : "",
		 p->actor ? ": " : "");
	say(out, rule->says, limit);
	rule->judge(r, p, limit, out);
	doubt(r, rule, out);
}

void result_judge(struct result *r)
{
	r->judged_n = 0;
	for (size_t i = 0; i < r->scenario->promises_n && i < PROMISES_MAX; i++)
		judge_one(r, &r->scenario->promises[i], &r->judged[r->judged_n++]);
}
