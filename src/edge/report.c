#include "base/fields.h"
#include "base/list.h"
#include "edge/inside.h"
#include "guard/code.h"
#include "spec/replies.h"

#define CAPACITY_EVERY MS_SECOND

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

/* Counted; told to watch if it weighs anything or a rule refused. */
static void report_deed(struct conn *c, enum event ev, uint16_t count, enum rule rule,
			const struct session_out *out)
{
	const struct session *s = &c->session;

	pulse_deed(c->edge->pulse, loop_wall(c->edge->loop),
		   &(struct pulse_deed){
			   .session = c->number,
			   .from = s->peer.addr,
			   .event = ev,
			   .rule = rule,
			   .observed = rule != RULE_NONE && out->only_observed,
			   .behind = c->visit.behind,
			   .count = count,
			   .listener = rules_listener(c),
			   .points = c->points,
			   .text = out->refused.text,
		   });
}

/* A sender that is not its own was let pass, because of submission.senders or .from. */
static void report_not_own(struct conn *c, struct span address)
{
	uint8_t mem[768 + LOG_TEXT_MAX];
	struct buf out;

	buf_init(&out, mem, sizeof(mem));
	session_fields(c, &out);
	field_text(&out, "login", session_login(&c->session));
	field_text(&out, "address", span_head(address, LOG_TEXT_MAX));
	send(c, LOG_NOT_OWN, &out);
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

unsigned report_step(struct conn *c, const struct session_out *out)
{
	static const uint16_t nothing[EVENT_COUNT];
	enum rule rule = out->refused_by; /* told once */
	unsigned seen = 0;

	if (out->not_own.n)
		report_not_own(c, out->not_own);
	/* of an honest dialogue, most steps */
	if (rule == RULE_NONE && out->refused.reply == RE_NONE &&
	    memcmp(out->seen, nothing, sizeof(nothing)) == 0)
		return 0;
	for (enum event ev = EV_NONE + 1; ev < EVENT_COUNT; ev++) {
		uint16_t n = out->seen[ev];

		if (!n)
			continue;
		seen |= SEEN_ANY;
		c->seen[ev] = (uint16_t)(c->seen[ev] > UINT16_MAX - n ? UINT16_MAX
								      : c->seen[ev] + n);
		c->points += event_table[ev].weight * n;
		if (event_table[ev].weight > 0) {
			seen |= SEEN_OFFENCE;
			report_deed(c, ev, n, rule, out);
			rule = RULE_NONE;
		} else {
			report_deed(c, ev, n, RULE_NONE, out);
		}
	}
	if (rule != RULE_NONE)
		report_deed(c, EV_NONE, 1, rule, out);
	if (out->refused.reply != RE_NONE)
		report_rejected(c, &out->refused);
	return seen;
}

static void field_login(const struct conn *c, struct buf *out)
{
	struct span login = session_login(&c->session);

	if (login.n)
		field_text(out, "login", login);
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
	field_text(&out, "sender", session_item_address(sender));
	field_text(&out, "to", session_item_address(to));
	field_number(&out, "rcpts", 1 + (int64_t)list_count(list));
	field_login(c, &out);
	send(c, LOG_ACCEPTED, &out);
	pulse_gauge(c->edge->pulse, GAUGE_MESSAGES, 1);
}

static void field_one(struct buf *out, enum event ev, uint16_t count)
{
	if (out->len)
		buf_byte(out, ',');
	buf_put(out, span_str(event_table[ev].word));
	buf_byte(out, ':');
	buf_number(out, count);
}

/* "early-talk:1,bare-lf:3": what was seen that weighs. */
static void field_seen(struct conn *c, struct buf *out)
{
	uint8_t mem[512];
	struct buf seen;

	buf_init(&seen, mem, sizeof(mem));
	for (enum event ev = EV_NONE + 1; ev < EVENT_COUNT; ev++)
		if (c->seen[ev] && event_table[ev].weight > 0)
			field_one(&seen, ev, c->seen[ev]);
	if (seen.len)
		field_text(out, "seen", buf_span(&seen));
}

static void field_seconds(struct buf *out, const char *name, ms_t t)
{
	uint8_t mem[32];
	struct buf text;

	buf_init(&text, mem, sizeof(mem));
	buf_number(&text, (uint64_t)t / 1000);
	buf_byte(&text, '.');
	for (ms_t digit = 100; digit; digit /= 10)
		buf_byte(&text, (uint8_t)('0' + t / digit % 10));
	buf_byte(&text, 's');
	field_text(out, name, buf_span(&text));
}

/* Of who read mail: where, and how much. */
static void field_relayed(const struct conn *c, struct buf *out)
{
	uint64_t up, down;
	struct span server = mailbox_relayed(c, &up, &down);

	if (!server.n)
		return;
	field_text(out, "backend", server);
	field_number(out, "read", (int64_t)down);
}

static enum end end_of(const struct conn *c)
{
	if (c->dismissed != RULE_NONE)
		return c->dismissed == RULE_ROOM ? END_BUSY : END_REFUSED;
	return c->session.end == END_NONE ? END_OURS : c->session.end;
}

void report_end(struct conn *c)
{
	const struct session *s = &c->session;
	enum end end = end_of(c);
	uint8_t mem[1536];
	struct buf out;

	buf_init(&out, mem, sizeof(mem));
	session_fields(c, &out);
	field_text(&out, "end", span_str(end_table[end].word));
	field_seen(c, &out);
	field_number(&out, "points", c->points);
	field_text(&out, "tls", s->in_tls ? span_str(s->tls.version) : SPAN("none"));
	field_text(&out, "helo", span_head(span_of(s->helo, s->helo_n), LOG_TEXT_MAX));
	field_login(c, &out);
	field_number(&out, "verbs", s->commands);
	field_number(&out, "bytes", (int64_t)s->bytes_in);
	field_number(&out, "messages", s->messages);
	field_relayed(c, &out);
	field_seconds(&out, "took", loop_now(c->edge->loop) - s->opened_at);
	send(c, LOG_SESSION, &out);
	pulse_count_end(c->edge->pulse, end);
}

/* ---- refused by the guard ----------------------------------------------------------------- */

static void field_code(struct edge *e, struct buf *out, enum rule rule,
		       const struct addr *a)
{
	char code[CODE_MAX];

	code_make(&e->guard.memory, rule, a, code);
	field_text(out, "rule", span_str(rule_table[rule].word));
	field_text(out, "code", span_str(code));
}

static enum event event_of(enum rule rule)
{
	switch (rule) {
	case RULE_RATE:
		return EV_TOO_FAST;
	case RULE_SESSIONS:
		return EV_TOO_MANY;
	case RULE_ORDER:
	case RULE_DENIED:
		return EV_DENIED;
	case RULE_POINTS:
	case RULE_HISTORY:
	case RULE_PREFIX:
		return EV_CAME_AGAIN;
	default: /* nothing that it did */
		return EV_NONE;
	}
}

/* For the journal: so many refusals since the last record, this one included. */
static void report_refusals(struct edge *e, const struct arrival *a)
{
	const struct guard_verdict *v = &a->verdict;

	pulse_deed(e->pulse, loop_wall(e->loop),
		   &(struct pulse_deed){
			   .from = a->peer.addr,
			   .rule = v->rule,
			   .observed = v->observed,
			   .behind = a->visit.behind,
			   .count = (uint16_t)(v->tries < UINT16_MAX ? v->tries
								     : UINT16_MAX),
			   .listener = (uint16_t)a->listener,
		   });
}

void report_refused(struct edge *e, const struct arrival *a)
{
	const struct guard_verdict *v = &a->verdict;
	const struct conf *conf = e->rules->conf;
	enum event ev = event_of(v->rule);
	uint8_t mem[384];
	struct buf out;

	if (ev != EV_NONE)
		pulse_count(e->pulse, ev, 1);
	if (!v->observed)
		pulse_count_end(e->pulse, v->rule == RULE_ROOM ? END_BUSY : END_REFUSED);
	if (!v->worth_a_line)
		return;
	buf_init(&out, mem, sizeof(mem));
	field_addr(&out, "peer", &a->peer.addr);
	if (a->listener < conf->listener_count)
		field_text(&out, "listener", span_str(conf->listeners[a->listener].name));
	field_code(e, &out, v->rule, &a->peer.addr);
	field_text(&out, "step", span_str(guard_step_word[v->step]));
	field_number(&out, "tries", (int64_t)v->tries);
	pulse_log(e->pulse, v->observed ? LOG_WOULD_REFUSE : LOG_REFUSED,
		  loop_wall(e->loop), &a->peer.addr, buf_span(&out));
	report_refusals(e, a);
}

void report_would(struct conn *c, enum rule rule)
{
	uint32_t bit = UINT32_C(1) << rule;
	const struct session_out out = { .only_observed = true };

	_Static_assert(RULE_COUNT <= 32, "a bit for each rule");
	if (c->would & bit)
		return;
	c->would |= bit;
	report_deed(c, EV_NONE, 1, rule, &out);
}

void report_evicted(struct conn *c)
{
	pulse_count(c->edge->pulse, EV_EVICTED, 1);
	c->seen[EV_EVICTED]++;
}

/* ---- ourselves ------------------------------------------------------------------------------ */

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

/* Once in a while: it may come up at each connection. */
void report_capacity(struct edge *e, const char *key, const char *text)
{
	ms_t now = loop_now(e->loop);

	if (e->capacity_said && now - e->capacity_said < CAPACITY_EVERY)
		return;
	e->capacity_said = now;
	report(e, LOG_CAPACITY, key, text);
}

void report_trouble(struct edge *e, const char *key, const char *text)
{
	report(e, LOG_TROUBLE, key, text);
}
