/*
 * `holdfast access test|list|export|import`: what lists say. These read the configuration
 * and its lists as a reload would, and talk to no server.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "app/lists_blob.h"
#include "app/loader.h"
#include "base/fields.h"
#include "base/number.h"
#include "cli/ask.h"
#include "cli/commands.h"
#include "cli/list_writer.h"
#include "cli/show.h"
#include "conf/settings.h"

#define OF_WORDS "client|sender|recipient|helo|ptr"

static int64_t wall_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void on_problem(void *arg, bool fatal, const char *text)
{
	(void)arg;
	fprintf(stderr, "%s%s\n", fatal ? "" : "warning: ", text);
}

/* Doubts are for `config check`. */
static void on_fatal(void *arg, bool fatal, const char *text)
{
	if (fatal)
		on_problem(arg, fatal, text);
}

/* The lists of the configuration; NULL: what is wrong was said. */
static struct loaded *load(const struct cli *c)
{
	struct loader_request request = { .access_only = true, .on_problem = on_fatal };
	struct loaded *l = NULL;
	char path[PATH_MAX];
	struct err err;

	if (!ask_config(c, path, &err)) {
		cli_fail("%s", err.text);
		return NULL;
	}
	request.path = path;
	if (loader_load(&request, &l))
		return l;
	loader_close(&l);
	return NULL;
}

static bool take_of(struct cli *c, int *of)
{
	const char *text = NULL;

	*of = -1;
	if (!cli_option(c, "--of", &text))
		return true;
	return text && word_parse(span_str(text), OF_WORDS, of);
}

/* ---- test ------------------------------------------------------------------------------ */

static void say_plainly(struct span asked, enum access_of of,
			const struct access_hit *hit, struct span match)
{
	uint8_t mem[2000];
	struct buf b;

	buf_init(&b, mem, sizeof(mem));
	buf_fmt(&b, "%.*s as %.*s: ", SPAN_ARG(asked),
		SPAN_ARG(word_of((int)of, OF_WORDS)));
	if (hit->answer == ACCESS_SILENT) {
		buf_put(&b, SPAN("in no list"));
	} else {
		buf_fmt(&b, "%s by %.*s:%u", list_answer_word(hit->answer),
			SPAN_ARG(hit->file), hit->line);
		if (match.n)
			buf_fmt(&b, " (%.*s)", SPAN_ARG(match));
		if (hit->until != INT64_MAX) {
			buf_put(&b, SPAN(", until "));
			list_date_print(hit->until, &b);
		}
		if (hit->why.n)
			buf_fmt(&b, ": %.*s", SPAN_ARG(hit->why));
	}
	buf_byte(&b, '\n');
	show_text(buf_span(&b), stdout);
}

static void say_json(struct span asked, enum access_of of, const struct access_hit *hit,
		     struct span match)
{
	uint8_t mem[ROW_MAX], text_mem[4 * ROW_MAX];
	struct buf row, text;

	buf_init(&row, mem, sizeof(mem));
	buf_init(&text, text_mem, sizeof(text_mem));
	field_text(&row, "asked", asked);
	field_text(&row, "of", word_of((int)of, OF_WORDS));
	field_text(&row, "answer", span_str(list_answer_word(hit->answer)));
	if (hit->answer != ACCESS_SILENT) {
		field_text(&row, "file", hit->file);
		field_number(&row, "line", hit->line);
		field_number(&row, "list", hit->list);
		if (match.n)
			field_text(&row, "net", match);
		if (hit->until != INT64_MAX)
			field_time(&row, "until", hit->until);
		if (hit->why.n)
			field_text(&row, "why", hit->why);
	}
	fields_print_json(buf_span(&row), 0, &text);
	printf("%.*s\n", SPAN_ARG(buf_span(&text)));
}

static void say_hit(const struct cli *c, struct span asked, enum access_of of,
		    const struct access_hit *hit)
{
	uint8_t mem[100];
	struct buf net;

	buf_init(&net, mem, sizeof(mem));
	if (of == ACCESS_CLIENT && hit->answer != ACCESS_SILENT)
		net_print(&hit->net, &net);
	(c->json ? say_json : say_plainly)(asked, of, hit, buf_span(&net));
}

static bool concerns(enum access_of of, int wanted, struct span name)
{
	bool mail = span_find(name, '@') < name.n;

	if (wanted >= 0)
		return of == (enum access_of)wanted;
	return of != ACCESS_CLIENT &&
	       (!mail || of == ACCESS_SENDER || of == ACCESS_RECIPIENT);
}

int command_access_test(struct cli *c)
{
	int64_t now = wall_now();
	struct access_hit hit;
	struct loaded *l;
	struct addr a;
	struct span asked;
	int of;

	if (!take_of(c, &of))
		return cli_misused(c, "--of is one of %s", OF_WORDS);
	if (c->count != 1)
		return cli_misused(c, "an address or a name is needed");
	asked = span_str(c->word[0]);
	if (of == ACCESS_CLIENT && !addr_parse(asked, &a))
		return cli_misused(c, "\"%s\" is not an address", c->word[0]);
	l = load(c);
	if (!l)
		return EXIT_FAILED;
	if (of <= ACCESS_CLIENT && addr_parse(asked, &a)) {
		hit = access_client(l->access.blob.p, l->access.blob.n, &a, now);
		say_hit(c, asked, ACCESS_CLIENT, &hit);
	} else {
		for (enum access_of i = 0; i < ACCESS_OF_COUNT; i++) {
			if (!concerns(i, of, asked))
				continue;
			hit = access_name(l->access.blob.p, l->access.blob.n, i, asked,
					  now);
			say_hit(c, asked, i, &hit);
		}
	}
	loader_close(&l);
	return EXIT_DONE;
}

/* ---- list -------------------------------------------------------------------------------- */

static void put_list(const struct cli *c, uint32_t number, const char *name,
		     const struct access_list *list)
{
	uint8_t mem[ROW_MAX], text_mem[4 * ROW_MAX];
	struct buf row, text;

	buf_init(&row, mem, sizeof(mem));
	buf_init(&text, text_mem, sizeof(text_mem));
	if (c->json) {
		field_number(&row, "list", number);
		field_text(&row, "name", span_str(name));
		field_text(&row, "of", word_of((int)list->of, OF_WORDS));
		field_number(&row, "entries", (int64_t)list->entries);
		field_text(&row, "file", list->file);
		fields_print_json(buf_span(&row), 0, &text);
		buf_byte(&text, '\n');
	} else {
		buf_fmt(&text, "%4u  %-8s %-10.*s %10" PRIu64 "  %.*s\n", number, name,
			SPAN_ARG(word_of((int)list->of, OF_WORDS)), list->entries,
			SPAN_ARG(list->file));
	}
	show_text(buf_span(&text), stdout);
}

int command_access_list(struct cli *c)
{
	struct access_list list;
	struct loaded *l;

	if (c->count)
		return cli_misused(c, "\"%s\" is too much", c->word[0]);
	l = load(c);
	if (!l)
		return EXIT_FAILED;
	if (!c->json)
		puts("list  name     of            entries  file");
	for (uint32_t i = 0; access_list(l->access.blob.p, l->access.blob.n, i, &list);
	     i++)
		put_list(c, i, i == 0 ? "allow" : i == 1 ? "deny" : "access", &list);
	if (!c->json)
		printf("%zu bytes, read in %lld ms\n", l->access.blob.n,
		       (long long)l->access.took);
	loader_close(&l);
	return EXIT_DONE;
}

/* ---- export --------------------------------------------------------------------------- */

int command_access_export(struct cli *c)
{
	struct list_writer w = { .out = stdout, .now = wall_now(), .until = INT64_MAX };
	const char *as = "plain";
	struct loaded *l;
	int which = AS_PLAIN, of;

	if (!take_of(c, &of))
		return cli_misused(c, "--of is one of %s", OF_WORDS);
	if (cli_option(c, "--as", &as) &&
	    (!as || !word_parse(span_str(as), "plain|cidr|nft", &which)))
		return cli_misused(c, "--as is plain, cidr or nft");
	if (c->count)
		return cli_misused(c, "\"%s\" is too much", c->word[0]);
	if (of > ACCESS_CLIENT && which != AS_PLAIN)
		return cli_misused(c, "names can be exported as plain only");
	l = load(c);
	if (!l)
		return EXIT_FAILED;
	w.as = (enum list_as)which;
	w.blob = l->access.blob;
	list_write(&w, of < 0 ? ACCESS_CLIENT : (enum access_of)of);
	loader_close(&l);
	return fflush(stdout) == 0 ? EXIT_DONE
				   : cli_fail("the output could not be written");
}

/* ---- import --------------------------------------------------------------------------------- */

struct importing {
	struct list_source src;
	struct problems problems;
	struct lists lists;
	struct grow text;
};

static bool take_format(struct cli *c, struct list_source *src, bool *given)
{
	const char *as = NULL, *rest;
	char text[32];

	*given = cli_option(c, "--as", &as);
	if (!*given)
		return true;
	if (!as || snprintf(text, sizeof(text), "%s:", as) >= (int)sizeof(text))
		return false;
	src->format = list_format_of(text, &rest);
	return !*rest;
}

static bool read_list(struct importing *m, int64_t now, bool format_given)
{
	uint64_t key[2] = { 0 };
	struct err err;

	grow_init(&m->text, (size_t)1 << 32);
	if (!file_read(m->src.file, (size_t)1 << 32, &m->text, NULL, &err)) {
		cli_fail("%s", err.text);
		return false;
	}
	if (!format_given)
		m->src.format = list_sniff(buf_span(&m->text.buf));
	if (getrandom(key, sizeof(key), 0) != sizeof(key)) {
		cli_fail("no random numbers");
		return false;
	}
	lists_init(&m->lists, key, now, &m->problems);
	m->src.written = now;
	lists_begin(&m->lists, m->src.of, m->src.format, m->src.file);
	lists_bytes(&m->lists, &m->src, buf_span(&m->text.buf));
	return m->problems.fatal == 0 && lists_make(&m->lists);
}

/* To the terminal, or to a file that is there whole or not at all. */
static int write_out(struct importing *m, struct list_writer *w, const char *to)
{
	char path[PATH_MAX];
	int n = to ? snprintf(path, sizeof(path), "%s.new", to) : 0;

	if (n < 0 || n >= (int)sizeof(path))
		return cli_fail("the path is too long");
	w->out = to ? fopen(path, "we") : stdout;
	if (!w->out)
		return cli_fail("%s cannot be written", path);
	fprintf(w->out, "# from %s, which was read as %s\n", m->src.file,
		list_format_word[m->src.format]);
	list_write(w, m->src.of);
	/* the names of clients in a table of access(5) */
	if (m->src.of == ACCESS_CLIENT && m->src.format == LIST_HASH && m->lists.name_count)
		fprintf(stderr,
			"note: the names in it are not written; import it once more with --of "
			"ptr\n");
	if (!to)
		return fflush(stdout) == 0 ? EXIT_DONE : cli_fail("cannot be written");
	if (fflush(w->out) != 0 || fsync(fileno(w->out)) != 0 || fclose(w->out) != 0 ||
	    rename(path, to) != 0) {
		(void)unlink(path);
		return cli_fail("%s cannot be written", to);
	}
	return EXIT_DONE;
}

static int import_it(struct cli *c, struct importing *m, struct list_writer *w,
		     bool format_given, const char *to)
{
	int code = EXIT_FAILED;

	(void)c;
	if (read_list(m, w->now, format_given)) {
		w->blob = span_of(m->lists.blob, m->lists.blob_n);
		code = write_out(m, w, to);
	} else if (m->problems.fatal) {
		code = cli_fail("%s was read as %s: %u problems, nothing was written",
				m->src.file, list_format_word[m->src.format],
				m->problems.fatal);
	}
	lists_free(&m->lists);
	grow_free(&m->text);
	return code;
}

int command_access_import(struct cli *c)
{
	static struct importing m;
	struct list_writer w = { .now = wall_now(), .until = INT64_MAX };
	const char *until = NULL, *to = NULL;
	bool format_given;
	ms_t length = 0;
	int of;

	m = (struct importing){ .problems = { .on_problem = on_problem },
				.src = { .action = ACCESS_DENY } };
	if (!take_of(c, &of))
		return cli_misused(c, "--of is one of %s", OF_WORDS);
	if (!take_format(c, &m.src, &format_given))
		return cli_misused(c, "--as is plain, cidr, hash, tcprules or ipset");
	if (cli_option(c, "--until", &until) &&
	    (!until || (!duration_parse(span_str(until), &length) &&
			!list_date_parse(span_str(until), &w.until))))
		return cli_misused(c, "--until is a time such as 7d, or a date");
	if (length)
		w.until = w.now + length;
	(void)cli_option(c, "--why", &w.why);
	if (cli_option(c, "--to", &to) && !to)
		return cli_misused(c, "--to needs a file");
	if (c->count != 1)
		return cli_misused(c, "one file is needed");
	m.src.of = of < 0 ? ACCESS_CLIENT : (enum access_of)of;
	m.src.file = c->word[0];
	return import_it(c, &m, &w, format_given, to);
}
