/*
 * Whatever a next hop says and whenever it stops, a delivery ends, with one answer per
 * recipient, and takes a message for delivered only if its end was sent. What needs TLS is
 * not said before, a password never in clear.
 *
 * Input: flags, how many recipients, how to cut, then what the host says. A byte 0 lets
 * time pass; 1 lets what we said be sent, without the host saying anything.
 */
#include <stdlib.h>

#include "base/bug.h"
#include "base/list.h"
#include "session/delivery.h"
#include "spec/messages.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define BODY_TEXT "Subject: x\r\n\r\n.a\nb\r"

struct stage {
	struct delivery d;
	struct delivery_out out;
	struct buf peer;
	struct span body;
	ms_t now;
	unsigned told;
	bool ended; /* we sent the end of the message */
	bool in_tls;
	bool over;
};

static void check_said(const struct stage *s)
{
	struct span said = buf_span(&s->peer);

	if (s->in_tls)
		return;
	BUG_IF(s->d.setup->tls >= HOP_TLS_MUST && span_starts(said, SPAN("MAIL")));
	BUG_IF(!s->d.setup->secure && span_starts(said, SPAN("AUTH")));
}

static void step(struct stage *s, enum delivery_in_kind kind, struct span bytes)
{
	struct delivery_in in = { .kind = kind, .bytes = bytes };

	BUG_IF(s->over);
	s->out.peer = &s->peer;
	delivery_step(&s->d, &in, s->now, &s->out);
	BUG_IF(s->peer.full || s->out.used > bytes.n);
	if (kind == DELIVERY_BODY)
		s->body = span_skip(s->body, s->out.used);
	if (kind == DELIVERY_BODY && !bytes.n)
		s->ended = true;
	if (s->out.orders & DELIVERY_DO_REWIND)
		s->body = SPAN(BODY_TEXT);
	if (s->out.orders & DELIVERY_DO_RESULT)
		s->told++;
	s->over = s->out.orders &
		  (DELIVERY_DO_CLOSE | DELIVERY_DO_ABORT | DELIVERY_DO_KEEP);
	check_said(s);
	BUG_IF(!s->over && s->out.wake <= s->now && kind != DELIVERY_BYTES);
}

/* What we said is on its way: give what was asked for. */
static void send(struct stage *s)
{
	for (int i = 0; i < 100 && !s->over; i++) {
		unsigned orders = s->out.orders;

		buf_reset(&s->peer);
		if (orders & DELIVERY_DO_TLS) {
			s->in_tls = true;
			step(s, DELIVERY_TLS, SPAN_NONE);
		} else if (orders & DELIVERY_DO_BODY) {
			step(s, DELIVERY_BODY, span_head(s->body, 5));
		} else if (orders & DELIVERY_DO_SENT) {
			step(s, DELIVERY_SENT, SPAN_NONE);
		} else {
			return;
		}
	}
}

/* In memory of exactly that size; what is left over is offered again. */
static struct span hear(struct stage *s, struct span bytes)
{
	uint8_t *mem = malloc(bytes.n ? bytes.n : 1);
	size_t used;

	BUG_IF(!mem);
	memcpy(mem, bytes.p, bytes.n);
	step(s, DELIVERY_BYTES, span_of(mem, bytes.n));
	used = s->out.used;
	free(mem);
	return span_skip(bytes, used);
}

static void converse(struct stage *s, struct span said, unsigned cut)
{
	struct span kept = span_head(said, 0);

	step(s, DELIVERY_OPENED, SPAN_NONE);
	while (!s->over && kept.n < said.n) {
		size_t more = 1 + (size_t)said.p[kept.n] % (1 + cut % 64);
		size_t before = kept.n;

		if (said.p[kept.n] <= 1 && kept.n == 0) {
			if (said.p[0] == 1) {
				send(s);
			} else {
				s->now += 100 * MS_SECOND;
				step(s, DELIVERY_TIME, SPAN_NONE);
			}
			said = span_skip(said, 1);
			kept = span_head(said, 0);
			continue;
		}
		kept = span_head(said, before + more);
		more = kept.n;
		kept = hear(s, kept);
		said = span_skip(said, more - kept.n);
		kept = span_head(said, kept.n);
		if (!s->over && !(cut & 64))
			send(s);
	}
}

static void check_answers(struct stage *s, const struct delivery_setup *setup)
{
	static uint8_t mem[LIST_FRAME_MAX];
	struct span left, answer;
	struct buf out;
	size_t n = 0;

	buf_init(&out, mem, sizeof(mem));
	answers_print(&s->d.answers, &out);
	BUG_IF(out.full || s->told != 1);
	for (left = buf_span(&out); list_next(&left, &answer); n++) {
		BUG_IF(answer.n < 4 || answer.p[3] != ' ');
		BUG_IF(answer.p[0] == '2' && !s->ended && !setup->probe);
		BUG_IF(answer.p[0] != '0' && (answer.p[0] < '2' || answer.p[0] > '5'));
		BUG_IF(answer.p[0] == '3');
	}
	BUG_IF(n != list_count(setup->rcpts));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t peer_mem[OUT_MAX], answers[LIST_FRAME_MAX], rcpt_mem[8192];
	struct smtp_peer host = { .can = SMTP_CAN_PIPELINING };
	struct delivery_setup setup = { 0 };
	struct stage s = { 0 };
	struct buf rcpts;

	if (size < 3)
		return 0;
	buf_init(&rcpts, rcpt_mem, sizeof(rcpt_mem));
	for (unsigned i = 0; i <= data[1]; i++)
		list_put(&rcpts,
			 i % 7 == 5 ? SPAN("a b>@x") : SPAN("some.body@example.org"));
	buf_init(&s.peer, peer_mem, sizeof(peer_mem));
	setup.lmtp = data[0] & 1;
	setup.probe = data[0] & 2;
	setup.tls = data[0] & 32 ? HOP_TLS_MAY : HOP_TLS_NONE;
	if (data[0] & 64)
		setup.tls = HOP_TLS_MUST;
	setup.keep = setup.not_to_self = data[2] & 1;
	setup.secure = data[2] & 2;
	if (data[0] & 128) {
		setup.user = SPAN("user");
		setup.secret = SPAN("secret");
		setup.plain = span_of("\0user\0secret", 12);
	}
	if (data[2] & 4)
		setup.prefix = SPAN("DKIM-Signature: v=1;\r\n\tb=x\r\n");
	setup.chunking = !(data[2] & 16);
	if (data[2] & 128)
		host.can |= SMTP_CAN_CHUNKING | SMTP_CAN_BINARYMIME;
	setup.flags = (data[0] & 4 ? MAIL_8BIT : 0) | (data[0] & 8 ? MAIL_UTF8 : 0) |
		      (data[2] & 32 ? MAIL_BINARY : 0);
	setup.helo = SPAN("me.example");
	setup.rcpts = buf_span(&rcpts);
	setup.size = 100;
	setup.reply_timeout = 300 * MS_SECOND;
	setup.answers = answers;
	if (data[2] & 8)
		delivery_resume(&s.d, &setup, &host, s.now);
	else
		delivery_init(&s.d, &setup, s.now);
	s.in_tls = data[2] & 8;
	converse(&s, span_of(data + 3, size - 3), data[2]);
	if (!s.over)
		step(&s, data[0] & 16 ? DELIVERY_EOF : DELIVERY_BROKEN, SPAN_NONE);
	BUG_IF(!s.over);
	check_answers(&s, &setup);
	return 0;
}
