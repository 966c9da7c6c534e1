/*
 * stream - one connection, in or out, plain or inside TLS, that never blocks
 *
 * on_ready is called when something may have become possible: bytes to read, room to
 * write, the end of a connect. The owner then tries what it wants to do until it is told
 * STREAM_AGAIN; what it does not want now, it may try any time later without being called
 * again. So an owner that has no room to read simply does not read.
 *
 * A stream is embedded. It holds no buffers: what is to be read into is lent for one call,
 * what could not be written stays with the owner.
 */
#ifndef IO_STREAM_H
#define IO_STREAM_H

#include "base/addr.h"
#include "base/span.h"
#include "io/loop.h"
#include "io/tls.h"

enum stream_got {
	STREAM_GOT,    /* done */
	STREAM_AGAIN,  /* not now: on_ready will be called */
	STREAM_EOF,    /* the peer will send nothing more */
	STREAM_BROKEN, /* the connection is gone; s->error says why, as an errno */
};

/* Members are for io/ only, except where it says so. */
struct stream {
	struct watch watch;
	struct ssl_st *ssl;
	void (*on_ready)(void *arg);
	void *arg;
	int error;     /* for the owner to read: why it broke, 0 if it did not */
	bool can_read; /* as far as we know: not yet drained */
	bool can_write;
	bool hung_up; /* the peer has sent its end, or the connection broke */
	bool connecting;
	bool no_delay;
	bool shown; /* somebody else may hold it, too */
};

/* Takes over fd, which is non-blocking, also when it fails (then it is closed). */
MUST bool stream_open(struct stream *s, struct loop *l, int fd,
		      void (*on_ready)(void *arg), void *arg);

/*
 * Connect somewhere. False: it failed at once, and s->error says why; nothing to close.
 * Otherwise stream_connected() says, whenever asked, how it went.
 */
MUST bool stream_connect(struct stream *s, struct loop *l, const struct endpoint *to,
			 void (*on_ready)(void *arg), void *arg);
/* The same from an address of ours. */
MUST bool stream_connect_from(struct stream *s, struct loop *l, const struct addr *from,
			      const struct endpoint *to, void (*on_ready)(void *arg),
			      void *arg);
MUST bool stream_connect_unix(struct stream *s, struct loop *l, const char *path,
			      void (*on_ready)(void *arg), void *arg);
enum stream_got stream_connected(struct stream *s);

/* Read up to cap bytes, at least one; *n says how many. */
enum stream_got stream_read(struct stream *s, void *mem, size_t cap, size_t *n);
/*
 * See what has come without taking it, before TLS: for a header in front of the TLS
 * handshake. stream_skip() takes the first n bytes, those that were understood; AGAIN if
 * nothing has come since the last time.
 */
enum stream_got stream_peek(struct stream *s, void *mem, size_t cap, size_t *n);
void stream_skip(struct stream *s, size_t n);
/* Write from the front of *left; GOT when all of it is written. */
enum stream_got stream_write(struct stream *s, struct span *left);

/*
 * The same without seeing the bytes: from the socket into a pipe, and from a pipe. Not inside
 * TLS. The pipe must have had room, or *left bytes in it.
 */
enum stream_got stream_splice_in(struct stream *s, int pipe, size_t max, size_t *n);
enum stream_got stream_splice_out(struct stream *s, int pipe, size_t *left);

/* From now on send small writes at once (TCP_NODELAY); the first call only costs. */
void stream_no_delay(struct stream *s);

/* Go over to TLS; then stream_handshake() until it is not AGAIN. False: out of memory. */
MUST bool stream_tls_server(struct stream *s, struct tls *tls);
MUST bool stream_tls_client(struct stream *s, struct tls *tls,
			    const struct tls_peer *peer);
enum stream_got stream_handshake(struct stream *s);
/* Why did it fail? A few words; good until the stream is closed. */
const char *stream_tls_trouble(const struct stream *s);
/* After the handshake. */
struct tls_facts stream_tls_facts(const struct stream *s);
/* Who a client of ours is, by its certificate (io/tls.h); 0: nobody knows. */
size_t stream_tls_client_name(const struct stream *s, char *out, size_t room);
/* The certificates that say so (io/tls.h). */
MUST bool stream_tls_client_chain(const struct stream *s, struct buf *list);
/* What SCRAM-PLUS is bound to (io/tls.h); 0: there is nothing. */
size_t stream_tls_binding(struct stream *s, uint8_t out[TLS_BINDING_MAX]);

/*
 * Say that nothing more will be written (in TLS, close_notify too). A peer that may still
 * be sending must be read from for a while before stream_close(), else the reset that its
 * bytes cause can overtake what we said last.
 */
void stream_finish(struct stream *s);
/* Close it now. It may be freed at once. One that is closed already is fine. */
void stream_close(struct stream *s);
/* Close it now and have the peer see a reset. */
void stream_reset(struct stream *s);

/* To be shown to another role, who may hold it for longer than we do; it stays the stream's. */
static inline int stream_show(struct stream *s)
{
	s->shown = true;
	return s->watch.fd;
}

static inline bool stream_is_open(const struct stream *s)
{
	return s->watch.loop != NULL;
}

/* Addresses and socket addresses. */
struct sockaddr_storage;
struct endpoint endpoint_from(const struct sockaddr_storage *from);
/* The local end of a connection: one system call. */
struct endpoint stream_local(const struct stream *s);

#endif
