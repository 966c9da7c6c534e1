#include "wire/pop3.h"

#include "base/base64.h"
#include "base/bug.h"
#include "base/number.h"
#include "wire/stranger.h"

enum { ARG_NEEDED, ARG_ALLOWED, ARG_REFUSED };

#define POP3_STAY POP3_STATE_COUNT

struct rule {
	struct span word;
	int argument;
	unsigned legal_in; /* bits of 1 << state */
	int after[3];	   /* +OK; 3xx; -ERR */
};

/* clang-format off */
#define IN(state) (1u << POP3_##state)
static const struct rule rules[POP3_VERB_COUNT] = {
#define VERB(id, word, argument, legal_in, yes, go_on, no)     \
	[POP3_##id] = { SPAN_INIT(word), ARG_##argument,       \
			legal_in, { POP3_##yes, POP3_##go_on, POP3_##no } },
#include "wire/pop3_verbs.def"
};

/* What a client is told to do about it (RFC 2449, 8; RFC 3206); the others have none. */
static const char *const codes[REPLY_COUNT] = {
	[RE_AUTH_FAILED] = "AUTH",
	[RE_GUARD_DENIED] = "SYS/PERM",
	[RE_GUARD_BANNED] = "SYS/PERM",
	[RE_GUARD_LISTED] = "SYS/PERM",
	[RE_LOGIN_OVER] = "IN-USE",
	[RE_MAILBOX_DENIED] = "SYS/PERM",
	[RE_MAILBOX_LIMIT] = "IN-USE",
	[RE_MESSAGE_GONE] = "",
	[RE_TOO_MANY_ERRORS] = "",
	[RE_TOO_MANY_JUNK] = "",
};
/* clang-format on */

const char *pop3_state_word(enum pop3_state s)
{
	/* clang-format off */
	static const char *const words[POP3_STATE_COUNT] = {
		[POP3_START] = "start", [POP3_NAMED] = "user", [POP3_IN_AUTH] = "auth",
		[POP3_WANTS_TLS] = "stls", [POP3_OPEN] = "open", [POP3_GONE] = "gone",
	};
	/* clang-format on */

	return words[s];
}

void pop3_init(struct pop3 *p, size_t line_max, size_t auth_max)
{
	*p = (struct pop3){ .line_max = (uint32_t)line_max,
			    .auth_max = (uint32_t)auth_max };
	line_init(&p->line, line_max);
}

/* ---- lines ------------------------------------------------------------------------- */

static struct pop3_event bad(struct pop3 *p, enum event odd, enum reply say,
			     struct span line)
{
	p->asked = POP3_REFUSED;
	return (struct pop3_event){
		.kind = POP3_BAD, .verb = p->asked, .odd = odd, .say = say, .text = line
	};
}

static enum pop3_verb find_verb(struct span word)
{
	for (enum pop3_verb v = POP3_NONE + 1; v < POP3_VERB_COUNT; v++)
		if (rules[v].word.n && span_eq_nocase(word, rules[v].word))
			return v;
	return POP3_NONE;
}

static bool has_secret(enum pop3_verb v)
{
	return v == POP3_PASS || v == POP3_AUTH || v == POP3_APOP;
}

static bool is_auth(struct span in)
{
	return span_starts_nocase(in, SPAN("AUTH "));
}

/* Might this be a password, which has no place in the log? */
static bool is_secret(const struct pop3 *p, struct span line)
{
	return p->mute || p->state == POP3_NAMED || is_auth(line) ||
	       span_starts_nocase(line, SPAN("PASS ")) ||
	       span_starts_nocase(line, SPAN("APOP "));
}

/* Names and passwords may be UTF-8 (RFC 6856, 2.2); nothing else has such bytes. */
static bool may_be_high(enum pop3_verb v)
{
	return v == POP3_USER || v == POP3_PASS;
}

static struct pop3_event read_verb(struct pop3 *p, const struct line_cut *cut)
{
	struct span text = cut->text, word = span_cut(&text, ' ');
	enum pop3_verb verb = find_verb(word);
	const struct rule *rule = &rules[verb];
	struct span line = has_secret(verb) ? word : cut->text;

	if (verb == POP3_NONE)
		return bad(p, stranger_line(line) ? EV_NOT_SMTP : EV_UNKNOWN_VERB,
			   RE_UNKNOWN_VERB, is_secret(p, line) ? SPAN_NONE : line);
	/* a password is what is behind the one space, whatever it is (RFC 1939, 7) */
	if (verb != POP3_PASS)
		text = span_trim(text);
	if (cut->high && !may_be_high(verb))
		return bad(p, EV_EIGHT_BIT, RE_BAD_ARGUMENT, line);
	if (!(rule->legal_in & (1u << p->state)))
		return bad(p, EV_BAD_SEQUENCE, RE_BAD_SEQUENCE, line);
	if (rule->argument == ARG_NEEDED && text.n == 0)
		return bad(p, EV_BAD_ARGUMENT, RE_BAD_ARGUMENT, line);
	if (rule->argument == ARG_REFUSED && text.n > 0)
		return bad(p, EV_BAD_ARGUMENT, RE_NO_ARGUMENT, line);
	/* before RFC 1734 was finished: which mechanisms are there? */
	if (verb == POP3_AUTH && text.n == 0)
		verb = POP3_AUTH_LIST;
	p->asked = verb;
	return (struct pop3_event){ .kind = POP3_VERB, .verb = verb, .text = text };
}

static struct pop3_event next_answer(struct pop3 *p, struct span *in)
{
	struct line_cut cut;

	p->line.max = p->auth_max;
	if (!line_next(&p->line, in, &cut))
		return (struct pop3_event){ .kind = POP3_MORE };
	p->asked = POP3_AUTH_MORE;
	return (struct pop3_event){ .kind = POP3_ANSWER,
				    .verb = POP3_AUTH_MORE,
				    .odd = cut.odd,
				    .text = cut.text };
}

static bool is_tls_record(const struct pop3 *p, struct span in)
{
	return p->line.seen == 0 && !p->line.skipping && stranger_tls(in);
}

static struct pop3_event next_line(struct pop3 *p, struct span *in)
{
	struct line_cut cut;

	p->line.max = is_auth(*in) ? p->auth_max : p->line_max;
	if (is_tls_record(p, *in)) {
		struct pop3_event ev = bad(p, EV_NOT_SMTP, RE_UNKNOWN_VERB, SPAN_NONE);

		ev.lost = true;
		return ev;
	}
	if (!line_next(&p->line, in, &cut))
		return (struct pop3_event){ .kind = POP3_MORE };
	if (cut.odd == EV_LONG_LINE)
		return bad(p, EV_LONG_LINE, RE_LINE_TOO_LONG, SPAN_NONE);
	if (cut.odd != EV_NONE)
		return bad(p, cut.odd, RE_BAD_BYTES,
			   is_secret(p, cut.text) ? SPAN_NONE : cut.text);
	return read_verb(p, &cut);
}

struct pop3_event pop3_next(struct pop3 *p, struct span *in)
{
	if (p->asked != POP3_NONE || p->state == POP3_WANTS_TLS || p->state == POP3_GONE)
		return (struct pop3_event){ .kind = POP3_MORE };
	return p->state == POP3_IN_AUTH ? next_answer(p, in) : next_line(p, in);
}

/* ---- answers ----------------------------------------------------------------------- */

static bool is_login(enum pop3_verb v)
{
	return v == POP3_PASS || v == POP3_AUTH || v == POP3_AUTH_MORE;
}

static void move(struct pop3 *p, int code)
{
	const int *after = rules[p->asked].after;
	int to = code >= 400 ? after[2] : code >= 300 ? after[1] : after[0];

	BUG_IF(p->asked == POP3_NONE);
	if (to != POP3_STAY)
		p->state = (enum pop3_state)to;
	if (p->asked != POP3_REFUSED)
		p->mute = code >= 400 && is_login(p->asked);
	p->asked = POP3_NONE;
}

static const char *code_of(enum reply r)
{
	if (codes[r])
		return codes[r];
	return reply_table[r].code < 500 ? "SYS/TEMP" : "";
}

void pop3_print(enum reply r, struct span more, struct buf *out)
{
	bool good = reply_table[r].code < 400;
	const char *code = good ? "" : code_of(r);

	buf_put(out, good ? SPAN("+OK ") : SPAN("-ERR "));
	if (*code) {
		buf_byte(out, '[');
		buf_put(out, span_str(code));
		buf_put(out, SPAN("] "));
	}
	buf_put(out, span_str(reply_table[r].text));
	if (more.n) {
		buf_byte(out, ' ');
		buf_put(out, more);
	}
	buf_put(out, SPAN("\r\n"));
}

void pop3_reply(struct pop3 *p, enum reply r, struct span more, struct buf *out)
{
	move(p, reply_table[r].code);
	if (r != RE_NONE)
		pop3_print(r, more, out);
}

void pop3_reply_ok(struct pop3 *p, struct span text, struct buf *out)
{
	move(p, reply_table[RE_OK].code);
	buf_put(out, SPAN("+OK "));
	buf_put(out, text);
	buf_put(out, SPAN("\r\n"));
}

void pop3_reply_challenge(struct pop3 *p, struct span challenge, struct buf *out)
{
	move(p, reply_table[RE_AUTH_GO].code);
	buf_put(out, SPAN("+ "));
	base64_print(challenge, out);
	buf_put(out, SPAN("\r\n"));
}

void pop3_print_capa(const struct pop3_capa *c, struct buf *out)
{
	buf_put(out,
		SPAN("TOP\r\nUIDL\r\nRESP-CODES\r\nAUTH-RESP-CODE\r\nPIPELINING\r\n"));
	if (c->offers & POP3_OFFERS_TLS)
		buf_put(out, SPAN("STLS\r\n"));
	if (c->offers & POP3_OFFERS_USER)
		buf_put(out, SPAN("USER\r\n"));
	if (c->mechanisms.n) {
		buf_put(out, SPAN("SASL "));
		buf_put(out, c->mechanisms);
		buf_put(out, SPAN("\r\n"));
	}
	if (c->offers & POP3_OFFERS_UTF8)
		buf_put(out, SPAN("UTF8 USER\r\n"));
	buf_put(out, SPAN(".\r\n"));
}

int pop3_numbers(struct span text, uint32_t out[2])
{
	int count = 0;

	for (text = span_trim(text); text.n; text = span_trim(text)) {
		struct span word = span_cut(&text, ' ');
		uint64_t n;

		if (count == 2 || !number_parse(word, UINT32_MAX, &n))
			return -1;
		out[count++] = (uint32_t)n;
	}
	return count;
}
