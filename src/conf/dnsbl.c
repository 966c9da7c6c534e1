#include "conf/dnsbl.h"

#include "base/number.h"
#include "conf/hop.h"

#define LOOPBACK     0x7f000000u /* 127.0.0.0/8 */
#define ZONES_ERRORS 0x7fffff00u /* 127.255.255.0/24: not an answer, a complaint */

static uint32_t number_of(const struct addr *a)
{
	return (uint32_t)a->ip[12] << 24 | (uint32_t)a->ip[13] << 16 |
	       (uint32_t)a->ip[14] << 8 | a->ip[15];
}

static bool range_ok(uint32_t from, uint32_t to)
{
	return from <= to && (from & 0xff000000u) == LOOPBACK && to < ZONES_ERRORS;
}

/* "127.0.0.2", "127.0.0.2-11", "127.0.0.2-127.0.0.11" */
static bool parse_range(struct span text, uint32_t *from, uint32_t *to)
{
	struct span first = span_trim(span_cut(&text, '-')), last = span_trim(text);
	struct addr a;
	uint64_t n;

	if (!addr_parse(first, &a) || !addr_is_v4(&a))
		return false;
	*from = *to = number_of(&a);
	if (last.n == 0)
		return true;
	if (number_parse(last, 255, &n))
		*to = (*from & 0xffffff00u) | (uint32_t)n;
	else if (addr_parse(last, &a) && addr_is_v4(&a))
		*to = number_of(&a);
	else
		return false;
	return true;
}

bool dnsbl_answers_parse(struct span text, struct dnsbl *out, struct err *err)
{
	struct dnsbl d = *out;

	d.answer_count = 0;
	while (text.n) {
		struct span part = span_trim(span_cut(&text, ','));
		uint32_t from, to;

		if (d.answer_count == DNSBL_ANSWERS)
			return err_set(err, "answers: more than %d", DNSBL_ANSWERS);
		if (!parse_range(part, &from, &to))
			return err_set(
				err,
				"answers: \"%.*s\" is none of 127.0.0.2 and 127.0.0.2-11",
				SPAN_ARG(span_head(part, 100)));
		if (!range_ok(from, to))
			return err_set(
				err,
				"answers: \"%.*s\" is not inside of 127.0.0.0 to 127.255.254.255",
				SPAN_ARG(span_head(part, 100)));
		d.answers[d.answer_count].from = from;
		d.answers[d.answer_count++].to = to;
	}
	if (d.answer_count == 0)
		return err_set(err, "answers: none of them counts");
	*out = d;
	return true;
}

static void print(uint32_t n, struct buf *out)
{
	struct addr a = addr_v4((uint8_t)(n >> 24), (uint8_t)(n >> 16), (uint8_t)(n >> 8),
				(uint8_t)n);

	addr_print(&a, out);
}

void dnsbl_answers_print(const struct dnsbl *d, struct buf *out)
{
	for (size_t i = 0; i < d->answer_count; i++) {
		uint32_t from = d->answers[i].from, to = d->answers[i].to;

		buf_put(out, i ? SPAN(", ") : SPAN(""));
		print(from, out);
		if (from == to)
			continue;
		buf_byte(out, '-');
		if ((from ^ to) >> 8)
			print(to, out);
		else
			buf_number(out, to & 0xff);
	}
}

bool dnsbl_ok(const struct dnsbl *d)
{
	size_t n = span_find(span_of(d->zone, sizeof(d->zone)), '\0');
	uint8_t allows;

	memcpy(&allows, &d->allows, 1);
	if (n == sizeof(d->zone) || !host_name_ok(span_of(d->zone, n)) || allows > 1 ||
	    d->weight < 1 || d->weight > DNSBL_WEIGHT_MAX || d->answer_count == 0 ||
	    d->answer_count > DNSBL_ANSWERS)
		return false;
	for (size_t i = 0; i < d->answer_count; i++)
		if (!range_ok(d->answers[i].from, d->answers[i].to))
			return false;
	return true;
}
