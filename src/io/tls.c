#include "io/tls.h"

#include <stdlib.h>
#include <strings.h>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "io/hello.h"
#include "spec/limits.h"

/* A name that a certificate is good for: "mx.example.org", or "*.example.org". */
struct name {
	char *text;
	SSL_CTX *use; /* borrowed from the certificates */
};

/* What belongs to one connection. */
struct of_ssl {
	struct tls *tls;
	struct hello hello; /* of a client of ours */
};

struct tls {
	size_t holders; /* whoever opened it, and each connection */
	struct tls_setup setup;
	char ciphers[TEXT_MAX];
	SSL_CTX *client; /* made when it is first needed */
	size_t count;
	SSL_CTX *certificates[CERTIFICATES_MAX];
	size_t name_count;
	struct name *names;
};

static bool failed(struct err *err, const char *what)
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

/* ---- contexts --------------------------------------------------------------------------- */

static SSL_CTX *make_context(const struct tls *t, const SSL_METHOD *method,
			     struct err *err)
{
	SSL_CTX *c = SSL_CTX_new(method);

	if (!c) {
		failed(err, "cannot make a TLS context");
		return NULL;
	}
	SSL_CTX_set_min_proto_version(c,
				      t->setup.only_13 ? TLS1_3_VERSION : TLS1_2_VERSION);
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
		failed(err, "tls.ciphers");
		SSL_CTX_free(c);
		return NULL;
	}
	return c;
}

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
	c = make_context(t, TLS_server_method(), err);
	if (!c)
		return false;
	ERR_clear_error();
	if (!use_chain(c, chain)) {
		failed(err, "cannot use the certificate");
		goto fail;
	}
	if (!use_key(c, key) || SSL_CTX_check_private_key(c) != 1) {
		failed(err, "cannot use the private key");
		goto fail;
	}
	ERR_clear_error(); /* the end of the chain leaves one behind */
	SSL_CTX_set_tlsext_servername_callback(c, on_server_name);
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

/* Whatever comes of it: who is not believed may go on, and log in with a password. */
static int on_verify(int good, X509_STORE_CTX *store)
{
	(void)good;
	(void)store;
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
	X509 *cert = SSL_get0_peer_certificate(ssl);
	GENERAL_NAMES *names;
	size_t n = 0;

	if (!cert || SSL_get_verify_result(ssl) != X509_V_OK)
		return 0;
	names = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
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

bool tls_has_certificates(const struct tls *t)
{
	return t->count > 0;
}

/* ---- connections ------------------------------------------------------------------------ */

static SSL *make_ssl(struct tls *t, SSL_CTX *c, int fd)
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

struct ssl_st *tls_server(struct tls *t, int fd)
{
	SSL *ssl = t->count ? make_ssl(t, t->certificates[0], fd) : NULL;

	if (!ssl)
		return NULL;
	SSL_set_accept_state(ssl);
	SSL_set_msg_callback(ssl, on_message);
	return ssl;
}

/* ---- the client side -------------------------------------------------------------------- */

static bool open_client(struct tls *t, struct err *err)
{
	SSL_CTX *c;

	if (t->client)
		return true;
	c = make_context(t, TLS_client_method(), err);
	if (!c)
		return false;
	if (SSL_CTX_dane_enable(c) != 1) {
		SSL_CTX_free(c);
		return failed(err, "cannot use DANE");
	}
	/* RFC 7672, 3.1.1: of DANE-EE(3) only the key counts */
	SSL_CTX_dane_set_flags(c, DANE_FLAG_NO_DANE_EE_NAMECHECKS);
	t->client = c;
	return true;
}

bool tls_trust(struct tls *t, const char *path, struct err *err)
{
	ERR_clear_error();
	if (!open_client(t, err))
		return false;
	if (SSL_CTX_load_verify_file(t->client, path) == 1)
		return true;
	return failed(err, path);
}

bool tls_record_usable(const struct tls_record *r)
{
	static const size_t sizes[] = { 0, 32, 64 }; /* matching: full, SHA-256, SHA-512 */

	return (r->usage == 2 || r->usage == 3) && r->selector <= 1 &&
	       r->matching < sizeof(sizes) / sizeof(*sizes) &&
	       (r->matching ? r->bytes.n == sizes[r->matching] : r->bytes.n > 0);
}

/* False: none of the records can be used. */
static bool use_records(SSL *ssl, const struct tls_peer *peer)
{
	bool any = false;

	if (SSL_dane_enable(ssl, peer->name) != 1)
		return false;
	for (size_t i = 0; i < peer->record_count; i++) {
		const struct tls_record *r = &peer->records[i];

		any = (tls_record_usable(r) &&
		       SSL_dane_tlsa_add(ssl, r->usage, r->selector, r->matching,
					 r->bytes.p, r->bytes.n) == 1) ||
		      any;
	}
	return any;
}

static bool demand_proof(SSL *ssl, const struct tls_peer *peer)
{
	bool ok = true;

	if (peer->proof == TLS_PROOF_NONE) {
		/* any TLS is better than none: old keys, too */
		SSL_set_security_level(ssl, 0);
		return true;
	}
	SSL_set_verify(ssl, SSL_VERIFY_PEER, NULL);
	SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
	if (peer->proof == TLS_PROOF_DANE)
		ok = use_records(ssl, peer);
	else
		ok = *peer->name && SSL_set1_host(ssl, peer->name) == 1;
	if (ok && *peer->also)
		ok = SSL_add1_host(ssl, peer->also) == 1;
	return ok;
}

/* RFC 6066, 3: names only. */
static bool is_address(const char *name)
{
	ASN1_OCTET_STRING *ip = a2i_IPADDRESS(name);

	ASN1_OCTET_STRING_free(ip);
	return ip;
}

struct ssl_st *tls_client(struct tls *t, int fd, const struct tls_peer *peer)
{
	struct err err;
	SSL *ssl;

	if (!open_client(t, &err))
		return NULL;
	ssl = make_ssl(t, t->client, fd);
	if (!ssl)
		return NULL;
	if (*peer->name && !is_address(peer->name))
		SSL_set_tlsext_host_name(ssl, peer->name);
	if (!demand_proof(ssl, peer)) {
		tls_release(&ssl);
		return NULL;
	}
	SSL_set_connect_state(ssl);
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
