/* Tickets: who may make them, for what and for how long; and who gets the key. */
#include "expect.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "crypt/ticket.h"
#include "link/start.h"

#define UNTIL 1000000

static const uint8_t key[TICKET_KEY] = { 7, 1, 2, 3 };
static const struct ticket alices = { TICKET_MAILBOX, 3, SPAN_INIT("alice@a.example") };

struct made {
	uint8_t mem[TICKET_SIZE];
};

static struct made make(void)
{
	struct made m;

	ticket_make(key, &alices, UNTIL, m.mem);
	return m;
}

static enum ticket_says check(const struct ticket *t, ms_t now, const struct made *m)
{
	return ticket_check(key, t, now, span_of(m->mem, sizeof(m->mem)));
}

static void a_ticket_is_good_until_its_time_is_over(void **state)
{
	struct made m = make();

	(void)state;
	assert_int_equal(check(&alices, 0, &m), TICKET_GOOD);
	assert_int_equal(check(&alices, UNTIL - 1, &m), TICKET_GOOD);
	assert_int_equal(check(&alices, UNTIL, &m), TICKET_LATE);
	assert_int_equal(check(&alices, INT64_MAX, &m), TICKET_LATE);
}

static const struct other {
	const char *why;
	struct ticket t;
} others[] = {
	{ "another name", { TICKET_MAILBOX, 3, SPAN_INIT("alicf@a.example") } },
	{ "a shorter name", { TICKET_MAILBOX, 3, SPAN_INIT("alice@a.exampl") } },
	{ "a longer name", { TICKET_MAILBOX, 3, SPAN_INIT("alice@a.example\0") } },
	{ "the name in capitals", { TICKET_MAILBOX, 3, SPAN_INIT("Alice@a.example") } },
	{ "nobody", { TICKET_MAILBOX, 3, SPAN_INIT("") } },
	{ "another purpose", { TICKET_MAIL, 3, SPAN_INIT("alice@a.example") } },
	{ "to open it again", { TICKET_AGAIN, 3, SPAN_INIT("alice@a.example") } },
	{ "mail that is held", { TICKET_HELD, 3, SPAN_INIT("alice@a.example") } },
	{ "another edge", { TICKET_MAILBOX, 2, SPAN_INIT("alice@a.example") } },
};

static void a_ticket_is_good_for_one_name_purpose_and_edge(void **state)
{
	struct made m = make();

	(void)state;
	for (size_t i = 0; i < COUNT_OF(others); i++)
		expect_number(others[i].why, check(&others[i].t, 0, &m), TICKET_FORGED);
}

static void a_ticket_with_any_bit_changed_is_none(void **state)
{
	(void)state;
	for (size_t i = 0; i < TICKET_SIZE * 8; i++) {
		struct made m = make();

		m.mem[i / 8] ^= (uint8_t)(1u << i % 8);
		expect_number("a bit", check(&alices, 0, &m), TICKET_FORGED);
	}
}

static void a_ticket_of_another_length_is_none(void **state)
{
	struct made m = make();
	uint8_t longer[TICKET_SIZE + 1] = { 0 };

	(void)state;
	memcpy(longer, m.mem, sizeof(m.mem));
	for (size_t n = 0; n <= sizeof(longer); n++)
		if (n != TICKET_SIZE)
			expect_number("a length",
				      ticket_check(key, &alices, 0, span_of(longer, n)),
				      TICKET_FORGED);
	assert_int_equal(ticket_check(key, &alices, 0, SPAN_NONE), TICKET_FORGED);
}

static void a_ticket_made_with_another_key_is_none(void **state)
{
	const uint8_t other[TICKET_KEY] = { 7, 1, 2, 4 };
	struct made m;

	(void)state;
	ticket_make(other, &alices, UNTIL, m.mem);
	assert_int_equal(check(&alices, 0, &m), TICKET_FORGED);
}

/* ---- the key ------------------------------------------------------------------------------ */

static int memory_of(size_t n)
{
	int fd = memfd_create("test", MFD_ALLOW_SEALING | MFD_CLOEXEC);

	assert_int_equal(write(fd, key, sizeof(key)), (ssize_t)sizeof(key));
	assert_int_equal(ftruncate(fd, (off_t)n), 0);
	assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_GROW | F_SEAL_SHRINK), 0);
	return fd;
}

/* What such a role makes of a key, and nothing behind it. */
static void be_sent(struct start *s, enum role role, size_t n, struct err *err)
{
	struct msg_TICKETS m = { 0 };
	int fds[2], fd = memory_of(n);
	struct link *supervisor;

	assert_true(link_pair(fds, err));
	assert_true(link_open(&supervisor, fds[0], ROLE_SUPERVISOR, role, 0, err));
	msg_TICKETS_pack(&m, link_begin(supervisor));
	assert_true(link_send(supervisor, &fd, 1));
	close(fd);
	link_close(&supervisor);
	assert_false(start_wait_on(s, fds[1], role, err));
	link_close(&s->life);
}

static void auth_and_store_take_the_key(void **state)
{
	static const enum role roles[] = { ROLE_AUTH, ROLE_STORE };

	(void)state;
	for (size_t i = 0; i < COUNT_OF(roles); i++) {
		struct start s;
		struct err err;

		be_sent(&s, roles[i], sizeof(key), &err);
		assert_string_equal(err.text, "supervisor: gone");
		assert_true(s.has_tickets);
		assert_memory_equal(s.ticket_key, key, sizeof(key));
	}
}

static void nobody_else_takes_the_key(void **state)
{
	static const enum role roles[] = { ROLE_EDGE, ROLE_WATCH, ROLE_FETCH,
					   ROLE_FIREWALL };
	static const uint8_t none[TICKET_KEY];

	(void)state;
	for (size_t i = 0; i < COUNT_OF(roles); i++) {
		struct start s;
		struct err err;

		be_sent(&s, roles[i], sizeof(key), &err);
		assert_string_equal(err.text, "supervisor: tickets makes no sense");
		assert_false(s.has_tickets);
		assert_memory_equal(s.ticket_key, none, sizeof(none));
	}
}

static void a_key_of_another_length_is_none(void **state)
{
	struct start s;
	struct err err;

	(void)state;
	be_sent(&s, ROLE_STORE, sizeof(key) + 1, &err);
	assert_false(s.has_tickets);
	assert_string_equal(err.text, "the key of tickets: not as long as one");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_ticket_is_good_until_its_time_is_over),
		cmocka_unit_test(a_ticket_is_good_for_one_name_purpose_and_edge),
		cmocka_unit_test(a_ticket_with_any_bit_changed_is_none),
		cmocka_unit_test(a_ticket_of_another_length_is_none),
		cmocka_unit_test(a_ticket_made_with_another_key_is_none),
		cmocka_unit_test(auth_and_store_take_the_key),
		cmocka_unit_test(nobody_else_takes_the_key),
		cmocka_unit_test(a_key_of_another_length_is_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
