/*
 * mailboxes - the part of the configuration that is about the servers mail is read from
 *
 * Part of struct conf (conf/conf.h): no pointers, texts NUL-terminated.
 */
#ifndef CONF_MAILBOXES_H
#define CONF_MAILBOXES_H

#include <stdbool.h>
#include <stdint.h>

#include "spec/limits.h"

/* How we log in to a mailbox server for a user whom we have let in. */
enum backend_login {
	BACKEND_SAME,	/* with the name and the password that the user gave us */
	BACKEND_MASTER, /* as "user*master": the login is the credential's (Dovecot) */
	BACKEND_AUTHZID, /* SASL PLAIN for the user, with the name and password of a credential */
	BACKEND_OWN, /* with a password per user: holdfast relay passwd CREDENTIAL/USER */
	BACKEND_LOGINS
};

enum backend_tls {
	BACKEND_TLS_NONE,
	BACKEND_TLS_START,
	BACKEND_TLS_IMPLICIT,
	BACKEND_TLS_USES
};

/* How we say for whom we come. */
enum backend_identity {
	BACKEND_SAYS_NOTHING,
	BACKEND_SAYS_PROXY_1, /* a PROXY header, of version 1 or 2 */
	BACKEND_SAYS_PROXY_2,
	BACKEND_SAYS_ID, /* IMAP: ID with x-originating-ip and others; POP3: XCLIENT (Dovecot) */
	BACKEND_IDENTITIES
};

/* backends = ( { name = "a"; imap = "10.0.0.7:143"; pop3 = "10.0.0.7:110"; } ) */
struct backend {
	char name[BACKEND_NAME_MAX];
	char imap[TEXT_MAX], pop3[TEXT_MAX]; /* host:port; "": it has none */
	enum backend_tls tls;
	bool verify; /* its certificate must be one for that host that we believe */
	enum backend_login login;
	char credential[TEXT_MAX]; /* of MASTER, AUTHZID and OWN */
	enum backend_identity identity;
	uint32_t weight; /* on the hash ring; 0: only for whom `mailboxes` or the database names */
#define BACKEND_WEIGHT_MAX 100
};

/* mailboxes = ( { user = "bob@example.org"; backend = "a"; } ) */
struct mailbox {
	char user[ADDRESS_MAX + 1]; /* lower case; "@example.org": all of that domain */
	uint32_t backend;	    /* which of conf.backends */
};

#endif
