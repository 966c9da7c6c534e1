/* What happens to a destination, and what follows from it for its windows and pauses. */
#include "base/bug.h"
#include "store/host.h"
#include "store/place.h"

void destination_print(const struct destination *d, struct buf *out)
{
	hop_print(d->hop, span_str(d->target), out);
}

void destination_due(struct schedule *s, struct destination *d, int64_t due)
{
	if (due >= d->next_due)
		return;
	d->next_due = due;
	place_settle(s, d);
}

void destination_hold(struct schedule *s, struct destination *d)
{
	d->users++;
	place_settle(s, d);
}

void destination_let_go(struct schedule *s, struct destination *d)
{
	BUG_IF(d->users == 0);
	d->users--;
	place_settle(s, d);
}

void destination_taking(struct schedule *s, struct destination *d)
{
	d->taking = true;
	d->next_due = MS_NEVER;
	place_settle(s, d);
}

void destination_taken(struct schedule *s, struct destination *d, int64_t next_due)
{
	d->taking = false;
	if (next_due < d->next_due)
		d->next_due = next_due;
	place_settle(s, d);
}

bool destination_begin(struct schedule *s, struct destination *d)
{
	enum standing_of as = place_standing(d);

	if (place_room(s, d) == 0)
		return false;
	d->under_way++;
	if (as != OF_LOCAL)
		s->under_way++;
	if (as == OF_NEW || as == OF_DEAD) {
		/* what began when it was new still counts as that */
		if (d->trials == 0)
			d->tried_as = as;
		d->trials++;
		s->trials[d->tried_as]++;
	}
	if (d->host) {
		d->host->under_way++;
		d->at_host++;
	}
	place_settle(s, d);
	return true;
}

static void end_trials(struct schedule *s, struct destination *d, unsigned count)
{
	if (count > d->trials)
		count = d->trials;
	d->trials -= count;
	s->trials[d->tried_as] -= count;
}

void destination_over(struct schedule *s, struct destination *d)
{
	BUG_IF(d->under_way == 0);
	d->under_way--;
	end_trials(s, d, 1);
	if (hop_is_network(d->hop)) {
		BUG_IF(s->under_way == 0);
		s->under_way--;
	}
	place_settle(s, d);
	if (d->at_host > 0) {
		d->at_host--;
		d->host->under_way--;
		place_settle(s, d);
		host_wake(s, d->host);
	}
}

void destination_answered(struct schedule *s, struct destination *d, struct span host)
{
	d->fails = 0;
	d->not_before = 0;
	d->known = true;
	end_trials(s, d, d->trials);
	window_won(&d->window, s->per_destination);
	host_join(s, d, host);
	if (d->host) {
		window_won(&d->host->window, s->per_destination);
		host_wake(s, d->host);
	}
	place_settle(s, d);
}

static void back_off(struct schedule *s, struct destination *d)
{
	uint64_t seed = (uint64_t)d->id ^ (uint64_t)s->now;

	/* several that were under way together are one failure */
	if (d->fails > 0 && s->now < d->not_before)
		return;
	d->fails++;
	d->not_before = s->now +
			pace_back_off(d->fails, s->retry_first, s->retry_max, seed);
}

void destination_pressed(struct schedule *s, struct destination *d, struct span host)
{
	bool least = window_size(&d->window, s->per_destination) == 1;

	destination_answered(s, d, host);
	window_lost(&d->window);
	if (d->host)
		window_lost(&d->host->window);
	if (least)
		back_off(s, d);
	place_settle(s, d);
}

void destination_failed(struct schedule *s, struct destination *d)
{
	window_lost(&d->window);
	back_off(s, d);
	/* the next try may find another server */
	host_leave(s, d);
	place_settle(s, d);
}

void destination_retry(struct schedule *s, struct destination *d)
{
	d->fails = 0;
	d->not_before = 0;
	place_settle(s, d);
}
