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

/* What an event tells of who did it. */
enum says {
	SAYS_NOTHING,
	SAYS_GOOD,
	SAYS_CLUMSY,
	SAYS_PROBE,
	SAYS_TALKER,
	SAYS_RELAY,
	SAYS_HARVEST,
	SAYS_GUESS,
	SAYS_FLOOD,
	SAYS_COUNT
};

struct event_row {
	const char *word;
	int weight;
	enum says says;
	const char *doc;
};

extern const char *const says_word[SAYS_COUNT];
extern const struct event_row event_table[EVENT_COUNT];

#endif
