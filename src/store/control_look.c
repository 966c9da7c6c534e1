/*
 * queue list, explain and mailq: messages of the queue as rows, read by a thread from a
 * connection of its own, a window at a time.
 */
#include <stdio.h>

#include "base/id.h"
#include "base/number.h"
#include "store/condition.h"
#include "store/control.h"
#include "store/inner.h"

#define LOOK_ROWS   500	  /* given in one turn with the reader */
#define LOOK_LOOKS  20000 /* looked at: about 20 ms */
#define MAILQ_TO    1000  /* recipients of one message */
#define ANSWER_TOLD 200

/* ---- fields ---- */

void control_put_id(struct buf *row, uint64_t id)
{
	uint8_t mem[ID_PRINTED + 1];
	struct buf text;

	buf_init(&text, mem, sizeof(mem));
	id_print(id, &text);
	field_text(row, "id", buf_span(&text));
}

void control_put_peer(struct buf *row, const struct endpoint *peer)
{
	uint8_t mem[64];
	struct buf text;

	buf_init(&text, mem, sizeof(mem));
	addr_print(&peer->addr, &text);
	field_text(row, "client", buf_span(&text));
}

void control_put_state(struct stream *t, struct buf *row, const struct queue_message *m)
{
	static const char *const words[] = {
		[QUEUE_OPEN] = "queued",
		[QUEUE_HELD] = "held",
		[QUEUE_DEAD] = "dead",
		[QUEUE_PURGED] = "purged",
	};
	const char *word = m->state <= QUEUE_PURGED ? words[m->state] : "";
	bool deferred = false;
	struct err err;

	if (m->state == QUEUE_OPEN &&
	    !queue_is_deferred(t->store->reader, m->id, &deferred, &err))
		stream_failed(t, &err);
	field_text(row, "state", span_str(deferred ? "deferred" : word));
}

void control_put_hop(struct buf *row, int hop, struct span target)
{
	uint8_t mem[TEXT_MAX + 16];
	struct buf text;

	buf_init(&text, mem, sizeof(mem));
	hop_print(hop >= 0 && hop < HOP_COUNT ? (enum hop)hop : HOP_DISCARD, target,
		  &text);
	field_text(row, "hop", buf_span(&text));
}

/* ---- options ---- */

static bool add_term(struct buf *text, const char *name, struct span value)
{
	/* a space would begin another term */
	if (span_find(value, ' ') < value.n || span_find(value, '\t') < value.n)
		return false;
	buf_fmt(text, "%s%s=%.*s", text->len ? " " : "", name, SPAN_ARG(value));
	return !text->full;
}

static bool read_limit(struct stream *t, struct span word)
{
	uint64_t n;

	if (!number_parse(word, INT32_MAX, &n))
		return false;
	t->limit = (int64_t)n;
	return true;
}

static bool read_option(struct stream *t, struct buf *text, struct span word,
			struct span value)
{
	static const struct {
		const char *option, *name;
	} terms[] = {
		{ "--state", "state" },
		{ "--sender", "sender" },
		{ "--recipient", "rcpt" },
		{ "--client", "ip" },
	};

	for (size_t i = 0; i < COUNT_OF(terms); i++)
		if (span_eq(word, span_str(terms[i].option)))
			return add_term(text, terms[i].name, value);
	if (span_eq(word, SPAN("--where"))) {
		buf_fmt(text, "%s%.*s", text->len ? " " : "", SPAN_ARG(value));
		return !text->full;
	}
	if (span_eq(word, SPAN("--limit")))
		return read_limit(t, value);
	return span_eq(word, SPAN("--after")) && id_parse(value, &t->look.after);
}

bool control_read_options(struct stream *t, struct span words, const char *usage)
{
	uint8_t mem[WHERE_MAX + 1], ascii_mem[WHERE_MAX + 1];
	struct span word, value;
	struct buf text, ascii;
	struct err err;

	buf_init(&text, mem, sizeof(mem));
	buf_init(&ascii, ascii_mem, sizeof(ascii_mem));
	t->limit = INT64_MAX;
	t->look.wall = loop_wall(t->store->loop);
	while (list_next(&words, &word))
		if (!list_next(&words, &value) || !read_option(t, &text, word, value)) {
			snprintf(t->text, sizeof(t->text), "usage: holdfast queue %s",
				 usage);
			return false;
		}
	if (text.len == 0)
		return true;
	condition_put(buf_span(&text), &ascii);
	t->look.where = &t->where;
	if (ascii.full)
		err_set(&err, "it is longer than %d bytes", WHERE_MAX);
	else if (where_parse(&t->where, buf_span(&ascii), &err))
		return true;
	snprintf(t->text, sizeof(t->text), "--where: %.400s", err.text);
	return false;
}

/* ---- list and mailq ---- */

/* Rows until the limit, or to the end of the queue. */
static void look(struct stream *t, struct queue_reader *r,
		 void (*each)(void *arg, const struct queue_message *m,
			      int64_t destination))
{
	int64_t most = t->limit - t->count < LOOK_ROWS ? t->limit - t->count : LOOK_ROWS;
	struct err err;

	t->more = false;
	if (most <= 0)
		return;
	t->look.most = (size_t)most;
	t->look.looks = LOOK_LOOKS;
	if (!queue_look(r, &t->look, each, t, &err)) {
		stream_failed(t, &err);
		return;
	}
	t->more = !t->look.over && t->count < t->limit;
}

static void begin(struct store *s, uint32_t ask, struct span words, const char *usage,
		  void (*refill)(struct stream *t, struct queue_reader *r))
{
	struct stream *t = stream_new(s, ask);

	if (!t)
		return;
	t->refill = refill;
	t->more = t->ok = control_read_options(t, words, usage);
	stream_start(t);
}

static void list_line(void *arg, const struct queue_line *line)
{
	struct buf *row = arg;

	field_text(row, "rcpt", line->to.address);
	field_number(row, "tries", line->to.attempts);
	if (line->to.due != MS_NEVER)
		field_time(row, "next", line->to.due);
	field_text(row, "answer", span_head(line->answer, ANSWER_TOLD));
}

static void list_row(void *arg, const struct queue_message *m, int64_t destination)
{
	struct stream *t = arg;
	struct queue_reader *r = t->store->reader;
	uint8_t mem[ROW_MAX];
	struct buf row;
	struct err err;

	(void)destination;
	buf_init(&row, mem, sizeof(mem));
	control_put_id(&row, m->id);
	control_put_state(t, &row, m);
	field_time(&row, "since", m->wall);
	field_number(&row, "size", (int64_t)m->size);
	control_put_peer(&row, &m->peer);
	if (m->login.n)
		field_text(&row, "login", m->login);
	field_text(&row, "sender", m->sender);
	field_number(&row, "rcpts", m->rcpt_total);
	if (m->incident)
		field_number(&row, "incident", m->incident);
	if (!queue_look_to(r, m->id, 1, list_line, &row, &err))
		stream_failed(t, &err);
	stream_row(t, &row);
	t->count++;
}

static void refill_list(struct stream *t, struct queue_reader *r)
{
	look(t, r, list_row);
}

void control_list(struct store *s, uint32_t ask, struct span words)
{
	begin(s, ask, words,
	      "list [--where CONDITION] [--state queued|deferred|held|dead|purged] [--limit N]"
	      " [--after ID] [--sender PATTERN] [--recipient PATTERN] [--client ADDRESS]",
	      refill_list);
}

struct mailq {
	struct stream *t;
	const struct queue_message *m;
	bool active;
	size_t count;
};

static void is_active(void *arg, const struct queue_line *line)
{
	struct mailq *q = arg;

	q->active |= line->state == TO_WAITING && line->to.due == MS_NEVER;
}

static void mailq_line(void *arg, const struct queue_line *line)
{
	struct mailq *q = arg;
	const struct queue_message *m = q->m;
	uint8_t mem[ROW_MAX];
	struct buf row;

	buf_init(&row, mem, sizeof(mem));
	control_put_id(&row, m->id);
	if (q->count++ == 0) {
		field_text(&row, "mark",
			   m->state == QUEUE_HELD ? SPAN("!")
			   : q->active		  ? SPAN("*")
						  : SPAN(""));
		field_number(&row, "size", (int64_t)m->size);
		field_time(&row, "since", m->wall);
		field_text(&row, "sender", m->sender);
	}
	field_text(&row, "rcpt", line->to.address);
	field_text(&row, "answer", span_head(line->answer, ANSWER_TOLD));
	stream_row(q->t, &row);
}

static void mailq_message(void *arg, const struct queue_message *m, int64_t destination)
{
	struct stream *t = arg;
	struct mailq q = { .t = t, .m = m };
	struct err err;

	(void)destination;
	if (!queue_look_to(t->store->reader, m->id, MAILQ_TO, is_active, &q, &err) ||
	    !queue_look_to(t->store->reader, m->id, MAILQ_TO, mailq_line, &q, &err))
		stream_failed(t, &err);
	t->count++;
}

static void refill_mailq(struct stream *t, struct queue_reader *r)
{
	look(t, r, mailq_message);
}

void control_mailq(struct store *s, uint32_t ask, struct span words)
{
	begin(s, ask, words, "mailq [--where CONDITION] [--after ID] [--limit N]",
	      refill_mailq);
}

/* ---- explain ---- */

struct story {
	struct stream *t;
	struct buf *row;
	uint32_t incident;
	size_t waiting, held, dead, done;
	uint32_t tries;
	int64_t next;
};

static void tell_job(void *arg, const struct queue_job *j)
{
	static const char *const kinds[JOB_KINDS] = {
		[JOB_HOLD] = "hold",   [JOB_RELEASE] = "release", [JOB_PURGE] = "purge",
		[JOB_RETRY] = "retry", [JOB_BRAKE] = "brake",
	};
	struct story *y = arg;

	if (j->number != y->incident)
		return;
	field_text(y->row, "incident-is",
		   span_str(j->kind < JOB_KINDS ? kinds[j->kind] : ""));
	field_text(y->row, "incident-where", j->condition);
	field_time(y->row, "incident-since", j->made);
	if (j->why.n)
		field_text(y->row, "incident-why", j->why);
}

static void add_up(void *arg, const struct queue_line *line)
{
	struct story *y = arg;

	y->waiting += line->state == TO_WAITING;
	y->held += line->state == TO_HELD;
	y->dead += line->state == TO_DEAD;
	y->done += line->state == TO_DONE;
	if (line->to.attempts > y->tries)
		y->tries = line->to.attempts;
	if (line->to.due < y->next)
		y->next = line->to.due;
}

/* One sentence. */
static void put_why(struct buf *row, const struct queue_message *m, const struct story *y)
{
	uint8_t mem[200];
	struct buf why;

	buf_init(&why, mem, sizeof(mem));
	switch (m->state) {
	case QUEUE_HELD:
		if (m->incident)
			buf_fmt(&why, "It is held by incident %u.", m->incident);
		else
			buf_put(&why, SPAN("The administrator holds it."));
		break;
	case QUEUE_DEAD:
		buf_fmt(&why, "It failed for good for %zu of its recipients.", y->dead);
		break;
	case QUEUE_PURGED:
		buf_put(&why, SPAN("An order purged it; it is kept for a day."));
		break;
	case QUEUE_OPEN:
	case QUEUE_GONE:
		if (y->next == MS_NEVER)
			buf_put(&why, SPAN("It is being delivered now."));
		else if (y->tries)
			buf_fmt(&why, "It was tried %u time%s and is tried again.",
				y->tries, y->tries == 1 ? "" : "s");
		else
			buf_put(&why, SPAN("It waits for its first try."));
		break;
	}
	field_text(row, "why", buf_span(&why));
}

static void explain_message(void *arg, const struct queue_message *m)
{
	struct story *y = arg;
	struct stream *t = y->t;
	struct queue_reader *r = t->store->reader;
	int64_t last = -1;
	struct err err;

	y->incident = m->incident;
	do {
		if (!queue_show_lines(r, m->id, last, LOOK_ROWS, add_up, y, &last, &err)) {
			stream_failed(t, &err);
			return;
		}
	} while (last >= 0);
	control_put_id(y->row, m->id);
	control_put_state(t, y->row, m);
	put_why(y->row, m, y);
	field_time(y->row, "since", m->wall);
	control_put_peer(y->row, &m->peer);
	if (m->login.n)
		field_text(y->row, "account", m->login);
	field_text(y->row, "sender", m->sender);
	field_flag(y->row, "tls", m->flags & MAIL_TLS);
	if (y->next != MS_NEVER)
		field_time(y->row, "next", y->next);
	if (m->incident) {
		field_number(y->row, "incident", m->incident);
		if (!queue_each_job(r, m->incident + 1, false, 1, tell_job, y, &err))
			stream_failed(t, &err);
	}
	field_number(y->row, "waiting", (int64_t)y->waiting);
	field_number(y->row, "held", (int64_t)y->held);
	field_number(y->row, "dead", (int64_t)y->dead);
	field_number(y->row, "delivered", (int64_t)y->done);
	t->count++;
}

static void explain_line(void *arg, const struct queue_line *line)
{
	struct stream *t = arg;
	uint8_t mem[ROW_MAX];
	struct buf row;

	if (line->state == TO_DONE)
		return;
	buf_init(&row, mem, sizeof(mem));
	field_text(&row, "rcpt", line->to.address);
	control_put_hop(&row, line->hop, line->target);
	field_number(&row, "tries", line->to.attempts);
	if (line->tried)
		field_time(&row, "tried", line->tried);
	if (line->to.due != MS_NEVER)
		field_time(&row, "next", line->to.due);
	if (line->answer.n)
		field_text(&row, "answer", line->answer);
	stream_row(t, &row);
}

static void refill_explain(struct stream *t, struct queue_reader *r)
{
	uint8_t mem[ROW_MAX];
	struct buf row;
	struct story y = { .t = t, .row = &row, .next = MS_NEVER };
	struct err err;

	buf_init(&row, mem, sizeof(mem));
	t->more = false;
	if (!queue_show(r, t->id, 0, explain_message, &y, &err)) {
		stream_failed(t, &err);
		return;
	}
	if (t->count == 0) {
		t->ok = false;
		snprintf(t->text, sizeof(t->text),
			 "no message of that id is in the queue");
		return;
	}
	stream_row(t, &row);
	/* the first of many recipients tell enough */
	if (t->ok &&
	    !queue_show_lines(r, t->id, -1, 100, explain_line, t, &t->number, &err))
		stream_failed(t, &err);
}

void control_explain(struct store *s, uint32_t ask, struct span words)
{
	struct stream *t = stream_of_message(s, ask, words, "explain ID");

	if (!t)
		return;
	t->refill = refill_explain;
	t->more = true;
	stream_start(t);
}
