/*
 * The text that is delivered is the message, dots removed: against a model that has the
 * whole message before it and is too simple to be wrong.
 *
 * Byte 0 says how many bytes arrive at once, byte 1 whether we normalise; the rest is what
 * follows DATA.
 */
#include "base/bug.h"
#include "wire/smtp.h"

#define INPUT_MAX 2048

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct told {
	bool ended;
	size_t used; /* of the input, with the end */
	unsigned marks;
	struct buf text;
};

/* ---- the model --------------------------------------------------------------------- */

static size_t find_crlf(struct span in, size_t from)
{
	for (size_t i = from; i + 1 < in.n; i++)
		if (in.p[i] == '\r' && in.p[i + 1] == '\n')
			return i;
	return in.n;
}

static bool is_newline(uint8_t c)
{
	return c == '\r' || c == '\n';
}

static bool is_bare(struct span in, size_t i)
{
	if (in.p[i] == '\n')
		return i == 0 || in.p[i - 1] != '\r';
	return in.p[i] == '\r' && (i + 1 == in.n || in.p[i + 1] != '\n');
}

/* A dot, alone but for NULs, between any line ends. */
static bool is_fake_end(struct span in, size_t dot, bool *nul)
{
	size_t from = dot, to = dot + 1;

	while (from > 0 && in.p[from - 1] == '\0')
		from--;
	while (to < in.n && in.p[to] == '\0')
		to++;
	*nul = from != dot || to != dot + 1;
	return (from == 0 || is_newline(in.p[from - 1])) && to < in.n &&
	       is_newline(in.p[to]);
}

static void put_line(struct span line, bool normalise, struct told *t)
{
	if (line.n && line.p[0] == '.')
		line = span_skip(line, 1);
	for (size_t i = 0; i < line.n; i++)
		if (is_newline(line.p[i]) && normalise)
			buf_put(&t->text, SPAN("\r\n"));
		else
			buf_byte(&t->text, line.p[i]);
	buf_put(&t->text, SPAN("\r\n"));
}

static void model(struct span in, bool normalise, struct told *t)
{
	size_t at = 0, end;

	while ((end = find_crlf(in, at)) < in.n) {
		struct span line = span_of(in.p + at, end - at);

		if (span_eq(line, SPAN("."))) {
			t->ended = true;
			t->used = end + 2;
			in = span_head(in, at);
			break;
		}
		put_line(line, normalise, t);
		at = end + 2;
	}
	for (size_t i = 0; t->ended && i < in.n; i++) {
		bool nul;

		if (in.p[i] == '.' && is_fake_end(in, i, &nul))
			t->marks |= SMTP_HAS_FAKE_END;
		if (is_bare(in, i))
			t->marks |= in.p[i] == '\n' ? SMTP_HAS_BARE_LF : SMTP_HAS_BARE_CR;
	}
}

/* ---- the engine -------------------------------------------------------------------- */

static void answer(struct smtp *s, const char *line, enum reply r)
{
	struct span in = span_str(line);
	uint8_t mem[512];
	struct buf out;

	buf_init(&out, mem, sizeof(mem));
	(void)smtp_next(s, &in);
	smtp_reply(s, r, SPAN_NONE, &out);
}

static void run(struct span bytes, size_t chunk, bool normalise, struct told *t)
{
	uint8_t window[INPUT_MAX + 8];
	size_t have = 0;
	struct smtp s;

	smtp_init(&s, 100, normalise ? SMTP_NORMALISES : 0);
	answer(&s, "EHLO x\r\n", RE_EHLO);
	answer(&s, "MAIL FROM:<>\r\n", RE_OK);
	answer(&s, "RCPT TO:<a@b>\r\n", RE_OK);
	answer(&s, "DATA\r\n", RE_SEND_BODY);
	while (bytes.n && !t->ended) {
		struct span more = span_head(bytes, chunk);
		struct span in = span_of(window, have + more.n);
		struct smtp_event ev;

		memcpy(window + have, more.p, more.n);
		bytes = span_skip(bytes, more.n);
		t->used += more.n;
		while ((ev = smtp_next(&s, &in)).kind == SMTP_TEXT)
			buf_put(&t->text, ev.text);
		if (ev.kind == SMTP_END) {
			t->ended = true;
			t->marks = ev.marks;
			t->used -= in.n;
		}
		BUG_IF(ev.kind == SMTP_MORE && in.n > 2);
		memmove(window, in.p, in.n);
		have = in.n;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t mem[2][2 * INPUT_MAX + 16];
	struct told want = { 0 }, got = { 0 };
	bool normalise;
	struct span in;

	if (size < 3 || size > INPUT_MAX)
		return 0;
	normalise = data[1] & 1;
	in = span_of(data + 2, size - 2);
	buf_init(&want.text, mem[0], sizeof(mem[0]));
	buf_init(&got.text, mem[1], sizeof(mem[1]));
	model(in, normalise, &want);
	run(in, data[0] + 1u, normalise, &got);
	BUG_IF(want.ended != got.ended);
	if (!want.ended)
		return 0;
	BUG_IF(want.used != got.used);
	BUG_IF(want.marks != (got.marks & ~SMTP_HAS_NUL_END));
	if (got.marks & SMTP_HAS_NUL_END || (!normalise && got.marks))
		BUG_IF(!span_starts(buf_span(&want.text), buf_span(&got.text)) &&
		       normalise);
	else
		BUG_IF(!span_eq(buf_span(&want.text), buf_span(&got.text)));
	return 0;
}
