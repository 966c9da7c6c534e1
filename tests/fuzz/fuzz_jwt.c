/* A token, and the answer of an issuer: nothing that was not signed is right. */
#include "base/bug.h"
#include "crypt/jwt.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* RFC 8037, appendix A, and RFC 7515, A.3: nobody has their private keys any more. */
static const char set[] = "{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"kid\":\"ed\","
			  "\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"},"
			  "{\"kty\":\"EC\",\"crv\":\"P-256\",\"kid\":\"ec\","
			  "\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\","
			  "\"y\":\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0\"}]}";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct jwt_keys *keys;
	const struct jwt_wanted want = {
		.issuer = "i", .audience = "a", .user = "email", .wall = 1800000000
	};
	struct span in = span_of(data, size);
	char user[USER_MAX + 1], issuer[64];
	struct err err;

	if (!keys)
		BUG_IF(!jwt_keys_open(&keys, span_str(set), &err));
	/* the one of RFC 7515 is of another issuer, and has ended */
	BUG_IF(jwt_check(keys, in, &want, user) == JWT_RIGHT);
	if (jwt_issuer(in, issuer, sizeof(issuer)))
		BUG_IF(strlen(issuer) >= sizeof(issuer));
	if (jwt_check_answer(in, &want, user) == JWT_RIGHT)
		BUG_IF(*user == '\0' || strlen(user) > USER_MAX);
	return 0;
}
