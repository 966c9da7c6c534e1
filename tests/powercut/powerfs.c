/*
 * powerfs - a file system in memory that forgets what was not synced
 *
 * For the power-cut test: mount it, run a server on it, then send SIGUSR1. From that
 * moment every operation fails with EIO, and what a disk would hold after a power cut is
 * written to the directory given with --after: file contents as of their last fsync (of
 * later writes, each 512-byte sector survives or not by the toss of a seeded coin), and
 * directories as of their last fsync (of later changes, nothing survives).
 *
 *     powerfs --after DIR --seed N MOUNTPOINT        runs in the foreground
 *
 * A new file whose directory was not synced is gone; a rename that was not synced has
 * not happened. That is harsher than ext4 is, and all that POSIX promises.
 */
#define FUSE_USE_VERSION 31
#include <errno.h>
#include <fuse.h>
#include <fuse_lowlevel.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SECTOR 512

struct bytes {
	char *p;
	size_t n, cap;
};

struct entry {
	char *name;
	struct node *node;
};

struct entries {
	struct entry *at;
	size_t n;
};

/* Nodes are never freed: the process is short-lived, and durable names may need them. */
struct node {
	struct stat st;
	struct bytes now, durable;
	struct entries names, durable_names; /* of a directory */
};

static struct node *root;
static const char *after_dir;
static unsigned seed = 1;
static volatile sig_atomic_t cut;
static bool dead;
static ino_t next_ino = 1;

static void *need(void *p)
{
	if (!p) {
		fprintf(stderr, "powerfs: out of memory\n");
		abort();
	}
	return p;
}

static struct node *node_new(mode_t mode)
{
	struct node *n = need(calloc(1, sizeof(*n)));
	struct fuse_context *c = fuse_get_context();

	n->st.st_mode = mode;
	n->st.st_ino = next_ino++;
	n->st.st_nlink = S_ISDIR(mode) ? 2 : 1;
	n->st.st_uid = c ? c->uid : 0;
	n->st.st_gid = c ? c->gid : 0;
	clock_gettime(CLOCK_REALTIME, &n->st.st_mtim);
	n->st.st_atim = n->st.st_ctim = n->st.st_mtim;
	return n;
}

static void bytes_resize(struct bytes *b, size_t n)
{
	if (n > b->cap) {
		b->cap = n * 2 + 4096;
		b->p = need(realloc(b->p, b->cap));
	}
	if (n > b->n)
		memset(b->p + b->n, 0, n - b->n);
	b->n = n;
}

static void bytes_copy(struct bytes *to, const struct bytes *from)
{
	bytes_resize(to, from->n);
	if (from->n)
		memcpy(to->p, from->p, from->n);
}

static struct entry *find(struct entries *d, const char *name)
{
	for (size_t i = 0; i < d->n; i++)
		if (strcmp(d->at[i].name, name) == 0)
			return &d->at[i];
	return NULL;
}

static void entry_add(struct entries *d, const char *name, struct node *node)
{
	d->at = need(realloc(d->at, (d->n + 1) * sizeof(*d->at)));
	d->at[d->n++] = (struct entry){ need(strdup(name)), node };
}

static void entry_drop(struct entries *d, struct entry *e)
{
	free(e->name);
	*e = d->at[--d->n];
}

static void entries_copy(struct entries *to, const struct entries *from)
{
	while (to->n)
		entry_drop(to, &to->at[0]);
	for (size_t i = 0; i < from->n; i++)
		entry_add(to, from->at[i].name, from->at[i].node);
}

/* The node at path, or NULL; with `parent`, the directory it is (or would be) in. */
static struct node *walk(const char *path, struct node **parent, const char **last)
{
	struct node *at = root, *up = NULL;
	static char part[256];

	while (*path == '/')
		path++;
	part[0] = '\0';
	while (*path && at) {
		size_t n = strcspn(path, "/");
		struct entry *e;

		if (n >= sizeof(part))
			return NULL;
		memcpy(part, path, n);
		part[n] = '\0';
		up = at;
		e = find(&at->names, part);
		at = e ? e->node : NULL;
		path += n;
		while (*path == '/')
			path++;
		if (!at && *path)
			up = NULL;
	}
	if (parent)
		*parent = up;
	if (last)
		*last = part;
	return at;
}

/* ---- the cut ----------------------------------------------------------------------- */

/* Contents after the cut: as synced, and some of the sectors that were written since. */
static void toss_sectors(struct node *n)
{
	struct bytes *d = &n->durable, *now = &n->now;

	for (size_t at = 0; at < now->n; at += SECTOR) {
		size_t len = now->n - at < SECTOR ? now->n - at : SECTOR;
		bool same = at + len <= d->n && memcmp(d->p + at, now->p + at, len) == 0;

		if (same || rand_r(&seed) % 2)
			continue;
		if (at + len > d->n)
			bytes_resize(d, at + len);
		memcpy(d->p + at, now->p + at, len);
	}
}

static void dump(struct node *n, const char *path)
{
	if (S_ISDIR(n->st.st_mode)) {
		mkdir(path, 0700);
		for (size_t i = 0; i < n->durable_names.n; i++) {
			struct entry *e = &n->durable_names.at[i];
			char below[4096];

			snprintf(below, sizeof(below), "%s/%s", path, e->name);
			dump(e->node, below);
		}
	} else if (S_ISREG(n->st.st_mode)) {
		FILE *f = need(fopen(path, "w"));

		toss_sectors(n);
		if (n->durable.n &&
		    fwrite(n->durable.p, 1, n->durable.n, f) != n->durable.n)
			perror(path);
		fclose(f);
	}
	if (chown(path, n->st.st_uid, n->st.st_gid) != 0 ||
	    chmod(path, n->st.st_mode & 07777) != 0)
		perror(path);
}

static void on_signal(int sig)
{
	(void)sig;
	cut = 1;
}

/* Every operation begins here: is there still power? */
static bool gone(void)
{
	return dead;
}

/* ---- operations --------------------------------------------------------------------- */

#define ALIVE()                      \
	do {                         \
		if (gone())          \
			return -EIO; \
	} while (0)

static int fs_getattr(const char *path, struct stat *st, struct fuse_file_info *fi)
{
	struct node *n = fi ? (struct node *)fi->fh : walk(path, NULL, NULL);

	ALIVE();
	if (!n)
		return -ENOENT;
	*st = n->st;
	st->st_size = (off_t)n->now.n;
	st->st_blocks = (blkcnt_t)((n->now.n + 511) / 512);
	return 0;
}

static int add(const char *path, mode_t mode, struct node **out)
{
	struct node *up;
	const char *last;
	struct node *n = walk(path, &up, &last);

	ALIVE();
	if (n)
		return -EEXIST;
	if (!up)
		return -ENOENT;
	n = node_new(mode);
	entry_add(&up->names, last, n);
	if (out)
		*out = n;
	return 0;
}

static int fs_mkdir(const char *path, mode_t mode)
{
	return add(path, S_IFDIR | (mode & 07777), NULL);
}

static int fs_create(const char *path, mode_t mode, struct fuse_file_info *fi)
{
	struct node *n;
	int r = add(path, S_IFREG | (mode & 07777), &n);

	if (r == 0)
		fi->fh = (uint64_t)n;
	return r;
}

static int fs_open(const char *path, struct fuse_file_info *fi)
{
	struct node *n = walk(path, NULL, NULL);

	ALIVE();
	if (!n)
		return -ENOENT;
	fi->fh = (uint64_t)n;
	return 0;
}

static int remove_name(const char *path, bool want_dir)
{
	struct node *up;
	const char *last;
	struct node *n = walk(path, &up, &last);

	ALIVE();
	if (!n || !up)
		return -ENOENT;
	if (want_dir && n->names.n)
		return -ENOTEMPTY;
	entry_drop(&up->names, find(&up->names, last));
	n->st.st_nlink--;
	return 0;
}

static int fs_unlink(const char *path)
{
	return remove_name(path, false);
}

static int fs_rmdir(const char *path)
{
	return remove_name(path, true);
}

static int fs_rename(const char *from, const char *to, unsigned flags)
{
	struct node *from_up, *to_up;
	const char *last;
	char name[256];
	struct node *n = walk(from, &from_up, &last);
	struct entry *e;

	ALIVE();
	if (!n || !from_up)
		return -ENOENT;
	snprintf(name, sizeof(name), "%s", last);
	if (walk(to, &to_up, &last) && (flags & 1))
		return -EEXIST;
	if (!to_up)
		return -ENOENT;
	e = find(&to_up->names, last);
	if (e)
		entry_drop(&to_up->names, e);
	entry_add(&to_up->names, last, n);
	entry_drop(&from_up->names, find(&from_up->names, name));
	return 0;
}

static int fs_link(const char *from, const char *to)
{
	struct node *n = walk(from, NULL, NULL), *up;
	const char *last;

	ALIVE();
	if (!n)
		return -ENOENT;
	if (walk(to, &up, &last))
		return -EEXIST;
	if (!up)
		return -ENOENT;
	entry_add(&up->names, last, n);
	n->st.st_nlink++;
	return 0;
}

static int fs_read(const char *path, char *out, size_t size, off_t off,
		   struct fuse_file_info *fi)
{
	struct bytes *b = &((struct node *)fi->fh)->now;

	(void)path;
	ALIVE();
	if ((size_t)off >= b->n)
		return 0;
	if (size > b->n - (size_t)off)
		size = b->n - (size_t)off;
	memcpy(out, b->p + off, size);
	return (int)size;
}

static int fs_write(const char *path, const char *in, size_t size, off_t off,
		    struct fuse_file_info *fi)
{
	struct node *n = (struct node *)fi->fh;

	(void)path;
	ALIVE();
	if ((size_t)off + size > n->now.n)
		bytes_resize(&n->now, (size_t)off + size);
	memcpy(n->now.p + off, in, size);
	clock_gettime(CLOCK_REALTIME, &n->st.st_mtim);
	return (int)size;
}

static int fs_truncate(const char *path, off_t size, struct fuse_file_info *fi)
{
	struct node *n = fi ? (struct node *)fi->fh : walk(path, NULL, NULL);

	ALIVE();
	if (!n)
		return -ENOENT;
	bytes_resize(&n->now, (size_t)size);
	return 0;
}

static int fs_fsync(const char *path, int datasync, struct fuse_file_info *fi)
{
	struct node *n = (struct node *)fi->fh;

	(void)path;
	(void)datasync;
	ALIVE();
	bytes_copy(&n->durable, &n->now);
	return 0;
}

static int fs_fsyncdir(const char *path, int datasync, struct fuse_file_info *fi)
{
	struct node *n = walk(path, NULL, NULL);

	(void)datasync;
	(void)fi;
	ALIVE();
	if (!n)
		return -ENOENT;
	entries_copy(&n->durable_names, &n->names);
	return 0;
}

static int fs_readdir(const char *path, void *buf, fuse_fill_dir_t fill, off_t off,
		      struct fuse_file_info *fi, enum fuse_readdir_flags flags)
{
	struct node *n = walk(path, NULL, NULL);

	(void)off;
	(void)fi;
	(void)flags;
	ALIVE();
	if (!n)
		return -ENOENT;
	fill(buf, ".", NULL, 0, 0);
	fill(buf, "..", NULL, 0, 0);
	for (size_t i = 0; i < n->names.n; i++)
		fill(buf, n->names.at[i].name, NULL, 0, 0);
	return 0;
}

static int fs_chmod(const char *path, mode_t mode, struct fuse_file_info *fi)
{
	struct node *n = fi ? (struct node *)fi->fh : walk(path, NULL, NULL);

	ALIVE();
	if (!n)
		return -ENOENT;
	n->st.st_mode = (n->st.st_mode & S_IFMT) | (mode & 07777);
	return 0;
}

static int fs_chown(const char *path, uid_t uid, gid_t gid, struct fuse_file_info *fi)
{
	struct node *n = fi ? (struct node *)fi->fh : walk(path, NULL, NULL);

	ALIVE();
	if (!n)
		return -ENOENT;
	if (uid != (uid_t)-1)
		n->st.st_uid = uid;
	if (gid != (gid_t)-1)
		n->st.st_gid = gid;
	return 0;
}

static int fs_utimens(const char *path, const struct timespec tv[2],
		      struct fuse_file_info *fi)
{
	struct node *n = fi ? (struct node *)fi->fh : walk(path, NULL, NULL);

	ALIVE();
	if (!n)
		return -ENOENT;
	if (tv[1].tv_nsec != UTIME_OMIT)
		n->st.st_mtim = tv[1];
	return 0;
}

static int fs_statfs(const char *path, struct statvfs *st)
{
	(void)path;
	*st = (struct statvfs){ .f_bsize = 4096,
				.f_frsize = 4096,
				.f_blocks = 1 << 20,
				.f_bfree = 1 << 20,
				.f_bavail = 1 << 20,
				.f_files = 1 << 20,
				.f_ffree = 1 << 20,
				.f_namemax = 255 };
	return 0;
}

static const struct fuse_operations operations = {
	.getattr = fs_getattr,
	.mkdir = fs_mkdir,
	.create = fs_create,
	.open = fs_open,
	.unlink = fs_unlink,
	.rmdir = fs_rmdir,
	.rename = fs_rename,
	.link = fs_link,
	.read = fs_read,
	.write = fs_write,
	.truncate = fs_truncate,
	.fsync = fs_fsync,
	.fsyncdir = fs_fsyncdir,
	.readdir = fs_readdir,
	.chmod = fs_chmod,
	.chown = fs_chown,
	.utimens = fs_utimens,
	.statfs = fs_statfs,
};

/* One request at a time; between two of them, look whether the power is cut. */
static int serve(struct fuse_session *se)
{
	struct fuse_buf request = { 0 };
	int r = 0;

	while (!fuse_session_exited(se)) {
		if (cut && !dead) {
			dead = true;
			dump(root, after_dir);
			printf("cut\n");
			fflush(stdout);
		}
		r = fuse_session_receive_buf(se, &request);
		if (r == -EINTR)
			continue;
		if (r <= 0)
			break;
		fuse_session_process_buf(se, &request);
	}
	free(request.mem);
	return r < 0 ? 1 : 0;
}

static int usage(void)
{
	fprintf(stderr, "usage: powerfs --after DIR [--seed N] MOUNTPOINT\n");
	return 2;
}

int main(int argc, char **argv)
{
	char *fuse_argv[] = { argv[0], "-o",
			      "allow_other,default_permissions,fsname=powerfs", NULL };
	struct fuse_args args = FUSE_ARGS_INIT(3, fuse_argv);
	struct sigaction act = { .sa_handler = on_signal }; /* no SA_RESTART */
	const char *mountpoint = NULL;
	struct fuse *fuse;
	int r;

	for (int i = 1; i < argc; i++)
		if (strcmp(argv[i], "--after") == 0 && i + 1 < argc)
			after_dir = argv[++i];
		else if (strcmp(argv[i], "--seed") == 0 && i + 1 < argc)
			seed = (unsigned)strtoul(argv[++i], NULL, 10);
		else
			mountpoint = argv[i];
	if (!after_dir || !mountpoint)
		return usage();
	root = node_new(S_IFDIR | 0755);
	fuse = fuse_new(&args, &operations, sizeof(operations), NULL);
	if (!fuse || fuse_mount(fuse, mountpoint) != 0)
		return 1;
	sigaction(SIGUSR1, &act, NULL);
	fuse_set_signal_handlers(fuse_get_session(fuse));
	printf("mounted\n");
	fflush(stdout);
	r = serve(fuse_get_session(fuse));
	fuse_unmount(fuse);
	return r;
}
