#include "base/date.h"

#include "base/time.h"

/* civil_from_days() by Howard Hinnant, from 1 March of the year 0. */
void date_of(int64_t days, int *year, int *month, int *day)
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

void date_print(int64_t wall, struct buf *out)
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
