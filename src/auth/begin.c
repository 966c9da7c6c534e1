#include <stdlib.h>

#include "auth/attempt.h"
#include "auth/names.h"
#include "io/client_cert.h"

/*
 * What edges say of attempts, up to the moment at which the credentials are complete. An
 * edge may be in somebody's hands: what none of ours would say closes its link, and what a
 * client may have said wrongly is an answer.
 */

static void copy(uint8_t *out, size_t cap, size_t *n, struct span s)
{
	*n = s.n <= cap ? s.n : 0;
	if (*n)
		memcpy(out, s.p, *n);
}

/* In its normal form. False: nobody can be called that. */
static bool take_user(struct attempt *t, struct span user)
{
	struct buf b;

	buf_init(&b, t->user, sizeof(t->user));
	if (!name_normal(user, sources_domain(t->auth->start->conf), &b))
		return false;
	t->user_n = b.len;
	return true;
}

/* For the log, of somebody who cannot exist: what they said, cut. */
static void note_user(struct attempt *t, struct span user)
{
	user = span_head(user, sizeof(t->user));
	copy(t->user, sizeof(t->user), &t->user_n, user);
}

/* As whom they want to be known must be who they are: there are no masters here. */
static bool is_oneself(struct attempt *t, struct span authzid)
{
	uint8_t mem[USER_MAX];
	struct buf b;

	if (authzid.n == 0)
		return true;
	buf_init(&b, mem, sizeof(mem));
	return name_normal(authzid, sources_domain(t->auth->start->conf), &b) &&
	       span_eq(buf_span(&b), attempt_user(t));
}

static uint64_t secret_tag(struct auth *a, struct span secret)
{
	uint8_t hash[KEYED_HASH];
	uint64_t tag;

	keyed_hash(a->key_secrets, &secret, 1, hash);
	memcpy(&tag, hash, sizeof(tag));
	return tag ? tag : 1;
}

static void broken(struct attempt *t, struct span user, const char *reason)
{
	if (t->user_n == 0)
		note_user(t, user);
	attempt_end(t, AUTHED_NO, EV_AUTH_BROKEN, reason);
}

/* By the edge; a reload may have taken something away since. */
static unsigned offered(const struct attempt *t)
{
	const struct conf *conf = t->auth->start->conf;

	return t->try.reads ? conf->mailbox_mechanisms : conf->mechanisms;
}

/* ---- whole at once ---------------------------------------- */

static void begin_password(struct attempt *t, const struct msg_AUTH *m)
{
	if (!take_user(t, m->user) || !password_ok(m->secret)) {
		broken(t, m->user, "broken");
		return;
	}
	if (!is_oneself(t, m->authzid)) {
		broken(t, m->user, "authzid");
		return;
	}
	t->try.secret = secret_tag(t->auth, m->secret);
	/* most of those who guess are refused without a look at the account */
	t->found = sources_know(t->auth->sources, attempt_user(t), t->try.reads);
	attempt_start(t);
}

/*
 * Somebody whom TLS has verified. That they have the key only the edge has seen, and an edge
 * in somebody's hands may say so of anybody; but it cannot make a certificate, so this much
 * is looked at again. Who it is follows from that, not from what the edge says.
 */
static void begin_external(struct attempt *t, const struct msg_AUTH *m)
{
	const struct client_authorities *a = t->auth->authorities;
	char name[USER_MAX];
	size_t n = a ? client_cert_check(a, m->secret, name, sizeof(name)) : 0;

	if (!(m->flags & AUTH_TLS) || !n || !take_user(t, span_of(name, n)) ||
	    !is_oneself(t, m->authzid)) {
		broken(t, m->user, "external");
		return;
	}
	attempt_look_up(t);
	t->proven = true;
	t->proof = t->found == SOURCE_HAS_NOT ? ACCOUNT_WRONG : ACCOUNT_RIGHT;
	if (t->account.disabled)
		t->proof = ACCOUNT_DISABLED;
	attempt_start(t);
}

/* ---- tokens ---------------------------------------- */

static void on_token(void *arg, const struct oauth_result *r)
{
	struct attempt *t = arg;
	struct auth *a = t->auth;
	bool named = t->user_n != 0;
	uint8_t said[USER_MAX];
	struct span user = span_of(said, t->user_n);

	if (r->verdict == OAUTH_LATER) {
		attempt_end(t, AUTHED_LATER, EV_AUTH_LATER, r->reason);
		attempts_go_on(a);
		return;
	}
	memcpy(said, t->user, t->user_n);
	t->proven = true;
	t->proof = ACCOUNT_WRONG;
	t->reason = r->reason;
	if (r->verdict == OAUTH_RIGHT && take_user(t, span_str(r->user)) &&
	    (!named || span_eq(user, attempt_user(t)))) {
		t->proof = ACCOUNT_RIGHT;
		t->reason = NULL;
	} else if (named) {
		copy(t->user, sizeof(t->user), &t->user_n, user);
	} else if (r->verdict != OAUTH_RIGHT) {
		attempt_end(t, AUTHED_NO, EV_AUTH_FAILED, r->reason);
		attempts_go_on(a);
		return;
	}
	attempt_look_up(t);
	/* whoever vouches for them knows who exists */
	if (t->found == SOURCE_HAS_NOT)
		t->found = SOURCE_ASK;
	if (t->account.disabled && t->proof == ACCOUNT_RIGHT)
		t->proof = ACCOUNT_DISABLED;
	attempt_start(t);
	attempts_go_on(a);
}

/* Without an issuer that we know, the mailbox server may know one: as with passwords. */
static bool mailbox_server_judges(struct attempt *t)
{
	size_t from = 0;

	if (!t->try.reads || !t->user_n || t->auth->start->conf->oauth_count)
		return false;
	do {
		t->found = sources_find(t->auth->sources, attempt_user(t), from, true,
					&t->account);
		from = t->account.source + 1;
	} while (t->found == SOURCE_HAS ||
		 (t->found == SOURCE_ASK && !t->account.at_backend));
	/* no source in front of it is shown the token as if that were a password */
	t->looked_up = t->found != SOURCE_HAS_NOT;
	return t->looked_up;
}

static void begin_token(struct attempt *t, const struct msg_AUTH *m)
{
	struct auth *a = t->auth;

	if (m->user.n && !take_user(t, m->user)) {
		broken(t, m->user, "broken");
		return;
	}
	t->try.secret = secret_tag(a, m->secret);
	if (mailbox_server_judges(t)) {
		attempt_start(t);
		return;
	}
	t->at = AT_TOKEN;
	oauth_begin(a->oauth, &t->token, m->secret, loop_now(a->loop), loop_wall(a->loop),
		    on_token, t);
}

/* ---- SCRAM ---------------------------------------- */

static void challenge(struct attempt *t)
{
	struct peer *edge = peers_edge(t->auth, t->edge, t->generation);
	struct span stored = span_of(t->account.keys, t->account.keys_n);
	bool fake = !scram_read_keys(stored, &t->scram->keys);
	struct scram_keys keys = t->scram->keys;
	uint8_t nonce[SCRAM_NONCE], mem[SASL_MAX];
	struct msg_AUTH_CHALLENGE m = { .ask = t->ask };
	struct buf text;

	if (fake)
		scram_fake_keys(t->auth->key_salts, attempt_user(t), &keys);
	scram_nonce(nonce);
	buf_init(&text, mem, sizeof(mem));
	if (!edge || !scram_challenge(t->scram, &keys, fake,
				      span_of(nonce, sizeof(nonce)), &text)) {
		attempt_end(t, AUTHED_LATER, EV_NONE, "failed");
		return;
	}
	attempt_challenged(t);
	m.text = buf_span(&text);
	msg_AUTH_CHALLENGE_pack(&m, link_begin(edge->link));
	(void)peer_send(edge); /* a broken link shows when it is read */
}

static void begin_scram(struct attempt *t, const struct msg_AUTH *m)
{
	bool plus = m->mechanism == SASL_SCRAM_SHA_256_PLUS;
	bool offers_plus = m->flags & AUTH_TLS &&
			   offered(t) & 1u << SASL_SCRAM_SHA_256_PLUS;
	enum scram_said said;

	t->scram = calloc(1, sizeof(*t->scram));
	if (!t->scram) {
		attempt_end(t, AUTHED_LATER, EV_AUTH_LATER, NO_MEMORY);
		return;
	}
	copy(t->binding, sizeof(t->binding), &t->binding_n, m->binding);
	said = scram_first(t->scram, m->secret, plus, offers_plus);
	if (said != SCRAM_GOOD || !take_user(t, t->scram->user) ||
	    !is_oneself(t, t->scram->authzid)) {
		broken(t, t->scram->user, said == SCRAM_WRONG ? "downgrade" : "broken");
		return;
	}
	attempt_look_up(t);
	if (t->found == SOURCE_LATER)
		attempt_start(t);
	else if (!attempt_may_challenge(t->auth))
		attempt_end(t, AUTHED_LATER, EV_AUTH_LATER,
			    account_why_word[WHY_OVERLOAD]);
	else
		challenge(t);
}

static void go_on_scram(struct attempt *t, struct span text)
{
	uint8_t mem[SASL_MAX];
	struct buf words;
	enum scram_said said;

	buf_init(&words, mem, sizeof(mem));
	said = scram_final(t->scram, text, span_of(t->binding, t->binding_n), &words);
	if (said == SCRAM_BROKEN) {
		broken(t, SPAN_NONE, "broken");
		return;
	}
	attempt_answered(t);
	if (said == SCRAM_LATER) {
		attempt_end(t, AUTHED_LATER, EV_AUTH_LATER, NO_MEMORY);
		return;
	}
	t->proven = true;
	t->proof = said == SCRAM_GOOD ? ACCOUNT_RIGHT : ACCOUNT_WRONG;
	if (said == SCRAM_GOOD) {
		attempt_words(t, buf_span(&words));
		if (t->account.disabled)
			t->proof = ACCOUNT_DISABLED;
	}
	attempt_start(t);
}

/* ---- what edges say ---------------------------------------------------------------- */

static void begin(struct attempt *t, const struct msg_AUTH *m)
{
	t->try.from = m->peer.addr;
	t->try.client = m->client;
	t->try.mechanism = (enum sasl_mechanism)m->mechanism;
	t->try.service = m->service;
	t->try.reads = m->service == SERVICE_IMAP || m->service == SERVICE_POP3;
	t->prefix = attempt_prefix(&m->peer.addr);
	t->flags = m->flags;
	copy(t->helo, sizeof(t->helo), &t->helo_n, m->helo);
	copy(t->hello, sizeof(t->hello), &t->hello_n, m->hello);
	t->try.name = span_of(t->helo, t->helo_n);
	t->try.hello = span_of(t->hello, t->hello_n);
	if (!(offered(t) & 1u << m->mechanism)) {
		note_user(t, m->user);
		attempt_end(t, AUTHED_LATER, EV_NONE, "mechanism");
		return;
	}
	switch (t->try.mechanism) {
	case SASL_PLAIN:
	case SASL_LOGIN:
		begin_password(t, m);
		return;
	case SASL_SCRAM_SHA_256:
	case SASL_SCRAM_SHA_256_PLUS:
		begin_scram(t, m);
		return;
	case SASL_OAUTHBEARER:
	case SASL_XOAUTH2:
		begin_token(t, m);
		return;
	case SASL_EXTERNAL:
		begin_external(t, m);
		return;
	case SASL_COUNT:
		break;
	}
}

static void have_no_room(struct peer *edge, uint64_t ask)
{
	struct msg_AUTHED m = { .ask = ask,
				.result = AUTHED_LATER,
				.event = EV_AUTH_LATER,
				.reason = span_str(account_why_word[WHY_OVERLOAD]) };

	msg_AUTHED_pack(&m, link_begin(edge->link));
	(void)peer_send(edge); /* a broken link shows when it is read */
}

bool attempts_auth(struct auth *a, struct peer *edge, struct span frame)
{
	struct msg_AUTH m;
	struct attempt *t;

	if (!msg_AUTH_unpack(frame, &m) || m.mechanism >= SASL_COUNT ||
	    m.service >= SERVICE_COUNT || m.helo.n > DOMAIN_MAX ||
	    attempt_find(a, edge, m.ask))
		return false;
	t = attempt_begin(a, edge, m.ask, m.secret);
	if (t)
		begin(t, &m);
	else
		have_no_room(edge, m.ask);
	attempts_go_on(a);
	return true;
}

bool attempts_more(struct auth *a, struct peer *edge, struct span frame)
{
	struct msg_AUTH_MORE m;
	struct attempt *t;

	if (!msg_AUTH_MORE_unpack(frame, &m))
		return false;
	/* one that ended meanwhile for want of time is no mistake of the edge */
	t = attempt_find(a, edge, m.ask);
	if (t && t->at == AT_SCRAM)
		go_on_scram(t, m.text);
	attempts_go_on(a);
	return true;
}

static void attempts_gone(struct auth *a, const struct peer *edge, uint64_t ask)
{
	struct login_id id = { edge->number, edge->generation, ask };

	logins_give(a->logins, &id);
}

bool attempts_over(struct auth *a, struct peer *edge, struct span frame)
{
	struct msg_AUTH_OVER m;
	struct attempt *t;

	if (!msg_AUTH_OVER_unpack(frame, &m))
		return false;
	t = attempt_find(a, edge, m.ask);
	if (t)
		attempt_leave(t, ACCOUNT_LEFT);
	else /* it was let in, and has left before it knew */
		attempts_gone(a, edge, m.ask);
	attempts_go_on(a);
	return true;
}

bool attempts_judged(struct auth *a, struct peer *edge, struct span frame)
{
	struct msg_AUTH_JUDGED m;
	struct attempt *t;

	if (!msg_AUTH_JUDGED_unpack(frame, &m) || m.judged >= JUDGED_COUNT)
		return false;
	/* one that is not there has been given up meanwhile */
	t = attempt_find(a, edge, m.ask);
	if (t && t->at == AT_JUDGED)
		attempt_judged(t, (enum judged)m.judged);
	attempts_go_on(a);
	return true;
}

bool attempts_left(struct auth *a, struct peer *edge, struct span frame)
{
	struct msg_AUTH_LEFT m;

	if (!msg_AUTH_LEFT_unpack(frame, &m))
		return false;
	attempts_gone(a, edge, m.ask);
	return true;
}
