/*
 * ask - one command to a running server, and its answer
 */
#ifndef CLI_ASK_H
#define CLI_ASK_H

#include <limits.h>

#include "cli/cli.h"
#include "spec/control.h"

/* The rows of an answer, in the order in which they came, and its end. */
struct answer {
	bool ok;
	char text[CONTROL_TEXT_MAX + 1];
	uint8_t *mem; /* all frames */
	size_t n, cap;
	size_t end;   /* where the rows end */
	bool letters; /* its domains are shown with the letters that they stand for */
};

/* Which configuration file is meant: --config, --dir, or the usual one. */
MUST bool ask_config(const struct cli *c, char path[PATH_MAX], struct err *err);
/* Where the server's control socket is: --control, or what the configuration says. */
MUST bool ask_path(const struct cli *c, char path[TEXT_MAX], struct err *err);

/*
 * Ask. False: err says why there is no whole answer; who could not be asked at all is
 * told from one who fell silent by ask_reached(). True: answer_close() it, whether it is
 * ok or not.
 */
MUST bool ask(const struct cli *c, const char *const *words, size_t count,
	      struct answer *out, struct err *err);
bool ask_reached(const struct cli *c);
/*
 * Ask for an answer that has no end of its own: on_row gets each row as it comes. True:
 * the server ended it, and text says why.
 */
MUST bool ask_stream(const struct cli *c, const char *const *words, size_t count,
		     void (*on_row)(void *arg, struct span row), void *arg,
		     char text[CONTROL_TEXT_MAX + 1], struct err *err);
void answer_close(struct answer *a);

/* Rows one after another; *at begins as 0. */
MUST bool answer_next(const struct answer *a, size_t *at, struct span *row);

/* Say why there is no answer; the exit code. */
int ask_absent(const struct cli *c, const struct err *err);

/* Ask, and show the answer as the command's row in the table says. The exit code. */
int ask_and_show(const struct cli *c, const char *const *words, size_t count);

#endif
