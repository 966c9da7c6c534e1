#include <string.h>

#include "base/span.h"
#include "cli/ask.h"
#include "cli/commands.h"

/* The command's own name, as words, and what stood behind it. */
int command_pass(struct cli *c)
{
	const char *words[CLI_WORDS + 2];
	char name[64];
	char *second;
	size_t n = 0;

	snprintf(name, sizeof(name), "%s", c->command->name);
	second = strchr(name, ' ');
	if (second)
		*second++ = '\0';
	words[n++] = name;
	if (second)
		words[n++] = second;
	for (int i = 0; i < c->count; i++)
		words[n++] = c->word[i];
	return ask_and_show(c, words, n);
}
