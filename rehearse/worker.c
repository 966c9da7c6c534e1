#include "rehearse/worker.h"

#include <arpa/inet.h>
#include <errno.h>
#include <math.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "rehearse/client.h"

#define EVENTS	      512
#define BEGIN_MOST    256 /* of one actor, before it is the turn of others */
#define HOME_MOST     1024
#define LOOK_MS	      100   /* at whether we should stop */
#define PATIENCE_MOST 10000 /* ms for visits under way when all is over */

struct worker {
	const struct plan *plan; /* borrowed */
	unsigned index;
	struct clients hall;
	uint32_t going_home; /* where clients_send_home() goes on */
	double ends;	     /* ms: nothing begins from then on */
	bool stopping;
};

/* What a signal can reach. */
static volatile int *stop_for_all;

static void on_signal(int signo)
{
	(void)signo;
	if (stop_for_all)
		*stop_for_all = 1;
}

static void obey_signals(struct tally *t)
{
	const struct sigaction a = { .sa_handler = on_signal };

	stop_for_all = t->stop;
	sigaction(SIGTERM, &a, NULL);
	sigaction(SIGINT, &a, NULL);
	signal(SIGPIPE, SIG_IGN);
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	if (getppid() == 1) /* it died before we could say that */
		*t->stop = 1;
}

/* What helps if it can be had. */
static void find_a_place(const struct plan *p, bool honest)
{
	struct rlimit r;
	cpu_set_t set;

	if (getrlimit(RLIMIT_NOFILE, &r) == 0) {
		r.rlim_cur = r.rlim_max;
		setrlimit(RLIMIT_NOFILE, &r);
	}
	CPU_ZERO(&set);
	for (size_t i = 0; i < p->cores_n; i++)
		if (p->cores[i] >= 0 && p->cores[i] < CPU_SETSIZE)
			CPU_SET((size_t)p->cores[i], &set);
	if (p->cores_n)
		sched_setaffinity(0, sizeof(set), &set);
	if (honest) {
		setpriority(PRIO_PROCESS, 0, -5);
		prctl(PR_SET_TIMERSLACK, 1UL);
	}
}

/* Roles. */

static bool says(struct span text, const char *word)
{
	return text.n && memmem(text.p, text.n, word, strlen(word));
}

/* Does anything that this actor sends ask for the value? */
static bool asks_for(const struct actor *a, const char *word)
{
	for (size_t i = 0; i < a->script.n; i++)
		if (says(a->script.steps[i].text, word))
			return true;
	for (size_t i = 0; i < a->values_n; i++)
		for (size_t k = 0; k < a->values[i].words.n; k++)
			if (says(a->values[i].words.items[k], word))
				return true;
	return false;
}

static void name_target(struct visitor *who, const struct target *t)
{
	if (t->to.ss_family == AF_INET6) {
		const struct sockaddr_in6 *v6 = (const void *)&t->to;

		inet_ntop(AF_INET6, &v6->sin6_addr, who->to, sizeof(who->to));
		who->to_port = ntohs(v6->sin6_port);
	} else {
		const struct sockaddr_in *v4 = (const void *)&t->to;

		inet_ntop(AF_INET, &v4->sin_addr, who->to, sizeof(who->to));
		who->to_port = ntohs(v4->sin_port);
	}
}

/* Actor i, and the share of it that is this worker's. */
static bool cast(struct worker *w, unsigned i, unsigned share, unsigned shares,
		 struct err *e)
{
	const struct plan *p = w->plan;
	const struct actor *a = &p->scenario->actors[i];
	const struct tally *t = p->tally;
	struct role *r = &w->hall.roles[i];
	ms_t from = t->began + (a->honest ? 0 : t->ends[PHASE_QUIET]);
	ms_t to = t->began + t->ends[a->honest ? PHASE_AFTER : PHASE_ATTACK];

	*r = (struct role){ .actor = a,
			    .target = &p->targets[a->service],
			    .pool = p->pool };
	r->pool.values = a->values;
	r->pool.values_n = a->values_n;
	r->who.actor = i;
	r->cut = (double)to;
	if (a->honest)
		r->cut += (double)(a->patience < PATIENCE_MOST ? a->patience
							       : PATIENCE_MOST);
	if (w->ends < (double)to)
		w->ends = (double)to;
	name_target(&r->who, r->target);
	r->tells_address = asks_for(a, "{address}");
	r->tells_port = asks_for(a, "{port}");
	return crowd_open(&r->crowd, a, i, share, shares, p->seed, from, to, e);
}

static bool cast_all(struct worker *w, struct err *e)
{
	const struct plan *p = w->plan;
	bool honest_here = p->honest_apart && w->index == p->workers;

	w->hall.roles_n = (unsigned)p->scenario->actors_n;
	for (unsigned i = 0; i < w->hall.roles_n; i++) {
		bool honest = p->scenario->actors[i].honest;

		if (!p->actor_on[i] || (p->honest_apart && honest != honest_here))
			continue;
		if (!cast(w, i, honest_here ? 0 : w->index, honest_here ? 1 : p->workers,
			  e))
			return false;
	}
	return true;
}

/* Visits begin. When the next one is due, or what is due now was too much for one go. */
static double begin_visits(struct worker *w)
{
	struct clients *h = &w->hall;
	double next = (double)MS_NEVER;

	for (unsigned i = 0; i < h->roles_n && !h->spent; i++) {
		struct role *r = &h->roles[i];
		enum crowd_next what = CROWD_VISIT;
		struct crowd_visit v;
		double until = (double)MS_NEVER;

		if (!r->actor || w->stopping)
			continue;
		for (unsigned n = 0; n < BEGIN_MOST && what != CROWD_WAIT; n++) {
			struct counted as = { .actor = i };

			what = crowd_next(&r->crowd, h->now, &v, &until);
			if (what == CROWD_WAIT)
				break;
			as.phase = counts_phase(&h->counts, v.due);
			if (r->crowd.rate > 0)
				counts_due(&h->counts, as);
			if (what == CROWD_VISIT)
				client_begin(h, i, &v);
			else
				counts_skipped(&h->counts, as);
		}
		next = fmin(next, what == CROWD_WAIT ? until : h->now);
	}
	return next;
}

/* Whose time is over? When to look again. */
static double end_visits(struct worker *w)
{
	struct clients *h = &w->hall;
	double next = (double)MS_NEVER;
	bool any = false;

	for (unsigned i = 0; i < h->roles_n; i++) {
		struct role *r = &h->roles[i];

		if (!r->actor)
			continue;
		if (w->stopping)
			r->cut = h->now;
		r->crowd.over = r->cut <= h->now;
		if (r->crowd.open && r->crowd.over)
			any = true;
		else if (r->crowd.open)
			next = fmin(next, r->cut);
	}
	if (!any)
		return next;
	clients_send_home(h, &w->going_home, HOME_MOST);
	return h->now;
}

static void wait_until(struct worker *w, double until)
{
	static struct epoll_event events[EVENTS];
	struct clients *h = &w->hall;
	double ms = fmax(0, until - h->now);
	struct timespec t = { .tv_sec = (time_t)(ms / 1000) };
	int n;

	t.tv_nsec = (long)((ms - (double)t.tv_sec * 1000) * 1e6);
	n = epoll_pwait2(h->poller, events, EVENTS, &t, NULL);
	if (n < 0 && errno == ENOSYS) /* before Linux 5.11 */
		n = epoll_wait(h->poller, events, EVENTS, (int)ceil(ms));
	clients_look_up(h);
	for (int i = 0; i < n; i++)
		client_event(h, events[i].data.u64, events[i].events);
}

static void play(struct worker *w)
{
	struct clients *h = &w->hall;

	for (;;) {
		double until;

		clients_look_up(h);
		until = fmin(counts_turn(&h->counts, h->now), h->now + LOOK_MS);
		if (*w->plan->tally->stop || h->spent)
			w->stopping = h->cut_short = true;
		until = fmin(until, begin_visits(w));
		clients_wake(h);
		until = fmin(until, end_visits(w));
		if (h->used == 0 && (w->stopping || h->now >= w->ends))
			break;
		if (timers_next(&h->timers) != MS_NEVER)
			until = fmin(until, (double)timers_next(&h->timers));
		wait_until(w, until);
	}
	for (unsigned i = 0; i < h->roles_n; i++)
		h->roles[i].crowd.over = true;
	while (begin_visits(w) <= h->now) /* were due, and had no room until the end */
		;
	counts_cpu(&h->counts);
}

int worker_run(const struct plan *p, unsigned worker)
{
	static struct worker w;
	struct err e;
	bool well = true;

	w = (struct worker){ .plan = p, .index = worker };
	obey_signals(p->tally);
	find_a_place(p, p->honest_apart && worker == p->workers);
	if (!clients_open(&w.hall, p->sessions_max, &e)) {
		well = false;
	} else {
		counts_init(&w.hall.counts, p->tally, worker);
		w.hall.seed = p->seed;
		well = cast_all(&w, &e);
	}
	if (!well)
		fprintf(stderr, "holdfast-rehearse: %s\n", e.text);
	else
		play(&w);
	well = well && !w.hall.spent;
	for (unsigned i = 0; i < w.hall.roles_n; i++)
		crowd_close(&w.hall.roles[i].crowd);
	clients_close(&w.hall);
	return well ? 0 : 1;
}
