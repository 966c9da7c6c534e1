/*
 * wire_guard - the words of a script that say what is thought of clients
 *
 *     guard passed | known-good | allowed    of all peers, from now on
 *     guard late RULE | over RULE            senders and recipients are refused; it ends
 *     guard delay 2s                         answers to offences are held back
 *     guard no-handshakes                    those of this second are used up
 *     guard command-timeout 5s | data-timeout 5s | errors 2 | junk 2      with little room
 *     guard code no                          clients have none; else X7K2Q9M, or so
 *     guard fine                             nothing of all that
 *     guard none                             there is none
 *     guard observes RULE                    before the first peer
 *     facts none | pending                   what look-ups tell; known answers who waits
 *     facts known no-ptr forged failed listed=100 welcomed=10 name=mail.example
 *     access OF permit|deny NAME             OF: sender, recipient, helo, ptr
 */
#ifndef TESTS_WIRE_GUARD_H
#define TESTS_WIRE_GUARD_H

#include "tests/kit/stage.h"

#define GUARD_LISTED_MAX 8

struct wire_lists {
	size_t count;
	struct {
		int of, answer;
		char name[128];
	} entries[GUARD_LISTED_MAX];
	void *blob;
};

/* NULL, or what is wrong with the line behind its first word. */
const char *wire_guard(struct stage *g, struct span text);
const char *wire_facts(struct stage *g, struct span text);
const char *wire_access(struct stage *g, struct wire_lists *l, struct span text);
void wire_lists_close(struct wire_lists *l);

#endif
