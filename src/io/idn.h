/*
 * idn - domains in letters of all scripts, in the form that the DNS has (RFC 5890 to 5895)
 *
 * "bücher.example", "BÜCHER.Example" and "xn--bcher-kva.example" are one domain. Inside, it has
 * the last form (A-labels, in lower case), so that equal domains are equal bytes; whoever takes a
 * name from outside brings it into that form here.
 *
 * What is ASCII stays as it is, but for case. An A-label must be one: what no Unicode text stands
 * for is refused. Whether that text may be registered today is not asked: such names exist, and
 * an A-label has no second form.
 *
 * The library is loaded and not linked: it brings the tables of Unicode along, and most
 * commands need none of them (as with fetch/libcurl.h). A role loads it before it closes
 * itself in; who has not, and has no files any more, cannot convert.
 */
#ifndef IO_IDN_H
#define IO_IDN_H

#include "base/buf.h"
#include "base/err.h"

/* Have the library in memory, for as long as the process lives. */
MUST bool idn_open(struct err *err);

/* NULL, and the domain is in *out; or why it is none: part of a sentence. */
MUST const char *idn_domain(struct span domain, struct buf *out);

/* The same for what stands behind the last @; what stands before it is kept, case and all. */
MUST const char *idn_address(struct span address, struct buf *out);

/*
 * A host's name, or host:port: names in other letters as the DNS has them, everything else
 * (also names in ASCII, addresses, what is no name at all) as it is.
 */
MUST const char *idn_host(struct span host, struct buf *out);

/*
 * For people: the text with the letters that the A-labels of its domains stand for, wherever
 * these are what they seem to be (base/letters.h) and would become the same A-label again. A
 * name in front of an @ is no domain. True: something has changed; else out is not touched.
 */
MUST bool idn_show(struct span text, struct buf *out);

#endif
