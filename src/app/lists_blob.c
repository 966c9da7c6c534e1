#include "app/lists_blob.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/siphash.h"
#include "base/utf8.h"

#define FIRST_ROOM   1024
#define ENTRIES_MAX  ((size_t)30000000) /* of all lists: numbers have 25 bits */
#define TEXT_CEILING ((size_t)UINT32_MAX)
#define FILE_CEILING ((off_t)1 << 32)
#define WHY_MAX	     200

void lists_init(struct lists *l, const uint64_t key[2], int64_t wall,
		struct problems *problems)
{
	*l = (struct lists){ .wall = wall,
			     .problems = problems,
			     .key = { key[0], key[1] } };
	grow_init(&l->text, TEXT_CEILING);
}

static void free_entries(struct lists *l)
{
	free(l->v4);
	free(l->v6);
	l->v4 = NULL;
	l->v6 = NULL;
}

void lists_free(struct lists *l)
{
	free_entries(l);
	free(l->more);
	free(l->names);
	free(l->blob);
	grow_free(&l->text);
	*l = (struct lists){ 0 };
}

static bool fail(struct lists *l, const char *why)
{
	if (!l->failed)
		problem(l->problems, (struct origin){ 0 }, "access lists: %s", why);
	l->failed = true;
	return false;
}

/* Room for one more, and `spare` elements behind all. */
static bool room(struct lists *l, void **mem, size_t *cap, size_t count, size_t size,
		 size_t spare)
{
	size_t want = *cap ? *cap * 2 : FIRST_ROOM;
	void *now;

	if (count < *cap)
		return true;
	if (l->v4_count + l->v6_count >= ENTRIES_MAX || count >= ENTRIES_MAX)
		return fail(l, "more than 30000000 entries");
	now = realloc(*mem, (want + spare) * size);
	if (!now)
		return fail(l, "out of memory");
	*mem = now;
	*cap = want;
	return true;
}

/* ---- texts ----------------------------------------------------------------------------- */

static bool put_text(struct lists *l, struct span text, uint32_t *at)
{
	const uint8_t length[2] = { (uint8_t)text.n, (uint8_t)(text.n >> 8) };
	struct buf *b = &l->text.buf;

	if (!grow_room(&l->text, text.n + 4))
		return fail(l, "names and reasons have more than 4 GB, or out of memory");
	/* where 0 points to */
	if (b->len == 0)
		buf_put(b, span_of("\0", 2));
	*at = (uint32_t)b->len;
	buf_put(b, span_of(length, 2));
	buf_put(b, text);
	return true;
}

static struct span text_at(const struct lists *l, uint32_t at)
{
	const uint8_t *p = l->text.buf.mem + at;

	return span_of(p + 2, p[0] | (size_t)p[1] << 8);
}

/* What is shown to people and in the log. */
static bool put_why(struct lists *l, struct span why, uint32_t *at)
{
	uint8_t clean[WHY_MAX];
	uint32_t *known;

	*at = 0;
	why = utf8_head(why, WHY_MAX);
	if (why.n == 0)
		return true;
	for (size_t i = 0; i < why.n; i++)
		clean[i] = why.p[i] < ' ' || why.p[i] == 0x7f ? '?' : why.p[i];
	why = span_of(clean, why.n);
	known = &l->recent[siphash(l->key, why) % COUNT_OF(l->recent)];
	if (*known && span_eq(text_at(l, *known), why))
		*at = *known;
	else if (!put_text(l, why, at))
		return false;
	*known = *at;
	return true;
}

/* ---- entries ---------------------------------------------------------------------------- */

/* Up to the second after it. */
static uint32_t seconds(int64_t until)
{
	int64_t s = until / MS_SECOND + (until % MS_SECOND != 0);

	if (until == INT64_MAX)
		return 0;
	return s < 1 ? 1 : s > UINT32_MAX ? UINT32_MAX : (uint32_t)s;
}

/* What an entry has besides: *number is 0 if nothing. */
static bool put_more(struct lists *l, const struct list_said *said, uint32_t *number)
{
	struct access_more m = { .until = seconds(said->until) };

	*number = 0;
	if (m.until == 0 && said->why.n == 0)
		return true;
	if (!room(l, (void **)&l->more, &l->more_room, l->more_count, sizeof(*l->more), 0) ||
	    !put_why(l, said->why, &m.why))
		return false;
	l->more[l->more_count++] = m;
	*number = (uint32_t)l->more_count;
	return true;
}

static uint64_t eight(const uint8_t *p)
{
	uint64_t n = 0;

	for (int i = 0; i < 8; i++)
		n = n << 8 | p[i];
	return n;
}

static bool put_v4(struct lists *l, const struct net *net, const struct list_said *said,
		   uint32_t more)
{
	if (!room(l, (void **)&l->v4, &l->v4_room, l->v4_count, sizeof(*l->v4),
		  ACCESS_BUCKETS / 2))
		return false;
	l->v4[l->v4_count++] = (struct access_v4){ .start = (uint32_t)eight(net->addr.ip +
									    8),
						   .line = said->line,
						   .more = more,
						   .bits = (uint8_t)(net->bits - 96),
						   .list = (uint8_t)(l->count - 1),
						   .answer = (uint8_t)said->answer };
	return true;
}

static bool put_v6(struct lists *l, const struct net *net, const struct list_said *said,
		   uint32_t more)
{
	if (!room(l, (void **)&l->v6, &l->v6_room, l->v6_count, sizeof(*l->v6), 0))
		return false;
	l->v6[l->v6_count++] = (struct access_v6){ .hi = eight(net->addr.ip),
						   .lo = eight(net->addr.ip + 8),
						   .line = said->line,
						   .more = more,
						   .bits = net->bits,
						   .list = (uint8_t)(l->count - 1),
						   .answer = (uint8_t)said->answer };
	return true;
}

static bool on_net(void *arg, const struct net *net, const struct list_said *said)
{
	struct lists *l = arg;
	bool v4 = net->bits >= 96 && addr_is_v4(&net->addr);
	uint32_t more = 0;

	if (l->failed || !put_more(l, said, &more) ||
	    !(v4 ? put_v4(l, net, said, more) : put_v6(l, net, said, more)))
		return false;
	l->list[l->count - 1].entries++;
	return true;
}

static bool on_name(void *arg, enum access_of of, struct span name,
		    const struct list_said *said)
{
	struct lists *l = arg;
	struct access_name n = { .line = said->line,
				 .until = seconds(said->until),
				 .list = (uint8_t)(l->count - 1),
				 .answer = (uint8_t)said->answer,
				 .of = (uint8_t)of };
	uint8_t lower[ACCESS_NAME_MAX];
	struct buf b;

	buf_init(&b, lower, sizeof(lower));
	buf_put_lower(&b, name);
	if (l->failed || b.full ||
	    !room(l, (void **)&l->names, &l->name_room, l->name_count, sizeof(*l->names),
		  0) ||
	    !put_text(l, buf_span(&b), &n.text) || !put_why(l, said->why, &n.why))
		return false;
	l->names[l->name_count++] = n;
	l->list[l->count - 1].entries++;
	return true;
}

static struct list_sink sink_of(struct lists *l)
{
	return (struct list_sink){ .on_net = on_net, .on_name = on_name, .arg = l };
}

/* ---- lists --------------------------------------------------------------------------------- */

void lists_begin(struct lists *l, enum access_of of, enum list_format format,
		 const char *name)
{
	struct access_file *f = &l->list[l->count];

	*f = (struct access_file){ .of = of };
	l->first_match[l->count++] = list_first_match(format);
	(void)put_text(l, span_head(span_str(name), TEXT_MAX), &f->file);
}

void lists_text(struct lists *l, const char *text, enum access_answer answer,
		struct origin at)
{
	struct list_said said = { answer, at.line, INT64_MAX, SPAN_NONE };
	bool masked;
	struct net n;

	if (!list_net_parse(span_str(text), &n, &masked) || masked)
		problem(l->problems, at,
			"%s: \"%.*s\" is neither an address nor a network such as 192.0.2.0/24 (all "
			"bits behind the slash must be zero)",
			answer == ACCESS_PERMIT ? "allow" : "deny",
			SPAN_ARG(span_head(span_str(text), 100)));
	else
		(void)on_net(l, &n, &said);
}

/* Another process may cut a file while it is mapped; what is read by read() is ours. */
static bool read_file(int fd, size_t n, uint8_t *mem, size_t *got)
{
	*got = 0;
	while (*got < n) {
		ssize_t now = read(fd, mem + *got, n - *got);

		if (now < 0 && errno == EINTR)
			continue;
		if (now < 0)
			return false;
		if (now == 0)
			break;
		*got += (size_t)now;
	}
	return true;
}

void lists_bytes(struct lists *l, struct list_source *src, struct span text)
{
	const struct list_sink sink = sink_of(l);

	src->wall = l->wall;
	src->problems = l->problems;
	if (!list_read(src, text, &sink))
		(void)fail(l, "out of memory");
}

static void read_open(struct lists *l, struct list_source *src, int fd)
{
	struct origin at = { src->file, 0 };
	size_t n = 0, got = 0;
	struct stat st;
	void *mem;

	if (fstat(fd, &st) != 0) {
		problem(l->problems, at, "cannot be read: %s", strerror(errno));
		return;
	}
	if (!S_ISREG(st.st_mode) || st.st_size > FILE_CEILING) {
		problem(l->problems, at, "%s",
			S_ISREG(st.st_mode) ? "is larger than 4 GB" : "is not a file");
		return;
	}
	n = (size_t)st.st_size;
	src->written = (int64_t)st.st_mtim.tv_sec * MS_SECOND;
	mem = mmap(NULL, n + 1, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
		   0);
	if (mem == MAP_FAILED) {
		(void)fail(l, "out of memory");
		return;
	}
	if (!read_file(fd, n, mem, &got))
		problem(l->problems, at, "cannot be read: %s", strerror(errno));
	else
		lists_bytes(l, src, span_of(mem, got));
	munmap(mem, n + 1);
}

void lists_file(struct lists *l, struct list_source *src)
{
	/* O_NONBLOCK: a FIFO must not hold up the start */
	int fd = open(src->file, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

	if (fd < 0) {
		problem(l->problems, (struct origin){ src->file, 0 },
			"cannot be read: %s", strerror(errno));
		return;
	}
	read_open(l, src, fd);
	close(fd);
}

/* ---- the blob ------------------------------------------------------------------------------- */

struct making {
	struct lists *l;
	struct access_build b;
};

static bool make_room(struct making *m)
{
	struct lists *l = m->l;
	struct access_build *b = &m->b;
	size_t spare4 = (l->v4_room + ACCESS_BUCKETS / 2) * sizeof(*b->v4);
	size_t segments = (2 * l->v6_count + 1) * sizeof(*b->deep);

	if (!l->v4)
		l->v4 = malloc(spare4);
	b->v4 = l->v4;
	b->v6 = l->v6;
	b->v4_spare = malloc(spare4);
	b->v6_spare = malloc((l->v6_count + 1) * sizeof(*b->v6));
	b->segments6 = malloc(segments);
	b->deep = malloc(segments);
	b->infos = malloc((l->v4_count + l->v6_count + 1) * sizeof(*b->infos));
	b->nodes = malloc(ACCESS_NODES * sizeof(*b->nodes));
	b->chain_room = FIRST_ROOM + l->more_count;
	b->chains = malloc(b->chain_room * sizeof(*b->chains));
	return b->v4 && b->v4_spare && b->v6_spare && b->segments6 && b->deep &&
	       b->infos && b->nodes && b->chains;
}

static void drop_room(struct making *m)
{
	struct access_build *b = &m->b;

	free(b->v4_spare);
	free(b->v6_spare);
	free(b->segments6);
	free(b->deep);
	free(b->infos);
	free(b->nodes);
	free(b->chains);
	/* sorting swaps them */
	m->l->v4 = b->v4;
	m->l->v6 = b->v6;
}

static bool flatten(struct making *m)
{
	struct access_build *b = &m->b;
	enum flatten came;

	access_sort(b);
	while ((came = access_flatten(b)) == FLATTEN_CHAINS) {
		void *more;

		if (b->chain_room > VALUE_NUMBER)
			return fail(m->l, "too many entries with an end inside of others");
		b->chain_room *= 2;
		more = realloc(b->chains, b->chain_room * sizeof(*b->chains));
		if (!more)
			return fail(m->l, "out of memory");
		b->chains = more;
	}
	if (came == FLATTEN_NODES)
		return fail(m->l, "too many entries with an end around one address");
	m->l->repeated = b->repeated;
	return true;
}

static bool write_blob(struct making *m)
{
	struct lists *l = m->l;

	l->blob_n = access_build_size(&m->b);
	l->blob = calloc(1, l->blob_n);
	if (!l->blob)
		return fail(l, "out of memory");
	access_build(&m->b, l->blob);
	return true;
}

bool lists_make(struct lists *l)
{
	struct making m = { .l = l,
			    .b = { .v4_count = l->v4_count,
				   .v6_count = l->v6_count,
				   .more = l->more,
				   .more_count = l->more_count,
				   .names = l->names,
				   .name_count = l->name_count,
				   .lists = l->list,
				   .list_count = l->count,
				   .first_match = l->first_match,
				   .key = { l->key[0], l->key[1] } } };
	uint32_t unused;
	bool good;

	if (l->failed || (l->text.buf.len == 0 && !put_text(l, SPAN_NONE, &unused)))
		return false;
	m.b.text = buf_span(&l->text.buf);
	good = make_room(&m) || fail(l, "out of memory");
	good = good && flatten(&m) && write_blob(&m);
	drop_room(&m);
	free_entries(l);
	return good;
}
