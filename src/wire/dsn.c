#include "wire/dsn.h"

#include "base/bug.h"
#include "base/date.h"
#include "base/id.h"
#include "base/siphash.h"
#include "base/utf8.h"
#include "spec/limits.h"
#include "wire/dsn_inner.h"

/*
 * Everything that others wrote goes through dsn_put_safe(): what is no printable character
 * becomes a question mark, so neither lines nor fields nor parts can be forged. What is
 * returned of the message is cut into lines of ours or, if it is returned whole, was found
 * to be lines already.
 */

#define HOST_MAX     DOMAIN_MAX
#define PARTS_ROOM   2048 /* heads of parts, what is said about the message, boundaries */
#define HEADER_ROOM  4096 /* kept for the header of the message */
#define RCPT_ROOM    6144 /* one recipient, at its worst, in both parts */
#define BOUNDARY_MAX 48

static const struct {
	const char *word, *subject, *first, *last;
} actions[DSN_ACTIONS] = {
	[DSN_FAILED] = {
		"failed", "Your message could not be delivered",
		"Your message could not be delivered to:",
		"It will not be tried again. If it matters, send it anew when you know what was\r\n"
		"wrong, or reach the recipient in another way.",
	},
	[DSN_DELAYED] = {
		"delayed", "Your message is delayed",
		"Your message could not be delivered yet to:",
		"You need not do anything: the server goes on trying, and will tell you if it fails\r\n"
		"for good. Do not send the message again.",
	},
	[DSN_DELIVERED] = {
		"delivered", "Your message was delivered",
		"As you wished to know: your message was delivered to:",
		"That does not say that anybody has read it.",
	},
	[DSN_RELAYED] = {
		"relayed", "Your message was passed on",
		"As you wished to know: your message was passed on for:",
		"The next server does not tell about deliveries, so this is all that you will hear\r\n"
		"unless it fails there.",
	},
	[DSN_EXPANDED] = {
		"expanded", "Your message was passed on",
		"As you wished to know: your message was passed on to everybody behind:",
		"That does not say that each of them has it already.",
	},
};

/* What a code means to somebody who is no postmaster; detail 0: all others of the subject. */
static const struct {
	uint16_t subject, detail;
	const char *text;
} advice[] = {
	{ 1, 1, "There is no such address. Is it spelled right?" },
	{ 1, 2, "There is no such domain, or it takes no mail. Is it spelled right?" },
	{ 1, 3, "That is not an address that the other side can read." },
	{ 1, 6, "The recipient has moved to another address." },
	{ 1, 10, "That domain takes no mail. Is it spelled right?" },
	{ 1, 0, "Something is wrong with the address." },
	{ 2, 1, "The mailbox is closed." },
	{ 2, 2, "The mailbox is full." },
	{ 2, 3, "The message is larger than the recipient takes." },
	{ 2, 0, "The mailbox does not take the message." },
	{ 3, 4, "The message is too large for the other server." },
	{ 3, 0, "The other server cannot take the message." },
	{ 4, 1, "The other server could not be reached." },
	{ 4, 2, "The connection to the other server broke off." },
	{ 4, 6, "The message went round in a circle." },
	{ 4, 7, "The message waited for too long." },
	{ 4, 0, "There was no way to the other server." },
	{ 6, 0, "The other server cannot take what is in the message." },
	{ 7, 0, "The other server refuses the message by its rules." },
};

static void put_host(struct span host, struct buf *out)
{
	dsn_put_safe(span_head(host, HOST_MAX), false, out);
}

static void put_address(struct span address, bool utf8, struct buf *out)
{
	dsn_put_safe(span_head(address, ADDRESS_MAX), utf8, out);
}

static void put_line(const char *text, struct buf *out)
{
	buf_put(out, span_str(text));
	buf_put(out, SPAN("\r\n"));
}

static bool returns_all(const struct dsn *d, const struct buf *out)
{
	return d->full && d->whole && d->message.n <= DSN_RETURN_MAX &&
	       d->message.n + DSN_ROOM_MIN <= buf_room(out) && dsn_is_lines(d->message);
}

/* ---- for people ---------------------------------------------------------------------------------- */

static const char *advice_on(struct dsn_status s)
{
	for (size_t i = 0; i < COUNT_OF(advice); i++)
		if (advice[i].subject == s.subject &&
		    (advice[i].detail == s.detail || advice[i].detail == 0))
			return advice[i].text;
	return NULL;
}

static bool is_answer(struct span answer)
{
	return answer.n >= 3 && answer.p[0] >= '2' && answer.p[0] <= '5';
}

/* Our own words stand behind 000. */
static struct span words_of(struct span answer)
{
	if (is_answer(answer) || !span_starts(answer, SPAN("000")))
		return answer;
	return span_trim(span_skip(answer, 3));
}

static void explain(const struct dsn *d, const struct dsn_rcpt *r, struct buf *out)
{
	const char *text = advice_on(dsn_status_of(r->answer, d->action));
	struct span words = words_of(r->answer);

	buf_put(out, SPAN("    "));
	put_address(r->address, d->utf8, out);
	buf_put(out, SPAN("\r\n"));
	if (d->action != DSN_FAILED && d->action != DSN_DELAYED)
		return;
	if (text)
		buf_fmt(out, "        %s\r\n", text);
	if (words.n == 0)
		return;
	buf_put(out, SPAN("        "));
	if (r->host.n && is_answer(r->answer)) {
		put_host(r->host, out);
		buf_put(out, SPAN(" answered:\r\n        "));
	}
	dsn_put_words(words, d->utf8, "        ", 8, out);
	buf_put(out, SPAN("\r\n"));
}

static void put_closing(const struct dsn *d, const struct dsn_rcpt *rcpts, bool all,
			struct buf *out)
{
	buf_put(out, SPAN("\r\n"));
	put_line(actions[d->action].last, out);
	if (d->action == DSN_DELAYED && rcpts[0].until > 0) {
		buf_put(out, SPAN("It gives up on "));
		date_print(rcpts[0].until, out);
		buf_put(out, SPAN(".\r\n"));
	}
	buf_put(out, SPAN("\r\nYou handed it in on "));
	date_print(d->arrived, out);
	buf_put(out, SPAN("; its number here\r\nis "));
	id_print(d->about, out);
	buf_put(out, SPAN(", by which your postmaster finds it. "));
	put_line(all ? "It is attached." : "Its header is attached.", out);
}

/* ---- for programs ---------------------------------------------------------------------------------- */

/* An address that is not ASCII, in a part that is (RFC 6533, 3: utf-8-addr-xtext). */
static void put_escaped(struct span address, struct buf *out)
{
	address = span_head(address, ADDRESS_MAX);
	while (address.n) {
		uint32_t code;
		size_t n = utf8_first(address, &code);

		if (n > 1)
			buf_fmt(out, "\\x{%X}", code);
		else
			dsn_put_safe(span_head(address, 1), false, out);
		address = span_skip(address, n ? n : 1);
	}
}

static void put_final(const struct dsn *d, struct span address, struct buf *out)
{
	bool high = !utf8_is_ascii(address);

	buf_put(out, SPAN("Final-Recipient: "));
	buf_put(out, high ? SPAN("utf-8; ") : SPAN("rfc822; "));
	if (high && !d->utf8)
		put_escaped(address, out);
	else
		put_address(address, d->utf8, out);
	buf_put(out, SPAN("\r\n"));
}

/* "rfc822;bob+40example.org"; nothing if it is not that. */
static void put_original(const struct dsn *d, struct span orcpt, struct buf *out)
{
	struct span kind = span_cut(&orcpt, ';');
	uint8_t mem[ORCPT_MAX];
	struct buf address;

	buf_init(&address, mem, sizeof(mem));
	if (!dsn_xtext_parse(orcpt, &address) || address.len == 0 || kind.n == 0 ||
	    kind.n > 20)
		return;
	for (size_t i = 0; i < kind.n; i++) {
		uint8_t c = byte_lower(kind.p[i]);

		if (!(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9') && c != '-')
			return;
	}
	buf_put(out, SPAN("Original-Recipient: "));
	buf_put(out, kind);
	buf_put(out, SPAN("; "));
	dsn_put_safe(buf_span(&address), d->utf8, out);
	buf_put(out, SPAN("\r\n"));
}

static void put_date(const char *name, int64_t wall, struct buf *out)
{
	if (wall <= 0)
		return;
	buf_fmt(out, "%s: ", name);
	date_print(wall, out);
	buf_put(out, SPAN("\r\n"));
}

static void put_diagnosis(const struct dsn *d, const struct dsn_rcpt *r, struct buf *out)
{
	struct span words = words_of(r->answer);

	if (is_answer(r->answer) && r->host.n) {
		/* a name; the address behind it is for people */
		buf_put(out, SPAN("Remote-MTA: dns; "));
		put_host(span_head(r->host, span_find(r->host, ' ')), out);
		buf_put(out, SPAN("\r\n"));
	}
	if (span_trim(words).n == 0)
		return;
	buf_put(out, is_answer(r->answer) ? SPAN("Diagnostic-Code: smtp; ")
					  : SPAN("Diagnostic-Code: x-holdfast; "));
	dsn_put_words(words, d->utf8, " ", 29, out);
	buf_put(out, SPAN("\r\n"));
}

static void report(const struct dsn *d, const struct dsn_rcpt *r, struct buf *out)
{
	struct dsn_status s = dsn_status_of(r->answer, d->action);

	buf_put(out, SPAN("\r\n"));
	put_original(d, r->orcpt, out);
	put_final(d, r->address, out);
	buf_fmt(out, "Action: %s\r\nStatus: %u.%u.%u\r\n", actions[d->action].word, s.of,
		s.subject, s.detail);
	put_diagnosis(d, r, out);
	put_date("Last-Attempt-Date", r->tried, out);
	if (d->action == DSN_DELAYED)
		put_date("Will-Retry-Until", r->until, out);
}

static void report_message(const struct dsn *d, struct buf *out)
{
	uint8_t mem[ENVID_MAX];
	struct buf envid;

	buf_put(out, SPAN("Reporting-MTA: dns; "));
	put_host(d->host, out);
	buf_put(out, SPAN("\r\n"));
	buf_init(&envid, mem, sizeof(mem));
	if (d->envid.n && dsn_xtext_parse(d->envid, &envid)) {
		buf_put(out, SPAN("Original-Envelope-Id: "));
		dsn_put_safe(buf_span(&envid), false, out);
		buf_put(out, SPAN("\r\n"));
	}
	put_date("Arrival-Date", d->arrived, out);
}

/* ---- the whole ----------------------------------------------------------------------------------------- */

/* What nobody who does not have d->secret can have written before. */
static void boundary_print(const struct dsn *d, struct buf *out)
{
	uint64_t about[3] = { d->id, d->about, 0 };
	uint64_t first = siphash(d->secret, span_of(about, sizeof(about)));

	about[2] = 1;
	buf_fmt(out, "holdfast-%016llx%016llx", (unsigned long long)first,
		(unsigned long long)siphash(d->secret, span_of(about, sizeof(about))));
}

static void put_head(const struct dsn *d, struct span boundary, bool eight_bit,
		     struct buf *out)
{
	struct span about = dsn_message_id(d->message);

	buf_put(out, SPAN("From: Mail delivery <mailer-daemon@"));
	put_host(d->host, out);
	buf_put(out, SPAN(">\r\nTo: <"));
	put_address(d->to, d->utf8, out);
	buf_fmt(out, ">\r\nSubject: %s\r\nDate: ", actions[d->action].subject);
	date_print(d->wall, out);
	buf_put(out, SPAN("\r\nMessage-ID: <"));
	id_print(d->id, out);
	buf_put(out, SPAN(".dsn@"));
	put_host(d->host, out);
	buf_put(out, SPAN(">\r\n"));
	if (about.n) {
		buf_put(out, SPAN("In-Reply-To: "));
		buf_put(out, about);
		buf_put(out, SPAN("\r\nReferences: "));
		buf_put(out, about);
		buf_put(out, SPAN("\r\n"));
	}
	put_line("Auto-Submitted: auto-replied\r\nMIME-Version: 1.0\r\n"
		 "Content-Type: multipart/report; report-type=delivery-status;",
		 out);
	buf_fmt(out, "\tboundary=\"%.*s\"\r\n", SPAN_ARG(boundary));
	buf_fmt(out, "Content-Transfer-Encoding: %s\r\n\r\n", eight_bit ? "8bit" : "7bit");
}

static void put_part(struct span boundary, const char *type, bool eight_bit,
		     struct buf *out)
{
	buf_fmt(out, "--%.*s\r\nContent-Type: %s\r\n", SPAN_ARG(boundary), type);
	buf_fmt(out, "Content-Transfer-Encoding: %s\r\n\r\n", eight_bit ? "8bit" : "7bit");
}

static void put_message(const struct dsn *d, struct span boundary, bool all,
			bool eight_bit, struct buf *out)
{
	size_t close = boundary.n + 16;

	if (all) {
		put_part(boundary, d->utf8 ? "message/global" : "message/rfc822",
			 eight_bit, out);
		buf_put(out, d->message);
	} else {
		put_part(boundary,
			 d->utf8 ? "message/global-headers" : "text/rfc822-headers",
			 eight_bit, out);
		if (buf_room(out) > close)
			dsn_put_header(d, buf_room(out) - close, out);
	}
	buf_fmt(out, "\r\n--%.*s--\r\n", SPAN_ARG(boundary));
}

/* How many of the recipients fit into so much. */
static size_t how_many(const struct dsn *d, const struct dsn_rcpt *rcpts, size_t count,
		       size_t room)
{
	uint8_t mem[RCPT_ROOM];
	struct buf b;

	for (size_t i = 0; i < count; i++) {
		buf_init(&b, mem, sizeof(mem));
		explain(d, &rcpts[i], &b);
		report(d, &rcpts[i], &b);
		BUG_IF(b.full);
		if (b.len > room)
			return i;
		room -= b.len;
	}
	return count;
}

size_t dsn_print(const struct dsn *d, const struct dsn_rcpt *rcpts, size_t count,
		 struct buf *out, struct dsn_needs *needs)
{
	bool all = returns_all(d, out);
	bool eight_bit = d->utf8 || (all && !utf8_is_ascii(d->message));
	size_t kept = PARTS_ROOM + (all ? d->message.n : HEADER_ROOM), told;
	uint8_t mem[BOUNDARY_MAX];
	struct span boundary;
	struct buf b;

	if (buf_room(out) < DSN_ROOM_MIN || count == 0)
		return 0;
	buf_init(&b, mem, sizeof(mem));
	boundary_print(d, &b);
	boundary = buf_span(&b);

	put_head(d, boundary, eight_bit, out);
	put_part(boundary,
		 d->utf8 ? "text/plain; charset=utf-8" : "text/plain; charset=us-ascii",
		 d->utf8, out);
	buf_put(out, SPAN("This is the mail server "));
	put_host(d->host, out);
	buf_fmt(out, ".\r\n\r\n%s\r\n\r\n", actions[d->action].first);
	told = how_many(d, rcpts, count, buf_room(out) - kept);
	BUG_IF(told == 0);
	for (size_t i = 0; i < told; i++)
		explain(d, &rcpts[i], out);
	put_closing(d, rcpts, all, out);
	buf_put(out, SPAN("\r\n"));

	put_part(boundary,
		 d->utf8 ? "message/global-delivery-status" : "message/delivery-status",
		 d->utf8, out);
	report_message(d, out);
	for (size_t i = 0; i < told; i++)
		report(d, &rcpts[i], out);
	buf_put(out, SPAN("\r\n"));
	put_message(d, boundary, all, eight_bit, out);
	BUG_IF(out->full);
	*needs = (struct dsn_needs){ .eight_bit = !utf8_is_ascii(buf_span(out)) };
	needs->utf8 = d->utf8 && needs->eight_bit;
	return told;
}
