#include "watch/deed.h"

#include "base/fields.h"
#include "base/id.h"

static void put_session(struct buf *row, uint64_t session)
{
	uint8_t mem[ID_PRINTED];
	struct buf text;

	buf_init(&text, mem, sizeof(mem));
	id_print(session, &text);
	field_text(row, "session", buf_span(&text));
}

static void put_peer(struct buf *row, const struct addr *a)
{
	uint8_t mem[64];
	struct buf text;

	buf_init(&text, mem, sizeof(mem));
	addr_print(a, &text);
	field_text(row, "peer", buf_span(&text));
}

void deed_fields(const struct pulse_deed *d, const struct conf *conf, struct buf *row)
{
	if (d->session)
		put_session(row, d->session);
	put_peer(row, &d->from);
	if (d->listener < conf->listener_count)
		field_text(row, "listener", span_str(conf->listeners[d->listener].name));
	if (d->event != EV_NONE)
		field_text(row, "event", span_str(event_table[d->event].word));
	if (d->count > 1)
		field_number(row, "count", d->count);
	if (d->rule != RULE_NONE)
		field_text(row, "rule", span_str(rule_table[d->rule].word));
	if (d->points)
		field_number(row, "points", d->points);
	if (d->observed)
		field_flag(row, "observed", true);
	if (d->behind)
		field_flag(row, "behind", true);
	if (d->text.n)
		field_text(row, "text", d->text);
}
