/*
 * The sources put together, and published.
 */
#include "store/recipients.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/list.h"
#include "base/rcptmap.h"
#include "conf/tables.h"

#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 0x0010
#endif

bool recipients_open(struct recipients *r, struct err *err)
{
	*r = (struct recipients){ .map_fd = -1 };
	if (getrandom(r->key, sizeof(r->key), 0) != sizeof(r->key))
		return err_set(err, "getrandom: %s", strerror(errno));
	people_init(&r->own, r->key);
	people_init(&r->given, r->key);
	names_init(&r->domains, r->key);
	return true;
}

static void forget_domains(struct names *domains)
{
	struct name *n;
	size_t i = 0;

	while ((n = names_each(domains, &i)))
		free(n);
	names_close(domains);
}

static void forget_map(struct recipients *r)
{
	if (r->map)
		munmap(r->map, r->map_n);
	if (r->map_fd >= 0)
		close(r->map_fd);
	r->map = NULL;
	r->map_fd = -1;
}

void recipients_close(struct recipients *r)
{
	forget_map(r);
	forget_domains(&r->domains);
	people_close(&r->own);
	people_close(&r->given);
}

/* ---- tables ---- */

/* "@domain" stands for everybody of it. */
static bool give_catch_all(struct people *a, const struct table_entry *e)
{
	struct span domain = span_skip(e->key, 1), targets = e->targets, target;

	if (e->kind == TABLE_ADDRESS)
		return people_put_domain(a, domain, SPAN("*"));
	if (list_count(targets) == 1 && list_next(&targets, &target))
		return people_put_domain(a, domain, target);
	/* a catch-all to several is an alias of a name that nobody can write */
	return people_put_alias(a, e->key, e->targets) &&
	       people_put_domain(a, domain, e->key);
}

static bool give(struct people *a, const struct table_entry *e)
{
	if (e->key.n == 0 || e->key.n > ADDRESS_MAX)
		return true;
	switch (e->kind) {
	case TABLE_ADDRESS:
		if (e->key.p[0] == '@')
			return give_catch_all(a, e);
		return people_put_user(a, e->key, QUOTA_DEFAULT);
	case TABLE_DOMAIN:
		return people_domain(a, e->key) || people_put_domain(a, e->key, SPAN_NONE);
	case TABLE_ALIAS:
		if (e->key.p[0] == '@')
			return give_catch_all(a, e);
		return people_put_alias(a, e->key, e->targets);
	case TABLE_KINDS:
		break;
	}
	return true;
}

/* What is known of the mailboxes of those who were there before. */
static void keep_usage(const struct people *old, const struct people *fresh)
{
	struct name *n;
	size_t i = 0;

	while ((n = names_each(&fresh->users, &i))) {
		const struct user *before = people_user(old, n->text);
		struct user *u = (struct user *)n;

		if (!before)
			continue;
		u->used = before->used;
		u->looked = before->looked;
		u->full = before->full;
	}
}

bool recipients_give(struct recipients *r, struct span blob, struct err *err)
{
	struct people fresh;
	struct table_entry e;
	struct span left;

	if (!tables_open(blob, &left))
		return err_set(err, "the tables are not whole");
	people_init(&fresh, r->key);
	while (tables_next(&left, &e))
		if (!give(&fresh, &e)) {
			people_close(&fresh);
			return err_set(err, "out of memory for the tables");
		}
	keep_usage(&r->given, &fresh);
	people_close(&r->given);
	r->given = fresh;
	return true;
}

/* ---- domains ---- */

static struct our_domain *our(struct recipients *r, struct span name, bool make,
			      bool *failed)
{
	struct our_domain *d = (struct our_domain *)names_find(&r->domains, name);

	if (d || !make)
		return d;
	d = calloc(1, sizeof(*d) + name.n);
	if (!d) {
		*failed = true;
		return NULL;
	}
	memcpy(d + 1, name.p, name.n);
	d->name.text = span_of(d + 1, name.n);
	if (!names_put(&r->domains, &d->name)) {
		free(d);
		*failed = true;
		return NULL;
	}
	return d;
}

static void add_domains(struct recipients *r, const struct names *domains, bool make,
			bool *failed)
{
	struct name *n;
	size_t i = 0;

	while ((n = names_each(domains, &i))) {
		const struct domain *from = (const struct domain *)n;
		struct our_domain *d = our(r, n->text, make, failed);

		if (!d || from->catch_all.n == 0)
			continue;
		if (span_eq(from->catch_all, SPAN("*")))
			d->any = true;
		else
			d->catch_all = from->catch_all;
	}
}

static void add_names(struct recipients *r, const struct names *names)
{
	struct name *n;
	size_t i = 0;

	while ((n = names_each(names, &i))) {
		size_t at = span_find_last(n->text, '@');
		struct our_domain *d = our(r, span_skip(n->text, at + 1), false, NULL);

		if (d)
			d->has_users = true;
	}
}

/* A routed domain whose users nobody told us takes them all, unless they would make Maildirs. */
static void settle_routes(struct recipients *r)
{
	struct name *n;
	size_t i = 0;

	while ((n = names_each(&r->domains, &i))) {
		struct our_domain *d = (struct our_domain *)n;

		if (d->route && !d->has_users && !d->route->verify &&
		    d->route->hop != HOP_MAILDIR && d->catch_all.n == 0)
			d->any = true;
	}
}

/* make: those that are not there yet; else only what is said of those that are. */
static void fill_domains(struct recipients *r, bool make, bool *failed)
{
	for (size_t i = 0; i < r->conf->domain_count; i++)
		(void)our(r, span_str(r->conf->domains[i]), make, failed);
	for (size_t i = 0; i < r->conf->route_count; i++) {
		struct our_domain *d = our(r, span_str(r->conf->routes[i].domain), make,
					   failed);

		if (d)
			d->route = &r->conf->routes[i];
	}
	add_domains(r, &r->given.domains, make, failed);
	add_domains(r, &r->own.domains, make, failed);
	add_names(r, &r->given.users);
	add_names(r, &r->own.users);
	add_names(r, &r->given.aliases);
	add_names(r, &r->own.aliases);
	settle_routes(r);
}

/* Without memory the old ones stay: but what they point to may have gone. */
static void keep_domains(struct recipients *r)
{
	struct name *n;
	size_t i = 0;
	bool failed = false;

	while ((n = names_each(&r->domains, &i))) {
		struct our_domain *d = (struct our_domain *)n;

		d->route = NULL;
		d->catch_all = SPAN_NONE;
		d->has_users = d->any = false;
	}
	fill_domains(r, false, &failed);
}

/* One that is missing would be a stranger's, and mail for it would leave by a relay. */
static bool build_domains(struct recipients *r, struct err *err)
{
	struct names old = r->domains;
	bool failed = false;

	names_init(&r->domains, r->key);
	fill_domains(r, true, &failed);
	if (!failed) {
		forget_domains(&old);
		return true;
	}
	forget_domains(&r->domains);
	r->domains = old;
	keep_domains(r);
	return err_set(err, "out of memory for domains");
}

/* ---- the map ---- */

static bool count_one(void *arg, const struct target *t)
{
	(void)arg;
	(void)t;
	return true;
}

/* An alias that reaches nobody must be refused at RCPT: later it would be too late. */
static bool reaches_somebody(const struct recipients *r, struct span address)
{
	struct pile pile;
	bool reaches;

	pile_init(&pile);
	reaches = recipients_expand(r, address, false, &pile, count_one, NULL) == EXPANDED;
	pile_close(&pile);
	return reaches;
}

static bool put_names(struct recipients *r, void *map, size_t n,
		      const struct names *names, bool aliases)
{
	struct name *name;
	size_t i = 0;

	while ((name = names_each(names, &i))) {
		unsigned flags = RCPT_EXISTS;

		if (!names_find(&r->domains,
				span_skip(name->text, span_find_last(name->text, '@') + 1)))
			continue;
		if (aliases && !reaches_somebody(r, name->text))
			continue;
		if (!aliases && ((struct user *)name)->full)
			flags |= RCPT_FULL;
		if (!rcptmap_put(map, n, name->text, flags))
			return false;
	}
	return true;
}

static bool put_domains(struct recipients *r, void *map, size_t n)
{
	struct name *name;
	size_t i = 0;

	while ((name = names_each(&r->domains, &i))) {
		const struct our_domain *d = (const struct our_domain *)name;
		unsigned flags = RCPT_DOMAIN;
		uint8_t mem[DOMAIN_MAX + 2];
		struct buf key;

		buf_init(&key, mem, sizeof(mem));
		buf_byte(&key, '@');
		buf_put(&key, name->text);
		if (d->any || (d->catch_all.n && reaches_somebody(r, d->catch_all)))
			flags |= RCPT_ANY;
		else if (d->route && d->route->verify)
			flags |= RCPT_ASK;
		if (key.full || !rcptmap_put(map, n, buf_span(&key), flags))
			return false;
	}
	return true;
}

static bool fill(struct recipients *r, void *map, size_t n)
{
	uint64_t key[2];

	if (getrandom(key, sizeof(key), 0) != sizeof(key))
		return false;
	rcptmap_init(map, n, key, r->generation + 1,
		     span_head(span_str(r->conf->set.detail), 7));
	if (reaches_somebody(r, SPAN("postmaster")) &&
	    !rcptmap_put(map, n, SPAN("postmaster"), RCPT_EXISTS))
		return false;
	return put_names(r, map, n, &r->own.users, false) &&
	       put_names(r, map, n, &r->given.users, false) &&
	       put_names(r, map, n, &r->own.aliases, true) &&
	       put_names(r, map, n, &r->given.aliases, true) && put_domains(r, map, n);
}

static bool build(struct recipients *r, struct err *err)
{
	size_t n;
	void *map;
	int fd;

	if (!build_domains(r, err))
		return false;
	n = rcptmap_size(r->own.users.count + r->given.users.count + r->own.aliases.count +
			 r->given.aliases.count + r->domains.count + 1);
	fd = memfd_create("recipients", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0)
		return err_set(err, "memfd for recipients: %s", strerror(errno));
	map = ftruncate(fd, (off_t)n) < 0
		      ? MAP_FAILED
		      : mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (map == MAP_FAILED || !fill(r, map, n) ||
	    fcntl(fd, F_ADD_SEALS,
		  F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE | F_SEAL_SEAL) < 0) {
		err_set(err, "map of recipients: %s", strerror(errno));
		if (map != MAP_FAILED)
			munmap(map, n);
		close(fd);
		return false;
	}
	forget_map(r);
	r->map = map;
	r->map_n = n;
	r->map_fd = fd;
	r->generation++;
	return true;
}

bool recipients_build(struct recipients *r, const struct conf *conf, struct err *err)
{
	r->conf = conf;
	if (build(r, err))
		return true;
	if (r->map)
		rcptmap_mark_stale(r->map);
	return false;
}

void recipients_mark_full(struct recipients *r, struct user *u, bool full)
{
	u->full = full;
	if (r->map)
		rcptmap_mark_full(r->map, r->map_n, u->name.text, full);
}
