/*
 * queue list, show, stats: read by a thread from a connection of its own. queue retry,
 * hold, release, delete: operations of the writer, in windows, so that mail goes on while
 * a million messages change.
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/id.h"
#include "store/control.h"
#include "store/inner.h"
#include "store/jobs.h"
#include "store/spool.h"

#define LINE_WINDOW   500
#define CHANGE_WINDOW 500
#define TELL_EVERY    (2 * MS_SECOND)
#define HEADER_SHOWN  3000
#define BODY_READ     16384

static void usage(struct store *s, uint32_t ask)
{
	control_done(s, ask, false,
		     "usage: holdfast queue list | show ID | explain ID | shape | stats |"
		     " retry|hold|release|delete ID|all [--dead] |"
		     " retry|hold|release|purge --where CONDITION [--yes] | confirm JOB |"
		     " jobs | undo JOB | orders [drop JOB]");
}

static const char *const to_word[] = {
	[TO_WAITING] = "waiting",
	[TO_DONE] = "delivered",
	[TO_DEAD] = "dead",
	[TO_HELD] = "held",
};

/* ---- show ---- */

/* The header section, or as much of it as fits into a row. */
static struct span header_of(struct span body)
{
	for (size_t i = 0; i + 3 < body.n && i < HEADER_SHOWN; i++)
		if (memcmp(body.p + i, "\r\n\r\n", 4) == 0)
			return span_head(body, i);
	return span_head(body, HEADER_SHOWN);
}

static void show_header(struct stream *t, struct span body)
{
	uint8_t mem[ROW_MAX];
	struct buf row;

	buf_init(&row, mem, sizeof(mem));
	field_text(&row, "header", header_of(body));
	stream_row(t, &row);
}

static void show_spooled(struct stream *t, uint64_t id)
{
	uint8_t mem[HEADER_SHOWN];
	int fd = spool_read(t->store, id);
	ssize_t n = fd >= 0 ? pread(fd, mem, sizeof(mem), 0) : -1;

	if (fd >= 0)
		close(fd);
	if (n > 0)
		show_header(t, span_of(mem, (size_t)n));
}

static void show_row(void *arg, const struct queue_message *m)
{
	struct stream *t = arg;
	uint8_t mem[ROW_MAX];
	struct buf row;

	buf_init(&row, mem, sizeof(mem));
	control_put_id(&row, m->id);
	control_put_state(t, &row, m);
	field_time(&row, "since", m->wall);
	field_number(&row, "size", (int64_t)m->size);
	control_put_peer(&row, &m->peer);
	field_number(&row, "port", m->peer.port);
	field_text(&row, "helo", m->helo);
	if (m->login.n)
		field_text(&row, "login", m->login);
	field_text(&row, "sender", m->sender);
	field_number(&row, "rcpts", m->rcpt_total);
	field_flag(&row, "tls", m->flags & MAIL_TLS);
	field_flag(&row, "file", m->spooled);
	stream_row(t, &row);
	t->count++;
	if (m->spooled)
		show_spooled(t, m->id);
	else
		show_header(t, m->body);
}

static void show_line(void *arg, const struct queue_line *line)
{
	struct stream *t = arg;
	uint8_t mem[ROW_MAX];
	struct buf row;

	buf_init(&row, mem, sizeof(mem));
	field_text(&row, "rcpt", line->to.address);
	if (!span_eq_nocase(line->to.mailbox, line->to.address))
		field_text(&row, "mailbox", line->to.mailbox);
	control_put_hop(&row, line->hop, line->target);
	field_text(&row, "state",
		   span_str(line->state <= TO_HELD ? to_word[line->state] : ""));
	field_number(&row, "tries", line->to.attempts);
	if (line->tried)
		field_time(&row, "tried", line->tried);
	if (line->to.due != MS_NEVER)
		field_time(&row, "next", line->to.due);
	field_text(&row, "answer", line->answer);
	stream_row(t, &row);
}

static void refill_show(struct stream *t, struct queue_reader *r)
{
	struct err err;

	if (t->count == 0)
		t->ok = queue_show(r, t->id, BODY_READ, show_row, t, &err);
	if (t->ok && t->count == 0) {
		t->ok = false;
		snprintf(t->text, sizeof(t->text),
			 "no message of that id is in the queue");
		t->more = false;
		return;
	}
	t->ok = t->ok && queue_show_lines(r, t->id, t->number, LINE_WINDOW, show_line, t,
					  &t->number, &err);
	if (!t->ok)
		stream_failed(t, &err);
	t->more = t->ok && t->number >= 0;
}

static void show(struct store *s, uint32_t ask, struct span rest)
{
	struct stream *t = stream_of_message(s, ask, rest, "show ID");

	if (!t)
		return;
	t->number = -1;
	t->refill = refill_show;
	t->more = true;
	stream_start(t);
}

/* ---- stats ---- */

static void stat_row(void *arg, const struct queue_stat *stat)
{
	struct stream *t = arg;
	uint8_t mem[ROW_MAX];
	struct buf row;

	buf_init(&row, mem, sizeof(mem));
	control_put_hop(&row, stat->hop, stat->target);
	field_text(&row, "state",
		   span_str(stat->state <= TO_HELD ? to_word[stat->state] : ""));
	field_number(&row, "rcpts", stat->recipients);
	field_number(&row, "tried", stat->tried);
	if (stat->next != MS_NEVER)
		field_time(&row, "next", stat->next);
	stream_row(t, &row);
}

static void refill_stats(struct stream *t, struct queue_reader *r)
{
	struct err err;

	t->more = false;
	t->ok = queue_stats(r, stat_row, t, &err);
	if (!t->ok)
		stream_failed(t, &err);
}

static void stats(struct store *s, uint32_t ask, struct span rest)
{
	struct stream *t = stream_new(s, ask);

	(void)rest;
	if (!t)
		return;
	t->refill = refill_stats;
	t->more = true;
	stream_start(t);
}

/* ---- what is held of somebody's mail: for `explain USER` ---- */

static void refill_held(struct stream *t, struct queue_reader *r)
{
	struct span login = span_str(t->work);
	struct queue_held held;
	uint8_t mem[ROW_MAX];
	struct buf row;
	struct err err;

	t->more = false;
	t->ok = queue_held_of(r, login, &held, &err);
	if (!t->ok) {
		stream_failed(t, &err);
		return;
	}
	buf_init(&row, mem, sizeof(mem));
	field_number(&row, "messages", held.messages);
	if (held.messages)
		field_time(&row, "oldest", held.oldest);
	if (held.incident)
		field_number(&row, "incident", held.incident);
	stream_row(t, &row);
}

static void held_of(struct store *s, uint32_t ask, struct span rest)
{
	struct stream *t = stream_new(s, ask);
	struct span login;

	if (!t)
		return;
	t->more = t->ok = list_next(&rest, &login) && login.n <= ADDRESS_MAX;
	t->work = t->ok ? calloc(1, login.n + 1) : NULL;
	t->more = t->ok = t->work != NULL;
	if (t->work)
		memcpy(t->work, login.p, login.n);
	else
		snprintf(t->text, sizeof(t->text), "whose?");
	t->refill = refill_held;
	stream_start(t);
}

/* ---- orders ---- */

static const struct order_word {
	const char *word, *past;
	enum queue_order order;
	enum queue_state all; /* which ones "all" means */
} orders[] = {
	{ "retry", "will be tried now", QUEUE_RETRY, QUEUE_OPEN },
	{ "hold", "held", QUEUE_HOLD, QUEUE_OPEN },
	{ "release", "released", QUEUE_RELEASE, QUEUE_HELD },
	{ "delete", "deleted", QUEUE_DELETE, QUEUE_OPEN },
};

struct op_change {
	struct op op;
	struct store *store;
	uint32_t ask;
	const struct order_word *what;
	uint64_t id; /* of the one; for all: go on after this */
	bool all;
	enum queue_state state; /* of all */
	int64_t wall;
	struct queue_changed changed;
	uint64_t sum;
	ms_t told; /* when the asker last heard of us */
};

static bool run_change(struct op *op, struct tools *t, struct err *err)
{
	struct op_change *o = (struct op_change *)op;

	if (!o->all)
		return queue_change(t->queue, o->what->order, o->id, t->wall, &o->changed,
				    tools_gone, t, err);
	return queue_change_all(t->queue, o->what->order, o->state, o->id, CHANGE_WINDOW,
				t->wall, &o->changed, tools_gone, t, err);
}

static void done_change(struct op *op, struct batch *batch);

static bool put_change(struct store *s, const struct op_change *next)
{
	struct op_change *o = writer_take(s->writer, sizeof(*o));

	if (!o)
		return false;
	*o = *next;
	o->op = (struct op){ .on = OP_QUEUE, .run = run_change, .done = done_change };
	o->changed = (struct queue_changed){ 0 };
	writer_put(s->writer, &o->op);
	return true;
}

static void log_change(struct store *s, const struct op_change *o)
{
	uint8_t mem[256];
	struct buf row;

	buf_init(&row, mem, sizeof(mem));
	field_text(&row, "what", span_str(o->what->word));
	if (o->all)
		field_text(&row, "id", SPAN("all"));
	else
		control_put_id(&row, o->id);
	field_number(&row, "messages", (int64_t)o->sum);
	pulse_log(s->pulse, LOG_QUEUE_CHANGED, loop_wall(s->loop), NULL, buf_span(&row));
}

/* Whoever waits for a million messages hears now and then that we are at it. */
static void tell_progress(struct store *s, struct op_change *o)
{
	uint8_t mem[128];
	struct buf row;

	if (loop_now(s->loop) - o->told < TELL_EVERY)
		return;
	o->told = loop_now(s->loop);
	buf_init(&row, mem, sizeof(mem));
	field_text(&row, "progress", span_str(o->what->past));
	field_number(&row, "messages", (int64_t)o->sum);
	control_row_now(s, o->ask, &row);
}

static void done_change(struct op *op, struct batch *batch)
{
	struct op_change *o = (struct op_change *)op;
	struct store *s = o->store;

	(void)batch;
	if (!op->committed) {
		control_done(s, o->ask, false,
			     "the database failed after %llu messages, see the log",
			     (unsigned long long)o->sum);
		return;
	}
	o->sum += o->changed.count;
	if (o->what->order == QUEUE_DELETE)
		pulse_gauge(s->pulse, GAUGE_QUEUE, -(int64_t)o->changed.count);
	if (o->what->order == QUEUE_RETRY || o->what->order == QUEUE_RELEASE)
		deliver_hurry(s);
	tell_progress(s, o);
	if (o->all && o->changed.last) {
		o->id = o->changed.last;
		if (put_change(s, o))
			return;
	} else if (o->all && o->what->order == QUEUE_DELETE && o->state == QUEUE_OPEN) {
		o->id = 0;
		o->state = QUEUE_HELD;
		if (put_change(s, o))
			return;
	}
	log_change(s, o);
	if (o->sum == 0 && !o->all)
		control_done(s, o->ask, false,
			     "no such message, or not in a state for that");
	else
		control_done(s, o->ask, true, "%llu message%s %s",
			     (unsigned long long)o->sum, o->sum == 1 ? "" : "s",
			     o->what->past);
}

static void change(struct store *s, uint32_t ask, const struct order_word *what,
		   struct span rest)
{
	struct op_change o = {
		.store = s,
		.ask = ask,
		.what = what,
		.state = what->all,
		.told = loop_now(s->loop),
	};
	struct span word, dead = SPAN_NONE;

	if (!list_next(&rest, &word)) {
		usage(s, ask);
		return;
	}
	o.all = span_eq(word, SPAN("all"));
	if (list_next(&rest, &dead) &&
	    (!o.all || !span_eq(dead, SPAN("--dead")) || rest.n)) {
		usage(s, ask);
		return;
	}
	if (dead.n)
		o.state = QUEUE_DEAD;
	if (!o.all && !id_parse(word, &o.id)) {
		control_done(s, ask, false, "\"%.*s\" is not a queue id",
			     SPAN_ARG(span_head(word, 40)));
		return;
	}
	if (!put_change(s, &o))
		control_done(s, ask, false, "out of memory");
}

static const struct {
	const char *word;
	void (*answer)(struct store *s, uint32_t ask, struct span words);
} views[] = {
	{ "list", control_list },	{ "mailq", control_mailq }, { "show", show },
	{ "explain", control_explain }, { "shape", control_shape }, { "stats", stats },
	{ "held-of", held_of },
};

void control_queue(struct store *s, uint32_t ask, struct span words)
{
	struct span word;

	if (!list_next(&words, &word))
		word = SPAN_NONE;
	if (jobs_command(s, ask, word, words))
		return;
	for (size_t i = 0; i < COUNT_OF(orders); i++)
		if (span_eq(word, span_str(orders[i].word))) {
			change(s, ask, &orders[i], words);
			return;
		}
	for (size_t i = 0; i < COUNT_OF(views); i++)
		if (span_eq(word, span_str(views[i].word))) {
			views[i].answer(s, ask, words);
			return;
		}
	usage(s, ask);
}
