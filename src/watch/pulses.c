#include "watch/pulses.h"

#include <stdlib.h>
#include <unistd.h>

#define PULSES_MAX (2 * ROLES_MAX) /* draining ones of an upgrade included */
#define AT_ONCE	   256 /* records of one role before the others have their turn */

struct one {
	struct pulses *all;
	struct pulses_one pub;
	struct pulse_reader *reader;
	uint64_t read;
	int doorbell;
	struct watch bell;
};

struct pulses {
	struct loop *loop;
	struct log *log;
	struct keep *keep;
	struct pulses_tap tap;
	struct journal *journal; /* NULL: there is none */
	struct timer again;
	ms_t until; /* somebody who was heard may speak without a bell until then */
	size_t count;
	struct one *one[PULSES_MAX]; /* oldest first */
};

/* Does this gauge count since the start, so that it outlives its process? */
static bool only_goes_up(enum gauge g)
{
	switch (g) {
	case GAUGE_CONNECTIONS:
	case GAUGE_MESSAGES:
	case GAUGE_DELIVERED:
	case GAUGE_DEFERRED:
	case GAUGE_DEAD:
		return true;
	case GAUGE_SESSIONS:
	case GAUGE_TLS:
	case GAUGE_BODY_BYTES:
	case GAUGE_QUEUE:
	case GAUGE_DELIVERIES:
	case GAUGE_DRAINING:
	case GAUGE_VACANT:
	case GAUGE_HELD:
	case GAUGE_COUNT:
		break;
	}
	return false;
}

static void note_deed(struct journal *journal, const struct pulse_record *r)
{
	struct pulse_deed d;

	if (!journal || r->kind != LOG_OFFENCE || !pulse_deed_read(r->fields, &d))
		return;
	journal_put(journal, &(struct journal_record){ .wall = r->wall,
						       .session = d.session,
						       .from = d.from,
						       .event = d.event,
						       .rule = d.rule,
						       .observed = d.observed,
						       .behind = d.behind,
						       .count = d.count,
						       .listener = d.listener,
						       .points = d.points,
						       .text = d.text });
}

/* The next few records to the log. Were there as many as we may take? */
static bool read_some(struct one *o)
{
	struct pulse_record record;
	uint64_t lost;
	size_t n = 0;

	while (n < AT_ONCE && pulse_next(o->reader, &record, &lost)) {
		if (lost)
			log_overwritten(o->all->log, lost);
		log_record(o->all->log, o->pub.role, o->pub.number, &record);
		note_deed(o->all->journal, &record);
		if (o->all->tap.on_record)
			o->all->tap.on_record(o->all->tap.arg, o->pub.role, o->pub.number,
					      &record);
		n++;
	}
	o->read += n;
	return n == AT_ONCE;
}

/* A bell rings at most once per PULSE_RING_EVERY: whoever was heard is asked again. */
static void on_again(void *arg)
{
	struct pulses *p = arg;
	bool more = false, any = false;

	for (size_t i = 0; i < p->count; i++) {
		uint64_t before = p->one[i]->read;

		more |= read_some(p->one[i]);
		any |= p->one[i]->read != before;
	}
	if (any)
		p->until = loop_now(p->loop) + PULSE_RING_EVERY;
	if (more)
		timer_set(&p->again, loop_now(p->loop));
	else if (p->until > loop_now(p->loop))
		timer_set(&p->again, p->until);
}

/*
 * Each ring is an edge, so the bell is never read: the role at its other end could make it
 * a descriptor that reading waits for.
 */
static void on_bell(void *arg, unsigned ready)
{
	struct one *o = arg;

	(void)ready;
	on_again(o->all);
}

bool pulses_open(struct pulses **out, struct loop *loop, struct log *log,
		 struct keep *keep, struct err *err)
{
	struct pulses *p = calloc(1, sizeof(*p));

	if (!p)
		return err_set(err, "pulses: out of memory");
	p->loop = loop;
	p->log = log;
	p->keep = keep;
	timer_init(&p->again, loop, on_again, p);
	*out = p;
	return true;
}

static void close_one(struct one **one)
{
	struct one *o = *one;

	*one = NULL;
	watch_stop(&o->bell);
	pulse_reader_close(&o->reader);
	close(o->doorbell);
	free(o);
}

void pulses_close(struct pulses **pulses)
{
	struct pulses *p = *pulses;

	*pulses = NULL;
	if (!p)
		return;
	timer_stop(&p->again);
	while (p->count)
		close_one(&p->one[--p->count]);
	free(p);
}

bool pulses_add(struct pulses *p, const struct start_pulse *pulse, struct err *err)
{
	struct one *o = p->count < PULSES_MAX ? calloc(1, sizeof(*o)) : NULL;

	if (!o) {
		close(pulse->fd);
		close(pulse->doorbell);
		return err_set(err, "pulse of %s: no room", role_word[pulse->role]);
	}
	o->all = p;
	o->doorbell = pulse->doorbell;
	if (!pulse_reader_open(&o->reader, pulse->fd, err) ||
	    !watch_start(p->loop, &o->bell, o->doorbell, WATCH_READ | WATCH_EDGES,
			 on_bell, o)) {
		close_one(&o);
		return err_within(err, "pulse of %s", role_word[pulse->role]);
	}
	o->pub = (struct pulses_one){ .role = pulse->role,
				      .number = pulse->number,
				      .pid = pulse->pid,
				      .since = keep_since(p->keep, pulse->pid,
							  loop_wall(p->loop)),
				      .reader = o->reader };
	p->one[p->count++] = o;
	timer_set(&p->again, loop_now(p->loop));
	return true;
}

/* What it counted becomes past. */
static void bury(struct pulses *p, struct one *o)
{
	struct keep_counts *past = &p->keep->past;

	while (read_some(o))
		continue;
	for (int i = 0; i < EVENT_COUNT; i++)
		past->events[i] += pulse_counted(o->reader, (enum event)i);
	for (int i = 0; i < END_COUNT; i++)
		past->ends[i] += pulse_counted_end(o->reader, (enum end)i);
	for (int i = 0; i < RECORD_COUNT; i++)
		past->records[i] += pulse_counted_record(o->reader, (enum record)i);
	for (int i = 0; i < GAUGE_COUNT; i++)
		if (only_goes_up((enum gauge)i))
			past->gauges[o->pub.role][i] += pulse_gauge_now(o->reader,
									(enum gauge)i);
}

void pulses_drop(struct pulses *p, enum role role, unsigned number)
{
	for (size_t i = 0; i < p->count; i++) {
		struct one *o = p->one[i];

		if (o->pub.role != role || o->pub.number != number)
			continue;
		bury(p, o);
		keep_forget(p->keep, o->pub.pid);
		close_one(&o);
		p->count--;
		memmove(&p->one[i], &p->one[i + 1], (p->count - i) * sizeof(p->one[0]));
		return;
	}
}

void pulses_journal(struct pulses *p, struct journal *journal)
{
	p->journal = journal;
}

void pulses_tap(struct pulses *p, const struct pulses_tap *tap)
{
	p->tap = *tap;
}

void pulses_drain(struct pulses *p)
{
	for (size_t i = 0; i < p->count; i++)
		while (read_some(p->one[i]))
			continue;
}

uint64_t pulses_events(const struct pulses *p, enum event e)
{
	uint64_t n = p->keep->past.events[e];

	for (size_t i = 0; i < p->count; i++)
		n += pulse_counted(p->one[i]->reader, e);
	return n;
}

uint64_t pulses_ends(const struct pulses *p, enum end e)
{
	uint64_t n = p->keep->past.ends[e];

	for (size_t i = 0; i < p->count; i++)
		n += pulse_counted_end(p->one[i]->reader, e);
	return n;
}

uint64_t pulses_records(const struct pulses *p, enum record kind)
{
	uint64_t n = p->keep->past.records[kind];

	for (size_t i = 0; i < p->count; i++)
		n += pulse_counted_record(p->one[i]->reader, kind);
	return n;
}

int64_t pulses_gauge(const struct pulses *p, enum role role, enum gauge g)
{
	int64_t n = only_goes_up(g) ? p->keep->past.gauges[role][g] : 0;

	for (size_t i = 0; i < p->count; i++)
		if (p->one[i]->pub.role == role)
			n += pulse_gauge_now(p->one[i]->reader, g);
	return n;
}

bool pulses_get(const struct pulses *p, size_t i, struct pulses_one *out)
{
	if (i >= p->count)
		return false;
	*out = p->one[i]->pub;
	return true;
}
