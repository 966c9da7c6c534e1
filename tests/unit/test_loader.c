/* The loader on real files, since libconfig wants them. */
#include "expect.h"

#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "app/loader.h"
#include "base/list.h"
#include "conf/certs.h"
#include "conf/sections.h"
#include "conf/tables.h"

static char home[] = "/tmp/holdfast-test-loader-XXXXXX";
static char said[20000];

static void on_problem(void *arg, bool fatal, const char *text)
{
	size_t n = strlen(said);

	(void)arg;
	snprintf(said + n, sizeof(said) - n, "%s%s\n", fatal ? "" : "warning: ", text);
}

static void write_file(const char *name, const char *text)
{
	char path[200];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", home, name);
	f = fopen(path, "we");
	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	assert_int_equal(fclose(f), 0);
	assert_int_equal(chmod(path, 0600), 0);
}

static bool load_with(const char *text, const char *const *set, size_t set_count,
		      struct loaded **out)
{
	char path[200];
	struct loader_request r = {
		.path = path, .set = set, .set_count = set_count, .on_problem = on_problem
	};

	snprintf(path, sizeof(path), "%s/a.conf", home);
	write_file("a.conf", text);
	*said = '\0';
	return loader_load(&r, out);
}

/* Without the directory, so that rows can be compared. */
static const char *said_short(void)
{
	static char text[sizeof(said)];
	const char *from = said;
	char *to = text;
	size_t n = strlen(home);

	while (*from) {
		if (strncmp(from, home, n) == 0 && from[n] == '/')
			from += n + 1;
		else
			*to++ = *from++;
	}
	*to = '\0';
	return text;
}

/* clang-format off */
static const struct {
	const char *text, *says;
} wrong[] = {
	{ "smtp: { greet-delay = \"90s\"; };",      "a.conf:1: smtp.greet-delay: 90s is outside 0s to 60s\n" },
	{ "smtp: { greet-delay = 5; };",            "a.conf:1: smtp.greet-delay: 5 needs a unit, in quotes: \"5s\"\n" },
	{ "smtp: { greet-delay = \"soon\"; };",     "a.conf:1: smtp.greet-delay: \"soon\" is not a time: 500ms, 30s, 5m, 12h, 31d\n" },
	{ "smtp: { message-max = \"50x\"; };",      "a.conf:1: smtp.message-max: \"50x\" is not a size: 512, 64k, 25m, 2g\n" },
	{ "smtp: { recipients = -1; };",            "a.conf:1: smtp.recipients: \"-1\" is not a number\n" },
	{ "smtp: { chunking = 1; };",               "a.conf:1: smtp.chunking: \"1\" is not true or false\n" },
	{ "hostname = 5;",                          "a.conf:1: hostname: this is a number, but wanted is a text, in quotes\n" },
	{ "hostname = \"a b\";",                    "a.conf:1: hostname: \"a b\" is not a host name\n" },
	{ "tls: { min-version = 1.2; };",           "a.conf:1: tls.min-version: this is a number, but wanted is one of the words, in quotes\n" },
	{ "tls: { min-version = \"1.1\"; };",       "a.conf:1: tls.min-version: \"1.1\" is none of 1.2|1.3\n" },
	{ "sessions: { max = 5000000000; };",       "a.conf:1: sessions.max: the number is too large: put an L behind it\n" },
	{ "sessions: { max = 5000000000L; };",      "a.conf:1: sessions.max: 5000000000 is outside 1 to 200000\n" },
	{ "smtp = 5;",                              "a.conf:1: smtp is a group: smtp: { ... };\n" },
	{ "hostname: { a = 1; };",                  "a.conf:1: hostname: this is a group { }, but wanted is a text, in quotes\n" },
	{ "\n\nsmpt: { x = 1; };",                  "a.conf:3: there is no setting \"smpt\"\n" },
	{ "smtp: { gret-delay = \"1s\"; };",        "a.conf:1: there is no setting \"smtp.gret-delay\"; did you mean \"smtp.greet-delay\"?\n" },
	{ "greet-delay = \"1s\";",                  "a.conf:1: there is no setting \"greet-delay\"; did you mean \"smtp.greet-delay\"?\n" },
	{ "domain = [ \"a.example\" ];",            "a.conf:1: there is no setting \"domain\"; did you mean \"domains\"?\n" },
	{ "certificates = ();",                     "a.conf:1: there is no setting \"certificates\"; did you mean \"tls.certificates\"?\n" },
	{ "a = 1;\na = 2;",                         "a.conf:2: this name stands twice in one group: put what both say into one\n" },
	{ "a = ;",                                  "a.conf:1: syntax error, here or at the end of the line before: a ; or a bracket too few or too many?\n" },
	{ "\n  smtp.hops = 50;",                      "a.conf:2: a name has no dot here: write smtp: { hops = ...; };\n" },
	{ "smtp.hop = 50;",                           "a.conf:1: syntax error, here or at the end of the line before: a ; or a bracket too few or too many?\n" },
	{ "guard.observe = [ \"dnsbl\" ];",          "a.conf:1: a name has no dot here: write guard: { observe = ...; };\n" },
	{ "@include \"b.conf\"",                    "a.conf:1: cannot open include file\n" },
	{ "domains = \"a.example\";",               "a.conf:1: domains: this is a text, but wanted is a list: domains = [ \"example.org\" ];\n" },
	{ "domains = [ 5 ];",                       "a.conf:1: domains: this is a number, but wanted is a text, in quotes\n" },
	{ "domains = [ \"a..example\" ];",          "a.conf:1: \"a..example\" is not a domain\n" },
	{ "\ndomains = [ \"\u2603.example\" ];",   "a.conf:2: \"\u2603.example\" is not a domain: it has characters, or an order of them, that domains may not have\n" },
	{ "domains = [ \"xn--99999999.example\" ];", "a.conf:1: \"xn--99999999.example\" is not a domain: what begins with xn-- is no A-label\n" },
	{ "relays = ( { domain = \"b\u00fccher.example\"; },\n{ domain = \"xn--bcher-kva.example\"; to = \"none\"; } );", "a.conf:2: relays: xn--bcher-kva.example has two entries\n" },
	{ "send-as = ( { login = \"bob@\u2603.example\"; address = \"@a.example\"; } );", "a.conf:1: send-as: login: \"bob@\u2603.example\" has no domain: it has characters, or an order of them, that domains may not have\n" },
	{ "listen = ( \"*:25\" );",                 "a.conf:1: listen: this is a text, but wanted is a group: listen = ( { address = \"*:25\"; } );\n" },
	{ "listen = ( { address = \"25\"; } );",    "a.conf:1: listen: \"25\" is none of 192.0.2.7:25, [2001:db8::1]:25, *:25, unix:/path\n" },
	{ "listen = ( { adress = \"*:25\"; } );",   "a.conf:1: listen: there is no \"adress\" in it; did you mean \"address\"?\na.conf:1: listen: \"address\" is missing\n" },
	{ "listen = ( { address = \"*:25\"; proxy = \"yes\"; } );", "a.conf:1: listen: proxy: this is a text, but wanted is true or false\n" },
	{ "listen = ( { address = \"*:25\"; proxy = true; } );", "a.conf:1: listen: smtp *:25 has proxy = true, but proxy-from is empty: nobody could connect\n" },
	{ "listen = ( { address = \"*:25\"; tls = \"starttls\"; } );", "a.conf:1: listen: smtp *:25 is to speak TLS, but there is no certificate (tls: { certificates = ... })\n" },
	{ "listen = ( { address = \"*:25\"; },\n{ address = \"192.0.2.7:25\"; } );", "a.conf:2: listen: smtp 192.0.2.7:25 overlaps with smtp *:25\n" },
	{ "listen = ( { address = \"[::1]:25\"; },\n{ address = \"[::1]:25\"; } );", "a.conf:2: listen: smtp [::1]:25 overlaps with smtp [::1]:25\n" },
	{ "listen = ( { address = \"0.0.0.0:25\"; },\n{ address = \"127.0.0.1:25\"; } );", "a.conf:2: listen: smtp 127.0.0.1:25 overlaps with smtp 0.0.0.0:25\n" },
	{ "routes = ( { domain = \"a.example\"; to = \"smtp\"; } );", "a.conf:1: routes: \"smtp\" is none of maildir, discard, lmtp:unix:/path, lmtp:host:port, smtp:host:port\n" },
	{ "routes = ( { domain = \"a.example\"; to = \"smtp:host\"; } );", "a.conf:1: routes: \"smtp:host\" is not smtp:host:port\n" },
	{ "routes = ( { domain = \"a.example\"; to = \"lmtp:unix:lmtp\"; } );", "a.conf:1: routes: \"lmtp:unix:lmtp\" is not lmtp:unix:/path\n" },
	{ "routes = ( { domain = \"a.example\"; to = \"maildir\"; verify = true; } );", "a.conf:1: routes: a.example has verify = true, but no next hop that could be asked\n" },
	{ "routes = ( { domain = \"a.example\"; to = \"discard\"; },\n{ domain = \"A.example\"; to = \"discard\"; } );", "a.conf:2: routes: a.example has two routes\n" },
	{ "delivery: { to = \"maildirs\"; };",      "a.conf:1: delivery.to: \"maildirs\" is none of maildir, discard, lmtp:unix:/path, lmtp:host:port, smtp:host:port\n" },
	{ "delivery: { maildirs = \"mail/%d\"; };", "a.conf:1: delivery.maildirs: without %u all users have the same Maildir\n" },
	{ "proxy-from = [ \"192.0.2.7/24\" ];",     "a.conf:1: proxy-from: \"192.0.2.7/24\" is neither an address nor a network such as 192.0.2.0/24 (all bits behind the slash must be zero)\n" },
	{ "queue: { retry-first = \"5h\"; };",      "a.conf:1: queue.retry-first is more than queue.retry-max\n" },
	{ "queue: { retry-max = \"1m\"; };",        "a.conf:1: queue.retry-first is more than queue.retry-max\n" },
	{ "recipients: { detail = \"a\"; };",       "a.conf:1: recipients.detail: \"a\" cannot separate\n" },
	{ "tls: { ciphers = \"rot13\"; };",         "a.conf:1: tls.ciphers: OpenSSL does not understand \"rot13\"\n" },
	{ "tls: { certificates = ( { cert = \"no.crt\"; key = \"no.key\"; } ); };", "a.conf:1: tls.certificates: cannot read no.crt: No such file or directory\n" },
	{ "sources = ( { kind = \"aliases\"; file = \"none\"; } );", "a.conf:1: sources: cannot read none: No such file or directory\n" },
	{ "sources = ( { kind = \"people\"; file = \"none\"; } );", "a.conf:1: sources: kind: \"people\" is none of addresses|domains|aliases\n" },
	{ "listen = ( { address = \"unix:sock\"; service = \"submission\"; } );", "a.conf:1: listen: \"unix:sock\" is not unix:/path with at most 107 bytes\n" },
	{ "listen = ( { address = \"unix:/run/s\"; } );", "a.conf:1: listen: smtp unix:/run/s: unix:/path is for service = \"submission\" only\n" },
	{ "listen = ( { address = \"unix:/s\"; service = \"submission\"; tls = \"implicit\"; } );", "a.conf:1: listen: submission unix:/s: there is no TLS on a socket of this machine\n" },
	{ "listen = ( { address = \"unix:/s\"; service = \"submission\"; proxy = true; } );", "a.conf:1: listen: submission unix:/s: there is no PROXY header on a socket of this machine\n" },
	{ "listen = ( { address = \"unix:/s\"; service = \"submission\"; },\n{ address = \"unix:/s\"; service = \"submission\"; } );", "a.conf:2: listen: submission unix:/s overlaps with submission unix:/s\n" },
	{ "delivery: { relay = \"lmtp:host:24\"; };", "a.conf:1: delivery.relay: \"lmtp:host:24\" is none of mx, none, smtp:host:port\n" },
	{ "delivery: { relay = \"smtp:host\"; };",  "a.conf:1: delivery.relay: \"smtp:host\" is not smtp:host:port\n" },
	{ "delivery: { source = \"192.0.2.7, here\"; };", "a.conf:1: delivery.source: \"here\" is not an address\n" },
	{ "delivery: { srs-domain = \"a b\"; };",   "a.conf:1: delivery.srs-domain: \"a b\" is not a domain\n" },
	{ "relays = ( { domain = \"a.example\"; to = \"maildir\"; } );", "a.conf:1: relays: \"maildir\" is none of mx, none, smtp:host:port\n" },
	{ "relays = ( { domain = \"..example\"; } );", "a.conf:1: \".example\" is not a domain\n" },
	{ "relays = ( { domain = \"a.example\"; },\n{ domain = \"A.example\"; to = \"none\"; } );", "a.conf:2: relays: a.example has two entries\n" },
	{ "relays = ( { domain = \"a.example\"; login = \"a b\"; } );", "a.conf:1: relays: login: \"a b\" is not a text of at most 255 visible characters\n" },
	{ "auth: { mechanisms = \"plain, cram-md5\"; };", "a.conf:1: auth.mechanisms: there is no \"cram-md5\"; there are plain, login, scram-sha-256, scram-sha-256-plus, oauthbearer, xoauth2, external\n" },
	{ "auth: { mechanisms = \"\"; };\nlisten = ( { address = \"127.0.0.1:587\"; service = \"submission\"; } );", "a.conf:1: auth.mechanisms names none, but there are listeners where users log in\n" },
	{ "auth: { delay = \"20s\"; };",           "a.conf:1: auth.delay is more than auth.delay-max\n" },
	{ "auth: { sources = ( { kind = \"passwd-file\"; } ); };", "a.conf:1: auth.sources: \"path\" is missing\n" },
	{ "auth: { sources = ( { kind = \"dovecot\"; path = \"/run/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"; } ); };", "a.conf:1: auth.sources: a path of 108 bytes is too long for a socket: at most 107\n" },
	{ "auth: { sources = ( { kind = \"database\"; path = \"/x\"; } ); };", "a.conf:1: auth.sources: this kind has no \"path\"\n" },
	{ "auth: { sources = ( { kind = \"pam\"; } ); };", "a.conf:1: auth.sources: kind: \"pam\" is none of database|passwd-file|dovecot|backend\n" },
	{ "auth: { traps = [ \"\" ]; };",           "a.conf:1: auth.traps: a name is empty\n" },
	{ "auth: { mechanisms = \"xoauth2\"; oauth = ( { issuer = \"i\"; audience = \"a\"; } ); };", "a.conf:1: auth.oauth: i: without \"keys\" or \"introspect\" no token can be judged\n" },
	{ "auth: { mechanisms = \"xoauth2\"; oauth = ( { issuer = \"i\"; audience = \"a\"; keys = \"http://i/k\"; } ); };", "a.conf:1: auth.oauth: keys: \"http://i/k\" is neither an https address nor a file\nwarning: a.conf:1: auth.mechanisms offers tokens, but auth.oauth names nobody who may vouch with them\n" },
	{ "auth: { mechanisms = \"xoauth2\"; oauth = ( { issuer = \"i\"; audience = \"a\"; introspect = \"/i\"; } ); };", "a.conf:1: auth.oauth: introspect: \"/i\" is not an https address\nwarning: a.conf:1: auth.mechanisms offers tokens, but auth.oauth names nobody who may vouch with them\n" },
	{ "send-as = ( { login = \"bob@a.example\"; address = \"info\"; } );", "a.conf:1: send-as: wanted are a login, and an address or @domain\n" },
	{ "dkim = ( { domain = \"a.example\"; selector = \"a_b..c\"; } );", "a.conf:1: dkim: the selector \"a_b..c\" is not a name of at most 63 letters, digits and hyphens (RFC 6376, 3.1)\n" },
	{ "dkim = ( { domain = \"a.example\"; selector = \"s\"; },\n{ domain = \"a.example\"; selector = \"S\"; algorithm = \"ed25519\"; } );", "a.conf:2: dkim: a.example: two keys have the selector s\n" },
	{ "queue: { delay-notice = \"5d\"; lifetime = \"1d\"; };", "a.conf:1: queue.delay-notice is more than queue.lifetime\n" },
	{ "listen = ( { address = \"*:25\"; service = \"nntp\"; } );",
	  "a.conf:1: listen: service: \"nntp\" is none of smtp|submission|imap|pop3\n" },
	{ "listen = ( { address = \"127.0.0.1:143\"; service = \"imap\"; } );",
	  "a.conf:1: listen: imap 127.0.0.1:143: there is no server behind it: none of backends has \"imap\"\n" },
	{ "listen = ( { address = \"127.0.0.1:110\"; service = \"pop3\"; } );\nmailbox: { pop3-maildir = false; };",
	  "a.conf:1: listen: pop3 127.0.0.1:110: there is no server behind it: none of backends has \"pop3\", and mailbox.pop3-maildir is false\n" },
	{ "backends = ( { imap = \"127.0.0.1:1143\"; } );",
	  "a.conf:1: backends: \"name\" is missing\n" },
	{ "listen = ( { address = \"127.0.0.1:143\"; service = \"imap\"; } );\nbackends = ( { name = \"a b\"; imap = \"127.0.0.1:1143\"; } );",
	  "a.conf:2: backends: \"a b\" is not a name of at most 63 letters, digits, _, - and .\na.conf:1: listen: imap 127.0.0.1:143: there is no server behind it: none of backends has \"imap\"\n" },
	{ "backends = ( { name = \"a\"; imap = \"host\"; } );",
	  "a.conf:1: backends: imap: \"host\" is not host:port\n" },
	{ "backends = ( { name = \"a\"; pop3 = \"127.0.0.1:99999\"; } );",
	  "a.conf:1: backends: pop3: \"127.0.0.1:99999\" is not host:port\n" },
	{ "listen = ( { address = \"127.0.0.1:110\"; service = \"pop3\"; } );\nbackends = ( { name = \"a\"; } );",
	  "a.conf:2: backends: a has neither \"imap\" nor \"pop3\"\n" },
	{ "listen = ( { address = \"127.0.0.1:143\"; service = \"imap\"; } );\nbackends = ( { name = \"a\"; imap = \"127.0.0.1:1143\"; weight = 101; } );",
	  "a.conf:2: backends: a: the weight 101 is outside 0 to 100\na.conf:1: listen: imap 127.0.0.1:143: there is no server behind it: none of backends has \"imap\"\n" },
	{ "listen = ( { address = \"127.0.0.1:143\"; service = \"imap\"; } );\nbackends = ( { name = \"a\"; imap = \"127.0.0.1:1143\"; login = \"root\"; } );",
	  "a.conf:2: backends: login: \"root\" is none of same|master|authzid|own\na.conf:1: listen: imap 127.0.0.1:143: there is no server behind it: none of backends has \"imap\"\n" },
	{ "listen = ( { address = \"127.0.0.1:143\"; service = \"imap\"; } );\nbackends = ( { name = \"a\"; imap = \"127.0.0.1:1143\"; login = \"master\"; } );",
	  "a.conf:2: backends: a: \"credential\" is missing, which login = \"master\", \"authzid\" and \"own\" log in with\n" },
	{ "listen = ( { address = \"127.0.0.1:143\"; service = \"imap\"; } );\nbackends = ( { name = \"a\"; imap = \"127.0.0.1:1143\"; },\n{ name = \"a\"; imap = \"127.0.0.1:1144\"; } );",
	  "a.conf:3: backends: a is there twice\n" },
	{ "listen = ( { address = \"*:143\"; service = \"imap\"; } );\nauth: { without-tls = true; };\nbackends = ( { name = \"a\"; imap = \"127.0.0.1:143\"; } );",
	  "a.conf:3: backends: a: 127.0.0.1:143 is our own listener imap *:143\n" },
	{ "listen = ( { address = \"127.0.0.1:143\"; service = \"imap\"; } );\nbackends = ( { name = \"a\"; imap = \"127.0.0.1:1143\"; } );\nmailboxes = ( { user = \"bob\"; backend = \"b\"; } );",
	  "a.conf:3: mailboxes: bob: there is no \"b\" among backends\n" },
	{ "listen = ( { address = \"127.0.0.1:143\"; service = \"imap\"; } );\nbackends = ( { name = \"a\"; imap = \"127.0.0.1:1143\"; } );\nmailboxes = ( { user = \"@\"; backend = \"a\"; } );",
	  "a.conf:3: mailboxes: \"@\" is neither a user nor @domain\n" },
	{ "listen = ( { address = \"127.0.0.1:143\"; service = \"imap\"; } );\nbackends = ( { name = \"a\"; imap = \"127.0.0.1:1143\"; } );\nmailboxes = ( { user = \"@a.example\"; backend = \"a\"; },\n{ user = \"Bob@A.example\"; backend = \"a\"; } );",
	  "a.conf:4: mailboxes: bob@a.example stands behind @a.example, and so is never looked at\n" },
	{ "listen = ( { address = \"127.0.0.1:143\"; service = \"imap\"; } );\nbackends = ( { name = \"a\"; imap = \"127.0.0.1:1143\"; } );\nauth: { sources = ( { kind = \"backend\"; }, { kind = \"database\"; } ); };",
	  "a.conf:3: auth.sources: kind = \"backend\" must be the last: it cannot say whether it knows a user, and those behind it were never asked\n" },
	{ "auth: { sources = ( { kind = \"backend\"; } ); };",
	  "a.conf:1: auth.sources: kind = \"backend\" needs a server among backends\n" },
	{ "hostname = \"\u2603.example\";",          "a.conf:1: hostname: \"\u2603.example\" names no host: it has characters, or an order of them, that domains may not have\n" },
	{ "delivery: { to = \"smtp:\u2603.example:25\"; };", "a.conf:1: delivery.to: \"smtp:\u2603.example:25\" names no host: it has characters, or an order of them, that domains may not have\n" },
	{ "relays = ( { domain = \"a.example\"; to = \"smtp:\u05d0a.example:25\"; } );", "a.conf:1: relays: \"smtp:\u05d0a.example:25\" names no host: letters of both directions are mixed (RFC 5893)\n" },
	{ "routes = ( { domain = \"a.example\"; to = \"lmtp:xn--99999999.example:24\"; } );", "a.conf:1: routes: \"lmtp:xn--99999999.example:24\" names no host: what begins with xn-- is no A-label\n" },
	{ "listen = ( { address = \"127.0.0.1:143\"; service = \"imap\"; } );\nbackends = ( { name = \"a\"; imap = \"127.0.0.1:1143\"; pop3 = \"\u2603:110\"; } );",
	  "a.conf:2: backends: \"\u2603:110\" names no host: it has characters, or an order of them, that domains may not have\na.conf:1: listen: imap 127.0.0.1:143: there is no server behind it: none of backends has \"imap\"\n" },
	{ "run: { user-edge = \"root\"; };",         "a.conf:1: run.user-edge: \"root\" is root, who may do everything, and no role may: name a user of its own, as \"systemd-sysusers holdfast.conf\" makes them\n" },
	{ "run: { user-watch = \"0:61190\"; };",     "a.conf:1: run.user-watch: \"0:61190\" is root, who may do everything, and no role may: name a user of its own, as \"systemd-sysusers holdfast.conf\" makes them\n" },
	{ "hostname = \"a\x1b[2Jb\";",              "a.conf:1: hostname: the text holds control characters or is not UTF-8\n" },
};
/* clang-format on */

static void every_mistake_is_named_with_its_place(void **unused)
{
	(void)unused;
	for (size_t i = 0; i < COUNT_OF(wrong); i++) {
		struct loaded *l;

		expect_false(wrong[i].text, load_with(wrong[i].text, NULL, 0, &l));
		expect_span(wrong[i].text, span_str(said_short()),
			    span_str(wrong[i].says));
		loader_close(&l);
	}
}

static void all_mistakes_are_reported_at_once(void **unused)
{
	struct loaded *l;

	(void)unused;
	assert_false(load_with("hostnam = \"a\";\nsmtp: { hops = 1;\n errors = 0; };\n"
			       "domains = [ \"-\" ];\n",
			       NULL, 0, &l));
	assert_int_equal(l->fatal, 4);
	expect_span("all four", span_str(said_short()),
		    SPAN("a.conf:1: there is no setting \"hostnam\"; did you mean \"hostname\"?\n"
			 "a.conf:2: smtp.hops: 1 is outside 10 to 1000\n"
			 "a.conf:3: smtp.errors: 0 is outside 1 to 10000\n"
			 "a.conf:4: \"-\" is not a domain\n"));
	loader_close(&l);
}

/* clang-format off */
static const struct {
	const char *set, *says;
} not_set[] = {
	{ "guard.observe=x", "--set: guard.observe is a list, which only the file can hold: guard: { observe = [ \"dnsbl\" ]; };\n" },
	{ "listen=x",        "--set: listen is a list, which only the file can hold: listen = ( { address = \"*:25\"; } );\n" },
	{ "smtp=x",          "--set: smtp is a group: name one setting in it, as `holdfast config defaults` lists them\n" },
	{ "smtp.hop=x",      "--set: there is no setting \"smtp.hop\"; did you mean \"smtp.hops\"?\n" },
	{ "hops=x",          "--set: there is no setting \"hops\"; did you mean \"smtp.hops\"?\n" },
	{ "nothing-near=x",  "--set: there is no setting \"nothing-near\"\n" },
	{ "=x",              "--set: there is no setting \"\"\n" },
	{ "smtp.hops",       "--set: \"smtp.hops\" is not KEY=VALUE\n" },
};
/* clang-format on */

static struct loaded *load_set(const char *set)
{
	struct loader_request r = {
		.set = &set, .set_count = 1, .conf_only = true, .on_problem = on_problem
	};
	struct loaded *l;

	*said = '\0';
	(void)!loader_load(&r, &l);
	assert_non_null(l);
	return l;
}

static void what_set_cannot_set_is_told_why(void **unused)
{
	(void)unused;
	for (size_t i = 0; i < COUNT_OF(not_set); i++) {
		struct loaded *l = load_set(not_set[i].set);

		expect_number(not_set[i].set, l->fatal, 1);
		expect_span(not_set[i].set, span_str(said), span_str(not_set[i].says));
		loader_close(&l);
	}
}

static const char *key_at(size_t i)
{
	return i < SETTINGS_COUNT ? setting_table[i].key
				  : section_table[i - SETTINGS_COUNT].key;
}

/* Cut at the front or the back, in it or not at all: what is near to a key, or is one. */
static void a_hint_is_never_refused_itself(void **unused)
{
	size_t hints = 0;

	(void)unused;
	for (size_t i = 0; i < 4 * (SETTINGS_COUNT + SECTION_COUNT); i++) {
		struct span key = span_str(key_at(i / 4));
		size_t dot = span_find(key, '.');
		const struct span part[] = { key, span_head(key, key.n - 1),
					     span_skip(key, 1),
					     span_skip(key, dot < key.n ? dot + 1 : 0) };
		const char *all = key_suggest(part[i % 4], SUGGEST_ALL);
		const char *one = key_suggest(part[i % 4], SUGGEST_SETTINGS);

		hints += all != NULL;
		if (all)
			expect_true(all,
				    setting_find(span_str(all)) ||
					    section_find(span_str(all)) != SECTION_COUNT);
		if (one)
			expect_true(one, setting_find(span_str(one)) != NULL);
	}
	assert_true(hints > 4 * SETTINGS_COUNT);
}

/* Said through --set itself: each key of the tables, and what its hint then leads to. */
static void the_hint_of_set_can_be_set(void **unused)
{
	static const char mark[] = "did you mean \"";
	char set[200], hint[100];

	(void)unused;
	for (size_t i = 0; i < SETTINGS_COUNT + SECTION_COUNT; i++) {
		struct loaded *l;
		const char *at;

		snprintf(set, sizeof(set), "%s=%s", key_at(i),
			 i < SETTINGS_COUNT ? setting_table[i].def : "x");
		l = load_set(set);
		expect_true(set, strstr(said, "did you mean") == NULL);
		loader_close(&l);
		snprintf(set, sizeof(set), "%sx=x", key_at(i));
		l = load_set(set);
		at = strstr(said, mark);
		if (at) {
			snprintf(hint, sizeof(hint), "%.*s",
				 (int)strcspn(at + sizeof(mark) - 1, "\""),
				 at + sizeof(mark) - 1);
			expect_true(hint, setting_find(span_str(hint)) != NULL);
		}
		loader_close(&l);
	}
}

static void an_empty_file_is_a_working_server(void **unused)
{
	struct loaded *l;
	struct span left;

	(void)unused;
	expect_true(said, load_with("", NULL, 0, &l));
	assert_true(conf_ok(&l->conf, sizeof(l->conf)));
	assert_int_equal(l->conf.listener_count, 1);
	assert_string_equal(l->conf.listeners[0].name, "smtp *:25");
	assert_int_equal(l->conf.listeners[0].tls, TLS_NONE);
	assert_true(*l->conf.set.hostname != '\0');
	assert_true(certs_open(l->certs, &left));
	assert_true(tables_open(l->tables, &left));
	loader_close(&l);
}

static void values_reach_the_struct(void **unused)
{
	const char *const set[] = { "smtp.hops=20", "hostname=set.example" };
	struct loaded *l;

	(void)unused;
	write_file("b.conf", "errors = 7;\n");
	expect_true(said,
		    load_with("hostname = \"mx.example\"; dir = \"data\";\n"
			      "smtp: { hops = 30; message-max = \"1m\";\n"
			      "@include \"b.conf\"\n};\n"
			      "listen = ( { address = \"127.0.0.1:2025\"; proxy = true; },\n"
			      "           { address = \"[::1]:2025\"; } );\n"
			      "domains = [ \"Example.ORG\" ];\n"
			      "routes = ( { domain = \"example.org\"; verify = true;\n"
			      "             to = \"lmtp:unix:/run/lmtp\"; } );\n"
			      "proxy-from = [ \"192.0.2.0/24\", \"::1\" ];\n"
			      "xclient-from = ( \"192.0.2.7\" );\n"
			      "delivery: { to = \"smtp:[::1]:25\"; };\n",
			      set, 2, &l));
	assert_true(conf_ok(&l->conf, sizeof(l->conf)));
	assert_string_equal(l->conf.set.hostname, "set.example");
	assert_string_equal(l->origins.set[SET_hostname].file, "--set");
	assert_int_equal(l->conf.set.hops, 20);
	assert_int_equal(l->conf.set.errors, 7);
	assert_int_equal(l->conf.set.message_max, 1 << 20);
	assert_int_equal(l->origins.set[SET_message_max].line, 2);
	assert_true(strncmp(l->conf.set.dir, home, strlen(home)) == 0);
	assert_int_equal(l->conf.listener_count, 2);
	assert_string_equal(l->conf.listeners[0].name, "smtp 127.0.0.1:2025");
	assert_string_equal(l->conf.listeners[1].name, "smtp [::1]:2025");
	assert_true(l->conf.listeners[0].id != l->conf.listeners[1].id);
	assert_true(l->conf.listeners[0].proxy);
	assert_string_equal(l->conf.domains[0], "example.org");
	assert_int_equal(l->conf.routes[0].hop, HOP_LMTP_UNIX);
	assert_string_equal(l->conf.routes[0].target, "/run/lmtp");
	assert_true(l->conf.routes[0].verify);
	assert_int_equal(l->conf.proxy_count, 2);
	assert_int_equal(l->conf.xclient_count, 1);
	assert_int_equal(l->conf.deliver_hop, HOP_SMTP);
	assert_string_equal(l->conf.deliver_target, "[::1]:25");
	loader_close(&l);
}

static void binary_mail_is_taken_where_nobody_behind_us_refuses_it(void **state)
{
#define LMTP "routes = ( { domain = \"a.example\"; to = \"lmtp:[::1]:24\"; } ); "
	static const struct {
		const char *text;
		bool taken;
	} rows[] = {
		{ "", true },
		{ "delivery: { to = \"discard\"; };", true },
		{ "delivery: { to = \"smtp:[::1]:25\"; };", false },
		{ LMTP, false },
		{ LMTP "smtp: { binary = \"yes\"; };", true },
		{ "smtp: { binary = \"no\"; };", false },
		{ "smtp: { binary = \"yes\"; chunking = false; };", false },
		{ "smtp: { chunking = false; };", false },
	};
	struct loaded *l;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		expect_true(rows[i].text, load_with(rows[i].text, NULL, 0, &l));
		expect_true(rows[i].text, conf_takes_binary(&l->conf) == rows[i].taken);
		loader_close(&l);
	}
}

/* clang-format off */
static const struct {
	const char *text, *says;
} doubtful[] = {
	{ "listen = ( { address = \"*:587\"; service = \"submission\"; } );",
	  "warning: a.conf:1: listen: submission *:587: nobody can log in there, as no passwords are taken without TLS: give it a certificate, or set auth.without-tls\n" },
	{ "auth: { without-tls = true; };\nlisten = ( { address = \"*:587\"; service = \"submission\"; } );", "" },
	{ "listen = ( { address = \"127.0.0.1:587\"; service = \"submission\"; }, { address = \"[::1]:587\"; service = \"submission\"; }, { address = \"unix:/run/s\"; service = \"submission\"; } );", "" },
	{ "listen = ( { address = \"*:587\"; service = \"submission\"; auth = false; } );",
	  "warning: a.conf:1: listen: submission *:587 has auth = false: nobody can log in there, and so nobody can send\n" },
	{ "delivery: { relay-login = \"isp\"; };", "warning: a.conf:1: delivery.relay-login is not used unless delivery.relay is smtp:host:port\n" },
	{ "delivery: { relay-login = \"isp\"; relay = \"smtp:isp.example:25\"; };", "warning: a.conf:1: delivery.relay-login: without delivery.tls = \"must\" or \"verify\" others on the way may get the password\n" },
	{ "delivery: { relay-login = \"isp\"; relay = \"smtp:isp.example:25\"; tls = \"verify\"; };", "" },
	{ "delivery: { relay = \"smtp:isp.example:25\"; tls = \"dane\"; relay-login = \"isp\"; };", "" },
	{ "delivery: { relay = \"smtp:[2001:db8::1]:25\"; tls = \"dane\"; };", "warning: a.conf:1: delivery.tls = \"dane\" needs a name in delivery.relay: an address has no TLSA records\n" },
	{ "delivery: { tls = \"dane\"; };", "warning: a.conf:1: delivery.tls = \"dane\": mail to domains without TLSA records will only wait\n" },
	{ "relays = ( { domain = \"a.example\"; tls = \"dane\"; } );", "" },
	{ "relays = ( { domain = \"a.example\"; to = \"smtp:192.0.2.1:25\"; tls = \"dane\"; } );", "warning: a.conf:1: relays: a.example: tls = \"dane\" needs a name: an address has no TLSA records\n" },
	{ "relays = ( { domain = \"a.example\"; to = \"mx\"; login = \"b\"; } );", "warning: a.conf:1: relays: a.example: \"login\" is not used unless \"to\" is smtp:host:port\n" },
	{ "domains = [ \"a.example\" ]; relays = ( { domain = \"a.example\"; } );", "warning: a.conf:1: relays: a.example is ours, and its mail goes where routes and delivery.to say\n" },
	{ "domains = [ \"a.example\" ];\ndkim = ( { domain = \"b.example\"; selector = \"s\"; } );", "warning: a.conf:2: dkim: b.example, which is not among domains: it must have been made with `holdfast domain add`\n" },
	{ "dkim = ( { domain = \"b.example\"; selector = \"s\"; } );", "" },
	{ "domains = [ \"a.example\" ];\ndelivery: { srs-domain = \"srs.a.example\"; };", "warning: a.conf:2: delivery.srs-domain: srs.a.example, which is not among domains: it must have been made with `holdfast domain add`\n" },
	{ "auth: { mechanisms = \"plain oauthbearer\"; };", "warning: a.conf:1: auth.mechanisms offers tokens, but auth.oauth names nobody who may vouch with them\n" },
	{ "auth: { oauth = ( { issuer = \"i\"; audience = \"a\"; keys = \"keys\"; } ); };", "warning: a.conf:1: auth.oauth is not used unless auth.mechanisms has oauthbearer or xoauth2\n" },
	{ "auth: { mechanisms = \"xoauth2\"; oauth = ( { issuer = \"i\"; login = \"l\"; keys = \"keys\"; } ); };",
	  "warning: a.conf:1: auth.oauth: i: \"login\" is not used without \"introspect\"\n"
	  "warning: a.conf:1: auth.oauth: i: without \"audience\" tokens that were made for any other service count here, too\n" },
	{ "auth: { sources = ( { kind = \"database\"; },\n{ kind = \"database\"; } ); };", "warning: a.conf:2: auth.sources: this one is there twice, and the second is never asked\n" },
	{ "listen = ( { address = \"127.0.0.1:143\"; service = \"imap\"; } );\nbackends = ( { name = \"a\"; imap = \"127.0.0.1:1143\"; } );",
	  "" },
	{ "# no listener\nbackends = ( { name = \"a\"; imap = \"127.0.0.1:1143\"; } );",
	  "warning: a.conf:2: backends is not used, as no listener has service = \"imap\" or \"pop3\"\n" },
	{ "listen = ( { address = \"127.0.0.1:110\"; service = \"pop3\"; } );",
	  "" },
	{ "listen = ( { address = \"127.0.0.1:110\"; service = \"pop3\"; } );\ndelivery: { to = \"discard\"; };",
	  "warning: a.conf:1: listen: pop3 127.0.0.1:110: it serves our Maildirs, but no mail is delivered to them\n" },
	{ "listen = ( { address = \"127.0.0.1:110\"; service = \"pop3\"; auth = false; } );",
	  "warning: a.conf:1: listen: pop3 127.0.0.1:110 has auth = false: nobody can log in there, and so nobody can read mail\n" },
	{ "listen = ( { address = \"127.0.0.1:143\"; service = \"imap\"; } );\nbackends = ( { name = \"a\"; imap = \"10.0.0.7:143\"; } );",
	  "warning: a.conf:2: backends: a: without tls = \"starttls\" or \"implicit\" whoever is on the way to 10.0.0.7:143 can read passwords and mail\n" },
	{ "listen = ( { address = \"127.0.0.1:143\"; service = \"imap\"; } );\nbackends = ( { name = \"a\"; imap = \"box.example:143\"; tls = \"starttls\"; } );",
	  "" },
	{ "listen = ( { address = \"127.0.0.1:143\"; service = \"imap\"; } );\nbackends = ( { name = \"a\"; imap = \"localhost:1143\"; verify = true; credential = \"c\"; } );",
	  "warning: a.conf:2: backends: a: \"credential\" is not used with login = \"same\"\nwarning: a.conf:2: backends: a: \"verify\" is not used without \"tls\"\n" },
	{ "listen = ( { address = \"127.0.0.1:143\"; service = \"imap\"; } );\nbackends = ( { name = \"a\"; imap = \"127.0.0.1:1143\"; weight = 0; } );",
	  "warning: a.conf:2: backends: none has a weight: who is not named with a server has none\n" },
	{ "listen = ( { address = \"127.0.0.1:143\"; service = \"imap\"; }, { address = \"127.0.0.1:587\"; service = \"submission\"; } );\nbackends = ( { name = \"a\"; imap = \"127.0.0.1:1143\"; } );\nauth: { sources = ( { kind = \"backend\"; } ); };",
	  "warning: a.conf:3: auth.sources: kind = \"backend\" alone lets nobody log in at submission 127.0.0.1:587: a mailbox server is asked for IMAP and POP3 only\n" },
	{ "listen = ( { address = \"127.0.0.1:143\"; service = \"imap\"; } );\nbackends = ( { name = \"a\"; imap = \"127.0.0.1:1143\"; } );\nauth: { mechanisms = \"plain scram-sha-256\"; };",
	  "warning: a.conf:2: backends: a logs in with the user's own password (login = \"same\"), so IMAP and POP3 offer of auth.mechanisms only plain, login and tokens\n" },
	{ "listen = ( { address = \"127.0.0.1:143\"; service = \"imap\"; } );\nbackends = ( { name = \"a\"; imap = \"127.0.0.1:1143\"; login = \"own\"; credential = \"c\"; } );\nauth: { mechanisms = \"plain scram-sha-256\"; };",
	  "" },
	{ "run: { user-edge = \"61190\"; user-store = \"61191\";\nuser-auth = \"61190:61192\"; user-watch = \"61193\"; user-firewall = \"61194\"; };",
	  "warning: a.conf:2: run.user-auth is the same user as run.user-edge (61190:61192): whoever breaks into one of the two roles has what the other may touch, as far as the sandbox lets him; give each a user of its own\n" },
	{ "run: { user-edge = \"61190\"; user-firewall = \"61190\"; };\nfirewall: { enabled = false; };", "" },
};
/* clang-format on */

static void what_will_hardly_work_is_a_warning(void **unused)
{
	(void)unused;
	for (size_t i = 0; i < COUNT_OF(doubtful); i++) {
		struct loaded *l;

		expect_true(doubtful[i].text, load_with(doubtful[i].text, NULL, 0, &l));
		expect_span(doubtful[i].text, span_str(said_short()),
			    span_str(doubtful[i].says));
		assert_true(conf_ok(&l->conf, sizeof(l->conf)));
		loader_close(&l);
	}
}

static const char users[] =
	"listen = ( { address = \"*:25\"; },\n"
	"           { address = \"127.0.0.1:587\"; service = \"submission\"; },\n"
	"           { address = \"127.0.0.1:26\"; auth = true; },\n"
	"           { address = \"unix:/run/holdfast/submission\"; service = \"submission\"; } );\n"
	"auth: { mechanisms = \"PLAIN,scram-sha-256  xoauth2\";\n"
	"        sources = ( { kind = \"passwd-file\"; path = \"users\"; domain = \"Example.org\"; },\n"
	"                    { kind = \"dovecot\"; path = \"/run/dovecot/auth\"; } );\n"
	"        traps = [ \"Admin\", \"test@example.org\" ];\n"
	"        oauth = ( { issuer = \"https://id.example\"; keys = \"keys.json\"; audience = \"mail\"; },\n"
	"                  { issuer = \"other\"; keys = \"https://other.example/keys\"; audience = \"m\";\n"
	"                    user = \"upn\"; } ); };\n"
	"send-as = ( { login = \"Bob@Example.org\"; address = \"@Example.org\"; } );\n"
	"dkim = ( { domain = \"Example.org\"; selector = \"s1\"; algorithm = \"ed25519\"; } );\n"
	"delivery: { relay = \"smtp:relay.example:587\"; relay-login = \"isp\"; tls = \"must\"; };\n"
	"relays = ( { domain = \"a.example\"; tls = \"none\"; login = \"\"; },\n"
	"           { domain = \".B.example\"; to = \"mx\"; },\n"
	"           { domain = \"c.example\"; to = \"smtp:c.example:25\"; },\n"
	"           { domain = \"d.example\"; },\n"
	"           { domain = \"e.example\"; to = \"none\"; } );\n";

/* As what they are asked for in the DNS, and what their certificates have (RFC 5890, 2.3.2.1). */
static void hosts_in_other_letters_are_known_by_their_a_labels(void **unused)
{
	static const char text[] =
		"hostname = \"MX.B\u00fccher.example\";\n"
		"domains = [ \"b\u00fccher.example\" ];\n"
		"delivery: { to = \"lmtp:B\u00dcCHER.example:24\";\n"
		"            relay = \"smtp:b\u00fccher.example:587\";\n"
		"            srs-domain = \"b\u00fccher.example\"; };\n"
		"routes = ( { domain = \"a.example\"; to = \"smtp:xn--bcher-kva.example:25\"; },\n"
		"           { domain = \"b.example\"; to = \"lmtp:unix:/run/b\u00fccher\"; } );\n"
		"relays = ( { domain = \"c.example\"; to = \"smtp:b\u00fccher.example:26\"; } );\n"
		"listen = ( { address = \"127.0.0.1:143\"; service = \"imap\"; } );\n"
		"backends = ( { name = \"a\"; imap = \"b\u00fccher.example:143\"; pop3 = \"[::1]:110\";\n"
		"               tls = \"starttls\"; } );\n";
	const struct conf *c;
	struct loaded *l;

	(void)unused;
	expect_true(said, load_with(text, NULL, 0, &l));
	assert_string_equal(said, "");
	c = &l->conf;
	assert_string_equal(c->set.hostname, "mx.xn--bcher-kva.example");
	assert_string_equal(c->deliver_target, "xn--bcher-kva.example:24");
	assert_string_equal(c->relay_target, "xn--bcher-kva.example:587");
	assert_string_equal(c->set.srs_domain, "xn--bcher-kva.example");
	assert_string_equal(c->routes[0].target, "xn--bcher-kva.example:25");
	assert_string_equal(c->routes[1].target, "/run/b\u00fccher");
	assert_string_equal(c->relays[0].target, "xn--bcher-kva.example:26");
	assert_string_equal(c->backends[0].imap, "xn--bcher-kva.example:143");
	assert_string_equal(c->backends[0].pop3, "[::1]:110");
	loader_close(&l);
}

static void mailbox_servers_reach_the_struct(void **unused)
{
	static const char text[] =
		"listen = ( { address = \"127.0.0.1:143\"; service = \"imap\"; },\n"
		"           { address = \"127.0.0.1:110\"; service = \"pop3\"; } );\n"
		"mailboxes = ( { user = \"Bob@Example.org\"; backend = \"west\"; },\n"
		"              { user = \"@Example.org\"; backend = \"east\"; } );\n"
		"backends = ( { name = \"east\"; imap = \"127.0.0.1:1143\"; },\n"
		"             { name = \"west\"; imap = \"box.example:143\"; pop3 = \"[::1]:110\";\n"
		"               tls = \"starttls\"; login = \"authzid\"; credential = \"c\";\n"
		"               identity = \"proxy2\"; weight = 0; } );\n"
		"auth: { mechanisms = \"login scram-sha-256\";\n"
		"        sources = ( { kind = \"database\"; }, { kind = \"backend\"; } ); };\n";
	const struct backend *b;
	const struct conf *c;
	struct loaded *l;

	(void)unused;
	expect_true(said, load_with(text, NULL, 0, &l));
	c = &l->conf;
	assert_true(conf_ok(c, sizeof(*c)));
	assert_int_equal(c->listeners[0].service, SERVICE_IMAP);
	assert_string_equal(c->listeners[1].name, "pop3 127.0.0.1:110");
	assert_true(c->listeners[0].auth && c->listeners[1].auth);
	assert_int_equal(c->backend_count, 2);
	b = &c->backends[0];
	assert_string_equal(b->imap, "127.0.0.1:1143");
	assert_string_equal(b->pop3, "");
	assert_int_equal(b->tls, BACKEND_TLS_NONE);
	assert_false(b->verify);
	assert_int_equal(b->login, BACKEND_SAME);
	assert_int_equal(b->identity, BACKEND_SAYS_NOTHING);
	assert_int_equal(b->weight, 1);
	b = &c->backends[1];
	assert_int_equal(b->tls, BACKEND_TLS_START);
	assert_true(b->verify);
	assert_int_equal(b->login, BACKEND_AUTHZID);
	assert_string_equal(b->credential, "c");
	assert_int_equal(b->identity, BACKEND_SAYS_PROXY_2);
	assert_int_equal(b->weight, 0);
	assert_ptr_equal(backend_find(c, SPAN("west")), b);
	assert_null(backend_find(c, SPAN("wes")));
	assert_ptr_equal(backend_of_user(c, SPAN("bob@example.org")), b);
	assert_ptr_equal(backend_of_user(c, SPAN("eve@example.org")), &c->backends[0]);
	assert_null(backend_of_user(c, SPAN("bob@b.example.org")));
	assert_null(backend_of_user(c, SPAN("bob")));
	assert_int_equal(c->mailbox_mechanisms, 1u << SASL_LOGIN);
	assert_int_equal(c->password_sources[1].kind, PASSWORDS_BACKEND);
	l->conf.backends[1].weight = BACKEND_WEIGHT_MAX + 1;
	assert_false(conf_ok(c, sizeof(*c)));
	l->conf.backends[1].weight = 1;
	l->conf.mailboxes[1].backend = 2;
	assert_false(conf_ok(c, sizeof(*c)));
	l->conf.mailboxes[1].backend = 1;
	l->conf.backends[0].identity = BACKEND_IDENTITIES;
	assert_false(conf_ok(c, sizeof(*c)));
	loader_close(&l);
}

static void what_tls_a_listener_speaks_follows_from_its_port(void **unused)
{
	static const char text[] =
		"tls: { certificates = ( { cert = \"none\"; key = \"none\"; } ); };\n"
		"listen = ( { address = \"*:143\"; service = \"imap\"; },\n"
		"           { address = \"*:993\"; service = \"imap\"; },\n"
		"           { address = \"*:995\"; service = \"pop3\"; },\n"
		"           { address = \"*:465\"; service = \"submission\"; },\n"
		"           { address = \"127.0.0.1:994\"; service = \"imap\"; tls = \"none\"; },\n"
		"           { address = \"*:2993\"; service = \"imap\"; tls = \"implicit\"; },\n"
		"           { address = \"*:110\"; service = \"pop3\"; } );\n";
	static const enum tls_use wanted[] = { TLS_START,    TLS_IMPLICIT, TLS_IMPLICIT,
					       TLS_IMPLICIT, TLS_NONE,	   TLS_IMPLICIT,
					       TLS_START };
	struct loaded *l;

	(void)unused;
	/* the certificate is not there, but what it means for listeners is */
	assert_false(load_with(text, NULL, 0, &l));
	assert_int_equal(l->conf.listener_count, COUNT_OF(wanted));
	for (size_t i = 0; i < COUNT_OF(wanted); i++)
		assert_int_equal(l->conf.listeners[i].tls, wanted[i]);
	loader_close(&l);
}

static void users_and_their_mail_reach_the_struct(void **unused)
{
	const struct conf *c;
	struct loaded *l;

	(void)unused;
	expect_true(said, load_with(users, NULL, 0, &l));
	assert_string_equal(said, "");
	c = &l->conf;
	assert_true(conf_ok(c, sizeof(*c)));
	assert_int_equal(c->listeners[0].service, SERVICE_SMTP);
	assert_false(c->listeners[0].auth);
	assert_int_equal(c->listeners[1].service, SERVICE_SUBMISSION);
	assert_true(c->listeners[1].auth);
	assert_string_equal(c->listeners[1].name, "submission 127.0.0.1:587");
	assert_true(c->listeners[2].auth);
	assert_string_equal(c->listeners[3].path, "/run/holdfast/submission");
	assert_string_equal(c->listeners[3].name,
			    "submission unix:/run/holdfast/submission");
	assert_true(c->listeners[3].id != c->listeners[0].id);
	assert_int_equal(c->mechanisms, 1u << SASL_PLAIN | 1u << SASL_SCRAM_SHA_256 |
						1u << SASL_XOAUTH2);
	assert_int_equal(c->password_source_count, 2);
	assert_int_equal(c->password_sources[0].kind, PASSWORDS_FILE);
	assert_true(strncmp(c->password_sources[0].path, home, strlen(home)) == 0);
	assert_string_equal(c->password_sources[0].domain, "example.org");
	assert_int_equal(c->password_sources[1].kind, PASSWORDS_DOVECOT);
	assert_string_equal(c->password_sources[1].path, "/run/dovecot/auth");
	assert_int_equal(c->trap_count, 2);
	assert_string_equal(c->traps[0], "admin");
	assert_int_equal(c->oauth_count, 2);
	assert_true(strncmp(c->oauth[0].keys, home, strlen(home)) == 0);
	assert_string_equal(c->oauth[0].user, "email");
	assert_string_equal(c->oauth[1].keys, "https://other.example/keys");
	assert_string_equal(c->oauth[1].user, "upn");
	assert_string_equal(c->send_as[0].login, "bob@example.org");
	assert_string_equal(c->send_as[0].address, "@example.org");
	assert_string_equal(c->dkim[0].domain, "example.org");
	assert_int_equal(c->dkim[0].algorithm, DKIM_ED25519);
	loader_close(&l);
}

static void a_relay_says_what_is_different_and_shows_no_login_to_others(void **unused)
{
	const struct relay *r;
	struct loaded *l;

	(void)unused;
	expect_true(said, load_with(users, NULL, 0, &l));
	r = l->conf.relays;
	assert_int_equal(l->conf.relay_hop, HOP_SMTP);
	assert_string_equal(l->conf.relay_target, "relay.example:587");
	assert_int_equal(l->conf.relay_count, 5);
	assert_string_equal(r[0].target, "relay.example:587");
	assert_int_equal(r[0].tls, HOP_TLS_NONE);
	assert_string_equal(r[0].login, "");
	assert_true(r[1].below);
	assert_string_equal(r[1].domain, "b.example");
	assert_int_equal(r[1].hop, HOP_MX);
	assert_int_equal(r[1].tls, HOP_TLS_MUST);
	assert_string_equal(r[2].target, "c.example:25");
	assert_string_equal(r[2].login, "");
	assert_string_equal(r[3].target, "relay.example:587");
	assert_string_equal(r[3].login, "isp");
	assert_int_equal(r[4].hop, HOP_COUNT);
	loader_close(&l);
}

static void an_override_is_judged_like_a_line(void **unused)
{
	const char *const set[] = { "smtp.hops=5", "smtp.hop=20", "smtp.hops" };
	struct loaded *l;

	(void)unused;
	assert_false(load_with("", set, 3, &l));
	expect_span("all three", span_str(said),
		    SPAN("--set: smtp.hops: 5 is outside 10 to 1000\n"
			 "--set: there is no setting \"smtp.hop\"; did you mean \"smtp.hops\"?\n"
			 "--set: \"smtp.hops\" is not KEY=VALUE\n"));
	loader_close(&l);
}

static void print_tables(const struct loaded *l, struct buf *out)
{
	struct table_entry e;
	struct span left, target;

	assert_true(tables_open(l->tables, &left));
	while (tables_next(&left, &e)) {
		buf_fmt(out, "%c %.*s", "ADL"[e.kind], SPAN_ARG(e.key));
		while (list_next(&e.targets, &target))
			buf_fmt(out, " %.*s", SPAN_ARG(target));
		buf_byte(out, '\n');
	}
}

/* clang-format off */
static const struct {
	const char *why, *source, *file, *entries, *says;
} sources[] = {
	{ "a plain list", "kind = \"addresses\"",
	  "# people\n\nAlice@Example.org\nbob@example.org  # her brother\r\n@any.example\n",
	  "A alice@example.org\nA bob@example.org\nA @any.example\n", "" },
	{ "names without a domain", "kind = \"addresses\"; domain = \"example.org\"",
	  "alice\nbob\n", "A alice@example.org\nA bob@example.org\n", "" },
	{ "no domain to be had", "kind = \"addresses\"",
	  "alice\n", "", "source:1: \"alice\" has no domain: say domain = \"...\" in this source\n" },
	{ "two on a line", "kind = \"addresses\"",
	  "a@x.example b@x.example\n", "", "source:1: one entry per line, but behind \"a@x.example\" is more\n" },
	{ "domains", "kind = \"domains\"",
	  "Example.org\n.example.net\n", "D example.org\n", "source:2: \".example.net\" is not a domain\n" },
	{ "domains of other letters", "kind = \"domains\"",
	  "B\u00dccher.example\nxn--bcher-kva.Example\n\u2603.example\n", "D xn--bcher-kva.example\nD xn--bcher-kva.example\n",
	  "source:3: \"\u2603.example\" is not a domain: it has characters, or an order of them, that domains may not have\n" },
	{ "addresses in them", "kind = \"addresses\"",
	  "B\u00d6b@b\u00fccher.example\n@b\u00fccher.example\nbob@\u2603.example\n", "A b\u00d6b@xn--bcher-kva.example\nA @xn--bcher-kva.example\n",
	  "source:3: \"bob@\u2603.example\" is not an address: it has characters, or an order of them, that domains may not have\n" },
	{ "aliases in them", "kind = \"aliases\"; domain = \"b\u00fccher.example\"",
	  "list: bob, eve@gr\u00fcn.example\n", "L list@xn--bcher-kva.example bob@xn--bcher-kva.example eve@xn--grn-ioa.example\n", "" },
	{ "an alias file", "kind = \"aliases\"; domain = \"example.org\"",
	  "postmaster: alice, Bob@Example.NET\n# c\nlist:\n  alice,\n# not the end\n\tbob\nroot:alice\n",
	  "L postmaster@example.org alice@example.org Bob@example.net\n"
	  "L list@example.org alice@example.org bob@example.org\nL root@example.org alice@example.org\n", "" },
	{ "what aliases may not do", "kind = \"aliases\"; domain = \"example.org\"",
	  "a: \"|/bin/sh\"\nb: /tmp/file\nc: :include:/etc/list\nd:\ne\n", "",
	  "source:1: \"\"|/bin/sh\"\": mail goes to addresses only, not to commands or files\n"
	  "source:2: \"/tmp/file\": mail goes to addresses only, not to commands or files\n"
	  "source:3: \":include:/etc/list\": mail goes to addresses only, not to commands or files\n"
	  "source:4: \"d\" has no targets\n"
	  "source:5: an alias is written name: target, target\n" },
	{ "a Postfix table of recipients", "postfix kind = \"addresses\"",
	  "alice@example.org OK\n@any.example   x\nbob@example.org\n",
	  "A alice@example.org\nA @any.example\n", "source:3: \"bob@example.org\" has no value behind it\n" },
	{ "a Postfix table of aliases", "postfix kind = \"aliases\"",
	  "example.org  anything\npostmaster@example.org alice@example.org,bob@example.org\n"
	  "@old.example\n    alice@example.org\n",
	  "D example.org\nL postmaster@example.org alice@example.org bob@example.org\n"
	  "L @old.example alice@example.org\n", "" },
	{ "a Postfix table of domains", "postfix kind = \"domains\"",
	  "example.org virtual\n", "D example.org\n", "" },
	{ "no end of line at the end", "kind = \"domains\"", "example.org", "D example.org\n", "" },
	{ "nothing", "kind = \"domains\"", "", "", "" },
	{ "not an address", "kind = \"addresses\"", "a@b@c\n\xff@example.org\n", "",
	  "source:1: \"a@b@c\" is not an address\nsource:2: \"\xff@example.org\" is not an address\n" },
};
/* clang-format on */

static void recipient_files_are_read_as_they_are(void **unused)
{
	(void)unused;
	for (size_t i = 0; i < COUNT_OF(sources); i++) {
		bool postfix = strncmp(sources[i].source, "postfix ", 8) == 0;
		struct loaded *l;
		char text[300];
		bool good;
		BUF(out, 1000);

		write_file("source", sources[i].file);
		snprintf(text, sizeof(text), "sources = ( { file = \"%ssource\"; %s; } );",
			 postfix ? "hash:" : "", sources[i].source + (postfix ? 8 : 0));
		good = load_with(text, NULL, 0, &l);
		expect_span(sources[i].why, span_str(said_short()),
			    span_str(sources[i].says));
		expect_true(sources[i].why, good == (*sources[i].says == '\0'));
		print_tables(l, &out);
		expect_text(sources[i].why, &out, sources[i].entries);
		loader_close(&l);
	}
}

static void run(const char *command)
{
	char text[1000];

	snprintf(text, sizeof(text), "cd %s && %s", home, command);
	if (system(text) != 0)
		fail_msg("%s", text);
}

#define OPENSSL_REQ \
	"openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes "

static void certificates_must_fit_their_keys(void **unused)
{
	static const char pair[] =
		"tls: { certificates = ( { cert = \"%s.crt\"; key = \"%s.key\"; } ); };";
	char text[200];
	struct span left;
	struct cert c;
	struct loaded *l;

	(void)unused;
	run(OPENSSL_REQ "-days 2 -subj /CN=a -keyout a.key -out a.crt 2>/dev/null");
	run(OPENSSL_REQ "-days 2 -subj /CN=b -keyout b.key -out b.crt 2>/dev/null");
	run("chmod 600 a.key b.key");
	snprintf(text, sizeof(text), pair, "a", "a");
	expect_true(said, load_with(text, NULL, 0, &l));
	assert_string_equal(said, "");
	assert_int_equal(l->conf.certificate_count, 1);
	assert_int_equal(l->conf.listeners[0].tls, TLS_START);
	assert_true(certs_open(l->certs, &left));
	assert_true(certs_next(&left, &c));
	expect_span("its name", c.name, SPAN("a.crt"));
	assert_true(span_starts(c.chain, SPAN("-----BEGIN CERTIFICATE")));
	assert_true(span_starts(c.key, SPAN("-----BEGIN PRIVATE KEY")));
	assert_false(certs_next(&left, &c));
	loader_close(&l);

	snprintf(text, sizeof(text), pair, "a", "b");
	assert_false(load_with(text, NULL, 0, &l));
	assert_string_equal(
		said_short(),
		"a.conf:1: tls.certificates: a.crt: the key does not belong to the "
		"certificate\n");
	loader_close(&l);

	write_file("c.crt", "nothing");
	snprintf(text, sizeof(text), pair, "c", "a");
	assert_false(load_with(text, NULL, 0, &l));
	assert_string_equal(said_short(), "a.conf:1: tls.certificates: c.crt: there is no "
					  "certificate in PEM form in it\n");
	loader_close(&l);

	run("chmod 644 a.key");
	snprintf(text, sizeof(text), pair, "a", "a");
	expect_true(said, load_with(text, NULL, 0, &l));
	assert_string_equal(said_short(),
			    "warning: a.conf:1: tls.certificates: everybody may read the key "
			    "a.key\n");
	loader_close(&l);
}

static void a_file_that_is_not_there_is_one_problem(void **unused)
{
	struct loader_request r = { .path = "/nonexistent/a.conf",
				    .on_problem = on_problem };
	struct loaded *l;

	(void)unused;
	*said = '\0';
	assert_false(loader_load(&r, &l));
	assert_string_equal(said, "/nonexistent/a.conf: cannot be read: No such file or "
				  "directory\n");
	loader_close(&l);
}

static int make_home(void **unused)
{
	(void)unused;
	return mkdtemp(home) ? 0 : -1;
}

static int drop_home(void **unused)
{
	char text[200];

	(void)unused;
	snprintf(text, sizeof(text), "rm -r %s", home);
	return system(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_mistake_is_named_with_its_place),
		cmocka_unit_test(all_mistakes_are_reported_at_once),
		cmocka_unit_test(what_set_cannot_set_is_told_why),
		cmocka_unit_test(a_hint_is_never_refused_itself),
		cmocka_unit_test(the_hint_of_set_can_be_set),
		cmocka_unit_test(an_empty_file_is_a_working_server),
		cmocka_unit_test(values_reach_the_struct),
		cmocka_unit_test(what_will_hardly_work_is_a_warning),
		cmocka_unit_test(binary_mail_is_taken_where_nobody_behind_us_refuses_it),
		cmocka_unit_test(hosts_in_other_letters_are_known_by_their_a_labels),
		cmocka_unit_test(mailbox_servers_reach_the_struct),
		cmocka_unit_test(what_tls_a_listener_speaks_follows_from_its_port),
		cmocka_unit_test(users_and_their_mail_reach_the_struct),
		cmocka_unit_test(
			a_relay_says_what_is_different_and_shows_no_login_to_others),
		cmocka_unit_test(an_override_is_judged_like_a_line),
		cmocka_unit_test(recipient_files_are_read_as_they_are),
		cmocka_unit_test(certificates_must_fit_their_keys),
		cmocka_unit_test(a_file_that_is_not_there_is_one_problem),
	};

	return cmocka_run_group_tests(tests, make_home, drop_home);
}
