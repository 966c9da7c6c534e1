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
	int port;	     /* where somebody listens */
	unsigned over;
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

static void open_rig(struct rig *r)
{
	struct sockaddr_in in = { .sin_family = AF_INET,
				  .sin_addr = { htonl(INADDR_LOOPBACK) } };
	socklen_t n = sizeof(in);
	struct err err;

	memset(r, 0, sizeof(*r));
	assert_true(loop_open(&r->loop, &err));
	assert_true((r->port = socket(AF_INET, SOCK_STREAM, 0)) >= 0);
	assert_int_equal(bind(r->port, (struct sockaddr *)&in, n), 0);
	assert_int_equal(listen(r->port, 10), 0);
	assert_int_equal(getsockname(r->port, (struct sockaddr *)&in, &n), 0);
	snprintf(r->backend.imap, sizeof(r->backend.imap), "localhost:%d",
		 ntohs(in.sin_port));
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &r->limit), 0);
}

/* At so many addresses, all of them where somebody listens. */
static void begin(struct rig *r, size_t addresses)
{
	const struct addr at[] = { addr_v4(127, 0, 0, 1), addr_v4(127, 0, 0, 1) };
	struct call_setup setup = { .loop = r->loop,
				    .backend = &r->backend,
				    .count = addresses,
				    .addresses = at,
				    .talk = { .probe = true, .reply_timeout = MS_MINUTE },
				    .connect_timeout = MS_MINUTE,
				    .stream = &r->stream,
				    .on_ready = on_ready,
				    .on_over = on_over,
				    .arg = r };

	call_begin(&r->call, &setup);
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(without_a_descriptor_it_is_our_fault),
		cmocka_unit_test(
			what_we_lack_for_the_next_address_is_no_excuse_of_the_last),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
