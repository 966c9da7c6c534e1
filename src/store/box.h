/*
 * box - Maildirs that users read over POP3
 *
 * A box belongs to the session of an edge that opened it, and to no other until that has
 * said BOX_CLOSE or its edge is gone: RFC 1939, 8 wants one session at a time. Deliveries
 * and other readers of the Maildir need no lock and wait for nobody. What a session removes
 * is removed when it says BOX_CLOSE, and only then.
 *
 * Files are read and removed in threads, one job of a box at a time.
 */
#ifndef STORE_BOX_H
#define STORE_BOX_H

#include "base/err.h"
#include "link/frame.h"

struct store;
struct edge_link;
struct boxes;

/* BOX_OPEN, BOX_READ, BOX_REMOVE, BOX_CLOSE. False: no edge of ours would say it. */
MUST bool box_asked(struct store *s, struct edge_link *e, const struct frame *f,
		    struct err *err);
/* An edge is gone. */
void box_forget(struct store *s, const struct edge_link *e);
/* Are threads at work for any? */
bool box_busy(const struct store *s);
/* The loop is closed: nothing is at work any more. */
void box_close_all(struct store *s);

#endif
