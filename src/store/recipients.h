/*
 * recipients - who gets mail here, and where it goes
 *
 * Four sources: the database, the tables that were read from files, the domains of the
 * configuration, and routes. An address is looked for as it is, then without its detail,
 * then as the domain's catch-all. What was found out is published to the edges as a map
 * (base/rcptmap.h); where a message goes is looked up again when it is submitted, because
 * the edges know hashes only, and might lie.
 */
#ifndef STORE_RECIPIENTS_H
#define STORE_RECIPIENTS_H

#include "base/err.h"
#include "conf/conf.h"
#include "store/people.h"
#include "store/pile.h"

/* A domain of ours, from whatever source. */
struct our_domain {
	struct name name;
	const struct route *route; /* into conf; NULL: as delivery.to says */
	struct span catch_all;	   /* into the accounts; empty: none */
	bool has_users;		   /* somebody of it is known by name */
	bool any;		   /* whatever is written before the @ */
};

struct recipients {
	struct people own;	 /* the database's */
	struct people given;	 /* the tables' */
	struct names domains;	 /* struct our_domain */
	const struct conf *conf; /* borrowed */
	uint64_t key[2];
	uint64_t generation;
	void *map;
	size_t map_n;
	int map_fd; /* -1: none yet */
};

MUST bool recipients_open(struct recipients *r, struct err *err);
void recipients_close(struct recipients *r);

/* Read the TABLES blob; the given accounts are then those. */
MUST bool recipients_give(struct recipients *r, struct span blob, struct err *err);

/*
 * Put everything together, for this configuration, and make a new map. Call after each
 * change; the old descriptor is closed. False: the old map goes on, and says that it is stale.
 */
MUST bool recipients_build(struct recipients *r, const struct conf *conf, struct err *err);

/* A user's mailbox is over its quota, or no longer: in the map that is published. */
void recipients_mark_full(struct recipients *r, struct user *u, bool full);

enum found_kind {
	FOUND_FOREIGN,	 /* not a domain of ours */
	FOUND_UNKNOWN,	 /* nobody of that name */
	FOUND_USER,	 /* user */
	FOUND_ALIAS,	 /* alias */
	FOUND_CATCH_ALL, /* domain->catch_all */
	FOUND_ANY,	 /* goes on as it is */
	FOUND_ASK,	 /* likewise; whether it exists the next hop knows */
};

struct found {
	enum found_kind kind;
	const struct our_domain *domain;
	struct user *user;
	const struct alias *alias;
};

/* The address must be in lower case. */
struct found recipients_find(const struct recipients *r, struct span address);
/* The user of that name, from either source; NULL: none. */
struct user *recipients_user(const struct recipients *r, struct span address);

/* Where one copy goes. Texts lie on the pile, or in conf. */
struct target {
	struct span address; /* as the sender wrote it, or as the alias says */
	struct span mailbox; /* user@domain, in lower case and without detail */
	enum hop hop;
	struct span hop_target;
	bool foreign; /* it leaves for a domain that is not ours */
	bool renamed; /* an alias or catch-all of ours says so, not the sender */
};

/*
 * How mail to a domain that is not ours leaves (relays, then delivery.relay). The domain is
 * in lower case.
 */
struct way {
	enum hop hop; /* MX, SMTP; HOP_COUNT: it is refused */
	struct span target;
	enum hop_tls tls;
	struct span login; /* for `holdfast relay passwd`; empty: none */
};

struct way recipients_way_out(const struct conf *conf, struct span domain);

#define ALIAS_DEPTH   16    /* an alias of an alias of an alias */
#define ALIAS_TARGETS 10000 /* of one recipient, all aliases counted */

enum expanded {
	EXPANDED,	 /* each() was called at least once */
	EXPANDED_NOBODY, /* unknown, foreign, or an alias without a target that exists */
	EXPANDED_MEMORY,
};

/*
 * Call each() for every target of an address; an alias loop ends where it begins. relays:
 * the sender may send to other domains. What an alias of ours says goes there in any case.
 */
enum expanded recipients_expand(const struct recipients *r, struct span address,
				bool relays, struct pile *pile,
				bool (*each)(void *arg, const struct target *t),
				void *arg);

/*
 * In lower case (ASCII), the domain as the DNS has it (io/idn.h), into mem of ADDRESS_MAX
 * bytes; empty if it is too long.
 */
struct span recipients_lower(struct span address, uint8_t mem[ADDRESS_MAX]);

#endif
