/*
 * sendmail - what the parts of `holdfast sendmail` share
 *
 * The program that others call to send mail from this machine, with the options that they
 * know from sendmail(8). It hands the message to the server over a socket of this machine,
 * where the kernel says who it is, and needs no rights. All recipients are taken or none,
 * so that a caller may try again.
 */
#ifndef CLI_SENDMAIL_H
#define CLI_SENDMAIL_H

#include <stdio.h>

#include "base/attr.h"
#include "spec/limits.h"
#include "wire/address.h"

#define SENDMAIL_SOCKET	    "/run/holdfast/submit.sock"
#define SENDMAIL_HEADER_MAX (1 << 20)

/* What the options say. Texts are the caller's. */
struct sendmail {
	bool from_header; /* -t */
	bool keep_dots;	  /* -i */
	bool verbose;
	bool sender_given;
	const char *sender; /* -f */
	const char *name;   /* -F */
	const char *notify, *ret, *envid;
	bool eight_bit;
	const char *socket, *config;
};

/* ---- sendmail_talk.c: the dialogue. What goes wrong is said on stderr, and is an exit code. */

struct talk {
	int fd;
	FILE *in, *out; /* over fd; the talk stays where it was opened */
	bool verbose;
	char host[DOMAIN_MAX + 1]; /* as the server calls itself */
	char text[1100];	   /* of the last reply */
};

MUST int talk_open(struct talk *t, const char *path, bool verbose);
void talk_close(struct talk *t);
/* Say a command and hear its reply; 0 for one that begins with `want`, else an exit code. */
MUST int talk_say(struct talk *t, char want, const char *fmt, ...) PRINTF(3, 4);
/* A line of the message; its dot is doubled. */
MUST int talk_line(struct talk *t, const char *line, size_t n);
/* SMTP on standard input and output (-bs). */
MUST int talk_bridge(const char *path);

/* ---- sendmail_letter.c: the message on standard input ---- */

struct sendmail_letter {
	char *head; /* fields that go on, each line with its LF */
	size_t head_n;
	char *to; /* what recipient fields say, for -t */
	size_t to_n;
	bool has_from, has_to, has_bcc;
	bool eight_bit;
	char *first; /* the line that ended the header and belongs to the body; NULL: none */
	size_t first_n;
	bool over; /* nothing is behind the header */
};

MUST int letter_read(const struct sendmail *s, FILE *in, struct sendmail_letter *l);
MUST int letter_send(const struct sendmail *s, FILE *in, const struct sendmail_letter *l,
		     const struct address *from, struct talk *t);
void letter_free(struct sendmail_letter *l);

#endif
