/*
 * An edge in a process of its own, with a supervisor and a store that are played here, and
 * peers that come over loopback.
 */
#include "expect.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/list.h"
#include "base/rcptmap.h"
#include "conf/certs.h"
#include "conf/settings.h"
#include "edge/edge.h"
#include "edge/inside.h"
#include "guard/code.h"
#include "guard/guard.h"
#include "guard/snapshot.h"
#include "link/seal.h"
#include "spec/box.h"

#include "child.h"

#define PATIENCE 60000 /* ms: for a busy machine */

struct rig {
	struct conf conf;
	int port, port_fd;
	pid_t edge;
	struct link *life, *store;
	struct pulse_reader *pulse;
	struct start_mapping guard, orders; /* shared with the edge */
	struct memory memory;		    /* a view of it */
};

/* ---- the edge ------------------------------------------------------------------------------ */

static int memfd_of(struct span s)
{
	int fd = memfd_create("test", MFD_ALLOW_SEALING | MFD_CLOEXEC);

	assert_int_equal(write(fd, s.p, s.n), (ssize_t)s.n);
	assert_true(seal_memory(fd));
	return fd;
}

static void init_conf(struct rig *r)
{
	struct sockaddr_in at = { .sin_family = AF_INET,
				  .sin_addr = { htonl(INADDR_LOOPBACK) } };
	socklen_t n = sizeof(at);
	struct listener *l = &r->conf.listeners[0];

	r->port_fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(r->port_fd, (struct sockaddr *)&at, n), 0);
	assert_int_equal(listen(r->port_fd, 100), 0);
	assert_int_equal(getsockname(r->port_fd, (struct sockaddr *)&at, &n), 0);
	r->port = ntohs(at.sin_port);
	settings_init(&r->conf.set);
	memcpy(r->conf.set.hostname, "mx.example.test", 16);
	r->conf.set.edges = 1;
	r->conf.set.sandbox = SANDBOX_OFF;
	r->conf.set.greet_delay = 0;
	r->conf.set.lookups = false;
	r->conf.set.connect_rate = 0;
	r->conf.magic = CONF_MAGIC;
	r->conf.relay_hop = HOP_MX;
	r->conf.size = sizeof(r->conf);
	r->conf.deliver_hop = HOP_DISCARD;
	r->conf.listener_count = 1;
	l->at = (struct endpoint){ addr_v4(127, 0, 0, 1), (uint16_t)r->port };
	l->id = 7;
	memcpy(l->name, "smtp test", 10);
}

static void set(struct rig *r, const char *key, const char *value)
{
	struct err err;

	assert_true(settings_put(&r->conf.set, span_str(key), span_str(value), &err));
}

/* In the child. */
static int be_edge(const struct rig *r, int life, int store, int pulse)
{
	struct start s = { .role = ROLE_EDGE, .certs_fd = -1, .tables_fd = -1 };
	struct span conf = span_of(&r->conf, sizeof(r->conf));
	struct err err;
	int code;

	s.guard = r->guard;
	s.orders = r->orders;
	s.conf = start_map_conf(memfd_of(conf), &err);
	s.listeners[s.listener_count++] = (struct start_listener){ 0, 7, dup(r->port_fd) };
	s.peers[s.peer_count++].role = ROLE_STORE;
	if (!s.conf || !link_open(&s.life, life, ROLE_EDGE, ROLE_SUPERVISOR, 0, &err) ||
	    !link_open(&s.peers[0].link, store, ROLE_EDGE, ROLE_STORE, 0, &err) ||
	    !pulse_open(&s.pulse, pulse, eventfd(0, EFD_NONBLOCK), &err))
		return 3;
	code = edge_main(&s);
	link_close(&s.life);
	pulse_close(&s.pulse);
	return code;
}

static struct start_mapping share(size_t n)
{
	void *mem = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
			 0);

	assert_ptr_not_equal(mem, MAP_FAILED);
	return (struct start_mapping){ mem, n, true };
}

/* What the supervisor makes, once for all edges. */
static void make_guard(struct rig *r)
{
	const struct memory_shape shape = { 1024, 1024, EDGES_MAX, 256 };
	const uint64_t key[2] = { 1, 2 };

	r->guard = share(memory_size(&shape));
	memory_init(r->guard.mem, r->guard.n, &shape, key, 0);
	assert_true(memory_open(&r->memory, r->guard.mem, r->guard.n, EDGES_MAX - 1));
	r->orders = share(orders_size());
	orders_init(r->orders.mem);
}

static void start_edge(struct rig *r)
{
	int life[2], store[2], pulse, reader;
	struct err err;

	assert_true(link_pair(life, &err) && link_pair(store, &err));
	assert_true(pulse_make(&pulse, &reader, &err));
	r->edge = fork_child();
	if (r->edge == 0) {
		close(life[0]);
		close(store[0]);
		_exit(be_edge(r, life[1], store[1], pulse));
	}
	close(life[1]);
	close(store[1]);
	close(pulse);
	assert_true(pulse_reader_open(&r->pulse, reader, &err));
	assert_true(link_open(&r->life, life[0], ROLE_SUPERVISOR, ROLE_EDGE, 0, &err));
	assert_true(link_open(&r->store, store[0], ROLE_STORE, ROLE_EDGE, 0, &err));
}

/* ---- the store ----------------------------------------------------------------------------- */

static void publish(struct rig *r)
{
	const uint64_t key[2] = { 1, 2 };
	struct msg_RECIPIENTS m = { 1 };
	size_t n = rcptmap_size(16);
	void *map = calloc(1, n);
	int fd;

	rcptmap_init(map, n, key, 1, SPAN("+"));
	assert_true(rcptmap_put(map, n, SPAN("@example.test"), RCPT_DOMAIN));
	assert_true(rcptmap_put(map, n, SPAN("alice@example.test"), RCPT_EXISTS));
	assert_true(rcptmap_put(map, n, SPAN("@ask.test"), RCPT_DOMAIN | RCPT_ASK));
	fd = memfd_of(span_of(map, n));
	msg_RECIPIENTS_pack(&m, link_begin(r->store));
	assert_true(link_send(r->store, &fd, 1));
	close(fd);
	free(map);
}

/* The next message of that kind; others before it are none. */
static void expect_frame(struct link *l, enum message kind, struct frame *f)
{
	struct err err;

	assert_int_equal(link_recv_wait(l, PATIENCE, f, &err), LINK_GOT);
	assert_string_equal(message_table[f->kind].word, message_table[kind].word);
}

static struct msg_SUBMIT expect_submit(struct rig *r)
{
	struct msg_SUBMIT m;
	struct frame f;

	expect_frame(r->store, MSG_SUBMIT, &f);
	assert_true(msg_SUBMIT_unpack(f.bytes, &m));
	return m;
}

static void answer_submit(struct rig *r, const struct msg_SUBMIT *m, enum submitted result)
{
	struct msg_SUBMITTED a = { m->id, m->nonce, (uint8_t)result };

	msg_SUBMITTED_pack(&a, link_begin(r->store));
	assert_true(link_send(r->store, NULL, 0));
}

static void say_gone(struct rig *r)
{
	struct msg_GONE m = { ROLE_STORE, 0 };

	msg_GONE_pack(&m, link_begin(r->life));
	assert_true(link_send(r->life, NULL, 0));
}

/* As the supervisor sees it: else the edge waits for some seconds, and ends. */
static void lose_store(struct rig *r)
{
	link_close(&r->store);
	say_gone(r);
}

static void replace_store(struct rig *r)
{
	struct msg_PEER m = { ROLE_STORE, 0 };
	struct err err;
	int fds[2];

	assert_true(link_pair(fds, &err));
	msg_PEER_pack(&m, link_begin(r->life));
	assert_true(link_send(r->life, &fds[1], 1));
	close(fds[1]);
	assert_true(link_open(&r->store, fds[0], ROLE_STORE, ROLE_EDGE, 0, &err));
	publish(r);
}

/* The link to auth, from now on. */
static struct link *meet_auth(struct rig *r)
{
	struct msg_PEER m = { ROLE_AUTH, 0 };
	struct link *auth;
	struct err err;
	int fds[2];

	assert_true(link_pair(fds, &err));
	msg_PEER_pack(&m, link_begin(r->life));
	assert_true(link_send(r->life, &fds[1], 1));
	close(fds[1]);
	assert_true(link_open(&auth, fds[0], ROLE_AUTH, ROLE_EDGE, 0, &err));
	return auth;
}

/* ---- a rig for a test ------------------------------------------------------------------------ */

static void open_started(struct rig *r)
{
	struct frame f;

	make_guard(r);
	start_edge(r);
	expect_frame(r->life, MSG_READY, &f);
}

static void open_rig(struct rig *r, const char *key, const char *value)
{
	memset(r, 0, sizeof(*r));
	init_conf(r);
	if (key)
		set(r, key, value);
	open_started(r);
}

/* It must end by itself, in order, with nothing left over. */
static void expect_exit(struct rig *r)
{
	int status;

	assert_int_equal(waitpid(r->edge, &status, 0), r->edge);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
	assert_int_equal(pulse_gauge_now(r->pulse, GAUGE_SESSIONS), 0);
	assert_int_equal(pulse_gauge_now(r->pulse, GAUGE_BODY_BYTES), 0);
	assert_int_equal(memory_sessions(&r->memory), 0);
	link_close(&r->life);
	link_close(&r->store);
	pulse_reader_close(&r->pulse);
	close(r->port_fd);
	start_unmap(&r->guard);
	start_unmap(&r->orders);
}

static void drain(struct rig *r, ms_t within)
{
	struct msg_DRAIN m = { .within = within };

	msg_DRAIN_pack(&m, link_begin(r->life));
	assert_true(link_send(r->life, NULL, 0));
}

static void close_rig(struct rig *r)
{
	drain(r, 1000);
	expect_exit(r);
}

/* ---- a peer -------------------------------------------------------------------------------- */

/* From 127.0.0.host: a client of its own. */
static int call_from(const struct rig *r, int host)
{
	struct sockaddr_in at = {
		.sin_family = AF_INET,
		.sin_addr = { htonl(INADDR_LOOPBACK) },
		.sin_port = htons((uint16_t)r->port),
	};
	struct sockaddr_in from = {
		.sin_family = AF_INET,
		.sin_addr = { htonl(0x7f000000u | (uint32_t)host) },
	};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(bind(fd, (struct sockaddr *)&from, sizeof(from)), 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&at, sizeof(at)), 0);
	return fd;
}

static int call(const struct rig *r)
{
	return call_from(r, 1);
}

static bool comes_within(int fd, int ms)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return poll(&p, 1, ms) > 0;
}

static char heard[600]; /* the last line */

/* Read until that many lines "NNN " have come; the last must begin with this. */
static void hear(int fd, int replies, const char *begin)
{
	size_t n = 0;

	while (replies) {
		assert_true(comes_within(fd, PATIENCE));
		assert_true(n < sizeof(heard) - 1);
		assert_int_equal(read(fd, heard + n, 1), 1);
		if (heard[n++] != '\n')
			continue;
		replies -= heard[3] == ' ';
		if (replies)
			n = 0;
	}
	heard[n] = '\0';
	if (strncmp(heard, begin, strlen(begin)) != 0)
		fail_msg("heard %s instead of %s", heard, begin);
}

static ms_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (ms_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void expect_end(int fd)
{
	char c;

	assert_true(comes_within(fd, PATIENCE));
	assert_true(read(fd, &c, 1) <= 0);
	close(fd);
}

static void say(int fd, struct span s)
{
	while (s.n) {
		ssize_t n = send(fd, s.p, s.n, MSG_NOSIGNAL);

		assert_true(n > 0);
		s = span_skip(s, (size_t)n);
	}
}

static void say_envelope(int fd)
{
	hear(fd, 1, "220 mx.example.test");
	say(fd, SPAN("EHLO peer.test\r\n"));
	hear(fd, 1, "250 ");
	say(fd,
	    SPAN("MAIL FROM:<a@peer.test>\r\nRCPT TO:<alice@example.test>\r\nDATA\r\n"));
	hear(fd, 3, "354");
}

static void quit(int fd)
{
	say(fd, SPAN("QUIT\r\n"));
	hear(fd, 1, "221");
	expect_end(fd);
}

/* ---- tests ------------------------------------------------------------------------------------ */

static void nobody_is_greeted_before_the_recipients_are_known(void **state)
{
	struct rig r;
	int fd;

	(void)state;
	open_rig(&r, NULL, NULL);
	fd = call(&r);
	assert_false(comes_within(fd, 100));
	publish(&r);
	hear(fd, 1, "220");
	quit(fd);
	close_rig(&r);
}

static void a_message_is_acknowledged_when_the_store_says_so(void **state)
{
	struct msg_SUBMIT m;
	struct span rcpts, item;
	struct rig r;
	int fd;

	(void)state;
	open_rig(&r, NULL, NULL);
	publish(&r);
	fd = call(&r);
	say_envelope(fd);
	say(fd, SPAN("Subject: x\r\n\r\nhello\r\n.\r\n"));
	m = expect_submit(&r);
	expect_span("sender", m.sender, SPAN("a@peer.test"));
	rcpts = m.rcpts;
	assert_true(list_next(&rcpts, &item));
	expect_span("recipient", item, SPAN("alice@example.test"));
	assert_true(span_starts(m.body, SPAN("Received: from peer.test")));
	expect_span("body", span_tail(m.body, 21), SPAN("Subject: x\r\n\r\nhello\r\n"));
	assert_int_equal(m.size, m.body.n);
	assert_false(comes_within(fd, 50));
	answer_submit(&r, &m, SUBMITTED_OK);
	hear(fd, 1, "250 2.0.0 Queued as");
	quit(fd);
	close_rig(&r);
}

static void what_the_store_cannot_keep_is_not_acknowledged(void **state)
{
	static const struct {
		enum submitted result;
		const char *reply;
	} rows[] = {
		{ SUBMITTED_NO_ROOM, "452 4.3.1" },
		{ SUBMITTED_FAILED, "451 4.3.0" },
		{ SUBMITTED_TAKEN, "451 4.3.0" },
	};
	struct rig r;

	(void)state;
	open_rig(&r, NULL, NULL);
	publish(&r);
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		int fd = call(&r);
		struct msg_SUBMIT m;

		say_envelope(fd);
		say(fd, SPAN("hello\r\n.\r\n"));
		m = expect_submit(&r);
		answer_submit(&r, &m, rows[i].result);
		hear(fd, 1, rows[i].reply);
		quit(fd);
	}
	close_rig(&r);
}

static void a_successor_of_the_store_gets_the_same_message(void **state)
{
	struct msg_SUBMIT first, second;
	struct rig r;
	int fd;

	(void)state;
	open_rig(&r, NULL, NULL);
	publish(&r);
	fd = call(&r);
	say_envelope(fd);
	say(fd, SPAN("Subject: x\r\n\r\nhello\r\n.\r\n"));
	first = expect_submit(&r);
	lose_store(&r);
	assert_false(comes_within(fd, 50));
	replace_store(&r);
	second = expect_submit(&r);
	assert_int_equal(first.id, second.id);
	assert_int_equal(first.nonce, second.nonce);
	assert_int_equal(first.size, second.size);
	answer_submit(&r, &second, SUBMITTED_OK);
	hear(fd, 1, "250 2.0.0 Queued as");
	quit(fd);
	close_rig(&r);
}

static int answer_spool_open(struct rig *r)
{
	struct msg_SPOOL_OPEN m;
	struct msg_SPOOL a;
	struct frame f;
	int fd = memfd_create("spool", MFD_CLOEXEC);

	expect_frame(r->store, MSG_SPOOL_OPEN, &f);
	assert_true(msg_SPOOL_OPEN_unpack(f.bytes, &m));
	a = (struct msg_SPOOL){ m.id, m.nonce, 0 };
	msg_SPOOL_pack(&a, link_begin(r->store));
	assert_true(link_send(r->store, &fd, 1));
	return fd;
}

/* The same file, which we can write to no more; nor can anybody else, if it gives a lease. */
static int read_only(int file)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", file);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	close(file);
	return fd;
}

static void a_large_body_goes_through_a_file(void **state)
{
	enum { BODY = 1000000 };
	uint8_t *body = malloc(BODY), *got = malloc(BODY);
	struct msg_SUBMIT m;
	struct rig r;
	int fd, file;

	(void)state;
	for (size_t i = 0; i < BODY; i++)
		body[i] = i % 50 == 48	 ? '\r'
			  : i % 50 == 49 ? '\n'
					 : (uint8_t)('a' + i / 50 % 26);
	open_rig(&r, NULL, NULL);
	publish(&r);
	fd = call(&r);
	say_envelope(fd);
	say(fd, SPAN("X: y\r\n\r\n"));
	say(fd, span_of(body,
			200000)); /* more than memory is for, less than the sockets hold */
	file = answer_spool_open(&r);
	say(fd, span_of(body + 200000, BODY - 200000));
	say(fd, SPAN(".\r\n"));
	m = expect_submit(&r);
	assert_true(m.spooled);
	assert_int_equal(m.body.n, 0);
	assert_int_equal(lseek(file, 0, SEEK_END), (off_t)m.size);
	assert_int_equal(pread(file, got, BODY, (off_t)m.size - BODY), BODY);
	assert_memory_equal(body, got, BODY);
	file = read_only(file);
	assert_int_equal(fcntl(file, F_SETLEASE, F_RDLCK), 0);
	answer_submit(&r, &m, SUBMITTED_OK);
	hear(fd, 1, "250 2.0.0 Queued as");
	quit(fd);
	close(file);
	free(body);
	free(got);
	close_rig(&r);
}

static void a_body_that_was_given_up_is_dropped(void **state)
{
	uint8_t body[200000];
	struct frame f;
	struct rig r;
	int fd, file;

	(void)state;
	memset(body, 'x', sizeof(body));
	for (size_t i = 78; i + 1 < sizeof(body); i += 80)
		memcpy(body + i, "\r\n", 2);
	open_rig(&r, NULL, NULL);
	publish(&r);
	fd = call(&r);
	say_envelope(fd);
	say(fd, span_of(body, sizeof(body)));
	file = answer_spool_open(&r);
	close(fd);
	expect_frame(r.store, MSG_SPOOL_DROP, &f);
	close(file);
	close_rig(&r);
}

static void the_file_of_a_message_that_was_refused_is_dropped(void **state)
{
	uint8_t body[200000];
	struct msg_SUBMIT m;
	struct frame f;
	struct rig r;
	int fd, file;

	(void)state;
	memset(body, 'x', sizeof(body));
	for (size_t i = 78; i + 1 < sizeof(body); i += 80)
		memcpy(body + i, "\r\n", 2);
	open_rig(&r, NULL, NULL);
	publish(&r);
	fd = call(&r);
	say_envelope(fd);
	say(fd, span_of(body, sizeof(body)));
	file = answer_spool_open(&r);
	say(fd, SPAN("\r\n.\r\n"));
	m = expect_submit(&r);
	assert_true(m.spooled);
	answer_submit(&r, &m, SUBMITTED_NO_ROOM);
	hear(fd, 1, "452 4.3.1");
	expect_frame(r.store, MSG_SPOOL_DROP, &f);
	quit(fd);
	close(file);
	close_rig(&r);
}

static uint64_t expect_verify(struct rig *r, struct span address)
{
	struct msg_VERIFY m;
	struct frame f;

	expect_frame(r->store, MSG_VERIFY, &f);
	assert_true(msg_VERIFY_unpack(f.bytes, &m));
	expect_span("address", m.address, address);
	return m.ask;
}

static void answer_verify(struct rig *r, uint64_t ask, enum verdict v)
{
	struct msg_VERDICT m = { ask, (uint8_t)v };

	msg_VERDICT_pack(&m, link_begin(r->store));
	assert_true(link_send(r->store, NULL, 0));
}

/* The next question must not be mixed up with the one that was given up. */
static void a_question_that_nobody_answers_is_given_up(void **state)
{
	uint64_t first, second;
	bool told = false;
	struct rig r;
	ms_t from;
	int fd;

	(void)state;
	open_rig(&r, "recipients.verify-wait", "1s");
	publish(&r);
	fd = call(&r);
	hear(fd, 1, "220");
	say(fd, SPAN("EHLO x\r\n"));
	hear(fd, 1, "250 ");
	from = now_ms() + 1000; /* the second is asked for when the first is given up */
	say(fd, SPAN("MAIL FROM:<>\r\nRCPT TO:<a@ask.test>\r\nRCPT TO:<b@ask.test>\r\n"));
	first = expect_verify(&r, SPAN("a@ask.test"));
	hear(fd, 2, "451 4.4.3");
	for (int tries = 0; !told && tries < 10; tries++) {
		second = expect_verify(&r, SPAN("b@ask.test"));
		answer_verify(&r, first, VERDICT_YES);
		answer_verify(&r, second, VERDICT_NO);
		hear(fd, 1, "");
		told = strncmp(heard, "550 5.1.1", 9) == 0;
		if (told)
			continue;
		/* it was given up, too, if this machine stood still for so long */
		assert_true(strncmp(heard, "451 4.4.3", 9) == 0 && now_ms() - from >= 1000);
		from = now_ms();
		say(fd, SPAN("RCPT TO:<b@ask.test>\r\n"));
	}
	assert_true(told);
	say(fd, SPAN("RSET\r\n"));
	hear(fd, 1, "250");
	lose_store(&r);
	replace_store(&r);
	quit(fd);
	close_rig(&r);
}

static void a_question_to_a_dead_store_is_answered_for_now(void **state)
{
	struct msg_VERIFY m;
	struct frame f;
	struct rig r;
	int fd;

	(void)state;
	open_rig(&r, NULL, NULL);
	publish(&r);
	fd = call(&r);
	hear(fd, 1, "220");
	say(fd, SPAN("EHLO x\r\n"));
	hear(fd, 1, "250 ");
	say(fd, SPAN("MAIL FROM:<>\r\nRCPT TO:<a@ask.test>\r\nRCPT TO:<b@ask.test>\r\n"));
	expect_frame(r.store, MSG_VERIFY, &f);
	assert_true(msg_VERIFY_unpack(f.bytes, &m));
	expect_span("address", m.address, SPAN("a@ask.test"));
	lose_store(&r);
	hear(fd, 3, "451 4.4.3");
	replace_store(&r);
	quit(fd);
	close_rig(&r);
}

static void check_turned_away(const char *key, const char *reply)
{
	int fd[3];
	struct rig r;

	open_rig(&r, key, "2");
	publish(&r);
	for (int i = 0; i < 3; i++) {
		fd[i] = call(&r);
		hear(fd[i], 1, i < 2 ? "220" : reply);
	}
	expect_end(fd[2]);
	quit(fd[0]);
	fd[0] = call(&r); /* there is room again */
	hear(fd[0], 1, "220");
	quit(fd[0]);
	quit(fd[1]);
	close_rig(&r);
}

static void more_sessions_than_allowed_are_turned_away(void **state)
{
	(void)state;
	check_turned_away("sessions.max", "421 4.3.2");
}

static void more_sessions_of_one_address_are_turned_away(void **state)
{
	(void)state;
	check_turned_away("sessions.per-address", "421 4.7.0");
}

/* ---- the guard ------------------------------------------------------------------------------- */

/* What the guard says of 127.0.0.host, by the memory that it shares. */
static struct guard_hot row_of(const struct rig *r, int host)
{
	struct addr a = addr_v4(127, 0, 0, (uint8_t)host);
	struct guard_hot row = { 0 };

	(void)!memory_peek(&r->memory, guard_key_of(&a, LEVEL_CLIENT), &row);
	return row;
}

static uint32_t seen_of(const struct rig *r, int host, enum event e)
{
	struct addr a = addr_v4(127, 0, 0, (uint8_t)host);
	struct guard_detail did = { 0 };
	struct guard_hot row;

	(void)!memory_peek_all(&r->memory, guard_key_of(&a, LEVEL_CLIENT), &row, &did);
	return did.seen[e];
}

/* A line of refusal with the client's code. */
static void hear_refusal(struct rig *r, int fd, const char *text, enum rule rule, int host)
{
	struct addr a = addr_v4(127, 0, 0, (uint8_t)host);
	char code[CODE_MAX], line[200];

	code_make(&r->memory, rule, &a, code);
	snprintf(line, sizeof(line), "%s [%s]", text, code);
	hear(fd, 1, line);
	expect_end(fd);
}

/* Three visits with an attempt to relay make a history that is enough. */
static void ask_for_relaying(struct rig *r, int host)
{
	int fd = call_from(r, host);

	hear(fd, 1, "220");
	say(fd, SPAN("EHLO bot.test\r\n"));
	hear(fd, 1, "250 ");
	say(fd, SPAN("MAIL FROM:<a@bot.test>\r\n"));
	hear(fd, 1, "250 2.1.0");
	say(fd, SPAN("RCPT TO:<x@far.test>\r\n"));
	hear(fd, 1, "554 5.7.1");
	close(fd);
}

static void who_offended_is_refused_at_connect_and_others_are_not(void **state)
{
	struct rig r;
	int fd;

	(void)state;
	open_rig(&r, "guard.contact", "+49 30 123456");
	publish(&r);
	for (int i = 0; i < 3; i++)
		ask_for_relaying(&r, 2);
	fd = call_from(&r, 2);
	hear_refusal(&r, fd,
		     "554 5.7.1 Refused for what came from this address or network",
		     RULE_HISTORY, 2);
	fd = call_from(&r, 3);
	hear(fd, 1, "220");
	quit(fd);
	assert_int_equal(row_of(&r, 2).refused, 1);
	assert_int_equal(seen_of(&r, 2, EV_RELAY_DENIED), 3);
	close_rig(&r);
}

static void who_is_refused_often_hears_nothing_any_more(void **state)
{
	struct rig r;

	(void)state;
	open_rig(&r, "guard.drop-after", "3");
	publish(&r);
	for (int i = 0; i < 3; i++)
		ask_for_relaying(&r, 2);
	for (int i = 0; i < 2; i++)
		hear_refusal(&r, call_from(&r, 2),
			     "554 5.7.1 Refused for what came from this address or network",
			     RULE_HISTORY, 2);
	expect_end(call_from(&r, 2));
	assert_int_equal(row_of(&r, 2).ban.step, STEP_DROP);
	close_rig(&r);
}

static void a_guard_that_observes_refuses_nobody(void **state)
{
	struct rig r;
	int fd;

	(void)state;
	open_rig(&r, "guard.mode", "observe");
	publish(&r);
	for (int i = 0; i < 4; i++)
		ask_for_relaying(&r, 2);
	fd = call_from(&r, 2);
	hear(fd, 1, "220");
	quit(fd);
	assert_true(row_of(&r, 2).ban.observed);
	assert_int_equal(row_of(&r, 2).refused, 0);
	close_rig(&r);
}

static void order(struct rig *r, enum order_kind kind, int host)
{
	struct order o = { .kind = (uint8_t)kind,
			   .net = { addr_v4(127, 0, 0, (uint8_t)host), 128 },
			   .until = INT64_MAX };

	assert_true(orders_put(r->orders.mem, &o, 1));
}

static void what_the_administrator_orders_holds_at_once(void **state)
{
	struct rig r;
	int fd;

	(void)state;
	open_rig(&r, NULL, NULL);
	publish(&r);
	order(&r, ORDER_BAN, 2);
	hear_refusal(&r, call_from(&r, 2), "554 5.7.1 Refused by policy", RULE_ORDER, 2);
	order(&r, ORDER_ALLOW, 2);
	fd = call_from(&r, 2);
	hear(fd, 1, "220");
	quit(fd);
	close_rig(&r);
}

static void who_is_kicked_hears_why_and_is_gone(void **state)
{
	struct kick k = { .net = { addr_v4(127, 0, 0, 2), 128 } };
	struct rig r;
	int fd, other;

	(void)state;
	open_rig(&r, NULL, NULL);
	publish(&r);
	fd = call_from(&r, 2);
	other = call_from(&r, 3);
	hear(fd, 1, "220");
	hear(other, 1, "220");
	orders_kick(r.orders.mem, &k);
	hear_refusal(&r, fd, "421 4.3.2 Ended by the administrator, try again later",
		     RULE_ORDER, 2);
	quit(other);
	close_rig(&r);
}

static void in_lockdown_strangers_have_to_leave(void **state)
{
	struct rig r;
	int fd;

	(void)state;
	open_rig(&r, NULL, NULL);
	publish(&r);
	fd = call_from(&r, 2);
	hear(fd, 1, "220");
	orders_lockdown(r.orders.mem, true, 1);
	hear_refusal(&r, fd, "421 4.3.2 Not open to strangers now, try again later",
		     RULE_LOCKDOWN, 2);
	hear_refusal(&r, call_from(&r, 3),
		     "421 4.3.2 Not open to strangers now, try again later",
		     RULE_LOCKDOWN, 3);
	orders_lockdown(r.orders.mem, false, 1);
	fd = call_from(&r, 2);
	hear(fd, 1, "220");
	quit(fd);
	close_rig(&r);
}

static void a_message_with_the_store_is_waited_for_before_a_kick(void **state)
{
	struct kick k = { .net = { addr_v4(127, 0, 0, 1), 128 } };
	struct msg_SUBMIT m;
	struct rig r;
	int fd;

	(void)state;
	open_rig(&r, NULL, NULL);
	publish(&r);
	fd = call(&r);
	say_envelope(fd);
	say(fd, SPAN("Subject: x\r\n\r\nhello\r\n.\r\n"));
	m = expect_submit(&r);
	orders_kick(r.orders.mem, &k);
	assert_false(comes_within(fd, 300));
	answer_submit(&r, &m, SUBMITTED_OK);
	hear(fd, 1, "250 2.0.0 Queued as");
	hear(fd, 1, "421 4.3.2 Ended");
	expect_end(fd);
	close_rig(&r);
}

/* Send as many messages as it takes to be known-good. */
static void befriend(struct rig *r, int host)
{
	for (int i = 0; i < 5; i++) {
		int fd = call_from(r, host);
		struct msg_SUBMIT m;

		say_envelope(fd);
		say(fd, SPAN("hello\r\n.\r\n"));
		m = expect_submit(r);
		answer_submit(r, &m, SUBMITTED_OK);
		hear(fd, 1, "250 2.0.0");
		quit(fd);
	}
	assert_true(row_of(r, host).flags & HOT_GOOD);
}

static void the_worst_has_to_leave_for_a_client_known_good(void **state)
{
	struct rig r;
	int better, worst, good;

	(void)state;
	open_rig(&r, "sessions.max", "2");
	publish(&r);
	befriend(&r, 2);
	better = call_from(&r, 3);
	worst = call_from(&r, 4);
	hear(better, 1, "220");
	hear(worst, 1, "220");
	say(worst, SPAN("BOGUS\r\n"));
	hear(worst, 1, "500");
	hear(call_from(&r, 5), 1, "421 4.3.2 Too many sessions"); /* no better than they */
	good = call_from(&r, 2);
	hear(good, 1, "220");
	hear_refusal(&r, worst, "421 4.3.2 Too many sessions, try again later", RULE_ROOM,
		     4);
	assert_int_equal(row_of(&r, 4).sessions, 0);
	assert_int_equal(pulse_counted(r.pulse, EV_EVICTED), 1);
	quit(good);
	quit(better);
	close_rig(&r);
}

static void a_part_of_the_sessions_is_kept_for_clients_known_good(void **state)
{
	struct rig r;
	int fd[10];

	(void)state;
	open_rig(&r, "sessions.max", "10");
	publish(&r);
	befriend(&r, 2);
	for (int i = 0; i < 9; i++) {
		fd[i] = call_from(&r, 10 + i);
		hear(fd[i], 1, "220");
	}
	hear_refusal(&r, call_from(&r, 3), "421 4.3.2 Too many sessions, try again later",
		     RULE_ROOM, 3);
	fd[9] = call_from(&r, 2);
	hear(fd[9], 1, "220");
	for (int i = 0; i < 10; i++)
		quit(fd[i]);
	close_rig(&r);
}

static void say_edge_gone(struct rig *r, unsigned number)
{
	struct msg_GONE m = { ROLE_EDGE, (uint16_t)number };

	msg_GONE_pack(&m, link_begin(r->life));
	assert_true(link_send(r->life, NULL, 0));
}

static uint32_t sessions_of(const struct rig *r, int host)
{
	return row_of(r, host).sessions;
}

/* An edge of another number, played here, that dies with a session of 127.0.0.2. */
static void what_a_dead_edge_counted_is_taken_back(void **state)
{
	struct guard_limits limits = { .sessions_max = 100, .ban_at = 100, .late_at = 50 };
	struct guard dead = { .limits = limits };
	struct addr a = addr_v4(127, 0, 0, 2);
	struct guard_visit v = { 0 };
	struct seat seat = { .peer = a, .state = SEAT_TALKS };
	struct timespec t;
	struct rig r;

	(void)state;
	open_rig(&r, NULL, NULL);
	publish(&r);
	clock_gettime(CLOCK_MONOTONIC, &t);
	assert_true(memory_open(&dead.memory, r.guard.mem, r.guard.n, 3));
	assert_int_equal(guard_came(&dead, &v, &a, false, t.tv_sec * 1000, 1).step,
			 STEP_NONE);
	assert_int_not_equal(seat_take(&dead.memory, &seat), SEAT_NONE);
	assert_int_equal(memory_sessions(&r.memory), 1);
	assert_int_equal(sessions_of(&r, 2), 1);
	say_edge_gone(&r, 3);
	for (int i = 0; memory_sessions(&r.memory) && i < PATIENCE; i++)
		(void)poll(NULL, 0, 1);
	assert_int_equal(memory_sessions(&r.memory), 0);
	assert_int_equal(sessions_of(&r, 2), 0);
	close_rig(&r);
}

static void what_was_known_before_a_restart_comes_back(void **state)
{
	const struct memory_shape shape = { 1024, 1024, 1, 16 };
	const uint64_t key[2] = { 3, 4 };
	struct msg_REMEMBER m = { 0 };
	struct msg_REMEMBERED told;
	struct frame f;
	size_t n = memory_size(&shape);
	struct start_mapping old = share(n);
	struct addr a = addr_v4(127, 0, 0, 2);
	struct guard_key k = guard_key_of(&a, LEVEL_CLIENT);
	struct memory before;
	struct guard_hot *row;
	struct timespec now, wall;
	struct buf out;
	struct rig r;
	void *bytes;
	int fd;

	(void)state;
	clock_gettime(CLOCK_MONOTONIC, &now);
	clock_gettime(CLOCK_REALTIME, &wall);
	memory_init(old.mem, n, &shape, key, now.tv_sec * 1000);
	assert_true(memory_open(&before, old.mem, n, 0));
	row = memory_open_row(&before, k, now.tv_sec * 1000);
	assert_non_null(row);
	row->last = row->first = memory_second(now.tv_sec * 1000);
	row->ban = (struct guard_ban){ .since = row->last,
				       .until = row->last + 600,
				       .step = STEP_REFUSE,
				       .rule = RULE_POINTS,
				       .level = 1 };
	memory_close_row(&before, row);
	bytes = malloc(snapshot_room(&before));
	buf_init(&out, bytes, snapshot_room(&before));
	assert_true(snapshot_write(&before, now.tv_sec * 1000, wall.tv_sec * 1000, &out));
	open_rig(&r, NULL, NULL);
	fd = memfd_of(buf_span(&out));
	/* not for the memory that it has: the store must look for somebody else */
	m.life = memory_life(&r.memory) + 1;
	msg_REMEMBER_pack(&m, link_begin(r.store));
	assert_true(link_send(r.store, &fd, 1));
	expect_frame(r.store, MSG_REMEMBERED, &f);
	assert_true(msg_REMEMBERED_unpack(f.bytes, &told));
	assert_int_equal(told.rows, 0);
	assert_int_equal(told.life, memory_life(&r.memory));
	assert_int_equal(row_of(&r, 2).ban.until, 0);
	m.life = told.life;
	msg_REMEMBER_pack(&m, link_begin(r.store));
	assert_true(link_send(r.store, &fd, 1));
	close(fd);
	expect_frame(r.store, MSG_REMEMBERED, &f);
	assert_true(msg_REMEMBERED_unpack(f.bytes, &told));
	assert_int_equal(told.rows, 1);
	assert_int_equal(told.torn, 0);
	assert_int_not_equal(row_of(&r, 2).ban.until, 0);
	publish(&r);
	hear_refusal(&r, call_from(&r, 2),
		     "554 5.7.1 Refused for what came from this address or network",
		     RULE_POINTS, 2);
	free(bytes);
	start_unmap(&old);
	close_rig(&r);
}

/* The front's own connection is not judged, however often it comes; its clients are. */
static void a_client_behind_a_front_is_judged_by_the_address_that_is_told(void **state)
{
	struct rig r;
	int fd;

	(void)state;
	memset(&r, 0, sizeof(r));
	init_conf(&r);
	set(&r, "guard.connect-rate", "1");
	set(&r, "guard.connect-burst", "1");
	r.conf.listeners[0].proxy = true;
	r.conf.proxy_from[0] = (struct net){ addr_v4(127, 0, 0, 1), 128 };
	r.conf.proxy_count = 1;
	open_started(&r);
	publish(&r);
	order(&r, ORDER_BAN, 9);
	for (int i = 0; i < 3; i++) { /* too often for a client */
		fd = call(&r);
		say(fd, SPAN("PROXY TCP4 127.0.0.9 127.0.0.1 4000 25\r\n"));
		hear_refusal(&r, fd, "554 5.7.1 Refused by policy", RULE_ORDER, 9);
	}
	fd = call(&r);
	say(fd, SPAN("PROXY TCP4 127.0.0.8 127.0.0.1 4000 25\r\n"));
	hear(fd, 1, "220");
	assert_int_equal(sessions_of(&r, 8), 1);
	assert_int_equal(sessions_of(&r, 1), 0);
	assert_true(row_of(&r, 8).flags & HOT_BEHIND);
	quit(fd);
	assert_int_equal(row_of(&r, 1).connects, 0);
	close_rig(&r);
}

static void a_client_that_xclient_tells_of_is_judged_as_well(void **state)
{
	struct rig r;
	int fd;

	(void)state;
	memset(&r, 0, sizeof(r));
	init_conf(&r);
	r.conf.xclient_from[0] = (struct net){ addr_v4(127, 0, 0, 1), 128 };
	r.conf.xclient_count = 1;
	open_started(&r);
	publish(&r);
	order(&r, ORDER_BAN, 9);
	fd = call(&r);
	hear(fd, 1, "220");
	say(fd, SPAN("EHLO front\r\n"));
	hear(fd, 1, "250 ");
	say(fd, SPAN("XCLIENT ADDR=127.0.0.8\r\n"));
	hear(fd, 1, "220");
	say(fd, SPAN("EHLO x\r\n"));
	hear(fd, 1, "250 ");
	say(fd, SPAN("XCLIENT ADDR=127.0.0.9\r\n"));
	hear_refusal(&r, fd, "554 5.7.1 Refused by policy", RULE_ORDER, 9);
	assert_int_equal(sessions_of(&r, 8), 0);
	close_rig(&r);
}

static void the_scoreboard_shows_who_is_here(void **state)
{
	const struct addr peer = addr_v4(127, 0, 0, 2);
	struct seat seat = { .state = SEAT_FREE };
	struct rig r;
	int fd;

	(void)state;
	open_rig(&r, NULL, NULL);
	publish(&r);
	fd = call_from(&r, 2);
	say_envelope(fd);
	for (int i = 0; i < PATIENCE && seat.state != SEAT_BODY; i++) {
		(void)!seat_read(&r.memory, 0, 0, &seat);
		(void)poll(NULL, 0, 1); /* it is shown after the answer was sent */
	}
	assert_true(addr_eq(&seat.peer, &peer));
	assert_int_equal(seat.state, SEAT_BODY);
	assert_int_equal(seat.commands, 4);
	expect_span("name", span_of(seat.name, seat.name_n), SPAN("peer.test"));
	close(fd);
	for (int i = 0; memory_sessions(&r.memory) && i < PATIENCE; i++)
		(void)poll(NULL, 0, 1);
	assert_false(seat_read(&r.memory, 0, 0, &seat));
	close_rig(&r);
}

/* ---- the life of an edge ------------------------------------------------------------------- */

static void a_reload_is_for_those_who_come_after(void **state)
{
	struct msg_CONF m = { 2 };
	struct rig r;
	int before, after, fd;

	(void)state;
	open_rig(&r, NULL, NULL);
	publish(&r);
	before = call(&r);
	hear(before, 1, "220 mx.example.test");
	set(&r, "hostname", "new.example.test");
	fd = memfd_of(span_of(&r.conf, sizeof(r.conf)));
	msg_CONF_pack(&m, link_begin(r.life));
	assert_true(link_send(r.life, &fd, 1));
	close(fd);
	for (;;) { /* there is no answer to CONF */
		char word[24] = { 0 };

		after = call(&r);
		assert_true(comes_within(after, PATIENCE));
		assert_true(read(after, word, sizeof(word) - 1) > 0);
		if (strncmp(word, "220 new", 7) == 0)
			break;
		close(after);
	}
	say(before, SPAN("HELO x\r\n"));
	hear(before, 1, "250 mx.example.test");
	quit(before);
	quit(after);
	close_rig(&r);
}

/* Who reads the scoreboard has the new configuration only. */
static void a_session_is_at_its_listener_though_that_has_another_number_now(void **state)
{
	struct msg_CONF m = { 2 };
	struct listener *l;
	struct seat seat = { 0 };
	struct rig r;
	int talks, fd;

	(void)state;
	open_rig(&r, NULL, NULL);
	publish(&r);
	talks = call(&r);
	hear(talks, 1, "220 mx.example.test");
	l = r.conf.listeners;
	l[1] = l[0];
	l[0].id = 6;
	r.conf.listener_count = 2;
	fd = memfd_of(span_of(&r.conf, sizeof(r.conf)));
	msg_CONF_pack(&m, link_begin(r.life));
	assert_true(link_send(r.life, &fd, 1));
	close(fd);
	for (int i = 0; i < PATIENCE && seat.listener != 1; i++) {
		(void)!seat_read(&r.memory, 0, 0, &seat);
		(void)poll(NULL, 0, 1);
	}
	assert_int_equal(seat.listener, 1);
	say(talks, SPAN("HELO x\r\n"));
	hear(talks, 1, "250 mx.example.test");
	quit(talks);
	close_rig(&r);
}

static void draining_waits_for_the_message_under_way(void **state)
{
	struct msg_SUBMIT m;
	struct frame f;
	struct rig r;
	int idle, busy;

	(void)state;
	open_rig(&r, NULL, NULL);
	publish(&r);
	idle = call(&r);
	hear(idle, 1, "220");
	busy = call(&r);
	say_envelope(busy);
	say(busy, SPAN("Subject: x\r\n\r\n"));
	drain(&r, PATIENCE);
	expect_frame(r.store, MSG_LEAVES, &f); /* it is to get no deliveries */
	hear(idle, 1, "421 4.3.2");
	expect_end(idle);
	say(busy, SPAN("hello\r\n.\r\n"));
	m = expect_submit(&r);
	answer_submit(&r, &m, SUBMITTED_OK);
	hear(busy, 1, "250 2.0.0 Queued as");
	hear(busy, 1, "421 4.3.2");
	expect_end(busy);
	expect_exit(&r);
}

static void who_is_left_when_draining_is_over_hears_it(void **state)
{
	struct rig r;
	int busy;

	(void)state;
	open_rig(&r, NULL, NULL);
	publish(&r);
	busy = call(&r);
	say_envelope(busy);
	drain(&r, 100);
	hear(busy, 1, "421 4.3.2");
	expect_end(busy);
	expect_exit(&r);
}

static void an_orphan_ends(void **state)
{
	struct rig r;
	int fd;

	(void)state;
	open_rig(&r, "run.silence", "1s");
	publish(&r);
	fd = call(&r);
	hear(fd, 1, "220");
	link_close(&r.life);
	hear(fd, 1, "421");
	close(fd);
	expect_exit(&r);
}

static void an_edge_that_the_store_cut_off_ends(void **state)
{
	struct rig r;
	int fd;

	(void)state;
	open_rig(&r, NULL, NULL);
	publish(&r);
	lose_store(&r);
	fd = call(&r);
	hear(fd, 1, "220"); /* a store that died is waited for */
	replace_store(&r);
	link_close(&r.store);
	hear(fd, 1, "421 4.3.2");
	expect_end(fd);
	expect_exit(&r);
}

static void a_store_that_lies_is_not_listened_to(void **state)
{
	struct msg_VERDICT m = { 1, VERDICT_COUNT };
	struct frame f;
	struct rig r;
	struct err err;

	(void)state;
	open_rig(&r, NULL, NULL);
	msg_VERDICT_pack(&m, link_begin(r.store));
	assert_true(link_send(r.store, NULL, 0));
	assert_int_equal(link_recv_wait(r.store, PATIENCE, &f, &err), LINK_CLOSED);
	lose_store(&r);
	replace_store(&r);
	close_rig(&r);
}

/* ---- who logs in ------------------------------------------------------------------------------ */

/* A listener for users, and the link to auth. */
static struct link *open_rig_with_auth(struct rig *r)
{
	memset(r, 0, sizeof(*r));
	init_conf(r);
	r->conf.listeners[0].service = SERVICE_SUBMISSION;
	r->conf.listeners[0].auth = true;
	r->conf.mechanisms = 1u << SASL_PLAIN | 1u << SASL_SCRAM_SHA_256;
	open_started(r);
	publish(r);
	return meet_auth(r);
}

static int call_and_greet(const struct rig *r)
{
	int fd = call(r);

	hear(fd, 1, "220");
	say(fd, SPAN("EHLO laptop.test\r\n"));
	hear(fd, 1, "250 ");
	return fd;
}

static uint64_t expect_auth(struct link *auth, struct msg_AUTH *m, struct frame *f)
{
	expect_frame(auth, MSG_AUTH, f);
	assert_true(msg_AUTH_unpack(f->bytes, m));
	return m->ask;
}

/* The edge cannot tell a good one from another. */
#define TICKET "0123456789012345678901234567890123456789"
_Static_assert(sizeof(TICKET) == TICKET_SIZE + 1, "as long as one");

static void answer_auth(struct link *auth, uint64_t ask, enum authed result,
			struct span login)
{
	struct msg_AUTHED m = { .ask = ask, .result = (uint8_t)result, .login = login };

	if (result == AUTHED_YES)
		m.ticket = SPAN(TICKET);

	m.event = result == AUTHED_YES ? EV_AUTH_OK : EV_AUTH_FAILED;
	msg_AUTHED_pack(&m, link_begin(auth));
	assert_true(link_send(auth, NULL, 0));
}

static void what_auth_says_of_a_login_is_told(void **state)
{
	struct msg_SUBMIT submitted;
	struct msg_MAY_SEND may;
	struct msg_AUTH m;
	struct frame f;
	struct rig r;
	struct link *auth = open_rig_with_auth(&r);
	uint64_t client;
	int fd = call_and_greet(&r);

	(void)state;
	say(fd, SPAN("AUTH PLAIN AGFsaWNlAHdyb25n\r\n"));
	expect_auth(auth, &m, &f);
	expect_span("user", m.user, SPAN("alice"));
	expect_span("secret", m.secret, SPAN("wrong"));
	expect_span("helo", m.helo, SPAN("laptop.test"));
	assert_int_equal(m.mechanism, SASL_PLAIN);
	assert_int_equal(m.service, SERVICE_SUBMISSION);
	assert_int_equal(m.flags, 0);
	client = m.client;
	answer_auth(auth, m.ask, AUTHED_NO, SPAN_NONE);
	hear(fd, 1, "535 5.7.8");
	/* the same program again, from another connection, looks the same */
	say(fd, SPAN("QUIT\r\n"));
	hear(fd, 1, "221");
	expect_end(fd);
	fd = call_and_greet(&r);
	say(fd, SPAN("AUTH PLAIN AGFsaWNlAHNlY3JldA==\r\n"));
	expect_auth(auth, &m, &f);
	assert_true(m.client == client);
	answer_auth(auth, m.ask, AUTHED_YES, SPAN("alice@example.test"));
	hear(fd, 1, "235");
	say(fd, SPAN("MAIL FROM:<info@example.test>\r\n"));
	expect_frame(r.store, MSG_MAY_SEND, &f);
	assert_true(msg_MAY_SEND_unpack(f.bytes, &may));
	expect_span("login", may.login, SPAN("alice@example.test"));
	expect_span("address", may.address, SPAN("info@example.test"));
	answer_verify(&r, may.ask, VERDICT_NO);
	hear(fd, 1, "553 5.7.1");
	say(fd, SPAN("MAIL FROM:<alice@example.test>\r\n"));
	hear(fd, 1, "250");
	say(fd, SPAN("RCPT TO:<alice@example.test>\r\nDATA\r\n"));
	hear(fd, 2, "354");
	say(fd, SPAN("From: <alice@example.test>\r\n\r\nhello\r\n.\r\n"));
	submitted = expect_submit(&r);
	expect_span("login", submitted.login, SPAN("alice@example.test"));
	expect_span("ticket", submitted.ticket, SPAN(TICKET));
	answer_submit(&r, &submitted, SUBMITTED_OK);
	hear(fd, 1, "250");
	quit(fd);
	link_close(&auth);
	close_rig(&r);
}

/* Nobody need check the password of one who has left. */
static void who_leaves_in_the_middle_of_a_login_is_forgotten(void **state)
{
	struct msg_AUTH_OVER over;
	struct msg_AUTH m;
	struct frame f;
	struct rig r;
	struct link *auth = open_rig_with_auth(&r);
	uint64_t ask;
	int fd = call_and_greet(&r);

	(void)state;
	say(fd, SPAN("AUTH PLAIN AGFsaWNlAHNlY3JldA==\r\n"));
	ask = expect_auth(auth, &m, &f);
	close(fd);
	expect_frame(auth, MSG_AUTH_OVER, &f);
	assert_true(msg_AUTH_OVER_unpack(f.bytes, &over));
	assert_true(over.ask == ask);
	/* an answer that comes all the same is nobody's */
	answer_auth(auth, ask, AUTHED_YES, SPAN("alice@example.test"));
	fd = call_and_greet(&r);
	say(fd, SPAN("MAIL FROM:<alice@example.test>\r\n"));
	hear(fd, 1, "530 5.7.0");
	quit(fd);
	link_close(&auth);
	close_rig(&r);
}

static void who_breaks_an_exchange_off_is_forgotten_too(void **state)
{
	struct msg_AUTH_CHALLENGE challenge = { .text = SPAN("r=x") };
	struct msg_AUTH_OVER over;
	struct msg_AUTH m;
	struct frame f;
	struct rig r;
	struct link *auth = open_rig_with_auth(&r);
	int fd = call_and_greet(&r);

	(void)state;
	say(fd, SPAN("AUTH SCRAM-SHA-256 bixuPWEscj1i\r\n"));
	challenge.ask = expect_auth(auth, &m, &f);
	msg_AUTH_CHALLENGE_pack(&challenge, link_begin(auth));
	assert_true(link_send(auth, NULL, 0));
	hear(fd, 1, "334 cj14");
	say(fd, SPAN("*\r\n"));
	hear(fd, 1, "501 5.7.0");
	expect_frame(auth, MSG_AUTH_OVER, &f);
	assert_true(msg_AUTH_OVER_unpack(f.bytes, &over));
	assert_true(over.ask == challenge.ask);
	quit(fd);
	link_close(&auth);
	close_rig(&r);
}

static void when_auth_dies_who_waits_hears_later(void **state)
{
	struct msg_AUTH m;
	struct frame f;
	struct rig r;
	struct link *auth = open_rig_with_auth(&r);
	int fd = call_and_greet(&r);

	(void)state;
	say(fd, SPAN("AUTH PLAIN AGFsaWNlAHNlY3JldA==\r\n"));
	expect_auth(auth, &m, &f);
	link_close(&auth);
	hear(fd, 1, "454 4.7.0");
	say(fd, SPAN("AUTH PLAIN AGFsaWNlAHNlY3JldA==\r\n"));
	hear(fd, 1, "454 4.7.0");
	auth = meet_auth(&r);
	say(fd, SPAN("NOOP\r\n"));
	hear(fd, 1, "250");
	say(fd, SPAN("AUTH PLAIN AGFsaWNlAHNlY3JldA==\r\n"));
	expect_auth(auth, &m, &f);
	answer_auth(auth, m.ask, AUTHED_YES, SPAN("alice@example.test"));
	hear(fd, 1, "235");
	quit(fd);
	link_close(&auth);
	close_rig(&r);
}

/* ---- who reads mail --------------------------------------------------------------------------- */

/* One line, whatever it looks like. */
static void hear_line(int fd, const char *begin)
{
	char line[600];
	size_t n = 0;

	do {
		assert_true(comes_within(fd, PATIENCE));
		assert_true(n < sizeof(line) - 1);
		assert_int_equal(read(fd, line + n, 1), 1);
	} while (line[n++] != '\n');
	line[n] = '\0';
	if (strncmp(line, begin, strlen(begin)) != 0)
		fail_msg("heard %s instead of %s", line, begin);
}

/* A listener for IMAP, the link to auth, and a mailbox server, which is us. */
struct reading {
	struct rig r;
	struct link *auth;
	int server_fd, fd;
};

static void open_reading(struct reading *g)
{
	struct sockaddr_in at = { .sin_family = AF_INET,
				  .sin_addr = { htonl(INADDR_LOOPBACK) } };
	struct backend *b = &g->r.conf.backends[0];
	socklen_t n = sizeof(at);

	memset(g, 0, sizeof(*g));
	init_conf(&g->r);
	g->server_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(g->server_fd, (struct sockaddr *)&at, n), 0);
	assert_int_equal(listen(g->server_fd, 10), 0);
	assert_int_equal(getsockname(g->server_fd, (struct sockaddr *)&at, &n), 0);
	g->r.conf.listeners[0].service = SERVICE_IMAP;
	g->r.conf.listeners[0].auth = true;
	g->r.conf.mechanisms = g->r.conf.mailbox_mechanisms = 1u << SASL_PLAIN;
	g->r.conf.backend_count = 1;
	memcpy(b->name, "a", 2);
	snprintf(b->imap, sizeof(b->imap), "127.0.0.1:%u", ntohs(at.sin_port));
	b->weight = 0; /* only for whom the database names */
	open_started(&g->r);
	publish(&g->r);
	g->auth = meet_auth(&g->r);
	g->fd = call(&g->r);
	hear_line(g->fd, "* OK [CAPABILITY IMAP4rev1 ");
}

static void close_reading(struct reading *g)
{
	close(g->server_fd);
	link_close(&g->auth);
	close_rig(&g->r);
}

static void answer_locate(struct reading *g)
{
	struct msg_LOCATED located = { .name = SPAN("a") };
	struct msg_LOCATE m;
	struct frame f;

	expect_frame(g->r.store, MSG_LOCATE, &f);
	assert_true(msg_LOCATE_unpack(f.bytes, &m));
	expect_span("login", m.login, SPAN("alice@example.test"));
	located.ask = m.ask;
	msg_LOCATED_pack(&located, link_begin(g->r.store));
	assert_true(link_send(g->r.store, NULL, 0));
}

static int accept_server(struct reading *g)
{
	int fd;

	assert_true(comes_within(g->server_fd, PATIENCE));
	fd = accept4(g->server_fd, NULL, NULL, SOCK_CLOEXEC);
	assert_true(fd >= 0);
	say(fd, SPAN("* OK [CAPABILITY IMAP4rev1 LITERAL+] there\r\n"));
	return fd;
}

/* The line with the login comes; say this to it, behind its tag. */
static void answer_login(int fd, const char *answer)
{
	char line[600], said[200];
	size_t n = 0;

	do {
		assert_true(comes_within(fd, PATIENCE));
		assert_int_equal(read(fd, line + n, 1), 1);
	} while (line[n++] != '\n' && n < sizeof(line));
	assert_non_null(memmem(line, n, " LOGIN ", 7));
	assert_non_null(memmem(line, n, "alice", 5));
	assert_non_null(memmem(line, n, "secret", 6));
	snprintf(said, sizeof(said), "%.*s %s\r\n", (int)span_find(span_of(line, n), ' '),
		 line, answer);
	say(fd, span_str(said));
}

static uint64_t let_in(struct reading *g)
{
	struct msg_AUTH m;
	struct frame f;

	expect_auth(g->auth, &m, &f);
	assert_int_equal(m.service, SERVICE_IMAP);
	expect_span("user", m.user, SPAN("alice"));
	expect_span("secret", m.secret, SPAN("secret"));
	answer_auth(g->auth, m.ask, AUTHED_YES, SPAN("alice@example.test"));
	return m.ask;
}

static void expect_left(struct reading *g, uint64_t ask)
{
	struct msg_AUTH_LEFT m;
	struct frame f;

	expect_frame(g->auth, MSG_AUTH_LEFT, &f);
	assert_true(msg_AUTH_LEFT_unpack(f.bytes, &m));
	assert_true(m.ask == ask);
}

static void who_logs_in_to_imap_talks_with_the_mailbox_server(void **state)
{
	struct reading g;
	uint64_t ask;
	int server;

	(void)state;
	open_reading(&g);
	say(g.fd, SPAN("a ID (\"name\" \"x\")\r\n"));
	hear_line(g.fd, "* ID ");
	hear_line(g.fd, "a OK");
	say(g.fd, SPAN("b LOGIN alice secret\r\nc SELECT INBOX\r\n"));
	ask = let_in(&g);
	answer_locate(&g);
	server = accept_server(&g);
	answer_login(server, "OK [CAPABILITY IMAP4rev1 IDLE] in");
	hear_line(g.fd, "b OK [CAPABILITY IMAP4rev1 IDLE] Logged in");
	hear_line(server, "c SELECT INBOX");
	say(server, SPAN("c OK selected\r\n"));
	hear_line(g.fd, "c OK selected");
	say(g.fd, SPAN("d LOGOUT\r\n"));
	hear_line(server, "d LOGOUT");
	say(server, SPAN("* BYE\r\n"));
	close(server);
	hear_line(g.fd, "* BYE");
	expect_end(g.fd);
	expect_left(&g, ask);
	close_reading(&g);
}

static void a_login_that_the_mailbox_server_refuses_counts_no_more(void **state)
{
	struct reading g;
	uint64_t ask;
	int server;

	(void)state;
	open_reading(&g);
	say(g.fd, SPAN("a LOGIN alice secret\r\n"));
	ask = let_in(&g);
	answer_locate(&g);
	server = accept_server(&g);
	answer_login(server, "NO [LIMIT] too many");
	hear_line(g.fd, "a NO [LIMIT] Mailbox server takes no more sessions");
	expect_left(&g, ask);
	close(server);
	say(g.fd, SPAN("b LOGOUT\r\n"));
	hear_line(g.fd, "* BYE");
	hear_line(g.fd, "b OK");
	expect_end(g.fd);
	close_reading(&g);
}

static void who_leaves_on_the_way_to_the_mailbox_server_is_forgotten(void **state)
{
	struct reading g;
	uint64_t ask;
	int server;
	char c;

	(void)state;
	open_reading(&g);
	say(g.fd, SPAN("a LOGIN alice secret\r\n"));
	ask = let_in(&g);
	answer_locate(&g);
	server = accept_server(&g);
	close(g.fd);
	expect_left(&g, ask);
	/* whatever was said to the server before: nothing comes any more */
	do
		assert_true(comes_within(server, PATIENCE));
	while (read(server, &c, 1) > 0);
	close(server);
	close_reading(&g);
}

static void a_refusal_at_connect_is_said_in_imap(void **state)
{
	struct addr a = addr_v4(127, 0, 0, 9);
	char code[CODE_MAX], line[100];
	struct reading g;
	int fd;

	(void)state;
	open_reading(&g);
	close(g.fd);
	fd = call_from(&g.r, 9);
	hear_line(fd, "* OK ");
	say(fd, SPAN("GET / HTTP/1.1\r\n"));
	hear_line(fd, "* BYE No service for you");
	expect_end(fd);
	order(&g.r, ORDER_BAN, 9);
	code_make(&g.r.memory, RULE_ORDER, &a, code);
	snprintf(line, sizeof(line), "* BYE Refused by policy [%s]\r\n", code);
	fd = call_from(&g.r, 9);
	hear_line(fd, line);
	expect_end(fd);
	close_reading(&g);
}

/* ---- POP3 from our own Maildirs ----------------------------------------------------------------- */

/* Auth lets alice in, with this ticket. */
static int let_in_to_pop3(struct rig *r, struct link **auth, struct span ticket)
{
	struct msg_AUTHED yes = { .result = AUTHED_YES,
				  .event = EV_AUTH_OK,
				  .login = SPAN("Alice@example.test"),
				  .ticket = ticket };
	struct msg_AUTH m;
	struct frame f;
	int fd;

	memset(r, 0, sizeof(*r));
	init_conf(r);
	r->conf.listeners[0].service = SERVICE_POP3;
	r->conf.listeners[0].auth = true;
	r->conf.mechanisms = r->conf.mailbox_mechanisms = 1u << SASL_PLAIN;
	open_started(r);
	publish(r);
	*auth = meet_auth(r);
	fd = call(r);
	hear_line(fd, "+OK");
	say(fd, SPAN("AUTH PLAIN AGFsaWNlAHNlY3JldA==\r\n"));
	yes.ask = expect_auth(*auth, &m, &f);
	assert_int_equal(m.service, SERVICE_POP3);
	msg_AUTHED_pack(&yes, link_begin(*auth));
	assert_true(link_send(*auth, NULL, 0));
	return fd;
}

static uint64_t expect_box(struct rig *r, struct span ticket)
{
	struct msg_BOX_OPEN m;
	struct frame f;

	expect_frame(r->store, MSG_BOX_OPEN, &f);
	assert_true(msg_BOX_OPEN_unpack(f.bytes, &m));
	expect_span("login", m.login, SPAN("Alice@example.test"));
	expect_span("ticket", m.ticket, ticket);
	return m.ask;
}

static void answer_box(struct rig *r, uint64_t ask, enum box_result how,
		       struct span ticket)
{
	const struct box_item one = { .size = 10, .uid_n = 1, .uid = "a" };
	int fd = memfd_of(span_of(&one, sizeof(one)));
	struct msg_BOX_IS m = { .ask = ask, .result = (uint8_t)how, .ticket = ticket };

	if (how == BOX_OPEN_OK) {
		m.count = 1;
		m.bytes = one.size;
	}
	msg_BOX_IS_pack(&m, link_begin(r->store));
	assert_true(link_send(r->store, &fd, how == BOX_OPEN_OK));
	close(fd);
}

#define TICKET_AGAIN "abcdefghijabcdefghijabcdefghijabcdefghij"
_Static_assert(sizeof(TICKET_AGAIN) == TICKET_SIZE + 1, "as long as one");

static void a_mailbox_is_opened_with_the_ticket_and_again_with_the_stores(void **state)
{
	struct msg_BOX_READ read_it;
	struct link *auth;
	struct frame f;
	struct rig r;
	int fd = let_in_to_pop3(&r, &auth, SPAN(TICKET));

	(void)state;
	answer_box(&r, expect_box(&r, SPAN(TICKET)), BOX_OPEN_OK, SPAN(TICKET_AGAIN));
	hear_line(fd, "+OK");
	lose_store(&r);
	replace_store(&r);
	say(fd, SPAN("RETR 1\r\n"));
	answer_box(&r, expect_box(&r, SPAN(TICKET_AGAIN)), BOX_OPEN_OK,
		   SPAN(TICKET_AGAIN));
	expect_frame(r.store, MSG_BOX_READ, &f);
	assert_true(msg_BOX_READ_unpack(f.bytes, &read_it));
	assert_int_equal(read_it.number, 0);
	close(fd);
	link_close(&auth);
	close_rig(&r);
}

static void a_ticket_that_is_late_is_a_failure_for_now(void **state)
{
	struct link *auth;
	struct rig r;
	int fd = let_in_to_pop3(&r, &auth, SPAN(TICKET));

	(void)state;
	answer_box(&r, expect_box(&r, SPAN(TICKET)), BOX_FAILED, SPAN_NONE);
	hear_line(fd, "-ERR [SYS/TEMP]");
	close(fd);
	link_close(&auth);
	close_rig(&r);
}

/* The store would take us for a liar. */
static void without_a_ticket_the_store_is_not_asked(void **state)
{
	struct msg_AUTHED yes = { .result = AUTHED_YES,
				  .event = EV_AUTH_OK,
				  .login = SPAN("alice@example.test") };
	struct msg_AUTH m;
	struct link *auth;
	struct frame f;
	struct rig r;
	int fd = let_in_to_pop3(&r, &auth, SPAN_NONE);

	(void)state;
	hear_line(fd, "-ERR [SYS/TEMP]");
	assert_int_equal(link_recv(r.store, &f, &(struct err){ 0 }), LINK_MORE);
	close(fd);
	link_close(&auth);
	close_rig(&r);
	auth = open_rig_with_auth(&r);
	fd = call_and_greet(&r);
	say(fd, SPAN("AUTH PLAIN AGFsaWNlAHNlY3JldA==\r\n"));
	yes.ask = expect_auth(auth, &m, &f);
	msg_AUTHED_pack(&yes, link_begin(auth));
	assert_true(link_send(auth, NULL, 0));
	hear(fd, 1, "454 4.7.0");
	quit(fd);
	link_close(&auth);
	close_rig(&r);
}

/* ---- links ------------------------------------------------------------------------ */

static unsigned taken;

static bool count_frame(struct edge *e, struct frame *f)
{
	(void)e;
	taken += f->kind == MSG_SUBMITTED;
	return true;
}

static void a_role_that_talks_without_end_does_not_keep_an_edge_from_the_others(void **state)
{
	const struct msg_SUBMITTED m = { .id = 1 };
	struct peer_link p = { 0 };
	struct link *store;
	struct err err;
	int fds[2];

	(void)state;
	assert_true(link_pair(fds, &err));
	assert_true(link_open(&store, fds[0], ROLE_STORE, ROLE_EDGE, 0, &err));
	assert_true(link_open(&p.link, fds[1], ROLE_EDGE, ROLE_STORE, 0, &err));
	for (int i = 0; i < LINK_FRAMES_ONCE + 1; i++) {
		msg_SUBMITTED_pack(&m, link_begin(store));
		assert_true(link_send(store, NULL, 0));
	}
	assert_true(edge_receive(NULL, &p, "store-link", count_frame));
	assert_int_equal(taken, LINK_FRAMES_ONCE);
	assert_true(edge_receive(NULL, &p, "store-link", count_frame));
	assert_int_equal(taken, LINK_FRAMES_ONCE + 1);
	link_close(&store);
	link_close(&p.link);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nobody_is_greeted_before_the_recipients_are_known),
		cmocka_unit_test(a_message_is_acknowledged_when_the_store_says_so),
		cmocka_unit_test(what_the_store_cannot_keep_is_not_acknowledged),
		cmocka_unit_test(a_successor_of_the_store_gets_the_same_message),
		cmocka_unit_test(a_large_body_goes_through_a_file),
		cmocka_unit_test(a_body_that_was_given_up_is_dropped),
		cmocka_unit_test(the_file_of_a_message_that_was_refused_is_dropped),
		cmocka_unit_test(a_question_that_nobody_answers_is_given_up),
		cmocka_unit_test(a_question_to_a_dead_store_is_answered_for_now),
		cmocka_unit_test(more_sessions_than_allowed_are_turned_away),
		cmocka_unit_test(more_sessions_of_one_address_are_turned_away),
		cmocka_unit_test(who_offended_is_refused_at_connect_and_others_are_not),
		cmocka_unit_test(who_is_refused_often_hears_nothing_any_more),
		cmocka_unit_test(a_guard_that_observes_refuses_nobody),
		cmocka_unit_test(what_the_administrator_orders_holds_at_once),
		cmocka_unit_test(who_is_kicked_hears_why_and_is_gone),
		cmocka_unit_test(in_lockdown_strangers_have_to_leave),
		cmocka_unit_test(a_message_with_the_store_is_waited_for_before_a_kick),
		cmocka_unit_test(the_worst_has_to_leave_for_a_client_known_good),
		cmocka_unit_test(a_part_of_the_sessions_is_kept_for_clients_known_good),
		cmocka_unit_test(what_a_dead_edge_counted_is_taken_back),
		cmocka_unit_test(what_was_known_before_a_restart_comes_back),
		cmocka_unit_test(
			a_client_behind_a_front_is_judged_by_the_address_that_is_told),
		cmocka_unit_test(a_client_that_xclient_tells_of_is_judged_as_well),
		cmocka_unit_test(the_scoreboard_shows_who_is_here),
		cmocka_unit_test(a_reload_is_for_those_who_come_after),
		cmocka_unit_test(
			a_session_is_at_its_listener_though_that_has_another_number_now),
		cmocka_unit_test(draining_waits_for_the_message_under_way),
		cmocka_unit_test(who_is_left_when_draining_is_over_hears_it),
		cmocka_unit_test(an_orphan_ends),
		cmocka_unit_test(an_edge_that_the_store_cut_off_ends),
		cmocka_unit_test(a_store_that_lies_is_not_listened_to),
		cmocka_unit_test(what_auth_says_of_a_login_is_told),
		cmocka_unit_test(who_leaves_in_the_middle_of_a_login_is_forgotten),
		cmocka_unit_test(who_breaks_an_exchange_off_is_forgotten_too),
		cmocka_unit_test(
			a_mailbox_is_opened_with_the_ticket_and_again_with_the_stores),
		cmocka_unit_test(a_ticket_that_is_late_is_a_failure_for_now),
		cmocka_unit_test(without_a_ticket_the_store_is_not_asked),
		cmocka_unit_test(when_auth_dies_who_waits_hears_later),
		cmocka_unit_test(who_logs_in_to_imap_talks_with_the_mailbox_server),
		cmocka_unit_test(a_login_that_the_mailbox_server_refuses_counts_no_more),
		cmocka_unit_test(who_leaves_on_the_way_to_the_mailbox_server_is_forgotten),
		cmocka_unit_test(a_refusal_at_connect_is_said_in_imap),
		cmocka_unit_test(
			a_role_that_talks_without_end_does_not_keep_an_edge_from_the_others),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
