#include "db/sql.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bug.h"

#define SQL_PATH_MAX	512
#define HEAD_BYTES	100
#define QUICK_CHECK_MAX ((off_t)64 << 20) /* larger files are not read through at start */
#define LOCK_WAIT_MS	3000		  /* for a predecessor that is just ending */

struct query_row {
	enum database database;
	const char *text;
};

static const struct query_row queries[QUERY_COUNT] = {
/* clang-format off */
#define QUERY(database, id, text) [Q_##id] = { DB_##database, text },
#include "db/queries.def"
#define QUERY(database, id, text) [Q_##id] = { DB_##database, text },
#include "db/vault_queries.def"
	/* clang-format on */
};

bool sql_failed(struct sql *s, const char *what, struct err *err)
{
	int code = sqlite3_extended_errcode(s->db);

	s->trouble = (code & 0xff) == SQLITE_FULL ? TROUBLE_FULL : TROUBLE_BROKEN;
	return err_set(err, "%s: %s (sqlite %d)", what, sqlite3_errmsg(s->db), code);
}

/* ---- before it is opened --------------------------------------------------------------- */

static void name_of(int pid, char *out, size_t n)
{
	char path[64];
	FILE *f;

	snprintf(out, n, "process %d", pid);
	snprintf(path, sizeof(path), "/proc/%d/comm", pid);
	f = fopen(path, "re");
	if (!f)
		return;
	if (fgets(path, sizeof(path), f)) {
		path[strcspn(path, "\n")] = '\0';
		snprintf(out, n, "process %d (%s)", pid, path);
	}
	fclose(f);
}

/* Who holds a lock on any byte of that file? 0: nobody, or nobody we can see. */
static int holder_of(const char *path, const char *suffix)
{
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	char name[SQL_PATH_MAX];
	int fd, pid = 0;

	snprintf(name, sizeof(name), "%s%s", path, suffix);
	fd = open(name, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return 0;
	if (fcntl(fd, F_GETLK, &lock) == 0 && lock.l_type != F_UNLCK)
		pid = lock.l_pid;
	close(fd);
	return pid;
}

static bool is_taken(const char *path, int pid, struct err *err)
{
	char who[96] = "another process";

	if (pid > 0)
		name_of(pid, who, sizeof(who));
	return err_set(err, "%s is in use by %s: stop it, then start again", path, who);
}

/* One server per database: the lock goes with the process, however it ends. */
static bool take_lock(struct sql *s, const char *path, struct err *err)
{
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	char name[SQL_PATH_MAX];

	snprintf(name, sizeof(name), "%s-lock", path);
	s->lock = open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (s->lock < 0)
		return err_set(err, "%s: %s", name, strerror(errno));
	for (int waited = 0; fcntl(s->lock, F_SETLK, &lock) < 0; waited += 50) {
		struct flock other = { .l_type = F_WRLCK, .l_whence = SEEK_SET };

		if (waited < LOCK_WAIT_MS) {
			usleep(50000);
			continue;
		}
		if (fcntl(s->lock, F_GETLK, &other) < 0 || other.l_type == F_UNLCK)
			other.l_pid = 0;
		return is_taken(path, other.l_pid, err);
	}
	return true;
}

static bool is_corrupt(const char *path, const char *why, struct err *err)
{
	return err_set(err,
		       "%s is damaged (%s). Nothing was changed. To repair: copy it, then "
		       "sqlite3 %s .recover | sqlite3 new.db, and put new.db in its place; "
		       "or move it away to start empty",
		       path, why, path);
}

/* A new file is there after a power cut only if its directory was synced. */
static bool sync_dir_of(const char *path, struct err *err)
{
	char dir[SQL_PATH_MAX];
	size_t cut = span_find_last(span_str(path), '/');
	int fd;
	bool synced;

	snprintf(dir, sizeof(dir), "%.*s", cut < strlen(path) ? (int)cut + 1 : 2,
		 cut < strlen(path) ? path : "./");
	fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	synced = fd >= 0 && fsync(fd) == 0;
	if (!synced)
		err_set(err, "%s: %s", dir, strerror(errno));
	if (fd >= 0)
		close(fd);
	return synced;
}

/* What can be known without SQLite, which would begin to repair. */
static bool look_at(const char *path, bool *unclean, struct err *err)
{
	static const char magic[] = "SQLite format 3";
	char head[HEAD_BYTES], wal[SQL_PATH_MAX];
	struct stat st = { 0 }, log = { 0 };
	ssize_t n;
	int fd;

	snprintf(wal, sizeof(wal), "%s-wal", path);
	*unclean = stat(wal, &log) == 0 && log.st_size > 0;
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
		return err_set(err, "%s: %s", path, strerror(errno));
	n = fstat(fd, &st) < 0 ? -1 : pread(fd, head, sizeof(head), 0);
	close(fd);
	if (n < 0)
		return err_set(err, "%s: %s", path, strerror(errno));
	if (n == 0 && *unclean && st.st_size == 0)
		return err_set(err,
			       "%s is missing or empty, but its log %s-wal is not: put the "
			       "database back, or move the log away to start empty",
			       path, path);
	if (n > 0 && (n < HEAD_BYTES || memcmp(head, magic, sizeof(magic)) != 0))
		return is_corrupt(path, "not a database", err);
	*unclean = *unclean && st.st_size < QUICK_CHECK_MAX;
	return n > 0 || sync_dir_of(path, err);
}

/* ---- opening ----------------------------------------------------------------------------- */

/* The first column of the first row, as a number or as text. */
static int ask(struct sql *s, const char *question, int64_t *number, char *text, size_t n)
{
	sqlite3_stmt *st = NULL;
	int code = sqlite3_prepare_v2(s->db, question, -1, &st, NULL);

	if (code == SQLITE_OK)
		code = sqlite3_step(st);
	if (code == SQLITE_ROW && number)
		*number = sqlite3_column_int64(st, 0);
	if (code == SQLITE_ROW && text)
		snprintf(text, n, "%s", (const char *)sqlite3_column_text(st, 0));
	sqlite3_finalize(st);
	return code == SQLITE_ROW || code == SQLITE_DONE ? SQLITE_OK : code;
}

static bool unusable(struct sql *s, const struct sql_setup *setup, struct err *err)
{
	int code = sqlite3_errcode(s->db) & 0xff, pid;
	char why[160];

	snprintf(why, sizeof(why), "%s", sqlite3_errmsg(s->db));
	if (code == SQLITE_CORRUPT || code == SQLITE_NOTADB)
		return is_corrupt(setup->path, why, err);
	if (code != SQLITE_BUSY && code != SQLITE_LOCKED)
		return err_set(err, "%s: %s", setup->path, why);
	/* closing a descriptor of a file drops our locks on it, so close SQLite's first */
	sqlite3_close(s->db);
	s->db = NULL;
	pid = holder_of(setup->path, "-shm");
	return is_taken(setup->path, pid ? pid : holder_of(setup->path, ""), err);
}

/* *of: its version; 0: it is empty. */
static bool is_ours(struct sql *s, const struct sql_setup *setup, int *of, struct err *err)
{
	int64_t application = 0, version = 0, things = 0;

	if (ask(s, "pragma application_id", &application, NULL, 0) != SQLITE_OK ||
	    ask(s, "pragma user_version", &version, NULL, 0) != SQLITE_OK ||
	    ask(s, "select count(*) from sqlite_schema", &things, NULL, 0) != SQLITE_OK)
		return unusable(s, setup, err);
	*of = 0;
	if (application == 0 && things == 0)
		return true;
	if (application != (int64_t)setup->application)
		return err_set(err, "%s is a database of another program: move it away",
			       setup->path);
	if (version > setup->version)
		return err_set(
			err,
			"%s was written by a newer holdfast (schema %d, this one knows %d): "
			"start that one, or restore a backup",
			setup->path, (int)version, setup->version);
	*of = version > 0 ? (int)version : 1;
	return true;
}

static bool is_whole(struct sql *s, const struct sql_setup *setup, struct err *err)
{
	char verdict[160] = "";

	if (ask(s, "pragma quick_check(1)", NULL, verdict, sizeof(verdict)) != SQLITE_OK)
		return unusable(s, setup, err);
	if (strcmp(verdict, "ok") != 0)
		return is_corrupt(setup->path, verdict, err);
	return true;
}

/*
 * From version 0 (empty) or an older one to ours, as one transaction: after a crash it is
 * the one or the other.
 */
static bool bring_up(struct sql *s, const struct sql_setup *setup, int version,
		     struct err *err)
{
	char marks[128];
	bool good;

	if (version == setup->version)
		return true;
	snprintf(marks, sizeof(marks),
		 "pragma application_id = %u; pragma user_version = %d;",
		 setup->application, setup->version);
	good = sqlite3_exec(s->db, "begin immediate", NULL, NULL, NULL) == SQLITE_OK;
	if (version == 0)
		good = good &&
		       sqlite3_exec(s->db, setup->schema, NULL, NULL, NULL) == SQLITE_OK;
	for (int v = version ? version : 1; good && v < setup->version; v++)
		good = sqlite3_exec(s->db, setup->upgrades[v - 1], NULL, NULL, NULL) ==
		       SQLITE_OK;
	if (!good || sqlite3_exec(s->db, marks, NULL, NULL, NULL) != SQLITE_OK ||
	    sqlite3_exec(s->db, "commit", NULL, NULL, NULL) != SQLITE_OK)
		return unusable(s, setup, err);
	return true;
}

static bool reads_only(const struct sql_setup *setup)
{
	return setup->database == DB_READER || setup->database == DB_VAULT_READER;
}

/*
 * Checkpoints are ours to make (sql_checkpoint), between batches. The log is cut back to
 * its usual size if a reader made it grow. Some SQLites are built to overwrite what is
 * deleted, which doubles what each message costs; mail lies in the queue for moments.
 */
static bool tune(struct sql *s, const struct sql_setup *setup, struct err *err)
{
	char text[320], mode[16] = "";

	snprintf(text, sizeof(text),
		 "pragma synchronous = full; pragma cache_size = -%d; pragma temp_store = memory;"
		 "pragma wal_autocheckpoint = 0; pragma journal_size_limit = 67108864;"
		 "pragma foreign_keys = off; %s",
		 setup->cache_kib,
		 setup->database == DB_QUEUE ? "pragma secure_delete = off;" : "");
	if (!reads_only(setup) &&
	    (ask(s, "pragma journal_mode = wal", NULL, mode, sizeof(mode)) != SQLITE_OK ||
	     strcmp(mode, "wal") != 0))
		return unusable(s, setup, err);
	if (sqlite3_exec(s->db, text, NULL, NULL, NULL) != SQLITE_OK)
		return unusable(s, setup, err);
	return true;
}

static bool add_tables(struct sql *s, const struct sql_setup *setup, struct err *err)
{
	if (!setup->additions ||
	    sqlite3_exec(s->db, setup->additions, NULL, NULL, NULL) == SQLITE_OK)
		return true;
	return unusable(s, setup, err);
}

/* Is it free? A lock that somebody holds on it shows here, not in the first commit. */
static bool is_free(struct sql *s, const struct sql_setup *setup, struct err *err)
{
	if (sqlite3_exec(s->db, "begin immediate; rollback", NULL, NULL, NULL) != SQLITE_OK)
		return unusable(s, setup, err);
	return true;
}

static bool prepare(struct sql *s, enum database database, struct err *err)
{
	for (enum query q = 0; q < QUERY_COUNT; q++)
		if (queries[q].database == database &&
		    sqlite3_prepare_v3(s->db, queries[q].text, -1,
				       SQLITE_PREPARE_PERSISTENT, &s->query[q],
				       NULL) != SQLITE_OK)
			return sql_failed(s, queries[q].text, err);
	return true;
}

static int on_wal(void *arg, sqlite3 *db, const char *name, int pages)
{
	struct sql *s = arg;

	(void)db;
	(void)name;
	s->wal_pages = pages;
	return SQLITE_OK;
}

static bool open_writer(struct sql *s, const struct sql_setup *setup, struct err *err)
{
	bool unclean;
	int version;

	if (!take_lock(s, setup->path, err) || !look_at(setup->path, &unclean, err))
		return false;
	if (sqlite3_open_v2(setup->path, &s->db,
			    SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL) != SQLITE_OK)
		return unusable(s, setup, err);
	sqlite3_busy_timeout(s->db, LOCK_WAIT_MS);
	if (!is_ours(s, setup, &version, err) || (unclean && !is_whole(s, setup, err)) ||
	    !tune(s, setup, err) || !bring_up(s, setup, version, err) ||
	    !is_free(s, setup, err) || !add_tables(s, setup, err))
		return false;
	sqlite3_wal_hook(s->db, on_wal, s);
	return true;
}

static bool open_reader(struct sql *s, const struct sql_setup *setup, struct err *err)
{
	if (sqlite3_open_v2(setup->path, &s->db,
			    SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL) != SQLITE_OK)
		return unusable(s, setup, err);
	sqlite3_busy_timeout(s->db, LOCK_WAIT_MS);
	if (!tune(s, setup, err))
		return false;
	if (sqlite3_exec(s->db, "pragma query_only = on", NULL, NULL, NULL) != SQLITE_OK)
		return unusable(s, setup, err);
	return true;
}

bool sql_open(struct sql *s, const struct sql_setup *setup, struct err *err)
{
	bool good;

	*s = (struct sql){ .lock = -1 };
	good = reads_only(setup) ? open_reader(s, setup, err) : open_writer(s, setup, err);
	if (good && prepare(s, setup->database, err))
		return true;
	sql_close(s);
	return false;
}

void sql_close(struct sql *s)
{
	for (enum query q = 0; q < QUERY_COUNT; q++)
		sqlite3_finalize(s->query[q]);
	sqlite3_close(s->db);
	if (s->lock >= 0)
		close(s->lock);
	*s = (struct sql){ .lock = -1 };
}

/* ---- asking ------------------------------------------------------------------------------- */

sqlite3_stmt *sql_start(struct sql *s, enum query q)
{
	BUG_IF(!s->query[q]);
	sqlite3_reset(s->query[q]);
	return s->query[q];
}

void sql_bind(sqlite3_stmt *st, int at, int64_t n)
{
	BUG_IF(sqlite3_bind_int64(st, at, n) != SQLITE_OK);
}

void sql_bind_text(sqlite3_stmt *st, int at, struct span s)
{
	BUG_IF(sqlite3_bind_text64(st, at, s.n ? (const char *)s.p : "", s.n,
				   SQLITE_STATIC, SQLITE_UTF8) != SQLITE_OK);
}

void sql_bind_blob(sqlite3_stmt *st, int at, struct span s)
{
	BUG_IF(sqlite3_bind_blob64(st, at, s.n ? (const void *)s.p : "", s.n,
				   SQLITE_STATIC) != SQLITE_OK);
}

struct span sql_text(sqlite3_stmt *st, int column)
{
	const void *p = sqlite3_column_blob(st, column);
	int n = sqlite3_column_bytes(st, column);

	return p && n > 0 ? span_of(p, (size_t)n) : SPAN_NONE;
}

bool sql_row(struct sql *s, sqlite3_stmt *st, bool *row, const char *what, struct err *err)
{
	switch (sqlite3_step(st)) {
	case SQLITE_ROW:
		*row = true;
		return true;
	case SQLITE_DONE:
		*row = false;
		sqlite3_reset(st);
		return true;
	default:
		sql_failed(s, what, err);
		sqlite3_reset(st);
		return false;
	}
}

bool sql_run(struct sql *s, sqlite3_stmt *st, const char *what, struct err *err)
{
	bool row = true;

	while (row)
		if (!sql_row(s, st, &row, what, err))
			return false;
	return true;
}

bool sql_plain(struct sql *s, enum query q, const char *what, struct err *err)
{
	return sql_run(s, sql_start(s, q), what, err);
}

void sql_end_all(struct sql *s)
{
	for (enum query q = 0; q < QUERY_COUNT; q++)
		if (s->query[q] && sqlite3_stmt_busy(s->query[q]))
			sqlite3_reset(s->query[q]);
}

int64_t sql_changes(struct sql *s)
{
	return sqlite3_changes64(s->db);
}

bool sql_checkpoint(struct sql *s, struct err *err)
{
	int log = 0, done = 0;

	if (sqlite3_wal_checkpoint_v2(s->db, NULL, SQLITE_CHECKPOINT_PASSIVE, &log,
				      &done) != SQLITE_OK)
		return sql_failed(s, "checkpoint", err);
	s->wal_pages = log - done;
	return true;
}
