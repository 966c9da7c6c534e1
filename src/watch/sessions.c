#include "watch/sessions.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/fields.h"
#include "base/id.h"
#include "guard/seats.h"
#include "watch/best.h"

#define SEATS_A_STEP 256
#define WITHIN	     (2 * MS_SECOND)

struct listing {
	struct walk walk;
	struct asked asked;
	struct asked_words words;
	uint64_t user; /* of this one only, by its hash; 0: of all */
	struct best best;
	unsigned worker;
	uint32_t seat;
	struct best_one places[];
};

static double worth_of(const struct seat *s, ms_t now)
{
	double age = (double)(now - s->opened);

	/* points count first; no session is as old as the divisor */
	return (s->known_good ? -1 : (double)s->points) + age / 1e13;
}

static bool wanted(const struct listing *l, const struct seat *s)
{
	return (!l->words.has_client || net_has(&l->words.client, &s->peer)) &&
	       (!l->user || s->user == l->user);
}

static bool on_step(struct walk *w)
{
	struct listing *l = (struct listing *)w;
	const struct sight *s = l->asked.sight;
	const struct memory *m = &s->view.guard.memory;
	struct seat seat;

	for (int i = 0; i < SEATS_A_STEP; i++, l->seat++) {
		while (l->worker < seats_workers(m) &&
		       l->seat >= seats_high(m, l->worker)) {
			l->worker++;
			l->seat = 0;
		}
		if (l->worker >= seats_workers(m))
			return false;
		if (seat_read(m, l->worker, l->seat, &seat) && wanted(l, &seat))
			best_offer(&l->best,
				   &(struct best_one){
					   .worth = worth_of(&seat, loop_now(s->loop)),
					   .what = l->worker,
					   .which = l->seat });
	}
	return true;
}

static void put_id(struct buf *out, uint64_t id)
{
	uint8_t mem[ID_PRINTED + 1];
	struct buf text;

	buf_init(&text, mem, sizeof(mem));
	id_print(id, &text);
	field_text(out, "session", buf_span(&text));
}

static void say_seat(const struct listing *l, unsigned worker, const struct seat *seat)
{
	static const struct addr nobody = { { 0 } };
	const struct sight *s = l->asked.sight;
	ms_t now = loop_now(s->loop);
	int64_t wall = loop_wall(s->loop);
	uint8_t mem[512];
	struct buf out;

	buf_init(&out, mem, sizeof(mem));
	put_id(&out, seat->session);
	asked_field_addr(&out, "peer", &seat->peer);
	if (!addr_eq(&seat->via, &nobody) && !addr_eq(&seat->via, &seat->peer))
		asked_field_addr(&out, "via", &seat->via);
	field_text(&out, "state",
		   span_str(seat->state < SEAT_STATES ? seat_state_word[seat->state]
						      : "?"));
	field_time(&out, "since", wall - (now - seat->opened));
	field_number(&out, "still-ms", now > seat->moved ? now - seat->moved : 0);
	field_text(&out, "standing",
		   seat->known_good ? SPAN("known-good") : SPAN("stranger"));
	field_number(&out, "points", seat->points);
	field_number(&out, "bytes", (int64_t)(seat->bytes & INT64_MAX));
	field_number(&out, "cpu-ms", seat->busy_us / 1000);
	field_number(&out, "commands", seat->commands);
	field_number(&out, "messages", seat->messages);
	field_flag(&out, "tls", seat->tls != 0);
	if (seat->listener < s->conf->listener_count && seat->listener < LISTENERS_MAX)
		field_text(&out, "listener",
			   span_str(s->conf->listeners[seat->listener].name));
	field_number(&out, "edge", worker);
	field_text(&out, seat->user ? "user" : "helo",
		   span_head(span_of(seat->name, SEAT_NAME), seat->name_n));
	asked_row(&l->asked, &out);
}

static void on_end(struct walk *w, enum walk_end how)
{
	struct listing *l = (struct listing *)w;
	const struct memory *m = &l->asked.sight->view.guard.memory;
	char text[160] = "";
	struct seat seat;

	best_sort(&l->best);
	for (size_t i = 0; i < l->best.n && how != WALK_DROPPED; i++) {
		const struct best_one *one = &l->best.one[i];

		/* it may have ended meanwhile, or be another one's */
		if (seat_read(m, (unsigned)one->what, one->which, &seat) &&
		    wanted(l, &seat))
			say_seat(l, (unsigned)one->what, &seat);
	}
	if (l->best.offered > l->best.n)
		snprintf(text, sizeof(text),
			 "%zu of %llu, those of worst standing: --limit N shows more.",
			 l->best.n, (unsigned long long)l->best.offered);
	if (how != WALK_DROPPED)
		asked_done(&l->asked, text);
	free(l);
}

void sessions_say(const struct asked *a)
{
	struct listing *l;
	struct asked_words words;
	uint8_t mem[2 * USER_MAX + 2];
	struct buf user;
	struct err err;

	if (!asked_read(a->rest, WORD_LIMIT | WORD_CLIENT | WORD_USER, &words, &err)) {
		asked_refuse(a, err.text);
		return;
	}
	if (!a->sight->view.has_memory) {
		asked_refuse(a, "The guard's memory is not there. See the log.");
		return;
	}
	buf_init(&user, mem, sizeof(mem));
	if (words.user.n && !asked_user(a->sight, words.user, &user)) {
		asked_refuse(a, "That name is too long for a user.");
		return;
	}
	l = calloc(1, sizeof(*l) + words.limit * sizeof(l->places[0]));
	if (!l) {
		asked_refuse(a, "Out of memory.");
		return;
	}
	l->asked = (struct asked){ .sight = a->sight, .ask = a->ask };
	l->words = words;
	l->words.target = l->words.why = l->words.by = l->words.user = SPAN_NONE;
	if (user.len)
		l->user = memory_hash(&a->sight->view.guard.memory, buf_span(&user));
	best_init(&l->best, l->places, words.limit);
	l->walk.step = on_step;
	l->walk.on_end = on_end;
	walk_start(&l->walk, &a->sight->walks, a->sight->loop, WITHIN);
}
