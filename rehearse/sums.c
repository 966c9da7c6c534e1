#include "rehearse/sums.h"

#include <stdio.h>
#include <string.h>

ms_t sums_to(const struct result *r, enum phase p)
{
	if (!r->tally)
		return 0;

	ms_t to = r->tally->ends[p], came = r->edges[p + 1].at;

	/* The last border comes after the visits that were still under way. */
	return r->complete || came > to ? to : came;
}

ms_t sums_from(const struct result *r, enum phase p)
{
	return p == 0 ? 0 : sums_to(r, (enum phase)(p - 1));
}

double sums_seconds(const struct result *r, enum phase p)
{
	ms_t ms = sums_to(r, p) - sums_from(r, p);

	return ms > 0 ? (double)ms / 1000 : 0;
}

unsigned sums_buckets(const struct result *r)
{
	ms_t to = sums_to(r, PHASE_AFTER);

	return to > 0 ? tally_bucket_of(r->tally, to - 1) + 1 : 0;
}

bool sums_means(const struct result *r, unsigned actor, const char *name)
{
	const struct scenario *s = r->scenario;

	if (name)
		return strcmp(s->actors[actor].name, name) == 0;
	if (!s->actors[actor].honest)
		return true;
	for (size_t i = 0; i < s->actors_n; i++)
		if (!s->actors[i].honest)
			return false;
	return true;
}

void sums_phase(const struct result *r, unsigned actor, enum phase p,
		struct tally_phase *out)
{
	if (r->tally)
		tally_sum_phase(r->tally, actor, p, out);
	else
		*out = (struct tally_phase){ 0 };
}

uint64_t sums_ended(const struct tally_phase *p, enum end e)
{
	uint64_t n = 0;

	for (size_t s = 0; s < STAGE_COUNT; s++)
		n += p->ended[s][e];
	return n;
}

uint64_t sums_ended_all(const struct tally_phase *p)
{
	uint64_t n = 0;

	for (int e = 0; e < END_COUNT; e++)
		if (e != END_OVER)
			n += sums_ended(p, (enum end)e);
	return n;
}

uint64_t sums_asked(const struct tally_phase *p)
{
	uint64_t ended = sums_ended_all(p), failed = p->again;

	failed = ended > p->done + failed ? ended - p->done - failed : 0;
	return p->done + failed + (p->due > p->begun ? p->due - p->begun : 0);
}

uint64_t sums_replies(const struct tally_phase *p)
{
	uint64_t n = 0;

	for (size_t s = 0; s < STAGE_COUNT; s++)
		n += p->heard[s][0] + p->heard[s][1] + p->heard[s][2];
	return n;
}

uint64_t sums_refusals(const struct tally_phase *p)
{
	uint64_t n = sums_ended(p, END_DROPPED);

	for (size_t s = 0; s < STAGE_COUNT; s++)
		n += p->heard[s][1] + p->heard[s][2];
	return n;
}

uint64_t sums_connections(const struct result *r, enum phase p)
{
	struct tally_phase sum;
	uint64_t n = 0;

	for (unsigned i = 0; i < r->scenario->actors_n; i++) {
		sums_phase(r, i, p, &sum);
		n += sum.begun;
	}
	return n;
}

uint64_t sums_refused(const struct result *r, enum phase p)
{
	struct tally_phase sum;
	uint64_t n = 0;

	for (unsigned i = 0; i < r->scenario->actors_n; i++) {
		sums_phase(r, i, p, &sum);
		n += sums_refusals(&sum);
	}
	return n;
}

uint64_t sums_open_most(const struct result *r, const char *name)
{
	unsigned buckets = sums_buckets(r);
	uint64_t most = 0;

	for (unsigned b = 0; b < buckets; b++) {
		ms_t at = (ms_t)b * r->tally->bucket;
		struct tally_bucket sum;
		uint64_t open = 0;

		if (at + r->tally->bucket <= sums_from(r, PHASE_ATTACK) ||
		    at >= sums_to(r, PHASE_ATTACK))
			continue;
		for (unsigned i = 0; i < r->scenario->actors_n; i++) {
			if (!sums_means(r, i, name))
				continue;
			tally_sum_bucket(r->tally, i, b, &sum);
			open += sum.open;
		}
		most = open > most ? open : most;
	}

	/* between two buckets one actor alone may have had more */
	for (unsigned i = 0; i < r->scenario->actors_n; i++) {
		struct tally_phase sum;

		sums_phase(r, i, PHASE_ATTACK, &sum);
		if (sums_means(r, i, name) && sum.open_most > most)
			most = sum.open_most;
	}
	return most;
}

static uint64_t larger(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

/* Counters never go back, but a look that failed has a 0. */
static uint64_t growth(uint64_t from, uint64_t to)
{
	return to > from ? to - from : 0;
}

static void look_in(struct sums_cost *c, const struct server_look *l)
{
	c->pss_most = larger(c->pss_most, l->pss);
	c->kernel_most = larger(c->kernel_most, l->kernel);
	c->both_most = larger(c->both_most, l->pss + l->kernel);
	c->fds_most = l->fds > c->fds_most ? l->fds : c->fds_most;
	c->processes_most = l->processes > c->processes_most ? l->processes
							     : c->processes_most;
}

void sums_cost(const struct result *r, enum phase p, struct sums_cost *out)
{
	const struct timed_look *a = &r->edges[p], *z = &r->edges[p + 1];
	ms_t from = sums_from(r, p), to = sums_to(r, p);

	*out = (struct sums_cost){ 0 };
	if (!r->has_server || to <= from)
		return;
	out->has = a->look.has & z->look.has;
	out->cpu = z->look.cpu > a->look.cpu ? z->look.cpu - a->look.cpu : 0;
	out->pss_begin = a->look.pss;
	out->pss_end = z->look.pss;
	out->kernel_begin = a->look.kernel;
	out->both_begin = a->look.pss + a->look.kernel;
	out->log = growth(a->look.log, z->look.log);
	if (z->look.has & SERVER_HAS_LOG)
		out->has |= SERVER_HAS_LOG; /* the file has appeared meanwhile */
	out->written = growth(a->look.written, z->look.written);
	look_in(out, &a->look);
	look_in(out, &z->look);
	for (size_t i = 0; i < r->looks_n; i++)
		if (r->looks[i].at >= a->at && r->looks[i].at <= z->at)
			look_in(out, &r->looks[i].look);
}

void sums_breach(const struct result *r, unsigned actor, char *out, size_t cap)
{
	out[0] = '\0';
	if (!r->tally)
		return;
	for (unsigned w = 0; w < r->tally->workers && !out[0]; w++)
		sums_escape(tally_at(r->tally, w, actor)->breach, out, cap);
}

void sums_escape(const char *text, char *out, size_t cap)
{
	size_t n = 0;

	for (const char *c = text; *c; c++) {
		bool plain = *c >= ' ' && *c <= '~';
		size_t need = plain ? 1 : 4;

		if (n + need >= cap)
			break;
		if (plain)
			out[n] = *c;
		else
			snprintf(out + n, 5, "\\x%02x", (unsigned)(unsigned char)*c);
		n += need;
	}
	out[n] = '\0';
}

void sums_bytes(double bytes, char *out)
{
	static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB" };
	size_t u = 0;

	while (bytes >= 1024 && u + 1 < COUNT_OF(units)) {
		bytes /= 1024;
		u++;
	}
	snprintf(out, 24, u ? "%.1f %s" : "%.0f %s", bytes, units[u]);
}
