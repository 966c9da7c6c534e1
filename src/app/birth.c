/* How a child comes to life: its number, pulse and link, and the process or thread. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "app/life.h"
#include "app/spawn.h"

/* After this long everybody has heard of an edge's death, or is dead as well. */
#define NUMBER_RESTS ((ms_t)60000)

static bool number_taken(const struct supervisor *s, unsigned n)
{
	for (const struct child *c = s->children; c < s->children + CHILDREN_MAX; c++)
		if (c->state != CHILD_NONE && c->role == ROLE_EDGE && c->number == n)
			return true;
	return false;
}

/*
 * The least number that no living edge has, but rather none of an edge that has died a
 * moment ago: others may still have to hear of it, and would mend, which is to take away,
 * what the next of that number holds. If there is no other, the one that is dead longest.
 */
static bool free_number(const struct supervisor *s, unsigned *out)
{
	ms_t now = loop_now(s->loop), oldest = MS_NEVER;
	bool found = false;

	for (unsigned n = 0; n < EDGES_MAX; n++) {
		ms_t ended = s->edge_ended[n];

		if (number_taken(s, n))
			continue;
		if (ended && now - ended >= NUMBER_RESTS)
			ended = 0;
		if (found && ended >= oldest)
			continue;
		found = true;
		oldest = ended;
		*out = n;
	}
	return found;
}

/* The process (or thread) itself, with the other end of the link. Takes over link. */
static bool give_birth(struct child *c, int link, struct err *err)
{
	struct supervisor *s = c->s;
	char name[CHILD_TITLE_MAX];
	char role[16];
	char flag[] = "--role";
	char *argv[] = { name, flag, role, NULL };
	struct spawn what = {
		.program = s->program, .path = s->program_path, .argv = argv, .link = link
	};

	if (s->opt.one_process)
		return alone_start(c, link, err);
	child_title(c, name);
	snprintf(role, sizeof(role), "%s", role_word[c->role]);
	if (s->owners.drop)
		what.owner = &s->owners.of[c->role];
	what.net_admin = c->role == ROLE_FIREWALL;
	/* the administrator is answered while all processors are busy with an attack */
	what.urgent = c->role == ROLE_WATCH;
	c->pid = spawn(&what, err);
	close(link);
	return c->pid > 0;
}

static bool open_pulse(struct child *c, int *pulse, struct err *err)
{
	int again;

	if (!pulse_make(pulse, &c->pulse_fd, err))
		return false;
	c->doorbell = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	again = fcntl(c->pulse_fd, F_DUPFD_CLOEXEC, 0);
	if (c->doorbell < 0 || again < 0) {
		close(*pulse);
		return err_set(err, "pulse: %s", strerror(errno));
	}
	if (pulse_reader_open(&c->pulse, again, err))
		return true;
	close(*pulse);
	return false;
}

static bool bring_up(struct child *c, struct err *err)
{
	int fds[2];

	if (!link_pair(fds, err))
		return false;
	c->state = CHILD_STARTING;
	if (child_adopt(c->s, c, fds[0], err))
		return give_birth(c, fds[1], err);
	close(fds[1]);
	return false;
}

bool child_start(struct supervisor *s, struct post *post, struct err *err)
{
	struct child *c = child_free(s);
	int pulse;
	bool told;

	if (!c)
		return err_set(err, "too many processes");
	c->role = post->role;
	if (c->role == ROLE_EDGE && !free_number(s, &c->number))
		return err_set(err, "too many edges are still draining");
	if (!open_pulse(c, &pulse, err)) {
		child_forget(c);
		return false;
	}
	if (!bring_up(c, err)) {
		close(pulse);
		child_forget(c);
		return false;
	}
	post->child = c;
	told = tell_all(c, pulse, err);
	close(pulse);
	if (!told)
		child_kill(c, "it could not be told what it needs");
	return true;
}

/* ---- helpers ----------------------------------------------------------------------- */

static bool spawn_loader(struct child *c, struct spawn *what, struct err *err)
{
	int fds[2];

	if (!link_pair(fds, err))
		return false;
	what->link = fds[1];
	if (child_adopt(c->s, c, fds[0], err))
		c->pid = spawn(what, err);
	close(fds[1]);
	return c->pid > 0;
}

/* The program on trial is the one that is there now, not the one we are. */
static bool spawn_trial(struct child *c, struct spawn *what, struct err *err)
{
	what->program = what->link = -1;
	what->quiet = true;
	c->pid = spawn(what, err);
	return c->pid > 0;
}

bool child_helper(struct supervisor *s, struct child **out, enum role role, char **argv,
		  struct err *err)
{
	struct child *c = child_free(s);
	struct spawn what = { .program = s->program,
			      .path = s->program_path,
			      .argv = argv };
	bool born;

	if (!c)
		return err_set(err, "too many processes");
	c->role = role;
	c->state = CHILD_STARTING;
	born = role == ROLE_NONE ? spawn_trial(c, &what, err)
				 : spawn_loader(c, &what, err);
	if (!born)
		child_forget(c);
	else
		*out = c;
	return born;
}
