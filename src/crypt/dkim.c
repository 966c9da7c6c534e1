#include "crypt/dkim.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdlib.h>

#include "base/base64.h"
#include "crypt/sha256.h"
#include "spec/limits.h"

#define RSA_BITS     2048
#define RSA_BITS_MIN 1024
#define RSA_BITS_MAX 4096

struct dkim_secret {
	EVP_PKEY *key;
};

static bool failed(const char *what, struct err *err)
{
	const char *why = ERR_reason_error_string(ERR_peek_last_error());

	err_set(err, "%s: %s", what, why ? why : "out of memory");
	ERR_clear_error();
	return false;
}

/* Takes the key over. */
static struct dkim_secret *wrap(EVP_PKEY *key)
{
	struct dkim_secret *k = key ? calloc(1, sizeof(*k)) : NULL;

	if (k)
		k->key = key;
	else
		EVP_PKEY_free(key);
	return k;
}

bool dkim_make(struct dkim_secret **out, bool ed25519, struct err *err)
{
	struct dkim_secret *k = wrap(
		ed25519 ? EVP_PKEY_Q_keygen(NULL, NULL, "ED25519")
			: EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)RSA_BITS));

	if (!k)
		return failed("making a key", err);
	*out = k;
	return true;
}

/* No password is ever asked for: an encrypted key cannot be used. */
static int no_password(char *mem, int size, int writing, void *arg)
{
	(void)mem;
	(void)size;
	(void)writing;
	(void)arg;
	return -1;
}

bool dkim_read(struct dkim_secret **out, struct span pem, struct err *err)
{
	BIO *bio = pem.n <= DKIM_PEM_MAX ? BIO_new_mem_buf(pem.p, (int)pem.n) : NULL;
	struct dkim_secret *k = NULL;

	if (bio)
		k = wrap(PEM_read_bio_PrivateKey(bio, NULL, no_password, NULL));
	BIO_free(bio);
	if (!k)
		return failed("reading a key", err);
	if (!dkim_is_ed25519(k) &&
	    (!EVP_PKEY_is_a(k->key, "RSA") || dkim_bits(k) < RSA_BITS_MIN ||
	     dkim_bits(k) > RSA_BITS_MAX)) {
		dkim_close(&k);
		return err_set(
			err, "the key is neither RSA with 1024 to 4096 bits nor Ed25519");
	}
	*out = k;
	return true;
}

bool dkim_write(const struct dkim_secret *k, struct buf *pem, struct err *err)
{
	BIO *bio = BIO_new(BIO_s_secmem());
	char *text;
	long n = 0;

	if (bio &&
	    PEM_write_bio_PKCS8PrivateKey(bio, k->key, NULL, NULL, 0, NULL, NULL) == 1)
		n = BIO_get_mem_data(bio, &text);
	if (n > 0)
		buf_put(pem, span_of(text, (size_t)n));
	BIO_free(bio);
	return (n > 0 && !pem->full) || failed("printing a key", err);
}

void dkim_close(struct dkim_secret **key)
{
	struct dkim_secret *k = *key;

	*key = NULL;
	if (!k)
		return;
	EVP_PKEY_free(k->key);
	free(k);
}

struct dkim_secret *dkim_share(const struct dkim_secret *k)
{
	return EVP_PKEY_up_ref(k->key) == 1 ? wrap(k->key) : NULL;
}

bool dkim_is_ed25519(const struct dkim_secret *k)
{
	return EVP_PKEY_is_a(k->key, "ED25519") == 1;
}

unsigned dkim_bits(const struct dkim_secret *k)
{
	return (unsigned)EVP_PKEY_get_bits(k->key);
}

bool dkim_public(const struct dkim_secret *k, struct buf *out, struct err *err)
{
	uint8_t mem[DKIM_P_MAX / 4 * 3], *at = mem;
	size_t n = sizeof(mem);
	int got;

	if (dkim_is_ed25519(k)) {
		/* the 32 bytes alone (RFC 8463, 4) */
		if (EVP_PKEY_get_raw_public_key(k->key, mem, &n) != 1)
			return failed("printing a public key", err);
	} else {
		got = i2d_PUBKEY(k->key, NULL);
		if (got <= 0 || (size_t)got > sizeof(mem) ||
		    i2d_PUBKEY(k->key, &at) != got)
			return failed("printing a public key", err);
		n = (size_t)got;
	}
	base64_print(span_of(mem, n), out);
	return !out->full || err_set(err, "a public key is too long");
}

static bool sign_rsa(const struct dkim_secret *k, struct span digest, uint8_t *mem,
		     size_t *n)
{
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(k->key, NULL);
	/* the padding of PKCS #1 v1.5 is what EVP_PKEY_sign() begins with */
	bool good = ctx && EVP_PKEY_sign_init(ctx) == 1 &&
		    EVP_PKEY_CTX_set_signature_md(ctx, EVP_sha256()) == 1 &&
		    EVP_PKEY_sign(ctx, mem, n, digest.p, digest.n) == 1;

	EVP_PKEY_CTX_free(ctx);
	return good;
}

static bool sign_ed25519(const struct dkim_secret *k, struct span digest, uint8_t *mem,
			 size_t *n)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	bool good = ctx && EVP_DigestSignInit(ctx, NULL, NULL, NULL, k->key) == 1 &&
		    EVP_DigestSign(ctx, mem, n, digest.p, digest.n) == 1;

	EVP_MD_CTX_free(ctx);
	return good;
}

bool dkim_sign(const struct dkim_secret *k, struct span digest, struct buf *out,
	       struct err *err)
{
	uint8_t mem[SIGNATURE_MAX];
	size_t n = sizeof(mem);
	bool good;

	if (digest.n != SHA256_SIZE)
		return err_set(err, "what is to be signed is no SHA-256");
	good = dkim_is_ed25519(k) ? sign_ed25519(k, digest, mem, &n)
				  : sign_rsa(k, digest, mem, &n);
	if (!good)
		return failed("signing", err);
	buf_put(out, span_of(mem, n));
	return !out->full || err_set(err, "a signature is too long");
}
