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
	buf_reset(&l->from);
	list_put(&l->envelope, from);
	s->marks |= MARK_MAIL;
	s->marks &= ~(MARK_RCPT_OVER | MARK_NO_ROOM | MARK_FROM_DONE | MARK_AT_END);
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

	return l && buf_room(&l->envelope) >= session_item_room(t->s);
}

void mail_put_rcpt(struct step *t, struct span item)
{
	list_put(&t->out->letter->envelope, item);
	BUG_IF(t->out->letter->envelope.full);
}

void mail_take_back_rcpt(struct step *t, size_t n)
{
	t->out->letter->envelope.len -= n + 2;
}

/* Is this item about that address? */
static bool is_about(struct span item, struct span address)
{
	return span_starts_nocase(item, address) &&
	       (item.n == address.n || item.p[address.n] == '\t');
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
		if (is_about(item, address))
			return true;
	return false;
}

struct span mail_sender(const struct step *t)
{
	struct span list = buf_span(&t->out->letter->envelope);
	struct span sender;

	BUG_IF(!list_next(&list, &sender));
	return session_item_address(sender);
}

bool mail_is_bounce(const struct step *t)
{
	return mail_sender(t).n == 0;
}

/* ---- body -------------------------------------------------------------------------- */

/* RFC 3848, RFC 6531 4.3. Who it was that logged in is nobody's business. */
static const char *with_word(const struct session *s)
{
	static const char *const words[2][4] = {
		{ "ESMTP", "ESMTPS", "ESMTPA", "ESMTPSA" },
		{ "UTF8SMTP", "UTF8SMTPS", "UTF8SMTPA", "UTF8SMTPSA" },
	};
	int how = (s->in_tls ? 1 : 0) + (s->marks & MARK_LOGGED_IN ? 2 : 0);

	if (s->flags & MAIL_UTF8)
		return words[1][how];
	return s->marks & MARK_ESMTP || how ? words[0][how] : "SMTP";
}

static struct span only_rcpt(const struct step *t)
{
	struct span list = buf_span(&t->out->letter->envelope);
	struct span item;

	if (t->s->rcpt_count != 1 || !list_next(&list, &item) || !list_next(&list, &item))
		return SPAN_NONE;
	return session_item_address(item);
}

void mail_begin_text(struct step *t)
{
	struct session *s = t->s;
	struct letter *l = t->out->letter;
	struct trace trace = {
		.helo = span_of(s->helo, s->helo_n),
		.peer = s->marks & MARK_LOCAL ? NULL : &s->peer.addr,
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
	s->from_at = 0;
	header_init(&s->header);
	trace_print(&trace, &l->body);
	BUG_IF(l->body.full);
	s->trace_n = l->body.len;
	s->body_size = l->body.len;
}

/* In a header that we may have to complete, room is left for that. */
static size_t kept_room(const struct session *s)
{
	return submission_is(s) && s->header.at != HEADER_OVER ? FIX_UP_MAX : 0;
}

/* Normalising makes two bytes of one; a CR may have been held back from before. */
struct span mail_view(const struct step *t)
{
	const struct session *s = t->s;
	bool normalises = s->smtp.offers & SMTP_NORMALISES;

	if (s->fault != RE_NONE || !(s->marks & MARK_MAIL))
		return t->left;
	return span_head(t->left, (buf_room(&t->out->letter->body) - 4 - kept_room(s)) /
					  (normalises ? 2 : 1));
}

bool mail_wants_room(const struct step *t)
{
	const struct session *s = t->s;

	return (s->marks & MARK_MAIL) && s->fault == RE_NONE &&
	       buf_room(&t->out->letter->body) < BODY_ROOM_MIN + kept_room(s);
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
	struct letter *l = t->out->letter;
	bool was_open = s->header.at != HEADER_OVER;

	if (s->fault != RE_NONE)
		return;
	header_scan_from(&s->header, text, session_checks_from(s) ? &l->from : NULL);
	s->body_size += text.n;
	judge(t);
	if (s->fault != RE_NONE)
		return;
	buf_put(&l->body, text);
	BUG_IF(l->body.full);
	if (submission_is(s))
		submission_header(t, was_open);
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
	dialogue_answer(t, t->s->fault, SPAN_NONE);
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
		dialogue_answer(t, RE_CHUNK_OK, SPAN_NONE);
}

void mail_text_end(struct step *t, unsigned marks)
{
	struct session *s = t->s;

	mail_see_marks(t);
	if (refuses(s, marks))
		mail_fault(t, RE_SMUGGLING, EV_NONE);
	if (s->fault != RE_NONE || !submission_is(s) || submission_end(t))
		mail_finish(t);
}

void mail_finish(struct step *t)
{
	if (t->s->fault != RE_NONE) {
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
	if (how == SUBMITTED_OVER)
		session_see(t, EV_OVER_QUOTA);
	if (how == SUBMITTED_NOT_OWN)
		session_see(t, EV_NOT_ITS_OWN);
	dialogue_answer(t,
			how == SUBMITTED_NO_ROOM   ? RE_NO_ROOM
			: how == SUBMITTED_OVER	   ? RE_OVER_QUOTA
			: how == SUBMITTED_NOT_OWN ? RE_NOT_YOUR_FROM
						   : RE_TRY_LATER,
			SPAN_NONE);
	mail_drop(t);
}
