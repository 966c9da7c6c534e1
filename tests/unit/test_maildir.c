/*
 * What a mailbox promises: names that nobody can bend, one file per message however
 * often it is delivered, and bytes as they were sent.
 */
#include "expect.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/maildir.h"

struct place {
	char dir[64];
	struct maildirs dirs;
};

static struct err err;

static int set_up(void **state)
{
	struct place *p = calloc(1, sizeof(*p));
	char mail[96];

	snprintf(p->dir, sizeof(p->dir), "/tmp/holdfast-maildir-XXXXXX");
	assert_non_null(mkdtemp(p->dir));
	snprintf(mail, sizeof(mail), "%s/mail", p->dir);
	assert_int_equal(mkdir(mail, 0700), 0);
	assert_true(maildirs_open(&p->dirs, p->dir, "", &err));
	*state = p;
	return 0;
}

static int tear_down(void **state)
{
	struct place *p = *state;
	char command[128];

	maildirs_close(&p->dirs);
	snprintf(command, sizeof(command), "rm -rf %s", p->dir);
	assert_int_equal(system(command), 0);
	free(p);
	return 0;
}

/* ---- paths -------------------------------------------------------------------------- */

static const struct path_row {
	const char *why, *pattern, *mailbox, *path;
} path_rows[] = {
	/* clang-format off */
	{ "the default",              "",                 "u@d.example",     "d.example/u" },
	{ "a pattern",                "/srv/%d/%u/Mail",  "u@d.example",     "d.example/u/Mail" },
	{ "both in one part",         "/srv/m-%u-%d",     "u@d",             "m-u-d" },
	{ "a percent sign",           "/srv/%u/100%%",    "u@d",             "u/100%" },
	{ "a dot in front is a name", "",                 ".u@d",            "d/.u" },
	{ "a quoted local part",      "",                 "\"a b\"@d",       "d/\"a b\"" },
	{ "a slash in the user",      "",                 "a/b@d",           NULL },
	{ "up by the user",           "",                 "..@d",            NULL },
	{ "here by the user",         "",                 ".@d",             NULL },
	{ "up by the domain",         "",                 "u@..",            NULL },
	{ "no user",                  "",                 "@d",              NULL },
	{ "no domain",                "",                 "u@",              NULL },
	{ "no @",                     "",                 "u",               NULL },
	/* clang-format on */
};

static void a_mailbox_has_no_path_but_its_own(void **unused)
{
	(void)unused;
	for (size_t i = 0; i < COUNT_OF(path_rows); i++) {
		const struct path_row *row = &path_rows[i];
		struct maildirs dirs;
		BUF(out, MAILDIR_PATH_MAX);

		assert_true(maildirs_open(&dirs, "/nowhere", row->pattern, &err));
		expect_true(row->why, maildirs_path(&dirs, span_str(row->mailbox),
						    &out) == (row->path != NULL));
		if (row->path)
			expect_span(row->why, buf_span(&out), span_str(row->path));
		maildirs_close(&dirs);
	}
}

static void a_nul_and_a_long_name_are_no_part_of_a_path(void **unused)
{
	static const char nul[] = "a\0b@d";
	char longest[300];
	struct maildirs dirs;
	BUF(out, MAILDIR_PATH_MAX);

	(void)unused;
	assert_true(maildirs_open(&dirs, "/nowhere", "", &err));
	assert_false(maildirs_path(&dirs, span_of(nul, sizeof(nul) - 1), &out));
	memset(longest, 'x', sizeof(longest));
	memcpy(longest + 256, "@d", 3);
	buf_reset(&out);
	assert_false(maildirs_path(&dirs, span_str(longest), &out));
	maildirs_close(&dirs);
}

static void a_pattern_must_vary_and_be_absolute(void **unused)
{
	struct maildirs dirs;

	(void)unused;
	assert_false(maildirs_open(&dirs, "/d", "/srv/mail", &err));
	assert_false(maildirs_open(&dirs, "/d", "mail/%u", &err));
}

static void the_name_comes_from_the_queue_id(void **unused)
{
	BUF(out, MAILDIR_NAME_MAX);
	BUF(again, MAILDIR_NAME_MAX);

	(void)unused;
	maildir_name(1700000000999, 1, 7, SPAN("mx/1:2.example"), &out);
	expect_span("name", buf_span(&out),
		    SPAN("1700000000.Q0000000000001_7.mx\\0571\\0722.example"));
	maildir_name(1700000000999, 1, 7, SPAN("mx/1:2.example"), &again);
	expect_span("the same again", buf_span(&again), buf_span(&out));
}

/* ---- delivery ------------------------------------------------------------------------ */

static struct mail mail_for(const char *path)
{
	return (struct mail){
		.path = span_str(path),
		.name = SPAN("1.Qx_0.host"),
		.sender = SPAN("a@b"),
		.address = SPAN("u+d@e"),
		.body = SPAN("Subject: x\r\n\r\none\r\n.two\rthree\r\n\r"),
		.spool = -1,
	};
}

static void deliver(struct place *p, struct mail *m)
{
	maildir_deliver(&p->dirs, &m, 1);
}

static size_t files_in(struct place *p, const char *folder, char *name, size_t n)
{
	char path[256];
	struct dirent *e;
	size_t count = 0;
	DIR *dir;

	snprintf(path, sizeof(path), "%s/mail/%s", p->dir, folder);
	dir = opendir(path);
	assert_non_null(dir);
	while ((e = readdir(dir)))
		if (e->d_name[0] != '.') {
			count++;
			snprintf(name, n, "%s/%s", path, e->d_name);
		}
	closedir(dir);
	return count;
}

static void a_mail_is_one_file_with_its_size_in_its_name(void **state)
{
	static const char expected[] =
		"Return-Path: <a@b>\nDelivered-To: u+d@e\nSubject: x\n\none\n.two\rthree\n\r";
	struct place *p = *state;
	struct mail m = mail_for("e/u");
	char name[512], bytes[256];
	struct stat st;
	ssize_t n;
	int fd;

	deliver(p, &m);
	assert_true(m.delivered);
	assert_false(m.found);
	assert_int_equal(files_in(p, "e/u/new", name, sizeof(name)), 1);
	assert_int_equal(files_in(p, "e/u/tmp", bytes, sizeof(bytes)), 0);
	assert_non_null(strstr(name, "/1.Qx_0.host,S=67,W=74"));
	fd = open(name, O_RDONLY);
	n = read(fd, bytes, sizeof(bytes));
	assert_int_equal(fstat(fd, &st), 0);
	close(fd);
	assert_int_equal(st.st_size, m.size);
	assert_int_equal(st.st_mode & 07777, 0600);
	expect_span("bytes", span_of(bytes, (size_t)n), span_str(expected));
}

static void what_is_binary_keeps_each_byte(void **state)
{
	static const char expected[] =
		"Return-Path: <a@b>\nDelivered-To: u+d@e\nSubject: x\r\n\r\none\n\r\r\n";
	struct place *p = *state;
	struct mail m = mail_for("e/u");
	char name[512], bytes[256];
	ssize_t n;
	int fd;

	m.binary = true;
	m.body = SPAN("Subject: x\r\n\r\none\n\r\r\n");
	deliver(p, &m);
	assert_true(m.delivered);
	assert_int_equal(files_in(p, "e/u/new", name, sizeof(name)), 1);
	fd = open(name, O_RDONLY);
	n = read(fd, bytes, sizeof(bytes));
	close(fd);
	expect_span("bytes", span_of(bytes, (size_t)n), span_str(expected));
}

static void a_repeated_delivery_finds_its_file(void **state)
{
	struct place *p = *state;
	struct mail m = mail_for("e/u");
	char name[512], cur[512];

	deliver(p, &m);
	m.again = true;
	deliver(p, &m);
	assert_true(m.delivered && m.found);
	assert_int_equal(files_in(p, "e/u/new", name, sizeof(name)), 1);
	snprintf(cur, sizeof(cur), "%s/mail/e/u/cur/1.Qx_0.host,S=67:2,S", p->dir);
	assert_int_equal(rename(name, cur), 0);
	deliver(p, &m);
	assert_true(m.delivered && m.found);
	assert_int_equal(files_in(p, "e/u/new", name, sizeof(name)), 0);
}

static void what_a_predecessor_left_in_tmp_is_no_obstacle(void **state)
{
	struct place *p = *state;
	struct mail m = mail_for("e/u");
	char name[512];
	int fd;

	deliver(p, &m);
	snprintf(name, sizeof(name), "%s/mail/e/u/tmp/1.Qy_0.host", p->dir);
	fd = open(name, O_WRONLY | O_CREAT, 0600);
	assert_int_equal(write(fd, "half", 4), 4);
	close(fd);
	m.name = SPAN("1.Qy_0.host");
	deliver(p, &m);
	assert_true(m.delivered);
	assert_int_equal(files_in(p, "e/u/new", name, sizeof(name)), 2);
	assert_int_equal(files_in(p, "e/u/tmp", name, sizeof(name)), 0);
}

static void a_body_in_a_file_is_the_same_wherever_it_is_cut(void **state)
{
	struct place *p = *state;
	struct mail m = mail_for("e/u");
	char name[512];
	uint8_t *big = malloc(100000);
	int64_t used;

	/* a CR at the end of each piece that is read, its LF in the next */
	for (size_t i = 0; i < 100000; i++)
		big[i] = i % 2 ? '\r' : '\n';
	snprintf(name, sizeof(name), "%s/spool", p->dir);
	m.spool = open(name, O_RDWR | O_CREAT, 0600);
	assert_int_equal(write(m.spool, big, 100000), 100000);
	deliver(p, &m);
	assert_true(m.delivered);
	/* one LF, then 49,999 times CRLF made LF, then one CR */
	assert_int_equal(m.size, 39 + 1 + 49999 + 1);
	assert_true(maildir_usage(&p->dirs, SPAN("e/u"), &used));
	assert_int_equal(used, m.size);
	close(m.spool);
	free(big);
}

static void a_mailbox_that_is_a_file_or_a_link_is_refused(void **state)
{
	struct place *p = *state;
	struct mail m = mail_for("e/u");
	char name[512];
	int fd;

	snprintf(name, sizeof(name), "%s/mail/e", p->dir);
	assert_int_equal(mkdir(name, 0700), 0);
	snprintf(name, sizeof(name), "%s/mail/e/u", p->dir);
	fd = open(name, O_WRONLY | O_CREAT, 0600);
	close(fd);
	deliver(p, &m);
	assert_false(m.delivered);
	assert_true(strstr(m.why, "mailbox") != NULL);
	assert_int_equal(unlink(name), 0);
	assert_int_equal(symlink("/tmp", name), 0);
	deliver(p, &m);
	assert_false(m.delivered);
}

static void many_mails_for_many_mailboxes_go_together(void **state)
{
	struct place *p = *state;
	struct mail mails[MAILDIR_BATCH], *list[MAILDIR_BATCH];
	char names[MAILDIR_BATCH][16], name[512];

	for (size_t i = 0; i < MAILDIR_BATCH; i++) {
		snprintf(names[i], sizeof(names[i]), "1.Q%zu_0.h", i);
		mails[i] = mail_for(i % 2 ? "e/u" : "e/v");
		mails[i].name = span_str(names[i]);
		list[i] = &mails[i];
	}
	maildir_deliver(&p->dirs, list, MAILDIR_BATCH);
	for (size_t i = 0; i < MAILDIR_BATCH; i++)
		assert_true(mails[i].delivered);
	assert_int_equal(files_in(p, "e/u/new", name, sizeof(name)), MAILDIR_BATCH / 2);
	assert_int_equal(files_in(p, "e/v/new", name, sizeof(name)), MAILDIR_BATCH / 2);
}

/* ---- usage ------------------------------------------------------------------------------ */

static void usage_counts_names_files_and_folders(void **state)
{
	struct place *p = *state;
	char name[512];
	int64_t used;
	int fd;

	assert_true(maildir_usage(&p->dirs, SPAN("e/u"), &used));
	assert_int_equal(used, 0);
	snprintf(name, sizeof(name),
		 "mkdir -p %s/mail/e/u/new %s/mail/e/u/cur %s/mail/e/u/.Sent/cur", p->dir,
		 p->dir, p->dir);
	assert_int_equal(system(name), 0);
	snprintf(name, sizeof(name), "%s/mail/e/u/new/1.a,S=1000", p->dir);
	close(open(name, O_WRONLY | O_CREAT, 0600));
	snprintf(name, sizeof(name), "%s/mail/e/u/.Sent/cur/1.c,S=500:2,S", p->dir);
	close(open(name, O_WRONLY | O_CREAT, 0600));
	snprintf(name, sizeof(name), "%s/mail/e/u/cur/1.b", p->dir);
	fd = open(name, O_WRONLY | O_CREAT, 0600);
	assert_int_equal(write(fd, "12345", 5), 5);
	close(fd);
	assert_true(maildir_usage(&p->dirs, SPAN("e/u"), &used));
	assert_int_equal(used, 1505);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_mailbox_has_no_path_but_its_own),
		cmocka_unit_test(a_nul_and_a_long_name_are_no_part_of_a_path),
		cmocka_unit_test(a_pattern_must_vary_and_be_absolute),
		cmocka_unit_test(the_name_comes_from_the_queue_id),
		TEST(a_mail_is_one_file_with_its_size_in_its_name),
		TEST(what_is_binary_keeps_each_byte),
		TEST(a_repeated_delivery_finds_its_file),
		TEST(what_a_predecessor_left_in_tmp_is_no_obstacle),
		TEST(a_body_in_a_file_is_the_same_wherever_it_is_cut),
		TEST(a_mailbox_that_is_a_file_or_a_link_is_refused),
		TEST(many_mails_for_many_mailboxes_go_together),
		TEST(usage_counts_names_files_and_folders),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
