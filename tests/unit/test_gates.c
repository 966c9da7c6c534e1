#include "expect.h"

#include "edge/gates.h"

#define VISITORS 1000

struct visitor {
	struct rig *rig;
	struct gate_pass pass;
	bool in;
};

struct rig {
	struct loop *loop;
	struct timer limit;
	struct gates gates;
	struct visitor visitors[VISITORS];
	size_t inside, most, came;
	bool fails;  /* who comes in leaves at once */
	size_t last; /* who came in last, for the order */
	bool in_order;
};

static void come_in(struct visitor *v)
{
	struct rig *r = v->rig;

	v->in = true;
	r->came++;
	r->inside++;
	if (r->inside > r->most)
		r->most = r->inside;
}

static void leave(struct visitor *v)
{
	v->in = false;
	v->rig->inside--;
	gate_leave(&v->pass);
}

static void on_open(void *arg)
{
	struct visitor *v = arg;
	size_t at = (size_t)(v - v->rig->visitors);

	v->rig->in_order = v->rig->in_order && at > v->rig->last;
	v->rig->last = at;
	come_in(v);
	if (v->rig->fails)
		leave(v);
}

static void on_limit(void *arg)
{
	loop_stop(((struct rig *)arg)->loop);
}

static void turn(struct rig *r)
{
	timer_set(&r->limit, loop_now_exact(r->loop) + 5);
	loop_run(r->loop);
}

static struct rig *set_up(size_t count)
{
	struct rig *r = calloc(1, sizeof(*r));
	struct err err;

	assert_non_null(r);
	assert_true(loop_open(&r->loop, &err));
	timer_init(&r->limit, r->loop, on_limit, r);
	gates_init(&r->gates, r->loop);
	r->in_order = true;
	for (size_t i = 0; i < count; i++) {
		struct visitor *v = &r->visitors[i];

		v->rig = r;
		if (gate_enter(&r->gates, SPAN("10.0.0.7:143"), false, &v->pass, on_open,
			       v))
			come_in(v);
	}
	return r;
}

static void tear_down(struct rig *r)
{
	for (size_t i = 0; i < VISITORS; i++)
		gate_leave(&r->visitors[i].pass);
	for (size_t i = 0; i < GATES; i++)
		assert_true(r->gates.gates[i].inside == 0 &&
			    !r->gates.gates[i].lines[false].first &&
			    !r->gates.gates[i].lines[true].first);
	gates_close(&r->gates);
	loop_close(&r->loop);
	free(r);
}

static void so_many_are_inside_at_once_and_all_come_in_in_their_order(void **state)
{
	struct rig *r = set_up(VISITORS);

	(void)state;
	assert_int_equal(r->inside, GATE_OPEN);
	for (int rounds = 0; rounds < 1000 && r->came < VISITORS; rounds++) {
		for (size_t i = 0; i < VISITORS; i++)
			if (r->visitors[i].in)
				leave(&r->visitors[i]);
		turn(r);
	}
	assert_int_equal(r->came, VISITORS);
	assert_int_equal(r->most, GATE_OPEN);
	assert_true(r->in_order);
	tear_down(r);
}

static void who_fails_at_once_makes_room_at_once(void **state)
{
	struct rig *r = set_up(VISITORS);

	(void)state;
	r->fails = true;
	leave(&r->visitors[0]);
	for (int rounds = 0; rounds < 1000 && r->came < VISITORS; rounds++)
		turn(r);
	assert_int_equal(r->came, VISITORS);
	assert_int_equal(r->inside, GATE_OPEN - 1);
	tear_down(r);
}

static void who_leaves_the_line_is_not_called(void **state)
{
	struct rig *r = set_up(GATE_OPEN + 3);

	(void)state;
	gate_leave(&r->visitors[GATE_OPEN].pass);
	gate_leave(&r->visitors[GATE_OPEN + 2].pass);
	for (size_t i = 0; i < GATE_OPEN; i++)
		leave(&r->visitors[i]);
	for (int i = 0; i < 5; i++)
		turn(r);
	assert_int_equal(r->came, GATE_OPEN + 1);
	assert_true(r->visitors[GATE_OPEN + 1].in);
	/* and whoever comes now goes straight in */
	assert_true(gate_enter(&r->gates, SPAN("10.0.0.7:143"), false,
			       &r->visitors[0].pass, on_open, &r->visitors[0]));
	tear_down(r);
}

static void another_server_has_another_gate(void **state)
{
	struct rig *r = set_up(VISITORS - 1);
	struct visitor *v = &r->visitors[VISITORS - 1];

	(void)state;
	v->rig = r;
	assert_true(
		gate_enter(&r->gates, SPAN("10.0.0.8:143"), false, &v->pass, on_open, v));
	tear_down(r);
}

static void known_devices_go_first_and_strangers_never_fill_the_gate(void **state)
{
	struct rig *r = set_up(VISITORS / 2);
	size_t in = 0;

	(void)state;
	for (size_t i = VISITORS / 2; i < VISITORS / 2 + 100; i++) {
		struct visitor *v = &r->visitors[i];

		v->rig = r;
		if (gate_enter(&r->gates, SPAN("10.0.0.7:143"), true, &v->pass, on_open,
			       v)) {
			come_in(v);
			in++;
		}
	}
	assert_int_equal(in, GATE_WIDTH - GATE_OPEN);
	for (size_t i = 0; i < GATE_OPEN; i++)
		leave(&r->visitors[i]);
	turn(r);
	assert_int_equal(r->inside, GATE_WIDTH);
	for (size_t i = GATE_OPEN; i < VISITORS / 2; i++)
		assert_false(r->visitors[i].in);
	/* when all of them are in, the others go on */
	for (int rounds = 0; rounds < 1000 && r->came < VISITORS / 2 + 100; rounds++) {
		for (size_t i = 0; i < VISITORS; i++)
			if (r->visitors[i].in)
				leave(&r->visitors[i]);
		turn(r);
	}
	assert_int_equal(r->came, VISITORS / 2 + 100);
	assert_int_equal(r->most, GATE_WIDTH);
	tear_down(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(so_many_are_inside_at_once_and_all_come_in_in_their_order),
		cmocka_unit_test(who_fails_at_once_makes_room_at_once),
		cmocka_unit_test(who_leaves_the_line_is_not_called),
		cmocka_unit_test(another_server_has_another_gate),
		cmocka_unit_test(known_devices_go_first_and_strangers_never_fill_the_gate),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
