/*
 * A machine that stumbles: system calls that now and then take as long as they do where the
 * disk is slow and other programs have the processor. Linked into holdfast with -Dslow=true,
 * to find what works only because something else is always faster. Each process stumbles
 * differently.
 *
 * Not by LD_PRELOAD: roles begin with an empty environment.
 */
#include <dlfcn.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum call { SYNC, RENAME, UNLINK, WRITE, SEND, RECEIVE, WAIT, ACCEPT, CONNECT };

/* How many of a thousand stumble, and for how many milliseconds at most. */
static const struct {
	unsigned of_thousand, most;
} how[] = {
	[SYNC] = { 100, 150 }, [RENAME] = { 50, 100 }, [UNLINK] = { 50, 50 },
	[WRITE] = { 10, 50 },  [SEND] = { 20, 60 },    [RECEIVE] = { 20, 60 },
	[WAIT] = { 10, 60 },   [ACCEPT] = { 30, 50 },  [CONNECT] = { 30, 50 },
};

/* xorshift64: from 0 to below n */
static unsigned dice(unsigned n)
{
	static __thread uint64_t state;
	struct timespec now;

	if (!state) {
		clock_gettime(CLOCK_MONOTONIC, &now);
		state = ((uint64_t)now.tv_nsec << 20 ^ (uint64_t)gettid()) | 1;
	}
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return (unsigned)((state >> 32) % n);
}

static void stumble(enum call call)
{
	struct timespec nap = { 0 };
	int before = errno;

	if (dice(1000) >= how[call].of_thousand)
		return;
	nap.tv_nsec = (long)dice(how[call].most) * 1000000;
	nanosleep(&nap, NULL);
	errno = before;
}

/* real(): what libc has under that name */
#define REAL(result, name, ...)             \
	static result (*real)(__VA_ARGS__); \
	if (!real)                          \
	real = (result(*)(__VA_ARGS__))dlsym(RTLD_NEXT, name)

int fsync(int fd)
{
	REAL(int, "fsync", int);
	stumble(SYNC);
	return real(fd);
}

int fdatasync(int fd)
{
	REAL(int, "fdatasync", int);
	stumble(SYNC);
	return real(fd);
}

/* Before it, and while others see it done. */
int renameat(int from_dir, const char *from, int to_dir, const char *to)
{
	int result;

	REAL(int, "renameat", int, const char *, int, const char *);
	stumble(RENAME);
	result = real(from_dir, from, to_dir, to);
	stumble(RENAME);
	return result;
}

int unlinkat(int dir, const char *name, int flags)
{
	REAL(int, "unlinkat", int, const char *, int);
	stumble(UNLINK);
	return real(dir, name, flags);
}

ssize_t write(int fd, const void *bytes, size_t n)
{
	REAL(ssize_t, "write", int, const void *, size_t);
	stumble(WRITE);
	return real(fd, bytes, n);
}

ssize_t pwrite64(int fd, const void *bytes, size_t n, off64_t at)
{
	REAL(ssize_t, "pwrite64", int, const void *, size_t, off64_t);
	stumble(WRITE);
	return real(fd, bytes, n, at);
}

ssize_t sendmsg(int fd, const struct msghdr *m, int flags)
{
	REAL(ssize_t, "sendmsg", int, const struct msghdr *, int);
	stumble(SEND);
	return real(fd, m, flags);
}

ssize_t recvmsg(int fd, struct msghdr *m, int flags)
{
	REAL(ssize_t, "recvmsg", int, struct msghdr *, int);
	stumble(RECEIVE);
	return real(fd, m, flags);
}

/* After it: what it told may be older than what is there now. */
int epoll_wait(int fd, struct epoll_event *events, int n, int timeout)
{
	int result;

	REAL(int, "epoll_wait", int, struct epoll_event *, int, int);
	result = real(fd, events, n, timeout);
	stumble(WAIT);
	return result;
}

int accept4(int fd, struct sockaddr *peer, socklen_t *n, int flags)
{
	int result;

	REAL(int, "accept4", int, struct sockaddr *, socklen_t *, int);
	result = real(fd, peer, n, flags);
	stumble(ACCEPT);
	return result;
}

int connect(int fd, const struct sockaddr *to, socklen_t n)
{
	int result;

	REAL(int, "connect", int, const struct sockaddr *, socklen_t);
	result = real(fd, to, n);
	stumble(CONNECT);
	return result;
}
