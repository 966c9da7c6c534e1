#include "session/trace.h"

#include "base/id.h"

/* With longer names, the field leaves out for whom the message is. */
#define NAMES_MAX 640

/* A day as a date: civil_from_days() by Howard Hinnant, from 1 March of the year 0. */
static void date_of(int64_t days, int *year, int *month, int *day)
{
	int64_t z = days + 719468;
	int64_t era = (z >= 0 ? z : z - 146096) / 146097;
	int64_t doe = z - era * 146097;
	int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
	int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
	int64_t mp = (5 * doy + 2) / 153;

	*day = (int)(doy - (153 * mp + 2) / 5 + 1);
	*month = (int)(mp < 10 ? mp + 3 : mp - 9);
	*year = (int)(yoe + era * 400 + (*month <= 2));
}

void trace_print_date(int64_t wall, struct buf *out)
{
	static const char *const days[] = { "Thu", "Fri", "Sat", "Sun",
					    "Mon", "Tue", "Wed" };
	static const char *const months[] = { "Jan", "Feb", "Mar", "Apr", "May", "Jun",
					      "Jul", "Aug", "Sep", "Oct", "Nov", "Dec" };
	int64_t seconds = wall > 0 ? wall / MS_SECOND : 0;
	int64_t day_number = seconds / 86400;
	int clock = (int)(seconds % 86400);
	int year, month, day;

	date_of(day_number, &year, &month, &day);
	buf_fmt(out, "%s, %d %s %d %02d:%02d:%02d +0000", days[day_number % 7], day,
		months[month - 1], year, clock / 3600, clock / 60 % 60, clock % 60);
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
	buf_fmt(out, " (");
	addr_print_literal(t->peer, out);
	buf_fmt(out, ")\r\n");
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
