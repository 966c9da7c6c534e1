/*
 * imap - the server side of IMAP up to the login, without the I/O (RFC 3501, RFC 9051)
 *
 * As wire/smtp.h: bytes go in, events come out, answers go back in. VERB, LITERAL, ANSWER
 * and BAD each want exactly one imap_reply() (or another of the functions that print one)
 * before the next event; until then imap_next() returns MORE and leaves the input alone.
 *
 * A command may be several lines with literals between them. It stays in the input until
 * all of it is there, at most IMAP_COMMAND_MAX bytes; so whoever owns the input needs room
 * for more than that. LITERAL asks whether the client may send the literal that it has
 * announced; who has LITERAL+ (RFC 7888) does not ask. One that is too long, or where none
 * may be, is thrown away up to IMAP_SWALLOW_MAX, so that its bytes are never commands.
 *
 * What may be a password is in no event but LOGIN, AUTHENTICATE and ANSWER: their text is for
 * who checks it, never for a log.
 */
#ifndef WIRE_IMAP_H
#define WIRE_IMAP_H

#include "base/buf.h"
#include "spec/limits.h"
#include "spec/replies.h"
#include "wire/line.h"

#define IMAP_COMMAND_MAX (LINE_MAX_SMTP + 2048) /* with all its literals */
#define IMAP_SWALLOW_MAX (1u << 20) /* likewise, of those that are thrown away */
#define IMAP_ID_MAX	 33000 /* of an ID: 30 pairs of 30 and 1024 bytes (RFC 2971, 3.3) */
#define IMAP_LEARNT_MAX \
	600 /* of what mailbox servers offer: a reply is REPLY_MAX at most */

enum imap_state {
	IMAP_READY,
	IMAP_IN_AUTH, /* lines are answers to our challenges */
	IMAP_WANTS_TLS,
	IMAP_GONE,
	IMAP_STATE_COUNT
};

enum imap_verb {
	IMAP_NONE,
#define VERB(id, ...) IMAP_##id,
#include "wire/imap_verbs.def"
	IMAP_AUTH_MORE, /* an answer of the client within AUTHENTICATE */
	IMAP_REFUSED,	/* a line that we will not act on */
	IMAP_VERB_COUNT
};

enum imap_kind {
	IMAP_MORE,    /* nothing to do until there is more input, or an answer */
	IMAP_VERB,    /* a command that may be said now: verb, text */
	IMAP_LITERAL, /* may the client send the literal of this verb? */
	IMAP_ANSWER,  /* a line of an exchange: text, or odd if it is none */
	IMAP_BAD,     /* what we will not act on: odd says why, say suggests an answer */
};

struct imap_event {
	enum imap_kind kind;
	enum imap_verb verb;
	enum event odd;	  /* of ANSWER and BAD */
	enum reply say;	  /* of BAD */
	bool lost;	  /* of BAD: nobody knows where the next command begins */
	struct span text; /* of VERB: what is behind the verb, for imap_word(); of BAD: for
			     the log */
};

struct imap {
	struct line line;
	enum imap_state state;
	enum imap_verb verb;  /* of the command whose lines come */
	enum imap_verb asked; /* waits for its answer */
	enum event odd;	      /* dropping: what is said at the end of the command */
	enum reply say;
	uint32_t line_max;
	uint32_t swallow;   /* so many bytes of a literal are still to be thrown away, */
	uint32_t thrown;    /* of so many in this command */
	uint16_t at;	    /* of the command under way: where its next line begins */
	uint16_t skip;	    /* so much of the input was answered already */
	uint16_t skim;	    /* an ID too long to be kept: so much more of it may come */
	uint8_t skimmed[2]; /* what its last bytes were */
	bool at_literal;    /* the question is a LITERAL */
	bool dropping;	    /* the rest of the command is of no use */
	bool mute;	    /* we refused a login: what follows may be a password */
	uint8_t tag_n;	    /* 0: it has none that we would repeat */
	char tag[TAG_MAX];
};

void imap_init(struct imap *m, size_t line_max);
struct imap_event imap_next(struct imap *m, struct span *in);

/*
 * Print "TAG OK|NO|BAD [CODE] text more", with a code of RFC 5530 or RFC 9051 where there is
 * one, and move to the state that it leads to. RE_LITERAL_GO is a continuation.
 */
void imap_reply(struct imap *m, enum reply r, struct span more, struct buf *out);
/* The answer to AUTHENTICATE and its answers that asks for more. */
void imap_reply_challenge(struct imap *m, struct span challenge, struct buf *out);
/* "* BYE [CODE] text more" */
void imap_print_bye(enum reply r, struct span more, struct buf *out);

/* What is offered before the login. */
struct imap_offers {
	bool tls, login;
	struct span mechanisms; /* "PLAIN LOGIN"; empty: none */
	struct span learnt;	/* what the mailbox servers offer; empty: what is usual */
};

void imap_print_greeting(const struct imap_offers *o, struct span host, struct buf *out);
/* Answers: to CAPABILITY, to ID, and to a login. offers: as the mailbox server said it. */
void imap_reply_capability(struct imap *m, const struct imap_offers *o, struct buf *out);
void imap_reply_id(struct imap *m, struct buf *out);
void imap_reply_logged_in(struct imap *m, struct span offers, struct buf *out);

const char *imap_state_word(enum imap_state s);

#endif
