/*
 * An edge in this process, with its loop, ports and sockets, as edge.c makes it. Peers and
 * the store are played between its rounds. One call of loop_run() is one round, so what
 * waits in the kernel when it begins is what it finds.
 *
 * Not in the figures: system calls, and the doorbell of the log, which is rung by the clock.
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/bug.h"
#include "conf/settings.h"
#include "edge/inside.h"
#include "tests/cost/cost.h"
#include "tests/unit/access_maker.h"

#define PATIENCE 1000 /* rounds, and 100 ms each if nothing comes */

static struct conf conf;
static struct start start;
static struct edge edge;
static struct link *store;	       /* the store's end */
static const char *refusal = "421 4."; /* what who is refused hears */
static struct sockaddr_in at;
static int port_fd;

/*
 * In the place of libc's, for the loop, the log and the libraries: what is written with the
 * time in it has to be as long in every run. It goes on by 10 us when it is asked.
 */
int clock_gettime(clockid_t clock, struct timespec *t)
{
	static const time_t wall = 1792152000; /* Fri, 16 Oct 2026 12:00:00 +0000 */
	static long asked;

	asked++;
	t->tv_sec = (clock == CLOCK_REALTIME ? wall : 1000) + asked / 100000;
	t->tv_nsec = asked % 100000 * 10000;
	return 0;
}

/*
 * Likewise: a busy kernel hands on later what was sent over loopback, so that a round may be
 * asked for in which nothing comes any more. It must end all the same.
 */
int epoll_wait(int fd, struct epoll_event *events, int most, int ms)
{
	return (int)syscall(SYS_epoll_wait, fd, events, most,
			    ms < 0 || ms > 100 ? 100 : ms);
}

/* ---- the edge --------------------------------------------------------------------------- */

static void set(const char *key, const char *value)
{
	struct err err;

	BUG_IF(!settings_put(&conf.set, span_str(key), span_str(value), &err));
}

static void open_port(void)
{
	socklen_t n = sizeof(at);

	at.sin_family = AF_INET;
	at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	port_fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	BUG_IF(bind(port_fd, (struct sockaddr *)&at, n) != 0);
	BUG_IF(listen(port_fd, 4 * CROWD) != 0);
	BUG_IF(getsockname(port_fd, (struct sockaddr *)&at, &n) != 0);
}

static void init_conf(void)
{
	struct listener *l = &conf.listeners[0];

	settings_init(&conf.set);
	set("hostname", "mx.here.example");
	conf.set.edges = 1;
	conf.set.greet_delay = 0;
	conf.set.guard_mode = GUARD_OBSERVE; /* but for refusals */
	conf.listener_count = 1;
	l->at = (struct endpoint){ addr_v4(127, 0, 0, 1), ntohs(at.sin_port) };
	l->id = 7;
	memcpy(l->name, "smtp", 5);
}

static struct start_mapping make(size_t n)
{
	void *mem = aligned_alloc(4096, n);

	BUG_IF(!mem);
	memset(mem, 0, n);
	return (struct start_mapping){ mem, n, true };
}

/* As large as it is without configuration, and with no orders. */
static void make_guard(void)
{
	const struct memory_shape shape = { (uint32_t)conf.set.guard_hot,
					    (uint32_t)conf.set.guard_cold, EDGES_MAX,
					    1024 };
	const uint64_t key[2] = { 1, 2 };

	start.guard = make(memory_size(&shape));
	memory_init(start.guard.mem, start.guard.n, &shape, key, 1000 * MS_SECOND);
	start.orders = make((orders_size() + 4095) / 4096 * 4096);
	orders_init(start.orders.mem);
}

/* A list that denies 127.0.0.0/8 and some thousand other networks. */
static void deny_all(void)
{
	enum { COUNT = 4096 };
	static struct made_entry entries[COUNT];
	struct made list = { .entries = entries, .count = COUNT, .lists = 1 };

	for (unsigned i = 0; i < COUNT; i++)
		entries[i] = (struct made_entry){
			.net = { addr_v4(198, (uint8_t)(i >> 8), (uint8_t)i, 0), 120 },
			.line = i + 1,
			.answer = ACCESS_DENY,
		};
	entries[0].net = (struct net){ addr_v4(127, 0, 0, 0), 104 };
	BUG_IF(made_make(&list) != FLATTEN_DONE);
	start.access = (struct start_mapping){ list.mem, list.n, true };
}

/* A log that has been written for a while: each record overwrites another. */
static void fill_ring(void)
{
	static const uint8_t fields[128];

	for (size_t i = 0; i < PULSE_RING_BYTES / sizeof(fields); i++)
		pulse_log(edge.pulse, LOG_SESSION, 0, NULL,
			  span_of(fields, sizeof(fields)));
}

static void on_round(void *arg)
{
	struct edge *e = arg;

	while (e->dead) {
		struct conn *c = e->dead;

		e->dead = c->next;
		pool_give(&e->conn_pool, c);
	}
	loop_stop(e->loop);
}

static void never(void *arg)
{
	(void)arg;
	BUG_IF(true);
}

static void init_pools(struct edge *e)
{
	pool_init(&e->conn_pool, sizeof(struct conn), 256);
	pool_init(&e->in_pool, IN_MAX, 64);
	pool_init(&e->out_pool, (size_t)2 * OUT_MAX, 64);
	pool_init(&e->envelope_pool, ENVELOPE_FIRST, 256);
	pool_init(&e->poor_pool, BODY_POOR, 64);
	pool_init(&e->body_pool, BODY_FIRST, 256);
	pool_init(&e->full_pool, BODY_FULL, 32);
}

static void open_store(void)
{
	struct deliveries_setup setup = {
		.loop = edge.loop,
		.conf = &conf,
		.pulse = edge.pulse,
		.on_sent = store_sent,
		.on_ended = edge_less_busy,
		.arg = &edge,
		.name_servers = "127.0.0.1",
	};
	struct link *link;
	struct err err;
	int fds[2];

	BUG_IF(!deliveries_open(&edge.deliveries, &setup, &err));
	BUG_IF(!link_pair(fds, &err));
	BUG_IF(!link_open(&link, fds[0], ROLE_EDGE, ROLE_STORE, 0, &err));
	BUG_IF(!link_open(&store, fds[1], ROLE_STORE, ROLE_EDGE, 0, &err));
	store_link_set(&edge, link);
}

static void open_with(const char *key, const char *value, bool denies)
{
	static struct rules rules = { .conf = &conf, .holders = 1 };
	struct edge *e = &edge;
	struct err err;

	open_port();
	init_conf();
	if (key)
		set(key, value);
	e->rules = &rules;
	e->start = &start;
	BUG_IF(!pulse_private(&e->pulse, &err) || !loop_open(&e->loop, &err));
	fill_ring();
	make_guard();
	if (denies)
		deny_all();
	BUG_IF(!edge_guard_open(e, &err));
	edge_guard_adopt(e);
	e->conn_max = e->socket_max = 1000;
	e->letter_memory_max = conf.set.body_memory;
	init_pools(e);
	id_maker_init(&e->ids, 0);
	timer_init(&e->accept_again, e->loop, ports_on_pause_over, e);
	timer_init(&e->steps_again, e->loop, never, e);
	timer_init(&e->stranded, e->loop, never, e);
	loop_each_round(e->loop, on_round, e);
	e->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	for (size_t i = 0; i < COUNT_OF(e->ports); i++)
		e->ports[i].fd = -1;
	e->recipients = recipients();
	open_store();
	ports_set(e, &(struct start_listener){ 0, conf.listeners[0].id, port_fd });
	ports_accept(e, true);
}

/* ---- peers ------------------------------------------------------------------------------- */

static int call(void)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	BUG_IF(connect(fd, (struct sockaddr *)&at, sizeof(at)) != 0);
	return fd;
}

/* How many have come, and were not accepted yet? */
static unsigned waiting(void)
{
	struct tcp_info info = { 0 };
	socklen_t n = sizeof(info);

	BUG_IF(getsockopt(port_fd, IPPROTO_TCP, TCP_INFO, &info, &n) != 0);
	return info.tcpi_unacked;
}

/* Is it a whole reply? Its last line has a space behind the code. */
static bool is_whole(struct span said)
{
	struct span line;

	if (!said.n || said.p[said.n - 1] != '\n')
		return false;
	line = span_skip(said, span_find_last(span_head(said, said.n - 1), '\n') + 1);
	if (span_find(said, '\n') == said.n - 1)
		line = said;
	return line.n > 3 && line.p[3] == ' ';
}

static void hear(int fd, const char *reply)
{
	char mem[OUT_MAX];
	size_t n = 0;

	for (int i = 0; !is_whole(span_of(mem, n)); i++) {
		ssize_t got = recv(fd, mem + n, sizeof(mem) - n, MSG_DONTWAIT);

		BUG_IF(i == PATIENCE || got == 0 || (got < 0 && errno != EAGAIN));
		if (got > 0)
			n += (size_t)got;
		else
			loop_run(edge.loop);
	}
	BUG_IF(!span_starts(span_of(mem, n), span_str(reply)));
}

static void say(int fd, struct span line, const char *reply)
{
	BUG_IF(send(fd, line.p, line.n, MSG_NOSIGNAL) != (ssize_t)line.n);
	if (reply)
		hear(fd, reply);
}

static void expect_end(int fd)
{
	char c;

	BUG_IF(recv(fd, &c, 1, 0) != 0);
	close(fd);
}

/* ---- a session --------------------------------------------------------------------------- */

void edge_open(void)
{
	open_with(NULL, NULL, false);
}

static int begin(void)
{
	int fd = call();

	hear(fd, "220 mx.here.example");
	say(fd, SPAN("EHLO there.example\r\n"), "250-mx.here.example");
	say(fd, SPAN("MAIL FROM:<sam@there.example>\r\n"), "250 2.1.0");
	return fd;
}

static void end(int fd)
{
	say(fd, SPAN("QUIT\r\n"), "221");
	expect_end(fd);
	BUG_IF(edge.conn_count != 0);
}

static void commit(void)
{
	struct msg_SUBMIT m;
	struct msg_SUBMITTED a;
	struct frame f;
	struct err err;

	for (int i = 0; link_recv(store, &f, &err) != LINK_GOT; i++) {
		BUG_IF(i == PATIENCE);
		loop_run(edge.loop);
	}
	BUG_IF(f.kind != MSG_SUBMIT || !msg_SUBMIT_unpack(f.bytes, &m));
	BUG_IF(m.spooled || m.rcpt_count != 1 || m.body.n < 4096);
	a = (struct msg_SUBMITTED){ m.id, m.nonce, SUBMITTED_OK };
	msg_SUBMITTED_pack(&a, link_begin(store));
	BUG_IF(!link_send(store, NULL, 0));
}

void edge_transaction(void)
{
	int fd = begin();

	say(fd, SPAN("RCPT TO:<alice@here.example>\r\n"), "250 2.1.5");
	say(fd, SPAN("DATA\r\n"), "354");
	say(fd, message(), NULL);
	commit();
	hear(fd, "250 2.0.0 Queued");
	end(fd);
}

void edge_unknown(void)
{
	int fd = begin();

	say(fd, SPAN("RCPT TO:<nobody@here.example>\r\n"), "550 5.1.1");
	end(fd);
}

/* ---- refusals ------------------------------------------------------------------------------ */

/* They all come from one address, which is to be refused for one reason only. */
static void enforce(void)
{
	struct guard_limits *l = &edge.guard.limits;

	l->observe = false;
	l->connect_rate = 0;
	l->delay_at = l->late_at = l->ban_at = l->ban_history_at = INT64_MAX / 16;
}

static void open_taken(const char *key)
{
	open_with(key, "1", false);
	enforce();
	hear(call(), "220 mx.here.example"); /* and stays */
}

void edge_open_full(void)
{
	open_taken("sessions.max");
}

void edge_open_crowded(void)
{
	open_taken("sessions.per-address");
}

void edge_open_denied(void)
{
	open_with(NULL, NULL, true);
	enforce();
	refusal = "554 5.7.1 Refused by policy [D";
}

void edge_refuse(void)
{
	int fd[CROWD];

	for (int i = 0; i < CROWD; i++)
		fd[i] = call();
	for (int i = 0; waiting() < CROWD; i++) {
		BUG_IF(i == 100 * PATIENCE);
		(void)poll(NULL, 0, 1);
	}
	for (int i = 0; i < CROWD; i++) {
		hear(fd[i], refusal);
		expect_end(fd[i]);
	}
	BUG_IF(edge.conn_count > 1);
}
