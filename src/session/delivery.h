/*
 * delivery - one message to one next hop, or the question whether it takes a recipient
 *
 * The client's side of session.h, in the same shape: something happened (in), at a time
 * (now); this is what to do about it (out). SMTP or LMTP (RFC 5321, 2033); a probe (call-
 * ahead) is a delivery that ends after RCPT.
 *
 * Whatever the next hop does, hang, lie or vanish included, the result is one answer per
 * recipient, in their order: three digits, space, text. 000 means that no answer about
 * this recipient came, and the text says what came instead; a refused greeting or HELO is
 * no answer about a recipient either. So is a connection that was lost behind the final
 * dot: the message may be there, and is sent again. Text is as it came off the wire.
 *
 * Each step has a deadline, and so has the whole: 100 minutes at most.
 *
 * Not spoken yet: STARTTLS, AUTH, BDAT. A message that needs BINARYMIME cannot be
 * converted without reading MIME, and fails.
 */
#ifndef SESSION_DELIVERY_H
#define SESSION_DELIVERY_H

#include "base/attr.h"
#include "base/buf.h"
#include "base/time.h"
#include "session/answers.h"
#include "spec/limits.h"
#include "wire/smtp_peer.h"

enum delivery_in_kind {
	DELIVERY_OPENED, /* the connection is there: the first step of every delivery */
	DELIVERY_BYTES, /* bytes: all that was received and not yet consumed; may be empty */
	DELIVERY_EOF,	 /* the host will send nothing more */
	DELIVERY_BROKEN, /* the connection is gone */
	DELIVERY_TIME,	 /* out->wake has come */
	DELIVERY_SENT, /* all that was in out->peer is on its way, and out->peer is empty */
	DELIVERY_BODY, /* the answer to DO_BODY: bytes, the next of the message; none: its end */
	DELIVERY_NO_BODY, /* the same, but it cannot be read */
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
	struct span helo;
	struct span sender;
	struct span rcpts; /* a list (base/list.h) */
	uint32_t flags;	   /* MAIL_ bits (spec/messages.h) */
	uint64_t size;	   /* of the body */
	ms_t reply_timeout;
	void *answers; /* answers_room() bytes */
};

/* What is awaited from the host. */
enum delivery_phase {
	DELIVERY_GREETING,
	DELIVERY_EHLO, /* or LHLO */
	DELIVERY_HELO,
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
	bool told; /* DO_RESULT was ordered */
	struct smtp_peer peer;
	struct smtp_dots dots;
	struct answers answers; /* final once DO_RESULT was ordered */
	size_t due;		/* replies to come for what was said */
	struct span to_ask; /* recipients from `asking` on that RCPT was not said for */
	size_t asking;
	size_t answering; /* the next slot that an answer can be for is here or later */
	size_t asked;	  /* in this transaction */
	size_t accepted;  /* of them */
	ms_t by;	  /* when this step must be done */
	ms_t all_by;	  /* and when the whole */
};

/* A list of recipients that one delivery can answer for. */
bool delivery_rcpts_ok(struct span rcpts);
/* setup is borrowed, too; delivery_rcpts_ok() must have said yes. */
void delivery_init(struct delivery *d, const struct delivery_setup *setup, ms_t now);
void delivery_step(struct delivery *d, const struct delivery_in *in, ms_t now,
		   struct delivery_out *out);

/* Before there was a connection, or instead of one: answer 000 with this text for all. */
void delivery_fail(struct delivery *d, struct span why);

/* The word for what is awaited from the host, as in "no answer to RCPT". */
const char *delivery_phase_word(enum delivery_phase p);

#endif
