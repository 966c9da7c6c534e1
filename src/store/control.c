#include "store/control.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/bug.h"
#include "base/id.h"
#include "base/list.h"
#include "store/inner.h"

/*
 * What the administrator asks: words come from watch, rows and an end go back. Rows wait
 * here until watch takes them, and are read in windows, so an answer of a million rows
 * needs no more memory than one of a thousand.
 */

#define STREAM_ROWS ((size_t)256 << 10)

static const struct control_word {
	const char *word;
	void (*carry_out)(struct store *s, uint32_t ask, struct span words);
} words[] = {
	{ "user", control_user },
	{ "alias", control_alias },
	{ "domain", control_domain },
	{ "queue", control_queue },
};

static void sent(struct store *s)
{
	watch_mask(&s->watch_watch,
		   WATCH_READ | (link_waiting(s->watch) ? WATCH_WRITE : 0));
}

void control_done(struct store *s, uint32_t ask, bool ok, const char *fmt, ...)
{
	struct msg_CONTROL_END m = { .ask = ask, .ok = ok };
	char text[512];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	m.text = span_str(text);
	if (!s->watch)
		return;
	msg_CONTROL_END_pack(&m, link_begin(s->watch));
	/* a broken link shows when it is read */
	(void)link_send(s->watch, NULL, 0);
	sent(s);
}

void control_unstored(struct store *s, uint32_t ask, enum trouble why)
{
	control_done(s, ask, false, "not stored: %s",
		     why == TROUBLE_FULL ? "the disk is full"
					 : "the database failed, see the log");
}

void control_row_now(struct store *s, uint32_t ask, const struct buf *row)
{
	struct msg_CONTROL_ROW m = { ask, buf_span(row) };

	if (!s->watch)
		return;
	msg_CONTROL_ROW_pack(&m, link_begin(s->watch));
	(void)link_send(s->watch, NULL, 0);
	sent(s);
}

bool control_asked(struct store *s, const struct frame *f, struct err *err)
{
	struct msg_CONTROL m;
	struct span word;

	if (f->kind != MSG_CONTROL || !msg_CONTROL_unpack(f->bytes, &m))
		return err_set(err, "watch sent what makes no sense");
	if (!list_next(&m.words, &word)) {
		control_done(s, m.ask, false, "no command");
		return true;
	}
	for (size_t i = 0; i < COUNT_OF(words); i++)
		if (span_eq(word, span_str(words[i].word))) {
			words[i].carry_out(s, m.ask, m.words);
			return true;
		}
	control_done(s, m.ask, false, "the store knows no command \"%.*s\"",
		     SPAN_ARG(span_head(word, 40)));
	return true;
}

/* ---- streams ---- */

struct stream *stream_new(struct store *s, uint32_t ask)
{
	struct stream *t = calloc(1, sizeof(*t));
	uint8_t *mem = t ? malloc(STREAM_ROWS) : NULL;

	if (!mem) {
		free(t);
		control_done(s, ask, false, "out of memory");
		return NULL;
	}
	t->store = s;
	t->ask = ask;
	t->ok = true;
	buf_init(&t->rows, mem, STREAM_ROWS);
	return t;
}

struct stream *stream_of_message(struct store *s, uint32_t ask, struct span rest,
				 const char *usage)
{
	struct stream *t;
	struct span word;
	uint64_t id;

	if (!list_next(&rest, &word) || rest.n) {
		control_done(s, ask, false, "usage: holdfast queue %s", usage);
		return NULL;
	}
	if (!id_parse(word, &id)) {
		control_done(s, ask, false, "\"%.*s\" is not a queue id", SPAN_ARG(word));
		return NULL;
	}
	t = stream_new(s, ask);
	if (t)
		t->id = id;
	return t;
}

static void stream_free(struct stream *t)
{
	free(t->rows.mem);
	free(t->work);
	free(t);
}

void stream_row(struct stream *t, const struct buf *row)
{
	if (buf_room(&t->rows) < row->len + 2) {
		size_t cap = t->rows.cap * 2;
		uint8_t *more = realloc(t->rows.mem, cap);

		if (!more)
			return;
		t->rows.mem = more;
		t->rows.cap = cap;
		t->rows.full = false;
	}
	list_put(&t->rows, buf_span(row));
}

void stream_start(struct stream *t)
{
	struct stream **at = &t->store->streams;

	t->left = buf_span(&t->rows);
	while (*at)
		at = &(*at)->next;
	*at = t;
	control_pump(t->store);
}

static void run_refill(void *arg)
{
	struct stream *t = arg;

	buf_reset(&t->rows);
	t->refill(t, t->store->reader);
}

/* The others have their turn before it: nobody waits for who looks through a million. */
static void put_last(struct store *s, struct stream *t)
{
	struct stream **at = &s->streams;

	while (*at != t)
		at = &(*at)->next;
	*at = t->next;
	while (*at)
		at = &(*at)->next;
	t->next = NULL;
	*at = t;
}

static void on_refilled(void *arg)
{
	struct stream *t = arg;

	t->store->reading = false;
	t->left = buf_span(&t->rows);
	put_last(t->store, t);
	control_pump(t->store);
}

void stream_failed(struct stream *t, const struct err *err)
{
	t->ok = false;
	t->more = false;
	snprintf(t->text, sizeof(t->text), "%.*s", (int)sizeof(t->text) - 1, err->text);
}

/* True: all its rows are out, or nobody wants them. */
static bool send_rows(struct store *s, struct stream *t)
{
	struct span row;

	while (s->watch && !link_full(s->watch) && list_next(&t->left, &row)) {
		struct msg_CONTROL_ROW m = { t->ask, row };

		msg_CONTROL_ROW_pack(&m, link_begin(s->watch));
		if (!link_send(s->watch, NULL, 0))
			break;
	}
	if (s->watch)
		sent(s);
	return !s->watch || t->left.n == 0;
}

/* In turn, a window of each; the reader is shared with those who look for orphans. */
void control_pump(struct store *s)
{
	struct stream *t;

	while (!s->reading && (t = s->streams) && send_rows(s, t)) {
		if (t->more && s->watch) {
			s->reading = work_run(s->loop, run_refill, on_refilled, t);
			if (s->reading)
				return;
			t->ok = false;
			snprintf(t->text, sizeof(t->text), "out of memory");
		}
		s->streams = t->next;
		control_done(s, t->ask, t->ok, "%s", t->text);
		stream_free(t);
	}
}

void control_gone(struct store *s)
{
	/* the first may be in the reader's hands; without a link the others end at once */
	control_pump(s);
}
