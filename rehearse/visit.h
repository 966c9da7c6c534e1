/*
 * visit - one client in one dialogue: bytes and time in, bytes and orders out
 *
 * Pure, as the engines of the server are: no socket, no clock, no allocation. The worker
 * tells a visit what happened and does what it says. Small (a hundred thousand are held at
 * once), and it owns nothing, so there is nothing to close.
 */
#ifndef REHEARSE_VISIT_H
#define REHEARSE_VISIT_H

#include "base/buf.h"
#include "rehearse/script.h"

enum visit_in_kind {
	VISIT_CONNECTED, /* also after the handshake of a service with TLS from the start */
	VISIT_BYTES,
	VISIT_SENT, /* all that was in out has been written */
	VISIT_TLS_DONE,
	VISIT_TLS_FAILED,
	VISIT_TIME,  /* the deadline it asked for has come */
	VISIT_EOF,   /* the server closed */
	VISIT_RESET, /* or reset the connection; or it could not be made */
	VISIT_PHASE_OVER,
};

/* What the worker must do, in this order, after writing what is in out. */
enum {
	VISIT_DO_TLS = 1u << 0,	  /* start a handshake */
	VISIT_DO_CLOSE = 1u << 1, /* hang up with FIN; the visit is over */
	VISIT_DO_RESET = 1u << 2, /* hang up with RST; the visit is over */
};

/* What there is to count, at most one reply at a time. */
struct visit_heard {
	bool is;
	enum stage stage;
	enum end end; /* END_DONE for 2xx, 3xx, OK, +; END_LATER, END_NO */
	bool breach;
};

struct visit {
	const struct script *script; /* borrowed */
	const struct pool *pool;     /* borrowed */
	uint16_t at;		     /* step */
	uint8_t speaks;
	uint8_t stage;
	uint8_t end; /* enum end, once over */
	bool over;
	bool is_done; /* the step `done` was reached */
	bool sending;
	uint8_t column; /* of the reply's line: how much of `status` is known */
	char status[12];
	bool more; /* a line of several */
	uint8_t depth;
	int32_t loops[LOOPS_MAX]; /* how often still; -1 forever */
	int64_t left;		  /* bytes of fill, body and drip not made yet */
	ms_t deadline;		  /* when VISIT_TIME is wanted; MS_NEVER */
	ms_t patience;		  /* ms for each reply */
};

struct visit_out {
	unsigned orders;
	size_t used; /* bytes of the input that are done with */
	struct visit_heard heard;
	bool became_done; /* `done` was reached in this step */
	bool again; /* something was heard: step again with the rest before waiting */
	struct buf *out;  /* to the server */
	char breach[120]; /* text of a breach, for the report; printable */
};

void visit_init(struct visit *v, const struct script *script, const struct pool *pool,
		enum speaks speaks, ms_t patience);

/*
 * Tell it what happened. in: bytes received and not used yet (may be empty). The room of
 * out->out should be EXPAND_MAX or more; large bodies come in pieces, the next one after
 * VISIT_SENT. A visit that is over ignores everything.
 */
void visit_step(struct visit *v, struct visitor *who, enum visit_in_kind kind,
		struct span in, ms_t now, struct visit_out *out);

#endif
