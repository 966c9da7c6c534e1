#include "io/selfsigned.h"

#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>

#define YEAR (365 * 24 * 3600L)

static bool add_extension(X509 *cert, int nid, const char *value)
{
	X509_EXTENSION *ext = X509V3_EXT_conf_nid(NULL, NULL, nid, value);
	bool added = ext && X509_add_ext(cert, ext, -1);

	X509_EXTENSION_free(ext);
	return added;
}

static bool set_serial(X509 *cert)
{
	uint8_t random[16];
	BIGNUM *n;
	bool is_set;

	if (RAND_bytes(random, sizeof(random)) != 1)
		return false;
	random[0] &= 0x7f;
	n = BN_bin2bn(random, sizeof(random), NULL);
	is_set = n && BN_to_ASN1_INTEGER(n, X509_get_serialNumber(cert));
	BN_free(n);
	return is_set;
}

/* The name goes into the alternative names, which is where it is looked for. */
static bool fill_in(X509 *cert, EVP_PKEY *key, const char *name)
{
	X509_NAME *subject = X509_get_subject_name(cert);
	char names[300];

	if ((size_t)snprintf(names, sizeof(names), "DNS:%s", name) >= sizeof(names))
		return false;
	return X509_set_version(cert, X509_VERSION_3) && set_serial(cert) &&
	       X509_gmtime_adj(X509_getm_notBefore(cert), -3600) &&
	       X509_gmtime_adj(X509_getm_notAfter(cert), YEAR) &&
	       X509_set_pubkey(cert, key) &&
	       X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC,
					  (const uint8_t *)"Holdfast demo", -1, -1, 0) &&
	       X509_set_issuer_name(cert, subject) &&
	       add_extension(cert, NID_basic_constraints, "critical,CA:FALSE") &&
	       add_extension(cert, NID_subject_alt_name, names) &&
	       X509_sign(cert, key, EVP_sha256()) > 0;
}

static bool take_text(BIO *bio, struct buf *out)
{
	char *text;
	long n = BIO_get_mem_data(bio, &text);

	if (n <= 0)
		return false;
	buf_put(out, span_of(text, (size_t)n));
	return !out->full;
}

static bool print(X509 *cert, EVP_PKEY *key, struct buf *cert_out, struct buf *key_out)
{
	BIO *c = BIO_new(BIO_s_mem()), *k = BIO_new(BIO_s_secmem());
	bool printed = c && k && PEM_write_bio_X509(c, cert) &&
		       PEM_write_bio_PrivateKey(k, key, NULL, NULL, 0, NULL, NULL) &&
		       take_text(c, cert_out) && take_text(k, key_out);

	BIO_free(c);
	BIO_free(k);
	return printed;
}

bool selfsigned_make(const char *name, struct buf *cert_out, struct buf *key_out,
		     struct err *err)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *cert = X509_new();
	bool made = key && cert && fill_in(cert, key, name) &&
		    print(cert, key, cert_out, key_out);

	X509_free(cert);
	EVP_PKEY_free(key);
	if (made)
		return true;
	return err_set(err, "making a certificate for %s: %s", name,
		       ERR_reason_error_string(ERR_peek_last_error()));
}
