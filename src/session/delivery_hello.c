/*
 * From the greeting to the message: EHLO, STARTTLS, AUTH.
 */
#include "session/delivery_inner.h"

#define HANDSHAKE (60 * MS_SECOND) /* that long, at most */

/* The host knows us: to the message, which may have to be looked through first. */
void delivery_come_to_mail(struct delivery *d)
{
	bool lacks = delivery_lacks(d);

	d->phase = lacks && !d->scanned && !d->setup->probe ? DELIVERY_SCAN
							    : DELIVERY_MAIL;
}

static void come_to_auth(struct delivery *d)
{
	if (d->setup->user.n)
		d->phase = DELIVERY_AUTH;
	else
		delivery_come_to_mail(d);
}

/* The answer to EHLO or HELO is good. */
void delivery_on_hello(struct delivery *d, const struct smtp_peer_event *ev, ms_t now)
{
	struct span text = ev->text;

	if (d->setup->not_to_self &&
	    span_eq_nocase(span_cut(&text, ' '), delivery_helo_name(d))) {
		answers_settle_rest(&d->answers, 554,
				    SPAN("5.4.6 Mail for this domain comes back to us"));
		delivery_take_leave(d, now);
	} else if (d->in_tls || d->setup->tls == HOP_TLS_NONE) {
		come_to_auth(d);
	} else if (d->peer.can & SMTP_CAN_STARTTLS) {
		d->phase = DELIVERY_STARTTLS;
	} else if (d->setup->tls == HOP_TLS_MAY) {
		come_to_auth(d);
	} else {
		delivery_turn_away(d, "TLS is needed, and STARTTLS is not offered", now);
	}
}

void delivery_on_starttls(struct delivery *d, const struct smtp_peer_event *ev, ms_t now)
{
	if (smtp_peer_good(ev)) {
		d->phase = DELIVERY_HANDSHAKE;
		d->by = now + HANDSHAKE;
	} else if (d->setup->tls == HOP_TLS_MAY) {
		come_to_auth(d);
	} else {
		delivery_turned_away(d, ev, now);
	}
}

/* RFC 4954; LOGIN asks for the user, then for the secret. */
void delivery_on_auth(struct delivery *d, const struct smtp_peer_event *ev, ms_t now)
{
	bool login = !(d->peer.can & SMTP_CAN_AUTH_PLAIN);

	if (smtp_peer_good(ev))
		delivery_come_to_mail(d);
	else if (ev->code == 334 && login && d->phase != DELIVERY_AUTH_SECRET)
		d->phase++;
	else
		delivery_turned_away(d, ev, now);
}

void delivery_say_auth(struct delivery *d, ms_t now, struct delivery_out *out)
{
	if (!d->in_tls && !d->setup->secure) {
		delivery_turn_away(d, "AUTH was not said: the connection is not encrypted",
				   now);
		return;
	}
	if (d->peer.can & SMTP_CAN_AUTH_PLAIN) {
		smtp_peer_auth_plain(d->setup->plain, out->peer);
	} else if (d->peer.can & SMTP_CAN_AUTH_LOGIN) {
		smtp_peer_auth_login(out->peer);
	} else {
		delivery_turn_away(
			d, "AUTH was not said: neither PLAIN nor LOGIN is offered", now);
		return;
	}
	delivery_said(d, now);
}

/* RFC 3207, 4.2: whatever was learnt in clear is forgotten. */
void delivery_on_tls(struct delivery *d, ms_t now)
{
	if (d->phase != DELIVERY_HANDSHAKE)
		return;
	smtp_peer_init(&d->peer);
	d->in_tls = true;
	d->phase = DELIVERY_EHLO;
	d->by = now + d->setup->reply_timeout;
}
