/*
 * asks - what sessions ask of other roles and of mailbox servers
 */
#ifndef EDGE_ASKS_H
#define EDGE_ASKS_H

#include "edge/conn.h"
#include "link/start.h"

/* ---- store_link.c ---------------------------------------------------------------------- */

void store_link_set(struct edge *e, struct link *link);
void store_link_lost(struct edge *e);
/* DO_VERIFY, DO_MAY_SEND, DO_SUBMIT, and for letter.c: DO_ROOM beyond memory. */
void store_verify(struct conn *c, struct span address);
void store_may_send(struct conn *c, struct span address);
void store_submit(struct conn *c);
void store_ask_spool(struct conn *c);
/* DO_DROP */
void store_drop(struct conn *c);
/* We drain: it is to give us nothing new to deliver. */
void store_tell_leaves(struct edge *e);
/* What it wanted the guard to remember is merged. */
void store_remembered(struct edge *e, size_t rows, size_t torn);
/* A nonce for the message under way, and another id for the next one. */
void store_next_id(struct conn *c);
/* Messages were put on the link: watch for room if it needs it. */
void store_sent(void *edge);
/* Is there a link with room? Then the message that was begun can be sent. */
bool store_can_send(const struct edge *e);
MUST bool store_send(struct edge *e);

/* ---- box_link.c ------------------------------------------------------------------------ */

/*
 * For POP3 without a mailbox server: have the Maildir of session_login() opened. False: the
 * store cannot be asked, and nothing follows; else IN_BACKEND does, with what box_fill() says.
 */
MUST bool box_open(struct conn *c);
/* DO_TEXT, DO_REMOVE */
void box_text(struct conn *c, uint32_t number);
void box_remove(struct conn *c);
/* What the session may see of it in a step, and what it took. */
void box_fill(struct conn *c, struct session_in *in);
void box_settle(struct conn *c, const struct session_out *out);
/* The session is over, or nobody is logged in any more. */
void box_end(struct conn *c);
/* BOX_IS, BOX_TEXT, BOX_CLOSED. False: it makes no sense. */
MUST bool box_take(struct edge *e, struct frame *f);
/* The store is gone, and its boxes with it; another one is there. */
void box_link_lost(struct edge *e);
void box_link_set(struct edge *e);

/* ---- auth_link.c ----------------------------------------------------------------------- */

#define AUTH_DELAY_MAX ((uint32_t)MS_MINUTE) /* as auth.delay-max */

void auth_link_set(struct edge *e, struct link *link);
void auth_link_lost(struct edge *e);
/* DO_AUTH, DO_AUTH_MORE */
void auth_ask(struct conn *c, const struct session_credentials *with);
void auth_more(struct conn *c, struct span text);
/* The exchange is over, whoever ended it, and so is waiting for it. */
void auth_over(struct conn *c);
/* The answer, for the step in which the session hears it; and after that. */
void auth_fill(struct conn *c, struct session_in *in);
void auth_heard(struct conn *c);
/*
 * What the mailbox server said to AUTHED_ASK of that login. Another AUTHED follows, or none is
 * needed: then the session hears it at once.
 */
void auth_judged(struct conn *c, enum judged how, struct span login);
/* A session that auth let in to IMAP or POP3 is over. */
void auth_left(struct conn *c);
/*
 * What the store wants to see of who has logged in, and another one instead of it: empty, or
 * TICKET_SIZE bytes. False: there is no memory, and it has none now.
 */
struct span auth_ticket(const struct conn *c);
MUST bool auth_keep_ticket(struct conn *c, struct span ticket);
void auth_drop_ticket(struct conn *c);
/* A new auth hears who is reading mail, as far as its link takes it now. */
void auth_tell_held(struct edge *e);
/* For the deliveries: deliveries_setup.ask_credential. */
bool auth_ask_credential(void *edge, uint64_t ask, struct span name);

/* ---- mailbox.c ------------------------------------------------------------------------- */

/*
 * Who logs in to IMAP or POP3, and the mailbox server behind. DO_AUTH: what was given is kept,
 * apart and for as long as it takes to log in there, then wiped.
 */
void mailbox_keep(struct conn *c, const struct session_credentials *with);
/*
 * Auth has been asked. Who came in from there the last time is expected to again: the mailbox
 * server is called meanwhile, but hears nothing of the login.
 */
void mailbox_expect(struct conn *c, struct span user);
/* What came of it. */
void mailbox_authed(struct conn *c, bool let_in);
/* AUTHED_ASK: the mailbox server of that login is to judge it; auth_judged() follows. */
void mailbox_judge(struct conn *c, struct span login);
/* DO_BACKEND: IN_BACKEND follows; and what it is to hear, for that step. */
void mailbox_open(struct conn *c);
void mailbox_fill(struct conn *c, struct session_in *in);
/* DO_RELAY, once the output is written: bytes only from here on. */
void mailbox_relay(struct conn *c);
/* While it relays: the client's stream may be read or written, c->timer has come. */
void mailbox_ready(struct conn *c);
void mailbox_time(struct conn *c);
/* It reads IMAP, and can hear a word of ours now: there is nothing else on its way. */
bool mailbox_can_hear(const struct conn *c);
/* The session is over: let go of whatever there is. Harmless if there is nothing. */
void mailbox_end(struct conn *c);
/* IMAP: what the mailbox servers offer before a login, as far as that is known. */
struct span mailbox_offers(const struct edge *e);
/* What was relayed so far: to the mailbox server, and from it; and its name. */
struct span mailbox_relayed(const struct conn *c, uint64_t *up, uint64_t *down);

/* Before the sandbox closes, behind the deliveries, whose resolver and authorities it uses. */
MUST bool mailboxes_open(struct edge *e, struct err *err);
void mailboxes_close(struct edge *e);
/* e->rules are about to be let go for these. */
void mailboxes_reconf(struct edge *e, const struct conf *conf);
/* Connections that are on their way to mailbox servers. */
size_t mailboxes_calls(const struct edge *e);
/* The answer to LOCATE; the store, who would answer, is gone. */
void mailbox_located(struct edge *e, uint64_t ask, struct span name);
void mailbox_not_located(struct edge *e);
/* CREDENTIAL_IS. False: it was not asked for by us. */
bool mailbox_credential(struct edge *e, uint64_t ask, bool ok, struct span user,
			struct span secret);

#endif
