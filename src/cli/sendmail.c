#include "cli/sendmail.h"

#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "app/loader.h"
#include "base/span.h"
#include "base/utf8.h"
#include "cli/ask.h"
#include "cli/commands.h"
#include "wire/mailboxes.h"

enum mode { MODE_MAIL, MODE_SMTP, MODE_QUEUE, MODE_NOTHING };

struct arguments {
	struct sendmail s;
	enum mode mode;
	int count;
	const char **rcpt; /* as many as the program got arguments */
};

/* ---- options ------------------------------------------------------------------------------ */

/* Those that other programs give and that mean nothing here; some have a value. */
static const char ignored[] = "ACGILOUXdhmnopqrxz";
static const char ignored_with_value[] = "LOXhpz";

static bool set_mode(struct arguments *a, char c)
{
	switch (c) {
	case 'm':
		a->mode = MODE_MAIL;
		return true;
	case 's':
		a->mode = MODE_SMTP;
		return true;
	case 'p':
		a->mode = MODE_QUEUE;
		return true;
	case 'i': /* newaliases: aliases of ours need no rebuilding */
		a->mode = MODE_NOTHING;
		return true;
	}
	return false;
}

/* Where the value of this option goes; NULL: it has none. */
static const char **value_of(struct arguments *a, char c)
{
	static const char *unused;

	switch (c) {
	case 'f':
	case 'r':
		a->s.sender_given = true;
		return &a->s.sender;
	case 'F':
		return &a->s.name;
	case 'N':
		return &a->s.notify;
	case 'R':
		return &a->s.ret;
	case 'V':
		return &a->s.envid;
	case 'C':
		return &a->s.config;
	case 'S':
		return &a->s.socket;
	}
	return c && strchr(ignored_with_value, c) ? &unused : NULL;
}

/* "-fADDRESS" and "-f ADDRESS" are the same. False: it is no option of ours. */
static bool take_option(struct arguments *a, const char *word, const char *next, int *used)
{
	const char **value = value_of(a, word[1]);

	*used = 1;
	if (value) {
		*used = word[2] ? 1 : 2;
		*value = word[2] ? word + 2 : next;
		return *value != NULL;
	}
	if (word[1] == 'b')
		return set_mode(a, word[2]);
	if (word[1] == 'B')
		a->s.eight_bit = strcasecmp(word + 2, "8BITMIME") == 0;
	else if (word[1] == 't')
		a->s.from_header = true;
	else if (word[1] == 'i' || strcmp(word, "-oi") == 0)
		a->s.keep_dots = true;
	else if (word[1] == 'v')
		a->s.verbose = true;
	else
		return word[1] && strchr(ignored, word[1]);
	/* "-ti" is "-t -i" */
	if (word[1] == 't' && word[2] == 'i')
		a->s.keep_dots = true;
	return true;
}

static int take_arguments(const struct cli *c, struct arguments *a)
{
	bool options = true;
	int used, first = 1;

	/* behind "holdfast sendmail", or behind a link of that name */
	if (c->argc > 1 && strcmp(c->argv[1], "sendmail") == 0)
		first = 2;
	for (int i = first; i < c->argc; i += used) {
		const char *word = c->argv[i];

		used = 1;
		if (options && strcmp(word, "--") == 0)
			options = false;
		else if (!options || word[0] != '-')
			a->rcpt[a->count++] = word;
		else if (!take_option(a, word, i + 1 < c->argc ? c->argv[i + 1] : NULL,
				      &used)) {
			fprintf(stderr, "sendmail: what is %s?\n", word);
			return EX_USAGE;
		}
	}
	return EX_OK;
}

/* ---- where the server is ------------------------------------------------------------------- */

static void no_problem(void *arg, bool fatal, const char *text)
{
	(void)arg;
	(void)fatal;
	(void)text;
}

/* The first listener with a path, if the configuration may be read. */
static const char *find_socket(const struct sendmail *s, char out[TEXT_MAX])
{
	const char *config = s->config ? s->config : "/etc/holdfast/holdfast.conf";
	struct loader_request request = { .path = config,
					  .conf_only = true,
					  .on_problem = no_problem };
	struct loaded *l;

	snprintf(out, TEXT_MAX, "%s", s->socket ? s->socket : SENDMAIL_SOCKET);
	if (s->socket || access(config, R_OK) != 0)
		return out;
	if (loader_load(&request, &l))
		for (uint32_t i = l->conf.listener_count; i > 0; i--)
			if (*l->conf.listeners[i - 1].path)
				snprintf(out, TEXT_MAX, "%s",
					 l->conf.listeners[i - 1].path);
	loader_close(&l);
	return out;
}

/* ---- the envelope ---------------------------------------------------------------------------- */

static int say_refused(struct talk *t, int code)
{
	fprintf(stderr, "sendmail: %s\n", t->text);
	(void)!talk_say(t, '2', "QUIT");
	return code;
}

/* Who calls, as the server knows them: USER@host. -f may say something else. */
static int find_sender(const struct sendmail *s, const struct talk *t, struct address *out)
{
	const struct passwd *p = getpwuid(getuid());
	char uid[32];
	struct span text;

	*out = (struct address){ 0 };
	if (s->sender_given && (!*s->sender || strcmp(s->sender, "<>") == 0))
		return EX_OK;
	snprintf(uid, sizeof(uid), "uid%u", (unsigned)getuid());
	text = span_str(s->sender_given ? s->sender : p ? p->pw_name : uid);
	if (mailboxes_next_at(&text, span_str(t->host), out) == MAILBOX_GOT)
		return EX_OK;
	fprintf(stderr, "sendmail: \"%s\" is no sender address\n", s->sender);
	return EX_USAGE;
}

/* Is one of those who get it, or who sends it, to be written in more than ASCII? */
static bool needs_utf8(const struct arguments *a, const struct sendmail_letter *l,
		       const struct address *from)
{
	bool needs = from->high ||
		     (a->s.from_header && !utf8_is_ascii(span_of(l->to, l->to_n)));

	for (int i = 0; i < a->count; i++)
		needs |= !utf8_is_ascii(span_str(a->rcpt[i]));
	return needs;
}

static int say_mail(const struct arguments *a, const struct sendmail_letter *l,
		    const struct address *from, struct talk *t)
{
	const struct sendmail *s = &a->s;

	return talk_say(t, '2', "MAIL FROM:<%.*s>%s%s%s%s%s%s",
			SPAN_ARG(address_span(from)),
			s->eight_bit || l->eight_bit ? " BODY=8BITMIME" : "",
			needs_utf8(a, l, from) ? " SMTPUTF8" : "", s->ret ? " RET=" : "",
			s->ret ? s->ret : "", s->envid ? " ENVID=" : "",
			s->envid ? s->envid : "");
}

/* To be told apart from what goes by itself: the same again would be too many again. */
static int say_rcpt_refused(struct talk *t, int code, size_t taken)
{
	bool too_many = strncmp(t->text, "452", 3) == 0 && strstr(t->text, "4.5.3");

	code = say_refused(t, too_many ? EX_USAGE : code);
	if (too_many)
		fprintf(stderr,
			"sendmail: nothing was sent: a message may have %zu recipients"
			" (smtp.recipients)\n",
			taken);
	return code;
}

static int say_rcpts(const struct sendmail *s, struct span text, struct talk *t, size_t *n)
{
	struct address to;
	enum mailbox_got got;
	int code = EX_OK;

	while ((got = mailboxes_next_at(&text, span_str(t->host), &to)) == MAILBOX_GOT &&
	       !code) {
		code = talk_say(t, '2', "RCPT TO:<%.*s>%s%s", SPAN_ARG(address_span(&to)),
				s->notify ? " NOTIFY=" : "", s->notify ? s->notify : "");
		*n += !code;
	}
	if (code)
		return say_rcpt_refused(t, code, *n);
	if (got == MAILBOX_BAD) {
		fputs("sendmail: a recipient is no address\n", stderr);
		return EX_USAGE;
	}
	return EX_OK;
}

static int say_all_rcpts(const struct arguments *a, const struct sendmail_letter *l,
			 struct talk *t)
{
	size_t n = 0;
	int code = EX_OK;

	for (int i = 0; i < a->count && !code; i++)
		code = say_rcpts(&a->s, span_str(a->rcpt[i]), t, &n);
	if (!code && a->s.from_header)
		code = say_rcpts(&a->s, span_of(l->to, l->to_n), t, &n);
	if (!code && n == 0) {
		fputs("sendmail: there are no recipients\n", stderr);
		code = EX_USAGE;
	}
	return code;
}

static int say_letter(const struct arguments *a, const struct sendmail_letter *l,
		      struct talk *t)
{
	struct address from;
	int code = find_sender(&a->s, t, &from);

	if (code)
		return code;
	code = say_mail(a, l, &from, t);
	if (code)
		return say_refused(t, code);
	code = say_all_rcpts(a, l, t);
	if (code)
		return code;
	code = talk_say(t, '3', "DATA");
	if (code)
		return say_refused(t, code);
	code = letter_send(&a->s, stdin, l, &from, t);
	if (code)
		return code;
	code = talk_say(t, '2', ".");
	if (code)
		return say_refused(t, code);
	(void)!talk_say(t, '2', "QUIT");
	return EX_OK;
}

/* The user's name in /etc/passwd, unless NAME or -F says another. */
static const char *full_name(void)
{
	const struct passwd *p = getpwuid(getuid());
	const char *name = getenv("NAME");

	if (name || !p)
		return name;
	p->pw_gecos[strcspn(p->pw_gecos, ",")] = '\0';
	return p->pw_gecos;
}

static int send_letter(struct arguments *a, const char *path)
{
	struct sendmail_letter l;
	struct talk t;
	char name[256];
	int code = talk_open(&t, path, a->s.verbose);

	if (!a->s.name && full_name()) {
		snprintf(name, sizeof(name), "%s", full_name());
		a->s.name = name;
	}
	if (!code) {
		code = letter_read(&a->s, stdin, &l);
		if (!code)
			code = say_letter(a, &l, &t);
		letter_free(&l);
	}
	talk_close(&t);
	return code;
}

static int act(struct cli *c, struct arguments *a)
{
	char path[TEXT_MAX];
	int code = take_arguments(c, a);

	if (code)
		return code;
	switch (a->mode) {
	case MODE_MAIL:
		return send_letter(a, find_socket(&a->s, path));
	case MODE_SMTP:
		return talk_bridge(find_socket(&a->s, path));
	case MODE_QUEUE:
		c->config = a->s.config;
		c->count = 0;
		return command_mailq(c);
	case MODE_NOTHING:
		break;
	}
	return EX_OK;
}

int command_sendmail(struct cli *c)
{
	struct arguments a = { .rcpt = calloc((size_t)c->argc + 1, sizeof(*a.rcpt)) };
	int code = EX_TEMPFAIL;

	if (a.rcpt)
		code = act(c, &a);
	else
		fputs("sendmail: out of memory\n", stderr);
	free(a.rcpt);
	return code;
}
