#include "guard/inside.h"

static struct memory_note *slot(const struct memory *m, uint64_t number)
{
	return &m->notes[number % NOTES];
}

/*
 * Who cannot have the lock moves the end on by a whole ring: every reader sees that it
 * has lost something, and walks the rows.
 */
void memory_note(const struct memory *m, const struct ban_note *note)
{
	struct memory_head *h = m->head;
	struct memory_note *n;
	uint64_t number;

	if (!lock_take(m, &h->notes_lock)) {
		__atomic_add_fetch(&h->notes_end, NOTES + 1, __ATOMIC_RELEASE);
		return;
	}
	number = __atomic_load_n(&h->notes_end, __ATOMIC_RELAXED);
	n = slot(m, number);
	__atomic_store_n(&n->stamp, 0, __ATOMIC_RELAXED);
	__atomic_thread_fence(__ATOMIC_RELEASE);
	n->note = *note;
	__atomic_store_n(&n->stamp, number + 1, __ATOMIC_RELEASE);
	__atomic_add_fetch(&h->notes_end, 1, __ATOMIC_RELEASE);
	lock_free(&h->notes_lock);
}

uint64_t memory_notes_end(const struct memory *m)
{
	return __atomic_load_n(&m->head->notes_end, __ATOMIC_ACQUIRE);
}

static bool note_ok(const struct ban_note *n)
{
	return guard_key_ok(n->key) && n->ban.step < STEP_COUNT &&
	       n->ban.rule < RULE_COUNT;
}

/* A copy that nobody wrote to meanwhile, and that may be believed to be a note. */
static bool read_note(const struct memory *m, uint64_t number, struct ban_note *out)
{
	const struct memory_note *n = slot(m, number);
	uint8_t over;

	if (__atomic_load_n(&n->stamp, __ATOMIC_ACQUIRE) != number + 1)
		return false;
	*out = n->note;
	memcpy(&over, &n->note.over, 1);
	out->over = over != 0;
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	return __atomic_load_n(&n->stamp, __ATOMIC_RELAXED) == number + 1 && note_ok(out);
}

bool memory_next_note(const struct memory *m, uint64_t *at, struct ban_note *out,
		      bool *lost)
{
	uint64_t end = memory_notes_end(m);

	*lost = false;
	if (*at > end || end - *at > NOTES) {
		*at = end;
		*lost = true;
		return false;
	}
	while (*at < end) {
		if (read_note(m, (*at)++, out))
			return true;
		*lost = true;
	}
	return false;
}
