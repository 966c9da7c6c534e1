/*
 * show - rows for a reader: a person or a program
 */
#ifndef CLI_SHOW_H
#define CLI_SHOW_H

#include "cli/ask.h"

/*
 * One line per row, columns aligned, numbers to the right. Where there are none, a terminal
 * gets "(none)" and a pipe nothing.
 */
void show_table(const struct answer *a);
/* The same, of rows whose `part` is that; its column is left out. False: there are none. */
bool show_part(const struct answer *a, const char *part);
/* Each row as lines of name and value. */
void show_sheet(const struct answer *a);
/* One JSON object per row and line. */
void show_json(const struct answer *a);

/*
 * Is somebody looking whose terminal can show letters of all scripts? Programs that read what
 * we print get domains as the DNS has them. Sets the locale, by which the width of letters is
 * known.
 */
bool show_has_letters(void);

/* A name for who sees letters, in mem. It may be cut where mem ends. */
struct span show_name(struct span name, bool letters, struct buf *mem);

/*
 * Text from elsewhere for a terminal: control bytes but for tabs and ends of lines become
 * question marks.
 */
void show_text(struct span text, FILE *out);

#endif
