#include "auth/sources.h"

#include <stdio.h>
#include <stdlib.h>

#include "auth/passwd_file.h"

struct source {
	struct password_source conf;
	struct passwd_file *file;
	struct dovecot *dovecot; /* NULL: it could not be made */
};

struct sources {
	struct loop *loop;
	struct keeper *keeper;
	bool local;
	struct sources_calls calls;
	size_t count;
	struct source list[AUTH_SOURCES_MAX];
};

/* ---- the configuration ---------------------------------------- */

/* Without that section: the database. */
static size_t wanted(const struct conf *conf, const struct password_source **out)
{
	static const struct password_source database = { .kind = PASSWORDS_DATABASE };

	*out = conf->password_source_count ? conf->password_sources : &database;
	return conf->password_source_count ? conf->password_source_count : 1;
}

struct span sources_domain(const struct conf *conf)
{
	const struct password_source *list;
	size_t count = wanted(conf, &list);

	for (size_t i = 0; i < count; i++)
		if (list[i].domain[0])
			return span_str(list[i].domain);
	return conf->domain_count ? span_str(conf->domains[0]) : SPAN_NONE;
}

bool sources_local(const struct conf *conf)
{
	for (size_t i = 0; i < conf->password_source_count; i++)
		if (conf->password_sources[i].kind == PASSWORDS_DOVECOT)
			return true;
	return false;
}

/* The directory, because a new file is a new inode. */
size_t sources_places(const struct conf *conf, char out[AUTH_SOURCES_MAX][TEXT_MAX])
{
	size_t n = 0;

	for (size_t i = 0; i < conf->password_source_count; i++) {
		const struct password_source *s = &conf->password_sources[i];
		size_t cut = span_find_last(span_str(s->path), '/');

		if (s->kind != PASSWORDS_FILE || s->path[cut] != '/')
			continue;
		snprintf(out[n++], TEXT_MAX, "%.*s", cut ? (int)cut : 1, s->path);
	}
	return n;
}

static bool is_same(const struct sources *s, const struct conf *conf)
{
	const struct password_source *list;

	if (wanted(conf, &list) != s->count)
		return false;
	for (size_t i = 0; i < s->count; i++)
		if (list[i].kind != s->list[i].conf.kind ||
		    strcmp(list[i].path, s->list[i].conf.path) != 0 ||
		    strcmp(list[i].domain, s->list[i].conf.domain) != 0)
			return false;
	return true;
}

/* ---- coming and going ---------------------------------------- */

static bool open_one(struct sources *s, const struct conf *conf, struct source *one,
		     struct err *err)
{
	const struct password_source *c = &one->conf;
	struct passwd_calls calls = { s->calls.trouble, s->calls.changed, s->calls.arg };
	struct span domain = c->domain[0] ? span_str(c->domain) : sources_domain(conf);

	switch (c->kind) {
	case PASSWORDS_DATABASE:
	case PASSWORDS_BACKEND:
	case PASSWORDS_KINDS:
		return true;
	case PASSWORDS_FILE:
		return passwd_file_open(&one->file, s->loop, c->path, domain, &calls, err);
	case PASSWORDS_DOVECOT:
		break;
	}
	if (s->local)
		return dovecot_open(&one->dovecot, s->loop, c->path, c->domain,
				    s->calls.trouble, s->calls.arg, err);
	s->calls.trouble(s->calls.arg, "a socket of Dovecot has come to auth.sources: "
				       "restart auth, whose sandbox was closed without");
	return true;
}

static bool fill(struct sources *s, const struct conf *conf, struct err *err)
{
	const struct password_source *list;
	size_t count = wanted(conf, &list);

	for (s->count = 0; s->count < count; s->count++) {
		struct source *one = &s->list[s->count];

		*one = (struct source){ .conf = list[s->count] };
		if (!open_one(s, conf, one, err))
			return false;
	}
	return true;
}

static void empty(struct sources *s)
{
	size_t count = s->count;

	/* who is told LATER must not find what is being closed */
	s->count = 0;
	for (size_t i = 0; i < count; i++) {
		passwd_file_close(&s->list[i].file);
		dovecot_close(&s->list[i].dovecot);
	}
}

bool sources_open(struct sources **out, struct loop *loop, struct keeper *keeper,
		  const struct conf *conf, bool local, const struct sources_calls *calls,
		  struct err *err)
{
	struct sources *s = calloc(1, sizeof(*s));

	if (!s)
		return err_set(err, "out of memory");
	s->loop = loop;
	s->keeper = keeper;
	s->local = local;
	s->calls = *calls;
	if (fill(s, conf, err)) {
		*out = s;
		return true;
	}
	sources_close(&s);
	return false;
}

void sources_close(struct sources **sources)
{
	struct sources *s = *sources;

	*sources = NULL;
	if (!s)
		return;
	empty(s);
	free(s);
}

void sources_forget(struct sources *s)
{
	for (size_t i = 0; s && i < s->count; i++)
		if (s->list[i].dovecot)
			dovecot_forget(s->list[i].dovecot);
}

bool sources_conf(struct sources *s, const struct conf *conf, struct err *err)
{
	if (is_same(s, conf))
		return true;
	empty(s);
	return fill(s, conf, err);
}

/* ---- looking up ---------------------------------------------------------------- */

static void take_hash(struct source_account *out, struct span hash)
{
	static const struct span scram = SPAN_INIT("{SCRAM-SHA-256}");

	if (hash.n > sizeof(out->hash))
		return;
	if (hash.n)
		memcpy(out->hash, hash.p, hash.n);
	out->hash_n = hash.n;
	if (!span_starts(hash, scram) || hash.n - scram.n > sizeof(out->keys))
		return;
	out->keys_n = hash.n - scram.n;
	memcpy(out->keys, hash.p + scram.n, out->keys_n);
}

static void take_vault(struct source_account *out, const struct vault_account *v)
{
	take_hash(out, span_of(v->hash, v->hash_n));
	memcpy(out->keys, v->keys, v->keys_n);
	out->keys_n = v->keys_n;
}

static enum source_says file_says(const struct source *one, struct span user,
				  struct passwd_entry *entry)
{
	switch (passwd_file_find(one->file, user, entry)) {
	case PASSWD_HAS:
		return SOURCE_HAS;
	case PASSWD_HAS_NOT:
		return SOURCE_HAS_NOT;
	case PASSWD_UNREAD:
		break;
	}
	return SOURCE_LATER;
}

/* has: the database has the user. entry: what a file has, if it does. */
static enum source_says source_says(const struct source *one, struct span user,
				    bool reads, bool has, struct passwd_entry *entry)
{
	switch (one->conf.kind) {
	case PASSWORDS_DATABASE:
		return has ? SOURCE_HAS : SOURCE_HAS_NOT;
	case PASSWORDS_FILE:
		return file_says(one, user, entry);
	case PASSWORDS_BACKEND:
		return reads ? SOURCE_ASK : SOURCE_HAS_NOT;
	case PASSWORDS_DOVECOT:
	case PASSWORDS_KINDS:
		break;
	}
	return one->dovecot ? SOURCE_ASK : SOURCE_LATER;
}

/* The first from `from` on that knows the user, or is to be asked: *at. */
static enum source_says first_to_say(const struct sources *s, struct span user,
				     size_t from, bool reads, bool has, size_t *at,
				     struct passwd_entry *entry)
{
	enum source_says says = SOURCE_HAS_NOT;

	for (*at = from; *at < s->count; ++*at) {
		enum source_says one = source_says(&s->list[*at], user, reads, has, entry);

		if (one == SOURCE_HAS || one == SOURCE_ASK)
			return one;
		if (one == SOURCE_LATER)
			says = one;
	}
	return says;
}

enum source_says sources_find(struct sources *s, struct span user, size_t from,
			      bool reads, struct source_account *out)
{
	struct passwd_entry entry;
	enum source_says says;
	struct vault_account v;

	*out = (struct source_account){ 0 };
	/* `holdfast user disable` holds wherever the password is */
	if (!keeper_find(s->keeper, user, &v))
		return SOURCE_LATER;
	out->disabled = v.disabled;
	says = first_to_say(s, user, from, reads, v.known, &out->source, &entry);
	if (says == SOURCE_ASK)
		out->at_backend = s->list[out->source].conf.kind == PASSWORDS_BACKEND;
	if (says != SOURCE_HAS)
		return says;
	if (s->list[out->source].conf.kind == PASSWORDS_DATABASE) {
		take_vault(out, &v);
	} else {
		take_hash(out, entry.hash);
		out->disabled |= entry.locked;
	}
	return says;
}

enum source_says sources_know(struct sources *s, struct span user, bool reads)
{
	struct passwd_entry entry;
	bool has;
	size_t at;

	if (!keeper_knows(s->keeper, user, &has))
		return SOURCE_LATER;
	return first_to_say(s, user, 0, reads, has, &at, &entry);
}

bool sources_ask(struct sources *s, size_t source, const struct dovecot_ask *ask)
{
	return source < s->count && s->list[source].dovecot &&
	       dovecot_ask(s->list[source].dovecot, ask);
}
