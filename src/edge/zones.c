#include "edge/zones.h"

#include <stdlib.h>

#include "base/fields.h"
#include "edge/inside.h"

#define CHECK_WELL   (30 * MS_MINUTE)
#define CHECK_ILL    (3 * MS_MINUTE)
#define SILENCES_MAX 8		 /* unanswered questions in a row: then it is looked at */
#define TEST_LISTED  0x7f000002u /* RFC 5782, 5 */
#define TEST_CLEAN   0x7f000001u

/* ---- how they are --------------------------------------------------------------------------- */

static void report_zone(const struct zone *z)
{
	struct edge *e = z->zones->edge;
	uint8_t mem[768];
	struct buf out;

	buf_init(&out, mem, sizeof(mem));
	field_text(&out, "key", span_str(z->is.zone));
	field_text(&out, "zone", span_str(z->is.zone));
	field_text(&out, "health", z->health == HEALTH_WELL ? SPAN("well") : SPAN("ill"));
	field_text(&out, "text", span_str(z->why));
	pulse_log(e->pulse, LOG_DNS_ZONE, loop_wall(e->loop), NULL, buf_span(&out));
}

static void set_health(struct zone *z, enum health health, const char *why)
{
	enum health before = z->health;

	z->health = health;
	z->why = why;
	z->silences = 0;
	if (health != before && (before != HEALTH_UNKNOWN || health == HEALTH_ILL))
		report_zone(z);
	if (before == HEALTH_UNKNOWN)
		z->zones->on_known(z->zones->edge);
}

static uint32_t number_of(const struct addr *a)
{
	return (uint32_t)a->ip[12] << 24 | (uint32_t)a->ip[13] << 16 |
	       (uint32_t)a->ip[14] << 8 | a->ip[15];
}

/* 127.255.255.* says that we may not ask; what is not in 127/8 is not of a blocklist. */
static bool is_error(const struct addr *a)
{
	uint32_t n = number_of(a);

	return !addr_is_v4(a) || n >> 24 != 127 || n >> 8 == 0x7fffff;
}

static bool counts(const struct dnsbl *z, const struct addr *a)
{
	uint32_t n = number_of(a);

	for (uint32_t i = 0; i < z->answer_count; i++)
		if (n >= z->answers[i].from && n <= z->answers[i].to)
			return !is_error(a);
	return false;
}

static bool has_error(const struct dns_answer *a)
{
	for (size_t i = 0; i < a->count; i++)
		if (is_error(&a->addresses[i]))
			return true;
	return false;
}

static void judge_zone(struct zone *z)
{
	struct edge *e = z->zones->edge;
	bool well = false;
	const char *why;

	if (z->listed_result == DNS_FAILED || z->clean_result == DNS_FAILED) {
		why = "does not answer: it counts for nothing until it does";
	} else if (z->listed_result != DNS_FOUND) {
		why = "does not list 127.0.0.2, as it must: it counts for nothing";
	} else if (!z->listed_well) {
		why = "answers with an error code: it counts for nothing";
	} else if (z->clean_result == DNS_FOUND) {
		why = "lists 127.0.0.1, so it would list the world: it counts for nothing";
	} else {
		why = "answers as it must";
		well = true;
	}
	if (!well)
		pulse_count(e->pulse, EV_DNS_FAILED, 1);
	timer_set(&z->timer, loop_now(e->loop) + (well ? CHECK_WELL : CHECK_ILL));
	set_health(z, well ? HEALTH_WELL : HEALTH_ILL, why);
}

static void on_listed(void *arg, const struct dns_answer *a)
{
	struct zone *z = arg;

	z->listed_result = a->result;
	z->listed_well = a->count > 0 && !has_error(a);
	if (--z->testing == 0)
		judge_zone(z);
}

static void on_clean(void *arg, const struct dns_answer *a)
{
	struct zone *z = arg;

	z->clean_result = a->result;
	if (--z->testing == 0)
		judge_zone(z);
}

void zone_ask(struct zone *z, const struct addr *about, struct dns_lookup *l,
	      void (*on_answer)(void *arg, const struct dns_answer *a), void *arg)
{
	uint8_t mem[DNS_NAME_MAX + 80];
	struct buf name;

	buf_init(&name, mem, sizeof(mem));
	dns_print_reverse(about, span_str(z->is.zone), &name);
	dns_look_up(z->zones->dns, l, DNS_A, buf_span(&name), on_answer, arg);
}

static void test_zone(void *arg)
{
	static const struct addr listed = {
		.ip = { [10] = 0xff, [11] = 0xff, [12] = 127, [15] = TEST_LISTED & 0xff }
	};
	static const struct addr clean = {
		.ip = { [10] = 0xff, [11] = 0xff, [12] = 127, [15] = TEST_CLEAN & 0xff }
	};
	struct zone *z = arg;

	if (z->testing)
		return;
	z->testing = 2;
	zone_ask(z, &listed, &z->listed, on_listed, z);
	zone_ask(z, &clean, &z->clean, on_clean, z);
}

/* A client's question had no answer. If that happens again and again, something is wrong. */
void zone_is_silent(struct zone *z)
{
	if (++z->silences >= SILENCES_MAX && z->health == HEALTH_WELL) {
		z->silences = 0;
		test_zone(z);
	}
}

/* It said itself that it does not serve us. */
static void note_error(struct zone *z)
{
	struct edge *e = z->zones->edge;

	if (z->health != HEALTH_WELL)
		return;
	timer_set(&z->timer, loop_now(e->loop) + CHECK_ILL);
	pulse_count(e->pulse, EV_DNS_FAILED, 1);
	set_health(z, HEALTH_ILL, "answers with an error code: it counts for nothing");
}

enum zone_says zone_heard(struct zone *z, const struct dns_answer *a)
{
	if (a->result == DNS_FAILED)
		zone_is_silent(z);
	else
		z->silences = 0;
	if (has_error(a)) {
		note_error(z);
		return ZONE_FAILS;
	}
	for (size_t i = 0; i < a->count; i++)
		if (counts(&z->is, &a->addresses[i]))
			return ZONE_LISTS;
	return ZONE_SAYS_NO;
}

/* ---- open and close --------------------------------------------------------------------- */

struct zones *zones_open(struct edge *e, struct dns *dns, const struct conf *conf,
			 void (*on_known)(struct edge *e))
{
	struct zones *z = calloc(1, sizeof(*z));

	if (!z)
		return NULL;
	z->edge = e;
	z->dns = dns;
	z->on_known = on_known;
	z->holders = 1;
	z->count = conf->dnsbl_count;
	for (uint32_t i = 0; i < z->count; i++) {
		z->zone[i].zones = z;
		z->zone[i].is = conf->dnsbls[i];
		timer_init(&z->zone[i].timer, e->loop, test_zone, &z->zone[i]);
		timer_set(&z->zone[i].timer, loop_now(e->loop));
	}
	return z;
}

struct zones *zones_hold(struct zones *z)
{
	z->holders++;
	return z;
}

void zones_let_go(struct zones **zones)
{
	struct zones *z = *zones;

	*zones = NULL;
	if (!z || --z->holders)
		return;
	for (uint32_t i = 0; i < z->count; i++) {
		timer_stop(&z->zone[i].timer);
		dns_forget(&z->zone[i].listed);
		dns_forget(&z->zone[i].clean);
	}
	free(z);
}

bool zones_are_of(const struct zones *z, const struct conf *conf)
{
	if (z->count != conf->dnsbl_count)
		return false;
	for (uint32_t i = 0; i < z->count; i++)
		if (memcmp(&z->zone[i].is, &conf->dnsbls[i], sizeof(struct dnsbl)) != 0)
			return false;
	return true;
}
