#include "cli/cli.h"

#include <stdarg.h>
#include <string.h>

#include "base/span.h"
#include "cli/commands.h"
#include "cli/config.h"

int cli_fail(const char *fmt, ...)
{
	va_list ap;

	fputs("holdfast: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	return EXIT_FAILED;
}

static void print_usage(FILE *out, const struct cli_command *cmd)
{
	fprintf(out, "usage: holdfast %s%s%s\n", cmd->name, *cmd->usage ? " " : "",
		cmd->usage);
}

int cli_misused(const struct cli *c, const char *fmt, ...)
{
	va_list ap;

	fputs("holdfast: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	print_usage(stderr, c->command);
	return EXIT_USAGE;
}

static void drop_words(struct cli *c, int at, int n)
{
	c->count -= n;
	memmove(&c->word[at], &c->word[at + n],
		(size_t)(c->count - at) * sizeof(c->word[0]));
}

bool cli_option(struct cli *c, const char *name, const char **value)
{
	size_t n = strlen(name);

	for (int i = 0; i < c->count; i++) {
		const char *word = c->word[i];

		if (strcmp(word, name) == 0) {
			if (value)
				*value = i + 1 < c->count ? c->word[i + 1] : NULL;
			drop_words(c, i, value && *value ? 2 : 1);
			return true;
		}
		if (value && strncmp(word, name, n) == 0 && word[n] == '=') {
			*value = word + n + 1;
			drop_words(c, i, 1);
			return true;
		}
	}
	return false;
}

/* Which command these words begin with: the one of two words before the one of one. */
static const struct cli_command *find(int count, const char *const *word)
{
	const struct cli_command *found = NULL;

	for (size_t i = 0; i < command_count; i++) {
		struct span rest = span_str(command_table[i].name);
		struct span first = span_cut(&rest, ' ');

		if (count < 1 || !span_eq(first, span_str(word[0])))
			continue;
		if (rest.n == 0 && !found)
			found = &command_table[i];
		if (rest.n && count >= 2 && span_eq(rest, span_str(word[1])))
			found = &command_table[i];
	}
	return found;
}

static int words_in(const char *name)
{
	return strchr(name, ' ') ? 2 : 1;
}

static void print_summary(const struct cli_command *cmd)
{
	struct span doc = span_str(cmd->doc);
	struct span first = span_cut(&doc, '\n');

	printf("  %-16s %.*s\n", cmd->name, SPAN_ARG(first));
}

/* All commands, or those whose name begins with that word; how many. */
static size_t list_commands(const char *first)
{
	size_t n = 0;

	for (size_t i = 0; i < command_count; i++) {
		struct span name = span_str(command_table[i].name);

		if (first && !span_eq(span_cut(&name, ' '), span_str(first)))
			continue;
		print_summary(&command_table[i]);
		n++;
	}
	return n;
}

static int print_help(void)
{
	puts("usage: holdfast COMMAND [ARGUMENTS] [OPTIONS]\n\ncommands:");
	list_commands(NULL);
	puts("\nEvery command reaches a running server by one of these:\n"
	     "  --config FILE      its configuration (/etc/holdfast/holdfast.conf)\n"
	     "  --dir DIR          the directory of a demo\n"
	     "  --control PATH     its control socket\n"
	     "  --json             answer with one JSON object per line\n\n"
	     "`holdfast help COMMAND` tells more. Exit codes: 0 done; 1 it could not be "
	     "done;\n"
	     "2 used wrongly; 3 no server answers.");
	return EXIT_DONE;
}

static int help_for(int count, const char *const *word)
{
	const struct cli_command *cmd = find(count, word);

	if (count == 0)
		return print_help();
	if (!cmd && list_commands(word[0]))
		return EXIT_DONE;
	if (!cmd)
		return cli_fail("there is no command \"%s\": see holdfast help", word[0]);
	print_usage(stdout, cmd);
	printf("\n%s\n", cmd->doc);
	return EXIT_DONE;
}

/* The options that all commands know. False: one of them has no value. */
static bool take_common(struct cli *c)
{
	const struct {
		const char *name;
		const char **value;
	} with_value[] = {
		{ "--config", &c->config },
		{ "--dir", &c->dir },
		{ "--control", &c->control },
	};

	for (size_t i = 0; i < sizeof(with_value) / sizeof(with_value[0]); i++)
		if (cli_option(c, with_value[i].name, with_value[i].value) &&
		    !*with_value[i].value)
			return false;
	c->json = cli_option(c, "--json", NULL);
	c->help = cli_option(c, "--help", NULL) || cli_option(c, "-h", NULL);
	return true;
}

/* `holdfast run` never comes here: only options in front of it do. */
int command_run(struct cli *c)
{
	return cli_misused(c, "run must be the first word");
}

int command_config(struct cli *c)
{
	return cli_config(c->argc - 1, c->argv + 1);
}

static int unknown(const struct cli *c)
{
	fprintf(stderr, "holdfast: there is no command \"%s\"\n", c->word[0]);
	fputs("See: holdfast help\n", stderr);
	return EXIT_USAGE;
}

static int dispatch(struct cli *c)
{
	bool is_help = c->count > 0 && strcmp(c->word[0], "help") == 0;

	if (c->count == 0 && c->help)
		return print_help();
	if (c->count == 0) {
		print_help();
		return EXIT_USAGE;
	}
	if (is_help)
		return help_for(c->count - 1, c->word + 1);
	c->command = find(c->count, c->word);
	if (c->help)
		return help_for(c->count, c->word);
	if (!c->command && list_commands(c->word[0]))
		return EXIT_USAGE;
	if (!c->command)
		return unknown(c);
	drop_words(c, 0, words_in(c->command->name));
	return c->command->run(c);
}

/* A link to the program may be a command of that name. */
static const char *linked_as(const char *program)
{
	static const char *const names[] = { "mailq", "sendmail" };
	const char *slash = strrchr(program, '/');

	for (size_t i = 0; i < COUNT_OF(names); i++)
		if (strcmp(slash ? slash + 1 : program, names[i]) == 0)
			return names[i];
	return NULL;
}

int cli_main(int argc, char **argv)
{
	struct cli c = { .argc = argc, .argv = argv };
	const struct cli_command *cmd;

	if (argc > CLI_WORDS)
		return cli_fail("too many arguments");
	if (argc > 0 && linked_as(argv[0]))
		c.word[c.count++] = linked_as(argv[0]);
	for (int i = 1; i < argc; i++)
		c.word[c.count++] = argv[i];
	cmd = find(c.count, c.word);
	if (cmd && cmd->own_options) {
		c.command = cmd;
		return cmd->run(&c);
	}
	if (c.count == 1 && strcmp(c.word[0], "--version") == 0)
		c.word[0] = "version";
	if (!take_common(&c)) {
		fputs("holdfast: --config, --dir and --control need a value\n", stderr);
		return EXIT_USAGE;
	}
	return dispatch(&c);
}
