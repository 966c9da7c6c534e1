#include "base/fields.h"
#include "cli/ask.h"
#include "cli/commands.h"
#include "cli/show.h"

/* A string of a TXT record holds 255 bytes (RFC 1035, 3.3); a reader puts them together. */
#define STRING_MAX 255

/*
 * One key as a line of a zone file, which a web form for the DNS takes without quotes and
 * in one piece:
 *
 *     2026._domainkey.example.org. IN TXT ( "v=DKIM1; k=rsa; p=..."
 *             "..." )
 */
static void print_record(struct span row)
{
	struct field name, algorithm, bits, record;
	const char *between = "";

	if (!field_find(row, "name", &name) || !field_find(row, "record", &record) ||
	    !field_find(row, "algorithm", &algorithm) || !field_find(row, "bits", &bits))
		return;
	fputs("; ", stdout);
	show_text(algorithm.text, stdout);
	printf(", %lld bits\n", (long long)bits.number);
	show_text(name.text, stdout);
	fputs(". IN TXT ( ", stdout);
	for (struct span left = record.text; left.n; left = span_skip(left, STRING_MAX)) {
		printf("%s\"", between);
		show_text(span_head(left, STRING_MAX), stdout);
		putchar('"');
		between = "\n\t";
	}
	puts(" )");
}

/* keygen and show: records, ready to be published. */
int command_dkim(struct cli *c)
{
	const char *words[CLI_WORDS + 2] = { "dkim", c->command->name + sizeof("dkim") };
	size_t n = 2;
	struct answer a;
	struct span row;
	struct err err;
	bool ok;

	if (c->json)
		return command_pass(c);
	for (int i = 0; i < c->count; i++)
		words[n++] = c->word[i];
	if (!ask(c, words, n, &a, &err))
		return ask_absent(c, &err);
	for (size_t at = 0; answer_next(&a, &at, &row);)
		print_record(row);
	ok = a.ok;
	if (*a.text)
		fprintf(stderr, "%s%s\n", ok ? "" : "holdfast: ", a.text);
	answer_close(&a);
	return ok ? EXIT_DONE : EXIT_FAILED;
}
