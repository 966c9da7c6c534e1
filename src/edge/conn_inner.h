/*
 * conn_inner - what the files of one connection share
 *
 * conn.c steps and decides what comes next; conn_life.c begins and ends, conn_bytes.c reads
 * and writes, conn_tls.c shakes hands, conn_relay.c hands over to the relay, conn_away.c
 * sends away. Nobody else includes this.
 */
#ifndef EDGE_CONN_INNER_H
#define EDGE_CONN_INNER_H

#include "edge/inside.h"

/* ---- conn.c ---- */

/* Is its session, or the relay, still at it? */
bool conn_talks(const struct conn *c);
/* Our failure: nothing sensible can be said any more. */
void conn_fail(struct conn *c);
/* Something happened; in->bytes are all that are in hand. How many did the session take? */
size_t conn_step(struct conn *c, struct session_in *in);
/* Likewise, with the bytes that were kept. */
void conn_step_event(struct conn *c, enum session_in_kind kind);
/* It reads no mail, or no more. */
void conn_leave_mailbox(struct conn *c);
void conn_on_ready(void *conn);
void conn_on_time(void *conn);

/* ---- conn_bytes.c ---- */

/* Say it at once if nothing is pending; what cannot be written now is kept. */
void conn_say(struct conn *c, struct span said);
/* True: all is written, or it never will be. */
bool conn_flush(struct conn *c);
/* Read and step once. False: nothing more can be done now. */
bool conn_take_in(struct conn *c);

/* ---- conn_tls.c ---- */

void conn_start_tls(struct conn *c);
/* False: nothing more can be done now. */
bool conn_handshake(struct conn *c);

/* ---- conn_life.c ---- */

/* The first step of the end: no more steps; what it held for its session goes back. */
void conn_end(struct conn *c);
/* All is said. Who said QUIT, or nothing more, needs no time to listen. */
void conn_part(struct conn *c);
/* Throw away what comes, so that no reset overtakes our last words. */
bool conn_linger(struct conn *c);

/* ---- conn_away.c ---- */

/* It was dismissed, and now is the time. */
bool conn_must_go(const struct conn *c);
void conn_send_away(struct conn *c);

/* ---- conn_relay.c ---- */

void conn_begin_relay(struct conn *c);
/* Who is relayed is better closed in order than reset, and told if that can be. */
void conn_stop_relay(struct conn *c);

#endif
