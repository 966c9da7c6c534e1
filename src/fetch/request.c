#include "fetch/request.h"

#include "base/list.h"
#include "base/number.h"
#include "conf/hop.h"
#include "conf/https.h"

/* RFC 8461, 3.3: a minute for a policy, and five to the next try. */
#define STS_WITHIN MS_MINUTE
#define STS_PAUSE  (5 * MS_MINUTE)
/* Somebody waits at a login for these. */
#define OAUTH_FETCH_WITHIN (10 * MS_SECOND)
#define KEYS_PAUSE	   (30 * MS_SECOND)
#define INTROSPECT_PAUSE   (2 * MS_SECOND)

/* For key sets: that of the issuer may be wrong, or missing. */
#define KEEP_DEFAULT 3600
#define KEEP_MIN     300
#define KEEP_MAX     86400

/* ---- what is asked --------------------------------------------------------------- */
static bool take_address(struct request *r, const char *url, struct err *err)
{
	struct span text = span_str(url);
	struct https at;

	if (text.n >= sizeof(r->url) || !https_parse(text, &at) ||
	    at.host.n >= sizeof(r->host))
		return err_set(err, "there is no https address for that");
	memcpy(r->url, text.p, text.n);
	memcpy(r->host, at.host.p, at.host.n);
	r->port = at.port;
	return true;
}

static bool make_sts(const struct conf *conf, struct span domain, struct request *r,
		     struct err *err)
{
	struct buf b;

	if (!host_name_ok(domain))
		return err_set(err, "not a domain");
	r->public_only = !conf->set.fetch_private;
	r->type = "text/plain"; /* RFC 8461, 3.2 */
	r->within = STS_WITHIN;
	r->pause = STS_PAUSE;
	r->port = 443;
	buf_init(&b, r->host, sizeof(r->host) - 1);
	buf_put(&b, SPAN("mta-sts."));
	buf_put_lower(&b, domain);
	/* a longer name is none in the DNS */
	if (b.full || !host_name_ok(buf_span(&b)))
		return err_set(err, "not a domain that could have a policy");
	buf_init(&b, r->url, sizeof(r->url) - 1);
	buf_fmt(&b, "https://%s/.well-known/mta-sts.txt", r->host);
	return !b.full || err_set(err, "the name is too long");
}

/* Text is a list of three: user and secret for HTTP Basic, both perhaps empty, and token. */
static bool make_introspect(const struct oauth *o, struct span text, struct request *r,
			    struct err *err)
{
	if (!list_next(&text, &r->user) || !list_next(&text, &r->secret) ||
	    !list_next(&text, &r->token) || text.n || r->token.n == 0)
		return err_set(err, "the question makes no sense");
	/* of RFC 7617, 2: where the user ends, the first colon says */
	if (span_find(r->user, ':') < r->user.n)
		return err_set(err, "the name of the login has a colon in it");
	r->pause = INTROSPECT_PAUSE;
	return take_address(r, o->introspect, err);
}

/* By its name: whoever asks may have another configuration for a moment, in another order. */
static const struct oauth *find_issuer(const struct conf *conf, struct span name)
{
	for (uint32_t i = 0; i < conf->oauth_count; i++)
		if (span_eq(span_str(conf->oauth[i].issuer), name))
			return &conf->oauth[i];
	return NULL;
}

bool request_make(const struct conf *conf, enum role from, const struct msg_FETCH *m,
		  struct request *out, struct err *err)
{
	struct request r = { .within = OAUTH_FETCH_WITHIN, .pause = KEYS_PAUSE };
	const struct oauth *issuer = NULL;
	bool ok;

	if (m->what >= FETCH_KINDS)
		return err_set(err, "there is no such thing to fetch");
	/* edges deliver mail; who logs in is not theirs to ask about */
	if (from != (m->what == FETCH_STS ? ROLE_EDGE : ROLE_AUTH))
		return err_set(err, "that is not for %s to ask", role_word[from]);
	if (m->what != FETCH_STS && !(issuer = find_issuer(conf, m->name)))
		return err_set(err, "there is no such issuer");
	switch ((enum fetch_kind)m->what) {
	case FETCH_STS:
		ok = make_sts(conf, m->name, &r, err);
		break;
	case FETCH_KEYS:
		ok = take_address(&r, issuer->keys, err);
		break;
	case FETCH_INTROSPECT:
		ok = make_introspect(issuer, m->text, &r, err);
		break;
	case FETCH_KINDS:
		return false;
	}
	if (ok)
		*out = r;
	return ok;
}

/* ---- where it may go ------------------------------------------------------------- */
/* clang-format off */
static const struct {
	uint8_t ip[4];
	uint8_t bits;
} private_v4[] = {
	{ { 0, 0, 0, 0 },       8 },  /* "this network" */
	{ { 10, 0, 0, 0 },      8 },
	{ { 100, 64, 0, 0 },    10 }, /* behind a carrier's NAT */
	{ { 127, 0, 0, 0 },     8 },
	{ { 169, 254, 0, 0 },   16 }, /* link-local; where clouds answer questions */
	{ { 172, 16, 0, 0 },    12 },
	{ { 192, 0, 0, 0 },     24 },
	{ { 192, 0, 2, 0 },     24 },
	{ { 192, 168, 0, 0 },   16 },
	{ { 198, 18, 0, 0 },    15 },
	{ { 198, 51, 100, 0 },  24 },
	{ { 203, 0, 113, 0 },   24 },
	{ { 224, 0, 0, 0 },     3 },  /* multicast, reserved, broadcast */
};
/* clang-format on */

static bool private_ipv4(const uint8_t ip[4])
{
	for (size_t i = 0; i < COUNT_OF(private_v4); i++) {
		const uint8_t *p = private_v4[i].ip;
		struct net n = { .addr = addr_v4(p[0], p[1], p[2], p[3]),
				 .bits = (uint8_t)(96 + private_v4[i].bits) };
		struct addr a = addr_v4(ip[0], ip[1], ip[2], ip[3]);

		if (net_has(&n, &a))
			return true;
	}
	return false;
}

bool request_is_private(const struct addr *a)
{
	static const uint8_t nat64[12] = { 0x00, 0x64, 0xff, 0x9b };

	if (addr_is_v4(a))
		return private_ipv4(a->ip + 12);
	if (memcmp(a->ip, nat64, sizeof(nat64)) == 0)
		return private_ipv4(a->ip + 12);
	if (a->ip[0] == 0x20 && a->ip[1] == 0x02)
		return private_ipv4(a->ip + 2);
	/* nothing but 2000::/3 is global unicast; 2001:db8::/32 and Teredo are in it */
	if ((a->ip[0] & 0xe0) != 0x20)
		return true;
	return a->ip[0] == 0x20 && a->ip[1] == 0x01 &&
	       ((a->ip[2] == 0x0d && a->ip[3] == 0xb8) ||
		(a->ip[2] == 0x00 && a->ip[3] == 0x00));
}

/* ---- what comes back ------------------------------------------------------------- */
bool request_has_type(struct span content_type, const char *type)
{
	return span_eq_nocase(span_trim(span_cut(&content_type, ';')), span_str(type));
}

uint32_t request_keep(struct span cache_control)
{
	uint64_t seconds = KEEP_DEFAULT, n;

	while (cache_control.n) {
		struct span part = span_trim(span_cut(&cache_control, ','));
		struct span name = span_trim(span_cut(&part, '='));

		if (span_eq_nocase(name, SPAN("no-store")) ||
		    span_eq_nocase(name, SPAN("no-cache")))
			return KEEP_MIN;
		if (span_eq_nocase(name, SPAN("max-age")) &&
		    number_parse(span_trim(part), UINT32_MAX, &n))
			seconds = n;
	}
	if (seconds < KEEP_MIN)
		return KEEP_MIN;
	return seconds > KEEP_MAX ? KEEP_MAX : (uint32_t)seconds;
}

void request_put_form(struct span value, struct buf *out)
{
	for (size_t i = 0; i < value.n; i++) {
		uint8_t c = value.p[i], low = byte_lower(c);

		if ((low >= 'a' && low <= 'z') || (c >= '0' && c <= '9') || c == '-' ||
		    c == '.' || c == '_' || c == '~')
			buf_byte(out, c);
		else
			buf_fmt(out, "%%%02X", c);
	}
}
