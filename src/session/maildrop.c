/*
 * POP3 from our own Maildir: the TRANSACTION state of RFC 1939, 5, and the UPDATE that
 * follows QUIT.
 *
 * What is in the box was read when it was opened, so numbers and sizes stay as they are; a
 * message that has vanished since then is missed when it is wanted. Answers of many lines
 * are said as far as there is room, and gone on with once that is sent.
 *
 * RFC 6856 would have messages with UTF-8 in their headers changed for who has not said
 * UTF8. They are said as they are: a client that has never heard of it gets on better with
 * them than without.
 */
#include "session/inside.h"

#include "base/bug.h"

#define ROW_ROOM (BOX_UID_MAX + 16) /* "4294967295 uid" CRLF */

/* ---- messages ---------------------------------------------------------------------- */

static bool is_removed(const struct step *t, uint32_t i)
{
	return t->in->box->removed[i / 8] & 1u << i % 8;
}

static bool has_message(const struct step *t, uint32_t number)
{
	return number >= 1 && number <= t->s->maildrop.count && !is_removed(t, number - 1);
}

static void no_message(struct step *t, const struct pop3_event *ev)
{
	dialogue_refuse(t, RE_NO_MESSAGE, EV_NONE, ev->text);
}

static void bad_argument(struct step *t, const struct pop3_event *ev)
{
	dialogue_refuse(t, RE_BAD_ARGUMENT, EV_BAD_ARGUMENT, ev->text);
}

static void say(struct step *t, const struct buf *text)
{
	pop3_reply_ok(&t->s->pop3, buf_span(text), t->out->peer);
	dialogue_listen(t);
}

/* "2 320": how many there are, and how many bytes */
static void say_sums(struct step *t, bool with_words)
{
	const struct maildrop *m = &t->s->maildrop;
	uint8_t mem[96];
	struct buf text;

	buf_init(&text, mem, sizeof(mem));
	buf_number(&text, m->count - m->removed);
	buf_put(&text, with_words ? SPAN(" messages (") : SPAN(" "));
	buf_number(&text, m->bytes);
	if (with_words)
		buf_put(&text, SPAN(" octets)"));
	say(t, &text);
}

void maildrop_begin(struct step *t, const struct session_backend *b)
{
	t->s->maildrop = (struct maildrop){ .count = b->count, .bytes = b->bytes };
	say_sums(t, true);
}

/* ---- lists ------------------------------------------------------------------------- */

static void put_row(const struct step *t, uint32_t i, bool uid, struct buf *out)
{
	const struct box_item *item = &t->in->box->items[i];

	buf_number(out, i + 1);
	buf_byte(out, ' ');
	if (uid)
		buf_put(out, span_of(item->uid, item->uid_n));
	else
		buf_number(out, item->size);
}

/* LIST and UIDL, of one message or of all */
static void list(struct step *t, const struct pop3_event *ev)
{
	struct maildrop *m = &t->s->maildrop;
	bool uid = ev->verb == POP3_UIDL;
	uint8_t mem[ROW_ROOM];
	uint32_t numbers[2];
	struct buf row;

	switch (pop3_numbers(ev->text, numbers)) {
	case 0:
		m->says = uid ? MAILDROP_UIDS : MAILDROP_SIZES;
		m->at = 0;
		say_sums(t, true);
		break;
	case 1:
		if (!has_message(t, numbers[0])) {
			no_message(t, ev);
			break;
		}
		buf_init(&row, mem, sizeof(mem));
		put_row(t, numbers[0] - 1, uid, &row);
		say(t, &row);
		break;
	default:
		bad_argument(t, ev);
	}
}

/* As many rows as fit. True: that was the last. */
static bool go_on_with_list(struct step *t)
{
	struct maildrop *m = &t->s->maildrop;
	struct buf *out = t->out->peer;

	for (; m->at < m->count; m->at++) {
		if (is_removed(t, m->at))
			continue;
		if (buf_room(out) < ROW_ROOM)
			return false;
		put_row(t, m->at, m->says == MAILDROP_UIDS, out);
		buf_put(out, SPAN("\r\n"));
	}
	if (buf_room(out) < POP3_TEXT_END)
		return false;
	buf_put(out, SPAN(".\r\n"));
	return true;
}

/* ---- texts ------------------------------------------------------------------------- */

static void ask_for_text(struct step *t)
{
	t->out->number = t->s->maildrop.at;
	t->out->orders |= DO_TEXT;
	session_wait(t, PHASE_BOX, t->now + ROLE_WAIT);
}

/* RETR 3, TOP 3 10 */
static void retrieve(struct step *t, const struct pop3_event *ev)
{
	struct maildrop *m = &t->s->maildrop;
	bool top = ev->verb == POP3_TOP;
	uint32_t numbers[2];

	if (pop3_numbers(ev->text, numbers) != (top ? 2 : 1)) {
		bad_argument(t, ev);
	} else if (!has_message(t, numbers[0])) {
		no_message(t, ev);
	} else {
		if (top)
			pop3_text_top(&m->text, numbers[1]);
		else
			pop3_text_all(&m->text);
		m->says = MAILDROP_OPENS;
		m->at = numbers[0] - 1;
		ask_for_text(t);
	}
}

static void begin_text(struct step *t)
{
	struct maildrop *m = &t->s->maildrop;
	uint8_t mem[32];
	struct buf text;

	m->says = MAILDROP_TEXT;
	buf_init(&text, mem, sizeof(mem));
	buf_number(&text, t->in->box->items[m->at].size);
	buf_put(&text, SPAN(" octets"));
	say(t, &text);
}

/* The answer to DO_TEXT. What cannot be read to its end must not look as if it had been. */
void maildrop_text(struct step *t)
{
	struct maildrop *m = &t->s->maildrop;
	bool opens = m->says == MAILDROP_OPENS;

	if (!t->in->box || !session_reads_text(t->s))
		return;
	dialogue_listen(t);
	if (!t->in->box->text_gone) {
		if (opens)
			begin_text(t);
		return;
	}
	m->says = MAILDROP_NOTHING;
	t->out->text_done = true;
	if (!opens)
		session_end(t, END_OURS);
	else if (t->in->box->lost)
		session_end_with(t, RE_INTERNAL, END_OURS);
	else
		dialogue_answer(t, RE_MESSAGE_GONE, SPAN_NONE);
}

/* As much as fits of what is there. True: that was all of the message. */
static bool go_on_with_text(struct step *t)
{
	struct maildrop *m = &t->s->maildrop;
	const struct session_box *box = t->in->box;
	struct span text = span_skip(box->text, t->out->text_used);

	pop3_text_put(&m->text, &text, t->out->peer);
	t->out->text_used = box->text.n - text.n;
	if (text.n && !m->text.enough)
		return false;
	if (!box->text_ends && !m->text.enough) {
		ask_for_text(t);
		return false;
	}
	if (buf_room(t->out->peer) < POP3_TEXT_END)
		return false;
	pop3_text_end(&m->text, t->out->peer);
	t->out->text_done = true;
	return true;
}

bool maildrop_go_on(struct step *t)
{
	struct maildrop *m = &t->s->maildrop;
	bool list = m->says == MAILDROP_SIZES || m->says == MAILDROP_UIDS;
	bool done = list ? go_on_with_list(t) : go_on_with_text(t);

	if (done)
		m->says = MAILDROP_NOTHING;
	if (t->s->phase == PHASE_TALK)
		dialogue_listen(t);
	return done;
}

/* ---- removing ---------------------------------------------------------------------- */

static void mark(struct step *t, const struct pop3_event *ev)
{
	struct maildrop *m = &t->s->maildrop;
	uint32_t numbers[2];

	if (pop3_numbers(ev->text, numbers) != 1) {
		bad_argument(t, ev);
		return;
	}
	if (!has_message(t, numbers[0])) {
		no_message(t, ev);
		return;
	}
	t->in->box->removed[(numbers[0] - 1) / 8] |= (uint8_t)(1u << (numbers[0] - 1) % 8);
	m->bytes -= t->in->box->items[numbers[0] - 1].size;
	m->removed++;
	dialogue_say(t, RE_OK, SPAN_NONE);
}

static void unmark_all(struct step *t)
{
	struct maildrop *m = &t->s->maildrop;

	for (uint32_t i = 0; i < m->count; i++)
		if (is_removed(t, i))
			m->bytes += t->in->box->items[i].size;
	if (m->count)
		memset(t->in->box->removed, 0, (m->count + 7) / 8);
	m->removed = 0;
	dialogue_say(t, RE_OK, SPAN_NONE);
}

/*
 * UPDATE: only QUIT removes anything, and it is told how that went (RFC 1939, 6). Who has
 * heard our yes may come again at once, so the box is closed before that.
 */
void maildrop_quit(struct step *t)
{
	if (t->in->box) {
		t->out->orders |= DO_REMOVE;
		session_wait(t, PHASE_BOX, t->now + ROLE_WAIT);
		return;
	}
	dialogue_say(t, RE_BYE, SPAN_NONE);
	session_end(t, END_QUIT);
}

void maildrop_removed(struct step *t)
{
	bool all = t->in->box && t->in->box->left == 0;

	if (session_reads_text(t->s))
		return;
	dialogue_say(t, all ? RE_BYE : RE_NOT_REMOVED, SPAN_NONE);
	session_end(t, END_QUIT);
}

/* ---- commands ---------------------------------------------------------------------- */

void maildrop_command(struct step *t, const struct pop3_event *ev)
{
	BUG_IF(!t->in->box);
	switch (ev->verb) {
	case POP3_STAT:
		say_sums(t, false);
		break;
	case POP3_LIST:
	case POP3_UIDL:
		list(t, ev);
		break;
	case POP3_RETR:
	case POP3_TOP:
		retrieve(t, ev);
		break;
	case POP3_DELE:
		mark(t, ev);
		break;
	default:
		unmark_all(t);
		break;
	}
}
