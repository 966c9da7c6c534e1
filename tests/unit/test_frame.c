/* link/frame: what one role says, the other hears, and nothing else. */
#include <fcntl.h>
#include <malloc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "link/frame.h"

struct pair {
	struct link *edge, *store; /* the link between them, seen from each */
};

static struct pair open_pair(enum role a, enum role b)
{
	struct pair p;
	struct err err;
	int fds[2];

	assert_true(link_pair(fds, &err));
	assert_true(link_open(&p.edge, fds[0], a, b, 0, &err));
	assert_true(link_open(&p.store, fds[1], b, a, 3, &err));
	return p;
}

static void close_pair(struct pair *p)
{
	link_close(&p->edge);
	link_close(&p->store);
}

static size_t open_fds(void)
{
	size_t n = 0;

	for (int fd = 0; fd < 1024; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

/* Send bytes past the link's own checks, as a role that was broken into would. */
static void send_raw(const struct link *l, struct span bytes, size_t fd_count)
{
	union {
		struct cmsghdr head;
		uint8_t mem[CMSG_SPACE(16 * sizeof(int))];
	} control = { 0 };
	struct iovec iov = { (void *)(uintptr_t)bytes.p, bytes.n };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (fd_count) {
		m.msg_control = &control;
		m.msg_controllen = CMSG_SPACE(fd_count * sizeof(int));
		control.head.cmsg_level = SOL_SOCKET;
		control.head.cmsg_type = SCM_RIGHTS;
		control.head.cmsg_len = CMSG_LEN(fd_count * sizeof(int));
		memset(CMSG_DATA(&control.head), 0, fd_count * sizeof(int));
	}
	assert_true(sendmsg(link_fd(l), &m, MSG_DONTWAIT) >= 0);
}

static void a_message_arrives_with_its_fields(void **state)
{
	struct pair p = open_pair(ROLE_EDGE, ROLE_STORE);
	struct msg_VERIFY said = { .ask = 7, .address = SPAN("alice@example.test") },
			  heard;
	struct frame f;
	struct err err;

	(void)state;
	msg_VERIFY_pack(&said, link_begin(p.edge));
	assert_true(link_send(p.edge, NULL, 0));
	assert_int_equal(link_recv(p.store, &f, &err), LINK_GOT);
	assert_int_equal(f.kind, MSG_VERIFY);
	assert_true(msg_VERIFY_unpack(f.bytes, &heard));
	assert_int_equal(heard.ask, 7);
	assert_true(span_eq(heard.address, said.address));
	assert_int_equal(link_recv(p.store, &f, &err), LINK_MORE);
	assert_int_equal(link_role(p.store), ROLE_EDGE);
	assert_int_equal(link_number(p.store), 3);
	close_pair(&p);
}

static void a_descriptor_arrives_and_closes_on_exec(void **state)
{
	struct pair p = open_pair(ROLE_STORE, ROLE_EDGE);
	struct msg_RECIPIENTS m = { .generation = 1 };
	struct frame f;
	struct err err;
	int ends[2];
	char c = 0;

	(void)state;
	assert_int_equal(pipe(ends), 0);
	msg_RECIPIENTS_pack(&m, link_begin(p.edge));
	assert_true(link_send(p.edge, &ends[1], 1));
	close(ends[1]);
	assert_int_equal(link_recv(p.store, &f, &err), LINK_GOT);
	assert_true(f.fds[0] >= 0);
	assert_int_equal(f.fds[1], -1);
	assert_true(fcntl(f.fds[0], F_GETFD) & FD_CLOEXEC);
	assert_int_equal(write(f.fds[0], "x", 1), 1);
	frame_close_fds(&f);
	assert_int_equal(f.fds[0], -1);
	assert_int_equal(read(ends[0], &c, 1), 1);
	assert_int_equal(read(ends[0], &c, 1), 0);
	close(ends[0]);
	close_pair(&p);
}

struct bad {
	const char *why;
	enum role from, to;
	size_t n;
	uint8_t kind;
	size_t fds;
};

static void what_may_not_be_sent_breaks_the_link_and_leaks_nothing(void **state)
{
	static const struct bad rows[] = {
		{ "no such kind", ROLE_EDGE, ROLE_STORE, 9, MESSAGE_COUNT, 0 },
		{ "kind none", ROLE_EDGE, ROLE_STORE, 9, MSG_NONE, 0 },
		{ "the store's word from an edge", ROLE_EDGE, ROLE_STORE, 12, MSG_VERDICT,
		  0 },
		{ "meant for another role", ROLE_STORE, ROLE_WATCH, 12, MSG_VERDICT, 0 },
		{ "a configuration from an edge", ROLE_EDGE, ROLE_STORE, 9, MSG_CONF, 1 },
		{ "a descriptor that nobody asked for", ROLE_EDGE, ROLE_STORE, 20,
		  MSG_VERIFY, 1 },
		{ "no descriptor where one belongs", ROLE_STORE, ROLE_EDGE, 9,
		  MSG_RECIPIENTS, 0 },
		{ "two where one belongs", ROLE_STORE, ROLE_EDGE, 9, MSG_RECIPIENTS, 2 },
		{ "many", ROLE_STORE, ROLE_EDGE, 9, MSG_RECIPIENTS, 16 },
		{ "too long", ROLE_EDGE, ROLE_STORE, FRAME_MAX + 1, MSG_VERIFY, 0 },
		{ "too long, with a descriptor", ROLE_EDGE, ROLE_STORE, FRAME_MAX + 1,
		  MSG_VERIFY, 1 },
	};
	static uint8_t bytes[FRAME_MAX + 1];

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct pair p = open_pair(rows[i].from, rows[i].to);
		size_t before = open_fds();
		struct frame f;
		struct err err = { "" };

		bytes[0] = rows[i].kind;
		send_raw(p.edge, span_of(bytes, rows[i].n), rows[i].fds);
		if (link_recv(p.store, &f, &err) != LINK_BROKEN)
			fail_msg("%s was taken", rows[i].why);
		assert_true(err.text[0] != '\0');
		assert_int_equal(open_fds(), before);
		close_pair(&p);
	}
}

static void an_end_that_is_gone_is_closed(void **state)
{
	struct pair p = open_pair(ROLE_EDGE, ROLE_STORE);
	struct msg_VERIFY m = { .ask = 1 };
	struct frame f;
	struct err err;

	(void)state;
	msg_VERIFY_pack(&m, link_begin(p.edge));
	assert_true(link_send(p.edge, NULL, 0));
	link_close(&p.edge);
	assert_int_equal(link_recv(p.store, &f, &err), LINK_GOT);
	assert_int_equal(link_recv(p.store, &f, &err), LINK_CLOSED);
	close_pair(&p);
}

static void sending_to_nobody_fails_without_a_signal(void **state)
{
	struct pair p = open_pair(ROLE_EDGE, ROLE_STORE);
	struct msg_VERIFY m = { .ask = 1 };

	(void)state;
	link_close(&p.store);
	msg_VERIFY_pack(&m, link_begin(p.edge));
	assert_false(link_send(p.edge, NULL, 0));
	close_pair(&p);
}

static bool send_big(struct link *l, uint64_t id)
{
	static uint8_t body[BODY_INLINE_MAX];
	struct msg_SUBMIT m = {
		.id = id,
		.helo = SPAN("c.example"),
		.sender = SPAN("a@b.example"),
		.body = span_of(body, sizeof(body)),
	};

	msg_SUBMIT_pack(&m, link_begin(l));
	return link_send(l, NULL, 0);
}

static void what_the_other_side_cannot_take_waits_in_order_up_to_a_ceiling(void **state)
{
	struct pair p = open_pair(ROLE_EDGE, ROLE_STORE);
	struct frame f;
	struct err err;
	uint64_t sent = 0, got = 0;

	(void)state;
	while (send_big(p.edge, sent))
		sent++;
	assert_true(link_waiting(p.edge));
	assert_true(link_full(p.edge));
	assert_true(sent * BODY_INLINE_MAX <= (uint64_t)LINK_QUEUE_MAX + (16 << 20));
	while (got < sent) {
		struct msg_SUBMIT m;

		while (link_recv(p.store, &f, &err) == LINK_GOT) {
			assert_true(msg_SUBMIT_unpack(f.bytes, &m));
			assert_int_equal(m.id, got);
			got++;
		}
		assert_true(link_flush(p.edge));
	}
	assert_false(link_waiting(p.edge));
	assert_false(link_full(p.edge));
	assert_true(send_big(p.edge, sent));
	close_pair(&p);
}

static void a_descriptor_that_waits_may_be_closed_by_its_sender(void **state)
{
	struct pair p = open_pair(ROLE_STORE, ROLE_EDGE);
	struct msg_RECIPIENTS m = { 0 };
	struct frame f;
	struct err err;
	size_t before = open_fds(), sent = 0;
	int ends[2];
	char c;

	(void)state;
	assert_int_equal(pipe(ends), 0);
	while (!link_waiting(p.edge)) {
		m.generation = sent++;
		msg_RECIPIENTS_pack(&m, link_begin(p.edge));
		assert_true(link_send(p.edge, &ends[1], 1));
	}
	close(ends[1]);
	for (size_t got = 0; got < sent; got++) {
		while (link_recv(p.store, &f, &err) != LINK_GOT)
			assert_true(link_flush(p.edge));
		assert_int_equal(write(f.fds[0], "x", 1), 1);
		assert_int_equal(read(ends[0], &c, 1), 1);
		frame_close_fds(&f);
	}
	close(ends[0]);
	assert_int_equal(open_fds(), before);
	close_pair(&p);
}

static void a_closed_link_forgets_what_waited(void **state)
{
	size_t before = open_fds();
	struct pair p = open_pair(ROLE_STORE, ROLE_EDGE);
	struct msg_RECIPIENTS m = { 0 };
	int ends[2];

	(void)state;
	assert_int_equal(pipe(ends), 0);
	while (!link_waiting(p.edge)) {
		msg_RECIPIENTS_pack(&m, link_begin(p.edge));
		assert_true(link_send(p.edge, ends, 1));
	}
	close(ends[0]);
	close(ends[1]);
	close_pair(&p);
	assert_int_equal(open_fds(), before);
}

/* In what the allocator gives out again; it hands back first what was freed last. */
static bool is_left_in_memory(struct span secret)
{
	bool found = false;

	for (size_t n = 32; n < 1024; n += 16) {
		uint8_t *volatile mem = malloc(n);

		assert_non_null(mem);
		found |= memmem(mem, malloc_usable_size(mem), secret.p, secret.n) != NULL;
		free(mem);
	}
	return found;
}

static void what_waited_may_have_been_a_password_and_is_wiped(void **state)
{
	struct pair p = open_pair(ROLE_EDGE, ROLE_AUTH);
	struct msg_AUTH m = { .ask = 1,
			      .user = SPAN("ann"),
			      .secret = SPAN("open sesame") };

	(void)state;
	while (!link_waiting(p.edge)) {
		msg_AUTH_pack(&m, link_begin(p.edge));
		assert_true(link_send(p.edge, NULL, 0));
	}
	link_close(&p.edge);
	assert_false(is_left_in_memory(m.secret));
	link_close(&p.store);
}

/* As many as are open already. */
static struct rlimit allow_no_more_fds(void)
{
	struct rlimit had, now;

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &had), 0);
	now = had;
	for (int fd = 0; fd < 1024; fd++)
		if (fcntl(fd, F_GETFD) < 0) {
			now.rlim_cur = (rlim_t)fd;
			break;
		}
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &now), 0);
	return had;
}

static void for_want_of_a_number_a_descriptor_is_lost_and_the_link_goes_on(void **state)
{
	struct pair p = open_pair(ROLE_STORE, ROLE_EDGE);
	struct msg_SPOOL m = { .id = 1 }, heard;
	struct rlimit had;
	struct frame f;
	struct err err;
	int zero = 0;

	(void)state;
	msg_SPOOL_pack(&m, link_begin(p.edge));
	assert_true(link_send(p.edge, &zero, 1));
	msg_SPOOL_pack(&m, link_begin(p.edge));
	assert_true(link_send(p.edge, &zero, 1));
	had = allow_no_more_fds();
	assert_int_equal(link_recv(p.store, &f, &err), LINK_GOT);
	assert_true(f.lost);
	assert_int_equal(f.fds[0], -1);
	assert_true(msg_SPOOL_unpack(f.bytes, &heard));
	assert_int_equal(heard.id, 1);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &had), 0);
	assert_int_equal(link_recv(p.store, &f, &err), LINK_GOT);
	assert_false(f.lost);
	assert_true(f.fds[0] >= 0);
	frame_close_fds(&f);
	assert_false(link_lost(p.store, &f));
	close_pair(&p);
}

static void what_is_nothing_without_its_descriptor_is_asked_for_again(void **state)
{
	struct pair p = open_pair(ROLE_SUPERVISOR, ROLE_EDGE);
	struct msg_PEER m = { .role = ROLE_STORE, .number = 7 };
	struct msg_LOST lost;
	struct rlimit had;
	struct frame f;
	struct err err;
	int zero = 0;

	(void)state;
	msg_PEER_pack(&m, link_begin(p.edge));
	assert_true(link_send(p.edge, &zero, 1));
	had = allow_no_more_fds();
	assert_int_equal(link_recv(p.store, &f, &err), LINK_GOT);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &had), 0);
	assert_true(link_lost(p.store, &f));
	assert_int_equal(f.fds[0], -1);
	assert_int_equal(link_recv(p.edge, &f, &err), LINK_GOT);
	assert_true(msg_LOST_unpack(f.bytes, &lost));
	assert_int_equal(lost.kind, MSG_PEER);
	assert_int_equal(lost.role, ROLE_STORE);
	assert_int_equal(lost.number, 7);
	close_pair(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_message_arrives_with_its_fields),
		cmocka_unit_test(a_descriptor_arrives_and_closes_on_exec),
		cmocka_unit_test(what_may_not_be_sent_breaks_the_link_and_leaks_nothing),
		cmocka_unit_test(an_end_that_is_gone_is_closed),
		cmocka_unit_test(sending_to_nobody_fails_without_a_signal),
		cmocka_unit_test(
			what_the_other_side_cannot_take_waits_in_order_up_to_a_ceiling),
		cmocka_unit_test(a_descriptor_that_waits_may_be_closed_by_its_sender),
		cmocka_unit_test(a_closed_link_forgets_what_waited),
		cmocka_unit_test(what_waited_may_have_been_a_password_and_is_wiped),
		cmocka_unit_test(
			for_want_of_a_number_a_descriptor_is_lost_and_the_link_goes_on),
		cmocka_unit_test(what_is_nothing_without_its_descriptor_is_asked_for_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
