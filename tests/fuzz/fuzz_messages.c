/* Between roles: whatever unpacks packs to the same bytes. */
#include "base/bug.h"
#include "base/list.h"
#include "spec/messages.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t mem[FRAME_MAX + 16];
	struct span frame = span_of(data, size), list = frame, item;
	struct buf out;

	if (size > FRAME_MAX)
		return 0;
	buf_init(&out, mem, sizeof(mem));
#define MESSAGE(id, ...)                                         \
	{                                                        \
		struct msg_##id m;                               \
		buf_reset(&out);                                 \
		if (msg_##id##_unpack(frame, &m)) {              \
			msg_##id##_pack(&m, &out);               \
			BUG_IF(!span_eq(frame, buf_span(&out))); \
		}                                                \
	}
#include "spec/messages.def"
	buf_reset(&out);
	while (list_next(&list, &item))
		list_put(&out, item);
	BUG_IF(!span_eq(buf_span(&out), span_head(frame, frame.n - list.n)));
	return 0;
}
