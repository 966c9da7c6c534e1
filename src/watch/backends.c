#include "watch/backends.h"

#include <stdio.h>

#include "base/fields.h"
#include "base/list.h"
#include "watch/ordering.h"

static const char usage[] =
	"backend list | drain NAME | resume NAME: the names are those of backends in the "
	"configuration.";

/* What all edges say of one. */
struct seen {
	unsigned edges;
	unsigned health[2][BACKEND_HEALTHS]; /* how many edges find it so */
	uint64_t sessions, logins, failures;
	uint32_t addresses;
};

static void look(const struct sight *s, const struct backend *b, struct seen *out)
{
	uint64_t id = pulse_backend_id(span_str(b->name));
	struct pulse_backend row;
	struct pulses_one one;

	*out = (struct seen){ 0 };
	for (size_t i = 0; pulses_get(s->pulses, i, &one); i++) {
		if (one.role != ROLE_EDGE || !pulse_backend_now(one.reader, id, &row))
			continue;
		out->edges++;
		out->health[0][row.health[0]]++;
		out->health[1][row.health[1]]++;
		out->sessions += row.sessions;
		out->logins += row.logins;
		out->failures += row.failures;
		if (row.addresses > out->addresses)
			out->addresses = row.addresses;
	}
}

/* Edges try for themselves, so for a moment they may be of several minds. */
static void put_health(struct buf *row, const char *name, const unsigned health[],
		       unsigned edges)
{
	char text[64];

	if (health[BACKEND_ILL] && health[BACKEND_ILL] < edges)
		snprintf(text, sizeof(text), "does not answer (%u of %u edges)",
			 health[BACKEND_ILL], edges);
	else
		snprintf(text, sizeof(text), "%s",
			 health[BACKEND_ILL]	? "does not answer"
			 : health[BACKEND_WELL] ? "well"
						: "not tried yet");
	field_text(row, name, span_str(text));
}

static bool is_drained(const struct sight *s, const struct backend *b)
{
	return s->view.orders && orders_is_drained(s->view.orders, span_str(b->name));
}

static void put_backend(const struct asked *a, const struct backend *b)
{
	uint8_t mem[ROW_MAX];
	struct seen seen;
	struct buf row;

	look(a->sight, b, &seen);
	buf_init(&row, mem, sizeof(mem));
	field_text(&row, "name", span_str(b->name));
	if (*b->imap)
		put_health(&row, "imap", seen.health[0], seen.edges);
	if (*b->pop3)
		put_health(&row, "pop3", seen.health[1], seen.edges);
	field_flag(&row, "drained", is_drained(a->sight, b));
	field_number(&row, "sessions", (int64_t)seen.sessions);
	field_number(&row, "logins", (int64_t)seen.logins);
	field_number(&row, "failures", (int64_t)seen.failures);
	field_number(&row, "addresses", seen.addresses);
	field_number(&row, "weight", b->weight);
	asked_row(a, &row);
}

static void say_list(const struct asked *a)
{
	const struct conf *conf = a->sight->conf;

	for (size_t i = 0; i < conf->backend_count; i++)
		put_backend(a, &conf->backends[i]);
	asked_done(a, conf->backend_count ? ""
					  : "There are none: see backends in the "
					    "configuration.");
}

static void say_drained(const struct asked *a, const char *name, bool on)
{
	const struct backend *b = backend_find(a->sight->conf, span_str(name));
	struct seen seen = { 0 };
	char text[CONTROL_TEXT_MAX];

	if (b)
		look(a->sight, b, &seen);
	if (on)
		snprintf(text, sizeof(text),
			 "%s gets no new sessions. %llu %s still there, and may go on: "
			 "holdfast backend list. To end this: holdfast backend resume %s",
			 name, (unsigned long long)seen.sessions,
			 seen.sessions == 1 ? "is" : "are", name);
	else
		snprintf(text, sizeof(text), "%s gets sessions again.", name);
	ordering_save(a, text);
}

static void order(const struct asked *a, struct span word, bool on)
{
	struct orders *o = a->sight->view.orders;
	char name[BACKEND_NAME_MAX], text[CONTROL_TEXT_MAX];

	snprintf(name, sizeof(name), "%.*s", SPAN_ARG(span_head(word, sizeof(name) - 1)));
	/* one that has left the configuration can still be resumed */
	if (on && !backend_find(a->sight->conf, word)) {
		snprintf(text, sizeof(text),
			 "There is no \"%s\" among backends in the configuration.", name);
		asked_refuse(a, text);
	} else if (!o) {
		asked_refuse(a, "The memory for orders is not there. See the log.");
	} else if (orders_is_drained(o, word) == on) {
		snprintf(text, sizeof(text), "%s is %s.", name,
			 on ? "drained already" : "not drained");
		if (on)
			asked_done(a, text);
		else
			asked_refuse(a, text);
	} else if (!orders_drain(o, word, on)) {
		asked_refuse(a, "As many are drained as can be.");
	} else {
		ordering_log(a->sight, on ? "backend-drain" : "backend-resume",
			     span_str(name));
		say_drained(a, name, on);
	}
}

void backends_say(const struct asked *a)
{
	struct span rest = a->rest, what, name;

	if (!list_next(&rest, &what))
		what = SPAN_NONE;
	if (!list_next(&rest, &name))
		name = SPAN_NONE;
	if (rest.n)
		asked_refuse(a, usage);
	else if (span_eq(what, SPAN("list")) && name.n == 0)
		say_list(a);
	else if (span_eq(what, SPAN("drain")) && name.n)
		order(a, name, true);
	else if (span_eq(what, SPAN("resume")) && name.n)
		order(a, name, false);
	else
		asked_refuse(a, usage);
}
