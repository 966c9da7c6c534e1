#include "guard/diagnosis.h"

#include "tests/unit/expect.h"

#define DEEDS_MOST 6

/* What was seen, and what it must be. `names`: different recipients that were refused. */
struct labelled {
	enum diagnosis_kind kind;
	const char *who;
	struct {
		enum event event;
		uint32_t n;
	} seen[DEEDS_MOST];
	uint32_t names, connects, good;
	bool listed;
	double per_hour;
	uint32_t users; /* different ones that logged in */
	double hours;
};

/* clang-format off */
static const struct labelled cases[] = {
	/* too little */
	{ DIAGNOSIS_NOTHING, "never seen", { { 0, 0 } }, 0, 0, 0, false, 0, 0, 0 },
	{ DIAGNOSIS_NOTHING, "one connection", { { EV_NOTHING_SAID, 1 } }, 0, 1, 0, false, 0, 0, 0 },
	{ DIAGNOSIS_NOTHING, "a typing error", { { EV_UNKNOWN_USER, 1 } }, 1, 1, 0, false, 0, 0, 0 },
	{ DIAGNOSIS_NOTHING, "the same typing error, retried", { { EV_UNKNOWN_USER, 9 } }, 1, 9, 0, false, 0, 0, 0 },
	{ DIAGNOSIS_NOTHING, "a sender without a name", { { EV_NO_PTR, 1 }, { EV_HELO_NOT_FQDN, 1 } }, 0, 1, 0, false, 0, 0, 0 },
	{ DIAGNOSIS_NOTHING, "one lost connection", { { EV_LOST, 1 } }, 0, 1, 0, false, 0, 0, 0 },

	/* senders */
	{ DIAGNOSIS_CLEAN, "a first message", { { EV_RECIPIENT_OK, 1 }, { EV_MESSAGE_OK, 1 } }, 0, 1, 1, false, 0, 0, 0 },
	{ DIAGNOSIS_CLEAN, "a business partner", { { EV_RECIPIENT_OK, 300 }, { EV_MESSAGE_OK, 250 }, { EV_UNKNOWN_USER, 2 } }, 2, 240, 250, false, 0, 0, 0 },
	{ DIAGNOSIS_CLEAN, "a small office without PTR", { { EV_RECIPIENT_OK, 20 }, { EV_MESSAGE_OK, 18 }, { EV_NO_PTR, 1 }, { EV_HELO_SYNTAX, 1 } }, 0, 18, 18, false, 0, 0, 0 },
	{ DIAGNOSIS_CLEAN, "known from cold memory only", { { 0, 0 } }, 0, 100, 80, false, 0, 0, 0 },
	{ DIAGNOSIS_CLEAN, "a gateway, one infected", { { EV_RECIPIENT_OK, 5000 }, { EV_MESSAGE_OK, 4500 }, { EV_RELAY_DENIED, 40 } }, 40, 4300, 4500, false, 0, 0, 0 },
	{ DIAGNOSIS_CLEAN, "a sender that times out at times", { { EV_RECIPIENT_OK, 60 }, { EV_MESSAGE_OK, 50 }, { EV_TIMEOUT, 3 } }, 0, 55, 50, false, 0, 0, 0 },

	/* lists */
	{ DIAGNOSIS_LIST_SERVER, "a list, one in twenty gone", { { EV_RECIPIENT_OK, 9500 }, { EV_MESSAGE_OK, 480 }, { EV_UNKNOWN_USER, 500 } }, 120, 480, 480, false, 0, 0, 0 },
	{ DIAGNOSIS_LIST_SERVER, "a newsletter", { { EV_RECIPIENT_OK, 40 }, { EV_MESSAGE_OK, 40 }, { EV_UNKNOWN_USER, 10 } }, 10, 50, 40, false, 0, 0, 0 },
	{ DIAGNOSIS_LIST_SERVER, "an old list", { { EV_RECIPIENT_OK, 300 }, { EV_MESSAGE_OK, 30 }, { EV_UNKNOWN_USER, 60 } }, 60, 30, 30, false, 0, 0, 0 },
	{ DIAGNOSIS_LIST_SERVER, "a list with a clumsy program", { { EV_RECIPIENT_OK, 900 }, { EV_MESSAGE_OK, 50 }, { EV_UNKNOWN_USER, 45 }, { EV_TOO_MANY_RCPT, 5 } }, 45, 50, 50, false, 0, 0, 0 },

	/* harvesters */
	{ DIAGNOSIS_HARVESTER, "a dictionary", { { EV_UNKNOWN_USER, 214 } }, 214, 12, 0, false, 0, 0, 0 },
	{ DIAGNOSIS_HARVESTER, "a dictionary with hits", { { EV_UNKNOWN_USER, 81 }, { EV_RECIPIENT_OK, 19 } }, 81, 10, 0, false, 0, 0, 0 },
	{ DIAGNOSIS_HARVESTER, "one name a visit", { { EV_UNKNOWN_USER, 9 } }, 9, 9, 0, false, 0, 0, 0 },
	{ DIAGNOSIS_HARVESTER, "spam that guesses its recipients", { { EV_UNKNOWN_USER, 90 }, { EV_RECIPIENT_OK, 12 }, { EV_MESSAGE_OK, 4 } }, 88, 20, 4, true, 0, 0, 0 },
	{ DIAGNOSIS_HARVESTER, "VRFY", { { EV_VRFY, 40 } }, 0, 2, 0, false, 0, 0, 0 },
	{ DIAGNOSIS_HARVESTER, "null sender, many names each", { { EV_UNKNOWN_USER, 200 }, { EV_NULL_SENDER, 20 } }, 200, 20, 0, false, 0, 0, 0 },
	{ DIAGNOSIS_HARVESTER, "null sender, from a listed address", { { EV_UNKNOWN_USER, 40 }, { EV_NULL_SENDER, 40 } }, 40, 40, 0, true, 0, 0, 0 },
	{ DIAGNOSIS_HARVESTER, "until too many errors", { { EV_UNKNOWN_USER, 60 }, { EV_TOO_MANY_ERRORS, 3 }, { EV_LOST, 3 } }, 60, 3, 0, false, 0, 0, 0 },

	/* relay probers */
	{ DIAGNOSIS_RELAY_PROBER, "one attempt", { { EV_RELAY_DENIED, 1 } }, 1, 1, 0, false, 0, 0, 0 },
	{ DIAGNOSIS_RELAY_PROBER, "a relay bot's week", { { EV_RELAY_DENIED, 4 }, { EV_LOST, 4 }, { EV_CAME_AGAIN, 22 } }, 4, 26, 0, false, 0, 0, 0 },
	{ DIAGNOSIS_RELAY_PROBER, "all forms of addresses", { { EV_RELAY_DENIED, 17 }, { EV_BAD_ARGUMENT, 4 } }, 17, 1, 0, true, 0, 0, 0 },
	{ DIAGNOSIS_RELAY_PROBER, "with the same address each time", { { EV_RELAY_DENIED, 12 } }, 1, 12, 0, false, 0, 0, 0 },
	{ DIAGNOSIS_RELAY_PROBER, "and a name of ours", { { EV_RELAY_DENIED, 6 }, { EV_HELO_OURS, 2 } }, 6, 6, 0, false, 0, 0, 0 },

	/* scanners */
	{ DIAGNOSIS_SCANNER, "HTTP", { { EV_NOT_SMTP, 1 } }, 0, 1, 0, false, 0, 0, 0 },
	{ DIAGNOSIS_SCANNER, "commands of other servers", { { EV_UNKNOWN_VERB, 6 }, { EV_BAD_SEQUENCE, 2 } }, 0, 3, 0, false, 0, 0, 0 },
	{ DIAGNOSIS_SCANNER, "empty sessions", { { EV_NOTHING_SAID, 200 } }, 0, 210, 0, false, 0, 0, 0 },
	{ DIAGNOSIS_SCANNER, "STARTTLS injection", { { EV_TLS_PIPELINED, 1 } }, 0, 1, 0, false, 0, 0, 0 },
	{ DIAGNOSIS_SCANNER, "smuggling", { { EV_SMUGGLING, 9 }, { EV_BARE_LF, 4 } }, 0, 9, 0, false, 0, 0, 0 },
	{ DIAGNOSIS_SCANNER, "NULs and long lines", { { EV_NUL_BYTE, 3 }, { EV_LONG_LINE, 2 }, { EV_EIGHT_BIT, 1 } }, 0, 2, 0, false, 0, 0, 0 },
	{ DIAGNOSIS_SCANNER, "BDAT that lies", { { EV_BAD_CHUNK, 5 } }, 0, 5, 0, false, 0, 0, 0 },

	/* early talkers */
	{ DIAGNOSIS_EARLY_TALKER, "before the greeting", { { EV_EARLY_TALK, 1 } }, 0, 1, 0, false, 0, 0, 0 },
	{ DIAGNOSIS_EARLY_TALKER, "again and again", { { EV_EARLY_TALK, 4 }, { EV_CAME_AGAIN, 300 } }, 0, 304, 0, true, 0, 0, 0 },
	{ DIAGNOSIS_EARLY_TALKER, "pipelined before EHLO's answer", { { EV_PIPELINED_EARLY, 3 } }, 0, 3, 0, false, 0, 0, 0 },
	{ DIAGNOSIS_EARLY_TALKER, "with a name of ours", { { EV_HELO_OURS, 3 }, { EV_UNKNOWN_USER, 1 } }, 1, 3, 0, false, 0, 0, 0 },

	/* broken senders */
	{ DIAGNOSIS_BROKEN, "bare LF", { { EV_BARE_LF, 6 }, { EV_RECIPIENT_OK, 6 } }, 0, 6, 0, false, 0, 0, 0 },
	{ DIAGNOSIS_BROKEN, "commands out of order", { { EV_BAD_SEQUENCE, 12 }, { EV_RECIPIENT_OK, 4 }, { EV_MESSAGE_OK, 4 } }, 0, 12, 4, false, 0, 0, 0 },
	{ DIAGNOSIS_BROKEN, "arguments that are none", { { EV_BAD_ARGUMENT, 5 } }, 0, 5, 0, false, 0, 0, 0 },
	{ DIAGNOSIS_BROKEN, "messages that are too big", { { EV_TOO_BIG, 9 }, { EV_RECIPIENT_OK, 9 } }, 0, 9, 0, false, 0, 0, 0 },
	{ DIAGNOSIS_BROKEN, "a loop", { { EV_MAIL_LOOP, 4 }, { EV_RECIPIENT_OK, 4 } }, 0, 4, 0, false, 0, 0, 0 },

	/* backscatter */
	{ DIAGNOSIS_BACKSCATTER, "bounces of forged mail", { { EV_UNKNOWN_USER, 25 }, { EV_NULL_SENDER, 25 } }, 25, 25, 0, false, 0, 0, 0 },
	{ DIAGNOSIS_BACKSCATTER, "a few", { { EV_UNKNOWN_USER, 4 }, { EV_NULL_SENDER, 4 } }, 4, 4, 0, false, 0, 0, 0 },
	{ DIAGNOSIS_BACKSCATTER, "retried", { { EV_UNKNOWN_USER, 60 }, { EV_NULL_SENDER, 60 } }, 12, 60, 0, false, 0, 0, 0 },
	{ DIAGNOSIS_BACKSCATTER, "some of it to people who exist", { { EV_UNKNOWN_USER, 30 }, { EV_NULL_SENDER, 33 }, { EV_RECIPIENT_OK, 3 }, { EV_MESSAGE_OK, 3 } }, 30, 33, 3, false, 0, 0, 0 },

	/* guessers */
	{ DIAGNOSIS_GUESSER, "AUTH on the port of servers", { { EV_AUTH_NOT_OFFERED, 1 } }, 0, 1, 0, false, 0, 0, 0 },
	{ DIAGNOSIS_GUESSER, "a machine gun", { { EV_AUTH_NOT_OFFERED, 4 }, { EV_TOO_FAST, 3 }, { EV_LOST, 1 } }, 0, 223, 0, false, 0, 0, 0 },
	{ DIAGNOSIS_GUESSER, "and odd commands", { { EV_AUTH_NOT_OFFERED, 9 }, { EV_UNKNOWN_VERB, 2 }, { EV_BAD_SEQUENCE, 3 } }, 0, 9, 0, true, 0, 0, 0 },
	{ DIAGNOSIS_GUESSER, "passwords, one after the other", { { EV_AUTH_FAILED, 9 } }, 0, 3, 0, false, 0, 0, 0 },
	{ DIAGNOSIS_GUESSER, "many users", { { EV_AUTH_UNKNOWN, 12 }, { EV_AUTH_FAILED, 3 } }, 0, 9, 0, false, 0, 0, 0 },
	{ DIAGNOSIS_GUESSER, "A1", { { EV_AUTH_FAILED, 10 }, { EV_AUTH_LATER, 5000 }, { EV_TOO_MANY, 3 } }, 0, 60, 0, false, 0, 0, 0 },
	{ DIAGNOSIS_GUESSER, "a member of a campaign", { { EV_AUTH_TRAPPED, 1 } }, 0, 1, 0, false, 0, 0, 0 },

	/* those who look like guessers */
	{ DIAGNOSIS_STALE, "A2b", { { EV_AUTH_FAILED, 1 }, { EV_AUTH_REPEATED, 7199 } }, 0, 7200, 0, false, 60, 0, 0 },
	{ DIAGNOSIS_STALE, "three devices at home", { { EV_AUTH_FAILED, 3 }, { EV_AUTH_REPEATED, 40 } }, 0, 43, 0, false, 9, 0, 0 },
	{ DIAGNOSIS_STALE, "a telephone, since the morning", { { EV_AUTH_REPEATED, 200 }, { EV_LOST, 3 } }, 0, 203, 0, false, 12, 0, 0 },
	{ DIAGNOSIS_RUNAWAY, "a script in a loop", { { EV_AUTH_OK, 4000 }, { EV_TOO_FAST, 20 } }, 0, 4020, 4000, false, 2000, 0, 0 },
	{ DIAGNOSIS_RUNAWAY, "A2", { { EV_AUTH_OK, 180000 } }, 0, 180000, 180000, false, 180000, 0, 0 },
	{ DIAGNOSIS_RUNAWAY, "with an old password", { { EV_AUTH_FAILED, 1 }, { EV_AUTH_REPEATED, 40000 } }, 0, 40000, 0, false, 36000, 0, 0 },
	{ DIAGNOSIS_CLEAN, "an office that mistypes", { { EV_AUTH_OK, 900 }, { EV_AUTH_FAILED, 30 }, { EV_AUTH_UNKNOWN, 4 } }, 0, 950, 900, false, 20, 0, 0 },
	{ DIAGNOSIS_CLEAN, "somebody logs in, and sends", { { EV_AUTH_OK, 3 }, { EV_RECIPIENT_OK, 3 }, { EV_MESSAGE_OK, 3 } }, 0, 3, 8, false, 0, 0, 0 },

	{ DIAGNOSIS_CLEAN, "a telephone on a train", { { EV_AUTH_OK, 60 }, { EV_AUTH_ABORTED, 20 } }, 0, 80, 60, false, 8, 1, 10 },
	{ DIAGNOSIS_NOTHING, "a telephone that never gets in", { { EV_AUTH_ABORTED, 4 } }, 0, 4, 0, false, 0, 0, 0 },

	{ DIAGNOSIS_RUNAWAY, "A2, refused over the limit", { { EV_AUTH_OK, 20 }, { EV_LOGIN_OVER, 9000 } }, 0, 9020, 20, false, 9000, 1, 0.1 },
	{ DIAGNOSIS_RUNAWAY, "and two colleagues at its address", { { EV_AUTH_OK, 40 }, { EV_LOGIN_OVER, 90000 } }, 0, 90040, 40, false, 40000, 3, 2 },

	/* several people behind one address */
	{ DIAGNOSIS_SEVERAL, "an office", { { EV_AUTH_OK, 300 } }, 0, 320, 300, false, 60, 25, 9 },
	{ DIAGNOSIS_SEVERAL, "a carrier's gateway, one with an old password", { { EV_AUTH_OK, 900 }, { EV_AUTH_FAILED, 30 }, { EV_AUTH_REPEATED, 400 } }, 0, 1400, 900, false, 200, 180, 24 },
	{ DIAGNOSIS_SEVERAL, "webmail in the morning", { { EV_AUTH_OK, 8000 }, { EV_AUTH_FAILED, 60 } }, 0, 8100, 8000, false, 5000, 900, 2 },
	{ DIAGNOSIS_SEVERAL, "a family, one over the limit", { { EV_AUTH_OK, 60 }, { EV_LOGIN_OVER, 9 } }, 0, 70, 60, false, 8, 4, 20 },
	{ DIAGNOSIS_GUESSER, "one of an office has caught something", { { EV_AUTH_OK, 60 }, { EV_AUTH_FAILED, 900 }, { EV_AUTH_UNKNOWN, 300 } }, 0, 1300, 60, false, 300, 12, 24 },

	/* monitors */
	{ DIAGNOSIS_MONITOR, "every ten seconds", { { EV_NOTHING_SAID, 8640 } }, 0, 8640, 0, false, 352, 0, 24 },
	{ DIAGNOSIS_MONITOR, "every minute, since a day", { { EV_NOTHING_SAID, 1440 } }, 0, 1440, 0, false, 59, 0, 24 },
	{ DIAGNOSIS_MONITOR, "one reply was too late", { { EV_NOTHING_SAID, 700 }, { EV_TIMEOUT, 2 } }, 0, 702, 0, false, 30, 0, 24 },
	{ DIAGNOSIS_SCANNER, "in bursts, no monitor", { { EV_NOTHING_SAID, 400 } }, 0, 410, 0, false, 300, 0, 24 },

	/* flooders */
	{ DIAGNOSIS_FLOODER, "connections", { { EV_TOO_FAST, 90 } }, 0, 130, 0, false, 0, 0, 0 },
	{ DIAGNOSIS_FLOODER, "held sessions", { { EV_TIMEOUT, 50 }, { EV_TOO_MANY, 40 } }, 0, 90, 0, false, 0, 0, 0 },
	{ DIAGNOSIS_FLOODER, "logins, and hung up before the answer", { { EV_AUTH_ABORTED, 60 } }, 0, 60, 0, false, 0, 0, 0 },
	{ DIAGNOSIS_FLOODER, "slow bodies", { { EV_TOO_SLOW, 12 }, { EV_RECIPIENT_OK, 12 } }, 0, 12, 0, false, 0, 0, 0 },
	{ DIAGNOSIS_FLOODER, "handshakes", { { EV_HANDSHAKE_OVER, 300 }, { EV_TOO_FAST, 20 }, { EV_TLS_FAILED, 40 } }, 0, 400, 0, false, 0, 0, 0 },
};
/* clang-format on */

static void fill(const struct labelled *c, struct evidence *e)
{
	*e = (struct evidence){ .connects = c->connects,
				.good = c->good,
				.listed = c->listed,
				.per_hour = c->per_hour,
				.hours = c->hours };
	for (size_t i = 0; i < DEEDS_MOST; i++)
		if (c->seen[i].n)
			e->seen[c->seen[i].event] = c->seen[i].n;
	e->null_senders = e->seen[EV_NULL_SENDER];
	e->variety[VARIETY_RECIPIENTS] = c->names;
	e->exact[VARIETY_RECIPIENTS] = c->names <= DISTINCT_EXACT;
	e->variety[VARIETY_SENDERS] = c->users;
}

static void each_labelled_case_is_what_its_label_says(void **unused)
{
	unsigned wrong = 0, of_kind[DIAGNOSIS_COUNT] = { 0 };

	(void)unused;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct evidence e;
		struct diagnosis d;

		fill(&cases[i], &e);
		diagnose(&e, &d);
		of_kind[cases[i].kind]++;
		if (d.kind == cases[i].kind)
			continue;
		wrong++;
		print_error("%s: %s instead of %s (%s)\n", cases[i].who,
			    diagnosis_table[d.kind].word,
			    diagnosis_table[cases[i].kind].word, d.why);
	}
	expect_number("wrong ones", wrong, 0);
	for (enum diagnosis_kind k = 0; k < DIAGNOSIS_COUNT; k++)
		expect_true(diagnosis_table[k].word, of_kind[k] >= 3);
}

static void more_of_the_same_is_more_sure(void **unused)
{
	(void)unused;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct evidence e;
		struct diagnosis one, more;

		if (cases[i].kind == DIAGNOSIS_NOTHING)
			continue;
		fill(&cases[i], &e);
		diagnose(&e, &one);
		for (enum event v = 0; v < EVENT_COUNT; v++)
			e.seen[v] *= 2;
		e.null_senders *= 2;
		e.good *= 2;
		e.connects *= 2;
		e.per_hour *= 2;
		e.variety[VARIETY_RECIPIENTS] *= 2;
		diagnose(&e, &more);
		expect_number(cases[i].who, more.kind, one.kind);
		expect_true(cases[i].who, more.confidence >= one.confidence);
	}
}

static void the_evidence_is_told_to_people(void **unused)
{
	static const struct {
		enum diagnosis_kind kind;
		const char *who, *why;
	} rows[] = {
		{ DIAGNOSIS_HARVESTER, "a dictionary",
		  "214 unknown recipients (about 214 different), no message accepted" },
		{ DIAGNOSIS_RELAY_PROBER, "one attempt",
		  "1 recipient of a foreign domain, no message accepted" },
		{ DIAGNOSIS_EARLY_TALKER, "before the greeting",
		  "once early-talk, no message accepted" },
		{ DIAGNOSIS_BACKSCATTER, "a few",
		  "4 null senders, 4 unknown recipients (4 different)" },
		{ DIAGNOSIS_LIST_SERVER, "a newsletter",
		  "40 messages accepted, 10 unknown recipients (about 10 different), 20% of all" },
		{ DIAGNOSIS_RUNAWAY, "a script in a loop",
		  "4000 logins, 2000 connections per hour" },
		{ DIAGNOSIS_GUESSER, "and odd commands",
		  "9 times auth-not-offered, no message accepted, on a DNS blocklist" },
	};

	(void)unused;
	for (size_t i = 0; i < COUNT_OF(rows); i++)
		for (size_t c = 0; c < COUNT_OF(cases); c++) {
			struct evidence e;
			struct diagnosis d;

			if (strcmp(cases[c].who, rows[i].who) != 0)
				continue;
			fill(&cases[c], &e);
			diagnose(&e, &d);
			expect_number(rows[i].who, d.kind, rows[i].kind);
			expect_span(rows[i].who, span_of(d.why, d.why_n),
				    span_str(rows[i].why));
		}
}

static void any_evidence_has_an_answer_that_fits(void **unused)
{
	uint64_t seed = 5;

	(void)unused;
	for (size_t round = 0; round < 20000; round++) {
		struct evidence e;
		struct diagnosis d, again;

		for (size_t i = 0; i < sizeof(e) / 8; i++) {
			uint64_t n = dice(&seed);

			memcpy((uint8_t *)&e + 8 * i, &n, 8);
		}
		for (enum event v = 0; v < EVENT_COUNT; v++)
			e.seen[v] = dice(&seed) & 3 ? 0
						    : UINT32_MAX >> dice_below(&seed, 32);
		e.no_ptr = e.listed = e.behind = round & 1;
		for (enum guard_variety v = 0; v < VARIETY_COUNT; v++)
			e.exact[v] = round & 1;
		e.hours = (double)dice_below(&seed, 100000);
		e.per_hour = 1;
		diagnose(&e, &d);
		diagnose(&e, &again);
		expect_true("a kind", d.kind < DIAGNOSIS_COUNT);
		expect_true("of a hundred", d.confidence <= 100);
		expect_true("it fits", d.why_n < sizeof(d.why) && d.why[d.why_n] == 0);
		expect_true("the same again",
			    d.kind == again.kind && strcmp(d.why, again.why) == 0);
	}
}

static void a_rows_evidence_is_what_it_holds(void **unused)
{
	struct guard_hot row = { .connects = 7,
				 .good = 3,
				 .flags = HOT_LISTED | HOT_BEHIND };
	struct guard_detail did = { 0 };
	ms_t now = MS_DAY;
	struct evidence e;

	(void)unused;
	row.first = memory_second(now - 2 * MS_HOUR);
	row.last = memory_second(now);
	row.per_hour = 4;
	did.seen[EV_NULL_SENDER] = 5;
	for (uint64_t i = 1; i <= 3; i++)
		(void)distinct_add(&did.variety[VARIETY_RECIPIENTS], i << 20);
	evidence_of(&row, &did, now, &e);
	expect_number("connects", e.connects, 7);
	expect_number("good", e.good, 3);
	expect_number("null senders", e.null_senders, 5);
	expect_number("different", e.variety[VARIETY_RECIPIENTS], 3);
	expect_true("exactly", e.exact[VARIETY_RECIPIENTS]);
	expect_number("hours", (int64_t)(e.hours * 10 + 0.5), 20);
	expect_number("an hour", (int64_t)(e.per_hour + 0.5), 4);
	expect_true("flags", e.listed && e.behind && !e.no_ptr);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_labelled_case_is_what_its_label_says),
		cmocka_unit_test(more_of_the_same_is_more_sure),
		cmocka_unit_test(the_evidence_is_told_to_people),
		cmocka_unit_test(any_evidence_has_an_answer_that_fits),
		cmocka_unit_test(a_rows_evidence_is_what_it_holds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
