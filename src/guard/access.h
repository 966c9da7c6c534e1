/*
 * access - what is permitted and denied, compiled: millions of prefixes, and names
 *
 * The loader builds it from files (app/), in memory that it seals; edges, watch and the
 * firewall map it and look up. No pointers, every index checked, so that a blob that was
 * damaged answers wrongly at worst. At most 32 bytes for a prefix.
 *
 * Lists have a number, in the order of the configuration; 0 is `allow`, 1 is `deny`. Of
 * all lists that have an answer for an address the first one counts, but `allow` and
 * every other permit of a client list wins over any deny of a later list. Within a list
 * the longest prefix wins (a cidr: list was made so by the loader: first match).
 */
#ifndef GUARD_ACCESS_H
#define GUARD_ACCESS_H

#include "base/addr.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/time.h"
#include "spec/limits.h"

enum access_of {
	ACCESS_CLIENT,	  /* addresses and prefixes */
	ACCESS_SENDER,	  /* user@domain, domain, .domain (and below), user@ */
	ACCESS_RECIPIENT, /* likewise */
	ACCESS_HELO,	  /* name, .domain */
	ACCESS_PTR,	  /* likewise: the verified name of the client's address */
	ACCESS_OF_COUNT
};

enum access_answer {
	ACCESS_SILENT, /* no list says anything */
	ACCESS_PERMIT,
	ACCESS_DENY,
};

struct access_hit {
	enum access_answer answer;
	uint32_t list;	 /* its number */
	uint32_t line;	 /* in its file, from 1; 0: the configuration itself */
	int64_t until;	 /* wall ms; INT64_MAX: for good */
	struct net net;	 /* of a client list: the prefix that matched */
	struct span why; /* the reason on that line, or empty; lives as long as the blob */
	struct span file; /* likewise */
};

/* Is this a whole blob? Check once when it is mapped; looking up checks the rest. */
bool access_ok(const void *mem, size_t n);
/* Entries that have run out at `wall` do not count. */
struct access_hit access_client(const void *mem, size_t n, const struct addr *a,
				int64_t wall);
/*
 * Is any address of this block permitted (for a ban of the whole block would hit it): by
 * the block's own prefix, a shorter or a longer one? May be slower than access_client().
 */
bool access_permits_any(const void *mem, size_t n, const struct net *block, int64_t wall);
struct access_hit access_name(const void *mem, size_t n, enum access_of of,
			      struct span name, int64_t wall);
/*
 * Bring the line that access_client() will need first on its way; when it has come, those
 * that it leads to.
 */
void access_expect(const void *mem, size_t n, const struct addr *a);
void access_expect_keys(const void *mem, size_t n, const struct addr *a);

struct access_list {
	enum access_of of;
	struct span file; /* as in the configuration */
	uint64_t entries;
};

/*
 * To walk over all of it. The next address of the same family at which something else may
 * be said: *at is that then. False: there is none. What a prefix says ends with it as well.
 */
MUST bool access_step(const void *mem, size_t n, struct addr *at);

struct access_named {
	enum access_of of;
	struct span name;
	uint32_t list, line;
};

/* All names, one after another; *at begins as 0. */
MUST bool access_next_name(const void *mem, size_t n, size_t *at,
			   struct access_named *out);

/* What a list is, for `holdfast access list`. False: there is none of that number. */
MUST bool access_list(const void *mem, size_t n, uint32_t list, struct access_list *out);
uint64_t access_entries(const void *mem, size_t n);

#endif
