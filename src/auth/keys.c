#include "auth/keys.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "conf/hop.h"
#include "crypt/password.h"
#include "io/idn.h"

#define PATH_ROOM (DOMAIN_MAX + SELECTOR_MAX + 16)

static const struct span ending = SPAN_INIT(".pem");

static bool copy_lower(char *out, size_t room, struct span text)
{
	struct buf b;

	if (!host_name_ok(text) || text.n >= room)
		return false;
	buf_init(&b, out, room);
	buf_put_lower(&b, text);
	out[text.n] = '\0';
	return true;
}

bool key_name(struct key_name *out, struct span domain, struct span selector)
{
	uint8_t mem[DOMAIN_MAX];
	struct buf ascii;

	buf_init(&ascii, mem, sizeof(mem));
	return !idn_domain(domain, &ascii) &&
	       copy_lower(out->domain, sizeof(out->domain), buf_span(&ascii)) &&
	       copy_lower(out->selector, sizeof(out->selector), selector);
}

void key_name_print(const struct key_name *n, struct buf *out)
{
	buf_fmt(out, "%s._domainkey.%s", n->selector, n->domain);
}

static void path_of(const struct key_name *n, const char *end, char path[PATH_ROOM])
{
	snprintf(path, PATH_ROOM, "%s/%s%s", n->domain, n->selector, end);
}

static bool failed(const char *what, const struct key_name *n, struct err *err)
{
	return err_set(err, "%s the key %s._domainkey.%s: %s", what, n->selector,
		       n->domain, strerror(errno));
}

bool key_load(int dir, const struct key_name *n, struct dkim_secret **out, bool *found,
	      struct err *err)
{
	uint8_t mem[DKIM_PEM_MAX];
	char path[PATH_ROOM];
	ssize_t got;
	bool good;
	int fd;

	path_of(n, ".pem", path);
	fd = openat(dir, path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	*found = fd >= 0 || errno != ENOENT;
	if (fd < 0)
		return failed("cannot open", n, err);
	got = read(fd, mem, sizeof(mem));
	close(fd);
	if (got < 0)
		return failed("cannot read", n, err);
	good = dkim_read(out, span_of(mem, (size_t)got), err) ||
	       err_within(err, "%s._domainkey.%s", n->selector, n->domain);
	password_wipe(span_of(mem, sizeof(mem)));
	return good;
}

static bool write_all(int fd, struct span bytes)
{
	while (bytes.n) {
		ssize_t n = write(fd, bytes.p, bytes.n);

		if (n < 0 && errno != EINTR)
			return false;
		bytes = span_skip(bytes, n > 0 ? (size_t)n : 0);
	}
	return fsync(fd) == 0;
}

static bool write_new(int dir, const char *path, struct span pem)
{
	int fd = openat(dir, path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC,
			0600);
	bool good = fd >= 0 && write_all(fd, pem);

	if (fd >= 0 && close(fd) != 0)
		good = false;
	return good;
}

static bool sync_dir(int dir, const char *path)
{
	int fd = openat(dir, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	bool good = fd >= 0 && fsync(fd) == 0;

	if (fd >= 0)
		close(fd);
	return good;
}

bool key_save(int dir, const struct key_name *n, const struct dkim_secret *k,
	      struct err *err)
{
	uint8_t mem[DKIM_PEM_MAX];
	char path[PATH_ROOM], new[PATH_ROOM];
	struct buf pem;
	bool good;

	buf_init(&pem, mem, sizeof(mem));
	if (!dkim_write(k, &pem, err))
		return false;
	path_of(n, ".pem", path);
	path_of(n, ".new", new);
	good = (mkdirat(dir, n->domain, 0700) == 0 || errno == EEXIST) &&
	       write_new(dir, new, buf_span(&pem));
	password_wipe(span_of(mem, sizeof(mem)));
	/* a link, as a rename would put it in place of another one */
	good = good && linkat(dir, new, dir, path, 0) == 0 && sync_dir(dir, n->domain) &&
	       sync_dir(dir, ".");
	if (!good)
		failed("cannot write", n, err);
	(void)unlinkat(dir, new, 0);
	return good;
}

bool key_remove(int dir, const struct key_name *n, struct err *err)
{
	char path[PATH_ROOM];

	path_of(n, ".pem", path);
	if (unlinkat(dir, path, 0) != 0)
		return errno == ENOENT
			       ? err_set(err,
					 "there is no key %s._domainkey.%s: `holdfast dkim "
					 "list` names them",
					 n->selector, n->domain)
			       : failed("cannot remove", n, err);
	(void)sync_dir(dir, n->domain);
	(void)unlinkat(dir, n->domain, AT_REMOVEDIR); /* unless there are others */
	return true;
}

static DIR *open_dir(int dir, const char *path)
{
	int fd = openat(dir, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *d = fd >= 0 ? fdopendir(fd) : NULL;

	if (fd >= 0 && !d)
		close(fd);
	return d;
}

/* False: each() has had enough. */
static bool each_of(int dir, const char *domain,
		    bool (*each)(void *arg, const struct key_name *n), void *arg)
{
	DIR *d = open_dir(dir, domain);
	struct dirent *entry;
	struct key_name n;
	bool more = true;

	while (d && more && (entry = readdir(d)) != NULL) {
		struct span name = span_str(entry->d_name);

		if (name.n <= ending.n || !span_eq(span_tail(name, ending.n), ending))
			continue;
		if (key_name(&n, span_str(domain), span_head(name, name.n - ending.n)))
			more = each(arg, &n);
	}
	if (d)
		closedir(d);
	return more;
}

bool key_each(int dir, bool (*each)(void *arg, const struct key_name *n), void *arg,
	      struct err *err)
{
	DIR *d = open_dir(dir, ".");
	struct dirent *entry;

	if (!d)
		return err_set(err, "cannot list the keys: %s", strerror(errno));
	while ((entry = readdir(d)) != NULL)
		if (host_name_ok(span_str(entry->d_name)) &&
		    !each_of(dir, entry->d_name, each, arg))
			break;
	closedir(d);
	return true;
}
