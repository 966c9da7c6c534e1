/*
 * access_build - entries of access lists, made into the blob of access.h
 *
 * Pure: the memory is the caller's. In this order:
 *
 *     access_sort(b)          the entries of each family, in place
 *     access_flatten(b)       again with more room for chains if it says FLATTEN_CHAINS
 *     access_build_size(b)
 *     access_build(b, mem)    in zeroed memory of that size
 *
 * Entries of one list come in the order of its lines, lists in the order of their numbers.
 */
#ifndef GUARD_ACCESS_BUILD_H
#define GUARD_ACCESS_BUILD_H

#include "guard/access_blob.h"

/* A prefix. more: the number of what it has in more[], plus 1; 0: nothing. */
struct access_v4 {
	uint32_t start, line, more;
	uint8_t bits; /* 0 to 32 */
	uint8_t list, answer, spare;
};

struct access_v6 {
	uint64_t hi, lo;
	uint32_t line, more;
	uint8_t bits; /* 0 to 128 */
	uint8_t list, answer, spare;
	uint32_t spare4;
};

struct access_segment4 {
	uint32_t start, value;
};

struct access_segment6 {
	struct access_wide start;
	uint32_t value, spare;
};

#define ACCESS_NODES 16384 /* entries that may be in force around one address */

/* One of the entries around the address that the sweep has come to. */
struct access_node {
	uint32_t info, behind; /* a node, plus 1; 0: none */
	uint32_t line;
	uint32_t value; /* what it has become, once known; VALUE_NONE */
	uint8_t list, bits, answer;
	uint8_t widest; /* of it and all behind it */
	uint32_t until; /* 0: for good */
};

struct access_build {
	/* entries and as much memory again, for sorting; IPv4: both ACCESS_BUCKETS / 2 larger */
	struct access_v4 *v4, *v4_spare;
	struct access_v6 *v6, *v6_spare;
	size_t v4_count, v6_count;

	const struct access_more *more;
	size_t more_count;

	/* names: `text` of each is in `text`, `behind` is filled in by access_build() */
	const struct access_name *names;
	size_t name_count;

	const struct access_file *lists;
	size_t list_count;
	const bool *first_match; /* for each list: the first line counts, not the longest */

	struct span text; /* see PART_TEXT */
	uint64_t key[2];

	/* filled in by access_flatten(): room for all entries, and for what is given */
	struct access_info *infos;
	struct access_chain *chains;
	size_t chain_room;
	struct access_node *nodes; /* ACCESS_NODES */

	size_t info_count, chain_count;
	struct access_segment4 *segments4;	  /* lie in v4_spare */
	struct access_segment6 *segments6, *deep; /* handed in: two for each IPv6 entry */
	size_t count4, count6, count_deep;
	size_t repeated; /* entries that an earlier line of their list has already */
};

void access_sort(struct access_build *b);

enum flatten {
	FLATTEN_DONE,
	FLATTEN_CHAINS, /* more room for chains is needed */
	FLATTEN_NODES,	/* too many entries with dates around one address */
};

enum flatten access_flatten(struct access_build *b);

size_t access_build_size(const struct access_build *b);
void access_build(const struct access_build *b, void *mem);

#endif
