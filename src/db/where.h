/*
 * where - which messages of the queue are meant: sender=<> age>1h !rcpt-domain=example.org
 *
 * Terms with spaces between them, all of which must be true; ! in front of a name (or != )
 * turns one round. Patterns know * and ? and no case. The word `all` alone means every
 * message. What may be asked is where.def; what becomes of it is SQL made of those rows'
 * texts and of parameters, so no byte of an operator's text is ever SQL.
 *
 * No I/O; a struct where owns what it needs.
 */
#ifndef DB_WHERE_H
#define DB_WHERE_H

#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/span.h"

#define WHERE_MAX   1024 /* bytes of one condition as text */
#define WHERE_TERMS 16
#define WHERE_SQL   8192 /* bytes that where_sql() needs at most */

enum where_kind {
#define TERM(id, name, sign, word, value, sql, exact) WHERE_##id,
#include "db/where.def"
	WHERE_KINDS
};

enum where_value {
	WHERE_NOTHING,
	WHERE_PATTERN,
	WHERE_PATTERN2, /* the same parameter twice */
	WHERE_DOMAIN,	/* the same parameter twice if it is exact */
	WHERE_NET,
	WHERE_AGE,
	WHERE_SIZE,
	WHERE_NUMBER,
	WHERE_A_ID,
};

struct where_term {
	enum where_kind kind;
	bool negated;
	bool exact;		   /* a pattern without * and ? */
	size_t at, n;		   /* PATTERN, DOMAIN: in text */
	int64_t number;		   /* AGE (ms), SIZE, NUMBER, ID */
	uint8_t low[16], high[16]; /* NET */
};

struct where {
	size_t count; /* 0: every message */
	struct where_term term[WHERE_TERMS];
	size_t used;
	uint8_t text[2 * WHERE_MAX + 64];
};

/* False: err says what is wrong, and at which byte (from 1). */
MUST bool where_parse(struct where *w, struct span text, struct err *err);

enum where_value where_value_of(enum where_kind kind);
/* Is it about the state? Then nothing is said about it elsewhere. */
bool where_asks_state(const struct where *w);

/*
 * Append " and (...)" for each term, with parameters numbered from `first`, which is above 2: ?1
 * and ?2 are the range of ids.
 */
void where_sql(const struct where *w, unsigned first, struct buf *out);

#endif
