#include "link/systemd.h"

#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/socket.h>
#include <systemd/sd-daemon.h>
#include <time.h>

void systemd_notify(const char *fmt, ...)
{
	char text[512];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	(void)sd_notify(0, text);
}

void systemd_reloading(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	systemd_notify("RELOADING=1\nMONOTONIC_USEC=%lld",
		       (long long)t.tv_sec * 1000000 + t.tv_nsec / 1000);
}

ms_t systemd_watchdog(void)
{
	uint64_t us = 0;

	if (sd_watchdog_enabled(0, &us) <= 0 || us == 0)
		return MS_NEVER;
	return (ms_t)(us / 2000);
}

/* Which address a listening TCP socket has; false for every other kind. */
static bool listens_at(int fd, struct endpoint *at)
{
	union {
		struct sockaddr any;
		struct sockaddr_in v4;
		struct sockaddr_in6 v6;
	} sa;
	socklen_t n = sizeof(sa);

	if (sd_is_socket(fd, AF_UNSPEC, SOCK_STREAM, 1) <= 0 ||
	    getsockname(fd, &sa.any, &n) != 0)
		return false;
	if (sa.any.sa_family == AF_INET) {
		const uint8_t *ip = (const uint8_t *)&sa.v4.sin_addr;

		at->addr = addr_v4(ip[0], ip[1], ip[2], ip[3]);
		at->port = ntohs(sa.v4.sin_port);
		return true;
	}
	if (sa.any.sa_family != AF_INET6)
		return false;
	memcpy(at->addr.ip, &sa.v6.sin6_addr, sizeof(at->addr.ip));
	at->port = ntohs(sa.v6.sin6_port);
	return true;
}

void systemd_sockets(struct systemd_sockets *out)
{
	int n = sd_listen_fds(1);

	out->count = 0;
	for (int i = 0; i < n && out->count < SYSTEMD_SOCKETS_MAX; i++) {
		int fd = SD_LISTEN_FDS_START + i;

		if (!listens_at(fd, &out->socket[out->count].at))
			continue;
		out->socket[out->count++].fd = fd;
	}
}

int systemd_take(struct systemd_sockets *s, const struct endpoint *at)
{
	for (unsigned i = 0; i < s->count; i++) {
		int fd = s->socket[i].fd;

		if (fd < 0 || s->socket[i].at.port != at->port ||
		    !addr_eq(&s->socket[i].at.addr, &at->addr))
			continue;
		s->socket[i].fd = -1;
		return fd;
	}
	return -1;
}
