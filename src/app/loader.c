#include "app/loader.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "app/files.h"
#include "app/lists_blob.h"
#include "app/loader_walk.h"
#include "app/local_users.h"
#include "app/sources.h"
#include "conf/certs.h"
#include "conf/hop.h"
#include "io/pem.h"
#include "link/start.h"

#define PATH_CAP	4096
#define PEM_FILE_MAX	((size_t)1 << 20)
#define SOURCE_FILE_MAX ((size_t)1 << 30)

struct loader_memory {
	config_t tree; /* origins point to its file names */
	char dir[PATH_CAP];
	struct walk walk;
	struct problems problems;
	struct grow certs, tables;
	struct lists lists;
};

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
	problem(&m->problems, at, "%s", config_error_text(&m->tree));
	return false;
}

static void override(struct loaded *l, const char *text)
{
	struct problems *p = &l->memory->problems;
	const struct origin at = { "--set", 0 };
	struct span value = span_str(text), key = span_cut(&value, '=');
	const struct setting_row *row = setting_find(key);
	const char *near;
	struct err err;

	if (!strchr(text, '=')) {
		problem(p, at, "\"%s\" is not KEY=VALUE", text);
	} else if (!row) {
		near = key_suggest(key);
		problem(p, at, "there is no setting \"%.*s\"%s%s%s", SPAN_ARG(key),
			near ? "; did you mean \"" : "", near ? near : "",
			near ? "\"?" : "");
	} else if (!setting_put(&l->conf.set, row, value, &err)) {
		problem(p, at, "%s: %s", row->key, err.text);
	} else {
		l->origins.set[row - setting_table] = at;
	}
}

/* Relative to the directory of the configuration. False: too long. */
static bool absolute(const char *dir, const char *path, char out[PATH_CAP])
{
	int n = *path == '/' ? snprintf(out, PATH_CAP, "%s", path)
			     : snprintf(out, PATH_CAP, "%s/%s", dir, path);

	return n > 0 && n < PATH_CAP;
}

static void make_absolute(struct loaded *l, enum setting which, char text[TEXT_MAX])
{
	char path[PATH_CAP];

	if (!*text || *text == '/')
		return;
	if (!absolute(l->memory->dir, text, path) || strlen(path) >= TEXT_MAX) {
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

static void judge_pair(struct loaded *l, const struct certificate_files *f,
		       const struct cert *c)
{
	struct problems *p = &l->memory->problems;
	struct pem_facts facts;
	struct err err;

	if (!pem_check(c->chain, c->key, &facts, &err))
		problem(p, f->at, "tls.certificates: %s: %s", f->cert, err.text);
	else if (facts.expired)
		doubt(p, f->at, "tls.certificates: %s has expired", f->cert);
	else if (facts.early)
		doubt(p, f->at, "tls.certificates: %s is not valid yet", f->cert);
}

/* Behind the certificates, without a key. */
static void read_authorities(struct loaded *l)
{
	struct problems *p = &l->memory->problems;
	const char *path = l->conf.set.client_ca;
	struct cert c = { .name = span_str(path) };
	struct grow chain, *out = &l->memory->certs;
	struct err err;

	if (!*path)
		return;
	grow_init(&chain, PEM_FILE_MAX + 1);
	if (!file_read(path, PEM_FILE_MAX, &chain, NULL, &err)) {
		problem(p, l->origins.set[SET_client_ca], "auth.client-authorities: %s",
			err.text);
	} else {
		c.chain = buf_span(&chain.buf);
		if (grow_room(out, 12 + c.name.n + c.chain.n))
			certs_put(&out->buf, &c);
		else
			problem(p, l->origins.set[SET_client_ca],
				"auth.client-authorities: out of memory");
	}
	grow_free(&chain);
}

static void read_pair(struct loaded *l, const struct certificate_files *f)
{
	struct problems *p = &l->memory->problems;
	struct cert c = { .name = span_str(f->cert) };
	struct grow chain, key, *out = &l->memory->certs;
	char path[PATH_CAP], key_path[PATH_CAP];
	bool world = false;
	struct err err;

	grow_init(&chain, PEM_FILE_MAX + 1);
	grow_init(&key, PEM_FILE_MAX + 1);
	if (!absolute(l->memory->dir, f->cert, path) ||
	    !absolute(l->memory->dir, f->key, key_path)) {
		problem(p, f->at, "tls.certificates: the path is too long");
	} else if (!file_read(path, PEM_FILE_MAX, &chain, NULL, &err) ||
		   !file_read(key_path, PEM_FILE_MAX, &key, &world, &err)) {
		problem(p, f->at, "tls.certificates: %s", err.text);
	} else {
		c.chain = buf_span(&chain.buf);
		c.key = buf_span(&key.buf);
		judge_pair(l, f, &c);
		if (world)
			doubt(p, f->at, "tls.certificates: everybody may read the key %s",
			      key_path);
		if (grow_room(out, 12 + c.name.n + c.chain.n + c.key.n))
			certs_put(&out->buf, &c);
		else
			problem(p, f->at, "tls.certificates: out of memory");
	}
	if (key.buf.mem)
		explicit_bzero(key.buf.mem, key.buf.cap);
	grow_free(&chain);
	grow_free(&key);
}

static void read_source(struct loaded *l, const struct source_file *f)
{
	static const char *const prefixes[] = { "texthash:", "hash:" };
	struct problems *p = &l->memory->problems;
	char path[PATH_CAP];
	const char *name = f->file;
	struct source src = { .kind = f->kind, .file = path, .domain = f->domain };
	struct grow text;
	struct err err;

	for (size_t i = 0; i < COUNT_OF(prefixes) && !src.postfix; i++) {
		if (strncmp(name, prefixes[i], strlen(prefixes[i])) != 0)
			continue;
		name += strlen(prefixes[i]);
		src.postfix = true;
	}
	grow_init(&text, SOURCE_FILE_MAX + 1);
	if (!absolute(l->memory->dir, name, path))
		problem(p, f->at, "sources: the path is too long");
	else if (!file_read(path, SOURCE_FILE_MAX, &text, NULL, &err))
		problem(p, f->at, "sources: %s", err.text);
	else
		source_read(&src, buf_span(&text.buf), &l->memory->tables, p);
	grow_free(&text);
}

/* ---- access lists ---- */

static int64_t clock_ms(clockid_t which)
{
	struct timespec t;

	clock_gettime(which, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void read_texts(struct loaded *l, const char *section,
		       const struct access_text *texts, size_t count,
		       enum access_answer answer)
{
	struct lists *lists = &l->memory->lists;
	const char *file = count && texts[0].at.file ? texts[0].at.file : section;

	lists_begin(lists, ACCESS_CLIENT, LIST_PLAIN, file);
	for (size_t i = 0; i < count; i++)
		lists_text(lists, texts[i].text, answer, texts[i].at);
}

static void read_list(struct loaded *l, const struct access_source *f)
{
	struct lists *lists = &l->memory->lists;
	struct problems *p = &l->memory->problems;
	char path[PATH_CAP];
	const char *name;
	struct list_source src = { .of = f->of, .action = f->action, .file = path };

	src.format = list_format_of(f->file, &name);
	if (!*name || !absolute(l->memory->dir, name, path)) {
		problem(p, f->at,
			"access: \"%s\" names no file, or one with a path too long",
			f->file);
		return;
	}
	lists_begin(lists, f->of, src.format, path);
	lists_file(lists, &src);
}

static void read_access(struct loaded *l)
{
	struct loader_memory *m = l->memory;
	struct loaded_access *a = &l->access;
	int64_t began = clock_ms(CLOCK_MONOTONIC);
	uint64_t key[2];

	if (getrandom(key, sizeof(key), 0) != sizeof(key)) {
		problem(&m->problems, (struct origin){ 0 },
			"access lists: no random numbers");
		return;
	}
	lists_init(&m->lists, key, clock_ms(CLOCK_REALTIME), &m->problems);
	read_texts(l, "allow", a->allow, a->allow_count, ACCESS_PERMIT);
	read_texts(l, "deny", a->deny, a->deny_count, ACCESS_DENY);
	for (size_t i = 0; i < a->file_count; i++)
		read_list(l, &a->files[i]);
	/* with errors in it, nobody will use it */
	if (m->problems.fatal == 0 && lists_make(&m->lists))
		a->blob = span_of(m->lists.blob, m->lists.blob_n);
	a->repeated = m->lists.repeated;
	a->took = clock_ms(CLOCK_MONOTONIC) - began;
}

static void read_files(struct loaded *l)
{
	struct loader_memory *m = l->memory;

	if (!grow_room(&m->certs, 16) || !grow_room(&m->tables, 16)) {
		problem(&m->problems, (struct origin){ 0 }, "out of memory");
		return;
	}
	certs_begin(&m->certs.buf);
	tables_begin(&m->tables.buf);
	for (size_t i = 0; i < m->walk.certificate_count; i++)
		read_pair(l, &m->walk.certificates[i]);
	if (m->walk.certificate_count)
		read_authorities(l);
	for (size_t i = 0; i < m->walk.source_count; i++)
		read_source(l, &m->walk.sources[i]);
	l->certs = buf_span(&m->certs.buf);
	l->tables = buf_span(&m->tables.buf);
	if (!pem_ciphers_ok(l->conf.set.tls_ciphers))
		problem(&m->problems, l->origins.set[SET_tls_ciphers],
			"tls.ciphers: OpenSSL does not understand \"%s\"",
			l->conf.set.tls_ciphers);
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
		override(l, r->set[i]);
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
		if (!r->conf_only && !r->access_only)
			read_files(l);
		if (!r->conf_only)
			read_access(l);
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

/* ---- the role ---- */

/* All that waits, before we end. */
static bool flush(struct link *life)
{
	while (link_waiting(life)) {
		struct pollfd p = { .fd = link_fd(life), .events = POLLOUT };

		if (poll(&p, 1, -1) < 0 && errno != EINTR)
			return false;
		if (!link_flush(life))
			return false;
	}
	return true;
}

static void send_problem(void *arg, bool fatal, const char *text)
{
	struct link *life = arg;
	struct msg_PROBLEM m = { .fatal = fatal, .text = span_head(span_str(text), 1024) };

	msg_PROBLEM_pack(&m, link_begin(life));
	if (link_send(life, NULL, 0))
		(void)flush(life);
}

static bool send_loaded(struct link *life, const struct loaded *l)
{
	struct msg_LOADED m = {
		.warnings = l->warnings,
		.lists = (uint32_t)l->access.file_count,
		.entries = access_entries(l->access.blob.p, l->access.blob.n),
		.bytes = l->access.blob.n,
		.took = (uint32_t)l->access.took,
	};
	struct err err;
	int fds[4] = {
		file_seal("holdfast-conf", span_of(&l->conf, sizeof(l->conf)), &err),
		file_seal("holdfast-certs", l->certs, &err),
		file_seal("holdfast-tables", l->tables, &err),
		file_seal("holdfast-access", l->access.blob, &err),
	};
	bool good = fds[0] >= 0 && fds[1] >= 0 && fds[2] >= 0 && fds[3] >= 0;

	if (!good) {
		send_problem(life, true, err.text);
	} else {
		msg_LOADED_pack(&m, link_begin(life));
		good = link_send(life, fds, 4) && flush(life);
	}
	for (size_t i = 0; i < COUNT_OF(fds); i++)
		if (fds[i] >= 0)
			close(fds[i]);
	return good;
}

int loader_main(const char *path, const char *const *set, size_t set_count)
{
	struct loader_request request = { .path = path,
					  .set = set,
					  .set_count = set_count,
					  .on_problem = send_problem };
	struct loaded *l = NULL;
	struct link *life = NULL;
	bool good = false;
	struct err err;

	if (!link_open(&life, LINK_FD, ROLE_LOADER, ROLE_SUPERVISOR, 0, &err)) {
		fprintf(stderr, "holdfast loader: %s\n", err.text);
		return 1;
	}
	request.arg = life;
	if (loader_load(&request, &l))
		good = send_loaded(life, l);
	loader_close(&l);
	link_close(&life);
	return good ? 0 : 1;
}
