#include "guard/account_inside.h"

#define WEEK	   ((gsec_t)604800)
#define DAY	   ((gsec_t)86400)
#define STALE_OVER (2 * DAY)

/* ---- a user ---------------------------------------------------------------------------------- */

static ms_t time_of(gsec_t then, gsec_t at, ms_t now)
{
	return then == 0 ? 0 : now + ((ms_t)then - (ms_t)at) * MS_SECOND;
}

uint32_t account_count(const struct distinct *d, uint32_t new)
{
	uint32_t about = distinct_count(d);

	return new < about &&new < 32 ? new : about;
}

uint32_t account_nets(const struct account_user *u, gsec_t at)
{
	struct distinct nets = u->nets[0];
	gsec_t age = account_age(u->nets_at, at);
	uint32_t new = u->nets_new[0];

	if (age >= WEEK)
		return 0;
	if (age < WEEK / 2) {
		distinct_merge(&nets, &u->nets[1]);
		new += u->nets_new[1];
	}
	return account_count(&nets, new);
}

static void tell_run(const struct account_user *u, gsec_t at, ms_t now,
		     struct account_run *out)
{
	const struct account_worst *w = &u->worst;

	if (w->count == 0 || w->kind >= STORM_KINDS || w->name_n > CLIENT_NAME_MAX ||
	    w->hello_n > HELLO_MAX || account_age(w->last, at) >= DAY)
		return;
	*out = (struct account_run){ .kind = (enum storm_kind)w->kind,
				     .count = w->count,
				     .lasted = account_age(w->since, w->last),
				     .seconds = w->seconds,
				     .clients = w->clients,
				     .even = w->even,
				     .open = w->open,
				     .observed = w->observed != 0,
				     .since = time_of(w->since, at, now),
				     .last = time_of(w->last, at, now),
				     .from = w->from,
				     .name_n = w->name_n,
				     .hello_n = w->hello_n };
	memcpy(out->name, w->name, sizeof(out->name));
	memcpy(out->hello, w->hello, sizeof(out->hello));
}

static void tell_user(const struct account_user *u, gsec_t at, ms_t now,
		      struct account_state *out)
{
	uint32_t hour = at / 3600;

	out->known = true;
	out->guarded = (u->flags & USER_GUARDED) && u->guarded_until > at;
	out->guarded_since = out->guarded ? time_of(u->guarded_since, at, now) : 0;
	out->guarded_until = out->guarded ? time_of(u->guarded_until, at, now) : 0;
	out->places_wrong = account_nets(u, at);
	out->secrets_wrong = distinct_count(&u->secrets);
	out->failures = u->failures;
	out->successes = u->successes;
	out->over = u->over;
	tell_run(u, at, now, &out->run);
	if (u->hour == hour)
		out->per_hour = u->in_hour > u->in_last_hour ? u->in_hour
							     : u->in_last_hour;
	else if (u->hour + 1 == hour)
		out->per_hour = u->in_hour;
	out->sprayed = u->flags & USER_SPRAYED;
	out->stale = (u->flags & USER_STALE) &&
		     account_age(u->stale_last, at) < STALE_OVER;
	out->stale_from = u->stale_from;
	out->stale_since = out->stale ? time_of(u->stale_since, at, now) : 0;
	out->last_failure = time_of(u->last_failure, at, now);
	out->last_success = time_of(u->last_success, at, now);
	out->failed_from = u->failed_from;
	if (account_age(u->places_at, at) < DAY) {
		out->places_today = distinct_count(&u->places);
		out->held = u->flags & USER_HELD;
	}
}

static void tell_campaign(const struct accounts *a, const struct account_user *u,
			  gsec_t at, struct account_state *out)
{
	struct account_campaign c;

	if (u->campaign.number == 0 || u->campaign.slot >= rows_count(a, AT_CAMPAIGNS) ||
	    !rows_peek(a, AT_CAMPAIGNS, u->campaign.slot, &c))
		return;
	if (c.number == u->campaign.number && account_age(c.row.last, at) < 30 * DAY)
		out->campaign = c.number;
}

/* From the day before the last full one, as it may have had its first login today. */
static void tell_devices(const struct accounts *a, uint64_t user, gsec_t at, int64_t wall,
			 struct account_state *out)
{
	for (size_t i = 0; i < rows_count(a, AT_DEVICES); i++) {
		struct account_known d;

		if (!rows_peek(a, AT_DEVICES, i, &d) || d.user != user ||
		    !device_known(&d, a->limits.device_life, at, wall))
			continue;
		out->devices++;
		out->new_devices += account_ago(d.first, wall) < (uint64_t)MS_DAY;
	}
}

void accounts_state(const struct accounts *a, struct span user, ms_t now, int64_t wall,
		    struct account_state *out)
{
	uint64_t key = accounts_hash(a, user);
	gsec_t at = memory_second(now);
	struct account_user u;
	bool whole;

	*out = (struct account_state){ 0 };
	if (rows_peek_key(a, AT_USERS, key, &u, &whole)) {
		out->torn = !whole;
		tell_user(&u, at, now, out);
		tell_campaign(a, &u, at, out);
	}
	tell_devices(a, key, at, wall, out);
}

/* ---- all of it ------------------------------------------------------------------------------- */

static uint32_t used(const struct accounts *a, enum account_table table)
{
	uint32_t n = 0;

	for (size_t i = 0; i < rows_count(a, table); i++) {
		const struct account_row *row = rows_at(a, table, i);

		n += row->key != 0;
	}
	return n;
}

void accounts_counts(const struct accounts *a, struct accounts_counts *out)
{
	*out = (struct accounts_counts){
		.users = used(a, AT_USERS),
		.pairs = used(a, AT_PAIRS),
		.devices = used(a, AT_DEVICES),
		.prefixes = used(a, AT_PREFIXES),
		.secrets = used(a, AT_SECRETS),
		.campaigns = used(a, AT_CAMPAIGNS),
	};
}
