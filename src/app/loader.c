/*
 * The configuration file: read by libconfig, put into the tables, and filled in.
 */
#include "app/loader.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "app/loader_inner.h"
#include "app/loader_memory.h"
#include "app/local_users.h"
#include "conf/hop.h"

static struct origin whole_file(const struct loader_request *r)
{
	return (struct origin){ r->path, 0 };
}

/* The directory that relative paths are relative to. */
static bool find_dir(const struct loader_request *r, struct loader_memory *m)
{
	char *real = realpath(r->path ? r->path : ".", NULL);
	char *slash = real && r->path ? strrchr(real, '/') : NULL;

	if (!real || strlen(real) >= sizeof(m->dir)) {
		problem(&m->problems, whole_file(r), "cannot be read: %s",
			strerror(errno));
		free(real);
		return false;
	}
	if (slash)
		*(slash == real ? slash + 1 : slash) = '\0';
	snprintf(m->dir, sizeof(m->dir), "%s", real);
	free(real);
	return true;
}

static bool read_tree(const struct loader_request *r, struct loader_memory *m)
{
	struct origin at = whole_file(r);

	if (!r->path)
		return true;
	config_set_include_dir(&m->tree, m->dir);
	if (config_read_file(&m->tree, r->path))
		return true;
	if (config_error_type(&m->tree) == CONFIG_ERR_FILE_IO) {
		problem(&m->problems, at, "cannot be read: %s",
			errno ? strerror(errno) : "not a file");
		return false;
	}
	if (config_error_file(&m->tree))
		at.file = config_error_file(&m->tree);
	at.line = (unsigned)config_error_line(&m->tree);
	loader_unreadable(&m->problems, at, config_error_text(&m->tree));
	return false;
}

static void make_absolute(struct loaded *l, enum setting which, char text[TEXT_MAX])
{
	char path[PATH_CAP];

	if (!*text || *text == '/')
		return;
	if (!loader_absolute(l->memory->dir, text, path) || strlen(path) >= TEXT_MAX) {
		problem(&l->memory->problems, l->origins.set[which],
			"%s: the path is too long", setting_table[which].key);
		return;
	}
	memset(text, 0, TEXT_MAX);
	memcpy(text, path, strlen(path));
}

/* The ports where the handshake comes first, if nothing else is said (RFC 8314, 7.3). */
static bool is_implicit(const struct listener *l)
{
	switch (l->service) {
	case SERVICE_SUBMISSION:
		return l->at.port == 465;
	case SERVICE_IMAP:
		return l->at.port == 993;
	case SERVICE_POP3:
		return l->at.port == 995;
	case SERVICE_SMTP:
	case SERVICE_COUNT:
		break;
	}
	return false;
}

static void fill_in_listeners(struct loaded *l)
{
	struct walk *w = &l->memory->walk;
	struct conf *c = &l->conf;

	if (!w->given[SECTION_LISTEN])
		c->listeners[c->listener_count++] = (struct listener){ .at.port = 25 };
	for (size_t i = 0; i < c->listener_count; i++) {
		struct listener *at = &c->listeners[i];

		if (!w->tls_given[i] && c->certificate_count && !*at->path)
			at->tls = is_implicit(at) ? TLS_IMPLICIT : TLS_START;
	}
}

/*
 * What an entry of relays does not say is as delivery.* has it. But the login is not: it
 * is for the host in delivery.relay, and another must not be shown it.
 */
static void fill_in_relays(struct loaded *l)
{
	const struct relay_given *given = l->memory->walk.relay_given;
	struct conf *c = &l->conf;
	struct relay from = { .tls = (enum hop_tls)c->set.hop_tls };
	struct err unused; /* conf_check() reports it */

	if (!relay_parse(setting_text(c->set.relay), &from.hop, from.target, &unused))
		return;
	for (size_t i = 0; i < c->relay_count; i++) {
		struct relay *r = &c->relays[i];

		if (!given[i].tls)
			r->tls = from.tls;
		if (given[i].to)
			continue;
		r->hop = from.hop;
		memcpy(r->target, from.target, sizeof(r->target));
		if (!given[i].login)
			memcpy(r->login, c->set.relay_login, sizeof(r->login));
	}
}

/* What is not said follows from the machine, or from what is. */
static void fill_in(struct loaded *l)
{
	struct conf *c = &l->conf;

	loader_hosts(l, &l->memory->problems);
	if (!*c->set.hostname && gethostname(c->set.hostname, TEXT_MAX - 1) != 0)
		memset(c->set.hostname, 0, TEXT_MAX);
	make_absolute(l, SET_dir, c->set.dir);
	make_absolute(l, SET_control, c->set.control);
	make_absolute(l, SET_maildirs, c->set.maildirs);
	make_absolute(l, SET_log_file, c->set.log_file);
	make_absolute(l, SET_client_ca, c->set.client_ca);
	make_absolute(l, SET_fetch_ca_file, c->set.fetch_ca_file);
	c->certificate_count = (uint32_t)l->memory->walk.certificate_count;
	fill_in_listeners(l);
	walk_mailboxes_place(&l->memory->walk);
	local_users_read(c);
	fill_in_relays(l);
}

static struct loaded *make(const struct loader_request *r)
{
	struct loaded *l = calloc(1, sizeof(*l));
	struct loader_memory *m = calloc(1, sizeof(*m));

	if (!l || !m) {
		free(l);
		free(m);
		return NULL;
	}
	l->memory = m;
	l->conf.magic = CONF_MAGIC;
	l->conf.size = sizeof(l->conf);
	settings_init(&l->conf.set);
	config_init(&m->tree);
	grow_init(&m->certs, (size_t)(2 * CERTIFICATES_MAX + 1) * PEM_FILE_MAX);
	grow_init(&m->tables, (size_t)2 * SOURCE_FILE_MAX);
	m->problems = (struct problems){ .on_problem = r->on_problem, .arg = r->arg };
	m->walk = (struct walk){ .conf = &l->conf,
				 .origins = &l->origins,
				 .problems = &m->problems,
				 .dir = m->dir };
	return l;
}

static void say_how_many(const struct loader_request *r, unsigned fatal)
{
	char text[100];

	snprintf(text, sizeof(text), "%u more problems, which are not shown",
		 fatal - PROBLEMS_MAX);
	r->on_problem(r->arg, true, text);
}

bool loader_load(const struct loader_request *r, struct loaded **out)
{
	struct loaded *l = make(r);
	struct loader_memory *m;
	bool readable;

	*out = l;
	if (!l) {
		r->on_problem(r->arg, true, "out of memory");
		return false;
	}
	m = l->memory;
	readable = find_dir(r, m) && read_tree(r, m);
	if (readable)
		walk_tree(&m->walk, config_root_setting(&m->tree));
	for (size_t i = 0; i < r->set_count; i++)
		loader_set(l, &m->problems, r->set[i]);
	fill_in(l);
	l->access = (struct loaded_access){ .allow = m->walk.allow,
					    .deny = m->walk.deny,
					    .files = m->walk.access,
					    .allow_count = m->walk.allow_count,
					    .deny_count = m->walk.deny_count,
					    .file_count = m->walk.access_count };
	/* of a file that could not be parsed, nothing more can be said */
	if (readable) {
		conf_check(&l->conf, &l->origins, &m->problems);
		if (!r->conf_only && !r->access_only) {
			loader_judge_owners(&l->conf, &l->origins, &m->problems);
			loader_read_files(l);
		}
		if (!r->conf_only)
			loader_read_access(l);
	}
	if (m->problems.fatal > PROBLEMS_MAX)
		say_how_many(r, m->problems.fatal);
	l->fatal = m->problems.fatal;
	l->warnings = m->problems.warnings;
	return l->fatal == 0;
}

void loader_close(struct loaded **loaded)
{
	struct loaded *l = *loaded;

	*loaded = NULL;
	if (!l)
		return;
	if (l->memory->certs.buf.mem)
		explicit_bzero(l->memory->certs.buf.mem, l->memory->certs.buf.cap);
	grow_free(&l->memory->certs);
	grow_free(&l->memory->tables);
	lists_free(&l->memory->lists);
	config_destroy(&l->memory->tree);
	free(l->memory);
	free(l);
}
