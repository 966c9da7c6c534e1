#include "rehearse/client.h"

#include <arpa/inet.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#include "base/bug.h"
#include "rehearse/source.h"

#define IN_ROOM	     65536 /* the most that is kept of what a visit does not use */
#define OUT_ROOM     65536
#define STEPS_MOST   64 /* of one client, before it is the turn of others */
#define NOT_DONE     (-1.0)
#define DRAW_VISITOR 0x76697300 /* + role */

_Static_assert(OUT_ROOM >= EXPAND_MAX, "visits ask for that much");

enum state {
	CLIENT_FREE,
	CLIENT_CONNECTING,
	CLIENT_SHAKING, /* before VISIT_CONNECTED, or as the dialogue says */
	CLIENT_UP,
};

enum {
	OWED_SENT = 1u << 0,  /* has been written, and not been told */
	OWED_BYTES = 1u << 1, /* have been read, and not been looked at */
	UNREAD = 1u << 2,     /* there may be something in the socket */
	GREETED = 1u << 3,    /* VISIT_CONNECTED has been told */
	SHAKE_NEXT = 1u << 4, /* when all is written */
	OLD_TLS = 1u << 5,    /* not newer than 1.2 */
};

/* Bytes that wait. */
struct rest {
	size_t at, n;
	uint8_t bytes[];
};

struct client {
	struct visit visit;
	struct crowd_visit came;
	struct rng rng;
	struct conn conn;
	struct rest *in, *out; /* owned; NULL: nothing */
	double took;	       /* ms until it was first done, or NOT_DONE */
	double mark;	       /* from when its next `done` is timed */
	uint32_t next_free;
	uint16_t port;
	uint8_t role;
	uint8_t phase;
	uint8_t state;
	uint8_t marks;
};

static uint32_t index_of(const struct clients *h, const struct client *c)
{
	return (uint32_t)(c - h->all);
}

static struct role *role_of(struct clients *h, const struct client *c)
{
	return &h->roles[c->role];
}

static struct counted counted(const struct client *c)
{
	return (struct counted){ .actor = c->role, .phase = c->phase };
}

void clients_look_up(struct clients *h)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	h->now = (double)t.tv_sec * 1000 + (double)t.tv_nsec / 1e6;
}

bool clients_open(struct clients *h, uint32_t most, struct err *e)
{
	*h = (struct clients){
		.most = most,
		.poller = epoll_create1(EPOLL_CLOEXEC),
		.tls = conn_tls(),
		.all = calloc(most, sizeof(*h->all)),
		.in = malloc(IN_ROOM),
		.out = malloc(OUT_ROOM),
	};
	if (h->poller >= 0 && h->tls && h->all && h->in && h->out &&
	    timers_open(&h->timers, most, e))
		return true;
	clients_close(h);
	return err_set(e, "no epoll, no TLS, or no memory for %u clients", most);
}

void clients_close(struct clients *h)
{
	if (h->poller >= 0)
		close(h->poller);
	SSL_CTX_free(h->tls);
	free(h->all);
	free(h->in);
	free(h->out);
	timers_close(&h->timers);
	*h = (struct clients){ .poller = -1 };
}

static struct client *take_free(struct clients *h)
{
	struct client *c;

	if (h->used == h->most)
		return NULL;
	h->used++;
	if (!h->free)
		return &h->all[h->never++];
	c = &h->all[h->free - 1];
	h->free = c->next_free;
	return c;
}

static void put_free(struct clients *h, struct client *c)
{
	*c = (struct client){ .state = CLIENT_FREE, .next_free = h->free };
	h->free = index_of(h, c) + 1;
	h->used--;
}

/* The end. */

static void go(struct clients *h, struct client *c, bool reset, enum end end)
{
	struct role *r = role_of(h, c);
	double ms = c->took >= 0 ? c->took : fmax(0, h->now - c->came.due);
	enum stage stage = c->visit.stage;
	bool again;

	if (end == END_OVER && r->crowd.actor->honest && !h->cut_short)
		end = END_SILENT; /* it waited to the very end, and nobody answered */
	timers_drop(&h->timers, index_of(h, c));
	if (c->state != CLIENT_CONNECTING && c->conn.fd >= 0)
		counts_closed(&h->counts, counted(c));
	conn_close(&c->conn, reset);
	again = crowd_ended(&r->crowd, &c->came, end, stage, h->now);
	counts_ended(&h->counts, counted(c), &c->came, stage, end, ms, again);
	counts_left(&h->counts, c->role, r->crowd.left);
	free(c->in);
	free(c->out);
	put_free(h, c);
}

/*
 * It got something it came for. What attackers get in a loop counts each time, from one to the
 * next; an honest visit is a success once.
 */
static void be_done(struct clients *h, struct client *c)
{
	double ms = fmax(0, h->now - c->mark);

	if (c->took >= 0 && role_of(h, c)->crowd.actor->honest)
		return;
	if (c->took < 0)
		c->took = ms;
	c->mark = h->now;
	counts_done(&h->counts, counted(c), ms);
}

/* The visit is over, or had no choice. */
static void end(struct clients *h, struct client *c, unsigned orders, enum end otherwise)
{
	enum end how = c->visit.over ? (enum end)c->visit.end : otherwise;

	if (how == END_DONE && c->took < 0) /* a dialogue without `done` */
		be_done(h, c);
	go(h, c, (orders & VISIT_DO_RESET) != 0, how);
}

/* Bytes that wait. */

static struct rest *rest_of(const void *p, size_t n)
{
	struct rest *r = n ? malloc(sizeof(*r) + n) : NULL;

	if (r) {
		*r = (struct rest){ .n = n };
		memcpy(r->bytes, p, n);
	}
	return r;
}

/* What was kept of this client's input, in h->in. */
static struct span load(struct clients *h, struct client *c)
{
	size_t n = c->in ? c->in->n : 0;

	if (n)
		memcpy(h->in, c->in->bytes, n);
	free(c->in);
	c->in = NULL;
	return span_of(h->in, n);
}

enum sent { SENT_ALL, SENT_SOME, SENT_LOST };

static enum sent send_bytes(struct clients *h, struct client *c, struct span *out)
{
	while (out->n) {
		size_t n;

		switch (conn_write(&c->conn, out->p, out->n, &n)) {
		case CONN_OK:
			counts_bytes(&h->counts, counted(c), 0, n);
			*out = span_skip(*out, n);
			break;
		case CONN_WAIT:
			return SENT_SOME;
		default:
			return SENT_LOST;
		}
	}
	return SENT_ALL;
}

/*
 * Whether all is gone. What is lost is forgotten: the server has closed, and when we have read
 * what it said before, we shall see.
 */
static bool send_out(struct clients *h, struct client *c, struct span out)
{
	switch (send_bytes(h, c, &out)) {
	case SENT_ALL:
		return true;
	case SENT_SOME:
		c->out = rest_of(out.p, out.n);
		return false;
	case SENT_LOST:
		c->marks |= UNREAD;
		return false;
	}
	return false;
}

/* Telling the visit. */

static struct visitor *who(struct clients *h, struct client *c)
{
	struct role *r = role_of(h, c);

	r->who.visit = c->came.number;
	r->who.address = c->came.address;
	r->who.rng = c->rng;
	r->who.from_port = c->port;
	if (r->tells_address) {
		struct sockaddr_storage from;
		socklen_t n;

		source_of(c->role, r->actor, r->target, c->came.address, &from, &n);
		if (from.ss_family == AF_INET6)
			inet_ntop(AF_INET6,
				  &((struct sockaddr_in6 *)(void *)&from)->sin6_addr,
				  r->who.from, sizeof(r->who.from));
		else
			inet_ntop(AF_INET,
				  &((struct sockaddr_in *)(void *)&from)->sin_addr,
				  r->who.from, sizeof(r->who.from));
	}
	return &r->who;
}

static void step(struct clients *h, struct client *c, enum visit_in_kind kind,
		 struct span in, struct visit_out *o)
{
	struct visitor *v = who(h, c);

	visit_step(&c->visit, v, kind, in, (ms_t)h->now, o);
	c->rng = v->rng;
	counts_heard(&h->counts, counted(c), o);
	if (o->begins)
		c->mark = h->now;
	if (o->became_done)
		be_done(h, c);
}

static void shake(struct clients *h, struct client *c);

/* When it wants to hear of us again. */
static void rearm(struct clients *h, struct client *c)
{
	ms_t now = (ms_t)h->now, at = c->visit.deadline;

	if (c->marks & (OWED_SENT | OWED_BYTES))
		at = now;
	timers_put(&h->timers, index_of(h, c), at > now ? at : now + 1);
}

/* How a visit ends at which nothing more can happen, whatever it says; END_COUNT: it goes on. */
static enum end last_end(enum visit_in_kind kind)
{
	switch (kind) {
	case VISIT_EOF:
	case VISIT_RESET:
		return END_DROPPED;
	case VISIT_TLS_FAILED:
		return END_FAULT;
	case VISIT_PHASE_OVER:
		return END_OVER;
	case VISIT_CONNECTED:
	case VISIT_BYTES:
	case VISIT_SENT:
	case VISIT_TLS_DONE:
	case VISIT_TIME:
		break;
	}
	return END_COUNT;
}

/*
 * Tell the visit, do what it says, and so on until it waits for something. What it used is taken
 * from *in. False: it is over, and the client is gone.
 */
static bool drive(struct clients *h, struct client *c, enum visit_in_kind kind,
		  struct span *in)
{
	for (unsigned steps = 0; steps < STEPS_MOST; steps++) {
		struct buf out;
		struct visit_out o = { .out = &out };

		buf_init(&out, h->out, OUT_ROOM);
		if (kind == VISIT_SENT)
			c->marks &= (uint8_t)~OWED_SENT;
		if (kind == VISIT_BYTES)
			c->marks &= (uint8_t)~OWED_BYTES;
		step(h, c, kind, *in, &o);
		*in = span_skip(*in, o.used);
		BUG_IF(out.len && c->out);
		if (out.len && send_out(h, c, buf_span(&out)))
			c->marks |= OWED_SENT;
		if (o.again)
			c->marks |= OWED_BYTES;
		if (c->visit.over || last_end(kind) != END_COUNT ||
		    o.orders & (VISIT_DO_CLOSE | VISIT_DO_RESET)) {
			end(h, c, o.orders, last_end(kind));
			return false;
		}
		if (o.orders & VISIT_DO_TLS)
			c->marks |= SHAKE_NEXT;
		if (o.orders & VISIT_DO_TLS12)
			c->marks |= OLD_TLS;
		if (c->marks & SHAKE_NEXT && !c->out)
			break;
		if (c->marks & OWED_SENT)
			kind = VISIT_SENT;
		else if (c->marks & OWED_BYTES)
			kind = VISIT_BYTES;
		else
			break;
	}
	rearm(h, c);
	return true;
}

static void read_on(struct clients *h, struct client *c, struct span in, bool closing);

/* What is left of the input is kept, or more is read if it is time for it. */
static void settle(struct clients *h, struct client *c, struct span in)
{
	if (c->marks & SHAKE_NEXT && !c->out) {
		/* what came in the clear behind the go-ahead belongs to nobody */
		c->marks &= (uint8_t) ~(SHAKE_NEXT | OWED_BYTES);
		c->state = CLIENT_SHAKING;
		shake(h, c);
	} else if (c->marks & UNREAD && visit_listens(&c->visit)) {
		read_on(h, c, in, false);
	} else {
		c->in = rest_of(in.p, in.n);
	}
}

static void tell(struct clients *h, struct client *c, enum visit_in_kind kind)
{
	struct span in = load(h, c);

	if (drive(h, c, kind, &in))
		settle(h, c, in);
}

/* All replies that there are, before the visit hears that the server has closed. */
static bool drive_through(struct clients *h, struct client *c, struct span *in)
{
	size_t before;

	do {
		before = in->n;
		if (!drive(h, c, VISIT_BYTES, in))
			return false;
	} while (c->marks & OWED_BYTES && in->n < before);
	return true;
}

/*
 * Read while the visit listens; or, if the server has closed, to the end, for what it said last
 * may say how it ended.
 */
static void read_on(struct clients *h, struct client *c, struct span in, bool closing)
{
	bool drained = false;

	while (!drained && (closing || visit_listens(&c->visit))) {
		enum conn_went went = CONN_EOF; /* more than that nobody reads */
		size_t n = 0, room = IN_ROOM - in.n;

		if (in.n)
			memmove(h->in, in.p, in.n);
		if (room)
			went = conn_read(&c->conn, h->in + in.n, room, &n);
		in = span_of(h->in, in.n + n);
		if (went == CONN_WAIT) {
			drained = true;
			break;
		}
		if (went != CONN_OK) {
			drive(h, c, went == CONN_EOF ? VISIT_EOF : VISIT_RESET, &in);
			return;
		}
		counts_bytes(&h->counts, counted(c), n, 0);
		drained = n < room && !c->conn.ssl && !closing;
		if (!visit_listens(&c->visit))
			continue;
		if (closing ? !drive_through(h, c, &in) : !drive(h, c, VISIT_BYTES, &in))
			return;
		if (c->marks & SHAKE_NEXT && !c->out)
			break;
	}
	c->marks &= (uint8_t)~UNREAD;
	if (!drained)
		c->marks |= UNREAD;
	settle(h, c, in);
}

/* TLS. */

static void shake(struct clients *h, struct client *c)
{
	bool first = !(c->marks & GREETED);

	switch (conn_shake(&c->conn, h->tls, (c->marks & OLD_TLS) != 0)) {
	case CONN_OK:
		c->state = CLIENT_UP;
		c->marks |= GREETED | UNREAD;
		tell(h, c, first ? VISIT_CONNECTED : VISIT_TLS_DONE);
		break;
	case CONN_WAIT:
		break;
	default:
		tell(h, c, VISIT_TLS_FAILED);
		break;
	}
}

/* The sockets. */

static void made(struct clients *h, struct client *c, uint32_t events)
{
	enum conn_went went = CONN_OK;

	if (events & (EPOLLERR | EPOLLHUP))
		went = conn_made(&c->conn);
	if (went == CONN_REFUSED)
		counts_refused(&h->counts);
	if (went != CONN_OK) {
		tell(h, c, VISIT_RESET);
		return;
	}
	c->state = CLIENT_UP;
	counts_opened(&h->counts, counted(c));
	if (role_of(h, c)->tells_port)
		c->port = conn_port(&c->conn);
	if (service_tls(role_of(h, c)->actor->service)) {
		c->state = CLIENT_SHAKING;
		shake(h, c);
	} else {
		c->marks |= GREETED;
		tell(h, c, VISIT_CONNECTED);
	}
}

static void write_on(struct clients *h, struct client *c)
{
	struct span out = span_of(c->out->bytes + c->out->at, c->out->n - c->out->at);

	switch (send_bytes(h, c, &out)) {
	case SENT_ALL:
		free(c->out);
		c->out = NULL;
		tell(h, c, VISIT_SENT);
		break;
	case SENT_SOME:
		c->out->at = c->out->n - out.n;
		break;
	case SENT_LOST: /* the event that says so is this one, or will come */
		break;
	}
}

void client_event(struct clients *h, uint64_t tag, uint32_t events)
{
	const uint32_t closed = EPOLLRDHUP | EPOLLHUP | EPOLLERR;
	struct client *c = &h->all[tag];

	clients_look_up(h);
	if (c->state == CLIENT_CONNECTING)
		made(h, c, events);
	else if (c->state == CLIENT_SHAKING)
		shake(h, c);
	if (c->state == CLIENT_UP && c->out)
		write_on(h, c);
	if (c->state == CLIENT_UP && events & (EPOLLIN | closed))
		read_on(h, c, load(h, c), (events & closed) != 0);
}

/* The beginning. */

/* Nobody else's fault: said once, and counted. */
static void complain(struct role *r)
{
	if (!r->told_no_room)
		fprintf(stderr,
			"holdfast-rehearse: %s: no free port, descriptor or memory for one "
			"more connection to %s. Ports are spent first if it comes from few "
			"addresses (%u): give it more, or a pause. What could not be begun "
			"is counted as skipped\n",
			r->actor->name, r->target->text, r->actor->addresses);
	r->told_no_room = true;
}

static void give_back(struct clients *h, unsigned role, const struct crowd_visit *v,
		      struct client *c)
{
	crowd_ended(&h->roles[role].crowd, v, END_OVER, STAGE_CONNECT, h->now);
	if (c)
		put_free(h, c);
}

static enum conn_went dial(struct clients *h, struct client *c)
{
	const struct role *r = role_of(h, c);
	struct sockaddr_storage from;
	socklen_t n;

	source_of(c->role, r->actor, r->target, c->came.address, &from, &n);
	return conn_open(&c->conn, h->poller, index_of(h, c), &from, n, r->target);
}

void client_begin(struct clients *h, unsigned role, const struct crowd_visit *v)
{
	struct role *r = &h->roles[role];
	const struct actor *a = r->actor;
	struct client *c = take_free(h);
	struct counted as = { .actor = role, .phase = counts_phase(&h->counts, v->due) };
	enum conn_went went = CONN_NO_ROOM;

	clients_look_up(h);
	if (c) {
		*c = (struct client){
			.came = *v,
			.rng = rng_of(h->seed, DRAW_VISITOR + role, v->number),
			.took = NOT_DONE,
			.mark = v->due,
			.role = (uint8_t)role,
			.phase = (uint8_t)as.phase,
			.state = CLIENT_CONNECTING,
		};
		visit_init(&c->visit, &a->script, &r->pool, service_speaks(a->service),
			   a->patience);
		went = dial(h, c);
	}
	switch (went) {
	case CONN_WAIT:
		counts_begun(&h->counts, as);
		timers_put(&h->timers, index_of(h, c), (ms_t)h->now + a->patience);
		break;
	case CONN_NO_ROOM:
		complain(r);
		counts_no_port(&h->counts, as);
		give_back(h, role, v, c);
		break;
	case CONN_FORBIDDEN:
		fprintf(stderr,
			"holdfast-rehearse: %s: %s is not on this machine, or the address "
			"it should be reached from is not\n",
			a->name, r->target->text);
		h->spent = true;
		give_back(h, role, v, c);
		break;
	case CONN_REFUSED:
		counts_refused(&h->counts);
		counts_begun(&h->counts, as);
		tell(h, c, VISIT_RESET);
		break;
	case CONN_OK:
	case CONN_EOF:
	case CONN_LOST:
		counts_begun(&h->counts, as);
		tell(h, c, VISIT_RESET);
		break;
	}
}

/* Time. */

static void wake(struct clients *h, struct client *c)
{
	if (!(c->marks & GREETED)) {
		tell(h, c, VISIT_TIME); /* which ends it as silent */
	} else if (c->marks & OWED_SENT) {
		tell(h, c, VISIT_SENT);
	} else if (c->marks & OWED_BYTES) {
		tell(h, c, VISIT_BYTES);
	} else if (c->visit.deadline <= (ms_t)h->now) {
		tell(h, c, VISIT_TIME);
	} else {
		rearm(h, c);
	}
}

void clients_wake(struct clients *h)
{
	ms_t until = (ms_t)h->now;
	uint32_t who;

	while (timers_take(&h->timers, until, &who)) {
		clients_look_up(h);
		wake(h, &h->all[who]);
	}
}

void clients_send_home(struct clients *h, uint32_t *at, uint32_t n)
{
	for (; n && h->never; n--) {
		struct client *c = &h->all[*at];

		*at = (*at + 1) % h->never;
		if (c->state != CLIENT_FREE && role_of(h, c)->cut <= h->now)
			tell(h, c, VISIT_PHASE_OVER);
	}
}
