/*
 * Whatever next hops answer and messages hold: a notice has exactly its parts, one group
 * per recipient, lines that end with CRLF and are short enough, and needs what it says.
 */
#include "base/bug.h"
#include "base/siphash.h"
#include "base/utf8.h"
#include "wire/dsn.h"

#define COUNT 4

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Up to the next 0xfe, which no text of others has to hold. */
static struct span next(struct span *in)
{
	return span_cut(in, 0xfe);
}

static size_t lines_that_start(struct span text, struct span with)
{
	size_t n = 0;

	while (text.n) {
		struct span line = span_cut(&text, '\n');

		n += span_starts(line, with);
	}
	return n;
}

/* "--" and the boundary: the first line that is one. What others write comes later. */
static struct span delimiter(struct span text)
{
	while (text.n) {
		struct span line = span_cut(&text, '\n');

		if (span_starts(line, SPAN("--holdfast-")))
			return span_head(line, line.n - 1);
	}
	return SPAN_NONE;
}

static void check_lines(struct span text)
{
	while (text.n) {
		struct span line = span_cut(&text, '\n');

		BUG_IF(line.n == 0 || line.n > 999 || line.p[line.n - 1] != '\r');
		BUG_IF(span_find(line, '\r') != line.n - 1);
		BUG_IF(span_find(line, '\0') != line.n);
	}
}

/* What is returned of the message is its own: this is all before the third part. */
static struct span without_message(struct span text, struct span between)
{
	struct span left = text;
	size_t parts = 0;

	while (left.n && parts < 3) {
		struct span line = span_cut(&left, '\n');

		parts += span_starts(line, between);
	}
	return span_head(text, text.n - left.n);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t mem[65536];
	struct span in = span_of(data, size);
	struct dsn_rcpt rcpts[COUNT];
	struct dsn_needs needs;
	struct buf out;
	struct dsn d = { .host = SPAN("mx.example"), .secret = { 1, 2 }, .wall = 1 };
	struct span between, ours;
	size_t told;

	if (size < 2)
		return 0;
	d.action = (enum dsn_action)(data[0] % DSN_ACTIONS);
	d.utf8 = data[1] & 1;
	d.full = data[1] & 2;
	d.whole = data[1] & 4;
	in = span_skip(in, 2);
	/* not one that an input can have learned */
	d.secret[0] = siphash(d.secret, span_of(data, size));
	d.to = next(&in);
	d.envid = next(&in);
	for (size_t i = 0; i < COUNT; i++) {
		rcpts[i] = (struct dsn_rcpt){ .tried = 1, .until = 1 };
		rcpts[i].address = next(&in);
		rcpts[i].orcpt = next(&in);
		rcpts[i].answer = next(&in);
		rcpts[i].host = next(&in);
	}
	d.message = in;
	buf_init(&out, mem, data[1] & 8 ? DSN_ROOM_MIN : sizeof(mem));
	told = dsn_print(&d, rcpts, COUNT, &out, &needs);
	BUG_IF(told == 0 || told > COUNT || out.full);
	check_lines(buf_span(&out));
	BUG_IF(needs.eight_bit != !utf8_is_ascii(buf_span(&out)) ||
	       (needs.utf8 && !d.utf8));
	between = delimiter(buf_span(&out));
	BUG_IF(between.n == 0 || lines_that_start(buf_span(&out), between) != 4);
	ours = without_message(buf_span(&out), between);
	BUG_IF(lines_that_start(ours, SPAN("Action: ")) != told);
	BUG_IF(lines_that_start(ours, SPAN("Status: ")) != told);
	return 0;
}
