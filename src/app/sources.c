#include "app/sources.h"

#include "base/list.h"
#include "conf/hop.h"
#include "io/idn.h"
#include "wire/address.h"

#define LINE_CEILING ((size_t)1 << 20) /* a logical line: an alias with many targets */

struct reading {
	const struct source *src;
	struct span text;    /* what is left of the file */
	unsigned line;	     /* of the next line */
	struct grow logical; /* a line with its continuations */
	unsigned logical_at; /* its number */
	struct grow targets;
	struct grow *out;
	struct problems *problems;
};

static struct origin here(const struct reading *r)
{
	return (struct origin){ r->src->file, r->logical_at };
}

static bool is_white(uint8_t c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\v' || c == '\f';
}

static struct span trim(struct span s)
{
	while (s.n && is_white(s.p[0]))
		s = span_skip(s, 1);
	while (s.n && is_white(s.p[s.n - 1]))
		s.n--;
	return s;
}

static bool add(struct reading *r, struct span part)
{
	if (!grow_room(&r->logical, part.n + 1)) {
		problem(r->problems, here(r), "a line longer than %zu bytes",
			LINE_CEILING);
		return false;
	}
	if (r->logical.buf.len)
		buf_byte(&r->logical.buf, ' ');
	buf_put(&r->logical.buf, part);
	return true;
}

/* The next logical line. False: the end, or one that is too long. */
static bool next_line(struct reading *r)
{
	buf_reset(&r->logical.buf);
	while (r->text.n) {
		struct span rest = r->text, raw = span_cut(&rest, '\n'), line = trim(raw);
		bool skip = line.n == 0 || line.p[0] == '#';

		if (!skip && r->logical.buf.len && !is_white(raw.p[0]))
			return true;
		r->text = rest;
		r->line++;
		if (skip)
			continue;
		if (!r->logical.buf.len)
			r->logical_at = r->line;
		if (!add(r, line))
			return false;
	}
	return r->logical.buf.len > 0;
}

static void put(struct reading *r, enum table_kind kind, struct span key,
		struct span targets)
{
	uint8_t lower[ADDRESS_MAX + DOMAIN_MAX];
	struct table_entry e = { .kind = kind, .targets = targets };
	struct buf b;

	buf_init(&b, lower, sizeof(lower));
	buf_put_lower(&b, key);
	e.key = buf_span(&b);
	if (b.full || !grow_room(r->out, tables_room(&e)))
		problem(r->problems, here(r), "too many entries");
	else
		tables_put(&r->out->buf, &e);
}

static bool refuse(struct reading *r, struct span text, const char *what, const char *why)
{
	problem(r->problems, here(r), "\"%.*s\" is not %s%s%s",
		SPAN_ARG(span_head(text, 100)), what, why ? ": " : "", why ? why : "");
	return false;
}

/* In the uniform form of wire/address.h, with the source's domain if it has none. */
static bool read_address(struct reading *r, struct span text, struct address *out)
{
	uint8_t mem[ADDRESS_MAX + DOMAIN_MAX], ascii_mem[ADDRESS_MAX + DOMAIN_MAX];
	struct buf whole, ascii;
	const char *why;

	buf_init(&whole, mem, sizeof(mem));
	buf_init(&ascii, ascii_mem, sizeof(ascii_mem));
	buf_put(&whole, text);
	if (span_find_last(text, '@') == text.n) {
		if (!*r->src->domain) {
			problem(r->problems, here(r),
				"\"%.*s\" has no domain: say domain = \"...\" in this source",
				SPAN_ARG(span_head(text, 100)));
			return false;
		}
		buf_fmt(&whole, "@%s", r->src->domain);
	}
	why = idn_address(buf_span(&whole), &ascii);
	if (!why && !whole.full && address_parse(buf_span(&ascii), out))
		return true;
	return refuse(r, text, "an address", why);
}

/* As the DNS has it. */
static bool read_domain(struct reading *r, struct span domain, struct buf *out)
{
	size_t before = out->len;
	const char *why = idn_domain(domain, out);

	return (!why && host_name_ok(span_skip(buf_span(out), before))) ||
	       refuse(r, domain, "a domain", why);
}

static bool is_everybody(struct span key)
{
	return key.n > 1 && key.p[0] == '@';
}

static void put_address(struct reading *r, enum table_kind kind, struct span key,
			struct span targets)
{
	uint8_t mem[DOMAIN_MAX + 1];
	struct address a;
	struct buf all;

	if (is_everybody(key)) {
		buf_init(&all, mem, sizeof(mem));
		buf_byte(&all, '@');
		if (read_domain(r, span_skip(key, 1), &all))
			put(r, kind, buf_span(&all), targets);
	} else if (read_address(r, key, &a)) {
		put(r, kind, address_span(&a), targets);
	}
}

/* Up to a comma or white space; both mean nothing inside quotes. */
static struct span cut_target(struct span *left)
{
	bool quoted = false;
	size_t n = 0;
	struct span out;

	for (; n < left->n; n++) {
		uint8_t c = left->p[n];

		if (c == '\\' && quoted)
			n++;
		else if (c == '"')
			quoted = !quoted;
		else if (!quoted && (c == ',' || is_white(c)))
			break;
	}
	out = span_head(*left, n);
	*left = span_skip(*left, n + 1);
	return out;
}

static bool add_target(struct reading *r, struct span word)
{
	struct span bare = word.n && word.p[0] == '"' ? span_skip(word, 1) : word;
	struct address a;

	if (bare.n && (bare.p[0] == '|' || bare.p[0] == '/' ||
		       span_starts_nocase(bare, SPAN(":include:")))) {
		problem(r->problems, here(r),
			"\"%.*s\": mail goes to addresses only, not to commands or files",
			SPAN_ARG(span_head(word, 100)));
		return false;
	}
	if (!read_address(r, word, &a))
		return false;
	if (!grow_room(&r->targets, 2 + (size_t)a.n)) {
		problem(r->problems, here(r), "too many targets");
		return false;
	}
	list_put(&r->targets.buf, address_span(&a));
	return true;
}

static void put_alias(struct reading *r, struct span key, struct span value)
{
	buf_reset(&r->targets.buf);
	while (value.n) {
		struct span word = cut_target(&value);

		if (word.n && !add_target(r, word))
			return;
	}
	if (r->targets.buf.len == 0)
		problem(r->problems, here(r), "\"%.*s\" has no targets",
			SPAN_ARG(span_head(key, 100)));
	else
		put_address(r, TABLE_ALIAS, key, buf_span(&r->targets.buf));
}

static struct span cut_word(struct span *left)
{
	size_t n = 0;
	struct span word;

	while (n < left->n && !is_white(left->p[n]))
		n++;
	word = span_head(*left, n);
	*left = trim(span_skip(*left, n));
	return word;
}

/* As in virtual(5), a domain alone on the left says that it is ours. */
static bool marks_domain(const struct reading *r, struct span key)
{
	return r->src->postfix && !*r->src->domain && span_find(key, '@') == key.n &&
	       span_find(key, '.') < key.n;
}

static void put_domain(struct reading *r, struct span domain)
{
	uint8_t mem[DOMAIN_MAX];
	struct buf ascii;

	buf_init(&ascii, mem, sizeof(mem));
	if (read_domain(r, domain, &ascii))
		put(r, TABLE_DOMAIN, buf_span(&ascii), SPAN_NONE);
}

static void read_postfix_line(struct reading *r, struct span line)
{
	struct span key = cut_word(&line);

	if (line.n == 0)
		problem(r->problems, here(r), "\"%.*s\" has no value behind it",
			SPAN_ARG(span_head(key, 100)));
	else if (r->src->kind == TABLE_DOMAIN || marks_domain(r, key))
		put_domain(r, key);
	else if (r->src->kind == TABLE_ALIAS)
		put_alias(r, key, line);
	else
		put_address(r, TABLE_ADDRESS, key, SPAN_NONE);
}

static void read_alias_line(struct reading *r, struct span line)
{
	size_t colon = span_find(line, ':');
	struct span key = trim(span_head(line, colon));

	if (colon == line.n || key.n == 0)
		problem(r->problems, here(r), "an alias is written name: target, target");
	else
		put_alias(r, key, span_skip(line, colon + 1));
}

static void read_list_line(struct reading *r, struct span line)
{
	struct span word = cut_word(&line);

	if (line.n && line.p[0] != '#')
		problem(r->problems, here(r),
			"one entry per line, but behind \"%.*s\" is more",
			SPAN_ARG(span_head(word, 100)));
	else if (r->src->kind == TABLE_DOMAIN)
		put_domain(r, word);
	else
		put_address(r, TABLE_ADDRESS, word, SPAN_NONE);
}

void source_read(const struct source *src, struct span text, struct grow *out,
		 struct problems *problems)
{
	struct reading r = { .src = src, .text = text, .out = out, .problems = problems };

	grow_init(&r.logical, LINE_CEILING);
	grow_init(&r.targets, LINE_CEILING);
	while (next_line(&r)) {
		struct span line = buf_span(&r.logical.buf);

		if (src->postfix)
			read_postfix_line(&r, line);
		else if (src->kind == TABLE_ALIAS)
			read_alias_line(&r, line);
		else
			read_list_line(&r, line);
	}
	grow_free(&r.logical);
	grow_free(&r.targets);
}
