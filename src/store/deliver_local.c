/*
 * Mailboxes are written in threads, many mails at a time, because each sync costs.
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "store/inner.h"
#include "store/quota.h"
#include "store/spool.h"

/* Where one mail's names are while the thread writes it. */
struct names_of_mail {
	uint8_t path[MAILDIR_PATH_MAX];
	uint8_t name[MAILDIR_NAME_MAX];
};

struct maildir_job {
	struct store *store;
	struct parcel *first;
	size_t count; /* mails */
	struct mail *mails;
	struct mail **list;
	struct names_of_mail *names;
	char hostname[DOMAIN_MAX + 1];
};

bool local_has_room(const struct store *s)
{
	return s->line.waiting < MAILDIR_WAITING &&
	       writer_bytes(s->writer) < STORE_MEMORY_MAX / 2;
}

static void job_free(struct maildir_job *j)
{
	free(j->names);
	free(j->mails);
	free(j->list);
	free(j);
}

static struct maildir_job *job_new(struct store *s, size_t count)
{
	struct maildir_job *j = calloc(1, sizeof(*j));

	if (!j)
		return NULL;
	j->store = s;
	j->mails = calloc(count, sizeof(*j->mails));
	j->list = calloc(count, sizeof(struct mail *));
	j->names = malloc(count * sizeof(*j->names));
	snprintf(j->hostname, sizeof(j->hostname), "%s", s->hostname);
	if (j->mails && j->list && j->names)
		return j;
	job_free(j);
	return NULL;
}

/* ---- in the thread ---- */

/* Fill in one mail; one that cannot be delivered is left out of the list. */
static bool address_mail(struct maildir_job *j, const struct parcel *p, size_t i,
			 int spool, struct mail *m, struct names_of_mail *names)
{
	struct buf path, name;

	buf_init(&path, names->path, sizeof(names->path));
	buf_init(&name, names->name, sizeof(names->name));
	maildir_name(p->wall, p->id, p->rcpts[i].number, span_str(j->hostname), &name);
	*m = (struct mail){
		.name = buf_span(&name),
		.sender = p->sender,
		.address = p->rcpts[i].address,
		.body = p->body,
		.spool = spool,
		.binary = p->flags & MAIL_BINARY,
		.again = p->again,
	};
	if (!maildirs_path(&j->store->maildirs, p->rcpts[i].mailbox, &path)) {
		snprintf(m->why, sizeof(m->why), "no mailbox can have that name");
		return false;
	}
	if (p->spooled && spool < 0) {
		snprintf(m->why, sizeof(m->why), "the file of its body cannot be opened");
		return false;
	}
	m->path = buf_span(&path);
	return true;
}

static void run_job(void *arg)
{
	struct maildir_job *j = arg;
	size_t at = 0, listed = 0;

	for (struct parcel *p = j->first; p; p = p->next) {
		int spool = p->spooled ? spool_read(j->store, p->id) : -1;

		p->mails = &j->mails[at];
		for (size_t i = 0; i < p->count; i++, at++)
			if (address_mail(j, p, i, spool, &j->mails[at], &j->names[at]))
				j->list[listed++] = &j->mails[at];
	}
	for (at = 0; at < listed; at += MAILDIR_BATCH)
		maildir_deliver(&j->store->maildirs, j->list + at,
				listed - at < MAILDIR_BATCH ? listed - at : MAILDIR_BATCH);
	for (struct parcel *p = j->first; p; p = p->next)
		if (p->mails[0].spool >= 0)
			close(p->mails[0].spool);
}

/* ---- in the loop ---- */

static void settle(struct store *s, struct parcel *p)
{
	struct outcome list[PARCEL_TO_MAX];
	struct outcomes o = parcel_outcomes(p, list);

	for (size_t i = 0; i < o.count; i++) {
		const struct mail *m = &p->mails[i];

		list[i].kind = m->delivered ? OUTCOME_DONE : OUTCOME_LATER;
		list[i].answer = m->delivered
					 ? m->found ? SPAN("was in the mailbox already")
						    : SPAN("in the mailbox")
					 : span_str(m->why);
		if (m->delivered && !m->found)
			quota_added(s, p->rcpts[i].mailbox, m->size);
	}
	outcomes_put(s, &o);
	deliver_over(s, p->to);
	parcel_drop(p);
}

static void start_jobs(struct store *s);

static void on_job(void *arg)
{
	struct maildir_job *j = arg;
	struct store *s = j->store;

	for (struct parcel *p = j->first, *next; p; p = next) {
		next = p->next;
		settle(s, p);
	}
	job_free(j);
	s->line.jobs--;
	start_jobs(s);
}

/* As many parcels as make up one batch of mails. */
static struct parcel *cut_line(struct maildir_line *l, size_t *mails)
{
	struct parcel *first = l->first, *last = first;
	size_t count = first->count;

	while (last->next && count + last->next->count <= MAILDIR_BATCH) {
		last = last->next;
		count += last->count;
	}
	l->first = last->next;
	if (!l->first)
		l->last = &l->first;
	last->next = NULL;
	l->waiting -= count;
	*mails = count;
	return first;
}

static void send_back(struct store *s, struct parcel *p)
{
	for (struct parcel *next; p; p = next) {
		next = p->next;
		parcel_back(s, p);
	}
}

static void start_jobs(struct store *s)
{
	while (s->line.first && s->line.jobs < MAILDIR_JOBS) {
		size_t count;
		struct parcel *first = cut_line(&s->line, &count);
		struct maildir_job *j = job_new(s, count);

		if (!j) {
			send_back(s, first);
			continue;
		}
		j->first = first;
		j->count = count;
		if (!work_run(s->loop, run_job, on_job, j)) {
			job_free(j);
			send_back(s, first);
			continue;
		}
		s->line.jobs++;
	}
}

/* What arrives in one round is written together: see local_round(). */
void local_start(struct store *s, struct parcel *p)
{
	p->next = NULL;
	*s->line.last = p;
	s->line.last = &p->next;
	s->line.waiting += p->count;
}

void local_round(struct store *s)
{
	start_jobs(s);
}
