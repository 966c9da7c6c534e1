#include "rehearse/source.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

#define BLOCK	   8   /* /24s that a server may count as one: a /21 */
#define FAR_HOSTS  248 /* of a /24, spread over its four /26 */
#define NEAR_HOSTS 254

/* `wide` /16s from `first` on, and of each of them the /24s from `third` on. */
struct region_v4 {
	uint32_t first; /* the upper 16 bits */
	uint32_t wide, third, thirds;
};

static bool is_main(unsigned actor, const struct actor *a)
{
	return actor == 0 && !a->honest;
}

static struct region_v4 region_v4(unsigned actor, const struct actor *a, uint32_t to)
{
	bool loopback = to >> 24 == 127;

	if (a->honest)
		return (struct region_v4){
			.first = loopback ? 0x7fe0 : 0xc613,
			.wide = loopback ? 32 : 1,
			.third = actor * 2 * BLOCK,
			.thirds = 2 * BLOCK,
		};
	/* 127.0 and 198.18.0 to 198.18.7 are left to servers */
	return (struct region_v4){
		.first = loopback ? 0x7f01 : 0xc612,
		.wide = loopback ? 223 : 1,
		.third = is_main(actor, a) ? 128 : actor * BLOCK,
		.thirds = is_main(actor, a) ? 128 : BLOCK,
	};
}

static uint32_t v4_of(unsigned actor, const struct actor *a, uint32_t to, uint32_t i)
{
	const struct region_v4 r = region_v4(actor, a, to);
	uint32_t net, third, host;

	if (a->spread == SPREAD_NEAR) {
		host = 1 + i % NEAR_HOSTS;
		i /= NEAR_HOSTS;
		third = i % r.thirds;
		net = i / r.thirds;
	} else {
		uint32_t blocks = r.thirds / BLOCK;

		net = i % r.wide;
		i /= r.wide;
		third = i % blocks * BLOCK;
		i /= blocks;
		third += i % BLOCK;
		i /= BLOCK;
		host = i % 4 * 64 + 1 + i / 4;
	}
	return (r.first + net) << 16 | (r.third + third) << 8 | host;
}

/* Which /48 of 2001:db8::/32; below 0x400 they are left to servers. */
static struct in6_addr v6_of(unsigned actor, const struct actor *a, uint32_t i)
{
	struct in6_addr ip = { .s6_addr = { 0x20, 0x01, 0x0d, 0xb8 } };
	uint32_t nets = is_main(actor, a) ? 0x8000 : 0x400;
	uint32_t first = is_main(actor, a) ? 0x8000
			 : a->honest	   ? 0x4000 + actor * 0x400
					   : actor * 0x400;
	bool near = a->spread == SPREAD_NEAR;
	uint32_t net = near ? first : first + i % nets;
	uint32_t subnet = near ? 0 : i / nets;
	uint32_t host = near ? i + 1 : 1;

	for (int k = 0; k < 2; k++) {
		ip.s6_addr[5 - k] = (uint8_t)(net >> 8 * k);
		ip.s6_addr[7 - k] = (uint8_t)(subnet >> 8 * k);
	}
	for (int k = 0; k < 4; k++)
		ip.s6_addr[15 - k] = (uint8_t)(host >> 8 * k);
	return ip;
}

static const struct sockaddr_in *as_v4(const struct target *t)
{
	return (const void *)&t->to;
}

static const struct sockaddr_in6 *as_v6(const struct target *t)
{
	return (const void *)&t->to;
}

bool source_check(unsigned actor, const struct actor *a, const struct target *t,
		  struct err *e)
{
	if (t->to.ss_family == AF_INET6) {
		if (!IN6_IS_ADDR_LOOPBACK(&as_v6(t)->sin6_addr) || a->addresses <= 1)
			return true;
		return err_set(
			e,
			"%s comes from %u addresses, and to %s there is only ::1: "
			"take 127.0.0.1, or --namespace and a target in 2001:db8::/32",
			a->name, a->addresses, t->text);
	}

	uint32_t to = ntohl(as_v4(t)->sin_addr.s_addr);
	struct region_v4 r = region_v4(actor, a, to);
	uint32_t hosts = a->spread == SPREAD_NEAR ? NEAR_HOSTS : FAR_HOSTS;
	uint32_t most = r.wide * r.thirds * hosts;

	if (a->addresses <= most)
		return true;
	return err_set(
		e,
		"%s comes from %u addresses, and there it can have %u of %s; see --scale%s",
		a->name, a->addresses, most,
		to >> 24 == 127 ? "127.0.0.0/8" : "198.18.0.0/15",
		is_main(actor, a) || a->honest
			? ""
			: ", or name it first (the first attacker has most)");
}

void source_of(unsigned actor, const struct actor *a, const struct target *t, unsigned i,
	       struct sockaddr_storage *out, socklen_t *n)
{
	if (t->to.ss_family == AF_INET6) {
		struct sockaddr_in6 v6 = {
			.sin6_family = AF_INET6,
			.sin6_addr = IN6_IS_ADDR_LOOPBACK(&as_v6(t)->sin6_addr)
					     ? in6addr_loopback
					     : v6_of(actor, a, i),
		};

		memcpy(out, &v6, *n = sizeof(v6));
		return;
	}

	uint32_t to = ntohl(as_v4(t)->sin_addr.s_addr);
	struct sockaddr_in v4 = {
		.sin_family = AF_INET,
		.sin_addr.s_addr = htonl(v4_of(actor, a, to, i)),
	};

	memcpy(out, &v4, *n = sizeof(v4));
}
