#include "app/lists_inner.h"

/*
 * Most lines of most lists are an IPv4 address and perhaps a slash. These are read here,
 * byte by byte, at some 20 ns each; whatever else there is takes the long way.
 */
static bool cut_number(const uint8_t **p, const uint8_t *end, uint32_t *out)
{
	const uint8_t *at = *p;
	uint32_t n = 0;

	while (at < end && at - *p < 3 && *at >= '0' && *at <= '9')
		n = n * 10 + (uint32_t)(*at++ - '0');
	/* 010 is eight to some programs */
	if (at == *p || (at - *p > 1 && **p == '0'))
		return false;
	*p = at;
	*out = n;
	return true;
}

/* How many bytes the prefix at the front has; 0: it is not a plain one. */
static size_t quick_net(struct span text, struct net *out)
{
	const uint8_t *p = text.p, *end = text.p + text.n;
	uint32_t a = 0, bits = 32, part;

	for (int i = 0; i < 4; i++) {
		if (!cut_number(&p, end, &part) || part > 255 ||
		    (i < 3 && (p == end || *p != '.')))
			return 0;
		a = a << 8 | part;
		p += i < 3;
	}
	if (p < end && *p == '/') {
		p++;
		if (!cut_number(&p, end, &bits) || bits > 32)
			return 0;
	}
	if (bits == 0 || (bits < 32 && a << bits != 0))
		return 0;
	out->addr = addr_v4((uint8_t)(a >> 24), (uint8_t)(a >> 16), (uint8_t)(a >> 8),
			    (uint8_t)a);
	out->bits = (uint8_t)(96 + bits);
	return (size_t)(p - text.p);
}

/* A whole line that is nothing but that. */
static bool read_quickly(struct list_reading *r)
{
	struct list_said said;
	struct net net;
	size_t n = quick_net(r->left, &net);
	struct span rest = span_skip(r->left, n);

	if (n == 0)
		return false;
	if (rest.n && rest.p[0] == '\r')
		rest = span_skip(rest, 1);
	if (rest.n == 0 || rest.p[0] != '\n')
		return false;
	r->left = span_skip(rest, 1);
	r->line++;
	said = list_said(r, r->src->action);
	list_put_net(r, &net, &said);
	return true;
}

/* Up to # or ; where a word would begin. */
static struct span without_comment(struct span line)
{
	for (size_t i = 0; i < line.n; i++)
		if ((line.p[i] == '#' || line.p[i] == ';') &&
		    (i == 0 || list_is_white(line.p[i - 1])))
			return list_trim(span_head(line, i));
	return line;
}

/* permit, deny or dunno, if the line says so itself. */
static bool take_action(struct span *rest, enum access_answer *out)
{
	static const struct {
		struct span word;
		enum access_answer answer;
	} words[] = {
		{ SPAN_INIT("permit"), ACCESS_PERMIT },
		{ SPAN_INIT("deny"), ACCESS_DENY },
		{ SPAN_INIT("dunno"), ACCESS_SILENT },
	};
	struct span left = *rest, word = list_word(&left);

	for (size_t i = 0; i < COUNT_OF(words); i++) {
		if (!span_eq(word, words[i].word))
			continue;
		*out = words[i].answer;
		*rest = left;
		return true;
	}
	return false;
}

/* Many lines have the same date. */
struct date {
	struct span word;
	int64_t wall;
};

static bool take_until(struct list_reading *r, struct span *rest, struct date *known,
		       int64_t *out)
{
	struct span left = *rest, word;

	if (!span_starts(left, SPAN("until=")))
		return true;
	word = list_word(&left);
	*rest = left;
	if (span_eq(word, known->word) ||
	    list_date_parse(span_skip(word, 6), &known->wall)) {
		known->word = word;
		*out = known->wall;
		return true;
	}
	known->word = SPAN_NONE;
	problem(r->src->problems, list_here(r),
		"\"%.*s\": a date is written until=2026-12-31 or until=2026-12-31T10:00:00Z (UTC)",
		QUOTE(word));
	return false;
}

/* .example.org is example.org and all that is below; in the blob these are two. */
static void put(struct list_reading *r, struct span text, const struct list_said *said)
{
	struct net net;

	if (r->src->of == ACCESS_CLIENT && quick_net(text, &net) == text.n)
		list_put_net(r, &net, said);
	else if (r->src->of == ACCESS_CLIENT)
		list_put_text(r, text, said);
	else if (list_put_name(r, r->src->of, text, said) && text.p[0] == '.')
		(void)list_put_name(r, r->src->of, span_skip(text, 1), said);
}

void list_read_plain(struct list_reading *r)
{
	bool addresses = r->src->of == ACCESS_CLIENT, indented;
	struct span line, word;
	struct date known = { .word = SPAN_NONE };

	while (!r->stopped) {
		struct list_said said;

		if (addresses && read_quickly(r))
			continue;
		if (!list_line(r, &line, &indented))
			break;
		line = without_comment(line);
		if (line.n == 0)
			continue;
		said = list_said(r, r->src->action);
		word = list_word(&line);
		(void)take_action(&line, &said.answer);
		if (!take_until(r, &line, &known, &said.until))
			continue;
		said.why = line;
		put(r, word, &said);
	}
}
