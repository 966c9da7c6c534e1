#include "app/places.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/number.h"

/* The largest number that is not "no user" in some system call or other. */
#define ID_MAX_NUMBER 0xfffffffeu

static bool by_number(struct span text, struct owner *out)
{
	uint64_t uid, gid;
	struct span first = span_cut(&text, ':');

	if (!number_parse(first, ID_MAX_NUMBER, &uid))
		return false;
	gid = uid;
	if (text.n && !number_parse(text, ID_MAX_NUMBER, &gid))
		return false;
	*out = (struct owner){ (uid_t)uid, (gid_t)gid };
	return true;
}

bool owner_find(const char *text, struct owner *out, struct err *err)
{
	struct passwd *pw;

	if (by_number(span_str(text), out))
		return true;
	pw = getpwnam(text);
	if (!pw)
		return err_set(err,
			       "there is no user \"%s\": make the users with "
			       "\"systemd-sysusers holdfast.conf\", or this one with "
			       "\"useradd --system --user-group --no-create-home "
			       "--shell /usr/sbin/nologin %s\", or name another one",
			       text, text);
	*out = (struct owner){ pw->pw_uid, pw->pw_gid };
	return true;
}

bool owner_is_fit(const char *text, const struct owner *o, struct err *err)
{
	return o->uid != 0 ||
	       err_set(err,
		       "\"%s\" is root, who may do everything, and no role may: name a "
		       "user of its own, as \"systemd-sysusers holdfast.conf\" makes them",
		       text);
}

/* It may have become root since the loader looked. */
static bool find_fit(const char *text, struct owner *out, struct err *err)
{
	return owner_find(text, out, err) && owner_is_fit(text, out, err);
}

static bool group_find(const char *text, gid_t *out, struct err *err)
{
	uint64_t n;
	struct group *gr;

	if (number_parse(span_str(text), ID_MAX_NUMBER, &n)) {
		*out = (gid_t)n;
		return true;
	}
	gr = getgrnam(text);
	if (!gr)
		return err_set(err, "run.control-group: there is no group \"%s\"", text);
	*out = gr->gr_gid;
	return true;
}

bool owners_find(struct owners *out, const struct settings *set, struct err *err)
{
	const struct {
		enum role role;
		const char *key, *user;
	} rows[] = {
		{ ROLE_EDGE, "run.user-edge", set->user_edge },
		{ ROLE_STORE, "run.user-store", set->user_store },
		{ ROLE_AUTH, "run.user-auth", set->user_auth },
		{ ROLE_WATCH, "run.user-watch", set->user_watch },
	};
	struct owners o = { .drop = geteuid() == 0, .control = getegid() };

	for (size_t i = 0; i < ROLE_COUNT; i++)
		o.of[i] = (struct owner){ geteuid(), getegid() };
	if (o.drop) {
		for (size_t i = 0; i < COUNT_OF(rows); i++)
			if (!find_fit(rows[i].user, &o.of[rows[i].role], err))
				return err_within(err, "%s", rows[i].key);
		/* as whoever we are it would have all our rights: then rather none at all */
		if (set->firewall &&
		    !find_fit(set->user_firewall, &o.of[ROLE_FIREWALL], &o.no_firewall))
			err_within(&o.no_firewall, "run.user-firewall");
		if (!find_fit(set->user_fetch, &o.of[ROLE_FETCH], &o.no_fetch))
			err_within(&o.no_fetch, "run.user-fetch");
		o.control = o.of[ROLE_WATCH].gid;
	}
	if (set->control_group[0] && !group_find(set->control_group, &o.control, err))
		return false;
	*out = o;
	return true;
}

/* The name of a new directory must outlive a power cut: its parent has it. */
static bool sync_parent(char *path, size_t n, struct err *err)
{
	size_t up = span_find_last(span_of(path, n), '/');
	int fd;
	bool ok;

	if (up == n)
		fd = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	else {
		path[up] = '\0';
		fd = open(up ? path : "/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		path[up] = '/';
	}
	ok = fd >= 0 && fsync(fd) == 0;
	if (!ok)
		err_set(err, "%s: cannot sync the directory it is in: %s", path,
			strerror(errno));
	if (fd >= 0)
		close(fd);
	return ok;
}

/* Open a directory, made if need be; its parents too, for everybody to pass through. */
static int open_dir(const char *path, struct err *err)
{
	char part[TEXT_MAX];
	size_t n = strlen(path);
	int fd;

	if (n >= sizeof(part)) {
		err_set(err, "%s: too long", path);
		return -1;
	}
	for (size_t i = 1; i <= n; i++) {
		if (path[i] != '/' && path[i] != '\0')
			continue;
		memcpy(part, path, i);
		part[i] = '\0';
		if (mkdir(part, 0755) == 0) {
			if (!sync_parent(part, i, err))
				return -1;
		} else if (errno != EEXIST) {
			err_set(err, "%s: cannot make this directory: %s", part,
				strerror(errno));
			return -1;
		}
	}
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		err_set(err, "%s: %s", path, strerror(errno));
	return fd;
}

/* Whose it is: a new one is given away; one that is somebody else's is left alone. */
static bool settle(int fd, bool made, const char *path, const struct owner *owner,
		   struct err *err)
{
	struct stat st;

	if (fstat(fd, &st) != 0)
		return err_set(err, "%s: %s", path, strerror(errno));
	if (st.st_uid == owner->uid)
		return true;
	if (made && fchown(fd, owner->uid, owner->gid) == 0)
		return true;
	return err_set(err,
		       "%s belongs to user %u, not to %u, who must be able to write there: "
		       "change run.user-..., or give it away with \"chown -R %u:%u %s\"",
		       path, st.st_uid, owner->uid, owner->uid, owner->gid, path);
}

/* DIR/name for a role; nested names come after their parents. */
static bool make_below(int dir, const char *dir_path, const char *name, mode_t mode,
		       const struct owner *owner, struct err *err)
{
	char path[2 * TEXT_MAX];
	bool made, ok;
	int fd;

	snprintf(path, sizeof(path), "%s/%s", dir_path, name);
	made = mkdirat(dir, name, mode) == 0;
	if (!made && errno != EEXIST)
		return err_set(err, "%s: cannot make this directory: %s", path,
			       strerror(errno));
	fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return err_set(err, "%s: %s", path, strerror(errno));
	ok = settle(fd, made, path, owner, err);
	/* also if it was there: a predecessor may have died before it did this */
	if (ok && fsync(fd) != 0)
		ok = err_set(err, "%s: cannot sync: %s", path, strerror(errno));
	close(fd);
	return ok && sync_parent(path, strlen(path), err);
}

/* Two servers over one queue would deliver everything twice. */
static bool lock_dir(int dir, const char *path, int *lock, struct err *err)
{
	int fd = openat(dir, "lock", O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);

	if (fd < 0)
		return err_set(err, "%s/lock: %s", path, strerror(errno));
	if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
		err_set(err, "%s: another holdfast serves this directory", path);
		close(fd);
		return false;
	}
	*lock = fd;
	return true;
}

/* delivery.maildirs without its variable part: "/srv/mail" of "/srv/mail/%d/%u". */
static bool make_maildirs(const struct settings *set, const struct owner *owner,
			  struct err *err)
{
	char path[TEXT_MAX];
	struct stat st;
	struct span fixed = span_str(set->maildirs);
	bool made, ok;
	int fd;

	fixed = span_head(fixed, span_find(fixed, '%'));
	fixed = span_head(fixed, span_find_last(fixed, '/'));
	if (fixed.n < 2 || fixed.p[0] != '/')
		return true;
	snprintf(path, sizeof(path), "%.*s", SPAN_ARG(fixed));
	made = stat(path, &st) != 0;
	if (!made)
		return true;
	fd = open_dir(path, err);
	if (fd < 0)
		return false;
	ok = settle(fd, made, path, owner, err);
	close(fd);
	return ok;
}

bool places_make(const struct conf *conf, const struct owners *owners, int *lock,
		 struct err *err)
{
	static const struct {
		const char *name;
		mode_t mode;
		enum role role;
	} rows[] = {
		{ "queue", 0700, ROLE_STORE }, { "queue/spool", 0700, ROLE_STORE },
		{ "mail", 0700, ROLE_STORE },  { "state", 0700, ROLE_STORE },
		{ "auth", 0700, ROLE_AUTH },   { "log", 0750, ROLE_WATCH },
	};
	const char *path = conf->set.dir;
	bool ok = true;
	int dir = open_dir(path, err);

	if (dir < 0)
		return false;
	if (*lock < 0)
		ok = lock_dir(dir, path, lock, err);
	for (size_t i = 0; ok && i < COUNT_OF(rows); i++)
		ok = make_below(dir, path, rows[i].name, rows[i].mode,
				&owners->of[rows[i].role], err);
	close(dir);
	return ok && make_maildirs(&conf->set, &owners->of[ROLE_STORE], err);
}

/* A socket file that nobody listens on is left over; one that answers is in use. */
static bool clear_stale(const struct sockaddr_un *sa, struct err *err)
{
	struct stat st;
	int fd, rc;

	if (lstat(sa->sun_path, &st) != 0)
		return errno == ENOENT ||
		       err_set(err, "%s: %s", sa->sun_path, strerror(errno));
	if (!S_ISSOCK(st.st_mode))
		return err_set(err, "%s: there is something that is not a socket",
			       sa->sun_path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return err_set(err, "socket: %s", strerror(errno));
	rc = connect(fd, (const struct sockaddr *)sa, sizeof(*sa));
	close(fd);
	if (rc == 0 || errno == EAGAIN)
		return err_set(err, "%s: another server answers on this socket",
			       sa->sun_path);
	if (unlink(sa->sun_path) != 0)
		return err_set(err, "%s: %s", sa->sun_path, strerror(errno));
	return true;
}

static bool make_parent(const char *path, struct err *err)
{
	char dir[TEXT_MAX];
	size_t n = span_find_last(span_str(path), '/');
	int fd;

	if (n == 0 || n >= sizeof(dir) || path[n] != '/')
		return true;
	memcpy(dir, path, n);
	dir[n] = '\0';
	fd = open_dir(dir, err);
	if (fd < 0)
		return false;
	close(fd);
	return true;
}

int places_socket(const char *path, int backlog, struct err *err)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	mode_t mask;
	int fd, rc;

	if (strlen(path) >= sizeof(sa.sun_path)) {
		err_set(err, "\"%s\" is too long for a socket's name", path);
		return -1;
	}
	memcpy(sa.sun_path, path, strlen(path));
	if (!make_parent(path, err) || !clear_stale(&sa, err))
		return -1;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0) {
		err_set(err, "socket: %s", strerror(errno));
		return -1;
	}
	mask = umask(0177); /* nobody connects before it is clear who may */
	rc = bind(fd, (const struct sockaddr *)&sa, sizeof(sa));
	umask(mask);
	if (rc == 0 && listen(fd, backlog) == 0)
		return fd;
	err_set(err, "%s: %s", path, strerror(errno));
	close(fd);
	return -1;
}

int places_control(const struct conf *conf, const struct owners *owners, struct err *err)
{
	const char *path = conf->set.control;
	int fd = places_socket(path, 64, err), rc = 0;

	if (fd < 0) {
		err_within(err, "control socket");
		return -1;
	}
	if (owners->drop)
		rc = chown(path, owners->of[ROLE_WATCH].uid, owners->control);
	else if (conf->set.control_group[0])
		rc = chown(path, (uid_t)-1, owners->control);
	if (rc != 0 || chmod(path, 0660) != 0) {
		err_set(err, "control socket %s: %s", path, strerror(errno));
		close(fd);
		return -1;
	}
	return fd;
}
