/*
 * libcurl - that library, loaded by the role that uses it
 *
 * It brings thirty others along (Kerberos, LDAP, SSH), and to bind them takes longer than
 * all else at the start of this program: each command of the administrator and each role
 * would pay for them, and carry their code. So they are not linked but loaded, by fetch,
 * before it closes itself in.
 */
#ifndef FETCH_LIBCURL_H
#define FETCH_LIBCURL_H

#include <curl/curl.h>

#include "base/err.h"

/* What is used of it, without its curl_. */
#define LIBCURL_FUNCTIONS(X)   \
	X(easy_cleanup)        \
	X(easy_getinfo)        \
	X(easy_header)         \
	X(easy_init)           \
	X(easy_setopt)         \
	X(easy_strerror)       \
	X(global_cleanup)      \
	X(global_init)         \
	X(multi_add_handle)    \
	X(multi_assign)        \
	X(multi_cleanup)       \
	X(multi_info_read)     \
	X(multi_init)          \
	X(multi_remove_handle) \
	X(multi_setopt)        \
	X(multi_socket_action) \
	X(slist_append)        \
	X(slist_free_all)      \
	X(version_info)

#define LIBCURL_MEMBER(name) __typeof__(&curl_##name) name;
struct libcurl {
	LIBCURL_FUNCTIONS(LIBCURL_MEMBER)
};
#undef LIBCURL_MEMBER

MUST bool libcurl_open(struct libcurl *out, struct err *err);
/* What it has opened is closed; the library stays until the process ends. */
void libcurl_close(struct libcurl *c);

#endif
