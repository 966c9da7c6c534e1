/*
 * tables - the TABLES blob: who gets mail here, as files say, from the loader to the store
 *
 * Four bytes of magic, then entries. Keys are in lower case (ASCII): "user@domain",
 * "@domain" for everybody of it, or a bare domain for TABLE_DOMAIN. Targets of an alias
 * are a list (base/list.h) of addresses "user@domain", the domain in lower case.
 */
#ifndef CONF_TABLES_H
#define CONF_TABLES_H

#include "base/attr.h"
#include "base/buf.h"

enum table_kind {
	TABLE_ADDRESS, /* key gets mail; "@domain" is a catch-all */
	TABLE_DOMAIN,  /* key is a domain of ours */
	TABLE_ALIAS,   /* mail for key goes to targets instead */
	TABLE_KINDS
};

struct table_entry {
	enum table_kind kind;
	struct span key;
	struct span targets;
};

/* How many bytes tables_put() will write. */
size_t tables_room(const struct table_entry *e);

void tables_begin(struct buf *out);
void tables_put(struct buf *out, const struct table_entry *e);

/*
 *     if (!tables_open(blob, &left)) ...
 *     while (tables_next(&left, &entry)) ...
 */
MUST bool tables_open(struct span blob, struct span *left); /* false: not a whole one */
MUST bool tables_next(struct span *left, struct table_entry *out);

#endif
