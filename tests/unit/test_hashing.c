/* auth/hashing: who comes first when there is more to check than can be. */
#include "expect.h"

#include <semaphore.h>
#include <time.h>

#include "auth/hashing.h"

#define JOBS 16

struct rig {
	struct loop *loop;
	struct hashing *h;
	sem_t gate;	/* the first job waits at it, so that the others queue up */
	sem_t inside;	/* a job waits there */
	char order[64]; /* as they were begun, by the one thread of the lane */
	size_t begun, done, lost, wanted;
};

struct job {
	struct hashing_job job;
	struct rig *rig;
	char name;
	bool waits;
};

static struct err err;

static void run(void *arg)
{
	struct job *j = arg;

	if (j->waits) {
		sem_post(&j->rig->inside);
		while (sem_wait(&j->rig->gate) != 0)
			continue;
		return;
	}
	j->rig->order[j->rig->begun++] = j->name;
}

static void on_done(void *arg)
{
	struct job *j = arg;

	if (++j->rig->done == j->rig->wanted)
		loop_stop(j->rig->loop);
}

static void on_lost(void *arg)
{
	struct job *j = arg;

	j->rig->lost++;
}

static bool put(struct rig *r, struct job *j, char name, uint64_t prefix,
		uint64_t account, bool known)
{
	*j = (struct job){ .rig = r, .name = name };
	j->job = (struct hashing_job){ .prefix = prefix,
				       .account = account,
				       .known = known,
				       .run = run,
				       .on_done = on_done,
				       .on_lost = on_lost,
				       .arg = j };
	return hashing_put(r->h, &j->job);
}

/* One thread of strangers has a job in hand that does not end before open_gate(). */
static void close_gate(struct rig *r, struct job *j)
{
	*j = (struct job){ .rig = r, .waits = true };
	j->job = (struct hashing_job){ .prefix = 99,
				       .account = 99,
				       .run = run,
				       .on_done = on_done,
				       .on_lost = on_lost,
				       .arg = j };
	assert_true(hashing_put(r->h, &j->job));
	while (sem_wait(&r->inside) != 0)
		continue;
}

static void open_gate(struct rig *r, size_t wanted)
{
	r->wanted = wanted + 1;
	sem_post(&r->gate);
	loop_run(r->loop);
}

static int set_up(void **state)
{
	struct rig *r = calloc(1, sizeof(*r));

	assert_non_null(r);
	sem_init(&r->gate, 0, 0);
	sem_init(&r->inside, 0, 0);
	assert_true(loop_open(&r->loop, &err));
	assert_true(hashing_open(&r->h, r->loop, 1, 1, &err));
	*state = r;
	return 0;
}

static int tear_down(void **state)
{
	struct rig *r = *state;

	hashing_close(&r->h);
	loop_close(&r->loop);
	sem_destroy(&r->gate);
	sem_destroy(&r->inside);
	free(r);
	return 0;
}

static void a_network_with_many_jobs_takes_turns_with_one_that_has_few(void **state)
{
	struct rig *r = *state;
	struct job jobs[JOBS];

	close_gate(r, &jobs[0]);
	for (size_t i = 1; i <= 5; i++)
		assert_true(put(r, &jobs[i], 'a', 1, i, false));
	assert_true(put(r, &jobs[6], 'b', 2, 60, false));
	assert_true(put(r, &jobs[7], 'b', 2, 70, false));
	open_gate(r, 7);
	assert_string_equal(r->order, "ababaaa");
}

static void so_does_an_account(void **state)
{
	struct rig *r = *state;
	struct job jobs[JOBS];

	close_gate(r, &jobs[0]);
	for (size_t i = 1; i <= 4; i++)
		assert_true(put(r, &jobs[i], 'a', i, 1, false));
	assert_true(put(r, &jobs[5], 'b', 5, 2, false));
	open_gate(r, 5);
	assert_string_equal(r->order, "abaaa");
}

static void who_has_asked_most_gives_up_a_place_and_known_devices_keep_theirs(void **state)
{
	struct rig *r = *state;
	struct job jobs[JOBS];
	struct hashing_state s;

	hashing_limit(r->h, 4, 100);
	close_gate(r, &jobs[0]);
	assert_true(put(r, &jobs[1], 'a', 1, 1, false));
	assert_true(put(r, &jobs[2], 'A', 1, 2, false));
	/* strangers have two of the four places, and a newcomer comes before a second turn */
	assert_true(put(r, &jobs[3], 'b', 2, 3, false));
	assert_int_equal(r->lost, 1);
	assert_false(put(r, &jobs[4], 'A', 1, 4, false));
	assert_int_equal(r->lost, 1);
	hashing_look(r->h, &s);
	assert_int_equal(s.strangers, 2);
	assert_int_equal(s.lost, 2);
	open_gate(r, 2);
	assert_string_equal(r->order, "ab");
}

static void known_devices_do_not_wait_for_strangers(void **state)
{
	struct rig *r = *state;
	struct job jobs[JOBS];

	close_gate(r, &jobs[0]);
	assert_true(put(r, &jobs[1], 'k', 1, 1, true));
	r->wanted = 1;
	loop_run(r->loop);
	assert_string_equal(r->order, "k");
	r->done = 0;
	open_gate(r, 0);
}

static void what_was_taken_back_is_not_run(void **state)
{
	struct rig *r = *state;
	struct job jobs[JOBS];

	close_gate(r, &jobs[0]);
	for (size_t i = 1; i <= 5; i++)
		assert_true(put(r, &jobs[i], (char)('a' + i - 1), i, i, false));
	assert_true(hashing_take_back(r->h, &jobs[2].job));
	assert_false(hashing_take_back(r->h, &jobs[2].job));
	assert_true(hashing_take_back(r->h, &jobs[5].job));
	assert_false(hashing_take_back(r->h, &jobs[0].job));
	open_gate(r, 3);
	assert_string_equal(r->order, "acd");
	assert_int_equal(r->lost, 0);
}

struct burning {
	struct job job;
	uint64_t began, used; /* us */
};

static uint64_t thread_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static void burn(void *arg)
{
	struct burning *b = (struct burning *)arg;
	uint64_t from = thread_us();

	b->began = loop_clock_us();
	while ((b->used = thread_us() - from) < 150000)
		continue;
}

/* What a job has used is owed: with a tenth of one processor the next has to wait. */
static void strangers_spend_from_a_purse(void **state)
{
	struct rig *r = *state;
	struct burning jobs[2], *first, *second;
	struct hashing_state s;

	hashing_limit(r->h, 100, 10);
	for (size_t i = 0; i < 2; i++) {
		jobs[i] = (struct burning){ .job.rig = r };
		jobs[i].job.job = (struct hashing_job){ .prefix = i,
							.account = i,
							.run = burn,
							.on_done = on_done,
							.on_lost = on_lost,
							.arg = &jobs[i] };
		assert_true(hashing_put(r->h, &jobs[i].job.job));
	}
	r->wanted = 2;
	loop_run(r->loop);
	hashing_look(r->h, &s);
	assert_int_equal(s.done, 2);
	assert_true(s.cpu_us >= jobs[0].used + jobs[1].used);
	first = jobs[0].began < jobs[1].began ? &jobs[0] : &jobs[1];
	second = first == &jobs[0] ? &jobs[1] : &jobs[0];
	/* the purse began with a second's worth, 100 ms; each ms more is 10 ms of waiting */
	assert_true(second->began - first->began > (first->used - 100000) * 5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
		TEST(a_network_with_many_jobs_takes_turns_with_one_that_has_few),
		TEST(so_does_an_account),
		TEST(who_has_asked_most_gives_up_a_place_and_known_devices_keep_theirs),
		TEST(known_devices_do_not_wait_for_strangers),
		TEST(what_was_taken_back_is_not_run),
		TEST(strangers_spend_from_a_purse),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
