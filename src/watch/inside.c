#include "watch/inside.h"

/* The one with the fewest points falls out behind the end. */
static void keep_if_worst(struct inside *in, const struct guard_hot *row, double points)
{
	size_t at = in->worst_count;

	for (; at > 0 && in->points[at - 1] < points; at--) {
		if (at == INSIDE_WORST)
			continue;
		in->worst[at] = in->worst[at - 1];
		in->points[at] = in->points[at - 1];
	}
	if (at == INSIDE_WORST)
		return;
	in->worst[at] = *row;
	in->points[at] = points;
	in->worst_count += in->worst_count < INSIDE_WORST;
}

void inside_add(struct inside *in, const struct view *v, const struct guard_hot *row,
		ms_t now, int64_t wall)
{
	const struct guard_limits *l = &v->guard.limits;

	in->clients++;
	in->offenders += row->visits > 0;
	in->known_good += guard_is_good(row, l, now);
	in->banned += view_banned(v, row, now, wall);
	in->sessions += row->sessions;
	in->connects += row->connects;
	in->refused += row->refused;
	keep_if_worst(in, row, guard_fast(row, l, now) + guard_slow(row, l, now));
}
