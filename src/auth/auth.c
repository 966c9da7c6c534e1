#include "auth/auth.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "auth/passwords.h"
#include "auth/store_link.h"
#include "base/fields.h"
#include "base/list.h"
#include "crypt/password.h"
#include "io/loop.h"

#define BEAT_EVERY  ((ms_t)250)
#define FRAMES_ONCE 64 /* of one link, before the others have their turn */

struct auth {
	struct start *start;
	struct loop *loop;
	struct watch life;
	struct watch control;
	struct link *watcher; /* the link to watch; NULL while there is none */
	struct timer beat;
	struct passwords *passwords;
	struct store_link *store;
	int exit_code;
};

static void trouble(struct auth *a, enum record kind, const char *why)
{
	uint8_t mem[640];
	struct buf fields;

	buf_init(&fields, mem, sizeof(mem));
	field_text(&fields, "key", SPAN("auth"));
	field_text(&fields, "what", span_str(why));
	pulse_log(a->start->pulse, kind, loop_wall(a->loop), NULL, buf_span(&fields));
}

static void rearm(struct auth *a)
{
	if (a->watcher)
		watch_mask(&a->control,
			   WATCH_READ | (link_waiting(a->watcher) ? WATCH_WRITE : 0));
}

/* ---- answers ----------------------------------------------------------------------- */

static bool answer_row(void *arg, uint32_t ask, struct span row)
{
	struct auth *a = arg;
	struct msg_CONTROL_ROW m = { ask, row };

	if (!a->watcher)
		return false;
	msg_CONTROL_ROW_pack(&m, link_begin(a->watcher));
	if (!link_send(a->watcher, NULL, 0))
		return false;
	rearm(a);
	return true;
}

static void answer_end(void *arg, uint32_t ask, bool ok, struct span text)
{
	struct auth *a = arg;
	struct msg_CONTROL_END m = { ask, ok, span_head(text, 1024) };

	if (!a->watcher)
		return;
	msg_CONTROL_END_pack(&m, link_begin(a->watcher));
	(void)link_send(a->watcher, NULL, 0); /* a broken link shows when it is read */
	rearm(a);
}

static bool answers_wait(void *arg)
{
	const struct auth *a = arg;

	return a->watcher && link_full(a->watcher);
}

static void answer_changed(void *arg, struct span address, const char *what)
{
	struct auth *a = arg;
	uint8_t mem[640];
	struct buf fields;

	buf_init(&fields, mem, sizeof(mem));
	field_text(&fields, "address", address);
	field_text(&fields, "what", span_str(what));
	pulse_log(a->start->pulse, LOG_ACCOUNT_CHANGED, loop_wall(a->loop), NULL,
		  buf_span(&fields));
}

static const struct passwords_answers answers = {
	.row = answer_row,
	.end = answer_end,
	.wait = answers_wait,
	.changed = answer_changed,
};

static void answer_trouble(void *arg, const char *why)
{
	trouble(arg, LOG_TROUBLE, why);
}

static void answer_key(void *arg, struct span key, const char *what)
{
	answer_changed(arg, key, what);
}

static const struct signer_calls signer_calls = {
	.row = answer_row,
	.end = answer_end,
	.changed = answer_key,
	.trouble = answer_trouble,
};

/* ---- what watch asks ----------------------------------------------------------------- */

static void drop_watcher(struct auth *a)
{
	watch_stop(&a->control);
	link_close(&a->watcher);
}

static bool is_about_dkim(struct span words)
{
	struct span first;

	return list_next(&words, &first) && span_eq(first, SPAN("dkim"));
}

static bool take_control(struct auth *a, struct frame *f)
{
	struct msg_CONTROL m;
	bool good = f->kind == MSG_CONTROL && msg_CONTROL_unpack(f->bytes, &m);

	if (good && is_about_dkim(m.words))
		store_link_command(a->store, m.ask, m.words);
	else if (good)
		passwords_command(a->passwords, m.ask, m.words, loop_wall(a->loop));
	password_wipe(f->bytes);
	return good;
}

static void on_control(void *arg, unsigned ready)
{
	struct auth *a = arg;
	struct frame f;
	struct err err = { "watch sent what makes no sense" };
	enum link_got got = LINK_MORE;

	if ((ready & WATCH_WRITE) && link_flush(a->watcher))
		passwords_go_on(a->passwords);
	for (int i = 0; i < FRAMES_ONCE; i++) {
		got = link_recv(a->watcher, &f, &err);
		if (got != LINK_GOT)
			break;
		if (take_control(a, &f))
			continue;
		frame_close_fds(&f);
		got = LINK_BROKEN;
		break;
	}
	if (got == LINK_BROKEN)
		trouble(a, LOG_LINK_BROKEN, err.text);
	if (got == LINK_BROKEN || got == LINK_CLOSED)
		drop_watcher(a);
	rearm(a);
}

static void meet_watcher(struct auth *a, struct link *link)
{
	drop_watcher(a);
	a->watcher = link;
	if (!watch_start(a->loop, &a->control, link_fd(link), WATCH_READ, on_control, a))
		drop_watcher(a);
}

/* ---- what the supervisor says -------------------------------------------------------- */

static int take_fd(struct frame *f)
{
	int fd = f->fds[0];

	f->fds[0] = -1;
	return fd;
}

static bool take_conf(struct auth *a, struct frame *f, struct err *err)
{
	const struct conf *conf = start_map_conf(take_fd(f), err);

	if (!conf)
		return false;
	start_unmap_conf(&a->start->conf);
	a->start->conf = conf;
	store_link_conf(a->store, conf);
	return true;
}

static bool take_peer(struct auth *a, struct frame *f, struct err *err)
{
	struct msg_PEER m;
	struct link *link;

	if (!msg_PEER_unpack(f->bytes, &m) || m.role >= ROLE_COUNT)
		return err_set(err, "peer makes no sense");
	if (!link_open(&link, take_fd(f), ROLE_AUTH, (enum role)m.role, m.number, err))
		return false;
	if (m.role == ROLE_WATCH)
		meet_watcher(a, link);
	else if (m.role == ROLE_STORE)
		store_link_meet(a->store, link);
	else
		link_close(&link);
	return true;
}

static bool take_life(struct auth *a, struct frame *f, struct err *err)
{
	bool good = true;

	if (f->kind == MSG_CONF)
		good = take_conf(a, f, err);
	else if (f->kind == MSG_PEER)
		good = take_peer(a, f, err);
	else if (f->kind == MSG_DRAIN)
		loop_stop(a->loop);
	else if (f->kind != MSG_GONE)
		good = err_set(err, "%s is not for auth", message_table[f->kind].word);
	frame_close_fds(f);
	return good;
}

static void on_life(void *arg, unsigned ready)
{
	struct auth *a = arg;
	struct frame f;
	struct err err;

	(void)ready;
	for (;;) {
		switch (link_recv(a->start->life, &f, &err)) {
		case LINK_GOT:
			if (take_life(a, &f, &err))
				continue;
			trouble(a, LOG_LINK_BROKEN, err.text);
			return;
		case LINK_MORE:
			return;
		case LINK_BROKEN:
			trouble(a, LOG_LINK_BROKEN, err.text);
			a->exit_code = 1;
			loop_stop(a->loop);
			return;
		case LINK_CLOSED:
			loop_stop(a->loop);
			return;
		}
	}
}

static void on_beat(void *arg)
{
	struct auth *a = arg;

	pulse_beat(a->start->pulse);
	timer_set(&a->beat, loop_now(a->loop) + BEAT_EVERY);
}

/* ---- the start -------------------------------------------------------------------------- */

static bool enter(struct auth *a, struct err *err)
{
	struct start *s = a->start;
	char dir[2 * TEXT_MAX], path[2 * TEXT_MAX + 16];
	const char *dirs[] = { dir, NULL };
	struct sandbox box = { .role = ROLE_AUTH, .read_write = dirs };

	snprintf(dir, sizeof(dir), "%s/auth", s->conf->set.dir);
	snprintf(path, sizeof(path), "%s/auth.db", dir);
	if (!password_init())
		return err_set(err, "libsodium cannot be used");
	if (!start_sandbox(s, &box, err) || !loop_open(&a->loop, err) ||
	    !passwords_open(&a->passwords, a->loop, path, &answers, a, err) ||
	    !store_link_open(&a->store, a->loop, dir, s->conf, &signer_calls, a, err))
		return false;
	if (!watch_start(a->loop, &a->life, link_fd(s->life), WATCH_READ, on_life, a))
		return err_set(err, "the link to the supervisor cannot be watched");
	timer_init(&a->beat, a->loop, on_beat, a);
	on_beat(a);
	for (size_t i = 0; i < s->peer_count; i++)
		if (s->peers[i].role == ROLE_WATCH)
			meet_watcher(a, s->peers[i].link);
		else if (s->peers[i].role == ROLE_STORE)
			store_link_meet(a->store, s->peers[i].link);
	return start_ready(s, err);
}

int auth_main(struct start *start)
{
	struct auth a = { .start = start };
	struct err err;

	if (enter(&a, &err)) {
		loop_run(a.loop);
	} else {
		start_failed(start, &err);
		a.exit_code = 1;
	}
	drop_watcher(&a);
	if (a.loop)
		loop_close(&a.loop);
	store_link_close(&a.store);
	passwords_close(&a.passwords);
	return a.exit_code;
}
