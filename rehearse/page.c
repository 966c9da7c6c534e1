#include "rehearse/page.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "rehearse/digest.h"
#include "rehearse/page_html.h" /* page_before, page_after: rehearse/page.html in two */

/*
 * JSON between <script> tags: no "<" may be in it, or a text from outside could end the script.
 * JSON has that sign only inside strings, where it can be written otherwise. All beyond ASCII is
 * escaped already.
 */
static bool write_json(FILE *f, const char *text)
{
	while (*text) {
		size_t n = strcspn(text, "<");

		if (fwrite(text, 1, n, f) < n)
			return false;
		text += n;
		if (*text == '<' && fputs("\\u003c", f) == EOF)
			return false;
		text += *text == '<';
	}
	return true;
}

static bool write_all(int fd, const char *json)
{
	FILE *f = fdopen(fd, "w");
	bool ok;

	if (!f) {
		close(fd);
		return false;
	}
	ok = fwrite(page_before, 1, sizeof(page_before) - 1, f) ==
		     sizeof(page_before) - 1 &&
	     write_json(f, json) &&
	     fwrite(page_after, 1, sizeof(page_after) - 1, f) == sizeof(page_after) - 1;
	return fclose(f) == 0 && ok;
}

static bool replace(const char *path, const char *json, struct err *e)
{
	char beside[PATH_MAX];
	int fd;

	if (snprintf(beside, sizeof(beside), "%s.%ld.new", path, (long)getpid()) >=
	    (int)sizeof(beside))
		return err_set(e, "%.200s: the name is too long", path);
	fd = open(beside, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
	if (fd < 0)
		return err_set(e, "%s: cannot be written: %s", beside, strerror(errno));
	if (write_all(fd, json) && rename(beside, path) == 0)
		return true;
	err_set(e, "%s: cannot be written: %s", path, strerror(errno));
	unlink(beside);
	return false;
}

bool page_write(const char *path, const json_t *results, struct err *e)
{
	json_t *digest = digest_make(results, e);
	char *json;
	bool ok;

	if (!digest)
		return false;
	json = json_dumps(digest,
			  JSON_COMPACT | JSON_ENSURE_ASCII | JSON_REAL_PRECISION(6));
	ok = json ? replace(path, json, e) : err_set(e, "out of memory for the page");
	free(json);
	json_decref(digest);
	return ok;
}
