/*
 * diagnosis - what a client is, judged by the evidence
 *
 * A pure function: the same evidence gives the same answer, and a labelled set of cases
 * (tests/unit/test_diagnosis.c) says what it must be.
 */
#ifndef GUARD_DIAGNOSIS_H
#define GUARD_DIAGNOSIS_H

#include "base/buf.h"
#include "guard/memory.h"

enum diagnosis_kind {
#define DIAGNOSIS(id, ...) DIAGNOSIS_##id,
#include "guard/diagnosis.def"
	DIAGNOSIS_COUNT
};

struct diagnosis_row {
	const char *word, *doc;
};

extern const struct diagnosis_row diagnosis_table[DIAGNOSIS_COUNT];

struct evidence {
	uint32_t seen[EVENT_COUNT];
	uint32_t variety[VARIETY_COUNT]; /* how many different ones */
	bool exact[VARIETY_COUNT];
	uint32_t connects, refused, visits, good;
	uint32_t null_senders; /* transactions with the null sender */
	double hours;	       /* since it was first seen */
	double per_hour;       /* connections, lately */
	bool no_ptr, listed, behind;
};

void evidence_of(const struct guard_hot *row, const struct guard_detail *detail, ms_t now,
		 struct evidence *out);

struct diagnosis {
	enum diagnosis_kind kind;
	uint8_t confidence; /* of a hundred */
	/* why, for people: "214 different unknown recipients, none accepted" */
	uint8_t why_n;
	char why[200];
};

void diagnose(const struct evidence *e, struct diagnosis *out);

#endif
