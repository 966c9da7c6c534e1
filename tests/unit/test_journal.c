/*
 * The journal keeps what was written last, whatever happened to its end.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "watch/journal.h"

struct desk {
	char dir[64];
	struct loop *loop;
	struct journal *journal;
};

static struct err err;

static int set_up(void **state)
{
	struct desk *d = calloc(1, sizeof(*d));

	snprintf(d->dir, sizeof(d->dir), "/tmp/holdfast-journal-XXXXXX");
	assert_non_null(mkdtemp(d->dir));
	*state = d;
	return 0;
}

static void path_of(const struct desk *d, const char *suffix, char path[96])
{
	snprintf(path, 96, "%s/journal%s", d->dir, suffix);
}

static int tear_down(void **state)
{
	struct desk *d = *state;
	char path[96];

	path_of(d, "", path);
	unlink(path);
	path_of(d, ".old", path);
	unlink(path);
	rmdir(d->dir);
	free(d);
	return 0;
}

static void open_journal(struct desk *d, int64_t size)
{
	assert_true(loop_open(&d->loop, &err));
	assert_true(journal_open(&d->journal, d->loop, d->dir, size, &err));
}

static void close_journal(struct desk *d)
{
	loop_close(&d->loop);
	journal_close(&d->journal);
}

static void put(struct desk *d, int64_t wall, const char *text)
{
	struct journal_record r = { .wall = wall,
				    .session = (uint64_t)wall * 3,
				    .from = addr_v4(192, 0, 2, 7),
				    .event = EV_RELAY_DENIED,
				    .count = 1,
				    .points = -5,
				    .observed = true,
				    .text = span_str(text) };

	journal_put(d->journal, &r);
}

/* Let the thread write, until it has written or lost so many. */
struct wait {
	struct desk *desk;
	uint64_t until;
	struct timer timer;
};

static void on_look(void *arg)
{
	struct wait *w = arg;
	struct journal_facts f;

	journal_tell(w->desk->journal, &f);
	if (f.written + f.lost >= w->until)
		loop_stop(w->desk->loop);
	else
		timer_set(&w->timer, loop_now(w->desk->loop) + 1);
}

static void until_written(struct desk *d, uint64_t records)
{
	struct wait w = { .desk = d, .until = records };

	timer_init(&w.timer, d->loop, on_look, &w);
	timer_set(&w.timer, 0);
	loop_run(d->loop);
	timer_stop(&w.timer);
}

/* All records of the file, in the order of their blocks; the walls of the first and last. */
struct found {
	uint64_t records;
	int64_t first, last;
	bool in_order;
};

static void read_block(int fd, uint64_t place, uint64_t wanted, struct found *f)
{
	static uint8_t mem[JOURNAL_BLOCK];
	ssize_t n = pread(fd, mem, sizeof(mem),
			  (off_t)(JOURNAL_PAGE + place * JOURNAL_BLOCK));
	struct journal_record r;
	struct span left;
	uint64_t serial;

	if (n <= 0 || !journal_parse_block(span_of(mem, (size_t)n), &serial) ||
	    serial != wanted)
		return;
	left = span_skip(span_of(mem, (size_t)n), JOURNAL_HEAD);
	while (journal_next(&left, serial, &r)) {
		if (f->records == 0)
			f->first = r.wall;
		f->in_order &= f->records == 0 || r.wall == f->last + 1;
		f->last = r.wall;
		f->records++;
	}
}

static struct found read_all(struct desk *d)
{
	struct found f = { .in_order = true };
	uint8_t page[JOURNAL_PAGE];
	char path[96];
	uint64_t places;
	int fd;

	path_of(d, "", path);
	fd = open(path, O_RDONLY);
	assert_true(fd >= 0);
	assert_int_equal(pread(fd, page, sizeof(page), 0), sizeof(page));
	assert_true(journal_parse_page(span_of(page, sizeof(page)), &places));
	for (uint64_t serial = 1; serial < 100; serial++)
		read_block(fd, serial % places, serial, &f);
	close(fd);
	return f;
}

static void what_is_put_is_read_again(void **state)
{
	struct desk *d = *state;
	struct journal_record r;
	uint8_t mem[256];
	struct buf out;
	struct span left;

	buf_init(&out, mem, sizeof(mem));
	journal_print(&(struct journal_record){ .wall = -1,
						.session = UINT64_MAX,
						.from = addr_v4(1, 2, 3, 4),
						.event = EV_DNSBL,
						.rule = RULE_DNSBL,
						.behind = true,
						.count = 9,
						.listener = 3,
						.points = INT32_MIN,
						.text = SPAN("zen\0!") },
		      7, &out);
	left = buf_span(&out);
	assert_true(journal_next(&left, 7, &r));
	assert_int_equal(left.n, 0);
	assert_int_equal(r.wall, -1);
	assert_true(r.session == UINT64_MAX && r.behind && !r.observed);
	assert_int_equal(r.event, EV_DNSBL);
	assert_int_equal(r.rule, RULE_DNSBL);
	assert_int_equal(r.points, INT32_MIN);
	assert_true(span_eq(r.text, SPAN("zen\0!")));
	left = buf_span(&out);
	assert_false(journal_next(&left, 8, &r)); /* of another round */
	(void)d;
}

static void a_journal_goes_on_where_the_last_one_ended(void **state)
{
	struct desk *d = *state;
	struct found f;

	for (int64_t i = 0; i < 5; i++) {
		open_journal(d, 1 << 20);
		put(d, i, "a relay");
		close_journal(d);
	}
	f = read_all(d);
	assert_int_equal(f.records, 5);
	assert_true(f.in_order);
}

static void the_oldest_goes_first_and_the_file_does_not_grow(void **state)
{
	struct desk *d = *state;
	struct found f;
	struct stat st;
	char path[96];

	open_journal(d, 3 * JOURNAL_BLOCK);
	for (int64_t i = 0; i < 6000; i++) {
		put(d, i, "somebody@elsewhere.example");
		if (i % 100 == 99)
			until_written(d, (uint64_t)i + 1);
	}
	close_journal(d);
	f = read_all(d);
	assert_true(f.in_order);
	assert_int_equal(f.last, 5999);
	assert_true(f.records > 2 * JOURNAL_BLOCK / JOURNAL_RECORD_MAX);
	assert_true(f.first > 0);
	path_of(d, "", path);
	assert_int_equal(stat(path, &st), 0);
	assert_true(st.st_size <= JOURNAL_PAGE + 3 * JOURNAL_BLOCK);
}

static void a_torn_end_costs_the_records_behind_it_only(void **state)
{
	struct desk *d = *state;
	char path[96];
	struct stat st;
	struct found f;

	open_journal(d, 1 << 20);
	for (int64_t i = 0; i < 10; i++)
		put(d, i, "x");
	close_journal(d);
	path_of(d, "", path);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(truncate(path, st.st_size - 20), 0);
	f = read_all(d);
	assert_int_equal(f.records, 9);
	open_journal(d, 1 << 20); /* and it goes on, in a block of its own */
	put(d, 9, "y");
	close_journal(d);
	f = read_all(d);
	assert_int_equal(f.records, 10);
	assert_true(f.in_order);
}

static void a_file_of_somebody_else_is_put_aside(void **state)
{
	struct desk *d = *state;
	char path[96];
	FILE *f;

	path_of(d, "", path);
	f = fopen(path, "w");
	assert_non_null(f);
	fputs("not a journal", f);
	fclose(f);
	open_journal(d, 1 << 20);
	put(d, 1, "");
	close_journal(d);
	assert_int_equal(read_all(d).records, 1);
	path_of(d, ".old", path);
	assert_int_equal(access(path, R_OK), 0);
}

static void without_a_size_there_is_no_file(void **state)
{
	struct desk *d = *state;
	struct journal_facts f;
	char path[96];

	open_journal(d, 0);
	put(d, 1, "");
	journal_tell(d->journal, &f);
	close_journal(d);
	assert_true(f.written == 0 && f.lost == 0);
	path_of(d, "", path);
	assert_int_not_equal(access(path, F_OK), 0);
}

static void what_cannot_be_written_is_counted(void **state)
{
	struct desk *d = *state;
	struct journal_facts f;

	assert_true(loop_open(&d->loop, &err));
	assert_false(journal_open(&d->journal, d->loop, "/nonexistent", 1 << 20, &err));
	put(d, 1, "");
	journal_tell(d->journal, &f);
	assert_int_equal(f.lost, 1);
	assert_true(*f.trouble != '\0');
	close_journal(d);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(what_is_put_is_read_again),
		TEST(a_journal_goes_on_where_the_last_one_ended),
		TEST(the_oldest_goes_first_and_the_file_does_not_grow),
		TEST(a_torn_end_costs_the_records_behind_it_only),
		TEST(a_file_of_somebody_else_is_put_aside),
		TEST(without_a_size_there_is_no_file),
		TEST(what_cannot_be_written_is_counted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
