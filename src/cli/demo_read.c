#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/number.h"
#include "cli/demo.h"

#define HEARD_MAX     (256 << 10) /* one answer */
#define GREETS_WITHIN 20	  /* seconds */

/* A blocking conversation in lines. */
struct reader {
	int fd;
	size_t n; /* of the last answer */
	uint8_t heard[HEARD_MAX];
};

static struct span answer(const struct reader *r)
{
	return span_of(r->heard, r->n);
}

/* The last whole line that was heard, without its end. */
static struct span last_line(const struct reader *r)
{
	struct span all = answer(r);
	size_t cut;

	if (all.n < 2 || all.p[all.n - 1] != '\n')
		return SPAN_NONE;
	all = span_head(all, all.n - 2);
	cut = span_find_last(all, '\n');
	return cut == all.n ? all : span_skip(all, cut + 1);
}

/* What the last line of an answer is. */
enum ends_with { ENDS_ANY, ENDS_DOT, ENDS_TAG };

static bool is_over(const struct reader *r, enum ends_with end)
{
	struct span line = last_line(r);

	if (line.n == 0)
		return false;
	if (end == ENDS_DOT)
		return span_eq(line, SPAN(".")) || span_starts(answer(r), SPAN("-ERR"));
	return end == ENDS_ANY || span_starts(line, SPAN("a "));
}

/* Say it (nothing, for the greeting), and hear the whole answer. */
static bool say(struct reader *r, struct span text, enum ends_with end, struct err *err)
{
	ssize_t sent = text.n ? send(r->fd, text.p, text.n, MSG_NOSIGNAL) : 0;
	size_t n;

	if (sent < 0 || (size_t)sent != text.n)
		return err_set(err, "a command could not be sent");
	for (r->n = 0; !is_over(r, end); r->n += n)
		if (!demo_hear(r->fd, r->heard + r->n, sizeof(r->heard) - r->n, &n, err))
			return false;
	return true;
}

static bool expect(const struct reader *r, struct span start, const char *what,
		   struct err *err)
{
	struct span line = last_line(r);

	return span_starts(line, start) ||
	       err_set(err, "%s was answered with %.*s", what, SPAN_ARG(line));
}

static bool holds(const struct reader *r, const char *id)
{
	return memmem(r->heard, r->n, id, strlen(id)) != NULL;
}

/* A command, perhaps with words behind it (else NULL); what holds a password is wiped. */
static bool command(struct reader *r, enum ends_with end, struct err *err,
		    const char *verb, const char *one, const char *two)
{
	uint8_t mem[2 * SECRET_MAX + 200];
	struct buf text;
	bool good;

	buf_init(&text, mem, sizeof(mem));
	buf_fmt(&text, "%s%s%s%s%s\r\n", verb, one ? " " : "", one ? one : "",
		two ? " " : "", two ? two : "");
	good = !text.full && say(r, buf_span(&text), end, err);
	explicit_bzero(mem, sizeof(mem));
	return good;
}

/* ---- POP3 ---- */

static bool pop3_find(struct reader *r, const struct demo_mail *mail, struct err *err)
{
	struct span stat, word;
	char number[24];
	uint64_t n = 0;

	if (!command(r, ENDS_ANY, err, "STAT", NULL, NULL) ||
	    !expect(r, SPAN("+OK"), "STAT", err))
		return false;
	stat = last_line(r);
	(void)span_cut(&stat, ' ');
	word = span_cut(&stat, ' ');
	if (!number_parse(word, 1000000, &n))
		return err_set(err, "STAT was answered with no number");
	/* the newest is the last, if nobody sent one meanwhile */
	for (; n > 0; n--) {
		snprintf(number, sizeof(number), "%llu", (unsigned long long)n);
		if (!command(r, ENDS_DOT, err, "RETR", number, NULL))
			return false;
		if (holds(r, mail->id))
			return true;
	}
	return err_set(err, "the message is not there");
}

static bool pop3_talk(struct demo *d, struct reader *r, const struct demo_mail *mail,
		      struct err *err)
{
	if (!say(r, SPAN_NONE, ENDS_ANY, err) ||
	    !expect(r, SPAN("+OK"), "the connection", err) ||
	    !command(r, ENDS_ANY, err, "USER", demo_user[0], NULL) ||
	    !expect(r, SPAN("+OK"), "USER", err) ||
	    !command(r, ENDS_ANY, err, "PASS", d->passwords[0], NULL) ||
	    !expect(r, SPAN("+OK"), "PASS", err) || !pop3_find(r, mail, err))
		return false;
	return command(r, ENDS_ANY, err, "QUIT", NULL, NULL) &&
	       expect(r, SPAN("+OK"), "QUIT", err);
}

/* ---- IMAP ---- */

/* RFC 9051, 4.3: a quoted string. */
static void quote(const char *text, char out[2 * SECRET_MAX + 3])
{
	char *to = out;

	*to++ = '"';
	for (; *text; text++) {
		if (*text == '"' || *text == '\\')
			*to++ = '\\';
		*to++ = *text;
	}
	*to++ = '"';
	*to = '\0';
}

/* EXAMINE looks and changes nothing: the message stays new. */
static bool imap_talk(struct demo *d, struct reader *r, const struct demo_mail *mail,
		      struct err *err)
{
	char password[2 * SECRET_MAX + 3];
	bool in;

	quote(d->passwords[0], password);
	in = say(r, SPAN_NONE, ENDS_ANY, err) &&
	     expect(r, SPAN("* OK"), "the connection", err) &&
	     command(r, ENDS_TAG, err, "a LOGIN", demo_user[0], password) &&
	     expect(r, SPAN("a OK"), "LOGIN", err);
	explicit_bzero(password, sizeof(password));
	if (!in || !command(r, ENDS_TAG, err, "a EXAMINE INBOX", NULL, NULL) ||
	    !expect(r, SPAN("a OK"), "EXAMINE", err) ||
	    !command(r, ENDS_TAG, err, "a FETCH 1:* BODY.PEEK[]", NULL, NULL) ||
	    !expect(r, SPAN("a OK"), "FETCH", err))
		return false;
	if (!holds(r, mail->id))
		return err_set(err, "the message is not there");
	return command(r, ENDS_TAG, err, "a LOGOUT", NULL, NULL) &&
	       expect(r, SPAN("a OK"), "LOGOUT", err);
}

/* ---- both ---- */

static bool read_over(struct demo *d, const struct demo_mail *mail, bool imap,
		      struct err *err)
{
	struct reader *r = calloc(1, sizeof(*r));
	bool good;

	if (!r)
		return err_set(err, "out of memory");
	r->fd = demo_connect(demo_port(d, imap ? DEMO_IMAP : DEMO_POP3), err);
	good = r->fd >= 0;
	if (good) {
		good = imap ? imap_talk(d, r, mail, err) : pop3_talk(d, r, mail, err);
		close(r->fd);
	}
	free(r);
	return good || err_within(err, "reading it over %s", imap ? "IMAP" : "POP3");
}

bool demo_read(struct demo *d, const struct demo_mail *mail, struct err *err)
{
	return read_over(d, mail, false, err) &&
	       (!d->imap || read_over(d, mail, true, err));
}

bool demo_dovecot_wait(struct demo *d, struct err *err)
{
	struct reader *r = calloc(1, sizeof(*r));
	time_t end = time(NULL) + GREETS_WITHIN;
	bool good = false;

	if (!r)
		return err_set(err, "out of memory");
	/* one that is not whole yet says OK, too, and asks for patience */
	while (!good && !demo_dovecot_ended(d, err) && time(NULL) <= end) {
		r->fd = demo_connect(demo_port(d, DEMO_DOVECOT), err);
		if (r->fd >= 0) {
			good = say(r, SPAN_NONE, ENDS_ANY, err) &&
			       expect(r, SPAN("* OK [CAPABILITY"), "the connection", err);
			close(r->fd);
		}
		if (!good && !demo_pause(d, err))
			break;
	}
	free(r);
	return good || err_within(err, "Dovecot");
}
