/*
 * attr - the compiler attributes we use, by one name each
 */
#ifndef BASE_ATTR_H
#define BASE_ATTR_H

#define MUST __attribute__((warn_unused_result))
/* Seldom needed: a call of its own, so that the way of all others stays short. */
#define APART __attribute__((noinline))
/* Reckoned anew for each caller, who knows most of the arguments beforehand. */
#define INLINE static inline __attribute__((always_inline))
/* All of it is written before it is read: do not clear it first (-ftrivial-auto-var-init). */
#define UNCLEARED    __attribute__((uninitialized))
#define PRINTF(f, a) __attribute__((format(printf, f, a)))
#define NORETURN     __attribute__((noreturn))
#define COUNT_OF(a)  (sizeof(a) / sizeof((a)[0]))

#endif
