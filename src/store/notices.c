/* What all notices have in common: the budget of an hour, and the way into the queue. */
#include "store/notices_inner.h"

#include "store/recipients.h"

/* Whose ids ours are. With 16 edges one more has them: they are tried out. */
#define MAKER 15

#define ID_TRIES   1000
#define HELD_TIMES 10 /* of the budget; above that none are made */

/* ---- the budget ---------------------------------------------------------------------------- */

void notices_open(struct notices *n, struct store *s, const uint64_t key[2])
{
	*n = (struct notices){ .store = s, .key = { key[0], key[1] } };
	id_maker_init(&n->ids, MAKER);
}

void notices_limit(struct notices *n, int64_t most)
{
	__atomic_store_n(&n->most, most, __ATOMIC_RELAXED);
}

/* What is left of the hour before counts for its part. */
enum budget_says notices_spend(struct notices *n, int64_t wall)
{
	int64_t most = __atomic_load_n(&n->most, __ATOMIC_RELAXED), sum;

	if (wall < n->since || wall - n->since >= 2 * MS_HOUR) {
		n->before = n->now = 0;
		n->since = wall;
	} else if (wall - n->since >= MS_HOUR) {
		n->before = n->now;
		n->now = 0;
		n->since += MS_HOUR;
	}
	sum = n->now + n->before * (MS_HOUR - (wall - n->since)) / MS_HOUR;
	if (sum >= most * HELD_TIMES)
		return BUDGET_NONE;
	n->now++;
	return sum < most ? BUDGET_FINE : BUDGET_HOLD;
}

/* ---- putting one into the queue --------------------------------------------------------------- */

/* Any id that is free: edges make theirs without asking. */
static bool put_with_id(struct notices *n, struct tools *t, struct queue_message *m,
			struct queue_to *to, struct err *err)
{
	enum queue_put put = QUEUE_TAKEN;

	for (int i = 0; i < ID_TRIES && (put == QUEUE_TAKEN || put == QUEUE_SAME); i++) {
		m->id = id_next(&n->ids, t->wall);
		m->nonce = m->id ^ n->key[0];
		if (!queue_put(t->queue, m, to, 1, &put, err))
			return false;
	}
	return (put != QUEUE_TAKEN && put != QUEUE_SAME) ||
	       err_set(err, "no id is free for a notice");
}

bool notices_put(struct notices *n, struct tools *t, struct queue_message *m,
		 struct span address, struct err *err)
{
	uint8_t mem[ADDRESS_MAX];
	struct queue_to to = {
		.address = address,
		.mailbox = recipients_lower(address, mem),
		.due = t->wall,
	};

	m->flags |= MAIL_OURS;
	m->wall = t->wall;
	m->size = m->body.n;
	m->rcpt_total = 1;
	return put_with_id(n, t, m, &to, err);
}
