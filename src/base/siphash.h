/*
 * siphash - a hash that nobody can predict without the key (SipHash-2-4)
 */
#ifndef BASE_SIPHASH_H
#define BASE_SIPHASH_H

#include "base/span.h"

uint64_t siphash(const uint64_t key[2], struct span s);

#endif
