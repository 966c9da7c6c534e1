/*
 * backend - the way into a mailbox server for one user, up to where the client takes over
 *
 * In the shape of session.h and delivery.h: something happened (in), at a time (now); this
 * is what to do about it (out). A PROXY header, STARTTLS, who the client is, the login.
 *
 * Whatever the server does, hang, lie or vanish included, there is one result. After YES the
 * bytes that were not consumed, and all that follow, belong to the client; after anything
 * else the connection is good for nothing.
 */
#ifndef SESSION_BACKEND_H
#define SESSION_BACKEND_H

#include "base/time.h"
#include "conf/mailboxes.h"
#include "wire/imap.h"
#include "wire/mailbox_peer.h"

#define BACKEND_OUT	  8192 /* of what is said at once: */
#define BACKEND_FIRST_MAX 5000 /* in base64, and what goes before it */

enum backend_in_kind {
	BACKEND_IN_OPENED, /* the connection is there: the first step */
	BACKEND_IN_BYTES,  /* bytes: all that was received and not yet consumed */
	BACKEND_IN_END,	   /* it will send nothing more, or the connection is gone */
	BACKEND_IN_TIME,   /* out->wake has come */
	BACKEND_IN_TLS,	   /* the answer to DO_TLS: it is inside TLS now */
	BACKEND_IN_NO_TLS, /* the same, but it failed; bytes say why */
	BACKEND_IN_GO,	   /* setup->hold holds no more; bytes: of a line not whole */
};

struct backend_in {
	enum backend_in_kind kind;
	struct span bytes;
};

#define BACKEND_DO_TLS	  (1u << 0) /* flush, shake hands; then BACKEND_IN_TLS or _NO_TLS */
#define BACKEND_DO_RESULT (1u << 1) /* it is over (once) */

struct backend_out {
	unsigned orders;
	size_t used;	  /* how many of in's bytes were consumed */
	ms_t wake;	  /* when BACKEND_IN_TIME is wanted */
	struct buf *peer; /* what to say; empty, with room for BACKEND_OUT */
};

enum backend_got {
	BACKEND_GOT_YES,    /* logged in; or, of a probe, greeted */
	BACKEND_GOT_NO,	    /* it does not take this name and password */
	BACKEND_GOT_LIMIT,  /* it does, but this user has too many sessions */
	BACKEND_GOT_LATER,  /* it says that it cannot now */
	BACKEND_GOT_UNFIT,  /* it lacks what we were told to use, or refuses it */
	BACKEND_GOT_BROKEN, /* no answer in time, nonsense, an end */
	BACKEND_GOT_KINDS
};

/* All spans are borrowed and outlive the talk. */
struct backend_setup {
	bool pop3;
	bool probe; /* is it there? No login. */
	bool hold;  /* not a word of who logs in before BACKEND_IN_GO */
	enum backend_tls tls;
	enum backend_identity identity;
	struct mailbox_peer_client client;
	/* of somebody with a token, or (PLAIN) with an authorization identity: what is said first */
	enum sasl_mechanism mechanism;
	struct span first;
	struct span user, secret; /* of anybody else */
	ms_t greet_by;	    /* connected, inside TLS if that comes first, and greeted */
	ms_t reply_timeout; /* for each answer after that */
};

/* What is awaited from the server. */
enum backend_phase {
	BACKEND_AT_GREETING,
	BACKEND_AT_STARTTLS,
	BACKEND_AT_HANDSHAKE,
	BACKEND_AT_CAPABILITY,
	BACKEND_AT_HELD, /* nothing: it is ready, we are not */
	BACKEND_AT_AUTH, /* what is to be said when it says to go on is `first` */
	BACKEND_AT_LOGIN,
	BACKEND_AT_USER,
	BACKEND_AT_PASS,
	BACKEND_AT_OFFER, /* logged in: what does it offer now? */
	BACKEND_AT_END,
};

struct backend_talk {
	const struct backend_setup *setup;
	struct mailbox_peer peer;
	enum backend_phase phase;
	bool in_tls;
	bool asked;	  /* what it can */
	bool denied;	  /* the token: it was told why, and has to say no yet */
	bool said;	  /* `first`, with AUTH */
	uint8_t unheeded; /* answers to come that mean nothing to us */
	unsigned login_at;
	size_t early; /* bytes that had come before the last question */
	ms_t by;
	/* for the caller to read, with the result */
	enum backend_got got;
	bool greeted;
	uint16_t why_n, offered_n;
	uint8_t why[MAILBOX_PEER_TEXT]; /* in words; the server's, if it said any */
	/* IMAP: what it offers who has not logged in; empty: not told, or too long */
	uint8_t offered[IMAP_LEARNT_MAX];
};

/* Can this be said to such a server at all? */
bool backend_credentials_ok(const struct backend_setup *setup);
void backend_init(struct backend_talk *b, const struct backend_setup *setup);
void backend_step(struct backend_talk *b, const struct backend_in *in, ms_t now,
		  struct backend_out *out);

#endif
