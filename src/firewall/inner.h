/*
 * inner - what the two files of the role share: firewall.c is the role, talk.c its link to
 * watch
 */
#ifndef FIREWALL_INNER_H
#define FIREWALL_INNER_H

#include "base/fields.h"
#include "firewall/firewall.h"
#include "firewall/judge.h"
#include "firewall/own.h"
#include "firewall/program.h"
#include "firewall/sets.h"
#include "io/loop.h"

struct firewall {
	struct start *start;
	struct loop *loop;
	struct watch life;
	struct watch talk;
	struct link *watcher; /* the link to watch; NULL while there is none */
	struct timer beat, tell, look;
	struct own own;
	struct program program;
	char path[TEXT_MAX];
	struct sets sets;
	uint32_t refused;
	bool again;		 /* watch is to send everything */
	bool told;		 /* this, once: */
	struct msg_BLOCKED last; /* but for its text */
	char last_why[SETS_WHY];
	ms_t told_at;
	int exit_code;
};

/* ---- firewall.c ---- */

void firewall_log(struct firewall *f, enum record kind, struct buf *fields);
void firewall_trouble(struct firewall *f, enum record kind, const char *why);
/* Whom we must not block, as it is now. */
struct judge firewall_judge(const struct firewall *f);
/* This one is not given to the kernel: count it, and say why. */
void firewall_refuse(struct firewall *f, const struct net *n, enum refusal why);
/* Look at our own addresses. False: we do not know them, so nobody may be blocked. */
bool firewall_know_ourselves(struct firewall *f);

/* ---- talk.c ---- */

void talk_meet(struct firewall *f, struct link *link);
void talk_drop(struct firewall *f);
/* For its timer and for its sets: told as soon as there is news, but at most once a second. */
void talk_on_tell(void *firewall);
void talk_on_state(void *firewall, const char *what);

#endif
