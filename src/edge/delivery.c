#include "edge/delivery.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/list.h"
#include "edge/job.h"

/* ---- jobs come in ----------------------------------------------------------------------- */

static bool is_network(uint8_t hop)
{
	return hop == HOP_LMTP_UNIX || hop == HOP_LMTP || hop == HOP_SMTP;
}

/* The spans point into the job's copy of the frame. */
static bool read_deliver(struct job *j, struct span frame)
{
	struct msg_DELIVER m;

	if (!msg_DELIVER_unpack(frame, &m) || !is_network(m.hop) ||
	    !delivery_rcpts_ok(m.rcpts))
		return false;
	j->number = m.job;
	j->hop = m.hop;
	j->target = m.target;
	j->body.inlined = m.body;
	j->setup.helo = m.helo;
	j->setup.sender = m.sender;
	j->setup.rcpts = m.rcpts;
	j->setup.flags = m.flags;
	j->setup.size = m.size;
	return true;
}

/* A list of one recipient needs memory of its own: behind the frame. */
static bool read_probe(struct job *j, struct span frame, uint8_t *behind)
{
	struct msg_PROBE m;
	struct buf list;

	if (!msg_PROBE_unpack(frame, &m) || !is_network(m.hop))
		return false;
	buf_init(&list, behind, ADDRESS_MAX + 2);
	list_put(&list, m.address);
	j->number = m.job;
	j->hop = m.hop;
	j->target = m.target;
	j->setup.probe = true;
	j->setup.helo = m.helo;
	j->setup.rcpts = buf_span(&list);
	for (size_t i = 0; i < m.address.n; i++)
		if (m.address.p[i] > 0x7f)
			j->setup.flags = MAIL_UTF8;
	return true;
}

static struct job *copy(struct deliveries *d, const struct frame *f)
{
	struct job *j = calloc(1, sizeof(*j));

	if (!j)
		return NULL;
	j->all = d;
	j->body.fd = -1;
	j->frame = malloc(f->bytes.n + ADDRESS_MAX + 2);
	if (!j->frame) {
		free(j);
		return NULL;
	}
	memcpy(j->frame, f->bytes.p, f->bytes.n);
	return j;
}

static bool read_frame(struct job *j, const struct frame *f)
{
	struct span frame = span_of(j->frame, f->bytes.n);

	if (f->kind == MSG_PROBE)
		return read_probe(j, frame, j->frame + frame.n);
	return f->kind == MSG_DELIVER && read_deliver(j, frame);
}

/* Memory is short: an answer without items says 000 for all. */
static void decline(struct deliveries *d, const struct frame *f)
{
	struct msg_DELIVERED m = { 0 };
	struct msg_DELIVER deliver;
	struct msg_PROBE probe;

	if (msg_DELIVER_unpack(f->bytes, &deliver))
		m.job = deliver.job;
	else if (msg_PROBE_unpack(f->bytes, &probe))
		m.job = probe.job;
	deliveries_send(d, &m);
}

static void enter(struct job *j)
{
	struct deliveries *d = j->all;

	j->next = d->first;
	j->back = &d->first;
	if (j->next)
		j->next->back = &j->next;
	d->first = j;
	d->count++;
	pulse_gauge(d->setup.pulse, GAUGE_DELIVERIES, 1);
}

void deliveries_leave(struct job *j)
{
	struct deliveries *d = j->all;

	*j->back = j->next;
	if (j->next)
		j->next->back = j->back;
	d->count--;
	pulse_gauge(d->setup.pulse, GAUGE_DELIVERIES, -1);
	d->setup.on_ended(d->setup.arg);
}

/* A link that broke its owner finds out about. */
void deliveries_send(struct deliveries *d, const struct msg_DELIVERED *m)
{
	if (!d->store)
		return;
	msg_DELIVERED_pack(m, link_begin(d->store));
	(void)link_send(d->store, NULL, 0);
	d->setup.on_sent(d->setup.arg);
}

static void drop_fd(struct frame *f)
{
	if (f->fds[0] >= 0)
		close(f->fds[0]);
	f->fds[0] = -1;
}

bool deliveries_take(struct deliveries *d, struct frame *f)
{
	struct job *j = copy(d, f);

	if (j && !read_frame(j, f)) {
		job_release(j);
		drop_fd(f);
		return false;
	}
	if (j)
		j->setup.answers = malloc(answers_room(list_count(j->setup.rcpts)));
	if (!j || !j->setup.answers) {
		if (j)
			job_release(j);
		drop_fd(f);
		decline(d, f);
		return true;
	}
	j->wanted = true;
	j->body.fd = f->fds[0];
	f->fds[0] = -1;
	enter(j);
	job_begin(j);
	return true;
}

/* ---- all of them ------------------------------------------------------------------------ */

bool deliveries_open(struct deliveries **out, const struct deliveries_setup *setup,
		     struct err *err)
{
	const struct dns_setup dns = { .servers = setup->name_servers };
	struct deliveries *d = calloc(1, sizeof(*d));

	if (!d)
		return err_set(err, "deliveries: out of memory");
	d->setup = *setup;
	if (!dns_open(&d->dns, setup->loop, &dns, err)) {
		free(d);
		return false;
	}
	*out = d;
	return true;
}

void deliveries_close(struct deliveries **deliveries)
{
	struct deliveries *d = *deliveries;

	if (!d)
		return;
	while (d->first)
		job_end(d->first);
	dns_close(&d->dns);
	free(d);
	*deliveries = NULL;
}

void deliveries_link(struct deliveries *d, struct link *store)
{
	struct job *next;

	d->store = store;
	for (struct job *j = d->first; j; j = next) {
		next = j->next;
		j->wanted = false;
		if (!job_is_beyond_recall(j))
			job_end(j);
	}
}

void deliveries_reconf(struct deliveries *d, const struct conf *conf)
{
	d->setup.conf = conf;
}

void deliveries_stop(struct deliveries *d)
{
	d->stopping = true;
}

size_t deliveries_count(const struct deliveries *d)
{
	return d->count;
}
