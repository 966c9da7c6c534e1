#include "rehearse/options.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/number.h"

enum which {
	O_TO,
	O_SUBMISSION,
	O_SUBMISSIONS,
	O_IMAP,
	O_IMAPS,
	O_POP3,
	O_POP3S,
	O_DOMAIN,
	O_RECIPIENT,
	O_LOGIN,
	O_NAME,
	O_SERVER_PID,
	O_SERVER_LOG,
	O_LOG_BUDGET,
	O_WARM,
	O_QUIET,
	O_ATTACK,
	O_AFTER,
	O_SCALE,
	O_BESIDE,
	O_SEED,
	O_WORKERS,
	O_CORES,
	O_CEILING,
	O_NAMESPACE,
	O_JSON,
	O_HTML,
	O_STRICT,
	O_NO_PROGRESS,
	O_SCENARIOS,
	O_HELP,
	O_COUNT,
};

static const struct {
	const char *name;
	const char *takes; /* NULL: nothing */
	const char *says;
} rows[O_COUNT] = {
	/* clang-format off */
	[O_TO]          = { "to", "HOST:PORT", "where SMTP is answered (127.0.0.1:25); loopback only" },
	[O_SUBMISSION]  = { "submission", "HOST:PORT", "where submission is answered" },
	[O_SUBMISSIONS] = { "submissions", "HOST:PORT", "the same with TLS from the start" },
	[O_IMAP]        = { "imap", "HOST:PORT", "where IMAP is answered" },
	[O_IMAPS]       = { "imaps", "HOST:PORT", "the same with TLS from the start" },
	[O_POP3]        = { "pop3", "HOST:PORT", "where POP3 is answered" },
	[O_POP3S]       = { "pop3s", "HOST:PORT", "the same with TLS from the start" },
	[O_DOMAIN]      = { "domain", "NAME", "a domain of the server (that of the first recipient)" },
	[O_RECIPIENT]   = { "recipient", "A[,B...]", "addresses that exist there; honest mail goes to them" },
	[O_LOGIN]       = { "login", "USER:PASSWORD", "somebody who may log in; may be repeated" },
	[O_NAME]        = { "name", "TEXT", "what the server is called in results (its --to)" },
	[O_SERVER_PID]  = { "server-pid", "PID", "measure what this process and its children cost; may be repeated" },
	[O_SERVER_LOG]  = { "server-log", "FILE", "count what is written there (found among open files); may be repeated" },
	[O_LOG_BUDGET]  = { "log-budget", "SIZE", "what the server may log in an hour, for the verdict" },
	[O_WARM]        = { "warm", "TIME", "how long honest clients come before anything counts" },
	[O_QUIET]       = { "quiet", "TIME", "how long before the attack (as the scenario says)" },
	[O_ATTACK]      = { "attack", "TIME", "how long the attack" },
	[O_AFTER]       = { "after", "TIME", "how long after it" },
	[O_SCALE]       = { "scale", "FACTOR", "so many times the addresses, rates and sessions (1)" },
	[O_BESIDE]      = { "beside", "LIST", "honest clients beside the attack, or none (as the scenario says)" },
	[O_SEED]        = { "seed", "N", "play the same again (a new one each time; it is in the result)" },
	[O_WORKERS]     = { "workers", "N", "processes that attack (as many as the sessions ask for)" },
	[O_CORES]       = { "cores", "LIST", "keep the generator on these, for example 0 or 0,1 (all)" },
	[O_CEILING]     = { "ceiling", "TIME", "first measure the generator against fixed answers; 0: not (3s)" },
	[O_NAMESPACE]   = { "namespace", NULL, "in a network namespace made for it; the server is COMMAND" },
	[O_JSON]        = { "json", "FILE", "write everything there; - is standard output" },
	[O_HTML]        = { "html", "FILE", "write a page with plots there" },
	[O_STRICT]      = { "strict", NULL, "exit status 1 if a promise was broken" },
	[O_NO_PROGRESS] = { "no-progress", NULL, "no line about how far it is" },
	[O_SCENARIOS]   = { "scenarios", "DIR", "where scenarios/ and honest/ are (those that came with it)" },
	[O_HELP]        = { "help", NULL, "this" },
	/* clang-format on */
};

void options_help(void)
{
	for (size_t i = 0; i < O_COUNT; i++) {
		char left[64];

		snprintf(left, sizeof(left), "--%s%s%s", rows[i].name,
			 rows[i].takes ? " " : "", rows[i].takes ? rows[i].takes : "");
		printf("  %-24s %s\n", left, rows[i].says);
	}
}

static bool wrong(enum which w, const char *text, const char *wanted)
{
	fprintf(stderr, "holdfast-rehearse: --%s: %s is not %s\n", rows[w].name, text,
		wanted);
	return false;
}

static bool too_many(enum which w, unsigned most)
{
	fprintf(stderr, "holdfast-rehearse: --%s: at most %u\n", rows[w].name, most);
	return false;
}

static bool whole(enum which w, const char *text, uint64_t low, uint64_t high,
		  uint64_t *out)
{
	char wanted[80];
	uint64_t n;

	if (number_parse(span_str(text), high, &n) && n >= low) {
		*out = n;
		return true;
	}
	snprintf(wanted, sizeof(wanted), "a number from %llu to %llu",
		 (unsigned long long)low, (unsigned long long)high);
	return wrong(w, text, wanted);
}

static bool seconds(enum which w, const char *text, ms_t most, ms_t *out)
{
	char wanted[80];
	ms_t t;

	if (duration_parse(span_str(text), &t) && t <= most) {
		*out = t;
		return true;
	}
	snprintf(wanted, sizeof(wanted), "a time such as 10s or 2m, at most %llds",
		 (long long)(most / MS_SECOND));
	return wrong(w, text, wanted);
}

static bool cores(struct options *o, const char *text)
{
	struct conduct_options *c = &o->conduct;
	const char *at = text;

	for (;;) {
		size_t n = strcspn(at, ",");
		uint64_t core;

		if (c->cores_n == COUNT_OF(c->cores))
			return too_many(O_CORES, COUNT_OF(c->cores));
		if (!number_parse(span_of(at, n), 1023, &core))
			return wrong(O_CORES, text, "a list of numbers such as 0,1");
		c->cores[c->cores_n++] = (int)core;
		if (!at[n])
			return true;
		at += n + 1;
	}
}

/* Add each word of a list with commas (or the whole text) to *list. */
static bool add(enum which w, struct span **list, size_t *n, const char *text, bool commas)
{
	for (const char *at = text;;) {
		size_t len = commas ? strcspn(at, ",") : strlen(at);

		if (*n == RECIPIENTS_MAX)
			return too_many(w, RECIPIENTS_MAX);
		if (len == 0 || len > 320)
			return wrong(w, text, rows[w].takes);
		if (!*list)
			*list = calloc(RECIPIENTS_MAX, sizeof(**list));
		if (!*list) {
			fprintf(stderr, "holdfast-rehearse: out of memory\n");
			return false;
		}
		(*list)[(*n)++] = span_of(at, len);
		if (!at[len])
			return true;
		at += len + 1;
	}
}

static bool addresses(struct options *o, const char *text)
{
	struct conduct_options *c = &o->conduct;
	size_t first = c->recipients_n;

	if (!add(O_RECIPIENT, &c->recipients, &c->recipients_n, text, true))
		return false;
	for (size_t i = first; i < c->recipients_n; i++)
		if (!memchr(c->recipients[i].p, '@', c->recipients[i].n))
			return wrong(O_RECIPIENT, text,
				     "a list of addresses such as a@example.org");
	return true;
}

static bool set(struct options *o, enum which w, const char *text)
{
	struct conduct_options *c = &o->conduct;
	int64_t size;
	uint64_t n;

	switch (w) {
	case O_TO:
		o->to[SERVICE_SMTP] = text;
		return true;
	case O_SUBMISSION:
		o->to[SERVICE_SUBMISSION] = text;
		return true;
	case O_SUBMISSIONS:
		o->to[SERVICE_SUBMISSIONS] = text;
		return true;
	case O_IMAP:
		o->to[SERVICE_IMAP] = text;
		return true;
	case O_IMAPS:
		o->to[SERVICE_IMAPS] = text;
		return true;
	case O_POP3:
		o->to[SERVICE_POP3] = text;
		return true;
	case O_POP3S:
		o->to[SERVICE_POP3S] = text;
		return true;
	case O_DOMAIN:
		c->domain = text;
		return *text && strlen(text) <= 253 ? true : wrong(w, text, "a domain");
	case O_RECIPIENT:
		return addresses(o, text);
	case O_LOGIN:
		if (!strchr(text, ':'))
			return wrong(w, "this", "USER:PASSWORD"); /* do not show it */
		return add(w, &c->logins, &c->logins_n, text, false);
	case O_NAME:
		c->name = text;
		return true;
	case O_SERVER_PID:
		if (c->pids_n == SERVER_PIDS_MAX)
			return too_many(w, SERVER_PIDS_MAX);
		if (!whole(w, text, 1, INT32_MAX, &n))
			return false;
		c->pids[c->pids_n++] = (pid_t)n;
		return true;
	case O_SERVER_LOG:
		if (c->logs_n == LOGS_MAX)
			return too_many(w, LOGS_MAX);
		c->logs[c->logs_n++] = text;
		return true;
	case O_LOG_BUDGET:
		if (!size_parse(span_str(text), &size) || size <= 0)
			return wrong(w, text, "a size such as 512k or 16m");
		c->log_budget = size;
		return true;
	case O_WARM:
		return seconds(w, text, SECONDS_MAX * MS_SECOND, &o->phase[PHASE_WARM]);
	case O_QUIET:
		return seconds(w, text, SECONDS_MAX * MS_SECOND, &o->phase[PHASE_QUIET]);
	case O_ATTACK:
		return seconds(w, text, SECONDS_MAX * MS_SECOND, &o->phase[PHASE_ATTACK]);
	case O_AFTER:
		return seconds(w, text, SECONDS_MAX * MS_SECOND, &o->phase[PHASE_AFTER]);
	case O_SCALE: {
		char *end;

		o->scale = strtod(text, &end);
		return end != text && !*end && o->scale >= 0.0001 && o->scale <= 1000
			       ? true
			       : wrong(w, text, "a factor from 0.0001 to 1000");
	}
	case O_BESIDE:
		o->beside = text;
		return true;
	case O_SEED:
		return whole(w, text, 0, UINT64_MAX, &c->seed);
	case O_WORKERS:
		if (!whole(w, text, 1, WORKERS_MAX - 1, &n))
			return false;
		c->workers = (unsigned)n;
		return true;
	case O_CORES:
		return cores(o, text);
	case O_CEILING: {
		ms_t t;

		if (!seconds(w, text, 60 * MS_SECOND, &t))
			return false;
		c->ceiling = (double)t / 1000;
		return true;
	}
	case O_NAMESPACE:
		o->namespaced = true;
		return true;
	case O_JSON:
		o->json = text;
		return true;
	case O_HTML:
		o->html = text;
		return true;
	case O_STRICT:
		o->strict = true;
		return true;
	case O_NO_PROGRESS:
		c->progress = false;
		return true;
	case O_SCENARIOS:
		o->scenarios = text;
		return true;
	case O_HELP:
	case O_COUNT:
		break;
	}
	return false;
}

/* What was not said. */
static void complete(struct options *o)
{
	struct conduct_options *c = &o->conduct;

	if (!c->domain) {
		const struct span *first = c->recipients;
		size_t at = first ? span_find(*first, '@') : 0;
		static char domain[256];

		snprintf(domain, sizeof(domain), "%.*s",
			 first ? (int)(first->n - at - 1) : (int)strlen("example.test"),
			 first ? (const char *)first->p + at + 1 : "example.test");
		c->domain = domain;
	}
	if (!o->to[SERVICE_SMTP])
		o->to[SERVICE_SMTP] = "127.0.0.1:25";
	if (!c->name)
		c->name = o->to[SERVICE_SMTP];
}

/* What stands behind "--" is the server's; getopt does not get to see it. */
static int cut_command(struct options *o, int argc, char **argv)
{
	for (int i = 1; i < argc; i++)
		if (strcmp(argv[i], "--") == 0) {
			o->command = argv + i + 1;
			return i;
		}
	return argc;
}

static bool complain(const char *text)
{
	fprintf(stderr, "holdfast-rehearse: %s\n", text);
	return false;
}

static bool agree(struct options *o)
{
	if (!o->scenario)
		return complain(
			"which scenario? `holdfast-rehearse list` shows what there is");
	if (o->command && !o->command[0])
		return complain("after -- a command is expected, which starts the server");
	if (o->command && o->conduct.pids_n)
		return complain(
			"--server-pid is for a server that runs already, not for one "
			"given as a command");
	if (o->namespaced && !o->command)
		return complain(
			"--namespace needs the server as a command: nothing that runs "
			"already can be reached from a new namespace. Example: "
			"holdfast-rehearse --namespace a4 -- holdfast run --config FILE");
	return true;
}

bool options_parse(struct options *o, int argc, char **argv, int *status)
{
	struct option known[O_COUNT + 1] = { 0 };
	int c;

	*o = (struct options){ .scale = 1 };
	o->conduct.ceiling = 3;
	o->conduct.progress = true;
	for (size_t i = 0; i < PHASE_COUNT; i++)
		o->phase[i] = -1;
	if (getrandom(&o->conduct.seed, 4, 0) != 4)
		o->conduct.seed = 1;
	for (int i = 0; i < O_COUNT; i++)
		known[i] = (struct option){ rows[i].name,
					    rows[i].takes ? required_argument
							  : no_argument,
					    NULL, i + 1 };
	argc = cut_command(o, argc, argv);
	*status = OUTCOME_WRONG;
	while ((c = getopt_long(argc, argv, "h", known, NULL)) != -1) {
		if (c == '?') {
			fprintf(stderr, "Try: holdfast-rehearse --help\n");
			return false;
		}
		if (c == 'h' || c == O_HELP + 1) {
			*status = OUTCOME_OK;
			o->help = true;
			return false;
		}
		if (!set(o, (enum which)(c - 1), optarg))
			return false;
	}
	if (optind < argc)
		o->scenario = argv[optind++];
	if (optind < argc) {
		fprintf(stderr, "holdfast-rehearse: one scenario at a time; what is %s?\n",
			argv[optind]);
		return false;
	}
	if (!agree(o))
		return false;
	complete(o);
	return true;
}

void options_release(struct options *o)
{
	free(o->conduct.recipients);
	free(o->conduct.logins);
}
