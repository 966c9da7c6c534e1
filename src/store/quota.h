/*
 * quota - how much is in whose mailbox
 */
#ifndef STORE_QUOTA_H
#define STORE_QUOTA_H

#include "base/span.h"
#include "base/time.h"

struct store;

/* That many bytes more are in a mailbox. */
void quota_added(struct store *s, struct span mailbox, int64_t bytes);
/* Its owner has removed something: look at it soon, if it seems full. */
void quota_look_again(struct store *s, struct span mailbox);
/* Look at mailboxes: those that are full, and those of which nothing is known. */
void quota_tick(struct store *s, ms_t now);
/* Settings or users changed. */
void quota_judge_all(struct store *s);

#endif
