/*
 * store_open - what the store opens and reads before it serves
 */
#ifndef STORE_STORE_OPEN_H
#define STORE_STORE_OPEN_H

#include "base/err.h"

struct store;

/* Maildirs, databases and keys. */
MUST bool store_open_files(struct store *s, struct err *err);
/* Who gets mail here, from the database and from the tables that came with the start. */
MUST bool store_load_people(struct store *s, struct err *err);
/* What the queue waits for. */
MUST bool store_load_queue(struct store *s, struct err *err);
/* Other tables, also later. fd stays the caller's. */
MUST bool store_read_tables(struct store *s, int fd, struct err *err);

#endif
