#include "edge/backends.h"

#include <stdlib.h>
#include <string.h>

#include "base/fields.h"
#include "base/ring.h"
#include "edge/call.h"
#include "spec/roles.h"

#define KNOWN_FOR (30 * MS_SECOND) /* addresses, before they are looked up again */

#define NEVER UINT64_MAX

/* What is counted of a server, whatever is spoken with it. */
struct server {
	bool drained;
	uint32_t sessions;
	uint64_t logins, failures;
};

/* One service of one server. */
struct place {
	struct backends *all;
	const struct backend *backend; /* NULL: it has no such service */
	size_t number;		       /* in conf.backends */
	bool pop3, down;
	bool tried; /* we know something */
	ms_t looked_up;
	size_t count;
	struct addr addresses[DNS_ADDRESSES];
	struct timer check;
	/* the question whether it is there; NULL: none */
	struct call *call;
	struct stream stream;
};

struct backends {
	struct backends_setup setup;
	struct place *places[BACKENDS_MAX][2]; /* NULL: it has no such service */
	struct server servers[BACKENDS_MAX];
	uint64_t obeyed; /* the version of the orders */
	uint16_t offers_n;
	uint8_t offers[IMAP_LEARNT_MAX];
};

static void show(struct backends *b, size_t i);

static const char *target_of(const struct backend *b, bool pop3)
{
	return pop3 ? b->pop3 : b->imap;
}

static size_t find_server(const struct backends *b, struct span name)
{
	const struct conf *conf = b->setup.conf;

	for (size_t i = 0; i < conf->backend_count; i++)
		if (span_eq(span_str(conf->backends[i].name), name))
			return i;
	return BACKENDS_MAX;
}

/* By name: a session may have begun with another configuration. */
static struct place *find(const struct backends *b, const struct backend *one, bool pop3)
{
	const struct conf *conf = b->setup.conf;

	for (size_t i = 0; i < conf->backend_count; i++) {
		struct place *p = b->places[i][pop3];

		if (p && strcmp(p->backend->name, one->name) == 0 &&
		    strcmp(target_of(p->backend, pop3), target_of(one, pop3)) == 0)
			return p;
	}
	return NULL;
}

/* ---- health ------------------------------------------------------------------------------ */

static void tell(const struct place *p, const char *state, struct span why)
{
	struct pulse *pulse = p->all->setup.pulse;
	uint8_t mem[1024];
	struct buf out;

	buf_init(&out, mem, sizeof(mem));
	field_text(&out, "backend", span_str(p->backend->name));
	field_text(&out, "service", p->pop3 ? SPAN("pop3") : SPAN("imap"));
	field_text(&out, "server", span_str(target_of(p->backend, p->pop3)));
	field_text(&out, "state", span_str(state));
	if (why.n)
		field_text(&out, "why", why);
	pulse_log(pulse, LOG_BACKEND, loop_wall(p->all->setup.loop), NULL, buf_span(&out));
}

static void check_soon(struct place *p, ms_t in)
{
	if (!p->call)
		timer_set(&p->check, loop_now(p->all->setup.loop) + in);
}

static void is_down(struct place *p, struct span why)
{
	if (!p->down)
		tell(p, "down", why);
	p->down = p->tried = true;
	p->count = 0; /* it may have moved */
	show(p->all, p->number);
	check_soon(p, p->all->setup.conf->set.backend_check);
}

static void is_up(struct place *p)
{
	if (p->down)
		tell(p, "up", SPAN_NONE);
	if (!p->call)
		timer_stop(&p->check);
	if (p->tried && !p->down)
		return;
	p->down = false;
	p->tried = true;
	show(p->all, p->number);
}

static void drop_call(struct place *p)
{
	if (!p->call)
		return;
	call_end(p->call);
	free(p->call);
	p->call = NULL;
	stream_close(&p->stream);
}

static void on_ready(void *arg)
{
	struct place *p = arg;

	if (p->call)
		call_ready(p->call);
}

/*
 * A server that answers, with whatever, is there. What we lack ourselves says nothing about
 * it: then it is asked again.
 */
static void on_over(void *arg)
{
	struct place *p = arg;
	struct call *c = p->call;
	bool there = c->talk.got != BACKEND_GOT_BROKEN, ours = c->ours;
	uint8_t mem[sizeof(c->talk.why)];
	struct span why = span_of(mem, c->talk.why_n);

	memcpy(mem, c->talk.why, why.n);
	drop_call(p);
	if (there)
		is_up(p);
	else if (!ours)
		is_down(p, why);
	else if (p->down)
		check_soon(p, p->all->setup.conf->set.backend_check);
}

static void on_check(void *arg)
{
	struct place *p = arg;
	const struct backends_setup *s = &p->all->setup;
	struct call_setup setup = {
		.loop = s->loop,
		.dns = s->dns,
		.tls = s->tls,
		.backend = p->backend,
		.talk = { .pop3 = p->pop3,
			  .probe = true,
			  .reply_timeout = s->conf->set.backend_reply },
		.connect_timeout = s->conf->set.backend_connect,
		.stream = &p->stream,
		.on_ready = on_ready,
		.on_over = on_over,
		.arg = p,
	};

	if (p->call)
		return;
	p->call = malloc(sizeof(*p->call));
	if (p->call)
		call_begin(p->call, &setup);
	else
		check_soon(p, s->conf->set.backend_check);
}

void backends_greeted(struct backends *b, const struct backend *one, bool pop3,
		      const struct addr *addresses, size_t count)
{
	struct place *p = find(b, one, pop3);

	if (!p)
		return;
	is_up(p);
	if (!count)
		return;
	p->count = count < DNS_ADDRESSES ? count : DNS_ADDRESSES;
	memcpy(p->addresses, addresses, p->count * sizeof(p->addresses[0]));
	p->looked_up = loop_now(b->setup.loop);
}

void backends_failed(struct backends *b, const struct backend *one, bool pop3,
		     struct span why)
{
	struct place *p = find(b, one, pop3);

	if (p)
		is_down(p, why);
}

void backends_doubt(struct backends *b, const struct backend *one, bool pop3)
{
	struct place *p = find(b, one, pop3);

	if (p && !p->down)
		check_soon(p, 0);
}

/* ---- which ------------------------------------------------------------------------------ */

size_t backends_count(const struct backends *b, bool pop3)
{
	const struct conf *conf = b->setup.conf;
	size_t n = 0;

	for (size_t i = 0; i < conf->backend_count; i++)
		n += b->places[i][pop3] != NULL;
	return n;
}

static bool takes_more(const struct place *p)
{
	return !p->down && !p->all->servers[p->number].drained;
}

bool backends_is_well(const struct backends *b, const struct backend *one, bool pop3)
{
	const struct place *p = find(b, one, pop3);

	return p && takes_more(p);
}

const struct backend *backends_choose(const struct backends *b, bool pop3,
				      struct span user, uint64_t without, bool *any)
{
	const struct conf *conf = b->setup.conf;
	const struct backend *best = NULL;
	uint64_t nearest = 0;

	_Static_assert(BACKENDS_MAX <= 64, "a bit for each");
	*any = false;
	for (size_t i = 0; i < conf->backend_count; i++) {
		const struct place *p = b->places[i][pop3];
		const struct backend *one = &conf->backends[i];
		uint64_t distance;

		if (!p || one->weight == 0)
			continue;
		*any = true;
		if (!takes_more(p) || without & UINT64_C(1) << i)
			continue;
		distance = ring_distance(span_str(one->name), user, one->weight);
		if (!best || distance < nearest) {
			best = one;
			nearest = distance;
		}
	}
	return best;
}

void backends_learn(struct backends *b, struct span offers)
{
	if (offers.n == 0 || offers.n > sizeof(b->offers))
		return;
	b->offers_n = (uint16_t)offers.n;
	memcpy(b->offers, offers.p, offers.n);
}

struct span backends_offers(const struct backends *b)
{
	return span_of(b->offers, b->offers_n);
}

size_t backends_addresses(const struct backends *b, const struct backend *one, bool pop3,
			  const struct addr **out)
{
	const struct place *p = find(b, one, pop3);

	if (!p || loop_now(b->setup.loop) - p->looked_up > KNOWN_FOR)
		return 0;
	*out = p->addresses;
	return p->count;
}

/* ---- what is told, and what is ordered ------------------------------------------------------ */

static void show(struct backends *b, size_t i)
{
	const struct server *s = &b->servers[i];
	struct pulse_backend row = {
		.id = pulse_backend_id(span_str(b->setup.conf->backends[i].name)),
		.sessions = s->sessions,
		.logins = s->logins,
		.failures = s->failures,
	};

	for (size_t pop3 = 0; pop3 < 2; pop3++) {
		const struct place *p = b->places[i][pop3];

		if (!p)
			continue;
		row.health[pop3] = p->down    ? BACKEND_ILL
				   : p->tried ? BACKEND_WELL
					      : BACKEND_UNTRIED;
		if (p->count > row.addresses)
			row.addresses = (uint32_t)p->count;
	}
	pulse_backend(b->setup.pulse, i, &row);
}

void backends_login(struct backends *b, const struct backend *one, bool good)
{
	size_t i = find_server(b, span_str(one->name));

	if (i == BACKENDS_MAX)
		return;
	if (good)
		b->servers[i].logins++;
	else
		b->servers[i].failures++;
	show(b, i);
}

void backends_sessions(struct backends *b, struct span name, int more)
{
	size_t i = find_server(b, name);

	if (i == BACKENDS_MAX || (more < 0 && b->servers[i].sessions == 0))
		return;
	b->servers[i].sessions += (uint32_t)more;
	show(b, i);
}

void backends_obey(struct backends *b, const struct orders *orders)
{
	const struct conf *conf = b->setup.conf;

	if (!orders || b->obeyed == orders_version(orders))
		return;
	b->obeyed = orders_version(orders);
	for (size_t i = 0; i < conf->backend_count; i++)
		b->servers[i].drained = orders_is_drained(
			orders, span_str(conf->backends[i].name));
}

/* ---- the configuration ------------------------------------------------------------------ */

static void free_place(struct place **place)
{
	struct place *p = *place;

	*place = NULL;
	if (!p)
		return;
	drop_call(p);
	timer_stop(&p->check);
	free(p);
}

static struct place *make_place(struct backends *b, size_t number, bool pop3)
{
	const struct backend *one = &b->setup.conf->backends[number];
	struct place *p;

	if (!*target_of(one, pop3))
		return NULL;
	p = calloc(1, sizeof(*p));
	if (!p)
		return NULL; /* it is not there until the next reload */
	p->all = b;
	p->backend = one;
	p->number = number;
	p->pop3 = pop3;
	timer_init(&p->check, b->setup.loop, on_check, p);
	return p;
}

static void take_places(struct backends *b)
{
	const struct conf *conf = b->setup.conf;

	for (size_t i = 0; i < conf->backend_count; i++)
		for (size_t pop3 = 0; pop3 < 2; pop3++)
			b->places[i][pop3] = make_place(b, i, pop3);
}

/* What is under way was begun for the old one: it is asked anew. */
static void inherit(struct place *p, const struct place *old)
{
	p->down = old->down;
	p->tried = old->tried;
	if (p->down || old->call)
		check_soon(p, 0);
}

static void take_servers(struct backends *b, const struct conf *from)
{
	struct server old[BACKENDS_MAX];

	memcpy(old, b->servers, sizeof(old));
	memset(b->servers, 0, sizeof(b->servers));
	for (size_t i = 0; i < from->backend_count; i++) {
		size_t now = find_server(b, span_str(from->backends[i].name));

		if (now < BACKENDS_MAX)
			b->servers[now] = old[i];
	}
	b->obeyed = NEVER;
}

/* Also those that are there no more. */
static void show_all(struct backends *b)
{
	const struct pulse_backend none = { 0 };

	for (size_t i = 0; i < BACKENDS_MAX; i++) {
		if (i < b->setup.conf->backend_count)
			show(b, i);
		else
			pulse_backend(b->setup.pulse, i, &none);
	}
}

void backends_reconf(struct backends *b, const struct conf *conf)
{
	const struct conf *was = b->setup.conf;
	struct place *old[BACKENDS_MAX][2];

	memcpy(old, b->places, sizeof(old));
	memset(b->places, 0, sizeof(b->places));
	b->setup.conf = conf;
	take_servers(b, was);
	take_places(b);
	for (size_t i = 0; i < BACKENDS_MAX; i++) {
		for (size_t pop3 = 0; pop3 < 2; pop3++) {
			struct place *p = old[i][pop3];
			struct place *now = p ? find(b, p->backend, pop3) : NULL;

			if (now)
				inherit(now, p);
			free_place(&old[i][pop3]);
		}
	}
	show_all(b);
}

bool backends_open(struct backends **out, const struct backends_setup *setup,
		   struct err *err)
{
	struct backends *b = calloc(1, sizeof(*b));

	if (!b)
		return err_set(err, "backends: out of memory");
	b->setup = *setup;
	b->obeyed = NEVER;
	take_places(b);
	show_all(b);
	*out = b;
	return true;
}

void backends_close(struct backends **backends)
{
	struct backends *b = *backends;

	if (!b)
		return;
	for (size_t i = 0; i < BACKENDS_MAX; i++)
		for (size_t pop3 = 0; pop3 < 2; pop3++)
			free_place(&b->places[i][pop3]);
	free(b);
	*backends = NULL;
}
