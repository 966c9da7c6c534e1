/* Bans as they come and go: told by edges, logged, in the kernel and out of it again. */
#include "watch/bans_inner.h"

#include <stdlib.h>
#include <sys/random.h>

#include "base/fields.h"

#define TICK	     ((ms_t)100)
#define NOTES_A_TICK 4000
#define LOOKS_A_TICK 8192 /* places of the table that are searched for what is over */
#define ROWS_A_STEP  256
#define WALK_WITHIN  (30 * MS_SECOND)

size_t bans_count(const struct bans *b)
{
	return b->table.used - b->table.observed;
}

bool bans_next(const struct bans *b, size_t *at, struct ban_note *out)
{
	return ban_table_each(&b->table, at, out);
}

/* ---- the log and the kernel -------------------------------------------------------- */

const char *bans_rule_of(const struct guard_ban *ban)
{
	return ban->rule < RULE_COUNT ? rule_table[ban->rule].word : "?";
}

const char *bans_step_of(const struct guard_ban *ban)
{
	return ban->step < STEP_COUNT ? guard_step_word[ban->step] : "?";
}

void bans_field_second(const struct sight *s, struct buf *out, const char *name, gsec_t at)
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
	field_text(&out, "rule", span_str(bans_rule_of(&note->ban)));
	field_text(&out, "step", span_str(bans_step_of(&note->ban)));
	bans_field_second(s, &out, "until", note->ban.until);
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
	field_text(&out, "rule", span_str(bans_rule_of(&note->ban)));
	bans_field_second(s, &out, "since", note->ban.since);
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
	ban_table_keep(&b->table, note);
	if (belongs_into_kernel(b, &note->ban))
		kernel_block(b->sight->kernel, &net, left);
}

void bans_refresh(const struct bans *b, struct ban_note *note)
{
	struct guard_hot row;

	if (memory_peek(&b->sight->view.guard.memory, note->key, &row) &&
	    row.ban.since == note->ban.since)
		note->ban = row.ban;
}

static void ended(struct bans *b, struct ban_place *p, const char *how)
{
	struct ban_note note = p->note;
	struct net net = guard_key_net(note.key);

	ban_table_drop(&b->table, p);
	bans_refresh(b, &note);
	log_ended(b, &note, how);
	if (note.ban.step == STEP_KERNEL)
		kernel_unblock(b->sight->kernel, &net);
}

struct some {
	struct ban_note *note;
	size_t n, cap;
};

static bool some_put(struct some *s, const struct ban_note *note)
{
	if (s->n == s->cap) {
		size_t cap = s->cap ? 2 * s->cap : 64;
		struct ban_note *mem = realloc(s->note, cap * sizeof(*mem));

		if (!mem)
			return false;
		s->note = mem;
		s->cap = cap;
	}
	s->note[s->n++] = *note;
	return true;
}

static bool is_inside(const struct ban_note *note, const struct net *net)
{
	struct net one = guard_key_net(note->key);

	return net_inside(&one, net);
}

/* Found first: dropping one moves others. */
size_t bans_lift(struct bans *b, const struct net *net)
{
	struct some found = { 0 };
	struct ban_note note;

	for (size_t at = 0; ban_table_each(&b->table, &at, &note);)
		if (is_inside(&note, net) && !some_put(&found, &note))
			break;
	for (size_t i = 0; i < found.n; i++) {
		struct ban_place *p = ban_table_find(&b->table, found.note[i].key);

		if (p->used)
			ended(b, p, "lifted");
	}
	free(found.note);
	return found.n;
}

/* ---- what edges tell --------------------------------------------------------------- */

static void hear(struct bans *b, const struct ban_note *note)
{
	struct ban_place *p;

	if (!guard_key_ok(note->key) || note->ban.step >= STEP_COUNT ||
	    note->ban.rule >= RULE_COUNT)
		return;
	if (!note->over) {
		began(b, note);
		return;
	}
	p = ban_table_find(&b->table, note->key);
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
			ban_table_keep(&f->bans->table,
				       &(struct ban_note){ .key = row.key,
							   .ban = row.ban });
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

	for (size_t i = 0; i < LOOKS_A_TICK && i < b->table.cap; i++) {
		struct ban_place *p = &b->table.place[b->looked++ & (b->table.cap - 1)];

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
	uint64_t key[2] = { 0 };

	if (getrandom(key, sizeof(key), 0) < 0)
		key[0] = (uint64_t)loop_wall(s->loop);
	if (!b || !ban_table_open(&b->table, key)) {
		free(b);
		return err_set(err, "bans: out of memory");
	}
	b->sight = s;
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
	ban_table_close(&b->table);
	free(b);
}
