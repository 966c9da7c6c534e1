#include "guard/snapshot.h"

#include "base/siphash.h"
#include "guard/inside.h"

#define MAGIC	   "HFGUARD\n"
#define VERSION	   2
#define NO_GAPS	   1	     /* the version that knew no pauses: 16 bits of connections */
#define NEVER	   INT32_MIN /* there was no ban */
#define AWAY_MAX   (400 * MS_DAY) /* a clock that says more is wrong */
#define CHECK_AT   (SNAPSHOT_ROW - 2)
#define HEAD_CHECK (SNAPSHOT_HEAD - 8)

/*
 * The head: magic (8 bytes), version (4), bytes of a row (4), the wall clock (8), how many
 * rows (8), zeros, a check (8). A row is struct guard_cold with its times as ages, and the
 * letter of the rule instead of its number, which may be another in the next version. All
 * numbers begin with their low byte.
 */

/* ---- numbers --------------------------------------------------------------------------- */

static void put(uint8_t **at, uint64_t v, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		*(*at)++ = (uint8_t)(v >> (8 * i));
}

static uint64_t get(const uint8_t **at, unsigned n)
{
	uint64_t v = 0;

	for (unsigned i = 0; i < n; i++)
		v |= (uint64_t) * (*at)++ << (8 * i);
	return v;
}

/* It finds what is torn, not who lies, so the key is no secret; the version is part of it. */
static uint64_t check(const uint8_t *p, size_t n, unsigned version)
{
	const uint64_t key[2] = { UINT64_C(0x736e617073686f74), version };

	return siphash(key, span_of(p, n));
}

/* Of which version is it, whose check is in so many bytes behind it? 0: of none. */
static unsigned version_of(const uint8_t *p, size_t n, unsigned bytes)
{
	const uint8_t *end = p + n;
	uint64_t is = get(&end, bytes), mask = UINT64_MAX >> (64 - 8 * bytes);

	for (unsigned v = VERSION; v >= NO_GAPS; v--)
		if (is == (check(p, n, v) & mask))
			return v;
	return 0;
}

/* ---- writing ------------------------------------------------------------------------------ */

static int32_t within(int64_t n)
{
	return n > INT32_MAX ? INT32_MAX : n <= NEVER ? NEVER + 1 : (int32_t)n;
}

static void write_row(const struct guard_cold *c, gsec_t now, uint8_t row[SNAPSHOT_ROW])
{
	int32_t left = c->until ? within((int64_t)c->until - now) : NEVER;
	uint8_t *at = row;

	put(&at, c->prefix, 8);
	put(&at, c->kind, 1);
	put(&at, c->flags, 1);
	put(&at, c->rule ? (uint8_t)rule_table[c->rule].letter : 0, 1);
	put(&at, c->level, 1);
	put(&at, now > c->last ? now - c->last : 0, 4);
	put(&at, (uint32_t)left, 4);
	put(&at, c->slow, 2);
	put(&at, c->good, 2);
	put(&at, c->visits, 2);
	put(&at, c->came, 2);
	put(&at, c->says & COLD_SAYS, 2);
	put(&at, check(row, CHECK_AT, VERSION), 2);
}

static void write_head(int64_t wall, uint64_t rows, uint8_t head[SNAPSHOT_HEAD])
{
	uint8_t *at = head + 8;

	memset(head, 0, SNAPSHOT_HEAD);
	memcpy(head, MAGIC, 8);
	put(&at, VERSION, 4);
	put(&at, SNAPSHOT_ROW, 4);
	put(&at, (uint64_t)wall, 8);
	put(&at, rows, 8);
	at = head + HEAD_CHECK;
	put(&at, check(head, HEAD_CHECK, VERSION), 8);
}

size_t snapshot_room(const struct memory *m)
{
	return SNAPSHOT_HEAD + SNAPSHOT_ROW * ((size_t)m->shape.hot + m->shape.cold);
}

bool snapshot_write(const struct memory *m, ms_t now, int64_t wall, struct buf *out)
{
	uint8_t head[SNAPSHOT_HEAD] = { 0 };
	size_t begins = out->len, places = memory_places(m);
	struct guard_hot row;
	uint64_t rows = 0;

	buf_put(out, span_of(head, sizeof(head)));
	for (size_t at = 0; !out->full && at < places; at++) {
		uint8_t bytes[SNAPSHOT_ROW];
		struct guard_cold c;

		if (!memory_at(m, at, &row))
			continue;
		cold_of_hot(&row, memory_half_slow(m), &c);
		write_row(&c, memory_second(now), bytes);
		buf_put(out, span_of(bytes, sizeof(bytes)));
		rows++;
	}
	if (out->full)
		return false;
	write_head(wall, rows, out->mem + begins);
	return true;
}

/* ---- reading -------------------------------------------------------------------------------- */

static gsec_t second(int64_t s)
{
	return s < 1 ? 1 : s > UINT32_MAX ? UINT32_MAX : (gsec_t)s;
}

/* Times are moved by how long it is ago: what ended meanwhile has ended. */
static bool read_row(const uint8_t *row, gsec_t now, int64_t away, struct guard_cold *out)
{
	unsigned version = version_of(row, CHECK_AT, 2);
	const uint8_t *at = row;
	struct guard_cold c;
	uint32_t age;
	int32_t left;

	if (!version)
		return false;
	c.prefix = get(&at, 8);
	c.kind = (uint8_t)get(&at, 1);
	c.flags = (uint8_t)get(&at, 1);
	c.rule = (uint8_t)rule_of_letter((char)get(&at, 1));
	c.level = (uint8_t)get(&at, 1);
	age = (uint32_t)get(&at, 4);
	left = (int32_t)get(&at, 4);
	c.last = second((int64_t)now - age - away);
	c.until = left == NEVER ? 0 : second((int64_t)now + left - away);
	c.slow = (uint16_t)get(&at, 2);
	c.good = (uint16_t)get(&at, 2);
	c.visits = (uint16_t)get(&at, 2);
	c.came = (uint16_t)get(&at, 2);
	if (version == NO_GAPS)
		c.came = cold_came(c.came, 0);
	c.says = (uint16_t)get(&at, 2);
	cold_seal(&c);
	*out = c;
	return cold_ok(&c);
}

/*
 * What the head says, as far as it can be believed: of a head that is damaged nothing can,
 * but each row can speak for itself. Seconds; 0 if it is unknown how long it is ago.
 */
static int64_t read_head(struct span bytes, int64_t wall, uint64_t *rows)
{
	const uint8_t *at = bytes.p + 16;
	int64_t written;

	*rows = 0;
	if (memcmp(bytes.p, MAGIC, 8) != 0 || !version_of(bytes.p, HEAD_CHECK, 8))
		return 0;
	written = (int64_t)get(&at, 8);
	*rows = get(&at, 8);
	if (written <= 0 || wall <= written || wall - written > AWAY_MAX)
		return 0;
	return (wall - written) / MS_SECOND;
}

size_t snapshot_read(const struct memory *m, struct span bytes, ms_t now, int64_t wall,
		     size_t *torn)
{
	size_t taken = 0, seen = 0;
	uint64_t rows;
	int64_t away;

	*torn = 0;
	if (bytes.n < SNAPSHOT_HEAD)
		return 0;
	away = read_head(bytes, wall, &rows);
	for (bytes = span_skip(bytes, SNAPSHOT_HEAD); bytes.n; seen++) {
		struct guard_cold c;

		if (bytes.n < SNAPSHOT_ROW ||
		    !read_row(bytes.p, memory_second(now), away, &c))
			++*torn;
		else if (memory_adopt(m, &c, now))
			taken++;
		bytes = span_skip(bytes, SNAPSHOT_ROW);
	}
	/* of a file that was cut off, those that are missing; not what a lie might say */
	if (rows > seen && rows - seen <= UINT32_MAX)
		*torn += (size_t)(rows - seen);
	return taken;
}
