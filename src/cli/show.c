#include "cli/show.h"

#include <langinfo.h>
#include <locale.h>
#include <unistd.h>
#include <wchar.h>

#include "base/fields.h"
#include "base/utf8.h"
#include "io/idn.h"

#define COLUMNS 32
#define TAB	8
#define VALUE	(4 * ROW_MAX) /* printed plain; JSON may need more */

struct column {
	struct span name;
	size_t width;
	bool numbers; /* and nothing else so far */
};

struct columns {
	bool letters; /* of the answer */
	size_t count;
	struct column column[COLUMNS];
};

static struct span plain(const struct field *f, bool letters, uint8_t mem[VALUE])
{
	uint8_t shown_mem[VALUE];
	struct buf out, shown;

	buf_init(&out, mem, VALUE);
	field_print_plain(f, &out);
	if (!letters || f->kind != FIELD_TEXT)
		return buf_span(&out);
	buf_init(&shown, shown_mem, VALUE);
	if (idn_show(buf_span(&out), &shown)) {
		buf_reset(&out);
		buf_put(&out, buf_span(&shown));
	}
	return buf_span(&out);
}

/*
 * How many places a text takes. Without a locale, wcwidth() knows ASCII only: then a character
 * is one.
 */
static size_t width_of(struct span s)
{
	size_t n = 0;

	while (s.n) {
		uint32_t code = 0;
		size_t bytes = utf8_first(s, &code);
		int width = code < 0x80 ? 1 : wcwidth((wchar_t)code);

		n += width < 0 ? 1 : (size_t)width;
		s = span_skip(s, bytes ? bytes : 1);
	}
	return n;
}

bool show_has_letters(void)
{
	return isatty(STDOUT_FILENO) && setlocale(LC_CTYPE, "") &&
	       strcmp(nl_langinfo(CODESET), "UTF-8") == 0;
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
		size_t width = width_of(plain(&f, all->letters, mem));

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
				text = plain(&f, all->letters, mem);
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

bool show_part(const struct answer *a, const char *part)
{
	struct columns all = { .letters = a->letters };
	struct span row;

	for (size_t at = 0; answer_next(a, &at, &row);)
		if (is_part(&row, part))
			measure(&all, row);
	for (size_t i = 0; i < all.count; i++)
		put_place(&all.column[i], all.column[i].name, i + 1 == all.count);
	for (size_t at = 0; answer_next(a, &at, &row);)
		if (is_part(&row, part))
			put_line(&all, row);
	return all.count > 0;
}

/* Programs that count lines find none; somebody who looks is not left wondering. */
void show_table(const struct answer *a)
{
	if (!show_part(a, NULL) && a->ok && !*a->text && isatty(STDOUT_FILENO))
		puts("(none)");
}

/* What a plain value would show as \x09 is room, as in the header of a message. */
static void put_text_line(struct field f, bool letters, uint8_t mem[VALUE])
{
	struct span rest = f.text;

	while (rest.n) {
		struct span text;

		f.text = span_cut(&rest, '\t');
		text = plain(&f, letters, mem);
		fwrite(text.p, 1, text.n, stdout);
		if (rest.n)
			pad(TAB);
	}
}

/* A value of one or more lines; those behind the first begin where it does. */
static void put_value(const struct field *f, bool letters, size_t indent)
{
	struct span rest = f->text;
	uint8_t mem[VALUE];

	if (f->kind != FIELD_TEXT) {
		struct span text = plain(f, letters, mem);

		fwrite(text.p, 1, text.n, stdout);
		putchar('\n');
		return;
	}
	do {
		struct field line = *f;

		line.text = span_cut(&rest, '\n');
		if (line.text.n && line.text.p[line.text.n - 1] == '\r')
			line.text.n--;
		put_text_line(line, letters, mem);
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
			put_value(&f, a->letters, width + 2);
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

struct span show_name(struct span name, bool letters, struct buf *mem)
{
	buf_reset(mem);
	if (!letters || !idn_show(name, mem)) {
		buf_reset(mem);
		buf_put(mem, span_head(name, buf_room(mem)));
	}
	return buf_span(mem);
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
