#include "expect.h"

#include <string.h>

#include "base/list.h"
#include "conf/certs.h"
#include "conf/hop.h"
#include "conf/sections.h"
#include "conf/tables.h"

static void every_row_has_a_good_default_sane_bounds_and_a_doc(void **unused)
{
	struct settings s;

	(void)unused;
	settings_init(&s);
	assert_true(settings_ok(&s));
	for (size_t i = 0; i < SETTINGS_COUNT; i++) {
		const struct setting_row *r = &setting_table[i];
		struct settings other = s;
		struct err err;

		expect_true(r->key, *r->doc && strchr(".)", r->doc[strlen(r->doc) - 1]));
		expect_true(r->key, setting_find(span_str(r->key)) == r);
		expect_true(r->key, section_find(span_str(r->key)) == SECTION_COUNT);
		if (r->kind == SETTING_TEXT || r->kind == SETTING_WORD ||
		    r->kind == SETTING_FLAG)
			continue;
		expect_true(r->key, setting_put(&other, r, span_str(r->min), &err));
		expect_true(r->key, setting_put(&other, r, span_str(r->max), &err));
	}
}

static void what_is_printed_reads_back_the_same(void **unused)
{
	struct settings s;

	(void)unused;
	settings_init(&s);
	for (size_t i = 0; i < SETTINGS_COUNT; i++) {
		const struct setting_row *r = &setting_table[i];
		struct settings other;
		struct err err;
		BUF(out, TEXT_MAX);

		memset(&other, 0, sizeof(other));
		setting_print(&s, r, &out);
		expect_true(r->key, setting_put(&other, r, buf_span(&out), &err));
		expect_true(r->key, setting_eq(&s, &other, r));
	}
}

static void each_word_is_its_index(void **unused)
{
	struct settings s;
	struct err err;

	(void)unused;
	settings_init(&s);
	assert_true(settings_put(&s, SPAN("run.sandbox"), SPAN("required"), &err));
	assert_int_equal(s.sandbox, SANDBOX_REQUIRED);
	assert_true(settings_put(&s, SPAN("log.to"), SPAN("file"), &err));
	assert_int_equal(s.log_to, LOG_TO_FILE);
	assert_true(settings_put(&s, SPAN("tls.min-version"), SPAN("1.3"), &err));
	assert_int_equal(s.tls_min, TLS_MIN_13);
	assert_false(settings_put(&s, SPAN("tls.min-version"), SPAN("1.2|1.3"), &err));
	assert_false(settings_put(&s, SPAN("tls.min-version"), SPAN(""), &err));
}

static void a_refused_value_changes_nothing(void **unused)
{
	struct settings s, before;
	struct err err;

	(void)unused;
	settings_init(&s);
	before = s;
	assert_false(settings_put(&s, SPAN("smtp.hops"), SPAN("1"), &err));
	assert_string_equal(err.text, "smtp.hops: 1 is outside 10 to 1000");
	assert_false(settings_put(&s, SPAN("smtp.hops"), SPAN("x"), &err));
	assert_false(settings_put(&s, SPAN("smtp.nothing"), SPAN("1"), &err));
	assert_memory_equal(&s, &before, sizeof(s));
}

static void a_text_has_room_for_its_nul(void **unused)
{
	uint8_t long_text[TEXT_MAX];
	struct settings s;
	struct err err;

	(void)unused;
	settings_init(&s);
	memset(long_text, 'a', sizeof(long_text));
	assert_false(settings_put(&s, SPAN("dir"), span_of(long_text, TEXT_MAX), &err));
	assert_true(settings_put(&s, SPAN("dir"), span_of(long_text, TEXT_MAX - 1), &err));
	assert_int_equal(strlen(s.dir), TEXT_MAX - 1);
	assert_false(settings_put(&s, SPAN("dir"), SPAN("/a\nb"), &err));
}

static void a_broken_map_is_refused(void **unused)
{
	static struct conf c;

	(void)unused;
	c = (struct conf){ .magic = CONF_MAGIC, .size = sizeof(c), .relay_hop = HOP_MX };
	settings_init(&c.set);
	assert_true(conf_ok(&c, sizeof(c)));
	expect_false("short", conf_ok(&c, sizeof(c) - 1));
	c.listener_count = LISTENERS_MAX + 1;
	expect_false("too many listeners", conf_ok(&c, sizeof(c)));
	c.listener_count = 1;
	expect_false("a listener without a port", conf_ok(&c, sizeof(c)));
	c.listeners[0].at.port = 25;
	assert_true(conf_ok(&c, sizeof(c)));
	memset(&c.listeners[0].proxy, 2, 1);
	expect_false("a bool that is none", conf_ok(&c, sizeof(c)));
	c.listener_count = 0;
	c.set.hops = 9;
	expect_false("a value out of bounds", conf_ok(&c, sizeof(c)));
	c.set.hops = 10;
	memset(c.set.dir, 'a', sizeof(c.set.dir));
	expect_false("a text without an end", conf_ok(&c, sizeof(c)));
	c.set.dir[5] = 0;
	assert_true(conf_ok(&c, sizeof(c)));
	c.set.log_to = 99;
	expect_false("a word that is none", conf_ok(&c, sizeof(c)));
	c.set.log_to = -1;
	expect_false("a word below all", conf_ok(&c, sizeof(c)));
	c.set.log_to = 0;
	c.proxy_count = 1;
	c.proxy_from[0].bits = 129;
	expect_false("a net with too many bits", conf_ok(&c, sizeof(c)));
}

struct broken {
	const char *why;
	void (*breaks)(struct conf *c);
};

/* clang-format off */
static void many_relays(struct conf *c)     { c->relay_count = RELAYS_MAX + 1; }
static void many_sources(struct conf *c)    { c->password_source_count = AUTH_SOURCES_MAX + 1; }
static void many_traps(struct conf *c)      { c->trap_count = TRAPS_MAX + 1; }
static void many_oauth(struct conf *c)      { c->oauth_count = OAUTH_MAX + 1; }
static void many_send_as(struct conf *c)    { c->send_as_count = SEND_AS_MAX + 1; }
static void many_keys(struct conf *c)       { c->dkim_count = DKIM_MAX + 1; }
static void to_maildir(struct conf *c)      { c->relay_hop = HOP_MAILDIR; }
static void to_lmtp(struct conf *c)         { c->relays[0].hop = HOP_LMTP; }
static void no_such_tls(struct conf *c)     { c->relays[0].tls = HOP_TLS_COUNT; }
static void below_maybe(struct conf *c)     { memset(&c->relays[0].below, 2, 1); }
static void endless_login(struct conf *c)   { memset(c->relays[0].login, 'a', TEXT_MAX); }
static void ninth_mechanism(struct conf *c) { c->mechanisms = 1u << SASL_COUNT; }
static void no_such_source(struct conf *c)  { c->password_sources[0].kind = PASSWORDS_KINDS; }
static void endless_trap(struct conf *c)    { memset(c->traps[0], 'a', sizeof(c->traps[0])); }
static void endless_issuer(struct conf *c)  { memset(c->oauth[0].issuer, 'a', TEXT_MAX); }
static void endless_sender(struct conf *c)  { memset(c->send_as[0].address, 'a', ADDRESS_MAX + 1); }
static void endless_name(struct conf *c)    { memset(c->dkim[0].selector, 'a', 64); }
static void no_such_key(struct conf *c)     { c->dkim[0].algorithm = DKIM_ALGORITHMS; }
static void endless_path(struct conf *c)    { memset(c->listeners[0].path, '/', 108); }
static void no_such_service(struct conf *c) { c->listeners[0].service = SERVICE_COUNT; }

static const struct broken broken[] = {
	{ "too many relays", many_relays },
	{ "too many sources of passwords", many_sources },
	{ "too many traps", many_traps },
	{ "too many who vouch", many_oauth },
	{ "too many senders", many_send_as },
	{ "too many keys", many_keys },
	{ "mail of users to the world into a Maildir", to_maildir },
	{ "or over LMTP", to_lmtp },
	{ "a relay with a kind of TLS that is none", no_such_tls },
	{ "a relay with a bool that is none", below_maybe },
	{ "a login without an end", endless_login },
	{ "a mechanism that is none", ninth_mechanism },
	{ "a source of passwords that is none", no_such_source },
	{ "a trap without an end", endless_trap },
	{ "an issuer without an end", endless_issuer },
	{ "a sender without an end", endless_sender },
	{ "a selector without an end", endless_name },
	{ "an algorithm that is none", no_such_key },
	{ "a path without an end", endless_path },
	{ "a service that is none", no_such_service },
};
/* clang-format on */

static void a_map_with_broken_lists_is_refused(void **unused)
{
	static struct conf good, c;

	(void)unused;
	good = (struct conf){ .magic = CONF_MAGIC, .size = sizeof(good) };
	settings_init(&good.set);
	good.relay_hop = HOP_COUNT;
	good.listener_count = good.relay_count = good.password_source_count = 1;
	good.trap_count = good.oauth_count = good.send_as_count = good.dkim_count = 1;
	good.listeners[0].path[0] = '/';
	good.relays[0].hop = HOP_SMTP;
	assert_true(conf_ok(&good, sizeof(good)));
	for (size_t i = 0; i < COUNT_OF(broken); i++) {
		c = good;
		broken[i].breaks(&c);
		expect_false(broken[i].why, conf_ok(&c, sizeof(c)));
	}
}

static void distance_is_the_number_of_changes(void **unused)
{
	(void)unused;
	assert_int_equal(text_distance(SPAN(""), SPAN("")), 0);
	assert_int_equal(text_distance(SPAN("abc"), SPAN("")), 3);
	assert_int_equal(text_distance(SPAN("kitten"), SPAN("sitting")), 3);
	assert_int_equal(text_distance(SPAN("Smtp"), SPAN("smtp")), 0);
	assert_null(key_suggest(SPAN("completely-different"), SUGGEST_ALL));
	assert_string_equal(key_suggest(SPAN("log.formt"), SUGGEST_ALL), "log.format");
}

static void certs_come_back_and_cut_ones_do_not(void **unused)
{
	const struct cert a = { SPAN("a.crt"), SPAN("chain"), SPAN("key") };
	struct cert got;
	struct span left;
	BUF(out, 200);

	(void)unused;
	certs_begin(&out);
	certs_put(&out, &a);
	certs_put(&out, &a);
	assert_true(certs_open(buf_span(&out), &left));
	assert_true(certs_next(&left, &got));
	expect_span("the chain", got.chain, a.chain);
	assert_true(certs_next(&left, &got));
	expect_span("the key", got.key, a.key);
	assert_false(certs_next(&left, &got));
	for (size_t n = 0; n < out.len; n++)
		assert_int_equal(certs_open(span_head(buf_span(&out), n), &left),
				 n == 4 || n == 4 + (out.len - 4) / 2);
}

static void tables_come_back_and_cut_ones_do_not(void **unused)
{
	struct table_entry e = { TABLE_ALIAS, SPAN("a@example.org"), SPAN_NONE }, got;
	struct span left;
	BUF(targets, 50);
	BUF(out, 200);

	(void)unused;
	list_put(&targets, SPAN("b@example.org"));
	e.targets = buf_span(&targets);
	tables_begin(&out);
	tables_put(&out, &e);
	assert_int_equal(out.len, 4 + tables_room(&e));
	assert_true(tables_open(buf_span(&out), &left));
	assert_true(tables_next(&left, &got));
	assert_int_equal(got.kind, TABLE_ALIAS);
	expect_span("the key", got.key, e.key);
	expect_span("the targets", got.targets, e.targets);
	assert_false(tables_next(&left, &got));
	for (size_t n = 0; n < out.len; n++)
		assert_int_equal(tables_open(span_head(buf_span(&out), n), &left), n == 4);
	out.mem[4] = TABLE_KINDS;
	expect_false("a kind that does not exist", tables_open(buf_span(&out), &left));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_row_has_a_good_default_sane_bounds_and_a_doc),
		cmocka_unit_test(what_is_printed_reads_back_the_same),
		cmocka_unit_test(each_word_is_its_index),
		cmocka_unit_test(a_refused_value_changes_nothing),
		cmocka_unit_test(a_text_has_room_for_its_nul),
		cmocka_unit_test(a_broken_map_is_refused),
		cmocka_unit_test(a_map_with_broken_lists_is_refused),
		cmocka_unit_test(distance_is_the_number_of_changes),
		cmocka_unit_test(certs_come_back_and_cut_ones_do_not),
		cmocka_unit_test(tables_come_back_and_cut_ones_do_not),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
