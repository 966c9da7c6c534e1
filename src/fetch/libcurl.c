#include "fetch/libcurl.h"

#include <dlfcn.h>
#include <string.h>

/* With the number of its ABI, which has been the same since 2006. */
#define LIBRARY "libcurl.so.4"

/* POSIX says that the address of a function fits into a void *, C does not. */
static bool find(void *library, const char *name, void *out, struct err *err)
{
	void *found = dlsym(library, name);

	if (!found)
		return err_set(err, LIBRARY " has no %s", name);
	memcpy(out, &found, sizeof(found));
	return true;
}

bool libcurl_open(struct libcurl *out, struct err *err)
{
	/* twice is once, and libraries of libraries may not like to be unloaded */
	void *library = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
	struct libcurl c;

	if (!library)
		return err_set(err, "libcurl cannot be loaded: %s", dlerror());
#define LIBCURL_FIND(name)                               \
	if (!find(library, "curl_" #name, &c.name, err)) \
		return false;
	LIBCURL_FUNCTIONS(LIBCURL_FIND)
#undef LIBCURL_FIND
	if (c.global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
		return err_set(err, "libcurl cannot be used");
	*out = c;
	return true;
}

void libcurl_close(struct libcurl *c)
{
	c->global_cleanup();
}
