/*
 * The way to a next hop: a connection that was kept, or the credential, the hosts, one
 * address after the other.
 */
#include <stdlib.h>

#include "edge/job.h"

#define CONNECT_LEAST MS_SECOND
#define TRIES_MAX     12 /* connections for one delivery */
#define TRY_FOR	      (30 * MS_MINUTE)
#define LOOK_UP_MORE  (30 * MS_SECOND) /* for a policy that has to be fetched */

static void try_next(struct job *j);

struct contact_key way_key(const struct job *j)
{
	return (struct contact_key){ .hop = j->hop,
				     .tls = j->tls,
				     .target = j->target,
				     .credential = j->credential,
				     .helo = j->setup.helo };
}

static void fail(struct job *j, const char *what, const char *why)
{
	uint8_t mem[HOSTS_WHY];
	struct buf text;

	buf_init(&text, mem, sizeof(mem));
	buf_fmt(&text, "%.*s %s%s", SPAN_ARG(span_head(j->target, 120)), what, why);
	job_fail(j, 0, buf_span(&text));
}

/* ---- connecting ----------------------------------------------------------------------- */

static void print_host(struct job *j, const struct addr *a)
{
	struct span name = *j->hosts.host.name ? span_str(j->hosts.host.name) : j->target;
	struct contact *c = j->c;
	struct buf out;

	/* what is in the configuration is told as it is there */
	if (j->hop != HOP_MX)
		name = j->target;
	buf_init(&out, c->host, sizeof(c->host) - 1);
	buf_put(&out, span_head(name, sizeof(c->host) - 60));
	if (a) {
		buf_put(&out, SPAN(" "));
		addr_print_literal(a, &out);
	}
	c->host[out.len] = '\0';
}

/* delivery.source names one address of each family at most. */
static bool find_source(const struct job *j, const struct addr *to, struct addr *from)
{
	struct span left = span_str(j->all->setup.conf->set.source);

	if (j->setup.lmtp || addr_is_loopback(to))
		return false;
	while (left.n)
		if (addr_parse(span_trim(span_cut(&left, ',')), from) &&
		    addr_is_v4(from) == addr_is_v4(to))
			return true;
	return false;
}

/*
 * Each address gets its share of the time that is left. A client waits for the answer to a
 * probe: all but the last are to leave time for those behind them.
 */
static ms_t share(const struct job *j, ms_t now)
{
	size_t behind = j->hosts.host.count - j->tried;
	bool hurried = j->setup.probe && behind && j->awaited_by < j->connect_by;
	ms_t by = hurried ? j->awaited_by : j->connect_by;
	ms_t time = (by - now) / (ms_t)(behind + 1);

	return now + (time > CONNECT_LEAST ? time : CONNECT_LEAST);
}

static void on_ready(void *arg)
{
	struct job *j = arg;

	if (j->state == JOB_CONNECTS)
		way_on_ready(j);
	else if (j->state == JOB_TALKS || j->state == JOB_SHAKES)
		job_go_on(j);
}

/* As if nothing had been said over it yet. */
static void clean(struct contact *c)
{
	stream_close(&c->stream);
	buf_reset(&c->out);
	c->in_n = 0;
	c->tls_words[0] = '\0';
}

static bool connect_to(struct job *j, const struct addr *a)
{
	struct endpoint to = { .addr = *a, .port = j->hosts.host.port };
	struct loop *loop = j->all->setup.loop;
	ms_t by = share(j, loop_now(loop));
	struct addr from;

	clean(j->c);
	print_host(j, a);
	j->tries++;
	j->setup.secure = addr_is_loopback(a);
	j->setup.tls = j->in_clear ? HOP_TLS_NONE : j->hosts.host.tls;
	j->state = JOB_CONNECTS;
	j->setup.ready_by = j->setup.probe && j->tried < j->hosts.host.count ? by : 0;
	timer_set(&j->timer, by);
	if (find_source(j, a, &from))
		return stream_connect_from(&j->c->stream, loop, &from, &to,
					   contact_on_ready, j->c);
	return stream_connect(&j->c->stream, loop, &to, contact_on_ready, j->c);
}

static void note_unreachable(struct job *j, int error)
{
	struct span name = j->target;
	uint8_t mem[HOSTS_WHY];
	struct buf why;

	if (j->hop == HOP_MX)
		name = span_str(j->c->host);
	buf_init(&why, mem, sizeof(mem));
	buf_fmt(&why, "%.*s cannot be connected to: %s", SPAN_ARG(span_head(name, 200)),
		error ? strerror(error) : "no answer in time");
	hosts_note(&j->hosts, 0, buf_span(&why));
	j->in_clear = false; /* what TLS came to there says nothing about the next */
}

/* The next address of this host, or the next host. */
static void try_next(struct job *j)
{
	while (j->tried < j->hosts.host.count && j->tries < TRIES_MAX) {
		if (connect_to(j, &j->hosts.host.addresses[j->tried++]))
			return;
		note_unreachable(j, j->c->stream.error);
	}
	j->tried = 0;
	j->in_clear = false;
	j->state = JOB_LOOKS_UP;
	if (j->hop != HOP_LMTP_UNIX && way_can_go_on(j))
		hosts_next(&j->hosts);
	else
		job_fail(j, j->hosts.code, span_of(j->hosts.why, j->hosts.why_n));
}

static void on_host(void *arg)
{
	struct job *j = arg;
	ms_t now = loop_now(j->all->setup.loop);

	if (j->hosts.over) {
		job_fail(j, j->hosts.code, span_of(j->hosts.why, j->hosts.why_n));
		return;
	}
	j->tried = 0;
	j->in_clear = false;
	j->connect_by = now + j->all->setup.conf->set.connect_timeout;
	try_next(j);
}

void way_on_ready(struct job *j)
{
	switch (stream_connected(&j->c->stream)) {
	case STREAM_AGAIN:
		return;
	case STREAM_GOT:
		job_talk(j, NULL);
		return;
	case STREAM_EOF:
	case STREAM_BROKEN:
		note_unreachable(j, j->c->stream.error);
		try_next(j);
		return;
	}
}

/* ---- where to --------------------------------------------------------------------------- */

static void connect_unix(struct job *j)
{
	char path[TEXT_MAX] = "";

	memcpy(path, j->target.p, span_head(j->target, sizeof(path) - 1).n);
	clean(j->c);
	print_host(j, NULL);
	j->setup.secure = true;
	j->setup.tls = HOP_TLS_NONE;
	j->tries = TRIES_MAX;
	j->state = JOB_CONNECTS;
	timer_set(&j->timer, j->connect_by);
	if (stream_connect_unix(&j->c->stream, j->all->setup.loop, path, contact_on_ready,
				j->c))
		return;
	note_unreachable(j, j->c->stream.error);
	try_next(j);
}

static void look_up(struct job *j)
{
	struct deliveries *d = j->all;
	const struct settings *set = &d->setup.conf->set;
	ms_t now = loop_now(d->setup.loop);
	struct hosts_setup setup = {
		.loop = d->setup.loop,
		.dns = d->dns,
		.policies = set->mta_sts ? d->policies : NULL,
		.dane = set->dane || j->tls == HOP_TLS_DANE,
		.hop = j->hop,
		.target = j->target,
		.self = j->setup.helo,
		.tls = j->tls,
		.mx_port = d->setup.mx_port ? d->setup.mx_port : 25,
	};

	j->connect_by = now + set->connect_timeout;
	if (j->hop == HOP_LMTP_UNIX) {
		connect_unix(j);
		return;
	}
	j->state = JOB_LOOKS_UP;
	timer_set(&j->timer,
		  j->connect_by + (j->hop == HOP_MX && setup.policies ? LOOK_UP_MORE : 0));
	hosts_begin(&j->hosts, &setup, on_host, j);
}

bool way_can_go_on(const struct job *j)
{
	return j->delivery.reused ||
	       (j->tries < TRIES_MAX && loop_now(j->all->setup.loop) < j->until);
}

/* TLS has failed, and need not be: the same address again, once, without. */
static bool goes_on_in_clear(const struct job *j)
{
	return j->delivery.phase == DELIVERY_OVER && j->setup.tls == HOP_TLS_MAY &&
	       j->delivery.tls_failed && !j->in_clear;
}

static void begin_anew(struct job *j)
{
	contact_drop(&j->c);
	j->c = contact_new(&j->all->contacts, on_ready, j);
	if (!j->c) {
		fail(j, "was not tried: ", "out of memory");
		return;
	}
	if (!j->credential.n || j->setup.user.n) {
		look_up(j);
		return;
	}
	j->ask = ++j->all->asked;
	j->state = JOB_ASKS;
	timer_set(&j->timer,
		  loop_now(j->all->setup.loop) + j->all->setup.conf->set.connect_timeout);
	if (!j->all->setup.ask_credential ||
	    !j->all->setup.ask_credential(j->all->setup.arg, j->ask, j->credential))
		fail(j, "was not tried: ", "its login cannot be looked up now");
}

void way_go_on(struct job *j, struct span why)
{
	if (j->delivery.reused) {
		begin_anew(j);
		return;
	}
	hosts_note(&j->hosts, 0, why);
	/* the talk may have taken long */
	j->connect_by = loop_now(j->all->setup.loop) +
			j->all->setup.conf->set.connect_timeout;
	if (goes_on_in_clear(j)) {
		j->in_clear = true;
		j->tried--;
	} else {
		j->in_clear = false;
	}
	try_next(j);
}

void way_on_time(struct job *j)
{
	switch (j->state) {
	case JOB_ASKS:
		fail(j, "was not tried: ", "its login cannot be looked up now");
		return;
	case JOB_CONNECTS:
		note_unreachable(j, 0);
		try_next(j);
		return;
	default:
		fail(j, "cannot be looked up: ", "no answer in time");
		return;
	}
}

/* NUL, user, NUL, secret: as AUTH PLAIN wants it, and AUTH LOGIN finds its parts there. */
static bool keep_login(struct job *j, struct span user, struct span secret)
{
	uint8_t *at = j->login;

	if (!user.n || user.n > USER_MAX || !secret.n || secret.n > SECRET_MAX ||
	    span_find(user, '\0') < user.n || span_find(secret, '\0') < secret.n)
		return false;
	memcpy(at + 1, user.p, user.n);
	memcpy(at + 2 + user.n, secret.p, secret.n);
	j->setup.user = span_of(at + 1, user.n);
	j->setup.secret = span_of(at + 2 + user.n, secret.n);
	j->setup.plain = span_of(at, 2 + user.n + secret.n);
	return true;
}

void way_on_credential(struct job *j, bool ok, struct span user, struct span secret)
{
	if (!ok || !keep_login(j, user, secret))
		fail(j,
		     "was not tried: ", "its login is not known (holdfast relay passwd)");
	else
		look_up(j);
}

void way_begin(struct job *j)
{
	struct deliveries *d = j->all;
	const struct contact_key key = way_key(j);
	ms_t now = loop_now(d->setup.loop);

	j->until = now + TRY_FOR;
	j->awaited_by = now + d->setup.conf->set.verify_wait;
	if (d->stopping) {
		fail(j, "was not tried: ", "we are stopping");
		return;
	}
	if (d->count > (size_t)d->setup.conf->set.deliveries) {
		fail(j, "was not tried: ", "too many deliveries are under way");
		return;
	}
	if (!j->setup.probe)
		j->c = contact_find(&d->contacts, &key, on_ready, j);
	if (j->c)
		job_talk(j, &j->c->peer);
	else
		begin_anew(j);
}
