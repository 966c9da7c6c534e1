#include "edge/policies.h"

#include <stdlib.h>

#include "base/siphash.h"

#define POLICIES_MAX 1000
#define BUCKETS	     256
#define LEARN_WITHIN (20 * MS_SECOND) /* then it goes on without */
#define LOOK_AGAIN   MS_HOUR	      /* whether there is another policy now */
#define NONE_KEPT    (10 * MS_MINUTE)
#define FAILURE_KEPT (5 * MS_MINUTE) /* RFC 8461, 3.3: no more often */

struct entry {
	struct policies *all;
	struct entry *next;
	ms_t look_at; /* before that time, what is here is the answer */
	bool busy;
	struct timer timer;
	struct dns_lookup lookup;
	struct fetch_ask fetch;
	struct policy_ask *waiting;
	ms_t expires; /* of the policy; 0: there is none */
	char id[STS_ID_MAX + 1], new_id[STS_ID_MAX + 1];
	struct sts_policy policy;
	uint8_t domain_n;
	uint8_t domain[DOMAIN_MAX]; /* lower case */
};

struct policies {
	struct policies_setup setup;
	uint64_t key[2]; /* any will do: there are never many */
	size_t count;
	struct entry *buckets[BUCKETS];
};

bool policies_open(struct policies **out, const struct policies_setup *setup)
{
	struct policies *p = calloc(1, sizeof(*p));

	if (!p)
		return false;
	p->setup = *setup;
	*out = p;
	return true;
}

/* ---- answers ---------------------------------------------------------------------------- */

void policies_forget(struct policy_ask *a)
{
	if (!a->back)
		return;
	*a->back = a->next;
	if (a->next)
		a->next->back = a->back;
	a->back = NULL;
}

static const struct sts_policy *known(const struct entry *e)
{
	return e->expires > loop_now(e->all->setup.loop) ? &e->policy : NULL;
}

/* Nothing more will be learnt for so long. */
static void settle(struct entry *e, ms_t good_for)
{
	e->busy = false;
	e->look_at = loop_now(e->all->setup.loop) + good_for;
	dns_forget(&e->lookup);
	fetch_link_forget(&e->fetch);
	timer_stop(&e->timer);
	while (e->waiting) {
		struct policy_ask *a = e->waiting;

		policies_forget(a);
		a->on_policy(a->arg, known(e));
	}
}

/* ---- learning ---------------------------------------------------------------------------- */

static void on_fetched(void *arg, const struct fetched *f)
{
	struct entry *e = arg;
	struct sts_policy policy;

	if (!f->ok || !sts_policy_parse(f->body, &policy)) {
		settle(e, FAILURE_KEPT);
		return;
	}
	e->policy = policy;
	e->expires = loop_now(e->all->setup.loop) + (ms_t)policy.max_age * MS_SECOND;
	memcpy(e->id, e->new_id, sizeof(e->id));
	settle(e, LOOK_AGAIN);
}

/* RFC 8461, 3.1: of several records none counts. */
static bool find_id(const struct dns_answer *a, char id[STS_ID_MAX + 1])
{
	size_t found = 0;

	for (size_t i = 0; i < a->text_count; i++) {
		uint8_t mem[512];
		struct span value;
		struct buf text;

		buf_init(&text, mem, sizeof(mem));
		if (!dns_text(a->texts[i], &text) ||
		    !sts_record_parse(buf_span(&text), &value))
			continue;
		found++;
		memset(id, 0, STS_ID_MAX + 1);
		memcpy(id, value.p, value.n);
	}
	return found == 1;
}

static void on_record(void *arg, const struct dns_answer *a)
{
	struct entry *e = arg;

	if (a->result == DNS_FAILED)
		settle(e, MS_MINUTE);
	else if (!find_id(a, e->new_id))
		settle(e, NONE_KEPT);
	else if (known(e) && strcmp(e->id, e->new_id) == 0)
		settle(e, LOOK_AGAIN);
	else if (!e->all->setup.fetch)
		settle(e, FAILURE_KEPT);
	else
		fetch_link_ask(e->all->setup.fetch, &e->fetch, FETCH_STS,
			       span_of(e->domain, e->domain_n), on_fetched, e);
}

static void on_time(void *arg)
{
	settle(arg, FAILURE_KEPT);
}

static void learn(struct entry *e)
{
	uint8_t mem[DOMAIN_MAX + 16];
	struct buf name;

	e->busy = true;
	timer_set(&e->timer, loop_now(e->all->setup.loop) + LEARN_WITHIN);
	buf_init(&name, mem, sizeof(mem));
	buf_put(&name, SPAN("_mta-sts."));
	buf_put(&name, span_of(e->domain, e->domain_n));
	dns_look_up(e->all->setup.dns, &e->lookup, DNS_TXT, buf_span(&name), on_record, e);
}

/* ---- entries ------------------------------------------------------------------------------ */

static struct entry **bucket(struct policies *p, struct span domain)
{
	return &p->buckets[siphash(p->key, domain) % BUCKETS];
}

static void drop(struct policies *p, struct entry **at)
{
	struct entry *e = *at;

	*at = e->next;
	timer_stop(&e->timer);
	dns_forget(&e->lookup);
	fetch_link_forget(&e->fetch);
	free(e);
	p->count--;
}

/* Room for one more: what is known of the shortest use goes. */
static bool make_room(struct policies *p)
{
	struct entry **worst = NULL;

	for (size_t i = 0; i < BUCKETS; i++)
		for (struct entry **at = &p->buckets[i]; *at; at = &(*at)->next)
			if (!(*at)->busy && (!worst || (*at)->expires < (*worst)->expires ||
					     ((*at)->expires == (*worst)->expires &&
					      (*at)->look_at < (*worst)->look_at)))
				worst = at;
	if (worst)
		drop(p, worst);
	return worst;
}

static struct entry *get(struct policies *p, struct span domain)
{
	struct entry **at = bucket(p, domain), *e;

	for (e = *at; e; e = e->next)
		if (span_eq(span_of(e->domain, e->domain_n), domain))
			return e;
	if (p->count >= POLICIES_MAX && !make_room(p))
		return NULL;
	e = calloc(1, sizeof(*e));
	if (!e)
		return NULL;
	e->all = p;
	timer_init(&e->timer, p->setup.loop, on_time, e);
	e->domain_n = (uint8_t)domain.n;
	memcpy(e->domain, domain.p, domain.n);
	at = bucket(p, domain);
	e->next = *at;
	*at = e;
	p->count++;
	return e;
}

void policies_close(struct policies **policies)
{
	struct policies *p = *policies;

	*policies = NULL;
	if (!p)
		return;
	for (size_t i = 0; i < BUCKETS; i++) {
		while (p->buckets[i]) {
			while (p->buckets[i]->waiting)
				policies_forget(p->buckets[i]->waiting);
			drop(p, &p->buckets[i]);
		}
	}
	free(p);
}

void policies_ask(struct policies *p, struct policy_ask *a, struct span domain,
		  void (*on_policy)(void *arg, const struct sts_policy *p), void *arg)
{
	uint8_t mem[DOMAIN_MAX];
	struct entry *e = NULL;
	struct buf lower;

	*a = (struct policy_ask){ .on_policy = on_policy, .arg = arg };
	buf_init(&lower, mem, sizeof(mem));
	buf_put_lower(&lower, domain);
	if (!lower.full)
		e = get(p, buf_span(&lower));
	if (!e || (!e->busy && loop_now(p->setup.loop) < e->look_at)) {
		on_policy(arg, e ? known(e) : NULL);
		return;
	}
	a->next = e->waiting;
	a->back = &e->waiting;
	if (a->next)
		a->next->back = &a->next;
	e->waiting = a;
	if (!e->busy)
		learn(e);
}
