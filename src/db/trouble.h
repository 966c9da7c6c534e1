/*
 * trouble - what kind of failure a database had
 */
#ifndef DB_TROUBLE_H
#define DB_TROUBLE_H

enum trouble {
	TROUBLE_NONE,
	TROUBLE_FULL,	/* no room on disk: nothing is broken */
	TROUBLE_BROKEN, /* input/output errors, corruption, anything else */
};

#endif
