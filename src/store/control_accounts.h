/*
 * control_accounts - users, aliases and domains, as the administrator changes them
 *
 * Whoever is asked for is told what is wrong, if something is.
 */
#ifndef STORE_CONTROL_ACCOUNTS_H
#define STORE_CONTROL_ACCOUNTS_H

#include "store/inner.h"
#include "store/names.h"

enum change {
	USER_ADD,
	USER_REMOVE,
	ALIAS_ADD,
	ALIAS_REMOVE,
	DOMAIN_ADD,
	DOMAIN_REMOVE,
};

struct op_account {
	struct op op;
	struct store *store;
	uint32_t ask;
	enum change what;
	struct span key;     /* an address or a domain, in lower case */
	struct span targets; /* of an alias: a list */
	struct span catch_all;
	int64_t quota;
};

/* Have it changed; what of wanted is spans is copied. */
void account_put(struct store *s, uint32_t ask, const struct op_account *wanted);

/* False, for the caller to return: the text is not what it should be. */
bool account_refuse(struct store *s, uint32_t ask, struct span text, const char *what,
		    const char *why);
/* An address in lower case, its domain in ASCII. */
MUST bool account_read_address(struct store *s, uint32_t ask, struct span text,
			       uint8_t mem[ADDRESS_MAX], struct span *out);
/* Is its domain one of ours? */
MUST bool account_is_ours(struct store *s, uint32_t ask, struct span address);
/* --name VALUE, and nothing else. */
MUST bool account_read_option(struct store *s, uint32_t ask, struct span *rest,
			      const char *name, struct span *value);
void account_usage(struct store *s, uint32_t ask, const char *text);
/* Those of the database and those of tables, as rows. */
void account_list(struct store *s, uint32_t ask, const struct names *own,
		  const struct names *given,
		  void (*make)(const struct store *s, const struct name *n,
			       struct buf *row));

#endif
