/*
 * config_show - a configuration as lines that could be in its file
 *
 * Each value with where it came from, or as a JSON object.
 */
#ifndef CLI_CONFIG_SHOW_H
#define CLI_CONFIG_SHOW_H

#include "app/loader.h"

struct config_show {
	const char *key;  /* only this setting or group; NULL: everything */
	const char *path; /* of the file */
	bool json;
};

/* How many lines were printed. */
size_t config_show_settings(const struct config_show *show, const struct settings *set,
			    const struct origins *origins);
size_t config_show_lists(const struct config_show *show, const struct loaded *l);

#endif
