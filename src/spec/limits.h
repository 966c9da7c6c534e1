/*
 * limits - every ceiling in one place
 *
 * What an operator may set is bounded by these; what may not be set is one of these.
 * RFC 5321, 4.5.3.1 has the minimum sizes a server must take.
 */
#ifndef SPEC_LIMITS_H
#define SPEC_LIMITS_H

/* clang-format off */
/* the wire */
#define LINE_MAX_SMTP	 12288 /* the longest line of any kind, with CRLF: an AUTH line */
#define REPLY_MAX	 1024  /* one reply of ours, all its lines */
#define OUT_MAX		 4096  /* replies waiting to be sent; reading stops before it is full */
#define IN_MAX		 16384 /* the receive buffer that is lent while bytes are pending */
#define ADDRESS_MAX	 254
#define DOMAIN_MAX	 255

/* whose passwords are here: kept in memory, 16 bytes each; beyond, the database is asked */
#define ACCOUNT_NAMES_MAX ((size_t)1 << 22)

#define USER_MAX	 ADDRESS_MAX /* of a name that somebody logs in with */
#define SECRET_MAX	 1024	/* of a password; tokens of OAuth may have SASL_MAX */
#define SASL_MAX	 9000	/* one step of an exchange, decoded (12,288 bytes of base64) */

/* IMAP and POP3 */
#define TAG_MAX		 64	/* of an IMAP command; longer ones are refused */
#define LITERAL_MAX	 4096	/* one literal before login; all of a command: IN_MAX */
#define CLIENT_NAME_MAX	 64	/* what a client says it is (ID), as we keep it */
#define HELLO_MAX	 40	/* of a TLS ClientHello in words (io/hello.h) */
#define LOGINS_MAX	 1000000 /* IMAP and POP3 sessions that are counted; more are let in uncounted */
#define BOX_MESSAGES_MAX 200000 /* of a Maildir that are served at once over POP3 */
#define BOXES_MAX	 4096	/* Maildirs that are open for POP3 */
#define CAPABILITY_MAX	 1000	/* what a mailbox server offers, as we pass it on */

/* a transaction */
#define RECIPIENTS_CEILING 10000 /* what smtp.recipients may be set to at most */
#define ENVELOPE_MAX	 (RECIPIENTS_CEILING * (ADDRESS_MAX + 2) + 1024)
#define BODY_INLINE_MAX	 65536	 /* larger bodies go to a file */
#define TRACE_MAX	 1024	 /* the Received: field that we add */
#define DATA_LINE_MAX	 1000	 /* RFC 5321, 4.5.3.1.6; longer ones are counted, not refused */

/* between roles */
#define FRAME_MAX	 (BODY_INLINE_MAX + 65536) /* one message, fixed part and all */
#define FRAME_FDS_MAX	 4
#define LINK_QUEUE_MAX	 (8u << 20) /* bytes that wait on one link for the other side */
#define LIST_FRAME_MAX	 49152 /* recipients in one frame */
#define EDGES_MAX	 16
#define ROLES_MAX	 32    /* processes at once, draining ones included */
#define CONTROL_LINE_MAX 8192  /* one command on the control socket */
#define ROW_MAX		 4096  /* one row of a command's answer */
#define LOG_RECORD_MAX	 2048  /* one record in the ring */
#define LOG_TEXT_MAX	 80    /* of a peer's text in the log */
#define LOG_OWN_TEXT_MAX 400   /* of ours: a failure with its remedy */

/* the guard */
#define SEATS_MAX	 200000 /* sessions of one edge on the scoreboard */
#define CODE_MAX	 12	/* a refusal code, its NUL included */
#define ORDERS_MAX	 2048	/* bans and allows of the administrator at once */
#define ORDER_WHY_MAX	 80	/* the reason given for one */
#define KICKS_MAX	 64	/* kicks that edges may not have seen yet */
#define DNSBLS_MAX	 32
#define ACCESS_MAX	 64	/* lists in the configuration */
#define ACCESS_TEXTS_MAX 1024	/* entries of allow, and of deny */
#define FIREWALL_BATCH	 1000	/* prefixes in one message to the firewall */

#define TICKET_KEY	 32	/* bytes of the key that tickets are made with (crypt/ticket.h) */
#define TICKET_SIZE	 40	/* of a ticket: until when, and a keyed hash */

#define DKIM_MAX	 16	/* signatures that are configured */
#define SELECTOR_MAX	 63	/* of a DKIM key (RFC 6376, 3.1) */
#define DIGEST_MAX	 64
#define SIGNATURE_MAX	 1024	/* of DKIM, in bytes */
#define PREFIX_MAX	 4096	/* fields that are put before a message on its way out */
#define ENVID_MAX	 100	/* RFC 3461, 4.4 */
#define ORCPT_MAX	 500	/* RFC 3461, 4.2 */
#define ITEM_MAX	 (ADDRESS_MAX + ORCPT_MAX + 48) /* a recipient with what DSN wants */
#define FETCH_BODY_MAX	 65536
#define FETCH_TEXT_MAX	 (SASL_MAX + USER_MAX + SECRET_MAX + 6) /* a list of three */
#define FETCH_AT_ONCE	 8   /* requests over HTTPS */
#define FETCH_WAITING	 256 /* that wait for their turn; more are refused */
#define OAUTH_WAITING	 256 /* tokens whose keys or issuer are being asked for */
#define FETCH_PAUSES	 256 /* what failed a moment ago and is not tried again yet */

/* configuration */
#define TEXT_MAX	 256 /* one text setting, its NUL included */
#define LISTENERS_MAX	 32
#define CERTIFICATES_MAX 64
#define NETS_MAX	 64
#define ROUTES_MAX	 256
#define DOMAINS_MAX	 1024
#define SOURCES_MAX	 32
#define RELAYS_MAX	 256
#define SEND_AS_MAX	 256
#define LOCAL_USERS_MAX	 512	/* of this machine, who may hand in mail by their names */
#define TRAPS_MAX	 64
#define AUTH_SOURCES_MAX 8
#define OAUTH_MAX	 8
#define BACKENDS_MAX	 64	/* mailbox servers */
#define BACKEND_NAME_MAX 64
#define MAILBOXES_MAX	 512	/* users and domains that are named with their backend */
#define PROBLEMS_MAX	 100 /* reported by one `config check` */
/* clang-format on */

#endif
