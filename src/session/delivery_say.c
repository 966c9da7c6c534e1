/* What the client of a delivery says, phase by phase. */
#include "session/delivery_inner.h"

#include "base/list.h"

#define DATA_ROOM 6 /* "DATA" and its end */

void delivery_said(struct delivery *d, ms_t now)
{
	d->due++;
	d->by = now + d->setup->reply_timeout;
}

struct span delivery_helo_name(const struct delivery *d)
{
	struct span name = d->setup->helo;

	return smtp_peer_name_ok(name) && name.n <= DOMAIN_MAX ? name : SPAN("localhost");
}

/*
 * RFC 2920, 3.1: DATA may go with the RCPTs before it. If then nobody was accepted and the
 * host wants a message all the same, it does not get one: see on_data().
 */
static void say_data_ahead(struct delivery *d, ms_t now, struct delivery_out *out)
{
	if (!(d->peer.can & SMTP_CAN_PIPELINING) || d->setup->probe || !d->asked ||
	    d->chunked)
		return;
	if (buf_room(out->peer) < DATA_ROOM) {
		out->orders |= DELIVERY_DO_SENT;
		return;
	}
	smtp_peer_data(out->peer);
	delivery_said(d, now);
	d->data_said = true;
}

void delivery_ask(struct delivery *d, ms_t now, struct delivery_out *out)
{
	struct span rest = d->to_ask, rcpt, address;

	if (d->data_said)
		return;
	while (list_next(&rest, &rcpt)) {
		bool untried = answers_get(&d->answers, d->asking) == ANSWER_UNTRIED;

		if (untried && d->peer.rcpt_max && d->asked >= d->peer.rcpt_max)
			break;
		if (buf_room(out->peer) < rcpt.n + 24) {
			out->orders |= DELIVERY_DO_SENT;
			return;
		}
		d->to_ask = rest;
		d->asking++;
		if (!untried)
			continue;
		address = span_cut(&rcpt, '\t');
		if (!smtp_peer_address_ok(address, delivery_in_utf8(d))) {
			delivery_cannot_be_said(d, d->asking - 1, address);
			continue;
		}
		smtp_peer_rcpt(&d->peer, address, rcpt, out->peer);
		answers_mark(&d->answers, d->asking - 1, ANSWER_ASKED);
		d->asked++;
		delivery_said(d, now);
		if (!(d->peer.can & SMTP_CAN_PIPELINING))
			return;
	}
	say_data_ahead(d, now, out);
}

static void say_mail(struct delivery *d, ms_t now, struct delivery_out *out)
{
	const struct delivery_setup *s = d->setup;
	const struct smtp_peer_mail mail = { .sender = s->sender,
					     .envid = s->envid,
					     .size = s->size + s->prefix.n,
					     .needs = delivery_needs(d) };
	int code;
	const char *why = delivery_unfit(d, &code);

	if (why) {
		answers_settle_rest(&d->answers, code, span_str(why));
		delivery_take_leave(d, now);
		return;
	}
	d->to_ask = s->rcpts;
	d->asking = d->answering = d->asked = d->accepted = 0;
	d->data_said = false;
	d->chunked = delivery_in_chunks(d);
	d->chunks = 0;
	d->prefix = s->prefix;
	out->orders |= DELIVERY_DO_REWIND;
	smtp_peer_mail(&d->peer, &mail, out->peer);
	delivery_said(d, now);
	if (d->peer.can & SMTP_CAN_PIPELINING)
		delivery_ask(d, now, out);
}

/* Everybody was asked about: the message, the next transaction, or the end. */
static void say_data(struct delivery *d, ms_t now, struct delivery_out *out)
{
	if (d->setup->probe)
		for (size_t i = 0; i < d->answers.count; i++)
			if (answers_get(&d->answers, i) == ANSWER_ACCEPTED)
				answers_mark(&d->answers, i, ANSWER_SETTLED);
	if (d->accepted && d->chunked) {
		d->phase = DELIVERY_TEXT;
		smtp_chunks_init(&d->chunk, delivery_as_binary(d));
	} else if (d->accepted && !d->setup->probe) {
		d->phase = DELIVERY_DATA;
		smtp_peer_data(out->peer);
		delivery_said(d, now);
	} else if (delivery_any_untried(d)) {
		d->phase = DELIVERY_RSET;
	} else {
		delivery_take_leave(d, now);
	}
}

void delivery_put_text(struct delivery *d, struct span *text, struct delivery_out *out)
{
	if (!d->chunked) {
		smtp_dots_put(&d->dots, text, out->peer);
		return;
	}
	smtp_chunks_put(&d->chunk, text, out->peer);
	d->chunks++;
}

bool delivery_awaits_chunk(const struct delivery *d)
{
	return d->phase == DELIVERY_TEXT && d->chunks &&
	       !(d->peer.can & SMTP_CAN_PIPELINING);
}

/* The fields in front of the message, and then the message. */
static void say_text(struct delivery *d, struct delivery_out *out)
{
	if (!d->prefix.n) {
		out->orders |= DELIVERY_DO_BODY;
		return;
	}
	delivery_put_text(d, &d->prefix, out);
	out->orders |= DELIVERY_DO_SENT;
}

/* Nothing is due: say what the phase asks for. A phase may turn out to need no word. */
static void talk_once(struct delivery *d, ms_t now, struct delivery_out *out)
{
	switch (d->phase) {
	case DELIVERY_EHLO:
		smtp_peer_hello(&d->peer, d->setup->lmtp ? SMTP_PEER_LHLO : SMTP_PEER_EHLO,
				delivery_helo_name(d), out->peer);
		delivery_said(d, now);
		return;
	case DELIVERY_HELO:
		smtp_peer_hello(&d->peer, SMTP_PEER_HELO, delivery_helo_name(d),
				out->peer);
		delivery_said(d, now);
		return;
	case DELIVERY_STARTTLS:
		smtp_peer_starttls(out->peer);
		delivery_said(d, now);
		return;
	case DELIVERY_HANDSHAKE:
		out->orders |= DELIVERY_DO_TLS;
		return;
	case DELIVERY_AUTH:
		delivery_say_auth(d, now, out);
		return;
	case DELIVERY_AUTH_USER:
		smtp_peer_auth_line(d->setup->user, out->peer);
		delivery_said(d, now);
		return;
	case DELIVERY_AUTH_SECRET:
		smtp_peer_auth_line(d->setup->secret, out->peer);
		delivery_said(d, now);
		return;
	case DELIVERY_SCAN:
		out->orders |= DELIVERY_DO_BODY;
		return;
	case DELIVERY_MAIL:
		say_mail(d, now, out);
		return;
	case DELIVERY_RCPT:
		delivery_ask(d, now, out);
		if (!d->due && !(out->orders & DELIVERY_DO_SENT))
			say_data(d, now, out);
		return;
	case DELIVERY_RSET:
		smtp_peer_reset(out->peer);
		delivery_said(d, now);
		return;
	case DELIVERY_TEXT:
		say_text(d, out);
		return;
	case DELIVERY_QUIT:
		smtp_peer_quit(out->peer);
		d->phase = DELIVERY_BYE;
		d->due++;
		return;
	case DELIVERY_BYE:
		d->phase = DELIVERY_OVER;
		return;
	case DELIVERY_GREETING:
	case DELIVERY_DATA:
	case DELIVERY_DOT:
	case DELIVERY_OVER:
		return;
	}
}

void delivery_talk(struct delivery *d, ms_t now, struct delivery_out *out)
{
	const unsigned waits = DELIVERY_DO_SENT | DELIVERY_DO_BODY | DELIVERY_DO_TLS;

	while (!d->due && !smtp_peer_in_reply(&d->peer) && d->phase != DELIVERY_OVER &&
	       !(out->orders & waits) && !delivery_awaits_chunk(d)) {
		/* a chunk is answered before the next is written; or nobody asked yet */
		if (out->peer->len) {
			out->orders |= DELIVERY_DO_SENT;
			return;
		}
		talk_once(d, now, out);
	}
}
