#include "store/locate.h"

#include "base/utf8.h"
#include "store/control.h"
#include "store/inner.h"

/* ---- an edge asks ---- */

static struct span find(const struct store *s, struct span login)
{
	const struct located *at = people_located(&s->recipients.own, login);

	return at ? at->backend : SPAN_NONE;
}

bool locate_asked(struct store *s, struct edge_link *e, struct frame *f, struct err *err)
{
	uint8_t mem[ADDRESS_MAX];
	struct msg_LOCATE m;
	struct msg_LOCATED answer;

	if (!msg_LOCATE_unpack(f->bytes, &m))
		return err_set(err, "edge %u asked where nobody can be", e->number);
	answer = (struct msg_LOCATED){
		.ask = m.ask,
		.name = find(s, recipients_lower(m.login, mem)),
	};
	msg_LOCATED_pack(&answer, link_begin(e->link));
	if (!link_send(e->link, NULL, 0))
		return err_set(err, "edge %u cannot be answered", e->number);
	edges_sent(e);
	return true;
}

/* ---- the administrator changes it ---- */

struct op_located {
	struct op op;
	struct store *store;
	uint32_t ask;
	struct span login;   /* in lower case */
	struct span backend; /* empty: it is removed */
};

static bool run_located(struct op *op, struct tools *t, struct err *err)
{
	struct op_located *o = (struct op_located *)op;

	return o->backend.n ? state_put_located(t->state, o->login, o->backend, err)
			    : state_drop_located(t->state, o->login, err);
}

static void log_change(const struct op_located *o)
{
	struct store *s = o->store;
	uint8_t mem[512];
	struct buf row;

	buf_init(&row, mem, sizeof(mem));
	field_text(&row, "what",
		   o->backend.n ? SPAN("mailbox server named")
				: SPAN("mailbox server removed"));
	field_text(&row, "address", o->login);
	if (o->backend.n)
		field_text(&row, "backend", o->backend);
	pulse_log(s->pulse, LOG_ACCOUNT_CHANGED, loop_wall(s->loop), NULL, buf_span(&row));
}

static void done_located(struct op *op, struct batch *batch)
{
	struct op_located *o = (struct op_located *)op;
	struct store *s = o->store;
	struct people *own = &s->recipients.own;

	(void)batch;
	if (!op->committed) {
		control_unstored(s, o->ask, op->trouble);
		return;
	}
	if (!o->backend.n) {
		(void)people_drop_located(own, o->login);
	} else if (!people_put_located(own, o->login, o->backend)) {
		control_done(s, o->ask, false,
			     "stored, but out of memory: restart the store");
		return;
	}
	log_change(o);
	control_done(s, o->ask, true, "%s",
		     o->backend.n ? "Whoever logs in from now on is sent there; sessions "
				    "that are open stay where they are: holdfast kick."
				  : "No server is named any more.");
}

static void change(struct store *s, uint32_t ask, struct span login, struct span backend)
{
	struct op_located *o = writer_take(s->writer, sizeof(*o));
	struct pile *pile = writer_pile(s->writer);

	if (!o || !pile_keep(pile, login, &o->login) ||
	    !pile_keep(pile, backend, &o->backend)) {
		control_done(s, ask, false, "out of memory");
		return;
	}
	o->op = (struct op){ .on = OP_STATE, .run = run_located, .done = done_located };
	o->store = s;
	o->ask = ask;
	writer_put(s->writer, &o->op);
}

/* ---- the administrator asks ---- */

static const char *who_says(const struct store *s, struct span login)
{
	struct span name = find(s, login);

	if (backend_of_user(s->conf, login))
		return "mailboxes";
	if (!name.n)
		return "nobody: the name of the user decides";
	return backend_find(s->conf, name)
		       ? "database"
		       : "database, but backends has none of that name";
}

static void put_place(const struct store *s, struct span login, struct buf *row)
{
	const struct backend *named = backend_of_user(s->conf, login);

	field_text(row, "address", login);
	field_text(row, "backend", named ? span_str(named->name) : find(s, login));
	field_text(row, "from", span_str(who_says(s, login)));
}

static void say_one(struct store *s, uint32_t ask, struct span login)
{
	uint8_t mem[ROW_MAX];
	struct buf row;

	buf_init(&row, mem, sizeof(mem));
	put_place(s, login, &row);
	control_row_now(s, ask, &row);
	control_done(s, ask, true, "%s", "");
}

static void located_row(const struct store *s, const struct name *n, struct buf *row)
{
	put_place(s, n->text, row);
}

static void say_all(struct store *s, uint32_t ask)
{
	struct stream *t = stream_new(s, ask);

	if (!t)
		return;
	t->ok = control_names(t, &s->recipients.own.located, NULL, located_row);
	stream_start(t);
}

/* What somebody logs in with: not always an address. */
static bool read_login(struct store *s, uint32_t ask, struct span word,
		       uint8_t mem[ADDRESS_MAX], struct span *out)
{
	struct span left = word;
	uint32_t code;
	size_t n;

	*out = recipients_lower(word, mem);
	for (; left.n; left = span_skip(left, n)) {
		n = utf8_first(left, &code);
		if (n == 0 || code <= ' ' || utf8_is_control(code))
			*out = SPAN_NONE;
		if (n == 0)
			break;
	}
	if (out->n)
		return true;
	control_done(s, ask, false, "\"%.*s\" is nothing that somebody logs in with",
		     SPAN_ARG(span_head(word, 80)));
	return false;
}

static void set(struct store *s, uint32_t ask, struct span login, struct span word)
{
	const struct backend *named = backend_of_user(s->conf, login);

	if (span_eq(word, SPAN("--remove"))) {
		if (find(s, login).n)
			change(s, ask, login, SPAN_NONE);
		else
			control_done(s, ask, false, "no server is named for %.*s",
				     SPAN_ARG(login));
	} else if (named) {
		control_done(s, ask, false,
			     "mailboxes in the configuration names %s for %.*s, and goes "
			     "first: change it there",
			     named->name, SPAN_ARG(login));
	} else if (backend_find(s->conf, word)) {
		change(s, ask, login, word);
	} else {
		control_done(s, ask, false,
			     "there is no \"%.*s\" among backends in the configuration",
			     SPAN_ARG(span_head(word, BACKEND_NAME_MAX)));
	}
}

void control_backend(struct store *s, uint32_t ask, struct span words)
{
	uint8_t mem[ADDRESS_MAX];
	struct span login, word;

	if (!list_next(&words, &word)) {
		say_all(s, ask);
		return;
	}
	if (!read_login(s, ask, word, mem, &login))
		return;
	if (!list_next(&words, &word))
		say_one(s, ask, login);
	else if (words.n)
		control_done(s, ask, false,
			     "usage: holdfast user backend [ADDRESS [NAME | --remove]]");
	else
		set(s, ask, login, word);
}
