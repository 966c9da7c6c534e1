#include "crypt/scram.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <sodium.h>

#include "base/base64.h"
#include "base/number.h"

#define ITERATIONS_MAX 10000000
#define SALT_BYTES     16
#define B64_HASH       44 /* of 32 bytes */

/* ---- keys ----------------------------------------------------------------------------------- */

static bool hmac(struct span key, struct span text, uint8_t out[SCRAM_HASH])
{
	unsigned n = SCRAM_HASH;

	return HMAC(EVP_sha256(), key.p, (int)key.n, text.p, text.n, out, &n) != NULL;
}

static bool sha256(struct span text, uint8_t out[SCRAM_HASH])
{
	return EVP_Digest(text.p, text.n, out, NULL, EVP_sha256(), NULL) == 1;
}

/* RFC 5802, 3: SaltedPassword, ClientKey, StoredKey, ServerKey. */
bool scram_derive(struct span secret, struct scram_keys *k)
{
	uint8_t salted[SCRAM_HASH], client[SCRAM_HASH];
	bool ok;

	ok = PKCS5_PBKDF2_HMAC((const char *)secret.p, (int)secret.n, k->salt,
			       (int)k->salt_n, (int)k->iterations, EVP_sha256(),
			       SCRAM_HASH, salted) == 1 &&
	     hmac(span_of(salted, SCRAM_HASH), SPAN("Client Key"), client) &&
	     hmac(span_of(salted, SCRAM_HASH), SPAN("Server Key"), k->server) &&
	     sha256(span_of(client, SCRAM_HASH), k->stored);
	sodium_memzero(salted, sizeof(salted));
	sodium_memzero(client, sizeof(client));
	return ok;
}

bool scram_make_keys(struct span secret, struct scram_keys *out)
{
	*out = (struct scram_keys){ .iterations = SCRAM_ITERATIONS, .salt_n = SALT_BYTES };
	randombytes_buf(out->salt, SALT_BYTES);
	return scram_derive(secret, out);
}

void scram_fake_keys(const uint8_t key[32], struct span user, struct scram_keys *out)
{
	uint8_t made[SCRAM_HASH] = { 0 };

	*out = (struct scram_keys){ .iterations = SCRAM_ITERATIONS, .salt_n = SALT_BYTES };
	/* if it fails, the salt is still the same each time */
	(void)hmac(span_of(key, 32), user, made);
	memcpy(out->salt, made, SALT_BYTES);
	randombytes_buf(out->stored, sizeof(out->stored));
	randombytes_buf(out->server, sizeof(out->server));
}

void scram_print_keys(const struct scram_keys *k, struct buf *out)
{
	buf_number(out, k->iterations);
	buf_byte(out, ',');
	base64_print(span_of(k->salt, k->salt_n), out);
	buf_byte(out, ',');
	base64_print(span_of(k->stored, SCRAM_HASH), out);
	buf_byte(out, ',');
	base64_print(span_of(k->server, SCRAM_HASH), out);
}

static bool read_hash(struct span text, uint8_t out[SCRAM_HASH])
{
	struct buf b;

	buf_init(&b, out, SCRAM_HASH);
	return text.n == B64_HASH && base64_parse(text, &b) && b.len == SCRAM_HASH;
}

bool scram_read_keys(struct span text, struct scram_keys *out)
{
	struct span iterations = span_cut(&text, ','), salt = span_cut(&text, ','),
		    stored = span_cut(&text, ',');
	struct scram_keys k = { 0 };
	struct buf b;
	uint64_t n;

	buf_init(&b, k.salt, sizeof(k.salt));
	if (!number_parse(iterations, ITERATIONS_MAX, &n) || n == 0 ||
	    !base64_parse(salt, &b) || b.len == 0 || !read_hash(stored, k.stored) ||
	    !read_hash(text, k.server))
		return false;
	k.iterations = (uint32_t)n;
	k.salt_n = b.len;
	*out = k;
	return true;
}

/* ---- the client's first message ---------------------------------------------------------------- */

/* A name, in which "=2C" is a comma and "=3D" an equals sign (RFC 5802, 5.1). */
static bool read_name(struct span text, struct buf *out)
{
	for (size_t i = 0; i < text.n; i++) {
		struct span rest = span_skip(text, i);

		if (text.p[i] == '\0')
			return false;
		if (text.p[i] != '=') {
			buf_byte(out, text.p[i]);
			continue;
		}
		if (span_starts(rest, SPAN("=2C")))
			buf_byte(out, ',');
		else if (span_starts(rest, SPAN("=3D")))
			buf_byte(out, '=');
		else
			return false;
		i += 2;
	}
	return !out->full;
}

static bool keep(uint8_t *mem, size_t cap, size_t *n, struct span s)
{
	if (s.n == 0 || s.n > cap)
		return false;
	memcpy(mem, s.p, s.n);
	*n = s.n;
	return true;
}

/* "n,", "y," or "p=NAME,", then "a=NAME," or ",". What follows is left in *rest. */
static enum scram_said read_gs2(struct scram *s, struct span *rest, bool offers_plus,
				struct buf *names)
{
	struct span flag = span_cut(rest, ','), authzid;

	if (rest->n == 0)
		return SCRAM_BROKEN;
	authzid = span_cut(rest, ',');
	if (authzid.n && !span_starts(authzid, SPAN("a=")))
		return SCRAM_BROKEN;
	if (!read_name(span_skip(authzid, 2), names))
		return SCRAM_BROKEN;
	s->authzid = buf_span(names);
	if (span_starts(flag, SPAN("p=")))
		return s->plus && flag.n > 2 ? SCRAM_GOOD : SCRAM_BROKEN;
	if (s->plus)
		return SCRAM_BROKEN;
	if (span_eq(flag, SPAN("n")))
		return SCRAM_GOOD;
	if (!span_eq(flag, SPAN("y")))
		return SCRAM_BROKEN;
	return offers_plus ? SCRAM_WRONG : SCRAM_GOOD;
}

/* Printable, without a comma (RFC 5802, 7). */
static bool is_nonce(struct span s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] < 0x21 || s.p[i] > 0x7e || s.p[i] == ',')
			return false;
	return s.n >= 8 && s.n <= SCRAM_NONCE_MAX - SCRAM_NONCE;
}

enum scram_said scram_first(struct scram *s, struct span message, bool plus,
			    bool offers_plus)
{
	struct span rest = message, bare, user, nonce;
	enum scram_said said;
	struct buf names;

	*s = (struct scram){ .plus = plus };
	buf_init(&names, s->names, sizeof(s->names));
	said = read_gs2(s, &rest, offers_plus, &names);
	if (said == SCRAM_BROKEN)
		return said;
	bare = rest;
	user = span_cut(&rest, ',');
	nonce = span_cut(&rest, ',');
	/* "m=" in front is an extension that must be understood: there is none */
	if (!span_starts(user, SPAN("n=")) || !span_starts(nonce, SPAN("r=")) ||
	    !is_nonce(span_skip(nonce, 2)) || !read_name(span_skip(user, 2), &names) ||
	    !keep(s->gs2, sizeof(s->gs2), &s->gs2_n,
		  span_head(message, message.n - bare.n)) ||
	    !keep(s->bare, sizeof(s->bare), &s->bare_n, bare))
		return SCRAM_BROKEN;
	s->user = span_skip(buf_span(&names), s->authzid.n);
	s->nonce_n = nonce.n - 2;
	memcpy(s->challenge + 2, nonce.p + 2, s->nonce_n);
	return s->user.n == 0 ? SCRAM_BROKEN : said;
}

/* ---- the challenge --------------------------------------------------------------------------------- */

bool scram_challenge(struct scram *s, const struct scram_keys *keys, bool fake,
		     struct span nonce, struct buf *out)
{
	struct buf b;

	s->keys = *keys;
	s->fake = fake;
	buf_init(&b, s->challenge, sizeof(s->challenge));
	buf_put(&b, SPAN("r="));
	b.len += s->nonce_n; /* the client's is there already */
	buf_put(&b, nonce);
	s->nonce_n += nonce.n;
	buf_put(&b, SPAN(",s="));
	base64_print(span_of(keys->salt, keys->salt_n), &b);
	buf_put(&b, SPAN(",i="));
	buf_number(&b, keys->iterations);
	s->challenge_n = b.len;
	buf_put(out, buf_span(&b));
	return !b.full && !out->full;
}

void scram_nonce(uint8_t out[SCRAM_NONCE])
{
	uint8_t random[SCRAM_NONCE / 4 * 3];
	struct buf b;

	randombytes_buf(random, sizeof(random));
	buf_init(&b, out, SCRAM_NONCE);
	base64_print(span_of(random, sizeof(random)), &b);
}

/* ---- the client's final message ----------------------------------------------------------------------- */

/* c=: the header as it came, and with PLUS what the channel is (RFC 5802, 7). */
static bool same_channel(const struct scram *s, struct span c, struct span binding)
{
	uint8_t mem[sizeof(s->gs2) + DIGEST_MAX], text[(sizeof(mem) + 2) / 3 * 4];
	struct buf raw, b64;

	if (s->plus && binding.n == 0)
		return false;
	buf_init(&raw, mem, sizeof(mem));
	buf_init(&b64, text, sizeof(text));
	buf_put(&raw, span_of(s->gs2, s->gs2_n));
	if (s->plus)
		buf_put(&raw, span_head(binding, DIGEST_MAX));
	base64_print(buf_span(&raw), &b64);
	return !b64.full && c.n == b64.len && sodium_memcmp(c.p, b64.mem, c.n) == 0;
}

/* AuthMessage, and what follows from it. */
static bool prove(const struct scram *s, struct span without_proof,
		  const uint8_t proof[SCRAM_HASH], bool *right,
		  uint8_t signature[SCRAM_HASH])
{
	uint8_t mem[SCRAM_FIRST_MAX + sizeof(s->challenge) + SASL_MAX], mask[SCRAM_HASH],
		client[SCRAM_HASH], stored[SCRAM_HASH];
	struct buf text;
	bool ok;

	buf_init(&text, mem, sizeof(mem));
	buf_put(&text, span_of(s->bare, s->bare_n));
	buf_byte(&text, ',');
	buf_put(&text, span_of(s->challenge, s->challenge_n));
	buf_byte(&text, ',');
	buf_put(&text, without_proof);
	ok = !text.full &&
	     hmac(span_of(s->keys.stored, SCRAM_HASH), buf_span(&text), mask) &&
	     hmac(span_of(s->keys.server, SCRAM_HASH), buf_span(&text), signature);
	for (size_t i = 0; ok && i < SCRAM_HASH; i++)
		client[i] = proof[i] ^ mask[i];
	ok = ok && sha256(span_of(client, SCRAM_HASH), stored);
	*right = ok && sodium_memcmp(stored, s->keys.stored, SCRAM_HASH) == 0 && !s->fake;
	sodium_memzero(client, sizeof(client));
	return ok;
}

enum scram_said scram_final(struct scram *s, struct span message, struct span binding,
			    struct buf *out)
{
	size_t at = span_find_last(message, ',');
	struct span without = span_head(message, at), p = span_skip(message, at + 1),
		    rest = without, c = span_cut(&rest, ','), r = span_cut(&rest, ',');
	uint8_t proof[SCRAM_HASH], signature[SCRAM_HASH];
	bool right, same;

	if (!span_starts(c, SPAN("c=")) || !span_starts(r, SPAN("r=")) ||
	    !span_starts(p, SPAN("p=")) || !read_hash(span_skip(p, 2), proof))
		return SCRAM_BROKEN;
	if (!span_eq(span_skip(r, 2), span_of(s->challenge + 2, s->nonce_n)))
		return SCRAM_BROKEN;
	same = same_channel(s, span_skip(c, 2), binding);
	if (!prove(s, without, proof, &right, signature))
		return SCRAM_LATER;
	if (!right || !same)
		return SCRAM_WRONG;
	buf_put(out, SPAN("v="));
	base64_print(span_of(signature, SCRAM_HASH), out);
	return out->full ? SCRAM_BROKEN : SCRAM_GOOD;
}
