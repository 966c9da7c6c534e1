/*
 * Orders over many messages: in force at once, done in steps, undone within a day, also by
 * another process; and a queue of an older version is brought up to this one.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "db/queue_job.h"
#include "db/queue_read.h"
#include "db/queue_route.h"

#define NOW ((int64_t)1700000000000)

struct place {
	char dir[64], path[96];
	struct queue *q;
	uint64_t last; /* id */
};

static struct err err;

static void must(bool good)
{
	if (!good)
		fail_msg("%s", err.text);
}

static void start(struct place *p)
{
	must(queue_open(&p->q, p->path, NOW, &err));
}

static int set_up(void **state)
{
	struct place *p = calloc(1, sizeof(*p));

	snprintf(p->dir, sizeof(p->dir), "/tmp/holdfast-jobs-XXXXXX");
	assert_non_null(mkdtemp(p->dir));
	snprintf(p->path, sizeof(p->path), "%s/queue.db", p->dir);
	start(p);
	must(queue_begin(p->q, &err));
	must(queue_put_destination(p->q, 1, 0, SPAN(""), &err));
	must(queue_put_destination(p->q, 2, 5, SPAN("dead.example"), &err));
	must(queue_commit(p->q, &err));
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

static enum queue_put put_from(struct place *p, const char *sender, int64_t due)
{
	struct queue_message m = {
		.id = ++p->last,
		.nonce = p->last * 7,
		.size = 5,
		.wall = NOW,
		.peer = { .addr = { .ip = { [15] = 1 } } },
		.login = SPAN("eve@example.org"),
		.sender = span_str(sender),
		.rcpt_total = 1,
		.body = SPAN("hello"),
	};
	struct queue_to to = {
		.address = SPAN("who@dead.example"),
		.mailbox = SPAN("who@dead.example"),
		.destination = 2,
		.due = due,
	};
	enum queue_put got;

	must(queue_begin(p->q, &err));
	must(queue_put(p->q, &m, &to, 1, &got, &err));
	must(queue_commit(p->q, &err));
	return got;
}

static void fill(struct place *p, int junk, int good)
{
	for (int i = 0; i < junk; i++)
		put_from(p, "", NOW);
	for (int i = 0; i < good; i++)
		put_from(p, "bob@example.org", NOW);
}

static uint32_t make(struct place *p, enum queue_job_kind kind, const char *condition,
		     bool standing)
{
	struct queue_job_wish wish = {
		.number = queue_job_reserve(p->q),
		.kind = kind,
		.standing = standing,
		.until = NOW + MS_HOUR,
		.condition = span_str(condition),
	};

	must(queue_begin(p->q, &err));
	must(queue_job_make(p->q, &wish, NOW, &err));
	must(queue_commit(p->q, &err));
	return wish.number;
}

/* One step; whether that was the last. */
static bool step_at(struct place *p, uint32_t number, uint32_t *messages, int64_t wall)
{
	struct queue_job_step s;

	must(queue_begin(p->q, &err));
	must(queue_job_step(p->q, number, QUEUE_STEP_MOST, wall, &s, &err));
	must(queue_commit(p->q, &err));
	*messages += s.messages;
	return s.over;
}

static bool step(struct place *p, uint32_t number, uint32_t *messages)
{
	return step_at(p, number, messages, NOW);
}

static uint32_t finish_at(struct place *p, uint32_t number, int64_t wall)
{
	uint32_t messages = 0;

	for (int i = 0; !step_at(p, number, &messages, wall); i++)
		assert_true(i < 1000);
	return messages;
}

static uint32_t finish(struct place *p, uint32_t number)
{
	return finish_at(p, number, NOW);
}

static enum queue_job_answer undo(struct place *p, uint32_t number)
{
	enum queue_job_answer answer;

	must(queue_begin(p->q, &err));
	must(queue_job_undo(p->q, number, NOW, &answer, &err));
	must(queue_commit(p->q, &err));
	return answer;
}

static enum queue_job_answer lift(struct place *p, uint32_t number)
{
	enum queue_job_answer answer;

	must(queue_begin(p->q, &err));
	must(queue_job_lift(p->q, number, NOW, &answer, &err));
	must(queue_commit(p->q, &err));
	return answer;
}

static void on_gone(void *arg, uint64_t id, bool spooled)
{
	(void)id;
	(void)spooled;
	++*(int *)arg;
}

static int tick(struct place *p, int64_t wall)
{
	bool more;
	int gone = 0;

	must(queue_begin(p->q, &err));
	must(queue_jobs_tick(p->q, wall, &more, on_gone, &gone, &err));
	must(queue_commit(p->q, &err));
	return gone;
}

static int64_t count(struct place *p, enum queue_state which)
{
	int64_t counts[QUEUE_GONE];

	must(queue_count(p->q, counts, &err));
	return counts[which];
}

struct taken {
	int junk, good;
};

static void on_taken(void *arg, const struct queue_message *m, const struct queue_to *to,
		     size_t n)
{
	struct taken *t = arg;

	(void)to;
	(void)n;
	if (m->sender.n)
		t->good++;
	else
		t->junk++;
}

static struct taken take_at(struct place *p, size_t messages, int64_t wall)
{
	struct queue_want want = { 2, wall, messages, 100, 1 << 20 };
	struct taken t = { 0 };

	must(queue_begin(p->q, &err));
	must(queue_take(p->q, &want, on_taken, &t, &err));
	must(queue_commit(p->q, &err));
	return t;
}

static struct taken take(struct place *p, size_t messages)
{
	return take_at(p, messages, NOW);
}

/* ---- in force ------------------------------------------------------------------------------ */

static void a_purge_is_in_force_before_any_row_has_changed(void **state)
{
	struct place *p = *state;
	struct taken t;

	fill(p, 100, 3);
	make(p, JOB_PURGE, "sender=<>", false);
	assert_int_equal(count(p, QUEUE_PURGED), 0);
	t = take(p, 3);
	/* the good ones behind a hundred that are due before them are reached at once */
	assert_int_equal(t.junk, 0);
	assert_int_equal(t.good, 3);
	assert_int_equal(count(p, QUEUE_PURGED), 100);
	assert_int_equal(queue_purged(p->q), 100);
	assert_int_equal(queue_purged(p->q), 0);
}

static void what_arrives_while_an_order_is_in_force_is_caught(void **state)
{
	struct place *p = *state;
	uint32_t hold = make(p, JOB_HOLD, "account=eve@*", true);

	assert_int_equal(put_from(p, "", QUEUE_IN_HAND), QUEUE_KEPT);
	assert_int_equal(finish(p, hold), 0);
	assert_int_equal(put_from(p, "", QUEUE_IN_HAND), QUEUE_KEPT);
	assert_int_equal(count(p, QUEUE_HELD), 2);
	assert_int_equal(take(p, 10).junk, 0);
	assert_int_equal(lift(p, hold), JOB_ANSWER_OK);
	assert_int_equal(lift(p, hold), JOB_ANSWER_NONE);
	assert_int_equal(put_from(p, "", NOW), QUEUE_PUT);
	assert_int_equal(take(p, 10).junk, 1);
}

static void an_order_that_does_not_stand_ends_with_its_rows(void **state)
{
	struct place *p = *state;
	uint32_t purge;

	fill(p, 5, 5);
	purge = make(p, JOB_PURGE, "sender=<>", false);
	assert_int_equal(finish(p, purge), 5);
	assert_int_equal(put_from(p, "", NOW), QUEUE_PUT);
}

static void a_standing_order_ends_with_its_time(void **state)
{
	struct place *p = *state;
	uint32_t hold = make(p, JOB_HOLD, "sender=<>", true);

	finish(p, hold);
	tick(p, NOW + MS_HOUR - 1);
	assert_int_equal(put_from(p, "", NOW), QUEUE_KEPT);
	tick(p, NOW + MS_HOUR);
	assert_int_equal(put_from(p, "", NOW), QUEUE_PUT);
	assert_int_equal(lift(p, hold), JOB_ANSWER_NONE);
}

static void what_was_rolled_back_is_not_in_force(void **state)
{
	struct place *p = *state;
	struct queue_job_wish wish = {
		.number = queue_job_reserve(p->q),
		.kind = JOB_PURGE,
		.condition = SPAN("sender=<>"),
	};

	must(queue_begin(p->q, &err));
	must(queue_job_make(p->q, &wish, NOW, &err));
	queue_rollback(p->q);
	assert_int_equal(put_from(p, "", NOW), QUEUE_PUT);
}

static void a_message_that_comes_held_is_not_taken(void **state)
{
	struct place *p = *state;
	struct queue_message m = { .id = 9,
				   .nonce = 1,
				   .size = 1,
				   .wall = NOW,
				   .state = QUEUE_HELD,
				   .incident = 4,
				   .rcpt_total = 1 };
	struct queue_to to = { .address = SPAN("a@b.c"), .destination = 2, .due = NOW };
	enum queue_put got;

	must(queue_begin(p->q, &err));
	must(queue_put(p->q, &m, &to, 1, &got, &err));
	must(queue_commit(p->q, &err));
	assert_int_equal(got, QUEUE_KEPT);
	assert_int_equal(take(p, 10).junk, 0);
	assert_int_equal(finish(p, make(p, JOB_RELEASE, "incident=4", false)), 1);
	assert_int_equal(take(p, 10).junk, 1);
}

/* ---- its rows ------------------------------------------------------------------------------- */

static void the_rows_follow_a_thousand_at_a_time(void **state)
{
	struct place *p = *state;
	uint32_t purge, messages = 0;

	fill(p, 1500, 10);
	purge = make(p, JOB_PURGE, "sender=<>", false);
	assert_false(step(p, purge, &messages));
	assert_int_equal(messages, 1000);
	assert_true(step(p, purge, &messages));
	assert_int_equal(messages, 1500);
	assert_int_equal(count(p, QUEUE_OPEN), 10);
	assert_int_equal(take(p, 100).good, 10);
}

static void collect(void *arg, uint32_t number)
{
	*(uint32_t *)arg = number;
}

static void another_process_goes_on_where_one_was_killed(void **state)
{
	struct place *p = *state;
	uint32_t purge, messages = 0, found = 0;

	fill(p, 1500, 2);
	purge = make(p, JOB_PURGE, "sender=<>", false);
	assert_false(step(p, purge, &messages));
	queue_close(&p->q);
	start(p);
	assert_int_equal(take(p, 1).junk, 0);
	must(queue_jobs_at_work(p->q, collect, &found, &err));
	assert_int_equal(found, purge);
	finish(p, purge);
	assert_int_equal(count(p, QUEUE_PURGED), 1500);
	assert_true(queue_job_reserve(p->q) > purge);
}

static void what_was_released_stays_released(void **state)
{
	struct place *p = *state;
	struct queue_changed changed;

	fill(p, 2, 0);
	finish(p, make(p, JOB_HOLD, "sender=<>", true));
	assert_int_equal(count(p, QUEUE_HELD), 2);
	assert_int_equal(finish(p, make(p, JOB_RELEASE, "id=0000000000001", false)), 1);
	must(queue_begin(p->q, &err));
	must(queue_change(p->q, QUEUE_RELEASE, 2, NOW, &changed, NULL, NULL, &err));
	must(queue_commit(p->q, &err));
	assert_int_equal(changed.count, 1);
	assert_int_equal(take(p, 10).junk, 2);
}

static void retry_makes_due_what_waits_and_leaves_the_dead(void **state)
{
	struct place *p = *state;
	struct queue_answer dead = { .state = TO_DEAD, .answer = SPAN("550 no") };
	struct queue_settled settled;

	put_from(p, "", NOW + MS_HOUR);
	put_from(p, "", NOW);
	assert_int_equal(take(p, 10).junk, 1);
	must(queue_begin(p->q, &err));
	must(queue_answers(p->q, 2, &dead, 1, NOW, &settled, &err));
	must(queue_commit(p->q, &err));
	assert_int_equal(finish(p, make(p, JOB_RETRY, "all", false)), 1);
	assert_int_equal(take(p, 10).junk, 1);
	assert_int_equal(finish(p, make(p, JOB_RETRY, "state=dead", false)), 1);
	assert_int_equal(take(p, 10).junk, 1);
}

/* ---- undoing ---------------------------------------------------------------------------------- */

static void a_purge_is_undone_also_by_another_process(void **state)
{
	struct place *p = *state;
	uint32_t purge;

	fill(p, 1200, 2);
	purge = make(p, JOB_PURGE, "sender=<>", true);
	finish(p, purge);
	assert_int_equal(put_from(p, "", QUEUE_IN_HAND), QUEUE_KEPT);
	queue_close(&p->q);
	start(p);
	assert_int_equal(undo(p, purge), JOB_ANSWER_OK);
	assert_int_equal(put_from(p, "", NOW), QUEUE_PUT);
	assert_int_equal(finish(p, purge), 1201);
	assert_int_equal(count(p, QUEUE_OPEN), 1204);
	assert_int_equal(take(p, 1000).junk, 1000);
	assert_int_equal(undo(p, purge), JOB_ANSWER_TOO_LATE);
}

static void hold_and_release_are_undone_and_give_each_its_state_back(void **state)
{
	struct place *p = *state;
	uint32_t hold, release, purge;

	fill(p, 3, 0);
	hold = make(p, JOB_HOLD, "id=0000000000002", false);
	finish(p, hold);
	purge = make(p, JOB_PURGE, "all", false);
	finish(p, purge);
	assert_int_equal(count(p, QUEUE_PURGED), 3);
	undo(p, purge);
	finish(p, purge);
	assert_int_equal(count(p, QUEUE_HELD), 1);
	release = make(p, JOB_RELEASE, "all", false);
	finish(p, release);
	assert_int_equal(count(p, QUEUE_HELD), 0);
	undo(p, release);
	assert_int_equal(finish(p, release), 1);
	assert_int_equal(count(p, QUEUE_HELD), 1);
	assert_int_equal(take(p, 10).junk, 2);
	assert_int_equal(undo(p, hold), JOB_ANSWER_OK);
}

static void on_since(void *arg, const struct queue_message *m, const struct queue_to *to,
		     size_t n)
{
	(void)to;
	(void)n;
	*(int64_t *)arg = m->since;
}

static int64_t since_when_taken(struct place *p)
{
	struct queue_want want = { 2, NOW + 9 * MS_DAY, 1, 100, 1 << 20 };
	int64_t since = 0;

	must(queue_begin(p->q, &err));
	must(queue_take(p->q, &want, on_since, &since, &err));
	must(queue_commit(p->q, &err));
	return since;
}

static void released_or_given_back_it_has_its_lifetime_anew(void **state)
{
	struct place *p = *state;
	uint32_t purge, release;

	fill(p, 1, 0);
	finish(p, make(p, JOB_HOLD, "all", false));
	release = make(p, JOB_RELEASE, "all", false);
	assert_int_equal(finish_at(p, release, NOW + 8 * MS_DAY), 1);
	assert_int_equal(since_when_taken(p), NOW + 8 * MS_DAY);
	fill(p, 1, 0);
	assert_int_equal(since_when_taken(p), NOW);
	fill(p, 1, 0);
	purge = make(p, JOB_PURGE, "id=0000000000003", false);
	assert_int_equal(finish(p, purge), 1);
	undo(p, purge);
	assert_int_equal(finish_at(p, purge, NOW + 5), 1);
	assert_int_equal(since_when_taken(p), NOW + 5);
}

static void retry_and_numbers_that_are_none_cannot_be_undone(void **state)
{
	struct place *p = *state;

	assert_int_equal(undo(p, make(p, JOB_RETRY, "all", false)), JOB_ANSWER_CANNOT);
	assert_int_equal(undo(p, 99), JOB_ANSWER_NONE);
}

static void what_was_purged_goes_after_a_day(void **state)
{
	struct place *p = *state;
	uint32_t purge;

	fill(p, 3, 1);
	purge = make(p, JOB_PURGE, "sender=<>", false);
	finish(p, purge);
	assert_int_equal(tick(p, NOW + MS_DAY), 0);
	assert_int_equal(tick(p, NOW + MS_DAY + 1), 3);
	assert_int_equal(count(p, QUEUE_PURGED), 0);
	assert_int_equal(count(p, QUEUE_OPEN), 1);
	tick(p, NOW + MS_DAY + 2);
	assert_int_equal(undo(p, purge), JOB_ANSWER_TOO_LATE);
}

/* Its age is no measure: what waited for days is caught when it is taken again. */
static void what_a_standing_purge_caught_is_kept_for_a_day_from_then_on(void **state)
{
	struct place *p = *state;
	struct queue_job_wish wish = {
		.number = queue_job_reserve(p->q),
		.kind = JOB_PURGE,
		.standing = true,
		.until = NOW + 9 * MS_DAY,
		.condition = SPAN("sender=<> age>2d"),
	};
	int64_t caught = NOW + 3 * MS_DAY;

	fill(p, 3, 0);
	must(queue_begin(p->q, &err));
	must(queue_job_make(p->q, &wish, NOW, &err));
	must(queue_commit(p->q, &err));
	assert_int_equal(finish(p, wish.number), 0);
	assert_int_equal(take_at(p, 10, caught).junk, 0);
	assert_int_equal(tick(p, caught + MS_DAY), 0);
	assert_int_equal(count(p, QUEUE_PURGED), 3);
	assert_int_equal(tick(p, caught + MS_DAY + 1), 3);
}

static void what_was_in_hand_when_it_was_purged_is_not_tried_again(void **state)
{
	struct place *p = *state;
	struct queue_answer later = { .due = NOW, .answer = SPAN("451 later") };
	struct queue_settled settled;

	fill(p, 1, 0);
	assert_int_equal(take(p, 1).junk, 1);
	finish(p, make(p, JOB_PURGE, "sender=<>", false));
	must(queue_begin(p->q, &err));
	must(queue_answers(p->q, 1, &later, 1, NOW, &settled, &err));
	must(queue_commit(p->q, &err));
	assert_int_equal(settled.state, QUEUE_PURGED);
	assert_int_equal(take(p, 1).junk, 0);
}

/* ---- older versions ------------------------------------------------------------------------- */

static const char version_1[] =
	"create table message (id integer primary key, nonce integer not null,"
	" state integer not null, flags integer not null, size integer not null,"
	" wall integer not null, peer blob not null, port integer not null,"
	" listener integer not null, helo text not null, login text not null,"
	" sender text not null, rcpt_total integer not null, spooled integer not null);"
	"create index message_dead on message (wall) where state = 2;"
	"create table body (id integer primary key, bytes blob not null);"
	"create table recipient (message integer not null, number integer not null,"
	" address text not null, mailbox text not null, destination integer not null,"
	" state integer not null, attempts integer not null, due integer, tried integer,"
	" answer text, primary key (message, number)) without rowid;"
	"create index recipient_due on recipient (destination, due) where due is not null;"
	"create table destination (id integer primary key, hop integer not null,"
	" target text not null, unique (hop, target));"
	"create table done (id integer primary key, nonce integer not null, at integer not null);"
	"insert into message values (5, 6, 0, 1, 5, 1700000000000, zeroblob(16), 25, 0, 'h', '',"
	" 'a@b.example', 1, 0);"
	"insert into body values (5, 'hello');"
	"insert into recipient values (5, 0, 'u@v.example', 'u@v.example', 2, 0, 1,"
	" 1700000000000, 1699999999000, '451 x');"
	"insert into destination values (2, 4, 'next:25');"
	"pragma application_id = 0x48465155; pragma user_version = 1;";

/* What version 2 had more than that; and a purge that began two days ago is in force. */
static const char version_2[] =
	"alter table message add column envid text not null default '';"
	"alter table message add column incident integer not null default 0;"
	"alter table message add column job integer not null default 0;"
	"alter table message add column was integer not null default 0;"
	"alter table message add column destination integer not null default 0;"
	"alter table body add column prefix blob;"
	"alter table recipient add column notify text not null default '';"
	"alter table recipient add column origin text not null default '';"
	"create index message_incident on message (incident) where incident > 0;"
	"create index message_job on message (job, wall) where job > 0;"
	"create table job (number integer primary key, kind integer not null,"
	" state integer not null, standing integer not null, made integer not null,"
	" until integer not null, ended integer not null, condition text not null,"
	" why text not null, position integer not null, last integer not null,"
	" messages integer not null, bytes integer not null);"
	"insert into message select 6, 7, 3, flags, size, wall, peer, port, listener, helo, login,"
	" '', 1, 0, '', 1, 1, 0, 2 from message;"
	"insert into body values (6, 'hello', null);"
	"insert into recipient select 6, 0, address, mailbox, 2, 3, 1, null, null, null, '', ''"
	" from recipient;"
	"insert into job values (1, 2, 1, 1, 1699827200000, 1800000000000, 0, 'sender=<>', '', 5,"
	" 5, 1, 5);"
	"pragma user_version = 2;";

static void open_older(struct place *p, const char *one, const char *two)
{
	sqlite3 *db;

	queue_close(&p->q);
	unlink(p->path);
	assert_int_equal(sqlite3_open(p->path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, one, NULL, NULL, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, two, NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(db);
	start(p);
	p->last = 6;
}

static void nothing_new(void *arg, const struct queue_message *m,
			const struct queue_to *to, size_t n)
{
	assert_int_equal(n, 1);
	assert_true(span_eq(m->body, SPAN("hello")));
	assert_true(span_eq(m->sender, SPAN("a@b.example")));
	assert_int_equal(m->envid.n + m->prefix.n + to[0].notify.n + m->incident, 0);
	assert_int_equal(to[0].attempts, 1);
	++*(int *)arg;
}

/* Nothing of it waits any more: it must not come back as one that does, for ever. */
static void what_failed_for_good_while_it_was_purged_comes_back_dead(void **state)
{
	struct queue_answer a = { .state = TO_DEAD, .answer = SPAN("550 no") };
	struct place *p = *state;
	struct queue_settled got;
	uint32_t purge;

	assert_int_equal(put_from(p, "", QUEUE_IN_HAND), QUEUE_PUT);
	purge = make(p, JOB_PURGE, "sender=<>", false);
	assert_int_equal(finish(p, purge), 1);
	must(queue_begin(p->q, &err));
	must(queue_answers(p->q, p->last, &a, 1, NOW, &got, &err));
	must(queue_commit(p->q, &err));
	assert_int_equal(undo(p, purge), JOB_ANSWER_OK);
	assert_int_equal(finish(p, purge), 1);
	assert_int_equal(count(p, QUEUE_OPEN), 0);
	assert_int_equal(count(p, QUEUE_DEAD), 1);
}

static void a_queue_of_version_1_is_brought_up_with_all_that_is_in_it(void **state)
{
	struct place *p = *state;
	struct queue_want want = { 2, NOW, 10, 100, 1 << 20 };
	int found = 0;

	open_older(p, version_1, "");
	assert_int_equal(put_from(p, "", NOW), QUEUE_PUT);
	finish(p, make(p, JOB_PURGE, "sender=<>", false));
	must(queue_begin(p->q, &err));
	must(queue_take(p->q, &want, nothing_new, &found, &err));
	must(queue_commit(p->q, &err));
	assert_int_equal(found, 1);
	/* and is not brought up again */
	queue_close(&p->q);
	start(p);
	assert_int_equal(count(p, QUEUE_PURGED), 1);
}

/* When it was purged is not known: it may have been just now. */
static void what_version_2_had_purged_is_kept_for_a_day_from_the_upgrade(void **state)
{
	struct place *p = *state;
	int64_t now = (int64_t)time(NULL) * 1000;
	int found = 0;

	open_older(p, version_1, version_2);
	assert_int_equal(tick(p, now + MS_DAY - MS_SECOND), 0);
	assert_int_equal(count(p, QUEUE_PURGED), 1);
	assert_int_equal(undo(p, 1), JOB_ANSWER_OK);
	assert_int_equal(finish(p, 1), 1);
	assert_int_equal(count(p, QUEUE_OPEN), 2);
	must(queue_begin(p->q, &err));
	must(queue_take(p->q, &(struct queue_want){ 2, NOW, 1, 9, 99 }, nothing_new,
			&found, &err));
	must(queue_commit(p->q, &err));
	assert_int_equal(found, 1);
	open_older(p, version_1, version_2);
	/* long after, however slow this machine is */
	assert_int_equal(tick(p, now + 400 * MS_DAY), 1);
}

/* ---- for the administrator ----------------------------------------------------------------- */

static void see_job(void *arg, const struct queue_job *j)
{
	int *seen = arg;

	assert_true(span_eq(j->condition, SPAN("sender=<>")));
	*seen = *seen * 10 + (int)j->number;
}

static void a_reader_lists_orders_the_newest_first(void **state)
{
	struct place *p = *state;
	struct queue_reader *r;
	int seen = 0;

	make(p, JOB_HOLD, "sender=<>", true);
	make(p, JOB_PURGE, "sender=<>", false);
	make(p, JOB_RETRY, "sender=<>", false);
	must(queue_reader_open(&r, p->path, &err));
	must(queue_each_job(r, UINT32_MAX, false, 10, see_job, &seen, &err));
	assert_int_equal(seen, 321);
	seen = 0;
	must(queue_each_job(r, UINT32_MAX, true, 10, see_job, &seen, &err));
	assert_int_equal(seen, 1);
	queue_reader_close(&r);
}

static void no_more_orders_are_taken_than_are_bearable(void **state)
{
	struct place *p = *state;
	struct queue_job_wish wish = { .kind = JOB_HOLD, .condition = SPAN("tls=no") };

	for (int i = 0; i < QUEUE_ORDERS_MAX; i++)
		make(p, JOB_HOLD, "sender=<>", false);
	wish.number = queue_job_reserve(p->q);
	must(queue_begin(p->q, &err));
	assert_false(queue_job_make(p->q, &wish, NOW, &err));
	queue_rollback(p->q);
	assert_int_equal(put_from(p, "bob@example.org", NOW), QUEUE_PUT);
	assert_int_equal(put_from(p, "", NOW), QUEUE_KEPT);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_purge_is_in_force_before_any_row_has_changed),
		TEST(what_arrives_while_an_order_is_in_force_is_caught),
		TEST(an_order_that_does_not_stand_ends_with_its_rows),
		TEST(a_standing_order_ends_with_its_time),
		TEST(what_was_rolled_back_is_not_in_force),
		TEST(a_message_that_comes_held_is_not_taken),
		TEST(the_rows_follow_a_thousand_at_a_time),
		TEST(another_process_goes_on_where_one_was_killed),
		TEST(what_was_released_stays_released),
		TEST(retry_makes_due_what_waits_and_leaves_the_dead),
		TEST(a_purge_is_undone_also_by_another_process),
		TEST(hold_and_release_are_undone_and_give_each_its_state_back),
		TEST(released_or_given_back_it_has_its_lifetime_anew),
		TEST(retry_and_numbers_that_are_none_cannot_be_undone),
		TEST(what_was_purged_goes_after_a_day),
		TEST(what_a_standing_purge_caught_is_kept_for_a_day_from_then_on),
		TEST(what_was_in_hand_when_it_was_purged_is_not_tried_again),
		TEST(what_failed_for_good_while_it_was_purged_comes_back_dead),
		TEST(what_version_2_had_purged_is_kept_for_a_day_from_the_upgrade),
		TEST(a_queue_of_version_1_is_brought_up_with_all_that_is_in_it),
		TEST(a_reader_lists_orders_the_newest_first),
		TEST(no_more_orders_are_taken_than_are_bearable),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
