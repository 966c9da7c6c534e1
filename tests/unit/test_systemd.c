#include "expect.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "link/systemd.h"

#define FIRST 3 /* descriptors are passed from here on */

static void set_number(const char *name, long n)
{
	char text[32];

	snprintf(text, sizeof(text), "%ld", n);
	setenv(name, text, 1);
}

/* ---- what we say --------------------------------------------------------------------- */

/* A manager that listens at an abstract name of its own. */
static int open_manager(char name[64])
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int n = snprintf(name, 64, "@holdfast-test-systemd-%d", (int)getpid());

	memcpy(at.sun_path + 1, name + 1, (size_t)n - 1);
	assert_true(fd >= 0);
	assert_int_equal(
		bind(fd, (struct sockaddr *)&at,
		     (socklen_t)(offsetof(struct sockaddr_un, sun_path) + (size_t)n)),
		0);
	return fd;
}

static void the_manager_hears_what_is_said(void **state)
{
	char name[64], heard[64];
	int fd = open_manager(name);
	ssize_t n;

	(void)state;
	setenv("NOTIFY_SOCKET", name, 1);
	systemd_notify("READY=%d\nSTATUS=%s", 1, "fine");
	unsetenv("NOTIFY_SOCKET");
	systemd_notify("READY=2");
	n = recv(fd, heard, sizeof(heard), 0);
	assert_int_equal(n, 19);
	assert_memory_equal(heard, "READY=1\nSTATUS=fine", 19);
	assert_int_equal(recv(fd, heard, sizeof(heard), 0), -1);
	close(fd);
}

static void a_manager_without_a_usable_name_is_none(void **state)
{
	static const char *const names[] = { "", "@", "relative/path", "vsock:2:1" };
	char name[64], heard[64], longest[200];
	int fd = open_manager(name);

	(void)state;
	for (size_t i = 0; i < COUNT_OF(names); i++) {
		setenv("NOTIFY_SOCKET", names[i], 1);
		systemd_notify("READY=1");
	}
	memset(longest, 'a', sizeof(longest));
	longest[0] = '/';
	longest[sizeof(longest) - 1] = '\0';
	setenv("NOTIFY_SOCKET", longest, 1);
	systemd_notify("READY=1");
	assert_int_equal(recv(fd, heard, sizeof(heard), 0), -1);
	unsetenv("NOTIFY_SOCKET");
	close(fd);
}

/* ---- the watchdog ---------------------------------------------------------------------- */

static void the_watchdog_wants_a_sign_twice_in_its_time(void **state)
{
	(void)state;
	setenv("WATCHDOG_USEC", "30000000", 1);
	assert_int_equal(systemd_watchdog(), 15 * MS_SECOND);
	set_number("WATCHDOG_PID", getpid());
	assert_int_equal(systemd_watchdog(), 15 * MS_SECOND);
	unsetenv("WATCHDOG_PID");
	unsetenv("WATCHDOG_USEC");
}

static void no_watchdog_one_of_others_and_nonsense_want_nothing(void **state)
{
	static const char *const nonsense[] = { "", "0", "-5", "soon",
						"99999999999999999999" };

	(void)state;
	assert_int_equal(systemd_watchdog(), MS_NEVER);
	for (size_t i = 0; i < COUNT_OF(nonsense); i++) {
		setenv("WATCHDOG_USEC", nonsense[i], 1);
		assert_int_equal(systemd_watchdog(), MS_NEVER);
	}
	setenv("WATCHDOG_USEC", "30000000", 1);
	set_number("WATCHDOG_PID", getppid());
	assert_int_equal(systemd_watchdog(), MS_NEVER);
	unsetenv("WATCHDOG_PID");
	unsetenv("WATCHDOG_USEC");
}

/* ---- sockets that are handed over --------------------------------------------------------- */

static int listening(uint16_t *port)
{
	struct sockaddr_in at = { .sin_family = AF_INET,
				  .sin_addr = { htonl(INADDR_LOOPBACK) } };
	socklen_t n = sizeof(at);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
	assert_int_equal(listen(fd, 1), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &n), 0);
	*port = ntohs(at.sin_port);
	return fd;
}

/* What stands at the first places is put aside meanwhile: it is the test program's. */
struct handed {
	int aside[2];
	uint16_t port;
};

/* A socket that listens, and a datagram socket, which is not for us. */
static void hand_over(struct handed *h)
{
	int stream = listening(&h->port), dgram = socket(AF_INET, SOCK_DGRAM, 0);

	assert_true(dgram >= 0);
	stream = fcntl(stream, F_DUPFD, 200);
	dgram = fcntl(dgram, F_DUPFD, 200);
	assert_true(stream >= 0 && dgram >= 0);
	for (int i = 0; i < 2; i++)
		h->aside[i] = fcntl(FIRST + i, F_DUPFD, 200);
	assert_int_equal(dup2(dgram, FIRST), FIRST);
	assert_int_equal(dup2(stream, FIRST + 1), FIRST + 1);
	close(stream);
	close(dgram);
	setenv("LISTEN_FDS", "2", 1);
	setenv("LISTEN_FDNAMES", "a:b", 1);
}

static void put_back(struct handed *h)
{
	for (int i = 0; i < 2; i++) {
		close(FIRST + i);
		if (h->aside[i] < 0)
			continue;
		assert_int_equal(dup2(h->aside[i], FIRST + i), FIRST + i);
		close(h->aside[i]);
	}
}

static void a_listening_socket_for_us_is_taken_once(void **state)
{
	struct systemd_sockets s;
	struct endpoint at = { .addr = addr_v4(127, 0, 0, 1) };
	struct handed h;

	(void)state;
	hand_over(&h);
	set_number("LISTEN_PID", getpid());
	systemd_sockets(&s);
	at.port = h.port;
	assert_int_equal(s.count, 1);
	assert_int_equal(fcntl(FIRST, F_GETFD), FD_CLOEXEC);
	assert_int_equal(fcntl(FIRST + 1, F_GETFD), FD_CLOEXEC);
	assert_null(getenv("LISTEN_PID"));
	assert_null(getenv("LISTEN_FDS"));
	assert_null(getenv("LISTEN_FDNAMES"));
	assert_int_equal(systemd_take(&s, &at), FIRST + 1);
	assert_int_equal(systemd_take(&s, &at), -1);
	systemd_sockets(&s);
	assert_int_equal(s.count, 0);
	put_back(&h);
}

static void sockets_for_another_process_are_left_alone(void **state)
{
	struct systemd_sockets s;
	struct handed h;

	(void)state;
	hand_over(&h);
	set_number("LISTEN_PID", getppid());
	systemd_sockets(&s);
	assert_int_equal(s.count, 0);
	assert_int_equal(fcntl(FIRST + 1, F_GETFD), 0);
	put_back(&h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_manager_hears_what_is_said),
		cmocka_unit_test(a_manager_without_a_usable_name_is_none),
		cmocka_unit_test(the_watchdog_wants_a_sign_twice_in_its_time),
		cmocka_unit_test(no_watchdog_one_of_others_and_nonsense_want_nothing),
		cmocka_unit_test(a_listening_socket_for_us_is_taken_once),
		cmocka_unit_test(sockets_for_another_process_are_left_alone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
