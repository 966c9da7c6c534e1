#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "app/loader.h"
#include "base/fields.h"
#include "base/id.h"
#include "base/number.h"
#include "cli/ask.h"
#include "cli/commands.h"
#include "spec/journal.h"

/*
 * `holdfast journal export`: the file is read as it is, also while the server writes to it.
 * A block that is overwritten meanwhile has records whose checks fail, and they are left
 * out, as torn ones are.
 */

struct export
{
	int fd;
	uint64_t places;
	int64_t since; /* wall clock */
	bool has_net;
	struct net net;
	bool json;
	uint64_t records;
};

/* Where a block stands, and which one it is. */
struct standing_block {
	uint64_t serial, place;
};

static void on_problem(void *arg, bool fatal, const char *text)
{
	struct err *first = arg;

	if (fatal && !*first->text)
		err_set(first, "%s", text);
}

static bool find_file(const struct cli *c, char path[PATH_MAX], struct err *err)
{
	struct err problem = { 0 };
	char config[PATH_MAX];
	struct loader_request request = { .path = config,
					  .conf_only = true,
					  .on_problem = on_problem,
					  .arg = &problem };
	struct loaded *l = NULL;

	if (!ask_config(c, config, err))
		return false;
	if (access(config, R_OK) != 0)
		return err_set(err, "%s: %s (name the journal's file instead)", config,
			       strerror(errno));
	if (!loader_load(&request, &l) && !l)
		return err_set(err, "%s", problem.text);
	snprintf(path, PATH_MAX, "%s/log/journal", l->conf.set.dir);
	loader_close(&l);
	return true;
}

static int by_serial(const void *a, const void *b)
{
	const struct standing_block *x = a, *y = b;

	return x->serial < y->serial ? -1 : x->serial > y->serial;
}

static void print_addr(struct buf *row, const char *name, const struct addr *a)
{
	uint8_t mem[64];
	struct buf text;

	buf_init(&text, mem, sizeof(mem));
	addr_print(a, &text);
	field_text(row, name, buf_span(&text));
}

static void print_id(struct buf *row, const char *name, uint64_t id)
{
	uint8_t mem[ID_PRINTED];
	struct buf text;

	buf_init(&text, mem, sizeof(mem));
	id_print(id, &text);
	field_text(row, name, buf_span(&text));
}

static void print_record(struct export *x, const struct journal_record *r)
{
	uint8_t mem[1024], line[8192];
	struct buf row, out;

	buf_init(&row, mem, sizeof(mem));
	buf_init(&out, line, sizeof(line));
	field_time(&row, "time", r->wall);
	print_addr(&row, "from", &r->from);
	print_id(&row, "session", r->session);
	field_number(&row, "listener", r->listener);
	field_text(&row, "event", span_str(event_table[r->event].word));
	field_number(&row, "count", r->count);
	field_number(&row, "points", r->points);
	if (r->rule != RULE_NONE)
		field_text(&row, "rule", span_str(rule_table[r->rule].word));
	if (r->observed)
		field_flag(&row, "observed", true);
	if (r->behind)
		field_flag(&row, "behind", true);
	if (r->text.n)
		field_text(&row, "text", r->text);
	if (x->json)
		fields_print_json(buf_span(&row), 0, &out);
	else
		fields_print_logfmt(buf_span(&row), 0, &out);
	fwrite(out.mem, 1, out.len, stdout);
	putchar('\n');
	x->records++;
}

static void print_block(struct export *x, const struct standing_block *b)
{
	static uint8_t mem[JOURNAL_BLOCK];
	ssize_t n = pread(x->fd, mem, sizeof(mem),
			  (off_t)(JOURNAL_PAGE + b->place * JOURNAL_BLOCK));
	struct journal_record r;
	struct span left;
	uint64_t serial;

	if (n <= 0 || !journal_parse_block(span_of(mem, (size_t)n), &serial) ||
	    serial != b->serial)
		return;
	left = span_skip(span_of(mem, (size_t)n), JOURNAL_HEAD);
	while (journal_next(&left, serial, &r))
		if (r.wall >= x->since && (!x->has_net || net_has(&x->net, &r.from)))
			print_record(x, &r);
}

static bool print_all(struct export *x, struct err *err)
{
	struct standing_block *blocks;
	uint8_t head[JOURNAL_HEAD];
	struct stat st;
	size_t n = 0;

	/* as many as the file has, whatever its first page says */
	if (fstat(x->fd, &st) != 0 || st.st_size < JOURNAL_PAGE)
		return err_set(err, "it cannot be read");
	if (x->places > (uint64_t)st.st_size / JOURNAL_BLOCK + 1)
		x->places = (uint64_t)st.st_size / JOURNAL_BLOCK + 1;
	blocks = calloc(x->places, sizeof(*blocks));
	if (!blocks)
		return err_set(err, "out of memory");
	for (uint64_t i = 0; i < x->places; i++)
		if (pread(x->fd, head, sizeof(head),
			  (off_t)(JOURNAL_PAGE + i * JOURNAL_BLOCK)) ==
			    (ssize_t)sizeof(head) &&
		    journal_parse_block(span_of(head, sizeof(head)), &blocks[n].serial))
			blocks[n++].place = i;
	qsort(blocks, n, sizeof(*blocks), by_serial);
	for (size_t i = 0; i < n; i++)
		print_block(x, &blocks[i]);
	free(blocks);
	return true;
}

static int export(struct export *x, const char *path)
{
	uint8_t page[JOURNAL_PAGE];
	struct err err;
	bool good;

	x->fd = open(path, O_RDONLY | O_CLOEXEC);
	if (x->fd < 0 && errno == ENOENT)
		return cli_fail("%s: there is none; is journal.size 0?", path);
	if (x->fd < 0)
		return cli_fail("%s: %s", path, strerror(errno));
	if (pread(x->fd, page, sizeof(page), 0) != (ssize_t)sizeof(page) ||
	    !journal_parse_page(span_of(page, sizeof(page)), &x->places)) {
		close(x->fd);
		return cli_fail("%s: not a journal of this version of holdfast", path);
	}
	good = print_all(x, &err);
	close(x->fd);
	if (!good)
		return cli_fail("%s: %s", path, err.text);
	return fflush(stdout) == 0 ? EXIT_DONE : cli_fail("%s", strerror(errno));
}

static int64_t wall_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

int command_journal(struct cli *c)
{
	struct export x = { .since = INT64_MIN, .json = c->json };
	const char *since = "", *client = "";
	char path[PATH_MAX];
	struct err err;
	ms_t age;

	if (cli_option(c, "--since", &since)) {
		if (!since || !duration_parse(span_str(since), &age))
			return cli_misused(c, "--since wants an age, such as 2h or 7d");
		x.since = wall_now() - age;
	}
	if (cli_option(c, "--client", &client)) {
		if (!client || !net_parse(span_str(client), &x.net))
			return cli_misused(c, "--client wants an address or a network");
		x.has_net = true;
	}
	if (c->count > 1)
		return cli_misused(c, "one file at a time");
	if (c->count == 1)
		return export(&x, c->word[0]);
	if (!find_file(c, path, &err))
		return cli_fail("%s", err.text);
	return export(&x, path);
}
