/*
 * loader_walk - from libconfig's tree to struct conf
 *
 * Inside the loader only. Certificates, sources and access lists are noted here, and read by loader.c.
 */
#ifndef APP_LOADER_WALK_H
#define APP_LOADER_WALK_H

#include <libconfig.h>

#include "app/loader.h"
#include "conf/sections.h"
#include "conf/tables.h"

struct certificate_files {
	const char *cert, *key; /* borrowed from the tree */
	struct origin at;
};

struct source_file {
	enum table_kind kind;
	const char *file, *domain; /* borrowed */
	struct origin at;
};

/* What an entry of relays says itself. */
struct relay_given {
	bool to, tls, login;
};

struct walk {
	struct conf *conf;
	struct origins *origins;
	struct problems *problems;
	const char *dir; /* for relative paths */
	bool given[SECTION_COUNT];
	bool tls_given[LISTENERS_MAX];
	struct relay_given relay_given[RELAYS_MAX];
	const char *mailbox_backend[MAILBOXES_MAX]; /* borrowed: the name it was given */
	size_t certificate_count, source_count, allow_count, deny_count, access_count;
	struct certificate_files certificates[CERTIFICATES_MAX];
	struct source_file sources[SOURCES_MAX];
	struct access_text allow[ACCESS_TEXTS_MAX], deny[ACCESS_TEXTS_MAX];
	struct access_source access[ACCESS_MAX];
};

/* Once all is read: backends may stand behind the mailboxes that name them. */
void walk_mailboxes_place(struct walk *w);
void walk_tree(struct walk *w, const config_setting_t *root);

#endif
