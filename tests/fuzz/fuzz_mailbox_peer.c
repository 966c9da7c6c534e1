/*
 * A mailbox server may say what it likes, in pieces of any size: there is one result, the same
 * however it is cut; what is said in answer fits; nobody is logged in by a server that was not
 * asked.
 *
 * Input: one byte that says how to cut, one of how to log in, then what the server says.
 */
#include <stdlib.h>

#include "base/bug.h"
#include "session/backend.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define SEEN_MAX 65536

struct play {
	struct backend_setup setup;
	struct backend_talk talk;
	uint8_t said_mem[BACKEND_OUT];
	struct buf said;
	struct buf *seen;
	unsigned orders;
	bool over;
};

static size_t step(struct play *p, enum backend_in_kind kind, struct span bytes)
{
	struct backend_in in = { .kind = kind, .bytes = bytes };
	struct backend_out out = { .peer = &p->said };

	backend_step(&p->talk, &in, 1, &out);
	BUG_IF(out.used > bytes.n || p->said.full);
	BUG_IF(p->over && out.orders);
	BUG_IF(p->talk.why_n > sizeof(p->talk.why));
	p->orders |= out.orders;
	p->over = p->over || out.orders & BACKEND_DO_RESULT;
	BUG_IF(p->over != (p->talk.phase == BACKEND_AT_END));
	buf_put(p->seen, buf_span(&p->said));
	buf_reset(&p->said);
	return out.used;
}

/* In memory of exactly that size, so that reading behind the end is noticed. */
static size_t step_alone(struct play *p, struct span bytes)
{
	uint8_t *mem = malloc(bytes.n ? bytes.n : 1);
	size_t used;

	BUG_IF(!mem);
	if (bytes.n)
		memcpy(mem, bytes.p, bytes.n);
	used = step(p, BACKEND_IN_BYTES, span_of(mem, bytes.n));
	free(mem);
	return used;
}

static void set_up(struct play *p, uint8_t how)
{
	p->setup = (struct backend_setup){
		.pop3 = how & 1,
		.probe = (how & 0x60) == 0x60,
		.tls = (how >> 1 & 3) % BACKEND_TLS_USES,
		.identity = how >> 3 & 3,
		.client = { .session = SPAN("abc") },
		.greet_by = 100,
		.reply_timeout = 100,
	};
	if (how & 0x20) {
		p->setup.first = SPAN("a\0b\0c");
	} else {
		p->setup.user = how & 0x80 ? SPAN("b\x80\"b") : SPAN("bob");
		p->setup.secret = how & 0x40 ? SPAN("x\ty") : SPAN("\\\"secret");
	}
}

/*
 * Never more than a line: what comes behind that may be an answer to what is said to it, and
 * must not have come before.
 */
static size_t next_piece(struct span left, size_t piece)
{
	return span_head(span_head(left, span_find(left, '\n') + 1), piece).n;
}

static void talk(struct span all, uint8_t how, size_t piece, struct buf *seen)
{
	struct play p = { .seen = seen };
	size_t start = 0, end = 0;

	set_up(&p, how);
	buf_init(&p.said, p.said_mem, sizeof(p.said_mem));
	backend_init(&p.talk, &p.setup);
	step(&p, BACKEND_IN_OPENED, SPAN_NONE);
	while (end < all.n && !p.over) {
		if (p.orders & BACKEND_DO_TLS) {
			p.orders = 0;
			step(&p, BACKEND_IN_TLS, SPAN_NONE);
			continue;
		}
		end += next_piece(span_skip(all, end), piece);
		start += step_alone(&p, span_of(all.p + start, end - start));
	}
	if (!p.over)
		step(&p, BACKEND_IN_END, SPAN_NONE);
	BUG_IF(!p.over);
	buf_fmt(seen, "%d %.*s", p.talk.got, p.talk.why_n, (const char *)p.talk.why);
	buf_put(seen, mailbox_peer_capability(&p.talk.peer));
	if (p.talk.got == BACKEND_GOT_YES)
		buf_fmt(seen, " %zu", all.n - start);
}

/* All that a server has to say, before it was asked anything. */
static void at_once(struct span all, uint8_t how)
{
	static uint8_t mem[SEEN_MAX];
	struct play p = { 0 };
	struct buf seen;

	buf_init(&seen, mem, sizeof(mem));
	p.seen = &seen;
	set_up(&p, how);
	buf_init(&p.said, p.said_mem, sizeof(p.said_mem));
	backend_init(&p.talk, &p.setup);
	step(&p, BACKEND_IN_OPENED, SPAN_NONE);
	if (!(p.orders & BACKEND_DO_TLS))
		(void)step_alone(&p, all);
	BUG_IF(p.over && p.talk.got == BACKEND_GOT_YES && !p.setup.probe);
}

/*
 * Without TLS, what was said does not depend on the pieces. With it, what came before the
 * handshake and what came behind it does.
 */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t whole_mem[SEEN_MAX], cut_mem[SEEN_MAX];
	struct span in = span_skip(span_of(data, size), 2);
	struct buf whole, cut;

	if (size < 2 || size > 20000)
		return 0;
	buf_init(&whole, whole_mem, sizeof(whole_mem));
	buf_init(&cut, cut_mem, sizeof(cut_mem));
	talk(in, data[1], 1u << 20, &whole);
	talk(in, data[1], 1 + data[0] % 16, &cut);
	at_once(in, data[1]);
	if ((data[1] >> 1 & 3) % BACKEND_TLS_USES != BACKEND_TLS_START)
		BUG_IF(!span_eq(buf_span(&whole), buf_span(&cut)) || whole.full);
	return 0;
}
