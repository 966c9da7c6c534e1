#include "store/place.h"

#include "conf/hop.h"
#include "store/lineup.h"

#define LOCAL_MOST 4096 /* parcels for mailboxes in memory */
#define TURN_MOST  64

/* ---- room ----------------------------------------------------------------------------------- */

enum standing_of place_standing(const struct destination *d)
{
	if (!hop_is_network(d->hop))
		return OF_LOCAL;
	if (d->fails > 0)
		return OF_DEAD;
	return d->known ? OF_KNOWN : OF_NEW;
}

static unsigned less(unsigned most, unsigned used)
{
	return used < most ? most - used : 0;
}

/* One at most while it is not known to be back. */
static unsigned own_room(const struct schedule *s, const struct destination *d)
{
	if (!hop_is_network(d->hop))
		return less(LOCAL_MOST, d->under_way);
	if (d->fails > 0)
		return s->now < d->not_before ? 0 : less(1, d->under_way);
	return less(window_size(&d->window, s->per_destination), d->under_way);
}

unsigned place_host_room(const struct schedule *s, const struct host *h)
{
	return less(window_size(&h->window, s->per_destination), h->under_way);
}

static unsigned at_least_one(unsigned n)
{
	return n ? n : 1;
}

unsigned place_common_room(const struct schedule *s, const struct destination *d)
{
	unsigned left = less(s->total, s->under_way), kind = left;

	if (d->under_way > 0)
		left = less(left, s->total / 8);
	switch (place_standing(d)) {
	case OF_LOCAL:
		return LOCAL_MOST;
	case OF_KNOWN:
	case OF_COUNT:
		break;
	case OF_NEW:
		kind = less(at_least_one(s->total / 2), s->trials[OF_NEW]);
		break;
	case OF_DEAD:
		kind = less(at_least_one(s->total / 4), s->trials[OF_DEAD]);
		break;
	}
	return kind < left ? kind : left;
}

unsigned place_room(const struct schedule *s, const struct destination *d)
{
	unsigned own = own_room(s, d), common = place_common_room(s, d);

	if (d->host && place_host_room(s, d->host) < own)
		own = place_host_room(s, d->host);
	return own < common ? own : common;
}

unsigned place_share(const struct schedule *s, const struct destination *d, unsigned line)
{
	unsigned most = place_room(s, d), left = less(s->total, s->under_way), part;

	/* with the first one it has something under way, and leaves the reserve to others */
	if (hop_is_network(d->hop) && most > at_least_one(less(left, s->total / 8)))
		most = at_least_one(less(left, s->total / 8));
	part = at_least_one(place_common_room(s, d) / line);
	part = part < most ? part : most;
	return part < TURN_MOST ? part : TURN_MOST;
}

/* ---- where one stands --------------------------------------------------------------------- */

static enum destination_at where(const struct schedule *s, const struct destination *d)
{
	if (d->taking)
		return AT_WORK;
	if (d->next_due == MS_NEVER)
		return d->under_way || d->users ? AT_WORK : AT_REST;
	if (d->next_due > s->wall)
		return AT_DUE;
	if (d->fails > 0 && s->now < d->not_before)
		return AT_PAUSE;
	if (own_room(s, d) == 0)
		return AT_WORK;
	return d->host && place_host_room(s, d->host) == 0 ? AT_HOST : AT_READY;
}

void place_leave(struct schedule *s, struct destination *d)
{
	switch (d->at) {
	case AT_REST:
		line_drop(&s->resting, d);
		break;
	case AT_WORK:
		break;
	case AT_DUE:
		heap_drop(&s->due, d);
		break;
	case AT_PAUSE:
		heap_drop(&s->paused, d);
		break;
	case AT_HOST:
		line_drop(&d->host->waiting, d);
		break;
	case AT_READY:
		line_drop(&s->ready[d->line], d);
		break;
	}
}

static void stand(struct schedule *s, struct destination *d, enum destination_at at)
{
	d->at = at;
	d->line = place_standing(d);
	switch (at) {
	case AT_REST:
		line_put(&s->resting, d);
		break;
	case AT_WORK:
		break;
	case AT_DUE:
		heap_put(&s->due, d, d->next_due);
		break;
	case AT_PAUSE:
		heap_put(&s->paused, d, d->not_before);
		break;
	case AT_HOST:
		line_put(&d->host->waiting, d);
		break;
	case AT_READY:
		/* the end of that line is for those that never had a turn */
		if (d->line == OF_NEW && d->under_way > 0)
			line_put_first(&s->ready[d->line], d);
		else
			line_put(&s->ready[d->line], d);
		break;
	}
}

void place_take(struct schedule *s, struct destination *d)
{
	stand(s, d, where(s, d));
}

void place_settle(struct schedule *s, struct destination *d)
{
	enum destination_at at = where(s, d);

	if (at == d->at && (at == AT_WORK || at == AT_REST || at == AT_HOST ||
			    (at == AT_READY && d->line == place_standing(d)) ||
			    (at == AT_DUE && d->key == d->next_due) ||
			    (at == AT_PAUSE && d->key == d->not_before)))
		return;
	place_leave(s, d);
	stand(s, d, at);
}
