/*
 * What the store opens and reads before it serves.
 */
#include "store/store_open.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>

#include "db/queue_read.h"
#include "db/queue_route.h"
#include "store/inner.h"
#include "store/upkeep.h"

#define DESTINATIONS_ONCE 1000
#define DESTINATIONS_KEPT 10000 /* that nothing goes to any more */

/* ---- files and keys ---- */

/* They outlive restarts: addresses that were made with them come back for weeks. */
static bool read_keys(struct store *s, struct err *err)
{
	uint64_t fresh[4][2];

	if (getrandom(fresh, sizeof(fresh), 0) != sizeof(fresh))
		return err_set(err, "getrandom: %s", strerror(errno));
	memcpy(s->srs_key, fresh[0], sizeof(s->srs_key));
	memcpy(s->batv_key, fresh[1], sizeof(s->batv_key));
	memcpy(s->destination_key, fresh[2], sizeof(s->destination_key));
	notices_open(&s->notices, s, fresh[3]);
	notices_limit(&s->notices, s->conf->set.bounce_budget);
	return state_secret(s->state, SPAN("srs"), (uint8_t *)s->srs_key,
			    sizeof(s->srs_key), err) &&
	       state_secret(s->state, SPAN("batv"), (uint8_t *)s->batv_key,
			    sizeof(s->batv_key), err) &&
	       state_secret(s->state, SPAN("destinations"), (uint8_t *)s->destination_key,
			    sizeof(s->destination_key), err);
}

bool store_open_files(struct store *s, struct err *err)
{
	const struct settings *set = &s->conf->set;
	char path[2 * TEXT_MAX];

	if (!maildirs_open(&s->maildirs, set->dir, set->maildirs, err))
		return false;
	snprintf(path, sizeof(path), "%s/queue/spool", set->dir);
	s->spool_dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (s->spool_dir < 0)
		return err_set(err, "%s: %s", path, strerror(errno));
	snprintf(path, sizeof(path), "%s/state/state.db", set->dir);
	if (!state_open(&s->state, path, err) || !read_keys(s, err))
		return false;
	snprintf(path, sizeof(path), "%s/queue/queue.db", set->dir);
	if (!queue_open(&s->queue, path, loop_wall(s->loop), err) ||
	    !queue_reader_open(&s->reader, path, err))
		return false;
	upkeep_measure(s);
	/* the log of a small disk must not be what fills it */
	queue_limit_log(s->queue, s->room / 64);
	return true;
}

/* ---- people and the queue ---- */

bool store_read_tables(struct store *s, int fd, struct err *err)
{
	struct stat st;
	void *map;
	bool good;

	if (fstat(fd, &st) < 0 || st.st_size <= 0)
		return err_set(err, "tables: %s", strerror(errno));
	map = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (map == MAP_FAILED)
		return err_set(err, "tables: %s", strerror(errno));
	good = recipients_give(&s->recipients, span_of(map, (size_t)st.st_size), err);
	munmap(map, (size_t)st.st_size);
	return good;
}

struct loading {
	struct store *store;
	bool failed;
};

static void on_user(void *arg, struct span address, int64_t quota)
{
	struct loading *l = arg;

	l->failed |= !people_put_user(&l->store->recipients.own, address, quota);
}

static void on_alias(void *arg, struct span address, struct span target)
{
	struct loading *l = arg;

	l->failed |= !people_add_target(&l->store->recipients.own, address, target);
}

static void on_domain(void *arg, struct span name, struct span catch_all)
{
	struct loading *l = arg;

	l->failed |= !people_put_domain(&l->store->recipients.own, name, catch_all);
}

static void on_located(void *arg, struct span login, struct span backend)
{
	struct loading *l = arg;

	l->failed |= !people_put_located(&l->store->recipients.own, login, backend);
}

bool store_load_people(struct store *s, struct err *err)
{
	struct loading l = { .store = s };

	if (!recipients_open(&s->recipients, err) ||
	    !state_each_user(s->state, on_user, &l, err) ||
	    !state_each_alias(s->state, on_alias, &l, err) ||
	    !state_each_domain(s->state, on_domain, &l, err) ||
	    !state_each_located(s->state, on_located, &l, err))
		return false;
	if (l.failed)
		return err_set(err, "out of memory for users");
	if (s->start->tables_fd >= 0 && !store_read_tables(s, s->start->tables_fd, err))
		return false;
	return recipients_build(&s->recipients, s->conf, err);
}

static void on_destination(void *arg, const struct queue_destination *d)
{
	struct loading *l = arg;

	l->failed |= !deliver_found(l->store, d->id, d->hop, d->target, d->due);
}

/* Those that have something waiting, as many as there is room for. */
static bool load_destinations(struct store *s, struct loading *l, struct err *err)
{
	int64_t after = 0;

	schedule_open(&s->schedule, s->destination_key, DESTINATIONS_MAX);
	schedule_clock(&s->schedule, loop_now(s->loop), loop_wall(s->loop));
	schedule_limit(&s->schedule, &s->conf->set);
	if (!queue_prune_destinations(s->queue, DESTINATIONS_KEPT, err))
		return false;
	do
		if (!queue_waiting_destinations(s->queue, &after, DESTINATIONS_ONCE,
						on_destination, l, err))
			return false;
	while (after);
	return true;
}

bool store_load_queue(struct store *s, struct err *err)
{
	struct loading l = { .store = s };
	int64_t counts[QUEUE_GONE], sum = 0;

	if (!load_destinations(s, &l, err) ||
	    !queue_newest(s->queue, &s->newest_at_start, err) ||
	    !queue_count(s->queue, counts, err))
		return false;
	if (l.failed)
		return err_set(err, "the queue has destinations that are not known");
	for (size_t i = 0; i < QUEUE_PURGED; i++)
		sum += counts[i];
	s->held = counts[QUEUE_HELD];
	pulse_gauge_set(s->pulse, GAUGE_QUEUE, sum);
	pulse_gauge_set(s->pulse, GAUGE_HELD, s->held);
	pulse_gauge_set(s->pulse, GAUGE_DELIVERIES, 0);
	return true;
}
