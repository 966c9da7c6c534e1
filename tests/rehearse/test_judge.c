/*
 * Each promise both ways and unknown, on runs that never were.
 */
#include "made_up.h"

static void nothing(struct made_up *m)
{
	(void)m;
}

/* served */

static void all_served(struct made_up *m)
{
	for (unsigned a = REGULAR; a <= NEWCOMER; a++) {
		add_done(m, a, PHASE_QUIET, 100, 10);
		add_done(m, a, PHASE_ATTACK, 400, 12);
	}
}

static void newcomer_refused(struct made_up *m)
{
	all_served(m);
	add_ended(m, NEWCOMER, PHASE_ATTACK, 8, STAGE_RCPT, END_LATER); /* of 408 */
}

static void newcomer_just_served(struct made_up *m)
{
	add_done(m, NEWCOMER, PHASE_QUIET, 100, 10);
	add_done(m, NEWCOMER, PHASE_ATTACK, 396, 12);
	add_ended(m, NEWCOMER, PHASE_ATTACK, 4, STAGE_RCPT, END_LATER);
}

static void newcomer_never_begun(struct made_up *m)
{
	all_served(m);
	counted(m, 0, NEWCOMER, PHASE_ATTACK)->due += 40;
}

static void phase_over(struct made_up *m)
{
	all_served(m);
	add_ended(m, REGULAR, PHASE_ATTACK, 50, STAGE_CONNECT, END_OVER);
}

static void greylisted(struct made_up *m)
{
	all_served(m);
	add_ended(m, REGULAR, PHASE_ATTACK, 50, STAGE_RCPT, END_LATER);
	counted(m, 0, REGULAR, PHASE_ATTACK)->again = 50;
}

static void two_per_cent_at(struct made_up *m, double ms)
{
	all_served(m);
	add_done(m, REGULAR, PHASE_ATTACK, 10, ms);
}

static void slower_within(struct made_up *m)
{
	two_per_cent_at(m, 65);
}

static void slower(struct made_up *m)
{
	two_per_cent_at(m, 75);
}

static void no_quiet(struct made_up *m)
{
	add_done(m, REGULAR, PHASE_ATTACK, 100, 10);
}

static void no_quiet_and_refused(struct made_up *m)
{
	no_quiet(m);
	add_ended(m, REGULAR, PHASE_ATTACK, 100, STAGE_CONNECT, END_SILENT);
}

static void nobody_served(struct made_up *m)
{
	add_done(m, REGULAR, PHASE_QUIET, 100, 10);
	add_ended(m, REGULAR, PHASE_ATTACK, 100, STAGE_CONNECT, END_DROPPED);
}

static void attackers_fail(struct made_up *m)
{
	all_served(m);
	add_ended(m, BOTS, PHASE_ATTACK, 10000, STAGE_RCPT, END_NO);
}

static void cut_short(struct made_up *m)
{
	m->result.complete = false;
	snprintf(m->result.why_not, sizeof(m->result.why_not), "stopped");
}

static void served_but_cut_short(struct made_up *m)
{
	all_served(m);
	cut_short(m);
}

static void refused_and_cut_short(struct made_up *m)
{
	newcomer_refused(m);
	cut_short(m);
}

/* no-breach, not-accepted */

static void attacked(struct made_up *m)
{
	add_ended(m, BOTS, PHASE_ATTACK, 1000, STAGE_RCPT, END_NO);
	add_heard(m, BOTS, PHASE_ATTACK, 1000, STAGE_RCPT, 2);
}

static void breach_after(struct made_up *m)
{
	attacked(m);
	counted(m, 1, BOTS, PHASE_AFTER)->breaches = 2;
	snprintf(tally_at(&m->tally, 1, BOTS)->breach, 120, "250 \x1b[2J\xffok");
}

static void breach_of_the_honest(struct made_up *m)
{
	attacked(m);
	add_ended(m, LONE, PHASE_ATTACK, 1, STAGE_RCPT, END_NO);
	counted(m, 1, REGULAR, PHASE_QUIET)->breaches = 1;
}

static void attacked_until_cut_short(struct made_up *m)
{
	attacked(m);
	cut_short(m);
}

static void accepted(struct made_up *m)
{
	attacked(m);
	add_heard(m, LONE, PHASE_ATTACK, 3, STAGE_BODY, 0);
}

static void told_to_go_ahead_only(struct made_up *m)
{
	attacked(m);
	add_heard(m, BOTS, PHASE_ATTACK, 3, STAGE_DATA, 0);
	add_heard(m, BOTS, PHASE_ATTACK, 3, STAGE_BODY, 2);
}

static void honest_mail_accepted(struct made_up *m)
{
	attacked(m);
	add_heard(m, REGULAR, PHASE_ATTACK, 100, STAGE_BODY, 0);
}

/* falls */

static void falls_to(struct made_up *m, unsigned later)
{
	add_in_time(m, BOTS, 0, 0.1, 100, 0);
	add_in_time(m, BOTS, 0.1, 0.25, 77, 0); /* does not count */
	add_in_time(m, BOTS, 0.25, 1, later, 0);
}

static void falls_to_4(struct made_up *m)
{
	falls_to(m, 4);
}

static void falls_to_5(struct made_up *m)
{
	falls_to(m, 5);
}

static void falls_to_6(struct made_up *m)
{
	falls_to(m, 6);
}

static void lone_goes_on(struct made_up *m)
{
	falls_to(m, 4);
	add_in_time(m, LONE, 0, 1, 10, 0);
}

static void few_at_first(struct made_up *m)
{
	add_in_time(m, BOTS, 0, 0.01, 3, 0);
}

static void goes_on_and_cut_short(struct made_up *m)
{
	falls_to(m, 100);
	cut_short(m);
}

/* refused-at-connect */

static void lone_past(struct made_up *m, unsigned n)
{
	add_ended(m, LONE, PHASE_ATTACK, n, STAGE_AUTH, END_NO);
	add_ended(m, LONE, PHASE_ATTACK, 200, STAGE_CONNECT, END_NO);
}

static void lone_past_20(struct made_up *m)
{
	lone_past(m, 20);
	add_ended(m, BOTS, PHASE_ATTACK, 5000, STAGE_RCPT, END_NO); /* of many addresses */
}

static void lone_past_21(struct made_up *m)
{
	lone_past(m, 21);
}

static void lone_greeted(struct made_up *m)
{
	lone_past(m, 0);
	add_heard(m, LONE, PHASE_ATTACK, 21, STAGE_CONNECT, 0);
}

static void lone_content_with_greeting(struct made_up *m)
{
	add_ended(m, LONE, PHASE_ATTACK, 30, STAGE_CONNECT, END_DONE);
}

static void lone_tries_few(struct made_up *m)
{
	add_ended(m, LONE, PHASE_ATTACK, 5, STAGE_AUTH, END_NO);
}

static void bots_only(struct made_up *m)
{
	m->scenario.actors[LONE].addresses = 2;
	add_ended(m, BOTS, PHASE_ATTACK, 5000, STAGE_RCPT, END_NO);
}

static void bots_past_20(struct made_up *m)
{
	add_ended(m, BOTS, PHASE_ATTACK, 20, STAGE_RCPT, END_NO);
	add_ended(m, BOTS, PHASE_ATTACK, 50, STAGE_CONNECT, END_DROPPED);
	lone_past(m, 1000);
}

/* alive */

static void lives(struct made_up *m)
{
	add_server(m);
}

static void died(struct made_up *m)
{
	add_server(m);
	m->result.server_alive = false;
	cut_short(m);
}

/* memory */

static void holds_1000_with(struct made_up *m, uint64_t pss, uint64_t kernel)
{
	struct timed_look *l;

	add_server(m);
	add_in_time(m, BOTS, 0.5, 0.6, 1, 900);
	add_in_time(m, LONE, 0.5, 0.6, 1, 100);
	l = add_look(m, m->tally.ends[PHASE_QUIET] + 20000);
	l->look.pss += pss;
	l->look.kernel += kernel;
	l = add_look(m, m->tally.ends[PHASE_ATTACK] + 1000); /* after it: does not count */
	l->look.pss += 1000 << 20;
}

static void holds_at_8_kib(struct made_up *m)
{
	holds_1000_with(m, 6000 << 10, 2000 << 10);
}

static void holds_at_9_kib(struct made_up *m)
{
	holds_1000_with(m, 6000 << 10, 3000 << 10);
}

static void shrinks(struct made_up *m)
{
	holds_1000_with(m, 0, 0);
	m->result.edges[PHASE_ATTACK].look.pss += 5 << 20;
}

static void holds_nobody(struct made_up *m)
{
	add_server(m);
	add_in_time(m, BOTS, 0, 1, 100, 2);
}

static void holds_unseen(struct made_up *m)
{
	holds_at_8_kib(m);
	m->result.edges[PHASE_AFTER].look.has &= ~(unsigned)SERVER_HAS_PSS;
}

static void holds_without_kernel(struct made_up *m)
{
	holds_at_8_kib(m);
	m->result.edges[PHASE_ATTACK].look.has &= ~(unsigned)SERVER_HAS_KERNEL;
}

static void holds_without_server(struct made_up *m)
{
	add_in_time(m, BOTS, 0.5, 0.6, 1, 900);
}

/* log-budget: attack of 40 s, and an hour is 90 times that */

static void logs(struct made_up *m, uint64_t first_half, uint64_t second_half)
{
	add_server(m);
	attacked(m);
	m->result.edges[PHASE_ATTACK].look.log = 5000;
	add_look(m, m->tally.ends[PHASE_QUIET] + 20000)->look.log = 5000 + first_half;
	m->result.edges[PHASE_AFTER].look.log = 5000 + first_half + second_half;
	m->result.edges[PHASE_COUNT].look.log = 99999999;
	m->result.log_budget = 90 * 1000;
}

static void logs_evenly(struct made_up *m)
{
	logs(m, 500, 500);
}

static void logs_a_little_more(struct made_up *m)
{
	logs(m, 510, 510);
}

static void logs_a_burst(struct made_up *m)
{
	logs(m, 40000, 10);
}

static void logs_too_large_a_burst(struct made_up *m)
{
	logs(m, 90001, 0);
}

static void logs_without_budget(struct made_up *m)
{
	logs(m, 500, 500);
	m->result.log_budget = 0;
}

static void logs_nowhere(struct made_up *m)
{
	logs(m, 0, 0);
	for (int i = 0; i <= PHASE_COUNT; i++)
		m->result.edges[i].look.has &= ~(unsigned)SERVER_HAS_LOG;
}

static void logs_in_a_file_that_came_later(struct made_up *m)
{
	logs(m, 500, 500);
	m->result.edges[PHASE_ATTACK].look.has &= ~(unsigned)SERVER_HAS_LOG;
}

/* log-most: 64 KiB, as text that is written after the attack as well */

static void logs_until_the_end(struct made_up *m, uint64_t attack, uint64_t after)
{
	logs(m, attack, 0);
	m->result.edges[PHASE_COUNT].look.log = 5000 + attack + after;
}

static void logs_as_much_as_it_may(struct made_up *m)
{
	logs_until_the_end(m, 65000, 536);
}

static void logs_a_byte_too_many(struct made_up *m)
{
	logs_until_the_end(m, 65000, 537);
}

static void logs_and_was_cut_short(struct made_up *m)
{
	logs_until_the_end(m, 1000, 0);
	m->result.complete = false;
}

/* held */

static void holds(struct made_up *m, unsigned bots, unsigned lone)
{
	add_in_time(m, BOTS, 0.5, 0.6, 1, bots);
	add_in_time(m, LONE, 0.5, 0.6, 1, lone);
	add_in_time(m, REGULAR, 0, 1, 1, 10); /* honest: does not count */
}

static void holds_all(struct made_up *m)
{
	holds(m, 2000, 100);
}

static void holds_one_less(struct made_up *m)
{
	holds(m, 2000, 99);
}

static void holds_half(struct made_up *m)
{
	holds(m, 1000, 50);
}

static void holds_all_but_not_together(struct made_up *m)
{
	add_in_time(m, BOTS, 0.2, 0.3, 1, 2000);
	add_in_time(m, LONE, 0.5, 0.6, 1, 100);
}

static void holds_half_until_cut_short(struct made_up *m)
{
	holds_half(m);
	cut_short(m);
}

#define LIMIT(x) .limit = (x), .has_limit = true

/* clang-format off */
static const struct row {
	const char *why;
	struct promise promise;
	void (*happened)(struct made_up *m);
	enum verdict verdict;
	const char *found; /* is part of what was found */
} rows[] = {
	{ "all were served", { .word = "served" }, all_served, VERDICT_KEPT, "100.00 % of 400; p99 12 ms, quiet 10 ms" },
	{ "400 of 408 are less than 99 %", { .word = "served" }, newcomer_refused, VERDICT_BROKEN, "newcomer 98.04 % of 408" },
	{ "396 of 400 are 99 %", { .word = "served" }, newcomer_just_served, VERDICT_KEPT, "99.00 %" },
	{ "and more than 98 %", { .word = "served", LIMIT(98) }, newcomer_refused, VERDICT_KEPT, "98.04 %" },
	{ "the one named was served", { .word = "served", .actor = "regular" }, newcomer_refused, VERDICT_KEPT, "regular" },
	{ "the one named was not", { .word = "served", .actor = "newcomer" }, newcomer_refused, VERDICT_BROKEN, "newcomer" },
	{ "who was due and never began was not served", { .word = "served" }, newcomer_never_begun, VERDICT_BROKEN, "newcomer 90.91 % of 440" },
	{ "when the phase is over is nobody's fault", { .word = "served" }, phase_over, VERDICT_KEPT, "" },
	{ "greylisted mail may come later", { .word = "served" }, greylisted, VERDICT_KEPT, "" },
	{ "p99 may be twice that of quiet and 50 ms", { .word = "served" }, slower_within, VERDICT_KEPT, "" },
	{ "but no more", { .word = "served" }, slower, VERDICT_BROKEN, "regular p99 7" },
	{ "without quiet no p99", { .word = "served" }, no_quiet, VERDICT_UNKNOWN, "no quiet p99" },
	{ "without quiet refused is refused", { .word = "served" }, no_quiet_and_refused, VERDICT_BROKEN, "50.00 %" },
	{ "nobody was served", { .word = "served" }, nobody_served, VERDICT_BROKEN, "regular 0.00 % of 100" },
	{ "nobody came", { .word = "served" }, nothing, VERDICT_UNKNOWN, "no honest visit" },
	{ "attackers need not be served", { .word = "served" }, attackers_fail, VERDICT_KEPT, "" },
	{ "what was well until it was cut short", { .word = "served" }, served_but_cut_short, VERDICT_UNKNOWN, "ended too early" },
	{ "what was broken before it was cut short", { .word = "served" }, refused_and_cut_short, VERDICT_BROKEN, "98.04 %" },

	{ "no breach", { .word = "no-breach" }, attacked, VERDICT_KEPT, "none" },
	{ "a breach in any phase, its text escaped", { .word = "no-breach" }, breach_after, VERDICT_BROKEN, "2, the first of bots: 250 \\x1b[2J\\xffok" },
	{ "a breach of another actor", { .word = "no-breach", .actor = "lone" }, breach_of_the_honest, VERDICT_KEPT, "none" },
	{ "a breach of any actor", { .word = "no-breach" }, breach_of_the_honest, VERDICT_BROKEN, "1, the first of regular" },
	{ "nobody attacked", { .word = "no-breach" }, all_served, VERDICT_UNKNOWN, "nobody attacked" },
	{ "no breach so far", { .word = "no-breach" }, attacked_until_cut_short, VERDICT_UNKNOWN, "ended too early" },

	{ "fell to 4 %", { .word = "falls", LIMIT(5) }, falls_to_4, VERDICT_KEPT, "4.00 %: 500.0/s in the first tenth, 20.0/s" },
	{ "fell to exactly 5 %", { .word = "falls", LIMIT(5) }, falls_to_5, VERDICT_KEPT, "5.00 %" },
	{ "fell to 6 %", { .word = "falls", LIMIT(5) }, falls_to_6, VERDICT_BROKEN, "6.00 %" },
	{ "all attackers together", { .word = "falls", LIMIT(5) }, lone_goes_on, VERDICT_BROKEN, "12.73 %" },
	{ "the one named", { .word = "falls", LIMIT(5), .actor = "bots" }, lone_goes_on, VERDICT_KEPT, "4.00 %" },
	{ "too few to compare with", { .word = "falls", LIMIT(5) }, few_at_first, VERDICT_UNKNOWN, "only 6 visits" },
	{ "it might have fallen later", { .word = "falls", LIMIT(5) }, goes_on_and_cut_short, VERDICT_UNKNOWN, "ended too early" },

	{ "20 got past", { .word = "refused-at-connect", LIMIT(20) }, lone_past_20, VERDICT_KEPT, "lone: 20 of 220" },
	{ "21 got past", { .word = "refused-at-connect", LIMIT(20) }, lone_past_21, VERDICT_BROKEN, "lone: 21 of 221" },
	{ "a greeting is enough", { .word = "refused-at-connect", LIMIT(20) }, lone_greeted, VERDICT_BROKEN, "lone: 21 of 200" },
	{ "also for who wants no more", { .word = "refused-at-connect", LIMIT(20) }, lone_content_with_greeting, VERDICT_BROKEN, "lone: 30 of 30" },
	{ "too few tried", { .word = "refused-at-connect", LIMIT(20) }, lone_tries_few, VERDICT_UNKNOWN, "only 5 visits" },
	{ "nobody has one address", { .word = "refused-at-connect", LIMIT(20) }, bots_only, VERDICT_UNKNOWN, "one address" },
	{ "the one named, all its addresses", { .word = "refused-at-connect", LIMIT(20), .actor = "bots" }, bots_past_20, VERDICT_KEPT, "bots: 20 of 70" },
	{ "the one named got past", { .word = "refused-at-connect", LIMIT(19), .actor = "bots" }, bots_past_20, VERDICT_BROKEN, "bots: 20 of 70" },

	{ "it lives", { .word = "alive" }, lives, VERDICT_KEPT, "" },
	{ "it died, and so the run was cut short", { .word = "alive" }, died, VERDICT_BROKEN, "died" },
	{ "nobody looked whether it lives", { .word = "alive" }, nothing, VERDICT_UNKNOWN, "no --server-pid" },

	{ "8 KiB each", { .word = "memory", LIMIT(8) }, holds_at_8_kib, VERDICT_KEPT, "8.0 KiB each: 7.8 MiB for 1000 (kernel: its control group)" },
	{ "9 KiB each", { .word = "memory", LIMIT(8) }, holds_at_9_kib, VERDICT_BROKEN, "9.0 KiB each" },
	{ "less than before", { .word = "memory", LIMIT(8) }, shrinks, VERDICT_KEPT, "0 B each" },
	{ "held by one actor", { .word = "memory", LIMIT(8), .actor = "bots" }, holds_at_8_kib, VERDICT_BROKEN, "for 900" },
	{ "too few to divide by", { .word = "memory", LIMIT(8) }, holds_nobody, VERDICT_UNKNOWN, "only 2 sessions" },
	{ "PSS could not be read", { .word = "memory", LIMIT(8) }, holds_unseen, VERDICT_UNKNOWN, "PSS" },
	{ "kernel memory could not be read", { .word = "memory", LIMIT(8) }, holds_without_kernel, VERDICT_UNKNOWN, "kernel memory" },
	{ "nobody looked at its memory", { .word = "memory", LIMIT(8) }, holds_without_server, VERDICT_UNKNOWN, "no --server-pid" },

	{ "1,000 bytes in 40 s", { .word = "log-budget" }, logs_evenly, VERDICT_KEPT, "1000 B in 40 s, so 87.9 KiB an hour of 87.9 KiB if it goes on, 1000 B per 1,000 refusals" },
	{ "a little more, but not yet", { .word = "log-budget" }, logs_a_little_more, VERDICT_UNKNOWN, "1020 B in 40 s" },
	{ "a burst, and then little", { .word = "log-budget" }, logs_a_burst, VERDICT_KEPT, "40.8 KiB an hour" },
	{ "a burst above the budget", { .word = "log-budget" }, logs_too_large_a_burst, VERDICT_BROKEN, "" },
	{ "no budget was said", { .word = "log-budget" }, logs_without_budget, VERDICT_UNKNOWN, "no --log-budget; 1000 B in 40 s, 1000 B per 1,000 refusals" },
	{ "no log was found", { .word = "log-budget" }, logs_nowhere, VERDICT_UNKNOWN, "--server-log" },
	{ "the log appeared during the attack", { .word = "log-budget" }, logs_in_a_file_that_came_later, VERDICT_KEPT, "" },
	{ "64 KiB", { .word = "log-most", LIMIT(64) }, logs_as_much_as_it_may, VERDICT_KEPT, "64.0 KiB for 1000 refusals" },
	{ "64 KiB and a byte", { .word = "log-most", LIMIT(64) }, logs_a_byte_too_many, VERDICT_BROKEN, "" },
	{ "more might have been logged", { .word = "log-most", LIMIT(64) }, logs_and_was_cut_short, VERDICT_UNKNOWN, "ended too early" },
	{ "there is no log to measure", { .word = "log-most", LIMIT(64) }, logs_nowhere, VERDICT_UNKNOWN, "--server-log" },
	{ "nobody looked at the log", { .word = "log-most", LIMIT(64) }, attacked, VERDICT_UNKNOWN, "no --server-pid" },
	{ "nobody looked at its log", { .word = "log-budget" }, attacked, VERDICT_UNKNOWN, "no --server-pid" },

	{ "all were held", { .word = "held" }, holds_all, VERDICT_KEPT, "100.00 %: 2100 of 2100" },
	{ "one was not", { .word = "held" }, holds_one_less, VERDICT_BROKEN, "99.95 %: 2099 of 2100" },
	{ "half is enough", { .word = "held", LIMIT(50) }, holds_half, VERDICT_KEPT, "1050 of 2100" },
	{ "half is not enough", { .word = "held", LIMIT(51) }, holds_half, VERDICT_BROKEN, "1050 of 2100" },
	{ "not at the same time", { .word = "held" }, holds_all_but_not_together, VERDICT_BROKEN, "2000 of 2100" },
	{ "those of the one named", { .word = "held", .actor = "lone" }, holds_all_but_not_together, VERDICT_KEPT, "100 of 100" },
	{ "nobody came to be held", { .word = "held" }, nothing, VERDICT_UNKNOWN, "nobody attacked" },
	{ "more might have come", { .word = "held" }, holds_half_until_cut_short, VERDICT_UNKNOWN, "ended too early" },

	{ "nothing accepted", { .word = "not-accepted" }, attacked, VERDICT_KEPT, "none of 1000 visits" },
	{ "three accepted", { .word = "not-accepted" }, accepted, VERDICT_BROKEN, "3 messages" },
	{ "a go-ahead is not yet acceptance", { .word = "not-accepted" }, told_to_go_ahead_only, VERDICT_KEPT, "" },
	{ "honest mail is to be accepted", { .word = "not-accepted" }, honest_mail_accepted, VERDICT_KEPT, "" },
	{ "accepted from another", { .word = "not-accepted", .actor = "bots" }, accepted, VERDICT_KEPT, "" },
	{ "nobody sent anything", { .word = "not-accepted" }, nothing, VERDICT_UNKNOWN, "nobody attacked" },
};
/* clang-format on */

static const char *const words[] = {
	"served",     "no-breach", "falls", "refused-at-connect", "alive", "memory",
	"log-budget", "log-most",  "held",  "not-accepted"
};

static const char *verdict_text(enum verdict v)
{
	return v == VERDICT_KEPT ? "kept" : v == VERDICT_BROKEN ? "broken" : "unknown";
}

static void what_happened_decides(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct made_up *m = made_up_open();
		const struct judged *j = m->result.judged;

		m->scenario.promises[0] = rows[i].promise;
		m->scenario.promises_n = 1;
		rows[i].happened(m);
		result_judge(&m->result);
		assert_int_equal(m->result.judged_n, 1);
		if (j->verdict != rows[i].verdict || !strstr(j->found, rows[i].found))
			fail_msg("%s: %s: %s (\"%s\") instead of %s (\"%s\")", j->word,
				 rows[i].why, verdict_text(j->verdict), j->found,
				 verdict_text(rows[i].verdict), rows[i].found);
		assert_string_equal(j->word, rows[i].promise.word);
		made_up_close(m);
	}
}

static void each_promise_is_tried_both_ways_and_unknown(void **state)
{
	(void)state;
	for (size_t w = 0; w < COUNT_OF(words); w++) {
		unsigned seen = 0;

		for (size_t i = 0; i < COUNT_OF(rows); i++)
			if (strcmp(rows[i].promise.word, words[w]) == 0)
				seen |= 1u << rows[i].verdict;
		if (seen != 7)
			fail_msg("%s: not each verdict has a row", words[w]);
	}
}

static void a_limit_stands_in_what_is_said(void **state)
{
	struct made_up *m = made_up_open();

	(void)state;
	m->scenario.promises[0] =
		(struct promise){ .word = "falls", LIMIT(7.5), .actor = "bots" };
	m->scenario.promises[1] = (struct promise){ .word = "served" };
	m->scenario.promises[2] = (struct promise){ .word = "log-budget" };
	m->scenario.promises_n = 3;
	result_judge(&m->result);
	assert_int_equal(m->result.judged_n, 3);
	assert_non_null(strstr(m->result.judged[0].says, "bots: "));
	assert_non_null(strstr(m->result.judged[0].says, "7.5 %"));
	assert_non_null(strstr(m->result.judged[1].says, "99 %"));
	assert_null(strchr(m->result.judged[2].says, '%'));
	made_up_close(m);
}

static void judging_again_says_the_same(void **state)
{
	struct made_up *m = made_up_open();

	(void)state;
	all_served(m);
	add_promise(m, "served");
	result_judge(&m->result);
	result_judge(&m->result);
	assert_int_equal(m->result.judged_n, 1);
	made_up_close(m);
}

static void a_run_without_a_tally_leaves_everything_open(void **state)
{
	struct made_up *m = made_up_open();

	(void)state;
	m->result.tally = NULL;
	m->result.complete = false;
	for (size_t i = 0; i < COUNT_OF(words); i++)
		add_promise(m, words[i]);
	result_judge(&m->result);
	for (size_t i = 0; i < COUNT_OF(words); i++)
		assert_int_equal(m->result.judged[i].verdict, VERDICT_UNKNOWN);
	made_up_close(m);
}

/* clang-format off */
static const struct check_row {
	const char *why;
	struct promise promise;
	bool about, honest;
	const char *wrong; /* is part of what is said; NULL: nothing is wrong */
} checks[] = {
	{ "a word alone", { .word = "alive" }, false, false, NULL },
	{ "a limit that may be", { .word = "served", LIMIT(98) }, false, false, NULL },
	{ "a limit that need not be", { .word = "served" }, false, false, NULL },
	{ "a limit that must be", { .word = "falls", LIMIT(5) }, false, false, NULL },
	{ "a word that is none", { .word = "unharmed" }, false, false, "unharmed is not known; there are served, no-breach, falls, refused-at-connect, alive, memory, log-budget, log-most, held, not-accepted" },
	{ "a limit too many", { .word = "alive", LIMIT(1) }, false, false, "takes no limit" },
	{ "a limit too few", { .word = "falls" }, false, false, "needs a limit, in per cent" },
	{ "of memory", { .word = "memory" }, false, false, "needs a limit, in KiB" },
	{ "of visits", { .word = "refused-at-connect" }, false, false, "needs a limit, in visits" },
	{ "below 0", { .word = "memory", LIMIT(-1) }, false, false, "0 or more" },
	{ "above 100 %", { .word = "held", LIMIT(101) }, false, false, "at most 100" },
	{ "above 100 visits", { .word = "refused-at-connect", LIMIT(101) }, false, false, NULL },
	{ "an honest actor served", { .word = "served" }, true, true, NULL },
	{ "an attacker served", { .word = "served" }, true, false, "somebody attacks" },
	{ "an honest actor falls", { .word = "falls", LIMIT(5) }, true, true, "somebody is honest" },
	{ "an attacker falls", { .word = "falls", LIMIT(5) }, true, false, NULL },
	{ "an actor alive", { .word = "alive" }, true, false, "about no actor" },
	{ "a breach of an honest actor", { .word = "no-breach" }, true, true, NULL },
};
/* clang-format on */

static void a_promise_must_be_one_that_can_be_judged(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(checks); i++) {
		const struct check_row *row = &checks[i];
		struct actor actor = { .name = "somebody", .honest = row->honest };
		struct err e = { "" };
		bool ok = promise_check(&row->promise, row->about ? &actor : NULL, &e);

		if (ok != !row->wrong || (!ok && !strstr(e.text, row->wrong)))
			fail_msg("%s: %s", row->why, ok ? "let through" : e.text);
	}
}

static void words_are_known_with_what_they_take(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(words); i++)
		assert_true(promise_known(words[i]));
	assert_false(promise_known("serve"));
	assert_false(promise_known("Served"));
	assert_int_equal(promise_takes("served"), PROMISE_MAY_TAKE);
	assert_int_equal(promise_takes("falls"), PROMISE_MUST_TAKE);
	assert_int_equal(promise_takes("alive"), PROMISE_TAKES_NOTHING);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_happened_decides),
		cmocka_unit_test(each_promise_is_tried_both_ways_and_unknown),
		cmocka_unit_test(a_limit_stands_in_what_is_said),
		cmocka_unit_test(judging_again_says_the_same),
		cmocka_unit_test(a_run_without_a_tally_leaves_everything_open),
		cmocka_unit_test(a_promise_must_be_one_that_can_be_judged),
		cmocka_unit_test(words_are_known_with_what_they_take),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
