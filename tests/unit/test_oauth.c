/* Whose token it is: with keys from a file and from the web, and by asking the issuer. */
#include "token_maker.h"

#include <sys/stat.h>
#include <unistd.h>

#include "auth/oauth.h"
#include "base/list.h"

#define WALL	1800000000000
#define CLAIMS	"\"aud\":\"mail\",\"exp\":1800000300,\"email\":\"bob@example.org\"}"
#define MINUTES ((ms_t)60000)

static EVP_PKEY *old_key, *new_key;
static char home[] = "/tmp/holdfast-test-oauth-XXXXXX";

struct scene {
	struct conf conf;
	struct oauth_checker *checker;
	bool no_fetch;
	size_t fetches;
	struct msg_FETCH last;
	uint8_t text[FETCH_TEXT_MAX];
	struct oauth_ask ask;
	size_t answers;
	struct oauth_result result;
};

static struct scene scene;

static bool on_fetch(void *arg, const struct msg_FETCH *m)
{
	struct scene *s = arg;

	if (s->no_fetch)
		return false;
	s->fetches++;
	s->last = *m;
	memcpy(s->text, m->text.p ? m->text.p : s->text, m->text.n);
	s->last.text = span_of(s->text, m->text.n);
	return true;
}

static bool on_credential(void *arg, const char *name, struct span *user,
			  struct span *secret)
{
	(void)arg;
	*user = SPAN("mail");
	*secret = SPAN("s3cret");
	return strcmp(name, "idp") == 0;
}

static void on_done(void *arg, const struct oauth_result *r)
{
	struct scene *s = arg;

	s->answers++;
	s->result = *r;
}

static const struct oauth_calls calls = { .fetch = on_fetch, .credential = on_credential };

static struct oauth *add(struct scene *s, const char *issuer, const char *keys,
			 const char *introspect)
{
	struct oauth *o = &s->conf.oauth[s->conf.oauth_count++];

	snprintf(o->issuer, TEXT_MAX, "%s", issuer);
	snprintf(o->keys, TEXT_MAX, "%s", keys);
	snprintf(o->introspect, TEXT_MAX, "%s", introspect);
	snprintf(o->audience, TEXT_MAX, "mail");
	snprintf(o->user, TEXT_MAX, "email");
	return o;
}

static struct scene *begin(void)
{
	scene = (struct scene){ 0 };
	return &scene;
}

static void open_it(struct scene *s)
{
	struct err err;

	assert_true(oauth_open(&s->checker, &s->conf, &calls, s, &err));
}

static void end(struct scene *s)
{
	oauth_forget(&s->ask);
	oauth_close(&s->checker);
}

static struct span key_set(EVP_PKEY *key, const char *id)
{
	static uint8_t mem[2000];
	struct buf json;

	buf_init(&json, mem, sizeof(mem));
	buf_put(&json, SPAN("{\"keys\":["));
	put_jwk(key, id, "", &json);
	buf_put(&json, SPAN("]}"));
	return buf_span(&json);
}

static struct span token(EVP_PKEY *key, const char *id, const char *issuer)
{
	static uint8_t mem[2000];
	char header[100], claims[300];
	struct buf out;

	buf_init(&out, mem, sizeof(mem));
	snprintf(header, sizeof(header), "{\"alg\":\"EdDSA\",\"kid\":\"%s\"}", id);
	snprintf(claims, sizeof(claims), "{\"iss\":\"%s\"," CLAIMS, issuer);
	make_token(key, NULL, false, header, claims, &out);
	return buf_span(&out);
}

static void ask(struct scene *s, struct span t, ms_t now)
{
	s->answers = 0;
	oauth_begin(s->checker, &s->ask, t, now, WALL, on_done, s);
}

static void come(struct scene *s, bool ok, struct span body, ms_t now)
{
	struct msg_FETCHED m = { .ask = s->last.ask, .ok = ok, .keep = 3600, .body = body };

	oauth_fetched(s->checker, &m, now, WALL);
}

static void expect_result(const char *why, const struct scene *s,
			  enum oauth_verdict verdict, const char *reason)
{
	expect_number(why, (int64_t)s->answers, 1);
	expect_number(why, s->result.verdict, verdict);
	expect_span(why, span_str(s->result.reason), span_str(reason));
}

static void write_keys(const char *path, struct span json)
{
	char other[200];
	FILE *f;

	snprintf(other, sizeof(other), "%s.new", path);
	f = fopen(other, "we");
	assert_non_null(f);
	assert_int_equal(fwrite(json.p, 1, json.n, f), json.n);
	assert_int_equal(fclose(f), 0);
	assert_int_equal(rename(other, path), 0);
}

static void keys_from_a_file_are_read_again_when_it_has_changed(void **unused)
{
	struct scene *s = begin();
	char path[100], dir[TEXT_MAX];

	(void)unused;
	snprintf(path, sizeof(path), "%s/keys.json", home);
	write_keys(path, key_set(old_key, "a"));
	assert_true(oauth_keys_dir(add(s, "i", path, ""), dir));
	assert_string_equal(dir, home);
	open_it(s);
	ask(s, token(old_key, "a", "i"), 5000);
	expect_result("the key of the file", s, OAUTH_RIGHT, "right");
	assert_string_equal(s->result.user, "bob@example.org");
	ask(s, token(new_key, "b", "i"), 6000);
	expect_result("another", s, OAUTH_WRONG, "unknown-key");
	write_keys(path, key_set(new_key, "b"));
	ask(s, token(new_key, "b", "i"), 6500);
	expect_result("not looked at again yet", s, OAUTH_WRONG, "unknown-key");
	ask(s, token(new_key, "b", "i"), 7500);
	expect_result("now it is", s, OAUTH_RIGHT, "right");
	write_keys(path, SPAN("{\"keys\":["));
	ask(s, token(new_key, "b", "i"), 9000);
	expect_result("half a file changes nothing", s, OAUTH_RIGHT, "right");
	assert_int_equal(s->fetches, 0);
	end(s);
}

static void keys_are_fetched_once_and_kept(void **unused)
{
	struct scene *s = begin();

	(void)unused;
	add(s, "i", "https://id.example/keys", "");
	open_it(s);
	ask(s, token(old_key, "a", "i"), 0);
	assert_int_equal(s->answers, 0);
	assert_int_equal(s->last.what, FETCH_KEYS);
	expect_span("whose", s->last.name, SPAN("i"));
	come(s, true, key_set(old_key, "a"), 10);
	expect_result("when they are there", s, OAUTH_RIGHT, "right");
	ask(s, token(old_key, "a", "i"), 20);
	expect_result("at once", s, OAUTH_RIGHT, "right");
	ask(s, token(new_key, "a", "i"), 20);
	expect_result("signed with another key", s, OAUTH_WRONG, "bad-signature");
	assert_int_equal(s->fetches, 1);
	end(s);
}

/* Whoever sends tokens with names of keys that nobody has makes us ask once a minute. */
static void an_unknown_key_makes_us_ask_again_once_a_minute(void **unused)
{
	struct scene *s = begin();

	(void)unused;
	add(s, "i", "https://id.example/keys", "");
	open_it(s);
	ask(s, token(old_key, "a", "i"), 0);
	come(s, true, key_set(old_key, "a"), 0);
	for (ms_t now = 1000; now < MINUTES; now += 1000) {
		ask(s, token(new_key, "b", "i"), now);
		expect_result("too early", s, OAUTH_WRONG, "unknown-key");
	}
	assert_int_equal(s->fetches, 1);
	ask(s, token(new_key, "b", "i"), MINUTES);
	assert_int_equal(s->answers, 0);
	assert_int_equal(s->fetches, 2);
	come(s, true, key_set(new_key, "b"), MINUTES);
	expect_result("the new keys have it", s, OAUTH_RIGHT, "right");
	ask(s, token(new_key, "c", "i"), 2 * MINUTES);
	come(s, true, key_set(new_key, "b"), 2 * MINUTES);
	expect_result("they have not", s, OAUTH_WRONG, "unknown-key");
	end(s);
}

static void old_keys_count_while_new_ones_cannot_be_had_but_not_for_ever(void **unused)
{
	struct scene *s = begin();
	ms_t hour = 60 * MINUTES;

	(void)unused;
	add(s, "i", "https://id.example/keys", "");
	open_it(s);
	ask(s, token(old_key, "a", "i"), 0);
	come(s, true, key_set(old_key, "a"), 0);
	ask(s, token(old_key, "a", "i"), 2 * hour);
	expect_result("old, but nobody waits", s, OAUTH_RIGHT, "right");
	assert_int_equal(s->fetches, 2);
	come(s, false, SPAN("down"), 2 * hour);
	ask(s, token(old_key, "a", "i"), 24 * hour);
	expect_result("still", s, OAUTH_RIGHT, "right");
	come(s, false, SPAN("down"), 24 * hour);
	ask(s, token(old_key, "a", "i"), 26 * hour);
	assert_int_equal(s->answers, 0);
	come(s, false, SPAN("down"), 26 * hour);
	expect_result("a day is enough", s, OAUTH_LATER, "no-keys");
	end(s);
}

static void what_cannot_be_fetched_now_is_for_later(void **unused)
{
	struct scene *s = begin();

	(void)unused;
	add(s, "i", "https://id.example/keys", "");
	open_it(s);
	s->no_fetch = true;
	ask(s, token(old_key, "a", "i"), 0);
	expect_result("nobody fetches", s, OAUTH_LATER, "no-keys");
	s->no_fetch = false;
	ask(s, token(old_key, "a", "i"), 10);
	assert_int_equal(s->answers, 0);
	oauth_gone(s->checker, 20);
	expect_result("it died", s, OAUTH_LATER, "no-fetch");
	ask(s, token(old_key, "a", "i"), 30);
	assert_int_equal(s->fetches, 2);
	assert_int_equal(oauth_next(s->checker), 30 + OAUTH_WITHIN);
	oauth_on_time(s->checker, 29 + OAUTH_WITHIN, WALL);
	assert_int_equal(s->answers, 0);
	oauth_on_time(s->checker, 30 + OAUTH_WITHIN, WALL);
	expect_result("no answer", s, OAUTH_LATER, "no-answer");
	assert_true(oauth_next(s->checker) == MS_NEVER);
	come(s, true, key_set(old_key, "a"), 40000);
	assert_int_equal(s->answers, 1);
	ask(s, token(old_key, "a", "i"), 40000);
	expect_result("what came late is kept", s, OAUTH_RIGHT, "right");
	end(s);
}

static void an_issuer_that_nobody_knows_is_asked_nothing(void **unused)
{
	struct scene *s = begin();

	(void)unused;
	add(s, "i", "https://id.example/keys", "https://id.example/ask");
	open_it(s);
	ask(s, token(old_key, "a", "j"), 0);
	expect_result("another issuer", s, OAUTH_WRONG, "wrong-issuer");
	ask(s, SPAN(""), 0);
	expect_result("nothing", s, OAUTH_WRONG, "bad-token");
	assert_int_equal(s->fetches, 0);
	end(s);
}

static void a_token_that_says_nothing_is_shown_to_who_may_know_it(void **unused)
{
	struct scene *s = begin();
	struct span text, item[3];

	(void)unused;
	add(s, "keys only", "https://id.example/keys", "");
	snprintf(add(s, "b", "", "https://b.example/ask")->login, TEXT_MAX, "idp");
	add(s, "c", "", "https://c.example/ask");
	open_it(s);
	ask(s, SPAN("ya29.opaque"), 0);
	assert_int_equal(s->last.what, FETCH_INTROSPECT);
	expect_span("whose", s->last.name, SPAN("b"));
	text = s->last.text;
	for (size_t i = 0; i < 3; i++)
		assert_true(list_next(&text, &item[i]));
	assert_int_equal(text.n, 0);
	expect_span("user", item[0], SPAN("mail"));
	expect_span("secret", item[1], SPAN("s3cret"));
	expect_span("token", item[2], SPAN("ya29.opaque"));
	come(s, true, SPAN("{\"active\":false}"), 1);
	assert_int_equal(s->answers, 0);
	expect_span("whose", s->last.name, SPAN("c"));
	come(s, true,
	     SPAN("{\"active\":true,\"aud\":\"mail\",\"email\":\"Ann@example.org\"}"), 2);
	expect_result("the second knows it", s, OAUTH_RIGHT, "right");
	assert_string_equal(s->result.user, "ann@example.org");

	ask(s, SPAN("ya29.opaque"), 3);
	come(s, true, SPAN("{\"active\":false}"), 3);
	come(s, true, SPAN("{\"active\":false}"), 3);
	expect_result("nobody knows it", s, OAUTH_WRONG, "inactive");
	ask(s, SPAN("ya29.opaque"), 4);
	come(s, true, SPAN("<html>"), 4);
	expect_result("an answer that is none", s, OAUTH_LATER, "bad-answer");
	ask(s, SPAN("ya29.opaque"), 5);
	come(s, false, SPAN("down"), 5);
	expect_result("no answer", s, OAUTH_LATER, "no-answer");
	end(s);
}

static void without_its_credential_nobody_is_asked(void **unused)
{
	struct scene *s = begin();

	(void)unused;
	snprintf(add(s, "b", "", "https://b.example/ask")->login, TEXT_MAX, "unknown");
	open_it(s);
	ask(s, SPAN("opaque"), 0);
	expect_result("no such credential", s, OAUTH_LATER, "no-credential");
	assert_int_equal(s->fetches, 0);
	end(s);
}

static void who_leaves_is_not_called_and_a_reload_ends_what_waits(void **unused)
{
	static struct oauth_ask many[OAUTH_WAITING + 1];
	struct scene *s = begin();

	(void)unused;
	add(s, "b", "", "https://b.example/ask");
	open_it(s);
	ask(s, SPAN("opaque"), 0);
	oauth_forget(&s->ask);
	come(s, true, SPAN("{\"active\":true}"), 1);
	assert_int_equal(s->answers, 0);
	for (size_t i = 0; i < OAUTH_WAITING; i++)
		oauth_begin(s->checker, &many[i], SPAN("opaque"), 0, WALL, on_done, s);
	assert_int_equal(s->answers, 0);
	oauth_begin(s->checker, &many[OAUTH_WAITING], SPAN("opaque"), 0, WALL, on_done, s);
	expect_result("one too many", s, OAUTH_LATER, "too-many");
	s->answers = 0;
	oauth_conf(s->checker, &s->conf);
	assert_int_equal(s->answers, OAUTH_WAITING);
	end(s);
}

static void a_refusal_says_the_same_whatever_was_wrong(void **unused)
{
	BUF(text, 200);

	(void)unused;
	oauth_error_print(SASL_OAUTHBEARER, &text);
	expect_text("RFC 7628, 3.2.2", &text, "{\"status\":\"invalid_token\"}");
	buf_reset(&text);
	oauth_error_print(SASL_XOAUTH2, &text);
	expect_text("as Google has it", &text,
		    "{\"status\":\"401\",\"schemes\":\"bearer\",\"scope\":\"mail\"}");
}

static int make_world(void **unused)
{
	(void)unused;
	old_key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	new_key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	return old_key && new_key && mkdtemp(home) ? 0 : -1;
}

static int drop_world(void **unused)
{
	char text[200];

	(void)unused;
	EVP_PKEY_free(old_key);
	EVP_PKEY_free(new_key);
	snprintf(text, sizeof(text), "rm -r %s", home);
	return system(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(keys_from_a_file_are_read_again_when_it_has_changed),
		cmocka_unit_test(keys_are_fetched_once_and_kept),
		cmocka_unit_test(an_unknown_key_makes_us_ask_again_once_a_minute),
		cmocka_unit_test(
			old_keys_count_while_new_ones_cannot_be_had_but_not_for_ever),
		cmocka_unit_test(what_cannot_be_fetched_now_is_for_later),
		cmocka_unit_test(an_issuer_that_nobody_knows_is_asked_nothing),
		cmocka_unit_test(a_token_that_says_nothing_is_shown_to_who_may_know_it),
		cmocka_unit_test(without_its_credential_nobody_is_asked),
		cmocka_unit_test(who_leaves_is_not_called_and_a_reload_ends_what_waits),
		cmocka_unit_test(a_refusal_says_the_same_whatever_was_wrong),
	};

	return cmocka_run_group_tests(tests, make_world, drop_world);
}
