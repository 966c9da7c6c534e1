/*
 * session_inner - what the files of a session's frame share
 *
 * session.c makes a step, session_open.c has the beginning, session_end.c the end and
 * session_time.c the clock. Nobody else includes this.
 */
#ifndef SESSION_SESSION_INNER_H
#define SESSION_SESSION_INNER_H

#include "session/inside.h"

/* ---- session.c ---- */

/* The answer to DO_ROOM, or that none came. The time that we took is not the peer's slowness. */
void session_room(struct step *t, bool got);

/* ---- session_open.c ---- */

void session_opened(struct step *t);
void session_read_proxy(struct step *t);
/* Whoever speaks before our greeting speaks to nobody, and hears so when it is due. */
void session_read_early(struct step *t);
void session_end_wait(struct step *t);
void session_in_tls_now(struct step *t);
void session_tls_failed(struct step *t);

/* ---- session_end.c ---- */

/* Is a message coming in, which the store has not been given? */
bool session_in_message(const struct session *s);
/* As session_end(), and what is on its way to the peer is lost. */
void session_abort(struct step *t, enum end why);
/* We stop, and: it is cut off in a moment. */
void session_stop(struct step *t);
void session_bye(struct step *t);

/* ---- session_time.c ---- */

ms_t session_wake_at(const struct session *s);
void session_time_came(struct step *t);

#endif
