#include "crypt/sha256.h"

#include <openssl/evp.h>
#include <stdlib.h>

struct sha256 {
	EVP_MD_CTX *ctx;
	bool good;
};

struct sha256 *sha256_open(void)
{
	struct sha256 *h = calloc(1, sizeof(*h));

	if (!h)
		return NULL;
	h->ctx = EVP_MD_CTX_new();
	h->good = h->ctx && EVP_DigestInit_ex(h->ctx, EVP_sha256(), NULL) == 1;
	if (!h->good)
		sha256_close(&h);
	return h;
}

void sha256_close(struct sha256 **hash)
{
	struct sha256 *h = *hash;

	*hash = NULL;
	if (!h)
		return;
	EVP_MD_CTX_free(h->ctx);
	free(h);
}

void sha256_put(struct sha256 *h, struct span bytes)
{
	if (bytes.n)
		h->good &= EVP_DigestUpdate(h->ctx, bytes.p, bytes.n) == 1;
}

bool sha256_end(struct sha256 *h, uint8_t out[SHA256_SIZE])
{
	unsigned n = 0;
	bool good = h->good && EVP_DigestFinal_ex(h->ctx, out, &n) == 1 &&
		    n == SHA256_SIZE;

	h->good = EVP_DigestInit_ex(h->ctx, EVP_sha256(), NULL) == 1;
	return good;
}
