/*
 * sign - DKIM signatures for what our users send and what we write (RFC 6376, 8463)
 *
 * The store hashes the message and writes the field; the key never leaves auth, which is
 * sent the hash. A message is signed for every conf.dkim entry of its From domain, or of the
 * nearest domain above it that has one. The result is the text of the fields that go before
 * the message on its way out (message.prefix, DELIVER.prefix).
 *
 * What cannot be signed goes out unsigned, with a line in the log: no key, no auth, no
 * answer within SIGN_WAIT. A temporary refusal instead would stop all mail of a domain for
 * a missing key; without a signature most of it arrives.
 */
#ifndef STORE_SIGN_H
#define STORE_SIGN_H

#include "base/span.h"
#include "spec/messages.h"

struct store;
struct signs;

#define SIGN_WAIT ((ms_t)10 * MS_SECOND)
#define SIGNS_MAX 512 /* messages that are being signed; more go out unsigned */

struct sign_wish {
	uint64_t id;
	uint32_t flags;	  /* only MAIL_AUTH, MAIL_LOCAL and MAIL_OURS are signed */
	struct span body; /* inline; not needed after the call */
	bool spooled;	  /* it is in the file of that id, which is complete */
};

/*
 * Begin. False: there is nothing to sign or no room for it, and on_signed is not called;
 * otherwise it is called once, later, from the loop, with at most PREFIX_MAX bytes that are good
 * for the call only; empty: it could not be signed.
 */
bool sign_start(struct store *s, const struct sign_wish *wish,
		void (*on_signed)(void *arg, struct span prefix), void *arg);

/* SIGNED came from auth. False: it makes no sense. */
bool sign_answered(struct store *s, struct span frame);
/* The link to auth is gone: what waits for it goes unsigned. */
void sign_lost(struct store *s);
/* At the end, before the loop is closed: nothing is called any more. */
void sign_close(struct store *s);

#endif
