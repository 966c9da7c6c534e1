/*
 * What our users send, and what comes back: where it goes, who is told of failures, how
 * much an account may send. A store in a process of its own; edges and auth are played.
 */
#include "store_rig.h"

#include <sqlite3.h>
#include <time.h>

#include "store/notify.h"

#define LOGIN "alice@here.example"

static int set_up_out(void **state)
{
	struct rig *r;
	int failed = set_up(state);

	r = *state;
	if (failed)
		return failed;
	kill_store(r);
	r->conf.listener_count = 1;
	r->conf.listeners[0].at.port = 587;
	r->conf.listeners[0].auth = true;
	r->conf.listeners[0].service = SERVICE_SUBMISSION;
	r->conf.relay_hop = HOP_MX;
	r->conf.set.hop_tls = HOP_TLS_MAY;
	start_store(r);
	add(r, "user add " LOGIN);
	add(r, "user add bob@here.example");
	add(r, "alias add postmaster@here.example bob@here.example");
	return 0;
}

static void again(struct rig *r)
{
	kill_store(r);
	start_store(r);
}

static int64_t wall_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

struct mail_in {
	const char *sender, *rcpts; /* separated by blanks */
	uint32_t flags;
	const char *notify; /* the same for all; NULL: none */
	const char *body;
	const char *envid;
	int64_t wall;			  /* 0: now; what is old is given up soon */
	const char *login;		  /* NULL: LOGIN, of who has logged in */
	const struct made_ticket *ticket; /* NULL: a good one */
	bool no_ticket;
};

static uint64_t send_in(struct rig *r, const struct mail_in *in)
{
	const char *body = in->body ? in->body : "Subject: hello\r\n\r\nbody\r\n";
	struct span left = span_str(in->rcpts);
	BUF(list, 40000);
	int64_t wall = in->wall ? in->wall : wall_now();
	uint64_t id = id_next(&r->ids, wall);
	struct made_ticket ticket = ticket_for(TICKET_MAIL, EDGE, SPAN(LOGIN), MS_MINUTE);
	struct msg_SUBMIT m = {
		.id = id,
		.nonce = id + 1,
		.flags = in->flags,
		.size = strlen(body),
		.wall = wall,
		.helo = SPAN("pc.example"),
		.login = in->login		 ? span_str(in->login)
			 : in->flags & MAIL_AUTH ? SPAN(LOGIN)
						 : SPAN_NONE,
		.ticket = span_of(in->ticket ? in->ticket->mem : ticket.mem,
				  in->no_ticket ? 0 : TICKET_SIZE),
		.sender = span_str(in->sender),
		.envid = span_str(in->envid ? in->envid : ""),
		.body = span_str(body),
	};

	for (; left.n; m.rcpt_count++) {
		BUF(item, 1024);

		buf_put(&item, span_cut(&left, ' '));
		if (in->notify)
			buf_fmt(&item, "\t%s", in->notify);
		list_put(&list, buf_span(&item));
	}
	assert_false(list.full);
	m.rcpts = buf_span(&list);
	msg_SUBMIT_pack(&m, link_begin(r->edge));
	assert_true(link_send(r->edge, NULL, 0));
	return id;
}

static uint64_t sent_in(struct rig *r, const struct mail_in *in)
{
	uint64_t id = send_in(r, in);

	assert_int_equal(answer_for(r, id), SUBMITTED_OK);
	return id;
}

static uint64_t given(struct rig *r, const char *sender, const char *rcpts,
		      uint32_t flags, const char *notify)
{
	return send_in(r, &(struct mail_in){ .sender = sender,
					     .rcpts = rcpts,
					     .flags = flags,
					     .notify = notify });
}

static uint64_t sent(struct rig *r, const char *sender, const char *rcpts, uint32_t flags,
		     const char *notify)
{
	uint64_t id = given(r, sender, rcpts, flags, notify);

	assert_int_equal(answer_for(r, id), SUBMITTED_OK);
	return id;
}

static enum verdict verdict_on(struct rig *r, const char *address, bool bounce)
{
	struct msg_VERIFY m = { .ask = 9, .bounce = bounce, .address = span_str(address) };
	struct msg_VERDICT v;
	struct frame f;

	msg_VERIFY_pack(&m, link_begin(r->edge));
	assert_true(link_send(r->edge, NULL, 0));
	hear(r->edge, MSG_VERDICT, &f);
	assert_true(msg_VERDICT_unpack(f.bytes, &v));
	return (enum verdict)v.verdict;
}

/* What is in a mailbox, all of it; waits until there are so many. */
static const char *mail_of(struct rig *r, const char *box, size_t count)
{
	static char text[65536];
	char line[256];
	FILE *f;
	size_t n;

	for (int i = 0; i < PATIENCE / 10 && mails_in(r, box) < count; i++)
		poll(NULL, 0, 10);
	assert_int_equal(mails_in(r, box), count);
	snprintf(line, sizeof(line), "cat %s/mail/%s/new/* 2>/dev/null", r->dir, box);
	f = popen(line, "r");
	n = fread(text, 1, sizeof(text) - 1, f);
	text[n] = '\0';
	pclose(f);
	return text;
}

static void has(const char *text, const char *what)
{
	if (!strstr(text, what))
		fail_msg("\"%s\" is not in: %s", what, text);
}

static void until_dead(struct rig *r)
{
	for (int i = 0; i < PATIENCE / 10; i++) {
		do_command(r, "queue list --state dead");
		if (r->row_count > 0)
			return;
		poll(NULL, 0, 10);
	}
	fail_msg("nothing is dead");
}

/* ---- where it goes -------------------------------------------------------------------------- */

static void mail_goes_where_the_configuration_says(void **state)
{
	static const struct {
		const char *why, *rcpt;
		uint32_t flags;
		enum hop hop;
		const char *target;
		enum hop_tls tls;
		const char *login;
	} rows[] = {
		{ "by the DNS", "x@far.example", MAIL_AUTH, HOP_MX, "far.example",
		  HOP_TLS_MAY, "" },
		{ "the domain in lower case", "x@FAR.Example", MAIL_AUTH, HOP_MX,
		  "far.example", HOP_TLS_MAY, "" },
		{ "a row for the domain", "x@one.example", MAIL_AUTH, HOP_SMTP, "hub:25",
		  HOP_TLS_MUST, "hub" },
		{ "a row for those below", "x@a.below.example", MAIL_AUTH, HOP_SMTP,
		  "low:25", HOP_TLS_NONE, "" },
		{ "the exact row wins", "x@exact.below.example", MAIL_AUTH, HOP_MX,
		  "exact.below.example", HOP_TLS_VERIFY, "" },
		{ "below is not itself", "x@below.example", MAIL_AUTH, HOP_MX,
		  "below.example", HOP_TLS_MAY, "" },
		{ "below is not beside", "x@abelow.example", MAIL_AUTH, HOP_MX,
		  "abelow.example", HOP_TLS_MAY, "" },
		{ "none", "x@none.example", MAIL_AUTH, HOP_COUNT, NULL, 0, NULL },
		{ "a stranger", "x@far.example", 0, HOP_COUNT, NULL, 0, NULL },
		{ "who says that it is us", "x@far.example", MAIL_OURS, HOP_COUNT, NULL,
		  0, NULL },
		{ "no program of this machine may send", "x@far.example", MAIL_LOCAL,
		  HOP_COUNT, NULL, 0, NULL },
	};
	static const struct relay relays[] = {
		{ .domain = "below.example",
		  .below = true,
		  .hop = HOP_SMTP,
		  .target = "low:25",
		  .tls = HOP_TLS_NONE },
		{ .domain = "one.example",
		  .hop = HOP_SMTP,
		  .target = "hub:25",
		  .tls = HOP_TLS_MUST,
		  .login = "hub" },
		{ .domain = "exact.below.example", .hop = HOP_MX, .tls = HOP_TLS_VERIFY },
		{ .domain = "none.example", .hop = HOP_COUNT },
	};
	struct rig *r = *state;

	memcpy(r->conf.relays, relays, sizeof(relays));
	r->conf.relay_count = COUNT_OF(relays);
	again(r);
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		uint64_t id = send_in(r, &(struct mail_in){ .sender = LOGIN,
							    .rcpts = rows[i].rcpt,
							    .flags = rows[i].flags });
		enum submitted want = rows[i].hop == HOP_COUNT ? SUBMITTED_FAILED
							       : SUBMITTED_OK;
		struct msg_DELIVER m;
		struct frame f;

		if (answer_for(r, id) != want)
			fail_msg("%s", rows[i].why);
		if (rows[i].hop == HOP_COUNT)
			continue;
		deliver_answer(r, job_given(r, &m, &f), "250 ok");
		if (m.hop != rows[i].hop || m.tls != rows[i].tls)
			fail_msg("%s: hop %d, tls %d", rows[i].why, m.hop, m.tls);
		expect_span(rows[i].why, m.target, span_str(rows[i].target));
		expect_span(rows[i].why, m.credential, span_str(rows[i].login));
	}
}

static void without_a_port_for_logins_nobody_relays(void **state)
{
	struct rig *r = *state;
	struct mail_in in = { .sender = LOGIN,
			      .rcpts = "x@far.example",
			      .flags = MAIL_AUTH };
	uint64_t id;

	r->conf.listeners[0].auth = false;
	again(r);
	id = send_in(r, &in);
	assert_int_equal(answer_for(r, id), SUBMITTED_FAILED);
}

/* ---- in whose name ------------------------------------------------------------------ */

/* An edge in a stranger's hands is cut off, and the store serves on. */
static void claims(struct rig *r, struct mail_in *in)
{
	struct frame f;

	in->sender = LOGIN;
	in->rcpts = "x@far.example";
	in->flags = MAIL_AUTH;
	(void)send_in(r, in);
	assert_int_equal(link_recv_wait(r->edge, PATIENCE, &f, &err), LINK_CLOSED);
	do_command(r, "queue list");
	assert_int_equal(r->row_count, 0);
	assert_true(pulse_counted_record(r->pulse, LOG_LINK_BROKEN) == 1);
}

static void an_edge_cannot_send_in_the_name_of_who_did_not_log_in(void **state)
{
	claims(*state, &(struct mail_in){ .no_ticket = true });
}

static void an_edge_cannot_send_in_another_name_than_was_vouched_for(void **state)
{
	struct made_ticket t = ticket_for(TICKET_MAIL, EDGE, SPAN("bob@here.example"),
					  MS_MINUTE);

	claims(*state, &(struct mail_in){ .ticket = &t });
}

static void an_edge_cannot_send_for_who_came_to_read(void **state)
{
	struct made_ticket t = ticket_for(TICKET_MAILBOX, EDGE, SPAN(LOGIN), MS_MINUTE);

	claims(*state, &(struct mail_in){ .ticket = &t });
}

static void an_edge_cannot_send_for_who_logged_in_to_another(void **state)
{
	struct made_ticket t = ticket_for(TICKET_MAIL, EDGE + 1, SPAN(LOGIN), MS_MINUTE);

	claims(*state, &(struct mail_in){ .ticket = &t });
}

static void a_session_that_lasted_too_long_has_to_log_in_again(void **state)
{
	struct made_ticket late = ticket_for(TICKET_MAIL, EDGE, SPAN(LOGIN), 0);
	struct mail_in in = { .sender = LOGIN,
			      .rcpts = "bob@here.example",
			      .flags = MAIL_AUTH,
			      .ticket = &late };
	struct rig *r = *state;
	uint64_t id = send_in(r, &in);

	assert_int_equal(answer_for(r, id), SUBMITTED_FAILED);
	sent(r, LOGIN, "bob@here.example", MAIL_AUTH, NULL);
}

static void what_waits_goes_elsewhere_after_a_reload(void **state)
{
	struct rig *r = *state;
	struct msg_CONF conf = { .generation = 2 };
	struct msg_DELIVER m;
	struct frame f;
	bool moved = false;
	int fd;

	r->conf.relay_hop = HOP_SMTP;
	snprintf(r->conf.relay_target, TEXT_MAX, "old:25");
	again(r);
	sent(r, LOGIN, "x@far.example", MAIL_AUTH, NULL);
	deliver_answer(r, job_given(r, &m, &f), "451 later");
	expect_span("before", m.target, SPAN("old:25"));
	snprintf(r->conf.relay_target, TEXT_MAX, "new:25");
	fd = memfd_of(span_of(&r->conf, sizeof(r->conf)));
	msg_CONF_pack(&conf, link_begin(r->life));
	assert_true(link_send(r->life, &fd, 1));
	close(fd);
	hear(r->edge, MSG_RECIPIENTS, &f);
	frame_close_fds(&f);
	for (int i = 0; i < PATIENCE / 10 && !moved; i++) {
		do_command(r, "queue stats");
		moved = rows_say(r, "new:25");
		poll(NULL, 0, 10);
	}
	assert_true(moved);
	assert_true(command(r, "queue retry all"));
	deliver_answer(r, job_given(r, &m, &f), "250 ok");
	expect_span("after", m.target, SPAN("new:25"));
}

static void wait_deferred(struct rig *r)
{
	for (int i = 0; i < PATIENCE / 10; i++) {
		do_command(r, "queue list --state deferred");
		if (r->row_count)
			break;
		poll(NULL, 0, 10);
	}
	assert_true(r->row_count > 0);
}

static void what_was_held_over_a_restart_is_found_when_it_is_released(void **state)
{
	struct rig *r = *state;
	struct msg_DELIVER m;
	struct frame f;

	sent(r, LOGIN, "x@far.example", MAIL_AUTH, NULL);
	deliver_answer(r, job_given(r, &m, &f), "451 later");
	wait_deferred(r);
	assert_true(command(r, "queue hold all"));
	again(r);
	assert_true(command(r, "queue release all"));
	deliver_answer(r, job_given(r, &m, &f), "250 ok");
	expect_span("target", m.target, SPAN("far.example"));
}

/* ---- forwarding ------------------------------------------------------------------------------- */

static void what_an_alias_forwards_gets_a_sender_that_comes_back(void **state)
{
	struct rig *r = *state;
	char made[ADDRESS_MAX + 1], forged[ADDRESS_MAX + 1];
	struct msg_DELIVER m;
	struct frame f;
	uint64_t id;

	add(r, "alias add fwd@here.example carl@far.example");
	sent(r, "dora@away.example", "fwd@here.example", 0, NULL);
	deliver_answer(r, job_given(r, &m, &f), "250 ok");
	expect_span("target", m.target, SPAN("far.example"));
	snprintf(made, sizeof(made), "%.*s", SPAN_ARG(m.sender));
	has(made, "SRS0=");
	has(made, "=away.example=dora@here.example");

	/* a bounce to it goes to the sender, and nothing else does */
	assert_int_equal(verdict_on(r, made, true), VERDICT_YES);
	assert_int_equal(verdict_on(r, made, false), VERDICT_NO);
	snprintf(forged, sizeof(forged), "%s", made);
	forged[6] = forged[6] == 'A' ? 'B' : 'A';
	assert_int_equal(verdict_on(r, forged, true), VERDICT_FORGED);
	sent(r, "", made, 0, NULL);
	deliver_answer(r, job_given(r, &m, &f), "250 ok");
	expect_span("back", m.target, SPAN("away.example"));
	expect_span("no sender", m.sender, SPAN(""));
	id = given(r, "spam@away.example", made, 0, NULL);
	assert_int_equal(answer_for(r, id), SUBMITTED_FAILED);
	id = given(r, "", forged, 0, NULL);
	assert_int_equal(answer_for(r, id), SUBMITTED_FAILED);

	/* the key outlives a restart */
	again(r);
	assert_int_equal(verdict_on(r, made, true), VERDICT_YES);
}

static void what_is_forwarded_for_two_aliases_goes_out_under_each(void **state)
{
	struct rig *r = *state;
	struct msg_DELIVER m;
	struct frame f;
	unsigned seen = 0;

	add(r, "domain add other.example");
	add(r, "alias add a@here.example one@far.example");
	add(r, "alias add b@other.example two@far.example");
	sent(r, "d@away.example", "a@here.example b@other.example", 0, NULL);
	for (int i = 0; i < 2; i++) {
		char sender[ADDRESS_MAX + 1];

		deliver_answer(r, job_given(r, &m, &f), "250 ok");
		assert_int_equal(list_count(m.rcpts), 1);
		snprintf(sender, sizeof(sender), "%.*s", SPAN_ARG(m.sender));
		seen |= strstr(sender, "@here.example") ? 1 : 2;
	}
	assert_int_equal(seen, 3);
}

static void bounces_need_the_tag_that_our_mail_has(void **state)
{
	struct rig *r = *state;
	char tagged[ADDRESS_MAX + 1], forged[ADDRESS_MAX + 1];
	struct msg_DELIVER m;
	struct frame f;

	r->conf.set.batv = true;
	again(r);
	sent(r, LOGIN, "x@far.example", MAIL_AUTH, NULL);
	deliver_answer(r, job_given(r, &m, &f), "250 ok");
	snprintf(tagged, sizeof(tagged), "%.*s", SPAN_ARG(m.sender));
	has(tagged, "prvs=");
	snprintf(forged, sizeof(forged), "%s", tagged);
	forged[9] = forged[9] == '0' ? '1' : '0';
	assert_int_equal(verdict_on(r, tagged, true), VERDICT_YES);
	assert_int_equal(verdict_on(r, LOGIN, true), VERDICT_FORGED);
	assert_int_equal(verdict_on(r, forged, true), VERDICT_FORGED);
	assert_int_equal(verdict_on(r, LOGIN, false), VERDICT_YES);
	assert_int_equal(verdict_on(r, "postmaster@here.example", true), VERDICT_YES);
	sent(r, "", tagged, 0, NULL);
	mail_of(r, "here.example/alice", 1);
}

/* ---- notices ------------------------------------------------------------------------------------- */

static void who_is_told_and_who_never(void **unused)
{
	static const struct {
		const char *who;
		uint32_t flags;
		const char *sender, *params;
		enum dsn_action action;
		bool told;
	} rows[] = {
		{ "who logged in, of a failure", MAIL_AUTH, LOGIN, "", DSN_FAILED, true },
		{ "a program of this machine", MAIL_LOCAL, LOGIN, "", DSN_FAILED, true },
		{ "who logged in, of a delay", MAIL_AUTH, LOGIN, "", DSN_DELAYED, true },
		{ "not of a delivery, if unasked", MAIL_AUTH, LOGIN, "", DSN_DELIVERED,
		  false },
		{ "not of a relay, if unasked", MAIL_AUTH, LOGIN, "", DSN_RELAYED, false },
		{ "a stranger, of a failure", 0, LOGIN, "", DSN_FAILED, false },
		{ "a stranger, of a delay", 0, LOGIN, "", DSN_DELAYED, false },
		{ "a stranger who asks for it", 0, "x@far.example",
		  "NOTIFY=SUCCESS,FAILURE,DELAY", DSN_FAILED, false },
		{ "a stranger over TLS", MAIL_TLS | MAIL_8BIT, "x@far.example", "",
		  DSN_FAILED, false },
		{ "the null sender", MAIL_AUTH, "", "", DSN_FAILED, false },
		{ "what we made", MAIL_OURS, LOGIN, "", DSN_FAILED, false },
		{ "what we made for who logged in", MAIL_OURS | MAIL_AUTH, LOGIN, "",
		  DSN_FAILED, false },
		{ "who wants none", MAIL_AUTH, LOGIN, "NOTIFY=NEVER", DSN_FAILED, false },
		{ "who wants none, of a delay", MAIL_AUTH, LOGIN, "NOTIFY=NEVER",
		  DSN_DELAYED, false },
		{ "who wants only successes", MAIL_AUTH, LOGIN, "NOTIFY=SUCCESS",
		  DSN_FAILED, false },
		{ "of a success", MAIL_AUTH, LOGIN, "NOTIFY=SUCCESS", DSN_DELIVERED, true },
		{ "of a relay", MAIL_AUTH, LOGIN, "notify=success", DSN_RELAYED, true },
		{ "who wants only failures, of a delay", MAIL_AUTH, LOGIN,
		  "NOTIFY=FAILURE", DSN_DELAYED, false },
		{ "who wants delays", MAIL_AUTH, LOGIN, "NOTIFY=DELAY ORCPT=rfc822;a@b",
		  DSN_DELAYED, true },
		{ "who only says ORCPT", MAIL_AUTH, LOGIN, "ORCPT=rfc822;a@b", DSN_FAILED,
		  true },
		{ "parameters that make no sense", MAIL_AUTH, LOGIN,
		  "NOTIFY=NEVER,SUCCESS", DSN_FAILED, false },
	};

	(void)unused;
	for (size_t i = 0; i < COUNT_OF(rows); i++)
		if (notify_owed(rows[i].flags, span_str(rows[i].sender),
				span_str(rows[i].params), rows[i].action) != rows[i].told)
			fail_msg("%s", rows[i].who);
}

static void a_failure_is_told_to_who_logged_in(void **state)
{
	struct rig *r = *state;
	struct msg_DELIVER m;
	struct frame f;
	const char *text;

	sent_in(r, &(struct mail_in){ .sender = LOGIN,
				      .rcpts = "gone@far.example",
				      .flags = MAIL_AUTH,
				      .notify = "ORCPT=rfc822;Gone@far.example",
				      .envid = "QQ314159" });
	deliver_answer(r, job_given(r, &m, &f), "550 5.1.1 no such user here");
	expect_span("envid", m.envid, SPAN("QQ314159"));
	text = mail_of(r, "here.example/alice", 1);
	has(text, "Return-Path: <>");
	has(text, "multipart/report");
	has(text, "Final-Recipient: rfc822; gone@far.example");
	has(text, "Original-Recipient: rfc822; Gone@far.example");
	has(text, "Original-Envelope-Id: QQ314159");
	has(text, "Status: 5.1.1");
	has(text, "Action: failed");
	has(text, "no such user here");
	has(text, "Subject: hello");
	until_dead(r);
}

static void a_failure_is_never_told_to_a_stranger(void **state)
{
	struct rig *r = *state;
	struct msg_DELIVER m;
	struct frame f;

	sent(r, LOGIN, "x@hop.example", 0, NULL);
	deliver_answer(r, job_given(r, &m, &f), "550 no");
	until_dead(r);
	do_command(r, "queue list");
	assert_int_equal(r->row_count, 1);
	assert_int_equal(mails_in(r, "here.example/alice"), 0);
}

/* Who logged in may give a sender that is not here (submission.senders): it hears nothing. */
static void a_failure_is_never_told_to_somebody_elsewhere(void **state)
{
	struct rig *r = *state;
	struct msg_DELIVER m;
	struct frame f;
	int dead = 0;

	r->conf.set.senders = SENDERS_ANY;
	again(r);
	sent(r, "victim@away.example", "x@far.example", MAIL_AUTH, NULL);
	deliver_answer(r, job_given(r, &m, &f), "550 no");
	for (int i = 0; i < PATIENCE / 10 && dead < 2; i++) {
		do_command(r, "queue list --state dead");
		dead = (int)r->row_count;
		poll(NULL, 0, 10);
	}
	assert_int_equal(dead, 2); /* the message, and the notice that nobody gets */
}

static void a_success_is_told_if_it_was_asked_for(void **state)
{
	struct rig *r = *state;
	struct msg_DELIVER m;
	struct frame f;

	sent(r, LOGIN, "bob@here.example", MAIL_AUTH, "NOTIFY=SUCCESS");
	has(mail_of(r, "here.example/alice", 1), "Action: delivered");
	sent(r, LOGIN, "x@far.example", MAIL_AUTH, "NOTIFY=SUCCESS");
	deliver_answer(r, job_given(r, &m, &f), "250 ok");
	has(mail_of(r, "here.example/alice", 2), "Action: relayed");
}

static void a_next_hop_that_tells_of_successes_itself_is_left_to_it(void **state)
{
	struct rig *r = *state;
	struct msg_DELIVERED d = { .dsn = 1, .host = SPAN("mx.far.example") };
	struct msg_DELIVER m;
	struct span list, item;
	struct frame f;
	BUF(answers, 100);

	sent(r, LOGIN, "x@far.example", MAIL_AUTH, "NOTIFY=SUCCESS");
	d.job = job_given(r, &m, &f);
	list = m.rcpts;
	assert_true(list_next(&list, &item));
	expect_span("recipient", item, SPAN("x@far.example\tNOTIFY=SUCCESS"));
	list_put(&answers, SPAN("250 ok"));
	d.answers = buf_span(&answers);
	msg_DELIVERED_pack(&d, link_begin(r->edge));
	assert_true(link_send(r->edge, NULL, 0));
	until_empty(r);
	assert_int_equal(mails_in(r, "here.example/alice"), 0);
}

static void a_notice_that_fails_is_the_end(void **state)
{
	struct rig *r = *state;
	struct msg_DELIVER m;
	struct frame f;

	/* alice's mail goes to a next hop that refuses it */
	r->conf.set.senders = SENDERS_ANY;
	again(r);
	add(r, "alias add out@here.example out@hop.example");
	sent(r, "out@here.example", "gone@far.example", MAIL_AUTH, NULL);
	deliver_answer(r, job_given(r, &m, &f), "550 no");
	deliver_answer(r, job_given(r, &m, &f), "550 not here either");
	expect_span("the notice", m.sender, SPAN(""));
	expect_span("goes to", m.target, SPAN("box:24"));
	for (int i = 0; i < PATIENCE / 10; i++) {
		do_command(r, "queue list --state dead");
		if (r->row_count == 2)
			break;
		poll(NULL, 0, 10);
	}
	assert_int_equal(r->row_count, 2);
	do_command(r, "queue list");
	assert_int_equal(r->row_count, 2);
}

static void a_crash_neither_loses_nor_doubles_a_notice(void **state)
{
	struct rig *r = *state;

	for (size_t round = 0; round < 6; round++) {
		struct msg_DELIVER m;
		struct frame f;
		enum link_got got;

		sent(r, LOGIN, "gone@far.example", MAIL_AUTH, NULL);
		deliver_answer(r, job_given(r, &m, &f), "550 no");
		if (round % 2)
			poll(NULL, 0, (int)round);
		kill_store(r);
		start_store(r);
		/* either it was noted, and told; or it is tried once more */
		while (mails_in(r, "here.example/alice") < round + 1) {
			got = link_recv_wait(r->edge, 20, &f, &err);
			if (got == LINK_GOT && f.kind == MSG_DELIVER &&
			    msg_DELIVER_unpack(f.bytes, &m))
				deliver_answer(r, m.job, "550 no");
		}
	}
	poll(NULL, 0, 100);
	assert_int_equal(mails_in(r, "here.example/alice"), 6);
}

static void notices_above_the_budget_are_held(void **state)
{
	struct rig *r = *state;
	size_t held = 0;

	r->conf.set.bounce_budget = 2;
	again(r);
	for (int i = 0; i < 5; i++) {
		struct msg_DELIVER m;
		struct frame f;

		sent(r, LOGIN, "gone@far.example", MAIL_AUTH, NULL);
		deliver_answer(r, job_given(r, &m, &f), "550 no");
	}
	for (int i = 0; i < PATIENCE / 10 && held < 3; i++) {
		do_command(r, "queue list --state hold");
		held = r->row_count;
		poll(NULL, 0, 10);
	}
	assert_int_equal(held, 3);
	mail_of(r, "here.example/alice", 2);
	assert_true(command(r, "queue release all"));
	mail_of(r, "here.example/alice", 5);
}

static void who_waits_long_is_told_once(void **state)
{
	struct rig *r = *state;
	struct msg_DELIVER m;
	struct frame f;

	r->conf.set.delay_notice = 1;
	sent(r, LOGIN, "x@far.example", MAIL_AUTH, NULL);
	deliver_answer(r, job_given(r, &m, &f), "451 4.7.1 greylisted");
	wait_deferred(r);
	/* what a minute brings also comes after a start */
	again(r);
	has(mail_of(r, "here.example/alice", 1), "Action: delayed");
	has(mail_of(r, "here.example/alice", 1), "greylisted");
	again(r);
	poll(NULL, 0, 2500);
	assert_int_equal(mails_in(r, "here.example/alice"), 1);
}

static sqlite3 *queue_of(struct rig *r, const char *sql)
{
	char path[128];
	sqlite3 *db;

	below(r, "queue/queue.db", path, sizeof(path));
	assert_int_equal(sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE, NULL),
			 SQLITE_OK);
	sqlite3_busy_timeout(db, PATIENCE);
	assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
	return db;
}

static void change_queue(struct rig *r, const char *sql)
{
	sqlite3_close(queue_of(r, sql));
}

/*
 * It is tried once more without what makes it fail. Behind a database that is locked for a
 * moment, what the first tick brings and a message that cannot be stored wait for one batch.
 */
static void a_batch_that_fails_takes_no_notice_with_it(void **state)
{
	struct rig *r = *state;
	struct msg_DELIVER m;
	struct frame f;
	sqlite3 *db;

	r->conf.set.delay_notice = 1;
	sent(r, LOGIN, "x@far.example", MAIL_AUTH, NULL);
	deliver_answer(r, job_given(r, &m, &f), "451 4.7.1 greylisted");
	wait_deferred(r);
	change_queue(r, "create trigger no before insert on message when new.helo ="
			" 'pc.example' begin select raise(abort, 'no'); end");
	again(r);
	db = queue_of(r, "begin immediate");
	submit(r, new_id(r), 1, "bob@here.example", "body\r\n");
	poll(NULL, 0, 1500);
	given(r, "a@peer.example", "bob@here.example", 0, NULL);
	assert_int_equal(sqlite3_exec(db, "rollback", NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(db);
	hear(r->edge, MSG_SUBMITTED, &f);
	hear(r->edge, MSG_SUBMITTED, &f);
	has(mail_of(r, "here.example/alice", 1), "Action: delayed");
}

/* While it was not noted there was nothing to be taken; afterwards there is. */
static void what_is_noted_late_is_tried_all_the_same(void **state)
{
	struct rig *r = *state;
	struct msg_DELIVER m;
	struct frame f;

	sent(r, LOGIN, "x@far.example", MAIL_AUTH, NULL);
	(void)job_given(r, &m, &f);
	change_queue(r, "create trigger no before update on recipient"
			" begin select raise(abort, 'no'); end");
	link_close(&r->edge);
	meet_edge(r, EDGE);
	hear(r->edge, MSG_STORAGE, &f);
	hear(r->edge, MSG_RECIPIENTS, &f);
	frame_close_fds(&f);
	poll(NULL, 0, 2500); /* so that it has been looked for, and not found */
	change_queue(r, "drop trigger no");
	deliver_answer(r, job_given(r, &m, &f), "250 ok");
	until_empty(r);
}

static int64_t latest_due(struct rig *r)
{
	sqlite3 *db = queue_of(r, "");
	sqlite3_int64 due = 0;
	sqlite3_stmt *ask;

	assert_int_equal(sqlite3_prepare_v2(db, "select max(due) from recipient", -1,
					    &ask, NULL),
			 SQLITE_OK);
	assert_int_equal(sqlite3_step(ask), SQLITE_ROW);
	due = sqlite3_column_int64(ask, 0);
	sqlite3_finalize(ask);
	sqlite3_close(db);
	return due;
}

/* Also what waits behind something for the same destination that is due soon. */
static void what_was_put_off_by_a_wrong_clock_does_not_wait_for_it(void **state)
{
	struct rig *r = *state;
	int64_t latest = wall_now() + 2 * r->conf.set.retry_max;
	struct msg_DELIVER m;
	struct frame f;

	for (int i = 0; i < 2; i++) {
		sent(r, LOGIN, "x@far.example", MAIL_AUTH, NULL);
		deliver_answer(r, job_given(r, &m, &f), "451 later");
	}
	for (int i = 0; i < PATIENCE / 10; i++) {
		do_command(r, "queue list --state deferred");
		if (r->row_count == 2)
			break;
		poll(NULL, 0, 10);
	}
	kill_store(r);
	change_queue(r, "update recipient set due = due + 365 * 86400000"
			" where message = (select max(id) from message)");
	start_store(r);
	for (int i = 0; i < PATIENCE / 10 && latest_due(r) > latest; i++)
		poll(NULL, 0, 10);
	assert_true(latest_due(r) <= latest);
}

static int64_t yesterday(void)
{
	return wall_now() - 23 * MS_HOUR;
}

static void what_was_never_tried_in_its_lifetime_is_told(void **state)
{
	struct rig *r = *state;

	sent_in(r, &(struct mail_in){ .sender = LOGIN,
				      .rcpts = "x@far.example",
				      .flags = MAIL_AUTH,
				      .wall = yesterday() });
	r->conf.set.lifetime = MS_MINUTE;
	r->conf.set.delay_notice = 0;
	again(r);
	link_close(&r->edge); /* and nobody to try it */
	has(mail_of(r, "here.example/alice", 1), "Action: failed");
	until_dead(r);
}

/* ---- auth has something to say --------------------------------------------------------------------- */

static struct link *meet_auth(struct rig *r)
{
	struct msg_PEER peer = { .role = ROLE_AUTH };
	struct link *auth;
	int pair[2];

	assert_true(link_pair(pair, &err));
	msg_PEER_pack(&peer, link_begin(r->life));
	assert_true(link_send(r->life, &pair[1], 1));
	close(pair[1]);
	assert_true(link_open(&auth, pair[0], ROLE_AUTH, ROLE_STORE, 0, &err));
	return auth;
}

static void an_owner_is_told_by_mail_and_nobody_elsewhere(void **state)
{
	struct rig *r = *state;
	struct link *auth = meet_auth(r);
	struct msg_NOTICE m = {
		.login = SPAN("x@far.example"),
		.subject = SPAN("An old password\r\nBcc: x@far.example"),
		.text = SPAN("first line\nsecond line\n"),
	};
	const char *text;

	msg_NOTICE_pack(&m, link_begin(auth));
	assert_true(link_send(auth, NULL, 0));
	m.login = SPAN(LOGIN);
	msg_NOTICE_pack(&m, link_begin(auth));
	assert_true(link_send(auth, NULL, 0));
	text = mail_of(r, "here.example/alice", 1);
	has(text, "Subject: An old password  Bcc: x@far.example\n");
	has(text, "Auto-Submitted: auto-generated\n");
	has(text, "\nfirst line\nsecond line\n");
	until_empty(r);
	link_close(&auth);
}

static void hear_sign(struct link *auth, struct msg_SIGN *m)
{
	struct frame f;

	hear(auth, MSG_SIGN, &f);
	assert_true(msg_SIGN_unpack(f.bytes, m));
}

static void send_notice(struct link *auth, const char *subject)
{
	struct msg_NOTICE m = {
		.login = SPAN(LOGIN),
		.subject = span_str(subject),
		.text = SPAN("text\n"),
	};

	msg_NOTICE_pack(&m, link_begin(auth));
	assert_true(link_send(auth, NULL, 0));
}

static void answer_sign(struct link *auth, uint64_t ask, struct span signature)
{
	struct msg_SIGNED m = { .ask = ask, .signature = signature };

	msg_SIGNED_pack(&m, link_begin(auth));
	assert_true(link_send(auth, NULL, 0));
}

/* The mail of our people goes to a next hop, and there is a key for our own name. */
static struct link *again_with_a_key(struct rig *r)
{
	struct dkim_key *k = &r->conf.dkim[r->conf.dkim_count++];

	snprintf(r->conf.set.hostname, TEXT_MAX, "mx.here.example");
	snprintf(k->domain, sizeof(k->domain), "here.example");
	snprintf(k->selector, sizeof(k->selector), "one");
	k->algorithm = DKIM_ED25519;
	r->conf.deliver_hop = HOP_SMTP;
	snprintf(r->conf.deliver_target, TEXT_MAX, "inside:25");
	again(r);
	return meet_auth(r);
}

static void what_we_write_ourselves_is_signed(void **state)
{
	struct rig *r = *state;
	struct link *auth = again_with_a_key(r);
	struct msg_DELIVER m;
	struct msg_SIGN ask;
	struct frame f;
	char prefix[4096];

	/* to the owner of an account */
	send_notice(auth, "one");
	hear_sign(auth, &ask);
	expect_span("domain", ask.domain, SPAN("here.example"));
	expect_span("selector", ask.selector, SPAN("one"));
	expect_number("algorithm", ask.algorithm, DKIM_ED25519);
	/* what comes meanwhile is not forgotten */
	send_notice(auth, "two");
	answer_sign(auth, ask.ask, SPAN("signature"));
	deliver_answer(r, job_given(r, &m, &f), "250 ok");
	expect_span("the target", m.target, SPAN("inside:25"));
	snprintf(prefix, sizeof(prefix), "%.*s", SPAN_ARG(m.prefix));
	has(prefix, "DKIM-Signature: v=1; a=ed25519-sha256;");
	has(prefix, "c2lnbmF0dXJl"); /* "signature" */
	hear_sign(auth, &ask);
	answer_sign(auth, ask.ask, SPAN_NONE);
	deliver_answer(r, job_given(r, &m, &f), "250 ok");
	expect_number("no signature", (int64_t)m.prefix.n, 0);
	/* to somebody whose mail could not be delivered */
	sent(r, LOGIN, "gone@far.example", MAIL_AUTH | MAIL_TLS, NULL);
	deliver_answer(r, job_given(r, &m, &f), "550 no");
	hear_sign(auth, &ask);
	answer_sign(auth, ask.ask, SPAN("signature"));
	deliver_answer(r, job_given(r, &m, &f), "250 ok");
	snprintf(prefix, sizeof(prefix), "%.*s", SPAN_ARG(m.prefix));
	has(prefix, "DKIM-Signature: v=1; a=ed25519-sha256;");
	expect_number("from nobody", (int64_t)m.sender.n, 0);
	link_close(&auth);
}

static void a_crash_while_a_notice_is_signed_does_not_lose_it(void **state)
{
	struct rig *r = *state;
	struct link *auth = again_with_a_key(r);
	struct msg_DELIVER m;
	struct msg_SIGN ask;
	struct frame f;

	send_notice(auth, "one");
	hear_sign(auth, &ask);
	again(r);
	link_close(&auth);
	deliver_answer(r, job_given(r, &m, &f), "250 ok");
	/* the next one was given no auth, and mail does not wait for that */
	expect_number("no signature", (int64_t)m.prefix.n, 0);
	until_empty(r);
}

/* ---- how much ------------------------------------------------------------------------------------------ */

static uint64_t send_to_new(struct rig *r, unsigned from, unsigned count)
{
	static char rcpts[30000];
	size_t n = 0;

	for (unsigned i = from; i < from + count; i++)
		n += (size_t)snprintf(rcpts + n, sizeof(rcpts) - n, "%sn%u@far.example",
				      n ? " " : "", i);
	return given(r, LOGIN, rcpts, MAIL_AUTH, NULL);
}

/* A next hop that takes everything. */
static size_t taken(struct rig *r, const struct frame *f)
{
	struct msg_DELIVER m;
	struct msg_DELIVERED d = { 0 };
	BUF(answers, 20000);

	assert_true(msg_DELIVER_unpack(f->bytes, &m));
	d.job = m.job;
	for (size_t i = 0; i < list_count(m.rcpts); i++)
		list_put(&answers, SPAN("250 ok"));
	d.answers = buf_span(&answers);
	msg_DELIVERED_pack(&d, link_begin(r->edge));
	assert_true(link_send(r->edge, NULL, 0));
	return list_count(m.rcpts);
}

/* Until nothing is left but what is held. */
static size_t delivered_now(struct rig *r)
{
	size_t count = 0, all = 1, held = 0;

	for (int i = 0; i < PATIENCE / 20 && all != held; i++) {
		struct frame f;

		while (link_recv_wait(r->edge, 20, &f, &err) == LINK_GOT)
			if (f.kind == MSG_DELIVER)
				count += taken(r, &f);
		do_command(r, "queue list --state hold");
		held = r->row_count;
		do_command(r, "queue list");
		all = r->row_count;
	}
	assert_int_equal(all, held);
	return count;
}

/* The answer to a SUBMIT; what is to be delivered meanwhile is, and counted. */
static enum submitted answer_amid(struct rig *r, size_t *delivered)
{
	struct msg_SUBMITTED m;
	struct frame f;

	for (;;) {
		assert_int_equal(link_recv_wait(r->edge, PATIENCE, &f, &err), LINK_GOT);
		if (msg_SUBMITTED_unpack(f.bytes, &m))
			return (enum submitted)m.result;
		assert_int_equal(f.kind, MSG_DELIVER);
		*delivered += taken(r, &f);
	}
}

/* Until what an account sent is on the disk, up to what it sent then; saved once a second. */
static void until_saved(struct rig *r, int64_t wall)
{
	sqlite3_int64 at = 0;
	sqlite3_stmt *ask;
	sqlite3 *db;
	char path[128];

	below(r, "state/state.db", path, sizeof(path));
	assert_int_equal(sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE, NULL),
			 SQLITE_OK);
	assert_int_equal(sqlite3_prepare_v2(db, "select max(at) from sent", -1, &ask, NULL),
			 SQLITE_OK);
	for (int i = 0; i < PATIENCE / 10 && at < wall; i++) {
		if (sqlite3_step(ask) == SQLITE_ROW)
			at = sqlite3_column_int64(ask, 0);
		sqlite3_reset(ask);
		poll(NULL, 0, 10);
	}
	sqlite3_finalize(ask);
	sqlite3_close(db);
	assert_true(at >= wall);
}

/* A11: a stolen account sends to many people whom its owner never knew. */
static void an_account_that_writes_to_many_new_people_is_braked(void **state)
{
	struct rig *r = *state;
	size_t out = 0;
	int64_t last = 0;

	for (unsigned i = 0; i < 1000; i += 20) {
		last = wall_now();
		send_to_new(r, i, 20);
		assert_int_equal(answer_amid(r, &out), SUBMITTED_OK);
	}
	out += delivered_now(r);
	assert_in_range(out, 100, 200);
	do_command(r, "queue list --state hold");
	assert_int_equal(r->row_count, 50 - out / 20);
	/* the owner, and the administrator; once */
	has(mail_of(r, "here.example/alice", 1), "held");
	has(mail_of(r, "here.example/bob", 1), "submission.new-recipients");

	/* what it did before is remembered, also over a restart */
	until_saved(r, last);
	again(r);
	send_to_new(r, 2000, 1);
	assert_int_equal(answer_amid(r, &out), SUBMITTED_OK);
	assert_int_equal(delivered_now(r), 0);
	mail_of(r, "here.example/alice", 1);

	/* nothing is lost */
	assert_true(command(r, "queue release all"));
	out += delivered_now(r);
	assert_int_equal(out, 1001);
}

static void far_above_a_limit_nothing_more_is_taken(void **state)
{
	struct rig *r = *state;
	size_t out = 0;

	r->conf.set.quota_messages = 3;
	again(r);
	for (unsigned i = 0; i < 30; i++) {
		send_to_new(r, 1, 1);
		assert_int_equal(answer_amid(r, &out), SUBMITTED_OK);
	}
	send_to_new(r, 1, 1);
	assert_int_equal(answer_amid(r, &out), SUBMITTED_OVER);
	out += delivered_now(r);
	assert_int_equal(out, 3);
}

#define WITH(test) cmocka_unit_test_setup_teardown(test, set_up_out, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH(mail_goes_where_the_configuration_says),
		WITH(without_a_port_for_logins_nobody_relays),
		WITH(an_edge_cannot_send_in_the_name_of_who_did_not_log_in),
		WITH(an_edge_cannot_send_in_another_name_than_was_vouched_for),
		WITH(an_edge_cannot_send_for_who_came_to_read),
		WITH(an_edge_cannot_send_for_who_logged_in_to_another),
		WITH(a_session_that_lasted_too_long_has_to_log_in_again),
		WITH(what_waits_goes_elsewhere_after_a_reload),
		WITH(what_was_held_over_a_restart_is_found_when_it_is_released),
		WITH(what_an_alias_forwards_gets_a_sender_that_comes_back),
		WITH(what_is_forwarded_for_two_aliases_goes_out_under_each),
		WITH(bounces_need_the_tag_that_our_mail_has),
		cmocka_unit_test(who_is_told_and_who_never),
		WITH(a_failure_is_told_to_who_logged_in),
		WITH(a_failure_is_never_told_to_a_stranger),
		WITH(a_failure_is_never_told_to_somebody_elsewhere),
		WITH(a_success_is_told_if_it_was_asked_for),
		WITH(a_next_hop_that_tells_of_successes_itself_is_left_to_it),
		WITH(a_notice_that_fails_is_the_end),
		WITH(a_crash_neither_loses_nor_doubles_a_notice),
		WITH(notices_above_the_budget_are_held),
		WITH(who_waits_long_is_told_once),
		WITH(a_batch_that_fails_takes_no_notice_with_it),
		WITH(what_is_noted_late_is_tried_all_the_same),
		WITH(what_was_put_off_by_a_wrong_clock_does_not_wait_for_it),
		WITH(what_was_never_tried_in_its_lifetime_is_told),
		WITH(an_owner_is_told_by_mail_and_nobody_elsewhere),
		WITH(what_we_write_ourselves_is_signed),
		WITH(a_crash_while_a_notice_is_signed_does_not_lose_it),
		WITH(an_account_that_writes_to_many_new_people_is_braked),
		WITH(far_above_a_limit_nothing_more_is_taken),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
