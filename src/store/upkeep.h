/*
 * upkeep - what the clock brings
 */
#ifndef STORE_UPKEEP_H
#define STORE_UPKEEP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/time.h"

struct store;

void upkeep_start(struct store *s);
/* In a thread: how much room is there? */
void upkeep_measure(void *store);
/* In the loop: and is it enough? */
void upkeep_judge_room(struct store *s);
/* Accounts changed: publish them soon, or now, and then say that it is done. */
void people_changed(struct store *s, uint32_t ask, const char *text, bool now);
/* Put together and publish who gets mail here. */
void people_publish(struct store *s);
/* In the writer's thread, after each batch: how much is held now? */
void upkeep_count_held(struct store *s);

#endif
