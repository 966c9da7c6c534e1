/*
 * dialogue - what a session says, whatever the protocol
 *
 * session.c, triage.c and login.c know when something is to be said, and which row of
 * spec/replies.def it is; how it looks on the wire is for the protocol of the listener:
 * mx.c for SMTP, imap.c for IMAP. They reach it through one struct dialogue, and it
 * comes to them through what is declared here. Part of the inside of a session: nobody
 * else includes this.
 */
#ifndef SESSION_DIALOGUE_H
#define SESSION_DIALOGUE_H

#include "session/session.h"

struct step;

struct dialogue {
	/* Be ready for the first command of a peer of whom nothing is known. */
	void (*start_over)(struct session *s);
	/* Print the greeting. */
	void (*greet)(struct step *t);
	/* Talk with the peer until the input is used up, a question is open or it is over. */
	void (*talk)(struct step *t);
	/* Print the answer to what was asked last; more follows its text. */
	void (*reply)(struct session *s, enum reply r, struct span more, struct buf *out);
	/* Likewise the challenge of an exchange; at most SMTP_CHALLENGE_MAX. */
	void (*challenge)(struct session *s, struct span text, struct buf *out);
	/* What is said last, whatever was asked. */
	void (*last_word)(enum reply r, struct span more, struct buf *out);
	/* The peer has logged in: session_login(). */
	void (*logged_in)(struct step *t);
	/* The answer to DO_BACKEND; NULL in SMTP, which never orders that. */
	void (*backend)(struct step *t, const struct session_backend *b);
};

extern const struct dialogue mx_dialogue, imap_dialogue, pop3_dialogue;

/* Of that service; NULL: we have none. */
const struct dialogue *dialogue_of(enum service service);

/* Nothing is known of the peer (any more, after TLS), and it may speak; */
void dialogue_start_over(struct step *t);
/* likewise, once it has heard our greeting. */
void dialogue_greet(struct step *t);
/* The peer has anew its time for a command. */
void dialogue_listen(struct step *t);
/* Print the answer, and listen. */
void dialogue_say(struct step *t, enum reply r, struct span more);
/* Answer what was asked last, and count it. what: for the log. */
void dialogue_answer(struct step *t, enum reply r, struct span what);
/* Likewise, because of a rule of the guard. */
void dialogue_answer_by(struct step *t, enum rule r, struct span what);
/* It is an offence to be answered like this. */
void dialogue_refuse(struct step *t, enum reply r, enum event e, struct span what);
/* Hold this back for a while, */
void dialogue_hold(struct step *t, enum reply r, ms_t how_long);
/* and say it. */
void dialogue_say_held(struct step *t);
/* A line that is no command: answer it. lost: what is behind it makes no sense. */
void dialogue_bad(struct step *t, enum event odd, enum reply say, struct span text,
		  bool lost);
/* One more command is answered with 5xx. True: that is one too many. */
bool dialogue_count_error(struct step *t);
/* One more command that leads nowhere. True: one too many, and the session is over. */
bool dialogue_too_much_junk(struct step *t);

/*
 * One of the first commands of who reads mail, before the login. Their order tells programs
 * apart. last: it logs in, and what comes after it tells nothing.
 */
void dialogue_note_order(struct session *s, unsigned verb, bool last);

/* There is no mailbox server for it after all: it hears why, and is nobody again. */
void dialogue_no_mailbox(struct step *t, enum session_backend_result why);

/* Is TLS there to be asked for? */
bool dialogue_offers_tls(const struct session *s);
/* It was: STARTTLS, STLS. */
void dialogue_starttls(struct step *t);
/* Before each command: we are stopping, and this session has nothing to finish. */
bool dialogue_stops(struct step *t);

#endif
