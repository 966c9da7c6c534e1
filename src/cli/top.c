/* `holdfast top`: asks every two seconds, and draws what the server says. */
#include <curses.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/fields.h"
#include "cli/ask.h"
#include "cli/commands.h"
#include "cli/show.h"

#define EVERY 2000 /* ms */

struct screen {
	const struct cli *c;
	size_t by;
	bool letters;
	int line;
	struct answer a;
	char trouble[400]; /* why there is no new answer */
};

static const char *const orders_by[] = { "points",  "rate",  "sessions",
					 "refused", "bytes", "cpu" };

/* Which columns of an offender, how wide, and as what. */
static const struct column {
	const char *name, *title;
	int width;
} columns[] = {
	{ "points", "POINTS", 8 },
	{ "history", "HISTORY", 8 },
	{ "per-hour", "PER-HOUR", 9 },
	{ "sessions", "HERE", 7 },
	{ "connections", "CONNECTS", 9 },
	{ "refused", "REFUSED", 9 },
	{ "good", "GOOD", 7 },
	{ "bytes", "BYTES", 12 },
	{ "cpu-ms", "CPU-MS", 9 },
	{ "step", "STEP", 8 },
};

static bool is_part(struct span row, const char *part)
{
	struct field f;

	return field_find(row, "part", &f) && span_eq(f.text, span_str(part));
}

/* The value as it can be shown on any terminal. */
static const char *value_of(struct span row, const char *name, char mem[128])
{
	struct buf out;
	struct field f;

	buf_init(&out, mem, 127);
	if (field_find(row, name, &f))
		field_print_plain(&f, &out);
	mem[out.len] = '\0';
	return mem;
}

static int64_t number_of(struct span row, const char *name)
{
	struct field f;

	return field_find(row, name, &f) && f.kind != FIELD_TEXT ? f.number : 0;
}

/* The line is cut where the screen ends. */
static void put(struct screen *s, int attributes, const char *text)
{
	if (s->line >= LINES)
		return;
	attrset(attributes);
	mvaddnstr(s->line++, 0, text, COLS);
	attrset(A_NORMAL);
}

static const char *host_of(const struct screen *s, struct span row, char mem[256])
{
	struct buf shown;
	struct field f;

	buf_init(&shown, mem, 255);
	if (field_find(row, "hostname", &f) && f.kind == FIELD_TEXT)
		(void)show_name(f.text, s->letters, &shown);
	mem[shown.len] = '\0';
	return mem;
}

static void draw_server(struct screen *s, struct span row)
{
	char text[640], host[256], now[128], guard[128], firewall[128];
	long long here = number_of(row, "sessions"), most = number_of(row, "sessions-max");

	snprintf(text, sizeof(text), "%s  %s  guard: %s%s%s", host_of(s, row, host),
		 value_of(row, "now", now), value_of(row, "guard", guard),
		 number_of(row, "lockdown") ? "  LOCKDOWN" : "",
		 number_of(row, "partial") ? "  (only a part could be looked at)" : "");
	put(s, A_BOLD, text);
	snprintf(text, sizeof(text),
		 "sessions %lld of %lld (%lld %%), %lld inside TLS   bans %lld   kernel: %s, "
		 "%lld held, %lld packets dropped",
		 here, most, most ? 100 * here / most : 0,
		 (long long)number_of(row, "tls-sessions"),
		 (long long)number_of(row, "bans"), value_of(row, "firewall", firewall),
		 (long long)number_of(row, "in-kernel"),
		 (long long)number_of(row, "kernel-dropped"));
	put(s, A_NORMAL, text);
	snprintf(text, sizeof(text),
		 "clients known: %lld here of %lld, %lld of old of %lld",
		 (long long)number_of(row, "clients-here"),
		 (long long)number_of(row, "clients-here-max"),
		 (long long)number_of(row, "remembered"),
		 (long long)number_of(row, "remembered-max"));
	put(s, A_NORMAL, text);
	s->line++;
}

/* "+120 %", "-8 %", "new" */
static void print_change(int64_t now, int64_t before, char *out, size_t n)
{
	if (before == 0)
		snprintf(out, n, "%s", now ? "new" : "");
	else
		snprintf(out, n, "%+lld %%", (long long)(100 * (now - before) / before));
}

static void draw_rate(struct screen *s, struct span row)
{
	int64_t now = number_of(row, "per-minute"), before = number_of(row, "hour-before");
	char text[256], name[128], change[32];

	print_change(now, before, change, sizeof(change));
	snprintf(text, sizeof(text), "%-22s %10lld %12lld %9s %14lld",
		 value_of(row, "count", name), (long long)now, (long long)before, change,
		 (long long)number_of(row, "total"));
	put(s, now > 2 * before && now > 10 ? A_BOLD : A_NORMAL, text);
}

static void draw_rates(struct screen *s)
{
	struct span row;
	char text[256];

	snprintf(text, sizeof(text), "%-22s %10s %12s %9s %14s", "PER MINUTE", "NOW",
		 "HOUR BEFORE", "CHANGE", "TOTAL");
	put(s, A_REVERSE, text);
	for (size_t at = 0; answer_next(&s->a, &at, &row);)
		if (is_part(row, "rate") &&
		    (number_of(row, "total") || number_of(row, "hour-before")))
			draw_rate(s, row);
	s->line++;
}

static void draw_one(struct screen *s, struct span row)
{
	char text[512], value[128];
	int n = snprintf(text, sizeof(text), "%-22.40s", value_of(row, "prefix", value));

	for (size_t i = 0; i < sizeof(columns) / sizeof(columns[0]); i++)
		if (n > 0 && (size_t)n < sizeof(text))
			n += snprintf(text + n, sizeof(text) - (size_t)n, " %*.20s",
				      columns[i].width,
				      value_of(row, columns[i].name, value));
	put(s, A_NORMAL, text);
}

static void draw_list(struct screen *s, const char *part, const char *title, int until)
{
	char text[512];
	int n = snprintf(text, sizeof(text), "%-22s", title);
	struct span row;

	for (size_t i = 0; i < sizeof(columns) / sizeof(columns[0]); i++)
		if (n > 0 && (size_t)n < sizeof(text))
			n += snprintf(text + n, sizeof(text) - (size_t)n, " %*s",
				      columns[i].width, columns[i].title);
	put(s, A_REVERSE, text);
	for (size_t at = 0; s->line < until && answer_next(&s->a, &at, &row);)
		if (is_part(row, part))
			draw_one(s, row);
}

static void draw(struct screen *s)
{
	char text[512];
	struct span row;

	s->line = 0;
	erase();
	for (size_t at = 0; answer_next(&s->a, &at, &row);)
		if (is_part(row, "server"))
			draw_server(s, row);
	draw_rates(s);
	/* a third of what is left for the prefixes */
	draw_list(s, "offender", "CLIENT", LINES - 1 - (LINES - s->line) / 3);
	s->line++;
	draw_list(s, "prefix", "PREFIX", LINES - 1);
	s->line = LINES - 1;
	snprintf(text, sizeof(text), "q: quit   s: sort (by %s)   %.300s",
		 orders_by[s->by], s->trouble);
	put(s, A_REVERSE, text);
	refresh();
}

static void ask_anew(struct screen *s)
{
	const char *words[] = { "top", "--by", orders_by[s->by] };
	struct answer fresh;
	struct err err = { 0 };

	*s->trouble = '\0';
	if (!ask(s->c, words, 3, &fresh, &err)) {
		snprintf(s->trouble, sizeof(s->trouble), "%s", err.text);
		return;
	}
	if (!fresh.ok)
		snprintf(s->trouble, sizeof(s->trouble), "%.300s", fresh.text);
	answer_close(&s->a);
	s->a = fresh;
}

/* Until q. */
static void stay(struct screen *s)
{
	bool ends = false;

	noecho();
	cbreak();
	keypad(stdscr, TRUE);
	curs_set(0);
	timeout(EVERY);
	while (!ends) {
		int key;

		ask_anew(s);
		draw(s);
		key = getch();
		ends = key == 'q' || key == 'Q';
		if (key == 's' || key == 'S')
			s->by = (s->by + 1) % (sizeof(orders_by) / sizeof(orders_by[0]));
	}
}

static void print_once(const struct answer *a)
{
	static const char *const parts[] = { "server", "rate", "offender", "prefix" };

	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
		if (i)
			putchar('\n');
		show_part(a, parts[i]);
	}
}

/* What the words say, once. */
static int once(struct cli *c)
{
	const char *words[CLI_WORDS + 1] = { "top" };
	struct answer a;
	struct err err = { 0 };
	bool ok;

	for (int i = 0; i < c->count; i++)
		words[i + 1] = c->word[i];
	if (!ask(c, words, (size_t)c->count + 1, &a, &err))
		return ask_absent(c, &err);
	ok = a.ok;
	if (!ok)
		cli_fail("%s", a.text);
	else if (c->json)
		show_json(&a);
	else
		print_once(&a);
	answer_close(&a);
	return ok ? EXIT_DONE : EXIT_FAILED;
}

static bool sorts_by(struct screen *s, const char *by)
{
	for (size_t i = 0; by && i < sizeof(orders_by) / sizeof(orders_by[0]); i++) {
		if (span_eq(span_str(by), span_str(orders_by[i]))) {
			s->by = i;
			return true;
		}
	}
	return false;
}

int command_top(struct cli *c)
{
	struct screen s = { .c = c };
	const char *by = NULL, *limit = NULL;
	SCREEN *terminal;

	if (c->json || !isatty(STDOUT_FILENO) || !isatty(STDIN_FILENO))
		return once(c);
	if (cli_option(c, "--by", &by) && !sorts_by(&s, by))
		return cli_misused(c, "--by needs one of its words");
	(void)cli_option(c, "--limit", &limit); /* the screen is the limit */
	if (c->count)
		return cli_misused(c, "\"%s\" is one word too many", c->word[0]);
	/* one answer first: what is wrong is better said without a screen */
	ask_anew(&s);
	if (*s.trouble)
		return once(c);
	s.letters = show_has_letters();
	terminal = newterm(NULL, stdout, stdin);
	if (!terminal)
		return once(c);
	stay(&s);
	endwin();
	delscreen(terminal);
	answer_close(&s.a);
	return EXIT_DONE;
}
