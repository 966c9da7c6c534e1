/*
 * fields - named values: one log line, one row of a command's answer
 *
 * Roles write fields; watch prints them as logfmt or JSON, and the command line as a
 * table or JSON. Values are bytes from anywhere: escaping happens where they are
 * printed, in this file only, so that no value can forge a field or a line.
 *
 * Names are ours: [a-z0-9-], at most 32 bytes.
 */
#ifndef BASE_FIELDS_H
#define BASE_FIELDS_H

#include "base/buf.h"
#include "base/span.h"

enum field_kind {
	FIELD_TEXT,
	FIELD_NUMBER, /* int64 */
	FIELD_FLAG,
	FIELD_TIME, /* wall clock milliseconds; printed as RFC 3339 in UTC */
};

struct field {
	enum field_kind kind;
	struct span name;
	struct span text; /* FIELD_TEXT */
	int64_t number;	  /* the others */
};

void field_text(struct buf *out, const char *name, struct span value);
void field_number(struct buf *out, const char *name, int64_t value);
void field_flag(struct buf *out, const char *name, bool value);
void field_time(struct buf *out, const char *name, int64_t wall);

/* Take the next field off the front of *row. False at the end or at a broken one. */
MUST bool field_next(struct span *row, struct field *out);
bool fields_ok(struct span row);
/* The field of that name; false if there is none. */
MUST bool field_find(struct span row, const char *name, struct field *out);

/* The value alone, not escaped beyond what a terminal needs: for tables. */
void field_print_plain(const struct field *f, struct buf *out);

/*
 * name=value name="quoted value": control bytes, quotes, backslashes and what is not
 * UTF-8 as \xHH; texts are cut at text_max bytes with a mark that says so (0: no cut).
 */
void fields_print_logfmt(struct span row, size_t text_max, struct buf *out);
/* One JSON object (RFC 8259) on one line; bytes that are not UTF-8 become U+FFFD. */
void fields_print_json(struct span row, size_t text_max, struct buf *out);

#endif
