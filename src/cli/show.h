/*
 * show - rows for a reader: a person or a program
 */
#ifndef CLI_SHOW_H
#define CLI_SHOW_H

#include "cli/ask.h"

/* One line per row, columns aligned, numbers to the right. */
void show_table(const struct answer *a);
/* The same, of rows whose `part` is that; its column is left out. */
void show_part(const struct answer *a, const char *part);
/* Each row as lines of name and value. */
void show_sheet(const struct answer *a);
/* One JSON object per row and line. */
void show_json(const struct answer *a);

/*
 * Text from elsewhere for a terminal: control bytes but for tabs and ends of lines become
 * question marks.
 */
void show_text(struct span text, FILE *out);

#endif
