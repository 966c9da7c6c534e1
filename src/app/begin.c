/* The configuration is there for the first time: everything is opened, and posts are made. */
#include <inttypes.h>
#include <stdio.h>
#include <sys/resource.h>

#include "app/life.h"
#include "base/fields.h"

/* Descriptors of an edge that are not sessions: links, listeners, deliveries' files. */
#define RESERVE 256

/* A server that was killed a moment ago may still be letting go of its ports. */
#define PORT_PATIENCE ((ms_t)2000)

/* Can the edges hold as many sessions as the configuration promises? */
static void compare_limit(struct supervisor *s)
{
	const struct settings *set = &s->conf->set;
	int64_t need = set->sessions / set->edges + 1 + RESERVE;
	struct rlimit limit;
	char text[360];

	if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || (int64_t)limit.rlim_cur >= need)
		return;
	snprintf(text, sizeof(text),
		 "sessions.max = %" PRId64 " over %" PRId64 " edges needs %" PRId64
		 " descriptors each, but the limit is %" PRId64 ": set LimitNOFILE=%" PRId64
		 " in holdfast.service (or \"ulimit -Hn %" PRId64
		 "\" before the start), or run.edges = %" PRId64,
		 set->sessions, set->edges, need, (int64_t)limit.rlim_cur, need, need,
		 limit.rlim_cur > RESERVE
			 ? set->sessions / ((int64_t)limit.rlim_cur - RESERVE) + 1
			 : set->edges);
	say(s, LOG_CAPACITY, "descriptors", text);
}

static bool has_post(const struct supervisor *s, enum role role)
{
	for (size_t i = 0; i < s->post_count; i++)
		if (s->posts[i].role == role)
			return true;
	return false;
}

/* It stays when it is not wanted any more: who does not ask costs nothing. */
void life_want_fetch(struct supervisor *s)
{
	if (!conf_wants_fetch(s->conf) || has_post(s, ROLE_FETCH))
		return;
	if (s->owners.no_fetch.text[0])
		say(s, LOG_FETCH_FAILED, "fetch", s->owners.no_fetch.text);
	else
		s->posts[s->post_count++] = (struct post){ .role = ROLE_FETCH };
}

static void make_posts(struct supervisor *s)
{
	static const enum role one_each[] = { ROLE_WATCH, ROLE_AUTH, ROLE_STORE };

	s->post_count = 0;
	for (size_t i = 0; i < COUNT_OF(one_each); i++)
		s->posts[s->post_count++] = (struct post){ .role = one_each[i] };
	for (int64_t i = 0; i < s->conf->set.edges && i < EDGES_MAX; i++)
		s->posts[s->post_count++] = (struct post){ .role = ROLE_EDGE };
	if (s->owners.no_firewall.text[0])
		say(s, LOG_FIREWALL, "firewall", s->owners.no_firewall.text);
	else if (s->conf->set.firewall)
		s->posts[s->post_count++] = (struct post){ .role = ROLE_FIREWALL };
	life_want_fetch(s);
}

static void say_ports(struct supervisor *s)
{
	for (size_t i = 0; i < s->ports.count; i++) {
		struct buf *b = say_begin(s);

		field_text(b, "listener", span_str(s->ports.port[i].name));
		say_end(s, LOG_LISTENING);
	}
}

bool life_begin(struct supervisor *s, struct err *err)
{
	struct systemd_sockets given = { 0 };
	bool resumed = s->control >= 0;

	if (!owners_find(&s->owners, &s->conf->set, err) ||
	    !places_make(s->conf, &s->owners, &s->lock, err))
		return false;
	if (!resumed)
		systemd_sockets(&given);
	if (!ports_open(&s->ports, &s->ports, &given, s->conf, PORT_PATIENCE, err))
		return false;
	if (!resumed)
		s->control = places_control(s->conf, &s->owners, err);
	if (s->control < 0)
		return false;
	for (unsigned i = 0; i < given.count; i++)
		if (given.socket[i].fd >= 0)
			say(s, LOG_CAPACITY, "socket-activation",
			    "systemd handed over a socket that no listener is configured for");
	if (!shared_begin(s, err))
		return false;
	compare_limit(s);
	if (!resumed)
		say_ports(s);
	make_posts(s);
	s->stage = STAGE_SERVING;
	return true;
}
