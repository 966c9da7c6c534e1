#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/span.h"
#include "cli/sendmail.h"

#define PATIENCE 300 /* seconds for one answer (RFC 5321, 4.5.3.2) */

static int fail(int code, const char *what, const char *why)
{
	fprintf(stderr, "sendmail: %s: %s\n", what, why);
	return code;
}

static int connect_to(const char *path)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	const struct timeval patience = { .tv_sec = PATIENCE };
	size_t n = strlen(path);
	int fd;

	if (n >= sizeof(sa.sun_path)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	memcpy(sa.sun_path, path, n);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -1;
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	(void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	while (connect(fd, (const struct sockaddr *)&sa, sizeof(sa)) != 0) {
		int why = errno;

		if (why == EINTR)
			continue;
		close(fd);
		errno = why;
		return -1;
	}
	return fd;
}

/* The last line of a reply, without its end. False: there is none. */
static bool hear(struct talk *t)
{
	do {
		size_t n;

		if (!fgets(t->text, sizeof(t->text), t->in))
			return false;
		n = strcspn(t->text, "\r\n");
		if (t->verbose)
			fprintf(stderr, "<<< %.*s\n", (int)n, t->text);
		t->text[n] = '\0';
		if (n < 3)
			return false;
		if (strncmp(t->text, "250", 3) == 0 && !*t->host)
			snprintf(t->host, sizeof(t->host), "%.*s",
				 (int)strcspn(t->text + 4, " "), t->text + 4);
	} while (t->text[3] == '-');
	return true;
}

/* What a refusal means to the caller (sysexits.h). */
static int code_of(const char *text)
{
	if (text[0] == '4')
		return EX_TEMPFAIL;
	if (strstr(text, "5.1.1"))
		return EX_NOUSER;
	if (strstr(text, "5.7."))
		return EX_NOPERM;
	if (strstr(text, "5.6.") || strstr(text, "5.3.4") || text[1] == '0')
		return EX_DATAERR;
	return EX_UNAVAILABLE;
}

static int wants(struct talk *t, char want)
{
	if (fflush(t->out) != 0 || !hear(t))
		return fail(EX_TEMPFAIL, "the server", "it ended the conversation");
	return t->text[0] == want ? 0 : code_of(t->text);
}

int talk_say(struct talk *t, char want, const char *fmt, ...)
{
	va_list ap;

	if (t->verbose) {
		fputs(">>> ", stderr);
		va_start(ap, fmt);
		vfprintf(stderr, fmt, ap);
		va_end(ap);
		fputc('\n', stderr);
	}
	va_start(ap, fmt);
	vfprintf(t->out, fmt, ap);
	va_end(ap);
	fputs("\r\n", t->out);
	return wants(t, want);
}

/* The program that called us keeps the message; whoever reads its log learns what is missing. */
static int unreachable(const char *path)
{
	int why = errno;

	fail(EX_TEMPFAIL, path, strerror(why));
	if (why == ENOENT || why == ECONNREFUSED)
		fputs("sendmail: it is there while the server runs, if `listen` has it as "
		      "unix:/path, service submission\n",
		      stderr);
	return EX_TEMPFAIL;
}

/*
 * As stdio reads and writes a socket, but on where that would give up: with a time-out,
 * whoever was stopped for a while and goes on finds EINTR (signal(7)).
 */
static ssize_t hear_some(void *fd, char *mem, size_t room)
{
	ssize_t n;

	do
		n = recv(*(int *)fd, mem, room, 0);
	while (n < 0 && errno == EINTR);
	return n;
}

static ssize_t say_some(void *fd, const char *mem, size_t n)
{
	ssize_t said;

	do
		said = send(*(int *)fd, mem, n, MSG_NOSIGNAL);
	while (said < 0 && errno == EINTR);
	return said < 0 ? 0 : said;
}

int talk_open(struct talk *t, const char *path, bool verbose)
{
	int fd = connect_to(path);

	*t = (struct talk){ .fd = fd, .verbose = verbose };
	if (fd < 0)
		return unreachable(path);
	t->in = fopencookie(&t->fd, "r", (cookie_io_functions_t){ .read = hear_some });
	t->out = fopencookie(&t->fd, "w", (cookie_io_functions_t){ .write = say_some });
	if (!t->in || !t->out)
		return fail(EX_OSERR, path, strerror(errno));
	if (wants(t, '2'))
		return fail(code_of(t->text), "the server", t->text);
	if (talk_say(t, '2', "EHLO localhost"))
		return fail(code_of(t->text), "the server", t->text);
	return 0;
}

void talk_close(struct talk *t)
{
	if (t->in)
		fclose(t->in);
	if (t->out)
		fclose(t->out);
	if (t->fd >= 0)
		close(t->fd);
	t->in = t->out = NULL;
	t->fd = -1;
}

int talk_line(struct talk *t, const char *line, size_t n)
{
	if (n && line[0] == '.')
		fputc('.', t->out);
	fwrite(line, 1, n, t->out);
	fputs("\r\n", t->out);
	return ferror(t->out) ? fail(EX_TEMPFAIL, "the server", strerror(errno)) : 0;
}

/* Some of what came there goes out here. False: there is no more. */
static bool pass(int from, int to)
{
	char mem[16384];
	ssize_t n = read(from, mem, sizeof(mem));
	struct span left;

	if (n <= 0)
		return n < 0 && errno == EINTR;
	left = span_of(mem, (size_t)n);
	while (left.n) {
		n = write(to, left.p, left.n);
		if (n < 0 && errno != EINTR)
			return false;
		left = span_skip(left, n > 0 ? (size_t)n : 0);
	}
	return true;
}

int talk_bridge(const char *path)
{
	int fd = connect_to(path);
	struct pollfd p[2] = { { STDIN_FILENO, POLLIN, 0 }, { fd, POLLIN, 0 } };

	if (fd < 0)
		return unreachable(path);
	while (poll(p, 2, -1) > 0 || errno == EINTR) {
		if (p[0].revents && !pass(STDIN_FILENO, fd)) {
			(void)shutdown(fd, SHUT_WR);
			p[0].fd = -1;
		}
		if (p[1].revents && !pass(fd, STDOUT_FILENO))
			break;
	}
	close(fd);
	return EX_OK;
}
