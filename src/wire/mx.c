#include "wire/mx.h"

static void swap(struct mx_host *a, struct mx_host *b)
{
	struct mx_host was = *a;

	*a = *b;
	*b = was;
}

/* Fisher and Yates, with a generator of our own (Knuth's constants). */
static void shuffle(struct mx_host *hosts, size_t count, uint64_t seed)
{
	for (size_t i = count; i > 1; i--) {
		seed = seed * 6364136223846793005u + 1442695040888963407u;
		swap(&hosts[i - 1], &hosts[(seed >> 33) % i]);
	}
}

/* By insertion: there are few, and equal ones stay as they are. */
static void sort(struct mx_host *hosts, size_t count)
{
	for (size_t i = 1; i < count; i++)
		for (size_t j = i; j && hosts[j].preference < hosts[j - 1].preference; j--)
			swap(&hosts[j], &hosts[j - 1]);
}

static bool is_there(const struct mx_host *hosts, size_t count, struct span name)
{
	for (size_t i = 0; i < count; i++)
		if (span_eq_nocase(hosts[i].name, name))
			return true;
	return false;
}

static size_t without_nonsense(struct mx_host *hosts, size_t count)
{
	size_t n = 0;

	for (size_t i = 0; i < count; i++)
		if (hosts[i].name.n && !is_there(hosts, n, hosts[i].name))
			hosts[n++] = hosts[i];
	return n;
}

/* How many are better than we are? */
static size_t before(const struct mx_host *hosts, size_t count, struct span self)
{
	size_t n = 0;

	for (size_t i = 0; i < count; i++) {
		if (!span_eq_nocase(hosts[i].name, self))
			continue;
		while (hosts[n].preference < hosts[i].preference)
			n++;
		return n;
	}
	return count;
}

size_t mx_order(struct mx_host *hosts, size_t count, struct span self, uint64_t seed)
{
	shuffle(hosts, count, seed);
	sort(hosts, count);
	count = without_nonsense(hosts, count);
	return before(hosts, count, self);
}

bool mx_is_null(const struct mx_host *hosts, size_t count)
{
	return count == 1 && !hosts[0].name.n;
}
