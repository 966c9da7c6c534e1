/*
 * What the queue promises: what was committed is there, the same message is recognised,
 * what fails stays, and nothing that is not ours is touched.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/id.h"
#include "db/queue_read.h"
#include "db/queue_route.h"

#include "child.h"

#define NOW ((int64_t)1700000000000)

struct place {
	char dir[64];
	char path[96];
	struct queue *q;
	int64_t local, remote;
};

static struct err err;

static void start(struct place *p)
{
	if (!queue_open(&p->q, p->path, NOW, &err))
		fail_msg("%s", err.text);
}

static int set_up(void **state)
{
	struct place *p = calloc(1, sizeof(*p));

	snprintf(p->dir, sizeof(p->dir), "/tmp/holdfast-queue-XXXXXX");
	assert_non_null(mkdtemp(p->dir));
	snprintf(p->path, sizeof(p->path), "%s/queue.db", p->dir);
	start(p);
	assert_true(queue_begin(p->q, &err));
	p->local = 1;
	p->remote = 2;
	assert_true(queue_put_destination(p->q, 1, 0, SPAN(""), &err));
	assert_true(queue_put_destination(p->q, 2, 4, SPAN("next:25"), &err));
	assert_true(queue_commit(p->q, &err));
	*state = p;
	return 0;
}

static int tear_down(void **state)
{
	static const char *const suffixes[] = { "", "-wal", "-shm", "-lock" };
	struct place *p = *state;
	char name[128];

	queue_close(&p->q);
	for (size_t i = 0; i < COUNT_OF(suffixes); i++) {
		snprintf(name, sizeof(name), "%s%s", p->path, suffixes[i]);
		unlink(name);
	}
	rmdir(p->dir);
	free(p);
	return 0;
}

static struct queue_message message(uint64_t id)
{
	return (struct queue_message){
		.id = id,
		.nonce = id * 7,
		.flags = 1,
		.size = 5,
		.wall = NOW,
		.peer = { .addr = { .ip = { [15] = 1 } }, .port = 99 },
		.helo = SPAN("peer.example"),
		.sender = SPAN("a@b.example"),
		.body = SPAN("hello"),
	};
}

static enum queue_put put(struct place *p, struct queue_message *m, size_t count,
			  int64_t due)
{
	struct queue_to to[4];
	enum queue_put got;

	m->rcpt_total = (uint32_t)count;
	for (size_t i = 0; i < count; i++)
		to[i] = (struct queue_to){
			.number = (uint32_t)i,
			.address = SPAN("u+x@example.org"),
			.mailbox = SPAN("u@example.org"),
			.destination = i < 2 ? p->local : p->remote,
			.due = due,
		};
	assert_true(queue_begin(p->q, &err));
	assert_true(queue_put(p->q, m, to, count, &got, &err));
	assert_true(queue_commit(p->q, &err));
	return got;
}

struct taken {
	size_t messages, recipients;
	uint64_t ids[16];
	bool whole;
};

static void on_taken(void *arg, const struct queue_message *m, const struct queue_to *to,
		     size_t count)
{
	struct taken *t = arg;

	t->ids[t->messages++ % 16] = m->id;
	t->recipients += count;
	t->whole = span_eq(m->body, SPAN("hello")) &&
		   span_eq(m->sender, SPAN("a@b.example")) && m->nonce == m->id * 7 &&
		   m->wall == NOW && span_eq(to[0].address, SPAN("u+x@example.org")) &&
		   span_eq(to[count - 1].mailbox, SPAN("u@example.org"));
}

static struct taken take(struct place *p, int64_t destination, size_t messages)
{
	struct queue_want want = { destination, NOW, messages, 100, 1 << 20 };
	struct taken t = { 0 };

	assert_true(queue_begin(p->q, &err));
	assert_true(queue_take(p->q, &want, on_taken, &t, &err));
	assert_true(queue_commit(p->q, &err));
	return t;
}

static struct queue_settled answer(struct place *p, uint64_t id, uint32_t number,
				   enum to_state state)
{
	struct queue_answer a = { number, state, NOW + 1000, SPAN("450 later") };
	struct queue_settled got;

	assert_true(queue_begin(p->q, &err));
	assert_true(queue_answers(p->q, id, &a, 1, NOW, &got, &err));
	assert_true(queue_commit(p->q, &err));
	return got;
}

static void count_gone(void *arg, uint64_t id, bool spooled)
{
	(void)id;
	(void)spooled;
	++*(int *)arg;
}

static uint32_t order(struct place *p, enum queue_order what, uint64_t id)
{
	struct queue_changed got;
	int gone = 0;

	assert_true(queue_begin(p->q, &err));
	assert_true(queue_change(p->q, what, id, NOW, &got, count_gone, &gone, &err));
	assert_true(queue_commit(p->q, &err));
	return got.count;
}

static void what_was_put_is_taken_once(void **state)
{
	struct place *p = *state;
	struct queue_message m = message(1000);
	struct taken t;

	assert_int_equal(put(p, &m, 3, NOW), QUEUE_PUT);
	t = take(p, p->local, 10);
	assert_int_equal(t.messages, 1);
	assert_int_equal(t.recipients, 2);
	assert_true(t.whole);
	assert_int_equal(take(p, p->local, 10).messages, 0);
	assert_int_equal(take(p, p->remote, 10).recipients, 1);
}

static void what_is_not_due_is_not_taken(void **state)
{
	struct place *p = *state;
	struct queue_message m = message(1);
	int64_t next;

	put(p, &m, 1, NOW + 1);
	assert_int_equal(take(p, p->local, 10).messages, 0);
	assert_true(queue_next(p->q, p->local, &next, &err));
	assert_int_equal(next, NOW + 1);
	assert_true(queue_next(p->q, p->remote, &next, &err));
	assert_int_equal(next, MS_NEVER);
}

static void a_window_is_never_larger_than_asked(void **state)
{
	struct place *p = *state;

	for (uint64_t id = 1; id <= 10; id++) {
		struct queue_message m = message(id);

		put(p, &m, 1, NOW);
	}
	assert_int_equal(take(p, p->local, 4).messages, 4);
	assert_int_equal(take(p, p->local, 4).messages, 4);
	assert_int_equal(take(p, p->local, 4).messages, 2);
}

static void the_same_message_again_is_recognised(void **state)
{
	struct place *p = *state;
	struct queue_message m = message(5);

	assert_int_equal(put(p, &m, 1, NOW), QUEUE_PUT);
	assert_int_equal(put(p, &m, 1, NOW), QUEUE_SAME);
	m.nonce++;
	assert_int_equal(put(p, &m, 1, NOW), QUEUE_TAKEN);
	assert_int_equal(take(p, p->local, 10).messages, 1);
}

static void a_finished_message_is_still_recognised_until_it_is_pruned(void **state)
{
	struct place *p = *state;
	struct queue_message m = message(5);
	uint64_t newest;
	uint32_t count;
	bool left;

	put(p, &m, 1, QUEUE_IN_HAND);
	assert_true(queue_newest(p->q, &newest, &err));
	assert_int_equal(newest, 5);
	assert_true(queue_finish(p->q, m.id, m.nonce, NOW, &left, &err));
	assert_true(left);
	assert_true(queue_finish(p->q, m.id, m.nonce, NOW, &left, &err));
	assert_false(left);
	assert_int_equal(put(p, &m, 1, NOW), QUEUE_SAME);
	assert_true(queue_prune_done(p->q, NOW, 100, &count, &err));
	assert_int_equal(put(p, &m, 1, NOW), QUEUE_SAME);
	assert_true(queue_prune_done(p->q, NOW + 1, 100, &count, &err));
	assert_int_equal(put(p, &m, 1, NOW), QUEUE_PUT);
}

static void what_a_dead_predecessor_had_in_hand_is_due_again(void **state)
{
	struct place *p = *state;
	struct queue_message m = message(5);

	put(p, &m, 2, QUEUE_IN_HAND);
	assert_int_equal(take(p, p->local, 10).messages, 0);
	queue_close(&p->q);
	start(p);
	assert_int_equal(take(p, p->local, 10).recipients, 2);
}

static void a_message_goes_when_its_last_recipient_is_delivered(void **state)
{
	struct place *p = *state;
	struct queue_message m = message(5);
	int64_t counts[QUEUE_GONE];

	m.spooled = true;
	put(p, &m, 2, QUEUE_IN_HAND);
	assert_int_equal(answer(p, 5, 0, TO_DONE).state, QUEUE_OPEN);
	assert_int_equal(answer(p, 5, 1, TO_WAITING).state, QUEUE_OPEN);
	assert_true(queue_count(p->q, counts, &err));
	assert_int_equal(counts[QUEUE_OPEN], 1);
	assert_true(answer(p, 5, 1, TO_DONE).spooled);
	assert_true(queue_count(p->q, counts, &err));
	assert_int_equal(counts[QUEUE_OPEN], 0);
}

static void a_recipient_that_failed_for_good_keeps_the_message(void **state)
{
	struct place *p = *state;
	struct queue_message m = message(5);
	uint32_t count;
	int gone = 0;

	put(p, &m, 2, QUEUE_IN_HAND);
	answer(p, 5, 0, TO_DONE);
	assert_int_equal(answer(p, 5, 1, TO_DEAD).state, QUEUE_DEAD);
	assert_true(queue_prune_dead(p->q, NOW, 10, &count, count_gone, &gone, &err));
	assert_int_equal(count, 0);
	assert_true(queue_prune_dead(p->q, NOW + 1, 10, &count, count_gone, &gone, &err));
	assert_int_equal(count, 1);
	assert_int_equal(gone, 1);
}

static void a_dead_message_gets_a_new_life(void **state)
{
	struct place *p = *state;
	struct queue_message m = message(5);

	put(p, &m, 1, QUEUE_IN_HAND);
	answer(p, 5, 0, TO_DEAD);
	assert_int_equal(order(p, QUEUE_RETRY, 5), 1);
	assert_int_equal(take(p, p->local, 1).messages, 1);
}

static void what_is_held_is_not_taken_until_it_is_released(void **state)
{
	struct place *p = *state;
	struct queue_message m = message(5);

	put(p, &m, 1, NOW);
	assert_int_equal(order(p, QUEUE_HOLD, 5), 1);
	assert_int_equal(order(p, QUEUE_HOLD, 5), 0);
	assert_int_equal(take(p, p->local, 1).messages, 0);
	assert_int_equal(order(p, QUEUE_RETRY, 5), 0);
	assert_int_equal(order(p, QUEUE_RELEASE, 5), 1);
	assert_int_equal(take(p, p->local, 1).messages, 1);
}

static int64_t held(struct place *p)
{
	int64_t n = -1;

	assert_true(queue_held(p->q, &n, &err));
	return n;
}

static void what_is_held_is_counted_and_told_of_each_account(void **state)
{
	struct place *p = *state;
	struct queue_reader *r;
	struct queue_held of;

	assert_int_equal(held(p), 0);
	for (uint64_t id = 5; id < 9; id++) {
		struct queue_message m = message(id);

		m.login = id < 8 ? SPAN("Ann@example.org") : SPAN("ben@example.org");
		m.state = id == 5 ? QUEUE_OPEN : QUEUE_HELD;
		m.wall = NOW + (int64_t)id;
		m.incident = 17;
		put(p, &m, 1, NOW);
	}
	assert_int_equal(held(p), 3);
	assert_true(queue_reader_open(&r, p->path, &err));
	assert_true(queue_held_of(r, SPAN("ann@example.org"), &of, &err));
	assert_int_equal(of.messages, 2);
	assert_int_equal(of.oldest, NOW + 6);
	assert_int_equal(of.incident, 17);
	assert_true(queue_held_of(r, SPAN("nobody@example.org"), &of, &err));
	assert_int_equal(of.messages, 0);
	assert_int_equal(order(p, QUEUE_RELEASE, 6), 1);
	assert_int_equal(order(p, QUEUE_HOLD, 5), 1);
	assert_int_equal(held(p), 3);
	assert_int_equal(order(p, QUEUE_DELETE, 7), 1);
	assert_int_equal(held(p), 2);
	assert_true(queue_held_of(r, SPAN("ann@example.org"), &of, &err));
	assert_int_equal(of.messages, 1);
	assert_int_equal(of.oldest, NOW + 5);
	queue_reader_close(&r);
}

static void what_fails_while_it_is_being_held_is_held_then(void **state)
{
	struct place *p = *state;
	struct queue_message m = message(5);

	put(p, &m, 1, QUEUE_IN_HAND);
	order(p, QUEUE_HOLD, 5);
	assert_int_equal(answer(p, 5, 0, TO_WAITING).state, QUEUE_HELD);
	order(p, QUEUE_RELEASE, 5);
	assert_int_equal(take(p, p->local, 1).messages, 1);
}

static void keep_answer(void *arg, const struct queue_fate *f)
{
	snprintf(arg, 32, "%.*s at %lld", SPAN_ARG(f->answer), (long long)f->tried);
}

/* Handed back untried, because its edge died or it could not travel with the others. */
static void what_was_not_tried_keeps_what_was_said_before(void **state)
{
	struct queue_answer back = { .number = 0, .state = TO_WAITING, .due = NOW };
	struct place *p = *state;
	struct queue_message m = message(5);
	struct queue_settled got;
	char told[32] = "";

	put(p, &m, 1, QUEUE_IN_HAND);
	answer(p, 5, 0, TO_WAITING);
	assert_true(queue_begin(p->q, &err));
	assert_true(queue_answers(p->q, 5, &back, 1, NOW + 1, &got, &err));
	assert_true(queue_fate(p->q, 5, 0, keep_answer, told, &err));
	assert_true(queue_commit(p->q, &err));
	assert_string_equal(told, "450 later at 1700000000000");
	assert_int_equal(take(p, p->local, 1).messages, 1);
}

/* A notice is looked up in the loop, and the administrator may stop it meanwhile. */
static void what_is_held_while_it_is_routed_stays_held(void **state)
{
	struct place *p = *state;
	struct queue_message m = message(5);
	struct queue_to to = { .address = SPAN("u@example.org"),
			       .mailbox = SPAN("u@example.org"),
			       .destination = p->local,
			       .due = NOW };

	p->local = 0;
	put(p, &m, 1, NOW);
	p->local = to.destination;
	order(p, QUEUE_HOLD, 5);
	assert_true(queue_begin(p->q, &err));
	assert_true(queue_route(p->q, 5, 0, &to, 1, NOW, &err));
	assert_true(queue_commit(p->q, &err));
	assert_int_equal(take(p, p->local, 1).messages, 0);
	order(p, QUEUE_RELEASE, 5);
	assert_true(queue_begin(p->q, &err));
	assert_true(queue_route(p->q, 5, 0, &to, 1, NOW, &err));
	assert_true(queue_commit(p->q, &err));
	assert_int_equal(take(p, p->local, 1).messages, 1);
}

static void what_was_deleted_meanwhile_takes_no_answer(void **state)
{
	struct place *p = *state;
	struct queue_message m = message(5);

	put(p, &m, 1, QUEUE_IN_HAND);
	assert_int_equal(order(p, QUEUE_DELETE, 5), 1);
	assert_int_equal(order(p, QUEUE_DELETE, 5), 0);
	assert_int_equal(answer(p, 5, 0, TO_WAITING).state, QUEUE_GONE);
	assert_int_equal(take(p, p->local, 1).messages, 0);
}

static void a_whole_queue_changes_in_windows(void **state)
{
	struct place *p = *state;
	struct queue_changed got = { 0 };
	uint32_t sum = 0;
	int gone = 0, rounds = 0;

	for (uint64_t id = 1; id <= 10; id++) {
		struct queue_message m = message(id);

		put(p, &m, 1, NOW);
	}
	do {
		assert_true(queue_begin(p->q, &err));
		assert_true(queue_change_all(p->q, QUEUE_DELETE, QUEUE_OPEN, got.last, 4,
					     NOW, &got, count_gone, &gone, &err));
		assert_true(queue_commit(p->q, &err));
		sum += got.count;
		rounds++;
	} while (got.last);
	assert_int_equal(sum, 10);
	assert_int_equal(gone, 10);
	assert_int_equal(rounds, 3);
}

static bool is_soon(void *arg, uint64_t id, struct err *e)
{
	(void)arg;
	(void)id;
	(void)e;
	return true;
}

static void count_expired(void *arg, uint64_t id, uint32_t recipients)
{
	(void)id;
	*(uint32_t *)arg += recipients;
}

static void what_waited_too_long_is_dead(void **state)
{
	struct place *p = *state;
	struct queue_message old = message(id_at(NOW - 10));
	struct queue_message new = message(id_at(NOW));
	uint32_t expired = 0;
	uint64_t after = 0;
	int64_t counts[QUEUE_GONE];

	old.wall = NOW - 10;
	put(p, &old, 2, NOW);
	put(p, &new, 2, NOW);
	assert_true(queue_expire(p->q, NOW, 10, &after, is_soon, count_expired, &expired,
				 &err));
	assert_int_equal(expired, 2);
	assert_int_equal(after, 0);
	assert_true(queue_count(p->q, counts, &err));
	assert_int_equal(counts[QUEUE_OPEN], 1);
	assert_int_equal(counts[QUEUE_DEAD], 1);
}

static uint32_t expire(struct place *p, int64_t before)
{
	uint32_t expired = 0;
	uint64_t after = 0;

	assert_true(queue_begin(p->q, &err));
	assert_true(queue_expire(p->q, before, 10, &after, is_soon, count_expired,
				 &expired, &err));
	assert_true(queue_commit(p->q, &err));
	return expired;
}

static void see_since(void *arg, const struct queue_message *m, const struct queue_to *to,
		      size_t count)
{
	(void)to;
	(void)count;
	*(int64_t *)arg = m->since;
}

/* It waited for the administrator, not for its next hop. */
static void what_was_held_has_its_lifetime_from_the_release_on(void **state)
{
	struct place *p = *state;
	struct queue_message old = message(id_at(NOW - 9 * MS_DAY));
	int64_t since = 0;
	uint32_t count;
	int gone = 0;

	old.wall = NOW - 9 * MS_DAY;
	old.state = QUEUE_HELD;
	put(p, &old, 1, NOW);
	assert_int_equal(order(p, QUEUE_RELEASE, old.id), 1);
	assert_int_equal(expire(p, NOW), 0);
	assert_true(queue_begin(p->q, &err));
	assert_true(queue_take(p->q, &(struct queue_want){ p->local, NOW, 1, 1, 99 },
			       see_since, &since, &err));
	assert_int_equal(since, NOW);
	/* and is kept as long as any other when it fails after all */
	assert_true(queue_commit(p->q, &err));
	answer(p, old.id, 0, TO_DEAD);
	assert_true(queue_prune_dead(p->q, NOW, 10, &count, count_gone, &gone, &err));
	assert_int_equal(count, 0);
	/* so does what is tried once more after that */
	assert_int_equal(order(p, QUEUE_RETRY, old.id), 1);
	assert_int_equal(expire(p, NOW), 0);
	assert_int_equal(expire(p, NOW + 1), 1);
}

/* Its key was lost, or an older program counted ids: nothing that waits is forgotten. */
static void a_destination_may_get_another_id(void **state)
{
	struct place *p = *state;
	struct queue_message m = message(5);

	put(p, &m, 3, NOW);
	assert_true(queue_begin(p->q, &err));
	for (int i = 0; i < 2; i++)
		assert_true(queue_put_destination(p->q, 77, 4, SPAN("next:25"), &err));
	assert_true(queue_commit(p->q, &err));
	assert_int_equal(take(p, p->remote, 10).recipients, 0);
	assert_int_equal(take(p, 77, 10).recipients, 1);
	assert_int_equal(take(p, p->local, 10).recipients, 2);
}

static void count_destination(void *arg, const struct queue_destination *d)
{
	(void)d;
	++*(int *)arg;
}

static int destinations(struct place *p)
{
	int all = 0, waiting = 0;
	int64_t after = 0;

	do {
		assert_true(queue_waiting_destinations(p->q, &after, 1, count_destination,
						       &waiting, &err));
		all += after != 0;
	} while (after);
	return all;
}

static void destinations_that_no_message_has_are_forgotten(void **state)
{
	struct place *p = *state;
	struct queue_message held = message(5), waiting = message(6);

	put(p, &waiting, 1, NOW); /* to the local one */
	held.state = QUEUE_HELD;
	put(p, &held, 3, NOW); /* to both */
	assert_true(queue_begin(p->q, &err));
	for (int i = 3; i < 20; i++)
		assert_true(queue_put_destination(p->q, i, 5,
						  span_of((const uint8_t *)&i, 1), &err));
	assert_true(queue_commit(p->q, &err));
	assert_true(queue_prune_destinations(p->q, 19, &err));
	assert_int_equal(destinations(p), 19);
	assert_true(queue_prune_destinations(p->q, 18, &err));
	assert_int_equal(destinations(p), 2);
	assert_int_equal(take(p, p->local, 10).recipients, 1);
	assert_true(order(p, QUEUE_RELEASE, 5) > 0);
	assert_int_equal(take(p, p->remote, 10).recipients, 1);
}

static void a_clock_that_was_set_back_delays_nothing_for_long(void **state)
{
	struct place *p = *state;
	struct queue_message m = message(5), soon = message(6);
	int64_t next, count;

	put(p, &m, 3, NOW + 365 * MS_DAY);
	put(p, &soon, 1, NOW + MS_MINUTE);
	assert_true(queue_pull_in(p->q, NOW + MS_HOUR, &count, &err));
	assert_int_equal(count, 3);
	assert_true(queue_next(p->q, p->local, &next, &err));
	assert_int_equal(next, NOW + MS_MINUTE);
	assert_true(queue_next(p->q, p->remote, &next, &err));
	assert_int_equal(next, NOW + MS_HOUR);
	assert_true(queue_pull_in(p->q, NOW + MS_HOUR, &count, &err));
	assert_int_equal(count, 0);
}

static void what_was_rolled_back_never_was(void **state)
{
	struct place *p = *state;
	struct queue_message m = message(5);
	struct queue_to to = { .address = SPAN("a"), .destination = p->local, .due = NOW };
	enum queue_put got;

	assert_true(queue_begin(p->q, &err));
	assert_true(queue_put(p->q, &m, &to, 1, &got, &err));
	queue_rollback(p->q);
	assert_int_equal(put(p, &m, 1, NOW), QUEUE_PUT);
}

static void the_log_is_moved_whatever_was_looked_at_before(void **state)
{
	struct place *p = *state;

	queue_limit_log(p->q, 0);
	for (uint64_t id = 1; !queue_wants_checkpoint(p->q, false); id++) {
		struct queue_message m = message(id);

		put(p, &m, 2, NOW);
		assert_int_equal(take(p, p->local, 1).messages, 1);
		answer(p, id, 0, TO_WAITING);
		assert_true(id < 1000);
	}
	assert_true(queue_checkpoint(p->q, &err));
	assert_false(queue_wants_checkpoint(p->q, true));
}

/* ---- reading ------------------------------------------------------------------------------ */

static void count_listed(void *arg, const struct queue_message *m, int64_t destination)
{
	assert_int_equal(destination, 1);
	assert_true(span_eq(m->sender, SPAN("a@b.example")));
	++*(int *)arg;
}

static int listed(struct queue_reader *r, const char *condition)
{
	struct queue_look look = { .wall = NOW, .most = 2, .looks = 100 };
	struct where w;
	int count = 0;

	if (condition) {
		assert_true(where_parse(&w, span_str(condition), &err));
		look.where = &w;
	}
	while (!look.over)
		assert_true(queue_look(r, &look, count_listed, &count, &err));
	return count;
}

static void a_reader_lists_what_fits_the_condition(void **state)
{
	struct place *p = *state;
	struct queue_reader *r;

	for (uint64_t id = 1; id <= 5; id++) {
		struct queue_message m = message(id);

		put(p, &m, 1, NOW);
	}
	order(p, QUEUE_HOLD, 3);
	assert_true(queue_reader_open(&r, p->path, &err));
	assert_int_equal(listed(r, NULL), 5);
	assert_int_equal(listed(r, "state=held"), 1);
	assert_int_equal(listed(r, "sender=*@b.example"), 5);
	assert_int_equal(listed(r, "sender=*@c.example"), 0);
	assert_int_equal(listed(r, "!sender=*@c.example ip=::1"), 5);
	assert_int_equal(listed(r, "rcpt=U+*"), 5);
	assert_int_equal(listed(r, "ip=::2"), 0);
	queue_reader_close(&r);
}

static void count_line(void *arg, const struct queue_line *line)
{
	assert_true(span_eq(line->to.mailbox, SPAN("u@example.org")));
	++*(int *)arg;
}

static void is_shown(void *arg, const struct queue_message *m)
{
	assert_int_equal(m->peer.port, 99);
	assert_true(span_eq(m->body, SPAN("hel")));
	++*(int *)arg;
}

static void a_reader_shows_one_message_with_its_recipients(void **state)
{
	struct place *p = *state;
	struct queue_message m = message(5);
	struct queue_reader *r;
	int shown = 0, lines = 0;
	int64_t last;

	put(p, &m, 3, NOW);
	assert_true(queue_reader_open(&r, p->path, &err));
	assert_true(queue_show(r, 5, 3, is_shown, &shown, &err));
	assert_int_equal(shown, 1);
	assert_true(queue_show(r, 6, 3, is_shown, &shown, &err));
	assert_int_equal(shown, 1);
	assert_true(queue_show_lines(r, 5, -1, 2, count_line, &lines, &last, &err));
	assert_int_equal(last, 1);
	assert_true(queue_show_lines(r, 5, last, 2, count_line, &lines, &last, &err));
	assert_int_equal(last, -1);
	assert_int_equal(lines, 3);
	queue_reader_close(&r);
}

/* ---- opening -------------------------------------------------------------------------------- */

static void overwrite(const char *path, const char *text, size_t n)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, n), n);
	close(fd);
}

static void refuses(struct place *p, const char *because)
{
	struct stat before, after;

	assert_int_equal(stat(p->path, &before), 0);
	assert_false(queue_open(&p->q, p->path, NOW, &err));
	if (!strstr(err.text, because))
		fail_msg("expected \"%s\" in: %s", because, err.text);
	assert_int_equal(stat(p->path, &after), 0);
	assert_int_equal(before.st_size, after.st_size);
	assert_int_equal(before.st_mtim.tv_nsec, after.st_mtim.tv_nsec);
}

static void a_file_that_is_no_database_is_refused_and_left_alone(void **state)
{
	static const char junk[200] = "this is not a database";
	struct place *p = *state;

	queue_close(&p->q);
	overwrite(p->path, junk, sizeof(junk));
	refuses(p, "To repair");
}

static void a_cut_off_file_is_refused(void **state)
{
	struct place *p = *state;

	queue_close(&p->q);
	overwrite(p->path, "SQLite", 6);
	refuses(p, "To repair");
}

static void a_newer_schema_is_refused(void **state)
{
	static const uint8_t version[4] = { 0, 0, 0, 99 };
	struct place *p = *state;
	int fd;

	queue_close(&p->q);
	fd = open(p->path, O_WRONLY);
	assert_int_equal(pwrite(fd, version, 4, 60), 4);
	close(fd);
	refuses(p, "newer");
}

static void another_programs_database_is_refused(void **state)
{
	static const uint8_t application[4] = { 1, 2, 3, 4 };
	struct place *p = *state;
	int fd;

	queue_close(&p->q);
	fd = open(p->path, O_WRONLY);
	assert_int_equal(pwrite(fd, application, 4, 68), 4);
	close(fd);
	refuses(p, "another program");
}

static void a_database_in_use_is_refused_and_its_holder_named(void **state)
{
	struct place *p = *state;
	char who[32];
	int ready[2], end[2];
	char c = 0;
	pid_t child;

	queue_close(&p->q);
	assert_int_equal(pipe(ready), 0);
	assert_int_equal(pipe(end), 0);
	child = fork_child();
	if (child == 0) {
		close(end[1]);
		if (!queue_open(&p->q, p->path, NOW, &err) || write(ready[1], &c, 1) != 1)
			_exit(1);
		_exit(read(end[0], &c, 1) == 0 ? 0 : 1);
	}
	close(end[0]);
	assert_int_equal(read(ready[0], &c, 1), 1);
	snprintf(who, sizeof(who), "process %d", (int)child);
	refuses(p, who);
	close(end[1]);
	assert_int_equal(waitpid(child, NULL, 0), child);
	close(ready[0]);
	close(ready[1]);
	start(p);
}

static void a_log_without_its_database_is_refused(void **state)
{
	struct place *p = *state;
	char wal[128];

	queue_close(&p->q);
	snprintf(wal, sizeof(wal), "%s-wal", p->path);
	overwrite(p->path, "", 0);
	overwrite(wal, "0123456789", 10);
	refuses(p, "put the database back");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(what_was_put_is_taken_once),
		TEST(what_is_not_due_is_not_taken),
		TEST(a_window_is_never_larger_than_asked),
		TEST(the_same_message_again_is_recognised),
		TEST(a_finished_message_is_still_recognised_until_it_is_pruned),
		TEST(what_a_dead_predecessor_had_in_hand_is_due_again),
		TEST(a_message_goes_when_its_last_recipient_is_delivered),
		TEST(a_recipient_that_failed_for_good_keeps_the_message),
		TEST(a_dead_message_gets_a_new_life),
		TEST(what_is_held_is_not_taken_until_it_is_released),
		TEST(what_is_held_is_counted_and_told_of_each_account),
		TEST(what_fails_while_it_is_being_held_is_held_then),
		TEST(what_was_not_tried_keeps_what_was_said_before),
		TEST(what_is_held_while_it_is_routed_stays_held),
		TEST(what_was_deleted_meanwhile_takes_no_answer),
		TEST(a_whole_queue_changes_in_windows),
		TEST(what_waited_too_long_is_dead),
		TEST(what_was_held_has_its_lifetime_from_the_release_on),
		TEST(a_destination_may_get_another_id),
		TEST(destinations_that_no_message_has_are_forgotten),
		TEST(a_clock_that_was_set_back_delays_nothing_for_long),
		TEST(what_was_rolled_back_never_was),
		TEST(the_log_is_moved_whatever_was_looked_at_before),
		TEST(a_reader_lists_what_fits_the_condition),
		TEST(a_reader_shows_one_message_with_its_recipients),
		TEST(a_file_that_is_no_database_is_refused_and_left_alone),
		TEST(a_cut_off_file_is_refused),
		TEST(a_newer_schema_is_refused),
		TEST(another_programs_database_is_refused),
		TEST(a_database_in_use_is_refused_and_its_holder_named),
		TEST(a_log_without_its_database_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
