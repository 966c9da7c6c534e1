/*
 * figures - small helpers for results as JSON
 *
 * What is missing, or of another type than it should be, counts as not there: NAN, "" or NULL.
 */
#ifndef REHEARSE_FIGURES_H
#define REHEARSE_FIGURES_H

#include <jansson.h>
#include <math.h>
#include <stdbool.h>
#include <string.h>

/* An object being built. It fails stickily: look once, at the end. */
struct made {
	json_t *object; /* owned */
	bool failed;	/* out of memory */
};

static inline void made_put(struct made *m, const char *key, json_t *value)
{
	if (json_object_set_new(m->object, key, value) < 0)
		m->failed = true;
}

static inline void made_add(struct made *m, json_t *array, json_t *value)
{
	if (json_array_append_new(array, value) < 0)
		m->failed = true;
}

static inline double figure(const json_t *v)
{
	return json_is_number(v) ? json_number_value(v) : (double)NAN;
}

static inline double figure_in(const json_t *object, const char *key)
{
	return figure(json_object_get(object, key));
}

static inline double or_zero(double x)
{
	return isfinite(x) ? x : 0;
}

/* As short as it can be: 3, not 3.0. What is not finite is null. */
static inline json_t *figure_json(double x)
{
	if (!isfinite(x))
		return json_null();
	if (fabs(x) < 1e15 && fabs(x - floor(x)) <= 0)
		return json_integer((json_int_t)x);
	return json_real(x);
}

static inline const char *text_in(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text ? text : "";
}

/* The first element of an array whose `key` is `word`; borrowed. */
static inline json_t *element_with(const json_t *array, const char *key, const char *word)
{
	for (size_t i = 0; i < json_array_size(array); i++) {
		json_t *one = json_array_get(array, i);

		if (strcmp(text_in(one, key), word) == 0)
			return one;
	}
	return NULL;
}

static inline bool is_honest(const json_t *actor)
{
	return json_is_true(json_object_get(actor, "honest"));
}

/* Of actors: without any, everybody is who it is about. */
static inline bool has_attackers(const json_t *actors)
{
	for (size_t i = 0; i < json_array_size(actors); i++)
		if (!is_honest(json_array_get(actors, i)))
			return true;
	return false;
}

#endif
