/*
 * attr - the compiler attributes we use, by one name each
 */
#ifndef BASE_ATTR_H
#define BASE_ATTR_H

#define MUST	     __attribute__((warn_unused_result))
#define PRINTF(f, a) __attribute__((format(printf, f, a)))
#define NORETURN     __attribute__((noreturn))
#define COUNT_OF(a)  (sizeof(a) / sizeof((a)[0]))

#endif
