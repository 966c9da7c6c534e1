/* Messages of our own, with a subject and a text, to somebody who gets mail here. */
#include "store/notices_inner.h"

#include "base/date.h"
#include "store/route.h"

struct op_mail {
	struct op op;
	struct store *store;
	struct span us, to, body;
	bool dropped;
};

static bool run_mail(struct op *op, struct tools *t, struct err *err)
{
	struct op_mail *o = (struct op_mail *)op;
	struct notices *n = &o->store->notices;
	struct queue_message m = {
		.flags = MAIL_8BIT,
		.helo = o->us,
		.body = o->body,
	};

	o->dropped = notices_spend(n, t->wall) != BUDGET_FINE;
	return o->dropped || notices_put(n, t, &m, o->to, err);
}

static void done_mail(struct op *op, struct batch *batch)
{
	struct op_mail *o = (struct op_mail *)op;

	(void)batch;
	if (!op->committed || o->dropped) {
		trouble_log(o->store, "notice", "a notice to %.*s could not be sent%s",
			    SPAN_ARG(o->to),
			    o->dropped ? ": queue.bounces-per-hour is used up" : "");
		return;
	}
	pulse_gauge(o->store->pulse, GAUGE_QUEUE, 1);
	route_soon(o->store);
}

/* Nothing in it may end the field. */
static void put_field(struct buf *out, const char *name, struct span value)
{
	buf_fmt(out, "%s: ", name);
	for (size_t i = 0; i < value.n; i++)
		buf_byte(out, value.p[i] < ' ' || value.p[i] == 0x7f ? ' ' : value.p[i]);
	buf_put(out, SPAN("\r\n"));
}

/* Lines end as they must, whatever they ended with. */
static void put_text(struct buf *out, struct span text)
{
	while (text.n) {
		struct span line = span_cut(&text, '\n');

		if (line.n && line.p[line.n - 1] == '\r')
			line = span_head(line, line.n - 1);
		for (size_t i = 0; i < line.n; i++)
			buf_byte(out,
				 line.p[i] < ' ' && line.p[i] != '\t' ? '?' : line.p[i]);
		buf_put(out, SPAN("\r\n"));
	}
}

static void print_mail(const struct store *s, struct span to, struct span subject,
		       struct span text, struct buf *out)
{
	struct timed {
		uint64_t a, b;
	} unique = { (uint64_t)loop_wall(s->loop), loop_clock_us() };

	buf_fmt(out, "From: Mail system <postmaster@%s>\r\n", s->hostname);
	put_field(out, "To", to);
	put_field(out, "Subject", subject);
	buf_put(out, SPAN("Date: "));
	date_print(loop_wall(s->loop), out);
	buf_fmt(out, "\r\nMessage-ID: <%llx.%llx@%s>\r\n", (unsigned long long)unique.a,
		(unsigned long long)unique.b, s->hostname);
	/* nobody is to answer it with a machine (RFC 3834) */
	buf_put(out, SPAN("Auto-Submitted: auto-generated\r\nMIME-Version: 1.0\r\n"
			  "Content-Type: text/plain; charset=utf-8\r\n"
			  "Content-Transfer-Encoding: 8bit\r\n\r\n"));
	put_text(out, text);
}

void notices_mail(struct store *s, struct span to, struct span subject, struct span text)
{
	struct op_mail *o = writer_take(s->writer, sizeof(*o));
	struct pile *pile = writer_pile(s->writer);
	size_t most = 2 * (subject.n + text.n) + 4 * ADDRESS_MAX + 1024;
	uint8_t *mem = o ? pile_raw(pile, most) : NULL;
	struct buf out;

	if (!mem || !pile_keep(pile, to, &o->to) ||
	    !pile_keep(pile, span_str(s->hostname), &o->us))
		return;
	buf_init(&out, mem, most);
	print_mail(s, to, subject, text, &out);
	if (out.full)
		return;
	o->op = (struct op){ .on = OP_QUEUE, .run = run_mail, .done = done_mail };
	o->store = s;
	o->body = buf_span(&out);
	writer_put(s->writer, &o->op);
}
