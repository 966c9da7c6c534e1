/* A key set, as the web has it. */
#include "base/bug.h"
#include "crypt/jwt.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char token[] =
		"eyJhbGciOiJFUzI1NiJ9.e30.DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-"
		"F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";
	const struct jwt_wanted want = { .issuer = "", .audience = "", .user = "sub" };
	char user[USER_MAX + 1];
	struct jwt_keys *keys;
	struct err err;

	if (!jwt_keys_open(&keys, span_of(data, size), &err))
		return 0;
	BUG_IF(jwt_keys_count(keys) == 0 || jwt_keys_count(keys) > JWT_KEYS_MAX);
	/* whatever they are, this is not signed by any of them */
	BUG_IF(jwt_check(keys, span_str(token), &want, user) == JWT_RIGHT);
	jwt_keys_close(&keys);
	BUG_IF(keys);
	return 0;
}
