/*
 * What a box promises: numbers and UIDLs that stay, whoever else reads and delivers; one
 * session at a time; nothing removed but by BOX_CLOSE, and then for good.
 */
#include "expect.h"
#include "store_rig.h"

#include <errno.h>

#include "edge/box_list.h"
#include "spec/box.h"
#include "store/box_files.h"
#include "wire/pop3_text.h"

/* ---- files ------------------------------------------------------------------------------ */

struct place {
	char dir[64];
	struct maildirs dirs;
	struct box_files files;
	struct box_item *items;
	uint64_t bytes;
};

static void put(const struct place *p, const char *name, const char *text)
{
	char path[512];
	int fd;

	snprintf(path, sizeof(path), "%s/mail/e/u/%s", p->dir, name);
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0600);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
}

static void run(const struct place *p, const char *command)
{
	char line[1024];

	snprintf(line, sizeof(line), "cd %s/mail/e/u && %s", p->dir, command);
	assert_int_equal(system(line), 0);
}

static int make_place(void **state)
{
	struct place *p = calloc(1, sizeof(*p));
	char line[256];

	snprintf(p->dir, sizeof(p->dir), "/tmp/holdfast-box-XXXXXX");
	assert_non_null(mkdtemp(p->dir));
	snprintf(line, sizeof(line), "mkdir -p %s/mail/e/u/new %s/mail/e/u/cur", p->dir,
		 p->dir);
	assert_int_equal(system(line), 0);
	assert_true(maildirs_open(&p->dirs, p->dir, "", &err));
	*state = p;
	return 0;
}

static void forget_list(struct place *p)
{
	if (p->items)
		munmap(p->items, p->files.count * sizeof(*p->items));
	p->items = NULL;
	box_files_close(&p->files);
}

static int clear_place(void **state)
{
	struct place *p = *state;
	char line[128];

	forget_list(p);
	maildirs_close(&p->dirs);
	snprintf(line, sizeof(line), "rm -rf %s", p->dir);
	assert_int_equal(system(line), 0);
	free(p);
	return 0;
}

static struct box_item *map_items(int fd, size_t count)
{
	struct stat st;
	void *mem;

	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(st.st_size, count * sizeof(struct box_item));
	if (count == 0)
		return NULL;
	mem = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0);
	assert_true(mem != MAP_FAILED);
	return mem;
}

static void list(struct place *p)
{
	int fd;

	forget_list(p);
	if (!box_files_list(&p->dirs, SPAN("e/u"), &p->files, &fd, &p->bytes, &err))
		fail_msg("%s", err.text);
	p->items = map_items(fd, p->files.count);
	close(fd);
}

static struct span uid(const struct place *p, size_t i)
{
	return span_of(p->items[i].uid, p->items[i].uid_n);
}

static void mails_are_in_the_order_of_their_delivery_with_sizes_in_crlf(void **state)
{
	struct place *p = *state;

	put(p, "new/200.Qb_0.host,S=9,W=12", "a: b\n\nxx\n");
	put(p, "cur/99.x.host:2,S", "a: b\n\n1\n");
	put(p, "new/1000.y.host,S=4", "\r\n\n.");
	list(p);
	assert_int_equal(p->files.count, 3);
	expect_span("first", uid(p, 0), SPAN("99.x.host"));
	expect_span("second", uid(p, 1), SPAN("200.Qb_0.host"));
	expect_span("third", uid(p, 2), SPAN("1000.y.host"));
	assert_int_equal(p->items[0].size, 11);
	assert_int_equal(p->items[1].size, 12);
	assert_int_equal(p->items[2].size, 7);
	assert_int_equal(p->bytes, 30);
}

static void what_is_no_mail_is_passed_over(void **state)
{
	struct place *p = *state;

	run(p, "mkdir new/1.dir && ln -s /etc/passwd new/2.link && mkfifo new/3.fifo");
	put(p, "new/.4.hidden", "x");
	put(p, "new/5.mail", "x\n");
	list(p);
	assert_int_equal(p->files.count, 1);
	expect_span("the mail", uid(p, 0), SPAN("5.mail"));
}

/* Names that nobody should have made are mails with a UIDL all the same. */
static void garbage_names_have_uidls_too(void **state)
{
	struct place *p = *state;
	char longest[256];

	memset(longest, 'a', sizeof(longest));
	memcpy(longest, "new/7", 5);
	longest[255] = '\0';
	put(p, "new/with space", "1\n");
	put(p, "new/\x01\xff", "2\n");
	put(p, "new/,S=", "3\n");
	put(p, "new/,S=12,W=4", "4\n");
	put(p, "new/:2,S", "5\n");
	put(p, "new/99999999999999999999999.x", "6\n");
	put(p, "new/8.x,S=1,W=99999999999999999999999", "7\n");
	put(p, longest, "8\n");
	list(p);
	assert_int_equal(p->files.count, 8);
	for (size_t i = 0; i < p->files.count; i++) {
		int fd = box_files_open(&p->dirs, SPAN("e/u"), &p->files, i);

		assert_true(fd >= 0);
		close(fd);
		assert_in_range(p->items[i].uid_n, 1, BOX_UID_MAX);
		for (size_t j = 0; j < p->items[i].uid_n; j++)
			assert_in_range(p->items[i].uid[j], 0x21, 0x7e);
		for (size_t j = 0; j < i; j++)
			expect_false("the same UIDL", span_eq(uid(p, i), uid(p, j)));
	}
}

static void a_uidl_stays_when_others_move_the_mail(void **state)
{
	struct place *p = *state;
	uint8_t before[2][BOX_UID_MAX];
	size_t n[2];
	char mark[16];
	int fd;

	put(p, "new/1.a.host,S=2", "a\n");
	put(p, "new/2.b host", "b\n");
	list(p);
	for (size_t i = 0; i < 2; i++) {
		n[i] = uid(p, i).n;
		memcpy(before[i], uid(p, i).p, n[i]);
	}
	run(p, "mv new/1.a.host,S=2 cur/1.a.host,S=2,W=3:2,S && "
	       "mv 'new/2.b host' 'cur/2.b host:2,'");
	for (size_t i = 0; i < 2; i++) {
		fd = box_files_open(&p->dirs, SPAN("e/u"), &p->files, i);
		assert_int_equal(read(fd, mark, sizeof(mark)), 2);
		assert_int_equal(mark[0], "ab"[i]);
		close(fd);
	}
	list(p);
	assert_int_equal(p->files.count, 2);
	for (size_t i = 0; i < 2; i++)
		expect_span("after", uid(p, i), span_of(before[i], n[i]));
}

static void a_mail_on_its_way_from_new_to_cur_is_one(void **state)
{
	struct place *p = *state;

	put(p, "new/1.a", "a\n");
	put(p, "cur/1.a:2,S", "a\n");
	list(p);
	assert_int_equal(p->files.count, 1);
	assert_true(p->files.files[0].in_cur);
}

static void what_vanished_is_missed_when_it_is_wanted(void **state)
{
	struct place *p = *state;

	put(p, "new/1.a", "a\n");
	list(p);
	run(p, "rm new/1.a");
	assert_int_equal(box_files_open(&p->dirs, SPAN("e/u"), &p->files, 0), -1);
	assert_int_equal(box_files_remove(&p->dirs, SPAN("e/u"), &p->files, SPAN("\x01")),
			 0);
}

static void what_is_removed_is_what_was_meant_wherever_it_is_now(void **state)
{
	struct place *p = *state;

	put(p, "new/1.a", "a\n");
	put(p, "new/2.b", "b\n");
	put(p, "new/3.c", "c\n");
	put(p, "cur/4.d:2,", "d\n");
	list(p);
	run(p, "mv new/2.b cur/2.b:2,S && mv cur/4.d:2, cur/4.d:2,RS");
	put(p, "new/0.later", "new\n"); /* numbers are those of the list */
	assert_int_equal(box_files_remove(&p->dirs, SPAN("e/u"), &p->files, SPAN("\x0b")),
			 0);
	list(p);
	assert_int_equal(p->files.count, 2);
	expect_span("left", uid(p, 0), SPAN("0.later"));
	expect_span("left", uid(p, 1), SPAN("3.c"));
}

static void what_cannot_be_removed_is_told(void **state)
{
	struct place *p = *state;

	put(p, "new/1.a", "a\n");
	list(p);
	/* a directory of that name: nobody can unlink it, root neither */
	run(p, "rm new/1.a && mkdir new/1.a");
	assert_int_equal(box_files_remove(&p->dirs, SPAN("e/u"), &p->files, SPAN("\x01")),
			 1);
}

static void a_box_without_directories_is_empty_and_one_that_is_not_there_is_none(void **state)
{
	struct place *p = *state;
	int fd;

	run(p, "rmdir new cur");
	list(p);
	assert_int_equal(p->files.count, 0);
	assert_false(box_files_list(&p->dirs, SPAN("e/nobody"), &p->files, &fd, &p->bytes,
				    &err));
	assert_int_equal(errno, ENOENT);
}

/* ---- lists, as an edge gets them ----------------------------------------------------------- */

static struct box_item item(const char *name)
{
	struct box_item i = { .size = 1, .uid_n = (uint8_t)strlen(name) };

	memcpy(i.uid, name, i.uid_n);
	return i;
}

static void a_list_that_makes_no_sense_is_not_taken(void **state)
{
	struct box_item good[] = { item("a"), item("b") },
			bad[3] = { good[0], good[0], good[0] };
	const struct box_item *mapped;
	int fd = memfd_of(span_of(good, sizeof(good)));

	(void)state;
	mapped = box_list_map(fd, 2);
	assert_non_null(mapped);
	assert_int_equal(mapped[1].uid[0], 'b');
	box_list_unmap(mapped, 2);
	assert_null(box_list_map(fd, 1));
	assert_null(box_list_map(fd, 3));
	close(fd);
	bad[0].uid_n = 0;
	bad[1].uid_n = BOX_UID_MAX + 1;
	bad[2].uid[0] = ' ';
	for (size_t i = 0; i < COUNT_OF(bad); i++) {
		fd = memfd_of(span_of(&bad[i], sizeof(bad[i])));
		assert_null(box_list_map(fd, 1));
		close(fd);
	}
	/* one that could become shorter under our hands */
	fd = memfd_create("test", MFD_ALLOW_SEALING | MFD_CLOEXEC);
	assert_int_equal(write(fd, good, sizeof(good)), sizeof(good));
	assert_null(box_list_map(fd, 2));
	close(fd);
}

static void numbers_of_an_old_list_are_found_in_a_new_one(void **state)
{
	enum { MANY = 500 };
	static struct box_item old[MANY], now[MANY];
	uint32_t *numbers, kept = 0;
	char name[16];

	(void)state;
	now[kept++] = item("new");
	for (uint32_t i = 0; i < MANY; i++) {
		snprintf(name, sizeof(name), "m%u", i);
		old[i] = item(name);
		if (i % 3)
			now[kept++] = old[i];
	}
	numbers = box_list_match(old, MANY, now, kept);
	assert_non_null(numbers);
	for (uint32_t i = 0; i < MANY; i++) {
		if (i % 3 == 0)
			assert_int_equal(numbers[i], BOX_GONE);
		else
			assert_memory_equal(&now[numbers[i]], &old[i], sizeof(old[i]));
	}
	free(numbers);
	numbers = box_list_match(old, 1, NULL, 0);
	assert_int_equal(numbers[0], BOX_GONE);
	free(numbers);
}

/* ---- the role --------------------------------------------------------------------------- */

static int set_up_pop3(void **state)
{
	struct rig *r;

	set_up(state);
	r = *state;
	kill_store(r);
	r->conf.listener_count = 1;
	r->conf.listeners[0].service = SERVICE_POP3;
	r->conf.listeners[0].at.port = 110;
	start_store(r);
	add(r, "user add u@here.example");
	submit(r, new_id(r), 1, "u@here.example", "Subject: one\r\n\r\n1\r\n");
	hear(r->edge, MSG_SUBMITTED, &(struct frame){ 0 });
	submit(r, new_id(r), 2, "u@here.example", "Subject: two\r\n\r\n.\r\n");
	hear(r->edge, MSG_SUBMITTED, &(struct frame){ 0 });
	until_empty(r);
	return 0;
}

static void send_frame(struct rig *r)
{
	assert_true(link_send(r->edge, NULL, 0));
}

static void ask_box_with(struct rig *r, uint64_t ask, const char *login,
			 struct span ticket)
{
	struct msg_BOX_OPEN m = { .ask = ask, .login = span_str(login), .ticket = ticket };

	msg_BOX_OPEN_pack(&m, link_begin(r->edge));
	send_frame(r);
}

static void ask_box(struct rig *r, uint64_t ask, const char *login)
{
	struct made_ticket t = ticket_for(TICKET_MAILBOX, EDGE, span_str(login),
					  MS_MINUTE);

	ask_box_with(r, ask, login, span_of(t.mem, sizeof(t.mem)));
}

static enum box_result box_is(struct rig *r, uint64_t ask, struct msg_BOX_IS *m,
			      struct box_item **items)
{
	struct frame f;

	hear(r->edge, MSG_BOX_IS, &f);
	assert_true(msg_BOX_IS_unpack(f.bytes, m));
	assert_int_equal(m->ask, ask);
	if (items)
		*items = map_items(f.fds[0], m->count);
	frame_close_fds(&f);
	return (enum box_result)m->result;
}

static enum box_result open_box(struct rig *r, uint64_t ask, const char *login,
				struct msg_BOX_IS *m)
{
	ask_box(r, ask, login);
	return box_is(r, ask, m, NULL);
}

static void say_remove(struct rig *r, uint64_t ask, struct span bits)
{
	struct msg_BOX_REMOVE m = { .ask = ask, .bits = bits };

	msg_BOX_REMOVE_pack(&m, link_begin(r->edge));
	send_frame(r);
}

static void say_close(struct rig *r, uint64_t ask)
{
	struct msg_BOX_CLOSE m = { .ask = ask };

	msg_BOX_CLOSE_pack(&m, link_begin(r->edge));
	send_frame(r);
}

static uint32_t closed(struct rig *r, uint64_t ask)
{
	struct msg_BOX_CLOSED m;
	struct frame f;

	hear(r->edge, MSG_BOX_CLOSED, &f);
	assert_true(msg_BOX_CLOSED_unpack(f.bytes, &m));
	assert_int_equal(m.ask, ask);
	return m.left;
}

static int text_of(struct rig *r, uint64_t ask, uint32_t number)
{
	struct msg_BOX_READ m = { .ask = ask, .number = number };
	struct msg_BOX_TEXT t;
	struct frame f;

	msg_BOX_READ_pack(&m, link_begin(r->edge));
	send_frame(r);
	hear(r->edge, MSG_BOX_TEXT, &f);
	assert_true(msg_BOX_TEXT_unpack(f.bytes, &t));
	assert_int_equal(t.ask, ask);
	assert_int_equal(t.number, number);
	return f.fds[0];
}

static void what_was_delivered_is_listed_and_read(void **state)
{
	struct rig *r = *state;
	struct box_item *items;
	struct msg_BOX_IS m;
	char text[256];
	uint64_t sum = 0;

	ask_box(r, 7, "U@Here.Example");
	assert_int_equal(box_is(r, 7, &m, &items), BOX_OPEN_OK);
	assert_int_equal(m.count, 2);
	for (uint32_t i = 0; i < 2; i++) {
		int fd = text_of(r, 7, i);
		struct pop3_size size;
		ssize_t n = read(fd, text, sizeof(text) - 1);

		assert_true(n > 0);
		text[n] = '\0';
		assert_non_null(strstr(text, i ? "Subject: two\n\n.\n" : "Subject: one"));
		pop3_size_begin(&size);
		pop3_size_put(&size, span_of(text, (size_t)n));
		assert_int_equal(items[i].size, pop3_size_end(&size));
		sum += items[i].size;
		assert_true(write(fd, "x", 1) < 0);
		close(fd);
	}
	assert_int_equal(m.bytes, sum);
	munmap(items, m.count * sizeof(*items));
}

static void a_box_has_one_session_until_that_is_over(void **state)
{
	struct rig *r = *state;
	struct msg_BOX_IS m;

	assert_int_equal(open_box(r, 1, "u@here.example", &m), BOX_OPEN_OK);
	assert_int_equal(open_box(r, 2, "u@here.example", &m), BOX_LOCKED);
	say_close(r, 1);
	assert_int_equal(closed(r, 1), 0);
	assert_int_equal(open_box(r, 3, "u@here.example", &m), BOX_OPEN_OK);
	assert_int_equal(m.count, 2);
}

static void a_lock_goes_with_its_edge_and_nothing_is_removed(void **state)
{
	struct rig *r = *state;
	struct msg_REMEMBER none;
	struct msg_BOX_IS m;
	int fd;

	assert_int_equal(open_box(r, 1, "u@here.example", &m), BOX_OPEN_OK);
	say_remove(r, 1, SPAN("\x03"));
	link_close(&r->edge);
	meet_edge(r, EDGE);
	hear_welcome(r, &fd, &none);
	assert_int_equal(open_box(r, 1, "u@here.example", &m), BOX_OPEN_OK);
	assert_int_equal(m.count, 2);
}

static void what_is_removed_goes_when_the_box_is_closed_and_mail_comes_meanwhile(void **state)
{
	struct rig *r = *state;
	struct msg_BOX_IS m;

	assert_int_equal(open_box(r, 1, "u@here.example", &m), BOX_OPEN_OK);
	submit(r, new_id(r), 3, "u@here.example", "Subject: three\r\n\r\n3\r\n");
	hear(r->edge, MSG_SUBMITTED, &(struct frame){ 0 });
	until_empty(r);
	say_remove(r, 1, SPAN("\x03"));
	assert_int_equal(mails_in(r, "here.example/u"), 3);
	say_close(r, 1);
	assert_int_equal(closed(r, 1), 0);
	assert_int_equal(mails_in(r, "here.example/u"), 1);
	assert_int_equal(open_box(r, 2, "u@here.example", &m), BOX_OPEN_OK);
	assert_int_equal(m.count, 1);
}

/* A session that vanished while its box was being opened has said so behind it. */
static void a_box_that_is_closed_before_it_was_open_is_free(void **state)
{
	struct rig *r = *state;
	struct msg_BOX_IS m;

	ask_box(r, 1, "u@here.example");
	say_close(r, 1);
	(void)box_is(r, 1, &m, NULL);
	assert_int_equal(closed(r, 1), 0);
	assert_int_equal(open_box(r, 2, "u@here.example", &m), BOX_OPEN_OK);
}

static void an_end_that_was_said_counts_though_the_edge_is_gone(void **state)
{
	struct rig *r = *state;
	struct msg_REMEMBER none;
	struct msg_BOX_IS m;
	int fd;

	assert_int_equal(open_box(r, 1, "u@here.example", &m), BOX_OPEN_OK);
	say_remove(r, 1, SPAN("\x01"));
	say_close(r, 1);
	link_close(&r->edge);
	meet_edge(r, EDGE);
	hear_welcome(r, &fd, &none);
	do {
		ask_box(r, 2, "u@here.example");
	} while (box_is(r, 2, &m, NULL) == BOX_LOCKED); /* a thread is at it */
	assert_int_equal(m.count, 1);
}

static const struct nobody {
	const char *login;
	enum box_result result;
} nobodies[] = {
	{ "nobody@here.example", BOX_NONE }, { "u", BOX_NONE },
	{ "../u@here.example", BOX_NONE },   { "u@../here.example", BOX_NONE },
	{ "@here.example", BOX_NONE },
};

static void who_is_nobody_has_no_box_and_a_new_user_an_empty_one(void **state)
{
	struct rig *r = *state;
	struct msg_BOX_IS m;

	for (size_t i = 0; i < COUNT_OF(nobodies); i++)
		expect_number(nobodies[i].login,
			      open_box(r, 10 + i, nobodies[i].login, &m),
			      nobodies[i].result);
	add(r, "user add new@here.example");
	assert_int_equal(open_box(r, 30, "new@here.example", &m), BOX_OPEN_OK);
	assert_int_equal(m.count, 0);
}

/* An edge in a stranger's hands is cut off when it says what none of ours would. */
static void an_edge_that_reads_beyond_its_box_is_cut_off(void **state)
{
	struct rig *r = *state;
	struct msg_BOX_READ read = { .ask = 1, .number = 2 };
	struct msg_BOX_IS m;
	struct frame f;

	assert_int_equal(open_box(r, 1, "u@here.example", &m), BOX_OPEN_OK);
	msg_BOX_READ_pack(&read, link_begin(r->edge));
	send_frame(r);
	assert_int_equal(link_recv_wait(r->edge, PATIENCE, &f, &err), LINK_CLOSED);
}

static void expect_cut_off(struct rig *r)
{
	struct frame f;

	assert_int_equal(link_recv_wait(r->edge, PATIENCE, &f, &err), LINK_CLOSED);
	assert_true(pulse_counted_record(r->pulse, LOG_LINK_BROKEN) == 1);
}

static void an_edge_without_a_ticket_gets_no_box_and_is_cut_off(void **state)
{
	struct rig *r = *state;

	ask_box_with(r, 1, "u@here.example", SPAN_NONE);
	expect_cut_off(r);
}

static void a_ticket_for_another_user_opens_no_box(void **state)
{
	struct made_ticket t = ticket_for(TICKET_MAILBOX, EDGE, SPAN("v@here.example"),
					  MS_MINUTE);

	ask_box_with(*state, 1, "u@here.example", span_of(t.mem, sizeof(t.mem)));
	expect_cut_off(*state);
}

static void what_opens_a_box_again_runs_out_too(void **state)
{
	struct rig *r = *state;
	struct made_ticket t = ticket_for(TICKET_AGAIN, EDGE, SPAN("u@here.example"), 0);
	struct msg_BOX_IS m;

	ask_box_with(r, 1, "u@here.example", span_of(t.mem, sizeof(t.mem)));
	assert_int_equal(box_is(r, 1, &m, NULL), BOX_FAILED);
	assert_int_equal(m.ticket.n, 0);
}

static void a_ticket_for_mail_opens_no_box(void **state)
{
	struct made_ticket t = ticket_for(TICKET_MAIL, EDGE, SPAN("u@here.example"),
					  MS_MINUTE);

	ask_box_with(*state, 1, "u@here.example", span_of(t.mem, sizeof(t.mem)));
	expect_cut_off(*state);
}

static void a_ticket_of_another_edge_opens_no_box(void **state)
{
	struct made_ticket t = ticket_for(TICKET_MAILBOX, EDGE + 1,
					  SPAN("u@here.example"), MS_MINUTE);

	ask_box_with(*state, 1, "u@here.example", span_of(t.mem, sizeof(t.mem)));
	expect_cut_off(*state);
}

/* The edge may have waited for a store; it has not lied. */
static void who_comes_too_late_is_told_and_not_cut_off(void **state)
{
	struct rig *r = *state;
	struct made_ticket t = ticket_for(TICKET_MAILBOX, EDGE, SPAN("u@here.example"), 0);
	struct msg_BOX_IS m;

	ask_box_with(r, 1, "u@here.example", span_of(t.mem, sizeof(t.mem)));
	assert_int_equal(box_is(r, 1, &m, NULL), BOX_FAILED);
	assert_int_equal(m.ticket.n, 0);
	assert_int_equal(open_box(r, 2, "u@here.example", &m), BOX_OPEN_OK);
}

/* Long after the login, of another store: with what the first one gave. */
static void who_has_a_box_open_may_open_it_again_and_no_other(void **state)
{
	struct rig *r = *state;
	const struct ticket its = { TICKET_AGAIN, EDGE, SPAN("U@here.example") };
	uint8_t ticket[TICKET_SIZE];
	struct msg_BOX_IS m;
	struct timespec now;

	assert_int_equal(open_box(r, 1, "U@here.example", &m), BOX_OPEN_OK);
	assert_int_equal(m.ticket.n, TICKET_SIZE);
	memcpy(ticket, m.ticket.p, TICKET_SIZE);
	assert_int_equal(clock_gettime(CLOCK_MONOTONIC, &now), 0);
	assert_int_equal(ticket_check(ticket_key, &its,
				      (ms_t)now.tv_sec * 1000 + 2 * TICKET_FOR_LOGIN,
				      span_of(ticket, TICKET_SIZE)),
			 TICKET_GOOD);
	kill_store(r);
	start_store(r);
	ask_box_with(r, 1, "U@here.example", span_of(ticket, TICKET_SIZE));
	assert_int_equal(box_is(r, 1, &m, NULL), BOX_OPEN_OK);
	/* it stays the same: who opens it once a day would read for ever */
	expect_span("ticket", m.ticket, span_of(ticket, TICKET_SIZE));
	ask_box_with(r, 2, "v@here.example", span_of(ticket, TICKET_SIZE));
	expect_cut_off(r);
}

static void without_a_port_for_pop3_no_edge_gets_a_box(void **state)
{
	struct rig *r = *state;
	struct msg_BOX_IS m;

	add(r, "user add u@here.example");
	assert_int_equal(open_box(r, 1, "u@here.example", &m), BOX_NONE);
}

int main(void)
{
	const struct CMUnitTest files[] = {
		cmocka_unit_test_setup_teardown(
			mails_are_in_the_order_of_their_delivery_with_sizes_in_crlf,
			make_place, clear_place),
		cmocka_unit_test_setup_teardown(what_is_no_mail_is_passed_over,
						make_place, clear_place),
		cmocka_unit_test_setup_teardown(garbage_names_have_uidls_too, make_place,
						clear_place),
		cmocka_unit_test_setup_teardown(a_uidl_stays_when_others_move_the_mail,
						make_place, clear_place),
		cmocka_unit_test_setup_teardown(a_mail_on_its_way_from_new_to_cur_is_one,
						make_place, clear_place),
		cmocka_unit_test_setup_teardown(what_vanished_is_missed_when_it_is_wanted,
						make_place, clear_place),
		cmocka_unit_test_setup_teardown(
			what_is_removed_is_what_was_meant_wherever_it_is_now, make_place,
			clear_place),
		cmocka_unit_test_setup_teardown(what_cannot_be_removed_is_told,
						make_place, clear_place),
		cmocka_unit_test_setup_teardown(
			a_box_without_directories_is_empty_and_one_that_is_not_there_is_none,
			make_place, clear_place),
		cmocka_unit_test(a_list_that_makes_no_sense_is_not_taken),
		cmocka_unit_test(numbers_of_an_old_list_are_found_in_a_new_one),
		cmocka_unit_test_setup_teardown(what_was_delivered_is_listed_and_read,
						set_up_pop3, tear_down),
		cmocka_unit_test_setup_teardown(a_box_has_one_session_until_that_is_over,
						set_up_pop3, tear_down),
		cmocka_unit_test_setup_teardown(
			a_lock_goes_with_its_edge_and_nothing_is_removed, set_up_pop3,
			tear_down),
		cmocka_unit_test_setup_teardown(
			what_is_removed_goes_when_the_box_is_closed_and_mail_comes_meanwhile,
			set_up_pop3, tear_down),
		cmocka_unit_test_setup_teardown(
			a_box_that_is_closed_before_it_was_open_is_free, set_up_pop3,
			tear_down),
		cmocka_unit_test_setup_teardown(
			an_end_that_was_said_counts_though_the_edge_is_gone, set_up_pop3,
			tear_down),
		cmocka_unit_test_setup_teardown(
			who_is_nobody_has_no_box_and_a_new_user_an_empty_one, set_up_pop3,
			tear_down),
		cmocka_unit_test_setup_teardown(an_edge_that_reads_beyond_its_box_is_cut_off,
						set_up_pop3, tear_down),
		cmocka_unit_test_setup_teardown(
			an_edge_without_a_ticket_gets_no_box_and_is_cut_off, set_up_pop3,
			tear_down),
		cmocka_unit_test_setup_teardown(a_ticket_for_another_user_opens_no_box,
						set_up_pop3, tear_down),
		cmocka_unit_test_setup_teardown(what_opens_a_box_again_runs_out_too,
						set_up_pop3, tear_down),
		cmocka_unit_test_setup_teardown(a_ticket_for_mail_opens_no_box,
						set_up_pop3, tear_down),
		cmocka_unit_test_setup_teardown(a_ticket_of_another_edge_opens_no_box,
						set_up_pop3, tear_down),
		cmocka_unit_test_setup_teardown(who_comes_too_late_is_told_and_not_cut_off,
						set_up_pop3, tear_down),
		cmocka_unit_test_setup_teardown(
			who_has_a_box_open_may_open_it_again_and_no_other, set_up_pop3,
			tear_down),
		cmocka_unit_test_setup_teardown(without_a_port_for_pop3_no_edge_gets_a_box,
						set_up, tear_down),
	};

	return cmocka_run_group_tests(files, NULL, NULL);
}
