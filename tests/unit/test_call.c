/* edge/call: whose fault it is that a mailbox server was not reached. */
#include "expect.h"

#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "edge/call.h"

struct rig {
	struct loop *loop;
	struct stream stream;
	struct backend backend;
	struct call call;
	struct rlimit limit; /* of descriptors, as it was */
	int port, beside;    /* where somebody listens: at 127.0.0.1, and at 127.0.0.2 */
	unsigned over;
	size_t watched; /* stop when that many addresses are being, or were, talked to */
};

static void on_ready(void *arg)
{
	call_ready(&((struct rig *)arg)->call);
}

static void on_over(void *arg)
{
	struct rig *r = arg;

	r->over++;
	loop_stop(r->loop);
}

static void on_round(void *arg)
{
	struct rig *r = arg;

	if (r->call.tried == r->watched && r->call.state == CALL_TALKS)
		loop_stop(r->loop);
}

static int listen_at(struct sockaddr_in *in)
{
	socklen_t n = sizeof(*in);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)in, n), 0);
	assert_int_equal(listen(fd, 10), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)in, &n), 0);
	return fd;
}

static void open_rig(struct rig *r)
{
	struct sockaddr_in in = { .sin_family = AF_INET,
				  .sin_addr = { htonl(INADDR_LOOPBACK) } };
	struct err err;

	memset(r, 0, sizeof(*r));
	assert_true(loop_open(&r->loop, &err));
	loop_each_round(r->loop, on_round, r);
	r->port = listen_at(&in);
	in.sin_addr.s_addr = htonl(INADDR_LOOPBACK + 1);
	r->beside = listen_at(&in);
	snprintf(r->backend.imap, sizeof(r->backend.imap), "localhost:%d",
		 ntohs(in.sin_port));
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &r->limit), 0);
}

/* At so many addresses, all of them where somebody listens. */
static void begin_within(struct rig *r, size_t addresses, ms_t within)
{
	const struct addr at[] = { addr_v4(127, 0, 0, 1), addr_v4(127, 0, 0, 2) };
	struct call_setup setup = { .loop = r->loop,
				    .backend = &r->backend,
				    .count = addresses,
				    .addresses = at,
				    .talk = { .probe = true, .reply_timeout = MS_MINUTE },
				    .connect_timeout = within,
				    .stream = &r->stream,
				    .on_ready = on_ready,
				    .on_over = on_over,
				    .arg = r };

	call_begin(&r->call, &setup);
}

static void begin(struct rig *r, size_t addresses)
{
	begin_within(r, addresses, MS_MINUTE);
}

/* Until the address of that number is being talked to. */
static void run_until_talking(struct rig *r, size_t number)
{
	r->watched = number;
	loop_run(r->loop);
	r->watched = 0;
	assert_int_equal(r->over, 0);
	assert_int_equal(r->call.tried, number);
}

/* No descriptor is left for another socket, or as many as before. */
static void leave_descriptors(const struct rig *r, bool any)
{
	struct rlimit none = { 0, r->limit.rlim_max };

	assert_int_equal(setrlimit(RLIMIT_NOFILE, any ? &r->limit : &none), 0);
}

static void close_rig(struct rig *r)
{
	call_end(&r->call);
	close(r->port);
	close(r->beside);
	loop_close(&r->loop);
}

static void without_a_descriptor_it_is_our_fault(void **state)
{
	struct rig r;

	(void)state;
	open_rig(&r);
	leave_descriptors(&r, false);
	begin(&r, 2);
	leave_descriptors(&r, true);
	assert_int_equal(r.over, 1);
	assert_int_equal(r.call.talk.got, BACKEND_GOT_BROKEN);
	assert_true(r.call.ours);
	close_rig(&r);
}

/* So does an IPv6 address where there is no IPv6: that the other one is dead still counts. */
static void what_we_lack_for_the_next_address_is_no_excuse_of_the_last(void **state)
{
	struct rig r;
	int fd;

	(void)state;
	open_rig(&r);
	begin(&r, 2);
	assert_true((fd = accept(r.port, NULL, NULL)) >= 0);
	leave_descriptors(&r, false);
	close(fd);
	while (r.over == 0)
		loop_run(r.loop);
	leave_descriptors(&r, true);
	assert_int_equal(r.over, 1);
	assert_int_equal(r.call.talk.got, BACKEND_GOT_BROKEN);
	assert_int_equal(r.call.tried, 2);
	assert_false(r.call.ours);
	close_rig(&r);
}

static void each_address_has_its_share_of_the_time_to_greet_us_in(void **state)
{
	ms_t begun;
	struct rig r;
	int fd;

	(void)state;
	open_rig(&r);
	begun = loop_now(r.loop);
	begin(&r, 2);
	run_until_talking(&r, 1);
	assert_int_equal(r.call.wake, begun + MS_MINUTE / 2);
	assert_true((fd = accept(r.port, NULL, NULL)) >= 0);
	close(fd);
	run_until_talking(&r, 2);
	assert_int_equal(r.call.wake, begun + MS_MINUTE);
	close_rig(&r);
}

static void a_good_address_behind_a_silent_one_is_reached(void **state)
{
	static const char greeting[] = "* OK hi\r\n";
	struct rig r;
	int silent, good;

	(void)state;
	open_rig(&r);
	begin_within(&r, 2, 200);
	run_until_talking(&r, 1);
	r.call.greeted_by += MS_MINUTE; /* we may take our time with the second */
	run_until_talking(&r, 2);
	assert_true((silent = accept(r.port, NULL, NULL)) >= 0);
	assert_true((good = accept(r.beside, NULL, NULL)) >= 0);
	assert_int_equal(write(good, greeting, sizeof(greeting) - 1),
			 sizeof(greeting) - 1);
	loop_run(r.loop);
	assert_int_equal(r.over, 1);
	assert_int_equal(r.call.talk.got, BACKEND_GOT_YES);
	/* who comes next is not kept waiting by the silent one */
	assert_int_equal(r.call.addresses[0].ip[15], 2);
	assert_int_equal(r.call.addresses[1].ip[15], 1);
	close(silent);
	close(good);
	close_rig(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(without_a_descriptor_it_is_our_fault),
		cmocka_unit_test(
			what_we_lack_for_the_next_address_is_no_excuse_of_the_last),
		cmocka_unit_test(each_address_has_its_share_of_the_time_to_greet_us_in),
		cmocka_unit_test(a_good_address_behind_a_silent_one_is_reached),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
