#include "edge/delivery.h"

#include <stdlib.h>
#include <string.h>

#include "base/list.h"
#include "edge/job.h"

/* ---- jobs come in ----------------------------------------------------------------------- */

static bool is_network(uint8_t hop)
{
	return hop == HOP_LMTP_UNIX || hop == HOP_LMTP || hop == HOP_SMTP || hop == HOP_MX;
}

/* Of header fields: whole lines, and no empty one that would end the header section. */
static bool prefix_ok(struct span prefix)
{
	bool begun = false;

	while (prefix.n) {
		size_t end = span_find(prefix, '\n');
		struct span line = span_head(prefix, end);

		if (end == prefix.n || line.n < 2 || line.p[line.n - 1] != '\r' ||
		    (!begun && (line.p[0] == ' ' || line.p[0] == '\t')))
			return false;
		begun = true;
		prefix = span_skip(prefix, end + 1);
	}
	return true;
}

/* The spans point into the job's copy of the frame. */
static bool read_deliver(struct job *j, struct span frame)
{
	struct msg_DELIVER m;

	if (!msg_DELIVER_unpack(frame, &m) || !is_network(m.hop) ||
	    m.tls >= HOP_TLS_COUNT || !delivery_rcpts_ok(m.rcpts) ||
	    !smtp_peer_params_ok(m.envid) || !prefix_ok(m.prefix))
		return false;
	j->number = m.job;
	j->hop = m.hop;
	j->tls = m.tls;
	j->target = m.target;
	j->credential = m.credential;
	j->setup.envid = m.envid;
	j->setup.prefix = m.prefix;
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

/*
 * Memory is short: an answer without items says 000 for all. If even that cannot be sent,
 * the store asks itself in the end what has become of it.
 */
static void decline(struct deliveries *d, const struct frame *f)
{
	struct msg_DELIVERED m = { 0 };
	struct msg_DELIVER deliver;
	struct msg_PROBE probe;

	if (msg_DELIVER_unpack(f->bytes, &deliver))
		m.job = deliver.job;
	else if (msg_PROBE_unpack(f->bytes, &probe))
		m.job = probe.job;
	(void)!deliveries_send(d, &m);
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

/* A link that broke its owner finds out about; without one nobody wants to know. */
bool deliveries_send(struct deliveries *d, const struct msg_DELIVERED *m)
{
	if (!d->store)
		return true;
	if (link_full(d->store))
		return false;
	msg_DELIVERED_pack(m, link_begin(d->store));
	(void)link_send(d->store, NULL, 0);
	d->setup.on_sent(d->setup.arg);
	return true;
}

void deliveries_go_on(struct deliveries *d)
{
	struct job *next;

	for (struct job *j = d->first; j && d->store && !link_full(d->store); j = next) {
		next = j->next;
		if (j->owed)
			job_settled(j);
	}
}

bool deliveries_take(struct deliveries *d, struct frame *f)
{
	struct job *j = f->lost ? NULL : copy(d, f); /* not without its body */

	if (j && !read_frame(j, f)) {
		job_release(j);
		frame_close_fds(f);
		return false;
	}
	if (j)
		j->setup.answers = malloc(answers_room(list_count(j->setup.rcpts)));
	if (!j || !j->setup.answers) {
		if (j)
			job_release(j);
		frame_close_fds(f);
		decline(d, f);
		return true;
	}
	j->wanted = true;
	j->body.fd = frame_take_fd(f, 0);
	enter(j);
	job_begin(j);
	return true;
}

/* ---- all of them ------------------------------------------------------------------------ */

/* Who are the authorities is read once: later there are no files. */
static bool open_tls(struct deliveries *d, struct err *err)
{
	const struct settings *set = &d->setup.conf->set;
	const struct tls_setup setup = { .only_13 = set->tls_min == TLS_MIN_13,
					 .ciphers = "" };
	struct err why;

	if (!tls_open(&d->tls, &setup, err))
		return false;
	if (*set->authorities && !tls_trust(d->tls, set->authorities, &why) &&
	    d->setup.on_trouble)
		d->setup.on_trouble(d->setup.arg, "authorities", why.text);
	return true;
}

static bool open_all(struct deliveries *d, struct err *err)
{
	const struct dns_setup dns = { .servers = d->setup.name_servers };
	struct policies_setup policies = { .loop = d->setup.loop,
					   .fetch = d->setup.fetch };

	d->contacts.loop = d->setup.loop;
	if (!dns_open(&d->dns, d->setup.loop, &dns, err) || !open_tls(d, err))
		return false;
	policies.dns = d->dns;
	return policies_open(&d->policies, &policies) ||
	       err_set(err, "deliveries: out of memory");
}

bool deliveries_open(struct deliveries **out, const struct deliveries_setup *setup,
		     struct err *err)
{
	struct deliveries *d = calloc(1, sizeof(*d));

	if (!d)
		return err_set(err, "deliveries: out of memory");
	d->setup = *setup;
	if (!open_all(d, err)) {
		deliveries_close(&d);
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
	contacts_drop(&d->contacts);
	policies_close(&d->policies);
	dns_close(&d->dns);
	tls_close(&d->tls);
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
		if (j->owed)
			job_settled(j);
		else if (!job_is_beyond_recall(j))
			job_end(j);
	}
}

void deliveries_credential(struct deliveries *d, uint64_t ask, bool ok, struct span user,
			   struct span secret)
{
	for (struct job *j = d->first; j; j = j->next) {
		if (j->state == JOB_ASKS && j->ask == ask) {
			way_on_credential(j, ok, user, secret);
			return;
		}
	}
}

void deliveries_reconf(struct deliveries *d, const struct conf *conf)
{
	d->setup.conf = conf;
	tls_refuse_12(d->tls, conf->set.tls_min == TLS_MIN_13);
	contacts_drop(&d->contacts); /* they may have been made in another way */
}

void deliveries_stop(struct deliveries *d)
{
	d->stopping = true;
	contacts_drop(&d->contacts);
}

struct dns *deliveries_dns(const struct deliveries *d)
{
	return d->dns;
}

struct tls *deliveries_tls(const struct deliveries *d)
{
	return d->tls;
}

size_t deliveries_count(const struct deliveries *d)
{
	return d->count;
}
