#include "expect.h"

#include "base/base64.h"
#include "wire/sasl.h"

#define ALL ((1u << SASL_COUNT) - 1)

static struct sasl sasl;
static struct sasl_room room;

/* What the client says, in base64. */
static struct span in_base64(struct span bytes)
{
	static uint8_t mem[16384];
	struct buf out;

	buf_init(&out, mem, sizeof(mem));
	base64_print(bytes, &out);
	assert_false(out.full);
	return buf_span(&out);
}

/* "AUTH mechanism initial-response" */
static struct sasl_event begin(const char *mechanism, struct span bytes)
{
	static uint8_t mem[16500];
	struct buf out;

	buf_init(&out, mem, sizeof(mem));
	buf_put(&out, span_str(mechanism));
	buf_byte(&out, ' ');
	buf_put(&out, in_base64(bytes));
	return sasl_begin(&sasl, ALL, buf_span(&out), &room);
}

struct row {
	const char *why, *mechanism;
	struct span said;
	enum sasl_kind kind;
	enum sasl_fault fault;
	struct span authzid, user, secret;
};

/* clang-format off */
#define NO SPAN_INIT("")
#define TOKEN "vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg=="
static const struct row rows[] = {
	/* RFC 4616, 4 */
	{ "plain",                   "PLAIN", SPAN_INIT("\0tim\0tanstaaftanstaaf"), SASL_READY, 0,
	  NO, SPAN_INIT("tim"), SPAN_INIT("tanstaaftanstaaf") },
	{ "plain, for another",      "PLAIN", SPAN_INIT("Ursel\0Kurt\0xipj3plmq"), SASL_READY, 0,
	  SPAN_INIT("Ursel"), SPAN_INIT("Kurt"), SPAN_INIT("xipj3plmq") },
	{ "plain, in lower case",    "plain", SPAN_INIT("\0a\0b"), SASL_READY, 0, NO, SPAN_INIT("a"), SPAN_INIT("b") },
	{ "plain, in UTF-8",         "PLAIN", SPAN_INIT("\0\xc3\xbc\0\xc3\x9f"), SASL_READY, 0,
	  NO, SPAN_INIT("\xc3\xbc"), SPAN_INIT("\xc3\x9f") },
	{ "one NUL",                 "PLAIN", SPAN_INIT("tim\0secret"), SASL_BAD, SASL_FAULT_BROKEN, NO, NO, NO },
	{ "three NULs",              "PLAIN", SPAN_INIT("\0tim\0sec\0ret"), SASL_BAD, SASL_FAULT_BROKEN, NO, NO, NO },
	{ "no user",                 "PLAIN", SPAN_INIT("tim\0\0secret"), SASL_BAD, SASL_FAULT_BROKEN, NO, NO, NO },
	{ "no password",             "PLAIN", SPAN_INIT("\0tim\0"), SASL_BAD, SASL_FAULT_BROKEN, NO, NO, NO },
	{ "a user in Latin-1",       "PLAIN", SPAN_INIT("\0\xfc\0b"), SASL_BAD, SASL_FAULT_BROKEN, NO, NO, NO },
	{ "login",                   "LOGIN", SPAN_INIT("tim"), SASL_WANTS, 0, NO, NO, NO },
	{ "login, with a NUL",       "LOGIN", SPAN_INIT("ti\0m"), SASL_BAD, SASL_FAULT_BROKEN, NO, NO, NO },
	{ "external",                "EXTERNAL", SPAN_INIT("tim"), SASL_READY, 0, SPAN_INIT("tim"), NO, NO },
	{ "scram",                   "SCRAM-SHA-256", SPAN_INIT("n,,n=user,r=rOprNGfwEbeRWgbNEkqO"), SASL_READY, 0,
	  NO, NO, SPAN_INIT("n,,n=user,r=rOprNGfwEbeRWgbNEkqO") },
	{ "scram, with a NUL",       "SCRAM-SHA-256", SPAN_INIT("n,,n=us\0er,r=x"), SASL_BAD, SASL_FAULT_BROKEN, NO, NO, NO },
	/* RFC 7628, 4.1 */
	{ "a token",                 "OAUTHBEARER",
	  SPAN_INIT("n,a=user@example.com,\1host=server.example.com\1port=143\1auth=Bearer " TOKEN "\1\1"),
	  SASL_READY, 0, NO, SPAN_INIT("user@example.com"), SPAN_INIT(TOKEN) },
	{ "of nobody in particular", "OAUTHBEARER", SPAN_INIT("n,,\1auth=Bearer " TOKEN "\1\1"), SASL_READY, 0,
	  NO, NO, SPAN_INIT(TOKEN) },
	{ "bearer in lower case",    "OAUTHBEARER", SPAN_INIT("y,,\1auth=bearer x\1\1"), SASL_READY, 0, NO, NO, SPAN_INIT("x") },
	{ "an escaped name",         "OAUTHBEARER", SPAN_INIT("n,a=a=2Cb=3Dc,\1auth=Bearer x\1\1"), SASL_READY, 0,
	  NO, SPAN_INIT("a,b=c"), SPAN_INIT("x") },
	{ "a name escaped wrongly",  "OAUTHBEARER", SPAN_INIT("n,a=a=2Db,\1auth=Bearer x\1\1"), SASL_BAD, SASL_FAULT_BROKEN, NO, NO, NO },
	{ "no gs2 header",           "OAUTHBEARER", SPAN_INIT("\1auth=Bearer x\1\1"), SASL_BAD, SASL_FAULT_BROKEN, NO, NO, NO },
	{ "with channel binding",    "OAUTHBEARER", SPAN_INIT("p=tls-exporter,,\1auth=Bearer x\1\1"), SASL_BAD, SASL_FAULT_BROKEN, NO, NO, NO },
	{ "another kind of token",   "OAUTHBEARER", SPAN_INIT("n,,\1auth=Basic x\1\1"), SASL_BAD, SASL_FAULT_BROKEN, NO, NO, NO },
	{ "no token",                "OAUTHBEARER", SPAN_INIT("n,,\1auth=Bearer \1\1"), SASL_BAD, SASL_FAULT_BROKEN, NO, NO, NO },
	{ "a token with a space",    "OAUTHBEARER", SPAN_INIT("n,,\1auth=Bearer a b\1\1"), SASL_BAD, SASL_FAULT_BROKEN, NO, NO, NO },
	{ "no end",                  "OAUTHBEARER", SPAN_INIT("n,,\1auth=Bearer x\1"), SASL_BAD, SASL_FAULT_BROKEN, NO, NO, NO },
	{ "more behind the end",     "OAUTHBEARER", SPAN_INIT("n,,\1auth=Bearer x\1\1y"), SASL_BAD, SASL_FAULT_BROKEN, NO, NO, NO },
	{ "a NUL in a token",        "OAUTHBEARER", SPAN_INIT("n,,\1auth=Bearer a\0b\1\1"), SASL_BAD, SASL_FAULT_BROKEN, NO, NO, NO },
	{ "xoauth2",                 "XOAUTH2", SPAN_INIT("user=tim@example.org\1auth=Bearer x\1\1"), SASL_READY, 0,
	  NO, SPAN_INIT("tim@example.org"), SPAN_INIT("x") },
	{ "xoauth2 without a user",  "XOAUTH2", SPAN_INIT("auth=Bearer x\1\1"), SASL_BAD, SASL_FAULT_BROKEN, NO, NO, NO },
	{ "unknown",                 "CRAM-MD5", SPAN_INIT("x"), SASL_BAD, SASL_FAULT_MECHANISM, NO, NO, NO },
};
/* clang-format on */

static void first_messages_are_read_as_the_rows_say(void **unused)
{
	(void)unused;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		const struct row *r = &rows[i];
		struct sasl_event ev = begin(r->mechanism, r->said);

		expect_number(r->why, ev.kind, r->kind);
		if (ev.kind == SASL_BAD)
			expect_number(r->why, ev.fault, r->fault);
		expect_span(r->why, ev.authzid, r->authzid);
		expect_span(r->why, ev.user, r->user);
		expect_span(r->why, ev.secret, r->secret);
	}
}

static void what_is_not_offered_is_not_taken(void **unused)
{
	struct sasl_event ev;

	(void)unused;
	ev = sasl_begin(&sasl, 1u << SASL_LOGIN, SPAN("PLAIN"), &room);
	assert_int_equal(ev.kind, SASL_BAD);
	assert_int_equal(ev.fault, SASL_FAULT_MECHANISM);
	ev = sasl_begin(&sasl, ALL, SPAN("SCRAM-SHA-256-PLU"), &room);
	assert_int_equal(ev.kind, SASL_BAD);
}

static void login_asks_twice(void **unused)
{
	struct sasl_event ev;

	(void)unused;
	ev = sasl_begin(&sasl, ALL, SPAN("LOGIN"), &room);
	assert_int_equal(ev.kind, SASL_WANTS);
	expect_span("base64", in_base64(ev.text), SPAN("VXNlcm5hbWU6"));
	ev = sasl_line(&sasl, SPAN("dGlt"), &room);
	assert_int_equal(ev.kind, SASL_WANTS);
	expect_span("base64", in_base64(ev.text), SPAN("UGFzc3dvcmQ6"));
	memset(&room, 0xff, sizeof(room)); /* nothing of the first step is needed */
	ev = sasl_line(&sasl, SPAN("c2VjcmV0"), &room);
	assert_int_equal(ev.kind, SASL_READY);
	expect_span("user", ev.user, SPAN("tim"));
	expect_span("secret", ev.secret, SPAN("secret"));
}

static void an_exchange_can_be_broken_off_at_any_time(void **unused)
{
	(void)unused;
	(void)sasl_begin(&sasl, ALL, SPAN("PLAIN"), &room);
	assert_int_equal(sasl_line(&sasl, SPAN("*"), &room).kind, SASL_CANCELLED);
	(void)begin("LOGIN", SPAN("tim"));
	assert_int_equal(sasl_line(&sasl, SPAN("*"), &room).kind, SASL_CANCELLED);
	assert_int_equal(sasl.user_n, 0);
	assert_int_equal(sasl.user[0], 0);
	(void)begin("SCRAM-SHA-256", SPAN("n,,n=a,r=b"));
	sasl_say(&sasl);
	assert_int_equal(sasl_line(&sasl, SPAN("*"), &room).kind, SASL_CANCELLED);
	assert_int_equal(sasl.at, SASL_IDLE);
}

static void an_empty_initial_response_is_an_equals_sign(void **unused)
{
	struct sasl_event ev = sasl_begin(&sasl, ALL, SPAN("EXTERNAL ="), &room);

	(void)unused;
	assert_int_equal(ev.kind, SASL_READY);
	assert_int_equal(ev.authzid.n, 0);
	ev = sasl_begin(&sasl, ALL, SPAN("PLAIN ="), &room);
	assert_int_equal(ev.kind, SASL_BAD);
	/* but not later */
	(void)sasl_begin(&sasl, ALL, SPAN("EXTERNAL"), &room);
	ev = sasl_line(&sasl, SPAN("="), &room);
	assert_int_equal(ev.kind, SASL_BAD);
	assert_int_equal(ev.fault, SASL_FAULT_BASE64);
	(void)sasl_begin(&sasl, ALL, SPAN("EXTERNAL"), &room);
	assert_int_equal(sasl_line(&sasl, SPAN_NONE, &room).kind, SASL_READY);
}

static void messages_of_scram_are_handed_on(void **unused)
{
	struct sasl_event ev = begin("SCRAM-SHA-256", SPAN("n,,n=a,r=b"));

	(void)unused;
	assert_int_equal(ev.kind, SASL_READY);
	/* before there is a challenge, nothing is an answer */
	assert_int_equal(sasl_line(&sasl, SPAN("Yz1iaXdz"), &room).kind, SASL_BAD);
	(void)begin("SCRAM-SHA-256", SPAN("n,,n=a,r=b"));
	sasl_say(&sasl);
	ev = sasl_line(&sasl, SPAN("Yz1iaXdz"), &room);
	assert_int_equal(ev.kind, SASL_FORWARD);
	expect_span("text", ev.text, SPAN("c=biws"));
	sasl_say_last(&sasl);
	assert_int_equal(sasl_line(&sasl, SPAN_NONE, &room).kind, SASL_DONE);
}

static void nothing_is_longer_than_it_may_be(void **unused)
{
	static uint8_t mem[SASL_MAX + 8];
	static uint8_t text[16384];
	struct sasl_event ev;
	struct buf out;

	(void)unused;
	memset(mem, 'x', sizeof(mem));
	ev = begin("SCRAM-SHA-256", span_of(mem, SASL_MAX));
	assert_int_equal(ev.kind, SASL_READY);
	assert_int_equal(ev.secret.n, SASL_MAX);
	memset(text, 'A', sizeof(text));
	memcpy(text, "SCRAM-SHA-256 ", 14);
	ev = sasl_begin(&sasl, ALL, span_of(text, 14 + SASL_MAX / 3 * 4 + 4), &room);
	assert_int_equal(ev.kind, SASL_BAD);
	assert_int_equal(ev.fault, SASL_FAULT_LONG);
	/* a password */
	buf_init(&out, text, sizeof(text));
	buf_put(&out, SPAN("\0tim\0"));
	buf_put(&out, span_of(mem, SECRET_MAX));
	assert_int_equal(begin("PLAIN", buf_span(&out)).kind, SASL_READY);
	buf_byte(&out, 'x');
	assert_int_equal(begin("PLAIN", buf_span(&out)).fault, SASL_FAULT_LONG);
	/* a name */
	assert_int_equal(begin("LOGIN", span_of(mem, USER_MAX)).kind, SASL_WANTS);
	assert_int_equal(begin("LOGIN", span_of(mem, USER_MAX + 1)).fault,
			 SASL_FAULT_LONG);
	assert_int_equal(begin("EXTERNAL", span_of(mem, USER_MAX + 1)).fault,
			 SASL_FAULT_LONG);
}

static void base64_is_taken_strictly(void **unused)
{
	static const char *const bad[] = { "dGl", "dGlt=", "dG lt", "dGl$",
					   "=",	  "====",  "dGk" };

	(void)unused;
	for (size_t i = 0; i < COUNT_OF(bad); i++) {
		struct sasl_event ev;

		(void)sasl_begin(&sasl, ALL, SPAN("LOGIN"), &room);
		ev = sasl_line(&sasl, span_str(bad[i]), &room);
		expect_number(bad[i], ev.kind, SASL_BAD);
		expect_number(bad[i], ev.fault, SASL_FAULT_BASE64);
	}
}

static void what_was_used_of_the_room_is_known(void **unused)
{
	(void)unused;
	room.used = 0;
	(void)begin("PLAIN", SPAN("\0tim\0secret"));
	assert_true(room.used >= 11);
	sasl_wipe(room.mem, room.used);
	for (size_t i = 0; i < 11; i++)
		assert_int_equal(room.mem[i], 0);
	room.used = 0;
	(void)sasl_begin(&sasl, ALL, SPAN("PLAIN"), &room);
	assert_int_equal(room.used, 0);
	/* of what is no base64, some may have been decoded */
	(void)sasl_line(&sasl, SPAN("AHRpbQBzZWNyZXQ?"), &room);
	assert_true(room.used >= 9);
}

static void what_is_printed_of_a_token_is_what_is_read(void **unused)
{
	static const struct {
		enum sasl_mechanism m;
		struct span user;
	} tokens[] = {
		{ SASL_OAUTHBEARER, SPAN_INIT("tim@example.org") },
		{ SASL_OAUTHBEARER, SPAN_INIT("=tim, the other=2C") },
		{ SASL_OAUTHBEARER, SPAN_INIT("") },
		{ SASL_XOAUTH2, SPAN_INIT("=tim, the other=2C") },
	};

	(void)unused;
	for (size_t i = 0; i < COUNT_OF(tokens); i++) {
		uint8_t mem[200], text_mem[300];
		struct sasl s = { 0 };
		struct buf first, text;
		struct sasl_event ev;

		buf_init(&first, mem, sizeof(mem));
		sasl_print_token(tokens[i].m, tokens[i].user, SPAN("to.k-en"), &first);
		buf_init(&text, text_mem, sizeof(text_mem));
		buf_fmt(&text, "%s ", sasl_word[tokens[i].m]);
		base64_print(buf_span(&first), &text);
		ev = sasl_begin(&s, 1u << tokens[i].m, buf_span(&text), &room);
		assert_int_equal(ev.kind, SASL_READY);
		assert_true(span_eq(ev.user, tokens[i].user));
		assert_true(span_eq(ev.secret, SPAN("to.k-en")));
	}
}

static void mechanisms_are_printed_as_auth_wants_them(void **unused)
{
	uint8_t mem[128];
	struct buf out;

	(void)unused;
	buf_init(&out, mem, sizeof(mem));
	sasl_print(ALL, &out);
	expect_span("all", buf_span(&out),
		    SPAN("PLAIN LOGIN SCRAM-SHA-256 SCRAM-SHA-256-PLUS OAUTHBEARER "
			 "XOAUTH2 EXTERNAL"));
	buf_reset(&out);
	sasl_print(1u << SASL_LOGIN, &out);
	expect_span("one", buf_span(&out), SPAN("LOGIN"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(first_messages_are_read_as_the_rows_say),
		cmocka_unit_test(what_is_not_offered_is_not_taken),
		cmocka_unit_test(login_asks_twice),
		cmocka_unit_test(an_exchange_can_be_broken_off_at_any_time),
		cmocka_unit_test(an_empty_initial_response_is_an_equals_sign),
		cmocka_unit_test(messages_of_scram_are_handed_on),
		cmocka_unit_test(nothing_is_longer_than_it_may_be),
		cmocka_unit_test(base64_is_taken_strictly),
		cmocka_unit_test(what_was_used_of_the_room_is_known),
		cmocka_unit_test(what_is_printed_of_a_token_is_what_is_read),
		cmocka_unit_test(mechanisms_are_printed_as_auth_wants_them),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
