#include "app/lists.h"

#include <stdio.h>

#include "app/lists_inner.h"
#include "base/number.h"
#include "guard/access_blob.h"

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

/* ---- addresses ------------------------------------------------------------------------------- */

static uint8_t mask_byte(unsigned bits, size_t i)
{
	size_t left = bits > 8 * i ? bits - 8 * i : 0;

	return (uint8_t)(left >= 8 ? 0xffu : 0xff00u >> left);
}

/* True: there was something to clear. */
static bool clear_host_bits(struct net *n)
{
	bool any = false;

	for (size_t i = n->bits / 8u; i < 16; i++) {
		uint8_t kept = n->addr.ip[i] & mask_byte(n->bits, i);

		any |= kept != n->addr.ip[i];
		n->addr.ip[i] = kept;
	}
	return any;
}

/* 255.255.255.0 is 24. */
static bool parse_mask(struct span text, uint64_t *bits)
{
	struct addr mask;
	uint32_t m = 0;

	if (!addr_parse(text, &mask) || !addr_is_v4(&mask))
		return false;
	for (int i = 12; i < 16; i++)
		m = m << 8 | mask.ip[i];
	if (m & (~m >> 1))
		return false;
	*bits = (uint64_t)__builtin_popcount(m);
	return true;
}

bool list_net_parse(struct span text, struct net *out, bool *masked)
{
	size_t slash = span_find(text, '/');
	struct span head = span_head(text, slash), tail = span_skip(text, slash + 1);
	struct net n = { .bits = 128 };
	uint64_t bits;
	bool dotted;

	/* [2001:db8::]/32, as Postfix writes it elsewhere */
	if (head.n > 2 && head.p[0] == '[' && head.p[head.n - 1] == ']')
		head = span_of(head.p + 1, head.n - 2);
	dotted = span_find(head, ':') == head.n;
	if (!addr_parse(head, &n.addr))
		return false;
	if (slash < text.n) {
		if (!number_parse(tail, dotted ? 32 : 128, &bits) &&
		    !(dotted && parse_mask(tail, &bits)))
			return false;
		n.bits = (uint8_t)(dotted ? bits + 96 : bits);
	}
	*masked = clear_host_bits(&n);
	*out = n;
	return true;
}

static bool bit(const struct addr *a, unsigned i)
{
	return a->ip[i / 8] >> (7 - i % 8) & 1;
}

/* The last address of a prefix. */
static struct addr last_of(const struct net *n)
{
	struct addr a = n->addr;

	for (size_t i = 0; i < 16; i++)
		a.ip[i] |= (uint8_t)~mask_byte(n->bits, i);
	return a;
}

static int order(const struct addr *a, const struct addr *b)
{
	return memcmp(a->ip, b->ip, sizeof(a->ip));
}

/* False: it was the last one there is. */
static bool step(struct addr *a)
{
	for (int i = 15; i >= 0; i--)
		if (++a->ip[i] != 0)
			return true;
	return false;
}

size_t list_range(struct addr first, struct addr last, struct net *out)
{
	size_t count = 0;

	while (count < RANGE_MAX && order(&first, &last) <= 0) {
		struct net n = { first, 128 };
		struct addr end = first;

		/* as wide as its beginning and the end of the range allow */
		while (n.bits > 0 && !bit(&first, n.bits - 1u)) {
			struct net wider = { first, (uint8_t)(n.bits - 1) };
			struct addr wider_end = last_of(&wider);

			if (order(&wider_end, &last) > 0)
				break;
			n = wider;
			end = wider_end;
		}
		out[count++] = n;
		first = end;
		if (!step(&first))
			break;
	}
	return count;
}

/* ---- dates --------------------------------------------------------------------------------------- */

/* Days since 1970 of a date of the Gregorian calendar. */
static int64_t days_of(int64_t year, int64_t month, int64_t day)
{
	int64_t y = month > 2 ? year : year - 1;
	int64_t day_of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;

	return y * 365 + y / 4 - y / 100 + y / 400 + day_of_year - 719468;
}

static bool two_digits(struct span *left, uint8_t before, uint64_t max, int64_t *out)
{
	uint64_t n;

	if (left->n < 3 || left->p[0] != before ||
	    !number_parse(span_head(span_skip(*left, 1), 2), max, &n))
		return false;
	*out = (int64_t)n;
	*left = span_skip(*left, 3);
	return true;
}

#define DATE_MAX ((int64_t)UINT32_MAX * MS_SECOND) /* what the blob can hold: 2106 */

bool list_date_parse(struct span text, int64_t *out)
{
	struct span left = span_skip(text, 4);
	int64_t month, day, hour = 24, minute = 0, second = 0, wall;
	uint64_t year;

	if (text.n > 1 && text.p[0] == '@') {
		if (!number_parse(span_skip(text, 1), UINT32_MAX, &year))
			return false;
		*out = (int64_t)year * MS_SECOND;
		return true;
	}
	if (!number_parse(span_head(text, 4), 9999, &year) || year < 1970 ||
	    !two_digits(&left, '-', 12, &month) || !two_digits(&left, '-', 31, &day) ||
	    month == 0 || day == 0)
		return false;
	if (left.n && (!two_digits(&left, left.p[0] == ' ' ? ' ' : 'T', 23, &hour) ||
		       !two_digits(&left, ':', 59, &minute)))
		return false;
	if (left.n && left.p[0] == ':' && !two_digits(&left, ':', 59, &second))
		return false;
	if (left.n && !span_eq(left, SPAN("Z")))
		return false;
	wall = days_of((int64_t)year, month, day) * MS_DAY + hour * MS_HOUR +
	       minute * MS_MINUTE + second * MS_SECOND;
	*out = wall < DATE_MAX ? wall : DATE_MAX;
	return true;
}

void list_date_print(int64_t wall, struct buf *out)
{
	int64_t seconds = wall / MS_SECOND % 86400, days = wall / MS_DAY + 719468;
	int64_t era = days / 146097, of_era = days % 146097;
	int64_t year = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
	int64_t of_year = of_era - (365 * year + year / 4 - year / 100);
	int64_t m = (5 * of_year + 2) / 153;
	int64_t month = m < 10 ? m + 3 : m - 9;

	year += era * 400 + (month <= 2);
	buf_fmt(out, "%04lld-%02lld-%02lldT%02lld:%02lld:%02lldZ", (long long)year,
		(long long)month, (long long)(of_year - (153 * m + 2) / 5 + 1),
		(long long)(seconds / 3600), (long long)(seconds / 60 % 60),
		(long long)(seconds % 60));
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
	    addr_is_v4(&first) != addr_is_v4(&last) || order(&first, &last) > 0) {
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

bool list_put_name(struct list_reading *r, enum access_of of, struct span name,
		   const struct list_said *said)
{
	struct span text = name;

	/* @example.org is all of it */
	if (text.n > 1 && text.p[0] == '@')
		text = span_skip(text, 1);
	if (text.n > 1 && text.p[text.n - 1] == '.')
		text.n--;
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
