#include "auth/passwd_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "auth/names.h"
#include "auth/passwd_line.h"
#include "base/attr.h"
#include "crypt/password.h"
#include "spec/limits.h"

/* A user of the file. Offsets are of `text`, where its name stands in its normal form. */
struct row {
	size_t user, hash;
	uint16_t user_n, hash_n;
	bool locked;
	uint32_t line; /* the first of two lines counts */
};

struct table {
	struct row *rows; /* sorted by name */
	size_t count, room;
	uint8_t *text;
	size_t text_n, text_room;
	size_t broken;	   /* lines */
	size_t unreadable; /* hashes */
};

struct stamp {
	ino_t inode;
	off_t size;
	struct timespec changed;
};

struct passwd_file {
	struct loop *loop;
	char path[TEXT_MAX];
	char domain[DOMAIN_MAX + 1];
	struct passwd_calls calls;
	struct timer timer;
	struct table *table; /* NULL: never read */
	bool busy, closing;
	/* the thread's, while busy */
	struct stamp stamp;
	bool changed, failed;
	struct table *fresh;
	struct err err;
	char told[sizeof(((struct err *)0)->text)]; /* the last trouble: not told twice */
};

/* ---- in the thread: reading -------------------------------------------------------------------- */

static void table_close(struct table **table)
{
	struct table *t = *table;

	*table = NULL;
	if (!t)
		return;
	password_wipe(span_of(t->text, t->text_n));
	free(t->text);
	free(t->rows);
	free(t);
}

static bool make_room(struct table *t)
{
	size_t room = t->room ? 2 * t->room : 64;
	struct row *rows;

	if (t->count < t->room)
		return true;
	if (t->count == PASSWD_USERS_MAX)
		return false;
	rows = reallocarray(t->rows, room, sizeof(*rows));
	if (!rows)
		return false;
	t->rows = rows;
	t->room = room;
	return true;
}

/* Enough for all: names get a domain at most once each. */
static bool room_for_text(struct table *t, size_t n)
{
	size_t room = t->text_room ? 2 * t->text_room : 4096;
	uint8_t *text;

	if (t->text_n + n <= t->text_room)
		return true;
	while (room < t->text_n + n)
		room *= 2;
	text = malloc(room);
	if (!text)
		return false;
	if (t->text_n) {
		memcpy(text, t->text, t->text_n);
		password_wipe(span_of(t->text, t->text_n));
	}
	free(t->text);
	t->text = text;
	t->text_room = room;
	return true;
}

static bool put(struct table *t, const struct passwd_row *row, struct span name,
		uint32_t line)
{
	struct row *r;

	if (!make_room(t) || !room_for_text(t, name.n + row->hash.n))
		return false;
	r = &t->rows[t->count++];
	*r = (struct row){ .user = t->text_n,
			   .hash = t->text_n + name.n,
			   .user_n = (uint16_t)name.n,
			   .hash_n = (uint16_t)row->hash.n,
			   .locked = row->locked,
			   .line = line };
	memcpy(t->text + r->user, name.p, name.n);
	if (row->hash.n)
		memcpy(t->text + r->hash, row->hash.p, row->hash.n);
	t->text_n += name.n + row->hash.n;
	return true;
}

static bool put_line(struct table *t, struct span text, uint32_t line, struct span domain)
{
	uint8_t mem[USER_MAX];
	struct passwd_row row;
	struct buf name;

	buf_init(&name, mem, sizeof(mem));
	switch (passwd_line(text, &row)) {
	case PASSWD_NOTHING:
		return true;
	case PASSWD_BROKEN:
		t->broken++;
		return true;
	case PASSWD_USER:
		break;
	}
	if (row.hash.n >= PASSWORD_HASH_MAX || !name_normal(row.user, domain, &name)) {
		t->broken++;
		return true;
	}
	if (!row.locked && !password_readable(row.hash))
		t->unreadable++;
	return put(t, &row, buf_span(&name), line);
}

static int compare_names(struct span a, struct span b)
{
	size_t n = a.n < b.n ? a.n : b.n;
	int by = n ? memcmp(a.p, b.p, n) : 0;

	return by ? by : (a.n > b.n) - (a.n < b.n);
}

static struct span name_at(const struct table *t, const struct row *r)
{
	return span_of(t->text + r->user, r->user_n);
}

static struct span hash_at(const struct table *t, const struct row *r)
{
	return span_of(t->text + r->hash, r->hash_n);
}

static int compare(const void *a, const void *b, void *arg)
{
	const struct row *x = a, *y = b;
	int by = compare_names(name_at(arg, x), name_at(arg, y));

	return by ? by : (x->line > y->line) - (x->line < y->line);
}

static bool read_text(struct passwd_file *f, FILE *in, struct table *t)
{
	struct span domain = span_str(f->domain);
	char *line = NULL;
	size_t room = 0, all = 0;
	uint32_t number = 0;
	ssize_t n;
	bool ok = true;

	while (ok && (n = getline(&line, &room, in)) > 0) {
		all += (size_t)n;
		if (line[n - 1] == '\n')
			n--;
		ok = all <= PASSWD_FILE_MAX &&
		     put_line(t, span_of(line, (size_t)n), ++number, domain);
	}
	if (room)
		password_wipe(span_of(line, room));
	free(line);
	if (!ok)
		return err_set(&f->err, "%s is too large", f->path);
	return !ferror(in) || err_set(&f->err, "%s: %s", f->path, strerror(errno));
}

static bool same_stamp(const struct stamp *a, const struct stamp *b)
{
	return a->inode == b->inode && a->size == b->size &&
	       a->changed.tv_sec == b->changed.tv_sec &&
	       a->changed.tv_nsec == b->changed.tv_nsec;
}

static bool stamp_of(const struct passwd_file *f, int fd, struct stamp *out,
		     struct err *err)
{
	struct stat st;

	if (fstat(fd, &st) != 0)
		return err_set(err, "%s: %s", f->path, strerror(errno));
	if (!S_ISREG(st.st_mode))
		return err_set(err, "%s is not a file", f->path);
	*out = (struct stamp){ st.st_ino, st.st_size, st.st_mtim };
	return true;
}

/* NULL and err: it could not be read. */
static struct table *read_table(struct passwd_file *f, FILE *in)
{
	struct table *t = calloc(1, sizeof(*t));

	if (!t) {
		err_set(&f->err, "%s: out of memory", f->path);
		return NULL;
	}
	if (read_text(f, in, t)) {
		if (t->count)
			qsort_r(t->rows, t->count, sizeof(*t->rows), compare, t);
		return t;
	}
	table_close(&t);
	return NULL;
}

/* A file that changes while it is read is read again the next time. */
static void look(void *arg)
{
	struct passwd_file *f = arg;
	struct stamp before, after = { 0 };
	int fd = open(f->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	FILE *in;

	f->changed = false;
	f->fresh = NULL;
	f->failed = fd < 0 && !err_set(&f->err, "%s: %s", f->path, strerror(errno));
	if (f->failed)
		return;
	f->failed = !stamp_of(f, fd, &before, &f->err);
	if (f->failed || same_stamp(&before, &f->stamp)) {
		close(fd);
		return;
	}
	in = fdopen(fd, "r");
	if (!in) {
		close(fd);
		return;
	}
	f->fresh = read_table(f, in);
	f->failed = !f->fresh || !stamp_of(f, fd, &after, &f->err);
	f->changed = !f->failed && same_stamp(&before, &after);
	if (f->changed)
		f->stamp = before;
	fclose(in);
}

/* ---- in the loop ---------------------------------------- */

static void complain(struct passwd_file *f, const char *why)
{
	if (strcmp(f->told, why) == 0)
		return;
	snprintf(f->told, sizeof(f->told), "%s", why);
	if (why[0])
		f->calls.trouble(f->calls.arg, why);
}

static void report(struct passwd_file *f)
{
	struct err err = { "" };

	if (f->table->broken || f->table->unreadable)
		err_set(&err,
			"%s: %zu lines make no sense, %zu hashes are of no scheme that is "
			"supported: these users cannot log in",
			f->path, f->table->broken, f->table->unreadable);
	complain(f, err.text);
}

static bool same_password(const struct table *a, const struct row *x,
			  const struct table *b, const struct row *y)
{
	return x->locked == y->locked && span_eq(hash_at(a, x), hash_at(b, y));
}

/* Both are sorted: one walk. */
static void tell_changes(struct passwd_file *f, const struct table *old,
			 const struct table *new)
{
	size_t j = 0;

	for (size_t i = 0; i < old->count; i++) {
		const struct row *r = &old->rows[i];
		int by = -1;

		while (j < new->count && (by = compare_names(name_at(new, &new->rows[j]),
							     name_at(old, r))) < 0)
			j++;
		if (j == new->count || by != 0 ||
		    !same_password(old, r, new, &new->rows[j]))
			f->calls.changed(f->calls.arg, name_at(old, r));
	}
}

static void take_over(struct passwd_file *f)
{
	if (f->failed) {
		complain(f, f->err.text);
	} else if (f->changed) {
		struct table *old = f->table;

		f->table = f->fresh;
		f->fresh = old;
		if (old)
			tell_changes(f, old, f->table);
		report(f);
	}
	table_close(&f->fresh);
}

static void release(struct passwd_file *f)
{
	table_close(&f->table);
	table_close(&f->fresh);
	free(f);
}

static void on_looked(void *arg)
{
	struct passwd_file *f = arg;

	f->busy = false;
	if (f->closing) {
		release(f);
		return;
	}
	take_over(f);
	timer_set(&f->timer, loop_now(f->loop) + PASSWD_EVERY);
}

static void on_time(void *arg)
{
	struct passwd_file *f = arg;

	f->busy = work_run(f->loop, look, on_looked, f);
	if (!f->busy)
		timer_set(&f->timer, loop_now(f->loop) + PASSWD_EVERY);
}

bool passwd_file_open(struct passwd_file **out, struct loop *loop, const char *path,
		      struct span domain, const struct passwd_calls *calls,
		      struct err *err)
{
	struct passwd_file *f = calloc(1, sizeof(*f));

	if (!f)
		return err_set(err, "out of memory");
	f->loop = loop;
	f->calls = *calls;
	snprintf(f->path, sizeof(f->path), "%s", path);
	snprintf(f->domain, sizeof(f->domain), "%.*s", SPAN_ARG(domain));
	timer_init(&f->timer, loop, on_time, f);
	look(f);
	take_over(f);
	timer_set(&f->timer, loop_now(loop) + PASSWD_EVERY);
	*out = f;
	return true;
}

void passwd_file_close(struct passwd_file **file)
{
	struct passwd_file *f = *file;

	*file = NULL;
	if (!f)
		return;
	timer_stop(&f->timer);
	f->closing = true;
	if (!f->busy)
		release(f);
}

enum passwd_found passwd_file_find(const struct passwd_file *f, struct span user,
				   struct passwd_entry *out)
{
	const struct table *t = f->table;
	size_t from = 0, to = t ? t->count : 0;

	while (from < to) {
		size_t mid = from + (to - from) / 2;

		if (compare_names(name_at(t, &t->rows[mid]), user) < 0)
			from = mid + 1;
		else
			to = mid;
	}
	if (!t)
		return PASSWD_UNREAD;
	if (from == t->count || !span_eq(name_at(t, &t->rows[from]), user))
		return PASSWD_HAS_NOT;
	*out = (struct passwd_entry){ hash_at(t, &t->rows[from]), t->rows[from].locked };
	return PASSWD_HAS;
}
