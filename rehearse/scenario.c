#include "rehearse/scenario.h"

#include <dirent.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "rehearse/actor.h"
#include "rehearse/result.h"

#define ID_MOST	   15
#define TITLE_MOST 60
#define ABOUT_MOST 500

/* ---- the scenario ---- */

static bool phases_of(const struct reader *r, const config_setting_t *s)
{
	static const char *const keys[] = { "warm", "quiet", "attack", "after", NULL };
	ms_t *phase = r->s->phase;

	phase[PHASE_WARM] = 2 * MS_SECOND;
	phase[PHASE_QUIET] = 5 * MS_SECOND;
	phase[PHASE_ATTACK] = 15 * MS_SECOND;
	phase[PHASE_AFTER] = 5 * MS_SECOND;
	if (!s)
		return true;
	if (!reader_group(r, s, "phases", keys))
		return false;
	for (int i = 0; i < PHASE_COUNT; i++) {
		const config_setting_t *one = member(s, phase_word((enum phase)i));

		if (one && !reader_time(r, one, i == PHASE_ATTACK ? 100 : 0, &phase[i]))
			return false;
	}
	return true;
}

/* ---- files in a directory ---- */

static int is_conf(const struct dirent *d)
{
	size_t n = strlen(d->d_name);

	return d->d_name[0] != '.' && n > 5 && strcmp(d->d_name + n - 5, ".conf") == 0;
}

/* Append ": there are a, b, c" to e, as many as fit. */
static bool there_are(const char *dir, struct err *e)
{
	struct dirent **found;
	int n = scandir(dir, &found, is_conf, versionsort);
	size_t used = strlen(e->text), cap = sizeof(e->text) - 5;
	bool full = false;

	if (n < 0) {
		snprintf(e->text + used, sizeof(e->text) - used, "; %s: %s", dir,
			 strerror(errno));
		return false;
	}
	for (int i = 0; i < n; i++) {
		int len = (int)strlen(found[i]->d_name) - 5;
		int more = full ? 0
				: snprintf(e->text + used, cap - used, "%s%.*s",
					   i ? ", " : "; there are ", len,
					   found[i]->d_name);

		full |= used + (size_t)more >= cap;
		if (!full)
			used += (size_t)more;
		free(found[i]);
	}
	free(found);
	snprintf(e->text + used, sizeof(e->text) - used, "%s",
		 full ? ", ..."
		 : n  ? ""
		      : "; no .conf is there");
	return false;
}

static bool honest_path(const char *dir, const char *name, char *path, struct err *e)
{
	if (name_ok(name) && snprintf(path, PATH_CAP, "%s/%s.conf", dir, name) < PATH_CAP &&
	    access(path, F_OK) == 0)
		return true;
	err_set(e, "there is no honest client \"%.*s\"", NAME_MOST, name);
	return there_are(dir, e);
}

static bool honest_open(struct scenario *s, const char *path, const char *name,
			struct err *e)
{
	struct reader r = { .s = s, .m = s->memory, .path = path, .e = e };
	const config_setting_t *root;

	if (s->actors_n == ACTORS_MAX)
		return err_set(e,
			       "%s: more than %d, attackers and honest clients together",
			       path, ACTORS_MAX);
	if (!reader_open(&r, &root) || !honest_read(&r, root))
		return false;
	if (strcmp(s->actors[s->actors_n - 1].name, name) != 0)
		return reader_bad(&r, member(root, "name"),
				  "name: must be \"%s\", like the file", name);
	return true;
}

static bool beside_of(const struct reader *r, const config_setting_t *s, const char *dir,
		      const char *const *instead)
{
	char path[PATH_CAP];
	const char *name = NULL;
	struct err e;

	if (s && (!config_setting_is_array(s) || config_setting_length(s) > ACTORS_MAX))
		return reader_wanted(r, s,
				     "up to 16 names: [ \"regular\", \"newcomer\" ]");
	for (int i = 0; s && i < config_setting_length(s); i++) {
		const config_setting_t *one = config_setting_get_elem(s, (unsigned)i);

		if (!reader_name(r, one, &name))
			return false;
		if (instead)
			continue;
		if (!honest_path(dir, name, path, &e))
			return reader_bad(r, one, "beside: %s", e.text);
		if (!honest_open(r->s, path, name, r->e))
			return false;
	}
	for (; instead && *instead; instead++)
		if (!honest_path(dir, *instead, path, r->e) ||
		    !honest_open(r->s, path, *instead, r->e))
			return false;
	return true;
}

/* Is it about somebody who would be here, but was told to stay away? */
static bool is_away(const config_setting_t *beside, const char *name)
{
	for (int i = 0; beside && i < config_setting_length(beside); i++) {
		const char *one = config_setting_get_string_elem(beside, i);

		if (one && strcmp(one, name) == 0)
			return true;
	}
	return false;
}

static bool promise_of(const struct reader *r, const config_setting_t *s,
		       const config_setting_t *beside)
{
	static const char *const keys[] = { "promise", "limit", "of", NULL };
	static const char *const must[] = { "promise", NULL };
	struct scenario *sc = r->s;
	struct promise *p = &sc->promises[sc->promises_n];
	const struct actor *about = NULL;
	const config_setting_t *limit, *of;
	struct err e;

	if (!reader_group(r, s, "a promise", keys) ||
	    !reader_needs(r, s, "a promise", must) ||
	    !reader_text(r, member(s, "promise"), NAME_MOST, &p->word))
		return false;
	limit = member(s, "limit");
	of = member(s, "of");
	p->has_limit = limit != NULL;
	if ((limit && !reader_real(r, limit, 1e9, &p->limit)) ||
	    (of && !reader_name(r, of, &p->actor)))
		return false;
	for (size_t i = 0; of && i < sc->actors_n; i++)
		if (strcmp(sc->actors[i].name, p->actor) == 0)
			about = &sc->actors[i];
	if (of && !about) {
		const char *name = p->actor;

		*p = (struct promise){ 0 };
		return is_away(beside, name) ||
		       reader_bad(r, of, "of: there is nobody called \"%s\" here", name);
	}
	if (!promise_check(p, about, &e))
		return reader_bad(r, s, "%s", e.text);
	sc->promises_n++;
	return true;
}

static bool promises_of(const struct reader *r, const config_setting_t *s,
			const config_setting_t *beside)
{
	if (!s)
		return true;
	if (!reader_row(r, s, "a list of groups: ( { promise = \"alive\"; }, ... )",
			PROMISES_MAX))
		return false;
	for (int i = 0; i < config_setting_length(s); i++)
		if (!promise_of(r, config_setting_get_elem(s, (unsigned)i), beside))
			return false;
	return true;
}

static bool scenario_read(struct reader *r, const char *honest, const char *const *instead)
{
	static const char *const keys[] = { "id",	"title", "about",     "ends",
					    "phases",	"lists", "attackers", "beside",
					    "promises", NULL };
	static const char *const must[] = { "id",   "title",	 "about",
					    "ends", "attackers", NULL };
	struct scenario *s = r->s;
	const config_setting_t *root;

	return reader_open(r, &root) && reader_group(r, root, "a scenario", keys) &&
	       reader_needs(r, root, "a scenario", must) &&
	       reader_text(r, member(root, "id"), ID_MOST, &s->id) &&
	       reader_text(r, member(root, "title"), TITLE_MOST, &s->title) &&
	       reader_text(r, member(root, "about"), ABOUT_MOST, &s->about) &&
	       reader_text(r, member(root, "ends"), ABOUT_MOST, &s->ends) &&
	       phases_of(r, member(root, "phases")) &&
	       lists_read(r, member(root, "lists")) &&
	       attackers_read(r, member(root, "attackers")) &&
	       beside_of(r, member(root, "beside"), honest, instead) &&
	       promises_of(r, member(root, "promises"), member(root, "beside"));
}

bool scenario_open(struct scenario **out, const char *path, const char *honest,
		   const char *const *beside, struct err *e)
{
	struct scenario *s = calloc(1, sizeof(*s));
	struct memory *m = calloc(1, sizeof(*m));
	struct reader r = { .s = s, .m = m, .path = path, .e = e };
	char *copy = NULL;

	if (!s || !m) {
		free(s);
		free(m);
		return err_set(e, "%s: out of memory", path);
	}
	s->memory = m;
	copy = memory_take(m, strlen(path) + 1, 1);
	if (copy)
		memcpy(copy, path, strlen(path) + 1);
	s->path = copy;
	if (copy ? scenario_read(&r, honest, beside) : reader_no_room(&r)) {
		*out = s;
		return true;
	}
	scenario_close(&s);
	return false;
}

void scenario_close(struct scenario **scenario)
{
	struct scenario *s = *scenario;
	struct memory *m;

	*scenario = NULL;
	if (!s)
		return;
	m = s->memory;
	for (size_t i = 0; i < s->actors_n; i++)
		script_close(&s->actors[i].script);
	memory_close(m);
	free(m);
	free(s);
}

/* ---- larger, smaller ---- */

static unsigned times(unsigned n, double factor)
{
	double to = round(n * factor);

	return to < 1 ? 1 : to > UINT32_MAX ? UINT32_MAX : (unsigned)to;
}

static bool scale_one(struct actor *a, double factor, struct err *e)
{
	if (a->honest)
		return true;
	a->addresses = times(a->addresses, factor);
	a->parallel = times(a->parallel, factor);
	a->rate *= factor;
	a->ramp *= factor;
	if (a->addresses > ADDRESSES_MAX)
		return err_set(
			e, "%s: %u addresses are more than %d; choose a smaller factor",
			a->name, a->addresses, ADDRESSES_MAX);
	if (a->parallel > SESSIONS_MAX)
		return err_set(
			e,
			"%s: %u visits at once are more than %d; choose a smaller factor",
			a->name, a->parallel, SESSIONS_MAX);
	if (a->rate > RATE_MAX || a->ramp > RATE_MAX)
		return err_set(e,
			       "%s: %.0f visits a second are more than %d; choose a smaller "
			       "factor",
			       a->name, fmax(a->rate, a->ramp), RATE_MAX);
	return true;
}

bool scenario_scale(struct scenario *s, double factor, struct err *e)
{
	struct actor try;

	for (size_t i = 0; i < s->actors_n; i++) {
		try = s->actors[i];
		if (!scale_one(&try, factor, e))
			return false;
	}
	for (size_t i = 0; i < s->actors_n; i++)
		if (!scale_one(&s->actors[i], factor, e))
			return false;
	return true;
}

/* ---- where is it? ---- */

/* Is it the name, or its beginning up to a dash? 2, 1, 0. */
static int match(const char *file, struct span name)
{
	struct span base = span_of(file, strlen(file) - strlen(".conf"));

	if (!span_starts_nocase(base, name))
		return 0;
	return base.n == name.n ? 2 : base.p[name.n] == '-' ? 1 : 0;
}

static bool several(struct dirent **found, int n, struct span name, struct err *e)
{
	char all[250] = "";

	for (int i = 0; i < n; i++)
		if (match(found[i]->d_name, name))
			snprintf(all + strlen(all), sizeof(all) - strlen(all), "%s%.*s",
				 *all ? ", " : "", (int)strlen(found[i]->d_name) - 5,
				 found[i]->d_name);
	return err_set(e, "\"%.*s\" could be any of these, say which: %s", SPAN_ARG(name),
		       all);
}

bool scenario_find(const char *name, const char *dir, char *path, size_t cap,
		   struct err *e)
{
	struct span want = span_str(name);
	struct dirent **found = NULL;
	int n, best = 0, at = -1, as_good = 0;
	bool ok = false;

	if (strchr(name, '/') || span_eq(span_tail(want, 5), SPAN(".conf")))
		return snprintf(path, cap, "%s", name) < (int)cap ||
		       err_set(e, "the name of the scenario is too long");
	n = want.n ? scandir(dir, &found, is_conf, versionsort) : 0;
	for (int i = 0; i < n; i++) {
		int how = match(found[i]->d_name, want);

		as_good = how > best ? 1 : as_good + (how == best);
		if (how > best) {
			best = how;
			at = i;
		}
	}
	if (at >= 0 && as_good > 1)
		several(found, n, want, e);
	else if (at >= 0)
		ok = snprintf(path, cap, "%s/%s", dir, found[at]->d_name) < (int)cap ||
		     err_set(e, "the path of the scenario is too long");
	for (int i = 0; i < n; i++)
		free(found[i]);
	free(found);
	if (at >= 0)
		return ok;
	err_set(e, "there is no scenario \"%.60s\"", name);
	return there_are(dir, e);
}
