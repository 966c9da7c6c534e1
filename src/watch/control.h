/*
 * control - the control socket: who may ask, and how much of our time that may take
 *
 * Only root, our own user and a configured group get in. Clients are few and each has
 * deadlines: to say its command, to be answered, to read the answer. What a client does
 * not read waits in memory up to a ceiling. When all places are taken, the one that has
 * not moved for longest makes room, so nobody can keep the administrator out. What a
 * command means is for others to say (watch/commands.h): they get it with a number, and
 * answer to that number, now or later; nobody minds if the client is gone by then.
 */
#ifndef WATCH_CONTROL_H
#define WATCH_CONTROL_H

#include <sys/types.h>

#include "io/loop.h"
#include "spec/control.h"
#include "spec/roles.h"

#define CONTROL_CLIENTS 32
#define CONTROL_STREAMS 8 /* of them may stay for as long as they like */

struct control;

struct control_hook {
	void (*on_command)(void *arg, uint32_t ask, struct span words);
	void (*on_room)(void *arg); /* control_full(), control_busy() may be false now */
	void *arg;
};

/* fd: the listening socket, taken over. group: who else may ask; (gid_t)-1: nobody. */
MUST bool control_open(struct control **out, struct loop *loop, int fd, gid_t group,
		       const struct control_hook *hook, struct err *err);
void control_close(struct control **c);

/*
 * A row, and the end, of the answer to that command; by: which role gives it, ROLE_WATCH
 * unless control_wait() named another one.
 */
void control_row(struct control *c, uint32_t ask, enum role by, struct span row);
void control_end(struct control *c, uint32_t ask, enum role by, bool ok, struct span text);

/*
 * This answer has no end of its own: rows come as things happen, until the client hangs
 * up. No deadline counts any more, and a row that a slow reader has no room for is lost;
 * before the next one it is told how many were (`lost`). False: there are too many of
 * them, or the client is gone.
 */
MUST bool control_stream(struct control *c, uint32_t ask);
/* Is anybody still there for that answer? */
bool control_has(const struct control *c, uint32_t ask);
/* Another role will answer. If it is silent for that long, the client is told so. */
void control_wait(struct control *c, uint32_t ask, enum role by, ms_t within);
/* Take nobody new, who waits for the next watch; is anybody still being answered? */
void control_drain(struct control *c);
bool control_busy(const struct control *c);

/*
 * Does a client have so much to read already that this role should wait? Not for long:
 * who does not read is hung up on.
 */
bool control_full(const struct control *c, enum role by);
/* It never will: it has ended. */
void control_lost(struct control *c, enum role by);

#endif
