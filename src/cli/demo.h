/*
 * demo - a whole server in a directory, for the demo command's own files
 */
#ifndef CLI_DEMO_H
#define CLI_DEMO_H

#include <limits.h>
#include <sys/types.h>

#include "cli/ask.h"
#include "cli/secret.h"

#define DEMO_DOMAIN "example.test"
#define DEMO_HOST   "mx.example.test"
#define DEMO_SETS   32
#define DEMO_PATH   (PATH_MAX - 256) /* so that what is below it has room */

struct demo {
	struct cli *cli;
	/* what was asked for */
	const char *password; /* NULL: random ones */
	const char *set[DEMO_SETS];
	size_t set_count;
	unsigned port_base;
	bool once;
	/* what there is */
	char dir[DEMO_PATH]; /* absolute */
	char config[PATH_MAX];
	char program[PATH_MAX]; /* what to type for this program */
	char errors[PATH_MAX];	/* what the server writes to stderr */
	pid_t server;		/* 0: none */
	bool imap;		/* there is a Dovecot behind us */
	pid_t dovecot;		/* 0: none */
	char dovecot_log[PATH_MAX];
	char master[SECRET_RANDOM];	   /* with which we log in there */
	char passwords[2][SECRET_MAX + 1]; /* alice's, bob's */
};

#define DEMO_USERS 2
extern const char *const demo_user[DEMO_USERS];

/* The usual ports, above port_base. */
enum demo_port {
	DEMO_SMTP = 25,
	DEMO_POP3 = 110,
	DEMO_IMAP = 143,
	DEMO_SUBMISSION = 587,
	DEMO_IMAPS = 993,
	DEMO_POP3S = 995,
	DEMO_DOVECOT = 1143, /* for us only */
};

static inline unsigned demo_port(const struct demo *d, enum demo_port which)
{
	return d->port_base + (unsigned)which;
}

/* ---- demo_files.c: the directory, the configuration, the certificate ---------------- */

/* Choose and make the directory. */
MUST bool demo_choose_dir(struct demo *d, struct err *err);
/* What is in it before the server starts. */
MUST bool demo_files(struct demo *d, struct err *err);
/* As whom the store runs, to whom the Maildirs belong. */
unsigned demo_store_uid(void);
MUST bool demo_write(const char *path, mode_t mode, struct span text, struct err *err);

/* ---- demo_server.c: the server as a child ------------------------------------------- */

/* How this program can be called: by its name, if that finds it, or by its path. */
void demo_name_program(struct demo *d);
/* From now on SIGINT and SIGTERM are for demo_interrupted() and demo_serve(). */
void demo_take_signals(void);
bool demo_interrupted(void);
MUST bool demo_start(struct demo *d, struct err *err);
/* Until every role serves. */
MUST bool demo_wait_ready(struct demo *d, struct err *err);
/* Until a signal says that it is enough, or the server ends. False: it ended by itself. */
MUST bool demo_serve(struct demo *d, struct err *err);
/* Let it finish, and wait for it. */
void demo_stop(struct demo *d);
/* Wait a moment for something; false: the server ended, or somebody is tired of it. */
MUST bool demo_pause(struct demo *d, struct err *err);

/* ---- demo_talk.c: a connection to the server ------------------------------------------ */

/* To loopback; blocks, and waits 30 s for an answer. -1: no. */
MUST int demo_connect(unsigned port, struct err *err);
/* What has come, as far as there is room; at least one byte. */
MUST bool demo_hear(int fd, void *mem, size_t room, size_t *n, struct err *err);

/* ---- demo_mail.c: one real message --------------------------------------------------- */

struct demo_mail {
	char id[64];	     /* of its Message-ID */
	char reply[256];     /* what the server said to it */
	char path[PATH_MAX]; /* where it was found */
};

/* Send a message to alice over SMTP. */
MUST bool demo_send(struct demo *d, struct demo_mail *mail, struct err *err);
/* Find it in her Maildir. */
MUST bool demo_find(struct demo *d, struct demo_mail *mail, struct err *err);
/* Show it as it is on disk. */
MUST bool demo_show(const struct demo_mail *mail, struct err *err);

/* ---- demo_dovecot.c: IMAP ------------------------------------------------------------- */

/* NULL: there can be IMAP. */
const char *demo_why_no_imap(const struct demo *d);
MUST bool demo_dovecot_start(struct demo *d, struct err *err);
/* Has it? Then err says so. */
bool demo_dovecot_ended(struct demo *d, struct err *err);

/* ---- demo_read.c: reading mail ---------------------------------------------------------- */

/* Until it greets whoever connects. */
MUST bool demo_dovecot_wait(struct demo *d, struct err *err);
/* Log in as alice and find her message, over POP3 and, if there is IMAP, over that. */
MUST bool demo_read(struct demo *d, const struct demo_mail *mail, struct err *err);

#endif
