#include "guard/inside.h"

/* ---- whoever looks takes no lock and writes nothing -------------------------------------- */

/* A copy of what may be known of a client; detail: where to put it, NULL: nobody asked. */
struct sight {
	struct guard_hot row;
	struct guard_detail *detail;
};

/* The hot row at i, if it is in use and, with k, has that key. */
static bool see_hot(const struct memory *m, uint32_t i, const struct guard_key *k,
		    struct sight *out)
{
	if (!m->tags[i / BUCKET].tag[i % BUCKET] ||
	    (k && !guard_key_eq(m->hot[i].key, *k)))
		return false;
	memcpy(&out->row, &m->hot[i], sizeof(out->row));
	if (out->detail && out->row.flags & HOT_DETAIL)
		memcpy(out->detail, &m->detail[i], sizeof(*out->detail));
	else if (out->detail)
		memset(out->detail, 0, sizeof(*out->detail));
	return guard_key_ok(out->row.key) && (!k || guard_key_eq(out->row.key, *k));
}

static bool see_cold(const struct memory *m, size_t i, const struct guard_key *k,
		     struct sight *out)
{
	struct guard_cold c;

	memcpy(&c, &m->cold[i], sizeof(c));
	if (!cold_ok(&c) || (k && !guard_key_eq(cold_key(&c), *k)))
		return false;
	memset(&out->row, 0, sizeof(out->row));
	if (out->detail)
		memset(out->detail, 0, sizeof(*out->detail));
	hot_of_cold(&c, &out->row);
	return true;
}

static bool look(const struct memory *m, const struct memory_place *at,
		 struct guard_key k, struct sight *out)
{
	uint32_t beside = m->shard[at->shard].strays ? m->beside : 0;
	uint32_t cold = memory_cold_bucket(m, at->bucket, at->tag);

	for (uint32_t j = 0; j <= beside; j++)
		for (uint32_t i = 0; i < BUCKET; i++)
			if (see_hot(m, place_bucket(m, at, j) * BUCKET + i, &k, out))
				return true;
	for (uint32_t i = 0; i < BUCKET; i++)
		if (see_cold(m, (size_t)cold * BUCKET + i, &k, out))
			return true;
	return false;
}

/* What was found may be half of one thing and half of another until read_held() says no. */
bool memory_peek_all(const struct memory *m, struct guard_key k, struct guard_hot *out,
		     struct guard_detail *detail)
{
	struct sight s = { .detail = detail };
	const struct memory_lock *lock;
	struct memory_place at;

	if (!guard_key_ok(k))
		return false;
	at = memory_place(m, k);
	lock = &m->shard[at.shard].lock;
	for (unsigned i = 0; i < READ_TRIES; i++) {
		uint32_t seq;
		bool found;

		if (!read_begins(lock, &seq)) {
			spin_once();
			continue;
		}
		found = look(m, &at, k, &s);
		if (!read_held(lock, seq))
			continue;
		if (found) {
			hot_tidy(&s.row);
			*out = s.row;
		}
		return found;
	}
	return false;
}

bool memory_peek(const struct memory *m, struct guard_key k, struct guard_hot *out)
{
	return memory_peek_all(m, k, out, NULL);
}

static bool see(const struct memory *m, size_t i, struct sight *out)
{
	size_t hot = m->shape.hot, bucket = (i < hot ? i : i - hot) / BUCKET;
	const struct memory_shard *s = i < hot ? memory_shard_of(m, (uint32_t)bucket)
					       : memory_shard_of_cold(m, (uint32_t)bucket);
	const struct memory_lock *lock = &s->lock;

	for (unsigned t = 0; t < READ_TRIES; t++) {
		uint32_t seq;
		bool found;

		if (!read_begins(lock, &seq)) {
			spin_once();
			continue;
		}
		found = i < hot ? see_hot(m, (uint32_t)i, NULL, out)
				: see_cold(m, i - hot, NULL, out);
		if (read_held(lock, seq))
			return found;
	}
	return false;
}

size_t memory_places(const struct memory *m)
{
	return (size_t)m->shape.hot + m->shape.cold;
}

bool memory_all_at(const struct memory *m, size_t at, struct guard_hot *out,
		   struct guard_detail *detail)
{
	struct sight s = { .detail = detail };

	if (at >= memory_places(m) || !see(m, at, &s))
		return false;
	hot_tidy(&s.row);
	*out = s.row;
	return true;
}

bool memory_at(const struct memory *m, size_t at, struct guard_hot *out)
{
	return memory_all_at(m, at, out, NULL);
}

bool memory_key_at(const struct memory *m, size_t at, struct guard_key *out)
{
	struct guard_cold c;

	if (at >= memory_places(m))
		return false;
	if (at < m->shape.hot) {
		if (!m->tags[at / BUCKET].tag[at % BUCKET])
			return false;
		memcpy(out, &m->hot[at].key, sizeof(*out));
	} else {
		memcpy(&c, &m->cold[at - m->shape.hot], sizeof(c));
		if ((c.kind & 7) == 0)
			return false;
		*out = cold_key(&c);
	}
	return guard_key_ok(*out);
}

bool memory_next(const struct memory *m, size_t *at, struct guard_hot *out)
{
	while (*at < memory_places(m))
		if (memory_at(m, (*at)++, out))
			return true;
	return false;
}
