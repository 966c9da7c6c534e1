/*
 * A store in a process of its own, with a supervisor, a watch and an edge that are played
 * by the test.
 */
#ifndef TESTS_STORE_RIG_H
#define TESTS_STORE_RIG_H

#include "expect.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/fields.h"
#include "base/id.h"
#include "base/list.h"
#include "base/rcptmap.h"
#include "conf/settings.h"
#include "crypt/ticket.h"
#include "guard/snapshot.h"
#include "link/seal.h"
#include "store/store.h"

#include "child.h"

#define PATIENCE 60000 /* ms: for a busy machine */
#define EDGE	 3     /* the number of the edge that is played */

struct rig {
	struct conf conf;
	char dir[64];
	pid_t store;
	struct link *life, *edge, *watch;
	struct pulse_reader *pulse;
	struct id_maker ids;
	uint32_t asks;
	/* the last answer to a command */
	uint8_t rows_mem[16384];
	struct buf rows;
	size_t row_count;
	char said[256];
	struct start_mapping guard; /* what the store gets of it */
};

static struct err err;

/* The key that this store has been given; only auth would have it, too. */
static const uint8_t ticket_key[TICKET_KEY] = { 1, 2, 3 };

struct made_ticket {
	uint8_t mem[TICKET_SIZE];
};

/* As auth makes them, for the edge that is played; for so long from now. */
static inline struct made_ticket ticket_for(enum ticket_purpose purpose, unsigned edge,
					    struct span login, ms_t lasts)
{
	const struct ticket t = { purpose, edge, login };
	struct made_ticket made;
	struct timespec now;

	assert_int_equal(clock_gettime(CLOCK_MONOTONIC, &now), 0);
	ticket_make(ticket_key, &t, (ms_t)now.tv_sec * 1000 + lasts, made.mem);
	return made;
}

/* ---- the store ---------------------------------------------------------------------- */

static inline int memfd_of(struct span s)
{
	int fd = memfd_create("test", MFD_ALLOW_SEALING | MFD_CLOEXEC);

	assert_int_equal(write(fd, s.p, s.n), (ssize_t)s.n);
	assert_true(seal_memory(fd));
	return fd;
}

static inline int be_store(const struct rig *r, int life, int edge, int watch, int pulse)
{
	struct start s = { .role = ROLE_STORE, .certs_fd = -1, .tables_fd = -1 };
	int code;

	s.conf = start_map_conf(memfd_of(span_of(&r->conf, sizeof(r->conf))), &err);
	s.guard = r->guard;
	memcpy(s.ticket_key, ticket_key, sizeof(ticket_key));
	s.peer_count = 2;
	s.peers[0].role = ROLE_EDGE;
	s.peers[1].role = ROLE_WATCH;
	if (!s.conf || !link_open(&s.life, life, ROLE_STORE, ROLE_SUPERVISOR, 0, &err) ||
	    !link_open(&s.peers[0].link, edge, ROLE_STORE, ROLE_EDGE, EDGE, &err) ||
	    !link_open(&s.peers[1].link, watch, ROLE_STORE, ROLE_WATCH, 0, &err) ||
	    !pulse_open(&s.pulse, pulse, eventfd(0, EFD_NONBLOCK), &err)) {
		fprintf(stderr, "%s\n", err.text);
		return 3;
	}
	code = store_main(&s);
	link_close(&s.life);
	pulse_close(&s.pulse);
	return code;
}

static inline void hear(struct link *l, enum message kind, struct frame *f)
{
	enum link_got got = link_recv_wait(l, PATIENCE, f, &err);

	if (got != LINK_GOT || f->kind != kind)
		fail_msg("no %s, but %d: %s", message_table[kind].word, (int)got,
			 got == LINK_GOT ? message_table[f->kind].word : err.text);
}

/* The first that an edge hears. *remember: a descriptor that came between; -1: none. */
static inline void hear_welcome(struct rig *r, int *remember, struct msg_REMEMBER *m)
{
	struct frame f;

	hear(r->edge, MSG_STORAGE, &f);
	*remember = -1;
	assert_int_equal(link_recv_wait(r->edge, PATIENCE, &f, &err), LINK_GOT);
	if (f.kind == MSG_REMEMBER) {
		assert_true(msg_REMEMBER_unpack(f.bytes, m));
		*remember = f.fds[0];
		hear(r->edge, MSG_RECIPIENTS, &f);
	}
	assert_int_equal(f.kind, MSG_RECIPIENTS);
	frame_close_fds(&f);
}

static inline void meet_edge(struct rig *r, unsigned number)
{
	struct msg_PEER peer = { .role = ROLE_EDGE, .number = (uint16_t)number };
	int pair[2];

	assert_true(link_pair(pair, &err));
	msg_PEER_pack(&peer, link_begin(r->life));
	assert_true(link_send(r->life, &pair[1], 1));
	close(pair[1]);
	assert_true(link_open(&r->edge, pair[0], ROLE_EDGE, ROLE_STORE, number, &err));
}

/* All but what the edge hears first. */
static inline void begin_store(struct rig *r)
{
	int life[2], edge[2], watch[2], pulse, reader;
	struct frame f;

	assert_true(link_pair(life, &err) && link_pair(edge, &err) &&
		    link_pair(watch, &err));
	assert_true(pulse_make(&pulse, &reader, &err));
	r->store = fork_child();
	if (r->store == 0) {
		close(life[0]);
		close(edge[0]);
		close(watch[0]);
		_exit(be_store(r, life[1], edge[1], watch[1], pulse));
	}
	close(life[1]);
	close(edge[1]);
	close(watch[1]);
	close(pulse);
	assert_true(pulse_reader_open(&r->pulse, reader, &err));
	assert_true(link_open(&r->life, life[0], ROLE_SUPERVISOR, ROLE_STORE, 0, &err));
	assert_true(link_open(&r->edge, edge[0], ROLE_EDGE, ROLE_STORE, EDGE, &err));
	assert_true(link_open(&r->watch, watch[0], ROLE_WATCH, ROLE_STORE, 0, &err));
	hear(r->life, MSG_READY, &f);
}

static inline void start_store(struct rig *r)
{
	struct msg_REMEMBER m;
	int fd;

	begin_store(r);
	hear_welcome(r, &fd, &m);
	assert_int_equal(fd, -1);
}

static inline void let_go(struct rig *r)
{
	int status;

	link_close(&r->edge);
	link_close(&r->watch);
	link_close(&r->life);
	pulse_reader_close(&r->pulse);
	assert_int_equal(waitpid(r->store, &status, 0), r->store);
}

static inline void kill_store(struct rig *r)
{
	assert_int_equal(kill(r->store, SIGKILL), 0);
	let_go(r);
}

static inline void below(const struct rig *r, const char *name, char *out, size_t n)
{
	snprintf(out, n, "%s/%s", r->dir, name);
}

static inline int set_up(void **state)
{
	static const char *const dirs[] = { "queue", "queue/spool", "mail", "state" };
	struct rig *r = calloc(1, sizeof(*r));
	char path[128];

	snprintf(r->dir, sizeof(r->dir), "/tmp/holdfast-store-XXXXXX");
	assert_non_null(mkdtemp(r->dir));
	for (size_t i = 0; i < COUNT_OF(dirs); i++) {
		below(r, dirs[i], path, sizeof(path));
		assert_int_equal(mkdir(path, 0700), 0);
	}
	settings_init(&r->conf.set);
	snprintf(r->conf.set.dir, TEXT_MAX, "%s", r->dir);
	snprintf(r->conf.set.hostname, TEXT_MAX, "mx.here.example");
	r->conf.set.sandbox = SANDBOX_OFF;
	r->conf.set.spool_free = 1 << 20;
	r->conf.set.verify_wait = 5 * MS_MINUTE; /* the test may take its time */
	r->conf.magic = CONF_MAGIC;
	r->conf.relay_hop = HOP_MX;
	r->conf.size = sizeof(r->conf);
	r->conf.deliver_hop = HOP_MAILDIR;
	r->conf.domain_count = 1;
	snprintf(r->conf.domains[0], sizeof(r->conf.domains[0]), "here.example");
	r->conf.route_count = 2;
	r->conf.routes[0] = (struct route){ .domain = "hop.example",
					    .hop = HOP_LMTP,
					    .target = "box:24" };
	r->conf.routes[1] = (struct route){
		.domain = "ask.example", .hop = HOP_SMTP, .target = "in:25", .verify = true
	};
	r->conf.backend_count = 2;
	r->conf.backends[0] = (struct backend){ .name = "east", .imap = "10.0.0.1:143" };
	r->conf.backends[1] = (struct backend){ .name = "west", .imap = "10.0.0.2:143" };
	r->conf.mailbox_count = 1;
	r->conf.mailboxes[0] = (struct mailbox){ .user = "@far.example", .backend = 1 };
	id_maker_init(&r->ids, EDGE);
	start_store(r);
	*state = r;
	return 0;
}

static inline int tear_down(void **state)
{
	struct rig *r = *state;
	char command[128];

	let_go(r);
	snprintf(command, sizeof(command), "rm -rf %s", r->dir);
	assert_int_equal(system(command), 0);
	free(r);
	return 0;
}

/* ---- the administrator -------------------------------------------------------------- */

/* A line of words; true if it was done. Answers are in r->rows and r->said. */
static inline bool command(struct rig *r, const char *line)
{
	struct span words = span_str(line);
	struct msg_CONTROL m = { .ask = ++r->asks };
	BUF(list, 1024);

	while (words.n)
		list_put(&list, span_cut(&words, ' '));
	m.words = buf_span(&list);
	msg_CONTROL_pack(&m, link_begin(r->watch));
	assert_true(link_send(r->watch, NULL, 0));
	buf_init(&r->rows, r->rows_mem, sizeof(r->rows_mem));
	for (r->row_count = 0;; r->row_count++) {
		struct msg_CONTROL_END end;
		struct msg_CONTROL_ROW row;
		struct frame f;

		assert_int_equal(link_recv_wait(r->watch, PATIENCE, &f, &err), LINK_GOT);
		if (msg_CONTROL_END_unpack(f.bytes, &end)) {
			assert_int_equal(end.ask, m.ask);
			snprintf(r->said, sizeof(r->said), "%.*s", SPAN_ARG(end.text));
			return end.ok;
		}
		assert_true(msg_CONTROL_ROW_unpack(f.bytes, &row));
		fields_print_logfmt(row.row, 0, &r->rows);
		buf_byte(&r->rows, '\n');
	}
}

static inline bool rows_say(struct rig *r, const char *text)
{
	buf_byte(&r->rows, '\0');
	r->rows.len--;
	return strstr((const char *)r->rows_mem, text) != NULL;
}

/* New recipients come to the edge with each change. */
static inline void do_command(struct rig *r, const char *line)
{
	if (!command(r, line))
		fail_msg("%s: %s", line, r->said);
}

static inline void add(struct rig *r, const char *line)
{
	struct frame f;

	do_command(r, line);
	hear(r->edge, MSG_RECIPIENTS, &f);
	frame_close_fds(&f);
}

/* ---- the edge --------------------------------------------------------------------------- */

static inline void submit(struct rig *r, uint64_t id, uint64_t nonce, const char *rcpts,
			  const char *body)
{
	struct span left = span_str(rcpts);
	BUF(list, 4096);
	struct msg_SUBMIT m = {
		.id = id,
		.nonce = nonce,
		.size = strlen(body),
		.wall = id_wall(id),
		.helo = SPAN("peer.example"),
		.sender = SPAN("a@peer.example"),
		.body = span_str(body),
	};

	for (; left.n; m.rcpt_count++)
		list_put(&list, span_cut(&left, ' '));
	m.rcpts = buf_span(&list);
	msg_SUBMIT_pack(&m, link_begin(r->edge));
	assert_true(link_send(r->edge, NULL, 0));
}

static inline enum submitted answer_for(struct rig *r, uint64_t id)
{
	struct msg_SUBMITTED m;
	struct frame f;

	hear(r->edge, MSG_SUBMITTED, &f);
	assert_true(msg_SUBMITTED_unpack(f.bytes, &m));
	assert_true(m.id == id);
	return (enum submitted)m.result;
}

/* Of now, since what is old is given up. */
static inline uint64_t new_id(struct rig *r)
{
	struct timespec now;

	assert_int_equal(clock_gettime(CLOCK_REALTIME, &now), 0);
	return id_next(&r->ids, (int64_t)now.tv_sec * 1000);
}

static inline size_t mails_in(struct rig *r, const char *box)
{
	char text[256];
	FILE *f;
	unsigned count = 0;

	snprintf(text, sizeof(text), "ls %s/mail/%s/new 2>/dev/null | wc -l", r->dir, box);
	f = popen(text, "r");
	assert_int_equal(fscanf(f, "%u", &count), 1);
	pclose(f);
	return count;
}

/* Mail is delivered after the answer: ask until the queue is empty. */
static inline void until_empty(struct rig *r)
{
	for (int i = 0; i < PATIENCE / 10; i++) {
		do_command(r, "queue list");
		if (r->row_count == 0)
			return;
		poll(NULL, 0, 10);
	}
	fail_msg("the queue does not become empty");
}

static inline void deliver_answer(struct rig *r, uint64_t job, const char *answer)
{
	BUF(list, 256);
	struct msg_DELIVERED m = { .job = job, .host = SPAN("box.example") };

	list_put(&list, span_str(answer));
	m.answers = buf_span(&list);
	msg_DELIVERED_pack(&m, link_begin(r->edge));
	assert_true(link_send(r->edge, NULL, 0));
}

static inline uint64_t job_given(struct rig *r, struct msg_DELIVER *m, struct frame *f)
{
	hear(r->edge, MSG_DELIVER, f);
	assert_true(msg_DELIVER_unpack(f->bytes, m));
	return m->job;
}

#endif
