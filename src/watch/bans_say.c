/* `bans`: which are in force, the newest first. */
#include <stdio.h>
#include <stdlib.h>

#include "base/fields.h"
#include "watch/bans_inner.h"
#include "watch/best.h"

static void say_order(const struct asked *a, const struct order *o)
{
	uint8_t mem[512];
	struct buf out;

	buf_init(&out, mem, sizeof(mem));
	asked_field_net(&out, "prefix", &o->net);
	field_text(&out, "by", SPAN("administrator"));
	field_text(&out, "rule", span_str(rule_table[RULE_ORDER].word));
	field_text(&out, "step", span_str(guard_step_word[STEP_REFUSE]));
	field_time(&out, "since", o->since);
	if (o->until == INT64_MAX)
		field_text(&out, "until", SPAN("for good"));
	else
		field_time(&out, "until", o->until);
	if (o->why[0])
		field_text(&out, "why", span_of(o->why, strnlen(o->why, ORDER_WHY_MAX)));
	asked_row(a, &out);
}

static void say_ban(const struct asked *a, struct ban_note note)
{
	const struct sight *s = a->sight;
	struct net net = guard_key_net(note.key);
	uint8_t mem[512];
	struct buf out;

	bans_refresh(s->bans, &note);
	buf_init(&out, mem, sizeof(mem));
	asked_field_net(&out, "prefix", &net);
	field_text(&out, "by", SPAN("guard"));
	field_text(&out, "rule", span_str(bans_rule_of(&note.ban)));
	field_text(&out, "step", span_str(bans_step_of(&note.ban)));
	bans_field_second(s, &out, "since", note.ban.since);
	bans_field_second(s, &out, "until", note.ban.until);
	field_number(&out, "bans", note.ban.level);
	asked_field_real(&out, "points", (double)note.ban.points);
	field_number(&out, "tries", note.ban.tries);
	asked_field_real(&out, "before-per-hour", (double)note.ban.before);
	asked_field_real(&out, "after-per-hour",
			 view_tries_after(&note.ban, loop_now(s->loop)));
	if (note.ban.observed)
		field_flag(&out, "observed", true);
	asked_row(a, &out);
}

static size_t say_orders(const struct asked *a, size_t limit)
{
	struct order o;
	size_t n = 0;

	if (!a->sight->view.orders)
		return 0;
	for (size_t at = 0; orders_next(a->sight->view.orders, &at, &o);) {
		if (o.kind != ORDER_BAN || o.until <= loop_wall(a->sight->loop))
			continue;
		if (n++ < limit)
			say_order(a, &o);
	}
	return n;
}

static size_t say_bans(const struct asked *a, struct best_one *places, size_t limit)
{
	const struct bans *b = a->sight->bans;
	struct best best;

	best_init(&best, places, limit);
	for (size_t i = 0; i < b->table.cap; i++)
		if (b->table.place[i].used)
			best_offer(&best,
				   &(struct best_one){
					   .worth = b->table.place[i].note.ban.since,
					   .what = i });
	best_sort(&best);
	for (size_t i = 0; i < best.n; i++)
		say_ban(a, b->table.place[best.one[i].what].note);
	return best.offered;
}

void bans_say(const struct asked *a)
{
	struct best_one *places;
	struct asked_words w;
	struct err err;
	size_t total, shown;
	char text[128] = "";

	if (!asked_read(a->rest, WORD_LIMIT, &w, &err)) {
		asked_refuse(a, err.text);
		return;
	}
	places = calloc(w.limit, sizeof(*places));
	if (!places) {
		asked_refuse(a, "Out of memory.");
		return;
	}
	total = say_orders(a, w.limit);
	shown = total < w.limit ? total : w.limit;
	total += say_bans(a, places, w.limit - shown);
	free(places);
	if (total > w.limit)
		snprintf(text, sizeof(text), "%zu of %zu: --limit N shows more.",
			 (size_t)w.limit, total);
	asked_done(a, text);
}
