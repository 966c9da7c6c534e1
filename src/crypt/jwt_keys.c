#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/param_build.h>
#include <stdlib.h>
#include <string.h>

#include "crypt/jwt_inner.h"

#define NUMBER_MAX (JWT_RSA_MAX / 8)

/* Of one name as a public exponent; larger ones only cost time. */
#define EXPONENT_MAX 8

/* ---- text ------------------------------------------------------------------------ */
/* base64_parse() wants the other two characters, and padding. */
bool jwt_base64(struct span text, struct buf *out)
{
	uint32_t bits = 0;
	unsigned have = 0;

	if (text.n % 4 == 1)
		return false;
	for (size_t i = 0; i < text.n; i++) {
		uint8_t c = text.p[i];
		uint32_t value;

		if (c >= 'A' && c <= 'Z')
			value = c - 'A';
		else if (c >= 'a' && c <= 'z')
			value = c - 'a' + 26u;
		else if (c >= '0' && c <= '9')
			value = c - '0' + 52u;
		else if (c == '-' || c == '_')
			value = c == '-' ? 62 : 63;
		else
			return false;
		bits = bits << 6 | value;
		have += 6;
		if (have < 8)
			continue;
		have -= 8;
		buf_byte(out, (uint8_t)(bits >> have));
	}
	/* two texts for the same bytes would be two tokens */
	return !out->full && (bits & ((1u << have) - 1)) == 0;
}

static bool is_shallow(struct span json)
{
	size_t depth = 0;
	bool quoted = false;

	for (size_t i = 0; i < json.n; i++) {
		uint8_t c = json.p[i];

		if (quoted && c == '\\')
			i++;
		else if (c == '"')
			quoted = !quoted;
		else if (!quoted && (c == '{' || c == '[') && ++depth > JWT_DEPTH_MAX)
			return false;
		else if (!quoted && (c == '}' || c == ']') && depth > 0)
			depth--;
	}
	return true;
}

json_t *jwt_object(struct span json)
{
	json_error_t unused;
	json_t *o = NULL;

	if (json.n && is_shallow(json))
		o = json_loadb((const char *)json.p, json.n, JSON_REJECT_DUPLICATES,
			       &unused);
	if (json_is_object(o))
		return o;
	json_decref(o);
	return NULL;
}

const char *jwt_text(const json_t *object, const char *name)
{
	return json_string_value(json_object_get(object, name));
}

/* ---- keys ------------------------------------------------------------------------ */
static bool number_of(const json_t *jwk, const char *name, struct buf *out)
{
	const char *text = jwt_text(jwk, name);

	return text && jwt_base64(span_str(text), out) && out->len > 0;
}

static EVP_PKEY *from_params(const char *kind, OSSL_PARAM_BLD *build)
{
	OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(build);
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, kind, NULL);
	EVP_PKEY *key = NULL;

	if (!params || !ctx || EVP_PKEY_fromdata_init(ctx) <= 0 ||
	    EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_PUBLIC_KEY, params) <= 0)
		key = NULL;
	EVP_PKEY_CTX_free(ctx);
	OSSL_PARAM_free(params);
	return key;
}

static EVP_PKEY *rsa_key(const json_t *jwk)
{
	uint8_t n_mem[NUMBER_MAX], e_mem[EXPONENT_MAX];
	OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
	BIGNUM *n = NULL, *e = NULL;
	EVP_PKEY *key = NULL;
	struct buf b;

	buf_init(&b, n_mem, sizeof(n_mem));
	if (number_of(jwk, "n", &b))
		n = BN_bin2bn(b.mem, (int)b.len, NULL);
	buf_init(&b, e_mem, sizeof(e_mem));
	if (number_of(jwk, "e", &b))
		e = BN_bin2bn(b.mem, (int)b.len, NULL);
	if (build && n && e && BN_num_bits(n) >= JWT_RSA_MIN && BN_is_odd(n) &&
	    BN_is_odd(e) && !BN_is_one(e) &&
	    OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_N, n) &&
	    OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_E, e))
		key = from_params("RSA", build);
	OSSL_PARAM_BLD_free(build);
	BN_free(n);
	BN_free(e);
	return key;
}

/*
 * As long as the field (RFC 7518, 6.2.1.2). Some issuers leave out the zeros in front, which is
 * one key of 128.
 */
static bool put_coordinate(const json_t *jwk, const char *name, size_t half,
			   struct buf *out)
{
	uint8_t mem[48];
	struct buf b;

	buf_init(&b, mem, half);
	if (!number_of(jwk, name, &b))
		return false;
	for (size_t i = b.len; i < half; i++)
		buf_byte(out, 0);
	buf_put(out, buf_span(&b));
	return true;
}

/* A point is 04, x and y; OpenSSL sees that it is on the curve. */
static EVP_PKEY *curve_key(const json_t *jwk, const char *group, size_t half)
{
	uint8_t mem[1 + 2 * 48];
	OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
	EVP_PKEY *key = NULL;
	struct buf b;

	buf_init(&b, mem, 1 + 2 * half);
	buf_byte(&b, 0x04);
	if (build && put_coordinate(jwk, "x", half, &b) &&
	    put_coordinate(jwk, "y", half, &b) && !b.full &&
	    OSSL_PARAM_BLD_push_utf8_string(build, OSSL_PKEY_PARAM_GROUP_NAME, group, 0) &&
	    OSSL_PARAM_BLD_push_octet_string(build, OSSL_PKEY_PARAM_PUB_KEY, b.mem, b.len))
		key = from_params("EC", build);
	OSSL_PARAM_BLD_free(build);
	return key;
}

static EVP_PKEY *ed25519_key(const json_t *jwk)
{
	uint8_t mem[32];
	struct buf b;

	buf_init(&b, mem, sizeof(mem));
	if (!number_of(jwk, "x", &b) || b.len != sizeof(mem))
		return NULL;
	return EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, b.mem, b.len);
}

/* clang-format off */
static const struct {
	const char *type, *curve; /* kty, crv */
	enum jwt_kind kind;
} kinds[] = {
	{ "RSA", NULL,      JWT_RSA },
	{ "EC",  "P-256",   JWT_P256 },
	{ "EC",  "P-384",   JWT_P384 },
	{ "OKP", "Ed25519", JWT_ED25519 },
};
/* clang-format on */

static bool kind_of(const json_t *jwk, enum jwt_kind *out)
{
	const char *type = jwt_text(jwk, "kty"), *curve = jwt_text(jwk, "crv");

	for (size_t i = 0; type && i < COUNT_OF(kinds); i++) {
		if (strcmp(type, kinds[i].type) != 0)
			continue;
		if (kinds[i].curve && (!curve || strcmp(curve, kinds[i].curve) != 0))
			continue;
		*out = kinds[i].kind;
		return true;
	}
	return false;
}

/* False: it is too long to be one of ours. Not there is fine. */
static bool copy(const json_t *jwk, const char *name, char *out, size_t cap)
{
	const char *text = jwt_text(jwk, name);

	if (!text)
		return true;
	if (strlen(text) >= cap)
		return false;
	memcpy(out, text, strlen(text) + 1);
	return true;
}

static EVP_PKEY *make_key(const json_t *jwk, enum jwt_kind kind)
{
	switch (kind) {
	case JWT_RSA:
		return rsa_key(jwk);
	case JWT_P256:
		return curve_key(jwk, "P-256", 32);
	case JWT_P384:
		return curve_key(jwk, "P-384", 48);
	case JWT_ED25519:
		return ed25519_key(jwk);
	case JWT_KINDS:
		break;
	}
	return NULL;
}

static bool take_key(struct jwt_key *out, const json_t *jwk)
{
	const char *use = jwt_text(jwk, "use");
	struct jwt_key k = { 0 };

	if ((use && strcmp(use, "sig") != 0) || !kind_of(jwk, &k.kind) ||
	    !copy(jwk, "kid", k.id, sizeof(k.id)) ||
	    !copy(jwk, "alg", k.algorithm, sizeof(k.algorithm)))
		return false;
	k.key = make_key(jwk, k.kind);
	ERR_clear_error();
	if (!k.key)
		return false;
	*out = k;
	return true;
}

bool jwt_keys_open(struct jwt_keys **out, struct span json, struct err *err)
{
	json_t *set = json.n <= FETCH_BODY_MAX ? jwt_object(json) : NULL;
	json_t *list = json_object_get(set, "keys");
	struct jwt_keys *keys = calloc(1, sizeof(*keys));

	if (!keys || !json_is_array(list)) {
		json_decref(set);
		free(keys);
		return err_set(err,
			       keys ? "it is not a key set (RFC 7517)" : "out of memory");
	}
	for (size_t i = 0; i < json_array_size(list) && keys->count < JWT_KEYS_MAX; i++)
		if (take_key(&keys->key[keys->count], json_array_get(list, i)))
			keys->count++;
	json_decref(set);
	if (keys->count == 0) {
		free(keys);
		return err_set(err, "the key set has no key for signatures that we know");
	}
	*out = keys;
	return true;
}

void jwt_keys_close(struct jwt_keys **keys)
{
	struct jwt_keys *k = *keys;

	*keys = NULL;
	if (!k)
		return;
	for (size_t i = 0; i < k->count; i++)
		EVP_PKEY_free(k->key[i].key);
	free(k);
}

size_t jwt_keys_count(const struct jwt_keys *keys)
{
	return keys->count;
}
