#include "fetch/jobs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/siphash.h"
#include "fetch/request.h"
#include "fetch/web.h"

#define FORM_MAX (3 * SASL_MAX + 64)

/* What is asked; the texts of the request are in mem, and may be secrets. */
struct question {
	struct question *next;
	enum role role;
	unsigned number;
	uint64_t ask;
	enum fetch_kind what;
	uint64_t name; /* hashed: of the table of pauses */
	bool wanted;   /* who asked is there still */
	struct request r;
	size_t n;
	uint8_t mem[];
};

/* A question that is being answered. */
struct job {
	struct jobs *jobs;
	struct question *q; /* NULL: this place is free */
	uint8_t *form_mem;
	struct buf form;
	ms_t until;
	struct dns_query query;
	struct timer timer; /* while the name is looked up */
	struct web_get get;
};

struct pause {
	uint64_t name; /* 0: free */
	ms_t until;
};

struct jobs {
	struct jobs_setup to;
	struct job *job; /* FETCH_AT_ONCE of them */
	struct question *first, **last;
	size_t waiting;
	bool going; /* on: the next ones are being begun */
	struct pause pauses[FETCH_PAUSES];
};

static const char not_yet[] = "it failed a moment ago, and is not tried again yet";

static void go_on(struct jobs *j);

/* ---- what failed a moment ago ---------------------------------------------------- */
/* Of each question its own; never 0. */
static uint64_t name_of(const struct jobs *j, const struct msg_FETCH *m)
{
	uint8_t mem[TEXT_MAX + 1];
	struct buf b;

	buf_init(&b, mem, sizeof(mem));
	buf_byte(&b, m->what);
	if (m->what == FETCH_STS)
		buf_put_lower(&b, m->name);
	else
		buf_put(&b, m->name); /* case is part of who an issuer is */
	return siphash(j->to.key, buf_span(&b)) | 1;
}

static struct pause *pause_at(struct jobs *j, uint64_t name)
{
	return &j->pauses[name / 2 % FETCH_PAUSES];
}

static bool is_paused(struct jobs *j, uint64_t name)
{
	const struct pause *p = pause_at(j, name);

	return p->name == name && loop_now(j->to.loop) < p->until;
}

/* One place for each: who comes later takes it, and costs the other a try too early. */
static void pause_it(struct jobs *j, uint64_t name, ms_t how_long)
{
	*pause_at(j, name) = (struct pause){ name, loop_now(j->to.loop) + how_long };
}

void jobs_reset(struct jobs *j)
{
	memset(j->pauses, 0, sizeof(j->pauses));
}

/* ---- answers --------------------------------------------------------------------- */
static void refuse(struct jobs *j, enum role role, unsigned number, uint64_t ask,
		   const char *why)
{
	struct msg_FETCHED m = { .ask = ask,
				 .body = span_head(span_str(why), FETCH_BODY_MAX) };

	j->to.on_answer(j->to.arg, role, number, &m);
}

static void free_question(struct question *q)
{
	explicit_bzero(q->mem, q->n);
	free(q);
}

static void end(struct job *job)
{
	dns_cancel(&job->query);
	timer_stop(&job->timer);
	web_cancel(&job->get);
	if (job->form_mem)
		explicit_bzero(job->form_mem, FORM_MAX);
	free(job->form_mem);
	job->form_mem = NULL;
	free_question(job->q);
	job->q = NULL;
}

static void failed(struct job *job, const char *why)
{
	struct jobs *j = job->jobs;
	struct question *q = job->q;
	char text[400];

	snprintf(text, sizeof(text), "%s", why);
	pause_it(j, q->name, q->r.pause);
	j->to.on_failed(j->to.arg, q->r.url, text);
	if (q->wanted)
		refuse(j, q->role, q->number, q->ask, text);
	end(job);
	go_on(j);
}

static void succeeded(struct job *job, const struct web_answer *a)
{
	struct jobs *j = job->jobs;
	struct question *q = job->q;
	struct msg_FETCHED m = { .ask = q->ask, .ok = true, .body = a->body };

	if (q->what == FETCH_KEYS)
		m.keep = request_keep(a->cache_control);
	if (q->wanted)
		j->to.on_answer(j->to.arg, q->role, q->number, &m);
	end(job);
	go_on(j);
}

static void on_web(void *arg, const struct web_answer *a)
{
	struct job *job = arg;
	const char *type = job->q->r.type;

	if (!a->ok)
		failed(job, a->why);
	else if (type && !request_has_type(a->content_type, type))
		failed(job, "the answer is of another media type");
	else
		succeeded(job, a);
}

/* ---- one after the other --------------------------------------------------------- */
static size_t allowed(const struct job *job, struct addr out[DNS_ADDRESSES])
{
	size_t n = 0;

	for (size_t i = 0; i < job->query.count; i++)
		if (!job->q->r.public_only ||
		    !request_is_private(&job->query.addresses[i]))
			out[n++] = job->query.addresses[i];
	return n;
}

static void on_addresses(void *arg)
{
	struct job *job = arg;
	const struct request *q = &job->q->r;
	struct addr addresses[DNS_ADDRESSES];
	ms_t now = loop_now(job->jobs->to.loop);
	struct web_request r = {
		.url = q->url,
		.host = q->host,
		.port = q->port,
		.addresses = addresses,
		.address_count = allowed(job, addresses),
		.form = buf_span(&job->form),
		.user = q->user,
		.secret = q->secret,
		.within = job->until > now ? job->until - now : 1,
	};

	timer_stop(&job->timer);
	if (job->query.count == 0)
		failed(job, job->query.why ? job->query.why : "the name has no address");
	else if (r.address_count == 0)
		failed(job, "all its addresses are private ones (fetch.private)");
	else if (!web_begin(job->jobs->to.web, &job->get, &r, on_web, job))
		failed(job, "out of memory");
}

static void on_late(void *arg)
{
	failed(arg, "its name was not looked up in time");
}

static bool make_form(struct job *job)
{
	struct span token = job->q->r.token;

	job->form = (struct buf){ 0 };
	if (token.n == 0)
		return true;
	job->form_mem = malloc(FORM_MAX);
	if (!job->form_mem)
		return false;
	buf_init(&job->form, job->form_mem, FORM_MAX);
	buf_put(&job->form, SPAN("token="));
	request_put_form(token, &job->form);
	buf_put(&job->form, SPAN("&token_type_hint=access_token"));
	return !job->form.full;
}

static void begin(struct job *job, struct question *q)
{
	struct jobs *j = job->jobs;

	job->q = q;
	job->query = (struct dns_query){ 0 };
	if (!make_form(job)) {
		failed(job, "out of memory");
		return;
	}
	job->until = loop_now(j->to.loop) + q->r.within;
	timer_init(&job->timer, j->to.loop, on_late, job);
	timer_set(&job->timer, job->until);
	if (dns_address(j->to.dns, &job->query, span_str(q->r.host), on_addresses, job))
		on_addresses(job);
}

static struct job *free_job(struct jobs *j)
{
	for (size_t i = 0; i < FETCH_AT_ONCE; i++)
		if (!j->job[i].q)
			return &j->job[i];
	return NULL;
}

static struct question *take_first(struct jobs *j)
{
	struct question *q = j->first;

	j->first = q->next;
	if (!j->first)
		j->last = &j->first;
	j->waiting--;
	return q;
}

/* What begins may fail at once, and come back here: it finds us at it. */
static void go_on(struct jobs *j)
{
	struct job *job;

	if (j->going)
		return;
	j->going = true;
	while (j->first && (job = free_job(j))) {
		struct question *q = take_first(j);

		if (is_paused(j, q->name)) {
			refuse(j, q->role, q->number, q->ask, not_yet);
			free_question(q);
		} else {
			begin(job, q);
		}
	}
	j->going = false;
}

/* ---- who asks -------------------------------------------------------------------- */
static struct span copy(struct question *q, struct span text)
{
	uint8_t *to = q->mem + q->n;

	memcpy(to, text.p ? text.p : to, text.n);
	q->n += text.n;
	return span_of(to, text.n);
}

/* With copies of what the request points to. NULL: out of memory. */
static struct question *keep(const struct request *r)
{
	struct question *q = calloc(1, sizeof(*q) + r->user.n + r->secret.n + r->token.n);

	if (!q)
		return NULL;
	q->r = *r;
	q->r.user = copy(q, r->user);
	q->r.secret = copy(q, r->secret);
	q->r.token = copy(q, r->token);
	return q;
}

void jobs_ask(struct jobs *j, const struct conf *conf, enum role role, unsigned number,
	      const struct msg_FETCH *m)
{
	uint64_t name = name_of(j, m);
	struct question *q;
	struct request r;
	struct err err;

	if (!request_make(conf, role, m, &r, &err)) {
		refuse(j, role, number, m->ask, err.text);
		return;
	}
	if (is_paused(j, name)) {
		refuse(j, role, number, m->ask, not_yet);
		return;
	}
	q = j->waiting < FETCH_WAITING ? keep(&r) : NULL;
	if (!q) {
		refuse(j, role, number, m->ask, "too much is waiting to be fetched");
		return;
	}
	q->role = role;
	q->number = number;
	q->ask = m->ask;
	q->what = (enum fetch_kind)m->what;
	q->name = name;
	q->wanted = true;
	*j->last = q;
	j->last = &q->next;
	j->waiting++;
	go_on(j);
}

void jobs_forget(struct jobs *j, enum role role, unsigned number)
{
	struct question **at = &j->first;

	for (size_t i = 0; i < FETCH_AT_ONCE; i++) {
		struct question *q = j->job[i].q;

		if (q && q->role == role && q->number == number)
			q->wanted = false;
	}
	while (*at) {
		struct question *q = *at;

		if (q->role != role || q->number != number) {
			at = &q->next;
			continue;
		}
		*at = q->next;
		j->waiting--;
		free_question(q);
	}
	j->last = at;
}

/* ---- opening and closing --------------------------------------------------------- */
bool jobs_open(struct jobs **out, const struct jobs_setup *setup)
{
	struct jobs *j = calloc(1, sizeof(*j));

	if (!j)
		return false;
	j->job = calloc(FETCH_AT_ONCE, sizeof(*j->job));
	if (!j->job) {
		free(j);
		return false;
	}
	j->to = *setup;
	j->last = &j->first;
	for (size_t i = 0; i < FETCH_AT_ONCE; i++)
		j->job[i].jobs = j;
	*out = j;
	return true;
}

void jobs_close(struct jobs **jobs)
{
	struct jobs *j = *jobs;

	*jobs = NULL;
	if (!j)
		return;
	while (j->first)
		free_question(take_first(j));
	for (size_t i = 0; i < FETCH_AT_ONCE; i++)
		if (j->job[i].q)
			end(&j->job[i]);
	free(j->job);
	free(j);
}
