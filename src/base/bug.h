/*
 * bug - our own mistakes stop the process, also in release builds
 *
 * A process that has broken one of its own promises must not go on judging mail.
 * The supervisor replaces it; what it held is repaired.
 */
#ifndef BASE_BUG_H
#define BASE_BUG_H

/* clang-format off */
#define BUG_IF(cond) do { if (__builtin_expect(!!(cond), 0)) __builtin_trap(); } while (0)
/* clang-format on */

#endif
