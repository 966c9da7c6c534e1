/*
 * local_users - the users of this machine, for who hands in mail over a socket of it
 *
 * The kernel says with which user number a program connects. The edge has no files to find
 * the name that belongs to it, so the names are read with the configuration: one that is
 * added later is known after the next reload, and has "uid1234" as its name until then.
 */
#ifndef APP_LOCAL_USERS_H
#define APP_LOCAL_USERS_H

#include "conf/conf.h"

/* Fill in conf.local_users, if there is a listener that needs them. */
void local_users_read(struct conf *conf);

#endif
