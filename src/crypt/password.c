#include "crypt/password.h"

#include <crypt.h>
#include <sodium.h>
#include <stdlib.h>

/* OWASP's first choice: 19 MiB and two passes; about 40 ms. */
#define OPS    2
#define MEMORY ((size_t)19 << 20)

static const struct span argon2id = SPAN_INIT("$argon2id$");

/* What libcrypt knows and we want to read. */
static const struct span crypt_schemes[] = {
	SPAN_INIT("$y$"),  SPAN_INIT("$2y$"), SPAN_INIT("$2b$"),
	SPAN_INIT("$2a$"), SPAN_INIT("$6$"),  SPAN_INIT("$5$"),
};

bool password_init(void)
{
	return sodium_init() >= 0;
}

bool password_ok(struct span secret)
{
	return secret.n > 0 && secret.n <= PASSWORD_MAX &&
	       span_find(secret, '\0') == secret.n;
}

void password_wipe(struct span secret)
{
	if (secret.n)
		sodium_memzero((void *)(uintptr_t)secret.p, secret.n);
}

bool password_hash(struct span secret, struct buf *out)
{
	char text[crypto_pwhash_STRBYTES];

	if (!password_ok(secret))
		return false;
	if (crypto_pwhash_str_alg(text, (const char *)secret.p, secret.n, OPS, MEMORY,
				  crypto_pwhash_ALG_ARGON2ID13) != 0)
		return false;
	buf_put(out, span_str(text));
	return !out->full;
}

static bool is_crypt(struct span hash)
{
	for (size_t i = 0; i < COUNT_OF(crypt_schemes); i++)
		if (span_starts(hash, crypt_schemes[i]))
			return true;
	return false;
}

static bool is_whole(struct span hash)
{
	return hash.n > 0 && hash.n < PASSWORD_HASH_MAX && span_find(hash, '\0') == hash.n;
}

bool password_readable(struct span hash)
{
	return is_whole(hash) && (span_starts(hash, argon2id) || is_crypt(hash));
}

static enum password_check by_argon2id(struct span secret, const char *hash)
{
	char text[crypto_pwhash_STRBYTES] = "";

	if (strlen(hash) >= sizeof(text))
		return PASSWORD_UNREADABLE;
	memcpy(text, hash, strlen(hash));
	return crypto_pwhash_str_verify(text, (const char *)secret.p, secret.n) == 0
		       ? PASSWORD_RIGHT
		       : PASSWORD_WRONG;
}

static enum password_check by_crypt(struct span secret, const char *hash)
{
	struct crypt_data *work = calloc(1, sizeof(*work));
	enum password_check check = PASSWORD_UNREADABLE;
	char text[PASSWORD_MAX + 1];
	char *made;
	size_t n = strlen(hash);

	if (!work)
		return PASSWORD_UNREADABLE;
	memcpy(text, secret.p, secret.n);
	text[secret.n] = '\0';
	/* not crypt_r(), which AddressSanitizer takes for itself */
	made = crypt_rn(text, hash, work, sizeof(*work));
	if (made && made[0] != '*')
		check = strlen(made) == n && sodium_memcmp(made, hash, n) == 0
				? PASSWORD_RIGHT
				: PASSWORD_WRONG;
	sodium_memzero(text, sizeof(text));
	sodium_memzero(work, sizeof(*work));
	free(work);
	return check;
}

enum password_check password_check(struct span secret, struct span hash)
{
	char text[PASSWORD_HASH_MAX];

	if (!password_readable(hash))
		return PASSWORD_UNREADABLE;
	if (!password_ok(secret))
		return PASSWORD_WRONG;
	memcpy(text, hash.p, hash.n);
	text[hash.n] = '\0';
	return span_starts(hash, argon2id) ? by_argon2id(secret, text)
					   : by_crypt(secret, text);
}
