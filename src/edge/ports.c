/*
 * The listening sockets, which all edges share, and who may come in.
 *
 * Each wake-up accepts a few, so that the other workers get theirs. One that is nearly full
 * lets them go first, each time; one that is full leaves the ports to them, and refuses only
 * those whom they left, too. A refusal here costs an accept, a line and a close.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "edge/inside.h"
#include "spec/replies.h"

/* Which of the configuration's listeners is it? SIZE_MAX: none any more. */
static size_t listener_of(const struct edge *e, const struct port *p)
{
	const struct conf *conf = e->rules->conf;

	for (size_t i = 0; i < conf->listener_count; i++)
		if (conf->listeners[i].id == p->id)
			return i;
	return SIZE_MAX;
}

/* ---- refusing ------------------------------------------------------------------------------ */

static void refuse(struct edge *e, int fd, const struct endpoint *peer,
		   const struct listener *l)
{
	uint8_t mem[REPLY_MAX];
	struct buf out;

	buf_init(&out, mem, sizeof(mem));
	reply_print(RE_BUSY, SPAN_NONE, &out);
	if (l->tls != TLS_IMPLICIT)
		(void)send(fd, out.mem, out.len, MSG_NOSIGNAL | MSG_DONTWAIT);
	close(fd);
	report_busy(e, &peer->addr, l->name);
}

static bool is_full(const struct edge *e)
{
	return e->conn_count >= e->conn_max;
}

/* Every worker has the same share, and chance does not fill them evenly. */
static bool is_nearly_full(const struct edge *e)
{
	return e->rules->conf->set.edges > 1 &&
	       e->conn_count >= e->conn_max - e->conn_max / NEARLY_FULL_SHARE;
}

static bool room_for(struct edge *e, const struct endpoint *peer)
{
	int64_t each = e->rules->conf->set.sessions_address;

	return !is_full(e) && (each == 0 || crowd_count(e->crowd, &peer->addr) < each);
}

/* ---- accepting ----------------------------------------------------------------------------- */

static int take_one(const struct port *p, struct endpoint *peer)
{
	struct sockaddr_storage from;
	socklen_t n = sizeof(from);
	int fd = accept4(p->fd, (struct sockaddr *)&from, &n,
			 SOCK_NONBLOCK | SOCK_CLOEXEC);

	if (fd >= 0)
		*peer = endpoint_from(&from);
	return fd;
}

/* Leave the ports to the other workers for a while. */
static void pause_ports(struct edge *e, ms_t how_long)
{
	ports_accept(e, false);
	timer_set(&e->accept_again, loop_now(e->loop) + how_long);
}

static void have_spare(struct edge *e)
{
	if (e->spare_fd < 0)
		e->spare_fd = fcntl(link_fd(e->life.link), F_DUPFD_CLOEXEC, 0);
}

/*
 * No descriptor is left. The spare one lets us refuse those who wait now, and then we
 * leave the port to the other workers for a moment.
 */
static void out_of_descriptors(struct edge *e, const struct port *p,
			       const struct listener *l)
{
	struct endpoint peer;
	int fd;

	report_capacity(e, "descriptors",
			"no descriptor left for a connection (ulimit -n)");
	for (int i = 0; i < ACCEPTS_MAX && e->spare_fd >= 0; i++) {
		close(e->spare_fd);
		fd = take_one(p, &peer);
		if (fd >= 0)
			refuse(e, fd, &peer, l);
		e->spare_fd = -1;
		have_spare(e);
		if (fd < 0)
			break;
	}
	pause_ports(e, ACCEPT_PAUSE);
}

/* An error of one connection is no error of the port (accept(2)). */
static bool only_this_one(int error)
{
	return error == ECONNABORTED || error == EPROTO || error == EINTR ||
	       error == EPERM || error == ENETDOWN || error == EHOSTUNREACH ||
	       error == ENETUNREACH;
}

/* Accept a few of those who wait. */
static void take_some(struct edge *e, const struct port *p)
{
	size_t at = listener_of(e, p);
	struct endpoint peer;

	if (at == SIZE_MAX)
		return;
	for (int i = 0; i < ACCEPTS_MAX && e->accepting; i++) {
		const struct listener *l = &e->rules->conf->listeners[at];
		int fd;

		if (is_full(e)) {
			report_capacity(e, "sessions",
					"as many sessions as sessions.max allows");
			pause_ports(e, FULL_PAUSE);
			return;
		}
		fd = take_one(p, &peer);

		if (fd >= 0 && room_for(e, &peer))
			conn_open(e, fd, &peer, at);
		else if (fd >= 0)
			refuse(e, fd, &peer, l);
		else if (errno == EMFILE || errno == ENFILE)
			out_of_descriptors(e, p, l);
		else if (!only_this_one(errno))
			return; /* EAGAIN, most often */
	}
}

static void on_port(void *arg, unsigned ready)
{
	struct port *p = arg;

	(void)ready;
	if (is_nearly_full(p->edge) && !is_full(p->edge))
		pause_ports(p->edge, YIELD_PAUSE);
	else
		take_some(p->edge, p);
}

/* ---- the ports themselves ------------------------------------------------------------------ */

static void watch_port(struct edge *e, struct port *p)
{
	if (p->watch.loop || listener_of(e, p) == SIZE_MAX)
		return;
	if (!watch_start(e->loop, &p->watch, p->fd, WATCH_READ | WATCH_SHARED, on_port, p))
		report_trouble(e, "port", "a listening socket cannot be watched");
}

void ports_accept(struct edge *e, bool on)
{
	e->accepting = on && !e->draining && e->recipients.n > 0;
	for (size_t i = 0; i < COUNT_OF(e->ports); i++) {
		struct port *p = &e->ports[i];

		if (p->fd >= 0 && e->accepting)
			watch_port(e, p);
		else if (p->fd >= 0)
			watch_stop(&p->watch);
	}
}

/* Who waited for so long was left by the other workers, too: they are full as well. */
static bool refuse_waiting(struct edge *e, const struct port *p)
{
	size_t at = listener_of(e, p);
	struct endpoint peer;

	for (int i = 0; i < ACCEPTS_MAX; i++) {
		int fd = p->fd >= 0 && at != SIZE_MAX ? take_one(p, &peer) : -1;

		if (fd < 0)
			return false;
		refuse(e, fd, &peer, &e->rules->conf->listeners[at]);
	}
	return true; /* and there may be more */
}

void ports_on_pause_over(void *arg)
{
	struct edge *e = arg;
	bool more = false;

	have_spare(e);
	if (!is_full(e) || e->draining) {
		ports_accept(e, true);
		for (size_t i = 0; i < COUNT_OF(e->ports) && is_nearly_full(e); i++)
			if (e->ports[i].fd >= 0)
				take_some(e, &e->ports[i]); /* the others had their turn */
		return;
	}
	for (size_t i = 0; i < COUNT_OF(e->ports); i++)
		more |= refuse_waiting(e, &e->ports[i]);
	pause_ports(e, more ? 0 : FULL_PAUSE);
}

void ports_drop(struct edge *e, uint64_t id)
{
	for (size_t i = 0; i < COUNT_OF(e->ports); i++) {
		struct port *p = &e->ports[i];

		if (p->fd < 0 || p->id != id)
			continue;
		watch_stop(&p->watch);
		close(p->fd);
		p->fd = -1;
	}
}

void ports_set(struct edge *e, const struct start_listener *l)
{
	ports_drop(e, l->id); /* the same again, after a reload */
	for (size_t i = 0; i < COUNT_OF(e->ports); i++) {
		struct port *p = &e->ports[i];

		if (p->fd >= 0)
			continue;
		*p = (struct port){ .edge = e, .id = l->id, .fd = l->fd };
		if (e->accepting)
			watch_port(e, p);
		return;
	}
	close(l->fd);
	report_trouble(e, "port", "more listeners than there may be");
}

void ports_close(struct edge *e)
{
	for (size_t i = 0; i < COUNT_OF(e->ports); i++)
		if (e->ports[i].fd >= 0)
			ports_drop(e, e->ports[i].id);
}
