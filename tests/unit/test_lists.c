#include "expect.h"

#include <stdlib.h>

#include "app/lists_blob.h"
#include "base/utf8.h"

#define NOW  ((int64_t)1795000000 * 1000) /* 2026-11-18 */
#define SAYS 4096

/* What came out, one line for each entry: line, answer, what, until, reason. */
struct heard {
	struct buf out, problems;
	uint8_t out_mem[SAYS], problems_mem[SAYS];
	unsigned count;
};

static const char *const answer_word[] = { "dunno", "permit", "deny" };

static void put_said(struct heard *h, const struct list_said *said)
{
	if (said->until != INT64_MAX) {
		buf_put(&h->out, SPAN(" until "));
		list_date_print(said->until, &h->out);
	}
	if (said->why.n)
		buf_fmt(&h->out, " (%.*s)", SPAN_ARG(said->why));
	buf_byte(&h->out, '\n');
}

static bool on_net(void *arg, const struct net *net, const struct list_said *said)
{
	struct heard *h = arg;
	bool v4 = net->bits >= 96 && addr_is_v4(&net->addr);

	h->count++;
	buf_fmt(&h->out, "%u %s ", said->line, answer_word[said->answer]);
	addr_print(&net->addr, &h->out);
	buf_fmt(&h->out, "/%d", v4 ? net->bits - 96 : net->bits);
	put_said(h, said);
	return true;
}

static bool on_name(void *arg, enum access_of of, struct span name,
		    const struct list_said *said)
{
	static const char *const words[] = { "client", "sender", "recipient", "helo",
					     "ptr" };
	struct heard *h = arg;

	h->count++;
	buf_fmt(&h->out, "%u %s %s %.*s", said->line, answer_word[said->answer],
		words[of], SPAN_ARG(name));
	put_said(h, said);
	return true;
}

static void on_problem(void *arg, bool fatal, const char *text)
{
	struct heard *h = arg;

	buf_fmt(&h->problems, "%s%s\n", fatal ? "" : "warning: ", text);
}

static void hear(struct heard *h, enum list_format format, enum access_of of,
		 struct span text)
{
	const struct list_sink sink = { on_net, on_name, h };
	struct problems problems = { .on_problem = on_problem, .arg = h };
	const struct list_source src = { .format = format,
					 .of = of,
					 .action = ACCESS_DENY,
					 .file = "f",
					 .wall = NOW,
					 .written = NOW - 60000,
					 .problems = &problems };

	h->count = 0;
	buf_init(&h->out, h->out_mem, SAYS);
	buf_init(&h->problems, h->problems_mem, SAYS);
	expect_true("read", list_read(&src, text, &sink));
}

struct row {
	const char *why;
	enum list_format format;
	enum access_of of;
	const char *text, *want;
	const char *problem; /* the beginning of the only one; NULL: there is none */
};

static void check(const struct row *rows, size_t count)
{
	static struct heard h;

	for (size_t i = 0; i < count; i++) {
		const struct row *r = &rows[i];

		hear(&h, r->format, r->of, span_str(r->text));
		expect_text(r->why, &h.out, r->want);
		if (!r->problem)
			expect_text(r->why, &h.problems, "");
		else if (!span_starts(buf_span(&h.problems), span_str(r->problem)))
			expect_text(r->why, &h.problems, r->problem);
		else
			expect_number(r->why,
				      (int64_t)span_find(buf_span(&h.problems), '\n'),
				      (int64_t)h.problems.len - 1);
	}
}

/* clang-format off */
#define PLAIN LIST_PLAIN, ACCESS_CLIENT
#define NAMES LIST_PLAIN, ACCESS_SENDER
static const struct row plain[] = {
	{ "an address",             PLAIN, "192.0.2.1\n", "1 deny 192.0.2.1/32\n", NULL },
	{ "no end of line",         PLAIN, "192.0.2.1", "1 deny 192.0.2.1/32\n", NULL },
	{ "CRLF",                   PLAIN, "192.0.2.1\r\n192.0.2.0/24\r\n", "1 deny 192.0.2.1/32\n2 deny 192.0.2.0/24\n", NULL },
	{ "a byte order mark",      PLAIN, "\xef\xbb\xbf" "192.0.2.1\n", "1 deny 192.0.2.1/32\n", NULL },
	{ "comments and nothing",   PLAIN, "# x\n\n; y\n 192.0.2.1 # z\n", "4 deny 192.0.2.1/32\n", NULL },
	{ "as Spamhaus writes it",  PLAIN, "192.0.2.0/24 ; SBL1\n", "1 deny 192.0.2.0/24\n", NULL },
	{ "IPv6",                   PLAIN, "2001:DB8::/32\n2001:db8::1", "1 deny 2001:db8::/32\n2 deny 2001:db8::1/128\n", NULL },
	{ "IPv4 inside of IPv6",    PLAIN, "::ffff:192.0.2.0/120\n", "1 deny 192.0.2.0/24\n", NULL },
	{ "a netmask",              PLAIN, "192.0.2.0/255.255.255.0\n", "1 deny 192.0.2.0/24\n", NULL },
	{ "a reason",               PLAIN, "192.0.2.1 guessed  passwords\n", "1 deny 192.0.2.1/32 (guessed  passwords)\n", NULL },
	{ "a date",                 PLAIN, "192.0.2.1 until=2026-12-31 x\n", "1 deny 192.0.2.1/32 until 2027-01-01T00:00:00Z (x)\n", NULL },
	{ "a date and a time",      PLAIN, "192.0.2.1 until=2026-12-31T10:20Z\n", "1 deny 192.0.2.1/32 until 2026-12-31T10:20:00Z\n", NULL },
	{ "a leap day",             PLAIN, "192.0.2.1 until=2028-02-29T00:00:01\n", "1 deny 192.0.2.1/32 until 2028-02-29T00:00:01Z\n", NULL },
	{ "what has run out",       PLAIN, "192.0.2.1 until=2026-11-17\n192.0.2.2\n", "2 deny 192.0.2.2/32\n", NULL },
	{ "no date",                PLAIN, "192.0.2.1 until=soon\n", "", "f:1: \"until=soon\": a date is written" },
	{ "a line that says so",    PLAIN, "192.0.2.1 permit until=2026-12-31T10:20 x\n192.0.2.2 dunno\n", "1 permit 192.0.2.1/32 until 2026-12-31T10:20:00Z (x)\n2 dunno 192.0.2.2/32\n", NULL },
	{ "a range",                PLAIN, "192.0.2.1-192.0.2.4\n", "1 deny 192.0.2.1/32\n1 deny 192.0.2.2/31\n1 deny 192.0.2.4/32\n", NULL },
	{ "a range of all",         PLAIN, "0.0.0.0-255.255.255.255 permit\n", "1 permit 0.0.0.0/0\n", "warning: f:1: this permits everybody" },
	{ "a range backwards",      PLAIN, "192.0.2.4-192.0.2.1\n", "", "f:1: \"192.0.2.4-192.0.2.1\" is not a range" },
	{ "a range of both",        PLAIN, "192.0.2.4-2001:db8::1\n", "", "f:1: \"192.0.2.4-2001:db8::1\" is not a range" },
	{ "bits behind the slash",  PLAIN, "192.0.2.1/24\n", "1 deny 192.0.2.0/24\n", "warning: f:1: \"192.0.2.1/24\": bits behind the slash" },
	{ "everybody",              PLAIN, "0.0.0.0/0\n", "1 deny 0.0.0.0/0\n", "warning: f:1: this denies everybody (IPv4)" },
	{ "everybody, IPv6",        PLAIN, "::/0\n", "1 deny ::/0\n", "warning: f:1: this denies everybody (IPv6)" },
	{ "too many bits",          PLAIN, "192.0.2.1/33\n", "", "f:1: \"192.0.2.1/33\": behind the slash of an IPv4 prefix stands a number up to 32" },
	{ "no bits",                PLAIN, "2001:db8::/x\n", "", "f:1: \"2001:db8::/x\": behind the slash of an IPv6 prefix" },
	{ "octal, perhaps",         PLAIN, "192.0.2.010\n", "", "f:1: \"192.0.2.010\" is neither" },
	{ "too large a number",     PLAIN, "192.0.2.256\n", "", "f:1: \"192.0.2.256\" is neither" },
	{ "too few numbers",        PLAIN, "192.0.2\n", "", "f:1: \"192.0.2\" is neither" },
	{ "a name among addresses", PLAIN, "192.0.2.1\nexample.org\n", "1 deny 192.0.2.1/32\n", "f:2: \"example.org\" is neither" },
	{ "garbage goes on behind", PLAIN, "\x01\x02\n192.0.2.1\n", "2 deny 192.0.2.1/32\n", "f:1: \"??\" is neither" },
	{ "a sender",               NAMES, "spam@example.org\n", "1 deny sender spam@example.org\n", NULL },
	{ "a domain, and below",    NAMES, ".example.org\nexample.net\n", "1 deny sender .example.org\n1 deny sender example.org\n2 deny sender example.net\n", NULL },
	{ "all of a domain",        NAMES, "@example.org\n", "1 deny sender example.org\n", NULL },
	{ "a user anywhere",        NAMES, "spam@\n", "1 deny sender spam@\n", NULL },
	{ "other letters",          NAMES, "\u00dc@b\u00fccher.example\n.b\u00fccher.example\n",
		"1 deny sender \u00dc@xn--bcher-kva.example\n2 deny sender .xn--bcher-kva.example\n2 deny sender xn--bcher-kva.example\n", NULL },
	{ "what is no domain",      NAMES, "\u2603.example\nxn--99999999.example\n",
		"1 deny sender \u2603.example\n2 deny sender xn--99999999.example\n", NULL },
	{ "a dot at the end",       NAMES, "example.org.\n", "1 deny sender example.org\n", NULL },
	{ "two dots",               NAMES, "a..b\n", "", "f:1: \"a..b\" is none of user@example.org" },
	{ "a dot alone",            NAMES, ".\n", "", "f:1: \".\" is none of" },
	{ "an @ alone",             NAMES, "@\n", "", "f:1: \"@\" is none of" },
	{ "an address for HELO",    LIST_PLAIN, ACCESS_HELO, "a@b\n", "", "f:1: \"a@b\" is none of mail.example.org" },
	{ "a literal for HELO",     LIST_PLAIN, ACCESS_HELO, "[192.0.2.1]\n", "1 deny helo [192.0.2.1]\n", NULL },
	{ "an underscore",          LIST_PLAIN, ACCESS_HELO, "my_pc\n", "1 deny helo my_pc\n", NULL },
};

#define CIDR LIST_CIDR, ACCESS_CLIENT
static const struct row cidr[] = {
	{ "a rule",              CIDR, "192.0.2.0/24 REJECT go away\n", "1 deny 192.0.2.0/24 (go away)\n", NULL },
	{ "words of all kinds",  CIDR, "192.0.2.1 OK\n192.0.2.2 permit\n192.0.2.3 DUNNO\n192.0.2.4 554 5.7.1 no\n192.0.2.5 550\n192.0.2.6 1234567\n",
		"1 permit 192.0.2.1/32\n2 permit 192.0.2.2/32\n3 dunno 192.0.2.3/32\n4 deny 192.0.2.4/32 (5.7.1 no)\n5 deny 192.0.2.5/32\n6 permit 192.0.2.6/32\n", NULL },
	{ "comments",            CIDR, "# x\n192.0.2.1 OK\n#y\n", "2 permit 192.0.2.1/32\n", NULL },
	{ "a line goes on",      CIDR, "192.0.2.1\n # x\n\n  REJECT no\n192.0.2.2 OK\n", "1 deny 192.0.2.1/32 (no)\n5 permit 192.0.2.2/32\n", NULL },
	{ "nothing to go on",    CIDR, " 192.0.2.1 OK\n", "", "f:1: a line that begins with white space continues another" },
	{ "not",                 CIDR, "!128.0.0.0/1 REJECT\n", "1 deny 0.0.0.0/1\n", NULL },
	{ "not, IPv6",           CIDR, "!2000::/3 REJECT\n", "1 deny 8000::/1\n1 deny 4000::/2\n1 deny ::/3\n", NULL },
	{ "not one of eight",    CIDR, "if 192.0.2.0/29\n!192.0.2.5 OK\nendif\n",
		"2 permit 192.0.2.0/30\n2 permit 192.0.2.6/31\n2 permit 192.0.2.4/32\n", NULL },
	{ "if",                  CIDR, "if 192.0.2.0/24\n0.0.0.0/0 REJECT\n198.51.100.1 OK\nendif\n203.0.113.1 OK\n",
		"2 deny 192.0.2.0/24\n5 permit 203.0.113.1/32\n", NULL },
	{ "if not",              CIDR, "if !128.0.0.0/1\n!64.0.0.0/2 DUNNO\nendif\n", "2 dunno 0.0.0.0/2\n", NULL },
	{ "if of the other family", CIDR, "if 192.0.2.0/24\n2001:db8::/32 REJECT\nendif\n", "", NULL },
	{ "no endif",            CIDR, "if 192.0.2.0/24\n192.0.2.1 OK\n", "2 permit 192.0.2.1/32\n", "f:1: this if has no endif" },
	{ "no if",               CIDR, "192.0.2.1 OK\nendif\n", "1 permit 192.0.2.1/32\n", "f:2: endif without an if" },
	{ "an if of garbage",    CIDR, "if x\n192.0.2.1 OK\nendif\n", "", "f:1: \"x\" is neither" },
	{ "no action",           CIDR, "192.0.2.1\n", "", "f:1: there is no action" },
	{ "an action of others", CIDR, "192.0.2.1 PREPEND X-A: b\n", "1 dunno 192.0.2.1/32\n", "warning: f:1: \"PREPEND\" is nothing" },
	{ "a refusal for now",   CIDR, "192.0.2.1 450 later\n", "1 dunno 192.0.2.1/32\n", "warning: f:1: \"450\" is nothing" },
	{ "a restriction",       CIDR, "192.0.2.1 permit_sasl_authenticated, reject\n", "1 dunno 192.0.2.1/32\n", "warning: f:1: \"permit_sasl_authenticated,\" is nothing" },
	{ "no action we know",   CIDR, "192.0.2.1 perhaps\n", "", "f:1: \"perhaps\" is not an action" },
	{ "everybody",           CIDR, "0.0.0.0/0 OK\n", "1 permit 0.0.0.0/0\n", "warning: f:1: this permits everybody" },
	{ "no address",          CIDR, "example.org OK\n", "", "f:1: \"example.org\" is neither" },
	{ "names cannot be in it", LIST_CIDR, ACCESS_SENDER, "192.0.2.1 OK\n", "", "f: a list of the format cidr holds addresses" },
};

#define HASH LIST_HASH, ACCESS_CLIENT
static const struct row hash[] = {
	{ "an address",        HASH, "192.0.2.1 OK\n", "1 permit 192.0.2.1/32\n", NULL },
	{ "octets",            HASH, "192.0.2 REJECT\n192.0 OK\n192 554 no\n", "1 deny 192.0.2.0/24\n2 permit 192.0.0.0/16\n3 deny 192.0.0.0/8 (no)\n", NULL },
	{ "groups",            HASH, "2001:db8 REJECT\n2001:db8:1:2:3:4:5:6 OK\n2001:db8::1 OK\n", "1 deny 2001:db8::/32\n2 permit 2001:db8:1:2:3:4:5:6/128\n3 permit 2001:db8::1/128\n", NULL },
	{ "a slash",           HASH, "192.0.2.0/24 REJECT\n", "1 deny 192.0.2.0/24\n", NULL },
	{ "the name of a client", HASH, "example.org REJECT x\n", "1 deny ptr example.org (x)\n1 deny ptr .example.org (x)\n", NULL },
	{ "what is below",     HASH, ".example.org REJECT\n", "1 deny ptr .example.org\n", NULL },
	{ "too many octets",   HASH, "1.2.3.4.5 OK\n", "", "f:1: \"1.2.3.4.5\" is neither" },
	{ "a dot too many",    HASH, "192.0.2. OK\n", "", "f:1: \"192.0.2.\" is neither" },
	{ "too large",         HASH, "192.300 OK\n", "", "f:1: \"192.300\" is neither" },
	{ "senders",           LIST_HASH, ACCESS_SENDER, "a@example.org OK\nspam@ REJECT\nexample.org DUNNO\n",
		"1 permit sender a@example.org\n2 deny sender spam@\n3 dunno sender example.org\n3 dunno sender .example.org\n", NULL },
	{ "bounces",           LIST_HASH, ACCESS_SENDER, "<> REJECT\n", "", "warning: f:1: <> is the sender of bounces" },
	{ "one problem for one line", LIST_HASH, ACCESS_HELO, "a..b REJECT\n", "", "f:1: \"a..b\" is none of" },
	{ "no value",          HASH, "192.0.2.1\n", "", "f:1: there is no action" },
};

#define TCP LIST_TCPRULES, ACCESS_CLIENT
static const struct row tcprules[] = {
	{ "deny",            TCP, "1.2.3.4:deny\n", "1 deny 1.2.3.4/32\n", NULL },
	{ "relay clients",   TCP, "192.168.:allow,RELAYCLIENT=\"\"\n", "1 permit 192.168.0.0/16\n", NULL },
	{ "a range",         TCP, "1.2.3.4-6:deny\n", "1 deny 1.2.3.4/32\n1 deny 1.2.3.5/32\n1 deny 1.2.3.6/32\n", NULL },
	{ "a range of more", TCP, "10.2-3.:deny\n", "1 deny 10.2.0.0/16\n1 deny 10.3.0.0/16\n", NULL },
	{ "the default",     TCP, ":allow\n", "1 dunno 0.0.0.0/0\n1 dunno ::/0\n", NULL },
	{ "a reason",        TCP, "1.2.3.4:allow,RBLSMTPD=\"-Blocked: see http://x\"\n", "1 deny 1.2.3.4/32 (Blocked: see http://x)\n", NULL },
	{ "an exception",    TCP, "1.2.3.4:allow,QMAILQUEUE=/x/,RBLSMTPD=\"\"\n", "1 permit 1.2.3.4/32\n", NULL },
	{ "IPv6",            TCP, "2001:db8::1:deny\n2001:db8::/32:deny\n", "1 deny 2001:db8::1/128\n2 deny 2001:db8::/32\n", NULL },
	{ "a name",          TCP, "=mail.example.org:deny\n", "", "f:1: \"=mail.example.org\" is a rule for a name: put mail.example.org into" },
	{ "ident",           TCP, "joe@1.2.3.4:deny\n", "", "f:1: \"joe@1.2.3.4\" is a rule for what ident says" },
	{ "no instruction",  TCP, "1.2.3.4\n", "", "f:1: \"1.2.3.4\": a rule is written" },
	{ "a longer word",   TCP, "1.2.3.4:denyed\n", "", "f:1: \"1.2.3.4:denyed\": behind allow or deny" },
	{ "no dot",          TCP, "1.2:deny\n", "", "f:1: \"1.2\" is none of" },
	{ "backwards",       TCP, "1.2.3.7-4:deny\n", "", "f:1: \"1.2.3.7-4\" is none of" },
	{ "a range inside",  TCP, "1.2-3.4.5:deny\n", "", "f:1: \"1.2-3.4.5\" is none of" },
	{ "too large",       TCP, "1.2.3.256:deny\n", "", "f:1: \"1.2.3.256\" is none of" },
};

#define IPSET LIST_IPSET, ACCESS_CLIENT
static const struct row ipset[] = {
	{ "ipset save",      IPSET, "create bad hash:net family inet hashsize 1024\nadd bad 192.0.2.0/24\nadd bad 192.0.2.9 nomatch\n", "2 deny 192.0.2.0/24\n3 dunno 192.0.2.9/32\n", NULL },
	{ "a timeout",       IPSET, "add bad 192.0.2.1 timeout 120 comment \"a b\"\nadd bad 192.0.2.2 timeout 0\n", "1 deny 192.0.2.1/32 until 2026-11-18T11:07:40Z (a b)\n2 deny 192.0.2.2/32\n", NULL },
	{ "timed out by now", IPSET, "add bad 192.0.2.1 timeout 59\n", "", NULL },
	{ "counters",        IPSET, "add bad 192.0.2.1 packets 1 bytes 40\n", "1 deny 192.0.2.1/32\n", NULL },
	{ "ports",           IPSET, "add bad 192.0.2.1,tcp:25\n", "", "f:1: \"192.0.2.1,tcp:25\" in the set bad is more than an address" },
	{ "half a line",     IPSET, "add bad\n", "", "f:1: behind add stand" },
	{ "nft",             IPSET, "table inet f {\n\tset s {\n\t\ttype ipv4_addr\n\t\telements = { 192.0.2.1 timeout 1d expires 1h59m, 192.0.2.8/29,\n\t\t\t     10.0.0.0-10.0.0.3 comment \"a, b\", 192.0.2.2 timeout 2m }\n\t}\n}\n",
		"4 deny 192.0.2.1/32 until 2026-11-18T13:04:40Z\n4 deny 192.0.2.8/29\n5 deny 10.0.0.0/30 (a, b)\n5 deny 192.0.2.2/32 until 2026-11-18T11:07:40Z\n", NULL },
	{ "nft, with ports", IPSET, "elements = { 192.0.2.1 . 25 }\n", "", "f:1: \"192.0.2.1\" is the beginning of more" },
	{ "nft, not a time", IPSET, "elements = { 192.0.2.1 expires soon }\n", "", "f:1: \"soon\" is not a time" },
	{ "nft, weeks without end", IPSET, "elements = { 192.0.2.1 expires 4294967295w4294967295w4294967295w4294967295w }\n", "1 deny 192.0.2.1/32 until 3026-03-21T11:05:40Z\n", NULL },
	{ "nft, cut off",    IPSET, "elements = { 192.0.2.1,\n", "1 deny 192.0.2.1/32\n", "f:1: the file ends inside" },
	{ "fail2ban",        IPSET, "[{'sshd': ['192.0.2.1', '2001:db8::1']}, {'postfix': []}]\n", "1 deny 192.0.2.1/32 (sshd)\n1 deny 2001:db8::1/128 (sshd)\n", NULL },
	{ "fail2ban, with time", IPSET, "192.0.2.1 \t2026-11-20 10:00:00 + 600 = 2026-11-20 10:10:00\n192.0.2.2 2026-11-20 10:00:00 + -1 = 9999-12-31 23:59:59\n", "1 deny 192.0.2.1/32 until 2026-11-20T10:10:00Z\n2 deny 192.0.2.2/32\n", NULL },
	{ "fail2ban, cut off", IPSET, "[{'sshd': ['192.0.2.1']}, ['192\n", "1 deny 192.0.2.1/32 (sshd)\n", "f:1: the line ends inside of quotes" },
	{ "something else",  IPSET, "hello world\n", "", "f:1: \"hello\" is nothing that" },
};
/* clang-format on */

static void plain_lists_are_read(void **unused)
{
	(void)unused;
	check(plain, COUNT_OF(plain));
}

static void cidr_tables_are_read_as_postfix_does(void **unused)
{
	(void)unused;
	check(cidr, COUNT_OF(cidr));
}

static void access_tables_are_read_as_postfix_does(void **unused)
{
	(void)unused;
	check(hash, COUNT_OF(hash));
}

static void tcprules_are_read(void **unused)
{
	(void)unused;
	check(tcprules, COUNT_OF(tcprules));
}

static void sets_of_firewalls_are_read(void **unused)
{
	(void)unused;
	check(ipset, COUNT_OF(ipset));
}

static void a_nul_byte_is_a_problem_of_its_line(void **unused)
{
	static struct heard h;

	(void)unused;
	hear(&h, LIST_PLAIN, ACCESS_CLIENT, SPAN("192.0.2.1\n192.0.2.2\0\n192.0.2.3"));
	expect_text("both others", &h.out, "1 deny 192.0.2.1/32\n3 deny 192.0.2.3/32\n");
	expect_text("a problem", &h.problems,
		    "f:2: a NUL byte: this is not a text file\n");
}

static void a_line_of_a_megabyte_is_a_problem_of_its_line(void **unused)
{
	static struct heard h;
	static char text[1 << 20];

	(void)unused;
	memset(text, '7', sizeof(text));
	memcpy(text + sizeof(text) - 11, "\n192.0.2.1\n", 11);
	hear(&h, LIST_PLAIN, ACCESS_CLIENT, span_of(text, sizeof(text)));
	expect_text("what follows", &h.out, "2 deny 192.0.2.1/32\n");
	expect_text("a problem", &h.problems,
		    "f:1: a line of 1048565 bytes; at most 16384 can be read\n");
}

/* Nobody reads ten million of them. */
static void only_the_first_hundred_problems_are_told(void **unused)
{
	static struct heard h;
	static char text[200000];

	(void)unused;
	for (size_t i = 0; i < sizeof(text); i += 2)
		memcpy(text + i, "x\n", 2);
	hear(&h, LIST_PLAIN, ACCESS_CLIENT, span_of(text, sizeof(text)));
	expect_true("the hundredth", strstr((char *)h.problems_mem, "f:60:") != NULL);
	expect_true("no more", strstr((char *)h.problems_mem, "f:101:") == NULL);
}

static void a_format_is_named_or_seen(void **unused)
{
	const char *path;

	(void)unused;
	expect_number("cidr", list_format_of("cidr:/x", &path), LIST_CIDR);
	expect_span("its path", span_str(path), SPAN("/x"));
	expect_number("texthash", list_format_of("texthash:/x", &path), LIST_HASH);
	expect_number("none", list_format_of("/etc/cidr:x", &path), LIST_PLAIN);
	expect_span("all of it", span_str(path), SPAN("/etc/cidr:x"));
	expect_number("plain", list_sniff(SPAN("# x\n192.0.2.1\n")), LIST_PLAIN);
	expect_number("ipset", list_sniff(SPAN("create x hash:ip\n")), LIST_IPSET);
	expect_number("nft", list_sniff(SPAN("table inet x {\n")), LIST_IPSET);
	expect_number("fail2ban", list_sniff(SPAN("[{'sshd': []}]\n")), LIST_IPSET);
	expect_number("tcprules", list_sniff(SPAN("1.2.3.4:deny\n")), LIST_TCPRULES);
	expect_number("tcprules, default", list_sniff(SPAN(":allow\n")), LIST_TCPRULES);
	expect_number("IPv6", list_sniff(SPAN("2001:db8::/32\n")), LIST_PLAIN);
	expect_number("cidr", list_sniff(SPAN("192.0.2.0/24 REJECT\n")), LIST_CIDR);
	expect_number("an if", list_sniff(SPAN("if 192.0.2.0/24\n")), LIST_CIDR);
	expect_number("hash", list_sniff(SPAN("192.0.2 REJECT\n")), LIST_HASH);
	expect_number("nothing", list_sniff(SPAN("")), LIST_PLAIN);
}

static void dates_are_printed_as_they_are_read(void **unused)
{
	int64_t wall;

	(void)unused;
	for (int64_t day = 0; day < 49000; day += 13) {
		BUF(text, 40);
		int64_t at = day * MS_DAY + day % 86400 * MS_SECOND;

		list_date_print(at, &text);
		expect_true("a date", list_date_parse(buf_span(&text), &wall));
		expect_number("the same", wall, at);
	}
	expect_true("a number", list_date_parse(SPAN("@1795000000"), &wall));
	expect_number("it", wall, NOW);
	expect_false("month 13", list_date_parse(SPAN("2026-13-01"), &wall));
	expect_false("day 0", list_date_parse(SPAN("2026-01-00"), &wall));
	expect_false("more", list_date_parse(SPAN("2026-01-01T10:00:00ZZ"), &wall));
	expect_false("less", list_date_parse(SPAN("2026-01"), &wall));
}

/* fail2ban shows what the clock on the wall shows. */
static void dates_of_fail2ban_are_in_local_time(void **unused)
{
	static const struct row west[] = {
		{ "in winter", IPSET,
		  "192.0.2.1 2026-11-20 10:00:00 + 600 = 2026-11-20 10:10:00\n",
		  "1 deny 192.0.2.1/32 until 2026-11-20T15:10:00Z\n", NULL },
		{ "in summer", IPSET,
		  "192.0.2.1 2027-07-01 10:00:00 + 600 = 2027-07-01 10:10:00\n",
		  "1 deny 192.0.2.1/32 until 2027-07-01T14:10:00Z\n", NULL },
		{ "for good", IPSET,
		  "192.0.2.2 2026-11-20 10:00:00 + -1 = 9999-12-31 23:59:59\n",
		  "1 deny 192.0.2.2/32\n", NULL },
	};

	(void)unused;
	expect_number("in New York", setenv("TZ", "EST5EDT,M3.2.0,M11.1.0", 1), 0);
	check(west, COUNT_OF(west));
	expect_number("everywhere else", setenv("TZ", "UTC0", 1), 0);
}

static void a_reason_is_cut_between_two_characters(void **unused)
{
	static const struct {
		const char *why, *end;
		int64_t n;
	} cuts[] = {
		{ "three bytes that just fit",
		  "\xe2\x82\xac"
		  "y",
		  200 },
		{ "the last of four does not", "\xf0\x9f\x98\x80", 197 },
		{ "the last two of four do not", "x\xf0\x9f\x98\x80", 198 },
	};
	struct addr a = addr_v4(192, 0, 2, 1);
	const uint64_t key[2] = { 1, 2 };

	(void)unused;
	for (size_t i = 0; i < COUNT_OF(cuts); i++) {
		struct problems problems = { .on_problem = on_problem };
		struct list_source src = { .action = ACCESS_DENY, .file = "f" };
		struct access_hit hit;
		struct lists l;
		BUF(text, 300);

		buf_fmt(&text, "192.0.2.1 %0197d%s\n", 0, cuts[i].end);
		lists_init(&l, key, NOW, &problems);
		lists_begin(&l, ACCESS_CLIENT, LIST_PLAIN, "f");
		lists_bytes(&l, &src, buf_span(&text));
		expect_true("made", lists_make(&l));
		hit = access_client(l.blob, l.blob_n, &a, NOW);
		expect_number(cuts[i].why, (int64_t)hit.why.n, cuts[i].n);
		expect_true(cuts[i].why, utf8_ok(hit.why));
		lists_free(&l);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(plain_lists_are_read),
		cmocka_unit_test(cidr_tables_are_read_as_postfix_does),
		cmocka_unit_test(access_tables_are_read_as_postfix_does),
		cmocka_unit_test(tcprules_are_read),
		cmocka_unit_test(sets_of_firewalls_are_read),
		cmocka_unit_test(a_nul_byte_is_a_problem_of_its_line),
		cmocka_unit_test(a_line_of_a_megabyte_is_a_problem_of_its_line),
		cmocka_unit_test(only_the_first_hundred_problems_are_told),
		cmocka_unit_test(a_format_is_named_or_seen),
		cmocka_unit_test(dates_are_printed_as_they_are_read),
		cmocka_unit_test(dates_of_fail2ban_are_in_local_time),
		cmocka_unit_test(a_reason_is_cut_between_two_characters),
	};

	expect_number("the time of this machine", setenv("TZ", "UTC0", 1), 0);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
