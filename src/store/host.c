#include "store/host.h"

#include <stdlib.h>

#include "store/place.h"

void host_wake(struct schedule *s, struct host *h)
{
	struct destination *d = h->waiting.first;

	if (d && place_host_room(s, h) > 0)
		place_settle(s, d);
}

void host_leave(struct schedule *s, struct destination *d)
{
	struct host *h = d->host;

	if (!h)
		return;
	place_leave(s, d);
	h->under_way -= d->at_host;
	d->at_host = 0;
	d->host = NULL;
	place_take(s, d);
	if (--h->users > 0) {
		host_wake(s, h);
		return;
	}
	names_drop(&s->hosts, &h->name);
	free(h);
}

static struct host *host_get(struct schedule *s, struct span name)
{
	struct host *h = (struct host *)names_find(&s->hosts, name);

	if (h)
		return h;
	h = calloc(1, sizeof(*h) + name.n);
	if (!h)
		return NULL;
	memcpy(h + 1, name.p, name.n);
	h->name.text = span_of(h + 1, name.n);
	if (names_put(&s->hosts, &h->name))
		return h;
	free(h);
	return NULL;
}

void host_join(struct schedule *s, struct destination *d, struct span name)
{
	struct host *h;

	if (d->hop != HOP_MX || name.n == 0 ||
	    (d->host && span_eq(d->host->name.text, name)))
		return;
	host_leave(s, d);
	h = host_get(s, name);
	if (!h)
		return;
	place_leave(s, d);
	d->host = h;
	d->at_host = d->under_way;
	h->under_way += d->under_way;
	h->users++;
	place_take(s, d);
}
