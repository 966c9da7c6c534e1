/*
 * smtp - the server side of an SMTP dialogue, without the I/O
 *
 * Bytes go in, events come out, replies go back in:
 *
 *     while ((ev = smtp_next(&smtp, &in)).kind != SMTP_MORE)
 *             switch (ev.kind) ...
 *
 * VERB, CHUNK, END, ANSWER and BAD each want exactly one smtp_reply() before the next event;
 * until then smtp_next() returns MORE and leaves the input alone. So a slow decision (a
 * recipient that must be asked about, a commit) needs no extra state: just do not reply
 * yet.
 *
 *   START -EHLO-> READY -MAIL-> MAIL_OK -RCPT-> RCPT_OK -DATA-> IN_BODY -dot-> READY
 *                 READY -AUTH-> IN_AUTH -answers-> READY
 *                 RCPT_OK -BDAT-> IN_CHUNK -all of it-> CHUNKED -BDAT-> IN_CHUNK ...
 *                 IN_CHUNK -all of the last-> READY
 *                 READY -STARTTLS-> WANTS_TLS
 *   RSET leads from anywhere back; EHLO leads from anywhere to READY; QUIT to GONE.
 *   A step is taken when we say yes to it; smtp_verbs.def has the whole truth.
 *
 * BDAT is answered with RE_NONE: its chunk follows at once, and CHUNK or END wants the
 * reply. A BDAT that is not legal is reported as BAD once its chunk has been swallowed
 * (RFC 3030, 2); one whose size cannot be read is BAD with `lost` set: nobody knows what
 * the bytes behind it are, so the session must end.
 *
 * The engine does no I/O, reads no clock, allocates nothing and logs nothing. The spans
 * in an event point into the input, or to constants.
 */
#ifndef WIRE_SMTP_H
#define WIRE_SMTP_H

#include "base/buf.h"
#include "spec/replies.h"
#include "wire/line.h"

enum smtp_state {
	SMTP_START,
	SMTP_READY,
	SMTP_MAIL_OK,
	SMTP_RCPT_OK,
	SMTP_IN_BODY,
	SMTP_IN_CHUNK,
	SMTP_CHUNKED, /* between two chunks of a message */
	SMTP_IN_AUTH, /* lines are answers to our challenges (RFC 4954) */
	SMTP_WANTS_TLS,
	SMTP_GONE,
	SMTP_STATE_COUNT
};

enum smtp_verb {
	SMTP_NONE,
#define VERB(id, ...) SMTP_##id,
#include "wire/smtp_verbs.def"
	SMTP_VERB_COUNT
};

enum smtp_kind {
	SMTP_MORE,   /* nothing to do until there is more input, or a reply */
	SMTP_VERB,   /* a verb that is legal here: verb, text, high; size, last of BDAT */
	SMTP_TEXT,   /* some of the message, dots removed: text */
	SMTP_CHUNK,  /* a chunk is complete, but not the message */
	SMTP_END,    /* the message is complete: marks */
	SMTP_ANSWER, /* a line of an AUTH exchange: text, or odd if it is none */
	SMTP_BAD,    /* a line we will not act on: odd says why, say suggests a reply */
};

/* What was odd about a message. */
#define SMTP_HAS_BARE_LF  (1u << 0)
#define SMTP_HAS_BARE_CR  (1u << 1)
#define SMTP_HAS_FAKE_END (1u << 2) /* another server could have read an end in it */
#define SMTP_HAS_NUL_END  (1u << 3) /* the same, without a bare CR or LF: a NUL hides it */

struct smtp_event {
	enum smtp_kind kind;
	enum smtp_verb verb;
	enum event odd; /* of ANSWER; of BAD: EV_NONE is a consequence of what we refused */
	enum reply say;	   /* of BAD */
	unsigned marks;	   /* of CHUNK and END: SMTP_HAS_ bits */
	bool must_be_last; /* nothing may follow this verb before its reply */
	bool high;	   /* the line has bytes above 127 */
	bool last;	   /* of BDAT: LAST */
	bool lost;	   /* of BAD: the dialogue is out of step */
	uint64_t size;	   /* of BDAT */
	struct span text;  /* of VERB: the argument; of BAD: the line; of TEXT: message */
};

/* What a dialogue offers. The EHLO reply says it, and only what it says is taken. */
#define SMTP_OFFERS_CHUNKING (1u << 0)
#define SMTP_OFFERS_UTF8     (1u << 1)
#define SMTP_OFFERS_TLS	     (1u << 2)
#define SMTP_OFFERS_XCLIENT  (1u << 3)
#define SMTP_NORMALISES	     (1u << 4) /* bare CR and LF in messages become CRLF */
#define SMTP_OFFERS_AUTH     (1u << 5)
#define SMTP_OFFERS_DSN	     (1u << 6) /* RFC 3461 */
#define SMTP_KNOWS_AUTH \
	(1u << 7) /* MAIL may have AUTH= (RFC 4954, 5): offered, or done */
#define SMTP_OFFERS_BINARY (1u << 8) /* BINARYMIME; CHUNKING goes with it (RFC 3030, 3) */

#define SMTP_CHALLENGE_MAX \
	720 /* of AUTH, before it is base64: one line within REPLY_MAX */

struct smtp {
	struct line line;
	enum smtp_state state;
	enum smtp_verb asked; /* waits for its reply */
	unsigned offers;
	size_t line_max, auth_max; /* of commands, and of AUTH and its answers */
	unsigned marks;		   /* of the message under way */
	bool binary;		   /* BODY=BINARYMIME: chunks pass as they are */
	bool greeted;
	bool excused; /* we refused something: what was pipelined behind it is no offence */
	bool mute; /* we refused AUTH: what follows may be a password, which nobody repeats */
	/* the message under way */
	uint64_t left;	/* of the chunk */
	bool last;	/* it is the last one */
	bool at_bol;	/* behind a real CRLF, or at the start */
	bool held_cr;	/* a CR was taken that waits for its LF */
	bool dropping;	/* refuse: nothing is handed on behind the first oddity */
	uint8_t tell;	/* how far into something that looks like an end */
	bool tell_nul;	/* with a NUL in it */
	bool tell_bare; /* behind a bare CR or LF */
	/* a chunk that is swallowed, and what to say then */
	bool swallowing;
	enum event odd;
	enum reply say;
};

void smtp_init(struct smtp *s, size_t line_max, unsigned offers);
/* How long AUTH and its answers may be; else as other lines. */
void smtp_allow_auth(struct smtp *s, size_t auth_max);
struct smtp_event smtp_next(struct smtp *s, struct span *in);

/*
 * Print the reply, and move to the state that it leads to. `more` follows the text.
 * RE_NONE prints nothing. Of RE_GREETING and RE_HELO, more is the name of this host.
 */
void smtp_reply(struct smtp *s, enum reply r, struct span more, struct buf *out);

/* The reply to AUTH and its answers that asks for more; at most SMTP_CHALLENGE_MAX. */
void smtp_reply_challenge(struct smtp *s, struct span challenge, struct buf *out);

/* The reply to EHLO: who we are and what we offer. */
struct smtp_ehlo {
	struct span host;
	uint64_t size_max;
	uint64_t rcpt_max, mail_max; /* RFC 9422 */
	struct span mechanisms;	     /* of SMTP_OFFERS_AUTH: "PLAIN LOGIN" */
};

void smtp_reply_ehlo(struct smtp *s, const struct smtp_ehlo *e, struct buf *out);

void smtp_print_greeting(struct span host, struct buf *out);

/* Is the input a message now (or a chunk of one that is swallowed), not a command? */
static inline bool smtp_in_text(const struct smtp *s)
{
	return s->state == SMTP_IN_BODY || s->state == SMTP_IN_CHUNK || s->swallowing;
}

const char *smtp_verb_word(enum smtp_verb v);
const char *smtp_state_word(enum smtp_state s);

#endif
