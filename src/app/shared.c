#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "app/life.h"
#include "base/fields.h"
#include "guard/accounts.h"
#include "guard/memory.h"
#include "guard/orders.h"
#include "io/stek.h"

/* Mappings that roles share, made here so that they outlive whoever writes to them. */

#define RENEW_EVERY MS_MINUTE

static void forget(struct shared *m)
{
	if (m->rw >= 0)
		close(m->rw);
	if (m->ro >= 0)
		close(m->ro);
	*m = (struct shared){ .rw = -1, .ro = -1 };
}

/*
 * The same file once more, but what is mapped of it can never be written to: who has this
 * descriptor runs as somebody else and cannot open it anew.
 */
static int reopen(int fd)
{
	char path[40];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return open(path, O_RDONLY | O_CLOEXEC);
}

static bool make(struct shared *m, const char *name, size_t n, struct err *err)
{
	m->rw = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (m->rw >= 0 && ftruncate(m->rw, (off_t)n) == 0 && fchmod(m->rw, 0600) == 0 &&
	    fcntl(m->rw, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) == 0 &&
	    (m->ro = reopen(m->rw)) >= 0) {
		m->fresh = true;
		return true;
	}
	err_set(err, "cannot make the memory %s (%zu bytes): %s", name, n,
		strerror(errno));
	forget(m);
	return false;
}

static void *map(const struct shared *m, size_t *n)
{
	struct stat st;
	void *mem;

	if (m->rw < 0 || fstat(m->rw, &st) != 0 || st.st_size <= 0)
		return NULL;
	*n = (size_t)st.st_size;
	mem = mmap(NULL, *n, PROT_READ | PROT_WRITE, MAP_SHARED, m->rw, 0);
	return mem == MAP_FAILED ? NULL : mem;
}

/* ---- the guard's memory ------------------------------------------------------------------ */

static uint32_t seats(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur > SEATS_MAX)
		return SEATS_MAX;
	return limit.rlim_cur ? (uint32_t)limit.rlim_cur : 1;
}

static bool make_guard(struct supervisor *s, struct err *err)
{
	struct memory_shape shape = { .hot = (uint32_t)s->conf->set.guard_hot,
				      .cold = (uint32_t)s->conf->set.guard_cold,
				      .workers = EDGES_MAX,
				      .seats = seats() };
	size_t n = memory_size(&shape);
	uint64_t key[2];
	void *mem;

	if (getrandom(key, sizeof(key), 0) != sizeof(key))
		return err_set(err, "no random numbers: %s", strerror(errno));
	if (!make(&s->guard, "holdfast-guard", n, err))
		return false;
	mem = map(&s->guard, &n);
	if (!mem) {
		err_set(err, "cannot map the guard's memory (%zu bytes): %s", n,
			strerror(errno));
		forget(&s->guard);
		return false;
	}
	memory_init(mem, n, &shape, key, loop_now(s->loop));
	munmap(mem, n);
	return true;
}

static bool make_accounts(struct supervisor *s, struct err *err)
{
	const struct settings *set = &s->conf->set;
	struct accounts_shape shape = { .users = (uint32_t)set->guard_users,
					.pairs = (uint32_t)set->guard_pairs,
					.devices = (uint32_t)set->guard_devices,
					.prefixes = (uint32_t)set->guard_networks,
					.secrets = (uint32_t)set->guard_secrets,
					.campaigns = (uint32_t)set->guard_campaigns };
	size_t n = accounts_size(&shape);
	uint64_t key[2];
	void *mem;

	if (getrandom(key, sizeof(key), 0) != sizeof(key))
		return err_set(err, "no random numbers: %s", strerror(errno));
	if (!make(&s->accounts, "holdfast-accounts", n, err))
		return false;
	mem = map(&s->accounts, &n);
	if (!mem) {
		err_set(err, "cannot map the memory of accounts (%zu bytes): %s", n,
			strerror(errno));
		forget(&s->accounts);
		return false;
	}
	accounts_init(mem, n, &shape, key, loop_now(s->loop));
	munmap(mem, n);
	return true;
}

static bool accounts_good(const struct shared *m)
{
	struct accounts view;
	size_t n;
	void *mem = map(m, &n);
	bool good = mem && accounts_open(&view, mem, n);

	if (mem)
		munmap(mem, n);
	return good;
}

static void say_made(struct supervisor *s)
{
	struct buf *b = say_begin(s);

	field_text(b, "key", SPAN("guard"));
	field_text(b, "what", SPAN("made"));
	field_number(b, "hot", s->conf->set.guard_hot);
	field_number(b, "cold", s->conf->set.guard_cold);
	say_end(s, LOG_MEMORY);
}

static bool guard_good(const struct shared *m)
{
	struct memory view;
	size_t n;
	void *mem = map(m, &n);
	bool good = mem && memory_open(&view, mem, n, 0);

	if (mem)
		munmap(mem, n);
	return good;
}

/* ---- orders -------------------------------------------------------------------------------- */

static bool make_orders(struct supervisor *s, struct err *err)
{
	size_t n = orders_size();
	void *mem;

	if (!make(&s->orders, "holdfast-orders", n, err))
		return false;
	mem = map(&s->orders, &n);
	if (!mem) {
		err_set(err, "cannot map the orders: %s", strerror(errno));
		forget(&s->orders);
		return false;
	}
	orders_init(mem);
	munmap(mem, n);
	return true;
}

static bool orders_good(const struct shared *m)
{
	size_t n;
	void *mem = map(m, &n);
	bool good = mem && orders_ok(mem, n);

	if (mem)
		munmap(mem, n);
	return good;
}

/* ---- the key of tickets -------------------------------------------------------------------- */

static bool make_tickets(struct supervisor *s, struct err *err)
{
	uint8_t key[TICKET_KEY];
	bool good;

	if (getrandom(key, sizeof(key), 0) != sizeof(key))
		return err_set(err, "no random numbers: %s", strerror(errno));
	if (!make(&s->tickets, "holdfast-tickets", sizeof(key), err))
		return false;
	good = pwrite(s->tickets.rw, key, sizeof(key), 0) == sizeof(key) ||
	       err_set(err, "cannot write the key of tickets: %s", strerror(errno));
	explicit_bzero(key, sizeof(key));
	if (!good)
		forget(&s->tickets);
	return good;
}

static bool tickets_good(const struct shared *m)
{
	struct stat st;

	return fstat(m->rw, &st) == 0 && st.st_size == TICKET_KEY;
}

/* ---- the keys of TLS session tickets ------------------------------------------------------- */

static bool add_stek_key(struct supervisor *s, struct stek *stek, struct err *err)
{
	struct stek_key key;

	if (getrandom(&key, sizeof(key), 0) != sizeof(key))
		return err_set(err, "no random numbers: %s", strerror(errno));
	stek_add(stek, &key, loop_now(s->loop));
	explicit_bzero(&key, sizeof(key));
	return true;
}

static bool make_stek(struct supervisor *s, struct err *err)
{
	size_t n = stek_size();
	bool good;
	void *mem;

	if (!make(&s->stek, "holdfast-stek", n, err))
		return false;
	mem = map(&s->stek, &n);
	good = mem ? add_stek_key(s, mem, err)
		   : err_set(err, "cannot map the keys of TLS session tickets: %s",
			     strerror(errno));
	if (mem)
		munmap(mem, n);
	if (!good)
		forget(&s->stek);
	return good;
}

static bool stek_good(const struct shared *m)
{
	size_t n;
	void *mem = map(m, &n);
	bool good = mem && stek_ok(mem, n);

	if (mem)
		munmap(mem, n);
	return good;
}

void shared_renew(struct supervisor *s)
{
	ms_t now = loop_now(s->loop);
	struct err err;
	size_t n;
	void *mem;

	if (now < s->renewed + RENEW_EVERY)
		return;
	s->renewed = now;
	mem = map(&s->stek, &n);
	if (!mem)
		return;
	/* without random numbers the key serves longer */
	if (now >= stek_due(mem) && !add_stek_key(s, mem, &err))
		say(s, LOG_MEMORY, "stek", err.text);
	munmap(mem, n);
}

/* ---- for the others in app/ ---------------------------------------------------------------- */

void shared_init(struct supervisor *s)
{
	s->guard = s->orders = s->accounts = s->tickets = s->stek =
		(struct shared){ .rw = -1, .ro = -1 };
}

bool shared_begin(struct supervisor *s, struct err *err)
{
	const bool taken = s->guard.rw >= 0 && s->orders.rw >= 0;

	if (s->guard.rw >= 0 && !guard_good(&s->guard)) {
		say(s, LOG_MEMORY, "guard",
		    "the old program's is of another version: made anew, and what the "
		    "last snapshot has comes back");
		forget(&s->guard);
	}
	if (s->orders.rw >= 0 && !orders_good(&s->orders)) {
		say(s, LOG_MEMORY, "orders",
		    "the old program's are of another version: made anew");
		forget(&s->orders);
	}
	if (s->accounts.rw >= 0 && !accounts_good(&s->accounts)) {
		say(s, LOG_MEMORY, "accounts",
		    "the old program's is of another version: made anew, and the devices "
		    "of the database come back");
		forget(&s->accounts);
	}
	s->apart = taken && (s->guard.rw < 0 || s->orders.rw < 0);
	if (s->guard.rw < 0) {
		if (!make_guard(s, err))
			return false;
		say_made(s);
	}
	if (s->tickets.rw >= 0 && !tickets_good(&s->tickets))
		forget(&s->tickets);
	if (s->stek.rw >= 0 && !stek_good(&s->stek))
		forget(&s->stek);
	return (s->orders.rw >= 0 || make_orders(s, err)) &&
	       (s->accounts.rw >= 0 || make_accounts(s, err)) &&
	       (s->tickets.rw >= 0 || make_tickets(s, err)) &&
	       (s->stek.rw >= 0 || make_stek(s, err));
}

void shared_take(struct shared *m, int fd)
{
	forget(m);
	m->rw = fd;
	m->ro = fd >= 0 ? reopen(fd) : -1;
	if (m->ro < 0)
		forget(m);
}

void shared_settled(struct supervisor *s)
{
	s->guard.fresh = s->orders.fresh = s->accounts.fresh = false;
}

void shared_close(struct supervisor *s)
{
	forget(&s->guard);
	forget(&s->orders);
	forget(&s->accounts);
	forget(&s->tickets);
	forget(&s->stek);
}
