#include "expect.h"

#include "base/number.h"
#include "session/trace.h"
#include "tests/kit/stage.h"

/* Whole conversations are in tests/wire; here is what a script cannot see. */

static struct stage stage;

static int set_up(void **unused)
{
	(void)unused;
	stage_open(&stage);
	return 0;
}

static int tear_down(void **unused)
{
	(void)unused;
	stage_close(&stage);
	return 0;
}

static void start(struct stage_peer *p)
{
	stage_peer_open(&stage, p, addr_v4(192, 0, 2, 7));
	stage_send(p, SPAN("EHLO there.example\r\n"));
}

static void start_mail(struct stage_peer *p)
{
	start(p);
	stage_send(p, SPAN("MAIL FROM:<s@there.example> BODY=8BITMIME\r\n"
			   "RCPT TO:<alice@here.example>\r\n"));
}

static void an_idle_session_is_small(void **unused)
{
	(void)unused;
	assert_true(sizeof(struct session) <= 1024);
}

static void a_letter_is_kept_from_mail_to_the_answer(void **unused)
{
	struct stage_peer p;

	(void)unused;
	stage.submitted = STAGE_NO_ANSWER;
	start(&p);
	assert_false(session_has_letter(&p.session));
	stage_send(&p, SPAN("MAIL FROM:<>\r\n"));
	assert_true(session_has_letter(&p.session));
	stage_send(&p, SPAN("RSET\r\n"));
	assert_false(session_has_letter(&p.session));
	assert_int_equal(p.drops, 1);
	stage_send(&p, SPAN("MAIL FROM:<>\r\nRCPT TO:<bob@here.example>\r\n"));
	stage_send(&p, SPAN("DATA\r\n.\r\n"));
	assert_int_equal(p.session.phase, PHASE_SUBMIT);
	assert_true(session_has_letter(&p.session));
	stage.submitted = SUBMITTED_OK;
	stage_answer(&p);
	assert_false(session_has_letter(&p.session));
	assert_int_equal(p.drops, 1);
	stage_peer_close(&p);
}

static void ehlo_gives_the_letter_back(void **unused)
{
	struct stage_peer p;

	(void)unused;
	start_mail(&p);
	assert_true(session_has_letter(&p.session));
	stage_send(&p, SPAN("EHLO again.example\r\n"));
	assert_false(session_has_letter(&p.session));
	assert_int_equal(p.drops, 1);
	stage_peer_close(&p);
}

/* Or it would be asked for again and again. */
static void room_that_is_none_is_not_believed(void **unused)
{
	struct stage_peer p;

	(void)unused;
	start_mail(&p);
	stage.room = STAGE_NO_ANSWER;
	stage_send(&p, SPAN("DATA\r\n"));
	while (p.session.phase == PHASE_TALK)
		stage_send(&p, SPAN("0123456789012345678901234567890123456789\r\n"));
	stage_happen(&p, IN_ROOM);
	assert_int_equal(p.session.phase, PHASE_TALK);
	stage_send(&p, SPAN(".\r\n"));
	assert_int_equal(p.refusal, RE_NO_ROOM);
	stage_peer_close(&p);
}

static void an_id_is_taken_when_the_body_begins(void **unused)
{
	uint64_t first = stage.next_id;
	struct stage_peer p;

	(void)unused;
	start_mail(&p);
	assert_int_equal(stage.next_id, first);
	stage_send(&p, SPAN("DATA\r\n"));
	assert_int_equal(p.session.queue_id, first);
	assert_int_equal(stage.next_id, first + 1);
	stage_peer_close(&p);
}

static void the_log_can_read_what_a_transaction_is(void **unused)
{
	struct stage_peer p;

	(void)unused;
	start_mail(&p);
	assert_int_equal(p.session.flags, MAIL_8BIT);
	assert_int_equal(p.session.rcpt_count, 1);
	stage_send(&p, SPAN("RCPT TO:<nobody@here.example>\r\n"));
	assert_int_equal(p.refusal, RE_UNKNOWN_USER);
	assert_string_equal(p.refused, "TO:<nobody@here.example>");
	assert_int_equal(p.session.commands, 4);
	assert_int_equal(p.session.errors, 1);
	stage_peer_close(&p);
}

static void late_answers_are_ignored(void **unused)
{
	static const enum session_in_kind kinds[] = { IN_VERDICT,    IN_ROOM,
						      IN_NO_ROOM,    IN_TLS,
						      IN_TLS_FAILED, IN_SUBMITTED };
	struct stage_peer p;

	(void)unused;
	start_mail(&p);
	buf_reset(&p.said);
	for (size_t i = 0; i < COUNT_OF(kinds); i++)
		stage_happen(&p, kinds[i]);
	assert_int_equal(p.said.len, 0);
	assert_int_equal(p.session.phase, PHASE_TALK);
	assert_int_equal(p.session.rcpt_count, 1);
	assert_false(p.session.in_tls);
	stage_peer_close(&p);
}

static void waking_up_too_early_changes_nothing(void **unused)
{
	struct stage_peer p;
	ms_t wake;

	(void)unused;
	start_mail(&p);
	wake = p.wake;
	assert_int_equal(wake, stage.now + stage.conf.set.command_timeout);
	stage_happen(&p, IN_TIME);
	assert_int_equal(p.wake, wake);
	assert_false(p.closed);
	stage_peer_close(&p);
}

static void time_that_we_take_is_not_the_peers(void **unused)
{
	struct stage_peer p;
	struct stage_peer *peers[] = { &p };

	(void)unused;
	start_mail(&p);
	stage.room = STAGE_NO_ANSWER;
	stage_send(&p, SPAN("DATA\r\n"));
	while (p.session.phase == PHASE_TALK)
		stage_send(&p, SPAN("0123456789012345678901234567890123456789\r\n"));
	stage_pass(&stage, peers, 1, 59 * MS_SECOND);
	stage.room = 1;
	stage_answer(&p);
	stage_happen(&p, IN_BYTES);
	stage_pass(&stage, peers, 1, MS_SECOND);
	assert_false(p.closed);
	stage_send(&p, SPAN(".\r\n"));
	assert_int_equal(stage.mails, 1);
	stage_peer_close(&p);
}

static void a_message_without_end_is_cut_off(void **unused)
{
	static uint8_t piece[1 << 20];
	struct stage_peer p;
	int pieces = 0;

	(void)unused;
	stage.conf.set.message_max = 65536;
	memset(piece, 'x', sizeof(piece));
	start_mail(&p);
	stage_send(&p, SPAN("DATA\r\n\r\n"));
	for (; pieces < 1000 && !p.closed; pieces++)
		stage_send(&p, span_of(piece, sizeof(piece)));
	assert_true(p.closed);
	assert_int_equal(p.session.end, END_ABUSE);
	assert_true(pieces <= 66);
	stage_peer_close(&p);
}

static void chunks_that_will_be_too_big_together_are_not_kept(void **unused)
{
	static uint8_t piece[40000];
	struct stage_peer p;
	uint64_t kept;

	(void)unused;
	stage.conf.set.message_max = 65536;
	memset(piece, 'x', sizeof(piece));
	start_mail(&p);
	stage_send(&p, SPAN("BDAT 40000\r\n"));
	stage_send(&p, span_of(piece, sizeof(piece)));
	kept = p.session.body_size;
	assert_true(kept > 40000);
	stage_send(&p, SPAN("BDAT 40000 LAST\r\n"));
	stage_send(&p, span_of(piece, 1000));
	assert_int_equal(p.session.body_size, kept);
	stage_peer_close(&p);
}

static void a_session_is_refused_nothing_after_its_end(void **unused)
{
	struct session_in in = { .kind = IN_BYTES, .bytes = SPAN("NOOP\r\n") };
	struct stage_peer p;
	struct session_out out = { .peer = &p.peer, .letter = &p.letter };

	(void)unused;
	start(&p);
	stage_send(&p, SPAN("QUIT\r\n"));
	buf_reset(&p.peer);
	session_step(&p.session, &in, stage.now, &out);
	assert_int_equal(out.used, in.bytes.n);
	assert_int_equal(out.orders, 0);
	assert_int_equal(p.peer.len, 0);
	assert_int_equal(out.wake, MS_NEVER);
	stage_peer_close(&p);
}

static void without_a_map_recipients_cannot_be_verified(void **unused)
{
	size_t n = stage.map_n;
	struct stage_peer p;

	(void)unused;
	start(&p);
	stage.map_n = 0;
	stage_send(&p, SPAN("MAIL FROM:<>\r\nRCPT TO:<alice@here.example>\r\n"));
	assert_int_equal(p.refusal, RE_CANNOT_VERIFY);
	stage.map_n = n;
	stage_peer_close(&p);
}

/* Who was added a moment ago must not be told that there is no such user. */
static void a_map_that_is_stale_says_yes_and_never_no(void **unused)
{
	struct stage_peer p;

	(void)unused;
	stage.map_stale = true;
	start(&p);
	stage_send(&p, SPAN("MAIL FROM:<>\r\nRCPT TO:<alice@here.example>\r\n"));
	assert_int_equal(p.session.rcpt_count, 1);
	stage_send(&p, SPAN("RCPT TO:<new@here.example>\r\n"));
	assert_int_equal(p.refusal, RE_CANNOT_VERIFY);
	stage_send(&p, SPAN("RCPT TO:<bob@new.example>\r\n"));
	assert_int_equal(p.refusal, RE_CANNOT_VERIFY);
	assert_int_equal(stage.seen[EV_UNKNOWN_USER] + stage.seen[EV_RELAY_DENIED], 0);
	stage.map_stale = false;
	stage_send(&p, SPAN("RCPT TO:<new@here.example>\r\n"));
	assert_int_equal(p.refusal, RE_UNKNOWN_USER);
	stage_peer_close(&p);
}

/* ---- the trace field --------------------------------------------------------------- */

static const struct {
	int64_t seconds;
	const char *want;
} dates[] = {
	{ 0, "Thu, 1 Jan 1970 00:00:00 +0000" },
	{ 951782399, "Mon, 28 Feb 2000 23:59:59 +0000" },
	{ 951782400, "Tue, 29 Feb 2000 00:00:00 +0000" },
	{ 1078099200, "Mon, 1 Mar 2004 00:00:00 +0000" },
	{ 1792152000, "Fri, 16 Oct 2026 12:00:00 +0000" },
	{ 4107542400, "Mon, 1 Mar 2100 00:00:00 +0000" },
};

static void dates_are_right(void **unused)
{
	(void)unused;
	for (size_t i = 0; i < COUNT_OF(dates); i++) {
		BUF(out, 64);

		trace_print_date(dates[i].seconds * 1000 + 999, &out);
		expect_text(dates[i].want, &out, dates[i].want);
	}
}

static void the_longest_trace_fits(void **unused)
{
	static char name[DOMAIN_MAX], rcpt[ADDRESS_MAX];
	const struct addr v6 = { { 0x20, 0x01, 0x0d, 0xb8, 1, 2, 3, 4, 5, 6, 7, 8, 9, 1,
				   2, 3 } };
	struct session_tls tls = { .bits = 65535 };
	struct trace trace = { span_of(name, sizeof(name)), &v6,	  &tls,
			       span_of(name, sizeof(name)), "UTF8SMTPS",  UINT64_MAX,
			       span_of(rcpt, sizeof(rcpt)), 4107542400000 };
	BUF(out, TRACE_MAX);

	(void)unused;
	memset(name, 'x', sizeof(name));
	memset(rcpt, 'y', sizeof(rcpt));
	memset(tls.version, 'v', sizeof(tls.version));
	memset(tls.cipher, 'c', sizeof(tls.cipher));
	trace_print(&trace, &out);
	assert_false(out.full);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(an_idle_session_is_small),
		TEST(a_letter_is_kept_from_mail_to_the_answer),
		TEST(ehlo_gives_the_letter_back),
		TEST(room_that_is_none_is_not_believed),
		TEST(an_id_is_taken_when_the_body_begins),
		TEST(the_log_can_read_what_a_transaction_is),
		TEST(late_answers_are_ignored),
		TEST(waking_up_too_early_changes_nothing),
		TEST(time_that_we_take_is_not_the_peers),
		TEST(a_message_without_end_is_cut_off),
		TEST(chunks_that_will_be_too_big_together_are_not_kept),
		TEST(a_session_is_refused_nothing_after_its_end),
		TEST(without_a_map_recipients_cannot_be_verified),
		TEST(a_map_that_is_stale_says_yes_and_never_no),
		TEST(dates_are_right),
		TEST(the_longest_trace_fits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
