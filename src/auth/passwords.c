#include "auth/passwords.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/fields.h"
#include "base/list.h"
#include "crypt/password.h"
#include "db/accounts.h"
#include "spec/limits.h"

/* Commands at once: the administrator is a person, or a script that waits. */
#define JOBS_MAX 16

#define PAGE 50 /* addresses per turn of `list` */

enum job_kind {
	JOB_NONE,
	JOB_SET,
	JOB_REMOVE,
	JOB_LIST,
};

struct job {
	struct passwords *all;
	enum job_kind kind;
	uint32_t ask;
	int64_t wall;
	uint8_t address[ADDRESS_MAX]; /* of LIST: the last one told */
	size_t address_n;
	uint8_t secret[PASSWORD_MAX];
	size_t secret_n;
	bool parked; /* waits until its rows can be sent */
	bool ok, found;
	struct err err;
	uint8_t rows_mem[PAGE * (ADDRESS_MAX + 128)];
	struct buf rows; /* a list */
	size_t told;
};

struct passwords {
	struct loop *loop;
	struct accounts *accounts;
	pthread_mutex_t lock; /* held by whoever uses accounts */
	const struct passwords_answers *answers;
	void *arg;
	struct job jobs[JOBS_MAX];
};

bool passwords_open(struct passwords **out, struct loop *loop, const char *path,
		    const struct passwords_answers *answers, void *arg, struct err *err)
{
	struct passwords *p = calloc(1, sizeof(*p));

	if (!p)
		return err_set(err, "out of memory");
	if (!accounts_open(&p->accounts, path, err)) {
		free(p);
		return false;
	}
	p->loop = loop;
	p->answers = answers;
	p->arg = arg;
	pthread_mutex_init(&p->lock, NULL);
	*out = p;
	return true;
}

void passwords_close(struct passwords **passwords)
{
	struct passwords *p = *passwords;

	*passwords = NULL;
	if (!p)
		return;
	accounts_close(&p->accounts);
	pthread_mutex_destroy(&p->lock);
	password_wipe(span_of(p->jobs, sizeof(p->jobs)));
	free(p);
}

static struct span address_of(const struct job *j)
{
	return span_of(j->address, j->address_n);
}

static void keep_address(struct job *j, struct span address)
{
	struct buf b;

	buf_init(&b, j->address, sizeof(j->address));
	buf_put_lower(&b, address);
	j->address_n = b.len;
}

/* ---- in the thread ------------------------------------------------------------------ */

static bool set(struct job *j)
{
	uint8_t mem[PASSWORD_HASH_MAX];
	struct buf hash;
	bool ok;

	buf_init(&hash, mem, sizeof(mem));
	ok = password_hash(span_of(j->secret, j->secret_n), &hash);
	password_wipe(span_of(j->secret, sizeof(j->secret)));
	if (!ok)
		return err_set(&j->err, "no memory for hashing");
	pthread_mutex_lock(&j->all->lock);
	ok = accounts_put(j->all->accounts, address_of(j), buf_span(&hash), j->wall,
			  &j->err);
	pthread_mutex_unlock(&j->all->lock);
	return ok;
}

static bool drop(struct job *j)
{
	bool ok;

	pthread_mutex_lock(&j->all->lock);
	ok = accounts_drop(j->all->accounts, address_of(j), &j->found, &j->err);
	pthread_mutex_unlock(&j->all->lock);
	return ok;
}

static void put_row(void *arg, struct span address, struct span scheme, int64_t changed)
{
	struct job *j = arg;
	uint8_t mem[ADDRESS_MAX + 120];
	struct buf row;

	buf_init(&row, mem, sizeof(mem));
	field_text(&row, "address", address);
	field_text(&row, "scheme", scheme);
	field_time(&row, "changed", changed);
	list_put(&j->rows, buf_span(&row));
	keep_address(j, address);
	j->told++;
}

static bool list(struct job *j)
{
	uint8_t after[ADDRESS_MAX];
	size_t n = j->address_n;
	bool ok;

	memcpy(after, j->address, n);
	buf_init(&j->rows, j->rows_mem, sizeof(j->rows_mem));
	j->told = 0;
	pthread_mutex_lock(&j->all->lock);
	ok = accounts_each(j->all->accounts, span_of(after, n), PAGE, put_row, j, &j->err);
	pthread_mutex_unlock(&j->all->lock);
	return ok;
}

static void run(void *arg)
{
	struct job *j = arg;

	if (j->kind == JOB_SET)
		j->ok = set(j);
	else if (j->kind == JOB_REMOVE)
		j->ok = drop(j);
	else
		j->ok = list(j);
}

/* ---- in the loop ---------------------------------------------------------------------- */

static void end(struct job *j, bool ok, const char *text)
{
	j->all->answers->end(j->all->arg, j->ask, ok, span_str(text));
	j->kind = JOB_NONE;
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
			j->kind = JOB_NONE;
			return;
		}
	}
	if (j->told < PAGE)
		end(j, true, "");
	else if (p->answers->wait(p->arg))
		j->parked = true;
	else
		start(j);
}

static void on_done(void *arg)
{
	struct job *j = arg;
	struct passwords *p = j->all;

	if (!j->ok) {
		end(j, false, j->err.text);
	} else if (j->kind == JOB_LIST) {
		tell_page(j);
	} else if (j->kind == JOB_SET) {
		p->answers->changed(p->arg, address_of(j), "password set");
		end(j, true, "The password is set.");
	} else if (!j->found) {
		end(j, false, "That address has no password.");
	} else {
		p->answers->changed(p->arg, address_of(j), "password removed");
		end(j, true, "The password is removed.");
	}
}

void passwords_go_on(struct passwords *p)
{
	for (struct job *j = p->jobs; j < p->jobs + JOBS_MAX; j++)
		if (j->kind == JOB_LIST && j->parked)
			start(j);
}

/* ---- commands --------------------------------------------------------------------------- */

struct order {
	enum job_kind kind;
	struct span address, secret;
};

/* NULL: it is understood; otherwise what is wrong with it. */
static const char *read_order(struct span words, struct order *out)
{
	struct span command, word = SPAN_NONE, first, second = SPAN_NONE,
			     third = SPAN_NONE;

	*out = (struct order){ 0 };
	if (!list_next(&words, &command) || !list_next(&words, &word))
		return "passwd list, passwd remove ADDRESS, or passwd set ADDRESS";
	first = word;
	(void)!list_next(&words, &second);
	(void)!list_next(&words, &third);
	if (span_eq(first, SPAN("list"))) {
		out->kind = JOB_LIST;
		return NULL;
	}
	if (span_eq(first, SPAN("remove"))) {
		*out = (struct order){ JOB_REMOVE, second, SPAN_NONE };
	} else if (span_eq(first, SPAN("set"))) {
		*out = (struct order){ JOB_SET, second, third };
	} else {
		*out = (struct order){ JOB_SET, first, second };
	}
	if (out->address.n == 0 || out->address.n > ADDRESS_MAX ||
	    span_find(out->address, '@') == out->address.n)
		return "That is not an address: user@domain.";
	if (out->kind == JOB_SET && !password_ok(out->secret))
		return "A password has 1 to 1024 bytes, and no NUL among them.";
	return NULL;
}

static struct job *free_job(struct passwords *p)
{
	for (struct job *j = p->jobs; j < p->jobs + JOBS_MAX; j++)
		if (j->kind == JOB_NONE)
			return j;
	return NULL;
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
	keep_address(j, order.address);
	j->secret_n = order.secret.n;
	if (order.secret.n)
		memcpy(j->secret, order.secret.p, order.secret.n);
	start(j);
}
