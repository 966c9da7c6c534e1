/*
 * counts - what one worker writes into its cells of the tally
 */
#ifndef REHEARSE_COUNTS_H
#define REHEARSE_COUNTS_H

#include "rehearse/crowd.h"
#include "rehearse/tally.h"
#include "rehearse/visit.h"

struct counts {
	const struct tally *tally; /* borrowed */
	unsigned worker;
	unsigned bucket;	   /* the present one */
	uint32_t open[ACTORS_MAX]; /* connections, by actor */
};

void counts_init(struct counts *c, const struct tally *t, unsigned worker);

/* The time goes on, in ms of the monotonic clock. When the next bucket begins. */
double counts_turn(struct counts *c, double now);

/* To which phase a visit belongs: that of the time when it was due. */
enum phase counts_phase(const struct counts *c, double due);

struct counted {
	unsigned actor;
	enum phase phase;
};

/* Its time has come (open loop only); it has begun, or it will not. */
void counts_due(struct counts *c, struct counted v);
void counts_skipped(struct counts *c, struct counted v);
void counts_no_port(struct counts *c, struct counted v);
void counts_begun(struct counts *c, struct counted v);

/* Its connection is there, and gone. refused: by nobody who listens. */
void counts_opened(struct counts *c, struct counted v);
void counts_closed(struct counts *c, struct counted v);
void counts_refused(struct counts *c);

void counts_bytes(struct counts *c, struct counted v, size_t in, size_t out);
void counts_heard(struct counts *c, struct counted v, const struct visit_out *o);

/* ms since it was due; it got what it came for. */
void counts_done(struct counts *c, struct counted v, double ms);

/* ms: until it was done, or until now. again: the same visit will be tried again. */
void counts_ended(struct counts *c, struct counted v, const struct crowd_visit *came,
		  enum stage stage, enum end end, double ms, bool again);

/* So many addresses of this actor have left here. */
void counts_left(struct counts *c, unsigned actor, unsigned left);

/* The CPU time used so far; counts_turn() does it as well. */
void counts_cpu(struct counts *c);

#endif
