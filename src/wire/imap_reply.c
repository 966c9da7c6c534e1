/* What we say in IMAP. */
#include "base/base64.h"
#include "base/bug.h"
#include "wire/imap.h"

/* ---- codes --------------------------------------------------------------------------- */

struct status {
	const char *word; /* NULL: as the class of the reply has it */
	const char *code; /* RFC 5530; NULL: none */
	const char *text; /* NULL: that of the reply */
};

/* clang-format off */
static const struct status statuses[REPLY_COUNT] = {
	[RE_OK] =             { NULL, NULL, "Done" },
	[RE_BYE] =            { NULL, NULL, "Logging out" },
	[RE_STOPPING] =       { NULL, "UNAVAILABLE", NULL },
	[RE_INTERNAL] =       { NULL, "UNAVAILABLE", NULL },
	[RE_TLS_UNAVAILABLE] = { "NO", "UNAVAILABLE", NULL },
	[RE_NO_TAG] =         { "BAD", NULL, NULL },
	[RE_LITERAL_LONG] =   { "BAD", "TOOBIG", NULL },
	[RE_AUTH_NEEDED] =    { "BAD", NULL, NULL },
	[RE_AUTH_FAILED] =    { "NO", "AUTHENTICATIONFAILED", NULL },
	[RE_AUTH_LATER] =     { "NO", "UNAVAILABLE", NULL },
	[RE_AUTH_TLS] =       { "NO", "PRIVACYREQUIRED", NULL },
	[RE_AUTH_MECHANISM] = { "NO", "CANNOT", NULL },
	[RE_AUTH_CANCELLED] = { "BAD", NULL, NULL },
	[RE_LOGIN_OVER] =     { "NO", "LIMIT", NULL },
	[RE_MAILBOX_DOWN] =   { "NO", "UNAVAILABLE", NULL },
	[RE_MAILBOX_DENIED] = { "NO", "CONTACTADMIN", NULL },
	[RE_MAILBOX_LIMIT] =  { "NO", "LIMIT", NULL },
};
/* clang-format on */

static const char *word_of(enum reply r)
{
	int code = reply_table[r].code;

	if (statuses[r].word)
		return statuses[r].word;
	return code < 400 ? "OK" : code >= 500 && code < 505 ? "BAD" : "NO";
}

/* "[CODE] text more" CRLF */
static void print_text(enum reply r, struct span more, struct buf *out)
{
	const struct status *s = &statuses[r];

	if (s->code) {
		buf_byte(out, '[');
		buf_put(out, span_str(s->code));
		buf_put(out, SPAN("] "));
	}
	buf_put(out, span_str(s->text ? s->text : reply_table[r].text));
	if (more.n) {
		buf_byte(out, ' ');
		buf_put(out, more);
	}
	buf_put(out, SPAN("\r\n"));
}

void imap_print_bye(enum reply r, struct span more, struct buf *out)
{
	buf_put(out, SPAN("* BYE "));
	print_text(r, more, out);
}

/* ---- answers ------------------------------------------------------------------------- */

static bool is_login(enum imap_verb v)
{
	return v == IMAP_LOGIN || v == IMAP_AUTHENTICATE || v == IMAP_AUTH_MORE;
}

/* An announced literal that may not come is the end of its command. */
static void settle_literal(struct imap *m, bool wanted)
{
	m->at_literal = false;
	if (wanted) {
		m->skip = 0;
		return;
	}
	m->at = 0;
	m->verb = IMAP_NONE;
}

static void move(struct imap *m, int code)
{
	enum imap_verb asked = m->asked;

	BUG_IF(asked == IMAP_NONE);
	m->asked = IMAP_NONE;
	if (m->at_literal)
		settle_literal(m, code < 400);
	else if (asked == IMAP_STARTTLS && code < 300)
		m->state = IMAP_WANTS_TLS;
	else if (asked == IMAP_LOGOUT)
		m->state = IMAP_GONE;
	else if (asked == IMAP_AUTHENTICATE || asked == IMAP_AUTH_MORE)
		m->state = code >= 300 && code < 400 ? IMAP_IN_AUTH : IMAP_READY;
	if (asked != IMAP_REFUSED)
		m->mute = code >= 400 && is_login(asked);
}

static void print_tag(const struct imap *m, const char *status, struct buf *out)
{
	if (m->tag_n)
		buf_put(out, span_of(m->tag, m->tag_n));
	else
		buf_byte(out, '*');
	buf_byte(out, ' ');
	buf_put(out, span_str(status));
	buf_byte(out, ' ');
}

static void print_done(struct imap *m, struct buf *out)
{
	print_tag(m, "OK", out);
	print_text(RE_OK, SPAN_NONE, out);
	move(m, reply_table[RE_OK].code);
}

void imap_reply(struct imap *m, enum reply r, struct span more, struct buf *out)
{
	if (m->asked == IMAP_LOGOUT)
		imap_print_bye(RE_BYE, SPAN_NONE, out);
	if (m->at_literal && reply_table[r].code < 400)
		buf_put(out, SPAN("+ "));
	else
		print_tag(m, word_of(r), out);
	print_text(r, more, out);
	move(m, reply_table[r].code);
}

void imap_reply_challenge(struct imap *m, struct span challenge, struct buf *out)
{
	buf_put(out, SPAN("+ "));
	base64_print(challenge, out);
	buf_put(out, SPAN("\r\n"));
	move(m, reply_table[RE_AUTH_GO].code);
}

/* ---- what is offered -------------------------------------------------------------------- */

/* Nothing that would mean something else where it is said. */
static bool is_word(struct span word)
{
	for (size_t i = 0; i < word.n; i++)
		if (word.p[i] <= ' ' || word.p[i] >= 0x7f ||
		    span_find(SPAN("[](){%*\"\\"), word.p[i]) < 9)
			return false;
	return word.n > 0;
}

/* Are these ours to say? How a login goes is between the client and us. */
static bool is_ours(struct span word)
{
	static const char *const words[] = { "STARTTLS",	"LOGINDISABLED",
					     "LOGIN-REFERRALS", "SASL-IR",
					     "IMAP4rev1",	"ID" };

	for (size_t i = 0; i < COUNT_OF(words); i++)
		if (span_eq_nocase(word, span_str(words[i])))
			return true;
	return span_starts_nocase(word, SPAN("AUTH="));
}

static void print_learnt(struct span learnt, struct buf *out)
{
	while (learnt.n) {
		struct span word = span_cut(&learnt, ' ');

		if (!is_word(word) || is_ours(word))
			continue;
		buf_byte(out, ' ');
		buf_put(out, word);
	}
}

/*
 * Programs that look once, before the login, and never again: so what a server offers
 * after it is told here, too, as mailbox servers do.
 */
static void print_offers(const struct imap_offers *o, struct buf *out)
{
	struct span mechanisms = o->mechanisms;

	buf_put(out, SPAN("CAPABILITY IMAP4rev1 SASL-IR ID"));
	print_learnt(o->learnt.n ? o->learnt : SPAN("LITERAL+ ENABLE IDLE"), out);
	if (o->tls)
		buf_put(out, SPAN(" STARTTLS"));
	if (!o->login)
		buf_put(out, SPAN(" LOGINDISABLED"));
	while (mechanisms.n) {
		buf_put(out, SPAN(" AUTH="));
		buf_put(out, span_cut(&mechanisms, ' '));
	}
}

void imap_print_greeting(const struct imap_offers *o, struct span host, struct buf *out)
{
	buf_put(out, SPAN("* OK ["));
	print_offers(o, out);
	buf_put(out, SPAN("] "));
	buf_put(out, host);
	buf_put(out, SPAN(" ready\r\n"));
}

void imap_reply_capability(struct imap *m, const struct imap_offers *o, struct buf *out)
{
	buf_put(out, SPAN("* "));
	print_offers(o, out);
	buf_put(out, SPAN("\r\n"));
	print_done(m, out);
}

void imap_reply_id(struct imap *m, struct buf *out)
{
	buf_put(out, SPAN("* ID (\"name\" \"Holdfast\")\r\n"));
	print_done(m, out);
}

void imap_reply_logged_in(struct imap *m, struct span offers, struct buf *out)
{
	print_tag(m, "OK", out);
	if (offers.n) {
		buf_put(out, SPAN("[CAPABILITY "));
		buf_put(out, offers);
		buf_put(out, SPAN("] "));
	}
	print_text(RE_AUTH_OK, SPAN_NONE, out);
	move(m, reply_table[RE_AUTH_OK].code);
}
