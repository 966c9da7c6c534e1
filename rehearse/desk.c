#include "rehearse/desk.h"

#include <errno.h>
#include <openssl/err.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/bug.h"

#define WAITING_MAX (256 << 20) /* bytes that wait for all peers of a process */
#define ACCEPTS	    64		/* at once, then those who are there have their turn */
#define EVENTS	    512
#define LOOK_MS	    250 /* how often a process looks for connections it was not told of */
#define LOOK_ROUNDS 64	/* and if it is never idle */
#define FULL_MS	    50	/* and one that had no descriptor left */

/* Bytes that must wait for something. */
struct waiting {
	uint32_t n, cap;
	uint8_t bytes[];
};

/* What happens once the answers have been written. */
enum then { THEN_READ, THEN_SHAKE, THEN_CLOSE };

struct peer {
	int fd;
	uint8_t then;
	bool shaking;	/* in a TLS handshake, or about to */
	uint32_t wants; /* what epoll was told */
	struct answers answers;
	struct waiting *in; /* owned: less than a line, or what there was no room to answer */
	struct waiting *out; /* owned: what the socket did not take */
	struct letter *letter;
	SSL *ssl;		    /* owned; NULL: in the clear */
	struct peer *next, *before; /* borrowed: all peers of the desk */
};

/* Bytes that wait. */

static void drop_waiting(struct desk *d, struct waiting **w)
{
	if (*w)
		d->waiting -= (*w)->cap;
	free(*w);
	*w = NULL;
}

/* False if there is too much of it, or no memory. */
static bool put_waiting(struct desk *d, struct waiting **w, struct span what)
{
	uint32_t cap = 64 - sizeof(**w);

	if (!*w || (*w)->cap < what.n) {
		drop_waiting(d, w);
		while (cap < what.n)
			cap = cap * 2 + sizeof(**w);
		if (d->waiting + cap > WAITING_MAX || !(*w = malloc(sizeof(**w) + cap)))
			return false;
		(*w)->cap = cap;
		d->waiting += cap;
	}
	memmove((*w)->bytes, what.p, what.n);
	(*w)->n = (uint32_t)what.n;
	return true;
}

/* One peer: what goes over the wire. All of these return false when it is to be ended. */

static bool want(struct desk *d, struct peer *p, uint32_t events)
{
	struct epoll_event ev = { .events = events, .data.ptr = p };

	if (p->wants == events)
		return true;
	p->wants = events;
	return epoll_ctl(d->poller, EPOLL_CTL_MOD, p->fd, &ev) == 0;
}

/* What TLS is waiting for, or 0 if the connection is over. */
static uint32_t tls_waits(struct peer *p, int got)
{
	switch (SSL_get_error(p->ssl, got)) {
	case SSL_ERROR_WANT_READ:
		return EPOLLIN;
	case SSL_ERROR_WANT_WRITE:
		return EPOLLOUT;
	default:
		SSL_set_quiet_shutdown(p->ssl, 1);
		return 0;
	}
}

/* The number of bytes taken; 0: none now; -1: over. */
static ssize_t give(struct peer *p, const uint8_t *bytes, size_t n)
{
	ssize_t put;

	if (p->ssl) {
		ERR_clear_error();
		put = SSL_write(p->ssl, bytes, (int)n);
		return put > 0 ? put : tls_waits(p, (int)put) ? 0 : -1;
	}
	put = send(p->fd, bytes, n, MSG_NOSIGNAL);
	if (put < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -1;
	return put;
}

/* Likewise. */
static ssize_t get(struct peer *p, uint8_t *bytes, size_t n)
{
	ssize_t got;

	if (p->ssl) {
		ERR_clear_error();
		got = SSL_read(p->ssl, bytes, (int)n);
		return got > 0 ? got : tls_waits(p, (int)got) ? 0 : -1;
	}
	got = recv(p->fd, bytes, n, 0);
	if (got < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -1;
	return got ? got : -1;
}

/* Write it; what is not taken waits in p->out, and for EPOLLOUT. */
static bool write_out(struct desk *d, struct peer *p, struct span what)
{
	ssize_t put = what.n ? give(p, what.p, what.n) : 0;

	if (put < 0)
		return false;
	what = span_skip(what, (size_t)put);
	if (what.n == 0) {
		drop_waiting(d, &p->out);
		return true;
	}
	return put_waiting(d, &p->out, what) && want(d, p, EPOLLOUT);
}

static bool shake(struct desk *d, struct peer *p)
{
	struct buf greeting;
	int got;

	/* not before the peer has said something: many never do */
	if (!p->ssl && !(p->ssl = SSL_new(d->tls)))
		return false;
	if (!SSL_get_rbio(p->ssl) && SSL_set_fd(p->ssl, p->fd) != 1)
		return false;
	ERR_clear_error();
	got = SSL_accept(p->ssl);
	if (got != 1) {
		uint32_t waits = tls_waits(p, got);

		return waits && want(d, p, waits);
	}
	p->shaking = false;
	p->answers.secure = true;
	if (!d->implicit_tls)
		return want(d, p, EPOLLIN);
	buf_init(&greeting, d->out, sizeof(d->out));
	answers_greet(&d->kind, &p->answers, &greeting);
	return want(d, p, EPOLLIN) && write_out(d, p, buf_span(&greeting));
}

/* The answers are written: on. */
static bool go_on(struct desk *d, struct peer *p)
{
	enum then then = (enum then)p->then;

	p->then = THEN_READ;
	switch (then) {
	case THEN_READ:
		return want(d, p, EPOLLIN);
	case THEN_SHAKE:
		p->shaking = true;
		return want(d, p, EPOLLIN);
	case THEN_CLOSE:
		if (p->ssl)
			SSL_shutdown(p->ssl);
		return false;
	}
	return false;
}

/* Write what was answered, then whatever comes then. */
static bool finish(struct desk *d, struct peer *p, struct buf *out, enum then then)
{
	p->then = (uint8_t)then;
	if (!write_out(d, p, buf_span(out)))
		return false;
	return p->out || go_on(d, p);
}

/* Answer what is there. What is left of it waits in p->in. */
static bool answer(struct desk *d, struct peer *p, struct span in)
{
	struct buf out;

	buf_init(&out, d->out, sizeof(d->out));
	for (;;) {
		struct answers_event ev = answers_next(&d->kind, &p->answers, &in, &out);

		switch (ev.heard) {
		case HEARD_TEXT:
			if (!letter_put(&d->letters, &p->letter, ev.text))
				return false;
			continue;
		case HEARD_END:
			answers_kept(&p->answers, letter_keep(&d->letters, &p->letter),
				     &out);
			continue;
		case HEARD_FORGET:
			letter_drop(&d->letters, &p->letter);
			continue;
		case HEARD_TLS:
			drop_waiting(d, &p->in);
			return finish(d, p, &out, THEN_SHAKE);
		case HEARD_CLOSE:
			return finish(d, p, &out, THEN_CLOSE);
		case HEARD_FULL:
			if (!write_out(d, p, buf_span(&out)))
				return false;
			buf_reset(&out);
			if (!p->out)
				continue;
			return put_waiting(d, &p->in, in);
		case HEARD_MORE:
			if (in.n == 0)
				drop_waiting(d, &p->in);
			else if (!put_waiting(d, &p->in, in))
				return false;
			return finish(d, p, &out, THEN_READ);
		}
	}
}

static bool readable(struct desk *d, struct peer *p)
{
	size_t n = p->in ? p->in->n : 0;
	ssize_t got;

	BUG_IF(n > ANSWERS_LINE);
	got = get(p, d->in + n, DESK_READ);
	if (got <= 0)
		return got == 0;
	if (n)
		memcpy(d->in, p->in->bytes, n);
	return answer(d, p, span_of(d->in, n + (size_t)got));
}

static bool writable(struct desk *d, struct peer *p)
{
	size_t n = p->in ? p->in->n : 0;

	if (p->out && !write_out(d, p, span_of(p->out->bytes, p->out->n)))
		return false;
	if (p->out)
		return true;
	if (p->then != THEN_READ || n == 0)
		return go_on(d, p);
	memcpy(d->in, p->in->bytes, n); /* what there was no room to answer */
	return want(d, p, EPOLLIN) && answer(d, p, span_of(d->in, n));
}

static void end(struct desk *d, struct peer *p)
{
	letter_drop(&d->letters, &p->letter);
	drop_waiting(d, &p->in);
	drop_waiting(d, &p->out);
	SSL_free(p->ssl);
	close(p->fd);
	if (p->next)
		p->next->before = p->before;
	if (p->before)
		p->before->next = p->next;
	else
		d->peers = p->next;
	free(p);
	d->open--;
}

static void serve(struct desk *d, struct peer *p)
{
	bool lives = p->shaking ? shake(d, p) : p->out ? writable(d, p) : readable(d, p);

	if (!lives)
		end(d, p);
}

/* Who comes. */

static void welcome(struct desk *d, int fd)
{
	struct peer *p = calloc(1, sizeof(*p));
	struct epoll_event ev = { .events = EPOLLIN, .data.ptr = p };
	struct buf out;

	if (!p) {
		close(fd);
		return;
	}
	p->fd = fd;
	p->wants = EPOLLIN;
	p->next = d->peers;
	if (p->next)
		p->next->before = p;
	d->peers = p;
	d->open++;
	if (epoll_ctl(d->poller, EPOLL_CTL_ADD, fd, &ev) < 0) {
		end(d, p);
		return;
	}
	p->shaking = d->implicit_tls;
	if (p->shaking)
		return;
	buf_init(&out, d->out, sizeof(d->out));
	answers_greet(&d->kind, &p->answers, &out);
	if (!write_out(d, p, buf_span(&out)))
		end(d, p);
}

static void turn_away(struct desk *d, int fd)
{
	struct span says = answers_refusal(d->kind.speaks);

	(void)!send(fd, says.p, says.n, MSG_NOSIGNAL);
	close(fd);
}

static void listen_again(struct desk *d)
{
	struct epoll_event ev = { .events = EPOLLIN | EPOLLEXCLUSIVE, .data.ptr = NULL };

	d->listening = epoll_ctl(d->poller, EPOLL_CTL_ADD, d->listener, &ev) == 0;
}

/* It is full: others may take who waits. */
static void listen_no_more(struct desk *d)
{
	if (d->listening)
		epoll_ctl(d->poller, EPOLL_CTL_DEL, d->listener, NULL);
	d->listening = false;
}

static void accept_some(struct desk *d)
{
	for (int i = 0; i < ACCEPTS; i++) {
		if (d->open >= d->room) {
			listen_no_more(d);
			return;
		}

		int fd = accept4(d->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd >= 0 && d->bare)
			turn_away(d, fd);
		else if (fd >= 0)
			welcome(d, fd);
		else if (errno == EAGAIN)
			return;
		else if (errno != ECONNABORTED && errno != EINTR) {
			listen_no_more(d);
			return;
		}
	}
}

bool desk_serve(struct desk *d, const volatile sig_atomic_t *stopped,
		const sigset_t *let_in)
{
	struct epoll_event events[EVENTS];

	d->poller = epoll_create1(EPOLL_CLOEXEC);
	if (d->poller < 0)
		return false;
	listen_again(d);
	for (unsigned round = 1; !*stopped; round++) {
		int wait_ms = !d->listening ? FULL_MS : d->alone ? -1 : LOOK_MS;
		int n = epoll_pwait(d->poller, events, EVENTS, wait_ms, let_in);
		/*
		 * An exclusive wait wakes one process for one connection. If that one was full
		 * before it took them all, nobody else was told.
		 */
		bool came = !d->alone && d->listening &&
			    (n == 0 || round % LOOK_ROUNDS == 0);

		for (int i = 0; i < n; i++) {
			if (events[i].data.ptr)
				serve(d, events[i].data.ptr);
			else
				came = true;
		}
		if (came)
			accept_some(d);
		else if (!d->listening && d->open < d->room)
			listen_again(d);
	}
	while (d->peers)
		end(d, d->peers);
	close(d->poller);
	return true;
}
