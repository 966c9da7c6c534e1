#include "base/rcptmap.h"

#include "base/bug.h"
#include "base/siphash.h"

#define MAGIC	    0x48465232u /* "HFR2" */
#define SLOTS_MIN   16
#define ADDRESS_CAP 512 /* longer ones are in no map */

size_t rcptmap_size(size_t entries)
{
	size_t slots = SLOTS_MIN;

	/* at most half full, so that a look-up ends soon */
	while (slots / 2 < entries)
		slots *= 2;
	return sizeof(struct rcptmap_head) + slots * sizeof(struct rcptmap_slot);
}

/*
 * How many slots fit. The head says it too, but readers do not ask it: who writes the map
 * could change it under their hands.
 */
static size_t slots_in(size_t n)
{
	return (n - sizeof(struct rcptmap_head)) / sizeof(struct rcptmap_slot);
}

void rcptmap_init(void *mem, size_t n, const uint64_t key[2], uint64_t generation,
		  struct span detail)
{
	struct rcptmap_head *head = mem;

	BUG_IF(n < sizeof(*head) || detail.n >= sizeof(head->detail));
	*head = (struct rcptmap_head){
		.magic = MAGIC,
		.slots = (uint32_t)slots_in(n),
		.key = { key[0], key[1] },
		.generation = generation,
	};
	if (detail.n)
		memcpy(head->detail, detail.p, detail.n);
	BUG_IF(!rcptmap_ok(mem, n));
}

bool rcptmap_ok(const void *mem, size_t n)
{
	const struct rcptmap_head *head = mem;
	size_t slots;

	if (n < sizeof(*head) || (uintptr_t)mem % _Alignof(struct rcptmap_head))
		return false;
	slots = slots_in(n);
	return head->magic == MAGIC && slots >= SLOTS_MIN && (slots & (slots - 1)) == 0 &&
	       head->slots == slots &&
	       n == sizeof(*head) + slots * sizeof(struct rcptmap_slot);
}

static const struct rcptmap_slot *slots_of(const void *mem)
{
	return (const struct rcptmap_slot *)((const struct rcptmap_head *)mem + 1);
}

/* 0 means that a slot is free, so no key may have it. */
static uint64_t hash(const struct rcptmap_head *head, struct span text)
{
	uint8_t lower[ADDRESS_CAP];
	uint64_t h;

	for (size_t i = 0; i < text.n; i++)
		lower[i] = byte_lower(text.p[i]);
	h = siphash(head->key, span_of(lower, text.n));
	return h ? h : 1;
}

/* The slot of that text, or the free one where it would go, or NULL. */
static const struct rcptmap_slot *find(const void *mem, size_t n, struct span text)
{
	const struct rcptmap_slot *slots = slots_of(mem);
	size_t count = slots_in(n);
	uint64_t h;

	if (text.n == 0 || text.n > ADDRESS_CAP)
		return NULL;
	h = hash(mem, text);
	for (size_t i = 0; i < count; i++) {
		const struct rcptmap_slot *s = &slots[(h + i) & (count - 1)];

		if (s->hash == h || s->hash == 0)
			return s;
	}
	return NULL;
}

/* The same slot, for those who were given the map to write. */
static struct rcptmap_slot *find_mine(void *mem, size_t n, struct span text)
{
	const struct rcptmap_slot *at = find(mem, n, text);

	return at ? (struct rcptmap_slot *)((struct rcptmap_head *)mem + 1) +
			       (at - slots_of(mem))
		  : NULL;
}

bool rcptmap_put(void *mem, size_t n, struct span address, unsigned flags)
{
	struct rcptmap_slot *s = find_mine(mem, n, address);

	if (!s)
		return false;
	s->hash = hash(mem, address);
	s->flags |= flags;
	return true;
}

void rcptmap_mark_full(void *mem, size_t n, struct span address, bool full)
{
	struct rcptmap_slot *s = find_mine(mem, n, address);

	if (!s || s->hash == 0)
		return;
	if (full)
		__atomic_fetch_or(&s->flags, RCPT_FULL, __ATOMIC_RELAXED);
	else
		__atomic_fetch_and(&s->flags, ~(unsigned)RCPT_FULL, __ATOMIC_RELAXED);
}

void rcptmap_mark_stale(void *mem)
{
	__atomic_store_n(&((struct rcptmap_head *)mem)->stale, 1, __ATOMIC_RELAXED);
}

bool rcptmap_is_stale(const void *mem)
{
	const struct rcptmap_head *head = mem;

	return __atomic_load_n(&head->stale, __ATOMIC_RELAXED) != 0;
}

static unsigned flags_of(const void *mem, size_t n, struct span text)
{
	const struct rcptmap_slot *s = find(mem, n, text);

	return s && s->hash ? __atomic_load_n(&s->flags, __ATOMIC_RELAXED) : 0;
}

size_t rcptmap_detail(struct span local, struct span detail)
{
	for (size_t i = 1; i < local.n; i++)
		if (span_find(detail, local.p[i]) < detail.n)
			return i;
	return local.n;
}

/* The flags of user@domain for user+detail@domain. */
static unsigned flags_without_detail(const void *mem, size_t n, struct span local,
				     struct span domain)
{
	const struct rcptmap_head *head = mem;
	struct span detail = span_of(head->detail, sizeof(head->detail));
	uint8_t plain[ADDRESS_CAP];
	size_t at;

	detail = span_head(detail, span_find(detail, '\0'));
	at = rcptmap_detail(local, detail);
	if (at == local.n || at + domain.n > sizeof(plain))
		return 0;
	memcpy(plain, local.p, at);
	memcpy(plain + at, domain.p, domain.n);
	return flags_of(mem, n, span_of(plain, at + domain.n));
}

/*
 * Addresses that we made ourselves for bounces to come back to (SRS, BATV): they hold a
 * code that only the store can check.
 */
static bool is_made(struct span local)
{
	static const struct span marks[] = { SPAN_INIT("srs0"), SPAN_INIT("srs1"),
					     SPAN_INIT("prvs=") };

	for (size_t i = 0; i < COUNT_OF(marks); i++)
		if (local.n > marks[i].n &&
		    span_eq_nocase(span_head(local, marks[i].n), marks[i]))
			return i == 2 || local.p[4] == '=' || local.p[4] == '+' ||
			       local.p[4] == '-';
	return false;
}

enum rcpt_answer rcptmap_look_up(const void *mem, size_t n, struct span address)
{
	size_t at = span_find_last(address, '@');
	struct span local = span_head(address, at), domain = span_skip(address, at);
	unsigned flags = flags_of(mem, n, address), ours;

	if (!(flags & RCPT_EXISTS) && domain.n)
		flags = flags_without_detail(mem, n, local, domain);
	if (flags & RCPT_EXISTS)
		return flags & RCPT_FULL ? RCPT_IS_FULL : RCPT_IS_KNOWN;
	if (domain.n == 0)
		return RCPT_IS_UNKNOWN;
	ours = flags_of(mem, n, domain);
	if (!(ours & (RCPT_DOMAIN | RCPT_ANY | RCPT_ASK)))
		return RCPT_IS_FOREIGN;
	if (is_made(local))
		return RCPT_IS_ASK;
	return ours & RCPT_ANY	 ? RCPT_IS_KNOWN
	       : ours & RCPT_ASK ? RCPT_IS_ASK
				 : RCPT_IS_UNKNOWN;
}
