/*
 * Whatever arrives, and however it is chopped up, the dialogue is the same.
 *
 * Byte 0 says how many bytes arrive at once, byte 1 what is offered; the rest is what the
 * peer sends.
 */
#include "base/bug.h"
#include "wire/smtp.h"

#define WINDOW	 1024
#define LINE_CAP 512

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Some of what is legal is refused, by what it says: so all columns of the table are met. */
static enum reply decide(const struct smtp_event *ev)
{
	bool no = span_find(ev->text, '!') < ev->text.n;

	switch (ev->verb) {
	case SMTP_STARTTLS:
		return no ? RE_TLS_UNAVAILABLE : RE_TLS_GO;
	case SMTP_DATA:
		return RE_SEND_BODY;
	case SMTP_BDAT:
		return RE_NONE;
	case SMTP_XCLIENT:
		return no ? RE_XCLIENT_DENIED : RE_GREETING;
	case SMTP_AUTH:
	case SMTP_AUTH_MORE:
		return no ? RE_AUTH_FAILED : ev->text.n % 3 ? RE_AUTH_GO : RE_AUTH_OK;
	case SMTP_QUIT:
		return RE_BYE;
	default:
		return no ? RE_REFUSED : RE_OK;
	}
}

/* Write down what happened; text without its borders, which depend on the chopping. */
static void note(const struct smtp_event *ev, struct buf *out)
{
	if (ev->kind != SMTP_TEXT)
		buf_fmt(out, "\n%d %d %d %d %x %d %d %d %llu ", (int)ev->kind,
			(int)ev->verb, (int)ev->odd, (int)ev->say, ev->marks, ev->high,
			ev->last, ev->lost, (unsigned long long)ev->size);
	buf_put(out, ev->text);
}

/* False: the dialogue is over. */
static bool handle(struct smtp *s, const struct smtp_event *ev, struct buf *out)
{
	uint8_t mem[512];
	struct buf said;

	note(ev, out);
	if (ev->kind == SMTP_TEXT)
		return true;
	if (ev->lost)
		return false;
	buf_init(&said, mem, sizeof(mem));
	smtp_reply(s, ev->kind == SMTP_BAD ? ev->say : decide(ev), SPAN_NONE, &said);
	BUG_IF(said.full);
	buf_fmt(out, "-> %s", smtp_state_word(s->state));
	return s->state != SMTP_GONE && s->state != SMTP_WANTS_TLS;
}

static void transcript(struct span bytes, size_t chunk, unsigned offers, struct buf *out)
{
	uint8_t window[WINDOW];
	size_t have = 0;
	struct smtp s;

	smtp_init(&s, offers & SMTP_OFFERS_AUTH ? LINE_CAP / 2 : LINE_CAP, offers);
	smtp_allow_auth(&s, LINE_CAP);
	while (bytes.n) {
		struct span more = span_head(bytes, chunk);
		struct span in = span_of(window, have + more.n);
		struct smtp_event ev;
		size_t before;

		BUG_IF(in.n > sizeof(window));
		memcpy(window + have, more.p, more.n);
		bytes = span_skip(bytes, more.n);
		do {
			before = in.n;
			ev = smtp_next(&s, &in);
			BUG_IF(in.n > before);
			if (ev.kind != SMTP_MORE && !handle(&s, &ev, out))
				return;
		} while (ev.kind != SMTP_MORE || in.n < before);
		BUG_IF(in.n >= LINE_CAP); /* a reader must not starve */
		memmove(window, in.p, in.n);
		have = in.n;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t mem[2][1 << 19];
	struct buf whole, chopped;
	unsigned offers;

	if (size < 2 || size > 4096)
		return 0;
	offers = data[1] & (SMTP_OFFERS_CHUNKING | SMTP_OFFERS_UTF8 | SMTP_NORMALISES |
			    SMTP_OFFERS_AUTH);
	if (offers & SMTP_OFFERS_CHUNKING)
		offers |= SMTP_OFFERS_BINARY;
	buf_init(&whole, mem[0], sizeof(mem[0]));
	buf_init(&chopped, mem[1], sizeof(mem[1]));
	transcript(span_of(data + 2, size - 2), WINDOW - LINE_CAP, offers, &whole);
	transcript(span_of(data + 2, size - 2), data[0] + 1u, offers, &chopped);
	BUG_IF(whole.full || chopped.full);
	BUG_IF(!span_eq(buf_span(&whole), buf_span(&chopped)));
	return 0;
}
