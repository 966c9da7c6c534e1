#include "rehearse/conduct.h"

#include <arpa/inet.h>
#include <errno.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "rehearse/canned.h"
#include "rehearse/worker.h"

#define TICK_MS	       100   /* how often the conductor looks around */
#define LOOK_MS	       500   /* at the server's CPU */
#define MEMORY_MS      1000  /* at its memory, which costs more */
#define PROBE_MS       1000  /* whether anybody is there, when connects are refused */
#define PROBES_DEAD    3     /* so many in a row that found nobody */
#define START_MS       30000 /* for the server to answer the first time */
#define GREETING_MS    15000 /* postscreen lets a stranger wait for six seconds */
#define DRAIN_MS       12000 /* after the last phase, for visits under way */
#define SPARE_SESSIONS 256   /* of a worker, for those that are just ending */
#define KILL_MS	       3000  /* for a worker to obey */

static volatile sig_atomic_t stopped;

static void on_signal(int signo)
{
	(void)signo;
	stopped = 1;
}

static ms_t clock_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (ms_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void nap(ms_t ms)
{
	nanosleep(&(struct timespec){ .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000 },
		  NULL);
}

/* What a run needs beside the plan. */
struct stage_hands {
	struct plan plan;
	struct tally *tally;
	pid_t pids[WORKERS_MAX];
	unsigned started; /* workers */
};

/* Before anything is played. */

/* What this actor asks for and the command line did not give; NULL: it can play. */
static const char *lacks(const struct actor *a, const struct conduct_options *o,
			 char *room, size_t n)
{
	if (!o->targets[a->service].set) {
		snprintf(room, n, "--%s HOST:PORT", service_word(a->service));
		return room;
	}
	if (!o->recipients_n && a->script.needs_recipients)
		return "--recipient ADDRESS (one that exists there)";
	if (!o->logins_n && a->script.needs_logins)
		return "--login USER:PASSWORD";
	return NULL;
}

/* Who plays. Attackers must be able to; honest ones that cannot are left out, and it is said. */
static bool cast(const struct scenario *s, const struct conduct_options *o,
		 struct plan *p, struct err *e)
{
	char room[64];

	for (unsigned i = 0; i < s->actors_n; i++) {
		const struct actor *a = &s->actors[i];
		const char *missing = lacks(a, o, room, sizeof(room));

		if (missing && !a->honest)
			return err_set(e, "%s needs %s for its %s", s->id, missing,
				       a->name);
		if (missing)
			fprintf(stderr,
				"holdfast-rehearse: left out beside the attack: %s, needs %s\n",
				a->name, missing);
		p->actor_on[i] = !missing;
		if (!missing && !source_check(i, a, &o->targets[a->service], e))
			return false;
	}
	return true;
}

static unsigned attackers_sessions(const struct scenario *s, const struct plan *p)
{
	uint64_t n = 0;

	for (unsigned i = 0; i < s->actors_n; i++)
		if (p->actor_on[i] && !s->actors[i].honest)
			n += s->actors[i].parallel;
	return n > UINT32_MAX ? UINT32_MAX : (unsigned)n;
}

static uint64_t descriptors(void)
{
	struct rlimit r = { 1024, 1024 };

	if (getrlimit(RLIMIT_NOFILE, &r) == 0 && r.rlim_cur < r.rlim_max) {
		r.rlim_cur = r.rlim_max;
		if (setrlimit(RLIMIT_NOFILE, &r) < 0)
			getrlimit(RLIMIT_NOFILE, &r);
	}
	return r.rlim_cur;
}

/* As many workers as the descriptors ask for. */
static bool share_out(const struct scenario *s, unsigned wanted, struct plan *p,
		      struct err *e)
{
	uint64_t most = descriptors(), sessions = attackers_sessions(s, p), honest = 0;
	uint64_t room = most > SPARE_FDS ? most - SPARE_FDS : 0;
	uint64_t workers = wanted ? wanted
			   : room ? (sessions + room - 1) / room
				  : WORKERS_MAX;

	for (unsigned i = 0; i < s->actors_n; i++)
		if (p->actor_on[i] && s->actors[i].honest)
			honest += s->actors[i].parallel;
	workers = workers ? workers : 1;

	uint64_t each = (sessions + workers - 1) / workers;

	if (each < honest)
		each = honest;
	if (sessions > SESSIONS_MAX)
		return err_set(e, "%llu sessions at once are more than %d; see --scale",
			       (unsigned long long)sessions, SESSIONS_MAX);
	if (workers > WORKERS_MAX - 1 || each > room)
		return err_set(
			e,
			"%llu sessions in %llu process%s need %llu descriptors each, and this "
			"shell allows %llu. %s `ulimit -n %llu` as root raises it (for good: "
			"nofile in /etc/security/limits.conf), or try --scale",
			(unsigned long long)sessions, (unsigned long long)workers,
			workers == 1 ? "" : "es", (unsigned long long)each + SPARE_FDS,
			(unsigned long long)most,
			wanted ? "Without --workers as many are started as it takes." : "",
			(unsigned long long)each + SPARE_FDS);
	p->workers = (unsigned)workers;
	each += SPARE_SESSIONS;
	p->sessions_max = (unsigned)(each < room ? each : room);
	return true;
}

enum answer { ANSWER_YES, ANSWER_NOBODY, ANSWER_SILENT };

/* Does anybody answer there? With a greeting, if one is wanted. */
static enum answer knock(const struct target *t, bool greeting, ms_t patience)
{
	int fd = socket(t->to.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	enum answer answer = ANSWER_SILENT;
	struct pollfd p = { .fd = fd, .events = POLLOUT };
	int why = 0;
	socklen_t n = sizeof(why);
	char byte;

	if (fd < 0)
		return ANSWER_SILENT;
	if (!target_allowed((const struct sockaddr *)&t->to))
		goto out;
	if (connect(fd, (const struct sockaddr *)&t->to, t->to_n) < 0 &&
	    errno != EINPROGRESS) {
		answer = errno == ECONNREFUSED ? ANSWER_NOBODY : ANSWER_SILENT;
		goto out;
	}
	if (poll(&p, 1, (int)patience) != 1 ||
	    getsockopt(fd, SOL_SOCKET, SO_ERROR, &why, &n) < 0)
		goto out;
	if (why) {
		answer = why == ECONNREFUSED ? ANSWER_NOBODY : ANSWER_SILENT;
		goto out;
	}
	p.events = POLLIN;
	if (!greeting || (poll(&p, 1, (int)patience) == 1 && recv(fd, &byte, 1, 0) == 1))
		answer = ANSWER_YES;
out:
	close(fd);
	return answer;
}

/* Every target that is used must answer, a server that we started within START_MS. */
static bool all_answer(const struct scenario *s, const struct conduct_options *o,
		       const struct plan *p, struct err *e)
{
	ms_t until = clock_ms() + (o->launched ? START_MS : 0);

	for (unsigned i = 0; i < s->actors_n; i++) {
		const struct target *t = &o->targets[s->actors[i].service];
		bool greeting = !service_tls(s->actors[i].service);
		enum answer a;

		if (!p->actor_on[i])
			continue;
		while ((a = knock(t, greeting, GREETING_MS)) != ANSWER_YES &&
		       clock_ms() < until && !stopped &&
		       (!o->launched || waitpid(o->pids[0], NULL, WNOHANG) == 0))
			nap(TICK_MS);
		if (a != ANSWER_YES)
			return err_set(
				e,
				"%s at %s: %s. Is the server running, and is that its port?",
				service_word(s->actors[i].service), t->text,
				a == ANSWER_NOBODY ? "connection refused"
						   : "no answer within 15 s");
	}
	return true;
}

/* Processes. */

static bool set_out(struct stage_hands *h, unsigned worker, struct err *e)
{
	pid_t pid;

	fflush(NULL);
	pid = fork();
	if (pid == 0)
		_exit(worker_run(&h->plan, worker));
	if (pid < 0)
		return err_set(e, "fork: %s", strerror(errno));
	h->pids[h->started++] = pid;
	return true;
}

/* Those that have ended are forgotten. False if one did not end as it should. */
static bool all_well(struct stage_hands *h, struct err *e)
{
	bool well = true;
	int status;

	for (unsigned i = 0; i < h->started; i++) {
		if (h->pids[i] <= 0 || waitpid(h->pids[i], &status, WNOHANG) != h->pids[i])
			continue;
		h->pids[i] = 0;
		if (WIFSIGNALED(status))
			well = err_set(e, "a process of the generator died (%s)",
				       strsignal(WTERMSIG(status)));
		else if (WEXITSTATUS(status) != 0)
			well = err_set(e, "a process of the generator gave up; see above");
	}
	return well;
}

static bool any_left(const struct stage_hands *h)
{
	for (unsigned i = 0; i < h->started; i++)
		if (h->pids[i] > 0)
			return true;
	return false;
}

/* Wait for all to end by themselves for `patience`, then make them. */
static bool send_home(struct stage_hands *h, ms_t patience, struct err *e)
{
	ms_t until = clock_ms() + patience;
	bool well = all_well(h, e);

	while (any_left(h) && clock_ms() < until && !stopped) {
		nap(20);
		well = all_well(h, e) && well;
	}
	*h->tally->stop = 1;
	until = clock_ms() + KILL_MS;
	while (any_left(h) && clock_ms() < until) {
		nap(20);
		well = all_well(h, e) && well;
	}
	for (unsigned i = 0; i < h->started; i++)
		if (h->pids[i] > 0) {
			kill(h->pids[i], SIGKILL);
			waitpid(h->pids[i], NULL, 0);
		}
	h->started = 0;
	return well;
}

/* Of all processes of the generator, the conductor included. */
static double generator_cpu(const struct tally *t)
{
	struct rusage own;
	double sum = 0;

	for (unsigned i = 0; i < t->workers; i++)
		sum += t->cpu[i];
	if (getrusage(RUSAGE_SELF, &own) == 0)
		sum += (double)(own.ru_utime.tv_sec + own.ru_stime.tv_sec) +
		       (double)(own.ru_utime.tv_usec + own.ru_stime.tv_usec) / 1e6;
	return sum;
}

/* The ceiling: the same attackers against fixed answers. */

/* A shorter attack at the same rate. */
static void shorten(struct scenario *s, ms_t attack)
{
	for (size_t i = 0; i < s->actors_n; i++) {
		struct actor *a = &s->actors[i];

		if (a->visits && a->rate <= 0)
			a->rate = (double)a->addresses * a->visits * 1000 /
				  (double)s->phase[PHASE_ATTACK];
		a->visits = 0;
	}
	for (size_t i = 0; i < PHASE_COUNT; i++)
		s->phase[i] = i == PHASE_ATTACK ? attack : 0;
}

/* Canned servers in the place of all that attackers go to. */
static bool stand_ins(const struct scenario *s, struct plan *p, struct target *targets,
		      struct canned *canned, struct err *e)
{
	for (unsigned i = 0; i < s->actors_n; i++) {
		enum service service = s->actors[i].service;
		char text[64];

		if (s->actors[i].honest)
			p->actor_on[i] = false;
		if (!p->actor_on[i] || canned[service].pid)
			continue;

		struct canned_options o = {
			.address = targets[service].to.ss_family == AF_INET6 ? "::1"
									     : "127.0.0.1",
			.speaks = service_speaks(service),
			.processes = p->workers < WORKERS_MAX ? p->workers : WORKERS_MAX,
			.tls = true,
			.implicit_tls = service_tls(service),
		};

		if (!canned_start(&canned[service], &o, e))
			return false;
		snprintf(text, sizeof(text), strchr(o.address, ':') ? "[%s]:%u" : "%s:%u",
			 o.address, canned[service].port);
		if (!target_parse(&targets[service], text, service, e))
			return false;
	}
	return true;
}

static void sum_ceiling(const struct tally *t, const struct scenario *s, double seconds,
			struct ceiling *out)
{
	struct tally_phase *p = calloc(1, sizeof(*p));

	if (!p)
		return;
	out->measured = true;
	out->seconds = seconds;
	for (unsigned i = 0; i < s->actors_n; i++) {
		if (s->actors[i].honest)
			continue;
		tally_sum_phase(t, i, PHASE_ATTACK, p);
		out->opened += (double)p->begun / seconds;
		out->held += (double)p->open_most;
		for (int stage = 0; stage < STAGE_COUNT; stage++) {
			for (int kind = 0; kind < 3; kind++)
				out->replies += (double)p->heard[stage][kind] / seconds;
			for (int end = END_DONE; end <= END_NO; end++)
				out->visits += (double)p->ended[stage][end] / seconds;
		}
	}
	out->generator_cpu = generator_cpu(t);
	free(p);
}

static bool measure_ceiling(const struct scenario *scenario,
			    const struct conduct_options *o, const struct plan *plan,
			    struct ceiling *out, struct err *e)
{
	struct scenario *s = malloc(sizeof(*s));
	struct target targets[SERVICE_COUNT];
	struct canned canned[SERVICE_COUNT] = { 0 };
	struct tally tally = { 0 };
	struct stage_hands h = { .plan = *plan, .tally = &tally };
	const bool honest[ACTORS_MAX] = { false };
	bool ok = false;

	if (!s)
		return err_set(e, "out of memory");
	*s = *scenario; /* what it points to is not changed */
	shorten(s, (ms_t)(o->ceiling * 1000));
	memcpy(targets, o->targets, sizeof(targets));
	h.plan.scenario = s;
	h.plan.targets = targets;
	h.plan.tally = &tally;
	h.plan.honest_apart = false;
	if (!stand_ins(s, &h.plan, targets, canned, e) ||
	    !tally_open(&tally, h.plan.workers, (unsigned)s->actors_n, honest, s->phase, e))
		goto out;
	for (unsigned i = 0; i < h.plan.workers; i++)
		if (!set_out(&h, i, e)) {
			send_home(&h, 0, e);
			goto out;
		}
	ok = send_home(&h, s->phase[PHASE_ATTACK] + DRAIN_MS, e);
	if (ok)
		sum_ceiling(&tally, s, o->ceiling, out);
out:
	for (size_t i = 0; i < SERVICE_COUNT; i++)
		if (canned[i].pid)
			canned_stop(&canned[i], &out->canned_cpu);
	tally_close(&tally);
	free(s);
	return ok || err_within(e, "measuring the ceiling");
}

/* The play itself. */

struct play {
	struct stage_hands h;
	const struct conduct_options *o;
	struct result *r;
	struct server server;
	ms_t looked, looked_memory, probed, told;
	unsigned nobody; /* probes in a row that found nobody */
	size_t looks_cap;
	enum phase edge; /* the next border to look at */
	double cpu_at_edge;
	struct server_look last;
};

static ms_t since(const struct play *p)
{
	return clock_ms() - p->r->tally->began;
}

static void keep_look(struct play *p, ms_t at, bool memory)
{
	struct result *r = p->r;
	struct server_look look;

	server_look(&p->server, memory, &look);
	if (!memory) {
		look.pss = p->last.pss;
		look.pss_anon = p->last.pss_anon;
	}
	p->last = look;
	if (r->looks_n == p->looks_cap) {
		size_t cap = p->looks_cap ? p->looks_cap * 2 : 1024;
		struct timed_look *more = realloc(r->looks, cap * sizeof(*more));

		if (!more)
			return; /* fewer points in a plot */
		r->looks = more;
		p->looks_cap = cap;
	}
	r->looks[r->looks_n++] = (struct timed_look){ .at = at, .look = look };
}

/* A border between phases: what each cost is the difference between two of them. */
static void at_edge(struct play *p, enum phase e, ms_t now)
{
	double cpu = generator_cpu(p->r->tally);

	if (e > 0)
		p->r->generator_cpu[e - 1] = cpu - p->cpu_at_edge;
	p->cpu_at_edge = cpu;
	if (p->r->has_server) {
		keep_look(p, now, true);
		p->looked = p->looked_memory = now;
	}
	p->r->edges[e] = (struct timed_look){ .at = now, .look = p->last };
}

static void look_around(struct play *p, ms_t now)
{
	while (p->edge < PHASE_COUNT &&
	       (p->edge == 0 || now >= p->r->tally->ends[p->edge - 1]))
		at_edge(p, p->edge++, now);
	if (p->r->has_server && now - p->looked >= LOOK_MS) {
		bool memory = now - p->looked_memory >= MEMORY_MS;

		keep_look(p, now, memory);
		p->looked = now;
		if (memory)
			p->looked_memory = now;
	}
}

/* Is the server still there? Its processes if we know them, else somebody at its port. */
static bool still_there(struct play *p, ms_t now, struct err *e)
{
	const struct tally *t = p->r->tally;
	uint64_t refused = 0;

	if (p->r->has_server && !server_alive(&p->server))
		return err_set(e, "the server (process %d) is gone since %.1f s",
			       (int)p->o->pids[0], (double)now / 1000);
	if (now - p->probed < PROBE_MS)
		return true;
	p->probed = now;
	for (unsigned i = 0; i < t->workers; i++)
		refused += t->refused_connects[i];
	if (!refused) {
		p->nobody = 0;
		return true;
	}
	for (int s = 0; s < SERVICE_COUNT; s++) {
		const struct target *to = &p->o->targets[s];

		if (!to->set || knock(to, false, TICK_MS) != ANSWER_NOBODY)
			continue;
		if (++p->nobody >= PROBES_DEAD)
			return err_set(
				e,
				"nobody listens at %s any more since %.1f s: connection refused",
				to->text, (double)(now - PROBES_DEAD * PROBE_MS) / 1000);
		return true;
	}
	p->nobody = 0;
	return true;
}

/* One line about where we are, from the last whole bucket. */
static void tell(struct play *p, ms_t now, bool tty)
{
	const struct tally *t = p->r->tally;
	const struct scenario *s = p->r->scenario;
	unsigned at = tally_bucket_of(t, now);
	uint64_t begun = 0, open = 0, done = 0, failed = 0, refused[STAGE_COUNT] = { 0 };
	enum phase phase = tally_phase_of(t, now);
	double per_second = 1000.0 / (double)t->bucket;
	char stages[160] = "";
	size_t n = 0;

	if (at == 0)
		return;
	for (unsigned i = 0; i < s->actors_n; i++) {
		struct tally_bucket b;

		tally_sum_bucket(t, i, at - 1, &b);
		if (s->actors[i].honest)
			done += b.done;
		else
			begun += b.begun, open += b.open;
		for (int stage = 0; stage < STAGE_COUNT; stage++)
			for (int end = END_LATER; end < END_OVER; end++) {
				if (s->actors[i].honest)
					failed += b.ended[stage][end];
				else
					refused[stage] += b.ended[stage][end];
			}
	}
	for (int stage = 0; stage < STAGE_COUNT && n < sizeof(stages) - 32; stage++)
		if (refused[stage])
			n += (size_t)snprintf(stages + n, sizeof(stages) - n, " %s %.0f",
					      stage_word((enum stage)stage),
					      (double)refused[stage] * per_second);
	fprintf(stderr,
		"%s%5.1f/%.0f s  %-6s  attack: %.0f/s, %llu open, refused/s:%s  honest: %.0f/s, "
		"%.0f/s not  server: %.2f CPU-s, %llu MiB%s",
		tty ? "\r\033[K" : "", (double)now / 1000,
		(double)t->ends[PHASE_AFTER] / 1000,
		phase < PHASE_COUNT ? phase_word(phase) : "end",
		(double)begun * per_second, (unsigned long long)open, n ? stages : " none",
		(double)done * per_second, (double)failed * per_second, p->last.cpu,
		(unsigned long long)(p->last.pss >> 20), tty ? "" : "\n");
}

static void finish(struct play *p, ms_t now)
{
	struct result *r = p->r;

	while (p->edge <= PHASE_COUNT) /* also those it did not come to */
		at_edge(p, p->edge++, now);
	r->server_alive = !r->has_server || server_alive(&p->server);
}

static enum outcome watch(struct play *p, struct err *e)
{
	const struct tally *t = p->r->tally;
	bool tty = isatty(STDERR_FILENO);
	enum outcome went = OUTCOME_OK;
	ms_t now;

	while ((now = since(p)) < t->ends[PHASE_AFTER] && went == OUTCOME_OK) {
		look_around(p, now);
		if (stopped)
			went = (err_set(e, "stopped at %.1f s", (double)now / 1000),
				OUTCOME_STOPPED);
		else if (!still_there(p, now, e))
			went = OUTCOME_DIED;
		else if (!all_well(&p->h, e))
			went = OUTCOME_NO_ROOM;
		if (p->o->progress && now - p->told >= (tty ? 1000 : 5000)) {
			tell(p, now, tty);
			p->told = now;
		}
		nap(TICK_MS);
	}
	if (p->o->progress && tty)
		fputs("\r\033[K", stderr);

	bool well = send_home(&p->h, went == OUTCOME_OK ? DRAIN_MS : 0, e);

	finish(p, since(p));
	if (went == OUTCOME_OK && stopped)
		went = (err_set(e, "stopped at the end"), OUTCOME_STOPPED);
	if (went == OUTCOME_OK && !well)
		went = OUTCOME_NO_ROOM;
	if (went == OUTCOME_OK && !p->r->server_alive)
		went = (err_set(e, "the server died at the end"), OUTCOME_DIED);
	return went;
}

static void describe(const struct scenario *s, const struct conduct_options *o,
		     const struct plan *plan, struct result *r)
{
	time_t now = time(NULL);
	struct tm tm;
	size_t n = 0;

	r->scenario = s;
	snprintf(r->server_name, sizeof(r->server_name), "%s", o->name);
	for (unsigned i = 0; i < s->actors_n && !r->target[0]; i++)
		if (plan->actor_on[i])
			snprintf(r->target, sizeof(r->target), "%s",
				 o->targets[s->actors[i].service].text);
	if (gmtime_r(&now, &tm))
		strftime(r->started, sizeof(r->started), "%Y-%m-%dT%H:%M:%SZ", &tm);
	for (size_t i = 0; i < o->cores_n && n < sizeof(r->cores) - 8; i++)
		n += (size_t)snprintf(r->cores + n, sizeof(r->cores) - n, "%s%d",
				      i ? "," : "", o->cores[i]);
	r->seed = o->seed;
	r->scale = o->scale;
	r->workers = plan->workers;
	r->log_budget = o->log_budget;
}

static enum outcome perform(struct play *p, struct err *e)
{
	const struct scenario *s = p->r->scenario;
	bool honest[ACTORS_MAX];

	for (unsigned i = 0; i < s->actors_n; i++)
		honest[i] = s->actors[i].honest;
	if (p->o->pids_n) {
		if (!server_open(&p->server, p->o->pids, p->o->pids_n, p->o->logs,
				 p->o->logs_n, e))
			return OUTCOME_WRONG;
		p->r->has_server = true;
		snprintf(p->r->kernel_from, sizeof(p->r->kernel_from), "%s",
			 p->server.kernel_from);
		snprintf(p->r->cpu_from, sizeof(p->r->cpu_from), "%s", p->server.cpu_from);
	}
	if (!tally_open(p->h.tally, p->h.plan.workers + 1, (unsigned)s->actors_n, honest,
			s->phase, e))
		return OUTCOME_NO_ROOM;
	p->r->tally = p->h.tally;
	for (unsigned i = 0; i <= p->h.plan.workers; i++)
		if (!set_out(&p->h, i, e)) {
			send_home(&p->h, 0, e);
			return OUTCOME_NO_ROOM;
		}
	return watch(p, e);
}

static void catch_signals(void)
{
	const struct sigaction a = { .sa_handler = on_signal };

	sigaction(SIGINT, &a, NULL);
	sigaction(SIGTERM, &a, NULL);
	sigaction(SIGHUP, &a, NULL);
}

enum outcome conduct(struct scenario *s, const struct conduct_options *o,
		     struct result *out, struct tally *tally, struct err *e)
{
	struct play p = { .o = o, .r = out, .told = -5000, .probed = 0 };
	struct plan *plan = &p.h.plan;
	enum outcome went;

	*out = (struct result){ 0 };
	catch_signals();
	*plan = (struct plan){
		.scenario = s,
		.targets = o->targets,
		.tally = tally,
		.seed = o->seed,
		.honest_apart = true,
		.cores = o->cores,
		.cores_n = o->cores_n,
		.pool = {
			.lists = s->lists,
			.lists_n = s->lists_n,
			.domain = span_str(o->domain),
			.recipients = o->recipients,
			.recipients_n = o->recipients_n,
			.logins = o->logins,
			.logins_n = o->logins_n,
			.seed = o->seed,
		},
	};
	p.h.tally = tally;
	if (!cast(s, o, plan, e))
		return OUTCOME_WRONG;
	if (!share_out(s, o->workers, plan, e))
		return OUTCOME_NO_ROOM;
	if (!all_answer(s, o, plan, e))
		return stopped ? OUTCOME_STOPPED : OUTCOME_UNREACHABLE;
	describe(s, o, plan, out);
	if (o->ceiling > 0 && !measure_ceiling(s, o, plan, &out->ceiling, e))
		return stopped ? OUTCOME_STOPPED : OUTCOME_NO_ROOM;
	if (stopped)
		return err_set(e, "stopped before it began"), OUTCOME_STOPPED;
	went = perform(&p, e);
	out->complete = went == OUTCOME_OK;
	if (!out->complete)
		snprintf(out->why_not, sizeof(out->why_not), "%.190s", e->text);
	if (out->has_server)
		server_close(&p.server);
	return went;
}

void result_release(struct result *r)
{
	free(r->looks);
	*r = (struct result){ 0 };
}
