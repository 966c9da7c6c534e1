/*
 * corpus_main - run a fuzz target over files and directories, without libFuzzer
 *
 * Every build replays the corpus, so what a fuzzer once found stays found. No input at
 * all is a failure: a corpus that was lost should not look like one that passed.
 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/span.h"

#define INPUT_MAX ((size_t)8 << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* In memory of exactly its size, so that reading past its end is noticed. */
static bool run_file(const char *path)
{
	uint8_t *mem = malloc(INPUT_MAX), *fit;
	FILE *f = fopen(path, "rb");
	size_t n;

	if (!f || !mem) {
		perror(path);
		free(mem);
		if (f)
			fclose(f);
		return false;
	}
	n = fread(mem, 1, INPUT_MAX, f);
	fclose(f);
	fit = malloc(n ? n : 1);
	if (fit) {
		memcpy(fit, mem, n);
		LLVMFuzzerTestOneInput(fit, n);
	}
	free(fit);
	free(mem);
	return fit != NULL;
}

static size_t run(const char *path, bool *failed)
{
	char below[4096];
	struct dirent *e;
	struct stat st;
	size_t count = 0;
	DIR *d;

	if (stat(path, &st) != 0 || !S_ISDIR(st.st_mode)) {
		*failed |= !run_file(path);
		return 1;
	}
	d = opendir(path);
	while (d && (e = readdir(d)) != NULL) {
		if (e->d_name[0] == '.')
			continue;
		snprintf(below, sizeof(below), "%s/%s", path, e->d_name);
		count += run(below, failed);
	}
	if (d)
		closedir(d);
	return count;
}

int main(int argc, char **argv)
{
	bool failed = false;
	size_t count = 0;

	for (int i = 1; i < argc; i++)
		count += run(argv[i], &failed);
	printf("%zu inputs\n", count);
	return failed || count == 0;
}
