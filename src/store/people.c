#include "store/people.h"

#include <stdlib.h>

#include "base/list.h"

void people_init(struct people *a, const uint64_t key[2])
{
	names_init(&a->users, key);
	names_init(&a->aliases, key);
	names_init(&a->domains, key);
	names_init(&a->located, key);
}

static void free_all(struct names *t)
{
	struct name *n;
	size_t i = 0;

	while ((n = names_each(t, &i)))
		free(n);
	names_close(t);
}

void people_close(struct people *a)
{
	free_all(&a->users);
	free_all(&a->aliases);
	free_all(&a->domains);
	free_all(&a->located);
}

struct user *people_user(const struct people *a, struct span address)
{
	return (struct user *)names_find(&a->users, address);
}

struct alias *people_alias(const struct people *a, struct span address)
{
	return (struct alias *)names_find(&a->aliases, address);
}

struct domain *people_domain(const struct people *a, struct span name)
{
	return (struct domain *)names_find(&a->domains, name);
}

struct located *people_located(const struct people *a, struct span login)
{
	return (struct located *)names_find(&a->located, login);
}

/* A thing with two texts behind it; the first is its name. */
static void *make(size_t size, struct span text, struct span more, struct span *copy)
{
	uint8_t *thing = calloc(1, size + text.n + more.n);
	struct name *name = (struct name *)(void *)thing;

	if (!thing)
		return NULL;
	memcpy(thing + size, text.p, text.n);
	if (more.n)
		memcpy(thing + size + text.n, more.p, more.n);
	name->text = span_of(thing + size, text.n);
	*copy = span_of(thing + size + text.n, more.n);
	return thing;
}

/* In with it; what had the name before goes. */
static bool replace(struct names *t, struct name *old, struct name *new)
{
	if (!new)
		return false;
	if (old) {
		names_drop(t, old);
		free(old);
	}
	if (names_put(t, new))
		return true;
	free(new);
	return false;
}

static bool drop(struct names *t, struct name *n)
{
	if (!n)
		return false;
	names_drop(t, n);
	free(n);
	return true;
}

bool people_put_user(struct people *a, struct span address, int64_t quota)
{
	struct user *u = people_user(a, address);
	struct span none;

	if (u) {
		u->quota = quota;
		return true;
	}
	u = make(sizeof(*u), address, SPAN_NONE, &none);
	if (!u)
		return false;
	u->quota = quota;
	u->used = USED_UNKNOWN;
	return replace(&a->users, NULL, &u->name);
}

bool people_put_alias(struct people *a, struct span address, struct span targets)
{
	struct span copy;
	struct alias *new = make(sizeof(*new), address, targets, &copy);

	if (!new)
		return false;
	new->targets = copy;
	return replace(&a->aliases, names_find(&a->aliases, address), &new->name);
}

bool people_add_target(struct people *a, struct span address, struct span target)
{
	struct alias *old = people_alias(a, address);
	size_t cap = (old ? old->targets.n : 0) + target.n + 2;
	uint8_t *mem = malloc(cap);
	struct buf list;
	bool good;

	if (!mem)
		return false;
	buf_init(&list, mem, cap);
	if (old)
		buf_put(&list, old->targets);
	list_put(&list, target);
	good = people_put_alias(a, address, buf_span(&list));
	free(mem);
	return good;
}

bool people_put_domain(struct people *a, struct span name, struct span catch_all)
{
	struct span copy;
	struct domain *new = make(sizeof(*new), name, catch_all, &copy);

	if (!new)
		return false;
	new->catch_all = copy;
	return replace(&a->domains, names_find(&a->domains, name), &new->name);
}

bool people_put_located(struct people *a, struct span login, struct span backend)
{
	struct span copy;
	struct located *new = make(sizeof(*new), login, backend, &copy);

	if (!new)
		return false;
	new->backend = copy;
	return replace(&a->located, names_find(&a->located, login), &new->name);
}

bool people_drop_user(struct people *a, struct span address)
{
	return drop(&a->users, names_find(&a->users, address));
}

bool people_drop_alias(struct people *a, struct span address)
{
	return drop(&a->aliases, names_find(&a->aliases, address));
}

bool people_drop_domain(struct people *a, struct span name)
{
	return drop(&a->domains, names_find(&a->domains, name));
}

bool people_drop_located(struct people *a, struct span login)
{
	return drop(&a->located, names_find(&a->located, login));
}
