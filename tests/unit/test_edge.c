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
#include "guard/code.h"
#include "guard/guard.h"

#define PATIENCE 20000 /* ms: for a busy machine */

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
	assert_int_equal(
		fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK), 0);
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
	r->conf.magic = CONF_MAGIC;
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
	r->edge = fork();
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

/* ---- a rig for a test ------------------------------------------------------------------------ */

static void open_rig(struct rig *r, const char *key, const char *value)
{
	struct frame f;

	memset(r, 0, sizeof(*r));
	init_conf(r);
	if (key)
		set(r, key, value);
	make_guard(r);
	start_edge(r);
	expect_frame(r->life, MSG_READY, &f);
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
	struct msg_DRAIN m = { within };

	msg_DRAIN_pack(&m, link_begin(r->life));
	assert_true(link_send(r->life, NULL, 0));
}

static void close_rig(struct rig *r)
{
	drain(r, 1000);
	expect_exit(r);
}

/* ---- a peer -------------------------------------------------------------------------------- */

static int call(const struct rig *r)
{
	struct sockaddr_in at = {
		.sin_family = AF_INET,
		.sin_addr = { htonl(INADDR_LOOPBACK) },
		.sin_port = htons((uint16_t)r->port),
	};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(connect(fd, (struct sockaddr *)&at, sizeof(at)), 0);
	return fd;
}

static bool comes_within(int fd, int ms)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return poll(&p, 1, ms) > 0;
}

/* Read until that many lines "NNN " have come; the last must begin with this. */
static void hear(int fd, int replies, const char *begin)
{
	char line[600];
	size_t n = 0;

	while (replies) {
		assert_true(comes_within(fd, PATIENCE));
		assert_true(n < sizeof(line) - 1);
		assert_int_equal(read(fd, line + n, 1), 1);
		if (line[n++] != '\n')
			continue;
		replies -= line[3] == ' ';
		if (replies)
			n = 0;
	}
	line[n] = '\0';
	if (strncmp(line, begin, strlen(begin)) != 0)
		fail_msg("heard %s instead of %s", line, begin);
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
	link_close(&r.store);
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
	struct rig r;
	int fd;

	(void)state;
	open_rig(&r, "recipients.verify-wait", "1s");
	publish(&r);
	fd = call(&r);
	hear(fd, 1, "220");
	say(fd, SPAN("EHLO x\r\n"));
	hear(fd, 1, "250 ");
	say(fd, SPAN("MAIL FROM:<>\r\nRCPT TO:<a@ask.test>\r\nRCPT TO:<b@ask.test>\r\n"));
	first = expect_verify(&r, SPAN("a@ask.test"));
	hear(fd, 2, "451 4.4.3");
	second = expect_verify(&r, SPAN("b@ask.test"));
	answer_verify(&r, first, VERDICT_YES);
	assert_false(comes_within(fd, 50));
	answer_verify(&r, second, VERDICT_NO);
	hear(fd, 1, "550 5.1.1");
	say(fd, SPAN("RSET\r\n"));
	hear(fd, 1, "250");
	link_close(&r.store);
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
	link_close(&r.store);
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

static void draining_waits_for_the_message_under_way(void **state)
{
	struct msg_SUBMIT m;
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

static void say_gone(struct rig *r)
{
	struct msg_GONE m = { ROLE_STORE, 0 };

	msg_GONE_pack(&m, link_begin(r->life));
	assert_true(link_send(r->life, NULL, 0));
}

static void an_edge_that_the_store_cut_off_ends(void **state)
{
	struct rig r;
	int fd;

	(void)state;
	open_rig(&r, NULL, NULL);
	publish(&r);
	link_close(&r.store);
	say_gone(&r);
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
	link_close(&r.store);
	replace_store(&r);
	close_rig(&r);
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
		cmocka_unit_test(a_reload_is_for_those_who_come_after),
		cmocka_unit_test(draining_waits_for_the_message_under_way),
		cmocka_unit_test(an_orphan_ends),
		cmocka_unit_test(an_edge_that_the_store_cut_off_ends),
		cmocka_unit_test(a_store_that_lies_is_not_listened_to),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
