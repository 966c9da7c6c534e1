#include "crypt/ticket.h"

#include "crypt/keyed.h"

#define UNTIL_SIZE (TICKET_SIZE - KEYED_HASH)

_Static_assert(TICKET_KEY == KEYED_KEY, "the key of a keyed hash");
_Static_assert(UNTIL_SIZE == sizeof(uint64_t), "until when, then the hash");

static void print_until(ms_t until, uint8_t out[UNTIL_SIZE])
{
	for (size_t i = 0; i < UNTIL_SIZE; i++)
		out[i] = (uint8_t)((uint64_t)until >> 8 * i);
}

static ms_t read_until(const uint8_t *p)
{
	uint64_t until = 0;

	for (size_t i = 0; i < UNTIL_SIZE; i++)
		until |= (uint64_t)p[i] << 8 * i;
	return (ms_t)until;
}

/* The first part keeps it apart from whatever else that key may be used for one day. */
static void hash(const uint8_t key[TICKET_KEY], const struct ticket *t,
		 const uint8_t until[UNTIL_SIZE], uint8_t out[KEYED_HASH])
{
	static const char *const word[TICKET_PURPOSES] = {
		[TICKET_MAILBOX] = "mailbox",
		[TICKET_AGAIN] = "mailbox again",
		[TICKET_MAIL] = "mail",
		[TICKET_HELD] = "mail to hold",
	};
	uint64_t edge = t->edge;
	struct span parts[] = { SPAN("holdfast ticket"), span_str(word[t->purpose]),
				span_of(&edge, sizeof(edge)), t->login,
				span_of(until, UNTIL_SIZE) };

	keyed_hash(key, parts, COUNT_OF(parts), out);
}

void ticket_make(const uint8_t key[TICKET_KEY], const struct ticket *t, ms_t until,
		 uint8_t out[TICKET_SIZE])
{
	print_until(until, out);
	hash(key, t, out, out + UNTIL_SIZE);
}

enum ticket_says ticket_check(const uint8_t key[TICKET_KEY], const struct ticket *t,
			      ms_t now, struct span said)
{
	uint8_t right[KEYED_HASH];

	if (said.n != TICKET_SIZE)
		return TICKET_FORGED;
	hash(key, t, said.p, right);
	if (!keyed_same(right, said.p + UNTIL_SIZE))
		return TICKET_FORGED;
	return now < read_until(said.p) ? TICKET_GOOD : TICKET_LATE;
}
