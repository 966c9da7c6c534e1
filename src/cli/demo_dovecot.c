#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "cli/demo.h"

/*
 * IMAP of the demo: Debian's Dovecot on the Maildirs that we deliver to. It has its own
 * configuration, directory and port, so one that is installed and runs is left alone.
 */

#define PROGRAM "/usr/sbin/dovecot"
#define IMAP	"/usr/lib/dovecot/imap" /* of another package than the program */
#define GROUP	"dovecot"
#define SOCKET_NAME \
	48 /* the longest one that Dovecot makes below its base_dir, and more */

/* What stands in its configuration without quotes. */
static bool is_plain(const char *path)
{
	for (; *path; path++) {
		char c = (char)byte_lower((uint8_t)*path);

		if (!(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9') &&
		    !strchr("/._-", c))
			return false;
	}
	return true;
}

const char *demo_why_no_imap(const struct demo *d)
{
	struct sockaddr_un socket;

	if (access(PROGRAM, X_OK) != 0 || access(IMAP, X_OK) != 0)
		return "Dovecot is not installed: apt-get install dovecot-imapd";
	if (strlen(d->dir) + SOCKET_NAME > sizeof(socket.sun_path))
		return "the directory's path is too long for Dovecot's sockets";
	if (!is_plain(d->dir))
		return "the directory's path has characters that Dovecot would not take";
	if (geteuid() != 0 && !getpwuid(geteuid()))
		return "the user who runs this has no name, which Dovecot needs";
	return NULL;
}

static bool name_file(const struct demo *d, const char *name, char path[PATH_MAX],
		      struct err *err)
{
	return snprintf(path, PATH_MAX, "%s/dovecot%s", d->dir, name) < PATH_MAX ||
	       err_set(err, "%s: the path is too long", d->dir);
}

/* Without root all of it runs as one user, who cannot change its root directory. */
static void put_user(struct buf *out)
{
	const struct passwd *pw = getpwuid(geteuid());
	const struct group *gr = getgrgid(getegid());

	if (geteuid() == 0 || !pw)
		return;
	buf_fmt(out,
		"default_internal_user = %s\ndefault_login_user = %s\n"
		"default_internal_group = %s\n"
		"service anvil {\n  chroot =\n}\n"
		"service imap-login {\n  chroot =\n}\n",
		pw->pw_name, pw->pw_name, gr ? gr->gr_name : pw->pw_name);
}

static void put_config(const struct demo *d, struct buf *out)
{
	unsigned uid = demo_store_uid(), gid = geteuid() == 0 ? uid : getegid();

	buf_fmt(out,
		"# Dovecot as `holdfast demo` runs it, beside any other: IMAP for Holdfast,\n"
		"# which has judged the login already and comes as USER*holdfast.\n\n"
		"protocols = imap\n"
		"listen = 127.0.0.1\n"
		"base_dir = %s/dovecot/run\n"
		"state_dir = %s/dovecot/state\n"
		"log_path = %s/dovecot/log\n"
		"ssl = no\n"
		"disable_plaintext_auth = no\n"
		"auth_mechanisms = plain\n\n"
		"# Whom it takes the client's address from (identity = \"id\").\n"
		"login_trusted_networks = 127.0.0.1\n\n"
		"# Only Holdfast logs in, for whomever it has let in.\n"
		"auth_master_user_separator = *\n"
		"passdb {\n"
		"  driver = passwd-file\n"
		"  master = yes\n"
		"  args = %s/dovecot/masters\n"
		"}\n"
		"passdb {\n" /* there has to be one that is not for masters */
		"  driver = passwd-file\n"
		"  args = %s/dovecot/nobody\n"
		"}\n"
		"userdb {\n"
		"  driver = static\n"
		"  args = uid=%u gid=%u home=%s/data/mail/%%d/%%n allow_all_users=yes\n"
		"}\n"
		"first_valid_uid = 1\n"
		"mail_location = maildir:%s/data/mail/%%d/%%n\n"
		"namespace inbox {\n"
		"  inbox = yes\n"
		"}\n"
		"service imap-login {\n"
		"  inet_listener imap {\n"
		"    port = %u\n"
		"  }\n"
		"  inet_listener imaps {\n"
		"    port = 0\n"
		"  }\n"
		"}\n",
		d->dir, d->dir, d->dir, d->dir, d->dir, uid, gid, d->dir, d->dir,
		demo_port(d, DEMO_DOVECOT));
	put_user(out);
}

/* For the process that checks passwords only. */
static bool write_secret(const struct demo *d, const char *name, struct span text,
			 struct err *err)
{
	const struct group *gr = geteuid() == 0 ? getgrnam(GROUP) : NULL;
	char path[PATH_MAX];

	if (!name_file(d, name, path, err) || !demo_write(path, 0640, text, err))
		return false;
	return !gr || chown(path, 0, gr->gr_gid) == 0 ||
	       err_set(err, "%s: %s", path, strerror(errno));
}

/* With which password Holdfast comes; nobody else has one there. */
static bool write_masters(const struct demo *d, struct err *err)
{
	char text[64 + SECRET_RANDOM];
	bool good;

	snprintf(text, sizeof(text), "holdfast:{PLAIN}%s\n", d->master);
	good = write_secret(d, "/masters", span_str(text), err) &&
	       write_secret(d, "/nobody", SPAN_NONE, err);
	explicit_bzero(text, sizeof(text));
	return good;
}

static bool make_dirs(const struct demo *d, struct err *err)
{
	static const char *const names[] = { "", "/run", "/state" };
	char path[PATH_MAX];

	for (size_t i = 0; i < COUNT_OF(names); i++) {
		if (!name_file(d, names[i], path, err))
			return false;
		if (mkdir(path, 0755) != 0 && errno != EEXIST)
			return err_set(err, "%s: %s", path, strerror(errno));
	}
	return true;
}

static bool write_files(struct demo *d, struct err *err)
{
	char path[PATH_MAX];
	uint8_t *mem = malloc(8 * PATH_MAX);
	struct buf text;
	bool good;

	if (!mem)
		return err_set(err, "out of memory");
	buf_init(&text, mem, 8 * PATH_MAX);
	put_config(d, &text);
	good = make_dirs(d, err) && secret_random(d->master, err) &&
	       write_masters(d, err) && name_file(d, "/dovecot.conf", path, err) &&
	       demo_write(path, 0644, buf_span(&text), err);
	free(mem);
	return good;
}

static void become_dovecot(const char *config, const char *log)
{
	int fd = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0644);
	sigset_t none;

	if (fd >= 0) {
		(void)dup2(fd, STDOUT_FILENO);
		(void)dup2(fd, STDERR_FILENO);
	}
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	(void)setpgid(0, 0);
	/* Nobody else would stop it. */
	(void)prctl(PR_SET_PDEATHSIG, SIGTERM);
	execl(PROGRAM, "dovecot", "-F", "-c", config, (char *)NULL);
	_exit(127);
}

bool demo_dovecot_start(struct demo *d, struct err *err)
{
	char config[PATH_MAX];

	if (!write_files(d, err) || !name_file(d, "/dovecot.conf", config, err) ||
	    !name_file(d, "/log", d->dovecot_log, err))
		return false;
	fflush(stdout);
	d->dovecot = fork();
	if (d->dovecot == 0)
		become_dovecot(config, d->dovecot_log);
	if (d->dovecot > 0)
		return true;
	d->dovecot = 0;
	return err_set(err, "fork: %s", strerror(errno));
}

bool demo_dovecot_ended(struct demo *d, struct err *err)
{
	int status;

	if (d->dovecot == 0 || waitpid(d->dovecot, &status, WNOHANG) != d->dovecot)
		return false;
	d->dovecot = 0;
	err_set(err, "Dovecot ended with status %d, see %s", status, d->dovecot_log);
	return true;
}
