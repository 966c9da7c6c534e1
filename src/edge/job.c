#include "edge/job.h"

#include <stdlib.h>
#include <unistd.h>

#define PIECE	  65536 /* what is read of a file at once */
#define STEPS_MAX 32	/* per wake-up of one job, before others have their turn */

/* ---- the end -------------------------------------------------------------------------- */

/* False: the store cannot take it now. */
static bool report(struct job *j)
{
	struct msg_DELIVERED m = {
		.job = j->number,
		.host = span_str(j->c ? j->c->host : ""),
		.tls = span_str(j->c ? j->c->tls_words : ""),
		.dsn = (j->delivery.peer.can & SMTP_CAN_DSN) != 0,
	};
	struct buf answers;

	if (!j->wanted)
		return true;
	if (!m.host.n)
		m.host = span_head(j->target, TEXT_MAX - 1);
	buf_init(&answers, j->all->answers, sizeof(j->all->answers));
	answers_print(&j->delivery.answers, &answers);
	m.answers = buf_span(&answers);
	if (!deliveries_send(j->all, &m))
		return false;
	j->wanted = false;
	return true;
}

void job_release(struct job *j)
{
	contact_drop(&j->c);
	explicit_bzero(j->login, sizeof(j->login));
	if (j->body.fd >= 0)
		close(j->body.fd);
	free(j->body.piece);
	free(j->setup.answers);
	free(j->frame);
	free(j);
}

static void stop(struct job *j)
{
	j->state = JOB_OVER;
	hosts_stop(&j->hosts);
	if (j->c)
		stream_close(&j->c->stream);
	timer_stop(&j->timer);
}

/* The job is out of the list; a thread that still reads for it holds the memory. */
void job_end(struct job *j)
{
	stop(j);
	j->owed = false;
	deliveries_leave(j);
	if (!j->body.reading)
		job_release(j);
}

/* It has ended, but for an answer that the store cannot take yet. */
static void end(struct job *j)
{
	if (j->owed)
		stop(j);
	else
		job_end(j);
}

void job_settled(struct job *j)
{
	j->owed = j->wanted && !report(j);
	if (!j->owed && j->state == JOB_OVER)
		job_end(j);
}

static void tell(struct job *j)
{
	j->owed = !report(j);
}

void job_fail(struct job *j, int code, struct span why)
{
	delivery_settle(&j->delivery, code, why);
	tell(j);
	end(j);
}

/* ---- the message ------------------------------------------------------------------------ */

static void step(struct job *j, enum delivery_in_kind kind, struct span bytes);

/* In a thread: the disk may be slow. */
static void read_piece(void *arg)
{
	struct job *j = arg;
	struct job_body *b = &j->body;

	b->got = pread(b->fd, b->piece, PIECE, (off_t)b->at);
}

static void on_piece(void *arg)
{
	struct job *j = arg;
	struct job_body *b = &j->body;

	b->reading = false;
	if (j->state == JOB_OVER) {
		/* one that owes its answer is still in the list */
		if (!j->owed)
			job_release(j);
		return;
	}
	if (j->state != JOB_TALKS || !(j->orders & DELIVERY_DO_BODY))
		return; /* it has gone to another host meanwhile, and will ask again */
	if (b->at != b->offset) {
		job_go_on(j);
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
	job_go_on(j);
}

static void read_file(struct job *j)
{
	struct job_body *b = &j->body;

	if (b->reading)
		return;
	if (!b->piece)
		b->piece = malloc(PIECE);
	b->at = b->offset;
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
	if (kind == DELIVERY_TLS || kind == DELIVERY_NO_TLS)
		return DELIVERY_DO_TLS;
	return kind == DELIVERY_SENT ? DELIVERY_DO_SENT : 0;
}

static void on_result(struct job *j)
{
	if (j->delivery.elsewhere && way_can_go_on(j))
		j->elsewhere = true;
	else
		tell(j);
}

static void step(struct job *j, enum delivery_in_kind kind, struct span bytes)
{
	struct delivery_in in = { .kind = kind, .bytes = bytes };
	struct contact *c = j->c;
	struct delivery_out out = { .peer = &c->out };

	j->orders &= ~carried_out(kind);
	delivery_step(&j->delivery, &in, loop_now(j->all->setup.loop), &out);
	j->orders |= out.orders & ~(DELIVERY_DO_REWIND | DELIVERY_DO_RESULT);
	j->wake = out.wake;
	if (kind == DELIVERY_BYTES) {
		c->in_n -= out.used;
		memmove(c->in, c->in + out.used, c->in_n);
	} else if (kind == DELIVERY_BODY) {
		j->body.left = span_skip(j->body.left, out.used);
	}
	if (out.orders & DELIVERY_DO_REWIND)
		rewind_body(&j->body);
	if (out.orders & DELIVERY_DO_RESULT)
		on_result(j);
}

/* ---- TLS --------------------------------------------------------------------------------- */

static void begin_tls(struct job *j)
{
	const struct host *h = &j->hosts.host;
	struct tls_peer peer = {
		.name = h->name,
		.also = h->also,
		.proof = h->proof,
		.record_count = h->record_count,
		.records = h->records,
	};

	if (stream_tls_client(&j->c->stream, j->all->tls, &peer))
		j->state = JOB_SHAKES;
	else
		step(j, DELIVERY_NO_TLS, SPAN("it cannot be begun"));
}

static void note_tls(struct job *j)
{
	struct tls_facts facts = stream_tls_facts(&j->c->stream);
	struct buf out;

	buf_init(&out, j->c->tls_words, sizeof(j->c->tls_words) - 1);
	buf_fmt(&out, "%s verified=%s", facts.version, j->hosts.host.word);
	j->c->tls_words[out.len] = '\0';
}

/* False: it waits for the host. */
static bool shake_hands(struct job *j)
{
	switch (stream_handshake(&j->c->stream)) {
	case STREAM_AGAIN:
		return false;
	case STREAM_GOT:
		j->state = JOB_TALKS;
		note_tls(j);
		step(j, DELIVERY_TLS, SPAN_NONE);
		return true;
	case STREAM_EOF:
	case STREAM_BROKEN:
		break;
	}
	j->state = JOB_TALKS;
	step(j, DELIVERY_NO_TLS, span_str(stream_tls_trouble(&j->c->stream)));
	return true;
}

/* ---- one thing after the other ------------------------------------------------------------ */

/* What could be written was; nothing of ours waits. True: something was done. */
static bool carry_out(struct job *j)
{
	if (j->orders & DELIVERY_DO_TLS) {
		begin_tls(j);
		return true;
	}
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

/* True: some of what waited could be written, or the connection is gone. */
static bool write_out(struct job *j)
{
	struct contact *c = j->c;
	struct span left = buf_span(&c->out);
	enum stream_got got = stream_write(&c->stream, &left);
	bool some = left.n < c->out.len;

	buf_drop(&c->out, c->out.len - left.n);
	if (!c->out.len && j->setup.user.n && j->delivery.phase < DELIVERY_SCAN)
		explicit_bzero(c->out_mem, sizeof(c->out_mem));
	if (got == STREAM_BROKEN)
		step(j, DELIVERY_BROKEN, SPAN_NONE);
	return some || got == STREAM_BROKEN;
}

/* Write, carry out, read: one of them. False: none is possible now. */
static bool do_something(struct job *j)
{
	struct contact *c = j->c;
	size_t n = 0;

	if (j->state == JOB_SHAKES)
		return shake_hands(j);
	if (c->out.len) {
		if (write_out(j))
			return true;
	} else if (carry_out(j)) {
		return true;
	}
	switch (stream_read(&c->stream, c->in + c->in_n, sizeof(c->in) - c->in_n, &n)) {
	case STREAM_GOT:
		c->in_n += n;
		step(j, DELIVERY_BYTES, span_of(c->in, c->in_n));
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

static void keep_contact(struct job *j)
{
	struct contact_key key = way_key(j);
	struct contact *c = j->c;

	j->c = NULL;
	c->peer = j->delivery.peer;
	c->mails++;
	contact_keep(&c, &key, j->all->setup.conf->set.reuse);
}

static bool at_end(const struct job *j)
{
	return j->orders & (DELIVERY_DO_ABORT | DELIVERY_DO_KEEP) ||
	       (j->orders & DELIVERY_DO_CLOSE && !j->c->out.len);
}

/* The text of the first answer, behind its code. */
static void go_elsewhere(struct job *j)
{
	uint8_t mem[SMTP_PEER_TEXT + 8];
	struct buf why;

	buf_init(&why, mem, sizeof(mem));
	answers_print_one(&j->delivery.answers, 0, &why);
	j->elsewhere = false;
	way_go_on(j, span_skip(buf_span(&why), 4));
}

static void talk_over(struct job *j)
{
	if (j->orders & DELIVERY_DO_ABORT)
		stream_reset(&j->c->stream);
	if (j->elsewhere) {
		go_elsewhere(j);
		return;
	}
	/* what is owed names the host: the contact stays until it is told */
	if (j->orders & DELIVERY_DO_KEEP && !j->owed && !j->all->stopping)
		keep_contact(j);
	end(j);
}

void job_go_on(struct job *j)
{
	for (int i = 0; i < STEPS_MAX; i++) {
		if (at_end(j)) {
			talk_over(j);
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

void job_talk(struct job *j, const struct smtp_peer *host)
{
	const struct settings *set = &j->all->setup.conf->set;
	ms_t now = loop_now(j->all->setup.loop);

	j->state = JOB_TALKS;
	j->orders = 0;
	j->setup.keep = set->reuse > 0 && !j->setup.probe &&
			j->c->mails < CONTACT_MAILS - 1;
	rewind_body(&j->body);
	if (host)
		delivery_resume(&j->delivery, &j->setup, host, now);
	else
		delivery_init(&j->delivery, &j->setup, now);
	step(j, DELIVERY_OPENED, SPAN_NONE);
	job_go_on(j);
}

void job_on_time(struct job *j)
{
	step(j, DELIVERY_TIME, SPAN_NONE);
	job_go_on(j);
}

static void on_time(void *arg)
{
	struct job *j = arg;

	switch (j->state) {
	case JOB_ASKS:
	case JOB_LOOKS_UP:
	case JOB_CONNECTS:
		way_on_time(j);
		return;
	case JOB_TALKS:
	case JOB_SHAKES:
		job_on_time(j);
		return;
	case JOB_OVER:
		return;
	}
}

void job_begin(struct job *j)
{
	struct deliveries *d = j->all;

	j->setup.lmtp = j->hop == HOP_LMTP_UNIX || j->hop == HOP_LMTP;
	j->setup.not_to_self = j->hop == HOP_MX;
	j->setup.chunking = d->setup.conf->set.hop_chunking;
	j->setup.reply_timeout = d->setup.conf->set.reply_timeout;
	timer_init(&j->timer, d->setup.loop, on_time, j);
	/* for the answers of a job that gets no further */
	delivery_init(&j->delivery, &j->setup, 0);
	rewind_body(&j->body);
	way_begin(j);
}

bool job_is_beyond_recall(const struct job *j)
{
	return j->state == JOB_OVER ||
	       (j->state == JOB_TALKS && j->delivery.phase >= DELIVERY_DOT);
}
