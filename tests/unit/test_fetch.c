/* What may be asked of the fetch role, where it may go, and what it makes of the answer. */
#include "expect.h"

#include "base/list.h"
#include "conf/https.h"
#include "conf/settings.h"
#include "fetch/request.h"

/* clang-format off */
static const struct {
	const char *text, *host; /* NULL: it is none */
	unsigned port;
} addresses[] = {
	{ "https://id.example.org/keys",      "id.example.org", 443 },
	{ "https://id.example.org",           "id.example.org", 443 },
	{ "https://id.example.org:8443/a?b",  "id.example.org", 8443 },
	{ "https://id.example.org?b",         "id.example.org", 443 },
	{ "https://127.0.0.1:8443/keys",      "127.0.0.1",      8443 },
	{ "https://[2001:db8::1]:8443/keys",  "2001:db8::1",    8443 },
	{ "https://[2001:db8::1]",            "2001:db8::1",    443 },
	{ "http://id.example.org/keys",       NULL, 0 },
	{ "HTTPS://id.example.org/keys",      NULL, 0 },
	{ "https://",                         NULL, 0 },
	{ "https:///keys",                    NULL, 0 },
	{ "https://user@id.example.org/",     NULL, 0 },
	{ "https://user:a@id.example.org/",   NULL, 0 },
	{ "https://id.example.org:0/",        NULL, 0 },
	{ "https://id.example.org:66000/",    NULL, 0 },
	{ "https://id.example.org:/",         NULL, 0 },
	{ "https://id.example.org/a b",       NULL, 0 },
	{ "https://id.example.org/\r\nHost:", NULL, 0 },
	{ "https://id.example.org/#a",        NULL, 0 },
	{ "https://id..example.org/",         NULL, 0 },
	{ "https://[::1/",                    NULL, 0 },
	{ "https://[::1]a/",                  NULL, 0 },
	{ "https://[id.example.org]/",        NULL, 0 },
	{ "file:///etc/passwd",               NULL, 0 },
};
/* clang-format on */

static void an_address_is_https_a_host_and_perhaps_a_port(void **unused)
{
	(void)unused;
	for (size_t i = 0; i < COUNT_OF(addresses); i++) {
		struct https at;
		bool good = https_parse(span_str(addresses[i].text), &at);

		expect_true(addresses[i].text, good == (addresses[i].host != NULL));
		if (!good)
			continue;
		expect_span(addresses[i].text, at.host, span_str(addresses[i].host));
		expect_number(addresses[i].text, at.port, addresses[i].port);
	}
}

#define ISSUER "https://id.example"

static struct conf conf;

static const struct conf *a_conf(void)
{
	conf = (struct conf){ .oauth_count = 1 };
	settings_init(&conf.set);
	snprintf(conf.oauth[0].issuer, TEXT_MAX, ISSUER);
	snprintf(conf.oauth[0].keys, TEXT_MAX, "https://id.example/keys");
	snprintf(conf.oauth[0].introspect, TEXT_MAX, "https://id.example:8443/ask");
	return &conf;
}

static bool make(enum role from, enum fetch_kind what, const char *name, struct span text,
		 struct request *out)
{
	struct msg_FETCH m = { .what = (uint8_t)what,
			       .name = span_str(name),
			       .text = text };
	struct err err;

	return request_make(a_conf(), from, &m, out, &err);
}

static void a_policy_is_asked_for_by_the_name_of_a_domain_alone(void **unused)
{
	static const char *const bad[] = {
		"",
		".",
		"example..org",
		"example.org/",
		"a@example.org",
		"[::1]",
		"example.org:8",
		"exa mple",
		"example.org\n",
	};
	char long_name[260];
	struct request r;

	(void)unused;
	assert_true(make(ROLE_EDGE, FETCH_STS, "Example.ORG", SPAN_NONE, &r));
	assert_string_equal(r.url, "https://mta-sts.example.org/.well-known/mta-sts.txt");
	assert_string_equal(r.host, "mta-sts.example.org");
	assert_int_equal(r.port, 443);
	assert_true(r.public_only);
	assert_string_equal(r.type, "text/plain");
	for (size_t i = 0; i < COUNT_OF(bad); i++)
		expect_false(bad[i], make(ROLE_EDGE, FETCH_STS, bad[i], SPAN_NONE, &r));
	memset(long_name, 'a', sizeof(long_name));
	for (size_t i = 60; i < sizeof(long_name); i += 60)
		long_name[i] = '.';
	long_name[250] = '\0';
	expect_false("too long", make(ROLE_EDGE, FETCH_STS, long_name, SPAN_NONE, &r));
}

static void each_role_may_ask_for_its_own_only(void **unused)
{
	struct request r;
	BUF(text, 200);

	(void)unused;
	list_put(&text, SPAN("mail"));
	list_put(&text, SPAN("s3cret"));
	list_put(&text, SPAN("token"));
	assert_true(make(ROLE_AUTH, FETCH_KEYS, ISSUER, SPAN_NONE, &r));
	assert_string_equal(r.url, "https://id.example/keys");
	assert_false(r.public_only);
	assert_true(make(ROLE_AUTH, FETCH_INTROSPECT, ISSUER, buf_span(&text), &r));
	assert_string_equal(r.url, "https://id.example:8443/ask");
	expect_span("user", r.user, SPAN("mail"));
	expect_span("token", r.token, SPAN("token"));
	assert_false(make(ROLE_EDGE, FETCH_KEYS, ISSUER, SPAN_NONE, &r));
	assert_false(make(ROLE_EDGE, FETCH_INTROSPECT, ISSUER, buf_span(&text), &r));
	assert_false(make(ROLE_AUTH, FETCH_STS, "example.org", SPAN_NONE, &r));
	assert_false(make(ROLE_STORE, FETCH_STS, "example.org", SPAN_NONE, &r));
	assert_false(make(ROLE_AUTH, FETCH_KEYS, "https://ID.example", SPAN_NONE, &r));
	assert_false(make(ROLE_AUTH, FETCH_KEYS, "", SPAN_NONE, &r));
	assert_false(make(ROLE_AUTH, FETCH_KINDS, ISSUER, SPAN_NONE, &r));
	expect_false("cut", make(ROLE_AUTH, FETCH_INTROSPECT, ISSUER,
				 span_head(buf_span(&text), text.len - 1), &r));
	list_put(&text, SPAN("more"));
	expect_false("four",
		     make(ROLE_AUTH, FETCH_INTROSPECT, ISSUER, buf_span(&text), &r));
	buf_reset(&text);
	list_put(&text, SPAN("a:b"));
	list_put(&text, SPAN("s"));
	list_put(&text, SPAN("t"));
	expect_false("RFC 7617, 2",
		     make(ROLE_AUTH, FETCH_INTROSPECT, ISSUER, buf_span(&text), &r));
}

/* Who asks may have heard of a reload that we have not, or the other way round. */
static void an_issuer_is_the_same_wherever_it_stands(void **unused)
{
	static const char *const orders[][3] = { { "a", "b", "c" }, { "c", "a", "" } };
	struct request r;

	(void)unused;
	for (size_t i = 0; i < COUNT_OF(orders); i++)
		for (size_t j = 0; j < 3; j++) {
			struct msg_FETCH m = { .what = FETCH_KEYS,
					       .name = span_str(orders[0][j]) };
			struct err err;
			bool is_there = j != 1 || i == 0;

			conf = (struct conf){ .oauth_count = i == 0 ? 3 : 2 };
			for (size_t k = 0; k < conf.oauth_count; k++) {
				struct oauth *o = &conf.oauth[k];

				snprintf(o->issuer, TEXT_MAX, "%s", orders[i][k]);
				snprintf(o->keys, TEXT_MAX, "https://%s.example/k",
					 orders[i][k]);
			}
			assert_int_equal(request_make(&conf, ROLE_AUTH, &m, &r, &err),
					 is_there);
			if (is_there)
				assert_int_equal(r.host[0], *orders[0][j]);
			else
				assert_string_equal(err.text, "there is no such issuer");
		}
}

/* clang-format off */
static const struct {
	const char *address;
	bool is_private;
} places[] = {
	{ "0.0.0.0", true }, { "10.255.255.255", true }, { "11.0.0.1", false }, { "9.255.255.255", false },
	{ "100.63.255.255", false }, { "100.64.0.1", true }, { "100.127.255.255", true }, { "100.128.0.1", false },
	{ "127.0.0.1", true }, { "127.255.0.1", true }, { "128.0.0.1", false },
	{ "169.254.169.254", true }, { "169.255.0.1", false },
	{ "172.15.255.255", false }, { "172.16.0.1", true }, { "172.31.255.255", true }, { "172.32.0.1", false },
	{ "192.0.0.170", true }, { "192.0.2.1", true }, { "192.0.3.1", false },
	{ "192.167.255.255", false }, { "192.168.1.1", true }, { "192.169.0.1", false },
	{ "198.17.0.1", false }, { "198.18.0.1", true }, { "198.19.255.255", true }, { "198.20.0.1", false },
	{ "198.51.100.7", true }, { "203.0.113.7", true }, { "203.0.114.7", false },
	{ "223.255.255.255", false }, { "224.0.0.1", true }, { "240.0.0.1", true }, { "255.255.255.255", true },
	{ "::", true }, { "::1", true }, { "fe80::1", true }, { "fc00::1", true }, { "fdff::1", true }, { "ff02::1", true },
	{ "2001:db8::1", true }, { "2001:db7::1", false }, { "2001::1", true }, { "2a00:1450::1", false },
	{ "::ffff:10.0.0.1", true }, { "::ffff:8.8.8.8", false },
	{ "64:ff9b::a00:1", true }, { "64:ff9b::808:808", false }, { "64:ff9b:1::1", true },
	{ "2002:a00:1::1", true }, { "2002:808:808::1", false },
};
/* clang-format on */

static void the_networks_of_ones_own_are_private(void **unused)
{
	(void)unused;
	for (size_t i = 0; i < COUNT_OF(places); i++) {
		struct addr a;

		assert_true(addr_parse(span_str(places[i].address), &a));
		expect_true(places[i].address,
			    request_is_private(&a) == places[i].is_private);
	}
}

static void the_type_of_an_answer_is_what_stands_before_its_parameters(void **unused)
{
	(void)unused;
	assert_true(request_has_type(SPAN("text/plain"), "text/plain"));
	assert_true(request_has_type(SPAN("Text/Plain ; charset=utf-8"), "text/plain"));
	assert_false(request_has_type(SPAN("text/html"), "text/plain"));
	assert_false(request_has_type(SPAN("text/plain2"), "text/plain"));
	assert_false(request_has_type(SPAN(""), "text/plain"));
}

static void keys_are_kept_as_they_say_within_bounds(void **unused)
{
	static const struct {
		const char *said;
		unsigned keep;
	} rows[] = {
		{ "", 3600 },
		{ "public, max-age=1800", 1800 },
		{ "Max-Age = 1800 ,public", 1800 },
		{ "max-age=0", 300 },
		{ "max-age=99999999", 86400 },
		{ "max-age=99999999999999999999", 3600 },
		{ "max-age=x", 3600 },
		{ "no-store, max-age=1800", 300 },
		{ "no-cache", 300 },
		{ ",,=,", 3600 },
	};

	(void)unused;
	for (size_t i = 0; i < COUNT_OF(rows); i++)
		expect_number(rows[i].said, request_keep(span_str(rows[i].said)),
			      rows[i].keep);
}

static void a_form_cannot_be_broken_out_of(void **unused)
{
	BUF(out, 100);

	(void)unused;
	request_put_form(SPAN("aZ09-._~ &=+%/\r\n\xff"), &out);
	expect_text("all of it", &out, "aZ09-._~%20%26%3D%2B%25%2F%0D%0A%FF");
}

static void it_is_wanted_where_there_is_something_to_fetch(void **unused)
{
	struct conf *c = &conf;

	(void)unused;
	*c = (struct conf){ .relay_hop = HOP_MX };
	settings_init(&c->set);
	assert_true(conf_wants_fetch(c));
	c->set.mta_sts = false;
	assert_false(conf_wants_fetch(c));
	c->set.mta_sts = true;
	c->relay_hop = HOP_COUNT;
	assert_false(conf_wants_fetch(c));
	c->relay_count = 1;
	c->relays[0].hop = HOP_MX;
	assert_true(conf_wants_fetch(c));
	c->relays[0].hop = HOP_SMTP;
	c->oauth_count = 1;
	snprintf(c->oauth[0].keys, TEXT_MAX, "/etc/keys.json");
	assert_false(conf_wants_fetch(c));
	snprintf(c->oauth[0].keys, TEXT_MAX, "https://id.example/keys");
	assert_true(conf_wants_fetch(c));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_address_is_https_a_host_and_perhaps_a_port),
		cmocka_unit_test(a_policy_is_asked_for_by_the_name_of_a_domain_alone),
		cmocka_unit_test(each_role_may_ask_for_its_own_only),
		cmocka_unit_test(an_issuer_is_the_same_wherever_it_stands),
		cmocka_unit_test(the_networks_of_ones_own_are_private),
		cmocka_unit_test(
			the_type_of_an_answer_is_what_stands_before_its_parameters),
		cmocka_unit_test(keys_are_kept_as_they_say_within_bounds),
		cmocka_unit_test(a_form_cannot_be_broken_out_of),
		cmocka_unit_test(it_is_wanted_where_there_is_something_to_fetch),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
