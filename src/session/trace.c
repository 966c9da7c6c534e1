#include "session/trace.h"

#include "base/date.h"
#include "base/id.h"

/* With longer names, the field leaves out for whom the message is. */
#define NAMES_MAX 640

void trace_print_date(int64_t wall, struct buf *out)
{
	date_print(wall, out);
}

static void put_name(struct span name, struct buf *out)
{
	for (size_t i = 0; i < name.n; i++) {
		uint8_t c = byte_lower(name.p[i]);
		bool fine = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
			    (c && strchr("-._:[]", c));

		buf_byte(out, fine ? name.p[i] : '?');
	}
	if (name.n == 0)
		buf_put(out, SPAN("unknown"));
}

void trace_print(const struct trace *t, struct buf *out)
{
	buf_fmt(out, "Received: from ");
	put_name(t->helo, out);
	buf_put(out, SPAN(" ("));
	if (t->peer)
		addr_print_literal(t->peer, out);
	else
		buf_put(out, SPAN("local"));
	buf_put(out, SPAN(")\r\n"));
	if (t->tls)
		buf_fmt(out, "\t(using %.15s with cipher %.47s (%u bits))\r\n",
			t->tls->version, t->tls->cipher, t->tls->bits);
	buf_fmt(out, "\tby %.*s with %s id ", SPAN_ARG(t->host), t->with);
	id_print(t->id, out);
	if (t->rcpt.n && t->helo.n + t->host.n + t->rcpt.n < NAMES_MAX)
		buf_fmt(out, "\r\n\tfor <%.*s>", SPAN_ARG(t->rcpt));
	buf_fmt(out, ";\r\n\t");
	trace_print_date(t->wall, out);
	buf_fmt(out, "\r\n");
}
