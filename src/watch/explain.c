#include "watch/explain.h"

#include "base/fields.h"
#include "base/number.h"
#include "guard/diagnosis.h"
#include "watch/asked.h"

struct telling {
	const struct view *v;
	const struct explain *what;
	ms_t now;
	int64_t wall;
	struct view_fate fate;
	bool known; /* row and did are there */
	struct guard_hot row;
	struct guard_detail did;
	struct part part;
};

/* A time in the guard's memory; left out if it never was. */
static void put_second(struct telling *t, const char *name, gsec_t at)
{
	if (at)
		field_time(&t->part.out, name, view_wall(at, t->now, t->wall));
}

/* An end: a time, or a word for those that have none. */
static void put_until(struct telling *t, int64_t until)
{
	if (until == INT64_MAX)
		part_put(&t->part, "until", "for good");
	else if (until)
		field_time(&t->part.out, "until", until);
}

/* ---- the verdict ------------------------------------------------------------------- */

static const char *state_of(const struct view_fate *f)
{
	if (f->observed && f->by == BY_STANDING)
		return "let in; would be answered worse, but the guard only observes";
	if (f->observed)
		return "let in; would be refused, but the guard only observes";
	if (f->by == BY_STANDING)
		return f->step == STEP_LATE ? "let in; senders and recipients are refused"
					    : "let in; answers to offences are delayed";
	if (!f->in)
		return f->step == STEP_KERNEL ? "refused: dropped by the kernel"
		       : f->step == STEP_DROP ? "refused: closed without a word"
					      : "refused at connect";
	if (f->by == BY_ACCESS || f->by == BY_ORDER)
		return "let in, whatever it does";
	return f->known_good ? "let in, known-good" : "let in";
}

static const char *decided_by(const struct view_fate *f)
{
	switch (f->by) {
	case BY_ACCESS:
		return "an access list";
	case BY_ORDER:
		return "the administrator";
	case BY_LOCKDOWN:
		return "the lockdown";
	case BY_BAN:
		return "the guard";
	case BY_STANDING:
		return "its points";
	case BY_NOBODY:
		break;
	}
	return "nothing is against it";
}

void explain_lift(const struct view_fate *f, const struct net *net, struct buf *out)
{
	switch (f->by) {
	case BY_ORDER:
		buf_fmt(out, f->order.kind == ORDER_ALLOW ? "holdfast allow --remove "
							  : "holdfast unban ");
		net_print(&f->net, out);
		break;
	case BY_BAN:
		buf_fmt(out, "holdfast unban ");
		net_print(&f->net, out);
		break;
	case BY_STANDING:
		buf_fmt(out, "holdfast unban ");
		net_print(net, out);
		break;
	case BY_LOCKDOWN:
		buf_fmt(out, "holdfast lockdown off");
		break;
	case BY_ACCESS:
		if (f->hit.line)
			buf_fmt(out, "change line %u of %.*s, then: holdfast reload",
				(unsigned)f->hit.line,
				SPAN_ARG(span_head(f->hit.file, TEXT_MAX)));
		else
			buf_fmt(out,
				"change `%s` in the configuration, then: holdfast "
				"reload",
				f->in ? "allow" : "deny");
		break;
	case BY_NOBODY:
		break;
	}
}

static void put_lift(struct telling *t)
{
	uint8_t mem[TEXT_MAX + 128];
	struct buf text;

	buf_init(&text, mem, sizeof(mem));
	explain_lift(&t->fate, &t->what->net, &text);
	if (text.len)
		field_text(&t->part.out, "lift", buf_span(&text));
}

static void put_source(struct telling *t)
{
	const struct view_fate *f = &t->fate;

	if (f->by == BY_ACCESS) {
		field_text(&t->part.out, "file", span_head(f->hit.file, TEXT_MAX));
		field_number(&t->part.out, "line", f->hit.line);
		if (f->hit.why.n)
			field_text(&t->part.out, "why", span_head(f->hit.why, TEXT_MAX));
	}
	if (f->by == BY_ORDER && f->order.why[0])
		field_text(&t->part.out, "why",
			   span_of(f->order.why, strnlen(f->order.why, ORDER_WHY_MAX)));
}

static void tell_verdict(struct telling *t)
{
	const struct view_fate *f = &t->fate;

	part_begin(&t->part, "verdict");
	asked_field_net(&t->part.out, "about", &t->what->net);
	part_put(&t->part, "state", state_of(f));
	part_put(&t->part, "decided-by", decided_by(f));
	if (f->by != BY_NOBODY)
		asked_field_net(&t->part.out, "decided-for", &f->net);
	if (f->rule != RULE_NONE) {
		part_put(&t->part, "rule", rule_table[f->rule].word);
		part_put(&t->part, "rule-says", rule_table[f->rule].doc);
	}
	if (f->since)
		field_time(&t->part.out, "since", f->since);
	put_until(t, f->until);
	put_source(t);
	put_lift(t);
	part_end(&t->part);
}

static void tell_code(struct telling *t)
{
	const struct rule_row *rule = &rule_table[t->what->code_rule];

	if (!t->what->code)
		return;
	part_begin(&t->part, "code");
	part_put(&t->part, "code", t->what->code);
	part_put(&t->part, "rule", rule->word);
	part_put(&t->part, "rule-says", rule->doc);
	asked_field_net(&t->part.out, "client", &t->what->net);
	part_end(&t->part);
}

/* ---- what is remembered ------------------------------------------------------------ */

static const struct {
	enum guard_variety of;
	const char *name;
} varieties[] = {
	{ VARIETY_RECIPIENTS, "different-recipients-refused" },
	{ VARIETY_SENDERS, "different-senders" },
	{ VARIETY_NAMES, "different-helo-names" },
	{ VARIETY_CLIENTS, "different-clients-offended" },
};

static void put_varieties(struct telling *t)
{
	bool about = false;

	for (size_t i = 0; i < COUNT_OF(varieties); i++) {
		const struct distinct *d = &t->did.variety[varieties[i].of];
		uint32_t n = distinct_count(d);

		if (n == 0)
			continue;
		field_number(&t->part.out, varieties[i].name, n);
		about |= !distinct_is_exact(d);
	}
	if (about)
		part_put(&t->part, "different-are",
			 "estimates where above 8, about 13 % off");
}

/* Logins make known-good as well; without them `good` tells also of what was forgotten. */
static uint32_t messages_of(const struct telling *t)
{
	return t->did.seen[EV_AUTH_OK] ? t->did.seen[EV_MESSAGE_OK] : t->row.good;
}

static void tell_history(struct telling *t)
{
	const struct guard_hot *r = &t->row;

	part_begin(&t->part, "history");
	put_second(t, "first", r->first);
	put_second(t, "last", r->last);
	put_second(t, "last-offence", r->offended);
	field_number(&t->part.out, "sessions-now", r->sessions);
	field_number(&t->part.out, "connections", r->connects);
	asked_field_real(&t->part.out, "connections-per-hour", guard_per_hour(r, t->now));
	field_number(&t->part.out, "refused-at-connect", r->refused);
	field_number(&t->part.out, "visits-with-offences", r->visits);
	field_number(&t->part.out, "messages-accepted", messages_of(t));
	field_number(&t->part.out, "logins", t->did.seen[EV_AUTH_OK]);
	put_varieties(t);
	field_number(&t->part.out, "bytes-received", (int64_t)(r->bytes & INT64_MAX));
	field_number(&t->part.out, "cpu-ms", (int64_t)(r->busy_us / 1000));
	part_end(&t->part);
}

static void put_flags(struct telling *t, uint8_t flags)
{
	field_flag(&t->part.out, "waited-for-greeting", (flags & HOT_PASSED) != 0);
	field_flag(&t->part.out, "has-no-ptr", (flags & HOT_NO_PTR) != 0);
	field_flag(&t->part.out, "on-a-dns-blocklist", (flags & HOT_LISTED) != 0);
	field_flag(&t->part.out, "behind-proxy", (flags & HOT_BEHIND) != 0);
}

static void tell_standing(struct telling *t)
{
	const struct guard_limits *l = &t->v->guard.limits;
	int64_t share = guard_key_share(guard_key_level(t->row.key));
	struct net net = guard_key_net(t->row.key);
	int64_t pardoned = view_pardoned(t->v, &net);

	part_begin(&t->part, "standing");
	asked_field_net(&t->part.out, "of", &net);
	asked_field_real(&t->part.out, "points", guard_fast(&t->row, l, t->now));
	field_number(&t->part.out, "delayed-at", l->delay_at * share);
	field_number(&t->part.out, "refused-late-at", l->late_at * share);
	field_number(&t->part.out, "banned-at", l->ban_at * share);
	asked_field_real(&t->part.out, "history-points", guard_slow(&t->row, l, t->now));
	field_number(&t->part.out, "banned-at-history", l->ban_history_at * share);
	field_flag(&t->part.out, "known-good", guard_is_good(&t->row, l, t->now));
	field_number(&t->part.out, "known-good-after", l->good_after);
	if (pardoned)
		field_time(&t->part.out, "pardoned", pardoned);
	put_flags(t, t->row.flags);
	part_end(&t->part);
}

/* What it did before its counts were forgotten, as far as cold memory holds it. */
static bool put_earlier(struct telling *t)
{
	uint8_t mem[128];
	struct buf text;

	buf_init(&text, mem, sizeof(mem));
	for (unsigned i = SAYS_NOTHING + 1; i < SAYS_COUNT; i++)
		if (t->row.says & (1u << i))
			buf_fmt(&text, "%s%s", text.len ? " " : "", says_word[i]);
	if (text.len)
		field_text(&t->part.out, "earlier", buf_span(&text));
	return text.len > 0;
}

static void tell_seen(struct telling *t)
{
	bool any = false;

	part_begin(&t->part, "seen");
	for (int e = EV_NONE + 1; e < EVENT_COUNT; e++) {
		if (t->did.seen[e] == 0)
			continue;
		field_number(&t->part.out, event_table[e].word, t->did.seen[e]);
		any = true;
	}
	any |= put_earlier(t);
	if (any)
		part_end(&t->part);
}

/* "12.4 tries per hour before, 0.3 since" */
static void put_effect(struct telling *t, const struct guard_ban *ban)
{
	double after = view_tries_after(ban, t->now);
	uint8_t mem[96];
	struct buf text;

	buf_init(&text, mem, sizeof(mem));
	buf_fmt(&text, "%.1f tries per hour before, %.1f since", (double)ban->before,
		after);
	field_text(&t->part.out, "effect", buf_span(&text));
	asked_field_real(&t->part.out, "before-per-hour", (double)ban->before);
	asked_field_real(&t->part.out, "after-per-hour", after);
}

static void tell_ban(struct telling *t)
{
	const struct guard_ban *ban = &t->row.ban;
	bool holds = guard_ban_holds(&t->row, t->now);

	if (ban->since == 0 && ban->until == 0)
		return;
	part_begin(&t->part, "ban");
	part_put(&t->part, "state",
		 view_banned(t->v, &t->row, t->now, t->wall) ? "in force"
		 : holds				     ? "lifted"
							     : "over");
	part_put(&t->part, "rule",
		 ban->rule < RULE_COUNT ? rule_table[ban->rule].word : "?");
	part_put(&t->part, "step",
		 ban->step < STEP_COUNT ? guard_step_word[ban->step] : "?");
	field_flag(&t->part.out, "observed", ban->observed != 0);
	put_second(t, "since", ban->since);
	put_second(t, "until", ban->until);
	field_number(&t->part.out, "bans-so-far", ban->level);
	asked_field_real(&t->part.out, "points-then", (double)ban->points);
	field_number(&t->part.out, "tries-since", ban->tries);
	if (ban->since)
		put_effect(t, ban);
	part_end(&t->part);
}

/* ---- who else lives there ---------------------------------------------------------- */

static void tell_prefix(struct telling *t, enum guard_level level)
{
	const struct guard_limits *l = &t->v->guard.limits;
	struct guard_key key = guard_key_of(&t->what->net.addr, level);
	struct net net = guard_key_net(key);
	struct guard_detail did;
	struct guard_hot row;

	if (net.bits >= t->what->net.bits ||
	    !memory_peek_all(&t->v->guard.memory, key, &row, &did))
		return;
	part_begin(&t->part, "prefix");
	asked_field_net(&t->part.out, "prefix", &net);
	part_put(&t->part, "state",
		 view_banned(t->v, &row, t->now, t->wall)
			 ? row.ban.observed ? "would be refused" : "refused at connect"
			 : "let in");
	field_number(&t->part.out, "offenders",
		     distinct_count(&did.variety[VARIETY_CLIENTS]));
	field_number(&t->part.out, "banned-at-offenders", l->prefix_offenders);
	field_number(&t->part.out, "known-good-inside", row.good_inside);
	field_number(&t->part.out, "sessions-now", row.sessions);
	field_number(&t->part.out, "connections", row.connects);
	field_number(&t->part.out, "refused-at-connect", row.refused);
	asked_field_real(&t->part.out, "points", guard_fast(&row, l, t->now));
	field_number(&t->part.out, "banned-at", l->ban_at * guard_key_share(level));
	asked_field_real(&t->part.out, "history-points", guard_slow(&row, l, t->now));
	if (view_banned(t->v, &row, t->now, t->wall))
		put_second(t, "until", row.ban.until);
	part_end(&t->part);
}

static void tell_client(struct telling *t, const struct guard_hot *row)
{
	const struct guard_limits *l = &t->v->guard.limits;
	struct net net = guard_key_net(row->key);

	part_begin(&t->part, "client");
	asked_field_net(&t->part.out, "client", &net);
	asked_field_real(&t->part.out, "points", guard_fast(row, l, t->now));
	asked_field_real(&t->part.out, "history-points", guard_slow(row, l, t->now));
	field_flag(&t->part.out, "banned", view_banned(t->v, row, t->now, t->wall));
	field_flag(&t->part.out, "known-good", guard_is_good(row, l, t->now));
	field_number(&t->part.out, "connections", row->connects);
	field_number(&t->part.out, "messages-accepted", row->good);
	put_second(t, "last", row->last);
	part_end(&t->part);
}

static void tell_inside(struct telling *t)
{
	const struct inside *in = t->what->inside;

	if (!in)
		return;
	part_begin(&t->part, "inside");
	asked_field_net(&t->part.out, "prefix", &in->net);
	field_number(&t->part.out, "clients", (int64_t)in->clients);
	field_number(&t->part.out, "offenders", (int64_t)in->offenders);
	field_number(&t->part.out, "known-good", (int64_t)in->known_good);
	field_number(&t->part.out, "banned", (int64_t)in->banned);
	field_number(&t->part.out, "sessions-now", (int64_t)in->sessions);
	field_number(&t->part.out, "connections", (int64_t)in->connects);
	field_number(&t->part.out, "refused-at-connect", (int64_t)in->refused);
	if (in->partial)
		field_flag(&t->part.out, "partial", true);
	part_end(&t->part);
	for (size_t i = 0; i < in->worst_count; i++)
		tell_client(t, &in->worst[i]);
}

/* ---- what it is -------------------------------------------------------------------- */

static void tell_diagnosis(struct telling *t)
{
	struct diagnosis d = { 0 };
	struct evidence e;

	evidence_of(&t->row, &t->did, t->now, &e);
	diagnose(&e, &d);
	if (d.kind >= DIAGNOSIS_COUNT)
		return;
	part_begin(&t->part, "diagnosis");
	part_put(&t->part, "is", diagnosis_table[d.kind].word);
	field_number(&t->part.out, "confidence", d.confidence);
	if (d.why_n)
		field_text(&t->part.out, "because", span_of(d.why, d.why_n));
	part_put(&t->part, "advice", diagnosis_table[d.kind].doc);
	part_end(&t->part);
}

static void tell_nothing(struct telling *t)
{
	part_begin(&t->part, "history");
	part_put(&t->part, "remembered",
		 !t->v->has_memory ? "the guard's memory cannot be read"
		 : t->what->inside ? "nothing about it as a whole; see what is inside"
				   : "nothing: it was not here, or so long ago that it is "
				     "forgotten");
	part_end(&t->part);
}

/* The key that stands for all of it: a client, or a prefix of just that length. */
static bool key_of(const struct net *net, struct guard_key *out)
{
	if (guard_key_from_net(net, out))
		return true;
	*out = guard_key_of(&net->addr, LEVEL_CLIENT);
	return guard_key_net(*out).bits <= net->bits;
}

void explain(const struct view *v, const struct explain *what, ms_t now, int64_t wall,
	     const struct explain_to *to)
{
	struct telling t = { .v = v, .what = what, .now = now, .wall = wall, .part.to = to };
	struct guard_key key;

	view_fate(v, &what->net, now, wall, &t.fate);
	t.known = v->has_memory && key_of(&what->net, &key) &&
		  memory_peek_all(&v->guard.memory, key, &t.row, &t.did);
	tell_code(&t);
	tell_verdict(&t);
	if (t.known) {
		tell_diagnosis(&t);
		tell_history(&t);
		tell_seen(&t);
		tell_standing(&t);
		tell_ban(&t);
	} else {
		tell_nothing(&t);
	}
	if (v->has_memory) {
		tell_prefix(&t, LEVEL_NEAR);
		tell_prefix(&t, LEVEL_WIDE);
	}
	tell_inside(&t);
}
