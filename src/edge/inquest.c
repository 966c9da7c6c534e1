/*
 * Inquests: which are kept, and what is asked for one.
 */
#include "edge/inquest.h"

#include <stdlib.h>

#include "base/siphash.h"
#include "guard/access.h"

#define KEPT_MAX     16384 /* inquests; more only while sessions hold them */
#define ASKING_MAX   2048  /* of them under way */
#define LOOKS_MAX    32	   /* for one that may go */
#define GOOD_MIN     (60 * MS_SECOND)
#define GOOD_MAX     (60 * MS_MINUTE)
#define SKIPPED_GOOD (5 * MS_MINUTE) /* an inquest that left out an ill zone */

/* What is asked for an inquest. */
struct asking {
	struct inquest *inquest;
	struct timer too_late;
	unsigned pending, zones_pending; /* answers; of them, of zones */
	bool names_matter;		 /* an access list is about names of addresses */
	struct dns_lookup ptr;
	struct asked_name {
		struct asking *asking;
		struct dns_name name;
		struct dns_lookup lookup;
	} names[DNS_ANSWER_NAMES];
	struct asked_zone {
		struct asking *asking;
		uint32_t number;
		struct dns_lookup lookup;
	} zones[DNSBLS_MAX];
};

/* ---- what is kept -------------------------------------------------------------------------- */

static struct inquest **bucket_of(struct inquiry *q, const struct addr *a)
{
	return &q->bucket[siphash(q->edge->key, span_of(a->ip, sizeof(a->ip))) %
			  INQUEST_BUCKETS];
}

static void take_from_order(struct inquest *i)
{
	struct inquiry *q = i->inquiry;

	*(i->older ? &i->older->younger : &q->oldest) = i->younger;
	*(i->younger ? &i->younger->older : &q->youngest) = i->older;
	i->older = i->younger = NULL;
}

static void put_in_order(struct inquest *i)
{
	struct inquiry *q = i->inquiry;

	i->older = q->youngest;
	*(q->youngest ? &q->youngest->younger : &q->oldest) = i;
	q->youngest = i;
}

static void stop_asking(struct inquest *i)
{
	struct asking *a = i->asking;

	if (!a)
		return;
	timer_stop(&a->too_late);
	dns_forget(&a->ptr);
	for (size_t n = 0; n < COUNT_OF(a->names); n++)
		dns_forget(&a->names[n].lookup);
	for (size_t n = 0; n < COUNT_OF(a->zones); n++)
		dns_forget(&a->zones[n].lookup);
	i->asking = NULL;
	i->inquiry->asking--;
	free(a);
}

/* Once it is found no more, the last session that holds it frees it. */
void inquest_free_unless_held(struct inquest *i)
{
	if (i->kept || i->holders)
		return;
	stop_asking(i);
	zones_let_go(&i->zones);
	free(i);
}

void inquest_unkeep(struct inquest *i)
{
	struct inquiry *q = i->inquiry;
	struct inquest **at = bucket_of(q, &i->addr);

	while (*at != i)
		at = &(*at)->next;
	*at = i->next;
	take_from_order(i);
	q->count--;
	i->kept = false;
	inquest_free_unless_held(i);
}

/* Those that sessions hold are looked at again when all others were. */
static void make_room(struct inquiry *q)
{
	for (int looks = 0; looks < LOOKS_MAX && q->count >= KEPT_MAX; looks++) {
		struct inquest *i = q->oldest;

		if (i->holders) {
			take_from_order(i);
			put_in_order(i);
		} else {
			inquest_unkeep(i);
		}
	}
}

struct inquest *inquest_find(struct inquiry *q, const struct addr *a)
{
	struct inquest *i = *bucket_of(q, a);

	while (i && !addr_eq(&i->addr, a))
		i = i->next;
	if (!i)
		return NULL;
	if (!i->asking && loop_now(q->edge->loop) >= i->good_until) {
		inquest_unkeep(i);
		return NULL;
	}
	take_from_order(i);
	put_in_order(i);
	return i;
}

/* ---- an inquest ------------------------------------------------------------------------------ */

static bool awaits_health(const struct inquest *i)
{
	for (uint32_t n = 0; i->listed && n < i->zones->count; n++)
		if (i->listed >> n & 1 && i->zones->zone[n].health == HEALTH_UNKNOWN)
			return true;
	return false;
}

bool inquest_is_known(const struct inquest *i)
{
	return !i->asking && !awaits_health(i);
}

static bool has_ptr_list(const struct guard *g)
{
	struct access_list list;

	for (uint32_t n = 0; g->access && access_list(g->access, g->access_n, n, &list);
	     n++)
		if (list.of == ACCESS_PTR)
			return true;
	return false;
}

/*
 * Can what is still asked refuse anything? A name that nobody has a list for is good to
 * know, and not worth a wait: where the DNS is dead, mail goes on as if there were none.
 * Who is listed waits for it, though: only when all is known is a listing weighed.
 */
bool inquest_is_awaited(const struct inquest *i)
{
	const struct asking *a = i->asking;

	if (!a)
		return awaits_health(i);
	return a->zones_pending > 0 || a->names_matter || i->listed;
}

static ms_t clamp(ms_t t)
{
	return t < GOOD_MIN ? GOOD_MIN : t > GOOD_MAX ? GOOD_MAX : t;
}

/* Nobody must be asked any more, or it is too late. */
static void conclude(struct inquest *i)
{
	ms_t good = clamp((ms_t)i->ttl * MS_SECOND);
	struct conn *c;

	stop_asking(i);
	for (uint32_t n = 0; n < i->zones->count; n++)
		if (i->zones->zone[n].health == HEALTH_ILL && good > SKIPPED_GOOD)
			good = SKIPPED_GOOD;
	if (i->failed)
		good = GOOD_MIN;
	i->good_until = loop_now(i->inquiry->edge->loop) + good;
	i->holders++; /* while we tell */
	while ((c = i->askers) != NULL) {
		i->askers = c->next_asking;
		c->next_asking = NULL;
		if (c->waits == WAITS_FACTS && !awaits_health(i))
			conn_answer(c, IN_FACTS, 0);
	}
	i->holders--;
	inquest_free_unless_held(i);
}

static void answered(struct asking *a, const struct dns_answer *answer)
{
	struct inquest *i = a->inquest;

	if (answer->result == DNS_FAILED)
		i->failed = true;
	else if (answer->ttl < i->ttl)
		i->ttl = answer->ttl;
	if (--a->pending == 0)
		conclude(i);
}

/* The zones have all answered: who waits for them need not wait for a name. */
static void tell_askers(struct inquest *i)
{
	struct conn *c, *next;

	for (c = i->askers; c; c = next) {
		next = c->next_asking;
		if (c->waits == WAITS_FACTS && !inquest_is_awaited(i))
			conn_answer(c, IN_FACTS, 0);
	}
}

static void on_too_late(void *arg)
{
	struct asking *a = arg;

	for (size_t n = 0; n < a->inquest->zones->count; n++)
		if (a->zones[n].lookup.asked)
			zone_is_silent(&a->inquest->zones->zone[n]);
	a->inquest->failed = true;
	conclude(a->inquest);
}

static void on_zone(void *arg, const struct dns_answer *answer)
{
	struct asked_zone *asked = arg;
	struct inquest *i = asked->asking->inquest;
	struct zone *z = &i->zones->zone[asked->number];

	switch (zone_heard(z, answer)) {
	case ZONE_LISTS:
		i->listed |= 1u << asked->number;
		break;
	case ZONE_FAILS:
		i->failed = true;
		break;
	case ZONE_SAYS_NO:
		break;
	}
	asked->asking->zones_pending--;
	i->holders++; /* the last session may go when it is told */
	if (asked->asking->zones_pending == 0 && asked->asking->pending > 1)
		tell_askers(i);
	answered(asked->asking, answer);
	i->holders--;
	inquest_free_unless_held(i);
}

/* One of its names: does it have the address? The first that does is its name. */
static void on_forward(void *arg, const struct dns_answer *answer)
{
	struct asked_name *asked = arg;
	struct inquest *i = asked->asking->inquest;

	for (size_t n = 0; n < answer->count && !i->name.n; n++)
		if (addr_eq(&answer->addresses[n], &i->addr))
			i->name = asked->name;
	answered(asked->asking, answer);
}

static void on_ptr(void *arg, const struct dns_answer *answer)
{
	struct asking *a = arg;
	struct inquest *i = a->inquest;
	unsigned type = addr_is_v4(&i->addr) ? DNS_A : DNS_AAAA;

	i->no_ptr = answer->result == DNS_NO_NAME || answer->result == DNS_NO_DATA;
	i->has_names = answer->result == DNS_FOUND;
	a->pending += (unsigned)answer->name_count;
	for (size_t n = 0; n < answer->name_count; n++) {
		struct asked_name *name = &a->names[n];

		name->asking = a;
		name->name = answer->names[n];
		dns_look_up(i->inquiry->dns, &name->lookup, type,
			    span_of(name->name.text, name->name.n), on_forward, name);
	}
	answered(a, answer);
}

static void ask_zones(struct asking *a)
{
	struct zones *z = a->inquest->zones;

	for (uint32_t n = 0; n < z->count; n++) {
		struct asked_zone *asked = &a->zones[n];

		if (z->zone[n].health == HEALTH_ILL)
			continue;
		asked->asking = a;
		asked->number = n;
		a->pending++;
		a->zones_pending++;
		zone_ask(&z->zone[n], &a->inquest->addr, &asked->lookup, on_zone, asked);
	}
}

/* Answers may come while we ask: it is not over before we are. */
void inquest_ask(struct inquest *i)
{
	struct edge *e = i->inquiry->edge;
	const struct settings *set = &e->rules->conf->set;
	struct asking *a = i->asking;
	static const struct dns_answer nothing = { .result = DNS_NO_DATA,
						   .ttl = UINT32_MAX };

	a->pending = 1;
	a->names_matter = has_ptr_list(&e->guard);
	timer_init(&a->too_late, e->loop, on_too_late, a);
	timer_set(&a->too_late, loop_now(e->loop) + set->lookup_wait);
	if (set->lookups) {
		uint8_t mem[DNS_NAME_MAX];
		struct buf name;

		buf_init(&name, mem, sizeof(mem));
		dns_print_ptr(&i->addr, &name);
		a->pending++;
		dns_look_up(i->inquiry->dns, &a->ptr, DNS_PTR, buf_span(&name), on_ptr, a);
	}
	ask_zones(a);
	answered(a, &nothing);
}

/* NULL: too many are under way, or there is no memory. */
struct inquest *inquest_begin(struct inquiry *q, const struct addr *about)
{
	struct inquest **at = bucket_of(q, about), *i;

	if (q->asking >= ASKING_MAX)
		return NULL;
	make_room(q);
	i = calloc(1, sizeof(*i));
	if (!i)
		return NULL;
	i->asking = calloc(1, sizeof(*i->asking));
	if (!i->asking) {
		free(i);
		return NULL;
	}
	i->inquiry = q;
	i->addr = *about;
	i->ttl = UINT32_MAX;
	i->zones = zones_hold(q->zones);
	i->asking->inquest = i;
	i->kept = true;
	i->next = *at;
	*at = i;
	put_in_order(i);
	q->count++;
	q->asking++;
	return i;
}
