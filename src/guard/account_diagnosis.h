/*
 * account_diagnosis - what happens to an account, judged by the evidence
 *
 * A pure function, as guard/diagnosis.h is for clients: a labelled set of cases
 * (tests/unit/test_account_diagnosis.c) says what it must be.
 */
#ifndef GUARD_ACCOUNT_DIAGNOSIS_H
#define GUARD_ACCOUNT_DIAGNOSIS_H

#include "guard/account_look.h"

enum account_kind {
#define ACCOUNT_DIAGNOSIS(id, ...) ACCOUNT_##id,
#include "guard/account_diagnosis.def"
	ACCOUNT_KINDS
};

struct account_kind_row {
	const char *word, *doc;
};

extern const struct account_kind_row account_kind_table[ACCOUNT_KINDS];

struct account_diagnosis {
	enum account_kind kind;
	uint8_t confidence; /* of a hundred */
	uint8_t why_n;
	char why[200]; /* for people: "214 different wrong passwords from 139 networks" */
};

/*
 * What there is to say in one sentence, with the client's own name: '...' at 192.0.2.7 is a
 * client that runs away: ... Nothing if the kind says it all.
 */
void account_sentence(const struct account_state *st, enum account_kind kind,
		      struct buf *out);

/* places: how many a day are allowed (accounts_limits.places; 0: any). */
void account_diagnose(const struct account_state *st, int64_t places,
		      struct account_diagnosis *out);

#endif
