/*
 * Can this host take this message as it is? What it lacks is only needed if the message
 * holds in fact what it was announced to hold.
 */
#include "session/delivery_inner.h"

static bool lacks_utf8(const struct delivery *d)
{
	return d->setup->flags & MAIL_UTF8 && !(d->peer.can & SMTP_CAN_SMTPUTF8);
}

/* What BINARYMIME needs (RFC 3030, 3): NULL, or that is not there. */
static const char *lacks_binary(const struct delivery *d)
{
	if (!(d->setup->flags & MAIL_BINARY))
		return NULL;
	if (!(d->peer.can & SMTP_CAN_BINARYMIME))
		return "5.6.3 The message needs BINARYMIME, which the next hop does not offer";
	if (!(d->peer.can & SMTP_CAN_CHUNKING))
		return "5.6.3 The message needs CHUNKING, which the next hop does not offer";
	return d->setup->chunking
		       ? NULL
		       : "5.6.3 The message needs BDAT, which is turned off here";
}

bool delivery_as_binary(const struct delivery *d)
{
	return d->setup->flags & MAIL_BINARY && !lacks_binary(d);
}

/* Without PIPELINING only what needs it: each chunk would cost a round trip. */
bool delivery_in_chunks(const struct delivery *d)
{
	return d->setup->chunking && !d->setup->probe && d->peer.can & SMTP_CAN_CHUNKING &&
	       (d->peer.can & SMTP_CAN_PIPELINING || delivery_as_binary(d));
}

static bool lacks_8bit(const struct delivery *d)
{
	return d->setup->flags & MAIL_8BIT && !delivery_as_binary(d) &&
	       !(d->peer.can & SMTP_CAN_8BITMIME);
}

bool delivery_in_utf8(const struct delivery *d)
{
	return d->setup->flags & MAIL_UTF8 && !lacks_utf8(d);
}

static bool is_ascii(struct span s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] > 0x7f)
			return false;
	return true;
}

#define NO_UTF8 "5.6.7 The message needs SMTPUTF8, which the next hop does not offer"

/* What this host cannot take, or nobody can. */
const char *delivery_unfit(const struct delivery *d, int *code)
{
	const struct delivery_setup *s = d->setup;
	uint64_t size = s->size + s->prefix.n;

	*code = 550;
	if (lacks_utf8(d) && (s->probe || d->scan.header || !is_ascii(s->sender)))
		return NO_UTF8;
	*code = 554;
	if (lacks_binary(d) && scan_is_binary(&d->scan))
		return lacks_binary(d);
	if (lacks_8bit(d) && (d->scan.header || d->scan.body))
		return "5.6.3 The message is 8-bit text, which the next hop does not take";
	*code = 552;
	if (d->peer.can & SMTP_CAN_SIZE && d->peer.size_max && size > d->peer.size_max)
		return "5.3.4 The message is larger than the next hop takes";
	*code = 553;
	if (!smtp_peer_address_ok(s->sender, delivery_in_utf8(d)) ||
	    s->sender.n > ADDRESS_MAX)
		return "5.1.7 The sender's address cannot be said in SMTP";
	return NULL;
}

void delivery_cannot_be_said(struct delivery *d, size_t i, struct span address)
{
	if (lacks_utf8(d) && !is_ascii(address))
		answers_put(&d->answers, i, ANSWER_SETTLED, 550, SPAN(NO_UTF8));
	else
		answers_put(&d->answers, i, ANSWER_SETTLED, 553,
			    SPAN("5.1.3 The address cannot be said in SMTP"));
}

bool delivery_lacks(const struct delivery *d)
{
	return lacks_8bit(d) || lacks_utf8(d) || lacks_binary(d);
}

unsigned delivery_needs(const struct delivery *d)
{
	uint32_t flags = d->setup->flags;

	return (flags & MAIL_8BIT ? SMTP_PEER_8BIT : 0) |
	       (delivery_as_binary(d) ? SMTP_PEER_BINARY : 0) |
	       (delivery_in_utf8(d) ? SMTP_PEER_UTF8 : 0) |
	       (flags & MAIL_RET_HDRS ? SMTP_PEER_RET_HDRS : 0) |
	       (flags & MAIL_RET_FULL ? SMTP_PEER_RET_FULL : 0);
}

void delivery_scanned(struct delivery *d, struct span bytes, ms_t now,
		      struct delivery_out *out)
{
	d->by = now + d->setup->reply_timeout;
	out->used = bytes.n;
	scan_put(&d->scan, bytes);
	if (bytes.n) {
		out->orders |= DELIVERY_DO_BODY;
		return;
	}
	d->scanned = true;
	d->phase = DELIVERY_MAIL;
}
