/*
 * What may be asked of the queue, and what is said to who asks for something else.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "db/where.h"

static void conditions_become_sql_and_parameters(void **state)
{
	static const struct {
		const char *condition, *sql;
	} rows[] = {
		{ "all", "" },
		{ "sender=<>", " and (m.sender = ?4 collate nocase)" },
		{ "sender=*@b", " and (lower(m.sender) glob ?4)" },
		{ "sender-domain=b size>1",
		  " and (substr(m.sender, -length(?4)) = ?5 collate nocase) and (m.size > ?6)" },
		{ "rcpt=a*",
		  " and (m.id in (select r.message from recipient r where r.message > ?1"
		  " and r.message <= ?2 and lower(r.address) glob ?4))" },
		{ "!sender=<>", " and not (m.sender = ?4 collate nocase)" },
		{ "sender!=<>", " and not (m.sender = ?4 collate nocase)" },
		{ "!sender!=<>", " and (m.sender = ?4 collate nocase)" },
		{ "age>1h size<1m", " and (m.wall < ?4) and (m.size < ?5)" },
		{ "ip=192.0.2.0/24 incident=17",
		  " and (m.peer between ?4 and ?5) and (m.incident = ?6)" },
		{ "  state=held \t tls=no ", " and (m.state = 1) and ((m.flags & 8) = 0)" },
	};
	uint8_t mem[WHERE_SQL];
	struct where w;
	struct buf sql;
	struct err err;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		buf_init(&sql, mem, sizeof(mem));
		if (!where_parse(&w, span_str(rows[i].condition), &err))
			fail_msg("%s: %s", rows[i].condition, err.text);
		where_sql(&w, 4, &sql);
		if (!span_eq(buf_span(&sql), span_str(rows[i].sql)))
			fail_msg("%s became %.*s", rows[i].condition,
				 SPAN_ARG(buf_span(&sql)));
	}
}

static void who_asks_wrongly_is_told_where_and_what(void **state)
{
	static const struct {
		const char *condition, *says;
	} rows[] = {
		{ "", "at 1: which messages?" },
		{ "   ", "at 1: which messages?" },
		{ "color=red", "at 1: there is no \"color\"; what may be asked: sender " },
		{ "age>1h colour=red", "at 8: there is no \"colour\"" },
		{ "age=1h", "at 4: age needs > or <" },
		{ "age>soon", "at 5: age needs a length of time" },
		{ "sender", "at 7: sender needs =" },
		{ "sender=", "at 8: sender needs a pattern" },
		{ "state=sleepy", "at 7: state needs queued, deferred, held" },
		{ "ip=192.0.2.1/24", "at 4: ip needs an address or a prefix" },
		{ "tls=maybe", "at 5: tls needs yes, no" },
		{ "id=x", "at 4: id needs a queue id" },
		{ "incident=-1", "at 10: incident needs a number" },
		{ "all sender=<>", "at 1: there is no \"all\"" },
		{ "sender='; drop table message", "at 11: there is no \"drop\"" },
		{ "=", "at 1: there is no \"\"" },
		{ "!", "at 1: there is no \"\"" },
		{ "tls=no tls=no tls=no tls=no tls=no tls=no tls=no tls=no tls=no tls=no tls=no "
		  "tls=no tls=no tls=no tls=no tls=no tls=no",
		  "at 113: more than 16 terms" },
	};
	struct where w;
	struct err err;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		assert_false(where_parse(&w, span_str(rows[i].condition), &err));
		if (!span_starts(span_str(err.text), span_str(rows[i].says)))
			fail_msg("%s: %s", rows[i].condition, err.text);
	}
}

static struct span pattern(const struct where *w)
{
	return span_of(w->text + w->term[0].at, w->term[0].n);
}

static void patterns_are_lower_case_and_know_only_two_signs(void **state)
{
	static const struct {
		const char *condition, *pattern;
	} rows[] = {
		{ "sender=<>", "" },
		{ "sender=<Bob@Example.ORG>", "bob@example.org" },
		{ "sender=*@?.example", "*@?.example" },
		{ "rcpt=a@[192.0.2.1]", "a@[192.0.2.1]" },
		{ "rcpt=*@[192.0.2.1]", "*@[[]192.0.2.1]" },
		{ "rcpt-domain=Example.org", "@example.org" },
		{ "rcpt-domain=*.Example.org", "*@*.example.org" },
	};
	struct where w;
	struct err err;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		assert_true(where_parse(&w, span_str(rows[i].condition), &err));
		assert_true(span_eq(pattern(&w), span_str(rows[i].pattern)));
	}
}

static void a_prefix_is_its_first_and_last_address(void **state)
{
	struct where w;
	struct err err;

	(void)state;
	assert_true(where_parse(&w, SPAN("ip=192.0.2.64/26"), &err));
	assert_int_equal(w.term[0].low[15], 64);
	assert_int_equal(w.term[0].high[15], 127);
	assert_int_equal(w.term[0].high[14], 2);
	assert_true(where_parse(&w, SPAN("ip=2001:db8::/32"), &err));
	assert_int_equal(w.term[0].low[4], 0);
	assert_int_equal(w.term[0].high[4], 0xff);
	assert_int_equal(w.term[0].high[3], 0xb8);
}

static void a_condition_about_states_is_known_as_such(void **state)
{
	struct where w;
	struct err err;

	(void)state;
	assert_true(where_parse(&w, SPAN("size>1 state=dead"), &err));
	assert_true(where_asks_state(&w));
	assert_true(where_parse(&w, SPAN("size>1"), &err));
	assert_false(where_asks_state(&w));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(conditions_become_sql_and_parameters),
		cmocka_unit_test(who_asks_wrongly_is_told_where_and_what),
		cmocka_unit_test(patterns_are_lower_case_and_know_only_two_signs),
		cmocka_unit_test(a_prefix_is_its_first_and_last_address),
		cmocka_unit_test(a_condition_about_states_is_known_as_such),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
