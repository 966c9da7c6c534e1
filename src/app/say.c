#include "app/life.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "base/fields.h"
#include "conf/conf.h"

struct buf *say_begin(struct supervisor *s)
{
	buf_init(&s->words, s->words_mem, sizeof(s->words_mem));
	return &s->words;
}

static void print(enum record kind, struct span fields)
{
	uint8_t mem[2 * LOG_RECORD_MAX];
	struct buf line;

	buf_init(&line, mem, sizeof(mem));
	buf_fmt(&line, "log=%s ", record_table[kind].word);
	fields_print_logfmt(fields, 0, &line);
	fprintf(stderr, "%.*s\n", SPAN_ARG(buf_span(&line)));
}

void say_end(struct supervisor *s, enum record kind)
{
	pulse_log(s->pulse, kind, loop_wall(s->loop), NULL, buf_span(&s->words));
	if (s->stage == STAGE_OVER && s->heard)
		print(kind, buf_span(&s->words));
}

void say(struct supervisor *s, enum record kind, const char *key, const char *text)
{
	struct buf *b = say_begin(s);

	field_text(b, "key", span_str(key));
	field_text(b, "what", span_str(text));
	say_end(s, kind);
}

void say_where(const struct supervisor *s)
{
	const struct settings *set = &s->conf->set;

	if (s->opt.resume >= 0 || !isatty(STDERR_FILENO))
		return;
	if (set->log_to == LOG_TO_FILE && *set->log_file)
		fprintf(stderr, "holdfast: serving; the log is in %s\n", set->log_file);
	else if (set->log_to == LOG_TO_FILE)
		fprintf(stderr, "holdfast: serving; the log is in %s/log/holdfast.log\n",
			set->dir);
	else if (set->log_to == LOG_TO_JOURNAL)
		fputs("holdfast: serving; the log is in the journal: journalctl -t "
		      "holdfast\n",
		      stderr);
}

void say_unheard(struct supervisor *s)
{
	struct pulse_reader *r;
	struct pulse_record record;
	struct err err;
	uint64_t lost;
	int fd = fcntl(s->pulse_fd, F_DUPFD_CLOEXEC, 0);

	if (s->heard || fd < 0 || !pulse_reader_open(&r, fd, &err))
		return;
	while (pulse_next(r, &record, &lost))
		if (record_table[record.kind].level <= LEVEL_WARN)
			print(record.kind, record.fields);
	pulse_reader_close(&r);
}
