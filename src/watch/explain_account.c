#include "watch/explain_account.h"

#include "base/fields.h"
#include "guard/account_diagnosis.h"
#include "watch/asked.h"

struct telling {
	const struct view *v;
	struct span user;
	ms_t now;
	int64_t wall;
	const struct explain_to *to;
	struct account_state st;
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

/* A monotonic time, for people; left out if it never was. */
static void put_time(struct telling *t, const char *name, ms_t then)
{
	if (then)
		field_time(&t->out, name, t->wall - (t->now - then));
}

/* ---- the verdict ------------------------------------------------------------------------ */

static const char *state_of(const struct telling *t)
{
	const struct account_state *st = &t->st;

	if (t->v->accounts.limits.observe && (st->guarded || st->held))
		return "let in; would be guarded, but the guard only observes";
	if (st->guarded && st->held)
		return "guarded, and what new devices send is held";
	if (st->guarded)
		return "guarded: known devices as ever, right passwords from new places "
		       "after a delay";
	if (st->held)
		return "let in; what new devices send is held";
	return "let in";
}

static void put_lift(struct telling *t)
{
	uint8_t mem[ADDRESS_MAX + 64];
	struct buf text;

	if (!t->st.guarded && !t->st.held)
		return;
	buf_init(&text, mem, sizeof(mem));
	buf_fmt(&text, "holdfast user unguard %.*s", SPAN_ARG(t->user));
	field_text(&t->out, "lift", buf_span(&text));
}

static void tell_verdict(struct telling *t)
{
	begin(t, "verdict");
	field_text(&t->out, "about", t->user);
	put(t, "state", state_of(t));
	field_flag(&t->out, "guarded", t->st.guarded);
	put_time(t, "since", t->st.guarded_since);
	put_time(t, "until", t->st.guarded_until);
	field_flag(&t->out, "held", t->st.held);
	put_lift(t);
	finish(t);
}

/* ---- the evidence ----------------------------------------------------------------------- */

static void tell_diagnosis(struct telling *t)
{
	struct account_diagnosis d;
	uint8_t mem[400];
	struct buf says;

	account_diagnose(&t->st, t->v->accounts.limits.places, &d);
	begin(t, "diagnosis");
	put(t, "is", account_kind_table[d.kind].word);
	buf_init(&says, mem, sizeof(mem));
	account_sentence(&t->st, d.kind, &says);
	if (says.len)
		field_text(&t->out, "says", buf_span(&says));
	field_number(&t->out, "confidence", d.confidence);
	field_text(&t->out, "because", span_of(d.why, d.why_n));
	put(t, "means", account_kind_table[d.kind].doc);
	finish(t);
}

static void tell_history(struct telling *t)
{
	const struct account_state *st = &t->st;
	const struct accounts_limits *l = &t->v->accounts.limits;

	begin(t, "history");
	if (!st->known) {
		put(t, "remembered",
		    st->devices ? "its devices, and no login or failure of late"
				: "nothing: nobody tried it, or so long ago that it is "
				  "forgotten");
		field_number(&t->out, "known-devices", st->devices);
		finish(t);
		return;
	}
	field_number(&t->out, "logins", st->successes);
	put_time(t, "last-login", st->last_success);
	field_number(&t->out, "refused-over-limit", st->over);
	field_number(&t->out, "failures", st->failures);
	put_time(t, "last-failure", st->last_failure);
	if (st->last_failure)
		asked_field_addr(&t->out, "last-failure-from", &st->failed_from);
	field_number(&t->out, "different-wrong-passwords", st->secrets_wrong);
	field_number(&t->out, "networks-with-wrong-ones", st->places_wrong);
	field_number(&t->out, "guarded-at-networks", l->guarded_at);
	field_number(&t->out, "attempts-per-hour", st->per_hour);
	field_number(&t->out, "known-devices", st->devices);
	field_number(&t->out, "new-devices-today", st->new_devices);
	field_number(&t->out, "places-today", st->places_today);
	field_number(&t->out, "held-at-places", l->places);
	field_flag(&t->out, "sprayed", st->sprayed);
	finish(t);
}

static void tell_stale(struct telling *t)
{
	if (!t->st.stale)
		return;
	begin(t, "stale");
	asked_field_addr(&t->out, "from", &t->st.stale_from);
	put_time(t, "since", t->st.stale_since);
	put(t, "what", "a device keeps giving an old password; it is only ever told so");
	put(t, "lift", "set the new password on that device");
	finish(t);
}

static const char *const storm_word[STORM_KINDS] = {
	[STORM_OVER] = "right passwords, and as many sessions as it may have",
	[STORM_SAME] = "the same wrong password",
};

static void tell_run(struct telling *t)
{
	const struct account_run *r = &t->st.run;

	if (r->count == 0)
		return;
	begin(t, "storm");
	asked_field_addr(&t->out, "from", &r->from);
	put(t, "what", storm_word[r->kind]);
	field_number(&t->out, "times", r->count);
	put_time(t, "since", r->since);
	put_time(t, "last", r->last);
	field_number(&t->out, "in-seconds", r->lasted + 1);
	field_number(&t->out, "came-in-seconds", r->seconds);
	field_number(&t->out, "programs", r->clients);
	if (r->kind == STORM_OVER) {
		field_number(&t->out, "sessions-open", r->open);
		field_number(&t->out, "limit-of-network",
			     t->v->accounts.limits.per_network);
		field_number(&t->out, "limit-of-user", t->v->accounts.limits.per_user);
	}
	field_text(&t->out, "client", span_of(r->name, r->name_n));
	field_text(&t->out, "tls-hello", span_of(r->hello, r->hello_n));
	finish(t);
}

/* ---- campaigns -------------------------------------------------------------------------- */

static void put_campaign(struct telling *t, const struct campaign_state *c)
{
	field_number(&t->out, "campaign", c->number);
	put(t, "by", c->by);
	put_time(t, "since", c->since);
	put_time(t, "last", c->last);
	field_number(&t->out, "members", c->members);
	field_number(&t->out, "attempts", c->attempts);
	field_number(&t->out, "refused-unseen", c->refused);
	field_number(&t->out, "users", c->users);
	put(t, "cadence", cadence_word[c->cadence]);
	put(t, "tries", c->sample);
}

static void tell_campaign(struct telling *t)
{
	struct campaign_state c;

	for (size_t i = 0; t->st.campaign && i < t->v->accounts.shape.campaigns; i++) {
		if (!accounts_campaign(&t->v->accounts, i, t->now, &c) ||
		    c.number != t->st.campaign)
			continue;
		begin(t, "campaign");
		put_campaign(t, &c);
		finish(t);
		return;
	}
}

size_t explain_campaigns(const struct view *v, ms_t now, int64_t wall,
			 const struct explain_to *to)
{
	struct telling t = { .v = v, .now = now, .wall = wall, .to = to };
	struct campaign_state c;
	size_t n = 0;

	for (size_t i = 0; v->has_accounts && i < v->accounts.shape.campaigns; i++) {
		if (!accounts_campaign(&v->accounts, i, now, &c))
			continue;
		buf_init(&t.out, t.mem, sizeof(t.mem));
		put_campaign(&t, &c);
		finish(&t);
		n++;
	}
	return n;
}

void explain_account(const struct view *v, struct span user, ms_t now, int64_t wall,
		     const struct explain_to *to)
{
	struct telling t = { .v = v, .user = user, .now = now, .wall = wall, .to = to };

	if (v->has_accounts)
		accounts_state(&v->accounts, user, now, wall, &t.st);
	tell_verdict(&t);
	if (t.st.known)
		tell_diagnosis(&t);
	tell_history(&t);
	tell_stale(&t);
	tell_run(&t);
	tell_campaign(&t);
}
