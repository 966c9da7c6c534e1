#include "crypt/jwt.h"

#include <math.h>
#include <string.h>

#include "base/utf8.h"
#include "crypt/jwt_inner.h"

/* Clocks differ; who is let in a minute too long was let in for an hour before. */
#define LEEWAY 60

/* So many keys are tried for a token that names none. */
#define TRIES_MAX 8

/* clang-format off */
const char *const jwt_word[JWT_VERDICTS] = {
	[JWT_RIGHT]       = "right",
	[JWT_MALFORMED]   = "bad-token",
	[JWT_ALGORITHM]   = "bad-algorithm",
	[JWT_UNKNOWN_KEY] = "unknown-key",
	[JWT_SIGNATURE]   = "bad-signature",
	[JWT_ISSUER]      = "wrong-issuer",
	[JWT_AUDIENCE]    = "wrong-audience",
	[JWT_EXPIRED]     = "expired",
	[JWT_EARLY]       = "not-valid-yet",
	[JWT_NO_USER]     = "no-user",
	[JWT_INACTIVE]    = "inactive",
};
/* clang-format on */

/* ---- what it says ---------------------------------------------------------------- */
static bool is_one(const json_t *value, const char *text)
{
	const char *s = json_string_value(value);

	return s && strcmp(s, text) == 0;
}

/* A text, or a list of texts (RFC 7519, 4.1.3). */
static bool is_for(const json_t *aud, const char *audience)
{
	if (!*audience)
		return true;
	for (size_t i = 0; i < json_array_size(aud); i++)
		if (is_one(json_array_get(aud, i), audience))
			return true;
	return is_one(aud, audience);
}

/* Seconds since 1970, perhaps with a fraction. False: it is there and is no time. */
static bool time_of(const json_t *claims, const char *name, double fallback, double *out)
{
	const json_t *value = json_object_get(claims, name);

	*out = value ? json_number_value(value) : fallback;
	return !value || (json_is_number(value) && isfinite(*out));
}

/* It will be in logs, in answers and in queries: letters that can be seen, and no more. */
static bool take_user(const json_t *claims, const char *claim, char user[USER_MAX + 1])
{
	const char *text = jwt_text(claims, claim);
	struct span name = span_str(text ? text : "");

	if (name.n == 0 || name.n > USER_MAX || !utf8_ok(name))
		return false;
	for (size_t i = 0; i < name.n; i++)
		if (name.p[i] <= ' ' || name.p[i] == 0x7f)
			return false;
	for (size_t i = 0; i < name.n; i++)
		user[i] = (char)byte_lower(name.p[i]);
	user[name.n] = '\0';
	return true;
}

/* needed: it must say from whom it is, and until when. */
static enum jwt_verdict judge(const json_t *claims, const struct jwt_wanted *want,
			      bool needed, char user[USER_MAX + 1])
{
	const json_t *issuer = json_object_get(claims, "iss");
	double wall = (double)want->wall, end, begin, made;

	if ((needed || issuer) && !is_one(issuer, want->issuer))
		return JWT_ISSUER;
	if (!is_for(json_object_get(claims, "aud"), want->audience))
		return JWT_AUDIENCE;
	if (!time_of(claims, "exp", needed ? 0 : INFINITY, &end) || wall >= end + LEEWAY)
		return JWT_EXPIRED;
	if (!time_of(claims, "nbf", 0, &begin) || wall < begin - LEEWAY ||
	    !time_of(claims, "iat", 0, &made) || wall < made - LEEWAY)
		return JWT_EARLY;
	return take_user(claims, want->user, user) ? JWT_RIGHT : JWT_NO_USER;
}

/* ---- how it is signed ------------------------------------------------------------ */
struct parts {
	struct span signed_text; /* header, dot, claims */
	struct span header, claims, signature;
};

static bool cut(struct span token, struct parts *out)
{
	struct span left = token;
	struct parts p;

	p.header = span_cut(&left, '.');
	p.claims = span_cut(&left, '.');
	p.signature = left;
	if (token.n > JWT_MAX || p.header.n == 0 || p.claims.n == 0 ||
	    p.signature.n == 0 || span_find(p.signature, '.') < p.signature.n)
		return false;
	p.signed_text = span_head(token, p.header.n + 1 + p.claims.n);
	*out = p;
	return true;
}

static json_t *object_of(struct span part)
{
	uint8_t mem[JWT_MAX];
	struct buf b;

	buf_init(&b, mem, sizeof(mem));
	return jwt_base64(part, &b) ? jwt_object(buf_span(&b)) : NULL;
}

static bool fits(const struct jwt_key *key, const struct jwt_algorithm *a)
{
	return key->kind == a->kind &&
	       (!*key->algorithm || strcmp(key->algorithm, a->name) == 0);
}

/* With the key that it names; with all that could be it, if it names none. */
static enum jwt_verdict check_signature(const struct jwt_keys *keys, const json_t *header,
					const struct parts *p)
{
	const struct jwt_algorithm *a = jwt_algorithm(jwt_text(header, "alg"));
	const char *id = jwt_text(header, "kid");
	enum jwt_verdict v = JWT_UNKNOWN_KEY;
	uint8_t mem[JWT_RSA_MAX / 8];
	struct buf signature;
	unsigned tries = 0;

	if (!a)
		return JWT_ALGORITHM;
	buf_init(&signature, mem, sizeof(mem));
	if (!jwt_base64(p->signature, &signature))
		return JWT_MALFORMED;
	for (size_t i = 0; i < keys->count; i++) {
		const struct jwt_key *k = &keys->key[i];

		if (id && strcmp(id, k->id) != 0)
			continue;
		if (!fits(k, a)) {
			v = id ? JWT_ALGORITHM : v;
			continue;
		}
		if (tries++ == TRIES_MAX)
			break;
		if (jwt_signature_ok(k, a, p->signed_text, buf_span(&signature)))
			return JWT_RIGHT;
		v = JWT_SIGNATURE;
	}
	return v;
}

static enum jwt_verdict check_header(const struct jwt_keys *keys, const struct parts *p)
{
	json_t *header = object_of(p->header);
	enum jwt_verdict v = JWT_MALFORMED;

	/* RFC 7515, 4.1.11: what is critical must be understood, and we know none */
	if (header && !json_object_get(header, "crit"))
		v = check_signature(keys, header, p);
	json_decref(header);
	return v;
}

/* ---- all together ---------------------------------------------------------------- */
enum jwt_verdict jwt_check(const struct jwt_keys *keys, struct span token,
			   const struct jwt_wanted *want, char user[USER_MAX + 1])
{
	enum jwt_verdict v;
	struct parts p;
	json_t *claims;

	if (!cut(token, &p))
		return JWT_MALFORMED;
	v = check_header(keys, &p);
	if (v != JWT_RIGHT)
		return v;
	claims = object_of(p.claims);
	v = claims ? judge(claims, want, true, user) : JWT_MALFORMED;
	json_decref(claims);
	return v;
}

enum jwt_verdict jwt_check_answer(struct span json, const struct jwt_wanted *want,
				  char user[USER_MAX + 1])
{
	json_t *claims = json.n <= FETCH_BODY_MAX ? jwt_object(json) : NULL;
	enum jwt_verdict v = JWT_MALFORMED;

	if (claims)
		v = json_is_true(json_object_get(claims, "active"))
			    ? judge(claims, want, false, user)
			    : JWT_INACTIVE;
	json_decref(claims);
	return v;
}

bool jwt_issuer(struct span token, char *out, size_t cap)
{
	const char *issuer = NULL;
	struct parts p;
	json_t *claims;
	bool good;

	if (!cut(token, &p))
		return false;
	claims = object_of(p.claims);
	issuer = claims ? jwt_text(claims, "iss") : NULL;
	good = issuer && strlen(issuer) < cap;
	if (good)
		memcpy(out, issuer, strlen(issuer) + 1);
	json_decref(claims);
	return good;
}
