#include "crypt/password.h"

#include <crypt.h>
#include <errno.h>
#include <openssl/evp.h>
#include <sodium.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "base/number.h"
#include "crypt/scram.h"

/* OWASP's first choice: 19 MiB and two passes; about 40 ms. */
#define OPS    2
#define MEMORY ((size_t)19 << 20)

#define DIGEST_BYTES   64	/* of SHA-512, the longest */
#define ROUNDS_MAX     10000000 /* of PBKDF2: more is a mistake, or takes a minute */
#define BYTES_MAX      PASSWORD_HASH_MAX
#define YESCRYPT_CHARS 43 /* behind the last '$' */

enum kind {
	BY_ARGON2,
	BY_CRYPT,
	BY_PBKDF2_DOVECOT,
	BY_PBKDF2,
	BY_DIGEST,
	BY_PLAIN,
	BY_SCRAM
};

/* How a hash begins. Longer ones come before what they begin with. */
static const struct scheme {
	struct span start;
	enum kind kind;
	const char *digest; /* as OpenSSL calls it */
	bool salted;	    /* DIGEST: the salt follows the digest */
	const char *word;
} schemes[] = {
	/* clang-format off */
	{ SPAN_INIT("$argon2id$"),	BY_ARGON2,	   NULL, false, "argon2id" },
	{ SPAN_INIT("$argon2i$"),	BY_ARGON2,	   NULL, false, "argon2i" },
	{ SPAN_INIT("$y$"),		BY_CRYPT,	   NULL, false, "yescrypt" },
	{ SPAN_INIT("$2a$"),		BY_CRYPT,	   NULL, false, "bcrypt" },
	{ SPAN_INIT("$2b$"),		BY_CRYPT,	   NULL, false, "bcrypt" },
	{ SPAN_INIT("$2y$"),		BY_CRYPT,	   NULL, false, "bcrypt" },
	{ SPAN_INIT("$6$"),		BY_CRYPT,	   NULL, false, "sha512-crypt" },
	{ SPAN_INIT("$5$"),		BY_CRYPT,	   NULL, false, "sha256-crypt" },
	{ SPAN_INIT("$pbkdf2-sha512$"), BY_PBKDF2,	   "SHA512", false, "pbkdf2-sha512" },
	{ SPAN_INIT("$pbkdf2-sha256$"), BY_PBKDF2,	   "SHA256", false, "pbkdf2-sha256" },
	{ SPAN_INIT("$pbkdf2$"),	BY_PBKDF2,	   "SHA1", false, "pbkdf2-sha1" },
	/* clang-format on */
};

/* What may stand in braces. Without a digest, what follows says itself which it is. */
static const struct scheme braces[] = {
	/* clang-format off */
	{ SPAN_INIT("ARGON2ID"),      BY_ARGON2,	 NULL, false, "argon2id" },
	{ SPAN_INIT("ARGON2I"),	      BY_ARGON2,	 NULL, false, "argon2i" },
	{ SPAN_INIT("BLF-CRYPT"),     BY_CRYPT,		 NULL, false, "bcrypt" },
	{ SPAN_INIT("SHA512-CRYPT"),  BY_CRYPT,		 NULL, false, "sha512-crypt" },
	{ SPAN_INIT("SHA256-CRYPT"),  BY_CRYPT,		 NULL, false, "sha256-crypt" },
	{ SPAN_INIT("CRYPT"),	      BY_CRYPT,		 NULL, false, "crypt" },
	{ SPAN_INIT("PBKDF2"),	      BY_PBKDF2_DOVECOT, "SHA1", false, "pbkdf2-sha1" },
	{ SPAN_INIT("SCRAM-SHA-256"), BY_SCRAM,		 NULL, false, "scram-sha-256" },
	{ SPAN_INIT("SSHA512"),	      BY_DIGEST,	 "SHA512", true, "ssha512" },
	{ SPAN_INIT("SSHA256"),	      BY_DIGEST,	 "SHA256", true, "ssha256" },
	{ SPAN_INIT("SSHA"),	      BY_DIGEST,	 "SHA1", true, "ssha" },
	{ SPAN_INIT("SHA512"),	      BY_DIGEST,	 "SHA512", false, "sha512" },
	{ SPAN_INIT("SHA256"),	      BY_DIGEST,	 "SHA256", false, "sha256" },
	{ SPAN_INIT("SHA1"),	      BY_DIGEST,	 "SHA1", false, "sha1" },
	{ SPAN_INIT("SHA"),	      BY_DIGEST,	 "SHA1", false, "sha1" },
	{ SPAN_INIT("PLAIN"),	      BY_PLAIN,		 NULL, false, "plain" },
	{ SPAN_INIT("CLEARTEXT"),     BY_PLAIN,		 NULL, false, "plain" },
	{ SPAN_INIT("CLEAR"),	      BY_PLAIN,		 NULL, false, "plain" },
	/* clang-format on */
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

/* ---- which scheme it is ------------------------------------------------------------------ */

struct hash {
	const struct scheme *scheme; /* NULL: none that we know */
	struct span body;	     /* without the braces */
	bool hex;		     /* {SHA256.HEX} */
};

static const struct scheme *find_start(struct span hash)
{
	for (size_t i = 0; i < COUNT_OF(schemes); i++)
		if (span_starts(hash, schemes[i].start))
			return &schemes[i];
	return NULL;
}

static const struct scheme *find_braces(struct span name)
{
	for (size_t i = 0; i < COUNT_OF(braces); i++)
		if (span_eq_nocase(name, braces[i].start))
			return &braces[i];
	return NULL;
}

static bool is_whole(struct span hash)
{
	return hash.n > 0 && hash.n < PASSWORD_HASH_MAX && span_find(hash, '\0') == hash.n;
}

static struct hash read_hash(struct span text)
{
	struct span rest = span_skip(text, 1), name, coding;
	struct hash h = { .body = text };

	if (!is_whole(text))
		return h;
	if (text.p[0] != '{') {
		h.scheme = find_start(text);
		return h;
	}
	if (span_find(rest, '}') == rest.n)
		return h;
	coding = span_cut(&rest, '}');
	name = span_cut(&coding, '.');
	h.scheme = find_braces(name);
	h.body = rest;
	h.hex = span_eq_nocase(coding, SPAN("hex"));
	if (coding.n && !h.hex && !span_eq_nocase(coding, SPAN("b64")))
		h.scheme = NULL;
	/* {CRYPT} and its like may hold what is not: DES, MD5 */
	if (h.scheme && (h.scheme->kind == BY_CRYPT || h.scheme->kind == BY_ARGON2)) {
		const struct scheme *inner = find_start(rest);

		h.scheme = inner && inner->kind == h.scheme->kind ? inner : NULL;
	}
	return h;
}

const char *password_problem(struct span hash)
{
	if (hash.n == 0)
		return "there is no hash";
	if (!is_whole(hash))
		return "it is too long, or has a NUL in it";
	if (read_hash(hash).scheme)
		return NULL;
	return hash.p[0] == '{' ? "its scheme is not supported: it is unknown, or too weak"
				: "it is of no scheme that is known ({SCHEME} or $id$)";
}

bool password_readable(struct span hash)
{
	return password_problem(hash) == NULL;
}

struct span password_scheme(struct span hash)
{
	const struct scheme *s = read_hash(hash).scheme;

	return s ? span_str(s->word) : SPAN_NONE;
}

/* ---- one check for each kind ----------------------------------------------------------------- */

static enum password_check same(const void *a, const void *b, size_t n)
{
	return sodium_memcmp(a, b, n) == 0 ? PASSWORD_RIGHT : PASSWORD_WRONG;
}

/* Hexadecimal, or base64 with or without its padding. */
static bool decode(struct span text, bool hex, struct buf *out)
{
	size_t n = 0;

	if (hex) {
		if (sodium_hex2bin(out->mem, out->cap, (const char *)text.p, text.n, NULL,
				   &n, NULL) != 0 ||
		    n * 2 != text.n)
			return false;
	} else {
		while (text.n && text.p[text.n - 1] == '=')
			text.n--;
		if (sodium_base642bin(out->mem, out->cap, (const char *)text.p, text.n,
				      NULL, &n, NULL,
				      sodium_base64_VARIANT_ORIGINAL_NO_PADDING) != 0)
			return false;
	}
	out->len = n;
	return true;
}

/* "$argon2id$v=19$m=KIBIBYTES,t=PASSES,p=LANES$SALT$KEY" */
struct argon2 {
	int kind;
	uint64_t kib, passes, lanes;
	struct buf salt, key;
	uint8_t mem[BYTES_MAX], mem2[BYTES_MAX];
};

static bool cut_number(struct span *rest, const char *name, uint8_t end, uint64_t *out)
{
	struct span text = span_cut(rest, end);

	return span_starts(text, span_str(name)) &&
	       number_parse(span_skip(text, 2), UINT32_MAX, out);
}

static bool read_argon2(struct span text, struct argon2 *out)
{
	struct span rest = span_skip(text, 1), kind = span_cut(&rest, '$');
	uint64_t version;

	buf_init(&out->salt, out->mem, sizeof(out->mem));
	buf_init(&out->key, out->mem2, sizeof(out->mem2));
	out->kind = span_eq(kind, SPAN("argon2id")) ? crypto_pwhash_ALG_ARGON2ID13
						    : crypto_pwhash_ALG_ARGON2I13;
	return cut_number(&rest, "v=", '$', &version) && version == 0x13 &&
	       cut_number(&rest, "m=", ',', &out->kib) &&
	       cut_number(&rest, "t=", ',', &out->passes) &&
	       cut_number(&rest, "p=", '$', &out->lanes) &&
	       decode(span_cut(&rest, '$'), false, &out->salt) &&
	       decode(rest, false, &out->key);
}

/* What is made as libsodium makes it (all of ours are) can be made again: that says why not. */
static enum password_check make_argon2(struct span secret, const struct argon2 *a)
{
	uint8_t made[BYTES_MAX];
	enum password_check check = PASSWORD_UNREADABLE;

	if (a->lanes != 1 || a->salt.len != crypto_pwhash_SALTBYTES)
		return check;
	errno = 0;
	if (crypto_pwhash(made, a->key.len, (const char *)secret.p, secret.n, a->salt.mem,
			  a->passes, (size_t)a->kib << 10, a->kind) == 0)
		check = same(made, a->key.mem, a->key.len);
	else if (errno != EINVAL && errno != EFBIG)
		check = PASSWORD_LATER;
	sodium_memzero(made, sizeof(made));
	return check;
}

static bool has_memory(uint64_t kib)
{
	size_t n = (size_t)kib << 10;
	void *mem = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
			 0);

	if (mem == MAP_FAILED)
		return errno != ENOMEM;
	munmap(mem, n);
	return true;
}

/*
 * libsodium's own check says WRONG without memory, too. It is left for hashes of other
 * parameters than libsodium's, with a look at whether there is that much.
 */
static enum password_check by_argon2(struct span secret, struct span hash)
{
	char text[crypto_pwhash_STRBYTES] = "";
	enum password_check check;
	struct argon2 a;
	bool whole = read_argon2(hash, &a);

	if (hash.n >= sizeof(text))
		return PASSWORD_UNREADABLE;
	check = whole ? make_argon2(secret, &a) : PASSWORD_UNREADABLE;
	if (check != PASSWORD_UNREADABLE)
		return check;
	memcpy(text, hash.p, hash.n);
	if (crypto_pwhash_str_verify(text, (const char *)secret.p, secret.n) == 0)
		return PASSWORD_RIGHT;
	return whole && !has_memory(a.kib) ? PASSWORD_LATER : PASSWORD_WRONG;
}

/*
 * Of what we hand to crypt(3) only yescrypt takes memory, and it does not say why there is no
 * result. Where the hash has all its parts, it is that.
 */
static enum password_check why_no_crypt(struct span hash)
{
	size_t last = hash.n - span_find_last(hash, '$') - 1;

	return span_starts(hash, SPAN("$y$")) && last == YESCRYPT_CHARS
		       ? PASSWORD_LATER
		       : PASSWORD_UNREADABLE;
}

static enum password_check by_crypt(struct span secret, struct span hash)
{
	struct crypt_data *work = calloc(1, sizeof(*work));
	enum password_check check;
	char text[PASSWORD_MAX + 1], setting[PASSWORD_HASH_MAX] = "";
	char *made;

	if (!work)
		return PASSWORD_LATER;
	memcpy(text, secret.p, secret.n);
	text[secret.n] = '\0';
	memcpy(setting, hash.p, hash.n);
	/* not crypt_r(), which AddressSanitizer takes for itself */
	made = crypt_rn(text, setting, work, sizeof(*work));
	if (!made || made[0] == '*')
		check = why_no_crypt(hash);
	else
		check = strlen(made) == hash.n ? same(made, setting, hash.n)
					       : PASSWORD_WRONG;
	sodium_memzero(text, sizeof(text));
	sodium_memzero(work, sizeof(*work));
	free(work);
	return check;
}

static enum password_check by_digest(struct span secret, const struct hash *h)
{
	const EVP_MD *md = EVP_get_digestbyname(h->scheme->digest);
	uint8_t mem[BYTES_MAX], made[DIGEST_BYTES];
	struct buf bytes;
	EVP_MD_CTX *c;
	size_t n;
	bool ok;

	buf_init(&bytes, mem, sizeof(mem));
	n = md ? (size_t)EVP_MD_get_size(md) : 0;
	if (!n || !decode(h->body, h->hex, &bytes) || bytes.len < n ||
	    (!h->scheme->salted && bytes.len != n))
		return PASSWORD_UNREADABLE;
	c = EVP_MD_CTX_new();
	ok = c && EVP_DigestInit_ex(c, md, NULL) == 1 &&
	     EVP_DigestUpdate(c, secret.p, secret.n) == 1 &&
	     EVP_DigestUpdate(c, mem + n, bytes.len - n) == 1 &&
	     EVP_DigestFinal_ex(c, made, NULL) == 1;
	EVP_MD_CTX_free(c);
	return ok ? same(made, mem, n) : PASSWORD_LATER;
}

struct pbkdf2 {
	const char *digest;
	struct span salt;
	uint64_t rounds;
	struct span key;
};

static enum password_check derive(struct span secret, const struct pbkdf2 *p)
{
	const EVP_MD *md = EVP_get_digestbyname(p->digest);
	uint8_t made[DIGEST_BYTES];
	enum password_check check;

	if (!md || p->key.n != (size_t)EVP_MD_get_size(md) || p->rounds == 0)
		return PASSWORD_UNREADABLE;
	if (PKCS5_PBKDF2_HMAC((const char *)secret.p, (int)secret.n, p->salt.p,
			      (int)p->salt.n, (int)p->rounds, md, (int)p->key.n, made) != 1)
		return PASSWORD_LATER;
	check = same(made, p->key.p, p->key.n);
	sodium_memzero(made, sizeof(made));
	return check;
}

/* "$1$SALT$ROUNDS$HEX": the salt is text as it is. */
static enum password_check by_dovecot(struct span secret, const struct hash *h)
{
	struct span rest = h->body, rounds;
	struct pbkdf2 p = { .digest = h->scheme->digest };
	uint8_t mem[BYTES_MAX];
	struct buf key;

	buf_init(&key, mem, sizeof(mem));
	if (!span_starts(rest, SPAN("$1$")))
		return PASSWORD_UNREADABLE;
	rest = span_skip(rest, 3);
	p.salt = span_cut(&rest, '$');
	rounds = span_cut(&rest, '$');
	if (!number_parse(rounds, ROUNDS_MAX, &p.rounds) || !decode(rest, true, &key))
		return PASSWORD_UNREADABLE;
	p.key = buf_span(&key);
	return derive(secret, &p);
}

/* passlib's base64 has a dot for a plus, and no padding. */
static bool decode_dots(struct span text, struct buf *out)
{
	uint8_t mem[BYTES_MAX];

	for (size_t i = 0; i < text.n; i++)
		mem[i] = text.p[i] == '.' ? '+' : text.p[i];
	return decode(span_of(mem, text.n), false, out);
}

/* "$pbkdf2-sha256$ROUNDS$SALT$KEY" */
static enum password_check by_pbkdf2(struct span secret, const struct hash *h)
{
	struct span rest = span_skip(h->body, h->scheme->start.n), rounds, salt;
	struct pbkdf2 p = { .digest = h->scheme->digest };
	uint8_t mem[BYTES_MAX], mem2[BYTES_MAX];
	struct buf key, salted;

	buf_init(&key, mem, sizeof(mem));
	buf_init(&salted, mem2, sizeof(mem2));
	rounds = span_cut(&rest, '$');
	salt = span_cut(&rest, '$');
	if (!number_parse(rounds, ROUNDS_MAX, &p.rounds) || !decode_dots(salt, &salted) ||
	    !decode_dots(rest, &key))
		return PASSWORD_UNREADABLE;
	p.salt = buf_span(&salted);
	p.key = buf_span(&key);
	return derive(secret, &p);
}

static enum password_check by_scram(struct span secret, struct span body)
{
	struct scram_keys keys, made;
	enum password_check check;

	if (!scram_read_keys(body, &keys))
		return PASSWORD_UNREADABLE;
	made = keys;
	if (!scram_derive(secret, &made))
		return PASSWORD_LATER;
	check = same(made.stored, keys.stored, sizeof(keys.stored));
	sodium_memzero(&made, sizeof(made));
	return check;
}

enum password_check password_check(struct span secret, struct span hash)
{
	struct hash h = read_hash(hash);

	if (!h.scheme)
		return PASSWORD_UNREADABLE;
	if (!password_ok(secret))
		return PASSWORD_WRONG;
	switch (h.scheme->kind) {
	case BY_ARGON2:
		return by_argon2(secret, h.body);
	case BY_CRYPT:
		return by_crypt(secret, h.body);
	case BY_PBKDF2_DOVECOT:
		return by_dovecot(secret, &h);
	case BY_PBKDF2:
		return by_pbkdf2(secret, &h);
	case BY_DIGEST:
		return by_digest(secret, &h);
	case BY_PLAIN:
		return secret.n == h.body.n ? same(secret.p, h.body.p, secret.n)
					    : PASSWORD_WRONG;
	case BY_SCRAM:
		return by_scram(secret, h.body);
	}
	return PASSWORD_UNREADABLE;
}
