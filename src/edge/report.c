#include "base/fields.h"
#include "base/list.h"
#include "edge/inside.h"
#include "spec/replies.h"

static void field_id(struct buf *out, const char *name, uint64_t id)
{
	uint8_t mem[ID_PRINTED];
	struct buf text;

	buf_init(&text, mem, sizeof(mem));
	id_print(id, &text);
	field_text(out, name, buf_span(&text));
}

static void field_addr(struct buf *out, const char *name, const struct addr *a)
{
	uint8_t mem[64];
	struct buf text;

	buf_init(&text, mem, sizeof(mem));
	addr_print(a, &text);
	field_text(out, name, buf_span(&text));
}

static void session_fields(struct conn *c, struct buf *out)
{
	field_id(out, "session", c->number);
	field_addr(out, "peer", &c->session.peer.addr);
	field_text(out, "listener", span_str(c->session.listener->name));
}

static void send(struct conn *c, enum record kind, struct buf *fields)
{
	struct edge *e = c->edge;

	pulse_log(e->pulse, kind, loop_wall(e->loop), &c->session.peer.addr,
		  buf_span(fields));
}

static void report_offence(struct conn *c, enum event ev, uint16_t count, struct span text)
{
	uint8_t mem[512 + LOG_TEXT_MAX];
	struct buf out;

	buf_init(&out, mem, sizeof(mem));
	session_fields(c, &out);
	field_text(&out, "event", span_str(event_table[ev].word));
	if (count > 1)
		field_number(&out, "count", count);
	if (text.n)
		field_text(&out, "text", span_head(text, LOG_TEXT_MAX));
	send(c, LOG_OFFENCE, &out);
}

static void report_rejected(struct conn *c, const struct session_refusal *r)
{
	const struct reply_row *row = &reply_table[r->reply];
	uint8_t mem[768 + LOG_TEXT_MAX];
	struct buf out;

	buf_init(&out, mem, sizeof(mem));
	session_fields(c, &out);
	field_number(&out, "reply", row->code);
	field_text(&out, "status", span_str(row->enhanced));
	field_text(&out, "why", span_str(row->text));
	if (r->text.n)
		field_text(&out, "what", span_head(r->text, LOG_TEXT_MAX));
	send(c, LOG_REJECTED, &out);
}

void report_step(struct conn *c, const struct session_out *out)
{
	for (enum event ev = EV_NONE + 1; ev < EVENT_COUNT; ev++) {
		uint16_t n = out->seen[ev];

		if (!n)
			continue;
		pulse_count(c->edge->pulse, ev, n);
		c->seen[ev] = (uint16_t)(c->seen[ev] > UINT16_MAX - n ? UINT16_MAX
								      : c->seen[ev] + n);
		c->points += event_table[ev].weight * n;
		if (event_table[ev].weight > 0)
			report_offence(c, ev, n, out->refused.text);
	}
	if (out->refused.reply != RE_NONE)
		report_rejected(c, &out->refused);
}

void report_accepted(struct conn *c)
{
	struct span list = buf_span(&c->letter.envelope);
	struct span sender = SPAN_NONE, to = SPAN_NONE;
	uint8_t mem[1536];
	struct buf out;

	if (!list_next(&list, &sender) || !list_next(&list, &to))
		return;
	buf_init(&out, mem, sizeof(mem));
	session_fields(c, &out);
	field_id(&out, "id", c->id);
	field_number(&out, "size", (int64_t)c->session.body_size);
	field_text(&out, "from", sender);
	field_text(&out, "to", to);
	field_number(&out, "rcpts", 1 + (int64_t)list_count(list));
	send(c, LOG_ACCEPTED, &out);
	pulse_gauge(c->edge->pulse, GAUGE_MESSAGES, 1);
}

/* "early-talk:1,bare-lf:3": what was seen that weighs. */
static void field_seen(struct conn *c, struct buf *out)
{
	uint8_t mem[512];
	struct buf seen;

	buf_init(&seen, mem, sizeof(mem));
	for (enum event ev = EV_NONE + 1; ev < EVENT_COUNT; ev++)
		if (c->seen[ev] && event_table[ev].weight > 0)
			buf_fmt(&seen, "%s%s:%u", seen.len ? "," : "",
				event_table[ev].word, c->seen[ev]);
	if (seen.len)
		field_text(out, "seen", buf_span(&seen));
}

static void field_seconds(struct buf *out, const char *name, ms_t t)
{
	uint8_t mem[32];
	struct buf text;

	buf_init(&text, mem, sizeof(mem));
	buf_fmt(&text, "%lld.%03llds", (long long)(t / 1000), (long long)(t % 1000));
	field_text(out, name, buf_span(&text));
}

void report_end(struct conn *c)
{
	const struct session *s = &c->session;
	enum end end = s->end == END_NONE ? END_OURS : s->end;
	uint8_t mem[1536];
	struct buf out;

	buf_init(&out, mem, sizeof(mem));
	session_fields(c, &out);
	field_text(&out, "end", span_str(end_table[end].word));
	field_seen(c, &out);
	field_number(&out, "points", c->points);
	field_text(&out, "tls", s->in_tls ? span_str(s->tls.version) : SPAN("none"));
	field_text(&out, "helo", span_head(span_of(s->helo, s->helo_n), LOG_TEXT_MAX));
	field_number(&out, "verbs", s->commands);
	field_number(&out, "bytes", (int64_t)s->bytes_in);
	field_number(&out, "messages", s->messages);
	field_seconds(&out, "took", loop_now(c->edge->loop) - s->opened_at);
	send(c, LOG_SESSION, &out);
	pulse_count_end(c->edge->pulse, end);
}

void report_busy(struct edge *e, const struct addr *from, const char *listener)
{
	uint8_t mem[256];
	struct buf out;

	buf_init(&out, mem, sizeof(mem));
	field_addr(&out, "peer", from);
	field_text(&out, "listener", span_str(listener));
	field_text(&out, "end", span_str(end_table[END_BUSY].word));
	pulse_log(e->pulse, LOG_SESSION, loop_wall(e->loop), from, buf_span(&out));
	pulse_count_end(e->pulse, END_BUSY);
}

static void report(struct edge *e, enum record kind, const char *key, const char *text)
{
	uint8_t mem[768];
	struct buf out;

	buf_init(&out, mem, sizeof(mem));
	field_text(&out, "role", span_str(role_word[ROLE_EDGE]));
	field_number(&out, "number", e->start->number);
	field_text(&out, "key", span_str(key));
	field_text(&out, "text", span_str(text));
	pulse_log(e->pulse, kind, loop_wall(e->loop), NULL, buf_span(&out));
}

void report_capacity(struct edge *e, const char *key, const char *text)
{
	report(e, LOG_CAPACITY, key, text);
}

void report_trouble(struct edge *e, const char *key, const char *text)
{
	report(e, LOG_TROUBLE, key, text);
}
