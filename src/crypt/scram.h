/*
 * scram - SCRAM-SHA-256 and SCRAM-SHA-256-PLUS, the server's side (RFC 5802, 7677)
 *
 * Own code over OpenSSL's HMAC rather than GNU SASL's: of a library we would use one
 * mechanism of one side, hand it keys and fake salts through callbacks that it keeps in
 * strings of its own, which are not wiped, and could not bound or fuzz what it parses.
 * Here it is a parser over spans and six HMACs.
 *
 * Passwords and names are taken as bytes: SASLprep is the identity for ASCII, and what is
 * not ASCII has to be given by the client in the form in which it was set.
 *
 *     scram_first()      the client's first message: who it says it is
 *     scram_challenge()  ours, with the keys of that user, or fake ones
 *     scram_final()      the client's proof: right or wrong, and our last words
 */
#ifndef CRYPT_SCRAM_H
#define CRYPT_SCRAM_H

#include "base/attr.h"
#include "base/buf.h"
#include "spec/limits.h"

#define SCRAM_HASH     32
#define SCRAM_SALT_MAX 64
#define SCRAM_ITERATIONS \
	15000		    /* RFC 7677 asks for 4,096 and more as machines get faster */
#define SCRAM_KEYS_MAX	256 /* as text */
#define SCRAM_NONCE_MAX 128
#define SCRAM_FIRST_MAX 1024 /* of a client's first message */

struct scram_keys {
	uint32_t iterations;
	uint8_t salt[SCRAM_SALT_MAX];
	size_t salt_n;
	uint8_t stored[SCRAM_HASH], server[SCRAM_HASH];
};

/* For a new password, with a random salt. It takes some milliseconds of CPU. */
MUST bool scram_make_keys(struct span secret, struct scram_keys *out);
/* stored and server from the secret, and from salt and iterations, which are there. */
MUST bool scram_derive(struct span secret, struct scram_keys *k);
/*
 * For a user who has none: the salt is the same each time, and nobody can tell it from a
 * real one without `key`. No proof fits these.
 */
void scram_fake_keys(const uint8_t key[32], struct span user, struct scram_keys *out);

/* "ITERATIONS,SALT,STORED,SERVER", the last three in base64, as Dovecot has it. */
void scram_print_keys(const struct scram_keys *k, struct buf *out);
MUST bool scram_read_keys(struct span text, struct scram_keys *out);

/* One exchange. Members are for crypt/scram.c, but user and authzid. */
struct scram {
	bool plus;		   /* SCRAM-SHA-256-PLUS */
	struct span user, authzid; /* in `names`; after scram_first() */
	uint8_t names[2 * USER_MAX];
	uint8_t gs2[USER_MAX * 3 + 64]; /* the header, as it came */
	size_t gs2_n;
	uint8_t bare[SCRAM_FIRST_MAX];
	size_t bare_n;
	uint8_t challenge[SCRAM_NONCE_MAX + SCRAM_SALT_MAX * 2 + 64];
	size_t challenge_n, nonce_n; /* the nonce of both begins behind "r=" of it */
	struct scram_keys keys;
	bool fake;
};

enum scram_said {
	SCRAM_GOOD,
	SCRAM_WRONG,  /* the proof does not fit, or the channel is another one */
	SCRAM_BROKEN, /* that is no SCRAM message */
	SCRAM_LATER,  /* there was no memory to look */
};

/*
 * offers_plus: it was offered over this connection, so that a client which says that it
 * was not ("y") has been lied to (RFC 5802, 6).
 */
enum scram_said scram_first(struct scram *s, struct span message, bool plus,
			    bool offers_plus);
/* nonce: printable, without commas; random for each exchange. fake: no proof will do. */
MUST bool scram_challenge(struct scram *s, const struct scram_keys *keys, bool fake,
			  struct span nonce, struct buf *out);
/* binding: what this connection has for the kind that the client chose; PLUS only. */
enum scram_said scram_final(struct scram *s, struct span message, struct span binding,
			    struct buf *out);

/* A nonce of 24 printable bytes. */
#define SCRAM_NONCE 24
void scram_nonce(uint8_t out[SCRAM_NONCE]);

#endif
