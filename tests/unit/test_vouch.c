/*
 * An edge in a stranger's hands: what it says of who sends, and from which addresses, is
 * played to a store in a process of its own, which must know better.
 */
#include "store_rig.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

#define LOGIN	      "alice@here.example"
#define FROM(address) "From: " address "\r\nSubject: x\r\n\r\nbody\r\n"

static int set_up_logins(void **state)
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
	r->conf.send_as_count = 1;
	snprintf(r->conf.send_as[0].login, sizeof(r->conf.send_as[0].login), LOGIN);
	snprintf(r->conf.send_as[0].address, sizeof(r->conf.send_as[0].address),
		 "@team.example");
	start_store(r);
	add(r, "user add " LOGIN);
	add(r, "user add bob@here.example");
	add(r, "alias add info@here.example " LOGIN);
	return 0;
}

static void again(struct rig *r)
{
	kill_store(r);
	start_store(r);
}

/* What such an edge says; NULL is what an honest one would. */
struct lie {
	const char *sender, *body, *login, *envid;
	uint32_t flags;		    /* besides MAIL_AUTH */
	enum ticket_purpose ticket; /* MAILBOX: MAIL */
	const int *socket;
	uint64_t file; /* the body is in the file of this id; 0: it is not */
	bool unsaid;   /* without a login before it */
};

static uint64_t say(struct rig *r, const struct lie *l)
{
	const char *body = l->body ? l->body : FROM(LOGIN);
	struct span login = span_str(l->login ? l->login : LOGIN);
	enum ticket_purpose purpose = l->ticket ? l->ticket : TICKET_MAIL;
	struct made_ticket t = ticket_for(purpose, EDGE, SPAN(LOGIN), MS_MINUTE);
	uint64_t id = l->file ? l->file : new_id(r);
	BUF(list, 256);
	struct msg_SUBMIT m = {
		.id = id,
		.nonce = id,
		.flags = (l->unsaid ? 0 : MAIL_AUTH) | l->flags,
		.size = strlen(body),
		.wall = id_wall(id),
		.helo = SPAN("pc.example"),
		.login = login,
		.ticket = l->socket ? SPAN_NONE : span_of(t.mem, sizeof(t.mem)),
		.sender = span_str(l->sender ? l->sender : LOGIN),
		.envid = span_str(l->envid ? l->envid : ""),
		.rcpt_count = 1,
		.spooled = l->file != 0,
		.body = l->file ? SPAN_NONE : span_str(body),
	};

	list_put(&list, SPAN("bob@here.example"));
	m.rcpts = buf_span(&list);
	msg_SUBMIT_pack(&m, link_begin(r->edge));
	assert_true(link_send(r->edge, l->socket, l->socket && *l->socket >= 0));
	return id;
}

static void is_answered(struct rig *r, const char *why, const struct lie *l,
			enum submitted how)
{
	uint64_t id = say(r, l);

	expect_number(why, answer_for(r, id), how);
}

/* It is found out, and nobody else has to suffer for it. */
static void is_cut_off(struct rig *r)
{
	struct frame f;

	assert_int_equal(link_recv_wait(r->edge, PATIENCE, &f, &err), LINK_CLOSED);
	do_command(r, "queue list");
	assert_int_equal(r->row_count, 0);
	assert_int_equal(pulse_counted_record(r->pulse, LOG_LINK_BROKEN), 1);
}

static size_t held_now(struct rig *r)
{
	do_command(r, "queue list --state hold");
	return r->row_count;
}

/* ---- what auth held ---------------------------------------------------------------- */

static void what_auth_wants_held_is_held_whatever_the_edge_says(void **state)
{
	struct rig *r = *state;

	is_answered(r, "free", &(struct lie){ 0 }, SUBMITTED_OK);
	until_empty(r);
	is_answered(r, "no flag", &(struct lie){ .ticket = TICKET_HELD }, SUBMITTED_OK);
	assert_int_equal(held_now(r), 1);
	is_answered(r, "a flag",
		    &(struct lie){ .ticket = TICKET_HELD, .flags = MAIL_HOLD },
		    SUBMITTED_OK);
	assert_int_equal(held_now(r), 2);
	assert_int_equal(mails_in(r, "here.example/bob"), 1);
}

static void an_edge_cannot_have_mail_held_that_auth_did_not(void **state)
{
	struct rig *r = *state;

	is_answered(r, "a flag", &(struct lie){ .flags = MAIL_HOLD }, SUBMITTED_OK);
	until_empty(r);
	assert_int_equal(mails_in(r, "here.example/bob"), 1);
}

/* ---- from which addresses -------------------------------------------------------------- */

static const struct sender_row {
	const char *sender;
	enum submitted own;
} sender_rows[] = {
	{ LOGIN, SUBMITTED_OK },
	{ "Alice@Here.Example", SUBMITTED_OK },
	{ "info@here.example", SUBMITTED_OK },
	{ "alice+x@here.example", SUBMITTED_OK },
	{ "anybody@team.example", SUBMITTED_OK },
	{ "", SUBMITTED_OK },
	{ "bob@here.example", SUBMITTED_NOT_OWN },
	{ "nobody@here.example", SUBMITTED_NOT_OWN },
	{ "boss@far.example", SUBMITTED_NOT_OWN },
	{ "x@not-team.example", SUBMITTED_NOT_OWN },
};

static void a_sender_of_somebody_else_is_refused_by_the_store_itself(void **state)
{
	struct rig *r = *state;

	for (size_t i = 0; i < COUNT_OF(sender_rows); i++)
		is_answered(r, sender_rows[i].sender,
			    &(struct lie){ .sender = sender_rows[i].sender },
			    sender_rows[i].own);
	r->conf.set.senders = SENDERS_LOG;
	again(r);
	is_answered(r, "only logged", &(struct lie){ .sender = "bob@here.example" },
		    SUBMITTED_OK);
}

static void a_sender_binds_nobody_who_did_not_log_in(void **state)
{
	is_answered(*state, "a stranger",
		    &(struct lie){ .sender = "boss@far.example", .unsaid = true },
		    SUBMITTED_OK);
}

static const struct from_row {
	const char *why, *body;
	enum submitted own;
} from_rows[] = {
	{ "one's own", FROM("Alice <" LOGIN ">"), SUBMITTED_OK },
	{ "an alias", FROM("info@here.example"), SUBMITTED_OK },
	{ "none", "Subject: x\r\n\r\nbody\r\n", SUBMITTED_OK },
	{ "in the body", "Subject: x\r\n\r\nFrom: bob@here.example\r\n", SUBMITTED_OK },
	{ "another's", FROM("bob@here.example"), SUBMITTED_NOT_OWN },
	{ "two of them", FROM(LOGIN ", bob@here.example"), SUBMITTED_NOT_OWN },
	{ "folded", FROM("\"x\"\r\n <bob@here.example>"), SUBMITTED_NOT_OWN },
	{ "a second field", FROM(LOGIN "\r\nfrom: bob@here.example"), SUBMITTED_NOT_OWN },
	{ "behind a trace", "Received: from x\r\n\tby y; z\r\n" FROM("bob@here.example"),
	  SUBMITTED_NOT_OWN },
	{ "nothing that can be read", FROM("<<bob@here.example"), SUBMITTED_NOT_OWN },
	{ "a header without an end", "From: bob@here.example", SUBMITTED_NOT_OWN },
};

static void a_from_of_somebody_else_is_refused_by_the_store_itself(void **state)
{
	struct rig *r = *state;

	is_answered(r, "only logged", &(struct lie){ .body = FROM("bob@here.example") },
		    SUBMITTED_OK);
	r->conf.set.from_field = SENDERS_OWN;
	again(r);
	for (size_t i = 0; i < COUNT_OF(from_rows); i++)
		is_answered(r, from_rows[i].why,
			    &(struct lie){ .body = from_rows[i].body }, from_rows[i].own);
}

static void a_sender_that_is_only_logged_makes_no_from_ones_own(void **state)
{
	struct lie l = { .sender = "bob@here.example", .body = FROM("bob@here.example") };
	struct rig *r = *state;

	r->conf.set.senders = SENDERS_LOG;
	r->conf.set.from_field = SENDERS_OWN;
	again(r);
	is_answered(r, "the same", &l, SUBMITTED_NOT_OWN);
	l.body = FROM(LOGIN);
	is_answered(r, "one's own", &l, SUBMITTED_OK);
}

static void a_from_that_is_longer_than_any_names_nobody(void **state)
{
	static char body[8192];
	struct rig *r = *state;
	int n = 0;

	r->conf.set.from_field = SENDERS_OWN;
	again(r);
	n += snprintf(body, sizeof(body), "From: " LOGIN);
	for (int i = 0; i < 100; i++)
		n += snprintf(body + n, sizeof(body) - (size_t)n, ",\r\n " LOGIN);
	snprintf(body + n, sizeof(body) - (size_t)n, "\r\n\r\nbody\r\n");
	is_answered(r, "long", &(struct lie){ .body = body }, SUBMITTED_NOT_OWN);
}

/* ---- bodies in files --------------------------------------------------------------------- */

/* A file for the next message, and what is written to it. */
static int open_file(struct rig *r, const char *body, uint64_t *id)
{
	struct msg_SPOOL_OPEN m;
	struct frame f;
	int fd;

	*id = new_id(r);
	m = (struct msg_SPOOL_OPEN){ .id = *id, .nonce = *id };
	msg_SPOOL_OPEN_pack(&m, link_begin(r->edge));
	assert_true(link_send(r->edge, NULL, 0));
	hear(r->edge, MSG_SPOOL, &f);
	fd = f.fds[0];
	assert_true(fd >= 0);
	assert_int_equal(write(fd, body, strlen(body)), (ssize_t)strlen(body));
	return fd;
}

static void the_from_in_a_file_binds_too(void **state)
{
	struct rig *r = *state;

	r->conf.set.from_field = SENDERS_OWN;
	again(r);
	for (size_t i = 0; i < COUNT_OF(from_rows); i++) {
		struct lie l = { .body = from_rows[i].body };

		close(open_file(r, l.body, &l.file));
		is_answered(r, from_rows[i].why, &l, from_rows[i].own);
	}
}

/* Else it would be another message than the one that was looked at, and signed. */
static void a_file_that_could_still_be_written_to_is_not_taken(void **state)
{
	struct rig *r = *state;
	struct lie l = { 0 };
	int fd = open_file(r, FROM(LOGIN), &l.file);

	is_answered(r, "open", &l, SUBMITTED_FAILED);
	close(fd);
	fd = open_file(r, FROM(LOGIN), &l.file);
	close(fd);
	is_answered(r, "closed", &l, SUBMITTED_OK);
	until_empty(r);
	assert_int_equal(mails_in(r, "here.example/bob"), 1);
}

/* ---- programs of this machine -------------------------------------------------------------- */

/* A socket of this machine to which somebody has connected: this program. */
static int local_socket(struct rig *r, int *client)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0), got;

	*client = socket(AF_UNIX, SOCK_STREAM, 0);
	snprintf(sa.sun_path, sizeof(sa.sun_path), "%s/in", r->dir);
	assert_int_equal(bind(fd, (const struct sockaddr *)&sa, sizeof(sa)), 0);
	assert_int_equal(listen(fd, 1), 0);
	assert_int_equal(connect(*client, (const struct sockaddr *)&sa, sizeof(sa)), 0);
	got = accept(fd, NULL, NULL);
	close(fd);
	unlink(sa.sun_path);
	return got;
}

static void with_programs(struct rig *r)
{
	r->conf.listeners[1].service = SERVICE_SUBMISSION;
	snprintf(r->conf.listeners[1].path, sizeof(r->conf.listeners[1].path), "/run/x");
	r->conf.listener_count = 2;
	r->conf.local_user_count = 2;
	r->conf.local_users[0].uid = getuid() + 1;
	snprintf(r->conf.local_users[0].name, sizeof(r->conf.local_users[0].name),
		 "another");
	r->conf.local_users[1].uid = getuid();
	snprintf(r->conf.local_users[1].name, sizeof(r->conf.local_users[1].name), "me");
	again(r);
}

static const struct program {
	const char *login;
	enum submitted result;
} programs[] = {
	{ "me@mx.here.example", SUBMITTED_OK },
	{ "me@MX.here.example", SUBMITTED_OK },
	{ LOGIN, SUBMITTED_FAILED },
	{ "another@mx.here.example", SUBMITTED_FAILED },
	{ "m@mx.here.example", SUBMITTED_FAILED },
	{ "me2@mx.here.example", SUBMITTED_FAILED },
	{ "me@here.example", SUBMITTED_FAILED },
	{ "uid1234@mx.here.example", SUBMITTED_FAILED },
	{ "me", SUBMITTED_FAILED },
	{ "", SUBMITTED_FAILED },
};

/* The name that the kernel knows, and no other. */
static void a_program_of_this_machine_is_who_the_kernel_says(void **state)
{
	struct rig *r = *state;
	int client, fd;

	with_programs(r);
	fd = local_socket(r, &client);
	for (size_t i = 0; i < COUNT_OF(programs); i++)
		is_answered(r, programs[i].login,
			    &(struct lie){ .sender = "",
					   .login = programs[i].login,
					   .flags = MAIL_LOCAL,
					   .socket = &fd },
			    programs[i].result);
	close(fd);
	close(client);
}

static void who_has_no_name_is_known_by_a_number(void **state)
{
	struct rig *r = *state;
	char login[64];
	int client, fd;

	with_programs(r);
	r->conf.local_user_count = 1;
	again(r);
	snprintf(login, sizeof(login), "uid%u@mx.here.example", (unsigned)getuid());
	fd = local_socket(r, &client);
	is_answered(r, login,
		    &(struct lie){ .sender = "",
				   .login = login,
				   .flags = MAIL_LOCAL,
				   .socket = &fd },
		    SUBMITTED_OK);
	close(fd);
	close(client);
}

static void only_root_may_use_any_sender(void **state)
{
	struct rig *r = *state;
	int client, fd;

	with_programs(r);
	fd = local_socket(r, &client);
	is_answered(r, "another's",
		    &(struct lie){ .sender = "boss@far.example",
				   .login = "me@mx.here.example",
				   .flags = MAIL_LOCAL,
				   .socket = &fd },
		    getuid() == 0 ? SUBMITTED_OK : SUBMITTED_NOT_OWN);
	close(fd);
	close(client);
}

static void without_its_socket_nobody_is_a_program_of_this_machine(void **state)
{
	struct rig *r = *state;
	const int none = -1;

	with_programs(r);
	(void)say(r, &(struct lie){ .login = "me@mx.here.example",
				    .flags = MAIL_LOCAL,
				    .socket = &none });
	is_cut_off(r);
}

static void a_socket_of_the_network_is_of_no_program_of_this_machine(void **state)
{
	struct rig *r = *state;
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	with_programs(r);
	(void)say(r, &(struct lie){ .login = "me@mx.here.example",
				    .flags = MAIL_LOCAL,
				    .socket = &fd });
	close(fd);
	is_cut_off(r);
}

/* Its session goes on with the old configuration, and can only come again. */
static void who_came_over_a_socket_that_is_closed_since_is_told_to_come_again(void **state)
{
	struct rig *r = *state;
	int client, fd = local_socket(r, &client);

	is_answered(r, "closed",
		    &(struct lie){ .login = "me@mx.here.example",
				   .flags = MAIL_LOCAL,
				   .socket = &fd },
		    SUBMITTED_FAILED);
	close(fd);
	close(client);
}

/* ---- questions, and fields that nobody of ours would send ------------------------------------ */

static void ask_sender(struct rig *r, enum ticket_purpose purpose, const char *who,
		       const char *address)
{
	struct made_ticket t = ticket_for(purpose, EDGE, span_str(who), MS_MINUTE);
	const struct msg_MAY_SEND m = { .ask = 7,
					.login = SPAN(LOGIN),
					.ticket = span_of(t.mem, sizeof(t.mem)),
					.address = span_str(address) };

	msg_MAY_SEND_pack(&m, link_begin(r->edge));
	assert_true(link_send(r->edge, NULL, 0));
}

static enum verdict told_of_sender(struct rig *r)
{
	struct msg_VERDICT v;
	struct frame f;

	hear(r->edge, MSG_VERDICT, &f);
	assert_true(msg_VERDICT_unpack(f.bytes, &v));
	assert_int_equal(v.ask, 7);
	return (enum verdict)v.verdict;
}

static void whose_an_address_is_is_told_of_who_logged_in(void **state)
{
	struct rig *r = *state;

	ask_sender(r, TICKET_MAIL, LOGIN, "info@here.example");
	assert_int_equal(told_of_sender(r), VERDICT_YES);
	ask_sender(r, TICKET_HELD, LOGIN, "bob@here.example");
	assert_int_equal(told_of_sender(r), VERDICT_NO);
}

static void whose_an_address_is_is_not_told_of_who_did_not_log_in(void **state)
{
	struct rig *r = *state;

	ask_sender(r, TICKET_MAIL, "bob@here.example", "info@here.example");
	is_cut_off(r);
}

static void an_envid_with_a_line_of_its_own_is_cut_off(void **state)
{
	(void)say(*state, &(struct lie){ .envid = "x\r\nRSET" });
	is_cut_off(*state);
}

static void an_envid_as_the_rfc_has_it_is_taken(void **state)
{
	is_answered(*state, "ENVID", &(struct lie){ .envid = "QQ+2B1" }, SUBMITTED_OK);
}

static void a_question_that_is_neither_of_a_bounce_nor_not_is_cut_off(void **state)
{
	const struct msg_VERIFY m = { .ask = 1, .bounce = 2, .address = SPAN(LOGIN) };
	struct rig *r = *state;

	msg_VERIFY_pack(&m, link_begin(r->edge));
	assert_true(link_send(r->edge, NULL, 0));
	is_cut_off(r);
}

#define WITH(test) cmocka_unit_test_setup_teardown(test, set_up_logins, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH(what_auth_wants_held_is_held_whatever_the_edge_says),
		WITH(an_edge_cannot_have_mail_held_that_auth_did_not),
		WITH(a_sender_of_somebody_else_is_refused_by_the_store_itself),
		WITH(a_sender_binds_nobody_who_did_not_log_in),
		WITH(a_from_of_somebody_else_is_refused_by_the_store_itself),
		WITH(a_sender_that_is_only_logged_makes_no_from_ones_own),
		WITH(a_from_that_is_longer_than_any_names_nobody),
		WITH(the_from_in_a_file_binds_too),
		WITH(a_file_that_could_still_be_written_to_is_not_taken),
		WITH(a_program_of_this_machine_is_who_the_kernel_says),
		WITH(who_has_no_name_is_known_by_a_number),
		WITH(only_root_may_use_any_sender),
		WITH(without_its_socket_nobody_is_a_program_of_this_machine),
		WITH(a_socket_of_the_network_is_of_no_program_of_this_machine),
		WITH(who_came_over_a_socket_that_is_closed_since_is_told_to_come_again),
		WITH(whose_an_address_is_is_told_of_who_logged_in),
		WITH(whose_an_address_is_is_not_told_of_who_did_not_log_in),
		WITH(an_envid_with_a_line_of_its_own_is_cut_off),
		WITH(an_envid_as_the_rfc_has_it_is_taken),
		WITH(a_question_that_is_neither_of_a_bounce_nor_not_is_cut_off),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
