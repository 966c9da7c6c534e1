#include "edge/job.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/number.h"

#define PIECE	      65536 /* what is read of a file at once */
#define STEPS_MAX     32    /* per wake-up of one job, before others have their turn */
#define CONNECT_LEAST MS_SECOND

static void go_on(struct job *j);

/* ---- the end -------------------------------------------------------------------------- */

static void report(struct job *j)
{
	struct msg_DELIVERED m = { .job = j->number, .host = span_str(j->host) };
	struct buf answers;

	if (!j->wanted)
		return;
	buf_init(&answers, j->all->answers, sizeof(j->all->answers));
	answers_print(&j->delivery.answers, &answers);
	m.answers = buf_span(&answers);
	j->wanted = false;
	deliveries_send(j->all, &m);
}

void job_release(struct job *j)
{
	if (j->body.fd >= 0)
		close(j->body.fd);
	free(j->body.piece);
	free(j->setup.answers);
	free(j->frame);
	free(j);
}

/* The job is out of the list; a thread that still reads for it holds the memory. */
void job_end(struct job *j)
{
	j->state = JOB_OVER;
	dns_cancel(&j->query);
	stream_close(&j->stream);
	timer_stop(&j->timer);
	deliveries_leave(j);
	if (!j->body.reading)
		job_release(j);
}

/* Nobody was reached. */
static void fail(struct job *j, const char *what, const char *why)
{
	uint8_t mem[400];
	struct buf text;

	buf_init(&text, mem, sizeof(mem));
	buf_fmt(&text, "%.*s %s%s", SPAN_ARG(span_head(j->target, 120)), what, why);
	delivery_fail(&j->delivery, buf_span(&text));
	j->state = JOB_OVER;
	report(j);
	job_end(j);
}

/* ---- the message ------------------------------------------------------------------------ */

static void step(struct job *j, enum delivery_in_kind kind, struct span bytes);

/* In a thread: the disk may be slow. */
static void read_piece(void *arg)
{
	struct job *j = arg;
	struct job_body *b = &j->body;

	b->got = pread(b->fd, b->piece, PIECE, (off_t)b->offset);
}

static void on_piece(void *arg)
{
	struct job *j = arg;
	struct job_body *b = &j->body;

	b->reading = false;
	if (j->state == JOB_OVER) {
		job_release(j);
		return;
	}
	if (b->got > 0) {
		b->left = span_of(b->piece, (size_t)b->got);
		b->offset += (size_t)b->got;
	} else if (b->got < 0 || b->offset != j->setup.size) {
		/* half a message must not look like a whole one */
		step(j, DELIVERY_NO_BODY, SPAN_NONE);
	} else {
		step(j, DELIVERY_BODY, SPAN_NONE);
	}
	go_on(j);
}

static void read_file(struct job *j)
{
	struct job_body *b = &j->body;

	if (b->reading)
		return;
	if (!b->piece)
		b->piece = malloc(PIECE);
	b->reading = b->piece && work_run(j->all->setup.loop, read_piece, on_piece, j);
	if (!b->reading)
		step(j, DELIVERY_NO_BODY, SPAN_NONE);
}

static void give_body(struct job *j)
{
	struct job_body *b = &j->body;

	if (b->fd >= 0 && !b->left.n)
		read_file(j);
	else
		step(j, DELIVERY_BODY, b->left);
}

static void rewind_body(struct job_body *b)
{
	b->offset = 0;
	b->left = b->inlined;
}

/* ---- the dialogue ----------------------------------------------------------------------- */

/* Which orders does this answer? */
static unsigned carried_out(enum delivery_in_kind kind)
{
	if (kind == DELIVERY_BODY || kind == DELIVERY_NO_BODY)
		return DELIVERY_DO_BODY;
	return kind == DELIVERY_SENT ? DELIVERY_DO_SENT : 0;
}

static void step(struct job *j, enum delivery_in_kind kind, struct span bytes)
{
	struct delivery_in in = { .kind = kind, .bytes = bytes };
	struct delivery_out out = { .peer = &j->out };

	j->orders &= ~carried_out(kind);
	delivery_step(&j->delivery, &in, loop_now(j->all->setup.loop), &out);
	j->orders |= out.orders & ~(DELIVERY_DO_REWIND | DELIVERY_DO_RESULT);
	j->wake = out.wake;
	if (kind == DELIVERY_BYTES) {
		j->in_n -= out.used;
		memmove(j->in, j->in + out.used, j->in_n);
	} else if (kind == DELIVERY_BODY) {
		j->body.left = span_skip(j->body.left, out.used);
	}
	if (out.orders & DELIVERY_DO_REWIND)
		rewind_body(&j->body);
	if (out.orders & DELIVERY_DO_RESULT)
		report(j);
}

/* What could be written was; nothing of ours waits. True: something was done. */
static bool carry_out(struct job *j)
{
	if (j->orders & DELIVERY_DO_SENT) {
		step(j, DELIVERY_SENT, SPAN_NONE);
		return true;
	}
	if (j->orders & DELIVERY_DO_BODY && !j->body.reading) {
		give_body(j);
		return !j->body.reading;
	}
	return false;
}

/* Write, carry out, read: one of them. False: none is possible now. */
static bool do_something(struct job *j)
{
	size_t n = 0;

	if (j->out.len) {
		struct span left = buf_span(&j->out);
		enum stream_got got = stream_write(&j->stream, &left);
		bool some = left.n < j->out.len;

		buf_drop(&j->out, j->out.len - left.n);
		if (got == STREAM_BROKEN)
			step(j, DELIVERY_BROKEN, SPAN_NONE);
		if (some || got == STREAM_BROKEN)
			return true;
	} else if (carry_out(j)) {
		return true;
	}
	switch (stream_read(&j->stream, j->in + j->in_n, sizeof(j->in) - j->in_n, &n)) {
	case STREAM_GOT:
		j->in_n += n;
		step(j, DELIVERY_BYTES, span_of(j->in, j->in_n));
		return true;
	case STREAM_EOF:
		step(j, DELIVERY_EOF, SPAN_NONE);
		return true;
	case STREAM_BROKEN:
		step(j, DELIVERY_BROKEN, SPAN_NONE);
		return true;
	case STREAM_AGAIN:
		break;
	}
	return false;
}

static bool at_end(struct job *j)
{
	if (j->orders & DELIVERY_DO_ABORT)
		stream_reset(&j->stream);
	return j->orders & DELIVERY_DO_ABORT ||
	       (j->orders & DELIVERY_DO_CLOSE && !j->out.len);
}

static void go_on(struct job *j)
{
	for (int i = 0; i < STEPS_MAX; i++) {
		if (at_end(j)) {
			job_end(j);
			return;
		}
		if (!do_something(j)) {
			timer_set(&j->timer, j->wake);
			return;
		}
	}
	/* let others have their turn */
	timer_set(&j->timer, loop_now(j->all->setup.loop));
}

/* ---- the way there -------------------------------------------------------------------- */

static void try_next(struct job *j);

static void on_ready(void *arg)
{
	struct job *j = arg;

	if (j->state == JOB_CONNECTS) {
		switch (stream_connected(&j->stream)) {
		case STREAM_AGAIN:
			return;
		case STREAM_GOT:
			break;
		case STREAM_EOF:
		case STREAM_BROKEN:
			try_next(j);
			return;
		}
		j->state = JOB_TALKS;
		delivery_init(&j->delivery, &j->setup, loop_now(j->all->setup.loop));
		step(j, DELIVERY_OPENED, SPAN_NONE);
	}
	go_on(j);
}

/* Each address gets its share of the time that is left. */
static ms_t share(const struct job *j, ms_t now)
{
	size_t untried = j->query.count > j->tried ? j->query.count - j->tried : 1;
	ms_t time = (j->connect_by - now) / (ms_t)untried;

	return now + (time > CONNECT_LEAST ? time : CONNECT_LEAST);
}

static void print_host(struct job *j, const struct addr *a)
{
	struct buf out;

	buf_init(&out, j->host, sizeof(j->host) - 1);
	buf_put(&out, span_head(j->target, sizeof(j->host) - 60));
	if (a) {
		buf_put(&out, SPAN(" "));
		addr_print_literal(a, &out);
	}
	j->host[out.len] = '\0';
}

/* Connect to the next address; when there is none, the last failure is the reason. */
static void try_next(struct job *j)
{
	struct loop *loop = j->all->setup.loop;
	int error = j->stream.error;

	stream_close(&j->stream);
	while (j->tried < j->query.count) {
		struct endpoint to = { .port = j->port };

		timer_set(&j->timer, share(j, loop_now(loop)));
		to.addr = j->query.addresses[j->tried++];
		print_host(j, &to.addr);
		if (stream_connect(&j->stream, loop, &to, on_ready, j))
			return;
		error = j->stream.error;
	}
	fail(j, "cannot be connected to: ", error ? strerror(error) : "no answer in time");
}

static void on_answer(void *arg)
{
	struct job *j = arg;

	if (!j->query.count) {
		fail(j, "", j->query.why);
		return;
	}
	j->state = JOB_CONNECTS;
	try_next(j);
}

static void connect_unix(struct job *j)
{
	char path[TEXT_MAX] = "";

	memcpy(path, j->target.p, span_head(j->target, sizeof(path) - 1).n);
	j->state = JOB_CONNECTS;
	timer_set(&j->timer, j->connect_by);
	if (!stream_connect_unix(&j->stream, j->all->setup.loop, path, on_ready, j))
		fail(j, "cannot be connected to: ", strerror(j->stream.error));
}

/* "host:port", "[2001:db8::1]:port" */
static bool split(struct span target, struct span *host, uint16_t *port)
{
	size_t at = span_find_last(target, ':');
	uint64_t n;

	*host = span_head(target, at);
	if (host->n >= 2 && host->p[0] == '[' && host->p[host->n - 1] == ']')
		*host = span_of(host->p + 1, host->n - 2);
	if (!host->n || !number_parse(span_skip(target, at + 1), 65535, &n) || !n)
		return false;
	*port = (uint16_t)n;
	return true;
}

static void set_out(struct job *j)
{
	struct deliveries *d = j->all;
	const struct settings *set = &d->setup.conf->set;
	struct span host;

	j->connect_by = loop_now(d->setup.loop) + set->connect_timeout;
	if (d->stopping)
		fail(j, "was not tried: ", "we are stopping");
	else if (d->count > (size_t)set->deliveries)
		fail(j, "was not tried: ", "too many deliveries are under way");
	else if (j->hop == HOP_LMTP_UNIX)
		connect_unix(j);
	else if (!split(j->target, &host, &j->port))
		fail(j, "is not a next hop: ", "host:port is needed");
	else if (dns_address(d->dns, &j->query, host, on_answer, j))
		on_answer(j);
	else
		timer_set(&j->timer, j->connect_by);
}

static void on_time(void *arg)
{
	struct job *j = arg;

	switch (j->state) {
	case JOB_LOOKS_UP:
		fail(j, "cannot be looked up: ", "no answer in time");
		return;
	case JOB_CONNECTS:
		j->stream.error = 0;
		try_next(j);
		return;
	case JOB_TALKS:
		step(j, DELIVERY_TIME, SPAN_NONE);
		go_on(j);
		return;
	case JOB_OVER:
		return;
	}
}

void job_begin(struct job *j)
{
	struct deliveries *d = j->all;

	j->setup.lmtp = j->hop != HOP_SMTP;
	j->setup.reply_timeout = d->setup.conf->set.reply_timeout;
	buf_init(&j->out, j->out_mem, sizeof(j->out_mem));
	timer_init(&j->timer, d->setup.loop, on_time, j);
	/* for the answers of a job that gets no further */
	delivery_init(&j->delivery, &j->setup, 0);
	print_host(j, NULL);
	rewind_body(&j->body);
	set_out(j);
}

bool job_is_beyond_recall(const struct job *j)
{
	return j->state == JOB_OVER ||
	       (j->state == JOB_TALKS && j->delivery.phase >= DELIVERY_DOT);
}
