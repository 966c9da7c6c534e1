#include <string.h>

#include "base/fields.h"
#include "cli/ask.h"
#include "cli/commands.h"
#include "cli/secret.h"

/* Ask, and be silent if it was done. The exit code. */
static int ask_silently(struct cli *c, const char *const *words, size_t count)
{
	struct answer a;
	struct err err;
	int code = EXIT_DONE;

	if (!ask(c, words, count, &a, &err))
		return cli_fail("%s", err.text);
	if (!a.ok)
		code = cli_fail("%s", a.text);
	answer_close(&a);
	return code;
}

/* Is there such a user? EXIT_DONE: yes; EXIT_FAILED: no, or it cannot be found out. */
static int has_user(struct cli *c, const char *address, bool *has)
{
	const char *words[] = { "user", "list" };
	struct answer a;
	struct span row;
	struct field f;
	struct err err;

	*has = false;
	if (!ask(c, words, 2, &a, &err))
		return cli_fail("%s", err.text);
	for (size_t at = 0; answer_next(&a, &at, &row);)
		if (field_find(row, "address", &f) &&
		    span_eq_nocase(f.text, span_str(address)))
			*has = true;
	answer_close(&a);
	return EXIT_DONE;
}

static int set_password(struct cli *c, const char *address, const struct secret *secret,
			bool forget)
{
	const char *words[] = { "passwd", "set", address, secret->text, "forget" };

	return ask_silently(c, words, forget ? 5 : 4);
}

/* A user without the password that was wanted is not what was asked for. */
static void undo(struct cli *c, const char *address)
{
	const char *words[] = { "user", "remove", address };

	if (ask_silently(c, words, 3) == EXIT_DONE)
		fputs("The user was removed again.\n", stderr);
}

int command_user_add(struct cli *c)
{
	const char *words[CLI_WORDS + 2] = { "user", "add" };
	struct secret secret;
	struct err err;
	size_t n = 2;
	bool had = false;
	int code;

	if (!secret_get(c, &secret, &err))
		return cli_misused(c, "%s", err.text);
	if (c->count == 0)
		return cli_misused(c, "which address?");
	/* With a quota, one who is there already is changed: not to be undone. */
	if (secret.given && c->count > 1 && has_user(c, c->word[0], &had) != EXIT_DONE)
		return EXIT_FAILED;
	for (int i = 0; i < c->count; i++)
		words[n++] = c->word[i];
	code = ask_and_show(c, words, n);
	if (code == EXIT_DONE && secret.given) {
		code = set_password(c, c->word[0], &secret, false);
		if (code != EXIT_DONE && !had)
			undo(c, c->word[0]);
	}
	secret_wipe(&secret);
	return code;
}

int command_user_passwd(struct cli *c)
{
	bool forget = cli_option(c, "--forget-devices", NULL);
	struct secret secret;
	struct err err;
	bool has;
	int code;

	if (!secret_get(c, &secret, &err))
		return cli_misused(c, "%s", err.text);
	if (c->count != 1)
		return cli_misused(c, "which address?");
	if (!secret.given)
		return cli_misused(c,
				   "standard input is no terminal: use --password-stdin");
	code = has_user(c, c->word[0], &has);
	if (code == EXIT_DONE && !has)
		code = cli_fail("there is no user %s: see holdfast user list", c->word[0]);
	if (code == EXIT_DONE)
		code = set_password(c, c->word[0], &secret, forget);
	if (code == EXIT_DONE && !c->json)
		puts("The password is set.");
	secret_wipe(&secret);
	return code;
}

/* Not every user had a password. */
static int remove_password(struct cli *c, const char *address)
{
	const char *words[] = { "passwd", "remove", address };
	struct answer a;
	struct err err;
	int code = EXIT_DONE;

	if (!ask(c, words, 3, &a, &err))
		return ask_absent(c, &err);
	if (!a.ok && strcmp(a.text, CONTROL_NO_PASSWORD) != 0)
		code = cli_fail("nothing was removed: %s", a.text);
	answer_close(&a);
	return code;
}

/*
 * The password first: who is still there can be removed once more, and nobody can log in who
 * is not.
 */
int command_user_remove(struct cli *c)
{
	const char *words[] = { "user", "remove", c->word[0] };
	int code;

	if (c->count != 1)
		return cli_misused(c, "which address?");
	code = remove_password(c, c->word[0]);
	return code == EXIT_DONE ? ask_and_show(c, words, 3) : code;
}
