/*
 * fetch_once - questions as the fetch role answers them, without a server around it
 *
 * usage: fetch_once CONFIG HOSTS [sts DOMAIN | keys NUMBER | introspect NUMBER USER SECRET TOKEN]...
 *
 * For tests with real web servers. HOSTS is a file such as /etc/hosts. All questions are
 * asked at once; each answer is a line, in the order in which they come: the number of the
 * question from 1, yes or no, for how long it may be kept, and the body or the reason, all
 * separated by tabs. SIGALRM ends it if no other answer comes.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "app/loader.h"
#include "base/list.h"
#include "base/number.h"
#include "fetch/jobs.h"
#include "fetch/web.h"

#define PATIENCE 90

struct asked {
	struct loop *loop;
	struct jobs *jobs;
	const struct conf *conf;
	unsigned open;
};

static void die(const char *what)
{
	fprintf(stderr, "fetch_once: %s\n", what);
	exit(2);
}

static void on_problem(void *arg, bool fatal, const char *text)
{
	(void)arg;
	fprintf(stderr, "%s%s\n", fatal ? "" : "note: ", text);
}

static void on_answer(void *arg, enum role role, unsigned number,
		      const struct msg_FETCHED *m)
{
	struct asked *a = arg;

	(void)role;
	(void)number;
	alarm(PATIENCE);
	printf("%d\t%s\t%u\t%.*s\n", (int)m->ask, m->ok ? "yes" : "no", m->keep,
	       SPAN_ARG(m->body));
	if (--a->open == 0)
		loop_stop(a->loop);
}

static void on_failed(void *arg, const char *what, const char *why)
{
	(void)arg;
	fprintf(stderr, "failed: %s: %s\n", what, why);
}

static struct span name_of(const char *text)
{
	if (!text)
		die("a name is missing");
	return span_str(text);
}

/* The arguments of one question, and how many they were. */
static int ask(struct asked *a, uint64_t number, char **argv)
{
	static uint8_t mem[FETCH_TEXT_MAX];
	struct msg_FETCH m = { .ask = number };
	enum role role = ROLE_AUTH;
	struct buf text;
	int used = 2;

	buf_init(&text, mem, sizeof(mem));
	if (strcmp(argv[0], "sts") == 0 && argv[1]) {
		m.what = FETCH_STS;
		m.name = span_str(argv[1]);
		role = ROLE_EDGE;
	} else if (strcmp(argv[0], "keys") == 0) {
		m.what = FETCH_KEYS;
		m.name = name_of(argv[1]);
	} else if (strcmp(argv[0], "introspect") == 0) {
		m.what = FETCH_INTROSPECT;
		m.name = name_of(argv[1]);
		for (; used < 5 && argv[used]; used++)
			list_put(&text, span_str(argv[used]));
		m.text = buf_span(&text);
	} else {
		die("there is no such question");
	}
	jobs_ask(a->jobs, a->conf, role, 0, &m);
	return used;
}

int main(int argc, char **argv)
{
	struct loader_request request = { .conf_only = true, .on_problem = on_problem };
	struct asked a = { 0 };
	struct jobs_setup setup = {
		.key = { 1, 2 }, .on_answer = on_answer, .on_failed = on_failed, .arg = &a
	};
	struct dns_setup dns = { 0 };
	struct loaded *l;
	struct err err;

	if (argc < 4)
		die("CONFIG HOSTS QUESTION...");
	request.path = argv[1];
	dns.hosts = argv[2];
	if (!loader_load(&request, &l))
		die("a configuration that cannot be used");
	a.conf = &l->conf;
	if (!loop_open(&a.loop, &err) || !dns_open(&setup.dns, a.loop, &dns, &err) ||
	    !web_open(&setup.web, a.loop, l->conf.set.fetch_ca_file, &err))
		die(err.text);
	setup.loop = a.loop;
	if (!jobs_open(&a.jobs, &setup))
		die("out of memory");
	a.open = 1; /* until all are asked: some are answered at once */
	for (int i = 3, n = 1; i < argc; n++) {
		a.open++;
		i += ask(&a, (uint64_t)n, argv + i);
	}
	alarm(PATIENCE);
	if (--a.open > 0)
		loop_run(a.loop);
	jobs_close(&a.jobs);
	web_close(&setup.web);
	dns_close(&setup.dns);
	loop_close(&a.loop);
	loader_close(&l);
	return 0;
}
