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
#include <openssl/ssl.h>

#include "base/list.h"
#include "edge/delivery.h"
#include "edge/job.h"
#include "io/tls.h"

/* A next hop that answers each line, and the end of a message, with what it was given. */
struct next_hop {
	int fd;
	pthread_t thread;
	char target[128];
	const char *greeting; /* NULL: says nothing */
	const char *dot;
	size_t body_n; /* what came between 354 and the dot, dots included */
	char body[1 << 20];
	unsigned talks;
	const char *hello; /* the answer to EHLO; NULL: the usual */
	unsigned mails_max; /* over one connection; then it hangs up at MAIL. 0: any number */
	unsigned talks_max; /* then nobody can connect any more. 0: any number */
	size_t heard_n;
	char heard[4096]; /* all commands */
};

static const char *reply_to(const struct next_hop *h, const char *line)
{
	static const struct {
		const char *verb, *reply;
	} replies[] = {
		{ "LHLO", "250-hop\r\n250-PIPELINING\r\n250 SIZE\r\n" },
		{ "EHLO", "250-hop\r\n250 SIZE\r\n" },
		{ "RCPT TO:<bad", "550 5.1.1 no\r\n" },
		{ "DATA", "354 go\r\n" },
		{ "STARTTLS", "220 go\r\n" },
		{ "AUTH PLAIN AHUAcHc=", "235 in\r\n" },
		{ "AUTH", "535 no\r\n" },
		{ ".", NULL },
	};

	if (h->hello && strncmp(line, "EHLO", 4) == 0)
		return h->hello;
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

static void note(struct next_hop *h, const char *line)
{
	size_t n = strlen(line);

	if (h->heard_n + n < sizeof(h->heard)) {
		memcpy(h->heard + h->heard_n, line, n);
		h->heard_n += n;
	}
}

static void talk(struct next_hop *h, FILE *in, FILE *f)
{
	bool in_body = false;
	unsigned mails = 0;
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
		note(h, line);
		if (strncmp(line, "MAIL", 4) == 0 && h->mails_max && ++mails > h->mails_max)
			return;
		say(f, reply_to(h, line));
		if (strcmp(line, "QUIT\r\n") == 0 || strcmp(line, "STARTTLS\r\n") == 0)
			return;
	}
}

static void *serve(void *arg)
{
	struct next_hop *h = arg;
	int fd;

	while ((fd = accept(h->fd, NULL, NULL)) >= 0) {
		FILE *in = fdopen(fd, "r"), *out = fdopen(dup(fd), "w");
		char c;

		if (++h->talks == h->talks_max)
			shutdown(h->fd, SHUT_RDWR);
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

static void open_hop(struct next_hop *h, bool in_unix)
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

/* At the port of that one, of another address. */
static void open_hop_beside(struct next_hop *h, const struct next_hop *other)
{
	struct sockaddr_in in;
	socklen_t n = sizeof(in);

	assert_int_equal(getsockname(other->fd, (struct sockaddr *)&in, &n), 0);
	in.sin_addr.s_addr = htonl(INADDR_LOOPBACK + 1);
	h->fd = socket(AF_INET, SOCK_STREAM, 0);
	assert_int_equal(bind(h->fd, (struct sockaddr *)&in, n), 0);
	assert_int_equal(listen(h->fd, 10), 0);
	assert_int_equal(pthread_create(&h->thread, NULL, serve, h), 0);
}

static void close_hop(struct next_hop *h)
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
	const char *password; /* for the login "relay"; NULL: nobody knows it */
	struct pulse *pulse;
	struct conf *conf;
	struct link *edge, *store;
	unsigned sent, ended;
	ms_t shares[3]; /* how long the first, second, ... address may be connected to */
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

static void on_round(void *arg)
{
	struct stage *s = arg;
	const struct job *j = s->all->first;
	ms_t *share;

	if (!j || j->state != JOB_CONNECTS || !j->tried || j->tried > COUNT_OF(s->shares))
		return;
	share = &s->shares[j->tried - 1];
	if (!*share)
		*share = j->timer.at - loop_now(s->loop);
}

static bool on_ask(void *arg, uint64_t ask, struct span name)
{
	struct stage *s = arg;
	bool known = s->password && span_eq(name, SPAN("relay"));

	deliveries_credential(s->all, ask + 1, true, SPAN("x"), SPAN("for another"));
	deliveries_credential(s->all, ask, known, SPAN("u"),
			      known ? span_str(s->password) : SPAN_NONE);
	return true;
}

static void open_stage_with(struct stage *s, const char *name_servers, uint16_t mx_port)
{
	struct deliveries_setup setup = { .on_sent = on_sent,
					  .on_ended = on_ended,
					  .ask_credential = on_ask,
					  .name_servers = name_servers,
					  .mx_port = mx_port,
					  .arg = s };
	struct err err;
	int fds[2];

	*s = (struct stage){ .conf = calloc(1, sizeof(struct conf)) };
	assert_non_null(s->conf);
	s->conf->set.connect_timeout = MS_MINUTE;
	s->conf->set.reply_timeout = MS_MINUTE;
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

static void open_stage(struct stage *s)
{
	open_stage_with(s, NULL, 0);
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

/* How else than plainly. */
struct manner {
	enum hop_tls tls;
	const char *credential;
};

static void deliver_so(struct stage *s, uint64_t job, enum hop hop, const char *target,
		       struct span body, int fd, size_t size, const struct manner *how)
{
	uint8_t mem[200];
	struct buf rcpts;
	struct msg_DELIVER m = { .job = job,
				 .hop = (uint8_t)hop,
				 .size = size,
				 .target = span_str(target),
				 .helo = SPAN("me.example"),
				 .sender = SPAN("s@x.example"),
				 .tls = (uint8_t)how->tls,
				 .credential = span_str(how->credential),
				 .body = body };

	buf_init(&rcpts, mem, sizeof(mem));
	list_put(&rcpts, SPAN("good@x"));
	list_put(&rcpts, SPAN("bad@x"));
	m.rcpts = buf_span(&rcpts);
	msg_DELIVER_pack(&m, link_begin(s->store));
	assert_true(link_send(s->store, &fd, fd >= 0));
	hand_over(s);
}

static void deliver(struct stage *s, uint64_t job, enum hop hop, const char *target,
		    struct span body, int fd, size_t size)
{
	const struct manner plainly = { .credential = "" };

	deliver_so(s, job, hop, target, body, fd, size, &plainly);
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
	static struct next_hop h = { .greeting = "220 hi\r\n", .dot = "250 kept\r\n" };
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
	static struct next_hop h = { .greeting = "220 hi\r\n", .dot = "250 kept\r\n" };
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
	static struct next_hop h = { .greeting = "220 hi\r\n", .dot = "250 kept\r\n" };
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

static void probe(struct stage *s, const char *target)
{
	struct msg_PROBE m = { .job = 9,
			       .hop = HOP_LMTP,
			       .helo = SPAN("me.example"),
			       .target = span_str(target),
			       .address = SPAN("bad@x") };

	msg_PROBE_pack(&m, link_begin(s->store));
	assert_true(link_send(s->store, NULL, 0));
	hand_over(s);
	loop_run(s->loop);
}

static void a_probe_is_answered(void **state)
{
	static struct next_hop h = { .greeting = "220 hi\r\n" };
	struct stage s;

	(void)state;
	open_stage(&s);
	open_hop(&h, false);
	probe(&s, h.target);
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
	static struct next_hop h = { 0 };
	struct stage s;

	(void)state;
	open_stage(&s);
	s.conf->set.reply_timeout = 500;
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
	static struct next_hop h = { 0 };
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
	static struct next_hop h = { 0 };
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

static void two_messages_go_over_one_connection(void **state)
{
	static struct next_hop h = { .greeting = "220 hi\r\n", .dot = "250 kept\r\n" };
	struct stage s;

	(void)state;
	open_stage(&s);
	s.conf->set.reuse = 60 * MS_SECOND;
	open_hop(&h, false);
	for (uint64_t i = 1; i <= 3; i++) {
		deliver(&s, i, HOP_SMTP, h.target, SPAN("x\r\n"), -1, 3);
		loop_run(s.loop);
		assert_delivered(&s, i, "250 kept|550 5.1.1 no|");
	}
	deliveries_close(&s.all);
	close_hop(&h);
	assert_int_equal(h.talks, 1);
	assert_int_equal(h.body_n, 9);
	close_stage(&s);
}

static void a_kept_connection_that_has_gone_costs_nothing(void **state)
{
	static struct next_hop h = { .greeting = "220 hi\r\n",
				     .dot = "250 kept\r\n",
				     .mails_max = 1 };
	struct stage s;

	(void)state;
	open_stage(&s);
	s.conf->set.reuse = 60 * MS_SECOND;
	open_hop(&h, false);
	for (uint64_t i = 1; i <= 3; i++) {
		deliver(&s, i, HOP_SMTP, h.target, SPAN("x\r\n"), -1, 3);
		loop_run(s.loop);
		assert_delivered(&s, i, "250 kept|550 5.1.1 no|");
	}
	deliveries_close(&s.all);
	close_hop(&h);
	assert_int_equal(h.talks, 3);
	assert_int_equal(h.body_n, 9); /* each once */
	close_stage(&s);
}

static void a_connection_serves_those_only_who_would_make_the_same(void **state)
{
	static struct next_hop h = { .greeting = "220 hi\r\n", .dot = "250 kept\r\n" };
	const struct manner with_tls = { .tls = HOP_TLS_MAY, .credential = "" };
	struct stage s;

	(void)state;
	open_stage(&s);
	s.conf->set.reuse = 100;
	open_hop(&h, false);
	deliver(&s, 1, HOP_SMTP, h.target, SPAN("x\r\n"), -1, 3);
	loop_run(s.loop);
	assert_delivered(&s, 1, "250 kept|550 5.1.1 no|");
	/* the host serves one at a time: the first connection must end first */
	deliver_so(&s, 2, HOP_SMTP, h.target, SPAN("x\r\n"), -1, 3, &with_tls);
	loop_run(s.loop);
	assert_delivered(&s, 2, "250 kept|550 5.1.1 no|");
	deliveries_close(&s.all);
	close_hop(&h);
	assert_int_equal(h.talks, 2);
	close_stage(&s);
}

static void where_tls_fails_and_need_not_be_mail_goes_in_clear(void **state)
{
	static struct next_hop h = { .greeting = "220 hi\r\n",
				     .dot = "250 kept\r\n",
				     .hello = "250-hop\r\n250 STARTTLS\r\n" };
	const struct manner may = { .tls = HOP_TLS_MAY, .credential = "" };
	const struct manner must = { .tls = HOP_TLS_MUST, .credential = "" };
	struct msg_DELIVERED m;
	struct stage s;
	struct frame f;
	struct err err;

	(void)state;
	open_stage(&s);
	open_hop(&h, false);
	deliver_so(&s, 1, HOP_SMTP, h.target, SPAN("x\r\n"), -1, 3, &may);
	loop_run(s.loop);
	assert_delivered(&s, 1, "250 kept|550 5.1.1 no|");
	deliver_so(&s, 2, HOP_SMTP, h.target, SPAN("x\r\n"), -1, 3, &must);
	loop_run(s.loop);
	assert_int_equal(link_recv(s.store, &f, &err), LINK_GOT);
	assert_true(msg_DELIVERED_unpack(f.bytes, &m));
	assert_true(span_starts(span_skip(m.answers, 2),
				SPAN("000 the TLS handshake failed")));
	assert_int_equal(m.tls.n, 0);
	close_hop(&h);
	assert_int_equal(h.talks, 3);
	close_stage(&s);
}

static int oldest_tls(const struct stage *s)
{
	const struct tls_peer peer = { .name = "", .also = "" };
	struct ssl_st *ssl = tls_client(deliveries_tls(s->all), link_fd(s->edge), &peer);
	int version;

	assert_non_null(ssl);
	version = (int)SSL_get_min_proto_version(ssl);
	tls_release(&ssl);
	return version;
}

static void a_reload_says_which_tls_is_spoken_with_others(void **state)
{
	struct stage s;

	(void)state;
	open_stage(&s);
	assert_int_equal(oldest_tls(&s), TLS1_2_VERSION);
	s.conf->set.tls_min = TLS_MIN_13;
	deliveries_reconf(s.all, s.conf);
	assert_int_equal(oldest_tls(&s), TLS1_3_VERSION);
	s.conf->set.tls_min = TLS_MIN_12;
	deliveries_reconf(s.all, s.conf);
	assert_int_equal(oldest_tls(&s), TLS1_2_VERSION);
	close_stage(&s);
}

static void a_login_is_used_where_it_is_wanted(void **state)
{
	static struct next_hop h = { .greeting = "220 hi\r\n",
				     .dot = "250 kept\r\n",
				     .hello = "250-hop\r\n250 AUTH PLAIN\r\n" };
	const struct manner relay = { .credential = "relay" },
			    other = { .credential = "no" };
	struct stage s;

	(void)state;
	open_stage(&s);
	open_hop(&h, false);
	s.password = "pw";
	deliver_so(&s, 1, HOP_SMTP, h.target, SPAN("x\r\n"), -1, 3, &relay);
	loop_run(s.loop);
	assert_delivered(&s, 1, "250 kept|550 5.1.1 no|");
	s.password = "wrong";
	deliver_so(&s, 2, HOP_SMTP, h.target, SPAN("x\r\n"), -1, 3, &relay);
	loop_run(s.loop);
	assert_delivered(&s, 2,
			 "000 AUTH was answered with 535 no|"
			 "000 AUTH was answered with 535 no|");
	deliver_so(&s, 3, HOP_SMTP, "localhost:1", SPAN("x\r\n"), -1, 3, &other);
	assert_delivered(
		&s, 3,
		"000 localhost:1 was not tried: its login is not known (holdfast relay passwd)|"
		"000 localhost:1 was not tried: its login is not known (holdfast relay passwd)|");
	close_hop(&h);
	assert_non_null(strstr(h.heard, "AUTH PLAIN AHUAcHc=\r\n"));
	close_stage(&s);
}

/* Say things to the store, who does not listen, until no more fits. */
static void stuff_link(struct stage *s)
{
	static uint8_t mem[40000];
	struct msg_DELIVERED m = { .job = 0 };
	struct buf list;

	buf_init(&list, mem, sizeof(mem));
	while (buf_room(&list) > 1002)
		list_put(&list, span_of(s->conf, 1000));
	m.answers = buf_span(&list);
	while (!link_full(s->edge)) {
		msg_DELIVERED_pack(&m, link_begin(s->edge));
		assert_true(link_send(s->edge, NULL, 0));
	}
}

static void a_result_waits_until_the_store_can_take_it(void **state)
{
	struct msg_DELIVERED m = { 0 };
	struct stage s;
	struct frame f;
	struct err err;

	(void)state;
	open_stage(&s);
	stuff_link(&s);
	deliver(&s, 1, HOP_SMTP, "nowhere", SPAN("x"), -1, 1);
	assert_int_equal(deliveries_count(s.all), 1);
	deliveries_go_on(s.all);
	assert_int_equal(deliveries_count(s.all), 1);
	while (m.job != 1) {
		while (link_recv(s.store, &f, &err) == LINK_GOT && m.job != 1)
			assert_true(msg_DELIVERED_unpack(f.bytes, &m));
		assert_true(link_flush(s.edge));
		deliveries_go_on(s.all);
	}
	assert_int_equal(deliveries_count(s.all), 0);
	assert_int_equal(list_count(m.answers), 2);
	close_stage(&s);
}

static void a_result_that_nobody_waits_for_any_more_is_dropped(void **state)
{
	struct stage s;

	(void)state;
	open_stage(&s);
	stuff_link(&s);
	deliver(&s, 1, HOP_SMTP, "nowhere", SPAN("x"), -1, 1);
	assert_int_equal(deliveries_count(s.all), 1);
	deliveries_link(s.all, NULL);
	assert_int_equal(deliveries_count(s.all), 0);
	close_stage(&s);
}

/* ---- domains ----------------------------------------------------------------------------- */

/* A name server that knows what is here. */
static const struct zone_row {
	const char *name;
	int type, code;
	const char *answer; /* the bytes of one record */
	size_t n;
} zone[] = {
#define ROW(name, type, text)                         \
	{                                             \
		name, type, 0, text, sizeof(text) - 1 \
	}
	ROW("plain.test", 15, "\0\x0a\2mx\4host\4test\0"),
	ROW("null.test", 15, "\0\0\0"),
	ROW("ours.test", 15, "\0\x0a\2me\7example\0"),
	ROW("deadfirst.test", 15, "\0\x0a\4dead\4host\4test\0"),
	ROW("deadfirst.test", 15, "\0\x14\2mx\4host\4test\0"),
	ROW("twice.test", 1, "\x7f\0\0\1"),
	ROW("twice.test", 1, "\x7f\0\0\2"),
	ROW("lost.test", 15, "\0\x0a\7nowhere\4host\4test\0"),
	ROW("own.test", 1, "\x7f\0\0\1"),
	ROW("mx.host.test", 1, "\x7f\0\0\1"),
	ROW("dead.host.test", 1, "\x7f\0\0\2"),
	ROW("plain.smart.test", 1, "\x7f\0\0\1"),
	ROW("broken.smart.test", 1, "\x7f\0\0\1"),
	ROW("useless.smart.test", 1, "\x7f\0\0\1"),
	ROW("useless.smart.test", 52, "\1\1\1xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"),
#undef ROW
	{ "gone.test", 15, 3, "", 0 },
	{ "broken.test", 15, 2, "", 0 },
	{ "broken.smart.test", 52, 2, "", 0 },
};

struct name_server {
	int fd;
	pthread_t thread;
	char at[64];
};

static void put_answer(const struct zone_row *row, struct buf *out)
{
	buf_put(out, span_of("\xc0\x0c\0", 3));
	buf_byte(out, (uint8_t)row->type);
	buf_put(out, span_of("\0\1\0\0\0\x3c\0", 7));
	buf_byte(out, (uint8_t)row->n);
	buf_put(out, span_of(row->answer, row->n));
}

static void answer_question(struct span q, struct buf *out)
{
	char name[256] = "", *host = name;
	size_t at = 12, n = 0, found = 0;
	int type, code = 0;

	while (at < q.n && q.p[at]) {
		if (n)
			name[n++] = '.';
		memcpy(name + n, q.p + at + 1, q.p[at]);
		n += q.p[at];
		at += 1u + q.p[at];
	}
	type = q.p[at + 2];
	if (type == 52) /* whatever the port is */
		host = strstr(name, "._tcp.") + 6;
	buf_put(out, span_head(q, 2));
	buf_put(out, span_of("\x81\x80\0\1\0\0\0\0\0\0", 10));
	buf_put(out, span_of(q.p + 12, at + 5 - 12));
	for (size_t i = 0; i < COUNT_OF(zone); i++) {
		if (strcmp(zone[i].name, host) != 0 || zone[i].type != type)
			continue;
		code = zone[i].code;
		if (!code) {
			put_answer(&zone[i], out);
			found++;
		}
	}
	out->mem[3] = (uint8_t)(0xa0 | code); /* all of it is authentic */
	out->mem[7] = (uint8_t)found;
}

static void *serve_names(void *arg)
{
	struct name_server *ns = arg;
	struct sockaddr_in from;
	uint8_t in[512], mem[1024];

	for (;;) {
		socklen_t from_n = sizeof(from);
		ssize_t n = recvfrom(ns->fd, in, sizeof(in), 0, (struct sockaddr *)&from,
				     &from_n);
		struct buf out;

		if (n < 17)
			return NULL;
		buf_init(&out, mem, sizeof(mem));
		answer_question(span_of(in, (size_t)n), &out);
		sendto(ns->fd, mem, out.len, 0, (struct sockaddr *)&from, from_n);
	}
}

static void open_names(struct name_server *ns)
{
	struct sockaddr_in in = { .sin_family = AF_INET,
				  .sin_addr = { htonl(INADDR_LOOPBACK) } };
	socklen_t n = sizeof(in);

	ns->fd = socket(AF_INET, SOCK_DGRAM, 0);
	assert_int_equal(bind(ns->fd, (struct sockaddr *)&in, n), 0);
	assert_int_equal(getsockname(ns->fd, (struct sockaddr *)&in, &n), 0);
	snprintf(ns->at, sizeof(ns->at), "127.0.0.1:%d", ntohs(in.sin_port));
	assert_int_equal(pthread_create(&ns->thread, NULL, serve_names, ns), 0);
}

static void close_names(struct name_server *ns)
{
	shutdown(ns->fd, SHUT_RDWR);
	pthread_join(ns->thread, NULL);
	close(ns->fd);
}

static void mail_for_a_domain_goes_where_the_dns_says(void **state)
{
	static const struct {
		const char *domain, *want;
	} rows[] = {
		{ "plain.test", "250 kept|550 5.1.1 no|" },
		{ "own.test", "250 kept|550 5.1.1 no|" },
		{ "deadfirst.test", "250 kept|550 5.1.1 no|" },
		{ "[127.0.0.1]", "250 kept|550 5.1.1 no|" },
		{ "null.test", "556 5.1.10 null.test takes no mail (null MX)|"
			       "556 5.1.10 null.test takes no mail (null MX)|" },
		{ "gone.test", "550 5.1.2 gone.test does not exist|"
			       "550 5.1.2 gone.test does not exist|" },
		{ "broken.test", "000 4.4.3 broken.test cannot be looked up now|"
				 "000 4.4.3 broken.test cannot be looked up now|" },
		{ "ours.test", "554 5.4.6 mail for ours.test comes back to us|"
			       "554 5.4.6 mail for ours.test comes back to us|" },
		{ "lost.test", "550 5.4.4 nowhere.host.test has no address|"
			       "550 5.4.4 nowhere.host.test has no address|" },
		{ "[x]",
		  "550 5.1.2 [x] is not an address|550 5.1.2 [x] is not an address|" },
	};
	static struct next_hop h = { .greeting = "220 hi\r\n", .dot = "250 kept\r\n" };
	struct name_server ns;
	struct stage s;

	(void)state;
	open_names(&ns);
	open_hop(&h, false);
	open_stage_with(&s, ns.at, (uint16_t)strtol(strchr(h.target, ':') + 1, NULL, 10));
	s.conf->set.connect_timeout = 20 * MS_SECOND;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		deliver(&s, i, HOP_MX, rows[i].domain, SPAN("x\r\n"), -1, 3);
		if (deliveries_count(s.all))
			loop_run(s.loop);
		assert_delivered(&s, i, rows[i].want);
	}
	close_hop(&h);
	assert_int_equal(h.talks, 4);
	close_stage(&s);
	close_names(&ns);
}

/* What went wrong with one address says nothing about the next. */
static void where_tls_fails_and_then_all_the_next_address_is_asked_for_tls(void **state)
{
	static struct next_hop h = { .greeting = "220 hi\r\n",
				     .dot = "250 kept\r\n",
				     .hello = "250-hop\r\n250 STARTTLS\r\n",
				     .talks_max = 1 },
			       other = { .greeting = "220 hi\r\n",
					 .dot = "250 kept\r\n",
					 .hello = "250-hop\r\n250 STARTTLS\r\n" };
	const struct manner may = { .tls = HOP_TLS_MAY, .credential = "" };
	struct name_server ns;
	struct stage s;

	(void)state;
	open_names(&ns);
	open_hop(&h, false);
	open_hop_beside(&other, &h);
	open_stage_with(&s, ns.at, (uint16_t)strtol(strchr(h.target, ':') + 1, NULL, 10));
	deliver_so(&s, 1, HOP_MX, "twice.test", SPAN("x\r\n"), -1, 3, &may);
	loop_run(s.loop);
	assert_delivered(&s, 1, "250 kept|550 5.1.1 no|");
	close_hop(&h);
	close_hop(&other);
	assert_int_equal(h.talks, 1);
	assert_non_null(strstr(other.heard, "STARTTLS\r\n"));
	close_stage(&s);
	close_names(&ns);
}

/* Two addresses; at the first somebody listens and says nothing. */
struct silent_first {
	struct next_hop silent, good;
	struct name_server names;
	struct stage s;
	char target[100];
};

static struct silent_first *open_silent_first(void)
{
	struct silent_first *r = calloc(1, sizeof(*r));
	const char *port;

	assert_non_null(r);
	r->good.greeting = "220 hi\r\n";
	r->good.dot = "250 kept\r\n";
	open_names(&r->names);
	open_hop(&r->silent, false);
	open_hop_beside(&r->good, &r->silent);
	port = strchr(r->silent.target, ':');
	snprintf(r->target, sizeof(r->target), "twice.test%s", port);
	open_stage_with(&r->s, r->names.at, 0);
	loop_each_round(r->s.loop, on_round, &r->s);
	return r;
}

static void close_silent_first(struct silent_first *r)
{
	close_stage(&r->s);
	close_hop(&r->silent);
	close_hop(&r->good);
	close_names(&r->names);
	free(r);
}

static void each_address_has_its_share_of_the_time_to_connect(void **state)
{
	struct silent_first *r = open_silent_first();

	(void)state;
	r->s.conf->set.reply_timeout = 500;
	deliver(&r->s, 1, HOP_SMTP, r->target, SPAN("x\r\n"), -1, 3);
	loop_run(r->s.loop);
	/* the second may have been given up, too, if the machine stood still */
	assert_int_equal(r->s.ended, 1);
	assert_int_equal(r->s.shares[0], MS_MINUTE / 2);
	/* what the first took for its silence is not missing here */
	assert_int_equal(r->s.shares[1], MS_MINUTE);
	close_silent_first(r);
}

/* The answer is awaited by a client: a silent address may not keep it until that has left. */
static void a_probe_leaves_the_next_address_its_share_of_the_clients_patience(void **state)
{
	struct silent_first *r = open_silent_first();
	ms_t begun = loop_now(r->s.loop);

	(void)state;
	r->s.conf->set.verify_wait = 3 * MS_SECOND;
	probe(&r->s, r->target);
	assert_delivered(&r->s, 9, "550 5.1.1 no|");
	assert_true(r->s.shares[0] <= 1500);
	assert_true(loop_now(r->s.loop) - begun < MS_MINUTE);
	close_silent_first(r);
}

static void a_configured_host_is_met_as_its_records_say(void **state)
{
	static const struct {
		const char *host;
		enum hop_tls tls;
		const char *want;
	} rows[] = {
		{ "plain.smart.test", HOP_TLS_MAY, "250 kept|550 5.1.1 no|" },
		{ "plain.smart.test", HOP_TLS_DANE,
		  "000 4.7.5 plain.smart.test has no TLSA records that count|"
		  "000 4.7.5 plain.smart.test has no TLSA records that count|" },
		{ "broken.smart.test", HOP_TLS_NONE, "250 kept|550 5.1.1 no|" },
		{ "broken.smart.test", HOP_TLS_MAY,
		  "000 4.7.5 the TLSA records of broken.smart.test cannot be looked up now|"
		  "000 4.7.5 the TLSA records of broken.smart.test cannot be looked up now|" },
		{ "useless.smart.test", HOP_TLS_MAY,
		  "000 TLS is needed, and STARTTLS is not offered|"
		  "000 TLS is needed, and STARTTLS is not offered|" },
		{ "127.0.0.1", HOP_TLS_DANE,
		  "000 4.7.5 127.0.0.1 has no TLSA records that count|"
		  "000 4.7.5 127.0.0.1 has no TLSA records that count|" },
	};
	static struct next_hop h = { .greeting = "220 hi\r\n", .dot = "250 kept\r\n" };
	struct name_server ns;
	struct stage s;

	(void)state;
	open_names(&ns);
	open_hop(&h, false);
	open_stage_with(&s, ns.at, 0);
	s.conf->set.connect_timeout = 20 * MS_SECOND;
	s.conf->set.dane = true;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		const struct manner how = { .tls = rows[i].tls, .credential = "" };
		char target[100];

		snprintf(target, sizeof(target), "%s%s", rows[i].host,
			 strchr(h.target, ':'));
		deliver_so(&s, i, HOP_SMTP, target, SPAN("x\r\n"), -1, 3, &how);
		if (deliveries_count(s.all))
			loop_run(s.loop);
		assert_delivered(&s, i, rows[i].want);
	}
	close_hop(&h);
	assert_int_equal(h.talks, 3);
	close_stage(&s);
	close_names(&ns);
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
		cmocka_unit_test(two_messages_go_over_one_connection),
		cmocka_unit_test(a_kept_connection_that_has_gone_costs_nothing),
		cmocka_unit_test(a_connection_serves_those_only_who_would_make_the_same),
		cmocka_unit_test(where_tls_fails_and_need_not_be_mail_goes_in_clear),
		cmocka_unit_test(a_reload_says_which_tls_is_spoken_with_others),
		cmocka_unit_test(a_login_is_used_where_it_is_wanted),
		cmocka_unit_test(a_result_waits_until_the_store_can_take_it),
		cmocka_unit_test(a_result_that_nobody_waits_for_any_more_is_dropped),
		cmocka_unit_test(mail_for_a_domain_goes_where_the_dns_says),
		cmocka_unit_test(
			where_tls_fails_and_then_all_the_next_address_is_asked_for_tls),
		cmocka_unit_test(each_address_has_its_share_of_the_time_to_connect),
		cmocka_unit_test(
			a_probe_leaves_the_next_address_its_share_of_the_clients_patience),
		cmocka_unit_test(a_configured_host_is_met_as_its_records_say),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
