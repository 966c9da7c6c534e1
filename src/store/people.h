/*
 * people - users, aliases, domains, and which mailbox server somebody has, in memory
 *
 * Two of these exist: what the database says, which the administrator changes while we
 * run, and what files and the configuration say, which is made anew at each reload.
 * Addresses and domains are in lower case (ASCII).
 */
#ifndef STORE_PEOPLE_H
#define STORE_PEOPLE_H

#include "store/names.h"

#define QUOTA_DEFAULT (-1)
#define USED_UNKNOWN  (-1)

struct user {
	struct name name; /* user@domain */
	int64_t quota;	  /* bytes; QUOTA_DEFAULT */
	int64_t used;	  /* bytes; USED_UNKNOWN until somebody looked */
	int64_t looked;	  /* when somebody did (monotonic) */
	bool full;	  /* as the map says it */
};

struct alias {
	struct name name;
	struct span targets; /* a list (base/list.h) */
};

struct domain {
	struct name name;
	struct span catch_all; /* an address, "*" for whatever was written, empty for none */
};

/* Of whoever logs in, a user of ours or not. */
struct located {
	struct name name;
	struct span backend; /* a name; the configuration may know it no more */
};

struct people {
	struct names users, aliases, domains, located;
};

void people_init(struct people *a, const uint64_t key[2]);
void people_close(struct people *a);

/* Texts are copied. What exists already is changed. False: out of memory. */
MUST bool people_put_user(struct people *a, struct span address, int64_t quota);
MUST bool people_put_alias(struct people *a, struct span address, struct span targets);
MUST bool people_add_target(struct people *a, struct span address, struct span target);
MUST bool people_put_domain(struct people *a, struct span name, struct span catch_all);
MUST bool people_put_located(struct people *a, struct span login, struct span backend);

/* False: there was none. */
bool people_drop_user(struct people *a, struct span address);
bool people_drop_alias(struct people *a, struct span address);
bool people_drop_domain(struct people *a, struct span name);
bool people_drop_located(struct people *a, struct span login);

struct user *people_user(const struct people *a, struct span address);
struct alias *people_alias(const struct people *a, struct span address);
struct domain *people_domain(const struct people *a, struct span name);
struct located *people_located(const struct people *a, struct span login);

#endif
