#include "auth/passwords_inner.h"

#include <stdlib.h>

#include "base/list.h"
#include "crypt/scram.h"
#include "io/idn.h"
#include "spec/control.h"

/* Commands at once: the administrator is a person, or a script that waits. */
#define JOBS_MAX 16

struct passwords {
	struct loop *loop;
	struct keeper *keeper;
	const struct passwords_answers *answers;
	void *arg;
	bool scram;
	struct job jobs[JOBS_MAX];
};

bool passwords_open(struct passwords **out, struct loop *loop, struct keeper *keeper,
		    const struct passwords_answers *answers, void *arg, struct err *err)
{
	struct passwords *p = calloc(1, sizeof(*p));

	if (!p)
		return err_set(err, "out of memory");
	p->loop = loop;
	p->keeper = keeper;
	p->answers = answers;
	p->arg = arg;
	*out = p;
	return true;
}

void passwords_close(struct passwords **passwords)
{
	struct passwords *p = *passwords;

	*passwords = NULL;
	if (!p)
		return;
	password_wipe(span_of(p->jobs, sizeof(p->jobs)));
	free(p);
}

void passwords_scram(struct passwords *p, bool wanted)
{
	p->scram = wanted;
}

void passwords_keep_name(struct job *j, struct span name)
{
	uint8_t mem[sizeof(j->name)];
	struct buf b, ascii;

	buf_init(&b, j->name, sizeof(j->name));
	buf_put_lower(&b, name);
	j->name_n = b.len;
	buf_init(&ascii, mem, sizeof(mem));
	if (idn_address(name_of(j), &ascii) || ascii.full)
		return;
	memcpy(j->name, mem, ascii.len);
	j->name_n = ascii.len;
}

/* ---- in the thread: changes ---------------------------------------------------------- */

static bool put_password(struct job *j, struct vault *v, struct span hash,
			 struct span keys)
{
	int64_t count;

	j->found = true;
	return vault_put(v, name_of(j), hash, keys, j->wall, &j->err) &&
	       (!j->forget || vault_forget_devices(v, name_of(j), &count, &j->err));
}

static bool set(struct job *j)
{
	uint8_t mem[PASSWORD_HASH_MAX], keys_mem[SCRAM_KEYS_MAX];
	struct span secret = span_of(j->secret, j->secret_n);
	struct buf hash, keys;
	struct scram_keys made;
	bool ok;

	buf_init(&hash, mem, sizeof(mem));
	buf_init(&keys, keys_mem, sizeof(keys_mem));
	ok = password_hash(secret, &hash) && (!j->scram || scram_make_keys(secret, &made));
	password_wipe(span_of(j->secret, sizeof(j->secret)));
	if (!ok)
		return err_set(&j->err, "no memory for hashing");
	if (j->scram)
		scram_print_keys(&made, &keys);
	ok = put_password(j, keeper_lock(j->all->keeper), buf_span(&hash),
			  buf_span(&keys));
	keeper_unlock(j->all->keeper);
	password_wipe(span_of(&made, sizeof(made)));
	password_wipe(span_of(keys_mem, sizeof(keys_mem)));
	return ok;
}

static bool drop(struct job *j, struct vault *v)
{
	return vault_drop(v, name_of(j), &j->found, &j->err);
}

static bool disable(struct job *j, struct vault *v)
{
	return vault_disable(v, name_of(j), true, j->wall, &j->found, &j->err);
}

static bool enable(struct job *j, struct vault *v)
{
	return vault_disable(v, name_of(j), false, j->wall, &j->found, &j->err);
}

static bool forget(struct job *j, struct vault *v)
{
	int64_t count = 0;
	bool ok = vault_forget_devices(v, name_of(j), &count, &j->err);

	j->found = count > 0;
	return ok;
}

/* Nothing of the database: only the guard and the log are told. */
static bool note(struct job *j, struct vault *v)
{
	(void)v;
	j->found = true;
	return true;
}

static bool unguard(struct job *j, struct vault *v)
{
	return note(j, v);
}

static bool relay_set(struct job *j, struct vault *v)
{
	bool ok = vault_put_credential(v, name_of(j), span_of(j->user, j->user_n),
				       span_of(j->secret, j->secret_n), j->wall, &j->err);

	password_wipe(span_of(j->secret, sizeof(j->secret)));
	j->found = true;
	return ok;
}

static bool relay_drop(struct job *j, struct vault *v)
{
	return vault_drop_credential(v, name_of(j), &j->found, &j->err);
}

static const struct kind kinds[] = {
	/* clang-format off */
	{ "passwd", "list",	0, false, false, passwords_list, NULL, NULL, NULL },
	{ "passwd", "set",	1, true,  true,  NULL, "The password is set.", NULL, "password set" },
	{ "passwd", "remove",	1, false, true,  drop, "The password is removed.",
	  CONTROL_NO_PASSWORD, "password removed" },
	{ "passwd", "disable",	1, false, true,  disable, "The account is disabled.",
	  "The account is disabled already.", "account disabled" },
	{ "passwd", "enable",	1, false, true,  enable, "The account is enabled.",
	  "The account is not disabled.", "account enabled" },
	{ "passwd", "state",	1, false, true,  passwords_state, NULL, NULL, NULL },
	{ "passwd", "devices",	1, false, true,  passwords_devices, NULL, NULL, NULL },
	{ "passwd", "forget",	1, false, true,  forget, "Its devices are forgotten.",
	  "No device of that account is known.", "devices forgotten" },
	{ "passwd", "changed",	1, false, true,  note, "Noted: what was wrong is checked again.",
	  NULL, "password changed elsewhere" },
	{ "passwd", "unguard",	1, false, true,  unguard, "The account is guarded no more.",
	  NULL, "account guarded no more" },
	{ "passwd", "logins",	1, false, true,  passwords_logins, NULL, NULL, NULL },
	{ "passwd", "failures", 1, false, true,  passwords_failures, NULL, NULL, NULL },
	{ "relay",  "list",	0, false, false, passwords_relays, NULL, NULL, NULL },
	{ "relay",  "passwd",	2, true,  false, relay_set, "The login is set.", NULL, "login set" },
	{ "relay",  "remove",	1, false, false, relay_drop, "The login is removed.",
	  "There is no login of that name.", "login removed" },
	/* clang-format on */
};

#define KIND_SET (&kinds[1])

static bool is_list(const struct kind *k)
{
	return k->logged == NULL;
}

static void run(void *arg)
{
	struct job *j = arg;

	buf_init(&j->rows, j->rows_mem, sizeof(j->rows_mem));
	j->told = 0;
	/* hashing is not done with the lock held */
	if (j->kind == KIND_SET) {
		j->ok = set(j);
		return;
	}
	j->ok = j->kind->run(j, keeper_lock(j->all->keeper));
	keeper_unlock(j->all->keeper);
}

/* ---- in the loop ---------------------------------------- */

static void end(struct job *j, bool ok, const char *text)
{
	j->all->answers->end(j->all->arg, j->ask, ok, span_str(text));
	password_wipe(span_of(j->secret, sizeof(j->secret)));
	j->kind = NULL;
}

static void on_done(void *arg);

static void start(struct job *j)
{
	j->parked = false;
	if (!work_run(j->all->loop, run, on_done, j))
		end(j, false, "Out of memory.");
}

static void tell_page(struct job *j)
{
	struct passwords *p = j->all;
	struct span rows = buf_span(&j->rows), row;

	while (list_next(&rows, &row)) {
		if (!p->answers->row(p->arg, j->ask, row)) {
			j->kind = NULL;
			return;
		}
	}
	j->before += j->told;
	if (j->told < PAGE)
		end(j, true, "");
	else if (p->answers->wait(p->arg))
		j->parked = true;
	else
		start(j);
}

static unsigned also_of(const struct job *j)
{
	return (j->kind->run == unguard ? ALSO_UNGUARD : 0) |
	       (j->forget || j->kind->run == forget ? ALSO_FORGET : 0);
}

static void on_done(void *arg)
{
	struct job *j = arg;
	struct passwords *p = j->all;

	if (!j->ok) {
		end(j, false, j->err.text);
	} else if (is_list(j->kind)) {
		tell_page(j);
	} else if (!j->found) {
		end(j, false, j->kind->nothing);
	} else {
		p->answers->changed(p->arg, name_of(j), j->kind->logged, also_of(j));
		end(j, true, j->kind->done);
	}
}

void passwords_go_on(struct passwords *p)
{
	for (struct job *j = p->jobs; j < p->jobs + JOBS_MAX; j++)
		if (j->kind && j->parked)
			start(j);
}

/* ---- commands ---------------------------------------- */

static const struct kind *find_kind(struct span first, struct span word)
{
	for (const struct kind *k = kinds; k < kinds + COUNT_OF(kinds); k++)
		if (span_eq(first, span_str(k->first)) && span_eq(word, span_str(k->word)))
			return k;
	return NULL;
}

static bool is_address(struct span s)
{
	return s.n > 0 && s.n <= ADDRESS_MAX && span_find(s, '@') < s.n;
}

static bool is_name(struct span s)
{
	return s.n > 0 && s.n < TEXT_MAX && span_find(s, '\0') == s.n;
}

struct order {
	const struct kind *kind;
	struct span name, user, secret;
	bool forget;
};

static const char *judge(const struct order *o)
{
	const struct kind *k = o->kind;

	if (!k)
		return "There is no such command. The server may be older than this program.";
	if (k->address && !is_address(o->name))
		return "That is not an address: user@domain.";
	if (k->names && !k->address && !is_name(o->name))
		return "That is not a name.";
	if (k->names > 1 && (o->user.n > USER_MAX || !is_name(o->user)))
		return "That is not the name of a user.";
	if (k->secret && !password_ok(o->secret))
		return "A password has 1 to 1024 bytes, and no NUL among them.";
	return NULL;
}

/* NULL: it is understood; otherwise what is wrong with it. */
static const char *read_order(struct span words, struct order *out)
{
	struct span first, word, rest;

	*out = (struct order){ 0 };
	if (!list_next(&words, &first) || !list_next(&words, &word))
		return "What about it? See holdfast user help, or holdfast relay help.";
	out->kind = find_kind(first, word);
	out->name = word;
	if (!out->kind && span_eq(first, SPAN("passwd")) && is_address(word))
		out->kind = KIND_SET;
	else if (out->kind && out->kind->names && !list_next(&words, &out->name))
		out->name = SPAN_NONE;
	if (out->kind && out->kind->names > 1 && !list_next(&words, &out->user))
		out->user = SPAN_NONE;
	if (out->kind && out->kind->secret && !list_next(&words, &out->secret))
		out->secret = SPAN_NONE;
	out->forget = list_next(&words, &rest) && span_eq(rest, SPAN("forget"));
	return judge(out);
}

static struct job *free_job(struct passwords *p)
{
	for (struct job *j = p->jobs; j < p->jobs + JOBS_MAX; j++)
		if (!j->kind)
			return j;
	return NULL;
}

static size_t copy(uint8_t *out, struct span s)
{
	if (s.n)
		memcpy(out, s.p, s.n);
	return s.n;
}

void passwords_command(struct passwords *p, uint32_t ask, struct span words, int64_t wall)
{
	struct order order;
	const char *wrong = read_order(words, &order);
	struct job *j = free_job(p);

	if (!wrong && !j)
		wrong = "Too many commands at once. Try again in a moment.";
	if (wrong) {
		p->answers->end(p->arg, ask, false, span_str(wrong));
		return;
	}
	j->all = p;
	j->kind = order.kind;
	j->ask = ask;
	j->wall = wall;
	j->ok = j->found = j->parked = false;
	j->before = 0;
	j->scram = p->scram;
	j->forget = order.forget;
	j->name_n = 0;
	if (order.kind->names)
		passwords_keep_name(j, order.name);
	j->user_n = copy(j->user, order.user);
	j->secret_n = copy(j->secret, order.secret);
	start(j);
}
