/*
 * dkim - what a DKIM signature is made over, and the field it is written in (RFC 6376)
 *
 * Relaxed/relaxed only, never with l=. Hashing and keys are for others: this file turns a
 * message into the bytes to hash, and signatures into a field. In order:
 *
 *     dkim_body_init/put/end       the body, in pieces of any size; hash what comes out
 *     dkim_fields_read(header)     which fields are signed
 *     dkim_print(...)              the field up to "b="
 *     dkim_signed_put(...)         hash what comes out: that is what the key signs
 *     dkim_finish(signature)       the rest of the field
 *
 * Which fields: those that people and programs act on. From, To, Cc, Subject and Reply-To
 * are named once more than they are there, so that nobody can add another one; the others in
 * the table likewise if they are there at all, because some relays add a Date or Message-ID
 * that is missing.
 */
#ifndef WIRE_DKIM_H
#define WIRE_DKIM_H

#include "base/attr.h"
#include "base/buf.h"
#include "base/span.h"

typedef void dkim_put(void *arg, struct span bytes);

/* ---- the body ---------------------------------------------------------------------------- */

struct dkim_body {
	dkim_put *put;
	void *arg;
	uint64_t ends; /* of lines, which count only if more follows */
	bool blank;    /* spaces, likewise */
	bool any;      /* there was something else */
	bool cr;       /* a CR, which may be half of an end */
};

void dkim_body_init(struct dkim_body *b, dkim_put *put, void *arg);
void dkim_body(struct dkim_body *b, struct span piece);
void dkim_body_end(struct dkim_body *b);

/* ---- the header ------------------------------------------------------------------------------ */

#define DKIM_FIELDS_MAX 64 /* that are signed */

struct dkim_fields {
	size_t count;
	struct {
		struct span text; /* borrowed: the field without its last CRLF */
		uint8_t row;	  /* of the table */
	} field[DKIM_FIELDS_MAX];
};

/*
 * header: the header section, without the empty line. False: it has no From field or more than one, or
 * more fields than are signed: such a message is no good to vouch for.
 */
MUST bool dkim_fields_read(struct dkim_fields *f, struct span header);

/*
 * The domain of the first address in the From field, in lower case (ASCII) and in the form
 * that it has there. False, and nothing written: there is none that could have a key.
 */
MUST bool dkim_from_domain(const struct dkim_fields *f, struct buf *out);

struct dkim_signature {
	const char *algorithm; /* "rsa-sha256", "ed25519-sha256" */
	const char *domain, *selector;
	struct span body_hash; /* not yet base64 */
	int64_t time;	       /* t=, seconds since 1970; 0: none */
	int64_t expires;       /* x=, likewise */
};

/* "DKIM-Signature: ... b=". */
void dkim_print(const struct dkim_signature *s, const struct dkim_fields *f,
		struct buf *out);
/* The header in its relaxed form: the signed fields, then that one. */
void dkim_signed_put(const struct dkim_fields *f, struct span field, dkim_put *put,
		     void *arg);
/* The signature behind "b=", folded, and the end of the line. */
void dkim_finish(struct span signature, struct buf *out);

#endif
