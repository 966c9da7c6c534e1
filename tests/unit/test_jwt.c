/* Signed tokens: the examples of the RFCs, and what must not be taken. */
#include "token_maker.h"

#include "crypt/jwt.h"

#define WALL 1800000000

static EVP_PKEY *rsa, *short_rsa, *p256, *p384, *ed, *other_rsa;
static struct jwt_keys *keys;
static char user[USER_MAX + 1];
static struct err err;

static const struct jwt_wanted want = {
	.issuer = "https://id.example", .audience = "mail", .user = "email", .wall = WALL
};

#define GOOD                                                                                    \
	"\"iss\":\"https://id.example\",\"aud\":\"mail\",\"exp\":1800000300,\"email\":\"Bob@Ex" \
	"ample.org\""

/* ---- the examples of the RFCs ---------------------------------------------------- */
static struct jwt_keys *keys_of(const char *json)
{
	struct jwt_keys *k = NULL;

	expect_true(json, jwt_keys_open(&k, span_str(json), &err));
	return k;
}

static void the_example_of_rfc_7515_is_right(void **unused)
{
	static const char set[] =
		"{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\","
		"\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\","
		"\"y\":\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0\"}]}";
	static const char token[] =
		"eyJhbGciOiJFUzI1NiJ9."
		"eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19"
		"yb290Ijp0cnVlfQ."
		"DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-K"
		"g6NU1Q";
	struct jwt_wanted joe = {
		.issuer = "joe", .audience = "", .user = "iss", .wall = 1300819379
	};
	struct jwt_keys *k = keys_of(set);

	(void)unused;
	assert_int_equal(jwt_check(k, span_str(token), &joe, user), JWT_RIGHT);
	assert_string_equal(user, "joe");
	joe.wall = 1300819380 + 60;
	assert_int_equal(jwt_check(k, span_str(token), &joe, user), JWT_EXPIRED);
	jwt_keys_close(&k);
}

/* As python3-jwt writes one key of 128: y begins with a zero byte, which is left out. */
static void a_coordinate_may_lack_the_zeros_in_front(void **unused)
{
	static const char set[] = "{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\","
				  "\"x\":\"-_Bfz5xL5FTU2ChDBtkIr3_YkP9E84nYiyzl9YUMfOA\","
				  "\"y\":\"k4QDayekdga4j2dC-qFCdGHH7GrLPRHPzhHANQjbMw\"}]}";
	static const char token[] =
		"eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLCJleHAiOjEzMDA4MTkzODB9."
		"g5KWMUSGRwZRJItWNd9bPfUIcEGRBWJzg2Jl8otPmnp"
		"nf32IdZxqHL_67W279k6pBe80BrcMFNIqzt_nZjGJ-Q";
	struct jwt_wanted joe = {
		.issuer = "joe", .audience = "", .user = "iss", .wall = 1300819379
	};
	struct jwt_keys *k = keys_of(set);

	(void)unused;
	assert_int_equal(jwt_check(k, span_str(token), &joe, user), JWT_RIGHT);
	jwt_keys_close(&k);
}

/* What is signed there is a sentence and no claims; but the signature comes first. */
static void the_example_of_rfc_8037_is_signed_right(void **unused)
{
	static const char set[] =
		"{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"Ed25519\","
		"\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}]}";
	char token[] = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc."
		       "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt"
		       "9g7sVvpAr_MuM0KAg";
	struct jwt_keys *k = keys_of(set);

	(void)unused;
	assert_int_equal(jwt_check(k, span_str(token), &want, user), JWT_MALFORMED);
	token[25] = token[25] == 'A' ? 'B' : 'A';
	assert_int_equal(jwt_check(k, span_str(token), &want, user), JWT_SIGNATURE);
	jwt_keys_close(&k);
}

/* ---- algorithms and keys --------------------------------------------------------- */
static void each_algorithm_is_verified_with_a_key_of_its_kind(void **unused)
{
	const struct {
		const char *name;
		EVP_PKEY *key;
		const EVP_MD *md;
		bool pss;
	} rows[] = {
		{ "RS256", rsa, EVP_sha256(), false },
		{ "RS384", rsa, EVP_sha384(), false },
		{ "RS512", rsa, EVP_sha512(), false },
		{ "PS256", rsa, EVP_sha256(), true },
		{ "ES256", p256, EVP_sha256(), false },
		{ "ES384", p384, EVP_sha384(), false },
		{ "EdDSA", ed, NULL, false },
	};

	(void)unused;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		char header[100];
		BUF(token, 4000);

		snprintf(header, sizeof(header), "{\"alg\":\"%s\"}", rows[i].name);
		make_token(rows[i].key, rows[i].md, rows[i].pss, header, "{" GOOD "}",
			   &token);
		expect_number(rows[i].name,
			      jwt_check(keys, buf_span(&token), &want, user), JWT_RIGHT);
		assert_string_equal(user, "bob@example.org");
		for (size_t k = 0; k < COUNT_OF(rows); k++) {
			snprintf(header, sizeof(header), "{\"alg\":\"%s\"}", rows[k].name);
			if (k == i)
				continue;
			make_token(rows[i].key, rows[i].md, rows[i].pss, header,
				   "{" GOOD "}", &token);
			expect_true("with the name of another",
				    jwt_check(keys, buf_span(&token), &want, user) !=
					    JWT_RIGHT);
		}
	}
}

/* The public key, which everybody has, as the secret of an HMAC; and no signature at all. */
static void no_token_chooses_how_it_is_checked(void **unused)
{
	static const char *const headers[] = {
		"{\"alg\":\"HS256\",\"kid\":\"rsa\"}",
		"{\"alg\":\"none\"}",
		"{\"alg\":\"None\"}",
		"{\"alg\":\"\"}",
		"{\"alg\":256}",
		"{}",
	};
	uint8_t pem[2000], mac[EVP_MAX_MD_SIZE];
	unsigned mac_n;

	(void)unused;
	for (size_t i = 0; i < COUNT_OF(headers); i++) {
		uint8_t *p = pem;
		int n = i2d_PUBKEY(rsa, &p);
		BUF(token, 4000);

		put_base64url(span_str(headers[i]), &token);
		buf_byte(&token, '.');
		put_base64url(SPAN("{" GOOD "}"), &token);
		HMAC(EVP_sha256(), pem, n, token.mem, token.len, mac, &mac_n);
		buf_byte(&token, '.');
		put_base64url(span_of(mac, mac_n), &token);
		expect_number(headers[i], jwt_check(keys, buf_span(&token), &want, user),
			      JWT_ALGORITHM);
		while (token.mem[token.len - 1] != '.')
			token.len--;
		expect_number("and without a signature",
			      jwt_check(keys, buf_span(&token), &want, user),
			      JWT_MALFORMED);
	}
}

static enum jwt_verdict check_with(EVP_PKEY *key, const char *header, const char *claims)
{
	const EVP_MD *md = EVP_PKEY_is_a(key, "ED25519") ? NULL : EVP_sha256();
	BUF(token, JWT_MAX);

	make_token(key, md, false, header, claims, &token);
	return jwt_check(keys, buf_span(&token), &want, user);
}

static void the_key_is_the_one_that_is_named(void **unused)
{
	(void)unused;
	assert_int_equal(check_with(rsa, "{\"alg\":\"RS256\",\"kid\":\"rsa\"}",
				    "{" GOOD "}"),
			 JWT_RIGHT);
	assert_int_equal(check_with(rsa, "{\"alg\":\"RS256\",\"kid\":\"new\"}",
				    "{" GOOD "}"),
			 JWT_UNKNOWN_KEY);
	assert_int_equal(check_with(rsa, "{\"alg\":\"RS256\",\"kid\":\"p256\"}",
				    "{" GOOD "}"),
			 JWT_ALGORITHM);
	assert_int_equal(check_with(other_rsa, "{\"alg\":\"RS256\",\"kid\":\"rsa\"}",
				    "{" GOOD "}"),
			 JWT_SIGNATURE);
	assert_int_equal(check_with(other_rsa, "{\"alg\":\"RS256\"}", "{" GOOD "}"),
			 JWT_SIGNATURE);
	assert_int_equal(check_with(rsa,
				    "{\"alg\":\"RS256\",\"crit\":[\"b64\"],\"b64\":true}",
				    "{" GOOD "}"),
			 JWT_MALFORMED);
	/* a key in the token is nobody's key */
	assert_int_equal(check_with(other_rsa,
				    "{\"alg\":\"RS256\",\"jwk\":{\"kty\":\"RSA\"},"
				    "\"jku\":\"https://evil.example/\"}",
				    "{" GOOD "}"),
			 JWT_SIGNATURE);
}

static void a_key_for_one_algorithm_serves_no_other(void **unused)
{
	struct jwt_keys *k;
	BUF(json, 2000);
	BUF(token, 4000);

	(void)unused;
	buf_put(&json, SPAN("{\"keys\":["));
	put_jwk(rsa, NULL, "\"alg\":\"RS256\",\"use\":\"sig\",", &json);
	buf_put(&json, SPAN("]}"));
	assert_true(jwt_keys_open(&k, buf_span(&json), &err));
	make_token(rsa, EVP_sha256(), false, "{\"alg\":\"RS256\"}", "{" GOOD "}", &token);
	assert_int_equal(jwt_check(k, buf_span(&token), &want, user), JWT_RIGHT);
	make_token(rsa, EVP_sha256(), true, "{\"alg\":\"PS256\"}", "{" GOOD "}", &token);
	assert_int_equal(jwt_check(k, buf_span(&token), &want, user), JWT_UNKNOWN_KEY);
	jwt_keys_close(&k);
}

/* clang-format off */
static const char *const no_keys[] = {
	"", "{}", "[]", "null", "{\"keys\":{}}", "{\"keys\":[]}", "{\"keys\":[1,null,\"a\"]}",
	"{\"keys\":[{\"kty\":\"oct\",\"k\":\"AAAA\"}]}",
	"{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"AAAA\",\"y\":\"AAAA\"}]}",
	/* of the right length, but on no curve */
	"{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\","
		"\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\","
		"\"y\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\"}]}",
	"{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256K\",\"x\":\"AA\",\"y\":\"AA\"}]}",
	"{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"X25519\",\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}]}",
	"{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}]}",
	"{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\",\"use\":\"enc\"}]}",
	"{\"keys\":[],\"keys\":[]}",
	"{\"keys\":[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]}",
};
/* clang-format on */

static void what_is_no_key_set_is_refused(void **unused)
{
	struct jwt_keys *k;

	(void)unused;
	for (size_t i = 0; i < COUNT_OF(no_keys); i++)
		expect_false(no_keys[i], jwt_keys_open(&k, span_str(no_keys[i]), &err));
}

static void keys_that_are_too_short_are_left_out(void **unused)
{
	struct jwt_keys *k;
	BUF(json, 4000);

	(void)unused;
	buf_put(&json, SPAN("{\"keys\":["));
	put_jwk(short_rsa, "a", "", &json);
	buf_byte(&json, ',');
	put_jwk(ed, "b", "", &json);
	buf_put(&json, SPAN("]}"));
	assert_true(jwt_keys_open(&k, buf_span(&json), &err));
	assert_int_equal(jwt_keys_count(k), 1);
	jwt_keys_close(&k);
}

/* ---- claims ---------------------------------------------------------------------- */
/* clang-format off */
#define ISS "\"iss\":\"https://id.example\","
#define AUD "\"aud\":\"mail\","
#define EXP "\"exp\":1800000300,"
#define MAIL "\"email\":\"bob@example.org\""

static const struct {
	const char *why, *claims;
	enum jwt_verdict verdict;
} claims[] = {
	{ "all is well",                   "{" ISS AUD EXP MAIL "}", JWT_RIGHT },
	{ "one of several audiences",      "{" ISS "\"aud\":[\"web\",\"mail\"]," EXP MAIL "}", JWT_RIGHT },
	{ "another audience",              "{" ISS "\"aud\":\"web\"," EXP MAIL "}", JWT_AUDIENCE },
	{ "others only",                   "{" ISS "\"aud\":[\"web\",[\"mail\"]]," EXP MAIL "}", JWT_AUDIENCE },
	{ "no audience",                   "{" ISS EXP MAIL "}", JWT_AUDIENCE },
	{ "another issuer",                "{\"iss\":\"https://id.example/\"," AUD EXP MAIL "}", JWT_ISSUER },
	{ "no issuer",                     "{" AUD EXP MAIL "}", JWT_ISSUER },
	{ "expired a while ago",           "{" ISS AUD "\"exp\":1799999000," MAIL "}", JWT_EXPIRED },
	{ "expired just now",              "{" ISS AUD "\"exp\":1799999990," MAIL "}", JWT_RIGHT },
	{ "it says no end",                "{" ISS AUD MAIL "}", JWT_EXPIRED },
	{ "an end that is a text",         "{" ISS AUD "\"exp\":\"1800000300\"," MAIL "}", JWT_EXPIRED },
	{ "an end with a fraction",        "{" ISS AUD "\"exp\":1800000300.5," MAIL "}", JWT_RIGHT },
	{ "not valid yet",                 "{" ISS AUD EXP "\"nbf\":1800000100," MAIL "}", JWT_EARLY },
	{ "its clock is a little ahead",   "{" ISS AUD EXP "\"nbf\":1800000030,\"iat\":1800000030," MAIL "}", JWT_RIGHT },
	{ "made in the future",            "{" ISS AUD EXP "\"iat\":1800000100," MAIL "}", JWT_EARLY },
	{ "a beginning that is no time",   "{" ISS AUD EXP "\"nbf\":{}," MAIL "}", JWT_EARLY },
	{ "no user",                       "{" ISS AUD EXP "\"sub\":\"bob\"}", JWT_NO_USER },
	{ "a user that is a list",         "{" ISS AUD EXP "\"email\":[\"bob@example.org\"]}", JWT_NO_USER },
	{ "an empty user",                 "{" ISS AUD EXP "\"email\":\"\"}", JWT_NO_USER },
	{ "a user with a line end",        "{" ISS AUD EXP "\"email\":\"bob@example.org\\r\\nx\"}", JWT_NO_USER },
	{ "a user with a NUL",             "{" ISS AUD EXP "\"email\":\"bob@example.org\\u0000x\"}", JWT_MALFORMED },
	{ "two users",                     "{" ISS AUD EXP MAIL "," MAIL "}", JWT_MALFORMED },
	{ "no object",                     "[1]", JWT_MALFORMED },
	{ "no JSON",                       "{" ISS, JWT_MALFORMED },
	{ "more behind it",                "{" ISS AUD EXP MAIL "}{}", JWT_MALFORMED },
	{ "very deep",                     "{" ISS AUD EXP MAIL ",\"a\":[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]}", JWT_MALFORMED },
};
/* clang-format on */

static void what_it_says_is_judged(void **unused)
{
	(void)unused;
	for (size_t i = 0; i < COUNT_OF(claims); i++)
		expect_number(claims[i].why,
			      check_with(ed, "{\"alg\":\"EdDSA\"}", claims[i].claims),
			      claims[i].verdict);
}

/* Each bit of a token counts: none can be turned without being noticed. */
static void a_token_that_was_changed_is_not_right(void **unused)
{
	BUF(token, 2000);

	(void)unused;
	make_token(ed, NULL, false, "{\"alg\":\"EdDSA\"}", "{" GOOD "}", &token);
	assert_int_equal(jwt_check(keys, buf_span(&token), &want, user), JWT_RIGHT);
	for (size_t i = 0; i < token.len * 8; i++) {
		token.mem[i / 8] ^= (uint8_t)(1 << i % 8);
		expect_true("changed",
			    jwt_check(keys, buf_span(&token), &want, user) != JWT_RIGHT);
		token.mem[i / 8] ^= (uint8_t)(1 << i % 8);
	}
	for (size_t n = 0; n < token.len; n++)
		expect_true("cut off", jwt_check(keys, span_head(buf_span(&token), n),
						 &want, user) != JWT_RIGHT);
	buf_byte(&token, 'A');
	assert_true(jwt_check(keys, buf_span(&token), &want, user) != JWT_RIGHT);
}

/* clang-format off */
static const struct {
	const char *why, *answer;
	enum jwt_verdict verdict;
} answers[] = {
	{ "it is known",            "{\"active\":true," AUD MAIL "}", JWT_RIGHT },
	{ "and says more",          "{\"active\":true," ISS AUD EXP MAIL ",\"scope\":\"mail\"}", JWT_RIGHT },
	{ "it is not",              "{\"active\":false}", JWT_INACTIVE },
	{ "it does not say",        "{" AUD MAIL "}", JWT_INACTIVE },
	{ "a text is not true",     "{\"active\":\"true\"," AUD MAIL "}", JWT_INACTIVE },
	{ "for another service",    "{\"active\":true,\"aud\":\"web\"," MAIL "}", JWT_AUDIENCE },
	{ "for no service",         "{\"active\":true," MAIL "}", JWT_AUDIENCE },
	{ "of another issuer",      "{\"active\":true,\"iss\":\"x\"," AUD MAIL "}", JWT_ISSUER },
	{ "expired",                "{\"active\":true,\"exp\":1," AUD MAIL "}", JWT_EXPIRED },
	{ "of nobody",              "{\"active\":true," AUD "\"sub\":\"1\"}", JWT_NO_USER },
	{ "no JSON",                "<html>", JWT_MALFORMED },
};
/* clang-format on */

static void an_answer_of_the_issuer_is_judged_alike(void **unused)
{
	(void)unused;
	for (size_t i = 0; i < COUNT_OF(answers); i++)
		expect_number(answers[i].why,
			      jwt_check_answer(span_str(answers[i].answer), &want, user),
			      answers[i].verdict);
}

static void who_it_claims_to_be_from_is_read_without_believing_it(void **unused)
{
	char issuer[30];
	BUF(token, 2000);

	(void)unused;
	make_token(other_rsa, EVP_sha256(), false, "{\"alg\":\"RS256\"}", "{" GOOD "}",
		   &token);
	assert_true(jwt_issuer(buf_span(&token), issuer, sizeof(issuer)));
	assert_string_equal(issuer, "https://id.example");
	assert_false(jwt_issuer(buf_span(&token), issuer, 18));
	assert_false(jwt_issuer(SPAN("ya29.a0AfH6SMC"), issuer, sizeof(issuer)));
	assert_false(jwt_issuer(SPAN("a.b.c"), issuer, sizeof(issuer)));
	assert_false(jwt_issuer(SPAN(""), issuer, sizeof(issuer)));
}

/* ---- all together ---------------------------------------------------------------- */
static int make_keys(void **unused)
{
	static const char *const ids[] = { "rsa", "p256", "p384", "ed" };
	BUF(json, 8000);

	(void)unused;
	rsa = EVP_RSA_gen(2048);
	other_rsa = EVP_RSA_gen(2048);
	short_rsa = EVP_RSA_gen(1024);
	p256 = EVP_EC_gen("P-256");
	p384 = EVP_EC_gen("P-384");
	ed = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	buf_put(&json, SPAN("{\"keys\":["));
	for (size_t i = 0; i < COUNT_OF(ids); i++) {
		EVP_PKEY *const all[] = { rsa, p256, p384, ed };

		if (i)
			buf_byte(&json, ',');
		put_jwk(all[i], ids[i], "", &json);
	}
	buf_put(&json, SPAN("]}"));
	return jwt_keys_open(&keys, buf_span(&json), &err) ? 0 : -1;
}

static int drop_keys(void **unused)
{
	EVP_PKEY *const all[] = { rsa, other_rsa, short_rsa, p256, p384, ed };

	(void)unused;
	for (size_t i = 0; i < COUNT_OF(all); i++)
		EVP_PKEY_free(all[i]);
	jwt_keys_close(&keys);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_example_of_rfc_7515_is_right),
		cmocka_unit_test(a_coordinate_may_lack_the_zeros_in_front),
		cmocka_unit_test(the_example_of_rfc_8037_is_signed_right),
		cmocka_unit_test(each_algorithm_is_verified_with_a_key_of_its_kind),
		cmocka_unit_test(no_token_chooses_how_it_is_checked),
		cmocka_unit_test(the_key_is_the_one_that_is_named),
		cmocka_unit_test(a_key_for_one_algorithm_serves_no_other),
		cmocka_unit_test(what_is_no_key_set_is_refused),
		cmocka_unit_test(keys_that_are_too_short_are_left_out),
		cmocka_unit_test(what_it_says_is_judged),
		cmocka_unit_test(a_token_that_was_changed_is_not_right),
		cmocka_unit_test(an_answer_of_the_issuer_is_judged_alike),
		cmocka_unit_test(who_it_claims_to_be_from_is_read_without_believing_it),
	};

	return cmocka_run_group_tests(tests, make_keys, drop_keys);
}
