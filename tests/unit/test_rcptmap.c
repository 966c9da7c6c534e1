#include "expect.h"

#include <string.h>

#include "base/rcptmap.h"

static const uint64_t key[2] = { 1, 2 };

struct entry {
	const char *address;
	unsigned flags;
};

/* clang-format off */
static const struct entry entries[] = {
	{ "@example.org",          RCPT_DOMAIN },
	{ "alice@example.org",     RCPT_EXISTS },
	{ "bob@example.org",       RCPT_EXISTS | RCPT_FULL },
	{ "Carol+List@example.org", RCPT_EXISTS },
	{ "@catch.example",        RCPT_DOMAIN | RCPT_ANY },
	{ "full@catch.example",    RCPT_EXISTS | RCPT_FULL },
	{ "@ask.example",          RCPT_DOMAIN | RCPT_ASK },
	{ "known@ask.example",     RCPT_EXISTS },
};

static const struct {
	const char *why, *address;
	enum rcpt_answer answer;
} asked[] = {
	{ "an address",                "alice@example.org",      RCPT_IS_KNOWN },
	{ "in another case",           "ALICE@Example.ORG",      RCPT_IS_KNOWN },
	{ "with a detail",             "alice+shop@example.org", RCPT_IS_KNOWN },
	{ "with two details",          "alice+a+b@example.org",  RCPT_IS_KNOWN },
	{ "with an empty detail",      "alice+@example.org",     RCPT_IS_KNOWN },
	{ "with the other separator",  "alice-x@example.org",    RCPT_IS_KNOWN },
	{ "only a detail",             "+x@example.org",         RCPT_IS_UNKNOWN },
	{ "over quota",                "bob@example.org",        RCPT_IS_FULL },
	{ "over quota with a detail",  "bob+x@example.org",      RCPT_IS_FULL },
	{ "the whole address first",   "carol+list@example.org", RCPT_IS_KNOWN },
	{ "another detail of it",      "carol+x@example.org",    RCPT_IS_UNKNOWN },
	{ "nobody",                    "mallory@example.org",    RCPT_IS_UNKNOWN },
	{ "nobody, with a detail",     "mallory+x@example.org",  RCPT_IS_UNKNOWN },
	{ "not a domain of ours",      "alice@example.net",      RCPT_IS_FOREIGN },
	{ "below a domain of ours",    "alice@a.example.org",    RCPT_IS_FOREIGN },
	{ "the end of a domain",       "alice@ample.org",        RCPT_IS_FOREIGN },
	{ "a catch-all",               "anybody@catch.example",  RCPT_IS_KNOWN },
	{ "over quota in a catch-all", "full@catch.example",     RCPT_IS_FULL },
	{ "a domain that asks",        "anybody@ask.example",    RCPT_IS_ASK },
	{ "known without asking",      "known@ask.example",      RCPT_IS_KNOWN },
	{ "a domain is no address",    "@example.org",           RCPT_IS_UNKNOWN },
	{ "no domain",                 "alice",                  RCPT_IS_UNKNOWN },
	{ "nothing",                   "",                       RCPT_IS_UNKNOWN },
	{ "made for a bounce (SRS)",   "SRS0=HHHH=TT=a.example=b@example.org", RCPT_IS_ASK },
	{ "made by others before",     "srs1=HHHH=a.example==x@example.org", RCPT_IS_ASK },
	{ "with another separator",    "SRS0+HHHH=TT=a.example=b@example.org", RCPT_IS_ASK },
	{ "made for a bounce (BATV)",  "prvs=0123abcdef=alice@example.org", RCPT_IS_ASK },
	{ "made, for a catch-all",     "SRS0=HHHH=TT=a.example=b@catch.example", RCPT_IS_ASK },
	{ "made by somebody else",     "SRS0=HHHH=TT=a.example=b@example.net", RCPT_IS_FOREIGN },
	{ "only similar",              "srs0x@example.org",      RCPT_IS_UNKNOWN },
	{ "two domains: the last one", "a@example.net@example.org", RCPT_IS_UNKNOWN },
	{ "two domains, ours first",   "alice@example.org@example.net", RCPT_IS_FOREIGN },
};
/* clang-format on */

static void *make(const struct entry *e, size_t count, size_t *n)
{
	void *mem;

	*n = rcptmap_size(count);
	mem = calloc(1, *n);
	assert_non_null(mem);
	rcptmap_init(mem, *n, key, 1, SPAN("+-"));
	for (size_t i = 0; i < count; i++)
		assert_true(rcptmap_put(mem, *n, span_str(e[i].address), e[i].flags));
	assert_true(rcptmap_ok(mem, *n));
	return mem;
}

static void a_recipient_is_looked_up_from_whole_to_catch_all(void **unused)
{
	size_t n;
	void *mem = make(entries, COUNT_OF(entries), &n);

	(void)unused;
	for (size_t i = 0; i < COUNT_OF(asked); i++)
		expect_number(asked[i].why,
			      rcptmap_look_up(mem, n, span_str(asked[i].address)),
			      asked[i].answer);
	free(mem);
}

static void full_is_set_and_cleared_in_place(void **unused)
{
	size_t n;
	void *mem = make(entries, COUNT_OF(entries), &n);

	(void)unused;
	rcptmap_mark_full(mem, n, SPAN("alice@example.org"), true);
	rcptmap_mark_full(mem, n, SPAN("bob@example.org"), false);
	rcptmap_mark_full(mem, n, SPAN("mallory@example.org"), true);
	expect_number("alice", rcptmap_look_up(mem, n, SPAN("alice@example.org")),
		      RCPT_IS_FULL);
	expect_number("bob", rcptmap_look_up(mem, n, SPAN("bob@example.org")),
		      RCPT_IS_KNOWN);
	expect_number("nobody", rcptmap_look_up(mem, n, SPAN("mallory@example.org")),
		      RCPT_IS_UNKNOWN);
	free(mem);
}

static void a_stale_map_says_so_and_still_answers(void **unused)
{
	size_t n;
	void *mem = make(entries, COUNT_OF(entries), &n);

	(void)unused;
	expect_false("new", rcptmap_is_stale(mem));
	rcptmap_mark_stale(mem);
	expect_true("stale", rcptmap_is_stale(mem));
	assert_true(rcptmap_ok(mem, n));
	expect_number("alice", rcptmap_look_up(mem, n, SPAN("alice@example.org")),
		      RCPT_IS_KNOWN);
	free(mem);
}

static void a_full_map_says_so_and_still_answers(void **unused)
{
	size_t n = rcptmap_size(0), put = 0;
	void *mem = calloc(1, n);

	(void)unused;
	assert_non_null(mem);
	rcptmap_init(mem, n, key, 1, SPAN(""));
	for (int i = 0; i < 100; i++) {
		BUF(address, 40);

		buf_fmt(&address, "user%d@example.org", i);
		put += rcptmap_put(mem, n, buf_span(&address), RCPT_EXISTS);
	}
	assert_int_equal(put, 16);
	expect_number("nobody", rcptmap_look_up(mem, n, SPAN("x@example.net")),
		      RCPT_IS_FOREIGN);
	free(mem);
}

static void a_map_that_is_not_whole_is_refused(void **unused)
{
	size_t n;
	void *mem = make(entries, COUNT_OF(entries), &n);
	struct rcptmap_head *head = mem;

	(void)unused;
	expect_false("short", rcptmap_ok(mem, n - 1));
	expect_false("half", rcptmap_ok(mem, sizeof(*head) + (n - sizeof(*head)) / 2));
	expect_false("without a head", rcptmap_ok(mem, 8));
	head->slots *= 2;
	expect_false("claims more slots", rcptmap_ok(mem, n));
	head->slots /= 2;
	head->magic++;
	expect_false("of another kind", rcptmap_ok(mem, n));
	free(mem);
}

static void a_lying_head_does_not_lead_outside(void **unused)
{
	size_t n;
	void *mem = make(entries, COUNT_OF(entries), &n);
	struct rcptmap_head *head = mem;

	(void)unused;
	head->slots = UINT32_MAX;
	memset(head->detail, '+', sizeof(head->detail));
	expect_number("still", rcptmap_look_up(mem, n, SPAN("alice+x@example.org")),
		      RCPT_IS_KNOWN);
	free(mem);
}

/* The naive model: a list, searched from its start. */
struct model {
	char address[400][40];
	unsigned flags[400];
	size_t count;
};

static unsigned *model_find(struct model *m, const char *address)
{
	for (size_t i = 0; i < m->count; i++)
		if (span_eq_nocase(span_str(m->address[i]), span_str(address)))
			return &m->flags[i];
	return NULL;
}

static void model_put(struct model *m, const char *address, unsigned flags)
{
	unsigned *f = model_find(m, address);

	if (f) {
		*f |= flags;
		return;
	}
	snprintf(m->address[m->count], sizeof(m->address[0]), "%s", address);
	m->flags[m->count++] = flags;
}

static unsigned model_flags(struct model *m, const char *address)
{
	unsigned *f = model_find(m, address);

	return f ? *f : 0;
}

static enum rcpt_answer model_look_up(struct model *m, const char *address)
{
	const char *at = strchr(address, '@'), *plus = strchr(address + 1, '+');
	unsigned flags = model_flags(m, address), ours = model_flags(m, at);
	char plain[80];

	if (!(flags & RCPT_EXISTS) && plus) {
		snprintf(plain, sizeof(plain), "%.*s%s", (int)(plus - address), address,
			 at);
		flags = model_flags(m, plain);
	}
	if (flags & RCPT_EXISTS)
		return flags & RCPT_FULL ? RCPT_IS_FULL : RCPT_IS_KNOWN;
	if (!ours)
		return RCPT_IS_FOREIGN;
	return ours & RCPT_ANY	 ? RCPT_IS_KNOWN
	       : ours & RCPT_ASK ? RCPT_IS_ASK
				 : RCPT_IS_UNKNOWN;
}

static void any_address(uint64_t *seed, char out[40])
{
	static const char *const users[] = { "a", "B", "c", "+", "long.name" };
	static const char *const details[] = { "", "", "+x", "+X", "+x+y" };

	snprintf(out, 40, "%s%d%s@d%d.%s", users[dice_below(seed, 5)],
		 (int)dice_below(seed, 6), details[dice_below(seed, 5)],
		 (int)dice_below(seed, 4), dice_below(seed, 2) ? "example" : "EXAMPLE");
}

static void the_map_agrees_with_a_list(void **unused)
{
	static struct model m;
	uint64_t seed = 11;

	(void)unused;
	for (int round = 0; round < 50; round++) {
		size_t n = rcptmap_size(200);
		void *mem = calloc(1, n);
		char text[40];

		assert_non_null(mem);
		m.count = 0;
		rcptmap_init(mem, n, key, 1, SPAN("+"));
		for (int i = 0; i < 100; i++) {
			unsigned flags = RCPT_EXISTS |
					 (dice_below(&seed, 4) ? 0 : RCPT_FULL);
			const char *what = text;

			any_address(&seed, text);
			if (dice_below(&seed, 20) == 0) {
				what = strchr(text, '@');
				flags = RCPT_DOMAIN |
					(unsigned[]){ 0, RCPT_ANY,
						      RCPT_ASK }[dice_below(&seed, 3)];
			}
			assert_true(rcptmap_put(mem, n, span_str(what), flags));
			model_put(&m, what, flags);
		}
		for (int i = 0; i < 1000; i++) {
			any_address(&seed, text);
			expect_number(text, rcptmap_look_up(mem, n, span_str(text)),
				      model_look_up(&m, text));
		}
		free(mem);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_recipient_is_looked_up_from_whole_to_catch_all),
		cmocka_unit_test(full_is_set_and_cleared_in_place),
		cmocka_unit_test(a_stale_map_says_so_and_still_answers),
		cmocka_unit_test(a_full_map_says_so_and_still_answers),
		cmocka_unit_test(a_map_that_is_not_whole_is_refused),
		cmocka_unit_test(a_lying_head_does_not_lead_outside),
		cmocka_unit_test(the_map_agrees_with_a_list),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
