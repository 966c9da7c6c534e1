#include "app/loader_walk.h"

#include <stdio.h>
#include <stdlib.h>

#include "app/files.h"
#include "conf/dnsbl.h"
#include "conf/hop.h"

#define KEY_MAX 100

static struct origin origin_of(const config_setting_t *s)
{
	return (struct origin){ config_setting_source_file(s),
				config_setting_source_line(s) };
}

static const char *kind_word(const config_setting_t *s)
{
	switch (config_setting_type(s)) {
	case CONFIG_TYPE_GROUP:
		return "a group { }";
	case CONFIG_TYPE_ARRAY:
		return "an array [ ]";
	case CONFIG_TYPE_LIST:
		return "a list ( )";
	case CONFIG_TYPE_STRING:
		return "a text";
	case CONFIG_TYPE_BOOL:
		return "true or false";
	default:
		return "a number";
	}
}

static struct span string_of(const config_setting_t *s)
{
	const char *text = config_setting_get_string(s);

	return span_str(text ? text : "");
}

/*
 * libconfig reads 5000000000 without an L as what is left of it in 32 bits. So see
 * whether the line has the number that it claims.
 */
static bool is_as_written(const config_setting_t *s, const char *dir)
{
	const char *file = config_setting_source_file(s);
	char path[4096], number[16], *line = NULL;
	size_t cap = 0;
	bool found = true;
	unsigned n = 0;
	FILE *f;

	snprintf(number, sizeof(number), "%d", abs(config_setting_get_int(s)));
	snprintf(path, sizeof(path), "%s%s%s", *file == '/' ? "" : dir,
		 *file == '/' ? "" : "/", file);
	f = fopen(path, "re");
	/* lines of any length: a shorter one would be counted twice */
	while (f && n < config_setting_source_line(s) && getline(&line, &cap, f) >= 0)
		if (++n == config_setting_source_line(s))
			found = strstr(line, number) || strstr(line, "0x") ||
				strstr(line, "0X");
	free(line);
	if (f)
		fclose(f);
	return found;
}

/* What the operator wrote, as text for the table's parser. */
static bool value_text(const struct walk *w, const config_setting_t *s,
		       enum setting_kind kind, struct buf *out, struct err *err)
{
	bool wants_text = kind == SETTING_TEXT || kind == SETTING_WORD;
	int type = config_setting_type(s);

	if (type == CONFIG_TYPE_STRING) {
		buf_put(out, string_of(s));
		return !out->full || err_set(err, "the text is too long");
	}
	if (config_setting_is_aggregate(s) || type == CONFIG_TYPE_FLOAT || wants_text)
		return err_set(err, "this is %s, but wanted is %s%s", kind_word(s),
			       setting_kind_doc(kind), wants_text ? ", in quotes" : "");
	if (type == CONFIG_TYPE_BOOL)
		buf_put(out, config_setting_get_bool(s) ? SPAN("true") : SPAN("false"));
	else if (type == CONFIG_TYPE_INT && !is_as_written(s, w->dir))
		return err_set(err, "the number is too large: put an L behind it");
	else
		buf_fmt(out, "%lld", config_setting_get_int64(s));
	return true;
}

static void put_setting(struct walk *w, const config_setting_t *s,
			const struct setting_row *row)
{
	char mem[KEY_MAX + TEXT_MAX];
	struct buf text;
	struct err err;

	buf_init(&text, mem, sizeof(mem));
	if (value_text(w, s, row->kind, &text, &err) &&
	    setting_put(&w->conf->set, row, buf_span(&text), &err))
		w->origins->set[row - setting_table] = origin_of(s);
	else
		problem(w->problems, origin_of(s), "%s: %s", row->key, err.text);
}

/* ---- members of a group in a section ---- */

/* The text of a member that is there and of the right kind, or NULL. */
static const char *text_of(const config_setting_t *group, const char *name)
{
	const config_setting_t *s = config_setting_get_member(group, name);

	return s ? config_setting_get_string(s) : NULL;
}

static bool flag_of(const config_setting_t *group, const char *name)
{
	const config_setting_t *s = config_setting_get_member(group, name);

	return s && config_setting_get_bool(s);
}

/* The index of a member's word; fallback if it is not there. Its kind was checked. */
static int word_index(const config_setting_t *group, enum section section,
		      const char *name, int fallback)
{
	const char *text = text_of(group, name);
	int index = fallback;

	if (text && !word_parse(span_str(text),
				member_find(section, span_str(name))->words, &index))
		return fallback;
	return index;
}

static bool member_ok(struct walk *w, enum section section, const config_setting_t *s)
{
	const char *key = section_table[section].key, *name = config_setting_name(s),
		   *near;
	const struct member_row *row = member_find(section, span_str(name));
	int want, unused;

	if (!row) {
		near = member_suggest(section, span_str(name));
		problem(w->problems, origin_of(s), "%s: there is no \"%s\" in it%s%s%s",
			key, name, near ? "; did you mean \"" : "", near ? near : "",
			near ? "\"?" : "");
		return false;
	}
	want = row->kind == SETTING_FLAG    ? CONFIG_TYPE_BOOL
	       : row->kind == SETTING_COUNT ? CONFIG_TYPE_INT
					    : CONFIG_TYPE_STRING;
	if (config_setting_type(s) != want) {
		problem(w->problems, origin_of(s),
			"%s: %s: this is %s, but wanted is %s%s", key, name, kind_word(s),
			setting_kind_doc(row->kind),
			want == CONFIG_TYPE_STRING ? ", in quotes" : "");
		return false;
	}
	if (row->kind == SETTING_WORD && !word_parse(string_of(s), row->words, &unused)) {
		problem(w->problems, origin_of(s), "%s: %s: \"%.*s\" is none of %s", key,
			name, SPAN_ARG(span_head(string_of(s), 100)), row->words);
		return false;
	}
	if (row->kind == SETTING_TEXT && string_of(s).n >= TEXT_MAX) {
		problem(w->problems, origin_of(s), "%s: %s: longer than %d bytes", key,
			name, TEXT_MAX - 1);
		return false;
	}
	return true;
}

static bool group_ok(struct walk *w, enum section section, const config_setting_t *group)
{
	const char *key = section_table[section].key;
	bool good = true;

	if (!config_setting_is_group(group)) {
		problem(w->problems, origin_of(group),
			"%s: this is %s, but wanted is a group: %s", key,
			kind_word(group), section_table[section].example);
		return false;
	}
	for (int i = 0; i < config_setting_length(group); i++)
		good &= member_ok(w, section, config_setting_get_elem(group, (unsigned)i));
	for (size_t i = 0; i < member_count; i++) {
		const struct member_row *row = &member_table[i];

		if (row->section != section || !row->needed ||
		    config_setting_get_member(group, row->name))
			continue;
		problem(w->problems, origin_of(group), "%s: \"%s\" is missing", key,
			row->name);
		good = false;
	}
	return good;
}

/* ---- one group or text of each section ---- */

static bool take_domain(struct walk *w, const config_setting_t *s, struct span text,
			char out[DOMAIN_MAX + 1])
{
	struct buf b;

	if (!host_name_ok(text)) {
		problem(w->problems, origin_of(s), "\"%.*s\" is not a domain",
			SPAN_ARG(span_head(text, 100)));
		return false;
	}
	memset(out, 0, DOMAIN_MAX + 1);
	buf_init(&b, out, DOMAIN_MAX);
	buf_put_lower(&b, text);
	return true;
}

static void add_listener(struct walk *w, const config_setting_t *s)
{
	struct listener l = { .service = SERVICE_SMTP, .proxy = flag_of(s, "proxy") };
	uint32_t i = w->conf->listener_count;
	const char *address = text_of(s, "address");

	if (!endpoint_parse(span_str(address), &l.at)) {
		problem(w->problems, origin_of(s),
			"listen: \"%s\" is none of 192.0.2.7:25, [2001:db8::1]:25, *:25",
			address);
		return;
	}
	l.tls = (enum tls_use)word_index(s, SECTION_LISTEN, "tls", TLS_NONE);
	w->tls_given[i] = text_of(s, "tls") != NULL;
	w->origins->listeners[i] = origin_of(s);
	w->conf->listeners[i] = l;
	w->conf->listener_count++;
}

static void add_certificate(struct walk *w, const config_setting_t *s)
{
	w->certificates[w->certificate_count++] = (struct certificate_files){
		.cert = text_of(s, "cert"), .key = text_of(s, "key"), .at = origin_of(s)
	};
}

static void add_domain(struct walk *w, const config_setting_t *s)
{
	uint32_t i = w->conf->domain_count;

	if (!take_domain(w, s, string_of(s), w->conf->domains[i]))
		return;
	w->origins->domains[i] = origin_of(s);
	w->conf->domain_count++;
}

static void add_route(struct walk *w, const config_setting_t *s)
{
	struct route r = { .verify = flag_of(s, "verify") };
	uint32_t i = w->conf->route_count;
	struct err err;

	if (!take_domain(w, s, span_str(text_of(s, "domain")), r.domain))
		return;
	if (!hop_parse(span_str(text_of(s, "to")), &r.hop, r.target, &err)) {
		problem(w->problems, origin_of(s), "routes: %s", err.text);
		return;
	}
	w->origins->routes[i] = origin_of(s);
	w->conf->routes[i] = r;
	w->conf->route_count++;
}

static void add_source(struct walk *w, const config_setting_t *s)
{
	const char *domain = text_of(s, "domain");
	struct source_file f = {
		/* the words are in the order of the enum */
		.kind = (enum table_kind)word_index(s, SECTION_SOURCES, "kind", 0),
		.file = text_of(s, "file"),
		.domain = domain ? domain : "",
		.at = origin_of(s),
	};
	char lower[DOMAIN_MAX + 1];

	if (domain && !take_domain(w, s, span_str(domain), lower))
		return;
	w->sources[w->source_count++] = f;
}

static void add_net(struct walk *w, const config_setting_t *s, enum section section)
{
	bool proxy = section == SECTION_PROXY_FROM;
	uint32_t *count = proxy ? &w->conf->proxy_count : &w->conf->xclient_count;
	struct net *nets = proxy ? w->conf->proxy_from : w->conf->xclient_from;

	if (net_parse(string_of(s), &nets[*count]))
		(*count)++;
	else
		problem(w->problems, origin_of(s),
			"%s: \"%.*s\" is neither an address nor a network such as 192.0.2.0/24 (all "
			"bits behind the slash must be zero)",
			section_table[section].key,
			SPAN_ARG(span_head(string_of(s), 100)));
}

static struct access_text access_text(const config_setting_t *s)
{
	return (struct access_text){ config_setting_get_string(s), origin_of(s) };
}

static void add_access(struct walk *w, const config_setting_t *s)
{
	/* the words are in the order of the enum, and deny is the first */
	w->access[w->access_count++] = (struct access_source){
		.file = text_of(s, "file"),
		.of = (enum access_of)word_index(s, SECTION_ACCESS, "of", ACCESS_CLIENT),
		.action = word_index(s, SECTION_ACCESS, "action", 0) == 0 ? ACCESS_DENY
									  : ACCESS_PERMIT,
		.at = origin_of(s),
	};
}

static void add_dnsbl(struct walk *w, const config_setting_t *s)
{
	const config_setting_t *weight = config_setting_get_member(s, "weight");
	const char *answers = text_of(s, "answers");
	struct span zone = span_str(text_of(s, "zone"));
	struct dnsbl d = { .weight = 100, .allows = flag_of(s, "allows") };
	struct err err;

	if (zone.n && zone.p[zone.n - 1] == '.')
		zone.n--;
	if (!take_domain(w, s, zone, d.zone))
		return;
	if (weight)
		d.weight = config_setting_get_int(weight);
	if (d.weight < 1 || d.weight > DNSBL_WEIGHT_MAX) {
		problem(w->problems, origin_of(s),
			"dnsbl: %s: the weight %d is outside 1 to %d", d.zone, d.weight,
			DNSBL_WEIGHT_MAX);
		return;
	}
	if (!dnsbl_answers_parse(span_str(answers ? answers : "127.0.0.2-254"), &d, &err)) {
		problem(w->problems, origin_of(s), "dnsbl: %s: %s", d.zone, err.text);
		return;
	}
	w->origins->dnsbls[w->conf->dnsbl_count] = origin_of(s);
	w->conf->dnsbls[w->conf->dnsbl_count++] = d;
}

static void add_observed(struct walk *w, const config_setting_t *s)
{
	enum rule rule = rule_named(string_of(s));

	if (rule == RULE_NONE)
		problem(w->problems, origin_of(s),
			"guard.observe: there is no rule \"%.*s\"; `holdfast events --rules` lists "
			"them",
			SPAN_ARG(span_head(string_of(s), 100)));
	else
		w->conf->observed[rule] = true;
}

static void add(struct walk *w, enum section section, const config_setting_t *s)
{
	switch (section) {
	case SECTION_LISTEN:
		add_listener(w, s);
		break;
	case SECTION_CERTIFICATES:
		add_certificate(w, s);
		break;
	case SECTION_DOMAINS:
		add_domain(w, s);
		break;
	case SECTION_ROUTES:
		add_route(w, s);
		break;
	case SECTION_SOURCES:
		add_source(w, s);
		break;
	case SECTION_PROXY_FROM:
	case SECTION_XCLIENT_FROM:
		add_net(w, s, section);
		break;
	case SECTION_ALLOW:
		w->allow[w->allow_count++] = access_text(s);
		break;
	case SECTION_DENY:
		w->deny[w->deny_count++] = access_text(s);
		break;
	case SECTION_ACCESS:
		add_access(w, s);
		break;
	case SECTION_DNSBLS:
		add_dnsbl(w, s);
		break;
	case SECTION_OBSERVE:
		add_observed(w, s);
		break;
	case SECTION_COUNT:
		break;
	}
}

static const int section_max[SECTION_COUNT] = {
	[SECTION_LISTEN] = LISTENERS_MAX,  [SECTION_CERTIFICATES] = CERTIFICATES_MAX,
	[SECTION_DOMAINS] = DOMAINS_MAX,   [SECTION_ROUTES] = ROUTES_MAX,
	[SECTION_SOURCES] = SOURCES_MAX,   [SECTION_PROXY_FROM] = NETS_MAX,
	[SECTION_XCLIENT_FROM] = NETS_MAX, [SECTION_ALLOW] = ACCESS_TEXTS_MAX,
	[SECTION_DENY] = ACCESS_TEXTS_MAX, [SECTION_ACCESS] = ACCESS_MAX,
	[SECTION_DNSBLS] = DNSBLS_MAX,	   [SECTION_OBSERVE] = RULE_COUNT,
};

static bool text_ok(struct walk *w, enum section section, const config_setting_t *s)
{
	if (config_setting_type(s) == CONFIG_TYPE_STRING)
		return true;
	problem(w->problems, origin_of(s),
		"%s: this is %s, but wanted is a text, in quotes",
		section_table[section].key, kind_word(s));
	return false;
}

static void walk_section(struct walk *w, enum section section,
			 const config_setting_t *list)
{
	const struct section_row *row = &section_table[section];
	bool of_groups = row->of == SECTION_OF_GROUPS;
	int n = config_setting_length(list);

	if (!config_setting_is_list(list) &&
	    (of_groups || !config_setting_is_array(list))) {
		problem(w->problems, origin_of(list),
			"%s: this is %s, but wanted is a list: %s", row->key,
			kind_word(list), row->example);
		return;
	}
	if (n > section_max[section]) {
		problem(w->problems, origin_of(list), "%s: more than %d entries",
			row->key, section_max[section]);
		return;
	}
	w->given[section] = true;
	for (int i = 0; i < n; i++) {
		const config_setting_t *s = config_setting_get_elem(list, (unsigned)i);

		if (of_groups ? group_ok(w, section, s) : text_ok(w, section, s))
			add(w, section, s);
	}
}

static void unknown(struct walk *w, const config_setting_t *s, const char *key)
{
	const char *near = key_suggest(span_str(key));

	problem(w->problems, origin_of(s), "there is no setting \"%s\"%s%s%s", key,
		near ? "; did you mean \"" : "", near ? near : "", near ? "\"?" : "");
}

static void walk_group(struct walk *w, const config_setting_t *group, const char *prefix)
{
	for (int i = 0; i < config_setting_length(group); i++) {
		const config_setting_t *s = config_setting_get_elem(group, (unsigned)i);
		const struct setting_row *row;
		enum section section;
		char key[KEY_MAX];

		snprintf(key, sizeof(key), "%s%s%s", prefix, *prefix ? "." : "",
			 config_setting_name(s));
		row = setting_find(span_str(key));
		section = section_find(span_str(key));
		if (row)
			put_setting(w, s, row);
		else if (section != SECTION_COUNT)
			walk_section(w, section, s);
		else if (!group_exists(span_str(key)))
			unknown(w, s, key);
		else if (config_setting_is_group(s))
			walk_group(w, s, key);
		else
			problem(w->problems, origin_of(s), "%s is a group: %s: { ... };",
				key, key);
	}
}

void walk_tree(struct walk *w, const config_setting_t *root)
{
	walk_group(w, root, "");
}
