#include "session/delivery.h"

#include "base/bug.h"
#include "base/list.h"
#include "session/delivery_inner.h"

#define QUIT_WAIT (5 * MS_SECOND)
#define WHOLE_MAX (100 * MS_MINUTE)
#define SLOWEST	  16 /* bytes per millisecond that a whole message may take */

bool delivery_rcpts_ok(struct span rcpts)
{
	struct span rcpt;

	if (!list_ok(rcpts) || !answers_possible(list_count(rcpts)))
		return false;
	while (list_next(&rcpts, &rcpt))
		if (rcpt.n > ITEM_MAX || span_cut(&rcpt, '\t').n > ADDRESS_MAX ||
		    !smtp_peer_params_ok(rcpt))
			return false;
	return true;
}

/* The next one in that state: there is one, because so many answers were due. */
static size_t next_in(struct delivery *d, enum answer_state state)
{
	d->answering = answers_find(&d->answers, d->answering, state);
	BUG_IF(d->answering == d->answers.count);
	return d->answering;
}

/* ---- ends --------------------------------------------------------------------------- */

const char *delivery_phase_word(enum delivery_phase p)
{
	static const char *const word[] = {
		[DELIVERY_GREETING] = "the greeting",
		[DELIVERY_EHLO] = "EHLO",
		[DELIVERY_HELO] = "HELO",
		[DELIVERY_STARTTLS] = "STARTTLS",
		[DELIVERY_HANDSHAKE] = "the TLS handshake",
		[DELIVERY_AUTH] = "AUTH",
		[DELIVERY_AUTH_USER] = "AUTH",
		[DELIVERY_AUTH_SECRET] = "AUTH",
		[DELIVERY_SCAN] = "the message",
		[DELIVERY_MAIL] = "MAIL",
		[DELIVERY_RCPT] = "RCPT",
		[DELIVERY_RSET] = "RSET",
		[DELIVERY_DATA] = "DATA",
		[DELIVERY_TEXT] = "the message",
		[DELIVERY_DOT] = "the end of the message",
		[DELIVERY_QUIT] = "QUIT",
		[DELIVERY_BYE] = "QUIT",
		[DELIVERY_OVER] = "nothing",
	};

	return word[p];
}

void delivery_settle(struct delivery *d, int code, struct span why)
{
	answers_settle_rest(&d->answers, code, why);
	d->phase = DELIVERY_OVER;
}

void delivery_fail(struct delivery *d, struct span why)
{
	delivery_settle(d, 0, why);
}

/* Nobody was asked about, or a connection that was kept has gone meanwhile. */
static bool nobody_asked(const struct delivery *d)
{
	return d->phase < DELIVERY_MAIL || (d->phase == DELIVERY_MAIL && d->reused);
}

/* The answers are final. What the host still owes us we wait for, but not long. */
void delivery_take_leave(struct delivery *d, ms_t now)
{
	d->phase = DELIVERY_QUIT;
	d->by = now + QUIT_WAIT;
}

/* No answer came to what we said, but something else, or nothing. */
static void give_up(struct delivery *d, const char *what, struct span detail,
		    struct delivery_out *out)
{
	uint8_t mem[SMTP_PEER_TEXT + 100];
	struct buf why;

	buf_init(&why, mem, sizeof(mem));
	buf_fmt(&why, "%s ", delivery_phase_word(d->phase));
	buf_put(&why, span_str(what));
	buf_put(&why, detail);
	out->orders |= DELIVERY_DO_ABORT;
	d->elsewhere = nobody_asked(d);
	d->tls_failed = d->phase == DELIVERY_HANDSHAKE;
	delivery_fail(d, buf_span(&why));
}

/* The host does not want to talk to us at all: that is no answer about a recipient. */
void delivery_turned_away(struct delivery *d, const struct smtp_peer_event *ev, ms_t now)
{
	uint8_t mem[SMTP_PEER_TEXT + 100];
	struct buf why;

	buf_init(&why, mem, sizeof(mem));
	buf_fmt(&why, "%s was answered with %d ", delivery_phase_word(d->phase), ev->code);
	buf_put(&why, ev->text);
	d->elsewhere = nobody_asked(d);
	answers_settle_rest(&d->answers, 0, buf_span(&why));
	delivery_take_leave(d, now);
}

/* We do not want to go on with this host: its neighbour may be better. */
void delivery_turn_away(struct delivery *d, const char *why, ms_t now)
{
	d->elsewhere = true;
	answers_settle_rest(&d->answers, 0, span_str(why));
	delivery_take_leave(d, now);
}

/* ---- what the host says ------------------------------------------------------------- */

static bool refusal(const struct smtp_peer_event *ev)
{
	return ev->code >= 400;
}

/* RFC 5321, 4.5.3.1.10: so many recipients and no more; the rest in another transaction. */
static bool comes_again(const struct delivery *d, const struct smtp_peer_event *ev)
{
	return ev->code == 452 && span_starts(ev->text, SPAN("4.5.3")) && d->accepted;
}

static void on_rcpt(struct delivery *d, const struct smtp_peer_event *ev)
{
	enum answer_state state = smtp_peer_good(ev)   ? ANSWER_ACCEPTED
				  : comes_again(d, ev) ? ANSWER_UNTRIED
						       : ANSWER_SETTLED;

	answers_put(&d->answers, next_in(d, ANSWER_ASKED), state, ev->code, ev->text);
	d->accepted += smtp_peer_good(ev);
}

/* RFC 2033, 4.2: LMTP answers once for each recipient that it accepted. */
static void on_dot(struct delivery *d, const struct smtp_peer_event *ev, ms_t now)
{
	if (d->setup->lmtp)
		answers_put(&d->answers, next_in(d, ANSWER_ACCEPTED), ANSWER_SETTLED,
			    ev->code, ev->text);
	else
		answers_settle_all(&d->answers, ANSWER_ACCEPTED, ev->code, ev->text);
	if (d->due)
		return;
	if (delivery_any_untried(d)) {
		d->phase = DELIVERY_MAIL;
	} else if (d->setup->keep && smtp_peer_good(ev)) {
		d->keeps = true;
		d->phase = DELIVERY_OVER;
	} else {
		delivery_take_leave(d, now);
	}
}

/* False: it cannot be the answer to a chunk. */
static bool on_chunk(struct delivery *d, const struct smtp_peer_event *ev, ms_t now)
{
	if (d->phase == DELIVERY_TEXT)
		d->by = now + d->setup->reply_timeout;
	d->chunks--;
	return smtp_peer_good(ev);
}

/* The host waits for a message that nobody would get: an end would be one, too. */
static void leave_without_message(struct delivery *d, struct delivery_out *out)
{
	answers_settle_rest(&d->answers, 0,
			    SPAN("not asked about: DATA was accepted "
				 "for nobody"));
	out->orders |= DELIVERY_DO_ABORT;
	d->phase = DELIVERY_OVER;
}

/* False: it cannot be the answer to DATA. */
static bool on_data(struct delivery *d, const struct smtp_peer_event *ev, ms_t now,
		    struct delivery_out *out)
{
	if (ev->code == 354 && !d->accepted) {
		leave_without_message(d, out);
	} else if (ev->code == 354) {
		d->phase = DELIVERY_TEXT;
		smtp_dots_init(&d->dots);
	} else if (!refusal(ev)) {
		d->phase = DELIVERY_DATA; /* whose answer it was */
		return false;
	} else if (!d->accepted && delivery_any_untried(d)) {
		d->phase = DELIVERY_RSET;
	} else {
		answers_settle_all(&d->answers, ANSWER_ACCEPTED, ev->code, ev->text);
		answers_settle_rest(&d->answers, 0,
				    SPAN("not asked about: DATA was refused"));
		delivery_take_leave(d, now);
	}
	return true;
}

/*
 * Whoever refuses the sender of a probe for good (it takes no bounces, or no mail of ours) has
 * not said that the recipient does not exist, and would be understood so.
 */
static int code_of_mail(const struct delivery *d, const struct smtp_peer_event *ev)
{
	return d->setup->probe && ev->code >= 500 ? 450 : ev->code;
}

static bool on_mail(struct delivery *d, const struct smtp_peer_event *ev, ms_t now)
{
	if (!smtp_peer_good(ev) && !refusal(ev))
		return false;
	d->reused = false;
	if (smtp_peer_good(ev)) {
		d->phase = DELIVERY_RCPT;
		return true;
	}
	answers_settle_rest(&d->answers, code_of_mail(d, ev), ev->text);
	delivery_take_leave(d, now);
	return true;
}

/* A reply that was due. False: it cannot be the answer to what we said. */
static bool on_reply(struct delivery *d, const struct smtp_peer_event *ev, ms_t now,
		     struct delivery_out *out)
{
	if (d->chunks)
		return on_chunk(d, ev, now);
	d->due--;
	if (d->phase < DELIVERY_QUIT)
		d->by = now + d->setup->reply_timeout;
	switch (d->phase) {
	case DELIVERY_GREETING:
		if (smtp_peer_good(ev))
			d->phase = DELIVERY_EHLO;
		else
			delivery_turned_away(d, ev, now);
		return true;
	case DELIVERY_EHLO:
	case DELIVERY_HELO:
		if (smtp_peer_good(ev))
			delivery_on_hello(d, ev, now);
		else if (ev->code >= 500 && d->phase == DELIVERY_EHLO && !d->setup->lmtp)
			d->phase = DELIVERY_HELO;
		else
			delivery_turned_away(d, ev, now);
		return true;
	case DELIVERY_STARTTLS:
		delivery_on_starttls(d, ev, now);
		return true;
	case DELIVERY_AUTH:
	case DELIVERY_AUTH_USER:
	case DELIVERY_AUTH_SECRET:
		delivery_on_auth(d, ev, now);
		return true;
	case DELIVERY_MAIL:
		return on_mail(d, ev, now);
	case DELIVERY_RCPT:
		if (d->data_said && !d->due)
			return on_data(d, ev, now, out);
		if (!smtp_peer_good(ev) && !refusal(ev))
			return false;
		on_rcpt(d, ev);
		return true;
	case DELIVERY_RSET:
		if (smtp_peer_good(ev))
			d->phase = DELIVERY_MAIL;
		else
			delivery_turned_away(d, ev, now);
		return true;
	case DELIVERY_DATA:
		return on_data(d, ev, now, out);
	case DELIVERY_DOT:
		if (!smtp_peer_good(ev) && !refusal(ev))
			return false;
		on_dot(d, ev, now);
		return true;
	case DELIVERY_QUIT:
		if (ev->code == 354)
			leave_without_message(d, out);
		return true;
	case DELIVERY_BYE:
		return true;
	case DELIVERY_HANDSHAKE:
	case DELIVERY_SCAN:
	case DELIVERY_TEXT:
	case DELIVERY_OVER:
		break;
	}
	return false;
}

/* 421 may come at any time (RFC 5321, 3.8): the host closes. */
static void on_closing(struct delivery *d, const struct smtp_peer_event *ev, ms_t now,
		       struct delivery_out *out)
{
	if (nobody_asked(d))
		delivery_turned_away(d, ev, now);
	else
		answers_settle_rest(&d->answers, ev->code, ev->text);
	d->phase = DELIVERY_OVER;
	out->orders |= DELIVERY_DO_ABORT;
}

static void on_event(struct delivery *d, const struct smtp_peer_event *ev, ms_t now,
		     struct delivery_out *out)
{
	if (ev->kind == SMTP_PEER_BAD) {
		give_up(d, "was answered with ", ev->text, out);
	} else if (ev->code == 421) {
		on_closing(d, ev, now, out);
	} else if ((d->phase == DELIVERY_TEXT || d->chunks) && refusal(ev)) {
		/* it does not want the rest; an end now would be a whole message to it */
		answers_settle_all(&d->answers, ANSWER_ACCEPTED, ev->code, ev->text);
		answers_settle_rest(&d->answers, 0,
				    SPAN("not asked about: the message was refused"));
		out->orders |= DELIVERY_DO_ABORT;
		d->phase = DELIVERY_OVER;
	} else if (!d->due && !d->chunks) {
		give_up(d, "was answered before it was said: ", ev->text, out);
	} else if (!on_reply(d, ev, now, out)) {
		give_up(d, "was answered out of turn: ", ev->text, out);
	}
}

static void on_bytes(struct delivery *d, struct span bytes, ms_t now,
		     struct delivery_out *out)
{
	struct span in = bytes;

	while (d->phase != DELIVERY_OVER && d->phase != DELIVERY_HANDSHAKE) {
		struct smtp_peer_event ev = smtp_peer_next(&d->peer, &in);

		if (ev.kind == SMTP_PEER_MORE)
			break;
		on_event(d, &ev, now, out);
	}
	/* RFC 3207, 6: what came in clear must not be taken for something from inside TLS */
	if (d->phase == DELIVERY_HANDSHAKE && in.n)
		give_up(d, "began in clear", SPAN_NONE, out);
	if (in.n && d->phase == DELIVERY_OVER)
		d->keeps = false;
	out->used = d->phase == DELIVERY_OVER ? bytes.n : bytes.n - in.n;
}

static void on_body(struct delivery *d, struct span bytes, ms_t now,
		    struct delivery_out *out)
{
	struct span in = bytes;

	if (d->phase == DELIVERY_SCAN)
		delivery_scanned(d, bytes, now, out);
	if (d->phase != DELIVERY_TEXT)
		return;
	d->by = now + d->setup->reply_timeout;
	if (in.n) {
		delivery_put_text(d, &in, out);
		out->used = bytes.n - in.n;
		if (!delivery_awaits_chunk(d))
			out->orders |= DELIVERY_DO_BODY;
		return;
	}
	if (d->chunked)
		smtp_chunks_end(&d->chunk, out->peer);
	else
		smtp_dots_end(&d->dots, out->peer);
	d->phase = DELIVERY_DOT;
	d->answering = 0;
	d->due = d->setup->lmtp ? d->accepted : 1;
	/* RFC 5321, 4.5.3.2.6: it may have much to do now */
	d->by = now + 2 * d->setup->reply_timeout;
}

/* What is awaited now has to come before that. */
static ms_t give_up_at(const struct delivery *d)
{
	ms_t at = d->by;

	if (d->all_by < at && d->phase < DELIVERY_QUIT)
		at = d->all_by;
	if (d->setup->ready_by && d->setup->ready_by < at && d->phase < DELIVERY_MAIL)
		at = d->setup->ready_by;
	return at;
}

static void on_time(struct delivery *d, ms_t now, struct delivery_out *out)
{
	if (now < give_up_at(d))
		return;
	if (d->phase >= DELIVERY_QUIT) {
		d->phase = DELIVERY_OVER;
		out->orders |= DELIVERY_DO_ABORT;
	} else if (d->all_by <= d->by) { /* we may come late for both */
		give_up(d, "was as far as it came in the time for all of it", SPAN_NONE,
			out);
	} else {
		give_up(d, "was not answered in time", SPAN_NONE, out);
	}
}

static void on_lost(struct delivery *d, const char *how, struct delivery_out *out)
{
	if (d->phase < DELIVERY_QUIT)
		give_up(d, how, SPAN_NONE, out);
	d->keeps = false;
	d->phase = DELIVERY_OVER;
	out->orders |= DELIVERY_DO_ABORT;
}

void delivery_init(struct delivery *d, const struct delivery_setup *setup, ms_t now)
{
	ms_t whole = 4 * setup->reply_timeout + (ms_t)(setup->size / SLOWEST);

	*d = (struct delivery){ .setup = setup, .due = 1 };
	answers_init(&d->answers, setup->answers, list_count(setup->rcpts));
	smtp_peer_init(&d->peer);
	scan_init(&d->scan);
	d->by = now + setup->reply_timeout;
	d->all_by = now + (whole < WHOLE_MAX ? whole : WHOLE_MAX);
}

void delivery_resume(struct delivery *d, const struct delivery_setup *setup,
		     const struct smtp_peer *host, ms_t now)
{
	delivery_init(d, setup, now);
	d->peer = *host;
	d->reused = true;
	d->due = 0;
	delivery_come_to_mail(d);
}

static void happened(struct delivery *d, const struct delivery_in *in, ms_t now,
		     struct delivery_out *out)
{
	switch (in->kind) {
	case DELIVERY_OPENED:
		return;
	case DELIVERY_BYTES:
		on_bytes(d, in->bytes, now, out);
		return;
	case DELIVERY_EOF:
		on_lost(d, "was not answered: the host hung up", out);
		return;
	case DELIVERY_BROKEN:
		on_lost(d, "was not answered: the connection broke", out);
		return;
	case DELIVERY_TIME:
		on_time(d, now, out);
		return;
	case DELIVERY_SENT:
		if ((d->phase == DELIVERY_MAIL || d->phase == DELIVERY_RCPT) && d->due &&
		    d->peer.can & SMTP_CAN_PIPELINING)
			delivery_ask(d, now, out);
		return;
	case DELIVERY_BODY:
		on_body(d, in->bytes, now, out);
		return;
	case DELIVERY_NO_BODY:
		on_lost(d, "was not sent: it cannot be read", out);
		d->elsewhere = false;
		return;
	case DELIVERY_TLS:
		delivery_on_tls(d, now);
		return;
	case DELIVERY_NO_TLS:
		if (d->phase == DELIVERY_HANDSHAKE)
			give_up(d, "failed: ", in->bytes, out);
		return;
	}
}

void delivery_step(struct delivery *d, const struct delivery_in *in, ms_t now,
		   struct delivery_out *out)
{
	out->orders = 0;
	out->used = 0;
	happened(d, in, now, out);
	if (in->kind != DELIVERY_BODY || d->phase == DELIVERY_MAIL)
		delivery_talk(d, now, out);
	if (d->phase >= DELIVERY_QUIT && !d->told) {
		d->told = true;
		out->orders |= DELIVERY_DO_RESULT;
	}
	if (d->phase == DELIVERY_OVER && !(out->orders & DELIVERY_DO_ABORT))
		out->orders |= d->keeps ? DELIVERY_DO_KEEP : DELIVERY_DO_CLOSE;
	out->wake = give_up_at(d);
}
