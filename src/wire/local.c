#include "wire/local.h"

#include "wire/address.h"

bool local_split(struct span address, struct local *out)
{
	size_t at = span_find_last(address, '@');
	struct span local = span_head(address, at);
	bool quoted = local.n > 1 && local.p[0] == '"' && local.p[local.n - 1] == '"';
	struct buf b;

	if (at == address.n)
		return false;
	if (quoted)
		local = span_of(local.p + 1, local.n - 2);
	buf_init(&b, out->mem, sizeof(out->mem));
	for (size_t i = 0; i < local.n; i++) {
		if (quoted && local.p[i] == '\\' && ++i == local.n)
			return false;
		buf_byte(&b, local.p[i]);
	}
	out->text = buf_span(&b);
	out->domain = span_skip(address, at + 1);
	return !b.full;
}

bool local_join(struct span content, struct span domain, struct buf *out)
{
	uint8_t mem[2 * ADDRESS_MAX + DOMAIN_MAX + 8];
	struct address a;
	struct buf b;

	buf_init(&b, mem, sizeof(mem));
	buf_byte(&b, '"');
	for (size_t i = 0; i < content.n; i++) {
		if (content.p[i] == '"' || content.p[i] == '\\')
			buf_byte(&b, '\\');
		buf_byte(&b, content.p[i]);
	}
	buf_put(&b, SPAN("\"@"));
	buf_put(&b, domain);
	/* which takes the quotes off again, if they are not needed */
	if (b.full || !address_parse(buf_span(&b), &a) || buf_room(out) < a.n)
		return false;
	buf_put(out, address_span(&a));
	return true;
}
