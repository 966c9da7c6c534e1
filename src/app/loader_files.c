/*
 * The files that a configuration names: certificates, recipients and access lists.
 */
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "app/loader_memory.h"
#include "app/sources.h"
#include "conf/certs.h"
#include "io/pem.h"

bool loader_absolute(const char *dir, const char *path, char out[PATH_CAP])
{
	int n = *path == '/' ? snprintf(out, PATH_CAP, "%s", path)
			     : snprintf(out, PATH_CAP, "%s/%s", dir, path);

	return n > 0 && n < PATH_CAP;
}

/* ---- certificates and recipients ---- */

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
	if (!loader_absolute(l->memory->dir, f->cert, path) ||
	    !loader_absolute(l->memory->dir, f->key, key_path)) {
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
	if (!loader_absolute(l->memory->dir, name, path))
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
	if (!*name || !loader_absolute(l->memory->dir, name, path)) {
		problem(p, f->at,
			"access: \"%s\" names no file, or one with a path too long",
			f->file);
		return;
	}
	lists_begin(lists, f->of, src.format, path);
	lists_file(lists, &src);
}

void loader_read_access(struct loaded *l)
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

void loader_read_files(struct loaded *l)
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
