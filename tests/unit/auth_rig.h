/*
 * auth_rig - an auth role in a process of its own, and its neighbours played by the test
 *
 * Edges, watch and store are links to frames; what the role does it does for real: threads,
 * database, sandbox. A test that waits does so for a message, for as long as a slow machine
 * may need.
 */
#ifndef TESTS_UNIT_AUTH_RIG_H
#define TESTS_UNIT_AUTH_RIG_H

#include "expect.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "auth/auth.h"
#include "base/fields.h"
#include "base/list.h"
#include "conf/settings.h"
#include "crypt/password.h"
#include "crypt/ticket.h"
#include "db/vault.h"
#include "guard/accounts.h"
#include "link/seal.h"

#include "child.h"

#define PATIENCE 60000 /* ms */
#define EDGES	 2

struct rig {
	struct conf conf;
	char dir[64], path[128];
	pid_t role;
	struct link *life, *watch, *store, *edges[EDGES];
	struct pulse_reader *pulse;
	uint64_t asks;
};

static struct err err;

/* The key that the role is given, and the store would be. */
static const uint8_t ticket_key[TICKET_KEY] = { 1, 2, 3 };

static inline int rig_memfd(struct span s)
{
	int fd = memfd_create("test", MFD_ALLOW_SEALING | MFD_CLOEXEC);

	assert_int_equal(write(fd, s.p, s.n), (ssize_t)s.n);
	assert_true(seal_memory(fd));
	return fd;
}

/* Ours of a pair; theirs goes to the role. */
struct rig_pair {
	enum role role;
	unsigned number;
	int fds[2];
};

static inline int rig_be_auth(const struct rig *r, int life, int pulse,
			      struct rig_pair *pairs, size_t count)
{
	static struct start s = { .role = ROLE_AUTH, .certs_fd = -1, .tables_fd = -1 };

	s.conf = start_map_conf(rig_memfd(span_of(&r->conf, sizeof(r->conf))), &err);
	memcpy(s.ticket_key, ticket_key, sizeof(ticket_key));
	s.peer_count = count;
	if (!s.conf || !link_open(&s.life, life, ROLE_AUTH, ROLE_SUPERVISOR, 0, &err) ||
	    !pulse_open(&s.pulse, pulse, eventfd(0, EFD_NONBLOCK), &err))
		return 3;
	for (size_t i = 0; i < count; i++) {
		s.peers[i].role = pairs[i].role;
		s.peers[i].number = pairs[i].number;
		close(pairs[i].fds[0]);
		if (!link_open(&s.peers[i].link, pairs[i].fds[1], ROLE_AUTH,
			       pairs[i].role, pairs[i].number, &err))
			return 3;
	}
	return auth_main(&s);
}

static inline void rig_start(struct rig *r)
{
	struct rig_pair pairs[] = { { .role = ROLE_WATCH },
				    { .role = ROLE_STORE },
				    { .role = ROLE_EDGE },
				    { .role = ROLE_EDGE, .number = 1 } };
	struct link **ours[] = { &r->watch, &r->store, &r->edges[0], &r->edges[1] };
	int life[2], pulse, reader;
	struct frame f;

	r->conf.mailbox_mechanisms = r->conf.mechanisms;
	assert_true(link_pair(life, &err));
	for (size_t i = 0; i < COUNT_OF(pairs); i++)
		assert_true(link_pair(pairs[i].fds, &err));
	assert_true(pulse_make(&pulse, &reader, &err));
	r->role = fork_child();
	if (r->role == 0) {
		close(life[0]);
		_exit(rig_be_auth(r, life[1], pulse, pairs, COUNT_OF(pairs)));
	}
	close(life[1]);
	close(pulse);
	assert_true(pulse_reader_open(&r->pulse, reader, &err));
	assert_true(link_open(&r->life, life[0], ROLE_SUPERVISOR, ROLE_AUTH, 0, &err));
	for (size_t i = 0; i < COUNT_OF(pairs); i++) {
		close(pairs[i].fds[1]);
		assert_true(link_open(ours[i], pairs[i].fds[0], pairs[i].role, ROLE_AUTH,
				      0, &err));
	}
	if (link_recv_wait(r->life, PATIENCE, &f, &err) != LINK_GOT || f.kind != MSG_READY)
		fail_msg("the role is not ready");
}

/* A new link with the role, as if that edge had died and another had its number. */
static inline void rig_other_edge(struct rig *r, unsigned number)
{
	struct msg_PEER m = { .role = ROLE_EDGE, .number = (uint16_t)number };
	int fds[2];

	assert_true(link_pair(fds, &err));
	msg_PEER_pack(&m, link_begin(r->life));
	assert_true(link_send(r->life, &fds[1], 1) && link_flush(r->life));
	close(fds[1]);
	link_close(&r->edges[number]);
	assert_true(link_open(&r->edges[number], fds[0], ROLE_EDGE, ROLE_AUTH, 0, &err));
}

static inline void rig_let_go(struct rig *r)
{
	link_close(&r->life);
	link_close(&r->watch);
	link_close(&r->store);
	for (size_t i = 0; i < EDGES; i++)
		link_close(&r->edges[i]);
	pulse_reader_close(&r->pulse);
	r->role = 0;
}

static inline void rig_stop(struct rig *r)
{
	struct msg_DRAIN m = { 0 };
	int status;

	msg_DRAIN_pack(&m, link_begin(r->life));
	assert_true(link_send(r->life, NULL, 0));
	assert_int_equal(waitpid(r->role, &status, 0), r->role);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
	rig_let_go(r);
}

static inline void rig_kill(struct rig *r)
{
	if (r->role == 0)
		return;
	kill(r->role, SIGKILL);
	waitpid(r->role, NULL, 0);
	rig_let_go(r);
}

static inline void rig_put(struct rig *r, const char *address, const char *secret)
{
	uint8_t mem[PASSWORD_HASH_MAX];
	struct vault *v;
	struct buf hash;

	buf_init(&hash, mem, sizeof(mem));
	assert_true(password_hash(span_str(secret), &hash));
	assert_true(vault_open(&v, r->path, &err));
	assert_true(vault_put(v, span_str(address), buf_span(&hash), SPAN_NONE, 1, &err));
	vault_close(&v);
}

static inline int rig_set_up(void **state)
{
	struct rig *r = calloc(1, sizeof(*r));

	assert_non_null(r);
	snprintf(r->dir, sizeof(r->dir), "/tmp/holdfast-auth-XXXXXX");
	assert_non_null(mkdtemp(r->dir));
	snprintf(r->path, sizeof(r->path), "%s/auth", r->dir);
	assert_int_equal(mkdir(r->path, 0700), 0);
	snprintf(r->path, sizeof(r->path), "%s/auth/auth.db", r->dir);
	r->conf.magic = CONF_MAGIC;
	r->conf.relay_hop = HOP_MX;
	r->conf.size = sizeof(r->conf);
	settings_init(&r->conf.set);
	snprintf(r->conf.set.dir, TEXT_MAX, "%s", r->dir);
	r->conf.set.auth_delay = r->conf.set.auth_delay_max = 0;
	r->conf.mechanisms = 1u << SASL_PLAIN | 1u << SASL_LOGIN;
	r->conf.domain_count = 1;
	snprintf(r->conf.domains[0], sizeof(r->conf.domains[0]), "example.test");
	*state = r;
	return 0;
}

static inline int rig_tear_down(void **state)
{
	struct rig *r = *state;
	char line[128];

	rig_kill(r);
	snprintf(line, sizeof(line), "rm -r '%s'", r->dir);
	assert_int_equal(system(line), 0);
	free(r);
	return 0;
}

/* ---- an edge ------------------------------------------------------------------------------ */

/* What somebody says who logs in with a password. */
struct login {
	const char *user, *secret;
	struct addr from;
	uint64_t client;
};

static inline void edge_send(struct link *edge)
{
	assert_true(link_send(edge, NULL, 0) && link_flush(edge));
}

static inline uint64_t edge_ask_with(struct rig *r, unsigned edge, const struct login *l,
				     enum service service, enum sasl_mechanism mechanism)
{
	struct msg_AUTH m = {
		.ask = ++r->asks,
		.mechanism = (uint8_t)mechanism,
		.service = (uint8_t)service,
		.flags = AUTH_TLS,
		.peer = { l->from, 40000 },
		.client = l->client,
		.helo = SPAN("client.test"),
		.user = span_str(l->user),
		.secret = span_str(l->secret),
	};

	msg_AUTH_pack(&m, link_begin(r->edges[edge]));
	edge_send(r->edges[edge]);
	return m.ask;
}

static inline uint64_t edge_ask_for(struct rig *r, unsigned edge, const struct login *l,
				    enum service service)
{
	return edge_ask_with(r, edge, l, service, SASL_PLAIN);
}

static inline uint64_t edge_ask(struct rig *r, unsigned edge, const struct login *l)
{
	return edge_ask_for(r, edge, l, SERVICE_SUBMISSION);
}

/* Texts are copied: the frame goes with the next one. */
struct told {
	uint64_t ask;
	enum authed result;
	enum event event;
	uint32_t delay;
	bool known, sure;
	uint64_t tag;
	size_t ticket_n;
	uint8_t ticket[TICKET_SIZE];
	char login[ADDRESS_MAX + 1], reason[65], text[SASL_MAX + 1];
};

static inline struct told edge_hear(struct rig *r, unsigned edge)
{
	struct msg_AUTHED m;
	struct frame f;
	struct told t = { 0 };

	if (link_recv_wait(r->edges[edge], PATIENCE, &f, &err) != LINK_GOT ||
	    f.kind != MSG_AUTHED || !msg_AUTHED_unpack(f.bytes, &m))
		fail_msg("no AUTHED");
	t.ask = m.ask;
	t.result = (enum authed)m.result;
	t.event = (enum event)m.event;
	t.delay = m.delay;
	t.known = m.known_device;
	t.sure = m.sure;
	t.tag = m.tag;
	t.ticket_n = m.ticket.n;
	if (m.ticket.n)
		memcpy(t.ticket, m.ticket.p, m.ticket.n);
	snprintf(t.login, sizeof(t.login), "%.*s", SPAN_ARG(m.login));
	snprintf(t.reason, sizeof(t.reason), "%.*s", SPAN_ARG(m.reason));
	snprintf(t.text, sizeof(t.text), "%.*s", SPAN_ARG(m.text));
	return t;
}

static inline struct told edge_try(struct rig *r, const struct login *l)
{
	uint64_t ask = edge_ask(r, 0, l);
	struct told t = edge_hear(r, 0);

	assert_int_equal(t.ask, ask);
	return t;
}

/* ---- IMAP ----------------------------------------------------------------------------------- */

static inline struct told edge_read(struct rig *r, unsigned edge, const struct login *l)
{
	uint64_t ask = edge_ask_for(r, edge, l, SERVICE_IMAP);
	struct told t = edge_hear(r, edge);

	assert_int_equal(t.ask, ask);
	return t;
}

static inline void edge_left(struct rig *r, unsigned edge, uint64_t ask)
{
	struct msg_AUTH_LEFT m = { .ask = ask };

	msg_AUTH_LEFT_pack(&m, link_begin(r->edges[edge]));
	edge_send(r->edges[edge]);
}

static inline void edge_held(struct rig *r, unsigned edge, uint64_t ask,
			     const struct login *l)
{
	struct msg_AUTH_HELD m = { .ask = ask,
				   .peer = { .addr = l->from, .port = 40000 },
				   .login = span_str(l->user) };

	msg_AUTH_HELD_pack(&m, link_begin(r->edges[edge]));
	edge_send(r->edges[edge]);
}

static inline void edge_judged(struct rig *r, unsigned edge, uint64_t ask, unsigned how)
{
	struct msg_AUTH_JUDGED m = { .ask = ask, .judged = (uint8_t)how };

	msg_AUTH_JUDGED_pack(&m, link_begin(r->edges[edge]));
	edge_send(r->edges[edge]);
}

/* ---- watch -------------------------------------------------------------------------------- */

static inline void watch_ask(struct rig *r, const char *const *words, size_t n)
{
	uint8_t mem[2048];
	struct buf b;
	struct msg_CONTROL m = { .ask = 7 };

	buf_init(&b, mem, sizeof(mem));
	for (size_t i = 0; i < n; i++)
		list_put(&b, span_str(words[i]));
	m.words = buf_span(&b);
	msg_CONTROL_pack(&m, link_begin(r->watch));
	edge_send(r->watch);
}

/* The answer: how many rows, the last of them as text, and the end. */
struct answer {
	size_t rows;
	char last[1024], text[512];
	bool ok;
};

static inline struct answer watch_hear(struct rig *r)
{
	struct answer a = { 0 };
	struct msg_CONTROL_ROW row;
	struct msg_CONTROL_END end;
	struct frame f;

	for (;;) {
		uint8_t mem[1024];
		struct buf text;

		if (link_recv_wait(r->watch, PATIENCE, &f, &err) != LINK_GOT)
			fail_msg("no answer");
		if (f.kind == MSG_CONTROL_END && msg_CONTROL_END_unpack(f.bytes, &end))
			break;
		assert_true(msg_CONTROL_ROW_unpack(f.bytes, &row));
		buf_init(&text, mem, sizeof(mem));
		fields_print_logfmt(row.row, 0, &text);
		snprintf(a.last, sizeof(a.last), "%.*s", SPAN_ARG(buf_span(&text)));
		a.rows++;
	}
	a.ok = end.ok;
	snprintf(a.text, sizeof(a.text), "%.*s", SPAN_ARG(end.text));
	return a;
}

#define WATCH_SAYS(r, ...)                                              \
	({                                                              \
		const char *const words_[] = { __VA_ARGS__ };           \
		watch_ask(r, words_, sizeof(words_) / sizeof(*words_)); \
		watch_hear(r);                                          \
	})

#endif
