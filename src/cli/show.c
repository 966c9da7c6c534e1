#include "cli/show.h"

#include "base/fields.h"

#define COLUMNS 32
#define VALUE	(4 * ROW_MAX) /* printed plain; JSON may need more */

struct column {
	struct span name;
	size_t width;
	bool numbers; /* and nothing else so far */
};

struct columns {
	size_t count;
	struct column column[COLUMNS];
};

static struct span plain(const struct field *f, uint8_t mem[VALUE])
{
	struct buf out;

	buf_init(&out, mem, VALUE);
	field_print_plain(f, &out);
	return buf_span(&out);
}

/* How many places a text takes: its bytes but for those that continue a character. */
static size_t width_of(struct span s)
{
	size_t n = 0;

	for (size_t i = 0; i < s.n; i++)
		n += (s.p[i] & 0xc0) != 0x80;
	return n;
}

static struct column *column_of(struct columns *all, struct span name)
{
	for (size_t i = 0; i < all->count; i++)
		if (span_eq(all->column[i].name, name))
			return &all->column[i];
	if (all->count == COLUMNS)
		return NULL;
	all->column[all->count] =
		(struct column){ .name = name, .width = width_of(name), .numbers = true };
	return &all->column[all->count++];
}

static void measure(struct columns *all, struct span row)
{
	uint8_t mem[VALUE];
	struct field f;

	while (field_next(&row, &f)) {
		struct column *c = column_of(all, f.name);
		size_t width = width_of(plain(&f, mem));

		if (!c)
			continue;
		c->numbers &= f.kind == FIELD_NUMBER;
		c->width = width > c->width ? width : c->width;
	}
}

static void pad(size_t n)
{
	for (size_t i = 0; i < n; i++)
		putchar(' ');
}

/* One place of a line. The last one on the left has no spaces behind it. */
static void put_place(const struct column *c, struct span text, bool last)
{
	size_t fill = c->width - width_of(text);

	if (c->numbers)
		pad(fill);
	fwrite(text.p, 1, text.n, stdout);
	if (!last && !c->numbers)
		pad(fill);
	fputs(last ? "\n" : "  ", stdout);
}

static void put_line(const struct columns *all, struct span row)
{
	uint8_t mem[VALUE];

	for (size_t i = 0; i < all->count; i++) {
		const struct column *c = &all->column[i];
		struct span rest = row, text = SPAN_NONE;
		struct field f;

		while (field_next(&rest, &f))
			if (span_eq(f.name, c->name))
				text = plain(&f, mem);
		put_place(c, text, i + 1 == all->count);
	}
}

/* Take `part` off the front of a row. Is it this one? */
static bool is_part(struct span *row, const char *part)
{
	struct field f;

	return !part || (field_next(row, &f) && span_eq(f.name, SPAN("part")) &&
			 span_eq(f.text, span_str(part)));
}

void show_part(const struct answer *a, const char *part)
{
	struct columns all = { 0 };
	struct span row;

	for (size_t at = 0; answer_next(a, &at, &row);)
		if (is_part(&row, part))
			measure(&all, row);
	for (size_t i = 0; i < all.count; i++)
		put_place(&all.column[i], all.column[i].name, i + 1 == all.count);
	for (size_t at = 0; answer_next(a, &at, &row);)
		if (is_part(&row, part))
			put_line(&all, row);
}

void show_table(const struct answer *a)
{
	show_part(a, NULL);
}

/* A value of one or more lines; those behind the first begin where it does. */
static void put_value(const struct field *f, size_t indent)
{
	struct span rest = f->text;
	uint8_t mem[VALUE];

	do {
		struct field line = *f;
		struct span text;

		if (f->kind == FIELD_TEXT) {
			line.text = span_cut(&rest, '\n');
			if (line.text.n && line.text.p[line.text.n - 1] == '\r')
				line.text.n--;
		} else {
			rest.n = 0;
		}
		text = plain(&line, mem);
		fwrite(text.p, 1, text.n, stdout);
		putchar('\n');
		if (rest.n)
			pad(indent);
	} while (rest.n);
}

void show_sheet(const struct answer *a)
{
	struct span row, rest;
	struct field f;

	for (size_t at = 0; answer_next(a, &at, &row);) {
		size_t width = 0;

		for (rest = row; field_next(&rest, &f);)
			width = f.name.n > width ? f.name.n : width;
		for (rest = row; field_next(&rest, &f);) {
			printf("%-*.*s  ", (int)width, SPAN_ARG(f.name));
			put_value(&f, width + 2);
		}
		if (at < a->end)
			putchar('\n');
	}
}

void show_json(const struct answer *a)
{
	uint8_t mem[8 * ROW_MAX];
	struct span row;

	for (size_t at = 0; answer_next(a, &at, &row);) {
		struct buf out;

		buf_init(&out, mem, sizeof(mem));
		fields_print_json(row, 0, &out);
		fwrite(mem, 1, out.len, stdout);
		putchar('\n');
	}
}

void show_text(struct span text, FILE *out)
{
	for (size_t i = 0; i < text.n; i++) {
		uint8_t c = text.p[i];
		bool fine = c >= ' ' ? c != 127 : c == '\n' || c == '\t';

		if (c != '\r')
			fputc(fine ? c : '?', out);
	}
}
