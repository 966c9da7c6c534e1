/*
 * Whatever next hops answer and messages hold: a notice has exactly its parts, one group
 * per recipient, lines that end with CRLF and are short enough, and needs what it says.
 */
#include "base/bug.h"
#include "base/utf8.h"
#include "wire/dsn.h"

#define COUNT 4

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Up to the next 0xfe, which no text of others has to hold. */
static struct span next(struct span *in)
{
	return span_cut(in, 0xfe);
}

static size_t lines_that_start(struct span text, const char *with)
{
	size_t n = 0;

	while (text.n) {
		struct span line = span_cut(&text, '\n');

		n += span_starts(line, span_str(with));
	}
	return n;
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

/* What a message that is returned whole holds is its own; it is looked at without that. */
static struct span without_message(struct span text)
{
	static const struct span type = SPAN_INIT("Content-Type: message/rfc822\r\n");
	const uint8_t *at = memmem(text.p, text.n, type.p, type.n);

	return at ? span_head(text, (size_t)(at - text.p)) : text;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t mem[65536];
	struct span in = span_of(data, size);
	struct dsn_rcpt rcpts[COUNT];
	struct dsn_needs needs;
	struct buf out;
	struct dsn d = { .host = SPAN("mx.example"), .secret = { 1, 2 }, .wall = 1 };
	size_t told;

	if (size < 2)
		return 0;
	d.action = (enum dsn_action)(data[0] % DSN_ACTIONS);
	d.utf8 = data[1] & 1;
	d.full = data[1] & 2;
	d.whole = data[1] & 4;
	in = span_skip(in, 2);
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
	BUG_IF(lines_that_start(buf_span(&out), "--holdfast-") != 4);
	BUG_IF(lines_that_start(without_message(buf_span(&out)), "Action: ") != told);
	BUG_IF(lines_that_start(without_message(buf_span(&out)), "Status: ") != told);
	return 0;
}
