/*
 * wire_run - run conversations written down in .wire scripts
 *
 *     set smtp.greet-delay 6s        a setting, before the first peer
 *     listen starttls | none | implicit       likewise; proxy, auth, submission, imap, pop3
 *                                    or local LOGIN may follow
 *     trust proxy 192.0.2.0/24       likewise; or: trust xclient ...
 *     certificate no                 likewise
 *     whole                          what arrives together matters: do not chop it up
 *     peer a 192.0.2.7               somebody connects
 *     a > EHLO there.example         sends a line
 *     a >> one\r\ntwo\x00            sends bytes
 *     repeat 500 a > RCPT TO:<u%d@any.example>      so many times; %d counts
 *     a < 250 *                      a reply comes, whose last line is this
 *     a < 250-SIZE *                 the next reply has this line; it stays the next
 *     repeat 500 a < %d *
 *     a silent                       nothing comes
 *     a closed                       we hang up;  a closed WORD: for that reason
 *     a hangs up | a breaks          it closes, or the connection is reset
 *     a deaf | a listens             it stops reading, and starts again
 *     a tls | a fails tls            the handshake that we ordered is done, or failed
 *     a is 192.0.2.9                 whom we take it for
 *     clock +6s                      time goes by
 *     stop                           we are stopping;  stop now: all are cut off in a moment
 *     storage full | storage fine
 *     store verdict yes|no|full|unknown|foreign|nothing     what is answered from now on,
 *     store says ok|no-room|failed|taken|nothing            also to open questions
 *     store room yes|no|nothing
 *     store may-send yes|no|unknown|nothing
 *     stored 2                       so many messages were stored
 *     stored from a@b                of the last one
 *     stored to alice@here.example bob@here.example
 *     stored has TEXT | stored lacks TEXT      in its body; with escapes
 *     stored ends TEXT               it ends with this
 *     a passed                       it has waited for our greeting
 *     a refused by RULE              the guard did, at last
 *     a would be refused by RULE     likewise, but it only observes
 *     stored flags 0x11              MAIL_ bits of the last one, in hexadecimal
 *     guard ... | facts ... | access ...     see wire_guard.h
 *     a relays               it talks with its mailbox server now;  a relays TEXT: and
 *                                    this is what that gets first
 *     auth ... | relay ... | backend ... | a gave ... | a logged ... | a named ... |
 *     a not ...                      see wire_login.h
 *     box ...                        see wire_box.h
 *     event early-talk 1             this happened so often
 *
 * * at the end of a pattern stands for anything. A script fails at the first line that is
 * not so, and at its end if an event above weight 0 happened that it did not announce.
 * Each runs three times: as written, and with what peers send chopped up.
 */
#include <ctype.h>
#include <dirent.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/list.h"
#include "base/number.h"
#include "conf/settings.h"
#include "tests/kit/stage.h"
#include "tests/wire/wire_box.h"
#include "tests/wire/wire_guard.h"
#include "tests/wire/wire_login.h"

#define PEERS_MAX 16
#define BYTES_MAX 65536

struct script {
	const char *path;
	int line;
	bool whole;
	struct stage stage;
	size_t count;
	char names[PEERS_MAX][32];
	struct stage_peer *peers[PEERS_MAX];
	struct wire_lists lists;
	uint64_t announced[EVENT_COUNT];
	bool about[EVENT_COUNT];
	char why[512];
};

static bool wrong(struct script *s, const char *fmt, ...) PRINTF(2, 3);

static bool wrong(struct script *s, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(s->why, sizeof(s->why), fmt, args);
	va_end(args);
	return false;
}

/* ---- words ------------------------------------------------------------------------- */

static struct span next_word(struct span *text)
{
	*text = span_trim(*text);
	return span_cut(text, ' ');
}

static bool is(struct span word, const char *what)
{
	return span_eq(word, span_str(what));
}

static int find_word(struct span word, const char *const *words, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (is(word, words[i]))
			return (int)i;
	return -1;
}

static int unhex(uint8_t c)
{
	return isdigit(c) ? c - '0' : byte_lower(c) - 'a' + 10;
}

/* \r \n \t \0 \\ \xHH */
static void unescape(struct span text, struct buf *out)
{
	for (size_t i = 0; i < text.n; i++) {
		uint8_t c = text.p[i];

		if (c == '\\' && i + 1 < text.n) {
			c = text.p[++i];
			if (c == 'r')
				c = '\r';
			else if (c == 'n')
				c = '\n';
			else if (c == 't')
				c = '\t';
			else if (c == '0')
				c = '\0';
			else if (c == 'x' && i + 2 < text.n) {
				c = (uint8_t)(unhex(text.p[i + 1]) << 4 |
					      unhex(text.p[i + 2]));
				i += 2;
			}
		}
		buf_byte(out, c);
	}
}

/* %d is the number of this repetition. */
static void number_in(struct span text, unsigned number, struct buf *out)
{
	size_t at = 0;

	while (at + 1 < text.n && !(text.p[at] == '%' && text.p[at + 1] == 'd'))
		at++;
	if (at + 1 >= text.n) {
		buf_put(out, text);
		return;
	}
	buf_put(out, span_head(text, at));
	buf_fmt(out, "%u", number);
	buf_put(out, span_skip(text, at + 2));
}

static bool fits(struct span text, struct span pattern)
{
	if (pattern.n && pattern.p[pattern.n - 1] == '*')
		return span_starts(text, span_head(pattern, pattern.n - 1));
	return span_eq(text, pattern);
}

static bool contains(struct span text, struct span what)
{
	for (size_t i = 0; i + what.n <= text.n; i++)
		if (memcmp(text.p + i, what.p, what.n) == 0)
			return true;
	return false;
}

/* ---- what a peer does and hears ----------------------------------------------------- */

static bool send(struct stage_peer *p, struct span text, bool raw, unsigned number)
{
	static uint8_t mem[2][BYTES_MAX];
	struct buf counted, bytes;

	buf_init(&counted, mem[0], sizeof(mem[0]));
	buf_init(&bytes, mem[1], sizeof(mem[1]));
	number_in(text, number, &counted);
	if (raw) {
		unescape(buf_span(&counted), &bytes);
	} else {
		buf_put(&bytes, buf_span(&counted));
		buf_put(&bytes, SPAN("\r\n"));
	}
	stage_send(p, buf_span(&bytes));
	return !counted.full && !bytes.full;
}

/* The next line that was said to the peer, without its CRLF. */
static bool next_line(struct span *said, struct span *line)
{
	size_t end = span_find(*said, '\n');

	if (end == said->n || end == 0)
		return false;
	*line = span_head(*said, end - 1);
	*said = span_skip(*said, end + 1);
	return true;
}

static bool hear(struct script *s, struct stage_peer *p, struct span pattern)
{
	struct span said = buf_span(&p->said), line = SPAN_NONE;
	bool peek = pattern.n > 3 && pattern.p[3] == '-';

	do {
		if (!next_line(&said, &line))
			return wrong(s, "%s \"%.*s\"",
				     peek ? "no such line before" : "no reply",
				     SPAN_ARG(line));
		if (peek && fits(line, pattern))
			return true;
	} while (line.n > 3 && line.p[3] == '-');
	if (peek || !fits(line, pattern))
		return wrong(s, "the reply is \"%.*s\"", SPAN_ARG(line));
	buf_drop(&p->said, (size_t)(said.p - p->said.mem));
	return true;
}

static bool hear_number(struct script *s, struct stage_peer *p, struct span pattern,
			unsigned number)
{
	uint8_t mem[1024];
	struct buf counted;

	buf_init(&counted, mem, sizeof(mem));
	number_in(pattern, number, &counted);
	return counted.full ? wrong(s, "too long") : hear(s, p, buf_span(&counted));
}

static bool is_silent(struct script *s, struct stage_peer *p)
{
	if (p->said.len)
		return wrong(s, "it hears \"%.*s\"", SPAN_ARG(buf_span(&p->said)));
	return true;
}

static bool is_closed(struct script *s, struct stage_peer *p, struct span why)
{
	if (!p->closed)
		return wrong(s, "the session goes on");
	if (!is_silent(s, p))
		return false;
	if (why.n && !is(why, end_table[p->session.end].word))
		return wrong(s, "it ended for %s", end_table[p->session.end].word);
	return true;
}

static bool is_from(struct script *s, struct stage_peer *p, struct span text)
{
	uint8_t mem[64];
	struct buf out;

	buf_init(&out, mem, sizeof(mem));
	addr_print(&p->session.peer.addr, &out);
	if (!span_eq(buf_span(&out), text))
		return wrong(s, "it is %.*s", SPAN_ARG(buf_span(&out)));
	return true;
}

static bool shake_hands(struct script *s, struct stage_peer *p, enum session_in_kind how)
{
	if (p->asks != DO_TLS)
		return wrong(s, "no handshake was ordered");
	stage_happen(p, how);
	return true;
}

static void turn_deaf(struct stage_peer *p, bool deaf)
{
	p->deaf = deaf;
	if (!deaf)
		stage_happen(p, IN_BYTES);
}

static bool is_refused(struct script *s, const struct stage_peer *p, struct span text)
{
	bool would = is(next_word(&text), "be");

	if (would) {
		(void)next_word(&text); /* refused */
		(void)next_word(&text); /* by */
	}
	text = span_trim(text);
	if (!is(text, rule_table[p->refused_by].word) || would != p->only_observed)
		return wrong(s, "%s by \"%s\"",
			     p->only_observed ? "it would be" : "refused",
			     rule_table[p->refused_by].word);
	return true;
}

/* What it has sent and no step has taken goes to the mailbox server. */
static bool is_relayed(struct script *s, struct stage_peer *p, struct span text)
{
	static uint8_t mem[2][BYTES_MAX];
	struct buf left, expected;

	if (!p->relays)
		return wrong(s, "it does not talk with its mailbox server");
	buf_init(&left, mem[0], sizeof(mem[0]));
	buf_init(&expected, mem[1], sizeof(mem[1]));
	buf_put(&left, buf_span(&p->in));
	buf_put(&left, buf_span(&p->unsent));
	unescape(text, &expected);
	return span_eq(buf_span(&left), buf_span(&expected)) ||
	       wrong(s, "it gets \"%.*s\"", SPAN_ARG(buf_span(&left)));
}

static bool peer_line(struct script *s, struct stage_peer *p, struct span text,
		      unsigned number)
{
	struct span word = next_word(&text);
	const char *why;

	if (is(word, ">") || is(word, ">>"))
		return send(p, text, word.n == 2, number) || wrong(s, "too long");
	text = span_trim(text);
	if (is(word, "<"))
		return hear_number(s, p, text, number);
	if (is(word, "silent"))
		return is_silent(s, p);
	if (is(word, "closed"))
		return is_closed(s, p, text);
	if (is(word, "hangs"))
		stage_happen(p, IN_EOF);
	else if (is(word, "breaks"))
		stage_happen(p, IN_BROKEN);
	else if (is(word, "deaf") || is(word, "listens"))
		turn_deaf(p, is(word, "deaf"));
	else if (is(word, "tls"))
		return shake_hands(s, p, IN_TLS);
	else if (is(word, "fails"))
		return shake_hands(s, p, IN_TLS_FAILED);
	else if (is(word, "is"))
		return is_from(s, p, text);
	else if (is(word, "refused") || is(word, "would"))
		return is_refused(s, p, text);
	else if (is(word, "relays"))
		return is_relayed(s, p, text);
	else if (is(word, "passed"))
		return p->passed || wrong(s, "it did not wait");
	else if ((why = wire_peer_login(p, word, text)) != NULL)
		return wrong(s, "%s", why);
	return true;
}

/* ---- the world ---------------------------------------------------------------------- */

static bool connect_peer(struct script *s, struct span text)
{
	struct span name = next_word(&text), from = span_trim(text);
	struct addr addr;

	if (s->count == PEERS_MAX || name.n == 0 || name.n >= sizeof(s->names[0]) ||
	    !addr_parse(from, &addr))
		return wrong(s, "no such peer");
	memcpy(s->names[s->count], name.p, name.n);
	s->peers[s->count] = calloc(1, sizeof(struct stage_peer));
	if (!s->peers[s->count])
		abort();
	stage_peer_open(&s->stage, s->peers[s->count++], addr);
	return true;
}

static bool listen_more(struct script *s, struct span word, struct span *text)
{
	static char login[ADDRESS_MAX + 1];
	struct listener *l = s->stage.listener;

	if (is(word, "proxy")) {
		l->proxy = true;
	} else if (is(word, "auth")) {
		l->auth = true;
	} else if (is(word, "submission")) {
		l->auth = true;
		l->service = SERVICE_SUBMISSION;
	} else if (is(word, "imap") || is(word, "pop3")) {
		l->auth = true;
		l->service = is(word, "imap") ? SERVICE_IMAP : SERVICE_POP3;
	} else if (is(word, "local")) {
		word = next_word(text);
		if (word.n >= sizeof(login))
			return false;
		memcpy(login, word.p, word.n);
		login[word.n] = '\0';
		memcpy(l->path, "/run/submit", sizeof("/run/submit"));
		s->stage.local_login = login;
	} else {
		return word.n == 0;
	}
	return true;
}

static bool listen_how(struct script *s, struct span text)
{
	static const char *const words[] = { "none", "starttls", "implicit" };
	int tls = find_word(next_word(&text), words, COUNT_OF(words));

	if (tls < 0)
		return wrong(s, "listen how?");
	s->stage.listener->tls = (enum tls_use)tls;
	while (text.n)
		if (!listen_more(s, next_word(&text), &text))
			return wrong(s, "listen how?");
	return true;
}

static bool trust(struct script *s, struct span text)
{
	struct conf *c = &s->stage.conf;
	bool proxy = is(next_word(&text), "proxy");
	struct net net;

	if (!net_parse(span_trim(text), &net))
		return wrong(s, "trust whom?");
	if (proxy)
		c->proxy_from[c->proxy_count++] = net;
	else
		c->xclient_from[c->xclient_count++] = net;
	return true;
}

static bool set(struct script *s, struct span text)
{
	struct span key = next_word(&text);
	struct err err;

	if (!settings_put(&s->stage.conf.set, key, span_trim(text), &err))
		return wrong(s, "%s", err.text);
	return true;
}

static bool pass(struct script *s, struct span text)
{
	ms_t time;

	text = span_trim(text);
	if (text.n == 0 || text.p[0] != '+' || !duration_parse(span_skip(text, 1), &time))
		return wrong(s, "how long?");
	stage_pass(&s->stage, s->peers, s->count, time);
	return true;
}

static void answer_all(struct script *s)
{
	for (size_t i = 0; i < s->count; i++) {
		stage_answer(s->peers[i]);
		if (!s->peers[i]->closed)
			stage_happen(s->peers[i], IN_BYTES);
	}
}

static bool store(struct script *s, struct span text)
{
	static const char *const verdicts[] = { "yes", "no", "full", "unknown",
						"foreign" };
	static const char *const results[] = { "ok", "no-room", "failed", "taken" };
	static const char *const rooms[] = { "no", "yes" };
	struct span what = next_word(&text), word = span_trim(text);

	if (is(what, "verdict"))
		s->stage.verdict = find_word(word, verdicts, COUNT_OF(verdicts));
	else if (is(what, "says"))
		s->stage.submitted = find_word(word, results, COUNT_OF(results));
	else if (is(what, "room"))
		s->stage.room = find_word(word, rooms, COUNT_OF(rooms));
	else if (is(what, "may-send"))
		s->stage.may_send = find_word(word, verdicts, COUNT_OF(verdicts));
	else
		return wrong(s, "the store does what?");
	answer_all(s);
	return true;
}

/* The envelope as text: the sender alone, or the recipients with spaces between. */
static void print_envelope(const struct stage *g, bool sender, struct buf *out)
{
	struct span list = buf_span(&g->last.envelope), item;
	size_t i = 0;

	while (list_next(&list, &item)) {
		if ((i++ == 0) != sender)
			continue;
		if (out->len)
			buf_byte(out, ' ');
		for (size_t at = 0; at < item.n; at++)
			buf_byte(out, item.p[at] == '\t' ? ' ' : item.p[at]);
	}
}

static bool stored_envelope(struct script *s, bool sender, struct span text)
{
	static uint8_t mem[BYTES_MAX];
	struct buf out;

	buf_init(&out, mem, sizeof(mem));
	print_envelope(&s->stage, sender, &out);
	if (!span_eq(buf_span(&out), text))
		return wrong(s, "it is \"%.*s\"", SPAN_ARG(buf_span(&out)));
	return true;
}

static bool stored_flags(struct script *s, struct span text)
{
	char is[16];

	snprintf(is, sizeof(is), "0x%x", s->stage.last.flags);
	return span_eq(span_str(is), text) || wrong(s, "they are %s", is);
}

static bool stored(struct script *s, struct span text)
{
	struct span body = buf_span(&s->stage.last.body);
	struct span word = next_word(&text);
	uint8_t mem[4096];
	struct buf out;
	uint64_t n;

	text = span_trim(text);
	if (is(word, "from") || is(word, "to"))
		return stored_envelope(s, is(word, "from"), text);
	if (is(word, "flags"))
		return stored_flags(s, text);
	buf_init(&out, mem, sizeof(mem));
	unescape(text, &out);
	if (is(word, "has"))
		return contains(body, buf_span(&out)) ||
		       wrong(s, "\"%.*s\"", SPAN_ARG(body));
	if (is(word, "lacks"))
		return !contains(body, buf_span(&out)) ||
		       wrong(s, "\"%.*s\"", SPAN_ARG(body));
	if (is(word, "ends"))
		return span_eq(span_tail(body, out.len), buf_span(&out)) ||
		       wrong(s, "\"%.*s\"", SPAN_ARG(span_tail(body, 100)));
	if (!number_parse(word, UINT32_MAX, &n))
		return wrong(s, "stored what?");
	if (n != s->stage.mails)
		return wrong(s, "%llu were", (unsigned long long)s->stage.mails);
	return true;
}

static bool announce(struct script *s, struct span text)
{
	struct span word = next_word(&text);
	uint64_t n;

	if (!number_parse(span_trim(text), UINT32_MAX, &n))
		return wrong(s, "how often?");
	for (enum event e = EV_NONE + 1; e < EVENT_COUNT; e++)
		if (is(word, event_table[e].word)) {
			s->announced[e] += n;
			s->about[e] = true;
			return true;
		}
	return wrong(s, "there is no such event");
}

static void stop_all(struct script *s, bool now)
{
	for (size_t i = 0; i < s->count; i++)
		stage_happen(s->peers[i], now ? IN_BYE : IN_STOP);
}

static bool line(struct script *s, struct span text, unsigned number);

static bool repeat(struct script *s, struct span text)
{
	uint64_t times;

	if (!number_parse(next_word(&text), 1000000, &times))
		return wrong(s, "how often?");
	for (unsigned i = 1; i <= times; i++)
		if (!line(s, text, i))
			return false;
	return true;
}

/* NULL: it was one of them, and all is well. */
static const char *opinion(struct script *s, struct span word, struct span text)
{
	const char *why;

	if (is(word, "relay"))
		return wire_relay(&s->stage, text);
	if (is(word, "backend")) {
		why = wire_backend(&s->stage, text);
		if (!why)
			answer_all(s);
		return why;
	}
	if (is(word, "access"))
		return wire_access(&s->stage, &s->lists, text);
	if (!is(word, "guard") && !is(word, "facts") && !is(word, "auth"))
		return "what is this?";
	why = is(word, "guard")	  ? wire_guard(&s->stage, text)
	      : is(word, "facts") ? wire_facts(&s->stage, text)
				  : wire_auth(&s->stage, text);
	if (!why)
		answer_all(s);
	return why;
}

static bool box(struct script *s, struct span text)
{
	static uint8_t mem[BYTES_MAX];
	struct buf out;
	const char *why;

	buf_init(&out, mem, sizeof(mem));
	unescape(text, &out);
	why = wire_box(&s->stage, buf_span(&out));
	if (why)
		return wrong(s, "%s", why);
	answer_all(s);
	return true;
}

static bool line(struct script *s, struct span text, unsigned number)
{
	const char *why;

	struct span word = next_word(&text);

	if (word.n == 0 || word.p[0] == '#')
		return true;
	for (size_t i = 0; i < s->count; i++)
		if (is(word, s->names[i]))
			return peer_line(s, s->peers[i], text, number);
	if (is(word, "repeat"))
		return repeat(s, text);
	if (is(word, "box"))
		return box(s, text);
	if (is(word, "peer"))
		return connect_peer(s, text);
	if (is(word, "clock"))
		return pass(s, text);
	if (is(word, "event"))
		return announce(s, text);
	if (is(word, "set"))
		return set(s, text);
	if (is(word, "store"))
		return store(s, text);
	if (is(word, "stored"))
		return stored(s, text);
	if (is(word, "listen"))
		return listen_how(s, text);
	if (is(word, "trust"))
		return trust(s, text);
	if (is(word, "whole"))
		s->whole = true;
	else if (is(word, "certificate"))
		s->stage.tls_ready = !is(span_trim(text), "no");
	else if (is(word, "letters"))
		s->stage.no_letters = is(span_trim(text), "no");
	else if (is(word, "storage"))
		s->stage.storage_full = is(span_trim(text), "full");
	else if (is(word, "stop"))
		stop_all(s, is(span_trim(text), "now"));
	else if ((why = opinion(s, word, text)) != NULL)
		return wrong(s, "%s", why);
	return true;
}

static bool check_events(struct script *s)
{
	for (enum event e = EV_NONE + 1; e < EVENT_COUNT; e++) {
		bool matters = event_table[e].weight > 0 || s->about[e];

		if (matters && s->stage.seen[e] != s->announced[e])
			return wrong(s, "event %s happened %llu times, announced %llu",
				     event_table[e].word,
				     (unsigned long long)s->stage.seen[e],
				     (unsigned long long)s->announced[e]);
	}
	return true;
}

/* ---- scripts ------------------------------------------------------------------------ */

static bool play(struct script *s, struct span text)
{
	while (text.n) {
		struct span one = span_cut(&text, '\n');

		s->line++;
		if (!line(s, one, 1))
			return false;
	}
	return check_events(s);
}

static bool run_once(const char *path, struct span text, size_t chop, bool *whole)
{
	struct script *s = calloc(1, sizeof(*s));
	bool ok;

	if (!s)
		abort();
	s->path = path;
	stage_open(&s->stage);
	s->stage.chop = chop;
	ok = play(s, text);
	*whole = s->whole;
	if (!ok)
		printf("# %s:%d: (chop %zu) %s\n", path, s->line, chop, s->why);
	for (size_t i = 0; i < s->count; i++) {
		stage_peer_close(s->peers[i]);
		free(s->peers[i]);
	}
	stage_close(&s->stage);
	wire_lists_close(&s->lists);
	free(s);
	return ok;
}

static bool run(const char *path)
{
	static char mem[BYTES_MAX];
	static const size_t chops[] = { 1, 7 };
	FILE *f = fopen(path, "r");
	bool whole, ok;
	size_t n;

	if (!f) {
		perror(path);
		return false;
	}
	n = fread(mem, 1, sizeof(mem), f);
	fclose(f);
	ok = run_once(path, span_of(mem, n), 0, &whole);
	for (size_t i = 0; ok && !whole && i < COUNT_OF(chops); i++)
		ok = run_once(path, span_of(mem, n), chops[i], &whole);
	return ok;
}

static int is_script(const struct dirent *e)
{
	struct span name = span_str(e->d_name);

	return span_eq(span_tail(name, 5), SPAN(".wire"));
}

struct tally {
	int run, failed;
};

static void run_path(const char *path, struct tally *t)
{
	bool ok = run(path);

	t->run++;
	t->failed += !ok;
	printf("%sok %d - %s\n", ok ? "" : "not ", t->run, path);
}

/* A script, or all in a directory. */
static void run_all(const char *path, struct tally *t)
{
	struct dirent **found;
	char below[4096];
	int count = scandir(path, &found, is_script, alphasort);

	if (count < 0) {
		run_path(path, t);
		return;
	}
	for (int i = 0; i < count; i++) {
		snprintf(below, sizeof(below), "%s/%s", path, found[i]->d_name);
		run_path(below, t);
		free(found[i]);
	}
	free(found);
}

int main(int argc, char **argv)
{
	struct tally t = { 0 };

	for (int i = 1; i < argc; i++)
		run_all(argv[i], &t);
	printf("1..%d\n", t.run);
	return t.failed != 0 || t.run == 0;
}
