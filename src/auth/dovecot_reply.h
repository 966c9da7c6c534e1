/*
 * dovecot_reply - what Dovecot's auth service says, line by line
 *
 * Version 1 of its client protocol: fields with tabs between them, in which a tab, a line
 * end or \001 is written as \001 and a letter. A line that we do not know is for newer
 * clients, and no mistake.
 */
#ifndef AUTH_DOVECOT_REPLY_H
#define AUTH_DOVECOT_REPLY_H

#include "base/attr.h"
#include "base/span.h"

#define DOVECOT_LINE_MAX 8192

enum dovecot_kind {
	DOVECOT_VERSION, /* number: the major one */
	DOVECOT_MECH,	 /* name */
	DOVECOT_DONE,	 /* the greeting is over */
	DOVECOT_OK,	 /* number: whose */
	DOVECOT_FAIL,
	DOVECOT_CONT,
	DOVECOT_OTHER,
	DOVECOT_BROKEN,
};

struct dovecot_reply {
	enum dovecot_kind kind;
	uint32_t number;
	struct span name;
	bool temporary; /* FAIL: it could not find out */
	bool disabled;	/* FAIL: user_disabled, or nologin with OK */
};

/* line: without its end. */
struct dovecot_reply dovecot_reply(struct span line);

#endif
