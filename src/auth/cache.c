#include "auth/cache.h"

#include <stdlib.h>

#include "crypt/keyed.h"
#include "crypt/password.h"

#define WAYS	   8
#define WRONG_ROWS 65536 /* 1 MiB */
#define RIGHT_ROWS 4096

struct wrong {
	uint64_t mark; /* 0: free */
	ms_t ends;
};

struct right {
	uint8_t mark[KEYED_HASH];
	ms_t ends; /* 0: free */
};

struct cache {
	uint8_t key_right[KEYED_KEY], key_wrong[KEYED_KEY];
	struct wrong wrong[WRONG_ROWS];
	struct right right[RIGHT_ROWS];
};

struct cache *cache_open(void)
{
	struct cache *c = calloc(1, sizeof(*c));

	if (c) {
		keyed_random(c->key_right, sizeof(c->key_right));
		keyed_random(c->key_wrong, sizeof(c->key_wrong));
	}
	return c;
}

void cache_close(struct cache **cache)
{
	struct cache *c = *cache;

	*cache = NULL;
	if (c)
		password_wipe(span_of(c, sizeof(*c)));
	free(c);
}

void cache_reset(struct cache *c)
{
	memset(c->wrong, 0, sizeof(c->wrong));
	memset(c->right, 0, sizeof(c->right));
}

static void mark_of(const uint8_t key[KEYED_KEY], const struct cache_pair *p,
		    uint8_t out[KEYED_HASH])
{
	struct span parts[] = { p->user, p->secret, p->stored };

	keyed_hash(key, parts, COUNT_OF(parts), out);
}

static uint64_t number_of(const uint8_t mark[KEYED_HASH])
{
	uint64_t n;

	memcpy(&n, mark, sizeof(n));
	return n ? n : 1;
}

static size_t bucket_of(const uint8_t mark[KEYED_HASH], size_t rows)
{
	uint64_t n;

	memcpy(&n, mark + 8, sizeof(n));
	return (size_t)(n % (rows / WAYS)) * WAYS;
}

static bool is_right(const struct cache *c, const struct cache_pair *p, ms_t now)
{
	uint8_t mark[KEYED_HASH];
	const struct right *r;

	mark_of(c->key_right, p, mark);
	r = c->right + bucket_of(mark, RIGHT_ROWS);
	for (size_t i = 0; i < WAYS; i++)
		if (r[i].ends > now && keyed_same(r[i].mark, mark))
			return true;
	return false;
}

static bool is_wrong(const struct cache *c, const struct cache_pair *p, ms_t now)
{
	uint8_t mark[KEYED_HASH];
	const struct wrong *w;

	mark_of(c->key_wrong, p, mark);
	w = c->wrong + bucket_of(mark, WRONG_ROWS);
	for (size_t i = 0; i < WAYS; i++)
		if (w[i].ends > now && w[i].mark == number_of(mark))
			return true;
	return false;
}

enum cache_says cache_ask(const struct cache *c, const struct cache_pair *p, ms_t now)
{
	if (is_right(c, p, now))
		return CACHE_RIGHT;
	return is_wrong(c, p, now) ? CACHE_WRONG : CACHE_NOTHING;
}

void cache_right(struct cache *c, const struct cache_pair *p, ms_t now, ms_t life)
{
	uint8_t mark[KEYED_HASH];
	struct right *r, *place;

	if (life <= 0)
		return;
	mark_of(c->key_right, p, mark);
	place = r = c->right + bucket_of(mark, RIGHT_ROWS);
	for (size_t i = 0; i < WAYS; i++) {
		if (r[i].ends && keyed_same(r[i].mark, mark)) {
			place = &r[i];
			break;
		}
		if (r[i].ends < place->ends)
			place = &r[i];
	}
	memcpy(place->mark, mark, sizeof(mark));
	place->ends = now + life;
}

void cache_wrong(struct cache *c, const struct cache_pair *p, ms_t now, ms_t life)
{
	uint8_t mark[KEYED_HASH];
	struct wrong *w, *place;

	if (life <= 0)
		return;
	mark_of(c->key_wrong, p, mark);
	place = w = c->wrong + bucket_of(mark, WRONG_ROWS);
	for (size_t i = 0; i < WAYS; i++) {
		if (w[i].mark == number_of(mark)) {
			place = &w[i];
			break;
		}
		if (w[i].ends < place->ends)
			place = &w[i];
	}
	*place = (struct wrong){ number_of(mark), now + life };
}
