/*
 * vault_inner - what vault.c and vault_told.c share; for db/ only
 */
#ifndef DB_VAULT_INNER_H
#define DB_VAULT_INNER_H

#include "db/nameset.h"
#include "db/sql.h"
#include "db/vault.h"

struct vault {
	struct sql sql;
	bool within;	       /* between vault_begin() and vault_commit() */
	struct nameset *names; /* of the accounts with a password */
};

/* Move the log into the file now and then; not within a transaction. */
MUST bool vault_settle(struct vault *v, struct err *err);

#endif
