/* db/vault: what the auth role knows outlives it, and only so long as it is to. */
#include "expect.h"

#include <sqlite3.h>
#include <unistd.h>

#include "db/nameset.h"
#include "db/vault_told.h"

struct rig {
	char dir[64], path[96];
	struct vault *v;
	struct vault_reader *r;
};

static struct err err;

static void reopen(struct rig *r)
{
	vault_reader_close(&r->r);
	vault_close(&r->v);
	if (!vault_open(&r->v, r->path, &err) || !vault_reader_open(&r->r, r->path, &err))
		fail_msg("%s", err.text);
}

static int setup(void **state)
{
	struct rig *r = calloc(1, sizeof(*r));

	snprintf(r->dir, sizeof(r->dir), "/tmp/holdfast-vault-XXXXXX");
	assert_non_null(mkdtemp(r->dir));
	snprintf(r->path, sizeof(r->path), "%s/auth.db", r->dir);
	reopen(r);
	*state = r;
	return 0;
}

static int teardown(void **state)
{
	static const char *const ends[] = { "", "-lock", "-wal", "-shm" };
	struct rig *r = *state;
	char name[128];

	vault_reader_close(&r->r);
	vault_close(&r->v);
	for (size_t i = 0; i < COUNT_OF(ends); i++) {
		snprintf(name, sizeof(name), "%s%s", r->path, ends[i]);
		unlink(name);
	}
	rmdir(r->dir);
	free(r);
	return 0;
}

struct seen {
	size_t n;
	char last[128];
	int64_t number;
};

static void on_password(void *arg, struct span address, struct span hash, int64_t changed,
			bool disabled)
{
	struct seen *seen = arg;

	seen->n++;
	seen->number = changed;
	snprintf(seen->last, sizeof(seen->last), "%.*s %.*s%s", SPAN_ARG(address),
		 SPAN_ARG(hash), disabled ? " disabled" : "");
}

static void expect_hash(struct rig *r, const char *address, const char *hash,
			const char *keys)
{
	struct vault_account a;

	assert_true(vault_find(r->r, span_str(address), &a, &err));
	assert_int_equal(a.known, hash != NULL);
	expect_span(address, span_of(a.hash, a.hash_n), span_str(hash ? hash : ""));
	expect_span(address, span_of(a.keys, a.keys_n), span_str(keys));
}

static void passwords_survive_closing(void **state)
{
	struct rig *r = *state;
	struct seen seen = { 0 };
	bool found;

	assert_true(vault_put(r->v, SPAN("alice@example.test"), SPAN("$1"), SPAN("k1"), 1,
			      &err));
	assert_true(vault_put(r->v, SPAN("bob@example.test"), SPAN("$6$x$y"), SPAN_NONE,
			      2, &err));
	assert_true(vault_put(r->v, SPAN("alice@example.test"), SPAN("$2"), SPAN("k2"), 3,
			      &err));
	reopen(r);
	expect_hash(r, "alice@example.test", "$2", "k2");
	expect_hash(r, "bob@example.test", "$6$x$y", "");
	expect_hash(r, "carol@example.test", NULL, "");
	assert_true(vault_each(r->v, SPAN_NONE, 10, on_password, &seen, &err));
	assert_int_equal(seen.n, 2);
	assert_string_equal(seen.last, "bob@example.test $6$x$y");
	assert_true(vault_each(r->v, SPAN("alice@example.test"), 10, on_password, &seen,
			       &err));
	assert_int_equal(seen.n, 3);
	assert_true(vault_drop(r->v, SPAN("alice@example.test"), &found, &err) && found);
	assert_true(vault_drop(r->v, SPAN("alice@example.test"), &found, &err) && !found);
	expect_hash(r, "alice@example.test", NULL, "");
}

static void a_password_without_keys_voids_the_old_ones(void **state)
{
	struct rig *r = *state;

	assert_true(vault_put(r->v, SPAN("a@b"), SPAN("$1"), SPAN("k1"), 1, &err));
	assert_true(vault_put(r->v, SPAN("a@b"), SPAN("$2"), SPAN_NONE, 2, &err));
	expect_hash(r, "a@b", "$2", "");
}

/* A program of before knows nothing of keys. */
static void a_database_of_before_is_read_and_its_changes_void_keys(void **state)
{
	struct rig *r = *state;
	sqlite3 *db;

	assert_true(vault_put(r->v, SPAN("a@b"), SPAN("$1"), SPAN("k1"), 1, &err));
	vault_reader_close(&r->r);
	vault_close(&r->v);
	assert_int_equal(sqlite3_open(r->path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, "update password set hash = '$3'", NULL, NULL,
				      NULL),
			 SQLITE_OK);
	sqlite3_close(db);
	reopen(r);
	expect_hash(r, "a@b", "$3", "");
	vault_reader_close(&r->r);
	vault_close(&r->v);
	assert_int_equal(sqlite3_open(r->path, &db), SQLITE_OK);
	assert_int_equal(
		sqlite3_exec(db,
			     "drop table scram; drop table disabled; drop table device;"
			     "drop table history; drop table told; drop table secret;"
			     "drop table credential",
			     NULL, NULL, NULL),
		SQLITE_OK);
	sqlite3_close(db);
	reopen(r);
	expect_hash(r, "a@b", "$3", "");
}

static void who_is_disabled_is_so_wherever_the_password_is(void **state)
{
	struct rig *r = *state;
	struct vault_account a;
	int64_t since;
	bool changed;

	assert_true(vault_disable(r->v, SPAN("x@y"), true, 1, &changed, &err) && changed);
	assert_true(vault_disable(r->v, SPAN("x@y"), true, 2, &changed, &err) && !changed);
	assert_true(vault_disabled(r->v, SPAN("x@y"), &since, &err));
	assert_int_equal(since, 1);
	assert_true(vault_disabled(r->v, SPAN("z@y"), &since, &err));
	assert_int_equal(since, 0);
	assert_true(vault_find(r->r, SPAN("x@y"), &a, &err));
	assert_true(a.disabled && !a.known);
	assert_true(vault_put(r->v, SPAN("x@y"), SPAN("$1"), SPAN_NONE, 1, &err));
	assert_true(vault_find(r->r, SPAN("x@y"), &a, &err));
	assert_true(a.disabled && a.known);
	assert_true(vault_disable(r->v, SPAN("x@y"), false, 2, &changed, &err) && changed);
	assert_true(vault_find(r->r, SPAN("x@y"), &a, &err));
	assert_true(!a.disabled && a.known);
}

static bool knows(struct rig *r, const char *address)
{
	bool has;

	assert_true(vault_knows(r->v, span_str(address), &has));
	return has;
}

static void who_has_a_password_is_known_without_a_look(void **state)
{
	struct rig *r = *state;
	bool found;

	assert_false(knows(r, "a@b"));
	assert_true(vault_disable(r->v, SPAN("a@b"), true, 1, &found, &err));
	assert_false(knows(r, "a@b"));
	assert_true(vault_put(r->v, SPAN("a@b"), SPAN("$1"), SPAN_NONE, 1, &err));
	assert_true(vault_put(r->v, SPAN("a@b"), SPAN("$2"), SPAN_NONE, 1, &err));
	assert_true(vault_put(r->v, SPAN("c@d"), SPAN("$1"), SPAN_NONE, 1, &err));
	assert_true(knows(r, "a@b") && knows(r, "c@d"));
	reopen(r);
	assert_true(knows(r, "a@b") && knows(r, "c@d") && !knows(r, "a@c"));
	assert_true(vault_drop(r->v, SPAN("a@b"), &found, &err) && found);
	assert_true(!knows(r, "a@b") && knows(r, "c@d"));
	reopen(r);
	assert_true(!knows(r, "a@b") && knows(r, "c@d"));
}

/* Against a plain list, with as many coming as going, beyond where it has to grow. */
static void a_set_of_names_has_what_was_put_and_not_dropped(void **state)
{
	enum { NAMES = 3000, STEPS = 40000 };
	bool in[NAMES] = { false }, has;
	struct nameset *set;
	uint32_t seed = 1;
	char name[16];

	(void)state;
	assert_true(nameset_open(&set, &err));
	for (int i = 0; i < STEPS; i++) {
		unsigned which;

		seed = seed * 1664525 + 1013904223;
		which = (seed >> 8) % NAMES;
		snprintf(name, sizeof(name), "n%u", which);
		assert_true(nameset_ask(set, span_str(name), &has));
		assert_int_equal(has, in[which]);
		in[which] = seed >> 31;
		if (in[which])
			nameset_put(set, span_str(name));
		else
			nameset_drop(set, span_str(name));
	}
	for (unsigned i = 0; i < NAMES; i++) {
		snprintf(name, sizeof(name), "n%u", i);
		assert_true(nameset_ask(set, span_str(name), &has));
		assert_int_equal(has, in[i]);
	}
	nameset_close(&set);
}

static void on_device(void *arg, const struct vault_device *d)
{
	struct seen *seen = arg;

	seen->n++;
	seen->number = d->logins;
	snprintf(seen->last, sizeof(seen->last), "%llu %lld %lld %.*s",
		 (unsigned long long)d->client, (long long)d->first, (long long)d->last,
		 SPAN_ARG(d->helo));
}

static void the_logins_of_a_device_add_up(void **state)
{
	struct rig *r = *state;
	struct vault_device d = { .user = 1,
				  .client = UINT64_MAX,
				  .prefix = addr_v4(192, 0, 2, 0),
				  .first = 100,
				  .last = 100,
				  .logins = 2,
				  .address = SPAN("a@b"),
				  .helo = SPAN("phone") };
	struct seen seen = { 0 };
	int64_t count;

	assert_true(vault_put_device(r->v, &d, &err));
	d.first = d.last = 200;
	d.logins = 3;
	assert_true(vault_put_device(r->v, &d, &err));
	reopen(r);
	assert_true(vault_devices_of(r->v, SPAN("a@b"), 0, 10, on_device, &seen, &err));
	assert_int_equal(seen.n, 1);
	assert_int_equal(seen.number, 5);
	assert_string_equal(seen.last, "18446744073709551615 100 200 phone");
	assert_true(vault_each_device(r->v, 201, 10, on_device, &seen, &err));
	assert_int_equal(seen.n, 1);
	assert_true(vault_each_device(r->v, 200, 10, on_device, &seen, &err));
	assert_int_equal(seen.n, 2);
	assert_true(vault_forget_devices(r->v, SPAN("a@b"), &count, &err));
	assert_int_equal(count, 1);
	assert_true(vault_devices_of(r->v, SPAN("a@b"), 0, 10, on_device, &seen, &err));
	assert_int_equal(seen.n, 2);
}

static void on_login(void *arg, const struct vault_login *l)
{
	struct seen *seen = arg;

	seen->n++;
	seen->number = l->count;
	snprintf(seen->last, sizeof(seen->last), "%.*s %lld %lld", SPAN_ARG(l->reason),
		 (long long)l->first, (long long)l->last);
}

static void the_same_failure_again_is_a_count(void **state)
{
	struct rig *r = *state;
	struct vault_login l = { .address = SPAN("a@b"),
				 .prefix = addr_v4(192, 0, 2, 0),
				 .peer = addr_v4(192, 0, 2, 7),
				 .reason = SPAN("wrong"),
				 .mechanism = SPAN("plain"),
				 .count = 1 };
	struct seen seen = { 0 };

	for (int64_t at = 1; at <= 1000; at++) {
		l.first = l.last = at;
		assert_true(vault_put_login(r->v, &l, &err));
	}
	assert_true(vault_logins_of(r->v, SPAN("a@b"), true, 0, 10, on_login, &seen, &err));
	assert_int_equal(seen.n, 1);
	assert_int_equal(seen.number, 1000);
	assert_string_equal(seen.last, "wrong 1 1000");
}

static void the_history_of_an_account_has_a_ceiling(void **state)
{
	struct rig *r = *state;
	struct vault_login l = { .address = SPAN("a@b"),
				 .reason = SPAN("wrong"),
				 .mechanism = SPAN("plain"),
				 .count = 1 };
	struct seen seen = { 0 };

	for (uint8_t i = 0; i < 50; i++) {
		l.prefix = addr_v4(10, 0, i, 0);
		l.first = l.last = i;
		assert_true(vault_put_login(r->v, &l, &err));
		if (i % 3 == 0 || i == 49)
			assert_true(vault_prune_logins(r->v, l.address, 10, &err));
	}
	l.address = SPAN("c@d");
	l.good = true;
	assert_true(vault_put_login(r->v, &l, &err));
	assert_true(
		vault_logins_of(r->v, SPAN("a@b"), true, 0, 100, on_login, &seen, &err));
	assert_int_equal(seen.n, 10);
	/* the oldest went */
	assert_string_equal(seen.last, "wrong 40 40");
	assert_true(
		vault_logins_of(r->v, SPAN("c@d"), true, 0, 100, on_login, &seen, &err));
	assert_int_equal(seen.n, 10);
	assert_true(
		vault_logins_of(r->v, SPAN("c@d"), false, 0, 100, on_login, &seen, &err));
	assert_int_equal(seen.n, 11);
}

static void an_owner_is_told_once_a_day(void **state)
{
	struct rig *r = *state;
	bool due;

	assert_true(vault_tell(r->v, SPAN("a@b"), SPAN("stale"), 1000, 900, &due, &err) &&
		    due);
	assert_true(vault_tell(r->v, SPAN("a@b"), SPAN("stale"), 1050, 950, &due, &err) &&
		    !due);
	assert_true(vault_tell(r->v, SPAN("a@b"), SPAN("guarded"), 1050, 950, &due, &err) &&
		    due);
	assert_true(vault_tell(r->v, SPAN("a@b"), SPAN("stale"), 1100, 1000, &due, &err) &&
		    due);
	reopen(r);
	assert_true(vault_tell(r->v, SPAN("a@b"), SPAN("stale"), 1150, 1050, &due, &err) &&
		    !due);
}

static void a_key_is_made_once(void **state)
{
	struct rig *r = *state;
	uint8_t first[VAULT_KEY] = { 1 }, second[VAULT_KEY] = { 2 };

	assert_true(vault_key(r->v, SPAN("salts"), first, &err));
	reopen(r);
	assert_true(vault_key(r->v, SPAN("salts"), second, &err));
	assert_memory_equal(first, second, sizeof(first));
	second[0] = 3;
	assert_true(vault_key(r->v, SPAN("others"), second, &err));
	assert_int_equal(second[0], 3);
}

static void a_login_for_a_next_hop_is_found_by_its_name(void **state)
{
	struct rig *r = *state;
	struct vault_credential c;
	bool found;

	assert_true(vault_put_credential(r->v, SPAN("smart"), SPAN("u"), SPAN("s1"), 1,
					 &err));
	assert_true(vault_put_credential(r->v, SPAN("smart"), SPAN("u2"), SPAN("s2"), 2,
					 &err));
	assert_true(vault_find_credential(r->r, SPAN("smart"), &c, &err));
	assert_true(c.known);
	expect_span("user", span_of(c.user, c.user_n), SPAN("u2"));
	expect_span("secret", span_of(c.secret, c.secret_n), SPAN("s2"));
	assert_true(vault_drop_credential(r->v, SPAN("smart"), &found, &err) && found);
	assert_true(vault_find_credential(r->r, SPAN("smart"), &c, &err));
	assert_false(c.known);
}

static void what_was_begun_and_not_committed_never_was(void **state)
{
	struct rig *r = *state;
	struct vault_login l = { .address = SPAN("a@b"), .good = true, .count = 1 };
	struct seen seen = { 0 };
	bool has;

	assert_true(vault_begin(r->v, &err));
	assert_true(vault_put_login(r->v, &l, &err));
	assert_true(vault_logged_in(r->r, SPAN("a@b"), &has, &err) && !has);
	vault_rollback(r->v);
	assert_true(vault_begin(r->v, &err) && vault_commit(r->v, &err));
	assert_true(
		vault_logins_of(r->v, SPAN("a@b"), false, 0, 10, on_login, &seen, &err));
	assert_int_equal(seen.n, 0);
	assert_true(vault_put_login(r->v, &l, &err));
	assert_true(vault_logged_in(r->r, SPAN("a@b"), &has, &err) && has);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		TEST(passwords_survive_closing),
		TEST(a_password_without_keys_voids_the_old_ones),
		TEST(a_database_of_before_is_read_and_its_changes_void_keys),
		TEST(who_is_disabled_is_so_wherever_the_password_is),
		TEST(who_has_a_password_is_known_without_a_look),
		TEST(a_set_of_names_has_what_was_put_and_not_dropped),
		TEST(the_logins_of_a_device_add_up),
		TEST(the_same_failure_again_is_a_count),
		TEST(the_history_of_an_account_has_a_ceiling),
		TEST(an_owner_is_told_once_a_day),
		TEST(a_key_is_made_once),
		TEST(a_login_for_a_next_hop_is_found_by_its_name),
		TEST(what_was_begun_and_not_committed_never_was),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
