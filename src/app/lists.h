/*
 * lists - files with what is permitted and denied, as they are
 *
 * Bytes in, entries out: each goes to the sink as it is read, nothing is kept here. What is
 * wrong is a problem with file and line; reading goes on behind it.
 */
#ifndef APP_LISTS_H
#define APP_LISTS_H

#include "conf/check.h"
#include "guard/access.h"

enum list_format {
	LIST_PLAIN,    /* 192.0.2.0/24 [permit|deny|dunno] [until=2026-12-31] [reason] */
	LIST_CIDR,     /* cidr_table(5) */
	LIST_HASH,     /* access(5), source text */
	LIST_TCPRULES, /* tcprules(1), source text */
	LIST_IPSET,    /* ipset save, nft list set, fail2ban-client banned */
	LIST_FORMATS
};

/* As in front of a file's name, without the colon. */
extern const char *const list_format_word[LIST_FORMATS];

struct list_source {
	enum list_format format;
	enum access_of of;
	enum access_answer action; /* of lines that do not say */
	const char *file;	   /* for messages */
	int64_t wall;		   /* what has run out by then is left out */
	int64_t written;	   /* when the file was: what `timeout` counts from */
	struct problems *problems;
};

/* What one entry says. The spans point into the text. */
struct list_said {
	enum access_answer answer;
	uint32_t line;
	int64_t until; /* INT64_MAX: for good */
	struct span why;
};

/* False: no more of it (out of memory; whoever says so has reported why). */
struct list_sink {
	bool (*on_net)(void *arg, const struct net *net, const struct list_said *said);
	bool (*on_name)(void *arg, enum access_of of, struct span name,
			const struct list_said *said);
	void *arg;
};

/*
 * "cidr:/etc/postfix/client.cidr" is a format and a path; texthash: is hash:, tcp: is
 * tcprules:, nft: and fail2ban: are ipset:. Without any: plain.
 */
enum list_format list_format_of(const char *file, const char **path);
/* What the text looks like. */
enum list_format list_sniff(struct span text);

/* Does the first line that matches count, not the longest prefix? */
bool list_first_match(enum list_format format);

/* False: the sink wanted no more. */
MUST bool list_read(const struct list_source *src, struct span text,
		    const struct list_sink *sink);

/* "192.0.2.0/24", an address; bits behind the slash that are not zero are cleared: *masked. */
MUST bool list_net_parse(struct span text, struct net *out, bool *masked);
/* "2026-12-31" (to the end of that day), "2026-12-31T10:00:00Z", "@1798761600"; UTC. */
MUST bool list_date_parse(struct span text, int64_t *out);
void list_date_print(int64_t wall, struct buf *out);
/* The prefixes that make up all addresses from first to last; at most 254. */
size_t list_range(struct addr first, struct addr last, struct net *out);

#endif
