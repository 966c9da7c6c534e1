#include "guard/code.h"

#include "base/siphash.h"

#define BITS   30
#define DIGITS 6

/* Crockford's: no I, L, O, U. */
static const char digits[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/*
 * Clients see it, so it has a key of its own: of how the tables are hashed it must tell
 * nothing.
 */
uint32_t code_hash(const struct memory *m, struct guard_key k)
{
	const uint64_t key[2] = { m->key[0] ^ UINT64_C(0x65646f636c666c48),
				  m->key[1] ^ UINT64_C(0x646e6168736e6f63) };
	uint8_t bytes[9];

	for (unsigned i = 0; i < 8; i++)
		bytes[i] = (uint8_t)(k.prefix >> (8 * i));
	bytes[8] = k.kind;
	return (uint32_t)(siphash(key, span_of(bytes, sizeof(bytes))) >> (64 - BITS));
}

void code_make(const struct memory *m, enum rule rule, const struct addr *a,
	       char out[CODE_MAX])
{
	uint32_t h = code_hash(m, guard_key_of(a, LEVEL_CLIENT));
	bool known = rule > RULE_NONE && rule < RULE_COUNT;

	_Static_assert(CODE_LENGTH == DIGITS + 1, "a letter and the digits");
	_Static_assert(CODE_LENGTH < CODE_MAX, "and the NUL");
	memset(out, 0, CODE_MAX);
	out[0] = known ? rule_table[rule].letter : '?';
	for (unsigned i = 0; i < DIGITS; i++)
		out[1 + i] = digits[h >> (BITS - 5 - 5 * i) & 31];
}

static char upper(uint8_t c)
{
	return (char)(c >= 'a' && c <= 'z' ? c - 'a' + 'A' : c);
}

/* -1: not a digit. */
static int digit_of(char c)
{
	const char *at;

	if (c == 'O')
		c = '0';
	else if (c == 'I' || c == 'L')
		c = '1';
	at = c ? strchr(digits, c) : NULL;
	return at ? (int)(at - digits) : -1;
}

/* The letter may have been misread as well: no rule's letter is a digit. */
static enum rule rule_of(char c)
{
	return rule_of_letter(c == '0' ? 'O' : c == '1' ? 'L' : c);
}

bool code_parse(struct span text, enum rule *rule, uint32_t *hash)
{
	enum rule r;
	uint32_t h = 0;

	if (text.n != CODE_LENGTH)
		return false;
	r = rule_of(upper(text.p[0]));
	if (r == RULE_NONE)
		return false;
	for (unsigned i = 1; i < CODE_LENGTH; i++) {
		int d = digit_of(upper(text.p[i]));

		if (d < 0)
			return false;
		h = h << 5 | (uint32_t)d;
	}
	*rule = r;
	*hash = h;
	return true;
}
