/*
 * jobs - orders over many messages: queue hold, release, purge and retry with --where
 *
 * An order is previewed first, under the number that it will have. Carried out, it is in force
 * with the next commit (db/queue_job.h), and that is when the asker hears of it; its rows
 * follow here, a thousand per transaction, between what mail wants of the database.
 */
#ifndef STORE_JOBS_H
#define STORE_JOBS_H

#include <stdint.h>

#include "base/err.h"
#include "base/span.h"

struct store;
struct work_list;

/* Go on with what an earlier process began. */
MUST bool jobs_begin(struct store *s, struct err *err);
void jobs_end(struct store *s);

/* A word of `holdfast queue`, and what stood behind it. False: it is not for us. */
bool jobs_command(struct store *s, uint32_t ask, struct span word, struct span rest);

/*
 * The number of a new incident: an account sends too much, and what it sends is held. With it
 * `queue jobs` and `queue explain` say why.
 */
uint32_t jobs_incident(struct store *s, struct span login, const char *why);

/* A batch is done: it may be a job's turn. */
void jobs_turn(struct store *s);
/* Each second. */
void jobs_tick(struct store *s);

#endif
