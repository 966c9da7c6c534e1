/*
 * The accounts that send, in memory and in the database, and what a brake tells people.
 */
#include "store/sent.h"

#include <stdlib.h>

#include "base/list.h"
#include "base/siphash.h"
#include "store/inner.h"
#include "store/jobs.h"

#define KEEP (30 * MS_DAY) /* who sent nothing for so long starts anew */

/* ---- the table ---------------------------------------------------------------------------------- */

struct sent {
	struct names accounts;
	struct account *first, *last; /* by when they sent last, the longest ago first */
	uint64_t key[2];
	size_t bytes;
};

static size_t bytes_of(const struct account *a)
{
	return sizeof(*a) + a->name.text.n + a->cap * sizeof(*a->contacts);
}

static void unlink_account(struct sent *t, struct account *a)
{
	*(a->prev ? &a->prev->next : &t->first) = a->next;
	*(a->next ? &a->next->prev : &t->last) = a->prev;
}

static void link_account(struct sent *t, struct account *a)
{
	a->next = NULL;
	a->prev = t->last;
	*(t->last ? &t->last->next : &t->first) = a;
	t->last = a;
}

static void free_account(struct account *a)
{
	free(a->contacts);
	free(a);
}

static void forget(struct sent *t, struct account *a)
{
	unlink_account(t, a);
	names_drop(&t->accounts, &a->name);
	t->bytes -= bytes_of(a);
	free_account(a);
}

static struct account *make(struct sent *t, struct span login)
{
	struct account *a = calloc(1, sizeof(*a) + login.n);

	if (!a)
		return NULL;
	memcpy(a + 1, login.p, login.n);
	a->name.text = span_of(a + 1, login.n);
	if (!names_put(&t->accounts, &a->name)) {
		free(a);
		return NULL;
	}
	link_account(t, a);
	t->bytes += bytes_of(a);
	return a;
}

static void make_room(struct sent *t, const struct account *but)
{
	while (t->first && t->first != but &&
	       (t->accounts.count > ACCOUNTS_MAX || t->bytes > SENT_MEMORY))
		forget(t, t->first);
}

static void on_sent(void *arg, const struct state_sent *row)
{
	struct sent *t = arg;
	struct account *a;

	if (row->login.n == 0 || row->login.n > USER_MAX ||
	    names_find(&t->accounts, row->login) || t->bytes > SENT_MEMORY)
		return;
	a = make(t, row->login);
	if (!a)
		return;
	t->bytes -= bytes_of(a);
	/* a row that makes no sense is none */
	if (!account_parse(a, row->bytes)) {
		t->bytes += bytes_of(a);
		forget(t, a);
		return;
	}
	t->bytes += bytes_of(a);
	a->last = row->at;
	/* the latest comes first */
	unlink_account(t, a);
	a->prev = NULL;
	a->next = t->first;
	*(t->first ? &t->first->prev : &t->last) = a;
	t->first = a;
}

bool sent_open(struct sent **out, struct store *s, struct err *err)
{
	struct sent *t = calloc(1, sizeof(*t));

	if (!t)
		return err_set(err, "out of memory");
	*out = t;
	names_init(&t->accounts, s->recipients.key);
	return state_secret(s->state, SPAN("contacts"), (uint8_t *)t->key, sizeof(t->key),
			    err) &&
	       state_each_sent(s->state, ACCOUNTS_MAX, on_sent, t, err);
}

void sent_close(struct sent **t)
{
	if (!*t)
		return;
	for (struct account *a = (*t)->first, *next; a; a = next) {
		next = a->next;
		free_account(a);
	}
	names_close(&(*t)->accounts);
	free(*t);
	*t = NULL;
}

/* ---- a message ------------------------------------------------------------------------------------ */

static void log_brake(struct store *s, const struct account *a,
		      const struct sent_verdict *v)
{
	uint8_t mem[512];
	struct buf row;

	buf_init(&row, mem, sizeof(mem));
	field_text(&row, "login", a->name.text);
	field_text(&row, "what", span_str(brake_word[v->brake]));
	field_number(&row, "incident", a->incident);
	if (v->limit) {
		field_number(&row, "sum", v->sum);
		field_number(&row, "limit", v->limit);
	}
	field_text(&row, "key", a->name.text);
	pulse_log(s->pulse, LOG_BRAKE, loop_wall(s->loop), NULL, buf_span(&row));
}

static const char *why(enum brake b)
{
	switch (b) {
	case BRAKE_MESSAGES:
		return "more messages in an hour than submission.messages";
	case BRAKE_RECIPIENTS:
		return "to more recipients in a day than submission.recipients";
	case BRAKE_FRESH:
		return "to more recipients it never sent to before than "
		       "submission.new-recipients in a day";
	case BRAKE_PLACES:
		return "after logins from more networks in a day than submission.places";
	case BRAKE_NOT:
	case BRAKE_COUNT:
		break;
	}
	return "";
}

static void tell(struct store *s, const struct account *a, enum brake brake)
{
	uint8_t mem[2048], subject_mem[USER_MAX + 64];
	struct buf text, subject;

	buf_init(&text, mem, sizeof(mem));
	buf_init(&subject, subject_mem, sizeof(subject_mem));
	buf_fmt(&subject, "Mail of %.*s is held", SPAN_ARG(a->name.text));
	buf_fmt(&text,
		"The account %.*s sends %s.\n\nFrom now on what it sends is held: nothing "
		"is lost, and nothing goes out, until it is below that limit again. If you "
		"did not send this mail, somebody else has your password: change it.\n\n"
		"Incident %u. The administrator sees what is held with\n"
		"    holdfast queue list --where 'incident=%u'\n"
		"and lets it go with `holdfast queue release`, or deletes it with "
		"`holdfast queue purge`.\n",
		SPAN_ARG(a->name.text), why(brake), a->incident, a->incident);
	notices_mail(s, SPAN("postmaster"), buf_span(&subject), buf_span(&text));
	if (span_find(a->name.text, '@') < a->name.text.n)
		notices_mail(s, a->name.text, buf_span(&subject), buf_span(&text));
}

static struct account *account_of(struct store *s, struct span login)
{
	struct sent *t = s->sent;
	uint8_t mem[ADDRESS_MAX];
	struct span lower = recipients_lower(login, mem);
	struct account *a = (struct account *)names_find(&t->accounts, lower);

	if (!a)
		a = make(t, lower);
	if (!a)
		return NULL;
	unlink_account(t, a);
	link_account(t, a);
	return a;
}

static size_t hash_all(const struct sent *t, struct span list, uint32_t *out)
{
	struct span item;
	size_t count = 0;

	while (list_next(&list, &item)) {
		uint8_t mem[ADDRESS_MAX];
		struct span address = span_cut(&item, '\t');

		out[count++] = (uint32_t)siphash(t->key, recipients_lower(address, mem));
	}
	return count;
}

bool sent_count(struct store *s, struct queue_message *m, struct span rcpts,
		struct span more)
{
	const struct settings *set = &s->conf->set;
	const struct sent_limits limits = { set->quota_messages, set->quota_rcpts,
					    set->quota_new };
	struct account *a = m->login.n ? account_of(s, m->login) : NULL;
	uint32_t *hashes = a ? malloc((list_count(rcpts) + list_count(more) + 1) *
				      sizeof(*hashes))
			     : NULL;
	struct sending what = { .recipients = hashes, .places = m->flags & MAIL_HOLD };
	int64_t wall = loop_wall(s->loop);
	struct sent_verdict v;

	if (!hashes)
		return m->login.n == 0; /* out of memory: later */
	what.count = hash_all(s->sent, rcpts, hashes);
	what.count += hash_all(s->sent, more, hashes + what.count);
	s->sent->bytes -= bytes_of(a);
	v = account_sends(a, &limits, &what, wall);
	s->sent->bytes += bytes_of(a);
	free(hashes);
	if (v.begins) {
		a->incident = jobs_incident(s, a->name.text, why(v.brake));
		log_brake(s, a, &v);
		tell(s, a, v.brake);
	}
	make_room(s->sent, a);
	if (v.refused)
		return false;
	if (v.brake != BRAKE_NOT) {
		m->state = QUEUE_HELD;
		m->incident = a->incident;
	}
	return true;
}

/* ---- saving ---------------------------------------------------------------------------------------- */

struct op_sent {
	struct op op;
	struct state_sent row;
};

static bool run_sent(struct op *op, struct tools *t, struct err *err)
{
	return state_put_sent(t->state, &((struct op_sent *)op)->row, err);
}

static void done_sent(struct op *op, struct batch *batch)
{
	(void)op;
	(void)batch;
}

static bool save(struct store *s, struct account *a)
{
	struct op_sent *o = writer_take(s->writer, sizeof(*o));
	struct pile *pile = writer_pile(s->writer);
	size_t n = 16 + 3 * 24 + 4 * (size_t)a->count;
	uint8_t *mem = o ? pile_raw(pile, n) : NULL;
	struct buf out;

	if (!mem || !pile_keep(pile, a->name.text, &o->row.login))
		return false;
	buf_init(&out, mem, n);
	account_print(a, &out);
	o->op = (struct op){
		.on = OP_STATE, .lazy = true, .run = run_sent, .done = done_sent
	};
	o->row.at = a->last;
	o->row.bytes = buf_span(&out);
	writer_put(s->writer, &o->op);
	a->unsaved = false;
	return true;
}

/* The latest are last: who is unsaved stands behind all who are not. */
void sent_save(struct store *s)
{
	struct account *a = s->sent->last;

	for (size_t i = 0; a && a->unsaved && i < ACCOUNTS_MAX; i++, a = a->prev)
		if (!save(s, a))
			return;
}

struct op_forget {
	struct op op;
	int64_t before;
};

static bool run_forget(struct op *op, struct tools *t, struct err *err)
{
	return state_prune_sent(t->state, ((struct op_forget *)op)->before, err);
}

void sent_prune(struct store *s)
{
	int64_t before = loop_wall(s->loop) - KEEP;
	struct op_forget *o = writer_take(s->writer, sizeof(*o));

	while (s->sent->first && s->sent->first->last < before)
		forget(s->sent, s->sent->first);
	if (!o)
		return;
	o->op = (struct op){
		.on = OP_STATE, .lazy = true, .run = run_forget, .done = done_sent
	};
	o->before = before;
	writer_put(s->writer, &o->op);
}
