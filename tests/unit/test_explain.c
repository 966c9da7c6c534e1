/*
 * What watch says about a client: explained from a memory, orders and limits that the test
 * made; the words of the commands; the orders on disk; and the few that matter most.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fields.h"
#include "base/list.h"
#include "conf/settings.h"
#include "link/start.h"
#include "watch/among.h"
#include "watch/asked.h"
#include "watch/best.h"
#include "watch/explain.h"
#include "watch/ledger.h"

#define NOW  (50 * MS_DAY)
#define WALL INT64_C(1767225600000)

struct bench {
	struct conf conf;
	void *mem, *orders;
	struct memory writer;
	struct view view;
	uint8_t text_mem[65536];
	struct buf out;
};

static int set_up(void **state)
{
	struct memory_shape shape = { .hot = 1024, .cold = 4096, .workers = 2, .seats = 64 };
	const uint64_t key[2] = { 1, 2 };
	struct bench *b = calloc(1, sizeof(*b));
	size_t n = memory_size(&shape);
	struct start start = { 0 };

	assert_non_null(b);
	b->mem = aligned_alloc(4096, (n + 4095) / 4096 * 4096);
	b->orders = calloc(1, orders_size());
	assert_non_null(b->mem);
	assert_non_null(b->orders);
	memset(b->mem, 0, n);
	memory_init(b->mem, n, &shape, key, NOW);
	orders_init(b->orders);
	settings_init(&b->conf.set);
	assert_true(memory_open(&b->writer, b->mem, n, 0));
	start.guard = (struct start_mapping){ .mem = b->mem, .n = n };
	start.orders = (struct start_mapping){ .mem = b->orders, .n = orders_size() };
	view_init(&b->view, &start, &b->conf);
	assert_true(b->view.has_memory);
	assert_non_null(b->view.orders);
	*state = b;
	return 0;
}

static int tear_down(void **state)
{
	struct bench *b = *state;

	free(b->mem);
	free(b->orders);
	free(b);
	return 0;
}

static struct net net_of(const char *text)
{
	struct net n;

	assert_true(net_parse(span_str(text), &n));
	return n;
}

/* Open the row of a client or prefix. */
static struct guard_hot *row_of(struct bench *b, const char *text)
{
	struct net n = net_of(text);
	struct guard_key key;
	struct guard_hot *row;

	if (!guard_key_from_net(&n, &key))
		key = guard_key_of(&n.addr, LEVEL_CLIENT);
	row = memory_open_row(&b->writer, key, NOW);
	assert_non_null(row);
	return row;
}

static void close_row(struct bench *b, struct guard_hot *row)
{
	memory_close_row(&b->writer, row);
}

static void on_row(void *arg, const struct buf *fields)
{
	struct bench *b = arg;

	assert_false(fields->full);
	assert_true(fields_ok(buf_span(fields)));
	fields_print_logfmt(buf_span(fields), 0, &b->out);
	buf_byte(&b->out, '\n');
}

static const char *explained(struct bench *b, const struct explain *what)
{
	struct explain_to to = { .row = on_row, .arg = b };

	buf_init(&b->out, b->text_mem, sizeof(b->text_mem) - 1);
	explain(&b->view, what, NOW, WALL, &to);
	b->text_mem[b->out.len] = '\0';
	return (const char *)b->text_mem;
}

static const char *explain_it(struct bench *b, const char *text)
{
	struct explain what = { .net = net_of(text) };

	return explained(b, &what);
}

/* The line of that part; the test fails if it has not all of these. */
static void has(const char *text, const char *part, const char *want)
{
	char start[64];
	const char *line, *end, *at;

	snprintf(start, sizeof(start), "part=%s", part);
	line = strstr(text, start);
	if (!line)
		fail_msg("no %s in:\n%s", part, text);
	end = strchr(line, '\n');
	at = strstr(line, want);
	if (!at || at > end)
		fail_msg("no %s in %.*s", want, (int)(end - line), line);
}

static gsec_t ago(ms_t t)
{
	return memory_second(NOW - t);
}

static void ban(struct bench *b, const char *text, enum rule rule, enum guard_step step)
{
	struct guard_hot *row = row_of(b, text);

	row->first = ago(3 * MS_HOUR);
	row->last = ago(MS_MINUTE);
	row->points_at = memory_second(NOW);
	row->fast = 140;
	row->slow = 12;
	row->connects = 31;
	row->refused = 25;
	row->visits = 3;
	row->flags |= HOT_DETAIL;
	memory_detail(&b->writer, row)->seen[EV_RELAY_DENIED] = 14;
	row->ban = (struct guard_ban){ .since = ago(2 * MS_HOUR),
				       .until = ago(-10 * MS_MINUTE),
				       .step = (uint8_t)step,
				       .rule = (uint8_t)rule,
				       .level = 2,
				       .tries = 5,
				       .before = 12.4F,
				       .points = 120 };
	close_row(b, row);
}

/* ---- explain ----------------------------------------------------------------------- */

static void a_client_that_never_came_is_said_to_be_unknown(void **state)
{
	const char *text = explain_it(*state, "192.0.2.7");

	has(text, "verdict", "state=\"let in\"");
	has(text, "history", "remembered=");
	assert_null(strstr(text, "lift="));
}

static void a_ban_is_explained_with_its_rule_its_effect_and_what_lifts_it(void **state)
{
	struct bench *b = *state;
	const char *text;

	ban(b, "192.0.2.7", RULE_POINTS, STEP_REFUSE);
	text = explain_it(b, "192.0.2.7");
	has(text, "verdict", "state=\"refused at connect\"");
	has(text, "verdict", "decided-by=\"the guard\"");
	has(text, "verdict", "rule=points");
	has(text, "verdict", "since=2025-12-31T22:00:00.000Z");
	has(text, "verdict", "until=2026-01-01T00:10:00.000Z");
	has(text, "verdict", "lift=\"holdfast unban 192.0.2.7\"");
	has(text, "ban", "effect=\"12.4 tries per hour before, 2.5 since\"");
	has(text, "ban", "state=\"in force\"");
	has(text, "seen", "relay-denied=14");
	has(text, "standing", "points=140");
	has(text, "standing", "banned-at=100");
	has(text, "history", "connections=31");
}

static void an_observed_ban_lets_in_and_says_so(void **state)
{
	struct bench *b = *state;
	struct guard_hot *row;

	ban(b, "192.0.2.7", RULE_POINTS, STEP_REFUSE);
	row = row_of(b, "192.0.2.7");
	row->ban.observed = 1;
	close_row(b, row);
	has(explain_it(b, "192.0.2.7"), "verdict", "only observes");
}

static void points_below_a_ban_delay_and_then_refuse_late(void **state)
{
	struct bench *b = *state;
	struct guard_hot *row = row_of(b, "192.0.2.7");
	const char *text;

	row->points_at = memory_second(NOW);
	row->fast = 30;
	close_row(b, row);
	text = explain_it(b, "192.0.2.7");
	has(text, "verdict", "answers to offences are delayed");
	assert_null(strstr(text, "rule=late"));
	row = row_of(b, "192.0.2.7");
	row->fast = 60;
	close_row(b, row);
	text = explain_it(b, "192.0.2.7");
	has(text, "verdict", "senders and recipients are refused");
	has(text, "verdict", "rule=late");
	has(text, "verdict", "lift=\"holdfast unban 192.0.2.7\"");
}

static void a_pardon_lifts_what_came_before_it(void **state)
{
	struct bench *b = *state;
	struct order pardon = { .kind = ORDER_PARDON,
				.net = net_of("192.0.2.0/24"),
				.since = WALL - MS_MINUTE,
				.until = WALL + MS_DAY };
	const char *text;

	ban(b, "192.0.2.7", RULE_POINTS, STEP_REFUSE);
	assert_true(orders_put(b->orders, &pardon, WALL));
	text = explain_it(b, "192.0.2.7");
	has(text, "verdict", "state=\"let in");
	has(text, "ban", "state=lifted");
	has(text, "standing", "pardoned=");
}

static void the_administrators_order_decides_and_tells_its_reason(void **state)
{
	struct bench *b = *state;
	struct order order = { .kind = ORDER_BAN,
			       .net = net_of("198.51.100.0/24"),
			       .since = WALL - MS_DAY,
			       .until = INT64_MAX,
			       .why = "scans since Monday" };
	const char *text;

	assert_true(orders_put(b->orders, &order, WALL));
	text = explain_it(b, "198.51.100.9");
	has(text, "verdict", "decided-by=\"the administrator\"");
	has(text, "verdict", "until=\"for good\"");
	has(text, "verdict", "why=\"scans since Monday\"");
	has(text, "verdict", "lift=\"holdfast unban 198.51.100.0/24\"");
	order.kind = ORDER_ALLOW;
	assert_true(orders_put(b->orders, &order, WALL));
	text = explain_it(b, "198.51.100.9");
	has(text, "verdict", "state=\"let in, whatever it does\"");
	has(text, "verdict", "lift=\"holdfast allow --remove 198.51.100.0/24\"");
}

static void a_banned_prefix_refuses_its_strangers_and_no_known_good_client(void **state)
{
	struct bench *b = *state;
	struct guard_hot *row;
	const char *text;

	ban(b, "192.0.2.0/26", RULE_PREFIX, STEP_REFUSE);
	row = row_of(b, "192.0.2.9");
	row->good = 50;
	row->last = memory_second(NOW);
	close_row(b, row);
	text = explain_it(b, "192.0.2.7");
	has(text, "verdict", "decided-for=192.0.2.0/26");
	has(text, "verdict", "lift=\"holdfast unban 192.0.2.0/26\"");
	has(text, "prefix", "prefix=192.0.2.0/26");
	has(explain_it(b, "192.0.2.9"), "verdict", "let in, known-good");
}

static void lockdown_refuses_strangers(void **state)
{
	struct bench *b = *state;

	orders_lockdown(b->orders, true, WALL - MS_MINUTE);
	has(explain_it(b, "192.0.2.7"), "verdict", "lift=\"holdfast lockdown off\"");
	orders_lockdown(b->orders, false, WALL);
	has(explain_it(b, "192.0.2.7"), "verdict", "state=\"let in\"");
}

static void what_is_inside_a_prefix_is_counted_and_the_worst_are_named(void **state)
{
	struct bench *b = *state;
	struct inside in = { .net = net_of("192.0.2.0/24") };
	struct explain what = { .net = in.net, .inside = &in };
	struct guard_hot row;
	struct among among;
	const char *text;

	for (int i = 1; i <= 20; i++) {
		char name[32];
		struct guard_hot *r;

		snprintf(name, sizeof(name), "192.0.2.%d", i);
		r = row_of(b, name);
		r->points_at = memory_second(NOW);
		r->fast = (float)(i == 3 ? 90 : i);
		r->connects = 2;
		close_row(b, r);
	}
	ban(b, "192.0.2.200", RULE_HISTORY, STEP_REFUSE);
	ban(b, "192.0.3.200", RULE_HISTORY, STEP_REFUSE);
	for (among_init(&among, &b->writer, &in.net); !among_over(&among);)
		if (among_next(&among, &row))
			inside_add(&in, &b->view, &row, NOW, WALL);
	assert_int_equal(in.clients, 21);
	assert_int_equal(in.banned, 1);
	assert_int_equal(in.connects, 20 * 2 + 31);
	assert_int_equal(in.worst_count, INSIDE_WORST);
	for (size_t i = 1; i < in.worst_count; i++)
		assert_true(in.points[i] <= in.points[i - 1]);
	text = explained(b, &what);
	has(text, "inside", "clients=21");
	has(text, "client", "client=192.0.2.200");
	assert_non_null(strstr(text, "client=192.0.2.3 "));
	assert_null(strstr(text, "192.0.3.200"));
}

/* How many known clients there are, found in the way that the prefix's width asks for. */
static size_t found_in(struct bench *b, const char *text, bool by_client)
{
	struct net net = net_of(text);
	struct guard_hot row;
	struct among among;
	size_t n = 0;

	among_init(&among, &b->writer, &net);
	assert_int_equal(among.by_client, by_client);
	while (!among_over(&among))
		n += among_next(&among, &row);
	assert_false(among_next(&among, &row));
	return n;
}

static void clients_inside_are_found_in_prefixes_of_any_width(void **state)
{
	static const char *const clients[] = { "10.1.0.0",	    "10.1.2.3",
					       "10.1.255.255",	    "10.2.0.0",
					       "192.0.2.7",	    "2001:db8:0:1::/64",
					       "2001:db8:0:2::/64", "2001:db8:1::/64" };
	struct bench *b = *state;

	for (size_t i = 0; i < COUNT_OF(clients); i++)
		close_row(b, row_of(b, clients[i]));
	assert_int_equal(found_in(b, "10.1.2.3", true), 1);
	assert_int_equal(found_in(b, "10.1.2.0/24", true), 1);
	assert_int_equal(found_in(b, "10.1.0.0/16", true), 3);
	assert_int_equal(found_in(b, "10.0.0.0/8", false), 4);
	assert_int_equal(found_in(b, "2001:db8::/48", true), 2);
	assert_int_equal(found_in(b, "2001:db8:0:1::7", true), 1);
	assert_int_equal(found_in(b, "2001:db8::/32", false), 3);
	assert_int_equal(found_in(b, "::/0", false), COUNT_OF(clients));
}

static void a_code_names_its_rule(void **state)
{
	struct explain what = { .net = net_of("192.0.2.7"),
				.code = "P7K2Q9M",
				.code_rule = RULE_POINTS };
	const char *text = explained(*state, &what);

	has(text, "code", "code=P7K2Q9M");
	has(text, "code", "rule=points");
	has(text, "code", "client=192.0.2.7");
}

static void without_a_memory_it_is_still_answered(void **state)
{
	struct bench *b = *state;

	b->view.has_memory = false;
	has(explain_it(b, "192.0.2.7"), "history", "cannot be read");
	has(explain_it(b, "2001:db8::/48"), "verdict", "about=2001:db8::/48");
}

/* ---- words ------------------------------------------------------------------------- */

static bool read_words(const char *const *words, unsigned allowed,
		       struct asked_words *out, struct err *err)
{
	static uint8_t mem[1024];
	struct buf list;

	buf_init(&list, mem, sizeof(mem));
	while (*words)
		list_put(&list, span_str(*words++));
	return asked_read(buf_span(&list), allowed, out, err);
}

#define WORDS(...) ((const char *const[]){ __VA_ARGS__, NULL })

static void options_come_with_their_value_or_behind_an_equals_sign(void **state)
{
	struct asked_words w;
	struct err err;

	(void)state;
	assert_true(read_words(WORDS("192.0.2.7", "--for", "7d", "--why=spam"),
			       WORD_TARGET | WORD_FOR | WORD_WHY, &w, &err));
	assert_true(w.within == 7 * MS_DAY);
	assert_true(span_eq(w.why, SPAN("spam")));
	assert_true(span_eq(w.target, SPAN("192.0.2.7")));
	assert_int_equal(w.limit, LIMIT_DEFAULT);
}

static void words_that_are_wrong_are_refused_with_a_reason(void **state)
{
	static const struct {
		const char *words[4], *says;
	} rows[] = {
		{ { "--for", "7d" }, "is needed" },
		{ { "a", "--for" }, "--for needs a value" },
		{ { "a", "--for", "soon" }, "30m, 12h, 7d" },
		{ { "a", "--for", "0" }, "30m, 12h, 7d" },
		{ { "a", "--for=9999d" }, "3650d" },
		{ { "a", "--bogus" }, "no option --bogus" },
		{ { "a", "--force=1" }, "no option --force=1" },
		{ { "a", "b" }, "one word too many" },
		{ { "a", "--limit", "0" }, "from 1 to" },
		{ { "a", "--why", "two\nlines" }, "on one line" },
	};
	struct asked_words w;
	struct err err;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		assert_false(read_words(rows[i].words,
					WORD_TARGET | WORD_FOR | WORD_WHY | WORD_FORCE |
						WORD_LIMIT,
					&w, &err));
		if (!strstr(err.text, rows[i].says))
			fail_msg("row %zu says: %s", i, err.text);
	}
}

static void bits_behind_a_prefix_are_told_with_what_is_meant(void **state)
{
	struct err err = { 0 };
	struct net n;

	(void)state;
	assert_false(asked_net(SPAN("192.0.2.7/26"), &n, &err));
	assert_non_null(strstr(err.text, "192.0.2.0/26?"));
	assert_false(asked_net(SPAN("2001:db8::1/48"), &n, &err));
	assert_non_null(strstr(err.text, "2001:db8::/48?"));
	assert_false(asked_net(SPAN("nonsense"), &n, &err));
	assert_non_null(strstr(err.text, "neither an address nor a prefix"));
	assert_true(asked_net(SPAN("192.0.2.0/26"), &n, &err));
	assert_int_equal(n.bits, 122);
}

/* ---- orders on disk ---------------------------------------------------------------- */

static void put(struct orders *o, enum order_kind kind, const char *net, int64_t until,
		const char *why)
{
	struct order order = {
		.kind = (uint8_t)kind, .net = net_of(net), .since = WALL, .until = until
	};

	snprintf(order.why, sizeof(order.why), "%s", why);
	assert_true(orders_put(o, &order, WALL));
}

static size_t count(const struct orders *o)
{
	struct order order;
	size_t n = 0;

	for (size_t at = 0; orders_next(o, &at, &order);)
		n++;
	return n;
}

static void orders_come_back_as_they_were_written(void **state)
{
	struct bench *b = *state;
	static uint8_t mem[LEDGER_MAX];
	struct orders *other = calloc(1, orders_size());
	struct order found;
	struct buf text;
	struct err err;
	struct addr a = net_of("192.0.2.9").addr;

	orders_init(other);
	put(b->orders, ORDER_BAN, "192.0.2.0/24", INT64_MAX, "a reason with spaces");
	put(b->orders, ORDER_ALLOW, "2001:db8::/48", WALL + MS_DAY, "");
	put(b->orders, ORDER_PARDON, "198.51.100.7", WALL + MS_HOUR, "");
	put(b->orders, ORDER_BAN, "203.0.113.7", WALL + MS_MINUTE, "soon over");
	orders_lockdown(b->orders, true, WALL - 5);
	assert_true(orders_drain(b->orders, SPAN("east"), true));
	assert_true(orders_drain(b->orders, SPAN("north-2"), true));
	buf_init(&text, mem, sizeof(mem));
	ledger_print(b->orders, &text);
	assert_false(text.full);
	assert_true(ledger_parse(buf_span(&text), other, WALL + 2 * MS_MINUTE, &err));
	assert_int_equal(count(other), 3);
	assert_true(orders_in_lockdown(other) == WALL - 5);
	assert_true(orders_is_drained(other, SPAN("east")));
	assert_true(orders_is_drained(other, SPAN("north-2")));
	assert_false(orders_is_drained(other, SPAN("north")));
	assert_true(orders_find(other, &a, WALL, &found));
	assert_int_equal(found.kind, ORDER_BAN);
	assert_string_equal(found.why, "a reason with spaces");
	assert_true(found.until == INT64_MAX);
	assert_true(
		orders_pardoned(other, &(struct net){ .addr = net_of("198.51.100.7").addr,
						      .bits = 128 }) == WALL);
	free(other);
}

static void a_file_that_is_cut_or_changed_anywhere_is_refused_as_a_whole(void **state)
{
	struct bench *b = *state;
	static uint8_t mem[LEDGER_MAX];
	struct orders *other = calloc(1, orders_size());
	struct buf text;
	struct err err;

	put(b->orders, ORDER_BAN, "192.0.2.0/24", INT64_MAX, "why");
	buf_init(&text, mem, sizeof(mem));
	ledger_print(b->orders, &text);
	for (size_t n = 0; n < text.len; n++) {
		orders_init(other);
		assert_false(ledger_parse(span_of(mem, n), other, WALL, &err));
		mem[n] ^= 1;
		assert_false(ledger_parse(buf_span(&text), other, WALL, &err));
		mem[n] ^= 1;
		assert_int_equal(count(other), 0);
	}
	assert_true(ledger_parse(buf_span(&text), other, WALL, &err));
	free(other);
}

static void on_saved(void *arg, uint64_t serial, const struct err *err)
{
	struct loop *loop = arg;

	assert_null(err);
	assert_int_equal(serial, 1);
	loop_stop(loop);
}

static void a_torn_file_is_put_aside_and_named(void **state)
{
	struct bench *b = *state;
	char dir[] = "/tmp/holdfast-orders-XXXXXX", path[128], aside[160];
	struct ledger_hook hook = { .on_saved = on_saved };
	struct ledger *l;
	struct loop *loop;
	struct err err = { 0 };
	struct stat st;

	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/orders.state", dir);
	assert_true(loop_open(&loop, &err));
	hook.arg = loop;
	assert_true(ledger_open(&l, loop, dir, b->orders, &hook, &err));
	assert_true(ledger_load(l, WALL, &err)); /* there is none: fine */
	put(b->orders, ORDER_BAN, "192.0.2.0/24", INT64_MAX, "");
	assert_int_equal(ledger_save(l), 1);
	loop_run(loop);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(truncate(path, st.st_size - 3), 0);
	orders_init(b->orders);
	assert_false(ledger_load(l, WALL, &err));
	assert_non_null(strstr(err.text, path));
	snprintf(aside, sizeof(aside), "%s.bad-%lld", path, (long long)(WALL / 1000));
	assert_non_null(strstr(err.text, aside));
	assert_int_equal(count(b->orders), 0);
	assert_int_equal(unlink(aside), 0);
	assert_int_equal(stat(path, &st), -1);
	assert_int_equal(rmdir(dir), 0);
	loop_close(&loop);
	ledger_close(&l);
}

struct tries {
	struct loop *loop;
	char obstacle[160]; /* a directory where the file shall be */
	unsigned failed;
};

static void on_tried(void *arg, uint64_t serial, const struct err *err)
{
	struct tries *t = arg;

	assert_int_equal(serial, 1);
	t->failed += err != NULL;
	if (!err)
		loop_stop(t->loop);
	else if (t->failed == 2)
		assert_int_equal(rmdir(t->obstacle), 0);
}

static void what_could_not_be_written_is_tried_again_until_it_is(void **state)
{
	struct bench *b = *state;
	char dir[] = "/tmp/holdfast-orders-XXXXXX", path[128];
	struct tries t = { 0 };
	struct ledger_hook hook = { .on_saved = on_tried, .arg = &t, .again = 1 };
	struct ledger *l;
	struct err err = { 0 };

	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/orders.state", dir);
	snprintf(t.obstacle, sizeof(t.obstacle), "%s.new", path);
	assert_int_equal(mkdir(t.obstacle, 0700), 0);
	assert_true(loop_open(&t.loop, &err));
	assert_true(ledger_open(&l, t.loop, dir, b->orders, &hook, &err));
	put(b->orders, ORDER_BAN, "192.0.2.0/24", INT64_MAX, "");
	assert_int_equal(ledger_save(l), 1);
	loop_run(t.loop);
	assert_int_equal(t.failed, 2);
	assert_string_equal(ledger_trouble(l), "");
	orders_init(b->orders);
	assert_true(ledger_load(l, WALL, &err));
	assert_int_equal(count(b->orders), 1);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(rmdir(dir), 0);
	loop_close(&t.loop);
	ledger_close(&l);
}

/* ---- the few that matter most ------------------------------------------------------ */

static void the_best_are_those_that_sorting_all_would_give(void **state)
{
	struct best_one places[10];
	struct best b;
	uint32_t x = 1;

	(void)state;
	for (size_t n = 0; n < 60; n++) {
		double top[60];

		best_init(&b, places, COUNT_OF(places));
		for (size_t i = 0; i < n; i++) {
			size_t at = i;

			x = x * 1664525 + 1013904223;
			best_offer(&b, &(struct best_one){ .worth = x % 50, .what = i });
			for (; at > 0 && top[at - 1] < x % 50; at--)
				top[at] = top[at - 1];
			top[at] = x % 50;
		}
		best_sort(&b);
		assert_int_equal(b.n, n < 10 ? n : 10);
		for (size_t i = 0; i < b.n; i++)
			assert_true(b.one[i].worth >= top[i] && b.one[i].worth <= top[i]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
		T(a_client_that_never_came_is_said_to_be_unknown),
		T(a_ban_is_explained_with_its_rule_its_effect_and_what_lifts_it),
		T(an_observed_ban_lets_in_and_says_so),
		T(points_below_a_ban_delay_and_then_refuse_late),
		T(a_pardon_lifts_what_came_before_it),
		T(the_administrators_order_decides_and_tells_its_reason),
		T(a_banned_prefix_refuses_its_strangers_and_no_known_good_client),
		T(lockdown_refuses_strangers),
		T(what_is_inside_a_prefix_is_counted_and_the_worst_are_named),
		T(clients_inside_are_found_in_prefixes_of_any_width),
		T(a_code_names_its_rule),
		T(without_a_memory_it_is_still_answered),
		T(options_come_with_their_value_or_behind_an_equals_sign),
		T(words_that_are_wrong_are_refused_with_a_reason),
		T(bits_behind_a_prefix_are_told_with_what_is_meant),
		T(orders_come_back_as_they_were_written),
		T(a_file_that_is_cut_or_changed_anywhere_is_refused_as_a_whole),
		T(a_torn_file_is_put_aside_and_named),
		T(what_could_not_be_written_is_tried_again_until_it_is),
		T(the_best_are_those_that_sorting_all_would_give),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
