#include "firewall/program.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <string.h>
#include <unistd.h>

#define HEADERS_MAX 64

/* Libraries: of the system, or next to a program that was built here. */
static const char *const libraries[PROGRAM_DIRS] = {
	"/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib", "/usr/libexec",
};

/* A script, or what else is not ELF, has none that we would allow. */
static void find_interpreter(int fd, char out[TEXT_MAX])
{
	ElfW(Ehdr) head;
	ElfW(Phdr) part;

	out[0] = '\0';
	if (pread(fd, &head, sizeof(head), 0) != sizeof(head) ||
	    memcmp(head.e_ident, ELFMAG, SELFMAG) != 0)
		return;
	for (unsigned i = 0; i < head.e_phnum && i < HEADERS_MAX; i++) {
		off_t at = (off_t)(head.e_phoff + (size_t)i * sizeof(part));
		ssize_t n;

		if (pread(fd, &part, sizeof(part), at) != sizeof(part))
			return;
		if (part.p_type != PT_INTERP || part.p_filesz >= TEXT_MAX)
			continue;
		n = pread(fd, out, part.p_filesz, (off_t)part.p_offset);
		out[n > 0 ? n : 0] = '\0';
		return;
	}
}

/* Which of them exist: Landlock refuses a list with one that does not. */
static void find_paths(struct program *p)
{
	size_t n = 0;

	for (size_t i = 0; i < PROGRAM_DIRS; i++)
		if (access(libraries[i], R_OK | X_OK) == 0)
			p->read_only[n++] = libraries[i];
	n = 0;
	if (p->there)
		p->execute[n++] = p->path;
	if (p->interpreter[0] && access(p->interpreter, R_OK | X_OK) == 0)
		p->execute[n++] = p->interpreter;
}

bool program_find(struct program *p, const char *path, struct err *err)
{
	int fd;

	*p = (struct program){ .path = path };
	p->there = access(path, R_OK | X_OK) == 0;
	if (!p->there)
		err_set(err, "%s: %s (install the package nftables, or set firewall.nft)",
			path, strerror(errno));
	fd = p->there ? open(path, O_RDONLY | O_CLOEXEC) : -1;
	if (fd >= 0) {
		find_interpreter(fd, p->interpreter);
		close(fd);
	}
	(void)stat(path, &p->seen[0]);
	(void)stat(p->interpreter, &p->seen[1]);
	find_paths(p);
	return p->there;
}

static bool is_other(const char *path, const struct stat *seen)
{
	struct stat now = { 0 };

	return path[0] && stat(path, &now) == 0 &&
	       (now.st_dev != seen->st_dev || now.st_ino != seen->st_ino);
}

bool program_changed(const struct program *p)
{
	return is_other(p->path, &p->seen[0]) || is_other(p->interpreter, &p->seen[1]);
}
