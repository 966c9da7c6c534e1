/*
 * An authority, and what it says of clients: certificates for tests.
 */
#ifndef TESTS_CERT_MAKER_H
#define TESTS_CERT_MAKER_H

#include "expect.h"

#include <openssl/ec.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "base/list.h"

struct made_cert {
	EVP_PKEY *key;
	X509 *cert;
};

static inline void cert_extend(X509 *cert, X509 *by, int nid, const char *value)
{
	X509_EXTENSION *e;
	X509V3_CTX c;

	X509V3_set_ctx(&c, by, cert, NULL, NULL, 0);
	e = X509V3_EXT_conf_nid(NULL, &c, nid, value);
	assert_non_null(e);
	assert_int_equal(X509_add_ext(cert, e, -1), 1);
	X509_EXTENSION_free(e);
}

/* by: NULL, itself. names: subjectAltName; NULL: none. days: it is good for, from now. */
static inline struct made_cert cert_make(const struct made_cert *by, const char *name,
					 bool authority, const char *names, int days)
{
	static long serial;
	struct made_cert m = { EVP_EC_gen("P-256"), X509_new() };
	const struct made_cert *issuer = by ? by : &m;
	X509_NAME *subject;

	assert_true(m.key && m.cert);
	X509_set_version(m.cert, 2);
	ASN1_INTEGER_set(X509_get_serialNumber(m.cert), ++serial);
	X509_gmtime_adj(X509_getm_notBefore(m.cert), -2L * 86400);
	X509_gmtime_adj(X509_getm_notAfter(m.cert), days * 86400L);
	subject = X509_get_subject_name(m.cert);
	X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC,
				   (const unsigned char *)name, -1, -1, 0);
	X509_set_issuer_name(m.cert, X509_get_subject_name(issuer->cert));
	X509_set_pubkey(m.cert, m.key);
	cert_extend(m.cert, issuer->cert, NID_basic_constraints,
		    authority ? "critical,CA:TRUE" : "critical,CA:FALSE");
	if (names)
		cert_extend(m.cert, issuer->cert, NID_subject_alt_name, names);
	assert_true(X509_sign(m.cert, issuer->key, EVP_sha256()) > 0);
	return m;
}

static inline void cert_free(struct made_cert *m)
{
	EVP_PKEY_free(m->key);
	X509_free(m->cert);
}

static inline void cert_put_der(const struct made_cert *m, struct buf *list)
{
	unsigned char *der = NULL;
	int n = i2d_X509(m->cert, &der);

	assert_true(n > 0);
	list_put(list, span_of(der, (size_t)n));
	assert_false(list->full);
	OPENSSL_free(der);
}

static inline void cert_put_pem(const struct made_cert *m, struct buf *out)
{
	BIO *bio = BIO_new(BIO_s_mem());
	char *text;
	long n;

	assert_int_equal(PEM_write_bio_X509(bio, m->cert), 1);
	n = BIO_get_mem_data(bio, &text);
	buf_put(out, span_of(text, (size_t)n));
	assert_false(out->full);
	BIO_free(bio);
}

#endif
