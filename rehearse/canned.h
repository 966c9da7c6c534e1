/*
 * canned - a server with fixed answers and no work behind them: the ceiling
 *
 * Whatever a real server costs beyond this is the price of what it decides and keeps; and what
 * this one does not answer, the generator did not ask.
 */
#ifndef REHEARSE_CANNED_H
#define REHEARSE_CANNED_H

#include <stdint.h>
#include <sys/types.h>

#include "base/attr.h"
#include "base/err.h"
#include "rehearse/words.h"

struct canned_options {
	const char *address; /* loopback only (target.h decides) */
	uint16_t port;	     /* 0: any; see canned_start() */
	enum speaks speaks;
	bool bare;	  /* accept, write one line, close */
	const char *keep; /* directory: each message in a file of its own, fsynced; or NULL */
	unsigned processes; /* that accept from one socket; 1 to WORKERS_MAX */
	bool tls;	    /* STARTTLS, or implicit TLS if the service says so */
	bool implicit_tls;
	bool takes_passwords; /* any password is right */
};

/* Listens, then serves in this process and `processes - 1` children until SIGTERM or SIGINT, or
 * until its parent is gone. Prints "listening on ADDRESS:PORT" on standard output first. Exit
 * status. */
int canned_serve(const struct canned_options *o);

struct canned {
	pid_t pid;
	uint16_t port;
};

/* The same in a child process that ends with us; *out says where it listens. */
MUST bool canned_start(struct canned *out, const struct canned_options *o, struct err *e);
/* CPU-seconds it used are added to *cpu (may be NULL). */
void canned_stop(struct canned *c, double *cpu);

#endif
