/*
 * span - a view of bytes that somebody else owns
 *
 * A span is two words, passed by value. It never owns, never allocates and is never
 * NUL terminated. Spans that come off the wire point into the receive buffer: they
 * are good until the next step. To keep the bytes for longer, copy them.
 */
#ifndef BASE_SPAN_H
#define BASE_SPAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct span {
	const uint8_t *p;
	size_t n;
};

/* clang-format off */
/* A span over a string literal; SPAN_INIT is for static tables. */
#define SPAN_INIT(lit) { (const uint8_t *)("" lit), sizeof(lit) - 1 }
#define SPAN(lit)      ((struct span)SPAN_INIT(lit))
/* clang-format on */

#define SPAN_NONE ((struct span){ NULL, 0 })

/* For printf("%.*s"). */
#define SPAN_ARG(s) (int)(s).n, (const char *)(s).p

static inline struct span span_of(const void *p, size_t n)
{
	return (struct span){ p, n };
}

static inline struct span span_str(const char *s)
{
	return span_of(s, strlen(s));
}

/* The first n bytes, or all of them if there are fewer. */
static inline struct span span_head(struct span s, size_t n)
{
	return span_of(s.p, n < s.n ? n : s.n);
}

/* What is left after the first n bytes, or nothing if there are fewer. */
static inline struct span span_skip(struct span s, size_t n)
{
	return n < s.n ? span_of(s.p + n, s.n - n) : span_of(s.n ? s.p + s.n : s.p, 0);
}

/* The last n bytes, or all of them if there are fewer. */
static inline struct span span_tail(struct span s, size_t n)
{
	return n < s.n ? span_of(s.p + (s.n - n), n) : s;
}

/* Where byte b first occurs, or s.n if it does not. */
static inline size_t span_find(struct span s, uint8_t b)
{
	const uint8_t *at = s.n ? memchr(s.p, b, s.n) : NULL;

	return at ? (size_t)(at - s.p) : s.n;
}

static inline bool span_eq(struct span a, struct span b)
{
	return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

static inline bool span_starts(struct span s, struct span with)
{
	return s.n >= with.n && span_eq(span_head(s, with.n), with);
}

/* ASCII only: A to Z equal a to z, all other bytes equal themselves. */
bool span_eq_nocase(struct span a, struct span b);
bool span_starts_nocase(struct span s, struct span with);

/* Where byte b last occurs, or s.n if it does not. */
size_t span_find_last(struct span s, uint8_t b);

/* Without spaces and tabs at both ends. */
struct span span_trim(struct span s);

/*
 * Cut the text before sep off the front of *s, and drop sep. Without a sep, take
 * everything. So `while (s.n) word = span_cut(&s, ' ')` visits each word.
 */
struct span span_cut(struct span *s, uint8_t sep);

/* ASCII lower case of one byte. */
static inline uint8_t byte_lower(uint8_t c)
{
	return c >= 'A' && c <= 'Z' ? (uint8_t)(c + ('a' - 'A')) : c;
}

#endif
