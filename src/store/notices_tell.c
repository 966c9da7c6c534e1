/* Notices about deliveries: read from the queue what became of a message, and print it. */
#include "store/notices_inner.h"

#include <unistd.h>

#include "db/queue_route.h"
#include "store/notify.h"
#include "store/route.h"
#include "store/spool.h"

#define NOTICE_MOST ((size_t)BODY_INLINE_MAX)
#define ABOUT_TEXTS 2048

/* ---- in the thread ---- */

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

	if (!notify_owed(r->m.flags, r->m.sender, f->notify, r->want->action) ||
	    !notify_parse(f->notify, &n))
		return;
	*to = (struct dsn_rcpt){
		.host = r->want->host,
		.tried = r->item->answer.n ? r->t->wall : f->tried,
		.until = r->want->lifetime ? r->m.since + r->want->lifetime : 0,
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
	says = notices_spend(r->n, r->t->wall);
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
	return notices_put(r->n, r->t, &m, r->m.sender, err) &&
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

/* ---- in the loop ---- */

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
