/*
 * What the DNS says about strangers, asked while they talk.
 */
#include <stdlib.h>

#include "edge/inquest.h"

#define TRY_TIME (1 * MS_SECOND)

/* ---- sessions --------------------------------------------------------------------------------- */

void facts_begin(struct conn *c)
{
	struct inquiry *q = c->edge->inquiry;
	const struct addr *about = &c->session.peer.addr;
	struct inquest *i;
	bool asked;

	facts_forget(c);
	if (!q || !q->zones || (!q->zones->count && !c->edge->rules->conf->set.lookups))
		return;
	i = inquest_find(q, about);
	asked = i != NULL;
	if (!i)
		i = inquest_begin(q, about);
	if (!i)
		i = &q->refused;
	i->holders++;
	c->inquest = i;
	if (i->asking) {
		c->next_asking = i->askers;
		i->askers = c;
		if (!asked)
			inquest_ask(i);
	}
}

/* Blocklists weigh against it, allow lists for it; broken ones do not weigh. */
static void weigh(const struct inquest *i, struct facts *out)
{
	int32_t heaviest = 0;

	for (uint32_t n = 0; n < i->zones->count; n++) {
		const struct zone *z = &i->zones->zone[n];

		if (!(i->listed >> n & 1) || z->health != HEALTH_WELL)
			continue;
		if (z->is.allows) {
			out->welcomed = true;
			out->weight -= z->is.weight;
			continue;
		}
		out->listed = true;
		out->weight += z->is.weight;
		if (z->is.weight > heaviest) {
			size_t len = strnlen(z->is.zone, sizeof(out->zone) - 1);

			heaviest = z->is.weight;
			memcpy(out->zone, z->is.zone, len);
			out->zone[len] = '\0';
		}
	}
}

void facts_fill(const struct conn *c, struct facts *out)
{
	const struct inquest *i = c->inquest;

	out->state = !i ? FACTS_NONE : inquest_is_known(i) ? FACTS_KNOWN : FACTS_PENDING;
	if (out->state == FACTS_PENDING && !inquest_is_awaited(i))
		out->state = FACTS_NONE;
	out->no_ptr = out->ptr_forged = out->failed = out->listed = out->welcomed = false;
	out->name_n = 0;
	out->weight = 0;
	out->zone[0] = '\0';
	if (out->state != FACTS_KNOWN)
		return;
	out->no_ptr = i->no_ptr;
	out->ptr_forged = i->has_names && !i->name.n && !i->failed;
	out->failed = i->failed;
	out->name_n = i->name.n;
	memcpy(out->name, i->name.text, i->name.n);
	if (i->listed)
		weigh(i, out);
}

void facts_wait(struct conn *c)
{
	if (c->inquest && !inquest_is_known(c->inquest) && inquest_is_awaited(c->inquest))
		c->waits = WAITS_FACTS;
	else
		conn_answer_soon(c, IN_FACTS, 0);
}

static void leave_askers(struct conn *c)
{
	struct conn **at = &c->inquest->askers;

	while (*at && *at != c)
		at = &(*at)->next_asking;
	if (*at)
		*at = c->next_asking;
	c->next_asking = NULL;
}

void facts_forget(struct conn *c)
{
	struct inquest *i = c->inquest;

	if (c->waits == WAITS_FACTS)
		c->waits = WAITS_NOT;
	if (!i)
		return;
	leave_askers(c);
	c->inquest = NULL;
	i->holders--;
	if (i != &i->inquiry->refused)
		inquest_free_unless_held(i);
}

/* ---- open and close --------------------------------------------------------------------------- */

static void tell_waiting(struct edge *e)
{
	struct conn *next;

	for (struct conn *c = e->conns; c; c = next) {
		next = c->next;
		if (c->waits == WAITS_FACTS && c->inquest && inquest_is_known(c->inquest))
			conn_answer(c, IN_FACTS, 0);
	}
}

void facts_adopt(struct edge *e)
{
	struct inquiry *q = e->inquiry;
	const struct conf *conf = e->rules->conf;
	struct zones *z;

	if (!q || (q->zones && zones_are_of(q->zones, conf)))
		return;
	z = zones_open(e, q->dns, conf, tell_waiting);
	if (!z) {
		report_trouble(e, "dns-zones",
			       "out of memory: blocklists stay as they were");
		return;
	}
	while (q->oldest)
		inquest_unkeep(q->oldest);
	zones_let_go(&q->zones);
	q->zones = z;
}

bool facts_open(struct edge *e, struct err *err)
{
	const struct dns_setup setup = { .servers = e->rules->conf->set.dns_servers,
					 .timeout = TRY_TIME };
	struct inquiry *q = calloc(1, sizeof(*q));

	if (!q)
		return err_set(err, "look-ups: out of memory");
	q->edge = e;
	q->refused.inquiry = q;
	q->refused.failed = true;
	if (!dns_open(&q->dns, e->loop, &setup, err)) {
		free(q);
		return false;
	}
	e->inquiry = q;
	facts_adopt(e);
	return true;
}

void facts_close(struct edge *e)
{
	struct inquiry *q = e->inquiry;

	if (!q)
		return;
	while (q->oldest)
		inquest_unkeep(q->oldest);
	zones_let_go(&q->zones);
	dns_close(&q->dns);
	e->inquiry = NULL;
	free(q);
}
