/*
 * token_maker - keys and tokens for tests, made with OpenSSL alone
 *
 * Nothing of crypt/jwt is used, so that a mistake there is not made here as well.
 */
#ifndef TESTS_UNIT_TOKEN_MAKER_H
#define TESTS_UNIT_TOKEN_MAKER_H

#include "expect.h"

#include <openssl/bn.h>
#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <string.h>

static inline void put_base64url(struct span bytes, struct buf *out)
{
	static const char letters[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

	for (size_t i = 0; i < bytes.n; i += 3) {
		size_t n = bytes.n - i < 3 ? bytes.n - i : 3;
		uint32_t v = 0;

		for (size_t k = 0; k < 3; k++)
			v = v << 8 | (k < n ? bytes.p[i + k] : 0u);
		for (size_t k = 0; k <= n; k++)
			buf_byte(out, (uint8_t)letters[v >> (18 - 6 * k) & 63]);
	}
}

static inline void put_bn(EVP_PKEY *key, const char *name, struct buf *out)
{
	uint8_t mem[1024];
	BIGNUM *n = NULL;

	assert_int_equal(EVP_PKEY_get_bn_param(key, name, &n), 1);
	put_base64url(span_of(mem, (size_t)BN_bn2bin(n, mem)), out);
	BN_free(n);
}

/* A member of "keys"; more: "\"alg\":\"RS256\"," or "" */
static inline void put_jwk(EVP_PKEY *key, const char *id, const char *more,
			   struct buf *out)
{
	uint8_t mem[200];
	size_t n = sizeof(mem);

	buf_fmt(out, "{%s", more);
	if (id)
		buf_fmt(out, "\"kid\":\"%s\",", id);
	if (EVP_PKEY_is_a(key, "RSA")) {
		buf_put(out, SPAN("\"kty\":\"RSA\",\"n\":\""));
		put_bn(key, "n", out);
		buf_put(out, SPAN("\",\"e\":\""));
		put_bn(key, "e", out);
	} else if (EVP_PKEY_is_a(key, "EC")) {
		size_t half;

		assert_int_equal(EVP_PKEY_get_octet_string_param(key, "pub", mem,
								 sizeof(mem), &n),
				 1);
		half = (n - 1) / 2;
		buf_fmt(out, "\"kty\":\"EC\",\"crv\":\"P-%zu\",\"x\":\"", half * 8);
		put_base64url(span_of(mem + 1, half), out);
		buf_put(out, SPAN("\",\"y\":\""));
		put_base64url(span_of(mem + 1 + half, half), out);
	} else {
		assert_int_equal(EVP_PKEY_get_raw_public_key(key, mem, &n), 1);
		buf_put(out, SPAN("\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\""));
		put_base64url(span_of(mem, n), out);
	}
	buf_put(out, SPAN("\"}"));
}

/* DER to r and s side by side. */
static inline size_t raw_signature(uint8_t *mem, size_t n, size_t half)
{
	const uint8_t *p = mem;
	ECDSA_SIG *s = d2i_ECDSA_SIG(NULL, &p, (long)n);

	assert_non_null(s);
	assert_int_equal(BN_bn2binpad(ECDSA_SIG_get0_r(s), mem, (int)half), half);
	assert_int_equal(BN_bn2binpad(ECDSA_SIG_get0_s(s), mem + half, (int)half), half);
	ECDSA_SIG_free(s);
	return 2 * half;
}

static inline void put_signature(EVP_PKEY *key, const EVP_MD *md, bool pss,
				 struct buf *out)
{
	uint8_t mem[1024];
	size_t n = sizeof(mem);
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	EVP_PKEY_CTX *how;

	assert_int_equal(EVP_DigestSignInit(ctx, &how, md, NULL, key), 1);
	if (pss) {
		assert_true(EVP_PKEY_CTX_set_rsa_padding(how, RSA_PKCS1_PSS_PADDING) > 0);
		assert_true(EVP_PKEY_CTX_set_rsa_pss_saltlen(how,
							     RSA_PSS_SALTLEN_DIGEST) > 0);
	}
	assert_int_equal(EVP_DigestSign(ctx, mem, &n, out->mem, out->len), 1);
	EVP_MD_CTX_free(ctx);
	if (EVP_PKEY_is_a(key, "EC"))
		n = raw_signature(mem, n, (size_t)(EVP_PKEY_get_bits(key) + 7) / 8);
	buf_byte(out, '.');
	put_base64url(span_of(mem, n), out);
}

/* header: all of it, as JSON. md NULL: that of the key itself. */
static inline void make_token(EVP_PKEY *key, const EVP_MD *md, bool pss,
			      const char *header, const char *claims, struct buf *out)
{
	buf_reset(out);
	put_base64url(span_str(header), out);
	buf_byte(out, '.');
	put_base64url(span_str(claims), out);
	put_signature(key, md, pss, out);
	assert_false(out->full);
}

#endif
