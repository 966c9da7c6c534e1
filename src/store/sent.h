/*
 * sent - how much each account has sent, and the brake
 *
 * For each login: messages in an hour, recipients in a day, and recipients in a day to whom
 * it never sent before, which is what tells a stolen account from a busy one. What comes
 * above a limit is taken and held for the administrator: nothing is lost, and nothing more
 * goes out. The first that is held begins an incident, which has a number; it ends when the
 * account is below its limits again. Ten times above a limit nothing more is taken.
 *
 * Sums slide: of the hour (day) before, the part counts that is less than an hour (a day)
 * ago. To whom it sent is kept as hashes, CONTACTS_MAX for each account, the oldest go
 * first. All of it is in memory and, a second later, in the state database. Counting is
 * pure; the time is told.
 */
#ifndef STORE_SENT_H
#define STORE_SENT_H

#include "base/buf.h"
#include "base/err.h"
#include "base/time.h"
#include "store/names.h"

struct store;
struct queue_message;

#define CONTACTS_MAX 4096
#define ACCOUNTS_MAX 100000		/* in memory; who sent nothing for longest goes */
#define SENT_MEMORY  ((size_t)64 << 20) /* likewise */
#define OVER_TIMES   10

/* A sum over a while that slides. */
struct slide {
	int64_t since;
	int64_t before, now;
};

void slide_add(struct slide *s, int64_t wall, ms_t whole, int64_t n);
int64_t slide_sum(struct slide *s, int64_t wall, ms_t whole);

struct account {
	struct name name;
	struct account *next, *prev; /* by when it sent last */
	struct slide messages, recipients, fresh;
	uint32_t incident; /* 0: none */
	int64_t last;
	bool unsaved;
	uint32_t count, cap, at; /* of contacts; at: the oldest, once all are in use */
	uint32_t *contacts;
};

struct sent_limits {
	int64_t messages, recipients, fresh; /* 0: none */
};

enum brake {
	BRAKE_NOT,
	BRAKE_MESSAGES,
	BRAKE_RECIPIENTS,
	BRAKE_FRESH,
	BRAKE_PLACES, /* auth says so */
	BRAKE_COUNT
};

extern const char *const brake_word[BRAKE_COUNT];

struct sending {
	const uint32_t *recipients; /* hashes */
	size_t count;
	bool places; /* it logged in from too many */
};

struct sent_verdict {
	enum brake brake; /* not NOT: hold it */
	bool begins;	  /* an incident: tell people */
	bool refused;	  /* so far above that it is not even held */
	int64_t sum, limit;
};

/* Count it; what is held or refused makes nobody a contact. */
struct sent_verdict account_sends(struct account *a, const struct sent_limits *limits,
				  const struct sending *what, int64_t wall);

void account_print(const struct account *a, struct buf *out);
MUST bool account_parse(struct account *a, struct span text);

/* ---- the table, in the store ------------------------------------------------------------- */

struct sent;

MUST bool sent_open(struct sent **out, struct store *s, struct err *err);
void sent_close(struct sent **t);
/*
 * Somebody who logged in sends this. rcpts: lists of recipients as the edge sent them. False:
 * it is not taken. Otherwise state and incident of the message are set.
 */
bool sent_count(struct store *s, struct queue_message *m, struct span rcpts,
		struct span more);
/* Each second, and before the end: what changed goes to the database. */
void sent_save(struct store *s);
/* Each hour. */
void sent_prune(struct store *s);

#endif
