#include "store/sign.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/bug.h"
#include "crypt/sha256.h"
#include "io/idn.h"
#include "store/auth_link.h"
#include "store/inner.h"
#include "store/spool.h"
#include "wire/dkim.h"

#define KEYS_MAX  4	 /* signatures of one message; all fit into PREFIX_MAX */
#define FIELD_MAX 2048	 /* the field up to "b=": most of it is h= */
#define HEAD_MAX  131072 /* a header that is longer is not signed */

struct one_key {
	uint16_t number; /* in conf.dkim */
	bool waiting;
	uint8_t mem[FIELD_MAX]; /* the field so far */
	struct buf field;
	uint8_t signature[SIGNATURE_MAX];
	size_t signature_n; /* 0: there is none */
};

struct sign {
	struct sign *next; /* in the order in which their time is over */
	struct store *store;
	void (*on_signed)(void *arg, struct span prefix);
	void *arg;
	uint64_t id, serial;
	size_t slot;
	ms_t until;
	bool reading;  /* a thread has it */
	bool dropped;  /* nobody wants it any more: the thread's end frees it */
	bool readable; /* the hash is right, and head is the whole header */
	uint8_t *head; /* of a spooled message; NULL: inline */
	struct span header;
	uint8_t body_hash[SHA256_SIZE];
	struct dkim_fields fields;
	size_t count;
	struct one_key key[KEYS_MAX];
};

struct signs {
	size_t count;
	uint64_t serial;
	struct sign *first;
	struct sign *slot[SIGNS_MAX];
	struct timer timer;
};

/* ---- hashing ------------------------------------------------------------------------------ */

static void put_hash(void *arg, struct span bytes)
{
	sha256_put(arg, bytes);
}

/* Where the body begins; *header: without the empty line. False: no end in sight. */
static bool split(struct span text, bool whole, struct span *header, size_t *body)
{
	const uint8_t *at;

	if (span_starts(text, SPAN("\r\n"))) {
		*header = SPAN_NONE;
		*body = 2;
		return true;
	}
	at = text.n ? memmem(text.p, text.n, "\r\n\r\n", 4) : NULL;
	if (!at && !whole)
		return false;
	*header = at ? span_head(text, (size_t)(at - text.p) + 2) : text;
	*body = at ? header->n + 2 : text.n;
	return true;
}

static bool hash_inline(struct sign *g, struct span text)
{
	struct sha256 *hash = sha256_open();
	struct dkim_body body;
	bool good = false;
	size_t at;

	if (hash && split(text, true, &g->header, &at)) {
		dkim_body_init(&body, put_hash, hash);
		dkim_body(&body, span_skip(text, at));
		dkim_body_end(&body);
		good = sha256_end(hash, g->body_hash);
	}
	sha256_close(&hash);
	return good;
}

/* Up to n bytes, all that there are; SIZE_MAX: it cannot be read. */
static size_t read_some(int fd, uint8_t *mem, size_t n)
{
	size_t got = 0;

	while (got < n) {
		ssize_t more = read(fd, mem + got, n - got);

		if (more < 0)
			return SIZE_MAX;
		if (more == 0)
			break;
		got += (size_t)more;
	}
	return got;
}

static bool hash_file(struct sign *g, int fd, struct sha256 *hash)
{
	size_t n = read_some(fd, g->head, HEAD_MAX), at;
	struct dkim_body body;
	uint8_t mem[16384];

	if (n == SIZE_MAX || !split(span_of(g->head, n), n < HEAD_MAX, &g->header, &at))
		return false;
	dkim_body_init(&body, put_hash, hash);
	dkim_body(&body, span_of(g->head + at, n - at));
	while ((n = read_some(fd, mem, sizeof(mem))) != 0) {
		if (n == SIZE_MAX)
			return false;
		dkim_body(&body, span_of(mem, n));
	}
	dkim_body_end(&body);
	return sha256_end(hash, g->body_hash);
}

static void run_read(void *arg)
{
	struct sign *g = arg;
	struct sha256 *hash = sha256_open();
	int fd = spool_read(g->store, g->id);

	g->readable = hash && fd >= 0 && hash_file(g, fd, hash);
	if (fd >= 0)
		close(fd);
	sha256_close(&hash);
}

/* ---- the end -------------------------------------------------------------------------------- */

static void set_timer(struct signs *all)
{
	timer_set(&all->timer, all->first ? all->first->until : MS_NEVER);
}

static void take_out(struct sign *g)
{
	struct signs *all = g->store->signs;
	struct sign **at = &all->first;

	while (*at != g)
		at = &(*at)->next;
	*at = g->next;
	all->slot[g->slot] = NULL;
	all->count--;
	set_timer(all);
}

static void release(struct sign *g)
{
	free(g->head);
	free(g);
}

static void print(const struct sign *g, struct buf *out)
{
	for (size_t i = 0; i < g->count; i++) {
		const struct one_key *k = &g->key[i];

		if (k->signature_n == 0)
			continue;
		buf_put(out, buf_span(&k->field));
		dkim_finish(span_of(k->signature, k->signature_n), out);
	}
	BUG_IF(out->full);
}

static void end(struct sign *g, const char *why)
{
	uint8_t mem[KEYS_MAX * (FIELD_MAX + SIGNATURE_MAX * 3 / 2)];
	struct buf out;
	size_t made = 0;

	for (size_t i = 0; i < g->count; i++)
		made += g->key[i].signature_n > 0;
	if (why)
		trouble_log(g->store, "dkim", "a message goes out %s: %s",
			    made ? "with fewer signatures" : "unsigned", why);
	buf_init(&out, mem, sizeof(mem));
	print(g, &out);
	take_out(g);
	g->on_signed(g->arg, out.len <= PREFIX_MAX ? buf_span(&out) : SPAN_NONE);
	if (g->reading)
		g->dropped = true;
	else
		release(g);
}

static void on_time(void *arg)
{
	struct store *s = arg;
	struct signs *all = s->signs;

	while (all->first && all->first->until <= loop_now(s->loop))
		end(all->first, "auth does not answer");
}

static void end_if_done(struct sign *g)
{
	size_t missing = 0;

	for (size_t i = 0; i < g->count; i++) {
		if (g->key[i].waiting)
			return;
		missing += g->key[i].signature_n == 0;
	}
	end(g, missing ? "a key is missing, see `holdfast dkim list`" : NULL);
}

/* ---- asking auth ---------------------------------------------------------------------------- */

/* Which keys sign for that From domain: those of the nearest domain that has any. */
static void choose_keys(struct sign *g, struct span domain)
{
	const struct conf *conf = g->store->conf;

	g->count = 0;
	while (domain.n && g->count == 0) {
		for (uint32_t i = 0; i < conf->dkim_count && g->count < KEYS_MAX; i++)
			if (span_eq(span_str(conf->dkim[i].domain), domain))
				g->key[g->count++].number = (uint16_t)i;
		(void)span_cut(&domain, '.');
	}
}

static bool hash_header(const struct sign *g, struct span field, uint8_t out[SHA256_SIZE])
{
	struct sha256 *hash = sha256_open();
	bool good;

	if (!hash)
		return false;
	dkim_signed_put(&g->fields, field, put_hash, hash);
	good = sha256_end(hash, out);
	sha256_close(&hash);
	return good;
}

static bool ask_one(struct sign *g, size_t i)
{
	struct one_key *k = &g->key[i];
	const struct dkim_key *entry = &g->store->conf->dkim[k->number];
	const struct dkim_signature about = {
		.algorithm = entry->algorithm == DKIM_ED25519 ? "ed25519-sha256"
							      : "rsa-sha256",
		.domain = entry->domain,
		.selector = entry->selector,
		.body_hash = span_of(g->body_hash, sizeof(g->body_hash)),
		.time = loop_wall(g->store->loop) / MS_SECOND,
	};
	uint8_t digest[SHA256_SIZE];
	struct msg_SIGN m = {
		.ask = (g->serial * SIGNS_MAX + g->slot) * KEYS_MAX + i,
		.domain = span_str(entry->domain),
		.selector = span_str(entry->selector),
		.algorithm = (uint8_t)entry->algorithm,
		.digest = span_of(digest, sizeof(digest)),
	};

	buf_init(&k->field, k->mem, sizeof(k->mem));
	dkim_print(&about, &g->fields, &k->field);
	k->waiting = !k->field.full && hash_header(g, buf_span(&k->field), digest) &&
		     auth_link_sign(g->store, &m);
	return k->waiting;
}

/* True: some answer will come. */
static bool ask_all(struct sign *g)
{
	uint8_t mem[DOMAIN_MAX + 1], as_said_mem[DOMAIN_MAX + 1];
	struct buf domain, as_said;
	size_t asked = 0;

	buf_init(&domain, mem, sizeof(mem));
	buf_init(&as_said, as_said_mem, sizeof(as_said_mem));
	if (!dkim_fields_read(&g->fields, g->header) ||
	    !dkim_from_domain(&g->fields, &as_said) ||
	    idn_domain(buf_span(&as_said), &domain))
		return false;
	choose_keys(g, buf_span(&domain));
	for (size_t i = 0; i < g->count; i++)
		asked += ask_one(g, i);
	return asked > 0;
}

bool sign_answered(struct store *s, struct span frame)
{
	struct signs *all = s->signs;
	struct msg_SIGNED m;
	struct sign *g;
	struct one_key *k;
	uint64_t serial;

	if (!msg_SIGNED_unpack(frame, &m) || !all)
		return false;
	serial = m.ask / KEYS_MAX / SIGNS_MAX;
	g = all->slot[m.ask / KEYS_MAX % SIGNS_MAX];
	if (!g || g->serial != serial)
		return serial < all->serial; /* its time was over */
	k = &g->key[m.ask % KEYS_MAX];
	if (!k->waiting)
		return false;
	k->waiting = false;
	k->signature_n = m.signature.n;
	if (m.signature.n)
		memcpy(k->signature, m.signature.p, m.signature.n);
	end_if_done(g);
	return true;
}

void sign_lost(struct store *s)
{
	struct signs *all = s->signs;
	struct sign *g = all ? all->first : NULL, *next;

	for (; g; g = next) {
		next = g->next;
		if (!g->reading)
			end(g, "auth is gone");
	}
}

/* ---- the beginning ---------------------------------------------------------------------------- */

static void on_read(void *arg)
{
	struct sign *g = arg;

	g->reading = false;
	if (g->dropped)
		release(g);
	else if (!g->readable)
		end(g, "its file cannot be read, or its header is too long");
	else if (!ask_all(g))
		end(g, g->count ? "auth is not there" : NULL);
}

static struct sign *new_sign(struct store *s, const struct sign_wish *wish)
{
	struct signs *all = s->signs;
	struct sign *g, **last;

	if (!all) {
		all = s->signs = calloc(1, sizeof(*all));
		if (!all)
			return NULL;
		timer_init(&all->timer, s->loop, on_time, s);
	}
	g = all->count < SIGNS_MAX ? calloc(1, sizeof(*g)) : NULL;
	if (!g)
		return NULL;
	g->store = s;
	g->id = wish->id;
	g->serial = all->serial++;
	g->until = loop_now(s->loop) + SIGN_WAIT;
	while (all->slot[g->slot])
		g->slot++;
	all->slot[g->slot] = g;
	all->count++;
	for (last = &all->first; *last; last = &(*last)->next)
		;
	*last = g;
	return g;
}

static bool start_reading(struct sign *g)
{
	g->head = malloc(HEAD_MAX);
	g->reading = g->head && work_run(g->store->loop, run_read, on_read, g);
	return g->reading;
}

bool sign_start(struct store *s, const struct sign_wish *wish,
		void (*on_signed)(void *arg, struct span prefix), void *arg)
{
	struct sign *g;
	bool started;

	if (s->conf->dkim_count == 0 ||
	    !(wish->flags & (MAIL_AUTH | MAIL_LOCAL | MAIL_OURS)))
		return false;
	g = new_sign(s, wish);
	if (!g) {
		trouble_log(s, "dkim",
			    "a message goes out unsigned: too many are being signed");
		return false;
	}
	g->on_signed = on_signed;
	g->arg = arg;
	if (wish->spooled)
		started = start_reading(g);
	else
		started = hash_inline(g, wish->body) && ask_all(g);
	set_timer(s->signs);
	if (started)
		return true;
	if (g->count)
		trouble_log(s, "dkim", "a message goes out unsigned: auth is not there");
	take_out(g);
	release(g);
	return false;
}

void sign_close(struct store *s)
{
	struct signs *all = s->signs;

	if (!all)
		return;
	s->signs = NULL;
	timer_stop(&all->timer);
	for (struct sign *g = all->first, *next; g; g = next) {
		next = g->next;
		g->dropped = true;
		if (!g->reading)
			release(g);
	}
	free(all);
}
