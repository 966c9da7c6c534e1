#include "watch/bans.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

#include "base/fields.h"
#include "base/siphash.h"
#include "watch/best.h"

#define TICK	     ((ms_t)100)
#define NOTES_A_TICK 4000
#define LOOKS_A_TICK 8192 /* places of the table that are searched for what is over */
#define PLACES_LEAST 1024
#define PLACES_MAX   (1u << 19) /* a power of two */
#define ROWS_A_STEP  256
#define WALK_WITHIN  (30 * MS_SECOND)

struct place {
	bool used;
	struct ban_note note;
};

struct bans {
	struct sight *sight;
	struct timer tick;
	uint64_t notes_at;
	uint64_t hash_key[2];
	struct place *place;
	size_t cap, used, observed;
	size_t looked; /* where the search for what is over goes on */
	bool walking;
};

/* ---- the table --------------------------------------------------------------------- */

static size_t home_of(const struct bans *b, struct guard_key k)
{
	uint8_t mem[9];

	memcpy(mem, &k.prefix, 8);
	mem[8] = k.kind;
	return (size_t)siphash(b->hash_key, span_of(mem, sizeof(mem))) & (b->cap - 1);
}

/* Where it is, or where it would be. */
static struct place *find(const struct bans *b, struct guard_key k)
{
	size_t at = home_of(b, k);

	while (b->place[at].used && !guard_key_eq(b->place[at].note.key, k))
		at = (at + 1) & (b->cap - 1);
	return &b->place[at];
}

static bool grow(struct bans *b)
{
	struct place *old = b->place;
	size_t cap = b->cap;
	struct place *mem = cap < PLACES_MAX ? calloc(2 * cap, sizeof(*mem)) : NULL;

	if (!mem)
		return false;
	b->place = mem;
	b->cap = 2 * cap;
	for (size_t i = 0; i < cap; i++)
		if (old[i].used)
			*find(b, old[i].note.key) = old[i];
	free(old);
	return true;
}

/* False: there is no more room; then it holds all the same, and is only not listed. */
static bool keep(struct bans *b, const struct ban_note *note)
{
	struct place *p = find(b, note->key);

	if (!p->used && 4 * (b->used + 1) > 3 * b->cap) {
		if (!grow(b))
			return false;
		p = find(b, note->key);
	}
	b->observed -= p->used && p->note.ban.observed;
	b->observed += note->ban.observed != 0;
	b->used += !p->used;
	*p = (struct place){ .used = true, .note = *note };
	return true;
}

/* Those behind it that only stand there because this place was taken move up. */
static void drop(struct bans *b, struct place *p)
{
	size_t hole = (size_t)(p - b->place), at = hole, mask = b->cap - 1;

	b->observed -= p->note.ban.observed != 0;
	b->used--;
	for (;;) {
		at = (at + 1) & mask;
		if (!b->place[at].used)
			break;
		if (((at - home_of(b, b->place[at].note.key)) & mask) >=
		    ((at - hole) & mask)) {
			b->place[hole] = b->place[at];
			hole = at;
		}
	}
	b->place[hole].used = false;
}

size_t bans_count(const struct bans *b)
{
	return b->used - b->observed;
}

bool bans_next(const struct bans *b, size_t *at, struct ban_note *out)
{
	while (*at < b->cap) {
		const struct place *p = &b->place[(*at)++];

		if (p->used) {
			*out = p->note;
			return true;
		}
	}
	return false;
}

/* ---- the log and the kernel -------------------------------------------------------- */

static const char *rule_of(const struct guard_ban *ban)
{
	return ban->rule < RULE_COUNT ? rule_table[ban->rule].word : "?";
}

static const char *step_of(const struct guard_ban *ban)
{
	return ban->step < STEP_COUNT ? guard_step_word[ban->step] : "?";
}

static void field_second(const struct sight *s, struct buf *out, const char *name,
			 gsec_t at)
{
	if (at)
		field_time(out, name,
			   view_wall(at, loop_now(s->loop), loop_wall(s->loop)));
}

static void log_began(struct bans *b, const struct ban_note *note)
{
	struct sight *s = b->sight;
	struct net net = guard_key_net(note->key);
	uint8_t mem[512];
	struct buf out;

	buf_init(&out, mem, sizeof(mem));
	asked_field_net(&out, "prefix", &net);
	field_text(&out, "rule", span_str(rule_of(&note->ban)));
	field_text(&out, "step", span_str(step_of(&note->ban)));
	field_second(s, &out, "until", note->ban.until);
	field_number(&out, "bans", note->ban.level);
	asked_field_real(&out, "points", (double)note->ban.points);
	asked_field_real(&out, "before-per-hour", (double)note->ban.before);
	log_about(s->log, note->ban.observed ? LOG_WOULD_REFUSE : LOG_BANNED, &net.addr,
		  buf_span(&out));
}

static void log_ended(struct bans *b, const struct ban_note *note, const char *how)
{
	struct sight *s = b->sight;
	struct net net = guard_key_net(note->key);
	uint8_t mem[512];
	struct buf out;

	if (note->ban.observed)
		return;
	buf_init(&out, mem, sizeof(mem));
	asked_field_net(&out, "prefix", &net);
	field_text(&out, "how", span_str(how));
	field_text(&out, "rule", span_str(rule_of(&note->ban)));
	field_second(s, &out, "since", note->ban.since);
	field_number(&out, "tries", note->ban.tries);
	asked_field_real(&out, "before-per-hour", (double)note->ban.before);
	asked_field_real(&out, "after-per-hour",
			 view_tries_after(&note->ban, loop_now(s->loop)));
	log_about(s->log, LOG_BAN_ENDED, &net.addr, buf_span(&out));
}

static bool belongs_into_kernel(const struct bans *b, const struct guard_ban *ban)
{
	return ban->step == STEP_KERNEL && !ban->observed &&
	       view_enforces(&b->sight->view, (enum rule)ban->rule);
}

static void began(struct bans *b, const struct ban_note *note)
{
	struct net net = guard_key_net(note->key);
	ms_t left = ((ms_t)note->ban.until -
		     (ms_t)memory_second(loop_now(b->sight->loop))) *
		    MS_SECOND;

	log_began(b, note);
	if (left <= 0)
		return;
	(void)keep(b, note);
	if (belongs_into_kernel(b, &note->ban))
		kernel_block(b->sight->kernel, &net, left);
}

/* What the memory says of a ban now: tries grow without a note. */
static void refresh(const struct bans *b, struct ban_note *note)
{
	struct guard_hot row;

	if (memory_peek(&b->sight->view.guard.memory, note->key, &row) &&
	    row.ban.since == note->ban.since)
		note->ban = row.ban;
}

static void ended(struct bans *b, struct place *p, const char *how)
{
	struct ban_note note = p->note;
	struct net net = guard_key_net(note.key);

	drop(b, p);
	refresh(b, &note);
	log_ended(b, &note, how);
	if (note.ban.step == STEP_KERNEL)
		kernel_unblock(b->sight->kernel, &net);
}

size_t bans_lift(struct bans *b, const struct net *net)
{
	struct ban_note *found = NULL;
	size_t n = 0, cap = 0;

	/* dropping one moves others */
	for (size_t i = 0; i < b->cap; i++) {
		struct net one;

		if (!b->place[i].used)
			continue;
		one = guard_key_net(b->place[i].note.key);
		if (!net_inside(&one, net))
			continue;
		if (n == cap) {
			struct ban_note *mem;

			cap = cap ? 2 * cap : 64;
			mem = realloc(found, cap * sizeof(*mem));
			if (!mem)
				break;
			found = mem;
		}
		found[n++] = b->place[i].note;
	}
	for (size_t i = 0; i < n; i++) {
		struct place *p = find(b, found[i].key);

		if (p->used)
			ended(b, p, "lifted");
	}
	free(found);
	return n;
}

/* ---- what edges tell --------------------------------------------------------------- */

static void hear(struct bans *b, const struct ban_note *note)
{
	struct place *p;

	if (!guard_key_ok(note->key) || note->ban.step >= STEP_COUNT ||
	    note->ban.rule >= RULE_COUNT)
		return;
	if (!note->over) {
		began(b, note);
		return;
	}
	p = find(b, note->key);
	if (p->used) {
		p->note.ban.tries = note->ban.tries;
		ended(b, p,
		      note->ban.until > memory_second(loop_now(b->sight->loop))
			      ? "lifted"
			      : "ran out");
	}
}

struct filling {
	struct walk walk;
	struct bans *bans;
	size_t at;
};

static bool on_step(struct walk *w)
{
	struct filling *f = (struct filling *)w;
	const struct sight *s = f->bans->sight;
	ms_t now = loop_now(s->loop);
	int64_t wall = loop_wall(s->loop);
	struct guard_hot row;

	for (int i = 0; i < ROWS_A_STEP; i++) {
		if (memory_at(&s->view.guard.memory, f->at++, &row) &&
		    view_banned(&s->view, &row, now, wall))
			(void)keep(f->bans,
				   &(struct ban_note){ .key = row.key, .ban = row.ban });
	}
	return f->at < memory_places(&s->view.guard.memory);
}

static void on_filled(struct walk *w, enum walk_end how)
{
	struct filling *f = (struct filling *)w;

	(void)how;
	f->bans->walking = false;
	free(f);
}

static void fill(struct bans *b)
{
	struct filling *f = b->walking ? NULL : calloc(1, sizeof(*f));

	if (!f)
		return;
	f->bans = b;
	f->walk.step = on_step;
	f->walk.on_end = on_filled;
	b->walking = true;
	walk_start(&f->walk, &b->sight->walks, b->sight->loop, WALK_WITHIN);
}

static void end_what_is_over(struct bans *b)
{
	gsec_t now = memory_second(loop_now(b->sight->loop));

	for (size_t i = 0; i < LOOKS_A_TICK && i < b->cap; i++) {
		struct place *p = &b->place[b->looked++ & (b->cap - 1)];

		if (p->used && p->note.ban.until <= now)
			ended(b, p, "ran out");
	}
}

static void on_tick(void *arg)
{
	struct bans *b = arg;
	const struct memory *m = &b->sight->view.guard.memory;
	struct ban_note note;
	bool lost = false, any = false;

	for (int i = 0;
	     i < NOTES_A_TICK && memory_next_note(m, &b->notes_at, &note, &lost); i++) {
		any |= lost;
		hear(b, &note);
	}
	if (any) {
		/* they hold all the same, and those for the kernel must get there */
		fill(b);
		kernel_refresh(b->sight->kernel);
	}
	end_what_is_over(b);
	b->sight->keep->notes_at = b->notes_at;
	kernel_flush(b->sight->kernel);
	timer_set(&b->tick, loop_now(b->sight->loop) + TICK);
}

bool bans_open(struct bans **out, struct sight *s, struct err *err)
{
	struct bans *b = calloc(1, sizeof(*b));

	if (!b || !(b->place = calloc(PLACES_LEAST, sizeof(*b->place)))) {
		free(b);
		return err_set(err, "bans: out of memory");
	}
	b->sight = s;
	b->cap = PLACES_LEAST;
	/* without it a table could be aimed at, by who gets banned */
	if (getrandom(b->hash_key, sizeof(b->hash_key), 0) < 0)
		b->hash_key[0] = (uint64_t)loop_wall(s->loop);
	timer_init(&b->tick, s->loop, on_tick, b);
	*out = b;
	if (!s->view.has_memory)
		return true;
	/* go on where an earlier watch of this server ended */
	b->notes_at = s->keep->notes_at;
	if (s->start->guard.fresh || b->notes_at > memory_notes_end(&s->view.guard.memory))
		b->notes_at = 0;
	fill(b);
	timer_set(&b->tick, loop_now(s->loop));
	return true;
}

void bans_close(struct bans **bans)
{
	struct bans *b = *bans;

	*bans = NULL;
	if (!b)
		return;
	timer_stop(&b->tick);
	free(b->place);
	free(b);
}

/* ---- the command ------------------------------------------------------------------- */

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

	refresh(s->bans, &note);
	buf_init(&out, mem, sizeof(mem));
	asked_field_net(&out, "prefix", &net);
	field_text(&out, "by", SPAN("guard"));
	field_text(&out, "rule", span_str(rule_of(&note.ban)));
	field_text(&out, "step", span_str(step_of(&note.ban)));
	field_second(s, &out, "since", note.ban.since);
	field_second(s, &out, "until", note.ban.until);
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
	for (size_t i = 0; i < b->cap; i++)
		if (b->place[i].used)
			best_offer(&best,
				   &(struct best_one){ .worth = b->place[i].note.ban.since,
						       .what = i });
	best_sort(&best);
	for (size_t i = 0; i < best.n; i++)
		say_ban(a, b->place[best.one[i].what].note);
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
