/*
 * limits - the guard's limits out of the settings
 *
 * Here, because guard/ and conf/ do not know each other; for whoever judges (edge/) and for
 * whoever explains what was judged (watch/).
 */
#ifndef SESSION_LIMITS_H
#define SESSION_LIMITS_H

#include "conf/conf.h"
#include "guard/accounts.h"
#include "guard/guard.h"

/* observed: by enum rule, as in struct conf. */
void limits_of(const struct settings *set, const bool observed[RULE_COUNT],
	       struct guard_limits *out);
void limits_of_accounts(const struct settings *set, const bool observed[RULE_COUNT],
			struct accounts_limits *out);

#endif
