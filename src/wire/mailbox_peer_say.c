/*
 * What is said to a mailbox server: questions, for whom we come, and the login.
 */
#include "base/base64.h"
#include "wire/mailbox_peer.h"

#define LITERAL_SOME 4096 /* RFC 7888, 5 */

/* ---- commands --------------------------------------------------------------------------- */

static void put_tag(struct mailbox_peer *p, struct buf *out)
{
	p->asked++;
	buf_byte(out, MAILBOX_PEER_TAG);
	buf_number(out, p->asked);
	buf_byte(out, ' ');
}

static void say(struct mailbox_peer *p, struct buf *out, const char *imap,
		const char *pop3)
{
	if (!p->pop3)
		put_tag(p, out);
	buf_put(out, span_str(p->pop3 ? pop3 : imap));
}

void mailbox_peer_ask(struct mailbox_peer *p, struct buf *out)
{
	p->listing = p->pop3;
	say(p, out, "CAPABILITY\r\n", "CAPA\r\n");
}

void mailbox_peer_starttls(struct mailbox_peer *p, struct buf *out)
{
	say(p, out, "STARTTLS\r\n", "STLS\r\n");
}

void mailbox_peer_bye(struct mailbox_peer *p, struct buf *out)
{
	say(p, out, "LOGOUT\r\n", "QUIT\r\n");
}

/* ---- for whom we come ------------------------------------------------------------------- */

static void put_pair(struct buf *out, const char *name, const struct addr *a,
		     uint16_t port)
{
	buf_fmt(out, "\"x-%s-ip\" \"", name);
	addr_print(a, out);
	buf_fmt(out, "\" \"x-%s-port\" \"%u\" ", name, port);
}

/* Dovecot, login_trusted_networks: src/imap-login/imap-login-cmd-id.c */
static void identify_imap(struct mailbox_peer *p, const struct mailbox_peer_client *c,
			  struct buf *out)
{
	put_tag(p, out);
	buf_put(out, SPAN("ID ("));
	put_pair(out, "originating", &c->peer.addr, c->peer.port);
	put_pair(out, "connected", &c->local.addr, c->local.port);
	buf_put(out, SPAN("\"x-session-id\" \""));
	buf_put(out, c->session);
	buf_put(out, SPAN("\")\r\n"));
}

void mailbox_peer_identify(struct mailbox_peer *p, const struct mailbox_peer_client *c,
			   struct buf *out)
{
	if (!p->pop3) {
		identify_imap(p, c, out);
		return;
	}
	buf_put(out, SPAN("XCLIENT ADDR="));
	addr_print(&c->peer.addr, out);
	buf_fmt(out, " PORT=%u SESSION=", c->peer.port);
	buf_put(out, c->session);
	buf_put(out, SPAN("\r\n"));
}

/* ---- the login -------------------------------------------------------------------------- */

bool mailbox_peer_text_ok(struct span text)
{
	return span_find(text, '\0') == text.n;
}

bool mailbox_peer_line_ok(struct span text)
{
	return mailbox_peer_text_ok(text) && span_find(text, '\r') == text.n &&
	       span_find(text, '\n') == text.n;
}

void mailbox_peer_auth_line(struct span message, struct buf *out)
{
	base64_print(message, out);
	buf_put(out, SPAN("\r\n"));
}

bool mailbox_peer_auth(struct mailbox_peer *p, enum sasl_mechanism m, struct span first,
		       struct buf *out)
{
	bool at_once = !p->pop3 && p->can & MAILBOX_CAN_INITIAL;

	say(p, out, "AUTHENTICATE ", "AUTH ");
	buf_put(out, span_str(sasl_word[m]));
	if (at_once) {
		buf_byte(out, ' ');
		mailbox_peer_auth_line(first, out);
	} else {
		buf_put(out, SPAN("\r\n"));
	}
	return at_once;
}

static bool quotable(struct span text)
{
	for (size_t i = 0; i < text.n; i++)
		if (text.p[i] < ' ' || text.p[i] > 0x7e)
			return false;
	return true;
}

static void put_quoted(struct span text, struct buf *out)
{
	buf_byte(out, '"');
	for (size_t i = 0; i < text.n; i++) {
		if (text.p[i] == '"' || text.p[i] == '\\')
			buf_byte(out, '\\');
		buf_byte(out, text.p[i]);
	}
	buf_byte(out, '"');
}

/* The head of a literal, or all of a string. True: the server must say that it wants more. */
static bool put_string(const struct mailbox_peer *p, struct span text, struct buf *out)
{
	bool at_once = p->can & MAILBOX_CAN_LITERAL ||
		       (p->can & MAILBOX_CAN_LITERAL_4K && text.n <= LITERAL_SOME);

	if (quotable(text)) {
		put_quoted(text, out);
		return false;
	}
	buf_fmt(out, at_once ? "{%zu+}\r\n" : "{%zu}\r\n", text.n);
	if (at_once)
		buf_put(out, text);
	return !at_once;
}

unsigned mailbox_peer_login(struct mailbox_peer *p, struct span user, struct span secret,
			    unsigned at, struct buf *out)
{
	if (at == 0) {
		put_tag(p, out);
		buf_put(out, SPAN("LOGIN "));
		if (put_string(p, user, out))
			return 1;
	}
	if (at <= 1) {
		if (at == 1)
			buf_put(out, user);
		buf_byte(out, ' ');
		if (put_string(p, secret, out))
			return 2;
	}
	if (at == 2)
		buf_put(out, secret);
	buf_put(out, SPAN("\r\n"));
	return 0;
}

void mailbox_peer_user(struct span user, struct buf *out)
{
	buf_put(out, SPAN("USER "));
	buf_put(out, user);
	buf_put(out, SPAN("\r\n"));
}

void mailbox_peer_pass(struct span secret, struct buf *out)
{
	buf_put(out, SPAN("PASS "));
	buf_put(out, secret);
	buf_put(out, SPAN("\r\n"));
}
