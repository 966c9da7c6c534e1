#include "spec/messages.h"

#include "base/list.h"

/* clang-format off */
const struct message_row message_table[MESSAGE_COUNT] = {
	[MSG_NONE] = { "none", ROLE_ANY, ROLE_ANY, 0, 0, "Nothing." },
#define MESSAGE(id, word, from, to, fds_min, fds_max, doc, ...) \
	[MSG_##id] = { word, ROLE_##from, ROLE_##to, fds_min, fds_max, doc },
#include "spec/messages.def"
};
/* clang-format on */

enum message message_kind(struct span frame)
{
	if (frame.n == 0 || frame.p[0] == MSG_NONE || frame.p[0] >= MESSAGE_COUNT)
		return MSG_NONE;
	return (enum message)frame.p[0];
}

static void put_number(struct buf *out, uint64_t n, size_t bytes)
{
	uint8_t le[8];

	for (size_t i = 0; i < bytes; i++)
		le[i] = (uint8_t)(n >> (8 * i));
	buf_put(out, span_of(le, bytes));
}

static void put_text(struct buf *out, struct span s)
{
	put_number(out, s.n, 4);
	buf_put(out, s);
}

static void put_who(struct buf *out, const struct endpoint *who)
{
	buf_put(out, span_of(who->addr.ip, sizeof(who->addr.ip)));
	put_number(out, who->port, 2);
}

/* A cursor that stays failed: read along, look once. */
struct reader {
	struct span left;
	bool failed;
};

static struct span take(struct reader *r, size_t n)
{
	struct span got = span_head(r->left, n);

	if (r->failed || got.n != n) {
		r->failed = true;
		return SPAN_NONE;
	}
	r->left = span_skip(r->left, n);
	return got;
}

static uint64_t take_number(struct reader *r, size_t bytes)
{
	struct span got = take(r, bytes);
	uint64_t n = 0;

	for (size_t i = 0; i < got.n; i++)
		n |= (uint64_t)got.p[i] << (8 * i);
	return n;
}

static struct span take_text(struct reader *r, size_t max)
{
	size_t n = (size_t)take_number(r, 4);

	if (n > max)
		r->failed = true;
	return take(r, n);
}

static struct span take_list(struct reader *r, size_t max)
{
	struct span list = take_text(r, max);

	if (!list_ok(list))
		r->failed = true;
	return list;
}

static struct endpoint take_who(struct reader *r)
{
	struct endpoint who = { 0 };
	struct span ip = take(r, sizeof(who.addr.ip));

	if (ip.n)
		memcpy(who.addr.ip, ip.p, ip.n);
	who.port = (uint16_t)take_number(r, 2);
	return who;
}

/* clang-format off */
#define U8(name)        put_number(out, m->name, 1);
#define U16(name)       put_number(out, m->name, 2);
#define U32(name)       put_number(out, m->name, 4);
#define U64(name)       put_number(out, m->name, 8);
#define I64(name)       put_number(out, (uint64_t)m->name, 8);
#define WHO(name)       put_who(out, &m->name);
#define TEXT(name, max) put_text(out, m->name);
#define LIST(name, max) put_text(out, m->name);
#define MESSAGE(id, word, from, to, fds_min, fds_max, doc, ...)         \
	void msg_##id##_pack(const struct msg_##id *m, struct buf *out) \
	{                                                               \
		buf_byte(out, MSG_##id);                                \
		__VA_ARGS__                                             \
	}
#include "spec/messages.def"
#undef U8
#undef U16
#undef U32
#undef U64
#undef I64
#undef WHO
#undef TEXT
#undef LIST

#define U8(name)        m.name = (uint8_t)take_number(&r, 1);
#define U16(name)       m.name = (uint16_t)take_number(&r, 2);
#define U32(name)       m.name = (uint32_t)take_number(&r, 4);
#define U64(name)       m.name = take_number(&r, 8);
#define I64(name)       m.name = (int64_t)take_number(&r, 8);
#define WHO(name)       m.name = take_who(&r);
#define TEXT(name, max) m.name = take_text(&r, max);
#define LIST(name, max) m.name = take_list(&r, max);
#define MESSAGE(id, word, from, to, fds_min, fds_max, doc, ...)           \
	bool msg_##id##_unpack(struct span frame, struct msg_##id *out)   \
	{                                                                 \
		struct reader r = { .left = span_skip(frame, 1) };        \
		struct msg_##id m = { 0 };                                \
		if (message_kind(frame) != MSG_##id)                      \
			return false;                                     \
		__VA_ARGS__                                               \
		if (r.failed || r.left.n != 0)                            \
			return false;                                     \
		*out = m;                                                 \
		return true;                                              \
	}
#include "spec/messages.def"
/* clang-format on */
