/*
 * page - results as one self-contained HTML page with plots
 */
#ifndef REHEARSE_PAGE_H
#define REHEARSE_PAGE_H

#include <jansson.h>

#include "base/attr.h"
#include "base/err.h"

/*
 * results: a JSON array of what result_json() made; several of one scenario are shown side by
 * side. The page needs nothing from anywhere, and runs from a file. Written to path via a
 * temporary file beside it.
 */
MUST bool page_write(const char *path, const json_t *results, struct err *e);

#endif
