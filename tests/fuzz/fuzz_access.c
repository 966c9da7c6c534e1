/* A blob of access lists with damaged bytes: it may answer wrongly, and nothing worse. */
#include "base/bug.h"
#include "guard/access.h"
#include "tests/unit/access_maker.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define ENTRIES 200

static struct made made;

/* Nested and apart, of both families, with and without an end. */
static void make(void)
{
	static struct made_entry e[ENTRIES];
	static const struct made_name names[] = {
		{ "example.org", ACCESS_SENDER, 0, 1, 0, ACCESS_DENY },
		{ "example.org", ACCESS_SENDER, 1, 1, 9, ACCESS_PERMIT },
		{ ".example.org", ACCESS_HELO, 1, 2, 0, ACCESS_DENY },
		{ "a@example.org", ACCESS_RECIPIENT, 2, 2, 0, ACCESS_SILENT },
	};

	made = (struct made){
		.entries = e, .count = ENTRIES, .names = names, .name_count = 4, .lists = 3
	};
	for (uint32_t i = 0; i < ENTRIES; i++) {
		struct net n = { .bits = (uint8_t)(i % 2 ? 96 + i % 33 : 30 + i % 99) };

		n.addr = addr_v4(10, (uint8_t)(i % 3), (uint8_t)(i * 7),
				 (uint8_t)(i * 13));
		if (i % 2 == 0) {
			memset(n.addr.ip, (int)(i % 5), sizeof(n.addr.ip));
			n.addr.ip[0] = 0x20;
		}
		for (unsigned bit = n.bits; bit < 128; bit++)
			n.addr.ip[bit / 8] &= (uint8_t) ~(0x80u >> bit % 8);
		e[i] = (struct made_entry){ n,
					    i * 3 / ENTRIES,
					    i + 1,
					    i % 4 ? 0 : 5 + i % 3,
					    (enum access_answer)(i % 3),
					    i % 5 == 0 };
	}
	BUG_IF(made_make(&made) != FLATTEN_DONE);
}

static uint64_t take(struct span *left, size_t n)
{
	uint64_t out = 0;

	for (size_t i = 0; i < n && left->n; i++) {
		out = out << 8 | left->p[0];
		*left = span_skip(*left, 1);
	}
	return out;
}

/* Most of the blob is the index of IPv4: half of the damage goes elsewhere. */
static void damage(uint8_t *mem, struct span *left)
{
	size_t count = take(left, 1) % 32, index = (ACCESS_BUCKETS + 1) * sizeof(uint32_t);

	for (size_t i = 0; i < count; i++) {
		size_t at = take(left, 3) % made.n;

		if (at & 1)
			at = at < 1024 ? at : 1024 + index + at % (made.n - 1024 - index);
		mem[at] = (uint8_t)take(left, 1);
	}
}

static void touch(struct span s, volatile uint8_t *sum)
{
	for (size_t i = 0; i < s.n; i++)
		*sum = (uint8_t)(*sum + s.p[i]);
}

static void ask(const uint8_t *mem, struct span *left)
{
	uint8_t kind = (uint8_t)take(left, 1);
	struct net n = { .bits = (uint8_t)(take(left, 1) % 129) };
	volatile uint8_t sum = 0;
	struct access_hit hit;
	struct access_list list;

	n.addr = made.entries[take(left, 1) % ENTRIES].net.addr;
	n.addr.ip[15] ^= (uint8_t)take(left, 1);
	n.addr.ip[take(left, 1) % 16] ^= (uint8_t)(kind & 0x80 ? 0xff : 0);
	hit = access_client(mem, made.n, &n.addr, kind % 16 * 1000);
	BUG_IF(hit.answer > ACCESS_DENY || hit.net.bits > 128);
	touch(hit.why, &sum);
	touch(hit.file, &sum);
	/* a wide block is many look-ups */
	if (n.bits >= 64)
		sum = (uint8_t)(sum +
				access_permits_any(mem, made.n, &n, kind % 16 * 1000));
	hit = access_name(mem, made.n, (enum access_of)(kind % ACCESS_OF_COUNT),
			  kind & 0x40 ? SPAN("a@example.org") : *left, 0);
	touch(hit.why, &sum);
	if (access_list(mem, made.n, kind % 4, &list))
		touch(list.file, &sum);
	access_expect(mem, made.n, &n.addr);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t *mem;
	struct span left = span_of(data, size);

	if (!mem) {
		make();
		mem = made_room(made.n);
	}
	if (size > 4096)
		return 0;
	memcpy(mem, made.mem, made.n);
	damage(mem, &left);
	if (!access_ok(mem, made.n))
		return 0;
	while (left.n)
		ask(mem, &left);
	return 0;
}
