/*
 * The control socket against clients of every kind, with a real loop and real sockets;
 * and its frames, chopped in every way.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include <errno.h>

#include "base/fields.h"
#include "base/list.h"
#include "watch/control.h"

struct server {
	char dir[64];
	struct sockaddr_un at;
	struct loop *loop;
	struct control *control;
	struct timer stop;
	uint32_t last_ask;
	unsigned commands;
	uint32_t streaming; /* the command whose rows are many */
	size_t streamed;
	uint32_t watched;  /* an answer without an end */
	ms_t store_within; /* how long the store is waited for */
};

static void on_stop(void *arg)
{
	loop_stop(arg);
}

static void run_for(struct server *s, ms_t t)
{
	timer_set(&s->stop, loop_now_exact(s->loop) + t);
	loop_run(s->loop);
}

#define TRIES 6000 /* of 10 ms: for a busy machine */

/* In a time there may be a single round: what takes several is waited for. */
#define RUN_UNTIL(s, cond)                                             \
	do {                                                           \
		for (int tries = 0; tries < TRIES && !(cond); tries++) \
			run_for(s, 10);                                \
		assert_true(cond);                                     \
	} while (0)

static void answer_many(struct server *s, uint32_t ask, uint64_t rows)
{
	static const uint8_t text[1000];

	for (uint64_t i = 0; i < rows; i++) {
		uint8_t mem[1200];
		struct buf row;

		buf_init(&row, mem, sizeof(mem));
		field_number(&row, "i", (int64_t)i);
		field_text(&row, "text", span_of(text, sizeof(text)));
		control_row(s->control, ask, ROLE_WATCH, buf_span(&row));
	}
	control_end(s->control, ask, ROLE_WATCH, true, SPAN("all"));
}

static void on_room(void *arg)
{
	struct server *s = arg;

	/* As watch does: rows only while there is room for them. */
	while (s->streaming && !control_full(s->control, ROLE_STORE)) {
		static const uint8_t text[1000];
		uint8_t mem[1200];
		struct buf row;

		buf_init(&row, mem, sizeof(mem));
		field_text(&row, "text", span_of(text, sizeof(text)));
		control_row(s->control, s->streaming, ROLE_STORE, buf_span(&row));
		if (++s->streamed < 20000)
			continue;
		control_end(s->control, s->streaming, ROLE_STORE, true, SPAN("all of it"));
		s->streaming = 0;
	}
}

static void on_command(void *arg, uint32_t ask, struct span words)
{
	struct server *s = arg;
	struct span word;

	s->last_ask = ask;
	s->commands++;
	assert_true(list_next(&words, &word));
	if (span_eq(word, SPAN("hello")))
		control_end(s->control, ask, ROLE_WATCH, true, SPAN("hello yourself"));
	else if (span_eq(word, SPAN("many")))
		answer_many(s, ask, 100);
	else if (span_eq(word, SPAN("too-many")))
		answer_many(s, ask, 10000);
	else if (span_eq(word, SPAN("store")))
		control_wait(s->control, ask, ROLE_STORE, s->store_within);
	else if (span_eq(word, SPAN("watch")))
		s->watched = control_stream(s->control, ask) ? ask : 0;
	else if (span_eq(word, SPAN("stream"))) {
		control_wait(s->control, ask, ROLE_STORE, MS_MINUTE);
		s->streaming = ask;
		on_room(s);
	}
}

static int set_up(void **state)
{
	struct server *s = calloc(1, sizeof(*s));
	struct control_hook hook = { on_command, on_room, s };
	struct err err;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(s->dir, sizeof(s->dir), "/tmp/holdfast-control-XXXXXX");
	assert_non_null(mkdtemp(s->dir));
	s->at.sun_family = AF_UNIX;
	snprintf(s->at.sun_path, sizeof(s->at.sun_path), "%s/sock", s->dir);
	assert_int_equal(bind(fd, (struct sockaddr *)&s->at, sizeof(s->at)), 0);
	assert_int_equal(listen(fd, 64), 0);
	assert_true(loop_open(&s->loop, &err));
	assert_true(control_open(&s->control, s->loop, fd, (gid_t)-1, &hook, &err));
	timer_init(&s->stop, s->loop, on_stop, s->loop);
	s->store_within = MS_MINUTE;
	*state = s;
	return 0;
}

static int tear_down(void **state)
{
	struct server *s = *state;

	control_close(&s->control);
	loop_close(&s->loop);
	unlink(s->at.sun_path);
	rmdir(s->dir);
	free(s);
	return 0;
}

static int connect_to(struct server *s)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(connect(fd, (struct sockaddr *)&s->at, sizeof(s->at)), 0);
	return fd;
}

static struct span frame_of(const char *word, uint8_t *mem, size_t cap)
{
	uint8_t words_mem[64];
	struct buf words, out;

	buf_init(&words, words_mem, sizeof(words_mem));
	list_put(&words, span_str(word));
	buf_init(&out, mem, cap);
	control_put_words(&out, buf_span(&words));
	return buf_span(&out);
}

static void say(int fd, const char *word)
{
	uint8_t mem[128];
	struct span frame = frame_of(word, mem, sizeof(mem));

	assert_int_equal(write(fd, frame.p, frame.n), (ssize_t)frame.n);
}

/* Read until the end of the answer; the rows before it. */
static size_t hear(struct server *s, int fd, bool ok, const char *text)
{
	static uint8_t mem[8 << 20];
	size_t have = 0, rows = 0;
	int tries = 0;
	struct span in = span_of(mem, 0);
	struct control_frame f;

	for (;;) {
		in = span_of(in.p, have - (size_t)(in.p - mem));
		f = control_next(&in);
		assert_int_not_equal(f.kind, CONTROL_BAD);
		if (f.kind == CONTROL_THE_END)
			break;
		rows += f.kind == CONTROL_A_ROW;
		if (f.kind == CONTROL_MORE) {
			ssize_t n = recv(fd, mem + have, sizeof(mem) - have, MSG_DONTWAIT);

			if (n < 0 && errno == EAGAIN && tries++ < TRIES) {
				run_for(s, 10);
				continue;
			}
			assert_true(n > 0);
			have += (size_t)n;
		}
	}
	assert_int_equal(f.ok, ok);
	assert_non_null(memmem(f.body.p, f.body.n, text, strlen(text)));
	return rows;
}

static bool is_closed(int fd)
{
	uint8_t c;

	return recv(fd, &c, 1, MSG_DONTWAIT | MSG_PEEK) == 0;
}

static void a_command_is_answered(void **state)
{
	struct server *s = *state;
	int fd = connect_to(s);

	say(fd, "hello");
	assert_int_equal(hear(s, fd, true, "hello yourself"), 0);
	RUN_UNTIL(s, is_closed(fd));
	close(fd);
}

static void a_command_may_come_byte_by_byte(void **state)
{
	struct server *s = *state;
	int fd = connect_to(s);
	uint8_t mem[128];
	struct span frame = frame_of("hello", mem, sizeof(mem));

	for (size_t i = 0; i < frame.n; i++) {
		assert_int_equal(write(fd, frame.p + i, 1), 1);
		run_for(s, 1);
	}
	assert_int_equal(hear(s, fd, true, "hello"), 0);
	close(fd);
}

static void rows_come_before_the_end(void **state)
{
	struct server *s = *state;
	int fd = connect_to(s);

	say(fd, "many");
	assert_int_equal(hear(s, fd, true, "all"), 100);
	close(fd);
}

static void a_client_that_does_not_read_is_cut_off_at_the_ceiling(void **state)
{
	struct server *s = *state;
	int slow = connect_to(s), fd = connect_to(s);

	say(slow, "too-many");
	say(fd, "hello");
	assert_int_equal(hear(s, fd, true, "hello"), 0);
	close(fd);
	close(slow);
	run_for(s, 5);
}

static void an_answer_of_any_size_waits_for_its_reader(void **state)
{
	struct server *s = *state;
	static uint8_t mem[65536];
	int fd = connect_to(s);
	size_t have = 0;
	ssize_t n;

	say(fd, "stream");
	RUN_UNTIL(s, s->streamed >= 1000);
	run_for(s, 50);
	assert_in_range(s->streamed, 1000, 2000);
	for (int still = 0; still < TRIES && have < 20000 * 1000; still++) {
		run_for(s, 1);
		while ((n = recv(fd, mem, sizeof(mem), MSG_DONTWAIT)) > 0) {
			have += (size_t)n;
			still = 0;
		}
	}
	assert_true(have >= 20000 * 1000);
	assert_int_equal(s->streamed, 20000);
	close(fd);
}

/* What was read of an answer without an end, and not yet taken. */
struct heard {
	uint8_t mem[1 << 20];
	size_t n;
	uint64_t rows, lost; /* so far */
};

/* Read what is there. False: there is nothing now. */
static bool hear_stream(int fd, struct heard *h)
{
	struct control_frame f;
	struct span in;
	ssize_t n = recv(fd, h->mem + h->n, sizeof(h->mem) - h->n, MSG_DONTWAIT);

	if (n <= 0)
		return false;
	h->n += (size_t)n;
	in = span_of(h->mem, h->n);
	while ((f = control_next(&in)).kind == CONTROL_A_ROW) {
		struct field field;

		if (field_find(f.body, "lost", &field))
			h->lost += (uint64_t)field.number;
		else
			h->rows++;
	}
	assert_int_equal(f.kind, CONTROL_MORE);
	memmove(h->mem, in.p, in.n);
	h->n = in.n;
	return true;
}

static void put_rows(struct server *s, uint32_t ask, int n)
{
	for (int i = 0; i < n; i++) {
		uint8_t mem[1024];
		struct buf row;

		buf_init(&row, mem, sizeof(mem));
		field_text(&row, "text", span_of(s->at.sun_path, 100));
		field_number(&row, "i", i);
		control_row(s->control, ask, ROLE_WATCH, buf_span(&row));
	}
}

static void who_watches_slowly_loses_rows_and_is_told_how_many(void **state)
{
	struct server *s = *state;
	int fd = connect_to(s);
	static struct heard heard;

	say(fd, "watch");
	RUN_UNTIL(s, s->watched != 0);
	put_rows(s, s->watched, 20000);
	/* what it does not read waits, up to a ceiling, and no deadline ends it */
	for (int still = 0; still < 5; still = hear_stream(fd, &heard) ? 0 : still + 1)
		run_for(s, 5);
	assert_true(heard.rows > 0 && heard.rows < 20000);
	put_rows(s, s->watched, 1);
	RUN_UNTIL(s, ((void)hear_stream(fd, &heard), heard.rows + heard.lost >= 20001));
	assert_int_equal(heard.rows + heard.lost, 20001);
	assert_true(control_has(s->control, s->watched));
	close(fd);
	RUN_UNTIL(s, !control_has(s->control, s->watched));
}

static void there_are_only_so_many_watchers_and_they_are_told_of_the_end(void **state)
{
	struct server *s = *state;
	int fd[CONTROL_STREAMS + 1];

	for (size_t i = 0; i <= CONTROL_STREAMS; i++) {
		fd[i] = connect_to(s);
		say(fd[i], "watch");
		RUN_UNTIL(s, s->commands == i + 1);
		assert_int_equal(s->watched != 0, i < CONTROL_STREAMS);
	}
	control_drain(s->control);
	for (size_t i = 0; i < CONTROL_STREAMS; i++)
		assert_int_equal(hear(s, fd[i], false, "being replaced"), 0);
	for (size_t i = 0; i <= CONTROL_STREAMS; i++)
		close(fd[i]);
}

static void a_silent_role_is_named(void **state)
{
	struct server *s = *state;
	int fd = connect_to(s);

	s->store_within = 50;
	say(fd, "store");
	hear(s, fd, false, "store role does not answer");
	close(fd);
}

static void a_role_that_ended_is_named_at_once(void **state)
{
	struct server *s = *state;
	int fd = connect_to(s);

	say(fd, "store");
	RUN_UNTIL(s, s->commands == 1);
	control_lost(s->control, ROLE_STORE);
	hear(s, fd, false, "store role ended");
	close(fd);
}

static void a_role_cannot_answer_what_another_was_asked(void **state)
{
	struct server *s = *state;
	int fd = connect_to(s);

	say(fd, "store");
	RUN_UNTIL(s, s->commands == 1);
	control_end(s->control, s->last_ask, ROLE_AUTH, true, SPAN("forged"));
	control_end(s->control, s->last_ask + 1, ROLE_STORE, true, SPAN("forged"));
	control_end(s->control, s->last_ask, ROLE_STORE, true, SPAN("from the store"));
	control_end(s->control, s->last_ask, ROLE_STORE, true, SPAN("too late"));
	hear(s, fd, true, "from the store");
	close(fd);
}

static void garbage_is_refused(void **state)
{
	struct server *s = *state;
	const char *garbage[] = { "GET / HTTP/1.0\r\n\r\n", "\x01\0\0\0C",
				  "\x03\0\0\0C\xff\xff", "\x03\0\0\0R\x01\x01" };
	size_t sizes[] = { 18, 5, 7, 7 };

	for (size_t i = 0; i < 4; i++) {
		int fd = connect_to(s);

		assert_int_equal(write(fd, garbage[i], sizes[i]), (ssize_t)sizes[i]);
		hear(s, fd, false, "not a command");
		close(fd);
	}
	assert_int_equal(s->commands, 0);
}

static void hanging_up_at_any_point_does_no_harm(void **state)
{
	struct server *s = *state;
	uint8_t mem[128];
	struct span frame = frame_of("store", mem, sizeof(mem));

	for (size_t n = 0; n <= frame.n; n++) {
		int fd = connect_to(s);

		assert_int_equal(write(fd, frame.p, n), (ssize_t)n);
		run_for(s, 2);
		close(fd);
		run_for(s, 2);
	}
	control_end(s->control, s->last_ask, ROLE_STORE, true, SPAN("nobody hears this"));
}

static void a_crowd_cannot_keep_the_next_one_out(void **state)
{
	struct server *s = *state;
	int crowd[CONTROL_CLIENTS + 8], fd;

	for (size_t i = 0; i < CONTROL_CLIENTS + 8; i++) {
		crowd[i] = connect_to(s);
		run_for(s, 2);
	}
	fd = connect_to(s);
	say(fd, "hello");
	hear(s, fd, true, "hello");
	RUN_UNTIL(s, is_closed(crowd[0]));
	assert_false(is_closed(crowd[CONTROL_CLIENTS + 7]));
	for (size_t i = 0; i < CONTROL_CLIENTS + 8; i++)
		close(crowd[i]);
	close(fd);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(a_command_is_answered),
		TEST(a_command_may_come_byte_by_byte),
		TEST(rows_come_before_the_end),
		TEST(a_client_that_does_not_read_is_cut_off_at_the_ceiling),
		TEST(an_answer_of_any_size_waits_for_its_reader),
		TEST(who_watches_slowly_loses_rows_and_is_told_how_many),
		TEST(there_are_only_so_many_watchers_and_they_are_told_of_the_end),
		TEST(a_silent_role_is_named),
		TEST(a_role_that_ended_is_named_at_once),
		TEST(a_role_cannot_answer_what_another_was_asked),
		TEST(garbage_is_refused),
		TEST(hanging_up_at_any_point_does_no_harm),
		TEST(a_crowd_cannot_keep_the_next_one_out),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
