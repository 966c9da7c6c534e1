/*
 * access_blob - how the compiled access lists lie in memory
 *
 * For access.c and access_name.c, which look things up in it, access_blob.c, which says
 * whether it is one and what it holds, and access_build.c, which makes it. Prefixes of all
 * lists have become segments: sorted addresses, from each of which on one value holds. What
 * the value names knows how long its prefix is, so that the end of a segment need not be
 * stored: an address outside that prefix is in no list.
 *
 * IPv4 segments: 16 bits of the address in buckets by the other 16. IPv6 segments: the
 * upper 64 bits; those inside of a /64 are apart, with 128 bits, and are asked first. Both
 * in the order of a search tree whose blocks are one line of the cache.
 */
#ifndef GUARD_ACCESS_BLOB_H
#define GUARD_ACCESS_BLOB_H

#include "guard/access.h"

#define ACCESS_LISTS_CEILING \
	128 /* numbers of lists have seven bits in the set of those that spoke */
#define ACCESS_MAGIC	  0x31414648u /* "HFA1" */
#define ACCESS_BUCKETS	  65536
#define ACCESS_V6_BLOCK	  8 /* keys in a block */
#define ACCESS_DEEP_BLOCK 4

enum access_part {
	PART_LISTS,
	PART_V4_INDEX, /* uint32_t: where each bucket begins; one more for the end */
	PART_V4_KEYS,  /* uint16_t */
	PART_V4_VALUES,
	PART_V6_KEYS, /* uint64_t */
	PART_V6_VALUES,
	PART_DEEP_KEYS, /* struct access_wide */
	PART_DEEP_VALUES,
	PART_INFOS,
	PART_MORE, /* of the first infos: an info whose number is in here has more to say */
	PART_CHAINS,
	PART_SLOTS, /* uint32_t: number of a name, plus 1 */
	PART_NAMES,
	PART_TEXT, /* texts: 16 bits of length, then the bytes; at 0 is an empty one */
	ACCESS_PARTS
};

struct access_place {
	uint64_t at, count; /* bytes from the beginning; elements */
};

struct access_head {
	uint32_t magic, parts;
	uint64_t size, entries;
	uint64_t key[2]; /* for the hash of names */
	struct access_place part[ACCESS_PARTS];
};

struct access_wide {
	uint64_t hi, lo;
};

/*
 * A value: the number of an info, or of a chain. Of IPv4, the upper six bits are the
 * length of the widest prefix that it stands for.
 */
#define VALUE_NUMBER ((1u << 25) - 1)
#define VALUE_CHAIN  (1u << 25)
#define VALUE_SHIFT  26
#define VALUE_NONE   UINT32_MAX

struct access_info {
	uint32_t line;
	uint8_t list, bits, answer, spare;
};

struct access_more {
	uint32_t until; /* seconds since 1970; 0: for good */
	uint32_t why;	/* a text */
};

/*
 * While info has not run out, it counts; then what is behind it: a value. If its list has no
 * answer as long as it holds, but lists behind it have, then CHAIN_PASSES is set, and what
 * is behind the chain before this one counts meanwhile.
 */
struct access_chain {
	uint32_t info, behind;
};

#define CHAIN_PASSES (1u << 31)

struct access_name {
	uint32_t text, line;
	uint32_t behind; /* another of the same text, of this list or a later one; plus 1 */
	uint32_t until, why;
	uint8_t list, answer, of, spare;
};

struct access_file {
	uint64_t entries;
	uint32_t of, file; /* file: a text */
};

/* Bytes of one element of a part. */
extern const uint8_t access_element[ACCESS_PARTS];

/* An empty mapping holds no lists: NULL. */
static inline const struct access_head *access_head_of(const void *mem, size_t n)
{
	return n >= sizeof(struct access_head) ? mem : NULL;
}

static inline const void *access_part(const struct access_head *h, enum access_part which)
{
	return (const uint8_t *)h + h->part[which].at;
}

/* Empty if there is none at that place. */
struct span access_text(const struct access_head *h, uint32_t at);
struct span access_file_name(const struct access_head *h, uint32_t list);

/* Wall ms; INT64_MAX: for good. */
static inline int64_t access_until(uint32_t seconds)
{
	return seconds ? (int64_t)seconds * MS_SECOND : INT64_MAX;
}

/* Does an entry with this end outlast one with that? Seconds; 0: for good. */
static inline bool access_outlasts(uint32_t until, uint32_t other)
{
	return other != 0 && (until == 0 || until > other);
}

/* The upper bits of a half of an address. */
static inline uint64_t access_upper(unsigned bits)
{
	return bits == 0 ? 0 : bits >= 64 ? UINT64_MAX : UINT64_MAX << (64 - bits);
}

/* In lower case and with what it is about in front: what is hashed. 0: it is too long. */
#define ACCESS_NAME_MAX 320
size_t access_name_key(enum access_of of, struct span name,
		       uint8_t out[ACCESS_NAME_MAX + 1]);

#endif
