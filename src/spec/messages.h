/*
 * messages - the table in messages.def, as C
 *
 * Each kind has a struct with its fields, a pack and an unpack. Spans in an unpacked
 * message point into the frame. Numbers travel little-endian; a span as a 32-bit length
 * and its bytes.
 */
#ifndef SPEC_MESSAGES_H
#define SPEC_MESSAGES_H

#include "base/addr.h"
#include "base/buf.h"
#include "base/time.h"
#include "spec/limits.h"
#include "spec/roles.h"

/*
 * Links between roles of different programs (during an upgrade) work only while both
 * count the same: raise it whenever messages.def or an enum below changes.
 */
#define MESSAGES_VERSION 8

/*
 * DRAIN is said to edges of other versions, too, so it stays what it has been since this
 * one: its number and its fields (tests/unit/test_spec.c).
 */
#define DRAIN_SINCE 5

#define LISTENER_CONTROL 0xffff

enum message {
	MSG_NONE,
#define MESSAGE(id, ...) MSG_##id,
#include "spec/messages.def"
	MESSAGE_COUNT
};

/* Who may be at an end of a message. */
#define ROLE_ANY ROLE_NONE

struct message_row {
	const char *word;
	enum role from, to; /* ROLE_ANY: whoever */
	unsigned fds_min, fds_max;
	const char *doc;
};

extern const struct message_row message_table[MESSAGE_COUNT];

/* What a SUBMIT or DELIVER message needs of whoever takes it. */
#define MAIL_8BIT     (1u << 0) /* BODY=8BITMIME */
#define MAIL_BINARY   (1u << 1) /* BODY=BINARYMIME */
#define MAIL_UTF8     (1u << 2) /* SMTPUTF8 */
#define MAIL_TLS      (1u << 3) /* it came over TLS */
#define MAIL_AUTH     (1u << 4) /* its sender authenticated here */
#define MAIL_LOCAL    (1u << 5) /* it was handed in by a program of this machine */
#define MAIL_RET_HDRS (1u << 6) /* DSN: return headers only (RET=HDRS, RFC 3461) */
#define MAIL_RET_FULL (1u << 7)
#define MAIL_OURS     (1u << 8)	 /* made here: a DSN, a notice. Its sender gets no DSN */
#define MAIL_HOLD     (1u << 9)	 /* the store only: too many places, as auth said */
#define MAIL_TOLD     (1u << 10) /* the store only: its sender knows that it waits */

/* Those that an edge may say. */
#define MAIL_OF_EDGES                                                              \
	(MAIL_8BIT | MAIL_BINARY | MAIL_UTF8 | MAIL_TLS | MAIL_AUTH | MAIL_LOCAL | \
	 MAIL_RET_HDRS | MAIL_RET_FULL)

enum submitted {
	SUBMITTED_OK,	   /* on disk */
	SUBMITTED_NO_ROOM, /* 452 */
	SUBMITTED_FAILED,  /* 451 */
	SUBMITTED_TAKEN,   /* another message has this id: choose the next one */
	SUBMITTED_OVER,	   /* 451 4.7.1: far above what the account may send */
	SUBMITTED_NOT_OWN, /* 550 5.7.1: its sender, or From, is not its account's */
	SUBMITTED_COUNT
};

enum verdict {
	VERDICT_YES,	 /* 250 */
	VERDICT_NO,	 /* 550 5.1.1 */
	VERDICT_FULL,	 /* 452 4.2.2 */
	VERDICT_UNKNOWN, /* 451: the source does not answer, and nothing is remembered */
	VERDICT_FOREIGN, /* 554 5.7.1: not a domain of ours */
	VERDICT_FORGED,	 /* 550 5.7.1: a bounce for a message that we never sent */
	VERDICT_ASK,	 /* a look-up in the map only: ask the store with VERIFY */
	VERDICT_COUNT
};

/* Where mail for a recipient goes. */
enum hop {
	HOP_MAILDIR,
	HOP_DISCARD,
	HOP_LMTP_UNIX, /* target: an absolute path */
	HOP_LMTP,      /* target: host:port */
	HOP_SMTP,      /* target: host:port */
	HOP_MX,	       /* target: a domain, whose MX hosts take it (RFC 5321, 5.1) */
	HOP_COUNT
};

enum sasl_mechanism {
	SASL_PLAIN,
	SASL_LOGIN,
	SASL_SCRAM_SHA_256,
	SASL_SCRAM_SHA_256_PLUS,
	SASL_OAUTHBEARER,
	SASL_XOAUTH2,
	SASL_EXTERNAL,
	SASL_COUNT
};

/* As in AUTH: "SCRAM-SHA-256-PLUS". */
extern const char *const sasl_word[SASL_COUNT];

/* How a client that logs in is connected. */
#define AUTH_TLS (1u << 0)

enum authed {
	AUTHED_YES,   /* login says who it is */
	AUTHED_NO,    /* after `delay`: always the same text, whatever the reason */
	AUTHED_LATER, /* 454: too much to do, or the source of passwords does not answer */
	/* of IMAP and POP3 only: */
	AUTHED_ASK, /* the mailbox server is the judge: ask it, say AUTH_JUDGED. Unless `sure`, wait on */
	AUTHED_OVER, /* after `delay`: more sessions of this account than it may have */
	AUTHED_COUNT
};

/* What a mailbox server said to somebody's name and password. */
enum judged {
	JUDGED_YES,
	JUDGED_NO,
	JUDGED_NOT, /* it does not answer, or says "later" */
	JUDGED_COUNT
};

/* What came of opening a Maildir for POP3. */
enum box_result {
	BOX_OPEN_OK,
	BOX_LOCKED, /* another session has it (RFC 1939, 8: [IN-USE]) */
	BOX_NONE,   /* there is no such user here */
	BOX_FAILED,
	BOX_RESULTS
};

/* How a next hop is to be met. */
enum hop_tls {
	HOP_TLS_NONE,
	HOP_TLS_MAY,	/* if it is offered, with any certificate (RFC 7435) */
	HOP_TLS_MUST,	/* or it is not delivered */
	HOP_TLS_VERIFY, /* with a certificate that the system's authorities vouch for */
	HOP_TLS_DANE,	/* with one that authentic TLSA records name (RFC 7672) */
	HOP_TLS_COUNT
};

enum fetch_kind {
	FETCH_STS, /* edge; name: a domain. The body: its MTA-STS policy (RFC 8461) */
	FETCH_KEYS, /* auth; name: an issuer of conf.oauth. The body: its key set (RFC 7517) */
	/*
	 * auth; name likewise. text: a list of user, secret (both empty: no login) and
	 * token. The body: JSON (RFC 7662)
	 */
	FETCH_INTROSPECT,
	FETCH_KINDS
};

enum firewall_state {
	FIREWALL_OFF, /* firewall.enabled is false */
	FIREWALL_WORKS,
	FIREWALL_MISSING, /* no nft, or no right to use it; why says which */
	FIREWALL_FAILS,	  /* nft said no, or hung */
	FIREWALL_STATES
};

enum life_order {
	LIFE_RELOAD,
	LIFE_UPGRADE,
	LIFE_STOP,
	LIFE_RESTART, /* one role */
	LIFE_COUNT
};

/* clang-format off */
#define U8(name)        uint8_t name;
#define U16(name)       uint16_t name;
#define U32(name)       uint32_t name;
#define U64(name)       uint64_t name;
#define I64(name)       int64_t name;
#define WHO(name)       struct endpoint name;
#define TEXT(name, max) struct span name;
#define LIST(name, max) struct span name;
#define MESSAGE(id, word, from, to, fds_min, fds_max, doc, ...) struct msg_##id { __VA_ARGS__ };
#include "spec/messages.def"
#undef U8
#undef U16
#undef U32
#undef U64
#undef I64
#undef WHO
#undef TEXT
#undef LIST
/* clang-format on */

/* The frame: one byte of kind, then the fields. False in unpack: not a valid one. */
#define MESSAGE(id, ...)                                                 \
	void msg_##id##_pack(const struct msg_##id *m, struct buf *out); \
	MUST bool msg_##id##_unpack(struct span frame, struct msg_##id *out);
#include "spec/messages.def"

/* The kind of a frame, MSG_NONE if it has none that we know. */
enum message message_kind(struct span frame);

#endif
