#include "watch/commands.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/fields.h"
#include "base/list.h"
#include "base/number.h"
#include "watch/backends.h"
#include "watch/bans.h"
#include "watch/explaining.h"
#include "watch/journal.h"
#include "watch/ordering.h"
#include "watch/sessions.h"
#include "watch/top.h"
#include "watch/trace.h"

/*
 * A key of RSA and the hash of a password take seconds on a slow machine, and are made all the
 * same when nobody waits any more. Who asks a role that hangs hears so when that is replaced.
 */
#define ROLE_ANSWERS_WITHIN   (30 * MS_SECOND)
#define ORDER_ANSWERED_WITHIN MS_MINUTE

static bool drains(const struct pulses_one *one)
{
	return pulse_gauge_now(one->reader, GAUGE_DRAINING) != 0;
}

static size_t serving(const struct sight *s, enum role role)
{
	struct pulses_one one;
	size_t n = 0;

	for (size_t i = 0; pulses_get(s->pulses, i, &one); i++)
		n += one.role == role && !drains(&one);
	return n;
}

/* Edges that were replaced, and how many sessions each still has. */
static void put_old_edges(struct buf *out, const struct sight *s)
{
	struct pulses_one one;
	uint8_t mem[32 * EDGES_MAX];
	struct buf each;
	int64_t n = 0;

	buf_init(&each, mem, sizeof(mem));
	for (size_t i = 0; pulses_get(s->pulses, i, &one); i++) {
		if (one.role != ROLE_EDGE || !drains(&one))
			continue;
		buf_fmt(&each, "%sedge %u: %" PRId64, n ? ", " : "", one.number,
			pulse_gauge_now(one.reader, GAUGE_SESSIONS));
		n++;
	}
	field_number(out, "old-edges", n);
	if (n)
		field_text(out, "old-edges-sessions", buf_span(&each));
}

static const char *state(const struct sight *s)
{
	if (!serving(s, ROLE_STORE))
		return "the store is not there";
	if (!serving(s, ROLE_AUTH))
		return "auth is not there";
	if ((int64_t)serving(s, ROLE_EDGE) < s->conf->set.edges)
		return "an edge is not there";
	/* we hear of a process when it begins, and that is not yet when it serves */
	if (pulses_gauge(s->pulses, ROLE_SUPERVISOR, GAUGE_VACANT) != 0)
		return "a role is not ready yet";
	return "serving";
}

static const struct status_row {
	const char *name;
	enum role role;
	enum gauge gauge;
} status_rows[] = {
	{ "sessions", ROLE_EDGE, GAUGE_SESSIONS },
	{ "tls-sessions", ROLE_EDGE, GAUGE_TLS },
	{ "connections", ROLE_EDGE, GAUGE_CONNECTIONS },
	{ "accepted", ROLE_EDGE, GAUGE_MESSAGES },
	{ "queue", ROLE_STORE, GAUGE_QUEUE },
	{ "held", ROLE_STORE, GAUGE_HELD },
	{ "delivering", ROLE_STORE, GAUGE_DELIVERIES },
	{ "delivered", ROLE_STORE, GAUGE_DELIVERED },
	{ "deferred", ROLE_STORE, GAUGE_DEFERRED },
	{ "dead", ROLE_STORE, GAUGE_DEAD },
};

static void put_firewall(struct buf *out, const struct sight *s)
{
	struct kernel_state k;
	char text[300];

	kernel_state(s->kernel, &k);
	if (k.state == FIREWALL_OFF || !k.there)
		snprintf(text, sizeof(text), "%s",
			 k.state == FIREWALL_OFF ? "off"
						 : "the firewall role is not there");
	else
		snprintf(text, sizeof(text), "%s%s%.200s", kernel_state_word[k.state],
			 *k.why ? ": " : "", k.why);
	field_text(out, "firewall", span_str(text));
	field_number(out, "in-kernel", k.held);
	field_number(out, "kernel-dropped", (int64_t)(k.packets & INT64_MAX));
}

static const char *guard_state(const struct sight *s)
{
	if (!s->view.has_memory)
		return "its memory is not there";
	return s->conf->set.guard_mode == GUARD_OBSERVE ? "observes" : "enforces";
}

static void put_guard(struct buf *out, const struct sight *s)
{
	const char *trouble = ordering_trouble(s->ordering);
	struct memory_counts m = { 0 };
	size_t bans, allows;

	if (s->view.has_memory)
		memory_counts(&s->view.guard.memory, &m);
	ordering_counts(s, &bans, &allows);
	field_text(out, "guard", span_str(guard_state(s)));
	field_number(out, "guard-rows", m.hot_used);
	field_number(out, "guard-rows-max", m.hot_rows);
	field_number(out, "guard-memory", m.cold_used);
	field_number(out, "guard-memory-max", m.cold_rows);
	field_number(out, "refused", (int64_t)pulses_ends(s->pulses, END_REFUSED));
	field_number(out, "bans", (int64_t)(bans_count(s->bans) + bans));
	field_number(out, "bans-ordered", (int64_t)bans);
	field_number(out, "allowed", (int64_t)allows);
	field_flag(out, "lockdown", s->view.orders && orders_in_lockdown(s->view.orders));
	put_firewall(out, s);
	field_text(out, "orders-file", span_str(*trouble ? trouble : "ok"));
}

static void put_journal(struct buf *out, const struct sight *s)
{
	struct journal_facts j = { 0 };
	const char *state = "off";

	if (s->journal)
		journal_tell(s->journal, &j);
	if (s->conf->set.journal_size)
		state = !s->journal ? "missing" : *j.trouble ? j.trouble : "ok";
	field_text(out, "journal", span_str(state));
	field_number(out, "journal-records", (int64_t)j.written);
	field_number(out, "journal-lost", (int64_t)j.lost);
}

static void say_status(const struct asked *a)
{
	const struct sight *s = a->sight;
	const char *trouble = log_trouble(s->log);
	uint8_t mem[ROW_MAX];
	struct buf out;

	buf_init(&out, mem, sizeof(mem));
	field_text(&out, "state", span_str(state(s)));
	field_text(&out, "version", span_str(HOLDFAST_VERSION));
	field_text(&out, "hostname", span_str(s->conf->set.hostname));
	field_time(&out, "since", s->keep->began);
	for (size_t i = 0; i < COUNT_OF(status_rows); i++) {
		const struct status_row *r = &status_rows[i];

		field_number(&out, r->name, pulses_gauge(s->pulses, r->role, r->gauge));
	}
	put_old_edges(&out, s);
	put_guard(&out, s);
	put_journal(&out, s);
	field_text(&out, "log", span_str(*trouble ? trouble : "ok"));
	field_number(&out, "log-lines", (int64_t)log_written(s->log));
	field_number(&out, "log-only-counted", (int64_t)log_unwritten(s->log));
	field_number(&out, "log-bytes-left", log_budget_left(s->log));
	asked_row(a, &out);
	asked_done(a, "");
}

static void count_row(const struct asked *a, const char *kind, const char *name,
		      uint64_t n)
{
	uint8_t mem[256];
	struct buf out;

	buf_init(&out, mem, sizeof(mem));
	field_text(&out, "kind", span_str(kind));
	field_text(&out, "name", span_str(name));
	field_number(&out, "count", (int64_t)n);
	asked_row(a, &out);
}

static void say_counters(const struct asked *a)
{
	const struct pulses *p = a->sight->pulses;

	for (int i = EV_NONE + 1; i < EVENT_COUNT; i++)
		count_row(a, "event", event_table[i].word,
			  pulses_events(p, (enum event)i));
	for (int i = END_NONE + 1; i < END_COUNT; i++)
		count_row(a, "end", end_table[i].word, pulses_ends(p, (enum end)i));
	for (int i = LOG_NONE + 1; i < RECORD_COUNT; i++)
		count_row(a, "record", record_table[i].word,
			  pulses_records(p, (enum record)i));
	asked_done(a, "");
}

static void say_roles(const struct asked *a)
{
	const struct sight *s = a->sight;
	struct pulses_one one;
	uint8_t mem[512];
	struct buf out;

	for (size_t i = 0; pulses_get(s->pulses, i, &one); i++) {
		const struct pulse_reader *r = one.reader;

		buf_init(&out, mem, sizeof(mem));
		field_text(&out, "role", span_str(role_word[one.role]));
		field_number(&out, "number", (int64_t)one.number);
		field_number(&out, "pid", (int64_t)one.pid);
		field_time(&out, "since", one.since);
		field_number(&out, "beats", (int64_t)pulse_beats(r));
		field_flag(&out, "drains", drains(&one));
		field_number(&out, "sessions", pulse_gauge_now(r, GAUGE_SESSIONS));
		field_number(&out, "connections", pulse_gauge_now(r, GAUGE_CONNECTIONS));
		field_number(&out, "messages", pulse_gauge_now(r, GAUGE_MESSAGES));
		field_number(&out, "deliveries", pulse_gauge_now(r, GAUGE_DELIVERIES));
		asked_row(a, &out);
	}
	asked_done(a, "");
}

static void order(const struct asked *a, enum life_order what, enum role role,
		  unsigned number)
{
	struct sight *s = a->sight;
	struct msg_ORDER m = { .ask = a->ask,
			       .order = (uint8_t)what,
			       .role = (uint8_t)role,
			       .number = (uint16_t)number };

	msg_ORDER_pack(&m, link_begin(s->life.link));
	if (sight_send(&s->life))
		control_wait(s->control, a->ask, ROLE_SUPERVISOR, ORDER_ANSWERED_WITHIN);
	else
		asked_refuse(a, "The supervisor cannot be reached.");
}

static void say_reload(const struct asked *a)
{
	order(a, LIFE_RELOAD, ROLE_NONE, 0);
}

static void say_upgrade(const struct asked *a)
{
	order(a, LIFE_UPGRADE, ROLE_NONE, 0);
}

static void say_stop(const struct asked *a)
{
	order(a, LIFE_STOP, ROLE_NONE, 0);
}

static enum role role_named(struct span word)
{
	for (int r = ROLE_EDGE; r < ROLE_COUNT; r++)
		if (span_eq(word, span_str(role_word[r])))
			return (enum role)r;
	return ROLE_NONE;
}

static void say_restart(const struct asked *a)
{
	struct span rest = a->rest, word, number;
	enum role role = list_next(&rest, &word) ? role_named(word) : ROLE_NONE;
	uint64_t n = 0;

	if (role == ROLE_NONE)
		asked_refuse(a, "restart ROLE [NUMBER]: the roles are edge, store, auth, "
				"watch, firewall and fetch.");
	else if (list_next(&rest, &number) && !number_parse(number, EDGES_MAX - 1, &n))
		asked_refuse(a,
			     "restart ROLE [NUMBER]: `holdfast roles` shows the numbers.");
	else
		order(a, LIFE_RESTART, role, (unsigned)n);
}

static void forward(const struct asked *a, struct sight_peer *to, enum role role)
{
	struct msg_CONTROL m = { .ask = a->ask, .words = a->words };

	if (to->link) {
		struct buf *out = link_begin(to->link);
		bool sent;

		msg_CONTROL_pack(&m, out);
		sent = sight_send(to);
		/* it may have held a password */
		explicit_bzero(out->mem, out->len);
		if (sent) {
			control_wait(a->sight->control, a->ask, role, ROLE_ANSWERS_WITHIN);
			return;
		}
	}
	asked_refuse(a,
		     role == ROLE_STORE
			     ? "The store is not there now. Try again in a moment."
			     : "The auth role is not there now. Try again in a moment.");
}

static void to_store(const struct asked *a)
{
	forward(a, &a->sight->store, ROLE_STORE);
}

static void to_auth(const struct asked *a)
{
	forward(a, &a->sight->auth, ROLE_AUTH);
}

static const struct command {
	const char *word;
	void (*say)(const struct asked *a);
} commands[] = {
	/* how it is */
	{ "status", say_status },
	{ "counters", say_counters },
	{ "roles", say_roles },
	{ "sessions", sessions_say },
	{ "bans", bans_say },
	{ "backend", backends_say },
	{ "explain", explaining_say },
	{ "campaigns", campaigns_say },
	{ "top", top_say },
	{ "watch", trace_say },
	/* orders to the guard */
	{ "ban", ordering_ban },
	{ "unban", ordering_unban },
	{ "allow", ordering_allow },
	{ "kick", ordering_kick },
	{ "lockdown", ordering_lockdown },
	/* orders to the supervisor */
	{ "reload", say_reload },
	{ "upgrade", say_upgrade },
	{ "stop", say_stop },
	{ "restart", say_restart },
	/* for others to answer */
	{ "user", to_store },
	{ "alias", to_store },
	{ "domain", to_store },
	{ "queue", to_store },
	{ "passwd", to_auth },
	{ "relay", to_auth },
	{ "dkim", to_auth },
};

void commands_on_command(void *arg, uint32_t ask, struct span words)
{
	struct asked a = { .sight = arg, .ask = ask, .words = words, .rest = words };
	struct span word;

	if (!list_next(&a.rest, &word))
		word = SPAN_NONE;
	for (size_t i = 0; i < COUNT_OF(commands); i++) {
		if (span_eq(word, span_str(commands[i].word))) {
			commands[i].say(&a);
			return;
		}
	}
	asked_refuse(
		&a,
		"There is no such command. The server may be older than this program.");
}
