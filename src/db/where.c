#include "db/where.h"

#include "base/addr.h"
#include "base/id.h"
#include "base/number.h"
#include "db/sql.h"
#include "spec/messages.h"

/* where.def writes them as numbers. */
_Static_assert(MAIL_TLS == 8, "where.def: tls");
_Static_assert(HOP_MAILDIR == 0, "where.def: destination");

static const struct row {
	const char *name;
	char sign;
	const char *word;
	enum where_value value;
	const char *sql, *exact;
} rows[WHERE_KINDS] = {
#define TERM(id, name, sign, word, value, sql, exact) \
	[WHERE_##id] = { name, sign, word, WHERE_##value, sql, exact },
#include "db/where.def"
};

enum where_value where_value_of(enum where_kind kind)
{
	return rows[kind].value;
}

bool where_asks_state(const struct where *w)
{
	for (size_t i = 0; i < w->count; i++)
		if (span_eq(span_str(rows[w->term[i].kind].name), SPAN("state")))
			return true;
	return false;
}

/* ---- from text ---------------------------------------------------------------------------- */

struct reading {
	struct where *w;
	struct span all;
	struct err *err;
};

static size_t place(const struct reading *r, struct span part)
{
	return (size_t)(part.p - r->all.p) + 1;
}

static bool put_byte(struct where *w, uint8_t c)
{
	if (w->used == sizeof(w->text))
		return false;
	w->text[w->used++] = c;
	return true;
}

/*
 * In lower case, as a GLOB of SQLite: its [ ] would be a class, so [ is written as one.
 * <> is the null sender, and <a@b> is a@b.
 */
static bool keep_pattern(struct where *w, struct where_term *t, struct span value,
			 bool domain)
{
	bool good = value.n > 0;

	if (value.n >= 2 && value.p[0] == '<' && value.p[value.n - 1] == '>')
		value = span_of(value.p + 1, value.n - 2);
	t->at = w->used;
	t->exact = rows[t->kind].exact && span_find(value, '*') == value.n &&
		   span_find(value, '?') == value.n;
	if (domain)
		good = good && value.n && (t->exact || put_byte(w, '*')) &&
		       put_byte(w, '@');
	for (size_t i = 0; good && i < value.n; i++) {
		uint8_t c = byte_lower(value.p[i]);

		good = c >= ' ' && c != 0x7f;
		if (c == '[' && !t->exact)
			good = good && put_byte(w, '[') && put_byte(w, '[') &&
			       put_byte(w, ']');
		else
			good = good && put_byte(w, c);
	}
	t->n = w->used - t->at;
	return good;
}

static bool keep_net(struct where_term *t, struct span value)
{
	struct net net;

	if (!net_parse(value, &net))
		return false;
	for (size_t i = 0; i < sizeof(t->low); i++) {
		unsigned bits = net.bits > 8 * i ? net.bits - 8 * (unsigned)i : 0;
		uint8_t rest = bits >= 8 ? 0 : (uint8_t)(0xff >> bits);

		t->low[i] = net.addr.ip[i];
		t->high[i] = (uint8_t)(net.addr.ip[i] | rest);
	}
	return true;
}

static bool keep_number(struct where_term *t, struct span value)
{
	uint64_t n;

	if (!number_parse(value, INT32_MAX, &n))
		return false;
	t->number = (int64_t)n;
	return true;
}

static bool keep_id(struct where_term *t, struct span value)
{
	uint64_t id;

	if (!id_parse(value, &id))
		return false;
	t->number = (int64_t)id;
	return true;
}

static bool keep(struct where *w, struct where_term *t, struct span value)
{
	switch (rows[t->kind].value) {
	case WHERE_NOTHING:
		return true;
	case WHERE_PATTERN:
	case WHERE_PATTERN2:
		return keep_pattern(w, t, value, false);
	case WHERE_DOMAIN:
		return keep_pattern(w, t, value, true);
	case WHERE_NET:
		return keep_net(t, value);
	case WHERE_AGE:
		return duration_parse(value, &t->number);
	case WHERE_SIZE:
		return size_parse(value, &t->number);
	case WHERE_NUMBER:
		return keep_number(t, value);
	case WHERE_A_ID:
		return keep_id(t, value);
	}
	return false;
}

static const char *wants(enum where_value value)
{
	static const char *const texts[] = {
		[WHERE_NOTHING] = "one of its words",
		[WHERE_PATTERN] = "a pattern, such as *@example.com or <>",
		[WHERE_PATTERN2] = "a pattern, such as *.example.com*",
		[WHERE_DOMAIN] = "a domain, such as example.com",
		[WHERE_NET] = "an address or a prefix, such as 192.0.2.0/24",
		[WHERE_AGE] = "a length of time, such as 5m, 1h or 2d",
		[WHERE_SIZE] = "a size, such as 512, 64k or 1m",
		[WHERE_NUMBER] = "a number",
		[WHERE_A_ID] = "a queue id",
	};

	return texts[value];
}

/* What the rows of that name have in a column, for a person. */
static void list_signs(struct span name, struct buf *out)
{
	char last = '\0';

	for (size_t i = 0; i < WHERE_KINDS; i++)
		if (span_eq(name, span_str(rows[i].name)) && rows[i].sign != last) {
			last = rows[i].sign;
			buf_fmt(out, "%s%c", out->len ? " or " : "", last);
		}
}

static void list_words(struct span name, struct buf *out)
{
	for (size_t i = 0; i < WHERE_KINDS; i++)
		if (span_eq(name, span_str(rows[i].name)) && rows[i].word)
			buf_fmt(out, "%s%s", out->len ? ", " : "", rows[i].word);
}

static void list_names(struct buf *out)
{
	for (size_t i = 0; i < WHERE_KINDS; i++)
		if (i == 0 || !span_eq(span_str(rows[i].name), span_str(rows[i - 1].name)))
			buf_fmt(out, "%s%s", out->len ? " " : "", rows[i].name);
}

static bool is_unknown(const struct reading *r, struct span name, struct span word)
{
	uint8_t mem[300];
	struct buf known;

	buf_init(&known, mem, sizeof(mem));
	list_names(&known);
	return err_set(r->err, "at %zu: there is no \"%.*s\"; what may be asked: %.*s",
		       place(r, word), SPAN_ARG(span_head(name, 30)),
		       SPAN_ARG(buf_span(&known)));
}

/* Why no row fits. */
static bool does_not_fit(const struct reading *r, struct span name, struct span value,
			 bool signed_well)
{
	uint8_t mem[200];
	struct buf what;

	buf_init(&what, mem, sizeof(mem));
	if (signed_well)
		list_words(name, &what);
	else
		list_signs(name, &what);
	return err_set(r->err, "at %zu: %.*s needs %.*s", place(r, value), SPAN_ARG(name),
		       SPAN_ARG(buf_span(&what)));
}

static bool find_row(const struct reading *r, struct span name, char sign,
		     struct span value, struct span word, struct where_term *t)
{
	bool named = false, signed_well = false;

	for (size_t i = 0; i < WHERE_KINDS; i++) {
		if (!span_eq(name, span_str(rows[i].name)))
			continue;
		named = true;
		if (rows[i].sign != sign)
			continue;
		signed_well = true;
		if (rows[i].word && !span_eq(value, span_str(rows[i].word)))
			continue;
		t->kind = (enum where_kind)i;
		return true;
	}
	if (!named)
		return is_unknown(r, name, word);
	return does_not_fit(r, name, signed_well ? value : span_of(name.p + name.n, 0),
			    signed_well);
}

static bool is_name_byte(uint8_t c)
{
	return (c >= 'a' && c <= 'z') || c == '-';
}

static bool read_term(struct reading *r, struct span word)
{
	struct where_term *t = &r->w->term[r->w->count];
	struct span rest = word, name = { word.p, 0 };
	char sign;

	if (r->w->count == WHERE_TERMS)
		return err_set(r->err, "at %zu: more than %d terms", place(r, word),
			       WHERE_TERMS);
	*t = (struct where_term){ 0 };
	if (rest.n && rest.p[0] == '!') {
		t->negated = true;
		rest = span_skip(rest, 1);
	}
	name.p = rest.p;
	while (name.n < rest.n && is_name_byte(rest.p[name.n]))
		name.n++;
	rest = span_skip(rest, name.n);
	if (rest.n >= 2 && rest.p[0] == '!' && rest.p[1] == '=') {
		t->negated = !t->negated;
		rest = span_skip(rest, 1);
	}
	sign = rest.n ? (char)rest.p[0] : '\0';
	rest = span_skip(rest, 1);
	if (!find_row(r, name, sign, rest, word, t))
		return false;
	if (!keep(r->w, t, rest))
		return err_set(r->err, "at %zu: %.*s needs %s", place(r, rest),
			       SPAN_ARG(name), wants(rows[t->kind].value));
	r->w->count++;
	return true;
}

static bool next_word(struct span *rest, struct span *word)
{
	*rest = span_trim(*rest);
	word->p = rest->p;
	word->n = 0;
	while (word->n < rest->n && rest->p[word->n] != ' ' && rest->p[word->n] != '\t')
		word->n++;
	*rest = span_skip(*rest, word->n);
	return word->n > 0;
}

bool where_parse(struct where *w, struct span text, struct err *err)
{
	struct reading r = { .w = w, .all = text, .err = err };
	struct span rest = text, word;

	w->count = 0;
	w->used = 0;
	if (text.n > WHERE_MAX)
		return err_set(err, "the condition is longer than %d bytes", WHERE_MAX);
	if (span_eq(span_trim(text), SPAN("all")))
		return true;
	while (next_word(&rest, &word))
		if (!read_term(&r, word))
			return false;
	return w->count > 0 || err_set(err, "at 1: which messages? All of them: all");
}

/* ---- to SQL ------------------------------------------------------------------------------- */

void where_sql(const struct where *w, unsigned first, struct buf *out)
{
	for (size_t i = 0; i < w->count; i++) {
		const struct row *row = &rows[w->term[i].kind];
		const char *sql = w->term[i].exact ? row->exact : row->sql;

		buf_put(out, w->term[i].negated ? SPAN(" and not (") : SPAN(" and ("));
		for (; *sql; sql++) {
			buf_byte(out, (uint8_t)*sql);
			/* ?1 and ?2 are the range */
			if (*sql == '?' && sql[1] != '1' && sql[1] != '2')
				buf_number(out, first++);
		}
		buf_byte(out, ')');
	}
}
