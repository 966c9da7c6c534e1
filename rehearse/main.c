/*
 * holdfast-rehearse - play an attack against a mail server of this machine, with honest clients
 * beside it, and tell what became of both
 */
#include <dirent.h>
#include <errno.h>
#include <libgen.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/number.h"
#include "rehearse/canned.h"
#include "rehearse/launch.h"
#include "rehearse/options.h"
#include "rehearse/page.h"

static int fail(int status, const struct err *e)
{
	fprintf(stderr, "holdfast-rehearse: %s\n", e->text);
	return status;
}

static int usage(FILE *out, int status)
{
	fputs("usage: holdfast-rehearse [OPTION]... SCENARIO [-- COMMAND...]\n"
	      "       holdfast-rehearse list | show SCENARIO\n"
	      "       holdfast-rehearse page FILE.html RESULT.json...\n"
	      "       holdfast-rehearse canned [--help] [OPTION]...\n"
	      "       holdfast-rehearse --version\n\n"
	      "Plays an attack against a mail server of this machine, with honest clients beside\n"
	      "it. It goes to 127.0.0.0/8, ::1 and a network namespace of its own, and nowhere\n"
	      "else. SCENARIO is a name from `list`, or a file.\n\n",
	      out);
	if (status == OUTCOME_OK)
		options_help();
	else
		fputs("Try: holdfast-rehearse --help\n", out);
	return status;
}

/* Where scenarios/ and honest/ are: beside the source in a build, else where they were installed. */
static const char *home(const char *said)
{
	static char path[PATH_MAX];
	static const char *const places[] = { "../rehearse",
					      "../share/holdfast/rehearse" };
	char self[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);

	if (said)
		return said;
	for (size_t i = 0; n > 0 && i < COUNT_OF(places); i++) {
		char scenarios[PATH_MAX + 64];

		self[n] = '\0';
		snprintf(path, sizeof(path), "%.3900s/%s", dirname(self), places[i]);
		snprintf(scenarios, sizeof(scenarios), "%s/scenarios", path);
		if (access(scenarios, X_OK) == 0)
			return path;
	}
	return REHEARSE_DATA;
}

static bool below(char *out, size_t cap, const char *dir, const char *name)
{
	return snprintf(out, cap, "%s/%s", dir, name) < (int)cap;
}

/* list and show. */

static int is_scenario(const struct dirent *d)
{
	size_t n = strlen(d->d_name);

	return n > 5 && strcmp(d->d_name + n - 5, ".conf") == 0;
}

static void print_line(const struct scenario *s, const char *file)
{
	unsigned addresses = 0;

	for (size_t i = 0; i < s->actors_n; i++)
		addresses += s->actors[i].honest ? 0 : s->actors[i].addresses;
	printf("%-4s %-28.*s %-34s %7u address%s\n", s->id, (int)strlen(file) - 5, file,
	       s->title, addresses, addresses == 1 ? "" : "es");
}

static int list(const char *said)
{
	struct dirent **found;
	char dir[PATH_MAX], honest[PATH_MAX];
	int failed = 0;

	if (!below(dir, sizeof(dir), home(said), "scenarios") ||
	    !below(honest, sizeof(honest), home(said), "honest"))
		return OUTCOME_WRONG;

	int n = scandir(dir, &found, is_scenario, versionsort);

	if (n < 0) {
		fprintf(stderr,
			"holdfast-rehearse: %s: %s. Say where they are with --scenarios.\n",
			dir, strerror(errno));
		return OUTCOME_WRONG;
	}
	for (int i = 0; i < n; i++) {
		char path[PATH_MAX];
		struct scenario *s = NULL;
		struct err e;

		if (!below(path, sizeof(path), dir, found[i]->d_name) ||
		    !scenario_open(&s, path, honest, NULL, &e)) {
			failed = fail(OUTCOME_WRONG, &e);
		} else {
			print_line(s, found[i]->d_name);
			scenario_close(&s);
		}
		free(found[i]);
	}
	free(found);
	return failed;
}

static int show(const char *name, const char *said)
{
	char dir[PATH_MAX], path[PATH_MAX], text[4096];
	struct err e;
	size_t n;
	FILE *f;

	if (!below(dir, sizeof(dir), home(said), "scenarios"))
		return OUTCOME_WRONG;
	if (!scenario_find(name, dir, path, sizeof(path), &e))
		return fail(OUTCOME_WRONG, &e);
	f = fopen(path, "re");
	if (!f) {
		err_set(&e, "%s: %s", path, strerror(errno));
		return fail(OUTCOME_WRONG, &e);
	}
	while ((n = fread(text, 1, sizeof(text), f)) > 0)
		fwrite(text, 1, n, stdout);
	fclose(f);
	return OUTCOME_OK;
}

/* page: results of earlier runs, together. */

static int page(int argc, char **argv)
{
	json_t *all = json_array();
	struct err e;
	int status = OUTCOME_OK;

	if (argc < 4) {
		json_decref(all);
		return usage(stderr, OUTCOME_WRONG);
	}
	for (int i = 3; i < argc && status == OUTCOME_OK; i++) {
		json_error_t why;
		json_t *one = json_load_file(argv[i], JSON_REJECT_DUPLICATES, &why);

		if (!one || !json_is_object(one) || !json_object_get(one, "scenario")) {
			err_set(&e, "%s: %s", argv[i],
				one ? "not a result of holdfast-rehearse --json"
				    : why.text);
			status = fail(OUTCOME_WRONG, &e);
		} else if (json_array_append(all, one) < 0) {
			err_set(&e, "out of memory");
			status = fail(OUTCOME_NO_ROOM, &e);
		}
		json_decref(one);
	}
	if (status == OUTCOME_OK && !page_write(argv[2], all, &e))
		status = fail(OUTCOME_WRONG, &e);
	json_decref(all);
	return status;
}

/* canned: the server with fixed answers. */

static const char canned_help[] =
	"usage: holdfast-rehearse canned [OPTION]...\n"
	"Answers a mail protocol with fixed replies and no work behind them, on the loopback.\n"
	"  --address A    127.0.0.1\n"
	"  --port N       any\n"
	"  --service W    smtp, submission, submissions, imap, imaps, pop3, pop3s (smtp)\n"
	"  --bare         accept, write one line, close: nothing else\n"
	"  --keep DIR     write each message to a file of its own and make it durable\n"
	"  --processes N  that share the work (1)\n"
	"  --tls          offer STARTTLS\n"
	"  --any-password every password is right (else none is)\n";

static bool canned_option(struct canned_options *o, const char *name, const char *value,
			  bool *used)
{
	enum service service;
	uint64_t n;

	*used = false;
	if (strcmp(name, "--bare") == 0)
		return o->bare = true;
	if (strcmp(name, "--tls") == 0)
		return o->tls = true;
	if (strcmp(name, "--any-password") == 0)
		return o->takes_passwords = true;
	*used = true;
	if (!value)
		return false;
	if (strcmp(name, "--address") == 0)
		return (o->address = value) != NULL;
	if (strcmp(name, "--keep") == 0)
		return (o->keep = value) != NULL;
	if (strcmp(name, "--port") == 0 && number_parse(span_str(value), 65535, &n)) {
		o->port = (uint16_t)n;
		return true;
	}
	if (strcmp(name, "--processes") == 0 &&
	    number_parse(span_str(value), WORKERS_MAX, &n) && n > 0) {
		o->processes = (unsigned)n;
		return true;
	}
	if (strcmp(name, "--service") == 0 && service_parse(span_str(value), &service)) {
		o->speaks = service_speaks(service);
		o->implicit_tls = service_tls(service);
		return true;
	}
	return false;
}

static int canned(int argc, char **argv)
{
	struct canned_options o = { .address = "127.0.0.1", .processes = 1 };
	bool used;

	for (int i = 2; i < argc; i += used ? 2 : 1) {
		if (strcmp(argv[i], "--help") == 0) {
			fputs(canned_help, stdout);
			return OUTCOME_OK;
		}
		if (!canned_option(&o, argv[i], i + 1 < argc ? argv[i + 1] : NULL, &used)) {
			fprintf(stderr,
				"holdfast-rehearse: canned: %s is wrong or wants another "
				"value\n%s",
				argv[i], canned_help);
			return OUTCOME_WRONG;
		}
	}
	return canned_serve(&o);
}

/* Play. */

static bool load(struct options *o, struct scenario **s, struct err *e)
{
	static const char *beside[ACTORS_MAX + 1];
	static char names[1024];
	char dir[PATH_MAX], honest[PATH_MAX], path[PATH_MAX];
	size_t n = 0;

	if (!below(dir, sizeof(dir), home(o->scenarios), "scenarios") ||
	    !below(honest, sizeof(honest), home(o->scenarios), "honest"))
		return err_set(e, "--scenarios: too long");
	if (o->beside && strcmp(o->beside, "none") != 0) {
		char *rest = names;

		if (snprintf(names, sizeof(names), "%s", o->beside) >= (int)sizeof(names))
			return err_set(e, "--beside: too long");
		for (char *word; (word = strsep(&rest, ",")) != NULL;) {
			if (n == ACTORS_MAX)
				return err_set(e, "--beside: at most %d", ACTORS_MAX);
			beside[n++] = word;
		}
	}
	if (!scenario_find(o->scenario, dir, path, sizeof(path), e) ||
	    !scenario_open(s, path, honest, o->beside ? beside : NULL, e))
		return false;
	for (size_t i = 0; i < PHASE_COUNT; i++)
		if (o->phase[i] >= 0)
			(*s)->phase[i] = o->phase[i];
	if ((*s)->phase[PHASE_ATTACK] == 0)
		return err_set(e, "--attack: without an attack nothing is rehearsed");
	return o->scale == 1 || scenario_scale(*s, o->scale, e);
}

static bool find_targets(struct options *o, struct err *e)
{
	for (int s = 0; s < SERVICE_COUNT; s++)
		if (o->to[s] &&
		    !target_parse(&o->conduct.targets[s], o->to[s], (enum service)s, e))
			return false;
	return true;
}

static bool report(const struct options *o, const struct result *r, struct err *e)
{
	json_t *one = result_json(r), *all;
	bool ok = one != NULL;

	if (!ok)
		return err_set(e, "out of memory for the result");
	if (o->json && strcmp(o->json, "-") == 0)
		ok = json_dumpf(one, stdout, JSON_COMPACT) == 0 && puts("") >= 0;
	else if (o->json)
		ok = json_dump_file(one, o->json, JSON_COMPACT) == 0;
	if (!ok)
		err_set(e, "%s: cannot be written: %s", o->json, strerror(errno));
	if (ok && o->html) {
		all = json_pack("[O]", one);
		ok = all ? page_write(o->html, all, e) : err_set(e, "out of memory");
		json_decref(all);
	}
	json_decref(one);
	return ok;
}

static bool any_broken(const struct result *r)
{
	for (size_t i = 0; i < r->judged_n; i++)
		if (r->judged[i].verdict == VERDICT_BROKEN)
			return true;
	return false;
}

static enum outcome play(struct options *o, struct scenario *s, struct err *e)
{
	static struct tally tally;
	static struct result result;
	enum outcome went = conduct(s, &o->conduct, &result, &tally, e);

	if (result.tally) { /* as far as it went */
		struct err why;

		result_judge(&result);
		result_table(&result,
			     o->json && strcmp(o->json, "-") == 0 ? stderr : stdout);
		if (!report(o, &result, &why)) {
			if (went != OUTCOME_OK)
				fail((int)went, e);
			*e = why;
			went = went == OUTCOME_OK ? OUTCOME_WRONG : went;
		}
		if (went == OUTCOME_OK && o->strict && any_broken(&result))
			went = OUTCOME_BROKEN;
	}
	result_release(&result);
	tally_close(&tally);
	return went;
}

static int run(int argc, char **argv)
{
	struct options o;
	struct scenario *s = NULL;
	struct err e = { "" };
	pid_t child = 0;
	int status;

	if (!options_parse(&o, argc, argv, &status))
		return o.help ? usage(stdout, OUTCOME_OK) : status;
	status = OUTCOME_WRONG;
	if (!load(&o, &s, &e) || (o.namespaced && !space_open(&e)) ||
	    !find_targets(&o, &e))
		goto out;
	o.conduct.scale = o.scale;
	if (o.command) {
		if (!launch_start(o.command, &child, &e))
			goto out;
		o.conduct.pids[0] = child;
		o.conduct.pids_n = 1;
		o.conduct.launched = true;
	}
	status = (int)play(&o, s, &e);
out:
	if (status != OUTCOME_OK && status != OUTCOME_BROKEN)
		fail(status, &e);
	launch_stop(&child);
	scenario_close(&s);
	options_release(&o);
	return status;
}

int main(int argc, char **argv)
{
	const char *first = argc > 1 ? argv[1] : "";

	signal(SIGPIPE, SIG_IGN);
	if (argc < 2)
		return usage(stderr, OUTCOME_WRONG);
	if (strcmp(first, "--version") == 0) {
		puts("holdfast-rehearse " HOLDFAST_VERSION);
		return OUTCOME_OK;
	}
	if (strcmp(first, "list") == 0)
		return list(argc > 3 && strcmp(argv[2], "--scenarios") == 0 ? argv[3]
									    : NULL);
	if (strcmp(first, "show") == 0)
		return argc == 3 ? show(argv[2], NULL) : usage(stderr, OUTCOME_WRONG);
	if (strcmp(first, "page") == 0)
		return page(argc, argv);
	if (strcmp(first, "canned") == 0)
		return canned(argc, argv);
	return run(argc, argv);
}
