#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "cli/demo.h"
#include "cli/show.h"
#include "wire/smtp_peer.h"

#define SENDER	     "demo@example.net"
#define KNOWN_WITHIN 10 /* seconds until the edges know a new user */
#define FOUND_WITHIN 20
#define MESSAGE_MAX  65536

/* A blocking conversation. */
struct talk {
	int fd;
	struct smtp_peer peer;
	size_t have, used; /* of in */
	uint8_t in[8192], out_mem[4096];
	struct buf out; /* a command */
	int code;	/* of the last reply */
	char text[SMTP_PEER_TEXT + 1];
};

static bool open_talk(struct talk *t, unsigned port, struct err *err)
{
	*t = (struct talk){ .fd = demo_connect(port, err) };
	buf_init(&t->out, t->out_mem, sizeof(t->out_mem));
	smtp_peer_init(&t->peer);
	return t->fd >= 0;
}

static bool hear(struct talk *t, struct err *err)
{
	for (;;) {
		struct span in = span_of(t->in + t->used, t->have - t->used);
		struct smtp_peer_event ev = smtp_peer_next(&t->peer, &in);
		size_t n;

		t->used = t->have - in.n;
		if (ev.kind == SMTP_PEER_REPLY) {
			t->code = ev.code;
			memcpy(t->text, ev.text.p, ev.text.n);
			t->text[ev.text.n] = '\0';
			return true;
		}
		if (ev.kind == SMTP_PEER_BAD)
			return err_set(err, "the server's answer is none: %.*s",
				       SPAN_ARG(ev.text));
		memmove(t->in, t->in + t->used, t->have - t->used);
		t->have -= t->used;
		t->used = 0;
		if (!demo_hear(t->fd, t->in + t->have, sizeof(t->in) - t->have, &n, err))
			return false;
		t->have += n;
	}
}

/* Send what is in t->out, and hear the reply. */
static bool say(struct talk *t, struct err *err)
{
	ssize_t n = send(t->fd, t->out.mem, t->out.len, MSG_NOSIGNAL);

	if (t->out.full || n != (ssize_t)t->out.len)
		return err_set(err, "the command could not be sent");
	buf_reset(&t->out);
	return hear(t, err);
}

static bool expect(struct talk *t, int code, const char *what, struct err *err)
{
	return t->code == code ||
	       err_set(err, "%s was answered with %d %s", what, t->code, t->text);
}

/* A user who was just added is not known to every edge in the same instant. */
static bool name_recipient(struct demo *d, struct talk *t, struct span rcpt,
			   struct err *err)
{
	time_t end = time(NULL) + KNOWN_WITHIN;

	for (;;) {
		smtp_peer_rcpt(&t->peer, rcpt, SPAN_NONE, &t->out);
		if (!say(t, err))
			return false;
		if (t->code / 100 != 5 || time(NULL) > end)
			return expect(t, 250, "RCPT TO", err);
		if (!demo_pause(d, err))
			return false;
	}
}

static void put_message(struct talk *t, const struct demo_mail *mail)
{
	char date[64];
	struct tm tm;
	time_t now = time(NULL);
	struct smtp_dots dots;
	uint8_t mem[2048];
	struct buf text;
	struct span rest;

	localtime_r(&now, &tm);
	strftime(date, sizeof(date), "%a, %d %b %Y %H:%M:%S %z", &tm);
	buf_init(&text, mem, sizeof(mem));
	buf_fmt(&text,
		"Date: %s\r\nFrom: Holdfast demo <" SENDER ">\r\n"
		"To: alice@" DEMO_DOMAIN "\r\nSubject: It works\r\nMessage-ID: <%s>\r\n\r\n"
		"Dear Alice,\r\n\r\n"
		"this message came in over SMTP, was committed to the queue before it "
		"was\r\n"
		"acknowledged, and was then delivered to your Maildir.\r\n\r\n"
		"It holds fast.\r\n",
		date, mail->id);
	rest = buf_span(&text);
	smtp_dots_init(&dots);
	smtp_dots_put(&dots, &rest, &t->out);
	smtp_dots_end(&dots, &t->out);
}

static bool converse(struct demo *d, struct talk *t, struct demo_mail *mail,
		     struct err *err)
{
	const struct smtp_peer_mail from = { .sender = SPAN_INIT(SENDER) };

	if (!hear(t, err) || !expect(t, 220, "the connection", err))
		return false;
	smtp_peer_hello(&t->peer, SMTP_PEER_EHLO, SPAN("client.example.net"), &t->out);
	if (!say(t, err) || !expect(t, 250, "EHLO", err))
		return false;
	smtp_peer_mail(&t->peer, &from, &t->out);
	if (!say(t, err) || !expect(t, 250, "MAIL FROM", err) ||
	    !name_recipient(d, t, SPAN("alice@" DEMO_DOMAIN), err))
		return false;
	smtp_peer_data(&t->out);
	if (!say(t, err) || !expect(t, 354, "DATA", err))
		return false;
	put_message(t, mail);
	if (!say(t, err) || !expect(t, 250, "the message", err))
		return false;
	snprintf(mail->reply, sizeof(mail->reply), "%d %s", t->code, t->text);
	smtp_peer_quit(&t->out);
	return say(t, err);
}

bool demo_send(struct demo *d, struct demo_mail *mail, struct err *err)
{
	char random[SECRET_RANDOM];
	struct talk t;
	bool sent;

	if (!secret_random(random, err))
		return false;
	snprintf(mail->id, sizeof(mail->id), "%s@example.net", random);
	if (!open_talk(&t, demo_port(d, DEMO_SMTP), err))
		return false;
	sent = converse(d, &t, mail, err);
	close(t.fd);
	return sent || err_within(err, "sending the message");
}

static size_t read_message(const char *path, uint8_t mem[MESSAGE_MAX])
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	size_t have = 0;
	ssize_t n;

	while (fd >= 0 && have < MESSAGE_MAX &&
	       (n = read(fd, mem + have, MESSAGE_MAX - have)) > 0)
		have += (size_t)n;
	if (fd >= 0)
		close(fd);
	return have;
}

/* Look through new/, newest or not: the message is known by its id. */
static bool look(const char *maildir, struct demo_mail *mail)
{
	static uint8_t mem[MESSAGE_MAX];
	DIR *dir = opendir(maildir);
	struct dirent *e;
	bool found = false;

	while (dir && !found && (e = readdir(dir))) {
		size_t n;

		if (*e->d_name == '.' || snprintf(mail->path, sizeof(mail->path), "%s/%s",
						  maildir, e->d_name) >= PATH_MAX)
			continue;
		n = read_message(mail->path, mem);
		found = memmem(mem, n, mail->id, strlen(mail->id)) != NULL;
	}
	if (dir)
		closedir(dir);
	return found;
}

bool demo_find(struct demo *d, struct demo_mail *mail, struct err *err)
{
	time_t end = time(NULL) + FOUND_WITHIN;
	char maildir[PATH_MAX];

	if (snprintf(maildir, sizeof(maildir), "%s/data/mail/" DEMO_DOMAIN "/alice/new",
		     d->dir) >= PATH_MAX)
		return err_set(err, "%s: the path is too long", d->dir);
	while (!look(maildir, mail)) {
		if (time(NULL) > end)
			return err_set(err,
				       "the message is not in %s after %d s: see "
				       "holdfast queue list --dir %s",
				       maildir, FOUND_WITHIN, d->dir);
		if (!demo_pause(d, err))
			return false;
	}
	return true;
}

bool demo_show(const struct demo_mail *mail, struct err *err)
{
	static uint8_t mem[MESSAGE_MAX];
	size_t n = read_message(mail->path, mem);
	struct span text = span_of(mem, n);

	if (n == 0)
		return err_set(err, "%s: %s", mail->path, strerror(errno));
	while (text.n) {
		fputs("    ", stdout);
		show_text(span_cut(&text, '\n'), stdout);
		putchar('\n');
	}
	return true;
}
