#include "store/maildir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/id.h"
#include "wire/pop3_text.h"

#define WRITE_BUFFER 32768

/* ---- names ---- */

bool maildirs_open(struct maildirs *m, const char *dir, const char *pattern,
		   struct err *err)
{
	char whole[MAILDIR_PATH_MAX];
	struct span path;
	size_t cut;
	int n = *pattern ? snprintf(whole, sizeof(whole), "%s", pattern)
			 : snprintf(whole, sizeof(whole), "%s/mail/%%d/%%u", dir);

	m->root = -1;
	if (n < 0 || (size_t)n >= sizeof(whole) || whole[0] != '/')
		return err_set(err,
			       "delivery.maildirs: not an absolute path, or too long");
	path = span_str(whole);
	cut = span_find(path, '%');
	if (cut == path.n)
		return err_set(err, "delivery.maildirs: no %%u or %%d in %s", whole);
	cut = span_find_last(span_head(path, cut), '/');
	snprintf(m->root_path, sizeof(m->root_path), "%.*s", (int)(cut ? cut : 1), whole);
	snprintf(m->pattern, sizeof(m->pattern), "%s", whole + cut + 1);
	m->root = open(m->root_path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	return true;
}

void maildirs_close(struct maildirs *m)
{
	if (m->root >= 0)
		close(m->root);
	m->root = -1;
}

static bool is_part_ok(struct span part)
{
	if (part.n == 0 || part.n > MAILDIR_NAME_MAX || span_find(part, '\0') < part.n)
		return false;
	return !span_eq(part, SPAN(".")) && !span_eq(part, SPAN(".."));
}

static void put_part(struct span part, struct span user, struct span domain,
		     struct buf *out)
{
	for (size_t i = 0; i < part.n; i++) {
		bool more = part.p[i] == '%' && i + 1 < part.n;

		if (more && part.p[i + 1] == 'u')
			buf_put(out, user);
		else if (more && part.p[i + 1] == 'd')
			buf_put(out, domain);
		else if (more && part.p[i + 1] == '%')
			buf_byte(out, '%');
		else {
			buf_byte(out, part.p[i]);
			continue;
		}
		i++;
	}
}

bool maildirs_path(const struct maildirs *m, struct span mailbox, struct buf *out)
{
	size_t at = span_find_last(mailbox, '@');
	struct span user = span_head(mailbox, at), domain = span_skip(mailbox, at + 1);
	struct span left = span_str(m->pattern);

	if (span_find(mailbox, '/') < mailbox.n || user.n == 0 || domain.n == 0)
		return false;
	while (left.n) {
		struct span part = span_cut(&left, '/');
		size_t begin;

		if (part.n == 0)
			continue;
		if (out->len)
			buf_byte(out, '/');
		begin = out->len;
		put_part(part, user, domain, out);
		if (out->full || !is_part_ok(span_skip(buf_span(out), begin)))
			return false;
	}
	return out->len > 0;
}

void maildir_name(int64_t wall, uint64_t id, uint32_t number, struct span hostname,
		  struct buf *out)
{
	buf_fmt(out, "%lld.Q", (long long)(wall / 1000));
	id_print(id, out);
	buf_fmt(out, "_%u.", number);
	hostname = span_head(hostname, 128);
	for (size_t i = 0; i < hostname.n; i++) {
		uint8_t c = hostname.p[i];

		/* as the inventor of Maildir says */
		if (c == '/' || c == ':' || c == ',' || c < ' ')
			buf_fmt(out, "\\%03o", c);
		else
			buf_byte(out, c);
	}
}

/* ---- directories ---- */

static bool fail(struct mail *m, const char *what)
{
	snprintf(m->why, sizeof(m->why), "%s: %s", what, strerror(errno));
	return false;
}

int maildir_open_dir(int at, const char *name)
{
	return openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

/* Open it, or make it, so that it is still there after a power cut. */
static int make_dir(int at, const char *name)
{
	int fd = maildir_open_dir(at, name);
	bool made;

	if (fd >= 0 || errno != ENOENT)
		return fd;
	made = mkdirat(at, name, 0700) == 0;
	if (!made && errno != EEXIST)
		return -1;
	if (made && at >= 0 && fsync(at) < 0)
		return -1;
	return maildir_open_dir(at, name);
}

/* The root again, readable, so that a directory made in it can be synced. */
static int open_root(struct maildirs *m)
{
	return m->root >= 0 ? openat(m->root, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC)
			    : open(m->root_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

/* Walk down, part by part; no part may be a link. */
static int open_path(struct maildirs *m, struct span path, bool make)
{
	int at = open_root(m);

	while (at >= 0 && path.n) {
		struct span part = span_cut(&path, '/');
		char name[MAILDIR_NAME_MAX + 1];
		int next, why;

		snprintf(name, sizeof(name), "%.*s", SPAN_ARG(part));
		next = make ? make_dir(at, name) : maildir_open_dir(at, name);
		why = errno;
		close(at);
		errno = why;
		at = next;
	}
	return at;
}

int maildir_open(struct maildirs *m, struct span path)
{
	return open_path(m, path, false);
}

static bool open_box(struct maildirs *m, struct mail *mail)
{
	int cur;

	mail->box = open_path(m, mail->path, true);
	if (mail->box < 0)
		return fail(mail, "mailbox");
	mail->tmp = make_dir(mail->box, "tmp");
	if (mail->tmp < 0)
		return fail(mail, "tmp of the mailbox");
	mail->new = make_dir(mail->box, "new");
	if (mail->new < 0)
		return fail(mail, "new of the mailbox");
	cur = make_dir(mail->box, "cur");
	if (cur < 0)
		return fail(mail, "cur of the mailbox");
	close(cur);
	return true;
}

/* ---- was it delivered before? ---- */

static int64_t size_in_name(const char *name)
{
	const char *at = strstr(name, ",S=");
	int64_t n = 0;

	if (!at)
		return -1;
	for (at += 3; *at >= '0' && *at <= '9' && n < INT64_MAX / 16; at++)
		n = n * 10 + (*at - '0');
	return n;
}

static bool has_name(int box, const char *folder, struct span name)
{
	int fd = maildir_open_dir(box, folder);
	DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
	struct dirent *e;
	bool found = false;

	if (!dir) {
		if (fd >= 0)
			close(fd);
		return false;
	}
	while (!found && (e = readdir(dir)))
		found = span_starts(span_str(e->d_name), name) && e->d_name[name.n] == ',';
	closedir(dir);
	return found;
}

/* ---- writing ---- */

struct writer {
	int fd;
	size_t used;
	int64_t total;
	struct pop3_size size;
	bool binary;
	bool after_cr; /* a CR is held back: it goes if LF follows */
	bool failed;
	uint8_t buffer[WRITE_BUFFER];
};

static void flush(struct writer *w)
{
	size_t done = 0;

	while (!w->failed && done < w->used) {
		ssize_t n = write(w->fd, w->buffer + done, w->used - done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			w->failed = true;
		else
			done += (size_t)n;
	}
	w->total += (int64_t)w->used;
	pop3_size_put(&w->size, span_of(w->buffer, w->used));
	w->used = 0;
}

static void put_raw(struct writer *w, struct span s)
{
	while (s.n) {
		struct span part = span_head(s, sizeof(w->buffer) - w->used);

		memcpy(w->buffer + w->used, part.p, part.n);
		w->used += part.n;
		s = span_skip(s, part.n);
		if (w->used == sizeof(w->buffer))
			flush(w);
	}
}

/* CRLF becomes LF, wherever the pieces are cut; a CR of its own stays. */
static void put_text(struct writer *w, struct span s)
{
	if (w->binary) {
		put_raw(w, s);
		return;
	}
	while (s.n) {
		size_t cr;

		if (w->after_cr && s.p[0] != '\n')
			put_raw(w, SPAN("\r"));
		w->after_cr = false;
		cr = span_find(s, '\r');
		put_raw(w, span_head(s, cr));
		w->after_cr = cr < s.n;
		s = span_skip(s, cr + 1);
	}
}

static void put_head(struct writer *w, const struct mail *m)
{
	put_raw(w, SPAN("Return-Path: <"));
	put_raw(w, m->sender);
	put_raw(w, SPAN(">\nDelivered-To: "));
	put_raw(w, m->address);
	put_raw(w, SPAN("\n"));
}

static void put_file(struct writer *w, int spool)
{
	uint8_t piece[WRITE_BUFFER];
	off_t at = 0;
	ssize_t n;

	while (!w->failed && (n = pread(spool, piece, sizeof(piece), at)) != 0) {
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			w->failed = true;
			return;
		}
		put_text(w, span_of(piece, (size_t)n));
		at += n;
	}
}

static const char *c_name(struct span name, char out[MAILDIR_NAME_MAX + 1])
{
	snprintf(out, MAILDIR_NAME_MAX + 1, "%.*s", SPAN_ARG(name));
	return out;
}

/* What a predecessor left in tmp is in the way: names are ours alone. */
static int open_tmp(struct mail *m)
{
	int flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
	char name[MAILDIR_NAME_MAX + 1];
	int fd = openat(m->tmp, c_name(m->name, name), flags, 0600);

	if (fd < 0 && errno == EEXIST && unlinkat(m->tmp, name, 0) == 0)
		fd = openat(m->tmp, name, flags, 0600);
	return fd;
}

static bool write_mail(struct mail *m)
{
	struct writer w = { .binary = m->binary };

	pop3_size_begin(&w.size);
	w.fd = m->fd = open_tmp(m);
	if (m->fd < 0)
		return fail(m, "file in tmp");
	put_head(&w, m);
	if (m->spool >= 0)
		put_file(&w, m->spool);
	else
		put_text(&w, m->body);
	if (w.after_cr)
		put_raw(&w, SPAN("\r"));
	flush(&w);
	m->size = w.total;
	m->wire_size = pop3_size_end(&w.size);
	return !w.failed || fail(m, "writing");
}

static bool into_new(struct mail *m)
{
	char from[MAILDIR_NAME_MAX + 1], to[MAILDIR_NAME_MAX + 64];

	snprintf(to, sizeof(to), "%s,S=%lld,W=%llu", c_name(m->name, from),
		 (long long)m->size, (unsigned long long)m->wire_size);
	return renameat(m->tmp, from, m->new, to) == 0 || fail(m, "moving it to new");
}

static void close_one(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

/* ---- delivery ---- */

static void prepare(struct maildirs *dirs, struct mail *m)
{
	m->box = m->tmp = m->new = m->fd = -1;
	m->delivered = m->found = m->written = false;
	m->size = 0;
	m->why[0] = '\0';
	if (!open_box(dirs, m))
		return;
	m->found = m->again &&
		   (has_name(m->box, "new", m->name) || has_name(m->box, "cur", m->name));
	if (!m->found)
		m->written = write_mail(m);
}

static void give_up(struct mail *m)
{
	char name[MAILDIR_NAME_MAX + 1];

	m->written = false;
	if (m->tmp >= 0 && m->fd >= 0)
		(void)unlinkat(m->tmp, c_name(m->name, name), 0);
}

/*
 * All are written before the first is synced: the file system then carries out most of
 * the other syncs with it.
 */
void maildir_deliver(struct maildirs *dirs, struct mail **mails, size_t count)
{
	for (size_t i = 0; i < count; i++)
		prepare(dirs, mails[i]);
	for (size_t i = 0; i < count; i++) {
		struct mail *m = mails[i];

		if (m->written)
			m->written = (fsync(m->fd) == 0 || fail(m, "sync")) && into_new(m);
		if (!m->written && !m->found)
			give_up(m);
	}
	for (size_t i = 0; i < count; i++) {
		struct mail *m = mails[i];

		/* one that was found may have been renamed by us just before we died */
		if (m->written || m->found)
			m->delivered = fsync(m->new) == 0 || fail(m, "sync of new");
		close_one(&m->fd);
		close_one(&m->new);
		close_one(&m->tmp);
		close_one(&m->box);
	}
}

/* ---- usage ---- */

static void add_files(int box, const char *folder, int64_t *sum)
{
	int fd = maildir_open_dir(box, folder);
	DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
	struct dirent *e;

	if (!dir) {
		if (fd >= 0)
			close(fd);
		return;
	}
	while ((e = readdir(dir))) {
		int64_t size = size_in_name(e->d_name);
		struct stat st;

		if (e->d_name[0] == '.')
			continue;
		if (size < 0)
			size = fstatat(dirfd(dir), e->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0
				       ? st.st_size
				       : 0;
		*sum += size;
	}
	closedir(dir);
}

static void add_folder(int box, int64_t *sum)
{
	add_files(box, "new", sum);
	add_files(box, "cur", sum);
}

bool maildir_usage(struct maildirs *m, struct span path, int64_t *out)
{
	int box = open_path(m, path, false);
	struct dirent *e;
	int64_t sum = 0;
	DIR *dir;

	*out = 0;
	if (box < 0)
		return errno == ENOENT;
	add_folder(box, &sum);
	dir = fdopendir(box);
	if (!dir) {
		close(box);
		return false;
	}
	/* Maildir++: a folder is a directory whose name begins with a dot */
	while ((e = readdir(dir))) {
		int folder;

		if (e->d_name[0] != '.' || !e->d_name[strspn(e->d_name, ".")])
			continue;
		folder = maildir_open_dir(dirfd(dir), e->d_name);
		if (folder < 0)
			continue;
		add_folder(folder, &sum);
		close(folder);
	}
	closedir(dir);
	*out = sum;
	return true;
}
