/*
 * The configuration in force, for what begins from now on; sessions hold the one that they
 * began with.
 */
#include <stdlib.h>

#include "edge/inside.h"

struct rules *rules_hold(struct rules *r)
{
	r->holders++;
	return r;
}

void rules_let_go(struct rules **rules)
{
	struct rules *r = *rules;

	*rules = NULL;
	if (!r || --r->holders)
		return;
	start_unmap_conf(&r->conf);
	free(r);
}

uint16_t rules_listener(const struct conn *c)
{
	const struct conf *now = c->edge->rules->conf;
	uint32_t i = 0;

	if (c->rules == c->edge->rules)
		return (uint16_t)(c->session.listener - now->listeners);
	while (i < now->listener_count && now->listeners[i].id != c->session.listener->id)
		i++;
	return (uint16_t)(i < now->listener_count ? i : LISTENERS_MAX);
}

/* This edge's part of what is meant for all of them, rounded up. */
static int64_t part_of(int64_t all, const struct conf *conf)
{
	return (all + conf->set.edges - 1) / conf->set.edges;
}

/* Have this configuration in force for what begins from now on. */
bool rules_adopt(struct edge *e, const struct conf *conf, struct err *err)
{
	struct rules *r = calloc(1, sizeof(*r));

	if (!r) {
		start_unmap_conf(&conf);
		return err_set(err, "out of memory");
	}
	r->conf = conf;
	r->holders = 1;
	if (e->deliveries)
		deliveries_reconf(e->deliveries, conf);
	mailboxes_reconf(e, conf);
	rules_let_go(&e->rules);
	e->rules = r;
	e->letter_memory_max = part_of(conf->set.body_memory, conf);
	edge_guard_adopt(e);
	for (struct conn *c = e->conns; c; c = c->next)
		visit_show(c); /* its listener may have another number now */
	return true;
}

void rules_adopt_certs(struct edge *e, int fd)
{
	struct err err;
	struct tls *tls = certs_read(fd, e->rules->conf, e->start, &err);

	if (!tls && *err.text) {
		report_trouble(e, "certificates", err.text);
		return; /* the old ones are better than none */
	}
	tls_close(&e->tls);
	e->tls = tls;
}
