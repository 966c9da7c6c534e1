#include "cli/commands.h"

/* clang-format off */
const struct cli_command command_table[] = {
	{ "run", "[--config FILE] [--set KEY=VALUE]... [--one-process]",
	  "start the server\n"
	  "It runs in the foreground until SIGTERM or SIGINT. SIGHUP reloads the\n"
	  "configuration. Without --config it reads /etc/holdfast/holdfast.conf.",
	  command_run, SHAPE_TABLE, true },
	{ "demo", "[--dir DIR] [--port-base N] [--password P] [--set KEY=VALUE]... [--once]",
	  "make a whole server in a directory, and try it\n"
	  "Makes DIR (./demo) with a configuration, a certificate and two users, alice and\n"
	  "bob at example.test, sends a message to alice and shows it in her mailbox. Then\n"
	  "it serves on 127.0.0.1, ports N + 25, 587, 110, 995, 143 and 993 (N is 2000),\n"
	  "until Ctrl-C; with --once it ends after the proof. --password sets the password of\n"
	  "both users, --set overrides a setting.",
	  command_demo, SHAPE_TABLE, false },
	{ "config", "check|show|defaults|doc [...]",
	  "check, show and explain the configuration\n"
	  "config check [--config FILE | --dir DIR] [--set KEY=VALUE]...\n"
	  "config show [KEY] [--config FILE | --dir DIR] [--set KEY=VALUE]... [--json]\n"
	  "config defaults [KEY] [--json]\n"
	  "config doc [KEY] [--markdown | --man]",
	  command_config, SHAPE_TABLE, true },
	{ "user add", "ADDRESS [--password P | --password-stdin] [--quota SIZE]",
	  "add a user, who has a mailbox\n"
	  "Without an option the password is asked for, twice; if standard input is no\n"
	  "terminal, the user gets none. What stands behind --password can be seen by\n"
	  "others in the list of processes.",
	  command_user_add, SHAPE_TABLE, false },
	{ "user remove", "ADDRESS", "remove a user; the mailbox stays on disk",
	  command_user_remove, SHAPE_TABLE, false },
	{ "user passwd", "ADDRESS [--password P | --password-stdin] [--forget-devices]",
	  "set a user's password\n"
	  "It holds at once. With --forget-devices all devices of the user are new again.",
	  command_user_passwd, SHAPE_TABLE, false },
	{ "user backend", "[ADDRESS [NAME | --remove]]",
	  "say on which mailbox server somebody's mail is, or show who was named with one\n"
	  "It holds for sessions that begin from now on; what mailboxes in the configuration\n"
	  "says goes first. ADDRESS is what somebody logs in with.",
	  command_pass, SHAPE_TABLE, false },
	{ "user list", "", "list the users", command_pass, SHAPE_TABLE, false },
	{ "backend list", "", "list the mailbox servers: whether they answer, and who talks with them",
	  command_pass, SHAPE_TABLE, false },
	{ "backend drain", "NAME",
	  "send a mailbox server no new sessions; those that are there go on\n"
	  "It outlives a restart. Who was named with it has to wait.",
	  command_pass, SHAPE_TABLE, false },
	{ "backend resume", "NAME", "send it new sessions again",
	  command_pass, SHAPE_TABLE, false },
	{ "user disable", "ADDRESS", "let somebody log in no more, wherever the password is kept",
	  command_user_account, SHAPE_TABLE, false },
	{ "user enable", "ADDRESS", "let them again", command_user_account, SHAPE_TABLE, false },
	{ "user passwords", "",
	  "list who has a password in the database, of which kind, and who is disabled\n"
	  "Who is disabled and has none there has it elsewhere (auth.sources), or nowhere.",
	  command_user_passwords, SHAPE_TABLE, false },
	{ "user devices", "ADDRESS", "list the devices with which somebody logged in",
	  command_user_account, SHAPE_TABLE, false },
	{ "user forget", "ADDRESS", "forget the devices of somebody: each is new again",
	  command_user_account, SHAPE_TABLE, false },
	{ "user logins", "ADDRESS", "list logins and failures of somebody, the newest first",
	  command_user_account, SHAPE_TABLE, false },
	{ "user failures", "ADDRESS", "list the failures only",
	  command_user_account, SHAPE_TABLE, false },
	{ "user changed", "ADDRESS",
	  "say that a password was changed elsewhere (in Dovecot)\n"
	  "What was wrong until now is then checked again at once, not after\n"
	  "auth.remember-wrong.",
	  command_user_account, SHAPE_TABLE, false },
	{ "user unguard", "ADDRESS", "let an account be guarded no more",
	  command_user_account, SHAPE_TABLE, false },
	{ "relay passwd", "NAME --user U [--password P | --password-stdin]",
	  "keep a login for next hops, under a name that the configuration uses",
	  command_relay_passwd, SHAPE_TABLE, false },
	{ "relay list", "", "list these logins, without their passwords",
	  command_pass, SHAPE_TABLE, false },
	{ "relay remove", "NAME", "remove such a login", command_pass, SHAPE_TABLE, false },
	{ "alias add", "ADDRESS TARGET...",
	  "deliver what comes for one address to others", command_pass, SHAPE_TABLE, false },
	{ "alias remove", "ADDRESS", "remove an alias", command_pass, SHAPE_TABLE, false },
	{ "alias list", "", "list the aliases", command_pass, SHAPE_TABLE, false },
	{ "domain add", "DOMAIN [--catch-all ADDRESS]",
	  "accept mail for a domain", command_pass, SHAPE_TABLE, false },
	{ "domain remove", "DOMAIN", "accept mail for a domain no more",
	  command_pass, SHAPE_TABLE, false },
	{ "domain list", "", "list the domains", command_pass, SHAPE_TABLE, false },
	{ "dkim keygen", "DOMAIN SELECTOR [--algorithm rsa|ed25519]",
	  "make a key that signs mail, and print its DNS record\n"
	  "The key stays with the server and cannot be read back. A name that has a key is\n"
	  "refused: take another selector, publish its record, then change the configuration.",
	  command_dkim, SHAPE_TABLE, false },
	{ "dkim show", "[DOMAIN [SELECTOR]]", "print the DNS records of the keys, as in a zone file",
	  command_dkim, SHAPE_TABLE, false },
	{ "dkim list", "", "list the keys that sign mail", command_pass, SHAPE_TABLE, false },
	{ "dkim remove", "DOMAIN SELECTOR", "remove a key for good",
	  command_pass, SHAPE_TABLE, false },
	{ "queue list", "[--where CONDITION] [--limit N] [--after ID] [--state STATE]\n"
	  "                           [--sender ADDRESS] [--recipient ADDRESS] [--client ADDRESS]",
	  "list the messages in the queue, the oldest first\n"
	  "CONDITION is terms that must all be true; ! in front turns one round:\n"
	  "  sender=<> sender=*@example.com sender-domain=example.com account=bob@*\n"
	  "  rcpt=PATTERN rcpt-domain=DOMAIN destination=PATTERN helo=PATTERN\n"
	  "  ip=192.0.2.0/24 age>1h age<5m size>1m size<2k tls=no login=yes\n"
	  "  state=queued|deferred|held|dead|purged incident=17 job=17 id=ID, or all alone.",
	  command_queue_list, SHAPE_TABLE, false },
	{ "queue show", "ID", "show one message: its envelope, and each recipient's fate",
	  command_pass, SHAPE_VERBATIM, false },
	{ "queue explain", "ID",
	  "say why a message is here, since when, and what was tried",
	  command_pass, SHAPE_SHEET, false },
	{ "queue shape", "[--by destination|account|incident|sender|client]\n"
	  "                            [--where CONDITION] [--limit N]",
	  "count what is in the queue by age, as qshape does\n"
	  "By destination recipients are counted, else messages.",
	  command_pass, SHAPE_TABLE, false },
	{ "queue retry", "ID | all [--dead] | --where CONDITION [--yes]",
	  "try again now\n"
	  "With a condition: what is dead only if the condition asks for state=dead.",
	  command_queue_order, SHAPE_TEXT, false },
	{ "queue hold", "ID | all [--dead] |\n"
	  "                           --where CONDITION [--yes] [--why TEXT] [--standing [--for TIME]]",
	  "keep messages in the queue without trying\n"
	  "With a condition it is previewed, and done when you say so, or at once with --yes.\n"
	  "It is in force at once, also for what is about to be delivered; the rows follow, as\n"
	  "`queue jobs` shows. With --standing what arrives later is caught, too: for a day, or\n"
	  "--for TIME.",
	  command_queue_order, SHAPE_TEXT, false },
	{ "queue release", "ID | all [--dead] | --where CONDITION [--yes]",
	  "let held messages go on", command_queue_order, SHAPE_TEXT, false },
	{ "queue purge", "--where CONDITION [--yes] [--why TEXT] [--standing [--for TIME]]",
	  "delete many messages; for a day this can be undone\n"
	  "As queue hold with a condition.",
	  command_queue_order, SHAPE_TEXT, false },
	{ "queue delete", "ID | all [--dead]", "delete messages for good",
	  command_pass, SHAPE_TABLE, false },
	{ "queue confirm", "JOB", "carry out what was previewed under that number",
	  command_pass, SHAPE_TEXT, false },
	{ "queue jobs", "", "list orders over many messages, and how far they are",
	  command_pass, SHAPE_TABLE, false },
	{ "queue undo", "JOB", "take an order back, within a day",
	  command_pass, SHAPE_TEXT, false },
	{ "queue orders", "[drop JOB]",
	  "list the standing orders, or lift one\n"
	  "What it caught stays as it is, until queue undo or queue release.",
	  command_pass, SHAPE_TABLE, false },
	{ "queue stats", "", "count the recipients in the queue by next hop and state",
	  command_pass, SHAPE_TABLE, false },
	{ "sendmail", "[-t] [-i] [-f ADDRESS] [-F NAME] [-B8BITMIME] [-N NOTIFY] [-R RET] [-V ID]\n"
	  "                         [-C CONFIG] [-S SOCKET] [-v] [-bs | -bp] [--] [RECIPIENT...]",
	  "hand in a message, as sendmail(8) does, from standard input\n"
	  "A link to this program that is named sendmail does the same. It needs a listener with\n"
	  "a path (listen, unix:/path) and no rights: the kernel says who sends. All recipients\n"
	  "are taken or none. Exit codes are those of sysexits.h; 75: try again later.",
	  command_sendmail, SHAPE_TABLE, true },
	{ "mailq", "[--where CONDITION]",
	  "list the queue in the form that sendmail and Postfix have\n"
	  "A link to this program that is named mailq does the same. * is being delivered,\n"
	  "! is held.",
	  command_mailq, SHAPE_TABLE, false },
	{ "status", "", "show how the server is", command_pass, SHAPE_SHEET, false },
	{ "counters", "", "show every count: events, ends of sessions, log records",
	  command_pass, SHAPE_TABLE, false },
	{ "roles", "", "show the processes of the server", command_pass, SHAPE_TABLE, false },
	{ "sessions", "[--client ADDRESS|PREFIX] [--user USER] [--limit N]",
	  "show who is here, the worst standing first",
	  command_pass, SHAPE_TABLE, false },
	{ "top", "[--by points|rate|sessions|refused|bytes|cpu] [--limit N]",
	  "show who costs most, what is refused, and how much room is left\n"
	  "On a terminal it stays and shows it anew every two seconds: s sorts by something\n"
	  "else, q ends it. Elsewhere, and with --json, it says it once. Rates are per\n"
	  "minute, beside those of the hour before.",
	  command_top, SHAPE_TABLE, false },
	{ "explain", "ADDRESS | PREFIX | CODE | USER",
	  "say who, why, since when, on what evidence, and how to lift it\n"
	  "CODE is what stands in a refusal, such as P7K2Q9M. USER is an account: who tries it,\n"
	  "whether it is guarded or disabled, whether its mail is held, which device has an old\n"
	  "password.",
	  command_pass, SHAPE_SHEET, false },
	{ "campaigns", "", "list campaigns of password guessers that are known", command_pass, SHAPE_TABLE, false },
	{ "watch", "ADDRESS | PREFIX",
	  "show what is recorded of it as it happens, until Ctrl-C\n"
	  "Also what the log folds or leaves out.",
	  command_watch, SHAPE_TABLE, false },
	{ "bans", "[--limit N]",
	  "list what is refused at connect, yours first, then the newest\n"
	  "Those in lists of the configuration are in `holdfast access list`.",
	  command_pass, SHAPE_TABLE, false },
	{ "ban", "ADDRESS|PREFIX [--for TIME] [--why TEXT] [--force]",
	  "refuse it at connect, from now on\n"
	  "For good, or with --for: 30m, 12h, 7d. It outlives a restart. --force: also where\n"
	  "known-good clients, a proxy of yours or this machine itself would be hit.",
	  command_pass, SHAPE_TABLE, false },
	{ "unban", "ADDRESS | PREFIX",
	  "lift a ban, yours or the guard's, and forget what is held against it",
	  command_pass, SHAPE_TABLE, false },
	{ "allow", "[ADDRESS|PREFIX [--for TIME] [--why TEXT] | ADDRESS|PREFIX --remove]",
	  "let it in, whatever it does; or list who is\n"
	  "For good, or with --for. It wins over bans.",
	  command_pass, SHAPE_TABLE, false },
	{ "kick", "SESSION | ADDRESS | PREFIX | USER",
	  "end a session, or all from there, or all of a user",
	  command_pass, SHAPE_TABLE, false },
	{ "lockdown", "[on | off]",
	  "let only known-good and allowed clients in; or say whether that is so\n"
	  "Strangers get 421 and come again later; those who are here are shed.",
	  command_pass, SHAPE_SHEET, false },
	{ "access test", "ADDRESS | NAME [--of client|sender|recipient|helo|ptr]",
	  "say which access list of the configuration answers for it, and in which line",
	  command_access_test, SHAPE_TABLE, false },
	{ "access list", "", "list the access lists of the configuration, and how many entries they have",
	  command_access_list, SHAPE_TABLE, false },
	{ "access export", "[--as plain|cidr|nft] [--of sender|recipient|helo|ptr]",
	  "print what all access lists come to, as one list\n"
	  "Prefixes do not overlap: each address is in one line, with the answer it gets.",
	  command_access_export, SHAPE_TABLE, false },
	{ "access import", "FILE [--as plain|cidr|hash|tcprules|ipset] [--of ...]\n"
	  "                             [--until 7d|DATE] [--why TEXT] [--to FILE]",
	  "read a list of any format, and write a plain one\n"
	  "Without --as the format is seen from the first lines. --until and --why are for\n"
	  "entries that have none. With --to a file is written, which `access` in the\n"
	  "configuration can name, else it is printed.",
	  command_access_import, SHAPE_TABLE, false },
	{ "reload", "", "read the configuration again; no session is dropped",
	  command_pass, SHAPE_TABLE, false },
	{ "upgrade", "", "change to the program that is now on disk; no session is dropped",
	  command_pass, SHAPE_TABLE, false },
	{ "stop", "", "finish what is under way, then stop", command_pass, SHAPE_TABLE, false },
	{ "restart", "ROLE [NUMBER]", "let one process finish, and replace it",
	  command_pass, SHAPE_TABLE, false },
	{ "events", "[--rules] [--markdown]",
	  "list everything a peer can do that is remembered\n"
	  "Then why the guard refuses, why sessions end, and what the log says. With --rules:\n"
	  "only why the guard refuses, as in guard.observe and in codes. --markdown prints\n"
	  "docs/events.md.",
	  command_events, SHAPE_TABLE, false },
	{ "journal export", "[FILE] [--since AGE] [--client ADDRESS | PREFIX]",
	  "print what clients did, from the journal's file\n"
	  "One line for each deed, the oldest first; AGE is 2h or 7d. Without FILE: that of\n"
	  "the configuration. docs/journal.md says what the file looks like.",
	  command_journal, SHAPE_TABLE, false },
	{ "version", "", "print the version", command_version, SHAPE_TABLE, false },
};
/* clang-format on */

const size_t command_count = COUNT_OF(command_table);
