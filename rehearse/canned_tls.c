#include "rehearse/canned_tls.h"

#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>

#define DAY (24 * 3600L)

static bool name_it(X509 *cert)
{
	static const unsigned char name[] = "canned.example.test";
	X509_NAME *subject = X509_get_subject_name(cert);
	X509_EXTENSION *names = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name,
						    "DNS:canned.example.test");
	bool named = names &&
		     X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, name, -1, -1,
						0) &&
		     X509_set_issuer_name(cert, subject) && X509_add_ext(cert, names, -1);

	X509_EXTENSION_free(names);
	return named;
}

static bool fill_in(X509 *cert, EVP_PKEY *key)
{
	return X509_set_version(cert, X509_VERSION_3) &&
	       ASN1_INTEGER_set(X509_get_serialNumber(cert), 1) &&
	       X509_gmtime_adj(X509_getm_notBefore(cert), -DAY) &&
	       X509_gmtime_adj(X509_getm_notAfter(cert), 7 * DAY) &&
	       X509_set_pubkey(cert, key) && name_it(cert) &&
	       X509_sign(cert, key, EVP_sha256()) > 0;
}

/* As little work and memory for each peer as the protocol allows. */
static void be_cheap(SSL_CTX *tls)
{
	SSL_CTX_set_options(tls, SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION |
					 SSL_OP_IGNORE_UNEXPECTED_EOF);
	SSL_CTX_set_num_tickets(tls, 0);
	SSL_CTX_set_session_cache_mode(tls, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_mode(tls, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
				      SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
}

bool canned_tls_open(SSL_CTX **out, struct err *e)
{
	SSL_CTX *tls = SSL_CTX_new(TLS_server_method());
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *cert = X509_new();
	bool made = tls && key && cert && fill_in(cert, key) &&
		    SSL_CTX_use_certificate(tls, cert) == 1 &&
		    SSL_CTX_use_PrivateKey(tls, key) == 1;

	X509_free(cert);
	EVP_PKEY_free(key);
	if (!made) {
		SSL_CTX_free(tls);
		return err_set(e, "making a certificate: %s",
			       ERR_reason_error_string(ERR_peek_last_error()));
	}
	be_cheap(tls);
	*out = tls;
	return true;
}

void canned_tls_close(SSL_CTX **tls)
{
	SSL_CTX_free(*tls);
	*tls = NULL;
}
