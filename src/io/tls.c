#include "io/tls_inner.h"

#include <stdlib.h>

#include <openssl/err.h>

bool tls_failed(struct err *err, const char *what)
{
	char why[200];
	unsigned long code = ERR_peek_last_error();

	ERR_error_string_n(code, why, sizeof(why));
	ERR_clear_error();
	return err_set(err, "%s: %s", what, code ? why : "unknown reason");
}

bool tls_open(struct tls **out, const struct tls_setup *setup, struct err *err)
{
	struct tls *t = calloc(1, sizeof(*t));
	size_t n = strlen(setup->ciphers);

	if (!t)
		return err_set(err, "out of memory");
	if (n >= sizeof(t->ciphers)) {
		free(t);
		return err_set(err, "the list of ciphers is too long");
	}
	t->holders = 1;
	t->setup = *setup;
	memcpy(t->ciphers, setup->ciphers, n + 1);
	t->setup.ciphers = t->ciphers;
	*out = t;
	return true;
}

static void let_go(struct tls *t)
{
	if (--t->holders)
		return;
	for (size_t i = 0; i < t->name_count; i++)
		free(t->names[i].text);
	free(t->names);
	for (size_t i = 0; i < t->count; i++)
		SSL_CTX_free(t->certificates[i]);
	SSL_CTX_free(t->client);
	free(t);
}

void tls_close(struct tls **t)
{
	if (*t)
		let_go(*t);
	*t = NULL;
}

/* ---- contexts --------------------------------------------------------------------------- */

int tls_oldest(const struct tls *t)
{
	return t->setup.only_13 ? TLS1_3_VERSION : TLS1_2_VERSION;
}

SSL_CTX *tls_make_context(const struct tls *t, const SSL_METHOD *method, struct err *err)
{
	SSL_CTX *c = SSL_CTX_new(method);

	if (!c) {
		tls_failed(err, "cannot make a TLS context");
		return NULL;
	}
	SSL_CTX_set_min_proto_version(c, tls_oldest(t));
	SSL_CTX_set_options(c, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
				       SSL_OP_CIPHER_SERVER_PREFERENCE |
				       SSL_OP_IGNORE_UNEXPECTED_EOF);
	SSL_CTX_set_mode(c, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
				    SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	SSL_CTX_set_read_ahead(c, 1); /* one read() per record instead of two */
	/* tickets only: they cost us no memory, and one is enough */
	SSL_CTX_set_session_cache_mode(c, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_num_tickets(c, 1);
	SSL_CTX_set_session_id_context(c, (const unsigned char *)"holdfast", 8);
	if (*t->setup.ciphers && !SSL_CTX_set_cipher_list(c, t->setup.ciphers)) {
		tls_failed(err, "tls.ciphers");
		SSL_CTX_free(c);
		return NULL;
	}
	return c;
}

bool tls_has_certificates(const struct tls *t)
{
	return t->count > 0;
}

/* ---- connections ------------------------------------------------------------------------ */

SSL *tls_make_ssl(struct tls *t, SSL_CTX *c, int fd)
{
	struct of_ssl *own = calloc(1, sizeof(*own));
	SSL *ssl = own ? SSL_new(c) : NULL;

	if (!ssl || !SSL_set_fd(ssl, fd)) {
		SSL_free(ssl);
		free(own);
		return NULL;
	}
	own->tls = t;
	SSL_set_app_data(ssl, own);
	t->holders++;
	return ssl;
}

const char *tls_trouble(const struct ssl_st *ssl)
{
	long verify = SSL_get_verify_result(ssl);
	const char *why;

	if (verify != X509_V_OK)
		return X509_verify_cert_error_string(verify);
	why = ERR_reason_error_string(ERR_peek_last_error());
	return why ? why : "the connection broke";
}

void tls_release(struct ssl_st **ssl)
{
	struct of_ssl *own;

	if (!*ssl)
		return;
	own = SSL_get_app_data(*ssl);
	SSL_free(*ssl);
	*ssl = NULL;
	let_go(own->tls);
	free(own);
}
