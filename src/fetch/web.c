#include "fetch/web.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fetch/libcurl.h"

/* All fields of one answer together; each is held in memory until it is done. */
#define HEADER_MAX 16384

/* A bundle of authorities has some 200 kB. */
#define CA_FILE_MAX ((size_t)8 << 20)

/* Both address families are tried, and a socket may be replaced before it is closed. */
#define SOCKETS_MAX (FETCH_AT_ONCE * 4)

#define CONNECT_WITHIN ((ms_t)20000)

#define FORM_TYPE "Content-Type: application/x-www-form-urlencoded"

struct web_socket {
	struct web *web;
	struct watch watch;
	curl_socket_t fd;
	bool used;
};

struct web {
	struct loop *loop;
	struct libcurl curl;
	CURLM *multi;
	struct timer timer;
	uint8_t *authorities;
	size_t authorities_n;
	struct web_socket sockets[SOCKETS_MAX];
};

/* ---- the authorities ------------------------------------------------------------- */
static const char *system_file(const struct web *w)
{
	static const char *const usual[] = {
		"/etc/ssl/certs/ca-certificates.crt", /* Debian and its like */
		"/etc/pki/tls/certs/ca-bundle.crt",   /* Fedora and its like */
		"/etc/ssl/ca-bundle.pem",	      /* SUSE */
		"/etc/ssl/cert.pem",		      /* Alpine */
	};
	const curl_version_info_data *v = w->curl.version_info(CURLVERSION_NOW);

	if (v->age >= CURLVERSION_SEVENTH && v->cainfo && access(v->cainfo, R_OK) == 0)
		return v->cainfo;
	for (size_t i = 0; i < COUNT_OF(usual); i++)
		if (access(usual[i], R_OK) == 0)
			return usual[i];
	return usual[0];
}

static bool read_all(int fd, uint8_t *mem, size_t n)
{
	size_t have = 0;

	while (have < n) {
		ssize_t got = read(fd, mem + have, n - have);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return false;
		have += (size_t)got;
	}
	return true;
}

static bool read_authorities(struct web *w, const char *path, struct err *err)
{
	struct stat st;
	int fd;
	bool good;

	if (!*path)
		path = system_file(w);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return err_set(err, "fetch.ca-file: %s: %s", path, strerror(errno));
	good = fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size > 0 &&
	       (uint64_t)st.st_size <= CA_FILE_MAX;
	if (good) {
		w->authorities_n = (size_t)st.st_size;
		w->authorities = malloc(w->authorities_n);
		good = w->authorities && read_all(fd, w->authorities, w->authorities_n);
	}
	close(fd);
	return good || err_set(err, "fetch.ca-file: %s cannot be read", path);
}

/* ---- libcurl's sockets and its clock, on our loop -------------------------------- */
static void look_who_is_done(struct web *w);

static void act(struct web *w, curl_socket_t fd, int what)
{
	int running;

	(void)w->curl.multi_socket_action(w->multi, fd, what, &running);
	look_who_is_done(w);
}

static void on_ready(void *arg, unsigned ready)
{
	struct web_socket *s = arg;

	act(s->web, s->fd,
	    (ready & WATCH_READ ? CURL_CSELECT_IN : 0) |
		    (ready & WATCH_WRITE ? CURL_CSELECT_OUT : 0));
}

static void on_time(void *arg)
{
	act(arg, CURL_SOCKET_TIMEOUT, 0);
}

static struct web_socket *free_socket(struct web *w)
{
	for (size_t i = 0; i < SOCKETS_MAX; i++)
		if (!w->sockets[i].used)
			return &w->sockets[i];
	return NULL;
}

static void drop_socket(struct web_socket *s)
{
	watch_stop(&s->watch);
	s->used = false;
}

static int new_socket(struct web *w, curl_socket_t fd, unsigned mask)
{
	struct web_socket *s = free_socket(w);

	if (!s)
		return -1;
	*s = (struct web_socket){ .web = w, .fd = fd };
	if (!watch_start(w->loop, &s->watch, fd, mask, on_ready, s))
		return -1;
	s->used = true;
	return w->curl.multi_assign(w->multi, fd, s) == CURLM_OK ? 0 : -1;
}

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *known)
{
	struct web_socket *s = known;
	unsigned mask = (what & CURL_POLL_IN ? WATCH_READ : 0) |
			(what & CURL_POLL_OUT ? WATCH_WRITE : 0);

	(void)easy;
	if (what == CURL_POLL_REMOVE) {
		if (s)
			drop_socket(s);
		return 0;
	}
	if (!s)
		return new_socket(arg, fd, mask);
	watch_mask(&s->watch, mask);
	return 0;
}

static int on_timer(CURLM *multi, long ms, void *arg)
{
	struct web *w = arg;

	(void)multi;
	timer_set(&w->timer, ms < 0 ? MS_NEVER : loop_now_exact(w->loop) + ms);
	return 0;
}

/* ---- one request ----------------------------------------------------------------- */
static size_t on_body(char *p, size_t one, size_t n, void *arg)
{
	struct web_get *g = arg;

	(void)one;
	if (n > buf_room(&g->body))
		return 0; /* which ends it */
	buf_put(&g->body, span_of(p, n));
	return n;
}

static size_t on_header(char *p, size_t one, size_t n, void *arg)
{
	struct web_get *g = arg;

	(void)p;
	(void)one;
	if (n > HEADER_MAX - g->header_n)
		return 0;
	g->header_n += n;
	return n;
}

/* "+id.example.org:443:192.0.2.7,[2001:db8::7]": for a minute, and only these. */
static bool set_addresses(struct web_get *g, const struct web_request *r)
{
	const struct libcurl *c = &g->web->curl;
	uint8_t mem[1024];
	struct buf b;
	struct curl_slist *list;

	buf_init(&b, mem, sizeof(mem) - 1);
	buf_fmt(&b, "+%s:%u:", r->host, r->port);
	for (size_t i = 0; i < r->address_count; i++) {
		bool v6 = !addr_is_v4(&r->addresses[i]);

		if (i)
			buf_byte(&b, ',');
		if (v6)
			buf_byte(&b, '[');
		addr_print(&r->addresses[i], &b);
		if (v6)
			buf_byte(&b, ']');
	}
	if (b.full || r->address_count == 0)
		return false;
	mem[b.len] = '\0';
	list = c->slist_append(NULL, (const char *)mem);
	g->resolve = list;
	return list && c->easy_setopt(g->easy, CURLOPT_RESOLVE, list) == CURLE_OK;
}

/* As NUL-terminated text; libcurl copies it. */
static bool set_text(struct web_get *g, CURLoption option, struct span text)
{
	char mem[USER_MAX + SECRET_MAX + 1];
	bool good = text.n < sizeof(mem) && span_find(text, '\0') == text.n;

	if (good) {
		memcpy(mem, text.p, text.n);
		mem[text.n] = '\0';
		good = g->web->curl.easy_setopt(g->easy, option, mem) == CURLE_OK;
	}
	explicit_bzero(mem, sizeof(mem));
	return good;
}

static bool set_form(struct web_get *g, const struct web_request *r)
{
	const struct libcurl *c = &g->web->curl;
	struct curl_slist *list;

	if (r->form.n) {
		list = c->slist_append(NULL, FORM_TYPE);
		if (!list)
			return false;
		g->fields = list;
		list = c->slist_append(list, "Accept: application/json");
		if (!list ||
		    c->easy_setopt(g->easy, CURLOPT_POSTFIELDSIZE, (long)r->form.n) !=
			    CURLE_OK ||
		    c->easy_setopt(g->easy, CURLOPT_COPYPOSTFIELDS, r->form.p) != CURLE_OK ||
		    c->easy_setopt(g->easy, CURLOPT_HTTPHEADER, list) != CURLE_OK)
			return false;
	}
	return !r->user.n || (c->easy_setopt(g->easy, CURLOPT_HTTPAUTH,
					     (long)CURLAUTH_BASIC) == CURLE_OK &&
			      set_text(g, CURLOPT_USERNAME, r->user) &&
			      set_text(g, CURLOPT_PASSWORD, r->secret));
}

/* clang-format off */
static const struct {
	CURLoption option;
	long value;
} numbers[] = {
	{ CURLOPT_NOSIGNAL,            1 },
	{ CURLOPT_FOLLOWLOCATION,      0 },
	{ CURLOPT_SSL_VERIFYPEER,      1 },
	{ CURLOPT_SSL_VERIFYHOST,      2 },
	{ CURLOPT_SSLVERSION,          CURL_SSLVERSION_TLSv1_2 },
	{ CURLOPT_SSL_SESSIONID_CACHE, 0 },
	{ CURLOPT_HTTP_VERSION,        CURL_HTTP_VERSION_1_1 },
	{ CURLOPT_HTTP09_ALLOWED,      0 },
	{ CURLOPT_NETRC,               CURL_NETRC_IGNORED },
	{ CURLOPT_FRESH_CONNECT,       1 },
	{ CURLOPT_FORBID_REUSE,        1 },
	{ CURLOPT_MAXFILESIZE,         FETCH_BODY_MAX },
	{ CURLOPT_DNS_CACHE_TIMEOUT,   60 },
};

static const struct {
	CURLoption option;
	const char *value;
} texts[] = {
	{ CURLOPT_PROTOCOLS_STR, "https" },
	{ CURLOPT_PROXY,         "" },
	{ CURLOPT_NOPROXY,       "*" },
	{ CURLOPT_USERAGENT,     "Holdfast" },
};
/* clang-format on */

static bool set_rules(struct web_get *g)
{
	const struct libcurl *c = &g->web->curl;

	for (size_t i = 0; i < COUNT_OF(numbers); i++)
		if (c->easy_setopt(g->easy, numbers[i].option, numbers[i].value) !=
		    CURLE_OK)
			return false;
	for (size_t i = 0; i < COUNT_OF(texts); i++)
		if (c->easy_setopt(g->easy, texts[i].option, texts[i].value) != CURLE_OK)
			return false;
	/* no authorities but those that were read */
	return c->easy_setopt(g->easy, CURLOPT_CAINFO, NULL) == CURLE_OK &&
	       c->easy_setopt(g->easy, CURLOPT_CAPATH, NULL) == CURLE_OK;
}

static bool set_up(struct web *w, struct web_get *g, const struct web_request *r)
{
	struct curl_blob ca = { .data = w->authorities,
				.len = w->authorities_n,
				.flags = CURL_BLOB_NOCOPY };
	long connect = (long)(r->within < CONNECT_WITHIN ? r->within : CONNECT_WITHIN);
	const struct libcurl *c = &w->curl;
	CURL *e = g->easy;

	return set_rules(g) && set_addresses(g, r) && set_form(g, r) &&
	       c->easy_setopt(e, CURLOPT_CAINFO_BLOB, &ca) == CURLE_OK &&
	       c->easy_setopt(e, CURLOPT_URL, r->url) == CURLE_OK &&
	       c->easy_setopt(e, CURLOPT_TIMEOUT_MS, (long)r->within) == CURLE_OK &&
	       c->easy_setopt(e, CURLOPT_CONNECTTIMEOUT_MS, connect) == CURLE_OK &&
	       c->easy_setopt(e, CURLOPT_ERRORBUFFER, g->error) == CURLE_OK &&
	       c->easy_setopt(e, CURLOPT_WRITEFUNCTION, on_body) == CURLE_OK &&
	       c->easy_setopt(e, CURLOPT_WRITEDATA, g) == CURLE_OK &&
	       c->easy_setopt(e, CURLOPT_HEADERFUNCTION, on_header) == CURLE_OK &&
	       c->easy_setopt(e, CURLOPT_HEADERDATA, g) == CURLE_OK &&
	       c->easy_setopt(e, CURLOPT_PRIVATE, g) == CURLE_OK;
}

static void release(struct web *w, CURL *easy, void *resolve, void *fields)
{
	if (easy) {
		(void)w->curl.multi_remove_handle(w->multi, easy);
		w->curl.easy_cleanup(easy);
	}
	w->curl.slist_free_all(resolve);
	w->curl.slist_free_all(fields);
}

static void drop(struct web_get *g)
{
	release(g->web, g->easy, g->resolve, g->fields);
	g->easy = g->resolve = g->fields = NULL;
	g->web = NULL;
}

bool web_begin(struct web *w, struct web_get *g, const struct web_request *r,
	       void (*on_done)(void *arg, const struct web_answer *a), void *arg)
{
	g->web = w;
	g->resolve = g->fields = NULL;
	g->header_n = 0;
	g->error[0] = '\0';
	g->on_done = on_done;
	g->arg = arg;
	buf_init(&g->body, g->mem, sizeof(g->mem));
	g->easy = w->curl.easy_init();
	if (g->easy && set_up(w, g, r) &&
	    w->curl.multi_add_handle(w->multi, g->easy) == CURLM_OK)
		return true;
	drop(g);
	return false;
}

void web_cancel(struct web_get *g)
{
	if (g->web)
		drop(g);
	explicit_bzero(g->mem, sizeof(g->mem));
}

/* ---- the answer ------------------------------------------------------------------ */
static struct span field_of(const struct web *w, CURL *easy, const char *name)
{
	struct curl_header *h;

	if (w->curl.easy_header(easy, name, 0, CURLH_HEADER, -1, &h) != CURLHE_OK)
		return SPAN_NONE;
	return span_str(h->value);
}

static const char *why_not(const struct web *w, const struct web_get *g, CURLcode code,
			   long status, char words[64])
{
	if (code == CURLE_WRITE_ERROR || code == CURLE_FILESIZE_EXCEEDED)
		return "the answer is too large";
	if (code != CURLE_OK)
		return g->error[0] ? g->error : w->curl.easy_strerror(code);
	if (status >= 300 && status < 400)
		return "it sends us elsewhere, where we do not go";
	snprintf(words, 64, "the answer is %ld", status);
	return words;
}

/* It is over before on_done is called, which may begin it anew. */
static void done(struct web_get *g, CURLcode code)
{
	struct web *w = g->web;
	CURL *easy = g->easy;
	void *resolve = g->resolve, *fields = g->fields;
	struct web_answer a = { 0 };
	char words[64];
	long status = 0;

	g->web = NULL;
	g->easy = g->resolve = g->fields = NULL;
	(void)w->curl.easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
	a.ok = code == CURLE_OK && status == 200;
	if (a.ok) {
		a.body = buf_span(&g->body);
		a.content_type = field_of(w, easy, "Content-Type");
		a.cache_control = field_of(w, easy, "Cache-Control");
	} else {
		a.why = why_not(w, g, code, status, words);
	}
	g->on_done(g->arg, &a);
	release(w, easy, resolve, fields);
}

static void look_who_is_done(struct web *w)
{
	CURLMsg *m;
	int left;

	while ((m = w->curl.multi_info_read(w->multi, &left))) {
		struct web_get *g = NULL;

		if (m->msg == CURLMSG_DONE &&
		    w->curl.easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, &g) == CURLE_OK &&
		    g)
			done(g, m->data.result);
	}
}

/* ---- opening and closing --------------------------------------------------------- */
static bool begin_multi(struct web *w)
{
	w->multi = w->curl.multi_init();
	return w->multi &&
	       w->curl.multi_setopt(w->multi, CURLMOPT_SOCKETFUNCTION, on_socket) ==
		       CURLM_OK &&
	       w->curl.multi_setopt(w->multi, CURLMOPT_SOCKETDATA, w) == CURLM_OK &&
	       w->curl.multi_setopt(w->multi, CURLMOPT_TIMERFUNCTION, on_timer) ==
		       CURLM_OK &&
	       w->curl.multi_setopt(w->multi, CURLMOPT_TIMERDATA, w) == CURLM_OK &&
	       w->curl.multi_setopt(w->multi, CURLMOPT_MAXCONNECTS,
				    (long)FETCH_AT_ONCE) == CURLM_OK;
}

bool web_open(struct web **out, struct loop *loop, const char *ca_file, struct err *err)
{
	struct web *w = calloc(1, sizeof(*w));

	if (!w)
		return err_set(err, "out of memory");
	if (!libcurl_open(&w->curl, err)) {
		free(w);
		return false;
	}
	w->loop = loop;
	timer_init(&w->timer, loop, on_time, w);
	if (!read_authorities(w, ca_file, err)) {
		web_close(&w);
		return false;
	}
	if (!begin_multi(w)) {
		web_close(&w);
		return err_set(err, "libcurl: out of memory");
	}
	*out = w;
	return true;
}

void web_close(struct web **web)
{
	struct web *w = *web;

	*web = NULL;
	if (!w)
		return;
	if (w->multi)
		(void)w->curl.multi_cleanup(w->multi);
	for (size_t i = 0; i < SOCKETS_MAX; i++)
		if (w->sockets[i].used)
			drop_socket(&w->sockets[i]);
	timer_stop(&w->timer);
	free(w->authorities);
	libcurl_close(&w->curl);
	free(w);
}
