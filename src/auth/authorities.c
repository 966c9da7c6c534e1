#include <errno.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "auth/inner.h"
#include "conf/certs.h"
#include "io/client_cert.h"

/*
 * The authorities that vouch for clients (auth.client-authorities): in the blob of the
 * certificates, as the one that has no key. Of the others nothing is kept.
 */

static bool find(struct span blob, struct span *pem)
{
	struct span left;
	struct cert cert;

	if (!certs_open(blob, &left))
		return false;
	while (certs_next(&left, &cert))
		if (!cert.key.n) {
			*pem = cert.chain;
			return true;
		}
	return false;
}

static void adopt(struct auth *a, struct span blob)
{
	struct client_authorities *fresh = NULL;
	struct span pem;
	struct err err;

	if (!find(blob, &pem)) {
		client_authorities_close(&a->authorities);
		return;
	}
	if (!client_authorities_open(&fresh, pem, &err)) {
		(void)err_within(&err, "auth.client-authorities");
		auth_trouble(a, LOG_TROUBLE, err.text);
		return; /* the old ones are better than none */
	}
	client_authorities_close(&a->authorities);
	a->authorities = fresh;
}

void authorities_read(struct auth *a, int fd)
{
	struct stat st;
	void *mem;

	if (fd < 0)
		return;
	if (fstat(fd, &st) == 0 && st.st_size > 0) {
		mem = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0);
		if (mem == MAP_FAILED) {
			auth_trouble(a, LOG_TROUBLE, "cannot map the certificates");
		} else {
			adopt(a, span_of(mem, (size_t)st.st_size));
			munmap(mem, (size_t)st.st_size);
		}
	}
	close(fd);
}
