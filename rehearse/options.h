/*
 * options - what the command line says
 */
#ifndef REHEARSE_OPTIONS_H
#define REHEARSE_OPTIONS_H

#include "rehearse/conduct.h"

struct options {
	struct conduct_options conduct; /* the texts in it point into argv */
	const char *scenario;
	char **command; /* the server to start; NULL: it runs already */
	const char *to[SERVICE_COUNT];
	const char *beside;    /* a list; NULL: as the scenario says */
	const char *scenarios; /* directory; NULL: look for it */
	const char *json, *html;
	double scale;
	ms_t phase[PHASE_COUNT]; /* -1: as the scenario says */
	bool namespaced;
	bool strict;
	bool help; /* was asked for */
};

/* False if the program should end now with *status: help was asked for, or a message said why. */
MUST bool options_parse(struct options *o, int argc, char **argv, int *status);
void options_release(struct options *o);

/* All options, for --help. */
void options_help(void);

#endif
