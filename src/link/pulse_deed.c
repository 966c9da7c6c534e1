/*
 * Deeds: records without words. Told by who writes the pulse, read by watch; both must
 * agree on these bytes, so both are here.
 */
#include "link/pulse_inner.h"

#include "base/bug.h"

#define DEED_MAGIC    0x31444548u /* no field begins like this */
#define DEED_OBSERVED 1
#define DEED_BEHIND   2

struct deed_row {
	uint32_t magic;
	int32_t points;
	uint64_t session;
	uint8_t from[16];
	uint16_t count, listener;
	uint8_t event, rule, flags, text_n;
};

struct deed_record {
	struct record_head head;
	struct deed_row row;
	uint8_t text[LOG_TEXT_MAX];
};

union deed_mem {
	struct deed_record is;
	uint64_t words[sizeof(struct deed_record) / WORD];
};

_Static_assert(sizeof(struct deed_row) == 40 && LOG_TEXT_MAX % 8 == 0 &&
		       sizeof(union deed_mem) == sizeof(struct deed_record),
	       "deeds are made of whole words");
_Static_assert(EVENT_COUNT <= UINT8_MAX && RULE_COUNT <= UINT8_MAX &&
		       LOG_TEXT_MAX <= UINT8_MAX,
	       "fit deed_row");

void pulse_deed(struct pulse *p, int64_t wall, const struct pulse_deed *d)
{
	struct span text = span_head(d->text, LOG_TEXT_MAX);
	union deed_mem r;

	BUG_IF(d->event >= EVENT_COUNT || d->rule >= RULE_COUNT);
	if (d->event != EV_NONE)
		pulse_count(p, d->event, d->count);
	if (event_table[d->event].weight <= 0 && d->rule == RULE_NONE)
		return;
	r.is.head =
		(struct record_head){ .kind = LOG_OFFENCE, .has_from = 1, .wall = wall };
	r.is.row = (struct deed_row){
		.magic = DEED_MAGIC,
		.points = d->points,
		.session = d->session,
		.count = d->count,
		.listener = d->listener,
		.event = (uint8_t)d->event,
		.rule = (uint8_t)d->rule,
		.flags = (uint8_t)((d->observed ? DEED_OBSERVED : 0) |
				   (d->behind ? DEED_BEHIND : 0)),
		.text_n = (uint8_t)text.n,
	};
	memcpy(r.is.head.from, d->from.ip, sizeof(d->from.ip));
	memcpy(r.is.row.from, d->from.ip, sizeof(d->from.ip));
	memset(r.is.text, 0, sizeof(r.is.text));
	if (text.n)
		memcpy(r.is.text, text.p, text.n);
	r.is.head.fields = sizeof(r.is.row) + text.n;
	r.is.head.bytes = (uint32_t)(sizeof(r.is.head) +
				     (r.is.head.fields + WORD - 1) / WORD * WORD);
	pulse_publish(p, &r.is.head, r.words);
}

bool pulse_deed_read(struct span fields, struct pulse_deed *out)
{
	struct deed_row row;

	if (fields.n < sizeof(row))
		return false;
	memcpy(&row, fields.p, sizeof(row));
	if (row.magic != DEED_MAGIC || row.event >= EVENT_COUNT ||
	    row.rule >= RULE_COUNT || row.flags > (DEED_OBSERVED | DEED_BEHIND) ||
	    row.text_n > LOG_TEXT_MAX || fields.n != sizeof(row) + row.text_n)
		return false;
	*out = (struct pulse_deed){
		.session = row.session,
		.event = (enum event)row.event,
		.rule = (enum rule)row.rule,
		.observed = row.flags & DEED_OBSERVED,
		.behind = row.flags & DEED_BEHIND,
		.count = row.count,
		.listener = row.listener,
		.points = row.points,
		.text = span_skip(fields, sizeof(row)),
	};
	memcpy(out->from.ip, row.from, sizeof(row.from));
	return true;
}
