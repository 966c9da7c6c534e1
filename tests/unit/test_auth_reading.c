/*
 * The auth role and those who read mail: the sessions that an account may have, and the
 * mailbox server as judge. As in test_auth.c, edges are played here and the rest is real.
 */
#include "auth_rig.h"

#define ALICE "alice@example.test"
#define HOME  addr_v4(192, 0, 2, 7)

/* ---- how many are open -------------------------------------------------------------------- */

static void let_in(struct rig *r, const struct login *l, unsigned edge, int n)
{
	for (int i = 0; i < n; i++)
		assert_int_equal(edge_read(r, edge, l).result, AUTHED_YES);
}

static void sessions_are_counted_until_they_end(void **state)
{
	struct rig *r = *state;
	struct login l = { ALICE, "right", HOME, 1 };
	uint64_t first;
	struct told t;

	r->conf.set.mailbox_network = 3;
	rig_put(r, ALICE, "right");
	rig_start(r);
	first = edge_read(r, 0, &l).ask;
	let_in(r, &l, 1, 2);
	t = edge_read(r, 0, &l);
	assert_int_equal(t.result, AUTHED_OVER);
	assert_int_equal(t.event, EV_LOGIN_OVER);
	assert_string_equal(t.reason, "over-limit");
	assert_string_equal(t.login, "");
	/* who sends is not counted, and wrong is wrong, however full it is */
	assert_int_equal(edge_try(r, &l).result, AUTHED_YES);
	l.secret = "wrong";
	t = edge_read(r, 0, &l);
	assert_int_equal(t.result, AUTHED_NO);
	assert_string_equal(t.reason, "wrong-password");
	l.secret = "right";
	edge_left(r, 0, first);
	edge_left(r, 0, first);
	edge_left(r, 1, first); /* another edge's: nobody's */
	let_in(r, &l, 1, 1);
	assert_int_equal(edge_read(r, 1, &l).result, AUTHED_OVER);
	/* elsewhere there is room */
	l.from = addr_v4(198, 51, 100, 1);
	let_in(r, &l, 1, 3);
}

static void what_an_edge_had_let_in_is_given_back_when_it_dies(void **state)
{
	struct rig *r = *state;
	struct login l = { ALICE, "right", HOME, 1 };

	r->conf.set.mailbox_user = 5;
	rig_put(r, ALICE, "right");
	rig_start(r);
	let_in(r, &l, 1, 4);
	let_in(r, &l, 0, 1);
	assert_int_equal(edge_read(r, 0, &l).result, AUTHED_OVER);
	rig_other_edge(r, 1);
	/* heard by another link than what follows: until it was */
	while (edge_read(r, 0, &l).result == AUTHED_OVER)
		;
	let_in(r, &l, 0, 3);
	assert_int_equal(edge_read(r, 0, &l).result, AUTHED_OVER);
}

static void what_an_auth_before_had_let_in_counts_until_it_has_left(void **state)
{
	struct rig *r = *state;
	struct login l = { ALICE, "right", HOME, 1 };

	r->conf.set.mailbox_user = 3;
	r->conf.set.mailbox_network = 2;
	rig_put(r, ALICE, "right");
	rig_start(r);
	edge_held(r, 0, 1000, &l);
	edge_held(r, 0, 1001, &l);
	assert_int_equal(edge_read(r, 0, &l).result, AUTHED_OVER);
	l.from = addr_v4(198, 51, 100, 1);
	let_in(r, &l, 0, 1);
	assert_int_equal(edge_read(r, 0, &l).result, AUTHED_OVER);
	edge_left(r, 0, 1000);
	let_in(r, &l, 0, 1);
	assert_int_equal(edge_read(r, 0, &l).result, AUTHED_OVER);
}

static void a_login_that_nobody_waited_for_counts_for_nothing(void **state)
{
	struct rig *r = *state;
	struct login l = { ALICE, "right", HOME, 1 };
	struct msg_AUTH_OVER m;
	struct told t;

	r->conf.set.mailbox_network = 2;
	rig_put(r, ALICE, "right");
	rig_start(r);
	for (int i = 0; i < 20; i++) {
		m.ask = edge_ask_for(r, 0, &l, SERVICE_POP3);
		msg_AUTH_OVER_pack(&m, link_begin(r->edges[0]));
		edge_send(r->edges[0]);
	}
	m.ask = edge_ask_for(r, 0, &l, SERVICE_POP3);
	do
		t = edge_hear(r, 0);
	while (t.ask != m.ask);
	assert_int_equal(t.result, AUTHED_YES);
	let_in(r, &l, 0, 1);
	assert_int_equal(edge_read(r, 0, &l).result, AUTHED_OVER);
}

static void those_that_come_at_once_are_no_more_than_the_limit(void **state)
{
	struct rig *r = *state;
	struct login l = { ALICE, "right", HOME, 1 };
	size_t in = 0, over = 0;

	r->conf.set.mailbox_network = 7;
	rig_put(r, ALICE, "right");
	rig_start(r);
	/* all of them share the outcome of one hash */
	for (int i = 0; i < 100; i++)
		edge_ask_for(r, 0, &l, SERVICE_IMAP);
	for (int i = 0; i < 100; i++) {
		struct told t = edge_hear(r, 0);

		in += t.result == AUTHED_YES;
		over += t.result == AUTHED_OVER;
	}
	assert_int_equal(in, 7);
	assert_int_equal(over, 93);
}

/* ---- the mailbox server as judge ----------------------------------------------------------- */

static void judge_is_backend(struct rig *r)
{
	r->conf.password_source_count = 2;
	r->conf.password_sources[0].kind = PASSWORDS_DATABASE;
	r->conf.password_sources[1].kind = PASSWORDS_BACKEND;
}

static struct told asked(struct rig *r, unsigned edge, const struct login *l)
{
	struct told t = edge_read(r, edge, l);

	assert_int_equal(t.result, AUTHED_ASK);
	return t;
}

/* Yes is the last word, if auth was sure. */
static struct told judged(struct rig *r, unsigned edge, struct told a, enum judged how)
{
	struct told t;

	edge_judged(r, edge, a.ask, how);
	if (a.sure && how == JUDGED_YES) {
		a.result = AUTHED_YES;
		return a;
	}
	t = edge_hear(r, edge);
	assert_int_equal(t.ask, a.ask);
	return t;
}

static void the_mailbox_server_is_asked_and_its_word_holds(void **state)
{
	struct rig *r = *state;
	struct login l = { "bob", "his", HOME, 1 };
	struct told t;

	judge_is_backend(r);
	rig_put(r, ALICE, "right");
	rig_start(r);
	t = judged(r, 0, asked(r, 0, &l), JUDGED_YES);
	assert_int_equal(t.result, AUTHED_YES);
	assert_string_equal(t.login, "bob@example.test");
	/* that is what an edge says: no reason to vouch for it */
	edge_ask_for(r, 0, &l, SERVICE_POP3);
	t = judged(r, 0, edge_hear(r, 0), JUDGED_YES);
	assert_int_equal(t.result, AUTHED_YES);
	assert_int_equal(t.ticket_n, 0);
	/* each time: who lets in is who is logged in to */
	assert_int_equal(judged(r, 0, asked(r, 0, &l), JUDGED_YES).result, AUTHED_YES);
	l.secret = "not his";
	t = judged(r, 0, asked(r, 0, &l), JUDGED_NO);
	assert_int_equal(t.result, AUTHED_NO);
	assert_string_equal(t.reason, "wrong-password");
	/* wrong ones are known here */
	t = edge_read(r, 0, &l);
	assert_int_equal(t.result, AUTHED_NO);
	assert_string_equal(t.reason, "repeated-password");
	/* who has a password here is nobody's business there, and nobody sends by its word */
	l = (struct login){ ALICE, "right", HOME, 1 };
	assert_int_equal(edge_read(r, 0, &l).result, AUTHED_YES);
	l = (struct login){ "bob", "his", HOME, 1 };
	assert_int_equal(edge_try(r, &l).result, AUTHED_NO);
}

static void a_token_is_for_the_mailbox_server_whoever_has_a_password_here(void **state)
{
	struct rig *r = *state;
	struct login l = { ALICE, "a token", HOME, 1 };
	struct told t;

	judge_is_backend(r);
	r->conf.mechanisms |= 1u << SASL_XOAUTH2;
	rig_put(r, ALICE, "right");
	rig_start(r);
	edge_ask_with(r, 0, &l, SERVICE_IMAP, SASL_XOAUTH2);
	t = edge_hear(r, 0);
	assert_int_equal(t.result, AUTHED_ASK);
	assert_int_equal(judged(r, 0, t, JUDGED_YES).result, AUTHED_YES);
	l.secret = "another token";
	edge_ask_with(r, 0, &l, SERVICE_IMAP, SASL_XOAUTH2);
	assert_int_equal(judged(r, 0, edge_hear(r, 0), JUDGED_NO).result, AUTHED_NO);
	/* her password is checked here all the same */
	l.secret = "right";
	assert_int_equal(edge_read(r, 0, &l).result, AUTHED_YES);
}

static void a_mailbox_server_that_does_not_answer_is_told_apart_from_no(void **state)
{
	struct rig *r = *state;
	struct login l = { "bob", "his", HOME, 1 };
	struct told t;

	judge_is_backend(r);
	rig_start(r);
	t = judged(r, 0, asked(r, 0, &l), JUDGED_NOT);
	assert_int_equal(t.result, AUTHED_LATER);
	assert_string_equal(t.reason, "mailbox-server");
	/* it was no attempt: nothing is held against that password */
	assert_int_equal(judged(r, 0, asked(r, 0, &l), JUDGED_YES).result, AUTHED_YES);
}

static void one_of_a_user_and_network_is_asked_about_and_others_wait(void **state)
{
	struct rig *r = *state;
	struct login l = { "bob", "his", HOME, 1 }, other = { "bob", "guess", HOME, 2 };
	uint64_t same, next;
	struct told first, t;

	judge_is_backend(r);
	rig_start(r);
	first = asked(r, 0, &l);
	same = edge_ask_for(r, 0, &l, SERVICE_IMAP);
	next = edge_ask_for(r, 0, &other, SERVICE_IMAP);
	t = judged(r, 0, first, JUDGED_YES);
	assert_int_equal(t.result, AUTHED_YES);
	/* the same secret shares its outcome, another one is asked about now */
	t = edge_hear(r, 0);
	assert_int_equal(t.ask, same);
	assert_int_equal(t.result, AUTHED_YES);
	t = edge_hear(r, 0);
	assert_int_equal(t.ask, next);
	assert_int_equal(t.result, AUTHED_ASK);
}

static void an_edge_that_dies_while_it_asks_leaves_nobody_waiting(void **state)
{
	struct rig *r = *state;
	struct login l = { "bob", "his", HOME, 1 }, other = { "bob", "guess", HOME, 2 };
	uint64_t waits;
	struct told t;

	judge_is_backend(r);
	rig_start(r);
	(void)asked(r, 1, &l);
	waits = edge_ask_for(r, 0, &other, SERVICE_IMAP);
	rig_other_edge(r, 1);
	t = edge_hear(r, 0);
	assert_int_equal(t.ask, waits);
	assert_int_equal(t.result, AUTHED_ASK);
	/* a word about what is no more, or never was, does no harm */
	edge_judged(r, 0, 4711, JUDGED_YES);
	assert_int_equal(judged(r, 0, t, JUDGED_NO).result, AUTHED_NO);
}

static void who_has_left_is_asked_about_no_more(void **state)
{
	struct rig *r = *state;
	struct login l = { "bob", "his", HOME, 1 };
	struct msg_AUTH_OVER m;

	judge_is_backend(r);
	rig_start(r);
	for (int i = 0; i < 50; i++) {
		m.ask = asked(r, 0, &l).ask;
		msg_AUTH_OVER_pack(&m, link_begin(r->edges[0]));
		edge_send(r->edges[0]);
	}
	assert_int_equal(judged(r, 0, asked(r, 0, &l), JUDGED_YES).result, AUTHED_YES);
}

/* The place of its session is kept meanwhile: it is no session over the limit afterwards. */
static void of_a_device_that_is_known_yes_is_the_last_word(void **state)
{
	struct rig *r = *state;
	struct login l = { "bob", "his", HOME, 1 }, new = { "bob", "his", HOME, 2 };
	struct told one, two;

	judge_is_backend(r);
	r->conf.set.mailbox_network = 3;
	rig_start(r);
	one = asked(r, 0, &l);
	assert_false(one.sure);
	(void)judged(r, 0, one, JUDGED_YES);
	assert_false(asked(r, 0, &new).sure);
	rig_other_edge(r, 0);
	one = asked(r, 0, &l);
	assert_true(one.sure);
	edge_judged(r, 0, one.ask, JUDGED_YES);
	/* heard in its turn, and nothing before it */
	two = asked(r, 0, &l);
	assert_true(two.sure);
	assert_int_equal(judged(r, 0, two, JUDGED_NO).result, AUTHED_NO);
	l.secret = "his new one";
	(void)judged(r, 0, asked(r, 0, &l), JUDGED_YES);
	two = asked(r, 0, &l);
	assert_true(two.sure);
	(void)judged(r, 0, two, JUDGED_YES);
	assert_int_equal(edge_read(r, 0, &l).result, AUTHED_OVER);
	edge_left(r, 0, one.ask);
	assert_true(asked(r, 0, &l).sure);
}

static void a_place_that_was_kept_is_free_when_nobody_comes(void **state)
{
	struct rig *r = *state;
	struct login l = { "bob", "his", HOME, 1 };
	struct msg_AUTH_OVER m;
	struct told t;

	judge_is_backend(r);
	r->conf.set.mailbox_network = 2;
	rig_start(r);
	t = judged(r, 0, asked(r, 0, &l), JUDGED_YES);
	edge_left(r, 0, t.ask);
	/* nor is anybody over the limit if an edge says that it ended before it began */
	t = asked(r, 0, &l);
	edge_left(r, 0, t.ask);
	(void)judged(r, 0, t, JUDGED_YES);
	for (int i = 0; i < 5; i++) {
		t = asked(r, 0, &l);
		assert_true(t.sure);
		m.ask = t.ask;
		msg_AUTH_OVER_pack(&m, link_begin(r->edges[0]));
		edge_send(r->edges[0]);
		t = asked(r, 0, &l);
		assert_true(t.sure);
		assert_int_equal(judged(r, 0, t, JUDGED_NOT).result, AUTHED_LATER);
	}
	(void)judged(r, 0, asked(r, 0, &l), JUDGED_YES);
	assert_int_equal(edge_read(r, 0, &l).result, AUTHED_OVER);
}

static void over_the_limit_the_mailbox_server_is_left_alone(void **state)
{
	struct rig *r = *state;
	struct login l = { "bob", "his", HOME, 1 };

	judge_is_backend(r);
	r->conf.set.mailbox_network = 2;
	rig_start(r);
	for (int i = 0; i < 2; i++)
		assert_int_equal(judged(r, 0, asked(r, 0, &l), JUDGED_YES).result,
				 AUTHED_YES);
	for (int i = 0; i < 50; i++)
		assert_int_equal(edge_read(r, 0, &l).result, AUTHED_OVER);
}

/* Ten thousand come back at once, and the mailbox servers have to be asked about each. */
static void when_all_come_back_known_devices_are_asked_about_first(void **state)
{
	struct rig *r = *state;
	struct login l = { "bob", "his", HOME, 1 };
	char names[40][32];
	size_t ask = 0, later = 0;

	judge_is_backend(r);
	r->conf.set.auth_queue = 10;
	rig_start(r);
	assert_int_equal(judged(r, 1, asked(r, 1, &l), JUDGED_YES).result, AUTHED_YES);
	for (uint8_t i = 0; i < 40; i++) {
		struct login stranger = { names[i], "guess", addr_v4(203, 0, i, 1), 2 };
		struct told t;

		snprintf(names[i], sizeof(names[i]), "user%u", i);
		t = edge_read(r, 0, &stranger);
		ask += t.result == AUTHED_ASK;
		later += t.result == AUTHED_LATER;
	}
	assert_int_equal(ask, 10);
	assert_int_equal(later, 30);
	assert_int_equal(judged(r, 1, asked(r, 1, &l), JUDGED_YES).result, AUTHED_YES);
}

static void a_word_that_no_edge_of_ours_says_cuts_it_off(void **state)
{
	struct rig *r = *state;
	struct login l = { "bob", "his", HOME, 1 };
	struct frame f;

	judge_is_backend(r);
	rig_start(r);
	edge_judged(r, 1, asked(r, 1, &l).ask, JUDGED_COUNT);
	assert_int_equal(link_recv_wait(r->edges[1], PATIENCE, &f, &err), LINK_CLOSED);
}

/* ---- what is told -------------------------------------------------------------------------- */

static void a_storm_over_the_limit_is_one_record_and_all_refusals_are_counted(void **state)
{
	struct rig *r = *state;
	struct login l = { ALICE, "right", HOME, 1 };
	struct pulse_record rec;
	uint64_t lost = 0;
	size_t told = 0;
	char text[1024] = "";

	r->conf.set.mailbox_network = 2;
	rig_put(r, ALICE, "right");
	rig_start(r);
	let_in(r, &l, 0, 2);
	for (int i = 0; i < 500; i++)
		assert_int_equal(edge_read(r, 0, &l).result, AUTHED_OVER);
	while (pulse_next(r->pulse, &rec, &lost)) {
		uint8_t mem[1024];
		struct buf b;

		if (rec.kind != LOG_RUNAWAY)
			continue;
		told++;
		buf_init(&b, mem, sizeof(mem));
		fields_print_logfmt(rec.fields, 0, &b);
		snprintf(text, sizeof(text), "%.*s", SPAN_ARG(buf_span(&b)));
	}
	assert_int_equal(pulse_counted_record(r->pulse, LOG_LOGIN_FAILED), 500);
	assert_int_equal(told, 1);
	if (!strstr(text, "client.test") || !strstr(text, "is=runaway-client") ||
	    !strstr(text, "key=alice@example.test"))
		fail_msg("%s", text);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_set_up, rig_tear_down)
	const struct CMUnitTest tests[] = {
		TEST(sessions_are_counted_until_they_end),
		TEST(what_an_edge_had_let_in_is_given_back_when_it_dies),
		TEST(what_an_auth_before_had_let_in_counts_until_it_has_left),
		TEST(a_login_that_nobody_waited_for_counts_for_nothing),
		TEST(those_that_come_at_once_are_no_more_than_the_limit),
		TEST(the_mailbox_server_is_asked_and_its_word_holds),
		TEST(a_token_is_for_the_mailbox_server_whoever_has_a_password_here),
		TEST(a_mailbox_server_that_does_not_answer_is_told_apart_from_no),
		TEST(one_of_a_user_and_network_is_asked_about_and_others_wait),
		TEST(an_edge_that_dies_while_it_asks_leaves_nobody_waiting),
		TEST(who_has_left_is_asked_about_no_more),
		TEST(of_a_device_that_is_known_yes_is_the_last_word),
		TEST(a_place_that_was_kept_is_free_when_nobody_comes),
		TEST(over_the_limit_the_mailbox_server_is_left_alone),
		TEST(when_all_come_back_known_devices_are_asked_about_first),
		TEST(a_word_that_no_edge_of_ours_says_cuts_it_off),
		TEST(a_storm_over_the_limit_is_one_record_and_all_refusals_are_counted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
