/*
 * submit - messages come in
 */
#ifndef STORE_SUBMIT_H
#define STORE_SUBMIT_H

#include "base/err.h"
#include "store/vouch.h"

struct store;
struct edge_link;

/* Recipients of a message whose SUBMIT has not come yet. */
struct early_rcpts {
	struct early_rcpts *next;
	uint64_t generation; /* of the edge */
	uint64_t id, nonce;
	size_t count, n, cap;
	uint8_t *list;
};

/* A message whose file is being synced, or that is being signed, before it is committed. */
struct syncing {
	struct syncing *next;
	struct store *store;
	uint64_t generation;
	unsigned edge;
	uint64_t id;
	bool good;
	bool held;
	bool binds_from; /* who is named there has to be its account's */
	enum submitted refused;
	struct early_rcpts *early;
	struct vouch_from from; /* of a file; if it binds */
	size_t n;
	uint8_t frame[];
};

/* A frame of an edge. False: it lies, or is not what an edge of ours would send. */
MUST bool submit_rcpts(struct store *s, struct edge_link *e, const struct frame *f,
		       struct err *err);
MUST bool submit(struct store *s, struct edge_link *e, const struct frame *f,
		 struct err *err);
/* The transaction was given up: its recipients so far and its file may go. */
MUST bool submit_dropped(struct store *s, struct edge_link *e, const struct frame *f,
			 struct err *err);
/* The whole edge is gone. */
void submit_forget(struct store *s, const struct edge_link *e);

#endif
