#include "auth/store_link.h"

#include <stdlib.h>

#include "base/list.h"

#define FRAMES_ONCE 256

struct store_link {
	struct loop *loop;
	struct signer *signer;
	const struct signer_calls *calls;
	void *arg;
	struct link *link; /* NULL: there is none now */
	struct watch watch;
	uint32_t era; /* one more with each link */
};

static void rearm(struct store_link *l)
{
	watch_mask(&l->watch, WATCH_READ | (link_waiting(l->link) ? WATCH_WRITE : 0));
}

static void drop(struct store_link *l)
{
	watch_stop(&l->watch);
	link_close(&l->link);
	l->era++;
}

/* ---- what the signer says ---- */

static bool on_row(void *arg, uint32_t ask, struct span row)
{
	struct store_link *l = arg;

	return l->calls->row(l->arg, ask, row);
}

static void on_end(void *arg, uint32_t ask, bool ok, struct span text)
{
	struct store_link *l = arg;

	l->calls->end(l->arg, ask, ok, text);
}

static void on_changed(void *arg, struct span key, const char *what)
{
	struct store_link *l = arg;

	l->calls->changed(l->arg, key, what);
}

static void on_trouble(void *arg, const char *why)
{
	struct store_link *l = arg;

	l->calls->trouble(l->arg, why);
}

static void on_made(void *arg, uint32_t era, uint64_t ask, struct span signature)
{
	struct store_link *l = arg;
	struct msg_SIGNED m = { ask, signature };

	if (!l->link || era != l->era)
		return;
	msg_SIGNED_pack(&m, link_begin(l->link));
	if (!link_send(l->link, NULL, 0))
		l->calls->trouble(l->arg, "a signature for the store was lost");
	rearm(l);
}

static const struct signer_calls signer_calls = {
	.row = on_row,
	.end = on_end,
	.changed = on_changed,
	.made = on_made,
	.trouble = on_trouble,
};

/* ---- what the store says ---- */

static void on_store(void *arg, unsigned ready)
{
	struct store_link *l = arg;
	struct frame f;
	struct err err = { "the store asked for a signature that makes no sense" };
	bool good = !(ready & WATCH_WRITE) || link_flush(l->link);

	for (int i = 0; good && i < FRAMES_ONCE; i++) {
		enum link_got got = link_recv(l->link, &f, &err);

		if (got == LINK_MORE)
			break;
		good = got == LINK_GOT && f.kind == MSG_SIGN &&
		       signer_sign(l->signer, l->era, f.bytes);
		if (got == LINK_GOT)
			frame_close_fds(&f);
		if (!good && got != LINK_CLOSED)
			l->calls->trouble(l->arg, err.text);
	}
	if (good)
		rearm(l);
	else
		drop(l);
}

void store_link_meet(struct store_link *l, struct link *link)
{
	drop(l);
	l->link = link;
	if (!watch_start(l->loop, &l->watch, link_fd(link), WATCH_READ, on_store, l))
		drop(l);
}

bool store_link_notice(struct store_link *l, struct span login, struct span subject,
		       struct span text)
{
	struct msg_NOTICE m = { login, subject, text };
	bool sent;

	if (!l->link || link_full(l->link))
		return false;
	msg_NOTICE_pack(&m, link_begin(l->link));
	sent = link_send(l->link, NULL, 0);
	rearm(l);
	return sent;
}

/* ---- the rest ---- */

bool store_link_open(struct store_link **out, struct loop *loop, const char *dir,
		     const struct conf *conf, const struct signer_calls *calls, void *arg,
		     struct err *err)
{
	struct store_link *l = calloc(1, sizeof(*l));

	if (!l)
		return err_set(err, "out of memory");
	*l = (struct store_link){ .loop = loop, .calls = calls, .arg = arg };
	if (!signer_open(&l->signer, loop, dir, conf, &signer_calls, l, err)) {
		free(l);
		return false;
	}
	*out = l;
	return true;
}

void store_link_close(struct store_link **link)
{
	struct store_link *l = *link;

	*link = NULL;
	if (!l)
		return;
	signer_close(&l->signer);
	link_close(&l->link);
	free(l);
}

void store_link_conf(struct store_link *l, const struct conf *conf)
{
	signer_conf(l->signer, conf);
}

void store_link_command(struct store_link *l, uint32_t ask, struct span words)
{
	struct span dkim;

	if (list_next(&words, &dkim))
		signer_command(l->signer, ask, words);
}
