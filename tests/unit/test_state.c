/*
 * Users, aliases, domains and remembered answers survive.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/list.h"
#include "db/state.h"

struct place {
	char dir[64];
	char path[96];
	struct state *s;
};

static struct err err;

static int set_up(void **state)
{
	struct place *p = calloc(1, sizeof(*p));

	snprintf(p->dir, sizeof(p->dir), "/tmp/holdfast-state-XXXXXX");
	assert_non_null(mkdtemp(p->dir));
	snprintf(p->path, sizeof(p->path), "%s/state.db", p->dir);
	assert_true(state_open(&p->s, p->path, &err));
	*state = p;
	return 0;
}

static int tear_down(void **state)
{
	static const char *const suffixes[] = { "", "-wal", "-shm", "-lock" };
	struct place *p = *state;
	char name[128];

	state_close(&p->s);
	for (size_t i = 0; i < COUNT_OF(suffixes); i++) {
		snprintf(name, sizeof(name), "%s%s", p->path, suffixes[i]);
		unlink(name);
	}
	rmdir(p->dir);
	free(p);
	return 0;
}

/* What was read, written down. */
struct story {
	struct buf out;
	uint8_t mem[512];
};

static void on_user(void *arg, struct span address, int64_t quota)
{
	buf_fmt(arg, "%.*s=%lld ", SPAN_ARG(address), (long long)quota);
}

static void on_pair(void *arg, struct span a, struct span b)
{
	buf_fmt(arg, "%.*s=%.*s ", SPAN_ARG(a), SPAN_ARG(b));
}

static void on_verified(void *arg, struct span address, bool good, int64_t at)
{
	buf_fmt(arg, "%.*s=%d@%lld ", SPAN_ARG(address), good, (long long)at);
}

static void tells(struct story *s, const char *expected)
{
	buf_byte(&s->out, '\0');
	assert_string_equal((const char *)s->mem, expected);
}

static void users_survive_with_their_quota(void **state)
{
	struct place *p = *state;
	struct story s;

	buf_init(&s.out, s.mem, sizeof(s.mem));
	assert_true(state_begin(p->s, &err));
	assert_true(state_put_user(p->s, SPAN("b@x"), -1, &err));
	assert_true(state_put_user(p->s, SPAN("a@x"), 5, &err));
	assert_true(state_put_user(p->s, SPAN("c@x"), 5, &err));
	assert_true(state_put_user(p->s, SPAN("a@x"), 7, &err));
	assert_true(state_drop_user(p->s, SPAN("c@x"), &err));
	assert_true(state_commit(p->s, &err));
	state_close(&p->s);
	assert_true(state_open(&p->s, p->path, &err));
	assert_true(state_each_user(p->s, on_user, &s.out, &err));
	tells(&s, "a@x=7 b@x=-1 ");
}

static void an_alias_gets_new_targets_instead_of_the_old(void **state)
{
	struct place *p = *state;
	uint8_t mem[128];
	struct buf list;
	struct story s;

	buf_init(&s.out, s.mem, sizeof(s.mem));
	buf_init(&list, mem, sizeof(mem));
	list_put(&list, SPAN("a@x"));
	list_put(&list, SPAN("b@x"));
	assert_true(state_put_alias(p->s, SPAN("all@x"), buf_span(&list), &err));
	buf_reset(&list);
	list_put(&list, SPAN("c@x"));
	list_put(&list, SPAN("b@x"));
	assert_true(state_put_alias(p->s, SPAN("all@x"), buf_span(&list), &err));
	assert_true(state_each_alias(p->s, on_pair, &s.out, &err));
	assert_true(state_drop_alias(p->s, SPAN("all@x"), &err));
	assert_true(state_each_alias(p->s, on_pair, &s.out, &err));
	tells(&s, "all@x=b@x all@x=c@x ");
}

static void domains_have_a_catch_all_or_none(void **state)
{
	struct place *p = *state;
	struct story s;

	buf_init(&s.out, s.mem, sizeof(s.mem));
	assert_true(state_put_domain(p->s, SPAN("x"), SPAN(""), &err));
	assert_true(state_put_domain(p->s, SPAN("y"), SPAN(""), &err));
	assert_true(state_put_domain(p->s, SPAN("y"), SPAN("a@y"), &err));
	assert_true(state_put_domain(p->s, SPAN("z"), SPAN("a@y"), &err));
	assert_true(state_drop_domain(p->s, SPAN("z"), &err));
	assert_true(state_each_domain(p->s, on_pair, &s.out, &err));
	tells(&s, "x= y=a@y ");
}

static void a_mailbox_server_is_kept_for_each_login(void **state)
{
	struct place *p = *state;
	struct story s;

	buf_init(&s.out, s.mem, sizeof(s.mem));
	assert_true(state_put_located(p->s, SPAN("b@x"), SPAN("east"), &err));
	assert_true(state_put_located(p->s, SPAN("a@x"), SPAN("east"), &err));
	assert_true(state_put_located(p->s, SPAN("b@x"), SPAN("west"), &err));
	assert_true(state_put_located(p->s, SPAN("c@x"), SPAN("west"), &err));
	assert_true(state_drop_located(p->s, SPAN("c@x"), &err));
	state_close(&p->s);
	assert_true(state_open(&p->s, p->path, &err));
	assert_true(state_each_located(p->s, on_pair, &s.out, &err));
	tells(&s, "a@x=east b@x=west ");
}

static void the_newest_answers_are_read_and_the_oldest_pruned(void **state)
{
	struct place *p = *state;
	struct story s;

	buf_init(&s.out, s.mem, sizeof(s.mem));
	assert_true(state_put_verified(p->s, SPAN("a@x"), true, 1, &err));
	assert_true(state_put_verified(p->s, SPAN("b@x"), false, 2, &err));
	assert_true(state_put_verified(p->s, SPAN("c@x"), true, 3, &err));
	assert_true(state_put_verified(p->s, SPAN("a@x"), false, 4, &err));
	assert_true(state_each_verified(p->s, 2, on_verified, &s.out, &err));
	assert_true(state_prune_verified(p->s, 2, 4, 1, &err));
	assert_true(state_each_verified(p->s, 9, on_verified, &s.out, &err));
	tells(&s, "a@x=0@4 c@x=1@3 a@x=0@4 c@x=1@3 ");
}

struct gathered {
	uint8_t mem[200000];
	struct buf out;
	int pieces;
};

static void on_piece(void *arg, struct span piece)
{
	struct gathered *g = arg;

	buf_put(&g->out, piece);
	g->pieces++;
}

static void put_snapshot(struct state *s, unsigned half, uint64_t life, struct span bytes)
{
	struct state_memory m = { life, (bytes.n + STATE_PART - 1) / STATE_PART, half };
	size_t some = bytes.n < 2 * STATE_PART ? bytes.n : 2 * STATE_PART;

	assert_true(state_put_memory(s, half, 0, span_head(bytes, some), &err));
	assert_true(state_put_memory(s, half, 2, span_skip(bytes, some), &err));
	assert_true(state_end_memory(s, &m, &err));
}

static void only_the_last_snapshot_is_kept_and_it_comes_in_pieces(void **state)
{
	struct state_memory m;
	static uint8_t first[200000], last[150000];
	static struct gathered g;
	struct place *p = *state;

	for (size_t i = 0; i < sizeof(last); i++)
		last[i] = (uint8_t)(i * 7 + i / 251);
	buf_init(&g.out, g.mem, sizeof(g.mem));
	put_snapshot(p->s, 0, 7, span_of(first, sizeof(first)));
	put_snapshot(p->s, 1, 8, span_of(last, sizeof(last)));
	/* half of the next one changes nothing */
	assert_true(state_put_memory(p->s, 0, 0, span_of(first, 70000), &err));
	state_close(&p->s);
	assert_true(state_open(&p->s, p->path, &err));
	assert_true(state_get_memory(p->s, &m, &err));
	assert_int_equal(m.life, 8);
	assert_int_equal(m.half, 1);
	assert_true(state_each_memory(p->s, &m, on_piece, &g, &err));
	assert_int_equal(g.pieces, 3);
	assert_true(span_eq(buf_span(&g.out), span_of(last, sizeof(last))));
	/* a shorter one in place of a longer one */
	put_snapshot(p->s, 0, 9, span_of(last, 10));
	buf_reset(&g.out);
	assert_true(state_get_memory(p->s, &m, &err));
	assert_true(state_each_memory(p->s, &m, on_piece, &g, &err));
	assert_true(span_eq(buf_span(&g.out), span_of(last, 10)));
}

static void a_database_without_snapshots_has_none(void **state)
{
	struct state_memory m;
	static struct gathered g;
	struct place *p = *state;

	assert_true(state_get_memory(p->s, &m, &err));
	assert_int_equal(m.parts, 0);
	assert_true(state_each_memory(p->s, &m, on_piece, &g, &err));
	assert_int_equal(g.pieces, 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(users_survive_with_their_quota),
		TEST(an_alias_gets_new_targets_instead_of_the_old),
		TEST(domains_have_a_catch_all_or_none),
		TEST(a_mailbox_server_is_kept_for_each_login),
		TEST(the_newest_answers_are_read_and_the_oldest_pruned),
		TEST(only_the_last_snapshot_is_kept_and_it_comes_in_pieces),
		TEST(a_database_without_snapshots_has_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
