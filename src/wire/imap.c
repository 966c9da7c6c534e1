#include "wire/imap.h"

#include "base/bug.h"
#include "wire/imap_word.h"
#include "wire/stranger.h"

enum { ARG_NEEDED, ARG_ALLOWED, ARG_REFUSED };

struct rule {
	struct span word;
	int argument;
	bool literals, now;
};

/* clang-format off */
static const struct rule rules[IMAP_VERB_COUNT] = {
#define VERB(id, word, argument, literals, now) \
	[IMAP_##id] = { SPAN_INIT(word), ARG_##argument, literals, now },
#include "wire/imap_verbs.def"
};
/* clang-format on */

const char *imap_state_word(enum imap_state s)
{
	static const char *const words[IMAP_STATE_COUNT] = {
		[IMAP_READY] = "ready",
		[IMAP_IN_AUTH] = "auth",
		[IMAP_WANTS_TLS] = "starttls",
		[IMAP_GONE] = "gone",
	};

	return words[s];
}

void imap_init(struct imap *m, size_t line_max)
{
	*m = (struct imap){ .line_max = (uint32_t)line_max };
	line_init(&m->line, line_max);
}

/* ---- a line ------------------------------------------------------------------------ */

/* The command is over: what comes next is another one. */
static void end_command(struct imap *m)
{
	m->at = 0;
	m->dropping = false;
	m->thrown = 0;
	m->verb = IMAP_NONE;
}

static struct imap_event bad(struct imap *m, enum event odd, enum reply say,
			     struct span text)
{
	end_command(m);
	m->asked = IMAP_REFUSED;
	return (struct imap_event){
		.kind = IMAP_BAD, .verb = m->asked, .odd = odd, .say = say, .text = text
	};
}

static struct imap_event lost(struct imap *m, enum event odd, enum reply say)
{
	struct imap_event ev = bad(m, odd, say, SPAN_NONE);

	ev.lost = true;
	return ev;
}

static enum imap_verb find_verb(struct span word)
{
	for (enum imap_verb v = IMAP_NONE + 1; v < IMAP_VERB_COUNT; v++)
		if (rules[v].word.n && span_eq_nocase(word, rules[v].word))
			return v;
	return IMAP_NONE;
}

/* Any but those that mean something (RFC 9051, 9: tag). */
static bool is_tag(struct span tag)
{
	for (size_t i = 0; i < tag.n; i++)
		if (tag.p[i] <= ' ' || tag.p[i] >= 0x7f ||
		    span_find(SPAN("(){%*\"\\+"), tag.p[i]) < 8)
			return false;
	return tag.n > 0 && tag.n <= TAG_MAX;
}

static void keep_tag(struct imap *m, struct span tag)
{
	m->tag_n = is_tag(tag) ? (uint8_t)tag.n : 0;
	memcpy(m->tag, tag.p, m->tag_n);
}

/*
 * What the log may have of a line: its first two words. Who forgets the tag in front of LOGIN
 * has a name in the second, and who was refused may say a password.
 */
static struct span for_log(const struct imap *m, struct span line)
{
	struct span rest = line, tag = span_cut(&rest, ' ');
	size_t verb = span_find(rest, ' ');

	if (m->mute || span_eq_nocase(tag, SPAN("LOGIN")) ||
	    span_eq_nocase(tag, SPAN("AUTHENTICATE")))
		return SPAN_NONE;
	return span_head(line, line.n - rest.n + verb);
}

static void drop(struct imap *m, enum event odd, enum reply say)
{
	if (m->dropping)
		return;
	m->dropping = true;
	m->odd = odd;
	m->say = say;
}

/* The first line of a command: who says what? */
static void read_head(struct imap *m, const struct line_cut *cut)
{
	struct span text = cut->text, tag = span_cut(&text, ' ');
	struct span word = span_cut(&text, ' ');

	m->verb = find_verb(word);
	keep_tag(m, tag);
	if (cut->odd != EV_NONE)
		drop(m, cut->odd, RE_BAD_BYTES);
	else if (m->verb == IMAP_NONE)
		drop(m, stranger_line(cut->text) ? EV_NOT_SMTP : EV_UNKNOWN_VERB,
		     RE_UNKNOWN_VERB);
	else if (m->tag_n == 0)
		drop(m, EV_BAD_ARGUMENT, RE_NO_TAG);
	else if (!rules[m->verb].now) /* it may have been pipelined behind a login */
		drop(m, m->mute ? EV_NONE : EV_BAD_SEQUENCE, RE_AUTH_NEEDED);
}

/* ---- literals ----------------------------------------------------------------------- */

/* A literal is announced, and the client waits for us to want it: it never will be. */
static struct imap_event refuse_rest(struct imap *m, struct span line)
{
	return bad(m, m->odd, m->say, for_log(m, line));
}

/* False: nobody throws that much away. */
static bool swallow(struct imap *m, uint64_t size)
{
	if (size > IMAP_SWALLOW_MAX - m->thrown)
		return false;
	m->at = 0;
	m->thrown += (uint32_t)size;
	m->swallow = (uint32_t)size;
	return true;
}

/* Is the literal one that we want? If not, so is the whole command. */
static void judge_literal(struct imap *m, const struct imap_literal *l, size_t before)
{
	if (!rules[m->verb].literals)
		drop(m, EV_BAD_ARGUMENT, RE_BAD_ARGUMENT);
	else if (l->size > LITERAL_MAX || before + l->size >= IMAP_COMMAND_MAX)
		drop(m, EV_LONG_LINE, RE_LITERAL_LONG);
}

static struct imap_event ask_for_literal(struct imap *m, size_t before)
{
	m->asked = m->verb;
	m->at_literal = true;
	m->skip = (uint16_t)before;
	return (struct imap_event){ .kind = IMAP_LITERAL, .verb = m->verb };
}

/* ---- commands ----------------------------------------------------------------------- */

static struct imap_event command(struct imap *m, struct span text)
{
	enum imap_verb verb = m->verb;
	const struct rule *rule = &rules[verb];
	struct span tag = span_cut(&text, ' '), word = span_cut(&text, ' ');

	(void)tag;
	if (rule->argument == ARG_NEEDED && span_trim(text).n == 0)
		return bad(m, EV_BAD_ARGUMENT, RE_BAD_ARGUMENT, word);
	if (rule->argument == ARG_REFUSED && span_trim(text).n > 0)
		return bad(m, EV_BAD_ARGUMENT, RE_NO_ARGUMENT, word);
	end_command(m);
	m->asked = verb;
	return (struct imap_event){ .kind = IMAP_VERB, .verb = verb, .text = text };
}

/* One more line of the command is there. MORE: and there will be another. */
static struct imap_event take_line(struct imap *m, struct span *in, struct span rest,
				   const struct line_cut *cut)
{
	size_t before = in->n - rest.n;
	struct span whole = span_head(*in, before - 2);
	struct imap_literal l;

	if (m->at == 0 && !m->dropping)
		read_head(m, cut);
	else if (cut->odd != EV_NONE)
		drop(m, cut->odd, RE_BAD_BYTES);
	if (!imap_announces(cut->text, &l)) {
		*in = rest;
		return m->dropping ? refuse_rest(m, whole) : command(m, whole);
	}
	judge_literal(m, &l, before);
	if (m->dropping) {
		*in = rest;
		if (l.waits)
			return refuse_rest(m, whole);
		return swallow(m, l.size) ? (struct imap_event){ .kind = IMAP_MORE }
					  : lost(m, m->odd, m->say);
	}
	m->at = (uint16_t)(before + l.size);
	if (l.waits)
		return ask_for_literal(m, before);
	return (struct imap_event){ .kind = IMAP_MORE };
}

/* ---- a long ID ---------------------------------------------------------------------- */

/* Clients may say more of themselves than we keep: their name is not worth a refusal. */
static bool is_long_id(const struct imap *m, struct span in)
{
	struct span line = span_head(in, TAG_MAX + 4);

	if (m->at > 0 || m->dropping || m->tag_n == 0)
		return false;
	span_cut(&line, ' ');
	return find_verb(span_cut(&line, ' ')) == IMAP_ID;
}

/* Up to its end, which nothing but a literal could hide. False: it is not there yet. */
static bool skim(struct imap *m, struct span *in, struct imap_event *ev)
{
	for (size_t i = 0; i < in->n; i++) {
		uint8_t c = in->p[i];
		bool ends = c == '\n' && m->skimmed[1] == '\r';

		if (--m->skim == 0 || (ends && m->skimmed[0] == '}')) {
			m->skim = 0;
			*in = span_skip(*in, i + 1);
			*ev = lost(m, EV_LONG_LINE, RE_LINE_TOO_LONG);
			return true;
		}
		m->skimmed[0] = m->skimmed[1];
		m->skimmed[1] = c;
		if (!ends)
			continue;
		m->skim = 0;
		*in = span_skip(*in, i + 1);
		end_command(m);
		m->asked = IMAP_ID;
		*ev = (struct imap_event){ .kind = IMAP_VERB,
					   .verb = IMAP_ID,
					   .text = SPAN("NIL") };
		return true;
	}
	*in = SPAN_NONE;
	return false;
}

/* How long may the line be that begins there? */
static size_t longest_line(const struct imap *m)
{
	size_t left = IMAP_COMMAND_MAX - m->at;

	return left < m->line_max ? left : m->line_max;
}

static bool is_tls_record(const struct imap *m, struct span in)
{
	return m->at == 0 && !m->dropping && m->line.seen == 0 && stranger_tls(in);
}

/* False: there is no whole line. */
static bool next_line(struct imap *m, struct span *in, struct imap_event *ev)
{
	struct span rest = span_skip(*in, m->at);
	struct line_cut cut;

	if (m->skim)
		return skim(m, in, ev);
	if (is_tls_record(m, *in)) {
		*ev = lost(m, EV_NOT_SMTP, RE_UNKNOWN_VERB);
		return true;
	}
	m->line.max = longest_line(m);
	if (!line_next(&m->line, &rest, &cut)) {
		if (!m->line.skipping)
			return false;
	} else if (cut.odd != EV_LONG_LINE) {
		*ev = take_line(m, in, rest, &cut);
		return true;
	}
	/* with its end unseen nobody knows whether a literal follows */
	if (m->at == 0 && !m->dropping)
		keep_tag(m, span_head(*in, span_find(span_head(*in, TAG_MAX + 1), ' ')));
	line_init(&m->line, m->line_max);
	if (is_long_id(m, *in)) {
		m->skim = IMAP_ID_MAX;
		memset(m->skimmed, 0, sizeof(m->skimmed));
		return skim(m, in, ev);
	}
	*in = rest;
	*ev = lost(m, EV_LONG_LINE, RE_LINE_TOO_LONG);
	return true;
}

static struct imap_event next_command(struct imap *m, struct span *in)
{
	struct imap_event ev = { .kind = IMAP_MORE };
	size_t n;

	*in = span_skip(*in, m->skip);
	m->skip = 0;
	do {
		n = in->n < m->swallow ? in->n : m->swallow;
		*in = span_skip(*in, n);
		m->swallow -= (uint32_t)n;
		if (m->swallow || in->n <= m->at || !next_line(m, in, &ev))
			return (struct imap_event){ .kind = IMAP_MORE };
	} while (ev.kind == IMAP_MORE);
	return ev;
}

/* An answer to a challenge; what is wrong with it is no command. */
static struct imap_event next_answer(struct imap *m, struct span *in)
{
	struct line_cut cut;

	m->line.max = m->line_max;
	if (!line_next(&m->line, in, &cut))
		return (struct imap_event){ .kind = IMAP_MORE };
	m->asked = IMAP_AUTH_MORE;
	return (struct imap_event){ .kind = IMAP_ANSWER,
				    .verb = IMAP_AUTH_MORE,
				    .odd = cut.odd,
				    .text = cut.text };
}

struct imap_event imap_next(struct imap *m, struct span *in)
{
	if (m->asked != IMAP_NONE || m->state == IMAP_WANTS_TLS || m->state == IMAP_GONE)
		return (struct imap_event){ .kind = IMAP_MORE };
	return m->state == IMAP_IN_AUTH ? next_answer(m, in) : next_command(m, in);
}
