/*
 * Whatever arrives, and however it is chopped up, the dialogue is the same; and whatever is
 * in a file, it is said the same way, and as many bytes as LIST has told.
 *
 * Byte 0 says how many bytes arrive at once; the rest is what the peer sends, and the file.
 */
#include "base/bug.h"
#include "wire/pop3.h"
#include "wire/pop3_text.h"

#define WINDOW	 1024
#define LINE_CAP 512

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Some of what is legal is refused, by what it says: so all columns of the table are met. */
static enum reply decide(const struct pop3_event *ev)
{
	bool no = span_find(ev->text, '!') < ev->text.n;

	switch (ev->verb) {
	case POP3_STLS:
		return RE_TLS_GO;
	case POP3_AUTH:
	case POP3_AUTH_MORE:
		return no ? RE_AUTH_FAILED : ev->text.n % 3 ? RE_AUTH_GO : RE_AUTH_OK;
	case POP3_QUIT:
		return RE_BYE;
	default:
		return no ? RE_AUTH_FAILED : RE_OK;
	}
}

/* False: the dialogue is over. */
static bool handle(struct pop3 *p, const struct pop3_event *ev, struct buf *out)
{
	uint8_t mem[512];
	struct buf said;

	buf_fmt(out, "\n%d %d %d %d %d ", (int)ev->kind, (int)ev->verb, (int)ev->odd,
		(int)ev->say, ev->lost);
	buf_put(out, ev->text);
	if (ev->lost)
		return false;
	buf_init(&said, mem, sizeof(mem));
	pop3_reply(p, ev->kind == POP3_BAD ? ev->say : decide(ev), SPAN_NONE, &said);
	BUG_IF(said.full);
	buf_fmt(out, "-> %s", pop3_state_word(p->state));
	return p->state != POP3_GONE && p->state != POP3_WANTS_TLS;
}

static void transcript(struct span bytes, size_t chunk, struct buf *out)
{
	uint8_t window[WINDOW];
	size_t have = 0;
	struct pop3 p;

	pop3_init(&p, LINE_CAP / 2, LINE_CAP);
	while (bytes.n) {
		struct span more = span_head(bytes, chunk);
		struct span in = span_of(window, have + more.n);
		struct pop3_event ev;
		size_t before;

		BUG_IF(in.n > sizeof(window));
		memcpy(window + have, more.p, more.n);
		bytes = span_skip(bytes, more.n);
		do {
			before = in.n;
			ev = pop3_next(&p, &in);
			BUG_IF(in.n > before);
			if (ev.kind != POP3_MORE && !handle(&p, &ev, out))
				return;
		} while (ev.kind != POP3_MORE || in.n < before);
		BUG_IF(in.n >= LINE_CAP); /* a reader must not starve */
		memmove(window, in.p, in.n);
		have = in.n;
	}
}

static void say(struct span file, struct pop3_text *t, size_t piece, size_t room,
		struct buf *out)
{
	while (file.n && !t->enough) {
		struct span in = span_head(file, piece);

		file = span_skip(file, in.n);
		while (in.n && !t->enough) {
			uint8_t mem[512];
			struct buf some;
			size_t before = in.n;

			buf_init(&some, mem, room);
			pop3_text_put(t, &in, &some);
			BUG_IF(some.full || in.n == before);
			buf_put(out, buf_span(&some));
		}
	}
	pop3_text_end(t, out);
}

/* Dots at the beginning of lines, which LIST does not count. */
static size_t doubled(struct span file)
{
	size_t n = 0;

	for (size_t i = 0; i < file.n; i++)
		n += file.p[i] == '.' && (i == 0 || file.p[i - 1] == '\n');
	return n;
}

static void check_text(struct span file, size_t piece, bool top, uint32_t lines)
{
	static uint8_t mem[2][1 << 15];
	struct buf whole, chopped;
	struct pop3_text t;
	struct pop3_size size;

	buf_init(&whole, mem[0], sizeof(mem[0]));
	buf_init(&chopped, mem[1], sizeof(mem[1]));
	for (int i = 0; i < 2; i++) {
		if (top)
			pop3_text_top(&t, lines);
		else
			pop3_text_all(&t);
		say(file, &t, i ? piece : file.n, i ? 4 + piece % 64 : 512,
		    i ? &chopped : &whole);
	}
	BUG_IF(whole.full || chopped.full);
	BUG_IF(!span_eq(buf_span(&whole), buf_span(&chopped)));
	if (top)
		return;
	pop3_size_begin(&size);
	for (struct span s = file; s.n; s = span_skip(s, piece))
		pop3_size_put(&size, span_head(s, piece));
	BUG_IF(whole.len != pop3_size_end(&size) + doubled(file) + 3);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t mem[2][1 << 19];
	struct buf whole, chopped;
	struct span in;

	if (size < 2 || size > 4096)
		return 0;
	in = span_of(data + 1, size - 1);
	buf_init(&whole, mem[0], sizeof(mem[0]));
	buf_init(&chopped, mem[1], sizeof(mem[1]));
	transcript(in, WINDOW - LINE_CAP, &whole);
	transcript(in, data[0] + 1u, &chopped);
	BUG_IF(whole.full || chopped.full);
	BUG_IF(!span_eq(buf_span(&whole), buf_span(&chopped)));
	check_text(in, data[0] + 1u, false, 0);
	check_text(in, data[0] + 1u, true, data[0] % 5);
	return 0;
}
