/*
 * A worker against servers of all manners on 127.0.0.1, each a child of this process.
 */
#include "expect.h"

#include <arpa/inet.h>
#include <math.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "rehearse/canned.h"
#include "rehearse/worker.h"

enum manner {
	GREETS, /* and says yes to whatever comes */
	REFUSES,
	RESETS,
	SAYS_NOTHING,
	IS_AWAY,
	REFUSES_EARLY, /* while a message is on its way */
	READS_SLOWLY,
	MANNERS
};

struct server {
	pid_t pid;
	uint16_t port;
};

static void say(int fd, const char *text)
{
	if (send(fd, text, strlen(text), MSG_NOSIGNAL) < 0)
		return; /* the client sees it soon enough */
}

static void read_slowly(int fd)
{
	static char in[4096];
	char last[5] = "";
	ssize_t n;

	say(fd, "220 hello\r\n");
	while ((n = recv(fd, in, sizeof(in), 0)) > 0) {
		for (ssize_t i = 0; i < n; i++) {
			memmove(last, last + 1, 4);
			last[4] = in[i];
		}
		if (memcmp(last, "\r\n.\r\n", 5) == 0)
			say(fd, "250 all of it\r\n");
	}
}

static void serve(int fd, enum manner manner)
{
	const struct linger none = { .l_onoff = 1 };
	char in[4096];

	switch (manner) {
	case GREETS:
		say(fd, "220 hello\r\n");
		while (recv(fd, in, sizeof(in), 0) > 0)
			say(fd, "250 fine\r\n");
		break;
	case REFUSES:
		say(fd, "554 go away\r\n");
		break;
	case RESETS:
		setsockopt(fd, SOL_SOCKET, SO_LINGER, &none, sizeof(none));
		break;
	case SAYS_NOTHING:
		while (recv(fd, in, sizeof(in), 0) > 0)
			;
		break;
	case REFUSES_EARLY:
		say(fd, "220 hello\r\n");
		if (recv(fd, in, 1, 0) == 1)
			say(fd, "552 too much\r\n");
		break;
	case READS_SLOWLY:
		read_slowly(fd);
		break;
	case IS_AWAY:
	case MANNERS:
		break;
	}
	close(fd);
}

static struct server start(enum manner manner)
{
	struct sockaddr_in at = { .sin_family = AF_INET,
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t n = sizeof(at);
	int room = 4096, fd = socket(AF_INET, SOCK_STREAM, 0);
	struct server s;

	if (manner == READS_SLOWLY)
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof(room));
	assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
	assert_int_equal(listen(fd, 128), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &n), 0);
	s = (struct server){ .pid = fork(), .port = ntohs(at.sin_port) };
	if (s.pid) {
		close(fd);
		return s;
	}
	if (manner == IS_AWAY)
		_exit(0);
	prctl(PR_SET_PDEATHSIG, SIGTERM); /* also if a test fails */
	signal(SIGCHLD, SIG_IGN);
	for (;;) {
		int one = accept(fd, NULL, NULL);

		if (one >= 0 && fork() == 0) {
			prctl(PR_SET_PDEATHSIG, SIGTERM);
			serve(one, manner);
			_exit(0);
		}
		close(one);
	}
}

static void stop(struct server *s)
{
	kill(s->pid, SIGKILL);
	waitpid(s->pid, NULL, 0);
}

#define PATIENCE 60000 /* ms: for a busy machine */

/* One actor, made by hand. */
struct rehearsal {
	struct scenario scenario;
	struct target targets[SERVICE_COUNT];
	struct plan plan;
	struct tally tally;
	struct tally_phase sum;
};

/* Its phase takes so many ms. */
static struct rehearsal *prepare_for(ms_t phase, uint16_t port, const struct actor *a,
				     const char *const *lines, size_t n)
{
	struct rehearsal *r = calloc(1, sizeof(*r));
	char text[32];
	struct err e;

	*r = (struct rehearsal){
		.scenario = { .actors = { *a }, .actors_n = 1 },
		.plan = {
			.scenario = &r->scenario,
			.targets = r->targets,
			.tally = &r->tally,
			.seed = 7,
			.workers = 1,
			.honest_apart = true,
			.sessions_max = 200,
			.actor_on = { true },
			.pool = { .seed = 7 },
		},
	};
	r->scenario.phase[a->honest ? PHASE_QUIET : PHASE_ATTACK] = phase;
	snprintf(text, sizeof(text), "127.0.0.1:%u", port);
	assert_true(target_parse(&r->targets[a->service], text, a->service, &e));
	if (!script_open(&r->scenario.actors[0].script, lines, n,
			 service_speaks(a->service), &r->plan.pool, &e))
		fail_msg("%s", e.text);
	assert_true(tally_open(&r->tally, 3, 1, &a->honest, r->scenario.phase, &e));
	return r;
}

static struct rehearsal *prepare(uint16_t port, const struct actor *a,
				 const char *const *lines, size_t n)
{
	return prepare_for(400, port, a, lines, n);
}

static void sum_up(struct rehearsal *r)
{
	tally_sum_phase(&r->tally, 0,
			r->scenario.actors[0].honest ? PHASE_QUIET : PHASE_ATTACK,
			&r->sum);
}

/* All of its workers, each in a process of its own. */
static void begin(struct rehearsal *r, pid_t pids[3])
{
	for (unsigned w = 0; w <= r->plan.workers; w++) {
		pids[w] = fork();
		if (pids[w] == 0)
			_exit(worker_run(&r->plan, w));
	}
}

static void await(struct rehearsal *r, const pid_t pids[3])
{
	int status;

	for (unsigned w = 0; w <= r->plan.workers; w++) {
		assert_int_equal(waitpid(pids[w], &status, 0), pids[w]);
		assert_int_equal(status, 0);
	}
	sum_up(r);
}

static void rehearse(struct rehearsal *r)
{
	pid_t pids[3];

	begin(r, pids);
	await(r, pids);
}

static void release(struct rehearsal *r)
{
	script_close(&r->scenario.actors[0].script);
	tally_close(&r->tally);
	free(r);
}

/* How many visits have ended, which must be all that began. */
static uint64_t all_ended(const struct tally_phase *p)
{
	uint64_t n = 0;

	for (int stage = 0; stage < STAGE_COUNT; stage++)
		for (int end = 0; end < END_COUNT; end++)
			n += p->ended[stage][end];
	return n;
}

/* Honest ones may finish what they have begun when all is over; so no clock decides a test. */
static struct actor twenty(void)
{
	return (struct actor){
		.name = "twenty",
		.honest = true,
		.service = SERVICE_SMTP,
		.addresses = 20,
		.visits = 1,
		.even = true,
		.parallel = 20,
		.patience = PATIENCE,
	};
}

static const char *const polite[] = { "expect 220", "send EHLO {address}", "expect 250",
				      "done",	    "send QUIT",	   "expect 2" };

static void each_visit_is_counted_once_from_its_beginning_to_its_end(void **state)
{
	struct server s = start(GREETS);
	struct actor a = twenty();
	struct rehearsal *r = prepare(s.port, &a, polite, COUNT_OF(polite));
	uint64_t begun = 0, done = 0, ended = 0;

	(void)state;
	rehearse(r);
	assert_int_equal(r->sum.due, 20);
	assert_int_equal(r->sum.begun, 20);
	assert_int_equal(r->sum.done, 20);
	assert_int_equal(r->sum.skipped + r->sum.again + r->sum.breaches, 0);
	assert_int_equal(r->sum.ended[STAGE_HELO][END_DONE], 20);
	assert_int_equal(all_ended(&r->sum), 20);
	assert_int_equal(r->sum.heard[STAGE_CONNECT][0], 20);
	assert_int_equal(r->sum.bytes_in, 20 * (11 + 10 + 10));
	assert_in_range(r->sum.open_most, 1, 20);
	assert_true(r->sum.latency_most > 0 && r->sum.latency_most < PATIENCE);
	assert_true(tally_quantile(&r->sum, 0.5) > 0);
	for (unsigned i = 0; i < BUCKETS_MAX; i++) {
		struct tally_bucket b;

		tally_sum_bucket(&r->tally, 0, i, &b);
		begun += b.begun;
		done += b.done;
		if (ended == 20)
			assert_int_equal(b.open, 0);
		for (size_t k = 0; k < sizeof(b.ended) / sizeof(uint32_t); k++)
			ended += b.ended[k / END_COUNT][k % END_COUNT];
	}
	assert_int_equal(begun, 20);
	assert_int_equal(done, 20);
	assert_true(r->tally.cpu[1] > 0);
	release(r);
	stop(&s);
}

static void two_workers_share_the_visits(void **state)
{
	struct server s = start(GREETS);
	struct actor a = twenty();
	struct rehearsal *r = prepare(s.port, &a, polite, COUNT_OF(polite));

	(void)state;
	r->plan.workers = 2;
	r->plan.honest_apart = false;
	rehearse(r);
	assert_int_equal(r->sum.done, 20);
	assert_int_equal(tally_at(&r->tally, 0, 0)->phases[PHASE_QUIET].done, 10);
	assert_int_equal(tally_at(&r->tally, 1, 0)->phases[PHASE_QUIET].done, 10);
	release(r);
	stop(&s);
}

static void a_visit_ends_as_its_server_ends_it(void **state)
{
	static const char *const greeted[] = { "expect 220", "close" };
	static const char *const sender[] = { "expect 220", "body 4m", "expect 250" };
	static const struct {
		const char *why;
		enum manner manner;
		const char *const *lines;
		size_t n;
		enum stage stage;
		enum end end;
	} rows[] = {
		{ "greets", GREETS, greeted, 2, STAGE_CONNECT, END_DONE },
		{ "refuses", REFUSES, greeted, 2, STAGE_CONNECT, END_NO },
		{ "resets", RESETS, greeted, 2, STAGE_CONNECT, END_DROPPED },
		{ "is away", IS_AWAY, greeted, 2, STAGE_CONNECT, END_DROPPED },
		{ "refuses early", REFUSES_EARLY, sender, 3, STAGE_BODY, END_NO },
		{ "reads slowly", READS_SLOWLY, sender, 3, STAGE_BODY, END_DONE },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct server s = start(rows[i].manner);
		struct actor a = twenty();
		struct rehearsal *r;

		if (rows[i].manner ==
		    READS_SLOWLY) /* it is not quick, and must be through */
			a.addresses = a.parallel = 1;
		if (rows[i].manner == IS_AWAY)
			waitpid(s.pid, NULL, 0);
		r = prepare(s.port, &a, rows[i].lines, rows[i].n);
		rehearse(r);
		expect_number(rows[i].why, (int64_t)r->sum.begun, a.addresses);
		expect_number(rows[i].why, (int64_t)all_ended(&r->sum), a.addresses);
		expect_number(rows[i].why,
			      (int64_t)r->sum.ended[rows[i].stage][rows[i].end],
			      a.addresses);
		expect_number(rows[i].why, r->tally.refused_connects[1],
			      rows[i].manner == IS_AWAY ? 20 : 0);
		release(r);
		if (rows[i].manner != IS_AWAY)
			stop(&s);
	}
}

static void who_hears_nothing_goes_after_its_patience(void **state)
{
	static const char *const lines[] = { "expect 220", "close" };
	struct server s = start(SAYS_NOTHING);
	struct actor a = twenty();
	struct rehearsal *r;
	pid_t pids[3];

	(void)state;
	a.patience = 100;
	a.visits = 150; /* as many at once as above, until enough have gone */
	r = prepare_for(150 * 400, s.port, &a, lines, 2);
	begin(r, pids);
	for (int i = 0; r->sum.ended[STAGE_CONNECT][END_SILENT] < 10 && i < PATIENCE; i++) {
		usleep(1000);
		sum_up(r);
	}
	*r->tally.stop = 1;
	await(r, pids);
	assert_true(r->sum.ended[STAGE_CONNECT][END_SILENT] >= 10);
	assert_int_equal(r->sum.ended[STAGE_CONNECT][END_SILENT] +
				 r->sum.ended[STAGE_CONNECT][END_OVER],
			 r->sum.begun);
	assert_true(isnan(tally_quantile(&r->sum, 0.5)));
	release(r);
	stop(&s);
}

static void who_stays_goes_home_when_the_attack_is_over(void **state)
{
	static const char *const lines[] = { "expect 220", "hold" };
	struct server s = start(GREETS);
	struct actor a = twenty();
	struct rehearsal *r;

	(void)state;
	a.visits = 0;
	a.honest = false;
	r = prepare_for(1500, s.port, &a, lines, 2);
	rehearse(r);
	assert_int_equal(r->sum.begun, 20);
	assert_int_equal(r->sum.open_most, 20);
	assert_int_equal(r->sum.ended[STAGE_CONNECT][END_OVER], 20);
	release(r);
	stop(&s);
}

static void what_no_descriptor_is_left_for_is_counted_as_that(void **state)
{
	static const char *const lines[] = { "hold" };
	struct server s = start(SAYS_NOTHING);
	struct actor a = twenty();
	struct rehearsal *r;

	(void)state;
	a.patience = 1500;
	r = prepare(s.port, &a, lines, 1);
	r->plan.sessions_max = 15;
	rehearse(r);
	assert_int_equal(r->sum.due, 20);
	assert_int_equal(r->sum.begun, 15);
	assert_int_equal(r->sum.skipped, 5);
	assert_int_equal(r->sum.no_port, 5);
	assert_int_equal(all_ended(&r->sum), 15);
	release(r);
	stop(&s);
}

static void honest_visits_are_kept_one_by_one(void **state)
{
	struct server s = start(GREETS);
	struct actor a = twenty();
	struct rehearsal *r;
	struct tally_actor *kept;

	(void)state;
	r = prepare(s.port, &a, polite, COUNT_OF(polite));
	rehearse(r);
	kept = tally_at(&r->tally, 1, 0); /* of the worker that is theirs alone */
	assert_int_equal(kept->samples_n, 20);
	assert_int_equal(tally_at(&r->tally, 0, 0)->samples_n, 0);
	for (unsigned i = 0; i < kept->samples_n; i++) {
		const struct tally_sample *one = &kept->samples[i];

		assert_int_equal(one->end, END_DONE);
		assert_int_equal(one->phase, PHASE_QUIET);
		assert_int_equal(one->due_ms % 20, 0);
		assert_in_range(one->due_ms, 0, 380);
		assert_in_range(one->latency_us, 1, PATIENCE * 1000);
	}
	assert_int_equal(r->sum.done, 20);
	release(r);
	stop(&s);
}

static void the_time_of_a_visit_runs_from_when_it_was_due(void **state)
{
	struct server s = start(GREETS);
	struct actor a = twenty();
	struct rehearsal *r;

	(void)state;
	r = prepare(s.port, &a, polite, COUNT_OF(polite));
	r->tally.began -= 300; /* the worker comes late */
	rehearse(r);
	assert_int_equal(r->sum.done, 20);
	assert_true(r->sum.latency_most >= 300);
	assert_true(tally_quantile(&r->sum, 0.5) > 50);
	release(r);
	stop(&s);
}

static void or_from_where_its_dialogue_says_that_it_begins(void **state)
{
	static const char *const patient[] = { "expect 220", "wait 300ms", "begin",
					       "done" };
	struct server s = start(GREETS);
	struct actor a = twenty();
	struct rehearsal *r;

	(void)state;
	r = prepare(s.port, &a, patient, COUNT_OF(patient));
	rehearse(r);
	assert_int_equal(r->sum.done, 20);
	assert_true(r->sum.latency_most < 300);
	release(r);
	stop(&s);
}

static void dialogues_with_tls_come_through(void **state)
{
	static const char *const starttls[] = {
		"expect 220",	       "send EHLO a.example", "expect 250",
		"send STARTTLS",       "expect 220",	      "tls",
		"send EHLO a.example", "expect 250",	      "done",
		"send QUIT",	       "expect 221",
	};
	static const char *const implicit[] = { "expect 220", "send EHLO a.example",
						"expect 250", "done" };

	(void)state;
	for (int k = 0; k < 2; k++) {
		const struct canned_options o = {
			.address = "127.0.0.1",
			.speaks = SPEAKS_SMTP,
			.processes = 1,
			.tls = true,
			.implicit_tls = k == 1,
		};
		struct actor a = twenty();
		struct rehearsal *r;
		struct canned c;
		struct err e;

		if (!canned_start(&c, &o, &e))
			fail_msg("%s", e.text);
		a.service = k ? SERVICE_SUBMISSIONS : SERVICE_SMTP;
		r = k ? prepare(c.port, &a, implicit, COUNT_OF(implicit))
		      : prepare(c.port, &a, starttls, COUNT_OF(starttls));
		rehearse(r);
		assert_int_equal(r->sum.done, 20);
		assert_int_equal(all_ended(&r->sum), 20);
		assert_int_equal(r->sum.ended[STAGE_HELO][END_DONE], 20);
		release(r);
		canned_stop(&c, NULL);
	}
}

static void no_tls_where_tls_was_asked_for_is_a_fault(void **state)
{
	static const char *const lines[] = { "expect 220", "close" };
	struct server s = start(GREETS);
	struct actor a = twenty();
	struct rehearsal *r;

	(void)state;
	a.service = SERVICE_SUBMISSIONS;
	r = prepare(s.port, &a, lines, 2);
	rehearse(r);
	assert_int_equal(r->sum.begun, 20);
	assert_int_equal(r->sum.ended[STAGE_CONNECT][END_FAULT], 20);
	release(r);
	stop(&s);
}

static void a_worker_that_is_told_to_stop_does_not_begin(void **state)
{
	static const char *const lines[] = { "expect 220", "hold" };
	struct server s = start(GREETS);
	struct actor a = twenty();
	struct rehearsal *r;

	(void)state;
	a.visits = 0;
	a.honest = false;
	r = prepare(s.port, &a, lines, 2);
	*r->tally.stop = 1;
	rehearse(r);
	assert_int_equal(r->sum.begun, 0);
	release(r);
	stop(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_visit_is_counted_once_from_its_beginning_to_its_end),
		cmocka_unit_test(two_workers_share_the_visits),
		cmocka_unit_test(a_visit_ends_as_its_server_ends_it),
		cmocka_unit_test(who_hears_nothing_goes_after_its_patience),
		cmocka_unit_test(who_stays_goes_home_when_the_attack_is_over),
		cmocka_unit_test(what_no_descriptor_is_left_for_is_counted_as_that),
		cmocka_unit_test(honest_visits_are_kept_one_by_one),
		cmocka_unit_test(the_time_of_a_visit_runs_from_when_it_was_due),
		cmocka_unit_test(or_from_where_its_dialogue_says_that_it_begins),
		cmocka_unit_test(dialogues_with_tls_come_through),
		cmocka_unit_test(no_tls_where_tls_was_asked_for_is_a_fault),
		cmocka_unit_test(a_worker_that_is_told_to_stop_does_not_begin),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
