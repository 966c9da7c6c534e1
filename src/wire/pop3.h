/*
 * pop3 - the server side of a POP3 dialogue, without the I/O
 *
 * As wire/smtp.h: bytes go in, events come out, answers go back in. VERB, ANSWER and BAD
 * each want exactly one pop3_reply() before the next event; until then pop3_next() returns
 * MORE and leaves the input alone.
 *
 *   START -USER-> NAMED -PASS-> OPEN
 *   START -AUTH-> IN_AUTH -answers-> OPEN
 *   START -STLS-> WANTS_TLS
 *   QUIT leads from anywhere to GONE, a refused login to START; pop3_verbs.def has the
 *   whole truth.
 *
 * An answer of several lines is begun with pop3_reply() and ended by whoever prints it;
 * texts of messages are made by wire/pop3_text.h.
 *
 * What may be a password is in no event but PASS, AUTH and ANSWER: their text is for who
 * checks it, never for a log.
 */
#ifndef WIRE_POP3_H
#define WIRE_POP3_H

#include "base/buf.h"
#include "spec/replies.h"
#include "wire/line.h"

enum pop3_state {
	POP3_START,
	POP3_NAMED,   /* USER was taken */
	POP3_IN_AUTH, /* lines are answers to our challenges (RFC 5034) */
	POP3_WANTS_TLS,
	POP3_OPEN, /* logged in: TRANSACTION of RFC 1939 */
	POP3_GONE,
	POP3_STATE_COUNT
};

enum pop3_verb {
	POP3_NONE,
#define VERB(id, ...) POP3_##id,
#include "wire/pop3_verbs.def"
	POP3_VERB_COUNT
};

enum pop3_kind {
	POP3_MORE,   /* nothing to do until there is more input, or an answer */
	POP3_VERB,   /* a verb that is legal here: verb, text */
	POP3_ANSWER, /* a line of an exchange: text, or odd if it is none */
	POP3_BAD,    /* a line we will not act on: odd says why, say suggests an answer */
};

struct pop3_event {
	enum pop3_kind kind;
	enum pop3_verb verb;
	enum event odd; /* of ANSWER and BAD */
	enum reply say; /* of BAD */
	bool lost;	/* of BAD: no lines will come */
	struct span text;
};

struct pop3 {
	struct line line;
	enum pop3_state state;
	enum pop3_verb asked; /* waits for its answer */
	uint32_t line_max, auth_max;
	bool mute; /* we refused a login: what follows may be a password */
};

/* auth_max: of the line AUTH and its answers (RFC 5034, 4). */
void pop3_init(struct pop3 *p, size_t line_max, size_t auth_max);
struct pop3_event pop3_next(struct pop3 *p, struct span *in);

/* Print the answer, and move to the state that it leads to. RE_NONE prints nothing. */
void pop3_reply(struct pop3 *p, enum reply r, struct span more, struct buf *out);
/* "+OK" and this text, instead of one of the table. */
void pop3_reply_ok(struct pop3 *p, struct span text, struct buf *out);
/* The answer to AUTH and its answers that asks for more. */
void pop3_reply_challenge(struct pop3 *p, struct span challenge, struct buf *out);
/*
 * "+OK text", or "-ERR [CODE] text" with a code of RFC 2449 or 3206 where there is one for
 * it. more follows the text.
 */
void pop3_print(enum reply r, struct span more, struct buf *out);

/* CAPA (RFC 2449): what is said depends on what may be done now. */
#define POP3_OFFERS_TLS	 (1u << 0)
#define POP3_OFFERS_USER (1u << 1)
#define POP3_OFFERS_UTF8 (1u << 2)

struct pop3_capa {
	unsigned offers;
	struct span mechanisms; /* "PLAIN LOGIN"; empty: none */
};

void pop3_print_capa(const struct pop3_capa *c, struct buf *out);

/* Up to two numbers with spaces between. -1: it is anything else; else how many. */
int pop3_numbers(struct span text, uint32_t out[2]);

const char *pop3_state_word(enum pop3_state s);

#endif
