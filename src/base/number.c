#include "base/number.h"

#include <inttypes.h>

bool number_parse(struct span text, uint64_t max, uint64_t *out)
{
	uint64_t n = 0;

	if (text.n == 0)
		return false;
	for (size_t i = 0; i < text.n; i++) {
		uint8_t digit = (uint8_t)(text.p[i] - '0');

		if (digit > 9 || digit > max || n > (max - digit) / 10)
			return false;
		n = n * 10 + digit;
	}
	*out = n;
	return true;
}

struct unit {
	struct span word;
	int64_t worth;
};

/* Largest first, for printing. The empty word is last, and only sizes may use it. */
static const struct unit sizes[] = {
	{ SPAN_INIT("g"), (int64_t)1 << 30 },
	{ SPAN_INIT("m"), (int64_t)1 << 20 },
	{ SPAN_INIT("k"), (int64_t)1 << 10 },
	{ SPAN_INIT(""), 1 },
};

static const struct unit times[] = {
	{ SPAN_INIT("d"), MS_DAY },    { SPAN_INIT("h"), MS_HOUR },
	{ SPAN_INIT("m"), MS_MINUTE }, { SPAN_INIT("s"), MS_SECOND },
	{ SPAN_INIT("ms"), 1 },
};

static bool parse(struct span text, const struct unit *units, size_t count, int64_t *out)
{
	size_t digits = 0;
	uint64_t n;

	while (digits < text.n && text.p[digits] >= '0' && text.p[digits] <= '9')
		digits++;
	for (size_t i = 0; i < count; i++) {
		const struct unit *u = &units[i];

		if (!span_eq_nocase(span_skip(text, digits), u->word))
			continue;
		if (!number_parse(span_head(text, digits),
				  (uint64_t)(INT64_MAX / u->worth), &n))
			return false;
		*out = (int64_t)n * u->worth;
		return true;
	}
	return false;
}

bool size_parse(struct span text, int64_t *out)
{
	return parse(text, sizes, COUNT_OF(sizes), out);
}

bool duration_parse(struct span text, ms_t *out)
{
	if (span_eq(text, SPAN("0"))) {
		*out = 0;
		return true;
	}
	return parse(text, times, COUNT_OF(times), out);
}

static void print(int64_t n, const struct unit *units, struct buf *out)
{
	while (n % units->worth != 0)
		units++;
	buf_fmt(out, "%" PRId64 "%.*s", n / units->worth, SPAN_ARG(units->word));
}

void size_print(int64_t n, struct buf *out)
{
	if (n == 0)
		buf_byte(out, '0');
	else
		print(n, sizes, out);
}

void duration_print(ms_t t, struct buf *out)
{
	if (t == 0)
		buf_byte(out, '0');
	else
		print(t, times, out);
}
