/*
 * letters - is a label of a domain what it seems to be?
 *
 * Names in other letters can look like names that they are not. A label is shown with its
 * letters only if all of them are of one script (Han beside kana or Hangul is one), are of
 * those that languages write today, and cannot be taken for Latin ones altogether (Unicode
 * Technical Standard 39, "Highly Restrictive", without Latin beside other scripts). Scripts
 * that run from right to left are left out: they would turn round the line that they are in.
 */
#ifndef BASE_LETTERS_H
#define BASE_LETTERS_H

#include "base/span.h"

/* UTF-8, in lower case and NFC, without dots. */
bool letters_are_plain(struct span label);

#endif
