/*
 * A store in a process of its own, with a supervisor, a watch and edges that are played
 * here. An edge may be in a stranger's hands: what it may not say costs it its link.
 */
#include "store_rig.h"

#include <sqlite3.h>

/* ---- tests ------------------------------------------------------------------------------- */

static void a_message_goes_to_its_mailboxes_once(void **state)
{
	struct rig *r = *state;
	uint64_t id = new_id(r);

	add(r, "user add alice@here.example");
	add(r, "user add bob@here.example");
	add(r, "alias add all@here.example alice@here.example bob@here.example");
	submit(r, id, 1, "all@here.example Alice+x@here.example bob@HERE.example",
	       "body\r\n");
	assert_int_equal(answer_for(r, id), SUBMITTED_OK);
	until_empty(r);
	assert_int_equal(mails_in(r, "here.example/alice"), 1);
	assert_int_equal(mails_in(r, "here.example/bob"), 1);
}

static void the_same_message_again_is_not_stored_again(void **state)
{
	struct rig *r = *state;
	uint64_t id = new_id(r);

	add(r, "user add alice@here.example");
	submit(r, id, 1, "alice@here.example", "body\r\n");
	assert_int_equal(answer_for(r, id), SUBMITTED_OK);
	submit(r, id, 1, "alice@here.example", "body\r\n");
	assert_int_equal(answer_for(r, id), SUBMITTED_OK);
	submit(r, id, 2, "alice@here.example", "body\r\n");
	assert_int_equal(answer_for(r, id), SUBMITTED_TAKEN);
	until_empty(r);
	/* also when the store is another one by now, and the user is gone */
	kill_store(r);
	start_store(r);
	add(r, "user remove alice@here.example");
	submit(r, id, 1, "alice@here.example", "body\r\n");
	assert_int_equal(answer_for(r, id), SUBMITTED_OK);
	assert_int_equal(mails_in(r, "here.example/alice"), 1);
}

static void nobody_is_promised_what_has_no_recipient(void **state)
{
	struct rig *r = *state;
	uint64_t id = new_id(r);

	add(r, "user add alice@here.example");
	submit(r, id, 1, "alice@here.example gone@here.example", "body\r\n");
	assert_int_equal(answer_for(r, id), SUBMITTED_FAILED);
	until_empty(r);
	assert_int_equal(mails_in(r, "here.example/alice"), 0);
}

static void a_large_body_comes_through_a_file(void **state)
{
	struct rig *r = *state;
	uint64_t id = new_id(r);
	struct msg_SPOOL_OPEN open_it = { .id = id, .nonce = 5 };
	BUF(list, 64);
	struct msg_SUBMIT m = { .id = id,
				.nonce = 5,
				.size = 6,
				.wall = id_wall(id),
				.sender = SPAN("a@b.example"),
				.rcpt_count = 1,
				.spooled = 1 };
	struct frame f;

	add(r, "user add alice@here.example");
	msg_SPOOL_OPEN_pack(&open_it, link_begin(r->edge));
	assert_true(link_send(r->edge, NULL, 0));
	hear(r->edge, MSG_SPOOL, &f);
	assert_int_equal(write(f.fds[0], "body\r\n", 6), 6);
	frame_close_fds(&f);
	list_put(&list, SPAN("alice@here.example"));
	m.rcpts = buf_span(&list);
	msg_SUBMIT_pack(&m, link_begin(r->edge));
	assert_true(link_send(r->edge, NULL, 0));
	assert_int_equal(answer_for(r, id), SUBMITTED_OK);
	until_empty(r);
	assert_int_equal(mails_in(r, "here.example/alice"), 1);
	/* the file is gone, and still it is the same message */
	msg_SUBMIT_pack(&m, link_begin(r->edge));
	assert_true(link_send(r->edge, NULL, 0));
	assert_int_equal(answer_for(r, id), SUBMITTED_OK);
	/* one of another size was not written whole */
	m.id = id = new_id(r);
	msg_SUBMIT_pack(&m, link_begin(r->edge));
	assert_true(link_send(r->edge, NULL, 0));
	assert_int_equal(answer_for(r, id), SUBMITTED_FAILED);
}

static void a_next_hop_decides_what_becomes_of_a_message(void **state)
{
	struct rig *r = *state;
	struct msg_DELIVER m;
	struct frame f;
	uint64_t job;

	submit(r, new_id(r), 1, "x@hop.example", "body\r\n");
	hear(r->edge, MSG_SUBMITTED, &f);
	job = job_given(r, &m, &f);
	expect_span("target", m.target, SPAN("box:24"));
	expect_span("body", m.body, SPAN("body\r\n"));
	deliver_answer(r, job + 1, "250 not one of ours");
	deliver_answer(r, job, "451 4.2.1 later");
	for (int i = 0; i < PATIENCE / 10; i++) {
		do_command(r, "queue list");
		if (rows_say(r, "state=deferred"))
			break;
		poll(NULL, 0, 10);
	}
	expect_true("answer", rows_say(r, "answer=\"451 4.2.1 later\""));
	do_command(r, "queue retry all");
	job = job_given(r, &m, &f);
	deliver_answer(r, job, "550 5.1.1 no");
	for (int i = 0; i < PATIENCE / 10; i++) {
		do_command(r, "queue list --state dead");
		if (r->row_count == 1)
			break;
		poll(NULL, 0, 10);
	}
	expect_true("dead", rows_say(r, "answer=\"550 5.1.1 no\""));
	do_command(r, "queue delete all --dead");
	do_command(r, "queue list");
	assert_int_equal(r->row_count, 0);
}

static void an_edge_that_leaves_is_given_nothing_to_deliver(void **state)
{
	const struct msg_LEAVES leaves = { 0 };
	struct rig *r = *state;
	struct link *old = r->edge, *other;
	struct msg_DELIVER m;
	struct frame f;

	meet_edge(r, EDGE + 1); /* it has the greater number: the second choice */
	hear(r->edge, MSG_STORAGE, &f);
	hear(r->edge, MSG_RECIPIENTS, &f);
	frame_close_fds(&f);
	other = r->edge;
	r->edge = old;
	msg_LEAVES_pack(&leaves, link_begin(old));
	assert_true(link_send(old, NULL, 0));
	submit(r, new_id(r), 1, "x@hop.example", "body\r\n");
	hear(old, MSG_SUBMITTED, &f);
	r->edge = other;
	deliver_answer(r, job_given(r, &m, &f), "250 thanks");
	until_empty(r);
	link_close(&old);
}

static void what_a_dead_edge_had_in_hand_is_given_to_another(void **state)
{
	struct rig *r = *state;
	struct msg_DELIVER m;
	struct frame f;

	submit(r, new_id(r), 1, "x@hop.example", "body\r\n");
	hear(r->edge, MSG_SUBMITTED, &f);
	(void)job_given(r, &m, &f);
	link_close(&r->edge);
	meet_edge(r, EDGE);
	hear(r->edge, MSG_STORAGE, &f);
	hear(r->edge, MSG_RECIPIENTS, &f);
	frame_close_fds(&f);
	deliver_answer(r, job_given(r, &m, &f), "250 thanks");
	until_empty(r);
}

static enum verdict ask_about(struct rig *r, const char *address, const char *hop_says)
{
	struct msg_VERIFY m = { .ask = 9, .address = span_str(address) };
	struct msg_VERDICT v;
	struct msg_PROBE p;
	struct frame f;

	msg_VERIFY_pack(&m, link_begin(r->edge));
	assert_true(link_send(r->edge, NULL, 0));
	if (hop_says) {
		hear(r->edge, MSG_PROBE, &f);
		assert_true(msg_PROBE_unpack(f.bytes, &p));
		expect_span("who", p.address, span_str(address));
		deliver_answer(r, p.job, hop_says);
	}
	hear(r->edge, MSG_VERDICT, &f);
	assert_true(msg_VERDICT_unpack(f.bytes, &v));
	assert_int_equal(v.ask, 9);
	return (enum verdict)v.verdict;
}

static void a_next_hop_is_asked_once_about_each_recipient(void **state)
{
	struct rig *r = *state;

	assert_int_equal(ask_about(r, "good@ask.example", "250 ok"), VERDICT_YES);
	assert_int_equal(ask_about(r, "good@ask.example", NULL), VERDICT_YES);
	assert_int_equal(ask_about(r, "bad@ask.example", "550 no"), VERDICT_NO);
	assert_int_equal(ask_about(r, "bad@ask.example", NULL), VERDICT_NO);
	assert_int_equal(ask_about(r, "late@ask.example", "451 busy"), VERDICT_UNKNOWN);
	assert_int_equal(ask_about(r, "x@elsewhere.example", NULL), VERDICT_FOREIGN);
	assert_int_equal(ask_about(r, "nobody@here.example", NULL), VERDICT_NO);
	add(r, "user add z@here.example"); /* what was learned goes with it */
	kill_store(r);
	start_store(r);
	assert_int_equal(ask_about(r, "good@ask.example", NULL), VERDICT_YES);
	assert_int_equal(ask_about(r, "bad@ask.example", NULL), VERDICT_NO);
}

/* ---- mailbox servers --------------------------------------------------------------------- */

static void is_located(struct rig *r, const char *login, const char *backend)
{
	struct msg_LOCATE m = { .ask = 11, .login = span_str(login) };
	struct msg_LOCATED l;
	struct frame f;

	msg_LOCATE_pack(&m, link_begin(r->edge));
	assert_true(link_send(r->edge, NULL, 0));
	hear(r->edge, MSG_LOCATED, &f);
	assert_true(msg_LOCATED_unpack(f.bytes, &l));
	assert_int_equal(l.ask, 11);
	expect_span(login, l.name, span_str(backend));
}

static void an_edge_hears_which_mailbox_server_was_named_for_somebody(void **state)
{
	struct rig *r = *state;

	is_located(r, "bob@here.example", "");
	do_command(r, "user backend Bob@Here.example west");
	do_command(r, "user backend carol east");
	is_located(r, "BOB@here.example", "west");
	is_located(r, "carol", "east");
	kill_store(r);
	start_store(r);
	is_located(r, "bob@here.example", "west");
	do_command(r, "user backend bob@here.example east");
	is_located(r, "bob@here.example", "east");
	do_command(r, "user backend bob@here.example --remove");
	is_located(r, "bob@here.example", "");
	is_located(r, "carol", "east");
}

static void mailbox_servers_are_told_with_who_named_them(void **state)
{
	struct rig *r = *state;

	add(r, "user add bob@here.example");
	do_command(r, "user backend zoe east");
	do_command(r, "user backend bob@here.example west");
	do_command(r, "user backend");
	assert_int_equal(r->row_count, 2);
	expect_true("first by name",
		    rows_say(r, "address=bob@here.example backend=west from=database\n"
				"address=zoe backend=east"));
	do_command(r, "user backend amy@far.example");
	expect_true("by domain",
		    rows_say(r, "address=amy@far.example backend=west from=mailboxes"));
	do_command(r, "user backend amy@here.example");
	expect_true("neither",
		    rows_say(r, "address=amy@here.example backend=\"\" "
				"from=\"nobody: the name of the user decides\""));
	do_command(r, "user list");
	expect_true("in the list", rows_say(r, "backend=west"));
}

static void a_user_who_is_removed_leaves_no_mailbox_server_behind(void **state)
{
	struct rig *r = *state;

	add(r, "user add bob@here.example");
	do_command(r, "user backend bob@here.example west");
	add(r, "user remove bob@here.example");
	is_located(r, "bob@here.example", "");
	kill_store(r);
	start_store(r);
	is_located(r, "bob@here.example", "");
}

static void commands_that_make_no_sense_say_so(void **state)
{
	static const struct {
		const char *line, *said;
	} rows[] = {
		{ "user add alice@foreign.example", "not a domain of ours" },
		{ "user add alice", "not an address" },
		{ "user add a/b@here.example", "cannot be the name of a mailbox" },
		{ "user add alice@here.example --quota many", "not a size" },
		{ "user add alice@here.example --colour red", "there is no option" },
		{ "user remove alice@here.example", "no user" },
		{ "user frobnicate", "usage" },
		{ "user backend bob north", "no \"north\" among backends" },
		{ "user backend bob east west", "usage" },
		{ "user backend bob --remove", "no server is named" },
		{ "user backend zoe@far.example east",
		  "names west for zoe@far.example, and goes first" },
		{ "user backend bo\tb east", "nothing that somebody logs in with" },
		{ "alias add x@here.example y@here.example", "nobody at" },
		{ "alias add x@here.example", "usage" },
		{ "alias remove x@here.example", "no alias" },
		{ "domain add -", "not a domain" },
		{ "domain add \u2603.example", "not a domain: it has characters" },
		{ "user add alice@\u2603.example", "not an address: it has characters" },
		{ "domain remove here.example", "configuration" },
		{ "queue show 0000000000000", "no message" },
		{ "queue show x", "not a queue id" },
		{ "queue hold all --alive", "usage" },
		{ "queue delete nonsense", "not a queue id" },
		{ "queue list --state funny", "state needs" },
		{ "queue", "usage" },
		{ "frobnicate", "knows no command" },
	};
	struct rig *r = *state;

	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		expect_false(rows[i].line, command(r, rows[i].line));
		if (!strstr(r->said, rows[i].said))
			fail_msg("%s: \"%s\" is not in: %s", rows[i].line, rows[i].said,
				 r->said);
	}
}

static void accounts_are_listed_as_they_were_made(void **state)
{
	struct rig *r = *state;

	add(r, "domain add Other.example");
	add(r, "user add Bob@other.example --quota 5m");
	add(r, "domain add other.example --catch-all bob@other.example");
	add(r, "alias add root@other.example bob@other.example");
	assert_false(command(r, "user add bob@other.example"));
	do_command(r, "user list");
	expect_true("user", rows_say(r, "address=bob@other.example quota=5242880"));
	do_command(r, "alias list");
	expect_true("alias", rows_say(r, "targets=bob@other.example"));
	do_command(r, "domain list");
	expect_true(
		"domain",
		rows_say(r,
			 "domain=other.example hop=maildir catch-all=bob@other.example"));
	kill_store(r);
	start_store(r);
	do_command(r, "user list");
	expect_true("user", rows_say(r, "address=bob@other.example quota=5242880"));
}

/* ---- an edge in a stranger's hands ----------------------------------------------------------- */

/* It is cut off, and the store serves on. */
static void is_cut_off(struct rig *r)
{
	struct frame f;

	assert_int_equal(link_recv_wait(r->edge, PATIENCE, &f, &err), LINK_CLOSED);
	do_command(r, "queue list");
	assert_int_equal(r->row_count, 0);
	assert_true(pulse_counted_record(r->pulse, LOG_LINK_BROKEN) == 1);
}

static void lie(struct rig *r, void (*change)(struct msg_SUBMIT *m))
{
	BUF(list, 512);
	struct msg_SUBMIT m = {
		.id = new_id(r),
		.nonce = 1,
		.size = 4,
		.sender = SPAN("a@b.example"),
		.rcpt_count = 1,
		.body = SPAN("body"),
	};

	list_put(&list, SPAN("alice@here.example"));
	m.rcpts = buf_span(&list);
	change(&m);
	msg_SUBMIT_pack(&m, link_begin(r->edge));
	assert_true(link_send(r->edge, NULL, 0));
	is_cut_off(r);
}

static void another_edges_id(struct msg_SUBMIT *m)
{
	m->id ^= 1u << 18;
}

static void more_recipients(struct msg_SUBMIT *m)
{
	m->rcpt_count = 2;
}

static void another_size(struct msg_SUBMIT *m)
{
	m->size = 5;
}

static void a_body_and_a_file(struct msg_SUBMIT *m)
{
	m->spooled = 1;
}

static void a_forged_sender(struct msg_SUBMIT *m)
{
	m->sender = SPAN("a@b.example>\nX: y");
}

static void a_forged_recipient(struct msg_SUBMIT *m)
{
	static const uint8_t list[] = { 4, 0, 'a', '/', '\n', '@' };

	m->rcpts = span_of(list, sizeof(list));
}

static void no_recipient(struct msg_SUBMIT *m)
{
	m->rcpts = SPAN_NONE;
	m->rcpt_count = 0;
}

static void an_id_of_another_edge_is_refused(void **state)
{
	lie(*state, another_edges_id);
}

static void a_wrong_count_is_refused(void **state)
{
	lie(*state, more_recipients);
}

static void a_wrong_size_is_refused(void **state)
{
	lie(*state, another_size);
}

static void two_bodies_are_refused(void **state)
{
	lie(*state, a_body_and_a_file);
}

static void a_sender_that_is_no_address_is_refused(void **state)
{
	lie(*state, a_forged_sender);
}

static void a_recipient_that_is_no_address_is_refused(void **state)
{
	lie(*state, a_forged_recipient);
}

static void a_message_for_nobody_is_refused(void **state)
{
	lie(*state, no_recipient);
}

static void giving_up_a_message_that_was_promised_changes_nothing(void **state)
{
	struct rig *r = *state;
	uint64_t id = new_id(r);
	struct msg_SPOOL_DROP drop = { .id = id, .nonce = 1 };
	struct msg_DELIVER m;
	struct frame f;

	submit(r, id, 1, "x@hop.example", "body\r\n");
	assert_int_equal(answer_for(r, id), SUBMITTED_OK);
	msg_SPOOL_DROP_pack(&drop, link_begin(r->edge));
	assert_true(link_send(r->edge, NULL, 0));
	deliver_answer(r, job_given(r, &m, &f), "250 thanks");
	until_empty(r);
}

static void id_command(struct rig *r, const char *what, uint64_t id)
{
	BUF(line, 64);

	buf_fmt(&line, "%s ", what);
	id_print(id, &line);
	buf_byte(&line, '\0');
	do_command(r, (const char *)line.mem);
}

static void what_is_deferred_is_so_wherever_it_is_shown(void **state)
{
	struct rig *r = *state;
	struct msg_DELIVER m;
	uint64_t other = 0;
	struct frame f;

	submit(r, new_id(r), 1, "x@hop.example y@ask.example", "body\r\n");
	hear(r->edge, MSG_SUBMITTED, &f);
	for (int i = 0; i < 2; i++) {
		(void)job_given(r, &m, &f);
		if (span_eq(m.target, SPAN("in:25")))
			deliver_answer(r, m.job, "451 later");
		else
			other = m.job;
	}
	assert_true(other != 0);
	for (int i = 0; i == 0 || r->row_count == 0; i++) {
		assert_true(i < PATIENCE / 10);
		poll(NULL, 0, 10);
		do_command(r, "queue list --state deferred");
	}
	assert_true(rows_say(r, "state=deferred"));
	do_command(r, "queue list");
	assert_true(rows_say(r, "state=deferred"));
	id_command(r, "queue show", m.id);
	assert_true(rows_say(r, "state=deferred"));
	id_command(r, "queue explain", m.id);
	assert_true(rows_say(r, "state=deferred"));
}

static void say_drain(struct rig *r, ms_t within)
{
	struct msg_DRAIN drain = { .within = within };

	msg_DRAIN_pack(&drain, link_begin(r->life));
	assert_true(link_send(r->life, NULL, 0));
}

static void until_ended(struct rig *r)
{
	int status;

	assert_int_equal(waitpid(r->store, &status, 0), r->store);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	link_close(&r->edge);
	link_close(&r->watch);
	link_close(&r->life);
	pulse_reader_close(&r->pulse);
}

static void drain_store(struct rig *r)
{
	say_drain(r, 1000);
	until_ended(r);
}

static void a_store_that_drains_ends_and_loses_nothing(void **state)
{
	struct rig *r = *state;
	struct msg_DELIVER m;
	struct frame f;

	submit(r, new_id(r), 1, "x@hop.example", "body\r\n");
	hear(r->edge, MSG_SUBMITTED, &f);
	(void)job_given(r, &m, &f);
	drain_store(r);
	start_store(r);
	deliver_answer(r, job_given(r, &m, &f), "250 thanks");
	until_empty(r);
}

/* Nobody can write to it then, as if the disk were full. */
static sqlite3 *lock_queue(struct rig *r)
{
	char path[128];
	sqlite3 *db;

	below(r, "queue/queue.db", path, sizeof(path));
	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	sqlite3_busy_timeout(db, PATIENCE);
	assert_int_equal(sqlite3_exec(db, "begin immediate", NULL, NULL, NULL), SQLITE_OK);
	return db;
}

/* One message is delivered, and the database does not take that. */
static sqlite3 *deliver_and_refuse(struct rig *r)
{
	struct msg_DELIVER m;
	struct frame f;
	sqlite3 *db;

	submit(r, new_id(r), 1, "x@hop.example", "body\r\n");
	hear(r->edge, MSG_SUBMITTED, &f);
	(void)job_given(r, &m, &f);
	db = lock_queue(r);
	deliver_answer(r, m.job, "250 thanks");
	for (int i = 0; pulse_counted_record(r->pulse, LOG_TROUBLE) == 0; i++) {
		assert_true(i < PATIENCE / 10);
		poll(NULL, 0, 10);
	}
	return db;
}

static void what_the_disk_refused_is_saved_before_the_store_ends(void **state)
{
	struct rig *r = *state;
	sqlite3 *db = deliver_and_refuse(r);

	sqlite3_close(db);
	say_drain(r, 60000);
	until_ended(r);
	start_store(r);
	do_command(r, "queue list");
	assert_int_equal(r->row_count, 0);
}

static void what_the_disk_refuses_to_the_end_is_told(void **state)
{
	struct rig *r = *state;
	sqlite3 *db = deliver_and_refuse(r);
	struct msg_DELIVER m;
	struct frame f;

	say_drain(r, 1000);
	assert_int_equal(
		waitid(P_PID, (id_t)r->store, &(siginfo_t){ 0 }, WEXITED | WNOWAIT), 0);
	assert_int_equal(pulse_counted_record(r->pulse, LOG_TROUBLE), 2);
	until_ended(r);
	sqlite3_close(db);
	start_store(r);
	deliver_answer(r, job_given(r, &m, &f), "250 thanks");
	until_empty(r);
}

/* ---- the guard's memory --------------------------------------------------------------- */

#define ROWS 5000 /* several transactions */

/* As at another start of the server: shared with the store, as the real one is. */
static struct memory new_memory(struct rig *r, uint64_t key)
{
	const struct memory_shape shape = { 1024, 131072, 1, 1 };
	struct memory m;

	r->guard.n = memory_size(&shape);
	r->guard.mem = mmap(NULL, r->guard.n, PROT_READ | PROT_WRITE,
			    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_true(r->guard.mem != MAP_FAILED);
	memory_init(r->guard.mem, r->guard.n, &shape, (uint64_t[]){ key, 1 }, 1);
	assert_true(memory_open(&m, r->guard.mem, r->guard.n, 0));
	return m;
}

static struct guard_key nth_key(unsigned n)
{
	struct addr a = addr_v4(10, 1, (uint8_t)(n >> 8), (uint8_t)n);

	return guard_key_of(&a, LEVEL_CLIENT);
}

static void fill(const struct memory *m)
{
	for (unsigned i = 0; i < ROWS; i++) {
		struct guard_hot *row = memory_open_row(m, nth_key(i), 1000);

		assert_non_null(row);
		row->first = row->last = memory_second(1000);
		row->visits = 3;
		memory_close_row(m, row);
	}
}

/* What it was told has come, as it was. */
static void merge(const struct memory *m, int fd)
{
	struct stat st;
	size_t torn;
	void *mem;

	assert_int_equal(fstat(fd, &st), 0);
	mem = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0);
	assert_true(mem != MAP_FAILED);
	assert_int_equal(
		snapshot_read(m, span_of(mem, (size_t)st.st_size), 2000, 0, &torn), ROWS);
	assert_int_equal(torn, 0);
	munmap(mem, (size_t)st.st_size);
	close(fd);
}

static void say_remembered(struct rig *r, uint64_t life)
{
	struct msg_REMEMBERED m = { .life = life, .rows = ROWS };

	msg_REMEMBERED_pack(&m, link_begin(r->edge));
	assert_true(link_send(r->edge, NULL, 0));
}

static void what_an_earlier_life_remembered_is_kept_until_an_edge_has_merged_it(void **state)
{
	struct rig *r = *state;
	struct start_mapping first, second;
	struct memory was, is;
	struct msg_REMEMBER m = { 0 };
	int fd;

	drain_store(r);
	was = new_memory(r, 1);
	first = r->guard;
	fill(&was);
	start_store(r);
	drain_store(r);

	is = new_memory(r, 2);
	second = r->guard;
	begin_store(r);
	hear_welcome(r, &fd, &m);
	assert_true(fd >= 0);
	close(fd);
	assert_true(m.life == memory_life(&is));
	/* it dies: the next one is told */
	link_close(&r->edge);
	meet_edge(r, EDGE);
	hear_welcome(r, &fd, &m);
	assert_true(fd >= 0);
	close(fd);
	/* and the server stops before that one is ready */
	drain_store(r);

	begin_store(r);
	hear_welcome(r, &fd, &m);
	assert_true(fd >= 0);
	merge(&is, fd);
	say_remembered(r, m.life);
	do_command(r, "queue list"); /* it has been heard by then */
	drain_store(r);

	/* now the last snapshot is of the second life */
	start_store(r);
	drain_store(r);
	r->guard = first;
	begin_store(r);
	hear_welcome(r, &fd, &m);
	assert_true(fd >= 0);
	assert_int_equal(lseek(fd, 0, SEEK_END), SNAPSHOT_HEAD + ROWS * SNAPSHOT_ROW);
	close(fd);
	start_unmap(&first);
	start_unmap(&second);
}

/* What a full memory knew is on the disk, and the store begins beside the empty `is`. */
static int begin_with_another_memory(struct rig *r, struct memory *is,
				     struct msg_REMEMBER *told)
{
	struct memory was;
	int fd;

	drain_store(r);
	was = new_memory(r, 1);
	fill(&was);
	start_store(r);
	drain_store(r);
	start_unmap(&r->guard);
	*is = new_memory(r, 2);
	begin_store(r);
	hear_welcome(r, &fd, told);
	return fd;
}

static void an_edge_with_another_memory_is_not_the_one_to_remember(void **state)
{
	struct rig *r = *state;
	struct link *strange;
	struct msg_REMEMBER told;
	struct memory is;
	int fd;

	fd = begin_with_another_memory(r, &is, &told);
	close(fd);
	say_remembered(r, told.life + 1);
	do_command(r, "queue list");
	strange = r->edge;
	meet_edge(r, EDGE + 1);
	hear_welcome(r, &fd, &told);
	assert_true(fd >= 0);
	close(fd);
	link_close(&strange);
	start_unmap(&r->guard);
}

static void say_lost(struct rig *r, enum message kind)
{
	struct msg_LOST m = { .kind = (uint8_t)kind };

	msg_LOST_pack(&m, link_begin(r->edge));
	assert_true(link_send(r->edge, NULL, 0));
}

static void an_edge_that_had_no_descriptor_for_recipients_is_sent_them_again(void **state)
{
	struct rig *r = *state;
	struct frame f;

	for (int i = 0; i < 2; i++) {
		say_lost(r, MSG_RECIPIENTS);
		hear(r->edge, MSG_RECIPIENTS, &f);
		assert_true(f.fds[0] >= 0);
		frame_close_fds(&f);
	}
	say_lost(r, MSG_SPOOL);
	assert_int_equal(link_recv_wait(r->edge, PATIENCE, &f, &err), LINK_CLOSED);
}

/* However often: it is not one that dies of what it merges. */
static void an_edge_that_had_no_descriptor_for_what_was_remembered_is_told_again(void **state)
{
	struct rig *r = *state;
	struct msg_REMEMBER told;
	struct memory is;
	struct frame f;
	int fd;

	fd = begin_with_another_memory(r, &is, &told);
	for (int i = 0; i < 5; i++) {
		assert_true(fd >= 0);
		close(fd);
		say_lost(r, MSG_REMEMBER);
		hear(r->edge, MSG_REMEMBER, &f);
		fd = f.fds[0];
	}
	merge(&is, fd);
	say_remembered(r, memory_life(&is));
	do_command(r, "queue list");
	start_unmap(&r->guard);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(a_message_goes_to_its_mailboxes_once),
		TEST(the_same_message_again_is_not_stored_again),
		TEST(nobody_is_promised_what_has_no_recipient),
		TEST(a_large_body_comes_through_a_file),
		TEST(a_next_hop_decides_what_becomes_of_a_message),
		TEST(an_edge_that_leaves_is_given_nothing_to_deliver),
		TEST(what_a_dead_edge_had_in_hand_is_given_to_another),
		TEST(a_next_hop_is_asked_once_about_each_recipient),
		TEST(an_edge_hears_which_mailbox_server_was_named_for_somebody),
		TEST(mailbox_servers_are_told_with_who_named_them),
		TEST(a_user_who_is_removed_leaves_no_mailbox_server_behind),
		TEST(commands_that_make_no_sense_say_so),
		TEST(accounts_are_listed_as_they_were_made),
		TEST(an_id_of_another_edge_is_refused),
		TEST(a_wrong_count_is_refused),
		TEST(a_wrong_size_is_refused),
		TEST(two_bodies_are_refused),
		TEST(a_sender_that_is_no_address_is_refused),
		TEST(a_recipient_that_is_no_address_is_refused),
		TEST(a_message_for_nobody_is_refused),
		TEST(giving_up_a_message_that_was_promised_changes_nothing),
		TEST(what_is_deferred_is_so_wherever_it_is_shown),
		TEST(a_store_that_drains_ends_and_loses_nothing),
		TEST(what_the_disk_refused_is_saved_before_the_store_ends),
		TEST(what_the_disk_refuses_to_the_end_is_told),
		TEST(what_an_earlier_life_remembered_is_kept_until_an_edge_has_merged_it),
		TEST(an_edge_with_another_memory_is_not_the_one_to_remember),
		TEST(an_edge_that_had_no_descriptor_for_recipients_is_sent_them_again),
		TEST(an_edge_that_had_no_descriptor_for_what_was_remembered_is_told_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
