#include "store/box_files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "crypt/sha256.h"
#include "link/seal.h"
#include "store/box_names.h"
#include "wire/pop3_text.h"

/*
 * Sizes that no name tells have to be counted. Of a Maildir that others have filled, no more
 * than this at once: the rest is told as the file system has it, which is a little less.
 */
#define COUNT_MAX ((uint64_t)256 << 20)
/*
 * Names that others are changing at the same time: so often a mail must be in no list to be
 * gone, and so often one that is in a list, and not there, is looked for.
 */
#define LOOKS_GONE 3
#define LOOKS_MOST 50

static int open_file(int box, const char *name, bool in_cur)
{
	int dir = maildir_open_dir(box, box_folders[in_cur]), fd;
	struct stat st;

	if (dir < 0)
		return -1;
	fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	close(dir);
	if (fd >= 0 && (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))) {
		close(fd);
		return -1;
	}
	return fd;
}

/* ---- the list ----------------------------------------------------------------------- */

static bool is_visible(struct span s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] < 0x21 || s.p[i] > 0x7e)
			return false;
	return true;
}

/* RFC 1939, 7: up to 70 characters. What is no such word is hashed, and is so for ever. */
static bool print_uid(struct span base, struct sha256 *hash, struct box_item *item)
{
	uint8_t digest[SHA256_SIZE];
	struct buf out;

	buf_init(&out, item->uid, sizeof(item->uid));
	if (base.n && base.n <= BOX_UID_MAX && is_visible(base)) {
		buf_put(&out, base);
	} else {
		sha256_put(hash, base);
		if (!sha256_end(hash, digest))
			return false;
		for (size_t i = 0; i < sizeof(digest); i++)
			buf_fmt(&out, "%02x", digest[i]);
	}
	item->uid_n = (uint8_t)out.len;
	return true;
}

/* False: it is not there any more. */
static bool count_size(int box, const char *name, bool in_cur, uint64_t *counted,
		       uint64_t *out)
{
	int fd = open_file(box, name, in_cur);
	uint8_t piece[32768];
	struct pop3_size size;
	struct stat st;
	ssize_t n = 0;

	if (fd < 0 || fstat(fd, &st) != 0) {
		if (fd >= 0)
			close(fd);
		return false;
	}
	pop3_size_begin(&size);
	*counted += (uint64_t)st.st_size;
	while (*counted <= COUNT_MAX && (n = read(fd, piece, sizeof(piece))) > 0)
		pop3_size_put(&size, span_of(piece, (size_t)n));
	*out = *counted <= COUNT_MAX && n == 0 ? pop3_size_end(&size)
					       : (uint64_t)st.st_size;
	close(fd);
	return true;
}

/* The items, where there is room for b->count; who has vanished leaves b, too. */
static bool fill(int box, struct box_files *b, struct box_item *items, uint64_t *bytes)
{
	struct sha256 *hash = sha256_open();
	uint64_t counted = 0;
	size_t kept = 0;
	bool good = hash != NULL;

	*bytes = 0;
	for (size_t i = 0; good && i < b->count; i++) {
		struct box_file f = b->files[i];
		struct box_item *item = &items[kept];

		if (f.size == 0 &&
		    !count_size(box, b->names + f.at, f.in_cur, &counted, &f.size))
			continue;
		*item = (struct box_item){ .size = f.size };
		good = print_uid(box_names_base(b, &f), hash, item);
		*bytes += f.size;
		b->files[kept++] = f;
	}
	b->count = kept;
	sha256_close(&hash);
	return good;
}

static bool seal(int fd, size_t n, struct err *err)
{
	if (ftruncate(fd, (off_t)n) == 0 && seal_memory(fd))
		return true;
	return err_set(err, "sealing: %s", strerror(errno));
}

static bool make_list(int box, struct box_files *b, int fd, uint64_t *bytes,
		      struct err *err)
{
	size_t n = b->count * sizeof(struct box_item);
	void *map = NULL;
	bool good = true;

	if (n) {
		map = ftruncate(fd, (off_t)n) == 0
			      ? mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0)
			      : MAP_FAILED;
		if (map == MAP_FAILED)
			return err_set(err, "memory: %s", strerror(errno));
	}
	good = fill(box, b, map, bytes);
	if (map)
		munmap(map, n);
	if (!good)
		return err_set(err, "out of memory");
	return seal(fd, b->count * sizeof(struct box_item), err);
}

bool box_files_list(struct maildirs *m, struct span path, struct box_files *out, int *fd,
		    uint64_t *bytes, struct err *err)
{
	int box = maildir_open(m, path), memory = -1, why;
	struct box_files b = { 0 };
	bool good;

	if (box < 0 || !box_names_read(box, &b)) {
		why = errno;
		if (box >= 0)
			close(box);
		errno = why;
		return err_set(err, "%s", strerror(why));
	}
	memory = memfd_create("holdfast-box", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	good = memory >= 0 ? make_list(box, &b, memory, bytes, err)
			   : err_set(err, "memfd: %s", strerror(errno));
	close(box);
	if (good) {
		*out = b;
		*fd = memory;
		return true;
	}
	if (memory >= 0)
		close(memory);
	box_files_close(&b);
	errno = EIO;
	return false;
}

/* ---- one mail ------------------------------------------------------------------------- */

/* Somebody has moved it, or written flags to its name: where is it now? */
static int open_moved(int box, const struct box_files *b, const struct box_file *f)
{
	int fd = -1, missed = 0;

	for (int i = 0; i < LOOKS_MOST && missed < LOOKS_GONE && fd < 0; i++) {
		const struct box_file *now;
		struct box_files later;

		if (!box_names_read(box, &later))
			return -1;
		now = box_names_find(&later, box_names_base(b, f), f->when);
		missed = now ? 0 : missed + 1;
		if (now)
			fd = open_file(box, later.names + now->at, now->in_cur);
		box_files_close(&later);
	}
	return fd;
}

int box_files_open(struct maildirs *m, struct span path, struct box_files *b, size_t i)
{
	int box = maildir_open(m, path), fd;
	const struct box_file *f = &b->files[i];

	if (box < 0)
		return -1;
	fd = open_file(box, b->names + f->at, f->in_cur);
	if (fd < 0)
		fd = open_moved(box, b, f);
	close(box);
	return fd;
}

/* ---- removing --------------------------------------------------------------------------- */

struct removing {
	int box;
	int dirs[2]; /* as in folders; -1: not there */
	size_t removed, failed;
	bool touched[2];
};

/* True: that is settled. False: the name is not there. */
static bool remove_one(struct removing *r, const char *name, bool in_cur)
{
	if (r->dirs[in_cur] < 0)
		return false;
	if (unlinkat(r->dirs[in_cur], name, 0) == 0) {
		r->removed++;
		r->touched[in_cur] = true;
		return true;
	}
	if (errno == ENOENT)
		return false;
	r->failed++;
	return true;
}

static bool has_bit(struct span bits, size_t i)
{
	return i / 8 < bits.n && bits.p[i / 8] & 1u << i % 8;
}

/*
 * Those that were not found under the name that we knew; left says how often each was in no
 * list. True: there are some to be looked for again.
 */
static bool remove_moved(struct removing *r, const struct box_files *b, uint8_t *left)
{
	struct box_files later;
	bool more = false;

	if (!box_names_read(r->box, &later))
		return true;
	for (size_t i = 0; i < b->count; i++) {
		const struct box_file *f = &b->files[i], *now;

		if (!left[i])
			continue;
		now = box_names_find(&later, box_names_base(b, f), f->when);
		if (!now)
			left[i] = left[i] < LOOKS_GONE ? left[i] + 1 : 0;
		else
			left[i] = !remove_one(r, later.names + now->at, now->in_cur);
		more |= left[i] != 0;
	}
	box_files_close(&later);
	return more;
}

static void remove_all(struct removing *r, const struct box_files *b, struct span bits,
		       uint8_t *left)
{
	bool more = false;

	for (size_t i = 0; i < b->count; i++) {
		const struct box_file *f = &b->files[i];

		if (!has_bit(bits, i) || remove_one(r, b->names + f->at, f->in_cur))
			continue;
		left[i] = 1;
		more = true;
	}
	for (int i = 0; i < LOOKS_MOST && more; i++)
		more = remove_moved(r, b, left);
	for (size_t i = 0; i < b->count && more; i++)
		r->failed += left[i] != 0;
}

static size_t count_bits(const struct box_files *b, struct span bits)
{
	size_t n = 0;

	for (size_t i = 0; i < b->count; i++)
		n += has_bit(bits, i);
	return n;
}

size_t box_files_remove(struct maildirs *m, struct span path, struct box_files *b,
			struct span bits)
{
	struct removing r = { .box = maildir_open(m, path) };
	uint8_t *left = b->count ? calloc(b->count, 1) : NULL;

	if (r.box < 0 || !left) {
		bool gone = r.box < 0 && errno == ENOENT;

		if (r.box >= 0)
			close(r.box);
		free(left);
		return gone ? 0 : count_bits(b, bits);
	}
	for (int i = 0; i < 2; i++)
		r.dirs[i] = maildir_open_dir(r.box, box_folders[i]);
	remove_all(&r, b, bits, left);
	for (int i = 0; i < 2; i++) {
		/* or they would come back, and be read twice, after a power cut */
		if (r.touched[i] && fsync(r.dirs[i]) != 0)
			r.failed += r.removed;
		if (r.dirs[i] >= 0)
			close(r.dirs[i]);
	}
	close(r.box);
	free(left);
	return r.failed;
}
