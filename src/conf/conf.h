/*
 * conf - the configuration in force
 *
 * One flat struct without pointers: the loader fills it in, seals it in a memfd, and all
 * roles map it read-only. Texts are NUL-terminated. A reload makes a new one and swaps a
 * pointer; a session keeps the values it started with.
 */
#ifndef CONF_CONF_H
#define CONF_CONF_H

#include "base/addr.h"
#include "base/time.h"
#include "conf/mailboxes.h"
#include "conf/users.h"
#include "spec/rules.h"

typedef bool setting_FLAG;
typedef int64_t setting_COUNT;
typedef int64_t setting_SIZE;
typedef ms_t setting_TIME;
typedef int setting_WORD;
typedef char setting_TEXT[TEXT_MAX];

struct settings {
#define SETTING(kind, field, ...) setting_##kind field;
#include "spec/settings.def"
};

/* The words of WORD settings, in the order of their rows. */
enum { SANDBOX_OFF, SANDBOX_WANTED, SANDBOX_REQUIRED };
enum { BARE_REFUSE, BARE_NORMALISE };
enum { BINARY_AUTO, BINARY_YES, BINARY_NO };
enum { TLS_MIN_12, TLS_MIN_13 };
enum { LOG_TO_STDERR, LOG_TO_FILE, LOG_TO_JOURNAL };
enum { LOG_LOGFMT, LOG_JSON };
enum { GUARD_ENFORCE, GUARD_OBSERVE };

enum {
	SENDERS_OWN,
	SENDERS_LOG,
	SENDERS_ANY
}; /* also of submission.from; the strictest first */

enum service {
	SERVICE_SMTP,	    /* port 25: mail for our recipients, from anybody */
	SERVICE_SUBMISSION, /* 587, 465: mail of our users, who log in, to anybody */
	SERVICE_IMAP, /* 143, 993: our users read mail at the mailbox server behind us */
	SERVICE_POP3, /* 110, 995: likewise, or from the Maildirs we deliver to */
	SERVICE_COUNT
};

enum tls_use {
	TLS_NONE,
	TLS_START,    /* STARTTLS is offered */
	TLS_IMPLICIT, /* the handshake comes first */
};

/* listen = ( { address = "*:25"; service = "smtp"; tls = "starttls"; proxy = false; } ) */
struct listener {
	struct endpoint at;
	enum service service;
	enum tls_use tls; /* default: NONE without a certificate, else by the port */
	bool proxy;	  /* a PROXY header comes first, from addresses in proxy-from */
	bool auth;	  /* users may log in; default: not with SERVICE_SMTP */
	uint64_t id;	  /* stable over reloads: made from address and port, or path */
	char name[64];	  /* as in the log: "smtp 127.0.0.1:2025" */
	char path[108];	  /* of a socket of this machine; "": at is an address */
};

/* route = ( { domain = "example.org"; to = "lmtp:unix:/run/lmtp"; verify = true; } ) */
struct route {
	char domain[DOMAIN_MAX + 1]; /* lower case */
	enum hop hop;
	char target[TEXT_MAX];
	bool verify; /* call-ahead: the next hop knows who exists */
};

/* dnsbl = ( { zone = "zen.spamhaus.org"; weight = 100; answers = "127.0.0.2-11"; } ) */
#define DNSBL_ANSWERS	 16
#define DNSBL_WEIGHT_MAX 1000

struct dnsbl {
	char zone[DOMAIN_MAX + 1]; /* lower case, no dot at the end */
	int32_t weight;		   /* 1 to 1000 */
	bool allows;
	uint32_t answer_count; /* at least one */
	struct {
		uint32_t from, to; /* 127.0.0.2 is 0x7f000002 */
	} answers[DNSBL_ANSWERS];
};

/* A user of this machine, as /etc/passwd had it when the configuration was read. */
struct local_user {
	uint32_t uid;
	char name[33];
};

struct conf {
	uint32_t magic; /* CONF_MAGIC */
	uint32_t size;	/* sizeof(struct conf) */
	uint64_t generation;

	struct settings set;

	enum hop deliver_hop; /* set.deliver_to, read */
	char deliver_target[TEXT_MAX];

	uint32_t listener_count;
	struct listener listeners[LISTENERS_MAX];

	uint32_t route_count;
	struct route routes[ROUTES_MAX];

	/* domains = [ "example.org", ... ]; besides those in the database. Lower case. */
	uint32_t domain_count;
	char domains[DOMAINS_MAX][DOMAIN_MAX + 1];

	/* proxy-from = [ "192.0.2.0/24" ]; xclient-from = [ ... ]. Nothing by default. */
	uint32_t proxy_count, xclient_count;
	struct net proxy_from[NETS_MAX], xclient_from[NETS_MAX];

	uint32_t dnsbl_count;
	struct dnsbl dnsbls[DNSBLS_MAX];

	/* guard.observe = [ "dnsbl" ]: by enum rule */
	bool observed[RULE_COUNT];

	uint32_t certificate_count; /* how many the CERTS blob holds */

	/* delivery.relay, read: MX, SMTP; HOP_COUNT: none */
	enum hop relay_hop;
	char relay_target[TEXT_MAX];
	uint32_t relay_count;
	struct relay relays[RELAYS_MAX]; /* in the order of the file; the first that fits */

	unsigned mechanisms; /* auth.mechanisms, read: 1u << enum sasl_mechanism */
	/* those of them that IMAP and POP3 can have: with which there is a password, if one
	 * is wanted by a mailbox server */
	unsigned mailbox_mechanisms;
	uint32_t password_source_count; /* 0: the database */
	struct password_source password_sources[AUTH_SOURCES_MAX];
	uint32_t trap_count;
	char traps[TRAPS_MAX][64]; /* lower case: a user name, with or without a domain */
	uint32_t oauth_count;
	struct oauth oauth[OAUTH_MAX];
	uint32_t send_as_count;
	struct send_as send_as[SEND_AS_MAX];
	uint32_t local_user_count; /* 0 without a listener that has a path */
	struct local_user local_users[LOCAL_USERS_MAX];
	uint32_t dkim_count;
	struct dkim_key dkim[DKIM_MAX];

	uint32_t backend_count;
	struct backend backends[BACKENDS_MAX];
	uint32_t mailbox_count; /* the first that fits */
	struct mailbox mailboxes[MAILBOXES_MAX];
};

#define CONF_MAGIC 0x48464333u /* "HFC3" */

/* NULL: there is none of that name. */
const struct backend *backend_find(const struct conf *c, struct span name);
/* The one that mailboxes names for this user, in lower case; NULL: it names none. */
const struct backend *backend_of_user(const struct conf *c, struct span user);

/* Is there something to fetch over HTTPS: policies, keys, what is said about tokens? */
bool conf_wants_fetch(const struct conf *c);

/* Do we take messages that are no text (BINARYMIME)? */
bool conf_takes_binary(const struct conf *c);

/* Is this a whole struct conf with all counts and enums in their bounds? */
bool conf_ok(const void *mem, size_t n);

#endif
