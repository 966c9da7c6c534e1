#include "guard/account_judge.h"

/*
 * Too many sessions, and programs that come without end. A storm is of one pair of user and
 * network and of one kind, and over when it pauses. Whether it is one program that runs away
 * or several people who share an address is told by how fast it comes and by how many
 * programs there are in it.
 */

#define PAUSE	   ((gsec_t)120)
#define SHOWN_AT   5 /* it is evidence, though no verdict */
#define SHOWN_FOR  ((gsec_t)3600)
#define TOLD_AGAIN 100 /* times as many */

#define SHARE	     4 /* of what a network may have, a device of old has a part for itself */
#define SHARE_OF_ANY 5

/* ---- the limits ---------------------------------------------------------------------------- */

static bool has_share(const struct attempt *x)
{
	int64_t most = x->a->limits.per_network;
	int64_t share = most > 0 ? (most + SHARE - 1) / SHARE : SHARE_OF_ANY;

	return x->t->open_network < share && device_is_old(x, 0);
}

static bool network_full(const struct accounts_limits *l, const struct account_try *t)
{
	return l->per_network > 0 && t->open_network >= l->per_network;
}

bool accounts_full(const struct accounts *a, const struct account_try *t)
{
	const struct accounts_limits *l = &a->limits;

	if (!t->reads)
		return false;
	return network_full(l, t) || (l->per_user > 0 && t->open_user >= l->per_user);
}

bool attempt_over(const struct attempt *x)
{
	return accounts_full(x->a, x->t) &&
	       (network_full(&x->a->limits, x->t) || !has_share(x));
}

bool attempt_observes_over(const struct accounts *a)
{
	return a->limits.observe || a->limits.observe_limit;
}

void attempt_say_over(struct attempt *x, struct account_verdict *v)
{
	const struct accounts_limits *l = &x->a->limits;
	struct account_pair *p = x->pair;

	x->user->over += x->user->over < UINT32_MAX;
	storm_note(x, STORM_OVER, x->t->open_network);
	v->event = EV_LOGIN_OVER;
	if (attempt_observes_over(x->a))
		return;
	v->go = GO_REFUSE;
	v->why = WHY_LIMIT;
	v->delay = attempt_longer(l, attempt_level(x, &p->over_level, &p->over_at, true));
	/* from there even a login would wait */
	if (attempt_guarded(x) && !x->known)
		v->delay = l->delay_max;
}

/* ---- how sure ------------------------------------------------------------------------------ */

/*
 * So many in all, at least `often` in so many seconds, for so long: nobody does that by hand.
 * The more there are, up to `many`, the surer it is.
 */
struct pace {
	uint32_t count, often, in_seconds, lasted, many;
	unsigned from, to;
	bool by_the_clock;
};

/*
 * Who has the right secret and no place is tried again by nothing but a program; a wrong one
 * is given again by each device that has an old password, so that must be faster. Several
 * programs at one address are people, unless they are faster than people can be. Who comes
 * by the clock may be slower: people do not.
 */
#define PACES 4

static const struct pace paces[STORM_KINDS][PACES] = {
	[STORM_OVER] = { { 100, 10, 1, 0, 2000, 90, 97, false },
			 { 20, 2, 1, 0, 2000, 85, 97, false },
			 { 20, 1, 18, 240, 2000, 60, 90, false },
			 { 20, 1, 130, 1200, 1000, 60, 90, true } },
	[STORM_SAME] = { { 300, 10, 1, 0, 10000, 85, 97, false },
			 { 300, 10, 1, 0, 10000, 85, 97, false },
			 { 1000, 3, 1, 240, 10000, 60, 97, false },
			 { 1000, 3, 1, 240, 10000, 60, 97, false } },
};

#define STEADY_AT   20 /* times; before that it is chance */
#define STEADY_PART 90 /* of a hundred */

bool account_run_steady(const struct account_run *r, uint32_t *gap)
{
	*gap = r->count > 1 ? r->lasted / (r->count - 1) : 0;
	return r->count >= STEADY_AT &&
	       r->even * UINT64_C(100) >= (uint64_t)(r->count - 2) * STEADY_PART;
}

static bool keeps(const struct account_run *r, const struct pace *p)
{
	uint64_t time = (uint64_t)r->lasted + 1;
	uint32_t gap;

	if (p->by_the_clock && !account_run_steady(r, &gap))
		return false;
	return r->count >= p->count && r->lasted >= p->lasted &&
	       (uint64_t)r->count * p->in_seconds >= time * p->often;
}

static unsigned sure(const struct account_run *r, const struct pace *p)
{
	if (r->count >= p->many)
		return p->to;
	return p->from + (p->to - p->from) * (r->count - p->count) / (p->many - p->count);
}

unsigned account_run_sure(const struct account_run *r)
{
	size_t n = r->clients < STORM_CLIENTS ? PACES : 1;

	for (const struct pace *p = paces[r->kind]; n; p++, n--)
		if (keeps(r, p))
			return sure(r, p);
	return 0;
}

/* ---- noting -------------------------------------------------------------------------------- */

static uint8_t note_client(struct account_storm *s, uint32_t client)
{
	uint8_t n = 0;

	for (; n < STORM_CLIENTS && s->client[n]; n++)
		if (s->client[n] == client)
			client = 0;
	if (n < STORM_CLIENTS && client)
		s->client[n++] = client;
	return n;
}

/* What a client says may be shown to people: nothing that harms a terminal or ends a quote. */
static bool can_be_shown(uint8_t c)
{
	return c >= ' ' && c < 0x7f && c != '\'' && c != '"' && c != '\\';
}

static uint8_t keep_text(char *out, size_t room, struct span text)
{
	size_t n = text.n < room ? text.n : room;

	for (size_t i = 0; i < n; i++)
		out[i] = can_be_shown(text.p[i]) ? (char)text.p[i] : '?';
	return (uint8_t)n;
}

static struct account_run run_of(const struct account_worst *w)
{
	return (struct account_run){
		.kind = w->kind < STORM_KINDS ? (enum storm_kind)w->kind : STORM_OVER,
		.count = w->count,
		.lasted = account_age(w->since, w->last),
		.clients = w->clients,
		.even = w->even,
	};
}

/* One that surely runs away goes before a device that has had an old password for days. */
static bool is_worst(const struct attempt *x, const struct account_run *r)
{
	const struct account_worst *w = &x->user->worst;
	struct account_run shown = run_of(w);
	unsigned is = account_run_sure(r), was = account_run_sure(&shown);

	if (r->count < SHOWN_AT)
		return false;
	if (account_age(w->last, x->at) >= SHOWN_FOR || is > was)
		return true;
	return is == was && r->count >= w->count;
}

static void show(struct attempt *x, const struct account_storm *s,
		 const struct account_run *r)
{
	struct account_worst *w = &x->user->worst;

	*w = (struct account_worst){ .since = s->since,
				     .last = s->last,
				     .count = s->count,
				     .seconds = s->seconds,
				     .open = r->open,
				     .even = r->even,
				     .kind = (uint8_t)r->kind,
				     .clients = (uint8_t)r->clients,
				     .observed = r->kind == STORM_OVER &&
						 attempt_observes_over(x->a),
				     .from = x->t->from };
	w->name_n = keep_text(w->name, sizeof(w->name), x->t->name);
	w->hello_n = keep_text(w->hello, sizeof(w->hello), x->t->hello);
}

/* Within a second or a tenth: clocks are kept to the second, and networks have their moods. */
static void note_gap(struct account_storm *s, gsec_t at)
{
	gsec_t gap = account_age(s->last, at);
	gsec_t off = gap > s->gap ? gap - s->gap : s->gap - gap;

	s->even += s->count > 1 && off <= 1 + s->gap / 10;
	s->gap = gap;
}

void storm_note(struct attempt *x, enum storm_kind kind, uint32_t open)
{
	struct account_storm *s = &x->pair->storm[kind];
	struct account_run r = { .kind = kind, .open = open };

	if (s->count == 0 || account_age(s->last, x->at) > PAUSE)
		*s = (struct account_storm){ .since = x->at };
	if (s->count)
		note_gap(s, x->at);
	s->seconds += s->last != x->at;
	s->count += s->count < UINT32_MAX;
	s->last = x->at;
	r.clients = note_client(s, account_short(x->t->client));
	r.count = s->count;
	r.even = s->even;
	r.lasted = account_age(s->since, s->last);
	if (is_worst(x, &r))
		show(x, s, &r);
	/* of names that do not exist anybody could have as much written as they like */
	if (s->count / TOLD_AGAIN < s->told || !x->t->exists || account_run_sure(&r) == 0)
		return;
	s->told = s->count;
	x->tell |= TELL_RUNAWAY;
}
