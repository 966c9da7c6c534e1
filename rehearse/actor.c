#include "rehearse/actor.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/number.h"

#define WORD_MOST   255 /* bytes of a word of a list */
#define WEIGHT_MOST 1000000
#define TITLE_MOST  60
#define TIME_MOST   (SECONDS_MAX * MS_SECOND)

/* ---- words ---- */

static const char *const own_words[] = { "n",	     "address", "port",	     "to",
					 "to-port",  "domain",	"recipient", "login",
					 "password", "random",	"digits",    "number",
					 "base64" };

static bool word_free(const struct reader *r, const config_setting_t *at,
		      const char *name, const struct actor *a)
{
	for (size_t i = 0; i < COUNT_OF(own_words); i++)
		if (strcmp(own_words[i], name) == 0)
			return reader_bad(
				r, at,
				"{%s} means something already; choose another name", name);
	for (size_t i = 0; (!a || !a->honest) && i < r->s->lists_n; i++)
		if (strcmp(r->s->lists[i].name, name) == 0)
			return reader_bad(
				r, at,
				"there is a list \"%s\" already; choose another name",
				name);
	for (size_t i = 0; a && i < a->values_n; i++)
		if (strcmp(a->values[i].words.name, name) == 0)
			return reader_bad(
				r, at,
				"there is a value \"%s\" already; choose another name",
				name);
	return true;
}

static bool words_inline(const struct reader *r, const config_setting_t *s, int most,
			 struct words *w)
{
	int n = config_setting_length(s);

	if (!reader_row(r, s, "texts: [ \"a\", \"b\" ]", most))
		return false;
	w->items = memory_take(r->m, (size_t)n, sizeof(*w->items));
	if (!w->items)
		return reader_no_room(r);
	for (int i = 0; i < n; i++) {
		const config_setting_t *one = config_setting_get_elem(s, (unsigned)i);
		const char *text = config_setting_get_string(one);

		if (!text)
			return reader_wanted(r, one, "a text, in quotes");
		if (strlen(text) > STEP_TEXT_MAX)
			return reader_bad(r, one, "a text of more than %d bytes",
					  STEP_TEXT_MAX);
		w->items[w->n++] = span_str(text);
	}
	return true;
}

/* One word a line; empty lines and those that begin with # do not count. */
static bool words_split(const struct reader *r, struct span text, struct words *w)
{
	struct reader inner = *r;
	unsigned line = 0;

	while (text.n) {
		struct span word = span_cut(&text, '\n');

		line++;
		if (word.n && word.p[word.n - 1] == '\r')
			word.n--;
		word = span_trim(word);
		if (word.n == 0 || word.p[0] == '#')
			continue;
		if (word.n > WORD_MOST)
			return reader_bad_line(&inner, line,
					       "a word of more than 255 bytes");
		for (size_t i = 0; i < word.n; i++)
			if (word.p[i] < ' ' || word.p[i] == 0x7f)
				return reader_bad_line(&inner, line,
						       "a control character in a word");
		if (w->n == WORDS_MAX)
			return reader_bad_line(&inner, line, "more than 100000 words");
		w->items[w->n++] = word;
	}
	return true;
}

/* Beside the scenario; a plain name, so that a scenario cannot read what is not its own. */
static bool words_file(const struct reader *r, const config_setting_t *s, struct words *w)
{
	static const char *const keys[] = { "file", NULL };
	const char *slash = strrchr(r->path, '/'), *name;
	struct reader inner = *r;
	char path[PATH_CAP];
	size_t lines = 1;
	struct span text;

	if (!reader_group(r, s, "a list", keys) || !reader_needs(r, s, "a list", keys) ||
	    !reader_text(r, member(s, "file"), 100, &name))
		return false;
	if (strchr(name, '/') || name[0] == '.')
		return reader_bad(
			r, s,
			"file: \"%s\" must be a plain name, of a file in the directory "
			"of the scenario",
			name);
	if (snprintf(path, sizeof(path), "%.*s%s", slash ? (int)(slash + 1 - r->path) : 0,
		     r->path, name) >= (int)sizeof(path))
		return reader_bad(r, s, "file: the path is too long");
	if (!memory_read(r->m, path, &text, r->e))
		return false;
	for (size_t i = 0; i < text.n; i++)
		lines += text.p[i] == '\n';
	if (lines > WORDS_MAX)
		lines = WORDS_MAX;
	w->items = memory_take(r->m, lines, sizeof(*w->items));
	if (!w->items)
		return reader_no_room(r);
	inner.path = path;
	if (!words_split(&inner, text, w))
		return false;
	return w->n ? true : reader_bad(r, s, "file: there is no word in \"%s\"", name);
}

bool lists_read(struct reader *r, const config_setting_t *s)
{
	struct scenario *sc = r->s;

	if (!s)
		return true;
	if (!config_setting_is_group(s))
		return reader_wanted(r, s, "a group: { NAME = [ \"a\", \"b\" ]; }");
	if (config_setting_length(s) > LISTS_MAX)
		return reader_bad(r, s, "lists: more than %d", LISTS_MAX);
	for (int i = 0; i < config_setting_length(s); i++) {
		const config_setting_t *one = config_setting_get_elem(s, (unsigned)i);
		struct words *w = &sc->lists[sc->lists_n];

		w->name = config_setting_name(one);
		if (!name_ok(w->name))
			return reader_bad(r, one,
					  "\"%.60s\": the name of a list has a to z, 0 to 9 "
					  "and dashes",
					  w->name);
		if (!word_free(r, one, w->name, NULL))
			return false;
		if (config_setting_is_group(one) ? !words_file(r, one, w)
						 : !words_inline(r, one, WORDS_MAX, w))
			return false;
		w->total = (unsigned)w->n;
		sc->lists_n++;
	}
	return true;
}

/* ---- values ---- */

static bool weights_of(const struct reader *r, const config_setting_t *s, struct words *w)
{
	if (!s) {
		w->total = (unsigned)w->n;
		return true;
	}
	if (!reader_row(r, s, "numbers: [ 81, 19 ]", CHOICES_MAX))
		return false;
	if ((size_t)config_setting_length(s) != w->n)
		return reader_bad(r, s, "weights: there are %d for %zu choices",
				  config_setting_length(s), w->n);
	w->weights = memory_take(r->m, w->n, sizeof(*w->weights));
	if (!w->weights)
		return reader_no_room(r);
	for (size_t i = 0; i < w->n; i++) {
		if (!reader_count(r, config_setting_get_elem(s, (unsigned)i), WEIGHT_MOST,
				  &w->weights[i]))
			return false;
		w->total += w->weights[i];
	}
	return true;
}

static struct pool pool_of(const struct scenario *s, const struct actor *a)
{
	/* an honest client goes with any scenario, so it knows the lists of none */
	return (struct pool){ .lists = s->lists,
			      .lists_n = a->honest ? 0 : s->lists_n,
			      .values = a->values,
			      .values_n = a->values_n };
}

/* Is the newest value good? A dialogue of any kind would have to be. */
static bool value_ok(const struct reader *r, const struct actor *a,
		     const config_setting_t *at)
{
	static const char *const lines[] = { "hear" };
	struct pool pool = pool_of(r->s, a);
	struct script script;
	struct err e;

	if (!script_open(&script, lines, 1, service_speaks(a->service), &pool, &e))
		return reader_bad(r, at, "%s", e.text);
	script_close(&script);
	return true;
}

static bool value_of(const struct reader *r, const config_setting_t *s, struct actor *a)
{
	static const char *const keys[] = { "name", "one-of", "weights", "once", NULL };
	static const char *const must[] = { "name", "one-of", NULL };
	struct value *v = &a->values[a->values_n];
	const config_setting_t *from, *once;
	const char *word;

	if (!reader_group(r, s, "a value", keys) || !reader_needs(r, s, "a value", must) ||
	    !reader_name(r, member(s, "name"), &v->words.name) ||
	    !word_free(r, s, v->words.name, a))
		return false;
	from = member(s, "one-of");
	if (!words_inline(r, from, CHOICES_MAX, &v->words) ||
	    !weights_of(r, member(s, "weights"), &v->words))
		return false;
	once = member(s, "once");
	if (once && !reader_text(r, once, NAME_MOST, &word))
		return false;
	if (!once)
		v->draw = DRAW_EACH;
	else if (strcmp(word, "visit") == 0)
		v->draw = DRAW_VISIT;
	else if (strcmp(word, "address") == 0)
		v->draw = DRAW_ADDRESS;
	else
		return reader_bad(
			r, once,
			"once: \"%s\" is neither \"visit\" nor \"address\"; without "
			"this setting it is drawn each time",
			word);
	a->values_n++;
	return value_ok(r, a, s);
}

static bool values_of(const struct reader *r, const config_setting_t *s, struct actor *a)
{
	if (!s)
		return true;
	if (!reader_row(r, s, "a list of groups: ( { name = ...; one-of = [ ... ]; } )",
			VALUES_MAX))
		return false;
	a->values = memory_take(r->m, (size_t)config_setting_length(s),
				sizeof(*a->values));
	if (!a->values)
		return reader_no_room(r);
	for (int i = 0; i < config_setting_length(s); i++)
		if (!value_of(r, config_setting_get_elem(s, (unsigned)i), a))
			return false;
	return true;
}

/* ---- what it does ---- */

static bool dialogue_of(const struct reader *r, const config_setting_t *s, struct actor *a)
{
	const char *lines[STEPS_MAX];
	struct pool pool = pool_of(r->s, a);
	const config_setting_t *at = s;
	unsigned step;
	struct err e;
	size_t n;

	if (!reader_row(r, s, "texts: [ \"expect 220\", ... ]", STEPS_MAX))
		return false;
	n = (size_t)config_setting_length(s);
	for (size_t i = 0; i < n; i++) {
		lines[i] = config_setting_get_string_elem(s, (int)i);
		if (!lines[i])
			return reader_wanted(r, config_setting_get_elem(s, (unsigned)i),
					     "a text, in quotes");
	}
	if (script_open(&a->script, lines, n, service_speaks(a->service), &pool, &e))
		return true;
	if (sscanf(e.text, "step %u", &step) == 1 && step >= 1 && step <= n)
		at = config_setting_get_elem(s, step - 1);
	return reader_bad(r, at, "dialogue: %s", e.text);
}

/* next | leave [CHANCE] | retry TIME [elsewhere] */
static bool reaction_parse(struct span text, struct reaction *out)
{
	struct span what = span_cut(&text, ' '), arg = span_cut(&text, ' ');
	struct reaction re = { .set = true, .chance = 1 };
	char number[16];

	snprintf(number, sizeof(number), "%.*s", SPAN_ARG(span_head(arg, sizeof(number))));
	if (span_eq(what, SPAN("retry"))) {
		re.kind = REACT_RETRY;
		re.elsewhere = span_eq(text, SPAN("elsewhere"));
		if (!duration_parse(arg, &re.after) || re.after > TIME_MOST ||
		    (text.n && !re.elsewhere))
			return false;
	} else if (span_eq(what, SPAN("leave"))) {
		re.kind = REACT_LEAVE;
		if (arg.n)
			re.chance = strtod(number, NULL);
		if (strspn(number, "0123456789.") != arg.n || !(re.chance > 0) ||
		    re.chance > 1 || text.n)
			return false;
	} else if (!span_eq(what, SPAN("next")) || arg.n || text.n) {
		return false;
	}
	*out = re;
	return true;
}

static bool reactions_of(const struct reader *r, const config_setting_t *s,
			 struct actor *a)
{
	if (!s)
		return true;
	if (!config_setting_is_group(s))
		return reader_wanted(r, s, "a group: { connect = \"leave 0.9\"; }");
	for (int i = 0; i < config_setting_length(s); i++) {
		const config_setting_t *one = config_setting_get_elem(s, (unsigned)i);
		const char *name = config_setting_name(one), *text;
		enum stage stage;
		enum end end;
		struct reaction *to;

		if (stage_parse(span_str(name), &stage))
			to = &a->on_stage[stage];
		else if (end_parse(span_str(name), &end) && end != END_OVER)
			to = &a->on_end[end];
		else
			return reader_bad(
				r, one,
				"on-refusal: \"%.40s\" is neither a stage (connect, "
				"helo, tls, auth, mail, rcpt, data, body, other) nor "
				"an end (done, later, refused, dropped, silent, fault)",
				name);
		if (!reader_text(r, one, NAME_MOST, &text))
			return false;
		if (!reaction_parse(span_str(text), to))
			return reader_bad(r, one,
					  "%s: \"%s\" is none of \"next\", \"leave\", "
					  "\"leave 0.9\", \"retry 10s\", \"retry 10s "
					  "elsewhere\"",
					  name, text);
	}
	return true;
}

static bool from_of(const struct reader *r, const config_setting_t *s, struct actor *a)
{
	static const char *const keys[] = { "addresses", "spread", NULL };
	const config_setting_t *addresses, *spread;
	const char *word;

	if (!reader_group(r, s, "from", keys))
		return false;
	addresses = member(s, "addresses");
	spread = member(s, "spread");
	a->addresses = 1;
	if (addresses && !reader_count(r, addresses, ADDRESSES_MAX, &a->addresses))
		return false;
	if (!spread)
		return true;
	if (!reader_text(r, spread, NAME_MOST, &word))
		return false;
	a->spread = strcmp(word, "near") == 0 ? SPREAD_NEAR : SPREAD_FAR;
	if (a->spread == SPREAD_FAR && strcmp(word, "far") != 0)
		return reader_bad(
			r, spread,
			"spread: \"%s\" is neither \"far\" (each in a network of "
			"its own, as far as that goes) nor \"near\" (side by side)",
			word);
	return true;
}

static bool service_of(const struct reader *r, const config_setting_t *s, struct actor *a)
{
	const char *word;

	a->service = SERVICE_SMTP;
	if (!s)
		return true;
	if (!reader_text(r, s, NAME_MOST, &word))
		return false;
	return service_parse(span_str(word), &a->service) ||
	       reader_bad(r, s,
			  "service: \"%s\" is none of smtp, submission, submissions, imap, imaps, "
			  "pop3, pop3s",
			  word);
}

/* The group of an actor, and the one that it is like. */
struct layers {
	const config_setting_t *own, *base;
};

static const config_setting_t *find(const struct layers *l, const char *key)
{
	const config_setting_t *s = member(l->own, key);

	return s || !l->base ? s : member(l->base, key);
}

static bool pace_of(const struct reader *r, const struct layers *l, struct actor *a)
{
	const config_setting_t *rate = find(l, "rate"), *visits = find(l, "visits"),
			       *parallel = find(l, "parallel"), *ramp = find(l, "ramp"),
			       *pause = find(l, "pause"), *patience = find(l, "patience"),
			       *even = find(l, "even");
	bool open_loop = rate || visits;

	a->parallel = 100;
	a->patience = (a->honest ? 30 : 10) * MS_SECOND;
	if (rate && visits)
		return reader_bad(r, visits,
				  "visits: there is a rate as well; the one follows from "
				  "the other, so say one of them");
	if (pause && open_loop)
		return reader_bad(r, pause,
				  "pause: with rate or visits the next one does not wait for "
				  "the last; leave it out");
	if (even && !open_loop)
		return reader_bad(r, even, "even: this is for rate or visits");
	if (!open_loop && !parallel)
		return reader_bad(
			r, l->own,
			"how many? say rate (visits a second), visits (of each "
			"address), or parallel (at once, each followed by the next)");
	if ((rate && !reader_real(r, rate, RATE_MAX, &a->rate)) ||
	    (visits && !reader_count(r, visits, 1000000, &a->visits)) ||
	    (parallel && !reader_count(r, parallel, SESSIONS_MAX, &a->parallel)) ||
	    (ramp && !reader_real(r, ramp, RATE_MAX, &a->ramp)) ||
	    (pause && !reader_time(r, pause, 0, &a->pause)) ||
	    (patience && !reader_time(r, patience, 1, &a->patience)))
		return false;
	if (even && config_setting_type(even) != CONFIG_TYPE_BOOL)
		return reader_wanted(r, even, "true or false");
	a->even = even && config_setting_get_bool(even);
	return true;
}

static bool name_unused(const struct reader *r, const config_setting_t *s,
			const char *name)
{
	for (size_t i = 0; i < r->s->actors_n; i++)
		if (strcmp(r->s->actors[i].name, name) == 0)
			return reader_bad(r, s, "there is somebody called \"%s\" already",
					  name);
	return true;
}

static bool like_of(const struct reader *r, const config_setting_t *like, struct layers *l)
{
	const char *name;

	if (!like)
		return true;
	if (!reader_text(r, like, NAME_MOST, &name))
		return false;
	for (size_t i = 0; i < r->s->actors_n; i++)
		if (strcmp(r->s->actors[i].name, name) == 0)
			l->base = r->groups[i];
	if (!l->base)
		return reader_bad(r, like, "like: there is no \"%s\" above", name);
	if (member(l->base, "like"))
		return reader_bad(r, like,
				  "like: \"%s\" is itself like another; name that one",
				  name);
	return true;
}

/* One who visits. The group has no settings but those it may have. */
static bool actor_of(struct reader *r, const config_setting_t *group, bool honest)
{
	static const char *const must[] = { "name", "title", NULL };
	struct actor *a = &r->s->actors[r->s->actors_n];
	struct layers l = { .own = group };

	*a = (struct actor){ .honest = honest, .addresses = 1 };
	if (!reader_needs(r, group, honest ? "an honest client" : "an attacker", must) ||
	    !reader_name(r, member(group, "name"), &a->name) ||
	    !name_unused(r, member(group, "name"), a->name) ||
	    !reader_text(r, member(group, "title"), TITLE_MOST, &a->title) ||
	    !like_of(r, member(group, "like"), &l))
		return false;
	if (!find(&l, "dialogue"))
		return reader_bad(r, group,
				  "\"%s\" needs a dialogue = [ \"expect 220\", ... ]",
				  a->name);
	if (!service_of(r, find(&l, "service"), a) ||
	    (find(&l, "from") && !from_of(r, find(&l, "from"), a)) ||
	    !pace_of(r, &l, a) || !values_of(r, find(&l, "values"), a) ||
	    !reactions_of(r, find(&l, "on-refusal"), a) ||
	    !dialogue_of(r, find(&l, "dialogue"), a))
		return false;
	r->groups[r->s->actors_n++] = group;
	return true;
}

/* An honest client has a file of its own, so the first one is not for it. */
static const char *const actor_keys[] = { "like",   "name",	"title",      "service",
					  "from",   "rate",	"visits",     "parallel",
					  "ramp",   "pause",	"patience",   "even",
					  "values", "dialogue", "on-refusal", NULL };

bool attackers_read(struct reader *r, const config_setting_t *s)
{
	if (!reader_row(r, s, "a list of groups: ( { name = ...; }, ... )", ACTORS_MAX))
		return false;
	for (int i = 0; i < config_setting_length(s); i++) {
		const config_setting_t *one = config_setting_get_elem(s, (unsigned)i);

		if (!reader_group(r, one, "an attacker", actor_keys) ||
		    !actor_of(r, one, false))
			return false;
	}
	return true;
}

bool honest_read(struct reader *r, const config_setting_t *root)
{
	return reader_group(r, root, "an honest client", actor_keys + 1) &&
	       actor_of(r, root, true);
}
