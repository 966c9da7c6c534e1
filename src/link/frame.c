#include "link/frame.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/bug.h"

/* What a waiting descriptor counts in the queue, so that they have a ceiling too. */
#define FD_COST 4096u

/* More than any sender of ours passes: what is too much arrives, and is closed. */
#define FDS_TAKEN (FRAME_FDS_MAX + 1)

/* As much as the kernel lets us have: many messages before the queue is needed. */
#define SOCKET_BUFFER (4 << 20)

struct parcel {
	struct parcel *next;
	size_t n;
	size_t fd_count;
	int fds[FRAME_FDS_MAX];
	uint8_t bytes[];
};

struct link {
	int fd;
	enum role us, them;
	unsigned number;
	bool broken;
	struct parcel *first, **last; /* what waits, oldest first */
	size_t waiting;		      /* bytes in it, descriptors at FD_COST */
	struct buf out;
	uint8_t out_mem[FRAME_MAX];
	uint8_t in_mem[FRAME_MAX];
};

static void close_all(const int *fds, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (fds[i] >= 0)
			close(fds[i]);
}

static bool set_flags(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	return flags >= 0 && fcntl(fd, F_SETFL, flags | O_NONBLOCK) == 0 &&
	       fcntl(fd, F_SETFD, FD_CLOEXEC) == 0;
}

bool link_open(struct link **out, int fd, enum role us, enum role them, unsigned number,
	       struct err *err)
{
	struct link *l;

	if (!set_flags(fd)) {
		err_set(err, "link to %s: %s", role_word[them], strerror(errno));
		close(fd);
		return false;
	}
	l = malloc(sizeof(*l));
	if (!l) {
		close(fd);
		return err_set(err, "link to %s: out of memory", role_word[them]);
	}
	l->fd = fd;
	l->us = us;
	l->them = them;
	l->number = number;
	l->broken = false;
	l->first = NULL;
	l->last = &l->first;
	l->waiting = 0;
	buf_init(&l->out, l->out_mem, sizeof(l->out_mem));
	*out = l;
	return true;
}

static void drop_first(struct link *l)
{
	struct parcel *p = l->first;

	l->first = p->next;
	if (!l->first)
		l->last = &l->first;
	l->waiting -= p->n + p->fd_count * FD_COST;
	close_all(p->fds, p->fd_count);
	explicit_bzero(p->bytes, p->n); /* it may have held a secret */
	free(p);
}

void link_close(struct link **link)
{
	struct link *l = *link;

	*link = NULL;
	if (!l)
		return;
	while (l->first)
		drop_first(l);
	close(l->fd);
	free(l);
}

int link_fd(const struct link *l)
{
	return l->fd;
}

enum role link_role(const struct link *l)
{
	return l->them;
}

unsigned link_number(const struct link *l)
{
	return l->number;
}

/* Room for the descriptors of one message, aligned as the kernel wants it. */
union control {
	struct cmsghdr head;
	uint8_t mem[CMSG_SPACE(FDS_TAKEN * sizeof(int))];
};

enum sent { SENT, SENT_LATER, SENT_NEVER };

static enum sent send_now(struct link *l, struct span bytes, const int *fds,
			  size_t fd_count)
{
	struct iovec iov = { (void *)(uintptr_t)bytes.p, bytes.n };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1 };
	union control control = { 0 };

	if (fd_count) {
		m.msg_control = &control;
		m.msg_controllen = CMSG_SPACE(fd_count * sizeof(int));
		control.head.cmsg_level = SOL_SOCKET;
		control.head.cmsg_type = SCM_RIGHTS;
		control.head.cmsg_len = CMSG_LEN(fd_count * sizeof(int));
		memcpy(CMSG_DATA(&control.head), fds, fd_count * sizeof(int));
	}
	for (;;) {
		if (sendmsg(l->fd, &m, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0)
			return SENT;
		if (errno == EINTR)
			continue;
		/* ETOOMANYREFS: too many descriptors under way; they get there in time. */
		if (errno == EAGAIN || errno == ENOBUFS || errno == ENOMEM ||
		    errno == ETOOMANYREFS)
			return SENT_LATER;
		return SENT_NEVER;
	}
}

static bool send_later(struct link *l, struct span bytes, const int *fds, size_t fd_count)
{
	struct parcel *p;
	size_t cost = bytes.n + fd_count * FD_COST;

	if (cost > LINK_QUEUE_MAX - l->waiting)
		return false;
	p = malloc(sizeof(*p) + bytes.n);
	if (!p)
		return false;
	p->next = NULL;
	p->n = bytes.n;
	p->fd_count = 0;
	memcpy(p->bytes, bytes.p, bytes.n);
	for (size_t i = 0; i < fd_count; i++) {
		int fd = fcntl(fds[i], F_DUPFD_CLOEXEC, 0);

		if (fd < 0) {
			close_all(p->fds, p->fd_count);
			free(p);
			return false;
		}
		p->fds[p->fd_count++] = fd;
	}
	*l->last = p;
	l->last = &p->next;
	l->waiting += cost;
	return true;
}

struct buf *link_begin(struct link *l)
{
	buf_reset(&l->out);
	return &l->out;
}

/* What the other side would refuse is our mistake. */
static void check_own(const struct link *l, size_t fd_count)
{
	enum message kind = message_kind(buf_span(&l->out));
	const struct message_row *row = &message_table[kind];

	BUG_IF(kind == MSG_NONE);
	BUG_IF(row->from != ROLE_ANY && row->from != l->us);
	BUG_IF(row->to != ROLE_ANY && row->to != l->them);
	BUG_IF(fd_count < row->fds_min || fd_count > row->fds_max);
}

bool link_send(struct link *l, const int *fds, size_t fd_count)
{
	struct span bytes = buf_span(&l->out);

	if (l->broken || l->out.full)
		return false;
	check_own(l, fd_count);
	if (l->first)
		return send_later(l, bytes, fds, fd_count);
	switch (send_now(l, bytes, fds, fd_count)) {
	case SENT:
		return true;
	case SENT_LATER:
		return send_later(l, bytes, fds, fd_count);
	case SENT_NEVER:
		break;
	}
	l->broken = true;
	return false;
}

bool link_waiting(const struct link *l)
{
	return l->first && !l->broken;
}

bool link_full(const struct link *l)
{
	return l->waiting > LINK_QUEUE_MAX / 2;
}

bool link_flush(struct link *l)
{
	while (l->first && !l->broken) {
		struct parcel *p = l->first;

		switch (send_now(l, span_of(p->bytes, p->n), p->fds, p->fd_count)) {
		case SENT:
			drop_first(l);
			break;
		case SENT_LATER:
			return true;
		case SENT_NEVER:
			l->broken = true;
			break;
		}
	}
	return !l->broken;
}

/* Collect every descriptor that came along, wanted or not. */
static size_t take_fds(struct msghdr *m, int fds[FDS_TAKEN])
{
	size_t n = 0;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
		size_t bytes;

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		bytes = c->cmsg_len - CMSG_LEN(0);
		for (size_t at = 0; at + sizeof(int) <= bytes; at += sizeof(int)) {
			int fd;

			memcpy(&fd, CMSG_DATA(c) + at, sizeof(int));
			if (n < FDS_TAKEN)
				fds[n++] = fd;
			else
				close(fd);
		}
	}
	return n;
}

static bool allowed(const struct link *l, struct span bytes, size_t fd_count, bool lost,
		    struct err *err)
{
	enum message kind = message_kind(bytes);
	const struct message_row *row = &message_table[kind];

	if (kind == MSG_NONE)
		return err_set(err, "%s %u sent a message of unknown kind %u",
			       role_word[l->them], l->number, bytes.p[0]);
	if (row->from != ROLE_ANY && row->from != l->them)
		return err_set(err, "%s %u may not send %s", role_word[l->them],
			       l->number, row->word);
	if (row->to != ROLE_ANY && row->to != l->us)
		return err_set(err, "%s %u sent %s, which %s does not take",
			       role_word[l->them], l->number, row->word, role_word[l->us]);
	if ((fd_count < row->fds_min && !lost) || fd_count > row->fds_max)
		return err_set(err, "%s %u sent %s with %zu descriptors, not %u to %u",
			       role_word[l->them], l->number, row->word, fd_count,
			       row->fds_min, row->fds_max);
	return true;
}

/*
 * The kernel drops the descriptors for which this process has no number left, and says so as
 * if there had been too many. The message is heard all the same: that is no fault of who sent
 * it, and costs this one and not the link.
 */
static bool lost_fds(const struct msghdr *m, size_t fd_count)
{
	return m->msg_flags & MSG_CTRUNC && !(m->msg_flags & MSG_TRUNC) &&
	       fd_count < FDS_TAKEN;
}

static enum link_got recv_failed(const struct link *l, struct err *err)
{
	if (errno == EAGAIN || errno == EINTR)
		return LINK_MORE;
	if (errno == ECONNRESET || errno == EPIPE)
		return LINK_CLOSED;
	err_set(err, "link to %s %u: %s", role_word[l->them], l->number, strerror(errno));
	return LINK_BROKEN;
}

enum link_got link_recv(struct link *l, struct frame *out, struct err *err)
{
	struct iovec iov = { l->in_mem, sizeof(l->in_mem) };
	union control control;
	struct msghdr m = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control),
	};
	int fds[FDS_TAKEN];
	size_t fd_count;
	struct span bytes;
	ssize_t n = recvmsg(l->fd, &m, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

	if (n < 0)
		return recv_failed(l, err);
	fd_count = take_fds(&m, fds);
	bytes = span_of(l->in_mem, (size_t)n);
	if (n == 0) {
		close_all(fds, fd_count);
		return LINK_CLOSED;
	}
	out->lost = lost_fds(&m, fd_count);
	if (out->lost) {
		close_all(fds, fd_count);
		fd_count = 0;
	} else if (m.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) {
		close_all(fds, fd_count);
		err_set(err,
			"%s %u sent a message that is too large, or too many descriptors",
			role_word[l->them], l->number);
		return LINK_BROKEN;
	}
	if (!allowed(l, bytes, fd_count, out->lost, err)) {
		close_all(fds, fd_count);
		return LINK_BROKEN;
	}
	out->kind = message_kind(bytes);
	out->bytes = bytes;
	for (size_t i = 0; i < FRAME_FDS_MAX; i++)
		out->fds[i] = i < fd_count ? fds[i] : -1;
	return LINK_GOT;
}

enum link_got link_recv_wait(struct link *l, int ms, struct frame *out, struct err *err)
{
	struct pollfd p = { .fd = l->fd, .events = POLLIN };

	for (;;) {
		enum link_got got = link_recv(l, out, err);
		int n;

		if (got != LINK_MORE)
			return got;
		n = poll(&p, 1, ms);
		if (n == 0)
			return LINK_MORE;
		if (n < 0 && errno != EINTR) {
			err_set(err, "poll: %s", strerror(errno));
			return LINK_BROKEN;
		}
	}
}

void frame_close_fds(struct frame *f)
{
	close_all(f->fds, FRAME_FDS_MAX);
	for (size_t i = 0; i < FRAME_FDS_MAX; i++)
		f->fds[i] = -1;
}

int frame_take_fd(struct frame *f, size_t i)
{
	int fd = f->fds[i];

	f->fds[i] = -1;
	return fd;
}

/* Which of several it was about. */
static void name_lost(const struct frame *f, struct msg_LOST *out)
{
	struct msg_PEER peer;
	struct msg_PULSE_OF pulse;

	if (f->kind == MSG_PEER && msg_PEER_unpack(f->bytes, &peer)) {
		out->role = peer.role;
		out->number = peer.number;
	} else if (f->kind == MSG_PULSE_OF && msg_PULSE_OF_unpack(f->bytes, &pulse)) {
		out->role = pulse.role;
		out->number = pulse.number;
	}
}

bool link_lost(struct link *l, const struct frame *f)
{
	struct msg_LOST m = { .kind = (uint8_t)f->kind };

	if (!frame_is_lost(f))
		return false;
	name_lost(f, &m);
	msg_LOST_pack(&m, link_begin(l));
	(void)link_send(l, NULL, 0); /* a broken link shows when it is read */
	return true;
}

bool frame_is_lost(const struct frame *f)
{
	return f->lost && message_table[f->kind].fds_min > 0;
}

/* What a message needs of the socket's buffer is the least; more saves the queue work. */
static void enlarge(int fd, int option, int force)
{
	int bytes = SOCKET_BUFFER;

	if (setsockopt(fd, SOL_SOCKET, force, &bytes, sizeof(bytes)) != 0)
		(void)setsockopt(fd, SOL_SOCKET, option, &bytes, sizeof(bytes));
}

bool link_pair(int fds[2], struct err *err)
{
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) != 0)
		return err_set(err, "socketpair: %s", strerror(errno));
	for (size_t i = 0; i < 2; i++) {
		enlarge(fds[i], SO_SNDBUF, SO_SNDBUFFORCE);
		enlarge(fds[i], SO_RCVBUF, SO_RCVBUFFORCE);
	}
	return true;
}
