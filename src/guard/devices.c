#include "guard/account_inside.h"

#define DAY    ((gsec_t)86400)
#define SERIES (7 * DAY) /* too many places again within this time: it never ended */

struct addr account_prefix_of(const struct addr *a)
{
	struct addr p = *a;
	size_t keep = addr_is_v4(a) ? 15 : 8; /* /24, /64 */

	memset(p.ip + keep, 0, sizeof(p.ip) - keep);
	return p;
}

/* /16, /32: a phone changes its /24 all the time. */
static struct addr place_of(const struct addr *a)
{
	struct addr p = *a;
	size_t keep = addr_is_v4(a) ? 14 : 4;

	memset(p.ip + keep, 0, sizeof(p.ip) - keep);
	return p;
}

uint64_t account_device_key(const struct accounts *a, uint64_t user,
			    const struct addr *prefix, uint64_t client)
{
	struct {
		uint64_t user, client;
		struct addr prefix;
	} key = { user, client, *prefix };

	return rows_hash(a, &key, sizeof(key));
}

/*
 * By either clock: the wall clock may have been set by a year, and knows more than this
 * start of the machine.
 */
bool device_known(const struct account_known *d, ms_t life, gsec_t at, int64_t wall)
{
	if (d->logins == 0)
		return false;
	return (d->row.last && account_age(d->row.last, at) < life / MS_SECOND) ||
	       account_ago(d->seen, wall) < (uint64_t)life;
}

void device_learn(struct attempt *x)
{
	struct account_known *d = rows_get(x->a, AT_DEVICES, x->device_key, x->at);

	if (!x->known) {
		struct account_row row = d->row;

		*d = (struct account_known){ .row = row,
					     .user = x->user_key,
					     .client = x->t->client,
					     .prefix = x->prefix,
					     .first = x->wall };
		x->tell |= TELL_NEW_DEVICE;
	}
	d->row.last = x->at;
	d->seen = x->wall;
	d->logins += d->logins < UINT32_MAX;
	x->device = d;
}

void accounts_put_device(struct accounts *a, const struct account_device *d, ms_t now,
			 int64_t wall)
{
	struct addr prefix = account_prefix_of(&d->prefix);
	uint64_t key = account_device_key(a, d->user, &prefix, d->client);
	struct account_known *row;

	if (!a->writes)
		accounts_begin(a, NULL, now);
	(void)wall; /* one of the future stays: it may be our clock that is wrong */
	if (d->last <= 0 ||
	    !rows_would_take(a, AT_DEVICES, key, (uint64_t)d->last, memory_second(now)))
		return;
	row = rows_get(a, AT_DEVICES, key, memory_second(now));
	if (row->logins && row->seen >= d->last)
		return; /* what is here is newer */
	*row = (struct account_known){ .row = row->row,
				       .logins = d->logins ? d->logins : 1,
				       .user = d->user,
				       .client = d->client,
				       .prefix = prefix,
				       .first = d->first,
				       .seen = d->last };
}

bool device_is_old(const struct attempt *x, ms_t before)
{
	return x->known && x->device && x->device->first < x->wall - before - MS_DAY;
}

/* Known for a day before it began: these are its owner's. */
static bool trusted(const struct attempt *x)
{
	return device_is_old(x, (ms_t)account_age(x->user->held_since, x->at) * MS_SECOND);
}

bool device_places(struct attempt *x)
{
	struct account_user *u = x->user;
	int64_t most = x->a->limits.places;
	struct addr place = place_of(&x->t->from);

	if (u->places_at == 0 || account_age(u->places_at, x->at) >= DAY) {
		u->places = (struct distinct){ 0 };
		u->places_at = x->at;
		u->flags &= (uint8_t)~USER_HELD;
	}
	(void)distinct_add(&u->places, rows_hash(x->a, &place, sizeof(place)));
	if (most <= 0 || distinct_count(&u->places) <= most)
		return false;
	if (!(u->flags & USER_HELD)) {
		u->flags |= USER_HELD;
		x->tell |= TELL_PLACES;
		if (u->held_since == 0 || account_age(u->held_since, x->at) > SERIES)
			u->held_since = x->at;
	}
	return !trusted(x) && !x->a->limits.observe;
}

static bool is_listed(const struct account_campaign *c, uint64_t user)
{
	for (size_t i = 0; c && i < CAMPAIGN_USERS; i++)
		if (c->user[i] == account_short(user))
			return true;
	return false;
}

uint32_t devices_with(const struct accounts *a, uint64_t client,
		      const struct account_campaign *but, gsec_t at, int64_t wall)
{
	struct distinct users = { 0 };

	for (size_t i = 0; i < rows_count(a, AT_DEVICES); i++) {
		const struct account_known *d = rows_at(a, AT_DEVICES, i);

		if (d->row.key && d->client == client && !is_listed(but, d->user) &&
		    device_known(d, a->limits.device_life, at, wall))
			(void)distinct_add(&users, d->user);
	}
	return distinct_count(&users);
}
