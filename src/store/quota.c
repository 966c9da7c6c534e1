#include "store/quota.h"

#include <stdlib.h>

#include "store/inner.h"

/*
 * How much is in whose mailbox. What we deliver is added up; what the owner deletes is not
 * seen, so a mailbox that seems full is looked at again, in a thread, every now and then.
 */

#define LOOK_AT_ONCE   16
#define LOOK_AGAIN     (20 * MS_SECOND)
#define WALK_PER_ROUND 20000 /* slots of the table */

struct look {
	struct span mailbox;
	uint8_t text[ADDRESS_MAX];
	int64_t used;
	bool good;
};

struct quota_job {
	struct store *store;
	size_t count;
	struct look looks[LOOK_AT_ONCE];
};

static int64_t quota_of(const struct store *s, const struct user *u)
{
	return u->quota == QUOTA_DEFAULT ? s->conf->set.quota : u->quota;
}

static void judge(struct store *s, struct user *u)
{
	int64_t quota = quota_of(s, u);
	bool full = quota > 0 && u->used != USED_UNKNOWN && u->used >= quota;

	if (full != u->full)
		recipients_mark_full(&s->recipients, u, full);
}

void quota_added(struct store *s, struct span mailbox, int64_t bytes)
{
	struct user *u = recipients_user(&s->recipients, mailbox);

	if (!u || u->used == USED_UNKNOWN)
		return;
	u->used += bytes;
	judge(s, u);
}

void quota_look_again(struct store *s, struct span mailbox)
{
	struct user *u = recipients_user(&s->recipients, mailbox);

	if (u)
		u->looked = 0;
}

static void judge_table(struct store *s, const struct names *users)
{
	struct name *n;
	size_t i = 0;

	while ((n = names_each(users, &i)))
		judge(s, (struct user *)n);
}

void quota_judge_all(struct store *s)
{
	judge_table(s, &s->recipients.own.users);
	judge_table(s, &s->recipients.given.users);
}

/* ---- looking ---- */

static void run_looks(void *arg)
{
	struct quota_job *j = arg;

	for (size_t i = 0; i < j->count; i++) {
		struct look *l = &j->looks[i];
		uint8_t mem[MAILDIR_PATH_MAX];
		struct buf path;

		buf_init(&path, mem, sizeof(mem));
		l->good = maildirs_path(&j->store->maildirs, l->mailbox, &path) &&
			  maildir_usage(&j->store->maildirs, buf_span(&path), &l->used);
	}
}

static void on_looked(void *arg)
{
	struct quota_job *j = arg;
	struct store *s = j->store;

	for (size_t i = 0; i < j->count; i++) {
		struct user *u = recipients_user(&s->recipients, j->looks[i].mailbox);

		if (!u || !j->looks[i].good)
			continue;
		u->used = j->looks[i].used;
		judge(s, u);
	}
	s->quota_busy = false;
	free(j);
}

static void add_look(struct quota_job *j, struct user *u, ms_t now)
{
	struct look *l = &j->looks[j->count];

	if (u->name.text.n > sizeof(l->text))
		return;
	memcpy(l->text, u->name.text.p, u->name.text.n);
	l->mailbox = span_of(l->text, u->name.text.n);
	u->looked = now;
	j->count++;
}

/* Go round both tables, a stretch at a time. */
static void choose(struct store *s, struct quota_job *j, ms_t now)
{
	const struct names *tables[] = { &s->recipients.own.users,
					 &s->recipients.given.users };
	size_t end = s->quota_at + WALK_PER_ROUND, caps = tables[0]->cap + tables[1]->cap;

	for (; s->quota_at < end && s->quota_at < caps && j->count < LOOK_AT_ONCE;
	     s->quota_at++) {
		bool own = s->quota_at < tables[0]->cap;
		const struct names *t = tables[own ? 0 : 1];
		struct user *u =
			(struct user *)
				t->slots[own ? s->quota_at : s->quota_at - tables[0]->cap];

		if (!u || quota_of(s, u) == 0)
			continue;
		if ((u->used == USED_UNKNOWN && u->looked == 0) ||
		    ((u->full || u->used == USED_UNKNOWN) && now - u->looked > LOOK_AGAIN))
			add_look(j, u, now);
	}
	if (s->quota_at >= caps)
		s->quota_at = 0;
}

void quota_tick(struct store *s, ms_t now)
{
	struct quota_job *j = s->quota_busy ? NULL : calloc(1, sizeof(*j));

	if (!j)
		return;
	j->store = s;
	choose(s, j, now);
	s->quota_busy = j->count > 0 && work_run(s->loop, run_looks, on_looked, j);
	if (!s->quota_busy)
		free(j);
}
