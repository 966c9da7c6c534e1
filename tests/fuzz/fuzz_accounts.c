/*
 * Whatever was left in the memory of accounts, and whoever tries to log in: indices are
 * checked, answers are within bounds, and a known device is refused unseen only for what
 * it gave before, or because it has all the sessions that it may have.
 */
#include <stdlib.h>
#include <string.h>

#include "base/bug.h"
#include "guard/account_diagnosis.h"
#include "guard/account_inside.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define NOW  (30 * MS_DAY)
#define WALL INT64_C(1767225600000)

static const struct accounts_shape shape = { 16, 16, 16, 16, 16, 16 };
static const uint64_t key[2] = { 1, 2 };

static void make(struct accounts *a)
{
	static void *mem;
	size_t n = accounts_size(&shape);

	if (!mem)
		mem = aligned_alloc(4096, n);
	BUG_IF(!mem);
	memset(mem, 0, n);
	accounts_init(mem, n, &shape, key, NOW);
	BUG_IF(!accounts_open(a, mem, n));
	a->limits = (struct accounts_limits){ .delay = 2000,
					      .delay_max = 15000,
					      .unknown_users = 4,
					      .guarded_at = 3,
					      .campaign_at = 3,
					      .places = 3,
					      .device_life = 30 * MS_DAY,
					      .remember_wrong = MS_HOUR,
					      .per_user = 6,
					      .per_network = 4 };
}

static const char *const users[] = { "ann",  "ben",  "cid",  "dora",
				     "root", "test", "info", "" };

/* Four bytes are one attempt: who, from where, with what, and when. */
static void try(struct accounts *a, const uint8_t d[4], ms_t *now)
{
	struct account_try t = {
		.from = addr_v4(192, (uint8_t)(d[1] >> 4), 2, (uint8_t)(d[1] & 15)),
		.behind = d[0] & 8,
		.user = span_str(users[d[0] & 7]),
		.secret = d[2] & 63,
		.client = d[2] >> 6,
		.mechanism = (enum sasl_mechanism)(d[0] >> 4 & 3),
		.exists = (d[0] & 7) < 4,
		.trap = (d[0] & 0xf8) == 0xf8,
		.reads = d[3] & 1,
		.open_user = d[3] >> 1 & 7,
		.open_network = d[3] >> 1 & 5,
		.right_lately = d[2] % 7 == 0 && (d[0] & 3) == ACCOUNT_RIGHT,
		.name = span_of(d, 4),
	};
	struct account_verdict v;
	struct account_done done;

	*now += d[3] < 128 ? d[3] * MS_SECOND : (ms_t)(d[3] - 127) * MS_HOUR;
	v = accounts_came(a, &t, *now, WALL + *now);
	BUG_IF(v.go > GO_LATER || v.why >= WHY_COUNT || v.delay < 0);
	BUG_IF(v.delay > a->limits.delay_max);
	BUG_IF(v.known_device && v.go == GO_REFUSE && v.why != WHY_REPEATED &&
	       v.why != WHY_LIMIT);
	BUG_IF(v.why == WHY_LIMIT && (!t.right_lately || !accounts_full(a, &t)));
	BUG_IF(v.known_device && v.go == GO_LATER);
	if (v.go != GO_CHECK)
		return;
	done = accounts_done(a, &t,
			     (enum account_outcome)(d[2] % 7 ? ACCOUNT_WRONG : d[0] & 3),
			     *now, WALL + *now);
	BUG_IF(done.verdict.why >= WHY_COUNT || done.verdict.delay < 0 ||
	       done.verdict.delay > a->limits.delay_max);
	if (done.verdict.go != GO_CHECK)
		return;
	v = accounts_enter(a, &t, *now, WALL + *now);
	BUG_IF(v.go == GO_REFUSE); /* nothing has come in between */
}

static void look(const struct accounts *a, ms_t now)
{
	struct accounts_counts counts;
	struct account_diagnosis d;
	struct account_state st;
	struct campaign_state c;
	uint8_t mem[400];
	struct buf says;

	for (size_t i = 0; i < 8; i++) {
		accounts_state(a, span_str(users[i]), now, WALL + now, &st);
		account_diagnose(&st, a->limits.places, &d);
		BUG_IF(d.kind >= ACCOUNT_KINDS || strlen(d.why) != d.why_n);
		buf_init(&says, mem, sizeof(mem));
		account_sentence(&st, d.kind, &says);
		BUG_IF(says.full);
	}
	for (size_t i = 0; i <= a->shape.campaigns; i++) {
		if (!accounts_campaign(a, i, now, &c))
			continue;
		BUG_IF(c.number == 0 || c.cadence >= CADENCE_COUNT || !c.by ||
		       strnlen(c.sample, sizeof(c.sample)) == sizeof(c.sample));
	}
	accounts_counts(a, &counts);
	BUG_IF(counts.users > a->shape.users);
}

/* A row is written over somewhere, its key excepted, so that it is still found. */
static void damage(struct accounts *a, struct span in)
{
	while (in.n > 4) {
		struct span piece = span_head(span_skip(in, 4), in.p[3]);
		enum account_table table = (enum account_table)(in.p[0] % AT_COUNT);
		uint8_t *row = rows_at(a, table, in.p[1] % rows_count(a, table));
		size_t bytes = rows_bytes(table) - sizeof(uint64_t), at = in.p[2] % bytes;

		memcpy(row + sizeof(uint64_t) + at, piece.p,
		       at + piece.n <= bytes ? piece.n : bytes - at);
		in = span_skip(in, 4 + piece.n);
	}
}

/* What follows two zeros is damage. */
static size_t tries_in(const uint8_t *data, size_t size)
{
	size_t i = 0;

	while (i + 4 <= size && (data[i] || data[i + 1]))
		i += 4;
	return i;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t n = tries_in(data, size);
	struct accounts a;
	ms_t now = NOW;

	make(&a);
	for (size_t i = 0; i < n; i += 4)
		try(&a, data + i, &now);
	look(&a, now);
	damage(&a, span_of(data + n, size - n));
	look(&a, now);
	for (size_t i = 0; i < n; i += 4)
		try(&a, data + i, &now);
	look(&a, now);
	return 0;
}
