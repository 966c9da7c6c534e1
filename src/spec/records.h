/*
 * records - the table in records.def, as C
 */
#ifndef SPEC_RECORDS_H
#define SPEC_RECORDS_H

enum log_level {
	LEVEL_ERROR,
	LEVEL_WARN,
	LEVEL_NOTICE,
	LEVEL_INFO,
};

enum log_folds {
	FOLDS_NEVER,
	FOLDS_ADDRESS,
	FOLDS_KEY,
};

enum record {
	LOG_NONE,
#define RECORD(id, ...) LOG_##id,
#include "spec/records.def"
	RECORD_COUNT
};

struct record_row {
	const char *word;
	enum log_level level;
	enum log_folds folds;
	const char *doc;
};

extern const struct record_row record_table[RECORD_COUNT];

#endif
