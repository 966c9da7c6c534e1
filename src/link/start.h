/*
 * start - how a role comes to life
 *
 * The supervisor starts `holdfast --role WORD` with one descriptor, LINK_FD: the link to
 * it. Over that link the role gets everything it owns, until GO. It then opens its files,
 * calls start_sandbox() and says READY. Later life messages come over the same link.
 */
#ifndef LINK_START_H
#define LINK_START_H

#include "conf/conf.h"
#include "link/frame.h"
#include "link/pulse.h"

#define LINK_FD 3

struct start_peer {
	enum role role;
	unsigned number;
	struct link *link;
};

struct start_listener {
	unsigned number; /* in conf->listeners, or LISTENER_CONTROL */
	uint64_t id;
	int fd;
};

/* What PULSE_OF brought, for watch. */
struct start_pulse {
	enum role role;
	unsigned number;
	uint32_t pid;
	int fd, doorbell;
};

/* A mapping that roles share. */
struct start_mapping {
	void *mem; /* NULL: this role has none */
	size_t n;
	bool fresh; /* made by this start of the server: nothing is in it yet */
};

struct start {
	enum role role;
	unsigned number;
	struct link *life;	 /* to the supervisor */
	const struct conf *conf; /* mapped read-only */
	int certs_fd;		 /* edge, and auth if it needs them; else -1 */
	int tables_fd;		 /* store only, else -1 */
	struct pulse *pulse;
	size_t peer_count;
	struct start_peer peers[ROLES_MAX];
	size_t listener_count;
	struct start_listener listeners[LISTENERS_MAX];
	size_t pulse_count;
	struct start_pulse pulses[ROLES_MAX];
	struct start_mapping guard;	/* edge: writable; store, watch: read-only */
	struct start_mapping orders;	/* watch: writable; edge: read-only */
	struct start_mapping accounts;	/* auth: writable; watch: read-only */
	struct start_mapping stek;	/* edge: read-only (io/stek.h) */
	uint8_t ticket_key[TICKET_KEY]; /* auth and store only (crypt/ticket.h) */
	bool has_tickets;
	struct start_mapping access; /* edge, watch, firewall: read-only; again at reloads */
	/*
	 * For an edge: a bit for each number whose edge has died and may have left locks and
	 * seats behind. Mend them before taking any; this may be one's own number. Of later
	 * deaths a GONE tells.
	 */
	uint32_t dead_edges;
	bool alone;	  /* --one-process: a thread among others, with no sandbox */
	unsigned sandbox; /* SANDBOX_HAS_ bits, set by start_sandbox() */
};

/*
 * Receive until GO, over fd, which it takes over. After a failure s->life is there, if it could
 * be, for start_failed().
 */
MUST bool start_wait_on(struct start *s, int fd, enum role role, struct err *err);

/* Map a CONF descriptor; takes it over. NULL and err if it is not a good one. */
const struct conf *start_map_conf(int fd, struct err *err);
void start_unmap_conf(const struct conf **conf);

/*
 * Map an ACCESS descriptor, which comes again at each reload; takes it over. False and
 * err if it is not a good one.
 */
MUST bool start_map_access(int fd, struct start_mapping *out, struct err *err);
void start_unmap(struct start_mapping *m);

/* A PEER that comes after GO: the link that it brings, to whom it names. */
MUST bool start_take_peer(struct frame *f, enum role us, struct link **link,
			  struct err *err);

/* What a role may do once closed in. Paths: NULL-terminated lists, NULL for none. */
struct sandbox {
	enum role role;
	const char *const *read_write; /* directories: files and directories below */
	const char *const *read_only;
	const char *const *execute; /* files: programs, and what loads them */
	bool connects;		    /* auth: to sockets of this machine */
};

/* Which parts of the sandbox are in force, as READY tells. */
#define SANDBOX_HAS_SECCOMP  (1u << 0)
#define SANDBOX_HAS_LANDLOCK (1u << 1)

/*
 * Close the role in: no new privileges, Landlock for files, seccomp for system calls by
 * role. set.sandbox says whether a missing part is a warning (logged) or a failure.
 * Call before any thread starts.
 */
MUST bool start_sandbox(struct start *s, const struct sandbox *box, struct err *err);

/* Say READY. */
MUST bool start_ready(const struct start *s, struct err *err);
/* Say FAILED with err's text; the caller then ends with exit code 1. */
void start_failed(const struct start *s, const struct err *err);

#endif
