#include "conf/certs.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "edge/inside.h"
#include "io/stek.h"

static bool add_all(struct tls *tls, struct span blob, struct err *err)
{
	struct span left;
	struct cert cert;

	if (!certs_open(blob, &left))
		return err_set(err, "the certificates came broken");
	while (certs_next(&left, &cert))
		if (!(cert.key.n ? tls_add(tls, cert.chain, cert.key, err)
				 : tls_ask_clients(tls, cert.chain, err)))
			return err_within(err, "%.*s", SPAN_ARG(cert.name));
	return true;
}

/* NULL if the supervisor's version lays them out otherwise: the edge then has its own. */
static const struct stek *stek_of(const struct start *s)
{
	return stek_ok(s->stek.mem, s->stek.n) ? s->stek.mem : NULL;
}

static struct tls *make(struct span blob, const struct conf *conf, const struct start *s,
			struct err *err)
{
	struct tls_setup setup = {
		.only_13 = conf->set.tls_min == TLS_MIN_13,
		.ciphers = conf->set.tls_ciphers,
		.stek = stek_of(s),
	};
	struct tls *tls;

	if (!tls_open(&tls, &setup, err))
		return NULL;
	if (!add_all(tls, blob, err)) {
		tls_close(&tls);
		return NULL;
	}
	if (!tls_has_certificates(tls))
		tls_close(&tls);
	return tls;
}

struct tls *certs_read(int fd, const struct conf *conf, const struct start *s,
		       struct err *err)
{
	struct tls *tls = NULL;
	struct stat st;
	void *mem;

	err->text[0] = '\0';
	if (fd < 0)
		return NULL;
	if (fstat(fd, &st) == 0 && st.st_size > 0) {
		mem = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0);
		if (mem == MAP_FAILED) {
			err_set(err, "cannot map the certificates: %s", strerror(errno));
		} else {
			tls = make(span_of(mem, (size_t)st.st_size), conf, s, err);
			munmap(mem, (size_t)st.st_size);
		}
	}
	close(fd);
	return tls;
}
