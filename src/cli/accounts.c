#include <string.h>

#include "cli/ask.h"
#include "cli/commands.h"
#include "cli/secret.h"

/* What the auth role knows of accounts: for it all of these begin with "passwd". */
int command_user_account(struct cli *c)
{
	const char *words[] = { "passwd", strchr(c->command->name, ' ') + 1, c->word[0] };

	if (c->count != 1)
		return cli_misused(c, "which address?");
	return ask_and_show(c, words, 3);
}

int command_user_passwords(struct cli *c)
{
	return ask_and_show(c, (const char *[]){ "passwd", "list" }, 2);
}

int command_relay_passwd(struct cli *c)
{
	struct secret secret;
	const char *user = NULL;
	struct err err;
	int code;

	if (!cli_option(c, "--user", &user) || !user)
		return cli_misused(c, "--user says with which name to log in");
	if (!secret_get(c, &secret, &err))
		return cli_misused(c, "%s", err.text);
	if (c->count != 1)
		code = cli_misused(c, "which name?");
	else if (!secret.given)
		code = cli_misused(c,
				   "standard input is no terminal: use --password-stdin");
	else
		code = ask_and_show(c,
				    (const char *[]){ "relay", "passwd", c->word[0], user,
						      secret.text },
				    5);
	secret_wipe(&secret);
	return code;
}
