/*
 * canned over real sockets: what it answers under bad conditions, what it keeps, and that nothing of
 * it is left.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/span.h"
#include "rehearse/canned.h"

#define PATIENCE_S 60

static const struct canned_options plain = { .address = "127.0.0.1", .processes = 1 };

static struct canned start(const struct canned_options *o)
{
	struct canned c;
	struct err e;

	if (!canned_start(&c, o, &e))
		fail_msg("canned_start: %s", e.text);
	assert_true(c.port > 0);
	return c;
}

static int dial(uint16_t port)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(port) };
	const struct timeval patience = { .tv_sec = PATIENCE_S };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;

	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_true(fd >= 0);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (connect(fd, (struct sockaddr *)&to, sizeof(to)) < 0) {
		close(fd);
		return -1;
	}
	return fd;
}

static void put(int fd, struct span s)
{
	while (s.n) {
		ssize_t n = send(fd, s.p, s.n, MSG_NOSIGNAL);

		assert_true(n > 0);
		s = span_skip(s, (size_t)n);
	}
}

/* Exactly this comes next. */
static void hear(int fd, const char *text)
{
	char got[2000];
	size_t n = 0, want = strlen(text);

	assert_true(want < sizeof(got));
	while (n < want) {
		ssize_t more = recv(fd, got + n, want - n, 0);

		if (more < 0 && errno == EINTR)
			continue; /* it was stopped for a while */
		if (more <= 0)
			break;
		n += (size_t)more;
	}
	got[n] = '\0';
	assert_string_equal(got, text);
}

static void hear_end(int fd)
{
	char c;

	assert_int_equal(recv(fd, &c, 1, 0), 0);
	close(fd);
}

#define GREETING "220 canned.example.test ESMTP\r\n"
#define MESSAGE	 "MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\n"
#define MESSAGE_SAYS                                                              \
	"250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n354 End data with <CR><LF>.<CR><LF>\r\n" \
	"250 2.0.0 Ok: kept\r\n"

static int greeted(uint16_t port)
{
	int fd = dial(port);

	assert_true(fd >= 0);
	hear(fd, GREETING);
	return fd;
}

/* A directory for one test. */
struct place {
	char path[64];
};

static struct place make_place(void)
{
	struct place p = { .path = "/tmp/test_canned.XXXXXX" };

	assert_non_null(mkdtemp(p.path));
	return p;
}

/* How many files there are; the text of the last of them goes to text (as a string). */
static unsigned look(const struct place *p, char *text, size_t cap)
{
	DIR *dir = opendir(p->path);
	unsigned n = 0;

	for (struct dirent *d; (d = readdir(dir));) {
		int fd;
		ssize_t got;

		if (d->d_name[0] == '.')
			continue;
		n++;
		fd = openat(dirfd(dir), d->d_name, O_RDONLY);
		got = text ? read(fd, text, cap - 1) : 0;
		if (text && got >= 0)
			text[got] = '\0';
		close(fd);
	}
	closedir(dir);
	return n;
}

static void remove_place(const struct place *p)
{
	DIR *dir = opendir(p->path);

	for (struct dirent *d; (d = readdir(dir));)
		unlinkat(dirfd(dir), d->d_name, 0);
	closedir(dir);
	assert_int_equal(rmdir(p->path), 0);
}

static void it_answers_where_it_says_it_listens(void **state)
{
	struct canned c = start(&plain);
	int fd = greeted(c.port);

	(void)state;
	put(fd, SPAN("NOOP\r\n"));
	hear(fd, "250 2.0.0 Ok\r\n");
	put(fd, SPAN("QUIT\r\n"));
	hear(fd, "221 2.0.0 Bye\r\n");
	hear_end(fd);
	canned_stop(&c, NULL);
	assert_int_equal(c.pid, 0);
	assert_int_equal(dial(c.port), -1);
	canned_stop(&c, NULL); /* once more is fine */
}

static void it_listens_on_this_machine_only(void **state)
{
	static const char *const wrong[] = { "0.0.0.0",	  "192.0.2.7", "::",
					     "localhost", "127.1",     "::ffff:127.0.0.1",
					     "",	  "198.18.0.1" };
	struct canned c = { .pid = 77 };
	struct err e;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(wrong); i++) {
		struct canned_options o = { .address = wrong[i], .processes = 1 };

		assert_false(canned_start(&c, &o, &e));
		assert_non_null(strstr(e.text, "loopback"));
		assert_int_equal(c.pid, 77);
	}
}

static void a_port_that_is_taken_is_named(void **state)
{
	struct canned first = start(&plain), c;
	struct canned_options o = plain;
	char port[8];
	struct err e;

	(void)state;
	o.port = first.port;
	snprintf(port, sizeof(port), "%u", first.port);
	assert_false(canned_start(&c, &o, &e));
	assert_non_null(strstr(e.text, port));
	canned_stop(&first, NULL);
}

static void it_also_listens_on_ipv6(void **state)
{
	struct canned_options o = { .address = "::1", .processes = 1 };
	struct sockaddr_in6 to = { .sin6_family = AF_INET6,
				   .sin6_addr = in6addr_loopback };
	struct canned c;
	struct err e;
	int fd;

	(void)state;
	fd = socket(AF_INET6, SOCK_STREAM, 0);
	if (fd < 0 || bind(fd, (struct sockaddr *)&to, sizeof(to)) != 0)
		skip(); /* no IPv6 on this machine */
	close(fd);
	assert_true(canned_start(&c, &o, &e));
	to.sin6_port = htons(c.port);
	fd = socket(AF_INET6, SOCK_STREAM, 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
	hear(fd, GREETING);
	close(fd);
	canned_stop(&c, NULL);
}

static void each_language_has_its_greeting(void **state)
{
	static const struct {
		enum speaks speaks;
		const char *greeting, *quit, *bye;
	} rows[] = {
		{ SPEAKS_IMAP, "* OK canned\r\n", "a LOGOUT\r\n",
		  "* BYE\r\na OK Done\r\n" },
		{ SPEAKS_POP3, "+OK canned\r\n", "QUIT\r\n", "+OK Bye\r\n" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct canned_options o = plain;

		o.speaks = rows[i].speaks;

		struct canned c = start(&o);
		int fd = dial(c.port);

		hear(fd, rows[i].greeting);
		put(fd, span_str(rows[i].quit));
		hear(fd, rows[i].bye);
		hear_end(fd);
		canned_stop(&c, NULL);
	}
}

static void bare_says_one_line_and_hangs_up(void **state)
{
	static const char *const lines[] = {
		[SPEAKS_SMTP] = "554 5.7.1 canned.example.test is not for you\r\n",
		[SPEAKS_IMAP] = "* BYE canned is not for you\r\n",
		[SPEAKS_POP3] = "-ERR canned is not for you\r\n",
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(lines); i++) {
		struct canned_options o = plain;

		o.speaks = (enum speaks)i;
		o.bare = true;

		struct canned c = start(&o);

		for (int n = 0; n < 200; n++) {
			int fd = dial(c.port);

			hear(fd, lines[i]);
			hear_end(fd);
		}
		canned_stop(&c, NULL);
	}
}

static void one_byte_at_a_time_is_as_good(void **state)
{
	static const char in[] = "EHLO a\r\n" MESSAGE
				 "x\r\n..\r\n.\r\nAUTH LOGIN\r\na\r\nb\r\n"
				 "BDAT 3 LAST\r\n\r\n.NOOP\r\n";
	struct canned c = start(&plain);
	int fd = greeted(c.port);

	(void)state;
	for (size_t i = 0; i < sizeof(in) - 1; i++)
		put(fd, span_of(in + i, 1));
	hear(fd,
	     "250-canned.example.test\r\n250-PIPELINING\r\n250-SIZE 67108864\r\n"
	     "250-8BITMIME\r\n250-CHUNKING\r\n250 AUTH LOGIN PLAIN\r\n" MESSAGE_SAYS
	     "334 VXNlcm5hbWU6\r\n334 UGFzc3dvcmQ6\r\n535 5.7.8 Authentication failed\r\n"
	     "250 2.0.0 Ok: kept\r\n250 2.0.0 Ok\r\n");
	close(fd);
	canned_stop(&c, NULL);
}

static void a_line_without_end_and_zeros_are_lived_through(void **state)
{
	struct canned c = start(&plain);
	int fd = greeted(c.port);
	static uint8_t junk[3000000];

	(void)state;
	memset(junk, 'x', sizeof(junk));
	put(fd, span_of(junk, sizeof(junk)));
	put(fd, SPAN("\r\nNOOP\r\n"));
	hear(fd, "500 5.5.2 Line too long\r\n250 2.0.0 Ok\r\n");
	memset(junk, 0, sizeof(junk));
	put(fd, span_of(junk, 3000));
	put(fd, SPAN("\n"));
	hear(fd, "500 5.5.1 Unknown command\r\n");
	put(fd, span_of(junk, sizeof(junk)));
	put(fd, SPAN("\nQUIT\r\n"));
	hear(fd, "500 5.5.2 Line too long\r\n221 2.0.0 Bye\r\n");
	hear_end(fd);
	canned_stop(&c, NULL);
}

static uint64_t memory_of(pid_t pid)
{
	char path[64], line[200];
	unsigned long long kib = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	f = fopen(path, "re");
	assert_non_null(f);
	while (fgets(line, sizeof(line), f))
		if (sscanf(line, "VmRSS: %llu", &kib) == 1)
			break;
	fclose(f);
	return kib * 1024;
}

/* Who asks a lot and does not listen is not read any more, and misses nothing later. */
static void nobody_can_make_it_hold_answers(void **state)
{
	struct canned c = start(&plain);
	int fd = greeted(c.port);
	uint64_t before = memory_of(c.pid), asked = 0, heard = 0;
	static char ask[6 * 10000], got[65536];

	(void)state;
	for (size_t i = 0; i < sizeof(ask); i++)
		ask[i] = "NOOP\r\n"[i % 6];
	for (;;) {
		/* whole commands, until nothing is taken for half a second */
		const struct timeval half = { .tv_usec = 500000 };
		ssize_t n;

		setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &half, sizeof(half));
		n = send(fd, ask + asked % 6, sizeof(ask) - asked % 6, MSG_NOSIGNAL);
		if (n <= 0)
			break;
		asked += (uint64_t)n;
		assert_true(asked < 200000000); /* else nothing ever stopped us */
	}
	/* the sanitizer's own memory is none of ours */
#if !defined(__SANITIZE_ADDRESS__) && !defined(__has_feature)
	assert_in_range(memory_of(c.pid), 0, before + (1 << 20));
#else
	(void)before;
#endif
	while (heard < asked / 6 * 14) {
		ssize_t n = recv(fd, got, sizeof(got), 0);

		assert_true(n > 0);
		heard += (uint64_t)n;
	}
	assert_int_equal(heard, asked / 6 * 14);
	close(fd);
	canned_stop(&c, NULL);
}

static void a_message_is_a_file_before_it_is_acknowledged(void **state)
{
	struct place p = make_place();
	struct canned_options o = plain;
	char text[100];

	(void)state;
	o.keep = p.path;

	struct canned c = start(&o);
	int fd = greeted(c.port);

	put(fd, SPAN(MESSAGE "hello\r\n..dots\r\n\0\r\n.\r\n"));
	hear(fd, MESSAGE_SAYS);
	assert_int_equal(look(&p, text, sizeof(text)), 1);
	assert_memory_equal(text, "hello\r\n..dots\r\n\0\r\n", 19);
	put(fd, SPAN("BDAT 2\r\nxyBDAT 2 LAST\r\n\r\n"));
	hear(fd, "250 2.0.0 Ok: chunk\r\n250 2.0.0 Ok: kept\r\n");
	assert_int_equal(look(&p, NULL, 0), 2);
	close(fd);
	canned_stop(&c, NULL);
	remove_place(&p);
}

static void what_was_not_finished_leaves_no_file(void **state)
{
	struct place p = make_place();
	struct canned_options o = plain;
	static uint8_t large[300000];
	unsigned files;

	(void)state;
	o.keep = p.path;
	memset(large, 'x', sizeof(large));

	struct canned c = start(&o);
	int fd = greeted(c.port);

	put(fd, SPAN(MESSAGE));
	put(fd, span_of(large, sizeof(large)));
	for (int i = 0; (files = look(&p, NULL, 0)) == 0 && i < 6000; i++)
		nanosleep(&(struct timespec){ .tv_nsec = 10000000 }, NULL);
	assert_int_equal(files, 1); /* too large for memory */
	close(fd);
	for (int i = 0; (files = look(&p, NULL, 0)) == 1 && i < 6000; i++)
		nanosleep(&(struct timespec){ .tv_nsec = 10000000 }, NULL);
	assert_int_equal(files, 0);

	int held = greeted(c.port); /* until the end of it all */

	put(held, SPAN(MESSAGE));
	put(held, span_of(large, sizeof(large)));
	for (int i = 0; (files = look(&p, NULL, 0)) == 0 && i < 6000; i++)
		nanosleep(&(struct timespec){ .tv_nsec = 10000000 }, NULL);
	assert_int_equal(files, 1);

	fd = greeted(c.port);
	put(fd, SPAN("BDAT 5\r\nhelloRSET\r\nQUIT\r\n"));
	hear(fd, "250 2.0.0 Ok: chunk\r\n250 2.0.0 Ok\r\n221 2.0.0 Bye\r\n");
	hear_end(fd);
	assert_int_equal(look(&p, NULL, 0), 1);
	canned_stop(&c, NULL);
	assert_int_equal(look(&p, NULL, 0), 0);
	close(held);
	remove_place(&p);
}

static void a_large_message_is_kept_whole(void **state)
{
	struct place p = make_place();
	struct canned_options o = plain;
	static char text[500000], got[500000];

	(void)state;
	o.keep = p.path;
	for (size_t i = 0; i < sizeof(text); i++)
		text[i] = "abcdefg.\r\n.hijk"[i * 7 % 13];
	memcpy(text + sizeof(text) - 6, "\r\n.\r\n", 6);
	for (size_t i = 0; i + 5 < sizeof(text) - 6; i++)
		if (memcmp(text + i, "\r\n.\r\n", 5) == 0)
			text[i] = 'x';

	struct canned c = start(&o);
	int fd = greeted(c.port);

	put(fd, SPAN(MESSAGE));
	put(fd, span_of(text, sizeof(text) - 1));
	hear(fd, MESSAGE_SAYS);
	assert_int_equal(look(&p, got, sizeof(got)), 1);
	assert_memory_equal(got, text, sizeof(text) - 4);
	assert_int_equal(strlen(got), sizeof(text) - 4);
	close(fd);
	canned_stop(&c, NULL);
	remove_place(&p);
}

static void a_message_that_cannot_be_kept_is_not_acknowledged(void **state)
{
	const struct rlimit small = { .rlim_cur = 1000, .rlim_max = RLIM_INFINITY };
	struct place p = make_place();
	struct canned_options o = plain;
	struct rlimit before;
	static uint8_t large[200000];

	(void)state;
	o.keep = p.path;
	memset(large, 'x', sizeof(large));
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);

	struct canned c = start(&o);

	assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
	for (size_t size = 2000; size <= sizeof(large); size *= 100) {
		int fd = greeted(c.port);

		put(fd, SPAN("DATA\r\n"));
		put(fd, span_of(large, size));
		put(fd, SPAN("\r\n.\r\n"));
		hear(fd, "354 End data with <CR><LF>.<CR><LF>\r\n451 4.3.0 Not kept\r\n");
		put(fd, SPAN("DATA\r\nsmall\r\n.\r\n"));
		hear(fd, "354 End data with <CR><LF>.<CR><LF>\r\n250 2.0.0 Ok: kept\r\n");
		close(fd);
	}
	assert_int_equal(look(&p, NULL, 0), 2);
	canned_stop(&c, NULL);
	remove_place(&p);

	struct err e;

	assert_false(canned_start(&c, &o, &e)); /* the directory is gone */
	assert_non_null(strstr(e.text, p.path));
}

static void processes_and_runs_do_not_write_over_each_other(void **state)
{
	enum { PEERS = 40, EACH = 5 };
	struct place p = make_place();
	struct canned_options o = plain;
	int fd[PEERS];

	(void)state;
	o.keep = p.path;
	o.processes = 3;
	for (unsigned run = 1; run <= 2; run++) {
		struct canned c = start(&o);

		for (size_t i = 0; i < PEERS; i++)
			fd[i] = greeted(c.port);
		for (size_t n = 0; n < EACH; n++)
			for (size_t i = 0; i < PEERS; i++)
				put(fd[i], SPAN(MESSAGE "hello\r\n.\r\n"));
		for (size_t i = 0; i < PEERS; i++) {
			for (size_t n = 0; n < EACH; n++)
				hear(fd[i], MESSAGE_SAYS);
			close(fd[i]);
		}
		assert_int_equal(look(&p, NULL, 0), run * PEERS * EACH);
		canned_stop(&c, NULL);
	}
	remove_place(&p);
}

/* TLS. */

static SSL *shake(int fd)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
	SSL *ssl = SSL_new(ctx);

	SSL_CTX_free(ctx);
	assert_int_equal(SSL_set_fd(ssl, fd), 1);
	assert_int_equal(SSL_connect(ssl), 1);
	return ssl;
}

static void hear_tls(SSL *ssl, const char *text)
{
	char got[2000];
	size_t n = 0, want = strlen(text);

	while (n < want) {
		int more = SSL_read(ssl, got + n, (int)(want - n));

		if (more <= 0)
			break;
		n += (size_t)more;
	}
	got[n] = '\0';
	assert_string_equal(got, text);
}

static void put_tls(SSL *ssl, const char *text)
{
	assert_int_equal(SSL_write(ssl, text, (int)strlen(text)), strlen(text));
}

static void starttls_secures_and_forgets_what_came_in_the_clear(void **state)
{
	struct canned_options o = plain;

	(void)state;
	o.tls = true;

	struct canned c = start(&o);
	int fd = greeted(c.port);

	put(fd, SPAN("STARTTLS\r\nMAIL FROM:<injected@b>\r\n"));
	hear(fd, "220 2.0.0 Go ahead\r\n");

	SSL *ssl = shake(fd);

	put_tls(ssl, "EHLO a\r\n");
	hear_tls(ssl, "250-canned.example.test\r\n250-PIPELINING\r\n250-SIZE 67108864\r\n"
		      "250-8BITMIME\r\n250-CHUNKING\r\n250 AUTH LOGIN PLAIN\r\n");
	put_tls(ssl, MESSAGE "x\r\n.\r\nQUIT\r\n");
	hear_tls(ssl, MESSAGE_SAYS "221 2.0.0 Bye\r\n");
	assert_int_equal(SSL_read(ssl, &(char){ 0 }, 1), 0);
	assert_int_equal(SSL_get_shutdown(ssl) & SSL_RECEIVED_SHUTDOWN,
			 SSL_RECEIVED_SHUTDOWN);
	SSL_free(ssl);
	close(fd);
	canned_stop(&c, NULL);
}

static void implicit_tls_greets_inside(void **state)
{
	struct canned_options o = plain;
	static char ask[30000];

	(void)state;
	o.implicit_tls = true;
	o.speaks = SPEAKS_IMAP;

	struct canned c = start(&o);
	int fd = dial(c.port);
	SSL *ssl = shake(fd);

	hear_tls(ssl, "* OK canned\r\n");
	put_tls(ssl, "a LOGIN b c\r\n");
	hear_tls(ssl, "a NO [AUTHENTICATIONFAILED] Authentication failed\r\n");

	/* more than one record, and answers of more than one write */
	for (size_t i = 0; i + 1 < sizeof(ask); i++)
		ask[i] = "a NOOP\r\n"[i % 8];
	put_tls(ssl, ask);
	for (size_t i = 0; i < (sizeof(ask) - 1) / 8; i++)
		hear_tls(ssl, "a OK Done\r\n");
	SSL_free(ssl);
	close(fd);
	canned_stop(&c, NULL);
}

static void garbage_instead_of_tls_ends_that_peer_only(void **state)
{
	struct canned_options o = plain;
	char c1;

	(void)state;
	o.implicit_tls = true;

	struct canned c = start(&o);
	int bad = dial(c.port), good = dial(c.port);

	put(bad, SPAN("EHLO there\r\nMAIL FROM:<a@b>\r\n"));
	while (recv(bad, &c1, 1, 0) > 0)
		;
	close(bad);

	SSL *ssl = shake(good);

	hear_tls(ssl, GREETING);
	SSL_free(ssl);
	close(good);
	canned_stop(&c, NULL);
}

/* Processes. */

static void many_peers_are_served_by_several_processes(void **state)
{
	enum { PEERS = 600 };
	struct canned_options o = plain;
	int fd[PEERS];

	(void)state;
	o.processes = 4;

	struct canned c = start(&o);

	for (size_t i = 0; i < PEERS; i++)
		fd[i] = greeted(c.port);
	for (size_t i = 0; i < PEERS; i++)
		put(fd[i], SPAN("NOOP\r\n"));
	for (size_t i = 0; i < PEERS; i++) {
		hear(fd[i], "250 2.0.0 Ok\r\n");
		close(fd[i]);
	}
	canned_stop(&c, NULL);
	assert_int_equal(dial(c.port), -1);
}

/* A canned with few descriptors, whose parent is another process. Closing *hold ends that one. */
static uint16_t start_elsewhere(unsigned descriptors, unsigned processes, int *hold,
				pid_t *pid)
{
	int tell[2], wait_for[2];
	uint16_t port = 0;

	assert_int_equal(pipe(tell), 0);
	assert_int_equal(pipe(wait_for), 0);
	*pid = fork();
	if (*pid == 0) {
		const struct rlimit few = { .rlim_cur = descriptors,
					    .rlim_max = descriptors };
		struct canned_options o = plain;
		struct canned c;
		struct err e;
		char end;

		close(wait_for[1]);
		o.processes = processes;
		if (descriptors && setrlimit(RLIMIT_NOFILE, &few) < 0)
			_exit(1);
		if (!canned_start(&c, &o, &e) ||
		    write(tell[1], &c.port, sizeof(c.port)) != sizeof(c.port))
			_exit(1);
		_exit(read(wait_for[0], &end, 1) == 0 ? 0 : 1); /* no canned_stop() */
	}
	close(tell[1]);
	close(wait_for[0]);
	assert_int_equal(read(tell[0], &port, sizeof(port)), sizeof(port));
	close(tell[0]);
	*hold = wait_for[1];
	return port;
}

static void a_process_that_is_full_leaves_peers_to_the_others(void **state)
{
	enum { PEERS = 900, DESCRIPTORS = 512 };
	int fd[PEERS], hold;
	pid_t pid;
	uint16_t port = start_elsewhere(DESCRIPTORS, 3, &hold, &pid);

	(void)state;
	for (size_t i = 0; i < PEERS; i++) {
		fd[i] = dial(port);
		assert_true(fd[i] >= 0);
	}
	for (size_t i = 0; i < PEERS; i++)
		hear(fd[i], GREETING);
	for (size_t i = 0; i < PEERS; i++)
		close(fd[i]);
	close(hold);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static void who_finds_no_room_gets_it_when_another_leaves(void **state)
{
	enum { PEERS = 512 };
	int fd[PEERS], late, hold;
	pid_t pid;
	char c;
	uint16_t port = start_elsewhere(PEERS, 1, &hold, &pid);

	(void)state;
	for (size_t i = 0; i < PEERS - 64; i++)
		fd[i] = greeted(port);
	late = dial(port);
	assert_true(late >= 0);
	/* it is asked to come in at the latest when it looks the second time */
	for (int i = 0; i < 3; i++) {
		put(fd[8], SPAN("NOOP\r\n"));
		hear(fd[8], "250 2.0.0 Ok\r\n");
	}
	assert_int_equal(recv(late, &c, 1, MSG_DONTWAIT), -1);
	close(fd[7]);
	fd[7] = late;
	hear(late, GREETING);
	for (size_t i = 0; i < PEERS - 64; i++)
		close(fd[i]);
	close(hold);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static void it_ends_with_its_parent(void **state)
{
	int hold, fd;
	pid_t pid;
	char c;
	uint16_t port = start_elsewhere(0, 3, &hold, &pid);
	bool gone = false;

	(void)state;
	fd = greeted(port);
	close(hold);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	assert_int_equal(recv(fd, &c, 1, 0) <= 0, true);
	close(fd);
	for (int i = 0; i < 6000 && !gone; i++) {
		fd = dial(port);
		gone = fd < 0;
		if (!gone)
			close(fd);
		nanosleep(&(struct timespec){ .tv_nsec = 10000000 }, NULL);
	}
	assert_true(gone);
}

static void stopping_tells_the_cpu_of_all_processes(void **state)
{
	enum { PEERS = 64 };
	struct canned_options o = plain;
	double cpu = 100, used;
	static uint8_t body[4000000];
	int fd[PEERS];

	(void)state;
	o.processes = 2;
	memset(body, '\r', sizeof(body));

	struct canned c = start(&o);

	for (size_t i = 0; i < PEERS; i++) {
		fd[i] = greeted(c.port);
		put(fd[i], SPAN("DATA\r\n"));
	}
	for (size_t i = 0; i < PEERS; i++)
		put(fd[i], span_of(body, sizeof(body)));
	for (size_t i = 0; i < PEERS; i++) {
		put(fd[i], SPAN("\r\n.\r\n"));
		hear(fd[i],
		     "354 End data with <CR><LF>.<CR><LF>\r\n250 2.0.0 Ok: kept\r\n");
		close(fd[i]);
	}
	canned_stop(&c, &cpu);
	used = cpu - 100; /* it adds */
	assert_true(used > 0.005 && used < 60);
}

static void sigterm_ends_it_with_status_0(void **state)
{
	struct canned_options o = plain;
	int status;

	(void)state;
	o.processes = 3;

	struct canned c = start(&o);
	int fd = greeted(c.port);

	assert_int_equal(kill(c.pid, SIGTERM), 0);
	assert_int_equal(waitpid(c.pid, &status, 0), c.pid);
	assert_int_equal(status, 0);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_answers_where_it_says_it_listens),
		cmocka_unit_test(it_listens_on_this_machine_only),
		cmocka_unit_test(a_port_that_is_taken_is_named),
		cmocka_unit_test(it_also_listens_on_ipv6),
		cmocka_unit_test(each_language_has_its_greeting),
		cmocka_unit_test(bare_says_one_line_and_hangs_up),
		cmocka_unit_test(one_byte_at_a_time_is_as_good),
		cmocka_unit_test(a_line_without_end_and_zeros_are_lived_through),
		cmocka_unit_test(nobody_can_make_it_hold_answers),
		cmocka_unit_test(a_message_is_a_file_before_it_is_acknowledged),
		cmocka_unit_test(what_was_not_finished_leaves_no_file),
		cmocka_unit_test(a_large_message_is_kept_whole),
		cmocka_unit_test(a_message_that_cannot_be_kept_is_not_acknowledged),
		cmocka_unit_test(processes_and_runs_do_not_write_over_each_other),
		cmocka_unit_test(starttls_secures_and_forgets_what_came_in_the_clear),
		cmocka_unit_test(implicit_tls_greets_inside),
		cmocka_unit_test(garbage_instead_of_tls_ends_that_peer_only),
		cmocka_unit_test(many_peers_are_served_by_several_processes),
		cmocka_unit_test(a_process_that_is_full_leaves_peers_to_the_others),
		cmocka_unit_test(who_finds_no_room_gets_it_when_another_leaves),
		cmocka_unit_test(it_ends_with_its_parent),
		cmocka_unit_test(stopping_tells_the_cpu_of_all_processes),
		cmocka_unit_test(sigterm_ends_it_with_status_0),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
