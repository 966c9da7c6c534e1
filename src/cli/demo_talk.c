/*
 * A connection to the server, for who plays a mail program.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "cli/demo.h"

int demo_connect(unsigned port, struct err *err)
{
	const struct timeval patience = { .tv_sec = 30 };
	struct sockaddr_in at = { .sin_family = AF_INET,
				  .sin_port = htons((uint16_t)port) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (fd < 0) {
		err_set(err, "socket: %s", strerror(errno));
		return -1;
	}
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	if (connect(fd, (const struct sockaddr *)&at, sizeof(at)) == 0)
		return fd;
	err_set(err, "127.0.0.1:%u: %s", port, strerror(errno));
	close(fd);
	return -1;
}

bool demo_hear(int fd, void *mem, size_t room, size_t *n, struct err *err)
{
	ssize_t got;

	/* with a time-out, whoever was stopped and goes on finds EINTR (signal(7)) */
	do
		got = recv(fd, mem, room, 0);
	while (got < 0 && errno == EINTR);
	if (got <= 0)
		return err_set(err, "the server hung up, or was silent for 30 s");
	*n = (size_t)got;
	return true;
}
