/*
 * sums - what verdicts, tables and JSON count alike
 *
 * All of it comes from a struct result, and nothing here changes one. A result without a tally (a
 * run that never began) counts as one in which nothing happened.
 */
#ifndef REHEARSE_SUMS_H
#define REHEARSE_SUMS_H

#include "rehearse/result.h"

/* When a phase began and ended, in ms since the run began; earlier than planned if the run ended
 * in it, and both the same if it did not come to it. */
ms_t sums_from(const struct result *r, enum phase p);
ms_t sums_to(const struct result *r, enum phase p);
double sums_seconds(const struct result *r, enum phase p);

/* Buckets up to the end of the last phase that there was. */
unsigned sums_buckets(const struct result *r);

/* Who is meant: `name` alone, or if NULL all attackers (everybody, if there are none). */
bool sums_means(const struct result *r, unsigned actor, const char *name);

void sums_phase(const struct result *r, unsigned actor, enum phase p,
		struct tally_phase *out);

/* Visits that ended so, at whatever stage. */
uint64_t sums_ended(const struct tally_phase *p, enum end e);
/* Visits that ended, except those that the phase was over for. */
uint64_t sums_ended_all(const struct tally_phase *p);
/*
 * How many visits there are to be judged: done ones, those that failed for good, and those that
 * were due and never began. Not those that will be tried again or that the phase was over for.
 */
uint64_t sums_asked(const struct tally_phase *p);
uint64_t sums_replies(const struct tally_phase *p);
/* What a server refuses and may log: replies 4xx and 5xx, and hanging up without a word. */
uint64_t sums_refusals(const struct tally_phase *p);

/* Connections and refusals of everybody, honest ones too: what the server's cost is spread over. */
uint64_t sums_connections(const struct result *r, enum phase p);
uint64_t sums_refused(const struct result *r, enum phase p);

/* The most sessions that were open at the same time in the attack, of those who are meant. */
uint64_t sums_open_most(const struct result *r, const char *name);

/* What the server used in a phase. */
struct sums_cost {
	unsigned has; /* SERVER_HAS_ bits; 0: nothing is known */
	double cpu;
	uint64_t pss_begin, pss_end, pss_most;
	uint64_t kernel_begin, kernel_most;
	uint64_t both_begin, both_most; /* PSS and kernel memory at one time */
	uint32_t fds_most, processes_most;
	uint64_t log, written;
};

void sums_cost(const struct result *r, enum phase p, struct sums_cost *out);

/* The first breach of an actor, escaped; "" if there is none. */
void sums_breach(const struct result *r, unsigned actor, char *out, size_t cap);

/* Printable ASCII as it is, everything else as \xHH. Cut to fit, never in the middle of one. */
void sums_escape(const char *text, char *out, size_t cap);

/* "512 B", "1.5 KiB", "16.0 MiB"; out has room for 24. */
void sums_bytes(double bytes, char *out);

#endif
