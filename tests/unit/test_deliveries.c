/* edge/delivery: jobs from a store, against next hops that run in a thread. */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/list.h"
#include "edge/delivery.h"

/* A next hop that answers each line, and the end of a message, with what it was given. */
struct host {
	int fd;
	pthread_t thread;
	char target[128];
	const char *greeting; /* NULL: says nothing */
	const char *dot;
	size_t body_n; /* what came between 354 and the dot, dots included */
	char body[1 << 20];
	unsigned talks;
};

static const char *reply_to(const struct host *h, const char *line)
{
	static const struct {
		const char *verb, *reply;
	} replies[] = {
		{ "LHLO", "250-hop\r\n250-PIPELINING\r\n250 SIZE\r\n" },
		{ "EHLO", "250-hop\r\n250 SIZE\r\n" },
		{ "RCPT TO:<bad", "550 5.1.1 no\r\n" },
		{ "DATA", "354 go\r\n" },
		{ ".", NULL },
	};

	for (size_t i = 0; i < COUNT_OF(replies); i++)
		if (strncmp(line, replies[i].verb, strlen(replies[i].verb)) == 0)
			return replies[i].reply ? replies[i].reply : h->dot;
	return "250 ok\r\n";
}

static void say(FILE *f, const char *text)
{
	fputs(text, f);
	fflush(f);
}

static void talk(struct host *h, FILE *in, FILE *f)
{
	bool in_body = false;
	char line[4096];

	say(f, h->greeting);
	while (fgets(line, sizeof(line), in)) {
		bool is_dot = strcmp(line, ".\r\n") == 0;

		if (in_body && !is_dot) {
			memcpy(h->body + h->body_n, line, strlen(line));
			h->body_n += strlen(line);
			continue;
		}
		in_body = strcmp(line, "DATA\r\n") == 0;
		say(f, reply_to(h, line));
		if (strcmp(line, "QUIT\r\n") == 0)
			return;
	}
}

static void *serve(void *arg)
{
	struct host *h = arg;
	int fd;

	while ((fd = accept(h->fd, NULL, NULL)) >= 0) {
		FILE *in = fdopen(fd, "r"), *out = fdopen(dup(fd), "w");
		char c;

		h->talks++;
		if (h->greeting)
			talk(h, in, out);
		else
			while (read(fd, &c, 1) > 0)
				;
		fclose(in);
		fclose(out);
	}
	return NULL;
}

static void open_hop(struct host *h, bool in_unix)
{
	struct sockaddr_in in = { .sin_family = AF_INET,
				  .sin_addr = { htonl(INADDR_LOOPBACK) } };
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	socklen_t n = sizeof(in);

	h->fd = socket(in_unix ? AF_UNIX : AF_INET, SOCK_STREAM, 0);
	if (in_unix) {
		snprintf(un.sun_path, sizeof(un.sun_path), "/tmp/holdfast-hop-%d",
			 getpid());
		snprintf(h->target, sizeof(h->target), "%s", un.sun_path);
		assert_int_equal(bind(h->fd, (struct sockaddr *)&un, sizeof(un)), 0);
	} else {
		assert_int_equal(bind(h->fd, (struct sockaddr *)&in, n), 0);
		assert_int_equal(getsockname(h->fd, (struct sockaddr *)&in, &n), 0);
		snprintf(h->target, sizeof(h->target), "localhost:%d", ntohs(in.sin_port));
	}
	assert_int_equal(listen(h->fd, 10), 0);
	assert_int_equal(pthread_create(&h->thread, NULL, serve, h), 0);
}

static void close_hop(struct host *h)
{
	shutdown(h->fd, SHUT_RDWR);
	pthread_join(h->thread, NULL);
	close(h->fd);
	if (h->target[0] == '/')
		unlink(h->target);
}

struct stage {
	struct loop *loop;
	struct deliveries *all;
	struct pulse *pulse;
	struct conf *conf;
	struct link *edge, *store;
	unsigned sent, ended;
};

static void on_sent(void *arg)
{
	((struct stage *)arg)->sent++;
}

static void on_ended(void *arg)
{
	struct stage *s = arg;

	s->ended++;
	if (deliveries_count(s->all) == 0)
		loop_stop(s->loop);
}

static void open_stage(struct stage *s)
{
	struct deliveries_setup setup = { .on_sent = on_sent,
					  .on_ended = on_ended,
					  .arg = s };
	struct err err;
	int fds[2];

	*s = (struct stage){ .conf = calloc(1, sizeof(struct conf)) };
	assert_non_null(s->conf);
	s->conf->set.connect_timeout = 500;
	s->conf->set.reply_timeout = 500;
	s->conf->set.deliveries = 3;
	assert_true(loop_open(&s->loop, &err));
	assert_true(pulse_private(&s->pulse, &err));
	assert_true(link_pair(fds, &err));
	assert_true(link_open(&s->edge, fds[0], ROLE_EDGE, ROLE_STORE, 0, &err));
	assert_true(link_open(&s->store, fds[1], ROLE_STORE, ROLE_EDGE, 0, &err));
	setup.loop = s->loop;
	setup.conf = s->conf;
	setup.pulse = s->pulse;
	assert_true(deliveries_open(&s->all, &setup, &err));
	deliveries_link(s->all, s->edge);
}

static void close_stage(struct stage *s)
{
	deliveries_close(&s->all);
	link_close(&s->edge);
	link_close(&s->store);
	loop_close(&s->loop);
	pulse_close(&s->pulse);
	free(s->conf);
}

static void hand_over(struct stage *s)
{
	struct frame f;
	struct err err;

	assert_int_equal(link_recv(s->edge, &f, &err), LINK_GOT);
	assert_true(deliveries_take(s->all, &f));
	assert_int_equal(f.fds[0], -1);
}

static void deliver(struct stage *s, uint64_t job, enum hop hop, const char *target,
		    struct span body, int fd, size_t size)
{
	uint8_t mem[200];
	struct buf rcpts;
	struct msg_DELIVER m = { .job = job,
				 .hop = (uint8_t)hop,
				 .size = size,
				 .target = span_str(target),
				 .helo = SPAN("me.example"),
				 .sender = SPAN("s@x.example"),
				 .body = body };

	buf_init(&rcpts, mem, sizeof(mem));
	list_put(&rcpts, SPAN("good@x"));
	list_put(&rcpts, SPAN("bad@x"));
	m.rcpts = buf_span(&rcpts);
	msg_DELIVER_pack(&m, link_begin(s->store));
	assert_true(link_send(s->store, &fd, fd >= 0));
	hand_over(s);
}

/* The answer that came first: job, host and both answers, as text. */
static void assert_delivered(struct stage *s, uint64_t job, const char *want)
{
	struct msg_DELIVERED m;
	struct frame f;
	struct err err;
	uint8_t mem[1000];
	struct buf got;
	struct span answer;

	assert_int_equal(link_recv(s->store, &f, &err), LINK_GOT);
	assert_true(msg_DELIVERED_unpack(f.bytes, &m));
	assert_int_equal(m.job, job);
	buf_init(&got, mem, sizeof(mem));
	while (list_next(&m.answers, &answer)) {
		buf_put(&got, answer);
		buf_byte(&got, '|');
	}
	if (!span_eq(buf_span(&got), span_str(want)))
		fail_msg("%.*s", SPAN_ARG(buf_span(&got)));
}

static void an_inline_message_goes_to_a_unix_socket(void **state)
{
	static struct host h = { .greeting = "220 hi\r\n", .dot = "250 kept\r\n" };
	struct stage s;

	(void)state;
	open_stage(&s);
	open_hop(&h, true);
	deliver(&s, 7, HOP_LMTP_UNIX, h.target, SPAN("a\r\n.b\r\n"), -1, 7);
	loop_run(s.loop);
	assert_delivered(&s, 7, "250 kept|550 5.1.1 no|");
	close_hop(&h);
	assert_int_equal(h.body_n, 8);
	assert_memory_equal(h.body, "a\r\n..b\r\n", 8);
	assert_int_equal(s.sent, 1);
	assert_int_equal(s.ended, 1);
	close_stage(&s);
}

/* A file of n bytes: lines of 99 and CRLF. */
static int make_file(size_t n)
{
	static char text[300000];
	int fd = memfd_create("body", MFD_CLOEXEC);

	memset(text, 'x', sizeof(text));
	for (size_t i = 98; i + 1 < n; i += 100)
		memcpy(text + i, "\r\n", 2);
	assert_int_equal(write(fd, text, n), n);
	return fd;
}

static void a_file_goes_to_a_host(void **state)
{
	static struct host h = { .greeting = "220 hi\r\n", .dot = "250 kept\r\n" };
	struct stage s;
	int fd = make_file(300000);

	(void)state;
	open_stage(&s);
	open_hop(&h, false);
	deliver(&s, 8, HOP_SMTP, h.target, SPAN_NONE, fd, 300000);
	close(fd);
	loop_run(s.loop);
	assert_delivered(&s, 8, "250 kept|550 5.1.1 no|");
	close_hop(&h);
	assert_int_equal(h.body_n, 300000);
	close_stage(&s);
}

static void a_file_that_is_too_short_is_not_delivered(void **state)
{
	static struct host h = { .greeting = "220 hi\r\n", .dot = "250 kept\r\n" };
	struct stage s;
	int fd = make_file(1000);

	(void)state;
	open_stage(&s);
	open_hop(&h, false);
	deliver(&s, 8, HOP_SMTP, h.target, SPAN_NONE, fd, 1001);
	close(fd);
	loop_run(s.loop);
	assert_delivered(&s, 8,
			 "000 the message was not sent: it cannot be read|550 5.1.1 no|");
	close_hop(&h);
	close_stage(&s);
}

static void a_probe_is_answered(void **state)
{
	static struct host h = { .greeting = "220 hi\r\n" };
	struct msg_PROBE m = { .job = 9, .hop = HOP_LMTP, .helo = SPAN("me.example") };
	struct stage s;

	(void)state;
	open_stage(&s);
	open_hop(&h, false);
	m.target = span_str(h.target);
	m.address = SPAN("bad@x");
	msg_PROBE_pack(&m, link_begin(s.store));
	assert_true(link_send(s.store, NULL, 0));
	hand_over(&s);
	loop_run(s.loop);
	assert_delivered(&s, 9, "550 5.1.1 no|");
	close_hop(&h);
	close_stage(&s);
}

static void a_hop_that_is_not_there_is_no_answer(void **state)
{
	struct stage s;

	(void)state;
	open_stage(&s);
	deliver(&s, 1, HOP_LMTP, "127.0.0.1:1", SPAN("x"), -1, 1);
	deliver(&s, 2, HOP_LMTP, "localhost:1", SPAN("x"), -1, 1);
	loop_run(s.loop);
	assert_delivered(&s, 1,
			 "000 127.0.0.1:1 cannot be connected to: Connection refused|"
			 "000 127.0.0.1:1 cannot be connected to: Connection refused|");
	assert_int_equal(deliveries_count(s.all), 0);
	deliver(&s, 3, HOP_LMTP_UNIX, "/nowhere", SPAN("x"), -1, 1);
	deliver(&s, 4, HOP_SMTP, "nowhere", SPAN("x"), -1, 1);
	assert_int_equal(s.ended, 4);
	close_stage(&s);
}

static void a_hop_that_hangs_is_given_up(void **state)
{
	static struct host h = { 0 };
	struct stage s;

	(void)state;
	open_stage(&s);
	open_hop(&h, false);
	deliver(&s, 1, HOP_LMTP, h.target, SPAN("x"), -1, 1);
	loop_run(s.loop);
	assert_delivered(&s, 1,
			 "000 the greeting was not answered in time|"
			 "000 the greeting was not answered in time|");
	close_hop(&h);
	close_stage(&s);
}

static void more_than_the_limit_are_turned_away(void **state)
{
	static struct host h = { 0 };
	struct stage s;
	char want[400];

	(void)state;
	open_stage(&s);
	open_hop(&h, false);
	for (uint64_t i = 1; i <= 4; i++)
		deliver(&s, i, HOP_LMTP, h.target, SPAN("x"), -1, 1);
	snprintf(want, sizeof(want),
		 "000 %s was not tried: too many deliveries are under way|"
		 "000 %s was not tried: too many deliveries are under way|",
		 h.target, h.target);
	assert_delivered(&s, 4, want);
	assert_int_equal(deliveries_count(s.all), 3);
	deliveries_close(&s.all);
	close_hop(&h);
	close_stage(&s);
}

static void without_its_store_a_job_is_broken_off(void **state)
{
	static struct host h = { 0 };
	struct stage s;

	(void)state;
	open_stage(&s);
	open_hop(&h, false);
	deliver(&s, 1, HOP_LMTP, h.target, SPAN("x"), -1, 1);
	deliveries_link(s.all, NULL);
	assert_int_equal(deliveries_count(s.all), 0);
	assert_int_equal(s.sent, 0);
	close_hop(&h);
	close_stage(&s);
}

static void what_is_not_a_good_job_is_refused(void **state)
{
	struct msg_DELIVER m = { .hop = HOP_MAILDIR, .rcpts = SPAN("\1\0x") };
	struct stage s;
	struct frame f;
	struct err err;

	(void)state;
	open_stage(&s);
	msg_DELIVER_pack(&m, link_begin(s.store));
	assert_true(link_send(s.store, NULL, 0));
	m.hop = HOP_SMTP;
	m.rcpts = SPAN_NONE;
	msg_DELIVER_pack(&m, link_begin(s.store));
	assert_true(link_send(s.store, NULL, 0));
	for (int i = 0; i < 2; i++) {
		assert_int_equal(link_recv(s.edge, &f, &err), LINK_GOT);
		assert_false(deliveries_take(s.all, &f));
	}
	close_stage(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_inline_message_goes_to_a_unix_socket),
		cmocka_unit_test(a_file_goes_to_a_host),
		cmocka_unit_test(a_file_that_is_too_short_is_not_delivered),
		cmocka_unit_test(a_probe_is_answered),
		cmocka_unit_test(a_hop_that_is_not_there_is_no_answer),
		cmocka_unit_test(a_hop_that_hangs_is_given_up),
		cmocka_unit_test(more_than_the_limit_are_turned_away),
		cmocka_unit_test(without_its_store_a_job_is_broken_off),
		cmocka_unit_test(what_is_not_a_good_job_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
