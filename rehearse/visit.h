/*
 * visit - one client in one dialogue: bytes and time in, bytes and orders out
 *
 * Pure, as the engines of the server are: no socket, no clock, no allocation. The worker
 * tells a visit what happened and does what it says. Small (a hundred thousand are held at
 * once), and it owns nothing, so there is nothing to close.
 *
 * One write is in flight: once a step has put something into out, the visit puts nothing more
 * there until VISIT_SENT.
 *
 * How a reply counts: 2xx, 3xx, OK, PREAUTH, + and +OK are a yes. Later are 4xx; BYE; NO with
 * [UNAVAILABLE], [INUSE] or [LIMIT]; -ERR with [SYS/TEMP], [IN-USE] or [LOGIN-DELAY]. Everything
 * else is a no, also a yes that is not what was expected, for the visit that it ends. What is no
 * reply at all (words, a NUL) is a fault, but who holds does not mind.
 *
 * How a visit ends: as done, if it came to the end of its dialogue, or in whatever way after
 * `done`. As later, by 421 or BYE in any step that hears (unless they were expected). If the
 * server closes while the visit does not listen, a refusal among what is unread says how it
 * ended; else it was dropped.
 */
#ifndef REHEARSE_VISIT_H
#define REHEARSE_VISIT_H

#include "base/buf.h"
#include "rehearse/reply.h"
#include "rehearse/script.h"

enum visit_in_kind {
	VISIT_CONNECTED, /* also after the handshake of a service with TLS from the start */
	VISIT_BYTES,
	VISIT_SENT, /* all that the last step put into out has been written */
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
	VISIT_DO_TLS12 = 1u << 3, /* with VISIT_DO_TLS: nothing newer than TLS 1.2 */
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
	ms_t deadline;		     /* when VISIT_TIME is wanted; MS_NEVER */
	ms_t patience;		     /* ms for each reply */
	int64_t left;		  /* bytes of fill and body not made yet; of drip, made */
	uint64_t drawn;		  /* drip: what its text is drawn from */
	int32_t loops[LOOPS_MAX]; /* how often still; -1 forever */
	struct replies replies;	  /* what was heard of the next one */
	uint16_t at;		  /* step */
	uint8_t stage;
	uint8_t end; /* enum end, once over */
	bool over;
	bool is_done; /* a step `done` was reached */
	bool sending; /* VISIT_SENT is owed */
	uint8_t depth;
	uint8_t marks; /* what else visit.c must know */
};

_Static_assert(sizeof(struct visit) <= 120, "a hundred thousand of them are held");

struct visit_out {
	unsigned orders;
	size_t used; /* bytes of the input that are done with */
	struct visit_heard heard;
	bool became_done; /* a step `done` was reached now */
	bool begins;	  /* before that, a step `begin`: its time runs from now */
	bool again; /* something was heard: step again (VISIT_BYTES) with the rest, at once */
	struct buf *out;  /* to the server; set by the caller, the rest is overwritten */
	char breach[120]; /* text of a breach, for the report; printable */
};

void visit_init(struct visit *v, const struct script *script, const struct pool *pool,
		enum speaks speaks, ms_t patience);

/*
 * Tell it what happened. in: bytes received and not used yet (may be empty), also for kinds
 * other than VISIT_BYTES. The room of out->out must be EXPAND_MAX or more unless VISIT_SENT is
 * owed; large bodies come in pieces, the next one after VISIT_SENT. VISIT_TIME before
 * VISIT_CONNECTED ends it as silent; later, one that comes too early is ignored. A visit that is
 * over ignores everything.
 */
void visit_step(struct visit *v, struct visitor *who, enum visit_in_kind kind,
		struct span in, ms_t now, struct visit_out *out);

/* Would it use bytes now? If not they wait, and there is no need to read any. */
bool visit_listens(const struct visit *v);

#endif
