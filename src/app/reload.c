#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "app/files.h"
#include "app/life.h"
#include "base/bug.h"
#include "base/fields.h"
#include "conf/settings.h"
#include "link/systemd.h"

/* Reading files is all it does; one that hangs is on a file system that does. */
#define LOAD_WITHIN ((ms_t)60000)

/* After an upgrade with a configuration that the new program refuses. */
#define LOAD_AGAIN ((ms_t)10000)

static void close_fds(int fds[LOADED_FDS])
{
	for (size_t i = 0; i < LOADED_FDS; i++) {
		if (fds[i] >= 0)
			close(fds[i]);
		fds[i] = -1;
	}
}

static bool at_start(const struct supervisor *s)
{
	return !s->conf && s->opt.resume < 0;
}

static void answer_refused(struct supervisor *s, const char *text)
{
	char answer[1024];

	snprintf(answer, sizeof(answer), "%s\nThe old configuration stays in force.%s",
		 text,
		 s->loading.problems > 1 ? " All problems: holdfast config check" : "");
	life_answer(s, &s->loading.asked, false, answer);
}

static void failed(struct supervisor *s, const char *text)
{
	struct loading *l = &s->loading;
	struct err err;

	if (at_start(s)) {
		err_set(&err, "%s", text);
		life_give_up(s, EXIT_CONFIG, &err);
		return;
	}
	say(s, LOG_RELOAD_FAILED, "reload", text);
	systemd_notify("READY=1\nSTATUS=Serving; the new configuration was refused");
	answer_refused(s, text);
	if (!s->conf)
		l->again = loop_now(s->loop) + LOAD_AGAIN;
}

void reload_start(struct supervisor *s, struct asked asked)
{
	struct loading *l = &s->loading;
	char name[] = "holdfast: loader", flag[] = "--role", role[] = "loader";
	char config[] = "--config", set[] = "--set";
	char *argv[8 + 2 * COUNT_OF(s->opt.sets)] = { name, flag, role, config,
						      (char *)(uintptr_t)s->opt.config };
	size_t n = 5;
	struct err err;

	if (l->loader || s->trial.child) {
		life_answer(s, &asked, false, "a reload or an upgrade is under way");
		return;
	}
	for (size_t i = 0; i < s->opt.set_count; i++) {
		argv[n++] = set;
		argv[n++] = (char *)(uintptr_t)s->opt.sets[i];
	}
	*l = (struct loading){ .asked = asked,
			       .fds = { -1, -1, -1, -1 },
			       .again = MS_NEVER };
	if (s->conf)
		systemd_reloading();
	if (!child_helper(s, &l->loader, ROLE_LOADER, argv, &err)) {
		failed(s, err.text);
		return;
	}
	l->loader->deadline = loop_now(s->loop) + LOAD_WITHIN;
}

static void on_problem(struct supervisor *s, const struct frame *f)
{
	struct loading *l = &s->loading;
	struct msg_PROBLEM m;
	char text[1025];

	if (!msg_PROBLEM_unpack(f->bytes, &m))
		return;
	snprintf(text, sizeof(text), "%.*s", SPAN_ARG(m.text));
	if (at_start(s))
		fprintf(stderr, "holdfast: %s%s\n", m.fatal ? "" : "note: ", text);
	else
		say(s, m.fatal ? LOG_RELOAD_FAILED : LOG_CONFIG_DOUBT, "config", text);
	if (m.fatal && l->problems++ == 0)
		err_set(&l->first, "%s", text);
	if (!m.fatal)
		l->doubts++;
}

static void say_lists(struct supervisor *s, const struct frame *f)
{
	struct msg_LOADED m;
	struct buf *b;

	if (!msg_LOADED_unpack(f->bytes, &m) || m.entries == 0)
		return;
	b = say_begin(s);
	field_text(b, "key", SPAN("access"));
	field_number(b, "files", m.lists);
	field_number(b, "entries", (int64_t)m.entries);
	field_number(b, "bytes", (int64_t)m.bytes);
	field_number(b, "ms", m.took);
	say_end(s, LOG_LISTS);
}

void reload_message(struct supervisor *s, struct frame *f)
{
	struct loading *l = &s->loading;

	if (f->kind == MSG_PROBLEM)
		on_problem(s, f);
	if (f->kind != MSG_LOADED || l->loaded)
		return;
	l->loaded = true;
	say_lists(s, f);
	for (size_t i = 0; i < LOADED_FDS; i++) {
		l->fds[i] = f->fds[i];
		f->fds[i] = -1;
	}
}

/* ---- the new configuration comes into force ------------------------------------------ */

/* What only a restart applies keeps its old value; whoever changed it is told. */
static bool keep_old_values(struct supervisor *s, struct conf *new)
{
	struct loading *l = &s->loading;
	uint8_t mem[TEXT_MAX];
	char text[320];
	struct buf value;
	struct err err;

	l->kept = 0;

	for (size_t i = 0; i < SETTINGS_COUNT; i++) {
		const struct setting_row *row = &setting_table[i];

		if (row->applies != APPLIES_RESTART ||
		    setting_eq(&s->conf->set, &new->set, row))
			continue;
		buf_init(&value, mem, sizeof(mem));
		setting_print(&s->conf->set, row, &value);
		BUG_IF(!setting_put(&new->set, row, buf_span(&value), &err));
		snprintf(text, sizeof(text), "%s has changed, which needs a restart",
			 row->key);
		say(s, LOG_CONFIG_DOUBT, row->key, text);
		if (l->kept++ == 0)
			l->kept_first = row->key;
	}
	return l->kept > 0;
}

/* A sealed copy of the configuration in place of the loader's. */
static bool replace_fd(struct loading *l, const struct conf *conf, struct err *err)
{
	int fd = file_seal("holdfast-conf", span_of(conf, sizeof(*conf)), err);

	if (fd < 0)
		return false;
	close(l->fds[0]);
	l->fds[0] = fd;
	return true;
}

static const struct conf *map_loaded(struct loading *l, struct err *err)
{
	int again = fcntl(l->fds[0], F_DUPFD_CLOEXEC, 0);

	if (again >= 0)
		return start_map_conf(again, err);
	err_set(err, "configuration: no descriptor left");
	return NULL;
}

/* The configuration to apply: the new one, as far as a reload can. */
static const struct conf *reconcile(struct supervisor *s, const struct conf *new,
				    struct err *err)
{
	struct conf *copy = malloc(sizeof(*copy));

	if (!copy) {
		start_unmap_conf(&new);
		err_set(err, "out of memory");
		return NULL;
	}
	*copy = *new;
	if (!keep_old_values(s, copy)) {
		free(copy);
		return new;
	}
	start_unmap_conf(&new);
	if (replace_fd(&s->loading, copy, err))
		new = map_loaded(&s->loading, err);
	free(copy);
	return new;
}

/* Ports that are no longer wanted: edges stop accepting, then the last one closes. */
static void close_unwanted(struct supervisor *s, const struct ports *old)
{
	for (size_t i = 0; i < old->count; i++) {
		const struct port *p = &old->port[i];

		if (ports_find(&s->ports, p->id))
			continue;
		for (struct child *c = s->children; c < s->children + CHILDREN_MAX; c++)
			tell_unlisten(c, p);
		port_close(p);
	}
}

static void open_wanted(struct supervisor *s, const struct ports *old)
{
	for (size_t i = 0; i < s->ports.count; i++) {
		const struct port *p = &s->ports.port[i];

		if (ports_find(old, p->id))
			continue;
		for (struct child *c = s->children; c < s->children + CHILDREN_MAX; c++)
			if (c->role == ROLE_EDGE)
				tell_port(c, p);
	}
}

static void keep(struct supervisor *s, const struct conf *conf)
{
	start_unmap_conf(&s->conf);
	s->conf = conf;
	close_fds(s->conf_fds);
	for (size_t i = 0; i < LOADED_FDS; i++) {
		s->conf_fds[i] = s->loading.fds[i];
		s->loading.fds[i] = -1;
	}
	s->generation++;
}

static void answer_applied(struct supervisor *s)
{
	const struct loading *l = &s->loading;
	char text[320];

	if (l->kept == 0)
		snprintf(text, sizeof(text), "the new configuration is in force");
	else if (l->kept == 1)
		snprintf(text, sizeof(text),
			 "the new configuration is in force, but for %s, which needs a "
			 "restart",
			 l->kept_first);
	else
		snprintf(text, sizeof(text),
			 "the new configuration is in force, but for %s and %u more, which "
			 "need a restart: log=config-doubt names them",
			 l->kept_first, l->kept - 1);
	life_answer(s, &s->loading.asked, true, text);
}

static void applied(struct supervisor *s)
{
	struct buf *b = say_begin(s);

	field_number(b, "generation", (int64_t)s->generation);
	field_text(b, "config", span_str(s->opt.config));
	field_number(b, "doubts", s->loading.doubts);
	say_end(s, LOG_RELOADED);
	systemd_notify("READY=1\nSTATUS=Serving");
	answer_applied(s);
}

static void apply(struct supervisor *s, const struct conf *conf)
{
	struct ports old = s->ports, now;
	struct err err;

	conf = reconcile(s, conf, &err);
	if (!conf || !ports_open(&now, &old, NULL, conf, 0, &err)) {
		start_unmap_conf(&conf);
		failed(s, err.text);
		return;
	}
	s->ports = now;
	keep(s, conf);
	for (struct child *c = s->children; c < s->children + CHILDREN_MAX; c++)
		tell_conf(c);
	life_want_fetch(s);
	open_wanted(s, &old);
	close_unwanted(s, &old);
	applied(s);
}

static void begin(struct supervisor *s, const struct conf *conf)
{
	struct ports old = s->ports;
	bool starting = at_start(s);
	struct err err;

	keep(s, conf);
	if (life_begin(s, &err)) {
		if (!starting)
			close_unwanted(s, &old);
		return;
	}
	if (starting) {
		life_give_up(s, 1, &err);
		return;
	}
	start_unmap_conf(&s->conf);
	failed(s, err.text);
}

static void say_not_loaded(struct supervisor *s, const char *how)
{
	struct loading *l = &s->loading;
	char text[600];

	if (l->problems)
		snprintf(text, sizeof(text), "%s: %u problem%s; the first is: %s",
			 s->opt.config, l->problems, l->problems == 1 ? "" : "s",
			 l->first.text);
	else
		snprintf(text, sizeof(text), "%s: the loader ended with %s",
			 s->opt.config, how);
	if (at_start(s) && l->problems)
		snprintf(text, sizeof(text), "%s: %u problem%s, nothing was started%s",
			 s->opt.config, l->problems, l->problems == 1 ? "" : "s",
			 access(s->opt.config, F_OK) == 0
				 ? ""
				 : ". Write it (man 5 holdfast.conf), name another with "
				   "--config, or look around with: holdfast demo");
	failed(s, text);
}

void reload_ended(struct supervisor *s, const char *how)
{
	struct loading *l = &s->loading;
	const struct conf *conf;
	struct err err;

	l->loader = NULL;
	if (s->stage >= STAGE_STOPPING_EDGES) {
		close_fds(l->fds);
		return;
	}
	if (!l->loaded || l->problems) {
		say_not_loaded(s, how);
		close_fds(l->fds);
		return;
	}
	conf = map_loaded(l, &err);
	if (!conf)
		failed(s, err.text);
	else if (s->conf)
		apply(s, conf);
	else
		begin(s, conf);
	close_fds(l->fds);
}
