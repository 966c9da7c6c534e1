#include "rehearse/counts.h"

#include <stdio.h>
#include <sys/resource.h>

static struct tally_actor *actor_at(const struct counts *c, unsigned actor)
{
	return tally_at(c->tally, c->worker, actor);
}

static struct tally_bucket *bucket_at(const struct counts *c, unsigned actor)
{
	return &actor_at(c, actor)->buckets[c->bucket];
}

static struct tally_phase *phase_at(const struct counts *c, struct counted v)
{
	return &actor_at(c, v.actor)->phases[v.phase];
}

static ms_t since(const struct counts *c, double now)
{
	return (ms_t)now - c->tally->began;
}

void counts_init(struct counts *c, const struct tally *t, unsigned worker)
{
	*c = (struct counts){ .tally = t, .worker = worker };
}

void counts_cpu(struct counts *c)
{
	struct rusage u;

	getrusage(RUSAGE_SELF, &u);
	c->tally->cpu[c->worker] = (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
				   (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

double counts_turn(struct counts *c, double now)
{
	unsigned at = tally_bucket_of(c->tally, since(c, now));

	if (at != c->bucket)
		counts_cpu(c);
	while (c->bucket < at) {
		c->bucket++;
		for (unsigned i = 0; i < c->tally->actors; i++)
			if (c->open[i])
				bucket_at(c, i)->open = c->open[i];
	}
	return (double)(c->tally->began + (ms_t)(at + 1) * c->tally->bucket);
}

enum phase counts_phase(const struct counts *c, double due)
{
	enum phase p = tally_phase_of(c->tally, since(c, due));

	return p < PHASE_COUNT ? p : PHASE_COUNT - 1;
}

void counts_due(struct counts *c, struct counted v)
{
	phase_at(c, v)->due++;
}

void counts_skipped(struct counts *c, struct counted v)
{
	phase_at(c, v)->skipped++;
	bucket_at(c, v.actor)->skipped++;
}

void counts_no_port(struct counts *c, struct counted v)
{
	counts_skipped(c, v);
	phase_at(c, v)->no_port++;
}

void counts_begun(struct counts *c, struct counted v)
{
	phase_at(c, v)->begun++;
	bucket_at(c, v.actor)->begun++;
}

void counts_opened(struct counts *c, struct counted v)
{
	struct tally_phase *p = phase_at(c, v);
	uint32_t n = ++c->open[v.actor];

	if (p->open_most < n)
		p->open_most = n;
	bucket_at(c, v.actor)->open = n;
	c->tally->refused_connects[c->worker] = 0;
}

void counts_closed(struct counts *c, struct counted v)
{
	bucket_at(c, v.actor)->open = --c->open[v.actor];
}

void counts_refused(struct counts *c)
{
	c->tally->refused_connects[c->worker]++;
}

void counts_bytes(struct counts *c, struct counted v, size_t in, size_t out)
{
	struct tally_phase *p = phase_at(c, v);

	p->bytes_in += in;
	p->bytes_out += out;
}

void counts_heard(struct counts *c, struct counted v, const struct visit_out *o)
{
	struct tally_actor *a = actor_at(c, v.actor);
	enum end end = o->heard.end;
	int kind = end == END_DONE ? 0 : end == END_LATER ? 1 : 2;

	if (o->heard.is) {
		phase_at(c, v)->heard[o->heard.stage][kind]++;
		bucket_at(c, v.actor)->heard[o->heard.stage][kind]++;
	}
	if (o->heard.breach) {
		phase_at(c, v)->breaches++;
		if (!a->breach[0])
			snprintf(a->breach, sizeof(a->breach), "%s", o->breach);
	}
}

void counts_done(struct counts *c, struct counted v, double ms)
{
	struct tally_phase *p = phase_at(c, v);

	p->done++;
	p->latency_sum += ms;
	if (p->latency_most < ms)
		p->latency_most = ms;
	p->latency[tally_slot((uint64_t)(ms * 1000))]++;
	bucket_at(c, v.actor)->done++;
}

static uint32_t as_us(double ms)
{
	return ms * 1000 < (double)UINT32_MAX ? (uint32_t)(ms * 1000) : UINT32_MAX;
}

void counts_ended(struct counts *c, struct counted v, const struct crowd_visit *came,
		  enum stage stage, enum end end, double ms, bool again)
{
	struct tally_actor *a = actor_at(c, v.actor);
	struct tally_phase *p = phase_at(c, v);

	p->ended[stage][end]++;
	p->again += again;
	bucket_at(c, v.actor)->ended[stage][end]++;
	if (!a->samples || a->samples_n >= SAMPLES_MAX)
		return;
	a->samples[a->samples_n] = (struct tally_sample){
		.due_ms = (uint32_t)since(c, came->due),
		.latency_us = as_us(ms),
		.end = (uint8_t)end,
		.stage = (uint8_t)stage,
		.phase = (uint8_t)v.phase,
		.retry = came->retry,
	};
	a->samples_n++;
}

void counts_left(struct counts *c, unsigned actor, unsigned left)
{
	actor_at(c, actor)->left = left;
}
