/*
 * journal - the file with every deed of the last while: its bytes
 *
 * Numbers begin with their low byte. The file is a page that says what it is, then blocks
 * of JOURNAL_BLOCK bytes, used as a ring: block `serial` stands at place serial modulo the
 * number of places, so the highest serial is the newest.
 *
 *   page    "HFJOURN1" 8 | version u32 | block u32 | places u64 | tables u64 | zeros
 *   block   "HFJB" 4 | zeros 4 | serial u64 | records, one behind the other, until one that
 *           is not whole
 *   record  length u16 | check u16 | event u8 | rule u8 | flags u8 | text u8 | count u16 |
 *           listener u16 | points i32 | wall i64, ms since 1970 | session u64 |
 *           address 16 (IPv4 as ::ffff:a.b.c.d) | text
 *
 * `check` is made of the record and of its block's serial: what an earlier round of the
 * ring left behind the last record is none, and a record that a power cut tore ends its
 * block. `tables` is made of the names of all events and rules: a file of a program that
 * knows others is put aside, since its numbers mean something else.
 */
#ifndef SPEC_JOURNAL_H
#define SPEC_JOURNAL_H

#include "base/addr.h"
#include "base/buf.h"
#include "spec/events.h"
#include "spec/limits.h"
#include "spec/rules.h"

#define JOURNAL_PAGE	   4096
#define JOURNAL_BLOCK	   65536
#define JOURNAL_HEAD	   16 /* of a block */
#define JOURNAL_RECORD	   48 /* without its text */
#define JOURNAL_RECORD_MAX (JOURNAL_RECORD + LOG_TEXT_MAX)

struct journal_record {
	int64_t wall;
	uint64_t session;
	struct addr from;
	enum event event; /* EV_NONE: only the rule */
	enum rule rule;
	bool observed, behind;
	uint16_t count, listener;
	int32_t points;
	struct span text; /* at most LOG_TEXT_MAX are kept */
};

void journal_print_page(uint64_t places, struct buf *out);
/* False: not one of ours, or of other tables. */
MUST bool journal_parse_page(struct span page, uint64_t *places);

void journal_print_block(uint64_t serial, struct buf *out);
MUST bool journal_parse_block(struct span block, uint64_t *serial);

/* Nothing is printed, and out is full, if it does not fit. */
void journal_print(const struct journal_record *r, uint64_t serial, struct buf *out);
/* The next record of a block, cut off its front; false: there is none that is whole. */
MUST bool journal_next(struct span *left, uint64_t serial, struct journal_record *out);

#endif
