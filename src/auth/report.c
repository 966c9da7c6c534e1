#include "auth/attempt.h"
#include "base/fields.h"
#include "guard/account_diagnosis.h"

/*
 * What others learn of an attempt: a line in the log at once, a row in the history if the
 * account exists, a notice to its owner. Never a secret, nor what one could be told from.
 */

static const char *const mechanism_word[SASL_COUNT] = {
	[SASL_PLAIN] = "plain",
	[SASL_LOGIN] = "login",
	[SASL_SCRAM_SHA_256] = "scram-sha-256",
	[SASL_SCRAM_SHA_256_PLUS] = "scram-sha-256-plus",
	[SASL_OAUTHBEARER] = "oauthbearer",
	[SASL_XOAUTH2] = "xoauth2",
	[SASL_EXTERNAL] = "external",
};

struct addr attempt_prefix(const struct addr *a)
{
	struct addr p = *a;

	if (addr_is_v4(a))
		p.ip[15] = 0;
	else
		memset(p.ip + 8, 0, 8);
	return p;
}

static struct span helo_of(const struct attempt *t)
{
	return span_of(t->helo, t->helo_n);
}

static struct span reason_of(const struct attempt *t)
{
	if (t->reason)
		return span_str(t->reason);
	return span_str(account_why_word[t->done.verdict.why]);
}

/* ---- the log ---------------------------------------- */

static void log_end(struct attempt *t, enum authed result)
{
	const struct account_verdict *v = &t->done.verdict;
	struct auth *a = t->auth;
	uint8_t mem[1024];
	struct buf row;

	buf_init(&row, mem, sizeof(mem));
	field_text(&row, "user", attempt_user(t));
	field_text(&row, "mechanism", span_str(mechanism_word[t->try.mechanism]));
	if (result != AUTHED_YES)
		field_text(&row, "reason", reason_of(t));
	if (result == AUTHED_LATER)
		field_flag(&row, "later", true);
	field_flag(&row, "known-device", v->known_device);
	if (v->campaign)
		field_number(&row, "campaign", v->campaign);
	if (t->done.held)
		field_flag(&row, "held", true);
	if (t->helo_n)
		field_text(&row, "helo", helo_of(t));
	if (t->hello_n)
		field_text(&row, "tls-hello", t->try.hello);
	pulse_log(a->start->pulse, result == AUTHED_YES ? LOG_LOGIN : LOG_LOGIN_FAILED,
		  loop_wall(a->loop), &t->try.from, buf_span(&row));
}

/* ---- the database ---------------------------------------- */

/*
 * Only of accounts that exist, so that guessers cannot fill it with names. Dovecot does not
 * say who exists: there it is whoever has logged in before.
 */
static bool is_somebody(const struct attempt *t)
{
	bool has = false;

	if (t->found == SOURCE_HAS || t->done.verdict.known_device)
		return true;
	return t->found == SOURCE_ASK &&
	       keeper_logged_in(t->auth->keeper, attempt_user(t), &has) && has;
}

static void keep_login(struct attempt *t, bool good, int64_t wall)
{
	struct vault_login l = {
		.address = attempt_user(t),
		.good = good,
		.prefix = t->prefix,
		.peer = t->try.from,
		.client = t->try.client,
		.reason = good ? SPAN_NONE : reason_of(t),
		.mechanism = span_str(mechanism_word[t->try.mechanism]),
		.helo = helo_of(t),
		.first = wall,
		.last = wall,
		.count = 1,
	};

	if (good || is_somebody(t))
		keeper_login(t->auth->keeper, &l);
}

static void keep_device(struct attempt *t, int64_t wall)
{
	struct vault_device d = {
		.user = accounts_hash(&t->auth->guard, attempt_user(t)),
		.client = t->try.client,
		.prefix = t->prefix,
		.first = wall,
		.last = wall,
		.logins = 1,
		.address = attempt_user(t),
		.helo = helo_of(t),
	};

	keeper_device(t->auth->keeper, &d);
}

void attempt_report(struct attempt *t, enum authed result)
{
	int64_t wall = loop_wall(t->auth->loop);

	log_end(t, result);
	if (result == AUTHED_YES)
		keep_device(t, wall);
	if (result != AUTHED_LATER)
		keep_login(t, result == AUTHED_YES, wall);
}

/* ---- what is worth telling ---------------------------------------- */

static void log_keyed(struct attempt *t, enum record kind, struct span key,
		      const char *what)
{
	struct auth *a = t->auth;
	uint8_t mem[1024];
	struct buf row;

	buf_init(&row, mem, sizeof(mem));
	field_text(&row, "key", key);
	field_text(&row, "what", span_str(what));
	pulse_log(a->start->pulse, kind, loop_wall(a->loop), &t->try.from, buf_span(&row));
}

static void log_campaign(struct attempt *t, uint32_t number, const char *what)
{
	uint8_t mem[16];
	struct buf key;

	buf_init(&key, mem, sizeof(mem));
	buf_number(&key, number);
	log_keyed(t, LOG_CAMPAIGN, buf_span(&key), what);
}

/* The owner of an account that exists, once a day for each kind. */
static void tell_owner(struct attempt *t, const char *kind, const char *text)
{
	struct auth *a = t->auth;
	uint8_t mem[512];
	struct buf b;

	if (!a->start->conf->set.auth_tell || !is_somebody(t))
		return;
	buf_init(&b, mem, sizeof(mem));
	buf_fmt(&b, "%s ", text);
	addr_print(&t->try.from, &b);
	if (t->helo_n) {
		buf_put(&b, SPAN(", which calls itself "));
		for (size_t i = 0; i < t->helo_n && i < 80; i++)
			buf_byte(&b, t->helo[i] > ' ' && t->helo[i] < 0x7f ? t->helo[i]
									   : '?');
	}
	keeper_tell(a->keeper, attempt_user(t), span_str(kind), buf_span(&b),
		    loop_wall(a->loop));
}

/* In one sentence, as `explain USER` says it. */
static void tell_runaway(struct attempt *t)
{
	struct auth *a = t->auth;
	struct account_diagnosis d;
	struct account_state st;
	uint8_t mem[1024], words[400];
	struct buf row, says;

	accounts_state(&a->guard, attempt_user(t), loop_now(a->loop), loop_wall(a->loop),
		       &st);
	account_diagnose(&st, a->guard.limits.places, &d);
	buf_init(&says, words, sizeof(words));
	account_sentence(&st, ACCOUNT_RUNAWAY, &says);
	buf_init(&row, mem, sizeof(mem));
	field_text(&row, "key", attempt_user(t));
	field_text(&row, "is", span_str(account_kind_table[d.kind].word));
	field_number(&row, "confidence", d.confidence);
	field_text(&row, "what", buf_span(&says));
	field_number(&row, "times", st.run.count);
	if (t->helo_n)
		field_text(&row, "client", helo_of(t));
	pulse_log(a->start->pulse, LOG_RUNAWAY, loop_wall(a->loop), &t->try.from,
		  buf_span(&row));
	tell_owner(t, "runaway", "It is the program at");
}

void attempt_tell(struct attempt *t, unsigned tell, const struct account_verdict *v)
{
	struct span user = attempt_user(t);

	if (tell & TELL_GUARDED) {
		log_keyed(t, LOG_ACCOUNT_GUARDED, user,
			  "guarded: unknown devices are refused, or wait");
		tell_owner(t, "guarded", "The last wrong password came from");
	}
	if (tell & TELL_UNGUARDED)
		log_keyed(t, LOG_ACCOUNT_GUARDED, user, "guarded no more");
	if (tell & TELL_STALE)
		tell_owner(t, "stale", "It is the device at");
	if (tell & TELL_RUNAWAY)
		tell_runaway(t);
	if (tell & TELL_PLACES)
		log_keyed(
			t, LOG_BRAKE, user,
			"logged in from too many networks in a day: what it sends is held");
	if (tell & TELL_CAMPAIGN)
		log_campaign(t, v->campaign, "many addresses guess in the same way");
	if (tell & TELL_SPRAY)
		log_campaign(t, v->campaign, "one password is tried on many users");
}
