/*
 * events - the table in events.def, as C
 */
#ifndef SPEC_EVENTS_H
#define SPEC_EVENTS_H

enum event {
	EV_NONE,
#define EVENT(id, ...) EV_##id,
#include "spec/events.def"
	EVENT_COUNT
};

struct event_row {
	const char *word;
	int weight;
	const char *doc;
};

extern const struct event_row event_table[EVENT_COUNT];

#endif
