#include "watch/control.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fields.h"
#include "base/list.h"

#define SAY_WITHIN  (5 * MS_SECOND)   /* connected: the whole command must be here */
#define READ_WITHIN (3 * MS_SECOND)   /* some of the answer must be taken */
#define ANSWER_FULL ((size_t)1 << 20) /* waits to be read: its role should pause */
#define ANSWER_MAX  ((size_t)4 << 20) /* the role did not: the answer is cut */
#define ANSWER_END  (CONTROL_TEXT_MAX + 16) /* always left of it for the end */
#define STREAM_FULL ((size_t)256 << 10) /* rows of a stream that are not read are lost */
#define GROUPS_MAX  256

enum stage {
	STAGE_FREE,
	STAGE_COMMAND, /* it has to say its command */
	STAGE_ANSWER,  /* we have to answer */
	STAGE_READ,    /* it has to read the end */
};

struct client {
	struct control *control;
	enum stage stage;
	uint32_t ask;
	int fd;
	ms_t moved;    /* when something happened last */
	enum role by;  /* STAGE_ANSWER: who answers */
	ms_t patience; /* how long it may be silent */
	struct watch watch;
	struct timer deadline;
	struct buf in;	/* the command */
	struct buf out; /* grows to ANSWER_MAX */
	size_t sent;	/* of out */
	bool streams;	/* until it hangs up */
	uint64_t lost;	/* rows of the stream, not told yet */
	uint8_t in_mem[CONTROL_FRAME_MAX];
};

struct control {
	struct loop *loop;
	int fd;
	gid_t group;
	struct control_hook hook;
	uint32_t asked;
	struct watch watch;
	struct client client[CONTROL_CLIENTS];
};

static void hang_up(struct client *c)
{
	watch_stop(&c->watch);
	timer_stop(&c->deadline);
	close(c->fd);
	/* It may have held a password. */
	explicit_bzero(c->in_mem, sizeof(c->in_mem));
	free(c->out.mem);
	buf_init(&c->out, NULL, 0);
	c->stage = STAGE_FREE;
}

/* Make room for n more bytes. False: it would be too much. */
static bool grow(struct client *c, size_t n, size_t ceiling)
{
	size_t want = c->out.cap ? c->out.cap : 4096;
	uint8_t *mem;

	if (n <= c->out.cap - c->out.len)
		return true;
	buf_drop(&c->out, c->sent);
	c->sent = 0;
	if (n <= c->out.cap - c->out.len)
		return true;
	while (want < c->out.len + n)
		want *= 2;
	if (want > ceiling)
		want = ceiling;
	if (want < c->out.len + n)
		return false;
	mem = realloc(c->out.mem, want);
	if (!mem)
		return false;
	c->out.mem = mem;
	c->out.cap = want;
	return true;
}

static void send_answer(struct client *c)
{
	while (c->sent < c->out.len) {
		ssize_t n = send(c->fd, c->out.mem + c->sent, c->out.len - c->sent,
				 MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			break;
		if (n < 0) {
			hang_up(c);
			return;
		}
		c->sent += (size_t)n;
		c->moved = loop_now(c->control->loop);
	}
	if (c->sent < c->out.len) {
		timer_set(&c->deadline, c->streams ? MS_NEVER : c->moved + READ_WITHIN);
		watch_mask(&c->watch, WATCH_READ | WATCH_WRITE);
	} else if (c->stage == STAGE_READ) {
		hang_up(c);
	} else {
		buf_reset(&c->out);
		c->sent = 0;
		watch_mask(&c->watch, WATCH_READ);
		timer_set(&c->deadline, c->streams ? MS_NEVER : c->moved + c->patience);
	}
}

static struct client *find(struct control *control, uint32_t ask, enum role by)
{
	for (size_t i = 0; i < CONTROL_CLIENTS; i++) {
		struct client *c = &control->client[i];

		if (c->stage == STAGE_ANSWER && c->ask == ask && c->by == by)
			return c;
	}
	return NULL;
}

static void end(struct client *c, bool ok, struct span text)
{
	c->stage = STAGE_READ;
	c->streams = false;
	if (!grow(c, ANSWER_END, ANSWER_MAX + ANSWER_END)) {
		hang_up(c);
		return;
	}
	control_put_end(&c->out, ok, text);
	timer_set(&c->deadline, loop_now(c->control->loop) + READ_WITHIN);
	send_answer(c);
}

/* False: there is no room for a row of that length now, and one more is lost. */
static bool stream_has_room(struct client *c, size_t n)
{
	uint8_t mem[32];
	struct buf row;

	if (c->out.len - c->sent + n > STREAM_FULL) {
		c->lost++;
		return false;
	}
	if (c->lost == 0)
		return true;
	buf_init(&row, mem, sizeof(mem));
	field_number(&row, "lost", (int64_t)c->lost);
	if (!grow(c, row.len + 16, ANSWER_MAX))
		return false;
	c->lost = 0;
	control_put_row(&c->out, buf_span(&row));
	return true;
}

void control_row(struct control *control, uint32_t ask, enum role by, struct span row)
{
	struct client *c = find(control, ask, by);

	if (!c || row.n > ROW_MAX || (c->streams && !stream_has_room(c, row.n)))
		return;
	if (!grow(c, row.n + 16, ANSWER_MAX)) {
		end(c, false, SPAN("The answer was cut: it was not read fast enough."));
		return;
	}
	control_put_row(&c->out, row);
	/* Many rows go out together. */
	watch_mask(&c->watch, WATCH_READ | WATCH_WRITE);
}

void control_end(struct control *control, uint32_t ask, enum role by, bool ok,
		 struct span text)
{
	struct client *c = find(control, ask, by);

	if (c)
		end(c, ok, text);
}

void control_wait(struct control *control, uint32_t ask, enum role by, ms_t within)
{
	struct client *c = find(control, ask, ROLE_WATCH);

	if (!c)
		return;
	c->by = by;
	c->patience = within;
	timer_set(&c->deadline, loop_now(control->loop) + within);
}

bool control_stream(struct control *control, uint32_t ask)
{
	struct client *c = find(control, ask, ROLE_WATCH);
	size_t streams = 0;

	for (size_t i = 0; i < CONTROL_CLIENTS; i++)
		streams += control->client[i].stage == STAGE_ANSWER &&
			   control->client[i].streams;
	if (!c || streams >= CONTROL_STREAMS)
		return false;
	c->streams = true;
	timer_set(&c->deadline, MS_NEVER);
	return true;
}

bool control_has(const struct control *control, uint32_t ask)
{
	for (size_t i = 0; i < CONTROL_CLIENTS; i++)
		if (control->client[i].stage == STAGE_ANSWER &&
		    control->client[i].ask == ask)
			return true;
	return false;
}

/* The answer stops here, because of the role that should give it. */
static void end_for(struct client *c, const char *what)
{
	uint8_t mem[128];
	struct buf text;

	buf_init(&text, mem, sizeof(mem));
	buf_fmt(&text, "The %s role %s", role_word[c->by], what);
	end(c, false, buf_span(&text));
}

void control_lost(struct control *control, enum role by)
{
	for (size_t i = 0; i < CONTROL_CLIENTS; i++) {
		struct client *c = &control->client[i];

		if (c->stage == STAGE_ANSWER && c->by == by)
			end_for(c,
				"ended before it could answer. It is being replaced: see "
				"whether the command took effect, and repeat it if not.");
	}
}

void control_drain(struct control *control)
{
	watch_stop(&control->watch);
	for (size_t i = 0; i < CONTROL_CLIENTS; i++) {
		struct client *c = &control->client[i];

		if (c->stage == STAGE_ANSWER && c->streams)
			end(c, false,
			    SPAN("The watch role is being replaced. Ask again."));
	}
}

bool control_busy(const struct control *control)
{
	for (size_t i = 0; i < CONTROL_CLIENTS; i++)
		if (control->client[i].stage != STAGE_FREE)
			return true;
	return false;
}

bool control_full(const struct control *control, enum role by)
{
	for (size_t i = 0; i < CONTROL_CLIENTS; i++) {
		const struct client *c = &control->client[i];

		if (c->stage == STAGE_ANSWER && c->by == by &&
		    c->out.len - c->sent > ANSWER_FULL)
			return true;
	}
	return false;
}

static void on_deadline(void *arg)
{
	struct client *c = arg;
	struct control_hook *hook = &c->control->hook;

	if (c->stage == STAGE_ANSWER && c->sent == c->out.len)
		end_for(c, "does not answer in time. It may still be at work on it: see "
			   "`holdfast roles` and the log.");
	else
		hang_up(c);
	hook->on_room(hook->arg);
}

static void judge_command(struct client *c)
{
	struct span in = buf_span(&c->in);
	struct control_frame f = control_next(&in);
	struct control_hook *hook = &c->control->hook;

	if (f.kind == CONTROL_MORE && !c->in.full)
		return;
	c->stage = STAGE_ANSWER;
	c->ask = ++c->control->asked;
	c->by = ROLE_WATCH;
	c->patience = READ_WITHIN;
	timer_set(&c->deadline, c->moved + c->patience);
	if (f.kind != CONTROL_WORDS || in.n || list_count(f.body) == 0)
		end(c, false, SPAN("This is not a command."));
	else
		hook->on_command(hook->arg, c->ask, f.body);
	explicit_bzero(c->in_mem, sizeof(c->in_mem));
}

/* Something can be read: the command, or that the client is gone. */
static void read_client(struct client *c)
{
	uint8_t more[64];
	bool wants_command = c->stage == STAGE_COMMAND;
	ssize_t n;

	if (wants_command)
		n = recv(c->fd, c->in_mem + c->in.len, c->in.cap - c->in.len,
			 MSG_DONTWAIT);
	else
		n = recv(c->fd, more, sizeof(more), MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	/* Nothing is to be said after the command; and who hangs up wants no answer. */
	if (n <= 0 || !wants_command) {
		hang_up(c);
		return;
	}
	c->in.len += (size_t)n;
	c->in.full = c->in.len == c->in.cap;
	c->moved = loop_now(c->control->loop);
	judge_command(c);
}

static void on_client(void *arg, unsigned ready)
{
	struct client *c = arg;
	struct control_hook *hook = &c->control->hook;

	if (ready & WATCH_WRITE)
		send_answer(c);
	if (c->stage != STAGE_FREE && (ready & WATCH_READ))
		read_client(c);
	hook->on_room(hook->arg);
}

static bool in_group(int fd, gid_t group)
{
	gid_t groups[GROUPS_MAX];
	socklen_t n = sizeof(groups);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &n) != 0)
		return false;
	for (size_t i = 0; i < n / sizeof(groups[0]); i++)
		if (groups[i] == group)
			return true;
	return false;
}

static bool may_ask(const struct control *control, int fd)
{
	struct ucred who;
	socklen_t n = sizeof(who);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &n) != 0)
		return false;
	if (who.uid == 0 || who.uid == geteuid())
		return true;
	return control->group != (gid_t)-1 &&
	       (who.gid == control->group || in_group(fd, control->group));
}

static struct client *place_for_one(struct control *control)
{
	struct client *stalest = &control->client[0];

	for (size_t i = 0; i < CONTROL_CLIENTS; i++) {
		struct client *c = &control->client[i];

		if (c->stage == STAGE_FREE)
			return c;
		if (c->moved < stalest->moved)
			stalest = c;
	}
	hang_up(stalest);
	return stalest;
}

static void welcome(struct control *control, int fd)
{
	struct client *c = place_for_one(control);

	c->control = control;
	c->stage = STAGE_COMMAND;
	c->fd = fd;
	c->sent = 0;
	c->streams = false;
	c->lost = 0;
	c->moved = loop_now(control->loop);
	buf_init(&c->in, c->in_mem, sizeof(c->in_mem));
	buf_init(&c->out, NULL, 0);
	timer_init(&c->deadline, control->loop, on_deadline, c);
	timer_set(&c->deadline, c->moved + SAY_WITHIN);
	if (!watch_start(control->loop, &c->watch, fd, WATCH_READ, on_client, c))
		hang_up(c);
}

/* To somebody who may not ask: why, as far as the socket's buffer takes it. */
static void turn_away(int fd)
{
	uint8_t mem[256];
	struct buf out;

	buf_init(&out, mem, sizeof(mem));
	control_put_end(&out, false,
			SPAN("Only root, the user of the watch role and the group "
			     "run.control-group may use the control socket."));
	(void)send(fd, out.mem, out.len, MSG_NOSIGNAL | MSG_DONTWAIT);
	close(fd);
}

static void on_knock(void *arg, unsigned ready)
{
	struct control *control = arg;
	int fd = accept4(control->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	(void)ready;
	if (fd < 0)
		return;
	if (may_ask(control, fd))
		welcome(control, fd);
	else
		turn_away(fd);
}

bool control_open(struct control **out, struct loop *loop, int fd, gid_t group,
		  const struct control_hook *hook, struct err *err)
{
	struct control *control = calloc(1, sizeof(*control));
	int flags = fcntl(fd, F_GETFL);

	if (!control || flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0) {
		free(control);
		close(fd);
		return err_set(err, "control: %s", strerror(errno));
	}
	control->loop = loop;
	control->fd = fd;
	control->group = group;
	/* an answer to our predecessor must not be taken for one of ours */
	control->asked = (uint32_t)loop_wall(loop);
	control->hook = *hook;
	if (!watch_start(loop, &control->watch, fd, WATCH_READ, on_knock, control)) {
		close(fd);
		free(control);
		return err_set(err, "control: the socket cannot be watched");
	}
	*out = control;
	return true;
}

void control_close(struct control **out)
{
	struct control *control = *out;

	*out = NULL;
	if (!control)
		return;
	for (size_t i = 0; i < CONTROL_CLIENTS; i++)
		if (control->client[i].stage != STAGE_FREE)
			hang_up(&control->client[i]);
	watch_stop(&control->watch);
	close(control->fd);
	free(control);
}
