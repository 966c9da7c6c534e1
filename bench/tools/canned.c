/*
 * canned - an SMTP responder with fixed answers, the floor under every mail server
 *
 * One thread, one epoll. It reads dialogues just well enough to answer them, and with
 * -D DIR writes each message to a file of its own and fsyncs it before it says 250.
 * What a real server costs beyond this is the price of what it decides and keeps.
 *
 *	canned [-a 127.0.0.1] [-p 2525] [-D DIR]
 *
 * It listens on the loopback only, and ends with SIGTERM.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define IN_MAX	 (1024 * 1024) /* the largest message */
#define IN_FIRST 8192	       /* what a peer that talks gets first */
#define OUT_MAX	 4096	       /* answers to what one read brought */
#define EVENTS	 256

struct peer {
	int fd;
	bool in_body;
	bool leaving;
	char *in; /* NULL while nothing is pending, so that idle peers cost little */
	size_t cap;
	size_t n;
	size_t seen; /* of the body: no end of it before here */
};

struct answers {
	char text[OUT_MAX];
	size_t n;
	bool full;
};

struct verb {
	const char *word;
	const char *answer;
};

/* clang-format off */
static const struct verb verbs[] = {
	{ "EHLO", "250-canned.example.test\r\n250-PIPELINING\r\n250-SIZE 1048576\r\n"
		  "250 8BITMIME\r\n" },
	{ "HELO", "250 canned.example.test\r\n" },
	{ "MAIL", "250 2.1.0 Ok\r\n" },
	{ "RCPT", "250 2.1.5 Ok\r\n" },
	{ "DATA", "354 End data with <CR><LF>.<CR><LF>\r\n" },
	{ "RSET", "250 2.0.0 Ok\r\n" },
	{ "NOOP", "250 2.0.0 Ok\r\n" },
	{ "QUIT", "221 2.0.0 Bye\r\n" },
};
/* clang-format on */

static volatile sig_atomic_t stopped;

static void on_signal(int signo)
{
	(void)signo;
	stopped = 1;
}

static void die(const char *what)
{
	fprintf(stderr, "canned: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void say(struct answers *a, const char *text)
{
	size_t n = strlen(text);

	if (a->full || n > OUT_MAX - a->n) {
		a->full = true;
		return;
	}
	memcpy(a->text + a->n, text, n);
	a->n += n;
}

/* Write one message and make it durable. Without a directory there is nothing to do. */
static bool keep(int dir, const char *text, size_t n)
{
	static uint64_t number;
	char name[32];

	if (dir < 0)
		return true;
	snprintf(name, sizeof(name), "%020llu", (unsigned long long)number++);

	int fd = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	if (fd < 0)
		return false;

	bool kept = write(fd, text, n) == (ssize_t)n && fsync(fd) == 0;

	return close(fd) == 0 && kept;
}

static void obey(struct peer *p, const char *line, size_t n, struct answers *out)
{
	for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++) {
		if (n < 4 || strncasecmp(line, verbs[i].word, 4) != 0)
			continue;
		say(out, verbs[i].answer);
		p->in_body = verbs[i].word[0] == 'D';
		p->leaving = verbs[i].word[0] == 'Q';
		p->seen = 0;
		return;
	}
	say(out, "500 5.5.1 Unknown command\r\n");
}

/* How much of the text is one whole line or body, or 0 if its end has not come. */
static size_t whole(struct peer *p, const char *text, size_t n)
{
	if (!p->in_body) {
		const char *end = memchr(text, '\n', n);

		return end ? (size_t)(end - text) + 1 : 0;
	}
	if (n >= 3 && memcmp(text, ".\r\n", 3) == 0)
		return 3;

	const char *end = memmem(text + p->seen, n - p->seen, "\r\n.\r\n", 5);

	p->seen = n > 4 ? n - 4 : 0;
	return end ? (size_t)(end - text) + 5 : 0;
}

static void answer(struct peer *p, int dir, struct answers *out)
{
	size_t done = 0, n;

	while (!p->leaving && (n = whole(p, p->in + done, p->n - done)) > 0) {
		if (!p->in_body) {
			obey(p, p->in + done, n, out);
		} else {
			p->in_body = false;
			say(out, keep(dir, p->in + done, n - 3)
					 ? "250 2.0.0 Ok: kept\r\n"
					 : "451 4.3.0 Not kept\r\n");
		}
		done += n;
	}
	p->n -= done;
	memmove(p->in, p->in + done, p->n);
}

/* Make room for more input. False if the peer sends too much, or memory is short. */
static bool room(struct peer *p)
{
	if (p->n < p->cap)
		return true;

	size_t cap = p->cap ? p->cap * 2 : IN_FIRST;
	char *in = cap <= IN_MAX ? realloc(p->in, cap) : NULL;

	if (!in)
		return false;
	p->in = in;
	p->cap = cap;
	return true;
}

/* One read, and the answers to it. False when the peer is to be closed. */
static bool serve(struct peer *p, int dir)
{
	struct answers out = { .n = 0 };

	if (!room(p))
		return false;

	ssize_t got = read(p->fd, p->in + p->n, p->cap - p->n);

	if (got < 0)
		return errno == EAGAIN || errno == EINTR;
	if (got == 0)
		return false;
	p->n += (size_t)got;
	answer(p, dir, &out);
	if (out.full || (out.n && write(p->fd, out.text, out.n) != (ssize_t)out.n))
		return false;
	if (p->n == 0 && !p->in_body) {
		free(p->in);
		p->in = NULL;
		p->cap = 0;
	}
	return !p->leaving;
}

static void end(struct peer *p)
{
	close(p->fd);
	free(p->in);
	free(p);
}

static void greet(int poller, int listener)
{
	static const char greeting[] = "220 canned.example.test ESMTP\r\n";
	int one = 1;

	for (int i = 0; i < EVENTS; i++) {
		int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd < 0)
			return;
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));

		struct peer *p = calloc(1, sizeof(*p));
		struct epoll_event ev = { .events = EPOLLIN, .data.ptr = p };

		if (!p) {
			close(fd);
			return;
		}
		p->fd = fd;
		if (write(fd, greeting, sizeof(greeting) - 1) < 0 ||
		    epoll_ctl(poller, EPOLL_CTL_ADD, fd, &ev) < 0)
			end(p);
	}
}

static int listen_at(const char *address, const char *port)
{
	struct sockaddr_in at = { .sin_family = AF_INET };
	int one = 1;
	long number = strtol(port, NULL, 10);

	if (number < 1 || number > 65535 ||
	    inet_pton(AF_INET, address, &at.sin_addr) != 1 ||
	    ntohl(at.sin_addr.s_addr) >> 24 != 127) {
		fprintf(stderr, "canned: %s port %s is not a place on the loopback\n",
			address, port);
		exit(2);
	}
	at.sin_port = htons((uint16_t)number);

	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		die("socket");
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(fd, (struct sockaddr *)&at, sizeof(at)) < 0 || listen(fd, 4096) < 0)
		die(port);
	return fd;
}

static void raise_descriptors(void)
{
	struct rlimit r;

	if (getrlimit(RLIMIT_NOFILE, &r) == 0) {
		r.rlim_cur = r.rlim_max;
		setrlimit(RLIMIT_NOFILE, &r);
	}
}

int main(int argc, char **argv)
{
	const char *address = "127.0.0.1", *port = "2525";
	int dir = -1, o;

	while ((o = getopt(argc, argv, "a:p:D:")) != -1) {
		if (o == 'a') {
			address = optarg;
		} else if (o == 'p') {
			port = optarg;
		} else if (o == 'D') {
			dir = open(optarg, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
			if (dir < 0)
				die(optarg);
		} else {
			fprintf(stderr,
				"usage: canned [-a 127.0.0.1] [-p PORT] [-D DIR]\n");
			return 2;
		}
	}
	raise_descriptors();
	signal(SIGPIPE, SIG_IGN);
	sigaction(SIGTERM, &(struct sigaction){ .sa_handler = on_signal }, NULL);
	sigaction(SIGINT, &(struct sigaction){ .sa_handler = on_signal }, NULL);

	int listener = listen_at(address, port);
	int poller = epoll_create1(EPOLL_CLOEXEC);
	struct epoll_event events[EVENTS] = { { .events = EPOLLIN, .data.ptr = NULL } };

	if (poller < 0 || epoll_ctl(poller, EPOLL_CTL_ADD, listener, &events[0]) < 0)
		die("epoll");
	while (!stopped) {
		int n = epoll_wait(poller, events, EVENTS, 1000);

		for (int i = 0; i < n; i++) {
			struct peer *p = events[i].data.ptr;

			if (!p)
				greet(poller, listener);
			else if (!serve(p, dir))
				end(p);
		}
	}
	return 0;
}
