#include "store/notices.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/date.h"
#include "db/queue_route.h"
#include "store/inner.h"
#include "store/route.h"
#include "store/spool.h"
#include "wire/address.h"

#define MAKER \
	15 /* whose ids ours are; with 16 edges one more has them: they are tried out */
#define ID_TRIES     1000
#define HELD_TIMES   10 /* of the budget; above that none are made */
#define NOTICE_MOST  ((size_t)BODY_INLINE_MAX)
#define ABOUT_TEXTS  2048
#define DELAYS_ONCE  1000
#define DELAYED_MOST 100 /* recipients that one notice names */

/* ---- who is told ------------------------------------------------------------------------- */

static bool notify_word(struct span word, unsigned *words)
{
	static const struct {
		struct span word;
		unsigned bit;
	} known[] = {
		{ SPAN_INIT("NEVER"), NOTIFY_NEVER },
		{ SPAN_INIT("SUCCESS"), NOTIFY_SUCCESS },
		{ SPAN_INIT("FAILURE"), NOTIFY_FAILURE },
		{ SPAN_INIT("DELAY"), NOTIFY_DELAY },
	};

	for (size_t i = 0; i < COUNT_OF(known); i++)
		if (span_eq_nocase(word, known[i].word)) {
			*words |= known[i].bit;
			return true;
		}
	return false;
}

static bool is_printable(struct span text)
{
	for (size_t i = 0; i < text.n; i++)
		if (text.p[i] <= ' ' || text.p[i] >= 0x7f)
			return false;
	return true;
}

static bool notify_param(struct span param, struct notify *out)
{
	struct span value = param;
	struct span name = span_cut(&value, '=');

	if (!is_printable(param) || value.n == 0)
		return false;
	if (span_eq_nocase(name, SPAN("ORCPT"))) {
		out->orcpt = value;
		return value.n <= ORCPT_MAX;
	}
	if (!span_eq_nocase(name, SPAN("NOTIFY")))
		return false;
	while (value.n)
		if (!notify_word(span_cut(&value, ','), &out->words))
			return false;
	return out->words == NOTIFY_NEVER || !(out->words & NOTIFY_NEVER);
}

bool notify_parse(struct span params, struct notify *out)
{
	struct notify n = { 0 };

	while (params.n)
		if (!notify_param(span_cut(&params, ' '), &n))
			return false;
	*out = n;
	return true;
}

bool notices_owed(uint32_t flags, struct span sender, struct span params,
		  enum dsn_action action)
{
	struct notify n = { 0 };

	if (sender.n == 0 || (flags & MAIL_OURS) || !(flags & (MAIL_AUTH | MAIL_LOCAL)) ||
	    !notify_parse(params, &n))
		return false;
	switch (action) {
	case DSN_FAILED:
		return n.words == 0 || (n.words & NOTIFY_FAILURE);
	case DSN_DELAYED:
		return n.words == 0 || (n.words & NOTIFY_DELAY);
	case DSN_DELIVERED:
	case DSN_RELAYED:
	case DSN_EXPANDED:
		return n.words & NOTIFY_SUCCESS;
	case DSN_ACTIONS:
		break;
	}
	return false;
}

/* ---- the budget ---------------------------------------------------------------------------- */

void notices_open(struct notices *n, struct store *s, const uint64_t key[2])
{
	*n = (struct notices){ .store = s, .key = { key[0], key[1] } };
	id_maker_init(&n->ids, MAKER);
}

void notices_limit(struct notices *n, int64_t most)
{
	__atomic_store_n(&n->most, most, __ATOMIC_RELAXED);
}

enum budget_says { BUDGET_FINE, BUDGET_HOLD, BUDGET_NONE };

/* What is left of the hour before counts for its part. */
static enum budget_says spend(struct notices *n, int64_t wall)
{
	int64_t most = __atomic_load_n(&n->most, __ATOMIC_RELAXED), sum;

	if (wall < n->since || wall - n->since >= 2 * MS_HOUR) {
		n->before = n->now = 0;
		n->since = wall;
	} else if (wall - n->since >= MS_HOUR) {
		n->before = n->now;
		n->now = 0;
		n->since += MS_HOUR;
	}
	sum = n->now + n->before * (MS_HOUR - (wall - n->since)) / MS_HOUR;
	if (sum >= most * HELD_TIMES)
		return BUDGET_NONE;
	n->now++;
	return sum < most ? BUDGET_FINE : BUDGET_HOLD;
}

/* ---- putting one into the queue --------------------------------------------------------------- */

/* Any id that is free: edges make theirs without asking. */
static bool put_with_id(struct notices *n, struct tools *t, struct queue_message *m,
			struct queue_to *to, struct err *err)
{
	enum queue_put put = QUEUE_TAKEN;

	for (int i = 0; i < ID_TRIES && (put == QUEUE_TAKEN || put == QUEUE_SAME); i++) {
		m->id = id_next(&n->ids, t->wall);
		m->nonce = m->id ^ n->key[0];
		if (!queue_put(t->queue, m, to, 1, &put, err))
			return false;
	}
	return (put != QUEUE_TAKEN && put != QUEUE_SAME) ||
	       err_set(err, "no id is free for a notice");
}

static bool put_notice(struct notices *n, struct tools *t, struct queue_message *m,
		       struct span address, struct err *err)
{
	uint8_t mem[ADDRESS_MAX];
	struct queue_to to = {
		.address = address,
		.mailbox = recipients_lower(address, mem),
		.due = t->wall,
	};

	m->flags |= MAIL_OURS;
	m->wall = t->wall;
	m->size = m->body.n;
	m->rcpt_total = 1;
	return put_with_id(n, t, m, &to, err);
}

/* ---- notices about deliveries --------------------------------------------------------------------- */

struct report {
	struct notices *n;
	struct tools *t;
	const struct notice_want *want;
	struct queue_message m; /* it is about */
	uint8_t texts[ABOUT_TEXTS];
	struct dsn_rcpt *rcpts;
	size_t count;
	const struct notice_item *item; /* that is being read */
	struct span message;
	bool whole;
	bool failed; /* out of memory */
};

static void on_fate(void *arg, const struct queue_fate *f)
{
	struct report *r = arg;
	struct pile *pile = r->t->pile;
	struct dsn_rcpt *to = &r->rcpts[r->count];
	struct notify n;

	if (!notices_owed(r->m.flags, r->m.sender, f->notify, r->want->action) ||
	    !notify_parse(f->notify, &n))
		return;
	*to = (struct dsn_rcpt){
		.host = r->want->host,
		.tried = r->item->answer.n ? r->t->wall : f->tried,
		.until = r->want->lifetime ? r->m.wall + r->want->lifetime : 0,
	};
	r->failed |= !pile_keep(pile, f->origin.n ? f->origin : f->address, &to->address) ||
		     !pile_keep(pile, n.orcpt, &to->orcpt) ||
		     !pile_keep(pile, r->item->answer.n ? r->item->answer : f->answer,
				&to->answer);
	r->count++;
}

static bool read_fates(struct report *r, struct err *err)
{
	r->rcpts = pile_take(r->t->pile, r->want->count * sizeof(*r->rcpts));
	if (!r->rcpts)
		return err_set(err, "out of memory");
	for (size_t i = 0; i < r->want->count; i++) {
		r->item = &r->want->items[i];
		if (!queue_fate(r->t->queue, r->want->id, r->item->number, on_fate, r, err))
			return false;
	}
	return !r->failed || err_set(err, "out of memory");
}

static void on_body(void *arg, struct span body)
{
	struct report *r = arg;

	r->whole = body.n <= DSN_RETURN_MAX;
	r->failed |= !pile_keep(r->t->pile, span_head(body, DSN_RETURN_MAX), &r->message);
}

/* A file that cannot be read is a notice without the message, not a failure. */
static void read_spool(struct report *r)
{
	uint8_t *mem = pile_raw(r->t->pile, DSN_RETURN_MAX);
	int fd = mem ? spool_read(r->n->store, r->m.id) : -1;
	size_t n = 0;
	ssize_t got;

	while (fd >= 0 && n < DSN_RETURN_MAX &&
	       (got = read(fd, mem + n, DSN_RETURN_MAX - n)) > 0)
		n += (size_t)got;
	if (fd >= 0)
		close(fd);
	r->message = span_of(mem, n);
	r->whole = n == r->m.size;
}

static bool read_message(struct report *r, struct err *err)
{
	if (r->m.spooled) {
		read_spool(r);
		return true;
	}
	return queue_with_body(r->t->queue, r->want->id, on_body, r, err) &&
	       (!r->failed || err_set(err, "out of memory"));
}

static bool note_made(struct report *r, const struct queue_message *m, size_t told,
		      bool held, struct noticed **made, struct err *err)
{
	struct noticed *one = pile_take(r->t->pile, sizeof(*one));

	if (!one || !pile_keep(r->t->pile, r->m.sender, &one->to))
		return err_set(err, "out of memory");
	one->next = *made;
	one->id = m->id;
	one->about = r->want->id;
	one->action = r->want->action;
	one->recipients = told;
	one->held = held;
	one->first_over = held && !r->n->over;
	r->n->over = held;
	*made = one;
	return true;
}

/* One notice for as many recipients as fit into it. *told: so many; 0: none was made. */
static bool write_one(struct report *r, size_t from, size_t *told, struct noticed **made,
		      struct err *err)
{
	uint8_t *mem = pile_raw(r->t->pile, NOTICE_MOST);
	struct queue_message m = { .helo = r->want->us };
	struct dsn_needs needs = { 0 };
	struct dsn d = {
		.action = r->want->action,
		.host = r->want->us,
		.to = r->m.sender,
		.envid = r->m.envid,
		.id = id_peek(&r->n->ids, r->t->wall),
		.about = r->want->id,
		.arrived = r->m.wall,
		.wall = r->t->wall,
		.utf8 = r->m.flags & MAIL_UTF8,
		.message = r->message,
		.whole = r->whole,
		/* what was delivered need not come back (RFC 3461, 4.3) */
		.full = r->want->action == DSN_FAILED && !(r->m.flags & MAIL_RET_HDRS),
	};
	enum budget_says says;
	struct buf out;

	*told = 0;
	if (!mem)
		return err_set(err, "out of memory");
	says = spend(r->n, r->t->wall);
	if (says == BUDGET_NONE)
		return true;
	d.secret[0] = r->n->key[0];
	d.secret[1] = r->n->key[1] ^ d.id;
	buf_init(&out, mem, NOTICE_MOST);
	*told = dsn_print(&d, r->rcpts + from, r->count - from, &out, &needs);
	if (*told == 0)
		return true;
	m.body = buf_span(&out);
	m.flags = (needs.eight_bit ? MAIL_8BIT : 0) | (needs.utf8 ? MAIL_UTF8 : 0);
	m.state = says == BUDGET_HOLD ? QUEUE_HELD : QUEUE_OPEN;
	return put_notice(r->n, r->t, &m, r->m.sender, err) &&
	       note_made(r, &m, *told, says == BUDGET_HOLD, made, err);
}

bool notices_tell(struct notices *n, struct tools *t, const struct notice_want *want,
		  struct noticed **made, struct err *err)
{
	struct report *r = pile_take(t->pile, sizeof(*r));
	size_t told = 1;
	bool found;

	if (!r)
		return err_set(err, "out of memory");
	*r = (struct report){ .n = n, .t = t, .want = want };
	if (!queue_about(t->queue, want->id, &r->m, r->texts, sizeof(r->texts), &found,
			 err))
		return false;
	/* before anything else is read: most messages come from strangers */
	if (!found || !(r->m.flags & (MAIL_AUTH | MAIL_LOCAL)))
		return true;
	if (!read_fates(r, err) || (r->count && !read_message(r, err)))
		return false;
	for (size_t at = 0; at < r->count && told > 0; at += told)
		if (!write_one(r, at, &told, made, err))
			return false;
	return true;
}

/* ---- in the loop --------------------------------------------------------------------------------------- */

static const char *const action_word[DSN_ACTIONS] = {
	[DSN_FAILED] = "failed",       [DSN_DELAYED] = "delayed",
	[DSN_DELIVERED] = "delivered", [DSN_RELAYED] = "relayed",
	[DSN_EXPANDED] = "expanded",
};

static void log_made(struct store *s, const struct noticed *m)
{
	uint8_t mem[1024], id[ID_PRINTED + 1];
	struct buf row, text;

	buf_init(&row, mem, sizeof(mem));
	buf_init(&text, id, sizeof(id));
	id_print(m->id, &text);
	field_text(&row, "id", buf_span(&text));
	buf_reset(&text);
	id_print(m->about, &text);
	field_text(&row, "about", buf_span(&text));
	field_text(&row, "to", m->to);
	field_text(&row, "action", span_str(action_word[m->action]));
	field_number(&row, "rcpts", (int64_t)m->recipients);
	field_flag(&row, "held", m->held);
	field_text(&row, "key", m->to);
	pulse_log(s->pulse, LOG_BOUNCED, loop_wall(s->loop), NULL, buf_span(&row));
}

void notices_made(struct store *s, const struct noticed *made)
{
	bool any = made != NULL;

	for (; made; made = made->next) {
		log_made(s, made);
		pulse_gauge(s->pulse, GAUGE_QUEUE, 1);
		if (made->first_over)
			trouble_log(s, "bounces",
				    "more notices about deliveries than "
				    "queue.bounces-per-hour: they are held for the "
				    "administrator");
	}
	if (any)
		route_soon(s);
}

/* ---- messages of our own ------------------------------------------------------------- */

struct op_mail {
	struct op op;
	struct store *store;
	struct span us, to, body;
	bool dropped;
};

static bool run_mail(struct op *op, struct tools *t, struct err *err)
{
	struct op_mail *o = (struct op_mail *)op;
	struct notices *n = &o->store->notices;
	struct queue_message m = {
		.flags = MAIL_8BIT,
		.helo = o->us,
		.body = o->body,
	};

	o->dropped = spend(n, t->wall) != BUDGET_FINE;
	return o->dropped || put_notice(n, t, &m, o->to, err);
}

static void done_mail(struct op *op, struct batch *batch)
{
	struct op_mail *o = (struct op_mail *)op;

	(void)batch;
	if (!op->committed || o->dropped) {
		trouble_log(o->store, "notice", "a notice to %.*s could not be sent%s",
			    SPAN_ARG(o->to),
			    o->dropped ? ": queue.bounces-per-hour is used up" : "");
		return;
	}
	pulse_gauge(o->store->pulse, GAUGE_QUEUE, 1);
	route_soon(o->store);
}

/* Nothing in it may end the field. */
static void put_field(struct buf *out, const char *name, struct span value)
{
	buf_fmt(out, "%s: ", name);
	for (size_t i = 0; i < value.n; i++)
		buf_byte(out, value.p[i] < ' ' || value.p[i] == 0x7f ? ' ' : value.p[i]);
	buf_put(out, SPAN("\r\n"));
}

/* Lines end as they must, whatever they ended with. */
static void put_text(struct buf *out, struct span text)
{
	while (text.n) {
		struct span line = span_cut(&text, '\n');

		if (line.n && line.p[line.n - 1] == '\r')
			line = span_head(line, line.n - 1);
		for (size_t i = 0; i < line.n; i++)
			buf_byte(out,
				 line.p[i] < ' ' && line.p[i] != '\t' ? '?' : line.p[i]);
		buf_put(out, SPAN("\r\n"));
	}
}

static void print_mail(const struct store *s, struct span to, struct span subject,
		       struct span text, struct buf *out)
{
	struct timed {
		uint64_t a, b;
	} unique = { (uint64_t)loop_wall(s->loop), loop_clock_us() };

	buf_fmt(out, "From: Mail system <postmaster@%s>\r\n", s->hostname);
	put_field(out, "To", to);
	put_field(out, "Subject", subject);
	buf_put(out, SPAN("Date: "));
	date_print(loop_wall(s->loop), out);
	buf_fmt(out, "\r\nMessage-ID: <%llx.%llx@%s>\r\n", (unsigned long long)unique.a,
		(unsigned long long)unique.b, s->hostname);
	/* nobody is to answer it with a machine (RFC 3834) */
	buf_put(out, SPAN("Auto-Submitted: auto-generated\r\nMIME-Version: 1.0\r\n"
			  "Content-Type: text/plain; charset=utf-8\r\n"
			  "Content-Transfer-Encoding: 8bit\r\n\r\n"));
	put_text(out, text);
}

void notices_mail(struct store *s, struct span to, struct span subject, struct span text)
{
	struct op_mail *o = writer_take(s->writer, sizeof(*o));
	struct pile *pile = writer_pile(s->writer);
	size_t most = 2 * (subject.n + text.n) + 4 * ADDRESS_MAX + 1024;
	uint8_t *mem = o ? pile_raw(pile, most) : NULL;
	struct buf out;

	if (!mem || !pile_keep(pile, to, &o->to) ||
	    !pile_keep(pile, span_str(s->hostname), &o->us))
		return;
	buf_init(&out, mem, most);
	print_mail(s, to, subject, text, &out);
	if (out.full)
		return;
	o->op = (struct op){ .on = OP_QUEUE, .run = run_mail, .done = done_mail };
	o->store = s;
	o->body = buf_span(&out);
	writer_put(s->writer, &o->op);
}

/* ---- delays ------------------------------------------------------------------------------ */

struct op_delays {
	struct op op;
	struct store *store;
	struct span us;
	ms_t lifetime;
	uint64_t after, before;
	struct noticed *made;
};

static bool tell_delay(struct op_delays *o, struct tools *t, uint64_t id, struct err *err)
{
	struct notice_item items[DELAYED_MOST] = { 0 };
	uint32_t numbers[DELAYED_MOST];
	struct notice_want want = {
		.id = id,
		.action = DSN_DELAYED,
		.us = o->us,
		.lifetime = o->lifetime,
		.items = items,
	};

	if (!queue_waits(t->queue, id, true, numbers, DELAYED_MOST, &want.count, err))
		return false;
	for (size_t i = 0; i < want.count; i++)
		items[i].number = numbers[i];
	return notices_tell(&o->store->notices, t, &want, &o->made, err) &&
	       queue_set_flag(t->queue, id, MAIL_TOLD, err);
}

static bool run_delays(struct op *op, struct tools *t, struct err *err)
{
	struct op_delays *o = (struct op_delays *)op;
	struct queue_delayed want = {
		.after = o->after,
		.before = o->before,
		.with = MAIL_AUTH | MAIL_LOCAL,
		.without = MAIL_OURS | MAIL_TOLD,
	};
	uint64_t ids[DELAYS_ONCE], last;
	size_t count;

	o->made = NULL;
	if (!queue_delayed(t->queue, &want, ids, DELAYS_ONCE, &count, &last, err))
		return false;
	for (size_t i = 0; i < count; i++)
		if (!tell_delay(o, t, ids[i], err))
			return false;
	o->after = last ? last : o->before;
	return true;
}

static void done_delays(struct op *op, struct batch *batch)
{
	struct op_delays *o = (struct op_delays *)op;
	struct store *s = o->store;

	(void)batch;
	if (!op->committed)
		return;
	s->delays_after = o->after;
	notices_made(s, o->made);
	if (o->after < o->before)
		notices_delays(s);
}

/* Ids begin with the time, so each message is looked at once, as its time comes. */
void notices_delays(struct store *s)
{
	ms_t wait = s->conf->set.delay_notice;
	struct op_delays *o = wait > 0 ? writer_take(s->writer, sizeof(*o)) : NULL;

	if (!o || !pile_keep(writer_pile(s->writer), span_str(s->hostname), &o->us))
		return;
	o->op = (struct op){
		.on = OP_QUEUE, .lazy = true, .run = run_delays, .done = done_delays
	};
	o->store = s;
	o->lifetime = s->conf->set.lifetime;
	o->after = s->delays_after;
	o->before = id_at(loop_wall(s->loop) - wait);
	writer_put(s->writer, &o->op);
}
