#include "watch/ledger.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/number.h"
#include "base/siphash.h"

#define FIRST_LINE "holdfast-orders 1"
#define NEVER	   "never"

/* ---- text -------------------------------------------------------------------------- */

static const char *const kind_word[ORDER_KINDS] = {
	[ORDER_NONE] = "none",
	[ORDER_BAN] = "ban",
	[ORDER_ALLOW] = "allow",
	[ORDER_PARDON] = "pardon",
};

/* Against accidents, not against people: the key is no secret. */
static uint64_t sum_of(struct span text)
{
	static const uint64_t key[2] = { 0x6f7264657273, 0x686f6c6466617374 };

	return siphash(key, text);
}

static void print_order(const struct order *o, struct buf *out)
{
	struct span why = span_of(o->why, strnlen(o->why, ORDER_WHY_MAX));

	buf_fmt(out, "%s ", kind_word[o->kind]);
	net_print(&o->net, out);
	buf_fmt(out, " %lld ", (long long)o->since);
	if (o->until == INT64_MAX)
		buf_put(out, SPAN(NEVER));
	else
		buf_fmt(out, "%lld", (long long)o->until);
	if (why.n)
		buf_fmt(out, " %.*s", SPAN_ARG(why));
	buf_byte(out, '\n');
}

void ledger_print(const struct orders *orders, struct buf *out)
{
	struct drained d;
	struct order o;

	buf_put(out, SPAN(FIRST_LINE "\n"));
	if (orders_in_lockdown(orders))
		buf_fmt(out, "lockdown %lld\n", (long long)orders_in_lockdown(orders));
	for (size_t at = 0; orders_next_drained(orders, &at, &d);)
		buf_fmt(out, "drain %s\n", d.name);
	for (size_t at = 0; orders_next(orders, &at, &o);)
		if (o.kind > ORDER_NONE && o.kind < ORDER_KINDS)
			print_order(&o, out);
	buf_fmt(out, "sum %016llx\n", (unsigned long long)sum_of(buf_span(out)));
}

static bool parse_wall(struct span word, int64_t *out)
{
	uint64_t n;

	if (!number_parse(word, INT64_MAX - 1, &n))
		return false;
	*out = (int64_t)n;
	return true;
}

static bool parse_why(struct span why, char out[ORDER_WHY_MAX])
{
	if (why.n >= ORDER_WHY_MAX)
		return false;
	for (size_t i = 0; i < why.n; i++)
		if (why.p[i] < ' ' || why.p[i] == 127)
			return false;
	memset(out, 0, ORDER_WHY_MAX);
	if (why.n)
		memcpy(out, why.p, why.n);
	return true;
}

static bool parse_order(struct span line, struct order *out)
{
	struct span kind = span_cut(&line, ' '), net = span_cut(&line, ' ');
	struct span since = span_cut(&line, ' '), until = span_cut(&line, ' ');

	out->kind = ORDER_NONE;
	for (int k = ORDER_BAN; k < ORDER_KINDS; k++)
		if (span_eq(kind, span_str(kind_word[k])))
			out->kind = (uint8_t)k;
	if (span_eq(until, SPAN(NEVER)))
		out->until = INT64_MAX;
	else if (!parse_wall(until, &out->until))
		return false;
	return out->kind != ORDER_NONE && net_parse(net, &out->net) &&
	       parse_wall(since, &out->since) && parse_why(line, out->why);
}

/* The lines between the first and the sum, if both are right. */
static bool parse_frame(struct span text, struct span *lines, struct err *err)
{
	struct span all = text, first = span_cut(&text, '\n'), body, last;
	char sum[32];

	if (!span_eq(first, SPAN(FIRST_LINE)))
		return err_set(err, "it does not begin with \"" FIRST_LINE "\"");
	if (all.n == 0 || all.p[all.n - 1] != '\n')
		return err_set(err, "its end is missing");
	body = span_head(all, all.n - 1);
	last = span_skip(body, span_find_last(body, '\n') + 1);
	body = span_head(all, (size_t)(last.p - all.p));
	snprintf(sum, sizeof(sum), "sum %016llx", (unsigned long long)sum_of(body));
	if (!span_eq(last, span_str(sum)))
		return err_set(err, "its sum is wrong");
	*lines = span_head(text, (size_t)(last.p - text.p));
	return true;
}

static bool parse_drained(struct span name, struct drained *out)
{
	if (name.n == 0 || name.n >= sizeof(out->name))
		return false;
	for (size_t i = 0; i < name.n; i++)
		if (name.p[i] <= ' ' || name.p[i] >= 127)
			return false;
	*out = (struct drained){ { 0 } };
	memcpy(out->name, name.p, name.n);
	return true;
}

/* What a file says, before any of it is in force. */
struct parsed {
	struct order *orders; /* ORDERS_MAX */
	size_t n, drained_n;
	struct drained drained[BACKENDS_MAX];
	int64_t lockdown;
};

static bool parse_line(struct span line, struct parsed *p)
{
	if (span_starts(line, SPAN("lockdown ")))
		return parse_wall(span_skip(line, 9), &p->lockdown);
	if (span_starts(line, SPAN("drain ")))
		return p->drained_n < BACKENDS_MAX &&
		       parse_drained(span_skip(line, 6), &p->drained[p->drained_n++]);
	return p->n < ORDERS_MAX && parse_order(line, &p->orders[p->n++]);
}

static bool enforce(const struct parsed *p, struct orders *orders, int64_t wall)
{
	for (size_t i = 0; i < p->n; i++)
		if (p->orders[i].until > wall && !orders_put(orders, &p->orders[i], wall))
			return false;
	for (size_t i = 0; i < p->drained_n; i++) {
		struct span name = span_str(p->drained[i].name);

		if (!orders_is_drained(orders, name) && !orders_drain(orders, name, true))
			return false;
	}
	if (p->lockdown)
		orders_lockdown(orders, true, p->lockdown);
	return true;
}

bool ledger_parse(struct span text, struct orders *orders, int64_t wall, struct err *err)
{
	struct parsed p = { .orders = calloc(ORDERS_MAX, sizeof(struct order)) };
	struct span lines;
	unsigned number = 1;
	bool good = p.orders != NULL || err_set(err, "out of memory");

	good = good && parse_frame(text, &lines, err);
	while (good && lines.n) {
		number++;
		good = parse_line(span_cut(&lines, '\n'), &p) ||
		       err_set(err, "line %u makes no sense", number);
	}
	good = good &&
	       (enforce(&p, orders, wall) || err_set(err, "there are too many orders"));
	free(p.orders);
	return good;
}

/* ---- the file ---------------------------------------------------------------------- */

struct ledger {
	struct loop *loop;
	struct orders *orders; /* borrowed */
	struct ledger_hook hook;
	char path[PATH_MAX], fresh[PATH_MAX], directory[PATH_MAX];
	uint64_t wanted, written; /* serials */
	bool writing;
	struct timer again; /* after a failure */
	uint64_t under_way; /* the serial that is being written */
	struct buf text;    /* of it */
	struct err failure; /* of the last writing; empty: none */
	struct err result;  /* of the thread */
};

static bool name_file(char out[PATH_MAX], const char *directory, const char *name)
{
	int n = snprintf(out, PATH_MAX, "%s/%s", directory, name);

	return n >= 0 && n < PATH_MAX;
}

static void on_again(void *arg);

bool ledger_open(struct ledger **out, struct loop *loop, const char *directory,
		 struct orders *orders, const struct ledger_hook *hook, struct err *err)
{
	struct ledger *l = calloc(1, sizeof(*l));
	uint8_t *mem = malloc(LEDGER_MAX);

	if (!l || !mem || !name_file(l->path, directory, "orders.state") ||
	    !name_file(l->fresh, directory, "orders.state.new") ||
	    !name_file(l->directory, directory, ".")) {
		free(l);
		free(mem);
		return err_set(err, "orders: out of memory");
	}
	l->loop = loop;
	l->orders = orders;
	l->hook = *hook;
	timer_init(&l->again, loop, on_again, l);
	buf_init(&l->text, mem, LEDGER_MAX);
	*out = l;
	return true;
}

void ledger_close(struct ledger **ledger)
{
	struct ledger *l = *ledger;

	*ledger = NULL;
	if (!l)
		return;
	free(l->text.mem);
	free(l);
}

static bool read_all(int fd, struct buf *out, struct err *err)
{
	for (;;) {
		ssize_t n = read(fd, out->mem + out->len, out->cap - out->len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_set(err, "%s", strerror(errno));
		if (n == 0)
			return true;
		out->len += (size_t)n;
		if (out->len == out->cap)
			return err_set(err, "it is too long");
	}
}

static void put_aside(struct ledger *l, int64_t wall, struct err *err)
{
	char aside[PATH_MAX + 32];

	err_within(err, "%s", l->path);
	snprintf(aside, sizeof(aside), "%s.bad-%lld", l->path, (long long)(wall / 1000));
	if (rename(l->path, aside) == 0) {
		struct err why = *err;

		err_set(err,
			"%s. It was put aside as %s; the orders in it are not in force.",
			why.text, aside);
	}
}

bool ledger_load(struct ledger *l, int64_t wall, struct err *err)
{
	int fd = open(l->path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	bool good;

	if (fd < 0 && errno == ENOENT)
		return true;
	if (fd < 0)
		return err_set(err, "%s: %s", l->path, strerror(errno));
	buf_reset(&l->text);
	good = read_all(fd, &l->text, err) &&
	       ledger_parse(buf_span(&l->text), l->orders, wall, err);
	close(fd);
	buf_reset(&l->text);
	if (!good)
		put_aside(l, wall, err);
	return good;
}

static bool write_all(int fd, struct span s)
{
	while (s.n) {
		ssize_t n = write(fd, s.p, s.n);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return false;
		s = span_skip(s, (size_t)n);
	}
	return true;
}

static bool sync_directory(const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	bool good = fd >= 0 && fsync(fd) == 0;

	if (fd >= 0)
		close(fd);
	return good;
}

/* In a thread. */
static void write_file(void *arg)
{
	struct ledger *l = arg;
	int fd = open(l->fresh, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW,
		      0600);
	bool good = fd >= 0 && write_all(fd, buf_span(&l->text)) && fsync(fd) == 0;

	l->result = (struct err){ 0 };
	if (!good)
		err_set(&l->result, "%s: %s", l->fresh, strerror(errno));
	if (fd >= 0)
		close(fd);
	if (good && (rename(l->fresh, l->path) != 0 || !sync_directory(l->directory)))
		err_set(&l->result, "%s: %s", l->path, strerror(errno));
}

static void print_all(struct ledger *l)
{
	buf_reset(&l->text);
	ledger_print(l->orders, &l->text);
	l->under_way = l->wanted;
}

static void begin(struct ledger *l);

static void on_written(void *arg)
{
	struct ledger *l = arg;

	l->writing = false;
	l->failure = l->result;
	l->written = l->under_way;
	l->hook.on_saved(l->hook.arg, l->written, *l->failure.text ? &l->failure : NULL);
	if (l->wanted > l->written)
		begin(l);
	else if (*l->failure.text)
		timer_set(&l->again, loop_now(l->loop) + l->hook.again);
}

static void begin(struct ledger *l)
{
	print_all(l);
	l->writing = work_run(l->loop, write_file, on_written, l);
	if (!l->writing) {
		write_file(l);
		on_written(l);
	}
}

/* The disk may have room again, and nobody might give an order for weeks. */
static void on_again(void *arg)
{
	struct ledger *l = arg;

	if (!l->writing && *l->failure.text)
		begin(l);
}

uint64_t ledger_save(struct ledger *l)
{
	uint64_t serial = ++l->wanted;

	if (!l->writing)
		begin(l);
	return serial;
}

const char *ledger_trouble(const struct ledger *l)
{
	return l->failure.text;
}
