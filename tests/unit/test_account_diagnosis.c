#include "base/attr.h"
#include "expect.h"
#include "guard/account_diagnosis.h"

#define PLACES 20

struct labelled {
	enum account_kind kind;
	const char *who;
	struct account_state st;
};

/* clang-format off */
static const struct labelled cases[] = {
	{ ACCOUNT_NOTHING, "never seen", { 0 } },
	{ ACCOUNT_NOTHING, "one typing error", { .failures = 1, .secrets_wrong = 1 } },
	{ ACCOUNT_NOTHING, "four of them, at home", { .failures = 4, .secrets_wrong = 4, .places_wrong = 1 } },

	{ ACCOUNT_CLEAN, "a first login", { .successes = 1, .devices = 1, .places_today = 1 } },
	{ ACCOUNT_CLEAN, "years", { .successes = 20000, .failures = 12, .secrets_wrong = 2, .devices = 5, .places_today = 2 } },
	{ ACCOUNT_CLEAN, "five passwords, then the right one", { .successes = 40, .failures = 5, .secrets_wrong = 3, .places_wrong = 1, .devices = 2 } },
	{ ACCOUNT_CLEAN, "webmail and a telephone", { .successes = 900, .failures = 30, .secrets_wrong = 4, .places_wrong = 2, .devices = 3, .per_hour = 40, .places_today = 6 } },
	{ ACCOUNT_CLEAN, "a traveller", { .successes = 30, .devices = 6, .new_devices = 4, .places_today = 5 } },

	{ ACCOUNT_STALE, "A2b", { .successes = 12, .failures = 21600, .secrets_wrong = 1, .devices = 4, .stale = true, .per_hour = 180 } },
	{ ACCOUNT_STALE, "a telephone on its way", { .successes = 5, .failures = 900, .secrets_wrong = 1, .places_wrong = 1, .stale = true, .per_hour = 60 } },
	{ ACCOUNT_STALE, "not known as a device", { .successes = 0, .failures = 800, .secrets_wrong = 1, .places_wrong = 1, .per_hour = 60 } },
	{ ACCOUNT_STALE, "and two typing errors", { .successes = 9, .failures = 400, .secrets_wrong = 3, .devices = 2, .stale = true } },

	{ ACCOUNT_GUESSED, "A1, one address", { .failures = 3000, .secrets_wrong = 2500, .places_wrong = 1, .per_hour = 3000 } },
	{ ACCOUNT_GUESSED, "its owner is there as well", { .successes = 90, .failures = 300, .secrets_wrong = 250, .places_wrong = 1, .devices = 2 } },
	{ ACCOUNT_GUESSED, "A7", { .successes = 80, .failures = 50, .secrets_wrong = 45, .places_wrong = 44, .guarded = true, .campaign = 3, .devices = 2 } },
	{ ACCOUNT_GUESSED, "A7, at its start", { .successes = 8, .failures = 12, .secrets_wrong = 12, .places_wrong = 9, .devices = 2 } },
	{ ACCOUNT_GUESSED, "a campaign, and an old password beside it", { .successes = 8, .failures = 9000, .secrets_wrong = 200, .places_wrong = 150, .guarded = true, .stale = true } },

	{ ACCOUNT_SPRAYED, "one of many", { .successes = 10, .failures = 1, .secrets_wrong = 1, .places_wrong = 1, .sprayed = true } },
	{ ACCOUNT_SPRAYED, "three passwords of a list", { .failures = 3, .secrets_wrong = 3, .places_wrong = 3, .sprayed = true } },

	{ ACCOUNT_RUNAWAY, "A2", { .successes = 180000, .devices = 1, .per_hour = 180000, .places_today = 1 } },
	{ ACCOUNT_RUNAWAY, "a script in a loop", { .successes = 4000, .devices = 2, .per_hour = 2000, .places_today = 1 } },
	{ ACCOUNT_RUNAWAY, "with an old password", { .failures = 40000, .secrets_wrong = 1, .stale = true, .devices = 1, .per_hour = 36000 } },

	{ ACCOUNT_RUNAWAY, "A2, ten seconds after it began", { .successes = 20, .over = 80, .devices = 1, .per_hour = 100, .places_today = 1, .run = { .kind = STORM_OVER, .count = 80, .lasted = 9, .seconds = 4, .clients = 1, .open = 20 } } },
	{ ACCOUNT_RUNAWAY, "A2, with one connection, held back each time", { .successes = 20, .over = 60, .devices = 1, .per_hour = 80, .places_today = 1, .run = { .kind = STORM_OVER, .count = 60, .lasted = 900, .seconds = 60, .clients = 1, .open = 20 } } },
	{ ACCOUNT_RUNAWAY, "A2, at full speed", { .successes = 20, .over = 90000, .devices = 1, .per_hour = 90020, .places_today = 1, .run = { .kind = STORM_OVER, .count = 90000, .lasted = 10, .seconds = 11, .clients = 1, .open = 20 } } },
	{ ACCOUNT_RUNAWAY, "the same wrong password, a hundred times a second", { .successes = 9, .failures = 1000, .secrets_wrong = 1, .devices = 1, .per_hour = 1000, .run = { .kind = STORM_SAME, .count = 1000, .lasted = 10, .seconds = 11, .clients = 1 } } },
	{ ACCOUNT_RUNAWAY, "A2, beside a device with an old password", { .successes = 20, .over = 80, .failures = 3000, .secrets_wrong = 1, .devices = 1, .per_hour = 150, .stale = true, .places_today = 1, .run = { .kind = STORM_OVER, .count = 80, .lasted = 9, .seconds = 4, .clients = 1, .open = 20 } } },
	{ ACCOUNT_RUNAWAY, "one session too many each minute, by the clock", { .successes = 20, .over = 40, .devices = 1, .per_hour = 60, .places_today = 1, .run = { .kind = STORM_OVER, .count = 40, .lasted = 2340, .seconds = 40, .clients = 1, .even = 37, .open = 20 } } },
	{ ACCOUNT_NOTHING, "as often, by hand", { .successes = 20, .over = 40, .devices = 1, .per_hour = 60, .places_today = 1, .run = { .kind = STORM_OVER, .count = 40, .lasted = 2340, .seconds = 40, .clients = 1, .even = 6, .open = 20 } } },
	{ ACCOUNT_SEVERAL, "three programs, each by its clock", { .successes = 20, .over = 120, .devices = 3, .per_hour = 180, .places_today = 1, .run = { .kind = STORM_OVER, .count = 120, .lasted = 2340, .seconds = 120, .clients = 3, .even = 118, .open = 20 } } },
	{ ACCOUNT_STALE, "A2b, a minute in half a second", { .successes = 3, .failures = 180, .secrets_wrong = 1, .devices = 2, .per_hour = 183, .run = { .kind = STORM_SAME, .count = 60, .lasted = 30, .seconds = 31, .clients = 1 } } },
	{ ACCOUNT_STALE, "three devices at home, every minute", { .successes = 12, .failures = 9000, .secrets_wrong = 1, .devices = 4, .stale = true, .per_hour = 180, .run = { .kind = STORM_SAME, .count = 9000, .lasted = 180000, .seconds = 9000, .clients = 2 } } },

	{ ACCOUNT_SEVERAL, "info@, read by an office", { .successes = 200, .over = 90, .devices = 12, .per_hour = 120, .places_today = 1, .run = { .kind = STORM_OVER, .count = 90, .lasted = 1800, .seconds = 80, .clients = 3, .open = 20 } } },
	{ ACCOUNT_SEVERAL, "a class that begins at nine", { .successes = 20, .over = 60, .devices = 9, .per_hour = 80, .places_today = 1, .run = { .kind = STORM_OVER, .count = 60, .lasted = 90, .seconds = 50, .clients = 3, .open = 20 } } },
	{ ACCOUNT_RUNAWAY, "three programs that nobody could be so fast with", { .successes = 20, .over = 6000, .devices = 3, .per_hour = 6020, .places_today = 1, .run = { .kind = STORM_OVER, .count = 6000, .lasted = 60, .seconds = 61, .clients = 3, .open = 20 } } },
	{ ACCOUNT_SEVERAL, "the same, with the patience of programs", { .successes = 100, .over = 1200, .devices = 9, .per_hour = 300, .places_today = 1, .run = { .kind = STORM_OVER, .count = 1200, .lasted = 14400, .seconds = 1100, .clients = 3, .open = 20 } } },
	{ ACCOUNT_CLEAN, "a mail program that wants one more at times", { .successes = 400, .over = 30, .devices = 2, .per_hour = 20, .places_today = 1, .run = { .kind = STORM_OVER, .count = 6, .lasted = 300, .seconds = 6, .clients = 1, .open = 20 } } },

	{ ACCOUNT_THIEF, "A11", { .successes = 7531, .devices = 342, .new_devices = 60, .places_today = 57, .held = true, .per_hour = 90 } },
	{ ACCOUNT_THIEF, "A11, after a guess that was right", { .successes = 200, .failures = 90, .secrets_wrong = 80, .places_wrong = 3, .devices = 30, .new_devices = 28, .places_today = 26, .held = true } },
	{ ACCOUNT_THIEF, "on its way there", { .successes = 20, .devices = 18, .new_devices = 17, .places_today = 16 } },
};
/* clang-format on */

static void every_labelled_case_is_what_it_is_called(void **unused)
{
	(void)unused;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct account_diagnosis d;

		account_diagnose(&cases[i].st, PLACES, &d);
		if (d.kind != cases[i].kind)
			fail_msg("%s: %s (%u) instead of %s: %s", cases[i].who,
				 account_kind_table[d.kind].word, d.confidence,
				 account_kind_table[cases[i].kind].word, d.why);
		expect_true(cases[i].who, d.kind == ACCOUNT_NOTHING || d.confidence >= 45);
	}
}

static void the_answer_is_one_sentence_with_the_clients_own_name(void **unused)
{
	struct account_state st = {
		.successes = 20,
		.over = 412,
		.run = { .kind = STORM_OVER,
			 .count = 412,
			 .lasted = 8,
			 .seconds = 9,
			 .clients = 1,
			 .open = 20,
			 .from = addr_v4(192, 0, 2, 7),
			 .name = "Thunderbird 128.3",
			 .name_n = 17 },
	};
	uint8_t mem[400];
	struct buf b;

	(void)unused;
	buf_init(&b, mem, sizeof(mem));
	account_sentence(&st, ACCOUNT_RUNAWAY, &b);
	expect_span("with a name", buf_span(&b),
		    SPAN("'Thunderbird 128.3' at 192.0.2.7 is a client that runs away: "
			 "it logged in with the right password 412 times in 9 s (45 a "
			 "second) although 20 sessions of it are open, and was refused "
			 "each time."));
	st.run.kind = STORM_SAME;
	buf_reset(&b);
	account_sentence(&st, ACCOUNT_STALE, &b);
	expect_span("an old password", buf_span(&b),
		    SPAN("'Thunderbird 128.3' at 192.0.2.7 has an old password, and has "
			 "given it 412 times in 9 s."));
	st.run.name_n = 0;
	buf_reset(&b);
	account_sentence(&st, ACCOUNT_RUNAWAY, &b);
	expect_span("without one", buf_span(&b),
		    SPAN("A client without a name at 192.0.2.7 is a client that runs away: "
			 "it gave the same wrong password 412 times in 9 s (45 a "
			 "second)."));
}

static void the_reasons_are_sentences_for_people(void **unused)
{
	struct account_state st = { .secrets_wrong = 45,
				    .places_wrong = 44,
				    .failures = 50,
				    .successes = 1,
				    .campaign = 3 };
	struct account_diagnosis d;

	(void)unused;
	account_diagnose(&st, PLACES, &d);
	assert_string_equal(d.why, "45 different wrong passwords from 44 networks within a "
				   "week, 50 failures, 1 login, campaign 3");
}

/* Whatever a broken memory says. */
static void any_evidence_has_an_answer(void **unused)
{
	uint64_t dices = 5;

	(void)unused;
	for (int i = 0; i < 100000; i++) {
		struct account_diagnosis d;
		struct account_state st = {
			.guarded = dice(&dices) % 2,
			.stale = dice(&dices) % 2,
			.sprayed = dice(&dices) % 2,
			.held = dice(&dices) % 2,
			.places_wrong = (uint32_t)dice(&dices) >> dice_below(&dices, 32),
			.secrets_wrong = (uint32_t)dice(&dices) >> dice_below(&dices, 32),
			.failures = (uint32_t)dice(&dices) >> dice_below(&dices, 32),
			.successes = (uint32_t)dice(&dices) >> dice_below(&dices, 32),
			.per_hour = (uint32_t)dice(&dices) >> dice_below(&dices, 32),
			.devices = (uint32_t)dice(&dices) >> dice_below(&dices, 32),
			.new_devices = (uint32_t)dice(&dices) >> dice_below(&dices, 32),
			.places_today = (uint32_t)dice(&dices) >> dice_below(&dices, 32),
			.campaign = (uint32_t)dice(&dices),
			.over = (uint32_t)dice(&dices) >> dice_below(&dices, 32),
			.run = { .kind = dice(&dices) % STORM_KINDS,
				 .count = (uint32_t)dice(&dices) >> dice_below(&dices, 32),
				 .lasted = (uint32_t)dice(&dices) >> dice_below(&dices, 32),
				 .clients = (uint32_t)dice_below(&dices, 5),
				 .name_n = (uint8_t)dice_below(&dices, CLIENT_NAME_MAX + 1),
				 .hello_n = (uint8_t)dice_below(&dices, HELLO_MAX + 1) },
		};
		uint8_t mem[400];
		struct buf says;

		account_diagnose(&st, (int64_t)dice_below(&dices, 100), &d);
		assert_in_range(d.kind, 0, ACCOUNT_KINDS - 1);
		assert_in_range(d.confidence, 0, 99);
		assert_int_equal(strlen(d.why), d.why_n);
		buf_init(&says, mem, sizeof(mem));
		account_sentence(&st, d.kind, &says);
		assert_false(says.full);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_labelled_case_is_what_it_is_called),
		cmocka_unit_test(the_answer_is_one_sentence_with_the_clients_own_name),
		cmocka_unit_test(the_reasons_are_sentences_for_people),
		cmocka_unit_test(any_evidence_has_an_answer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
