/*
 * The loader as a role: it reads once, sends what it has read, and ends.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <unistd.h>

#include "app/files.h"
#include "app/loader.h"
#include "link/start.h"

/* All that waits, before we end. */
static bool flush(struct link *life)
{
	while (link_waiting(life)) {
		struct pollfd p = { .fd = link_fd(life), .events = POLLOUT };

		if (poll(&p, 1, -1) < 0 && errno != EINTR)
			return false;
		if (!link_flush(life))
			return false;
	}
	return true;
}

static void send_problem(void *arg, bool fatal, const char *text)
{
	struct link *life = arg;
	struct msg_PROBLEM m = { .fatal = fatal, .text = span_head(span_str(text), 1024) };

	msg_PROBLEM_pack(&m, link_begin(life));
	if (link_send(life, NULL, 0))
		(void)flush(life);
}

static bool send_loaded(struct link *life, const struct loaded *l)
{
	struct msg_LOADED m = {
		.warnings = l->warnings,
		.lists = (uint32_t)l->access.file_count,
		.entries = access_entries(l->access.blob.p, l->access.blob.n),
		.bytes = l->access.blob.n,
		.took = (uint32_t)l->access.took,
	};
	struct err err;
	int fds[4] = {
		file_seal("holdfast-conf", span_of(&l->conf, sizeof(l->conf)), &err),
		file_seal("holdfast-certs", l->certs, &err),
		file_seal("holdfast-tables", l->tables, &err),
		file_seal("holdfast-access", l->access.blob, &err),
	};
	bool good = fds[0] >= 0 && fds[1] >= 0 && fds[2] >= 0 && fds[3] >= 0;

	if (!good) {
		send_problem(life, true, err.text);
	} else {
		msg_LOADED_pack(&m, link_begin(life));
		good = link_send(life, fds, 4) && flush(life);
	}
	for (size_t i = 0; i < COUNT_OF(fds); i++)
		if (fds[i] >= 0)
			close(fds[i]);
	return good;
}

int loader_main(const char *path, const char *const *set, size_t set_count)
{
	struct loader_request request = { .path = path,
					  .set = set,
					  .set_count = set_count,
					  .on_problem = send_problem };
	struct loaded *l = NULL;
	struct link *life = NULL;
	bool good = false;
	struct err err;

	if (!link_open(&life, LINK_FD, ROLE_LOADER, ROLE_SUPERVISOR, 0, &err)) {
		fprintf(stderr, "holdfast loader: %s\n", err.text);
		return 1;
	}
	request.arg = life;
	if (loader_load(&request, &l))
		good = send_loaded(life, l);
	loader_close(&l);
	link_close(&life);
	return good ? 0 : 1;
}
