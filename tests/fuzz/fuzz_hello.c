/*
 * Any bytes are read as a ClientHello: there is a text of the full length and a hash, or
 * neither, and the same bytes say the same.
 */
#include "base/bug.h"
#include "io/hello.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct hello one, other;

	hello_read(span_of(data, size), &one);
	hello_read(span_of(data, size), &other);
	BUG_IF(one.text_n != 0 && one.text_n != 36);
	BUG_IF((one.text_n != 0) != (one.hash != 0));
	BUG_IF(memcmp(&one, &other, sizeof(one)) != 0);
	for (size_t i = 0; i < one.text_n; i++)
		BUG_IF(one.text[i] < ' ' || one.text[i] > '~');
	return 0;
}
