/*
 * What the DNS says about strangers, asked while they talk.
 *
 * An inquest is what is known, or being asked, about one address. All sessions of that
 * address share it, and it is kept for as long as its records are good. What zones say is
 * kept as bits, and weighed when a session asks: a zone that has turned out to be broken
 * meanwhile counts for nothing.
 */
#include <stdlib.h>

#include "base/siphash.h"
#include "edge/inside.h"
#include "edge/zones.h"
#include "guard/access.h"

#define KEPT_MAX     16384 /* inquests; more only while sessions hold them */
#define ASKING_MAX   2048  /* of them under way */
#define BUCKETS	     16384
#define LOOKS_MAX    32 /* for one that may go */
#define GOOD_MIN     (60 * MS_SECOND)
#define GOOD_MAX     (60 * MS_MINUTE)
#define SKIPPED_GOOD (5 * MS_MINUTE) /* an inquest that left out an ill zone */
#define TRY_TIME     (1 * MS_SECOND)

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

struct inquest {
	struct inquiry *inquiry;
	struct addr addr;
	struct inquest *next;		 /* in its bucket */
	struct inquest *older, *younger; /* in the order of their use */
	bool kept;			 /* in a bucket */
	size_t holders;			 /* sessions */
	struct conn *askers;		 /* of them, those that were not told yet */
	struct zones *zones;		 /* held */
	struct asking *asking;		 /* NULL: all is known */
	ms_t good_until;
	uint32_t ttl; /* the shortest so far */
	bool no_ptr, has_names, failed;
	uint32_t listed; /* bits: zones */
	struct dns_name name;
};

struct inquiry {
	struct edge *edge;
	struct dns *dns;
	struct zones *zones; /* in force; NULL: there is no configuration yet */
	struct inquest *bucket[BUCKETS];
	struct inquest *oldest, *youngest;
	size_t count, asking;
	struct inquest refused; /* for those who are too many */
};

/* ---- what is kept -------------------------------------------------------------------------- */

static struct inquest **bucket_of(struct inquiry *q, const struct addr *a)
{
	return &q->bucket[siphash(q->edge->key, span_of(a->ip, sizeof(a->ip))) % BUCKETS];
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
static void free_unless_held(struct inquest *i)
{
	if (i->kept || i->holders)
		return;
	stop_asking(i);
	zones_let_go(&i->zones);
	free(i);
}

static void unkeep(struct inquest *i)
{
	struct inquiry *q = i->inquiry;
	struct inquest **at = bucket_of(q, &i->addr);

	while (*at != i)
		at = &(*at)->next;
	*at = i->next;
	take_from_order(i);
	q->count--;
	i->kept = false;
	free_unless_held(i);
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
			unkeep(i);
		}
	}
}

static struct inquest *find(struct inquiry *q, const struct addr *a)
{
	struct inquest *i = *bucket_of(q, a);

	while (i && !addr_eq(&i->addr, a))
		i = i->next;
	if (!i)
		return NULL;
	if (!i->asking && loop_now(q->edge->loop) >= i->good_until) {
		unkeep(i);
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

static bool is_known(const struct inquest *i)
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
static bool is_awaited(const struct inquest *i)
{
	const struct asking *a = i->asking;

	if (!a)
		return awaits_health(i);
	return a->zones_pending > 0 || a->names_matter || i->listed;
}

static void tell_waiting(struct edge *e)
{
	struct conn *next;

	for (struct conn *c = e->conns; c; c = next) {
		next = c->next;
		if (c->waits == WAITS_FACTS && c->inquest && is_known(c->inquest))
			conn_answer(c, IN_FACTS, 0);
	}
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
	free_unless_held(i);
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
		if (c->waits == WAITS_FACTS && !is_awaited(i))
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
	free_unless_held(i);
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
static void ask(struct inquest *i)
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
static struct inquest *begin(struct inquiry *q, const struct addr *about)
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
	i = find(q, about);
	asked = i != NULL;
	if (!i)
		i = begin(q, about);
	if (!i)
		i = &q->refused;
	i->holders++;
	c->inquest = i;
	if (i->asking) {
		c->next_asking = i->askers;
		i->askers = c;
		if (!asked)
			ask(i);
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

	out->state = !i ? FACTS_NONE : is_known(i) ? FACTS_KNOWN : FACTS_PENDING;
	if (out->state == FACTS_PENDING && !is_awaited(i))
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
	if (c->inquest && !is_known(c->inquest) && is_awaited(c->inquest))
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
		free_unless_held(i);
}

/* ---- open and close --------------------------------------------------------------------------- */

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
		unkeep(q->oldest);
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
		unkeep(q->oldest);
	zones_let_go(&q->zones);
	dns_close(&q->dns);
	e->inquiry = NULL;
	free(q);
}
