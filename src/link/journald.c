#include "link/journald.h"

#include <errno.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>

#define JOURNAL_SOCKET "/run/systemd/journal/socket"

int journald_open(void)
{
	return socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
}

/* The fields around the line; PRIORITY as in syslog(3). */
static const char *before(enum log_level level)
{
	switch (level) {
	case LEVEL_ERROR:
		return "PRIORITY=3\nSYSLOG_IDENTIFIER=holdfast\nMESSAGE=";
	case LEVEL_WARN:
		return "PRIORITY=4\nSYSLOG_IDENTIFIER=holdfast\nMESSAGE=";
	case LEVEL_NOTICE:
		return "PRIORITY=5\nSYSLOG_IDENTIFIER=holdfast\nMESSAGE=";
	case LEVEL_INFO:
		break;
	}
	return "PRIORITY=6\nSYSLOG_IDENTIFIER=holdfast\nMESSAGE=";
}

static struct iovec part(struct span s)
{
	return (struct iovec){ (void *)(uintptr_t)s.p, s.n };
}

bool journald_send(int fd, enum log_level level, struct span line)
{
	struct sockaddr_un to = { .sun_family = AF_UNIX, .sun_path = JOURNAL_SOCKET };
	struct iovec parts[] = { part(span_str(before(level))), part(line),
				 part(SPAN("\n")) };
	struct msghdr m = { .msg_name = &to,
			    .msg_namelen = sizeof(to),
			    .msg_iov = parts,
			    .msg_iovlen = 3 };

	for (;;) {
		if (sendmsg(fd, &m, MSG_NOSIGNAL) >= 0)
			return true;
		if (errno != EINTR)
			return false;
	}
}
