/*
 * store/sign and auth/sign, each at its end of a real link: who is signed for, that files and
 * memory give the same, and that nothing waits for ever for a key that is not there.
 */
#include "expect.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "auth/keys.h"
#include "auth/store_link.h"
#include "store/auth_link.h"
#include "store/inner.h"
#include "store/sign.h"

static struct err err;

struct rig {
	struct store s;
	struct conf conf;
	struct store_link *auth;
	char dir[64];
	int dkim, spool;
	unsigned troubles; /* that auth told */
	struct timer patience;
	unsigned over, awaited; /* messages that are signed, or not */
	/* of the last message */
	bool is_over;
	uint8_t mem[PREFIX_MAX];
	struct buf prefix;
};

static bool on_row(void *arg, uint32_t ask, struct span row)
{
	(void)arg;
	(void)ask;
	(void)row;
	return true;
}

static void on_end(void *arg, uint32_t ask, bool ok, struct span text)
{
	(void)arg;
	(void)ask;
	(void)ok;
	(void)text;
}

static void on_changed(void *arg, struct span key, const char *what)
{
	(void)arg;
	(void)key;
	(void)what;
}

static void on_trouble(void *arg, const char *why)
{
	struct rig *r = arg;

	(void)why;
	r->troubles++;
}

static const struct signer_calls calls = {
	.row = on_row,
	.end = on_end,
	.changed = on_changed,
	.trouble = on_trouble,
};

static void on_patience(void *arg)
{
	struct rig *r = arg;

	loop_stop(r->s.loop);
}

static void add_key(struct rig *r, const char *domain, const char *selector, bool ed25519)
{
	struct dkim_key *k = &r->conf.dkim[r->conf.dkim_count++];

	snprintf(k->domain, sizeof(k->domain), "%s", domain);
	snprintf(k->selector, sizeof(k->selector), "%s", selector);
	k->algorithm = ed25519 ? DKIM_ED25519 : DKIM_RSA;
}

static void make_key(struct rig *r, const char *domain, const char *selector, bool ed25519)
{
	struct dkim_secret *secret = NULL;
	struct key_name name;

	assert_true(key_name(&name, span_str(domain), span_str(selector)));
	assert_true(dkim_make(&secret, ed25519, &err));
	assert_true(key_save(r->dkim, &name, secret, &err));
	dkim_close(&secret);
}

static void meet_auth(struct rig *r)
{
	struct link *ours, *theirs;
	int fds[2];

	assert_true(link_pair(fds, &err));
	assert_true(link_open(&ours, fds[0], ROLE_STORE, ROLE_AUTH, 0, &err));
	assert_true(link_open(&theirs, fds[1], ROLE_AUTH, ROLE_STORE, 0, &err));
	auth_link_meet(&r->s, ours);
	store_link_meet(r->auth, theirs);
}

static struct rig *begin(void)
{
	struct rig *r = calloc(1, sizeof(*r));
	char path[128];

	assert_non_null(r);
	snprintf(r->dir, sizeof(r->dir), "/tmp/holdfast-sign-XXXXXX");
	assert_non_null(mkdtemp(r->dir));
	snprintf(path, sizeof(path), "%s/dkim", r->dir);
	assert_int_equal(mkdir(path, 0700), 0);
	r->dkim = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	r->spool = open(r->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(r->dkim >= 0 && r->spool >= 0);
	r->s.conf = &r->conf;
	r->s.spool_dir = r->spool;
	assert_true(pulse_private(&r->s.pulse, &err));
	assert_true(loop_open(&r->s.loop, &err));
	timer_init(&r->patience, r->s.loop, on_patience, r);
	add_key(r, "us.example", "one", false);
	add_key(r, "us.example", "two", true);
	add_key(r, "sub.us.example", "three", true);
	add_key(r, "keyless.example", "four", true);
	make_key(r, "us.example", "one", false);
	make_key(r, "us.example", "two", true);
	make_key(r, "sub.us.example", "three", true);
	assert_true(
		store_link_open(&r->auth, r->s.loop, r->dir, &r->conf, &calls, r, &err));
	expect_number("the missing key is told", r->troubles, 1);
	meet_auth(r);
	return r;
}

static void end(struct rig *r)
{
	char command[128];

	timer_stop(&r->patience);
	sign_close(&r->s);
	auth_link_close(&r->s);
	loop_close(&r->s.loop);
	store_link_close(&r->auth);
	pulse_close(&r->s.pulse);
	close(r->dkim);
	close(r->spool);
	snprintf(command, sizeof(command), "rm -r %s", r->dir);
	assert_int_equal(system(command), 0);
	free(r);
}

static void on_signed(void *arg, struct span prefix)
{
	struct rig *r = arg;

	r->is_over = true;
	buf_reset(&r->prefix);
	buf_put(&r->prefix, prefix);
	if (++r->over >= r->awaited)
		loop_stop(r->s.loop);
}

static bool start(struct rig *r, const struct sign_wish *wish)
{
	r->is_over = false;
	r->over = 0;
	r->awaited = 1;
	buf_init(&r->prefix, r->mem, sizeof(r->mem));
	return sign_start(&r->s, wish, on_signed, r);
}

static void wait(struct rig *r)
{
	timer_set(&r->patience, loop_now_exact(r->s.loop) + MS_MINUTE);
	if (!r->is_over)
		loop_run(r->s.loop);
	assert_true(r->is_over);
}

/* The prefix of a message with that From field. */
static struct span sign_as(struct rig *r, const char *from, unsigned flags)
{
	uint8_t mem[400];
	struct buf text;

	buf_init(&text, mem, sizeof(mem));
	buf_fmt(&text, "From: %s\r\nSubject: x\r\n\r\nbody\r\n", from);
	if (start(r,
		  &(struct sign_wish){ .id = 1, .flags = flags, .body = buf_span(&text) }))
		wait(r);
	return buf_span(&r->prefix);
}

static size_t how_often(struct span text, const char *what)
{
	size_t n = 0, m = strlen(what);

	for (; text.n >= m; text = span_skip(text, 1))
		n += memcmp(text.p, what, m) == 0;
	return n;
}

static void a_message_is_signed_with_all_keys_of_its_domain(void **unused)
{
	struct rig *r = begin();
	struct span prefix = sign_as(r, "Bob <bob@Us.Example>", MAIL_AUTH);

	(void)unused;
	expect_number("two", (int64_t)how_often(prefix, "DKIM-Signature: v=1;"), 2);
	expect_number("RSA", (int64_t)how_often(prefix, "a=rsa-sha256"), 1);
	expect_number("Ed25519", (int64_t)how_often(prefix, "a=ed25519-sha256"), 1);
	expect_number("domain", (int64_t)how_often(prefix, "d=us.example;\r\n"), 2);
	expect_true("ends with CRLF", span_eq(span_tail(prefix, 2), SPAN("\r\n")));
	end(r);
}

static void the_nearest_domain_that_has_keys_signs(void **unused)
{
	struct rig *r = begin();

	(void)unused;
	expect_number("below",
		      (int64_t)how_often(sign_as(r, "b@x.us.example", MAIL_LOCAL),
					 "d=us.example;"),
		      2);
	expect_number("its own",
		      (int64_t)how_often(sign_as(r, "b@sub.us.example", MAIL_OURS),
					 "d=sub.us.example;"),
		      1);
	expect_number("below that",
		      (int64_t)how_often(sign_as(r, "b@a.b.sub.us.example", MAIL_AUTH),
					 "d=sub.us.example;"),
		      1);
	end(r);
}

static void others_are_not_signed_for(void **unused)
{
	struct rig *r = begin();

	(void)unused;
	expect_number("another domain",
		      (int64_t)sign_as(r, "b@other.example", MAIL_AUTH).n, 0);
	expect_number("not a part of it",
		      (int64_t)sign_as(r, "b@notus.example", MAIL_AUTH).n, 0);
	expect_number("a stranger", (int64_t)sign_as(r, "b@us.example", MAIL_TLS).n, 0);
	expect_number("no address", (int64_t)sign_as(r, "us.example", MAIL_AUTH).n, 0);
	expect_number(
		"two fields",
		(int64_t)sign_as(r, "b@us.example\r\nFrom: c@us.example", MAIL_AUTH).n, 0);
	expect_false("and nobody was asked", r->is_over);
	end(r);
}

static void a_key_that_is_missing_does_not_stop_mail(void **unused)
{
	struct rig *r = begin();

	(void)unused;
	expect_number("no signature",
		      (int64_t)sign_as(r, "b@keyless.example", MAIL_AUTH).n, 0);
	expect_true("auth said so", r->is_over);
	/* another entry of a domain that has keys */
	add_key(r, "us.example", "five", true);
	expect_number("the others",
		      (int64_t)how_often(sign_as(r, "b@us.example", MAIL_AUTH),
					 "DKIM-Signature: "),
		      2);
	end(r);
}

/* A reload reaches store and auth one after the other. */
static void a_key_is_asked_for_by_its_name(void **unused)
{
	struct rig *r = begin();
	struct conf *other = malloc(sizeof(*other));
	struct span prefix;
	const uint8_t *second;

	(void)unused;
	assert_non_null(other);
	*other = r->conf;
	other->dkim[0] = r->conf.dkim[1];
	other->dkim[1] = r->conf.dkim[0];
	store_link_conf(r->auth, other);
	prefix = sign_as(r, "b@us.example", MAIL_AUTH);
	second = memmem(prefix.p + 1, prefix.n - 1, "DKIM-Signature:", 15);
	assert_non_null(second);
	expect_number("RSA is the first",
		      (int64_t)how_often(span_of(prefix.p, (size_t)(second - prefix.p)),
					 "a=rsa-sha256"),
		      1);
	/* 256 bytes and 64 bytes, in base64 */
	expect_true("a long signature", second - prefix.p > 344);
	expect_true("a short one", prefix.n - (size_t)(second - prefix.p) <
					   (size_t)(second - prefix.p) - 200);
	/* one that is another by now, and one that is gone */
	other->dkim[0].algorithm = DKIM_RSA;
	other->dkim_count = 1;
	store_link_conf(r->auth, other);
	expect_number("none", (int64_t)sign_as(r, "b@us.example", MAIL_AUTH).n, 0);
	store_link_conf(r->auth, &r->conf);
	free(other);
	end(r);
}

static void without_auth_mail_goes_unsigned(void **unused)
{
	struct rig *r = begin();
	static const struct span text = SPAN_INIT("From: b@us.example\r\n\r\n");
	const struct sign_wish wish = { .id = 1, .flags = MAIL_AUTH, .body = text };

	(void)unused;
	expect_true("asked", start(r, &wish));
	auth_link_close(&r->s);
	expect_true("told at once", r->is_over && r->prefix.len == 0);
	expect_false("not even asked", start(r, &wish));
	meet_auth(r);
	expect_true("asked again", start(r, &wish));
	wait(r);
	expect_number("signed",
		      (int64_t)how_often(buf_span(&r->prefix), "DKIM-Signature: "), 2);
	end(r);
}

static void many_can_be_signed_at_once(void **unused)
{
	static const struct span text = SPAN_INIT("From: b@sub.us.example\r\n\r\n");
	const struct sign_wish wish = { .id = 1, .flags = MAIL_AUTH, .body = text };
	struct rig *r = begin();
	unsigned started = 0;

	(void)unused;
	for (size_t i = 0; i < SIGNS_MAX + 10; i++)
		started += start(r, &wish);
	expect_number("as many as there is room for", started, SIGNS_MAX);
	r->awaited = started;
	wait(r);
	expect_number("all of them", r->over, SIGNS_MAX);
	expect_number("the last",
		      (int64_t)how_often(buf_span(&r->prefix), "DKIM-Signature: "), 1);
	expect_number("and then again",
		      (int64_t)how_often(sign_as(r, "b@us.example", MAIL_AUTH),
					 "DKIM-Signature: "),
		      2);
	end(r);
}

/* Everything up to b=, but for the time. */
static struct span to_sign(struct span prefix)
{
	const uint8_t *at = memmem(prefix.p, prefix.n, "\th=", 3);
	const uint8_t *to = memmem(prefix.p, prefix.n, "\tb=", 3);

	assert_true(at && to && at < to);
	return span_of(at, (size_t)(to - at));
}

static void a_file_gives_the_same_as_memory(void **unused)
{
	struct rig *r = begin();
	size_t n = 400000;
	uint8_t *text = malloc(n), first[PREFIX_MAX];
	struct span want;
	char path[128];
	int fd;

	(void)unused;
	assert_non_null(text);
	for (size_t i = 0; i < n; i++)
		text[i] = i % 70 == 68	 ? '\r'
			  : i % 70 == 69 ? '\n'
					 : (uint8_t)(i % 90 == 0 ? ' ' : 'x');
	memcpy(text, "From: b@sub.us.example\r\n\r\n", 26);
	assert_true(start(r, &(struct sign_wish){ .flags = MAIL_AUTH,
						  .body = span_of(text, n) }));
	wait(r);
	want = to_sign(buf_span(&r->prefix));
	memcpy(first, want.p, want.n);
	want.p = first;

	/* the file of message 32 is named by its id */
	snprintf(path, sizeof(path), "%s/0000000000010", r->dir);
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	assert_true(fd >= 0 && write(fd, text, n) == (ssize_t)n);
	close(fd);
	assert_true(start(
		r, &(struct sign_wish){ .id = 32, .flags = MAIL_AUTH, .spooled = true }));
	wait(r);
	expect_span("same", to_sign(buf_span(&r->prefix)), want);
	assert_true(start(
		r, &(struct sign_wish){ .id = 33, .flags = MAIL_AUTH, .spooled = true }));
	wait(r);
	expect_number("no file", (int64_t)r->prefix.len, 0);
	free(text);
	end(r);
}

static void a_key_is_never_written_over(void **unused)
{
	struct rig *r = begin();
	struct dkim_secret *secret = NULL;
	struct key_name name;

	(void)unused;
	assert_true(key_name(&name, SPAN("US.example"), SPAN("One")));
	assert_true(dkim_make(&secret, true, &err));
	expect_false("there is one", key_save(r->dkim, &name, secret, &err));
	assert_true(key_remove(r->dkim, &name, &err));
	expect_true("now there is none", key_save(r->dkim, &name, secret, &err));
	dkim_close(&secret);
	expect_false("no path", key_name(&name, SPAN("../x"), SPAN("one")));
	expect_false("no path", key_name(&name, SPAN("us.example"), SPAN("a/b")));
	expect_false("no name", key_name(&name, SPAN("us.example"), SPAN("")));
	expect_false("no name", key_name(&name, SPAN(".."), SPAN("one")));
	end(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_message_is_signed_with_all_keys_of_its_domain),
		cmocka_unit_test(the_nearest_domain_that_has_keys_signs),
		cmocka_unit_test(others_are_not_signed_for),
		cmocka_unit_test(a_key_that_is_missing_does_not_stop_mail),
		cmocka_unit_test(a_key_is_asked_for_by_its_name),
		cmocka_unit_test(without_auth_mail_goes_unsigned),
		cmocka_unit_test(many_can_be_signed_at_once),
		cmocka_unit_test(a_file_gives_the_same_as_memory),
		cmocka_unit_test(a_key_is_never_written_over),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
