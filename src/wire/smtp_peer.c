#include "wire/smtp_peer.h"

#include <inttypes.h>

#include "base/base64.h"
#include "base/number.h"
#include "wire/peer_line.h"

void smtp_peer_init(struct smtp_peer *p)
{
	*p = (struct smtp_peer){ 0 };
}

/* ---- replies ------------------------------------------------------------------------ */

static struct smtp_peer_event bad(struct smtp_peer *p, struct span *in, const char *why)
{
	p->bad = true;
	*in = span_skip(*in, in->n);
	return (struct smtp_peer_event){ .kind = SMTP_PEER_BAD, .text = span_str(why) };
}

/* The code of a line, 0 if it has none. */
static int code_of(struct span line)
{
	if (line.n < 3 || line.p[0] < '2' || line.p[0] > '5')
		return 0;
	for (size_t i = 1; i < 3; i++)
		if (line.p[i] < '0' || line.p[i] > '9')
			return 0;
	if (line.n > 3 && line.p[3] != ' ' && line.p[3] != '-')
		return 0;
	return (line.p[0] - '0') * 100 + (line.p[1] - '0') * 10 + (line.p[2] - '0');
}

static void keep(struct smtp_peer *p, struct span text)
{
	struct buf kept = { .mem = p->text, .cap = sizeof(p->text), .len = p->text_n };

	if (p->lines > 1 && buf_room(&kept))
		buf_byte(&kept, ' ');
	buf_put(&kept, span_head(text, buf_room(&kept)));
	p->text_n = (uint8_t)kept.len;
}

static void learn_size(struct smtp_peer *p, struct span words)
{
	uint64_t n;

	if (number_parse(span_cut(&words, ' '), UINT64_MAX, &n))
		p->size_max = n;
}

static void learn_limits(struct smtp_peer *p, struct span words)
{
	const struct span name = SPAN("RCPTMAX=");
	uint64_t n;

	while (words.n) {
		struct span word = span_cut(&words, ' ');

		if (span_starts_nocase(word, name) &&
		    number_parse(span_skip(word, name.n), 1000000, &n))
			p->rcpt_max = n;
	}
}

static void learn_mechanisms(struct smtp_peer *p, struct span words)
{
	while (words.n) {
		struct span word = span_cut(&words, ' ');

		if (span_eq_nocase(word, SPAN("PLAIN")))
			p->can |= SMTP_CAN_AUTH_PLAIN;
		if (span_eq_nocase(word, SPAN("LOGIN")))
			p->can |= SMTP_CAN_AUTH_LOGIN;
	}
}

/* clang-format off */
static const struct capability {
	struct span word;
	unsigned bit;
	void (*learn)(struct smtp_peer *p, struct span words);
} capabilities[] = {
	{ SPAN_INIT("PIPELINING"), SMTP_CAN_PIPELINING, NULL },
	{ SPAN_INIT("SIZE"),       SMTP_CAN_SIZE,       learn_size },
	{ SPAN_INIT("8BITMIME"),   SMTP_CAN_8BITMIME,   NULL },
	{ SPAN_INIT("SMTPUTF8"),   SMTP_CAN_SMTPUTF8,   NULL },
	{ SPAN_INIT("STARTTLS"),   SMTP_CAN_STARTTLS,   NULL },
	{ SPAN_INIT("LIMITS"),     SMTP_CAN_LIMITS,     learn_limits },
	{ SPAN_INIT("DSN"),        SMTP_CAN_DSN,        NULL },
	{ SPAN_INIT("CHUNKING"),   SMTP_CAN_CHUNKING,   NULL },
	{ SPAN_INIT("BINARYMIME"), SMTP_CAN_BINARYMIME, NULL },
	{ SPAN_INIT("AUTH"),       0,                   learn_mechanisms },
};
/* clang-format on */

static void learn(struct smtp_peer *p, struct span text)
{
	struct span word = span_cut(&text, ' ');

	for (size_t i = 0; i < COUNT_OF(capabilities); i++) {
		const struct capability *c = &capabilities[i];

		if (!span_eq_nocase(word, c->word))
			continue;
		p->can |= c->bit;
		if (c->learn)
			c->learn(p, text);
	}
}

static void begin_reply(struct smtp_peer *p, int code)
{
	p->code = code;
	p->lines = 0;
	p->text_n = 0;
}

struct smtp_peer_event smtp_peer_next(struct smtp_peer *p, struct span *in)
{
	struct smtp_peer_event ev = { .kind = SMTP_PEER_MORE };

	if (p->bad)
		*in = span_skip(*in, in->n);
	while (in->n) {
		const char *why;
		enum peer_line got = peer_line_find(&p->seen, *in, SMTP_PEER_LINE, &why);
		struct span line;
		int code;

		if (got == PEER_LINE_MORE)
			return ev;
		if (got == PEER_LINE_BAD)
			return bad(p, in, why);
		line = span_head(*in, p->seen - 2);
		code = code_of(line);
		if (!code || (p->code && code != p->code))
			return bad(p, in, "a line that is not part of a reply");
		if (!p->code)
			begin_reply(p, code);
		if (++p->lines > SMTP_PEER_LINES)
			return bad(p, in, "a reply of too many lines");
		keep(p, span_skip(line, 4));
		if (p->hello && p->lines > 1 && code == 250)
			learn(p, span_skip(line, 4));
		*in = span_skip(*in, p->seen);
		p->seen = 0;
		if (line.n > 3 && line.p[3] == '-')
			continue;
		p->code = 0;
		p->hello = false;
		ev.kind = SMTP_PEER_REPLY;
		ev.code = code;
		ev.text = span_of(p->text, p->text_n);
		return ev;
	}
	return ev;
}

bool smtp_peer_in_reply(const struct smtp_peer *p)
{
	return p->seen > 0 || p->code != 0;
}

/* ---- commands ----------------------------------------------------------------------- */

static void put_line(struct buf *out, const char *before, struct span text,
		     const char *behind)
{
	buf_put(out, span_str(before));
	buf_put(out, text);
	buf_put(out, span_str(behind));
}

void smtp_peer_hello(struct smtp_peer *p, enum smtp_peer_hello how, struct span name,
		     struct buf *out)
{
	static const char *const verb[] = {
		[SMTP_PEER_HELO] = "HELO ",
		[SMTP_PEER_EHLO] = "EHLO ",
		[SMTP_PEER_LHLO] = "LHLO ",
	};

	p->can = 0;
	p->size_max = 0;
	p->rcpt_max = 0;
	p->hello = how != SMTP_PEER_HELO;
	put_line(out, verb[how], name, "\r\n");
}

void smtp_peer_mail(const struct smtp_peer *p, const struct smtp_peer_mail *m,
		    struct buf *out)
{
	put_line(out, "MAIL FROM:<", m->sender, ">");
	if (p->can & SMTP_CAN_SIZE && m->size)
		buf_fmt(out, " SIZE=%" PRIu64, m->size);
	if (p->can & SMTP_CAN_BINARYMIME && m->needs & SMTP_PEER_BINARY)
		buf_put(out, SPAN(" BODY=BINARYMIME"));
	else if (p->can & SMTP_CAN_8BITMIME && m->needs & SMTP_PEER_8BIT)
		buf_put(out, SPAN(" BODY=8BITMIME"));
	if (p->can & SMTP_CAN_SMTPUTF8 && m->needs & SMTP_PEER_UTF8)
		buf_put(out, SPAN(" SMTPUTF8"));
	if (p->can & SMTP_CAN_DSN) {
		if (m->needs & (SMTP_PEER_RET_HDRS | SMTP_PEER_RET_FULL))
			buf_put(out, m->needs & SMTP_PEER_RET_HDRS ? SPAN(" RET=HDRS")
								   : SPAN(" RET=FULL"));
		if (m->envid.n)
			put_line(out, " ENVID=", m->envid, "");
	}
	buf_put(out, SPAN("\r\n"));
}

void smtp_peer_rcpt(const struct smtp_peer *p, struct span rcpt, struct span notify,
		    struct buf *out)
{
	put_line(out, "RCPT TO:<", rcpt, ">");
	if (p->can & SMTP_CAN_DSN && notify.n)
		put_line(out, " ", notify, "");
	buf_put(out, SPAN("\r\n"));
}

void smtp_peer_starttls(struct buf *out)
{
	buf_put(out, SPAN("STARTTLS\r\n"));
}

void smtp_peer_auth_plain(struct span message, struct buf *out)
{
	buf_put(out, SPAN("AUTH PLAIN "));
	smtp_peer_auth_line(message, out);
}

void smtp_peer_auth_login(struct buf *out)
{
	buf_put(out, SPAN("AUTH LOGIN\r\n"));
}

void smtp_peer_auth_line(struct span bytes, struct buf *out)
{
	base64_print(bytes, out);
	buf_put(out, SPAN("\r\n"));
}

void smtp_peer_data(struct buf *out)
{
	buf_put(out, SPAN("DATA\r\n"));
}

void smtp_peer_reset(struct buf *out)
{
	buf_put(out, SPAN("RSET\r\n"));
}

void smtp_peer_quit(struct buf *out)
{
	buf_put(out, SPAN("QUIT\r\n"));
}

bool smtp_peer_address_ok(struct span address, bool utf8)
{
	bool quoted = false;

	for (size_t i = 0; i < address.n; i++) {
		uint8_t c = address.p[i];

		if (c < ' ' || c == 0x7f || (c > 0x7f && !utf8))
			return false;
		if (quoted && c == '\\') {
			/* whatever is escaped must be there, and no control byte either */
			if (++i == address.n || address.p[i] < ' ' || address.p[i] > 0x7e)
				return false;
		} else if (c == '"') {
			quoted = !quoted;
		} else if (!quoted && (c == ' ' || c == '<' || c == '>')) {
			return false;
		}
	}
	return !quoted;
}

bool smtp_peer_name_ok(struct span name)
{
	for (size_t i = 0; i < name.n; i++)
		if (name.p[i] <= ' ' || name.p[i] > 0x7e)
			return false;
	return name.n > 0;
}

bool smtp_peer_params_ok(struct span params)
{
	for (size_t i = 0; i < params.n; i++)
		if (params.p[i] < ' ' || params.p[i] > 0x7e)
			return false;
	return true;
}

/* ---- the message -------------------------------------------------------------------- */

void smtp_dots_init(struct smtp_dots *d)
{
	*d = (struct smtp_dots){ .at_bol = true };
}

static size_t text_run(struct span in)
{
	size_t n = span_find(in, '\n');

	return span_find(span_head(in, n), '\r');
}

/* The CR before is out already: whatever comes now, its LF must be the next byte. */
static void finish_line(struct smtp_dots *d, struct span *in, struct buf *out)
{
	buf_byte(out, '\n');
	if (in->n && in->p[0] == '\n')
		*in = span_skip(*in, 1);
	d->after_cr = false;
	d->at_bol = true;
}

void smtp_dots_put(struct smtp_dots *d, struct span *in, struct buf *out)
{
	while (in->n && buf_room(out) >= 4) {
		size_t run;

		if (d->after_cr) {
			finish_line(d, in, out);
			continue;
		}
		if (d->at_bol && in->p[0] == '.' && !d->undotted)
			buf_byte(out, '.');
		run = text_run(span_head(*in, buf_room(out)));
		if (run) {
			buf_put(out, span_head(*in, run));
			*in = span_skip(*in, run);
			d->at_bol = false;
			continue;
		}
		/* a CR waits for its LF; an LF without one gets it */
		buf_byte(out, '\r');
		d->after_cr = true;
		if (in->p[0] == '\r')
			*in = span_skip(*in, 1);
	}
}

void smtp_dots_end(struct smtp_dots *d, struct buf *out)
{
	struct span nothing = SPAN_NONE;

	if (!d->after_cr && !d->at_bol)
		buf_byte(out, '\r');
	if (!d->at_bol || d->after_cr)
		finish_line(d, &nothing, out);
	if (!d->undotted)
		buf_put(out, SPAN(".\r\n"));
}
