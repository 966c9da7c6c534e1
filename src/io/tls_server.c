/*
 * TLS with whoever comes to us: certificates, which one is shown, and what the client has shown.
 */
#include <stdlib.h>
#include <strings.h>

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>

#include "base/list.h"
#include "io/client_cert.h"
#include "io/stek.h"
#include "io/tls_inner.h"

#define CERT_MAX \
	8192 /* of a client, in DER; a larger one is no use, auth gets SASL_MAX */

/* ---- names ------------------------------------------------------------------------------ */

static bool add_name(struct tls *t, const char *text, size_t n, SSL_CTX *use)
{
	struct name *names = realloc(t->names, (t->name_count + 1) * sizeof(*names));

	if (!names)
		return false;
	t->names = names;
	names[t->name_count].text = strndup(text, n);
	names[t->name_count].use = use;
	if (!names[t->name_count].text)
		return false;
	t->name_count++;
	return true;
}

/* The DNS names in subjectAltName; without any, the common name (RFC 6125, 6.4.4). */
static bool add_names(struct tls *t, SSL_CTX *use)
{
	X509 *cert = SSL_CTX_get0_certificate(use);
	GENERAL_NAMES *alt = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
	size_t before = t->name_count;
	char common[DOMAIN_MAX + 1];
	bool ok = true;
	int n;

	for (int i = 0; ok && i < sk_GENERAL_NAME_num(alt); i++) {
		const GENERAL_NAME *g = sk_GENERAL_NAME_value(alt, i);

		if (g->type == GEN_DNS)
			ok = add_name(t, (const char *)ASN1_STRING_get0_data(g->d.dNSName),
				      (size_t)ASN1_STRING_length(g->d.dNSName), use);
	}
	GENERAL_NAMES_free(alt);
	if (!ok || t->name_count > before)
		return ok;
	n = X509_NAME_get_text_by_NID(X509_get_subject_name(cert), NID_commonName, common,
				      sizeof(common));
	return n <= 0 || add_name(t, common, (size_t)n, use);
}

static bool matches(const char *name, const char *asked)
{
	const char *dot;

	if (strcasecmp(name, asked) == 0)
		return true;
	dot = strchr(asked, '.');
	return strncmp(name, "*.", 2) == 0 && dot && strcasecmp(name + 1, dot) == 0;
}

static SSL_CTX *find(const struct tls *t, const char *asked, bool wildcards)
{
	for (size_t i = 0; i < t->name_count; i++) {
		if ((t->names[i].text[0] == '*') == wildcards &&
		    matches(t->names[i].text, asked))
			return t->names[i].use;
	}
	return NULL;
}

/* A name we do not have is no reason to fail: mail comes to whatever the MX was called. */
static int on_server_name(SSL *ssl, int *alert, void *arg)
{
	const char *asked = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
	const struct of_ssl *own = SSL_get_app_data(ssl);
	const struct tls *t = own->tls;
	SSL_CTX *use;

	(void)alert;
	(void)arg;
	if (!asked)
		return SSL_TLSEXT_ERR_NOACK;
	use = find(t, asked, false);
	if (!use)
		use = find(t, asked, true);
	if (use)
		SSL_set_SSL_CTX(ssl, use);
	return SSL_TLSEXT_ERR_OK;
}

/* ---- tickets ---------------------------------------------------------------------------- */

static bool seal_with(const struct stek_key *key, EVP_MAC_CTX *mac)
{
	OSSL_PARAM params[] = {
		OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, (void *)key->mac,
						  sizeof(key->mac)),
		OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, "SHA256", 0),
		OSSL_PARAM_construct_end(),
	};

	return EVP_MAC_CTX_set_params(mac, params) == 1;
}

/* As SSL_CTX_set_tlsext_ticket_key_evp_cb(3) says; AES-256 and HMAC as in RFC 5077, 4. */
static int on_ticket(SSL *ssl, unsigned char *name, unsigned char *iv,
		     EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac, int making)
{
	const struct of_ssl *own = SSL_get_app_data(ssl);
	const struct stek *stek = own->tls->setup.stek;
	enum stek_found found = STEK_NEWEST;
	struct stek_key key;
	bool good;

	if (!making)
		found = stek_find(stek, name, &key);
	else if (SSL_get0_peer_certificate(ssl)) /* with TLS 1.2: see on_verify() */
		found = STEK_NONE;
	else if (!stek_newest(stek, &key) || RAND_bytes(iv, EVP_MAX_IV_LENGTH) != 1)
		found = STEK_NONE;
	if (found == STEK_NONE) {
		explicit_bzero(&key, sizeof(key));
		return 0;
	}
	if (making)
		memcpy(name, key.name, sizeof(key.name));
	good = EVP_CipherInit_ex(cipher, EVP_aes_256_cbc(), NULL, key.cipher, iv,
				 making) == 1 &&
	       seal_with(&key, mac);
	explicit_bzero(&key, sizeof(key));
	if (!good)
		return -1;
	return found == STEK_NEWEST ? 1 : 2;
}

/* ---- certificates ----------------------------------------------------------------------- */

static BIO *bio_of(struct span s)
{
	return BIO_new_mem_buf(s.p, (int)s.n);
}

static bool use_chain(SSL_CTX *c, struct span chain)
{
	BIO *bio = bio_of(chain);
	X509 *cert = bio ? PEM_read_bio_X509(bio, NULL, NULL, NULL) : NULL;
	bool ok = cert && SSL_CTX_use_certificate(c, cert) == 1;

	X509_free(cert);
	while (ok && (cert = PEM_read_bio_X509(bio, NULL, NULL, NULL)))
		ok = SSL_CTX_add0_chain_cert(c, cert) == 1;
	BIO_free(bio);
	return ok;
}

static bool use_key(SSL_CTX *c, struct span key)
{
	BIO *bio = bio_of(key);
	EVP_PKEY *pkey = bio ? PEM_read_bio_PrivateKey(bio, NULL, NULL, "") : NULL;
	bool ok = pkey && SSL_CTX_use_PrivateKey(c, pkey) == 1;

	EVP_PKEY_free(pkey);
	BIO_free(bio);
	return ok;
}

bool tls_add(struct tls *t, struct span chain, struct span key, struct err *err)
{
	SSL_CTX *c;

	if (t->count == CERTIFICATES_MAX)
		return err_set(err, "more than %d certificates", CERTIFICATES_MAX);
	c = tls_make_context(t, TLS_server_method(), err);
	if (!c)
		return false;
	ERR_clear_error();
	if (!use_chain(c, chain)) {
		tls_failed(err, "cannot use the certificate");
		goto fail;
	}
	if (!use_key(c, key) || SSL_CTX_check_private_key(c) != 1) {
		tls_failed(err, "cannot use the private key");
		goto fail;
	}
	ERR_clear_error(); /* the end of the chain leaves one behind */
	SSL_CTX_set_tlsext_servername_callback(c, on_server_name);
	if (t->setup.stek)
		SSL_CTX_set_tlsext_ticket_key_evp_cb(c, on_ticket);
	if (!add_names(t, c)) {
		err_set(err, "out of memory");
		goto fail;
	}
	t->certificates[t->count++] = c;
	return true;
fail:
	SSL_CTX_free(c);
	return false;
}

/*
 * Whatever comes of it: who is not believed may go on, and log in with a password. There is
 * no ticket to come back with, because that holds the certificate and none of those between
 * it and the authority, which auth wants to see, too.
 */
static int on_verify(int good, X509_STORE_CTX *store)
{
	SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());

	(void)good;
	if (ssl)
		SSL_set_num_tickets(ssl, 0);
	return 1;
}

static bool trust(SSL_CTX *c, struct span authorities)
{
	BIO *bio = bio_of(authorities);
	bool ok = bio != NULL, any = false;
	X509 *cert;

	while (ok && (cert = PEM_read_bio_X509(bio, NULL, NULL, NULL)) != NULL) {
		ok = X509_STORE_add_cert(SSL_CTX_get_cert_store(c), cert) == 1 &&
		     SSL_CTX_add_client_CA(c, cert) == 1;
		any = true;
		X509_free(cert);
	}
	BIO_free(bio);
	ERR_clear_error(); /* the end of the file leaves one behind */
	return ok && any;
}

bool tls_ask_clients(struct tls *t, struct span authorities, struct err *err)
{
	for (size_t i = 0; i < t->count; i++) {
		if (!trust(t->certificates[i], authorities))
			return err_set(err, "holds no certificates");
		SSL_CTX_set_verify(t->certificates[i], SSL_VERIFY_PEER, on_verify);
	}
	return true;
}

size_t tls_client_name(const struct ssl_st *ssl, char *out, size_t room)
{
	const X509 *cert = SSL_get0_peer_certificate(ssl);

	if (!cert || SSL_get_verify_result(ssl) != X509_V_OK)
		return 0;
	return client_cert_mail(cert, out, room);
}

static bool put_der(const X509 *cert, struct buf *list)
{
	uint8_t mem[CERT_MAX], *at = mem;
	int n = i2d_X509(cert, NULL);

	if (n <= 0 || (size_t)n > sizeof(mem) || i2d_X509(cert, &at) != n)
		return false;
	list_put(list, span_of(mem, (size_t)n));
	return !list->full;
}

bool tls_client_chain(const struct ssl_st *ssl, struct buf *list)
{
	const X509 *cert = SSL_get0_peer_certificate(ssl);
	STACK_OF(X509) *between = SSL_get_peer_cert_chain(ssl);
	bool good = cert && put_der(cert, list);

	for (int i = 0; good && i < sk_X509_num(between); i++)
		good = put_der(sk_X509_value(between, i), list);
	return good;
}

/* ---- what a client's program looks like ---------------------------------------------------- */

/* Each message of each side comes by here: only the first of the client's matters. */
static void on_message(int from_us, int version, int type, const void *message, size_t n,
		       SSL *ssl, void *arg)
{
	struct of_ssl *own = SSL_get_app_data(ssl);

	(void)version;
	(void)arg;
	if (from_us || type != SSL3_RT_HANDSHAKE || n == 0)
		return;
	hello_read(span_of(message, n), &own->hello);
	SSL_set_msg_callback(ssl, NULL);
}

uint64_t tls_hello(const struct ssl_st *ssl)
{
	const struct of_ssl *own = SSL_get_app_data(ssl);

	return own->hello.hash;
}

struct span tls_hello_text(const struct ssl_st *ssl)
{
	const struct of_ssl *own = ssl ? SSL_get_app_data(ssl) : NULL;

	return own ? span_of(own->hello.text, own->hello.text_n) : SPAN_NONE;
}

/* RFC 5929, 4.1: with the hash of the certificate's signature, but never a weak one. */
static size_t hash_of_certificate(const SSL *ssl, uint8_t out[TLS_BINDING_MAX])
{
	const X509 *cert = SSL_get_certificate(ssl);
	int hash = NID_undef;
	const EVP_MD *md;
	unsigned n = 0;

	if (!cert)
		return 0;
	if (!OBJ_find_sigid_algs(X509_get_signature_nid(cert), &hash, NULL) ||
	    hash == NID_undef || hash == NID_md5 || hash == NID_sha1)
		hash = NID_sha256;
	md = EVP_get_digestbynid(hash);
	return md && EVP_MD_get_size(md) <= TLS_BINDING_MAX &&
			       X509_digest(cert, md, out, &n) == 1
		       ? n
		       : 0;
}

size_t tls_binding(struct ssl_st *ssl, uint8_t out[TLS_BINDING_MAX])
{
	static const char label[] = "EXPORTER-Channel-Binding";

	if (SSL_version(ssl) < TLS1_3_VERSION)
		return hash_of_certificate(ssl, out);
	return SSL_export_keying_material(ssl, out, 32, label, sizeof(label) - 1, NULL, 0,
					  0) == 1
		       ? 32
		       : 0;
}

/* ---- connections ------------------------------------------------------------------------ */

struct ssl_st *tls_server(struct tls *t, int fd)
{
	SSL *ssl = t->count ? tls_make_ssl(t, t->certificates[0], fd) : NULL;

	if (!ssl)
		return NULL;
	SSL_set_accept_state(ssl);
	SSL_set_msg_callback(ssl, on_message);
	return ssl;
}
