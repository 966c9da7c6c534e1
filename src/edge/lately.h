/*
 * lately - who came in from where, the last time that they wanted to
 *
 * Whoever is expected to come in again can have something made ready before it is certain.
 * One refusal, and they are expected no more: so no more is ever made ready in vain than was
 * needed before. What falls into the place of another makes it forgotten.
 */
#ifndef EDGE_LATELY_H
#define EDGE_LATELY_H

#include "base/addr.h"

#define LATELY_PLACES 1024

struct lately {
	uint64_t key[2];
	uint64_t in[LATELY_PLACES];
};

void lately_init(struct lately *l, const uint64_t key[2]);
/* Never 0. */
uint64_t lately_who(const struct lately *l, const struct addr *from, struct span user);
bool lately_has(const struct lately *l, uint64_t who);
void lately_note(struct lately *l, uint64_t who, bool let_in);

#endif
