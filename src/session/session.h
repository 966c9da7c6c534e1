/*
 * session - what one peer may do next
 *
 * The whole life of a connection as one pure function: something happened (in), at a time
 * (now); this is what to do about it (out). edge/ carries out the orders and comes back
 * with what happened next.
 *
 * session_step() never frees the session, never calls back and never blocks. A session
 * ends by ordering DO_CLOSE or DO_ABORT, and edge/ frees it once the socket is gone.
 *
 * The shell's side of the contract:
 *
 * - The first step is IN_OPENED. Every step, whatever happened, comes with all bytes that
 *   were received and not yet consumed, and with all members below `bytes` filled in.
 *   out is zeroed but for peer, letter and room.
 * - Bytes stay unconsumed while a line is incomplete, while a question is open (VERIFY,
 *   ROOM, SUBMIT, TLS, FACTS, AUTH, MAY_SEND, BACKEND, TEXT, REMOVE), while an answer is held
 *   back (DELAY), and while out->peer has less room than REPLY_MAX. After the last of these,
 *   come back with IN_BYTES once what was said has been sent; after a question, its answer is
 *   the step that goes on;
 *   what is held back is said when IN_TIME comes. Meanwhile read nothing from the peer.
 * - An answer that comes when its question is no longer open is ignored (the session may
 *   have given up waiting); an answer to an older question of the same kind is for edge/
 *   to drop.
 * - If session.peer is somebody else after a step (PROXY, XCLIENT), come back at once with
 *   IN_BYTES and with what is thought of that client.
 * - IN_EOF once; what was received before it is still served, so steps may follow.
 * - After DO_CLOSE or DO_ABORT there are no more steps.
 *
 * Orders come together like this, and edge/ carries them out from left to right:
 *
 *     [DO_DROP]  then at most one of  DO_VERIFY, DO_ROOM, DO_SUBMIT, DO_TLS,
 *                                     DO_FACTS, DO_AUTH, DO_AUTH_MORE, DO_MAY_SEND,
 *                                     DO_BACKEND, DO_RELAY, DO_TEXT, DO_REMOVE,
 *                                     DO_CLOSE, DO_ABORT
 *
 * DO_DROP is about the transaction that was under way when the step began: its spool file
 * and whatever else edge/ holds for it. What is in the letter after the step belongs to
 * the next one, if session_has_letter().
 *
 * Secrets. What DO_AUTH and DO_AUTH_MORE hand over lies in the room that was lent and in the
 * bytes that were used in this step: edge/ wipes both as soon as it is sent. Whoever
 * checks is told that an exchange is over (AUTH_OVER) when session_in_exchange() is no more
 * true and it has not said so itself.
 */
#ifndef SESSION_SESSION_H
#define SESSION_SESSION_H

#include "base/addr.h"
#include "base/buf.h"
#include "base/time.h"
#include "conf/conf.h"
#include "session/standing.h"
#include "spec/box.h"
#include "spec/ends.h"
#include "spec/events.h"
#include "spec/messages.h"
#include "wire/header.h"
#include "wire/imap.h"
#include "wire/pop3.h"
#include "wire/pop3_text.h"
#include "wire/sasl.h"
#include "wire/smtp.h"

enum session_in_kind {
	IN_OPENED, /* the connection is there: the first step of every session */
	IN_BYTES,  /* bytes: all that was received and not yet consumed; may be empty */
	IN_EOF,	   /* the peer will send nothing more */
	IN_BROKEN, /* the connection is gone: no more can be said either */
	IN_TIME,   /* out->wake has come */
	IN_TLS,	   /* the handshake is done: tls */
	IN_TLS_FAILED,
	IN_VERDICT, /* the answer to DO_VERIFY: verdict */
	IN_ROOM,    /* the answer to DO_ROOM: there is room in the letter again */
	IN_NO_ROOM, /* the same, but it cannot be had: the disk is full or the store is gone */
	IN_SUBMITTED, /* the answer to DO_SUBMIT: submitted */
	IN_STOP,      /* we are stopping: end at the next good moment */
	IN_BYE,	      /* and this is the last one, after which it is cut off */
	IN_FACTS, /* the answer to DO_FACTS: standing->facts is as good as it will get */
	IN_CHALLENGE, /* an answer to DO_AUTH(_MORE): say text to the client */
	IN_AUTHED,    /* the other one: authed */
	IN_BACKEND,   /* the answer to DO_BACKEND: backend */
	IN_TEXT,      /* the answer to DO_TEXT: box->text */
	IN_REMOVED,   /* the answer to DO_REMOVE: box->left */
	IN_KINDS
};

/* What came of an exchange; see messages.def. Texts are good for this step. */
struct session_authed {
	enum authed result;
	enum event event; /* what the client did with it; EV_NONE: nothing */
	ms_t delay;	  /* before a refusal is told */
	struct span login, text;
};

/* How it went with the mailbox server. */
enum session_backend_result {
	BACKEND_READY, /* logged in there: relay */
	BACKEND_BOX,   /* there is none: POP3 from our own Maildir, which is open now */
	BACKEND_DENIES, /* it does not take a login that we take: our administrator's problem */
	BACKEND_LIMITS, /* it has too many sessions of this user: [LIMIT], [IN-USE] */
	BACKEND_DOWN,	/* it does not answer: [UNAVAILABLE], [SYS/TEMP] */
	BACKEND_RESULTS
};

/* Texts are good for this step. */
struct session_backend {
	enum session_backend_result result;
	struct span capability; /* IMAP: what it offers now, without "CAPABILITY "; may be empty */
	uint32_t count; /* BOX: messages, and their size together */
	uint64_t bytes;
};

/* The Maildir that BACKEND_BOX is about, in every step from there on. */
struct session_box {
	const struct box_item *items; /* of struct session_backend's count */
	uint8_t *removed; /* a bit for each: the session writes it, for DO_REMOVE */
	struct span text; /* of the message under way, not yet taken */
	bool text_ends;	  /* nothing comes behind it */
	bool text_gone;	  /* it is not there any more, or cannot be read, */
	bool lost;	  /* because we failed */
	uint32_t left;	  /* IN_REMOVED: so many could not be removed */
};

/* DO_AUTH: what somebody wants to log in with. Spans point into the room and the input. */
struct session_credentials {
	enum sasl_mechanism mechanism;
	struct span authzid, user, secret;
};

struct session_tls {
	char version[16]; /* "TLSv1.3" */
	char cipher[48];
	uint16_t bits;
	bool certified; /* the client has a certificate that we believe, with a user in it */
};

struct session_in {
	enum session_in_kind kind;
	struct span bytes;
	const struct session_tls *tls;
	enum verdict verdict;
	enum submitted submitted;
	struct span text; /* of IN_CHALLENGE */
	const struct session_authed *authed;
	const struct session_backend *backend;
	const struct session_box *box; /* NULL: none is open */
	/* who gets mail here: a mapped rcptmap that rcptmap_ok() found good */
	struct span recipients;
	/* there is a newer one, which could not be had yet: whom this one does not know is 451 */
	bool recipients_stale;
	/* what the mailbox servers offer before a login (IMAP), if that is known */
	struct span offers;
	bool storage_full;
	int64_t wall; /* wall clock, for the trace field */
	/* The queue id that the next message will have: taken if queue_id is it afterwards. */
	uint64_t next_id;
	/* What is thought of the client now; NULL: nothing. */
	const struct standing *standing;
	/* A blob that access_ok() found good, for names; SPAN_NONE: there is none. */
	struct span access;
	/*
	 * Put an address with its domain as the DNS has it (A-labels); or say why there is
	 * no such domain. NULL: domains stay as they are.
	 */
	const char *(*in_ascii)(struct span address, struct buf *out);
};

/*
 * A letter is the transaction under way: memory that edge/ lends. The envelope is a list
 * (base/list.h) of recipients; the body begins with the trace field. When either is too
 * full to go on, the session orders DO_ROOM and stops consuming; edge/ then lends more,
 * or writes the body to the spool file and empties the buffer, and comes back with
 * IN_ROOM. (An envelope is never spooled: it must grow up to ENVELOPE_MAX.)
 *
 * A letter is lent in every step, empty if there is no transaction, with room for at least
 * LETTER_ENVELOPE_MIN and LETTER_BODY_MIN, and where session_checks_from() with another
 * LETTER_FROM for the field of that name; NULL if there is no memory: MAIL gets 452.
 *
 * An item of the envelope is an address; behind it, after a tab, may be parameters of RFC
 * 3461 ("NOTIFY=NEVER ORCPT=...", and of the sender "ENVID=...").
 */
#define LETTER_ENVELOPE_MIN 1024
#define LETTER_BODY_MIN	    4096
#define LETTER_FROM	    1024

struct letter {
	struct buf envelope;
	struct buf body;
	struct buf from;
};

static inline struct span session_item_address(struct span item)
{
	return span_head(item, span_find(item, '\t'));
}

/* What is behind it, or nothing. */
static inline struct span session_item_params(struct span item)
{
	return span_skip(item, span_find(item, '\t') + 1);
}

#define DO_CLOSE (1u << 0) /* flush, then close */
/*
 * Flush, then start a TLS handshake. After STARTTLS there are no unread bytes: had there
 * been any, the session would have ended. Behind a PROXY header on a listener with
 * implicit TLS there may be: they are the beginning of the handshake.
 */
#define DO_TLS	  (1u << 1)
#define DO_VERIFY (1u << 2) /* ask the store about out->address */
#define DO_ROOM	  (1u << 3) /* make room in the letter */
#define DO_SUBMIT (1u << 4) /* give the letter to the store */
/* The transaction is over without a message: forget its spool file. */
#define DO_DROP	     (1u << 5)
#define DO_ABORT     (1u << 6) /* close without saying anything more (reset) */
#define DO_FACTS     (1u << 7) /* say when the look-ups about the client are over */
#define DO_AUTH	     (1u << 8) /* have out->credentials checked */
#define DO_AUTH_MORE (1u << 9) /* hand out->more to whoever leads the exchange */
#define DO_MAY_SEND \
	(1u << 10) /* ask whether session_login() may send from out->address */

/* IMAP, POP3: have session_login()'s mailbox server ready, logged in. IN_BACKEND comes. */
#define DO_BACKEND (1u << 11)
/*
 * Our last words are in out->peer; behind them client and mailbox server talk with each
 * other, beginning with the bytes that were not consumed. There are no more steps.
 */
#define DO_RELAY (1u << 12)
/*
 * POP3 from our own Maildir. Have some text of message out->number in session_in.box, the
 * first of it unless session_reads_text() was true before; once that is false, nobody wants
 * the rest.
 */
#define DO_TEXT	  (1u << 13)
#define DO_REMOVE (1u << 14) /* remove what is marked, if anything is; close the box */

/* The last refusal, for the log: reply is RE_NONE if there was none in this step. */
struct session_refusal {
	enum reply reply;
	struct span text; /* what was refused: an address, a verb; good until in.bytes or the
			     letter change */
};

struct session_out {
	unsigned orders;  /* DO_ bits */
	size_t used;	  /* how many of the bytes were consumed */
	ms_t wake;	  /* when IN_TIME is wanted; MS_NEVER for never */
	struct buf *peer; /* what to say to the peer: room for OUT_MAX at the start */
	struct letter *letter;	/* lent; kept by edge/ while session_has_letter() */
	struct sasl_room *room; /* lent for this step; NULL: nobody can log in */
	struct span address;	/* DO_VERIFY, DO_MAY_SEND; good until the next step */
	struct session_credentials credentials; /* DO_AUTH; good for this step, as is */
	struct span more;			/* DO_AUTH_MORE */
	uint16_t seen[EVENT_COUNT];		/* what the peer did in this step */
	struct session_refusal refused;
	/* The rule of the guard that refused in this step; RULE_NONE: none did. */
	enum rule refused_by;
	bool only_observed; /* it would have, but guard.observe has it */
	bool passed;	    /* the client has waited for our greeting */
	uint32_t number;    /* DO_TEXT: which message, from 0 */
	size_t text_used;   /* how much of box->text was taken, */
	bool text_done;	    /* and it is the last of that message that is wanted */
	bool unsaid;	    /* come back with IN_BYTES once what was said has been sent */
	struct span not_own; /* an address that is not its own, and was let pass (log) */
};

enum session_phase {
	PHASE_OPEN,  /* nothing happened yet */
	PHASE_PROXY, /* a PROXY header must come first */
	PHASE_WAIT,  /* the greeting is delayed */
	PHASE_TALK,
	PHASE_TLS,     /* the handshake is under way */
	PHASE_VERIFY,  /* the store was asked about a recipient */
	PHASE_ROOM,    /* waiting for room in the letter */
	PHASE_SUBMIT,  /* the store has the letter */
	PHASE_FACTS,   /* waiting for look-ups about the client */
	PHASE_DELAY,   /* an answer is held back */
	PHASE_AUTH,    /* auth was asked about a login */
	PHASE_SENDER,  /* the store was asked about a sender address */
	PHASE_BACKEND, /* the mailbox server was asked for */
	PHASE_BOX,     /* the store was asked about a message, or to remove some */
	PHASE_RELAY,   /* no more steps: client and mailbox server talk with each other */
	PHASE_OVER,
};

/* What is being said about a box: an answer of many lines, which needs several steps. */
enum maildrop_says {
	MAILDROP_NOTHING,
	MAILDROP_SIZES, /* LIST */
	MAILDROP_UIDS,
	MAILDROP_OPENS, /* RETR, TOP: is it still there? */
	MAILDROP_TEXT,
};

/* What a POP3 session knows of its box (RFC 1939). */
struct maildrop {
	enum maildrop_says says;
	uint32_t count; /* messages, the removed ones included */
	uint32_t removed;
	uint32_t at;	/* which is said next, or being read */
	uint64_t bytes; /* of those that are not removed */
	struct pop3_text text;
};

struct session_setup {
	const struct conf *conf;	 /* borrowed; outlives the session */
	const struct listener *listener; /* borrowed likewise */
	struct endpoint peer, local;
	bool tls_ready; /* there is a certificate: STARTTLS may be offered */
	ms_t now;
	/* over a socket of this machine: as whom the kernel says that it came; else empty */
	struct span login;
	bool any_sender; /* it may give any sender address: root */
};

/*
 * Members are for session/ to write. edge/ and the log may read those above the line.
 * About 1,000 bytes: there is one for every idle connection.
 */
struct session {
	const struct conf *conf;
	const struct listener *listener;
	struct endpoint peer; /* the client: as told by PROXY or XCLIENT, if we believe it */
	struct endpoint via; /* who really connected */
	enum session_phase phase;
	enum end end;
	bool in_tls;
	uint8_t helo_n;
	/* as the peer said it, of IMAP the name in ID: escape before printing */
	char helo[DOMAIN_MAX];
	uint32_t flags;	     /* MAIL_ bits of the transaction */
	uint32_t rcpt_count; /* accepted in this transaction */
	uint64_t body_size; /* of the message so far, trace field included, spooled or not */
	uint64_t queue_id; /* of the message under way, since its body began */
	uint32_t messages, commands, errors;
	/* of who reads mail: the commands up to the first login, each once, as they came */
	uint32_t order;
	uint64_t bytes_in;
	ms_t opened_at;
	struct session_tls tls; /* if in_tls */
	/* ---- */
	union { /* as the listener's service is */
		struct {
			struct smtp smtp;
			struct header header; /* of the message under way */
		};
		struct imap imap;
		struct {
			struct pop3 pop3;
			struct maildrop maildrop;
		};
	};
	struct sasl sasl; /* its user: who is logged in, see session_login() */
	unsigned marks;	  /* see session/inside.h */
	enum reply fault; /* why the message under way is refused at its end */
	uint32_t junk, unknown;
	uint16_t asked_n;    /* how long the item is that was asked about */
	uint16_t from_at;    /* how much of letter.from was judged */
	uint32_t auth_delay; /* what a refusal waits for, once our last words are answered */
	uint64_t trace_n;    /* how much of body_size is ours */
	uint64_t text_bytes; /* of the message on the wire */
	ms_t text_since;     /* when it (reading: the session) began, plus what we took */
	ms_t asked_at;	     /* when the open question was asked */
	ms_t deadline;	     /* of what is waited for in this phase */
	struct addr local;   /* where it came to */
	enum reply held;     /* what is said when the delay is over */
	enum rule held_by;
	uint8_t once[(EVENT_COUNT + 7) / 8]; /* bits: events that are reported once */
};

void session_init(struct session *s, const struct session_setup *setup);
void session_step(struct session *s, const struct session_in *in, ms_t now,
		  struct session_out *out);

/*
 * Is a transaction under way, so that the lent letter must be kept? The envelope's first
 * item is the sender ("" for the null sender), the others are the accepted recipients.
 */
bool session_has_letter(const struct session *s);
/* Is it coming in now? */
bool session_in_text(const struct session *s);
/* May the address in the From field matter? */
bool session_checks_from(const struct session *s);
/* How much room the envelope needs for one more. */
size_t session_item_room(const struct session *s);

/* Who it is; empty before it has logged in. */
struct span session_login(const struct session *s);
/* Has it been let in? Perhaps it has not heard so yet. */
bool session_is_let_in(const struct session *s);
/* Is it here for the mail that is there (IMAP, POP3)? */
bool session_reads_mail(const struct session *s);
/* Of who reads mail: it has said nothing yet but what a login takes. */
bool session_is_terse(const struct session *s);
/* It came over a socket of this machine. */
bool session_is_local(const struct session *s);
/* Does it wait for, or owe something to, whoever leads an exchange? */
bool session_in_exchange(const struct session *s);

/*
 * What a service says to whom it refuses: "554 5.7.1 Refused by policy", "* BYE Refused by
 * policy"; more follows the text. Before there is a session, or instead of one.
 */
void session_print_refusal(enum service service, enum reply r, struct span more,
			   struct buf *out);
/* Is it reading a message of its box? */
bool session_reads_text(const struct session *s);
/* Is it in the middle of an answer of many lines, of which any word of ours would be one? */
bool session_in_answer(const struct session *s);

#endif
