#include "edge/call.h"

#include <errno.h>
#include <string.h>

#include "edge/hosts.h"

#define STEPS_MAX     16
#define CONNECT_LEAST ((ms_t)100)

static void try_next(struct call *c);

/* ---- the end ------------------------------------------------------------------------ */

/* Whoever calls next begins with the address that greeted us. */
static void prefer_who_greeted(struct call *c)
{
	struct addr greeted;

	if (!c->talk.greeted)
		return;
	greeted = c->addresses[c->tried - 1];
	c->addresses[c->tried - 1] = c->addresses[0];
	c->addresses[0] = greeted;
}

static void over(struct call *c)
{
	prefer_who_greeted(c);
	c->state = CALL_OVER;
	timer_stop(&c->timer);
	dns_cancel(&c->query);
	if (c->talk.got != BACKEND_GOT_YES)
		stream_close(c->setup.stream);
	c->setup.on_over(c->setup.arg);
}

static void fail(struct call *c, const char *why)
{
	struct span text = span_head(span_str(why), sizeof(c->talk.why));

	c->talk.got = BACKEND_GOT_BROKEN;
	memcpy(c->talk.why, text.p, text.n);
	c->talk.why_n = (uint16_t)text.n;
	over(c);
}

void call_end(struct call *c)
{
	if (c->state != CALL_OVER) {
		c->state = CALL_OVER;
		timer_stop(&c->timer);
		dns_cancel(&c->query);
		stream_close(c->setup.stream);
	}
	explicit_bzero(c->out_mem, sizeof(c->out_mem)); /* a password was there */
}

/* ---- the talk ----------------------------------------------------------------------- */

static void step(struct call *c, enum backend_in_kind kind, struct span bytes)
{
	struct backend_in in = { .kind = kind, .bytes = bytes };
	struct backend_out out = { .peer = &c->out };

	backend_step(&c->talk, &in, loop_now(c->setup.loop), &out);
	c->wake = out.wake;
	c->shake = c->shake || out.orders & BACKEND_DO_TLS;
	if (kind == BACKEND_IN_BYTES && out.used) {
		c->in_n -= out.used;
		memmove(c->in, c->in + out.used, c->in_n);
	}
}

static void begin_tls(struct call *c)
{
	const struct backend *b = c->setup.backend;
	struct tls_peer peer = {
		.name = c->host,
		.also = "",
		.proof = b->verify ? TLS_PROOF_AUTHORITIES : TLS_PROOF_NONE,
	};

	c->shake = false;
	if (stream_tls_client(c->setup.stream, c->setup.tls, &peer))
		c->state = CALL_SHAKES;
	else
		step(c, BACKEND_IN_NO_TLS, SPAN("TLS cannot be begun"));
}

/* False: it waits for the server. */
static bool shake_hands(struct call *c)
{
	switch (stream_handshake(c->setup.stream)) {
	case STREAM_AGAIN:
		return false;
	case STREAM_GOT:
		c->state = CALL_TALKS;
		step(c, BACKEND_IN_TLS, SPAN_NONE);
		return true;
	case STREAM_EOF:
	case STREAM_BROKEN:
		break;
	}
	c->state = CALL_TALKS;
	step(c, BACKEND_IN_NO_TLS, span_str(stream_tls_trouble(c->setup.stream)));
	return true;
}

/* What is said is small: a server that takes none of it will be too late with its answer. */
static bool write_out(struct call *c)
{
	struct span left = buf_span(&c->out);
	size_t n = left.n;

	if (!n || c->state == CALL_SHAKES)
		return true;
	if (stream_write(c->setup.stream, &left) == STREAM_BROKEN) {
		buf_reset(&c->out);
		step(c, BACKEND_IN_END, SPAN_NONE);
		return true;
	}
	buf_drop(&c->out, n - left.n);
	return !left.n;
}

static bool read_in(struct call *c)
{
	size_t n;

	if (c->in_n == sizeof(c->in)) {
		step(c, BACKEND_IN_END,
		     SPAN_NONE); /* the engine refuses a line that long */
		return true;
	}
	switch (stream_read(c->setup.stream, c->in + c->in_n, sizeof(c->in) - c->in_n,
			    &n)) {
	case STREAM_AGAIN:
		return false;
	case STREAM_GOT:
		c->in_n += n;
		step(c, BACKEND_IN_BYTES, span_of(c->in, c->in_n));
		return true;
	case STREAM_EOF:
	case STREAM_BROKEN:
		break;
	}
	step(c, BACKEND_IN_END, SPAN_NONE);
	return true;
}

/* False: nothing more can be done now. */
static bool do_something(struct call *c)
{
	if (c->state == CALL_SHAKES)
		return shake_hands(c);
	if (!write_out(c))
		return false;
	if (c->talk.phase == BACKEND_AT_END)
		return true;
	if (c->shake) {
		begin_tls(c);
		return true;
	}
	return read_in(c);
}

/* A neighbour may be better than one that did not even greet us. */
static void talk_over(struct call *c)
{
	if (c->talk.got == BACKEND_GOT_BROKEN && !c->talk.greeted && c->tried < c->count)
		try_next(c);
	else
		over(c);
}

static void go_on(struct call *c)
{
	for (int i = 0; i < STEPS_MAX; i++) {
		if (c->talk.phase == BACKEND_AT_END) {
			(void)write_out(c);
			talk_over(c);
			return;
		}
		if (!do_something(c)) {
			timer_set(&c->timer, c->wake);
			return;
		}
	}
	/* let others have their turn */
	timer_set(&c->timer, loop_now(c->setup.loop));
}

/* One address failed for want of something of ours, or not: then it is not our fault. */
static void blame(struct call *c, bool ours)
{
	c->theirs = c->theirs || !ours;
	c->ours = !c->theirs;
}

static void talk(struct call *c)
{
	blame(c, false);
	stream_no_delay(c->setup.stream);
	c->state = CALL_TALKS;
	step(c, BACKEND_IN_OPENED, SPAN_NONE);
	go_on(c);
}

/* ---- the way there ------------------------------------------------------------------ */

/* Each address gets its share of the time that is left, to greet us in, too. */
static ms_t share(const struct call *c)
{
	ms_t now = loop_now(c->setup.loop);
	ms_t time = (c->greeted_by - now) / (ms_t)(c->count - c->tried + 1);

	return now + (time > CONNECT_LEAST ? time : CONNECT_LEAST);
}

static bool is_ours(int error)
{
	return error == EMFILE || error == ENFILE || error == ENOMEM ||
	       error == ENOBUFS || error == EADDRNOTAVAIL;
}

static bool connect_to(struct call *c, const struct addr *a)
{
	struct endpoint to = { .addr = *a, .port = c->port };

	stream_close(c->setup.stream);
	buf_reset(&c->out);
	c->in_n = 0;
	c->shake = false;
	c->setup.talk.greet_by = share(c);
	backend_init(&c->talk, &c->setup.talk);
	c->state = CALL_CONNECTS;
	return stream_connect(c->setup.stream, c->setup.loop, &to, c->setup.on_ready,
			      c->setup.arg);
}

static void try_next(struct call *c)
{
	int error = 0;

	while (c->tried < c->count) {
		if (connect_to(c, &c->addresses[c->tried++])) {
			timer_set(&c->timer, c->setup.talk.greet_by);
			return;
		}
		blame(c, is_ours(c->setup.stream->error));
		if (!error || !is_ours(c->setup.stream->error))
			error = c->setup.stream->error;
	}
	fail(c, error ? strerror(error) : "cannot be connected to");
}

static void connect_failed(struct call *c, const char *why)
{
	blame(c, false);
	if (c->tried < c->count)
		try_next(c);
	else
		fail(c, why);
}

static void on_connected(struct call *c)
{
	switch (stream_connected(c->setup.stream)) {
	case STREAM_AGAIN:
		return;
	case STREAM_GOT:
		talk(c);
		return;
	case STREAM_EOF:
	case STREAM_BROKEN:
		connect_failed(c, strerror(c->setup.stream->error));
		return;
	}
}

void call_ready(struct call *c)
{
	switch (c->state) {
	case CALL_CONNECTS:
		on_connected(c);
		return;
	case CALL_TALKS:
	case CALL_SHAKES:
		go_on(c);
		return;
	case CALL_LOOKS_UP:
	case CALL_OVER:
		return;
	}
}

/* Not yet that far: then it goes through without being held. */
void call_go(struct call *c)
{
	c->setup.talk.hold = false;
	if (c->state != CALL_TALKS)
		return;
	step(c, BACKEND_IN_GO, span_of(c->in, c->in_n));
	go_on(c);
}

static void on_time(void *arg)
{
	struct call *c = arg;

	switch (c->state) {
	case CALL_LOOKS_UP:
		fail(c, "cannot be looked up: no answer in time");
		return;
	case CALL_CONNECTS:
		connect_failed(c, "cannot be connected to: no answer in time");
		return;
	case CALL_TALKS:
	case CALL_SHAKES:
		step(c, BACKEND_IN_TIME, SPAN_NONE);
		go_on(c);
		return;
	case CALL_OVER:
		return;
	}
}

/* ---- the beginning -------------------------------------------------------------------- */

static void on_address(void *arg)
{
	struct call *c = arg;

	if (!c->query.count) {
		fail(c, c->query.why);
		return;
	}
	c->resolved = true;
	c->count = c->query.count;
	memcpy(c->addresses, c->query.addresses, c->count * sizeof(c->addresses[0]));
	try_next(c);
}

static void look_up(struct call *c, struct span host)
{
	c->state = CALL_LOOKS_UP;
	timer_set(&c->timer, c->greeted_by);
	if (dns_address(c->setup.dns, &c->query, host, on_address, c))
		on_address(c);
}

void call_begin(struct call *c, const struct call_setup *setup)
{
	const struct backend *b = setup->backend;
	struct span target = span_str(setup->talk.pop3 ? b->pop3 : b->imap), host;

	memset(c, 0, offsetof(struct call, in));
	c->setup = *setup;
	c->greeted_by = loop_now(setup->loop) + setup->connect_timeout;
	c->setup.talk.tls = b->tls;
	c->setup.talk.identity = b->identity;
	buf_init(&c->out, c->out_mem, sizeof(c->out_mem));
	backend_init(&c->talk, &c->setup.talk);
	timer_init(&c->timer, setup->loop, on_time, c);
	if (!hosts_split(target, &host, &c->port) || host.n >= sizeof(c->host)) {
		fail(c, "is not host:port");
		return;
	}
	memcpy(c->host, host.p, host.n);
	if (!setup->count) {
		look_up(c, host);
		return;
	}
	c->count = setup->count < DNS_ADDRESSES ? setup->count : DNS_ADDRESSES;
	memcpy(c->addresses, setup->addresses, c->count * sizeof(c->addresses[0]));
	try_next(c);
}
