/*
 * A firewall in a process of its own, in a network namespace that this test makes, with a
 * real nft and with such as do not work. The supervisor and watch are played here.
 */
#include "expect.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/list.h"
#include "conf/settings.h"
#include "firewall/firewall.h"
#include "link/seal.h"

#include "child.h"

#define PATIENCE  60000 /* ms: for a busy machine */
#define NFT	  "/usr/sbin/nft"
#define TEXT_ROOM (1 << 21)

struct rig {
	struct conf conf;
	pid_t role;
	struct link *life, *watch;
	struct pulse_reader *pulse;
	struct msg_BLOCKED last;
	char why[256];
	char script[64];
	char *text; /* what nft lists */
};

static struct err err;

/* ---- nft ----------------------------------------------------------------------------------- */

static void nft(const char *command)
{
	char line[512];

	snprintf(line, sizeof(line), NFT " '%s'", command);
	if (system(line) != 0)
		fail_msg("%s failed", line);
}

/* Everything that nft lists, or nothing if there is no such thing. */
static const char *list(struct rig *r, const char *what)
{
	char line[128];
	size_t n;
	FILE *f;

	snprintf(line, sizeof(line), NFT " list %s 2>/dev/null", what);
	f = popen(line, "r");
	assert_non_null(f);
	n = fread(r->text, 1, TEXT_ROOM - 1, f);
	r->text[n] = '\0';
	pclose(f);
	return r->text;
}

static void pause_briefly(void)
{
	const struct timespec t = { 0, 20 * 1000 * 1000 };

	nanosleep(&t, NULL);
}

static bool lists(struct rig *r, const char *what, const char *text)
{
	return strstr(list(r, what), text) != NULL;
}

/* Until it is listed, or is no more. */
static void wait_listed(struct rig *r, const char *what, const char *text, bool there)
{
	for (int ms = 0; ms < PATIENCE; ms += 20) {
		if (lists(r, what, text) == there)
			return;
		pause_briefly();
	}
	fail_msg("%s: %s %s:\n%.2000s", what, text, there ? "never came" : "never went",
		 r->text);
}

/* ---- the role ------------------------------------------------------------------------------ */

static int memfd_of(struct span s)
{
	int fd = memfd_create("test", MFD_ALLOW_SEALING | MFD_CLOEXEC);

	assert_int_equal(write(fd, s.p, s.n), (ssize_t)s.n);
	assert_true(seal_memory(fd));
	return fd;
}

static int be_firewall(const struct rig *r, int life, int watch, int pulse)
{
	static struct start s = { .role = ROLE_FIREWALL, .certs_fd = -1, .tables_fd = -1 };

	s.conf = start_map_conf(memfd_of(span_of(&r->conf, sizeof(r->conf))), &err);
	s.peer_count = 1;
	s.peers[0].role = ROLE_WATCH;
	if (!s.conf || !link_open(&s.life, life, ROLE_FIREWALL, ROLE_SUPERVISOR, 0, &err) ||
	    !link_open(&s.peers[0].link, watch, ROLE_FIREWALL, ROLE_WATCH, 0, &err) ||
	    !pulse_open(&s.pulse, pulse, eventfd(0, EFD_NONBLOCK), &err)) {
		fprintf(stderr, "%s\n", err.text);
		return 3;
	}
	return firewall_main(&s);
}

static void start_role(struct rig *r)
{
	int life[2], watch[2], pulse, reader;
	struct frame f;

	assert_true(link_pair(life, &err) && link_pair(watch, &err));
	assert_true(pulse_make(&pulse, &reader, &err));
	r->role = fork_child();
	if (r->role == 0) {
		close(life[0]);
		close(watch[0]);
		_exit(be_firewall(r, life[1], watch[1], pulse));
	}
	close(life[1]);
	close(watch[1]);
	close(pulse);
	assert_true(pulse_reader_open(&r->pulse, reader, &err));
	assert_true(link_open(&r->life, life[0], ROLE_SUPERVISOR, ROLE_FIREWALL, 0, &err));
	assert_true(link_open(&r->watch, watch[0], ROLE_WATCH, ROLE_FIREWALL, 0, &err));
	if (link_recv_wait(r->life, PATIENCE, &f, &err) != LINK_GOT || f.kind != MSG_READY)
		fail_msg("the role is not ready: %s", err.text);
}

static void let_go(struct rig *r)
{
	link_close(&r->life);
	link_close(&r->watch);
	pulse_reader_close(&r->pulse);
	r->role = 0;
}

static void stop_role(struct rig *r)
{
	struct msg_DRAIN m = { 0 };
	int status;

	msg_DRAIN_pack(&m, link_begin(r->life));
	assert_true(link_send(r->life, NULL, 0));
	assert_int_equal(waitpid(r->role, &status, 0), r->role);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
	let_go(r);
}

static void kill_role(struct rig *r)
{
	if (r->role == 0)
		return;
	kill(r->role, SIGKILL);
	while (waitpid(-1, NULL, 0) > 0)
		continue; /* its nft, too: that may still change something */
	let_go(r);
}

static int set_up(void **state)
{
	struct rig *r = calloc(1, sizeof(*r));

	assert_non_null(r);
	r->text = malloc(TEXT_ROOM);
	assert_non_null(r->text);
	r->conf.magic = CONF_MAGIC;
	r->conf.relay_hop = HOP_MX;
	r->conf.size = sizeof(r->conf);
	settings_init(&r->conf.set);
	r->conf.listener_count = 1;
	r->conf.listeners[0].at.port = 2525;
	*state = r;
	return 0;
}

static int tear_down(void **state)
{
	struct rig *r = *state;

	kill_role(r);
	if (r->script[0])
		unlink(r->script);
	if (access(NFT, X_OK) == 0)
		nft("flush ruleset");
	free(r->text);
	free(r);
	return 0;
}

/* ---- what is said -------------------------------------------------------------------------- */

static void say_piece(struct rig *r, bool all, bool more, const char *const *items,
		      size_t n)
{
	static uint8_t mem[LIST_FRAME_MAX];
	struct buf b;
	struct msg_BLOCK m = { .all = all, .more = more };

	buf_init(&b, mem, sizeof(mem));
	for (size_t i = 0; i < n; i++)
		list_put(&b, span_str(items[i]));
	m.items = buf_span(&b);
	msg_BLOCK_pack(&m, link_begin(r->watch));
	assert_true(link_send(r->watch, NULL, 0) && link_flush(r->watch));
}

static void say_block(struct rig *r, bool all, const char *const *items, size_t n)
{
	say_piece(r, all, false, items, n);
}

static void block(struct rig *r, const char *item)
{
	say_block(r, false, &item, 1);
}

static void unblock(struct rig *r, const char *item)
{
	uint8_t mem[128];
	struct buf b;
	struct msg_UNBLOCK m;

	buf_init(&b, mem, sizeof(mem));
	list_put(&b, span_str(item));
	m.items = buf_span(&b);
	msg_UNBLOCK_pack(&m, link_begin(r->watch));
	assert_true(link_send(r->watch, NULL, 0) && link_flush(r->watch));
}

static void hear(struct rig *r)
{
	struct frame f;
	enum link_got got = link_recv_wait(r->watch, PATIENCE, &f, &err);

	if (got != LINK_GOT || f.kind != MSG_BLOCKED ||
	    !msg_BLOCKED_unpack(f.bytes, &r->last))
		fail_msg("no BLOCKED, but %d (last: %s)", (int)got, r->why);
	snprintf(r->why, sizeof(r->why), "%.*s", SPAN_ARG(r->last.why));
}

static void wait_state(struct rig *r, enum firewall_state want)
{
	do
		hear(r);
	while (r->last.state != want);
}

/* On a machine that stands still for a while, another run of nft may have hung before. */
static void wait_why(struct rig *r, const char *why)
{
	do
		wait_state(r, FIREWALL_FAILS);
	while (!strstr(r->why, why));
}

static void wait_held(struct rig *r, uint32_t want)
{
	while (r->last.held != want)
		hear(r);
}

static void use_script(struct rig *r, const char *text)
{
	int fd;

	snprintf(r->script, sizeof(r->script), "/tmp/holdfast-nft-XXXXXX");
	fd = mkstemp(r->script);
	assert_true(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
	assert_int_equal(fchmod(fd, 0755), 0);
	close(fd);
	snprintf(r->conf.set.firewall_nft, TEXT_MAX, "%s", r->script);
	/* Landlock would let it run nothing that is not this file */
	r->conf.set.sandbox = SANDBOX_OFF;
}

/* ---- tests --------------------------------------------------------------------------------- */

static void needs_nft(void)
{
	if (access(NFT, X_OK) != 0)
		skip();
}

static void who_is_blocked_is_in_the_kernel_until_unblocked(void **state)
{
	struct rig *r = *state;

	needs_nft();
	start_role(r);
	wait_state(r, FIREWALL_WORKS);
	expect_number("asks for all", r->last.again, 1);
	block(r, "192.0.2.7 0");
	block(r, "198.51.96.0/21 3600");
	block(r, "2001:db8:1:2::/64 3600");
	wait_listed(r, "set inet holdfast smtp_v6_64", "2001:db8:1:2:: timeout 1h", true);
	wait_listed(r, "set inet holdfast smtp_v4_32", "192.0.2.7", true);
	wait_listed(r, "set inet holdfast smtp_v4_21", "198.51.96.0 timeout 1h", true);
	expect_true("a rule", lists(r, "chain inet holdfast smtp", "@smtp_v4_21 counter"));
	expect_true("the port", lists(r, "set inet holdfast smtp_ports", "2525"));
	wait_held(r, 3);
	unblock(r, "192.0.2.7");
	wait_listed(r, "set inet holdfast smtp_v4_32", "192.0.2.7", false);
	block(r, "198.51.96.0/21 100");
	wait_listed(r, "set inet holdfast smtp_v4_21", "198.51.96.0 timeout 1m40s", true);
	stop_role(r);
	expect_false("the table is gone", lists(r, "tables", "holdfast"));
}

static void a_block_runs_out(void **state)
{
	struct rig *r = *state;

	needs_nft();
	start_role(r);
	block(r, "192.0.2.7 1");
	block(r, "192.0.2.8 0");
	wait_listed(r, "set inet holdfast smtp_v4_32", "192.0.2.8", true);
	wait_listed(r, "set inet holdfast smtp_v4_32", "192.0.2.7", false);
	expect_true("the other stays",
		    lists(r, "set inet holdfast smtp_v4_32", "192.0.2.8"));
}

static void a_whole_list_replaces_another(void **state)
{
	static const char *const first[] = { "192.0.2.1 0", "192.0.2.2 0" };
	static const char *const then[] = { "192.0.2.2 0", "192.0.2.3 0" };
	struct rig *r = *state;

	needs_nft();
	start_role(r);
	say_block(r, true, first, 2);
	wait_listed(r, "set inet holdfast smtp_v4_32", "192.0.2.1", true);
	say_block(r, true, then, 2);
	wait_listed(r, "set inet holdfast smtp_v4_32", "192.0.2.1", false);
	expect_true("kept", lists(r, "set inet holdfast smtp_v4_32", "192.0.2.2"));
	expect_true("new", lists(r, "set inet holdfast smtp_v4_32", "192.0.2.3"));
	say_block(r, true, NULL, 0);
	wait_listed(r, "set inet holdfast smtp_v4_32", "192.0.2", false);
}

static void a_list_in_pieces_lets_nobody_through_until_it_is_whole(void **state)
{
	static const char *const first[] = { "192.0.2.1 0", "192.0.2.2 0" };
	static const char *const piece = "192.0.2.3 0", *const last = "192.0.2.2 0";
	struct rig *r = *state;

	needs_nft();
	start_role(r);
	say_block(r, true, first, 2);
	wait_listed(r, "set inet holdfast smtp_v4_32", "192.0.2.1", true);
	say_piece(r, true, true, &piece, 1);
	wait_listed(r, "set inet holdfast smtp_v4_32", "192.0.2.3", true);
	/* what is taken out would go by now: removals follow at once */
	unblock(r, "192.0.2.3");
	wait_listed(r, "set inet holdfast smtp_v4_32", "192.0.2.3", false);
	expect_true("as before", lists(r, "set inet holdfast smtp_v4_32", "192.0.2.1"));
	expect_true("as before", lists(r, "set inet holdfast smtp_v4_32", "192.0.2.2"));
	say_block(r, false, &last, 1);
	wait_listed(r, "set inet holdfast smtp_v4_32", "192.0.2.1", false);
	expect_true("kept", lists(r, "set inet holdfast smtp_v4_32", "192.0.2.2"));
}

static void what_may_not_be_blocked_is_counted(void **state)
{
	static const char *const items[] = { "127.0.0.1 60", "192.0.0.0/16 60",
					     "192.0.2.1 60" };
	struct rig *r = *state;

	needs_nft();
	start_role(r);
	say_block(r, false, items, 3);
	wait_listed(r, "set inet holdfast smtp_v4_32", "192.0.2.1", true);
	expect_false("loopback", lists(r, "ruleset", "127.0.0.1"));
	expect_false("wide", lists(r, "ruleset", "v4_16"));
	wait_held(r, 1);
	expect_number("refused", r->last.refused, 2);
	expect_true("logged", pulse_counted_record(r->pulse, LOG_FIREWALL) >= 3);
}

static void ten_thousand_blocks_are_there_at_once(void **state)
{
	static char texts[FIREWALL_BATCH][40];
	const char *items[FIREWALL_BATCH];
	struct rig *r = *state;
	struct timespec from, to;

	needs_nft();
	start_role(r);
	wait_state(r, FIREWALL_WORKS);
	clock_gettime(CLOCK_MONOTONIC, &from);
	for (unsigned i = 0; i < 10; i++) {
		for (unsigned k = 0; k < FIREWALL_BATCH; k++) {
			snprintf(texts[k], sizeof(texts[k]), "10.%u.%u.%u 3600", i,
				 k / 250, k % 250 + 1);
			items[k] = texts[k];
		}
		say_block(r, i == 0, items, FIREWALL_BATCH);
	}
	wait_listed(r, "set inet holdfast smtp_v4_32", "10.9.3.250 ", true);
	clock_gettime(CLOCK_MONOTONIC, &to);
	print_message("# 10,000 blocks: %ld ms\n",
		      (to.tv_sec - from.tv_sec) * 1000 +
			      (to.tv_nsec - from.tv_nsec) / 1000000);
	wait_held(r, 10000);
}

static void tables_of_others_are_left_alone(void **state)
{
	struct rig *r = *state;
	char *before;

	needs_nft();
	nft("table inet filter { set s { type ipv4_addr; elements = { 192.0.2.99 }; }; chain "
	    "c { type filter hook input priority 0; ip saddr @s drop; }; }");
	nft("table ip holdfast { chain c { counter; }; }");
	before = strdup(list(r, "ruleset"));
	start_role(r);
	block(r, "192.0.2.7 60");
	wait_listed(r, "set inet holdfast smtp_v4_32", "192.0.2.7", true);
	stop_role(r);
	assert_string_equal(list(r, "ruleset"), before);
	free(before);
}

static void a_table_that_somebody_else_made_is_not_touched(void **state)
{
	struct rig *r = *state;

	needs_nft();
	nft("table inet holdfast { chain precious { counter; }; }");
	start_role(r);
	wait_why(r, "did not make");
	stop_role(r);
	expect_true("it is there", lists(r, "ruleset", "chain precious"));
}

static void what_a_crash_left_behind_goes(void **state)
{
	struct rig *r = *state;

	needs_nft();
	start_role(r);
	block(r, "192.0.2.7 0");
	wait_listed(r, "set inet holdfast smtp_v4_32", "192.0.2.7", true);
	kill_role(r);
	expect_true("left behind", lists(r, "ruleset", "192.0.2.7"));
	start_role(r);
	wait_state(r, FIREWALL_WORKS);
	expect_number("asks for all", r->last.again, 1);
	expect_false("gone", lists(r, "ruleset", "192.0.2.7"));
}

static void somebodys_flush_is_noticed_and_mended(void **state)
{
	static const char *const ways[] = { "flush ruleset",
					    "flush chain inet holdfast smtp",
					    "flush set inet holdfast smtp_v4_32" };
	struct rig *r = *state;

	needs_nft();
	start_role(r);
	for (size_t i = 0; i < COUNT_OF(ways); i++) {
		block(r, "192.0.2.7 0");
		wait_listed(r, "set inet holdfast smtp_v4_32", "192.0.2.7", true);
		wait_listed(r, "chain inet holdfast smtp", "@smtp_v4_32", true);
		nft(ways[i]);
		wait_listed(r, "chain inet holdfast smtp", "@smtp_v4_32", true);
		wait_listed(r, "set inet holdfast smtp_v4_32", "192.0.2.7", true);
		wait_listed(r, "set inet holdfast smtp_ports", "2525", true);
	}
}

static void without_nft_it_says_so_and_serves(void **state)
{
	struct rig *r = *state;

	snprintf(r->conf.set.firewall_nft, TEXT_MAX, "/nonexistent/nft");
	start_role(r);
	wait_state(r, FIREWALL_MISSING);
	expect_true("the path", strstr(r->why, "/nonexistent/nft") != NULL);
	block(r, "192.0.2.7 60");
	stop_role(r);
}

static void an_nft_that_hangs_is_killed(void **state)
{
	struct rig *r = *state;

	use_script(r, "#!/bin/sh\nexec sleep 1000\n");
	start_role(r);
	wait_state(r, FIREWALL_FAILS);
	expect_true("killed", strstr(r->why, "killed") != NULL);
	stop_role(r);
}

static void an_nft_that_prints_garbage_is_not_believed(void **state)
{
	struct rig *r = *state;

	use_script(r, "#!/bin/sh\ncat /dev/urandom | head -c 100000\n");
	start_role(r);
	wait_why(r, "something else");
	stop_role(r);
}

static void an_nft_that_floods_is_stopped(void **state)
{
	struct rig *r = *state;

	use_script(r, "#!/bin/sh\nexec cat /dev/zero >&2\n");
	start_role(r);
	wait_state(r, FIREWALL_FAILS);
	stop_role(r);
}

static void an_nft_that_refuses_is_quoted(void **state)
{
	struct rig *r = *state;

	use_script(r,
		   "#!/bin/sh\nprintf 'x:1: Error: \\033[2Jno \\377 way\\n' >&2\nexit 1\n");
	start_role(r);
	wait_why(r, "no ");
	expect_true("no escape", strchr(r->why, '\033') == NULL);
	stop_role(r);
}

/* Only the one prefix that nft does not take stays out. */
static void a_prefix_that_nft_does_not_take_stops_no_other(void **state)
{
	static const char *const items[] = { "192.0.2.1 60", "192.0.2.2 60",
					     "192.0.2.3 60", "192.0.2.4 60",
					     "192.0.2.5 60" };
	struct rig *r = *state;

	needs_nft();
	use_script(r,
		   "#!/bin/sh\nin=$(cat)\ncase $in in *192.0.2.4*) echo no >&2; exit 1;; "
		   "esac\nprintf '%s\\n' \"$in\" | " NFT " \"$@\"\n");
	start_role(r);
	say_block(r, true, items, 5);
	wait_held(r, 4);
	for (const char *end = "1235"; *end; end++) {
		char address[16];

		snprintf(address, sizeof(address), "192.0.2.%c", *end);
		expect_true(address, lists(r, "ruleset", address));
	}
	expect_number("refused", r->last.refused, 1);
}

static void nonsense_costs_watch_its_link(void **state)
{
	static const char *const nonsense[] = { "192.0.2.7",
						"192.0.2.7 -1",
						"192.0.2.7/33 1",
						"192.0.2.7/24 60",
						"x 60",
						"192.0.2.7 60; flush ruleset",
						"192.0.2.7 99999999999" };
	struct rig *r = *state;

	for (size_t i = 0; i < COUNT_OF(nonsense); i++) {
		struct frame f;
		enum link_got got;

		start_role(r);
		block(r, nonsense[i]);
		do
			got = link_recv_wait(r->watch, PATIENCE, &f, &err);
		while (got == LINK_GOT);
		expect_number(nonsense[i], got, LINK_CLOSED);
		expect_number("logged",
			      (int64_t)pulse_counted_record(r->pulse, LOG_LINK_BROKEN), 1);
		stop_role(r);
	}
}

/* As root we may have a namespace; others need one for users first. */
static bool enter_namespace(void)
{
	uid_t uid = geteuid();
	char text[64];
	FILE *f;

	if (uid == 0)
		return unshare(CLONE_NEWNET) == 0;
	if (unshare(CLONE_NEWUSER | CLONE_NEWNET) != 0)
		return false;
	f = fopen("/proc/self/uid_map", "we");
	if (!f)
		return false;
	snprintf(text, sizeof(text), "0 %u 1", uid);
	fputs(text, f);
	return fclose(f) == 0;
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(who_is_blocked_is_in_the_kernel_until_unblocked),
		TEST(a_block_runs_out),
		TEST(a_whole_list_replaces_another),
		TEST(a_list_in_pieces_lets_nobody_through_until_it_is_whole),
		TEST(what_may_not_be_blocked_is_counted),
		TEST(ten_thousand_blocks_are_there_at_once),
		TEST(tables_of_others_are_left_alone),
		TEST(a_table_that_somebody_else_made_is_not_touched),
		TEST(what_a_crash_left_behind_goes),
		TEST(somebodys_flush_is_noticed_and_mended),
		TEST(without_nft_it_says_so_and_serves),
		TEST(an_nft_that_hangs_is_killed),
		TEST(an_nft_that_prints_garbage_is_not_believed),
		TEST(an_nft_that_floods_is_stopped),
		TEST(an_nft_that_refuses_is_quoted),
		TEST(a_prefix_that_nft_does_not_take_stops_no_other),
		TEST(nonsense_costs_watch_its_link),
	};

	prctl(PR_SET_CHILD_SUBREAPER, 1);
	if (!enter_namespace()) {
		printf("1..0 # SKIP no network namespace can be made here\n");
		return 0;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
