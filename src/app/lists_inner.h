/*
 * lists_inner - what the readers of all formats of lists share
 */
#ifndef APP_LISTS_INNER_H
#define APP_LISTS_INNER_H

#include "app/lists.h"

#define LIST_LINE_MAX  16384
#define LIST_LONG_LINE (64 << 20) /* fail2ban prints all that it knows in one */
#define LIST_QUOTE     100	  /* of what was read, in messages */
#define RANGE_MAX      254

struct list_reading {
	const struct list_source *src;
	const struct list_sink *sink;
	struct span left; /* of the text */
	uint32_t line;	  /* of the last line that was taken */
	bool stopped;	  /* the sink wants no more */
};

/* For printf("%.*s"): the beginning of what was read. */
#define QUOTE(s) SPAN_ARG(span_head(s, LIST_QUOTE))

/* Where we are. */
struct origin list_here(const struct list_reading *r);
struct origin list_at(const struct list_reading *r, uint32_t line);

/*
 * The next line without its end and white space around it, which may be empty. Lines that
 * cannot be text are problems, and passed over. False: the end. indented: it began with
 * white space.
 */
MUST bool list_line(struct list_reading *r, struct span *line, bool *indented);

static inline bool list_is_white(uint8_t c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\v' || c == '\f';
}

struct span list_trim(struct span s);
/* Up to white space; *left is then what follows that. */
struct span list_word(struct span *left);

/* Which address is lower, as memcmp() says it. */
int list_order(const struct addr *a, const struct addr *b);

/* What the default says of this line. */
struct list_said list_said(const struct list_reading *r, enum access_answer answer);

/* Hand an entry on. */
void list_put_net(struct list_reading *r, const struct net *net,
		  const struct list_said *said);
/* Address, prefix or range of addresses; a problem if it is none. */
void list_put_text(struct list_reading *r, struct span text, const struct list_said *said);
/* A name, domain or mail address, by what the list is about. False: none, a problem. */
bool list_put_name(struct list_reading *r, enum access_of of, struct span name,
		   const struct list_said *said);

void list_read_plain(struct list_reading *r);
void list_read_cidr(struct list_reading *r);
void list_read_hash(struct list_reading *r);
void list_read_tcprules(struct list_reading *r);
void list_read_ipset(struct list_reading *r);

#endif
