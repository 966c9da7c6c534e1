/*
 * The tables of this folder, once each. (messages.c has its own, with pack and unpack.)
 */
#include "spec/ends.h"
#include "spec/events.h"
#include "spec/messages.h"
#include "spec/records.h"
#include "spec/replies.h"
#include "spec/roles.h"
#include "spec/rules.h"

/* clang-format off */
const struct event_row event_table[EVENT_COUNT] = {
	[EV_NONE] = { "none", 0, SAYS_NOTHING, "Nothing happened." },
#define EVENT(id, word, weight, says, doc) [EV_##id] = { word, weight, SAYS_##says, doc },
#include "spec/events.def"
};

const struct end_row end_table[END_COUNT] = {
	[END_NONE] = { "none", "The session goes on." },
#define END(id, word, doc) [END_##id] = { word, doc },
#include "spec/ends.def"
};

const struct reply_row reply_table[REPLY_COUNT] = {
	[RE_NONE] = { 0, "", "" },
#define REPLY(id, code, enhanced, text) [RE_##id] = { code, enhanced, text },
#include "spec/replies.def"
};

const struct rule_row rule_table[RULE_COUNT] = {
	[RULE_NONE] = { "none", '-', RE_NONE, "Nothing refuses it." },
#define RULE(id, word, letter, reply, doc) [RULE_##id] = { word, letter, RE_##reply, doc },
#include "spec/rules.def"
};

const char *const says_word[SAYS_COUNT] = {
	[SAYS_NOTHING] = "nothing", [SAYS_GOOD] = "good",	[SAYS_CLUMSY] = "clumsy",
	[SAYS_PROBE] = "probe",	    [SAYS_TALKER] = "talker",	[SAYS_RELAY] = "relay",
	[SAYS_HARVEST] = "harvest", [SAYS_GUESS] = "guess",	[SAYS_FLOOD] = "flood",
};

const struct record_row record_table[RECORD_COUNT] = {
	[LOG_NONE] = { "none", LEVEL_INFO, FOLDS_NEVER, "Nothing." },
#define RECORD(id, word, level, folds, doc) [LOG_##id] = { word, LEVEL_##level, FOLDS_##folds, doc },
#include "spec/records.def"
};

const char *const role_word[ROLE_COUNT] = {
	[ROLE_NONE] = "none",
	[ROLE_SUPERVISOR] = "supervisor",
	[ROLE_LOADER] = "loader",
	[ROLE_EDGE] = "edge",
	[ROLE_STORE] = "store",
	[ROLE_AUTH] = "auth",
	[ROLE_WATCH] = "watch",
	[ROLE_FETCH] = "fetch",
	[ROLE_FIREWALL] = "firewall",
};

const char *const sasl_word[SASL_COUNT] = {
	[SASL_PLAIN] = "PLAIN",
	[SASL_LOGIN] = "LOGIN",
	[SASL_SCRAM_SHA_256] = "SCRAM-SHA-256",
	[SASL_SCRAM_SHA_256_PLUS] = "SCRAM-SHA-256-PLUS",
	[SASL_OAUTHBEARER] = "OAUTHBEARER",
	[SASL_XOAUTH2] = "XOAUTH2",
	[SASL_EXTERNAL] = "EXTERNAL",
};
/* clang-format on */

void reply_print(enum reply r, struct span more, struct buf *out)
{
	const struct reply_row *row = &reply_table[r];

	buf_number(out, (uint64_t)row->code);
	buf_byte(out, ' ');
	if (*row->enhanced) {
		buf_put(out, span_str(row->enhanced));
		buf_byte(out, ' ');
	}
	buf_put(out, span_str(row->text));
	if (more.n) {
		buf_byte(out, ' ');
		buf_put(out, more);
	}
	buf_put(out, SPAN("\r\n"));
}

enum rule rule_named(struct span word)
{
	for (int r = RULE_NONE + 1; r < RULE_COUNT; r++)
		if (span_eq(word, span_str(rule_table[r].word)))
			return (enum rule)r;
	return RULE_NONE;
}

enum rule rule_of_letter(char letter)
{
	for (int r = RULE_NONE + 1; r < RULE_COUNT; r++)
		if (rule_table[r].letter == letter)
			return (enum rule)r;
	return RULE_NONE;
}
