/*
 * account_judge - steps that coming and being done have in common; for account*.c only
 */
#ifndef GUARD_ACCOUNT_JUDGE_H
#define GUARD_ACCOUNT_JUDGE_H

#include "guard/account_inside.h"

/* Find or make its rows, and let pass what is over. Writing begins; attempt_close() ends it. */
void attempt_open(struct attempt *x, struct accounts *a, const struct account_try *t,
		  ms_t now, int64_t wall);
void attempt_close(struct attempt *x);

/* Was this secret wrong for this pair before? And when was it last checked (0: never)? */
bool attempt_repeats(const struct attempt *x, gsec_t *checked);
/* It is in flight, and that is not known to be over. */
bool attempt_busy(const struct attempt *x);
/* What the refusal of a wrong secret waits; `new`: one more that was not given before. */
ms_t attempt_delay(struct attempt *x, bool new);
/* A step of a delay, after it has faded; `up`: one more. */
unsigned attempt_level(const struct attempt *x, uint8_t *level, gsec_t *level_at, bool up);
/* Doubled with each step, up to limits.delay_max. */
ms_t attempt_longer(const struct accounts_limits *l, unsigned level);
/* It wants more sessions than it may have. */
bool attempt_over(const struct attempt *x);
/* That refuses nobody. */
bool attempt_observes_over(const struct accounts *a);
/* It is refused for that, or only counted. */
void attempt_say_over(struct attempt *x, struct account_verdict *v);
/* How long the refusals wait that are not told yet. */
ms_t attempt_backlog(const struct attempt *x);
bool attempt_guarded(const struct attempt *x);
/* It cannot be checked now. */
void attempt_later(const struct attempt *x, struct account_verdict *v);
/* One more wrong secret, or one that is as good as wrong. checked: auth looked. */
void attempt_wrong(struct attempt *x, bool repeated, bool refused);
/* So many different users that do not exist were tried from its network that it is refused. */
bool attempt_net_refused(const struct attempt *x);
/* Somebody logged in from there: not all of it is refused. */
bool attempt_net_shared(const struct attempt *x);

#endif
