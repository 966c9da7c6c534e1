#include "cli/cli.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>

#include "base/span.h"
#include "cli/commands.h"
#include "cli/config.h"
#include "conf/sections.h"

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

int cli_refused(const struct cli *c, const char *text)
{
	if (strncmp(text, "usage:", strlen("usage:")) != 0)
		return cli_fail("%s", text);
	print_usage(stderr, c->command);
	return EXIT_USAGE;
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

static void print_summary(FILE *out, const struct cli_command *cmd)
{
	struct span doc = span_str(cmd->doc);
	struct span first = span_cut(&doc, '\n');

	fprintf(out, "  %-16s %.*s\n", cmd->name, SPAN_ARG(first));
}

/* All commands, or those whose name begins with that word; how many. `out` may be NULL. */
static size_t list_commands(FILE *out, const char *first)
{
	size_t n = 0;

	for (size_t i = 0; i < command_count; i++) {
		struct span name = span_str(command_table[i].name);

		if (first && !span_eq(span_cut(&name, ' '), span_str(first)))
			continue;
		if (out)
			print_summary(out, &command_table[i]);
		n++;
	}
	return n;
}

static int print_help(void)
{
	puts("usage: holdfast COMMAND [ARGUMENTS] [OPTIONS]\n\ncommands:");
	list_commands(stdout, NULL);
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
	if (!cmd && list_commands(stdout, word[0]))
		return EXIT_DONE;
	if (!cmd) {
		cli_fail("there is no command \"%s\": see holdfast help", word[0]);
		return EXIT_USAGE;
	}
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

/* The command, or the first word of one, that was meant: up to two letters are wrong. */
static const char *suggest(const char *word)
{
	const char *near = NULL;
	size_t least = strlen(word) > 3 ? 3 : 2;

	for (size_t i = 0; i < command_count; i++) {
		struct span name = span_str(command_table[i].name);
		size_t d = text_distance(span_str(word), span_cut(&name, ' '));

		if (d >= least)
			continue;
		least = d;
		near = command_table[i].name;
	}
	return near;
}

static int unknown(const struct cli *c)
{
	bool is_first = list_commands(NULL, c->word[0]) > 0;
	const char *near = suggest(c->word[0]);

	if (is_first && c->count > 1)
		fprintf(stderr, "holdfast: there is no command \"%s %s\"; there are:\n",
			c->word[0], c->word[1]);
	else if (is_first)
		fprintf(stderr, "holdfast: \"%s\" is the first word of:\n", c->word[0]);
	else if (near)
		fprintf(stderr,
			"holdfast: there is no command \"%s\"; did you mean \"%.*s\"?\n",
			c->word[0], (int)strcspn(near, " "), near);
	else
		fprintf(stderr, "holdfast: there is no command \"%s\"\n", c->word[0]);
	if (is_first)
		list_commands(stderr, c->word[0]);
	fputs("See: holdfast help\n", stderr);
	return EXIT_USAGE;
}

/* How many words its usage begins with that are no option and not in brackets. */
static int words_needed(const struct cli_command *cmd)
{
	struct span rest = span_str(cmd->usage);
	int n = 0;

	while (rest.n && rest.p[0] >= 'A' && rest.p[0] <= 'Z') {
		span_cut(&rest, ' ');
		n++;
	}
	return n;
}

/* The words behind its name are for the command itself; how many there are is in its usage. */
static int run_command(struct cli *c)
{
	int needed = words_needed(c->command);

	drop_words(c, 0, words_in(c->command->name));
	if (c->count < needed)
		return cli_misused(c, "%s needs %s behind it", c->command->name,
				   needed == 1 ? "a word" : "more words");
	if (!*c->command->usage && c->count && c->word[0][0] == '-')
		return cli_misused(c, "there is no option %s here", c->word[0]);
	if (!*c->command->usage && c->count)
		return cli_misused(c, "\"%s\" is one word too many", c->word[0]);
	return c->command->run(c);
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
	return c->command ? run_command(c) : unknown(c);
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

bool cli_asks_help(int argc, char **argv)
{
	return argc > 2 && strcmp(argv[argc - 1], "--help") == 0;
}

static int act(struct cli *c)
{
	const struct cli_command *cmd;

	if (c->argc > 0 && linked_as(c->argv[0]))
		c->word[c->count++] = linked_as(c->argv[0]);
	for (int i = 1; i < c->argc && c->count < CLI_WORDS; i++)
		c->word[c->count++] = c->argv[i];
	cmd = find(c->count, c->word);
	if (cmd && cmd->own_options && !cli_asks_help(c->argc, c->argv)) {
		c->command = cmd;
		return cmd->run(c);
	}
	if (c->argc > CLI_WORDS)
		return cli_fail("too many arguments");
	if (c->count == 1 && strcmp(c->word[0], "--version") == 0)
		c->word[0] = "version";
	if (!take_common(c)) {
		fputs("holdfast: --config, --dir and --control need a value\n", stderr);
		return EXIT_USAGE;
	}
	return dispatch(c);
}

/*
 * Half a list on a full disk must not pass for a whole one. But whoever hands in mail only
 * wants to know whether it was taken.
 */
int cli_main(int argc, char **argv)
{
	struct cli c = { .argc = argc, .argv = argv };
	int code;

	code = act(&c);
	if ((c.command && c.command->run == command_sendmail) ||
	    (fflush(stdout) == 0 && !ferror(stdout)))
		return code;
	cli_fail("not all of the answer could be written: %s", strerror(errno));
	return code == EXIT_DONE ? EXIT_FAILED : code;
}
