#include "auth/sign.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "auth/keys.h"
#include "base/fields.h"
#include "base/list.h"

#define SIGNS_MAX    1024 /* in threads at once; the store asks for less */
#define COMMANDS_MAX 4
#define ROWS_ROOM    65536
#define RECORD_MAX   (DKIM_P_MAX + 40)

struct loaded {
	struct key_name name;
	struct dkim_secret *secret; /* NULL: there is none */
};

enum command_kind {
	COMMAND_NONE,
	COMMAND_KEYGEN,
	COMMAND_SHOW,
	COMMAND_LIST,
	COMMAND_REMOVE
};

struct command {
	struct signer *signer;
	enum command_kind kind;
	uint32_t ask;
	bool ed25519;
	bool all, all_selectors; /* of SHOW: whichever there are */
	struct key_name name;
	bool ok;
	size_t found;
	struct err err;
	uint8_t rows_mem[ROWS_ROOM];
	struct buf rows;
};

struct signer {
	struct loop *loop;
	const struct conf *conf;
	const struct signer_calls *calls;
	void *arg;
	int dir;
	size_t signs;
	struct loaded loaded[DKIM_MAX]; /* as in conf.dkim */
	struct command commands[COMMANDS_MAX];
};

/* ---- keys that are in use ---------------------------------------------------------------- */

static void load(struct signer *s, const struct dkim_key *entry, struct loaded *l)
{
	struct err err;
	bool found;

	dkim_close(&l->secret);
	if (!key_name(&l->name, span_str(entry->domain), span_str(entry->selector))) {
		err_set(&err, "dkim: \"%s\" of %s cannot be a name", entry->selector,
			entry->domain);
	} else if (key_load(s->dir, &l->name, &l->secret, &found, &err)) {
		if (dkim_is_ed25519(l->secret) == (entry->algorithm == DKIM_ED25519))
			return;
		dkim_close(&l->secret);
		err_set(&err,
			"%s._domainkey.%s is a key of another algorithm than dkim says",
			entry->selector, entry->domain);
	} else if (!found) {
		err_set(&err,
			"there is no key %s._domainkey.%s: mail goes out unsigned until"
			" `holdfast dkim keygen %s %s%s` has made one",
			entry->selector, entry->domain, entry->domain, entry->selector,
			entry->algorithm == DKIM_ED25519 ? " --algorithm ed25519" : "");
	}
	s->calls->trouble(s->arg, err.text);
}

void signer_conf(struct signer *s, const struct conf *conf)
{
	s->conf = conf;
	for (size_t i = 0; i < DKIM_MAX; i++) {
		dkim_close(&s->loaded[i].secret);
		if (i < conf->dkim_count)
			load(s, &conf->dkim[i], &s->loaded[i]);
	}
}

bool signer_open(struct signer **out, struct loop *loop, const char *dir,
		 const struct conf *conf, const struct signer_calls *calls, void *arg,
		 struct err *err)
{
	struct signer *s = calloc(1, sizeof(*s));
	char path[2 * TEXT_MAX + 8];

	if (!s)
		return err_set(err, "out of memory");
	s->loop = loop;
	s->calls = calls;
	s->arg = arg;
	snprintf(path, sizeof(path), "%s/dkim", dir);
	if (mkdir(path, 0700) == 0 || errno == EEXIST)
		s->dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	else
		s->dir = -1;
	if (s->dir < 0) {
		err_set(err, "%s: %s", path, strerror(errno));
		free(s);
		return false;
	}
	signer_conf(s, conf);
	*out = s;
	return true;
}

void signer_close(struct signer **signer)
{
	struct signer *s = *signer;

	*signer = NULL;
	if (!s)
		return;
	for (size_t i = 0; i < DKIM_MAX; i++)
		dkim_close(&s->loaded[i].secret);
	close(s->dir);
	free(s);
}

/* ---- signing -------------------------------------------------------------------------------- */

struct signing {
	struct signer *signer;
	struct dkim_secret *secret;
	uint32_t era;
	uint64_t ask;
	uint8_t digest[DIGEST_MAX];
	size_t digest_n;
	uint8_t mem[SIGNATURE_MAX];
	struct buf signature;
	bool ok;
	struct err err;
};

static void run_sign(void *arg)
{
	struct signing *g = arg;

	buf_init(&g->signature, g->mem, sizeof(g->mem));
	g->ok = dkim_sign(g->secret, span_of(g->digest, g->digest_n), &g->signature,
			  &g->err);
}

static void on_signed(void *arg)
{
	struct signing *g = arg;
	struct signer *s = g->signer;

	s->signs--;
	if (!g->ok)
		s->calls->trouble(s->arg, g->err.text);
	s->calls->made(s->arg, g->era, g->ask,
		       g->ok ? buf_span(&g->signature) : SPAN_NONE);
	dkim_close(&g->secret);
	free(g);
}

static bool begin(struct signer *s, struct dkim_secret *secret, uint32_t era,
		  const struct msg_SIGN *m)
{
	struct signing *g = malloc(sizeof(*g));

	if (!g)
		return false;
	*g = (struct signing){
		.signer = s, .era = era, .ask = m->ask, .digest_n = m->digest.n
	};
	memcpy(g->digest, m->digest.p, m->digest.n);
	g->secret = dkim_share(secret);
	if (g->secret && work_run(s->loop, run_sign, on_signed, g)) {
		s->signs++;
		return true;
	}
	dkim_close(&g->secret);
	free(g);
	return false;
}

/*
 * By name, because the store may have another configuration than we, before or behind ours
 * in a reload: a signature of another key than the field names would be worse than none.
 */
static struct dkim_secret *find_secret(const struct signer *s, const struct msg_SIGN *m)
{
	for (size_t i = 0; i < s->conf->dkim_count; i++) {
		const struct dkim_key *k = &s->conf->dkim[i];

		if (k->algorithm == (enum dkim_algorithm)m->algorithm &&
		    span_eq(m->domain, span_str(k->domain)) &&
		    span_eq(m->selector, span_str(k->selector)))
			return s->loaded[i].secret;
	}
	return NULL;
}

bool signer_sign(struct signer *s, uint32_t era, struct span frame)
{
	struct dkim_secret *secret;
	struct msg_SIGN m;

	if (!msg_SIGN_unpack(frame, &m) || m.algorithm >= DKIM_ALGORITHMS ||
	    m.digest.n == 0)
		return false;
	secret = find_secret(s, &m);
	if (!secret || s->signs >= SIGNS_MAX || !begin(s, secret, era, &m))
		s->calls->made(s->arg, era, m.ask, SPAN_NONE);
	return true;
}

/* ---- commands, in the thread ---------------------------------------------------------------- */

static bool put_key(struct command *c, const struct key_name *n,
		    const struct dkim_secret *k)
{
	uint8_t mem[RECORD_MAX + 1024], record_mem[RECORD_MAX], name_mem[DOMAIN_MAX + 80];
	struct buf row, record, name;

	buf_init(&row, mem, sizeof(mem));
	buf_init(&record, record_mem, sizeof(record_mem));
	buf_init(&name, name_mem, sizeof(name_mem));
	key_name_print(n, &name);
	field_text(&row, "name", buf_span(&name));
	field_text(&row, "algorithm", dkim_is_ed25519(k) ? SPAN("ed25519") : SPAN("rsa"));
	field_number(&row, "bits", dkim_bits(k));
	if (c->kind == COMMAND_LIST) {
		field_text(&row, "domain", span_str(n->domain));
		field_text(&row, "selector", span_str(n->selector));
	} else {
		buf_fmt(&record,
			"v=DKIM1; k=%s; p=", dkim_is_ed25519(k) ? "ed25519" : "rsa");
		if (!dkim_public(k, &record, &c->err))
			return false;
		field_text(&row, "record", buf_span(&record));
	}
	list_put(&c->rows, buf_span(&row));
	c->found++;
	return true;
}

static bool on_key(void *arg, const struct key_name *n)
{
	struct command *c = arg;
	struct dkim_secret *k = NULL;
	bool found;

	if (!c->all && (strcmp(n->domain, c->name.domain) != 0 ||
			(!c->all_selectors && strcmp(n->selector, c->name.selector) != 0)))
		return true;
	c->ok = key_load(c->signer->dir, n, &k, &found, &c->err) && put_key(c, n, k);
	dkim_close(&k);
	if (c->ok && c->rows.full)
		c->ok = err_set(&c->err, "there are more keys; name a domain");
	return c->ok;
}

static bool keygen(struct command *c)
{
	struct dkim_secret *k = NULL;
	bool found, ok;

	if (key_load(c->signer->dir, &c->name, &k, &found, &c->err) || found) {
		dkim_close(&k);
		return err_set(&c->err,
			       "There is a key of that name. Choose another selector, so that"
			       " mail on its way can still be verified.");
	}
	ok = dkim_make(&k, c->ed25519, &c->err) &&
	     key_save(c->signer->dir, &c->name, k, &c->err) && put_key(c, &c->name, k);
	dkim_close(&k);
	return ok;
}

static void run_command(void *arg)
{
	struct command *c = arg;
	int dir = c->signer->dir;

	buf_init(&c->rows, c->rows_mem, sizeof(c->rows_mem));
	c->found = 0;
	c->ok = true;
	switch (c->kind) {
	case COMMAND_KEYGEN:
		c->ok = keygen(c);
		break;
	case COMMAND_SHOW:
	case COMMAND_LIST:
		c->ok = key_each(dir, on_key, c, &c->err) && c->ok;
		break;
	case COMMAND_REMOVE:
		c->ok = key_remove(dir, &c->name, &c->err);
		break;
	case COMMAND_NONE:
		break;
	}
}

/* ---- commands, in the loop -------------------------------------------------------------------- */

static bool is_configured(const struct signer *s, const struct key_name *n)
{
	for (size_t i = 0; i < s->conf->dkim_count; i++)
		if (strcmp(s->conf->dkim[i].domain, n->domain) == 0 &&
		    strcmp(s->conf->dkim[i].selector, n->selector) == 0)
			return true;
	return false;
}

static void tell_changed(struct command *c, const char *what)
{
	struct signer *s = c->signer;
	uint8_t mem[DOMAIN_MAX + 80];
	struct buf name;

	buf_init(&name, mem, sizeof(mem));
	key_name_print(&c->name, &name);
	s->calls->changed(s->arg, buf_span(&name), what);
	if (is_configured(s, &c->name))
		signer_conf(s, s->conf);
}

static const char *last_words(struct command *c)
{
	switch (c->kind) {
	case COMMAND_KEYGEN:
		tell_changed(c, "DKIM key made");
		if (is_configured(c->signer, &c->name))
			return "The key is made, and mail is signed with it from now on. Publish the"
			       " record.";
		return "The key is made. Publish the record, then name domain and selector in"
		       " `dkim` of the configuration and reload.";
	case COMMAND_REMOVE:
		tell_changed(c, "DKIM key removed");
		return "The key is removed. Leave its record in the DNS for a week: mail on its"
		       " way needs it.";
	case COMMAND_SHOW:
	case COMMAND_LIST:
	case COMMAND_NONE:
		break;
	}
	return "";
}

static void on_command(void *arg)
{
	struct command *c = arg;
	struct signer *s = c->signer;
	struct span rows = buf_span(&c->rows), row;

	if (c->ok && c->kind == COMMAND_SHOW && c->found == 0)
		c->ok = err_set(&c->err, "There is no such key: `holdfast dkim keygen`.");
	while (c->ok && list_next(&rows, &row))
		if (!s->calls->row(s->arg, c->ask, row))
			break;
	s->calls->end(s->arg, c->ask, c->ok,
		      span_str(c->ok ? last_words(c) : c->err.text));
	c->kind = COMMAND_NONE;
}

static bool take_algorithm(struct command *c, struct span *word, struct span *rest)
{
	if (!span_eq(*word, SPAN("--algorithm")))
		return true;
	if (!list_next(rest, word))
		return false;
	c->ed25519 = span_eq(*word, SPAN("ed25519"));
	if (!c->ed25519 && !span_eq(*word, SPAN("rsa")))
		return false;
	*word = SPAN_NONE;
	return true;
}

/* Up to two names, and the option of keygen, in any order. */
static bool take_words(struct command *c, struct span rest, struct span names[2])
{
	struct span word;
	size_t n = 0;

	while (list_next(&rest, &word)) {
		if (!take_algorithm(c, &word, &rest))
			return false;
		if (word.n == 0)
			continue;
		if (n == 2)
			return false;
		names[n++] = word;
	}
	return true;
}

static const char *read_command(struct command *c, struct span words)
{
	static const struct {
		struct span word;
		enum command_kind kind;
	} kinds[] = {
		{ SPAN_INIT("keygen"), COMMAND_KEYGEN },
		{ SPAN_INIT("show"), COMMAND_SHOW },
		{ SPAN_INIT("list"), COMMAND_LIST },
		{ SPAN_INIT("remove"), COMMAND_REMOVE },
	};
	struct span names[2] = { SPAN_NONE, SPAN_NONE }, word = SPAN_NONE;
	enum command_kind kind = COMMAND_NONE;
	bool one;

	if (!list_next(&words, &word))
		word = SPAN_NONE;
	for (size_t i = 0; i < COUNT_OF(kinds); i++)
		if (span_eq(word, kinds[i].word))
			kind = kinds[i].kind;
	c->ed25519 = false;
	if (kind == COMMAND_NONE || !take_words(c, words, names))
		return "usage: holdfast dkim list | show [DOMAIN [SELECTOR]] |"
		       " remove DOMAIN SELECTOR |"
		       " keygen DOMAIN SELECTOR [--algorithm rsa|ed25519]";
	one = kind == COMMAND_KEYGEN || kind == COMMAND_REMOVE;
	c->all = !one && names[0].n == 0;
	c->all_selectors = !one && names[1].n == 0;
	if (one && names[1].n == 0)
		return "A domain and a selector are needed.";
	if (!c->all &&
	    !key_name(&c->name, names[0], c->all_selectors ? SPAN("x") : names[1]))
		return "Domain and selector are names as the DNS has them: letters, digits, - and _,"
		       " with dots between them.";
	c->kind = kind;
	return NULL;
}

void signer_command(struct signer *s, uint32_t ask, struct span words)
{
	const char *wrong = "Too many commands at once. Try again in a moment.";
	struct command *c = s->commands;

	while (c < s->commands + COMMANDS_MAX && c->kind != COMMAND_NONE)
		c++;
	if (c < s->commands + COMMANDS_MAX) {
		c->signer = s;
		c->ask = ask;
		wrong = read_command(c, words);
		if (!wrong && work_run(s->loop, run_command, on_command, c))
			return;
		c->kind = COMMAND_NONE;
		wrong = wrong ? wrong : "Out of memory.";
	}
	s->calls->end(s->arg, ask, false, span_str(wrong));
}
