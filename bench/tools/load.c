/*
 * load - an SMTP load generator that only ever talks to its own machine
 *
 * One thread, one epoll, many sessions. It either sends messages for a while and tells
 * how fast they were taken, or (--hold) opens sessions, keeps them, and says when all
 * are open. It prints one JSON object at the end; `load --help` lists the options.
 *
 * A message takes from its MAIL to the 250 after its body; the first one of a connection
 * takes from connect() on. What was begun when the time is over is still finished, and
 * is in "messages" and "seconds", but not in "rate". The addresses it comes from are
 * spread over 127.0.0.0/8, each in a /16 of its own, so that a server which counts by
 * network sees strangers and not one neighbour.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define SECOND	       INT64_C(1000000000)
#define SESSIONS_MAX   100000
#define RECIPIENTS_MAX 10000
#define SOURCES_MAX    (250 * 250)
#define BODY_MAX       (64 * 1024 * 1024)
#define EVENTS	       512
#define SPARE	       16	     /* descriptors that are no sessions */
#define PAUSE	       (SECOND / 20) /* before trying again after a failure */
#define STEP	       (SECOND / 50) /* how often all sessions are looked at */

/* Latency: 64 steps per power of two, in microseconds; below 2 % off. */
#define STEPS	  64
#define LATENCIES (STEPS * 30)

enum state {
	IDLE, /* no connection; one is opened when its time has come */
	GREETING,
	EHLO,
	STARTTLS,
	HANDSHAKE,
	MAIL,
	RCPT,
	DATA,
	BODY,
	QUIT,
	HELD,
	GONE, /* will not be opened again */
};

/* clang-format off */
#define FAILURES(ROW) \
	ROW(REFUSED,  "connect")  /* connect() failed, or local limits */ \
	ROW(CLOSED,   "closed")   /* the server hung up in the middle */ \
	ROW(TIMEOUT,  "timeout")  /* no progress for as long as we are patient */ \
	ROW(REPLY_4,  "4xx") \
	ROW(REPLY_5,  "5xx") \
	ROW(NONSENSE, "nonsense") /* an answer that does not belong here */ \
	ROW(TLS,      "tls") \
	ROW(LOST,     "lost")     /* closed by the server while it was held */

enum failure {
#define AS_ENUM(name, word) name,
	FAILURES(AS_ENUM)
	FAILURES_N
};

static const char *const failure_words[] = {
#define AS_WORD(name, word) word,
	FAILURES(AS_WORD)
};
/* clang-format on */

struct options {
	const char *address;
	uint16_t port;
	unsigned sessions;
	unsigned per_connection;
	unsigned size;
	double seconds;
	double patience;
	uint64_t count; /* 0: as many as fit into the time */
	unsigned sources;
	unsigned opening; /* connections that may be in their first steps at once */
	unsigned per_message;
	const char *sender;
	const char **recipients;
	unsigned recipients_n;
	bool hold, tls, pipelining;
};

struct text {
	char *p;
	size_t n;
};

struct session {
	int fd;
	enum state state;
	bool secure;	 /* TLS is up */
	bool more;	 /* the reply has further lines */
	bool want_write; /* what epoll was told */
	uint8_t column;
	uint16_t code;
	unsigned sent; /* messages on this connection */
	unsigned left; /* recipients of this message that are not answered yet */
	unsigned to;   /* the next recipient */
	int64_t began; /* the message, or its connection; IDLE: when to open one */
	int64_t heard;
	struct text out; /* borrowed: what the socket did not take yet */
	SSL *ssl;
};

struct load {
	struct options o;
	struct sockaddr_storage to;
	socklen_t to_n;
	int poller;
	SSL_CTX *tls;
	struct session *sessions;
	struct text mail, body;
	struct text *rcpt;     /* one per recipient */
	struct text *envelope; /* one per first recipient, when pipelining */
	unsigned next_source, next_recipient;
	unsigned opening, held, busy; /* sessions right now */
	uint64_t begun, taken, taken_in_time, connections;
	uint64_t failures[FAILURES_N];
	uint64_t latencies[LATENCIES];
	int64_t now, start, finish, give_up, last_taken;
	double longest;
};

static volatile sig_atomic_t stopped;

static void on_signal(int signo)
{
	(void)signo;
	stopped = 1;
}

__attribute__((noreturn, format(printf, 1, 2))) static void die(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	fputs("load: ", stderr);
	vfprintf(stderr, fmt, ap);
	fputc('\n', stderr);
	va_end(ap);
	exit(2);
}

static void *take(size_t n, size_t size)
{
	void *p = calloc(n ? n : 1, size);

	if (!p)
		die("out of memory");
	return p;
}

static int64_t clock_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * SECOND + t.tv_nsec;
}

/* Latency in steps that grow with it. */

static size_t step_of(uint64_t us)
{
	if (us < STEPS)
		return us;

	unsigned power = 63U - (unsigned)__builtin_clzll(us) - 6U;
	size_t at = (size_t)power * STEPS + (size_t)(us >> power);

	return at < LATENCIES ? at : LATENCIES - 1;
}

static double step_ms(size_t at)
{
	if (at < STEPS)
		return (double)at / 1000;

	size_t power = at / STEPS - 1;

	return (double)(((uint64_t)(at % STEPS) + STEPS) << power) / 1000;
}

static double percentile(const struct load *l, double share)
{
	uint64_t wanted = (uint64_t)((double)l->taken * share), seen = 0;

	for (size_t i = 0; i < LATENCIES; i++) {
		seen += l->latencies[i];
		if (seen > wanted)
			return step_ms(i);
	}
	return l->longest;
}

/* The sockets. */

static void watch(struct load *l, struct session *s, bool want_write)
{
	struct epoll_event ev = {
		.events = want_write ? EPOLLIN | EPOLLOUT : EPOLLIN,
		.data.ptr = s,
	};

	if (s->want_write == want_write)
		return;
	s->want_write = want_write;
	epoll_ctl(l->poller, EPOLL_CTL_MOD, s->fd, &ev);
}

static bool is_opening(const struct session *s)
{
	return s->state >= GREETING && s->state <= HANDSHAKE;
}

/* Close the connection, and say when the session may try again. */
static void hang_up(struct load *l, struct session *s, enum state next, int64_t again)
{
	if (is_opening(s))
		l->opening--;
	if (s->state == HELD)
		l->held--;
	if (s->ssl)
		SSL_free(s->ssl);
	if (s->fd >= 0)
		close(s->fd);
	l->busy--;
	*s = (struct session){ .fd = -1, .state = next, .began = again };
}

/* The message that was under way does not count as begun, so that another one is. */
static void fail(struct load *l, struct session *s, enum failure why)
{
	if (s->state <= BODY)
		l->begun--;
	l->failures[s->state == HELD ? LOST : why]++;
	hang_up(l, s, l->o.hold ? GONE : IDLE, l->now + PAUSE);
}

static bool connected(struct load *l, struct session *s)
{
	int one = 1;

	s->fd = socket(l->to.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (s->fd < 0)
		return false;
	setsockopt(s->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (l->to.ss_family == AF_INET && l->o.sources) {
		unsigned i = l->next_source++ % l->o.sources;
		struct sockaddr_in from = { .sin_family = AF_INET };

		from.sin_addr.s_addr = htonl(0x7f000001U | (1 + i % 250) << 16 |
					     i / 250 << 8);
		setsockopt(s->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof(one));
		if (bind(s->fd, (struct sockaddr *)&from, sizeof(from)) < 0)
			return false;
	}
	if (connect(s->fd, (struct sockaddr *)&l->to, l->to_n) < 0 && errno != EINPROGRESS)
		return false;

	struct epoll_event ev = { .events = EPOLLIN, .data.ptr = s };

	return epoll_ctl(l->poller, EPOLL_CTL_ADD, s->fd, &ev) == 0;
}

static bool may_begin(const struct load *l)
{
	if (stopped || l->now >= l->finish)
		return false;
	return l->o.hold || !l->o.count || l->begun < l->o.count;
}

static void open_session(struct load *l, struct session *s)
{
	*s = (struct session){ .fd = -1, .state = GREETING };
	s->began = s->heard = l->now;
	l->opening++;
	l->busy++;
	l->begun++;
	l->connections++;
	if (!connected(l, s))
		fail(l, s, REFUSED);
}

/* Send what is waiting. A failure here is seen again by the next read. */
static void flush(struct load *l, struct session *s)
{
	while (s->out.n) {
		ssize_t n;

		if (s->secure) {
			ERR_clear_error();
			n = SSL_write(s->ssl, s->out.p,
				      s->out.n > 16384 ? 16384 : (int)s->out.n);
			if (n <= 0) {
				watch(l, s,
				      SSL_get_error(s->ssl, (int)n) ==
					      SSL_ERROR_WANT_WRITE);
				return;
			}
		} else {
			n = send(s->fd, s->out.p, s->out.n, MSG_NOSIGNAL);
			if (n < 0) {
				watch(l, s, errno == EAGAIN || errno == EINTR);
				return;
			}
		}
		s->out.p += n;
		s->out.n -= (size_t)n;
		s->heard = l->now;
	}
	watch(l, s, false);
}

static void tell(struct load *l, struct session *s, struct text t)
{
	s->out = t;
	flush(l, s);
}

static void say(struct load *l, struct session *s, const char *line)
{
	tell(l, s, (struct text){ (char *)line, strlen(line) });
}

/* The dialogue. */

static void quit(struct load *l, struct session *s)
{
	s->state = QUIT;
	say(l, s, "QUIT\r\n");
}

static void begin(struct load *l, struct session *s)
{
	if (s->sent) {
		l->begun++;
		s->began = l->now;
	}
	s->state = MAIL;
	s->left = l->o.per_message;
	s->to = l->next_recipient;
	l->next_recipient = (l->next_recipient + l->o.per_message) % l->o.recipients_n;
	tell(l, s, l->o.pipelining ? l->envelope[s->to] : l->mail);
}

static void next_recipient(struct load *l, struct session *s)
{
	s->state = RCPT;
	if (!l->o.pipelining)
		tell(l, s, l->rcpt[s->to]);
	s->to = (s->to + 1) % l->o.recipients_n;
}

/* The session is greeted, and secure if it was to be. */
static void settle(struct load *l, struct session *s)
{
	l->opening--;
	if (!l->o.hold) {
		begin(l, s);
		return;
	}
	s->state = HELD;
	l->held++;
}

static void took(struct load *l, struct session *s)
{
	uint64_t us = (uint64_t)(l->now - s->began) / 1000;

	l->latencies[step_of(us)]++;
	if ((double)us / 1000 > l->longest)
		l->longest = (double)us / 1000;
	l->taken++;
	l->taken_in_time += l->now <= l->finish;
	l->last_taken = l->now;
	s->sent++;
	if (s->sent < l->o.per_connection && may_begin(l))
		begin(l, s);
	else
		quit(l, s);
}

/* False when the session is over, or its bytes are no SMTP from here on. */
static bool on_reply(struct load *l, struct session *s)
{
	unsigned wanted = s->state == DATA ? 3 : 2;

	if (s->state == QUIT) {
		hang_up(l, s, IDLE, l->now);
		if (may_begin(l) && l->opening < l->o.opening)
			open_session(l, s);
		return false;
	}
	if (s->state == HELD || s->code / 100 != wanted) {
		fail(l, s,
		     s->code / 100 == 4	  ? REPLY_4
		     : s->code / 100 == 5 ? REPLY_5
					  : NONSENSE);
		return false;
	}
	switch (s->state) {
	case GREETING:
		s->state = EHLO;
		say(l, s, "EHLO load.example.test\r\n");
		break;
	case EHLO:
		if (l->o.tls && !s->secure) {
			s->state = STARTTLS;
			say(l, s, "STARTTLS\r\n");
		} else {
			settle(l, s);
		}
		break;
	case STARTTLS:
		s->state = HANDSHAKE;
		return false;
	case MAIL:
		next_recipient(l, s);
		break;
	case RCPT:
		if (--s->left > 0) {
			next_recipient(l, s);
		} else {
			s->state = DATA;
			if (!l->o.pipelining)
				say(l, s, "DATA\r\n");
		}
		break;
	case DATA:
		s->state = BODY;
		tell(l, s, l->body);
		break;
	case BODY:
		took(l, s);
		break;
	case IDLE:
	case HANDSHAKE:
	case QUIT:
	case HELD:
	case GONE:
		break;
	}
	return true;
}

static void on_bytes(struct load *l, struct session *s, const char *p, size_t n)
{
	s->heard = l->now;
	for (size_t i = 0; i < n; i++) {
		if (p[i] == '\n') {
			bool whole = !s->more && s->column >= 3;

			s->column = 0;
			if (whole && !on_reply(l, s))
				return;
			s->code = 0;
			continue;
		}
		if (s->column < 3 && p[i] >= '0' && p[i] <= '9')
			s->code = (uint16_t)((s->column ? s->code * 10 : 0) + (p[i] - '0'));
		if (s->column == 3)
			s->more = p[i] == '-';
		if (s->column < 4)
			s->column++;
	}
}

static void shake_hands(struct load *l, struct session *s)
{
	if (!s->ssl) {
		s->ssl = SSL_new(l->tls);
		if (!s->ssl || !SSL_set_fd(s->ssl, s->fd)) {
			fail(l, s, TLS);
			return;
		}
	}

	ERR_clear_error();

	int r = SSL_connect(s->ssl);
	int e = r == 1 ? SSL_ERROR_NONE : SSL_get_error(s->ssl, r);

	s->heard = l->now;
	if (e == SSL_ERROR_WANT_READ || e == SSL_ERROR_WANT_WRITE) {
		watch(l, s, e == SSL_ERROR_WANT_WRITE);
		return;
	}
	if (e != SSL_ERROR_NONE) {
		fail(l, s, TLS);
		return;
	}
	s->secure = true;
	s->state = EHLO;
	say(l, s, "EHLO load.example.test\r\n");
}

static void on_readable(struct load *l, struct session *s)
{
	static char in[65536];
	ssize_t n;

	if (s->secure) {
		ERR_clear_error();
		n = SSL_read(s->ssl, in, sizeof(in));
		if (n <= 0 && SSL_get_error(s->ssl, (int)n) == SSL_ERROR_WANT_READ)
			return;
	} else {
		n = recv(s->fd, in, sizeof(in), 0);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return;
	}
	if (n > 0)
		on_bytes(l, s, in, (size_t)n);
	else if (s->state == QUIT)
		hang_up(l, s, IDLE, l->now);
	else
		fail(l, s, s->state == GREETING && n < 0 ? REFUSED : CLOSED);
}

static void on_event(struct load *l, struct session *s, uint32_t events)
{
	if (s->fd < 0)
		return;
	if (s->state != HANDSHAKE) {
		if (events & EPOLLOUT)
			flush(l, s);
		if (events & (EPOLLIN | EPOLLERR | EPOLLHUP))
			on_readable(l, s);
	}
	if (s->state == HANDSHAKE)
		shake_hands(l, s);
}

/* Look at all sessions: who has waited too long, and who may start. */
static void sweep(struct load *l)
{
	int64_t patience = (int64_t)(l->o.patience * 1e9);

	for (unsigned i = 0; i < l->o.sessions; i++) {
		struct session *s = &l->sessions[i];

		if (s->state == IDLE) {
			if (s->began <= l->now && may_begin(l) && l->opening < l->o.opening)
				open_session(l, s);
		} else if (s->state != HELD && s->state != GONE &&
			   l->now - s->heard > patience) {
			fail(l, s, TIMEOUT);
		}
	}
}

static bool stdin_ended(void)
{
	char c[64];
	ssize_t n = read(STDIN_FILENO, c, sizeof(c));

	return n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR);
}

static bool all_tried(const struct load *l)
{
	for (unsigned i = 0; i < l->o.sessions; i++)
		if (l->sessions[i].state != HELD && l->sessions[i].state != GONE)
			return false;
	return true;
}

/*
 * Every session ends with a QUIT, or by our patience, or when everything is over. While
 * sessions are held the time is spent waiting for whoever started us to close stdin.
 */
static void run(struct load *l)
{
	struct epoll_event events[EVENTS];
	int64_t swept = 0;
	bool told = false;

	for (;;) {
		l->now = clock_now();
		if (l->now - swept >= STEP) {
			sweep(l);
			swept = l->now;
			if (l->o.hold && !told && all_tried(l)) {
				printf("held %u\n", l->held);
				fflush(stdout);
				told = true;
			}
			if (l->now >= l->give_up ||
			    (l->o.hold && (stopped || stdin_ended())))
				return;
			if (!l->o.hold && !l->busy && !may_begin(l))
				return;
		}

		int n = epoll_wait(l->poller, events, EVENTS, 20);

		l->now = clock_now();
		for (int i = 0; i < n; i++)
			on_event(l, events[i].data.ptr, events[i].events);
	}
}

/* Before and after. */

static struct text text_of(const char *fmt, const char *what)
{
	struct text t = { .n = strlen(fmt) + strlen(what) };

	t.p = take(t.n + 1, 1);
	t.n = (size_t)snprintf(t.p, t.n + 1, fmt, what);
	return t;
}

/* A message of the size that was asked for, its end of data not counted. */
static struct text message(const struct options *o)
{
	static const char line[] = "The quick brown fox jumps over the lazy dog, and "
				   "the dog goes on sleeping.\r\n";
	struct text t = { .p = take(o->size + sizeof(line) + 1024, 1) };

	t.n = (size_t)sprintf(t.p,
			      "From: <%.300s>\r\nTo: <%.300s>\r\nSubject: load\r\n"
			      "Date: Thu, 1 Jan 2026 00:00:00 +0000\r\n"
			      "Message-ID: <load@load.example.test>\r\n\r\n",
			      o->sender, o->recipients[0]);
	while (t.n < o->size) {
		size_t n = sizeof(line) - 1 < o->size - t.n ? sizeof(line) - 1
							    : o->size - t.n;

		memcpy(t.p + t.n, line + sizeof(line) - 1 - n, n);
		t.n += n;
	}
	memcpy(t.p + t.n, t.n >= 2 && t.p[t.n - 2] == '\r' ? ".\r\n" : "\r\n.\r\n", 6);
	t.n = strlen(t.p);
	return t;
}

static void write_texts(struct load *l)
{
	struct options *o = &l->o;
	size_t room = o->per_message * (size_t)(strlen("RCPT TO:<>\r\n") + 256);

	l->mail = text_of("MAIL FROM:<%s>\r\n", o->sender);
	l->body = message(o);
	l->rcpt = take(o->recipients_n, sizeof(*l->rcpt));
	l->envelope = take(o->recipients_n, sizeof(*l->envelope));
	for (unsigned i = 0; i < o->recipients_n; i++)
		l->rcpt[i] = text_of("RCPT TO:<%s>\r\n", o->recipients[i]);
	for (unsigned i = 0; o->pipelining && i < o->recipients_n; i++) {
		char *p = l->envelope[i].p = take(l->mail.n + room + 16, 1);

		p = stpcpy(p, l->mail.p);
		for (unsigned k = 0; k < o->per_message; k++)
			p = stpcpy(p, l->rcpt[(i + k) % o->recipients_n].p);
		p = stpcpy(p, "DATA\r\n");
		l->envelope[i].n = (size_t)(p - l->envelope[i].p);
	}
}

static void find_target(struct load *l)
{
	struct sockaddr_in v4 = { .sin_family = AF_INET, .sin_port = htons(l->o.port) };
	struct sockaddr_in6 v6 = { .sin6_family = AF_INET6,
				   .sin6_port = htons(l->o.port) };

	if (inet_pton(AF_INET, l->o.address, &v4.sin_addr) == 1 &&
	    ntohl(v4.sin_addr.s_addr) >> 24 == 127) {
		memcpy(&l->to, &v4, sizeof(v4));
		l->to_n = sizeof(v4);
	} else if (inet_pton(AF_INET6, l->o.address, &v6.sin6_addr) == 1 &&
		   IN6_IS_ADDR_LOOPBACK(&v6.sin6_addr)) {
		memcpy(&l->to, &v6, sizeof(v6));
		l->to_n = sizeof(v6);
	} else {
		die("%s is not in 127.0.0.0/8 and not ::1; other machines are not for us",
		    l->o.address);
	}
}

static void raise_descriptors(unsigned sessions)
{
	struct rlimit r;

	if (getrlimit(RLIMIT_NOFILE, &r) < 0)
		die("getrlimit: %s", strerror(errno));
	r.rlim_cur = r.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &r) < 0)
		die("setrlimit: %s", strerror(errno));
	if (r.rlim_max < sessions + SPARE)
		die("%u sessions need %u descriptors, and this machine allows %llu per process "
		    "(ulimit -Hn); start several of me with fewer sessions each",
		    sessions, sessions + SPARE, (unsigned long long)r.rlim_max);
}

static void prepare(struct load *l)
{
	find_target(l);
	raise_descriptors(l->o.sessions);
	write_texts(l);
	l->poller = epoll_create1(EPOLL_CLOEXEC);
	if (l->poller < 0)
		die("epoll: %s", strerror(errno));
	l->sessions = take(l->o.sessions, sizeof(*l->sessions));
	for (unsigned i = 0; i < l->o.sessions; i++)
		l->sessions[i].fd = -1;
	if (l->o.tls) {
		l->tls = SSL_CTX_new(TLS_client_method());
		if (!l->tls)
			die("OpenSSL has no client method");
		SSL_CTX_set_mode(l->tls, SSL_MODE_RELEASE_BUFFERS |
						 SSL_MODE_ENABLE_PARTIAL_WRITE |
						 SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
		SSL_CTX_set_session_cache_mode(l->tls, SSL_SESS_CACHE_OFF);
	}
	signal(SIGPIPE, SIG_IGN);
	sigaction(SIGTERM, &(struct sigaction){ .sa_handler = on_signal }, NULL);
	sigaction(SIGINT, &(struct sigaction){ .sa_handler = on_signal }, NULL);
	if (l->o.hold)
		fcntl(STDIN_FILENO, F_SETFL, O_NONBLOCK);
	l->start = l->now = l->last_taken = clock_now();
	l->finish = l->start + (int64_t)(l->o.seconds * 1e9);
	l->give_up = l->finish + (l->o.hold ? 0 : (int64_t)(l->o.patience * 1e9));
}

static double own_cpu(void)
{
	struct rusage u;

	getrusage(RUSAGE_SELF, &u);
	return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
	       (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static void report(const struct load *l)
{
	const struct options *o = &l->o;
	double all = (double)(l->last_taken - l->start) / 1e9;
	double window = o->count ? all : o->seconds;
	uint64_t errors = 0;

	if (window <= 0 || l->taken == 0)
		window = o->seconds;
	printf("{\"sessions\": %u, \"per_connection\": %u, \"size\": %u, ", o->sessions,
	       o->per_connection, o->size);
	printf("\"pipelining\": %s, \"tls\": %s, ", o->pipelining ? "true" : "false",
	       o->tls ? "true" : "false");
	printf("\"messages\": %llu, \"seconds\": %.3f, \"rate\": %.1f, ",
	       (unsigned long long)l->taken, all,
	       (double)(o->count ? l->taken : l->taken_in_time) / window);
	printf("\"connections\": %llu, \"held\": %u, ",
	       (unsigned long long)l->connections, l->held);
	printf("\"p50_ms\": %.3f, \"p99_ms\": %.3f, \"p999_ms\": %.3f, \"max_ms\": %.3f, ",
	       percentile(l, 0.5), percentile(l, 0.99), percentile(l, 0.999), l->longest);
	for (size_t i = 0; i < FAILURES_N; i++) {
		printf("%s\"%s\": %llu", i ? ", " : "\"failures\": {", failure_words[i],
		       (unsigned long long)l->failures[i]);
		errors += l->failures[i];
	}
	printf("}, \"errors\": %llu, \"unfinished\": %u, \"cpu_seconds\": %.3f}\n",
	       (unsigned long long)errors, o->hold ? 0 : l->busy, own_cpu());
}

static void help(void)
{
	puts("usage: load [OPTION]...\n"
	     "  --address A         where to, 127.0.0.0/8 or ::1 (127.0.0.1)\n"
	     "  --port N            (2525)\n"
	     "  --sessions N        parallel sessions (1)\n"
	     "  --per-connection N  messages on each connection (1)\n"
	     "  --size BYTES        of a message, header included (4096)\n"
	     "  --seconds S         begin messages for so long (4); with --count or --hold: at "
	     "most\n"
	     "  --count N           end after so many messages instead\n"
	     "  --patience S        without progress before a session is given up (30)\n"
	     "  --sources N         come from so many addresses, 0 for the system's choice "
	     "(200)\n"
	     "  --opening N         connections that may be in their first steps at once (500)\n"
	     "  --sender A          (load@load.example.test)\n"
	     "  --recipients A,B,C  taken in turn (user1@example.test)\n"
	     "  --per-message N     recipients of one message (1)\n"
	     "  --pipelining        send MAIL, RCPT and DATA at once\n"
	     "  --tls               STARTTLS, certificate not checked\n"
	     "  --hold N            open N sessions, print `held N`, keep them until stdin "
	     "closes");
}

static double number(const char *name, const char *text, double low, double high)
{
	char *end;
	double n = strtod(text, &end);

	if (end == text || *end || !(n >= low && n <= high))
		die("--%s: %s is not a number from %.0f to %.0f", name, text, low, high);
	return n;
}

static void list_recipients(struct options *o, char *text)
{
	o->recipients = take(RECIPIENTS_MAX, sizeof(*o->recipients));
	o->recipients_n = 0;
	for (char *word = strtok(text, ","); word; word = strtok(NULL, ",")) {
		if (o->recipients_n == RECIPIENTS_MAX || strlen(word) > 254)
			die("--recipients: more than %d, or one too long", RECIPIENTS_MAX);
		o->recipients[o->recipients_n++] = word;
	}
	if (o->recipients_n == 0)
		die("--recipients: none");
}

static struct options parse(int argc, char **argv)
{
	/* clang-format off */
	static const struct option names[] = {
		{ "address",        required_argument, NULL, 'a' },
		{ "port",           required_argument, NULL, 'p' },
		{ "sessions",       required_argument, NULL, 'n' },
		{ "per-connection", required_argument, NULL, 'm' },
		{ "size",           required_argument, NULL, 'b' },
		{ "seconds",        required_argument, NULL, 's' },
		{ "count",          required_argument, NULL, 'c' },
		{ "patience",       required_argument, NULL, 'w' },
		{ "sources",        required_argument, NULL, 'i' },
		{ "opening",        required_argument, NULL, 'o' },
		{ "sender",         required_argument, NULL, 'f' },
		{ "recipients",     required_argument, NULL, 'r' },
		{ "per-message",    required_argument, NULL, 'k' },
		{ "pipelining",     no_argument,       NULL, 'P' },
		{ "tls",            no_argument,       NULL, 'T' },
		{ "hold",           required_argument, NULL, 'H' },
		{ "help",           no_argument,       NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	/* clang-format on */
	static char someone[] = "user1@example.test";
	struct options o = {
		.address = "127.0.0.1",
		.port = 2525,
		.sessions = 1,
		.per_connection = 1,
		.size = 4096,
		.seconds = 4,
		.patience = 30,
		.sources = 200,
		.opening = 500,
		.per_message = 1,
		.sender = "load@load.example.test",
	};
	char *recipients = someone;
	bool timed = false;
	int c, at = 0;

	while ((c = getopt_long(argc, argv, "", names, &at)) != -1) {
		const char *name = c == '?' ? "" : names[at].name;

		switch (c) {
		case 'a':
			o.address = optarg;
			break;
		case 'p':
			o.port = (uint16_t)number(name, optarg, 1, 65535);
			break;
		case 'n':
			o.sessions = (unsigned)number(name, optarg, 1, SESSIONS_MAX);
			break;
		case 'm':
			o.per_connection = (unsigned)number(name, optarg, 1, 1e6);
			break;
		case 'b':
			o.size = (unsigned)number(name, optarg, 1, BODY_MAX);
			break;
		case 's':
			o.seconds = number(name, optarg, 0.01, 86400);
			timed = true;
			break;
		case 'c':
			o.count = (uint64_t)number(name, optarg, 1, 1e12);
			break;
		case 'w':
			o.patience = number(name, optarg, 0.01, 3600);
			break;
		case 'i':
			o.sources = (unsigned)number(name, optarg, 0, SOURCES_MAX);
			break;
		case 'o':
			o.opening = (unsigned)number(name, optarg, 1, SESSIONS_MAX);
			break;
		case 'f':
			o.sender = optarg;
			break;
		case 'r':
			recipients = optarg;
			break;
		case 'k':
			o.per_message = (unsigned)number(name, optarg, 1, 1000);
			break;
		case 'P':
			o.pipelining = true;
			break;
		case 'T':
			o.tls = true;
			break;
		case 'H':
			o.sessions = (unsigned)number(name, optarg, 1, SESSIONS_MAX);
			o.hold = true;
			break;
		case 'h':
			help();
			exit(0);
		default:
			exit(2);
		}
	}
	if (optind < argc)
		die("what is %s?", argv[optind]);
	if (!timed && (o.hold || o.count))
		o.seconds = 300;
	list_recipients(&o, recipients);
	return o;
}

int main(int argc, char **argv)
{
	static struct load l;

	l.o = parse(argc, argv);
	prepare(&l);
	run(&l);
	report(&l);
	return 0;
}
