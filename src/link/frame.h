/*
 * frame - messages between roles, with descriptors
 *
 * A link is a SOCK_SEQPACKET socketpair: one packet is one message, so there is no
 * framing to get wrong. The link checks each message that comes in against
 * spec/messages.def (kind, sender, receiver, descriptors); fields are checked by
 * msg_*_unpack(). It never blocks: what the other side cannot take yet waits in a queue
 * with a ceiling, and who sees link_full() stops producing.
 */
#ifndef LINK_FRAME_H
#define LINK_FRAME_H

#include "base/err.h"
#include "spec/messages.h"

struct link;

/* An incoming message. The descriptors are the receiver's to close; -1: none. */
struct frame {
	enum message kind;
	struct span bytes; /* good until the next link_recv() on this link */
	int fds[FRAME_FDS_MAX];
	bool lost; /* descriptors came along, and there was no number for them here: it has none */
};

/* It is nothing without the descriptors that it lost. */
bool frame_is_lost(const struct frame *f);

/* Close the descriptors of a message that nobody wants, or what is left of them. */
void frame_close_fds(struct frame *f);
/* Its i-th descriptor is the caller's from here on. */
int frame_take_fd(struct frame *f, size_t i);

/*
 * Takes over fd (also when it fails), makes it non-blocking and close-on-exec. us, them: which role is at
 * each end; number: which of several (edges).
 */
MUST bool link_open(struct link **out, int fd, enum role us, enum role them,
		    unsigned number, struct err *err);
void link_close(struct link **link);

int link_fd(const struct link *l);
enum role link_role(const struct link *l);
unsigned link_number(const struct link *l);

/*
 * Send one message: pack into a buffer from link_begin(), then link_send(). The
 * descriptors are duplicated by the kernel; the caller keeps (and closes) its own, also
 * when the message had to wait (the link keeps a duplicate then). False: the link is
 * broken or its queue is at its ceiling; the message is dropped.
 *
 *     msg_SUBMITTED_pack(&m, link_begin(l));
 *     link_send(l, NULL, 0);
 */
struct buf *link_begin(struct link *l);
bool link_send(struct link *l, const int *fds, size_t fd_count);

/* Is there something queued that waits for the socket to take more? */
bool link_waiting(const struct link *l);
/* Should the producer stop for now? (half of the queue's ceiling) */
bool link_full(const struct link *l);
/* The socket is writable: send what waits. False: the link is broken. */
bool link_flush(struct link *l);

enum link_got {
	LINK_GOT,    /* *out is a message */
	LINK_MORE,   /* nothing now */
	LINK_CLOSED, /* the other side is gone */
	LINK_BROKEN, /* it sent something it may not send; err says what */
};

enum link_got link_recv(struct link *l, struct frame *out, struct err *err);

/*
 * If the message is nothing without the descriptors that it lost, say LOST to who sent it:
 * it will come again. False: it is whole.
 */
bool link_lost(struct link *l, const struct frame *f);

/* Wait until something can be received (or for ms, -1: for ever). For start-up only. */
enum link_got link_recv_wait(struct link *l, int ms, struct frame *out, struct err *err);

/* A pair of sockets for a link, close-on-exec. */
MUST bool link_pair(int fds[2], struct err *err);

#endif
