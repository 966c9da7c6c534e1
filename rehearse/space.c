#include "rehearse/target.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define V4_NET "198.18.0.0/15"
#define V6_NET "2001:db8::/32"

/* Like the namespace itself, it belongs to the whole process and goes along in a fork. */
static bool ours;

bool space_is_ours(void)
{
	return ours;
}

/* Not by PATH: this runs as root. */
static const char *find_ip(void)
{
	static const char *const places[] = { "/sbin/ip", "/usr/sbin/ip", "/bin/ip",
					      "/usr/bin/ip" };

	for (size_t i = 0; i < COUNT_OF(places); i++)
		if (access(places[i], X_OK) == 0)
			return places[i];
	return NULL;
}

/* At most seven words; does what they say or tells which of them did not work. */
static bool run_ip(const char *program, const char *const *words, struct err *e)
{
	static char *const environment[] = { "PATH=/usr/sbin:/usr/bin:/sbin:/bin", NULL };
	char *argv[9] = { "ip" };
	char said[120] = "";
	size_t n = 0;
	int status = 0;
	pid_t pid;

	for (; words[n]; n++) {
		argv[n + 1] = (char *)(uintptr_t)words[n];
		strncat(said, " ", sizeof(said) - strlen(said) - 1);
		strncat(said, words[n], sizeof(said) - strlen(said) - 1);
	}

	int failed = posix_spawn(&pid, program, NULL, NULL, argv, environment);

	if (failed)
		return err_set(e, "%s: %s", program, strerror(failed));
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return err_set(e, "%s%s: %s", program, said, strerror(errno));
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
		return err_set(e, "%s%s did not work here (status %d)", program, said,
			       status);
	return true;
}

/*
 * A local route makes every address of a net ours to be reached at, and for IPv4 also to be bound.
 * IPv6 binds only what is on an interface, unless it is told otherwise.
 */
static bool bind_any_v6(struct err *e)
{
	static const char path[] = "/proc/sys/net/ipv6/ip_nonlocal_bind";
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	bool written = fd >= 0 && write(fd, "1", 1) == 1;
	int why = errno;

	if (fd >= 0)
		close(fd);
	return written || err_set(e, "%s: %s", path, strerror(why));
}

static bool can_bind(const struct sockaddr *at, socklen_t n, const char *net,
		     struct err *e)
{
	int fd = socket(at->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool bound = fd >= 0 && bind(fd, at, n) == 0;
	int why = errno;

	if (fd >= 0)
		close(fd);
	return bound || err_set(e, "binding an address of %s: %s", net, strerror(why));
}

static bool furnish(const char *ip, struct err *e)
{
	static const char *const steps[][8] = {
		{ "link", "set", "dev", "lo", "up" },
		{ "-4", "route", "add", "local", V4_NET, "dev", "lo" },
		{ "-6", "route", "add", "local", V6_NET, "dev", "lo" },
	};
	struct sockaddr_in v4 = { .sin_family = AF_INET };
	struct sockaddr_in6 v6 = { .sin6_family = AF_INET6 };

	for (size_t i = 0; i < COUNT_OF(steps); i++)
		if (!run_ip(ip, steps[i], e))
			return false;
	inet_pton(AF_INET, "198.19.255.254", &v4.sin_addr);
	inet_pton(AF_INET6, "2001:db8:ffff::1", &v6.sin6_addr);
	return bind_any_v6(e) && can_bind((struct sockaddr *)&v4, sizeof(v4), V4_NET, e) &&
	       can_bind((struct sockaddr *)&v6, sizeof(v6), V6_NET, e);
}

bool space_open(struct err *e)
{
	const char *ip = find_ip();

	if (ours)
		return true;
	if (!ip)
		return err_set(e, "a network namespace needs the ip program, and it is not "
				  "there: install iproute2");

	int before = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);

	if (before < 0)
		return err_set(e, "/proc/self/ns/net: %s", strerror(errno));
	if (unshare(CLONE_NEWNET) < 0) {
		int why = errno;

		close(before);
		return err_set(e, "a network namespace cannot be made: %s%s",
			       strerror(why),
			       why == EPERM ? "; it needs root (sudo)" : "");
	}
	ours = furnish(ip, e);
	if (!ours && setns(before, CLONE_NEWNET) < 0)
		err_within(e, "in an empty network namespace (%s)", strerror(errno));
	close(before);
	return ours;
}
