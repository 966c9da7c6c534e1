#include "link/systemd.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "base/number.h"

/*
 * The protocols of sd_notify(3), sd_watchdog_enabled(3) and sd_listen_fds(3), which do not
 * change (systemd.io/PORTABILITY_AND_STABILITY). libsystemd would bring six libraries
 * along for them, compressors among them, to each role and each command.
 */
#define FIRST_PASSED 3	  /* SD_LISTEN_FDS_START */
#define PASSED_MAX   1024 /* descriptors: more than this are nonsense */

static bool env_number(const char *name, uint64_t most, uint64_t *out)
{
	const char *text = getenv(name);

	return text && number_parse(span_str(text), most, out);
}

/* Is what stands beside this variable meant for us, and not for who started us? */
static bool is_for_us(const char *pid_name)
{
	uint64_t pid;

	return env_number(pid_name, INT32_MAX, &pid) && pid == (uint64_t)getpid();
}

/* Where it wants to hear from us; "@" stands for the NUL of an abstract name. */
static bool manager(struct sockaddr_un *to, socklen_t *to_n)
{
	const char *path = getenv("NOTIFY_SOCKET");
	size_t n = path ? strlen(path) : 0;

	*to = (struct sockaddr_un){ .sun_family = AF_UNIX };
	if (n < 2 || n >= sizeof(to->sun_path) || (*path != '/' && *path != '@'))
		return false;
	memcpy(to->sun_path, path, n);
	if (*path == '@')
		to->sun_path[0] = '\0';
	*to_n = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n);
	return true;
}

void systemd_notify(const char *fmt, ...)
{
	struct sockaddr_un to;
	socklen_t to_n;
	char text[512];
	va_list args;
	int fd;

	if (!manager(&to, &to_n))
		return;
	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return;
	(void)sendto(fd, text, strlen(text), MSG_NOSIGNAL, (struct sockaddr *)&to, to_n);
	close(fd);
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
	uint64_t us;

	if (!env_number("WATCHDOG_USEC", INT64_MAX, &us) || us == 0 ||
	    (getenv("WATCHDOG_PID") && !is_for_us("WATCHDOG_PID")))
		return MS_NEVER;
	return (ms_t)(us / 2000);
}

static bool is_listening_stream(int fd)
{
	int type = 0, listens = 0;
	socklen_t type_n = sizeof(type), listens_n = sizeof(listens);

	return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &type_n) == 0 &&
	       type == SOCK_STREAM &&
	       getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &listens_n) == 0 &&
	       listens;
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

	if (!is_listening_stream(fd) || getsockname(fd, &sa.any, &n) != 0)
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

/* How many descriptors were passed, once: children must not take them for theirs. */
static int passed(void)
{
	static const char *const names[] = { "LISTEN_PID", "LISTEN_FDS",
					     "LISTEN_FDNAMES" };
	uint64_t n = 0;

	if (!is_for_us("LISTEN_PID") || !env_number("LISTEN_FDS", PASSED_MAX, &n))
		n = 0;
	for (size_t i = 0; i < COUNT_OF(names); i++)
		unsetenv(names[i]);
	return (int)n;
}

void systemd_sockets(struct systemd_sockets *out)
{
	int n = passed();

	out->count = 0;
	for (int fd = FIRST_PASSED; fd < FIRST_PASSED + n; fd++) {
		int flags = fcntl(fd, F_GETFD);

		if (flags < 0 || fcntl(fd, F_SETFD, flags | FD_CLOEXEC) != 0 ||
		    out->count == SYSTEMD_SOCKETS_MAX ||
		    !listens_at(fd, &out->socket[out->count].at))
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
