/*
 * ask - one command to a running server, and its answer
 */
#ifndef CLI_ASK_H
#define CLI_ASK_H

#include "cli/cli.h"
#include "spec/control.h"

/* The rows of an answer, in the order in which they came, and its end. */
struct answer {
	bool ok;
	char text[CONTROL_TEXT_MAX + 1];
	uint8_t *mem; /* all frames */
	size_t n, cap;
	size_t end; /* where the rows end */
};

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
void answer_close(struct answer *a);

/* Rows one after another; *at begins as 0. */
MUST bool answer_next(const struct answer *a, size_t *at, struct span *row);

/* Ask, and show the answer as the command's row in the table says. The exit code. */
int ask_and_show(const struct cli *c, const char *const *words, size_t count);

#endif
