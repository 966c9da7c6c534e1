/*
 * Whatever arrives, and however it is chopped up, the dialogue is the same.
 *
 * Byte 0 says how many bytes arrive at once; the rest is what the peer sends.
 */
#include "base/bug.h"
#include "wire/imap.h"
#include "wire/imap_word.h"

#define WINDOW	 (IMAP_COMMAND_MAX + 4096)
#define LINE_CAP 512

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Some of what is legal is refused, by what it says. */
static enum reply decide(const struct imap *m, const struct imap_event *ev)
{
	bool no = span_find(ev->text, '!') < ev->text.n;

	if (ev->kind == IMAP_LITERAL)
		return m->tag_n % 2 ? RE_AUTH_TLS : RE_LITERAL_GO;
	switch (ev->verb) {
	case IMAP_STARTTLS:
		return m->tag_n % 2 ? RE_TLS_UNAVAILABLE : RE_TLS_GO;
	case IMAP_LOGIN:
		return RE_AUTH_FAILED;
	case IMAP_AUTHENTICATE:
	case IMAP_AUTH_MORE:
		return no ? RE_AUTH_FAILED : ev->text.n % 3 ? RE_AUTH_GO : RE_AUTH_LATER;
	case IMAP_LOGOUT:
		return RE_BYE;
	default:
		return RE_OK;
	}
}

/* What is in it must be within it, and what it stands for no longer than it is. */
static void read_words(const struct imap_event *ev, struct buf *out)
{
	struct imap_word user, secret;
	uint8_t mem[WINDOW], name[CLIENT_NAME_MAX];
	struct buf both, id;

	buf_init(&both, mem, sizeof(mem));
	if (ev->verb == IMAP_LOGIN && imap_login_parse(ev->text, &user, &secret)) {
		imap_word_put(&user, &both);
		imap_word_put(&secret, &both);
		buf_put(out, buf_span(&both));
	}
	buf_init(&id, name, sizeof(name));
	if (ev->verb == IMAP_ID && imap_id_parse(ev->text, &id))
		buf_put(out, buf_span(&id));
	BUG_IF(both.full || both.len > ev->text.n || id.full);
}

static void note(const struct imap *m, const struct imap_event *ev, struct buf *out)
{
	buf_fmt(out, "\n%d %d %d %d %d ", (int)ev->kind, (int)ev->verb, (int)ev->odd,
		(int)ev->say, ev->lost);
	buf_put(out, span_of(m->tag, m->tag_n));
	buf_byte(out, ' ');
	buf_put(out, ev->text);
	if (ev->kind == IMAP_VERB)
		read_words(ev, out);
}

/* False: the dialogue is over. */
static bool handle(struct imap *m, const struct imap_event *ev, struct buf *out)
{
	uint8_t mem[512];
	struct buf said;

	note(m, ev, out);
	if (ev->lost)
		return false;
	buf_init(&said, mem, sizeof(mem));
	imap_reply(m, ev->kind == IMAP_BAD ? ev->say : decide(m, ev), SPAN_NONE, &said);
	BUG_IF(said.full || said.len < 2 || mem[said.len - 1] != '\n');
	buf_fmt(out, "-> %s", imap_state_word(m->state));
	return m->state != IMAP_GONE && m->state != IMAP_WANTS_TLS;
}

static void transcript(struct span bytes, size_t chunk, struct buf *out)
{
	static uint8_t window[WINDOW];
	size_t have = 0;
	struct imap m;

	imap_init(&m, LINE_CAP);
	while (bytes.n) {
		struct span more = span_head(bytes, chunk);
		struct span in = span_of(window, have + more.n);
		struct imap_event ev;
		size_t before;

		BUG_IF(in.n > sizeof(window));
		memcpy(window + have, more.p, more.n);
		bytes = span_skip(bytes, more.n);
		do {
			before = in.n;
			ev = imap_next(&m, &in);
			BUG_IF(in.n > before);
			if (ev.kind != IMAP_MORE && !handle(&m, &ev, out))
				return;
		} while (ev.kind != IMAP_MORE || in.n < before);
		BUG_IF(in.n >= IMAP_COMMAND_MAX); /* a reader must not starve */
		if (in.n)
			memmove(window, in.p, in.n);
		have = in.n;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t mem[2][1 << 20];
	struct buf whole, chopped;

	if (size < 2 || size > 20000)
		return 0;
	buf_init(&whole, mem[0], sizeof(mem[0]));
	buf_init(&chopped, mem[1], sizeof(mem[1]));
	transcript(span_of(data + 1, size - 1), 4096, &whole);
	transcript(span_of(data + 1, size - 1), data[0] + 1u, &chopped);
	BUG_IF(whole.full || chopped.full);
	BUG_IF(!span_eq(buf_span(&whole), buf_span(&chopped)));
	return 0;
}
