/*
 * maildir - a message becomes a file in a mailbox, once
 *
 * The name of the file comes from the queue id and the recipient's number, so a delivery
 * that is repeated after a crash finds its own file and does nothing. A message is there
 * only when its bytes and its name are on disk: written to tmp, synced, renamed to new,
 * and the directory synced.
 *
 * Lines end with LF in the file, as Maildir readers expect it; but what came as binary
 * (BODY=BINARYMIME) keeps each byte, because its LFs and CRLFs are not the same. The name says how large it
 * is so (S=) and with CRLF (W=), as Dovecot and Courier have it: POP3 tells the latter.
 */
#ifndef STORE_MAILDIR_H
#define STORE_MAILDIR_H

#include "base/buf.h"
#include "base/err.h"

#define MAILDIR_PATH_MAX 1024
#define MAILDIR_NAME_MAX 255
#define MAILDIR_BATCH	 64 /* mails of one maildir_deliver() */

/* Where Maildirs are: the part of the pattern before the first %, opened, and the rest. */
struct maildirs {
	int root; /* -1: not there; tried again at each delivery */
	char root_path[MAILDIR_PATH_MAX];
	char pattern[MAILDIR_PATH_MAX];
};

/* pattern: an absolute path with %d and %u in it; "" for DIR/mail/%d/%u. */
MUST bool maildirs_open(struct maildirs *m, const char *dir, const char *pattern,
			struct err *err);
void maildirs_close(struct maildirs *m);

/*
 * The path of a mailbox below the root. False if user or domain would make another path
 * than the pattern says: a slash, a NUL, a part that is empty, "." or "..", too long.
 */
MUST bool maildirs_path(const struct maildirs *m, struct span mailbox, struct buf *out);

/* "1700000000.Q0123456789abc_0.mx.example" of that message and recipient. */
void maildir_name(int64_t wall, uint64_t id, uint32_t number, struct span hostname,
		  struct buf *out);

/* One copy for one mailbox. */
struct mail {
	/* to be set */
	struct span path;    /* of the mailbox, from maildirs_path() */
	struct span name;    /* from maildir_name() */
	struct span sender;  /* "" for the null sender */
	struct span address; /* for Delivered-To */
	struct span body;    /* inline, or */
	int spool;	     /* a descriptor of the body, else -1; not closed */
	bool binary;	     /* no line of it is changed */
	bool again; /* it may have been delivered before: look for it in cur, too */
	/* set by maildir_deliver() */
	bool delivered;
	bool found; /* it was there already */
	int64_t size;
	uint64_t wire_size;
	char why[96]; /* if not delivered */
	/* for maildir_deliver() itself */
	int box, tmp, new, fd;
	bool written;
};

/* Deliver up to MAILDIR_BATCH of them; syncs as few times as possible. Blocks: for threads. */
void maildir_deliver(struct maildirs *m, struct mail **mails, size_t count);

/*
 * For who reads mailboxes: that one, below the root, and a directory in it. -1: errno says
 * why. Nothing is made, and no part may be a link.
 */
int maildir_open(struct maildirs *m, struct span path);
int maildir_open_dir(int at, const char *name);

/*
 * How many bytes are in that mailbox and its folders, by the S= of the names where they
 * have it. 0 for one that does not exist yet. False: it cannot be read.
 */
MUST bool maildir_usage(struct maildirs *m, struct span path, int64_t *out);

#endif
