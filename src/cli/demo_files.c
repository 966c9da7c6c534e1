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
static bool choose_dir(struct demo *d, struct err *err)
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
	return make_dir(d->dir, err);
}

static bool write_file(const char *path, mode_t mode, struct span text, struct err *err)
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
		  write_file(key_path, 0600, buf_span(&key), err) &&
		  write_file(cert_path, 0644, buf_span(&cert), err);
	explicit_bzero(key_mem, sizeof(key_mem));
	return written;
}

static void put_users(struct buf *out)
{
	static const char *const role[] = { "edge", "store", "auth", "watch" };
	unsigned id = FIRST_ID;

	buf_fmt(out,
		"\n# Started as root, each role runs as a user of its own. These have no "
		"name;\n# an installed server has holdfast-edge and so on.\nrun: {\n");
	for (size_t i = 0; i < COUNT_OF(role); i++) {
		while (id < LAST_ID && getpwuid(id))
			id++;
		buf_fmt(out, "  user-%s = \"%u\";\n", role[i], id++);
	}
	buf_fmt(out, "};\n");
}

static void put_config(const struct demo *d, struct buf *out)
{
	buf_fmt(out,
		"# Holdfast, as `holdfast demo` made it. Relative paths begin here.\n"
		"# `holdfast config doc` explains every setting, `holdfast config show` "
		"what is\n"
		"# in force. After a change: holdfast config check --dir DIR, then\n"
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
		"}\n"
		");\n\n"
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
		"# delivery: { to = \"lmtp:unix:/run/dovecot/lmtp\"; };\n",
		demo_port(d));
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
	return write_file(d->config, 0644, buf_span(&text), err);
}

bool demo_files(struct demo *d, struct err *err)
{
	umask(022);
	return choose_dir(d, err) && make_certificate(d, err) && write_config(d, err);
}
