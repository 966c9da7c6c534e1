/*
 * box - what the list of a Maildir looks like on its way from the store to an edge
 *
 * An array of these in a sealed memfd (MSG_BOX_IS), in the order of POP3's message numbers.
 */
#ifndef SPEC_BOX_H
#define SPEC_BOX_H

#include <stdint.h>

#define BOX_UID_MAX 70 /* RFC 1939, 7 */

struct box_item {
	uint64_t size; /* in octets, with CRLF, as RETR will send it but for the dots */
	uint8_t uid_n;
	char uid[BOX_UID_MAX]; /* 0x21 to 0x7e */
};

#endif
