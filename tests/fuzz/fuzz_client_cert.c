/* What an edge says a client has shown: certificates, as auth reads them. */
#include <openssl/x509.h>

#include "base/bug.h"
#include "base/list.h"
#include "io/client_cert.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Its name fits the box that it is put into. */
static void read_mail(struct span der)
{
	const unsigned char *at = der.p;
	X509 *cert = d2i_X509(NULL, &at, (long)der.n);
	char name[64];
	size_t n = cert ? client_cert_mail(cert, name, sizeof(name)) : 0;

	BUG_IF(n > sizeof(name));
	X509_free(cert);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	/* nobody has the key of this one any more, so it vouches for nobody */
	static const char pem[] =
		"-----BEGIN CERTIFICATE-----\n"
		"MIIBfzCCASWgAwIBAgIUOkpHrPiW1sqyeWoZHJEII2S2vRswCgYIKoZIzj0EAwIw\n"
		"FDESMBAGA1UEAwwJYXV0aG9yaXR5MCAXDTI2MTEyMTIxNTAyN1oYDzIxMjYxMDI4\n"
		"MjE1MDI3WjAUMRIwEAYDVQQDDAlhdXRob3JpdHkwWTATBgcqhkjOPQIBBggqhkjO\n"
		"PQMBBwNCAASY1cX5Qm/n0morlEOYYUKBibrBsNOrWOZ12n1oKHBvFdfNDcK4R2cK\n"
		"kBUVpYgfciGuIBcbjM+E7LgaqfvMIZ4Po1MwUTAdBgNVHQ4EFgQUnNffn2b3Rb+1\n"
		"ynmRhWs6+fBwqKIwHwYDVR0jBBgwFoAUnNffn2b3Rb+1ynmRhWs6+fBwqKIwDwYD\n"
		"VR0TAQH/BAUwAwEB/zAKBggqhkjOPQQDAgNIADBFAiAV7u/SZ7RJmTCZYcOOFhKl\n"
		"nEQ1wHpPo/jOLhaNHNdNgwIhAOA36SODVaPMLhJLV349BSeRStiKzic5rQ+gcHo7\n"
		"XDFF\n"
		"-----END CERTIFICATE-----\n";
	static struct client_authorities *authorities;
	struct span list = span_of(data, size), der;
	char name[64];
	struct err err;

	if (!authorities)
		BUG_IF(!client_authorities_open(&authorities, span_str(pem), &err));
	if (!list_ok(list))
		return 0;
	BUG_IF(client_cert_check(authorities, list, name, sizeof(name)) != 0);
	while (list_next(&list, &der))
		read_mail(der);
	return 0;
}
