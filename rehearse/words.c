#include "rehearse/words.h"

#include "base/bug.h"

/* clang-format off */
static const struct {
	const char *word;
	uint16_t port;
	enum speaks speaks;
	bool tls;
} services[SERVICE_COUNT] = {
#define SERVICE(name, word, port, speaks, tls) { word, port, speaks, tls },
#include "rehearse/words.def"
};

static const char *const stages[STAGE_COUNT] = {
#define STAGE(name, word, says) word,
#include "rehearse/words.def"
};

static const char *const ends[END_COUNT] = {
#define END(name, word, says) word,
#include "rehearse/words.def"
};

static const char *const phases[PHASE_COUNT] = {
#define PHASE(name, word, says) word,
#include "rehearse/words.def"
};
/* clang-format on */

const char *service_word(enum service s)
{
	BUG_IF(s >= SERVICE_COUNT);
	return services[s].word;
}

enum speaks service_speaks(enum service s)
{
	BUG_IF(s >= SERVICE_COUNT);
	return services[s].speaks;
}

bool service_tls(enum service s)
{
	BUG_IF(s >= SERVICE_COUNT);
	return services[s].tls;
}

uint16_t service_port(enum service s)
{
	BUG_IF(s >= SERVICE_COUNT);
	return services[s].port;
}

const char *stage_word(enum stage s)
{
	BUG_IF(s >= STAGE_COUNT);
	return stages[s];
}

const char *end_word(enum end e)
{
	BUG_IF(e >= END_COUNT);
	return ends[e];
}

const char *phase_word(enum phase p)
{
	BUG_IF(p >= PHASE_COUNT);
	return phases[p];
}

bool service_parse(struct span text, enum service *out)
{
	for (enum service s = 0; s < SERVICE_COUNT; s++)
		if (span_eq(text, span_str(services[s].word))) {
			*out = s;
			return true;
		}
	return false;
}

bool stage_parse(struct span text, enum stage *out)
{
	for (enum stage s = 0; s < STAGE_COUNT; s++)
		if (span_eq(text, span_str(stages[s]))) {
			*out = s;
			return true;
		}
	return false;
}

bool end_parse(struct span text, enum end *out)
{
	for (enum end e = 0; e < END_COUNT; e++)
		if (span_eq(text, span_str(ends[e]))) {
			*out = e;
			return true;
		}
	return false;
}
