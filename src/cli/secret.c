#include "cli/secret.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/random.h>
#include <termios.h>
#include <unistd.h>

static bool keep(struct secret *s, const char *text, size_t n, struct err *err)
{
	if (n == 0 || n > SECRET_MAX)
		return err_set(err, "a password has 1 to %d bytes", SECRET_MAX);
	memcpy(s->text, text, n);
	s->text[n] = '\0';
	s->given = true;
	return true;
}

/* One line, without its end, byte by byte: what follows belongs to somebody else. */
static bool read_line(struct secret *s, struct err *err)
{
	char line[SECRET_MAX + 1];
	size_t n = 0;
	bool kept;

	while (n < sizeof(line) && read(STDIN_FILENO, &line[n], 1) == 1 && line[n] != '\n')
		n++;
	kept = keep(s, line, n, err);
	explicit_bzero(line, sizeof(line));
	return kept;
}

static bool prompt(const char *what, struct secret *s, struct err *err)
{
	struct termios shown, hidden;
	bool is_read;

	if (tcgetattr(STDIN_FILENO, &shown) != 0)
		return err_set(err, "the terminal cannot hide what is typed");
	fputs(what, stderr);
	hidden = shown;
	hidden.c_lflag &= (tcflag_t)~ECHO;
	(void)tcsetattr(STDIN_FILENO, TCSAFLUSH, &hidden);
	is_read = read_line(s, err);
	(void)tcsetattr(STDIN_FILENO, TCSAFLUSH, &shown);
	fputc('\n', stderr);
	return is_read;
}

static bool ask_twice(struct secret *s, struct err *err)
{
	struct secret again = { 0 };
	bool same;

	if (!prompt("Password: ", s, err) || !prompt("Once more: ", &again, err))
		return false;
	same = strcmp(s->text, again.text) == 0;
	secret_wipe(&again);
	return same || err_set(err, "these were two different passwords");
}

bool secret_get(struct cli *c, struct secret *out, struct err *err)
{
	const char *value = NULL;

	*out = (struct secret){ 0 };
	if (cli_option(c, "--password-stdin", NULL))
		return read_line(out, err);
	if (cli_option(c, "--password", &value))
		return value ? keep(out, value, strlen(value), err)
			     : err_set(err, "--password needs a value");
	if (isatty(STDIN_FILENO))
		return ask_twice(out, err);
	return true;
}

void secret_wipe(struct secret *s)
{
	explicit_bzero(s, sizeof(*s));
}

bool secret_random(char out[SECRET_RANDOM], struct err *err)
{
	static const char letters[] = "0123456789abcdefghjkmnpqrstvwxyz";
	uint8_t random[16];
	size_t n = 0;

	if (getrandom(random, sizeof(random), 0) != (ssize_t)sizeof(random))
		return err_set(err, "getrandom: %s", strerror(errno));
	for (size_t i = 0; i < sizeof(random); i++) {
		if (i && i % 4 == 0)
			out[n++] = '-';
		out[n++] = letters[random[i] % 32];
	}
	out[n] = '\0';
	return true;
}
