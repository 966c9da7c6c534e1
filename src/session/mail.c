#include "session/inside.h"

#include "base/bug.h"
#include "base/id.h"
#include "base/list.h"
#include "session/trace.h"

/* A peer that goes on sending long after its message was too big is cut off. */
#define SWALLOW_TIMES 4
#define SWALLOW_MORE  (64 << 20)

void mail_begin(struct step *t, struct span from, unsigned flags)
{
	struct session *s = t->s;
	struct letter *l = t->out->letter;

	buf_reset(&l->envelope);
	buf_reset(&l->body);
	list_put(&l->envelope, from);
	s->marks |= MARK_MAIL;
	s->marks &= ~(MARK_RCPT_OVER | MARK_NO_ROOM);
	s->flags = flags;
	s->rcpt_count = 0;
	s->body_size = 0;
	s->trace_n = 0;
	s->queue_id = 0;
	s->fault = RE_NONE;
}

void mail_drop(struct step *t)
{
	if (!(t->s->marks & MARK_MAIL))
		return;
	t->s->marks &= ~MARK_MAIL;
	t->out->orders |= DO_DROP;
}

/* ---- envelope ---------------------------------------------------------------------- */

bool mail_has_envelope_room(const struct step *t)
{
	const struct letter *l = t->out->letter;

	return l && buf_room(&l->envelope) >= ADDRESS_MAX + 2;
}

void mail_put_rcpt(struct step *t, struct span address)
{
	list_put(&t->out->letter->envelope, address);
	BUG_IF(t->out->letter->envelope.full);
}

void mail_take_back_rcpt(struct step *t, struct span address)
{
	t->out->letter->envelope.len -= address.n + 2;
}

/*
 * Look through all: with 10,000 recipients that is 15 microseconds for each, about what
 * reading its line costs.
 */
bool mail_has_rcpt(const struct step *t, struct span address)
{
	struct span list = buf_span(&t->out->letter->envelope);
	struct span item;

	if (!list_next(&list, &item)) /* the sender */
		return false;
	while (list_next(&list, &item))
		if (span_eq_nocase(item, address))
			return true;
	return false;
}

/* ---- body -------------------------------------------------------------------------- */

static const char *with_word(const struct session *s)
{
	if (s->flags & MAIL_UTF8)
		return s->in_tls ? "UTF8SMTPS" : "UTF8SMTP";
	if (s->marks & MARK_ESMTP)
		return s->in_tls ? "ESMTPS" : "ESMTP";
	return "SMTP";
}

static struct span only_rcpt(const struct step *t)
{
	struct span list = buf_span(&t->out->letter->envelope);
	struct span item;

	if (t->s->rcpt_count != 1 || !list_next(&list, &item) || !list_next(&list, &item))
		return SPAN_NONE;
	return item;
}

void mail_begin_text(struct step *t)
{
	struct session *s = t->s;
	struct letter *l = t->out->letter;
	struct trace trace = {
		.helo = span_of(s->helo, s->helo_n),
		.peer = &s->peer.addr,
		.tls = s->in_tls ? &s->tls : NULL,
		.host = session_host(s),
		.with = with_word(s),
		.rcpt = only_rcpt(t),
		.id = t->in->next_id,
		.wall = t->in->wall,
	};

	s->queue_id = t->in->next_id;
	s->text_bytes = 0;
	s->text_since = t->now;
	header_init(&s->header);
	trace_print(&trace, &l->body);
	BUG_IF(l->body.full);
	s->trace_n = l->body.len;
	s->body_size = l->body.len;
}

/* Normalising makes two bytes of one; a CR may have been held back from before. */
struct span mail_view(const struct step *t)
{
	const struct session *s = t->s;
	bool normalises = s->smtp.offers & SMTP_NORMALISES;

	if (s->fault != RE_NONE || !(s->marks & MARK_MAIL))
		return t->left;
	return span_head(t->left,
			 (buf_room(&t->out->letter->body) - 4) / (normalises ? 2 : 1));
}

bool mail_wants_room(const struct step *t)
{
	const struct session *s = t->s;

	return (s->marks & MARK_MAIL) && s->fault == RE_NONE &&
	       buf_room(&t->out->letter->body) < BODY_ROOM_MIN;
}

void mail_fault(struct step *t, enum reply r, enum event e)
{
	if (t->s->fault != RE_NONE)
		return;
	t->s->fault = r;
	session_see(t, e);
}

static void judge(struct step *t)
{
	struct session *s = t->s;
	const struct settings *set = &s->conf->set;

	if (s->header.size > (uint64_t)set->header_max)
		mail_fault(t, RE_HEADER_TOO_BIG, EV_HEADER_TOO_BIG);
	if (s->header.received > set->hops)
		mail_fault(t, RE_MAIL_LOOP, EV_MAIL_LOOP);
	if (s->body_size - s->trace_n > (uint64_t)set->message_max)
		mail_fault(t, RE_TOO_BIG, EV_TOO_BIG);
}

void mail_text(struct step *t, struct span text)
{
	struct session *s = t->s;

	if (s->fault != RE_NONE)
		return;
	header_scan(&s->header, text);
	s->body_size += text.n;
	judge(t);
	if (s->fault != RE_NONE)
		return;
	buf_put(&t->out->letter->body, text);
	BUG_IF(t->out->letter->body.full);
}

void mail_see_marks(struct step *t)
{
	unsigned marks = t->s->smtp.marks;

	t->s->smtp.marks = 0;
	if (marks & SMTP_HAS_BARE_LF)
		session_see(t, EV_BARE_LF);
	if (marks & SMTP_HAS_BARE_CR)
		session_see(t, EV_BARE_CR);
	if (marks & SMTP_HAS_FAKE_END)
		session_see(t, EV_SMUGGLING);
}

bool mail_goes_on_too_long(const struct step *t)
{
	uint64_t max = (uint64_t)t->s->conf->set.message_max;

	return t->s->text_bytes > SWALLOW_TIMES * max + SWALLOW_MORE;
}

static bool refuses(const struct session *s, unsigned marks)
{
	unsigned bad = s->smtp.offers & SMTP_NORMALISES ? SMTP_HAS_NUL_END : ~0u;

	return (marks & bad) != 0;
}

static void refuse_text(struct step *t)
{
	mx_answer(t, t->s->fault, SPAN_NONE);
	mail_drop(t);
}

void mail_chunk_end(struct step *t, unsigned marks)
{
	struct session *s = t->s;

	if (refuses(s, marks)) {
		mail_see_marks(t);
		mail_fault(t, RE_SMUGGLING, EV_NONE);
	}
	if (s->fault != RE_NONE)
		refuse_text(t);
	else
		mx_answer(t, RE_CHUNK_OK, SPAN_NONE);
}

void mail_text_end(struct step *t, unsigned marks)
{
	struct session *s = t->s;

	mail_see_marks(t);
	if (refuses(s, marks))
		mail_fault(t, RE_SMUGGLING, EV_NONE);
	if (s->fault != RE_NONE) {
		refuse_text(t);
		return;
	}
	t->out->orders |= DO_SUBMIT;
	session_wait(t, PHASE_SUBMIT, t->now + ROLE_WAIT);
}

static void accepted(struct step *t)
{
	struct session *s = t->s;
	uint8_t mem[ID_PRINTED];
	struct buf id;

	buf_init(&id, mem, sizeof(mem));
	id_print(s->queue_id, &id);
	s->marks &= ~MARK_MAIL;
	s->messages++;
	s->junk = 0;
	session_see(t, EV_MESSAGE_OK);
	smtp_reply(&s->smtp, RE_QUEUED, buf_span(&id), t->out->peer);
}

void mail_submitted(struct step *t, enum submitted how)
{
	session_wait(t, PHASE_TALK, t->now + t->s->conf->set.command_timeout);
	if (how == SUBMITTED_OK) {
		accepted(t);
		return;
	}
	mx_answer(t, how == SUBMITTED_NO_ROOM ? RE_NO_ROOM : RE_TRY_LATER, SPAN_NONE);
	mail_drop(t);
}
