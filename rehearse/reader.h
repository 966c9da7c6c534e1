/*
 * reader - a scenario file, up to single values whose mistakes have a line
 *
 * Inside scenario.c and actor.c only. All functions that return bool and take a reader fill in
 * its err when they return false: file, line, and what to do.
 */
#ifndef REHEARSE_READER_H
#define REHEARSE_READER_H

#include <libconfig.h>

#include "base/attr.h"
#include "base/err.h"
#include "base/span.h"
#include "base/time.h"
#include "rehearse/limits.h"

#define NAME_MOST 40
#define PATH_CAP  4096

struct scenario;

/* What a scenario holds on to, besides its scripts: its texts point into the trees. */
struct memory {
	struct piece *pieces;
	config_t trees[1 + ACTORS_MAX];
	size_t trees_n;
};

/* One file that is being read. */
struct reader {
	struct scenario *s;
	struct memory *m;
	const char *path;
	const config_setting_t *groups[ACTORS_MAX]; /* of the scenario's actors */
	struct err *e;
};

/* Zeroed memory for n things of this size, until memory_close(). NULL: there is none. */
void *memory_take(struct memory *m, size_t n, size_t size);
void memory_close(struct memory *m);

/* A file of up to 4 MiB and a zero byte behind it. e says why not. */
MUST bool memory_read(struct memory *m, const char *path, struct span *out, struct err *e);

/* The file at r->path, as libconfig's tree. */
MUST bool reader_open(struct reader *r, const config_setting_t **root);

/* What is wrong, at a setting or at a line. These return false. */
bool reader_bad(const struct reader *r, const config_setting_t *at, const char *fmt, ...)
	PRINTF(3, 4);
bool reader_bad_line(const struct reader *r, unsigned line, const char *text);
bool reader_no_room(const struct reader *r);
/* It is of another type than wanted ("a whole number"). */
bool reader_wanted(const struct reader *r, const config_setting_t *s, const char *what);

/* Printable, on one line, 1 to most bytes: what may stand in a table. */
MUST bool reader_text(const struct reader *r, const config_setting_t *s, size_t most,
		      const char **out);
/* a to z, 0 to 9 and dashes. */
MUST bool reader_name(const struct reader *r, const config_setting_t *s, const char **out);
MUST bool reader_time(const struct reader *r, const config_setting_t *s, ms_t low,
		      ms_t *out);
/* A whole number from 1 to most. */
MUST bool reader_count(const struct reader *r, const config_setting_t *s, int64_t most,
		       unsigned *out);
/* Above 0, up to most. */
MUST bool reader_real(const struct reader *r, const config_setting_t *s, double most,
		      double *out);

/* Is it a group with no other settings than these (NULL-terminated)? what: "an attacker". */
MUST bool reader_group(const struct reader *r, const config_setting_t *s,
		       const char *what, const char *const *keys);
/* Are all of these in it? */
MUST bool reader_needs(const struct reader *r, const config_setting_t *group,
		       const char *what, const char *const *keys);
/* Is it a list or an array of 1 to most? what: how it is written. */
MUST bool reader_row(const struct reader *r, const config_setting_t *s, const char *what,
		     int most);

bool name_ok(const char *name);

/* NULL if it is not there. */
static inline const config_setting_t *member(const config_setting_t *group,
					     const char *key)
{
	return config_setting_get_member(group, key);
}

#endif
