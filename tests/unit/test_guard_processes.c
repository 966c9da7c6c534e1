/* What processes do to the memory that they share, and what one leaves that is killed. */
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "child.h"
#include "guard/snapshot.h"
#include "tests/unit/remember.h"

#define NOW	(MS_HOUR * 1000)
#define WORKERS 4
#define KEYS	200

static const struct memory_shape shape = { 64, 1024, WORKERS + 1, 64 };

/* What all processes of a test see beside the memory. */
struct board {
	uint32_t begun, over; /* whoever waits for something waits for these */
	uint32_t done[WORKERS + 1][KEYS];
};

static pid_t child(void (*run)(const struct memory *, struct board *),
		   const struct remember *r, unsigned worker, struct board *b)
{
	pid_t pid = fork_child();

	assert_true(pid >= 0);
	if (pid == 0) {
		struct memory m;

		(void)alarm(
			500); /* who hangs is a failure, not a machine that stands still */
		if (!memory_open(&m, r->mem, r->n, worker))
			_exit(1);
		run(&m, b);
		_exit(0);
	}
	return pid;
}

static int ended(pid_t pid)
{
	int status = 0;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

static void await(const uint32_t *what, uint32_t least)
{
	while (__atomic_load_n(what, __ATOMIC_ACQUIRE) < least)
		(void)usleep(100);
}

static void stop_here(struct board *b)
{
	/* one more: whoever waits may look only now, for what was before */
	__atomic_add_fetch(&b->begun, 1, __ATOMIC_RELEASE);
	for (;;)
		(void)pause();
}

/* ---- one that dies at the worst moment --------------------------------------------------------- */

static void dies_with_a_row_open(const struct memory *m, struct board *b)
{
	struct guard_hot *row = memory_open_row(m, nth_key(7), NOW);

	if (!row)
		_exit(1);
	memset(&row->ban, 0xff, sizeof(row->ban)); /* half of something */
	memset(memory_detail(m, row), 0xff, sizeof(struct guard_detail));
	stop_here(b);
}

static void a_row_that_was_torn_is_found_and_dropped(void **unused)
{
	static const struct guard_detail nothing;
	struct board *b = shared_pages(sizeof(*b));
	struct memory_counts counts;
	struct guard_hot *row, out;
	struct remember r;
	pid_t pid;

	(void)unused;
	remember_open(&r, (struct memory_shape){ 8, 64, 2, 1 }); /* one shard */
	row = memory_open_row(&r.m, nth_key(8), NOW);
	row->connects = 5;
	memory_close_row(&r.m, row);
	pid = child(dies_with_a_row_open, &r, 1, b);
	await(&b->begun, 1);
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_true(WIFSIGNALED(ended(pid)));

	/* nobody waits for the dead for long, and nobody sees the half */
	assert_null(memory_open_row(&r.m, nth_key(8), NOW));
	assert_null(open_known(&r.m, nth_key(7), NOW));
	assert_false(memory_peek(&r.m, nth_key(7), &out));
	assert_false(memory_peek(&r.m, nth_key(8), &out));
	memory_counts(&r.m, &counts);
	assert_int_equal(counts.contended, 2);

	memory_mend(&r.m, 1);
	assert_false(memory_peek(&r.m, nth_key(7), &out));
	assert_true(memory_peek(&r.m, nth_key(8), &out));
	assert_int_equal(out.connects, 5);
	memory_counts(&r.m, &counts);
	assert_int_equal(counts.mended, 1);
	assert_int_equal(counts.hot_used, 1);
	row = memory_open_row(&r.m, nth_key(7), NOW);
	assert_non_null(row);
	assert_int_equal(row->ban.until, 0);
	assert_memory_equal(memory_detail(&r.m, row), &nothing, sizeof(nothing));
	memory_close_row(&r.m, row);
	memory_mend(&r.m, 1); /* twice does no harm */
	memory_counts(&r.m, &counts);
	assert_int_equal(counts.mended, 1);
	assert_int_equal(counts.hot_used, 2);
	remember_close(&r);
	assert_int_equal(munmap(b, sizeof(*b)), 0);
}

static void mending_touches_only_what_the_dead_held(void **unused)
{
	struct memory_counts counts;
	struct remember r;
	struct memory other;
	struct guard_hot *row;

	(void)unused;
	remember_open(&r, (struct memory_shape){ 8, 64, 3, 1 });
	other = remember_as(&r, 1);
	row = memory_open_row(&other, nth_key(1), NOW);
	row->connects = 3;
	memory_mend(&r.m, 2);
	memory_mend(&r.m, 77);
	assert_null(memory_open_row(&r.m, nth_key(2), NOW));
	memory_close_row(&other, row);
	row = memory_open_row(&r.m, nth_key(1), NOW);
	assert_int_equal(row->connects, 3);
	memory_close_row(&r.m, row);
	memory_counts(&r.m, &counts);
	assert_int_equal(counts.mended, 0);
	remember_close(&r);
}

/* ---- many at once ---------------------------------------------------------------------------------- */

#define TURNS 25000

/* Count under the lock, in the row and on the board: they must agree in the end. */
static void hammer(const struct memory *m, struct board *b)
{
	uint64_t dices = m->worker;

	for (int i = 0; i < TURNS; i++) {
		uint32_t who = (uint32_t)dice_below(&dices, KEYS);
		struct guard_hot *row = memory_open_row(m, nth_key(who), NOW + i);

		if (!row)
			continue;
		row->refused++;
		row->visits++;
		row->connects++;
		row->last = memory_second(NOW + i);
		b->done[m->worker][who]++;
		memory_close_row(m, row);
		__atomic_add_fetch(&b->begun, 1, __ATOMIC_RELAXED);
	}
	__atomic_add_fetch(&b->over, 1, __ATOMIC_RELEASE);
}

/* The row of one key may be lost, which its killer tore; all others have all counts. */
static void check_sums(const struct remember *r, const struct board *b, unsigned most_lost)
{
	unsigned lost = 0;

	for (uint32_t k = 0; k < KEYS; k++) {
		struct guard_hot row;
		uint32_t sum = 0;

		for (unsigned w = 0; w <= WORKERS; w++)
			sum += b->done[w][k];
		if (!memory_peek(&r->m, nth_key(k), &row) || row.connects != sum)
			lost++;
	}
	if (lost > most_lost)
		fail_msg("%u rows lost", lost);
}

static void no_count_is_lost_between_processes(void **unused)
{
	struct board *b = shared_pages(sizeof(*b));
	pid_t pid[WORKERS];
	struct remember r;

	(void)unused;
	remember_open(&r, shape);
	for (unsigned w = 0; w < WORKERS; w++)
		pid[w] = child(hammer, &r, w, b);
	for (unsigned w = 0; w < WORKERS; w++)
		assert_int_equal(ended(pid[w]), 0);
	check_sums(&r, b, 0);
	remember_close(&r);
	assert_int_equal(munmap(b, sizeof(*b)), 0);
}

static void one_is_killed_and_the_others_go_on(void **unused)
{
	uint64_t mended = 0;

	(void)unused;
	for (uint32_t round = 0; round < 12; round++) {
		struct board *b = shared_pages(sizeof(*b));
		struct memory_counts counts;
		struct memory mender;
		pid_t pid[WORKERS];
		struct remember r;
		size_t at = 0, met = 0;
		struct guard_hot row;

		remember_open(&r, shape);
		mender = remember_as(&r, WORKERS);
		for (unsigned w = 0; w < WORKERS; w++)
			pid[w] = child(hammer, &r, w, b);
		await(&b->begun, 3000 + 997 * round);
		assert_int_equal(kill(pid[0], SIGKILL), 0);
		(void)ended(pid[0]);
		memory_mend(&mender, 0);
		for (unsigned w = 1; w < WORKERS; w++)
			assert_int_equal(ended(pid[w]), 0);
		assert_true(b->over >= WORKERS - 1);
		check_sums(&r, b, 1);
		memory_counts(&r.m, &counts);
		mended += counts.mended;
		while (memory_next(&r.m, &at, &row))
			met++;
		assert_int_equal(met, counts.hot_used + counts.cold_used);
		remember_close(&r);
		assert_int_equal(munmap(b, sizeof(*b)), 0);
	}
	assert_true(mended <= 24);
}

/* ---- readers ------------------------------------------------------------------------------------------ */

static void all_equal(const struct memory *m, struct board *b)
{
	for (uint32_t i = 1; !__atomic_load_n(&b->over, __ATOMIC_ACQUIRE); i++) {
		struct guard_hot *row = memory_open_row(m, nth_key(i % 3), NOW);

		if (row) {
			row->connects = row->refused = row->visits = i;
			row->flags |= HOT_DETAIL;
			memory_detail(m, row)->seen[63] = i;
			row->bytes = row->busy_us = i;
			memory_close_row(m, row);
		}
		__atomic_store_n(&b->begun, 1, __ATOMIC_RELEASE);
	}
}

static void a_reader_never_sees_half_a_row(void **unused)
{
	struct board *b = shared_pages(sizeof(*b));
	struct guard_detail did;
	struct guard_hot row;
	struct remember r;
	size_t seen = 0;
	pid_t pid;

	(void)unused;
	remember_open(&r, (struct memory_shape){ 8, 64, 2, 1 });
	pid = child(all_equal, &r, 1, b);
	await(&b->begun, 1);
	/* nothing is seen while the writer stands still in the middle of a row */
	for (int i = 0; i < 100000 || seen == 0; i++) {
		if (!memory_peek_all(&r.m, nth_key((uint32_t)i % 3), &row, &did))
			continue;
		seen++;
		if (row.connects != row.refused || row.connects != row.visits ||
		    row.connects != did.seen[63] || row.connects != row.bytes ||
		    row.connects != row.busy_us)
			fail_msg("%u, %u", row.connects, did.seen[63]);
	}
	__atomic_store_n(&b->over, 1, __ATOMIC_RELEASE);
	assert_int_equal(ended(pid), 0);
	assert_true(seen > 0);
	remember_close(&r);
	assert_int_equal(munmap(b, sizeof(*b)), 0);
}

static void shows_seats(const struct memory *m, struct board *b)
{
	struct seat s = { .state = SEAT_TALKS };
	uint32_t n = seat_take(m, &s);

	for (uint32_t i = 1; !__atomic_load_n(&b->over, __ATOMIC_ACQUIRE); i++) {
		s.session = s.bytes = i;
		s.commands = s.messages = s.busy_us = i;
		seat_write(m, n, &s);
		__atomic_store_n(&b->begun, 1, __ATOMIC_RELEASE);
	}
}

static void a_reader_never_sees_half_a_seat(void **unused)
{
	struct board *b = shared_pages(sizeof(*b));
	struct remember r;
	struct seat s;
	pid_t pid;

	(void)unused;
	remember_open(&r, shape);
	pid = child(shows_seats, &r, 1, b);
	await(&b->begun, 1);
	for (int i = 0; i < 100000; i++)
		if (seat_read(&r.m, 1, 0, &s) &&
		    (s.session != s.bytes || s.session != s.commands ||
		     s.session != s.messages || s.session != s.busy_us))
			fail_msg("%lu, %lu", (unsigned long)s.session,
				 (unsigned long)s.bytes);
	__atomic_store_n(&b->over, 1, __ATOMIC_RELEASE);
	assert_int_equal(ended(pid), 0);
	remember_close(&r);
	assert_int_equal(munmap(b, sizeof(*b)), 0);
}

/* ---- seats and notes of the dead ----------------------------------------------------- */

static void comes_and_goes(const struct memory *m, struct board *b)
{
	uint64_t dices = m->worker;

	for (uint32_t i = 0;; i++) {
		struct addr a = nth_addr((uint32_t)dice_below(&dices, 50) << 12);
		struct seat s = { .state = SEAT_TALKS, .peer = a };
		uint32_t n;

		for (int l = 0; l < LEVEL_COUNT; l++) {
			struct guard_hot *row = memory_open_row(
				m, guard_key_of(&a, (enum guard_level)l), NOW);

			if (!row)
				_exit(1);
			row->sessions++;
			memory_close_row(m, row);
		}
		n = seat_take(m, &s);
		if (n == SEAT_NONE)
			break;
		__atomic_store_n(&b->begun, i, __ATOMIC_RELEASE);
	}
	stop_here(b);
}

static void what_a_killed_worker_counted_is_taken_back(void **unused)
{
	struct board *b = shared_pages(sizeof(*b));
	struct guard_hot row;
	struct remember r;
	uint64_t left = 0;
	size_t at = 0;
	pid_t pid;

	(void)unused;
	remember_open(&r, (struct memory_shape){ 1024, 1024, 2, 20000 });
	pid = child(comes_and_goes, &r, 1, b);
	await(&b->begun, 5000);
	assert_int_equal(kill(pid, SIGKILL), 0);
	(void)ended(pid);
	assert_true(memory_sessions(&r.m) >= 5000);
	memory_mend(&r.m, 1);
	seats_mend(&r.m, 1);
	assert_int_equal(memory_sessions(&r.m), 0);
	while (memory_next(&r.m, &at, &row))
		left += row.sessions;
	/* at most the one that it was about to seat, in three rows */
	assert_true(left <= LEVEL_COUNT);
	remember_close(&r);
	assert_int_equal(munmap(b, sizeof(*b)), 0);
}

static void writes_notes(const struct memory *m, struct board *b)
{
	for (uint32_t i = 0;; i++) {
		struct ban_note n = { .key = nth_key(i),
				      .ban = { .tries = i, .level = 1 } };

		memory_note(m, &n);
		__atomic_store_n(&b->begun, i, __ATOMIC_RELEASE);
	}
}

static void notes_go_on_after_a_writer_was_killed(void **unused)
{
	(void)unused;
	for (uint32_t round = 0; round < 10; round++) {
		struct board *b = shared_pages(sizeof(*b));
		struct ban_note out, mine = { .key = nth_key(1), .ban = { .tries = 77 } };
		struct remember r;
		uint64_t at = 0;
		bool lost;
		pid_t pid;

		remember_open(&r, shape);
		pid = child(writes_notes, &r, 1, b);
		while (__atomic_load_n(&b->begun, __ATOMIC_ACQUIRE) < 3000 + round * 313)
			if (memory_next_note(&r.m, &at, &out, &lost))
				assert_true(guard_key_eq(out.key, nth_key(out.ban.tries)));
		assert_int_equal(kill(pid, SIGKILL), 0);
		(void)ended(pid);
		memory_mend(&r.m, 1);
		while (memory_next_note(&r.m, &at, &out, &lost) || lost)
			continue;
		memory_note(&r.m, &mine);
		assert_true(memory_next_note(&r.m, &at, &out, &lost));
		assert_false(lost);
		assert_int_equal(out.ban.tries, 77);
		remember_close(&r);
		assert_int_equal(munmap(b, sizeof(*b)), 0);
	}
}

/* ---- a snapshot while others write -------------------------------------------------- */

static void a_snapshot_can_be_taken_while_others_write(void **unused)
{
	struct board *b = shared_pages(sizeof(*b));
	struct remember r;
	uint8_t *mem;
	pid_t pid;

	(void)unused;
	remember_open(&r, shape);
	mem = malloc(snapshot_room(&r.m));
	assert_non_null(mem);
	pid = child(hammer, &r, 1, b);
	await(&b->begun, 1000);
	for (int i = 0; i < 100; i++) {
		struct remember to;
		struct buf out;
		size_t torn;

		buf_init(&out, mem, snapshot_room(&r.m));
		assert_true(snapshot_write(&r.m, NOW, 1, &out));
		remember_open(&to, shape);
		(void)snapshot_read(&to.m, buf_span(&out), NOW, 1, &torn);
		assert_int_equal(torn, 0);
		remember_close(&to);
	}
	assert_int_equal(ended(pid), 0);
	free(mem);
	remember_close(&r);
	assert_int_equal(munmap(b, sizeof(*b)), 0);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_row_that_was_torn_is_found_and_dropped),
		cmocka_unit_test(mending_touches_only_what_the_dead_held),
		cmocka_unit_test(no_count_is_lost_between_processes),
		cmocka_unit_test(one_is_killed_and_the_others_go_on),
		cmocka_unit_test(a_reader_never_sees_half_a_row),
		cmocka_unit_test(a_reader_never_sees_half_a_seat),
		cmocka_unit_test(what_a_killed_worker_counted_is_taken_back),
		cmocka_unit_test(notes_go_on_after_a_writer_was_killed),
		cmocka_unit_test(a_snapshot_can_be_taken_while_others_write),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
