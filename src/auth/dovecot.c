#include "auth/dovecot.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "auth/dovecot_reply.h"
#include "auth/names.h"
#include "base/base64.h"
#include "crypt/password.h"
#include "spec/limits.h"

#define PAUSE_FIRST ((ms_t)250)
#define PAUSE_MAX   ((ms_t)4000) /* it is on this machine: to try costs nothing */
#define GREET_WAIT  ((ms_t)5000)
#define OUT_ROOM    (DOVECOT_ASKS * 512)
/* PLAIN: a NUL, a name, a NUL, a secret; in base64. */
#define PLAIN_MAX (USER_MAX + SECRET_MAX + 2)
#define B64(n)	  (((n) + 2) / 3 * 4)

struct question {
	uint32_t number; /* 0: free */
	ms_t until;
	void (*on_said)(void *arg, enum dovecot_says what);
	void *arg;
};

struct dovecot {
	struct loop *loop;
	char path[sizeof(((struct sockaddr_un *)0)->sun_path)];
	char domain[DOMAIN_MAX + 1];
	void (*trouble)(void *arg, const char *why);
	void *arg;
	int fd;	      /* -1: not connected */
	bool greeted; /* it has said VERSION and DONE */
	bool has_plain;
	bool told; /* that it is not there */
	struct watch watch;
	struct timer timer; /* the next try, or the next question that is too old */
	ms_t pause, heard;  /* heard: when it said something last */
	uint32_t numbers;
	size_t count;
	struct question asks[DOVECOT_ASKS];
	struct buf out;
	uint8_t in[DOVECOT_LINE_MAX];
	size_t in_n;
	uint8_t out_mem[OUT_ROOM];
};

static void plan(struct dovecot *d);

/* ---- answers ---------------------------------------- */

static void answer(struct dovecot *d, struct question *q, enum dovecot_says what)
{
	struct question was = *q;

	q->number = 0;
	d->count--;
	was.on_said(was.arg, what);
}

static struct question *find(struct dovecot *d, uint32_t number)
{
	struct question *q = &d->asks[number % DOVECOT_ASKS];

	return number && q->number == number ? q : NULL;
}

static void answer_all(struct dovecot *d, enum dovecot_says what)
{
	for (size_t i = 0; i < DOVECOT_ASKS; i++)
		if (d->asks[i].number)
			answer(d, &d->asks[i], what);
}

static void hang_up(struct dovecot *d, const char *why)
{
	char text[256];

	if (d->fd >= 0) {
		watch_stop(&d->watch);
		close(d->fd);
	}
	d->fd = -1;
	d->greeted = d->has_plain = false;
	d->in_n = 0;
	if (d->out.len)
		password_wipe(buf_span(&d->out));
	buf_reset(&d->out);
	if (!d->told) {
		snprintf(text, sizeof(text), "%s: %s", d->path, why);
		d->trouble(d->arg, text);
	}
	d->told = true;
	answer_all(d, DOVECOT_LATER);
	timer_set(&d->timer, loop_now(d->loop) + d->pause);
	d->pause = d->pause * 2 < PAUSE_MAX ? d->pause * 2 : PAUSE_MAX;
}

static enum dovecot_says verdict(const struct dovecot_reply *r)
{
	if (r->temporary)
		return DOVECOT_LATER;
	if (r->disabled)
		return DOVECOT_DISABLED;
	return r->kind == DOVECOT_OK ? DOVECOT_RIGHT : DOVECOT_WRONG;
}

/* NULL: fine; otherwise why the connection is of no use. */
static const char *take_line(struct dovecot *d, struct span line)
{
	struct dovecot_reply r = dovecot_reply(line);
	struct question *q;

	switch (r.kind) {
	case DOVECOT_VERSION:
		return r.number == 1 ? NULL
				     : "it speaks another version of the auth protocol";
	case DOVECOT_MECH:
		d->has_plain |= span_eq_nocase(r.name, SPAN("PLAIN"));
		return NULL;
	case DOVECOT_DONE:
		d->greeted = true;
		d->told = false;
		d->pause = PAUSE_FIRST;
		return d->has_plain ? NULL : "it does not offer PLAIN";
	case DOVECOT_OK:
	case DOVECOT_FAIL:
		/* a number that we do not know was answered for want of time */
		q = find(d, r.number);
		if (q)
			answer(d, q, verdict(&r));
		return NULL;
	case DOVECOT_CONT:
		q = find(d, r.number);
		if (q)
			answer(d, q, DOVECOT_LATER);
		return NULL;
	case DOVECOT_OTHER:
		return NULL;
	case DOVECOT_BROKEN:
		break;
	}
	return "it said what makes no sense";
}

static const char *take_lines(struct dovecot *d)
{
	struct span rest = span_of(d->in, d->in_n);
	const char *wrong = NULL;

	while (!wrong && d->fd >= 0 && span_find(rest, '\n') < rest.n)
		wrong = take_line(d, span_cut(&rest, '\n'));
	if (d->fd < 0)
		return NULL;
	memmove(d->in, rest.p, rest.n);
	d->in_n = rest.n;
	if (!wrong && d->in_n == sizeof(d->in))
		wrong = "a line is too long";
	return wrong;
}

/* ---- the connection ---------------------------------------- */

static bool flush(struct dovecot *d)
{
	while (d->out.len) {
		ssize_t n = send(d->fd, d->out.mem, d->out.len,
				 MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0)
			return errno == EAGAIN || errno == EINTR;
		password_wipe(span_of(d->out.mem, (size_t)n));
		buf_drop(&d->out, (size_t)n);
	}
	return true;
}

static void send_soon(struct dovecot *d)
{
	if (flush(d))
		watch_mask(&d->watch, WATCH_READ | (d->out.len ? WATCH_WRITE : 0));
	else
		hang_up(d, strerror(errno));
}

static void on_ready(void *arg, unsigned ready)
{
	struct dovecot *d = arg;
	const char *wrong = NULL;
	ssize_t n;

	if (ready & WATCH_READ) {
		n = recv(d->fd, d->in + d->in_n, sizeof(d->in) - d->in_n, MSG_DONTWAIT);
		if (n == 0)
			wrong = "it hung up";
		else if (n < 0 && errno != EAGAIN && errno != EINTR)
			wrong = strerror(errno);
		if (n > 0) {
			d->in_n += (size_t)n;
			d->heard = loop_now(d->loop);
		}
		if (!wrong)
			wrong = take_lines(d);
	}
	if (wrong)
		hang_up(d, wrong);
	else if (d->fd >= 0)
		send_soon(d);
	plan(d);
}

static const char *reach(struct dovecot *d)
{
	struct sockaddr_un to = { .sun_family = AF_UNIX };

	d->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (d->fd < 0)
		return strerror(errno);
	memcpy(to.sun_path, d->path, sizeof(to.sun_path));
	if (connect(d->fd, (struct sockaddr *)&to, sizeof(to)) != 0 && errno != EAGAIN &&
	    errno != EINPROGRESS)
		return strerror(errno);
	if (watch_start(d->loop, &d->watch, d->fd, WATCH_READ, on_ready, d))
		return NULL;
	return "it cannot be watched";
}

static void reach_out(struct dovecot *d)
{
	const char *wrong = reach(d);

	if (wrong) {
		hang_up(d, wrong);
		return;
	}
	/* a number of our own for each connection, as it wants the process' for */
	buf_fmt(&d->out, "VERSION\t1\t1\nCPID\t%ld\n", (long)getpid());
	send_soon(d);
	if (d->fd >= 0)
		timer_set(&d->timer, loop_now(d->loop) + GREET_WAIT);
}

/* One that stops keeps its connections open, and answers nothing. */
static void drop_old(struct dovecot *d)
{
	ms_t now = loop_now(d->loop);

	if (d->count && now - d->heard >= DOVECOT_WAIT) {
		hang_up(d, "it does not answer");
		return;
	}
	for (size_t i = 0; i < DOVECOT_ASKS; i++)
		if (d->asks[i].number && d->asks[i].until <= now)
			answer(d, &d->asks[i], DOVECOT_LATER);
}

static void on_time(void *arg)
{
	struct dovecot *d = arg;

	if (d->fd < 0)
		reach_out(d);
	else if (!d->greeted)
		hang_up(d, "it does not greet");
	else
		drop_old(d);
	plan(d);
}

/* While it is connected and greeted: when the oldest question has waited long enough. */
static void plan(struct dovecot *d)
{
	ms_t first = MS_NEVER;

	if (d->fd < 0 || !d->greeted)
		return;
	for (size_t i = 0; i < DOVECOT_ASKS; i++)
		if (d->asks[i].number && d->asks[i].until < first)
			first = d->asks[i].until;
	timer_set(&d->timer, first);
}

/* ---- questions ---------------------------------------- */

/* AUTH, its number, and as the last field what the client would have said. */
static void put_question(struct dovecot *d, uint32_t number, const struct dovecot_ask *ask)
{
	uint8_t plain_mem[PLAIN_MAX], text_mem[B64(PLAIN_MAX)];
	struct span user = ask->user;
	struct buf plain, text;

	if (d->domain[0] && span_eq(name_domain(user), span_str(d->domain)))
		user = name_local(user);
	buf_init(&plain, plain_mem, sizeof(plain_mem));
	buf_init(&text, text_mem, sizeof(text_mem));
	buf_byte(&plain, '\0');
	buf_put(&plain, user);
	buf_byte(&plain, '\0');
	buf_put(&plain, ask->secret);
	base64_print(buf_span(&plain), &text);
	buf_fmt(&d->out, "AUTH\t%u\tPLAIN\tservice=smtp\t%srip=", (unsigned)number,
		ask->tls ? "secured\t" : "");
	addr_print(&ask->from, &d->out);
	buf_put(&d->out, SPAN("\tresp="));
	buf_put(&d->out, buf_span(&text));
	buf_byte(&d->out, '\n');
	password_wipe(span_of(plain_mem, sizeof(plain_mem)));
	password_wipe(span_of(text_mem, sizeof(text_mem)));
}

static bool has_room(const struct dovecot *d, bool known)
{
	return d->fd >= 0 && d->greeted &&
	       d->count < (known ? DOVECOT_ASKS : DOVECOT_ASKS / 2) &&
	       OUT_ROOM - d->out.len > B64(PLAIN_MAX) + 256;
}

bool dovecot_ask(struct dovecot *d, const struct dovecot_ask *ask)
{
	struct question *q;

	if (!has_room(d, ask->known) || ask->secret.n > SECRET_MAX)
		return false;
	do
		q = &d->asks[++d->numbers % DOVECOT_ASKS];
	while (q->number || d->numbers == 0);
	/* what was heard before there was a question says nothing about it */
	if (d->count == 0)
		d->heard = loop_now(d->loop);
	*q = (struct question){ d->numbers, loop_now(d->loop) + DOVECOT_WAIT,
				ask->on_said, ask->arg };
	d->count++;
	put_question(d, d->numbers, ask);
	/* never from here: who asks is told later */
	watch_mask(&d->watch, WATCH_READ | WATCH_WRITE);
	if (d->timer.at > q->until)
		timer_set(&d->timer, q->until);
	return true;
}

/* ---- coming and going ---------------------------------------- */

bool dovecot_open(struct dovecot **out, struct loop *loop, const char *path,
		  const char *domain, void (*trouble)(void *arg, const char *why),
		  void *arg, struct err *err)
{
	struct dovecot *d = calloc(1, sizeof(*d));

	if (!d)
		return err_set(err, "out of memory");
	if (strlen(path) >= sizeof(d->path)) {
		free(d);
		return err_set(err, "%s: too long for the path of a socket", path);
	}
	d->loop = loop;
	d->fd = -1;
	d->pause = PAUSE_FIRST;
	d->trouble = trouble;
	d->arg = arg;
	snprintf(d->path, sizeof(d->path), "%s", path);
	snprintf(d->domain, sizeof(d->domain), "%s", domain);
	buf_init(&d->out, d->out_mem, sizeof(d->out_mem));
	timer_init(&d->timer, loop, on_time, d);
	reach_out(d);
	*out = d;
	return true;
}

void dovecot_forget(struct dovecot *d)
{
	for (size_t i = 0; i < DOVECOT_ASKS; i++)
		d->asks[i].number = 0;
	d->count = 0;
}

void dovecot_close(struct dovecot **dovecot)
{
	struct dovecot *d = *dovecot;

	*dovecot = NULL;
	if (!d)
		return;
	timer_stop(&d->timer);
	if (d->fd >= 0) {
		watch_stop(&d->watch);
		close(d->fd);
	}
	d->fd = -1;
	answer_all(d, DOVECOT_LATER);
	password_wipe(span_of(d->out_mem, sizeof(d->out_mem)));
	free(d);
}
