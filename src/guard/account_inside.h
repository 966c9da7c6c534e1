/*
 * account_inside - how the memory of accounts is laid out; for account*.c, campaigns.c,
 * devices.c and their tests only
 *
 * A head and six tables. Each is buckets of eight places, found by a keyed hash: a look-up
 * touches one bucket, a full bucket gives up what is worth least, and nothing is ever
 * moved. There is one writer, auth's loop. Readers use one sequence counter for all, and
 * check what they read; so does the writer, because what it finds may have been left by
 * one that died in the middle of a row, or was broken into.
 */
#ifndef GUARD_ACCOUNT_INSIDE_H
#define GUARD_ACCOUNT_INSIDE_H

#include "guard/account_look.h"
#include "guard/memory.h"

#define ACCOUNT_BUCKET 8
#define PAIR_WRONG     8  /* secrets of one pair that are known to be wrong */
#define PAIR_LEFT      3  /* secrets whose answer nobody waited for; more are guesses */
#define CAMPAIGN_USERS 16 /* that are kept one by one */

enum account_table {
	AT_USERS,
	AT_PAIRS,
	AT_DEVICES,
	AT_PREFIXES,
	AT_SECRETS,
	AT_CAMPAIGNS,
	AT_COUNT
};

/* Every row begins so. key 0: the place is free. */
struct account_row {
	uint64_t key;
	gsec_t last; /* when it mattered */
};

/* Which campaign, and where its row is. */
struct campaign_ref {
	uint32_t number, slot;
};

/*
 * The same again and again, of one pair: a program that comes without end, or several that
 * share an address. Over when it pauses.
 */
#define STORM_CLIENTS 3

struct account_storm {
	gsec_t since, last;
	uint32_t count, seconds; /* seconds: in which it came */
	uint32_t told;		 /* at which count */
	uint32_t even;		 /* so many came after the same time as the one before, */
	gsec_t gap;		 /* which is this */
	uint32_t client[STORM_CLIENTS];
};

/* The worst of a user's, as it is shown. */
struct account_worst {
	gsec_t since, last;
	uint32_t count, seconds, open, even;
	uint8_t kind, clients, observed, name_n, hello_n;
	struct addr from;
	char name[CLIENT_NAME_MAX], hello[HELLO_MAX];
};

#define USER_EXISTS  (1u << 0)
#define USER_GUARDED (1u << 1)
#define USER_STALE   (1u << 2)
#define USER_HELD    (1u << 3)
#define USER_SPRAYED (1u << 4)

struct account_user {
	struct account_row row;
	uint8_t flags;
	uint16_t changes; /* of its password: what was wrong before counts no more */
	gsec_t last_failure, last_success;
	gsec_t guarded_since, guarded_until;
	gsec_t stale_since, stale_last;
	gsec_t nets_at, places_at, held_since; /* when these sets began */
	uint32_t failures, successes;
	uint32_t over; /* right, and refused for the number of sessions */
	uint32_t right,
		right_before; /* secrets that were right, cut to 32 bits; 0: none */
	uint32_t hour, in_hour, in_last_hour; /* attempts */
	struct campaign_ref campaign; /* of a name that does not exist: who tries it */
	uint64_t stale_device;
	struct addr stale_from, failed_from;
	struct distinct secrets; /* wrong ones */
	struct distinct nets[2]; /* with wrong ones: in this half of a week, and the last */
	uint32_t nets_new[2];	 /* that were new to these for sure: never too many */
	struct distinct places; /* with right ones, today */
	struct account_worst worst;
};

#define PAIR_TOLD (1u << 0) /* that it has an old password */

struct account_pair {
	struct account_row row;
	uint8_t flags;
	uint8_t level;	    /* of its delay */
	uint8_t over_level; /* likewise, when it wants too many sessions */
	uint16_t changes;
	uint16_t waiting; /* for what is in flight */
	gsec_t level_at, over_at;
	ms_t free_at; /* its refusals so far are told by then */
	uint32_t busy_secret, busy_life;
	gsec_t busy_since; /* 0: nothing is in flight */
	uint32_t client;   /* of the last new wrong secret */
	uint32_t same;	   /* the last of them, and how it was repeated */
	gsec_t same_since;
	uint32_t repeats, successes;
	struct {
		uint32_t secret;
		gsec_t checked;
	} wrong[PAIR_WRONG];
	gsec_t left_at; /* the last one: */
	uint32_t left[PAIR_LEFT];
	struct account_storm storm[STORM_KINDS];
};

struct account_known {
	struct account_row row; /* last: 0 if it is from the database */
	uint32_t logins;
	uint64_t user, client;
	struct addr prefix;
	int64_t first, seen; /* wall */
};

struct account_prefix {
	struct account_row row;
	uint8_t level; /* how often it was refused: each time twice as long */
	gsec_t since, until;
	gsec_t unknown_at, good_at;
	uint32_t unknown_new; /* that were new to `unknown` for sure: never too many */
	struct campaign_ref campaign;
	struct distinct unknown; /* users */
	struct distinct good;	 /* users that logged in from there */
};

struct account_secret {
	struct account_row row;
	uint32_t tries;
	struct distinct users, good; /* for whom it was wrong, and right */
	uint8_t sprayed;
};

enum campaign_kind { CAMPAIGN_PROGRAM, CAMPAIGN_NETWORK, CAMPAIGN_NAMES, CAMPAIGN_KINDS };

struct account_campaign {
	struct account_row row;
	uint32_t number; /* 0: not recognised yet */
	uint8_t kind;
	uint8_t part; /* of the one that had the number before */
	gsec_t first, since;
	uint32_t attempts, refused;
	uint32_t good;	/* users elsewhere that log in with this program, */
	gsec_t good_at; /* counted then */
	uint64_t client;
	uint16_t gaps[CADENCE_COUNT];
	struct distinct addrs, users, tries; /* tries: of a secret on a user */
	uint32_t user[CAMPAIGN_USERS];
	char sample[64];
};

struct account_head {
	uint64_t magic;
	uint32_t version, row_bytes;
	uint64_t bytes;
	struct accounts_shape shape;
	uint64_t key[2];
	uint32_t seq;	    /* odd while it is written */
	uint32_t life;	    /* of the writer */
	uint32_t campaigns; /* that were ever recognised */
};

/* ---- account_rows.c -------------------------------------------------------------------- */

/* It is about to be looked for: bring its bucket on its way while there is other work. */
void rows_expect(const struct accounts *a, enum account_table table, uint64_t key);
/* A row of that key, or NULL. */
void *rows_find(const struct accounts *a, enum account_table table, uint64_t key);
/* The same; if there is none, one of zeros in place of what is worth least. */
void *rows_get(struct accounts *a, enum account_table table, uint64_t key, gsec_t at);
/* Is there a free place for it, or a row that is worth less? */
bool rows_would_take(const struct accounts *a, enum account_table table, uint64_t key,
		     uint64_t worth, gsec_t at);
size_t rows_count(const struct accounts *a, enum account_table table);
/* The one in that place, also if it is free; i is below rows_count(). */
void *rows_at(const struct accounts *a, enum account_table table, size_t i);
size_t rows_bytes(enum account_table table);
/* A copy, as a reader has it; false: the place is free. */
MUST bool rows_peek(const struct accounts *a, enum account_table table, size_t i,
		    void *out);
MUST bool rows_peek_key(const struct accounts *a, enum account_table table, uint64_t key,
			void *out, bool *whole);
uint64_t rows_hash(const struct accounts *a, const void *p, size_t n);

static inline struct account_head *account_head(const struct accounts *a)
{
	return a->mem;
}

static inline gsec_t account_age(gsec_t then, gsec_t at)
{
	return at > then ? at - then : 0;
}

/* How long ago; 0 if it is still to come. Whatever is kept, this is no overflow. */
static inline uint64_t account_ago(int64_t then, int64_t wall)
{
	return then >= wall ? 0 : (uint64_t)wall - (uint64_t)then;
}

/* As distinct keeps it; never 0. */
static inline uint32_t account_short(uint64_t hash)
{
	uint32_t h = (uint32_t)(hash ^ hash >> 32);

	return hash == 0 ? 0 : h ? h : 1;
}

/* ---- one attempt, between the parts ------------------------------------------------------ */

struct attempt {
	struct accounts *a;
	const struct account_try *t;
	ms_t now;
	gsec_t at;
	int64_t wall;
	struct addr prefix;
	uint64_t user_key, device_key;
	uint32_t secret; /* cut; 0: there is none */
	struct account_user *user;
	struct account_pair *pair;
	struct account_prefix *net;
	struct account_known *device;  /* NULL: never seen */
	struct account_secret *tried;  /* NULL: not seen lately */
	struct account_campaign *like; /* the row of its client; NULL: none */
	bool known;		       /* the device is */
	uint32_t campaign;
	unsigned tell;
};

struct addr account_prefix_of(const struct addr *a);
uint64_t account_device_key(const struct accounts *a, uint64_t user,
			    const struct addr *prefix, uint64_t client);

/* ---- account_storm.c --------------------------------------------------------------------- */

/* One more of that kind; open: its sessions, if they are what it is about. */
void storm_note(struct attempt *x, enum storm_kind kind, uint32_t open);

/* ---- devices.c --------------------------------------------------------------------------- */

bool device_known(const struct account_known *d, ms_t life, gsec_t at, int64_t wall);
/* Its owner's: known for a day, and so long before. */
bool device_is_old(const struct attempt *x, ms_t before);
/* It has logged in. */
void device_learn(struct attempt *x);
/* It logged in from one more network. True: what it sends is to be held. */
bool device_places(struct attempt *x);
/* How many users have a known device with this program, but for those in `but`. */
uint32_t devices_with(const struct accounts *a, uint64_t client,
		      const struct account_campaign *but, gsec_t at, int64_t wall);

/* ---- account_look.c ------------------------------------------------------------------------ */

/*
 * How many are in a set to which so many were new for sure. A sketch may say a few too many,
 * and for small numbers, on which refusals depend, that must not be.
 */
uint32_t account_count(const struct distinct *d, uint32_t new);
/* From how many networks wrong secrets came within a week. */
uint32_t account_nets(const struct account_user *u, gsec_t at);

/* ---- campaigns.c ---------------------------------------------------------------------------- */

/* Is it a member of one, refused at first sight? Then x->campaign says of which. */
bool campaign_member(struct attempt *x);
/* Does its program look like that of one, though not for sure? */
bool campaign_lookalike(struct attempt *x);
/* A wrong attempt of an unknown device; new: this secret was not tried on this user before. */
void campaign_note(struct attempt *x, bool new, bool refused);
/* Its network is refused for its guesses: a campaign of its own, or part of one. */
void campaign_network(struct attempt *x);

#endif
