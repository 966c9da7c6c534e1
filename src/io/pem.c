#include "io/pem.h"

#include <limits.h>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>

/* Whoever asks has nobody to type a passphrase. */
static int no_passphrase(char *buf, int size, int writing, void *arg)
{
	(void)buf;
	(void)size;
	(void)writing;
	(void)arg;
	return -1;
}

static BIO *reader(struct span pem)
{
	return pem.n <= INT_MAX ? BIO_new_mem_buf(pem.p, (int)pem.n) : NULL;
}

static X509 *read_certificate(struct span pem)
{
	BIO *in = reader(pem);
	X509 *cert = in ? PEM_read_bio_X509(in, NULL, no_passphrase, NULL) : NULL;

	BIO_free(in);
	return cert;
}

static EVP_PKEY *read_key(struct span pem)
{
	BIO *in = reader(pem);
	EVP_PKEY *key = in ? PEM_read_bio_PrivateKey(in, NULL, no_passphrase, NULL) : NULL;

	BIO_free(in);
	return key;
}

static struct pem_facts facts_of(const X509 *cert)
{
	struct pem_facts f = { 0 };
	int days = 0, seconds = 0;

	if (ASN1_TIME_diff(&days, &seconds, NULL, X509_get0_notAfter(cert)) == 1) {
		f.days_left = days;
		f.expired = days < 0 || seconds < 0;
	}
	if (ASN1_TIME_diff(&days, &seconds, NULL, X509_get0_notBefore(cert)) == 1)
		f.early = days > 0 || seconds > 0;
	return f;
}

bool pem_check(struct span chain, struct span key, struct pem_facts *facts,
	       struct err *err)
{
	X509 *cert = read_certificate(chain);
	EVP_PKEY *pkey = read_key(key);
	bool good = false;

	if (!cert)
		err_set(err, "there is no certificate in PEM form in it");
	else if (!pkey)
		err_set(err, "the key file holds no key in PEM form without a passphrase");
	else if (X509_check_private_key(cert, pkey) != 1)
		err_set(err, "the key does not belong to the certificate");
	else
		good = true;
	if (good)
		*facts = facts_of(cert);
	X509_free(cert);
	EVP_PKEY_free(pkey);
	ERR_clear_error();
	return good;
}

bool pem_ciphers_ok(const char *ciphers)
{
	SSL_CTX *c = SSL_CTX_new(TLS_server_method());
	bool good = c && (!*ciphers || SSL_CTX_set_cipher_list(c, ciphers) == 1);

	SSL_CTX_free(c);
	ERR_clear_error();
	return good;
}
