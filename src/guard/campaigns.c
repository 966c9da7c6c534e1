#include "guard/account_inside.h"

/*
 * A campaign is known by what its attempts have in common: the program (its EHLO name, the
 * order in which it tries mechanisms, its TLS hello: AUTH.client), the network, or a list of
 * names that do not exist. Only hostile attempts count, and of them only different ones:
 * members are addresses, but never more than there were different pairs of user and secret.
 * So neither many devices with an old password are one, nor a server whose passwords were
 * all lost for a day.
 *
 * A program that honest users have as well is never one: it must have four times as many
 * members as users who log in with it.
 */

#define OVER	   (30 * (gsec_t)86400) /* quiet for so long: forgotten */
#define GOOD_SHARE 4
#define GOOD_AGAIN ((gsec_t)600)
#define LOOKALIKES 3
#define GUESSED_BY \
	3 /* different secrets, from as many networks: that is no typing error */
#define BURST  ((gsec_t)15)
#define STEADY ((gsec_t)1800)

const char *const cadence_word[CADENCE_COUNT] = {
	[CADENCE_NONE] = "",
	[CADENCE_BURST] = "burst",
	[CADENCE_STEADY] = "steady",
	[CADENCE_SLOW] = "slow",
};

static uint32_t members_of(const struct account_campaign *c)
{
	uint32_t addrs = distinct_count(&c->addrs), tries = distinct_count(&c->tries);

	return addrs < tries ? addrs : tries;
}

static bool is_over(const struct account_campaign *c, gsec_t at)
{
	return account_age(c->row.last, at) >= OVER;
}

/* A known one, with a row that is still its own. */
static struct account_campaign *campaign_at(const struct accounts *a,
					    const struct campaign_ref *ref, gsec_t at)
{
	struct account_campaign *c;

	if (ref->number == 0 || ref->slot >= rows_count(a, AT_CAMPAIGNS))
		return NULL;
	c = rows_at(a, AT_CAMPAIGNS, ref->slot);
	return c->row.key && c->number == ref->number && !is_over(c, at) ? c : NULL;
}

static struct campaign_ref ref_to(const struct accounts *a,
				  const struct account_campaign *c)
{
	const struct account_campaign *first = rows_at(a, AT_CAMPAIGNS, 0);

	return (struct campaign_ref){ c->number, (uint32_t)(c - first) };
}

static bool lists(const struct account_campaign *c, uint64_t user)
{
	for (size_t i = 0; i < CAMPAIGN_USERS; i++)
		if (c->user[i] == account_short(user))
			return true;
	return false;
}

/* ---- whose program it is as well -------------------------------------------------------------- */

static void count_good(const struct attempt *x, struct account_campaign *c)
{
	if (c->good_at && account_age(c->good_at, x->at) < GOOD_AGAIN)
		return;
	c->good_at = x->at;
	c->good = c->client ? devices_with(x->a, c->client, c, x->at, x->wall) : 0;
}

static bool is_popular(const struct attempt *x, struct account_campaign *c)
{
	count_good(x, c);
	return (uint64_t)c->good * GOOD_SHARE >= members_of(c) && c->good > 0;
}

/* ---- membership --------------------------------------------------------------------------------- */

/*
 * One who has the same program, and a name of its list or one that does not exist. If the
 * campaign tries all kinds of names, any; but if its program is also somebody else's, a
 * user whom it did not try before is looked at.
 */
static bool is_like(struct attempt *x)
{
	struct account_campaign *c = x->like;

	if (!c || c->number == 0 || is_over(c, x->at))
		return false;
	if (is_popular(x, c)) {
		c->number = 0; /* no campaign after all */
		return false;
	}
	if (!x->t->exists || lists(c, x->user_key))
		return true;
	return c->good == 0 && distinct_count(&c->users) > CAMPAIGN_USERS;
}

bool campaign_member(struct attempt *x)
{
	struct account_campaign *names;

	if (is_like(x)) {
		x->campaign = x->like->number;
		return true;
	}
	names = x->t->exists ? NULL : campaign_at(x->a, &x->user->campaign, x->at);
	if (names)
		x->campaign = names->number;
	return names != NULL;
}

bool campaign_lookalike(struct attempt *x)
{
	struct account_campaign *c = x->like;

	if (!c || is_over(c, x->at) || members_of(c) < LOOKALIKES)
		return false;
	count_good(x, c);
	if (c->good == 0)
		x->campaign = c->number;
	return c->good == 0;
}

/* ---- counting -------------------------------------------------------------------------------------- */

static void note_gap(struct account_campaign *c, gsec_t gap)
{
	enum cadence is = gap < BURST	 ? CADENCE_BURST
			  : gap < STEADY ? CADENCE_STEADY
					 : CADENCE_SLOW;

	if (c->gaps[is] == UINT16_MAX)
		for (size_t i = 0; i < CADENCE_COUNT; i++)
			c->gaps[i] /= 2;
	c->gaps[is]++;
}

static void note_user(struct attempt *x, struct account_campaign *c)
{
	struct span name = x->t->user;
	size_t had = strnlen(c->sample, sizeof(c->sample)), i = 0;

	(void)distinct_add(&c->users, x->user_key);
	if (lists(c, x->user_key))
		return;
	while (i < CAMPAIGN_USERS && c->user[i])
		i++;
	if (i == CAMPAIGN_USERS)
		return;
	c->user[i] = account_short(x->user_key);
	if (had + name.n + 2 > sizeof(c->sample))
		return;
	if (had)
		c->sample[had++] = ' ';
	memcpy(c->sample + had, name.p, name.n);
	c->sample[had + name.n] = '\0';
}

static void note_in(struct attempt *x, struct account_campaign *c, gsec_t last,
		    bool refused)
{
	struct {
		uint64_t user, secret;
		struct addr from;
	} try = { .user = x->user_key, .secret = x->t->secret };

	if (try.secret == 0)
		try.from = x->t->from;
	if (c->first == 0)
		c->first = x->at;
	else
		note_gap(c, account_age(last, x->at));
	c->row.last = x->at;
	c->attempts += c->attempts < UINT32_MAX;
	c->refused += refused && c->refused < UINT32_MAX;
	(void)distinct_add(&c->addrs, rows_hash(x->a, &x->t->from, sizeof(x->t->from)));
	(void)distinct_add(&c->tries, rows_hash(x->a, &try, sizeof(try)));
	note_user(x, c);
}

/* The row of that key, and when it was last heard of. What is over begins anew. */
static struct account_campaign *row_of(struct attempt *x, uint64_t key, gsec_t *last)
{
	struct account_campaign *c = rows_find(x->a, AT_CAMPAIGNS, key);

	if (c && is_over(c, x->at))
		memset((uint8_t *)c + sizeof(c->row), 0, sizeof(*c) - sizeof(c->row));
	*last = c ? c->row.last : 0;
	return rows_get(x->a, AT_CAMPAIGNS, key, x->at);
}

static void recognise(struct attempt *x, struct account_campaign *c)
{
	struct account_head *head = account_head(x->a);

	struct account_campaign *other = campaign_at(x->a, &x->user->campaign, x->at);

	if (!other)
		other = campaign_at(x->a, &x->net->campaign, x->at);
	if (c->number == 0 && other) {
		c->number = other->number;
		c->part = 1;
	}
	if (c->number == 0) {
		head->campaigns++;
		head->campaigns += head->campaigns == 0;
		c->number = head->campaigns;
		c->part = 0;
		c->since = x->at;
		x->tell |= TELL_CAMPAIGN;
	}
	x->campaign = c->number;
}

/* ---- what attempts have in common ----------------------------------------------------------------- */

/* No typing error: nobody is called so, or others guess at the same. */
static bool is_hostile(const struct attempt *x)
{
	if (x->t->trap || !x->t->exists || (x->tried && x->tried->sprayed))
		return true;
	return distinct_count(&x->user->secrets) >= GUESSED_BY &&
	       account_nets(x->user, x->at) >= GUESSED_BY;
}

static struct account_campaign *note_program(struct attempt *x, bool refused)
{
	uint64_t key = rows_hash(x->a, &x->t->client, sizeof(x->t->client));
	struct account_campaign *c;
	gsec_t last;

	if (x->t->client == 0)
		return NULL;
	c = row_of(x, key, &last);
	c->kind = CAMPAIGN_PROGRAM;
	c->client = x->t->client;
	note_in(x, c, last, refused);
	x->like = c;
	if (c->number || members_of(c) < x->a->limits.campaign_at || is_popular(x, c))
		return c->number ? c : NULL;
	recognise(x, c);
	return c;
}

/* One name that does not exist, from many networks: all such names are one list. */
static struct account_campaign *note_names(struct attempt *x, bool refused)
{
	struct {
		char word[8];
		uint32_t mechanism, service;
	} what = { "names", (uint32_t)x->t->mechanism, x->t->service };
	struct account_campaign *c;
	gsec_t last;

	if (x->t->exists || account_nets(x->user, x->at) < x->a->limits.campaign_at)
		return NULL;
	c = row_of(x, rows_hash(x->a, &what, sizeof(what)), &last);
	c->kind = CAMPAIGN_NAMES;
	note_in(x, c, last, refused);
	recognise(x, c);
	return c;
}

/* The same again adds nobody, but is counted where it belongs. */
static void note_again(struct attempt *x)
{
	struct account_campaign *c = campaign_at(x->a, &x->user->campaign, x->at);

	if (x->like && x->like->number == x->campaign)
		c = x->like;
	if (!c)
		return;
	note_gap(c, account_age(c->row.last, x->at));
	c->row.last = x->at;
	c->attempts += c->attempts < UINT32_MAX;
	c->refused += c->refused < UINT32_MAX;
}

void campaign_note(struct attempt *x, bool new, bool refused)
{
	struct account_campaign *c;

	if (!new &&refused && x->campaign)
		note_again(x);
	if (!new || !is_hostile(x))
		return;
	c = note_program(x, refused);
	if (!c)
		c = note_names(x, refused);
	if (!c)
		return;
	x->campaign = c->number;
	x->user->campaign = ref_to(x->a, c);
	x->net->campaign = x->user->campaign;
}

void campaign_network(struct attempt *x)
{
	struct account_campaign *c = campaign_at(x->a, &x->net->campaign, x->at);
	struct {
		char word[8];
		struct addr prefix;
	} what = { "network", x->prefix };
	gsec_t last;

	if (!c && x->like && x->like->number)
		c = x->like;
	if (!c) {
		c = row_of(x, rows_hash(x->a, &what, sizeof(what)), &last);
		c->kind = CAMPAIGN_NETWORK;
		note_in(x, c, last, false);
		recognise(x, c);
	}
	x->net->campaign = ref_to(x->a, c);
	x->campaign = c->number;
}

/* ---- for those who only look ------------------------------------------------------------------------ */

static const char *const kind_word[CAMPAIGN_KINDS] = {
	[CAMPAIGN_PROGRAM] = "the same program",
	[CAMPAIGN_NETWORK] = "one network",
	[CAMPAIGN_NAMES] = "the same names that do not exist",
};

static enum cadence cadence_of(const struct account_campaign *c)
{
	enum cadence most = CADENCE_NONE;

	for (enum cadence i = CADENCE_NONE + 1; i < CADENCE_COUNT; i++)
		if (c->gaps[i] > c->gaps[most])
			most = i;
	return most;
}

bool accounts_campaign(const struct accounts *a, size_t i, ms_t now,
		       struct campaign_state *out)
{
	gsec_t at = memory_second(now);
	struct account_campaign c;

	if (i >= rows_count(a, AT_CAMPAIGNS) || !rows_peek(a, AT_CAMPAIGNS, i, &c) ||
	    c.number == 0 || c.part || is_over(&c, at))
		return false;
	*out = (struct campaign_state){
		.number = c.number,
		.members = distinct_count(&c.addrs),
		.attempts = c.attempts,
		.users = distinct_count(&c.users),
		.refused = c.refused,
		.since = now - (ms_t)account_age(c.since, at) * MS_SECOND,
		.last = now - (ms_t)account_age(c.row.last, at) * MS_SECOND,
		.client = c.client,
		.cadence = cadence_of(&c),
		.by = kind_word[c.kind < CAMPAIGN_KINDS ? c.kind : CAMPAIGN_PROGRAM],
	};
	memcpy(out->sample, c.sample, sizeof(out->sample) - 1);
	return true;
}
