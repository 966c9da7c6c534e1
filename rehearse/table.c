#include <math.h>
#include <stdarg.h>
#include <string.h>

#include "rehearse/result.h"
#include "rehearse/sums.h"

#define COLUMNS 100
#define NAME	25 /* columns of a name at the left */
#define TEXT	400

/* Words that go into lines of COLUMNS, all but the first indented. */
struct lines {
	FILE *out;
	size_t indent, at;
	bool begun; /* something stands in this line, so a space comes first */
};

static void put(struct lines *l, const char *fmt, ...) PRINTF(2, 3);

/* What is printed in one call stays in one line. Control characters are replaced. */
static void put(struct lines *l, const char *fmt, ...)
{
	char text[TEXT];
	va_list args;
	size_t n;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	n = strlen(text);
	if (l->begun && l->at + 1 + n > COLUMNS) {
		fprintf(l->out, "\n%*s", (int)l->indent, "");
		l->at = l->indent;
		l->begun = false;
	}
	if (l->begun) {
		fputc(' ', l->out);
		l->at++;
	}
	for (size_t i = 0; i < n; i++)
		fputc((unsigned char)text[i] < ' ' || text[i] == 0x7f ? '?' : text[i],
		      l->out);
	l->at += n;
	l->begun = true;
}

static void put_words(struct lines *l, const char *text)
{
	struct span rest = span_str(text);

	while (rest.n) {
		struct span word = span_cut(&rest, ' ');

		if (word.n)
			put(l, "%.*s", SPAN_ARG(word));
	}
}

static struct lines left(FILE *out, size_t indent, const char *name)
{
	struct lines l = { .out = out, .indent = indent };

	put(&l, "%-*s", (int)indent - 1, name);
	return l;
}

static void line(FILE *out, const char *name, const char *text)
{
	struct lines l = left(out, 12, name);

	put_words(&l, text);
	fputc('\n', out);
}

/* 1234567 as "1,234,567"; out has room for 28. Returns it. */
static const char *grouped(uint64_t n, char *out)
{
	char digits[24];
	int len = snprintf(digits, sizeof(digits), "%llu", (unsigned long long)n);
	size_t at = 0;

	for (int i = 0; i < len; i++) {
		if (i && (len - i) % 3 == 0)
			out[at++] = ',';
		out[at++] = digits[i];
	}
	out[at] = '\0';
	return out;
}

static const char *rate(double x, char *out)
{
	if (x >= 100)
		return grouped((uint64_t)(x + 0.5), out);
	snprintf(out, 28, "%.1f", x);
	return out;
}

static const char *ms(double x, char *out)
{
	if (isnan(x))
		snprintf(out, 28, "-");
	else if (x >= 100000)
		snprintf(out, 28, "%.0f s", x / 1000);
	else if (x >= 100)
		return grouped((uint64_t)(x + 0.5), out);
	else
		snprintf(out, 28, "%.1f", x);
	return out;
}

static void heading(FILE *out, const char *name)
{
	fprintf(out, "\n%s\n", name);
}

static void line_of_machine(FILE *out)
{
	json_t *m = result_machine();
	const char *processor, *kernel, *system;
	json_int_t cores, memory;
	char text[TEXT];

	if (m && json_unpack(m, "{s:I, s:s, s:I, s:s, s:s}", "cores", &cores, "processor",
			     &processor, "memory_mib", &memory, "kernel", &kernel,
			     "system", &system) == 0) {
		snprintf(text, sizeof(text), "%lld x %.100s, %lld MiB, %.100s, %.100s",
			 (long long)cores, *processor ? processor : "core",
			 (long long)memory, kernel, system);
		line(out, "machine", text);
	}
	json_decref(m);
}

static void head(const struct result *r, FILE *out)
{
	const struct scenario *s = r->scenario;
	char text[TEXT], cores[80] = "";

	if (r->cores[0])
		snprintf(cores, sizeof(cores), " on cores %s", r->cores);
	snprintf(text, sizeof(text), "%s: %s", s->id, s->title);
	line(out, "scenario", text);
	line(out, "", s->about);
	line(out, "must end so", s->ends);
	snprintf(text, sizeof(text), "%s at %s", r->server_name, r->target);
	line(out, "server", strcmp(r->server_name, r->target) == 0 ? r->target : text);
	snprintf(text, sizeof(text), "%s, seed %llu, scale %g, %u worker%s%s", r->started,
		 (unsigned long long)r->seed, r->scale, r->workers,
		 r->workers == 1 ? "" : "s", cores);
	line(out, "run", text);
	snprintf(text, sizeof(text), "quiet %.1f s, attack %.1f s, after %.1f s",
		 sums_seconds(r, PHASE_QUIET), sums_seconds(r, PHASE_ATTACK),
		 sums_seconds(r, PHASE_AFTER));
	line(out, "phases", text);
	line_of_machine(out);
	if (!r->complete)
		line(out, "NOT WHOLE", r->why_not);
}

/* How visits ended, without those that were done or that the phase was over for. */
static void put_failures(struct lines *l, const struct tally_phase *p)
{
	char n[28];

	for (int s = 0; s < STAGE_COUNT; s++)
		for (int e = END_DONE + 1; e < END_OVER; e++)
			if (p->ended[s][e])
				put(l, "%s %s at %s,", grouped(p->ended[s][e], n),
				    end_word((enum end)e), stage_word((enum stage)s));
}

static void honest_phase(const struct result *r, unsigned i, enum phase phase, FILE *out)
{
	static const double quantiles[] = { 0.5, 0.95, 0.99, 0.999 };
	struct tally_phase p;
	char text[28], through[28] = "-";
	uint64_t asked;

	sums_phase(r, i, phase, &p);
	asked = sums_asked(&p);
	if (asked)
		snprintf(through, sizeof(through), "%.2f %%",
			 100.0 * (double)p.done / (double)asked);
	fprintf(out, " %-7s %10s %9s", phase_word(phase), grouped(asked, text), through);
	for (size_t q = 0; q < COUNT_OF(quantiles); q++)
		fprintf(out, "%9s", ms(tally_quantile(&p, quantiles[q]), text));
	fprintf(out, "%9s\n", ms(p.done ? p.latency_most : (double)NAN, text));
	if (p.done < asked) {
		struct lines l = left(out, NAME + 1, "");
		uint64_t never = p.due > p.begun ? p.due - p.begun : 0;

		put(&l, "not through:");
		put_failures(&l, &p);
		if (p.again)
			put(&l, "%s of them tried again,", grouped(p.again, text));
		if (never)
			put(&l, "%s never begun,", grouped(never, text));
		put(&l, "of %s", grouped(asked, text));
		fputc('\n', out);
	}
}

static void honest(const struct result *r, FILE *out)
{
	bool any = false;

	for (unsigned i = 0; i < r->scenario->actors_n; i++) {
		const struct actor *a = &r->scenario->actors[i];

		if (!a->honest)
			continue;
		if (!any)
			fprintf(out, "\n%-*s %-7s %10s %9s%9s%9s%9s%9s%9s\n", NAME,
				"Honest clients", "phase", "visits", "through", "p50 ms",
				"p95", "p99", "p99.9", "slowest");
		any = true;
		for (int p = PHASE_QUIET; p < PHASE_COUNT; p++) {
			struct lines l = { .out = out };

			put(&l, "%-*.*s", NAME, NAME, p == PHASE_QUIET ? a->title : "");
			honest_phase(r, i, (enum phase)p, out);
		}
	}
}

static void put_stages(struct lines *l, const struct tally_phase *p, bool replies)
{
	static const char *const heard[] = { "yes", "later", "no" };
	char n[28];

	for (int s = 0; s < STAGE_COUNT; s++)
		for (int k = 0; k < (replies ? (int)COUNT_OF(heard) : END_COUNT); k++) {
			uint64_t count = replies ? p->heard[s][k] : p->ended[s][k];

			if (count)
				put(l, "%s %s %s,", stage_word((enum stage)s),
				    replies ? heard[k] : end_word((enum end)k),
				    grouped(count, n));
		}
}

static void attacker(const struct result *r, unsigned i, FILE *out)
{
	const struct actor *a = &r->scenario->actors[i];
	double seconds = sums_seconds(r, PHASE_ATTACK);
	struct lines l = { .out = out };
	struct tally_phase p;
	char x[28], y[28], z[28], v[28], w[28], breach[TEXT];
	uint64_t gone = 0;

	sums_phase(r, i, PHASE_ATTACK, &p);
	for (unsigned k = 0; r->tally && k < r->tally->workers; k++)
		gone += tally_at(r->tally, k, i)->left;
	put(&l, "%-*.*s", NAME, NAME, a->title);
	fprintf(out, " %10s", grouped(a->addresses, x));
	fprintf(out, " %12s %10s %10s %10s", grouped(p.begun, x),
		rate(seconds > 0 ? (double)p.begun / seconds : 0, y),
		rate(seconds > 0 ? (double)sums_replies(&p) / seconds : 0, z),
		grouped(p.open_most, v));
	fprintf(out, " %10s\n", grouped(gone, w));

	l = left(out, 12, "  ended");
	put_stages(&l, &p, false);
	put(&l, "got it %s", grouped(p.done, x));
	fputc('\n', out);
	l = left(out, 12, "  heard");
	put_stages(&l, &p, true);
	put(&l, "%s in all", grouped(sums_replies(&p), x));
	fputc('\n', out);
	if (p.skipped) {
		l = left(out, 12, "  skipped");
		put(&l, "%s visits: as many as may be were open already",
		    grouped(p.skipped, x));
		if (p.no_port)
			put(&l,
			    "(%s of them: the generator had no port or descriptor left)",
			    grouped(p.no_port, y));
		fputc('\n', out);
	}
	if (p.breaches) {
		sums_breach(r, i, breach, sizeof(breach));
		l = left(out, 12, "  breaches");
		put(&l, "%s, the first:", grouped(p.breaches, x));
		put_words(&l, breach);
		fputc('\n', out);
	}
}

static void attackers(const struct result *r, FILE *out)
{
	bool any = false;

	for (unsigned i = 0; i < r->scenario->actors_n; i++) {
		if (r->scenario->actors[i].honest)
			continue;
		if (!any)
			fprintf(out, "\n%-*s %10s %12s %10s %10s %10s %10s\n", NAME,
				"Attackers in the attack", "addresses", "visits",
				"visits/s", "replies/s", "open most", "left");
		any = true;
		attacker(r, i, out);
	}
}

/* One row over the three phases; cell() prints into 28 bytes. */
static void row(const struct result *r, FILE *out, const char *name,
		void (*cell)(const struct result *r, enum phase p,
			     const struct sums_cost *c, char *out))
{
	fprintf(out, "%-38s", name);
	for (int p = PHASE_QUIET; p < PHASE_COUNT; p++) {
		struct sums_cost c;
		char text[28] = "-";

		sums_cost(r, (enum phase)p, &c);
		cell(r, (enum phase)p, &c, text);
		fprintf(out, "%16s", text);
	}
	fputc('\n', out);
}

static void cell_cpu(const struct result *r, enum phase p, const struct sums_cost *c,
		     char *out)
{
	(void)r, (void)p;
	if (c->has & SERVER_HAS_CPU)
		snprintf(out, 28, "%.3f", c->cpu);
}

static void cell_cores(const struct result *r, enum phase p, const struct sums_cost *c,
		       char *out)
{
	if (c->has & SERVER_HAS_CPU)
		snprintf(out, 28, "%.3f", c->cpu / sums_seconds(r, p));
}

static void cell_cpu_each(const struct result *r, enum phase p, const struct sums_cost *c,
			  char *out)
{
	uint64_t n = sums_connections(r, p);

	if ((c->has & SERVER_HAS_CPU) && n)
		snprintf(out, 28, "%.4f", c->cpu * 1000 / (double)n);
}

static void cell_pss(const struct result *r, enum phase p, const struct sums_cost *c,
		     char *out)
{
	(void)r, (void)p;
	if (c->has & SERVER_HAS_PSS)
		sums_bytes((double)c->pss_most, out);
}

static void cell_kernel(const struct result *r, enum phase p, const struct sums_cost *c,
			char *out)
{
	(void)r, (void)p;
	if (c->has & SERVER_HAS_KERNEL)
		sums_bytes((double)c->kernel_most, out);
}

static void cell_fds(const struct result *r, enum phase p, const struct sums_cost *c,
		     char *out)
{
	(void)r, (void)p;
	if (c->has & SERVER_HAS_FDS)
		grouped(c->fds_most, out);
}

static void cell_processes(const struct result *r, enum phase p,
			   const struct sums_cost *c, char *out)
{
	(void)r, (void)p;
	if (c->has & SERVER_HAS_CPU)
		grouped(c->processes_most, out);
}

static void cell_log(const struct result *r, enum phase p, const struct sums_cost *c,
		     char *out)
{
	(void)r, (void)p;
	if (c->has & SERVER_HAS_LOG)
		sums_bytes((double)c->log, out);
}

static void cell_log_each(const struct result *r, enum phase p, const struct sums_cost *c,
			  char *out)
{
	uint64_t n = sums_refused(r, p);

	if ((c->has & SERVER_HAS_LOG) && n)
		sums_bytes((double)c->log * 1000 / (double)n, out);
}

static void cell_generator(const struct result *r, enum phase p,
			   const struct sums_cost *c, char *out)
{
	(void)c;
	snprintf(out, 28, "%.3f", r->generator_cpu[p]);
}

static void costs(const struct result *r, FILE *out)
{
	static const struct {
		const char *name;
		void (*cell)(const struct result *r, enum phase p,
			     const struct sums_cost *c, char *out);
	} rows[] = {
		{ "CPU-seconds", cell_cpu },
		{ "CPU-seconds per second", cell_cores },
		{ "CPU-seconds per 1,000 connections", cell_cpu_each },
		{ "memory of its processes (PSS), most", cell_pss },
		{ "kernel memory, most", cell_kernel },
		{ "open files, most", cell_fds },
		{ "processes, most", cell_processes },
		{ "log", cell_log },
		{ "log per 1,000 refusals", cell_log_each },
	};
	char text[TEXT];

	fprintf(out, "\n%-38s%16s%16s%16s\n", "Server and generator", "quiet", "attack",
		"after");
	for (size_t i = 0; r->has_server && i < COUNT_OF(rows); i++)
		row(r, out, rows[i].name, rows[i].cell);
	row(r, out, "CPU-seconds of the generator", cell_generator);
	if (r->has_server) {
		snprintf(text, sizeof(text), "CPU: %s; kernel memory: %s", r->cpu_from,
			 r->kernel_from);
		line(out, "from", text);
	} else {
		line(out, "", "no --server-pid, so nothing is known about what it cost");
	}
}

static void against_ceiling(const struct result *r, FILE *out)
{
	const struct ceiling *c = &r->ceiling;
	char a[28], b[28], x[28], d[28], text[TEXT];
	struct figures f;

	result_figures(r, &f);
	heading(out, "Figures");
	fprintf(out, "%-12s%14s%14s%14s%14s\n", "", "begun/s", "ended/s", "replies/s",
		"held");
	fprintf(out, "%-12s%14s%14s%14s%14s\n", "this server", rate(f.begun, a),
		rate(f.ended, b), rate(f.replies, x), grouped((uint64_t)f.held, d));
	if (!c->measured) {
		line(out, "ceiling", "not measured (--ceiling)");
		return;
	}
	fprintf(out, "%-12s%14s%14s%14s%14s\n", "ceiling", rate(c->opened, a),
		rate(c->visits, b), rate(c->replies, x), grouped((uint64_t)c->held, d));
	snprintf(text, sizeof(text),
		 "The ceiling is what the generator does with fixed answers: measured for %.1f "
		 "s, %.2f CPU-s of its own and %.2f of the answers.",
		 c->seconds, c->generator_cpu, c->canned_cpu);
	line(out, "", text);
	if (!isnan(f.of_ceiling))
		fprintf(out, "%-12s%.0f %% of the ceiling%s\n", "", 100 * f.of_ceiling,
			f.generator_limited ? ": limited by the generator" : "");
}

static void verdicts(const struct result *r, FILE *out)
{
	static const char *const words[] = {
		[VERDICT_KEPT] = "KEPT",
		[VERDICT_BROKEN] = "BROKEN",
		[VERDICT_UNKNOWN] = "not judged",
	};

	if (r->judged_n)
		heading(out, "Promises");
	for (size_t i = 0; i < r->judged_n; i++) {
		const struct judged *j = &r->judged[i];
		struct lines l = left(out, 12, words[j->verdict]);

		put_words(&l, j->says);
		fputc('\n', out);
		l = left(out, 16, "");
		put_words(&l, j->found);
		fputc('\n', out);
	}
}

void result_table(const struct result *r, FILE *out)
{
	head(r, out);
	honest(r, out);
	attackers(r, out);
	costs(r, out);
	against_ceiling(r, out);
	verdicts(r, out);
	fflush(out);
}
