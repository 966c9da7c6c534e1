#include "cli/commands.h"
#include "cli/docs.h"

int command_events(struct cli *c)
{
	bool markdown = cli_option(c, "--markdown", NULL);
	bool rules = cli_option(c, "--rules", NULL);

	if (c->count)
		return cli_misused(c, "\"%s\" is too much", c->word[0]);
	(rules ? docs_rules : docs_events)(stdout, markdown ? DOCS_MARKDOWN : DOCS_TEXT);
	return EXIT_DONE;
}

int command_version(struct cli *c)
{
	(void)c;
	puts("holdfast " HOLDFAST_VERSION);
	return EXIT_DONE;
}
