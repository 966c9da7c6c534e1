/*
 * delivery_inner - what the files of delivery share
 */
#ifndef SESSION_DELIVERY_INNER_H
#define SESSION_DELIVERY_INNER_H

#include "session/delivery.h"

/* ---- delivery.c ------------------------------------------------------------------------- */

/* The answers are final. What the host still owes us we wait for, but not long. */
void delivery_take_leave(struct delivery *d, ms_t now);
/* The host does not want to talk to us at all: that is no answer about a recipient. */
void delivery_turned_away(struct delivery *d, const struct smtp_peer_event *ev, ms_t now);
/* We do not want to go on with this host: its neighbour may be better. */
void delivery_turn_away(struct delivery *d, const char *why, ms_t now);

static inline bool delivery_any_untried(const struct delivery *d)
{
	return answers_find(&d->answers, 0, ANSWER_UNTRIED) < d->answers.count;
}

static inline bool smtp_peer_good(const struct smtp_peer_event *ev)
{
	return ev->code < 300;
}

/* ---- delivery_say.c --------------------------------------------------------------------- */

/* Something was said that a reply is due for. */
void delivery_said(struct delivery *d, ms_t now);
struct span delivery_helo_name(const struct delivery *d);
/* RCPT: as often as fits if the host takes it, else once; then DATA, if it does. */
void delivery_ask(struct delivery *d, ms_t now, struct delivery_out *out);
/* What fits of the message, as DATA or BDAT want it. */
void delivery_put_text(struct delivery *d, struct span *text, struct delivery_out *out);
/* Must a chunk be answered before more is said? */
bool delivery_awaits_chunk(const struct delivery *d);
/* As long as nothing is due, say what the phase asks for. */
void delivery_talk(struct delivery *d, ms_t now, struct delivery_out *out);

/* ---- delivery_hello.c ------------------------------------------------------------------- */

/* The answers to EHLO (or HELO), STARTTLS, AUTH. */
void delivery_on_hello(struct delivery *d, const struct smtp_peer_event *ev, ms_t now);
void delivery_on_starttls(struct delivery *d, const struct smtp_peer_event *ev, ms_t now);
void delivery_on_auth(struct delivery *d, const struct smtp_peer_event *ev, ms_t now);
void delivery_on_tls(struct delivery *d, ms_t now);
void delivery_say_auth(struct delivery *d, ms_t now, struct delivery_out *out);
/* The host knows us: to the message, which may have to be looked through first. */
void delivery_come_to_mail(struct delivery *d);

/* ---- delivery_fit.c --------------------------------------------------------------------- */

/* Does the host lack something that the message was said to need? */
bool delivery_lacks(const struct delivery *d);
/* Is the message sent as one of SMTPUTF8? */
bool delivery_in_utf8(const struct delivery *d);
/* Does it go by BDAT? */
bool delivery_in_chunks(const struct delivery *d);
/* And is each byte sent as it is? */
bool delivery_as_binary(const struct delivery *d);
/* What it needs, for MAIL: SMTP_PEER_ bits. */
unsigned delivery_needs(const struct delivery *d);
/* What this host cannot take, or nobody can; NULL: nothing. */
const char *delivery_unfit(const struct delivery *d, int *code);
/* That is the answer for recipient i. */
void delivery_cannot_be_said(struct delivery *d, size_t i, struct span address);
/* A piece of the message that is looked through. */
void delivery_scanned(struct delivery *d, struct span bytes, ms_t now,
		      struct delivery_out *out);

#endif
