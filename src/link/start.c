#include "link/start.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* How long the supervisor may take to hand over what a role needs. */
#define GO_WITHIN 30000

#define SIZE_SEALS (F_SEAL_SHRINK | F_SEAL_GROW)
#define SEALS	   (SIZE_SEALS | F_SEAL_WRITE)

const struct conf *start_map_conf(int fd, struct err *err)
{
	struct stat st;
	int seals = fcntl(fd, F_GET_SEALS);
	void *mem = MAP_FAILED;

	if (seals < 0 || (seals & SEALS) != SEALS)
		err_set(err, "configuration: not sealed");
	else if (fstat(fd, &st) != 0 || st.st_size != (off_t)sizeof(struct conf))
		err_set(err, "configuration: not of this program's version");
	else {
		mem = mmap(NULL, sizeof(struct conf), PROT_READ, MAP_SHARED, fd, 0);
		if (mem == MAP_FAILED)
			err_set(err, "configuration: %s", strerror(errno));
	}
	close(fd);
	if (mem == MAP_FAILED)
		return NULL;
	if (!conf_ok(mem, sizeof(struct conf))) {
		munmap(mem, sizeof(struct conf));
		err_set(err, "configuration: not a whole one");
		return NULL;
	}
	return mem;
}

void start_unmap_conf(const struct conf **conf)
{
	if (*conf)
		munmap((void *)(uintptr_t)*conf, sizeof(struct conf));
	*conf = NULL;
}

static bool map_shared(int fd, int seals, bool writable, const char *name,
		       struct start_mapping *out, struct err *err)
{
	struct start_mapping m = { 0 };
	int has = fcntl(fd, F_GET_SEALS);
	struct stat st;

	if (has < 0 || (has & seals) != seals) {
		close(fd);
		return err_set(err, "%s: not sealed", name);
	}
	if (fstat(fd, &st) != 0 || st.st_size < 0) {
		close(fd);
		return err_set(err, "%s: %s", name, strerror(errno));
	}
	m.n = (size_t)st.st_size;
	if (m.n)
		m.mem = mmap(NULL, m.n, PROT_READ | (writable ? PROT_WRITE : 0),
			     MAP_SHARED, fd, 0);
	close(fd);
	if (m.mem == MAP_FAILED)
		return err_set(err, "%s: cannot map %zu bytes: %s", name, m.n,
			       strerror(errno));
	start_unmap(out);
	*out = m;
	return true;
}

bool start_map_access(int fd, struct start_mapping *out, struct err *err)
{
	return map_shared(fd, SEALS, false, "access lists", out, err);
}

void start_unmap(struct start_mapping *m)
{
	if (m->mem)
		munmap(m->mem, m->n);
	*m = (struct start_mapping){ 0 };
}

static void replace_fd(int *old, int fd)
{
	if (*old >= 0)
		close(*old);
	*old = fd;
}

static bool nonsense(const struct frame *f, struct err *err)
{
	return err_set(err, "supervisor: %s makes no sense", message_table[f->kind].word);
}

static bool take_conf(struct start *s, struct frame *f, struct err *err)
{
	const struct conf *conf = start_map_conf(frame_take_fd(f, 0), err);

	if (!conf)
		return false;
	start_unmap_conf(&s->conf);
	s->conf = conf;
	return true;
}

static bool take_peer(struct start *s, struct frame *f, struct err *err)
{
	struct msg_PEER m;
	struct start_peer *p = s->peers;
	struct link *link;

	if (!msg_PEER_unpack(f->bytes, &m) || m.role == ROLE_NONE || m.role >= ROLE_COUNT)
		return nonsense(f, err);
	while (p < s->peers + s->peer_count && (p->role != m.role || p->number != m.number))
		p++;
	if (p == s->peers + ROLES_MAX)
		return err_set(err, "supervisor: too many peers");
	if (!link_open(&link, frame_take_fd(f, 0), s->role, (enum role)m.role, m.number,
		       err))
		return false;
	if (p == s->peers + s->peer_count)
		s->peer_count++;
	else
		link_close(&p->link);
	*p = (struct start_peer){ (enum role)m.role, m.number, link };
	return true;
}

static bool take_listener(struct start *s, struct frame *f, struct err *err)
{
	struct msg_LISTENER m;

	if (!msg_LISTENER_unpack(f->bytes, &m) ||
	    (m.number >= LISTENERS_MAX && m.number != LISTENER_CONTROL))
		return nonsense(f, err);
	if (s->listener_count == LISTENERS_MAX)
		return err_set(err, "supervisor: too many listeners");
	s->listeners[s->listener_count++] = (struct start_listener){ m.number, m.id,
								     frame_take_fd(f, 0) };
	return true;
}

static bool take_pulse(struct start *s, struct frame *f, struct err *err)
{
	struct msg_PULSE m;

	if (!msg_PULSE_unpack(f->bytes, &m) || m.role != s->role || s->pulse)
		return nonsense(f, err);
	s->number = m.number;
	return pulse_open(&s->pulse, frame_take_fd(f, 0), frame_take_fd(f, 1), err);
}

static bool take_pulse_of(struct start *s, struct frame *f, struct err *err)
{
	struct msg_PULSE_OF m;

	if (!msg_PULSE_OF_unpack(f->bytes, &m) || m.role >= ROLE_COUNT)
		return nonsense(f, err);
	if (s->pulse_count == ROLES_MAX)
		return err_set(err, "supervisor: too many pulses");
	s->pulses[s->pulse_count++] = (struct start_pulse){ (enum role)m.role, m.number,
							    m.pid, frame_take_fd(f, 0),
							    frame_take_fd(f, 1) };
	return true;
}

static bool take_guard(struct start *s, struct frame *f, struct err *err)
{
	struct msg_GUARD m;

	if (!msg_GUARD_unpack(f->bytes, &m))
		return nonsense(f, err);
	if (!map_shared(frame_take_fd(f, 0), SIZE_SEALS, s->role == ROLE_EDGE,
			"the guard's memory", &s->guard, err))
		return false;
	s->guard.fresh = m.fresh == 1;
	return true;
}

static bool take_orders(struct start *s, struct frame *f, struct err *err)
{
	struct msg_ORDERS m;

	if (!msg_ORDERS_unpack(f->bytes, &m))
		return nonsense(f, err);
	if (!map_shared(frame_take_fd(f, 0), SIZE_SEALS, s->role == ROLE_WATCH,
			"the orders", &s->orders, err))
		return false;
	s->orders.fresh = m.fresh == 1;
	return true;
}

static bool take_accounts(struct start *s, struct frame *f, struct err *err)
{
	struct msg_ACCOUNTS m;

	if (!msg_ACCOUNTS_unpack(f->bytes, &m))
		return nonsense(f, err);
	if (!map_shared(frame_take_fd(f, 0), SIZE_SEALS, s->role == ROLE_AUTH,
			"the guard's memory of accounts", &s->accounts, err))
		return false;
	s->accounts.fresh = m.fresh == 1;
	return true;
}

static bool take_stek(struct start *s, struct frame *f, struct err *err)
{
	struct msg_STEK m;

	if (!msg_STEK_unpack(f->bytes, &m))
		return nonsense(f, err);
	return map_shared(frame_take_fd(f, 0), SIZE_SEALS, false,
			  "the keys of TLS session tickets", &s->stek, err);
}

/* Whoever else is sent it must not have it. */
static bool take_tickets(struct start *s, struct frame *f, struct err *err)
{
	struct start_mapping key = { 0 };
	struct msg_TICKETS m;
	bool good;

	if (!msg_TICKETS_unpack(f->bytes, &m) ||
	    (s->role != ROLE_AUTH && s->role != ROLE_STORE))
		return nonsense(f, err);
	if (!map_shared(frame_take_fd(f, 0), SIZE_SEALS, false, "the key of tickets",
			&key, err))
		return false;
	good = key.n == sizeof(s->ticket_key);
	if (good)
		memcpy(s->ticket_key, key.mem, sizeof(s->ticket_key));
	start_unmap(&key);
	s->has_tickets = good;
	return good || err_set(err, "the key of tickets: not as long as one");
}

static bool take_gone(struct start *s, struct frame *f, struct err *err)
{
	struct msg_GONE m;

	if (!msg_GONE_unpack(f->bytes, &m))
		return nonsense(f, err);
	if (m.role == ROLE_EDGE && m.number < EDGES_MAX)
		s->dead_edges |= UINT32_C(1) << m.number;
	return true;
}

/* One message before GO. What is not known here is for later versions: refused. */
static bool take(struct start *s, struct frame *f, struct err *err)
{
	if (f->kind == MSG_CONF)
		return take_conf(s, f, err);
	if (f->kind == MSG_PEER)
		return take_peer(s, f, err);
	if (f->kind == MSG_LISTENER)
		return take_listener(s, f, err);
	if (f->kind == MSG_PULSE)
		return take_pulse(s, f, err);
	if (f->kind == MSG_PULSE_OF)
		return take_pulse_of(s, f, err);
	if (f->kind == MSG_GUARD)
		return take_guard(s, f, err);
	if (f->kind == MSG_ORDERS)
		return take_orders(s, f, err);
	if (f->kind == MSG_ACCOUNTS)
		return take_accounts(s, f, err);
	if (f->kind == MSG_STEK)
		return take_stek(s, f, err);
	if (f->kind == MSG_TICKETS)
		return take_tickets(s, f, err);
	if (f->kind == MSG_ACCESS)
		return start_map_access(frame_take_fd(f, 0), &s->access, err);
	if (f->kind == MSG_GONE)
		return take_gone(s, f, err);
	if (f->kind == MSG_CERTS && (s->role == ROLE_EDGE || s->role == ROLE_AUTH))
		replace_fd(&s->certs_fd, frame_take_fd(f, 0));
	else if (f->kind == MSG_TABLES)
		replace_fd(&s->tables_fd, frame_take_fd(f, 0));
	else
		return err_set(err, "supervisor: %s before go",
			       message_table[f->kind].word);
	return true;
}

bool start_wait_on(struct start *s, int fd, enum role role, struct err *err)
{
	struct frame f;

	*s = (struct start){ .role = role, .certs_fd = -1, .tables_fd = -1 };
	if (!link_open(&s->life, fd, role, ROLE_SUPERVISOR, 0, err))
		return false;
	for (;;) {
		bool taken;

		switch (link_recv_wait(s->life, GO_WITHIN, &f, err)) {
		case LINK_GOT:
			break;
		case LINK_MORE:
			return err_set(err, "supervisor: silent for %d s",
				       GO_WITHIN / 1000);
		case LINK_CLOSED:
			return err_set(err, "supervisor: gone");
		case LINK_BROKEN:
			return false;
		}
		if (f.kind == MSG_GO)
			break;
		taken = !frame_is_lost(&f) ? take(s, &f, err)
					   : err_set(err, "no descriptor is left for %s",
						     message_table[f.kind].word);
		frame_close_fds(&f);
		if (!taken)
			return false;
	}
	if (!s->conf || !s->pulse)
		return err_set(err, "supervisor: go without configuration or pulse");
	if ((role == ROLE_AUTH || role == ROLE_STORE) && !s->has_tickets)
		return err_set(err, "supervisor: go without the key of tickets");
	return true;
}

bool start_take_peer(struct frame *f, enum role us, struct link **link, struct err *err)
{
	struct msg_PEER m;

	if (!msg_PEER_unpack(f->bytes, &m) || m.role >= ROLE_COUNT)
		return err_set(err, "peer makes no sense");
	return link_open(link, frame_take_fd(f, 0), us, (enum role)m.role, m.number, err);
}

bool start_ready(const struct start *s, struct err *err)
{
	struct msg_READY m = { .sandbox = s->sandbox };

	msg_READY_pack(&m, link_begin(s->life));
	if (!link_send(s->life, NULL, 0) || !link_flush(s->life))
		return err_set(err, "supervisor: gone");
	return true;
}

void start_failed(const struct start *s, const struct err *err)
{
	struct msg_FAILED m = { .why = span_str(err->text) };

	if (!s->life)
		return;
	msg_FAILED_pack(&m, link_begin(s->life));
	/* The exit code says the same, less well. */
	(void)link_send(s->life, NULL, 0);
}
