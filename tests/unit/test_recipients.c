/*
 * Who gets mail here: where an address leads, what aliases do, and that the map which the
 * edges have says the same.
 */
#include "expect.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/list.h"
#include "base/rcptmap.h"
#include "conf/tables.h"
#include "store/recipients.h"
#include "store/senders.h"

#include "little_memory.h"

static struct err err;

struct place {
	struct recipients r;
	struct conf *conf;
	struct pile pile;
	/* what was reached, written down */
	struct buf out;
	uint8_t mem[4096];
	bool with_address;
};

static void text(char *to, const char *from)
{
	snprintf(to, TEXT_MAX, "%s", from);
}

static void route(struct place *p, const char *domain, enum hop hop, const char *target,
		  bool verify)
{
	struct route *r = &p->conf->routes[p->conf->route_count++];

	snprintf(r->domain, sizeof(r->domain), "%s", domain);
	text(r->target, target);
	r->hop = hop;
	r->verify = verify;
}

static void rebuild(struct place *p)
{
	if (!recipients_build(&p->r, p->conf, &err))
		fail_msg("%s", err.text);
}

static void user(struct place *p, const char *address)
{
	assert_true(people_put_user(&p->r.own, span_str(address), QUOTA_DEFAULT));
}

static void alias(struct place *p, const char *address, const char *target)
{
	assert_true(people_add_target(&p->r.own, span_str(address), span_str(target)));
}

static int set_up(void **state)
{
	struct place *p = calloc(1, sizeof(*p));

	p->conf = calloc(1, sizeof(*p->conf));
	text(p->conf->set.detail, "+");
	text(p->conf->set.hostname, "mx.here.example");
	p->conf->deliver_hop = HOP_MAILDIR;
	snprintf(p->conf->domains[0], sizeof(p->conf->domains[0]), "here.example");
	p->conf->domain_count = 1;
	route(p, "lmtp.example", HOP_LMTP, "box:24", false);
	route(p, "ask.example", HOP_SMTP, "in:25", true);
	route(p, "some.example", HOP_SMTP, "in:25", false);
	assert_true(recipients_open(&p->r, &err));
	user(p, "alice@here.example");
	user(p, "bob@here.example");
	user(p, "one@some.example");
	user(p, "cleo@here.example");
	alias(p, "cleo@here.example", "Cleo@Here.example");
	alias(p, "cleo@here.example", "bob@here.example");
	user(p, "dan@here.example");
	alias(p, "dan@here.example", "dan+kept@here.example");
	alias(p, "self@here.example", "self@here.example");
	alias(p, "self@ask.example", "self@ask.example");
	alias(p, "all@here.example", "alice@here.example");
	alias(p, "all@here.example", "bob@here.example");
	alias(p, "nested@here.example", "all@here.example");
	alias(p, "nested@here.example", "x@lmtp.example");
	alias(p, "loop@here.example", "pool@here.example");
	alias(p, "pool@here.example", "loop@here.example");
	alias(p, "pool@here.example", "alice+pool@here.example");
	alias(p, "gone@here.example", "nobody@here.example");
	alias(p, "away@here.example", "alice@foreign.example");
	assert_true(people_put_domain(&p->r.own, SPAN("caught.example"),
				      SPAN("bob@here.example")));
	rebuild(p);
	buf_init(&p->out, p->mem, sizeof(p->mem));
	pile_init(&p->pile);
	*state = p;
	return 0;
}

static int tear_down(void **state)
{
	struct place *p = *state;

	recipients_close(&p->r);
	pile_close(&p->pile);
	free(p->conf);
	free(p);
	return 0;
}

static bool on_target(void *arg, const struct target *t)
{
	struct place *p = arg;

	buf_fmt(&p->out, "%.*s", SPAN_ARG(t->mailbox));
	if (p->with_address)
		buf_fmt(&p->out, "(%.*s)", SPAN_ARG(t->address));
	buf_fmt(&p->out, "%s%.*s ", t->hop == HOP_MAILDIR ? "" : "->",
		SPAN_ARG(t->hop_target));
	return true;
}

static void leads_to(struct place *p, const char *address, const char *expected)
{
	enum expanded got;

	buf_reset(&p->out);
	got = recipients_expand(&p->r, span_str(address), false, &p->pile, on_target, p);
	assert_int_equal(got, *expected ? EXPANDED : EXPANDED_NOBODY);
	expect_span(address, buf_span(&p->out), span_str(expected));
}

static void an_address_leads_to_its_mailbox(void **state)
{
	leads_to(*state, "alice@here.example", "alice@here.example ");
	leads_to(*state, "Alice@HERE.example", "alice@here.example ");
	leads_to(*state, "alice+news@here.example", "alice@here.example ");
	leads_to(*state, "carol@here.example", "");
	leads_to(*state, "alice@there.example", "");
	leads_to(*state, "alice", "");
	leads_to(*state, "", "");
}

static void a_domain_is_one_in_whichever_letters(void **state)
{
	struct place *p = *state;

	assert_true(people_put_domain(&p->r.own, SPAN("xn--bcher-kva.example"),
				      SPAN("bob@here.example")));
	rebuild(p);
	leads_to(p, "x@xn--bcher-kva.example", "bob@here.example ");
	leads_to(p, "x@b\u00fccher.example", "bob@here.example ");
	leads_to(p, "x@B\u00dcCHER.Example", "bob@here.example ");
	leads_to(p, "x@\u2603.example", "");
}

static void may_send(struct place *p, const char *login, const char *address,
		     enum verdict expected)
{
	expect_number(address, senders_judge(&p->r, span_str(login), span_str(address)),
		      expected);
}

static void senders_are_own_and_what_leads_there(void **state)
{
	struct place *p = *state;
	struct send_as *as = p->conf->send_as;

	may_send(p, "alice@here.example", "alice@here.example", VERDICT_YES);
	may_send(p, "Alice@Here.Example", "ALICE@here.example", VERDICT_YES);
	may_send(p, "alice@here.example", "alice+news@here.example", VERDICT_YES);
	may_send(p, "alice@here.example", "all@here.example", VERDICT_YES);
	may_send(p, "bob@here.example", "nested@here.example", VERDICT_YES);
	may_send(p, "alice@here.example", "loop@here.example", VERDICT_YES);
	may_send(p, "bob@here.example", "whoever@caught.example", VERDICT_YES);
	may_send(p, "alice@here.example", "whoever@caught.example", VERDICT_NO);
	may_send(p, "eve@xn--bcher-kva.example", "Eve@b\u00fccher.example", VERDICT_YES);
	may_send(p, "eve@xn--bcher-kva.example", "Eve@b\u00fccer.example", VERDICT_NO);
	may_send(p, "alice@here.example", "bob@here.example", VERDICT_NO);
	may_send(p, "bob@here.example", "bobby@here.example", VERDICT_NO);
	may_send(p, "bob@here.example", "loop@here.example", VERDICT_NO);
	may_send(p, "alice@here.example", "alice@foreign.example", VERDICT_NO);
	may_send(p, "alice@here.example", "", VERDICT_NO);
	may_send(p, "", "", VERDICT_NO);
	/* whoever is in the domain of a next hop is nobody of ours */
	may_send(p, "alice@here.example", "alice@lmtp.example", VERDICT_NO);
	may_send(p, "alice@lmtp.example", "alice@lmtp.example", VERDICT_YES);

	snprintf(as[0].login, sizeof(as[0].login), "alice@here.example");
	snprintf(as[0].address, sizeof(as[0].address), "boss@there.example");
	snprintf(as[1].login, sizeof(as[1].login), "bob@here.example");
	snprintf(as[1].address, sizeof(as[1].address), "@there.example");
	p->conf->send_as_count = 2;
	may_send(p, "alice@here.example", "Boss@there.example", VERDICT_YES);
	may_send(p, "alice@here.example", "bos@there.example", VERDICT_NO);
	may_send(p, "bob@here.example", "anybody@there.example", VERDICT_YES);
	may_send(p, "bob@here.example", "anybody@not.there.example", VERDICT_NO);
	may_send(p, "bob@here.example", "anybody@notthere.example", VERDICT_NO);
}

static void the_address_is_kept_as_it_was_written(void **state)
{
	struct place *p = *state;

	p->with_address = true;
	leads_to(p, "Alice+News@Here.example",
		 "alice@here.example(Alice+News@Here.example) ");
	leads_to(p, "Any@caught.example", "bob@here.example(Any@caught.example) ");
	leads_to(p, "pool@here.example", "alice@here.example(alice+pool@here.example) ");
}

static void an_alias_leads_to_all_its_targets(void **state)
{
	leads_to(*state, "all@here.example", "alice@here.example bob@here.example ");
	leads_to(*state, "nested+x@here.example",
		 "alice@here.example bob@here.example x@lmtp.example->box:24 ");
}

static void an_alias_loop_ends(void **state)
{
	leads_to(*state, "loop@here.example", "alice@here.example ");
}

static void an_alias_that_names_itself_means_the_mailbox_behind_it(void **state)
{
	leads_to(*state, "cleo@here.example", "cleo@here.example bob@here.example ");
	leads_to(*state, "cleo+x@here.example", "cleo@here.example bob@here.example ");
	leads_to(*state, "dan@here.example", "dan@here.example ");
	leads_to(*state, "self@ask.example", "self@ask.example->in:25 ");
	leads_to(*state, "self@here.example", "");
}

static void an_alias_that_reaches_nobody_is_nobody(void **state)
{
	leads_to(*state, "gone@here.example", "");
	leads_to(*state, "away@here.example", "");
}

static void a_routed_domain_goes_to_its_next_hop(void **state)
{
	leads_to(*state, "who@lmtp.example", "who@lmtp.example->box:24 ");
	leads_to(*state, "who@ask.example", "who@ask.example->in:25 ");
	leads_to(*state, "one@some.example", "one@some.example->in:25 ");
	leads_to(*state, "two@some.example", "");
}

static void postmaster_alone_is_the_first_there_is(void **state)
{
	struct place *p = *state;

	leads_to(p, "postmaster", "");
	user(p, "postmaster@here.example");
	rebuild(p);
	leads_to(p, "Postmaster", "postmaster@here.example ");
}

static const struct map_row {
	const char *address;
	enum rcpt_answer answer;
} map_rows[] = {
	{ "alice@here.example", RCPT_IS_KNOWN },
	{ "ALICE+x@here.example", RCPT_IS_KNOWN },
	{ "carol@here.example", RCPT_IS_UNKNOWN },
	{ "all@here.example", RCPT_IS_KNOWN },
	{ "loop@here.example", RCPT_IS_KNOWN },
	{ "gone@here.example", RCPT_IS_UNKNOWN },
	{ "away@here.example", RCPT_IS_UNKNOWN },
	{ "any@caught.example", RCPT_IS_KNOWN },
	{ "who@lmtp.example", RCPT_IS_KNOWN },
	{ "who@ask.example", RCPT_IS_ASK },
	{ "one@some.example", RCPT_IS_KNOWN },
	{ "two@some.example", RCPT_IS_UNKNOWN },
	{ "alice@there.example", RCPT_IS_FOREIGN },
};

static enum rcpt_answer in_map(struct place *p, const char *address)
{
	return rcptmap_look_up(p->r.map, p->r.map_n, span_str(address));
}

static void the_map_says_the_same(void **state)
{
	struct place *p = *state;

	assert_true(rcptmap_ok(p->r.map, p->r.map_n));
	for (size_t i = 0; i < COUNT_OF(map_rows); i++)
		expect_true(map_rows[i].address,
			    in_map(p, map_rows[i].address) == map_rows[i].answer);
}

static void a_full_mailbox_is_full_in_the_map_also_after_it_is_made_anew(void **state)
{
	struct place *p = *state;

	recipients_mark_full(&p->r, recipients_user(&p->r, SPAN("bob@here.example")),
			     true);
	assert_int_equal(in_map(p, "bob@here.example"), RCPT_IS_FULL);
	rebuild(p);
	assert_int_equal(in_map(p, "bob+x@here.example"), RCPT_IS_FULL);
	recipients_mark_full(&p->r, recipients_user(&p->r, SPAN("bob@here.example")),
			     false);
	assert_int_equal(in_map(p, "bob@here.example"), RCPT_IS_KNOWN);
}

/* Tables with one domain, that user of it, and everybody of lmtp.example. */
static void give_user(struct place *p, const char *address)
{
	uint8_t mem[512];
	struct buf out;

	buf_init(&out, mem, sizeof(mem));
	tables_begin(&out);
	tables_put(&out,
		   &(struct table_entry){ TABLE_DOMAIN, SPAN("t.example"), SPAN_NONE });
	tables_put(&out,
		   &(struct table_entry){ TABLE_ADDRESS, span_str(address), SPAN_NONE });
	tables_put(&out, &(struct table_entry){ TABLE_ADDRESS, SPAN("@lmtp.example"),
						SPAN_NONE });
	assert_true(recipients_give(&p->r, buf_span(&out), &err));
	rebuild(p);
}

static void tables_replace_what_tables_said_before(void **state)
{
	struct place *p = *state;
	uint8_t mem[512];
	struct buf out;

	buf_init(&out, mem, sizeof(mem));
	give_user(p, "u@t.example");
	leads_to(p, "u@t.example", "u@t.example ");
	leads_to(p, "v@t.example", "");
	tables_begin(&out);
	assert_true(recipients_give(&p->r, buf_span(&out), &err));
	rebuild(p);
	leads_to(p, "u@t.example", "");
	assert_int_equal(in_map(p, "u@t.example"), RCPT_IS_FOREIGN);
	assert_false(recipients_give(&p->r, SPAN("junk"), &err));
}

/* Else all mailboxes would have to be looked at anew, and take mail until then. */
static void a_full_mailbox_is_full_also_after_tables_are_read_again(void **state)
{
	struct place *p = *state;
	struct user *u;

	give_user(p, "u@t.example");
	u = recipients_user(&p->r, SPAN("u@t.example"));
	u->used = 1000;
	recipients_mark_full(&p->r, u, true);
	give_user(p, "u@t.example");
	assert_int_equal(in_map(p, "u@t.example"), RCPT_IS_FULL);
	assert_int_equal(recipients_user(&p->r, SPAN("u@t.example"))->used, 1000);
	give_user(p, "v@t.example");
	assert_int_equal(recipients_user(&p->r, SPAN("v@t.example"))->used, USED_UNKNOWN);
}

static void a_removed_user_is_unknown(void **state)
{
	struct place *p = *state;

	assert_true(people_drop_user(&p->r.own, SPAN("bob@here.example")));
	assert_false(people_drop_user(&p->r.own, SPAN("bob@here.example")));
	rebuild(p);
	leads_to(p, "bob@here.example", "");
	leads_to(p, "all@here.example", "alice@here.example ");
	assert_int_equal(in_map(p, "any@caught.example"), RCPT_IS_UNKNOWN);
}

/* ---- names ----------------------------------------------------------------------------- */

struct thing {
	struct name name;
	char text[16];
};

/* Against an array: what was put and not dropped is found, nothing else. */
static void names_find_what_was_put_and_not_dropped(void **unused)
{
	static struct thing things[1000];
	static bool in[1000];
	const uint64_t key[2] = { 1, 2 };
	struct names t;
	uint32_t seed = 1;
	size_t count = 0;

	(void)unused;
	names_init(&t, key);
	for (size_t i = 0; i < 1000; i++) {
		snprintf(things[i].text, sizeof(things[i].text), "n%zu", i);
		things[i].name.text = span_str(things[i].text);
	}
	for (int round = 0; round < 20000; round++) {
		size_t i = (seed = seed * 1103515245 + 12345) >> 8 & 1023;

		if (i >= 1000)
			continue;
		assert_ptr_equal(names_find(&t, things[i].name.text),
				 in[i] ? &things[i].name : NULL);
		if (in[i])
			names_drop(&t, &things[i].name);
		else
			assert_true(names_put(&t, &things[i].name));
		in[i] = !in[i];
		count += in[i] ? 1 : (size_t)-1;
		assert_int_equal(t.count, count);
	}
	names_close(&t);
}

#define FEW  20000
#define MANY 60000

static void put_domains(struct place *p, unsigned from, unsigned to)
{
	char name[32];

	for (; from < to; from++) {
		snprintf(name, sizeof(name), "d%u.example", from);
		assert_true(people_put_domain(&p->r.own, span_str(name),
					      SPAN("bob@here.example")));
	}
}

static void expect_domains(const struct place *p, unsigned n)
{
	char address[32];

	for (unsigned i = 0; i < n; i++) {
		struct found f;

		snprintf(address, sizeof(address), "x@d%u.example", i);
		f = recipients_find(&p->r, span_str(address));
		assert_int_equal(f.kind, FOUND_CATCH_ALL);
		expect_span("leads to", f.domain->catch_all, SPAN("bob@here.example"));
	}
}

static void without_memory_no_domain_of_ours_becomes_a_strangers(void **state)
{
	struct place *p = *state;
	struct rlimit had;

#if defined(__SANITIZE_ADDRESS__) || defined(__has_feature)
	skip(); /* a sanitizer's allocator ends the program instead */
#endif
	put_domains(p, 0, FEW);
	rebuild(p);
	put_domains(p, FEW, MANY);
	/* what the old list pointed to is another thing now */
	put_domains(p, 0, FEW);
	had = allow_little_memory(0);
	assert_false(recipients_build(&p->r, p->conf, &err));
	allow_memory(had);
	expect_domains(p, FEW);
	assert_int_equal(recipients_find(&p->r, SPAN("bob@here.example")).kind,
			 FOUND_USER);
	rebuild(p);
	expect_domains(p, MANY);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(an_address_leads_to_its_mailbox),
		TEST(a_domain_is_one_in_whichever_letters),
		TEST(senders_are_own_and_what_leads_there),
		TEST(the_address_is_kept_as_it_was_written),
		TEST(an_alias_leads_to_all_its_targets),
		TEST(an_alias_loop_ends),
		TEST(an_alias_that_names_itself_means_the_mailbox_behind_it),
		TEST(an_alias_that_reaches_nobody_is_nobody),
		TEST(a_routed_domain_goes_to_its_next_hop),
		TEST(postmaster_alone_is_the_first_there_is),
		TEST(the_map_says_the_same),
		TEST(a_full_mailbox_is_full_in_the_map_also_after_it_is_made_anew),
		TEST(a_full_mailbox_is_full_also_after_tables_are_read_again),
		TEST(tables_replace_what_tables_said_before),
		TEST(a_removed_user_is_unknown),
		TEST(without_memory_no_domain_of_ours_becomes_a_strangers),
		cmocka_unit_test(names_find_what_was_put_and_not_dropped),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
