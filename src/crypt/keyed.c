#include "crypt/keyed.h"

#include <sodium.h>

void keyed_random(void *out, size_t n)
{
	randombytes_buf(out, n);
}

void keyed_hash(const uint8_t key[KEYED_KEY], const struct span *parts, size_t count,
		uint8_t out[KEYED_HASH])
{
	crypto_generichash_state state;

	crypto_generichash_init(&state, key, KEYED_KEY, KEYED_HASH);
	for (size_t i = 0; i < count; i++) {
		uint64_t n = parts[i].n;

		crypto_generichash_update(&state, (const uint8_t *)&n, sizeof(n));
		if (n)
			crypto_generichash_update(&state, parts[i].p, n);
	}
	crypto_generichash_final(&state, out, KEYED_HASH);
	sodium_memzero(&state, sizeof(state));
}

bool keyed_same(const uint8_t a[KEYED_HASH], const uint8_t b[KEYED_HASH])
{
	return sodium_memcmp(a, b, KEYED_HASH) == 0;
}
