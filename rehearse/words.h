/*
 * words - enums of words.def, and their names
 */
#ifndef REHEARSE_WORDS_H
#define REHEARSE_WORDS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/span.h"

enum speaks { SPEAKS_SMTP, SPEAKS_IMAP, SPEAKS_POP3 };

enum service {
#define SERVICE(name, word, port, speaks, tls) SERVICE_##name,
#include "rehearse/words.def"
	SERVICE_COUNT
};

enum stage {
#define STAGE(name, word, says) STAGE_##name,
#include "rehearse/words.def"
	STAGE_COUNT
};

enum end {
#define END(name, word, says) END_##name,
#include "rehearse/words.def"
	END_COUNT
};

enum phase {
#define PHASE(name, word, says) PHASE_##name,
#include "rehearse/words.def"
	PHASE_COUNT
};

const char *service_word(enum service s);
enum speaks service_speaks(enum service s);
bool service_tls(enum service s);      /* from the first byte on */
uint16_t service_port(enum service s); /* the usual one */
const char *stage_word(enum stage s);
const char *end_word(enum end e);
const char *phase_word(enum phase p);

/* False, and *out untouched, if there is no such word. */
MUST bool service_parse(struct span text, enum service *out);
MUST bool stage_parse(struct span text, enum stage *out);
MUST bool end_parse(struct span text, enum end *out);

#endif
