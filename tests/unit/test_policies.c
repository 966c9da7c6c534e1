/* edge/policies: what is known of MTA-STS, against a name server and a fetch role of our own. */
#include "expect.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "edge/policies.h"

struct stage {
	struct loop *loop;
	struct dns *dns;
	struct watch names, fetcher_watch;
	struct fetch_link fetch;
	struct link *fetcher;
	struct policies *all;
	struct timer limit;
	const char *record; /* NULL: there is none */
	bool dns_fails, mute;
	const char *policy; /* NULL: it cannot be had */
	unsigned asked, fetched, answers;
	bool none;
	enum sts_mode mode;
};

static void put_record(const struct stage *s, struct buf *out)
{
	size_t n = strlen(s->record);

	buf_put(out, span_of("\xc0\x0c\0\x10\0\1\0\0\0\x3c\0", 11));
	buf_byte(out, (uint8_t)(n + 1));
	buf_byte(out, (uint8_t)n);
	buf_put(out, span_str(s->record));
}

static void on_question(void *arg, unsigned ready)
{
	struct stage *s = arg;
	struct sockaddr_in from;
	socklen_t from_n = sizeof(from);
	uint8_t in[512], mem[1024];
	ssize_t n = recvfrom(s->names.fd, in, sizeof(in), 0, (struct sockaddr *)&from,
			     &from_n);
	size_t name;
	struct buf out;

	(void)ready;
	if (n < 17)
		return;
	s->asked++;
	name = strnlen((const char *)in + 12, (size_t)n - 12) + 1;
	buf_init(&out, mem, sizeof(mem));
	buf_put(&out, span_of(in, 2));
	buf_byte(&out, 0x81);
	buf_byte(&out, s->dns_fails ? 0x82 : 0x80);
	buf_put(&out, s->record ? span_of("\0\1\0\1\0\0\0\0", 8)
				: span_of("\0\1\0\0\0\0\0\0", 8));
	buf_put(&out, span_of(in + 12, name + 4));
	if (s->record)
		put_record(s, &out);
	sendto(s->names.fd, mem, out.len, 0, (struct sockaddr *)&from, from_n);
}

static void on_fetch(void *arg, unsigned ready)
{
	struct stage *s = arg;
	struct msg_FETCHED answer = { .ok = s->policy != NULL };
	struct msg_FETCH m;
	struct frame f;
	struct err err;

	(void)ready;
	while (link_recv(s->fetcher, &f, &err) == LINK_GOT) {
		assert_true(msg_FETCH_unpack(f.bytes, &m));
		assert_int_equal(m.what, FETCH_STS);
		expect_span("domain", m.name, SPAN("example.org"));
		s->fetched++;
		if (s->mute)
			continue;
		answer.ask = m.ask;
		answer.body = span_str(s->policy ? s->policy : "404");
		msg_FETCHED_pack(&answer, link_begin(s->fetcher));
		assert_true(link_send(s->fetcher, NULL, 0));
	}
}

static void on_limit(void *arg)
{
	struct stage *s = arg;

	loop_stop(s->loop);
}

static void open_names(struct stage *s, char *at, size_t room)
{
	struct sockaddr_in in = { .sin_family = AF_INET,
				  .sin_addr = { htonl(INADDR_LOOPBACK) } };
	socklen_t n = sizeof(in);
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);

	assert_int_equal(bind(fd, (struct sockaddr *)&in, n), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&in, &n), 0);
	snprintf(at, room, "127.0.0.1:%d", ntohs(in.sin_port));
	assert_true(watch_start(s->loop, &s->names, fd, WATCH_READ, on_question, s));
}

static void open_stage(struct stage *s)
{
	struct policies_setup setup;
	struct link *ours;
	struct err err;
	char at[64];
	struct dns_setup dns = { .servers = at, .timeout = MS_MINUTE };
	int fds[2];

	*s = (struct stage){ .record = "v=STSv1; id=1" };
	assert_true(loop_open(&s->loop, &err));
	open_names(s, at, sizeof(at));
	assert_true(dns_open(&s->dns, s->loop, &dns, &err));
	assert_true(link_pair(fds, &err));
	assert_true(link_open(&ours, fds[0], ROLE_EDGE, ROLE_FETCH, 0, &err));
	assert_true(link_open(&s->fetcher, fds[1], ROLE_FETCH, ROLE_EDGE, 0, &err));
	assert_true(
		watch_start(s->loop, &s->fetcher_watch, fds[1], WATCH_READ, on_fetch, s));
	fetch_link_init(&s->fetch, s->loop);
	fetch_link_set(&s->fetch, ours);
	setup = (struct policies_setup){ s->loop, s->dns, &s->fetch };
	assert_true(policies_open(&s->all, &setup));
	timer_init(&s->limit, s->loop, on_limit, s);
}

static void close_stage(struct stage *s)
{
	int fd = s->names.fd;

	policies_close(&s->all);
	fetch_link_set(&s->fetch, NULL);
	watch_stop(&s->fetcher_watch);
	link_close(&s->fetcher);
	dns_close(&s->dns);
	watch_stop(&s->names);
	close(fd);
	loop_close(&s->loop);
}

static void on_policy(void *arg, const struct sts_policy *p)
{
	struct stage *s = arg;

	s->answers++;
	s->none = !p;
	if (p)
		s->mode = p->mode;
	loop_stop(s->loop);
}

static void ask(struct stage *s)
{
	unsigned before = s->answers;
	struct policy_ask a = { 0 };

	policies_ask(s->all, &a, SPAN("Example.ORG"), on_policy, s);
	if (s->answers == before)
		loop_run(s->loop);
	assert_int_equal(s->answers, before + 1);
}

#define ENFORCE "version: STSv1\nmode: enforce\nmx: a\nmax_age: 1000\n"

static void a_policy_is_fetched_once_and_kept(void **unused)
{
	struct stage s;

	(void)unused;
	open_stage(&s);
	s.policy = ENFORCE;
	ask(&s);
	assert_false(s.none);
	assert_int_equal(s.mode, STS_ENFORCE);
	/* whoever can take away record and policy is too late */
	s.record = s.policy = NULL;
	ask(&s);
	assert_false(s.none);
	assert_int_equal(s.asked, 1);
	assert_int_equal(s.fetched, 1);
	close_stage(&s);
}

static void without_a_record_nothing_is_fetched(void **unused)
{
	struct stage s;

	(void)unused;
	open_stage(&s);
	s.policy = ENFORCE;
	s.record = NULL;
	ask(&s);
	assert_true(s.none);
	ask(&s); /* and is remembered */
	assert_int_equal(s.asked, 1);
	assert_int_equal(s.fetched, 0);
	close_stage(&s);
}

static void what_cannot_be_fetched_or_read_is_no_policy(void **unused)
{
	static const char *const policies[] = { NULL, "<html>" };

	(void)unused;
	for (size_t i = 0; i < COUNT_OF(policies); i++) {
		struct stage s;

		open_stage(&s);
		s.policy = policies[i];
		ask(&s);
		assert_true(s.none);
		ask(&s); /* not asked for again at once */
		assert_int_equal(s.fetched, 1);
		close_stage(&s);
	}
}

static void a_dns_that_fails_is_no_policy(void **unused)
{
	struct stage s;

	(void)unused;
	open_stage(&s);
	s.dns_fails = true;
	ask(&s);
	assert_true(s.none);
	assert_int_equal(s.fetched, 0);
	close_stage(&s);
}

static void who_waits_is_answered_when_the_fetch_role_dies(void **unused)
{
	struct policy_ask one = { 0 }, two = { 0 }, gone = { 0 };
	struct stage s;

	(void)unused;
	open_stage(&s);
	s.mute = true;
	policies_ask(s.all, &one, SPAN("example.org"), on_policy, &s);
	policies_ask(s.all, &gone, SPAN("example.org"), on_policy, &s);
	policies_ask(s.all, &two, SPAN("example.org"), on_policy, &s);
	policies_forget(&gone);
	while (!s.fetched) {
		timer_set(&s.limit, loop_now_exact(s.loop) + 5);
		loop_run(s.loop);
	}
	assert_int_equal(s.answers, 0);
	fetch_link_set(&s.fetch, NULL);
	assert_int_equal(s.answers, 2);
	assert_true(s.none);
	assert_int_equal(s.asked, 1); /* one question for all */
	assert_int_equal(s.fetched, 1);
	close_stage(&s);
}

static void ask_for_number(struct stage *s, int i)
{
	unsigned before = s->answers;
	struct policy_ask a = { 0 };
	BUF(name, 40);

	buf_fmt(&name, "d%d.example", i);
	policies_ask(s->all, &a, buf_span(&name), on_policy, s);
	if (s->answers == before)
		loop_run(s->loop);
	assert_int_equal(s->answers, before + 1);
}

static void a_thousand_domains_are_remembered_and_no_more(void **unused)
{
	struct stage s;

	(void)unused;
	open_stage(&s);
	s.record = NULL;
	for (int i = 0; i <= 1000; i++) {
		ask_for_number(&s, i);
		timer_set(&s.limit, loop_now_exact(s.loop) + (i == 0 ? 5 : 0));
		loop_run(s.loop);
	}
	assert_int_equal(s.asked, 1001);
	ask_for_number(&s, 1000);
	assert_int_equal(s.asked, 1001);
	ask_for_number(&s, 0); /* the oldest had to go */
	assert_int_equal(s.asked, 1002);
	close_stage(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_policy_is_fetched_once_and_kept),
		cmocka_unit_test(without_a_record_nothing_is_fetched),
		cmocka_unit_test(what_cannot_be_fetched_or_read_is_no_policy),
		cmocka_unit_test(a_dns_that_fails_is_no_policy),
		cmocka_unit_test(who_waits_is_answered_when_the_fetch_role_dies),
		cmocka_unit_test(a_thousand_domains_are_remembered_and_no_more),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
