#include "guard/account_judge.h"

#define BUSY_MOST  ((gsec_t)60) /* a check that takes longer was lost */
#define WAIT_MOST  16		/* of one pair, from unknown devices */
#define SPRAY_GOOD 4 /* a secret that is right for one in so many is a shared first one */

const char *const account_why_word[WHY_COUNT] = {
	[WHY_NONE] = "",
	[WHY_WRONG] = "wrong-password",
	[WHY_REPEATED] = "repeated-password",
	[WHY_UNKNOWN] = "unknown-user",
	[WHY_TRAP] = "trap",
	[WHY_PREFIX] = "network-refused",
	[WHY_CAMPAIGN] = "campaign",
	[WHY_GUARDED] = "guarded",
	[WHY_DISABLED] = "disabled",
	[WHY_OVERLOAD] = "overload",
	[WHY_LIMIT] = "over-limit",
	[WHY_LEFT] = "left",
};

/* ---- writing, which readers notice --------------------------------------------------------- */

static void write_begins(struct accounts *a)
{
	uint32_t *seq = &account_head(a)->seq;

	__atomic_store_n(seq, *seq | 1, __ATOMIC_RELAXED);
	__atomic_thread_fence(__ATOMIC_RELEASE);
}

static void write_ends(struct accounts *a)
{
	uint32_t *seq = &account_head(a)->seq;

	__atomic_store_n(seq, (*seq | 1) + 1, __ATOMIC_RELEASE);
}

void accounts_begin(struct accounts *a, const uint64_t key[2], ms_t now)
{
	struct account_head *head = account_head(a);
	bool other = key && (key[0] != head->key[0] || key[1] != head->key[1]);

	(void)now;
	write_begins(a);
	if (other) {
		memset((uint8_t *)a->mem + a->table[0], 0, a->n - a->table[0]);
		head->key[0] = key[0];
		head->key[1] = key[1];
	}
	head->life++;
	a->writes = true;
	write_ends(a);
}

/* ---- the rows of an attempt ----------------------------------------------------------------- */

static uint64_t pair_key(const struct attempt *x)
{
	struct {
		uint64_t user;
		struct addr prefix;
	} key = { x->user_key, x->prefix };

	return rows_hash(x->a, &key, sizeof(key));
}

static void count_attempt(struct attempt *x)
{
	struct account_user *u = x->user;
	uint32_t hour = x->at / 3600;

	if (u->hour != hour) {
		u->in_last_hour = u->hour + 1 == hour ? u->in_hour : 0;
		u->in_hour = 0;
		u->hour = hour;
	}
	u->in_hour += u->in_hour < UINT32_MAX;
}

static void let_pass(struct attempt *x)
{
	struct account_user *u = x->user;

	if ((u->flags & USER_GUARDED) && u->guarded_until <= x->at) {
		u->flags &= (uint8_t)~USER_GUARDED;
		x->tell |= (u->flags & USER_EXISTS) ? TELL_UNGUARDED : 0;
	}
	if (x->t->exists)
		u->flags |= USER_EXISTS;
	if (x->pair->changes != u->changes) {
		memset(x->pair->wrong, 0, sizeof(x->pair->wrong));
		x->pair->same = x->pair->repeats = 0;
		x->pair->changes = u->changes;
	}
}

/* Ever different names and secrets are in no cache: they wait for memory once, not in turn. */
static void expect(const struct attempt *x, uint64_t pair, uint64_t net)
{
	rows_expect(x->a, AT_USERS, x->user_key);
	rows_expect(x->a, AT_PAIRS, pair);
	rows_expect(x->a, AT_DEVICES, x->device_key);
	if (x->t->secret)
		rows_expect(x->a, AT_SECRETS, x->t->secret);
	rows_expect(x->a, AT_PREFIXES, net);
}

void attempt_open(struct attempt *x, struct accounts *a, const struct account_try *t,
		  ms_t now, int64_t wall)
{
	uint64_t pair, net;

	*x = (struct attempt){ .a = a,
			       .t = t,
			       .now = now,
			       .at = memory_second(now),
			       .wall = wall,
			       .prefix = account_prefix_of(&t->from),
			       .user_key = accounts_hash(a, t->user),
			       .secret = account_short(t->secret) };
	if (!a->writes)
		accounts_begin(a, NULL, now);
	write_begins(a);
	pair = pair_key(x);
	net = rows_hash(a, &x->prefix, sizeof(x->prefix));
	x->device_key = account_device_key(a, x->user_key, &x->prefix, t->client);
	expect(x, pair, net);
	x->user = rows_get(a, AT_USERS, x->user_key, x->at);
	x->pair = rows_get(a, AT_PAIRS, pair, x->at);
	x->net = rows_get(a, AT_PREFIXES, net, x->at);
	x->device = rows_find(a, AT_DEVICES, x->device_key);
	x->known = x->device &&
		   device_known(x->device, a->limits.device_life, x->at, wall);
	if (t->secret)
		x->tried = rows_find(a, AT_SECRETS, t->secret);
	if (t->client)
		x->like = rows_find(a, AT_CAMPAIGNS,
				    rows_hash(a, &t->client, sizeof(t->client)));
	let_pass(x);
}

void attempt_close(struct attempt *x)
{
	write_ends(x->a);
}

bool attempt_repeats(const struct attempt *x, gsec_t *checked)
{
	const struct account_pair *p = x->pair;

	*checked = 0;
	if (x->secret == 0)
		return x->known; /* SCRAM: a known device has the old password, most likely */
	if (x->secret == x->user->right)
		return false;
	for (size_t i = 0; i < PAIR_WRONG; i++) {
		if (p->wrong[i].secret != x->secret)
			continue;
		*checked = p->wrong[i].checked;
		return true;
	}
	return false;
}

bool attempt_busy(const struct attempt *x)
{
	const struct account_pair *p = x->pair;

	return p->busy_since && p->busy_life == account_head(x->a)->life &&
	       account_age(p->busy_since, x->at) < BUSY_MOST;
}

bool attempt_guarded(const struct attempt *x)
{
	return x->user->flags & USER_GUARDED;
}

bool attempt_net_refused(const struct attempt *x)
{
	return x->net->until > x->at;
}

bool attempt_net_shared(const struct attempt *x)
{
	return distinct_count(&x->net->good) > 0;
}

/* ---- coming ------------------------------------------------------------------------------------ */

/* One secret on many users, and right for few of them. */
static bool is_sprayed(const struct attempt *x)
{
	return x->tried && x->tried->sprayed &&
	       distinct_count(&x->tried->good) * SPRAY_GOOD <
		       distinct_count(&x->tried->users);
}

/* Why an unknown device is refused unseen; WHY_NONE: it is not. */
static enum account_why against(struct attempt *x)
{
	if (x->t->trap)
		return WHY_TRAP;
	if (campaign_member(x))
		return WHY_CAMPAIGN;
	/* where somebody of ours lives, only what would be wrong anyway is not looked at */
	if (attempt_net_refused(x) && !(attempt_net_shared(x) && x->t->exists))
		return WHY_PREFIX;
	if (is_sprayed(x) && x->pair->successes == 0)
		return WHY_CAMPAIGN;
	if (attempt_guarded(x) && campaign_lookalike(x))
		return WHY_GUARDED;
	return WHY_NONE;
}

/* What is certain is a trap; where honest people may be hit as well it weighs as a wrong one. */
static enum event event_of(const struct attempt *x, enum account_why why)
{
	if (why == WHY_REPEATED)
		return EV_AUTH_REPEATED;
	if (why == WHY_GUARDED || (why == WHY_CAMPAIGN && x->campaign == 0))
		return EV_AUTH_FAILED;
	if (why == WHY_PREFIX && attempt_net_shared(x))
		return EV_AUTH_UNKNOWN;
	return EV_AUTH_TRAPPED;
}

static void refuse(struct attempt *x, enum account_why why, struct account_verdict *v)
{
	bool repeated = why == WHY_REPEATED;

	if (why == WHY_LIMIT) {
		attempt_say_over(x, v);
		return;
	}
	v->go = GO_REFUSE;
	v->event = event_of(x, why);
	attempt_wrong(x, repeated, true);
	v->delay = attempt_delay(x, !repeated);
}

static void start_check(struct attempt *x)
{
	struct account_pair *p = x->pair;

	if (x->secret == 0)
		return;
	p->busy_since = x->at;
	p->busy_secret = x->secret;
	p->busy_life = account_head(x->a)->life;
	p->waiting = 0;
}

/* A stranger hears it late, or would ask again at once, as fast as it can. */
void attempt_later(const struct attempt *x, struct account_verdict *v)
{
	const struct accounts_limits *l = &x->a->limits;

	v->go = GO_LATER;
	v->why = WHY_OVERLOAD;
	v->event = EV_AUTH_LATER;
	v->delay = x->known || l->observe ? 0 : l->delay;
}

/* Who stood in line may have left, which nobody tells us: it counts until somebody's turn. */
static bool many_wait(const struct attempt *x, bool busy)
{
	const struct accounts_limits *l = &x->a->limits;

	return !x->known && !l->observe &&
	       ((busy && x->pair->waiting >= WAIT_MOST) ||
		attempt_backlog(x) > l->delay_max);
}

/* Nothing is against it: is there room? */
static void check(struct attempt *x, struct account_verdict *v)
{
	bool busy = x->secret && attempt_busy(x);

	v->go = GO_CHECK;
	if (busy && x->pair->busy_secret == x->secret) {
		v->go = GO_SAME;
	} else if (many_wait(x, busy)) {
		attempt_later(x, v);
	} else if (busy) {
		v->go = GO_WAIT;
		x->pair->waiting = (uint16_t)(x->pair->waiting + 1);
	} else {
		start_check(x);
	}
}

static bool still_known_wrong(const struct attempt *x)
{
	gsec_t checked;

	return attempt_repeats(x, &checked) && checked &&
	       account_age(checked, x->at) < x->a->limits.remember_wrong / MS_SECOND;
}

struct account_verdict accounts_came(struct accounts *a, const struct account_try *t,
				     ms_t now, int64_t wall)
{
	struct account_verdict v = { 0 };
	struct attempt x;

	attempt_open(&x, a, t, now, wall);
	if (!x.known)
		v.why = against(&x);
	if (v.why == WHY_NONE && still_known_wrong(&x))
		v.why = WHY_REPEATED;
	if (v.why == WHY_NONE && t->right_lately && !attempt_observes_over(a) &&
	    attempt_over(&x))
		v.why = WHY_LIMIT;
	if (v.why != WHY_NONE && !a->limits.observe)
		refuse(&x, v.why, &v);
	else
		check(&x, &v);
	if (v.go != GO_WAIT && v.go != GO_LATER)
		count_attempt(&x);
	v.known_device = x.known;
	v.campaign = x.campaign;
	v.tell = x.tell;
	attempt_close(&x);
	return v;
}

struct account_verdict accounts_enter(struct accounts *a, const struct account_try *t,
				      ms_t now, int64_t wall)
{
	struct account_verdict v = { .go = GO_CHECK };
	struct attempt x;

	attempt_open(&x, a, t, now, wall);
	if (attempt_over(&x))
		attempt_say_over(&x, &v);
	if (v.go == GO_CHECK && t->shared) {
		x.user->successes += x.user->successes < UINT32_MAX;
		x.pair->successes += x.pair->successes < UINT32_MAX;
	}
	v.known_device = x.known;
	v.tell = x.tell;
	attempt_close(&x);
	return v;
}

/* ---- orders -------------------------------------------------------------------------------------- */

void accounts_changed(struct accounts *a, struct span user)
{
	struct account_user *u = rows_find(a, AT_USERS, accounts_hash(a, user));

	if (!u)
		return;
	write_begins(a);
	u->changes++;
	u->right_before = u->right;
	u->right = 0;
	write_ends(a);
}

bool accounts_unguard(struct accounts *a, struct span user, ms_t now)
{
	struct account_user *u = rows_find(a, AT_USERS, accounts_hash(a, user));
	bool was;

	if (!u)
		return false;
	write_begins(a);
	was = ((u->flags & USER_GUARDED) && u->guarded_until > memory_second(now)) ||
	      (u->flags & USER_HELD);
	u->flags &= (uint8_t) ~(USER_GUARDED | USER_HELD | USER_SPRAYED);
	u->guarded_until = u->held_since = 0;
	u->nets_new[0] = u->nets_new[1] = 0;
	u->secrets = u->nets[0] = u->nets[1] = u->places = (struct distinct){ 0 };
	write_ends(a);
	return was;
}

bool accounts_forget(struct accounts *a, struct span user)
{
	uint64_t key = accounts_hash(a, user);
	bool found = false;

	write_begins(a);
	for (size_t i = 0; i < rows_count(a, AT_DEVICES); i++) {
		struct account_known *d = rows_at(a, AT_DEVICES, i);

		if (d->row.key == 0 || d->user != key)
			continue;
		memset(d, 0, sizeof(*d));
		found = true;
	}
	write_ends(a);
	return found;
}
