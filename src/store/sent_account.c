/*
 * What one account has sent: sums that slide, to whom, and how that is kept as bytes.
 */
#include <stdlib.h>

#include "store/sent.h"

#define VERSION 1

const char *const brake_word[BRAKE_COUNT] = {
	[BRAKE_NOT] = "",
	[BRAKE_MESSAGES] = "messages",
	[BRAKE_RECIPIENTS] = "recipients",
	[BRAKE_FRESH] = "new-recipients",
	[BRAKE_PLACES] = "places",
};

/* ---- counting ------------------------------------------------------------------------------- */

static void turn(struct slide *s, int64_t wall, ms_t whole)
{
	if (wall < s->since || wall - s->since >= 2 * whole) {
		s->before = s->now = 0;
		s->since = wall;
	} else if (wall - s->since >= whole) {
		s->before = s->now;
		s->now = 0;
		s->since += whole;
	}
}

int64_t slide_sum(struct slide *s, int64_t wall, ms_t whole)
{
	turn(s, wall, whole);
	return s->now + s->before * (whole - (wall - s->since)) / whole;
}

void slide_add(struct slide *s, int64_t wall, ms_t whole, int64_t n)
{
	turn(s, wall, whole);
	s->now += n;
}

static bool knows(const struct account *a, uint32_t contact)
{
	for (uint32_t i = 0; i < a->count; i++)
		if (a->contacts[i] == contact)
			return true;
	return false;
}

/* Without memory for it, it is new the next time as well. */
static void remember_contact(struct account *a, uint32_t contact)
{
	if (a->count == CONTACTS_MAX) {
		a->contacts[a->at] = contact;
		a->at = (a->at + 1) % CONTACTS_MAX;
		return;
	}
	if (a->count == a->cap) {
		uint32_t cap = a->cap ? a->cap * 2 : 8;
		uint32_t *more = realloc(a->contacts, cap * sizeof(*more));

		if (!more)
			return;
		a->contacts = more;
		a->cap = cap;
	}
	a->contacts[a->count++] = contact;
}

static int64_t count_fresh(const struct account *a, const struct sending *what)
{
	int64_t fresh = 0;

	for (size_t i = 0; i < what->count; i++)
		fresh += !knows(a, what->recipients[i]);
	return fresh;
}

struct sent_verdict account_sends(struct account *a, const struct sent_limits *limits,
				  const struct sending *what, int64_t wall)
{
	const int64_t limit[BRAKE_COUNT] = {
		[BRAKE_MESSAGES] = limits->messages,
		[BRAKE_RECIPIENTS] = limits->recipients,
		[BRAKE_FRESH] = limits->fresh,
	};
	int64_t sum[BRAKE_COUNT] = { 0 };
	struct sent_verdict v = { .brake = what->places ? BRAKE_PLACES : BRAKE_NOT };

	slide_add(&a->messages, wall, MS_HOUR, 1);
	slide_add(&a->recipients, wall, MS_DAY, (int64_t)what->count);
	slide_add(&a->fresh, wall, MS_DAY, count_fresh(a, what));
	sum[BRAKE_MESSAGES] = slide_sum(&a->messages, wall, MS_HOUR);
	sum[BRAKE_RECIPIENTS] = slide_sum(&a->recipients, wall, MS_DAY);
	sum[BRAKE_FRESH] = slide_sum(&a->fresh, wall, MS_DAY);
	for (enum brake b = BRAKE_MESSAGES; b <= BRAKE_FRESH; b++) {
		if (limit[b] == 0 || sum[b] <= limit[b])
			continue;
		v.refused |= sum[b] > OVER_TIMES * limit[b];
		if (v.brake != BRAKE_NOT)
			continue;
		v.brake = b;
		v.sum = sum[b];
		v.limit = limit[b];
	}
	v.begins = v.brake != BRAKE_NOT && a->incident == 0;
	a->last = wall;
	a->unsaved = true;
	if (v.brake != BRAKE_NOT)
		return v;
	a->incident = 0;
	for (size_t i = 0; i < what->count; i++)
		if (!knows(a, what->recipients[i]))
			remember_contact(a, what->recipients[i]);
	return v;
}

/* ---- in the database ------------------------------------------------------------------------- */

static void put(struct buf *out, uint64_t n, size_t bytes)
{
	for (; bytes--; n >>= 8)
		buf_byte(out, (uint8_t)n);
}

static void put_slide(struct buf *out, const struct slide *s)
{
	put(out, (uint64_t)s->since, 8);
	put(out, (uint64_t)s->before, 8);
	put(out, (uint64_t)s->now, 8);
}

void account_print(const struct account *a, struct buf *out)
{
	put(out, VERSION, 4);
	put(out, a->incident, 4);
	put(out, a->at, 4);
	put(out, a->count, 4);
	put_slide(out, &a->messages);
	put_slide(out, &a->recipients);
	put_slide(out, &a->fresh);
	for (uint32_t i = 0; i < a->count; i++)
		put(out, a->contacts[i], 4);
}

static uint64_t get(struct span *in, size_t bytes)
{
	uint64_t n = 0;

	for (size_t i = bytes; i > 0; i--)
		n = n << 8 | (i <= in->n ? in->p[i - 1] : 0);
	*in = span_skip(*in, bytes);
	return n;
}

static bool get_slide(struct span *in, struct slide *s)
{
	s->since = (int64_t)get(in, 8);
	s->before = (int64_t)get(in, 8);
	s->now = (int64_t)get(in, 8);
	/* sums and differences of these cannot overflow */
	return s->since >= 0 && s->since < INT64_MAX / 2 && s->before >= 0 &&
	       s->now >= 0 && s->before < INT32_MAX && s->now < INT32_MAX;
}

bool account_parse(struct account *a, struct span text)
{
	bool good = text.n >= 16 + 3 * 24 && get(&text, 4) == VERSION;
	uint32_t count;

	if (!good)
		return false;
	a->incident = (uint32_t)get(&text, 4);
	a->at = (uint32_t)get(&text, 4);
	count = (uint32_t)get(&text, 4);
	good = get_slide(&text, &a->messages) && get_slide(&text, &a->recipients) &&
	       get_slide(&text, &a->fresh);
	if (!good || count > CONTACTS_MAX || a->at >= CONTACTS_MAX || text.n != 4 * count)
		return false;
	for (uint32_t i = 0; i < count; i++)
		remember_contact(a, (uint32_t)get(&text, 4));
	return a->count == count;
}
