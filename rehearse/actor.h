/*
 * actor - lists, and who does what, from a scenario file
 *
 * Inside scenario.c only.
 */
#ifndef REHEARSE_ACTOR_H
#define REHEARSE_ACTOR_H

#include "rehearse/reader.h"
#include "rehearse/scenario.h"

/* The group `lists` of a scenario; NULL: there is none. */
MUST bool lists_read(struct reader *r, const config_setting_t *s);

/* The list `attackers`, into the scenario's actors. */
MUST bool attackers_read(struct reader *r, const config_setting_t *s);

/* One honest client, the root of a file of its own. */
MUST bool honest_read(struct reader *r, const config_setting_t *root);

#endif
