#include "store/auth_link.h"

#include "store/inner.h"
#include "store/notices.h"
#include "store/sign.h"
#include "wire/address.h"

#define FRAMES_ONCE 64

static void drop(struct store *s)
{
	if (!s->auth)
		return;
	watch_stop(&s->auth_watch);
	link_close(&s->auth);
	sign_lost(s);
}

static bool is_text(struct span text)
{
	for (size_t i = 0; i < text.n; i++)
		if (text.p[i] == '\0')
			return false;
	return true;
}

/* Only to people of ours: auth cannot have us write to anybody else. */
static bool notice(struct store *s, struct span frame, struct err *err)
{
	struct msg_NOTICE m;
	struct address to;
	uint8_t mem[ADDRESS_MAX];

	if (!msg_NOTICE_unpack(frame, &m) || !is_text(m.subject) || !is_text(m.text))
		return err_set(err, "auth sent a notice that makes no sense");
	/* a login that is no address belongs to a source without mailboxes */
	if (!address_parse(m.login, &to) ||
	    recipients_find(&s->recipients, recipients_lower(address_span(&to), mem)).kind <=
		    FOUND_UNKNOWN)
		return true;
	notices_mail(s, address_span(&to), m.subject, m.text);
	return true;
}

static bool take(struct store *s, const struct frame *f, struct err *err)
{
	if (f->kind == MSG_NOTICE)
		return notice(s, f->bytes, err);
	if (f->kind == MSG_SIGNED)
		return sign_answered(s, f->bytes) ||
		       err_set(err, "auth signed what it was not asked to");
	return err_set(err, "auth sent %s", message_table[f->kind].word);
}

static void wait_for_more(struct store *s)
{
	watch_mask(&s->auth_watch, WATCH_READ | (link_waiting(s->auth) ? WATCH_WRITE : 0));
}

static void on_auth(void *arg, unsigned ready)
{
	struct store *s = arg;
	struct frame f;
	struct err err;
	bool good = !(ready & WATCH_WRITE) || link_flush(s->auth);

	for (int i = 0; good && i < FRAMES_ONCE; i++) {
		enum link_got got = link_recv(s->auth, &f, &err);

		if (got == LINK_MORE)
			break;
		good = got == LINK_GOT && take(s, &f, &err);
		if (got == LINK_GOT)
			frame_close_fds(&f);
		if (got == LINK_BROKEN || (got == LINK_GOT && !good))
			trouble_log(s, "auth", "%s", err.text);
	}
	if (good)
		wait_for_more(s);
	else
		drop(s);
}

void auth_link_meet(struct store *s, struct link *link)
{
	drop(s);
	s->auth = link;
	if (!watch_start(s->loop, &s->auth_watch, link_fd(link), WATCH_READ, on_auth, s))
		link_close(&s->auth);
}

void auth_link_close(struct store *s)
{
	drop(s);
}

bool auth_link_sign(struct store *s, const struct msg_SIGN *m)
{
	if (!s->auth || link_full(s->auth))
		return false;
	msg_SIGN_pack(m, link_begin(s->auth));
	if (!link_send(s->auth, NULL, 0))
		return false;
	wait_for_more(s);
	return true;
}
