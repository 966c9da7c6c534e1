/*
 * What a next hop says is read the same however it is cut into pieces; and a message that
 * we send ends once, at its end, however it is cut; in chunks, too.
 *
 * Input: one byte that says how to cut, then what the host says, or the message.
 */
#include <stdlib.h>

#include "base/bug.h"
#include "base/number.h"
#include "wire/smtp_chunks.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define SEEN_MAX 65536

static size_t next_piece(uint32_t *dice, size_t max)
{
	*dice = *dice * 1103515245 + 12345;
	return 1 + (*dice >> 16) % max;
}

/* In memory of exactly that size, so that reading behind the end is noticed. */
static struct span alone(struct span s, uint8_t **mem)
{
	*mem = malloc(s.n ? s.n : 1);
	BUG_IF(!*mem);
	if (s.n)
		memcpy(*mem, s.p, s.n);
	return span_of(*mem, s.n);
}

static void note(struct buf *seen, const struct smtp_peer_event *ev)
{
	BUG_IF(ev->text.n > SMTP_PEER_TEXT);
	BUG_IF(ev->kind == SMTP_PEER_REPLY && (ev->code < 200 || ev->code > 599));
	buf_byte(seen, (uint8_t)ev->kind);
	buf_fmt(seen, "%d ", ev->code);
	buf_put(seen, ev->text);
}

static void read_all(struct span all, uint32_t dice, size_t max, struct buf *seen)
{
	size_t start = 0, end = 0;
	struct smtp_peer p;
	uint8_t mem[300];
	struct buf hello;

	buf_init(&hello, mem, sizeof(mem));
	smtp_peer_init(&p);
	smtp_peer_hello(&p, SMTP_PEER_EHLO, SPAN("x"), &hello);
	while (end < all.n) {
		struct smtp_peer_event ev;
		struct span in;
		uint8_t *piece;

		end += next_piece(&dice, max);
		if (end > all.n)
			end = all.n;
		in = alone(span_of(all.p + start, end - start), &piece);
		do {
			size_t before = in.n;

			ev = smtp_peer_next(&p, &in);
			BUG_IF(ev.kind != SMTP_PEER_MORE && in.n >= before);
			if (ev.kind != SMTP_PEER_MORE)
				note(seen, &ev);
		} while (ev.kind != SMTP_PEER_MORE);
		start = end - in.n;
		free(piece);
	}
	buf_fmt(seen, "%u %u %u", p.can, (unsigned)p.size_max, (unsigned)p.rcpt_max);
}

static void stuff(struct span all, uint32_t dice, size_t max, struct buf *joined)
{
	uint8_t mem[64];
	struct smtp_dots d;
	struct buf out;

	smtp_dots_init(&d);
	while (all.n) {
		struct span in = span_head(all, next_piece(&dice, max));
		size_t offered = in.n;

		buf_init(&out, mem, 7 + next_piece(&dice, max) % 57);
		smtp_dots_put(&d, &in, &out);
		BUG_IF(in.n == offered || out.full);
		all = span_skip(all, offered - in.n);
		buf_put(joined, buf_span(&out));
	}
	buf_init(&out, mem, 7);
	smtp_dots_end(&d, &out);
	BUG_IF(out.full);
	buf_put(joined, buf_span(&out));
}

/* One chunk, as somebody reads it who believes its size. */
static void read_chunk(struct span said, bool last, struct buf *joined)
{
	size_t end = span_find(said, '\n');
	struct span head = span_head(said, end);
	const struct span tail = last ? SPAN(" LAST\r") : SPAN("\r");
	uint64_t n;

	BUG_IF(end == said.n || !span_starts(head, SPAN("BDAT ")) || head.n < 5 + tail.n);
	BUG_IF(!span_eq(span_skip(head, head.n - tail.n), tail));
	head = span_skip(span_head(head, head.n - tail.n), 5);
	said = span_skip(said, end + 1);
	BUG_IF(!number_parse(head, said.n, &n) || n != said.n);
	buf_put(joined, said);
}

static void chunk(struct span all, bool binary, uint32_t dice, size_t max,
		  struct buf *joined)
{
	uint8_t mem[SMTP_CHUNK_HEAD + 64];
	struct smtp_chunks c;
	struct buf out;

	smtp_chunks_init(&c, binary);
	while (all.n) {
		struct span in = span_head(all, next_piece(&dice, max));
		size_t offered = in.n;

		buf_init(&out, mem, SMTP_CHUNK_HEAD + 4 + next_piece(&dice, max) % 60);
		smtp_chunks_put(&c, &in, &out);
		BUG_IF(out.full || !out.len);
		all = span_skip(all, offered - in.n);
		read_chunk(buf_span(&out), false, joined);
	}
	buf_init(&out, mem, SMTP_CHUNK_HEAD + 4);
	smtp_chunks_end(&c, &out);
	BUG_IF(out.full);
	read_chunk(buf_span(&out), true, joined);
}

/* Only CRLF ends lines; dotted: and only the last one is a dot alone. */
static void check_lines(struct span all, bool dotted)
{
	while (all.n) {
		size_t end = span_find(all, '\n');
		struct span line = span_head(all, end);

		BUG_IF(end == all.n || !line.n || line.p[line.n - 1] != '\r');
		BUG_IF(span_find(line, '\r') != line.n - 1);
		all = span_skip(all, end + 1);
		BUG_IF(dotted && span_eq(line, SPAN(".\r")) != (all.n == 0));
	}
}

static void check_chunks(struct span in, uint8_t dice, struct buf *whole, struct buf *cut)
{
	buf_reset(whole);
	buf_reset(cut);
	chunk(in, false, 1, 1u << 20, whole);
	chunk(in, false, dice, 1 + dice % 16, cut);
	BUG_IF(!span_eq(buf_span(whole), buf_span(cut)) || whole->full);
	check_lines(buf_span(whole), false);
	buf_reset(cut);
	chunk(in, true, dice, 1 + dice % 16, cut);
	BUG_IF(!span_eq(buf_span(cut), in));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t whole_mem[SEEN_MAX], cut_mem[SEEN_MAX];
	struct span in = span_skip(span_of(data, size), 1);
	struct buf whole, cut;

	if (size == 0 || size > 8192)
		return 0;
	buf_init(&whole, whole_mem, sizeof(whole_mem));
	buf_init(&cut, cut_mem, sizeof(cut_mem));
	read_all(in, 1, 1u << 20, &whole);
	read_all(in, data[0], 1 + data[0] % 16, &cut);
	BUG_IF(!span_eq(buf_span(&whole), buf_span(&cut)) || whole.full);
	buf_reset(&whole);
	buf_reset(&cut);
	stuff(in, 1, 1u << 20, &whole);
	stuff(in, data[0], 1 + data[0] % 16, &cut);
	BUG_IF(!span_eq(buf_span(&whole), buf_span(&cut)) || whole.full);
	check_lines(buf_span(&whole), true);
	check_chunks(in, data[0], &whole, &cut);
	return 0;
}
