#include "io/stream.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/ssl.h>

static void on_watch(void *arg, unsigned ready)
{
	struct stream *s = arg;

	if (ready & WATCH_READ)
		s->can_read = true;
	if (ready & WATCH_WRITE)
		s->can_write = true;
	if (ready & WATCH_HUP)
		s->hung_up = true;
	s->on_ready(s->arg);
}

static bool start(struct stream *s, struct loop *l, int fd, unsigned mask)
{
	if (watch_start(l, &s->watch, fd, WATCH_EDGES | mask, on_watch, s))
		return true;
	s->error = errno;
	close(fd);
	return false;
}

bool stream_open(struct stream *s, struct loop *l, int fd, void (*on_ready)(void *arg),
		 void *arg)
{
	*s = (struct stream){ .on_ready = on_ready, .arg = arg, .can_write = true };
	return start(s, l, fd, WATCH_READ);
}

/* ---- connecting ------------------------------------------------------------------------ */

/* A socket address of either family. */
struct sockaddr_of {
	union {
		struct sockaddr any;
		struct sockaddr_in v4;
		struct sockaddr_in6 v6;
		struct sockaddr_un in_unix;
	} at;
	socklen_t n;
};

static struct sockaddr_of sockaddr_of(const struct endpoint *e)
{
	struct sockaddr_of s = { .n = sizeof(s.at.v6) };

	if (addr_is_v4(&e->addr)) {
		s.n = sizeof(s.at.v4);
		s.at.v4.sin_family = AF_INET;
		s.at.v4.sin_port = htons(e->port);
		memcpy(&s.at.v4.sin_addr, e->addr.ip + 12, 4);
	} else {
		s.at.v6.sin6_family = AF_INET6;
		s.at.v6.sin6_port = htons(e->port);
		memcpy(&s.at.v6.sin6_addr, e->addr.ip, 16);
	}
	return s;
}

/* The port is chosen at connect(), so that one serves for connections to many hosts. */
static bool bind_to(int fd, const struct sockaddr_of *from)
{
	int on = 1;

	(void)setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on));
	return bind(fd, &from->at.any, from->n) == 0;
}

/* from: NULL if the kernel may choose. */
static bool connect_to(struct stream *s, struct loop *l, const struct sockaddr_of *from,
		       const struct sockaddr_of *to)
{
	int fd = socket(to->at.any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC,
			0);

	if (fd < 0) {
		s->error = errno;
		return false;
	}
	if ((from && !bind_to(fd, from)) ||
	    (connect(fd, &to->at.any, to->n) != 0 && errno != EINPROGRESS)) {
		s->error = errno;
		close(fd);
		return false;
	}
	s->connecting = true;
	return start(s, l, fd, WATCH_READ | WATCH_WRITE);
}

bool stream_connect(struct stream *s, struct loop *l, const struct endpoint *to,
		    void (*on_ready)(void *arg), void *arg)
{
	struct sockaddr_of there = sockaddr_of(to);

	*s = (struct stream){ .on_ready = on_ready, .arg = arg };
	return connect_to(s, l, NULL, &there);
}

bool stream_connect_from(struct stream *s, struct loop *l, const struct addr *from,
			 const struct endpoint *to, void (*on_ready)(void *arg), void *arg)
{
	struct endpoint here = { .addr = *from };
	struct sockaddr_of at = sockaddr_of(&here), there = sockaddr_of(to);

	*s = (struct stream){ .on_ready = on_ready, .arg = arg };
	return connect_to(s, l, &at, &there);
}

bool stream_connect_unix(struct stream *s, struct loop *l, const char *path,
			 void (*on_ready)(void *arg), void *arg)
{
	struct sockaddr_of at = { .at.in_unix.sun_family = AF_UNIX,
				  .n = sizeof(at.at.in_unix) };
	size_t n = strlen(path);

	*s = (struct stream){ .on_ready = on_ready, .arg = arg };
	if (n >= sizeof(at.at.in_unix.sun_path)) {
		s->error = ENAMETOOLONG;
		return false;
	}
	memcpy(at.at.in_unix.sun_path, path, n + 1);
	return connect_to(s, l, NULL, &at);
}

enum stream_got stream_connected(struct stream *s)
{
	socklen_t n = sizeof(s->error);

	if (!s->connecting)
		return STREAM_GOT;
	if (!s->can_write)
		return STREAM_AGAIN;
	if (getsockopt(s->watch.fd, SOL_SOCKET, SO_ERROR, &s->error, &n) != 0)
		s->error = errno;
	if (s->error)
		return STREAM_BROKEN;
	s->connecting = false;
	return STREAM_GOT;
}

/* ---- reading and writing --------------------------------------------------------------- */

static enum stream_got broken(struct stream *s, int error)
{
	s->error = error;
	s->hung_up = true;
	s->can_read = s->can_write = false;
	return STREAM_BROKEN;
}

/* Most connections never wait for this, so it is not asked for from the start. */
static enum stream_got wait_to_write(struct stream *s)
{
	s->can_write = false;
	watch_mask(&s->watch, WATCH_EDGES | WATCH_READ | WATCH_WRITE);
	return STREAM_AGAIN;
}

/* Why did a TLS operation not succeed? */
static enum stream_got tls_result(struct stream *s, int rc)
{
	switch (SSL_get_error(s->ssl, rc)) {
	case SSL_ERROR_WANT_READ:
		s->can_read = false;
		return STREAM_AGAIN;
	case SSL_ERROR_WANT_WRITE:
		return wait_to_write(s);
	case SSL_ERROR_ZERO_RETURN:
		return STREAM_EOF;
	case SSL_ERROR_SYSCALL:
		return broken(s, errno ? errno : ECONNRESET);
	default:
		return broken(s, EPROTO);
	}
}

/*
 * Inside TLS, bytes may be waiting in OpenSSL's buffer while the socket has none, so
 * can_read does not decide; and a renegotiation cannot happen, so reading waits for
 * reading only and writing for writing.
 */
static enum stream_got read_tls(struct stream *s, void *mem, size_t cap, size_t *n)
{
	int rc;

	if (s->error)
		return STREAM_BROKEN;
	if (!s->can_read && !SSL_has_pending(s->ssl))
		return STREAM_AGAIN;
	ERR_clear_error();
	rc = SSL_read_ex(s->ssl, mem, cap, n);
	return rc == 1 ? STREAM_GOT : tls_result(s, rc);
}

enum stream_got stream_read(struct stream *s, void *mem, size_t cap, size_t *n)
{
	ssize_t got;

	if (s->ssl)
		return read_tls(s, mem, cap, n);
	if (!s->can_read)
		return s->error ? STREAM_BROKEN : STREAM_AGAIN;
	do
		got = read(s->watch.fd, mem, cap);
	while (got < 0 && errno == EINTR);
	if (got > 0) {
		/* a short read drained it, unless the peer's end is behind it (epoll(7)) */
		s->can_read = (size_t)got == cap || s->hung_up;
		*n = (size_t)got;
		return STREAM_GOT;
	}
	if (got == 0)
		return STREAM_EOF;
	if (errno != EAGAIN)
		return broken(s, errno);
	s->can_read = false;
	return STREAM_AGAIN;
}

enum stream_got stream_peek(struct stream *s, void *mem, size_t cap, size_t *n)
{
	ssize_t got;

	if (!s->can_read)
		return s->error ? STREAM_BROKEN : STREAM_AGAIN;
	got = recv(s->watch.fd, mem, cap, MSG_PEEK);
	s->can_read = false;
	if (got < 0 && errno != EAGAIN && errno != EINTR)
		return broken(s, errno);
	if (got == 0)
		return STREAM_EOF;
	*n = got > 0 ? (size_t)got : 0;
	return got > 0 ? STREAM_GOT : STREAM_AGAIN;
}

void stream_skip(struct stream *s, size_t n)
{
	uint8_t away[512];

	if (n)
		s->can_read = true; /* there may be more behind it: the edge was reported */
	while (n) {
		ssize_t got = read(s->watch.fd, away, n < sizeof(away) ? n : sizeof(away));

		if (got <= 0)
			return;
		n -= (size_t)got;
	}
}

static enum stream_got write_tls(struct stream *s, struct span *left)
{
	while (left->n) {
		size_t n;
		int rc;

		ERR_clear_error();
		rc = SSL_write_ex(s->ssl, left->p, left->n, &n);
		if (rc != 1)
			return tls_result(s, rc);
		*left = span_skip(*left, n);
	}
	return STREAM_GOT;
}

enum stream_got stream_write(struct stream *s, struct span *left)
{
	if (left->n == 0)
		return STREAM_GOT;
	if (!s->can_write)
		return s->error ? STREAM_BROKEN : STREAM_AGAIN;
	if (s->ssl)
		return write_tls(s, left);
	while (left->n) {
		ssize_t n = send(s->watch.fd, left->p, left->n, MSG_NOSIGNAL);

		if (n >= 0) {
			*left = span_skip(*left, (size_t)n);
		} else if (errno == EAGAIN) {
			return wait_to_write(s);
		} else if (errno != EINTR) {
			return broken(s, errno);
		}
	}
	return STREAM_GOT;
}

enum stream_got stream_splice_in(struct stream *s, int pipe, size_t max, size_t *n)
{
	ssize_t got;

	if (!s->can_read)
		return s->error ? STREAM_BROKEN : STREAM_AGAIN;
	do
		got = splice(s->watch.fd, NULL, pipe, NULL, max,
			     SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
	while (got < 0 && errno == EINTR);
	if (got == 0)
		return STREAM_EOF;
	if (got < 0 && errno != EAGAIN)
		return broken(s, errno);
	s->can_read = got > 0;
	*n = got > 0 ? (size_t)got : 0;
	return got > 0 ? STREAM_GOT : STREAM_AGAIN;
}

enum stream_got stream_splice_out(struct stream *s, int pipe, size_t *left)
{
	if (*left && !s->can_write)
		return s->error ? STREAM_BROKEN : STREAM_AGAIN;
	while (*left) {
		ssize_t n = splice(pipe, NULL, s->watch.fd, NULL, *left,
				   SPLICE_F_MOVE | SPLICE_F_NONBLOCK);

		if (n > 0)
			*left -= (size_t)n;
		else if (n < 0 && errno == EAGAIN)
			return wait_to_write(s);
		else if (n == 0 || errno != EINTR)
			return broken(s, n == 0 ? EPIPE : errno);
	}
	return STREAM_GOT;
}

void stream_no_delay(struct stream *s)
{
	int on = 1;

	if (s->no_delay)
		return;
	s->no_delay = true;
	(void)setsockopt(s->watch.fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
}

/* ---- TLS ---------------------------------------------------------------------------------- */

bool stream_tls_server(struct stream *s, struct tls *tls)
{
	s->ssl = tls_server(tls, s->watch.fd);
	return s->ssl != NULL;
}

bool stream_tls_client(struct stream *s, struct tls *tls, const struct tls_peer *peer)
{
	s->ssl = tls_client(tls, s->watch.fd, peer);
	return s->ssl != NULL;
}

const char *stream_tls_trouble(const struct stream *s)
{
	return tls_trouble(s->ssl);
}

enum stream_got stream_handshake(struct stream *s)
{
	int rc;

	ERR_clear_error();
	rc = SSL_do_handshake(s->ssl);
	return rc == 1 ? STREAM_GOT : tls_result(s, rc);
}

struct tls_facts stream_tls_facts(const struct stream *s)
{
	return (struct tls_facts){
		.version = SSL_get_version(s->ssl),
		.cipher = SSL_get_cipher_name(s->ssl),
		.bits = SSL_get_cipher_bits(s->ssl, NULL),
		.hello = tls_hello(s->ssl),
	};
}

size_t stream_tls_client_name(const struct stream *s, char *out, size_t room)
{
	return s->ssl && SSL_is_init_finished(s->ssl) ? tls_client_name(s->ssl, out, room)
						      : 0;
}

bool stream_tls_client_chain(const struct stream *s, struct buf *list)
{
	return s->ssl && SSL_is_init_finished(s->ssl) && tls_client_chain(s->ssl, list);
}

size_t stream_tls_binding(struct stream *s, uint8_t out[TLS_BINDING_MAX])
{
	return s->ssl && SSL_is_init_finished(s->ssl) ? tls_binding(s->ssl, out) : 0;
}

/* ---- the end ------------------------------------------------------------------------------ */

void stream_finish(struct stream *s)
{
	if (!stream_is_open(s) || s->error)
		return;
	if (s->ssl && SSL_is_init_finished(s->ssl)) {
		ERR_clear_error();
		(void)SSL_shutdown(s->ssl);
	}
	(void)shutdown(s->watch.fd, SHUT_WR);
}

void stream_close(struct stream *s)
{
	if (!stream_is_open(s))
		return;
	tls_release(&s->ssl);
	if (!s->shown) {
		watch_close(&s->watch);
		return;
	}
	/* closing it takes it out of the loop only if nobody else has it open */
	watch_stop(&s->watch);
	close(s->watch.fd);
}

void stream_reset(struct stream *s)
{
	struct linger now = { .l_onoff = 1 };

	if (!stream_is_open(s))
		return;
	(void)setsockopt(s->watch.fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	stream_close(s);
}

/* ---- addresses ------------------------------------------------------------------------------ */

struct endpoint endpoint_from(const struct sockaddr_storage *from)
{
	const struct sockaddr_in *v4 = (const struct sockaddr_in *)from;
	const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)from;
	struct endpoint e = { 0 };

	if (from->ss_family == AF_INET) {
		const uint8_t *ip = (const uint8_t *)&v4->sin_addr;

		e.addr = addr_v4(ip[0], ip[1], ip[2], ip[3]);
		e.port = ntohs(v4->sin_port);
	} else if (from->ss_family == AF_INET6) {
		memcpy(e.addr.ip, &v6->sin6_addr, 16);
		e.port = ntohs(v6->sin6_port);
	}
	return e;
}

struct endpoint stream_local(const struct stream *s)
{
	struct sockaddr_storage at = { 0 };
	socklen_t n = sizeof(at);

	(void)getsockname(s->watch.fd, (struct sockaddr *)&at, &n);
	return endpoint_from(&at);
}
