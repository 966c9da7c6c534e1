/*
 * A session, come what may: bytes, answers good and bad and late, time, the end of either
 * side, and whatever is thought of the client. It keeps its promises (tests/kit/stage.c
 * checks them after each step), and it ends.
 *
 * Bytes 0 to 3 are the settings, 4 to 6 what is thought of the client; then each byte is
 * something that happens: below 64 the peer sends a line from the list below, from 64 to
 * 127 so many of the bytes that follow, and above that what act() says.
 */
#include "base/bug.h"
#include "tests/kit/stage.h"

#define SIXTY "012345678901234567890123456789012345678901234567890123456789"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct span lines[] = {
	SPAN_INIT("EHLO there.example\r\n"),
	SPAN_INIT("HELO x\r\n"),
	SPAN_INIT("MAIL FROM:<s@there.example>\r\n"),
	SPAN_INIT("MAIL FROM:<> BODY=8BITMIME SIZE=100\r\n"),
	SPAN_INIT("MAIL FROM:<s@x> BODY=BINARYMIME\r\n"),
	SPAN_INIT("MAIL FROM:<\xc3\xbc@x> SMTPUTF8\r\n"),
	SPAN_INIT("RCPT TO:<alice@here.example>\r\n"),
	SPAN_INIT("RCPT TO:<bob@here.example>\r\n"),
	SPAN_INIT("RCPT TO:<nobody@here.example>\r\n"),
	SPAN_INIT("RCPT TO:<a@ask.example>\r\n"),
	SPAN_INIT("RCPT TO:<b@ask.example>\r\n"),
	SPAN_INIT("RCPT TO:<c@elsewhere.example>\r\n"),
	SPAN_INIT("RCPT TO:<postmaster>\r\n"),
	SPAN_INIT("DATA\r\n"),
	SPAN_INIT("Subject: x\r\nReceived: y\r\n\r\n"),
	SPAN_INIT("..dot\r\n"),
	SPAN_INIT("\n.\n"),
	SPAN_INIT(".\r\n"),
	SPAN_INIT("BDAT 5\r\nab\r\nc"),
	SPAN_INIT("BDAT 3 LAST\r\nx\r\n"),
	SPAN_INIT("BDAT 900\r\n"),
	SPAN_INIT("BDAT x\r\n"),
	SPAN_INIT("RSET\r\n"),
	SPAN_INIT("NOOP\r\n"),
	SPAN_INIT("VRFY x\r\n"),
	SPAN_INIT("QUIT\r\n"),
	SPAN_INIT("STARTTLS\r\n"),
	SPAN_INIT("AUTH PLAIN\r\n"),
	SPAN_INIT("XCLIENT ADDR=192.0.2.9 HELO=y\r\n"),
	SPAN_INIT("PROXY TCP4 192.0.2.9 198.51.100.1 40000 25\r\n"),
	SPAN_INIT("\r\n\r\n\0\r\nQUIT\n\x20\0\0\0"),
	SPAN_INIT("GET / HTTP/1.1\r\n"),
	SPAN_INIT("\x16\x03\x01"),
	SPAN_INIT("XYZZY\r\n"),
	SPAN_INIT("BDAT 9000000000000000000\r\n"),
	SPAN_INIT("HELO mx.here.example\r\n"),
	SPAN_INIT("RCPT TO:<" SIXTY SIXTY SIXTY "@any.example>\r\n"),
	SPAN_INIT("AUTH PLAIN AGFsaWNlAHNlY3JldA==\r\n"),
	SPAN_INIT("AUTH LOGIN YWxpY2U=\r\n"),
	SPAN_INIT("AUTH SCRAM-SHA-256 bix9,\r\n"),
	SPAN_INIT("AUTH SCRAM-SHA-256 bixuPWEscj1i\r\n"),
	SPAN_INIT("c2VjcmV0\r\n"),
	SPAN_INIT("*\r\n"),
	SPAN_INIT("\r\n"),
	SPAN_INIT("MAIL FROM:<alice@here.example> RET=HDRS ENVID=x AUTH=<>\r\n"),
	SPAN_INIT("MAIL FROM:<info@here.example>\r\n"),
	SPAN_INIT("RCPT TO:<c@elsewhere.example> NOTIFY=NEVER ORCPT=rfc822;x+20@y\r\n"),
	SPAN_INIT("RCPT TO:<d@ask.example> ORCPT=rfc822;" SIXTY SIXTY SIXTY "\r\n"),
	SPAN_INIT("From: alice@here.example, B <b@c>\r\nDate: x\r\n"),
	SPAN_INIT("From: " SIXTY SIXTY SIXTY SIXTY SIXTY "\r\n"),
	SPAN_INIT("From: info@here.example\r\n\r\n"),
	SPAN_INIT("a CAPABILITY\r\nb NOOP\r\n"),
	SPAN_INIT("a LOGIN alice \"secret\"\r\nb SELECT INBOX\r\n"),
	SPAN_INIT("a LOGIN {5}\r\n"),
	SPAN_INIT("alice {6+}\r\nsecret\r\n"),
	SPAN_INIT("a AUTHENTICATE PLAIN AGFsaWNlAHNlY3JldA==\r\n"),
	SPAN_INIT("a AUTHENTICATE SCRAM-SHA-256 bixuPWEscj1i\r\n"),
	SPAN_INIT("a ID (\"name\" \"x\")\r\n"),
	SPAN_INIT("a STARTTLS\r\n"),
	SPAN_INIT("a LOGOUT\r\n"),
	SPAN_INIT("a APPEND x {3+}\r\nabc\r\n"),
};

/* of a POP3 session, instead of these */
static const struct span pop3_lines[] = {
	SPAN_INIT("CAPA\r\n"),
	SPAN_INIT("STLS\r\n"),
	SPAN_INIT("USER alice\r\n"),
	SPAN_INIT("USER alice\r\nPASS secret\r\n"),
	SPAN_INIT("PASS  two words\r\n"),
	SPAN_INIT("USER " SIXTY SIXTY SIXTY SIXTY SIXTY "\r\n"),
	SPAN_INIT("AUTH PLAIN AGFsaWNlAHNlY3JldA==\r\n"),
	SPAN_INIT("AUTH PLAIN\r\n"),
	SPAN_INIT("AUTH LOGIN\r\n"),
	SPAN_INIT("AUTH SCRAM-SHA-256 bixuPWEscj1i\r\n"),
	SPAN_INIT("AUTH\r\n"),
	SPAN_INIT("c2VjcmV0\r\n"),
	SPAN_INIT("*\r\n"),
	SPAN_INIT("APOP alice x\r\n"),
	SPAN_INIT("UTF8\r\n"),
	SPAN_INIT("STAT\r\n"),
	SPAN_INIT("LIST\r\n"),
	SPAN_INIT("LIST 2\r\n"),
	SPAN_INIT("UIDL\r\n"),
	SPAN_INIT("UIDL 0\r\n"),
	SPAN_INIT("RETR 1\r\n"),
	SPAN_INIT("RETR 2\r\nRETR 1\r\nTOP 2 1\r\n"),
	SPAN_INIT("RETR 4294967295\r\n"),
	SPAN_INIT("TOP 1 0\r\n"),
	SPAN_INIT("TOP 2 4294967295\r\n"),
	SPAN_INIT("DELE 1\r\n"),
	SPAN_INIT("DELE 2\r\n"),
	SPAN_INIT("RSET\r\n"),
	SPAN_INIT("NOOP\r\n"),
	SPAN_INIT("QUIT\r\n"),
	SPAN_INIT("XYZZY\r\n\0\r\n\n\r"),
};

static void send_line(struct stage_peer *p, uint8_t which)
{
	if (p->stage->listener->service == SERVICE_POP3)
		stage_send(p, pop3_lines[which % COUNT_OF(pop3_lines)]);
	else
		stage_send(p, lines[which % COUNT_OF(lines)]);
}

static void send_much(struct stage_peer *p, uint8_t how)
{
	static uint8_t much[10000];

	memset(much, how & 1 ? 'x' : '\n', sizeof(much));
	for (size_t i = 998; i + 1 < sizeof(much); i += 1000) {
		much[i] = '\r';
		much[i + 1] = '\n';
	}
	stage_send(p, span_of(much, sizeof(much)));
}

static void handshake(struct stage_peer *p, bool fails)
{
	if (p->asks == DO_TLS)
		stage_happen(p, fails ? IN_TLS_FAILED : IN_TLS);
}

static void pass(struct stage_peer *p, ms_t time)
{
	stage_pass(p->stage, &p, 1, time);
}

/* The guard changes its mind, and look-ups tell something: one byte each. */
static void think(struct stage *g, uint8_t how)
{
	struct standing *st = &g->standing;

	st->known_good = how % 16 == 1;
	st->allowed = how % 16 == 2;
	st->passed = how & 16;
	st->late = how & 32 ? (enum rule)(how % RULE_COUNT) : RULE_NONE;
	st->over = how & 64 && how & 128;
	st->delay = how & 64 ? 1000 << how % 8 : 0;
	st->command_timeout = how & 128 ? 5000 : 0;
	st->data_timeout = how & 128 ? 3000 : 0;
	st->tls_timeout = how & 128 ? 2000 : 0;
	st->errors = how & 8;
	st->junk = how & 4;
	st->handshake_over = how % 16 == 3;
}

static void look_up(struct stage *g, uint8_t how)
{
	struct facts *f = &g->standing.facts;

	f->state = (enum facts_state)(how % 3);
	f->no_ptr = how & 4;
	f->ptr_forged = how & 8;
	f->failed = how & 16;
	f->listed = how & 32;
	f->weight = how & 32 ? 100 : 0;
	f->welcomed = how & 64;
	f->name_n = how & 128 ? 255 : 0;
	memset(f->name, 'x', sizeof(f->name));
}

/* auth says something, and the store about a sender: one byte. */
static void answer_login(struct stage_peer *p, uint8_t how)
{
	static const int backends[] = { BACKEND_READY, BACKEND_DENIES, BACKEND_LIMITS,
					BACKEND_DOWN };
	bool pop3 = p->stage->listener->service == SERVICE_POP3;
	struct stage *g = p->stage;

	g->authed = how & 1 ? STAGE_NO_ANSWER : how / 2 % AUTHED_COUNT;
	g->challenge_count = how & 8 ? 2 : 0;
	memcpy(g->challenges, "r=x", 4);
	memcpy(g->last_words, "v=y", how & 16 ? 4 : 1);
	g->last_words[3] = '\0';
	if (!(how & 16))
		g->last_words[0] = '\0';
	g->auth_delay = how & 32 ? 2000 : 0;
	g->may_send = how & 64 ? STAGE_NO_ANSWER : how % VERDICT_COUNT;
	g->backend = how & 64 ? STAGE_NO_ANSWER : backends[how / 4 % COUNT_OF(backends)];
	if (pop3 && !(how & 128))
		g->backend = BACKEND_BOX;
	g->box.left = how & 64 ? STAGE_NO_ANSWER : how % 2;
	stage_answer(p);
}

static void act(struct stage_peer *p, uint8_t what, uint8_t more)
{
	struct stage *g = p->stage;
	static const ms_t times[] = { 1, 999, 5000, 30000, 60000, 300000, 600000, 3600000 };

	switch (what >> 4) {
	case 8:
		g->verdict = what & 8 ? STAGE_NO_ANSWER : what % VERDICT_COUNT;
		stage_answer(p);
		break;
	case 9:
		g->submitted = what & 8 ? STAGE_NO_ANSWER : what % SUBMITTED_COUNT;
		stage_answer(p);
		break;
	case 10:
		g->room = what & 8 ? STAGE_NO_ANSWER : what & 1;
		stage_answer(p);
		break;
	case 11:
		pass(p, times[what & 7]);
		break;
	case 12:
		send_much(p, what);
		break;
	case 13:
		handshake(p, what & 1);
		break;
	case 14:
		p->deaf = what & 1;
		g->storage_full = what & 2;
		g->no_letters = what & 4;
		g->chop = what & 8 ? 61 : 0;
		break;
	default: /* any time, and out of turn */
		if (what % 16 == 15)
			think(g, more);
		else if (what % 16 == 14)
			look_up(g, more);
		else if (what % 16 == 13)
			answer_login(p, more);
		else if (what % 16 != IN_OPENED && !p->closed)
			stage_happen(p, (enum session_in_kind)(what % 13));
		if (p->asks == DO_FACTS)
			stage_answer(p);
	}
	if (!p->closed && !p->asks)
		stage_happen(p, IN_BYTES);
}

static void fill_box(struct stage_box *b, uint8_t how)
{
	stage_box_close(b);
	BUG_IF(!stage_box_add(b, SPAN("one"), SPAN("Subject: 1\n\n.\n..\n\r\n")) ||
	       !stage_box_add(b, SPAN("two"), SPAN("a: b\n\n" SIXTY SIXTY "\n\nx\r")));
	b->piece = how % 64 + 1;
	b->gone[0] = how & 128;
}

static void setup(struct stage *g, const uint8_t *how)
{
	struct settings *set = &g->conf.set;

	g->verdict = VERDICT_YES;
	g->submitted = SUBMITTED_OK;
	g->room = 1;
	g->chop = 0;
	g->storage_full = g->no_letters = false;
	g->listener->tls = (enum tls_use)(how[0] % 3);
	g->listener->proxy = how[0] & 4;
	g->tls_ready = !(how[0] & 8);
	g->conf.proxy_count = how[0] & 16 ? 1 : 0;
	g->conf.xclient_count = how[0] & 32 ? 1 : 0;
	set->greet_delay = how[0] & 64 ? 5000 : 0;
	set->bare_newlines = how[0] >> 7;
	set->chunking = !(how[1] & 1);
	set->binary = BINARY_YES;
	set->utf8 = !(how[1] & 2);
	set->recipients = how[1] & 4 ? 3 : 1000;
	set->message_max = how[1] & 8 ? 1000 : 65536;
	set->header_max = how[1] & 16 ? 100 : 65536;
	set->hops = how[1] & 32 ? 1 : 50;
	set->errors = how[2] % 32;
	set->junk = how[2] / 32;
	set->mails = how[3] % 8 + 1;
	set->data_rate = how[3] / 8;
	set->line_max = how[3] & 1 ? 512 : 12288;
	g->no_guard = how[4] % 8 == 7;
	g->listener->auth = how[4] & 32;
	g->listener->service = how[4] & 64 ? SERVICE_SUBMISSION : SERVICE_SMTP;
	if (how[3] >> 5 == 7)
		g->listener->service = SERVICE_IMAP;
	if (how[3] >> 5 == 6)
		g->listener->service = SERVICE_POP3;
	fill_box(&g->box, how[6]);
	g->authed = AUTHED_YES;
	g->backend = how[3] >> 5 == 6 ? BACKEND_BOX : BACKEND_READY;
	set->auth_clear = how[4] & 128;
	set->senders = how[2] % 3;
	set->from_field = how[3] % 3;
	g->conf.mechanisms = how[1] & 64 ? (1u << SASL_COUNT) - 1 : 1u << SASL_PLAIN;
	g->conf.mailbox_mechanisms = g->conf.mechanisms;
	g->conf.relay_hop = how[1] & 128 ? HOP_COUNT : HOP_MX;
	g->conf.observed[RULE_EARLY] = how[4] & 8;
	g->conf.observed[RULE_DNSBL] = how[4] & 16;
	think(g, how[5]);
	look_up(g, how[6]);
}

static void finish(struct stage_peer *p)
{
	p->stage->verdict = p->stage->submitted = p->stage->room = STAGE_NO_ANSWER;
	p->stage->authed = p->stage->may_send = p->stage->backend = STAGE_NO_ANSWER;
	pass(p, p->stage->conf.set.session_timeout + 120 * MS_SECOND);
	BUG_IF(!p->closed && !p->relays);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct stage stage;
	struct stage_peer p;

	if (size < 8 || size > 512)
		return 0;
	if (!stage.map)
		stage_open(&stage);
	stage.conf.proxy_from[0] = stage.conf.xclient_from[0] =
		(struct net){ addr_v4(192, 0, 2, 0), 120 };
	setup(&stage, data);
	stage_peer_open(&stage, &p, addr_v4(192, 0, 2, 7));
	for (size_t i = 7; i < size && !p.closed && !p.relays; i++) {
		size_t n = span_head(span_of(data + i + 1, size - i - 1), data[i] & 63).n;

		if (data[i] < 64) {
			send_line(&p, data[i]);
		} else if (data[i] < 128) {
			stage_send(&p, span_of(data + i + 1, n));
			i += n;
		} else {
			act(&p, data[i], i + 1 < size ? data[i + 1] : 0);
		}
	}
	finish(&p);
	stage_peer_close(&p);
	return 0;
}
