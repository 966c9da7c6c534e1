#include "store/spool.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/id.h"
#include "store/control.h"
#include "store/inner.h"

/*
 * Bodies that are too large for memory: a file each, named by the queue id, which an edge
 * writes through a descriptor.
 */

#define ORPHAN_AGE	   (60 * 60) /* seconds: no transaction lasts longer */
#define SPOOLS_OPENING_MAX 1024

struct name_of_spool {
	char text[ID_PRINTED + 1];
};

static struct name_of_spool name_of(uint64_t id)
{
	struct name_of_spool name = { { 0 } };
	uint8_t mem[ID_PRINTED + 1];
	struct buf out;

	buf_init(&out, mem, sizeof(mem));
	id_print(id, &out);
	memcpy(name.text, mem, out.len < ID_PRINTED ? out.len : ID_PRINTED);
	return name;
}

int spool_read(const struct store *s, uint64_t id)
{
	return openat(s->spool_dir, name_of(id).text, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
}

void spool_remove(const struct store *s, uint64_t id)
{
	/* one that is left over is found as an orphan */
	(void)unlinkat(s->spool_dir, name_of(id).text, 0);
}

/* ---- a new one ---- */

struct opening {
	struct store *store;
	unsigned edge;
	uint64_t generation;
	uint64_t id, nonce;
	int fd;
	int why;
};

static void run_open(void *arg)
{
	struct opening *o = arg;

	o->fd = openat(o->store->spool_dir, name_of(o->id).text,
		       O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	o->why = errno;
}

static void tell(struct store *s, const struct opening *o, bool full)
{
	struct edge_link *e = edges_get(s, o->edge, o->generation);
	struct msg_SPOOL m = { .id = o->id, .nonce = o->nonce, .full = full };

	if (!e) {
		if (o->fd >= 0)
			spool_remove(s, o->id);
		return;
	}
	msg_SPOOL_pack(&m, link_begin(e->link));
	if (!link_send(e->link, &o->fd, o->fd >= 0))
		trouble_log(s, "edge", "an answer to edge %u was lost", o->edge);
	edges_sent(e);
}

static void on_opened(void *arg)
{
	struct opening *o = arg;
	struct store *s = o->store;

	s->spools_opening--;
	if (o->fd < 0)
		trouble_log(s, "spool", "cannot make a file for a body: %s",
			    strerror(o->why));
	tell(s, o, o->fd < 0 && (o->why == ENOSPC || o->why == EDQUOT));
	if (o->fd >= 0)
		close(o->fd);
	free(o);
}

bool spool_asked(struct store *s, struct edge_link *e, const struct frame *f,
		 struct err *err)
{
	struct msg_SPOOL_OPEN m;
	struct opening none = { .fd = -1 }, *o = NULL;

	if (!msg_SPOOL_OPEN_unpack(f->bytes, &m) || id_number(m.id) != e->number)
		return err_set(err, "edge %u asked for a file that is not its own",
			       e->number);
	none.edge = e->number;
	none.generation = e->generation;
	none.id = m.id;
	none.nonce = m.nonce;
	if (!s->full && s->spools_opening < SPOOLS_OPENING_MAX)
		o = malloc(sizeof(*o));
	if (!o) {
		tell(s, &none, true);
		return true;
	}
	*o = none;
	o->store = s;
	if (!work_run(s->loop, run_open, on_opened, o)) {
		free(o);
		tell(s, &none, true);
		return true;
	}
	s->spools_opening++;
	return true;
}

/* ---- orphans ---- */

static bool is_orphan(struct store *s, int dir, const char *name, time_t now)
{
	struct stat st;
	struct err ignored;
	bool needed;
	uint64_t id;

	if (!id_parse(span_str(name), &id) ||
	    fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) != 0 ||
	    now - st.st_mtime < ORPHAN_AGE)
		return false;
	return queue_is_spooled(s->reader, id, &needed, &ignored) && !needed;
}

static void run_clean(void *arg)
{
	struct store *s = arg;
	int fd = openat(s->spool_dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
	time_t now = time(NULL);
	struct dirent *e;

	if (!dir) {
		if (fd >= 0)
			close(fd);
		return;
	}
	while ((e = readdir(dir)))
		if (is_orphan(s, dirfd(dir), e->d_name, now))
			(void)unlinkat(dirfd(dir), e->d_name, 0);
	closedir(dir);
}

static void on_cleaned(void *arg)
{
	struct store *s = arg;

	s->reading = false;
	control_pump(s);
}

void spool_clean(struct store *s)
{
	if (!s->reading && work_run(s->loop, run_clean, on_cleaned, s))
		s->reading = true;
}
