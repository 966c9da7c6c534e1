/*
 * usage: cost             the paths: NAME FUNCTION[,FUNCTION...]
 *        cost NAME TIMES  take it, and say how often it was counted
 */
#include "tests/cost/cost.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/bug.h"
#include "base/rcptmap.h"

/* The first few find memory and fill pools. */
#define WARM_UP 100

/* clang-format off */
static const struct path paths[] = {
	{ "session-transaction", "session_init,session_step", session_open, session_transaction, 1 },
	{ "session-unknown",     "session_init,session_step", session_open, session_unknown, 1 },
	{ "edge-transaction",    "loop_run", edge_open, edge_transaction, 1 },
	{ "edge-unknown",        "loop_run", edge_open, edge_unknown, 1 },
	{ "edge-full",           "loop_run", edge_open_full, edge_refuse, CROWD },
	{ "edge-crowded",        "loop_run", edge_open_crowded, edge_refuse, CROWD },
	{ "edge-denied",         "loop_run", edge_open_denied, edge_refuse, CROWD },
	{ "guard-stranger",      "guard_came,guard_left", guard_open, guard_stranger, 1 },
	{ "guard-banned",        "guard_came", guard_open, guard_banned, 1 },
	{ "guard-deed",          "guard_saw", guard_open, guard_deed, 1 },
};
/* clang-format on */

/* All lines are 64 bytes: what is counted depends on their number. */
struct span message(void)
{
	static const char header[] =
		"From: sam@there.example (somebody who writes now and again)  \r\n"
		"To: alice@here.example (somebody who is glad to hear of it)  \r\n"
		"Date: Fri, 16 Oct 2026 12:00:00 +0000 (a bright autumn day)  \r\n"
		"Subject: four thousand and ninety-six bytes, counted in full \r\n"
		"Message-ID: <1792152000000.1122334455667788@mx.there.example>\r\n"
		"\r\n";
	static const char text[] =
		"All happy mail servers are alike; each unhappy one is so alone\r\n";
	static uint8_t mem[4096 + 3];
	struct buf out;

	buf_init(&out, mem, sizeof(mem));
	buf_put(&out, span_of(header, sizeof(header) - 1));
	while (buf_room(&out) > sizeof(text))
		buf_put(&out, span_of(text, sizeof(text) - 1));
	while (buf_room(&out) > 5)
		buf_byte(&out, '=');
	buf_put(&out, SPAN("\r\n.\r\n"));
	BUG_IF(out.full || out.len != sizeof(mem));
	return buf_span(&out);
}

struct span recipients(void)
{
	static const uint64_t key[2] = { 1, 2 };
	static struct span map;
	size_t n = rcptmap_size(64);
	void *mem;

	if (map.n)
		return map;
	mem = calloc(1, n);
	BUG_IF(!mem);
	rcptmap_init(mem, n, key, 1, SPAN("+"));
	BUG_IF(!rcptmap_put(mem, n, SPAN("@here.example"), RCPT_DOMAIN) ||
	       !rcptmap_put(mem, n, SPAN("alice@here.example"), RCPT_EXISTS));
	map = span_of(mem, n);
	return map;
}

/* By its name, check_cost.py knows where the counting begins: it must keep it. */
__attribute__((noinline)) void take_path(const struct path *p, unsigned long times)
{
	for (unsigned long i = 0; i < times; i++)
		p->once();
}

static int run(const struct path *p, unsigned long times)
{
	p->open();
	for (int i = 0; i < WARM_UP; i++)
		p->once();
	times = (times + p->each - 1) / p->each;
	take_path(p, times);
	printf("%lu\n", times * p->each);
	return 0;
}

int main(int argc, char **argv)
{
	for (size_t i = 0; i < COUNT_OF(paths); i++) {
		const struct path *p = &paths[i];

		if (argc < 3)
			printf("%s %s\n", p->name, p->counted);
		else if (strcmp(argv[1], p->name) == 0)
			return run(p, strtoul(argv[2], NULL, 10));
	}
	return argc < 3 ? 0 : 2;
}
