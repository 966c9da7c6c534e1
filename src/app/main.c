/*
 * holdfast - the program: the supervisor, a role, or the command line
 */
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/stat.h>

#include "app/life.h"
#include "app/loader.h"
#include "app/supervisor.h"
#include "cli/cli.h"

/*
 * What a terminal or a service manager sends to the whole group is the supervisor's
 * business: a role ends when it is told to, or when its link does.
 */
static void leave_signals(void)
{
	static const int signals[] = { SIGPIPE, SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGUSR2 };

	for (size_t i = 0; i < COUNT_OF(signals); i++)
		signal(signals[i], SIG_IGN);
}

static enum role role_parse(const char *word)
{
	for (enum role r = ROLE_LOADER; r < ROLE_COUNT; r++)
		if (strcmp(role_word[r], word) == 0)
			return r;
	return ROLE_NONE;
}

/* holdfast --role loader --config FILE [--set KEY=VALUE]... */
static int run_loader(int argc, char **argv)
{
	const char *sets[64];
	const char *config = NULL;
	size_t n = 0;

	for (int i = 3; i + 1 < argc; i += 2) {
		if (strcmp(argv[i], "--config") == 0)
			config = argv[i + 1];
		else if (n < COUNT_OF(sets))
			sets[n++] = argv[i + 1];
	}
	return loader_main(config, sets, n);
}

static int run_role(int argc, char **argv)
{
	enum role role = role_parse(argv[2]);
	char name[16];

	if (role == ROLE_NONE) {
		fprintf(stderr, "holdfast: there is no role \"%s\"\n", argv[2]);
		return 64;
	}
	leave_signals();
	umask(077);
	snprintf(name, sizeof(name), "holdfast-%s", role_word[role]);
	(void)prctl(PR_SET_NAME, name);
	return role == ROLE_LOADER ? run_loader(argc, argv)
				   : role_run(role, LINK_FD, false);
}

int main(int argc, char **argv)
{
	if (argc >= 3 && strcmp(argv[1], "--role") == 0)
		return run_role(argc, argv);
	if (argc >= 2 && strcmp(argv[1], "run") == 0 && !cli_asks_help(argc, argv))
		return supervisor_main(argc, argv);
	return cli_main(argc, argv);
}
