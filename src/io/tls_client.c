/*
 * TLS with those to whom we go: how they have to prove who they are.
 */
#include <openssl/err.h>
#include <openssl/x509v3.h>

#include "io/tls_inner.h"

static bool open_client(struct tls *t, struct err *err)
{
	SSL_CTX *c;

	if (t->client)
		return true;
	c = tls_make_context(t, TLS_client_method(), err);
	if (!c)
		return false;
	if (SSL_CTX_dane_enable(c) != 1) {
		SSL_CTX_free(c);
		return tls_failed(err, "cannot use DANE");
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
	return tls_failed(err, path);
}

void tls_refuse_12(struct tls *t, bool only_13)
{
	t->setup.only_13 = only_13;
	if (t->client)
		SSL_CTX_set_min_proto_version(t->client, tls_oldest(t));
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
	ssl = tls_make_ssl(t, t->client, fd);
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
