/* kick: end sessions, of one number, of an address or prefix, of a user. */
#include <stdio.h>
#include <stdlib.h>

#include "base/id.h"
#include "guard/seats.h"
#include "watch/ordering_inner.h"

struct kicking {
	struct walk walk;
	struct asked asked;
	struct kick kick;
	char what[64];
	unsigned worker;
	uint32_t seat;
	uint64_t found;
};

static bool is_kicked(const struct kick *k, const struct seat *s)
{
	if (k->session)
		return s->session == k->session;
	return k->user ? s->user == k->user : net_has(&k->net, &s->peer);
}

static bool kick_step(struct walk *w)
{
	struct kicking *k = (struct kicking *)w;
	const struct memory *m = &k->asked.sight->view.guard.memory;
	struct seat seat;

	for (int i = 0; i < ROWS_A_STEP; i++, k->seat++) {
		while (k->worker < seats_workers(m) &&
		       k->seat >= seats_high(m, k->worker)) {
			k->worker++;
			k->seat = 0;
		}
		if (k->worker >= seats_workers(m))
			return false;
		if (seat_read(m, k->worker, k->seat, &seat))
			k->found += is_kicked(&k->kick, &seat);
	}
	return true;
}

static void kick_end(struct walk *w, enum walk_end how)
{
	struct kicking *k = (struct kicking *)w;
	const struct sight *s = k->asked.sight;
	char text[200];

	if (how == WALK_DONE && k->found == 0) {
		snprintf(text, sizeof(text),
			 "%s has no session here: `holdfast sessions` lists "
			 "them.",
			 k->what);
		asked_refuse(&k->asked, text);
	} else if (how != WALK_DROPPED) {
		orders_kick(s->view.orders, &k->kick);
		ordering_log_net(s, "kick",
				 k->kick.session || k->kick.user ? NULL : &k->kick.net, 0,
				 span_str(k->what));
		snprintf(text, sizeof(text), "%llu session%s of %s: told to end.",
			 (unsigned long long)k->found, k->found == 1 ? "" : "s", k->what);
		asked_done(&k->asked, text);
	}
	free(k);
}

/* Neither IPv4 nor IPv6 was meant. */
static bool is_word(struct span text)
{
	return span_find(text, '.') == text.n && span_find(text, ':') == text.n;
}

/* A session, an address, or a user. */
static bool find_kicked(const struct sight *s, struct span target, struct kick *out,
			struct err *err)
{
	uint8_t mem[2 * USER_MAX + 2];
	struct buf user;

	if (id_parse(target, &out->session) || asked_net(target, &out->net, err))
		return true;
	if (!asked_is_user(target) && is_word(target))
		return err_set(err,
			       "\"%.*s\" is no session: `holdfast sessions` lists them; an "
			       "address, a prefix or a user can be kicked, too",
			       SPAN_ARG(span_head(target, 60)));
	if (!asked_is_user(target))
		return false;
	buf_init(&user, mem, sizeof(mem));
	if (!asked_user(s, target, &user))
		return err_set(err, "That name is too long for a user.");
	out->user = memory_hash(&s->view.guard.memory, buf_span(&user));
	return true;
}

void ordering_kick(const struct asked *a)
{
	struct kicking *k = calloc(1, sizeof(*k));
	struct asked_words w;
	struct err err = { 0 };

	if (!k || !asked_read(a->rest, WORD_TARGET, &w, &err)) {
		free(k);
		asked_refuse(
			a, *err.text ? "kick SESSION | ADDRESS | PREFIX | USER: `holdfast "
				       "sessions` lists the sessions."
				     : "Out of memory.");
		return;
	}
	if (!a->sight->view.orders || !a->sight->view.has_memory) {
		free(k);
		asked_refuse(a, "The guard's memory is not there. See the log.");
		return;
	}
	if (!find_kicked(a->sight, w.target, &k->kick, &err)) {
		free(k);
		asked_refuse(a, err.text);
		return;
	}
	k->asked = (struct asked){ .sight = a->sight, .ask = a->ask };
	snprintf(k->what, sizeof(k->what), "%.*s", SPAN_ARG(span_head(w.target, 60)));
	k->walk.step = kick_step;
	k->walk.on_end = kick_end;
	walk_start(&k->walk, &a->sight->walks, a->sight->loop, COUNT_WITHIN);
}
