#include "db/nameset.h"

#include <pthread.h>
#include <sqlite3.h>
#include <stdlib.h>

#include "base/siphash.h"
#include "spec/limits.h"

#define PLACES_FIRST ((size_t)64)

/* Powers of two, at most half full; 0: free. What has no room in its place is behind it. */
struct nameset {
	uint64_t key[2];
	size_t count, places;
	uint64_t *place;
	bool lost; /* some are not here */
	pthread_mutex_t lock;
};

bool nameset_open(struct nameset **out, struct err *err)
{
	struct nameset *n = calloc(1, sizeof(*n));

	if (n)
		n->place = calloc(PLACES_FIRST, sizeof(*n->place));
	if (!n || !n->place) {
		free(n);
		return err_set(err, "out of memory");
	}
	n->places = PLACES_FIRST;
	sqlite3_randomness(sizeof(n->key), n->key);
	pthread_mutex_init(&n->lock, NULL);
	*out = n;
	return true;
}

void nameset_close(struct nameset **names)
{
	struct nameset *n = *names;

	*names = NULL;
	if (!n)
		return;
	pthread_mutex_destroy(&n->lock);
	free(n->place);
	free(n);
}

static uint64_t hash_of(const struct nameset *n, struct span name)
{
	uint64_t h = siphash(n->key, name);

	return h ? h : 1;
}

/* Where it is, or the free place where it would be. */
static size_t find(const uint64_t *place, size_t places, uint64_t hash)
{
	size_t i = hash & (places - 1);

	while (place[i] && place[i] != hash)
		i = (i + 1) & (places - 1);
	return i;
}

/* Copied before the lock is taken, so that nobody who asks waits for it. */
static bool grow(struct nameset *n)
{
	size_t places = 2 * n->places;
	uint64_t *old = n->place;
	uint64_t *place = places <= 2 * ACCOUNT_NAMES_MAX ? calloc(places, sizeof(*place))
							  : NULL;

	if (!place)
		return false;
	for (size_t i = 0; i < n->places; i++)
		if (old[i])
			place[find(place, places, old[i])] = old[i];
	pthread_mutex_lock(&n->lock);
	n->place = place;
	n->places = places;
	pthread_mutex_unlock(&n->lock);
	free(old);
	return true;
}

void nameset_put(struct nameset *n, struct span name)
{
	uint64_t hash = hash_of(n, name);
	bool room;

	if (n->place[find(n->place, n->places, hash)])
		return;
	room = 2 * (n->count + 1) <= n->places || grow(n);
	pthread_mutex_lock(&n->lock);
	if (room) {
		n->place[find(n->place, n->places, hash)] = hash;
		n->count++;
	} else {
		n->lost = true;
	}
	pthread_mutex_unlock(&n->lock);
}

/* Those behind it move up, unless that is before the place where they are looked for first. */
static void free_place(struct nameset *n, size_t i)
{
	size_t mask = n->places - 1;

	for (size_t j = (i + 1) & mask; n->place[j]; j = (j + 1) & mask) {
		size_t home = n->place[j] & mask;

		if (((j - home) & mask) < ((j - i) & mask))
			continue;
		n->place[i] = n->place[j];
		i = j;
	}
	n->place[i] = 0;
	n->count--;
}

void nameset_drop(struct nameset *n, struct span name)
{
	size_t i = find(n->place, n->places, hash_of(n, name));

	pthread_mutex_lock(&n->lock);
	if (n->place[i])
		free_place(n, i);
	pthread_mutex_unlock(&n->lock);
}

bool nameset_ask(struct nameset *n, struct span name, bool *has)
{
	uint64_t hash = hash_of(n, name);
	bool lost;

	pthread_mutex_lock(&n->lock);
	*has = n->place[find(n->place, n->places, hash)] != 0;
	lost = n->lost;
	pthread_mutex_unlock(&n->lock);
	return *has || !lost;
}
