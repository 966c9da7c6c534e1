/*
 * sign - DKIM keys: kept here, used here, told to nobody
 *
 * A key is a file, dkim/DOMAIN/SELECTOR.pem below auth's own directory, which no other role
 * can open: made by `holdfast dkim keygen`, or put there by an administrator who has one
 * already. The store sends hashes and gets signatures, by domain, selector and algorithm of
 * an entry in conf.dkim. Signing, and whatever touches files after the start, is another thread's work.
 *
 *     dkim keygen DOMAIN SELECTOR [--algorithm rsa|ed25519]
 *     dkim show [DOMAIN [SELECTOR]]
 *     dkim list
 *     dkim remove DOMAIN SELECTOR
 */
#ifndef AUTH_SIGN_H
#define AUTH_SIGN_H

#include "conf/conf.h"
#include "io/loop.h"

struct signer;

struct signer_calls {
	bool (*row)(void *arg, uint32_t ask, struct span row); /* false: nobody listens */
	void (*end)(void *arg, uint32_t ask, bool ok, struct span text);
	void (*changed)(void *arg, struct span key, const char *what);
	/* `era` is that of signer_sign(); an empty signature: there is no such key */
	void (*made)(void *arg, uint32_t era, uint64_t ask, struct span signature);
	void (*trouble)(void *arg, const char *why);
};

/* dir: auth's own, with room for files. Reads the keys that conf names. */
MUST bool signer_open(struct signer **out, struct loop *loop, const char *dir,
		      const struct conf *conf, const struct signer_calls *calls,
		      void *arg, struct err *err);
/* After the loop was closed: no thread works on it any more. */
void signer_close(struct signer **s);

/* After a reload: read what it names. */
void signer_conf(struct signer *s, const struct conf *conf);

/*
 * SIGN came from the store. era: of the link, so that what is signed for a store that died
 * is not told to the next one. False: it makes no sense.
 */
MUST bool signer_sign(struct signer *s, uint32_t era, struct span frame);

/* words: all behind "dkim", a list that is not needed after the call. */
void signer_command(struct signer *s, uint32_t ask, struct span words);

#endif
