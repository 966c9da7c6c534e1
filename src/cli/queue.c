/*
 * Commands about many messages: an order is previewed and asked for before it is carried out,
 * and a long list is read page by page, so that neither side ever holds all of it.
 */
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/fields.h"
#include "cli/commands.h"
#include "cli/show.h"

#define PAGE	  2000 /* messages */
#define PAGE_TEXT "2000"
#define ID_TEXT	  64

/* ---- orders ---- */

static bool has_word(const struct cli *c, const char *word)
{
	size_t n = strlen(word);

	for (int i = 0; i < c->count; i++)
		if (strncmp(c->word[i], word, n) == 0 &&
		    (c->word[i][n] == '\0' || c->word[i][n] == '='))
			return true;
	return false;
}

/* The words for the server, to whom --where=W is --where W. */
static size_t words_of(const struct cli *c, const char **words)
{
	static const char *const options[] = { "--where", "--for", "--why" };
	size_t n = 0;

	words[n++] = "queue";
	words[n++] = strchr(c->command->name, ' ') + 1;
	for (int i = 0; i < c->count; i++) {
		const char *word = c->word[i], *value = NULL;

		for (size_t k = 0; k < COUNT_OF(options) && !value; k++) {
			size_t name = strlen(options[k]);

			if (strncmp(word, options[k], name) != 0 || word[name] != '=')
				continue;
			words[n++] = options[k];
			value = word + name + 1;
		}
		words[n++] = value ? value : word;
	}
	return n;
}

static void show_preview(const struct answer *a)
{
	static const char *const parts[] = { "preview", "sender", "account",
					     "destination", "sample" };

	for (size_t i = 0; i < COUNT_OF(parts); i++) {
		if (show_part(a, parts[i]))
			putchar('\n');
	}
}

static int64_t number_in(const struct answer *a, const char *name)
{
	struct span row;
	struct field f;
	size_t at = 0;

	if (!answer_next(a, &at, &row) || !field_find(row, name, &f) ||
	    f.kind != FIELD_NUMBER)
		return 0;
	return f.number;
}

static bool wants_it(int64_t messages)
{
	char line[16];

	printf("Carry it out on %lld message%s? [y/N] ", (long long)messages,
	       messages == 1 ? "" : "s");
	fflush(stdout);
	return fgets(line, sizeof(line), stdin) && (*line == 'y' || *line == 'Y');
}

/* The preview is on the screen: go on, or not. */
static int ask_further(const struct cli *c, const struct answer *a)
{
	const char *words[] = { "queue", "confirm", NULL };
	int64_t messages = number_in(a, "messages");
	char number[24];

	if (messages == 0 && !has_word(c, "--standing")) {
		puts("No message fits. Nothing has changed.");
		return EXIT_DONE;
	}
	if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO)) {
		puts(a->text);
		return EXIT_DONE;
	}
	if (!wants_it(messages)) {
		puts("Nothing has changed.");
		return EXIT_DONE;
	}
	snprintf(number, sizeof(number), "%lld", (long long)number_in(a, "job"));
	words[2] = number;
	return ask_and_show(c, words, 3);
}

static int preview(const struct cli *c, const char *const *words, size_t count)
{
	struct answer a;
	struct err err;
	int code = EXIT_DONE;

	if (!ask(c, words, count, &a, &err))
		return ask_absent(c, &err);
	if (!a.ok) {
		code = cli_refused(c, a.text);
	} else if (c->json) {
		show_json(&a);
	} else {
		show_preview(&a);
		code = ask_further(c, &a);
	}
	answer_close(&a);
	return code;
}

int command_queue_order(struct cli *c)
{
	const char *words[2 * CLI_WORDS + 2];
	size_t n = words_of(c, words);

	if (c->count == 0)
		return cli_misused(c, "%s needs a queue id, or --where", c->command->name);
	if (has_word(c, "--where") && !has_word(c, "--yes"))
		return preview(c, words, n);
	return ask_and_show(c, words, n);
}

/* ---- pages ---- */

struct page {
	char last[ID_TEXT]; /* the id of the last message */
	size_t messages;
};

static void note_id(struct page *p, struct span row)
{
	struct field f;

	if (!field_find(row, "id", &f) || f.text.n >= sizeof(p->last) ||
	    span_eq(f.text, span_str(p->last)))
		return;
	memcpy(p->last, f.text.p, f.text.n);
	p->last[f.text.n] = '\0';
	p->messages++;
}

static void look_through(const struct answer *a, struct page *p)
{
	struct span row;

	p->messages = 0;
	for (size_t at = 0; answer_next(a, &at, &row);)
		note_id(p, row);
}

/* Page after page: `words` are shown with --limit and --after behind them. */
static int each_page(const struct cli *c, const char **words, size_t n,
		     void (*on_page)(void *arg, const struct answer *a), void *arg)
{
	struct page p = { .messages = PAGE };
	struct answer a;
	struct err err;
	bool first;

	words[n++] = "--limit";
	words[n++] = PAGE_TEXT;
	while (p.messages == PAGE) {
		if (*p.last) {
			words[n] = "--after";
			words[n + 1] = p.last;
		}
		if (!ask(c, words, n + (*p.last ? 2 : 0), &a, &err))
			return ask_absent(c, &err);
		if (!a.ok) {
			int code = cli_refused(c, a.text);

			answer_close(&a);
			return code;
		}
		first = *p.last == '\0';
		look_through(&a, &p);
		if (first || p.messages)
			on_page(arg, &a);
		answer_close(&a);
	}
	return EXIT_DONE;
}

static void show_page(void *arg, const struct answer *a)
{
	const struct cli *c = arg;

	if (c->json)
		show_json(a);
	else
		show_table(a);
}

int command_queue_list(struct cli *c)
{
	const char *words[2 * CLI_WORDS + 8];
	size_t n = words_of(c, words);

	if (has_word(c, "--limit"))
		return ask_and_show(c, words, n);
	return each_page(c, words, n, show_page, c);
}

/* ---- mailq ---- */

struct mailq {
	int64_t bytes, messages;
	bool letters;
};

static void put_address(const struct mailq *q, struct span address)
{
	uint8_t mem[4 * ADDRESS_MAX];
	struct buf shown;

	buf_init(&shown, mem, sizeof(mem));
	show_text(show_name(address, q->letters, &shown), stdout);
	putchar('\n');
}

static struct span text_in(struct span row, const char *name)
{
	struct field f;

	return field_find(row, name, &f) && f.kind == FIELD_TEXT ? f.text : SPAN_NONE;
}

static int64_t value_in(struct span row, const char *name)
{
	struct field f;

	return field_find(row, name, &f) && f.kind != FIELD_TEXT ? f.number : 0;
}

/* "3x0vb1c8k0001*     1234 Sat Nov 21 11:27:09  bob@example.org" */
static void put_head(struct mailq *q, struct span row)
{
	time_t at = (time_t)(value_in(row, "since") / 1000);
	struct span id = text_in(row, "id"), mark = text_in(row, "mark"),
		    sender = text_in(row, "sender");
	char when[32] = "";
	struct tm tm;

	if (localtime_r(&at, &tm))
		strftime(when, sizeof(when), "%a %b %e %H:%M:%S", &tm);
	if (q->messages++ == 0)
		puts("-Queue ID-----  --Size-- ----Arrival Time---- -Sender/Recipient-------");
	else
		putchar('\n');
	q->bytes += value_in(row, "size");
	printf("%.*s%-2.*s %9lld %s  ", SPAN_ARG(id), SPAN_ARG(mark),
	       (long long)value_in(row, "size"), when);
	put_address(q, sender.n ? sender : SPAN("MAILER-DAEMON"));
}

static void put_recipient(const struct mailq *q, struct span row)
{
	struct span answer = text_in(row, "answer");

	if (answer.n) {
		fputs("      (", stdout);
		show_text(answer, stdout);
		fputs(")\n", stdout);
	}
	printf("%41s ", "");
	put_address(q, text_in(row, "rcpt"));
}

static void mailq_page(void *arg, const struct answer *a)
{
	struct mailq *q = arg;
	struct span row;
	struct field f;

	for (size_t at = 0; answer_next(a, &at, &row);) {
		if (field_find(row, "mark", &f))
			put_head(q, row);
		put_recipient(q, row);
	}
}

int command_mailq(struct cli *c)
{
	const char *words[CLI_WORDS + 8] = { "queue", "mailq" };
	struct mailq q = { .letters = !c->json && show_has_letters() };
	size_t n = 2;
	int code;

	for (int i = 0; i < c->count; i++)
		words[n++] = c->word[i];
	code = c->json ? each_page(c, words, n, show_page, c)
		       : each_page(c, words, n, mailq_page, &q);
	if (code != EXIT_DONE || c->json)
		return code;
	if (q.messages == 0)
		puts("Mail queue is empty");
	else
		printf("\n-- %lld Kbytes in %lld Request%s.\n",
		       (long long)(q.bytes + 1023) / 1024, (long long)q.messages,
		       q.messages == 1 ? "" : "s");
	return EXIT_DONE;
}
