/* What is thought of a client, and what its session does about it. */
#include "guard/access.h"
#include "session/helo.h"
#include "session/inside.h"

/* ---- limits ------------------------------------------------------------------------ */

static ms_t shorter(ms_t now, ms_t whole)
{
	return now > 0 && now < whole ? now : whole;
}

/* So long a box may be held by who says nothing (RFC 1939, 3: at least that). */
#define BOX_IDLE (10 * MS_MINUTE)

/* Who reads mail has time for that, and less before. */
static ms_t reader_time(const struct step *t)
{
	const struct settings *set = &t->s->conf->set;

	return t->s->marks & MARK_LOGGED_IN
		       ? shorter(BOX_IDLE, set->mailbox_idle)
		       : shorter(t->standing->command_timeout, set->mailbox_login);
}

ms_t triage_command_time(const struct step *t)
{
	if (session_reads_mail(t->s))
		return reader_time(t);
	return shorter(t->standing->command_timeout, t->s->conf->set.command_timeout);
}

ms_t triage_data_time(const struct step *t)
{
	return shorter(t->standing->data_timeout, t->s->conf->set.data_timeout);
}

ms_t triage_tls_time(const struct step *t)
{
	return shorter(t->standing->tls_timeout, t->s->conf->set.tls_timeout);
}

static bool is_trusted(const struct step *t)
{
	return t->standing->known_good || t->standing->allowed;
}

/*
 * Our users come from home, where every blocklist lists them, and their programs say HELO
 * as they please. Before they log in they can do nothing but that.
 */
bool triage_greets_at_once(const struct step *t)
{
	return t->s->conf->set.greet_delay == 0 || t->standing->passed || is_trusted(t) ||
	       submission_is(t->s) || session_reads_mail(t->s);
}

/* ---- rules ------------------------------------------------------------------------- */

bool triage_observes(struct step *t, enum rule r)
{
	const struct conf *conf = t->s->conf;

	if (conf->set.guard_mode != GUARD_OBSERVE && !conf->observed[r])
		return false;
	if (t->out->refused_by == RULE_NONE) {
		t->out->refused_by = r;
		t->out->only_observed = true;
	}
	return true;
}

struct span triage_rule_text(const struct step *t, enum rule r, void *mem)
{
	struct buf out;

	buf_init(&out, mem, RULE_TEXT_MAX);
	standing_print_code(r, t->standing->id, span_str(t->s->conf->set.contact), &out);
	return buf_span(&out);
}

static void refuse(struct step *t, enum rule r, enum event e, struct span what)
{
	session_see(t, e);
	t->out->only_observed = false;
	if (reply_table[rule_table[r].reply].code == 421) /* it says that we close */
		session_end_by(t, r);
	else
		dialogue_answer_by(t, r, what);
}

/* True: refused, and not only watched. */
static bool refuses(struct step *t, enum rule r, enum event e, struct span what)
{
	if (triage_observes(t, r))
		return false;
	refuse(t, r, e, what);
	return true;
}

bool triage_is_over(const struct step *t)
{
	return t->standing->over && t->standing->late != RULE_NONE &&
	       !(t->s->marks & MARK_LOGGED_IN) && session_may_end(t->s);
}

/* ---- access lists ------------------------------------------------------------------ */

static enum access_answer look_up(const struct step *t, enum access_of of,
				  struct span name)
{
	struct span blob = t->in->access;

	if (!blob.n || !name.n)
		return ACCESS_SILENT;
	return access_name(blob.p, blob.n, of, name, t->in->wall).answer;
}

/* What a list says of a name is remembered for the session. */
static void remember(struct step *t, enum access_answer what, unsigned good, unsigned bad)
{
	t->s->marks &= ~(good | bad);
	if (what == ACCESS_PERMIT)
		t->s->marks |= good;
	if (what == ACCESS_DENY)
		t->s->marks |= bad;
}

/* ---- look-ups ---------------------------------------------------------------------- */

void triage_learn(struct step *t)
{
	const struct facts *f = &t->standing->facts;

	if (f->state != FACTS_KNOWN || t->s->marks & MARK_FACTS ||
	    t->s->phase == PHASE_OVER)
		return;
	t->s->marks |= MARK_FACTS;
	if (f->no_ptr)
		session_see_once(t, EV_NO_PTR);
	if (f->ptr_forged)
		session_see_once(t, EV_PTR_FORGED);
	if (f->listed)
		session_see_once(t, EV_DNSBL);
	if (f->welcomed)
		session_see_once(t, EV_DNSWL);
	if (f->failed)
		session_see_once(t, EV_DNS_FAILED);
	remember(t, look_up(t, ACCESS_PTR, span_of(f->name, f->name_n)), MARK_PTR_GOOD,
		 MARK_PTR_BAD);
}

bool triage_waits(struct step *t)
{
	struct session *s = t->s;

	if (s->smtp.state != SMTP_MAIL_OK || !t->left.n || s->marks & MARK_ASKED ||
	    t->standing->facts.state != FACTS_PENDING || is_trusted(t) ||
	    s->marks & MARK_LOGGED_IN)
		return false;
	s->marks |= MARK_ASKED;
	t->out->orders |= DO_FACTS;
	/* edge/ keeps the time, and says what is known then; this is for when it does not */
	session_wait(t, PHASE_FACTS, t->now + s->conf->set.lookup_wait + MS_SECOND);
	return true;
}

void triage_waited(struct step *t, bool too_long)
{
	if (too_long)
		session_see_once(t, EV_DNS_FAILED);
	dialogue_listen(t);
}

/* Of the new client nothing is known before the next step. */
void triage_start_over(struct step *t)
{
	static const struct standing nothing;

	t->s->marks &= ~(MARK_ASKED | MARK_FACTS | MARK_HELO_BAD | MARK_HELO_GOOD |
			 MARK_PTR_BAD | MARK_PTR_GOOD);
	memset(t->s->once, 0, sizeof(t->s->once));
	t->standing = &nothing;
}

/* ---- the dialogue ------------------------------------------------------------------ */

void triage_hello(struct step *t)
{
	struct session *s = t->s;
	struct span name = span_of(s->helo, s->helo_n);
	struct helo_ends ends = { &s->peer.addr, &s->local, session_host(s) };
	enum event e = submission_is(s) ? EV_NONE : helo_check(name, &ends);

	if (e != EV_NONE)
		session_see_once(t, e);
	remember(t, look_up(t, ACCESS_HELO, name), MARK_HELO_GOOD, MARK_HELO_BAD);
}

/* Do lists permit what was said so far? Then the guard keeps silent; nobody else does. */
static bool is_permitted(const struct step *t)
{
	return t->s->marks &
	       (MARK_HELO_GOOD | MARK_PTR_GOOD | MARK_FROM_GOOD | MARK_LOGGED_IN);
}

bool triage_sender(struct step *t, struct span address, struct span as_said)
{
	enum access_answer listed = look_up(t, ACCESS_SENDER, address);

	t->s->marks &= ~MARK_FROM_GOOD;
	if (t->standing->allowed)
		return false;
	if (listed == ACCESS_PERMIT)
		t->s->marks |= MARK_FROM_GOOD;
	if (listed == ACCESS_DENY && refuses(t, RULE_SENDER, EV_DENIED, as_said))
		return true;
	if (t->s->marks & MARK_HELO_BAD && refuses(t, RULE_HELO, EV_DENIED, as_said))
		return true;
	if (t->standing->late == RULE_NONE || is_permitted(t))
		return false;
	refuse(t, t->standing->late, EV_REFUSED_LATE, as_said);
	return true;
}

static bool is_blocklisted(const struct step *t)
{
	const struct facts *f = &t->standing->facts;

	return f->state == FACTS_KNOWN && f->weight >= t->s->conf->set.dnsbl_at &&
	       !t->standing->known_good;
}

bool triage_rcpt(struct step *t, struct span address, struct span as_said)
{
	enum access_answer listed = look_up(t, ACCESS_RECIPIENT, address);

	if (t->standing->allowed)
		return false;
	if (listed == ACCESS_DENY && refuses(t, RULE_RECIPIENT, EV_DENIED, as_said))
		return true;
	if (t->s->marks & MARK_PTR_BAD && refuses(t, RULE_PTR, EV_DENIED, as_said))
		return true;
	if (listed == ACCESS_PERMIT || is_permitted(t))
		return false;
	if (t->standing->late != RULE_NONE) {
		refuse(t, t->standing->late, EV_REFUSED_LATE, as_said);
		return true;
	}
	return is_blocklisted(t) && refuses(t, RULE_DNSBL, EV_REFUSED_LATE, as_said);
}
