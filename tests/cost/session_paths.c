/*
 * Sessions without an edge. The memory is what an edge lends; each step is one that it would
 * take: when something has come.
 */
#include "base/bug.h"
#include "conf/settings.h"
#include "session/session.h"
#include "tests/cost/cost.h"

#define NOW  ((ms_t)1000000)
#define WALL 1792152000000 /* Fri, 16 Oct 2026 12:00:00 +0000 */
#define BODY 8192	   /* as BODY_FIRST in edge/ */

static struct conf conf;
static struct session session;
static struct letter letter;
static uint64_t next_id = 0x1122334455667788;

void session_open(void)
{
	static uint8_t envelope[LETTER_ENVELOPE_MIN], body[BODY];
	struct err err;

	settings_init(&conf.set);
	BUG_IF(!settings_put(&conf.set, SPAN("hostname"), SPAN("mx.here.example"), &err));
	conf.set.greet_delay = 0;
	conf.listener_count = 1;
	buf_init(&letter.envelope, envelope, sizeof(envelope));
	buf_init(&letter.body, body, sizeof(body));
}

/* One step; what is said must begin so, and this must be ordered. */
static void step(struct session_in in, const char *reply, unsigned orders)
{
	uint8_t mem[OUT_MAX];
	struct buf said;
	struct session_out out = { .peer = &said, .letter = &letter };

	buf_init(&said, mem, sizeof(mem));
	in.recipients = recipients();
	in.wall = WALL;
	in.next_id = next_id;
	session_step(&session, &in, NOW, &out);
	BUG_IF(out.used != in.bytes.n || out.orders != orders);
	BUG_IF(!span_starts(buf_span(&said), span_str(reply)));
	next_id += session.queue_id == next_id;
	if (session_has_letter(&session))
		return;
	buf_reset(&letter.envelope);
	buf_reset(&letter.body);
}

static void say(struct span bytes, const char *reply, unsigned orders)
{
	step((struct session_in){ .kind = IN_BYTES, .bytes = bytes }, reply, orders);
}

static void begin(void)
{
	struct session_setup setup = {
		.conf = &conf,
		.listener = &conf.listeners[0],
		.peer = { addr_v4(192, 0, 2, 7), 40000 },
		.local = { addr_v4(198, 51, 100, 1), 25 },
		.now = NOW,
	};

	session_init(&session, &setup);
	step((struct session_in){ .kind = IN_OPENED }, "220 mx.here.example", 0);
	say(SPAN("EHLO there.example\r\n"), "250-mx.here.example", 0);
	say(SPAN("MAIL FROM:<sam@there.example>\r\n"), "250 2.1.0", 0);
}

void session_transaction(void)
{
	struct session_in stored = { .kind = IN_SUBMITTED, .submitted = SUBMITTED_OK };

	begin();
	say(SPAN("RCPT TO:<alice@here.example>\r\n"), "250 2.1.5", 0);
	say(SPAN("DATA\r\n"), "354", 0);
	say(message(), "", DO_SUBMIT);
	BUG_IF(letter.body.len < 4096 || session.rcpt_count != 1);
	step(stored, "250 2.0.0 Queued", 0);
	say(SPAN("QUIT\r\n"), "221", DO_CLOSE);
}

void session_unknown(void)
{
	begin();
	say(SPAN("RCPT TO:<nobody@here.example>\r\n"), "550 5.1.1", 0);
	say(SPAN("QUIT\r\n"), "221", DO_DROP | DO_CLOSE);
}
