/*
 * A relay between two socket pairs: a client at one end and a server at the other, both
 * played by this test, in one loop.
 */
#include "expect.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "edge/relay.h"
#include "io/selfsigned.h"

#define BULK 10000000

/* One of the two who talk with each other. */
struct end {
	struct stream s;
	bool shaken, deaf; /* deaf: it reads nothing */
	bool finish, finished;
	struct span to_say;
	uint8_t *heard;
	size_t heard_n;
	enum stream_got last;
};

struct rig {
	struct loop *loop;
	struct timer limit, again;
	struct tls *tls;
	struct relays all;
	struct relaying relay;
	struct stream client; /* the relay's end of it */
	bool client_shaken, server_shaken, begun;
	enum relay_result result;
	uint64_t most;	     /* that it has moved to the client before it came back */
	struct end them, it; /* the client, the server */
	uint8_t scratch[RELAY_BLOCK];
};

static void go_on(void *arg)
{
	struct end *e = arg;
	size_t n;

	if (e->s.ssl && !e->shaken) {
		if (stream_handshake(&e->s) != STREAM_GOT)
			return;
		e->shaken = true;
	}
	if (stream_write(&e->s, &e->to_say) == STREAM_GOT && e->finish && !e->finished) {
		e->finished = true;
		stream_finish(&e->s);
	}
	while (!e->deaf && e->heard_n < BULK) {
		e->last = stream_read(&e->s, e->heard + e->heard_n, BULK - e->heard_n, &n);
		if (e->last != STREAM_GOT)
			return;
		e->heard_n += n;
	}
	/* whatever comes behind that is one byte too many, or the end */
	if (!e->deaf && stream_read(&e->s, (uint8_t[1]){ 0 }, 1, &n) == STREAM_EOF)
		e->last = STREAM_EOF;
}

/* Both sides of the relay have to be inside TLS first, if they are to be. */
static bool shake(struct stream *s, bool *shaken)
{
	if (s->ssl && !*shaken)
		*shaken = stream_handshake(s) == STREAM_GOT;
	return !s->ssl || *shaken;
}

static void relay_on(void *arg)
{
	struct rig *r = arg;
	uint64_t was;
	bool ready = shake(&r->client, &r->client_shaken);

	ready = shake(&r->relay.server, &r->server_shaken) && ready;
	if (!ready || r->result == RELAY_OVER)
		return;
	if (!r->begun) {
		r->begun = true;
		assert_true(relay_begin(&r->relay, &r->all, &r->client,
					SPAN("from the client: "),
					SPAN("from the server: ")));
	}
	was = r->relay.down.bytes;
	r->result = relay_go_on(&r->relay);
	if (r->relay.down.bytes - was > r->most)
		r->most = r->relay.down.bytes - was;
	if (r->result == RELAY_MORE)
		timer_set(&r->again, loop_now(r->loop));
}

static void on_limit(void *arg)
{
	loop_stop(((struct rig *)arg)->loop);
}

/* A busy machine may take its time. */
#define RUN_UNTIL(r, cond)                                            \
	do {                                                          \
		for (int tries = 0; tries < 3000 && !(cond); tries++) \
			turn(r);                                      \
		assert_true(cond);                                    \
	} while (0)

static void turn(struct rig *r)
{
	relay_on(r);
	go_on(&r->them);
	go_on(&r->it);
	timer_set(&r->limit, loop_now_exact(r->loop) + 5);
	loop_run(r->loop);
}

static void pair(struct rig *r, struct stream *ours, struct end *theirs)
{
	int fds[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
	assert_true(stream_open(ours, r->loop, fds[0], relay_on, r));
	assert_true(stream_open(&theirs->s, r->loop, fds[1], go_on, theirs));
	assert_non_null(theirs->heard = malloc(BULK));
	theirs->last = STREAM_AGAIN;
}

static void make_tls(struct rig *r)
{
	struct tls_setup setup = { .ciphers = "" };
	struct err err;
	BUF(chain, SELFSIGNED_PEM);
	BUF(secret, SELFSIGNED_PEM);

	assert_true(tls_open(&r->tls, &setup, &err));
	assert_true(selfsigned_make("mail.example.test", &chain, &secret, &err));
	assert_true(tls_add(r->tls, buf_span(&chain), buf_span(&secret), &err));
}

static struct rig *set_up(bool client_tls, bool server_tls)
{
	struct tls_peer peer = { .name = "", .also = "" };
	struct rig *r = calloc(1, sizeof(*r));
	struct err err;

	assert_non_null(r);
	assert_true(loop_open(&r->loop, &err));
	timer_init(&r->limit, r->loop, on_limit, r);
	timer_init(&r->again, r->loop, relay_on, r);
	relays_init(&r->all, r->scratch);
	make_tls(r);
	pair(r, &r->client, &r->them);
	pair(r, &r->relay.server, &r->it);
	if (client_tls) {
		assert_true(stream_tls_server(&r->client, r->tls));
		assert_true(stream_tls_client(&r->them.s, r->tls, &peer));
	}
	if (server_tls) {
		assert_true(stream_tls_client(&r->relay.server, r->tls, &peer));
		assert_true(stream_tls_server(&r->it.s, r->tls));
	}
	return r;
}

static void tear_down(struct rig *r)
{
	relay_end(&r->relay);
	assert_int_equal(r->all.blocks.lent, 0);
	assert_int_equal(r->all.pipes, r->all.spares);
	relays_close(&r->all);
	assert_int_equal(r->all.pipes, 0);
	stream_close(&r->client);
	stream_close(&r->them.s);
	stream_close(&r->it.s);
	free(r->them.heard);
	free(r->it.heard);
	tls_close(&r->tls);
	loop_close(&r->loop);
	free(r);
}

/* The same in every run, and without a period that a lost block could hide in. */
static uint8_t *make_bulk(uint64_t seed)
{
	uint8_t *bulk = malloc(BULK);

	assert_non_null(bulk);
	for (size_t i = 0; i + 8 <= BULK; i += 8) {
		uint64_t word = dice(&seed);

		memcpy(bulk + i, &word, 8);
	}
	return bulk;
}

static void expect_heard(const struct end *e, struct span first, struct span rest)
{
	struct span heard = span_of(e->heard, e->heard_n);

	expect_span("first", span_head(heard, first.n), first);
	expect_number("bytes", (int64_t)(heard.n - first.n), (int64_t)rest.n);
	assert_true(span_eq(span_skip(heard, first.n), rest));
}

/* ---- bytes ------------------------------------------------------------------------------ */

static void check_bulk(bool client_tls, bool server_tls)
{
	const struct span to_server = SPAN("from the client: "),
			  to_client = SPAN("from the server: ");
	struct rig *r = set_up(client_tls, server_tls);
	uint8_t *up = make_bulk(1), *down = make_bulk(2);

	r->them.to_say = span_of(up, BULK - to_server.n);
	r->it.to_say = span_of(down, BULK - to_client.n);
	RUN_UNTIL(r, r->them.heard_n == BULK && r->it.heard_n == BULK);
	expect_heard(&r->it, to_server, span_of(up, BULK - to_server.n));
	expect_heard(&r->them, to_client, span_of(down, BULK - to_client.n));
	/* what was said before it began is not counted as relayed */
	assert_int_equal(r->relay.up.bytes, BULK - to_server.n);
	assert_int_equal(r->relay.down.bytes, BULK - to_client.n);
	RUN_UNTIL(r, r->result == RELAY_WAITS);
	assert_int_equal(r->all.blocks.lent, 0);
	assert_int_equal(r->all.pipes, r->all.spares);
	tear_down(r);
	free(up);
	free(down);
}

static void ten_megabytes_go_both_ways_at_once(void **state)
{
	(void)state;
	check_bulk(false, false);
}

static void so_they_do_with_tls_on_one_side_or_both(void **state)
{
	(void)state;
	check_bulk(true, false);
	check_bulk(false, true);
	check_bulk(true, true);
}

static void plain_bulk_goes_through_a_pipe_and_gives_it_back(void **state)
{
	struct rig *r = set_up(false, false);
	uint8_t *down = make_bulk(3);

	(void)state;
	r->it.to_say = span_of(down, 3000000);
	RUN_UNTIL(r, r->them.heard_n >= 3000000);
	assert_true(r->all.pipes > 0);
	RUN_UNTIL(r, r->all.spares == r->all.pipes);
	tear_down(r);
	free(down);
}

/* ---- back-pressure ------------------------------------------------------------------------- */

static void check_deaf(bool tls)
{
	struct rig *r = set_up(tls, false);
	uint8_t *down = make_bulk(5);
	uint64_t before;

	r->them.deaf = true;
	r->it.to_say = span_of(down, BULK - 17);
	RUN_UNTIL(r, r->begun && r->relay.down.bytes > 0 && r->result == RELAY_WAITS);
	for (before = 0; before != r->relay.down.bytes;) {
		before = r->relay.down.bytes;
		for (int i = 0; i < 5; i++)
			turn(r);
	}
	/* what nobody takes is not read: some buffers are full, and that is all */
	assert_true(r->relay.down.bytes < 3000000);
	assert_true(r->it.to_say.n > 0);
	/* the other way goes on */
	r->them.to_say = SPAN("hello");
	RUN_UNTIL(r, r->it.heard_n == sizeof("from the client: hello") - 1);
	r->them.deaf = false;
	RUN_UNTIL(r, r->them.heard_n == BULK);
	expect_heard(&r->them, SPAN("from the server: "), span_of(down, BULK - 17));
	tear_down(r);
	free(down);
}

static void what_a_client_does_not_take_is_not_read_from_the_server(void **state)
{
	(void)state;
	check_deaf(false);
	check_deaf(true);
}

static void a_pipe_with_bytes_of_one_session_in_it_is_lent_to_no_other(void **state)
{
	struct rig *r = set_up(false, false);
	uint8_t *down = make_bulk(7);

	(void)state;
	r->them.deaf = true;
	r->it.to_say = span_of(down, BULK);
	RUN_UNTIL(r, r->result == RELAY_WAITS && r->relay.down.in_pipe > 0);
	assert_int_equal(r->all.pipes, 1);
	relay_end(&r->relay);
	assert_int_equal(r->all.pipes, 0);
	tear_down(r);
	free(down);
}

/* Room for all of it in the sockets, which only root may have: nothing makes the relay wait. */
static void after_a_megabyte_at_once_others_have_their_turn(void **state)
{
	enum { MUCH = 3 * RELAY_AT_ONCE, ROOM = 32 << 20 };
	struct rig *r = set_up(false, false);
	uint8_t *down = make_bulk(8);
	const int room = ROOM;
	bool allowed = setsockopt(r->client.watch.fd, SOL_SOCKET, SO_SNDBUFFORCE, &room,
				  sizeof(room)) == 0 &&
		       setsockopt(r->it.s.watch.fd, SOL_SOCKET, SO_SNDBUFFORCE, &room,
				  sizeof(room)) == 0;

	(void)state;
	r->them.deaf = true;
	if (allowed) {
		r->it.to_say = span_of(down, MUCH);
		RUN_UNTIL(r, r->relay.down.bytes == MUCH);
		assert_true(r->most >= RELAY_AT_ONCE);
		assert_true(r->most <= RELAY_AT_ONCE + RELAY_PIPE);
	}
	tear_down(r);
	free(down);
	if (!allowed)
		skip();
}

/* ---- ends ---------------------------------------------------------------------------------- */

static void check_ends(bool tls)
{
	struct rig *r = set_up(tls, false);

	r->them.to_say = SPAN("logout");
	r->them.finish = true;
	RUN_UNTIL(r, r->it.last == STREAM_EOF);
	assert_int_equal(r->result, RELAY_WAITS);
	/* the server still has something to say */
	r->it.to_say = SPAN("bye");
	r->it.finish = true;
	RUN_UNTIL(r, r->result == RELAY_OVER);
	RUN_UNTIL(r, r->them.last == STREAM_EOF);
	expect_heard(&r->them, SPAN("from the server: "), SPAN("bye"));
	assert_false(r->relay.server_first || r->relay.reset);
	tear_down(r);
}

static void an_end_is_passed_on_and_the_other_way_goes_on(void **state)
{
	(void)state;
	check_ends(false);
	check_ends(true);
}

static void when_the_server_ends_it_the_client_hears_all_and_has_to_close(void **state)
{
	struct rig *r = set_up(false, false);
	uint8_t *down = make_bulk(6);

	(void)state;
	r->it.to_say = span_of(down, 1000000);
	r->it.finish = true;
	RUN_UNTIL(r, r->result == RELAY_LEAVES && r->them.last == STREAM_EOF);
	expect_heard(&r->them, SPAN("from the server: "), span_of(down, 1000000));
	assert_true(r->relay.server_first);
	r->them.finish = true;
	RUN_UNTIL(r, r->result == RELAY_OVER);
	tear_down(r);
	free(down);
}

static void between_answers_is_when_imap_has_ended_one_and_it_was_passed_on(void **state)
{
	struct rig *r = set_up(false, false);

	(void)state;
	r->relay.imap = true;
	RUN_UNTIL(r, r->them.heard_n == strlen("from the server: "));
	assert_false(relay_between_answers(&r->relay));
	r->it.to_say = SPAN("* 3 EXISTS\r");
	RUN_UNTIL(r, r->them.heard_n == strlen("from the server: * 3 EXISTS\r"));
	assert_false(relay_between_answers(&r->relay));
	r->it.to_say = SPAN("\n");
	RUN_UNTIL(r, relay_between_answers(&r->relay));
	r->it.to_say = SPAN("* 4");
	RUN_UNTIL(r, r->them.heard_n == strlen("from the server: * 3 EXISTS\r\n* 4"));
	assert_false(relay_between_answers(&r->relay));
	r->it.to_say = SPAN(" FETCH (A {4}\r\nab\r\n");
	RUN_UNTIL(
		r,
		r->them.heard_n ==
			strlen("from the server: * 3 EXISTS\r\n* 4 FETCH (A {4}\r\nab\r\n"));
	assert_false(relay_between_answers(&r->relay));
	r->it.to_say = SPAN(")\r\n");
	RUN_UNTIL(r, relay_between_answers(&r->relay));
	r->them.to_say = SPAN("a COMPRESS DEFLATE\r\n");
	RUN_UNTIL(r, r->it.heard_n == strlen("from the client: a COMPRESS DEFLATE\r\n"));
	assert_false(relay_between_answers(&r->relay));
	r->it.to_say = SPAN("a OK\r\n");
	RUN_UNTIL(r, !r->it.to_say.n && r->result == RELAY_WAITS);
	assert_false(relay_between_answers(&r->relay));
	tear_down(r);
}

static void in_pop3_and_behind_what_the_kernel_has_moved_it_is_never_between_answers(
	void **state)
{
	struct rig *r = set_up(false, false);
	uint8_t *much = make_bulk(3);

	(void)state;
	r->it.to_say = SPAN("+OK\r\n");
	RUN_UNTIL(r, r->them.heard_n == strlen("from the server: +OK\r\n"));
	assert_false(relay_between_answers(&r->relay));
	tear_down(r);

	r = set_up(false, false);
	r->relay.imap = true;
	r->it.to_say = SPAN("\r\n");
	RUN_UNTIL(r, relay_between_answers(&r->relay));
	r->them.to_say = span_of(much, 3000000);
	RUN_UNTIL(r, r->it.heard_n == strlen("from the client: ") + 3000000);
	assert_true(r->all.pipes > 0);
	assert_false(relay_between_answers(&r->relay));
	tear_down(r);
	free(much);
}

static void a_client_that_breaks_off_ends_it(void **state)
{
	struct rig *r = set_up(false, false);

	(void)state;
	RUN_UNTIL(r, r->it.heard_n > 0 && r->them.heard_n > 0);
	r->it.to_say = SPAN("are you there?");
	stream_close(&r->them.s);
	r->them.deaf = true;
	RUN_UNTIL(r, r->result == RELAY_OVER || r->it.last == STREAM_EOF);
	r->it.finish = true;
	RUN_UNTIL(r, r->result == RELAY_OVER);
	tear_down(r);
}

static void a_client_that_resets_ends_it_though_the_server_is_silent(void **state)
{
	struct rig *r = set_up(false, false);

	(void)state;
	RUN_UNTIL(r, r->it.heard_n > 0 && r->them.heard_n > 0);
	r->them.deaf = true;
	r->it.to_say = SPAN("are you there?");
	RUN_UNTIL(r, r->it.to_say.n == 0 && r->relay.down.bytes == 14);
	stream_close(&r->them.s); /* with bytes unread: that is a reset */
	RUN_UNTIL(r, r->result == RELAY_OVER);
	assert_true(r->relay.reset);
	tear_down(r);
}

static void what_a_server_said_before_it_broke_is_heard(void **state)
{
	struct rig *r = set_up(false, false);
	uint8_t *down = make_bulk(7);

	(void)state;
	r->it.to_say = span_of(down, 100000);
	r->it.deaf = true;
	RUN_UNTIL(r, r->it.to_say.n == 0 && r->begun);
	stream_close(&r->it.s); /* with bytes unread: that is a reset */
	RUN_UNTIL(r, r->them.last == STREAM_EOF);
	expect_heard(&r->them, SPAN("from the server: "), span_of(down, 100000));
	assert_int_equal(r->result, RELAY_LEAVES);
	/* and what the client says to nobody goes nowhere */
	r->them.to_say = SPAN("hello?");
	r->them.finish = true;
	RUN_UNTIL(r, r->result == RELAY_OVER);
	assert_true(r->relay.server_first);
	tear_down(r);
	free(down);
}

static void one_that_ends_in_the_middle_gives_everything_back(void **state)
{
	for (int tls = 0; tls < 2; tls++) {
		struct rig *r = set_up(tls, false);
		uint8_t *down = make_bulk(8);

		(void)state;
		r->them.deaf = true;
		r->it.to_say = span_of(down, BULK);
		RUN_UNTIL(r, r->begun && r->relay.down.bytes > 100000 &&
				     r->result == RELAY_WAITS);
		assert_true(r->relay.down.block || r->relay.down.in_pipe);
		tear_down(r);
		free(down);
	}
}

static void without_a_pipe_there_are_blocks(void **state)
{
	struct rig *r = set_up(false, false);
	uint8_t *down = make_bulk(9);

	(void)state;
	r->all.pipes = RELAY_PIPES; /* all are lent */
	r->it.to_say = span_of(down, BULK - 17);
	RUN_UNTIL(r, r->them.heard_n == BULK);
	expect_heard(&r->them, SPAN("from the server: "), span_of(down, BULK - 17));
	assert_int_equal(r->all.pipes, RELAY_PIPES);
	r->all.pipes = 0;
	tear_down(r);
	free(down);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ten_megabytes_go_both_ways_at_once),
		cmocka_unit_test(so_they_do_with_tls_on_one_side_or_both),
		cmocka_unit_test(plain_bulk_goes_through_a_pipe_and_gives_it_back),
		cmocka_unit_test(what_a_client_does_not_take_is_not_read_from_the_server),
		cmocka_unit_test(
			a_pipe_with_bytes_of_one_session_in_it_is_lent_to_no_other),
		cmocka_unit_test(after_a_megabyte_at_once_others_have_their_turn),
		cmocka_unit_test(an_end_is_passed_on_and_the_other_way_goes_on),
		cmocka_unit_test(
			when_the_server_ends_it_the_client_hears_all_and_has_to_close),
		cmocka_unit_test(
			between_answers_is_when_imap_has_ended_one_and_it_was_passed_on),
		cmocka_unit_test(
			in_pop3_and_behind_what_the_kernel_has_moved_it_is_never_between_answers),
		cmocka_unit_test(a_client_that_breaks_off_ends_it),
		cmocka_unit_test(a_client_that_resets_ends_it_though_the_server_is_silent),
		cmocka_unit_test(what_a_server_said_before_it_broke_is_heard),
		cmocka_unit_test(one_that_ends_in_the_middle_gives_everything_back),
		cmocka_unit_test(without_a_pipe_there_are_blocks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
