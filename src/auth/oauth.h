/*
 * oauth - is this token good, and whose is it? (OAUTHBEARER, XOAUTH2)
 *
 * A token that is signed (a JWT) is checked here against the key set of its issuer, which
 * comes from a file or over the fetch role. One that says nothing itself is shown to the
 * issuer that has an introspection address (RFC 7662). Answers come at once, or when what
 * had to be fetched is there; at the latest after OAUTH_WITHIN.
 *
 *     auth role: oauth_open(), and oauth_conf() at each reload;
 *     MSG_FETCHED from the fetch role goes to oauth_fetched(); its death is oauth_gone();
 *     oauth_on_time() no later than oauth_next() says.
 *
 * Files of keys are read at oauth_open() and oauth_conf(), and again when they have
 * changed; the role's sandbox must let it read their directories (oauth_keys_dir()).
 */
#ifndef AUTH_OAUTH_H
#define AUTH_OAUTH_H

#include "base/err.h"
#include "conf/conf.h"

#define OAUTH_WITHIN ((ms_t)15000)

struct oauth_checker;

enum oauth_verdict {
	OAUTH_RIGHT,
	OAUTH_WRONG,
	OAUTH_LATER, /* nobody could say: what had to be fetched was not to be had */
};

struct oauth_result {
	enum oauth_verdict verdict;
	const char *reason; /* a word for the log: "expired", "wrong-audience", ... */
	/* of RIGHT: what the configured claim says, in lower case */
	char user[USER_MAX + 1];
};

struct oauth_calls {
	/* Send it to the fetch role. False: there is none now. */
	bool (*fetch)(void *arg, const struct msg_FETCH *m);
	/*
	 * The credential of that name (`holdfast relay passwd`). False: there is none. The
	 * spans are good until the next call.
	 */
	bool (*credential)(void *arg, const char *name, struct span *user,
			   struct span *secret);
};

/* Embed it, zeroed. Members are for oauth.c only. */
struct oauth_ask {
	struct oauth_checker *checker; /* NULL: not under way */
	struct oauth_ask *next;
	uint32_t issuer; /* whose answer it waits for: of conf.oauth */
	bool opaque;	 /* the token says nothing itself */
	uint64_t fetch;	 /* the number of the FETCH that it alone waits for; 0: keys */
	ms_t until;
	char *token; /* a copy, wiped when it is done */
	size_t token_n;
	void (*on_done)(void *arg, const struct oauth_result *r);
	void *arg;
};

/* conf is borrowed, until the next oauth_conf(). */
MUST bool oauth_open(struct oauth_checker **out, const struct conf *conf,
		     const struct oauth_calls *calls, void *arg, struct err *err);
/* Those who wait are not called. */
void oauth_close(struct oauth_checker **o);
/* Another configuration: those who wait are told OAUTH_LATER. */
void oauth_conf(struct oauth_checker *o, const struct conf *conf);

/*
 * on_done is called once, possibly before this returns. wall: milliseconds since 1970,
 * for the times that tokens say.
 */
void oauth_begin(struct oauth_checker *o, struct oauth_ask *ask, struct span token,
		 ms_t now, ms_t wall,
		 void (*on_done)(void *arg, const struct oauth_result *r), void *arg);
/* on_done will not be called. One that is not under way is fine. */
void oauth_forget(struct oauth_ask *ask);

/* What FETCH brought. An answer that nobody waits for is dropped. */
void oauth_fetched(struct oauth_checker *o, const struct msg_FETCHED *m, ms_t now,
		   ms_t wall);
/* The fetch role has ended: what was asked of it will not come. */
void oauth_gone(struct oauth_checker *o, ms_t now);
/* When oauth_on_time() is wanted; MS_NEVER. */
ms_t oauth_next(const struct oauth_checker *o);
void oauth_on_time(struct oauth_checker *o, ms_t now, ms_t wall);

/*
 * What the client is told before it is refused: RFC 7628, 3.2.2, and for XOAUTH2 what
 * Google made of it. The same text whatever was wrong.
 */
void oauth_error_print(enum sasl_mechanism m, struct buf *out);

/* The directory of the file of keys of conf.oauth[number]; false: it has none. */
bool oauth_keys_dir(const struct oauth *o, char out[TEXT_MAX]);

#endif
