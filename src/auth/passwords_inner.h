/*
 * passwords_inner - a command about passwords, for the file that does it and the one that
 * makes its lists
 */
#ifndef AUTH_PASSWORDS_INNER_H
#define AUTH_PASSWORDS_INNER_H

#include "auth/passwords.h"
#include "crypt/password.h"
#include "spec/limits.h"

#define PAGE	 50 /* rows per turn of a list */
#define ROW_ROOM (ADDRESS_MAX + 512)

struct job;

/* One command: what it needs, and what it does in the thread. */
struct kind {
	const char *first, *word; /* as the administrator says it */
	unsigned names;		  /* how many words before the secret */
	bool secret, address;	  /* address: the first of them is one */
	bool (*run)(struct job *j, struct vault *v);
	const char *done, *nothing; /* what is said when it found something, and if not */
	const char *logged;	    /* NULL: it is a list */
};

struct job {
	struct passwords *all;
	const struct kind *kind; /* NULL: free */
	uint32_t ask;
	int64_t wall;
	uint8_t name[TEXT_MAX]; /* an address, or that of a login; of a list: the last told */
	size_t name_n;
	uint8_t user[USER_MAX];
	size_t user_n;
	uint8_t secret[PASSWORD_MAX];
	size_t secret_n;
	bool scram, forget;
	bool parked; /* waits until its rows can be sent */
	bool ok, found;
	struct err err;
	uint8_t rows_mem[PAGE * ROW_ROOM];
	struct buf rows; /* a list */
	size_t told, before;
};

static inline struct span name_of(const struct job *j)
{
	return span_of(j->name, j->name_n);
}

/* As name_normal() has it, but for what is not a name of anybody. */
void passwords_keep_name(struct job *j, struct span name);

/* ---- passwords_list.c: a page of a list, from where the last one ended; in the thread ---- */

bool passwords_list(struct job *j, struct vault *v);
bool passwords_state(struct job *j, struct vault *v);
bool passwords_relays(struct job *j, struct vault *v);
bool passwords_devices(struct job *j, struct vault *v);
bool passwords_logins(struct job *j, struct vault *v);
bool passwords_failures(struct job *j, struct vault *v);

#endif
