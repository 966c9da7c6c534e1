#include "watch/trace.h"

#include <stdlib.h>

#include "base/fields.h"
#include "watch/deed.h"
#include "watch/explaining.h"
#include "watch/log.h"

struct trace_one {
	uint32_t ask; /* 0: free */
	struct net net;
};

struct trace {
	struct sight *sight;
	size_t count;
	struct trace_one one[CONTROL_STREAMS];
};

/* A deed is a compact record; all others are fields. */
static void put_fields(const struct trace *t, struct buf *out,
		       const struct pulse_record *r)
{
	struct pulse_deed deed;

	if (r->kind == LOG_OFFENCE && pulse_deed_read(r->fields, &deed))
		deed_fields(&deed, t->sight->conf, out);
	else if (fields_ok(r->fields))
		buf_put(out, r->fields);
}

static void say(struct trace *t, uint32_t ask, enum role role,
		const struct pulse_record *r)
{
	uint8_t mem[ROW_MAX];
	struct buf out;

	buf_init(&out, mem, sizeof(mem));
	field_time(&out, "time", r->wall);
	field_text(&out, "log", span_str(record_table[r->kind].word));
	field_text(&out, "role", span_str(role_word[role]));
	asked_field_addr(&out, "from", &r->from);
	put_fields(t, &out, r);
	if (!out.full)
		control_row(t->sight->control, ask, ROLE_WATCH, buf_span(&out));
}

static void on_record(void *arg, enum role role, unsigned number,
		      const struct pulse_record *r)
{
	struct trace *t = arg;

	(void)number;
	if (!r->has_from)
		return;
	recent_hear(t->sight->recent, &t->sight->view, &r->from);
	if (t->count == 0)
		return;
	for (size_t i = 0; i < CONTROL_STREAMS; i++) {
		struct trace_one *one = &t->one[i];

		if (!one->ask || !net_has(&one->net, &r->from))
			continue;
		if (control_has(t->sight->control, one->ask)) {
			say(t, one->ask, role, r);
		} else {
			one->ask = 0;
			t->count--;
		}
	}
}

bool trace_open(struct trace **out, struct sight *s, struct err *err)
{
	struct trace *t = calloc(1, sizeof(*t));

	if (!t)
		return err_set(err, "trace: out of memory");
	t->sight = s;
	pulses_tap(s->pulses, &(struct pulses_tap){ .on_record = on_record, .arg = t });
	*out = t;
	return true;
}

void trace_close(struct trace **t)
{
	free(*t);
	*t = NULL;
}

/* A place; those whose client is gone are free again. */
static struct trace_one *place(struct trace *t)
{
	struct trace_one *found = NULL;

	for (size_t i = 0; i < CONTROL_STREAMS; i++) {
		struct trace_one *one = &t->one[i];

		if (one->ask && !control_has(t->sight->control, one->ask)) {
			one->ask = 0;
			t->count--;
		}
		if (!one->ask)
			found = one;
	}
	return found;
}

void trace_say(const struct asked *a)
{
	struct trace *t = a->sight->trace;
	struct asked_words words;
	struct err err = { 0 };
	struct trace_one *one;
	struct net net;

	if (!asked_read(a->rest, WORD_TARGET, &words, &err) ||
	    !asked_net(words.target, &net, &err)) {
		asked_refuse(a, err.text);
		return;
	}
	one = place(t);
	if (!one || !control_stream(a->sight->control, a->ask)) {
		asked_refuse(a, "There are as many watchers as there can be.");
		return;
	}
	*one = (struct trace_one){ .ask = a->ask, .net = net };
	t->count++;
}
