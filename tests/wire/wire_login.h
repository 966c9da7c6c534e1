/*
 * wire_login - what .wire scripts say about who logs in
 *
 *     auth offers PLAIN SCRAM-SHA-256      conf.mechanisms
 *     auth says yes|no|over|later|nothing  what comes of an exchange from now on
 *     auth login alice@here.example        who it is then
 *     auth event auth-failed               what the client did, as auth has it
 *     auth delay 2s                        a refusal waits so long
 *     auth challenge TEXT                  is said first, once in each exchange; also several
 *     auth last TEXT                       its last words
 *     backend says ready CAPABILITIES      what the mailbox server says to who has logged in;
 *     backend says denies|limits|down|nothing      or that
 *     backend offers CAPABILITIES          to who has not
 *     a named NAME                         what it says it is (EHLO, ID)
 *     relay none|mx                        delivery.relay
 *     relay DOMAIN none|mx                 a section of relays
 *     a gave PLAIN  alice secret           mechanism, authzid, user and secret that auth was
 *                                          given, or the text that was handed on to it
 *     a logged in as alice@here.example    or: a logged in as nobody
 *     a not own info@here.example          the address that was let pass
 */
#ifndef TESTS_WIRE_LOGIN_H
#define TESTS_WIRE_LOGIN_H

#include "tests/kit/stage.h"

/* NULL: it was one of them, and all is well; else what is wrong. */
const char *wire_auth(struct stage *g, struct span text);
const char *wire_backend(struct stage *g, struct span text);
const char *wire_relay(struct stage *g, struct span text);
/* The words behind the peer's name. */
const char *wire_peer_login(struct stage_peer *p, struct span word, struct span text);

#endif
