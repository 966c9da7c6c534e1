/*
 * Two streams in one loop, at both ends of a socket pair, plain and inside TLS.
 */
#include "expect.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "io/selfsigned.h"
#include "io/stream.h"

struct end {
	struct stream s;
	const char *name; /* for SNI */
	bool shaken;
	struct span to_say;
	uint8_t *heard;
	size_t heard_n;
	enum stream_got last;
	enum stream_got shook;
};

struct pair {
	struct loop *loop;
	struct timer limit;
	struct tls *tls;
	struct end us, them;
};

#define HEARD_MAX (1u << 22)

static void go_on(void *arg)
{
	struct end *e = arg;
	size_t n;

	if (e->s.ssl && !e->shaken) {
		e->shook = stream_handshake(&e->s);
		if (e->shook != STREAM_GOT)
			return;
		e->shaken = true;
	}
	if (stream_write(&e->s, &e->to_say) == STREAM_BROKEN)
		e->last = STREAM_BROKEN;
	do {
		n = 0;
		e->last = stream_read(&e->s, e->heard + e->heard_n, 5000, &n);
		e->heard_n += n;
	} while (e->last == STREAM_GOT && e->heard_n + 5000 <= HEARD_MAX);
}

static void on_limit(void *arg)
{
	struct pair *p = arg;

	loop_stop(p->loop);
}

static void run(struct pair *p, ms_t how_long)
{
	go_on(&p->us);
	go_on(&p->them);
	timer_set(&p->limit, loop_now_exact(p->loop) + how_long);
	loop_run(p->loop);
}

/* A busy machine may take its time. */
#define RUN_UNTIL(p, cond)                                    \
	for (int tries = 0; tries < 1000 && !(cond); tries++) \
	run(p, 10)

static void add_certificate(struct tls *tls, const char *name)
{
	struct err err;
	BUF(chain, SELFSIGNED_PEM);
	BUF(secret, SELFSIGNED_PEM);

	assert_true(selfsigned_make(name, &chain, &secret, &err));
	assert_true(tls_add(tls, buf_span(&chain), buf_span(&secret), &err));
}

static void open_pair(struct pair *p, const char *tls_name)
{
	struct tls_setup setup = { .ciphers = "" };
	struct tls_peer peer = { .name = tls_name, .also = "" };
	struct err err;
	int fds[2];

	memset(p, 0, sizeof(*p));
	assert_true(loop_open(&p->loop, &err));
	timer_init(&p->limit, p->loop, on_limit, p);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
	assert_true(stream_open(&p->us.s, p->loop, fds[0], go_on, &p->us));
	assert_true(stream_open(&p->them.s, p->loop, fds[1], go_on, &p->them));
	assert_non_null(p->us.heard = malloc(HEARD_MAX));
	assert_non_null(p->them.heard = malloc(HEARD_MAX));
	if (!tls_name)
		return;
	assert_true(tls_open(&p->tls, &setup, &err));
	add_certificate(p->tls, "a.example.test");
	add_certificate(p->tls, "b.example.test");
	assert_true(stream_tls_server(&p->us.s, p->tls));
	assert_true(stream_tls_client(&p->them.s, p->tls, &peer));
}

static void close_pair(struct pair *p)
{
	stream_close(&p->us.s);
	stream_close(&p->them.s);
	free(p->us.heard);
	free(p->them.heard);
	tls_close(&p->tls);
	loop_close(&p->loop);
}

static void check_bulk(const char *tls_name)
{
	enum { BULK = 3000000 };
	uint8_t *bulk = malloc(BULK);
	struct pair p;

	assert_non_null(bulk);
	for (size_t i = 0; i < BULK; i++)
		bulk[i] = (uint8_t)(i * 31 >> 3);
	open_pair(&p, tls_name);
	p.us.to_say = span_of(bulk, BULK);
	p.them.to_say = span_of(bulk + 1000, BULK - 1000);
	RUN_UNTIL(&p, p.them.heard_n == BULK && p.us.heard_n == BULK - 1000);
	assert_true(span_eq(span_of(p.them.heard, p.them.heard_n), span_of(bulk, BULK)));
	assert_true(span_eq(span_of(p.us.heard, p.us.heard_n),
			    span_of(bulk + 1000, BULK - 1000)));
	close_pair(&p);
	free(bulk);
}

static void what_is_written_arrives_in_both_directions(void **state)
{
	(void)state;
	check_bulk(NULL);
}

static void so_it_does_inside_tls(void **state)
{
	(void)state;
	check_bulk("a.example.test");
}

static void the_facts_of_tls_are_words(void **state)
{
	struct tls_facts facts;
	struct pair p;

	(void)state;
	open_pair(&p, "b.example.test");
	RUN_UNTIL(&p, p.us.shaken && p.them.shaken);
	assert_true(p.us.shaken && p.them.shaken);
	facts = stream_tls_facts(&p.us.s);
	assert_string_equal(facts.version, "TLSv1.3");
	assert_true(facts.bits >= 128);
	close_pair(&p);
}

static void the_old_certificates_serve_those_who_began_with_them(void **state)
{
	struct pair p;

	(void)state;
	open_pair(&p, "b.example.test");
	tls_close(&p.tls); /* as a reload does, while the handshake is under way */
	RUN_UNTIL(&p, p.us.shaken && p.them.shaken);
	assert_true(p.us.shaken && p.them.shaken);
	close_pair(&p);
}

static void garbage_instead_of_a_handshake_breaks_the_connection(void **state)
{
	struct pair p;

	(void)state;
	open_pair(&p, NULL);
	p.them.to_say = SPAN("GET / HTTP/1.0\r\n\r\n");
	go_on(&p.them);
	assert_true(tls_open(&p.tls, &(struct tls_setup){ .ciphers = "" },
			     &(struct err){ 0 }));
	add_certificate(p.tls, "a.example.test");
	assert_true(stream_tls_server(&p.us.s, p.tls));
	RUN_UNTIL(&p, p.us.shook == STREAM_BROKEN);
	assert_int_equal(p.us.shook, STREAM_BROKEN);
	close_pair(&p);
}

static void the_end_is_seen_behind_the_last_bytes(void **state)
{
	const char *names[] = { NULL, "a.example.test" };

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct pair p;

		open_pair(&p, names[i]);
		RUN_UNTIL(&p, !names[i] || (p.us.shaken && p.them.shaken));
		p.us.to_say = SPAN("bye");
		go_on(&p.us);
		stream_finish(&p.us.s);
		RUN_UNTIL(&p, p.them.last == STREAM_EOF);
		expect_span("last words", span_of(p.them.heard, p.them.heard_n),
			    SPAN("bye"));
		assert_int_equal(p.them.last, STREAM_EOF);
		close_pair(&p);
	}
}

static void a_peek_takes_nothing(void **state)
{
	uint8_t mem[100];
	struct pair p;
	size_t n;

	(void)state;
	open_pair(&p, NULL);
	p.us.to_say = SPAN("PROXY x\r\nhello");
	go_on(&p.us);
	p.them.s.can_read = true;
	assert_int_equal(stream_peek(&p.them.s, mem, sizeof(mem), &n), STREAM_GOT);
	expect_span("peeked", span_of(mem, n), SPAN("PROXY x\r\nhello"));
	assert_int_equal(stream_peek(&p.them.s, mem, sizeof(mem), &n), STREAM_AGAIN);
	stream_skip(&p.them.s, 0); /* there is not enough yet: nobody looks again at once */
	assert_int_equal(stream_peek(&p.them.s, mem, sizeof(mem), &n), STREAM_AGAIN);
	stream_skip(&p.them.s, 9);
	assert_int_equal(stream_read(&p.them.s, mem, sizeof(mem), &n), STREAM_GOT);
	expect_span("left", span_of(mem, n), SPAN("hello"));
	close_pair(&p);
}

static void on_ready(void *arg)
{
	++*(unsigned *)arg;
}

/* While another role holds its socket, the loop would go on to report what becomes of it. */
static void what_was_shown_calls_nobody_once_it_is_closed(void **state)
{
	struct pair p;
	struct stream s;
	unsigned calls = 0;
	int fds[2], held;

	(void)state;
	open_pair(&p, NULL);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
	assert_true(stream_open(&s, p.loop, fds[0], on_ready, &calls));
	assert_true((held = dup(stream_show(&s))) >= 0);
	stream_close(&s);
	assert_int_equal(write(fds[1], "x", 1), 1);
	close(fds[1]);
	run(&p, 10);
	assert_int_equal(calls, 0);
	close(held);
	close_pair(&p);
}

static void a_connect_to_nobody_fails_with_the_reason(void **state)
{
	struct endpoint to = { addr_v4(127, 0, 0, 1), 1 };
	struct pair p;
	struct end e = { 0 };
	enum stream_got got = STREAM_AGAIN;

	(void)state;
	open_pair(&p, NULL);
	if (stream_connect(&e.s, p.loop, &to, on_limit, &p)) {
		loop_run(p.loop);
		got = stream_connected(&e.s);
		assert_int_equal(got, STREAM_BROKEN);
		stream_close(&e.s);
	}
	assert_int_equal(e.s.error, ECONNREFUSED);
	assert_false(
		stream_connect_unix(&e.s, p.loop, "/nonexistent/socket", on_limit, &p));
	assert_int_equal(e.s.error, ENOENT);
	close_pair(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_written_arrives_in_both_directions),
		cmocka_unit_test(so_it_does_inside_tls),
		cmocka_unit_test(the_facts_of_tls_are_words),
		cmocka_unit_test(the_old_certificates_serve_those_who_began_with_them),
		cmocka_unit_test(garbage_instead_of_a_handshake_breaks_the_connection),
		cmocka_unit_test(the_end_is_seen_behind_the_last_bytes),
		cmocka_unit_test(a_peek_takes_nothing),
		cmocka_unit_test(what_was_shown_calls_nobody_once_it_is_closed),
		cmocka_unit_test(a_connect_to_nobody_fails_with_the_reason),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
