/*
 * ports - the listening sockets
 *
 * The supervisor holds them; all edges accept from the same ones. So a port stays open,
 * and connections wait in its backlog, whatever happens to a worker.
 */
#ifndef APP_PORTS_H
#define APP_PORTS_H

#include "base/err.h"
#include "conf/conf.h"
#include "link/systemd.h"

struct port {
	uint64_t id;
	int fd;
	struct endpoint at; /* of a socket of this machine: nothing */
	char name[64];
};

struct ports {
	size_t count;
	struct port port[LISTENERS_MAX];
};

/*
 * Open every port of conf, taking from `had` and from `given` (NULL: none) what is open
 * already. On failure everything is as it was. Retries for `patience` when a port is in
 * use: a server that was killed may still be letting go of it.
 */
MUST bool ports_open(struct ports *out, const struct ports *had,
		     struct systemd_sockets *given, const struct conf *conf,
		     ms_t patience, struct err *err);
/* Nobody listens there any more; the file of a socket of this machine goes with it. */
void port_close(const struct port *p);
/* Is a port of that id among them? */
const struct port *ports_find(const struct ports *p, uint64_t id);

#endif
