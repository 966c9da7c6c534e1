#include "auth/oauth.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/list.h"
#include "crypt/jwt.h"

/* A token with a key that we do not know may mean that there are new ones. */
#define ASK_EVERY MS_MINUTE

/* Keys that cannot be renewed still count for so long: an issuer may be down. */
#define STALE_MAX MS_DAY

/* A file is looked at so often at most. */
#define LOOK_EVERY MS_SECOND

#define NEVER_ASKED (-ASK_EVERY)

struct issuer {
	struct jwt_keys *keys; /* NULL: none yet */
	ms_t fresh_until;
	uint64_t fetch; /* the number of the FETCH under way; 0: none */
	ms_t asked;	/* when the last one was */
	ms_t looked;	/* at the file */
	struct timespec changed;
	ino_t inode;
};

struct oauth_checker {
	const struct conf *conf;
	struct oauth_calls calls;
	void *arg;
	struct oauth_ask *first;
	size_t waiting;
	uint64_t last; /* number of a FETCH */
	struct issuer issuers[OAUTH_MAX];
};

/* ---- who waits ------------------------------------------------------------------- */
void oauth_forget(struct oauth_ask *ask)
{
	struct oauth_checker *o = ask->checker;

	for (struct oauth_ask **at = o ? &o->first : NULL; at && *at; at = &(*at)->next) {
		if (*at != ask)
			continue;
		*at = ask->next;
		o->waiting--;
		break;
	}
	ask->checker = NULL;
	if (ask->token)
		explicit_bzero(ask->token, ask->token_n);
	free(ask->token);
	ask->token = NULL;
}

static void done(struct oauth_ask *ask, const struct oauth_result *r)
{
	oauth_forget(ask);
	ask->on_done(ask->arg, r);
}

static void later(struct oauth_ask *ask, const char *why)
{
	const struct oauth_result r = { .verdict = OAUTH_LATER, .reason = why };

	done(ask, &r);
}

static void judged(struct oauth_ask *ask, enum jwt_verdict v, const char *user)
{
	struct oauth_result r = { .verdict = v == JWT_RIGHT ? OAUTH_RIGHT : OAUTH_WRONG,
				  .reason = jwt_word[v] };

	if (v == JWT_RIGHT)
		memcpy(r.user, user, strlen(user) + 1);
	done(ask, &r);
}

/* It is in the list until it is forgotten; with the token, which its owner may reuse. */
static bool wait_for(struct oauth_checker *o, struct oauth_ask *ask, struct span token,
		     ms_t now)
{
	if (ask->checker)
		return true;
	ask->token = o->waiting < OAUTH_WAITING ? malloc(token.n) : NULL;
	if (!ask->token)
		return false;
	memcpy(ask->token, token.p, token.n);
	ask->token_n = token.n;
	ask->checker = o;
	ask->until = now + OAUTH_WITHIN;
	ask->next = o->first;
	o->first = ask;
	o->waiting++;
	return true;
}

/* ---- keys ------------------------------------------------------------------------ */
static bool from_web(const struct oauth *c)
{
	return strncmp(c->keys, "https:", 6) == 0;
}

static void set_keys(struct issuer *i, struct jwt_keys *keys, ms_t fresh_until)
{
	jwt_keys_close(&i->keys);
	i->keys = keys;
	i->fresh_until = fresh_until;
}

static void read_keys(struct issuer *i, int fd, const struct stat *st)
{
	uint8_t mem[FETCH_BODY_MAX];
	size_t n = 0;
	ssize_t got = 1;
	struct jwt_keys *keys;
	struct err unused;

	while (n < sizeof(mem) && got > 0) {
		got = read(fd, mem + n, sizeof(mem) - n);
		n += got > 0 ? (size_t)got : 0;
	}
	/* half a file, or one that is no key set: the old keys stay */
	if (got != 0 || !jwt_keys_open(&keys, span_of(mem, n), &unused))
		return;
	set_keys(i, keys, MS_NEVER);
	i->changed = st->st_mtim;
	i->inode = st->st_ino;
}

static void look_at_file(struct issuer *i, const char *path, ms_t now)
{
	struct stat st;
	int fd;

	if (now - i->looked < LOOK_EVERY)
		return;
	i->looked = now;
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return;
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) &&
	    (!i->keys || st.st_ino != i->inode || st.st_mtim.tv_sec != i->changed.tv_sec ||
	     st.st_mtim.tv_nsec != i->changed.tv_nsec))
		read_keys(i, fd, &st);
	close(fd);
}

/* Is there a question under way now? No more than one in a minute. */
static bool ask_for_keys(struct oauth_checker *o, uint32_t number, ms_t now)
{
	struct issuer *i = &o->issuers[number];
	struct msg_FETCH m = { .what = FETCH_KEYS,
			       .name = span_str(o->conf->oauth[number].issuer) };

	if (i->fetch)
		return true;
	if (!from_web(&o->conf->oauth[number]) || now - i->asked < ASK_EVERY)
		return false;
	m.ask = ++o->last;
	if (!o->calls.fetch(o->arg, &m))
		return false;
	i->asked = now;
	i->fetch = m.ask;
	return true;
}

static struct jwt_wanted wanted(const struct oauth *c, ms_t wall)
{
	return (struct jwt_wanted){ .issuer = c->issuer,
				    .audience = c->audience,
				    .user = c->user,
				    .wall = wall / MS_SECOND };
}

/* With the keys that there are, or will be if may_wait. */
static void check_signed(struct oauth_checker *o, struct oauth_ask *ask,
			 struct span token, ms_t now, ms_t wall, bool may_wait)
{
	const struct oauth *c = &o->conf->oauth[ask->issuer];
	struct issuer *i = &o->issuers[ask->issuer];
	struct jwt_wanted want = wanted(c, wall);
	enum jwt_verdict v = JWT_UNKNOWN_KEY;
	char user[USER_MAX + 1] = { 0 };
	bool usable;

	if (!from_web(c))
		look_at_file(i, c->keys, now);
	else if (i->keys && now >= i->fresh_until)
		(void)ask_for_keys(o, ask->issuer, now); /* nobody need wait for it */
	usable = i->keys &&
		 (i->fresh_until == MS_NEVER || now < i->fresh_until + STALE_MAX);
	if (usable)
		v = jwt_check(i->keys, token, &want, user);
	if (v != JWT_UNKNOWN_KEY) {
		judged(ask, v, user);
		return;
	}
	if (may_wait && ask_for_keys(o, ask->issuer, now) && wait_for(o, ask, token, now)) {
		ask->fetch = 0;
		return;
	}
	if (usable)
		judged(ask, v, user);
	else
		later(ask, "no-keys");
}

/* ---- introspection --------------------------------------------------------------- */
static bool introspects(const struct oauth_checker *o, uint32_t number)
{
	return number < o->conf->oauth_count && *o->conf->oauth[number].introspect;
}

static const char *send_token(struct oauth_checker *o, struct oauth_ask *ask,
			      struct span token)
{
	const struct oauth *c = &o->conf->oauth[ask->issuer];
	struct msg_FETCH m = { .ask = ++o->last,
			       .what = FETCH_INTROSPECT,
			       .name = span_str(c->issuer) };
	struct span user = SPAN_NONE, secret = SPAN_NONE;
	uint8_t mem[FETCH_TEXT_MAX];
	const char *why = NULL;
	struct buf text;

	if (*c->login && !o->calls.credential(o->arg, c->login, &user, &secret))
		return "no-credential";
	buf_init(&text, mem, sizeof(mem));
	list_put(&text, user);
	list_put(&text, secret);
	list_put(&text, token);
	m.text = buf_span(&text);
	if (text.full || !o->calls.fetch(o->arg, &m))
		why = "no-fetch";
	explicit_bzero(mem, sizeof(mem));
	ask->fetch = m.ask;
	return why;
}

/* It is in the list before it is sent: the answer may come at once. */
static void introspect(struct oauth_checker *o, struct oauth_ask *ask, struct span token,
		       ms_t now)
{
	const char *why;

	if (!wait_for(o, ask, token, now)) {
		later(ask, "too-many");
		return;
	}
	why = send_token(o, ask, span_of(ask->token, ask->token_n));
	if (why)
		later(ask, why);
}

/* Who says nothing itself is shown to one after the other, until one knows it. */
static bool has_next(const struct oauth_checker *o, struct oauth_ask *ask)
{
	for (uint32_t n = ask->issuer + 1; ask->opaque && n < o->conf->oauth_count; n++)
		if (introspects(o, n)) {
			ask->issuer = n;
			return true;
		}
	return false;
}

static void introspected(struct oauth_checker *o, struct oauth_ask *ask,
			 const struct msg_FETCHED *m, ms_t now, ms_t wall)
{
	struct jwt_wanted want = wanted(&o->conf->oauth[ask->issuer], wall);
	char user[USER_MAX + 1] = { 0 };
	enum jwt_verdict v;

	if (!m->ok) {
		later(ask, "no-answer");
		return;
	}
	v = jwt_check_answer(m->body, &want, user);
	if (v == JWT_INACTIVE && has_next(o, ask))
		introspect(o, ask, SPAN_NONE, now);
	else if (v == JWT_MALFORMED)
		later(ask, "bad-answer"); /* the issuer's mistake, not the client's */
	else
		judged(ask, v, user);
}

/* ---- all together ---------------------------------------------------------------- */
/* The issuer that it names; of one that names none, the first that can be asked. */
static bool find_issuer(const struct oauth_checker *o, struct oauth_ask *ask,
			struct span token)
{
	char name[TEXT_MAX];

	ask->opaque = !jwt_issuer(token, name, sizeof(name));
	for (uint32_t n = 0; n < o->conf->oauth_count; n++) {
		if (ask->opaque ? !introspects(o, n)
				: strcmp(name, o->conf->oauth[n].issuer) != 0)
			continue;
		ask->issuer = n;
		return true;
	}
	return false;
}

void oauth_begin(struct oauth_checker *o, struct oauth_ask *ask, struct span token,
		 ms_t now, ms_t wall,
		 void (*on_done)(void *arg, const struct oauth_result *r), void *arg)
{
	*ask = (struct oauth_ask){ .on_done = on_done, .arg = arg };
	if (token.n == 0 || token.n > JWT_MAX) {
		judged(ask, JWT_MALFORMED, "");
		return;
	}
	if (!find_issuer(o, ask, token)) {
		judged(ask, JWT_ISSUER, "");
		return;
	}
	if (!ask->opaque && *o->conf->oauth[ask->issuer].keys)
		check_signed(o, ask, token, now, wall, true);
	else
		introspect(o, ask, token, now);
}

static struct oauth_ask *find_ask(const struct oauth_checker *o, uint64_t fetch,
				  uint32_t issuer)
{
	struct oauth_ask *a = o->first;

	while (a && (a->fetch != fetch || (fetch == 0 && a->issuer != issuer)))
		a = a->next;
	return a;
}

/* Whoever waits for these keys is judged by them, or by those that there were. */
static void keys_came(struct oauth_checker *o, uint32_t number,
		      const struct msg_FETCHED *m, ms_t now, ms_t wall)
{
	struct issuer *i = &o->issuers[number];
	struct jwt_keys *keys;
	struct oauth_ask *ask;
	struct err unused;

	i->fetch = 0;
	if (m->ok && jwt_keys_open(&keys, m->body, &unused))
		set_keys(i, keys, now + (ms_t)m->keep * MS_SECOND);
	while ((ask = find_ask(o, 0, number)))
		check_signed(o, ask, span_of(ask->token, ask->token_n), now, wall, false);
}

void oauth_fetched(struct oauth_checker *o, const struct msg_FETCHED *m, ms_t now,
		   ms_t wall)
{
	struct oauth_ask *ask;

	if (m->ask == 0)
		return;
	for (uint32_t n = 0; n < o->conf->oauth_count; n++)
		if (o->issuers[n].fetch == m->ask) {
			keys_came(o, n, m, now, wall);
			return;
		}
	ask = find_ask(o, m->ask, 0);
	if (ask)
		introspected(o, ask, m, now, wall);
}

void oauth_gone(struct oauth_checker *o, ms_t now)
{
	(void)now;
	for (size_t i = 0; i < OAUTH_MAX; i++) {
		if (!o->issuers[i].fetch)
			continue;
		o->issuers[i].fetch = 0;
		o->issuers[i].asked = NEVER_ASKED;
	}
	while (o->first)
		later(o->first, "no-fetch");
}

ms_t oauth_next(const struct oauth_checker *o)
{
	ms_t next = MS_NEVER;

	for (const struct oauth_ask *a = o->first; a; a = a->next)
		if (a->until < next)
			next = a->until;
	return next;
}

static struct oauth_ask *overdue(const struct oauth_checker *o, ms_t now)
{
	struct oauth_ask *a = o->first;

	while (a && a->until > now)
		a = a->next;
	return a;
}

void oauth_on_time(struct oauth_checker *o, ms_t now, ms_t wall)
{
	struct oauth_ask *ask;

	(void)wall;
	while ((ask = overdue(o, now)))
		later(ask, "no-answer");
}

void oauth_error_print(enum sasl_mechanism m, struct buf *out)
{
	if (m == SASL_XOAUTH2)
		buf_put(out,
			SPAN("{\"status\":\"401\",\"schemes\":\"bearer\",\"scope\":\"mail\"}"));
	else
		buf_put(out, SPAN("{\"status\":\"invalid_token\"}"));
}

bool oauth_keys_dir(const struct oauth *c, char out[TEXT_MAX])
{
	size_t slash = span_find_last(span_str(c->keys), '/');

	if (c->keys[0] != '/')
		return false;
	memset(out, 0, TEXT_MAX);
	memcpy(out, c->keys, slash ? slash : 1);
	return true;
}

/* ---- opening and closing --------------------------------------------------------- */
static void adopt(struct oauth_checker *o, const struct conf *conf)
{
	o->conf = conf;
	for (size_t i = 0; i < OAUTH_MAX; i++) {
		set_keys(&o->issuers[i], NULL, 0);
		o->issuers[i] = (struct issuer){ .asked = NEVER_ASKED,
						 .looked = -LOOK_EVERY };
	}
	for (uint32_t n = 0; n < conf->oauth_count; n++)
		if (*conf->oauth[n].keys && !from_web(&conf->oauth[n]))
			look_at_file(&o->issuers[n], conf->oauth[n].keys, 0);
}

void oauth_conf(struct oauth_checker *o, const struct conf *conf)
{
	while (o->first)
		later(o->first, "reload");
	adopt(o, conf);
}

bool oauth_open(struct oauth_checker **out, const struct conf *conf,
		const struct oauth_calls *calls, void *arg, struct err *err)
{
	struct oauth_checker *o = calloc(1, sizeof(*o));

	if (!o)
		return err_set(err, "out of memory");
	o->calls = *calls;
	o->arg = arg;
	adopt(o, conf);
	*out = o;
	return true;
}

void oauth_close(struct oauth_checker **checker)
{
	struct oauth_checker *o = *checker;

	*checker = NULL;
	if (!o)
		return;
	while (o->first)
		oauth_forget(o->first);
	for (size_t i = 0; i < OAUTH_MAX; i++)
		jwt_keys_close(&o->issuers[i].keys);
	free(o);
}
