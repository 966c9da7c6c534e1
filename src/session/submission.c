/*
 * Mail of our users (RFC 6409): from which addresses it may come, where to it may go, and
 * what is added to a message that lacks it.
 */
#include "base/bug.h"
#include "base/date.h"
#include "base/id.h"
#include "session/inside.h"
#include "wire/mailboxes.h"

bool submission_is(const struct session *s)
{
	return s->listener->service == SERVICE_SUBMISSION;
}

/* ---- where to ---------------------------------------------------------------------- */

static bool is_below(struct span name, struct span domain)
{
	return name.n > domain.n + 1 && name.p[name.n - domain.n - 1] == '.' &&
	       span_eq_nocase(span_tail(name, domain.n), domain);
}

bool submission_goes_out(const struct conf *conf, struct span domain)
{
	for (uint32_t i = 0; i < conf->relay_count; i++) {
		const struct relay *r = &conf->relays[i];
		struct span of = span_str(r->domain);

		if (r->below ? is_below(domain, of) : span_eq_nocase(domain, of))
			return r->hop != HOP_COUNT;
	}
	return conf->relay_hop != HOP_COUNT;
}

/* ---- who sends --------------------------------------------------------------------- */

/* Is it certainly one's own, or does it not matter? Of the rest, the store knows. */
static bool needs_no_question(const struct session *s, struct span address, int policy)
{
	return policy == SENDERS_ANY || s->marks & MARK_ANY_SENDER || address.n == 0 ||
	       span_eq_nocase(address, session_login(s));
}

static void ask(struct step *t, struct span address)
{
	t->s->asked_at = t->now;
	t->out->address = address;
	t->out->orders |= DO_MAY_SEND;
	session_wait(t, PHASE_SENDER, t->now + ROLE_WAIT);
}

void submission_sender(struct step *t)
{
	if (!(t->s->marks & MARK_LOGGED_IN) ||
	    needs_no_question(t->s, mail_sender(t), t->s->conf->set.senders))
		dialogue_say(t, RE_SENDER_OK, SPAN_NONE);
	else
		ask(t, mail_sender(t));
}

static void sender_verdict(struct step *t, enum verdict v)
{
	struct span sender = mail_sender(t);

	if (v == VERDICT_YES || t->s->conf->set.senders != SENDERS_OWN) {
		if (v == VERDICT_NO)
			t->out->not_own = sender;
		dialogue_say(t, RE_SENDER_OK, SPAN_NONE);
		return;
	}
	if (v == VERDICT_NO)
		dialogue_refuse(t, RE_NOT_YOUR_SENDER, EV_NOT_ITS_OWN, sender);
	else
		dialogue_answer(t, RE_SENDER_LATER, sender);
	mail_drop(t);
}

/* ---- whom the From field names ------------------------------------------------------ */

static void from_done(struct step *t)
{
	t->s->marks |= MARK_FROM_DONE;
	if (t->s->marks & MARK_AT_END)
		mail_finish(t);
}

static void from_is_not_own(struct step *t, struct span address)
{
	if (t->s->conf->set.from_field == SENDERS_OWN)
		mail_fault(t, RE_NOT_YOUR_FROM, EV_NOT_ITS_OWN);
	else
		t->out->not_own = address;
}

/* Of the sender, what there is to say was said at MAIL, unless less was asked of it. */
static bool was_judged(const struct step *t, struct span address)
{
	const struct settings *set = &t->s->conf->set;

	return set->senders <= set->from_field && span_eq_nocase(address, mail_sender(t));
}

/*
 * Each address in turn; one that is not certainly its own is put behind the text of the
 * field, where it stays until the answer. A field that cannot be read names nobody whom we
 * know.
 */
static void judge_from(struct step *t)
{
	struct session *s = t->s;
	struct buf *from = &t->out->letter->from;
	struct span left = span_skip(buf_span(from), s->from_at);
	struct address a;
	enum mailbox_got got;

	do {
		got = from->full ? MAILBOX_BAD : mailboxes_next(&left, &a);
		s->from_at = (uint16_t)(from->len - left.n);
	} while (got == MAILBOX_GOT &&
		 (needs_no_question(s, address_span(&a), s->conf->set.from_field) ||
		  was_judged(t, address_span(&a))));
	if (got == MAILBOX_GOT) {
		s->asked_n = a.n;
		buf_put(from, address_span(&a));
	}
	if (got == MAILBOX_BAD || from->full)
		from_is_not_own(t, SPAN("From"));
	if (got != MAILBOX_GOT || from->full || s->fault != RE_NONE)
		from_done(t);
	else
		ask(t, span_tail(buf_span(from), a.n));
}

static void from_verdict(struct step *t, enum verdict v)
{
	struct session *s = t->s;
	struct buf *from = &t->out->letter->from;

	s->text_since += t->now - s->asked_at;
	session_wait(t, PHASE_TALK, t->now + triage_data_time(t));
	if (v == VERDICT_NO)
		from_is_not_own(t, span_tail(buf_span(from), s->asked_n));
	else if (v != VERDICT_YES && s->conf->set.from_field == SENDERS_OWN)
		mail_fault(t, RE_SENDER_LATER, EV_NONE);
	from->len -= s->asked_n;
	if (s->fault != RE_NONE)
		from_done(t);
	else
		judge_from(t);
}

void submission_verdict(struct step *t, enum verdict v)
{
	t->s->phase = PHASE_TALK;
	if (t->s->smtp.asked == SMTP_MAIL)
		sender_verdict(t, v);
	else
		from_verdict(t, v);
}

/* ---- what is missing ---------------------------------------------------------------- */

static void print_message_id(const struct step *t, struct buf *out)
{
	buf_put(out, SPAN("Message-ID: <"));
	id_print(t->s->queue_id, out);
	buf_byte(out, '@');
	buf_put(out, session_host(t->s));
	buf_put(out, SPAN(">\r\n"));
}

/* The fields that it lacks (RFC 6409, 8.1 and 8.3). */
static void print_missing(const struct step *t, struct buf *out)
{
	uint8_t has = t->s->header.has;

	if (!(has & HEADER_DATE)) {
		buf_put(out, SPAN("Date: "));
		date_print(t->in->wall, out);
		buf_put(out, SPAN("\r\n"));
	}
	if (!(has & HEADER_MESSAGE_ID))
		print_message_id(t, out);
}

static void insert(struct buf *body, size_t at, struct span what)
{
	uint8_t *to = body->mem + at;

	BUG_IF(body->full || buf_room(body) < what.n);
	memmove(to + what.n, to, body->len - at);
	memcpy(to, what.p, what.n);
	body->len += what.n;
}

/*
 * Behind the last field, that is in front of the line that ended the header. One that is no
 * empty line belongs to the body, and gets one in front. If the body went to a file since
 * that line began (it began with the last byte of a full buffer), nothing is added.
 */
static void complete(struct step *t)
{
	struct session *s = t->s;
	struct buf *body = &t->out->letter->body;
	uint64_t behind = s->body_size - s->trace_n - s->header.line;
	uint8_t mem[FIX_UP_MAX];
	struct buf fields;

	buf_init(&fields, mem, sizeof(mem));
	print_missing(t, &fields);
	if (!fields.len || behind > body->len)
		return;
	if (!s->header.ended && s->header.line < s->body_size - s->trace_n)
		buf_put(&fields, SPAN("\r\n"));
	BUG_IF(fields.full);
	insert(body, body->len - (size_t)behind, buf_span(&fields));
	s->trace_n += fields.len;
	s->body_size += fields.len;
}

static bool fixes_up(const struct session *s)
{
	return s->conf->set.fix_up && s->fault == RE_NONE;
}

void submission_header(struct step *t, bool was_open)
{
	struct session *s = t->s;

	if (!was_open || s->header.at != HEADER_OVER)
		return;
	if (fixes_up(s))
		complete(t);
	if (!(s->marks & MARK_FROM_DONE))
		judge_from(t);
}

/* A message may end within its header, and may be nothing at all. */
bool submission_end(struct step *t)
{
	struct session *s = t->s;

	if (s->marks & MARK_FROM_DONE)
		return true;
	s->marks |= MARK_AT_END;
	if (fixes_up(s) && s->header.at != HEADER_VALUE)
		complete(t);
	judge_from(t);
	return false;
}
