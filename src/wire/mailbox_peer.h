/*
 * mailbox_peer - the client side of IMAP and POP3 up to the login, without the I/O
 *
 * For a mailbox server behind us: RFC 9051 and 3501, 2971 (ID), 4959 (SASL-IR), 7888
 * (LITERAL+), 5530 (codes); RFC 1939, 2449 (CAPA, codes), 2595 (STLS), 5034 (AUTH); and
 * XCLIENT as Dovecot takes it. Bytes go in, answers come out; commands are printed into a
 * buf, and each gets one GOOD or REFUSED, in their order; the first is the greeting.
 *
 * The server is as little trusted as anybody: its lines and their number are bounded, and
 * what cannot be an answer is NONSENSE, once; from then on everything is swallowed. Only
 * CRLF ends a line. Nothing behind an answer is touched before it is asked for, so what
 * follows the login belongs to the client.
 */
#ifndef WIRE_MAILBOX_PEER_H
#define WIRE_MAILBOX_PEER_H

#include "base/addr.h"
#include "base/attr.h"
#include "base/buf.h"
#include "base/span.h"
#include "spec/limits.h"
#include "spec/messages.h"

#define MAILBOX_PEER_LINE  8192 /* the longest line, with its CRLF */
#define MAILBOX_PEER_LINES 200	/* up to the login */
#define MAILBOX_PEER_TEXT  200	/* kept of an answer */
#define MAILBOX_PEER_TAG   'h'	/* our tags in IMAP: this and a number */

enum mailbox_peer_kind {
	MAILBOX_PEER_MORE, /* nothing to do until there is more input */
	MAILBOX_PEER_GOOD,
	MAILBOX_PEER_REFUSED,  /* `why`; text as it came */
	MAILBOX_PEER_GO_ON,    /* it wants the rest of what was begun */
	MAILBOX_PEER_NONSENSE, /* text says what it is (ours, not the server's) */
};

/* What a refusal says by its code. */
enum mailbox_peer_why {
	MAILBOX_WHY_LOGIN,  /* the name or the password; so does one without a code */
	MAILBOX_WHY_LIMIT,  /* too many sessions of this user */
	MAILBOX_WHY_LATER,  /* not now */
	MAILBOX_WHY_SERVER, /* it cannot, or does not want to, whoever asks */
};

struct mailbox_peer_event {
	enum mailbox_peer_kind kind;
	enum mailbox_peer_why why;
	struct span text; /* cut at MAILBOX_PEER_TEXT; good until the next call */
};

/* What a server said that it can. */
#define MAILBOX_CAN_STARTTLS   (1u << 0)
#define MAILBOX_CAN_PLAIN      (1u << 1)
#define MAILBOX_CAN_INITIAL    (1u << 2) /* SASL-IR */
#define MAILBOX_CAN_NO_LOGIN   (1u << 3) /* LOGINDISABLED */
#define MAILBOX_CAN_ID	       (1u << 4)
#define MAILBOX_CAN_LITERAL    (1u << 5) /* LITERAL+ */
#define MAILBOX_CAN_LITERAL_4K (1u << 6) /* LITERAL-: up to 4096 bytes */
#define MAILBOX_CAN_XCLIENT    (1u << 7)
#define MAILBOX_CAN_BEARER     (1u << 8) /* AUTH=OAUTHBEARER */
#define MAILBOX_CAN_XOAUTH2    (1u << 9)

struct mailbox_peer {
	/* for the caller to read */
	unsigned can; /* MAILBOX_CAN_ bits */
	bool told;    /* it has said what it can since mailbox_peer_forget() */
	/* ---- */
	bool pop3, greeted, bad;
	bool listing;	  /* POP3: the answer to CAPA goes up to a dot */
	bool in_list;	  /* and has begun */
	uint8_t asked;	  /* IMAP: the tag of the last command, */
	uint8_t answered; /* and of the last one that was answered */
	unsigned lines;
	size_t seen; /* of the line that is not whole yet */
	uint8_t text_n;
	uint8_t text[MAILBOX_PEER_TEXT];
	uint16_t capability_n;
	uint8_t capability[CAPABILITY_MAX];
};

void mailbox_peer_init(struct mailbox_peer *p, bool pop3);
struct mailbox_peer_event mailbox_peer_next(struct mailbox_peer *p, struct span *in);

/* What was learnt of the server counts no more: it is inside TLS, or somebody logs in. */
void mailbox_peer_forget(struct mailbox_peer *p);
/* IMAP: what it can, as it said it, without "CAPABILITY "; empty: not told, or too long. */
struct span mailbox_peer_capability(const struct mailbox_peer *p);

/* ---- commands; each is one line, whose answer must be awaited unless it says otherwise ---- */

/* CAPABILITY, CAPA */
void mailbox_peer_ask(struct mailbox_peer *p, struct buf *out);
/* STARTTLS, STLS */
void mailbox_peer_starttls(struct mailbox_peer *p, struct buf *out);

/* For whom we come. */
struct mailbox_peer_client {
	struct endpoint peer, local;
	struct span session; /* [0-9a-z], what we call it */
};

/* ID or XCLIENT. Another command may follow at once. */
void mailbox_peer_identify(struct mailbox_peer *p, const struct mailbox_peer_client *c,
			   struct buf *out);
/* Which of these is needed for a mechanism: PLAIN, or one of tokens. */
unsigned mailbox_peer_can(enum sasl_mechanism m);
/*
 * AUTHENTICATE, AUTH. first: what the mechanism says first. True: it went with it; else it is
 * to be said when GO_ON comes.
 */
bool mailbox_peer_auth(struct mailbox_peer *p, enum sasl_mechanism m, struct span first,
		       struct buf *out);
void mailbox_peer_auth_line(struct span message, struct buf *out);
/*
 * LOGIN of IMAP, from piece `at` on, first 0. The result is where to go on when GO_ON
 * comes; 0: all is said.
 */
unsigned mailbox_peer_login(struct mailbox_peer *p, struct span user, struct span secret,
			    unsigned at, struct buf *out);
void mailbox_peer_user(struct span user, struct buf *out);
void mailbox_peer_pass(struct span secret, struct buf *out);
void mailbox_peer_bye(struct mailbox_peer *p, struct buf *out);

/* Can this be said at all (no NUL); and as the argument of USER or PASS (one line)? */
bool mailbox_peer_text_ok(struct span text);
bool mailbox_peer_line_ok(struct span text);

#endif
