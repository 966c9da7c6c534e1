#include "expect.h"

#include <arpa/inet.h>

#include "rehearse/source.h"

/* Whether a namespace was made is another module's; addresses follow from the target alone. */
static struct target to(const char *ip)
{
	struct target t = { .set = true };
	struct sockaddr_in v4 = { .sin_family = AF_INET, .sin_port = htons(25) };
	struct sockaddr_in6 v6 = { .sin6_family = AF_INET6, .sin6_port = htons(25) };

	if (inet_pton(AF_INET, ip, &v4.sin_addr) == 1) {
		memcpy(&t.to, &v4, t.to_n = sizeof(v4));
	} else {
		assert_int_equal(inet_pton(AF_INET6, ip, &v6.sin6_addr), 1);
		memcpy(&t.to, &v6, t.to_n = sizeof(v6));
	}
	snprintf(t.text, sizeof(t.text), "%s", ip);
	return t;
}

static struct actor actor_of(bool honest, enum spread spread, unsigned addresses)
{
	return (struct actor){
		.name = "bots",
		.honest = honest,
		.spread = spread,
		.addresses = addresses,
	};
}

struct ip {
	uint8_t b[16];
};

static struct ip ip_of(unsigned index, const struct actor *a, const struct target *t,
		       unsigned i)
{
	struct sockaddr_storage out;
	struct ip ip = { 0 };
	socklen_t n;

	source_of(index, a, t, i, &out, &n);
	assert_int_equal(out.ss_family, t->to.ss_family);
	if (out.ss_family == AF_INET) {
		const struct sockaddr_in *v4 = (const void *)&out;

		assert_int_equal(n, sizeof(*v4));
		assert_int_equal(v4->sin_port, 0);
		memcpy(ip.b, &v4->sin_addr, 4);
	} else {
		const struct sockaddr_in6 *v6 = (const void *)&out;

		assert_int_equal(n, sizeof(*v6));
		assert_int_equal(v6->sin6_port, 0);
		memcpy(ip.b, &v6->sin6_addr, 16);
	}
	return ip;
}

static int by_ip(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(struct ip));
}

/* How many different ones there are, of which the first `bytes` and `bits` count. */
static size_t different(struct ip *all, size_t n, size_t bytes, uint8_t bits)
{
	size_t found = 0;

	for (size_t i = 0; i < n; i++) {
		memset(all[i].b + bytes + 1, 0, sizeof(all[i].b) - bytes - 1);
		all[i].b[bytes] &= bits;
	}
	qsort(all, n, sizeof(*all), by_ip);
	for (size_t i = 0; i < n; i++)
		found += i == 0 || by_ip(&all[i - 1], &all[i]) != 0;
	return found;
}

/* All that sixteen attackers and sixteen honest actors have, `each` of each spread. */
static size_t everybody(const struct target *t, unsigned each, struct ip *all)
{
	size_t n = 0;

	for (unsigned index = 0; index < ACTORS_MAX; index++)
		for (int honest = 0; honest < 2; honest++) {
			enum spread s = index % 2 ? SPREAD_NEAR : SPREAD_FAR;
			struct actor a = actor_of(honest, s, each);
			struct err e;

			if (!source_check(index, &a, t, &e))
				fail_msg("%s", e.text);
			for (unsigned i = 0; i < each; i++)
				all[n++] = ip_of(index, &a, t, i);
		}
	return n;
}

static void no_two_actors_share_an_address(void **state)
{
	static const struct {
		const char *to;
		unsigned each;
	} rows[] = {
		{ "127.0.0.1", 30000 },
		{ "198.18.0.1", 1984 },
		{ "2001:db8::1", 30000 },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct target t = to(rows[i].to);
		struct ip *all = calloc(2 * ACTORS_MAX * rows[i].each, sizeof(*all));
		size_t n = everybody(&t, rows[i].each, all);

		assert_int_equal(different(all, n, 15, 255), n);
		free(all);
	}
}

static void all_addresses_lie_in_the_net_of_the_target(void **state)
{
	struct ip *all = calloc(2 * ACTORS_MAX * 1984, sizeof(*all));
	struct target t = to("127.0.0.1");
	size_t n = everybody(&t, 1984, all);

	(void)state;
	for (size_t i = 0; i < n; i++)
		if (all[i].b[0] != 127 || all[i].b[1] == 0 || all[i].b[3] == 0 ||
		    all[i].b[3] == 255)
			fail_msg("%d.%d.%d.%d", all[i].b[0], all[i].b[1], all[i].b[2],
				 all[i].b[3]);
	t = to("198.18.0.1");
	n = everybody(&t, 1984, all);
	for (size_t i = 0; i < n; i++)
		if (all[i].b[0] != 198 || (all[i].b[1] & 0xfe) != 18 || all[i].b[3] == 0 ||
		    all[i].b[3] == 255 || (all[i].b[1] == 18 && all[i].b[2] < 8))
			fail_msg("%d.%d.%d.%d", all[i].b[0], all[i].b[1], all[i].b[2],
				 all[i].b[3]);
	t = to("2001:db8::1");
	n = everybody(&t, 1984, all);
	for (size_t i = 0; i < n; i++)
		assert_memory_equal(all[i].b, "\x20\x01\x0d\xb8", 4);
	free(all);
}

/* The whole region of the largest actor, to its last address. */
static void as_many_as_are_promised_are_there(void **state)
{
	struct actor a = actor_of(false, SPREAD_FAR, 1000000);
	struct ip *all = calloc(a.addresses, sizeof(*all));
	struct target t = to("127.0.0.1");
	struct err e;

	(void)state;
	assert_true(source_check(0, &a, &t, &e));
	for (unsigned i = 0; i < a.addresses; i++)
		all[i] = ip_of(0, &a, &t, i);
	assert_int_equal(different(all, a.addresses, 15, 255), a.addresses);
	free(all);

	a.addresses = 223 * 8 * 248;
	all = calloc(a.addresses, sizeof(*all));
	assert_true(source_check(3, &a, &t, &e));
	for (unsigned i = 0; i < a.addresses; i++)
		all[i] = ip_of(3, &a, &t, i);
	assert_int_equal(different(all, a.addresses, 15, 255), a.addresses);
	free(all);
	a.addresses++;
	assert_false(source_check(3, &a, &t, &e));
	assert_non_null(strstr(e.text, "127.0.0.0/8"));
}

static void far_addresses_are_strangers_to_each_other(void **state)
{
	struct actor a = actor_of(false, SPREAD_FAR, 10000);
	struct ip *all = calloc(a.addresses, sizeof(*all));
	struct target t = to("127.0.0.1");

	(void)state;
	for (unsigned i = 0; i < 223; i++)
		all[i] = ip_of(0, &a, &t, i);
	assert_int_equal(different(all, 223, 1, 255), 223); /* each in a /16 */
	for (unsigned i = 0; i < 3568; i++)
		all[i] = ip_of(0, &a, &t, i);
	assert_int_equal(different(all, 3568, 2, 0xf8), 3568); /* in a /21 */
	for (unsigned i = 0; i < 10000; i++)
		all[i] = ip_of(0, &a, &t, i);
	assert_int_equal(different(all, 10000, 2, 255), 10000); /* in a /24 */
	t = to("2001:db8::1");
	for (unsigned i = 0; i < 10000; i++)
		all[i] = ip_of(0, &a, &t, i);
	assert_int_equal(different(all, 10000, 5, 255), 10000); /* in a /48 */
	free(all);
}

static void near_addresses_fill_a_net_before_the_next(void **state)
{
	struct actor a = actor_of(false, SPREAD_NEAR, 10000);
	struct ip *all = calloc(a.addresses, sizeof(*all));
	struct target t = to("127.0.0.1");

	(void)state;
	for (unsigned i = 0; i < 254; i++)
		all[i] = ip_of(2, &a, &t, i);
	assert_int_equal(different(all, 254, 2, 255), 1);
	for (unsigned i = 0; i < 255; i++)
		all[i] = ip_of(2, &a, &t, i);
	assert_int_equal(different(all, 255, 2, 255), 2);
	t = to("2001:db8::1");
	for (unsigned i = 0; i < 10000; i++)
		all[i] = ip_of(2, &a, &t, i);
	assert_int_equal(different(all, 10000, 7, 255), 1);
	free(all);
}

static void honest_and_attackers_share_no_16(void **state)
{
	struct target t = to("127.0.0.1");
	bool bad[256] = { false };

	(void)state;
	for (unsigned index = 0; index < ACTORS_MAX; index++)
		for (int honest = 0; honest < 2; honest++) {
			struct actor a = actor_of(honest, SPREAD_FAR, 50000);

			for (unsigned i = 0; i < a.addresses; i++) {
				struct ip ip = ip_of(index, &a, &t, i);

				if (!honest)
					bad[ip.b[1]] = true;
				else if (ip.b[1] < 224)
					fail_msg("honest in 127.%d", ip.b[1]);
			}
		}
	for (unsigned i = 224; i < 256; i++)
		assert_false(bad[i]);
}

static void the_loopback_of_ipv6_is_one_address(void **state)
{
	struct actor a = actor_of(false, SPREAD_FAR, 1);
	struct target t = to("::1");
	struct err e;

	(void)state;
	assert_true(source_check(0, &a, &t, &e));
	struct ip ip = ip_of(0, &a, &t, 0);

	assert_memory_equal(ip.b, &in6addr_loopback, 16);
	a.addresses = 2;
	assert_false(source_check(0, &a, &t, &e));
	assert_non_null(strstr(e.text, "::1"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_two_actors_share_an_address),
		cmocka_unit_test(all_addresses_lie_in_the_net_of_the_target),
		cmocka_unit_test(as_many_as_are_promised_are_there),
		cmocka_unit_test(far_addresses_are_strangers_to_each_other),
		cmocka_unit_test(near_addresses_fill_a_net_before_the_next),
		cmocka_unit_test(honest_and_attackers_share_no_16),
		cmocka_unit_test(the_loopback_of_ipv6_is_one_address),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
