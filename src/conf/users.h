/*
 * users - the part of the configuration that is about users and their mail
 *
 * Who knows their passwords, who vouches for them, where their mail goes and who signs it.
 * Part of struct conf (conf/conf.h): no pointers, texts NUL-terminated.
 */
#ifndef CONF_USERS_H
#define CONF_USERS_H

#include "spec/limits.h"
#include "spec/messages.h"

/* relays = ( { domain = "example.net"; to = "smtp:mail.example.net:25"; } ) */
struct relay {
	char domain[DOMAIN_MAX + 1]; /* lower case, without the dot in front */
	bool below;		     /* and all domains below it, not itself */
	enum hop hop;		     /* MX, SMTP; HOP_COUNT: none, such mail is refused */
	char target[TEXT_MAX];	     /* of SMTP */
	enum hop_tls tls;
	char login[TEXT_MAX]; /* "": none */
};

enum password_kind {
	PASSWORDS_DATABASE,
	PASSWORDS_FILE,
	PASSWORDS_DOVECOT,
	PASSWORDS_BACKEND, /* IMAP and POP3: the mailbox server decides, the guard before it */
	PASSWORDS_KINDS
};

struct password_source {
	enum password_kind kind;
	char path[TEXT_MAX];
	char domain[DOMAIN_MAX + 1]; /* lower case; "": none */
};

struct oauth {
	char issuer[TEXT_MAX], keys[TEXT_MAX], introspect[TEXT_MAX], login[TEXT_MAX];
	char audience[TEXT_MAX], user[TEXT_MAX]; /* user: the claim, "email" by default */
};

struct send_as {
	char login[ADDRESS_MAX + 1], address[ADDRESS_MAX + 1]; /* lower case */
};

enum dkim_algorithm { DKIM_RSA, DKIM_ED25519, DKIM_ALGORITHMS };

struct dkim_key {
	char domain[DOMAIN_MAX + 1]; /* lower case */
	char selector[SELECTOR_MAX + 1];
	enum dkim_algorithm algorithm;
};

#endif
