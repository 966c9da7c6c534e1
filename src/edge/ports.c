/*
 * The listening sockets, which all edges share, and who may come in.
 *
 * The guard is asked first, before anything is spent on a connection: whom it refuses costs
 * an accept, a line that was printed beforehand, and a close. Each wake-up lets in a few, so
 * that the other workers get theirs, and refuses more than that.
 *
 * One that is nearly full (of what its descriptors and seats allow) lets the others go
 * first, each time; one that is full leaves the ports to them, and refuses only those whom
 * they left, too. How full all of them are together is for the guard to judge.
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

static void refuse(struct edge *e, int fd, const struct arrival *a)
{
	const struct listener *l = &e->rules->conf->listeners[a->listener];
	const struct guard_verdict *v = &a->verdict;
	struct span line;

	if (v->step == STEP_REFUSE && l->tls != TLS_IMPLICIT) {
		line = edge_guard_refusal(e, &e->refusals[l->service][v->rule], v->rule,
					  &a->peer.addr);
		(void)send(fd, line.p, line.n, MSG_NOSIGNAL | MSG_DONTWAIT);
	}
	close(fd);
	report_refused(e, a);
}

static size_t in_use(const struct edge *e)
{
	return e->conn_count + e->relay_count + e->file_count + mailboxes_calls(e);
}

bool ports_have_descriptor(const struct edge *e)
{
	return in_use(e) < e->descriptor_max;
}

static bool is_full(const struct edge *e)
{
	return e->conn_count >= e->conn_max || in_use(e) >= e->socket_max;
}

/* Chance does not fill all workers evenly. */
static bool is_nearly_full(const struct edge *e)
{
	return e->rules->conf->set.edges > 1 &&
	       e->conn_count >= e->conn_max - e->conn_max / NEARLY_FULL_SHARE;
}

/* ---- of this machine ------------------------------------------------------------------------ */

static const struct local_user *find_user(const struct conf *conf, uint32_t uid)
{
	for (uint32_t i = 0; i < conf->local_user_count; i++)
		if (conf->local_users[i].uid == uid)
			return &conf->local_users[i];
	return NULL;
}

/* "www-data@mx.example.org", or "uid1234@..." of one that the loader did not know. */
static void print_login(const struct conf *conf, uint32_t uid, struct buf *out)
{
	const struct local_user *u = find_user(conf, uid);

	if (u)
		buf_put(out, span_str(u->name));
	else
		buf_fmt(out, "uid%u", uid);
	buf_byte(out, '@');
	buf_put_lower(out, *conf->set.hostname ? span_str(conf->set.hostname)
					       : SPAN("localhost"));
}

/* The kernel says who it is, and no guard judges users of this machine by an address. */
static bool receive_local(struct edge *e, int fd, struct arrival *a)
{
	uint8_t mem[ADDRESS_MAX];
	struct ucred who;
	socklen_t n = sizeof(who);
	struct buf login;

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &n) != 0 || is_full(e)) {
		close(fd);
		return false;
	}
	a->peer = (struct endpoint){ addr_v4(127, 0, 0, 1), 0 };
	a->uid = who.uid;
	a->local = true;
	buf_init(&login, mem, sizeof(mem));
	print_login(e->rules->conf, who.uid, &login);
	a->login = buf_span(&login);
	conn_open(e, fd, a);
	a->local = false;
	a->login = SPAN_NONE;
	return true;
}

/* ---- who may come in ------------------------------------------------------------------------ */

static void ask_guard(struct edge *e, struct arrival *a, int64_t wall)
{
	a->verdict = guard_came(&e->guard, &a->visit, &a->peer.addr, false,
				loop_now(e->loop), wall);
}

/* sessions.max holds also when the guard only observes: it is what the machine can do. */
static bool beyond_all(const struct edge *e, const struct guard_verdict *v)
{
	const struct guard_limits *l = &e->guard.limits;

	return (l->observe || l->observed[RULE_ROOM]) && !v->allowed &&
	       seats_staying(&e->guard.memory) >= l->sessions_max;
}

/* There is no place for it after all. */
static void turn_back(struct edge *e, struct arrival *a)
{
	guard_left(&e->guard, &a->visit, 0, 0);
	a->verdict.step = STEP_REFUSE;
	a->verdict.rule = RULE_ROOM;
	a->verdict.observed = a->verdict.worth_a_line = false;
}

/* By a worse one of ours, or of another worker, if it is not our own room that is full. */
static bool make_room(struct edge *e, const struct arrival *a, bool full_here)
{
	bool known_good = a->verdict.known_good;

	return edge_guard_make_room(e, &a->peer.addr, known_good) ||
	       (known_good && !full_here && guard_claim(&e->guard));
}

static void judge(struct edge *e, struct arrival *a, int64_t wall)
{
	struct guard_verdict *v = &a->verdict;
	bool full_here;

	ask_guard(e, a, wall);
	if (v->rule == RULE_ROOM && v->step >= STEP_REFUSE && make_room(e, a, false))
		ask_guard(e, a, wall);
	if (v->step >= STEP_REFUSE)
		return;
	full_here = is_full(e);
	if ((full_here || beyond_all(e, v)) && !make_room(e, a, full_here))
		turn_back(e, a);
	else if (v->observed)
		report_refused(e, a);
}

/* Into the house or out of it. False: it was refused. */
static bool receive(struct edge *e, int fd, struct arrival *a, int64_t wall)
{
	const struct listener *l = &e->rules->conf->listeners[a->listener];

	a->visit = (struct guard_visit){ 0 };
	a->verdict = (struct guard_verdict){ 0 };
	a->judged = false;
	if (*l->path)
		return receive_local(e, fd, a);
	a->judged = !edge_guard_is_front(e, l, &a->peer.addr);
	if (a->judged)
		judge(e, a, wall);
	if (a->verdict.step < STEP_REFUSE) {
		conn_open(e, fd, a);
		return true;
	}
	if (a->verdict.rule == RULE_ROOM)
		report_capacity(e, "sessions",
				"as many sessions as sessions.max or the descriptors of "
				"this edge allow: strangers are refused");
	refuse(e, fd, a);
	return false;
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
static void out_of_descriptors(struct edge *e, const struct port *p, size_t at)
{
	struct arrival a = { .listener = at };
	int fd;

	report_capacity(e, "descriptors",
			"no descriptor left for a connection (ulimit -n)");
	for (int i = 0; i < ACCEPTS_MAX && e->spare_fd >= 0; i++) {
		close(e->spare_fd);
		fd = take_one(p, &a.peer);
		if (fd >= 0) {
			a.verdict = (struct guard_verdict){ .step = STEP_REFUSE,
							    .rule = RULE_ROOM };
			refuse(e, fd, &a);
		}
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
	struct arrival a = { .listener = listener_of(e, p) };
	int64_t wall = loop_wall(e->loop);

	if (a.listener == SIZE_MAX)
		return;
	for (int in = 0, out = 0; in < ACCEPTS_MAX && out < REFUSALS_MAX && e->accepting;) {
		int fd;

		if (is_full(e)) {
			pause_ports(e, FULL_PAUSE);
			return;
		}
		fd = take_one(p, &a.peer);
		if (fd >= 0 && receive(e, fd, &a, wall))
			in++;
		else if (fd >= 0)
			out++;
		else if (errno == EMFILE || errno == ENFILE)
			out_of_descriptors(e, p, a.listener);
		else if (!only_this_one(errno))
			return; /* EAGAIN, most often */
		else
			out++;
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
static bool take_waiting(struct edge *e, const struct port *p)
{
	struct arrival a = { .listener = listener_of(e, p) };
	int64_t wall = loop_wall(e->loop);

	for (int i = 0; i < REFUSALS_MAX; i++) {
		int fd = p->fd >= 0 && a.listener != SIZE_MAX ? take_one(p, &a.peer) : -1;

		if (fd < 0)
			return false;
		(void)receive(e, fd, &a, wall);
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
		more |= take_waiting(e, &e->ports[i]);
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
