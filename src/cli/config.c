#include "cli/config.h"

#include <stdlib.h>

#include "cli/config_show.h"
#include "cli/docs.h"
#include "conf/sections.h"

#define DEFAULT_CONFIG "/etc/holdfast/holdfast.conf"
#define SETS_MAX       64

struct args {
	const char *word; /* check, show, ... */
	struct config_show show;
	char in_dir[4096]; /* the path for --dir */
	const char *set[SETS_MAX];
	size_t set_count;
	enum docs_form form;
};

static const char usage[] =
	"usage: holdfast config check [--config FILE | --dir DIR] [--set KEY=VALUE]...\n"
	"       holdfast config show [KEY] [--config FILE | --dir DIR] [--set KEY=VALUE]... "
	"[--json]\n"
	"       holdfast config defaults [KEY] [--json]\n"
	"       holdfast config doc [KEY] [--markdown | --man]\n";

static bool refuse(const char *word, const char *why)
{
	fprintf(stderr, "holdfast: config: \"%s\" %s\n", word, why);
	return false;
}

static bool next_value(int argc, char **argv, int *i, const char **out)
{
	if (*i + 1 >= argc)
		return refuse(argv[*i], "needs a value");
	*out = argv[++*i];
	return true;
}

static bool read_args(int argc, char **argv, struct args *a)
{
	const char *value;

	*a = (struct args){ .show.path = DEFAULT_CONFIG };
	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--config") == 0) {
			if (!next_value(argc, argv, &i, &a->show.path))
				return false;
		} else if (strcmp(argv[i], "--dir") == 0) {
			if (!next_value(argc, argv, &i, &value))
				return false;
			snprintf(a->in_dir, sizeof(a->in_dir), "%s/holdfast.conf", value);
			a->show.path = a->in_dir;
		} else if (strcmp(argv[i], "--set") == 0) {
			if (a->set_count == SETS_MAX)
				return refuse(argv[i], "is there too often");
			if (!next_value(argc, argv, &i, &value))
				return false;
			a->set[a->set_count++] = value;
		} else if (strcmp(argv[i], "--json") == 0) {
			a->show.json = true;
		} else if (strcmp(argv[i], "--markdown") == 0) {
			a->form = DOCS_MARKDOWN;
		} else if (strcmp(argv[i], "--man") == 0) {
			a->form = DOCS_MAN;
		} else if (argv[i][0] == '-') {
			return refuse(argv[i], "is no option here");
		} else if (!a->word) {
			a->word = argv[i];
		} else if (!a->show.key) {
			a->show.key = argv[i];
		} else {
			return refuse(argv[i], "is one word too many");
		}
	}
	return a->word != NULL;
}

static void on_problem(void *arg, bool fatal, const char *text)
{
	fprintf(arg, "%s%s\n", fatal ? "" : "warning: ", text);
}

static struct loaded *load(const struct args *a, bool conf_only, FILE *problems)
{
	struct loader_request r = { .path = a->show.path,
				    .set = a->set,
				    .set_count = a->set_count,
				    .conf_only = conf_only,
				    .on_problem = on_problem,
				    .arg = problems };
	struct loaded *l;

	if (!loader_load(&r, &l) && !l)
		exit(1);
	return l;
}

static const char *plural(unsigned n)
{
	return n == 1 ? "" : "s";
}

static int check(const struct args *a)
{
	struct loaded *l = load(a, false, stdout);
	unsigned fatal = l->fatal, warnings = l->warnings;

	loader_close(&l);
	if (fatal + warnings == 0) {
		printf("%s: good\n", a->show.path);
		return 0;
	}
	printf("%s: %u problem%s, %u warning%s\n", a->show.path, fatal, plural(fatal),
	       warnings, plural(warnings));
	return fatal ? 1 : 0;
}

static int nothing_there(const struct args *a)
{
	const char *near;

	/* a list may be empty */
	if (section_find(span_str(a->show.key)) != SECTION_COUNT)
		return 0;
	near = key_suggest(span_str(a->show.key), SUGGEST_ALL);
	fprintf(stderr, "holdfast: there is no setting \"%s\"%s%s%s\n", a->show.key,
		near ? "; did you mean \"" : "", near ? near : "", near ? "\"?" : "");
	return 1;
}

static int show(const struct args *a)
{
	struct loaded *l = load(a, true, stderr);
	size_t count = config_show_settings(&a->show, &l->conf.set, &l->origins) +
		       config_show_lists(&a->show, l);
	bool good = l->fatal == 0;

	loader_close(&l);
	if (count == 0 && a->show.key)
		return nothing_there(a);
	return good ? 0 : 1;
}

static int defaults(const struct args *a)
{
	static const struct origins nowhere;
	struct settings set;

	settings_init(&set);
	return config_show_settings(&a->show, &set, &nowhere) || !a->show.key
		       ? 0
		       : nothing_there(a);
}

static int doc(const struct args *a)
{
	struct span key = a->show.key ? span_str(a->show.key) : SPAN_NONE;

	return docs_settings(stdout, a->form, key) ? 0 : nothing_there(a);
}

int cli_config(int argc, char **argv)
{
	struct args a;

	if (!read_args(argc, argv, &a)) {
		fputs(usage, stderr);
		return 2;
	}
	if (strcmp(a.word, "check") == 0)
		return check(&a);
	if (strcmp(a.word, "show") == 0)
		return show(&a);
	if (strcmp(a.word, "defaults") == 0)
		return defaults(&a);
	if (strcmp(a.word, "doc") == 0)
		return doc(&a);
	if (strcmp(a.word, "help") == 0) {
		fputs(usage, stdout);
		return 0;
	}
	refuse(a.word, "is none of check, show, defaults and doc");
	fputs(usage, stderr);
	return 2;
}
