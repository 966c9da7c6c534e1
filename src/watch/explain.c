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
	const struct explain_to *to;
	struct view_fate fate;
	bool known; /* row is there */
	struct guard_hot row;
	uint8_t mem[ROW_MAX];
	struct buf out;
};

static void begin(struct telling *t, const char *part)
{
	buf_init(&t->out, t->mem, sizeof(t->mem));
	field_text(&t->out, "part", span_str(part));
}

static void finish(struct telling *t)
{
	t->to->row(t->to->arg, &t->out);
}

static void put(struct telling *t, const char *name, const char *text)
{
	field_text(&t->out, name, span_str(text));
}

/* A time in the guard's memory; left out if it never was. */
static void put_second(struct telling *t, const char *name, gsec_t at)
{
	if (at)
		field_time(&t->out, name, view_wall(at, t->now, t->wall));
}

/* An end: a time, or a word for those that have none. */
static void put_until(struct telling *t, int64_t until)
{
	if (until == INT64_MAX)
		put(t, "until", "for good");
	else if (until)
		field_time(&t->out, "until", until);
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
		field_text(&t->out, "lift", buf_span(&text));
}

static void put_source(struct telling *t)
{
	const struct view_fate *f = &t->fate;

	if (f->by == BY_ACCESS) {
		field_text(&t->out, "file", span_head(f->hit.file, TEXT_MAX));
		field_number(&t->out, "line", f->hit.line);
		if (f->hit.why.n)
			field_text(&t->out, "why", span_head(f->hit.why, TEXT_MAX));
	}
	if (f->by == BY_ORDER && f->order.why[0])
		field_text(&t->out, "why",
			   span_of(f->order.why, strnlen(f->order.why, ORDER_WHY_MAX)));
}

static void tell_verdict(struct telling *t)
{
	const struct view_fate *f = &t->fate;

	begin(t, "verdict");
	asked_field_net(&t->out, "about", &t->what->net);
	put(t, "state", state_of(f));
	put(t, "decided-by", decided_by(f));
	if (f->by != BY_NOBODY)
		asked_field_net(&t->out, "decided-for", &f->net);
	if (f->rule != RULE_NONE) {
		put(t, "rule", rule_table[f->rule].word);
		put(t, "rule-says", rule_table[f->rule].doc);
	}
	if (f->since)
		field_time(&t->out, "since", f->since);
	put_until(t, f->until);
	put_source(t);
	put_lift(t);
	finish(t);
}

static void tell_code(struct telling *t)
{
	const struct rule_row *rule = &rule_table[t->what->code_rule];

	if (!t->what->code)
		return;
	begin(t, "code");
	put(t, "code", t->what->code);
	put(t, "rule", rule->word);
	put(t, "rule-says", rule->doc);
	asked_field_net(&t->out, "client", &t->what->net);
	finish(t);
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
		const struct distinct *d = &t->row.variety[varieties[i].of];
		uint32_t n = distinct_count(d);

		if (n == 0)
			continue;
		field_number(&t->out, varieties[i].name, n);
		about |= !distinct_is_exact(d);
	}
	if (about)
		put(t, "different-are", "estimates where above 8, about 13 % off");
}

/* Logins make known-good as well; without them `good` tells also of what was forgotten. */
static uint32_t messages_of(const struct guard_hot *r)
{
	return r->seen[EV_AUTH_OK] ? r->seen[EV_MESSAGE_OK] : r->good;
}

static void tell_history(struct telling *t)
{
	const struct guard_hot *r = &t->row;

	begin(t, "history");
	put_second(t, "first", r->first);
	put_second(t, "last", r->last);
	put_second(t, "last-offence", r->offended);
	field_number(&t->out, "sessions-now", r->sessions);
	field_number(&t->out, "connections", r->connects);
	asked_field_real(&t->out, "connections-per-hour", guard_per_hour(r, t->now));
	field_number(&t->out, "refused-at-connect", r->refused);
	field_number(&t->out, "visits-with-offences", r->visits);
	field_number(&t->out, "messages-accepted", messages_of(r));
	field_number(&t->out, "logins", r->seen[EV_AUTH_OK]);
	put_varieties(t);
	field_number(&t->out, "bytes-received", (int64_t)(r->bytes & INT64_MAX));
	field_number(&t->out, "cpu-ms", (int64_t)(r->busy_us / 1000));
	finish(t);
}

static void put_flags(struct telling *t, uint8_t flags)
{
	field_flag(&t->out, "waited-for-greeting", (flags & HOT_PASSED) != 0);
	field_flag(&t->out, "has-no-ptr", (flags & HOT_NO_PTR) != 0);
	field_flag(&t->out, "on-a-dns-blocklist", (flags & HOT_LISTED) != 0);
	field_flag(&t->out, "behind-proxy", (flags & HOT_BEHIND) != 0);
}

static void tell_standing(struct telling *t)
{
	const struct guard_limits *l = &t->v->guard.limits;
	int64_t share = guard_key_share(guard_key_level(t->row.key));
	struct net net = guard_key_net(t->row.key);
	int64_t pardoned = view_pardoned(t->v, &net);

	begin(t, "standing");
	asked_field_net(&t->out, "of", &net);
	asked_field_real(&t->out, "points", guard_fast(&t->row, l, t->now));
	field_number(&t->out, "delayed-at", l->delay_at * share);
	field_number(&t->out, "refused-late-at", l->late_at * share);
	field_number(&t->out, "banned-at", l->ban_at * share);
	asked_field_real(&t->out, "history-points", guard_slow(&t->row, l, t->now));
	field_number(&t->out, "banned-at-history", l->ban_history_at * share);
	field_flag(&t->out, "known-good", guard_is_good(&t->row, l, t->now));
	field_number(&t->out, "known-good-after", l->good_after);
	if (pardoned)
		field_time(&t->out, "pardoned", pardoned);
	put_flags(t, t->row.flags);
	finish(t);
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
		field_text(&t->out, "earlier", buf_span(&text));
	return text.len > 0;
}

static void tell_seen(struct telling *t)
{
	bool any = false;

	begin(t, "seen");
	for (int e = EV_NONE + 1; e < EVENT_COUNT; e++) {
		if (t->row.seen[e] == 0)
			continue;
		field_number(&t->out, event_table[e].word, t->row.seen[e]);
		any = true;
	}
	any |= put_earlier(t);
	if (any)
		finish(t);
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
	field_text(&t->out, "effect", buf_span(&text));
	asked_field_real(&t->out, "before-per-hour", (double)ban->before);
	asked_field_real(&t->out, "after-per-hour", after);
}

static void tell_ban(struct telling *t)
{
	const struct guard_ban *ban = &t->row.ban;
	bool holds = guard_ban_holds(&t->row, t->now);

	if (ban->since == 0 && ban->until == 0)
		return;
	begin(t, "ban");
	put(t, "state",
	    view_banned(t->v, &t->row, t->now, t->wall) ? "in force"
	    : holds					? "lifted"
							: "over");
	put(t, "rule", ban->rule < RULE_COUNT ? rule_table[ban->rule].word : "?");
	put(t, "step", ban->step < STEP_COUNT ? guard_step_word[ban->step] : "?");
	field_flag(&t->out, "observed", ban->observed != 0);
	put_second(t, "since", ban->since);
	put_second(t, "until", ban->until);
	field_number(&t->out, "bans-so-far", ban->level);
	asked_field_real(&t->out, "points-then", (double)ban->points);
	field_number(&t->out, "tries-since", ban->tries);
	if (ban->since)
		put_effect(t, ban);
	finish(t);
}

/* ---- who else lives there ---------------------------------------------------------- */

static void tell_prefix(struct telling *t, enum guard_level level)
{
	const struct guard_limits *l = &t->v->guard.limits;
	struct guard_key key = guard_key_of(&t->what->net.addr, level);
	struct net net = guard_key_net(key);
	struct guard_hot row;

	if (net.bits >= t->what->net.bits || !memory_peek(&t->v->guard.memory, key, &row))
		return;
	begin(t, "prefix");
	asked_field_net(&t->out, "prefix", &net);
	put(t, "state",
	    view_banned(t->v, &row, t->now, t->wall)
		    ? row.ban.observed ? "would be refused" : "refused at connect"
		    : "let in");
	field_number(&t->out, "offenders", distinct_count(&row.variety[VARIETY_CLIENTS]));
	field_number(&t->out, "banned-at-offenders", l->prefix_offenders);
	field_number(&t->out, "known-good-inside", row.good_inside);
	field_number(&t->out, "sessions-now", row.sessions);
	field_number(&t->out, "connections", row.connects);
	field_number(&t->out, "refused-at-connect", row.refused);
	asked_field_real(&t->out, "points", guard_fast(&row, l, t->now));
	field_number(&t->out, "banned-at", l->ban_at * guard_key_share(level));
	asked_field_real(&t->out, "history-points", guard_slow(&row, l, t->now));
	if (view_banned(t->v, &row, t->now, t->wall))
		put_second(t, "until", row.ban.until);
	finish(t);
}

void inside_add(struct inside *in, const struct view *v, const struct guard_hot *row,
		ms_t now, int64_t wall)
{
	double points;
	size_t at;

	points = guard_fast(row, &v->guard.limits, now) +
		 guard_slow(row, &v->guard.limits, now);
	in->clients++;
	in->offenders += row->visits > 0;
	in->known_good += guard_is_good(row, &v->guard.limits, now);
	in->banned += view_banned(v, row, now, wall);
	in->sessions += row->sessions;
	in->connects += row->connects;
	in->refused += row->refused;
	for (at = in->worst_count; at > 0 && in->points[at - 1] < points; at--) {
		if (at == EXPLAIN_CLIENTS)
			continue;
		in->worst[at] = in->worst[at - 1];
		in->points[at] = in->points[at - 1];
	}
	if (at == EXPLAIN_CLIENTS)
		return;
	in->worst[at] = *row;
	in->points[at] = points;
	in->worst_count += in->worst_count < EXPLAIN_CLIENTS;
}

static void tell_client(struct telling *t, const struct guard_hot *row)
{
	const struct guard_limits *l = &t->v->guard.limits;
	struct net net = guard_key_net(row->key);

	begin(t, "client");
	asked_field_net(&t->out, "client", &net);
	asked_field_real(&t->out, "points", guard_fast(row, l, t->now));
	asked_field_real(&t->out, "history-points", guard_slow(row, l, t->now));
	field_flag(&t->out, "banned", view_banned(t->v, row, t->now, t->wall));
	field_flag(&t->out, "known-good", guard_is_good(row, l, t->now));
	field_number(&t->out, "connections", row->connects);
	field_number(&t->out, "messages-accepted", row->good);
	put_second(t, "last", row->last);
	finish(t);
}

static void tell_inside(struct telling *t)
{
	const struct inside *in = t->what->inside;

	if (!in)
		return;
	begin(t, "inside");
	asked_field_net(&t->out, "prefix", &in->net);
	field_number(&t->out, "clients", (int64_t)in->clients);
	field_number(&t->out, "offenders", (int64_t)in->offenders);
	field_number(&t->out, "known-good", (int64_t)in->known_good);
	field_number(&t->out, "banned", (int64_t)in->banned);
	field_number(&t->out, "sessions-now", (int64_t)in->sessions);
	field_number(&t->out, "connections", (int64_t)in->connects);
	field_number(&t->out, "refused-at-connect", (int64_t)in->refused);
	if (in->partial)
		field_flag(&t->out, "partial", true);
	finish(t);
	for (size_t i = 0; i < in->worst_count; i++)
		tell_client(t, &in->worst[i]);
}

/* ---- what it is -------------------------------------------------------------------- */

static void tell_diagnosis(struct telling *t)
{
	struct diagnosis d = { 0 };
	struct evidence e;

	evidence_of(&t->row, t->now, &e);
	diagnose(&e, &d);
	if (d.kind >= DIAGNOSIS_COUNT)
		return;
	begin(t, "diagnosis");
	put(t, "is", diagnosis_table[d.kind].word);
	field_number(&t->out, "confidence", d.confidence);
	if (d.why_n)
		field_text(&t->out, "because", span_of(d.why, d.why_n));
	put(t, "advice", diagnosis_table[d.kind].doc);
	finish(t);
}

static void tell_nothing(struct telling *t)
{
	begin(t, "history");
	put(t, "remembered",
	    !t->v->has_memory ? "the guard's memory cannot be read"
	    : t->what->inside ? "nothing about it as a whole; see what is inside"
			      : "nothing: it was not here, or so long ago that it is "
				"forgotten");
	finish(t);
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
	struct telling t = { .v = v, .what = what, .now = now, .wall = wall, .to = to };
	struct guard_key key;

	view_fate(v, &what->net, now, wall, &t.fate);
	t.known = v->has_memory && key_of(&what->net, &key) &&
		  memory_peek(&v->guard.memory, key, &t.row);
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
