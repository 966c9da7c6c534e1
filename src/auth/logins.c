#include "auth/logins.h"

#include <stdlib.h>

#include "spec/limits.h"

#define CHAINS 16384 /* a power of two: 16 in each when 262,144 are open */

/* How many sessions have this key. */
struct count {
	struct count *next;
	uint64_t key;
	uint32_t n;
};

struct login {
	struct login *next;
	struct login_id id;
	uint64_t user, network;
};

struct logins {
	uint32_t n;
	uint32_t of_edge[EDGES_MAX];
	struct login *by_id[CHAINS];
	struct count *counts[CHAINS];
};

struct logins *logins_open(void)
{
	return calloc(1, sizeof(struct logins));
}

/* ---- counts -------------------------------------------------------------------------------- */

static struct count **find_count(struct logins *l, uint64_t key)
{
	struct count **at = &l->counts[key & (CHAINS - 1)];

	while (*at && (*at)->key != key)
		at = &(*at)->next;
	return at;
}

uint32_t logins_count(const struct logins *l, uint64_t key)
{
	const struct count *c = l->counts[key & (CHAINS - 1)];

	while (c && c->key != key)
		c = c->next;
	return c ? c->n : 0;
}

static bool count_up(struct logins *l, uint64_t key)
{
	struct count **at = find_count(l, key), *c = *at;

	if (!c) {
		c = calloc(1, sizeof(*c));
		if (!c)
			return false;
		c->key = key;
		*at = c;
	}
	c->n++;
	return true;
}

static void count_down(struct logins *l, uint64_t key)
{
	struct count **at = find_count(l, key), *c = *at;

	if (!c || --c->n)
		return;
	*at = c->next;
	free(c);
}

/* ---- sessions ------------------------------------------------------------------------------ */

static struct login **find(struct logins *l, const struct login_id *id)
{
	/* an edge counts its questions, so these are spread already */
	struct login **at = &l->by_id[(id->ask * 64 + id->edge) & (CHAINS - 1)];

	while (*at && ((*at)->id.ask != id->ask || (*at)->id.edge != id->edge ||
		       (*at)->id.generation != id->generation))
		at = &(*at)->next;
	return at;
}

static void drop(struct logins *l, struct login **at)
{
	struct login *one = *at;

	*at = one->next;
	count_down(l, one->user);
	count_down(l, one->network);
	l->n--;
	l->of_edge[one->id.edge]--;
	free(one);
}

/* An edge has no more sessions than seats, and may not take the room of the others. */
static bool has_room(const struct logins *l, unsigned edge)
{
	return edge < EDGES_MAX && l->n < LOGINS_MAX && l->of_edge[edge] < SEATS_MAX;
}

bool logins_take(struct logins *l, const struct login_id *id, uint64_t user,
		 uint64_t network)
{
	struct login **at, *one;

	logins_give(l, id);
	one = has_room(l, id->edge) ? calloc(1, sizeof(*one)) : NULL;
	if (!one)
		return false;
	if (!count_up(l, user)) {
		free(one);
		return false;
	}
	if (!count_up(l, network)) {
		count_down(l, user);
		free(one);
		return false;
	}
	*one = (struct login){ .id = *id, .user = user, .network = network };
	at = find(l, id);
	one->next = *at;
	*at = one;
	l->n++;
	l->of_edge[id->edge]++;
	return true;
}

void logins_give(struct logins *l, const struct login_id *id)
{
	struct login **at = find(l, id);

	if (*at)
		drop(l, at);
}

void logins_lost(struct logins *l, unsigned edge, uint32_t generation)
{
	for (size_t i = 0; i < CHAINS && l->n; i++) {
		struct login **at = &l->by_id[i];

		while (*at) {
			const struct login_id *id = &(*at)->id;

			if (id->edge == edge && id->generation == generation)
				drop(l, at);
			else
				at = &(*at)->next;
		}
	}
}

void logins_close(struct logins **logins)
{
	struct logins *l = *logins;

	*logins = NULL;
	for (size_t i = 0; l && i < CHAINS; i++)
		while (l->by_id[i])
			drop(l, &l->by_id[i]);
	free(l);
}
