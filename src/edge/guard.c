/*
 * The guard in an edge: its memory, orders and lists, and what follows for all sessions.
 * What it means for one session is in visit.c.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/bug.h"
#include "base/fields.h"
#include "edge/inside.h"
#include "guard/access.h"
#include "guard/snapshot.h"
#include "session/limits.h"
#include "spec/replies.h"

#define NONE_WORSE_PAUSE ((ms_t)20) /* after a search in vain, for strangers */
#define WORSE_BY	 10	    /* points: by less nobody is worse than another */
#define STILL		 (10 * MS_SECOND) /* who does nothing for so long can be spared */
#define EASY		 50 /* of a hundred sessions: until then nothing is shrunk */

/* ---- what it says ------------------------------------------------------------------------ */

/* "421 4.7.0 Too many ... [S......] contact": the code is filled in for each client. */
static void print_refusal(struct refusal *r, enum service service, enum reply reply,
			  struct span contact)
{
	static const char code[] = "-------";
	uint8_t mem[RULE_TEXT_MAX];
	struct buf out, more;

	_Static_assert(sizeof(code) == CODE_LENGTH + 1, "as long as a code");
	buf_init(&more, mem, sizeof(mem));
	standing_print_code(RULE_NONE, code, contact, &more);
	buf_init(&out, r->line, sizeof(r->line));
	session_print_refusal(service, reply, buf_span(&more), &out);
	BUG_IF(out.full || more.full);
	r->n = (uint16_t)out.len;
	/* behind it are a bracket, the contact, CRLF */
	r->code_at = (uint16_t)(out.len - 2 - more.len + 1);
}

static void print_refusals(struct edge *e)
{
	struct span contact = span_str(e->rules->conf->set.contact);

	for (enum service s = 0; s < SERVICE_COUNT; s++) {
		for (enum rule rule = RULE_NONE + 1; rule < RULE_COUNT; rule++)
			print_refusal(&e->refusals[s][rule], s, rule_table[rule].reply,
				      contact);
		print_refusal(&e->kicked[s], s, RE_GUARD_KICKED, contact);
	}
}

struct span edge_guard_refusal(struct edge *e, struct refusal *r, enum rule rule,
			       const struct addr *a)
{
	char code[CODE_MAX];

	code_make(&e->guard.memory, rule, a, code);
	memcpy(r->line + r->code_at, code, CODE_LENGTH);
	return span_of(r->line, r->n);
}

/* ---- limits ------------------------------------------------------------------------------ */

void edge_guard_adopt(struct edge *e)
{
	const struct conf *conf = e->rules->conf;

	limits_of(&conf->set, conf->observed, &e->guard.limits);
	memory_half_life(&e->guard.memory, e->guard.limits.half_slow);
	print_refusals(e);
	e->ticks++; /* what was reckoned with the old ones holds no more */
}

bool edge_guard_is_front(const struct edge *e, const struct listener *l,
			 const struct addr *a)
{
	const struct conf *conf = e->rules->conf;

	for (uint32_t i = 0; l->proxy && i < conf->proxy_count; i++)
		if (net_has(&conf->proxy_from[i], a))
			return true;
	for (uint32_t i = 0; i < conf->xclient_count; i++)
		if (net_has(&conf->xclient_from[i], a))
			return true;
	return false;
}

/* ---- room --------------------------------------------------------------------------------- */

static double points_of(struct edge *e, const struct addr *a, ms_t now)
{
	struct guard_hot row;

	if (!memory_peek(&e->guard.memory, guard_key_of(a, LEVEL_CLIENT), &row))
		return 0;
	return guard_fast(&row, &e->guard.limits, now);
}

/* Is the session that could be given up worse than this stranger? */
static bool is_worse(struct edge *e, const struct conn *c, const struct addr *than)
{
	ms_t now = loop_now(e->loop);

	return now - c->moved >= STILL || c->points >= points_of(e, than, now) + WORSE_BY;
}

/* Who could be given up for somebody better; NULL: nobody. */
static struct conn *worst_of(struct edge *e)
{
	uint32_t seat = guard_worst(&e->guard);
	struct conn *c = seat == SEAT_NONE ? NULL : e->seated[seat];

	return c && c->session.phase != PHASE_SUBMIT ? c : NULL;
}

bool edge_guard_make_room(struct edge *e, const struct addr *from, bool known_good)
{
	ms_t now = loop_now(e->loop);
	struct conn *c;

	if (!known_good && now < e->none_worse_until)
		return false;
	c = worst_of(e);
	if (c && (known_good || is_worse(e, c, from))) {
		conn_dismiss(c, RULE_ROOM);
		return true;
	}
	e->none_worse_until = now + NONE_WORSE_PAUSE;
	return false;
}

/* Other workers have let known-good clients in, for whom some of ours are to go. */
static void pay_seats(struct edge *e)
{
	uint32_t owed = seats_owed(&e->guard.memory);
	struct conn *c;

	if (owed == 0)
		return;
	for (uint32_t i = 0; i < owed && (c = worst_of(e)); i++)
		conn_dismiss(c, RULE_ROOM);
	seats_settle(&e->guard.memory, owed);
}

/* ---- orders ---------------------------------------------------------------------------------- */

static bool is_meant(const struct conn *c, const struct kick *k)
{
	struct span login;

	if (k->session)
		return k->session == c->number;
	if (!k->user)
		return net_has(&k->net, &c->session.peer.addr);
	login = session_login(&c->session);
	return login.n && memory_hash(&c->edge->guard.memory, login) == k->user;
}

static void kick(struct edge *e, const struct kick *k)
{
	struct conn *next;

	for (struct conn *c = e->conns; c; c = next) {
		next = c->next;
		if (!is_meant(c, k))
			continue;
		c->kicked = true;
		conn_dismiss(c, RULE_ORDER);
	}
}

/* Strangers who are here. Fronts stay: their clients are judged when they are told. */
static void shed_strangers(struct edge *e)
{
	struct conn *next;

	for (struct conn *c = e->conns; c; c = next) {
		next = c->next;
		if (c->judged && !c->visit.known_good && !c->visit.allowed)
			conn_dismiss(c, RULE_LOCKDOWN);
	}
}

static void look_at_orders(struct edge *e)
{
	const struct orders *o = e->guard.orders;
	uint64_t version = orders_version(o);
	struct kick k;

	if (version == e->orders_version)
		return;
	e->orders_version = version;
	while (orders_next_kick(o, &e->kick_serial, &k))
		kick(e, &k);
	if (orders_in_lockdown(o) && !e->guard.limits.observe &&
	    !e->guard.limits.observed[RULE_LOCKDOWN])
		shed_strangers(e);
}

void edge_guard_tick(struct edge *e)
{
	e->ticks++;
	e->tight = guard_fill(&e->guard) > EASY;
	pay_seats(e);
	guard_catch_up(&e->guard, loop_now(e->loop));
	if (e->guard.orders)
		look_at_orders(e);
}

/* ---- lists -------------------------------------------------------------------------------------- */

static bool use_access(struct edge *e)
{
	const struct start_mapping *m = &e->start->access;

	e->guard.access = m->n ? m->mem : NULL;
	e->guard.access_n = m->n;
	return !m->n || access_ok(m->mem, m->n);
}

/* Steps are synchronous: nobody is looking at the old ones. */
bool edge_guard_take_access(struct edge *e, struct frame *f)
{
	struct start_mapping now = { 0 };
	struct msg_ACCESS m;
	struct err err;

	if (!msg_ACCESS_unpack(f->bytes, &m))
		return false;
	if (!start_map_access(frame_take_fd(f, 0), &now, &err)) {
		report_trouble(e, "access", err.text);
		return true;
	}
	if (now.n && !access_ok(now.mem, now.n)) {
		report_trouble(e, "access", "the lists make no sense: the old ones stay");
		start_unmap(&now);
		return true;
	}
	start_unmap(&e->start->access);
	e->start->access = now;
	return use_access(e);
}

/* ---- memory --------------------------------------------------------------------------------------- */

/* A snapshot that a thread merges. */
struct remember {
	struct edge *edge;
	struct span bytes; /* mapped */
	ms_t now;
	int64_t wall;
	size_t taken, torn;
};

static void run_remember(void *arg)
{
	struct remember *r = arg;

	r->taken = snapshot_read(&r->edge->guard.memory, r->bytes, r->now, r->wall,
				 &r->torn);
}

static void on_remembered(void *arg)
{
	struct remember *r = arg;
	struct edge *e = r->edge;
	uint8_t mem[256];
	struct buf out;

	buf_init(&out, mem, sizeof(mem));
	field_text(&out, "key", SPAN("guard"));
	field_text(&out, "what", SPAN("restored"));
	field_number(&out, "rows", (int64_t)r->taken);
	field_number(&out, "torn", (int64_t)r->torn);
	pulse_log(e->pulse, LOG_MEMORY, loop_wall(e->loop), NULL, buf_span(&out));
	store_remembered(e, r->taken, r->torn);
	munmap((void *)(uintptr_t)r->bytes.p, r->bytes.n);
	free(r);
}

/* Only a file that cannot become shorter under our hands. */
static struct span map_sealed(int fd)
{
	int seals = fcntl(fd, F_GET_SEALS);
	struct stat st;
	void *mem;

	if (seals < 0 || !(seals & F_SEAL_SHRINK) || fstat(fd, &st) != 0 ||
	    st.st_size <= 0)
		return SPAN_NONE;
	mem = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0);
	return mem == MAP_FAILED ? SPAN_NONE : span_of(mem, (size_t)st.st_size);
}

bool edge_guard_take_memory(struct edge *e, struct frame *f)
{
	struct remember *r;
	struct msg_REMEMBER m;
	struct span bytes;

	if (!msg_REMEMBER_unpack(f->bytes, &m))
		return false;
	if (m.life != memory_life(&e->guard.memory)) {
		store_remembered(e, 0, 0);
		return true;
	}
	if (link_lost(e->store.link, f))
		return true;
	bytes = map_sealed(f->fds[0]);
	if (!bytes.n)
		return false;
	r = calloc(1, sizeof(*r));
	if (r)
		*r = (struct remember){ .edge = e,
					.bytes = bytes,
					.now = loop_now(e->loop),
					.wall = loop_wall(e->loop) };
	if (r && work_run(e->loop, run_remember, on_remembered, r))
		return true;
	report_trouble(e, "memory",
		       "out of memory: what was known of clients stays "
		       "in the state database until the next start");
	munmap((void *)(uintptr_t)bytes.p, bytes.n);
	free(r);
	return true;
}

void edge_guard_mend(struct edge *e, unsigned dead)
{
	memory_mend(&e->guard.memory, dead);
	seats_mend(&e->guard.memory, dead);
}

/* Whoever had our number before us, and all who died before we could hear of it. */
static void mend_all(struct edge *e)
{
	edge_guard_mend(e, e->start->number);
	for (unsigned n = 0; n < EDGES_MAX; n++)
		if (n != e->start->number && e->start->dead_edges & UINT32_C(1) << n)
			edge_guard_mend(e, n);
}

/* ---- the beginning and the end ---------------------------------------------------------------- */

static bool open_memory(struct edge *e, struct err *err)
{
	struct start *s = e->start;
	struct guard *g = &e->guard;

	if (!s->guard.mem)
		return err_set(err, "no memory for the guard: the supervisor sent none");
	if (!memory_open(&g->memory, s->guard.mem, s->guard.n, s->number) ||
	    s->number >= seats_workers(&g->memory))
		return err_set(err, "the guard's memory is not of this program's version");
	e->seated = calloc(seats_room(&g->memory), sizeof(struct conn *));
	return e->seated || err_set(err, "out of memory");
}

static void rest(void)
{
	const struct timespec a_moment = { .tv_nsec = 100 * 1000 };

	(void)nanosleep(&a_moment, NULL);
}

bool edge_guard_open(struct edge *e, struct err *err)
{
	const struct start_mapping *orders = &e->start->orders;
	struct guard *g = &e->guard;

	if (!open_memory(e, err))
		return false;
	g->memory.rest = rest;
	if (orders->mem && !orders_ok(orders->mem, orders->n))
		return err_set(err, "the orders are not of this program's version");
	g->orders = orders->mem;
	g->chance = e->key[1];
	if (!use_access(e))
		return err_set(err, "the access lists make no sense");
	mend_all(e);
	if (g->orders) {
		struct kick none;

		e->orders_version = orders_version(g->orders);
		(void)!orders_next_kick(g->orders, &e->kick_serial, &none);
	}
	return true;
}

void edge_guard_close(struct edge *e)
{
	free(e->seated);
	e->seated = NULL;
	guard_catch_up(&e->guard, (ms_t)(loop_clock_us() / 1000)); /* the loop is closed */
	e->guard = (struct guard){ 0 };
	start_unmap(&e->start->guard);
	start_unmap(&e->start->orders);
	start_unmap(&e->start->access);
}
