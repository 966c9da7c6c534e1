#include "store/vouch.h"

#include <sys/socket.h>

#include "store/inner.h"
#include "store/senders.h"
#include "wire/mailboxes.h"

/* ---- who it is --------------------------------------------------------------------- */

static enum ticket_says says(const struct store *s, const struct claim *c,
			     enum ticket_purpose purpose)
{
	const struct ticket t = { purpose, c->edge, c->login };

	return ticket_check(s->start->ticket_key, &t, loop_now(s->loop), c->ticket);
}

struct vouched vouch_login(const struct store *s, const struct claim *c)
{
	struct vouched v = { .says = says(s, c, TICKET_MAIL) };

	if (v.says != TICKET_FORGED)
		return v;
	v.says = says(s, c, TICKET_HELD);
	v.held = v.says == TICKET_GOOD;
	return v;
}

/* "www-data@mx.example.org", or "uid1234@...", as edge/ports.c prints them. */
static bool is_called(const struct conf *conf, uint32_t uid, struct span login)
{
	size_t at = span_find_last(login, '@');
	struct span host = span_skip(login, at + 1);
	const char *ours = *conf->set.hostname ? conf->set.hostname : "localhost";
	uint8_t mem[sizeof(conf->local_users[0].name)];
	struct buf name;

	buf_init(&name, mem, sizeof(mem));
	for (uint32_t i = 0; i < conf->local_user_count && name.len == 0; i++)
		if (conf->local_users[i].uid == uid)
			buf_put(&name, span_str(conf->local_users[i].name));
	if (name.len == 0)
		buf_fmt(&name, "uid%u", uid);
	return at < login.n && span_eq(span_head(login, at), buf_span(&name)) &&
	       span_eq_nocase(host, span_str(ours));
}

/* A reload may have given the machine, or the user, another name since it came. */
struct vouched vouch_program(const struct store *s, const struct claim *c)
{
	struct vouched v = { .says = TICKET_FORGED };
	struct ucred who;
	socklen_t n = sizeof(who);

	if (c->socket < 0 ||
	    getsockopt(c->socket, SOL_SOCKET, SO_PEERCRED, &who, &n) != 0 ||
	    who.uid == (uid_t)-1)
		return v;
	v.says = is_called(s->conf, who.uid, c->login) ? TICKET_GOOD : TICKET_LATE;
	v.any_sender = v.says == TICKET_GOOD && who.uid == 0;
	return v;
}

/* ---- whose addresses they are -------------------------------------------------------- */

void vouch_from_init(struct vouch_from *f)
{
	header_init(&f->header);
	buf_init(&f->text, f->mem, sizeof(f->mem));
}

void vouch_from_scan(struct vouch_from *f, struct span text)
{
	header_scan_from(&f->header, text, &f->text);
}

enum verdict vouch_sender(const struct store *s, const struct origin_said *o)
{
	if (o->sender.n == 0)
		return VERDICT_YES;
	return senders_judge(&s->recipients, o->login, o->sender);
}

/* What cannot be read names nobody whom we know, as in session/submission.c. */
enum verdict vouch_from(const struct store *s, const struct origin_said *o)
{
	struct span left = buf_span(&o->from->text);
	enum verdict v = o->from->text.full ? VERDICT_NO : VERDICT_YES;
	struct address a;
	enum mailbox_got got = MAILBOX_GOT;
	bool judged = s->conf->set.senders == SENDERS_OWN;

	while (v == VERDICT_YES && got == MAILBOX_GOT) {
		got = mailboxes_next(&left, &a);
		if (got == MAILBOX_BAD)
			v = VERDICT_NO;
		else if (got == MAILBOX_GOT && a.n &&
			 !(judged && span_eq_nocase(address_span(&a), o->sender)))
			v = senders_judge(&s->recipients, o->login, address_span(&a));
	}
	return v;
}
