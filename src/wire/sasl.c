#include "wire/sasl.h"

#include "base/base64.h"
#include "base/utf8.h"

static const struct span ask_user = SPAN_INIT("Username:");
static const struct span ask_password = SPAN_INIT("Password:");

void sasl_wipe(void *mem, size_t n)
{
	memset(mem, 0, n);
	__asm__ volatile("" : : "r"(mem) : "memory");
}

void sasl_end(struct sasl *s)
{
	sasl_wipe(s, sizeof(*s));
}

void sasl_say(struct sasl *s)
{
	s->at = SASL_AT_ANSWER;
}

void sasl_say_last(struct sasl *s)
{
	s->at = SASL_AT_LAST;
}

void sasl_print(unsigned offered, struct buf *out)
{
	const char *between = "";

	for (enum sasl_mechanism m = 0; m < SASL_COUNT; m++) {
		if (!(offered & 1u << m))
			continue;
		buf_put(out, span_str(between));
		buf_put(out, span_str(sasl_word[m]));
		between = " ";
	}
}

static struct sasl_event bad(struct sasl *s, enum sasl_fault fault)
{
	sasl_end(s);
	return (struct sasl_event){ .kind = SASL_BAD, .fault = fault };
}

static bool has_nul(struct span s)
{
	return span_find(s, 0) < s.n;
}

/* ---- complete credentials ------------------------------------------------------------ */

static struct sasl_event ready(struct sasl *s, struct span authzid, struct span user,
			       struct span secret)
{
	if (authzid.n > USER_MAX || user.n > USER_MAX)
		return bad(s, SASL_FAULT_LONG);
	if (!utf8_ok(authzid) || !utf8_ok(user))
		return bad(s, SASL_FAULT_BROKEN);
	s->at = SASL_AT_AUTH;
	return (struct sasl_event){
		.kind = SASL_READY, .authzid = authzid, .user = user, .secret = secret
	};
}

static struct sasl_event ready_with_password(struct sasl *s, struct span authzid,
					     struct span user, struct span secret)
{
	if (secret.n > SECRET_MAX)
		return bad(s, SASL_FAULT_LONG);
	if (user.n == 0 || secret.n == 0 || has_nul(user) || has_nul(secret))
		return bad(s, SASL_FAULT_BROKEN);
	return ready(s, authzid, user, secret);
}

/* authzid NUL authcid NUL passwd (RFC 4616, 2) */
static struct sasl_event take_plain(struct sasl *s, struct span m)
{
	struct span authzid, user;
	bool whole;

	authzid = span_cut(&m, 0);
	whole = has_nul(m);
	user = span_cut(&m, 0);
	if (!whole)
		return bad(s, SASL_FAULT_BROKEN);
	return ready_with_password(s, authzid, user, m);
}

/* ---- tokens -------------------------------------------------------------------------- */

/* "auth=Bearer TOKEN": the word in any case, the token as RFC 6750, 2.1 has it. */
static bool take_bearer(struct span pair, struct span *token)
{
	static const struct span head = SPAN_INIT("auth=Bearer ");

	if (!span_starts_nocase(pair, head))
		return false;
	*token = span_trim(span_skip(pair, head.n));
	for (size_t i = 0; i < token->n; i++)
		if (token->p[i] <= ' ' || token->p[i] >= 0x7f)
			return false;
	return token->n != 0;
}

/*
 * key=value pairs, each with a ^A behind it, and one more at the end. The token is what
 * matters; user= is that of XOAUTH2.
 */
static bool take_pairs(struct span m, struct span *user, struct span *token)
{
	bool ended = false;

	*token = SPAN_NONE;
	while (m.n && !ended) {
		bool cut = span_find(m, 1) < m.n;
		struct span pair = span_cut(&m, 1);

		if (!cut)
			return false;
		if (pair.n == 0)
			ended = true;
		else if (span_starts_nocase(pair, SPAN("auth=")))
			ended = !take_bearer(pair, token);
		else if (span_starts(pair, SPAN("user=")))
			*user = span_skip(pair, 5);
	}
	return ended && m.n == 0 && token->n;
}

/* A saslname: "=2C" and "=3D" stand for a comma and "=" (RFC 5801, 4). In its own place. */
static bool unescape(struct span *name, uint8_t *mem)
{
	size_t n = 0;

	for (size_t i = 0; i < name->n; i++) {
		struct span rest = span_skip(*name, i);
		uint8_t c = name->p[i];

		if (c == '=' && span_starts(rest, SPAN("=2C")))
			c = ',';
		else if (c == '=' && !span_starts(rest, SPAN("=3D")))
			return false;
		i += name->p[i] == '=' ? 2 : 0;
		mem[n++] = c;
	}
	*name = span_of(mem, n);
	return true;
}

/* "n,a=user@example.org,^Ahost=...^Aauth=Bearer TOKEN^A^A" (RFC 7628, 3.1) */
static struct sasl_event take_oauth(struct sasl *s, struct span m, struct sasl_room *room)
{
	struct span flag = span_cut(&m, ','), user = span_cut(&m, ','), token, none;

	if (user.n && !span_starts(user, SPAN("a=")))
		return bad(s, SASL_FAULT_BROKEN);
	user = span_skip(user, 2);
	if ((!span_eq(flag, SPAN("n")) && !span_eq(flag, SPAN("y"))) || m.n == 0 ||
	    m.p[0] != 1 || !take_pairs(span_skip(m, 1), &none, &token) ||
	    !unescape(&user, room->mem))
		return bad(s, SASL_FAULT_BROKEN);
	return ready(s, SPAN_NONE, user, token);
}

/* "user=alice@example.org^Aauth=Bearer TOKEN^A^A" */
static struct sasl_event take_xoauth2(struct sasl *s, struct span m)
{
	struct span user = SPAN_NONE, token;

	if (!take_pairs(m, &user, &token) || user.n == 0)
		return bad(s, SASL_FAULT_BROKEN);
	return ready(s, SPAN_NONE, user, token);
}

/* The other way round. */
static void put_escaped(struct span name, struct buf *out)
{
	for (size_t i = 0; i < name.n; i++) {
		if (name.p[i] == ',')
			buf_put(out, SPAN("=2C"));
		else if (name.p[i] == '=')
			buf_put(out, SPAN("=3D"));
		else
			buf_byte(out, name.p[i]);
	}
}

void sasl_print_token(enum sasl_mechanism m, struct span user, struct span token,
		      struct buf *out)
{
	bool bearer = m == SASL_OAUTHBEARER;

	buf_put(out, bearer ? SPAN("n,") : SPAN("user="));
	if (bearer && user.n)
		buf_put(out, SPAN("a="));
	if (bearer)
		put_escaped(user, out);
	else
		buf_put(out, user);
	if (bearer)
		buf_byte(out, ',');
	buf_put(out, SPAN("\1auth=Bearer "));
	buf_put(out, token);
	buf_put(out, SPAN("\1\1"));
}

/* ---- messages ------------------------------------------------------------------------ */

static struct sasl_event take_user(struct sasl *s, struct span user)
{
	if (user.n > USER_MAX)
		return bad(s, SASL_FAULT_LONG);
	if (user.n == 0 || has_nul(user))
		return bad(s, SASL_FAULT_BROKEN);
	memcpy(s->user, user.p, user.n);
	s->user_n = (uint8_t)user.n;
	s->at = SASL_AT_PASSWORD;
	return (struct sasl_event){ .kind = SASL_WANTS, .text = ask_password };
}

static struct sasl_event take_first(struct sasl *s, struct span m, struct sasl_room *room)
{
	if (s->mechanism != SASL_PLAIN && has_nul(m))
		return bad(s, SASL_FAULT_BROKEN);
	switch (s->mechanism) {
	case SASL_PLAIN:
		return take_plain(s, m);
	case SASL_LOGIN:
		return take_user(s, m);
	case SASL_OAUTHBEARER:
		return take_oauth(s, m, room);
	case SASL_XOAUTH2:
		return take_xoauth2(s, m);
	case SASL_EXTERNAL:
		return ready(s, m, SPAN_NONE, SPAN_NONE);
	case SASL_SCRAM_SHA_256:
	case SASL_SCRAM_SHA_256_PLUS:
		return ready(s, SPAN_NONE, SPAN_NONE, m);
	case SASL_COUNT:
		break;
	}
	return bad(s, SASL_FAULT_MECHANISM);
}

static struct sasl_event take(struct sasl *s, struct span m, struct sasl_room *room)
{
	switch (s->at) {
	case SASL_AT_FIRST:
		return take_first(s, m, room);
	case SASL_AT_PASSWORD:
		return ready_with_password(s, SPAN_NONE, span_of(s->user, s->user_n), m);
	case SASL_AT_ANSWER:
		if (has_nul(m))
			break;
		s->at = SASL_AT_AUTH;
		return (struct sasl_event){ .kind = SASL_FORWARD, .text = m };
	case SASL_AT_LAST:
		return (struct sasl_event){ .kind = SASL_DONE };
	case SASL_AT_AUTH:
	case SASL_IDLE:
		break;
	}
	return bad(s, SASL_FAULT_BROKEN);
}

/* Decode it, and take it. */
static struct sasl_event decode(struct sasl *s, struct span text, struct sasl_room *room)
{
	struct buf out;

	if (text.n > (size_t)(SASL_MAX + 2) / 3 * 4)
		return bad(s, SASL_FAULT_LONG);
	buf_init(&out, room->mem, sizeof(room->mem));
	room->used = sizeof(room->mem);
	if (!base64_parse(text, &out))
		return bad(s, SASL_FAULT_BASE64);
	room->used = out.len;
	return take(s, buf_span(&out), room);
}

static bool find(struct span word, unsigned offered, enum sasl_mechanism *out)
{
	for (enum sasl_mechanism m = 0; m < SASL_COUNT; m++)
		if ((offered & 1u << m) && span_eq_nocase(word, span_str(sasl_word[m]))) {
			*out = m;
			return true;
		}
	return false;
}

/* What the server says first, if the client has said nothing yet. */
static struct span first_challenge(const struct sasl *s)
{
	return s->mechanism == SASL_LOGIN ? ask_user : SPAN_NONE;
}

struct sasl_event sasl_begin(struct sasl *s, unsigned offered, struct span argument,
			     struct sasl_room *room)
{
	struct span word = span_cut(&argument, ' ');

	sasl_end(s);
	if (!find(word, offered, &s->mechanism))
		return bad(s, SASL_FAULT_MECHANISM);
	s->at = SASL_AT_FIRST;
	argument = span_trim(argument);
	if (argument.n == 0)
		return (struct sasl_event){ .kind = SASL_WANTS,
					    .text = first_challenge(s) };
	if (span_eq(argument, SPAN("=")))
		return take(s, SPAN_NONE, room);
	return decode(s, argument, room);
}

struct sasl_event sasl_password(struct sasl *s, struct span user, struct span secret)
{
	sasl_end(s);
	s->mechanism = SASL_PLAIN;
	return ready_with_password(s, SPAN_NONE, user, secret);
}

struct sasl_event sasl_line(struct sasl *s, struct span line, struct sasl_room *room)
{
	if (span_eq(line, SPAN("*"))) {
		sasl_end(s);
		return (struct sasl_event){ .kind = SASL_CANCELLED };
	}
	return decode(s, line, room);
}
