/* `holdfast watch`: rows as they come, one on a line. */
#include <stdio.h>

#include "base/fields.h"
#include "cli/ask.h"
#include "cli/commands.h"

static void on_row(void *arg, struct span row)
{
	const struct cli *c = arg;
	static uint8_t mem[8 * ROW_MAX];
	struct buf out;

	buf_init(&out, mem, sizeof(mem));
	if (c->json)
		fields_print_json(row, 0, &out);
	else
		fields_print_logfmt(row, 0, &out);
	fwrite(out.mem, 1, out.len, stdout);
	putchar('\n');
	fflush(stdout);
}

int command_watch(struct cli *c)
{
	const char *words[] = { "watch", c->count ? c->word[0] : NULL };
	char text[CONTROL_TEXT_MAX + 1] = "";
	struct err err = { 0 };

	if (c->count != 1)
		return cli_misused(c, "one address or prefix is needed");
	if (!ask_stream(c, words, 2, on_row, c, text, &err))
		return ask_absent(c, &err);
	return cli_fail("%s", text);
}
