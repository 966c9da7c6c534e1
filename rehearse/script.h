/*
 * script - one dialogue, compiled from the lines of a scenario file
 *
 * One string is one step. The first word says what to do:
 *
 *	expect 250 251     hear one reply; anything else than these ends the visit as refused at
 *	                   the present stage
 *	expect-text +OK    the same for POP3's LIST, RETR and their like: the text up to the lone
 *	                   dot belongs to the reply, unless it is a refusal
 *	hear               hear one reply and go on, whatever it says; 421 and BYE end the visit
 *	never 250          hear one reply; if it is so the server has broken a promise (a breach);
 *	                   go on either way
 *	none 500ms         listen that long: any reply is a breach
 *	send TEXT          TEXT and CRLF, {values} put in
 *	raw TEXT           TEXT alone; \r \n \t \0 \\ \xHH mean what they mean in C
 *	drip 3s TEXT       as raw, one byte each 3 s, the first at once
 *	fill 1m TEXT       as raw, over and over until 1 MiB or a little more has been sent: TEXT is
 *	                   never cut
 *	body 4k            a message of this size with header, and the end of data
 *	wait 270ms         let time pass; replies that come meanwhile wait
 *	hold               stay until the phase is over or the server ends it
 *	tls                shake hands; once more, if TLS is there: a renegotiation
 *	tls12              shake hands with TLS 1.2 at most: 1.3 knows no renegotiation
 *	done               the visit has got what it came for: its time stops here; in a repeat, what
 *	                   an attacker gets counts each time, timed from the one before
 *	repeat 26 | repeat forever ... again
 *	close | reset      hang up, with FIN or RST; the end of the dialogue is a close
 *	stage WORD         from here on the visit counts as being in this stage
 *
 * The status of a reply is: SMTP, its three digits (expect and never take the beginning of one:
 * 25 is 250 to 259); IMAP, what follows the tag (OK, NO, BAD), or "+", or for the greeting "OK",
 * "BYE", "PREAUTH"; untagged lines are skipped, literals in them too, except that BYE ends the
 * visit (but not after LOGOUT); POP3, "+OK", "-ERR" or "+".
 *
 * The stage follows from the first word of what is sent, for IMAP also from the second (EHLO:
 * helo, RCPT: rcpt, ...), or is said by `stage`. Other words keep it. It belongs to the place in
 * the dialogue: the second time through a loop it is the same as the first.
 *
 * Values, in send, raw, drip and fill: {n} the number of the visit; {address} {port} where the
 * client comes from; {to} {to-port} where it went; {domain}; {recipient} one that exists;
 * {login} {password} one that exists, the same for the whole visit; {random 8} letters;
 * {digits 3}; {number 1 99}; {base64 TEXT} with values inside, and escapes as in raw; {VALUE} a
 * value of the actor; {LIST} a word of a list of the scenario. `{{` is a brace.
 *
 * What is drawn depends on the seed, the actor, the visit (or the address) and the dialogue only.
 * In a value that is drawn once for an address, everything is: so {login} there is one for all
 * visits of the address, and {n}, {port} and values drawn once a visit are refused.
 */
#ifndef REHEARSE_SCRIPT_H
#define REHEARSE_SCRIPT_H

#include "base/attr.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/span.h"
#include "base/time.h"
#include "rehearse/limits.h"
#include "rehearse/rng.h"
#include "rehearse/words.h"

enum step_kind {
	STEP_EXPECT,
	STEP_HEAR,
	STEP_NEVER,
	STEP_NONE,
	STEP_SEND,
	STEP_RAW,
	STEP_DRIP,
	STEP_FILL,
	STEP_BODY,
	STEP_WAIT,
	STEP_HOLD,
	STEP_TLS,
	STEP_TLS12,
	STEP_BEGIN,
	STEP_DONE,
	STEP_REPEAT,
	STEP_AGAIN,
	STEP_CLOSE,
	STEP_RESET,
};

/* A list of words, or of choices with weights. Strings are owned by the scenario. */
struct words {
	const char *name;
	struct span *items;
	unsigned *weights; /* NULL: all alike */
	unsigned total;	   /* of the weights */
	size_t n;
};

/* When a value is drawn: each time, once a visit, or once for all visits of an address. */
enum draw { DRAW_EACH, DRAW_VISIT, DRAW_ADDRESS };

struct value {
	struct words words; /* may contain {values} that stand above this one */
	enum draw draw;
};

/* What steps draw from; all borrowed from the scenario and the run. */
struct pool {
	const struct words *lists;
	size_t lists_n;
	const struct value *values;
	size_t values_n;
	struct span domain;
	const struct span *recipients;
	size_t recipients_n;
	const struct span *logins; /* as "name:password" */
	size_t logins_n;
	uint64_t seed;
};

#define STEP_WORDS_MAX 8

struct text;
struct script_block;

struct step {
	enum step_kind kind;
	enum stage stage;	  /* from this step on */
	struct span text;	  /* what is sent if nothing varies; or as written */
	const struct text *parts; /* of what is sent */
	size_t most;		  /* bytes that are sent, at most; of fill, each time */
	int64_t number;		  /* times (-1: forever), or bytes */
	ms_t time;		  /* of wait, drip, none */
	uint16_t other;		  /* the step that belongs to it: again <-> repeat */
	struct span word[STEP_WORDS_MAX]; /* of expect, never */
	uint8_t words;
	bool varies;	   /* the text has values in it */
	bool text_follows; /* expect-text */
	bool leaves;	   /* QUIT or LOGOUT was the last that was sent */
};

struct script {
	struct step *steps; /* owned; `stage` is none, so there may be fewer than lines */
	size_t n;
	struct script_block *memory; /* owned: everything that is pointed to */
	bool has_done;
	bool needs_recipients, needs_logins; /* without, nothing is put in */
};

/*
 * Compile lines[0..n) into *out. Checks every word, number, loop, stage and value name (against
 * the pool's lists and values; the rest of the pool is not looked at). On failure e names the
 * number of the line (from 1) and what to do, and there is nothing to close. The lines may go
 * away afterwards; so may the pool, but script_expand() wants one with the same lists and values.
 */
MUST bool script_open(struct script *out, const char *const *lines, size_t n,
		      enum speaks speaks, const struct pool *pool, struct err *e);
void script_close(struct script *s);

/* Who is visiting: what values are drawn for. */
struct visitor {
	uint64_t actor;	  /* index */
	uint64_t visit;	  /* number over all workers */
	uint64_t address; /* index of the source address */
	char from[46];	  /* as text */
	uint16_t from_port;
	char to[46];
	uint16_t to_port;
	struct rng rng; /* for what is drawn each time */
};

/*
 * Put the values in and append the step's text to out. It is never longer than s->most, which is
 * EXPAND_MAX or less: of a recipient, a name or a password no more than 512 bytes are taken.
 */
void script_expand(const struct step *s, const struct pool *pool, struct visitor *v,
		   struct buf *out);

#endif
