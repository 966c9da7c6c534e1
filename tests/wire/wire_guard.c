#include "tests/wire/wire_guard.h"

#include <stdlib.h>

#include "base/number.h"
#include "tests/unit/access_maker.h"

static struct span next_word(struct span *text)
{
	*text = span_trim(*text);
	return span_cut(text, ' ');
}

static bool is(struct span word, const char *what)
{
	return span_eq(word, span_str(what));
}

/* ---- standing ------------------------------------------------------------------------ */

static void forget_all(struct standing *st)
{
	struct facts facts = st->facts;

	*st = (struct standing){ .facts = facts };
	memcpy(st->id, "X7K2Q9M", sizeof("X7K2Q9M"));
}

static const char *put_rule(struct standing *st, struct span word, bool over)
{
	st->late = rule_named(word);
	st->over = over;
	return st->late == RULE_NONE ? "there is no such rule" : NULL;
}

static const char *put_time(ms_t *to, struct span word)
{
	return duration_parse(word, to) ? NULL : "how long?";
}

static const char *put_number(int64_t *to, struct span word)
{
	uint64_t n;

	if (!number_parse(word, 1000000, &n))
		return "how many?";
	*to = (int64_t)n;
	return NULL;
}

const char *wire_guard(struct stage *g, struct span text)
{
	struct standing *st = &g->standing;
	struct span what = next_word(&text), word = next_word(&text);

	g->no_guard = is(what, "none");
	if (is(what, "late") || is(what, "over"))
		return put_rule(st, word, is(what, "over"));
	if (is(what, "delay"))
		return put_time(&st->delay, word);
	if (is(what, "command-timeout"))
		return put_time(&st->command_timeout, word);
	if (is(what, "data-timeout"))
		return put_time(&st->data_timeout, word);
	if (is(what, "errors"))
		return put_number(&st->errors, word);
	if (is(what, "junk"))
		return put_number(&st->junk, word);
	if (is(what, "observes")) {
		g->conf.observed[rule_named(word)] = true;
		return rule_named(word) == RULE_NONE ? "there is no such rule" : NULL;
	}
	if (is(what, "passed"))
		st->passed = true;
	else if (is(what, "known-good"))
		st->known_good = true;
	else if (is(what, "allowed"))
		st->allowed = true;
	else if (is(what, "no-handshakes"))
		st->handshake_over = true;
	else if (is(what, "code"))
		st->id[0] = '\0';
	else if (is(what, "fine"))
		forget_all(st);
	else if (!is(what, "none"))
		return "what does the guard think?";
	return NULL;
}

/* ---- look-ups ------------------------------------------------------------------------ */

static const char *put_fact(struct facts *f, struct span word)
{
	struct span value = word, name = span_cut(&value, '=');
	uint64_t n = 0;

	if (is(name, "no-ptr")) {
		f->no_ptr = true;
	} else if (is(name, "forged")) {
		f->ptr_forged = true;
	} else if (is(name, "failed")) {
		f->failed = true;
	} else if (is(name, "name")) {
		f->name_n = (uint8_t)value.n;
		memcpy(f->name, value.p, value.n);
	} else if (!number_parse(value, 1000, &n)) {
		return "how heavy?";
	} else if (is(name, "listed")) {
		f->listed = true;
		f->weight += (int32_t)n;
	} else if (is(name, "welcomed")) {
		f->welcomed = true;
		f->weight -= (int32_t)n;
	} else {
		return "what do look-ups tell?";
	}
	return NULL;
}

const char *wire_facts(struct stage *g, struct span text)
{
	struct facts *f = &g->standing.facts;
	struct span what = next_word(&text);
	const char *why = NULL;

	*f = (struct facts){ .state = is(what, "pending") ? FACTS_PENDING
				      : is(what, "known") ? FACTS_KNOWN
							  : FACTS_NONE };
	for (text = span_trim(text); !why && text.n; text = span_trim(text))
		why = put_fact(f, next_word(&text));
	return why;
}

/* ---- lists --------------------------------------------------------------------------- */

static int of_named(struct span word)
{
	static const char *const words[ACCESS_OF_COUNT] = { "client", "sender",
							    "recipient", "helo", "ptr" };

	for (int i = 0; i < ACCESS_OF_COUNT; i++)
		if (is(word, words[i]))
			return i;
	return 0;
}

static void make(struct wire_lists *l, struct stage *g)
{
	struct made_name names[GUARD_LISTED_MAX];
	struct made m = { .names = names, .name_count = l->count, .lists = l->count };

	for (size_t i = 0; i < l->count; i++)
		names[i] = (struct made_name){
			.text = l->entries[i].name,
			.of = (enum access_of)l->entries[i].of,
			.list = (uint32_t)i,
			.line = 1,
			.answer = (enum access_answer)l->entries[i].answer
		};
	BUG_IF(made_make(&m) != FLATTEN_DONE || !access_ok(m.mem, m.n));
	free(l->blob);
	l->blob = m.mem;
	g->access = span_of(m.mem, m.n);
}

const char *wire_access(struct stage *g, struct wire_lists *l, struct span text)
{
	int of = of_named(next_word(&text));
	struct span answer = next_word(&text), name = span_trim(text);

	if (of == 0 || (!is(answer, "permit") && !is(answer, "deny")) || !name.n)
		return "what is listed?";
	if (l->count == GUARD_LISTED_MAX || name.n >= sizeof(l->entries[0].name))
		return "too much is listed";
	l->entries[l->count].of = of;
	l->entries[l->count].answer = is(answer, "permit") ? ACCESS_PERMIT : ACCESS_DENY;
	memcpy(l->entries[l->count].name, name.p, name.n);
	l->entries[l->count++].name[name.n] = '\0';
	make(l, g);
	return NULL;
}

void wire_lists_close(struct wire_lists *l)
{
	free(l->blob);
	l->blob = NULL;
}
