#include "conf/certs.h"

#include "spec/limits.h"

#define MAGIC SPAN("HFK1")

static void put_text(struct buf *out, struct span text)
{
	for (unsigned i = 0; i < 4; i++)
		buf_byte(out, (uint8_t)(text.n >> (8 * i)));
	buf_put(out, text);
}

void certs_begin(struct buf *out)
{
	buf_put(out, MAGIC);
}

void certs_put(struct buf *out, const struct cert *cert)
{
	put_text(out, cert->name);
	put_text(out, cert->chain);
	put_text(out, cert->key);
}

static bool take_text(struct span *left, struct span *out)
{
	size_t n = 0;

	if (left->n < 4)
		return false;
	for (unsigned i = 0; i < 4; i++)
		n |= (size_t)left->p[i] << (8 * i);
	*left = span_skip(*left, 4);
	*out = span_head(*left, n);
	*left = span_skip(*left, n);
	return out->n == n;
}

bool certs_next(struct span *left, struct cert *out)
{
	struct span rest = *left;
	struct cert c;

	if (!take_text(&rest, &c.name) || !take_text(&rest, &c.chain) ||
	    !take_text(&rest, &c.key))
		return false;
	*out = c;
	*left = rest;
	return true;
}

bool certs_open(struct span blob, struct span *left)
{
	struct span rest = span_skip(blob, MAGIC.n);
	struct cert c;
	size_t count = 0;

	if (!span_starts(blob, MAGIC))
		return false;
	while (certs_next(&rest, &c))
		count++;
	if (rest.n != 0 || count > CERTIFICATES_MAX)
		return false;
	*left = span_skip(blob, MAGIC.n);
	return true;
}
