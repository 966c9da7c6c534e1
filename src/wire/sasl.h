/*
 * sasl - the server side of SASL in protocols of lines (RFC 4422), without the I/O
 *
 * SMTP, IMAP and POP3 differ in how a line looks, not in what is in it. So this knows
 * nothing of them: the words behind AUTH go in, or one line of the exchange, and out comes
 * what to do next:
 *
 *     WANTS      say this challenge, in base64
 *     READY      the credentials are complete: have them checked
 *     FORWARD    a message of the client for whoever leads the exchange (SCRAM)
 *     BAD        it broke the rules: `bad` says which; the exchange is over
 *     CANCELLED  the client said "*"; likewise
 *     DONE       the client has heard our last words (see sasl_say_last())
 *
 * What is decoded lies in a struct sasl_room, which is lent for one step and holds secrets:
 * whoever lends it wipes what was used. Between steps nothing is kept but the user name of LOGIN.
 *
 * Base64 is taken strictly. No mechanism here may hold a NUL but PLAIN, where it separates.
 */
#ifndef WIRE_SASL_H
#define WIRE_SASL_H

#include "base/attr.h"
#include "base/buf.h"
#include "base/span.h"
#include "spec/limits.h"
#include "spec/messages.h"

enum sasl_at {
	SASL_IDLE,
	SASL_AT_FIRST,	  /* the client's first message is awaited */
	SASL_AT_PASSWORD, /* LOGIN: it said its name */
	SASL_AT_AUTH,	  /* who checks has the word: a challenge, or the end */
	SASL_AT_ANSWER,	  /* the client has it: the answer to a forwarded challenge */
	SASL_AT_LAST,	  /* our last words are out; whatever it says is the end */
};

struct sasl {
	enum sasl_mechanism mechanism;
	enum sasl_at at;
	uint8_t user_n;
	char user[USER_MAX]; /* of LOGIN, between its two answers; then for the session to use */
};

struct sasl_room {
	size_t used; /* how much of mem was written to since this was 0 */
	uint8_t mem[SASL_MAX];
};

enum sasl_kind {
	SASL_WANTS,
	SASL_READY,
	SASL_FORWARD,
	SASL_BAD,
	SASL_CANCELLED,
	SASL_DONE,
};

enum sasl_fault {
	SASL_FAULT_MECHANISM, /* none of those that are offered */
	SASL_FAULT_BASE64,
	SASL_FAULT_LONG,
	SASL_FAULT_BROKEN, /* base64 of something that the mechanism does not say */
};

struct sasl_event {
	enum sasl_kind kind;
	enum sasl_fault fault;	   /* of BAD */
	struct span text;	   /* of WANTS, not yet in base64, and of FORWARD */
	struct span authzid, user; /* of READY; user is empty where the secret has it */
	struct span secret;	   /* of READY: a password, a token, a first message */
};

/*
 * "PLAIN", or "PLAIN AGFsaWNlAHNlY3JldA==". offered: 1u << enum sasl_mechanism. What a
 * protocol has instead of an empty initial response is "=" here, too (RFC 4954, 4).
 */
struct sasl_event sasl_begin(struct sasl *s, unsigned offered, struct span argument,
			     struct sasl_room *room);
/* One line of the client, without its end. */
struct sasl_event sasl_line(struct sasl *s, struct span line, struct sasl_room *room);

/*
 * A command of the protocol's own (LOGIN of IMAP, USER and PASS of POP3) says it all, as
 * PLAIN does. The spans are handed on in the event.
 */
struct sasl_event sasl_password(struct sasl *s, struct span user, struct span secret);

/* Who checks has said something that the client has to answer, */
void sasl_say(struct sasl *s);
/* or for the last time: the client answers with nothing of meaning (RFC 4954, 4). */
void sasl_say_last(struct sasl *s);
/* It is over; a kept name is wiped. */
void sasl_end(struct sasl *s);

/* The names of mechanisms, as in AUTH, with spaces between them. */
void sasl_print(unsigned offered, struct buf *out);

/*
 * What a client says first with a token: RFC 7628, 3.1, or what XOAUTH2 has instead. user may
 * be empty with OAUTHBEARER: the token says who it is.
 */
void sasl_print_token(enum sasl_mechanism m, struct span user, struct span token,
		      struct buf *out);

/* Forget what is there, in a way that no compiler leaves out. */
void sasl_wipe(void *mem, size_t n);

#endif
