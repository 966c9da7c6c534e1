/*
 * asked - one command that was asked, for the files that answer
 */
#ifndef WATCH_ASKED_H
#define WATCH_ASKED_H

#include "watch/sight.h"

struct asked {
	struct sight *sight;
	uint32_t ask;
	struct span words; /* all of them; good until the answering function returns */
	struct span rest;  /* behind the first */
};

void asked_row(const struct asked *a, const struct buf *fields);
/* The end: done, or not. */
void asked_done(const struct asked *a, const char *text);
void asked_refuse(const struct asked *a, const char *text);

/* ---- what may stand behind a command ------------------------------------------------ */

#define WORD_TARGET (1u << 0) /* an address, a prefix or something else: one is needed */
#define WORD_MAYBE  (1u << 1) /* one may be there */
#define WORD_FOR    (1u << 2)
#define WORD_WHY    (1u << 3)
#define WORD_LIMIT  (1u << 4)
#define WORD_CLIENT (1u << 5)
#define WORD_FORCE  (1u << 6)
#define WORD_REMOVE (1u << 7)
#define WORD_BY	    (1u << 8)
#define WORD_USER   (1u << 9)

#define LIMIT_DEFAULT 100
#define LIMIT_MAX     10000 /* rows of an answer that are chosen out of many */

struct asked_words {
	struct span target, why, by, user;
	ms_t within; /* --for; 0: not given */
	uint64_t limit;
	bool force, remove, has_client;
	struct net client;
};

/* Options are `--for 7d` or `--for=7d`. Spans point into the words. */
MUST bool asked_read(struct span rest, unsigned allowed, struct asked_words *out,
		     struct err *err);

/* "192.0.2.7", "192.0.2.0/24"; err says what is meant if host bits are set. */
MUST bool asked_net(struct span text, struct net *out, struct err *err);

/* Can only be a user: digits, dots and colons are meant as an address, even if they are none. */
bool asked_is_user(struct span text);
/* As auth has it: in lower case, with a domain. False: it is too long. */
MUST bool asked_user(const struct sight *s, struct span text, struct buf *out);

/* ---- fields that many answers have ---------------------------------------------------- */

void asked_field_net(struct buf *out, const char *name, const struct net *n);
void asked_field_addr(struct buf *out, const char *name, const struct addr *a);
/* Rounded; what cannot be a count is 0. */
void asked_field_real(struct buf *out, const char *name, double value);

#endif
