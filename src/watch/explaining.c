#include "watch/explaining.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/fields.h"
#include "guard/code.h"
#include "watch/among.h"
#include "watch/explain.h"
#include "watch/explain_account.h"
#include "watch/inquiry.h"

#define RECENT	    8192 /* a power of two */
#define ROWS_A_STEP 256
#define CODE_WITHIN (2 * MS_SECOND)
#define INSIDE_WITHIN \
	((ms_t)70) /* the answer must come soon; what was seen by then counts */

/* ---- clients of late --------------------------------------------------------------- */

struct recent {
	struct addr addr[RECENT]; /* by the low bits of their hash */
};

static uint32_t hash_of(const struct view *v, const struct addr *a)
{
	return code_hash(&v->guard.memory, guard_key_of(a, LEVEL_CLIENT));
}

bool recent_open(struct recent **out, struct err *err)
{
	*out = calloc(1, sizeof(**out));
	return *out || err_set(err, "explain: out of memory");
}

void recent_close(struct recent **r)
{
	free(*r);
	*r = NULL;
}

void recent_hear(struct recent *r, const struct view *v, const struct addr *a)
{
	if (v->has_memory)
		r->addr[hash_of(v, a) & (RECENT - 1)] = *a;
}

static bool recent_find(const struct recent *r, const struct view *v, uint32_t hash,
			struct addr *out)
{
	static const struct addr nobody = { { 0 } };
	const struct addr *a = &r->addr[hash & (RECENT - 1)];

	if (!v->has_memory || addr_eq(a, &nobody) || hash_of(v, a) != hash)
		return false;
	*out = *a;
	return true;
}

/* ---- the command ------------------------------------------------------------------- */

struct explaining {
	struct walk walk;
	struct asked asked;
	struct explain what;
	struct inside inside;
	struct among among;
	char code[CODE_MAX];
	uint32_t hash; /* with a code */
	bool found;
	size_t at;
};

static void on_row(void *arg, const struct buf *fields)
{
	const struct asked *a = arg;

	asked_row(a, fields);
}

static void tell(struct explaining *e)
{
	const struct sight *s = e->asked.sight;
	struct explain_to to = { .row = on_row, .arg = &e->asked };

	explain(&s->view, &e->what, loop_now(s->loop), loop_wall(s->loop), &to);
	asked_done(&e->asked, "");
}

/* What is inside a prefix. */
static bool inside_step(struct walk *w)
{
	struct explaining *e = (struct explaining *)w;
	const struct sight *s = e->asked.sight;
	struct guard_hot row;

	for (int i = 0; i < ROWS_A_STEP && !among_over(&e->among); i++)
		if (among_next(&e->among, &row))
			inside_add(&e->inside, &s->view, &row, loop_now(s->loop),
				   loop_wall(s->loop));
	return !among_over(&e->among);
}

static void inside_end(struct walk *w, enum walk_end how)
{
	struct explaining *e = (struct explaining *)w;

	e->inside.partial = how == WALK_LATE;
	if (how != WALK_DROPPED)
		tell(e);
	free(e);
}

/* Whose code it is: the row with that hash. */
static bool code_step(struct walk *w)
{
	struct explaining *e = (struct explaining *)w;
	const struct memory *m = &e->asked.sight->view.guard.memory;
	struct guard_hot row;
	struct guard_key key;

	for (int i = 0; i < ROWS_A_STEP && !e->found; i++, e->at++) {
		if (!memory_key_at(m, e->at, &key) ||
		    guard_key_level(key) != LEVEL_CLIENT || code_hash(m, key) != e->hash ||
		    !memory_at(m, e->at, &row) || !guard_key_eq(row.key, key))
			continue;
		e->what.net = guard_key_net(key);
		e->found = true;
	}
	return !e->found && e->at < memory_places(m);
}

/* All that the code alone says. */
static void tell_rule(const struct explaining *e)
{
	const struct rule_row *rule = &rule_table[e->what.code_rule];
	uint8_t mem[1024];
	struct buf out;

	buf_init(&out, mem, sizeof(mem));
	field_text(&out, "part", SPAN("code"));
	field_text(&out, "code", span_str(e->code));
	field_text(&out, "rule", span_str(rule->word));
	field_text(&out, "rule-says", span_str(rule->doc));
	asked_row(&e->asked, &out);
	asked_done(&e->asked,
		   "The client is not remembered any more, or the code is from an "
		   "earlier life of the server. The sender can tell its address: "
		   "holdfast explain ADDRESS");
}

static void code_end(struct walk *w, enum walk_end how)
{
	struct explaining *e = (struct explaining *)w;

	if (how == WALK_DROPPED)
		(void)how;
	else if (e->found)
		tell(e);
	else
		tell_rule(e);
	free(e);
}

static void start(struct explaining *e, ms_t within, bool (*step)(struct walk *),
		  void (*on_end)(struct walk *, enum walk_end))
{
	const struct sight *s = e->asked.sight;

	e->walk.step = step;
	e->walk.on_end = on_end;
	if (s->view.has_memory)
		walk_start(&e->walk, &e->asked.sight->walks, s->loop, within);
	else
		on_end(&e->walk, WALK_DONE);
}

static void explain_code(struct explaining *e, struct span text)
{
	const struct sight *s = e->asked.sight;
	struct addr client;

	for (size_t i = 0; i < text.n && i < sizeof(e->code) - 1; i++)
		e->code[i] = (char)text.p[i];
	e->what.code = e->code;
	if (!recent_find(s->recent, &s->view, e->hash, &client)) {
		start(e, CODE_WITHIN, code_step, code_end);
		return;
	}
	e->what.net = (struct net){ .addr = client, .bits = 128 };
	tell(e);
	free(e);
}

static void explain_net(struct explaining *e)
{
	struct guard_key key = guard_key_of(&e->what.net.addr, LEVEL_CLIENT);

	if (guard_key_net(key).bits > e->what.net.bits) {
		e->what.inside = &e->inside;
		e->inside.net = e->what.net;
		if (e->asked.sight->view.has_memory)
			among_init(&e->among, &e->asked.sight->view.guard.memory,
				   &e->what.net);
		start(e, INSIDE_WITHIN, inside_step, inside_end);
		return;
	}
	tell(e);
	free(e);
}

/* ---- accounts ----------------------------------------------------------------------- */

/* It waits for what others know of the account. */
struct explaining_user {
	struct sight *sight;
	uint32_t ask;
	struct buf name;
	uint8_t mem[2 * USER_MAX + 2];
};

static void tell_user(void *arg, const struct account_facts *facts)
{
	struct explaining_user *e = arg;
	struct sight *s = e->sight;
	struct asked answer = { .sight = s, .ask = e->ask };
	struct explain_to to = { .row = on_row, .arg = &answer };

	explain_account(&s->view, buf_span(&e->name), facts, loop_now(s->loop),
			loop_wall(s->loop), &to);
	asked_done(&answer,
		   s->view.has_accounts ? "" : "The memory of accounts is not there.");
	free(e);
}

static void explain_user(const struct asked *a, struct span text)
{
	struct sight *s = a->sight;
	struct explaining_user *e = calloc(1, sizeof(*e));

	if (!e) {
		asked_refuse(a, "Out of memory.");
		return;
	}
	e->sight = s;
	e->ask = a->ask;
	buf_init(&e->name, e->mem, sizeof(e->mem));
	if (!asked_user(s, text, &e->name)) {
		free(e);
		asked_refuse(a, "That name is too long for a user.");
		return;
	}
	inquiry_begin(s->inquiries, buf_span(&e->name), tell_user, e);
}

void campaigns_say(const struct asked *a)
{
	const struct sight *s = a->sight;
	struct asked answer = { .sight = a->sight, .ask = a->ask };
	struct explain_to to = { .row = on_row, .arg = &answer };
	struct asked_words words;
	struct err err = { 0 };

	if (!asked_read(a->rest, 0, &words, &err)) {
		asked_refuse(a, err.text);
		return;
	}
	asked_done(a,
		   explain_campaigns(&s->view, loop_now(s->loop), loop_wall(s->loop), &to)
			   ? ""
			   : "No campaign of guessers is known now.");
}

void explaining_say(const struct asked *a)
{
	struct explaining *e = calloc(1, sizeof(*e));
	struct asked_words words;
	struct err err = { 0 };

	if (!e || !asked_read(a->rest, WORD_TARGET, &words, &err)) {
		free(e);
		asked_refuse(a, *err.text ? err.text : "Out of memory.");
		return;
	}
	e->asked = (struct asked){ .sight = a->sight, .ask = a->ask };
	if (asked_net(words.target, &e->what.net, &err)) {
		explain_net(e);
	} else if (code_parse(words.target, &e->what.code_rule, &e->hash)) {
		explain_code(e, words.target);
	} else if (asked_is_user(words.target)) {
		free(e);
		explain_user(a, words.target);
	} else {
		free(e);
		asked_refuse(a, err.text);
	}
}
