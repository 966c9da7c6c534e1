#include "rehearse/result.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "rehearse/sums.h"

#ifndef HOLDFAST_VERSION
#define HOLDFAST_VERSION "0"
#endif

#define POINTS_MAX 4000 /* of the latencies of one actor */
#define LIMITED	   0.8	/* of the ceiling: then the generator may be what limits */

static bool holds(const struct result *r)
{
	const struct scenario *s = r->scenario;

	for (unsigned i = 0; i < s->actors_n; i++)
		for (size_t k = 0; sums_means(r, i, NULL) && k < s->actors[i].script.n;
		     k++)
			if (s->actors[i].script.steps[k].kind == STEP_HOLD)
				return true;
	for (size_t i = 0; i < s->promises_n; i++)
		if (strcmp(s->promises[i].word, "held") == 0)
			return true;
	return false;
}

static double ratio(double figure, double ceiling)
{
	return ceiling > 0 ? figure / ceiling : 0;
}

/* A ceiling is measured for a few seconds; a run may come to hold more than there was time for. */
static double share_held(const struct result *r, double held)
{
	double asked = 0;

	if (held <= r->ceiling.held)
		return ratio(held, r->ceiling.held);
	for (unsigned i = 0; i < r->scenario->actors_n; i++)
		if (sums_means(r, i, NULL))
			asked += r->scenario->actors[i].parallel;
	return ratio(held, asked);
}

void result_figures(const struct result *r, struct figures *out)
{
	double seconds = sums_seconds(r, PHASE_ATTACK);
	const struct ceiling *c = &r->ceiling;
	struct tally_phase sum;

	*out = (struct figures){ .of_ceiling = (double)NAN };
	if (seconds <= 0)
		return;
	for (unsigned i = 0; i < r->scenario->actors_n; i++) {
		if (!sums_means(r, i, NULL))
			continue;
		sums_phase(r, i, PHASE_ATTACK, &sum);
		out->begun += (double)sum.begun / seconds;
		out->ended += (double)(sums_ended(&sum, END_DONE) +
				       sums_ended(&sum, END_LATER) +
				       sums_ended(&sum, END_NO)) /
			      seconds;
		out->replies += (double)sums_replies(&sum) / seconds;
		out->done += (double)sum.done / seconds;
	}
	out->held = (double)sums_open_most(r, NULL);
	if (!c->measured)
		return;
	out->of_ceiling = ratio(out->begun, c->opened);
	if (holds(r))
		out->of_ceiling = fmax(out->of_ceiling, share_held(r, out->held));
	else
		out->of_ceiling = fmax(out->of_ceiling,
				       fmax(ratio(out->ended, c->visits),
					    ratio(out->replies, c->replies)));
	out->generator_limited = out->of_ceiling >= LIMITED;
}

/* JSON. What is not known is null. */

static json_t *number(double x)
{
	return isfinite(x) ? json_real(x) : json_null();
}

static json_t *integer(uint64_t n)
{
	return json_integer(n <= INT64_MAX ? (json_int_t)n : INT64_MAX);
}

static json_t *known(unsigned has, unsigned bit, uint64_t n)
{
	return has & bit ? integer(n) : json_null();
}

/* Texts of the command line and of files may be in any encoding. */
static json_t *text(const char *s)
{
	json_t *out = json_string(s ? s : "");
	char escaped[4096];

	if (out)
		return out;
	sums_escape(s, escaped, sizeof(escaped));
	return json_string(escaped);
}

/* A seed has 64 bits, a number of JSON 63: what does not fit is a text. */
static json_t *seed(uint64_t n)
{
	char digits[24];

	if (n <= INT64_MAX)
		return json_integer((json_int_t)n);
	snprintf(digits, sizeof(digits), "%llu", (unsigned long long)n);
	return json_string(digits);
}

static double seconds(ms_t ms)
{
	return (double)ms / 1000;
}

/* The value of the first line that begins so, without quotes. */
static void line_of(const char *path, const char *key, char *out, size_t cap)
{
	FILE *f = fopen(path, "re");
	char line[512];

	out[0] = '\0';
	while (f && !out[0] && fgets(line, sizeof(line), f)) {
		char *at = line + strlen(key);

		if (strncmp(line, key, strlen(key)) != 0)
			continue;
		at += strspn(at, " \t:=\"");
		at[strcspn(at, "\"\n")] = '\0';
		snprintf(out, cap, "%s", at);
	}
	if (f)
		fclose(f);
}

json_t *result_machine(void)
{
	char processor[256], system[256], kernel[200] = "";
	struct rlimit files = { 0 };
	struct utsname u;
	struct sysinfo si = { 0 };

	line_of("/proc/cpuinfo", "model name", processor, sizeof(processor));
	line_of("/etc/os-release", "PRETTY_NAME", system, sizeof(system));
	if (uname(&u) == 0)
		snprintf(kernel, sizeof(kernel), "%s %s %s", u.sysname, u.release,
			 u.machine);
	sysinfo(&si);
	getrlimit(RLIMIT_NOFILE, &files);
	return json_pack("{s:I, s:o, s:o, s:o, s:o, s:o}", "cores",
			 (json_int_t)sysconf(_SC_NPROCESSORS_ONLN), "processor",
			 text(processor), "memory_mib",
			 integer((uint64_t)si.totalram * si.mem_unit >> 20), "kernel",
			 text(kernel), "system", text(system), "descriptors_per_process",
			 integer(files.rlim_cur));
}

static json_t *cost(const struct result *r, enum phase p)
{
	struct sums_cost c;

	sums_cost(r, p, &c);
	if (!c.has)
		return json_null();
	return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "cpu_s",
			 number(c.cpu), "pss_begin",
			 known(c.has, SERVER_HAS_PSS, c.pss_begin), "pss_end",
			 known(c.has, SERVER_HAS_PSS, c.pss_end), "pss_most",
			 known(c.has, SERVER_HAS_PSS, c.pss_most), "kernel_begin",
			 known(c.has, SERVER_HAS_KERNEL, c.kernel_begin), "kernel_most",
			 known(c.has, SERVER_HAS_KERNEL, c.kernel_most), "fds_most",
			 known(c.has, SERVER_HAS_FDS, c.fds_most), "processes_most",
			 integer(c.processes_most), "log_bytes",
			 known(c.has, SERVER_HAS_LOG, c.log), "written_bytes",
			 known(c.has, SERVER_HAS_WRITTEN, c.written));
}

static json_t *phases(const struct result *r)
{
	json_t *out = json_array();

	for (int p = PHASE_QUIET; p < PHASE_COUNT; p++)
		json_array_append_new(
			out, json_pack("{s:s, s:f, s:f, s:o, s:o}", "phase",
				       phase_word((enum phase)p), "from_s",
				       seconds(sums_from(r, (enum phase)p)), "to_s",
				       seconds(sums_to(r, (enum phase)p)),
				       "generator_cpu_s", number(r->generator_cpu[p]),
				       "server", cost(r, (enum phase)p)));
	return out;
}

static json_t *ended(const struct tally_phase *p)
{
	json_t *out = json_object();

	for (int s = 0; s < STAGE_COUNT; s++) {
		json_t *stage = json_object();

		for (int e = 0; e < END_COUNT; e++)
			if (p->ended[s][e])
				json_object_set_new(stage, end_word((enum end)e),
						    integer(p->ended[s][e]));
		if (json_object_size(stage))
			json_object_set(out, stage_word((enum stage)s), stage);
		json_decref(stage);
	}
	return out;
}

static json_t *heard(const struct tally_phase *p)
{
	static const char *const words[] = { "yes", "later", "no" };
	json_t *out = json_object();

	for (int s = 0; s < STAGE_COUNT; s++) {
		json_t *stage = json_object();

		for (size_t k = 0; k < COUNT_OF(words); k++)
			if (p->heard[s][k])
				json_object_set_new(stage, words[k],
						    integer(p->heard[s][k]));
		if (json_object_size(stage))
			json_object_set(out, stage_word((enum stage)s), stage);
		json_decref(stage);
	}
	return out;
}

static json_t *actor_phase(const struct result *r, unsigned actor, enum phase phase)
{
	struct tally_phase p;
	uint64_t asked;
	json_t *out;

	sums_phase(r, actor, phase, &p);
	asked = sums_asked(&p);
	out = json_pack("{s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}",
			"phase", phase_word(phase), "begun", integer(p.begun), "due",
			integer(p.due), "skipped", integer(p.skipped), "no_port",
			integer(p.no_port), "again", integer(p.again), "asked",
			integer(asked), "done", integer(p.done), "success",
			asked ? number(fmin((double)p.done / (double)asked, 1))
			      : json_null(),
			"ended", ended(&p), "heard", heard(&p));
	if (!out)
		return NULL;
	json_object_set_new(out, "p50_ms", number(tally_quantile(&p, 0.5)));
	json_object_set_new(out, "p95_ms", number(tally_quantile(&p, 0.95)));
	json_object_set_new(out, "p99_ms", number(tally_quantile(&p, 0.99)));
	json_object_set_new(out, "p999_ms", number(tally_quantile(&p, 0.999)));
	json_object_set_new(out, "max_ms", p.done ? number(p.latency_most) : json_null());
	json_object_set_new(out, "bytes_in", integer(p.bytes_in));
	json_object_set_new(out, "bytes_out", integer(p.bytes_out));
	json_object_set_new(out, "open_most", integer(p.open_most));
	return out;
}

static json_t *actor(const struct result *r, unsigned i)
{
	const struct actor *a = &r->scenario->actors[i];
	json_t *all = json_array();
	char breach[sizeof(((struct tally_actor *)NULL)->breach) * 4];
	uint64_t left = 0, breaches = 0;
	struct tally_phase sum;

	for (int p = PHASE_QUIET; p < PHASE_COUNT; p++) {
		sums_phase(r, i, (enum phase)p, &sum);
		breaches += sum.breaches;
		json_array_append_new(all, actor_phase(r, i, (enum phase)p));
	}
	for (unsigned w = 0; r->tally && w < r->tally->workers; w++)
		left += tally_at(r->tally, w, i)->left;
	sums_breach(r, i, breach, sizeof(breach));
	return json_pack("{s:o, s:o, s:b, s:s, s:I, s:o, s:o, s:o, s:o}", "name",
			 text(a->name), "title", text(a->title), "honest", (int)a->honest,
			 "service", service_word(a->service), "addresses",
			 (json_int_t)a->addresses, "left", integer(left), "breaches",
			 integer(breaches), "breach", text(breach), "phases", all);
}

static json_t *actors(const struct result *r)
{
	json_t *out = json_array();

	for (unsigned i = 0; i < r->scenario->actors_n; i++)
		json_array_append_new(out, actor(r, i));
	return out;
}

/* Over time. */

static uint64_t refused_in(const struct tally_bucket *b, int stage)
{
	return (uint64_t)b->ended[stage][END_LATER] + b->ended[stage][END_NO] +
	       b->ended[stage][END_DROPPED];
}

static json_t *actor_in_time(const struct result *r, unsigned actor)
{
	const struct actor *a = &r->scenario->actors[actor];
	json_t *begun = json_array(), *done = json_array(), *open = json_array();
	json_t *stages[STAGE_COUNT], *refused = json_object();
	uint64_t sums[STAGE_COUNT] = { 0 };
	unsigned n = sums_buckets(r);
	struct tally_bucket b;

	for (int s = 0; s < STAGE_COUNT; s++)
		stages[s] = json_array();
	for (unsigned i = 0; i < n; i++) {
		tally_sum_bucket(r->tally, actor, i, &b);
		json_array_append_new(begun, integer(b.begun));
		json_array_append_new(done, integer(b.done));
		json_array_append_new(open, integer(b.open));
		for (int s = 0; s < STAGE_COUNT; s++) {
			json_array_append_new(stages[s], integer(refused_in(&b, s)));
			sums[s] += refused_in(&b, s);
		}
	}
	for (int s = 0; s < STAGE_COUNT; s++) {
		if (sums[s])
			json_object_set(refused, stage_word((enum stage)s), stages[s]);
		json_decref(stages[s]);
	}
	return json_pack("{s:o, s:b, s:o, s:o, s:o, s:o}", "name", text(a->name),
			 "honest", (int)a->honest, "begun", begun, "done", done, "open",
			 open, "refused", refused);
}

static int by_due(const void *a, const void *b)
{
	const struct tally_sample *x = a, *y = b;

	return (x->due_ms > y->due_ms) - (x->due_ms < y->due_ms);
}

/* All samples of an actor that count, by when they were due. */
static struct tally_sample *samples_of(const struct result *r, unsigned actor, size_t *n)
{
	struct tally_sample *out;
	size_t all = 0;

	*n = 0;
	for (unsigned w = 0; r->tally && w < r->tally->workers; w++)
		if (tally_at(r->tally, w, actor)->samples)
			all += tally_at(r->tally, w, actor)->samples_n;
	out = all ? malloc(all * sizeof(*out)) : NULL;
	for (unsigned w = 0; out && w < r->tally->workers; w++) {
		const struct tally_actor *a = tally_at(r->tally, w, actor);

		for (uint32_t i = 0; a->samples && i < a->samples_n; i++)
			if (a->samples[i].phase != PHASE_WARM)
				out[(*n)++] = a->samples[i];
	}
	if (*n)
		qsort(out, *n, sizeof(*out), by_due);
	return out;
}

static bool failed(const struct tally_sample *s)
{
	return s->end != END_DONE && s->end != END_OVER;
}

static void add_point(const struct tally_sample *s, json_t *due, json_t *ms, json_t *end)
{
	json_array_append_new(due, json_real(seconds((ms_t)s->due_ms)));
	json_array_append_new(ms, json_real((double)s->latency_us / 1000));
	json_array_append_new(end, json_string(end_word((enum end)s->end)));
}

/* What a plot must not lose. Of each few that follow one another three stay: the first, the one
 * that took longest, and one that failed. */
static json_t *latency(const struct result *r, unsigned actor)
{
	json_t *due = json_array(), *ms = json_array(), *end = json_array();
	size_t n, group;
	struct tally_sample *all = samples_of(r, actor, &n);

	group = n <= POINTS_MAX ? 1 : (3 * n + POINTS_MAX - 1) / POINTS_MAX;
	for (size_t from = 0; from < n; from += group) {
		size_t to = n - from < group ? n : from + group;
		size_t slowest = from, bad = to;

		for (size_t i = from; i < to; i++) {
			if (failed(&all[i]) && bad == to)
				bad = i;
			if (all[i].latency_us > all[slowest].latency_us)
				slowest = i;
		}
		for (size_t i = from; i < to; i++)
			if (i == from || i == slowest || i == bad)
				add_point(&all[i], due, ms, end);
	}
	free(all);
	return json_pack("{s:o, s:o, s:o, s:o}", "name",
			 text(r->scenario->actors[actor].name), "due_s", due, "ms", ms,
			 "end", end);
}

static json_t *server_in_time(const struct result *r)
{
	const struct timed_look *before = &r->edges[0];
	json_t *out = json_pack("{s:[], s:[], s:[], s:[], s:[], s:[]}", "at_s", "cores",
				"pss", "kernel", "fds", "log_bytes");

	for (size_t i = 0; i < r->looks_n; i++) {
		const struct timed_look *l = &r->looks[i];
		double dt = seconds(l->at - before->at);
		double cpu = l->look.cpu - before->look.cpu;

		if (dt <= 0)
			continue; /* the border of a phase is among the looks too */
		json_array_append_new(json_object_get(out, "at_s"),
				      json_real(seconds(l->at)));
		json_array_append_new(json_object_get(out, "cores"),
				      json_real(cpu > 0 ? cpu / dt : 0));
		json_array_append_new(json_object_get(out, "pss"), integer(l->look.pss));
		json_array_append_new(json_object_get(out, "kernel"),
				      integer(l->look.kernel));
		json_array_append_new(json_object_get(out, "fds"), integer(l->look.fds));
		json_array_append_new(json_object_get(out, "log_bytes"),
				      integer(l->look.log));
		before = l;
	}
	return out;
}

static json_t *in_time(const struct result *r)
{
	json_t *all = json_array(), *latencies = json_array();

	for (unsigned i = 0; i < r->scenario->actors_n; i++) {
		json_array_append_new(all, actor_in_time(r, i));
		if (r->scenario->actors[i].honest)
			json_array_append_new(latencies, latency(r, i));
	}
	return json_pack("{s:f, s:I, s:o, s:o, s:o}", "bucket_s",
			 r->tally ? seconds(r->tally->bucket) : 0.0, "buckets",
			 (json_int_t)sums_buckets(r), "actors", all, "latency", latencies,
			 "server", r->has_server ? server_in_time(r) : json_null());
}

static json_t *figures(const struct result *r)
{
	struct figures f;

	result_figures(r, &f);
	return json_pack("{s:f, s:f, s:f, s:f, s:f, s:o, s:b}", "begun_per_s", f.begun,
			 "ended_per_s", f.ended, "replies_per_s", f.replies, "done_per_s",
			 f.done, "held", f.held, "of_ceiling", number(f.of_ceiling),
			 "generator_limited", (int)f.generator_limited);
}

static json_t *ceiling(const struct ceiling *c)
{
	if (!c->measured)
		return json_null();
	return json_pack("{s:f, s:f, s:f, s:f, s:f, s:f, s:f}", "seconds", c->seconds,
			 "visits_per_s", c->visits, "replies_per_s", c->replies,
			 "opened_per_s", c->opened, "held", c->held, "generator_cpu_s",
			 c->generator_cpu, "canned_cpu_s", c->canned_cpu);
}

static json_t *promises(const struct result *r)
{
	static const char *const words[] = {
		[VERDICT_KEPT] = "kept",
		[VERDICT_BROKEN] = "broken",
		[VERDICT_UNKNOWN] = "unknown",
	};
	json_t *out = json_array();

	for (size_t i = 0; i < r->judged_n; i++)
		json_array_append_new(out, json_pack("{s:o, s:o, s:o, s:s}", "promise",
						     text(r->judged[i].word), "says",
						     text(r->judged[i].says), "found",
						     text(r->judged[i].found), "verdict",
						     words[r->judged[i].verdict]));
	return out;
}

json_t *result_json(const struct result *r)
{
	const struct scenario *s = r->scenario;
	json_t *out = json_pack(
		"{s:i, s:s, s:{s:o, s:o, s:o, s:o}, s:o, s:o, s:s, s:o, s:f, s:I, s:s}",
		"format", 1, "program", "holdfast-rehearse " HOLDFAST_VERSION, "scenario",
		"id", text(s->id), "title", text(s->title), "about", text(s->about),
		"ends", text(s->ends), "server", text(r->server_name), "target",
		text(r->target), "started", r->started, "seed", seed(r->seed), "scale",
		r->scale, "workers", (json_int_t)r->workers, "cores", r->cores);
	json_t *rest = json_pack(
		"{s:o, s:o, s:b, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "machine",
		result_machine(), "measured",
		r->has_server ? json_pack("{s:o, s:o}", "cpu_from", text(r->cpu_from),
					  "kernel_from", text(r->kernel_from))
			      : json_null(),
		"complete", (int)r->complete, "why_not", text(r->why_not), "phases",
		phases(r), "actors", actors(r), "time", in_time(r), "figures", figures(r),
		"ceiling", ceiling(&r->ceiling), "promises", promises(r));

	if (!out || !rest || json_object_update(out, rest) < 0) {
		json_decref(out);
		out = NULL;
	}
	json_decref(rest);
	return out;
}
