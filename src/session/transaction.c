/* MAIL and RCPT: who sends, and who gets it. */
#include "base/bug.h"
#include "base/rcptmap.h"
#include "session/inside.h"
#include "wire/envelope.h"

static unsigned mail_flags(const struct session *s, const struct envelope_mail *m)
{
	return (m->body >= BODY_8BITMIME ? MAIL_8BIT : 0) |
	       (m->body == BODY_BINARYMIME ? MAIL_BINARY : 0) | (m->utf8 ? MAIL_UTF8 : 0) |
	       (s->in_tls ? MAIL_TLS : 0) | (m->ret == RET_FULL ? MAIL_RET_FULL : 0) |
	       (m->ret == RET_HDRS ? MAIL_RET_HDRS : 0) |
	       (s->marks & MARK_LOGGED_IN ? MAIL_AUTH : 0) |
	       (s->marks & MARK_LOCAL ? MAIL_LOCAL : 0);
}

/* The item of the envelope: what the sender wants to be told stands behind the address. */
static void begin(struct step *t, const struct envelope_mail *m)
{
	uint8_t mem[ADDRESS_MAX + ENVID_MAX + 8];
	struct buf item;

	buf_init(&item, mem, sizeof(mem));
	buf_put(&item, address_span(&m->from));
	if (m->envid.n) {
		buf_put(&item, SPAN("\tENVID="));
		buf_put(&item, m->envid);
	}
	BUG_IF(item.full);
	mail_begin(t, buf_span(&item), mail_flags(t->s, m));
}

/* Is it ASCII, and does no label of it say that it stands for something else? */
static bool is_plain(struct span domain)
{
	bool plain = true;

	for (size_t i = 0; i < domain.n; i++)
		plain &= domain.p[i] < 0x80;
	while (plain && domain.n)
		plain = !span_starts(span_cut(&domain, '.'), SPAN("xn--"));
	return plain;
}

/*
 * A domain has one form, that of the DNS, whichever the client says (RFC 6531, 3.2): so it is
 * one for recipients, lists, routes and next hops. False: it has none (RFC 5891, 5).
 */
static bool take_ascii(const struct step *t, struct address *a)
{
	uint8_t mem[ADDRESS_MAX];
	struct buf out;

	if (!t->in->in_ascii || is_plain(address_domain(a)))
		return true;
	buf_init(&out, mem, sizeof(mem));
	return !t->in->in_ascii(address_span(a), &out) && !out.full &&
	       address_parse(buf_span(&out), a);
}

void transaction_mail(struct step *t, const struct smtp_event *ev)
{
	struct session *s = t->s;
	struct envelope_mail m;
	enum reply r;

	if (s->messages >= s->conf->set.mails) {
		session_end_with(t, RE_TOO_MANY_MAILS, END_ENOUGH);
		return;
	}
	if (submission_is(s) && !(s->marks & MARK_LOGGED_IN)) {
		bool tls_first = s->smtp.offers & SMTP_OFFERS_TLS && !login_mechanisms(s);

		dialogue_refuse(t, tls_first ? RE_TLS_NEEDED : RE_AUTH_NEEDED,
				EV_BAD_SEQUENCE, ev->text);
		return;
	}
	r = envelope_mail_parse(ev->text, s->smtp.offers, &m);
	if (r != RE_NONE) {
		dialogue_refuse(t, r, mx_offence(r), ev->text);
	} else if (!take_ascii(t, &m.from)) {
		dialogue_refuse(t, RE_NO_DOMAIN_FROM, EV_BAD_ARGUMENT, ev->text);
	} else if (m.requires_tls) {
		dialogue_answer(t, RE_NO_TLS_RELAY, ev->text);
	} else if (m.size > (uint64_t)s->conf->set.message_max) {
		dialogue_refuse(t, RE_TOO_BIG, EV_TOO_BIG, ev->text);
	} else if (t->in->storage_full || !t->out->letter) {
		dialogue_answer(t, RE_NO_ROOM, ev->text);
	} else if (!triage_sender(t, address_span(&m.from), ev->text)) {
		if (m.from.n == 0)
			session_see(t, EV_NULL_SENDER);
		s->smtp.binary = m.body == BODY_BINARYMIME;
		begin(t, &m);
		submission_sender(t);
	}
}

static enum rcpt_answer look_up(const struct step *t, struct span address)
{
	return rcptmap_look_up(t->in->recipients.p, t->in->recipients.n, address);
}

static struct span join(struct span local, struct span domain, struct buf *out)
{
	buf_reset(out);
	buf_put(out, local);
	buf_byte(out, '@');
	buf_put_lower(out, domain);
	return buf_span(out);
}

/*
 * <postmaster> without a domain must be accepted (RFC 5321, 4.5.1): that of our own name,
 * of a domain above it, or of the first domain in the configuration.
 */
static bool find_postmaster(const struct step *t, struct address *a)
{
	const struct conf *conf = t->s->conf;
	struct span domain = session_host(t->s);
	struct buf out;

	buf_init(&out, a->text, sizeof(a->text));
	while (domain.n) {
		join(SPAN("postmaster"), domain, &out);
		if (look_up(t, buf_span(&out)) >= RCPT_IS_KNOWN)
			break;
		(void)span_cut(&domain, '.');
	}
	if (domain.n == 0 && conf->domain_count == 0)
		return false;
	if (domain.n == 0)
		join(SPAN("postmaster"), span_str(conf->domains[0]), &out);
	a->n = (uint16_t)out.len;
	return !out.full;
}

/* The recipient is good: it is in the envelope already. */
static void rcpt_accepted(struct step *t)
{
	t->s->rcpt_count++;
	session_see(t, EV_RECIPIENT_OK);
	dialogue_say(t, RE_RECIPIENT_OK, SPAN_NONE);
}

static void rcpt_refused(struct step *t, enum rcpt_answer why, struct span address)
{
	switch (why) {
	case RCPT_IS_FOREIGN:
		if (t->s->marks & MARK_LOGGED_IN)
			dialogue_answer(t, RE_NO_RELAY, address);
		else
			dialogue_refuse(t, RE_RELAY_DENIED, EV_RELAY_DENIED, address);
		break;
	case RCPT_IS_UNKNOWN:
		dialogue_refuse(t, RE_UNKNOWN_USER, EV_UNKNOWN_USER, address);
		break;
	case RCPT_IS_FULL:
		dialogue_refuse(t, RE_MAILBOX_FULL, EV_RECIPIENT_FULL, address);
		break;
	case RCPT_IS_KNOWN:
	case RCPT_IS_ASK:
		break;
	}
}

/* The last item of the envelope: what mail_put_rcpt() put there. */
static struct span last_item(const struct step *t, size_t n)
{
	return span_tail(buf_span(&t->out->letter->envelope), n);
}

static struct span domain_of(struct span address)
{
	return span_skip(address, span_find_last(address, '@') + 1);
}

/*
 * With BATV the store knows whether we ever sent what this bounce is about. Mail of our
 * users to other domains goes on: where to is for the store to find.
 */
static enum rcpt_answer who_gets_it(const struct step *t, struct span address)
{
	const struct session *s = t->s;
	enum rcpt_answer who = look_up(t, address);

	if (who == RCPT_IS_FOREIGN && s->marks & MARK_LOGGED_IN &&
	    submission_goes_out(s->conf, domain_of(address)))
		return RCPT_IS_KNOWN;
	return who == RCPT_IS_KNOWN && t->s->conf->set.batv && mail_is_bounce(t)
		       ? RCPT_IS_ASK
		       : who;
}

/* The item of the envelope; mem: ITEM_MAX. */
static struct span item_of(const struct envelope_rcpt *rcpt, struct buf *item)
{
	uint8_t mem[ORCPT_MAX];
	struct buf orcpt;

	buf_put(item, address_span(&rcpt->to));
	if (rcpt->notify.n) {
		buf_put(item, SPAN("\tNOTIFY="));
		buf_put(item, rcpt->notify);
	}
	buf_init(&orcpt, mem, sizeof(mem));
	envelope_orcpt_print(rcpt->orcpt, &orcpt);
	/* one that is too long in ASCII is done without: it is only told */
	if (rcpt->orcpt.n && !orcpt.full) {
		buf_byte(item, rcpt->notify.n ? ' ' : '\t');
		buf_put(item, SPAN("ORCPT="));
		buf_put(item, buf_span(&orcpt));
	}
	BUG_IF(item->full);
	return buf_span(item);
}

static bool is_no(enum rcpt_answer who)
{
	return who == RCPT_IS_UNKNOWN || who == RCPT_IS_FOREIGN;
}

static void judge_rcpt(struct step *t, const struct envelope_rcpt *rcpt,
		       struct span as_said)
{
	struct span address = address_span(&rcpt->to), put = address;
	uint8_t mem[ITEM_MAX];
	enum rcpt_answer who;
	struct buf item;

	if (triage_rcpt(t, address, as_said))
		return;
	who = who_gets_it(t, address);
	if (t->in->recipients_stale && is_no(who)) {
		dialogue_answer(t, RE_CANNOT_VERIFY, as_said);
		return;
	}
	if (who < RCPT_IS_KNOWN || who == RCPT_IS_FULL) {
		rcpt_refused(t, who, as_said);
		return;
	}
	if (rcpt->notify.n || rcpt->orcpt.n) {
		buf_init(&item, mem, sizeof(mem));
		put = item_of(rcpt, &item);
	}
	mail_put_rcpt(t, put);
	if (who == RCPT_IS_KNOWN) {
		rcpt_accepted(t);
		return;
	}
	t->s->asked_n = (uint16_t)put.n;
	t->out->address = session_item_address(last_item(t, put.n));
	t->out->orders |= DO_VERIFY;
	session_wait(t, PHASE_VERIFY,
		     t->now + t->s->conf->set.verify_wait + 5 * MS_SECOND);
}

void transaction_rcpt(struct step *t, const struct smtp_event *ev)
{
	struct session *s = t->s;
	struct envelope_rcpt rcpt;
	struct address *to = &rcpt.to;
	enum reply r = envelope_rcpt_parse(ev->text, s->smtp.offers, s->flags & MAIL_UTF8,
					   &rcpt);

	if (r != RE_NONE) {
		dialogue_refuse(t, r, mx_offence(r), ev->text);
	} else if (!take_ascii(t, to)) {
		dialogue_refuse(t, RE_NO_DOMAIN_TO, EV_BAD_ARGUMENT, ev->text);
	} else if (t->in->recipients.n == 0) {
		dialogue_answer(t, RE_CANNOT_VERIFY, ev->text);
	} else if (to->kind == ADDRESS_POSTMASTER && !find_postmaster(t, to)) {
		dialogue_refuse(t, RE_UNKNOWN_USER, EV_UNKNOWN_USER, ev->text);
	} else if (mail_has_rcpt(t, address_span(to))) {
		dialogue_say(t, RE_RECIPIENT_OK, SPAN_NONE);
	} else if (s->rcpt_count >= s->conf->set.recipients) {
		if (!(s->marks & MARK_RCPT_OVER))
			session_see(t, EV_TOO_MANY_RCPT);
		s->marks |= MARK_RCPT_OVER;
		dialogue_answer(t, RE_TOO_MANY_RCPT, ev->text);
	} else if (!mail_has_envelope_room(t)) {
		dialogue_answer(t, RE_NO_ROOM, ev->text);
	} else {
		judge_rcpt(t, &rcpt, ev->text);
	}
}

void transaction_verdict(struct step *t, enum verdict v)
{
	struct span address = session_item_address(last_item(t, t->s->asked_n));

	t->s->phase = PHASE_TALK;
	if (v != VERDICT_YES)
		mail_take_back_rcpt(t, t->s->asked_n);
	switch (v) {
	case VERDICT_YES:
		rcpt_accepted(t);
		break;
	case VERDICT_NO:
		rcpt_refused(t, RCPT_IS_UNKNOWN, address);
		break;
	case VERDICT_FULL:
		rcpt_refused(t, RCPT_IS_FULL, address);
		break;
	case VERDICT_FOREIGN:
		rcpt_refused(t, RCPT_IS_FOREIGN, address);
		break;
	case VERDICT_FORGED:
		dialogue_refuse(t, RE_BOUNCE_FORGED, EV_BOUNCE_FORGED, address);
		break;
	case VERDICT_UNKNOWN:
	case VERDICT_ASK:
	case VERDICT_COUNT:
		dialogue_answer(t, RE_CANNOT_VERIFY, address);
		break;
	}
}
