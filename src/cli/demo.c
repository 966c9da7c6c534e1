#include "cli/demo.h"

#include <string.h>
#include <unistd.h>

#include "base/number.h"
#include "cli/commands.h"
#include "cli/show.h"

#define PORT_BASE 2000
#define TAIL	  2000

const char *const demo_user[DEMO_USERS] = { "alice@" DEMO_DOMAIN, "bob@" DEMO_DOMAIN };

static bool take_options(struct demo *d, struct err *err)
{
	const char *value = NULL;
	uint64_t n;

	d->once = cli_option(d->cli, "--once", NULL);
	d->port_base = PORT_BASE;
	if (cli_option(d->cli, "--port-base", &value)) {
		if (!value || !number_parse(span_str(value), 60000, &n))
			return err_set(err, "--port-base needs a number up to 60000");
		d->port_base = (unsigned)n;
	}
	if (cli_option(d->cli, "--password", &d->password) &&
	    (!d->password || !*d->password || strlen(d->password) > SECRET_MAX))
		return err_set(err, "--password needs one");
	while (cli_option(d->cli, "--set", &value)) {
		if (!value || d->set_count == DEMO_SETS)
			return err_set(err, "--set needs KEY=VALUE, %d times at most",
				       DEMO_SETS);
		d->set[d->set_count++] = value;
	}
	return d->cli->count == 0 || err_set(err, "\"%s\" is too much", d->cli->word[0]);
}

/* One command to our server; it may say no if `or_not`. */
static bool tell(struct demo *d, const char *const *words, size_t count, bool or_not,
		 struct err *err)
{
	struct answer a;
	bool ok;

	if (!ask(d->cli, words, count, &a, err))
		return false;
	ok = a.ok || or_not;
	if (!ok) {
		err_set(err, "%s", a.text);
		err_within(err, "%s %s", words[0], words[1]);
	}
	answer_close(&a);
	return ok;
}

static bool choose_password(struct demo *d, char out[SECRET_MAX + 1], struct err *err)
{
	if (!d->password)
		return secret_random(out, err);
	memcpy(out, d->password, strlen(d->password) + 1);
	return true;
}

/* A second demo on the same directory finds the domain and the users there already. */
static bool add_users(struct demo *d, struct err *err)
{
	const char *domain[] = { "domain", "add", DEMO_DOMAIN };

	if (!tell(d, domain, 3, true, err))
		return false;
	for (size_t i = 0; i < DEMO_USERS; i++) {
		const char *user[] = { "user", "add", demo_user[i] };
		const char *passwd[] = { "passwd", "set", demo_user[i], d->passwords[i] };

		if (!choose_password(d, d->passwords[i], err) ||
		    !tell(d, user, 3, true, err) || !tell(d, passwd, 4, false, err))
			return false;
	}
	return true;
}

/* With which Holdfast logs in to Dovecot. */
static bool add_credential(struct demo *d, struct err *err)
{
	const char *words[] = { "relay", "passwd", "dovecot", "holdfast", d->master };

	return !d->imap || tell(d, words, COUNT_OF(words), false, err);
}

static void print_users(const struct demo *d)
{
	printf("The server is up on 127.0.0.1:%u. Its directory is %s:\n"
	       "  holdfast.conf          the configuration\n"
	       "  data/log/holdfast.log  the log\n"
	       "  data/mail              the mailboxes\n\n",
	       demo_port(d, DEMO_SMTP), d->dir);
	puts(d->password ? "Users, with the password you gave:"
			 : "Users and their passwords, which are shown only now:");
	for (size_t i = 0; i < DEMO_USERS; i++)
		printf("  %-20s %s\n", demo_user[i], d->password ? "" : d->passwords[i]);
}

static bool prove(struct demo *d, struct err *err)
{
	struct demo_mail mail = { 0 };

	if (!demo_send(d, &mail, err))
		return false;
	printf("\nA message from demo@example.net to alice was sent over SMTP:\n    %s\n",
	       mail.reply);
	if (!demo_find(d, &mail, err))
		return false;
	printf("It is in her mailbox, as %s:\n\n", mail.path);
	if (!demo_show(&mail, err) || !demo_read(d, &mail, err))
		return false;
	printf("\nShe can read it over POP3 (port %u), from the Maildir.\n",
	       demo_port(d, DEMO_POP3));
	if (d->imap)
		printf("She can read it over IMAP (port %u), from a Dovecot behind us on the "
		       "same Maildir.\n",
		       demo_port(d, DEMO_IMAP));
	return true;
}

/* The program that attacks is beside ours, if it was built. */
static void print_rehearsal(const struct demo *d)
{
	char program[PATH_MAX];

	if (snprintf(program, sizeof(program), "%s-rehearse", d->program) <
		    (int)sizeof(program) &&
	    access(program, X_OK) == 0)
		printf("\nAnd an attack, with honest mail beside it (a minute and a half):\n\n"
		       "  %s --to 127.0.0.1:%u --recipient bob@" DEMO_DOMAIN
		       " --server-pid %d --scale 0.1 a4\n",
		       program, demo_port(d, DEMO_SMTP), (int)d->server);
}

static void print_next(const struct demo *d)
{
	static const char *const next[] = { "status", "queue list", "sessions",
					    ("user add carol@" DEMO_DOMAIN),
					    ("explain alice@" DEMO_DOMAIN) };
	unsigned port = demo_port(d, DEMO_SMTP);

	printf("\nWhat to try next, from another terminal (swaks is a package of Debian):\n\n"
	       "  swaks --server 127.0.0.1 --port %u --from you@example.net "
	       "--to bob@example.test\n"
	       "  swaks --server 127.0.0.1 --port %u --from you@example.net "
	       "--to bob@example.test --tls\n"
	       "  swaks --server 127.0.0.1 --port %u --from you@example.net "
	       "--to nobody@example.test\n"
	       "  openssl s_client -connect 127.0.0.1:%u -starttls smtp -crlf -quiet\n",
	       port, port, port, port);
	printf("  swaks --server 127.0.0.1 --port %u --tls --auth-user alice@" DEMO_DOMAIN
	       " --from alice@" DEMO_DOMAIN " --to bob@" DEMO_DOMAIN "\n",
	       demo_port(d, DEMO_SUBMISSION));
	printf("  curl --user bob@" DEMO_DOMAIN " pop3://127.0.0.1:%u/\n",
	       demo_port(d, DEMO_POP3));
	if (d->imap)
		printf("  curl --user alice@" DEMO_DOMAIN
		       " 'imap://127.0.0.1:%u/INBOX;MAILINDEX=1'\n",
		       demo_port(d, DEMO_IMAP));
	puts("");
	for (size_t i = 0; i < COUNT_OF(next); i++)
		printf("  %s %s --dir %s\n", d->program, next[i], d->dir);
	printf("  %s config doc smtp\n  tail -f %s/data/log/holdfast.log\n", d->program,
	       d->dir);
	print_rehearsal(d);
	puts("\nServing until Ctrl-C.");
	fflush(stdout);
}

static void print_tail(const char *path)
{
	char text[TAIL];
	FILE *f = fopen(path, "re");
	size_t n;

	if (!f)
		return;
	if (fseek(f, -(long)sizeof(text), SEEK_END) != 0)
		rewind(f);
	n = fread(text, 1, sizeof(text), f);
	fclose(f);
	if (n) {
		fprintf(stderr, "\n%s ends with:\n", path);
		show_text(span_of(text, n), stderr);
		if (memmem(text, n, "already in use", strlen("already in use")))
			fputs("A demo can have other ports: --port-base N\n", stderr);
	}
}

/* What the server said last, when it is not there to be asked. */
static void print_tails(const struct demo *d)
{
	char log[PATH_MAX];

	if (snprintf(log, sizeof(log), "%s/data/log/holdfast.log", d->dir) < PATH_MAX)
		print_tail(log);
	print_tail(d->errors);
	if (d->imap)
		print_tail(d->dovecot_log);
}

/* One that runs here would get our files and our users' passwords. */
static bool is_ours(struct demo *d, struct err *err)
{
	struct cli there = { .dir = d->dir };

	return !ask_reached(&there) ||
	       err_set(err,
		       "a demo runs in %s already: stop it (Ctrl-C, or holdfast stop --dir "
		       "%s), or name another --dir",
		       d->dir, d->dir);
}

/* Dovecot first: who is told of a server that is not there yet waits a moment. */
static bool start(struct demo *d, struct err *err)
{
	const char *why;

	if (!demo_choose_dir(d, err) || !is_ours(d, err))
		return false;
	why = demo_why_no_imap(d);
	d->imap = why == NULL;
	if (why)
		printf("There is no IMAP in this demo: %s\n", why);
	if (!demo_files(d, err))
		return false;
	if (d->imap && (!demo_dovecot_start(d, err) || !demo_dovecot_wait(d, err)))
		return false;
	return demo_start(d, err);
}

static bool run(struct demo *d, struct err *err)
{
	if (!start(d, err))
		return false;
	/* From here on the server is found like any other. */
	d->cli->config = d->config;
	if (!demo_wait_ready(d, err) || !add_users(d, err) || !add_credential(d, err))
		return false;
	print_users(d);
	if (!prove(d, err))
		return false;
	if (d->once)
		return true;
	print_next(d);
	return demo_serve(d, err);
}

int command_demo(struct cli *c)
{
	struct demo d = { .cli = c };
	struct err err = { 0 };
	bool done;

	if (!take_options(&d, &err))
		return cli_misused(c, "%s", err.text);
	demo_name_program(&d);
	demo_take_signals();
	done = run(&d, &err);
	fflush(stdout);
	demo_stop(&d);
	explicit_bzero(d.passwords, sizeof(d.passwords));
	explicit_bzero(d.master, sizeof(d.master));
	if (done)
		return EXIT_DONE;
	cli_fail("%s", err.text);
	if (*d.errors)
		print_tails(&d);
	return EXIT_FAILED;
}
