#include "watch/log.h"

#include <limits.h>
#include <stdlib.h>
#include <sys/random.h>

#include "base/fields.h"
#include "watch/budget.h"
#include "watch/deed.h"
#include "watch/fold.h"
#include "watch/sink.h"

#define LOG_ROW	      (LOG_RECORD_MAX + 512)
#define TELL_EVERY    MS_MINUTE /* between two lines about what could not be written */
#define FINISH_WITHIN MS_SECOND

struct log {
	struct loop *loop;
	const struct conf *conf;
	struct keep *keep;
	struct sink *sink;
	struct timer tick;
	struct budget budget;
	struct fold fold;
	struct fold_sum sums[FOLD_SUMS];
	uint64_t written, unwritten;
	uint64_t over_budget; /* not told yet */
	uint64_t overwritten; /* likewise */
	ms_t told;	      /* when over_budget was told last */
	uint8_t row_mem[LOG_ROW];
	uint8_t line_mem[SINK_LINE];
};

/* Can somebody outside make us write as many of these as they like? */
static bool is_peers_doing(enum record kind)
{
	return record_table[kind].folds == FOLDS_ADDRESS || kind == LOG_DELIVERED ||
	       kind == LOG_DEFERRED || kind == LOG_DEAD;
}

static const char *const level_word[] = {
	[LEVEL_ERROR] = "error",
	[LEVEL_WARN] = "warn",
	[LEVEL_NOTICE] = "notice",
	[LEVEL_INFO] = "info",
};

/* Names that only we may write: a role that was broken into may send what it likes. */
static bool is_ours(struct span name)
{
	return span_eq(name, SPAN("time")) || span_eq(name, SPAN("level")) ||
	       span_eq(name, SPAN("log")) || span_eq(name, SPAN("role")) ||
	       span_eq(name, SPAN("from"));
}

static void put_fields(struct buf *row, struct span fields)
{
	struct span before = fields;
	struct field f;

	while (field_next(&fields, &f)) {
		if (!is_ours(f.name))
			buf_put(row, span_head(before, before.n - fields.n));
		before = fields;
	}
}

struct line {
	enum record kind;
	enum log_level level;
	enum budget_rank rank;
	int64_t wall;
	enum role role;
	unsigned number;
	const struct addr *from; /* NULL: nobody */
	struct span fields;
	const struct pulse_deed *deed; /* instead of fields; NULL */
};

static void put_role(struct buf *row, const struct line *line)
{
	uint8_t mem[32];
	struct buf word;

	buf_init(&word, mem, sizeof(mem));
	buf_put(&word, span_str(role_word[line->role]));
	if (line->role == ROLE_EDGE)
		buf_fmt(&word, ".%u", line->number);
	field_text(row, "role", buf_span(&word));
}

static void put_address(struct buf *row, const struct addr *from)
{
	uint8_t mem[64];
	struct buf text;

	buf_init(&text, mem, sizeof(mem));
	addr_print(from, &text);
	field_text(row, "from", buf_span(&text));
}

static struct span print(struct log *l, const struct line *line)
{
	/* what an edge says may be a peer's; what others say, a person must be able to read */
	size_t most = line->role == ROLE_EDGE ? LOG_TEXT_MAX : LOG_OWN_TEXT_MAX;
	struct buf row, out;

	buf_init(&row, l->row_mem, sizeof(l->row_mem));
	buf_init(&out, l->line_mem, sizeof(l->line_mem));
	field_time(&row, "time", line->wall);
	field_text(&row, "level", span_str(level_word[line->level]));
	field_text(&row, "log", span_str(record_table[line->kind].word));
	put_role(&row, line);
	if (line->from)
		put_address(&row, line->from);
	if (line->deed)
		deed_fields(line->deed, l->conf, &row);
	else
		put_fields(&row, line->fields);
	if (l->conf->set.log_format == LOG_JSON)
		fields_print_json(buf_span(&row), most, &out);
	else
		fields_print_logfmt(buf_span(&row), most, &out);
	return buf_span(&out);
}

static void remember_budget(struct log *l)
{
	l->keep->budget_left = budget_left(&l->budget);
	l->keep->budget_wall = loop_wall(l->loop);
}

static bool write_line(struct log *l, const struct line *line)
{
	struct span text = print(l, line);

	if (!budget_take(&l->budget, line->rank, text.n + 1, loop_now(l->loop)))
		return false;
	remember_budget(l);
	sink_put(l->sink, line->level, text);
	return true;
}

/* A line of watch itself about `count` records that were only counted. */
static bool tell(struct log *l, enum record kind, enum budget_rank rank, uint64_t count,
		 const char *why)
{
	uint8_t mem[160];
	struct buf fields;

	buf_init(&fields, mem, sizeof(mem));
	field_number(&fields, "count", (int64_t)count);
	field_text(&fields, "why", span_str(why));
	l->keep->past.records[kind]++;
	return write_line(l, &(struct line){ .kind = kind,
					     .level = record_table[kind].level,
					     .rank = rank,
					     .wall = loop_wall(l->loop),
					     .role = ROLE_WATCH,
					     .fields = buf_span(&fields) });
}

/* Say at once that the budget is used up, then once a minute how much it kept out. */
static void tell_budget(struct log *l)
{
	ms_t now = loop_now(l->loop);

	if (l->over_budget == 0 || (l->told && now - l->told < TELL_EVERY))
		return;
	l->told = now;
	if (tell(l, LOG_BUDGET, BUDGET_LAST, l->over_budget, "log.budget is used up"))
		l->over_budget = 0;
}

static void only_counted(struct log *l, uint64_t count)
{
	l->unwritten += count;
	l->over_budget += count;
	tell_budget(l);
}

static void tell_lost(struct log *l)
{
	uint64_t lost = sink_lost(l->sink);

	l->unwritten += lost;
	l->written -= lost < l->written ? lost : l->written;
	if (lost && !tell(l, LOG_LOST, BUDGET_OURS, lost, "the log could not be written"))
		l->over_budget += lost;
	if (l->overwritten && !tell(l, LOG_LOST, BUDGET_OURS, l->overwritten,
				    "overwritten before they could be read"))
		l->over_budget += l->overwritten;
	l->overwritten = 0;
}

static void write_sum(struct log *l, const struct fold_sum *sum)
{
	uint8_t mem[512];
	struct buf fields;
	struct addr from;
	bool is_address = record_table[sum->kind].folds == FOLDS_ADDRESS &&
			  sum->source.n == sizeof(from.ip);

	buf_init(&fields, mem, sizeof(mem));
	field_text(&fields, "of", span_str(record_table[sum->kind].word));
	if (is_address)
		memcpy(from.ip, sum->source.p, sizeof(from.ip));
	else if (sum->source.n)
		field_text(&fields, "key", sum->source);
	else
		field_number(&fields, "sources", (int64_t)sum->sources);
	field_number(&fields, "count", (int64_t)sum->count);
	field_time(&fields, "first", sum->first);
	field_time(&fields, "last", sum->last);
	l->keep->past.records[LOG_FOLDED]++;
	if (!write_line(l, &(struct line){ .kind = LOG_FOLDED,
					   .level = record_table[sum->kind].level,
					   .rank = BUDGET_OURS,
					   .wall = loop_wall(l->loop),
					   .role = ROLE_WATCH,
					   .from = is_address ? &from : NULL,
					   .fields = buf_span(&fields) }))
		l->over_budget += sum->count;
}

static void sum_up(struct log *l)
{
	size_t n = fold_end(&l->fold, l->sums);

	for (size_t i = 0; i < n; i++)
		write_sum(l, &l->sums[i]);
	tell_lost(l);
	tell_budget(l);
}

static void on_tick(void *arg)
{
	struct log *l = arg;

	sum_up(l);
	timer_set(&l->tick, loop_now(l->loop) + l->conf->set.log_interval);
}

/* Who this record folds with; an empty source is one, too. */
static struct span source_of(const struct line *line)
{
	struct field key;

	if (record_table[line->kind].folds == FOLDS_ADDRESS)
		return line->from ? span_of(line->from->ip, sizeof(line->from->ip))
				  : SPAN_NONE;
	if (field_find(line->fields, "key", &key) && key.kind == FIELD_TEXT)
		return key.text;
	return SPAN_NONE;
}

/* One line for each failed login: auth has written it, with the user and the reason. */
static bool is_told_by_auth(enum event e)
{
	return e == EV_AUTH_FAILED || e == EV_AUTH_REPEATED || e == EV_AUTH_UNKNOWN ||
	       e == EV_AUTH_TRAPPED || e == EV_LOGIN_OVER;
}

/*
 * What a rule refused, and was no offence, has a line of its own: log=rejected, or, if it
 * was at connect and so in no session, log=refused or would-refuse.
 */
static bool has_line(const struct pulse_deed *d)
{
	return d->session != 0 && !is_told_by_auth(d->event) &&
	       (d->event != EV_NONE || d->observed);
}

static void take(struct log *l, const struct line *line)
{
	const struct settings *set = &l->conf->set;

	if ((int)line->level > set->log_level || (line->deed && !has_line(line->deed))) {
		l->unwritten++;
		return;
	}
	if (record_table[line->kind].folds != FOLDS_NEVER &&
	    fold_see(&l->fold, line->kind, source_of(line), line->wall,
		     (uint64_t)set->log_full) == FOLD_COUNT) {
		l->unwritten++;
		return;
	}
	/* looked at only now: most records are folded, whatever is in them */
	if (!line->deed && !fields_ok(line->fields))
		l->unwritten++;
	else if (write_line(l, line))
		l->written++;
	else
		only_counted(l, 1);
}

/* A deed that is no offence, and that a rule would have refused, is told as just that. */
static enum record kind_of(enum record kind, const struct pulse_deed *deed)
{
	return deed && deed->event == EV_NONE && deed->observed ? LOG_WOULD_REFUSE : kind;
}

void log_record(struct log *l, enum role role, unsigned number,
		const struct pulse_record *r)
{
	struct pulse_deed deed;
	bool is_deed = r->kind == LOG_OFFENCE && pulse_deed_read(r->fields, &deed);
	enum record kind = kind_of(r->kind, is_deed ? &deed : NULL);

	take(l, &(struct line){ .kind = kind,
				.level = record_table[kind].level,
				.rank = is_peers_doing(kind) ? BUDGET_PEER : BUDGET_OURS,
				.wall = r->wall,
				.role = role,
				.number = number,
				.from = r->has_from ? &r->from : NULL,
				.fields = is_deed ? SPAN_NONE : r->fields,
				.deed = is_deed ? &deed : NULL });
}

void log_overwritten(struct log *l, uint64_t count)
{
	l->unwritten += count;
	l->overwritten += count;
}

void log_about(struct log *l, enum record kind, const struct addr *from,
	       struct span fields)
{
	l->keep->past.records[kind]++;
	take(l, &(struct line){ .kind = kind,
				.level = record_table[kind].level,
				.rank = from && is_peers_doing(kind) ? BUDGET_PEER
								     : BUDGET_OURS,
				.wall = loop_wall(l->loop),
				.role = ROLE_WATCH,
				.from = from,
				.fields = fields });
}

void log_own(struct log *l, enum record kind, struct span fields)
{
	log_about(l, kind, NULL, fields);
}

static void direct(struct log *l)
{
	const struct settings *set = &l->conf->set;
	char path[PATH_MAX];
	struct buf name;

	buf_init(&name, path, sizeof(path) - 1);
	if (*set->log_file)
		buf_put(&name, span_str(set->log_file));
	else
		buf_fmt(&name, "%s/log/holdfast.log", set->dir);
	path[name.len] = '\0';
	sink_to(l->sink,
		set->log_to == LOG_TO_FILE	? SINK_FILE
		: set->log_to == LOG_TO_JOURNAL ? SINK_JOURNAL
						: SINK_STDERR,
		path);
}

bool log_open(struct log **out, struct loop *loop, const struct conf *conf,
	      struct keep *keep, struct err *err)
{
	struct log *l = calloc(1, sizeof(*l));
	uint64_t seed = 0;

	if (!l)
		return err_set(err, "log: out of memory");
	if (!sink_open(&l->sink, loop, err)) {
		free(l);
		return false;
	}
	l->loop = loop;
	l->conf = conf;
	l->keep = keep;
	/* Without a seed entries can be aimed at: text would be lost sooner, never counts. */
	if (getrandom(&seed, sizeof(seed), 0) < 0)
		seed = (uint64_t)loop_wall(loop);
	fold_init(&l->fold, seed);
	budget_init(&l->budget, conf->set.log_budget, loop_now(loop));
	if (keep->budget_wall)
		budget_resume(&l->budget, keep->budget_left,
			      loop_wall(loop) - keep->budget_wall);
	timer_init(&l->tick, loop, on_tick, l);
	timer_set(&l->tick, loop_now(loop) + conf->set.log_interval);
	direct(l);
	*out = l;
	return true;
}

void log_conf(struct log *l, const struct conf *conf)
{
	l->conf = conf;
	budget_change(&l->budget, conf->set.log_budget, loop_now(l->loop));
	timer_set(&l->tick, loop_now(l->loop) + conf->set.log_interval);
	direct(l);
}

const char *log_trouble(const struct log *l)
{
	return sink_trouble(l->sink);
}

int64_t log_budget_left(const struct log *l)
{
	return budget_left(&l->budget);
}

uint64_t log_written(const struct log *l)
{
	return l->written;
}

uint64_t log_unwritten(const struct log *l)
{
	return l->unwritten;
}

bool log_finish(struct log *l)
{
	l->told = 0; /* there is no next minute */
	sum_up(l);
	timer_stop(&l->tick);
	return sink_finish(l->sink, FINISH_WITHIN);
}

void log_close(struct log **log)
{
	struct log *l = *log;

	*log = NULL;
	if (!l)
		return;
	sink_close(&l->sink);
	free(l);
}
