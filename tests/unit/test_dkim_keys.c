/*
 * Keys that sign mail, with the message, the keys and the signatures of RFC 8463, appendix
 * A. Both algorithms give the same signature each time, so it must be those bytes.
 */
#include "expect.h"

#include "base/base64.h"
#include "crypt/dkim.h"
#include "crypt/sha256.h"
#include "wire/dkim.h"

static struct err err;

static const char rsa_pem[] =
	"-----BEGIN RSA PRIVATE KEY-----\n"
	"MIICXQIBAAKBgQDkHlOQoBTzWRiGs5V6NpP3idY6Wk08a5qhdR6wy5bdOKb2jLQi\n"
	"Y/J16JYi0Qvx/byYzCNb3W91y3FutACDfzwQ/BC/e/8uBsCR+yz1Lxj+PL6lHvqM\n"
	"KrM3rG4hstT5QjvHO9PzoxZyVYLzBfO2EeC3Ip3G+2kryOTIKT+l/K4w3QIDAQAB\n"
	"AoGAH0cxOhFZDgzXWhDhnAJDw5s4roOXN4OhjiXa8W7Y3rhX3FJqmJSPuC8N9vQm\n"
	"6SVbaLAE4SG5mLMueHlh4KXffEpuLEiNp9Ss3O4YfLiQpbRqE7Tm5SxKjvvQoZZe\n"
	"zHorimOaChRL2it47iuWxzxSiRMv4c+j70GiWdxXnxe4UoECQQDzJB/0U58W7RZy\n"
	"6enGVj2kWF732CoWFZWzi1FicudrBFoy63QwcowpoCazKtvZGMNlPWnC7x/6o8Gc\n"
	"uSe0ga2xAkEA8C7PipPm1/1fTRQvj1o/dDmZp243044ZNyxjg+/OPN0oWCbXIGxy\n"
	"WvmZbXriOWoSALJTjExEgraHEgnXssuk7QJBALl5ICsYMu6hMxO73gnfNayNgPxd\n"
	"WFV6Z7ULnKyV7HSVYF0hgYOHjeYe9gaMtiJYoo0zGN+L3AAtNP9huqkWlzECQE1a\n"
	"licIeVlo1e+qJ6Mgqr0Q7Aa7falZ448ccbSFYEPD6oFxiOl9Y9se9iYHZKKfIcst\n"
	"o7DUw1/hz2Ck4N5JrgUCQQCyKveNvjzkkd8HjYs0SwM0fPjK16//5qDZ2UiDGnOe\n"
	"uEzxBDAr518Z8VFbR41in3W4Y3yCDgQlLlcETrS+zYcL\n"
	"-----END RSA PRIVATE KEY-----\n";

/* the seed of the RFC behind the head that PKCS #8 has for such keys */
static const char ed25519_pem[] =
	"-----BEGIN PRIVATE KEY-----\n"
	"MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n"
	"-----END PRIVATE KEY-----\n";

static const struct span header = SPAN_INIT(
	"From: Joe SixPack <joe@football.example.com>\r\n"
	"To: Suzie Q <suzie@shopping.example.net>\r\n"
	"Subject: Is dinner ready?\r\n"
	"Date: Fri, 11 Jul 2003 21:00:37 -0700 (PDT)\r\n"
	"Message-ID: <20030712040037.46341.5F8J@football.example.com>\r\n");

static const struct span body = SPAN_INIT(
	"Hi.\r\n\r\nWe lost the game.  Are you hungry yet?\r\n\r\nJoe.\r\n\r\n");

static const struct span body_hash = SPAN_INIT(
	"2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=");

static const struct vector {
	const char *pem, *field, *signature;
} vectors[] = {
	{
		ed25519_pem,
		"DKIM-Signature: v=1; a=ed25519-sha256; c=relaxed/relaxed;\r\n"
		" d=football.example.com; i=@football.example.com;\r\n"
		" q=dns/txt; s=brisbane; t=1528637909; h=from : to :\r\n"
		" subject : date : message-id : from : subject : date;\r\n"
		" bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;\r\n b=",
		"/gCrinpcQOoIfuHNQIbq4pgh9kyIK3AQUdt9OdqQehSwhEIug4D11BusFa3bT3FY5OsU7ZbnKELq"
		"+eXdp1Q1Dw==",
	},
	{
		rsa_pem,
		"DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed;\r\n"
		" d=football.example.com; i=@football.example.com;\r\n"
		" q=dns/txt; s=test; t=1528637909; h=from : to : subject :\r\n"
		" date : message-id : from : subject : date;\r\n"
		" bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;\r\n b=",
		"F45dVWDfMbQDGHJFlXUNB2HKfbCeLRyhDXgFpEL8GwpsRe0IeIixNTe3DhCVlUrSjV4BwcVcOF6"
		"+FF3Zo9Rpo1tFOeS9mPYQTnGdaSGsgeefOsk2JzdA+L10TeYt9BgDfQNZtKdN1WO//KgIqXP7Od"
		"EFE4LjFYNcUxZQ4FADY+8=",
	},
};

static void put(void *arg, struct span bytes)
{
	sha256_put(arg, bytes);
}

static void the_body_hash_of_the_rfc_comes_out(void **unused)
{
	struct sha256 *hash = sha256_open();
	uint8_t digest[SHA256_SIZE];
	struct dkim_body b;
	BUF(text, 100);

	(void)unused;
	assert_non_null(hash);
	dkim_body_init(&b, put, hash);
	dkim_body(&b, body);
	dkim_body_end(&b);
	assert_true(sha256_end(hash, digest));
	base64_print(span_of(digest, sizeof(digest)), &text);
	expect_span("bh=", buf_span(&text), body_hash);
	sha256_close(&hash);
}

static void the_signatures_of_the_rfc_come_out(void **unused)
{
	(void)unused;
	for (size_t i = 0; i < COUNT_OF(vectors); i++) {
		struct sha256 *hash = sha256_open();
		struct dkim_secret *key = NULL;
		uint8_t digest[SHA256_SIZE];
		struct dkim_fields f;
		BUF(signature, 1000);
		BUF(text, 1400);

		assert_non_null(hash);
		expect_true("fields", dkim_fields_read(&f, header));
		dkim_signed_put(&f, span_str(vectors[i].field), put, hash);
		assert_true(sha256_end(hash, digest));
		assert_true(dkim_read(&key, span_str(vectors[i].pem), &err));
		assert_true(dkim_sign(key, span_of(digest, sizeof(digest)), &signature,
				      &err));
		base64_print(buf_span(&signature), &text);
		expect_text("b=", &text, vectors[i].signature);
		dkim_close(&key);
		sha256_close(&hash);
	}
}

static void the_public_key_is_what_the_rfc_publishes(void **unused)
{
	struct dkim_secret *key = NULL;
	BUF(text, 1000);

	(void)unused;
	assert_true(dkim_read(&key, span_str(ed25519_pem), &err));
	assert_true(dkim_public(key, &text, &err));
	expect_text("p=", &text, "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=");
	dkim_close(&key);
	assert_true(dkim_read(&key, span_str(rsa_pem), &err));
	buf_reset(&text);
	assert_true(dkim_public(key, &text, &err));
	expect_text(
		"p=", &text,
		"MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDkHlOQoBTzWRiGs5V6NpP3idY6Wk08a5qhdR6wy5bdOKb2"
		"jLQiY/J16JYi0Qvx/byYzCNb3W91y3FutACDfzwQ/BC/e/8uBsCR+yz1Lxj+PL6lHvqMKrM3rG4hstT5QjvH"
		"O9PzoxZyVYLzBfO2EeC3Ip3G+2kryOTIKT+l/K4w3QIDAQAB");
	dkim_close(&key);
}

static void a_key_that_is_made_can_be_kept_and_read(void **unused)
{
	(void)unused;
	for (int ed25519 = 0; ed25519 < 2; ed25519++) {
		struct dkim_secret *key = NULL, *again = NULL, *third;
		uint8_t digest[SHA256_SIZE] = { 1 };
		BUF(pem, DKIM_PEM_MAX);
		BUF(one, 1000);
		BUF(two, 1000);

		assert_true(dkim_make(&key, ed25519, &err));
		expect_number("algorithm", dkim_is_ed25519(key), ed25519);
		expect_true("bits", ed25519 || dkim_bits(key) == 2048);
		assert_true(dkim_write(key, &pem, &err));
		assert_true(dkim_read(&again, buf_span(&pem), &err));
		third = dkim_share(again);
		dkim_close(&again);
		assert_true(dkim_sign(key, span_of(digest, sizeof(digest)), &one, &err));
		assert_true(dkim_sign(third, span_of(digest, sizeof(digest)), &two, &err));
		expect_span("the same key", buf_span(&one), buf_span(&two));
		dkim_close(&key);
		dkim_close(&third);
	}
}

static void what_is_no_key_is_refused(void **unused)
{
	static const char *const texts[] = {
		"",
		"nonsense",
		"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
		/* P-256, for which DKIM has no algorithm */
		"-----BEGIN PRIVATE KEY-----\n"
		"MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgevZzL1gdAFr88hb2\n"
		"OF/2NxApJCzGCEDdfSp6VQO30hyhRANCAAQRWz+jn65BtOMvdyHKcvjBeBSDZH2r\n"
		"1RTwjmYSi9R/zpBnuQ4EiMnCqfMPWiZqB4QdbAd0E7oH50VpuZ1P087G\n"
		"-----END PRIVATE KEY-----\n",
	};
	struct dkim_secret *key = NULL;
	struct span digest = SPAN("too short");
	BUF(out, 1000);

	(void)unused;
	for (size_t i = 0; i < COUNT_OF(texts); i++)
		expect_false(texts[i], dkim_read(&key, span_str(texts[i]), &err));
	assert_true(dkim_read(&key, span_str(rsa_pem), &err));
	expect_false("no hash", dkim_sign(key, digest, &out, &err));
	dkim_close(&key);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_body_hash_of_the_rfc_comes_out),
		cmocka_unit_test(the_signatures_of_the_rfc_come_out),
		cmocka_unit_test(the_public_key_is_what_the_rfc_publishes),
		cmocka_unit_test(a_key_that_is_made_can_be_kept_and_read),
		cmocka_unit_test(what_is_no_key_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
