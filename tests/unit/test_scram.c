/* crypt/scram: what RFC 5802 and RFC 7677 say of the server's side. */
#include "expect.h"

#include "base/base64.h"
#include "crypt/password.h"
#include "crypt/scram.h"

/* RFC 7677, 3: user "user", password "pencil". */
static const struct span first = SPAN_INIT("n,,n=user,r=rOprNGfwEbeRWgbNEkqO");
static const struct span nonce = SPAN_INIT("%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0");
static const struct span challenge = SPAN_INIT(
	"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096");
static const struct span final = SPAN_INIT(
	"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,"
	"p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=");
static const struct span last = SPAN_INIT("v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");

static struct scram_keys pencil(void)
{
	struct scram_keys k = { .iterations = 4096 };
	struct buf salt;

	buf_init(&salt, k.salt, sizeof(k.salt));
	assert_true(base64_parse(SPAN("W22ZaJ0SNY7soEsUEjb6gQ=="), &salt));
	k.salt_n = salt.len;
	assert_true(scram_derive(SPAN("pencil"), &k));
	return k;
}

static void the_vectors_of_rfc_7677_hold(void **state)
{
	struct scram_keys keys = pencil();
	struct scram s;
	BUF(out, 512);

	(void)state;
	assert_int_equal(scram_first(&s, first, false, false), SCRAM_GOOD);
	expect_span("user", s.user, SPAN("user"));
	assert_int_equal(s.authzid.n, 0);
	assert_true(scram_challenge(&s, &keys, false, nonce, &out));
	expect_span("challenge", buf_span(&out), challenge);
	buf_reset(&out);
	assert_int_equal(scram_final(&s, final, SPAN_NONE, &out), SCRAM_GOOD);
	expect_span("last words", buf_span(&out), last);
}

static enum scram_said answer(const struct scram_keys *keys, bool fake, struct span text)
{
	struct scram s;
	BUF(out, 512);

	assert_int_equal(scram_first(&s, first, false, false), SCRAM_GOOD);
	assert_true(scram_challenge(&s, keys, fake, nonce, &out));
	buf_reset(&out);
	return scram_final(&s, text, SPAN_NONE, &out);
}

static void a_proof_of_another_password_is_wrong(void **state)
{
	struct scram_keys keys = pencil(), others;

	(void)state;
	others = keys;
	assert_true(scram_derive(SPAN("pencils"), &others));
	assert_int_equal(answer(&keys, false, final), SCRAM_GOOD);
	assert_int_equal(answer(&others, false, final), SCRAM_WRONG);
	/* whatever keys were made up: who does not exist cannot log in */
	assert_int_equal(answer(&keys, true, final), SCRAM_WRONG);
}

static void a_final_message_that_is_none_is_broken(void **state)
{
	static const struct {
		const char *why;
		struct span text;
		enum scram_said says;
	} rows[] = {
		{ "nothing", SPAN_INIT(""), SCRAM_BROKEN },
		{ "no proof",
		  SPAN_INIT("c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"),
		  SCRAM_BROKEN },
		{ "another nonce",
		  SPAN_INIT("c=biws,r=rOprNGfwEbeRWgbNEkqO,p=dHzbZapWIk4jUhN+Ute9ytag9zjf"
			    "MHgsqmmiz7AndVQ="),
		  SCRAM_BROKEN },
		{ "a proof of another length",
		  SPAN_INIT(
			  "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzb"),
		  SCRAM_BROKEN },
		{ "another header",
		  SPAN_INIT("c=eSws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,"
			    "p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="),
		  SCRAM_WRONG },
	};
	struct scram_keys keys = pencil();

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++)
		if (answer(&keys, false, rows[i].text) != rows[i].says)
			fail_msg("%s", rows[i].why);
}

static void a_first_message_says_who(void **state)
{
	static const struct {
		const char *why;
		struct span text;
		bool plus, offers_plus;
		enum scram_said says;
		const char *user, *authzid;
	} rows[] = {
		{ "a user", SPAN_INIT("n,,n=bob,r=12345678"), false, false, SCRAM_GOOD,
		  "bob", "" },
		{ "a comma in it", SPAN_INIT("n,,n=b=2Co=3Db,r=12345678"), false, false,
		  SCRAM_GOOD, "b,o=b", "" },
		{ "for another", SPAN_INIT("n,a=al=2Cice,n=bob,r=12345678"), false, false,
		  SCRAM_GOOD, "bob", "al,ice" },
		{ "plus", SPAN_INIT("p=tls-exporter,,n=bob,r=12345678"), true, true,
		  SCRAM_GOOD, "bob", "" },
		{ "plus, not said", SPAN_INIT("n,,n=bob,r=12345678"), true, true,
		  SCRAM_BROKEN, "", "" },
		{ "binding without plus", SPAN_INIT("p=tls-exporter,,n=bob,r=12345678"),
		  false, true, SCRAM_BROKEN, "", "" },
		{ "somebody took plus away", SPAN_INIT("y,,n=bob,r=12345678"), false,
		  true, SCRAM_WRONG, "bob", "" },
		{ "nobody did", SPAN_INIT("y,,n=bob,r=12345678"), false, false,
		  SCRAM_GOOD, "bob", "" },
		{ "an extension", SPAN_INIT("n,,m=x,n=bob,r=12345678"), false, false,
		  SCRAM_BROKEN, "", "" },
		{ "no name", SPAN_INIT("n,,n=,r=12345678"), false, false, SCRAM_BROKEN,
		  "", "" },
		{ "a bad escape", SPAN_INIT("n,,n=b=2Dob,r=12345678"), false, false,
		  SCRAM_BROKEN, "", "" },
		{ "a NUL", SPAN_INIT("n,,n=b\0b,r=12345678"), false, false, SCRAM_BROKEN,
		  "", "" },
		{ "no nonce", SPAN_INIT("n,,n=bob"), false, false, SCRAM_BROKEN, "", "" },
		{ "a short nonce", SPAN_INIT("n,,n=bob,r=1234567"), false, false,
		  SCRAM_BROKEN, "", "" },
		{ "a nonce with a space", SPAN_INIT("n,,n=bob,r=1234 5678"), false, false,
		  SCRAM_BROKEN, "", "" },
		{ "no header", SPAN_INIT("n=bob,r=12345678"), false, false, SCRAM_BROKEN,
		  "", "" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct scram s;
		enum scram_said says = scram_first(&s, rows[i].text, rows[i].plus,
						   rows[i].offers_plus);

		if (says != rows[i].says)
			fail_msg("%s: %d", rows[i].why, (int)says);
		if (says == SCRAM_BROKEN)
			continue;
		expect_span(rows[i].why, s.user, span_str(rows[i].user));
		expect_span(rows[i].why, s.authzid, span_str(rows[i].authzid));
	}
}

/* Made with Python's hmac: the vector above, bound to a channel of 32 bytes, 0 to 31. */
static void a_binding_has_to_be_that_of_this_channel(void **state)
{
	static const struct span bound = SPAN_INIT(
		"c=cD10bHMtZXhwb3J0ZXIsLAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f,r=r"
		"OprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=QC6CS20q"
		"uADQRb3mT99YUH+n3VJxUvzuK0K0E1Vrs2M=");
	struct scram_keys keys = pencil();
	struct scram s;
	uint8_t channel[32];
	BUF(out, 512);

	(void)state;
	for (uint8_t i = 0; i < sizeof(channel); i++)
		channel[i] = i;
	assert_int_equal(scram_first(&s,
				     SPAN("p=tls-exporter,,n=user,r=rOprNGfwEbeRWgbNEkqO"),
				     true, true),
			 SCRAM_GOOD);
	assert_true(scram_challenge(&s, &keys, false, nonce, &out));
	buf_reset(&out);
	assert_int_equal(scram_final(&s, bound, span_of(channel, sizeof(channel)), &out),
			 SCRAM_GOOD);
	expect_span("last words", buf_span(&out),
		    SPAN("v=2GiAgapEppLVlUXbxUDksL3VgYHzuqiK5tR4mhJGgvs="));
	buf_reset(&out);
	channel[31] ^= 1;
	assert_int_equal(scram_final(&s, bound, span_of(channel, sizeof(channel)), &out),
			 SCRAM_WRONG);
	assert_int_equal(scram_final(&s, bound, SPAN_NONE, &out), SCRAM_WRONG);
	assert_int_equal(out.len, 0);
}

static void keys_go_through_text(void **state)
{
	struct scram_keys keys = pencil(), again;
	BUF(text, SCRAM_KEYS_MAX);

	(void)state;
	scram_print_keys(&keys, &text);
	assert_false(text.full);
	assert_true(scram_read_keys(buf_span(&text), &again));
	assert_memory_equal(&keys, &again, sizeof(keys));
	assert_false(scram_read_keys(SPAN("4096,W22Z,xx,yy"), &again));
	assert_false(scram_read_keys(span_head(buf_span(&text), text.len - 1), &again));
	assert_false(scram_read_keys(SPAN_NONE, &again));
}

static void who_does_not_exist_has_the_same_salt_each_time(void **state)
{
	static const uint8_t key[32] = { 1 }, other[32] = { 2 };
	struct scram_keys a, b;

	(void)state;
	scram_fake_keys(key, SPAN("nobody@example.test"), &a);
	scram_fake_keys(key, SPAN("nobody@example.test"), &b);
	assert_int_equal(a.salt_n, b.salt_n);
	assert_memory_equal(a.salt, b.salt, a.salt_n);
	assert_int_equal(a.iterations, SCRAM_ITERATIONS);
	assert_memory_not_equal(a.stored, b.stored, SCRAM_HASH);
	scram_fake_keys(key, SPAN("somebody@example.test"), &b);
	assert_memory_not_equal(a.salt, b.salt, a.salt_n);
	scram_fake_keys(other, SPAN("nobody@example.test"), &b);
	assert_memory_not_equal(a.salt, b.salt, a.salt_n);
	/* and looks like a real one */
	assert_true(scram_make_keys(SPAN("secret"), &b));
	assert_int_equal(a.salt_n, b.salt_n);
	assert_int_equal(a.iterations, b.iterations);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_vectors_of_rfc_7677_hold),
		cmocka_unit_test(a_proof_of_another_password_is_wrong),
		cmocka_unit_test(a_final_message_that_is_none_is_broken),
		cmocka_unit_test(a_first_message_says_who),
		cmocka_unit_test(a_binding_has_to_be_that_of_this_channel),
		cmocka_unit_test(keys_go_through_text),
		cmocka_unit_test(who_does_not_exist_has_the_same_salt_each_time),
	};

	if (!password_init())
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
