/*
 * inside - what the parts of an inbound session share
 *
 * session*.c know when a session begins, waits and ends; mx.c, imap.c and pop3.c what a peer
 * may say and what is answered (dialogue.h); triage.c what is thought of it; mail.c what
 * becomes of a message. Nobody else includes this.
 */
#ifndef SESSION_INSIDE_H
#define SESSION_INSIDE_H

#include "session/dialogue.h"
#include "session/session.h"

/* session.marks */
#define MARK_MAIL      (1u << 0) /* a transaction is under way */
#define MARK_ESMTP     (1u << 1) /* greeted with EHLO */
#define MARK_GREETED   (1u << 2) /* we said 220 */
#define MARK_EARLY     (1u << 3) /* the peer spoke before that */
#define MARK_EOF       (1u << 4) /* the peer will send nothing more */
#define MARK_STOP      (1u << 5) /* we are stopping */
#define MARK_TLS_READY (1u << 6)
#define MARK_XCLIENT   (1u << 7)  /* XCLIENT is allowed */
#define MARK_RCPT_OVER (1u << 8)  /* too many recipients was said in this transaction */
#define MARK_NO_ROOM   (1u << 9)  /* the envelope cannot grow */
#define MARK_ASKED     (1u << 10) /* we waited for look-ups, and shall not again */
#define MARK_FACTS     (1u << 11) /* what they told was reported */
/* what access lists say */
#define MARK_HELO_BAD  (1u << 12)
#define MARK_HELO_GOOD (1u << 13)
#define MARK_PTR_BAD   (1u << 14)
#define MARK_PTR_GOOD  (1u << 15)
#define MARK_FROM_GOOD (1u << 16) /* of the sender under way */
#define MARK_UNHEARD   (1u << 17) /* we had not greeted it yet when we began to stop */
/* who it is */
#define MARK_LOGGED_IN	(1u << 18)
#define MARK_LOCAL	(1u << 19) /* over a socket of this machine */
#define MARK_ANY_SENDER (1u << 20)
#define MARK_WELCOME	(1u << 22) /* it is let in once it has heard our last words */
/* of the message under way */
#define MARK_FROM_DONE (1u << 23) /* the From field was judged */
#define MARK_AT_END    (1u << 24) /* all of it is there; it goes on once that is so */

/* How long we wait for another role before the peer hears that we failed. */
#define ROLE_WAIT      (60 * MS_SECOND)
#define PROXY_WAIT     (10 * MS_SECOND)
#define RATE_GRACE     (30 * MS_SECOND) /* no minimum rate before this */
#define BODY_ROOM_MIN  512 /* with less room in the body, more is asked for */
#define FIX_UP_MAX     400 /* the fields that we add behind a header */
#define MECHANISMS_MAX 128 /* the names of all of them */
#define CHUNK_SLACK \
	(16u << 20) /* a chunk may be so far above the limit and is swallowed */

/* One step under way. */
struct step {
	struct session *s;
	const struct dialogue *how;
	const struct session_in *in;
	const struct standing *standing; /* never NULL */
	struct span left;		 /* not yet consumed */
	ms_t now;
	struct session_out *out;
};

/* Report what the peer did: the one place for it. */
void session_see(struct step *t, enum event e);
/* Likewise, if it is the first time in this session. */
void session_see_once(struct step *t, enum event e);
/* End the session, in silence or with a last word. */
void session_end(struct step *t, enum end why);
void session_end_with(struct step *t, enum reply r, enum end why);
/* A rule of the guard ends it. */
void session_end_by(struct step *t, enum rule r);
/* Can it hear now that it ends, and lose nothing by it? */
bool session_may_end(const struct session *s);
/* There is nothing more to read now. If nothing more will come, it has hung up. */
void session_await_bytes(struct step *t);
/* We wait in this phase until then. */
void session_wait(struct step *t, enum session_phase phase, ms_t deadline);
struct span session_host(const struct session *s);
/* Who has logged in wants a mailbox server, */
void session_ask_backend(struct step *t);
/* and from here on talks with it. */
void session_relay(struct step *t);

/* Which offence is it to be answered like this? */
enum event mx_offence(enum reply r);

/* MAIL and RCPT, and the answers to questions about them. */
void transaction_mail(struct step *t, const struct smtp_event *ev);
void transaction_rcpt(struct step *t, const struct smtp_event *ev);
void transaction_verdict(struct step *t, enum verdict v);

/* Which mechanisms may be used now; none: 0. */
unsigned login_mechanisms(const struct session *s);
/* Their names, as wire/sasl prints them. mem: MECHANISMS_MAX. */
struct span login_print_mechanisms(const struct session *s, void *mem);
/* Are plain passwords among what they take? */
bool login_takes_passwords(const struct session *s);
/* AUTH, AUTHENTICATE: the mechanism and, perhaps, the first message. */
void login_auth(struct step *t, struct span argument);
/* A line of an exchange; odd: it is none. */
void login_answer(struct step *t, enum event odd, struct span text);
/* LOGIN, USER and PASS: a name and a password, both in the room that was lent. */
void login_password(struct step *t, struct span user, struct span secret);
/* May it log in now? If not, it has heard so. */
bool login_may(struct step *t);
/* What auth said, or that it says nothing. */
void login_challenge(struct step *t);
void login_authed(struct step *t);
void login_later(struct step *t);
/* It is nobody again: the dialogue begins anew. */
void login_forget(struct session *s);

/* Is this mail of our users, with the rules of RFC 6409? */
bool submission_is(const struct session *s);
/* Does mail to that domain, which is not ours, go out? */
bool submission_goes_out(const struct conf *conf, struct span domain);
/* MAIL was read: say that it is good, or ask whether its sender is. */
void submission_sender(struct step *t);
/* Some more of the header was put into the letter. was_open: it was not over before that. */
void submission_header(struct step *t, bool was_open);
/* The message is there. True: it can go on. */
bool submission_end(struct step *t);
/* The answer to DO_MAY_SEND. */
void submission_verdict(struct step *t, enum verdict v);

/* A box is open: serve it. */
void maildrop_begin(struct step *t, const struct session_backend *b);
/* A command of an open one, and the answers to questions about it. */
void maildrop_command(struct step *t, const struct pop3_event *ev);
void maildrop_quit(struct step *t);
void maildrop_text(struct step *t);
void maildrop_removed(struct step *t);
/* Go on with an answer of many lines. False: not now. */
bool maildrop_go_on(struct step *t);

/* Limits as they are now. */
ms_t triage_command_time(const struct step *t);
ms_t triage_data_time(const struct step *t);
ms_t triage_tls_time(const struct step *t);
/* Does it come in without waiting for our greeting? */
bool triage_greets_at_once(const struct step *t);
/* Is this rule watched only? Then it is noted that it would have refused. */
bool triage_observes(struct step *t, enum rule r);
/* What follows the text of its reply. mem: RULE_TEXT_MAX. */
struct span triage_rule_text(const struct step *t, enum rule r, void *mem);
/* It is time to end this session for what is thought of the client. */
bool triage_is_over(const struct step *t);
/* Report what look-ups told, as soon as they have. */
void triage_learn(struct step *t);
/* Must we wait for look-ups before we read on? Then it was ordered. */
bool triage_waits(struct step *t);
/* The look-ups are over, or took too long. */
void triage_waited(struct step *t, bool too_long);
/* The client turned out to be somebody else. */
void triage_start_over(struct step *t);
/* What is to be thought of the name that it gave? */
void triage_hello(struct step *t);
/* True: refused, and answered. */
bool triage_sender(struct step *t, struct span address, struct span as_said);
bool triage_rcpt(struct step *t, struct span address, struct span as_said);

/* MAIL was accepted: from is the first item of the envelope. */
void mail_begin(struct step *t, struct span from, unsigned flags);
/* Append a recipient to the envelope, and take the last one off again. */
void mail_put_rcpt(struct step *t, struct span item);
void mail_take_back_rcpt(struct step *t, size_t n);
struct span mail_sender(const struct step *t);
bool mail_has_rcpt(const struct step *t, struct span address);
/* Did it give the null sender? */
bool mail_is_bounce(const struct step *t);
/* Is there a letter with room for one more? */
bool mail_has_envelope_room(const struct step *t);

/* DATA or the first BDAT: the body begins with our trace field. */
void mail_begin_text(struct step *t);
/* The next piece of the input that fits into the body, whatever becomes of it. */
struct span mail_view(const struct step *t);
bool mail_wants_room(const struct step *t);
void mail_text(struct step *t, struct span text);
/* The message under way will be refused at its end. */
void mail_fault(struct step *t, enum reply r, enum event e);
/* A chunk or the whole message is there, with SMTP_HAS_ bits. */
void mail_chunk_end(struct step *t, unsigned marks);
void mail_text_end(struct step *t, unsigned marks);
/* All that was asked about it is answered: refuse it, or give it to the store. */
void mail_finish(struct step *t);
void mail_submitted(struct step *t, enum submitted how);
/* Report what was odd about the message under way, once. */
void mail_see_marks(struct step *t);
/* Is it so far above the limit that it is time to hang up? */
bool mail_goes_on_too_long(const struct step *t);

/* The transaction is over, without a message. */
void mail_drop(struct step *t);

#endif
