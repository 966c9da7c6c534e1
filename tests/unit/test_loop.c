#include "expect.h"

#include <signal.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "io/loop.h"
#include "io/pool.h"

static struct loop *open_loop(void)
{
	struct loop *l;
	struct err err;

	assert_true(loop_open(&l, &err));
	return l;
}

/* ---- times --------------------------------------------------------------------------- */

struct alarm {
	struct loop *loop;
	struct timer timer;
	ms_t rang;
	int count;
	struct alarm *after; /* must not have rung yet */
};

static void on_alarm(void *arg)
{
	struct alarm *a = arg;

	a->rang = loop_now(a->loop);
	a->count++;
	if (a->after)
		assert_int_equal(a->after->count, 0);
}

static void on_last(void *arg)
{
	struct alarm *a = arg;

	loop_stop(a->loop);
}

static void run_until(struct loop *l, ms_t at)
{
	struct alarm last = { .loop = l };

	timer_init(&last.timer, l, on_last, &last);
	timer_set(&last.timer, at);
	loop_run(l);
}

static void timers_ring_once_in_the_order_of_their_times(void **state)
{
	struct loop *l = open_loop();
	struct alarm a[100] = { 0 };
	ms_t start = loop_now(l);

	(void)state;
	for (int i = 0; i < 100; i++) {
		a[i].loop = l;
		a[i].after = i < 99 ? &a[i + 1] : NULL;
		timer_init(&a[i].timer, l, on_alarm, &a[i]);
	}
	for (int i = 0; i < 100; i++) /* set in another order than they are due in */
		timer_set(&a[i * 37 % 100].timer, start + 10 + i * 37 % 100);
	run_until(l, start + 200);
	for (int i = 0; i < 100; i++) {
		assert_int_equal(a[i].count, 1);
		assert_true(a[i].rang >= start + 10 + i);
	}
	loop_close(&l);
}

struct again {
	struct loop *loop;
	struct timer timer;
	int count, rounds;
};

static void on_again(void *arg)
{
	struct again *a = arg;

	a->count++;
	timer_set(&a->timer, loop_now(a->loop));
}

static void on_counted_round(void *arg)
{
	struct again *a = arg;

	if (++a->rounds == 10)
		loop_stop(a->loop);
}

/* However many timers there are: descriptors must have their turn in between. */
static void a_timer_that_sets_itself_again_at_once_rings_once_a_round(void **state)
{
	struct loop *l = open_loop();
	struct alarm others[1000] = { 0 };
	struct again a = { .loop = l };

	(void)state;
	for (size_t i = 0; i < COUNT_OF(others); i++) {
		timer_init(&others[i].timer, l, on_alarm, &others[i]);
		timer_set(&others[i].timer, loop_now(l) + MS_HOUR);
	}
	timer_init(&a.timer, l, on_again, &a);
	timer_set(&a.timer, loop_now(l));
	loop_each_round(l, on_counted_round, &a);
	loop_run(l);
	assert_in_range(a.count, 5, 10);
	loop_close(&l);
}

static void a_timer_that_was_moved_rings_at_its_last_time(void **state)
{
	struct loop *l = open_loop();
	struct alarm later = { .loop = l }, sooner = { .loop = l }, never = { .loop = l };
	ms_t start = loop_now(l);

	(void)state;
	timer_init(&later.timer, l, on_alarm, &later);
	timer_init(&sooner.timer, l, on_alarm, &sooner);
	timer_init(&never.timer, l, on_alarm, &never);
	timer_set(&later.timer, start + 5);
	timer_set(&later.timer, start + 40);
	timer_set(&sooner.timer, start + 4000);
	timer_set(&sooner.timer, start + 10);
	timer_set(&never.timer, start + 20);
	timer_stop(&never.timer);
	run_until(l, start + 60);
	assert_int_equal(later.count, 1);
	assert_true(later.rang >= start + 40);
	assert_int_equal(sooner.count, 1);
	assert_int_equal(never.count, 0);
	loop_close(&l);
}

/* ---- descriptors ------------------------------------------------------------------- */

struct two {
	struct loop *loop;
	struct watch watch[2];
	int calls;
};

/* Both are ready in one round; whoever is called first stops the other. */
static void on_either(void *arg, unsigned ready)
{
	struct two *t = arg;

	assert_true(ready & WATCH_READ);
	t->calls++;
	watch_stop(&t->watch[0]);
	watch_stop(&t->watch[1]);
	loop_stop(t->loop);
}

static void a_watch_that_was_stopped_is_not_called_in_the_same_round(void **state)
{
	struct two t = { .loop = open_loop() };
	int p[2][2];

	(void)state;
	for (int i = 0; i < 2; i++) {
		assert_int_equal(pipe(p[i]), 0);
		assert_int_equal(write(p[i][1], "x", 1), 1);
		assert_true(watch_start(t.loop, &t.watch[i], p[i][0], WATCH_READ,
					on_either, &t));
	}
	loop_run(t.loop);
	assert_int_equal(t.calls, 1);
	for (int i = 0; i < 4; i++)
		close(p[i / 2][i % 2]);
	loop_close(&t.loop);
}

struct seen {
	struct loop *loop;
	struct watch watch;
	unsigned ready;
	int calls, rounds;
};

static void on_seen(void *arg, unsigned ready)
{
	struct seen *s = arg;

	s->ready |= ready;
	s->calls++;
}

/* In rounds, since in a time there may be a single one. */
static void on_seen_round(void *arg)
{
	struct seen *s = arg;

	if (++s->rounds == 10)
		loop_stop(s->loop);
}

static void edges_are_told_once_and_levels_again(void **state)
{
	struct loop *l = open_loop();
	struct seen edge = { .loop = l }, level = { .loop = l };
	int p[2][2];

	(void)state;
	for (int i = 0; i < 2; i++) {
		assert_int_equal(pipe(p[i]), 0);
		assert_int_equal(write(p[i][1], "x", 1), 1);
	}
	assert_true(watch_start(l, &edge.watch, p[0][0], WATCH_READ | WATCH_EDGES,
				on_seen, &edge));
	assert_true(watch_start(l, &level.watch, p[1][0], WATCH_READ, on_seen, &level));
	loop_each_round(l, on_seen_round, &level);
	loop_run(l);
	assert_int_equal(edge.calls, 1);
	assert_true(level.calls > 1);
	watch_mask(&level.watch, 0);
	level.calls = 0;
	run_until(l, loop_now_exact(l) + 20);
	assert_int_equal(level.calls, 0);
	watch_close(&edge.watch);
	watch_close(&level.watch);
	close(p[0][1]);
	close(p[1][1]);
	loop_close(&l);
}

static void a_hang_up_is_reported(void **state)
{
	struct loop *l = open_loop();
	struct seen s = { .loop = l };
	int p[2];

	(void)state;
	assert_int_equal(pipe(p), 0);
	assert_true(watch_start(l, &s.watch, p[0], WATCH_READ | WATCH_EDGES, on_seen, &s));
	close(p[1]);
	run_until(l, loop_now_exact(l) + 20);
	assert_true(s.ready & WATCH_HUP);
	assert_true(s.ready & WATCH_READ);
	watch_close(&s.watch);
	loop_close(&l);
}

/* The machine stood still for so long. */
static time_t stood_still;

int clock_gettime(clockid_t clock, struct timespec *ts)
{
	long rc = syscall(SYS_clock_gettime, clock, ts);

	if (clock == CLOCK_MONOTONIC)
		ts->tv_sec += stood_still;
	return (int)rc;
}

static int answer_end;

/* While the loop sleeps: what is waited for comes, and it goes on when its time is up. */
static void on_interrupt(int number)
{
	(void)number;
	(void)!write(answer_end, "x", 1);
	stood_still = 3600;
}

struct answer {
	int fd, came, missed;
};

static void on_answer(void *arg, unsigned ready)
{
	struct answer *a = arg;
	char byte;

	(void)ready;
	a->came += (int)read(a->fd, &byte, 1);
}

static void on_missed(void *arg)
{
	struct answer *a = arg;

	a->missed += a->came == 0;
}

static void what_came_while_it_stood_still_is_seen_in_time(void **state)
{
	const struct itimerval soon = { .it_value = { .tv_usec = 20000 } };
	struct sigaction act = { .sa_handler = on_interrupt };
	struct loop *l = open_loop();
	struct answer a = { 0 };
	struct timer by;
	struct watch w;
	int fd[2];

	(void)state;
	assert_int_equal(pipe(fd), 0);
	a.fd = fd[0];
	answer_end = fd[1];
	assert_true(watch_start(l, &w, fd[0], WATCH_READ, on_answer, &a));
	timer_init(&by, l, on_missed, &a);
	timer_set(&by, loop_now(l) + MS_HOUR);
	assert_int_equal(sigaction(SIGALRM, &act, NULL), 0);
	assert_int_equal(setitimer(ITIMER_REAL, &soon, NULL), 0);
	run_until(l, loop_now(l) + MS_HOUR);
	assert_int_equal(a.came, 1);
	assert_int_equal(a.missed, 0);
	signal(SIGALRM, SIG_DFL);
	stood_still = 0;
	watch_close(&w);
	close(fd[1]);
	loop_close(&l);
}

/* ---- threads and signals --------------------------------------------------------------- */

struct job {
	struct loop *loop;
	pid_t ran, done; /* thread ids */
	int signals;
};

static void run_job(void *arg)
{
	struct job *j = arg;

	j->ran = gettid();
}

static void on_job(void *arg)
{
	struct job *j = arg;

	j->done = gettid();
	loop_stop(j->loop);
}

static void work_runs_elsewhere_and_is_done_here(void **state)
{
	struct job j = { .loop = open_loop() };

	(void)state;
	for (int i = 0; i < 3; i++) { /* the first starts the threads */
		assert_true(work_run(j.loop, run_job, on_job, &j));
		loop_run(j.loop);
		assert_int_equal(j.done, gettid());
		assert_int_not_equal(j.ran, gettid());
	}
	assert_true(work_run(j.loop, run_job, on_job, &j));
	j.done = 0;
	loop_close(&j.loop); /* waits for it */
	assert_int_equal(j.done, gettid());
}

static void on_hangup(void *arg, int signal)
{
	struct job *j = arg;

	assert_int_equal(signal, SIGHUP);
	j->signals++;
	loop_stop(j->loop);
}

static void a_signal_arrives_in_the_loop(void **state)
{
	struct job j = { .loop = open_loop() };

	(void)state;
	assert_true(loop_signal(j.loop, SIGHUP, on_hangup, &j));
	kill(getpid(), SIGHUP);
	loop_run(j.loop);
	assert_int_equal(j.signals, 1);
	loop_close(&j.loop);
}

/* ---- pools ------------------------------------------------------------------------------- */

static void a_pool_keeps_no_more_than_it_was_told(void **state)
{
	void *block[10];
	struct pool p;

	(void)state;
	pool_init(&p, 64, 4);
	for (int i = 0; i < 10; i++)
		assert_non_null(block[i] = pool_take(&p));
	assert_int_equal(p.lent, 10);
	for (int i = 0; i < 10; i++)
		pool_give(&p, block[i]);
	assert_int_equal(p.lent, 0);
	assert_int_equal(p.spare, 4);
	pool_give(&p, pool_take(&p)); /* lent again, and back */
	assert_int_equal(p.spare, 4);
	pool_close(&p);
	assert_int_equal(p.spare, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(timers_ring_once_in_the_order_of_their_times),
		cmocka_unit_test(a_timer_that_sets_itself_again_at_once_rings_once_a_round),
		cmocka_unit_test(a_timer_that_was_moved_rings_at_its_last_time),
		cmocka_unit_test(a_watch_that_was_stopped_is_not_called_in_the_same_round),
		cmocka_unit_test(edges_are_told_once_and_levels_again),
		cmocka_unit_test(a_hang_up_is_reported),
		cmocka_unit_test(what_came_while_it_stood_still_is_seen_in_time),
		cmocka_unit_test(work_runs_elsewhere_and_is_done_here),
		cmocka_unit_test(a_signal_arrives_in_the_loop),
		cmocka_unit_test(a_pool_keeps_no_more_than_it_was_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
