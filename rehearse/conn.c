#include "rehearse/conn.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <sys/epoll.h>
#include <unistd.h>

#define EVENTS (EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET)

SSL_CTX *conn_tls(void)
{
	SSL_CTX *tls = SSL_CTX_new(TLS_client_method());

	if (!tls)
		return NULL;
	SSL_CTX_set_verify(tls, SSL_VERIFY_NONE, NULL);
	SSL_CTX_set_mode(tls, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
				      SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	SSL_CTX_set_session_cache_mode(tls, SSL_SESS_CACHE_OFF);
	return tls;
}

static enum conn_went why_not(int error)
{
	switch (error) {
	case EADDRNOTAVAIL:
	case EMFILE:
	case ENFILE:
	case ENOBUFS:
	case ENOMEM:
	case EAGAIN:
		return CONN_NO_ROOM;
	case ECONNREFUSED:
		return CONN_REFUSED;
	default:
		return CONN_LOST;
	}
}

static enum conn_went give_up(struct conn *c, enum conn_went why)
{
	close(c->fd);
	c->fd = -1;
	return why;
}

/* The port is chosen by connect(): so each address has all of them for each target. */
static bool bind_to(int fd, const struct sockaddr_storage *from, socklen_t n)
{
	int one = 1;

	setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof(one));
	/* a routed net, unlike in IPv4, does not make its addresses ours to bind */
	if (from->ss_family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_FREEBIND, &one, sizeof(one));
	return bind(fd, (const struct sockaddr *)from, n) == 0;
}

enum conn_went conn_open(struct conn *c, int poller, uint64_t tag,
			 const struct sockaddr_storage *from, socklen_t from_n,
			 const struct target *to)
{
	const struct sockaddr *where = (const struct sockaddr *)&to->to;
	struct epoll_event ev = { .events = EVENTS, .data.u64 = tag };
	int one = 1;

	*c = (struct conn){ .fd = -1 };
	if (!target_allowed(where))
		return CONN_FORBIDDEN;
	c->fd = socket(where->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (c->fd < 0)
		return why_not(errno);
	setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (!bind_to(c->fd, from, from_n))
		return give_up(c, CONN_FORBIDDEN);
	if (connect(c->fd, where, to->to_n) < 0 && errno != EINPROGRESS)
		return give_up(c, why_not(errno));
	if (epoll_ctl(poller, EPOLL_CTL_ADD, c->fd, &ev) < 0)
		return give_up(c, CONN_NO_ROOM);
	return CONN_WAIT;
}

enum conn_went conn_made(const struct conn *c)
{
	int error = 0;
	socklen_t n = sizeof(error);

	if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &n) < 0)
		return CONN_LOST;
	/* a reset before there was a connection is a refusal */
	if (error == 0 || error == ECONNRESET || error == EPIPE)
		return CONN_OK;
	return error == ECONNREFUSED ? CONN_REFUSED : CONN_LOST;
}

static enum conn_went tls_went(const struct conn *c, int r)
{
	switch (SSL_get_error(c->ssl, r)) {
	case SSL_ERROR_WANT_READ:
	case SSL_ERROR_WANT_WRITE:
		return CONN_WAIT;
	case SSL_ERROR_ZERO_RETURN:
		return CONN_EOF;
	default:
		return CONN_LOST;
	}
}

enum conn_went conn_read(struct conn *c, void *to, size_t room, size_t *n)
{
	ssize_t r;

	if (c->ssl) {
		ERR_clear_error();
		r = SSL_read_ex(c->ssl, to, room, n);
		return r == 1 ? CONN_OK : tls_went(c, (int)r);
	}
	r = recv(c->fd, to, room, 0);
	if (r > 0) {
		*n = (size_t)r;
		return CONN_OK;
	}
	if (r == 0)
		return CONN_EOF;
	return errno == EAGAIN || errno == EINTR ? CONN_WAIT : CONN_LOST;
}

enum conn_went conn_write(struct conn *c, const void *from, size_t len, size_t *n)
{
	ssize_t r;

	if (c->ssl) {
		ERR_clear_error();
		r = SSL_write_ex(c->ssl, from, len, n);
		return r == 1 ? CONN_OK : tls_went(c, (int)r);
	}
	r = send(c->fd, from, len, MSG_NOSIGNAL);
	if (r < 0)
		return errno == EAGAIN || errno == EINTR ? CONN_WAIT : CONN_LOST;
	*n = (size_t)r;
	return CONN_OK;
}

enum conn_went conn_shake(struct conn *c, SSL_CTX *tls, bool old)
{
	int r;

	if (!c->ssl) {
		c->ssl = SSL_new(tls);
		if (c->ssl)
			SSL_set_connect_state(c->ssl);
		if (!c->ssl || !SSL_set_fd(c->ssl, c->fd))
			return CONN_LOST;
		if (old && !SSL_set_max_proto_version(c->ssl, TLS1_2_VERSION))
			return CONN_LOST;
	} else if (SSL_is_init_finished(c->ssl) && !SSL_renegotiate(c->ssl)) {
		return CONN_LOST;
	}
	ERR_clear_error();
	r = SSL_do_handshake(c->ssl);
	if (r == 1)
		return CONN_OK;
	return tls_went(c, r) == CONN_WAIT ? CONN_WAIT : CONN_LOST;
}

uint16_t conn_port(const struct conn *c)
{
	struct sockaddr_storage own = { 0 };
	socklen_t n = sizeof(own);

	if (getsockname(c->fd, (struct sockaddr *)&own, &n) < 0)
		return 0;
	if (own.ss_family == AF_INET6)
		return ntohs(((const struct sockaddr_in6 *)(const void *)&own)->sin6_port);
	return ntohs(((const struct sockaddr_in *)(const void *)&own)->sin_port);
}

void conn_close(struct conn *c, bool reset)
{
	const struct linger now = { .l_onoff = 1 };

	if (c->ssl) {
		if (!reset && SSL_is_init_finished(c->ssl)) {
			ERR_clear_error();
			SSL_shutdown(c->ssl);
		}
		SSL_free(c->ssl);
	}
	if (c->fd >= 0) {
		if (reset)
			setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
		close(c->fd);
	}
	*c = (struct conn){ .fd = -1 };
}
