/*
 * Lines and entries of lists, whatever their format.
 */
#include "app/lists.h"

#include "app/lists_inner.h"
#include "base/utf8.h"
#include "guard/access_blob.h"
#include "io/idn.h"

const char *const list_format_word[LIST_FORMATS] = {
	[LIST_PLAIN] = "plain",	      [LIST_CIDR] = "cidr",   [LIST_HASH] = "hash",
	[LIST_TCPRULES] = "tcprules", [LIST_IPSET] = "ipset",
};

static const struct {
	struct span prefix;
	enum list_format format;
} prefixes[] = {
	{ SPAN_INIT("plain:"), LIST_PLAIN },	   { SPAN_INIT("cidr:"), LIST_CIDR },
	{ SPAN_INIT("hash:"), LIST_HASH },	   { SPAN_INIT("texthash:"), LIST_HASH },
	{ SPAN_INIT("tcprules:"), LIST_TCPRULES }, { SPAN_INIT("tcp:"), LIST_TCPRULES },
	{ SPAN_INIT("ipset:"), LIST_IPSET },	   { SPAN_INIT("nft:"), LIST_IPSET },
	{ SPAN_INIT("fail2ban:"), LIST_IPSET },
};

enum list_format list_format_of(const char *file, const char **path)
{
	*path = file;
	for (size_t i = 0; i < COUNT_OF(prefixes); i++) {
		if (!span_starts(span_str(file), prefixes[i].prefix))
			continue;
		*path = file + prefixes[i].prefix.n;
		return prefixes[i].format;
	}
	return LIST_PLAIN;
}

bool list_first_match(enum list_format format)
{
	return format == LIST_CIDR;
}

struct origin list_at(const struct list_reading *r, uint32_t line)
{
	return (struct origin){ r->src->file, line };
}

struct origin list_here(const struct list_reading *r)
{
	return list_at(r, r->line);
}

/* ---- lines --------------------------------------------------------------------------------- */

struct span list_trim(struct span s)
{
	while (s.n && list_is_white(s.p[0]))
		s = span_skip(s, 1);
	while (s.n && list_is_white(s.p[s.n - 1]))
		s.n--;
	return s;
}

struct span list_word(struct span *left)
{
	size_t n = 0;
	struct span word;

	while (n < left->n && !list_is_white(left->p[n]))
		n++;
	word = span_head(*left, n);
	*left = list_trim(span_skip(*left, n));
	return word;
}

bool list_line(struct list_reading *r, struct span *line, bool *indented)
{
	size_t max = r->src->format == LIST_IPSET ? LIST_LONG_LINE : LIST_LINE_MAX;

	while (r->left.n && !r->stopped) {
		struct span raw = span_cut(&r->left, '\n');

		r->line++;
		if (raw.n > max) {
			problem(r->src->problems, list_here(r),
				"a line of %zu bytes; at most %zu can be read", raw.n,
				max);
		} else if (span_find(raw, '\0') < raw.n) {
			problem(r->src->problems, list_here(r),
				"a NUL byte: this is not a text file");
		} else {
			*indented = raw.n && list_is_white(raw.p[0]);
			*line = list_trim(raw);
			return true;
		}
	}
	return false;
}

/* ---- entries ------------------------------------------------------------------------------------- */

struct list_said list_said(const struct list_reading *r, enum access_answer answer)
{
	return (struct list_said){ .answer = answer, .line = r->line, .until = INT64_MAX };
}

static const char *everybody(enum access_answer answer)
{
	return answer == ACCESS_PERMIT ? "permits everybody: the guard is off for them"
				       : "denies everybody";
}

void list_put_net(struct list_reading *r, const struct net *net,
		  const struct list_said *said)
{
	bool v4 = net->bits >= 96 && addr_is_v4(&net->addr);

	if (r->stopped || said->until <= r->src->wall)
		return;
	if (said->answer != ACCESS_SILENT && net->bits == (v4 ? 96 : 0))
		doubt(r->src->problems, list_at(r, said->line), "this %s%s",
		      everybody(said->answer), v4 ? " (IPv4)" : " (IPv6)");
	if (!r->sink->on_net(r->sink->arg, net, said))
		r->stopped = true;
}

static void wrong_address(struct list_reading *r, struct span text)
{
	struct span head = span_head(text, span_find(text, '/'));
	struct origin at = list_here(r);
	struct addr a;

	if (head.n < text.n && addr_parse(head, &a))
		problem(r->src->problems, at,
			"\"%.*s\": behind the slash of an IPv%d prefix stands a number up to %d",
			QUOTE(text), addr_is_v4(&a) ? 4 : 6, addr_is_v4(&a) ? 32 : 128);
	else
		problem(r->src->problems, at,
			"\"%.*s\" is neither an address nor a prefix such as 192.0.2.0/24",
			QUOTE(text));
}

static void put_range(struct list_reading *r, struct span text, size_t dash,
		      const struct list_said *said)
{
	struct addr first, last;
	struct net nets[RANGE_MAX];
	size_t n;

	if (!addr_parse(span_head(text, dash), &first) ||
	    !addr_parse(span_skip(text, dash + 1), &last) ||
	    addr_is_v4(&first) != addr_is_v4(&last) || list_order(&first, &last) > 0) {
		problem(r->src->problems, list_here(r),
			"\"%.*s\" is not a range of addresses, from the lower to the higher",
			QUOTE(text));
		return;
	}
	n = list_range(first, last, nets);
	for (size_t i = 0; i < n; i++)
		list_put_net(r, &nets[i], said);
}

void list_put_text(struct list_reading *r, struct span text, const struct list_said *said)
{
	size_t dash = span_find(text, '-');
	bool masked;
	struct net n;

	if (dash < text.n) {
		put_range(r, text, dash, said);
	} else if (!list_net_parse(text, &n, &masked)) {
		wrong_address(r, text);
	} else {
		if (masked)
			doubt(r->src->problems, list_at(r, said->line),
			      "\"%.*s\": bits behind the slash are not zero, and were taken as zero",
			      QUOTE(text));
		list_put_net(r, &n, said);
	}
}

static bool label_byte_ok(uint8_t c)
{
	uint8_t l = byte_lower(c);

	return (l >= 'a' && l <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_' ||
	       c >= 0x80;
}

/* example.org, .example.org; HELO names are as wild as people are. */
static bool domain_ok(struct span text)
{
	bool after_dot = true;

	if (text.n && text.p[0] == '.')
		text = span_skip(text, 1);
	for (size_t i = 0; i < text.n; i++) {
		bool dot = text.p[i] == '.';

		if (dot ? after_dot : !label_byte_ok(text.p[i]))
			return false;
		after_dot = dot;
	}
	return text.n > 0 && text.n <= DOMAIN_MAX && !after_dot;
}

/* [192.0.2.1], as some say in HELO and after an @. */
static bool literal_ok(struct span text)
{
	if (text.n < 3 || text.p[0] != '[' || text.p[text.n - 1] != ']')
		return false;
	for (size_t i = 1; i + 1 < text.n; i++)
		if (text.p[i] <= ' ' || text.p[i] >= 0x7f || text.p[i] == '[')
			return false;
	return true;
}

static bool name_ok(enum access_of of, struct span text)
{
	size_t at = span_find_last(text, '@');
	struct span domain = span_skip(text, at + 1);

	if (at == text.n)
		return domain_ok(text) || (of != ACCESS_PTR && literal_ok(text));
	for (size_t i = 0; i < at; i++)
		if (text.p[i] <= ' ' || text.p[i] == 0x7f)
			return false;
	return (of == ACCESS_SENDER || of == ACCESS_RECIPIENT) && at > 0 &&
	       (domain.n == 0 || domain_ok(domain) || literal_ok(domain));
}

static const char *wanted(enum access_of of)
{
	if (of == ACCESS_SENDER || of == ACCESS_RECIPIENT)
		return "user@example.org, example.org, .example.org or user@";
	return "mail.example.org or .example.org";
}

/* Domains of other letters as the DNS has them. What it cannot have is left: HELO may say it. */
static struct span in_ascii(struct span text, struct buf *out)
{
	size_t at = span_find_last(text, '@');
	struct span domain = at < text.n ? span_skip(text, at + 1) : text;

	if (utf8_is_ascii(domain))
		return text;
	if (domain.p[0] == '.')
		domain = span_skip(domain, 1);
	buf_put(out, span_head(text, text.n - domain.n));
	return idn_domain(domain, out) || out->full ? text : buf_span(out);
}

bool list_put_name(struct list_reading *r, enum access_of of, struct span name,
		   const struct list_said *said)
{
	uint8_t mem[ACCESS_NAME_MAX];
	struct span text = name;
	struct buf ascii;

	/* @example.org is all of it */
	if (text.n > 1 && text.p[0] == '@')
		text = span_skip(text, 1);
	if (text.n > 1 && text.p[text.n - 1] == '.')
		text.n--;
	buf_init(&ascii, mem, sizeof(mem));
	text = in_ascii(text, &ascii);
	if (text.n > ACCESS_NAME_MAX || !name_ok(of, text)) {
		problem(r->src->problems, list_here(r), "\"%.*s\" is none of %s",
			QUOTE(name), wanted(of));
		return false;
	}
	if (!r->stopped && said->until > r->src->wall &&
	    !r->sink->on_name(r->sink->arg, of, text, said))
		r->stopped = true;
	return true;
}

/* ---- which format, and on to it ------------------------------------------------------------------- */

bool list_read(const struct list_source *src, struct span text,
	       const struct list_sink *sink)
{
	static void (*const readers[LIST_FORMATS])(struct list_reading *) = {
		[LIST_PLAIN] = list_read_plain, [LIST_CIDR] = list_read_cidr,
		[LIST_HASH] = list_read_hash,	[LIST_TCPRULES] = list_read_tcprules,
		[LIST_IPSET] = list_read_ipset,
	};
	struct list_reading r = { .src = src, .sink = sink, .left = text };

	/* what some editors of other systems put first */
	if (span_starts(text, SPAN("\xef\xbb\xbf")))
		r.left = span_skip(text, 3);
	if (src->of != ACCESS_CLIENT &&
	    (src->format == LIST_CIDR || src->format == LIST_TCPRULES ||
	     src->format == LIST_IPSET)) {
		problem(src->problems, (struct origin){ src->file, 0 },
			"a list of the format %s holds addresses: it can only be of = \"client\"",
			list_format_word[src->format]);
		return true;
	}
	readers[src->format](&r);
	return !r.stopped;
}

static bool has_word(struct span line, const char *const *words)
{
	struct span first = list_word(&line);

	for (; *words; words++)
		if (span_eq(first, span_str(*words)))
			return true;
	return false;
}

/* By the first line that says something. */
enum list_format list_sniff(struct span text)
{
	static const char *const set[] = { "create",	"add", "-N",  "-A",
					   "table",	"set", "map", "elements",
					   "elements=", NULL };
	static const char *const conditions[] = { "if", "endif", NULL };
	static const char *const actions[] = { "REJECT", "OK", "DUNNO", "PERMIT",
					       "reject", "ok", "554",	"550",
					       "RELAY",	 NULL };

	while (text.n) {
		struct span line = list_trim(span_cut(&text, '\n')), rest = line, word;
		struct net n;
		bool masked;

		if (line.n == 0 || line.p[0] == '#')
			continue;
		if (line.p[0] == '[' && span_find(line, '{') < line.n)
			return LIST_IPSET;
		if (has_word(line, set))
			return LIST_IPSET;
		if (has_word(line, conditions) || line.p[0] == '!')
			return LIST_CIDR;
		word = list_word(&rest);
		if (has_word(rest, actions))
			return span_find(word, '/') < word.n ? LIST_CIDR : LIST_HASH;
		if (span_find(word, ':') < word.n && !list_net_parse(word, &n, &masked))
			return LIST_TCPRULES;
		return LIST_PLAIN;
	}
	return LIST_PLAIN;
}
