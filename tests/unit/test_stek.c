/* The keys of TLS session tickets: which of them are good, and that old ones are gone. */
#include "cert_maker.h"
#include "expect.h"

#include <sys/socket.h>
#include <unistd.h>

#include <openssl/ssl.h>

#include "io/selfsigned.h"
#include "io/stek.h"
#include "io/tls.h"

static struct stek *made(void)
{
	struct stek *s = calloc(1, stek_size());

	assert_non_null(s);
	return s;
}

static struct stek_key key_of(int n)
{
	struct stek_key k;

	memset(&k, n, sizeof(k));
	return k;
}

static void add(struct stek *s, int n, ms_t now)
{
	struct stek_key k = key_of(n);

	stek_add(s, &k, now);
}

static enum stek_found find(const struct stek *s, int n)
{
	struct stek_key wanted = key_of(n), none = { 0 }, got;
	enum stek_found found = stek_find(s, wanted.name, &got);

	assert_memory_equal(&got, found == STEK_NONE ? &none : &wanted, sizeof(got));
	return found;
}

static bool holds(const struct stek *s, int n)
{
	struct stek_key k = key_of(n);

	return memmem(s, stek_size(), k.cipher, sizeof(k.cipher));
}

static void without_a_key_there_are_no_tickets(void **unused)
{
	struct stek *s = made();
	struct stek_key got;

	(void)unused;
	assert_false(stek_ok(s, stek_size()));
	assert_false(stek_newest(s, &got));
	assert_int_equal(find(s, 0), STEK_NONE);
	free(s);
}

static void the_newest_makes_tickets_and_the_one_before_is_still_good(void **unused)
{
	struct stek *s = made();
	struct stek_key got, third = key_of(3);

	(void)unused;
	add(s, 1, 0);
	assert_int_equal(find(s, 1), STEK_NEWEST);
	assert_int_equal(find(s, 0), STEK_NONE); /* a place that is empty is no key */
	add(s, 2, 0);
	assert_int_equal(find(s, 1), STEK_BEFORE);
	add(s, 3, 0);
	assert_int_equal(find(s, 1), STEK_NONE);
	assert_int_equal(find(s, 2), STEK_BEFORE);
	assert_int_equal(find(s, 3), STEK_NEWEST);
	assert_true(stek_newest(s, &got));
	assert_memory_equal(&got, &third, sizeof(got));
	free(s);
}

static void a_key_that_is_no_longer_good_is_nowhere(void **unused)
{
	struct stek *s = made();

	(void)unused;
	for (int n = 1; n < 100; n++) {
		add(s, n, n);
		assert_true(holds(s, n));
		assert_true(n < 2 || holds(s, n - 1));
		assert_false(n >= 3 && holds(s, n - 2));
	}
	free(s);
}

static void a_key_is_due_after_its_period(void **unused)
{
	struct stek *s = made();

	(void)unused;
	add(s, 1, 5000);
	assert_int_equal(stek_due(s), 5000 + STEK_PERIOD);
	add(s, 2, 7000 + STEK_PERIOD);
	assert_int_equal(stek_due(s), 7000 + 2 * STEK_PERIOD);
	free(s);
}

static void another_layout_is_not_taken_for_ours(void **unused)
{
	struct stek *s = made();

	(void)unused;
	add(s, 1, 0);
	assert_true(stek_ok(s, stek_size()));
	assert_false(stek_ok(s, stek_size() - 1));
	assert_false(stek_ok(NULL, 0));
	memset(s, 'x', 4);
	assert_false(stek_ok(s, stek_size()));
	free(s);
}

/* ---- with sessions ------------------------------------------------------------------------ */

static struct tls *server_with(const struct stek *s)
{
	struct tls_setup setup = { .ciphers = "", .stek = s };
	struct tls *tls;
	struct err err;
	BUF(chain, SELFSIGNED_PEM);
	BUF(secret, SELFSIGNED_PEM);

	assert_true(tls_open(&tls, &setup, &err));
	assert_true(selfsigned_make("mx.example.test", &chain, &secret, &err));
	assert_true(tls_add(tls, buf_span(&chain), buf_span(&secret), &err));
	return tls;
}

static void shake(SSL *us, SSL *them)
{
	for (int tries = 0; tries < 20 && (SSL_in_init(us) || SSL_in_init(them)); tries++) {
		(void)SSL_do_handshake(them);
		(void)SSL_do_handshake(us);
	}
	assert_false(SSL_in_init(us) || SSL_in_init(them));
}

/* A client talks to that server, and shows what it kept: *session. It keeps what it got. */
static bool resumes_as(const struct made_cert *client, struct tls *tls, int version,
		       SSL_SESSION **session)
{
	SSL_CTX *c = SSL_CTX_new(TLS_client_method());
	int fds[2];
	SSL *us, *them;
	uint8_t got;
	bool reused;

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
	assert_non_null(us = tls_server(tls, fds[0]));
	assert_int_equal(SSL_CTX_set_max_proto_version(c, version), 1);
	if (client) {
		assert_int_equal(SSL_CTX_use_certificate(c, client->cert), 1);
		assert_int_equal(SSL_CTX_use_PrivateKey(c, client->key), 1);
	}
	assert_non_null(them = SSL_new(c));
	assert_int_equal(SSL_set_fd(them, fds[1]), 1);
	if (*session)
		assert_int_equal(SSL_set_session(them, *session), 1);
	SSL_set_connect_state(them);
	shake(us, them);
	assert_int_equal(SSL_write(us, "x", 1), 1);
	assert_int_equal(SSL_read(them, &got, 1),
			 1); /* with TLS 1.3 the ticket is before it */
	reused = SSL_session_reused(them);
	SSL_SESSION_free(*session);
	*session = SSL_get1_session(them);
	(void)SSL_shutdown(them); /* one that was cut off is not resumed */
	SSL_free(them);
	tls_release(&us);
	SSL_CTX_free(c);
	close(fds[0]);
	close(fds[1]);
	return reused;
}

static bool resumes(struct tls *tls, int version, SSL_SESSION **session)
{
	return resumes_as(NULL, tls, version, session);
}

static void check_resumption(int version)
{
	struct stek *s = made();
	SSL_SESSION *session = NULL, *first;
	struct tls *one, *other;

	add(s, 1, 0);
	one = server_with(s);
	other = server_with(s); /* another edge, or this one after a reload */
	assert_false(resumes(one, version, &session));
	assert_true(resumes(other, version, &session));
	assert_non_null(first = SSL_SESSION_dup(session));
	add(s, 2, 0);
	assert_true(
		resumes(one, version, &session)); /* and it gets a ticket of the newest */
	add(s, 3, 0);
	assert_true(resumes(other, version, &session));
	assert_false(resumes(one, version, &first)); /* the first key is gone */
	SSL_SESSION_free(first);
	SSL_SESSION_free(session);
	tls_close(&one);
	tls_close(&other);
	free(s);
}

static void a_session_is_resumed_by_whoever_has_the_keys(void **unused)
{
	(void)unused;
	check_resumption(TLS1_3_VERSION);
	check_resumption(TLS1_2_VERSION);
}

static void a_ticket_that_was_tampered_with_is_no_ticket(void **unused)
{
	static const int versions[] = { TLS1_2_VERSION, TLS1_3_VERSION };
	struct stek *s = made(), *forged = made();
	struct stek_key k = key_of(1);

	(void)unused;
	add(s, 1, 0);
	k.mac[0] ^= 1; /* the right name, but who made it does not have the key */
	stek_add(forged, &k, 0);
	for (size_t i = 0; i < COUNT_OF(versions); i++) {
		struct tls *us = server_with(s), *they = server_with(forged);
		SSL_SESSION *session = NULL;

		assert_false(resumes(they, versions[i], &session));
		assert_false(resumes(us, versions[i], &session));
		assert_true(resumes(us, versions[i], &session));
		SSL_SESSION_free(session);
		tls_close(&us);
		tls_close(&they);
	}
	free(s);
	free(forged);
}

/* Its ticket would hold the certificate, and none of those that auth wants to see with it. */
static void who_shows_a_certificate_shows_it_each_time(void **unused)
{
	static const int versions[] = { TLS1_2_VERSION, TLS1_3_VERSION };
	struct made_cert authority = cert_make(NULL, "authority", true, NULL, 30);
	struct made_cert client = cert_make(&authority, "client", false,
					    "email:ann@example.test", 30);
	struct stek *s = made();
	uint8_t mem[4096];
	struct buf pem;
	struct err err;

	(void)unused;
	add(s, 1, 0);
	buf_init(&pem, mem, sizeof(mem));
	cert_put_pem(&authority, &pem);
	for (size_t i = 0; i < COUNT_OF(versions); i++) {
		struct tls *tls = server_with(s);
		SSL_SESSION *session = NULL;

		assert_true(tls_ask_clients(tls, buf_span(&pem), &err));
		assert_false(resumes_as(&client, tls, versions[i], &session));
		assert_false(resumes_as(&client, tls, versions[i], &session));
		/* of others, who only could have, nothing was seen */
		assert_false(resumes(tls, versions[i], &session));
		assert_true(resumes(tls, versions[i], &session));
		SSL_SESSION_free(session);
		tls_close(&tls);
	}
	cert_free(&client);
	cert_free(&authority);
	free(s);
}

static void without_keys_of_all_a_server_has_its_own(void **unused)
{
	struct tls *one = server_with(NULL), *other = server_with(NULL);
	SSL_SESSION *session = NULL;

	(void)unused;
	assert_false(resumes(one, TLS1_3_VERSION, &session));
	assert_true(resumes(one, TLS1_3_VERSION, &session));
	assert_false(resumes(other, TLS1_3_VERSION, &session));
	SSL_SESSION_free(session);
	tls_close(&one);
	tls_close(&other);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(without_a_key_there_are_no_tickets),
		cmocka_unit_test(the_newest_makes_tickets_and_the_one_before_is_still_good),
		cmocka_unit_test(a_key_that_is_no_longer_good_is_nowhere),
		cmocka_unit_test(a_key_is_due_after_its_period),
		cmocka_unit_test(another_layout_is_not_taken_for_ours),
		cmocka_unit_test(a_session_is_resumed_by_whoever_has_the_keys),
		cmocka_unit_test(a_ticket_that_was_tampered_with_is_no_ticket),
		cmocka_unit_test(who_shows_a_certificate_shows_it_each_time),
		cmocka_unit_test(without_keys_of_all_a_server_has_its_own),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
