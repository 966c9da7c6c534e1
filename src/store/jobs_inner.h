/*
 * jobs_inner - what the files of orders over many messages share
 */
#ifndef STORE_JOBS_INNER_H
#define STORE_JOBS_INNER_H

#include "db/queue_job.h"
#include "db/where.h"
#include "store/inner.h"
#include "store/jobs.h"

#define PLANS_MAX 32
#define WHY_MAX	  200

/* An order that was asked for, and is not carried out yet. */
struct plan {
	uint32_t number; /* 0: free */
	enum queue_job_kind kind;
	bool standing, sure;
	ms_t within; /* how long it stands */
	ms_t made;
	size_t condition_n, why_n;
	uint8_t condition[WHERE_MAX];
	uint8_t why[WHY_MAX];
};

struct work_list {
	struct plan plan[PLANS_MAX];
	size_t next_plan;
	/* orders whose rows follow; a step of one is under way, then one of the next */
	size_t count, turn;
	uint32_t number[2 * QUEUE_ORDERS_MAX];
	size_t most;  /* rows of a step */
	bool failed;  /* the last step */
	bool yielded; /* the last batch was left to mail */
	bool stepping, ticking, more;
	ms_t minute; /* when old orders are looked at next */
};

/* ---- jobs.c ---- */

/* The rows of that order follow, or go back, from now on. */
void jobs_work_add(struct work_list *w, uint32_t number);

/* ---- jobs_order.c ---- */

extern const char *const job_kind_word[JOB_KINDS];

void jobs_log(struct store *s, uint32_t number, const char *what, struct span condition);
void jobs_carry_out(struct store *s, uint32_t ask, const struct plan *p);
/* lift: it catches nothing any more; else it is undone. */
void jobs_end_one(struct store *s, uint32_t ask, uint32_t number, bool lift);

#endif
