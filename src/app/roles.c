#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "app/life.h"
#include "auth/auth.h"
#include "edge/edge.h"
#include "fetch/fetch.h"
#include "firewall/firewall.h"
#include "store/store.h"
#include "watch/watch.h"

static int serve(struct start *start)
{
	switch (start->role) {
	case ROLE_EDGE:
		return edge_main(start);
	case ROLE_STORE:
		return store_main(start);
	case ROLE_AUTH:
		return auth_main(start);
	case ROLE_WATCH:
		return watch_main(start);
	case ROLE_FIREWALL:
		return firewall_main(start);
	case ROLE_FETCH:
		return fetch_main(start);
	case ROLE_NONE:
	case ROLE_SUPERVISOR:
	case ROLE_LOADER:
	case ROLE_COUNT:
		break;
	}
	return 1;
}

int role_run(enum role role, int link, bool alone)
{
	struct start *start = calloc(1, sizeof(*start));
	struct err err;
	int exit_code = 1;

	if (!start)
		return 1;
	if (start_wait_on(start, link, role, &err)) {
		start->alone = alone;
		exit_code = serve(start);
	} else {
		start_failed(start, &err);
		fprintf(stderr, "holdfast: %s: %s\n", role_word[role], err.text);
	}
	pulse_close(&start->pulse);
	/* the supervisor takes the end of the link for the end of the role */
	link_close(&start->life);
	free(start);
	return exit_code;
}

struct alone {
	enum role role;
	int link;
};

static void *run_thread(void *arg)
{
	struct alone *a = arg;

	(void)role_run(a->role, a->link, true);
	free(a);
	return NULL;
}

bool alone_start(struct child *c, int link, struct err *err)
{
	struct alone *a = malloc(sizeof(*a));
	pthread_t thread;

	if (!a) {
		close(link);
		return err_set(err, "out of memory");
	}
	*a = (struct alone){ c->role, link };
	if (pthread_create(&thread, NULL, run_thread, a) != 0) {
		close(link);
		free(a);
		return err_set(err, "no thread for %s", role_word[c->role]);
	}
	pthread_detach(thread);
	return true;
}
