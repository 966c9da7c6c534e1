/*
 * sources - files that say who gets mail here
 *
 * Plain lists, alias files, and the source text of Postfix tables (hash:, texthash:), as
 * they are. The format is the one of postmap(1) for all: empty lines and lines whose first
 * character is # are skipped; a line that begins with white space continues the one before.
 */
#ifndef APP_SOURCES_H
#define APP_SOURCES_H

#include "app/files.h"
#include "conf/check.h"
#include "conf/tables.h"

struct source {
	enum table_kind kind;
	bool postfix; /* key, white space, value */
	const char *file;
	const char *domain; /* of names that have none; "" for none */
};

/* Read one, and append its entries to out. Problems say file and line. */
void source_read(const struct source *src, struct span text, struct grow *out,
		 struct problems *problems);

#endif
