/*
 * A connection's bytes: what comes is read and stepped with, what is said is written or kept.
 */
#include "edge/conn_inner.h"

/* ---- writing ---------------------------------------------------------------------------- */

/*
 * A second word before the peer had one would be held back until the first is acknowledged,
 * which may take 40 ms (Nagle). Most sessions never need the system call.
 */
static void note_spoke(struct conn *c)
{
	if (c->spoke)
		stream_no_delay(&c->stream);
	c->spoke = true;
}

/* Say it at once if nothing is pending; what cannot be written now is kept. */
void conn_say(struct conn *c, struct span said)
{
	if (!said.n)
		return;
	note_spoke(c);
	if (!c->out && c->state != CONN_HANDSHAKE &&
	    stream_write(&c->stream, &said) == STREAM_BROKEN)
		return; /* reading finds out, too */
	hand_keep_output(c, said);
}

/* True: all is written, or it never will be. */
bool conn_flush(struct conn *c)
{
	struct span left = span_of(c->out, c->out_n);

	if (!c->out)
		return true;
	if (stream_write(&c->stream, &left) == STREAM_AGAIN) {
		memmove(c->out, left.p, left.n);
		c->out_n = (uint16_t)left.n;
		return false;
	}
	hand_give_out(c);
	return true;
}

/* ---- reading ---------------------------------------------------------------------------- */

/*
 * A PROXY header in front of the TLS handshake: what is behind it belongs to OpenSSL, so
 * nothing may be read that the session does not take.
 */
static bool peeks(const struct conn *c)
{
	return c->session.phase == PHASE_PROXY && c->session.listener->tls == TLS_IMPLICIT;
}

static enum stream_got peek(struct conn *c)
{
	struct session_in in = { .kind = IN_BYTES };
	enum stream_got got;
	size_t n;

	got = stream_peek(&c->stream, c->edge->in, sizeof(c->edge->in), &n);
	if (got != STREAM_GOT)
		return got;
	in.bytes = span_of(c->edge->in, n);
	stream_skip(&c->stream, conn_step(c, &in));
	hand_give_in(c); /* it stays in the socket */
	return STREAM_GOT;
}

static enum stream_got read_and_step(struct conn *c)
{
	uint8_t *mem = c->in && !c->in_small ? c->in : c->edge->in;
	struct session_in in = { .kind = IN_BYTES };
	enum stream_got got;
	size_t n;

	if (c->in_n == IN_MAX) {
		conn_fail(c); /* the session must take a line that long, or refuse it */
		return STREAM_GOT;
	}
	if (c->in && mem != c->in)
		memcpy(mem, c->in, c->in_n);
	got = stream_read(&c->stream, mem + c->in_n, IN_MAX - c->in_n, &n);
	if (got != STREAM_GOT)
		return got;
	c->spoke = false;
	in.bytes = span_of(mem, c->in_n + n);
	conn_step(c, &in);
	return STREAM_GOT;
}

/* Read and step once. False: nothing more can be done now. */
bool conn_take_in(struct conn *c)
{
	if (c->offer) {
		conn_step_event(c, IN_BYTES);
		return true;
	}
	if (c->peer_ended)
		return false;
	switch (peeks(c) ? peek(c) : read_and_step(c)) {
	case STREAM_GOT:
		return true;
	case STREAM_AGAIN:
		return false;
	case STREAM_EOF:
		c->peer_ended = true;
		conn_step_event(c, IN_EOF);
		return true;
	case STREAM_BROKEN:
		break;
	}
	c->peer_ended = true;
	conn_step_event(c, IN_BROKEN);
	c->orders |= DO_CLOSE;
	return true;
}
