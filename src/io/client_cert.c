#include "io/client_cert.h"

#include <stdlib.h>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "base/list.h"

#define BETWEEN_MAX 8 /* certificates of one client; any chain that is longer is odd */

struct client_authorities {
	X509_STORE *store;
};

static bool add_all(X509_STORE *store, struct span pem)
{
	BIO *bio = pem.n <= INT32_MAX ? BIO_new_mem_buf(pem.p, (int)pem.n) : NULL;
	bool ok = bio != NULL, any = false;
	X509 *cert;

	while (ok && (cert = PEM_read_bio_X509(bio, NULL, NULL, NULL)) != NULL) {
		ok = X509_STORE_add_cert(store, cert) == 1;
		any = true;
		X509_free(cert);
	}
	BIO_free(bio);
	ERR_clear_error(); /* the end of the file leaves one behind */
	return ok && any;
}

bool client_authorities_open(struct client_authorities **out, struct span pem,
			     struct err *err)
{
	struct client_authorities *a = calloc(1, sizeof(*a));

	if (a)
		a->store = X509_STORE_new();
	if (!a || !a->store || !add_all(a->store, pem)) {
		client_authorities_close(&a);
		return err_set(err, "holds no certificates");
	}
	*out = a;
	return true;
}

void client_authorities_close(struct client_authorities **authorities)
{
	struct client_authorities *a = *authorities;

	*authorities = NULL;
	if (a)
		X509_STORE_free(a->store);
	free(a);
}

size_t client_cert_mail(const struct x509_st *cert, char *out, size_t room)
{
	GENERAL_NAMES *names = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
	size_t n = 0;

	for (int i = 0; n == 0 && i < sk_GENERAL_NAME_num(names); i++) {
		const GENERAL_NAME *g = sk_GENERAL_NAME_value(names, i);
		int length = g->type == GEN_EMAIL ? ASN1_STRING_length(g->d.rfc822Name)
						  : 0;

		if (length <= 0 || (size_t)length > room)
			continue;
		n = (size_t)length;
		memcpy(out, ASN1_STRING_get0_data(g->d.rfc822Name), n);
	}
	GENERAL_NAMES_free(names);
	return n;
}

/* Exactly that many bytes. */
static X509 *read_one(struct span der)
{
	const unsigned char *at = der.p;
	X509 *cert = d2i_X509(NULL, &at, (long)der.n);

	if (cert && at != der.p + der.n) {
		X509_free(cert);
		cert = NULL;
	}
	return cert;
}

static bool read_between(STACK_OF(X509) * between, struct span list)
{
	struct span der;

	while (list_next(&list, &der)) {
		X509 *cert = sk_X509_num(between) < BETWEEN_MAX ? read_one(der) : NULL;

		if (!cert)
			return false;
		if (!sk_X509_push(between, cert)) {
			X509_free(cert);
			return false;
		}
	}
	return true;
}

static bool is_vouched_for(const struct client_authorities *a, X509 *cert,
			   STACK_OF(X509) * between)
{
	X509_STORE_CTX *c = X509_STORE_CTX_new();
	bool good = c && X509_STORE_CTX_init(c, a->store, cert, between) == 1 &&
		    X509_STORE_CTX_set_default(c, "ssl_client") == 1 &&
		    X509_verify_cert(c) == 1;

	X509_STORE_CTX_free(c);
	return good;
}

size_t client_cert_check(const struct client_authorities *a, struct span list, char *out,
			 size_t room)
{
	STACK_OF(X509) *between = sk_X509_new_null();
	struct span der;
	X509 *cert = list_next(&list, &der) ? read_one(der) : NULL;
	size_t n = 0;

	if (cert && between && read_between(between, list) &&
	    is_vouched_for(a, cert, between))
		n = client_cert_mail(cert, out, room);
	X509_free(cert);
	sk_X509_pop_free(between, X509_free);
	ERR_clear_error();
	return n;
}
