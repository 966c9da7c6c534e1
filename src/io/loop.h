/*
 * loop - what a role waits for: descriptors, times, threads and signals
 *
 * One loop per process. Everything here is called from the thread that runs
 * the loop; only the `run` of work_run() is called in another. Callbacks may start, change
 * and stop anything, themselves included: a watch or timer that was stopped is not called
 * again, and its memory may be reused at once.
 *
 * A link (link/frame.h) is watched by the role that owns it:
 *
 *     watch_start(loop, &p->watch, link_fd(p->link), WATCH_READ, on_link, p);
 *
 *     static void on_link(void *arg, unsigned ready)
 *             if (ready & WATCH_WRITE) link_flush(), and break off if it says false
 *             while (link_recv(p->link, &frame, &err) == LINK_GOT) ...
 *             watch_mask(&p->watch, WATCH_READ | (link_waiting(p->link) ? WATCH_WRITE : 0));
 *
 * and whoever sends on it says watch_mask() once more afterwards: it costs nothing while
 * nothing changes.
 */
#ifndef IO_LOOP_H
#define IO_LOOP_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/time.h"

struct loop;

/* SIGPIPE is ignored from then on: a write to nobody fails. */
MUST bool loop_open(struct loop **out, struct err *err);
/*
 * Waits for the work that runs in threads, on_done included, which may still use the loop;
 * drops watches, timers and signals.
 */
void loop_close(struct loop **l);
/* Until loop_stop(), which lets the round under way end first. */
void loop_run(struct loop *l);
void loop_stop(struct loop *l);

/* Milliseconds of a clock that is never set, as of the start of this round. */
ms_t loop_now(const struct loop *l);
/* The same, asked anew. */
ms_t loop_now_exact(struct loop *l);
/* Microseconds of the same clock, asked anew: to tell how long something took. */
uint64_t loop_clock_us(void);
/* Milliseconds since 1970. */
ms_t loop_wall(const struct loop *l);

/*
 * Called once after each round of events, before the loop sleeps: for what is better done
 * once for many (a commit, a doorbell). One per loop.
 */
void loop_each_round(struct loop *l, void (*on_round)(void *arg), void *arg);

/* ---- descriptors ------------------------------------------------------------------- */

#define WATCH_READ  (1u << 0)
#define WATCH_WRITE (1u << 1)
/*
 * Report each change to readiness once: for callers that remember what they were told and
 * then read or write until EAGAIN. They never need to change the mask to stop reading.
 */
#define WATCH_EDGES (1u << 2)
/* For a listening socket that several processes wait for: wake one of them, not all. */
#define WATCH_SHARED (1u << 4)
/* Only reported: the peer will send nothing more, or the connection is gone. */
#define WATCH_HUP (1u << 3)

/* Embed it; members are for io/ only. */
struct watch {
	struct loop *loop; /* NULL: not started */
	int fd;
	unsigned mask;
	void (*on_ready)(void *arg, unsigned ready);
	void *arg;
};

/*
 * fd stays the caller's. An error or hang-up is reported as READ and WRITE, as far as the
 * mask has them, and HUP. False: the descriptor cannot be watched, or out of memory.
 */
MUST bool watch_start(struct loop *l, struct watch *w, int fd, unsigned mask,
		      void (*on_ready)(void *arg, unsigned ready), void *arg);
/*
 * Change what is waited for; 0 waits for nothing. Costs nothing if nothing changes. With
 * WATCH_EDGES, what is ready now is reported once more. A WATCH_SHARED one must be stopped
 * and started again instead.
 */
void watch_mask(struct watch *w, unsigned mask);
/* Stop it. NULL-safe in the sense that one that never started, or is stopped, is fine. */
void watch_stop(struct watch *w);
/*
 * Stop it and close the descriptor: one system call less. Only for a descriptor whose
 * open file nobody else holds.
 */
void watch_close(struct watch *w);

/* ---- times --------------------------------------------------------------------------- */

/* Embed it, zeroed or by timer_init(); members are for io/ only. */
struct timer {
	struct loop *loop;
	ms_t at;	/* when it is wanted; MS_NEVER: not at all */
	ms_t filed;	/* when the heap will look at it: at or earlier */
	uint32_t place; /* in the heap, from 1; 0: not in it */
	void (*on_time)(void *arg);
	void *arg;
};

void timer_init(struct timer *t, struct loop *l, void (*on_time)(void *arg), void *arg);
/*
 * Call on_time at that time of loop_now(), once. Setting it again moves it; to a later
 * time that costs nothing. MS_NEVER, and calling on_time, take it out.
 */
void timer_set(struct timer *t, ms_t at);
void timer_stop(struct timer *t);

/* ---- threads ------------------------------------------------------------------------- */

/*
 * Call run(arg) in a thread of the pool, then on_done(arg) from the loop. The first call
 * starts the threads: close the sandbox before. False: out of memory.
 */
MUST bool work_run(struct loop *l, void (*run)(void *arg), void (*on_done)(void *arg),
		   void *arg);

/* ---- signals ------------------------------------------------------------------------- */

/* Call on_signal from the loop whenever the signal came; SIGCHLD included. */
MUST bool loop_signal(struct loop *l, int signal,
		      void (*on_signal)(void *arg, int signal), void *arg);

#endif
