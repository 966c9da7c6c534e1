#include "auth/auth.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "auth/inner.h"
#include "base/fields.h"
#include "crypt/password.h"
#include "io/client_cert.h"
#include "io/idn.h"
#include "session/limits.h"

#define BEAT_EVERY ((ms_t)250)

/* What an account with a device of its own has at most in the guard's memory at the start. */
#define DEVICES_BACK 1000000

/* The guard's memory, where there is no supervisor that has one: tests, --one-process. */
static const struct accounts_shape own_shape = {
	.users = 4096,
	.pairs = 8192,
	.devices = 8192,
	.prefixes = 4096,
	.secrets = 4096,
	.campaigns = 64,
};

void auth_trouble(struct auth *a, enum record kind, const char *why)
{
	uint8_t mem[640];
	struct buf fields;

	buf_init(&fields, mem, sizeof(mem));
	field_text(&fields, "key", SPAN("auth"));
	field_text(&fields, "what", span_str(why));
	pulse_log(a->start->pulse, kind, loop_wall(a->loop), NULL, buf_span(&fields));
}

static void on_trouble(void *arg, const char *why)
{
	auth_trouble(arg, LOG_TROUBLE, why);
}

/* A user of a file has another password: what was wrong until now may be right. */
static void on_changed(void *arg, struct span user)
{
	struct auth *a = arg;

	accounts_changed(&a->guard, user);
}

/* ---- answers to watch -------------------------------------------------------------------- */

static bool answer_row(void *arg, uint32_t ask, struct span row)
{
	struct auth *a = arg;
	struct msg_CONTROL_ROW m = { ask, row };

	if (!a->watcher.link)
		return false;
	msg_CONTROL_ROW_pack(&m, link_begin(a->watcher.link));
	return peer_send(&a->watcher);
}

static void answer_end(void *arg, uint32_t ask, bool ok, struct span text)
{
	struct auth *a = arg;
	struct msg_CONTROL_END m = { ask, ok, span_head(text, 1024) };

	if (!a->watcher.link)
		return;
	msg_CONTROL_END_pack(&m, link_begin(a->watcher.link));
	(void)peer_send(&a->watcher); /* a broken link shows when it is read */
}

static bool answers_wait(void *arg)
{
	const struct auth *a = arg;

	return a->watcher.link && link_full(a->watcher.link);
}

static void log_change(struct auth *a, struct span address, const char *what)
{
	uint8_t mem[640];
	struct buf fields;

	buf_init(&fields, mem, sizeof(mem));
	field_text(&fields, "address", address);
	field_text(&fields, "what", span_str(what));
	pulse_log(a->start->pulse, LOG_ACCOUNT_CHANGED, loop_wall(a->loop), NULL,
		  buf_span(&fields));
}

/* The cache is bound to the hash, and so void already; the guard has to be told. */
static void answer_changed(void *arg, struct span address, const char *what, unsigned also)
{
	struct auth *a = arg;

	accounts_changed(&a->guard, address);
	if (also & ALSO_FORGET)
		(void)!accounts_forget(&a->guard, address);
	if (also & ALSO_UNGUARD)
		(void)!accounts_unguard(&a->guard, address, loop_now(a->loop));
	log_change(a, address, what);
}

static void key_changed(void *arg, struct span key, const char *what)
{
	log_change(arg, key, what);
}

static const struct passwords_answers answers = {
	.row = answer_row,
	.end = answer_end,
	.wait = answers_wait,
	.changed = answer_changed,
};

/* ---- what others are told ---------------------------------------------------------------- */

static const struct signer_calls signing = {
	.row = answer_row,
	.end = answer_end,
	.changed = key_changed,
	.trouble = on_trouble,
};

static const struct notice {
	const char *kind, *subject, *text;
} notices[] = {
	{ "stale", "A device of yours tries an old password",
	  "One of your devices keeps logging in with a password that is not yours any more.\n"
	  "It gets no mail, and each of its attempts takes longer. Please change the\n"
	  "password in its settings, or remove the account from it.\n\n" },
	{ "guarded", "Your password is being guessed at",
	  "Somebody tries passwords for your account from many places. Nobody got in by that.\n"
	  "Devices that you have used before work as always; a new one has to wait for some\n"
	  "seconds when it logs in. If your password is short, or used elsewhere too, please\n"
	  "change it.\n\n" },
	{ "runaway", "A program of yours logs in again and again",
	  "A program that has your account logs in without end. What is more than your\n"
	  "account may have is refused, and nobody else notices; but the program, or the device\n"
	  "it runs on, is probably out of order.\n\n" },
};

/* Once a day for each account and kind (auth.tell-owner). */
static void tell_owner(void *arg, struct span address, struct span kind, struct span text)
{
	struct auth *a = arg;
	uint8_t mem[1500];
	struct span subject = SPAN_NONE;
	struct buf b;

	buf_init(&b, mem, sizeof(mem));
	for (size_t i = 0; i < COUNT_OF(notices); i++) {
		if (!span_eq(kind, span_str(notices[i].kind)))
			continue;
		subject = span_str(notices[i].subject);
		buf_put(&b, span_str(notices[i].text));
	}
	buf_put(&b, text);
	buf_put(&b, SPAN(".\n"));
	if (!store_link_notice(a->store, address, subject, buf_span(&b)))
		auth_trouble(a, LOG_TROUBLE,
			     "the store is not there: an owner is not told");
}

static const struct keeper_calls keeping = {
	.due = tell_owner,
	.trouble = on_trouble,
};

static bool ask_fetch(void *arg, const struct msg_FETCH *m)
{
	struct auth *a = arg;

	if (!a->fetch.link)
		return false;
	msg_FETCH_pack(m, link_begin(a->fetch.link));
	return peer_send(&a->fetch);
}

/* Good until the next call: oauth uses it at once. */
static bool find_credential(void *arg, const char *name, struct span *user,
			    struct span *secret)
{
	struct auth *a = arg;

	if (!keeper_find_credential(a->keeper, span_str(name), &a->credential) ||
	    !a->credential.known)
		return false;
	*user = span_of(a->credential.user, a->credential.user_n);
	*secret = span_of(a->credential.secret, a->credential.secret_n);
	return true;
}

static const struct oauth_calls tokens = {
	.fetch = ask_fetch,
	.credential = find_credential,
};

/* ---- the configuration ------------------------------------------------------------------- */

static void apply(struct auth *a)
{
	const struct conf *conf = a->start->conf;
	const struct settings *set = &conf->set;
	unsigned scram = 1u << SASL_SCRAM_SHA_256 | 1u << SASL_SCRAM_SHA_256_PLUS;

	limits_of_accounts(set, conf->observed, &a->guard.limits);
	hashing_limit(a->hashing, (size_t)set->auth_queue, (unsigned)set->auth_cpu);
	keeper_limit(a->keeper, set->auth_history);
	passwords_scram(a->passwords, (conf->mechanisms & scram) != 0);
}

/* ---- what the supervisor says -------------------------------------------------------- */

static bool take_conf(struct auth *a, struct frame *f, struct err *err)
{
	const struct conf *old = a->start->conf,
			  *conf = start_map_conf(frame_take_fd(f, 0), err);
	bool good;

	if (!conf)
		return false;
	a->start->conf = conf;
	apply(a);
	store_link_conf(a->store, conf);
	oauth_conf(a->oauth, conf);
	good = sources_conf(a->sources, conf, err);
	start_unmap_conf(&old);
	return good;
}

static bool take_peer(struct auth *a, struct frame *f, struct err *err)
{
	struct link *link;

	if (!start_take_peer(f, ROLE_AUTH, &link, err))
		return false;
	peers_meet(a, link);
	return true;
}

static bool take_life(struct auth *a, struct frame *f, struct err *err)
{
	bool good = true;

	if (f->kind == MSG_CONF)
		good = take_conf(a, f, err);
	else if (f->kind == MSG_PEER)
		good = take_peer(a, f, err);
	else if (f->kind == MSG_CERTS)
		authorities_read(a, frame_take_fd(f, 0));
	else if (f->kind == MSG_DRAIN)
		loop_stop(a->loop);
	else if (f->kind != MSG_GONE)
		good = err_set(err, "%s is not for auth", message_table[f->kind].word);
	frame_close_fds(f);
	return good;
}

static void on_life(void *arg, unsigned ready)
{
	struct auth *a = arg;
	struct frame f;
	struct err err;

	(void)ready;
	for (;;) {
		switch (link_recv(a->start->life, &f, &err)) {
		case LINK_GOT:
			if (link_lost(a->start->life, &f) || take_life(a, &f, &err))
				continue;
			auth_trouble(a, LOG_LINK_BROKEN, err.text);
			return;
		case LINK_MORE:
			return;
		case LINK_BROKEN:
			auth_trouble(a, LOG_LINK_BROKEN, err.text);
			a->exit_code = 1;
			loop_stop(a->loop);
			return;
		case LINK_CLOSED:
			loop_stop(a->loop);
			return;
		}
	}
}

static void on_beat(void *arg)
{
	struct auth *a = arg;

	pulse_beat(a->start->pulse);
	if (a->attempts)
		attempts_tick(a);
	if (oauth_next(a->oauth) <= loop_now(a->loop)) {
		oauth_on_time(a->oauth, loop_now(a->loop), loop_wall(a->loop));
		attempts_go_on(a);
	}
	timer_set(&a->beat, loop_now(a->loop) + BEAT_EVERY);
}

/* ---- the start ---------------------------------------- */

static bool close_in(struct auth *a, const char *dir, struct err *err)
{
	const struct conf *conf = a->start->conf;
	char places[AUTH_SOURCES_MAX][TEXT_MAX], keys[OAUTH_MAX][TEXT_MAX];
	const char *write[] = { dir, NULL }, *read[AUTH_SOURCES_MAX + OAUTH_MAX + 1];
	struct sandbox box = { .role = ROLE_AUTH,
			       .read_write = write,
			       .read_only = read,
			       .connects = sources_local(conf) };
	size_t count = sources_places(conf, places), n = 0;

	/* a directory that is not there now cannot be let through to later */
	for (size_t i = 0; i < count; i++)
		if (access(places[i], R_OK) == 0)
			read[n++] = places[i];
	for (uint32_t i = 0; i < conf->oauth_count; i++)
		if (oauth_keys_dir(&conf->oauth[i], keys[i]) && access(keys[i], R_OK) == 0)
			read[n++] = keys[i];
	read[n] = NULL;
	/* a file, which cannot be read later */
	return idn_open(err) && start_sandbox(a->start, &box, err);
}

static bool make_keys(struct auth *a, uint8_t devices[KEYED_KEY], struct err *err)
{
	struct vault *v = keeper_lock(a->keeper);
	bool made;

	keyed_random(devices, KEYED_KEY);
	keyed_random(a->key_secrets, sizeof(a->key_secrets));
	keyed_random(a->key_salts, sizeof(a->key_salts));
	made = vault_key(v, SPAN("devices"), devices, err) &&
	       vault_key(v, SPAN("secrets"), a->key_secrets, err) &&
	       vault_key(v, SPAN("salts"), a->key_salts, err);
	keeper_unlock(a->keeper);
	return made;
}

/* What unknown users are compared with: as slow as a password that was set here. */
static bool make_dummy(struct auth *a, struct err *err)
{
	uint8_t secret[KEYED_KEY];
	struct buf hash;

	keyed_random(secret, sizeof(secret));
	for (size_t i = 0; i < sizeof(secret); i++)
		secret[i] |= 1;
	buf_init(&hash, a->dummy, sizeof(a->dummy));
	if (!password_hash(span_of(secret, sizeof(secret)), &hash))
		return err_set(err, "no memory for hashing");
	a->dummy_n = hash.len;
	return true;
}

static bool own_guard(struct auth *a, struct err *err)
{
	size_t n = accounts_size(&own_shape);
	uint64_t key[2];

	a->own_memory = calloc(1, n);
	if (!a->own_memory)
		return err_set(err, "out of memory");
	keyed_random(key, sizeof(key));
	accounts_init(a->own_memory, n, &own_shape, key, loop_now(a->loop));
	return accounts_open(&a->guard, a->own_memory, n) ||
	       err_set(err, "the guard of accounts cannot be made");
}

static void put_device_back(void *arg, const struct vault_device *d)
{
	struct auth *a = arg;
	struct account_device back = {
		.user = d->user,
		.client = d->client,
		.prefix = d->prefix,
		.first = d->first,
		.last = d->last,
		.logins = d->logins,
	};

	accounts_put_device(&a->guard, &back, loop_now(a->loop), loop_wall(a->loop));
}

/* The newest first, so what has no room any more is what matters least. */
static bool meet_guard(struct auth *a, const uint8_t key[KEYED_KEY], struct err *err)
{
	struct start_mapping *m = &a->start->accounts;
	int64_t since = loop_wall(a->loop) - a->start->conf->set.auth_device;
	uint64_t words[2];
	struct vault *v;
	bool read;

	if (!m->mem || !accounts_open(&a->guard, m->mem, m->n))
		if (!own_guard(a, err))
			return false;
	memcpy(words, key, sizeof(words));
	accounts_begin(&a->guard, words, loop_now(a->loop));
	v = keeper_lock(a->keeper);
	read = vault_prune_devices(v, since, err) &&
	       vault_each_device(v, since, DEVICES_BACK, put_device_back, a, err);
	keeper_unlock(a->keeper);
	return read;
}

static bool open_all(struct auth *a, const char *dir, struct err *err)
{
	struct sources_calls calls = { on_trouble, on_changed, a };
	const struct conf *conf = a->start->conf;
	uint8_t devices[KEYED_KEY];
	char path[2 * TEXT_MAX + 16];

	snprintf(path, sizeof(path), "%s/auth.db", dir);
	a->ready_end = &a->ready;
	a->cache = cache_open();
	a->logins = logins_open();
	if (!a->cache || !a->logins)
		return err_set(err, "out of memory");
	return keeper_open(&a->keeper, a->loop, path, &keeping, a, err) &&
	       make_keys(a, devices, err) && make_dummy(a, err) &&
	       meet_guard(a, devices, err) &&
	       passwords_open(&a->passwords, a->loop, a->keeper, &answers, a, err) &&
	       store_link_open(&a->store, a->loop, dir, conf, &signing, a, err) &&
	       oauth_open(&a->oauth, conf, &tokens, a, err) &&
	       sources_open(&a->sources, a->loop, a->keeper, conf, sources_local(conf),
			    &calls, err);
}

static bool enter(struct auth *a, struct err *err)
{
	struct start *s = a->start;
	long processors = sysconf(_SC_NPROCESSORS_ONLN);
	char dir[2 * TEXT_MAX];

	snprintf(dir, sizeof(dir), "%s/auth", s->conf->set.dir);
	if (!password_init())
		return err_set(err, "libsodium cannot be used");
	if (!close_in(a, dir, err) || !loop_open(&a->loop, err) || !open_all(a, dir, err) ||
	    !hashing_open(&a->hashing, a->loop, (size_t)s->conf->set.auth_threads,
			  processors > 0 ? (size_t)processors : 1, err))
		return false;
	apply(a);
	authorities_read(a, s->certs_fd);
	s->certs_fd = -1;
	if (!watch_start(a->loop, &a->life, link_fd(s->life), WATCH_READ, on_life, a))
		return err_set(err, "the link to the supervisor cannot be watched");
	timer_init(&a->beat, a->loop, on_beat, a);
	on_beat(a);
	for (size_t i = 0; i < s->peer_count; i++)
		peers_meet(a, s->peers[i].link);
	return start_ready(s, err);
}

/* Threads first, then what they use. */
static void leave(struct auth *a)
{
	peers_close(a);
	hashing_close(&a->hashing);
	attempts_close(a);
	sources_forget(a->sources);
	sources_close(&a->sources);
	oauth_close(&a->oauth);
	if (a->loop)
		loop_close(&a->loop);
	store_link_close(&a->store);
	passwords_close(&a->passwords);
	keeper_close(&a->keeper);
	cache_close(&a->cache);
	logins_close(&a->logins);
	client_authorities_close(&a->authorities);
	free(a->own_memory);
	password_wipe(span_of(a, sizeof(*a)));
	free(a);
}

int auth_main(struct start *start)
{
	struct auth *a = calloc(1, sizeof(*a));
	struct err err;
	int code;

	if (!a)
		return 1;
	a->start = start;
	if (enter(a, &err)) {
		loop_run(a->loop);
	} else {
		start_failed(start, &err);
		a->exit_code = 1;
	}
	code = a->exit_code;
	leave(a);
	return code;
}
