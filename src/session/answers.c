#include "session/answers.h"

#include "base/bug.h"
#include "base/list.h"
#include "spec/limits.h"
#include "wire/smtp_peer.h"

#define SHORTEST 4 /* "250 " */

/* In a list, too, an answer has two bytes in front: so if the slots fit, the list does. */
struct slot {
	uint8_t state;
	uint8_t n;
	uint8_t text[];
};

static size_t slot_size(size_t count)
{
	size_t most = sizeof(struct slot) + SMTP_PEER_TEXT;

	return LIST_FRAME_MAX / count < most ? LIST_FRAME_MAX / count : most;
}

static struct slot *slot(const struct answers *a, size_t i)
{
	BUG_IF(i >= a->count);
	return (struct slot *)(a->mem + i * slot_size(a->count));
}

bool answers_possible(size_t count)
{
	return count > 0 && count <= LIST_FRAME_MAX / (sizeof(struct slot) + SHORTEST);
}

size_t answers_room(size_t count)
{
	return count * slot_size(count);
}

void answers_init(struct answers *a, void *mem, size_t count)
{
	BUG_IF(!answers_possible(count));
	memset(mem, 0, answers_room(count));
	*a = (struct answers){ .mem = mem, .count = count };
}

enum answer_state answers_get(const struct answers *a, size_t i)
{
	return (enum answer_state)slot(a, i)->state;
}

void answers_mark(struct answers *a, size_t i, enum answer_state state)
{
	slot(a, i)->state = (uint8_t)state;
}

void answers_put(struct answers *a, size_t i, enum answer_state state, int code,
		 struct span text)
{
	struct slot *s = slot(a, i);
	uint8_t mem[SHORTEST + SMTP_PEER_TEXT + 1];
	struct buf whole;

	buf_init(&whole, mem, sizeof(mem));
	buf_fmt(&whole, "%03d ", code);
	buf_put(&whole, span_head(text, SMTP_PEER_TEXT));
	s->state = (uint8_t)state;
	s->n = (uint8_t)span_head(buf_span(&whole), slot_size(a->count) - sizeof(*s)).n;
	memcpy(s->text, mem, s->n);
}

void answers_settle_all(struct answers *a, enum answer_state which, int code,
			struct span text)
{
	for (size_t i = 0; i < a->count; i++)
		if (answers_get(a, i) == which)
			answers_put(a, i, ANSWER_SETTLED, code, text);
}

void answers_settle_rest(struct answers *a, int code, struct span text)
{
	for (size_t i = 0; i < a->count; i++) {
		if (answers_get(a, i) == ANSWER_UNTRIED && slot(a, i)->n)
			answers_mark(a, i, ANSWER_SETTLED);
		if (answers_get(a, i) != ANSWER_SETTLED)
			answers_put(a, i, ANSWER_SETTLED, code, text);
	}
}

size_t answers_find(const struct answers *a, size_t from, enum answer_state state)
{
	while (from < a->count && answers_get(a, from) != state)
		from++;
	return from;
}

void answers_print_one(const struct answers *a, size_t i, struct buf *out)
{
	const struct slot *s = slot(a, i);

	buf_put(out, span_of(s->text, s->n));
}

void answers_print(const struct answers *a, struct buf *out)
{
	for (size_t i = 0; i < a->count; i++) {
		const struct slot *s = slot(a, i);

		BUG_IF(s->state != ANSWER_SETTLED);
		list_put(out, span_of(s->text, s->n));
	}
}
