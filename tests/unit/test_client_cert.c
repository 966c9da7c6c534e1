/* Certificates of clients, as auth looks at them: nobody's word counts but an authority's. */
#include "cert_maker.h"

#include "io/client_cert.h"

#define MAIL "email:alice@example.test"

struct place {
	struct made_cert ours, others, between, alice, deep;
	struct client_authorities *authorities;
	uint8_t list_mem[8192];
	struct buf list;
};

static struct err err;

static int begin(void **state)
{
	struct place *p = calloc(1, sizeof(*p));
	BUF(pem, 4096);

	p->ours = cert_make(NULL, "ours", true, NULL, 10);
	p->others = cert_make(NULL, "others", true, NULL, 10);
	p->between = cert_make(&p->ours, "between", true, NULL, 10);
	p->alice = cert_make(&p->ours, "alice", false, MAIL, 10);
	p->deep = cert_make(&p->between, "alice", false, MAIL, 10);
	cert_put_pem(&p->ours, &pem);
	assert_true(client_authorities_open(&p->authorities, buf_span(&pem), &err));
	buf_init(&p->list, p->list_mem, sizeof(p->list_mem));
	*state = p;
	return 0;
}

static int end(void **state)
{
	struct place *p = *state;

	cert_free(&p->ours);
	cert_free(&p->others);
	cert_free(&p->between);
	cert_free(&p->alice);
	cert_free(&p->deep);
	client_authorities_close(&p->authorities);
	free(p);
	return 0;
}

static struct span checked(const struct place *p)
{
	static char name[64];

	return span_of(name, client_cert_check(p->authorities, buf_span(&p->list), name,
					       sizeof(name)));
}

static void who_an_authority_vouches_for_is_known_by_the_mail_address(void **state)
{
	struct place *p = *state;

	cert_put_der(&p->alice, &p->list);
	expect_span("name", checked(p), SPAN("alice@example.test"));
}

static void certificates_in_between_come_along(void **state)
{
	struct place *p = *state;

	cert_put_der(&p->deep, &p->list);
	expect_span("alone", checked(p), SPAN(""));
	cert_put_der(&p->between, &p->list);
	expect_span("with it", checked(p), SPAN("alice@example.test"));
}

static void an_authority_that_comes_along_vouches_for_nobody(void **state)
{
	struct place *p = *state;
	struct made_cert c = cert_make(&p->others, "alice", false, MAIL, 10);

	cert_put_der(&c, &p->list);
	cert_put_der(&p->others, &p->list);
	expect_span("name", checked(p), SPAN(""));
	cert_free(&c);
}

static void who_is_no_authority_vouches_for_nobody(void **state)
{
	struct place *p = *state;
	struct made_cert c = cert_make(&p->alice, "root", false,
				       "email:root@example.test", 10);

	cert_put_der(&c, &p->list);
	cert_put_der(&p->alice, &p->list);
	expect_span("name", checked(p), SPAN(""));
	cert_free(&c);
}

static void what_has_run_out_is_none(void **state)
{
	struct place *p = *state;
	struct made_cert c = cert_make(&p->ours, "alice", false, MAIL, -1);

	cert_put_der(&c, &p->list);
	expect_span("name", checked(p), SPAN(""));
	cert_free(&c);
}

static void without_a_mail_address_it_is_nobodys(void **state)
{
	static const char *const names[] = { NULL, "DNS:example.test", "IP:192.0.2.1" };
	struct place *p = *state;

	for (size_t i = 0; i < COUNT_OF(names); i++) {
		struct made_cert c = cert_make(&p->ours, "alice", false, names[i], 10);

		buf_reset(&p->list);
		cert_put_der(&c, &p->list);
		expect_span("name", checked(p), SPAN(""));
		cert_free(&c);
	}
}

static void a_name_that_does_not_fit_is_none(void **state)
{
	struct place *p = *state;
	char name[17];

	cert_put_der(&p->alice, &p->list);
	assert_int_equal(client_cert_check(p->authorities, buf_span(&p->list), name,
					   sizeof(name)),
			 0);
}

static void bytes_that_are_no_certificate_are_nobodys(void **state)
{
	struct place *p = *state;
	uint8_t whole[8192];
	struct span der, left;
	size_t n;

	expect_span("nothing", checked(p), SPAN(""));
	cert_put_der(&p->alice, &p->list);
	left = buf_span(&p->list);
	assert_true(list_next(&left, &der));
	n = der.n;
	memcpy(whole, der.p, n);
	whole[n] = 0;
	for (size_t i = 0; i <= n + 1; i++) {
		if (i == n)
			continue;
		buf_reset(&p->list);
		list_put(&p->list, span_of(whole, i));
		expect_span("cut", checked(p), SPAN(""));
	}
	/* any bit changed: it is not signed any more, or none at all */
	for (size_t i = 0; i < n; i++) {
		whole[i] ^= 1;
		buf_reset(&p->list);
		list_put(&p->list, span_of(whole, n));
		expect_span("changed", checked(p), SPAN(""));
		whole[i] ^= 1;
	}
}

static void a_chain_has_an_end(void **state)
{
	struct place *p = *state;

	cert_put_der(&p->alice, &p->list);
	for (int i = 0; i < 8; i++)
		cert_put_der(&p->between, &p->list);
	expect_span("eight", checked(p), SPAN("alice@example.test"));
	cert_put_der(&p->between, &p->list);
	expect_span("nine", checked(p), SPAN(""));
}

static void a_file_without_certificates_is_no_authority(void **state)
{
	struct client_authorities *a = NULL;

	(void)state;
	assert_false(client_authorities_open(&a, SPAN(""), &err));
	assert_false(client_authorities_open(&a, SPAN("-----BEGIN"), &err));
	assert_null(a);
}

#define WITH(test) cmocka_unit_test_setup_teardown(test, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH(who_an_authority_vouches_for_is_known_by_the_mail_address),
		WITH(certificates_in_between_come_along),
		WITH(an_authority_that_comes_along_vouches_for_nobody),
		WITH(who_is_no_authority_vouches_for_nobody),
		WITH(what_has_run_out_is_none),
		WITH(without_a_mail_address_it_is_nobodys),
		WITH(a_name_that_does_not_fit_is_none),
		WITH(bytes_that_are_no_certificate_are_nobodys),
		WITH(a_chain_has_an_end),
		WITH(a_file_without_certificates_is_no_authority),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
