/*
 * made_up - a run that never was: a scenario, a tally and a result to fill in
 *
 * Two attackers and two honest actors, two workers; one second of warm, ten of quiet, forty of
 * attack, ten of after. Nothing has happened in it until a test says so.
 */
#ifndef TESTS_REHEARSE_MADE_UP_H
#define TESTS_REHEARSE_MADE_UP_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "rehearse/result.h"

enum { BOTS, LONE, REGULAR, NEWCOMER, MADE_UP_ACTORS };

#define MADE_UP_WORKERS 2

struct made_up {
	struct scenario scenario;
	struct step steps[2]; /* of the bots, to be changed */
	struct tally tally;
	struct result result;
};

static inline struct made_up *made_up_open(void)
{
	static const ms_t phases[PHASE_COUNT] = { 1000, 10000, 40000, 10000 };
	static const bool honest[MADE_UP_ACTORS] = { [REGULAR] = true, [NEWCOMER] = true };
	struct made_up *m = calloc(1, sizeof(*m));
	struct err e;

	assert_non_null(m);
	m->scenario = (struct scenario){
		.id = "T1",
		.title = "A test",
		.about = "Nothing happens.",
		.ends = "Nothing is broken.",
		.actors = {
			[BOTS] = { .name = "bots", .title = "many bots", .addresses = 10000,
				   .parallel = 2000 },
			[LONE] = { .name = "lone", .title = "a lone attacker", .addresses = 1,
				   .parallel = 100 },
			[REGULAR] = { .name = "regular", .title = "known sender",
				      .honest = true, .addresses = 4, .parallel = 10 },
			[NEWCOMER] = { .name = "newcomer", .title = "new sender",
				       .honest = true, .addresses = 50, .parallel = 10 },
		},
		.actors_n = MADE_UP_ACTORS,
	};
	m->scenario.actors[BOTS].script = (struct script){ .steps = m->steps, .n = 2 };
	m->steps[0].kind = STEP_EXPECT;
	m->steps[1].kind = STEP_CLOSE;
	memcpy(m->scenario.phase, phases, sizeof(phases));
	if (!tally_open(&m->tally, MADE_UP_WORKERS, MADE_UP_ACTORS, honest, phases, &e))
		fail_msg("%s", e.text);
	m->result = (struct result){
		.scenario = &m->scenario,
		.tally = &m->tally,
		.server_name = "made up",
		.target = "127.0.0.1:25",
		.started = "2026-01-02T03:04:05Z",
		.seed = 7,
		.scale = 1,
		.workers = 1,
		.complete = true,
	};
	for (int i = 0; i < PHASE_COUNT; i++)
		m->result.edges[i + 1].at = m->tally.ends[i];
	return m;
}

static inline void made_up_close(struct made_up *m)
{
	tally_close(&m->tally);
	free(m->result.looks);
	free(m);
}

/* What a worker counted; 0 and 1 are to be added up. */
static inline struct tally_phase *counted(struct made_up *m, unsigned worker,
					  unsigned actor, enum phase p)
{
	return &tally_at(&m->tally, worker, actor)->phases[p];
}

/* n visits that were due, began, and got what they came for after so many ms. */
static inline void add_done(struct made_up *m, unsigned actor, enum phase p, unsigned n,
			    double ms)
{
	struct tally_phase *c = counted(m, actor % MADE_UP_WORKERS, actor, p);

	c->due += n;
	c->begun += n;
	c->done += n;
	c->ended[STAGE_BODY][END_DONE] += n;
	c->latency[tally_slot((uint64_t)(ms * 1000))] += n;
	if (c->latency_most < ms)
		c->latency_most = ms;
}

/* n visits that were due, began, and ended so. */
static inline void add_ended(struct made_up *m, unsigned actor, enum phase p, unsigned n,
			     enum stage s, enum end e)
{
	struct tally_phase *c = counted(m, actor % MADE_UP_WORKERS, actor, p);

	c->due += n;
	c->begun += n;
	c->ended[s][e] += n;
}

static inline void add_heard(struct made_up *m, unsigned actor, enum phase p, unsigned n,
			     enum stage s, int kind)
{
	counted(m, 0, actor, p)->heard[s][kind] += n;
}

/* Each bucket of the attack between two shares of it: so many begun, so many open. */
static inline void add_in_time(struct made_up *m, unsigned actor, double from, double to,
			       unsigned begun, unsigned open)
{
	ms_t start = m->tally.ends[PHASE_QUIET];
	double length = (double)(m->tally.ends[PHASE_ATTACK] - start);

	for (unsigned b = 0; b < BUCKETS_MAX; b++) {
		double middle = ((double)b + 0.5) * (double)m->tally.bucket -
				(double)start;
		struct tally_actor *a = tally_at(&m->tally, b % MADE_UP_WORKERS, actor);

		if (middle < from * length || middle >= to * length)
			continue;
		a->buckets[b].begun += begun;
		a->buckets[b].open += open;
		a->phases[PHASE_ATTACK].begun += begun;
	}
}

/* A server that was watched, with nothing of interest. */
static inline void add_server(struct made_up *m)
{
	struct result *r = &m->result;

	r->has_server = true;
	r->server_alive = true;
	snprintf(r->cpu_from, sizeof(r->cpu_from), "/proc");
	snprintf(r->kernel_from, sizeof(r->kernel_from), "its control group");
	for (int i = 0; i <= PHASE_COUNT; i++)
		r->edges[i].look = (struct server_look){
			.has = SERVER_HAS_CPU | SERVER_HAS_PSS | SERVER_HAS_KERNEL |
			       SERVER_HAS_FDS | SERVER_HAS_LOG | SERVER_HAS_WRITTEN,
			.pss = 10 << 20,
			.kernel = 1 << 20,
			.fds = 20,
			.processes = 5,
		};
}

static inline struct timed_look *add_look(struct made_up *m, ms_t at)
{
	struct result *r = &m->result;

	r->looks = realloc(r->looks, (r->looks_n + 1) * sizeof(*r->looks));
	assert_non_null(r->looks);
	r->looks[r->looks_n] = (struct timed_look){ .at = at,
						    .look = r->edges[PHASE_ATTACK].look };
	return &r->looks[r->looks_n++];
}

static inline void add_promise(struct made_up *m, const char *word)
{
	m->scenario.promises[m->scenario.promises_n++] = (struct promise){ .word = word };
}

#endif
