/*
 * The TLS handshake of a connection, and what the session hears of it.
 */
#include "edge/conn_inner.h"

static void print_word(char *to, size_t room, const char *word)
{
	size_t n = strlen(word);

	n = n < room ? n : room - 1;
	memcpy(to, word, n);
	to[n] = '\0';
}

static void handshake_done(struct conn *c)
{
	struct tls_facts facts = stream_tls_facts(&c->stream);
	struct session_tls tls = { .bits = (uint16_t)facts.bits };
	struct session_in in = { .kind = IN_TLS, .tls = &tls };
	char name[USER_MAX];

	c->hello = facts.hello;
	tls.certified = stream_tls_client_name(&c->stream, name, sizeof(name)) > 0;
	print_word(tls.version, sizeof(tls.version), facts.version);
	print_word(tls.cipher, sizeof(tls.cipher), facts.cipher);
	c->state = CONN_TALKS;
	c->spoke = true; /* a session ticket, at least */
	pulse_gauge(c->edge->pulse, GAUGE_TLS, 1);
	conn_step(c, &in);
}

static void handshake_failed(struct conn *c)
{
	c->state = CONN_TALKS;
	c->peer_ended = true;
	conn_step_event(c, IN_TLS_FAILED);
	c->orders |= DO_CLOSE;
}

bool conn_handshake(struct conn *c)
{
	switch (stream_handshake(&c->stream)) {
	case STREAM_GOT:
		handshake_done(c);
		return true;
	case STREAM_AGAIN:
		return false;
	case STREAM_EOF:
	case STREAM_BROKEN:
		break;
	}
	handshake_failed(c);
	return true;
}

void conn_start_tls(struct conn *c)
{
	c->orders &= ~DO_TLS;
	hand_give_in(c);
	c->offer = false;
	if (c->edge->tls && stream_tls_server(&c->stream, c->edge->tls))
		c->state = CONN_HANDSHAKE; /* the seat shows it since DO_TLS */
	else
		handshake_failed(c);
}
