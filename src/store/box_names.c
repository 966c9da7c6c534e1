#include "store/box_names.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/number.h"
#include "spec/limits.h"

#define SIZE_MAX_TOLD ((uint64_t)1 << 48)

const char *const box_folders[2] = { "new", "cur" };

void box_files_close(struct box_files *b)
{
	free(b->files);
	free(b->names);
	*b = (struct box_files){ 0 };
}

struct span box_names_base(const struct box_files *b, const struct box_file *f)
{
	return span_of(b->names + f->at, f->base);
}

/* ---- names -------------------------------------------------------------------------- */

/* ",S=123" at the end: is it a field of that letter? Then *value, and it is cut off. */
static bool cut_field(struct span *name, uint8_t letter, uint64_t *value)
{
	size_t comma = span_find_last(*name, ',');
	struct span field = span_skip(*name, comma + 1);

	if (comma == name->n || field.n < 3 || field.p[0] != letter ||
	    field.p[1] != '=' || !number_parse(span_skip(field, 2), SIZE_MAX_TOLD, value))
		return false;
	*name = span_head(*name, comma);
	return true;
}

/* Sizes may be added to a name later, flags always are. */
static void parse_name(struct span name, struct box_file *f)
{
	struct span base = span_head(name, span_find(name, ':'));
	uint64_t ignored;
	size_t digits = 0;

	while (base.n &&
	       (cut_field(&base, 'W', &f->size) || cut_field(&base, 'S', &ignored)))
		continue;
	if (base.n == 0)
		base = span_head(name, span_find(name, ':'));
	f->base = (uint16_t)base.n;
	while (digits < base.n && base.p[digits] >= '0' && base.p[digits] <= '9')
		digits++;
	if (!number_parse(span_head(base, digits), UINT64_MAX, &f->when))
		f->when = 0;
}

static bool grow(void **mem, size_t *room, size_t need, size_t each)
{
	size_t more = *room ? *room : 64;
	void *now;

	while (more < need)
		more *= 2;
	if (more == *room)
		return true;
	now = realloc(*mem, more * each);
	if (!now)
		return false;
	*mem = now;
	*room = more;
	return true;
}

static bool put(struct box_files *b, struct span name, bool in_cur)
{
	struct box_file f = { .at = (uint32_t)b->names_n, .in_cur = in_cur };
	void *files = b->files, *names = b->names;
	bool good = grow(&files, &b->room, b->count + 1, sizeof(f));

	b->files = files;
	good = good && grow(&names, &b->names_room, b->names_n + name.n + 1, 1);
	b->names = names;
	if (!good)
		return false;
	parse_name(name, &f);
	memcpy(b->names + b->names_n, name.p, name.n);
	b->names[b->names_n + name.n] = '\0';
	b->names_n += name.n + 1;
	b->files[b->count++] = f;
	return true;
}

/* By time, then by name: then the same mail twice, seen on its way from new to cur. */
static int compare_base(const struct box_files *b, const struct box_file *x,
			const struct box_file *y)
{
	struct span one = box_names_base(b, x), other = box_names_base(b, y);
	size_t n = one.n < other.n ? one.n : other.n;
	int order = n ? memcmp(one.p, other.p, n) : 0;

	if (x->when != y->when)
		return x->when < y->when ? -1 : 1;
	if (order == 0 && one.n != other.n)
		order = one.n < other.n ? -1 : 1;
	return order;
}

static int compare(const void *x, const void *y, void *files)
{
	const struct box_file *one = x, *other = y;
	int order = compare_base(files, one, other);

	return order ? order : (int)other->in_cur - (int)one->in_cur;
}

static void sort(struct box_files *b)
{
	size_t kept = 0;

	if (b->count)
		qsort_r(b->files, b->count, sizeof(*b->files), compare, b);
	for (size_t i = 0; i < b->count; i++)
		if (!kept || compare_base(b, &b->files[kept - 1], &b->files[i]) != 0)
			b->files[kept++] = b->files[i];
	b->count = kept;
}

/* ---- directories -------------------------------------------------------------------- */

static bool is_file(int dir, const struct dirent *e)
{
	struct stat st;

	if (e->d_name[0] == '.')
		return false;
	if (e->d_type != DT_UNKNOWN)
		return e->d_type == DT_REG;
	return fstatat(dir, e->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
	       S_ISREG(st.st_mode);
}

/* False: errno says why. A directory that is not there has nothing in it. */
static bool read_folder(int box, bool in_cur, struct box_files *b)
{
	int fd = maildir_open_dir(box, box_folders[in_cur]);
	DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
	struct dirent *e;
	bool good = true;

	if (!dir) {
		if (fd >= 0)
			close(fd);
		return fd < 0 && errno == ENOENT;
	}
	while (good && b->count < BOX_MESSAGES_MAX) {
		errno = 0;
		e = readdir(dir);
		if (!e) {
			good = errno == 0;
			break;
		}
		if (is_file(fd, e))
			good = put(b, span_str(e->d_name), in_cur);
	}
	closedir(dir);
	return good;
}

/* new first: what moves to cur meanwhile is seen twice rather than not at all. */
bool box_names_read(int box, struct box_files *b)
{
	*b = (struct box_files){ 0 };
	if (!read_folder(box, false, b) || !read_folder(box, true, b)) {
		box_files_close(b);
		return false;
	}
	sort(b);
	return true;
}

const struct box_file *box_names_find(const struct box_files *in, struct span base,
				      uint64_t when)
{
	size_t low = 0, high = in->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		const struct box_file *f = &in->files[middle];
		struct span other = box_names_base(in, f);
		size_t n = base.n < other.n ? base.n : other.n;
		int order = f->when != when ? (when < f->when ? -1 : 1)
					    : memcmp(base.p, other.p, n);

		if (order == 0 && base.n == other.n)
			return f;
		if (order < 0 || (order == 0 && base.n < other.n))
			high = middle;
		else
			low = middle + 1;
	}
	return NULL;
}
