/*
 * jwt_inner - what the three files of jwt share
 */
#ifndef CRYPT_JWT_INNER_H
#define CRYPT_JWT_INNER_H

#include <jansson.h>
#include <openssl/evp.h>

#include "base/buf.h"
#include "crypt/jwt.h"

/* JSON with texts and numbers for people; what is deeper wants something else. */
#define JWT_DEPTH_MAX 16

enum jwt_kind { JWT_RSA, JWT_P256, JWT_P384, JWT_ED25519, JWT_KINDS };

struct jwt_algorithm {
	const char *name;
	enum jwt_kind kind;
	const EVP_MD *(*digest)(void); /* NULL: part of the algorithm */
	bool pss;		       /* of RSA */
	size_t half;		       /* of the curves: bytes of one number */
};

/* NULL: none of ours. */
const struct jwt_algorithm *jwt_algorithm(const char *name);

struct jwt_key {
	EVP_PKEY *key;
	enum jwt_kind kind;
	char id[JWT_KEY_ID_MAX + 1]; /* "": it has none */
	char algorithm[16];	     /* the only one that it is for; "": not said */
};

struct jwt_keys {
	size_t count;
	struct jwt_key key[JWT_KEYS_MAX];
};

/* Base64 in the alphabet of URLs, without padding (RFC 7515, 2). */
MUST bool jwt_base64(struct span text, struct buf *out);

/* An object, without duplicate names and not deeper than JWT_DEPTH_MAX; NULL: it is none. */
json_t *jwt_object(struct span json);
/* A text of an object without a NUL in it; NULL: it is not there, or something else. */
const char *jwt_text(const json_t *object, const char *name);

bool jwt_signature_ok(const struct jwt_key *key, const struct jwt_algorithm *a,
		      struct span text, struct span signature);

#endif
