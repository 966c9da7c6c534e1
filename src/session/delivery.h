/*
 * delivery - one message to one next hop, or the question whether it takes a recipient
 *
 * The client's side of session.h, in the same shape: something happened (in), at a time
 * (now); this is what to do about it (out). SMTP or LMTP (RFC 5321, 2033), STARTTLS, AUTH;
 * a probe (call-ahead) is a delivery that ends after RCPT.
 *
 * Whatever the next hop does, hang, lie or vanish included, the result is one answer per
 * recipient, in their order: three digits, space, text. 000 means that no answer about
 * this recipient came, and the text says what came instead; a refused greeting or HELO is
 * no answer about a recipient either. So is a connection that was lost behind the final
 * dot: the message may be there, and is sent again. Text is as it came off the wire.
 *
 * If `elsewhere` is set with the result, this host has not been asked about anybody, so
 * another one may be, without a danger that somebody gets the message twice.
 *
 * Each step has a deadline, and so has the whole: 100 minutes at most.
 *
 * The message goes by BDAT (RFC 3030) where the host offers that, and PIPELINING so that no
 * chunk costs a round trip; else by DATA. A host that does not want a chunk is left at
 * once: it must not take the rest of one for commands.
 *
 * What is binary goes to who offers BINARYMIME. It cannot be converted without reading
 * MIME (RFC 3030, 3), and fails elsewhere, unless it is text in fact. One of 8-bit text for
 * a host without 8BITMIME fails, too, unless it is ASCII in fact; the same holds for
 * SMTPUTF8.
 */
#ifndef SESSION_DELIVERY_H
#define SESSION_DELIVERY_H

#include "base/attr.h"
#include "base/buf.h"
#include "base/time.h"
#include "session/answers.h"
#include "session/scan.h"
#include "spec/limits.h"
#include "spec/messages.h"
#include "wire/smtp_chunks.h"

enum delivery_in_kind {
	DELIVERY_OPENED, /* the connection is there: the first step of every delivery */
	DELIVERY_BYTES, /* bytes: all that was received and not yet consumed; may be empty */
	DELIVERY_EOF,	 /* the host will send nothing more */
	DELIVERY_BROKEN, /* the connection is gone */
	DELIVERY_TIME,	 /* out->wake has come */
	DELIVERY_SENT, /* all that was in out->peer is on its way, and out->peer is empty */
	DELIVERY_BODY, /* the answer to DO_BODY: bytes, the next of the message; none: its end */
	DELIVERY_NO_BODY, /* the same, but it cannot be read */
	DELIVERY_TLS,	  /* the answer to DO_TLS: it is inside TLS now */
	DELIVERY_NO_TLS,  /* the same, but it failed; bytes say why */
};

struct delivery_in {
	enum delivery_in_kind kind;
	struct span bytes;
};

/* An order holds until it was carried out; the same again changes nothing. */
#define DELIVERY_DO_CLOSE  (1u << 0) /* flush, then close */
#define DELIVERY_DO_ABORT  (1u << 1) /* close without saying anything more */
#define DELIVERY_DO_SENT   (1u << 2) /* flush, then come back with DELIVERY_SENT */
#define DELIVERY_DO_BODY   (1u << 3) /* flush, then come back with DELIVERY_BODY */
#define DELIVERY_DO_REWIND (1u << 4) /* the next DO_BODY begins at the start again */
#define DELIVERY_DO_RESULT (1u << 5) /* the answers are final (once) */
#define DELIVERY_DO_TLS	   (1u << 6) /* flush, shake hands; then DELIVERY_TLS or _NO_TLS */
#define DELIVERY_DO_KEEP   (1u << 7) /* it is over, and the connection good for another */

struct delivery_out {
	unsigned orders;
	size_t used;	  /* how many of in's bytes were consumed */
	ms_t wake;	  /* when DELIVERY_TIME is wanted */
	struct buf *peer; /* what to say; room for OUT_MAX when it is empty */
};

/* All spans are borrowed and outlive the delivery. */
struct delivery_setup {
	bool lmtp;
	bool probe;
	bool keep;	  /* the connection, if it can be */
	bool not_to_self; /* a host that has our own name in its answer to EHLO is us */
	bool secure;	  /* secrets may be said as it is: the host is this machine */
	bool chunking;	  /* BDAT may be used */
	enum hop_tls tls;
	struct span user, secret; /* for AUTH; no user: none */
	struct span plain;	  /* the same for AUTH PLAIN (RFC 4616) */
	struct span helo;
	struct span sender;
	struct span envid;
	struct span rcpts;  /* a list (base/list.h) of items as in DELIVER */
	struct span prefix; /* header fields that go before the message */
	uint32_t flags;	    /* MAIL_ bits (spec/messages.h) */
	uint64_t size;	    /* of the body */
	ms_t reply_timeout;
	ms_t ready_by; /* for MAIL; 0: reply_timeout is all that counts */
	void *answers; /* answers_room() bytes */
};

/* What is awaited from the host. */
enum delivery_phase {
	DELIVERY_GREETING,
	DELIVERY_EHLO, /* or LHLO */
	DELIVERY_HELO,
	DELIVERY_STARTTLS,
	DELIVERY_HANDSHAKE, /* nothing: TLS is under way */
	DELIVERY_AUTH,
	DELIVERY_AUTH_USER, /* of AUTH LOGIN */
	DELIVERY_AUTH_SECRET,
	DELIVERY_SCAN, /* nothing: the message is looked through */
	DELIVERY_MAIL,
	DELIVERY_RCPT,
	DELIVERY_RSET, /* nobody was accepted, but there are more than one MAIL can take */
	DELIVERY_DATA,
	DELIVERY_TEXT, /* nothing: the message is under way */
	DELIVERY_DOT,
	DELIVERY_QUIT, /* the answers are final; what is due of earlier commands */
	DELIVERY_BYE,
	DELIVERY_OVER,
};

struct delivery {
	const struct delivery_setup *setup; /* borrowed */
	enum delivery_phase phase;
	bool told;	/* DO_RESULT was ordered */
	bool elsewhere; /* for the caller to read, with the result */
	bool reused;	/* the connection has served another delivery */
	bool in_tls;
	bool tls_failed; /* for the caller to read, with `elsewhere` */
	bool scanned;
	bool keeps; /* the end was such that the connection can be kept */
	struct smtp_peer peer;
	bool chunked; /* this message goes by BDAT */
	size_t chunks; /* that are not the last, and to be answered before all that is due */
	struct smtp_dots dots;
	struct smtp_chunks chunk;
	struct scan scan;
	struct span prefix;	/* what is left to say of it */
	struct answers answers; /* final once DO_RESULT was ordered */
	size_t due;		/* replies to come for what was said */
	struct span to_ask; /* recipients from `asking` on that RCPT was not said for */
	size_t asking;
	size_t answering; /* the next slot that an answer can be for is here or later */
	size_t asked;	  /* in this transaction */
	size_t accepted;  /* of them */
	bool data_said;	  /* with the RCPTs before it */
	ms_t by;	  /* when this step must be done */
	ms_t all_by;	  /* and when the whole */
};

/* A list of recipients that one delivery can answer for. */
bool delivery_rcpts_ok(struct span rcpts);
/* setup is borrowed, too; delivery_rcpts_ok() must have said yes. */
void delivery_init(struct delivery *d, const struct delivery_setup *setup, ms_t now);
/*
 * The same over a connection that was kept (DO_KEEP): the host is what it was for the
 * delivery before. If it turns out to be gone, the result is `elsewhere`.
 */
void delivery_resume(struct delivery *d, const struct delivery_setup *setup,
		     const struct smtp_peer *host, ms_t now);
void delivery_step(struct delivery *d, const struct delivery_in *in, ms_t now,
		   struct delivery_out *out);

/* Before there was a connection, or instead of one: answer 000 with this text for all. */
void delivery_fail(struct delivery *d, struct span why);
/* The same with another code. */
void delivery_settle(struct delivery *d, int code, struct span why);

/* The word for what is awaited from the host, as in "no answer to RCPT". */
const char *delivery_phase_word(enum delivery_phase p);

#endif
