/*
 * send_once - deliveries as an edge makes them, without a server around it
 *
 * usage: send_once hop=mx target=example.org rcpt=bob@example.org [NAME=VALUE...] <MESSAGE
 *
 * For tests with real servers. Prints what DELIVERED says, one line per message:
 * host, tls and dsn, then the answers, all separated by tabs.
 *
 *   hop         mx, smtp or lmtp            tls      none, may, must, verify, dane
 *   target      a domain, or host:port      login    USER:SECRET
 *   rcpt        any number of them          from     the sender
 *   helo        our name                    times    how often, one after the other
 *   dns         name servers                reuse    how long to keep a connection, in ms
 *   source      where from                  flags    MAIL_ bits, as a number
 *   chunking    yes or no: is BDAT used?
 *   authorities a file                      prefix   put before the message, without CRLF
 *   policy      a file: what the fetch role would get for MTA-STS
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/list.h"
#include "base/number.h"
#include "edge/delivery.h"
#include "edge/fetch_link.h"

#define MESSAGE_MAX 60000

struct sender {
	struct loop *loop;
	struct deliveries *all;
	struct pulse *pulse;
	struct conf conf;
	struct link *edge, *store, *fetcher; /* fetcher: the other end of fetch */
	struct fetch_link fetch;
	struct watch fetch_watch;
	struct msg_DELIVER m;
	struct span login;
	const char *policy, *name_servers;
	uint64_t times;
	struct buf rcpts;
	size_t body_n;
	uint8_t rcpt_mem[10000], prefix_mem[PREFIX_MAX], body[MESSAGE_MAX];
};

static void die(const char *what)
{
	fprintf(stderr, "send_once: %s\n", what);
	exit(2);
}

/* ---- what a role would do --------------------------------------------------------------- */

static void on_sent(void *arg)
{
	(void)arg;
}

static void on_ended(void *arg)
{
	struct sender *s = arg;

	if (deliveries_count(s->all) == 0)
		loop_stop(s->loop);
}

static bool on_ask(void *arg, uint64_t ask, struct span name)
{
	struct sender *s = arg;
	struct span secret = s->login, user = span_cut(&secret, ':');

	(void)name;
	deliveries_credential(s->all, ask, user.n > 0, user, secret);
	return true;
}

static void on_trouble(void *arg, const char *key, const char *text)
{
	(void)arg;
	fprintf(stderr, "%s: %s\n", key, text);
}

/* We are the fetch role, too. */
static void on_fetch(void *arg, unsigned ready)
{
	static uint8_t text[FETCH_BODY_MAX];
	struct sender *s = arg;
	struct msg_FETCHED answer = { .keep = 1000 };
	struct msg_FETCH m;
	struct frame f;
	struct err err;
	FILE *file;

	(void)ready;
	while (link_recv(s->fetcher, &f, &err) == LINK_GOT) {
		if (!msg_FETCH_unpack(f.bytes, &m))
			die("a bad question for the fetch role");
		file = fopen(s->policy, "r");
		answer.ask = m.ask;
		answer.ok = file != NULL;
		answer.body = span_of(text, file ? fread(text, 1, sizeof(text), file) : 0);
		if (file)
			fclose(file);
		msg_FETCHED_pack(&answer, link_begin(s->fetcher));
		(void)link_send(s->fetcher, NULL, 0);
	}
}

static void open_link(struct link **a, enum role role_a, struct link **b, enum role role_b)
{
	struct err err;
	int fds[2];

	if (!link_pair(fds, &err) || !link_open(a, fds[0], role_a, role_b, 0, &err) ||
	    !link_open(b, fds[1], role_b, role_a, 0, &err))
		die(err.text);
}

static void open_all(struct sender *s)
{
	struct deliveries_setup setup = { .on_sent = on_sent,
					  .on_ended = on_ended,
					  .on_trouble = on_trouble,
					  .ask_credential = on_ask,
					  .conf = &s->conf,
					  .arg = s,
					  .fetch = &s->fetch,
					  .name_servers = s->name_servers };
	struct link *ours;
	struct err err;

	if (!loop_open(&s->loop, &err) || !pulse_private(&s->pulse, &err))
		die(err.text);
	fetch_link_init(&s->fetch, s->loop);
	if (s->policy) {
		open_link(&ours, ROLE_EDGE, &s->fetcher, ROLE_FETCH);
		fetch_link_set(&s->fetch, ours);
		if (!watch_start(s->loop, &s->fetch_watch, link_fd(s->fetcher),
				 WATCH_READ, on_fetch, s))
			die("the fetch link cannot be watched");
	}
	setup.loop = s->loop;
	setup.pulse = s->pulse;
	open_link(&s->edge, ROLE_EDGE, &s->store, ROLE_STORE);
	if (!deliveries_open(&s->all, &setup, &err))
		die(err.text);
	deliveries_link(s->all, s->edge);
}

/* ---- the command line --------------------------------------------------------------------- */

static unsigned word(struct span value, const char *const *words, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (words[i] && span_eq(value, span_str(words[i])))
			return (unsigned)i;
	die("an unknown word");
	return 0;
}

static uint64_t number(struct span value)
{
	uint64_t n = 0;

	if (!number_parse(value, UINT32_MAX, &n))
		die("not a number");
	return n;
}

static void put_text(char to[TEXT_MAX], struct span value)
{
	memcpy(to, value.p, span_head(value, TEXT_MAX - 1).n);
}

static void take(struct sender *s, const char *arg)
{
	static const char *const hops[] = {
		[HOP_LMTP] = "lmtp", [HOP_SMTP] = "smtp", [HOP_MX] = "mx"
	};
	static const char *const tls[] = { "none", "may", "must", "verify", "dane" };
	struct span value = span_str(arg), name = span_cut(&value, '=');
	struct buf prefix;

	if (span_eq(name, SPAN("hop")))
		s->m.hop = (uint8_t)word(value, hops, COUNT_OF(hops));
	else if (span_eq(name, SPAN("tls")))
		s->m.tls = (uint8_t)word(value, tls, COUNT_OF(tls));
	else if (span_eq(name, SPAN("target")))
		s->m.target = value;
	else if (span_eq(name, SPAN("rcpt")))
		list_put(&s->rcpts, value);
	else if (span_eq(name, SPAN("from")))
		s->m.sender = value;
	else if (span_eq(name, SPAN("helo")))
		s->m.helo = value;
	else if (span_eq(name, SPAN("times")))
		s->times = number(value);
	else if (span_eq(name, SPAN("flags")))
		s->m.flags = (uint32_t)number(value);
	else if (span_eq(name, SPAN("chunking")))
		s->conf.set.hop_chunking = span_eq(value, SPAN("yes"));
	else if (span_eq(name, SPAN("reuse")))
		s->conf.set.reuse = (ms_t)number(value);
	else if (span_eq(name, SPAN("source")))
		put_text(s->conf.set.source, value);
	else if (span_eq(name, SPAN("authorities")))
		put_text(s->conf.set.authorities, value);
	else if (span_eq(name, SPAN("dns")))
		s->name_servers = arg + 4;
	else if (span_eq(name, SPAN("policy")))
		s->policy = arg + 7;
	else if (span_eq(name, SPAN("login")))
		s->login = value;
	else if (span_eq(name, SPAN("prefix"))) {
		buf_init(&prefix, s->prefix_mem, sizeof(s->prefix_mem));
		buf_put(&prefix, value);
		buf_put(&prefix, SPAN("\r\n"));
		s->m.prefix = buf_span(&prefix);
	} else {
		die(arg);
	}
}

/* ---- one message after the other ----------------------------------------------------------- */

static void print_result(struct sender *s)
{
	struct msg_DELIVERED m;
	struct span answer;
	struct frame f;
	struct err err;

	if (link_recv(s->store, &f, &err) != LINK_GOT ||
	    !msg_DELIVERED_unpack(f.bytes, &m))
		die("no answer");
	printf("%.*s\t%.*s\t%d", SPAN_ARG(m.host), SPAN_ARG(m.tls), m.dsn);
	while (list_next(&m.answers, &answer))
		printf("\t%.*s", SPAN_ARG(answer));
	printf("\n");
	fflush(stdout);
}

static void send_one(struct sender *s)
{
	struct frame f;
	struct err err;

	s->m.job++;
	msg_DELIVER_pack(&s->m, link_begin(s->store));
	if (!link_send(s->store, NULL, 0) || link_recv(s->edge, &f, &err) != LINK_GOT ||
	    !deliveries_take(s->all, &f))
		die("not a good delivery");
	if (deliveries_count(s->all))
		loop_run(s->loop);
	print_result(s);
}

int main(int argc, char **argv)
{
	struct sender *s = calloc(1, sizeof(*s));

	if (!s)
		die("out of memory");
	buf_init(&s->rcpts, s->rcpt_mem, sizeof(s->rcpt_mem));
	s->times = 1;
	s->m.helo = SPAN("us.test");
	s->m.sender = SPAN("alice@us.test");
	s->conf.set.connect_timeout = 20 * MS_SECOND;
	s->conf.set.reply_timeout = 20 * MS_SECOND;
	s->conf.set.deliveries = 10;
	s->conf.set.dane = s->conf.set.mta_sts = s->conf.set.hop_chunking = true;
	for (int i = 1; i < argc; i++)
		take(s, argv[i]);
	s->body_n = fread(s->body, 1, sizeof(s->body), stdin);
	s->m.body = span_of(s->body, s->body_n);
	s->m.size = s->body_n;
	s->m.rcpts = buf_span(&s->rcpts);
	if (s->login.n)
		s->m.credential = SPAN("relay");
	open_all(s);
	while (s->times--)
		send_one(s);
	deliveries_close(&s->all);
	fetch_link_set(&s->fetch, NULL);
	if (s->fetcher)
		watch_stop(&s->fetch_watch);
	link_close(&s->fetcher);
	link_close(&s->edge);
	link_close(&s->store);
	loop_close(&s->loop);
	pulse_close(&s->pulse);
	free(s);
	return 0;
}
