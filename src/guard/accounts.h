/*
 * accounts - one judge for every login
 *
 * The guard of accounts: who may try, who is refused unseen, how long a refusal waits, and
 * what an attempt says about the client. It lives in the auth role, which all attempts of
 * all edges pass through; what it remembers is one mapping, written by auth and read by
 * watch, which outlives both. Pure: time and memory are arguments, and secrets are never
 * seen, only keyed hashes of them.
 *
 * Keys. user; (user, prefix), the prefix being a /24 or /64; device = (user, prefix,
 * client), learned on success and kept for auth.device-life; prefix; campaign = what many
 * attempts have in common. All tables are fixed in size and give up what matters least.
 *
 * An attempt is told twice: accounts_came() when its credentials are complete, which says
 * whether to check them at all, and accounts_done() with what came of it. Between the two
 * it is in flight; one at a time for each (user, prefix): others with the same secret share
 * its outcome, those with another one wait their turn (GO_WAIT) or, of an unknown device
 * when too many wait, come back later (GO_LATER).
 *
 * What is punished is variety, not number. A wrong secret that this (user, prefix) gave
 * before is a device with an old password: delayed, told to the owner, never counted again.
 * Only refusals wait: 2, 4, 8, 15 s per (user, prefix); a right secret never does, except
 * from an unknown device into a guarded account.
 *
 * Who hangs up before the answer (ACCOUNT_LEFT) is judged in the same way. A telephone that
 * loses its network does it, and gives the secrets that its owner typed; who comes with one
 * more each time has learnt from our silence, and each of those is as good as wrong.
 *
 * Collateral. Nothing here refuses a known device, but for the secret that it gave before
 * and that was wrong (WHY_REPEATED, until limits.remember_wrong has passed). The owner of a
 * guarded account gets in from new places with the right secret, after a delay: only what
 * is certainly not the owner (a trap, a member of a campaign that never succeeded anywhere,
 * a prefix full of unknown users and without a known device) is refused unseen.
 *
 * Too many sessions of IMAP and POP3 (WHY_LIMIT). Only who gave the right secret hears of it:
 * either auth knows without looking that it is right (account_try.right_lately), which costs
 * nothing, or it was looked at and is. To all others a full account is like any other, so
 * that nobody can ask how many of its sessions are open, or fill it without its password.
 * The wait of such a refusal grows for this (user, prefix) alone, and no login that is
 * within the limit ever waits for it. A device that was known a day ago has a quarter of
 * what its network may have for itself, whatever other networks took of the user's: so a
 * thief who has the password does not lock out its owner.
 */
#ifndef GUARD_ACCOUNTS_H
#define GUARD_ACCOUNTS_H

#include "base/addr.h"
#include "base/span.h"
#include "base/time.h"
#include "spec/events.h"
#include "spec/messages.h"

struct accounts_limits {
	ms_t delay, delay_max;
	int64_t unknown_users, guarded_at, campaign_at, places;
	ms_t device_life, remember_wrong;
	bool observe; /* refuses nothing and delays nothing: it only says that it would */
	/* sessions of IMAP and POP3 at once; 0: any number */
	int64_t per_user, per_network;
	bool observe_limit; /* these two refuse nobody, and say as well that they would */
};

/* How many rows of each kind; all are made at the start. */
struct accounts_shape {
	uint32_t users, pairs, devices, prefixes, secrets, campaigns;
};

size_t accounts_size(const struct accounts_shape *shape);
/* In zeroed memory of that size. key: random. */
void accounts_init(void *mem, size_t n, const struct accounts_shape *shape,
		   const uint64_t key[2], ms_t now);

/* A view of it. Members are for guard/ to write. */
struct accounts {
	void *mem; /* borrowed: the mapping */
	size_t n;
	struct accounts_shape shape; /* as it was when it was checked */
	size_t table[6];	     /* where each begins */
	bool writes;		     /* accounts_begin() was called */
	struct accounts_limits limits;
};

/* False: it is not one of this version and of that many bytes. */
MUST bool accounts_open(struct accounts *a, void *mem, size_t n);
/*
 * Whoever writes says so once, at its start: what was in flight is so no more. key: with
 * which the devices in the database were hashed; a memory with another one is emptied.
 * NULL: keep what it has. accounts_came() does it with NULL if nobody did.
 */
void accounts_begin(struct accounts *a, const uint64_t key[2], ms_t now);
/* A keyed hash of a user's name or of anything else that a client said; never 0. */
uint64_t accounts_hash(const struct accounts *a, struct span what);

/* One attempt, its credentials complete. */
struct account_try {
	struct addr from;
	bool behind;	  /* told by a front that we trust */
	struct span user; /* in lower case, with its domain; as logged */
	/*
	 * A hash of the secret alone, with a key that only auth has: who can read this
	 * memory must not be able to try passwords. 0: there is none (SCRAM, a token).
	 */
	uint64_t secret;
	uint64_t client; /* AUTH.client: what its program looks like; 0: not known */
	enum sasl_mechanism mechanism;
	uint8_t service;
	bool exists; /* some source knows this user */
	bool trap;   /* one of auth.traps */

	/* what its program looks like: as it calls itself, and its TLS hello; may be empty */
	struct span name, hello;

	/* IMAP and POP3: the limits of sessions hold, and these are filled in */
	bool reads;
	bool right_lately; /* this secret is right, and need not be looked at to know that */
	bool shared; /* by the outcome of another attempt: accounts_enter() has to count it */
	uint32_t open_user, open_network; /* sessions */
};

enum account_go {
	GO_CHECK, /* check the secret, then say accounts_done() */
	GO_SAME, /* the same secret is being checked: its outcome is this one's as well */
	GO_WAIT, /* another one is: ask again when that is done */
	GO_REFUSE, /* without checking: say no after `delay`. accounts_done() is not due */
	GO_LATER,  /* 454 */
};

/* Why, as in the log (reason=) and in `explain`. */
enum account_why {
	WHY_NONE,
	WHY_WRONG,    /* the secret */
	WHY_REPEATED, /* it was known to be wrong, and was not checked again */
	WHY_UNKNOWN,  /* there is no such user */
	WHY_TRAP,
	WHY_PREFIX,   /* its network tried too many users that do not exist */
	WHY_CAMPAIGN, /* it belongs to one */
	WHY_GUARDED,  /* an unknown device, while the account is guarded */
	WHY_DISABLED,
	WHY_OVERLOAD,
	WHY_LIMIT, /* right, but more sessions than the account may have */
	WHY_LEFT,  /* hung up before it was checked */
	WHY_COUNT
};

extern const char *const account_why_word[WHY_COUNT];

struct account_verdict {
	enum account_go go;
	enum account_why why;
	ms_t delay;	   /* before the refusal is told */
	bool known_device; /* checked first, at normal priority, with places of its own */
	enum event event;  /* what the client did, as far as it is clear now */
	uint32_t campaign; /* 0: none */
	unsigned tell;	   /* TELL_ bits, as in struct account_done */
};

/* now: monotonic. wall: ms since 1970, for what outlives the machine's start. */
struct account_verdict accounts_came(struct accounts *a, const struct account_try *t,
				     ms_t now, int64_t wall);

enum account_outcome {
	ACCOUNT_RIGHT,
	ACCOUNT_WRONG,
	ACCOUNT_DISABLED,
	ACCOUNT_UNCHECKED,
	ACCOUNT_LEFT /* likewise, because the client did not wait for the answer */
};

/* What is worth telling somebody, once each time it begins (or ends). */
#define TELL_GUARDED   (1u << 0) /* the account is guarded from now on */
#define TELL_UNGUARDED (1u << 1)
#define TELL_STALE     (1u << 2) /* a device of its owner keeps giving an old password */
#define TELL_PLACES \
	(1u << 3) /* logged in from more networks (/16, /32) than it may in a day */
#define TELL_CAMPAIGN	(1u << 4) /* one was recognised: verdict.campaign */
#define TELL_NEW_DEVICE (1u << 5) /* a first login with a device */
#define TELL_SPRAY	(1u << 6) /* one secret is tried on many users */
#define TELL_RUNAWAY \
	(1u << 7) /* a program comes without end; again when it is much more */

struct account_done {
	/* go: REFUSE, CHECK (let in; also after `delay`, if it is guarded) or LATER */
	struct account_verdict verdict;
	unsigned tell; /* the same as verdict.tell */
	bool held;     /* too many places: what it sends is to be held */
};

/* The outcome of an attempt that was told to GO_CHECK (UNCHECKED: it could not be). */
struct account_done accounts_done(struct accounts *a, const struct account_try *t,
				  enum account_outcome how, ms_t now, int64_t wall);

/*
 * Are as many sessions open as there may be, so that it matters whether auth knows that the
 * secret is right (t->right_lately)?
 */
bool accounts_full(const struct accounts *a, const struct account_try *t);

/*
 * It is let in, and is about to open a session (t->reads): is it within the limit now? Others
 * may have come since it was judged. GO_CHECK, or GO_REFUSE, which was counted then. If that
 * is only observed: GO_CHECK, with the event of the refusal.
 */
struct account_verdict accounts_enter(struct accounts *a, const struct account_try *t,
				      ms_t now, int64_t wall);

/* A user has a new password: what was wrong until now may be right. */
void accounts_changed(struct accounts *a, struct span user);
/* The administrator: it is guarded no more, and what led to it is forgotten. False: it was not. */
MUST bool accounts_unguard(struct accounts *a, struct span user, ms_t now);

/* Its devices are new again, each. False: there was none. */
MUST bool accounts_forget(struct accounts *a, struct span user);

/* ---- what outlives the memory ------------------------------------------------------------ */

/* A device, as auth's database keeps it. */
struct account_device {
	uint64_t user, client; /* hashes with a key that is kept with the database */
	struct addr prefix;
	int64_t first, last; /* ms since 1970 */
	uint32_t logins;
};

/* Put one back at the start, after accounts_begin() with the key of its hashes. */
void accounts_put_device(struct accounts *a, const struct account_device *d, ms_t now,
			 int64_t wall);

#endif
