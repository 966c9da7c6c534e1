/*
 * cost - paths whose instructions are counted (tools/check_cost.py)
 *
 * A path is taken again and again with the same input. What it does beside the functions
 * that are counted costs nothing, so a peer or a store can be played in the same process,
 * and every answer is looked at: a path that goes elsewhere ends the program.
 */
#ifndef TESTS_COST_H
#define TESTS_COST_H

#include "base/span.h"

struct path {
	const char *name;
	const char *counted; /* the functions, with all that they call; commas between */
	void (*open)(void);  /* once, before the first */
	void (*once)(void);
	unsigned each; /* how many times once() takes the path */
};

/* Where the counting begins. */
void take_path(const struct path *p, unsigned long times);

/* A header and a body, 4096 bytes together, and the line with the dot. */
struct span message(void);
/* The map: alice@here.example, and nobody else in that domain. */
struct span recipients(void);

/* ---- session_paths.c: session/ and wire/ alone ------------------------------------------ */

void session_open(void);
/* Connect, EHLO, MAIL, RCPT, DATA, message(), 250, QUIT. */
void session_transaction(void);
/* Connect, EHLO, MAIL, RCPT of somebody unknown, 550, QUIT. */
void session_unknown(void);

/* ---- guard_paths.c: guard/ alone -------------------------------------------------------- */

void guard_open(void);
/* A stranger whom nothing is known of comes and goes; each time another one. */
void guard_stranger(void);
/* One who is banned comes. */
void guard_banned(void);
/* One who is here says RCPT for somebody unknown. */
void guard_deed(void);

/* ---- edge_paths.c: a whole edge, with sockets ------------------------------------------- */

#define CROWD 16 /* as many as an edge takes at once */

void edge_open(void);
void edge_transaction(void);
void edge_unknown(void);
/* An edge with room for one session, and one that stays; likewise, for each address. */
void edge_open_full(void);
void edge_open_crowded(void);
/* An edge whose deny list has them. */
void edge_open_denied(void);
/* CROWD connections that are refused. */
void edge_refuse(void);

#endif
