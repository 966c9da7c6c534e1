#include "guard/account_judge.h"

#define HALF_WEEK   ((gsec_t)302400)
#define DAY	    ((gsec_t)86400)
#define GUARDED_FOR (3 * DAY)	  /* after the last wrong secret from one more network */
#define FADES	    ((gsec_t)600) /* a step of the delay */
#define STEPS_MOST  16
#define FIRST_FOR   ((gsec_t)600) /* how long a network is refused at first */
#define LONGEST_FOR (7 * DAY)
#define SPRAYED_AT  8
#define STALE_AT    4		   /* repetitions, */
#define STALE_AFTER ((gsec_t)120)  /* over this time, of a device of the owner's */
#define STALE_ALONE ((gsec_t)3600) /* or over this, of one that gives nothing else */
#define STALE_OVER  (2 * DAY)

/* ---- how long a refusal waits -------------------------------------------------------------- */

ms_t attempt_longer(const struct accounts_limits *l, unsigned level)
{
	ms_t d = l->delay;

	for (unsigned i = 1; i < level && d < l->delay_max; i++)
		d *= 2;
	return d < l->delay_max ? d : l->delay_max;
}

unsigned attempt_level(const struct attempt *x, uint8_t *level, gsec_t *level_at, bool up)
{
	for (; *level && account_age(*level_at, x->at) >= FADES; --*level)
		*level_at += FADES;
	if (up) {
		*level = (uint8_t)(*level < STEPS_MOST ? *level + 1 : STEPS_MOST);
		*level_at = x->at;
	}
	return *level;
}

ms_t attempt_backlog(const struct attempt *x)
{
	ms_t until = x->pair->free_at;
	ms_t most = 3 * x->a->limits.delay_max; /* more was never put there */

	return until > x->now && until <= x->now + most ? until - x->now : 0;
}

/* The timer is the pair's: what comes while one waits is told after it. */
ms_t attempt_delay(struct attempt *x, bool new)
{
	const struct accounts_limits *l = &x->a->limits;
	struct account_pair *p = x->pair;
	ms_t wait, d;

	(void)attempt_level(x, &p->level, &p->level_at, new);
	if (l->observe)
		return 0;
	d = attempt_longer(l, new ? p->level : 1);
	if (attempt_guarded(x) && !x->known)
		d = l->delay_max;
	if (!new)
		return d;
	wait = attempt_backlog(x) + d;
	p->free_at = x->now + wait;
	return wait < l->delay_max ? wait : l->delay_max;
}

/* ---- wrong ------------------------------------------------------------------------------------ */

static void remember_wrong(struct attempt *x, bool repeated)
{
	struct account_pair *p = x->pair;
	size_t at = 0;

	for (size_t i = 0; i < PAIR_WRONG; i++) {
		if (p->wrong[i].secret == x->secret) {
			at = i;
			break;
		}
		if (p->wrong[i].checked < p->wrong[at].checked)
			at = i;
	}
	p->wrong[at].secret = x->secret;
	p->wrong[at].checked = x->at;
	if (!repeated) {
		p->flags &= (uint8_t)~PAIR_TOLD;
		p->same = x->secret;
		p->same_since = x->at;
		p->repeats = 0;
		p->client = account_short(x->t->client);
	}
}

/* Is it a device of the owner's? Then it has an old password, and the owner should know. */
static bool is_stale(const struct attempt *x)
{
	const struct account_pair *p = x->pair;
	gsec_t age = account_age(p->same_since, x->at);

	if (!x->t->exists || p->repeats < STALE_AT)
		return false;
	if (x->known || x->secret == x->user->right_before)
		return age >= STALE_AFTER;
	return age >= STALE_ALONE && p->level <= 1 && x->user->successes > 0;
}

static void note_stale(struct attempt *x)
{
	struct account_user *u = x->user;
	struct account_pair *p = x->pair;

	if (x->secret && x->secret != p->same)
		return;
	p->repeats += p->repeats < UINT32_MAX;
	storm_note(x, STORM_SAME, 0);
	if (!is_stale(x))
		return;
	if (!(u->flags & USER_STALE) || account_age(u->stale_last, x->at) > STALE_OVER) {
		u->flags |= USER_STALE;
		u->stale_from = x->t->from;
		u->stale_since = p->same_since;
		u->stale_device = x->device_key;
	}
	u->stale_last = x->at;
	if (p->flags & PAIR_TOLD)
		return;
	p->flags |= PAIR_TOLD;
	x->tell |= TELL_STALE;
}

/* Half a week and half a week: what counts is never older than a week. */
static void turn_week(struct attempt *x)
{
	struct account_user *u = x->user;
	gsec_t age = account_age(u->nets_at, x->at);

	if (u->nets_at && age < HALF_WEEK)
		return;
	if (account_age(u->last_failure, x->at) >= 2 * HALF_WEEK)
		u->secrets = (struct distinct){ 0 };
	u->nets[1] = u->nets_at && age < 2 * HALF_WEEK ? u->nets[0]
						       : (struct distinct){ 0 };
	u->nets_new[1] = u->nets_at && age < 2 * HALF_WEEK ? u->nets_new[0] : 0;
	u->nets[0] = (struct distinct){ 0 };
	u->nets_new[0] = 0;
	u->nets_at = x->at;
}

static void guard_user(struct attempt *x)
{
	struct account_user *u = x->user;

	if (account_nets(u, x->at) < x->a->limits.guarded_at)
		return;
	if (!(u->flags & USER_GUARDED)) {
		u->flags |= USER_GUARDED;
		u->guarded_since = x->at;
		/* a name that does not exist waits as long, so that nobody learns which do */
		x->tell |= x->t->exists ? TELL_GUARDED : 0;
	}
	u->guarded_until = x->at + GUARDED_FOR;
}

static void note_secret(struct attempt *x)
{
	struct account_secret *s;

	if (x->t->secret == 0)
		return;
	s = rows_get(x->a, AT_SECRETS, x->t->secret, x->at);
	x->tried = s;
	s->tries += s->tries < UINT32_MAX;
	(void)distinct_add(&s->users, x->user_key);
	if (s->sprayed)
		x->user->flags |= USER_SPRAYED;
	if (s->sprayed || distinct_count(&s->users) < SPRAYED_AT)
		return;
	s->sprayed = 1;
	x->user->flags |= USER_SPRAYED;
	x->tell |= TELL_SPRAY;
}

static void note_net(struct attempt *x)
{
	struct account_prefix *n = x->net;
	gsec_t length = FIRST_FOR;

	if (x->t->exists)
		return;
	if (n->unknown_at == 0 || account_age(n->unknown_at, x->at) >= DAY) {
		n->unknown = (struct distinct){ 0 };
		n->unknown_new = 0;
		n->unknown_at = x->at;
	}
	n->unknown_new += distinct_add(&n->unknown, x->user_key);
	if (attempt_net_refused(x) ||
	    account_count(&n->unknown, n->unknown_new) < x->a->limits.unknown_users)
		return;
	if (n->level && account_age(n->until, x->at) >= LONGEST_FOR)
		n->level = 0;
	for (unsigned i = 0; i < n->level && length < LONGEST_FOR; i++)
		length *= 2;
	n->level = (uint8_t)(n->level < UINT8_MAX ? n->level + 1 : UINT8_MAX);
	n->since = x->at;
	n->until = x->at + (length < LONGEST_FOR ? length : LONGEST_FOR);
	n->unknown = (struct distinct){ 0 };
	n->unknown_new = 0;
	n->unknown_at = x->at;
	if (!attempt_net_shared(x))
		campaign_network(x);
}

void attempt_wrong(struct attempt *x, bool repeated, bool refused)
{
	struct account_user *u = x->user;
	bool new;

	turn_week(x);
	u->failures += u->failures < UINT32_MAX;
	if (repeated)
		note_stale(x);
	else if (x->known)
		/* its owner mistyped: no network that guesses */
		(void)distinct_add(&u->secrets, x->secret);
	if (repeated || x->known) {
		u->last_failure = x->at;
		u->failed_from = x->t->from;
		return;
	}
	/* of the same secret from elsewhere (a phone on its way) only the first counts */
	new = x->secret == 0 || distinct_add(&u->secrets, x->secret) ||
	      !distinct_is_exact(&u->secrets);
	if (new)
		u->nets_new[0] += distinct_add(&u->nets[0], rows_hash(x->a, &x->prefix,
								      sizeof(x->prefix)));
	u->last_failure = x->at;
	u->failed_from = x->t->from;
	note_secret(x);
	note_net(x);
	if (new)
		guard_user(x);
	campaign_note(x, new, refused);
}

/* ---- what came of it ------------------------------------------------------------------------- */

static void say_wrong(struct attempt *x, struct account_verdict *v)
{
	struct account_user *u = x->user;
	gsec_t checked;
	bool repeated;

	if (x->secret && x->secret == u->right) {
		u->right_before = u->right; /* it was changed where we did not see it */
		u->right = 0;
	}
	repeated = attempt_repeats(x, &checked);
	if (x->secret)
		remember_wrong(x, repeated);
	attempt_wrong(x, repeated, false);
	v->go = GO_REFUSE;
	v->why = repeated ? WHY_REPEATED : x->t->exists ? WHY_WRONG : WHY_UNKNOWN;
	v->event = repeated	  ? EV_AUTH_REPEATED
		   : x->t->exists ? EV_AUTH_FAILED
				  : EV_AUTH_UNKNOWN;
	v->delay = attempt_delay(x, !repeated);
}

/* What is known of the secret, whether or not it is let in. */
static void note_secret_right(struct attempt *x)
{
	struct account_user *u = x->user;

	if (x->secret && x->secret != u->right) {
		if (u->right)
			u->right_before = u->right;
		u->right = x->secret;
	}
	if ((u->flags & USER_STALE) && u->stale_device == x->device_key) {
		u->flags &= (uint8_t)~USER_STALE;
		x->pair->flags &= (uint8_t)~PAIR_TOLD;
	}
}

static void note_right(struct attempt *x)
{
	struct account_user *u = x->user;
	struct account_prefix *n = x->net;

	u->successes += u->successes < UINT32_MAX;
	u->last_success = x->at;
	note_secret_right(x);
	x->pair->successes += x->pair->successes < UINT32_MAX;
	if (x->pair->client == account_short(x->t->client)) {
		x->pair->level = 0;
		x->pair->free_at = 0;
	}
	if (account_age(n->good_at, x->at) >= 30 * DAY)
		n->good = (struct distinct){ 0 };
	n->good_at = x->at;
	(void)distinct_add(&n->good, x->user_key);
	if (x->tried)
		(void)distinct_add(&x->tried->good, x->user_key);
}

static bool say_right(struct attempt *x, struct account_verdict *v)
{
	const struct accounts_limits *l = &x->a->limits;
	bool held;

	v->go = GO_CHECK;
	v->event = EV_AUTH_OK;
	if (attempt_guarded(x) && !x->known && !l->observe)
		v->delay = l->delay_max;
	held = device_places(x);
	note_right(x);
	device_learn(x);
	return held;
}

static bool say_right_but_over(struct attempt *x, struct account_verdict *v)
{
	if (attempt_observes_over(x->a) || !attempt_over(x))
		return false;
	note_secret_right(x);
	attempt_say_over(x, v);
	return true;
}

/* It waits as a wrong one does, so that nobody learns that it is right. */
static void say_disabled(struct attempt *x, struct account_verdict *v)
{
	gsec_t checked;
	bool repeated = attempt_repeats(x, &checked);

	if (x->secret)
		remember_wrong(x, repeated);
	x->user->failures += x->user->failures < UINT32_MAX;
	x->user->last_failure = x->at;
	v->go = GO_REFUSE;
	v->why = WHY_DISABLED;
	v->event = EV_AUTH_REPEATED;
	v->delay = attempt_delay(x, !repeated);
}

/* Is it one of the few of today? If there is room, it becomes one. */
static bool is_left_again(struct attempt *x)
{
	struct account_pair *p = x->pair;

	if (account_age(p->left_at, x->at) >= DAY)
		memset(p->left, 0, sizeof(p->left));
	p->left_at = x->at;
	for (size_t i = 0; i < PAIR_LEFT; i++) {
		if (p->left[i] == 0)
			p->left[i] = x->secret;
		if (p->left[i] == x->secret)
			return true;
	}
	return false;
}

/*
 * It may have been right, so it is not remembered as wrong: only that there was one more.
 * Who tries one secret on many users leaves one of each, so that is counted at once.
 */
static void say_left(struct attempt *x, struct account_verdict *v)
{
	gsec_t checked;

	attempt_later(x, v);
	v->why = WHY_LEFT;
	if (x->known || x->secret == 0 || x->secret == x->user->right ||
	    attempt_repeats(x, &checked))
		return;
	if (is_left_again(x)) {
		note_secret(x);
		return;
	}
	attempt_wrong(x, false, false);
	v->event = x->t->exists ? EV_AUTH_FAILED : EV_AUTH_UNKNOWN;
	v->delay = attempt_delay(x, true);
}

struct account_done accounts_done(struct accounts *a, const struct account_try *t,
				  enum account_outcome how, ms_t now, int64_t wall)
{
	struct account_done d = { 0 };
	struct attempt x;

	attempt_open(&x, a, t, now, wall);
	if (x.secret && x.pair->busy_secret == x.secret)
		x.pair->busy_since = 0;
	switch (how) {
	case ACCOUNT_RIGHT:
		if (!say_right_but_over(&x, &d.verdict))
			d.held = say_right(&x, &d.verdict);
		break;
	case ACCOUNT_WRONG:
		say_wrong(&x, &d.verdict);
		break;
	case ACCOUNT_DISABLED:
		say_disabled(&x, &d.verdict);
		break;
	case ACCOUNT_UNCHECKED:
		attempt_later(&x, &d.verdict);
		break;
	case ACCOUNT_LEFT:
		say_left(&x, &d.verdict);
		break;
	}
	d.verdict.known_device = x.known;
	d.verdict.campaign = x.campaign;
	d.verdict.tell = d.tell = x.tell;
	attempt_close(&x);
	return d;
}
