/*
 * code - the short code in every refusal, by which it can be explained
 *
 * A letter that says which rule refused (spec/rules.def), then 30 bits of a keyed hash of
 * the client, in Crockford's base 32: P7K2Q9M. The same client and rule have the same
 * code, on every worker, for as long as the guard's memory lives.
 */
#ifndef GUARD_CODE_H
#define GUARD_CODE_H

#include "guard/memory.h"

#define CODE_LENGTH 7

void code_make(const struct memory *m, enum rule rule, const struct addr *a,
	       char out[CODE_MAX]);
/* Upper or lower case; O is 0, I and L are 1. False: not a code. */
MUST bool code_parse(struct span text, enum rule *rule, uint32_t *hash);
/* The client's 30 bits: a key of LEVEL_CLIENT. */
uint32_t code_hash(const struct memory *m, struct guard_key k);

#endif
