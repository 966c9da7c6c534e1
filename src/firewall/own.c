#include "firewall/own.h"

#include <errno.h>
#include <ifaddrs.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

static bool addr_of(const struct sockaddr *sa, struct addr *out)
{
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;

	if (!sa || (sa->sa_family != AF_INET && sa->sa_family != AF_INET6))
		return false;
	if (sa->sa_family == AF_INET) {
		memcpy(&v4, sa, sizeof(v4));
		*out = addr_v4(0, 0, 0, 0);
		memcpy(out->ip + 12, &v4.sin_addr, 4);
	} else {
		memcpy(&v6, sa, sizeof(v6));
		memcpy(out->ip, &v6.sin6_addr, 16);
	}
	return true;
}

static int by_bytes(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(struct addr));
}

static bool gather(struct own *o, const struct ifaddrs *all, struct err *err)
{
	struct addr a;
	size_t n = 0;

	for (const struct ifaddrs *i = all; i; i = i->ifa_next)
		n += addr_of(i->ifa_addr, &a);
	if (n > OWN_MAX)
		return err_set(err, "this machine has more than %d addresses", OWN_MAX);
	o->list = calloc(n + 1, sizeof(*o->list));
	if (!o->list)
		return err_set(err, "out of memory");
	for (const struct ifaddrs *i = all; i && o->count < n; i = i->ifa_next)
		if (addr_of(i->ifa_addr, &a))
			o->list[o->count++] = a;
	qsort(o->list, o->count, sizeof(*o->list), by_bytes);
	return true;
}

bool own_read(struct own *o, bool *changed, struct err *err)
{
	struct own now = { 0 };
	struct ifaddrs *all;
	bool good;

	if (getifaddrs(&all) != 0)
		return err_set(err, "the addresses of this machine cannot be read: %s",
			       strerror(errno));
	good = gather(&now, all, err);
	freeifaddrs(all);
	if (!good)
		return false;
	*changed = !o->list || o->count != now.count ||
		   memcmp(o->list, now.list, now.count * sizeof(*now.list)) != 0;
	own_close(o);
	*o = now;
	return true;
}

void own_close(struct own *o)
{
	free(o->list);
	*o = (struct own){ 0 };
}
