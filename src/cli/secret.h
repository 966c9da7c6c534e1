/*
 * secret - a password from the command line, from standard input or from a person
 */
#ifndef CLI_SECRET_H
#define CLI_SECRET_H

#include "cli/cli.h"

#define SECRET_MAX 1024

struct secret {
	bool given;
	char text[SECRET_MAX + 1];
};

/*
 * --password P, --password-stdin (its first line), or asked for twice where there is a
 * terminal; else none is given. Takes the options out of c's words.
 */
MUST bool secret_get(struct cli *c, struct secret *out, struct err *err);
void secret_wipe(struct secret *s);

/* Eighty random bits that can be read aloud, as text: "k3fm-9x2c-...". */
#define SECRET_RANDOM 20
MUST bool secret_random(char out[SECRET_RANDOM], struct err *err);

#endif
