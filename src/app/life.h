/*
 * life - what the supervisor knows: its children, the posts they fill, the ports it holds
 *
 * For app/ only. A post is a place that should always be filled: one store, one auth, one
 * watch, n edges, and one firewall and one fetch if they are wanted. A child is a process. A child that
 * drains has no post any more.
 */
#ifndef APP_LIFE_H
#define APP_LIFE_H

#include <limits.h>
#include <sys/types.h>

#include "app/places.h"
#include "app/ports.h"
#include "io/loop.h"
#include "link/frame.h"
#include "link/pulse.h"
#include "link/start.h"

#define CHILDREN_MAX (ROLES_MAX + 4) /* the loader, and the new program on trial */
#define POSTS_MAX    (EDGES_MAX + 5)

/* How often heartbeats are looked at, and other things that depend on time alone. */
#define LOOK_EVERY ((ms_t)500)
/* A role that starts may be silent for longer: a database may have to be mended. */
#define START_GRACE ((ms_t)60000)
#define DRAIN_GRACE ((ms_t)10000)
/* How long firewall, store, auth, fetch and watch have to finish once it is their turn. */
#define LAST_WORDS ((ms_t)10000)
/* After this long in service a death is an accident, not a habit. */
#define HEALTHY_AFTER ((ms_t)30000)
#define BACK_OFF_MAX  ((ms_t)5000)
/* So much later a child that had no descriptors left is sent what it lost. */
#define LOST_AGAIN MS_SECOND
/* So many deaths before the server was ever complete, and it gives up. */
#define DEATHS_AT_START 5

#define LOADED_FDS 4 /* what the loader hands over */

/* As sysexits.h has it. */
#define EXIT_CONFIG 78

struct supervisor;

enum child_state {
	CHILD_NONE, /* this place is free */
	CHILD_STARTING,
	CHILD_READY,
	CHILD_DRAINING,
};

/* What a child had no descriptors for; it is sent again. */
struct lost {
	ms_t again; /* 0: nothing */
	bool conf;  /* or what comes with it: certificates, lists, tables */
	bool ports;
	/* links to, and pulses of, these: a bit for each number */
	uint32_t peers[ROLE_COUNT], pulses[ROLE_COUNT];
};

struct child {
	struct supervisor *s;
	enum role role; /* ROLE_NONE: a new program on trial */
	unsigned number;
	enum child_state state;
	pid_t pid;   /* 0: a thread (--one-process) */
	bool reaped; /* that number may be somebody else's by now */
	struct link *life;
	struct watch watch;
	int pulse_fd; /* for readers; -1: the loader has none */
	int doorbell;
	struct pulse_reader *pulse;
	uint64_t beats;
	ms_t silent; /* for how long the beats have not changed, as far as we looked */
	ms_t ready_at;
	ms_t deadline;	 /* killed then */
	const char *why; /* why we killed it; NULL: we did not */
	bool old;	 /* of the program before an upgrade */
	uint32_t speaks; /* its MESSAGES_VERSION */
	/* an edge that drains, see drain.c */
	bool keeps;	   /* who reads mail may stay when the others have left */
	ms_t drained;	   /* since when */
	ms_t others_by;	   /* the others have left by then */
	struct err failed; /* what it said in FAILED */
	struct lost lost;
};

struct post {
	enum role role;
	struct child *child; /* NULL: vacant */
	unsigned failures;
	ms_t again; /* not filled before */
};

enum stage {
	STAGE_LOADING, /* no configuration yet */
	STAGE_SERVING,
	STAGE_STOPPING_EDGES, /* one after the other, so that nothing is left half done */
	STAGE_STOPPING_FIREWALL,
	STAGE_STOPPING_STORE,
	STAGE_STOPPING_AUTH,
	STAGE_STOPPING_FETCH,
	STAGE_STOPPING_WATCH, /* last: it writes the log */
	STAGE_OVER,
};

/* The answer that somebody at the control socket waits for. */
struct asked {
	bool waiting;
	uint32_t ask;
};

struct loading {
	struct child *loader; /* NULL: none now */
	struct asked asked;
	unsigned problems, doubts;
	struct err first;	/* the first problem */
	unsigned kept;		/* settings whose new value waits for a restart */
	const char *kept_first; /* one of them */
	bool loaded;
	int fds[LOADED_FDS]; /* conf, certs, tables, access */
	ms_t again; /* try anew then: after an upgrade whose configuration is bad */
};

struct trial {
	struct child *child; /* NULL: none now */
	unsigned step;
	struct asked asked;
};

/* A mapping that roles share (shared.c). */
struct shared {
	int rw, ro; /* for who may write to it, and for who may not; -1: there is none */
	bool fresh; /* made by this start, and not everybody has been there yet */
};

struct run_options {
	const char *config;
	size_t set_count;
	const char *sets[64];
	bool one_process;
	int resume;  /* descriptor of the state of the program before; -1 */
	char **argv; /* all of it, from the program's name on */
};

struct supervisor {
	struct loop *loop;
	struct run_options opt;
	int program;		     /* this program's file, kept open */
	char program_path[PATH_MAX]; /* where it was, and a new one may be */

	struct pulse *pulse;
	int pulse_fd, doorbell; /* for watch */
	uint8_t words_mem[LOG_RECORD_MAX];
	struct buf words; /* the record that is being made */
	bool heard;	  /* a watch has been there to write the log */

	const struct conf *conf; /* in force */
	int conf_fds[LOADED_FDS];
	uint64_t generation;
	struct owners owners;
	struct ports ports;
	int control, lock;
	struct shared guard, orders, accounts;
	struct shared tickets; /* the key, which nobody may write to */
	struct shared stek;    /* likewise: the keys of TLS session tickets */
	bool apart;	       /* the old program's edges see other memories than we do */
	ms_t edge_ended[EDGES_MAX]; /* when an edge of that number died; 0: none since */

	enum stage stage;
	bool complete; /* every post was filled once */
	int exit_code;
	struct child children[CHILDREN_MAX];
	struct post posts[POSTS_MAX];
	size_t post_count;
	struct loading loading;
	struct trial trial;
	bool reload_wanted, upgrade_wanted; /* when nothing of that kind is under way */
	struct asked reload_asked;	    /* who wants that reload */
	struct timer timer;
	ms_t looked;  /* at the heartbeats */
	ms_t renewed; /* looked whether keys are due */
	ms_t stop_by;
	ms_t watchdog; /* how often; MS_NEVER */
	ms_t watchdog_at;
};

/* ---- begin.c ------------------------------------------------------------------------- */

/* The configuration is there for the first time: open everything. */
MUST bool life_begin(struct supervisor *s, struct err *err);
/* A new configuration may want the fetch role that the old one did not. */
void life_want_fetch(struct supervisor *s);

/* ---- life.c -------------------------------------------------------------------------- */

/* Do what is due, and set the timer for what is next. Cheap; called after every event. */
void life_go_on(struct supervisor *s);
/* Stop in order, ending with this exit code. */
void life_stop(struct supervisor *s, int exit_code);
/* A start that cannot succeed: say why and stop. */
void life_give_up(struct supervisor *s, int exit_code, const struct err *err);
/* Answer an ORDER, if somebody waits. */
void life_answer(struct supervisor *s, struct asked *asked, bool ok, const char *text);

/*
 * Is there no server without this role? Without the firewall it refuses at connect;
 * without fetch there are no policies of others and no tokens.
 */
static inline bool is_needed(enum role role)
{
	return role != ROLE_FIREWALL && role != ROLE_FETCH;
}

/* ---- say.c --------------------------------------------------------------------------- */

/* Put fields into the buffer, then say_end(). */
struct buf *say_begin(struct supervisor *s);
void say_end(struct supervisor *s, enum record kind);
/* A record with a key and a text. */
void say(struct supervisor *s, enum record kind, const char *key, const char *text);
/* To somebody who started the server on a terminal: it serves, and where its log is. */
void say_where(const struct supervisor *s);
/* What no watch has written: to standard error. */
void say_unheard(struct supervisor *s);

/* ---- children.c ---------------------------------------------------------------------- */

#define CHILD_TITLE_MAX 64

/* What it is called among processes: "holdfast: edge 3". */
void child_title(const struct child *c, char out[CHILD_TITLE_MAX]);
/* say_begin(), and the fields that every record about a child begins with. */
struct buf *child_say(const struct child *c);
void child_kill(struct child *c, const char *why);
/* Kill who is silent or overdue. */
void children_look(struct supervisor *s);
/* How many are alive: of a role (ROLE_ANY: of all that have posts or had). */
size_t children_count(const struct supervisor *s, enum role role);
/* The post that it fills; NULL: none. */
struct post *post_of(struct supervisor *s, const struct child *c);
struct child *child_free(struct supervisor *s);
/* Forget it: after its death, or when it was never born. */
void child_forget(struct child *c);

/* Does it speak as another version does? Then it understands DRAIN, or nothing. */
static inline bool is_foreign(const struct child *c)
{
	return c->speaks != MESSAGES_VERSION;
}

/* ---- birth.c ------------------------------------------------------------------------- */

/* Start a child for a post. False: it could not even be started. */
MUST bool child_start(struct supervisor *s, struct post *post, struct err *err);
/* Start the loader or a trial: a child without pulse or post. argv[0] is its name. */
MUST bool child_helper(struct supervisor *s, struct child **out, enum role role,
		       char **argv, struct err *err);

/* ---- hear.c -------------------------------------------------------------------------- */

/* Watch the life link of a child: of a new one, or one taken over in an upgrade. */
MUST bool child_adopt(struct supervisor *s, struct child *c, int life, struct err *err);
/* Take all that has come. False: there will be no more. */
bool child_hear(struct child *c);

/* ---- death.c ------------------------------------------------------------------------- */

#define CHILD_FINISHED "exit code 0" /* how a role ends that was told to */

void child_ended(struct child *c, const char *how);
/* waitpid() said so. */
void children_reap(struct supervisor *s);

/* ---- drain.c ------------------------------------------------------------------------- */

/*
 * Let it finish. An edge may keep who reads mail for longer, if `readers` is. One that
 * drains already is told again only to keep nobody any more.
 */
void child_drain(struct child *c, ms_t within, ms_t readers);
/* All that it can still have are people who read mail. */
bool drain_lingers(const struct child *c);
/* The edge of that number, which drains, is to keep nobody. False: there is none. */
bool drain_hurry(struct supervisor *s, unsigned number);
/* Have the oldest leave that keep somebody, if there are too many of them. */
void drain_bound(struct supervisor *s);

/* ---- tell.c -------------------------------------------------------------------------- */

/* Hand a new child everything it owns, and introduce it to the others. */
MUST bool tell_all(struct child *c, int pulse, struct err *err);
void tell_conf(struct child *c);
void tell_port(struct child *c, const struct port *p);
void tell_unlisten(struct child *c, const struct port *p);
void tell_gone(struct supervisor *s, const struct child *gone);
/* What it has lost, if it is time. */
void tell_again(struct child *c);

/* ---- shared.c ------------------------------------------------------------------------ */

void shared_init(struct supervisor *s);
/* Make the guard's memories and the orders, unless the program before us left usable ones. */
MUST bool shared_begin(struct supervisor *s, struct err *err);
/* Take over a descriptor that the program before us left; -1: it left none. */
void shared_take(struct shared *m, int fd);
/* Every role has been there once: for whoever starts now, they are not fresh. */
void shared_settled(struct supervisor *s);
/* When the keys of TLS session tickets are due for a newer one, add it. */
void shared_renew(struct supervisor *s);
void shared_close(struct supervisor *s);

/* ---- reload.c ------------------------------------------------------------------------ */

/* Run the loader, for the start or a reload. */
void reload_start(struct supervisor *s, struct asked asked);
void reload_message(struct supervisor *s, struct frame *f);
/* The loader has ended. */
void reload_ended(struct supervisor *s, const char *how);

/* ---- upgrade.c ----------------------------------------------------------------------- */

/* Why no upgrade can begin now; NULL: one can. */
const char *upgrade_busy(const struct supervisor *s);
/* Try the program that is now where ours was; then become it. */
void upgrade_start(struct supervisor *s, struct asked asked);
void upgrade_tried(struct supervisor *s, int status);
/* Take over what the program before us left. */
MUST bool upgrade_resume(struct supervisor *s, int fd, struct err *err);
/* New roles serve: let the old ones go. */
void upgrade_go_on(struct supervisor *s);

/* ---- roles.c ------------------------------------------------------------------------- */

/* --one-process: a thread instead of a process. Takes over link. */
MUST bool alone_start(struct child *c, int link, struct err *err);
/* Run a role on a link, in this process. The exit code. Takes over link. */
int role_run(enum role role, int link, bool alone);

#endif
