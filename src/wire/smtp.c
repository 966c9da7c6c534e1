#include "wire/smtp.h"

#include "base/base64.h"
#include "base/bug.h"
#include "base/number.h"
#include "wire/smtp_text.h"
#include "wire/stranger.h"

enum { ARG_NEEDED, ARG_ALLOWED, ARG_REFUSED };
enum { GROUP_ANY, GROUP_LAST };

/* Where a reply leads, besides to a state. */
enum { SMTP_STAY = SMTP_STATE_COUNT, SMTP_BACK };

struct rule {
	struct span word;
	int argument, group;
	unsigned legal_in; /* bits of 1 << state */
	int after[3];	   /* 2xx; 3xx and RE_NONE; 4xx and 5xx */
};

/* clang-format off */
#define IN(state) (1u << SMTP_##state)
static const struct rule rules[SMTP_VERB_COUNT] = {
#define VERB(id, word, argument, group, legal_in, yes, go_on, no)        \
	[SMTP_##id] = { SPAN_INIT(word), ARG_##argument, GROUP_##group,  \
			legal_in, { SMTP_##yes, SMTP_##go_on, SMTP_##no } },
#include "wire/smtp_verbs.def"
};
/* clang-format on */

const char *smtp_verb_word(enum smtp_verb v)
{
	return v == SMTP_NONE ? "" : (const char *)rules[v].word.p;
}

const char *smtp_state_word(enum smtp_state s)
{
	/* clang-format off */
	static const char *const words[SMTP_STATE_COUNT] = {
		[SMTP_START] = "start",        [SMTP_READY] = "ready",
		[SMTP_MAIL_OK] = "mail",       [SMTP_RCPT_OK] = "rcpt",
		[SMTP_IN_BODY] = "data",       [SMTP_IN_CHUNK] = "bdat",
		[SMTP_CHUNKED] = "chunked",    [SMTP_IN_AUTH] = "auth",
		[SMTP_WANTS_TLS] = "starttls", [SMTP_GONE] = "gone",
	};
	/* clang-format on */

	return words[s];
}

void smtp_init(struct smtp *s, size_t line_max, unsigned offers)
{
	*s = (struct smtp){ .offers = offers, .line_max = line_max, .auth_max = line_max };
	line_init(&s->line, line_max);
}

void smtp_allow_auth(struct smtp *s, size_t auth_max)
{
	s->auth_max = auth_max;
}

/* ---- lines ------------------------------------------------------------------------- */

static struct smtp_event bad(struct smtp *s, enum event odd, enum reply say,
			     struct span line)
{
	s->asked = SMTP_REFUSED;
	return (struct smtp_event){
		.kind = SMTP_BAD, .verb = s->asked, .odd = odd, .say = say, .text = line
	};
}

static enum smtp_verb find_verb(struct span word)
{
	for (enum smtp_verb v = SMTP_NONE + 1; v < SMTP_VERB_COUNT; v++)
		if (rules[v].word.n && span_eq_nocase(word, rules[v].word))
			return v;
	return SMTP_NONE;
}

/* "123" or "123 LAST" */
static bool parse_bdat(struct span text, uint64_t *size, bool *last)
{
	struct span number = span_cut(&text, ' ');

	text = span_trim(text);
	*last = text.n != 0;
	return number_parse(number, INT64_MAX, size) &&
	       (!*last || span_eq_nocase(text, SPAN("LAST")));
}

/*
 * The chunk follows whatever we think of the command, so its size is what matters first.
 */
static struct smtp_event read_bdat(struct smtp *s, struct span line, struct span text)
{
	bool legal = rules[SMTP_BDAT].legal_in & (1u << s->state);
	struct smtp_event ev = { .kind = SMTP_VERB, .verb = SMTP_BDAT, .text = text };

	if (!parse_bdat(text, &ev.size, &ev.last)) {
		ev = bad(s, EV_BAD_CHUNK, RE_BAD_ARGUMENT, line);
		ev.lost = true;
		return ev;
	}
	s->left = ev.size;
	s->last = ev.last;
	if (legal && (s->offers & SMTP_OFFERS_CHUNKING)) {
		s->asked = SMTP_BDAT;
		return ev;
	}
	s->swallowing = true;
	s->odd = s->excused ? EV_NONE : EV_BAD_SEQUENCE;
	s->say = s->state == SMTP_MAIL_OK ? RE_NO_RECIPIENTS : RE_BAD_SEQUENCE;
	if (!(s->offers & SMTP_OFFERS_CHUNKING)) {
		s->odd = EV_BAD_CHUNK;
		s->say = RE_NOT_HERE;
	}
	return (struct smtp_event){ .kind = SMTP_MORE };
}

static struct smtp_event out_of_order(struct smtp *s, enum smtp_verb verb,
				      struct span line)
{
	bool of_mail = verb == SMTP_RCPT || verb == SMTP_DATA;
	bool no_rcpt = verb == SMTP_DATA && s->state == SMTP_MAIL_OK;

	return bad(s, of_mail && s->excused ? EV_NONE : EV_BAD_SEQUENCE,
		   no_rcpt ? RE_NO_RECIPIENTS : RE_BAD_SEQUENCE, line);
}

/* Which verbs may carry addresses, so that bytes above 127 are for the session to judge? */
static bool may_be_high(enum smtp_verb verb)
{
	return verb == SMTP_MAIL || verb == SMTP_RCPT || verb == SMTP_VRFY ||
	       verb == SMTP_EXPN;
}

static struct smtp_event read_verb(struct smtp *s, const struct line_cut *cut)
{
	struct span text = cut->text;
	struct span word = span_cut(&text, ' ');
	enum smtp_verb verb = find_verb(word);
	const struct rule *rule = &rules[verb];
	/* for the log, where no password may be: AUTH has one behind it */
	struct span line = verb == SMTP_AUTH ? word : cut->text;

	if (verb == SMTP_NONE)
		return bad(s, stranger_line(cut->text) ? EV_NOT_SMTP : EV_UNKNOWN_VERB,
			   RE_UNKNOWN_VERB, s->mute ? SPAN_NONE : line);
	text = span_trim(text);
	if (verb == SMTP_BDAT)
		return read_bdat(s, line, text);
	if (cut->high && !may_be_high(verb))
		return bad(s, EV_EIGHT_BIT, RE_NEEDS_UTF8, line);
	if (!(rule->legal_in & (1u << s->state)))
		return out_of_order(s, verb, line);
	if (rule->argument == ARG_NEEDED && text.n == 0)
		return bad(s, EV_BAD_ARGUMENT, RE_BAD_ARGUMENT, line);
	if (rule->argument == ARG_REFUSED && text.n > 0)
		return bad(s, EV_BAD_ARGUMENT, RE_NO_ARGUMENT, line);
	s->asked = verb;
	return (struct smtp_event){ .kind = SMTP_VERB,
				    .verb = verb,
				    .high = cut->high,
				    .must_be_last = rule->group == GROUP_LAST,
				    .text = text };
}

static bool is_tls_record(const struct smtp *s, struct span in)
{
	return s->line.seen == 0 && !s->line.skipping && stranger_tls(in);
}

/* Where AUTH is offered, its line may be long: tokens are (RFC 4954, 4). */
static size_t longest_line(const struct smtp *s, struct span in)
{
	bool auth = s->offers & SMTP_OFFERS_AUTH && span_starts_nocase(in, SPAN("AUTH "));

	return auth ? s->auth_max : s->line_max;
}

/* An answer to a challenge; what is wrong with it is no verb of the dialogue. */
static struct smtp_event next_answer(struct smtp *s, struct span *in)
{
	struct line_cut cut;

	s->line.max = s->auth_max;
	if (!line_next(&s->line, in, &cut))
		return (struct smtp_event){ .kind = SMTP_MORE };
	s->asked = SMTP_AUTH_MORE;
	return (struct smtp_event){ .kind = SMTP_ANSWER,
				    .verb = SMTP_AUTH_MORE,
				    .odd = cut.odd,
				    .text = cut.text };
}

/* Might this be a password, which has no place in the log? */
static bool is_secret(const struct smtp *s, struct span line)
{
	return s->mute || span_starts_nocase(line, SPAN("AUTH "));
}

static struct smtp_event next_line(struct smtp *s, struct span *in)
{
	struct line_cut cut;

	s->line.max = longest_line(s, *in);
	if (is_tls_record(s, *in)) {
		struct smtp_event ev = bad(s, EV_NOT_SMTP, RE_UNKNOWN_VERB, SPAN_NONE);

		ev.lost = true;
		return ev;
	}
	if (!line_next(&s->line, in, &cut))
		return (struct smtp_event){ .kind = SMTP_MORE };
	if (cut.odd == EV_LONG_LINE)
		return bad(s, EV_LONG_LINE, RE_LINE_TOO_LONG, SPAN_NONE);
	if (cut.odd != EV_NONE)
		return bad(s, cut.odd, RE_BAD_BYTES,
			   is_secret(s, cut.text) ? SPAN_NONE : cut.text);
	return read_verb(s, &cut);
}

/* A chunk that nobody asked for: its bytes are not commands, whatever they look like. */
static struct smtp_event swallow(struct smtp *s, struct span *in)
{
	size_t n = in->n < s->left ? in->n : (size_t)s->left;

	*in = span_skip(*in, n);
	s->left -= n;
	if (s->left)
		return (struct smtp_event){ .kind = SMTP_MORE };
	s->swallowing = false;
	return bad(s, s->odd, s->say, rules[SMTP_BDAT].word);
}

struct smtp_event smtp_next(struct smtp *s, struct span *in)
{
	struct smtp_event ev;

	if (s->asked != SMTP_NONE)
		return (struct smtp_event){ .kind = SMTP_MORE };
	if (s->swallowing)
		return swallow(s, in);
	if (s->state == SMTP_IN_BODY)
		return smtp_body_next(s, in);
	if (s->state == SMTP_IN_CHUNK)
		return smtp_chunk_next(s, in);
	if (s->state == SMTP_WANTS_TLS || s->state == SMTP_GONE)
		return (struct smtp_event){ .kind = SMTP_MORE };
	if (s->state == SMTP_IN_AUTH)
		return next_answer(s, in);
	ev = next_line(s, in);
	return s->swallowing ? swallow(s, in) : ev; /* the line announced a chunk */
}

/* ---- replies ----------------------------------------------------------------------- */

static enum smtp_state next_state(const struct smtp *s, int code)
{
	const int *after = rules[s->asked].after;
	int to = code >= 400 ? after[2] : code >= 300 || code == 0 ? after[1] : after[0];

	if (to == SMTP_BACK)
		return s->greeted ? SMTP_READY : SMTP_START;
	return to == SMTP_STAY ? s->state : (enum smtp_state)to;
}

static bool is_about_mail(enum smtp_verb v)
{
	return v == SMTP_MAIL || v == SMTP_RCPT || v == SMTP_DATA || v == SMTP_CHUNK_END;
}

static void move(struct smtp *s, enum reply r)
{
	int code = reply_table[r].code;
	enum smtp_state from = s->state;

	BUG_IF(s->asked == SMTP_NONE);
	BUG_IF((s->asked == SMTP_BDAT) != (r == RE_NONE));
	s->state = next_state(s, code);
	if (code >= 400 && is_about_mail(s->asked))
		s->excused = true;
	else if (s->asked != SMTP_REFUSED)
		s->excused = false;
	if (s->asked != SMTP_REFUSED)
		s->mute = code >= 400 &&
			  (s->asked == SMTP_AUTH || s->asked == SMTP_AUTH_MORE);
	if (code < 300 && (s->asked == SMTP_EHLO || s->asked == SMTP_HELO))
		s->greeted = true;
	if (s->state == SMTP_START)
		s->greeted = false;
	if (s->state == SMTP_IN_BODY ||
	    (s->state == SMTP_IN_CHUNK && from == SMTP_RCPT_OK))
		smtp_text_begin(s);
	s->asked = SMTP_NONE;
}

void smtp_print_greeting(struct span host, struct buf *out)
{
	buf_number(out, (uint64_t)reply_table[RE_GREETING].code);
	buf_byte(out, ' ');
	buf_put(out, host);
	buf_byte(out, ' ');
	buf_put(out, span_str(reply_table[RE_GREETING].text));
	buf_put(out, SPAN("\r\n"));
}

/* RFC 5321, 4.1.1.1: a HELO is answered with our name alone. */
static void print_helo(struct span host, struct buf *out)
{
	buf_number(out, (uint64_t)reply_table[RE_HELO].code);
	buf_byte(out, ' ');
	buf_put(out, host);
	buf_put(out, SPAN("\r\n"));
}

void smtp_reply(struct smtp *s, enum reply r, struct span more, struct buf *out)
{
	move(s, r);
	if (r == RE_GREETING)
		smtp_print_greeting(more, out);
	else if (r == RE_HELO)
		print_helo(more, out);
	else if (r != RE_NONE)
		reply_print(r, more, out);
}

void smtp_reply_challenge(struct smtp *s, struct span challenge, struct buf *out)
{
	move(s, RE_AUTH_GO);
	buf_number(out, (uint64_t)reply_table[RE_AUTH_GO].code);
	buf_byte(out, ' ');
	base64_print(challenge, out);
	buf_put(out, SPAN("\r\n"));
}

void smtp_reply_ehlo(struct smtp *s, const struct smtp_ehlo *e, struct buf *out)
{
	move(s, RE_EHLO);
	buf_put(out, SPAN("250-"));
	buf_put(out, e->host);
	buf_put(out, SPAN("\r\n250-PIPELINING\r\n250-SIZE "));
	buf_number(out, e->size_max);
	buf_put(out, SPAN("\r\n250-8BITMIME\r\n"));
	if (s->offers & SMTP_OFFERS_TLS)
		buf_put(out, SPAN("250-STARTTLS\r\n"));
	if (s->offers & SMTP_OFFERS_UTF8)
		buf_put(out, SPAN("250-SMTPUTF8\r\n"));
	if (s->offers & SMTP_OFFERS_CHUNKING)
		buf_put(out, SPAN("250-CHUNKING\r\n"));
	if (s->offers & SMTP_OFFERS_BINARY)
		buf_put(out, SPAN("250-BINARYMIME\r\n"));
	if (s->offers & SMTP_OFFERS_DSN)
		buf_put(out, SPAN("250-DSN\r\n"));
	if (s->offers & SMTP_OFFERS_AUTH) {
		buf_put(out, SPAN("250-AUTH "));
		buf_put(out, e->mechanisms);
		buf_put(out, SPAN("\r\n"));
	}
	if (s->offers & SMTP_OFFERS_XCLIENT)
		buf_put(out, SPAN("250-XCLIENT NAME ADDR PORT PROTO HELO LOGIN\r\n"));
	buf_put(out, SPAN("250-LIMITS MAILMAX="));
	buf_number(out, e->mail_max);
	buf_put(out, SPAN(" RCPTMAX="));
	buf_number(out, e->rcpt_max);
	buf_put(out, SPAN("\r\n250 ENHANCEDSTATUSCODES\r\n"));
}
