#include "wire/mailbox_peer.h"

#include "base/number.h"
#include "wire/peer_line.h"

void mailbox_peer_init(struct mailbox_peer *p, bool pop3)
{
	*p = (struct mailbox_peer){ .pop3 = pop3 };
}

void mailbox_peer_forget(struct mailbox_peer *p)
{
	p->can = 0;
	p->told = false;
	p->capability_n = 0;
}

struct span mailbox_peer_capability(const struct mailbox_peer *p)
{
	return span_of(p->capability, p->capability_n);
}

unsigned mailbox_peer_can(enum sasl_mechanism m)
{
	return m == SASL_PLAIN	       ? MAILBOX_CAN_PLAIN
	       : m == SASL_OAUTHBEARER ? MAILBOX_CAN_BEARER
	       : m == SASL_XOAUTH2     ? MAILBOX_CAN_XOAUTH2
				       : 0;
}

/* ---- what it can ------------------------------------------------------------------------ */

/* clang-format off */
static const struct capability {
	struct span word;
	unsigned bit;
} imap_words[] = {
	{ SPAN_INIT("STARTTLS"),      MAILBOX_CAN_STARTTLS },
	{ SPAN_INIT("AUTH=PLAIN"),    MAILBOX_CAN_PLAIN },
	{ SPAN_INIT("AUTH=OAUTHBEARER"), MAILBOX_CAN_BEARER },
	{ SPAN_INIT("AUTH=XOAUTH2"),  MAILBOX_CAN_XOAUTH2 },
	{ SPAN_INIT("SASL-IR"),       MAILBOX_CAN_INITIAL },
	{ SPAN_INIT("LOGINDISABLED"), MAILBOX_CAN_NO_LOGIN },
	{ SPAN_INIT("ID"),            MAILBOX_CAN_ID },
	{ SPAN_INIT("LITERAL+"),      MAILBOX_CAN_LITERAL },
	{ SPAN_INIT("LITERAL-"),      MAILBOX_CAN_LITERAL_4K },
};
/* clang-format on */

static bool is_text(struct span s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] < ' ' || s.p[i] > 0x7e || s.p[i] == ']')
			return false;
	return true;
}

/* One list replaces another. What is passed on to clients is plain words, or nothing. */
static void learn_imap(struct mailbox_peer *p, struct span words)
{
	mailbox_peer_forget(p);
	p->told = true;
	words = span_trim(words);
	if (words.n <= sizeof(p->capability) && is_text(words)) {
		memcpy(p->capability, words.p, words.n);
		p->capability_n = (uint16_t)words.n;
	}
	while (words.n) {
		struct span word = span_cut(&words, ' ');

		for (size_t i = 0; i < COUNT_OF(imap_words); i++)
			if (span_eq_nocase(word, imap_words[i].word))
				p->can |= imap_words[i].bit;
	}
}

/* A line of the answer to CAPA: "STLS", "SASL PLAIN LOGIN". */
static void learn_pop3(struct mailbox_peer *p, struct span line)
{
	struct span word = span_cut(&line, ' ');

	p->told = true;
	if (span_eq_nocase(word, SPAN("STLS")))
		p->can |= MAILBOX_CAN_STARTTLS;
	if (!span_eq_nocase(word, SPAN("SASL")))
		return;
	while (line.n) {
		word = span_cut(&line, ' ');
		for (enum sasl_mechanism m = 0; m < SASL_COUNT; m++)
			if (span_eq_nocase(word, span_str(sasl_word[m])))
				p->can |= mailbox_peer_can(m);
	}
}

/* ---- codes ------------------------------------------------------------------------------ */

/* clang-format off */
static const struct code {
	struct span word;
	enum mailbox_peer_why why;
} imap_codes[] = { /* RFC 5530, 3 */
	{ SPAN_INIT("LIMIT"),           MAILBOX_WHY_LIMIT },
	{ SPAN_INIT("UNAVAILABLE"),     MAILBOX_WHY_LATER },
	{ SPAN_INIT("INUSE"),           MAILBOX_WHY_LATER },
	{ SPAN_INIT("SERVERBUG"),       MAILBOX_WHY_LATER },
	{ SPAN_INIT("PRIVACYREQUIRED"), MAILBOX_WHY_SERVER },
	{ SPAN_INIT("CONTACTADMIN"),    MAILBOX_WHY_SERVER },
	{ SPAN_INIT("CLIENTBUG"),       MAILBOX_WHY_SERVER },
	{ SPAN_INIT("CANNOT"),          MAILBOX_WHY_SERVER },
}, pop3_codes[] = { /* RFC 2449, 8; 3206, 4 */
	{ SPAN_INIT("IN-USE"),          MAILBOX_WHY_LIMIT },
	{ SPAN_INIT("LOGIN-DELAY"),     MAILBOX_WHY_LIMIT },
	{ SPAN_INIT("SYS/TEMP"),        MAILBOX_WHY_LATER },
	{ SPAN_INIT("SYS/PERM"),        MAILBOX_WHY_SERVER },
};
/* clang-format on */

static enum mailbox_peer_why find_code(const struct code *codes, size_t count,
				       struct span word, enum mailbox_peer_why else_why)
{
	for (size_t i = 0; i < count; i++)
		if (span_eq_nocase(word, codes[i].word))
			return codes[i].why;
	return else_why;
}

/* The words in brackets at the start of a text; none: empty. */
static struct span code_of(struct span text)
{
	if (!text.n || text.p[0] != '[')
		return SPAN_NONE;
	text = span_skip(text, 1);
	return span_head(text, span_find(text, ']'));
}

static enum mailbox_peer_why why_of(const struct mailbox_peer *p, struct span text,
				    enum mailbox_peer_why else_why)
{
	struct span code = code_of(text), word = span_cut(&code, ' ');

	return p->pop3 ? find_code(pop3_codes, COUNT_OF(pop3_codes), word, else_why)
		       : find_code(imap_codes, COUNT_OF(imap_codes), word, else_why);
}

/* ---- lines ------------------------------------------------------------------------------ */

static struct mailbox_peer_event nonsense(struct mailbox_peer *p, struct span *in,
					  const char *what)
{
	p->bad = true;
	*in = span_skip(*in, in->n);
	return (struct mailbox_peer_event){ .kind = MAILBOX_PEER_NONSENSE,
					    .text = span_str(what) };
}

/* An answer: its text is kept, because the line goes. */
static struct mailbox_peer_event answer(struct mailbox_peer *p,
					enum mailbox_peer_kind kind,
					enum mailbox_peer_why why, struct span text)
{
	text = span_head(text, sizeof(p->text));
	if (text.n)
		memcpy(p->text, text.p, text.n);
	p->text_n = (uint8_t)text.n;
	return (struct mailbox_peer_event){ kind, why, span_of(p->text, p->text_n) };
}

static struct mailbox_peer_event odd(const char *what)
{
	return (struct mailbox_peer_event){ .kind = MAILBOX_PEER_NONSENSE,
					    .text = span_str(what) };
}

static const struct mailbox_peer_event nothing;

/* ---- IMAP ------------------------------------------------------------------------------- */

/* Literals may stand where nobody needs them before a login: we do not read any. */
static bool ends_in_literal(struct span line)
{
	size_t open = span_find_last(line, '{');
	uint64_t n;

	if (open == line.n || line.p[line.n - 1] != '}')
		return false;
	line = span_skip(span_head(line, line.n - 1), open + 1);
	if (line.n && line.p[line.n - 1] == '+')
		line = span_head(line, line.n - 1);
	return number_parse(line, UINT32_MAX, &n);
}

static void learn_from_code(struct mailbox_peer *p, struct span text)
{
	struct span code = code_of(text);

	if (span_eq_nocase(span_cut(&code, ' '), SPAN("CAPABILITY")))
		learn_imap(p, code);
}

static struct mailbox_peer_event imap_greeting(struct mailbox_peer *p, struct span word,
					       struct span text)
{
	p->greeted = true;
	if (span_eq_nocase(word, SPAN("OK"))) {
		learn_from_code(p, text);
		return answer(p, MAILBOX_PEER_GOOD, MAILBOX_WHY_LOGIN, text);
	}
	if (span_eq_nocase(word, SPAN("PREAUTH")))
		return odd("PREAUTH: it lets everybody in as somebody");
	return odd("no greeting of an IMAP server");
}

static struct mailbox_peer_event imap_untagged(struct mailbox_peer *p, struct span line)
{
	struct span word = span_cut(&line, ' ');

	if (span_eq_nocase(word, SPAN("BYE")))
		return answer(p, MAILBOX_PEER_REFUSED, why_of(p, line, MAILBOX_WHY_LATER),
			      line);
	if (!p->greeted)
		return imap_greeting(p, word, line);
	if (span_eq_nocase(word, SPAN("CAPABILITY")))
		learn_imap(p, line);
	else if (span_eq_nocase(word, SPAN("OK")))
		learn_from_code(p, line);
	return nothing;
}

/* "h12", the tag of the command that is to be answered next. */
static bool is_due(const struct mailbox_peer *p, struct span tag)
{
	uint64_t n;

	return p->answered < p->asked && tag.n > 1 && tag.p[0] == MAILBOX_PEER_TAG &&
	       number_parse(span_skip(tag, 1), UINT8_MAX, &n) && n == p->answered + 1u;
}

static struct mailbox_peer_event imap_tagged(struct mailbox_peer *p, struct span line)
{
	struct span tag = span_cut(&line, ' '), word = span_cut(&line, ' ');

	if (!p->greeted || !is_due(p, tag))
		return odd("a line that answers nothing");
	p->answered++;
	if (span_eq_nocase(word, SPAN("OK"))) {
		learn_from_code(p, line);
		return answer(p, MAILBOX_PEER_GOOD, MAILBOX_WHY_LOGIN, line);
	}
	if (span_eq_nocase(word, SPAN("NO")))
		return answer(p, MAILBOX_PEER_REFUSED, why_of(p, line, MAILBOX_WHY_LOGIN),
			      line);
	if (span_eq_nocase(word, SPAN("BAD")))
		return answer(p, MAILBOX_PEER_REFUSED, MAILBOX_WHY_SERVER, line);
	return odd("an answer that is neither OK, NO nor BAD");
}

static struct mailbox_peer_event imap_line(struct mailbox_peer *p, struct span line)
{
	if (ends_in_literal(line))
		return odd("a literal before the login");
	if (span_starts(line, SPAN("* ")))
		return imap_untagged(p, span_skip(line, 2));
	if (span_eq(line, SPAN("+")) || span_starts(line, SPAN("+ ")))
		return p->answered < p->asked ? answer(p, MAILBOX_PEER_GO_ON,
						       MAILBOX_WHY_LOGIN, SPAN_NONE)
					      : odd("a line that answers nothing");
	return imap_tagged(p, line);
}

/* ---- POP3 ------------------------------------------------------------------------------- */

/* Dovecot says so to those whom it would believe. */
static void learn_from_greeting(struct mailbox_peer *p, struct span text)
{
	p->greeted = true;
	if (span_eq_nocase(code_of(text), SPAN("XCLIENT")))
		p->can |= MAILBOX_CAN_XCLIENT;
}

static struct mailbox_peer_event pop3_good(struct mailbox_peer *p, struct span text)
{
	if (!p->greeted)
		learn_from_greeting(p, text);
	if (p->listing) {
		p->in_list = true;
		return nothing;
	}
	return answer(p, MAILBOX_PEER_GOOD, MAILBOX_WHY_LOGIN, text);
}

static struct mailbox_peer_event pop3_line(struct mailbox_peer *p, struct span line)
{
	struct span word;

	if (p->in_list && span_eq(line, SPAN("."))) {
		p->listing = p->in_list = false;
		return answer(p, MAILBOX_PEER_GOOD, MAILBOX_WHY_LOGIN, SPAN_NONE);
	}
	if (p->in_list) {
		learn_pop3(p, line);
		return nothing;
	}
	word = span_cut(&line, ' ');
	if (span_eq_nocase(word, SPAN("+OK")))
		return pop3_good(p, line);
	if (span_eq_nocase(word, SPAN("-ERR"))) {
		p->listing = false;
		return answer(p, MAILBOX_PEER_REFUSED, why_of(p, line, MAILBOX_WHY_LOGIN),
			      line);
	}
	if (span_eq(word, SPAN("+")))
		return answer(p, MAILBOX_PEER_GO_ON, MAILBOX_WHY_LOGIN, SPAN_NONE);
	return odd("a line that is neither +OK nor -ERR");
}

struct mailbox_peer_event mailbox_peer_next(struct mailbox_peer *p, struct span *in)
{
	struct mailbox_peer_event ev = nothing;

	if (p->bad)
		*in = span_skip(*in, in->n);
	while (in->n && ev.kind == MAILBOX_PEER_MORE) {
		const char *why;
		enum peer_line got = peer_line_find(&p->seen, *in, MAILBOX_PEER_LINE,
						    &why);
		struct span line;

		if (got == PEER_LINE_MORE)
			return ev;
		if (got == PEER_LINE_BAD)
			return nonsense(p, in, why);
		if (++p->lines > MAILBOX_PEER_LINES)
			return nonsense(p, in, "too many lines");
		line = span_head(*in, p->seen - 2);
		ev = p->pop3 ? pop3_line(p, line) : imap_line(p, line);
		if (ev.kind == MAILBOX_PEER_NONSENSE) {
			p->bad = true;
			*in = span_skip(*in, in->n);
			return ev;
		}
		*in = span_skip(*in, p->seen);
		p->seen = 0;
	}
	return ev;
}
