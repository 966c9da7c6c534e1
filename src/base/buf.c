#include "base/buf.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/bug.h"

void buf_init(struct buf *b, void *mem, size_t cap)
{
	*b = (struct buf){ .mem = mem, .cap = cap };
}

void buf_reset(struct buf *b)
{
	b->len = 0;
	b->full = false;
}

void buf_put(struct buf *b, struct span s)
{
	if (b->full || s.n > b->cap - b->len) {
		b->full = true;
		return;
	}
	if (s.n)
		memcpy(b->mem + b->len, s.p, s.n);
	b->len += s.n;
}

void buf_byte(struct buf *b, uint8_t c)
{
	if (b->full || b->len == b->cap)
		b->full = true;
	else
		b->mem[b->len++] = c;
}

void buf_number(struct buf *b, uint64_t n)
{
	uint8_t digits[20];
	size_t at = sizeof(digits);

	do {
		digits[--at] = (uint8_t)('0' + n % 10);
		n /= 10;
	} while (n);
	buf_put(b, span_of(digits + at, sizeof(digits) - at));
}

void buf_fmt(struct buf *b, const char *fmt, ...)
{
	va_list args;
	int n;

	if (b->full)
		return;
	va_start(args, fmt);
	n = vsnprintf((char *)b->mem + b->len, b->cap - b->len, fmt, args);
	va_end(args);
	/* vsnprintf needs one byte more than it keeps, for its NUL */
	if (n < 0 || (size_t)n >= b->cap - b->len)
		b->full = true;
	else
		b->len += (size_t)n;
}

void buf_drop(struct buf *b, size_t n)
{
	BUG_IF(n > b->len);
	b->len -= n;
	if (b->len && n)
		memmove(b->mem, b->mem + n, b->len);
}

void buf_put_lower(struct buf *b, struct span s)
{
	for (size_t i = 0; i < s.n; i++)
		buf_byte(b, byte_lower(s.p[i]));
}
