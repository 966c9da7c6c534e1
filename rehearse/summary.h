/*
 * summary - the figures that sum one result up
 */
#ifndef REHEARSE_SUMMARY_H
#define REHEARSE_SUMMARY_H

#include "rehearse/figures.h"

/* As digest.h describes it. A new object; *failed is set if memory was not there for all of it. */
json_t *summary_of(const json_t *result, bool *failed);

/* The largest of a figure of the server's cost over all phases; NAN if no phase knows it. */
double summary_most(const json_t *result, const char *key);

#endif
