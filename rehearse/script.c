#include "rehearse/script.h"

#include "base/number.h"
#include "rehearse/text.h"

#define TIMES_MAX  1000000000
#define BODY_LEAST 512 /* its header must fit */

struct compiler {
	struct script *out;
	struct texts texts;
	enum speaks speaks;
	enum stage stage;
	bool leaves;
	uint16_t open[LOOPS_MAX]; /* repeats without their again yet */
	unsigned depth;
	bool *moves; /* by step: takes time or sends something */
	struct err *e;
};

static void *take(struct compiler *c, size_t count, size_t size)
{
	return blocks_take(&c->out->memory, count, size, c->e);
}

static bool keep(struct compiler *c, struct span text, struct span *out)
{
	uint8_t *mem = take(c, text.n + 1, 1);

	if (!mem)
		return false;
	if (text.n)
		memcpy(mem, text.p, text.n);
	*out = span_of(mem, text.n);
	return true;
}

/* ---- which stage a text leads to ---- */

/* clang-format off */
static const struct {
	struct span word;
	enum stage stage;
} leads[] = {
	{ SPAN_INIT("EHLO"),         STAGE_HELO },
	{ SPAN_INIT("HELO"),         STAGE_HELO },
	{ SPAN_INIT("LHLO"),         STAGE_HELO },
	{ SPAN_INIT("STARTTLS"),     STAGE_TLS },
	{ SPAN_INIT("STLS"),         STAGE_TLS },
	{ SPAN_INIT("AUTH"),         STAGE_AUTH },
	{ SPAN_INIT("AUTHENTICATE"), STAGE_AUTH },
	{ SPAN_INIT("LOGIN"),        STAGE_AUTH },
	{ SPAN_INIT("USER"),         STAGE_AUTH },
	{ SPAN_INIT("PASS"),         STAGE_AUTH },
	{ SPAN_INIT("APOP"),         STAGE_AUTH },
	{ SPAN_INIT("MAIL"),         STAGE_MAIL },
	{ SPAN_INIT("RCPT"),         STAGE_RCPT },
	{ SPAN_INIT("DATA"),         STAGE_DATA },
	{ SPAN_INIT("BDAT"),         STAGE_DATA },
};
/* clang-format on */

/* Cut the first word off, up to a space or a control byte. */
static struct span first_word(struct span *text)
{
	size_t n = 0;

	while (n < text->n && text->p[n] > ' ')
		n++;

	struct span word = span_head(*text, n);

	*text = span_skip(*text, n + 1);
	return word;
}

static bool learn_from(struct compiler *c, struct span word)
{
	if (span_eq_nocase(word, SPAN("QUIT")) || span_eq_nocase(word, SPAN("LOGOUT"))) {
		c->leaves = true;
		return true;
	}
	for (size_t i = 0; i < COUNT_OF(leads); i++)
		if (span_eq_nocase(word, leads[i].word)) {
			c->stage = leads[i].stage;
			return true;
		}
	return false;
}

static void learn_stage(struct compiler *c, const struct text *t)
{
	uint8_t mem[80];
	struct buf start;
	struct span left;

	buf_init(&start, mem, sizeof(mem));
	text_sketch(t, &start);
	left = buf_span(&start);
	c->leaves = false;
	if (!learn_from(c, first_word(&left)) && c->speaks == SPEAKS_IMAP)
		learn_from(c, first_word(&left));
}

/* ---- steps ---- */

enum takes {
	TAKES_NOTHING,
	TAKES_STATUS,
	TAKES_TIME,
	TAKES_TEXT,
	TAKES_TIME_AND_TEXT,
	TAKES_SIZE_AND_TEXT,
	TAKES_SIZE,
	TAKES_TIMES,
	TAKES_STAGE,
};

/* clang-format off */
static const struct row {
	struct span word;
	enum step_kind kind;
	enum takes takes;
} rows[] = {
	{ SPAN_INIT("expect"),      STEP_EXPECT, TAKES_STATUS },
	{ SPAN_INIT("expect-text"), STEP_EXPECT, TAKES_STATUS },
	{ SPAN_INIT("hear"),        STEP_HEAR,   TAKES_NOTHING },
	{ SPAN_INIT("never"),       STEP_NEVER,  TAKES_STATUS },
	{ SPAN_INIT("none"),        STEP_NONE,   TAKES_TIME },
	{ SPAN_INIT("send"),        STEP_SEND,   TAKES_TEXT },
	{ SPAN_INIT("raw"),         STEP_RAW,    TAKES_TEXT },
	{ SPAN_INIT("drip"),        STEP_DRIP,   TAKES_TIME_AND_TEXT },
	{ SPAN_INIT("fill"),        STEP_FILL,   TAKES_SIZE_AND_TEXT },
	{ SPAN_INIT("body"),        STEP_BODY,   TAKES_SIZE },
	{ SPAN_INIT("wait"),        STEP_WAIT,   TAKES_TIME },
	{ SPAN_INIT("hold"),        STEP_HOLD,   TAKES_NOTHING },
	{ SPAN_INIT("tls"),         STEP_TLS,    TAKES_NOTHING },
	{ SPAN_INIT("tls12"),       STEP_TLS12,  TAKES_NOTHING },
	{ SPAN_INIT("begin"),       STEP_BEGIN,  TAKES_NOTHING },
	{ SPAN_INIT("done"),        STEP_DONE,   TAKES_NOTHING },
	{ SPAN_INIT("repeat"),      STEP_REPEAT, TAKES_TIMES },
	{ SPAN_INIT("again"),       STEP_AGAIN,  TAKES_NOTHING },
	{ SPAN_INIT("close"),       STEP_CLOSE,  TAKES_NOTHING },
	{ SPAN_INIT("reset"),       STEP_RESET,  TAKES_NOTHING },
	{ SPAN_INIT("stage"),       STEP_DONE,   TAKES_STAGE }, /* becomes no step */
};
/* clang-format on */

static const struct row *row_of(struct span word, struct err *e)
{
	uint8_t mem[200];
	struct buf all;

	for (size_t i = 0; i < COUNT_OF(rows); i++)
		if (span_eq(word, rows[i].word))
			return &rows[i];
	buf_init(&all, mem, sizeof(mem));
	for (size_t i = 0; i < COUNT_OF(rows); i++)
		buf_fmt(&all, "%s%.*s", i ? ", " : "", SPAN_ARG(rows[i].word));
	err_set(e, "there is no step \"%.*s\"; there are %.*s",
		SPAN_ARG(span_head(word, 40)), SPAN_ARG(buf_span(&all)));
	return NULL;
}

static bool is_status(enum speaks speaks, struct span word)
{
	/* clang-format off */
	static const struct { enum speaks speaks; struct span word; } known[] = {
		{ SPEAKS_IMAP, SPAN_INIT("OK") },  { SPEAKS_IMAP, SPAN_INIT("NO") },
		{ SPEAKS_IMAP, SPAN_INIT("BAD") }, { SPEAKS_IMAP, SPAN_INIT("+") },
		{ SPEAKS_IMAP, SPAN_INIT("BYE") }, { SPEAKS_IMAP, SPAN_INIT("PREAUTH") },
		{ SPEAKS_POP3, SPAN_INIT("+OK") }, { SPEAKS_POP3, SPAN_INIT("-ERR") },
		{ SPEAKS_POP3, SPAN_INIT("+") },
	};
	/* clang-format on */
	uint64_t code;

	for (size_t i = 0; i < COUNT_OF(known); i++)
		if (known[i].speaks == speaks && span_eq(known[i].word, word))
			return true;
	return speaks == SPEAKS_SMTP && word.n <= 3 && number_parse(word, 599, &code) &&
	       word.p[0] >= '2' && word.p[0] <= '5';
}

static bool statuses_of(struct compiler *c, struct span args, struct step *s)
{
	static const char *const are[] = {
		[SPEAKS_SMTP] = "a code from 200 to 599, or the beginning of one",
		[SPEAKS_IMAP] = "OK, NO, BAD, +, BYE or PREAUTH",
		[SPEAKS_POP3] = "+OK, -ERR or +",
	};

	if (!keep(c, args, &s->text))
		return false;
	args = s->text;
	if (args.n == 0)
		return err_set(c->e, "it needs %s", are[c->speaks]);
	while (args.n) {
		struct span word = span_cut(&args, ' ');

		if (!is_status(c->speaks, word))
			return err_set(c->e, "\"%.*s\" is not %s",
				       SPAN_ARG(span_head(word, 40)), are[c->speaks]);
		if (s->words == STEP_WORDS_MAX)
			return err_set(c->e, "at most %d of them", STEP_WORDS_MAX);
		s->word[s->words++] = word;
	}
	return true;
}

static bool time_of(struct span word, ms_t *out, struct err *e)
{
	return (duration_parse(word, out) && *out > 0 && *out <= SECONDS_MAX * MS_SECOND) ||
	       err_set(e, "\"%.*s\" is not a time such as 500ms or 3s, at most %ds",
		       SPAN_ARG(span_head(word, 40)), SECONDS_MAX);
}

static bool bytes_of(struct span word, int64_t least, int64_t *out, struct err *e)
{
	return (size_parse(word, out) && *out >= least && *out <= FILL_MAX) ||
	       err_set(e, "\"%.*s\" is not a size such as 4k or 1m, from %d to %dm",
		       SPAN_ARG(span_head(word, 40)), (int)least, FILL_MAX >> 20);
}

/* The text of send, raw, drip and fill. The CRLF of send is a part of it. */
static bool words_of(struct compiler *c, struct span args, struct step *s, bool *moves)
{
	bool line = s->kind == STEP_SEND;
	struct text *t;

	if (args.n == 0 && !line)
		return err_set(c->e, "what should be sent?");
	t = take(c, 1, sizeof(*t));
	if (!t || !keep(c, args, &s->text) || !text_compile(&c->texts, args, !line, t) ||
	    (line && !text_append(&c->texts, t, SPAN("\r\n"))))
		return false;
	if (s->kind == STEP_FILL && t->least == 0)
		return err_set(c->e,
			       "its text could turn out empty, and never fill anything");
	if (t->most > EXPAND_MAX)
		return err_set(c->e, "this can become more than %d bytes", EXPAND_MAX);
	learn_stage(c, t);
	c->out->needs_recipients |= t->marks & TEXT_NEEDS_RECIPIENT;
	c->out->needs_logins |= t->marks & TEXT_NEEDS_LOGIN;
	s->varies = t->varies;
	s->parts = t;
	s->most = t->most;
	if (!t->varies)
		s->text = text_plain(t);
	*moves = t->least > 0;
	return true;
}

static bool times_of(struct compiler *c, struct span args, struct step *s)
{
	uint64_t n;

	if (c->depth == LOOPS_MAX)
		return err_set(c->e, "at most %d repeats inside each other", LOOPS_MAX);
	if (span_eq(args, SPAN("forever"))) {
		s->number = -1;
		return true;
	}
	if (!number_parse(args, TIMES_MAX, &n) || n == 0)
		return err_set(c->e,
			       "\"%.*s\" is neither \"forever\" nor a number from 1 to %d",
			       SPAN_ARG(span_head(args, 40)), TIMES_MAX);
	s->number = (int64_t)n;
	return true;
}

/* Fit the step into the loops that are open. A loop in which nothing happens would never end. */
static bool loop(struct compiler *c, struct step *s, size_t at)
{
	struct step *steps = c->out->steps;

	if (s->kind == STEP_REPEAT)
		c->open[c->depth++] = (uint16_t)at;
	if (s->kind != STEP_AGAIN)
		return true;
	if (c->depth == 0)
		return err_set(c->e, "there is no repeat before it");
	s->other = c->open[--c->depth];
	steps[s->other].other = (uint16_t)at;
	for (size_t i = s->other; i < at; i++)
		if (c->moves[i])
			return true;
	return err_set(c->e, "nothing in this loop takes time or sends anything");
}

static bool takes(struct compiler *c, const struct row *row, struct span args,
		  struct step *s, bool *moves)
{
	*moves = s->kind != STEP_BEGIN && s->kind != STEP_DONE &&
		 s->kind != STEP_REPEAT && s->kind != STEP_AGAIN;
	switch (row->takes) {
	case TAKES_NOTHING:
		return args.n == 0 || err_set(c->e, "it takes nothing");
	case TAKES_STATUS:
		s->text_follows = span_eq(row->word, SPAN("expect-text"));
		if (s->text_follows && c->speaks != SPEAKS_POP3)
			return err_set(c->e, "only POP3 has such replies");
		return statuses_of(c, args, s);
	case TAKES_TIME:
		return keep(c, args, &s->text) && time_of(args, &s->time, c->e);
	case TAKES_TEXT:
		return words_of(c, args, s, moves);
	case TAKES_TIME_AND_TEXT:
		return time_of(span_cut(&args, ' '), &s->time, c->e) &&
		       words_of(c, args, s, moves);
	case TAKES_SIZE_AND_TEXT:
		return bytes_of(span_cut(&args, ' '), 1, &s->number, c->e) &&
		       words_of(c, args, s, moves);
	case TAKES_SIZE:
		if (c->speaks != SPEAKS_SMTP)
			return err_set(c->e, "only SMTP takes messages");
		c->stage = STAGE_BODY;
		return bytes_of(args, BODY_LEAST, &s->number, c->e);
	case TAKES_TIMES:
		return times_of(c, args, s);
	case TAKES_STAGE:
		return stage_parse(args, &c->stage) ||
		       err_set(c->e,
			       "\"%.*s\" is no stage; there are connect, helo, tls, auth, "
			       "mail, rcpt, data, body and other",
			       SPAN_ARG(span_head(args, 40)));
	}
	return false;
}

static bool step_of(struct compiler *c, struct span line)
{
	struct span args = line, word = span_cut(&args, ' ');
	const struct row *row;
	size_t at = c->out->n;
	struct step *s = &c->out->steps[at];

	if (line.n > STEP_TEXT_MAX)
		return err_set(c->e, "it is longer than %d bytes", STEP_TEXT_MAX);
	row = row_of(word, c->e);
	if (!row)
		return false;
	s->kind = row->kind;
	if (!takes(c, row, args, s, &c->moves[at]))
		return err_within(c->e, "%.*s", SPAN_ARG(row->word));
	if (row->takes == TAKES_STAGE)
		return true;
	if (s->kind == STEP_TLS || s->kind == STEP_TLS12)
		c->stage = STAGE_TLS;
	c->out->has_done |= s->kind == STEP_DONE;
	s->stage = c->stage;
	s->leaves = c->leaves;
	c->out->n++;
	return loop(c, s, at) || err_within(c->e, "%.*s", SPAN_ARG(row->word));
}

static bool steps_of(struct compiler *c, const char *const *lines, size_t n,
		     const struct pool *pool)
{
	if (n == 0 || n > STEPS_MAX)
		return err_set(c->e, "a dialogue has 1 to %d steps, not %zu", STEPS_MAX,
			       n);
	c->out->steps = take(c, n, sizeof(*c->out->steps));
	c->moves = c->out->steps ? take(c, n, sizeof(*c->moves)) : NULL;
	if (!c->moves || !texts_init(&c->texts, &c->out->memory, pool, c->e))
		return false;
	for (size_t i = 0; i < n; i++)
		if (!step_of(c, span_str(lines[i])))
			return err_within(c->e, "step %zu", i + 1);
	if (c->depth > 0)
		return err_set(c->e, "a repeat is without its \"again\"");
	return true;
}

bool script_open(struct script *out, const char *const *lines, size_t n,
		 enum speaks speaks, const struct pool *pool, struct err *e)
{
	struct script s = { 0 };
	struct compiler c = { .out = &s, .speaks = speaks, .e = e };

	if (!steps_of(&c, lines, n, pool)) {
		script_close(&s);
		return false;
	}
	*out = s;
	return true;
}

void script_close(struct script *s)
{
	blocks_close(&s->memory);
	*s = (struct script){ 0 };
}

void script_expand(const struct step *s, const struct pool *pool, struct visitor *v,
		   struct buf *out)
{
	if (!s->varies)
		buf_put(out, s->text);
	else
		text_expand(s->parts, pool, v, out);
}
