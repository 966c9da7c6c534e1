/*
 * ledger - the administrator's orders on disk
 *
 * DIR/log/orders.state is text, a line for each order and a sum at its end:
 *
 *     holdfast-orders 1
 *     lockdown 1767225600000
 *     ban 192.0.2.0/24 1767225600000 1767830400000 scanning since Monday
 *     allow 198.51.100.7 1767225600000 never
 *     sum 0123456789abcdef
 *
 * Times are milliseconds since 1970. It is written whole, to another file, and renamed
 * when it is on the disk. One that is torn or not ours is refused as a whole and kept
 * aside under another name.
 */
#ifndef WATCH_LEDGER_H
#define WATCH_LEDGER_H

#include "base/err.h"
#include "guard/orders.h"
#include "io/loop.h"

/* Enough for all orders, a lockdown and the sum. */
#define LEDGER_MAX                                    \
	((size_t)ORDERS_MAX * (160 + ORDER_WHY_MAX) + \
	 (size_t)BACKENDS_MAX * (BACKEND_NAME_MAX + 8) + 256)

void ledger_print(const struct orders *o, struct buf *out);
/* Put all of it into o, or nothing. What has run out is left out. */
MUST bool ledger_parse(struct span text, struct orders *o, int64_t wall, struct err *err);

struct ledger;

/*
 * hook: called when what was saved last is on disk, or is not: err is NULL if it is. What is
 * not is tried again so long after it failed, until it is.
 */
struct ledger_hook {
	void (*on_saved)(void *arg, uint64_t serial, const struct err *err);
	void *arg;
	ms_t again;
};

MUST bool ledger_open(struct ledger **out, struct loop *loop, const char *directory,
		      struct orders *orders, const struct ledger_hook *hook,
		      struct err *err);
/* After loop_close(), which waits for the writing. */
void ledger_close(struct ledger **l);

/*
 * Fill the orders from the file. No file is fine. False: err names the file that is bad
 * and where it was put aside.
 */
MUST bool ledger_load(struct ledger *l, int64_t wall, struct err *err);

/*
 * Have a thread write what the orders are now, which begins at once: loop_close() waits for
 * it. The serial that on_saved() will name, or a later one.
 */
uint64_t ledger_save(struct ledger *l);
/* Why it could not be written last; empty if it could. */
const char *ledger_trouble(const struct ledger *l);

#endif
