#include "guard/access_build.h"

#include "base/bug.h"

/*
 * Prefixes are nested or apart. So one walk over the sorted entries, with a stack of those
 * that are around where we are, meets each place where another answer begins.
 *
 * Each level of the stack has a list of nodes: the entries that have a say there, in the
 * order in which they are asked. It shares its end with the level below.
 */
struct level {
	struct access_wide last; /* the last address of the prefix */
	uint32_t head;		 /* its first node, plus 1 */
	uint32_t mark;		 /* nodes above it are of this level */
	uint8_t bits;
};

#define LEVELS 130

struct item {
	struct access_wide start, last;
	uint32_t line, info, until;
	uint8_t bits, list, answer;
};

struct sweep {
	struct access_build *b;
	bool v4;
	size_t depth;
	struct level level[LEVELS];
	uint32_t nodes;
	enum flatten failed;
	uint8_t reach; /* the widest prefix of the last segment inside of a /64 */
};

static struct access_node *node(const struct sweep *s, uint32_t number)
{
	return &s->b->nodes[number - 1];
}

static struct access_wide last_of(struct access_wide start, unsigned bits)
{
	return (struct access_wide){ start.hi | ~access_upper(bits),
				     start.lo |
					     ~(bits > 64 ? access_upper(bits - 64) : 0) };
}

static bool less(struct access_wide a, struct access_wide b)
{
	return a.hi < b.hi || (a.hi == b.hi && a.lo < b.lo);
}

static bool same(struct access_wide a, struct access_wide b)
{
	return a.hi == b.hi && a.lo == b.lo;
}

static struct access_wide after(struct access_wide a)
{
	return (struct access_wide){ a.hi + (a.lo == UINT64_MAX), a.lo + 1 };
}

static uint32_t new_node(struct sweep *s, const struct access_node *n)
{
	if (s->nodes == ACCESS_NODES) {
		s->failed = FLATTEN_NODES;
		return 0;
	}
	s->b->nodes[s->nodes] = *n;
	s->b->nodes[s->nodes].value = VALUE_NONE;
	return ++s->nodes;
}

/* What is asked when all entries of a list have run out: the next list. */
static uint32_t skip_list(const struct sweep *s, uint32_t at, uint8_t list)
{
	while (at && node(s, at)->list == list)
		at = node(s, at)->behind;
	return at;
}

static uint32_t find_repeated(const struct sweep *s, const struct item *e, uint32_t at)
{
	for (; at && node(s, at)->list == e->list && node(s, at)->bits == e->bits;
	     at = node(s, at)->behind)
		if (node(s, at)->answer == e->answer)
			return at;
	return 0;
}

/* Does another entry of the list hold here for good, whatever this one says? */
static bool is_settled(const struct sweep *s, const struct item *e, uint32_t at)
{
	bool first = s->b->first_match[e->list];

	for (; at && node(s, at)->list == e->list; at = node(s, at)->behind) {
		const struct access_node *n = node(s, at);

		if (first)
			return n->line < e->line;
		if (n->bits != e->bits)
			return false;
		if (n->until == 0)
			return true;
	}
	return false;
}

/* The nodes from `at` on, with the entry among them. */
static uint32_t with(struct sweep *s, const struct item *e, uint32_t at)
{
	struct access_node copied, new = { .info = e->info,
					   .line = e->line,
					   .list = e->list,
					   .bits = e->bits,
					   .answer = e->answer,
					   .until = e->until };
	bool ours, earlier;

	if (s->failed)
		return 0;
	ours = at && node(s, at)->list == e->list;
	earlier = at && node(s, at)->list < e->list;
	/* of the same prefix, the earlier line is asked first */
	if (earlier ||
	    (ours && !s->b->first_match[e->list] && node(s, at)->bits == e->bits)) {
		copied = *node(s, at);
		copied.behind = with(s, e, copied.behind);
		return new_node(s, &copied);
	}
	new.behind = e->until ? at : skip_list(s, at, e->list);
	return new_node(s, &new);
}

static uint32_t list_begin(const struct sweep *s, uint32_t at, uint8_t list)
{
	while (at && node(s, at)->list < list)
		at = node(s, at)->behind;
	return at;
}

static uint32_t new_chain(struct sweep *s, uint32_t info, uint32_t behind)
{
	struct access_build *b = s->b;

	if (b->chain_count == b->chain_room || b->chain_count == VALUE_NUMBER) {
		s->failed = FLATTEN_CHAINS;
		return 0;
	}
	b->chains[b->chain_count] = (struct access_chain){ info, behind };
	return VALUE_CHAIN | (uint32_t)b->chain_count++;
}

/*
 * As long as it holds its list has no answer, then the list is asked further: meanwhile the
 * lists behind it count, which are behind a chain of their own.
 */
static uint32_t passing_chain(struct sweep *s, uint32_t info, uint32_t lists,
			      uint32_t rest)
{
	if (lists == VALUE_NONE)
		return new_chain(s, info, rest);
	(void)new_chain(s, info, lists);
	return s->failed ? 0 : new_chain(s, info | CHAIN_PASSES, rest);
}

static void widen(struct sweep *s, struct access_node *n, uint32_t by)
{
	if (by && node(s, by)->widest < n->widest)
		n->widest = node(s, by)->widest;
}

/* The value that these nodes come to. VALUE_NONE: there are none. */
static uint32_t value_of(struct sweep *s, uint32_t at)
{
	struct access_node *n;
	uint32_t rest = VALUE_NONE, lists = VALUE_NONE, other;

	if (!at || s->failed)
		return VALUE_NONE;
	n = node(s, at);
	if (n->value != VALUE_NONE)
		return n->value;
	n->widest = n->bits;
	other = skip_list(s, n->behind, n->list);
	if (n->until || n->answer == ACCESS_SILENT)
		rest = value_of(s, n->behind);
	if (n->answer == ACCESS_SILENT)
		lists = value_of(s, other);
	if (s->failed)
		return VALUE_NONE;
	if (rest != VALUE_NONE)
		widen(s, n, n->behind);
	if (lists != VALUE_NONE)
		widen(s, n, other);
	if (rest == VALUE_NONE)
		n->value = n->info;
	else if (n->answer != ACCESS_SILENT)
		n->value = new_chain(s, n->info, rest);
	else
		n->value = rest == lists ? rest : passing_chain(s, n->info, lists, rest);
	return n->value;
}

static void put4(struct access_build *b, uint32_t start, uint32_t value)
{
	struct access_segment4 *last = b->count4 ? &b->segments4[b->count4 - 1] : NULL;

	if (last && last->start == start)
		last->value = value;
	else
		b->segments4[b->count4++] = (struct access_segment4){ start, value };
}

static uint32_t start_mask(uint32_t value)
{
	return (uint32_t)(access_upper(value >> VALUE_SHIFT) >> 32);
}

/* A bucket knows only its own: what reaches into it from before begins in it again. */
static void reach4(struct access_build *b, uint32_t start)
{
	const struct access_segment4 *last;
	uint32_t next;

	while (b->count4) {
		last = &b->segments4[b->count4 - 1];
		next = (last->start & 0xffff0000u) + 0x10000u;
		if (next == 0 || next >= start ||
		    ((next ^ last->start) & start_mask(last->value)) != 0)
			break;
		put4(b, next, last->value);
	}
}

static void put6(struct access_segment6 *segments, size_t *count,
		 struct access_wide start, uint32_t value)
{
	struct access_segment6 *last = *count ? &segments[*count - 1] : NULL;

	if (last && same(last->start, start))
		last->value = value;
	else
		segments[(*count)++] = (struct access_segment6){ .start = start,
								 .value = value };
}

/* Each /64 that has more inside begins anew. */
static void put_deep(struct access_build *b, struct access_wide start, uint32_t value)
{
	const struct access_segment6 *last = b->count_deep ? &b->deep[b->count_deep - 1]
							   : NULL;

	if (!last || last->value != value || last->start.hi != start.hi)
		put6(b->deep, &b->count_deep, start, value);
}

/* From here on it is this level's. */
static void emit(struct sweep *s, const struct level *l, struct access_wide start)
{
	struct access_build *b = s->b;
	uint32_t value = value_of(s, l->head);

	if (value == VALUE_NONE || s->failed)
		return;
	if (!s->v4 && l->bits > 64) {
		put_deep(b, start, value);
		s->reach = node(s, l->head)->widest;
	} else if (!s->v4) {
		if (!b->count6 || b->segments6[b->count6 - 1].value != value)
			put6(b->segments6, &b->count6, start, value);
	} else {
		uint32_t a = (uint32_t)start.lo;

		value |= (node(s, l->head)->widest - 96u) << VALUE_SHIFT;
		reach4(b, a);
		if (b->count4 == 0 || b->segments4[b->count4 - 1].value != value ||
		    b->segments4[b->count4 - 1].start >> 16 != a >> 16)
			put4(b, a, value);
	}
}

/*
 * Behind a prefix inside of a /64 comes what the table of /64s says. If the last segment
 * stands for wider prefixes as well it would go on, so it needs an end.
 */
static void end_deep(struct sweep *s, struct access_wide last)
{
	if (s->reach <= 64 && last.lo != UINT64_MAX)
		put_deep(s->b, after(last), VALUE_NONE);
}

/* Leave the prefixes that end before `start`; what is around them goes on behind them. */
static void leave(struct sweep *s, const struct access_wide *start)
{
	while (s->depth && (!start || less(s->level[s->depth - 1].last, *start))) {
		struct level left = s->level[--s->depth];
		struct level *now = s->depth ? &s->level[s->depth - 1] : NULL;

		s->nodes = left.mark;
		if (!s->v4 && left.bits > 64 && (!now || now->bits <= 64))
			end_deep(s, left.last);
		else if (now && less(left.last, now->last))
			emit(s, now, after(left.last));
	}
}

/* The same again: whichever holds longer. What was worked out for this level is void. */
static void replace(struct sweep *s, const struct item *e, uint32_t at,
		    const struct level *l)
{
	struct access_node *n = node(s, at);

	s->b->repeated++;
	if (!access_outlasts(e->until, n->until))
		return;
	n->info = e->info;
	n->line = e->line;
	n->until = e->until;
	if (n->until == 0)
		n->behind = skip_list(s, n->behind, n->list);
	for (uint32_t i = l->mark + 1; i <= s->nodes; i++)
		node(s, i)->value = VALUE_NONE;
	emit(s, l, e->start);
}

static void enter(struct sweep *s, const struct item *e)
{
	struct level *l = s->depth ? &s->level[s->depth - 1] : NULL;
	bool again = l && l->bits == e->bits;
	uint32_t around = l ? l->head : 0, ours = list_begin(s, around, e->list), same_one;

	if (is_settled(s, e, ours)) {
		s->b->repeated += again;
		return;
	}
	same_one = again ? find_repeated(s, e, ours) : 0;
	if (same_one) {
		replace(s, e, same_one, l);
		return;
	}
	if (!again) {
		BUG_IF(s->depth == LEVELS);
		l = &s->level[s->depth++];
		*l = (struct level){ .last = e->last, .mark = s->nodes, .bits = e->bits };
	}
	l->head = with(s, e, around);
	emit(s, l, e->start);
}

static uint32_t info_of(struct access_build *b, uint32_t more, struct access_info info)
{
	size_t number = more ? more - 1 : b->info_count++;

	b->infos[number] = info;
	return (uint32_t)number;
}

/* One more entry, whose other end, information and time are looked up. more: of its row. */
static void sweep(struct sweep *s, struct item *e, uint32_t more)
{
	struct access_build *b = s->b;

	e->last = last_of(e->start, e->bits);
	e->until = more ? b->more[more - 1].until : 0;
	e->info = info_of(b, more,
			  (struct access_info){ .line = e->line,
						.list = e->list,
						.bits = e->bits,
						.answer = e->answer });
	leave(s, &e->start);
	enter(s, e);
}

static void sweep_v4(struct sweep *s)
{
	struct access_build *b = s->b;

	for (size_t i = 0; i < b->v4_count && !s->failed; i++) {
		const struct access_v4 *e = &b->v4[i];

		sweep(s,
		      &(struct item){ .start = { 0, (uint64_t)0xffff << 32 | e->start },
				      .line = e->line,
				      .bits = (uint8_t)(e->bits + 96),
				      .list = e->list,
				      .answer = e->answer },
		      e->more);
	}
	leave(s, NULL);
	reach4(b, UINT32_MAX);
}

static void sweep_v6(struct sweep *s)
{
	struct access_build *b = s->b;

	for (size_t i = 0; i < b->v6_count && !s->failed; i++) {
		const struct access_v6 *e = &b->v6[i];

		sweep(s,
		      &(struct item){ .start = { e->hi, e->lo },
				      .line = e->line,
				      .bits = e->bits,
				      .list = e->list,
				      .answer = e->answer },
		      e->more);
	}
	leave(s, NULL);
}

enum flatten access_flatten(struct access_build *b)
{
	struct sweep s = { .b = b, .v4 = true };

	b->info_count = b->more_count;
	b->chain_count = b->count4 = b->count6 = b->count_deep = b->repeated = 0;
	b->segments4 = (struct access_segment4 *)(void *)b->v4_spare;
	sweep_v4(&s);
	if (s.failed)
		return s.failed;
	s = (struct sweep){ .b = b };
	sweep_v6(&s);
	return s.failed;
}
