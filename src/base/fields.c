#include "base/fields.h"

#include "base/date.h"
#include "base/time.h"
#include "base/utf8.h"

/*
 * A field: kind, length of the name, name; then a text with its 32-bit length, or the
 * eight bytes of a number. All little-endian.
 */
#define HEAD	     2
#define NAME_MAX_LEN 32
#define NUMBER	     8
#define LENGTH	     4

static void put_le(struct buf *out, uint64_t n, size_t bytes)
{
	uint8_t le[NUMBER];

	for (size_t i = 0; i < NUMBER; i++)
		le[i] = (uint8_t)(n >> (8 * i));
	buf_put(out, span_of(le, bytes));
}

static uint64_t get_le(struct span s)
{
	uint64_t n = 0;

	for (size_t i = 0; i < s.n; i++)
		n |= (uint64_t)s.p[i] << (8 * i);
	return n;
}

/* All of it or nothing, so that a row that was full still holds whole fields. */
static bool begin(struct buf *out, enum field_kind kind, const char *name, size_t value)
{
	struct span word = span_head(span_str(name), NAME_MAX_LEN);

	if (buf_room(out) < HEAD + word.n + value) {
		out->full = true;
		return false;
	}
	buf_byte(out, (uint8_t)kind);
	buf_byte(out, (uint8_t)word.n);
	buf_put(out, word);
	return true;
}

void field_text(struct buf *out, const char *name, struct span value)
{
	if (value.n > UINT32_MAX || !begin(out, FIELD_TEXT, name, LENGTH + value.n)) {
		out->full = true;
		return;
	}
	put_le(out, value.n, LENGTH);
	buf_put(out, value);
}

static void put_number(struct buf *out, enum field_kind kind, const char *name, int64_t n)
{
	if (begin(out, kind, name, NUMBER))
		put_le(out, (uint64_t)n, NUMBER);
}

void field_number(struct buf *out, const char *name, int64_t value)
{
	put_number(out, FIELD_NUMBER, name, value);
}

void field_flag(struct buf *out, const char *name, bool value)
{
	put_number(out, FIELD_FLAG, name, value);
}

void field_time(struct buf *out, const char *name, int64_t wall)
{
	put_number(out, FIELD_TIME, name, wall);
}

static bool name_ok(struct span name)
{
	if (name.n == 0 || name.n > NAME_MAX_LEN)
		return false;
	for (size_t i = 0; i < name.n; i++) {
		uint8_t c = name.p[i];

		if (!(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9') && c != '-')
			return false;
	}
	return true;
}

bool field_next(struct span *row, struct field *out)
{
	struct span left = *row;
	struct field f = { 0 };
	size_t n;

	if (left.n < HEAD || left.p[0] > FIELD_TIME)
		return false;
	f.kind = (enum field_kind)left.p[0];
	f.name = span_head(span_skip(left, HEAD), left.p[1]);
	if (f.name.n != left.p[1] || !name_ok(f.name))
		return false;
	left = span_skip(left, HEAD + f.name.n);
	n = f.kind == FIELD_TEXT ? LENGTH : NUMBER;
	if (left.n < n)
		return false;
	f.number = (int64_t)get_le(span_head(left, n));
	left = span_skip(left, n);
	if (f.kind == FIELD_TEXT) {
		if ((uint64_t)f.number > left.n)
			return false;
		f.text = span_head(left, (size_t)f.number);
		f.number = 0;
		left = span_skip(left, f.text.n);
	}
	*out = f;
	*row = left;
	return true;
}

bool fields_ok(struct span row)
{
	struct field f;

	while (field_next(&row, &f))
		;
	return row.n == 0;
}

bool field_find(struct span row, const char *name, struct field *out)
{
	struct field f;

	while (field_next(&row, &f)) {
		if (!span_eq(f.name, span_str(name)))
			continue;
		*out = f;
		return true;
	}
	return false;
}

/* A number in decimal. */
static void print_number(int64_t n, struct buf *out)
{
	if (n < 0)
		buf_byte(out, '-');
	buf_number(out, n < 0 ? 0 - (uint64_t)n : (uint64_t)n);
}

/* With zeros in front, so that it has so many digits (at most four). */
static void print_digits(int64_t n, unsigned digits, struct buf *out)
{
	uint8_t mem[4];

	for (unsigned i = digits; i-- > 0; n /= 10)
		mem[i] = (uint8_t)('0' + n % 10);
	buf_put(out, span_of(mem, digits));
}

static void print_date(int64_t days, struct buf *out)
{
	int year, month, day;

	date_of(days, &year, &month, &day);
	print_digits(year, 4, out);
	buf_byte(out, '-');
	print_digits(month, 2, out);
	buf_byte(out, '-');
	print_digits(day, 2, out);
}

static void print_time(int64_t wall, struct buf *out)
{
	int64_t day = wall / MS_DAY, rest = wall % MS_DAY;

	/* beyond the year 9999 RFC 3339 has no words; our clock says no such thing */
	if (wall < 0 || day > 2932896) {
		print_number(wall, out);
		return;
	}
	print_date(day, out);
	buf_byte(out, 'T');
	print_digits(rest / MS_HOUR, 2, out);
	buf_byte(out, ':');
	print_digits(rest / MS_MINUTE % 60, 2, out);
	buf_byte(out, ':');
	print_digits(rest / MS_SECOND % 60, 2, out);
	buf_byte(out, '.');
	print_digits(rest % MS_SECOND, 3, out);
	buf_byte(out, 'Z');
}

static void print_value(const struct field *f, struct buf *out)
{
	switch (f->kind) {
	case FIELD_NUMBER:
		print_number(f->number, out);
		break;
	case FIELD_FLAG:
		buf_put(out, f->number ? SPAN("true") : SPAN("false"));
		break;
	case FIELD_TIME:
		print_time(f->number, out);
		break;
	case FIELD_TEXT:
		break;
	}
}

static void print_hex(struct span s, struct buf *out)
{
	for (size_t i = 0; i < s.n; i++)
		buf_fmt(out, "\\x%02x", s.p[i]);
}

/* Text as it is, and as \xHH what is not text, moves the cursor, or is in `also`. */
static void print_escaped(struct span s, struct span also, struct buf *out)
{
	while (s.n) {
		uint32_t code = 0;
		size_t n = utf8_first(s, &code);
		struct span c = span_head(s, n ? n : 1);

		if (n == 0 || utf8_is_control(code) ||
		    (n == 1 && span_find(also, s.p[0]) < also.n))
			print_hex(c, out);
		else
			buf_put(out, c);
		s = span_skip(s, c.n);
	}
}

void field_print_plain(const struct field *f, struct buf *out)
{
	if (f->kind == FIELD_TEXT)
		print_escaped(f->text, SPAN_NONE, out);
	else
		print_value(f, out);
}

static struct span cut(struct span text, size_t max, size_t *lost)
{
	struct span head = max ? utf8_head(text, max) : text;

	*lost = text.n - head.n;
	return head;
}

static bool is_bare(struct span s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] <= ' ' || s.p[i] >= 0x7f || s.p[i] == '"' || s.p[i] == '=' ||
		    s.p[i] == '\\')
			return false;
	return s.n > 0;
}

/* A cut shows as \+N: no text can say that, since its backslashes are escaped. */
static void print_logfmt_text(struct span text, size_t max, struct buf *out)
{
	size_t lost;
	struct span s = cut(text, max, &lost);

	if (is_bare(s) && lost == 0) {
		buf_put(out, s);
		return;
	}
	buf_byte(out, '"');
	print_escaped(s, SPAN("\"\\"), out);
	if (lost)
		buf_fmt(out, "\\+%zu", lost);
	buf_byte(out, '"');
}

void fields_print_logfmt(struct span row, size_t text_max, struct buf *out)
{
	struct span between = SPAN_NONE;
	struct field f;

	while (field_next(&row, &f)) {
		buf_put(out, between);
		buf_put(out, f.name);
		buf_byte(out, '=');
		if (f.kind == FIELD_TEXT)
			print_logfmt_text(f.text, text_max, out);
		else
			print_value(&f, out);
		between = SPAN(" ");
	}
}

static void print_json_char(struct span c, uint32_t code, struct buf *out)
{
	if (c.n == 0)
		buf_put(out, SPAN("\xef\xbf\xbd"));
	else if (code == '"' || code == '\\')
		buf_fmt(out, "\\%c", (int)code);
	else if (utf8_is_control(code))
		buf_fmt(out, "\\u%04x", (unsigned)code);
	else
		buf_put(out, c);
}

static void print_json_text(struct span text, size_t max, struct buf *out)
{
	size_t lost;
	struct span s = cut(text, max, &lost);

	buf_byte(out, '"');
	while (s.n) {
		uint32_t code = 0;
		size_t n = utf8_first(s, &code);

		print_json_char(span_head(s, n), code, out);
		s = span_skip(s, n ? n : 1);
	}
	if (lost)
		buf_fmt(out, "\\\\+%zu", lost);
	buf_byte(out, '"');
}

void fields_print_json(struct span row, size_t text_max, struct buf *out)
{
	const char *between = "";
	struct field f;

	buf_byte(out, '{');
	while (field_next(&row, &f)) {
		buf_fmt(out, "%s\"%.*s\":", between, SPAN_ARG(f.name));
		if (f.kind == FIELD_TEXT)
			print_json_text(f.text, text_max, out);
		else if (f.kind == FIELD_TIME) {
			buf_byte(out, '"');
			print_value(&f, out);
			buf_byte(out, '"');
		} else
			print_value(&f, out);
		between = ",";
	}
	buf_byte(out, '}');
}
