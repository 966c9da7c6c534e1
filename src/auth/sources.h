/*
 * sources - who knows passwords, in the order of auth.sources
 */
#ifndef AUTH_SOURCES_H
#define AUTH_SOURCES_H

#include "auth/dovecot.h"
#include "auth/keeper.h"
#include "conf/conf.h"

struct sources;

struct sources_calls {
	void (*trouble)(void *arg, const char *why);
	void (*changed)(void *arg, struct span user); /* as in passwd_file.h */
	void *arg;
};

/* local: sockets of this machine may be used (the sandbox was closed so). */
MUST bool sources_open(struct sources **out, struct loop *loop, struct keeper *keeper,
		       const struct conf *conf, bool local,
		       const struct sources_calls *calls, struct err *err);
void sources_close(struct sources **s);
/* Whoever waits for an answer is gone. */
void sources_forget(struct sources *s);
/* After a reload. What is the same is kept; else what was asked is answered with LATER. */
MUST bool sources_conf(struct sources *s, const struct conf *conf, struct err *err);

enum source_says {
	SOURCE_HAS,	/* with this hash */
	SOURCE_ASK,	/* it has to be asked, with the secret: sources_ask() */
	SOURCE_HAS_NOT, /* nobody knows that user */
	SOURCE_LATER,	/* one of them could not be read: nobody can say */
};

struct source_account {
	size_t source; /* which of them */
	bool disabled;
	bool at_backend;       /* ASK: the mailbox server is to be asked, by the edge */
	size_t hash_n, keys_n; /* keys: of SCRAM */
	uint8_t hash[VAULT_HASH_MAX], keys[VAULT_KEYS_MAX];
};

/*
 * from: 0, or behind one that was asked and said no. reads: it is about IMAP or POP3, so a
 * mailbox server may be asked; to others it is nobody.
 */
enum source_says sources_find(struct sources *s, struct span user, size_t from,
			      bool reads, struct source_account *out);

/*
 * What sources_find() would say from 0, of a user whose account is not needed (yet). It takes
 * as long for one who exists as for one who does not.
 */
enum source_says sources_know(struct sources *s, struct span user, bool reads);

/* As dovecot_ask(), of that source. */
MUST bool sources_ask(struct sources *s, size_t source, const struct dovecot_ask *ask);

/* The domain of users who say none. */
struct span sources_domain(const struct conf *conf);

/* What the sandbox has to leave open: is there a socket; directories of files. */
bool sources_local(const struct conf *conf);
size_t sources_places(const struct conf *conf, char out[AUTH_SOURCES_MAX][TEXT_MAX]);

#endif
