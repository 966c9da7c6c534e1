#include "auth/keeper.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/siphash.h"
#include "crypt/keyed.h"

#define DEVICES_ONCE 256
#define LOGINS_ONCE  1024
#define LOGIN_PLACES (2 * LOGINS_ONCE)
#define TELLS_ONCE   64
#define NOTICE_MAX   512
#define TELL_EVERY   MS_DAY

/* A text of a row: the row is not where it came from any more. */
struct kept {
	uint16_t n;
	uint8_t text[DOMAIN_MAX];
};

struct device_row {
	struct vault_device d;
	struct kept address, helo;
};

struct login_row {
	uint64_t same,
		owner; /* keyed hashes: of what makes it that row, and of the address */
	struct vault_login l;
	struct kept address, helo, reason, mechanism;
};

struct tell_row {
	struct kept address, kind;
	int64_t wall;
	size_t n;
	uint8_t text[NOTICE_MAX];
	bool due;
};

struct batch {
	size_t devices, logins, tells;
	uint64_t lost;
	int64_t history; /* as it was when the thread began */
	struct device_row device[DEVICES_ONCE];
	struct login_row login[LOGINS_ONCE];
	uint16_t place[LOGIN_PLACES]; /* by `same`: which of them, from 1; 0: free */
	uint64_t pruned[LOGINS_ONCE]; /* owners, while it is written */
	struct tell_row tell[TELLS_ONCE];
};

struct keeper {
	struct loop *loop;
	struct vault *vault;
	struct vault_reader *reader;
	pthread_mutex_t lock; /* held by whoever uses vault */
	const struct keeper_calls *calls;
	void *arg;
	struct timer timer;
	struct batch *filling, *writing;
	uint64_t key[2];
	bool busy; /* a thread writes `writing` */
	ms_t next;
	int64_t history;
	bool failed;
	struct err err;
};

static struct kept keep(struct span s)
{
	struct kept k = { .n = (uint16_t)(s.n < sizeof(k.text) ? s.n : sizeof(k.text)) };

	if (k.n)
		memcpy(k.text, s.p, k.n);
	return k;
}

static struct span text_of(const struct kept *k)
{
	return span_of(k->text, k->n);
}

/* ---- writing ---------------------------------------- */

static bool put_device(struct vault *v, struct device_row *r, struct err *err)
{
	r->d.address = text_of(&r->address);
	r->d.helo = text_of(&r->helo);
	return vault_put_device(v, &r->d, err);
}

static bool put_login(struct vault *v, struct login_row *r, struct err *err)
{
	r->l.address = text_of(&r->address);
	r->l.helo = text_of(&r->helo);
	r->l.reason = text_of(&r->reason);
	r->l.mechanism = text_of(&r->mechanism);
	return vault_put_login(v, &r->l, err);
}

/* Once for each account: to find the oldest of its rows, all have to be read. */
static bool prune_logins(struct vault *v, struct batch *b, struct err *err)
{
	size_t n = 0;

	for (size_t i = 0; i < b->logins; i++) {
		struct login_row *r = &b->login[i];
		size_t at = 0;

		while (at < n && b->pruned[at] != r->owner)
			at++;
		if (at < n)
			continue;
		b->pruned[n++] = r->owner;
		if (!vault_prune_logins(v, text_of(&r->address), b->history, err))
			return false;
	}
	return true;
}

static bool put_all(struct keeper *k, struct batch *b, struct err *err)
{
	for (size_t i = 0; i < b->devices; i++)
		if (!put_device(k->vault, &b->device[i], err))
			return false;
	for (size_t i = 0; i < b->logins; i++)
		if (!put_login(k->vault, &b->login[i], err))
			return false;
	if (!prune_logins(k->vault, b, err))
		return false;
	for (size_t i = 0; i < b->tells; i++) {
		struct tell_row *t = &b->tell[i];

		if (!vault_tell(k->vault, text_of(&t->address), text_of(&t->kind),
				t->wall, t->wall - TELL_EVERY, &t->due, err))
			return false;
	}
	return true;
}

/* In a thread, or at the end. */
static void write_batch(void *arg)
{
	struct keeper *k = arg;
	struct batch *b = k->writing;

	pthread_mutex_lock(&k->lock);
	k->failed = !vault_begin(k->vault, &k->err);
	if (!k->failed && !put_all(k, b, &k->err)) {
		vault_rollback(k->vault);
		k->failed = true;
	}
	k->failed = k->failed || !vault_commit(k->vault, &k->err);
	pthread_mutex_unlock(&k->lock);
}

static bool is_empty(const struct batch *b)
{
	return b->devices + b->logins + b->tells == 0;
}

static void empty(struct batch *b)
{
	if (b->logins)
		memset(b->place, 0, sizeof(b->place));
	b->devices = b->logins = b->tells = 0;
	b->lost = 0;
}

static void on_written(void *arg);

static void write_now(struct keeper *k)
{
	struct batch *b = k->filling;

	if (k->busy || is_empty(b))
		return;
	k->filling = k->writing;
	k->writing = b;
	b->history = k->history;
	k->busy = true;
	k->next = loop_now(k->loop) + KEEPER_EVERY;
	if (work_run(k->loop, write_batch, on_written, k))
		return;
	k->busy = false;
	empty(b);
	k->calls->trouble(k->arg, "out of memory: what was to be remembered is not");
}

static void on_written(void *arg)
{
	struct keeper *k = arg;
	struct batch *b = k->writing;

	k->busy = false;
	if (k->failed)
		k->calls->trouble(k->arg, k->err.text);
	if (b->lost)
		k->calls->trouble(
			k->arg,
			"too many different logins at once: some are not remembered");
	for (size_t i = 0; !k->failed && i < b->tells; i++) {
		struct tell_row *t = &b->tell[i];

		if (t->due)
			k->calls->due(k->arg, text_of(&t->address), text_of(&t->kind),
				      span_of(t->text, t->n));
	}
	empty(b);
	if (!is_empty(k->filling))
		timer_set(&k->timer, k->next);
}

static void on_time(void *arg)
{
	write_now(arg);
}

/* Something is there: now, if it has been quiet, or with what comes until then. */
static void wake(struct keeper *k)
{
	if (!k->busy)
		timer_set(&k->timer, k->next);
}

/* ---- what is remembered ---------------------------------------- */

void keeper_device(struct keeper *k, const struct vault_device *d)
{
	struct batch *b = k->filling;
	struct device_row *r = b->device;

	while (r < b->device + b->devices &&
	       (r->d.user != d->user || r->d.client != d->client ||
		!addr_eq(&r->d.prefix, &d->prefix)))
		r++;
	if (r < b->device + b->devices) {
		r->d.last = d->last;
		r->d.logins += d->logins;
		return;
	}
	if (b->devices == DEVICES_ONCE) {
		b->lost++;
		return;
	}
	*r = (struct device_row){ *d, keep(d->address), keep(d->helo) };
	b->devices++;
	wake(k);
}

static bool is_row(const struct login_row *r, const struct vault_login *l)
{
	return r->l.client == l->client && r->l.good == l->good &&
	       addr_eq(&r->l.prefix, &l->prefix) &&
	       span_eq(text_of(&r->address), l->address) &&
	       span_eq(text_of(&r->reason), l->reason);
}

static uint64_t same_of(const struct keeper *k, const struct vault_login *l,
			uint64_t owner)
{
	struct {
		uint64_t owner, client, reason;
		struct addr prefix;
		uint64_t good;
	} what = { owner, l->client, siphash(k->key, l->reason), l->prefix, l->good };

	return siphash(k->key, span_of((const uint8_t *)&what, sizeof(what)));
}

/* Its place, or the free one where it would be: there is always one. */
static uint16_t *place_of(struct batch *b, const struct vault_login *l, uint64_t same)
{
	size_t i = same % LOGIN_PLACES;

	for (; b->place[i]; i = (i + 1) % LOGIN_PLACES) {
		const struct login_row *r = &b->login[b->place[i] - 1];

		if (r->same == same && is_row(r, l))
			break;
	}
	return &b->place[i];
}

void keeper_login(struct keeper *k, const struct vault_login *l)
{
	struct batch *b = k->filling;
	uint64_t owner = siphash(k->key, l->address);
	uint64_t same = same_of(k, l, owner);
	uint16_t *place = place_of(b, l, same);
	struct login_row *r;

	if (*place) {
		r = &b->login[*place - 1];
		r->l.last = l->last;
		r->l.peer = l->peer;
		r->l.count += l->count;
		return;
	}
	if (b->logins == LOGINS_ONCE) {
		b->lost++;
		return;
	}
	r = &b->login[b->logins++];
	*place = (uint16_t)b->logins;
	*r = (struct login_row){ same,
				 owner,
				 *l,
				 keep(l->address),
				 keep(l->helo),
				 keep(l->reason),
				 keep(l->mechanism) };
	wake(k);
}

void keeper_tell(struct keeper *k, struct span address, struct span kind,
		 struct span text, int64_t wall)
{
	struct batch *b = k->filling;
	struct tell_row *t = &b->tell[b->tells];

	if (b->tells == TELLS_ONCE) {
		b->lost++;
		return;
	}
	*t = (struct tell_row){ .address = keep(address),
				.kind = keep(kind),
				.wall = wall };
	text = span_head(text, sizeof(t->text));
	t->n = text.n;
	memcpy(t->text, text.p, text.n);
	b->tells++;
	wake(k);
}

/* ---- looking up ---------------------------------------- */

static bool found(struct keeper *k, bool ok, const struct err *err)
{
	if (!ok)
		k->calls->trouble(k->arg, err->text);
	return ok;
}

bool keeper_find(struct keeper *k, struct span address, struct vault_account *out)
{
	struct err err;

	return found(k, vault_find(k->reader, address, out, &err), &err);
}

bool keeper_knows(struct keeper *k, struct span address, bool *has)
{
	struct vault_account a;

	if (vault_knows(k->vault, address, has))
		return true;
	if (!keeper_find(k, address, &a))
		return false;
	*has = a.known;
	return true;
}

bool keeper_logged_in(struct keeper *k, struct span address, bool *has)
{
	struct err err;

	return found(k, vault_logged_in(k->reader, address, has, &err), &err);
}

bool keeper_find_credential(struct keeper *k, struct span name,
			    struct vault_credential *out)
{
	struct err err;

	return found(k, vault_find_credential(k->reader, name, out, &err), &err);
}

struct vault *keeper_lock(struct keeper *k)
{
	pthread_mutex_lock(&k->lock);
	return k->vault;
}

void keeper_unlock(struct keeper *k)
{
	pthread_mutex_unlock(&k->lock);
}

void keeper_limit(struct keeper *k, int64_t history)
{
	k->history = history;
}

/* ---- coming and going ---------------------------------------- */

bool keeper_open(struct keeper **out, struct loop *loop, const char *path,
		 const struct keeper_calls *calls, void *arg, struct err *err)
{
	struct keeper *k = calloc(1, sizeof(*k));

	if (!k)
		return err_set(err, "out of memory");
	k->loop = loop;
	k->calls = calls;
	k->arg = arg;
	k->history = 100;
	keyed_random(k->key, sizeof(k->key));
	pthread_mutex_init(&k->lock, NULL);
	timer_init(&k->timer, loop, on_time, k);
	k->filling = calloc(1, sizeof(*k->filling));
	k->writing = calloc(1, sizeof(*k->writing));
	if (!k->filling || !k->writing)
		err_set(err, "out of memory");
	else if (vault_open(&k->vault, path, err) &&
		 vault_reader_open(&k->reader, path, err)) {
		*out = k;
		return true;
	}
	keeper_close(&k);
	return false;
}

void keeper_close(struct keeper **keeper)
{
	struct keeper *k = *keeper;

	*keeper = NULL;
	if (!k)
		return;
	/* the loop has waited for its threads: nothing is being written */
	if (k->vault && k->filling && !is_empty(k->filling)) {
		struct batch *spare = k->writing;

		k->writing = k->filling;
		k->writing->history = k->history;
		write_batch(k);
		k->filling = spare;
	}
	vault_reader_close(&k->reader);
	vault_close(&k->vault);
	pthread_mutex_destroy(&k->lock);
	free(k->filling);
	free(k->writing);
	free(k);
}
