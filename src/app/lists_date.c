/*
 * Dates in lists, until which an entry holds.
 */
#include "app/lists_inner.h"
#include "base/number.h"

/* Days since 1970 of a date of the Gregorian calendar. */
static int64_t days_of(int64_t year, int64_t month, int64_t day)
{
	int64_t y = month > 2 ? year : year - 1;
	int64_t day_of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;

	return y * 365 + y / 4 - y / 100 + y / 400 + day_of_year - 719468;
}

static bool two_digits(struct span *left, uint8_t before, uint64_t max, int64_t *out)
{
	uint64_t n;

	if (left->n < 3 || left->p[0] != before ||
	    !number_parse(span_head(span_skip(*left, 1), 2), max, &n))
		return false;
	*out = (int64_t)n;
	*left = span_skip(*left, 3);
	return true;
}

#define DATE_MAX ((int64_t)UINT32_MAX * MS_SECOND) /* what the blob can hold: 2106 */

bool list_date_parse(struct span text, int64_t *out)
{
	struct span left = span_skip(text, 4);
	int64_t month, day, hour = 24, minute = 0, second = 0, wall;
	uint64_t year;

	if (text.n > 1 && text.p[0] == '@') {
		if (!number_parse(span_skip(text, 1), UINT32_MAX, &year))
			return false;
		*out = (int64_t)year * MS_SECOND;
		return true;
	}
	if (!number_parse(span_head(text, 4), 9999, &year) || year < 1970 ||
	    !two_digits(&left, '-', 12, &month) || !two_digits(&left, '-', 31, &day) ||
	    month == 0 || day == 0)
		return false;
	if (left.n && (!two_digits(&left, left.p[0] == ' ' ? ' ' : 'T', 23, &hour) ||
		       !two_digits(&left, ':', 59, &minute)))
		return false;
	if (left.n && left.p[0] == ':' && !two_digits(&left, ':', 59, &second))
		return false;
	if (left.n && !span_eq(left, SPAN("Z")))
		return false;
	wall = days_of((int64_t)year, month, day) * MS_DAY + hour * MS_HOUR +
	       minute * MS_MINUTE + second * MS_SECOND;
	*out = wall < DATE_MAX ? wall : DATE_MAX;
	return true;
}

void list_date_print(int64_t wall, struct buf *out)
{
	int64_t seconds = wall / MS_SECOND % 86400, days = wall / MS_DAY + 719468;
	int64_t era = days / 146097, of_era = days % 146097;
	int64_t year = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
	int64_t of_year = of_era - (365 * year + year / 4 - year / 100);
	int64_t m = (5 * of_year + 2) / 153;
	int64_t month = m < 10 ? m + 3 : m - 9;

	year += era * 400 + (month <= 2);
	buf_fmt(out, "%04lld-%02lld-%02lldT%02lld:%02lld:%02lldZ", (long long)year,
		(long long)month, (long long)(of_year - (153 * m + 2) / 5 + 1),
		(long long)(seconds / 3600), (long long)(seconds / 60 % 60),
		(long long)(seconds % 60));
}
