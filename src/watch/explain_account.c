#include "watch/explain_account.h"

#include "base/fields.h"
#include "guard/account_diagnosis.h"
#include "watch/asked.h"

struct telling {
	const struct view *v;
	const struct account_facts *facts; /* NULL: of no account */
	struct span user;
	ms_t now;
	int64_t wall;
	struct account_state st;
	struct part part;
};

/* A monotonic time, for people; left out if it never was. */
static void put_time(struct telling *t, const char *name, ms_t then)
{
	if (then)
		field_time(&t->part.out, name, t->wall - (t->now - then));
}

/* ---- the verdict ------------------------------------------------------------------------ */

static const char *state_of(const struct telling *t)
{
	const struct account_state *st = &t->st;

	if (t->facts->disabled)
		return "disabled: nobody is let in, whatever the password";
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
	field_text(&t->part.out, "lift", buf_span(&text));
}

static void tell_verdict(struct telling *t)
{
	part_begin(&t->part, "verdict");
	field_text(&t->part.out, "about", t->user);
	part_put(&t->part, "state", state_of(t));
	field_flag(&t->part.out, "guarded", t->st.guarded);
	put_time(t, "since", t->st.guarded_since);
	put_time(t, "until", t->st.guarded_until);
	field_flag(&t->part.out, "held", t->st.held);
	if (t->facts->auth_says)
		field_flag(&t->part.out, "disabled", t->facts->disabled);
	put_lift(t);
	part_end(&t->part);
}

static void put_command(struct telling *t, const char *before, const char *behind)
{
	uint8_t mem[ADDRESS_MAX + 80];
	struct buf text;

	buf_init(&text, mem, sizeof(mem));
	buf_fmt(&text, "%s%.*s%s", before, SPAN_ARG(t->user), behind);
	field_text(&t->part.out, "lift", buf_span(&text));
}

static void tell_disabled(struct telling *t)
{
	if (!t->facts->disabled)
		return;
	part_begin(&t->part, "disabled");
	part_put(&t->part, "what", "the administrator has disabled it");
	field_time(&t->part.out, "since", t->facts->disabled_since);
	put_command(t, "holdfast user enable ", "");
	part_end(&t->part);
}

static void tell_held_mail(struct telling *t)
{
	if (t->facts->held == 0)
		return;
	part_begin(&t->part, "held-mail");
	part_put(&t->part, "what",
		 "mail that it sent waits in the queue, and is not tried");
	field_number(&t->part.out, "messages", t->facts->held);
	field_time(&t->part.out, "since", t->facts->held_since);
	if (t->facts->incident)
		field_number(&t->part.out, "incident", t->facts->incident);
	put_command(t, "holdfast queue release --where 'state=held account=", "'");
	part_end(&t->part);
}

static void tell_unknown(struct telling *t)
{
	if (t->facts->auth_says && t->facts->store_says)
		return;
	part_begin(&t->part, "unknown");
	if (!t->facts->auth_says)
		part_put(&t->part, "disabled", "auth did not answer in time: ask again");
	if (!t->facts->store_says)
		part_put(&t->part, "held-mail",
			 "the store did not answer in time: ask again");
	part_end(&t->part);
}

/* ---- the evidence ----------------------------------------------------------------------- */

static void tell_diagnosis(struct telling *t)
{
	struct account_diagnosis d;
	uint8_t mem[400];
	struct buf says;

	account_diagnose(&t->st, t->v->accounts.limits.places, &d);
	part_begin(&t->part, "diagnosis");
	part_put(&t->part, "is", account_kind_table[d.kind].word);
	buf_init(&says, mem, sizeof(mem));
	account_sentence(&t->st, d.kind, &says);
	if (says.len)
		field_text(&t->part.out, "says", buf_span(&says));
	field_number(&t->part.out, "confidence", d.confidence);
	field_text(&t->part.out, "because", span_of(d.why, d.why_n));
	part_put(&t->part, "means", account_kind_table[d.kind].doc);
	part_end(&t->part);
}

/* Auth keeps the reasons, which may be many: they are a command of their own. */
static void put_why_of_failures(struct telling *t)
{
	uint8_t mem[ADDRESS_MAX + 64];
	struct buf text;

	if (!t->st.failures)
		return;
	buf_init(&text, mem, sizeof(mem));
	buf_fmt(&text, "holdfast user failures %.*s", SPAN_ARG(t->user));
	field_text(&t->part.out, "why-they-failed", buf_span(&text));
}

static void tell_history(struct telling *t)
{
	const struct account_state *st = &t->st;
	const struct accounts_limits *l = &t->v->accounts.limits;

	part_begin(&t->part, "history");
	if (!st->known) {
		part_put(&t->part, "remembered",
			 st->devices
				 ? "its devices, and no login or failure of late"
				 : "nothing: nobody tried it, or so long ago that it is "
				   "forgotten (is there such a user? holdfast user "
				   "list)");
		field_number(&t->part.out, "known-devices", st->devices);
		part_end(&t->part);
		return;
	}
	field_number(&t->part.out, "logins", st->successes);
	put_time(t, "last-login", st->last_success);
	field_number(&t->part.out, "refused-over-limit", st->over);
	field_number(&t->part.out, "failures", st->failures);
	put_why_of_failures(t);
	put_time(t, "last-failure", st->last_failure);
	if (st->last_failure)
		asked_field_addr(&t->part.out, "last-failure-from", &st->failed_from);
	field_number(&t->part.out, "different-wrong-passwords", st->secrets_wrong);
	field_number(&t->part.out, "networks-with-wrong-ones", st->places_wrong);
	field_number(&t->part.out, "guarded-at-networks", l->guarded_at);
	field_number(&t->part.out, "attempts-per-hour", st->per_hour);
	field_number(&t->part.out, "known-devices", st->devices);
	field_number(&t->part.out, "new-devices-today", st->new_devices);
	field_number(&t->part.out, "places-today", st->places_today);
	field_number(&t->part.out, "held-at-places", l->places);
	field_flag(&t->part.out, "sprayed", st->sprayed);
	part_end(&t->part);
}

static void tell_stale(struct telling *t)
{
	if (!t->st.stale)
		return;
	part_begin(&t->part, "stale");
	asked_field_addr(&t->part.out, "from", &t->st.stale_from);
	put_time(t, "since", t->st.stale_since);
	part_put(&t->part, "what",
		 "a device keeps giving an old password; it is only ever told so");
	part_put(&t->part, "lift", "set the new password on that device");
	part_end(&t->part);
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
	part_begin(&t->part, "storm");
	asked_field_addr(&t->part.out, "from", &r->from);
	part_put(&t->part, "what", storm_word[r->kind]);
	field_number(&t->part.out, "times", r->count);
	put_time(t, "since", r->since);
	put_time(t, "last", r->last);
	field_number(&t->part.out, "in-seconds", r->lasted + 1);
	field_number(&t->part.out, "came-in-seconds", r->seconds);
	field_number(&t->part.out, "programs", r->clients);
	if (r->kind == STORM_OVER) {
		field_number(&t->part.out, "sessions-open", r->open);
		field_number(&t->part.out, "limit-of-network",
			     t->v->accounts.limits.per_network);
		field_number(&t->part.out, "limit-of-user",
			     t->v->accounts.limits.per_user);
	}
	field_text(&t->part.out, "client", span_of(r->name, r->name_n));
	field_text(&t->part.out, "tls-hello", span_of(r->hello, r->hello_n));
	part_end(&t->part);
}

/* ---- campaigns -------------------------------------------------------------------------- */

static void put_campaign(struct telling *t, const struct campaign_state *c)
{
	field_number(&t->part.out, "campaign", c->number);
	part_put(&t->part, "by", c->by);
	put_time(t, "since", c->since);
	put_time(t, "last", c->last);
	field_number(&t->part.out, "members", c->members);
	field_number(&t->part.out, "attempts", c->attempts);
	field_number(&t->part.out, "refused-unseen", c->refused);
	field_number(&t->part.out, "users", c->users);
	part_put(&t->part, "cadence", cadence_word[c->cadence]);
	part_put(&t->part, "tries", c->sample);
}

static void tell_campaign(struct telling *t)
{
	struct campaign_state c;

	for (size_t i = 0; t->st.campaign && i < t->v->accounts.shape.campaigns; i++) {
		if (!accounts_campaign(&t->v->accounts, i, t->now, &c) ||
		    c.number != t->st.campaign)
			continue;
		part_begin(&t->part, "campaign");
		put_campaign(t, &c);
		part_end(&t->part);
		return;
	}
}

size_t explain_campaigns(const struct view *v, ms_t now, int64_t wall,
			 const struct explain_to *to)
{
	struct telling t = { .v = v, .now = now, .wall = wall, .part.to = to };
	struct campaign_state c;
	size_t n = 0;

	for (size_t i = 0; v->has_accounts && i < v->accounts.shape.campaigns; i++) {
		if (!accounts_campaign(&v->accounts, i, now, &c))
			continue;
		part_begin(&t.part, NULL);
		put_campaign(&t, &c);
		part_end(&t.part);
		n++;
	}
	return n;
}

void explain_account(const struct view *v, struct span user,
		     const struct account_facts *facts, ms_t now, int64_t wall,
		     const struct explain_to *to)
{
	struct telling t = {
		.v = v, .facts = facts, .user = user, .now = now, .wall = wall, .part.to = to
	};

	if (v->has_accounts)
		accounts_state(&v->accounts, user, now, wall, &t.st);
	tell_verdict(&t);
	tell_disabled(&t);
	tell_held_mail(&t);
	tell_unknown(&t);
	if (t.st.known)
		tell_diagnosis(&t);
	tell_history(&t);
	tell_stale(&t);
	tell_run(&t);
	tell_campaign(&t);
}
