#include "session/backend.h"

#include "wire/proxy.h"

/* ---- the end ------------------------------------------------------------------------ */

static void finish(struct backend_talk *b, enum backend_got got, struct span why,
		   struct backend_out *out)
{
	why = span_head(why, sizeof(b->why));
	if (why.n)
		memcpy(b->why, why.p, why.n);
	b->why_n = (uint16_t)why.n;
	b->got = got;
	b->phase = BACKEND_AT_END;
	out->orders = (out->orders & ~BACKEND_DO_TLS) | BACKEND_DO_RESULT;
}

static void fail(struct backend_talk *b, enum backend_got got, const char *why,
		 struct backend_out *out)
{
	finish(b, got, span_str(why), out);
}

static const char *phase_word(enum backend_phase p)
{
	static const char *const words[] = {
		[BACKEND_AT_GREETING] = "no greeting in time",
		[BACKEND_AT_STARTTLS] = "no answer to STARTTLS in time",
		[BACKEND_AT_HANDSHAKE] = "no TLS in time",
		[BACKEND_AT_CAPABILITY] = "no answer to CAPABILITY in time",
		[BACKEND_AT_HELD] = "not wanted in time",
		[BACKEND_AT_AUTH] = "no answer to AUTHENTICATE in time",
		[BACKEND_AT_LOGIN] = "no answer to LOGIN in time",
		[BACKEND_AT_USER] = "no answer to USER in time",
		[BACKEND_AT_PASS] = "no answer to PASS in time",
		[BACKEND_AT_OFFER] = "no answer to CAPABILITY in time",
		[BACKEND_AT_END] = "",
	};

	return words[p];
}

/* Something was said, and is to be answered. */
static void await(struct backend_talk *b, enum backend_phase phase, ms_t now)
{
	b->phase = phase;
	b->by = now + b->setup->reply_timeout;
}

/* ---- the login -------------------------------------------------------------------------- */

bool backend_credentials_ok(const struct backend_setup *s)
{
	if (s->first.n)
		return s->first.n <= BACKEND_FIRST_MAX;
	if (!s->user.n || !s->secret.n)
		return false;
	return s->pop3 ? mailbox_peer_line_ok(s->user) && mailbox_peer_line_ok(s->secret)
		       : mailbox_peer_text_ok(s->user) && mailbox_peer_text_ok(s->secret);
}

/*
 * For whom we come, where it would be believed. The login follows without waiting, and what
 * is answered changes nothing: who is not trusted is served all the same.
 */
static void identify(struct backend_talk *b, struct backend_out *out)
{
	unsigned can = b->setup->pop3 ? MAILBOX_CAN_XCLIENT : MAILBOX_CAN_ID;

	if (b->setup->identity != BACKEND_SAYS_ID || !(b->peer.can & can))
		return;
	mailbox_peer_identify(&b->peer, &b->setup->client, out->peer);
	b->unheeded++;
}

static void say_login(struct backend_talk *b, ms_t now, struct backend_out *out)
{
	b->login_at = mailbox_peer_login(&b->peer, b->setup->user, b->setup->secret,
					 b->login_at, out->peer);
	mailbox_peer_forget(&b->peer);
	await(b, BACKEND_AT_LOGIN, now);
}

static void keep_offered(struct backend_talk *b)
{
	struct span offered = mailbox_peer_capability(&b->peer);

	if (offered.n > sizeof(b->offered))
		return;
	b->offered_n = (uint16_t)offered.n;
	if (offered.n)
		memcpy(b->offered, offered.p, offered.n);
}

static bool offers(const struct backend_talk *b)
{
	return b->peer.can & mailbox_peer_can(b->setup->mechanism);
}

static void not_offered(struct backend_talk *b, struct backend_out *out)
{
	uint8_t mem[64];
	struct buf why;

	buf_init(&why, mem, sizeof(mem));
	buf_fmt(&why, "AUTH=%s is not offered there", sasl_word[b->setup->mechanism]);
	finish(b, BACKEND_GOT_UNFIT, buf_span(&why), out);
}

static bool has_token(const struct backend_setup *s)
{
	return s->first.n && s->mechanism != SASL_PLAIN;
}

/* What it offers from here on is what it offers to who has logged in. */
static void imap_login(struct backend_talk *b, ms_t now, struct backend_out *out)
{
	const struct backend_setup *s = b->setup;

	keep_offered(b);
	if (!s->first.n && b->peer.can & MAILBOX_CAN_NO_LOGIN) {
		fail(b, BACKEND_GOT_UNFIT, "LOGIN is disabled there; without TLS?", out);
	} else if (s->first.n && b->peer.told && !offers(b)) {
		not_offered(b, out);
	} else if (s->first.n) {
		identify(b, out);
		b->said = mailbox_peer_auth(&b->peer, s->mechanism, s->first, out->peer);
		mailbox_peer_forget(&b->peer);
		await(b, BACKEND_AT_AUTH, now);
	} else {
		identify(b, out);
		say_login(b, now, out);
	}
}

static void pop3_login(struct backend_talk *b, ms_t now, struct backend_out *out)
{
	const struct backend_setup *s = b->setup;

	if (has_token(s) && !offers(b)) {
		not_offered(b, out);
		return;
	}
	identify(b, out);
	if (s->first.n) {
		b->said = mailbox_peer_auth(&b->peer, s->mechanism, s->first, out->peer);
		await(b, BACKEND_AT_AUTH, now);
	} else {
		mailbox_peer_user(s->user, out->peer);
		await(b, BACKEND_AT_USER, now);
	}
}

static void say_go_on(struct backend_talk *b, ms_t now, struct backend_out *out)
{
	if (b->phase == BACKEND_AT_LOGIN && b->login_at) {
		say_login(b, now, out);
	} else if (b->phase == BACKEND_AT_AUTH && !b->said) {
		b->said = true;
		mailbox_peer_auth_line(b->setup->first, out->peer);
		await(b, BACKEND_AT_AUTH, now);
	} else if (b->phase == BACKEND_AT_AUTH && has_token(b->setup) && !b->denied) {
		/* what is wrong with it is no answer yet: that comes behind this */
		b->denied = true;
		buf_put(out->peer, b->setup->mechanism == SASL_OAUTHBEARER
					   ? SPAN("AQ==\r\n")
					   : SPAN("\r\n"));
		await(b, BACKEND_AT_AUTH, now);
	} else {
		fail(b, BACKEND_GOT_BROKEN, "it wants more where there is no more", out);
	}
}

/* ---- what comes before -------------------------------------------------------------- */

static void ask(struct backend_talk *b, enum backend_phase phase, ms_t now,
		struct backend_out *out)
{
	b->asked = true;
	mailbox_peer_ask(&b->peer, out->peer);
	await(b, phase, now);
}

/*
 * IMAP: what it can is mostly in the greeting; else it is asked for, once. POP3: it is asked for
 * the sake of tokens, because a server that has no such command would seem to refuse them.
 */
static void go_to_login(struct backend_talk *b, ms_t now, struct backend_out *out)
{
	bool matters = !b->setup->pop3 || has_token(b->setup);

	if (matters && !b->peer.told && !b->asked)
		ask(b, BACKEND_AT_CAPABILITY, now, out);
	else if (b->setup->hold)
		await(b, BACKEND_AT_HELD, now);
	else if (b->setup->pop3)
		pop3_login(b, now, out);
	else
		imap_login(b, now, out);
}

static void on_greeting(struct backend_talk *b, ms_t now, struct backend_out *out)
{
	b->greeted = true;
	if (b->setup->probe) {
		mailbox_peer_bye(&b->peer, out->peer);
		finish(b, BACKEND_GOT_YES, SPAN_NONE, out);
	} else if (b->setup->tls == BACKEND_TLS_START) {
		mailbox_peer_starttls(&b->peer, out->peer);
		await(b, BACKEND_AT_STARTTLS, now);
	} else {
		go_to_login(b, now, out);
	}
}

/* What was learnt in clear counts no more; only a server that is in TLS from the start greets. */
static void on_tls(struct backend_talk *b, ms_t now, struct backend_out *out)
{
	bool later = b->greeted;

	if (b->phase != BACKEND_AT_HANDSHAKE)
		return;
	b->in_tls = true;
	if (later) {
		unsigned kept = b->peer.can & MAILBOX_CAN_XCLIENT;

		mailbox_peer_forget(&b->peer);
		b->peer.can = kept; /* is in no list that could be asked for */
		go_to_login(b, now, out);
	} else {
		b->phase = BACKEND_AT_GREETING;
	}
}

/* Who it is for goes before everything, also before TLS. */
static void begin(struct backend_talk *b, struct backend_out *out)
{
	const struct backend_setup *s = b->setup;
	const struct mailbox_peer_client *c = s->probe ? NULL : &s->client;

	if (s->identity == BACKEND_SAYS_PROXY_1 || s->identity == BACKEND_SAYS_PROXY_2)
		proxy_print(s->identity == BACKEND_SAYS_PROXY_2 ? 2 : 1,
			    c ? &c->peer : NULL, c ? &c->local : NULL, out->peer);
	b->by = s->greet_by;
	if (s->tls == BACKEND_TLS_IMPLICIT) {
		b->phase = BACKEND_AT_HANDSHAKE;
		out->orders |= BACKEND_DO_TLS;
	}
}

/* ---- answers ---------------------------------------------------------------------------- */

static void logged_in(struct backend_talk *b, ms_t now, struct backend_out *out)
{
	if (b->setup->pop3 || b->peer.told)
		finish(b, BACKEND_GOT_YES, SPAN_NONE, out);
	else
		ask(b, BACKEND_AT_OFFER, now, out);
}

static void on_good(struct backend_talk *b, ms_t now, struct backend_out *out)
{
	switch (b->phase) {
	case BACKEND_AT_GREETING:
		on_greeting(b, now, out);
		break;
	case BACKEND_AT_STARTTLS:
		b->phase = BACKEND_AT_HANDSHAKE;
		out->orders |= BACKEND_DO_TLS;
		break;
	case BACKEND_AT_CAPABILITY:
		go_to_login(b, now, out);
		break;
	case BACKEND_AT_USER:
		mailbox_peer_pass(b->setup->secret, out->peer);
		await(b, BACKEND_AT_PASS, now);
		break;
	case BACKEND_AT_AUTH:
	case BACKEND_AT_LOGIN:
	case BACKEND_AT_PASS:
		logged_in(b, now, out);
		break;
	case BACKEND_AT_OFFER:
		finish(b, BACKEND_GOT_YES, SPAN_NONE, out);
		break;
	case BACKEND_AT_HELD:
		fail(b, BACKEND_GOT_BROKEN, "an answer before the question", out);
		break;
	case BACKEND_AT_HANDSHAKE:
	case BACKEND_AT_END:
		break;
	}
}

static bool is_login(enum backend_phase p)
{
	return p == BACKEND_AT_AUTH || p == BACKEND_AT_LOGIN || p == BACKEND_AT_USER ||
	       p == BACKEND_AT_PASS;
}

static void on_refused(struct backend_talk *b, const struct mailbox_peer_event *ev,
		       ms_t now, struct backend_out *out)
{
	static const enum backend_got got[] = {
		[MAILBOX_WHY_LOGIN] = BACKEND_GOT_NO,
		[MAILBOX_WHY_LIMIT] = BACKEND_GOT_LIMIT,
		[MAILBOX_WHY_LATER] = BACKEND_GOT_LATER,
		[MAILBOX_WHY_SERVER] = BACKEND_GOT_UNFIT,
	};

	if (b->phase == BACKEND_AT_OFFER)
		finish(b, BACKEND_GOT_YES, SPAN_NONE, out); /* the client may ask itself */
	else if (b->phase == BACKEND_AT_CAPABILITY)
		go_to_login(b, now, out);
	else if (b->phase == BACKEND_AT_STARTTLS)
		finish(b, BACKEND_GOT_UNFIT, ev->text, out);
	else if (is_login(b->phase) || ev->why != MAILBOX_WHY_LOGIN)
		finish(b, got[ev->why], ev->text, out);
	else
		finish(b, BACKEND_GOT_LATER, ev->text, out);
}

/* The answer to who we come for. */
static bool is_unheeded(struct backend_talk *b, enum mailbox_peer_kind kind)
{
	if (!b->unheeded || (kind != MAILBOX_PEER_GOOD && kind != MAILBOX_PEER_REFUSED))
		return false;
	b->unheeded--;
	return true;
}

static void on_event(struct backend_talk *b, const struct mailbox_peer_event *ev,
		     ms_t now, struct backend_out *out)
{
	switch (ev->kind) {
	case MAILBOX_PEER_GOOD:
		on_good(b, now, out);
		break;
	case MAILBOX_PEER_REFUSED:
		on_refused(b, ev, now, out);
		break;
	case MAILBOX_PEER_GO_ON:
		say_go_on(b, now, out);
		break;
	case MAILBOX_PEER_NONSENSE:
		finish(b, BACKEND_GOT_BROKEN, ev->text, out);
		break;
	case MAILBOX_PEER_MORE:
		break;
	}
}

/* Nothing may come behind the answer to STARTTLS: somebody has put it there. */
static void check_before_tls(struct backend_talk *b, struct span left,
			     struct backend_out *out)
{
	if (out->orders & BACKEND_DO_TLS && left.n)
		fail(b, BACKEND_GOT_BROKEN, "bytes behind the answer to STARTTLS", out);
}

static bool is_answer(enum mailbox_peer_kind kind)
{
	return kind == MAILBOX_PEER_GOOD || kind == MAILBOX_PEER_REFUSED ||
	       kind == MAILBOX_PEER_GO_ON;
}

static void take_event(struct backend_talk *b, const struct mailbox_peer_event *ev,
		       ms_t now, struct backend_out *out)
{
	if (b->early && is_answer(ev->kind))
		fail(b, BACKEND_GOT_BROKEN, "an answer before the question", out);
	else if (is_unheeded(b, ev->kind))
		mailbox_peer_forget(&b->peer);
	else
		on_event(b, ev, now, out);
}

/* What has come already when something is asked cannot be the answer to that. */
static void take_in(struct backend_talk *b, struct span bytes, ms_t now,
		    struct backend_out *out)
{
	struct span left = bytes;

	while (b->phase != BACKEND_AT_END && b->phase != BACKEND_AT_HANDSHAKE) {
		size_t had = left.n, said = out->peer->len;
		struct mailbox_peer_event ev = mailbox_peer_next(&b->peer, &left);

		if (ev.kind != MAILBOX_PEER_MORE)
			take_event(b, &ev, now, out);
		b->early -= b->early < had - left.n ? b->early : had - left.n;
		if (out->peer->len > said)
			b->early = left.n;
		if (ev.kind == MAILBOX_PEER_MORE)
			break;
	}
	out->used = bytes.n - left.n;
	check_before_tls(b, left, out);
}

/* What has come meanwhile, of a line that is not whole yet, is no answer to what is said now. */
static void let_go(struct backend_talk *b, struct span bytes, ms_t now,
		   struct backend_out *out)
{
	if (b->phase != BACKEND_AT_HELD)
		return;
	go_to_login(b, now, out);
	b->early = bytes.n;
}

void backend_init(struct backend_talk *b, const struct backend_setup *setup)
{
	*b = (struct backend_talk){ .setup = setup };
	mailbox_peer_init(&b->peer, setup->pop3);
}

void backend_step(struct backend_talk *b, const struct backend_in *in, ms_t now,
		  struct backend_out *out)
{
	out->orders = 0;
	out->used = 0;
	if (b->phase == BACKEND_AT_END) {
		out->wake = MS_NEVER;
		return;
	}
	switch (in->kind) {
	case BACKEND_IN_OPENED:
		begin(b, out);
		break;
	case BACKEND_IN_BYTES:
		take_in(b, in->bytes, now, out);
		break;
	case BACKEND_IN_END:
		fail(b, BACKEND_GOT_BROKEN, "it hung up", out);
		break;
	case BACKEND_IN_TIME:
		if (now >= b->by)
			fail(b, BACKEND_GOT_BROKEN, phase_word(b->phase), out);
		break;
	case BACKEND_IN_TLS:
		on_tls(b, now, out);
		break;
	case BACKEND_IN_NO_TLS:
		finish(b, BACKEND_GOT_BROKEN, in->bytes, out);
		break;
	case BACKEND_IN_GO:
		let_go(b, in->bytes, now, out);
		break;
	}
	out->wake = b->phase == BACKEND_AT_END ? MS_NEVER : b->by;
}
