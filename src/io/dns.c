#include "io/dns.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <ares.h>

#include "base/siphash.h"

#define SOCKETS_MAX   32
#define HOSTS_MAX     65536 /* of a hosts file; what is behind is not read */
#define TRIES	      3
#define TIMEOUT	      (2 * MS_SECOND)
#define CLASS_IN      1
#define NOTHING_FOUND "has no address"

struct dns_socket {
	struct dns *dns;
	struct watch watch;
};

struct dns {
	struct loop *loop;
	ares_channel channel;
	struct timer timer;
	struct dns_socket sockets[SOCKETS_MAX];
	size_t asked;		 /* for records */
	bool local;		 /* all servers are on this machine */
	uint64_t key[2], serial; /* query ids are made of these */
	size_t hosts_n;
	uint8_t hosts[HOSTS_MAX];
};

/* A query that c-ares knows. It cannot forget one of many, so this is cut off from ours. */
struct dns_asked {
	struct dns *dns;
	struct dns_query *query;   /* NULL: cancelled */
	struct dns_lookup *lookup; /* likewise */
	unsigned type;
	bool calling; /* inside ares_getaddrinfo() */
};

/* ---- c-ares on our loop --------------------------------------------------------------- */

static void set_timer(struct dns *d)
{
	struct timeval tv, *left = ares_timeout(d->channel, NULL, &tv);

	if (left)
		/* rounded up: c-ares would send us away when we come early */
		timer_set(&d->timer, loop_now(d->loop) + left->tv_sec * MS_SECOND +
					     (left->tv_usec + 999) / 1000);
	else
		timer_stop(&d->timer);
}

static void on_time(void *arg)
{
	struct dns *d = arg;

	ares_process_fd(d->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
	set_timer(d);
}

static void on_ready(void *arg, unsigned ready)
{
	struct dns_socket *s = arg;
	struct dns *d = s->dns;
	int fd = s->watch.fd;

	ares_process_fd(d->channel, ready & WATCH_READ ? fd : ARES_SOCKET_BAD,
			ready & WATCH_WRITE ? fd : ARES_SOCKET_BAD);
	set_timer(d);
}

static struct dns_socket *find_socket(struct dns *d, int fd)
{
	struct dns_socket *spare = NULL;

	for (size_t i = 0; i < SOCKETS_MAX; i++) {
		if (!d->sockets[i].watch.loop)
			spare = &d->sockets[i];
		else if (d->sockets[i].watch.fd == fd)
			return &d->sockets[i];
	}
	return spare;
}

/* c-ares opens, uses and closes its sockets itself. It closes after saying 0, 0. */
static void on_state(void *arg, ares_socket_t fd, int readable, int writable)
{
	struct dns *d = arg;
	struct dns_socket *s = find_socket(d, fd);
	unsigned mask = (readable ? WATCH_READ : 0) | (writable ? WATCH_WRITE : 0);

	if (!s)
		return; /* a socket too many: what was asked there times out */
	s->dns = d;
	if (!mask)
		watch_stop(&s->watch);
	else if (s->watch.loop)
		watch_mask(&s->watch, mask);
	else
		(void)!watch_start(d->loop, &s->watch, fd, mask, on_ready, s);
}

/* ---- the hosts file -------------------------------------------------------------------- */

static void read_hosts(struct dns *d, const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return;
	while ((n = read(fd, d->hosts + d->hosts_n, sizeof(d->hosts) - d->hosts_n)) > 0)
		d->hosts_n += (size_t)n;
	close(fd);
}

static void put(struct dns_query *q, const struct addr *a)
{
	for (size_t i = 0; i < q->count; i++)
		if (addr_eq(&q->addresses[i], a))
			return;
	if (q->count < DNS_ADDRESSES)
		q->addresses[q->count++] = *a;
}

static struct span next_word(struct span *line)
{
	size_t n = 0;

	*line = span_trim(*line);
	while (n < line->n && line->p[n] != ' ' && line->p[n] != '\t' && line->p[n] != '\r')
		n++;
	*line = span_skip(*line, n ? n : line->n);
	return span_of(line->p - n, n);
}

static void look_in_hosts(const struct dns *d, struct span host, struct dns_query *q)
{
	struct span all = span_of(d->hosts, d->hosts_n);

	while (all.n) {
		struct span line = span_cut(&all, '\n'), word;
		struct addr a;

		line = span_head(line, span_find(line, '#'));
		if (!addr_parse(next_word(&line), &a))
			continue;
		while ((word = next_word(&line)).n)
			if (span_eq_nocase(word, host))
				put(q, &a);
	}
}

/* ---- questions --------------------------------------------------------------------------- */

static const char *reason(int status)
{
	switch (status) {
	case ARES_ENOTFOUND:
		return "does not exist";
	case ARES_ETIMEOUT:
	case ARES_ECONNREFUSED:
		return "cannot be looked up: no name server answers";
	case ARES_EBADNAME:
		return "is not the name of a host";
	case ARES_SUCCESS:
	case ARES_ENODATA:
		return NOTHING_FOUND;
	default:
		return "cannot be looked up now";
	}
}

static void take_nodes(struct dns_query *q, const struct ares_addrinfo *found)
{
	for (const struct ares_addrinfo_node *n = found->nodes; n; n = n->ai_next) {
		const struct sockaddr_in6 *v6 = (const void *)n->ai_addr;
		const struct sockaddr_in *v4 = (const void *)n->ai_addr;
		struct addr a;

		if (n->ai_family == AF_INET6) {
			memcpy(a.ip, &v6->sin6_addr, sizeof(a.ip));
		} else {
			const uint8_t *ip = (const uint8_t *)&v4->sin_addr;

			a = addr_v4(ip[0], ip[1], ip[2], ip[3]);
		}
		put(q, &a);
	}
}

static void on_found(void *arg, int status, int timeouts, struct ares_addrinfo *found)
{
	struct dns_asked *asked = arg;
	struct dns_query *q = asked->query;
	bool calling = asked->calling;

	(void)timeouts;
	if (q) {
		q->asked = NULL;
		if (status == ARES_SUCCESS && found)
			take_nodes(q, found);
		q->why = q->count ? NULL : reason(status);
	}
	if (found)
		ares_freeaddrinfo(found);
	/* dns_address() looks at it and frees it */
	if (calling)
		asked->calling = false;
	else
		free(asked);
	if (q && !calling && status != ARES_EDESTRUCTION)
		q->on_answer(q->arg);
}

static bool is_localhost(struct span host)
{
	return span_eq_nocase(host, SPAN("localhost")) ||
	       span_eq_nocase(host, SPAN("localhost."));
}

/* What needs no query. */
static bool known(const struct dns *d, struct span host, struct dns_query *q)
{
	struct addr v4 = addr_v4(127, 0, 0, 1), v6 = { .ip = { [15] = 1 } }, literal;

	if (addr_parse(host, &literal)) {
		put(q, &literal);
	} else if (is_localhost(host)) {
		put(q, &v4);
		put(q, &v6);
	} else {
		look_in_hosts(d, host, q);
	}
	return q->count > 0;
}

bool dns_is_known(const struct dns *d, struct span host)
{
	struct dns_query q = { 0 };

	return known(d, host, &q);
}

static bool fail(struct dns_query *q, const char *why)
{
	q->why = why;
	return true;
}

bool dns_address(struct dns *d, struct dns_query *q, struct span host,
		 void (*on_answer)(void *arg), void *arg)
{
	const struct ares_addrinfo_hints hints = { .ai_flags = ARES_AI_NOSORT,
						   .ai_family = AF_UNSPEC,
						   .ai_socktype = SOCK_STREAM };
	char name[DNS_NAME_MAX + 1] = "";
	struct dns_asked *asked;
	bool answered;

	*q = (struct dns_query){ .on_answer = on_answer, .arg = arg };
	if (known(d, host, q))
		return true;
	if (!host.n || host.n > DNS_NAME_MAX || memchr(host.p, '\0', host.n))
		return fail(q, reason(ARES_EBADNAME));
	memcpy(name, host.p, host.n);
	asked = malloc(sizeof(*asked));
	if (!asked)
		return fail(q, "cannot be looked up: out of memory");
	*asked = (struct dns_asked){ .query = q, .calling = true };
	q->asked = asked;
	ares_getaddrinfo(d->channel, name, NULL, &hints, on_found, asked);
	answered = !asked->calling;
	asked->calling = false;
	if (answered)
		free(asked);
	set_timer(d);
	return answered;
}

void dns_cancel(struct dns_query *q)
{
	if (q->asked)
		q->asked->query = NULL;
	q->asked = NULL;
}

/* ---- records -------------------------------------------------------------------------------- */

static void on_record(void *arg, int status, int timeouts, unsigned char *packet, int n)
{
	struct dns_asked *asked = arg;
	struct dns_lookup *l = asked->lookup;
	struct dns_answer answer = { 0 };

	(void)timeouts;
	(void)status; /* with a packet, it says no more than that */
	asked->dns->asked--;
	if (l) {
		l->asked = NULL;
		dns_answer_parse(span_of(packet, packet && n > 0 ? (size_t)n : 0),
				 asked->type, &answer);
		answer.authentic = answer.authentic && asked->dns->local;
	}
	free(asked);
	if (l && status != ARES_EDESTRUCTION)
		l->on_answer(l->arg, &answer);
}

#define QUERY_MAX   512
#define FLAG_AD_LOW 0x20 /* in the fourth byte: we understand AD (RFC 6840, 5.7) */

/* c-ares makes ids for its own queries only, and cannot set a flag. */
static bool ask(struct dns *d, const char *name, struct dns_asked *asked)
{
	unsigned char *query = NULL, mem[QUERY_MAX];
	uint16_t id;
	int n;

	d->serial++;
	id = (uint16_t)siphash(d->key, span_of(&d->serial, sizeof(d->serial)));
	if (ares_create_query(name, CLASS_IN, (int)asked->type, id, 1, &query, &n, 0) !=
		    ARES_SUCCESS ||
	    n < 12 || n > QUERY_MAX) {
		ares_free_string(query);
		return false;
	}
	memcpy(mem, query, (size_t)n);
	ares_free_string(query);
	mem[3] |= FLAG_AD_LOW;
	ares_send(d->channel, mem, n, on_record, asked);
	return true;
}

static void no_answer(struct dns_lookup *l)
{
	struct dns_answer none = { .result = DNS_FAILED, .ttl = UINT32_MAX };

	l->on_answer(l->arg, &none);
}

void dns_look_up(struct dns *d, struct dns_lookup *l, unsigned type, struct span name,
		 void (*on_answer)(void *arg, const struct dns_answer *a), void *arg)
{
	char text[DNS_NAME_MAX + 1] = "";
	struct dns_asked *asked;

	*l = (struct dns_lookup){ .on_answer = on_answer, .arg = arg };
	asked = d->asked < DNS_ASKED_MAX ? malloc(sizeof(*asked)) : NULL;
	if (!asked || !name.n || name.n > DNS_NAME_MAX) {
		free(asked);
		no_answer(l);
		return;
	}
	memcpy(text, name.p, name.n);
	*asked = (struct dns_asked){ .dns = d, .lookup = l, .type = type };
	l->asked = asked;
	d->asked++;
	if (!ask(d, text, asked)) {
		d->asked--;
		l->asked = NULL;
		free(asked);
		no_answer(l);
		return;
	}
	set_timer(d);
}

bool dns_is_local(const struct dns *d)
{
	return d->local;
}

void dns_forget(struct dns_lookup *l)
{
	if (l->asked)
		l->asked->lookup = NULL;
	l->asked = NULL;
}

/* ---- open and close ------------------------------------------------------------------------ */

static void without_blanks(const char *text, char *to, size_t room)
{
	for (; *text && room > 1; text++)
		if (*text != ' ' && *text != '\t') {
			*to++ = *text;
			room--;
		}
	*to = '\0';
}

static bool is_loopback(const struct ares_addr_port_node *s)
{
	if (s->family == AF_INET)
		return ((const uint8_t *)&s->addr.addr4)[0] == 127;
	return IN6_IS_ADDR_LOOPBACK((const struct in6_addr *)&s->addr.addr6);
}

static bool all_local(ares_channel channel)
{
	struct ares_addr_port_node *servers = NULL;
	bool local = ares_get_servers_ports(channel, &servers) == ARES_SUCCESS && servers;

	for (const struct ares_addr_port_node *s = servers; local && s; s = s->next)
		local = is_loopback(s);
	ares_free_data(servers);
	return local;
}

static bool open_channel(struct dns *d, const struct dns_setup *setup, struct err *err)
{
	char from_dns[] = "b";
	struct ares_options options = { .timeout = (int)(setup->timeout ? setup->timeout
									: TIMEOUT),
					.tries = TRIES,
					.lookups = from_dns,
					.sock_state_cb = on_state,
					.sock_state_cb_data = d };
	char servers[512];
	int rc = ares_init_options(&d->channel, &options,
				   ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES |
					   ARES_OPT_LOOKUPS | ARES_OPT_SOCK_STATE_CB);

	if (rc != ARES_SUCCESS)
		return err_set(err, "resolver: %s", ares_strerror(rc));
	if (!setup->servers || !*setup->servers)
		return true;
	without_blanks(setup->servers, servers, sizeof(servers));
	rc = ares_set_servers_ports_csv(d->channel, servers);
	if (rc != ARES_SUCCESS) {
		ares_destroy(d->channel);
		return err_set(err, "resolver: %s: %s", setup->servers, ares_strerror(rc));
	}
	return true;
}

bool dns_open(struct dns **out, struct loop *l, const struct dns_setup *setup,
	      struct err *err)
{
	static const struct dns_setup usual = { 0 };
	struct dns *d = calloc(1, sizeof(*d));
	int rc = ares_library_init(ARES_LIB_INIT_ALL);

	if (!d || rc != ARES_SUCCESS) {
		free(d);
		return err_set(err, "resolver: out of memory");
	}
	if (!setup)
		setup = &usual;
	d->loop = l;
	timer_init(&d->timer, l, on_time, d);
	if (getrandom(d->key, sizeof(d->key), 0) != sizeof(d->key)) {
		free(d);
		return err_set(err, "resolver: no random numbers");
	}
	if (!open_channel(d, setup, err)) {
		free(d);
		return false;
	}
	d->local = all_local(d->channel);
	read_hosts(d, setup->hosts ? setup->hosts : "/etc/hosts");
	*out = d;
	return true;
}

void dns_close(struct dns **dns)
{
	struct dns *d = *dns;

	*dns = NULL;
	if (!d)
		return;
	/* it calls for every query: those that are not ours any more are only freed */
	ares_destroy(d->channel);
	for (size_t i = 0; i < SOCKETS_MAX; i++)
		watch_stop(&d->sockets[i].watch);
	timer_stop(&d->timer);
	ares_library_cleanup();
	free(d);
}
