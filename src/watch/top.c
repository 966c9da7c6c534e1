#include "watch/top.h"

#include <stdlib.h>

#include "base/fields.h"
#include "watch/bans.h"
#include "watch/best.h"

#define NOTE_EVERY  (10 * MS_SECOND)
#define A_MINUTE    6 /* notes */
#define AN_HOUR	    360
#define NOTES	    (AN_HOUR + A_MINUTE + 1)
#define ROWS_A_STEP 256
#define WITHIN	    ((ms_t)60) /* the answer must come soon; what was seen by then counts */
#define OFFENDERS   100
#define PREFIXES    20

/* ---- totals, and what became of them ----------------------------------------------- */

static uint64_t of_event(const struct pulses *p, int which)
{
	return pulses_events(p, (enum event)which);
}

static uint64_t of_end(const struct pulses *p, int which)
{
	return pulses_ends(p, (enum end)which);
}

static uint64_t of_edges(const struct pulses *p, int which)
{
	return (uint64_t)pulses_gauge(p, ROLE_EDGE, (enum gauge)which);
}

/* clang-format off */
static const struct count {
	const char *name;
	uint64_t (*total)(const struct pulses *p, int which);
	int which;
} counts[] = {
	{ "connections",       of_edges, GAUGE_CONNECTIONS },
	{ "messages-accepted", of_edges, GAUGE_MESSAGES },
	{ "refused-at-connect", of_end,  END_REFUSED },
	{ "refused-for-room",  of_end,   END_BUSY },
	{ "refused-by-ban",    of_event, EV_CAME_AGAIN },
	{ "refused-by-list",   of_event, EV_DENIED },
	{ "refused-too-fast",  of_event, EV_TOO_FAST },
	{ "refused-too-many",  of_event, EV_TOO_MANY },
	{ "refused-late",      of_event, EV_REFUSED_LATE },
	{ "handshakes-refused", of_event, EV_HANDSHAKE_OVER },
	{ "evicted",           of_event, EV_EVICTED },
	{ "relay-denied",      of_event, EV_RELAY_DENIED },
	{ "unknown-user",      of_event, EV_UNKNOWN_USER },
	{ "early-talk",        of_event, EV_EARLY_TALK },
	{ "on-a-dns-blocklist", of_event, EV_DNSBL },
};
/* clang-format on */

struct note {
	ms_t at;
	uint64_t total[COUNT_OF(counts)];
};

struct history {
	struct sight *sight;
	struct timer tick;
	size_t n, next; /* a ring */
	struct note note[NOTES];
};

static void take_note(const struct sight *s, struct note *n)
{
	n->at = loop_now(s->loop);
	for (size_t i = 0; i < COUNT_OF(counts); i++)
		n->total[i] = counts[i].total(s->pulses, counts[i].which);
}

static void on_note(void *arg)
{
	struct history *h = arg;

	take_note(h->sight, &h->note[h->next]);
	h->next = (h->next + 1) % NOTES;
	h->n += h->n < NOTES;
	timer_set(&h->tick, loop_now(h->sight->loop) + NOTE_EVERY);
}

/* So many notes ago; the oldest if there are not so many. */
static const struct note *note_ago(const struct history *h, size_t ago)
{
	if (ago >= h->n)
		ago = h->n - 1;
	return &h->note[(h->next + NOTES - 1 - ago) % NOTES];
}

bool history_open(struct history **out, struct sight *s, struct err *err)
{
	struct history *h = calloc(1, sizeof(*h));

	if (!h)
		return err_set(err, "top: out of memory");
	h->sight = s;
	timer_init(&h->tick, s->loop, on_note, h);
	on_note(h);
	*out = h;
	return true;
}

void history_close(struct history **history)
{
	struct history *h = *history;

	*history = NULL;
	if (!h)
		return;
	timer_stop(&h->tick);
	free(h);
}

static double per_minute(const struct note *from, const struct note *to, size_t i)
{
	double minutes = (double)(to->at - from->at) / MS_MINUTE;

	/* a role that ended abruptly may take counts with it */
	if (to->total[i] < from->total[i] || minutes < 1.0 / MS_MINUTE)
		return 0;
	return (double)(to->total[i] - from->total[i]) / minutes;
}

/* ---- what is said ------------------------------------------------------------------ */

struct topping {
	struct walk walk;
	struct asked asked;
	double (*worth)(const struct topping *t, const struct guard_hot *row);
	uint64_t limit;
	size_t at, end;
	struct best clients, prefixes;
	struct best_one prefix_places[PREFIXES];
	struct best_one client_places[OFFENDERS];
};

static void say_server(const struct asked *a, bool whole)
{
	const struct sight *s = a->sight;
	const struct settings *set = &s->conf->set;
	struct kernel_state kernel;
	struct memory_counts m = { 0 };
	uint8_t mem[1024];
	struct buf out;

	buf_init(&out, mem, sizeof(mem));
	kernel_state(s->kernel, &kernel);
	if (s->view.has_memory)
		memory_counts(&s->view.guard.memory, &m);
	field_text(&out, "part", SPAN("server"));
	field_text(&out, "hostname", span_str(set->hostname));
	field_time(&out, "now", loop_wall(s->loop));
	field_text(&out, "guard",
		   set->guard_mode == GUARD_OBSERVE ? SPAN("observe") : SPAN("enforce"));
	field_flag(&out, "lockdown", s->view.orders && orders_in_lockdown(s->view.orders));
	field_number(&out, "sessions", pulses_gauge(s->pulses, ROLE_EDGE, GAUGE_SESSIONS));
	field_number(&out, "sessions-max", set->sessions);
	field_number(&out, "tls-sessions", pulses_gauge(s->pulses, ROLE_EDGE, GAUGE_TLS));
	field_number(&out, "bans", (int64_t)bans_count(s->bans));
	field_text(&out, "firewall", span_str(kernel_state_word[kernel.state]));
	field_number(&out, "in-kernel", kernel.held);
	field_number(&out, "kernel-dropped", (int64_t)(kernel.packets & INT64_MAX));
	field_number(&out, "clients-here", m.hot_used);
	field_number(&out, "clients-here-max", m.hot_rows);
	field_number(&out, "remembered", m.cold_used);
	field_number(&out, "remembered-max", m.cold_rows);
	if (!whole)
		field_flag(&out, "partial", true);
	asked_row(a, &out);
}

static void say_rates(const struct asked *a)
{
	const struct history *h = a->sight->history;
	const struct note *minute = note_ago(h, A_MINUTE - 1);
	const struct note *before = note_ago(h, A_MINUTE - 1 + AN_HOUR);
	struct note now;

	take_note(a->sight, &now);
	for (size_t i = 0; i < COUNT_OF(counts); i++) {
		uint8_t mem[256];
		struct buf out;

		buf_init(&out, mem, sizeof(mem));
		field_text(&out, "part", SPAN("rate"));
		field_text(&out, "count", span_str(counts[i].name));
		asked_field_real(&out, "per-minute", per_minute(minute, &now, i));
		asked_field_real(&out, "hour-before", per_minute(before, minute, i));
		field_number(&out, "total", (int64_t)now.total[i]);
		asked_row(a, &out);
	}
}

static void say_row(const struct topping *t, const char *part, const struct guard_hot *row)
{
	const struct sight *s = t->asked.sight;
	const struct guard_limits *l = &s->view.guard.limits;
	ms_t now = loop_now(s->loop);
	int64_t wall = loop_wall(s->loop);
	bool banned = view_banned(&s->view, row, now, wall);
	struct net net = guard_key_net(row->key);
	uint8_t mem[512];
	struct buf out;

	buf_init(&out, mem, sizeof(mem));
	field_text(&out, "part", span_str(part));
	asked_field_net(&out, "prefix", &net);
	asked_field_real(&out, "points", guard_fast(row, l, now));
	asked_field_real(&out, "history", guard_slow(row, l, now));
	asked_field_real(&out, "per-hour", guard_per_hour(row, now));
	field_number(&out, "sessions", row->sessions);
	field_number(&out, "connections", row->connects);
	field_number(&out, "refused", row->refused);
	field_number(&out, "good", row->good);
	field_number(&out, "bytes", (int64_t)(row->bytes & INT64_MAX));
	field_number(&out, "cpu-ms", (int64_t)(row->busy_us / 1000));
	field_text(&out, "step",
		   span_str(banned && row->ban.step < STEP_COUNT
				    ? guard_step_word[row->ban.step]
				    : ""));
	if (banned)
		field_time(&out, "until", view_wall(row->ban.until, now, wall));
	asked_row(&t->asked, &out);
}

/* ---- those that matter most -------------------------------------------------------- */

static double by_points(const struct topping *t, const struct guard_hot *row)
{
	const struct sight *s = t->asked.sight;

	return guard_fast(row, &s->view.guard.limits, loop_now(s->loop)) +
	       guard_slow(row, &s->view.guard.limits, loop_now(s->loop));
}

static double by_rate(const struct topping *t, const struct guard_hot *row)
{
	return guard_per_hour(row, loop_now(t->asked.sight->loop));
}

static double by_sessions(const struct topping *t, const struct guard_hot *row)
{
	(void)t;
	return row->sessions;
}

static double by_refused(const struct topping *t, const struct guard_hot *row)
{
	(void)t;
	return row->refused;
}

static double by_bytes(const struct topping *t, const struct guard_hot *row)
{
	(void)t;
	return (double)row->bytes;
}

static double by_cpu(const struct topping *t, const struct guard_hot *row)
{
	(void)t;
	return (double)row->busy_us;
}

static const struct order_by {
	const char *word;
	double (*worth)(const struct topping *t, const struct guard_hot *row);
} orders_by[] = {
	{ "points", by_points },   { "rate", by_rate },	  { "sessions", by_sessions },
	{ "refused", by_refused }, { "bytes", by_bytes }, { "cpu", by_cpu },
};

static bool on_step(struct walk *w)
{
	struct topping *t = (struct topping *)w;
	const struct memory *m = &t->asked.sight->view.guard.memory;
	struct guard_hot row;

	for (int i = 0; i < ROWS_A_STEP && t->at < t->end; i++, t->at++) {
		struct best_one one;

		if (!memory_at(m, t->at, &row))
			continue;
		one = (struct best_one){ .worth = t->worth(t, &row),
					 .what = row.key.prefix,
					 .which = row.key.kind };
		/* also so that what is no number counts for nothing */
		if (one.worth > 0)
			best_offer(guard_key_level(row.key) == LEVEL_CLIENT ? &t->clients
									    : &t->prefixes,
				   &one);
	}
	return t->at < t->end;
}

static void say_best(struct topping *t, const char *part, struct best *b)
{
	struct guard_hot row;

	best_sort(b);
	for (size_t i = 0; i < b->n; i++) {
		struct guard_key key = { .prefix = b->one[i].what,
					 .kind = (uint8_t)b->one[i].which };

		if (memory_peek(&t->asked.sight->view.guard.memory, key, &row))
			say_row(t, part, &row);
	}
}

static void on_end(struct walk *w, enum walk_end how)
{
	struct topping *t = (struct topping *)w;

	if (how != WALK_DROPPED) {
		say_server(&t->asked, how == WALK_DONE);
		say_rates(&t->asked);
		if (t->asked.sight->view.has_memory) {
			say_best(t, "offender", &t->clients);
			say_best(t, "prefix", &t->prefixes);
		}
		asked_done(&t->asked, "");
	}
	free(t);
}

static bool choose(struct topping *t, struct span by)
{
	if (by.n == 0)
		by = SPAN("points");
	for (size_t i = 0; i < COUNT_OF(orders_by); i++)
		if (span_eq(by, span_str(orders_by[i].word)))
			t->worth = orders_by[i].worth;
	return t->worth != NULL;
}

void top_say(const struct asked *a)
{
	struct topping *t = calloc(1, sizeof(*t));
	struct memory_counts m = { 0 };
	struct asked_words w;
	struct err err = { 0 };
	size_t limit;

	if (!t || !asked_read(a->rest, WORD_LIMIT | WORD_BY, &w, &err) ||
	    !choose(t, w.by)) {
		asked_refuse(a,
			     *err.text ? err.text
			     : t ? "--by points | rate | sessions | refused | bytes | cpu"
				 : "Out of memory.");
		free(t);
		return;
	}
	t->asked = (struct asked){ .sight = a->sight, .ask = a->ask };
	limit = w.limit < OFFENDERS ? (size_t)w.limit : OFFENDERS;
	best_init(&t->clients, t->client_places, limit);
	best_init(&t->prefixes, t->prefix_places, limit < PREFIXES ? limit : PREFIXES);
	t->walk.step = on_step;
	t->walk.on_end = on_end;
	if (a->sight->view.has_memory) {
		memory_counts(&a->sight->view.guard.memory, &m);
		t->end = m.hot_rows;
	}
	walk_start(&t->walk, &a->sight->walks, a->sight->loop, WITHIN);
}
