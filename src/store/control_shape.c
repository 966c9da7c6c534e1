/*
 * queue shape, and the preview of an order: messages of the queue as counts, by one pass of
 * the reader over them, a window at a time. Nothing is kept up to date for it, so mail pays
 * nothing for it; a million messages take about a second.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/tally.h"
#include "store/control.h"
#include "store/inner.h"

/* In one turn with the reader: about 8 ms, and no more pages than its cache holds. */
#define SHAPE_LOOKS 8000
#define SHAPE_ROWS  25
#define SAMPLES	    10
#define LARGEST	    5 /* senders, accounts, destinations of a preview */

enum by { BY_DESTINATION, BY_ACCOUNT, BY_INCIDENT, BY_SENDER, BY_CLIENT, BY_COUNT };

static const char *const by_word[BY_COUNT] = {
	[BY_DESTINATION] = "destination", [BY_ACCOUNT] = "account",
	[BY_INCIDENT] = "incident",	  [BY_SENDER] = "sender",
	[BY_CLIENT] = "client",
};

/* Keys of a tally that are numbers, or bytes of an address, become text at the end. */
struct target_name {
	struct buf *out;
	int64_t id;
	bool found;
};

static struct span key_of(enum by by, const struct queue_message *m, int64_t *number)
{
	switch (by) {
	case BY_ACCOUNT:
		return m->login;
	case BY_SENDER:
		return m->sender;
	case BY_CLIENT:
		return span_of(m->peer.addr.ip, sizeof(m->peer.addr.ip));
	case BY_INCIDENT:
		*number = m->incident;
		break;
	case BY_DESTINATION:
	case BY_COUNT:
		break;
	}
	return span_of(number, sizeof(*number));
}

static void find_target(void *arg, int64_t id, int hop, struct span target)
{
	struct target_name *n = arg;

	if (id != n->id)
		return;
	n->found = true;
	hop_print(hop >= 0 && hop < HOP_COUNT ? (enum hop)hop : HOP_DISCARD, target,
		  n->out);
}

static void print_target(struct queue_reader *r, int64_t id, struct buf *out)
{
	struct target_name n = { .out = out, .id = id };
	struct err err;

	if (!queue_each_target(r, find_target, &n, &err) || !n.found)
		buf_fmt(out, "(%lld)", (long long)id);
}

static void print_key(struct queue_reader *r, enum by by, const struct tally_row *row,
		      struct buf *out)
{
	struct addr addr;
	int64_t number = 0;

	switch (by) {
	case BY_ACCOUNT:
		buf_put(out, row->n ? tally_key(row) : SPAN("(none)"));
		return;
	case BY_SENDER:
		buf_put(out, row->n ? tally_key(row) : SPAN("<>"));
		return;
	case BY_CLIENT:
		memcpy(addr.ip, row->key, sizeof(addr.ip));
		addr_print(&addr, out);
		return;
	case BY_INCIDENT:
	case BY_DESTINATION:
	case BY_COUNT:
		break;
	}
	memcpy(&number, row->key, sizeof(number));
	if (by == BY_DESTINATION)
		print_target(r, number, out);
	else if (number)
		buf_fmt(out, "%lld", (long long)number);
	else
		buf_put(out, SPAN("(none)"));
}

/* ---- shape ---- */

/* As qshape has them: minutes, and what is older. */
static const char *const column_word[TALLY_COLUMNS] = {
	"5m", "10m", "20m", "40m", "80m", "160m", "320m", "640m", "1280m", "older",
};

struct shape {
	enum by by;
	int64_t wall;
	unsigned column; /* of the message that is looked at */
	struct tally tally;
};

static unsigned column_of(int64_t age)
{
	int64_t end = 5 * MS_MINUTE;
	unsigned column = 0;

	for (; column < TALLY_COLUMNS - 1 && age >= end; column++)
		end *= 2;
	return column;
}

static void add_hop(void *arg, int64_t destination)
{
	struct shape *h = arg;

	tally_add(&h->tally, span_of(&destination, sizeof(destination)), h->column, 0);
}

static void add_message(void *arg, const struct queue_message *m, int64_t destination)
{
	struct stream *t = arg;
	struct shape *h = t->work;
	struct err err;

	h->column = column_of(h->wall - m->wall);
	if (h->by != BY_DESTINATION) {
		int64_t number;
		struct span key = key_of(h->by, m, &number);

		tally_add(&h->tally, key, h->column, (int64_t)m->size);
	} else if (m->rcpt_total <= 1) {
		add_hop(h, destination);
	} else if (!queue_look_hops(t->store->reader, m->id, add_hop, h, &err)) {
		stream_failed(t, &err);
	}
}

static void put_shape(struct stream *t, const char *by, struct span key,
		      const struct tally_row *counts)
{
	uint8_t mem[1024];
	struct buf row;

	buf_init(&row, mem, sizeof(mem));
	field_text(&row, by, key);
	field_number(&row, "total", counts->sum);
	for (size_t i = 0; i < TALLY_COLUMNS; i++)
		field_number(&row, column_word[i], counts->column[i]);
	stream_row(t, &row);
}

static void sum_up(struct tally_row *sum, const struct tally_row *one)
{
	sum->sum += one->sum;
	for (size_t i = 0; i < TALLY_COLUMNS; i++)
		sum->column[i] += one->column[i];
}

static void tell_shape(struct stream *t, struct queue_reader *r, struct shape *h)
{
	struct tally_row all = h->tally.others, others = h->tally.others;
	const char *by = by_word[h->by];
	uint8_t mem[TEXT_MAX + 32];
	struct buf key;

	tally_sort(&h->tally);
	for (size_t i = 0; i < h->tally.used; i++) {
		sum_up(&all, &h->tally.row[i]);
		if ((int64_t)i >= t->limit)
			sum_up(&others, &h->tally.row[i]);
	}
	put_shape(t, by, SPAN("TOTAL"), &all);
	for (size_t i = 0; i < h->tally.used && (int64_t)i < t->limit; i++) {
		buf_init(&key, mem, sizeof(mem));
		print_key(r, h->by, &h->tally.row[i], &key);
		put_shape(t, by, buf_span(&key), &h->tally.row[i]);
	}
	if (others.sum)
		put_shape(t, by, SPAN("(others)"), &others);
}

/* False: it failed, or there is more to look at. */
static bool look_on(struct stream *t, struct queue_reader *r,
		    void (*each)(void *arg, const struct queue_message *m,
				 int64_t destination))
{
	struct err err;

	t->look.most = t->look.looks = SHAPE_LOOKS;
	if (!queue_look(r, &t->look, each, t, &err))
		stream_failed(t, &err);
	else
		t->more = t->ok && !t->look.over;
	return t->ok && !t->more;
}

static void refill_shape(struct stream *t, struct queue_reader *r)
{
	if (look_on(t, r, add_message))
		tell_shape(t, r, t->work);
}

/* --by may stand anywhere; the rest is for control_read_options(). */
static bool take_by(struct shape *h, struct span words, struct buf *rest)
{
	struct span word, value;

	while (list_next(&words, &word)) {
		if (!span_eq(word, SPAN("--by"))) {
			list_put(rest, word);
			continue;
		}
		if (!list_next(&words, &value))
			return false;
		for (h->by = 0; h->by < BY_COUNT; h->by++)
			if (span_eq(value, span_str(by_word[h->by])))
				break;
		if (h->by == BY_COUNT)
			return false;
	}
	return !rest->full;
}

void control_shape(struct store *s, uint32_t ask, struct span words)
{
	static const char usage[] = "shape [--by destination|account|incident|sender|client]"
				    " [--where CONDITION] [--limit N]";
	struct stream *t = stream_new(s, ask);
	struct shape *h = t ? calloc(1, sizeof(*h)) : NULL;
	uint8_t mem[CONTROL_LINE_MAX];
	struct buf rest;

	if (!t)
		return;
	t->work = h;
	buf_init(&rest, mem, sizeof(mem));
	t->refill = refill_shape;
	if (!h) {
		snprintf(t->text, sizeof(t->text), "out of memory");
	} else if (!take_by(h, words, &rest)) {
		snprintf(t->text, sizeof(t->text), "usage: holdfast queue %s", usage);
	} else if (control_read_options(t, buf_span(&rest), usage)) {
		tally_init(&h->tally, s->recipients.key);
		h->wall = t->look.wall;
		t->look.without = (h->by == BY_CLIENT ? 0 : LOOK_NO_PEER) |
				  (h->by == BY_ACCOUNT ? 0 : LOOK_NO_LOGIN) |
				  (h->by == BY_SENDER ? 0 : LOOK_NO_SENDER);
		t->limit = t->limit == INT64_MAX ? SHAPE_ROWS : t->limit;
		t->more = true;
	}
	t->ok = t->more;
	stream_start(t);
}

/* ---- preview ---- */

struct sample {
	uint64_t id;
	int64_t wall, size;
	uint8_t n;
	uint8_t sender[TALLY_KEY];
};

struct preview {
	uint32_t job;
	const char *what;
	int64_t messages, bytes, oldest;
	uint64_t dice;
	size_t samples;
	struct sample sample[SAMPLES];
	struct tally senders, accounts, destinations;
};

/* Each message is as likely as any other to be among the samples. */
static struct sample *sample_for(struct preview *p)
{
	uint64_t at;

	if (p->samples < SAMPLES)
		return &p->sample[p->samples++];
	p->dice = p->dice * 6364136223846793005u + 1442695040888963407u;
	at = (p->dice >> 33) % (uint64_t)p->messages;
	return at < SAMPLES ? &p->sample[at] : NULL;
}

static void add_previewed(void *arg, const struct queue_message *m, int64_t destination)
{
	struct stream *t = arg;
	struct preview *p = t->work;
	struct sample *one;

	p->messages++;
	p->bytes += (int64_t)m->size;
	if (p->messages == 1 || m->wall < p->oldest)
		p->oldest = m->wall;
	tally_add(&p->senders, m->sender, 0, (int64_t)m->size);
	tally_add(&p->accounts, m->login, 0, (int64_t)m->size);
	tally_add(&p->destinations, span_of(&destination, sizeof(destination)), 0,
		  (int64_t)m->size);
	one = sample_for(p);
	if (!one)
		return;
	one->id = m->id;
	one->wall = m->wall;
	one->size = (int64_t)m->size;
	one->n = (uint8_t)span_head(m->sender, sizeof(one->sender)).n;
	if (one->n)
		memcpy(one->sender, m->sender.p, one->n);
}

static void tell_largest(struct stream *t, struct queue_reader *r, struct tally *tally,
			 enum by by)
{
	uint8_t mem[1024], text[TEXT_MAX + 32];
	struct buf row, key;

	tally_sort(tally);
	for (size_t i = 0; i < tally->used && i < LARGEST; i++) {
		buf_init(&row, mem, sizeof(mem));
		buf_init(&key, text, sizeof(text));
		print_key(r, by, &tally->row[i], &key);
		field_text(&row, "part", span_str(by_word[by]));
		field_text(&row, by_word[by], buf_span(&key));
		field_number(&row, "messages", tally->row[i].sum);
		field_number(&row, "bytes", tally->row[i].bytes);
		stream_row(t, &row);
	}
}

static void put_rcpt(void *arg, const struct queue_line *line)
{
	field_text(arg, "rcpt", line->to.address);
}

static void tell_samples(struct stream *t, struct queue_reader *r, const struct preview *p)
{
	uint8_t mem[1024];
	struct buf row;
	struct err err;

	for (size_t i = 0; i < p->samples; i++) {
		const struct sample *one = &p->sample[i];

		buf_init(&row, mem, sizeof(mem));
		field_text(&row, "part", SPAN("sample"));
		control_put_id(&row, one->id);
		field_time(&row, "since", one->wall);
		field_number(&row, "size", one->size);
		field_text(&row, "sender", span_of(one->sender, one->n));
		if (!queue_look_to(r, one->id, 1, put_rcpt, &row, &err))
			stream_failed(t, &err);
		stream_row(t, &row);
	}
}

static void refill_preview(struct stream *t, struct queue_reader *r)
{
	struct preview *p = t->work;
	uint8_t mem[512];
	struct buf row;

	if (!look_on(t, r, add_previewed))
		return;
	buf_init(&row, mem, sizeof(mem));
	field_text(&row, "part", SPAN("preview"));
	field_number(&row, "job", p->job);
	field_text(&row, "what", span_str(p->what));
	field_number(&row, "messages", p->messages);
	field_number(&row, "bytes", p->bytes);
	if (p->messages)
		field_time(&row, "oldest", p->oldest);
	stream_row(t, &row);
	tell_largest(t, r, &p->senders, BY_SENDER);
	tell_largest(t, r, &p->accounts, BY_ACCOUNT);
	tell_largest(t, r, &p->destinations, BY_DESTINATION);
	tell_samples(t, r, p);
}

void control_preview(struct stream *t, uint32_t job, const char *what)
{
	struct preview *p = calloc(1, sizeof(*p));

	t->work = p;
	t->refill = refill_preview;
	t->look.without = LOOK_NO_PEER;
	t->more = t->ok = p != NULL;
	if (p) {
		const uint64_t *key = t->store->recipients.key;

		p->job = job;
		p->what = what;
		p->dice = key[0] ^ job;
		tally_init(&p->senders, key);
		tally_init(&p->accounts, key);
		tally_init(&p->destinations, key);
	} else {
		snprintf(t->text, sizeof(t->text), "out of memory");
	}
	stream_start(t);
}
