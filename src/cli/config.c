#include "cli/config.h"

#include <stdlib.h>

#include "app/loader.h"
#include "base/fields.h"
#include "cli/docs.h"
#include "conf/dnsbl.h"
#include "conf/sections.h"

#define DEFAULT_CONFIG "/etc/holdfast/holdfast.conf"
#define SETS_MAX       64

struct args {
	const char *word; /* check, show, ... */
	const char *key;
	const char *path;
	char in_dir[4096]; /* the path for --dir */
	const char *set[SETS_MAX];
	size_t set_count;
	enum docs_form form;
	bool json;
};

static const char usage[] =
	"usage: holdfast config check [--config FILE] [--set KEY=VALUE]...\n"
	"       holdfast config show [KEY] [--config FILE] [--set KEY=VALUE]... "
	"[--json]\n"
	"       holdfast config defaults [KEY] [--json]\n"
	"       holdfast config doc [KEY] [--markdown | --man]\n";

static bool next_value(int argc, char **argv, int *i, const char **out)
{
	if (*i + 1 >= argc)
		return false;
	*out = argv[++*i];
	return true;
}

static bool read_args(int argc, char **argv, struct args *a)
{
	const char *value;

	*a = (struct args){ .path = DEFAULT_CONFIG };
	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--config") == 0) {
			if (!next_value(argc, argv, &i, &a->path))
				return false;
		} else if (strcmp(argv[i], "--dir") == 0) {
			if (!next_value(argc, argv, &i, &value))
				return false;
			snprintf(a->in_dir, sizeof(a->in_dir), "%s/holdfast.conf", value);
			a->path = a->in_dir;
		} else if (strcmp(argv[i], "--set") == 0) {
			if (a->set_count == SETS_MAX ||
			    !next_value(argc, argv, &i, &value))
				return false;
			a->set[a->set_count++] = value;
		} else if (strcmp(argv[i], "--json") == 0) {
			a->json = true;
		} else if (strcmp(argv[i], "--markdown") == 0) {
			a->form = DOCS_MARKDOWN;
		} else if (strcmp(argv[i], "--man") == 0) {
			a->form = DOCS_MAN;
		} else if (argv[i][0] == '-') {
			return false;
		} else if (!a->word) {
			a->word = argv[i];
		} else if (!a->key) {
			a->key = argv[i];
		} else {
			return false;
		}
	}
	return a->word != NULL;
}

static void on_problem(void *arg, bool fatal, const char *text)
{
	fprintf(arg, "%s%s\n", fatal ? "" : "warning: ", text);
}

static struct loaded *load(const struct args *a, bool conf_only, FILE *problems)
{
	struct loader_request r = { .path = a->path,
				    .set = a->set,
				    .set_count = a->set_count,
				    .conf_only = conf_only,
				    .on_problem = on_problem,
				    .arg = problems };
	struct loaded *l;

	if (!loader_load(&r, &l) && !l)
		exit(1);
	return l;
}

static const char *plural(unsigned n)
{
	return n == 1 ? "" : "s";
}

static int check(const struct args *a)
{
	struct loaded *l = load(a, false, stdout);
	unsigned fatal = l->fatal, warnings = l->warnings;

	loader_close(&l);
	if (fatal + warnings == 0) {
		printf("%s: good\n", a->path);
		return 0;
	}
	printf("%s: %u problem%s, %u warning%s\n", a->path, fatal, plural(fatal),
	       warnings, plural(warnings));
	return fatal ? 1 : 0;
}

/* ---- show and defaults ---- */

struct line {
	const char *key;
	struct span value;
	bool quoted;
	struct origin at;
};

static void print_origin(const struct origin *at, struct buf *out)
{
	if (!at->file)
		buf_put(out, SPAN("default"));
	else if (at->line)
		buf_fmt(out, "%s:%u", at->file, at->line);
	else
		buf_fmt(out, "%s", at->file);
}

static void put_line(const struct args *a, const struct line *l)
{
	uint8_t from_mem[1024], row_mem[4096], text_mem[8192];
	struct buf from, row, text;

	buf_init(&from, from_mem, sizeof(from_mem));
	buf_init(&row, row_mem, sizeof(row_mem));
	buf_init(&text, text_mem, sizeof(text_mem));
	print_origin(&l->at, &from);
	if (a->json) {
		field_text(&row, "key", span_str(l->key));
		field_text(&row, "value", l->value);
		field_text(&row, "from", buf_span(&from));
		fields_print_json(buf_span(&row), 0, &text);
		printf("%.*s\n", SPAN_ARG(buf_span(&text)));
		return;
	}
	buf_fmt(&text, "%s = %s", l->key, l->quoted ? "\"" : "");
	for (size_t i = 0; i < l->value.n; i++) {
		if (l->quoted && (l->value.p[i] == '"' || l->value.p[i] == '\\'))
			buf_byte(&text, '\\');
		buf_byte(&text, l->value.p[i]);
	}
	buf_fmt(&text, "%s;", l->quoted ? "\"" : "");
	printf("%-54.*s # %.*s\n", SPAN_ARG(buf_span(&text)), SPAN_ARG(buf_span(&from)));
}

static bool chosen(const struct args *a, const char *key)
{
	size_t n = a->key ? strlen(a->key) : 0;

	return !a->key ||
	       (strncmp(key, a->key, n) == 0 && (key[n] == '\0' || key[n] == '.'));
}

static size_t put_settings(const struct args *a, const struct settings *set,
			   const struct origins *origins)
{
	size_t count = 0;

	for (size_t i = 0; i < SETTINGS_COUNT; i++) {
		const struct setting_row *r = &setting_table[i];
		struct line l = { .key = r->key,
				  .at = origins->set[i],
				  .quoted = r->kind != SETTING_COUNT &&
					    r->kind != SETTING_FLAG };
		uint8_t mem[TEXT_MAX];
		struct buf value;

		if (!chosen(a, r->key))
			continue;
		buf_init(&value, mem, sizeof(mem));
		setting_print(set, r, &value);
		l.value = buf_span(&value);
		put_line(a, &l);
		count++;
	}
	return count;
}

static void put_entry(const struct args *a, const char *key, const struct buf *value,
		      struct origin at)
{
	struct line l = { .key = key, .value = buf_span(value), .at = at };

	put_line(a, &l);
}

static void put_listener(const struct args *a, const struct listener *l, struct origin at)
{
	static const char *const tls[] = { "none", "starttls", "implicit" };
	uint8_t mem[300];
	struct buf value;

	buf_init(&value, mem, sizeof(mem));
	buf_put(&value, SPAN("{ address = \""));
	endpoint_print(&l->at, &value);
	buf_fmt(&value, "\"; service = \"smtp\"; tls = \"%s\"; proxy = %s; }",
		tls[l->tls], l->proxy ? "true" : "false");
	put_entry(a, "listen", &value, at);
}

static void put_route(const struct args *a, const struct route *r, struct origin at)
{
	static const char *const hops[] = { "maildir", "discard",
					    "lmtp:unix:", "lmtp:", "smtp:" };
	uint8_t mem[DOMAIN_MAX + TEXT_MAX + 100];
	struct buf value;

	buf_init(&value, mem, sizeof(mem));
	buf_fmt(&value, "{ domain = \"%s\"; to = \"%s%s\"; verify = %s; }", r->domain,
		hops[r->hop], r->target, r->verify ? "true" : "false");
	put_entry(a, "routes", &value, at);
}

static void put_nets(const struct args *a, const char *key, const struct net *nets,
		     size_t count)
{
	for (size_t i = 0; i < count; i++) {
		bool v4 = addr_is_v4(&nets[i].addr) && nets[i].bits >= 96;
		uint8_t mem[100];
		struct buf value;

		buf_init(&value, mem, sizeof(mem));
		buf_byte(&value, '"');
		addr_print(&nets[i].addr, &value);
		buf_fmt(&value, "/%d\"", v4 ? nets[i].bits - 96 : nets[i].bits);
		put_entry(a, key, &value, (struct origin){ a->path, 0 });
	}
}

static void put_text(const struct args *a, const char *key, const char *text,
		     struct origin at)
{
	struct line line = { .key = key, .value = span_str(text), .quoted = true, .at = at };

	put_line(a, &line);
}

static void put_access(const struct args *a, const struct access_source *f)
{
	static const char *const words[] = { "client", "sender", "recipient", "helo",
					     "ptr" };
	uint8_t mem[TEXT_MAX + 100];
	struct buf value;

	buf_init(&value, mem, sizeof(mem));
	buf_fmt(&value, "{ file = \"%s\"; of = \"%s\"; action = \"%s\"; }", f->file,
		words[f->of], f->action == ACCESS_PERMIT ? "permit" : "deny");
	put_entry(a, "access", &value, f->at);
}

static void put_dnsbl(const struct args *a, const struct dnsbl *d, struct origin at)
{
	uint8_t mem[DOMAIN_MAX + 800];
	struct buf value;

	buf_init(&value, mem, sizeof(mem));
	buf_fmt(&value, "{ zone = \"%s\"; weight = %d; allows = %s; answers = \"",
		d->zone, d->weight, d->allows ? "true" : "false");
	dnsbl_answers_print(d, &value);
	buf_put(&value, SPAN("\"; }"));
	put_entry(a, "dnsbl", &value, at);
}

/* Who gets in, and who does not. */
static size_t put_guard(const struct args *a, const struct loaded *l)
{
	const struct loaded_access *acc = &l->access;
	const struct conf *c = &l->conf;
	size_t count = 0;

	for (size_t i = 0; chosen(a, "allow") && i < acc->allow_count; i++, count++)
		put_text(a, "allow", acc->allow[i].text, acc->allow[i].at);
	for (size_t i = 0; chosen(a, "deny") && i < acc->deny_count; i++, count++)
		put_text(a, "deny", acc->deny[i].text, acc->deny[i].at);
	for (size_t i = 0; chosen(a, "access") && i < acc->file_count; i++, count++)
		put_access(a, &acc->files[i]);
	for (size_t i = 0; chosen(a, "dnsbl") && i < c->dnsbl_count; i++, count++)
		put_dnsbl(a, &c->dnsbls[i], l->origins.dnsbls[i]);
	for (size_t i = 1; chosen(a, "guard.observe") && i < RULE_COUNT; i++)
		if (c->observed[i] && ++count)
			put_text(a, "guard.observe", rule_table[i].word,
				 (struct origin){ a->path, 0 });
	return count;
}

static size_t put_lists(const struct args *a, const struct loaded *l)
{
	const struct conf *c = &l->conf;
	size_t count = 0;

	for (size_t i = 0; chosen(a, "listen") && i < c->listener_count; i++, count++)
		put_listener(a, &c->listeners[i], l->origins.listeners[i]);
	for (size_t i = 0; chosen(a, "domains") && i < c->domain_count; i++, count++) {
		struct line line = { .key = "domains",
				     .value = span_str(c->domains[i]),
				     .quoted = true,
				     .at = l->origins.domains[i] };

		put_line(a, &line);
	}
	for (size_t i = 0; chosen(a, "routes") && i < c->route_count; i++, count++)
		put_route(a, &c->routes[i], l->origins.routes[i]);
	if (chosen(a, "proxy-from"))
		put_nets(a, "proxy-from", c->proxy_from, c->proxy_count);
	if (chosen(a, "xclient-from"))
		put_nets(a, "xclient-from", c->xclient_from, c->xclient_count);
	return count;
}

static int nothing_there(const struct args *a)
{
	const char *near;

	/* a list may be empty */
	if (section_find(span_str(a->key)) != SECTION_COUNT)
		return 0;
	near = key_suggest(span_str(a->key));
	fprintf(stderr, "there is no setting \"%s\"%s%s%s\n", a->key,
		near ? "; did you mean \"" : "", near ? near : "", near ? "\"?" : "");
	return 1;
}

static int show(const struct args *a)
{
	struct loaded *l = load(a, true, stderr);
	size_t count = put_settings(a, &l->conf.set, &l->origins) + put_lists(a, l) +
		       put_guard(a, l);
	bool good = l->fatal == 0;

	loader_close(&l);
	if (count == 0 && a->key)
		return nothing_there(a);
	return good ? 0 : 1;
}

static int defaults(const struct args *a)
{
	static const struct origins nowhere;
	struct settings set;

	settings_init(&set);
	return put_settings(a, &set, &nowhere) || !a->key ? 0 : nothing_there(a);
}

static int doc(const struct args *a)
{
	struct span key = a->key ? span_str(a->key) : SPAN_NONE;

	return docs_settings(stdout, a->form, key) ? 0 : nothing_there(a);
}

int cli_config(int argc, char **argv)
{
	struct args a;

	if (!read_args(argc, argv, &a)) {
		fputs(usage, stderr);
		return 2;
	}
	if (strcmp(a.word, "check") == 0)
		return check(&a);
	if (strcmp(a.word, "show") == 0)
		return show(&a);
	if (strcmp(a.word, "defaults") == 0)
		return defaults(&a);
	if (strcmp(a.word, "doc") == 0)
		return doc(&a);
	if (strcmp(a.word, "help") == 0) {
		fputs(usage, stdout);
		return 0;
	}
	fputs(usage, stderr);
	return 2;
}
