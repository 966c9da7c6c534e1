#include "rehearse/answers.h"

#include "base/bug.h"
#include "base/number.h"

/* What the next bytes are. */
enum state {
	COMMAND,
	BODY,
	CHUNK,	      /* of BDAT */
	KEEPING,      /* nothing until answers_kept() */
	USER,	      /* the answers to AUTH LOGIN */
	PASSWORD,     /* also to AUTH PLAIN */
	IDLING,	      /* IMAP: the line DONE */
	LITERAL,      /* IMAP: bytes in the middle of a command */
	AFTER_LITERAL /* the rest of its line */
};

enum act {
	SAY,
	EHLO,
	RSET,
	MAIL,
	DATA,
	BDAT,
	AUTH,
	PASS, /* IMAP LOGIN and POP3 PASS */
	TLS,
	CAPA,
	IDLE,
	QUIT,
};

struct row {
	struct span word;
	enum act act;
	struct span says;
};

#define ROW(word, act, says)                          \
	{                                             \
		SPAN_INIT(word), act, SPAN_INIT(says) \
	}

/* clang-format off */
static const struct row smtp[] = {
	ROW("MAIL", MAIL, "250 2.1.0 Ok\r\n"),
	ROW("RCPT", SAY,  "250 2.1.5 Ok\r\n"),
	ROW("DATA", DATA, "354 End data with <CR><LF>.<CR><LF>\r\n"),
	ROW("EHLO", EHLO, "250-canned.example.test\r\n250-PIPELINING\r\n250-SIZE 67108864\r\n"
			  "250-8BITMIME\r\n250-CHUNKING\r\n"),
	ROW("QUIT", QUIT, "221 2.0.0 Bye\r\n"),
	ROW("BDAT", BDAT, "250 2.0.0 Ok: chunk\r\n"),
	ROW("AUTH", AUTH, ""),
	ROW("HELO", RSET, "250 canned.example.test\r\n"),
	ROW("RSET", RSET, "250 2.0.0 Ok\r\n"),
	ROW("NOOP", SAY,  "250 2.0.0 Ok\r\n"),
	ROW("VRFY", SAY,  "252 2.0.0 Send some mail\r\n"),
	ROW("HELP", SAY,  "214 2.0.0 No\r\n"),
	ROW("STARTTLS", TLS, "220 2.0.0 Go ahead\r\n"),
	ROW("", SAY, "500 5.5.1 Unknown command\r\n"),
};

/* says: before the tagged OK. */
static const struct row imap[] = {
	ROW("LOGIN",        PASS, ""),
	ROW("AUTHENTICATE", AUTH, ""),
	ROW("CAPABILITY",   CAPA, "* CAPABILITY IMAP4rev1 LITERAL+ SASL-IR ID IDLE AUTH=PLAIN AUTH=LOGIN"),
	ROW("SELECT",       SAY,  "* FLAGS (\\Seen)\r\n* 0 EXISTS\r\n* 0 RECENT\r\n"
				  "* OK [UIDVALIDITY 1] \r\n* OK [UIDNEXT 1] \r\n"),
	ROW("EXAMINE",      SAY,  "* FLAGS (\\Seen)\r\n* 0 EXISTS\r\n* 0 RECENT\r\n"
				  "* OK [UIDVALIDITY 1] \r\n* OK [UIDNEXT 1] \r\n"),
	ROW("LOGOUT",       QUIT, "* BYE\r\n"),
	ROW("NOOP",         SAY,  ""),
	ROW("STARTTLS",     TLS,  ""),
	ROW("IDLE",         IDLE, "+ idling\r\n"),
	ROW("LIST",         SAY,  "* LIST () \"/\" INBOX\r\n"),
	ROW("STATUS",       SAY,  "* STATUS INBOX (MESSAGES 0 UNSEEN 0)\r\n"),
	ROW("SEARCH",       SAY,  "* SEARCH\r\n"),
	ROW("ID",           SAY,  "* ID NIL\r\n"),
	ROW("UID",          SAY,  ""),
	ROW("FETCH",        SAY,  ""),
	ROW("STORE",        SAY,  ""),
	ROW("CHECK",        SAY,  ""),
	ROW("CLOSE",        SAY,  ""),
	ROW("EXPUNGE",      SAY,  ""),
	ROW("LSUB",         SAY,  ""),
	ROW("SUBSCRIBE",    SAY,  ""),
	ROW("APPEND",       SAY,  ""),
	ROW("",             SAY,  "BAD Unknown command\r\n"), /* after the tag */
};

static const struct row pop3[] = {
	ROW("USER", SAY,  "+OK\r\n"),
	ROW("PASS", PASS, ""),
	ROW("STAT", SAY,  "+OK 0 0\r\n"),
	ROW("QUIT", QUIT, "+OK Bye\r\n"),
	ROW("NOOP", SAY,  "+OK\r\n"),
	ROW("RSET", SAY,  "+OK\r\n"),
	ROW("LIST", SAY,  "+OK\r\n.\r\n"),
	ROW("UIDL", SAY,  "+OK\r\n.\r\n"),
	ROW("STLS", TLS,  "+OK Go ahead\r\n"),
	ROW("AUTH", AUTH, ""),
	ROW("CAPA", CAPA, "+OK\r\nUSER\r\nUIDL\r\nPIPELINING\r\nSASL PLAIN LOGIN\r\n"),
	ROW("",     SAY,  "-ERR Unknown command\r\n"),
};

/* What is said in each language. */
static const struct {
	const struct row *rows;
	struct span greeting, refusal, prompt, right, wrong, cancelled, too_long, no_tls;
} languages[] = {
	[SPEAKS_SMTP] = { smtp,
		SPAN_INIT("220 canned.example.test ESMTP\r\n"),
		SPAN_INIT("554 5.7.1 canned.example.test is not for you\r\n"),
		SPAN_INIT("334 "),
		SPAN_INIT("235 2.7.0 Ok\r\n"),
		SPAN_INIT("535 5.7.8 Authentication failed\r\n"),
		SPAN_INIT("501 5.5.2 Cancelled\r\n"),
		SPAN_INIT("500 5.5.2 Line too long\r\n"),
		SPAN_INIT("502 5.5.1 Not offered\r\n") },
	[SPEAKS_IMAP] = { imap,
		SPAN_INIT("* OK canned\r\n"),
		SPAN_INIT("* BYE canned is not for you\r\n"),
		SPAN_INIT("+ "),
		SPAN_INIT("OK Logged in\r\n"),
		SPAN_INIT("NO [AUTHENTICATIONFAILED] Authentication failed\r\n"),
		SPAN_INIT("BAD Cancelled\r\n"),
		SPAN_INIT("* BAD Line too long\r\n"),
		SPAN_INIT("BAD Not offered\r\n") },
	[SPEAKS_POP3] = { pop3,
		SPAN_INIT("+OK canned\r\n"),
		SPAN_INIT("-ERR canned is not for you\r\n"),
		SPAN_INIT("+ "),
		SPAN_INIT("+OK Logged in\r\n"),
		SPAN_INIT("-ERR [AUTH] Authentication failed\r\n"),
		SPAN_INIT("-ERR Cancelled\r\n"),
		SPAN_INIT("-ERR Line too long\r\n"),
		SPAN_INIT("-ERR Not offered\r\n") },
};
/* clang-format on */

static const uint8_t end_of_data[] = { '\r', '\n', '.', '\r', '\n' };

/* Nothing to tell: on with the next command, if there is one. */
static const struct answers_event go_on = { .heard = HEARD_MORE };

static struct answers_event told(enum heard heard, struct span text)
{
	return (struct answers_event){ heard, text };
}

void answers_greet(const struct answers_kind *k, struct answers *a, struct buf *out)
{
	*a = (struct answers){ .secure = a->secure };
	buf_put(out, languages[k->speaks].greeting);
}

struct span answers_refusal(enum speaks speaks)
{
	return languages[speaks].refusal;
}

/* The message so far is of no use any more. */
static struct answers_event forget(struct answers *a)
{
	bool was_open = a->open;

	a->open = false;
	a->size = 0;
	return was_open ? told(HEARD_FORGET, SPAN_NONE) : go_on;
}

/* So many more bytes of the message are there. */
static struct answers_event text(struct answers *a, struct span piece)
{
	a->size += piece.n;
	if (a->size > ANSWERS_SIZE) {
		bool was_open = a->open;

		a->open = false;
		return was_open ? told(HEARD_FORGET, SPAN_NONE) : go_on;
	}
	a->open = true;
	return told(HEARD_TEXT, piece);
}

static struct answers_event whole(struct answers *a, struct buf *out)
{
	if (a->size > ANSWERS_SIZE) {
		buf_put(out, SPAN("552 5.3.4 Too large\r\n"));
		a->state = COMMAND;
		return forget(a);
	}
	a->state = KEEPING;
	return told(HEARD_END, SPAN_NONE);
}

void answers_kept(struct answers *a, bool kept, struct buf *out)
{
	BUG_IF(a->state != KEEPING);
	buf_put(out,
		kept ? SPAN("250 2.0.0 Ok: kept\r\n") : SPAN("451 4.3.0 Not kept\r\n"));
	a->state = COMMAND;
	a->open = false;
	a->size = 0;
}

/*
 * What began like the end of data goes on. When it turns out to be text, it is told as text; its
 * bytes are known, so nothing had to be remembered but how many there were.
 */
static struct answers_event body_resume(struct answers *a, struct span *in)
{
	while (in->n && a->matched > 0 && a->matched < sizeof(end_of_data)) {
		if (in->p[0] == end_of_data[a->matched]) {
			a->matched++;
			*in = span_skip(*in, 1);
			continue;
		}

		/* CR LF . CR ends as it begins */
		size_t still = a->matched == 4 ? 1 : 0;
		struct span was = span_of(end_of_data + a->borrowed,
					  a->matched - still - a->borrowed);

		a->matched = (uint8_t)still;
		a->borrowed = 0;
		if (was.n)
			return text(a, was);
	}
	if (a->matched == sizeof(end_of_data) && a->borrowed < 2)
		return text(a, span_of(end_of_data + a->borrowed, 2u - a->borrowed));
	return go_on;
}

static struct answers_event body(struct answers *a, struct span *in, struct buf *out)
{
	if (a->matched == sizeof(end_of_data))
		return whole(a, out);
	if (a->matched > 0)
		return body_resume(a, in);

	const uint8_t *end = memmem(in->p, in->n, end_of_data, sizeof(end_of_data));
	size_t n, tail = end ? sizeof(end_of_data) : 0;

	if (end) {
		n = (size_t)(end - in->p) + 2;
		tail -= 2;
		a->matched = sizeof(end_of_data);
	} else {
		for (tail = sizeof(end_of_data) - 1; tail > 0; tail--)
			if (span_eq(span_tail(*in, tail), span_of(end_of_data, tail)))
				break;
		n = in->n - tail;
		a->matched = (uint8_t)tail;
	}
	a->borrowed = end ? 2 : 0;

	struct span piece = span_head(*in, n);

	*in = span_skip(*in, n + tail);
	return n ? text(a, piece) : go_on;
}

static struct answers_event chunk(struct answers *a, struct span *in, struct buf *out)
{
	if (a->left > 0) {
		struct span piece = span_head(*in,
					      a->left < in->n ? (size_t)a->left : in->n);

		if (piece.n == 0)
			return go_on;
		*in = span_skip(*in, piece.n);
		a->left -= piece.n;
		return text(a, piece);
	}
	if (a->last)
		return whole(a, out);
	a->state = COMMAND;
	buf_put(out, a->size > ANSWERS_SIZE ? SPAN("552 5.3.4 Too large\r\n")
					    : SPAN("250 2.0.0 Ok: chunk\r\n"));
	return go_on;
}

static void put_tag(const struct answers_kind *k, const struct answers *a, struct buf *out)
{
	if (k->speaks != SPEAKS_IMAP)
		return;
	buf_put(out, span_str(a->tag));
	buf_byte(out, ' ');
}

static void put_tagged(const struct answers_kind *k, const struct answers *a,
		       struct span says, struct buf *out)
{
	put_tag(k, a, out);
	buf_put(out, says);
}

static void judge_password(const struct answers_kind *k, struct answers *a,
			   struct buf *out)
{
	a->state = COMMAND;
	put_tagged(k, a,
		   k->takes_passwords ? languages[k->speaks].right
				      : languages[k->speaks].wrong,
		   out);
}

static void ask(const struct answers_kind *k, struct answers *a, enum state state,
		struct span prompt, struct buf *out)
{
	a->state = (uint8_t)state;
	buf_put(out, languages[k->speaks].prompt);
	buf_put(out, prompt);
	buf_put(out, SPAN("\r\n"));
}

/* AUTH LOGIN and PLAIN, with or without the first answer in the same line. */
static void auth(const struct answers_kind *k, struct answers *a, struct span args,
		 struct buf *out)
{
	struct span how = span_cut(&args, ' ');
	bool has_first = span_trim(args).n > 0;

	if (span_eq_nocase(how, SPAN("LOGIN")) && has_first)
		ask(k, a, PASSWORD, SPAN("UGFzc3dvcmQ6"), out);
	else if (span_eq_nocase(how, SPAN("LOGIN")))
		ask(k, a, USER, SPAN("VXNlcm5hbWU6"), out);
	else if (!span_eq_nocase(how, SPAN("PLAIN")))
		put_tagged(k, a,
			   k->speaks == SPEAKS_SMTP ? SPAN("504 5.5.4 Not that way\r\n")
						    : languages[k->speaks].no_tls,
			   out);
	else if (has_first)
		judge_password(k, a, out);
	else
		ask(k, a, PASSWORD, SPAN_NONE, out);
}

/* A line of an AUTH dialogue. */
static void auth_line(const struct answers_kind *k, struct answers *a, struct span line,
		      struct buf *out)
{
	if (span_eq(line, SPAN("*"))) {
		a->state = COMMAND;
		put_tagged(k, a, languages[k->speaks].cancelled, out);
	} else if (a->state == USER) {
		ask(k, a, PASSWORD, SPAN("UGFzc3dvcmQ6"), out);
	} else {
		judge_password(k, a, out);
	}
}

static struct answers_event bdat(struct answers *a, struct span args, struct buf *out)
{
	struct span number = span_cut(&args, ' ');
	uint64_t n;

	args = span_trim(args);
	if (!number_parse(number, INT64_MAX, &n) ||
	    (args.n && !span_eq_nocase(args, SPAN("LAST")))) {
		buf_put(out, SPAN("501 5.5.4 Not a chunk\r\n"));
		return go_on;
	}
	a->state = CHUNK;
	a->left = n;
	a->last = args.n > 0;
	return go_on;
}

static void put_capabilities(const struct answers_kind *k, struct answers *a,
			     struct buf *out)
{
	bool offered = k->tls && !a->secure;

	switch (k->speaks) {
	case SPEAKS_SMTP:
		if (offered)
			buf_put(out, SPAN("250-STARTTLS\r\n"));
		buf_put(out, SPAN("250 AUTH LOGIN PLAIN\r\n"));
		return;
	case SPEAKS_IMAP:
		buf_put(out, offered ? SPAN(" STARTTLS\r\n") : SPAN("\r\n"));
		put_tagged(k, a, SPAN("OK Done\r\n"), out);
		return;
	case SPEAKS_POP3:
		buf_put(out, offered ? SPAN("STLS\r\n.\r\n") : SPAN(".\r\n"));
		return;
	}
}

static struct answers_event start_tls(const struct answers_kind *k, struct answers *a,
				      const struct row *row, struct span *in,
				      struct buf *out)
{
	if (!k->tls || a->secure) {
		put_tagged(k, a, languages[k->speaks].no_tls, out);
		return go_on;
	}
	put_tagged(k, a, k->speaks == SPEAKS_IMAP ? SPAN("OK Go ahead\r\n") : row->says,
		   out);
	*in = SPAN_NONE;
	return told(HEARD_TLS, SPAN_NONE);
}

static struct answers_event obey(const struct answers_kind *k, struct answers *a,
				 const struct row *row, struct span args, struct span *in,
				 struct buf *out)
{
	bool is_imap = k->speaks == SPEAKS_IMAP;

	switch (row->act) {
	case SAY:
		if (is_imap && row->word.n == 0) {
			put_tagged(k, a, row->says, out);
			return go_on;
		}
		buf_put(out, row->says);
		if (is_imap)
			put_tagged(k, a, SPAN("OK Done\r\n"), out);
		return go_on;
	case EHLO:
	case CAPA:
		buf_put(out, row->says);
		put_capabilities(k, a, out);
		return row->act == EHLO ? forget(a) : go_on;
	case RSET:
	case MAIL:
		buf_put(out, row->says);
		return forget(a);
	case DATA:
		buf_put(out, row->says);
		a->state = BODY;
		a->matched = a->borrowed = 2; /* the CRLF of this line */
		return forget(a);
	case BDAT:
		return bdat(a, args, out);
	case AUTH:
		auth(k, a, args, out);
		return go_on;
	case PASS:
		judge_password(k, a, out);
		return go_on;
	case TLS:
		return start_tls(k, a, row, in, out);
	case IDLE:
		buf_put(out, row->says);
		a->state = IDLING;
		return go_on;
	case QUIT:
		buf_put(out, row->says);
		if (is_imap)
			put_tagged(k, a, SPAN("OK Done\r\n"), out);
		return told(HEARD_CLOSE, SPAN_NONE);
	}
	return go_on;
}

static const struct row *find(const struct row *rows, struct span word)
{
	while (rows->word.n && !span_eq_nocase(rows->word, word))
		rows++;
	return rows;
}

/* Does the line end with {123} or {123+}? Then so many bytes of anything follow. */
static bool literal(struct span line, uint64_t *n, bool *waits)
{
	size_t open = span_find_last(line, '{');

	if (open == line.n || line.p[line.n - 1] != '}')
		return false;

	struct span number = span_of(line.p + open + 1, line.n - open - 2);

	*waits = !number.n || number.p[number.n - 1] != '+';
	if (!*waits)
		number.n--;
	return number_parse(number, ANSWERS_SIZE, n);
}

/* True if the line goes on after a literal. */
static bool interrupted(struct answers *a, struct span line, struct buf *out)
{
	bool waits;

	if (!literal(line, &a->left, &waits))
		return false;
	a->state = LITERAL;
	if (waits)
		buf_put(out, SPAN("+ Go ahead\r\n"));
	return true;
}

static bool take_tag(struct answers *a, struct span tag)
{
	if (tag.n == 0 || tag.n >= sizeof(a->tag))
		return false;
	for (size_t i = 0; i < tag.n; i++)
		if (tag.p[i] <= ' ' || tag.p[i] >= 0x7f)
			return false;
	memcpy(a->tag, tag.p, tag.n);
	a->tag[tag.n] = '\0';
	return true;
}

static struct answers_event imap_line(const struct answers_kind *k, struct answers *a,
				      struct span line, struct span *in, struct buf *out)
{
	if (a->state == AFTER_LITERAL) {
		if (interrupted(a, line, out))
			return go_on;
		a->state = COMMAND;
		return obey(k, a, &imap[a->row], SPAN_NONE, in, out);
	}

	struct span whole_line = line;

	if (!take_tag(a, span_cut(&line, ' '))) {
		buf_put(out, SPAN("* BAD No tag\r\n"));
		return go_on;
	}

	const struct row *row = find(imap, span_cut(&line, ' '));

	a->row = (uint8_t)(row - imap);
	if (interrupted(a, whole_line, out))
		return go_on;
	return obey(k, a, row, line, in, out);
}

static struct answers_event line_of_state(const struct answers_kind *k, struct answers *a,
					  struct span line, struct span *in,
					  struct buf *out)
{
	if (a->state == USER || a->state == PASSWORD) {
		auth_line(k, a, line, out);
		return go_on;
	}
	if (a->state == IDLING) {
		a->state = COMMAND;
		put_tagged(k, a,
			   span_eq_nocase(line, SPAN("DONE")) ? SPAN("OK Done\r\n")
							      : SPAN("BAD Not DONE\r\n"),
			   out);
		return go_on;
	}
	if (k->speaks == SPEAKS_IMAP)
		return imap_line(k, a, line, in, out);

	const struct row *row = find(languages[k->speaks].rows, span_cut(&line, ' '));

	return obey(k, a, row, line, in, out);
}

/* A line ends with LF; the CR before it is not missed here. */
static bool cut_line(struct answers *a, struct span *in, struct span *line, bool *too_long)
{
	size_t n = span_find(*in, '\n');

	if (n == in->n) {
		if (a->skipping || in->n >= ANSWERS_LINE) {
			a->skipping = true;
			*in = SPAN_NONE;
		}
		return false;
	}
	*line = span_head(*in, n);
	*in = span_skip(*in, n + 1);
	if (n && line->p[n - 1] == '\r')
		line->n--;
	*too_long = a->skipping || n >= ANSWERS_LINE;
	a->skipping = false;
	return true;
}

/* Is there nothing to do before more bytes have come? (Of lines, cut_line() knows.) */
static bool waits(const struct answers *a, struct span in)
{
	if (in.n > 0)
		return false;
	if (a->state == BODY)
		return a->matched < sizeof(end_of_data);
	return (a->state == CHUNK || a->state == LITERAL) && a->left > 0;
}

struct answers_event answers_next(const struct answers_kind *k, struct answers *a,
				  struct span *in, struct buf *out)
{
	struct answers_event ev = go_on;
	struct span line;
	bool too_long;

	while (ev.heard == HEARD_MORE) {
		if (waits(a, *in))
			return go_on;
		if (buf_room(out) < ANSWERS_ROOM)
			return told(HEARD_FULL, SPAN_NONE);
		switch ((enum state)a->state) {
		case BODY:
			ev = body(a, in, out);
			break;
		case CHUNK:
			ev = chunk(a, in, out);
			break;
		case LITERAL:
			line = span_head(*in, a->left < in->n ? (size_t)a->left : in->n);
			*in = span_skip(*in, line.n);
			a->left -= line.n;
			if (a->left == 0)
				a->state = AFTER_LITERAL;
			break;
		case KEEPING:
			BUG_IF(true);
			break;
		case COMMAND:
		case USER:
		case PASSWORD:
		case IDLING:
		case AFTER_LITERAL:
			if (!cut_line(a, in, &line, &too_long))
				return go_on;
			if (too_long)
				buf_put(out, languages[k->speaks].too_long);
			else
				ev = line_of_state(k, a, line, in, out);
			break;
		}
	}
	return ev;
}
