#include "rehearse/visit.h"

#include <inttypes.h>

#include "base/bug.h"

/* visit.marks */
enum {
	CONNECTED = 1u << 0,
	ENTERED = 1u << 1, /* the step has begun: its deadline is set, its bytes are counted */
	BLOCKED = 1u << 2, /* the step waits for VISIT_SENT, until the deadline */
	GONE = 1u << 3,	   /* the server closed: what is unread is all there is */
	DEAF = 1u << 4, /* it holds, and what it hears are no replies (but TLS, perhaps) */
};

struct turn {
	struct visit *v;
	struct visitor *who;
	struct span in;
	ms_t now;
	struct visit_out *out;
	size_t before; /* bytes of out->out that are not ours */
};

void visit_init(struct visit *v, const struct script *script, const struct pool *pool,
		enum speaks speaks, ms_t patience)
{
	*v = (struct visit){ .script = script,
			     .pool = pool,
			     .deadline = MS_NEVER,
			     .patience = patience,
			     .stage = STAGE_CONNECT };
	replies_init(&v->replies, speaks);
}

static bool is(const struct visit *v, unsigned bits)
{
	return v->marks & bits;
}

static void mark(struct visit *v, unsigned bits, bool on)
{
	v->marks = (uint8_t)(on ? v->marks | bits : v->marks & ~bits);
}

static ms_t later(ms_t now, ms_t by)
{
	return by < MS_NEVER - now ? now + by : MS_NEVER;
}

static const struct step *step_at(const struct visit *v)
{
	return v->at < v->script->n ? &v->script->steps[v->at] : NULL;
}

static bool hears(const struct step *s)
{
	return s &&
	       (s->kind == STEP_EXPECT || s->kind == STEP_HEAR || s->kind == STEP_NEVER ||
		s->kind == STEP_NONE || s->kind == STEP_HOLD);
}

bool visit_listens(const struct visit *v)
{
	return !v->over && is(v, CONNECTED) && hears(step_at(v));
}

/* ---- the end ---- */

static bool end(struct turn *t, enum end how)
{
	struct visit *v = t->v;

	v->over = true;
	v->end = v->is_done ? END_DONE : (uint8_t)how;
	v->deadline = MS_NEVER;
	t->out->orders |= VISIT_DO_CLOSE;
	return false;
}

static bool advance(struct visit *v, unsigned to)
{
	v->at = (uint16_t)to;
	v->deadline = MS_NEVER;
	mark(v, ENTERED | BLOCKED, false);
	return true;
}

/* A farewell is answered, but it asks for nothing: it must not look like a yes to what was before. */
static void note(struct turn *t, const struct reply *r, bool breach)
{
	const struct step *s = step_at(t->v);
	bool farewell = s && s->leaves;

	t->out->heard = (struct visit_heard){ .is = true,
					      .stage = farewell ? STAGE_OTHER
								: (enum stage)t->v->stage,
					      .end = r->end,
					      .breach = breach };
}

static void tell_breach(struct turn *t, const struct step *s, const struct reply *r)
{
	struct buf text;

	buf_init(&text, t->out->breach, sizeof(t->out->breach));
	buf_fmt(&text, "%s: %s %.*s, but: ", stage_word(s->stage),
		s->kind == STEP_NONE ? "none" : "never", SPAN_ARG(span_head(s->text, 40)));
	for (size_t i = 0; i < r->line.n; i++)
		buf_byte(&text,
			 r->line.p[i] >= ' ' && r->line.p[i] < 0x7f ? r->line.p[i] : '?');
	buf_byte(&text, '\0');
	BUG_IF(text.full);
}

/* The server has closed, and we are not about to listen: the last word counts, if it was a no. */
static void farewell(struct turn *t)
{
	struct reply r;

	if (t->out->heard.is && t->in.n)
		return; /* first things first: there is an `again` */
	while (replies_next(&t->v->replies, 0, &t->in, &r) == REPLY_WHOLE)
		if (r.end != END_DONE) {
			note(t, &r, false);
			end(t, r.end);
			return;
		}
	end(t, END_DROPPED);
}

/* ---- steps: each returns true if the visit goes on at once, with the step it is then at ---- */

static bool is_named(const struct visit *v, const struct step *s, struct span status)
{
	for (unsigned i = 0; i < s->words; i++)
		if (v->replies.speaks == SPEAKS_SMTP ? span_starts(status, s->word[i])
						     : span_eq(status, s->word[i]))
			return true;
	return false;
}

static bool heard(struct turn *t, const struct step *s, const struct reply *r)
{
	struct visit *v = t->v;
	bool named = is_named(v, s, r->status);
	bool breach = s->kind == STEP_NONE || (s->kind == STEP_NEVER && named);

	if (s->kind == STEP_HOLD && !r->bye)
		return true;
	note(t, r, breach);
	if (breach)
		tell_breach(t, s, r);
	if (s->kind == STEP_EXPECT && named)
		return advance(v, v->at + 1u);
	if (s->kind == STEP_EXPECT)
		return end(t, r->end == END_DONE ? END_NO : r->end);
	if (r->bye)
		return end(t, r->end);
	return s->kind == STEP_NONE || advance(v, v->at + 1u);
}

static bool hear(struct turn *t, const struct step *s)
{
	struct visit *v = t->v;
	unsigned asked = (s->text_follows ? REPLY_HAS_TEXT : 0) |
			 (s->leaves ? REPLY_IS_LAST : 0);
	struct reply r;

	if (!is(v, ENTERED)) {
		mark(v, ENTERED, true);
		if (s->kind != STEP_HOLD)
			v->deadline = later(t->now,
					    s->kind == STEP_NONE ? s->time : v->patience);
	}
	if (s->kind == STEP_NONE && t->now >= v->deadline)
		return advance(v, v->at + 1u);
	if (t->out->heard.is)
		return false; /* the next one is for the next turn */
	if (is(v, DEAF))
		t->in = span_skip(t->in, t->in.n);
	switch (replies_next(&v->replies, asked, &t->in, &r)) {
	case REPLY_WHOLE:
		return heard(t, s, &r);
	case REPLY_FAULT:
		if (s->kind != STEP_HOLD)
			return end(t, END_FAULT);
		mark(v, DEAF, true);
		return true;
	case REPLY_MORE:
		break;
	}
	return t->now >= v->deadline && end(t, END_SILENT);
}

/* Is there room for so many bytes, and nothing in flight? If not, VISIT_SENT will come. */
static bool may_send(struct turn *t, size_t n)
{
	struct visit *v = t->v;

	if (!v->sending && buf_room(t->out->out) >= n) {
		mark(v, BLOCKED, false);
		return true;
	}
	/* or we would wait for something that nobody owes us */
	BUG_IF(!v->sending && t->out->out->len == t->before);
	if (!is(v, BLOCKED))
		v->deadline = later(t->now, v->patience);
	mark(v, BLOCKED, true);
	if (t->now >= v->deadline)
		end(t, END_SILENT);
	return false;
}

static bool send_text(struct turn *t, const struct step *s)
{
	if (!may_send(t, s->most))
		return false;
	script_expand(s, t->v->pool, t->who, t->out->out);
	return advance(t->v, t->v->at + 1u);
}

static bool drip_from(struct turn *t, struct span text)
{
	size_t at = (size_t)t->v->left++;

	if (at < text.n)
		buf_byte(t->out->out, text.p[at]);
	return at + 1 < text.n;
}

/* Put the byte that is next in the text. False: there are no more. */
static bool drip_byte(struct turn *t, const struct step *s)
{
	if (!s->varies)
		return drip_from(t, s->text);

	uint8_t mem[EXPAND_MAX];
	struct buf text;

	/* it is not kept, but what is drawn again is the same */
	t->who->rng.state = t->v->drawn;
	buf_init(&text, mem, sizeof(mem));
	script_expand(s, t->v->pool, t->who, &text);
	return drip_from(t, buf_span(&text));
}

static bool drip(struct turn *t, const struct step *s)
{
	struct visit *v = t->v;

	if (!is(v, ENTERED)) {
		mark(v, ENTERED, true);
		v->left = 0;
		v->drawn = t->who->rng.state;
		v->deadline = t->now;
	}
	if ((!is(v, BLOCKED) && t->now < v->deadline) || !may_send(t, 1))
		return false;
	if (!drip_byte(t, s))
		return advance(v, v->at + 1u);
	v->deadline = later(t->now, s->time);
	return false;
}

/* Once more what begins at `start` of out, as often as it fits and bytes are left. */
static void copy_on(struct buf *out, size_t start, int64_t *left)
{
	size_t one = out->len - start, done = one;

	while (*left > 0 && one && buf_room(out) >= one) {
		size_t most = buf_room(out) / one * one, n = done < most ? done : most;
		size_t wants = ((size_t)*left + one - 1) / one * one;

		n = n < wants ? n : wants;
		buf_put(out, span_of(out->mem + start, n));
		*left -= (int64_t)n;
		done += n;
	}
}

static bool fill(struct turn *t, const struct step *s)
{
	struct buf *out = t->out->out;
	struct visit *v = t->v;

	if (!is(v, ENTERED)) {
		mark(v, ENTERED, true);
		v->left = s->number;
	}
	while (v->left > 0) {
		size_t start = out->len;

		if (!may_send(t, s->most))
			return false;
		script_expand(s, v->pool, t->who, out);
		v->left -= (int64_t)(out->len - start);
		if (!s->varies)
			copy_on(out, start, &v->left);
	}
	return advance(v, v->at + 1u);
}

/* Lines of 64 bytes, without any dot: so no line of any piece of it begins with one. */
#define BODY_LINE 64
static const char body_lines[] =
	"The rain had stopped before the post came, and the path to the\r\n"
	"house was  dark and  wet; nobody had swept the yard for weeks,\r\n"
	"so the  leaves lay  where the wind had left them; a letter was\r\n"
	"on the  mat, and another one on the stairs, each with the same\r\n"
	"blue stamp;  she took  both to  the kitchen, put the kettle on\r\n"
	"the stove, and read them at the table; the first one asked for\r\n"
	"money, as they always did, in words that were almost friendly;\r\n"
	"the second  one was  only a list of names, and a date that she\r\n"
	"did not  know, and a map of some town in the north; the kettle\r\n"
	"sang, and   she turned  it down,  because she  wanted to  hear\r\n"
	"whether the  car at  the corner  would stop,  or go  on up the\r\n"
	"hill; it  went on,  and so  did she, with the names, one after\r\n"
	"the other,  and at  the last of them she put the cup down, for\r\n"
	"it was  her own, and it was written in her own hand; outside a\r\n"
	"door  was  shut,  and  somebody  laughed,  and then  there was\r\n"
	"nothing but  water in  the gutter, and far away the train; she\r\n";

#define BODY_LINES (sizeof(body_lines) - 1)
_Static_assert(BODY_LINES == 16 * BODY_LINE, "all lines are equally long");

#define BODY_END      SPAN(".\r\n")
#define BODY_HEAD_MAX 400

static void put_head(struct turn *t, int64_t size)
{
	struct buf *out = t->out->out;
	size_t start = out->len;

	buf_fmt(out,
		"From: Rehearsal <rehearsal@friend.example>\r\n"
		"To: undisclosed-recipients:;\r\n"
		"Date: Thu, 1 Jan 2026 00:00:00 +0000\r\n"
		"Message-ID: <%016" PRIx64 ".%" PRIu64 "@rehearsal.example>\r\n"
		"Subject: rehearsal, visit %" PRIu64,
		rng_next(&t->who->rng), t->who->visit, t->who->visit);
	/* what is left is the end of the lines: it must not begin between a CR and its LF */
	if ((size - (int64_t)(out->len - start) - 4) % BODY_LINE == 1)
		buf_byte(out, '!');
	buf_put(out, SPAN("\r\n\r\n"));
}

/* The lines are aligned at the end of the message, so that it ends with a whole one. */
static void put_lines(struct buf *out, int64_t *left)
{
	while (*left > 0 && buf_room(out)) {
		size_t behind = (size_t)*left % BODY_LINES;
		size_t at = behind ? BODY_LINES - behind : 0, n = BODY_LINES - at;

		n = n < buf_room(out) ? n : buf_room(out);
		buf_put(out, span_of(body_lines + at, n));
		*left -= (int64_t)n;
	}
}

static bool body(struct turn *t, const struct step *s)
{
	struct buf *out = t->out->out;
	struct visit *v = t->v;

	if (!may_send(t, BODY_HEAD_MAX))
		return false;
	if (!is(v, ENTERED)) {
		size_t start = out->len;

		mark(v, ENTERED, true);
		put_head(t, s->number);
		v->left = s->number - (int64_t)(out->len - start);
	}
	put_lines(out, &v->left);
	if (v->left > 0 || buf_room(out) < BODY_END.n)
		return may_send(t, SIZE_MAX);
	buf_put(out, BODY_END);
	return advance(v, v->at + 1u);
}

static bool wait(struct turn *t, const struct step *s)
{
	struct visit *v = t->v;

	if (!is(v, ENTERED)) {
		mark(v, ENTERED, true);
		v->deadline = later(t->now, s->time);
	}
	return t->now >= v->deadline && advance(v, v->at + 1u);
}

static bool shake_hands(struct turn *t, unsigned order)
{
	struct visit *v = t->v;

	if (is(v, ENTERED))
		return t->now >= v->deadline && end(t, END_SILENT);
	/* what came in the clear would be taken for what came under the protection of TLS */
	if (t->in.n || replies_inside(&v->replies))
		return end(t, END_FAULT);
	mark(v, ENTERED, true);
	v->deadline = later(t->now, v->patience);
	t->out->orders |= order;
	return false;
}

static bool begin_loop(struct visit *v, const struct step *s)
{
	BUG_IF(v->depth == LOOPS_MAX);
	v->loops[v->depth++] = (int32_t)(s->number < 0 ? -1 : s->number - 1);
	return advance(v, v->at + 1u);
}

static bool end_loop(struct visit *v, const struct step *s)
{
	BUG_IF(v->depth == 0);

	int32_t *left = &v->loops[v->depth - 1];

	if (*left == 0) {
		v->depth--;
		return advance(v, v->at + 1u);
	}
	if (*left > 0)
		--*left;
	return advance(v, s->other + 1u);
}

static bool be_done(struct turn *t)
{
	t->out->became_done = t->v->is_done = true;
	return advance(t->v, t->v->at + 1u);
}

static bool one_step(struct turn *t)
{
	const struct step *s = step_at(t->v);

	if (!s)
		return end(t, END_DONE);
	t->v->stage = (uint8_t)s->stage;
	switch (s->kind) {
	case STEP_EXPECT:
	case STEP_HEAR:
	case STEP_NEVER:
	case STEP_NONE:
	case STEP_HOLD:
		return hear(t, s);
	case STEP_SEND:
	case STEP_RAW:
		return send_text(t, s);
	case STEP_DRIP:
		return drip(t, s);
	case STEP_FILL:
		return fill(t, s);
	case STEP_BODY:
		return body(t, s);
	case STEP_WAIT:
		return wait(t, s);
	case STEP_TLS:
		return shake_hands(t, VISIT_DO_TLS);
	case STEP_TLS12:
		return shake_hands(t, VISIT_DO_TLS | VISIT_DO_TLS12);
	case STEP_BEGIN:
		t->out->begins = true;
		return advance(t->v, t->v->at + 1u);
	case STEP_DONE:
		return be_done(t);
	case STEP_REPEAT:
		return begin_loop(t->v, s);
	case STEP_AGAIN:
		return end_loop(t->v, s);
	case STEP_CLOSE:
		return end(t, END_DONE);
	case STEP_RESET:
		end(t, END_DONE);
		t->out->orders ^= VISIT_DO_CLOSE | VISIT_DO_RESET;
		return false;
	}
	return false;
}

/* ---- what happened ---- */

static void take(struct turn *t, enum visit_in_kind kind)
{
	struct visit *v = t->v;
	const struct step *s = step_at(v);

	switch (kind) {
	case VISIT_CONNECTED:
		mark(v, CONNECTED, true);
		return;
	case VISIT_BYTES:
		return;
	case VISIT_SENT:
		v->sending = false;
		return;
	case VISIT_TLS_DONE:
		if (s && (s->kind == STEP_TLS || s->kind == STEP_TLS12) && is(v, ENTERED))
			advance(v, v->at + 1u);
		return;
	case VISIT_TLS_FAILED:
		end(t, END_FAULT);
		return;
	case VISIT_TIME:
		if (!is(v, CONNECTED))
			end(t, END_SILENT);
		return;
	case VISIT_EOF:
	case VISIT_RESET:
		mark(v, GONE, true);
		return;
	case VISIT_PHASE_OVER:
		end(t, END_OVER);
		return;
	}
}

void visit_step(struct visit *v, struct visitor *who, enum visit_in_kind kind,
		struct span in, ms_t now, struct visit_out *out)
{
	struct turn t = { v, who, in, now, out, out->out->len };

	out->orders = 0;
	out->used = in.n;
	out->heard = (struct visit_heard){ 0 };
	out->became_done = out->begins = false;
	out->again = false;
	out->breach[0] = '\0';
	if (v->over)
		return;
	take(&t, kind);
	if (is(v, CONNECTED))
		while (!v->over && one_step(&t))
			;
	if (is(v, GONE) && !v->over)
		farewell(&t);
	v->sending |= out->out->len > t.before;
	if (v->over)
		return;
	out->used -= t.in.n;
	out->again = out->heard.is && t.in.n && (visit_listens(v) || is(v, GONE));
}
