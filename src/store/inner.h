/*
 * inner - all that this role has, for its own files
 */
#ifndef STORE_INNER_H
#define STORE_INNER_H

#include "base/fields.h"
#include "base/list.h"
#include "io/loop.h"
#include "link/start.h"
#include "store/batch.h"
#include "store/deliver.h"
#include "store/edges.h"
#include "store/maildir.h"
#include "store/notices.h"
#include "store/recipients.h"
#include "store/schedule.h"

#define STORE_MEMORY_MAX ((size_t)96 << 20) /* all batches together; then edges wait */

struct store {
	struct start *start;
	const struct conf *conf;
	struct loop *loop;
	struct pulse *pulse;

	struct edge_link edges[EDGES_MAX];
	uint64_t generations;
	bool paused; /* edges are not read: too much is in memory */
	struct link *watch;
	struct watch watch_watch;
	struct watch life_watch;
	struct link *auth; /* NULL: there is none now */
	struct watch auth_watch;
	struct signs *signs; /* NULL: nothing was signed yet */

	char hostname[DOMAIN_MAX + 1];
	int spool_dir;
	struct queue *queue;
	struct queue_reader *reader; /* for one thread at a time */
	bool reading;
	struct state *state;
	struct writer *writer;
	struct op *unsaved;	  /* operations that have to get in, and did not yet */
	bool broken;		  /* the last batch failed, and that was said */
	uint64_t newest_at_start; /* ids up to this one may have been delivered before */

	struct recipients recipients;
	struct timer publish;
	struct unpublished *unpublished; /* answers that wait for the map */
	ms_t published_at;

	struct schedule schedule;
	bool refreshing, refresh_again; /* destinations with mail are looked for */
	bool routing, route_again, rerouting, reroute_again, reroute_later;
	int64_t wall_ahead; /* of the clock that is never set, when that was last looked at */
	uint64_t srs_key[2], batv_key[2], destination_key[2];
	struct notices notices;
	uint64_t delays_after; /* ids up to this one have been looked at for delays */
	struct sent *sent;
	struct maildirs maildirs;
	struct maildir_line line;
	struct boxes *boxes; /* box.c; NULL: nobody has asked for one yet */
	struct jobs jobs;

	struct early_rcpts *early;
	size_t early_bytes;
	struct syncing *syncing;
	unsigned spools_opening;

	struct verify *verify;
	struct remember *remember;
	struct stream *streams;
	struct work_list *work; /* jobs.c: orders over many messages */
	size_t quota_at;	/* where the round of looking at mailboxes is */
	bool quota_busy;

	struct timer beat, tick;
	ms_t tick_space, tick_minute, tick_hour; /* when each is next */
	bool measuring;
	int64_t room; /* free bytes; written by threads */
	bool full;
	int64_t held;	     /* messages that are held; written by the writer's thread */
	bool held_owed;	     /* they were not counted after the last batch; likewise */
	uint64_t held_since; /* when they were counted, us: of that thread */
	bool pruning;
	uint64_t expire_after;

	bool draining;
	ms_t drain_by; /* results of next hops are waited for until then */
	ms_t save_by;  /* and those that are known are saved until then */
	int exit_code;
};

/* Log that something of ours failed. */
void trouble_log(struct store *s, const char *key, const char *fmt, ...) PRINTF(3, 4);

#endif
