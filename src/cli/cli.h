/*
 * cli - the holdfast command
 *
 * One table (commands.c) names every command, its usage and its purpose; `holdfast help`
 * and the dispatch follow from it. A command gets the words behind its own name and the
 * options that all of them know.
 *
 * Exit codes: 0 done; 1 it could not be done, stderr says why; 2 not a command, or not
 * used like that; 3 no server answers.
 */
#ifndef CLI_CLI_H
#define CLI_CLI_H

#include <stdio.h>

#include "base/err.h"
#include "spec/limits.h"

#define EXIT_DONE   0
#define EXIT_FAILED 1
#define EXIT_USAGE  2
#define EXIT_ABSENT 3

#define CLI_WORDS 256

struct cli {
	const struct cli_command *command; /* the one that runs */
	int argc;			   /* as the program got them */
	char **argv;
	int count;		     /* words behind the command's name */
	const char *word[CLI_WORDS]; /* the first of them, if it reads its options itself */
	/* options that all know */
	const char *config, *dir, *control;
	bool json, help;
};

/* How the rows of an answer are shown. */
enum cli_shape {
	SHAPE_TABLE,
	SHAPE_SHEET,	/* one row: name and value on each line */
	SHAPE_VERBATIM, /* likewise; a message's own text is in it, to be shown as it is */
	SHAPE_TEXT,	/* a sentence; rows beside it are for --json */
};

struct cli_command {
	const char *name; /* one or two words */
	const char *usage;
	const char *doc; /* the first line is the summary; more may follow */
	int (*run)(struct cli *c);
	enum cli_shape shape;
	bool own_options; /* it reads all its arguments itself */
};

extern const struct cli_command command_table[];
extern const size_t command_count;

/* Is the last word --help? */
bool cli_asks_help(int argc, char **argv);
/* The whole program but for `run` and the roles; argv[0] is its name. The exit code. */
int cli_main(int argc, char **argv);

/* "holdfast: ..." on stderr; the exit code EXIT_FAILED. */
int cli_fail(const char *fmt, ...) PRINTF(1, 2);
/* The server's no: its reason, or, if it says "usage:", how the command is used. The code. */
int cli_refused(const struct cli *c, const char *text);
/* What is wrong, and how the command is used; EXIT_USAGE. */
int cli_misused(const struct cli *c, const char *fmt, ...) PRINTF(2, 3);

/*
 * Take the option (and its value, if `value` is not NULL) out of the words. False: it is
 * not there. An option without its value has the value NULL.
 */
bool cli_option(struct cli *c, const char *name, const char **value);

#endif
