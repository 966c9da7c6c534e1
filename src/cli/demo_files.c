#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/demo.h"
#include "io/selfsigned.h"

#define ROOTS_CHOICE "/var/lib/holdfast-demo"

/*
 * Users for the roles when started as root: numbers from the range in which systemd makes
 * its own short-lived users (61184 to 65519), so that none has to be added.
 */
#define FIRST_ID 61190u
#define LAST_ID	 65519u

static bool make_dir(const char *path, struct err *err)
{
	char part[DEMO_PATH];
	size_t n = strlen(path);

	for (size_t i = 1; i <= n; i++) {
		if (path[i] != '/' && path[i] != '\0')
			continue;
		memcpy(part, path, i);
		part[i] = '\0';
		if (mkdir(part, 0755) != 0 && errno != EEXIST)
			return err_set(err, "%s: %s", part, strerror(errno));
	}
	return true;
}

/* The first part of the path that others may not pass through; NULL: they may. */
static const char *closed_part(const char *path, char part[DEMO_PATH])
{
	size_t n = strlen(path);
	struct stat st;

	for (size_t i = 1; i <= n; i++) {
		if (path[i] != '/' && path[i] != '\0')
			continue;
		memcpy(part, path, i);
		part[i] = '\0';
		if (stat(part, &st) == 0 && !(st.st_mode & S_IXOTH))
			return part;
	}
	return NULL;
}

static bool absolute(const char *path, char out[DEMO_PATH], struct err *err)
{
	char cwd[DEMO_PATH];
	int n;

	if (*path == '/')
		n = snprintf(out, DEMO_PATH, "%s", path);
	else if (!getcwd(cwd, sizeof(cwd)))
		return err_set(err, "the current directory: %s", strerror(errno));
	else
		n = snprintf(out, DEMO_PATH, "%s/%s", strcmp(cwd, "/") ? cwd : "",
			     strncmp(path, "./", 2) ? path : path + 2);
	return (n > 0 && n < DEMO_PATH) || err_set(err, "%s: the path is too long", path);
}

/* As root the roles run as other users, who must be able to reach their directories. */
bool demo_choose_dir(struct demo *d, struct err *err)
{
	const char *wanted = d->cli->dir ? d->cli->dir : "demo";
	char part[DEMO_PATH];
	const char *closed;

	if (!absolute(wanted, d->dir, err))
		return false;
	closed = geteuid() == 0 ? closed_part(d->dir, part) : NULL;
	if (closed && d->cli->dir)
		return err_set(
			err,
			"%s is closed to the users of the server's roles: name another "
			"--dir, or open it with chmod o+x %s",
			closed, closed);
	if (closed) {
		printf("%s is closed to the users of the server's roles, so the demo is "
		       "in " ROOTS_CHOICE ".\n",
		       closed);
		snprintf(d->dir, sizeof(d->dir), "%s", ROOTS_CHOICE);
	}
	umask(022);
	return make_dir(d->dir, err);
}

bool demo_write(const char *path, mode_t mode, struct span text, struct err *err)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, mode);
	ssize_t n;

	if (fd < 0)
		return err_set(err, "%s: %s", path, strerror(errno));
	n = write(fd, text.p, text.n);
	close(fd);
	return (n >= 0 && (size_t)n == text.n) ||
	       err_set(err, "%s: %s", path, n < 0 ? strerror(errno) : "not written whole");
}

static bool below(const struct demo *d, const char *name, char path[PATH_MAX])
{
	return snprintf(path, PATH_MAX, "%s/%s", d->dir, name) < PATH_MAX;
}

static bool make_certificate(const struct demo *d, struct err *err)
{
	uint8_t cert_mem[SELFSIGNED_PEM], key_mem[SELFSIGNED_PEM];
	char cert_path[PATH_MAX], key_path[PATH_MAX];
	struct buf cert, key;
	bool written;

	if (!below(d, "tls.crt", cert_path) || !below(d, "tls.key", key_path))
		return err_set(err, "the path is too long");
	if (access(cert_path, R_OK) == 0 && access(key_path, R_OK) == 0)
		return true;
	buf_init(&cert, cert_mem, sizeof(cert_mem));
	buf_init(&key, key_mem, sizeof(key_mem));
	written = selfsigned_make(DEMO_HOST, &cert, &key, err) &&
		  demo_write(key_path, 0600, buf_span(&key), err) &&
		  demo_write(cert_path, 0644, buf_span(&cert), err);
	explicit_bzero(key_mem, sizeof(key_mem));
	return written;
}

/* The i-th number that is nobody's. */
static unsigned free_id(size_t i)
{
	unsigned id = FIRST_ID;

	for (;; id++) {
		if (id < LAST_ID && getpwuid(id))
			continue;
		if (i-- == 0)
			return id;
	}
}

#define STORE 1 /* in the row of roles */

unsigned demo_store_uid(void)
{
	return geteuid() == 0 ? free_id(STORE) : geteuid();
}

static void put_users(struct buf *out)
{
	static const char *const role[] = { "edge", [STORE] = "store", "auth", "watch" };

	buf_fmt(out,
		"\n# Started as root, each role runs as a user of its own. These have no "
		"name;\n# an installed server has holdfast-edge and so on.\nrun: {\n");
	for (size_t i = 0; i < COUNT_OF(role); i++)
		buf_fmt(out, "  user-%s = \"%u\";\n", role[i], free_id(i));
	buf_fmt(out, "};\n");
}

/* Who reads mail, and where. */
static void put_reading(const struct demo *d, struct buf *out)
{
	buf_fmt(out, "  { address = \"127.0.0.1:%u\"; service = \"pop3\"; },\n",
		demo_port(d, DEMO_POP3));
	buf_fmt(out,
		"  { address = \"127.0.0.1:%u\"; service = \"pop3\"; tls = \"implicit\"; }",
		demo_port(d, DEMO_POP3S));
	if (!d->imap)
		return;
	buf_fmt(out, ",\n  { address = \"127.0.0.1:%u\"; service = \"imap\"; },\n",
		demo_port(d, DEMO_IMAP));
	buf_fmt(out,
		"  { address = \"127.0.0.1:%u\"; service = \"imap\"; tls = \"implicit\"; }",
		demo_port(d, DEMO_IMAPS));
}

static void put_backend(const struct demo *d, struct buf *out)
{
	buf_put(out, SPAN("# POP3 is served from the Maildirs.\n"));
	if (d->imap)
		buf_fmt(out,
			"# IMAP is served by a Dovecot on the same Maildirs, which this demo "
			"runs for\n# itself (dovecot/dovecot.conf). Holdfast judges who logs "
			"in, and logs in there\n# with a password of its own (holdfast relay "
			"list).\n"
			"backends = (\n"
			"  { name = \"dovecot\"; imap = \"127.0.0.1:%u\"; login = \"master\";\n"
			"    credential = \"dovecot\"; identity = \"id\"; }\n"
			");\n",
			demo_port(d, DEMO_DOVECOT));
	else
		buf_put(out, SPAN("# For IMAP there has to be a mailbox server: see "
				  "backends.\n"));
	buf_byte(out, '\n');
}

static void put_config(const struct demo *d, struct buf *out)
{
	buf_fmt(out,
		"# Holdfast, as `holdfast demo` made it. Relative paths begin here.\n"
		"# `holdfast config doc` explains every setting, `holdfast config show` "
		"what\n"
		"# they come to. After a change: holdfast config check --dir DIR, then\n"
		"# holdfast reload --dir DIR. (The next demo writes this file anew and "
		"keeps\n"
		"# yours as holdfast.conf.old.)\n\n"
		"# The name in the greeting, in Received fields and in the certificate.\n"
		"hostname = \"" DEMO_HOST "\";\n\n"
		"# Queue, mailboxes, databases and log.\n"
		"dir = \"data\";\n\n"
		"# What the holdfast command talks to.\n"
		"control = \"run/control.sock\";\n\n"
		"# Only this machine can reach it; a real server has \"*:25\".\n"
		"listen = (\n"
		"  { address = \"127.0.0.1:%u\"; service = \"smtp\"; tls = \"starttls\"; "
		"},\n"
		"  { address = \"127.0.0.1:%u\"; service = \"submission\"; tls = "
		"\"starttls\"; },\n",
		demo_port(d, DEMO_SMTP), demo_port(d, DEMO_SUBMISSION));
	put_reading(d, out);
	buf_fmt(out, "\n);\n\n");
	put_backend(d, out);
	buf_fmt(out,
		"# A certificate that only proves itself. A real one is named the same "
		"way.\n"
		"tls: {\n"
		"  certificates = ( { cert = \"tls.crt\"; key = \"tls.key\"; } );\n"
		"};\n\n"
		"# The tables of this machine's kernel are left alone. A real server has "
		"the\n"
		"# kernel drop who does not stop.\n"
		"firewall: { enabled = false; };\n\n"
		"# stderr, file (DIR/log/holdfast.log) or journal.\n"
		"log: { to = \"file\"; };\n\n"
		"# Domains, users and aliases are in the database: see holdfast user "
		"list.\n"
		"# They could be here, too: domains = [ \"example.org\" ];\n\n"
		"# Where mail goes: maildir (data/mail/DOMAIN/USER), or for example\n"
		"# lmtp:unix:/run/dovecot/lmtp. Users of a demo write to each other only; "
		"a\n# real server has relay = \"mx\", or a smarthost.\n"
		"delivery: { to = \"maildir\"; relay = \"none\"; };\n");
	if (geteuid() == 0)
		put_users(out);
}

static bool is_same(const char *path, struct span text)
{
	char had[8192];
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, had, sizeof(had));

	if (fd >= 0)
		close(fd);
	return n >= 0 && span_eq(span_of(had, (size_t)n), text);
}

static bool write_config(struct demo *d, struct err *err)
{
	uint8_t mem[8192];
	char old[PATH_MAX];
	struct buf text;

	if (!below(d, "holdfast.conf", d->config) ||
	    !below(d, "holdfast.conf.old", old) || !below(d, "stderr.txt", d->errors))
		return err_set(err, "the path is too long");
	buf_init(&text, mem, sizeof(mem));
	put_config(d, &text);
	if (is_same(d->config, buf_span(&text)))
		return true;
	if (access(d->config, F_OK) == 0 && rename(d->config, old) != 0)
		return err_set(err, "%s: %s", old, strerror(errno));
	return demo_write(d->config, 0644, buf_span(&text), err);
}

bool demo_files(struct demo *d, struct err *err)
{
	return make_certificate(d, err) && write_config(d, err);
}
