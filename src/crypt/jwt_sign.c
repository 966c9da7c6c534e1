#include <openssl/err.h>
#include <openssl/rsa.h>
#include <string.h>

#include "crypt/jwt_inner.h"

/* clang-format off */
static const struct jwt_algorithm algorithms[] = {
	{ "RS256", JWT_RSA,     EVP_sha256, false, 0 },
	{ "RS384", JWT_RSA,     EVP_sha384, false, 0 },
	{ "RS512", JWT_RSA,     EVP_sha512, false, 0 },
	{ "PS256", JWT_RSA,     EVP_sha256, true,  0 },
	{ "ES256", JWT_P256,    EVP_sha256, false, 32 },
	{ "ES384", JWT_P384,    EVP_sha384, false, 48 },
	{ "EdDSA", JWT_ED25519, NULL,       false, 0 },
};
/* clang-format on */

const struct jwt_algorithm *jwt_algorithm(const char *name)
{
	for (size_t i = 0; name && i < COUNT_OF(algorithms); i++)
		if (strcmp(name, algorithms[i].name) == 0)
			return &algorithms[i];
	return NULL;
}

/* One number of a signature as DER: no zeros in front, but one if it looked negative. */
static void put_integer(struct span n, struct buf *out)
{
	while (n.n > 1 && n.p[0] == 0)
		n = span_skip(n, 1);
	buf_byte(out, 0x02);
	buf_byte(out, (uint8_t)(n.n + (n.p[0] >> 7)));
	if (n.p[0] & 0x80)
		buf_byte(out, 0);
	buf_put(out, n);
}

/* JOSE has r and s side by side (RFC 7518, 3.4), OpenSSL wants them in a sequence. */
static bool to_der(struct span raw, size_t half, struct buf *out)
{
	uint8_t mem[2 * (48 + 3)];
	struct buf body;

	if (raw.n != 2 * half)
		return false;
	buf_init(&body, mem, sizeof(mem));
	put_integer(span_head(raw, half), &body);
	put_integer(span_skip(raw, half), &body);
	buf_byte(out, 0x30);
	buf_byte(out, (uint8_t)body.len);
	buf_put(out, buf_span(&body));
	/* of these curves the length has one byte */
	return !body.full && body.len < 0x80 && !out->full;
}

static bool set_padding(EVP_PKEY_CTX *ctx, const struct jwt_algorithm *a)
{
	if (a->kind != JWT_RSA)
		return true;
	if (!a->pss)
		return EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PADDING) > 0;
	/* RFC 7518, 3.5: the salt is as long as the digest */
	return EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PSS_PADDING) > 0 &&
	       EVP_PKEY_CTX_set_rsa_pss_saltlen(ctx, RSA_PSS_SALTLEN_DIGEST) > 0;
}

bool jwt_signature_ok(const struct jwt_key *key, const struct jwt_algorithm *a,
		      struct span text, struct span signature)
{
	uint8_t mem[2 * (48 + 3) + 2];
	EVP_MD_CTX *ctx;
	EVP_PKEY_CTX *how;
	struct buf der;
	bool good;

	buf_init(&der, mem, sizeof(mem));
	if (a->half && !to_der(signature, a->half, &der))
		return false;
	if (a->half)
		signature = buf_span(&der);
	ctx = EVP_MD_CTX_new();
	good = ctx &&
	       EVP_DigestVerifyInit(ctx, &how, a->digest ? a->digest() : NULL, NULL,
				    key->key) > 0 &&
	       set_padding(how, a) &&
	       EVP_DigestVerify(ctx, signature.p, signature.n, text.p, text.n) == 1;
	EVP_MD_CTX_free(ctx);
	ERR_clear_error();
	return good;
}
