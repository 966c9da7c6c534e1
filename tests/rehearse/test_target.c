/*
 * Where a rehearsal may go. Names are tried with an /etc/hosts of the test's own, in a child with
 * mounts and a network of its own, which needs root.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include "rehearse/target.h"

static bool parses(const char *text, struct target *t, struct err *e)
{
	e->text[0] = '\0';
	return target_parse(t, text, SERVICE_SMTP, e);
}

static void loopback_is_taken(void **state)
{
	static const struct {
		const char *text, *is;
	} rows[] = {
		{ "127.0.0.1:2525", "127.0.0.1:2525" },
		{ "127.0.0.1", "127.0.0.1:25" },
		{ "127.255.255.254:65535", "127.255.255.254:65535" },
		{ "127.0.0.0:1", "127.0.0.0:1" },
		{ "[::1]:587", "[::1]:587" },
		{ "[::1]", "[::1]:25" },
		{ "::1", "[::1]:25" },
		{ "[0:0:0:0:0:0:0:1]:25", "[::1]:25" },
	};
	struct target t;
	struct err e;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		if (!parses(rows[i].text, &t, &e))
			fail_msg("%s: %s", rows[i].text, e.text);
		assert_true(t.set);
		assert_string_equal(t.text, rows[i].is);
		assert_true(target_allowed((struct sockaddr *)&t.to));
	}
}

static void the_address_has_the_port_in_it(void **state)
{
	struct sockaddr_in *v4;
	struct sockaddr_in6 *v6;
	struct target t;
	struct err e;

	(void)state;
	assert_true(parses("127.1.2.3:2525", &t, &e));
	v4 = (struct sockaddr_in *)&t.to;
	assert_int_equal(t.to_n, sizeof(*v4));
	assert_int_equal(v4->sin_family, AF_INET);
	assert_int_equal(ntohs(v4->sin_port), 2525);
	assert_int_equal(ntohl(v4->sin_addr.s_addr), 0x7f010203);
	assert_true(parses("[::1]:2526", &t, &e));
	v6 = (struct sockaddr_in6 *)&t.to;
	assert_int_equal(t.to_n, sizeof(*v6));
	assert_int_equal(ntohs(v6->sin6_port), 2526);
}

static void the_usual_port_is_that_of_the_service(void **state)
{
	struct target t;
	struct err e;

	(void)state;
	assert_true(target_parse(&t, "127.0.0.1", SERVICE_IMAPS, &e));
	assert_string_equal(t.text, "127.0.0.1:993");
}

/* Everything here must be refused without asking any resolver. */
static void everything_else_is_refused(void **state)
{
	/* clang-format off */
	static const char *const rows[] = {
		/* elsewhere */
		"192.0.2.7", "192.0.2.7:25", "10.0.0.1:25", "172.17.0.1:25", "192.168.1.1:25",
		"169.254.169.254:25", "8.8.8.8:25", "126.255.255.255:25", "128.0.0.0:25",
		"100.64.0.1:25", "198.18.0.1:25", "198.19.255.255:25", "[2001:db8::1]:25",
		"[2606:4700::1]:25", "2606:4700::1", "[fe80::1]:25", "[fd00::1]:25", "[::2]:25",
		"[1::1]:25", "[::1:25]:25", "::1:25",
		/* nobody, and everybody */
		"0.0.0.0:25", "0.0.0.0", "[::]:25", "::", "255.255.255.255:25", "224.0.0.1:25",
		"239.255.0.1:25", "[ff02::1]:25", "[ff01::1]:25", "240.0.0.1:25", "0.0.0.1:25",
		/* IPv4 in IPv6: mapped, compatible, 6to4, NAT64, Teredo, ISATAP */
		"[::ffff:127.0.0.1]:25", "[::ffff:8.8.8.8]:25", "[::ffff:7f00:1]:25",
		"::ffff:127.0.0.1", "[::127.0.0.1]:25", "[::8.8.8.8]:25", "[::7f00:1]:25",
		"[2002:7f00:1::]:25", "[2002:808:808::1]:25", "[64:ff9b::127.0.0.1]:25",
		"[64:ff9b::808:808]:25", "[64:ff9b:1::7f00:1]:25", "[2001:0:7f00:1::]:25",
		"[fe80::5efe:127.0.0.1]:25", "[::ffff:0:127.0.0.1]:25",
		/* numbers of other kinds */
		"127.1", "127.1:25", "127.0.1:25", "0177.1", "0177.0.0.1:25", "0177.0.0.01:25",
		"127.0.0.01:25", "2130706433", "2130706433:25", "0x7f000001", "0x7f.0.0.1:25",
		"0x7f.1:25", "017700000001", "127.0.0.0x1", "127.0.0.1.:25", "127.1.", "134744072",
		"127.0.0.256:25", "127.0.0.1.1:25", "1.2.3", "0", "0x", "x.0x", "a.b.7", "127.0.0.-1",
		"127.0.0.+1", "127..0.1", "+127.0.0.1",
		/* scopes */
		"[::1%lo]:25", "[::1%1]:25", "::1%lo", "[fe80::1%eth0]:25", "127.0.0.1%lo", "localhost%lo",
		/* ports */
		"127.0.0.1:0", "127.0.0.1:", "127.0.0.1:65536", "127.0.0.1:99999", "127.0.0.1:-1",
		"127.0.0.1:+25", "127.0.0.1: 25", "127.0.0.1:25 ", "127.0.0.1:smtp", "127.0.0.1:0x19",
		"127.0.0.1:25x", "127.0.0.1:25:25", "127.0.0.1:000025", "[::1]:0", "[::1]:", "[::1]25",
		"127.0.0.1:18446744073709551641", "[::1]:65561", "127.0.0.1:00000",
		/* text of other kinds */
		"", " ", ":", ":25", "[", "]", "[]", "[]:25", "[::1", "::1]", "[::1]]:25", "[[::1]]:25",
		"[127.0.0.1]:25", "[localhost]:25", " 127.0.0.1:25", "127.0.0.1 :25", "127.0.0.1\n",
		"127.0.0.1\t:25", "127.0.0.1,10.0.0.1:25", "127.0.0.1/8:25", "127.0.0.1@10.0.0.1:25",
		"smtp://127.0.0.1:25", "local host", "localhost\r\n", "local\x01host", ".", "..",
		".localhost", "localhost..", "a..b", "loc\xc3\xa1lhost", "/tmp/socket", "*", "*:25",
		"localhost;id", "$(id)", "::g", "1::2::3", ":::", "[::1]:25]", "-localhost", "a.-b",
	};
	/* clang-format on */
	struct err e;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct target t = { .text = "untouched" };

		if (parses(rows[i], &t, &e))
			fail_msg("'%s' was taken, as %s", rows[i], t.text);
		assert_string_equal(t.text, "untouched");
		assert_false(t.set);
		if (!strstr(e.text, "127.0.0.0/8") || !strstr(e.text, "::1"))
			fail_msg("'%s': does not say what is allowed: %s", rows[i],
				 e.text);
	}
}

static void no_text_is_too_long_or_hurts_the_terminal(void **state)
{
	static char text[70000];
	struct target t = { .set = false };
	struct err e;

	(void)state;
	for (size_t n = 1; n < sizeof(text); n = n < 600 ? n + 1 : n * 3) {
		memset(text, '\x1b', n);
		text[n] = '\0';
		assert_false(parses(text, &t, &e));
		for (const char *c = e.text; *c; c++)
			assert_in_range(*c, ' ', '~');
		assert_non_null(strstr(e.text, "127.0.0.0/8"));
		memset(text, '1', n);
		assert_false(parses(text, &t, &e));
		if (n > 253) {
			memset(text, 'a', n);
			assert_false(parses(text, &t, &e));
		}
	}
	assert_false(t.set);
}

/* Every first byte, and the edges on both sides of 127.0.0.0/8. */
static void only_the_net_127_is_allowed_of_all_nets(void **state)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(25) };

	(void)state;
	for (uint32_t net = 0; net < 256; net++) {
		static const uint32_t rest[] = { 0, 1, 0x808080, 0xfffffe, 0xffffff };

		for (size_t i = 0; i < COUNT_OF(rest); i++) {
			to.sin_addr.s_addr = htonl(net << 24 | rest[i]);
			assert_int_equal(target_allowed((struct sockaddr *)&to),
					 net == 127);
		}
	}
}

static void of_ipv6_only_one_address_is_allowed(void **state)
{
	struct sockaddr_in6 to = { .sin6_family = AF_INET6, .sin6_port = htons(25) };

	(void)state;
	to.sin6_addr = in6addr_loopback;
	assert_true(target_allowed((struct sockaddr *)&to));
	to.sin6_scope_id = 1;
	assert_false(target_allowed((struct sockaddr *)&to));
	to.sin6_scope_id = 0;
	for (size_t bit = 0; bit < 128; bit++) {
		to.sin6_addr = in6addr_loopback;
		to.sin6_addr.s6_addr[bit / 8] ^= (uint8_t)(0x80 >> bit % 8);
		assert_false(target_allowed((struct sockaddr *)&to));
	}
}

static void other_families_are_refused(void **state)
{
	struct sockaddr_storage to = { .ss_family = AF_UNIX };

	(void)state;
	assert_false(target_allowed((struct sockaddr *)&to));
	to.ss_family = AF_UNSPEC;
	assert_false(target_allowed((struct sockaddr *)&to));
	to.ss_family = AF_PACKET;
	assert_false(target_allowed((struct sockaddr *)&to));
}

/* Names, and the namespace: each in a child, which may change its surroundings. */

static const char hosts[] = "127.0.0.1 here.example.test\n"
			    "127.0.0.9 nine.example.test\n"
			    "::1 six.example.test\n"
			    "::1 both.example.test\n"
			    "127.0.0.7 both.example.test\n"
			    "192.0.2.7 elsewhere.example.test localhost.localdomain\n"
			    "127.0.0.1 mixed.example.test\n"
			    "192.0.2.8 mixed.example.test\n"
			    "127.0.0.1 mixed6.example.test\n"
			    "2001:db8::8 mixed6.example.test\n"
			    "::ffff:127.0.0.1 mapped.example.test\n"
			    "::ffff:8.8.8.8 mapped8.example.test\n"
			    "::127.0.0.1 compatible.example.test\n"
			    "0.0.0.0 zero.example.test\n"
			    ":: zero6.example.test\n"
			    "198.18.0.25 space.example.test\n"
			    "10.0.0.1 127.1 2130706433 0177.1\n";

static bool put_file(char *path, const char *text, const char *over)
{
	int fd = mkstemp(path);
	bool put = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text) &&
		   mount(path, over, NULL, MS_BIND, NULL) == 0;

	if (fd >= 0) {
		close(fd);
		unlink(path);
	}
	return put;
}

static bool move_out(void)
{
	char a[] = "/tmp/test_target.XXXXXX", b[] = "/tmp/test_target.XXXXXX";

	return unshare(CLONE_NEWNS | CLONE_NEWNET) == 0 &&
	       mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
	       put_file(a, hosts, "/etc/hosts") &&
	       put_file(b, "hosts: files\n", "/etc/nsswitch.conf");
}

/* In a child: it says what went wrong, and ends with 0 if nothing did, 77 to skip. */
static void in_a_child(int (*what)(void))
{
	int status;
	pid_t pid = fork();

	if (pid == 0)
		_exit(what());
	assert_true(pid > 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	if (WEXITSTATUS(status) == 77)
		skip();
	assert_int_equal(WEXITSTATUS(status), 0);
}

static int look_names_up(void)
{
	/* NULL: to be refused */
	static const struct {
		const char *text, *is, *says;
	} rows[] = {
		{ "here.example.test:26", "127.0.0.1:26", NULL },
		{ "nine.example.test", "127.0.0.9:25", NULL },
		{ "NINE.Example.Test:25", "127.0.0.9:25", NULL },
		{ "six.example.test:25", "[::1]:25", NULL },
		{ "both.example.test:25", "127.0.0.7:25", NULL },
		{ "elsewhere.example.test:25", NULL, "192.0.2.7" },
		{ "localhost.localdomain:25", NULL, "192.0.2.7" },
		{ "mixed.example.test:25", NULL, "192.0.2.8" },
		{ "mixed6.example.test:25", NULL, "2001:db8::8" },
		{ "mapped.example.test:25", NULL, "::ffff:127.0.0.1" },
		{ "mapped8.example.test:25", NULL, "::ffff:8.8.8.8" },
		{ "compatible.example.test:25", NULL, "::127.0.0.1" },
		{ "zero.example.test:25", NULL, "0.0.0.0" },
		{ "zero6.example.test:25", NULL, "::" },
		{ "space.example.test:25", NULL, "198.18.0.25" },
		{ "127.1:25", NULL, "decimal" },
		{ "2130706433:25", NULL, "decimal" },
		{ "0177.1:25", NULL, "decimal" },
		{ "nowhere.example.test:25", NULL, "nowhere.example.test" },
	};
	int wrong = 0;

	if (!move_out())
		return errno == EPERM ? 77 : 2;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct target t = { .set = false };
		struct err e;
		bool taken = parses(rows[i].text, &t, &e);

		if (taken != (rows[i].is != NULL) ||
		    (taken && strcmp(t.text, rows[i].is) != 0) ||
		    (!taken && !strstr(e.text, rows[i].says))) {
			printf("%s: %s\n", rows[i].text, taken ? t.text : e.text);
			wrong = 1;
		}
	}
	fflush(stdout);
	return wrong;
}

static void a_name_is_refused_unless_all_its_addresses_are_loopback(void **state)
{
	(void)state;
	in_a_child(look_names_up);
}

static int open_a_space(void)
{
	static const char *const allowed[] = {
		"198.18.0.1:25",	"198.19.255.255:25",
		"[2001:db8::25]:25",	"[2001:db8:ffff:ffff:ffff:ffff:ffff:ffff]:25",
		"127.0.0.1:25",		"[::1]:25",
		"space.example.test:25"
	};
	static const char *const refused[] = {
		"198.17.255.255:25",	  "198.20.0.0:25",
		"[2001:db7:ffff::1]:25",  "[2001:db9::1]:25",
		"[::ffff:198.18.0.1]:25", "[2001:db8::1%lo]:25",
		"192.0.2.7:25",		  "elsewhere.example.test:25"
	};
	struct target t;
	struct err e;

	if (!move_out())
		return errno == EPERM ? 77 : 2;
	if (space_is_ours() || parses(allowed[0], &t, &e))
		return 3;
	if (!space_open(&e)) {
		printf("%s\n", e.text);
		fflush(stdout);
		return 4;
	}
	if (!space_is_ours())
		return 5;
	for (size_t i = 0; i < COUNT_OF(allowed); i++)
		if (!parses(allowed[i], &t, &e) ||
		    !target_allowed((struct sockaddr *)&t.to))
			return 6;
	for (size_t i = 0; i < COUNT_OF(refused); i++)
		if (parses(refused[i], &t, &e) || !strstr(e.text, "198.18.0.0/15"))
			return 7;
	return 0;
}

static void a_space_adds_its_own_nets_and_nothing_else(void **state)
{
	(void)state;
	in_a_child(open_a_space);
	assert_false(space_is_ours());
}

/* From any address of a net to any other, over a real connection. */
static bool meets(int family, const char *here, const char *there)
{
	struct sockaddr_storage a = { .ss_family = (sa_family_t)family }, b = a, seen;
	socklen_t n = family == AF_INET ? sizeof(struct sockaddr_in)
					: sizeof(struct sockaddr_in6);
	socklen_t seen_n = sizeof(seen);
	void *to = family == AF_INET ? (void *)&((struct sockaddr_in *)&a)->sin_addr
				     : (void *)&((struct sockaddr_in6 *)&a)->sin6_addr;
	void *from = family == AF_INET ? (void *)&((struct sockaddr_in *)&b)->sin_addr
				       : (void *)&((struct sockaddr_in6 *)&b)->sin6_addr;
	int server = socket(family, SOCK_STREAM, 0),
	    client = socket(family, SOCK_STREAM, 0);
	int got = -1;
	char text[INET6_ADDRSTRLEN] = "";

	inet_pton(family, there, to);
	inet_pton(family, here, from);
	if (bind(server, (struct sockaddr *)&a, n) == 0 && listen(server, 1) == 0 &&
	    getsockname(server, (struct sockaddr *)&a, &n) == 0 &&
	    bind(client, (struct sockaddr *)&b, n) == 0 &&
	    connect(client, (struct sockaddr *)&a, n) == 0)
		got = accept(server, (struct sockaddr *)&seen, &seen_n);
	if (got >= 0)
		inet_ntop(family,
			  family == AF_INET
				  ? (void *)&((struct sockaddr_in *)&seen)->sin_addr
				  : (void *)&((struct sockaddr_in6 *)&seen)->sin6_addr,
			  text, sizeof(text));
	close(got);
	close(server);
	close(client);
	return strcmp(text, here) == 0;
}

static int use_a_space(void)
{
	struct sockaddr_in out = { .sin_family = AF_INET, .sin_port = htons(25) };
	struct err e;
	int fd;

	if (geteuid() != 0)
		return 77;
	if (!space_open(&e))
		return 2;
	if (!meets(AF_INET, "198.18.0.77", "198.19.3.25") ||
	    !meets(AF_INET, "127.9.9.9", "127.0.0.1"))
		return 3;
	if (!meets(AF_INET6, "2001:db8:4444:1::9", "2001:db8::25") ||
	    !meets(AF_INET6, "::1", "::1"))
		return 4;

	/* and there is no way out of it */
	fd = socket(AF_INET, SOCK_STREAM, 0);
	inet_pton(AF_INET, "192.0.2.7", &out.sin_addr);
	if (connect(fd, (struct sockaddr *)&out, sizeof(out)) == 0 || errno != ENETUNREACH)
		return 5;
	close(fd);
	return space_open(&e) ? 0 : 6; /* once more is fine */
}

static void in_a_space_all_its_addresses_can_be_bound_and_reached(void **state)
{
	(void)state;
	in_a_child(use_a_space);
}

static int open_without_root(void)
{
	struct err e;

	if (geteuid() == 0 && (setgid(65534) < 0 || setuid(65534) < 0))
		return 2;
	if (space_open(&e) || space_is_ours())
		return 3;
	return strstr(e.text, "root") ? 0 : 4;
}

static void without_root_there_is_no_space(void **state)
{
	(void)state;
	in_a_child(open_without_root);
}

static int open_without_ip(void)
{
	static const char *const places[] = { "/sbin/ip", "/usr/sbin/ip", "/bin/ip",
					      "/usr/bin/ip" };
	char before[64] = "", after[64] = "";
	struct err e;

	if (!move_out())
		return errno == EPERM ? 77 : 2;
	for (size_t i = 0; i < COUNT_OF(places); i++) {
		char real[4096];

		/* what is not a program any more, because /dev/null is not */
		if (realpath(places[i], real) && strcmp(real, "/dev/null") != 0 &&
		    access(places[i], X_OK) == 0 &&
		    mount("/dev/null", real, NULL, MS_BIND, NULL) < 0)
			return 2;
	}
	if (readlink("/proc/self/ns/net", before, sizeof(before) - 1) < 0)
		return 2;
	if (space_open(&e) || space_is_ours())
		return 3;
	if (readlink("/proc/self/ns/net", after, sizeof(after) - 1) < 0 ||
	    strcmp(before, after) != 0)
		return 4;
	return strstr(e.text, "iproute2") ? 0 : 5;
}

static void without_the_ip_program_it_says_what_to_install(void **state)
{
	(void)state;
	in_a_child(open_without_ip);
}

static int open_with_a_broken_ip(void)
{
	char before[64] = "", after[64] = "", real[4096];
	struct err e;

	if (!move_out())
		return errno == EPERM ? 77 : 2;
	if (!realpath("/sbin/ip", real))
		return 77;
	if (mount("/bin/false", real, NULL, MS_BIND, NULL) < 0 ||
	    readlink("/proc/self/ns/net", before, sizeof(before) - 1) < 0)
		return 2;
	if (space_open(&e) || space_is_ours())
		return 3;
	if (readlink("/proc/self/ns/net", after, sizeof(after) - 1) < 0 ||
	    strcmp(before, after) != 0)
		return 4;
	return strstr(e.text, "link set dev lo up") ? 0 : 5;
}

static void what_fails_half_way_leaves_the_process_where_it_was(void **state)
{
	(void)state;
	in_a_child(open_with_a_broken_ip);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(loopback_is_taken),
		cmocka_unit_test(the_address_has_the_port_in_it),
		cmocka_unit_test(the_usual_port_is_that_of_the_service),
		cmocka_unit_test(everything_else_is_refused),
		cmocka_unit_test(no_text_is_too_long_or_hurts_the_terminal),
		cmocka_unit_test(only_the_net_127_is_allowed_of_all_nets),
		cmocka_unit_test(of_ipv6_only_one_address_is_allowed),
		cmocka_unit_test(other_families_are_refused),
		cmocka_unit_test(a_name_is_refused_unless_all_its_addresses_are_loopback),
		cmocka_unit_test(a_space_adds_its_own_nets_and_nothing_else),
		cmocka_unit_test(in_a_space_all_its_addresses_can_be_bound_and_reached),
		cmocka_unit_test(without_root_there_is_no_space),
		cmocka_unit_test(without_the_ip_program_it_says_what_to_install),
		cmocka_unit_test(what_fails_half_way_leaves_the_process_where_it_was),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
