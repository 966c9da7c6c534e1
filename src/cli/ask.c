#include "cli/ask.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "app/loader.h"
#include "base/list.h"
#include "cli/show.h"

#define CONFIG_DEFAULT	"/etc/holdfast/holdfast.conf"
#define CONTROL_DEFAULT "/run/holdfast/control.sock"

/* The server answers sooner, even if only that a role of it does not. */
#define ANSWER_WITHIN 90000

#define URGENT_NICE (-5)

bool ask_config(const struct cli *c, char path[PATH_MAX], struct err *err)
{
	int n;

	if (c->config)
		n = snprintf(path, PATH_MAX, "%s", c->config);
	else if (c->dir)
		n = snprintf(path, PATH_MAX, "%s/holdfast.conf", c->dir);
	else
		n = snprintf(path, PATH_MAX, "%s", CONFIG_DEFAULT);
	return (n >= 0 && n < PATH_MAX) || err_set(err, "the path is too long");
}

static void on_problem(void *arg, bool fatal, const char *text)
{
	struct err *first = arg;

	if (fatal && !*first->text)
		err_set(first, "%s", text);
}

/*
 * The setting `control` of that configuration. Other settings may be wrong: the server
 * that is to be asked runs with what it read before.
 */
static bool read_control(const char *config, char path[TEXT_MAX], struct err *err)
{
	struct err problem = { 0 };
	struct loader_request request = { .path = config,
					  .conf_only = true,
					  .on_problem = on_problem,
					  .arg = &problem };
	struct loaded *l = NULL;

	if (access(config, R_OK) != 0)
		return err_set(err, "%s: %s", config, strerror(errno));
	if (!loader_load(&request, &l) && !l)
		return err_set(err, "%s", problem.text);
	memcpy(path, l->conf.set.control, TEXT_MAX);
	loader_close(&l);
	return true;
}

/* Like watch (app/spawn.c): an answer is wanted most when all processors are busy. */
static void hurry(void)
{
	(void)setpriority(PRIO_PROCESS, 0, URGENT_NICE); /* for root only */
}

bool ask_path(const struct cli *c, char path[TEXT_MAX], struct err *err)
{
	char config[PATH_MAX];
	bool is_default = !c->config && !c->dir;

	hurry();
	if (c->control) {
		if (strlen(c->control) >= TEXT_MAX)
			return err_set(err, "%s: the path is too long", c->control);
		memcpy(path, c->control, strlen(c->control) + 1);
		return true;
	}
	if (!ask_config(c, config, err))
		return false;
	/* Who may use the socket need not be allowed to read the configuration. */
	if (is_default && access(config, R_OK) != 0) {
		memcpy(path, CONTROL_DEFAULT, sizeof(CONTROL_DEFAULT));
		return true;
	}
	return read_control(config, path, err);
}

static bool connect_to(int fd, const char *path)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };

	if (strlen(path) >= sizeof(at.sun_path)) {
		errno = ENAMETOOLONG;
		return false;
	}
	memcpy(at.sun_path, path, strlen(path));
	return connect(fd, (const struct sockaddr *)&at, sizeof(at)) == 0;
}

static bool send_all(int fd, struct span s)
{
	while (s.n) {
		ssize_t n = send(fd, s.p, s.n, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		/* A server that turns us away does not wait for what we say. */
		if (n < 0)
			return errno == EPIPE || errno == ECONNRESET;
		s = span_skip(s, (size_t)n);
	}
	return true;
}

static bool say(int fd, const char *const *words, size_t count, struct err *err)
{
	uint8_t list_mem[CONTROL_LINE_MAX], mem[CONTROL_FRAME_MAX];
	struct buf list, frame;
	bool sent;

	buf_init(&list, list_mem, sizeof(list_mem));
	buf_init(&frame, mem, sizeof(mem));
	for (size_t i = 0; i < count; i++)
		list_put(&list, span_str(words[i]));
	control_put_words(&frame, buf_span(&list));
	if (list.full || frame.full)
		return err_set(err, "the command is too long");
	sent = send_all(fd, buf_span(&frame));
	explicit_bzero(list_mem, sizeof(list_mem));
	explicit_bzero(mem, sizeof(mem));
	return sent || err_set(err, "the server took no command: %s", strerror(errno));
}

static bool more_room(struct answer *a)
{
	size_t cap = a->cap ? 2 * a->cap : 65536;
	uint8_t *mem;

	if (a->n < a->cap)
		return true;
	mem = realloc(a->mem, cap);
	if (!mem)
		return false;
	a->mem = mem;
	a->cap = cap;
	return true;
}

/* Take whole frames up to the end. MORE: it is not there yet. */
static enum control_kind parse(struct answer *a)
{
	struct span in = span_of(a->mem + a->end, a->n - a->end);

	for (;;) {
		struct control_frame f = control_next(&in);

		if (f.kind == CONTROL_THE_END) {
			a->ok = f.ok;
			memcpy(a->text, f.body.p, f.body.n);
			a->text[f.body.n] = '\0';
			return f.kind;
		}
		if (f.kind != CONTROL_A_ROW)
			return f.kind == CONTROL_MORE ? CONTROL_MORE : CONTROL_BAD;
		a->end = a->n - in.n;
	}
}

static bool hear(int fd, struct answer *a, struct err *err)
{
	for (;;) {
		struct pollfd p = { .fd = fd, .events = POLLIN };
		enum control_kind kind;
		ssize_t n;

		if (!more_room(a))
			return err_set(err, "the answer does not fit into memory");
		n = poll(&p, 1, ANSWER_WITHIN);
		if (n == 0)
			return err_set(err, "the server does not answer");
		if (n > 0)
			n = recv(fd, a->mem + a->n, a->cap - a->n, 0);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_set(err, "the answer broke off: %s", strerror(errno));
		if (n == 0)
			return err_set(err,
				       "the answer broke off: the server, or its watch "
				       "role, ended. Ask again.");
		a->n += (size_t)n;
		kind = parse(a);
		if (kind == CONTROL_BAD)
			return err_set(err, "the server gave an answer that is none");
		if (kind == CONTROL_THE_END)
			return true;
	}
}

/* A connection on which the command has been said; -1 and err. */
static int say_at(const char *path, const char *const *words, size_t count,
		  struct err *err)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0) {
		err_set(err, "socket: %s", strerror(errno));
		return -1;
	}
	if (!connect_to(fd, path)) {
		if (errno == EACCES)
			err_set(err,
				"you may not use the control socket %s: ask as root, or be "
				"in the group that run.control-group names",
				path);
		else
			err_set(err, "no server answers at %s: %s", path, strerror(errno));
	} else if (say(fd, words, count, err)) {
		return fd;
	}
	close(fd);
	return -1;
}

static bool ask_at(const char *path, const char *const *words, size_t count,
		   struct answer *out, struct err *err)
{
	struct answer a = { 0 };
	int fd = say_at(path, words, count, err);
	bool heard;

	if (fd < 0)
		return false;
	heard = hear(fd, &a, err);
	close(fd);
	if (!heard) {
		answer_close(&a);
		return false;
	}
	*out = a;
	return true;
}

struct stream {
	uint8_t mem[2 * CONTROL_FRAME_MAX];
	size_t n;
	void (*on_row)(void *arg, struct span row);
	void *arg;
	char *text;
};

/* Take whole frames. MORE: what is left is not one yet. */
static enum control_kind take_frames(struct stream *st)
{
	struct span in = span_of(st->mem, st->n);
	struct control_frame f;

	while ((f = control_next(&in)).kind == CONTROL_A_ROW)
		st->on_row(st->arg, f.body);
	if (f.kind == CONTROL_THE_END) {
		memcpy(st->text, f.body.p, f.body.n);
		st->text[f.body.n] = '\0';
	}
	memmove(st->mem, in.p, in.n);
	st->n = in.n;
	return f.kind == CONTROL_WORDS ? CONTROL_BAD : f.kind;
}

bool ask_stream(const struct cli *c, const char *const *words, size_t count,
		void (*on_row)(void *arg, struct span row), void *arg,
		char text[CONTROL_TEXT_MAX + 1], struct err *err)
{
	struct stream st = { .on_row = on_row, .arg = arg, .text = text };
	enum control_kind kind = CONTROL_MORE;
	char path[TEXT_MAX];
	int fd = ask_path(c, path, err) ? say_at(path, words, count, err) : -1;

	if (fd < 0)
		return false;
	while (kind == CONTROL_MORE) {
		ssize_t n = recv(fd, st.mem + st.n, sizeof(st.mem) - st.n, 0);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		st.n += (size_t)n;
		kind = take_frames(&st);
	}
	close(fd);
	return kind == CONTROL_THE_END ||
	       err_set(err, kind == CONTROL_BAD
				    ? "the server gave an answer that is none"
				    : "the server, or its watch role, ended. Ask again.");
}

bool ask(const struct cli *c, const char *const *words, size_t count, struct answer *out,
	 struct err *err)
{
	char path[TEXT_MAX];
	bool verbatim = c->command && c->command->shape == SHAPE_VERBATIM;

	if (!ask_path(c, path, err) || !ask_at(path, words, count, out, err))
		return false;
	out->letters = !c->json && !verbatim && show_has_letters();
	return true;
}

/* Is somebody there? One who turns us away is. */
bool ask_reached(const struct cli *c)
{
	char path[TEXT_MAX];
	struct err err;
	int fd;
	bool reached;

	if (!ask_path(c, path, &err))
		return false;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	reached = fd >= 0 && (connect_to(fd, path) || errno == EACCES);
	if (fd >= 0)
		close(fd);
	return reached;
}

void answer_close(struct answer *a)
{
	free(a->mem);
	*a = (struct answer){ 0 };
}

bool answer_next(const struct answer *a, size_t *at, struct span *row)
{
	struct span in = span_of(a->mem + *at, a->end - *at);
	struct control_frame f;

	if (in.n == 0)
		return false;
	f = control_next(&in);
	if (f.kind != CONTROL_A_ROW)
		return false;
	*at = a->end - in.n;
	*row = f.body;
	return true;
}

/* Where the server is, is in a file that only others may read. */
static bool is_closed_to_us(const struct cli *c)
{
	char path[PATH_MAX];
	struct err unused;

	return !c->control && (c->config || c->dir) && ask_config(c, path, &unused) &&
	       access(path, R_OK) != 0 && errno == EACCES;
}

int ask_absent(const struct cli *c, const struct err *err)
{
	fprintf(stderr, "holdfast: %s\n", err->text);
	if (is_closed_to_us(c)) {
		fputs("Ask as somebody who may read it, or name the socket with "
		      "--control PATH.\n",
		      stderr);
		return EXIT_FAILED;
	}
	if (ask_reached(c))
		return EXIT_FAILED;
	if (c->control)
		return EXIT_ABSENT;
	if (c->dir)
		fprintf(stderr, "Start one with: holdfast demo --dir %s\n", c->dir);
	else
		fprintf(stderr,
			"Start one with: holdfast run --config %s\n"
			"or say where it is with --config FILE, --dir DIR (a demo) or "
			"--control PATH.\n",
			c->config ? c->config : CONFIG_DEFAULT);
	return EXIT_ABSENT;
}

static void show(const struct cli *c, const struct answer *a)
{
	if (c->json)
		show_json(a);
	else if (c->command->shape == SHAPE_SHEET || c->command->shape == SHAPE_VERBATIM)
		show_sheet(a);
	else if (c->command->shape == SHAPE_TABLE || !*a->text)
		show_table(a);
}

int ask_and_show(const struct cli *c, const char *const *words, size_t count)
{
	struct answer a;
	struct err err;
	int code = EXIT_DONE;

	if (!ask(c, words, count, &a, &err))
		return ask_absent(c, &err);
	show(c, &a);
	if (!a.ok)
		code = cli_refused(c, a.text);
	else if (*a.text && !c->json)
		puts(a.text);
	answer_close(&a);
	return code;
}
