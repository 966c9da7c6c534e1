#include "app/ports.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "app/places.h"
#include "base/buf.h"

/* More than any kernel allows: as many as it does. */
#define BACKLOG 4096

#define TRY_EVERY 100

union sockaddr_in_any {
	struct sockaddr any;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
};

static socklen_t fill(union sockaddr_in_any *sa, const struct endpoint *at)
{
	*sa = (union sockaddr_in_any){ 0 };
	if (addr_is_v4(&at->addr)) {
		sa->v4.sin_family = AF_INET;
		sa->v4.sin_port = htons(at->port);
		memcpy(&sa->v4.sin_addr, at->addr.ip + 12, 4);
		return sizeof(sa->v4);
	}
	sa->v6.sin6_family = AF_INET6;
	sa->v6.sin6_port = htons(at->port);
	memcpy(&sa->v6.sin6_addr, at->addr.ip, 16);
	return sizeof(sa->v6);
}

static bool is_any(const struct addr *a)
{
	static const struct addr zero;

	return addr_eq(a, &zero);
}

static const char *remedy(int error)
{
	if (error == EADDRINUSE)
		return ". Another server has this port (\"ss -ltnp\" shows which): stop it, or "
		       "listen on another port";
	if (error == EACCES)
		return ". Ports below 1024 need root, or CAP_NET_BIND_SERVICE";
	if (error == EADDRNOTAVAIL)
		return ". This machine does not have that address";
	return "";
}

/* One try. A failure leaves errno. */
static int try_open(const struct endpoint *at)
{
	union sockaddr_in_any sa;
	socklen_t n = fill(&sa, at);
	int one = 1, zero = 0, error;
	int fd = socket(sa.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0 && errno == EAFNOSUPPORT && is_any(&at->addr)) {
		/* a kernel without IPv6: everything is what IPv4 has */
		struct endpoint v4 = { addr_v4(0, 0, 0, 0), at->port };

		return try_open(&v4);
	}
	if (fd < 0)
		return -1;
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) == 0 &&
	    (sa.any.sa_family == AF_INET ||
	     setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, is_any(&at->addr) ? &zero : &one,
			sizeof(one)) == 0) &&
	    bind(fd, &sa.any, n) == 0 && listen(fd, BACKLOG) == 0)
		return fd;
	error = errno;
	close(fd);
	errno = error;
	return -1;
}

/*
 * For the programs of this machine, whoever runs them: the kernel says who that is, and
 * sessions are limited like those of any other listener.
 */
static int open_local(const struct listener *l, struct err *err)
{
	int fd = places_socket(l->path, BACKLOG, err);

	if (fd >= 0 && chmod(l->path, 0666) == 0)
		return fd;
	if (fd >= 0) {
		err_set(err, "%s", strerror(errno));
		close(fd);
	}
	err_within(err, "cannot listen on %s", l->name);
	return -1;
}

static int open_port(const struct listener *l, ms_t *patience, struct err *err)
{
	if (*l->path)
		return open_local(l, err);
	for (;;) {
		int fd = try_open(&l->at);

		if (fd >= 0)
			return fd;
		if (errno != EADDRINUSE || *patience <= 0) {
			err_set(err, "cannot listen on %s: %s%s", l->name,
				strerror(errno), remedy(errno));
			return -1;
		}
		poll(NULL, 0, TRY_EVERY);
		*patience -= TRY_EVERY;
	}
}

static int adopt(struct systemd_sockets *given, const struct endpoint *at)
{
	int fd = given ? systemd_take(given, at) : -1;

	if (fd < 0)
		return -1;
	(void)fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
	(void)listen(fd, BACKLOG); /* again: for the longer backlog */
	return fd;
}

const struct port *ports_find(const struct ports *p, uint64_t id)
{
	for (size_t i = 0; i < p->count; i++)
		if (p->port[i].id == id)
			return &p->port[i];
	return NULL;
}

void port_close(const struct port *p)
{
	struct sockaddr_un sa = { 0 };
	socklen_t n = sizeof(sa);

	if (getsockname(p->fd, (struct sockaddr *)&sa, &n) == 0 &&
	    sa.sun_family == AF_UNIX && *sa.sun_path)
		(void)unlink(sa.sun_path);
	close(p->fd);
}

bool ports_open(struct ports *out, const struct ports *had, struct systemd_sockets *given,
		const struct conf *conf, ms_t patience, struct err *err)
{
	struct ports now = { 0 };

	for (uint32_t i = 0; i < conf->listener_count; i++) {
		const struct listener *l = &conf->listeners[i];
		const struct port *old = ports_find(had, l->id);
		struct port *p = &now.port[now.count];

		p->id = l->id;
		p->at = l->at;
		memcpy(p->name, l->name, sizeof(p->name));
		p->fd = old ? old->fd : *l->path ? -1 : adopt(given, &l->at);
		if (p->fd < 0)
			p->fd = open_port(l, &patience, err);
		if (p->fd < 0)
			goto fail;
		now.count++;
	}
	*out = now;
	return true;
fail:
	for (size_t i = 0; i < now.count; i++)
		if (!ports_find(had, now.port[i].id))
			port_close(&now.port[i]);
	return false;
}
