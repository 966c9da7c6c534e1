/*
 * jwt - signed tokens (RFC 7519, 7515), and the key sets that they are checked against
 * (RFC 7517)
 *
 * Signatures by public keys only: RS256, RS384, RS512, PS256, ES256, ES384 and EdDSA
 * (Ed25519). `none` and the HMACs are refused whatever a key set says, and a key serves
 * the algorithms of its own kind alone, so that no token can choose how it is checked (RFC
 * 8725, 3.1). Tokens and key sets come from strangers: sizes and depth are bounded.
 */
#ifndef CRYPT_JWT_H
#define CRYPT_JWT_H

#include "base/err.h"
#include "base/span.h"
#include "spec/limits.h"

#define JWT_MAX	       SASL_MAX /* bytes of a token */
#define JWT_KEYS_MAX   32	/* kept of a key set */
#define JWT_KEY_ID_MAX 200
#define JWT_RSA_MIN    2048 /* bits */
#define JWT_RSA_MAX    8192

struct jwt_keys;

/*
 * Keys of kinds that we do not know, too short, or for encryption, are left out. False: it
 * is no key set, or none is left.
 */
MUST bool jwt_keys_open(struct jwt_keys **out, struct span json, struct err *err);
void jwt_keys_close(struct jwt_keys **keys);
size_t jwt_keys_count(const struct jwt_keys *keys);

enum jwt_verdict {
	JWT_RIGHT,
	JWT_MALFORMED,	 /* no token, or one with an extension that it says is critical */
	JWT_ALGORITHM,	 /* one that does not count here, or not with this key */
	JWT_UNKNOWN_KEY, /* the set has none of that name: a newer set may */
	JWT_SIGNATURE,
	JWT_ISSUER,
	JWT_AUDIENCE,
	JWT_EXPIRED,  /* or it says no end */
	JWT_EARLY,    /* its time has not come: nbf, iat */
	JWT_NO_USER,  /* the claim is missing, or no text that could be a user's name */
	JWT_INACTIVE, /* only of an introspection: the issuer says no */
	JWT_VERDICTS
};

/* A word for the log. */
extern const char *const jwt_word[JWT_VERDICTS];

struct jwt_wanted {
	const char *issuer;
	const char *audience; /* "": anything */
	const char *user;     /* the claim with the name of the user */
	int64_t wall;	      /* seconds since 1970 */
};

/*
 * On RIGHT, user holds the name in lower case (ASCII). Nothing of a token that is not
 * RIGHT may be believed.
 */
enum jwt_verdict jwt_check(const struct jwt_keys *keys, struct span token,
			   const struct jwt_wanted *want, char user[USER_MAX + 1]);

/*
 * The answer of an introspection (RFC 7662): no signature, as it came over TLS. It need
 * not name the issuer or an end, but must be active, and for the audience.
 */
enum jwt_verdict jwt_check_answer(struct span json, const struct jwt_wanted *want,
				  char user[USER_MAX + 1]);

/*
 * Who a token claims to be from, before anything is checked: to find the keys. False: it
 * is no token of this form.
 */
MUST bool jwt_issuer(struct span token, char *out, size_t cap);

#endif
